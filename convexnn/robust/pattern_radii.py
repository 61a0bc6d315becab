"""How large an adversary's ball a pattern survives: hard margins of patterns taken as labels.

A neuron ``v != 0`` keeps the pattern ``e`` inside every ball of this radius if

    e_k x_k'v >= radius ||v||_*    for every example k,

so that the largest such radius is the hard margin ``max {min_k e_k x_k'v : ||v||_* <= 1}``, the
norm over the columns that the adversary may change. Of boxes about centres ``c_k`` with half sides
``s_k`` it is asked whether some ``v != 0`` has ``e_k c_k'v >= s_k'|v|``: a linear program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.clock import look
from convexnn.functions.norms import DUAL, NORMS
from convexnn.functions.null_space import magnitude

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array, BoolArray

EXACT = 100_000  # entries of the data up to which each pattern's margin is computed for screening
HEAVY = 1e6  # weight of what is to be 0, of data of size 1
HELD, SMALL = 1e-9, 1e-4  # it is held to 0 to this share of the rest, which counts as this at least
TRIED = 20  # patterns whose margins are computed for a message
METRIC = {"linf": "chebyshev", "l2": "euclidean", "l1": "cityblock"}


class Separation:
    """Radii that patterns of some examples survive.

    Parameters
    ----------
    X : array of shape (n, d)
        Or the centres of boxes.
    moved : array of bool, shape (d,)
        The columns that the adversary may change.
    ball : {"linf", "l2", "l1"}
    widths : array of shape (n, d), optional
        Half the sides of boxes, in which no radius is asked for.

    Examples
    --------
    >>> two = Separation(np.array([[1.0], [-3.0]]), np.array([True]), "linf")
    >>> two.largest(np.array([[True], [False]]))
    1.0
    """

    def __init__(self, X: Array, moved: BoolArray, ball: str, widths: Array | None = None) -> None:
        self.unit = float(magnitude(X[:, moved]))  # solvers know only moderate numbers
        self.X, self.moved, self.ball = X / self.unit, moved, ball
        self.X[:, ~moved] /= magnitude(self.X[:, ~moved], axis=0)  # no norm sees their units
        self.widths = None if widths is None else widths / self.unit

    def possible(self, matrix: BoolArray, radius: float) -> BoolArray:
        """Return which patterns keep a cone with a neuron in it at this radius.

        Of large data some may be returned whose cone is empty: only pairs of examples are tried.
        """
        radius = radius / self.unit
        cut = self._cut(matrix, radius)
        return np.array([self._survives(d, c, radius) for d, c in zip(matrix.T, cut, strict=True)])

    def _survives(self, pattern: BoolArray, cut: bool, radius: float) -> bool:
        look()
        if self._free(self._rows(pattern)[:, ~self.moved]):
            return True
        if cut or self.X.size > EXACT:
            return not cut
        if self.widths is not None:
            return self._keeps(pattern)
        least, most = self._between(self._rows(pattern))
        if least >= radius or most < radius:
            return least >= radius
        return not self._radius_of(pattern) < radius

    def _keeps(self, pattern: BoolArray) -> bool:
        """Tell whether a neuron keeps a pattern in all boxes: ``v = a - b``, a and b of sum 1."""
        from scipy.optimize import linprog

        assert self.widths is not None
        rows = self._rows(pattern)
        A = np.hstack([self.widths - rows, self.widths + rows])
        size = np.concatenate([self.moved, self.moved]).astype(np.float64)[None, :]
        found = linprog(np.zeros(A.shape[1]), A, np.zeros(len(A)), size, [1.0], method="highs")
        return bool(found.status != 2)  # not infeasible

    def _rows(self, pattern: BoolArray) -> Array:
        rows: Array = np.where(pattern, 1.0, -1.0)[:, None] * self.X
        return rows

    def largest(self, matrix: BoolArray) -> float:
        """Return the largest radius that one of the first patterns survives."""
        return self.unit * float(np.nanmax([self._radius_of(p) for p in matrix.T[:TRIED]] + [0.0]))

    def radius_of(self, pattern: BoolArray) -> float:
        """Return the largest radius that a pattern survives; inf without the moved columns.

        It is NaN if the solver breaks down.
        """
        return self.unit * self._radius_of(pattern)

    def _radius_of(self, pattern: BoolArray) -> float:
        rows = self._rows(pattern)
        if self._free(rows[:, ~self.moved]):
            return np.inf
        found = self._nearest(rows) if self.ball == "l2" else self._linear(rows)
        return found if np.isnan(found) else max(found, 0.0)

    def _cut(self, matrix: BoolArray, radius: float) -> BoolArray:
        """Return the patterns that part two examples whose balls overlap.

        They differ in no column that stays, so that a neuron of such a pattern has ``||v||_* = 0``.
        """
        from scipy.spatial.distance import cdist

        moved, fixed = self.X[:, self.moved], self.X[:, ~self.moved]
        if self.widths is None:
            apart: Array = cdist(moved, moved, METRIC[self.ball])  # type: ignore[call-overload]
            near = apart < 2.0 * radius * (1.0 - 1e-9)
        else:
            near = np.ones((len(moved), len(moved)), np.bool_)
            for x, s in zip(moved.T, self.widths[:, self.moved].T, strict=True):
                near &= np.abs(x[:, None] - x) < (s[:, None] + s) * (1.0 - 1e-9)
        if fixed.shape[1]:
            near &= cdist(fixed, fixed, "chebyshev") == 0.0
        D = matrix.astype(np.float64)
        parted: BoolArray = np.einsum("kp,kp->p", D, near.astype(np.float64) @ (1.0 - D)) > 0.0
        return parted

    @staticmethod
    def _free(fixed: Array) -> bool:
        """Tell whether a neuron on the columns that do not move alone has the pattern."""
        from scipy.optimize import linprog

        if fixed.shape[1] == 0:
            return False
        if fixed.shape[1] == 1:
            return bool((fixed >= 0.0).all() or (fixed <= 0.0).all()) and bool(fixed.any())
        found = linprog(-fixed.sum(axis=0), A_ub=-fixed, b_ub=np.zeros(len(fixed)), bounds=(-1, 1))
        return found.status == 0 and float(found.fun or 0.0) < -1e-9

    def _linear(self, rows: Array) -> float:
        """Maximise ``t`` with ``rows (a - b) >= t``, ``||a - b||_* <= 1``: a linear program."""
        from scipy.optimize import linprog

        n, d = rows.shape
        inside = self.moved
        if self.ball == "linf":  # variables a, b >= 0 and t; the sum of a and b is the dual norm
            cost = np.append(np.zeros(2 * d), -1.0)
            fit = np.hstack([-rows, rows, np.ones((n, 1))])
            size = np.concatenate([inside, inside, [False]]).astype(np.float64)
            bounds: list[Any] = [(0.0, None)] * (2 * d) + [(None, None)]
            A, b = np.vstack([fit, size]), np.append(np.zeros(n), 1.0)
        else:
            cost = np.append(np.zeros(d), -1.0)
            A, b = np.hstack([-rows, np.ones((n, 1))]), np.zeros(n)
            bounds = [(-1.0, 1.0) if m else (None, None) for m in inside] + [(None, None)]
        found = linprog(cost, A_ub=A, b_ub=b, bounds=bounds, method="highs")
        return -float(found.fun or 0.0) if found.status == 0 else 0.0

    def _nearest(self, rows: Array) -> float:
        """Return the margin of the l2 norm: how near 0 a mixture of the rows comes."""
        return float(np.linalg.norm(self._mixture(rows)[0][self.moved]))

    def _between(self, rows: Array) -> tuple[float, float]:
        """Return bounds on the margin: by the l2 norm's best neuron, and by its mixture."""
        mixed, v = self._mixture(rows)
        size = float(DUAL[self.ball].value(v[None, self.moved])[0])
        least = float(np.min(rows @ v)) / size if size > 0.0 else 0.0
        most = float(NORMS[self.ball].value(mixed[None, self.moved])[0])
        return (-np.inf, np.inf) if np.isnan(most) else (least, most)

    def _mixture(self, rows: Array) -> tuple[Array, Array]:
        """Return the mixture of the rows that is nearest to 0, NaN if not found, and its neuron.

        For ``y >= 0`` of sum 1 with ``rows'y = 0`` in the columns that stay, every v has
        ``min_k rows_k'v <= y'rows v <= ||rows'y|| ||v||_*``, and at the best of the l2 norm they
        are equal. Least squares with ``y >= 0`` find it, in which weights hold these columns to 0.
        """
        from scipy.optimize import nnls

        n, d = rows.shape
        heavy = np.where(self.moved, 1.0, HEAVY)
        held = np.vstack([heavy[:, None] * rows.T, np.ones((1, n))])
        try:
            y, _ = nnls(held, np.append(np.zeros(d), 1.0))
        except RuntimeError:
            return np.full(d, np.nan), np.zeros(d)
        mixed = y @ rows / y.sum()
        left = float(np.max(np.abs(mixed[~self.moved]), initial=0.0))
        if left > HELD * max(float(np.linalg.norm(mixed[self.moved])), SMALL):
            return np.full(d, np.nan), np.zeros(d)  # it proves nothing
        return mixed, np.square(heavy) * mixed

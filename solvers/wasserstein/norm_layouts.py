"""Norms as constraints of the interior point: ``||b|| <= lam`` for the first d variables.

A norm becomes a second-order cone (l2) or linear inequalities (l1, linf), whose multipliers hold
the direction in which ``b`` is pushed. A further norm is a class here and a line of `NORMS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy import sparse

from convexnn.contract.arrays import Array, IndexArray
from convexnn.functions.norms import L1, L2, Linf, VectorNorm
from convexnn.solvers.wasserstein.interior import PiecewiseInterior
from convexnn.solvers.wasserstein.program import Entries

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

DENSE = 40_000  # entries up to which a dense matrix of inequalities is the faster one
NEAREST, FARTHEST = 10.0, 300.0  # where a sum of sizes may begin

Cones = list[tuple[Array, Array]]


class Rows:
    """Inequalities ``G w <= h``, gathered in blocks of rows with as many entries each."""

    def __init__(self) -> None:
        self._columns: list[IndexArray] = []
        self._values: list[Array] = []
        self._right: list[Array] = []

    def add(self, columns: ArrayLike, values: ArrayLike, right: float = 0.0) -> None:
        """Append rows, (m, q) entries at the columns given, all of the same right side."""
        at = np.asarray(columns, dtype=np.intp)
        self._columns.append(at)
        self._values.append(np.broadcast_to(np.asarray(values, dtype=np.float64), at.shape))
        self._right.append(np.full(len(at), right))

    def matrix(self, D: int) -> tuple[Any, Array]:
        """Return G, dense where it is small, and h; in the order in which rows were added."""
        ends = np.concatenate([np.zeros(0), *(np.full(*at.shape) for at in self._columns)])
        G: Any = sparse.csr_array(
            (
                np.concatenate([np.zeros(0), *(part.ravel() for part in self._values)]),
                np.concatenate([np.zeros(0, dtype=np.intp), *(at.ravel() for at in self._columns)]),
                np.concatenate([[0], np.cumsum(ends, dtype=np.intp)]),
            ),
            shape=(len(ends), D),
        )
        if len(ends) * D <= DENSE:
            G = G.toarray()
        return G, np.concatenate([np.zeros(0), *self._right])


class NormLayout(ABC):
    """How a norm bounds the first d variables.

    Attributes
    ----------
    euclidean : bool
        Whether the norm is that of a second-order cone itself.
    """

    euclidean: ClassVar[bool] = False

    def more(self, d: int) -> int:
        """Return how many variables the norm adds, the last ones."""
        return 0

    def entries(self, d: int, within: int) -> Entries | None:
        """Return how the rows bound the entries one by one, None if they do not."""
        return None

    def far(self, shape: tuple[int, ...], price: float) -> float:
        """Return where lam begins for data of a shape, at a price: a start of even products."""
        return 1.0

    @abstractmethod
    def bound(self, d: int, lam: int, rows: Rows, cones: Cones, start: Array) -> None:
        """Append ``||b|| <= lam``, strict at the start; lam is the index of a variable."""

    def direction(self, core: PiecewiseInterior, d: int) -> Array:
        """Return the multiplier of ``b = b'``, ``||b'|| <= lam``; the norm's rows come first."""
        rows: Array = core.y[: 2 * d]
        return rows[0::2] - rows[1::2]

    def near(self, b: Array, length: float, lam: float, start: Array) -> None:
        """Move the start to ``b``, of that length, inside lam."""
        start[: len(b)] = b


class Cone(NormLayout):
    """The l2 norm: a second-order cone."""

    euclidean: ClassVar[bool] = True

    def bound(self, d: int, lam: int, rows: Rows, cones: Cones, start: Array) -> None:
        """Append the cone."""
        M = np.zeros((d + 1, len(start)))
        M[0, lam] = 1.0
        M[np.arange(1, d + 1), np.arange(d)] = 1.0
        cones.append((M, np.zeros(d + 1)))

    def direction(self, core: PiecewiseInterior, d: int) -> Array:
        """Return the tail of the cone's multiplier; the norm's cone comes first."""
        tail: Array = core.duals[0].tail[0]
        return -tail


class Box(NormLayout):
    """The linf norm: two rows an entry."""

    def bound(self, d: int, lam: int, rows: Rows, cones: Cones, start: Array) -> None:
        """Append ``-lam <= b <= lam``."""
        _between(np.full(d, lam), rows)

    def entries(self, d: int, within: int) -> Entries:
        """Return that lam is the size of all."""
        return Entries(d, within, False)


class Sum(NormLayout):
    """The l1 norm: a size of each entry, and their sum."""

    def more(self, d: int) -> int:
        """Return d: the sizes."""
        return d

    def far(self, shape: tuple[int, ...], price: float) -> float:
        """Return a lam whose price is that of all sizes at the products of n samples."""
        n, d = shape
        return min(max(NEAREST, 0.5 * d / (n * price)), FARTHEST)

    def bound(self, d: int, lam: int, rows: Rows, cones: Cones, start: Array) -> None:
        """Append ``-size <= b <= size`` and ``sum(size) <= lam``."""
        sizes = np.arange(len(start) - d, len(start))
        _between(sizes, rows)
        rows.add(np.append(sizes, lam)[None, :], np.append(np.ones(d), -1.0)[None, :])
        start[sizes] = 0.5 * start[lam] / d

    def entries(self, d: int, within: int) -> Entries:
        """Return that each has a size of its own."""
        return Entries(d, within, True)

    def near(self, b: Array, length: float, lam: float, start: Array) -> None:
        """Move the start to ``b``, and share out what is left of lam."""
        d = len(b)
        start[:d] = b
        start[-d:] = np.abs(b) + 0.5 * (lam - length) / d


NORMS: dict[type[VectorNorm], NormLayout] = {L2: Cone(), L1: Sum(), Linf: Box()}


def bound_square(tail: list[int], lam: int, v: int, cones: Cones, D: int) -> None:
    """Append ``||tail||_2^2 <= 4 lam v``, each an index of a variable.

    The multiplier is ``lam / eps`` and the lift ``eps v``, so that both stay moderate.
    """
    M = np.zeros((len(tail) + 2, D))  # (lam + v)^2 - (lam - v)^2 = 4 lam v
    M[0, lam] = M[0, v] = 1.0
    M[np.arange(1, len(tail) + 1), tail] = 1.0
    M[-1, lam], M[-1, v] = 1.0, -1.0
    cones.append((M, np.zeros(len(M))))


def _between(sizes: IndexArray, rows: Rows) -> None:
    """Append ``b_j <= w_s`` and ``-b_j <= w_s``, s the j-th of these variables, for every j."""
    columns = np.column_stack([np.arange(len(sizes)), sizes])
    rows.add(np.repeat(columns, 2, axis=0), np.tile([[1.0, -1.0], [-1.0, -1.0]], (len(sizes), 1)))

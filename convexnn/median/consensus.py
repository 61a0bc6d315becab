"""Agents that agree: the canonical form of a distributed median and the points of its program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convexnn.contract.form import Engines
from convexnn.contract.system.kernels import kernel
from convexnn.median.remote import REMOTE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convexnn.contract.arrays import Array
    from convexnn.contract.problem import Problem

ROUNDING = 2.0**-50  # four times that of one operation
FEW_COORDINATES = 3  # of a point up to which PG-EXTRA's rounds cost less, and are no more
CROWD = 500  # agents from which that shows
BLUNT = 1e7  # units of length beyond which points are brought in: double precision sees the rest
HUB = 10  # times as many neighbours as the mean from which PG-EXTRA's step is too short


class Agents(NamedTuple):
    """Primal point of a problem over a graph: what every agent holds, and what it cost.

    Attributes
    ----------
    X : array of shape (n, d)
        One agent a row, in the coordinates of the canonical form.
    rounds : int
        Exchanges between neighbours until then.
    messages : int
        Messages over single edges until then, those of reductions included.
    """

    X: Array
    rounds: int
    messages: int


class Prices(NamedTuple):
    """Dual point of a problem over a graph: the price each agent pays for its own point.

    Attributes
    ----------
    nu : array of shape (n, d)
        Multipliers of the consensus; their sum is 0 where the engine keeps it so.
    """

    nu: Array


class ConsensusForm(NamedTuple):
    """Minimise ``sum_i w_i ||x_i - b_i||`` subject to ``x_i = x_j`` over the edges of a graph.

    Dimensionless: the points are centred and of unit spread, the weights have mean 1.

    Attributes
    ----------
    points : array of shape (n, d)
    weights : array of shape (n,)
        >= 0.
    edges : int array of shape (m, 2)
        Of a connected graph.
    remote : bool array of shape (n,), or ()
        Which points are so far away that values are less what all pay for them, see
        `convexnn.median.remote`; those beyond `BLUNT` units are brought in to that length.
    """

    points: Array
    weights: Array
    edges: NDArray[np.int64]
    remote: NDArray[np.bool_] | tuple[()] = ()

    @classmethod
    def suited(cls, problem: Problem[Any]) -> Engines:
        """Return ADMM, which takes the fewest rounds, or PG-EXTRA where its rounds cost less.

        That is of many agents with few coordinates, where no agent has most of the neighbours.
        """
        form: ConsensusForm = problem.canonical(cls)
        if form.agents >= CROWD and form.points.shape[1] <= FEW_COORDINATES:
            degrees = np.bincount(form.edges.ravel(), minlength=form.agents)
            if degrees.max() <= HUB * degrees.mean():
                return Engines(("pg-extra", "admm"))
        return Engines(("admm", "pg-extra"))

    @property
    def agents(self) -> int:
        """Return the number of agents."""
        return len(self.points)

    def representative(self, X: Array) -> int:
        """Return the agent whose point is nearest to the mean of all."""
        return int(np.argmin(lengths(X - X.mean(axis=0))))

    def bound(self, nu: Array) -> float:
        """Return a lower bound from any prices at all, ``sum_i <nu_i, b_i>`` where they allow it.

        Prices with ``sum_i nu_i = 0`` and ``||nu_i|| <= w_i`` are dual feasible. Others are cut
        to their balls, shifted to sum 0 in proportion to the weights, and scaled back. What
        rounding leaves of sum and excess can cost its share of the value at 0, at most: no
        optimum is farther from 0 than twice that value over the weights.
        """
        if not np.isfinite(nu).all():
            return 0.0  # of the prices 0
        if len(self.remote):
            return self._bound_apart(nu, np.asarray(self.remote))
        nu = np.ascontiguousarray(nu, dtype=np.float64)
        return float(_surely_worth(self.points, self.weights, nu))

    def _bound_apart(self, nu: Array, remote: NDArray[np.bool_]) -> float:
        """Return the bound of `bound` less what all pay for remote points.

        Their prices are made as long as they may be, ``w_i`` times a direction, which pays all of
        the distance but for ``1 - cos`` of an angle. With s their sum and W the others' weight,
        the others are cut to their balls, shifted to sum -s, and mixed with ``-w_i s / W``.
        """
        near = ~remote
        out = self.points[remote]
        r, size, w = lengths(out), lengths(nu[remote]), self.weights[remote]
        away = out / r[:, None]
        seen = (size > 0.0) & (r < BLUNT * (1.0 - ROUNDING))
        towards = np.divide(nu[remote], size[:, None], out=away.copy(), where=seen[:, None])
        lost = 0.5 * float((w * r) @ np.square(away - towards).sum(axis=1))
        s, counted = w @ towards, REMOTE * float(w.sum())
        b, w, z = self.points[near], self.weights[near], nu[near]
        total, size = float(w.sum()), lengths(z)
        cut = np.divide(np.minimum(size, w), size, out=np.zeros(len(w)), where=size > 0.0)
        z = z * cut[:, None]
        z = z - w[:, None] * ((z.sum(axis=0) + s) / total)
        excess = np.divide(lengths(z), w, out=np.ones(len(w)), where=w > 0.0)
        most, held = max(1.0, float(excess.max())), float(lengths(s[None])[0]) / total
        mixed = 0.0 if most == 1.0 else (most - 1.0) / (most - held)
        if not 0.0 <= mixed <= 1.0:
            return 0.0
        worth = (1.0 - mixed) * float(np.sum(z * b)) - mixed * float((w @ b) @ s) / total
        slack = (16.0 + len(nu) + b.shape[1]) * ROUNDING * float(w @ lengths(b) + counted)
        return max(0.0, float(counted - lost + worth - slack))

    def first(self) -> Array:
        """Return where the agents start: at their own data, the remote ones on the way there."""
        if not len(self.remote):
            return self.points
        share = np.minimum(1.0, REMOTE / np.maximum(lengths(self.points), 1.0))
        begun: Array = self.points * share[:, None]
        return begun

    def dual(self, X: Array, nu: Array) -> Prices:
        """Return the better of an engine's prices and those that its points suggest."""
        suggested = self.prices_at(X[self.representative(X)])
        return Prices(nu if self.bound(nu) >= self.bound(suggested) else suggested)

    def prices_at(self, x: Array) -> Array:
        """Return the prices that a common point suggests, ``w_i (b_i - x) / ||b_i - x||``.

        Those of agents whose data are the point itself are the ones that bring the sum to 0.
        """
        away = self.points - x
        r = lengths(away)
        nu: Array = away * np.divide(self.weights, r, out=np.zeros(len(r)), where=r > 0.0)[:, None]
        here = np.where(r > 0.0, 0.0, self.weights)
        if here.any():
            nu = nu - (here / here.sum())[:, None] * nu.sum(axis=0)
        return nu


@kernel()
def _surely_worth(b, w, nu):  # type: ignore[no-untyped-def]
    n, d = nu.shape
    total, reach = 0.0, 0.0
    shift = np.zeros(d)
    z = np.zeros((n, d))
    for i in range(n):
        size, far = 0.0, 0.0
        for j in range(d):
            size += nu[i, j] ** 2
            far += b[i, j] ** 2
        size = np.sqrt(size)
        reach += w[i] * np.sqrt(far)
        total += w[i]
        if size > 0.0:
            share = min(size, w[i]) / size
            for j in range(d):
                z[i, j] = share * nu[i, j]
                shift[j] += z[i, j]
    excess, worth = 1.0, 0.0
    for i in range(n):
        size = 0.0
        for j in range(d):
            part = z[i, j] - w[i] * (shift[j] / total)
            worth += part * b[i, j]
            size += part**2
        if w[i] > 0.0:
            excess = max(excess, np.sqrt(size) / w[i])
    return max(0.0, worth / excess - (16.0 + n + d) * ROUNDING * reach)


def lengths(rows: Array) -> Array:
    """Return the Euclidean norm of each row.

    Examples
    --------
    >>> lengths(np.array([[3.0, 4.0]]))
    array([5.])
    """
    result: Array = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return result

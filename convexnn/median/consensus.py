"""Agents that agree: the canonical form of a distributed median and the points of its program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convexnn.contract.form import Engines

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convexnn.contract.arrays import Array
    from convexnn.contract.problem import Problem

ROUNDING = 2.0**-50  # four times that of one operation
FEW_COORDINATES = 3  # of a point up to which PG-EXTRA's rounds cost less, and are no more
CROWD = 500  # agents from which that shows
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
    """

    points: Array
    weights: Array
    edges: NDArray[np.int64]

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

    def objective(self, x: Array) -> float:
        """Return ``sum_i w_i ||x - b_i||``."""
        return float(self.weights @ lengths(self.points - x))

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
        w = self.weights
        if not np.isfinite(nu).all():
            return 0.0  # of the prices 0
        size = lengths(nu)
        z = (
            nu
            * np.divide(np.minimum(size, w), size, out=np.zeros(len(w)), where=size > 0.0)[:, None]
        )
        z = z - w[:, None] * (z.sum(axis=0) / w.sum())
        excess = np.divide(lengths(z), w, out=np.ones(len(w)), where=w > 0.0)
        worth = float(np.sum(z * self.points)) / max(1.0, float(excess.max()))
        slack = (16.0 + len(w) + z.shape[1]) * ROUNDING * (w @ lengths(self.points))
        return max(0.0, worth - float(slack))

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


def lengths(rows: Array) -> Array:
    """Return the Euclidean norm of each row.

    Examples
    --------
    >>> lengths(np.array([[3.0, 4.0]]))
    array([5.])
    """
    result: Array = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return result

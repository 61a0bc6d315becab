"""Terms on the nodes of a graph and norms on its edges: the canonical form and its dual point."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convexnn.consensus import lengths

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convexnn.arrays import Array
    from convexnn.terms import Term


class Flows(NamedTuple):
    """Dual point of a network lasso.

    Attributes
    ----------
    y : array of shape (m, d)
        Price of the difference over each edge.
    """

    y: Array


class LassoForm(NamedTuple):
    """Minimise ``sum_i f_i(x_i) + penalty sum_(i, j) ||x_i - x_j||`` over a graph.

    Attributes
    ----------
    terms : tuple of Term
        One an agent, all of size d.
    edges : int array of shape (m, 2)
    penalty : float
    """

    terms: tuple[Term, ...]
    edges: NDArray[np.int64]
    penalty: float

    @property
    def agents(self) -> int:
        """Return the number of nodes."""
        return len(self.terms)

    def objective(self, X: Array) -> float:
        """Return the value at one row an agent."""
        apart = lengths(X[self.edges[:, 0]] - X[self.edges[:, 1]])
        return float(
            sum(f.value(x) for f, x in zip(self.terms, X, strict=True)) + self.penalty * apart.sum()
        )

    def dual(self, X: Array, y: Array) -> Flows:
        """Return the engine's prices of the edges."""
        return Flows(y)

    def bound(self, y: Array) -> float:
        """Return ``-sum_i f_i*(-(B'y)_i)`` at prices cut to ``||y_e|| <= penalty`` and scaled.

        ``(B'y)_i`` is the sum over the edges that leave i less that over those which arrive.
        """
        if not np.isfinite(y).all():
            y = np.zeros_like(y)
        size = lengths(y)
        cut = np.divide(self.penalty, size, out=np.ones(len(y)), where=size > self.penalty)
        y = y * cut[:, None]
        s = np.zeros((len(self.terms), y.shape[1]))
        np.add.at(s, self.edges[:, 0], -y)
        np.add.at(s, self.edges[:, 1], y)
        s = s / max(1.0, *(f.gauge(row) for f, row in zip(self.terms, s, strict=True)))
        worth = -sum(f.conjugate(row) for f, row in zip(self.terms, s, strict=True))
        return float(worth) if np.isfinite(worth) else -np.inf

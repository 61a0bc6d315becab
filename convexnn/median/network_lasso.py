"""Terms on the nodes of a graph and norms on its edges: the canonical form and its dual point."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convexnn.contract.form import solved_by
from convexnn.functions.terms import ROUNDING
from convexnn.median.consensus import lengths

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convexnn.contract.arrays import Array
    from convexnn.functions.term_sums import Terms


class Flows(NamedTuple):
    """Dual point of a network lasso.

    Attributes
    ----------
    y : array of shape (m, d)
        Price of the difference over each edge.
    """

    y: Array


@solved_by("admm")
class LassoForm(NamedTuple):
    """Minimise ``sum_i f_i(x_i) + penalty sum_(i, j) ||x_i - x_j||`` over a graph.

    Attributes
    ----------
    terms : Terms
        One an agent, all of size d.
    edges : int array of shape (m, 2)
    penalty : float, or array of shape (m,) where edges differ
    """

    terms: Terms
    edges: NDArray[np.int64]
    penalty: float | Array

    @property
    def agents(self) -> int:
        """Return the number of nodes."""
        return len(self.terms)

    def objective(self, X: Array) -> float:
        """Return the value at one row an agent."""
        apart = lengths(X[self.edges[:, 0]] - X[self.edges[:, 1]])
        return float(self.terms.value(X.ravel()) + np.sum(self.penalty * apart))

    def first(self) -> None:
        """Leave it to the engine where the agents start."""
        return

    def dual(self, X: Array, y: Array) -> Flows:
        """Return the engine's prices of the edges."""
        return Flows(y)

    def bound(self, y: Array) -> float:
        """Return ``-sum_i f_i*(-(B'y)_i)`` at prices cut to ``||y_e|| <= penalty`` and scaled.

        ``(B'y)_i`` is the sum over the edges that leave i less that over those which arrive. The
        conjugates are taken about the terms' anchors, and as large as rounding may have them.
        """
        if not np.isfinite(y).all():
            y = np.zeros_like(y)
        tail, head = self.edges[:, 0], self.edges[:, 1]
        unit = (16.0 + y.shape[1]) * ROUNDING
        size, most = lengths(y), self.penalty * (1.0 - unit)
        y = y * np.divide(most, size, out=np.ones(len(y)), where=size > most)[:, None]
        s, e = np.zeros((2, self.agents, y.shape[1]))
        for end, sign in ((tail, -1.0), (head, 1.0)):
            np.add.at(s, end, sign * y)
            np.add.at(e, end, np.abs(y))
        most_edges = int(np.bincount(self.edges.ravel()).max())
        blur = (2.0 + most_edges) * ROUNDING * e
        scale, total = self.terms.conjugates(s.ravel(), blur.ravel())
        anchors = self.terms.anchors.reshape(s.shape)
        parts = y * ((anchors[tail] - anchors[head]) / scale)
        slack = (16.0 + parts.size) * ROUNDING * float(np.abs(parts).sum())
        worth = float(parts.sum()) - slack - total
        return worth if np.isfinite(worth) else -np.inf

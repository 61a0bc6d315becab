"""Mean and CVaR of a portfolio against a Wasserstein ball: canonical form, exact risk, bound.

On an unbounded support the worst case of order 1 is (Mohajerin Esfahani & Kuhn 2018, eq. 27)

    F(x) = -mean' x + a CVaR_alpha(-R x) + eps (1 + a / alpha) ||x||_*

with R the n returns, ``alpha`` the tail's mass and ``a`` the risk aversion. For any weights w with
``0 <= w_i <= 1 / (alpha n)``, ``sum w = 1`` and any u of ground norm at most 1,

    min_{x in simplex} F >= min_j (-mean - a R'w + eps (1 + a / alpha) u)_j.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convexnn.contract.form import solved_by
from convexnn.functions.null_space import SMALLEST, blocked_sums, sum_rounding
from convexnn.wasserstein.forms import ROUNDING

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array
    from convexnn.functions.norms import VectorNorm


class Weights(NamedTuple):
    """Primal point: shares of the assets, (d,)."""

    x: Array


class Stress(NamedTuple):
    """Dual point: the tail's weights of the samples, (n,), and the direction of the loss, (d,)."""

    tail: Array
    push: Array


@solved_by("newton")
class PortfolioForm(NamedTuple):
    """Minimise ``-mean'x + a CVaR_alpha(-R x) + eps (1 + a / alpha) ||x||_*`` over the simplex.

    Attributes
    ----------
    returns : array of shape (n, d)
    norm : VectorNorm
        Of x: the dual of the ground norm.
    radius, level, aversion : float
        eps, alpha and a.
    largest : array of shape (d,)
        Of each asset, the size of its return that is furthest from 0.
    """

    returns: Array
    norm: VectorNorm
    radius: float
    level: float
    aversion: float
    largest: Array

    @property
    def price(self) -> float:
        """Return ``eps (1 + a / alpha)``."""
        return self.radius * (1.0 + self.aversion / self.level)

    def tail(self, x: Array) -> Array:
        """Return the weights of the worst tail of x's losses: ``CVaR = tail'(-R x)``."""
        n = len(self.returns)
        order = np.argsort(self.returns @ x, kind="stable")
        cap = 1.0 / (self.level * n)
        weights = np.zeros(n)
        whole = int(np.floor(self.level * n))
        weights[order[:whole]] = cap
        if whole < n:
            weights[order[whole]] = max(1.0 - whole * cap, 0.0)
        return weights

    def risk(self, x: Array) -> float:
        """Return the worst case of a portfolio."""
        gains = self.returns @ x
        cvar = -float(self.tail(x) @ gains)
        length = float(self.norm.value(x[None, :])[0])
        return -float(gains.mean()) + self.aversion * cvar + self.price * length

    def bound(self, dual: Stress) -> float:
        """Return a lower bound on the risk of every portfolio, from any guess of the stress."""
        n = len(self.returns)
        cap = 1.0 / (self.level * n)
        tail = np.clip(np.nan_to_num(dual.tail), 0.0, cap)
        missing = 1.0 - tail.sum()
        if missing > 0.0:
            room = cap - tail
            tail = tail + room * min(missing / max(float(room.sum()), 1e-300), 1.0)
        tail = tail / tail.sum() if tail.sum() > 1.0 else tail
        push = np.clip(np.nan_to_num(dual.push), -1.0, 1.0)  # as in every unit ball
        length = float(self.norm.dual(push[None, :])[0])
        push = push / max(length, 1.0)
        each = 1.0 / n + self.aversion * tail
        gains, sizes = blocked_sums(self.returns, each, each)
        entries = self.price * push - gains
        slack = 2.0 * sum_rounding(n) * sizes + ROUNDING * (self.price + np.abs(gains))
        # weights that keep to their limits exactly have mass elsewhere: where returns may be huge
        slack += self.aversion * 3.0 * sum_rounding(n) * self.largest
        return float(np.min(entries - slack)) - n * SMALLEST

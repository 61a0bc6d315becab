"""Balls of Wasserstein order 1, and of radius 0: mass moves on a budget of distance.

With ``t`` the length of the model and ``kappa`` the cost of a flip, or of a unit of the target:

    radius 0           mean_i l(z_i; y_i)
    bounded slopes     eps Lip max(t, 1 / kappa) + mean_i l(z_i; y_i)
    labels that flip   min_{lam >= t} lam eps + mean_i max(l(z_i; y_i), l(z_i; -y_i) - kappa lam)
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from convexnn.functions.losses import (
    Absolute,
    BinaryLoss,
    Hinge,
    Huber,
    LipschitzLoss,
    Logistic,
    Quantile,
    ScalarLoss,
)
from convexnn.wasserstein.distribution_ball import DistributionBall, Formula
from convexnn.wasserstein.forms import ROUNDING, Slopes
from convexnn.wasserstein.moves import Moves, carried, split, whole

if TYPE_CHECKING:
    import cvxpy as cp

    from convexnn.contract.arrays import Array

TIED = 1e-9  # share of ``1 + |z|`` within which a flip neither gains nor loses


@dataclass(frozen=True, kw_only=True)
class Empirical(DistributionBall):
    """Radius 0: ``mean_i l(z_i; y_i)``.

    Attributes
    ----------
    limit : DistributionBall
        What the balls of larger radius are, here of radius 0.
    """

    limit: DistributionBall

    @property
    def scale(self) -> float:
        """Return that of the balls."""
        return self.limit.scale

    @property
    def power(self) -> float:
        """Return that of the balls."""
        return self.limit.power

    def risk(self, z: Array, y: Array, t: float) -> float:
        """Return the mean loss."""
        return self.mean(self.values(z, y))

    def rate(self, z: Array, y: Array, t: float) -> float:
        """Return the rate to the right, into the balls."""
        return self.limit.rate(z, y, t)

    def moves(self, z: Array, y: Array, t: float) -> Moves:
        """Return every sample where it is."""
        return whole(np.zeros(len(z)), self.weights)

    def slopes(self, z: Array, y: Array, t: float) -> Slopes:
        """Return the slopes of the loss."""
        return Slopes(self.scale * self.loss.gradient(z, y), np.zeros_like(z))

    def terms(self, slopes: Slopes, y: Array) -> Array:
        """Return ``-(scale l)*(own)``."""
        return -self.scale * self.loss.conjugate(slopes.own / self.scale, y)

    def allowed(self, slopes: Slopes) -> float:
        """Return 0: u must vanish."""
        return 0.0

    def cvxpy(self, z: cp.Variable, y: Array, length: cp.Expression, lam: cp.Variable) -> Formula:
        """Write the mean loss."""
        return Formula(self.scale * self.written(z, y), [lam == 0.0], {}, {})


@dataclass(frozen=True, kw_only=True)
class Regularised(DistributionBall):
    """Order 1, bounded slopes, no flips: ``eps Lip max(t, 1 / kappa) + mean_i l(z_i; y_i)``."""

    loss: LipschitzLoss

    order: ClassVar[float] = 1.0
    takes: ClassVar[tuple[type[ScalarLoss], ...]] = (Logistic, Hinge, Absolute, Huber, Quantile)

    @property
    def price(self) -> float:
        """Return ``eps Lip``."""
        return self.radius * self.loss.slope

    def risk(self, z: Array, y: Array, t: float) -> float:
        """Return the mean loss and the price of the length."""
        return self.price * self.reach(t) + self.mean(self.loss.value(z, y))

    def rate(self, z: Array, y: Array, t: float) -> float:
        """Return ``Lip max(t, 1 / kappa)``."""
        return self.loss.slope * self.reach(t)

    def moves(self, z: Array, y: Array, t: float) -> Moves:
        """Return mass carried to where the loss is steepest."""
        still = whole(np.zeros(len(z)), self.weights)
        return carried(self.loss, z, y, still, self.radius, self.radius * self.reach(t))

    def slopes(self, z: Array, y: Array, t: float) -> Slopes:
        """Return the slopes of the loss."""
        return Slopes(self.loss.gradient(z, y), np.zeros_like(z))

    def allowed(self, slopes: Slopes) -> float:
        """Return ``eps Lip``."""
        return self.price * (1.0 - ROUNDING)

    def share(self, slopes: Slopes, length: float, room: float) -> float:
        """Return the share of the slopes whose u has the length allowed."""
        return _share(self.price, length, room)

    def cvxpy(self, z: cp.Variable, y: Array, length: cp.Expression, lam: cp.Variable) -> Formula:
        """Write the mean loss and the price of lam, the length at least."""
        cost = self.price * lam + self.written(z, y)
        return Formula(cost, self._longer(length, lam), {}, {})


@dataclass(frozen=True, kw_only=True)
class LabelFlips(DistributionBall):
    """Order 1, labels that flip at a cost; see the rows below.

    Attributes
    ----------
    cost : float
        Of a flip, kappa: finite, > 0.
    """

    loss: BinaryLoss
    cost: float

    order: ClassVar[float] = 1.0
    flips: ClassVar[bool] = True

    @classmethod
    def of(cls, loss: ScalarLoss, radius: float, flip: float, floor: float) -> Self:
        """Return the ball; targets are labels, which nobody moves by a unit."""
        assert isinstance(loss, BinaryLoss)
        return cls(loss=loss, radius=radius, cost=flip)

    @property
    def price(self) -> float:
        """Return eps."""
        return self.radius

    @abstractmethod
    def gains(self, z: Array, y: Array) -> Array:
        """Return ``l(z; -y) - l(z; y)``, what a flip of each label gains."""

    def multiplier(self, z: Array, y: Array, t: float) -> float:
        """Return the largest gain over kappa that a mass ``eps / kappa`` leaves, or the length."""
        left = largest_left(self.gains(z, y), self.weights, self.radius / self.cost)
        return t if left is None else max(t, left / self.cost)

    def risk(self, z: Array, y: Array, t: float) -> float:
        """Return the dual value at the best multiplier."""
        lam = self.multiplier(z, y, t)
        worst = self.loss.value(z, y) + np.maximum(self.gains(z, y) - self.cost * lam, 0.0)
        return lam * self.radius + self.mean(worst)

    def rate(self, z: Array, y: Array, t: float) -> float:
        """Return the multiplier; at radius 0 that of the first flip or step."""
        if self.radius > 0.0:
            return self.multiplier(z, y, t)
        return max(t, float(np.max(self.gains(z, y))) / self.cost)

    def moves(self, z: Array, y: Array, t: float) -> Moves:
        """Return flips where they pay, the last in part; what is left of the budget is carried."""
        n, gains = len(z), self.gains(z, y)
        order = np.argsort(-gains, kind="stable")
        worth = int(np.sum(gains[order] > self.cost * t))
        first = order[:worth]
        mass = self.counted(np.ones(n))[first]
        room = n * self.radius / self.cost - (np.cumsum(mass) - mass)
        share = np.zeros(n)
        share[first] = np.clip(room / mass, 0.0, 1.0)
        moves = split(share, np.zeros(n), np.ones(n, dtype=np.bool_), self.weights)
        every = bool((share[first] == 1.0).all())
        left = self.radius - self.cost * self.mean(share) if every else 0.0
        if left <= 0.0 or t == 0.0:
            return moves
        return carried(self.loss, z, y, moves, left, self.radius * t)

    def slopes(self, z: Array, y: Array, t: float) -> Slopes:
        """Return the slopes of the loss, and which samples flip."""
        own = self.loss.gradient(z, y)
        excess = self.gains(z, y) - self.cost * self.multiplier(z, y, t)
        flipped = (excess > 0.0).astype(np.float64)
        tied = np.abs(excess) <= TIED * (1.0 + np.abs(z))
        mass = self.counted(np.ones(len(z)))
        room = len(z) * self.radius / self.cost - float(mass[~tied] @ flipped[~tied])
        if tied.any():
            flipped[tied] = np.clip(room / float(mass[tied].sum()), 0.0, 1.0)
        return self.fitted(Slopes(own, flipped), y)

    def integrated(self, derivative: Array, guess: Slopes, y: Array, risk: float) -> Slopes:
        """Return the slopes whose flips are known."""
        return Slopes(derivative - y * guess.other, guess.other)

    def constant(self, y: Array) -> float:
        """Return the best constant once flips have spent the budget."""
        share = self.mean((y > 0.0).astype(np.float64))
        return self.loss.of_share(share, self.radius / self.cost)

    def constant_slopes(self, c: float, y: Array) -> Slopes:
        """Return even slopes where half of the labels can be flipped, else those of the loss."""
        n = len(y)
        if self.cost <= 2.0 * self.radius:
            return Slopes(-0.5 * y, np.full(n, 0.5))
        return Slopes(self.loss.gradient(np.full(n, c), y), np.zeros(n))

    def total(self, slopes: Slopes, y: Array) -> Array:
        """Return ``own + y other``."""
        return slopes.own + y * slopes.other

    def allowed(self, slopes: Slopes) -> float:
        """Return ``eps - kappa mean_i other_i``."""
        spent = self.cost * self.mean(slopes.other)
        return self.radius - spent - ROUNDING * (self.radius + spent)

    def share(self, slopes: Slopes, length: float, room: float) -> float:
        """Return the share of the slopes whose u has the length allowed."""
        return _share(self.price, length, room)

    def spared(self, slopes: Slopes, rounding: float) -> Slopes:
        """Return slopes with fewer flips."""
        most = self.radius - min(0.5 * self.radius, rounding)
        used = self.cost * self.mean(slopes.other)
        return slopes._replace(other=slopes.other * (most / used)) if used > most else slopes


@dataclass(frozen=True, kw_only=True)
class LogisticFlips(LabelFlips):
    """Flips of the logistic loss: a flip gains the margin, whatever the slope."""

    takes: ClassVar[tuple[type[ScalarLoss], ...]] = (Logistic,)

    def gains(self, z: Array, y: Array) -> Array:
        """Return the margins."""
        return y * z

    def fitted(self, slopes: Slopes, y: Array) -> Slopes:
        """Return slopes of the loss, and shares of flips."""
        return Slopes(self.loss.clip(slopes.own, y), np.clip(slopes.other, 0.0, 1.0))

    def cvxpy(self, z: cp.Variable, y: Array, length: cp.Expression, lam: cp.Variable) -> Formula:
        """Write one logistic term a sample, and what the flip gains beyond its cost."""
        import cvxpy as cp

        n = len(y)
        excess = cp.Variable(n, nonneg=True, name="excess")
        other = excess >= cp.multiply(y, z) - self.cost * lam
        cost = self.radius * lam + self.written(z, y) + self.averaged(excess, n)
        return Formula(cost, self._longer(length, lam), {"excess": excess}, {"other": other})


@dataclass(frozen=True, kw_only=True)
class HingeFlips(LabelFlips):
    """Flips of the hinge loss: ``max(0, 1 - m, 1 + m - kappa lam)`` for a margin m.

    The slopes of the two lines share a mass of 1.
    """

    takes: ClassVar[tuple[type[ScalarLoss], ...]] = (Hinge,)

    def gains(self, z: Array, y: Array) -> Array:
        """Return the difference of the two losses."""
        return self.loss.value(z, -y) - self.loss.value(z, y)

    def fitted(self, slopes: Slopes, y: Array) -> Slopes:
        """Return slopes whose sizes add up to 1 at most."""
        own, other = self.loss.clip(slopes.own, y), np.clip(slopes.other, 0.0, 1.0)
        return Slopes(np.clip(own, other - 1.0, 1.0 - other), other)

    def terms(self, slopes: Slopes, y: Array) -> Array:
        """Return what both lines add."""
        return -self.loss.conjugate(slopes.own, y) + slopes.other

    def give(self, slopes: Slopes, y: Array) -> Array:
        """Return how far the own slope may move within what the flip leaves it."""
        left = np.maximum(1.0 - np.abs(slopes.own) - slopes.other, 0.0)
        return np.minimum(super().give(slopes, y), left)

    def cvxpy(self, z: cp.Variable, y: Array, length: cp.Expression, lam: cp.Variable) -> Formula:
        """Write the largest of the three lines."""
        import cvxpy as cp

        n, margin = len(y), cp.multiply(y, z)
        s = cp.Variable(n, nonneg=True, name="s")
        duals = {"own": s >= 1.0 - margin, "other": s >= 1.0 + margin - self.cost * lam}
        cost = self.radius * lam + self.averaged(s, n)
        return Formula(cost, self._longer(length, lam), {"s": s}, duals)


def largest_left(gains: Array, weights: Array | None, budget: float) -> float | None:
    """Return the largest gain once a mass `budget` of the largest ones is gone, None if none is.

    Examples
    --------
    >>> gains = np.array([1.0, 4.0, 2.0, 3.0])
    >>> largest_left(gains, None, 0.5), largest_left(gains, np.array([1.0, 1.0, 1.0, 1.0]), 0.5)
    (2.0, 2.0)
    """
    n = len(gains)
    if weights is None:
        k = n - 1 - int(min(np.floor(n * budget), n))
        return None if k < 0 else float(np.partition(gains, k)[k])
    order = np.argsort(-gains, kind="stable")
    k = int(np.searchsorted(np.cumsum(weights[order]), n * budget, side="right"))
    return None if k >= n else float(gains[order[k]])


def _share(price: float, length: float, room: float) -> float:
    """Return the share at which ``price - share (price - room)`` is as long as u."""
    return 1.0 if length <= room else price / (length + price - room)

"""Balls of weights around the uniform ones, and the points of a worst-case problem.

The supremum of ``w'l`` over the probability weights ``w`` in a ball around ``1/n`` is the minimum
of a dual in one variable (Ben-Tal et al. 2013; Rockafellar & Uryasev 2000), where ``(.)_+`` is
the positive part, ``mean`` runs over the samples and ``rms`` is the root of the mean square:

    KL(w, 1/n) <= rho           lam rho + lam log mean exp(l / lam)            lam >= 0
    mean (n w)^2 - 1 <= rho     eta + sqrt(1 + rho) rms (l - eta)_+
    w <= 1 / (level n)          eta + mean (l - eta)_+ / level
    sum |w - 1/n| / 2 <= rho    rho max l + (1 - rho) eta + mean (l - eta)_+   eta <= max l

Each class below has the dual as ``upper``, and in ``lower`` the expected loss under weights that
``feasible`` first brought into the ball: weak duality makes both rigorous at any point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.form import solved_by
from convexnn.functions.entropies import entropies
from convexnn.functions.null_space import SMALLEST, UNIT, blocked_sums, sum_rounding

if TYPE_CHECKING:
    import cvxpy as cp

ROUNDING = 1e-14  # relative error allowed to a sum that is compared with a radius
DOUBT = 1e-13  # relative error of an entropy, and of how far weights that it allows are off


class Adversary(NamedTuple):
    """Primal point of a worst-case problem: the price of the ball, and a distribution within it.

    Attributes
    ----------
    multiplier : array of shape (m,)
        Dual variables of the ball; at any of them weak duality bounds the supremum from above.
    choice : array
        What the adversary does, as in `Choice`: the model is built from it.
    """

    multiplier: Array
    choice: Array


class Choice(NamedTuple):
    """Dual point of a worst-case problem: a distribution, which bounds the supremum from below.

    Attributes
    ----------
    choice : array of shape (N, K) or (n,)
        Share of each sample's mass that moves to each of K places, or a weight of each sample.
    """

    choice: Array


@solved_by("exact")
class Entropy(NamedTuple):
    """``KL(w, 1/n) = sum_i w_i log(n w_i) <= radius``; the multiplier is ``lam``.

    Attributes
    ----------
    losses : array of shape (n,)
    radius : float
    """

    losses: Array
    radius: float

    def upper(self, multiplier: Array) -> float:
        """Return ``lam radius + lam log mean exp(l / lam)``."""
        lam = float(multiplier[0])
        if lam == np.inf and self.radius == 0.0:
            return float(np.mean(self.losses))
        if not 0.0 <= lam < np.inf:
            return np.inf
        return lam * self.radius + softmax_value(self.losses, lam)

    def feasible(self, weights: Array) -> Array:
        """Return the weights, mixed with the uniform ones until they lie in the ball."""
        w = normal(weights)
        spread = entropy(w)
        return w if within(spread, self.radius) else mixed(w, self.radius / spread)

    def lower(self, weights: Array) -> float:
        """Return the expected loss under the feasible weights."""
        return expected(self.feasible(weights), self.losses)

    def rate(self, multiplier: Array) -> float:
        """Return the derivative of the value by the radius, ``lam``."""
        return float(multiplier[0])

    def threshold(self, multiplier: Array) -> float | None:
        """Return None: every weight is positive."""
        return None

    def cvxpy(self, w: cp.Variable) -> cp.Constraint:
        """Return the ball as a constraint; its dual value is ``lam``."""
        import cvxpy as cp

        n = len(self.losses)
        return cp.sum(cp.kl_div(n * w, np.ones(n))) / n <= self.radius

    def idle(self) -> tuple[Adversary, Choice]:
        """Return the uniform weights, and the multiplier at which the value is the largest loss.

        Without a radius the value is the mean, at a multiplier that is infinite.
        """
        return _idle(self.losses, np.inf if self.radius == 0.0 else 0.0)


@solved_by("exact")
class EntropyPenalty(NamedTuple):
    """``max_w w'l - penalty KL(w, 1/n) = penalty log mean exp(l / penalty)``: the softmax.

    The multiplier is the penalty.

    Attributes
    ----------
    losses : array of shape (n,)
    penalty : float
    """

    losses: Array
    penalty: float

    def upper(self, multiplier: Array) -> float:
        """Return the value, known in closed form; ``inf`` at any other multiplier."""
        known = multiplier[0] == self.penalty
        return softmax_value(self.losses, self.penalty) if known else np.inf

    def feasible(self, weights: Array) -> Array:
        """Return the weights, made non-negative with sum one."""
        return normal(weights)

    def lower(self, weights: Array) -> float:
        """Return the penalised expected loss."""
        w = normal(weights)
        return expected(w, self.losses) - self.penalty * entropy(w) * (1.0 + DOUBT)

    def rate(self, multiplier: Array) -> float:
        """Return the penalty: the multiplier of the ball that has the same weights."""
        return self.penalty

    def threshold(self, multiplier: Array) -> float | None:
        """Return None: every weight is positive."""
        return None

    def idle(self) -> tuple[Adversary, Choice]:
        """Return the uniform weights, and the penalty, at which the value is known."""
        return _idle(self.losses, self.penalty)


@solved_by("exact")
class ChiSquared(NamedTuple):
    """``mean (n w)^2 - 1 <= radius``; the multiplier is the threshold ``eta``.

    Attributes
    ----------
    losses : array of shape (n,)
    radius : float
    """

    losses: Array
    radius: float

    def upper(self, multiplier: Array) -> float:
        """Return ``eta + sqrt(1 + radius) rms (l - eta)_+``."""
        eta, centre = float(multiplier[0]), float(np.mean(self.losses))
        if eta == -np.inf and self.radius == 0.0:
            return centre
        if not np.isfinite(eta):
            return np.inf
        stretch = np.sqrt(1.0 + self.radius)
        if eta >= self.losses.min():
            return float(eta + stretch * rms(np.maximum(self.losses - eta, 0.0)))
        # far below the losses, eta and the root nearly cancel: rationalise their sum
        gap, spread = centre - eta, rms(self.losses - centre)
        total = gap + stretch * np.hypot(gap, spread)
        return float(
            centre
            + gap * (self.radius * gap / total)
            + spread * ((1.0 + self.radius) * spread / total)
        )

    def feasible(self, weights: Array) -> Array:
        """Return the weights, mixed with the uniform ones until they lie in the ball."""
        w = normal(weights)
        spread = float(np.mean(np.square(len(w) * w - 1.0)))
        return w if within(spread, self.radius) else mixed(w, np.sqrt(self.radius / spread))

    def lower(self, weights: Array) -> float:
        """Return the expected loss under the feasible weights."""
        return expected(self.feasible(weights), self.losses)

    def rate(self, multiplier: Array) -> float:
        """Return the derivative of the value by the radius."""
        eta = float(multiplier[0])
        if not np.isfinite(eta):
            return np.inf
        return rms(np.maximum(self.losses - eta, 0.0)) / (2.0 * float(np.sqrt(1.0 + self.radius)))

    def threshold(self, multiplier: Array) -> float | None:
        """Return ``eta``, the loss up to which samples have no weight."""
        return float(multiplier[0])

    def cvxpy(self, w: cp.Variable) -> cp.Constraint:
        """Return the ball as a second-order cone."""
        import cvxpy as cp

        root = np.sqrt(len(self.losses))
        return cp.norm(root * w, 2) <= np.sqrt(1.0 + self.radius)

    def idle(self) -> tuple[Adversary, Choice]:
        """Return the uniform weights, and the threshold at which the value is the largest loss.

        Without a radius the value is the mean, at a threshold that is infinite.
        """
        return _idle(self.losses, -np.inf if self.radius == 0.0 else float(self.losses.max()))


@solved_by("exact")
class Tail(NamedTuple):
    """``w <= 1 / (level n)``: conditional value at risk; the multiplier is the threshold ``eta``.

    Attributes
    ----------
    losses : array of shape (n,)
    level : float
        Mass of the tail of largest losses that is averaged.
    """

    losses: Array
    level: float

    def upper(self, multiplier: Array) -> float:
        """Return ``eta + mean (l - eta)_+ / level``."""
        eta = float(multiplier[0])
        if not np.isfinite(eta):
            return np.inf
        rest = (1.0 - self.level) / self.level
        return raised(self.losses, eta) + self.rate(multiplier) * rest

    def feasible(self, weights: Array) -> Array:
        """Return the weights, mixed with the uniform ones until none is too large."""
        w = normal(weights)
        n, largest = len(w), float(w.max())
        room, excess = 1.0 / (self.level * n) - 1.0 / n, largest - 1.0 / n
        return w if within(excess, room) else mixed(w, room / excess)

    def lower(self, weights: Array) -> float:
        """Return the expected loss under the feasible weights."""
        return expected(self.feasible(weights), self.losses)

    def rate(self, multiplier: Array) -> float:
        """Return the derivative of the value by ``1 / level``, ``mean (l - eta)_+``."""
        return float(np.mean(np.maximum(self.losses - multiplier[0], 0.0)))

    def threshold(self, multiplier: Array) -> float | None:
        """Return ``eta``, the value at risk."""
        return float(multiplier[0])

    def cvxpy(self, w: cp.Variable) -> cp.Constraint:
        """Return the ball as a constraint."""
        return w <= 1.0 / (self.level * len(self.losses))

    def idle(self) -> tuple[Adversary, Choice]:
        """Return the uniform weights, and the threshold at which the value is the largest loss."""
        return _idle(self.losses, float(self.losses.max()))


@solved_by("exact")
class Variation(NamedTuple):
    """``sum |w - 1/n| / 2 <= radius``, the total variation; the multiplier is ``eta``.

    Attributes
    ----------
    losses : array of shape (n,)
    radius : float
    """

    losses: Array
    radius: float

    def upper(self, multiplier: Array) -> float:
        """Return ``radius max l + (1 - radius) eta + mean (l - eta)_+``."""
        eta, top = float(multiplier[0]), float(self.losses.max())
        if eta == -np.inf and self.radius == 0.0:
            return float(np.mean(self.losses))
        if not -np.inf < eta <= top:
            return np.inf
        return raised(self.losses, eta) + self.radius * (top - eta)

    def feasible(self, weights: Array) -> Array:
        """Return the weights, mixed with the uniform ones until they lie in the ball."""
        w = normal(weights)
        distance = float(0.5 * np.sum(np.abs(w - 1.0 / len(w))))
        return w if within(distance, self.radius) else mixed(w, self.radius / distance)

    def lower(self, weights: Array) -> float:
        """Return the expected loss under the feasible weights."""
        return expected(self.feasible(weights), self.losses)

    def rate(self, multiplier: Array) -> float:
        """Return the derivative of the value by the radius, ``max l - eta``."""
        return float(self.losses.max() - multiplier[0])

    def threshold(self, multiplier: Array) -> float | None:
        """Return ``eta``, the loss below which samples lose their weight."""
        return float(multiplier[0])

    def cvxpy(self, w: cp.Variable) -> cp.Constraint:
        """Return the ball as a constraint; its dual value is ``max l - eta``."""
        import cvxpy as cp

        return 0.5 * cp.norm(w - 1.0 / len(self.losses), 1) <= self.radius

    def idle(self) -> tuple[Adversary, Choice]:
        """Return the uniform weights, and the threshold at which the value is the largest loss.

        Without a radius the value is the mean, at a threshold that is infinite.
        """
        return _idle(self.losses, -np.inf if self.radius == 0.0 else float(self.losses.max()))


def raised(losses: Array, eta: float) -> float:
    """Return ``mean max(l, eta)``: ``eta + mean (l - eta)_+`` where the two would cancel.

    Examples
    --------
    >>> raised(np.array([1.0, 3.0]), -1e300)
    2.0
    """
    return float(np.mean(np.maximum(losses, eta)))


def softmax_value(losses: Array, lam: float) -> float:
    """Return ``lam log mean exp(l / lam)``, without overflow; at ``lam = 0`` the largest loss.

    Examples
    --------
    >>> softmax_value(np.array([0.0, 1e6]), 0.0)
    1000000.0
    """
    top = float(losses.max())
    if lam == 0.0:
        return top
    with np.errstate(over="ignore"):
        below = float(np.mean(np.expm1((losses - top) / lam)))
    return top + lam * float(np.log1p(below))


def entropy(w: Array) -> float:
    """Return ``KL(w, 1/n)`` of probability weights, never negative, exact near the uniform ones.

    Examples
    --------
    >>> round(entropy(np.array([1.0, 0.0])), 4)
    0.6931
    """
    return float(entropies(len(w) * w).sum()) / len(w)


def rms(x: Array) -> float:
    """Return the root of the mean square, without overflow.

    Examples
    --------
    >>> rms(np.array([1e200, 7e200]))
    5e+200
    """
    size = float(np.max(np.abs(x)))
    return size * float(np.sqrt(np.mean(np.square(x / size)))) if size > 0.0 else 0.0


def normal(weights: Array) -> Array:
    """Return probability weights: negative ones dropped, the rest divided by their sum.

    Examples
    --------
    >>> normal(np.array([3.0, -1.0, 1.0]))
    array([0.75, 0.  , 0.25])
    """
    w = np.where(weights > 0.0, weights, 0.0)
    total = float(w.sum())
    if not 0.0 < total < np.inf:
        return np.full(len(w), 1.0 / len(w))
    scaled: Array = w / total
    return scaled


def within(size: float, limit: float) -> bool:
    """Tell whether a size respects its limit, but for the rounding of a sum.

    Examples
    --------
    >>> within(1.0 + 1e-15, 1.0), within(1.0 + 1e-13, 1.0)
    (True, False)
    """
    return size <= limit * (1.0 + ROUNDING)


def expected(w: Array, losses: Array) -> float:
    """Return the expected loss under weights of a ball, less what their rounding may amount to.

    Examples
    --------
    >>> round(expected(np.array([0.75, 0.25]), np.array([1.0, 5.0])), 9)
    2.0
    """
    centre, total = float(np.mean(losses)), float(np.sum(w))
    away = losses - centre  # their sum is exact to a share of what they differ by
    each = np.column_stack([w, np.full(len(w), 1.0 / len(w))])
    sums, sizes = blocked_sums(each, away, np.abs(away))
    gained = float(sums[0]) / total
    value = centre + gained
    rounding = sum_rounding(len(w)) * (float(sizes[0]) / total + float(sizes[1]))
    slack = 2.0 * rounding + DOUBT * abs(gained) + UNIT * (abs(value) + abs(centre))
    return value - slack - 2.0 * (len(w) + 4) * SMALLEST


def mixed(w: Array, share: float) -> Array:
    """Return ``share w + (1 - share) / n``: by convexity it deviates at most by that share.

    Examples
    --------
    >>> mixed(np.array([1.0, 0.0]), 0.5)
    array([0.75, 0.25])
    """
    result: Array = share * w + (1.0 - share) / len(w)
    return result


def _idle(losses: Array, multiplier: float) -> tuple[Adversary, Choice]:
    w = np.full(len(losses), 1.0 / len(losses))
    return Adversary(np.array([multiplier]), w), Choice(w)

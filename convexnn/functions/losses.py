"""Losses per example: value, gradient, conjugate, prox and CVXPY atom.

A loss is a convex function ``l(z; y)`` of the prediction ``z``. Everything that an engine
or a certificate needs of it stands here, so that neither ever knows a loss by name.

A dual point ``mu`` of ``min_w sum_i l((F w)_i; y_i) + penalty(w)`` is worth
``-sum_i l*(-mu_i; y_i)``; at an optimum ``-mu_i`` is a (sub)gradient of the loss.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from convexnn.contract.checks import choice, positive, probability

if TYPE_CHECKING:
    from collections.abc import Callable

    import cvxpy as cp

    from convexnn.contract.arrays import Array, IndexArray

SIMPLEX = 1e-12  # by which rounding may leave the simplex
ROUNDING = 2.0**-50  # of a probability that is written as a multiplier


class Loss(ABC):
    """A convex loss ``l(z; y)``, applied to each example.

    Subclasses are frozen dataclasses whose fields are the loss's parameters. Labels of a
    classification loss are -1 and +1.

    Attributes
    ----------
    name : str
        What users write in ``loss=``.
    classification : bool
        Whether ``y`` holds the two labels -1 and +1.
    separable : bool
        Whether each output has a loss of its own. If not, an example has k predictions ``z_i`` and
        a row ``y_i`` of k weights; predictions and targets are (n, k), losses (n,).
    residual : bool
        Whether it is a function of ``z - y``.
    curvature : float
        Largest second derivative in ``z``; ``inf`` for a loss with kinks.
    dual_curvature : float, array of shape (n,) or None
        The q of a conjugate ``q s^2 / 2 + s y`` inside its domain, each example's its own where
        they have weights; None if it is not of that form.
    cones : frozenset of str
        What a solver must know to take the CVXPY atom: some of "qp", "soc", "exp", "sdp".
    steps_differ : bool
        Whether `prox` also takes an array of steps, in a shape that multiplies ``v``.
    additive : bool
        Whether the total is a sum of what each example adds, whatever the others do. If not, the
        entries of `value` and `conjugate` are the total's shares, and only their sum means
        something.
    """

    name: ClassVar[str]
    classification: ClassVar[bool] = False
    separable: ClassVar[bool] = True
    residual: ClassVar[bool] = False
    curvature: ClassVar[float]
    dual_curvature: ClassVar[Array | float | None] = None
    cones: ClassVar[frozenset[str]]
    steps_differ: ClassVar[bool] = False
    additive: ClassVar[bool] = True

    @property
    def plain(self) -> Loss:
        """Return the loss of an example of weight 1: itself, where examples have no weights."""
        return self

    @property
    def weights(self) -> Array | None:
        """Return the weights of the examples, where they have some."""
        return None

    def part(self, rows: slice | IndexArray) -> Loss:
        """Return the loss of some of the examples."""
        return self

    def grounded(self, s: Array, y: Array) -> Loss:
        """Return a loss that is `additive` and nowhere larger in total: as large as is found at s.

        That is where its conjugate is the least one found. An additive loss is itself.
        """
        return self

    def proximal(self) -> Callable[[Array, Array, float], Array]:
        """Return `prox` for calls in a row, each near the one before."""
        return self.prox

    @abstractmethod
    def value(self, z: Array, y: Array) -> Array:
        """Return ``l(z_i; y_i)`` for each example."""

    @abstractmethod
    def gradient(self, z: Array, y: Array) -> Array:
        """Return a (sub)gradient of ``l(.; y_i)`` at ``z_i``."""

    def hessian(self, z: Array, y: Array) -> Array:
        """Return the second derivative of ``l(.; y_i)`` at ``z_i``, 0 at a kink.

        By central differences, unless a subclass knows better.
        """
        h = 1e-5 * (1.0 + np.abs(z))
        difference: Array = self.gradient(z + h, y) - self.gradient(z - h, y)
        return difference / (2.0 * h)

    @abstractmethod
    def conjugate(self, s: Array, y: Array) -> Array:
        """Return ``l*(s_i; y_i) = sup_z s_i z - l(z; y_i)``, ``inf`` outside its domain."""

    def ceiling(self, s: Array, spread: Array, y: Array) -> Array:
        """Return at least the conjugate of every point within `spread`, ``inf`` if none is known.

        Only asked of losses that couple outputs: others are at most what they are at the ends.
        """
        return np.full_like(s, np.inf)

    @abstractmethod
    def prox(self, v: Array, y: Array, step: float) -> Array:
        """Return ``argmin_z step * l(z; y_i) + (z - v_i)^2 / 2``."""

    def prox_each(self, v: Array, y: Array, steps: Array) -> Array:
        """Return `prox` with a step of its own for each example; `steps` multiplies ``v``.

        For one of the different steps after the other, unless `steps_differ`.
        """
        if self.steps_differ:
            return self.prox(v, y, steps)  # type: ignore[arg-type]
        out = np.empty_like(v)
        for step in np.unique(steps):
            rows = np.flatnonzero(steps == step)
            out[rows] = self.prox(v[rows], y[rows], float(step))
        return out

    @abstractmethod
    def domain(self, y: Array) -> tuple[Array | float, Array | float]:
        """Return the bounds of the conjugate's domain, ``low <= 0 <= high``."""

    @abstractmethod
    def cvxpy(self, z: cp.Expression, y: Array) -> cp.Expression:
        """Return the sum of the loss over the examples as a CVXPY expression."""

    def each_cvxpy(self, z: cp.Expression, y: Array) -> cp.Expression:
        """Return the loss of each prediction in CVXPY, in the shape of what `value` returns.

        Entry by entry, unless a subclass knows better.
        """
        import cvxpy as cp

        if self.separable and y.ndim > 1:
            columns = [self.each_cvxpy(z[:, c], y[:, c]) for c in range(y.shape[1])]
            return cp.vstack(columns).T
        return cp.hstack([self.cvxpy(z[i : i + 1], y[i : i + 1]) for i in range(len(y))])

    def weighed(self, z: cp.Expression, y: Array, weights: Array) -> cp.Expression:
        """Return the sum of the loss over the examples, each times its weight, in CVXPY."""
        import cvxpy as cp

        counts = _each(weights, y) if self.separable else weights
        return cp.sum(cp.multiply(counts, self.each_cvxpy(z, y)))

    def program(self, z: cp.Expression, y: Array) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return the total as a CVXPY expression, and constraints that go with it."""
        return self.cvxpy(z, y), []

    def touching(self, s: Array, y: Array) -> Array:
        """Return predictions at which s, in the conjugate's domain, is a (sub)gradient.

        By bisection, unless a subclass knows better.
        """
        low, high = np.full_like(s, -1.0), np.full_like(s, 1.0)
        for _ in range(60):
            low = np.where(self.gradient(low, y) > s, 2.0 * low, low)
            high = np.where(self.gradient(high, y) < s, 2.0 * high, high)
        for _ in range(80):
            z = 0.5 * (low + high)
            above = self.gradient(z, y) > s
            low, high = np.where(above, low, z), np.where(above, z, high)
        return 0.5 * (low + high)

    def softening(self, z: Array, y: Array, steps: Array) -> Array:
        """Return ``g'(I + t H)^(-1) g``, g the gradient and H the second derivative at z.

        That is by how much the loss at its prox falls with the step t. For each entry by itself,
        unless a subclass knows better.
        """
        return np.square(self.gradient(z, y)) / (1.0 + steps * self.hessian(z, y))

    def bending(self, s: Array, z: Array, y: Array) -> Array:
        """Return ``s'H^(-1) s``, H the second derivative at the predictions z that s touches.

        That is by how much the loss there grows with a factor of s. For each entry by itself, and 0
        where the conjugate is linear, unless a subclass knows better.
        """
        if self.dual_curvature is not None:
            return np.square(s) * self.dual_curvature
        return np.square(s) / np.maximum(self.hessian(z, y), np.finfo(np.float64).tiny)

    def clip(self, s: Array, y: Array) -> Array:
        """Return the point of the conjugate's domain nearest to ``s``."""
        low, high = self.domain(y)
        nearest: Array = np.minimum(np.maximum(s, low), high)
        return nearest


class ScalarLoss(Loss):
    """A loss of one output."""

    def constant(self, y: Array) -> float:
        """Return the constant prediction of least total loss.

        By bisection between the least and the largest target, unless a subclass knows better.
        """
        low, high = float(np.min(y)), float(np.max(y))
        for _ in range(200):  # to rounding
            c = 0.5 * (low + high)
            if float(self.gradient(np.full_like(y, c), y).sum()) > 0.0:
                high = c
            else:
                low = c
        return 0.5 * (low + high)


class LipschitzLoss(ScalarLoss):
    """A loss of one output whose slope is bounded."""

    @property
    def slope(self) -> float:
        """Return the largest slope, the same for each target; 1 unless a subclass knows better."""
        return 1.0

    @abstractmethod
    def recession(self, z: Array, y: Array) -> tuple[Array, Array]:
        """Return the side, -1 or 1, on which the loss grows fastest, and what it lacks on the way.

        That is the limit of ``slope t - (l(z + side t; y) - l(z; y))`` for a growing ``t``, and 0
        where the loss grows at its largest slope from z on.
        """


class BinaryLoss(LipschitzLoss):
    """A loss of labels -1 and +1 that grows towards the wrong side, at the slope 1 at most."""

    classification: ClassVar[bool] = True

    @abstractmethod
    def level(self, share: float) -> float:
        """Return the best constant where a share of the labels, at least a half, is +1."""

    def constant(self, y: Array, spoilt: float = 0.0) -> float:
        """Return the best constant once a share of the labels was flipped against it."""
        return self.of_share(float(np.mean(y > 0.0)), spoilt)

    def of_share(self, positive: float, spoilt: float = 0.0) -> float:
        """Return the same where a share `positive` of the labels is +1."""
        share = max(positive, 1.0 - positive)
        if spoilt > 0.0:
            share = max(share - spoilt, 0.5)
        level = self.level(share)
        return level if positive >= 0.5 else 0.0 - level


@dataclass(frozen=True)
class Squared(ScalarLoss):
    """``l(z; y) = (z - y)^2 / 2``.

    Examples
    --------
    >>> Squared().value(np.array([3.0]), np.array([1.0]))
    array([2.])
    """

    name: ClassVar[str] = "squared"
    residual: ClassVar[bool] = True
    curvature: ClassVar[float] = 1.0
    dual_curvature: ClassVar[float | None] = 1.0
    cones: ClassVar[frozenset[str]] = frozenset({"qp"})
    steps_differ: ClassVar[bool] = True

    def value(self, z: Array, y: Array) -> Array:
        """Return ``(z - y)^2 / 2``."""
        return 0.5 * np.square(z - y)

    def gradient(self, z: Array, y: Array) -> Array:
        """Return ``z - y``."""
        return z - y

    def hessian(self, z: Array, y: Array) -> Array:
        """Return ones."""
        return np.ones_like(z)

    def conjugate(self, s: Array, y: Array) -> Array:
        """Return ``s^2 / 2 + s y``."""
        return s * (0.5 * s + y)

    def touching(self, s: Array, y: Array) -> Array:
        """Return ``y + s``."""
        return y + s

    def prox(self, v: Array, y: Array, step: Array | float) -> Array:
        """Return ``(v + step y) / (1 + step)``."""
        return (v + step * y) / (1.0 + step)

    def domain(self, y: Array) -> tuple[Array | float, Array | float]:
        """Return the whole line."""
        return -np.inf, np.inf

    def constant(self, y: Array) -> float:
        """Return the mean."""
        return float(np.mean(y))

    def cvxpy(self, z: cp.Expression, y: Array) -> cp.Expression:
        """Return ``sum_squares(z - y) / 2``."""
        import cvxpy as cp

        return 0.5 * cp.sum_squares(z - y)

    def each_cvxpy(self, z: cp.Expression, y: Array) -> cp.Expression:
        """Return ``square(z - y) / 2``."""
        import cvxpy as cp

        return 0.5 * cp.square(z - y)

    def weighed(self, z: cp.Expression, y: Array, weights: Array) -> cp.Expression:
        """Return ``sum_squares(sqrt(weights) * (z - y)) / 2``."""
        import cvxpy as cp

        return 0.5 * cp.sum_squares(cp.multiply(np.sqrt(_each(weights, y)), z - y))


@dataclass(frozen=True)
class Huber(LipschitzLoss):
    """``l(z; y) = r^2 / 2`` where ``r = |z - y| <= delta``, and ``delta r - delta^2 / 2`` beyond.

    Parameters
    ----------
    delta : float, default 1.0
        Residual, in the units of ``y``, at which the loss turns linear; > 0.

    Examples
    --------
    >>> Huber(delta=1.0).value(np.array([0.5, 3.0]), np.zeros(2))
    array([0.125, 2.5  ])
    """

    delta: float = 1.0

    name: ClassVar[str] = "huber"
    residual: ClassVar[bool] = True
    curvature: ClassVar[float] = 1.0
    dual_curvature: ClassVar[float | None] = 1.0
    cones: ClassVar[frozenset[str]] = frozenset({"qp"})
    steps_differ: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "delta", positive("delta", self.delta))

    def value(self, z: Array, y: Array) -> Array:
        """Return the loss of each residual."""
        r = np.abs(z - y)
        inside = np.minimum(r, self.delta)
        return inside * (r - 0.5 * inside)

    def gradient(self, z: Array, y: Array) -> Array:
        """Return the residual clipped to ``[-delta, delta]``."""
        return np.clip(z - y, -self.delta, self.delta)

    def hessian(self, z: Array, y: Array) -> Array:
        """Return 1 where the residual is smaller than delta."""
        return (np.abs(z - y) < self.delta).astype(np.float64)

    def touching(self, s: Array, y: Array) -> Array:
        """Return ``y + s``."""
        return y + s

    def conjugate(self, s: Array, y: Array) -> Array:
        """Return ``s^2 / 2 + s y`` for ``|s| <= delta``."""
        return np.where(np.abs(s) <= self.delta, s * (0.5 * s + y), np.inf)

    def prox(self, v: Array, y: Array, step: Array | float) -> Array:
        """Return ``v - step clip((v - y) / (1 + step), -delta, delta)``."""
        return v - step * np.clip((v - y) / (1.0 + step), -self.delta, self.delta)

    def domain(self, y: Array) -> tuple[Array | float, Array | float]:
        """Return ``(-delta, delta)``."""
        return -self.delta, self.delta

    @property
    def slope(self) -> float:
        """Return delta."""
        return self.delta

    def recession(self, z: Array, y: Array) -> tuple[Array, Array]:
        """Return the side of the residual and ``(delta - |r|)_+^2 / 2``."""
        r = z - y
        short = np.maximum(self.delta - np.abs(r), 0.0)
        return np.where(r >= 0.0, 1.0, -1.0), 0.5 * np.square(short)

    def cvxpy(self, z: cp.Expression, y: Array) -> cp.Expression:
        """Return ``sum(huber(z - y, delta)) / 2``, CVXPY's atom being twice this loss."""
        import cvxpy as cp

        return 0.5 * cp.sum(cp.huber(z - y, self.delta))

    def each_cvxpy(self, z: cp.Expression, y: Array) -> cp.Expression:
        """Return ``huber(z - y, delta) / 2``."""
        import cvxpy as cp

        return 0.5 * cp.huber(z - y, self.delta)


@dataclass(frozen=True)
class Logistic(BinaryLoss):
    """``l(z; y) = log(1 + exp(-y z))``, labels -1 and +1.

    Examples
    --------
    >>> Logistic().value(np.array([0.0]), np.array([1.0])).round(4)
    array([0.6931])
    """

    name: ClassVar[str] = "logistic"
    curvature: ClassVar[float] = 0.25
    dual_curvature: ClassVar[float | None] = None
    cones: ClassVar[frozenset[str]] = frozenset({"exp"})
    steps_differ: ClassVar[bool] = True

    def value(self, z: Array, y: Array) -> Array:
        """Return ``log(1 + exp(-y z))``, without overflow."""
        return np.logaddexp(0.0, -y * z)

    def gradient(self, z: Array, y: Array) -> Array:
        """Return ``-y / (1 + exp(y z))``."""
        return -y * _sigmoid(-y * z)

    def hessian(self, z: Array, y: Array) -> Array:
        """Return ``p (1 - p)`` with ``p = 1 / (1 + exp(y z))``."""
        p = _sigmoid(-y * z)
        return p * (1.0 - p)

    def conjugate(self, s: Array, y: Array) -> Array:
        """Return ``p log p + (1 - p) log(1 - p)`` with ``p = -y s`` in [0, 1]."""
        p = -y * s
        inside = (p >= 0.0) & (p <= 1.0)
        q = np.where(inside, p, 0.0)
        return np.where(inside, _xlogx(q) + _xlogx(1.0 - q), np.inf)

    def touching(self, s: Array, y: Array) -> Array:
        """Return ``y log((1 - p) / p)`` of ``p = -y s``."""
        p = np.clip(-y * s, np.finfo(np.float64).tiny, 1.0 - np.finfo(np.float64).epsneg)
        z: Array = y * (np.log1p(-p) - np.log(p))
        return z

    def prox(self, v: Array, y: Array, step: Array | float) -> Array:
        """Return the root of ``m - y v = step / (1 + exp(m))`` times ``y``, by Newton's method."""
        # Left of the root where it is positive (the excess is concave there), right of it where
        # it is negative (convex there): from such a start Newton's method is monotone.
        start = y * v
        m = np.where(
            start + 0.5 * step > 0.0, np.maximum(start, 0.0), np.minimum(start + step, 0.0)
        )
        for _ in range(100):
            p = _sigmoid(-m)
            change = (m - start - step * p) / (1.0 + step * p * (1.0 - p))
            m = m - change
            if np.all(np.abs(change) <= 4e-15 * (1.0 + np.abs(m))):
                break
        return y * m

    def domain(self, y: Array) -> tuple[Array | float, Array | float]:
        """Return ``-y s`` in [0, 1]."""
        return np.minimum(-y, 0.0), np.maximum(-y, 0.0)

    def level(self, share: float) -> float:
        """Return the logarithm of the odds."""
        return float(np.log(share / (1.0 - share)))

    def recession(self, z: Array, y: Array) -> tuple[Array, Array]:
        """Return ``-y`` and ``log(1 + exp(y z))``: the slope 1 is reached at infinity only."""
        return -y, np.maximum(np.logaddexp(0.0, y * z), np.finfo(np.float64).tiny)

    def cvxpy(self, z: cp.Expression, y: Array) -> cp.Expression:
        """Return ``sum(logistic(-y z))``."""
        import cvxpy as cp

        return cp.sum(cp.logistic(cp.multiply(-y, z)))

    def each_cvxpy(self, z: cp.Expression, y: Array) -> cp.Expression:
        """Return ``logistic(-y z)``."""
        import cvxpy as cp

        return cp.logistic(cp.multiply(-y, z))


@dataclass(frozen=True)
class Hinge(BinaryLoss):
    """``l(z; y) = max(0, 1 - y z)``, labels -1 and +1.

    Examples
    --------
    >>> Hinge().value(np.array([0.25, 2.0]), np.ones(2))
    array([0.75, 0.  ])
    """

    name: ClassVar[str] = "hinge"
    curvature: ClassVar[float] = np.inf
    dual_curvature: ClassVar[float | None] = 0.0
    cones: ClassVar[frozenset[str]] = frozenset()
    steps_differ: ClassVar[bool] = True

    def value(self, z: Array, y: Array) -> Array:
        """Return ``max(0, 1 - y z)``."""
        return np.maximum(0.0, 1.0 - y * z)

    def gradient(self, z: Array, y: Array) -> Array:
        """Return ``-y`` where ``y z < 1``, else 0."""
        return np.where(y * z < 1.0, -y, 0.0)

    def hessian(self, z: Array, y: Array) -> Array:
        """Return zeros."""
        return np.zeros_like(z)

    def conjugate(self, s: Array, y: Array) -> Array:
        """Return ``y s`` for ``-y s`` in [0, 1]."""
        p = -y * s
        return np.where((p >= 0.0) & (p <= 1.0), -p, np.inf)

    def touching(self, s: Array, y: Array) -> Array:
        """Return y, where the kink is."""
        return y + 0.0 * s

    def prox(self, v: Array, y: Array, step: Array | float) -> Array:
        """Move the margin ``y v`` up by at most ``step``, no further than 1."""
        m = y * v
        return y * np.maximum(m, np.minimum(m + step, 1.0))

    def domain(self, y: Array) -> tuple[Array | float, Array | float]:
        """Return ``-y s`` in [0, 1]."""
        return np.minimum(-y, 0.0), np.maximum(-y, 0.0)

    def level(self, share: float) -> float:
        """Return 1, or 0 where the labels are even."""
        return 1.0 if share > 0.5 else 0.0

    def recession(self, z: Array, y: Array) -> tuple[Array, Array]:
        """Return ``-y`` and ``(y z - 1)_+``."""
        return -y, np.maximum(y * z - 1.0, 0.0)

    def cvxpy(self, z: cp.Expression, y: Array) -> cp.Expression:
        """Return ``sum(pos(1 - y z))``."""
        import cvxpy as cp

        return cp.sum(cp.pos(1.0 - cp.multiply(y, z)))

    def each_cvxpy(self, z: cp.Expression, y: Array) -> cp.Expression:
        """Return ``pos(1 - y z)``."""
        import cvxpy as cp

        return cp.pos(1.0 - cp.multiply(y, z))


@dataclass(frozen=True)
class Quantile(LipschitzLoss):
    """``l(z; y) = max(tau r, (tau - 1) r)`` with ``r = y - z``: the pinball loss of regression.

    Parameters
    ----------
    tau : float, default 0.5
        Level of the quantile that the loss elicits, in (0, 1).

    Examples
    --------
    >>> Quantile(tau=0.9).value(np.array([0.0, 2.0]), np.ones(2))
    array([0.9, 0.1])
    """

    tau: float = 0.5

    name: ClassVar[str] = "quantile"
    residual: ClassVar[bool] = True
    curvature: ClassVar[float] = np.inf
    dual_curvature: ClassVar[float | None] = 0.0
    cones: ClassVar[frozenset[str]] = frozenset()
    steps_differ: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "tau", probability("tau", self.tau))

    def value(self, z: Array, y: Array) -> Array:
        """Return the loss of each residual."""
        r = y - z
        return np.maximum(self.tau * r, (self.tau - 1.0) * r)

    def gradient(self, z: Array, y: Array) -> Array:
        """Return ``-tau`` below y, ``1 - tau`` from y on."""
        return np.where(z < y, -self.tau, 1.0 - self.tau)

    def hessian(self, z: Array, y: Array) -> Array:
        """Return zeros."""
        return np.zeros_like(z)

    def conjugate(self, s: Array, y: Array) -> Array:
        """Return ``s y`` for s in ``[-tau, 1 - tau]``."""
        inside = (s >= -self.tau) & (s <= 1.0 - self.tau)
        return np.where(inside, s * y, np.inf)

    def touching(self, s: Array, y: Array) -> Array:
        """Return y, where the kink is."""
        return y + 0.0 * s

    def prox(self, v: Array, y: Array, step: Array | float) -> Array:
        """Move v towards y by ``step tau`` from below, ``step (1 - tau)`` from above."""
        return np.where(
            v < y, np.minimum(v + step * self.tau, y), np.maximum(v - step * (1.0 - self.tau), y)
        )

    def domain(self, y: Array) -> tuple[Array | float, Array | float]:
        """Return ``(-tau, 1 - tau)``."""
        return -self.tau, 1.0 - self.tau

    @property
    def slope(self) -> float:
        """Return the larger of tau and ``1 - tau``."""
        return max(self.tau, 1.0 - self.tau)

    def constant(self, y: Array) -> float:
        """Return the quantile of the targets."""
        return float(np.quantile(y, self.tau, method="inverted_cdf"))

    def recession(self, z: Array, y: Array) -> tuple[Array, Array]:
        """Return the side of the steeper line, and by how much z lies on the other."""
        r = z - y
        if self.tau == 0.5:
            return np.where(r >= 0.0, 1.0, -1.0), np.zeros_like(r)
        side = -1.0 if self.tau > 0.5 else 1.0
        return np.full_like(r, side), np.maximum(-side * r, 0.0)

    def cvxpy(self, z: cp.Expression, y: Array) -> cp.Expression:
        """Return the sum of the larger of the two lines."""
        import cvxpy as cp

        return cp.sum(cp.maximum(self.tau * (y - z), (self.tau - 1.0) * (y - z)))

    def each_cvxpy(self, z: cp.Expression, y: Array) -> cp.Expression:
        """Return the larger of the two lines."""
        import cvxpy as cp

        return cp.maximum(self.tau * (y - z), (self.tau - 1.0) * (y - z))


@dataclass(frozen=True)
class Absolute(LipschitzLoss):
    """``l(z; y) = |z - y|``.

    Examples
    --------
    >>> Absolute().value(np.array([3.0]), np.array([1.0]))
    array([2.])
    """

    name: ClassVar[str] = "absolute"
    residual: ClassVar[bool] = True
    curvature: ClassVar[float] = np.inf
    dual_curvature: ClassVar[float | None] = 0.0
    cones: ClassVar[frozenset[str]] = frozenset()
    steps_differ: ClassVar[bool] = True

    def value(self, z: Array, y: Array) -> Array:
        """Return ``|z - y|``."""
        return np.abs(z - y)

    def gradient(self, z: Array, y: Array) -> Array:
        """Return the sign of the residual."""
        return np.sign(z - y)

    def hessian(self, z: Array, y: Array) -> Array:
        """Return zeros."""
        return np.zeros_like(z)

    def conjugate(self, s: Array, y: Array) -> Array:
        """Return ``s y`` for s in ``[-1, 1]``."""
        return np.where(np.abs(s) <= 1.0, s * y, np.inf)

    def touching(self, s: Array, y: Array) -> Array:
        """Return y, where the kink is."""
        return y + 0.0 * s

    def prox(self, v: Array, y: Array, step: Array | float) -> Array:
        """Move v towards y by ``step`` at most."""
        nearest: Array = y + np.sign(v - y) * np.maximum(np.abs(v - y) - step, 0.0)
        return nearest

    def domain(self, y: Array) -> tuple[Array | float, Array | float]:
        """Return ``(-1, 1)``."""
        return -1.0, 1.0

    def constant(self, y: Array) -> float:
        """Return the median of the targets."""
        return float(np.median(y))

    def recession(self, z: Array, y: Array) -> tuple[Array, Array]:
        """Return the side of the residual, and zeros."""
        return np.where(z >= y, 1.0, -1.0), np.zeros_like(z)

    def cvxpy(self, z: cp.Expression, y: Array) -> cp.Expression:
        """Return ``sum(abs(z - y))``."""
        import cvxpy as cp

        return cp.sum(cp.abs(z - y))

    def each_cvxpy(self, z: cp.Expression, y: Array) -> cp.Expression:
        """Return ``abs(z - y)``."""
        import cvxpy as cp

        return cp.abs(z - y)


@dataclass(frozen=True)
class Softmax(Loss):
    """``l(z; y) = log(sum_c exp z_c) - y'z``: cross-entropy, ``y`` a row of class probabilities.

    With ``p = s + y`` its conjugate is ``sum_c p_c log p_c`` on the simplex, where ``p >= 0`` and
    ``sum_c p_c = 1``.

    Examples
    --------
    >>> Softmax().value(np.zeros((1, 4)), np.array([[0.0, 1.0, 0.0, 0.0]])).round(4)
    array([1.3863])
    """

    name: ClassVar[str] = "softmax"
    classification: ClassVar[bool] = True
    separable: ClassVar[bool] = False
    curvature: ClassVar[float] = 0.5
    dual_curvature: ClassVar[float | None] = None
    cones: ClassVar[frozenset[str]] = frozenset({"exp"})
    steps_differ: ClassVar[bool] = True

    def value(self, z: Array, y: Array) -> Array:
        """Return ``log sum exp z - y'z``, without overflow."""
        top = z.max(axis=-1, keepdims=True)
        spread: Array = np.log(np.exp(z - top).sum(axis=-1)) - (y * (z - top)).sum(axis=-1)
        return spread

    def gradient(self, z: Array, y: Array) -> Array:
        """Return ``softmax(z) - y``."""
        return self.probabilities(z) - y

    def probabilities(self, z: Array) -> Array:
        """Return ``softmax(z)``: ``p``, the full second derivative being ``diag(p) - p p'``."""
        e = np.exp(z - z.max(axis=-1, keepdims=True))
        result: Array = e / e.sum(axis=-1, keepdims=True)
        return result

    def hessian(self, z: Array, y: Array) -> Array:
        """Return the diagonal, ``p (1 - p)``."""
        p = self.probabilities(z)
        return p * (1.0 - p)

    def conjugate(self, s: Array, y: Array) -> Array:
        """Return ``sum p log p`` for ``p = s + y`` in the simplex, up to rounding."""
        p = s + y
        inside = (p >= -SIMPLEX).all(axis=-1) & (np.abs(p.sum(axis=-1) - 1.0) <= SIMPLEX)
        return np.where(inside, _xlogx(np.maximum(p, 0.0)).sum(axis=-1), np.inf)

    def ceiling(self, s: Array, spread: Array, y: Array) -> Array:
        """Return the largest ``p log p`` of each class, ``p`` being within `spread` of ``s + y``.

        Their sum is at least the conjugate of every point of the simplex that near.
        """
        p, off = s + y, spread + ROUNDING
        ends = (np.clip(p + side, 0.0, 1.0) for side in (-off, off))
        result: Array = np.maximum(*map(_xlogx, ends))
        return result

    def prox(self, v: Array, y: Array, step: Array | float) -> Array:
        """Return ``v + step (y - p)`` for the ``p = softmax`` of the result itself.

        With ``tau`` the logarithm of the sum, ``step p_c = omega(b_c - tau + log step)`` where
        ``b = v + step y`` and ``omega + log omega = x`` (Wright's function). That the sum is
        ``step`` is one convex equation in tau, solved by Newton's method from the left.
        """
        from scipy.special import wrightomega

        b = v + step * y
        top = b.max(axis=-1, keepdims=True)
        level = np.log(step) + b - top  # at most log step: rounding does not grow with b
        tau = np.full_like(top, -step)
        for _ in range(200):
            w = wrightomega(level - tau)
            change = (w.sum(axis=-1, keepdims=True) - step) / (w / (1.0 + w)).sum(
                axis=-1, keepdims=True
            )
            tau = tau + change
            if np.all(np.abs(change) <= 4e-15 * (1.0 + np.abs(tau))):
                break
        result: Array = b - wrightomega(level - tau)
        return result

    def domain(self, y: Array) -> tuple[Array | float, Array | float]:
        """Return ``0 <= s + y <= 1``; beyond that, the sum of s is 0."""
        return -y, 1.0 - y

    def clip(self, s: Array, y: Array) -> Array:
        """Return the point with ``s + y`` in the simplex nearest to ``s`` (Held et al. 1974)."""
        p = s + y
        order = -np.sort(-p, axis=-1)
        level = (np.cumsum(order, axis=-1) - 1.0) / np.arange(1, p.shape[-1] + 1)
        last = np.maximum((order > level).sum(axis=-1, keepdims=True) - 1, 0)
        nearest = np.maximum(p - np.take_along_axis(level, last, axis=-1), 0.0)
        result: Array = nearest - y
        return result

    def cvxpy(self, z: cp.Expression, y: Array) -> cp.Expression:
        """Return ``sum(log_sum_exp(z, axis=1)) - sum(y * z)``."""
        import cvxpy as cp

        return cp.sum(cp.log_sum_exp(z, axis=1)) - cp.sum(cp.multiply(y, z))

    def each_cvxpy(self, z: cp.Expression, y: Array) -> cp.Expression:
        """Return ``log_sum_exp(z, axis=1) - sum(y * z, axis=1)``."""
        import cvxpy as cp

        return cp.log_sum_exp(z, axis=1) - cp.sum(cp.multiply(y, z), axis=1)

    def touching(self, s: Array, y: Array) -> Array:
        """Return ``log p`` of ``p = s + y``."""
        p: Array = np.log(np.maximum(s + y, np.finfo(np.float64).tiny))
        return p

    def softening(self, z: Array, y: Array, steps: Array) -> Array:
        """Return ``g'(I + t (diag p - p p'))^(-1) g`` for each example (Sherman & Morrison)."""
        p = self.probabilities(z)
        g, scale = p - y, 1.0 + steps * p
        through, own = (g * p / scale).sum(axis=-1), (p * p / scale).sum(axis=-1)
        t = np.reshape(steps, (-1,) if np.ndim(steps) else ())
        plain: Array = (g * g / scale).sum(axis=-1) + t * through**2 / (1.0 - t * own)
        return plain

    def bending(self, s: Array, z: Array, y: Array) -> Array:
        """Return ``sum s^2 / p`` for each example."""
        p = np.maximum(self.probabilities(z), np.finfo(np.float64).tiny)
        sizes: Array = (s * s / p).sum(axis=-1)
        return sizes


LOSSES: dict[str, Loss] = {
    loss.name: loss for loss in (Squared(), Logistic(), Hinge(), Huber(), Absolute())
}
COUPLED: dict[str, Loss] = {"softmax": Softmax()}  # those that need several outputs
KINDS: dict[str, type[Loss]] = {  # of all losses of this package, by their names
    name: type(loss) for name, loss in (LOSSES | COUPLED).items()
} | {Quantile.name: Quantile}


def as_loss(loss: str | Loss) -> Loss:
    """Return the loss of that name, or the loss itself.

    Raises
    ------
    ProblemError
        If no loss has that name; the message lists those that exist.

    Examples
    --------
    >>> as_loss("huber")
    Huber(delta=1.0)
    """
    if isinstance(loss, Loss):
        return loss
    named = LOSSES | COUPLED
    return named[choice("loss", loss, named)]


def _each(weights: Array, y: Array) -> Array:
    """Return the weight of each target, in the shape of the targets."""
    shape = (-1, *(1,) * (y.ndim - 1))
    return np.broadcast_to(weights.reshape(shape), y.shape)


def _sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0.0, 1.0, e) / (1.0 + e)


def _xlogx(p: Array) -> Array:
    return p * np.log(np.where(p > 0.0, p, 1.0))

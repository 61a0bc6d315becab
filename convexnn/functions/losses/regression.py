"""Losses of a residual ``z - y``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from convexnn.contract.checks import positive, probability
from convexnn.functions.losses.base import LipschitzLoss, ScalarLoss, each

if TYPE_CHECKING:
    import cvxpy as cp

    from convexnn.contract.arrays import Array


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

        return 0.5 * cp.sum_squares(cp.multiply(np.sqrt(each(weights, y)), z - y))


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

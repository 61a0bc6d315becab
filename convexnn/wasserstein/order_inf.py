"""Balls of Wasserstein order inf: no sample moves further than the radius.

With ``t`` the length of the model and ``kappa`` the cost of a unit of the target:

    margins             mean_i l(z_i - y_i eps t; y_i)
    squared residuals   mean_i (|r_i| + eps max(t, 1 / kappa))^2
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from convexnn.functions.losses import BinaryLoss, Hinge, Logistic, ScalarLoss, Squared
from convexnn.wasserstein.distribution_ball import DistributionBall, Formula
from convexnn.wasserstein.forms import ROUNDING, Slopes
from convexnn.wasserstein.moves import Moves, whole

if TYPE_CHECKING:
    import cvxpy as cp

    from convexnn.contract.arrays import Array


@dataclass(frozen=True, kw_only=True)
class ShiftedMargins(DistributionBall):
    """Order inf, labels: every margin falls by ``eps t``."""

    loss: BinaryLoss

    order: ClassVar[float] = np.inf
    takes: ClassVar[tuple[type[ScalarLoss], ...]] = (Logistic, Hinge)
    homogeneous: ClassVar[bool] = True
    lifts: ClassVar[bool] = True

    def risk(self, z: Array, y: Array, t: float) -> float:
        """Return the mean loss of the lower margins."""
        return self.mean(self.loss.value(z - y * (self.radius * t), y))

    def rate(self, z: Array, y: Array, t: float) -> float:
        """Return ``t mean_i |own_i|``."""
        return t * self.mean(np.abs(self.slopes(z, y, t).own))

    def moves(self, z: Array, y: Array, t: float) -> Moves:
        """Return every margin lowered."""
        return whole(-y * self.radius, self.weights)

    def slopes(self, z: Array, y: Array, t: float) -> Slopes:
        """Return the slopes of the loss at the lower margins."""
        return Slopes(self.loss.gradient(z - y * (self.radius * t), y), np.zeros_like(z))

    def allowed(self, slopes: Slopes) -> float:
        """Return ``eps mean_i |own_i|``."""
        return self.radius * self.mean(np.abs(slopes.own)) * (1.0 - ROUNDING)

    def cvxpy(self, z: cp.Variable, y: Array, length: cp.Expression, lam: cp.Variable) -> Formula:
        """Write the mean loss of the lower margins."""
        import cvxpy as cp

        cost = self.written(z - cp.multiply(y, self.radius * lam), y)
        return Formula(cost, self._longer(length, lam), {}, {})


@dataclass(frozen=True, kw_only=True)
class StretchedResiduals(DistributionBall):
    """Order inf, squared residuals: every residual grows by ``eps max(t, 1 / kappa)``.

    The own slopes are the whole slopes, the others weights of the shift, at least ``|own|``.
    """

    order: ClassVar[float] = np.inf
    takes: ClassVar[tuple[type[ScalarLoss], ...]] = (Squared,)
    homogeneous: ClassVar[bool] = True

    @property
    def scale(self) -> float:
        """Return 2."""
        return 2.0

    def risk(self, z: Array, y: Array, t: float) -> float:
        """Return the mean square of the longer residuals."""
        return self.mean((np.abs(z - y) + self.radius * self.reach(t)) ** 2)

    def rate(self, z: Array, y: Array, t: float) -> float:
        """Return ``2 lam mean_i (|r_i| + eps lam)`` with ``lam = max(t, 1 / kappa)``."""
        lam = self.reach(t)
        return 2.0 * lam * self.mean(np.abs(z - y) + self.radius * lam)

    def moves(self, z: Array, y: Array, t: float) -> Moves:
        """Return every residual stretched."""
        return whole(np.where(z >= y, 1.0, -1.0) * self.radius, self.weights)

    def slopes(self, z: Array, y: Array, t: float) -> Slopes:
        """Return twice the longer residuals."""
        r = z - y
        slope = 2.0 * (np.abs(r) + self.radius * self.reach(t))
        return Slopes(np.sign(r) * slope, slope)

    def fitted(self, slopes: Slopes, y: Array) -> Slopes:
        """Return weights of the shift that are no less than the slopes' sizes."""
        return Slopes(slopes.own, np.maximum(slopes.other, np.abs(slopes.own)))

    def terms(self, slopes: Slopes, y: Array) -> Array:
        """Return ``-own y - other^2 / 4``."""
        return -slopes.own * y - 0.25 * slopes.other**2

    def allowed(self, slopes: Slopes) -> float:
        """Return ``eps mean_i other_i``."""
        return self.radius * self.mean(slopes.other) * (1.0 - ROUNDING)

    def roomy(self, slopes: Slopes, length: float, room: float) -> Slopes:
        """Return slopes with weights of the shift that make the room."""
        if length <= room:
            return slopes
        more = (length - room) / self.radius
        more += 4.0 * ROUNDING * (float(np.max(slopes.other)) + length / self.radius)
        return Slopes(slopes.own, slopes.other + more)

    def moved(self, slopes: Slopes, step: Array) -> Slopes:
        """Return slopes after a step, their weights of the shift no less than before."""
        return Slopes(slopes.own + step, slopes.other + np.abs(step))

    def cvxpy(self, z: cp.Variable, y: Array, length: cp.Expression, lam: cp.Variable) -> Formula:
        """Write the mean square of the longer residuals."""
        import cvxpy as cp

        longer = cp.abs(z - y) + self.radius * lam
        if self.weights is not None:
            longer = cp.multiply(np.sqrt(self.weights), longer)
        cost = cp.sum_squares(longer) / len(y)
        return Formula(cost, self._longer(length, lam), {}, {})

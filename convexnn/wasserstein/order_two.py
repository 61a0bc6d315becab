"""Balls of Wasserstein order 2: the mean square of the distance is bounded.

With ``t`` the length of the model and ``kappa`` the cost of a unit of the target:

    hinge               min_{lam >= 0} lam eps^2 + mean_i (1 - y_i z_i + t^2 / (4 lam))_+
    squared residuals   (sqrt(mean_i r_i^2) + eps max(t, 1 / kappa))^2
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from convexnn.functions.losses import Hinge, ScalarLoss, Squared
from convexnn.wasserstein.distribution_ball import DistributionBall, Formula
from convexnn.wasserstein.forms import ROUNDING, Slopes
from convexnn.wasserstein.moves import Moves, split, whole

if TYPE_CHECKING:
    import cvxpy as cp

    from convexnn.contract.arrays import Array

TIED = 1e-12  # share of ``1 + v`` within which a sample lies at the kink


@dataclass(frozen=True, kw_only=True)
class LiftedHinge(DistributionBall):
    """Order 2, hinge: every margin below ``1 + v`` falls by the lift ``v = t^2 / (4 lam)``."""

    order: ClassVar[float] = 2.0
    takes: ClassVar[tuple[type[ScalarLoss], ...]] = (Hinge,)

    @property
    def cones(self) -> frozenset[str]:
        """Return the second-order cone of ``t^2 <= 4 lam v``."""
        return self.loss.cones | {"soc"}

    def multiplier(self, z: Array, y: Array, t: float) -> float:
        """Return ``t^2 / (4 v)``."""
        lift = self.lift(z, y, t)
        return t * t / (4.0 * lift) if lift > 0.0 else 0.0

    def lift(self, z: Array, y: Array, t: float) -> float:
        """Return ``argmin_v (t eps)^2 / (4 v) + mean_i (1 - y_i z_i + v)_+``."""
        n, a = len(z), 1.0 - y * z
        half = 0.5 * t * self.radius
        if half == 0.0:
            return 0.0
        # excess(v) = v^2 #{a_i > -v} / n - half^2 rises with v; it jumps where v passes -a_i
        if self.weights is None:
            a, active = np.sort(a)[::-1], np.arange(1.0, n + 1.0)
        else:
            order = np.argsort(-a, kind="stable")
            a, active = a[order], np.cumsum(self.weights[order])
        breaks = np.maximum(-a, 0.0)
        k = int(np.searchsorted(breaks**2 * active / n, half * half, side="right"))
        # with the first k samples active, counted by their weights, the root is half sqrt(n / k),
        # unless a jump holds it
        if k == 0:
            return float(breaks[0])
        root = half * float(np.sqrt(n / active[k - 1]))
        return root if k == n else min(root, float(breaks[k]))

    def risk(self, z: Array, y: Array, t: float) -> float:
        """Return the dual value at the best lift."""
        v = self.lift(z, y, t)
        charge = t * self.radius * (t * self.radius) / (4.0 * v) if v > 0.0 else 0.0
        return charge + self.mean(np.maximum(1.0 - y * z + v, 0.0))

    def rate(self, z: Array, y: Array, t: float) -> float:
        """Return the multiplier; at radius 0 finite only if every margin is beyond 1."""
        if self.radius > 0.0:
            return self.multiplier(z, y, t)
        beyond = float(np.min(y * z)) - 1.0
        return t * t / (4.0 * beyond) if beyond > 0.0 else (np.inf if t > 0.0 else 0.0)

    def moves(self, z: Array, y: Array, t: float) -> Moves:
        """Return every active sample moved alike, samples at the kink in part."""
        n, v = len(z), self.lift(z, y, t)
        level = 1.0 - y * z + v
        tied = np.abs(level) <= TIED * (1.0 + v)
        active = (level > 0.0) & ~tied
        moved = active.astype(np.float64)
        if v > 0.0 and tied.any():
            mass = self.counted(np.ones(n))
            wanted = n * (0.5 * t * self.radius / v) ** 2 - float(mass[active].sum())
            moved[tied] = np.clip(wanted / float(mass[tied].sum()), 0.0, 1.0)
        return split(moved, -y * (2.0 * v / t), np.zeros(n, dtype=np.bool_), self.weights)

    def slopes(self, z: Array, y: Array, t: float) -> Slopes:
        """Return the slopes of the lifted loss."""
        return Slopes(self.loss.gradient(z - y * self.lift(z, y, t), y), np.zeros_like(z))

    def allowed(self, slopes: Slopes) -> float:
        """Return ``eps sqrt(mean_i |own_i|)``."""
        return self.radius * float(np.sqrt(self.mean(np.abs(slopes.own)))) * (1.0 - ROUNDING)

    def share(self, slopes: Slopes, length: float, room: float) -> float:
        """Return the share of the slopes whose u has the length allowed, which is a root."""
        return 1.0 if length <= room else (room / length) * (room / length)

    def cvxpy(self, z: cp.Variable, y: Array, length: cp.Expression, lam: cp.Variable) -> Formula:
        """Write ``t^2 <= 4 lam v``, with the multiplier ``lam / eps`` and the lift ``eps v``."""
        import cvxpy as cp

        t, v = cp.Variable(name="t"), cp.Variable(nonneg=True, name="v")
        cone = [length <= t, cp.SOC(lam + v, cp.hstack([t, lam - v]))]
        active = cp.pos(1.0 - cp.multiply(y, z) + self.radius * v)
        cost = self.radius * lam + self.averaged(active, len(y))
        return Formula(cost, cone, {"t": t, "v": v}, {})


@dataclass(frozen=True, kw_only=True)
class RootSquares(DistributionBall):
    """Order 2, squared residuals: ``(sqrt(mean_i r_i^2) + eps max(t, 1 / kappa))^2``.

    The bound is one on the root.
    """

    order: ClassVar[float] = 2.0
    takes: ClassVar[tuple[type[ScalarLoss], ...]] = (Squared,)

    @property
    def scale(self) -> float:
        """Return 2."""
        return 2.0

    @property
    def cones(self) -> frozenset[str]:
        """Return the second-order cone of the root."""
        return self.loss.cones | {"soc"}

    def rms(self, r: Array) -> float:
        """Return the root of the mean square."""
        return float(np.sqrt(self.mean(r**2)))

    def root(self, z: Array, y: Array, t: float) -> float:
        """Return the root of the risk."""
        return self.rms(z - y) + self.radius * self.reach(t)

    def risk(self, z: Array, y: Array, t: float) -> float:
        """Return the square of the root."""
        root = self.root(z, y, t)
        return root * root

    def rate(self, z: Array, y: Array, t: float) -> float:
        """Return the rate by ``radius^2``; at radius 0 infinite unless the fit is exact."""
        spread, lam = self.rms(z - y), self.reach(t)
        if self.radius == 0.0:
            return np.inf if spread * lam > 0.0 else lam * lam
        return (spread + self.radius * lam) * lam / self.radius

    def moves(self, z: Array, y: Array, t: float) -> Moves:
        """Return every residual stretched by the same share."""
        r = np.abs(z - y)
        spread = self.rms(r)
        size = r / spread if spread > 0.0 else np.ones(len(y))
        return whole(np.where(z >= y, 1.0, -1.0) * size * self.radius, self.weights)

    def slopes(self, z: Array, y: Array, t: float) -> Slopes:
        """Return the slopes of the root."""
        r = z - y
        return Slopes(r / max(self.rms(r), 1e-300), np.zeros_like(z))

    def derivative(self, z: Array, y: Array, t: float) -> Array:
        """Return that of the square."""
        return 2.0 * self.root(z, y, t) * self.slopes(z, y, t).own

    def integrated(self, derivative: Array, guess: Slopes, y: Array, risk: float) -> Slopes:
        """Return the slopes of the root."""
        root = float(np.sqrt(risk))
        return Slopes(derivative / (2.0 * root), guess.other) if root > 0.0 else guess

    def terms(self, slopes: Slopes, y: Array) -> Array:
        """Return ``-own y``."""
        return -slopes.own * y

    def allowed(self, slopes: Slopes) -> float:
        """Return eps."""
        return self.radius * (1.0 - ROUNDING)

    def share(self, slopes: Slopes, length: float, room: float) -> float:
        """Return the share whose root mean square is 1 at most, and its u within the room."""
        return 1.0 / max(1.0, self.rms(slopes.own) * (1.0 + ROUNDING), length / room)

    def achieved(self, worth: float) -> float:
        """Return the square."""
        root = max(worth, 0.0)
        return root * root

    def cvxpy(self, z: cp.Variable, y: Array, length: cp.Expression, lam: cp.Variable) -> Formula:
        """Write the square of the root."""
        import cvxpy as cp

        r = z - y if self.weights is None else cp.multiply(np.sqrt(self.weights), z - y)
        root = cp.norm(r, 2) / np.sqrt(len(y)) + self.radius * lam
        return Formula(cp.square(root), self._longer(length, lam), {}, {})

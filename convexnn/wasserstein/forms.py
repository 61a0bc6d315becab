"""Linear prediction against a Wasserstein ball: the canonical form, its points, exact risk.

With the dual norm ``t = ||b||_*`` of the ground norm, the worst case over the ball of radius
``eps`` around the n samples is (Mohajerin Esfahani & Kuhn 2018; Shafieezadeh-Abadeh et al. 2019)

    order 1      min_{lam >= t} lam eps + mean_i max(l(z_i; y_i), l(z_i; -y_i) - kappa lam)
    order 1      eps Lip max(t, 1 / kappa) + mean_i l(z_i; y_i)                    for real targets
    order 2      min_lam lam eps^2 + mean_i (1 - y_i z_i + t^2 / (4 lam))_+        for the hinge
    order 2      (sqrt(mean_i r_i^2) + eps max(t, 1 / kappa))^2                    squared residuals
    order inf    mean_i l(z_i - y_i eps t; y_i)
    order inf    mean_i (|r_i| + eps max(t, 1 / kappa))^2                          squared residuals

where ``z = X b + c`` and ``kappa`` is the cost of a flip, or of a unit of the target. Means are by
the samples' weights, where they have some. Each row is a class of `order_one`, `order_two` or
`order_inf`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convexnn.contract.form import solved_by
from convexnn.wasserstein.moves import whole

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array
    from convexnn.functions.norms import VectorNorm
    from convexnn.wasserstein.distribution_ball import DistributionBall
    from convexnn.wasserstein.moves import Moves

ROUNDING = 16.0 * float(np.finfo(np.float64).eps)


class Linear(NamedTuple):
    """Primal point: a linear model in the coordinates of a `WassersteinForm`.

    Attributes
    ----------
    coef : array of shape (d,)
    intercept : array of shape (1,)
    """

    coef: Array
    intercept: Array


class Slopes(NamedTuple):
    """Dual point: how the worst case grows with each prediction.

    Attributes
    ----------
    own : array of shape (n,)
        Slope in ``z_i`` of the loss of the sample's own label; of squared residuals of order inf
        or 2 the whole slope.
    other : array of shape (n,)
        Weight of the flipped label, >= 0; of squared residuals of order inf the weight of the
        shift, at least ``|own|``.
    """

    own: Array
    other: Array


@solved_by("newton")
class WassersteinForm(NamedTuple):
    """Minimise the worst case of ``mean_i l(x_i'b + c; y_i)`` over a Wasserstein ball.

    Attributes
    ----------
    X : array of shape (n, d)
    y : array of shape (n,)
        -1 and +1 for a classification loss.
    ball : DistributionBall
        What the adversary may do, and to which loss.
    norm : VectorNorm
        Of b: the dual of the ground norm.
    intercept : bool
    """

    X: Array
    y: Array
    ball: DistributionBall
    norm: VectorNorm
    intercept: bool

    def predict(self, point: Linear) -> Array:
        """Return ``X b + c``."""
        z: Array = self.X @ point.coef + (point.intercept[0] if self.intercept else 0.0)
        return z

    def length(self, point: Linear) -> float:
        """Return ``||b||_*``."""
        return float(self.norm.value(point.coef[None, :])[0])

    def correlate(self, slope: Array) -> float:
        """Return the ground norm of ``mean_i slope_i x_i``."""
        pull = self.ball.counted(slope) @ self.X
        return float(self.norm.dual(pull[None, :])[0]) / len(self.y)

    def risk(self, point: Linear) -> float:
        """Return the worst case of a model, its multiplier recomputed exactly."""
        return self.ball.risk(self.predict(point), self.y, self.length(point))

    def slopes(self, point: Linear) -> Slopes:
        """Return the dual point that a model suggests: the slopes of its worst case.

        Examples
        --------
        >>> from convexnn.functions.losses import Hinge
        >>> from convexnn.functions.norms import L2
        >>> from convexnn.wasserstein.table import ball
        >>> X, y = np.array([[1.0], [-1.0]]), np.array([1.0, -1.0])
        >>> form = WassersteinForm(X, y, ball(Hinge(), 1.0, radius=0.1), L2(), True)
        >>> form.slopes(Linear(np.zeros(1), np.zeros(1))).own
        array([-1.,  1.])
        """
        return self.ball.slopes(self.predict(point), self.y, self.length(point))

    def moves(self, point: Linear) -> Moves:
        """Return the moves of a worst distribution of a model."""
        t = self.length(point)
        if self.ball.reach(t) == 0.0 and not self.ball.flips:
            return whole(np.zeros(len(self.y)), self.ball.weights)
        return self.ball.moves(self.predict(point), self.y, t)

    def envelope(self, point: Linear) -> tuple[Array, Array]:
        """Return gradient and envelope weights of the worst case in each sample's prediction.

        For classification the gradient is in the margins ``y_i z_i``.
        """
        n, z, ball = len(self.y), self.predict(point), self.ball
        slope = ball.derivative(z, self.y, self.length(point))
        own = ball.scale * ball.loss.gradient(z, self.y)
        weights = np.ones(n)
        differs = slope != own
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = slope / own
        weights[differs] = np.where(own == 0.0, np.inf, ratio)[differs]
        gradient = ball.counted(self.y * slope if ball.loss.classification else slope) / n
        return gradient, ball.counted(weights)


def constant_model(form: WassersteinForm) -> tuple[Linear, Slopes]:
    """Return the best model with ``b = 0``, and slopes that prove it where it is optimal."""
    y, ball = form.y, form.ball
    c = ball.constant(y) if form.intercept else 0.0
    point = Linear(np.zeros(form.X.shape[1]), np.array([c]))
    slopes = ball.constant_slopes(c, y)
    own = slopes.own.copy()
    tied = np.abs(y - c) <= 1e-12 * (1.0 + abs(c))  # every kink lies at the target
    if form.intercept and np.isinf(ball.loss.curvature) and tied.any():
        low, high = (np.broadcast_to(side, len(y)) for side in ball.loss.domain(y))
        mass = ball.counted(np.ones(len(y)))
        needed = -float(mass[~tied] @ own[~tied]) / float(mass[tied].sum())
        own[tied] = np.clip(needed, low[tied], high[tied])
    return point, Slopes(own, slopes.other)

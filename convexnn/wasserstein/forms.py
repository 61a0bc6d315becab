"""Linear prediction against a Wasserstein ball: the canonical form, its exact risk and its bound.

With the dual norm ``t = ||b||_*`` of the ground norm, the worst case over the ball of radius
``eps`` around the n samples is (Mohajerin Esfahani & Kuhn 2018; Shafieezadeh-Abadeh et al. 2019)

    order 1      min_{lam >= t} lam eps + mean_i max(l(z_i; y_i), l(z_i; -y_i) - kappa lam)
    order 1      eps Lip max(t, 1 / kappa) + mean_i l(z_i; y_i)                    for real targets
    order 2      min_lam lam eps^2 + mean_i (1 - y_i z_i + t^2 / (4 lam))_+        for the hinge
    order 2      (sqrt(mean_i r_i^2) + eps max(t, 1 / kappa))^2                    squared residuals
    order inf    mean_i l(z_i - y_i eps t; y_i)
    order inf    mean_i (|r_i| + eps max(t, 1 / kappa))^2                          squared residuals

where ``z = X b + c`` and ``kappa`` is the cost of a flip, or of a unit of the target.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convexnn.contract.form import solved_by
from convexnn.functions.losses import Absolute, Hinge, Logistic, Quantile

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array
    from convexnn.functions.losses import Loss
    from convexnn.functions.norms import Norm

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
    loss : Loss
    lipschitz : float
        Largest slope of the loss; unused where ``inf``.
    norm : Norm
        Of b: the dual of the ground norm.
    radius : float
    order : float
        1, 2 or inf.
    flip : float
        Cost of a flipped label; ``inf`` forbids flips.
    floor : float
        Inverse cost of a unit of the target; 0 keeps targets as they are.
    intercept : bool
    """

    X: Array
    y: Array
    loss: Loss
    lipschitz: float
    norm: Norm
    radius: float
    order: float
    flip: float
    floor: float
    intercept: bool

    @property
    def flips(self) -> bool:
        """Tell whether the adversary may flip labels."""
        return self.radius > 0.0 and np.isfinite(self.flip)

    @property
    def squared(self) -> bool:
        """Tell whether the loss is the square of the residual, which no slope bounds."""
        return not self.loss.classification and not np.isfinite(self.lipschitz)

    def predict(self, point: Linear) -> Array:
        """Return ``X b + c``."""
        z: Array = self.X @ point.coef + (point.intercept[0] if self.intercept else 0.0)
        return z

    def length(self, point: Linear) -> float:
        """Return ``||b||_*``."""
        return float(self.norm.value(point.coef[None, :])[0])

    def correlate(self, slope: Array) -> float:
        """Return the ground norm of ``mean_i slope_i x_i``."""
        return float(self.norm.dual((slope @ self.X)[None, :])[0]) / len(self.y)

    def gains(self, z: Array) -> Array:
        """Return ``l(z; -y) - l(z; y)``, what a flip of each label gains."""
        if isinstance(self.loss, Logistic):
            return self.y * z
        return self.loss.value(z, -self.y) - self.loss.value(z, self.y)

    def multiplier(self, z: Array, length: float) -> float:
        """Return the best ``lam`` for predictions ``z`` of a model of this length.

        Of order 1 with flips, the k-th largest gain over ``kappa``, k = n eps / kappa, if that
        exceeds the length. Of order 2 for the hinge ``t^2 / (4 v)`` with the v of `lift`.
        """
        if self.order == 2.0 and self.loss.classification:
            lift = self.lift(z, length)
            return length**2 / (4.0 * lift) if lift > 0.0 else 0.0
        if not self.flips:
            return max(length, self.floor)
        n = len(z)
        budget = np.floor(n * self.radius / self.flip)
        if budget >= n:
            return length
        gains = self.gains(z)
        k = n - 1 - int(budget)
        return max(length, float(np.partition(gains, k)[k]) / self.flip)

    def lift(self, z: Array, length: float) -> float:
        """Order 2, hinge: return ``argmin_v (t eps)^2 / (4 v) + mean (1 - m + v)_+``."""
        n, a = len(z), np.sort(1.0 - self.y * z)[::-1]
        half = 0.5 * length * self.radius
        if half == 0.0:
            return 0.0
        # excess(v) = v^2 #{a_i > -v} / n - half^2 rises with v; it jumps where v passes -a_i
        breaks = np.maximum(-a, 0.0)
        active = np.arange(1, n + 1)
        k = int(np.searchsorted(breaks**2 * active / n, half**2, side="right"))
        # with the first k samples active the root is half sqrt(n / k), unless a jump holds it
        if k == 0:
            return float(breaks[0])
        root = half * float(np.sqrt(n / k))
        return root if k == n else min(root, float(breaks[k]))

    def risk(self, point: Linear) -> float:
        """Return the worst case of a model, its multiplier recomputed exactly."""
        z = self.predict(point)
        if self.radius == 0.0:
            return float(self._scale() * self.loss.value(z, self.y).mean())
        t = self.length(point)
        if self.loss.classification:
            if self.order == 1.0:
                lam = self.multiplier(z, t)
                worst = self.loss.value(z, self.y)
                if self.flips:
                    worst = worst + np.maximum(self.gains(z) - self.flip * lam, 0.0)
                return float(lam * self.radius + worst.mean())
            if self.order == 2.0:
                v = self.lift(z, t)
                charge = (t * self.radius) ** 2 / (4.0 * v) if v > 0.0 else 0.0
                return float(charge + np.maximum(1.0 - self.y * z + v, 0.0).mean())
            return float(self.loss.value(z - self.y * (self.radius * t), self.y).mean())
        lam = max(t, self.floor)
        if not self.squared:
            price = self.radius * self.lipschitz
            return float(price * lam + self.loss.value(z, self.y).mean())
        r = np.abs(z - self.y)
        if self.order == 2.0:
            return float((np.sqrt(np.mean(r**2)) + self.radius * lam) ** 2)
        return float(np.mean((r + self.radius * lam) ** 2))

    def _scale(self) -> float:
        return 2.0 if self.squared else 1.0  # squared residuals are r^2 here, r^2 / 2 as a loss


def slopes_at(form: WassersteinForm, point: Linear) -> Slopes:
    """Return the dual point that a model suggests: the slopes of its worst case.

    Examples
    --------
    >>> from convexnn.functions.losses import Hinge
    >>> from convexnn.functions.norms import L2
    >>> X, y = np.array([[1.0], [-1.0]]), np.array([1.0, -1.0])
    >>> form = WassersteinForm(X, y, Hinge(), 1.0, L2(), 0.1, 1.0, np.inf, 0.0, True)
    >>> slopes_at(form, Linear(np.zeros(1), np.zeros(1))).own
    array([-1.,  1.])
    """
    z = form.predict(point)
    zero = np.zeros_like(z)
    if form.squared:
        r = z - form.y
        if form.order == 2.0 and form.radius > 0.0:
            return Slopes(r / max(float(np.sqrt(np.mean(r**2))), 1e-300), zero)
        lam = max(form.length(point), form.floor) if form.radius > 0.0 else 0.0
        slope = 2.0 * (np.abs(r) + form.radius * lam)
        return Slopes(np.sign(r) * slope, slope)
    if form.radius > 0.0 and form.loss.classification:
        t = form.length(point)
        if np.isinf(form.order):
            z = z - form.y * (form.radius * t)
        elif form.order == 2.0:
            z = z - form.y * form.lift(z, t)
    own = form.loss.gradient(z, form.y)
    if not form.flips:
        return Slopes(own, zero)
    excess = form.gains(z) - form.flip * form.multiplier(z, form.length(point))
    flipped = (excess > 0.0).astype(np.float64)
    tied = np.abs(excess) <= 1e-9 * (1.0 + np.abs(z))
    room = len(z) * form.radius / form.flip - flipped[~tied].sum()
    flipped[tied] = np.clip(room / max(int(tied.sum()), 1), 0.0, 1.0)
    return fitted(form, Slopes(own, flipped))


def fitted(form: WassersteinForm, slopes: Slopes) -> Slopes:
    """Return the nearest slopes that are possible at each sample by itself."""
    if form.squared:
        if form.order == 2.0 or form.radius == 0.0:
            return Slopes(slopes.own, np.zeros_like(slopes.other))
        return Slopes(slopes.own, np.maximum(slopes.other, np.abs(slopes.own)))
    own = form.loss.clip(slopes.own, form.y)
    if not form.flips:
        return Slopes(own, np.zeros_like(own))
    other = np.clip(slopes.other, 0.0, 1.0)
    if not isinstance(form.loss, Logistic):
        own = np.clip(own, other - 1.0, 1.0 - other)  # hinge: the two share a mass of 1
    return Slopes(own, other)


def total(form: WassersteinForm, slopes: Slopes) -> Array:
    """Return the slope of each sample's worst case in ``z_i``."""
    return slopes.own + form.y * slopes.other if form.flips else slopes.own


def constant_model(form: WassersteinForm) -> tuple[Linear, Slopes]:
    """Return the best model with ``b = 0``, and slopes that prove it where it is optimal."""
    n, d = form.X.shape
    y, zero = form.y, np.zeros(d)
    c = _constant(form) if form.intercept else 0.0
    point = Linear(zero, np.array([c]))
    if form.flips and form.flip <= 2.0 * form.radius:
        return Linear(zero, np.zeros(1)), Slopes(-0.5 * y, np.full(n, 0.5))
    slopes = slopes_at(form._replace(flip=np.inf), point)
    own = slopes.own.copy()
    tied = np.abs(y * c - 1.0 if isinstance(form.loss, Hinge) else y - c) <= 1e-12 * (1.0 + abs(c))
    if form.intercept and np.isinf(form.loss.curvature) and tied.any():
        low, high = (np.broadcast_to(side, n) for side in form.loss.domain(y))
        needed = -own[~tied].sum() / tied.sum()
        own[tied] = np.clip(needed, low[tied], high[tied])
    return point, Slopes(own, slopes.other)


def _constant(form: WassersteinForm) -> float:
    """Return the best constant prediction."""
    y = form.y
    if form.loss.classification:
        positive_share = float(np.mean(y > 0.0))
        share = max(positive_share, 1.0 - positive_share)
        if form.flips:
            share = max(share - form.radius / form.flip, 0.5)
        sign = 1.0 if positive_share >= 0.5 else -1.0
        if isinstance(form.loss, Hinge):
            return sign if share > 0.5 else 0.0
        return sign * float(np.log(share / (1.0 - share)))
    if form.squared:
        return float(np.mean(y))
    if isinstance(form.loss, Quantile):
        return float(np.quantile(y, form.loss.tau, method="inverted_cdf"))
    if isinstance(form.loss, Absolute):
        return float(np.median(y))
    low, high = float(np.min(y)), float(np.max(y))
    for _ in range(200):  # bisection on the mean slope, to rounding
        c = 0.5 * (low + high)
        if float(form.loss.gradient(np.full_like(y, c), y).sum()) > 0.0:
            high = c
        else:
            low = c
    return 0.5 * (low + high)

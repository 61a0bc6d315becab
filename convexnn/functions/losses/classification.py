"""Losses of two labels, -1 and +1, and of several classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from convexnn.functions.losses.base import BinaryLoss, Loss

if TYPE_CHECKING:
    import cvxpy as cp

    from convexnn.contract.arrays import Array

SIMPLEX = 1e-12  # by which rounding may leave the simplex
ROUNDING = 2.0**-50  # of a probability that is written as a multiplier


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


def _sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0.0, 1.0, e) / (1.0 + e)


def _xlogx(p: Array) -> Array:
    return p * np.log(np.where(p > 0.0, p, 1.0))

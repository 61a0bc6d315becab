"""A loss whose examples count by weights, seen by engines as any other loss.

``w_i l(z_i; y_i)`` has the value, slopes and curvature of ``l`` times ``w_i``, the conjugate
``w_i l*(s_i / w_i)`` on ``w_i`` times its domain, and the prox of ``l`` for a step ``w_i`` times as
long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from convexnn.contract.arrays import frozen
from convexnn.contract.checks import ProblemError, real_array, sized
from convexnn.functions.losses import Loss

if TYPE_CHECKING:
    import cvxpy as cp
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array, BoolArray, IndexArray

INSIDE = 1.0 - 2.0**-50  # share of a domain from which ``w (s / w)`` rounds to no point outside


@dataclass(frozen=True, eq=False)
class Weighted(Loss):
    """``w_i l(z_i; y_i)``, of all examples at once: arrays have an entry, or a row, for each.

    Parameters
    ----------
    each : Loss
        l, the loss of an example of weight 1.
    counts : array of shape (n,)
        The weights, positive.

    Examples
    --------
    >>> from convexnn.functions.losses import Squared
    >>> Weighted(Squared(), np.array([1.0, 3.0])).value(np.array([2.0, 2.0]), np.zeros(2))
    array([2., 6.])
    """

    each: Loss
    counts: Array

    def __post_init__(self) -> None:
        each, q = self.each, self.each.dual_curvature
        told = {
            "name": each.name,
            "classification": each.classification,
            "separable": each.separable,
            "residual": each.residual,
            "cones": each.cones,
            "curvature": each.curvature * float(np.max(self.counts)),
            "dual_curvature": None if q is None else q / self.counts,
        }
        for name, value in told.items():
            object.__setattr__(self, name, value)

    @property
    def plain(self) -> Loss:
        """Return the loss of an example of weight 1."""
        return self.each

    @property
    def weights(self) -> Array:
        """Return the weights of the examples."""
        return self.counts

    def part(self, rows: slice | IndexArray) -> Weighted:
        """Return the loss of some of the examples."""
        return Weighted(self.each, self.counts[rows])

    def _along(self, array: Array) -> Array:
        """Return the weights in a shape that multiplies an entry or a row for each example."""
        if len(array) != len(self.counts):
            raise ValueError(f"{len(self.counts)} examples have weights, got {len(array)}")
        return self.counts.reshape(-1, *(1,) * (array.ndim - 1))

    def value(self, z: Array, y: Array) -> Array:
        """Return ``w l(z; y)``."""
        value = self.each.value(z, y)
        return self._along(value) * value

    def gradient(self, z: Array, y: Array) -> Array:
        """Return ``w l'(z; y)``."""
        return self._along(z) * self.each.gradient(z, y)

    def hessian(self, z: Array, y: Array) -> Array:
        """Return ``w l''(z; y)``."""
        return self._along(z) * self.each.hessian(z, y)

    def conjugate(self, s: Array, y: Array) -> Array:
        """Return ``w l*(s / w; y)``."""
        value = self.each.conjugate(s / self._along(s), y)
        return self._along(value) * value

    def ceiling(self, s: Array, spread: Array, y: Array) -> Array:
        """Return ``w`` times that of ``s / w`` and ``spread / w``."""
        along = self._along(s)
        value = self.each.ceiling(s / along, spread / along, y)
        return self._along(value) * value

    def touching(self, s: Array, y: Array) -> Array:
        """Return what ``s / w`` touches."""
        return self.each.touching(s / self._along(s), y)

    def prox(self, v: Array, y: Array, step: float) -> Array:
        """Return the prox of ``l`` for the step ``w step``."""
        return self.each.prox_each(v, y, self._along(v) * step)

    def domain(self, y: Array) -> tuple[Array | float, Array | float]:
        """Return the bounds of ``l*`` times ``w``, drawn in by rounding."""
        low, high = self.each.domain(y)
        scale = INSIDE * self._along(y)
        return scale * low, scale * high

    def clip(self, s: Array, y: Array) -> Array:
        """Return ``w`` times the point of the domain of ``l*`` nearest to ``s / w``."""
        if self.separable:
            return super().clip(s, y)
        scale = self._along(s)
        return scale * self.each.clip(s / scale, y)

    def cvxpy(self, z: cp.Expression, y: Array) -> cp.Expression:
        """Return the weighted sum of the loss over the examples."""
        return self.each.weighed(z, y, self.counts)


def weigh(loss: Loss, weights: Array | None) -> Loss:
    """Return the loss of examples with these weights: itself where all are 1, or none are given.

    Examples
    --------
    >>> from convexnn.functions.losses import Hinge
    >>> weigh(Hinge(), np.ones(3))
    Hinge()
    """
    if weights is None or bool(np.all(weights == 1.0)):
        return loss
    return Weighted(loss, weights)


def checked_weights(value: ArrayLike, length: int, each: str) -> Array:
    """Return weights, one for `each`: >= 0, not all zero, of a size that can be worked with.

    Raises
    ------
    ProblemError
        If they break a rule.

    Examples
    --------
    >>> checked_weights([1, 0], 2, "row of X")
    array([1., 0.])
    """
    weights = real_array("weights", value, 1)
    if len(weights) != length:
        raise ProblemError(f"weights must have one entry per {each} ({length}), got {len(weights)}")
    negative = np.flatnonzero(weights < 0.0)
    if len(negative):
        i = negative[0]
        raise ProblemError(f"weights must be >= 0, got {weights[i]:g} at index {i}")
    if not weights.any():
        raise ProblemError("weights must have one that is > 0, got only zeros")
    for weight in (np.min(weights[weights > 0.0]), np.max(weights)):
        sized("weights", float(weight))
    return weights


def in_use(weights: Array | None) -> BoolArray | None:
    """Return which examples have a weight > 0; None where all have.

    Examples
    --------
    >>> in_use(np.array([2.0, 0.0]))
    array([ True, False])
    """
    if weights is None or bool(np.all(weights > 0.0)):
        return None
    return np.asarray(weights > 0.0, np.bool_)


def rows_of(array: Array, kept: BoolArray) -> Array:
    """Return some rows as a read-only array.

    Examples
    --------
    >>> rows_of(np.array([1.0, 2.0]), np.array([False, True]))
    array([2.])
    """
    some = np.ascontiguousarray(array[kept])
    frozen(some)
    return some

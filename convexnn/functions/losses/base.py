"""What a loss per example must tell: value, gradient, conjugate, prox and CVXPY atom.

A loss is a convex function ``l(z; y)`` of the prediction ``z``. Everything that an engine
or a certificate needs of it stands here, so that neither ever knows a loss by name.

A dual point ``mu`` of ``min_w sum_i l((F w)_i; y_i) + penalty(w)`` is worth
``-sum_i l*(-mu_i; y_i)``; at an optimum ``-mu_i`` is a (sub)gradient of the loss.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import cvxpy as cp

    from convexnn.contract.arrays import Array, IndexArray


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

        counts = each(weights, y) if self.separable else weights
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


def each(weights: Array, y: Array) -> Array:
    """Return the weight of each target, in the shape of the targets."""
    shape = (-1, *(1,) * (y.ndim - 1))
    return np.broadcast_to(weights.reshape(shape), y.shape)

"""What local search varies: the layers of a network, or its merged neurons, as one vector.

Products are in the precision of the form's data, the variables, the objective and its gradient in
double precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.contract.arrays import Array, BoolArray, SignArray
from convexnn.relu.forms import NetworkForm, Neurons, outputs_of
from convexnn.solvers.relu.pattern_pool import owners, regrouped


def layers_of(form: NetworkForm, begin: Neurons) -> Layers | Parts:
    """Return the variables that suit the penalty, for a network of as many neurons."""
    return Layers(form, begin) if form.norm.rotates else Parts(form, begin)


class Layers:
    """Variables ``(U, a, s)``: both layers, and the free part; for the l2 penalty."""

    def __init__(self, form: NetworkForm, begin: Neurons) -> None:
        self.form, self.wiring = form, Wiring(form, begin)
        self.width = begin.V.shape[1] + begin.W.shape[1]
        self.sign = np.r_[np.ones(begin.V.shape[1]), -np.ones(begin.W.shape[1])]
        # kept from one value to the next: new pages for them take longer than their products
        self.hidden, self.active = np.empty((2, len(form.X), self.width), form.X.dtype)

    def pack(self, neurons: Neurons) -> Array:
        """Split each neuron into balanced layers."""
        weights = np.hstack([neurons.V, neurons.W])
        root = np.sqrt(self.form.norm.value(weights.T))
        U = weights / np.where(root > 0.0, root, 1.0)
        skip = neurons.skip.ravel() if self.form.skip else np.zeros(0)
        return np.concatenate([U.ravel(), self.sign * root, skip])

    def _split(self, x: Array) -> tuple[Array, Array, Array]:
        d = self.form.X.shape[1]
        cut = d * self.width
        return x[:cut].reshape(d, self.width), x[cut : cut + self.width], x[cut + self.width :]

    def unpack(self, x: Array) -> Neurons:
        """Merge the layers of each neuron."""
        U, a, s = self._split(x)
        merged = U * np.abs(a)
        skip = self.form.still()
        if self.form.skip:
            skip = s.reshape(skip.shape).copy()
        grouped = self.wiring.grouped
        return Neurons(grouped(merged, a > 0.0), grouped(merged, a < 0.0), skip)

    def bounds(self) -> Array | None:
        """Return the bounds of every variable, one a row; None where they are free."""
        form = self.form
        if form.monotone is None:
            return None
        first = signed(form.monotone, self.sign)
        second = signed(np.ones(1, np.int8), self.sign)
        ends = [np.append(U, a) for U, a in zip(first, second, strict=True)]
        layers = np.column_stack(ends)
        free = np.tile([-np.inf, np.inf], (form.still().size if form.skip else 0, 1))
        return np.vstack([layers, free])

    def value(self, x: Array, loss: Any) -> tuple[float, Array]:
        """Return the objective and its gradient."""
        form, precision = self.form, self.form.X.dtype
        U, a, s = self._split(x)
        hidden = np.matmul(form.X, U.astype(precision, copy=False), out=self.hidden)
        active = form.pooled(form.activate(hidden, self.active))
        z = self.wiring.output(active, a.astype(precision, copy=False)).astype(float, copy=False)
        if form.skip:
            z = z + form.span @ s.reshape(-1, *form.y.shape[1:])
        slope = loss.gradient(z, form.y)
        back = self.wiring.back(slope.astype(precision, copy=False))
        of_a = self.wiring.weight(active, back)
        through = form.X.T @ form.gated(hidden, form.spread(back), hidden)
        gradient = np.concatenate(
            [
                (through * a + form.beta * U).ravel(),
                of_a + form.beta * a,
                (form.span.T @ slope).ravel() if form.skip else s,
            ]
        )
        penalty = 0.5 * form.beta * (float(np.vdot(U, U)) + float(a @ a))
        return float(loss.value(z, form.y).sum()) + penalty, gradient


class Parts:
    """Variables ``(p, q, s)``: each merged neuron is ``p - q`` with ``p, q >= 0``; for l1."""

    def __init__(self, form: NetworkForm, begin: Neurons) -> None:
        self.form, self.wiring = form, Wiring(form, begin)
        self.positive = begin.V.shape[1]
        self.width = self.positive + begin.W.shape[1]
        self.sign = np.where(np.arange(self.width) < self.positive, 1.0, -1.0)

    def pack(self, neurons: Neurons) -> Array:
        """Take the parts of each merged neuron."""
        weights = np.hstack([neurons.V, neurons.W])
        skip = neurons.skip.ravel() if self.form.skip else np.zeros(0)
        return np.concatenate(
            [np.maximum(weights, 0.0).ravel(), np.maximum(-weights, 0.0).ravel(), skip]
        )

    def unpack(self, x: Array) -> Neurons:
        """Subtract the parts."""
        d = self.form.X.shape[1]
        cut = d * self.width
        weights = (x[:cut] - x[cut : 2 * cut]).reshape(d, self.width)
        skip = self.form.still()
        if self.form.skip:
            skip = x[2 * cut :].reshape(skip.shape).copy()
        return Neurons(weights[:, : self.positive], weights[:, self.positive :], skip)

    def bounds(self) -> Array:
        """Return the bounds of every variable, one a row: of a part that has the wrong sign 0."""
        form = self.form
        of_parts = np.tile([0.0, np.inf], (2 * form.X.shape[1] * self.width, 1))
        if form.monotone is not None:
            low, high = signed(form.monotone, self.sign)
            of_parts[:, 1] = np.r_[high.ravel(), -low.ravel()]
        free = np.tile([-np.inf, np.inf], (form.still().size if form.skip else 0, 1))
        return np.vstack([of_parts, free])

    def value(self, x: Array, loss: Any) -> tuple[float, Array]:
        """Return the objective and its gradient."""
        form, precision = self.form, self.form.X.dtype
        d = form.X.shape[1]
        cut = d * self.width
        weights = (x[:cut] - x[cut : 2 * cut]).reshape(d, self.width)
        s, sign = x[2 * cut :], self.sign.astype(precision, copy=False)
        hidden = form.X @ weights.astype(precision, copy=False)
        z = self.wiring.output(form.pooled(form.activate(hidden)), sign).astype(float, copy=False)
        if form.skip:
            z = z + form.span @ s.reshape(-1, *form.y.shape[1:])
        slope = loss.gradient(z, form.y)
        back = self.wiring.back(slope.astype(precision, copy=False)) * sign
        back = form.gated(hidden, form.spread(back))
        through = (form.X.T @ back).ravel()
        gradient = np.concatenate(
            [
                through + form.beta,
                -through + form.beta,
                (form.span.T @ slope).ravel() if form.skip else s,
            ]
        )
        penalty = form.beta * float(np.sum(x[: 2 * cut]))
        return float(loss.value(z, form.y).sum()) + penalty, gradient


class Wiring:
    """Which output each neuron has; a single output is not looked up."""

    def __init__(self, form: NetworkForm, begin: Neurons) -> None:
        self.k = outputs_of(form.y)
        self.scalar = form.y.ndim == 1
        self.owner = np.concatenate([owners(begin.V, self.k), owners(begin.W, self.k)])
        self.own = np.eye(self.k, dtype=form.X.dtype)[self.owner]

    def output(self, active: Array, a: Array) -> Array:
        """Return the sum of the neurons' activations, weighted by ``a``, at each output."""
        result: Array = active @ (a if self.scalar else a[:, None] * self.own)
        return result

    def back(self, slope: Array) -> Array:
        """Return the loss's slope at the output of each neuron."""
        return slope[:, None] if self.scalar else slope[:, self.owner]

    def weight(self, active: Array, back: Array) -> Array:
        """Return the gradient in ``a``."""
        if self.scalar:
            return active.T @ back[:, 0]
        result: Array = np.einsum("nj,nj->j", active, back)
        return result

    def grouped(self, weights: Array, kept: BoolArray) -> Array:
        """Return the kept columns, as many for each output: with zeros where it has fewer."""
        return regrouped(weights, self.owner, kept, self.k)


def signed(monotone: SignArray, side: Array) -> tuple[Array, Array]:
    """Return the least and the largest weights of neurons that add (side 1) or subtract (-1).

    Examples
    --------
    >>> signed(np.array([1, 0], np.int8), np.array([1.0, -1.0]))
    (array([[  0., -inf],
           [-inf, -inf]]), array([[inf,  0.],
           [inf, inf]]))
    """
    sign = monotone[:, None] * side
    return np.where(sign > 0.0, 0.0, -np.inf), np.where(sign < 0.0, 0.0, np.inf)

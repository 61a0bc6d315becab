"""Local search: L-BFGS on the network's own, non-convex objective, from many random starts.

The baseline that every user has in mind, and the source of good activation patterns. With the
l2 penalty the variables are the two layers,

    loss(act(X U) a + X s, y) + beta/2 (||U||_F^2 + ||a||^2),

each neuron with a weight for the one output it has; with l1 the positive and negative parts of
merged neurons of fixed output sign, under bounds. Where weights have signs, the variables of the l2
penalty are under bounds, too, each second layer of one sign. A loss with kinks is searched through
two ever narrower Moreau envelopes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from convexnn.contract.arrays import Array, BoolArray, SignArray
from convexnn.contract.backend import Options, Outcome, Raw, Reporter
from convexnn.contract.checks import positive_int
from convexnn.contract.system.memory import Size
from convexnn.relu.forms import Dual, NetworkForm, Neurons, outputs_of
from convexnn.relu.samples import LONG, growing
from convexnn.solvers.envelope import softened
from convexnn.solvers.relu.adam import adam
from convexnn.solvers.relu.pattern_pool import owners, regrouped

STARTS = 6
WIDTH = 50
MAX_ITER = 1_000
FLAT = 1e-12  # fall of a step, relative to the objective, that ends a descent
ROUGH, ENOUGH = 1e-5, 1e-7  # the same on samples of examples, and where there are many
WARM = 500  # steps of Adam before every other descent of a mixed search
ENVELOPES = (0.3, 0.01)  # widths for a loss with kinks, one search after the other
DEFAULTS = {"starts": STARTS, "width": WIDTH}


def warm_up(form: NetworkForm) -> None:
    """Import SciPy's optimiser."""
    import scipy.optimize  # noqa: F401  # imported here so that no run pays for it


def memory(size: Size) -> dict[str, float]:
    """Return ``8 w (5 n + 50 d)`` for w neurons at n rows: hidden layers, L-BFGS's history."""
    neurons = size.outputs * WIDTH
    return {"its hidden layers": 8.0 * neurons * (5 * size.n * size.bag + 50 * size.d)}


def run(
    form: NetworkForm, own: dict[str, Any], options: Options, reporter: Reporter, start: Any
) -> Raw:
    """Search from every start and report each network found.

    Options
    -------
    starts : int, default 6
        Random starts; the best network is kept.
    width : int, default 50
        Hidden neurons of each, for every output.
    """
    first = None if start is None else start[0]
    networks = search(form, own["starts"], own["width"], options, reporter, first)
    for k, neurons in enumerate(networks, start=1):
        if reporter.report(k, neurons, slope_dual(form, neurons)):
            return Raw(Outcome.STOPPED)
    return Raw(Outcome.FINISHED, "Local search does not close the gap by itself.")


def slope_dual(form: NetworkForm, neurons: Neurons) -> Dual:
    """Return the dual point that a network itself suggests: the loss's slope at its output."""
    return Dual(-form.loss.gradient(form.predict(neurons), form.y))


def search(
    form: NetworkForm,
    starts: int,
    width: int,
    options: Options,
    reporter: Reporter,
    first: Neurons | None = None,
    *,
    mixed: bool = False,
) -> Iterator[Neurons]:
    """Yield the network that each start leads to, until time is up.

    Parameters
    ----------
    form : NetworkForm
    starts, width : int
        The width is that of each output.
    options : Options
        Its seed and iteration limit.
    reporter : Reporter
        Asked for the time.
    first : Neurons, optional
        Replaces the first random start.
    mixed : bool, default False
        Let every other random start take steps of Adam first: it ends elsewhere, often lower.
    """
    for name, value in (("starts", starts), ("width", width)):
        positive_int(name, value)
    rng = np.random.default_rng(options.seed)
    for k in range(starts):
        begin = first if k == 0 and first is not None else random_network(form, width, rng)
        steps, limit = WARM if mixed and k % 2 == 1 else 0, options.max_iter or MAX_ITER
        for rows in growing(len(form.y), options.seed + k):
            few = form.sampled(rows)
            begin, steps = descend(few, begin, limit, reporter, warm=steps, fall=ROUGH), 0
        long = len(form.y) >= LONG
        yield descend(form, begin, limit, reporter, warm=steps, fall=ENOUGH if long else FLAT)
        if reporter.expired():
            return


def random_network(form: NetworkForm, width: int, rng: np.random.Generator) -> Neurons:
    """Return neurons of random direction whose sum is of the targets' size."""
    d, k = form.X.shape[1], outputs_of(form.y)
    weights = rng.standard_normal((d, k * width))
    images = form.X @ weights
    size = np.sqrt(np.mean(np.square(images), axis=0)) * np.sqrt(width)
    spread = float(np.std(form.y)) or 1.0
    weights *= spread / np.where(size > 0.0, size, 1.0)
    half = k * (width // 2)
    if form.monotone is not None:
        sign = form.monotone[:, None] * np.where(np.arange(k * width) < half, -1.0, 1.0)
        weights = np.where(sign != 0.0, sign * np.abs(weights), weights)
    return Neurons(weights[:, half:], weights[:, :half], form.still())


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


class Wiring:
    """Which output each neuron has; a single output is not looked up."""

    def __init__(self, form: NetworkForm, begin: Neurons) -> None:
        self.k = outputs_of(form.y)
        self.scalar = form.y.ndim == 1
        self.owner = np.concatenate([owners(begin.V, self.k), owners(begin.W, self.k)])
        self.own = np.eye(self.k)[self.owner]

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


class _TimeUp(Exception):
    """Ends a search whose time is over."""


def descend(
    form: NetworkForm,
    begin: Neurons,
    max_iter: int,
    reporter: Reporter,
    *,
    warm: int = 0,
    fall: float = FLAT,
) -> Neurons:
    """Return the network that L-BFGS reaches from one start, after `warm` steps of Adam.

    It ends where a step lowers the objective by less than a share `fall`.
    """
    from scipy.optimize import minimize

    layers = Layers(form, begin) if form.norm.rotates else Parts(form, begin)
    bounds = layers.bounds()
    x = layers.pack(begin) if bounds is None else np.clip(layers.pack(begin), *bounds.T)
    if len(x) == 0:  # no neurons and no free part
        return begin
    best = x
    kinks = not np.isfinite(form.loss.curvature)
    if warm and bounds is None:
        x = adam(lambda x: layers.value(x, form.loss)[1], x, warm, reporter)
    for width in ENVELOPES if kinks else (0.0,):
        loss = softened(form.loss, width, form.y) if kinks else form.loss
        best = x

        def watch(current: Array) -> None:
            nonlocal best
            best = current.copy()
            if reporter.expired():
                raise _TimeUp

        try:
            found = minimize(  # type: ignore[call-overload]  # the stubs reject bounds=None
                layers.value,
                x,
                args=(loss,),
                jac=True,
                method="L-BFGS-B",
                bounds=bounds,
                callback=watch,
                options={"maxiter": max_iter, "maxfun": 2 * max_iter, "ftol": fall, "gtol": 1e-8},
            )
        except _TimeUp:
            break
        x = best = found.x
    return layers.unpack(best)


class Layers:
    """Variables ``(U, a, s)``: both layers, and the free part; for the l2 penalty."""

    def __init__(self, form: NetworkForm, begin: Neurons) -> None:
        self.form, self.wiring = form, Wiring(form, begin)
        self.width = begin.V.shape[1] + begin.W.shape[1]
        self.sign = np.r_[np.ones(begin.V.shape[1]), -np.ones(begin.W.shape[1])]
        # kept from one value to the next: new pages for them take longer than their products
        self.hidden, self.active = np.empty((2, len(form.X), self.width))

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
        form = self.form
        U, a, s = self._split(x)
        hidden = np.matmul(form.X, U, out=self.hidden)
        active = form.pooled(form.activate(hidden, self.active))
        z = self.wiring.output(active, a)
        if form.skip:
            z = z + form.span @ s.reshape(-1, *form.y.shape[1:])
        slope = loss.gradient(z, form.y)
        back = self.wiring.back(slope)
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
        form = self.form
        d = form.X.shape[1]
        cut = d * self.width
        weights = (x[:cut] - x[cut : 2 * cut]).reshape(d, self.width)
        s = x[2 * cut :]
        hidden = form.X @ weights
        z = self.wiring.output(form.pooled(form.activate(hidden)), self.sign)
        if form.skip:
            z = z + form.span @ s.reshape(-1, *form.y.shape[1:])
        slope = loss.gradient(z, form.y)
        back = form.gated(hidden, form.spread(self.wiring.back(slope) * self.sign))
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

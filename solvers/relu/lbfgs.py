"""Local search: L-BFGS on the network's own, non-convex objective, from many random starts.

The baseline that every user has in mind, and the source of good activation patterns. With the
l2 penalty the variables are the two layers,

    loss(act(X U) a + X s, y) + beta/2 (||U||_F^2 + ||a||^2),

each neuron with a weight for the one output it has; with l1 the positive and negative parts of
merged neurons of fixed output sign, under bounds. Where weights have signs, the variables of the l2
penalty are under bounds, too, each second layer of one sign. A loss with kinks is searched through
two ever narrower Moreau envelopes. Many examples are searched in shuffled batches first, then in
single precision.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Options, Outcome, Raw, Reporter
from convexnn.contract.checks import positive_int
from convexnn.contract.system.memory import Size
from convexnn.relu.forms import Dual, NetworkForm, Neurons, outputs_of
from convexnn.relu.samples import LONG
from convexnn.solvers.envelope import softened
from convexnn.solvers.relu.adam import adam
from convexnn.solvers.relu.batches import by_batches
from convexnn.solvers.relu.layers import layers_of

STARTS = 6
WIDTH = 50
MAX_ITER = 1_000
FLAT = 1e-12  # fall of a step, relative to the objective, that ends a descent
ROUGH, ENOUGH = 1e-6, 1e-7  # the same for many examples, in single precision and after it
WARM = 500  # steps of Adam before every other descent of a mixed search
ENVELOPES = (0.3, 0.01)  # widths for a loss with kinks, one search after the other
DEFAULTS = {"starts": STARTS, "width": WIDTH}


def warm_up(form: NetworkForm) -> None:
    """Import SciPy's optimiser."""
    import scipy.optimize  # noqa: F401  # imported here so that no run pays for it


def memory(size: Size) -> dict[str, float]:
    """Return ``8 w (5 n + 50 d)`` for w neurons at n rows: hidden layers, L-BFGS's history.

    Many examples are there twice more in single precision, one copy of them shuffled.
    """
    rows = size.n * size.bag
    parts = {"its hidden layers": 8.0 * size.outputs * WIDTH * (5 * rows + 50 * size.d)}
    if size.n >= LONG:
        parts["the data in single precision"] = 8.0 * rows * size.d
    return parts


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
        Where there are many examples every one does, on batches.
    """
    for name, value in (("starts", starts), ("width", width)):
        positive_int(name, value)
    rng = np.random.default_rng(options.seed)
    for k in range(starts):
        steps, begin = 0, first
        if k > 0 or begin is None:
            begin = random_network(form, width, rng)
            if len(form.y) >= LONG:
                begin = by_batches(form, begin, options.seed + k, reporter)
            elif mixed and k % 2 == 1:
                steps = WARM
        yield descend(form, begin, options.max_iter or MAX_ITER, reporter, warm=steps)
        if reporter.expired():
            return


def random_network(form: NetworkForm, width: int, rng: np.random.Generator) -> Neurons:
    """Return neurons of random direction whose sum is of the targets' size."""
    d, k = form.X.shape[1], outputs_of(form.y)
    weights = rng.standard_normal((d, k * width))
    size = np.sqrt(_mean_squares(form.X, weights)) * np.sqrt(width)
    spread = float(np.std(form.y)) or 1.0
    weights *= spread / np.where(size > 0.0, size, 1.0)
    half = k * (width // 2)
    if form.monotone is not None:
        sign = form.monotone[:, None] * np.where(np.arange(k * width) < half, -1.0, 1.0)
        weights = np.where(sign != 0.0, sign * np.abs(weights), weights)
    return Neurons(weights[:, half:], weights[:, :half], form.still())


def _mean_squares(X: Array, weights: Array) -> Array:
    """Return the mean square of each column of ``X W``, many rows by their products alone."""
    if len(X) < LONG:
        return np.asarray(np.mean(np.square(X @ weights), axis=0))
    squares = np.einsum("ij,ij->j", weights, (X.T @ X) @ weights) / len(X)
    return np.asarray(np.maximum(squares, 0.0))


class Stage(NamedTuple):
    """One of the descents of a search, each from where the last one ended.

    Attributes
    ----------
    form : NetworkForm
        The problem, its data perhaps in single precision.
    loss : Loss
        Its loss, or an envelope.
    fall : float
        Of a step, relative to the objective, that ends it.
    """

    form: NetworkForm
    loss: Any
    fall: float


def stages(form: NetworkForm) -> list[Stage]:
    """Return the descents for a form: without kinks first, and without the last digits."""
    losses = [form.loss]
    if not np.isfinite(form.loss.curvature):
        losses = [softened(form.loss, width, form.y) for width in ENVELOPES]
    if len(form.y) < LONG:
        return [Stage(form, loss, FLAT) for loss in losses]
    light = form.single_precision()
    return [*(Stage(light, loss, ROUGH) for loss in losses), Stage(form, losses[-1], ENOUGH)]


class _TimeUp(Exception):
    """Ends a search whose time is over."""


def descend(
    form: NetworkForm, begin: Neurons, max_iter: int, reporter: Reporter, *, warm: int = 0
) -> Neurons:
    """Return the network that L-BFGS reaches from one start, after `warm` steps of Adam."""
    network = begin
    with np.errstate(over="ignore", invalid="ignore"):  # from what overflows no step is taken
        for stage in stages(form):
            network, over = _descended(stage, network, max_iter, reporter, warm)
            if over:
                break
            warm = 0
    return network


def _descended(
    stage: Stage, begin: Neurons, max_iter: int, reporter: Reporter, warm: int
) -> tuple[Neurons, bool]:
    """Return where one descent ends, and whether that is because time is up."""
    from scipy.optimize import minimize

    layers = layers_of(stage.form, begin)
    bounds = layers.bounds()
    x = layers.pack(begin) if bounds is None else np.clip(layers.pack(begin), *bounds.T)
    if len(x) == 0:  # no neurons and no free part
        return begin, False
    if warm and bounds is None:
        x = adam(lambda x: layers.value(x, stage.form.loss)[1], x, warm, reporter)
    best = x

    def watch(current: Array) -> None:
        nonlocal best
        best = current.copy()
        if reporter.expired():
            raise _TimeUp

    options = {"maxiter": max_iter, "maxfun": 2 * max_iter, "ftol": stage.fall, "gtol": 1e-8}
    try:
        found = minimize(  # type: ignore[call-overload]  # the stubs reject bounds=None
            layers.value,
            x,
            args=(stage.loss,),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            callback=watch,
            options=options,
        )
    except _TimeUp:
        return layers.unpack(best), True
    return (layers.unpack(found.x), False) if np.isfinite(found.x).all() else (begin, False)

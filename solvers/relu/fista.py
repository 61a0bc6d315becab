"""Accelerated proximal gradient with restart, on ``loss(F u + X s) + sum_b penalty_b(u_b)``.

FISTA (Beck & Teboulle 2009) with backtracking on the local curvature and the gradient restart
of O'Donoghue & Candes (2015). A step costs two masked products and one exact prox; memory
is O(nP), no matrix is factored. A loss with kinks is replaced by its Moreau envelope around a
dual centre that follows the iterates: the proximal point method on the dual (Rockafellar
1976), which is exact at any width of the envelope.

Without cones the iterates are in other coordinates where columns are badly scaled
(coordinates.py): the prox is that of a stretched norm.

The products may run in single precision or on a device (`device_products`). Single
precision lasts until its rounding hides the steps; the rest is done in double.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Options, Outcome, Raw, Reporter
from convexnn.contract.system.memory import Size
from convexnn.relu.cones import Facets
from convexnn.relu.forms import Dual, GroupForm, Neurons
from convexnn.solvers.checkpoint import Checkpoint
from convexnn.solvers.envelope import Envelope
from convexnn.solvers.exchange import Exchange, Serial
from convexnn.solvers.relu.block_prox import BlockProx
from convexnn.solvers.relu.block_prox import warm_up as warm_up
from convexnn.solvers.relu.coordinates import StretchedProx, coordinates
from convexnn.solvers.relu.device_products import Products, workplace
from convexnn.solvers.schedule import Spaced, common, iterate

MAX_ITER = 50_000
EASING = 0.97  # the curvature estimate shrinks by this factor a step, to follow the loss
WIDTH = 1.0  # of the envelope of a loss with kinks
RECENTRE = 150  # steps between moves of the envelope's centre
SINGLE = float(np.finfo(np.float32).eps)
HIDDEN = 8.0  # steps below so many times the rounding errors of the predictions are lost in them
DEFAULTS = {"dtype": "float64", "array": "numpy", "device": None}
ALONE = Serial(np.empty((0, 2), dtype=np.int64), 1)  # the transport of one process


class Smooth(Protocol):
    """What the method needs of a loss."""

    @property
    def curvature(self) -> float:
        """Return the largest second derivative."""

    def value(self, z: Array, y: Array) -> Array:
        """Return the loss of each example."""

    def gradient(self, z: Array, y: Array) -> Array:
        """Return the derivative at each example."""


def refusal(form: GroupForm) -> str | None:
    """Return None, or that the total is not a sum over the examples."""
    return None if form.loss.additive else "its risk couples the examples"


def memory(size: Size) -> dict[str, float]:
    """Return 80 bytes a weight: ten arrays of blocks."""
    return {"its blocks": 80.0 * size.weights}


def run(
    form: GroupForm, own: dict[str, Any], options: Options, reporter: Reporter, start: Any
) -> Raw:
    """Iterate until the reporter is satisfied.

    Options
    -------
    dtype : {"float64", "float32"}
        In "float32", products are in single precision as long as that helps; certificates are
        in double always.
    array : {"numpy", "torch"}
        torch takes programs without cones.
    device : str, optional
        Of torch: "cpu", "cuda" (the default), "cuda:1", ...
    """
    frame = coordinates(form) if form.signs is None and own["array"] == "numpy" else None
    if frame is None:
        prox: BlockProx | StretchedProx = BlockProx(form)
    else:
        form, prox, start = frame.form, StretchedProx(frame), frame.start(start)
    place = workplace(form, prox, **own)
    back = None if frame is None else frame.point
    return accelerate(form, place, prox, own["dtype"], options, reporter, start, ALONE, back=back)


class Warm(Protocol):
    """The prox's memory of facets, for all blocks."""

    def start(self, dual: Dual, step: float) -> None:
        """Start from the facets of a dual point."""

    def dual(self, mu: Array, step: float) -> Dual:
        """Return a dual point with the facets at hand, their multipliers freed of the step."""


class Saved(NamedTuple):
    """A checkpoint, and the steps between its writings."""

    file: Checkpoint
    every: int


def accelerate(
    form: GroupForm,
    place: Callable[[str], Products],
    warm: Warm,
    dtype: str,
    options: Options,
    reporter: Reporter,
    start: Any,
    talk: Exchange,
    saved: Saved | None = None,
    back: Callable[[Neurons], Neurons] | None = None,
) -> Raw:
    """Iterate until the reporter of the first process is satisfied.

    Parameters
    ----------
    form : GroupForm
    place : callable
        Makes the products in "float64" or "float32".
    warm : Warm
    dtype : {"float64", "float32"}
        To begin with. A run with checkpoints is in "float64".
    options : Options
    reporter : Reporter
    start : tuple of a primal and a dual point, or None
    talk : Exchange
        Between the processes that do the same.
    saved : Saved, optional
    back : callable, optional
        From a primal point in the coordinates of the form to one of the problem's.

    Returns
    -------
    Raw
    """
    run = Acceleration(form, place, warm, dtype, start, talk, saved)
    limit, heard = options.max_iter or MAX_ITER, common(reporter, talk)

    def points() -> tuple[Neurons, Dual]:
        primal, dual = run.points()
        return (primal if back is None else back(primal)), dual

    raw = iterate(run.step, points, heard, limit, due=run.due, after=run.after, done=run.done)
    return raw._replace(message=raw.message or run.told())


class Acceleration:
    """The iterates of one run, and what they are computed with.

    Parameters
    ----------
    form, place, warm, dtype, start, talk, saved
        As of `accelerate`.

    Attributes
    ----------
    done : int
        Steps that the run made before it was interrupted.
    """

    def __init__(
        self,
        form: GroupForm,
        place: Callable[[str], Products],
        warm: Warm,
        dtype: str,
        start: Any,
        talk: Exchange,
        saved: Saved | None,
    ) -> None:
        self.form, self.place, self.warm, self.talk, self.saved = form, place, warm, talk, saved
        self.dtype, self.products = dtype, place(dtype)
        self.state = _begin(form, self.products, warm, start)
        self.done = 0
        if saved is not None:
            record = _record(self.state, self.products, warm)
            self.done = saved.file.restore(talk, record)
            if self.done:
                self.state = _recalled(record, form, self.products, warm)
        self.due = Spaced(self.products.growth)
        self.last = self.state.point.z
        self.hidden = False  # steps are lost in the rounding of single precision
        self.single = 0  # steps in single precision, once it is over
        self.taken = self.done

    def step(self, k: int) -> Raw | None:
        """Make one step."""
        self.taken, self.last = k, self.state.point.z
        self.hidden = not _step(self.form, self.products, self.state, self.talk)
        if self.hidden and not self.products.single:
            return Raw(Outcome.FAILED, "The curvature estimate is no longer finite.")
        return None

    def points(self) -> tuple[Any, Dual]:
        """Return the blocks at hand, and the loss's slope at their predictions in double."""
        form, state = self.form, self.state
        point = state.point
        rows, z = self.products.fetch(point.rows), point.z
        if self.products.single:
            z = _predict(form, form.predict(rows), point.skip)
            noise = _distance(point.z, z)
            self.hidden = self.hidden or _distance(point.z, self.last) <= HIDDEN * noise
        mu = -state.loss.gradient(z, form.y)
        dual = self.warm.dual(mu, 1.0 / state.curvature)
        return form.neurons(rows, point.skip.copy()), dual

    def after(self, k: int) -> None:
        """Go over to double precision, move the envelope, write a checkpoint: what is due."""
        form, state = self.form, self.state
        if self.hidden:
            self.single, double = k, self.place("float64")
            fetch = self.products.fetch
            state.point, state.leading = (
                _point(form, double, fetch(p.rows), p.skip) for p in (state.point, state.leading)
            )
            self.products, self.due.growth = double, double.growth
        if isinstance(state.loss, Envelope) and k % RECENTRE == 0:
            state.loss = Envelope(form.loss, WIDTH, state.loss.gradient(state.point.z, form.y))
            state.leading, state.momentum = state.point, 1.0
        if self.saved is not None and k % self.saved.every == 0:
            self.saved.file.write(self.talk, _record(state, self.products, self.warm), k)

    def told(self) -> str:
        """Say which steps ran in single precision, where that was asked for, or what failed."""
        if self.dtype == "float64":
            return "" if self.saved is None else self.saved.file.trouble
        if self.single in (0, self.taken):
            return "Products in float32 throughout."
        return f"Products in float32 up to iteration {self.single}, in float64 from there."


@dataclass(frozen=True)
class Point:
    """Blocks one a row, wherever the products run, the free linear part, and the predictions."""

    rows: Any
    skip: Array
    z: Array

    def beyond(self, other: Point, factor: float) -> Point:
        """Return this point moved on by `factor` times the way from `other`."""
        return Point(
            self.rows + factor * (self.rows - other.rows),
            self.skip + factor * (self.skip - other.skip),
            self.z + factor * (self.z - other.z),
        )


@dataclass
class State:
    """What one step hands to the next, the prox's facets apart."""

    point: Point
    leading: Point
    loss: Smooth
    curvature: float
    momentum: float = 1.0


def _begin(form: GroupForm, products: Products, warm: Warm, start: Any) -> State:
    """Return the state before the first step."""
    still = products.send(np.zeros((form.blocks, form.X.shape[1])))
    point = Point(still, form.still(), np.zeros_like(form.y))
    mu = -form.loss.gradient(point.z, form.y)
    if start is not None:
        primal, dual = start
        point = _point(form, products, form.rows(primal), primal.skip.copy())
        mu = -form.loss.gradient(point.z, form.y) if dual is None else dual.mu
        if dual is not None:
            warm.start(dual, 1.0)
    kinks = not np.isfinite(form.loss.curvature)
    loss: Smooth = Envelope(form.loss, WIDTH, -mu) if kinks else form.loss
    return State(point, point, loss, 0.1 * loss.curvature * _largest_square(form, products))


def _record(state: State, products: Products, warm: Warm) -> dict[str, Array]:
    """Return the state and the facets as whole arrays; those of the loss only if it has kinks."""
    record = {"numbers": np.array([state.curvature, state.momentum])}
    for name, point in (("point", state.point), ("leading", state.leading)):
        record[f"{name}_rows"] = products.fetch(point.rows)
        record |= {f"{name}_skip": point.skip, f"{name}_z": point.z}
    if isinstance(state.loss, Envelope):
        record["centre"] = state.loss.centre
    facets = warm.dual(state.point.z, 1.0).facets
    return record if facets is None else {**record, **facets._asdict()}


def _recalled(record: dict[str, Any], form: GroupForm, products: Products, warm: Warm) -> State:
    """Return the state of a record, its facets handed to the prox."""
    point, leading = (
        Point(products.send(record[f"{name}_rows"]), record[f"{name}_skip"], record[f"{name}_z"])
        for name in ("point", "leading")
    )
    if "example" in record:
        warm.start(Dual(point.z, Facets(record["example"], record["value"])), 1.0)
    centre = record.get("centre")
    loss: Smooth = form.loss if centre is None else Envelope(form.loss, WIDTH, centre)
    return State(point, leading, loss, *map(float, record["numbers"]))


def _step(form: GroupForm, products: Products, state: State, talk: Exchange) -> bool:
    """Take one accelerated step; False if no curvature was large enough for it.

    Momentum that leads astray, ``<fresh - leading, fresh - point> < 0``, is given up.
    """
    point = state.point
    fresh, tried, turned = _descend(form, products, state, talk)
    moved = bool(np.isfinite(tried))
    if moved:
        state.curvature = tried
    if turned < 0.0:
        state.momentum = 1.0
    following = 0.5 * (1.0 + float(np.sqrt(1.0 + 4.0 * state.momentum * state.momentum)))
    state.leading = fresh.beyond(point, (state.momentum - 1.0) / following)
    state.point, state.momentum = fresh, following
    return moved


def _descend(
    form: GroupForm, products: Products, state: State, talk: Exchange
) -> tuple[Point, float, float]:
    """Take one proximal step, raising the curvature until its quadratic model holds.

    Returns
    -------
    Point
        Where it leads.
    float
        The curvature; an infinite one says that the model never holds.
    float
        ``<fresh - leading, fresh - point>``.
    """
    at, loss = state.leading, state.loss
    curvature = EASING * state.curvature
    gradient = loss.gradient(at.z, form.y)
    slope = products.correlate(gradient)
    slope_skip = form.span.T @ gradient if form.skip else np.zeros_like(at.skip)
    values = loss.value(at.z, form.y)
    terms = np.sum(np.abs(values)) + np.sum(np.abs(gradient * at.z))  # an envelope's may cancel
    while np.isfinite(curvature):
        step = 1.0 / curvature
        rows = products.prox(at.rows - step * slope, step)
        skip = at.skip - step * slope_skip
        z, moved, turned = products.trial(rows, at.rows, state.point.rows)
        z = _predict(form, z, skip)
        change = z - at.z
        rise = loss.value(z, form.y) - values
        along = (gradient * change).reshape(*rise.shape, -1).sum(axis=-1)  # of an example's loss
        excess = float(np.sum(rise - along))
        shift = skip - at.skip
        moved += float(np.vdot(shift, shift))
        rounding = 1e-14 * terms
        if products.single:
            noise = SINGLE * float(np.linalg.norm(z))
            bent = _distance(loss.gradient(z, form.y), gradient)  # far below the largest curvature
            rounding += noise * (bent + loss.curvature * noise)
        if talk.agree(excess <= 0.5 * curvature * moved + rounding):
            turned += float(np.vdot(shift, skip - state.point.skip))
            return Point(rows, skip, z), curvature, turned
        curvature = np.inf if products.single and not np.isfinite(excess) else 1.5 * curvature
    return at, np.inf, 0.0


def _predict(form: GroupForm, z: Array, skip: Array) -> Array:
    """Return the predictions of blocks, ``z``, with those of the free linear part."""
    return z + form.span @ skip if form.skip else z


def _point(form: GroupForm, products: Products, rows: Array, skip: Array) -> Point:
    """Return a point given by NumPy blocks, its predictions computed afresh."""
    sent = products.send(rows)
    return Point(sent, skip, _predict(form, products.predict(sent), skip))


def _distance(a: Array, b: Array) -> float:
    return float(np.linalg.norm(a - b))


def _largest_square(form: GroupForm, products: Products) -> float:
    """Estimate ``||[F, X]||^2`` by a few power iterations."""
    r = np.random.default_rng(0).standard_normal(form.y.shape)
    size = 1.0
    for _ in range(8):
        r /= max(float(np.linalg.norm(r)), 1e-300)
        image = products.predict(products.correlate(r))
        r = image + form.span @ (form.span.T @ r) if form.skip else image
        size = float(np.linalg.norm(r))
    return max(size, 1e-300)

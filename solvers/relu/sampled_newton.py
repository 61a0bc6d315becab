"""Proximal Newton steps over all examples, their curvature that of a sample of them.

For ``loss(F u + C s, y) + beta sum_b ||u_b||`` a step minimises the model

    <g, d> + d'H d / 2 + beta sum_b ||u_b + d_b||,      H = (n/m) F_S' diag(l'') F_S,

where g is the slope over all n examples and H has m of them (Byrd et al. 2011, "On the use of
stochastic Hessian information"; Lee, Sun & Saunders 2014 with a prox). The blocks of the model are
those in use, and those whose slope says that they should be. It is minimised by accelerated
proximal gradient in the principal coordinates of the examples, in single precision; predictions,
slopes, the line search and all that is reported are of every example and in double. So a pass over
all examples is made a few times and not at each of hundreds of steps. The sample grows where the
model foretells badly, in the end to all examples, with which the method is proximal Newton.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from convexnn.contract.arrays import Array, BoolArray, IndexArray
from convexnn.contract.backend import Options, Outcome, Raw, Reporter
from convexnn.contract.checks import positive_int
from convexnn.contract.clock import look
from convexnn.contract.system.memory import Size
from convexnn.relu.forms import Dual, GroupForm, Neurons
from convexnn.solvers.relu.block_prox import warm_up as warm_up
from convexnn.solvers.relu.coordinates import coordinates, stretched_prox
from convexnn.solvers.relu.fista import Point
from convexnn.solvers.schedule import NO_FURTHER, iterate

MAX_ITER = 500
DEFAULTS = {"rows": None}
FEWEST = 16_384  # examples of the first sample
EACH = 1  # and so many for each weight
GROWTH = 4  # from one sample to the next
FORETOLD = 0.6  # share of the model's fall that a step of a good model has at least
NEAR = 0.98  # share of beta from which a block that is not in use belongs to the model
INNER = 200  # steps on a model at most; twice as many from one that was not solved by then
SPARING = 10  # steps from one look at what it does not need to the next
FEWER = 0.1  # share of the patterns from which they are set aside
SOLVED = 0.1  # share of a model's first step from which its steps are short enough
EASING = 0.95  # the curvature estimate shrinks by this factor a step
FLAT = 1e-3  # of the largest second derivative: the least that an example counts with
ARMIJO = 0.1  # share of the model's fall at which a step is taken
HALVINGS = 30
ROUNDING = 1e-15  # of a value, relative to the sizes that it is a sum of
LOST = 5  # steps in a row whose fall is lost in it, before no further one is made


def refusal(form: GroupForm) -> str | None:
    """Return None, or why the program is none of smooth losses and free blocks of their own."""
    if form.signs is not None:
        return "its blocks are in cones"
    if form.norm.name not in ("l2", "l1"):
        return f"it does not know the norm {form.norm.name}"
    if not (form.loss.additive and form.loss.separable):
        return "its loss couples examples or outputs"
    if not np.isfinite(form.loss.curvature):
        return "its loss has kinks"
    return None


def memory(size: Size) -> dict[str, float]:
    """Return the bytes of the sample in single precision, twice its patterns, and of the blocks."""
    return {
        "its sample": 4.0 * size.n * (size.d + 2.0 * size.patterns),
        "patterns in use": 8.0 * size.n * size.patterns,
        "its blocks": 120.0 * size.weights,
    }


def run(
    form: GroupForm, own: dict[str, Any], options: Options, reporter: Reporter, start: Any
) -> Raw:
    """Iterate until the reporter is satisfied.

    Options
    -------
    rows : int, optional
        Examples of the first sample; at least 16,384 and one for each weight if left out.
    """
    rows = None if own["rows"] is None else positive_int("rows", own["rows"])
    frame = coordinates(form)
    if frame is not None:
        start = frame.start(start)
    inside = form if frame is None else frame.form
    scale = principal(inside) if frame is None else unchanged(frame.widths)
    run = Newton(inside, scale, rows, options.seed, reporter, start)

    def points() -> tuple[Neurons, Dual]:
        primal = inside.neurons(run.rows, run.skip)
        dual = Dual(-inside.loss.gradient(run.z, inside.y))
        return (primal if frame is None else frame.point(primal)), dual

    return iterate(run.step, points, reporter, options.max_iter or MAX_ITER, due=lambda k: True)


class Scale(NamedTuple):
    """Coordinates of the model: blocks ``v = to u`` for the rows ``back' x``.

    Attributes
    ----------
    to, back : array of shape (d, d)
        Each the other's inverse.
    widths : array of shape (d,)
        The penalty is the norm of ``widths * v``.
    stretch : array of shape (d,)
        It is that of ``stretch * u``.
    """

    to: Array
    back: Array
    widths: Array
    stretch: Array


def unchanged(stretch: Array) -> Scale:
    """Return the coordinates themselves, of a program whose norm is stretched by its own."""
    one = np.eye(len(stretch))
    return Scale(one, one, stretch, stretch)


def principal(form: GroupForm) -> Scale:
    """Return coordinates in which the examples' columns have length ``sqrt(n)``, and right angles.

    Angles are turned for a norm that allows it. Columns too short to tell keep a least length.

    Examples
    --------
    >>> from convexnn.functions.losses import LOSSES
    >>> from convexnn.functions.norms import NORMS
    >>> X = np.random.default_rng(0).standard_normal((20, 2)) @ [[1.0, 2.0], [0.0, 3.0]]
    >>> rest = None, LOSSES["squared"], NORMS["l2"], 1.0, False
    >>> found = principal(GroupForm(X, X[:, 0], np.ones((20, 1)), *rest))
    >>> Z = X @ found.back
    >>> bool(np.allclose(Z.T @ Z, 20.0 * np.eye(2)))
    True
    """
    X = form.X
    n, d = X.shape
    if form.norm.rotates:
        squares, turn = np.linalg.eigh(X.T @ X)
    else:
        squares, turn = np.einsum("ij,ij->j", X, X), np.eye(d)
    length = np.sqrt(_raised(squares) / n)
    return Scale(length[:, None] * turn.T, turn / length, 1.0 / length, np.ones(d))


def _raised(squares: Array) -> Array:
    """Return squared lengths, those lost in rounding beside the largest not quite as small."""
    least = float(np.max(squares)) * np.finfo(np.float64).eps
    result: Array = np.maximum(squares, max(least, np.finfo(np.float64).tiny))
    return result


class Newton:
    """The iterates of one run.

    Attributes
    ----------
    rows, skip, z : array
        Blocks one a row, the free part, and the predictions of both.
    """

    def __init__(
        self,
        form: GroupForm,
        scale: Scale,
        rows: int | None,
        seed: int,
        reporter: Reporter,
        start: Any,
    ) -> None:
        self.form, self.scale, self.reporter = form, scale, reporter
        n, d = form.X.shape
        self.rows, self.skip = np.zeros((form.blocks, d)), form.still()
        if start is not None:
            self.rows, self.skip = form.rows(start[0]), start[0].skip.copy()
        self.z = form.predict(self.rows) + form.free(self.skip)
        self.value = self._value(self.rows, self.z)
        self._order = np.random.default_rng(seed).permutation(n)
        wanted = max(FEWEST, EACH * self.rows.size) if rows is None else rows
        self._free, self._lost, self._steps = _free(form), 0, INNER
        self.sample = Sample(form, scale, self._free, self._order[: min(wanted, n)])

    def _value(self, rows: Array, z: Array) -> float:
        form = self.form
        penalty = form.beta * float(np.sum(form.norm.value(self.scale.stretch * rows)))
        return float(np.sum(form.loss.value(z, form.y))) + penalty

    def step(self, k: int) -> Raw | None:
        """Make one step."""
        form, loss, y = self.form, self.form.loss, self.form.y
        gradient = loss.gradient(self.z, y)
        slope = form.correlate(gradient)
        slope_skip = form.span.T @ gradient if form.skip else np.zeros_like(self.skip)
        P = form.slopes.shape[1]
        wanted = form.norm.dual(slope / self.scale.stretch) > NEAR * form.beta
        used = np.any((wanted | self.rows.any(axis=1)).reshape(-1, P), axis=0)
        while True:
            look()
            model = self.sample.model(used, self.z, slope, slope_skip)
            rows, skip, fall = model.minimised(self.rows, self.skip, self._steps, self.reporter)
            if not model.solved:
                self._steps *= 2
            z = _predict(form, used, rows) + form.free(skip)
            share, gain = self._line(rows, z, fall)
            if share > 0.0:
                self.rows = rows if share == 1.0 else self.rows + share * (rows - self.rows)
                self.skip = self.skip + share * (skip - self.skip)
                self.z = z if share == 1.0 else self.z + share * (z - self.z)
                self.value -= gain
            whole = self.sample.size == len(y)
            if not whole and (share < 1.0 or gain < FORETOLD * fall):
                more = self._order[: min(GROWTH * self.sample.size, len(y))]
                self.sample = Sample(form, self.scale, self._free, more)
                whole = False
            self._lost = self._lost + 1 if fall <= self._rounding() else 0
            if whole and (share == 0.0 or self._lost > LOST):
                return Raw(Outcome.FINISHED, NO_FURTHER)
            if share > 0.0 or self.reporter.expired():
                return None

    def _rounding(self) -> float:
        """Return the error of a value, beside which a smaller fall is lost."""
        return ROUNDING * (abs(self.value) + float(np.sum(np.abs(self.z))))

    def _line(self, rows: Array, z: Array, fall: float) -> tuple[float, float]:
        """Return the share of the way to a model's minimiser that is gone, and what it gains."""
        share = 1.0
        for _ in range(HALVINGS):
            at = rows if share == 1.0 else self.rows + share * (rows - self.rows)
            gain = self.value - self._value(at, self.z + share * (z - self.z))
            if fall > 0.0 and gain >= ARMIJO * share * fall - self._rounding():
                return share, gain
            share *= 0.5
        return 0.0, 0.0


def _predict(form: GroupForm, used: BoolArray, rows: Array) -> Array:
    """Return the predictions of blocks that are zero for the patterns that are not in use."""
    P = form.slopes.shape[1]
    if 2 * np.count_nonzero(used) > P:
        return form.predict(rows)
    some = form._replace(slopes=np.ascontiguousarray(form.slopes[:, used]))
    return some.predict(_of(rows, used))


def _of(rows: Array, used: BoolArray) -> Array:
    """Return the blocks of some patterns, for each output."""
    d = rows.shape[1]
    return np.ascontiguousarray(rows.reshape(-1, len(used), d)[:, used].reshape(-1, d))


def _free(form: GroupForm) -> tuple[Array, Array] | None:
    """Return coordinates of the free part, ``s' = to s`` and back; None where there is none."""
    if not form.skip:
        return None
    squares, turn = np.linalg.eigh(form.span.T @ form.span)
    length = np.sqrt(_raised(squares) / len(form.span))
    return length[:, None] * turn.T, turn / length


class Sample:
    """Some of the examples, in the coordinates of the model and in single precision."""

    def __init__(
        self, form: GroupForm, scale: Scale, free: tuple[Array, Array] | None, chosen: IndexArray
    ) -> None:
        self.form, self.scale, self.free = form, scale, free
        self.size = len(chosen)
        self._all = self.size == len(form.y)
        self._chosen = np.arange(self.size) if self._all else np.sort(chosen)
        X, slopes = ((part if self._all else part[self._chosen]) for part in (form.X, form.slopes))
        self.X: Any = (X @ scale.back).astype(np.float32)
        self.slopes: Any = slopes.astype(np.float32)
        self.columns: Any = None
        if free is not None:
            self.columns = (form.span[self._chosen] @ free[1]).astype(np.float32)
        self.curvature = 0.0  # of the models so far

    def model(self, used: BoolArray, z: Array, slope: Array, slope_skip: Array) -> Model:
        """Return the model at predictions of all examples."""
        form, every = self.form, bool(used.all())
        weights = form.loss.hessian(z, form.y)[self._chosen]
        weights = np.maximum(weights, FLAT * form.loss.curvature) * (len(z) / self.size)
        slopes = self.slopes if every else np.ascontiguousarray(self.slopes[:, used])
        few: Any = form._replace(X=self.X, slopes=slopes, y=form.y[self._chosen])
        return Model(self, few, used, weights.astype(np.float32), slope, slope_skip)


class Model:
    """``<g, d> + d'H d / 2 + beta sum_b ||u_b + d_b||`` of the patterns in use.

    Blocks that its minimiser hardly needs are set aside on the way, at zero.

    Attributes
    ----------
    solved : bool
        Whether the steps became short before they were too many.
    """

    def __init__(
        self,
        sample: Sample,
        few: GroupForm,
        used: BoolArray,
        weights: Array,
        slope: Array,
        slope_skip: Array,
    ) -> None:
        self._sample, self._few, self._used, self._weights = sample, few, used.copy(), weights
        scale, free = sample.scale, sample.free
        self._slope = _of(slope, used) @ scale.back
        self._slope_skip = slope_skip if free is None else free[1].T @ slope_skip
        self._aside = np.zeros_like(weights)  # predictions of what was set aside
        self.solved = False
        self._saved = 0.0  # by how much the model fell with it, its predictions apart

    def _predict(self, rows: Array, skip: Array) -> Array:
        given: Any = rows.astype(np.float32)
        z = self._few.predict(given) + self._aside
        return z if self._sample.free is None else z + self._sample.columns @ skip.astype(z.dtype)

    def _bent(self, z: Array) -> tuple[Array, Array]:
        """Return ``H d`` of predictions, for the blocks and the free part."""
        pull: Any = self._weights * z
        rows = self._few.correlate(pull).astype(np.float64)
        if self._sample.free is None:
            return rows, np.zeros_like(self._slope_skip)
        return rows, (self._sample.columns.T @ pull).astype(np.float64)

    def _largest(self, shape: tuple[int, ...]) -> float:
        """Estimate the largest curvature by a few power iterations."""
        rng = np.random.default_rng(0)
        rows, skip, size = rng.standard_normal(shape), np.zeros_like(self._slope_skip), 1.0
        if self._sample.free is not None:  # all that there is where no pattern is in use
            skip = rng.standard_normal(skip.shape)
        for _ in range(6):
            rows, skip = self._bent(self._predict(rows / size, skip / size))
            size = max(float(np.sqrt(np.vdot(rows, rows) + np.vdot(skip, skip))), 1e-300)
        return size

    def _prox(self, rows: Array, step: float) -> Array:
        weight, widths = step * self._few.beta, self._sample.scale.widths
        if self._few.norm.rotates:
            return stretched_prox(rows, weight, widths)
        shrunk: Array = np.sign(rows) * np.maximum(np.abs(rows) - weight * widths, 0.0)
        return shrunk

    def minimised(
        self, rows: Array, skip: Array, limit: int, reporter: Reporter
    ) -> tuple[Array, Array, float]:
        """Return blocks and a free part near the minimiser, and by how much the model falls."""
        sample, scale, free = self._sample, self._sample.scale, self._sample.free
        begin = _of(rows, self._used) @ scale.to.T
        at = leading = Point(np.zeros_like(begin), np.zeros_like(self._slope_skip), self._aside)
        if sample.curvature == 0.0:
            sample.curvature = self._largest(begin.shape)
        momentum, first = 1.0, 0.0
        for k in range(1, limit + 1):
            bent, bent_skip = self._bent(leading.z)
            if k % SPARING == 0:
                spare = self._spare(begin + at.rows, begin + leading.rows, bent)
                if spare is not None:
                    begin, at, leading, bent = self._set_aside(spare, begin, at, leading, bent)
            sample.curvature *= EASING
            while True:
                step = 1.0 / sample.curvature
                moved = leading.rows - step * (self._slope + bent)
                fresh_rows = self._prox(begin + moved, step) - begin
                fresh_skip = leading.skip - step * (self._slope_skip + bent_skip)
                z = self._predict(fresh_rows, fresh_skip)
                change = z - leading.z
                far = fresh_rows - leading.rows
                far_skip = fresh_skip - leading.skip
                length = float(np.vdot(far, far) + np.vdot(far_skip, far_skip))
                curved = float(np.vdot(self._weights * change, change))
                if curved <= sample.curvature * length * (1.0 + 1e-5) or length == 0.0:
                    break
                sample.curvature = max(1.5 * sample.curvature, curved / length)
            fresh = Point(fresh_rows, fresh_skip, z)
            turned = np.vdot(far, fresh.rows - at.rows) + np.vdot(far_skip, fresh.skip - at.skip)
            if turned < 0.0:
                momentum = 1.0
            following = 0.5 * (1.0 + float(np.sqrt(1.0 + 4.0 * momentum * momentum)))
            leading = fresh.beyond(at, (momentum - 1.0) / following)
            at, momentum = fresh, following
            size = sample.curvature * np.sqrt(length)
            first = max(first, size)
            self.solved = size <= SOLVED * first
            if self.solved or reporter.expired():
                break
        fall = self._fall(begin, at)
        new = np.zeros_like(rows).reshape(-1, len(self._used), rows.shape[1])
        found = (begin + at.rows) @ scale.back.T
        new[:, self._used] = found.reshape(len(new), -1, rows.shape[1])
        moved_skip = at.skip if free is None else free[1] @ at.skip
        return new.reshape(rows.shape), skip + moved_skip, fall

    def _spare(self, rows: Array, leading: Array, bent: Array) -> BoolArray | None:
        """Return which patterns the minimiser hardly needs, None where they are not many."""
        few, widths = self._few, self._sample.scale.widths
        flat = few.norm.dual((self._slope + bent) / widths) < NEAR * few.beta
        idle = flat & ~rows.any(axis=1) & ~leading.any(axis=1)
        spare = np.all(idle.reshape(few.outputs, -1), axis=0)
        count = np.count_nonzero(spare)
        return spare if FEWER * len(spare) <= count < len(spare) else None

    def _set_aside(
        self, spare: BoolArray, begin: Array, at: Point, leading: Point, bent: Array
    ) -> tuple[Array, Point, Point, Array]:
        """Take patterns out of the model, their blocks at zero; return what is left."""
        few, kept = self._few, ~spare
        gone = -_of(begin, spare)
        given: Any = gone.astype(np.float32)
        some = few._replace(slopes=np.ascontiguousarray(few.slopes[:, spare]))
        self._aside = self._aside + some.predict(given)
        before = few.norm.value(self._sample.scale.widths * gone).sum()
        self._saved += float(few.beta * before - np.vdot(_of(self._slope, spare), gone))
        self._few = few._replace(slopes=np.ascontiguousarray(few.slopes[:, kept]))
        self._used[np.flatnonzero(self._used)[spare]] = False
        self._slope, begin, bent = (_of(part, kept) for part in (self._slope, begin, bent))
        at, leading = (Point(_of(p.rows, kept), p.skip, p.z) for p in (at, leading))
        return begin, at, leading, bent

    def _fall(self, begin: Array, at: Point) -> float:
        """Return how much less the model is at a point than where it begins."""
        norm, widths = self._few.norm, self._sample.scale.widths
        linear = np.vdot(self._slope, at.rows) + np.vdot(self._slope_skip, at.skip)
        curved = 0.5 * np.vdot(self._weights * at.z, at.z.astype(np.float64))
        before, after = (norm.value(widths * part).sum() for part in (begin, begin + at.rows))
        return float(self._saved + self._few.beta * (before - after) - linear - curved)

"""Newton's method for the geometric median, from a sample to all points.

A sample is solved first, itself from a sample; its answer and its curvature serve all points.
Passes over all points are few: the curvature

    sum_i w_i / r_i (I - u_i u_i'),   r_i = ||b_i - x||,   u_i = (b_i - x) / r_i

comes from a sample, is made anew when progress slackens, then from more points, and is corrected
by secants meanwhile. A data point within reach of a step is tried where the pull of the others at
it, as the curvature foretells it, does not exceed its weight; if it is not optimal, the step away
is that of Vardi & Zhang 2000, "The multivariate L1-median and associated data depth". Points on a
line have a weighted median for an answer; few points in many dimensions are first mapped to as
many dimensions as there are points, by their inner products.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from math import sqrt
from typing import Any

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Options, Outcome, Raw, Reporter
from convexnn.contract.system.memory import Size
from convexnn.median.bound import proof
from convexnn.median.forms import (
    NARROW,
    ROUNDING,
    Location,
    MedianForm,
    Sight,
    View,
    median_form,
    view,
)
from convexnn.median.sights import looking
from convexnn.solvers.schedule import First, iterate

MAX_ITER = 500
ALONE = 4096  # points up to which a sample does not pay
LEAST = 512  # points of a sample
SHARE = 32  # points for each one of the sample
START = 64  # points whose medians by coordinate are the first guess
EARLY = 0.1  # accuracy of a sample, times the root of its size
ROWS = (256, 4096)  # points whose curvature is summed, at least and at most to begin with
PAIRS = 8  # secants kept
SLOW = 0.1  # factor of a step on the pull, above which the curvature is made anew
REACH = 4.0  # steps within which a data point is tried
EVERY = 10  # iterations between certificates before the end
FEW = (4, 16)  # points that mostly tell that not all lie on a line
FLAT = 1e-13  # residual distance, relative, below which points lie on a line
GRAM = 600  # points up to which their inner products are factored
CLOSE = 1e-9  # gap in their span, whatever is asked: rounding of squares leaves little more
TOGETHER = 4096  # columns whose inner products are summed at a time

Look = Callable[[Array], View]


def run(
    form: MedianForm, own: dict[str, Any], options: Options, reporter: Reporter, start: Any
) -> Raw:
    """Find the median, and report it with the certificate in mind."""
    n, d = form.points.shape
    x, curvature = on_a_line(form), None
    if x is not None:
        if reporter.report(1, Location(x), Sight(x)):
            return Raw(Outcome.STOPPED)
    elif start is not None:
        x = np.array(start[0].offset, dtype=np.float64)
    elif 2 * n <= d and n <= GRAM and form.tail is None:
        x = by_products(form, reporter)
    else:
        x, curvature = pilot(form, options.seed, reporter)
    descent = Descent(form, x, curvature, looking(form, reporter))
    return descent.run(options.tol, reporter, options.max_iter or MAX_ITER)


def warm_up(form: MedianForm) -> None:
    """Compile the kernels for points stored in this way."""
    n, d = form.points.shape
    _warm(form.points.dtype, min(d, NARROW + 1))
    if 2 * n <= d:  # their span is stored in a way of its own
        _warm(np.dtype(np.float64), min(n, NARROW + 1))


@cache
def _warm(dtype: np.dtype[Any], d: int) -> None:
    few = median_form(np.eye(2, d, dtype=dtype), np.ones(1), np.zeros(d))
    proof(few, few.mean, view(few, few.mean))


def memory(size: Size) -> dict[str, float]:
    """Return what its rows of curvature take, the smaller of their two products, and distances."""
    n, d = size.n, size.d
    rows = _rows(n, d)
    side = min(rows, d)
    parts = {
        f"its {rows:,} rows of curvature": 16.0 * rows * d,
        f"its {side:,} x {side:,} matrix and factor": 16.0 * side**2,
        "distances": 16.0 * n,
    }
    if 2 * n <= d and n <= GRAM:
        parts["inner products"] = 32.0 * n**2
    return parts


def _rows(n: int, d: int) -> int:
    """Return how many points give the curvature to begin with."""
    return min(n, max(ROWS[0], min(8 * n // d, ROWS[1])))


def pilot(
    form: MedianForm, seed: int | np.random.Generator, reporter: Reporter
) -> tuple[Array, Curvature | None]:
    """Return the median of a sample and the curvature there, scaled to all points."""
    n = len(form.points)
    if n <= ALONE:
        rows = np.asarray(form.points[:: -(-n // START)], dtype=np.float64)
        return np.partition(rows, len(rows) // 2, axis=0)[len(rows) // 2].copy(), None
    size, rng = max(LEAST, n // SHARE), np.random.default_rng(seed)
    index = ((np.arange(size) + rng.random(size)) * (n / size)).astype(np.intp)  # one of each part
    points = form.points.T[:, index].T if form.points.flags.f_contiguous else form.points[index]
    weights = form.weights if len(form.weights) == 1 else form.weights[index]
    small = median_form(points, weights.copy(), form.centre)
    if form.tail is not None:
        small = small._replace(tail=form.tail.scaled(small.total / form.total))
    descent = Descent(small, *pilot(small, rng, reporter))
    descent.run(EARLY / size**0.5, First(reporter), inner=True)
    if descent.curvature is not None:
        descent.curvature.grow(form.total / small.total)
    return descent.x, descent.curvature


class Curvature:
    """``s I - A' A`` at a point, from rows of the data, and its inverse.

    Factors whichever is smaller of it and ``s I - A A'``.
    """

    def __init__(self, form: MedianForm, x: Array, slack: float, rows: int) -> None:
        n, d = form.points.shape
        stride = max(1, n // rows)
        points = form.points[::stride]
        Y = points - x
        weights = form.weights if len(form.weights) == 1 else form.weights[::stride]
        square = np.einsum("ij,ij->i", Y, Y)
        none = square == 0.0
        if none.any():  # points at x do not pull
            weights, square = np.where(none, 0.0, weights), np.where(none, 1.0, square)
        q = weights / np.sqrt(square)
        self.scale = slack / total if (total := float(q.sum())) > 0.0 else 1.0
        Y *= np.sqrt(q / square)[:, None]
        self.slack = total
        self.A = Y
        self.wide = len(Y) < d
        K = -(Y @ Y.T if self.wide else Y.T @ Y)
        self.K, self.diagonal = K, np.einsum("ii->i", K)  # a view
        self.diagonal += total
        self.rows = len(Y)
        self._factor()

    def _factor(self) -> None:
        ridge = 1e-13 * self.slack
        while True:
            factor, info = dpotrf(self.K, lower=1)
            if info == 0:
                self.factor = factor
                return
            self.diagonal += ridge
            ridge *= 100.0

    def grow(self, factor: float) -> None:
        """Multiply by a factor."""
        self.scale *= factor

    def solve(self, r: Array) -> Array:
        """Return the inverse times a vector."""
        inner: Array = dpotrs(self.factor, self.A @ r if self.wide else r, lower=1)[0]
        if self.wide:
            inner = (r + inner @ self.A) / self.slack
        return inner / self.scale

    def times(self, v: Array) -> Array:
        """Return the product with a vector."""
        product: Array = self.slack * v - (self.A @ v) @ self.A if self.wide else self.K @ v
        return self.scale * product


class Descent:
    """Newton steps on one form from x.

    Attributes
    ----------
    x : array of shape (d,)
    curvature : Curvature or None
    look : callable
        Returns the `View` from a point.
    """

    def __init__(
        self, form: MedianForm, x: Array, curvature: Curvature | None, look: Look | None = None
    ) -> None:
        self.form, self.x, self.curvature = form, x, curvature
        self.look = partial(view, form) if look is None else look
        self.rows = _rows(*form.points.shape)
        self.pairs: list[tuple[Array, Array, float]] = []
        self.tried: set[int] = set()

    def run(
        self, tol: float, reporter: Reporter, limit: int = MAX_ITER, *, inner: bool = False
    ) -> Raw:
        """Step until the gap is small, or nothing moves; what is looked at first is x itself.

        An inner run reports its last point alone, and its gap is relative to any value.
        """
        least, every = (0.0, limit + 1) if inner else (1.0, EVERY)
        seen, stuck, sure = self.look(self.x), 0, False

        def step(k: int) -> Raw | None:
            nonlocal seen, stuck, sure
            if k > 1:
                x, after = self._step(seen)
                stuck = stuck + 1 if after is seen or np.array_equal(x, self.x) else 0
                self.x, seen = x, after
            gap = seen.value - proof(self.form, self.x, seen)
            sure = gap <= tol * max(least, seen.value)
            if sure and gap > 0.0:
                seen = self._settle(seen)
            if stuck > 1 or gap == 0.0:
                return Raw(Outcome.FINISHED, "Rounding stopped the progress.")
            return None

        def points() -> tuple[Location, Sight]:
            return Location(self.x), Sight(self.x)

        return iterate(step, points, reporter, limit, due=lambda k: sure or k % every == 0)

    def _step(self, seen: View) -> tuple[Array, View]:
        """Return the next point and what is seen from it."""
        pull, size = residual(seen)
        if size == 0.0:
            return self.x, seen
        if self.curvature is None:
            self._refresh(seen)
        assert self.curvature is not None
        p = self._direction(pull)
        anchor = self._anchor(seen, p)
        if anchor is not None:
            return anchor
        slope = float(pull @ p)
        if not slope > 0.0:
            self.pairs.clear()
            p = self.curvature.solve(pull)
            slope = float(pull @ p)
        a = 1.0
        noise = 4e-16 * seen.value
        for _ in range(6):
            x = self.x + a * p
            after = self.look(x)
            new, length = residual(after)
            falls = after.value <= seen.value - 1e-4 * a * slope
            if falls or (after.value <= seen.value + noise and length < size):
                self._learn(a * p, pull - new, length / size, seen, after)
                return x, after
            end = float(new @ p)
            a *= min(max(slope / (slope - end), 0.1), 0.5) if end < slope else 0.5
        return self._safe(seen, pull, size)

    def _safe(self, seen: View, pull: Array, size: float) -> tuple[Array, View]:
        """Take the step that never fails, of Weiszfeld or, at a data point, of Vardi and Zhang."""
        x = self.x + pull / seen.slack
        after = self.look(x)
        self.pairs.clear()
        self.curvature = None
        self.rows = min(4 * self.rows, len(self.form.points))
        if after.value < seen.value or (after.value == seen.value and residual(after)[1] < size):
            return x, after
        return self.x, seen

    def _anchor(self, seen: View, p: Array) -> tuple[Array, View] | None:
        """Return the nearest data point if it is within reach and optimal, or at least better."""
        if seen.distance == 0.0 or seen.nearest in self.tried:
            return None
        reach = sqrt(p @ p)
        if seen.distance > REACH * reach:
            return None
        place = self.form.row(seen.nearest)
        assert self.curvature is not None
        ahead = seen.others - self.curvature.times(place - self.x)
        if sqrt(ahead @ ahead) > 1.5 * seen.weight and seen.distance > 1e-6 * reach:
            return None
        self.tried.add(seen.nearest)
        there = self.look(place)
        if residual(there)[1] == 0.0 or there.value < seen.value:
            self.pairs.clear()
            return place, there
        return None

    def _settle(self, seen: View) -> View:
        """Move to the nearest data point if that is all that is left to do."""
        group, at = seen.weight, seen.distance
        if (
            at > 0.0
            and seen.slack * at <= 2.0 * group
            and seen.others @ seen.others <= group * group
        ):
            place = self.form.row(seen.nearest)
            there = self.look(place)
            if residual(there)[1] == 0.0:
                self.x = place
                return there
        return seen

    def _direction(self, pull: Array) -> Array:
        """Return the curvature's inverse times the pull, corrected by the secants."""
        assert self.curvature is not None
        q, kept = pull.copy(), []
        for s, y, rho in reversed(self.pairs):
            share = rho * float(s @ q)
            kept.append(share)
            q -= share * y
        p = self.curvature.solve(q)
        for (s, y, rho), share in zip(self.pairs, reversed(kept), strict=True):
            p += (share - rho * float(y @ p)) * s
        return p

    def _learn(self, s: Array, y: Array, factor: float, seen: View, after: View) -> None:
        """Keep the secant; make the curvature anew where it foretold the step badly."""
        product = float(s @ y)
        if after.distance > 0.0 and seen.distance > 0.0 and product > 0.0:
            self.pairs = [*self.pairs[1 - PAIRS :], (s, y, 1.0 / product)]
        if factor > SLOW:
            held = self.curvature
            if held is not None and held.rows >= self.rows:
                self.rows = min(4 * self.rows, len(self.form.points))
            self.curvature = None
            self.pairs.clear()

    def _refresh(self, seen: View) -> None:
        self.curvature = Curvature(self.form, self.x, seen.slack, self.rows)


def residual(seen: View) -> tuple[Array, float]:
    """Return the pull, less what a data point at x takes up, and its length."""
    size = float(np.sqrt(seen.pull @ seen.pull))
    if seen.distance > 0.0:
        return seen.pull, size
    if size <= seen.weight:
        return np.zeros_like(seen.pull), 0.0
    return seen.pull * (1.0 - seen.weight / size), size - seen.weight


def on_a_line(form: MedianForm) -> Array | None:
    """Return a weighted median, a data point, of points that lie on a line; None if they do not."""
    if not all(_flat(form.points[:few] - form.mean) for few in FEW):
        return None
    Y = form.points - form.mean
    if not _flat(Y):
        return None
    axis = Y[int(np.argmax(np.einsum("ij,ij->i", Y, Y)))]
    weights = np.broadcast_to(form.weights, len(Y))
    rows = form.points
    if form.tail is not None:
        rows = np.concatenate([rows, form.tail.points])
        weights = np.concatenate([weights, form.tail.weights])
        away = form.tail.points - form.mean
        axis = axis if axis.any() else away[0]
        along = axis / np.sqrt(axis @ axis)
        off = np.abs(away - np.outer(away @ along, along)).max(axis=1)
        if (off > FLAT * form.tail.lengths).any():
            return None
        Y = np.concatenate([Y, away])
    t = Y @ axis
    order = np.argsort(t, kind="stable")
    sums = np.cumsum(weights[order])
    at = int(order[np.searchsorted(sums, 0.5 * sums[-1])])
    return np.array(rows[at], dtype=np.float64)


def _flat(Y: Array) -> bool:
    square = np.einsum("ij,ij->i", Y, Y)
    far = int(np.argmax(square))
    if square[far] == 0.0 or Y.shape[1] == 1:
        return True
    axis = Y[far] / np.sqrt(square[far])
    off = Y - (Y @ axis)[:, None] * axis
    return bool(np.abs(off).max() <= FLAT * np.sqrt(square[far]))


def by_products(form: MedianForm, reporter: Reporter) -> Array:
    """Return the median of few points in many dimensions as far as inner products tell it.

    With ``Y`` the points less their mean one a row and ``Y Y' = V S^2 V'``, the rows of ``V S``
    are as far from one another as the points are, and ``Y' V S^-1 q`` is the point at ``q``.
    """
    n, d = form.points.shape
    products = np.zeros((n, n))
    for part in _parts(d):
        Y = form.points[:, part] - form.mean[part]
        products += Y @ Y.T
    square, vectors = np.linalg.eigh(products)
    kept = square > n * ROUNDING * square[-1]
    lengths, vectors = np.sqrt(square[kept]), vectors[:, kept]
    flat = median_form(vectors * lengths, form.weights.copy(), np.zeros(len(lengths)))
    descent = Descent(flat, *pilot(flat, 0, reporter))
    descent.run(CLOSE, First(reporter), inner=True)
    seen = view(flat, descent.x)
    if seen.distance == 0.0:
        return form.row(seen.nearest)
    shares = vectors @ (descent.x / lengths)
    x: Array = form.mean * (1.0 - shares.sum())
    for part in _parts(d):
        x[part] += shares @ form.points[:, part].astype(np.float64, copy=False)
    return x


def _parts(d: int) -> list[slice]:
    return [slice(j, j + TOGETHER) for j in range(0, d, TOGETHER)]

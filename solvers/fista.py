"""Accelerated proximal gradient with restart, on ``loss(F u + X s) + sum_b penalty_b(u_b)``.

FISTA (Beck & Teboulle 2009) with backtracking on the local curvature and the gradient restart
of O'Donoghue & Candes (2015). A step costs two masked products and one exact prox; memory
is O(nP), no matrix is factored. A loss with kinks is replaced by its Moreau envelope around a
dual centre that follows the iterates: the proximal point method on the dual (Rockafellar
1976), which is exact at any width of the envelope.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from convexnn.arrays import Array
from convexnn.backend import Capabilities, Options, Raw, Reporter
from convexnn.forms import GroupForm
from convexnn.memory import Size
from convexnn.problem import Problem
from convexnn.solvers.envelope import Envelope
from convexnn.solvers.options import unpack
from convexnn.solvers.prox import BlockProx, warm_up

MAX_ITER = 50_000
FIRST_CHECK = 10
GROWTH = 1.1  # checks are spaced geometrically: a stop comes at most this factor late
EASING = 0.97  # the curvature estimate shrinks by this factor a step, to follow the loss
WIDTH = 1.0  # of the envelope of a loss with kinks
RECENTRE = 150  # steps between moves of the envelope's centre


class Smooth(Protocol):
    """What the method needs of a loss."""

    @property
    def curvature(self) -> float:
        """Return the largest second derivative."""

    def value(self, z: Array, y: Array) -> Array:
        """Return the loss of each example."""

    def gradient(self, z: Array, y: Array) -> Array:
        """Return the derivative at each example."""


class Fista:
    """Accelerated proximal gradient with restart. It has no options of its own."""

    name = "fista"
    capabilities = Capabilities(forms=(GroupForm,), warm_start=True, best_tol=1e-9)

    def available(self) -> str | None:
        """Return None: it is always there."""
        return None

    def refuses(self, problem: Problem[Any]) -> str | None:
        """Return None: it takes every `GroupForm`."""
        return None

    def prepare(self, form: GroupForm) -> None:
        """Compile the kernels."""
        warm_up(form)

    def memory(self, size: Size) -> dict[str, float]:
        """Return 80 bytes a weight: ten arrays of blocks."""
        return {"its blocks": 80.0 * size.weights}

    def run(self, form: GroupForm, options: Options, reporter: Reporter, start: Any = None) -> Raw:
        """Iterate until the reporter is satisfied."""
        unpack("fista", options.extra)
        limit = options.max_iter or MAX_ITER
        prox = BlockProx(form)
        d = form.X.shape[1]
        point = Point(np.zeros((form.blocks, d)), form.still(), np.zeros_like(form.y))
        mu = -form.loss.gradient(point.z, form.y)
        if start is not None:
            primal, dual = start
            rows, skip = form.rows(primal), primal.skip.copy()
            point = Point(rows, skip, form.predict(rows) + form.X @ skip)
            mu = -form.loss.gradient(point.z, form.y) if dual is None else dual.mu
            if dual is not None:
                prox.start(dual, 1.0)
        kinks = not np.isfinite(form.loss.curvature)
        loss: Smooth = Envelope(form.loss, WIDTH, -mu) if kinks else form.loss
        curvature = 0.1 * loss.curvature * _largest_square(form)
        leading, momentum = point, 1.0
        check = float(FIRST_CHECK)
        for k in range(1, limit + 1):
            gradient = loss.gradient(leading.z, form.y)
            curvature *= EASING
            fresh, curvature = _descend(form, prox, loss, leading, gradient, curvature)
            if not np.isfinite(curvature):
                return Raw("failed", "The curvature estimate is no longer finite.")
            if _dot(leading, fresh, point) > 0.0:
                momentum = 1.0
            following = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * momentum * momentum))
            leading = fresh.beyond(point, (momentum - 1.0) / following)
            point, momentum = fresh, following
            if k >= check or k == limit:
                check = max(check * GROWTH, k + 1.0)
                mu = -loss.gradient(point.z, form.y)
                primal = form.neurons(point.rows, point.skip.copy())
                if reporter.report(k, primal, prox.dual(mu, 1.0 / curvature)):
                    return Raw("stopped")
            elif k % 8 == 0 and reporter.expired():
                mu = -loss.gradient(point.z, form.y)
                primal = form.neurons(point.rows, point.skip.copy())
                reporter.report(k, primal, prox.dual(mu, 1.0 / curvature))
                return Raw("stopped")
            if kinks and k % RECENTRE == 0:
                loss = Envelope(form.loss, WIDTH, loss.gradient(point.z, form.y))
                leading, momentum = point, 1.0
        return Raw("max_iter")


@dataclass(frozen=True)
class Point:
    """Blocks one a row, the free linear part, and the predictions they make."""

    rows: Array
    skip: Array
    z: Array

    def beyond(self, other: Point, factor: float) -> Point:
        """Return this point moved on by `factor` times the way from `other`."""
        return Point(
            self.rows + factor * (self.rows - other.rows),
            self.skip + factor * (self.skip - other.skip),
            self.z + factor * (self.z - other.z),
        )


def _descend(
    form: GroupForm, prox: BlockProx, loss: Smooth, at: Point, gradient: Array, curvature: float
) -> tuple[Point, float]:
    """Take one proximal step, raising the curvature until its quadratic model holds."""
    slope = form.correlate(gradient)
    slope_skip = form.X.T @ gradient if form.skip else np.zeros_like(at.skip)
    values = loss.value(at.z, form.y)
    terms = np.sum(np.abs(values)) + np.sum(np.abs(gradient * at.z))  # an envelope's may cancel
    while np.isfinite(curvature):
        step = 1.0 / curvature
        rows = prox(at.rows - step * slope, step)
        skip = at.skip - step * slope_skip
        z = form.predict(rows)
        if form.skip:
            z = z + form.X @ skip
        change = z - at.z
        rise = loss.value(z, form.y) - values
        along = (gradient * change).reshape(*rise.shape, -1).sum(axis=-1)  # of an example's loss
        excess = float(np.sum(rise - along))
        moved = float(np.sum(np.square(rows - at.rows)) + np.sum(np.square(skip - at.skip)))
        if excess <= 0.5 * curvature * moved + 1e-14 * terms:
            return Point(rows, skip, z), curvature
        curvature *= 1.5
    return at, curvature


def _dot(leading: Point, fresh: Point, before: Point) -> float:
    """Return ``<leading - fresh, fresh - before>``: positive where momentum leads astray."""
    rows = np.vdot(leading.rows - fresh.rows, fresh.rows - before.rows)
    skip = np.vdot(leading.skip - fresh.skip, fresh.skip - before.skip)
    return float(rows + skip)


def _largest_square(form: GroupForm) -> float:
    """Estimate ``||[F, X]||^2`` by a few power iterations."""
    r = np.random.default_rng(0).standard_normal(form.y.shape)
    size = 1.0
    for _ in range(8):
        r /= max(float(np.linalg.norm(r)), 1e-300)
        image = form.predict(form.correlate(r))
        r = image + form.X @ (form.X.T @ r) if form.skip else image
        size = float(np.linalg.norm(r))
    return max(size, 1e-300)

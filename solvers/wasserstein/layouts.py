"""Forms of linear decisions as programs of the interior point.

The samples keep their own multipliers; what balls and norms add is in `ball_layouts` and
`norm_layouts`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.solvers.wasserstein.ball_layouts import LAYOUTS, BallLayout
from convexnn.solvers.wasserstein.interior import ROOM, PiecewiseInterior
from convexnn.solvers.wasserstein.norm_layouts import NORMS, Cones, Rows
from convexnn.solvers.wasserstein.program import Program, Samples, nothing
from convexnn.wasserstein.forms import Linear, Slopes, WassersteinForm
from convexnn.wasserstein.portfolio import PortfolioForm, Stress, Weights


class PortfolioPlan(NamedTuple):
    """A program of a `PortfolioForm`, and how to read its iterates."""

    form: PortfolioForm
    program: Program

    def point(self, core: PiecewiseInterior) -> Weights:
        """Return the portfolio of an iterate."""
        x = np.maximum(core.w[: self.form.returns.shape[1]], 0.0)
        return Weights(x / x.sum())

    def slopes(self, core: PiecewiseInterior) -> Stress:
        """Return the dual point of an iterate."""
        form = self.form
        n, d = form.returns.shape
        tail = form.tail(core.w[:d]) if form.aversion == 0.0 else core.x.p / (n * form.aversion)
        return Stress(tail, NORMS[type(form.norm)].direction(core, d) / max(form.price, 1e-300))


def portfolio(form: PortfolioForm) -> PortfolioPlan:
    """Write the form as a program in ``(x, tau, lam, ...)``."""
    n, d = form.returns.shape
    norm = NORMS[type(form.norm)]
    D = d + 2 + norm.more(d)
    cost, start = np.zeros(D), np.zeros(D)
    cost[:d] = -form.returns.mean(axis=0)
    cost[d], cost[d + 1] = form.aversion, form.price
    start[:d] = 1.0 / d
    start[d] = -float(np.mean(form.returns @ start[:d]))
    start[d + 1] = 2.0
    rows = Rows()
    cones: Cones = []
    norm.bound(d, d + 1, rows, cones, start)
    start[d + 2 :] = 1.5 / d  # above x, below lam
    rows.add(np.arange(d)[:, None], -1.0)
    equal = np.zeros(D)
    equal[:d] = 1.0
    samples = nothing(d + 1)
    if form.aversion > 0.0:
        Z = np.column_stack([form.returns, np.ones(n)])
        none = np.zeros(0)
        cap = form.aversion / form.level
        samples = Samples(
            Z, -1, np.full(n, -1.0), 0.0, np.zeros(n), none, 0.0, none, False, False, cap, 0.0
        )  # fmt: skip
    G, h = rows.matrix(D)
    return PortfolioPlan(form, Program(samples, cost, G, h, tuple(cones), start, equal))


class LinearPlan(NamedTuple):
    """A program of a `WassersteinForm`, and how to read its iterates."""

    form: WassersteinForm
    program: Program
    ball: BallLayout

    def point(self, core: PiecewiseInterior) -> Linear:
        """Return the model of an iterate."""
        d = self.form.X.shape[1]
        c = core.w[d : d + 1] if self.form.intercept else np.zeros(1)
        return Linear(core.w[:d].copy(), c.copy())

    def slopes(self, core: PiecewiseInterior) -> Slopes:
        """Return the dual point of an iterate."""
        return self.ball.slopes(core)


def linear(form: WassersteinForm, near: tuple[Linear, Slopes | None] | None = None) -> LinearPlan:
    """Write the form as a program in ``(b, c, lam, ...)``."""
    Z = np.column_stack([form.X, np.ones(len(form.y))]) if form.intercept else form.X
    ball = LAYOUTS[type(form.ball)](form, Z)
    D = ball.size()
    cost, start = np.zeros(D), np.zeros(D)
    rows = Rows()
    cones: Cones = []
    ball.bound(rows, cones, cost, start)
    samples = ball.samples(cost)
    if len(samples.Z):
        samples = samples._replace(weights=form.ball.weights)
    G, h = rows.matrix(D)
    warm = None
    if near is not None and near[1] is not None and ball.warm:
        _begin_near(form, ball, start, near[0])
        warm = ball.multipliers(near[1])
    program = Program(samples, cost, G, h, tuple(cones), start, warm=warm, entries=ball.entries())
    return LinearPlan(form, program, ball)


def _begin_near(form: WassersteinForm, ball: BallLayout, start: Array, point: Linear) -> None:
    """Move the start to a point just inside."""
    d = form.X.shape[1]
    start[:d] = point.coef
    if form.intercept:
        start[d] = point.intercept[0]
    at = ball.index("lam")
    if at < 0:
        return
    length = form.length(point)
    best = max(form.ball.multiplier(form.predict(point), form.y, length), form.ball.floor)
    start[at] = max((1.0 + ROOM) * best, ROOM)
    ball.norm.near(point.coef, length, float(start[at]), start)

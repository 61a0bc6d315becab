"""Newton's method: on the path of a primal-dual interior point for linear decisions.

Of the files beside this one `layouts` lays a form out and `interior` takes the steps. Smooth risks
are first tried as they stand, in `smooth`; the geometric median has steps of its own, in
`convexnn.solvers.median.newton`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Capabilities, Options, Raw, Reporter
from convexnn.contract.problem import Problem
from convexnn.functions.losses import Logistic
from convexnn.median.forms import MedianForm
from convexnn.solvers.median import newton as median
from convexnn.solvers.options import unpack
from convexnn.solvers.wasserstein import smooth
from convexnn.solvers.wasserstein.interior import Interior
from convexnn.solvers.wasserstein.layouts import layout
from convexnn.wasserstein.forms import Linear, WassersteinForm, slopes_at
from convexnn.wasserstein.portfolio import PortfolioForm, Weights

MAX_ITER = 200
NEAR = 5.0  # times the tolerance: own gap from which every step is certified
CLOSE = 1e-2  # relative fall of a smooth risk from which every step is certified
EVERY = 5  # steps between certificates before that
STALLED = 1e-10  # step length below which nothing moves
EXHAUSTED = 1e-15  # own gap and residual below which rounding rules


class Newton:
    """Primal-dual interior point for linear decisions; O(n d^2) a step, some twenty steps.

    For the geometric median, steps of O(n d), some five of them.
    """

    name = "newton"
    capabilities = Capabilities(
        forms=(WassersteinForm, PortfolioForm, MedianForm), warm_start=True, best_tol=1e-10
    )

    def available(self) -> str | None:
        """Return None: it is always there."""
        return None

    def refuses(self, problem: Problem[Any]) -> str | None:
        """Return None: it takes every problem of its form."""
        return None

    def prepare(self, form: WassersteinForm | PortfolioForm | MedianForm) -> None:
        """Compile the kernels on a few rows."""
        if isinstance(form, MedianForm):
            median.prepare(form)
            return
        if isinstance(form, PortfolioForm):
            Interior(layout(form._replace(returns=form.returns[:3])).program).step()
            return
        rows = np.unique([int(np.argmin(form.y)), int(np.argmax(form.y)), 0])
        small = form._replace(X=np.ascontiguousarray(form.X[rows]), y=form.y[rows])
        if not (small.squared and small.radius == 0.0):
            Interior(layout(small).program).step()

    def run(
        self,
        form: WassersteinForm | PortfolioForm | MedianForm,
        options: Options,
        reporter: Reporter,
        start: Any = None,
    ) -> Raw:
        """Iterate until the reporter is satisfied or nothing moves."""
        unpack("newton", options.extra)
        if isinstance(form, MedianForm):
            return median.run(form, options, reporter, start)
        if isinstance(form, WassersteinForm) and form.squared and form.radius == 0.0:
            exact = least_squares(form)
            if reporter.report(1, exact, slopes_at(form, exact)):
                return Raw("stopped")
            return Raw("finished", "Least squares to machine precision.")
        taken, limit = 0, options.max_iter or MAX_ITER
        if isinstance(form, WassersteinForm) and smooth.suits(form):
            for model, fall in smooth.models(form, start[0] if start else None):
                taken += 1
                near = fall <= CLOSE or taken == limit or reporter.expired()
                if near and reporter.report(taken, model, slopes_at(form, model)):
                    return Raw("stopped")
                if taken == limit:
                    return Raw("max_iter")
        plan = layout(form, start)
        core = Interior(plan.program)
        for k in range(taken + 1, limit + 1):
            step, residual = core.step()
            if not np.isfinite(core.w).all():
                return Raw("failed", "The iterates are no longer finite.")
            gap = core.gap()
            near = gap <= NEAR * options.tol * max(1.0, abs(float(plan.program.cost @ core.w)))
            last = k == limit or step <= STALLED or max(gap, residual) <= EXHAUSTED
            if near or last or k % EVERY == 0 or reporter.expired():
                point = plan.point(core)
                if reporter.report(k, point, plan.slopes(core)):
                    return Raw("stopped", separation(form, point))
                if last and k < limit:
                    return Raw("finished", "Rounding stopped the progress of interior point.")
        return Raw("max_iter")


def separation(form: WassersteinForm | PortfolioForm, point: Linear | Weights) -> str:
    """Return a remark on data that some model separates, where nothing keeps it short."""
    if isinstance(form, PortfolioForm) or isinstance(point, Weights):
        return ""
    if form.radius > 0.0 or not isinstance(form.loss, Logistic):
        return ""
    if np.min(form.y * form.predict(point)) <= 0.0:
        return ""
    return "The data are separable: the risk tends to 0 and no model attains it."


def least_squares(form: WassersteinForm) -> Linear:
    """Return the shortest least-squares model."""
    Z = np.column_stack([form.X, np.ones(len(form.y))]) if form.intercept else form.X
    w: Array = np.linalg.lstsq(Z, form.y, rcond=None)[0].astype(np.float64)
    d = form.X.shape[1]
    return Linear(w[:d], w[d:] if form.intercept else np.zeros(1))

"""Newton's method for linear decisions: a primal-dual interior point.

O(n d min(n, d)) a step, some twenty steps. Of the files beside this one `layouts` lays a form out
as a `program`, `interior` takes the steps, whose `systems` are dense or `wide`, and `steps` goes
along them. Smooth risks are first tried as they stand,
in `smooth`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Options, Outcome, Raw, Reporter
from convexnn.functions.losses import Squared
from convexnn.solvers.wasserstein import interior, smooth
from convexnn.solvers.wasserstein.ball_layouts import LAYOUTS
from convexnn.solvers.wasserstein.layouts import linear
from convexnn.solvers.wasserstein.steps import MAX_ITER, follow
from convexnn.wasserstein.forms import Linear, WassersteinForm
from convexnn.wasserstein.order_one import Empirical

CLOSE = 1e-2  # relative fall of a smooth risk from which every step is certified


def refusal(form: WassersteinForm) -> str | None:
    """Return which row has no layout, None if there is one."""
    row = type(form.ball)
    return None if row in LAYOUTS else f"has no layout for {row.__name__}"


def warm_up(form: WassersteinForm) -> None:
    """Compile the kernels."""
    if not plain_least_squares(form):
        interior.warm_up()


def run(
    form: WassersteinForm, own: dict[str, Any], options: Options, reporter: Reporter, start: Any
) -> Raw:
    """Iterate until the reporter is satisfied or nothing moves."""
    if plain_least_squares(form):
        exact = least_squares(form)
        if reporter.report(1, exact, form.slopes(exact)):
            return Raw(Outcome.STOPPED)
        return Raw(Outcome.FINISHED, "Least squares to machine precision.")
    taken, limit = 0, options.max_iter or MAX_ITER
    if smooth.suits(form):
        for model, fall in smooth.models(form, start[0] if start else None):
            taken += 1
            near = fall <= CLOSE or taken == limit or reporter.expired()
            if near and reporter.report(taken, model, form.slopes(model)):
                return Raw(Outcome.STOPPED)
            if taken == limit:
                return Raw(Outcome.MAX_ITER)
    plan = linear(form, start)
    raw, core = follow(plan, options, reporter, taken)
    if raw.outcome != Outcome.STOPPED:
        return raw
    return raw._replace(message=separation(form, plan.point(core)))


def separation(form: WassersteinForm, point: Linear) -> str:
    """Return a remark on data that some model separates, where nothing keeps it short."""
    loss = form.ball.loss
    positive = loss.classification and bool(np.isfinite(loss.curvature))  # 0 at infinity only
    if form.ball.radius > 0.0 or not positive:
        return ""
    if np.min(form.y * form.predict(point)) <= 0.0:
        return ""
    return "The data are separable: the risk tends to 0 and no model attains it."


def plain_least_squares(form: WassersteinForm) -> bool:
    """Tell whether the risk is a mean square and nothing else."""
    return isinstance(form.ball, Empirical) and isinstance(form.ball.loss, Squared)


def least_squares(form: WassersteinForm) -> Linear:
    """Return the shortest least-squares model."""
    Z = np.column_stack([form.X, np.ones(len(form.y))]) if form.intercept else form.X
    y, weights = form.y, form.ball.weights
    if weights is not None:
        root = np.sqrt(weights)
        Z, y = root[:, None] * Z, root * y
    w: Array = np.linalg.lstsq(Z, y, rcond=None)[0].astype(np.float64)
    d = form.X.shape[1]
    return Linear(w[:d], w[d:] if form.intercept else np.zeros(1))

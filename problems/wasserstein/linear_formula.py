"""The worst case over a Wasserstein ball, written in CVXPY."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convexnn.contract.program import CvxpyProgram
from convexnn.functions.losses import Logistic
from convexnn.wasserstein.forms import Linear, Slopes, slopes_at

if TYPE_CHECKING:
    import cvxpy as cp

    from convexnn.wasserstein.forms import WassersteinForm


def formula(form: WassersteinForm, needs: frozenset[str]) -> CvxpyProgram:
    """Write the canonical form in CVXPY."""
    import cvxpy as cp

    n, d = form.X.shape
    y, radius, loss = form.y, form.radius, form.loss
    b, c, z = cp.Variable(d, name="b"), cp.Variable(name="c"), cp.Variable(n, name="z")
    lam = cp.Variable(nonneg=True, name="lam")
    fit = z == form.X @ b + c
    constraints: list[cp.Constraint] = [fit]
    if not form.intercept:
        constraints.append(c == 0.0)
    variables: dict[str, cp.Variable] = {"b": b, "c": c, "z": z, "lam": lam}
    size = {"l1": 1, "l2": 2, "linf": "inf"}[form.norm.name]
    lifted = radius > 0.0 and loss.classification and form.order == 2.0
    if lifted:  # ||b||^2 <= 4 lam v, with the multiplier lam / eps and the lift eps v
        t, v = cp.Variable(name="t"), cp.Variable(nonneg=True, name="v")
        variables |= {"t": t, "v": v}
        constraints += [cp.norm(b, size) <= t, cp.SOC(lam + v, cp.hstack([t, lam - v]))]
    elif radius > 0.0:
        constraints.append(cp.norm(b, size) <= lam)
        if form.floor > 0.0:
            constraints.append(lam >= form.floor)
    duals: dict[str, cp.Constraint] = {}
    margin = cp.multiply(y, z)
    if radius == 0.0:
        scale = 2.0 if form.squared else 1.0
        cost = scale * loss.cvxpy(z, y) / n
        constraints.append(lam == 0.0)
    elif loss.classification and form.order == 1.0:
        if not form.flips:
            cost = radius * lam + loss.cvxpy(z, y) / n
        elif isinstance(loss, Logistic):
            excess = cp.Variable(n, nonneg=True, name="excess")
            variables["excess"] = excess
            duals["other"] = excess >= margin - form.flip * lam
            cost = radius * lam + (loss.cvxpy(z, y) + cp.sum(excess)) / n
        else:
            s = cp.Variable(n, nonneg=True, name="s")
            variables["s"] = s
            duals["own"] = s >= 1.0 - margin
            duals["other"] = s >= 1.0 + margin - form.flip * lam
            cost = radius * lam + cp.sum(s) / n
    elif lifted:
        cost = radius * lam + cp.sum(cp.pos(1.0 - margin + radius * v)) / n
    elif loss.classification:
        cost = loss.cvxpy(z - cp.multiply(y, radius * lam), y) / n
    elif not form.squared:
        cost = radius * form.lipschitz * lam + loss.cvxpy(z, y) / n
    elif form.order == 2.0:
        cost = cp.square(cp.norm(z - y, 2) / np.sqrt(n) + radius * lam)
    else:
        cost = cp.sum_squares(cp.abs(z - y) + radius * lam) / n
    problem = cp.Problem(cp.Minimize(cost), [*constraints, *duals.values()])

    def points() -> tuple[Linear, Slopes]:
        free = np.asarray(c.value).reshape(1) if form.intercept else np.zeros(1)
        point = Linear(np.asarray(b.value).reshape(d), free)
        guess = slopes_at(form, point)
        total = -n * np.asarray(fit.dual_value)
        other = guess.other
        if "other" in duals:
            other = n * np.asarray(duals["other"].dual_value)
        if form.squared and form.order == 2.0 and radius > 0.0:
            root = float(np.sqrt(form.risk(point)))
            return point, Slopes(total / (2.0 * root), other) if root > 0.0 else guess
        return point, Slopes(total - y * other if form.flips else total, other)

    return CvxpyProgram(problem, variables, points, needs)

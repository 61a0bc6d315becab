"""The robust program in CVXPY."""

from __future__ import annotations

import numpy as np

from convexnn.contract.program import CvxpyProgram
from convexnn.relu.forms import Neurons
from convexnn.robust.forms import RobustDual, RobustForm


def robust_formula(form: RobustForm, needs: frozenset[str]) -> CvxpyProgram:
    """Return the program over patterns in CVXPY: V, W, slopes Q and worst predictions z."""
    import cvxpy as cp

    X, y, P = form.X, form.y, form.added
    n, d = X.shape
    D = form.slopes[:, :P]
    V, W = cp.Variable((d, P), name="V"), cp.Variable((d, P), name="W")
    Q, z = cp.Variable((n, d), name="Q"), cp.Variable(n, name="z")
    spread = cp.Variable(n, name="spread")
    names = {"linf": 1, "l2": 2, "l1": "inf"}
    order, moved = names[form.ball], np.flatnonzero(form.moved)
    boxes = form.widths
    if boxes is None:
        far = form.radius * cp.norm(Q[:, moved], order, axis=1)
    else:
        far = cp.sum(cp.multiply(boxes, cp.abs(Q)), axis=1)
    slopes = [Q == D @ (V - W).T, far <= spread]
    everywhere = np.arange(n)
    if form.loss.classification:
        below, above, mirrored = np.flatnonzero(y > 0.0), np.flatnonzero(y <= 0.0), z
    else:
        below, above, mirrored = everywhere, everywhere, 2.0 * y - z
    center = cp.sum(cp.multiply(X, Q), axis=1)
    low, up = center - spread, center + spread
    E = 2.0 * D - 1.0
    parts, sides = [], []
    for columns, used in ((V, above), (W, below)):
        rows = everywhere if form.cones else used
        if boxes is None:
            each = form.radius * cp.norm(columns[moved, :], order, axis=0)
            reach = np.ones((len(rows), 1)) @ cp.reshape(each, (1, P), order="C")
        else:
            reach = boxes[rows] @ cp.abs(columns)
        left = cp.multiply(-E[rows], X[rows] @ columns) + reach
        if form.cones:
            parts.append((rows, left <= 0.0))
            sides.append(0.0)
        else:
            slack = cp.Variable((len(rows), P), nonneg=True)
            parts.append((rows, left <= slack))
            sides.append(cp.sum(slack, axis=1))
    extra_v, extra_w = sides
    fit = [mirrored[below] <= low[below] - extra_w, up[above] + extra_v <= z[above]]
    penalty = form.norm.cvxpy(V) + form.norm.cvxpy(W)
    problem = cp.Problem(
        cp.Minimize(form.loss.cvxpy(z, y) + form.beta * penalty),
        slopes + [part for _, part in parts] + fit,
    )

    def points() -> tuple[Neurons, RobustDual]:
        primal = Neurons(V.value, W.value, np.zeros(d))
        held = [*fit, slopes[0], *(part for _, part in parts)]
        if V.value is None or any(part.dual_value is None for part in held):
            return primal, RobustDual(*(5 * [None]))  # type: ignore[arg-type]  # nothing was found
        p, q, H = np.zeros(n), np.zeros(n), np.zeros((n, 2 * P))
        p[below], q[above] = fit[0].dual_value, fit[1].dual_value
        p, q = np.maximum(p, 0.0), np.maximum(q, 0.0)
        for k, (rows, part) in enumerate(parts):
            H[rows, k * P : (k + 1) * P] = part.dual_value
        total = (p + q)[:, None]
        pull = (p - q)[:, None] * X - slopes[0].dual_value
        attack = np.where(total > 0.0, pull / np.where(total > 0.0, total, 1.0), 0.0)
        active = form.slopes > 0.0
        left, right = np.where(active, H, 0.0), np.where(active, 0.0, H)
        return primal, RobustDual(p - q, np.minimum(p, q), attack, left, right)

    return CvxpyProgram(problem, {"V": V, "W": W, "Q": Q, "z": z}, points, needs, True)

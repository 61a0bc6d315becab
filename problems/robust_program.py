"""The robust program: its formula, and rigorous lower bounds from any dual guess.

With multipliers ``p, q >= 0`` of ``low`` and ``up`` (see `RobustForm`), attacks ``r_k`` in the ball
and multipliers ``H >= 0`` of the slacks, at most q for V's and p for W's unless they are cones,

    optimum >= sum_k -h*(-t p_k, t q_k; y_k)

for every ``t >= 0`` such that, for each pattern, with ``F = D'((p - q) X - (p + q) R)``,

    t min {||F_p + X'(E_p H_p) - a|| : ||a||_ball <= radius sum_k H_kp} <= beta

and the same for W with ``-F``. Both sides are positively homogeneous in ``(p, q, H)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convexnn.covering import ROUNDING
from convexnn.forms import CvxpyProgram, Neurons
from convexnn.norms import DUAL, NORMS
from convexnn.problems.majorant import multipliers, scaled_value
from convexnn.robust import RobustDual, RobustForm

if TYPE_CHECKING:
    from convexnn.arrays import Array

EPS = float(np.finfo(np.float64).eps)
INSIDE = 1.0 - 1e-12  # share of the radius that attacks may use, so that rounding leaves the ball not


def robust_bound(form: RobustForm, dual: RobustDual) -> float:
    """Return a lower bound on the optimum of `form`; -inf where the guess does not fit it.

    Parameters
    ----------
    form : RobustForm
    dual : RobustDual
        Any guess.

    Returns
    -------
    float
    """
    n, d = form.X.shape
    shapes = dual.mu.shape, dual.attack.shape, dual.slack.shape
    if shapes != ((n,), (n, d), (n, form.blocks)):
        return -np.inf
    if not all(np.isfinite(part).all() for part in (dual.mu, dual.attack, dual.slack)):
        return -np.inf
    p, q = multipliers(form, -form.loss.clip(-dual.mu, form.y), dual.common)
    limit = largest_distance(form, p, q, dual)
    return scaled_value(form, p, q, form.beta / limit if limit > 0.0 else np.inf)


def largest_distance(form: RobustForm, p: Array, q: Array, dual: RobustDual) -> float:
    """Return an upper bound on the largest of the distances above."""
    X, half = form.X, form.matrix.shape[1]
    attack = NORMS[form.ball].project(dual.attack * form.moved, form.radius * INSIDE)
    pull = (p - q)[:, None] * X - (p + q)[:, None] * attack
    F = form.matrix.T.astype(np.float64) @ pull
    top = np.full((len(p), 2), np.inf) if form.cones else np.stack([q, p], axis=1)
    H = np.clip(dual.slack, 0.0, np.repeat(top, half, axis=1))
    signs = np.where(form.matrix, 1.0, -1.0)
    rows = np.vstack([F, -F]) + (np.hstack([signs, signs]) * H).T @ X
    reach = form.radius * H.sum(axis=0) * INSIDE
    near = _residual(form, rows, reach)
    size = float(np.linalg.norm(pull)) + (form.radius + float(np.linalg.norm(X))) * (
        float(np.linalg.norm(H))
    )
    error = EPS * np.sqrt(len(p)) * size
    return (float(np.max(form.norm.value(near))) + error) * (1.0 + ROUNDING)


def _residual(form: RobustForm, rows: Array, reach: Array) -> Array:
    """Return each row less its nearest point in the ball of radius ``reach``, moved columns only.

    By Moreau's identity that is the prox of ``reach ||.||_*``.
    """
    near = rows.copy()
    inside = rows[:, form.moved]
    some = reach > 0.0
    scale = np.where(some, reach, 1.0)[:, None]
    near[:, form.moved] = np.where(
        some[:, None], scale * DUAL[form.ball].prox(inside / scale, 1.0), inside
    )
    return near


def robust_formula(form: RobustForm, needs: frozenset[str]) -> CvxpyProgram:
    """Return the program in CVXPY: V, W, the slopes Q and the worst predictions z."""
    import cvxpy as cp

    X, y, D = form.X, form.y, form.matrix.astype(np.float64)
    n, d = X.shape
    P = D.shape[1]
    V, W = cp.Variable((d, P), name="V"), cp.Variable((d, P), name="W")
    Q, z = cp.Variable((n, d), name="Q"), cp.Variable(n, name="z")
    spread = cp.Variable(n, name="spread")
    names = {"linf": 1, "l2": 2, "l1": "inf"}
    order, moved = names[form.ball], np.flatnonzero(form.moved)
    slopes = [Q == D @ (V - W).T, form.radius * cp.norm(Q[:, moved], order, axis=1) <= spread]
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
        reach = form.radius * cp.norm(columns[moved, :], order, axis=0)
        rows = everywhere if form.cones else used
        left = cp.multiply(-E[rows], X[rows] @ columns) + np.ones((len(rows), 1)) @ cp.reshape(
            reach, (1, P), order="C"
        )
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
            return primal, RobustDual(None, None, None, None)  # type: ignore[arg-type]
        p, q, H = np.zeros(n), np.zeros(n), np.zeros((n, 2 * P))
        p[below], q[above] = fit[0].dual_value, fit[1].dual_value
        p, q = np.maximum(p, 0.0), np.maximum(q, 0.0)
        for k, (rows, part) in enumerate(parts):
            H[rows, k * P : (k + 1) * P] = part.dual_value
        total = (p + q)[:, None]
        pull = (p - q)[:, None] * X - slopes[0].dual_value
        attack = np.where(total > 0.0, pull / np.where(total > 0.0, total, 1.0), 0.0)
        return primal, RobustDual(p - q, np.minimum(p, q), attack, np.maximum(H, 0.0))

    return CvxpyProgram(problem, {"V": V, "W": W, "Q": Q, "z": z}, points, needs)

"""The robust program: its formula, and rigorous lower bounds from any dual guess.

With multipliers ``p, q >= 0`` of ``low`` and ``up`` (see `RobustForm`), attacks ``r_k`` in the
ball, and multipliers ``L, R >= 0`` of the two sides of the slacks, ``L / S + R / (1 - S)`` at most
q for V's and p for W's unless they are cones,

    optimum >= sum_k -h*(-t p_k, t q_k; y_k)

for every ``t >= 0`` such that, for each neuron, with ``F = S'((p - q) X - (p + q) r)`` and its sign

    t min {||sign F_j + X'(L_j - R_j) - a|| : ||a||_ball <= radius sum_k (L + R)_kj} <= beta.

All of it is positively homogeneous in ``(p, q, L, R)``. Of boxes, s half their sides, the condition
on a is ``|a_i| <= sum_k (L + R)_kj s_ki``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convexnn.functions.norms import DUAL
from convexnn.relu.majorant_bound import multipliers, scaled_value
from convexnn.relu.pricing.pricing_bound import ROUNDING
from convexnn.robust.forms import INSIDE, RobustDual, RobustForm

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array

EPS = float(np.finfo(np.float64).eps)
NEGLIGIBLE = 1e-100  # share of a row's length below which a radius is not worth its rounding
ORDINARY = 1e-100  # multipliers below it, or above its inverse, are brought to about 1


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
    (n, d), m = form.X.shape, form.blocks
    parts = dual.mu, dual.attack, dual.left, dual.right
    if [part.shape for part in parts] != [(n,), (n, d), (n, m), (n, m)]:
        return -np.inf
    if not all(np.isfinite(part).all() for part in parts):
        return -np.inf
    dual = _ordinary(dual)
    p, q = multipliers(form, -form.loss.clip(-dual.mu, form.y), dual.common)
    limit = largest_distance(form, p, q, dual)
    return scaled_value(form, p, q, form.beta / limit if limit > 0.0 else np.inf)


def _ordinary(dual: RobustDual) -> RobustDual:
    """Return multipliers of ordinary size: others lose digits, and a multiple serves as well."""
    parts = dual.mu, dual.left, dual.right
    most = max(float(np.max(np.abs(part), initial=0.0)) for part in parts)
    if most == 0.0 or ORDINARY <= most <= 1.0 / ORDINARY:
        return dual
    shift = -int(np.frexp(most)[1])
    mu, left, right = (np.ldexp(part, shift) for part in parts)
    return dual._replace(mu=mu, left=left, right=right, common=np.ldexp(dual.common, shift))


def largest_distance(form: RobustForm, p: Array, q: Array, dual: RobustDual) -> float:
    """Return an upper bound on the largest of the distances above."""
    X, S = form.X, form.slopes
    attack = form.within(dual.attack)
    pull = (p - q)[:, None] * X - (p + q)[:, None] * attack
    L, R = sides(form, p, q, dual)
    rows = (S * form.signs).T @ pull + (L - R).T @ X
    held = float(np.linalg.norm(L + R))
    extent = form.radius
    if form.widths is None:
        near = _residual(form, rows, form.radius * (L + R).sum(axis=0) * INSIDE)
    else:
        reach = (L + R).T @ form.room * (1.0 - len(p) * EPS)
        near = np.sign(rows) * np.maximum(np.abs(rows) - reach, 0.0)
        extent = float(np.linalg.norm(form.widths))
    size = float(np.linalg.norm(pull)) + (extent + float(np.linalg.norm(X))) * held
    error = EPS * np.sqrt(len(p)) * size
    largest = float(np.max(form.norm.value(near), initial=0.0))
    return (largest + float(error)) * (1.0 + ROUNDING)


def sides(form: RobustForm, p: Array, q: Array, dual: RobustDual) -> tuple[Array, Array]:
    """Return the multipliers of the slacks' sides, scaled down to what each slack allows."""
    S = form.slopes
    L = np.where(S > 0.0, np.maximum(dual.left, 0.0), 0.0)
    R = np.where(S < 1.0, np.maximum(dual.right, 0.0), 0.0)
    if form.cones:
        return L, R
    used = L / np.where(S > 0.0, S, 1.0) + R / np.where(S < 1.0, 1.0 - S, 1.0)
    top = np.where(form.signs > 0.0, q[:, None], p[:, None])
    share = np.where(used > top, top / np.where(used > 0.0, used, 1.0), 1.0)
    return share * L, share * R


def _residual(form: RobustForm, rows: Array, reach: Array) -> Array:
    """Return each row less its nearest point in the ball of radius ``reach``, moved columns only.

    By Moreau's identity that is the prox of ``reach ||.||_*``.
    """
    near = rows.copy()
    inside = rows[:, form.moved]
    most = np.max(np.abs(inside), axis=1, initial=0.0)
    some = reach > NEGLIGIBLE * most  # of a smaller ball the centre is taken, which is in it
    scale = np.where(some, reach, 1.0)[:, None]
    near[:, form.moved] = np.where(
        some[:, None], scale * DUAL[form.ball].prox(inside / scale, 1.0), inside
    )
    return near

"""The programs of two-layer networks in CVXPY."""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.contract.program import CvxpyProgram
from convexnn.relu.forms import Dual, GroupForm, MajorantForm, Neurons, PooledForm


def group_lasso_formula(form: GroupForm, needs: frozenset[str]) -> CvxpyProgram:
    """Return ``min loss(sum_p S_p * (X u_p) + X s) + beta sum_p ||u_p||`` in CVXPY."""
    import cvxpy as cp

    d = form.X.shape[1]
    U, z = cp.Variable((d, form.blocks), name="U"), cp.Variable(form.y.shape, name="z")
    s = cp.Variable(form.still().shape, name="s")
    output = output_formula(form, U)
    fit = z == (output + form.span @ s if form.skip else output)
    loss, within = form.loss.program(z, form.y)
    objective = loss + form.beta * form.norm.cvxpy(U)
    problem = cp.Problem(cp.Minimize(objective), [fit, *within])

    def points() -> tuple[Neurons, Dual]:
        free = s.value if form.skip else form.still()
        return Neurons(U.value, np.zeros((d, 0)), free), Dual(fit.dual_value)

    variables = {"U": U, "z": z} | ({"s": s} if form.skip else {})
    return CvxpyProgram(problem, variables, points, needs, True)


def majorant_formula(form: MajorantForm, needs: frozenset[str]) -> CvxpyProgram:
    """Return the program in CVXPY, with variables V, W, s and z, the worst predictions."""
    import cvxpy as cp

    X, y, S = form.X, form.y, form.slopes
    n, d = X.shape
    P = S.shape[1]
    V, W = cp.Variable((d, P), name="V"), cp.Variable((d, P), name="W")
    s, z = cp.Variable(form.span.shape[1], name="s"), cp.Variable(n, name="z")
    A, B = X @ V, X @ W
    low = cp.sum(cp.multiply(S, A) - cp.maximum(B, form.leak * B), axis=1)
    up = cp.sum(cp.maximum(A, form.leak * A) - cp.multiply(S, B), axis=1)
    if form.skip:
        low, up = low + form.span @ s, up + form.span @ s
    everywhere = np.arange(n)
    if form.loss.classification:
        below, above, mirrored = np.flatnonzero(y > 0.0), np.flatnonzero(y <= 0.0), z
    else:
        below, above, mirrored = everywhere, everywhere, 2.0 * y - z
    fit = [mirrored[below] <= low[below], up[above] <= z[above]]
    penalty = form.norm.cvxpy(V) + form.norm.cvxpy(W)
    problem = cp.Problem(cp.Minimize(form.loss.cvxpy(z, y) + form.beta * penalty), fit)

    def points() -> tuple[Neurons, Dual]:
        primal = Neurons(V.value, W.value, s.value if form.skip else np.zeros(form.span.shape[1]))
        if V.value is None or any(part.dual_value is None for part in fit):
            return primal, Dual(None)  # type: ignore[arg-type]  # nothing was found
        p, q = np.zeros(n), np.zeros(n)
        p[below], q[above] = fit[0].dual_value, fit[1].dual_value
        p, q = np.maximum(p, 0.0), np.maximum(q, 0.0)
        suggested = form.dual(primal)
        return primal, suggested._replace(mu=p - q, common=np.minimum(p, q))

    return CvxpyProgram(problem, {"V": V, "W": W, "s": s, "z": z}, points, needs, True)


def conic_formula(form: GroupForm, needs: frozenset[str]) -> CvxpyProgram:
    """Return the program of a form with cones in CVXPY."""
    import cvxpy as cp

    assert form.signs is not None
    X, E = form.X, np.tile(form.signs.T, form.outputs).astype(np.float64)
    V, W = (cp.Variable((X.shape[1], E.shape[1]), name=name) for name in "VW")
    s, z = cp.Variable(form.still().shape, name="s"), cp.Variable(form.y.shape, name="z")
    output = output_formula(form, V - W)
    fit = [z == (output + form.span @ s if form.skip else output)]
    inside = [cp.multiply(E, X @ V) >= 0, cp.multiply(E, X @ W) >= 0]
    if form.monotone is not None:
        own = np.flatnonzero(form.monotone)
        along = np.diag(form.monotone[own].astype(np.float64))
        inside += [along @ V[own] >= 0, along @ W[own] <= 0]
    penalty = form.norm.cvxpy(V) + form.norm.cvxpy(W)
    loss, within = form.loss.program(z, form.y)
    problem = cp.Problem(cp.Minimize(loss + form.beta * penalty), fit + inside + within)

    def points() -> tuple[Neurons, Dual]:
        free = s.value if form.skip else form.still()
        return Neurons(V.value, W.value, free), Dual(fit[0].dual_value)

    return CvxpyProgram(problem, {"V": V, "W": W, "s": s, "z": z}, points, needs, True)


def output_formula(form: GroupForm, U: Any) -> Any:
    """Return ``sum_p S_p * (X u_p)`` for the columns of U, a column for each of several outputs."""
    import cvxpy as cp

    P = form.slopes.shape[1]
    own = [U[:, c * P : (c + 1) * P] for c in range(form.outputs)]
    if isinstance(form, PooledForm):
        parts = [form.features @ cp.vec(part, order="F") for part in own]
    else:
        parts = [cp.sum(cp.multiply(form.slopes, form.X @ part), axis=1) for part in own]
    return parts[0] if form.y.ndim == 1 else cp.vstack(parts).T

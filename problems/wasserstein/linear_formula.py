"""The worst case over a Wasserstein ball, written in CVXPY."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convexnn.contract.program import CvxpyProgram
from convexnn.wasserstein.forms import Linear, Slopes

if TYPE_CHECKING:
    import cvxpy as cp

    from convexnn.wasserstein.forms import WassersteinForm


def formula(form: WassersteinForm, needs: frozenset[str]) -> CvxpyProgram:
    """Write the canonical form in CVXPY."""
    import cvxpy as cp

    n, d = form.X.shape
    mass = form.ball.counted(np.full(n, 1.0 / n))
    b, c, z = cp.Variable(d, name="b"), cp.Variable(name="c"), cp.Variable(n, name="z")
    lam = cp.Variable(nonneg=True, name="lam")
    fit = z == form.X @ b + c
    constraints: list[cp.Constraint] = [fit]
    if not form.intercept:
        constraints.append(c == 0.0)
    worst = form.ball.cvxpy(z, form.y, cp.norm(b, form.norm.exponent), lam)
    constraints += [*worst.constraints, *worst.duals.values()]
    problem = cp.Problem(cp.Minimize(worst.cost), constraints)

    def points() -> tuple[Linear, Slopes]:
        free = np.asarray(c.value).reshape(1) if form.intercept else np.zeros(1)
        point = Linear(np.asarray(b.value).reshape(d), free)
        guess = form.slopes(point)
        if "other" in worst.duals:
            guess = guess._replace(other=np.asarray(worst.duals["other"].dual_value) / mass)
        derivative = -np.asarray(fit.dual_value) / mass
        return point, form.ball.integrated(derivative, guess, form.y, form.risk(point))

    variables = {"b": b, "c": c, "z": z, "lam": lam, **worst.variables}
    return CvxpyProgram(problem, variables, points, needs, True)

"""Newton's kernels are compiled once, before the first run, whatever the program."""

from __future__ import annotations

import numpy as np

import convexnn as cx
from convexnn.solvers.wasserstein import interior


def test_no_program_compiles_a_kernel_that_warming_up_did_not() -> None:
    interior.warm_up()
    kernels = (interior._curvature, interior._changes)
    ready = [kernel.signatures for kernel in kernels]
    assert all(ready)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 3))
    z = X[:, 0] + rng.standard_normal(30)
    y = np.where(z > 0.0, 1, -1)
    problems = (
        cx.WassersteinClassification(X, y, radius=0.1, loss="logistic", flip_cost=1.0),
        cx.WassersteinClassification(X, y, radius=0.1, loss="hinge", order=2, norm="linf"),
        cx.WassersteinRegression(X, z, radius=0.1, loss="huber", intercept=False),
        cx.WassersteinRegression(X, z, radius=0.1, loss="squared", order=2, norm="l1"),
        cx.CvarPortfolio(X, radius=0.1, level=0.2, risk_aversion=1.0),
    )
    for problem in problems:
        assert cx.solve(problem, "newton").status is cx.Status.OPTIMAL
    assert [kernel.signatures for kernel in kernels] == ready

"""The bound is right for any slopes; the exact pieces of the worst case against brute force."""

from __future__ import annotations

import warnings
from functools import cache
from itertools import product
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import inf
from positions import KINDS, positioned
from scipy.optimize import minimize_scalar

import convexnn as cx
from convexnn.arrays import Array
from convexnn.norms import L1, L2, Linf, Norm
from convexnn.solvers.joint import _pair_prox, project_epigraph
from convexnn.wasserstein import Linear, Slopes, WassersteinForm, fitted, slopes_at, total
from convexnn.wasserstein_bound import allowed, balanced, corrected, lower_bound, mixed

RADII = (0.0, 1e-6, 0.05, 0.4, 5.0)
CLASSIFICATION = [
    {"loss": loss, "norm": norm, "order": order, "flip_cost": flip}
    for loss, norm, (order, flip) in product(
        ("logistic", "hinge"),
        ("l1", "l2", "linf"),
        ((1, inf), (1, 1.0), (1, 0.3), (2, inf), (inf, inf)),
    )
    if not (loss == "logistic" and order == 2)
]
REGRESSION = [
    {"loss": loss, "norm": norm, "order": order, "target_cost": cost, "quantile": 0.8}
    for (loss, order), norm, cost in product(
        (("squared", 2), ("squared", inf), ("absolute", 1), ("huber", 1), ("quantile", 1)),
        ("l1", "l2", "linf"),
        (inf, 1.0, 0.1),
    )
]
KEYWORDS = [*CLASSIFICATION, *REGRESSION]
often = settings(derandomize=True, deadline=None, max_examples=3000)


def build(X: Array, y: Array, keywords: dict[str, Any], **more: Any) -> Any:
    kind = cx.WassersteinClassification if "flip_cost" in keywords else cx.WassersteinRegression
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of small flip costs
        return kind(X, y, **keywords, **more)


@cache
def solved(which: int, radius: float, kind: str, intercept: bool) -> tuple[Any, cx.Solution]:
    rng = np.random.default_rng(which)
    n, d = int(rng.integers(3, 12)), int(rng.integers(1, 4))
    X = positioned(kind, n, d, rng, spread=1.5)
    keywords = KEYWORDS[which]
    y = X @ rng.standard_normal(d) + 0.5 * rng.standard_normal(n)
    if "flip_cost" in keywords:
        y = np.where(y > 0.0, 1.0, -1.0)
        y[:2] = 1.0, -1.0
    problem = build(X, y, keywords, radius=radius, intercept=intercept)
    return problem, cx.solve(problem, "newton", tol=1e-9)


@st.composite
def garbage(draw: st.DrawFn) -> tuple[Any, cx.Solution, Slopes, Linear]:
    """Return a solved problem with slopes and a model: wild ones, or near the optimal ones."""
    which = draw(st.integers(0, len(KEYWORDS) - 1))
    radius = draw(st.sampled_from(RADII[1:]))
    kind = draw(st.sampled_from(KINDS))
    problem, solution = solved(which, radius, kind, draw(st.booleans()))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    far = 10.0 ** draw(st.floats(-14.0, 3.0))
    n, d = problem.form.X.shape
    near = draw(st.booleans())
    own, other = solution.dual if near else (np.zeros(n), np.zeros(n))
    slopes = Slopes(own + far * rng.standard_normal(n), other + far * rng.standard_normal(n))
    if draw(st.booleans()):  # one sample astray
        slopes = Slopes(np.where(np.arange(n) == 0, slopes.own, own), other)
    coef, intercept = solution.primal if near else (np.zeros(d), np.zeros(1))
    away = 10.0 ** draw(st.floats(-14.0, 3.0))
    point = Linear(
        coef + away * rng.standard_normal(d),
        (intercept + away * rng.standard_normal(1)) * problem.form.intercept,
    )
    return problem, solution, slopes, point


@often
@given(case=garbage())
def test_no_slopes_bound_more_than_the_optimum(
    case: tuple[Any, cx.Solution, Slopes, Linear],
) -> None:
    problem, solution, slopes, point = case
    bound = lower_bound(problem.form, slopes, point, problem.form.risk(point))
    room = 1e-12 * max(1.0, abs(solution.objective))
    assert 0.0 <= bound <= solution.objective + room, (problem, slopes, bound - solution.objective)
    assert problem.form.risk(point) >= solution.bound - room

"""The bound is right for any slopes; the exact pieces of the worst case against brute force."""

from __future__ import annotations

import warnings
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import inf
from positions import KINDS, positioned

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.functions.norms import L1, L2, Linf, VectorNorm
from convexnn.solvers.wasserstein.admm import _pair_prox, project_epigraph
from convexnn.wasserstein.bound import balanced, corrected, lower_bound, mixed
from convexnn.wasserstein.forms import Linear, Slopes

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
often = settings(max_examples=500)


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
    bound = lower_bound(problem.form, slopes, problem.form.risk(point))
    room = 1e-12 * max(1.0, abs(solution.objective))
    assert 0.0 <= bound <= solution.objective + room, (problem, slopes, bound - solution.objective)
    assert problem.form.risk(point) >= solution.bound - room


@pytest.mark.slow
@settings(max_examples=20_000)
@given(case=garbage())
def test_no_slopes_bound_more_than_the_optimum_at_length(
    case: tuple[Any, cx.Solution, Slopes, Linear],
) -> None:
    problem, solution, slopes, point = case
    bound = lower_bound(problem.form, slopes, problem.form.risk(point))
    assert 0.0 <= bound <= solution.objective + 1e-12 * max(1.0, abs(solution.objective))


@pytest.mark.parametrize("which", range(len(KEYWORDS)))
def test_slopes_near_the_optimum_at_radius_0_bound_no_more(which: int) -> None:
    rng = np.random.default_rng(which)
    for kind, intercept in product(KINDS, (True, False)):
        problem, solution = solved(which, 0.0, kind, intercept)
        for exponent in (-14, -10, -6, -2):
            noise = 10.0**exponent * rng.standard_normal((2, len(problem.form.y)))
            slopes = Slopes(solution.dual.own + noise[0], solution.dual.other + noise[1])
            bound = lower_bound(problem.form, slopes, solution.objective)
            assert bound <= solution.objective + 1e-12 * max(1.0, solution.objective)


@often
@given(case=garbage())
def test_every_repair_of_slopes_leaves_them_feasible(
    case: tuple[Any, cx.Solution, Slopes, Linear],
) -> None:
    problem, _, slopes, _ = case
    form = problem.form
    start = form.ball.fitted(slopes, form.y)
    repaired = [start, balanced(form, start), corrected(form, balanced(form, start))]
    if form.ball.homogeneous:
        repaired.append(mixed(form, repaired[1], 0.1))
    for found in repaired:
        again = form.ball.fitted(found, form.y)
        np.testing.assert_allclose(again.own, found.own, rtol=0.0, atol=1e-15)
        np.testing.assert_allclose(again.other, found.other, rtol=0.0, atol=1e-15)
    if form.intercept:
        size = np.abs(start.own).sum() + np.abs(start.other).sum()
        assert (
            abs(form.ball.total(repaired[1], form.y).sum()) <= 1e-15 * len(form.y) * size + 1e-300
        )


def test_slopes_that_are_not_finite_bound_nothing() -> None:
    problem, solution = solved(0, 0.05, "general", True)
    for value in (np.nan, np.inf):
        slopes = Slopes(np.full_like(solution.dual.own, value), solution.dual.other)
        assert lower_bound(problem.form, slopes, solution.objective) == 0.0


def test_slopes_of_an_optimal_model_prove_it() -> None:
    """Each formula of T is tight, not just safe."""
    for which, radius in product(range(len(KEYWORDS)), (1e-6, 0.05, 0.4, 5.0)):
        problem, solution = solved(which, radius, "general", True)
        assert solution.gap <= 1e-8, (problem, solution)


def hinge_form(loss: str, rng: np.random.Generator, **keywords: Any) -> tuple[Any, Array]:
    n = int(rng.integers(2, 9))
    X = rng.standard_normal((n, 2))
    y = np.where(rng.random(n) < 0.5, 1.0, -1.0)
    y[:2] = 1.0, -1.0
    problem = build(X, y, {"flip_cost": inf, "loss": loss} | keywords, intercept=False)
    z = rng.standard_normal(n) * 10.0 ** rng.uniform(-1.0, 1.0)
    if rng.random() < 0.3:
        z = np.round(2.0 * z) / 2.0  # ties, and margins on the kink
    return problem.form, z


def scalar_minimum(objective: Any, low: float, high: float) -> float:
    """Return the minimum over an interval, from a grid refined around its best cell."""
    for _ in range(12):
        grid = np.linspace(low, high, 201)
        values = [objective(x) for x in grid]
        k = int(np.argmin(values))
        low, high = grid[max(k - 1, 0)], grid[min(k + 1, 200)]
    return float(min(values))


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
@pytest.mark.parametrize("seed", range(30))
def test_multiplier_of_flips_minimises_the_worst_case(loss: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    radius = float(rng.choice([1e-3, 0.1, 0.7, 4.0]))
    form, z = hinge_form(loss, rng, radius=radius, flip_cost=float(rng.choice([0.2, 1.0, 3.0])))
    ball, length = form.ball, float(rng.choice([0.0, 0.5, 3.0]))

    def worst(lam: float) -> float:
        excess = np.maximum(ball.gains(z, form.y) - ball.cost * lam, 0.0)
        return float(lam * ball.radius + np.mean(ball.loss.value(z, form.y) + excess))

    lam = ball.multiplier(z, form.y, length)
    top = length + 1.0 + float(np.max(np.abs(ball.gains(z, form.y)))) / ball.cost
    assert lam >= length
    assert worst(lam) == pytest.approx(scalar_minimum(worst, length, top), rel=1e-10, abs=1e-12)
    assert worst(lam) <= min(worst(x) for x in np.linspace(length, top, 500)) + 1e-12


@pytest.mark.parametrize("seed", range(40))
def test_lift_minimises_the_worst_case_of_order_2(seed: int) -> None:
    rng = np.random.default_rng(seed)
    form, z = hinge_form("hinge", rng, radius=float(rng.choice([1e-3, 0.3, 5.0])), order=2)
    ball, length = form.ball, float(rng.choice([1e-2, 0.5, 3.0]))

    def worst(v: float) -> float:
        charge = (length * ball.radius) ** 2 / (4.0 * v) if v > 0.0 else inf
        return float(charge + np.mean(np.maximum(1.0 - form.y * z + v, 0.0)))

    v = ball.lift(z, form.y, length)
    top = 10.0 + length * ball.radius * len(z) + float(np.max(np.abs(z)))
    found = min(scalar_minimum(worst, 1e-9, top), worst(1e-9))
    assert worst(v) == pytest.approx(found, rel=1e-9)
    lam = ball.multiplier(z, form.y, length)
    assert v * 4.0 * lam == pytest.approx(length**2, rel=1e-12)


@pytest.mark.parametrize("norm", [L2(), L1(), Linf()], ids=lambda norm: norm.name)
def test_projection_on_the_epigraph_meets_its_conditions(norm: VectorNorm) -> None:
    """The nearest point p of a convex cone to v is the one with v - p polar to it, orthogonal to p.

    With a floor, of the cone cut off there: against points of it at random.
    """
    rng = np.random.default_rng(0)
    for trial in range(400):
        b = rng.standard_normal(1 + trial % 5) * 10.0 ** rng.uniform(-1.0, 1.0)
        if trial % 4 == 0:
            b = np.round(b)  # ties and zeros
        lam, floor = float(3.0 * rng.standard_normal()), float(max(rng.standard_normal(), 0.0))
        if trial % 3 == 0:
            floor = 0.0
        near, level = project_epigraph(norm, b, lam, floor)
        size = 1.0 + float(np.abs(b).sum()) + abs(lam)
        assert float(norm.value(near[None, :])[0]) <= level + 1e-13 * size
        assert level >= floor
        left = np.append(b - near, lam - level)
        if floor == 0.0:
            assert float(norm.dual(left[None, :-1])[0]) <= -left[-1] + 1e-12 * size
            assert abs(left @ np.append(near, level)) <= 1e-12 * size**2
        others = rng.standard_normal((300, len(b))) * 10.0 ** rng.uniform(-1.0, 1.0, (300, 1))
        tops = np.maximum(norm.value(others), floor) + rng.exponential(size=300)
        rises = (others - near) @ left[:-1] + (tops - level) * left[-1]
        assert (rises <= 1e-12 * size * (1.0 + tops)).all()


@pytest.mark.parametrize("log", [True, False], ids=["logistic", "hinge"])
def test_prox_of_the_pair_is_the_minimiser_over_a_grid(log: bool) -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        m0, lam0 = 3.0 * rng.standard_normal(2)
        step, weight, kappa = 10.0 ** rng.uniform(-1.5, 1.0, 3)

        def worth(m: Any, lam: Any, a: float, b: float, s: float, w: float, k: float) -> Any:
            if log:
                f = np.logaddexp(0.0, -m) + np.maximum(m - k * lam, 0.0)
            else:
                f = np.maximum(0.0, np.maximum(1.0 - m, 1.0 + m - k * lam))
            return s * f + 0.5 * (m - a) ** 2 + 0.5 * w * (lam - b) ** 2

        m, lam = np.empty(1), np.empty(1)
        given_point = (np.array([m0]), np.array([lam0]), np.ones(1))
        _pair_prox(*given_point, np.array([step]), weight, kappa, log, m, lam)
        found = float(worth(m[0], lam[0], m0, lam0, step, weight, kappa))
        reach_m, reach_lam = 2.0 * step + 1e-3, step * kappa / weight + 1e-3
        for shrink in (1.0, 0.1, 1e-2, 1e-4):
            ms = np.linspace(m[0] - shrink * reach_m, m[0] + shrink * reach_m, 301)[:, None]
            lams = np.linspace(lam[0] - shrink * reach_lam, lam[0] + shrink * reach_lam, 301)
            best = float(np.min(worth(ms, lams[None, :], m0, lam0, step, weight, kappa)))
            assert found <= best + 1e-12 * (1.0 + abs(best))

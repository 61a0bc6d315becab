"""Newton's method on smooth worst cases: the ridge equation, the descent, and what follows them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.solvers.wasserstein import smooth
from convexnn.wasserstein.forms import Linear, WassersteinForm

REFERENCE = "cvxpy:clarabel"


def drawn(seed: int, n: int = 40, d: int = 4, noise: float = 0.3) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    return X, X @ rng.standard_normal(d) + 1.5 + noise * rng.standard_normal(n)


def declared(kind: str, X: Array, y: Array, **changes: Any) -> Any:
    common = {"radius": 0.05} | changes
    if kind == "logistic":
        return cx.WassersteinClassification(X, np.where(y > 1.5, 1.0, -1.0), **common)
    return cx.WassersteinRegression(X, y, loss=kind, **common)


each_kind = pytest.mark.parametrize("kind", ["logistic", "huber", "squared"])


@each_kind
@pytest.mark.parametrize("intercept", [True, False])
def test_few_steps_suffice_and_agree_with_the_reference(kind: str, intercept: bool) -> None:
    problem = declared(kind, *drawn(1), intercept=intercept)
    assert smooth.suits(problem.canonical(WassersteinForm))
    ours = cx.solve(problem, "newton", tol=1e-9)
    assert ours.status is cx.Status.OPTIMAL
    assert ours.history[-1].iteration <= (1 if kind == "squared" else 8)
    reference = cx.solve(problem, REFERENCE, tol=1e-7)
    assert ours.objective == pytest.approx(reference.objective, rel=2e-7)
    assert ours.bound <= reference.objective * (1.0 + 1e-9)


@settings(max_examples=20)
@given(
    kind=st.sampled_from(["logistic", "huber", "squared"]),
    seed=st.integers(0, 1000),
    n=st.integers(2, 20),
    d=st.integers(1, 8),
    power=st.floats(-3.0, 0.5),
    noise=st.sampled_from([0.0, 0.3]),
)
def test_whatever_the_data_the_certificate_holds_against_the_reference(
    kind: str, seed: int, n: int, d: int, power: float, noise: float
) -> None:
    X, y = drawn(seed, n, d, noise)
    y[:2] = 1.0, 2.0
    problem = declared(kind, X, y, radius=10.0**power)
    ours, reference = cx.solve(problem, tol=1e-7), cx.solve(problem, REFERENCE, tol=1e-6)
    assert ours.status is cx.Status.OPTIMAL
    size = max(1.0, ours.objective)
    assert ours.bound <= reference.objective + 1e-9 * size
    assert reference.bound <= ours.objective + 1e-9 * size


def test_ridge_is_stationary_and_none_where_the_best_model_is_constant() -> None:
    X, y = drawn(2)
    form = declared("squared", X, y).canonical(WassersteinForm)
    found = smooth.ridge(form)
    assert found is not None
    r = form.predict(found) - form.y
    rms, length = np.sqrt(np.mean(r**2)), np.linalg.norm(found.coef)
    slope = r @ form.X / (len(r) * rms) + form.ball.radius * found.coef / length
    np.testing.assert_allclose(slope, 0.0, atol=1e-10)
    assert abs(r.sum()) <= 1e-9
    far = declared("squared", X, y, radius=100.0)
    assert smooth.ridge(far.canonical(WassersteinForm)) is None


def test_an_exact_fit_at_the_kink_of_the_root_is_certified() -> None:
    exact = declared("squared", *drawn(2, noise=0.0), radius=1e-3)
    solution = cx.solve(exact, "newton", tol=1e-6)
    assert solution.status is cx.Status.OPTIMAL
    form = exact.canonical(WassersteinForm)
    assert np.abs(form.predict(solution.primal) - form.y).max() <= 1e-4


@pytest.mark.parametrize("kind", ["logistic", "huber"])
def test_steps_only_go_down_and_a_start_at_the_optimum_takes_one(kind: str) -> None:
    form = declared(kind, *drawn(3)).canonical(WassersteinForm)
    path = list(smooth.models(form))
    risks = [form.risk(model) for model, _ in path]
    assert all(b <= a + 1e-12 for a, b in pairwise(risks))
    assert path[-1][1] < path[0][1]
    again = list(smooth.models(form, path[-1][0]))
    assert len(again) <= 1 or again[0][1] <= 1e-9
    assert isinstance(path[-1][0], Linear)


@pytest.mark.parametrize(
    "changes",
    [{"flip_cost": 1.0}, {"norm": "linf"}, {"order": np.inf}, {"radius": 0.0}, {"loss": "hinge"}],
)
def test_risks_with_more_kinks_are_left_to_interior_point(changes: dict[str, Any]) -> None:
    X, y = drawn(4)
    y += 2.0 * np.sin(9.0 * y)
    problem = declared("logistic", X, y, **changes)
    assert not smooth.suits(problem.canonical(WassersteinForm))
    assert cx.solve(problem, "newton").status is cx.Status.OPTIMAL


def test_it_stops_where_it_is_told_to() -> None:
    problem = declared("logistic", *drawn(5, n=200))
    few = cx.solve(problem, "newton", tol=1e-12, max_iter=1)
    assert few.status is cx.Status.MAX_ITER
    assert few.history[-1].iteration == 1
    assert cx.solve(problem, "newton", time_limit=1e-9).status is cx.Status.TIME_LIMIT

"""The newsvendor, against linear programs over transport plans and against itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.wasserstein.newsvendor import Order, Shift

TOL = 1e-9


def cost_of(x: float, xi: Array, problem: cx.Newsvendor) -> Array:
    return problem.cost * x - problem.price * np.minimum(x, xi)


def worst_by_transport(x: float, problem: cx.Newsvendor, grid: Array) -> float:
    """The supremum over distributions on a grid, as a linear program over transport plans."""
    xi = np.asarray(problem.demand)
    n, m = len(xi), len(grid)
    distance = np.abs(xi[:, None] - grid).reshape(1, -1)
    found = linprog(
        -np.tile(cost_of(x, grid, problem), n),
        A_ub=distance,
        b_ub=[problem.radius],
        A_eq=np.kron(np.eye(n), np.ones((1, m))),
        b_eq=np.full(n, 1.0 / n),
    )
    assert found.status == 0
    assert found.fun is not None
    return -float(found.fun)


def nominal(problem: cx.Newsvendor) -> float:
    xi = np.asarray(problem.demand)
    return float(min(np.mean(cost_of(x, xi, problem)) for x in [problem.support[0], *xi]))


def random_problem(seed: int) -> cx.Newsvendor:
    rng = np.random.default_rng(seed)
    low = float(rng.choice([0.0, 2.0]))
    high = float(rng.choice([np.inf, low + 10.0]))
    demand = np.round(low + 10.0 * rng.random(rng.integers(1, 8)), int(rng.integers(0, 3)))
    demand = np.clip(demand, low, high)
    cost = float(rng.uniform(0.5, 2.0))
    price = cost * float(rng.uniform(1.1, 4.0))
    radius = float(rng.choice([0.0, 0.1, 1.0, 5.0, 50.0]))
    return cx.Newsvendor(demand, cost=cost, price=price, radius=radius, support=(low, high))


@pytest.mark.parametrize("seed", range(30))
def test_every_order_is_graded_and_the_best_one_found(seed: int) -> None:
    problem = random_problem(seed)
    low, high = problem.support
    solution = cx.solve(problem, tol=TOL)
    assert solution.backend == "quantile"
    assert solution.status is cx.Status.OPTIMAL
    demand = np.asarray(problem.demand)
    top = min(high, 2.0 * float(demand.max()) + 1.0)
    grid = np.unique(np.concatenate([np.linspace(low, top, 21), demand]))
    orders = np.unique(np.concatenate([[0.0, 0.5 * low], grid]))
    worsts = [worst_by_transport(float(x), problem, grid) for x in orders]
    graded = [problem.objective(Order(x)) for x in orders]
    np.testing.assert_allclose(graded, worsts, rtol=1e-7, atol=1e-7)
    assert solution.objective <= min(worsts) + 1e-7
    assert solution.model.order in orders
    assert solution.model.value == solution.objective


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("backend", ["cvxpy:clarabel", "cvxpy:highs"])
def test_linear_program_agrees_and_its_own_dual_proves_it(backend: str, seed: int) -> None:
    if backend not in cx.backends().names:
        pytest.skip(f"{backend} is not installed")
    problem = random_problem(seed)
    exact, linear = cx.solve(problem, tol=TOL), cx.solve(problem, backend, tol=1e-6)
    assert linear.status is cx.Status.OPTIMAL
    assert linear.objective == pytest.approx(exact.objective, rel=1e-6, abs=1e-6)
    assert linear.bound <= exact.objective + 1e-12 * max(1.0, abs(exact.objective))


@pytest.mark.parametrize("seed", range(12))
def test_worst_case_is_in_the_ball_and_attains_the_value_of_any_order(seed: int) -> None:
    problem = random_problem(seed)
    low, high = problem.support
    demand = np.asarray(problem.demand)
    for x in (low, *demand, float(demand.mean()), 1.5 * float(demand.max())):
        model = problem.build_model(Order(np.asarray(x)))
        worst, atoms = model.worst_case, model.worst_case.atoms
        assert atoms.transport() <= problem.radius * (1.0 + 1e-12)
        assert ((atoms.location >= low) & (atoms.location <= high) & (atoms.mass > 0.0)).all()
        masses = np.bincount(atoms.source, atoms.mass, len(demand))
        np.testing.assert_allclose(masses, 1.0 / len(demand), rtol=1e-12)
        np.testing.assert_allclose(atoms.cost, np.abs(atoms.location - demand[atoms.source]))
        expected = atoms.mass @ cost_of(x, atoms.location, problem)
        assert expected == pytest.approx(model.value, rel=1e-12, abs=1e-12)
        assert worst.attained


def test_multiplier_gradient_and_weights_are_slopes_of_the_value() -> None:
    demand = np.array([3.0, 9.0, 4.5, 7.0, 12.0, 20.0])

    def value(xi: Array, radius: float, x: float) -> float:
        problem = cx.Newsvendor(xi, cost=1.0, price=3.0, radius=radius, support=(1.0, np.inf))
        return problem.objective(Order(np.asarray(x)))

    h = 1e-5
    for x, radius in ((8.0, 0.7), (8.0, 2.0), (2.5, 2.0), (5.0, 7.0), (30.0, 3.0)):
        problem = cx.Newsvendor(demand, cost=1.0, price=3.0, radius=radius, support=(1.0, np.inf))
        worst = problem.build_model(Order(np.asarray(x))).worst_case
        by_radius = (value(demand, radius + h, x) - value(demand, radius - h, x)) / (2.0 * h)
        assert worst.multiplier == pytest.approx(by_radius, abs=1e-6)
        for i, step in enumerate(h * np.eye(len(demand))):
            slope = (value(demand + step, radius, x) - value(demand - step, radius, x)) / (2.0 * h)
            assert worst.gradient[i] == pytest.approx(slope, abs=1e-6)
        own = np.where(demand < x, -3.0, 0.0)
        known = np.isfinite(worst.weights)
        weighted = worst.weights[known] * own[known] / len(demand)
        np.testing.assert_allclose(weighted, worst.gradient[known])
        assert (own[~known] == 0.0).all()


@given(share=st.lists(st.floats(-1.0, 2.0), min_size=4, max_size=4), seed=st.integers(0, 50))
@settings(max_examples=60)
def test_any_dual_guess_is_a_lower_bound(share: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = cx.Newsvendor(10.0 * rng.random(4), cost=1.0, price=2.5, radius=1.0)
    best = cx.solve(problem)
    certificate = problem.certify(best.primal, Shift(np.array(share)))
    assert certificate.bound <= best.objective + 1e-12


def test_radius_zero_is_the_nominal_problem() -> None:
    for seed in range(10):
        given_ = random_problem(seed)
        problem = cx.Newsvendor(
            given_.demand, cost=given_.cost, price=given_.price, radius=0.0, support=given_.support
        )
        solution = cx.solve(problem, tol=TOL)
        assert solution.objective == pytest.approx(nominal(problem), rel=1e-12, abs=1e-12)


def test_value_rises_with_the_radius_to_that_of_the_least_demand() -> None:
    demand = 3.0 + 10.0 * np.random.default_rng(0).random(50)
    values, orders = [], []
    for radius in (0.0, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0):
        problem = cx.Newsvendor(demand, cost=1.0, price=3.0, radius=radius, support=(3.0, 20.0))
        model = cx.solve(problem, tol=TOL).model
        values.append(model.value)
        orders.append(model.order)
    assert (np.diff(values) >= 0.0).all()
    assert values[0] < values[3] < values[-1]
    assert values[-1] == pytest.approx((1.0 - 3.0) * 3.0)
    assert orders[-1] == 3.0


def test_upper_end_of_the_support_changes_nothing() -> None:
    demand = [2.0, 5.0, 9.0]
    answers = [
        cx.solve(cx.Newsvendor(demand, cost=1.0, price=2.0, radius=0.5, support=(0.0, high)))
        for high in (9.0, 100.0, np.inf)
    ]
    assert len({(s.objective, s.model.order) for s in answers}) == 1


def test_demands_in_any_order_and_many_of_them() -> None:
    rng = np.random.default_rng(3)
    demand = rng.gamma(3.0, 10.0, 200_000)
    common: dict[str, Any] = {"cost": 2.0, "price": 5.0, "radius": 1.5}
    one = cx.solve(cx.Newsvendor(demand, **common), tol=TOL)
    other = cx.solve(cx.Newsvendor(np.sort(demand), **common), tol=TOL)
    assert one.status is cx.Status.OPTIMAL
    assert one.model.order == other.model.order
    assert one.objective == pytest.approx(other.objective, rel=1e-12)


def test_memory_is_told_beforehand() -> None:
    problem = cx.Newsvendor(np.arange(1.0, 1001.0), cost=1.0, price=4.0, radius=2.0)
    limit = cx.memory_limit()
    try:
        cx.memory_limit(2e-4)
        with pytest.raises(cx.MemoryLimitError, match="non-zeros of its constraints"):
            cx.solve(problem, "cvxpy:clarabel")
        assert cx.solve(problem).status is cx.Status.OPTIMAL
        cx.memory_limit(1e-6)
        with pytest.raises(cx.MemoryLimitError, match=r"needs .* GiB of memory"):
            cx.solve(problem)
    finally:
        cx.memory_limit(limit)


def test_saved_and_loaded(tmp_path: Path) -> None:
    problem = cx.Newsvendor([20, 30, 40], cost=1.0, price=4.0, radius=2.0)
    solution = cx.solve(problem)
    solution.save(tmp_path / "s.npz")
    again = cx.load(tmp_path / "s.npz")
    assert again.certificate == solution.certificate
    assert again.model.order == solution.model.order
    assert again.problem.support == (0.0, np.inf)


def test_compare_runs_the_engine_and_linear_solvers() -> None:
    problem = cx.Newsvendor([20, 30, 40], cost=1.0, price=4.0, radius=2.0)
    result = cx.compare(problem, ["quantile", "cvxpy:clarabel", "cvxpy:scs"], tol=1e-5)
    assert result.agree(1e-5)
    with pytest.raises(ValueError, match="no option 'rho'"):
        cx.solve(problem, rho=1.0)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"demand": []}, "demand must not be empty"),
        ({"demand": [1.0, np.nan]}, r"demand must be finite, got nan at index \(1,\)"),
        ({"demand": [[1.0]]}, "demand must have 1 axes"),
        ({"demand": [1.0, -2.0]}, r"demand must lie in the support \[0, inf\], got -2 at index 1"),
        ({"support": (0, 5)}, r"demand must lie in the support \[0, 5\], got 6 at index 1"),
        ({"support": (5, 5)}, r"support must be \(a, b\) with 0 <= a < b, got \(5, 5\)"),
        ({"support": (-1, 9)}, "support must be"),
        ({"support": (np.inf, np.inf)}, "support must be"),
        ({"support": (np.nan, 9)}, "support must be"),
        ({"support": 3}, "support must be a pair of numbers, got 3"),
        ({"support": (1, 2, 3)}, "support must be a pair of numbers"),
        ({"cost": 0.0}, "cost must be finite and > 0"),
        ({"price": 1.0}, "price must be above the cost 1, got 1"),
        ({"price": np.inf}, "price must be finite and > 0"),
        ({"radius": -0.1}, "radius must be finite and >= 0"),
        ({"radius": np.inf}, "radius must be finite and >= 0"),
    ],
)
def test_bad_input_is_named(changes: dict[str, Any], says: str) -> None:
    good: dict[str, Any] = {"demand": [3.0, 6.0], "cost": 1.0, "price": 2.0, "radius": 0.1}
    fields = good | changes
    with pytest.raises(cx.ProblemError, match=says):
        cx.Newsvendor(fields.pop("demand"), **fields)

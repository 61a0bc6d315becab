"""Portfolios against Wasserstein balls: every backend, an adversary by linear program, any dual."""

from __future__ import annotations

from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import inf
from scipy.optimize import linprog, minimize_scalar

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.wasserstein.portfolio import Stress, Weights

NORM = {"l1": 1, "l2": 2, "linf": inf}


class Case(NamedTuple):
    """The keywords of a portfolio, hashable."""

    norm: str
    radius: float
    level: float
    aversion: float


CASES = [
    Case(*case)
    for case in product(NORM, (0.0, 1e-6, 0.01, 1.0), (0.05, 0.2, 0.77), (0.0, 1.0, 10.0))
]
FEW = [case for case in CASES if case.radius in (0.0, 0.01) and case.level != 0.05]
each = pytest.mark.parametrize("case", CASES, ids=str)
each_of_few = pytest.mark.parametrize("case", FEW, ids=str)


@cache
def returns(n: int = 40, d: int = 3) -> Array:
    rng = np.random.default_rng(0)
    spread = np.linspace(0.02, 0.3, d)
    return np.asarray(rng.normal(np.linspace(0.02, 0.08, d), spread, (n, d)))


def build(case: Case, R: Array) -> cx.CvarPortfolio:
    norm, radius, level, aversion = case
    return cx.CvarPortfolio(R, radius=radius, level=level, risk_aversion=aversion, norm=norm)


@cache
def answer(case: Case, backend: str = "newton") -> cx.Solution:
    return cx.solve(build(case, returns()), backend, tol=1e-8 if backend == "newton" else 1e-6)


def expected_loss(losses: Array, mass: Array, level: float, aversion: float) -> float:
    """Mean and CVaR of a discrete distribution, the CVaR by its definition as an average."""
    order = np.argsort(-losses)
    before = np.concatenate([[0.0], np.cumsum(mass[order])[:-1]])
    share = np.clip(level - before, 0.0, mass[order])
    return float(mass @ losses + aversion * (share @ losses[order]) / level)


@each
def test_newton_is_optimal_with_a_worst_distribution(case: Case) -> None:
    solution = answer(case)
    assert solution.status is cx.Status.OPTIMAL, (repr(solution), solution.message)
    x = solution.model.weights
    assert (x >= 0.0).all()
    assert x.sum() == pytest.approx(1.0, rel=1e-12)
    worst = solution.model.worst_case
    atoms = worst.atoms
    n = len(returns())
    np.testing.assert_allclose(np.bincount(atoms.source, atoms.mass, n), 1.0 / n, rtol=1e-12)
    moved = atoms.location - returns()[atoms.source]
    cost = np.linalg.norm(moved, ord=NORM[case.norm], axis=1)
    np.testing.assert_allclose(cost, atoms.cost, rtol=1e-9, atol=1e-12)
    assert atoms.mass @ cost <= case.radius * (1.0 + 1e-9)
    value = expected_loss(-atoms.location @ x, atoms.mass, case.level, case.aversion)
    assert value == pytest.approx(worst.value, rel=1e-9, abs=1e-12)
    assert worst.value == pytest.approx(solution.objective, rel=1e-9)


PRODUCT = [
    pytest.param(case, backend, id=f"{case}-{backend}")
    for case in FEW
    for backend in cx.backends(build(case, returns())).names
    if backend != "cvxpy:scs"
]


@pytest.mark.parametrize(("case", "backend"), PRODUCT)
def test_backend_meets_the_tolerance_and_agrees(case: Case, backend: str) -> None:
    solution, reference = answer(case, backend), answer(case)
    assert solution.status is cx.Status.OPTIMAL, (repr(solution), solution.message)
    assert abs(solution.objective - reference.objective) <= 1.1e-6


@each_of_few
def test_offers_and_bounds(case: Case) -> None:
    names = cx.backends(build(case, returns())).names
    assert {"newton", "cvxpy:clarabel"} <= set(names)
    for solver in ("cvxpy:highs", "cvxpy:scipy", "cvxpy:osqp"):
        assert (solver in names) == (case.norm != "l2")
    answers = [answer(case, name) for name in names if name != "cvxpy:scs"]
    for a, b in combinations(answers, 2):
        assert a.bound <= b.objective + 1e-14
        assert b.bound <= a.objective + 1e-14


@pytest.mark.parametrize(("norm", "aversion"), list(product(NORM, (0.0, 1.0, 5.0))))
def test_worst_case_is_that_of_a_transport_program(norm: str, aversion: float) -> None:
    """The supremum over distributions on a grid, at the best tau by a scalar search."""
    rng = np.random.default_rng(3)
    R, level, radius = 0.1 * rng.standard_normal((3, 2)), 0.4, 0.05
    x = np.array([0.5, 0.5]) if norm != "linf" else np.array([0.3, 0.7])
    value = build(Case(norm, radius, level, aversion), R).objective(Weights(x))
    axes = np.linspace(-0.25, 0.25, 41)
    grid = np.stack(np.meshgrid(axes, axes), -1).reshape(-1, 2)
    cost = np.tile(np.linalg.norm(grid, ord=NORM[norm], axis=1), 3)
    losses = -np.concatenate([(row + grid) @ x for row in R])
    source = np.repeat(np.arange(3), len(grid))
    rows = (source[None, :] == np.arange(3)[:, None]).astype(np.float64)

    def supremum(tau: float) -> float:
        gain = losses + aversion * (tau + np.maximum(losses - tau, 0.0) / level)
        found = linprog(-gain, cost[None, :], [3 * radius], rows, np.ones(3), method="highs")
        assert found.status == 0
        return float(gain @ np.asarray(found.x)) / 3.0

    best = minimize_scalar(supremum, bounds=(-0.5, 0.5), method="bounded", options={"xatol": 1e-5})
    found = float(best.fun)
    plain = expected_loss(-R @ x, np.full(3, 1.0 / 3.0), level, aversion)
    assert plain < found <= value + 1e-4 * (value - plain)
    assert value - found <= 0.1 * (value - plain)


@settings(max_examples=400)
@given(
    case=st.sampled_from(CASES),
    seed=st.integers(0, 2**32 - 1),
    exponent=st.floats(-14.0, 4.0),
    near=st.booleans(),
)
def test_no_stress_bounds_more_than_the_optimum(
    case: Case, seed: int, exponent: float, near: bool
) -> None:
    solution = answer(case)
    rng = np.random.default_rng(seed)
    tail, push = solution.dual if near else (np.zeros(40), np.zeros(3))
    far = 10.0**exponent
    stress = Stress(tail + far * rng.standard_normal(40), push + far * rng.standard_normal(3))
    bound = solution.problem.form.bound(stress)
    assert bound <= solution.objective + 1e-14
    x = rng.dirichlet(np.ones(3))
    assert bound <= solution.problem.objective(Weights(x)) + 1e-14


def test_a_stress_that_is_not_finite_bounds_no_more_than_the_optimum() -> None:
    for case in FEW:
        solution = answer(case)
        for value in (np.nan, inf, -inf):
            stress = Stress(np.full(40, value), np.full(3, value))
            bound = solution.problem.form.bound(stress)
            assert not bound > solution.objective


@each_of_few
def test_multiplier_is_the_rate_in_the_radius(case: Case) -> None:
    solution = answer(case)
    primal, h = solution.primal, 1e-6
    more = build(case._replace(radius=case.radius + h), returns()).objective(primal)
    rate = (more - solution.problem.objective(primal)) / h
    assert solution.model.worst_case.multiplier == pytest.approx(rate, rel=1e-6)


def test_units_of_the_returns_scale_the_risk() -> None:
    for norm in NORM:
        case = Case(norm, 0.01, 0.2, 1.0)
        percent = cx.solve(build(case._replace(radius=1.0), 100.0 * returns()), tol=1e-8)
        assert percent.status is cx.Status.OPTIMAL
        assert percent.objective == pytest.approx(100.0 * answer(case).objective, abs=1e-5)


@pytest.mark.parametrize("norm", list(NORM))
def test_degenerate_returns(norm: str) -> None:
    rng = np.random.default_rng(1)
    R = returns()
    hard = {
        "one sample": R[:1],
        "one asset": R[:, :1],
        "twins": np.column_stack([R, R[:, 0]]),
        "constant": np.ones((10, 3)),
        "duplicates": np.repeat(R[:4], 10, axis=0),
        "heavy": 0.01 * rng.standard_cauchy((200, 5)),
        "wide": rng.standard_normal((10, 60)),
        "large": 1e4 * R,
        "small": 1e-4 * R,
    }
    for kind, data in hard.items():
        for radius, aversion in product((0.0, 0.01), (0.0, 2.0)):
            solution = cx.solve(build(Case(norm, radius, 0.2, aversion), data))
            assert solution.status is cx.Status.OPTIMAL, (kind, radius, repr(solution))


def test_a_portfolio_survives_a_file(tmp_path: Path) -> None:
    solution = answer(Case("l2", 0.01, 0.2, 1.0))
    solution.save(tmp_path / "one.npz")
    again = cx.load(tmp_path / "one.npz")
    assert again.certificate == solution.certificate
    np.testing.assert_array_equal(again.model.weights, solution.model.weights)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"radius": -0.1}, "radius must be finite and >= 0, got -0.1"),
        ({"radius": inf}, "radius must be finite and >= 0, got inf"),
        ({"level": 0.0}, r"level must be finite and in \(0, 1\), got 0.0"),
        ({"level": 1.0}, r"level must be finite and in \(0, 1\), got 1.0"),
        ({"risk_aversion": -1.0}, "risk_aversion must be finite and >= 0, got -1.0"),
        ({"norm": "l3"}, "norm must be one of l2, l1, linf, got 'l3'"),
        ({"returns": [[np.nan, 1.0]]}, r"returns must be finite, got nan at index \(0, 0\)"),
        ({"returns": [1.0, 2.0]}, r"returns must have 2 axes, got shape \(2,\)"),
        ({"returns": np.zeros((0, 2))}, "returns must not be empty"),
        ({"returns": [[1e200, 1.0]]}, "returns must have entries of size at most 1e\\+150"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_what_is_wrong_is_said_by_name(change: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {"returns": returns(), "radius": 0.1, "level": 0.2}
    fields = fields | {"risk_aversion": 1.0} | change
    with pytest.raises(cx.ProblemError, match=message):
        cx.CvarPortfolio(fields.pop("returns"), **fields)

"""What random patterns guarantee: the sample size, and the audit against every cell there is."""

from __future__ import annotations

from dataclasses import replace
from math import comb, log
from typing import Any

import cvxpy as cp
import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.relu.forms import Dual
from convexnn.workflows import audit as guarantee
from convexnn.workflows.audit import _upper_limit


def data(n: int = 14, d: int = 3, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    return X, np.abs(X[:, 0]) - np.maximum(X[:, 1], 0.0) + 0.3 * rng.standard_normal(n)


def solved(patterns: Any, *, tol: float = 1e-8, n: int = 14, **options: Any) -> cx.Solution:
    X, y = data(n)
    if options.get("loss") == "logistic":
        y = np.sign(y)
    problem = cx.ReluTraining(X, y, **({"beta": 0.3, "patterns": patterns} | options))
    solution = cx.solve(problem, "admm", tol=tol)
    assert solution.gap <= tol
    return solution


# the sample size beforehand


@pytest.mark.parametrize("n", [1, 6, 100])
@pytest.mark.parametrize("psi", [0.5, 0.1, 0.01])
@pytest.mark.parametrize("xi", [0.9, 0.05, 1e-6])
def test_pattern_count_is_the_least_integer_that_qualifies(n: int, psi: float, xi: float) -> None:
    enough = min((n + 1) / (psi * xi) - 1, (2 / psi) * (n + 1 - log(xi)))
    count = cx.pattern_count(n, psi, xi)
    assert count >= enough * (1 - 1e-14)
    assert count - 1 < enough


def test_pattern_count_does_not_round_up_a_whole_number() -> None:
    assert cx.pattern_count(2, 0.1, 0.9) == 33  # 3 / 0.09 - 1 = 32.33
    assert cx.pattern_count(8, 0.1, 0.9) == 99  # 9 / 0.09 - 1, exactly


def test_one_more_pattern_seldom_helps_after_that_many() -> None:
    """Fifty samples of the stated size; in the plane a grid of angles prices every cell."""
    X, y = data(6, 2, 3)
    psi = 0.5
    angle = np.linspace(0.0, 2.0 * np.pi, 7_200, endpoint=False)
    grid = np.vstack([np.cos(angle), np.sin(angle)])  # a Gaussian's angle is uniform
    _, cell = np.unique(X @ grid >= 0.0, axis=1, return_inverse=True)
    rng = np.random.default_rng(5)

    def share(draws: int) -> float:
        H = rng.standard_normal((2, draws))
        problem = cx.ReluTraining(X, y, beta=0.05, patterns=cx.Patterns.generated(X, H))
        mu = cx.solve(problem, "admm", tol=1e-5).dual.mu
        largest = np.zeros(cell.max() + 1)
        np.maximum.at(largest, cell, np.abs(mu @ np.maximum(X @ grid, 0.0)) / problem.beta)
        return float(np.mean(largest[cell] > 1.01))

    enough = [share(cx.pattern_count(6, psi, 0.5)) for _ in range(50)]
    assert sum(value > psi for value in enough) <= 1  # the bound allows half of them
    assert max(share(2) for _ in range(5)) > psi  # two are not enough: the count can fail


def test_the_size_means_draws() -> None:
    X, _ = data(6, 2, 3)
    sample = cx.sample_patterns(X, cx.pattern_count(6, 0.2, 0.5))
    assert len(sample) == 12 < cx.pattern_count(6, 0.2, 0.5)  # every cell, and no more


@pytest.mark.parametrize("n", [0, -1, 2.0, True, "ten", None])
def test_n_that_is_no_positive_integer(n: Any) -> None:
    with pytest.raises(cx.ProblemError, match="n must be an integer >= 1, got"):
        cx.pattern_count(n, 0.1, 0.1)


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 2, np.nan, np.inf, True, "few", None])
@pytest.mark.parametrize("name", ["psi", "xi"])
def test_probability_out_of_range(name: str, value: Any) -> None:
    with pytest.raises(cx.ProblemError, match=rf"{name} must be .*in \(0, 1\), got"):
        cx.pattern_count(**({"n": 5, "psi": 0.1, "xi": 0.1} | {name: value}))


# the limit of Clopper and Pearson


@pytest.mark.parametrize(("hits", "count"), [(0, 10), (3, 10), (9, 10), (2, 1000)])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_upper_limit_solves_the_binomial_equation(hits: int, count: int, confidence: float) -> None:
    p = _upper_limit(hits, count, confidence)
    tail = sum(comb(count, k) * p**k * (1 - p) ** (count - k) for k in range(hits + 1))
    assert tail == pytest.approx(1 - confidence, rel=1e-9)


def test_upper_limit_where_every_draw_hits() -> None:
    assert _upper_limit(10, 10, 0.95) == 1.0
    assert _upper_limit(0, 10, 0.95) == pytest.approx(1 - 0.05**0.1)


# the audit


def shares(X: Array, cells: cx.Patterns, draws: int, seed: int = 77) -> Array:
    """Return the probability of each cell under Gaussian generators, by counting."""
    H = np.random.default_rng(seed).standard_normal((X.shape[1], draws))
    column = {cells.matrix[:, p].tobytes(): p for p in range(len(cells))}
    drawn = np.ascontiguousarray((X @ H >= 0.0).T)
    return np.bincount([column[row.tobytes()] for row in drawn], minlength=len(cells)) / draws


def excess(solution: cx.Solution, cells: cx.Patterns) -> Array:
    """Return by how much each cell's constraint is violated at the dual point, with CVXPY."""
    problem: cx.ReluTraining = solution.problem
    X = problem.data
    n, d = X.shape
    u, c, e = cp.Variable(d), cp.Parameter(d), cp.Parameter(n)
    ball = cp.norm(u, 2 if problem.penalty == "l2" else 1) <= 1
    largest = cp.Problem(cp.Maximize(c @ u), [cp.multiply(e, X @ u) >= 0, ball])
    found = []
    for p in range(len(cells)):
        active = cells.matrix[:, p]
        e.value = np.where(active, 1.0, -1.0)
        values = []
        for sign in (1.0, -1.0):
            c.value = sign * X.T @ (np.where(active, 1.0, problem.leak) * solution.dual.mu)
            largest.solve(solver=cp.CLARABEL)
            values.append(float(largest.value))
        found.append(max(values) / problem.beta - 1.0)
    return np.array(found)


@pytest.mark.parametrize("patterns", [None, "cells"])
def test_every_pattern_given_leaves_none_to_violate(patterns: Any) -> None:
    given = None if patterns is None else cx.enumerate_patterns(data()[0])
    result = cx.audit(solved(given, tol=1e-3), count=500)
    assert (result.violating, result.fraction, result.patterns) == (0, 0.0, None)
    assert result.worst == 1.0
    assert result.upper == pytest.approx(1 - 0.05 ** (1 / 500))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"penalty": "l1"},
        {"leak": 0.2},
        {"loss": "logistic", "beta": 0.2},
        {"skip": True, "beta": 0.05},
        {"bias": True},
        {"bias": True, "penalty": "l1", "leak": 0.1},
    ],
    ids=str,
)
def test_fraction_agrees_with_every_cell_priced_by_cvxpy(options: dict[str, Any]) -> None:
    n = 9 if options.get("bias") else 14
    X, _ = data(n)
    Z = np.hstack([X, np.ones((n, 1))]) if options.get("bias") else X
    solution = solved(cx.sample_patterns(Z, 6, seed=3), n=n, **options)
    result = cx.audit(solution, count=2000, seed=4)
    cells = cx.enumerate_patterns(Z)
    over = excess(solution, cells)
    weight = shares(Z, cells, 20_000)
    truth = float(weight[over > 1e-4].sum())
    assert 0.02 < truth < 0.98
    spread = np.sqrt(truth * (1 - truth) * (1 / 2000 + 1 / 20_000))
    assert abs(result.fraction - truth) < 4 * spread
    assert result.upper > result.fraction
    assert result.patterns is not None
    names = {cells.matrix[:, p].tobytes(): over[p] for p in range(len(cells))}
    found = [names[result.patterns.matrix[:, p].tobytes()] for p in range(len(result.patterns))]
    assert min(found) > -1e-6
    assert result.worst == pytest.approx(1.0 + max(found), rel=1e-5)
    np.testing.assert_array_equal(
        Z @ np.asarray(result.patterns.generators) >= 0.0, result.patterns.matrix
    )


def test_adding_what_violates_lowers_the_optimum() -> None:
    before = solved(5)
    result = cx.audit(before, count=300)
    assert result.patterns is not None
    given = cx.Patterns(before.problem.matrix).joined(result.patterns)
    after = solved(given)
    assert after.objective < before.objective - 1e-3
    again = cx.audit(after, count=300)  # the same draws
    assert again.violating < result.violating / 4
    fresh = 0 if again.patterns is None else len(again.patterns)
    assert len(again.patterns.joined(given) if again.patterns else given) == len(given) + fresh


def test_a_pattern_of_the_program_never_violates() -> None:
    """Even where the dual point is poor: it is scaled until it is feasible."""
    X, _ = data()
    cells = cx.enumerate_patterns(X)
    rough = cx.solve(cx.ReluTraining(X, data()[1], beta=0.3, patterns=cells), max_iter=10)
    poor = replace(rough, dual=rough.dual._replace(mu=5.0 * rough.dual.mu))
    for solution in (rough, poor):
        assert cx.audit(solution, count=400).violating == 0


def test_limit_covers_the_truth_as_often_as_it_says() -> None:
    solution = solved(6)
    X = solution.problem.X
    cells = cx.enumerate_patterns(X)
    truth = float(shares(X, cells, 100_000)[excess(solution, cells) > 1e-4].sum())
    uppers = [cx.audit(solution, count=60, confidence=0.8, seed=s).upper for s in range(60)]
    covered = float(np.mean([upper >= truth for upper in uppers]))
    assert covered >= 0.8 - 2.5 * np.sqrt(0.16 / 60)


def test_scope_says_what_was_shown() -> None:
    solution = solved(6)
    result = cx.audit(solution, count=1000)
    expected = (
        f"these patterns; of 1,000 fresh random patterns {result.violating} would improve the "
        f"optimum, at most {100 * result.upper:.2g} % of all with 95 % confidence"
    )
    assert result.scope == result.solution.certificate.scope == expected
    assert solution.certificate.scope == "these patterns"
    assert replace(result.solution.certificate, scope="these patterns") == solution.certificate
    assert result.solution.primal is solution.primal
    assert result.tolerance == max(abs(solution.gap), 1e-9) or result.tolerance < 1e-6


def test_blocks_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The draws differ, as their order does; what is found in them does not."""
    solution = solved(6)
    whole = cx.audit(solution, count=1500)
    monkeypatch.setattr(guarantee, "BLOCK", 14 * 64)
    parts = cx.audit(solution, count=1500)
    assert abs(whole.fraction - parts.fraction) < 0.06
    assert parts.worst == pytest.approx(whole.worst, rel=1e-9)
    assert parts.patterns is not None
    assert len(parts.patterns) == len(parts.patterns.distinct())


def test_draws_are_not_those_of_the_sample() -> None:
    X, _ = data(40, 5, 1)
    sampled = cx.sample_patterns(X, 64, seed=0)
    problem = cx.ReluTraining(X, np.abs(X[:, 0]), beta=1.0, patterns=sampled.take([0]))
    solution = cx.solve(problem, tol=1e-4)
    drawn = cx.audit(solution, count=64, seed=0).patterns
    assert drawn is not None
    assert len(sampled.joined(drawn)) > 64 + 0.8 * len(drawn)


def test_hybrid_is_audited_on_the_patterns_it_found() -> None:
    X, y = data(60, 6, 2)
    solution = cx.solve(cx.ReluTraining(X, y, beta=1.0), "cell-walk", tol=1e-4, starts=1, width=8)
    assert solution.dual.matrix is not None
    result = cx.audit(solution, count=200)
    assert result.solution.certificate.scope.startswith("these patterns; of 200 fresh")


# bad input


def test_a_thing_that_is_no_solution() -> None:
    with pytest.raises(cx.ProblemError, match="solution must be a Solution, got float"):
        cx.audit(1.0)  # type: ignore[arg-type]  # the point of the test


def test_solution_of_another_problem() -> None:
    X, y = data()
    solution = cx.solve(cx.GatedReluTraining(X, y, beta=0.3, patterns=5), tol=1e-3)
    with pytest.raises(cx.ProblemError, match="must be of a ReluTraining, got GatedReluTraining"):
        cx.audit(solution)


def test_solution_without_a_dual_point() -> None:
    solution = solved(5, tol=1e-3)
    with pytest.raises(cx.ProblemError, match="must have a dual point, got NoneType"):
        cx.audit(replace(solution, dual=None))
    with pytest.raises(cx.ProblemError, match="must have a finite dual point"):
        cx.audit(replace(solution, dual=Dual(np.full(14, np.nan))))


def test_solution_of_local_search() -> None:
    X, y = data(60, 6, 2)
    solution = cx.solve(cx.ReluTraining(X, y, beta=1.0), "lbfgs", starts=1, width=4)
    with pytest.raises(cx.ProblemError, match="over listed patterns, got one over all patterns"):
        cx.audit(solution)


@pytest.mark.parametrize("count", [0, -3, 1.5, True, None])
def test_count_that_is_no_positive_integer(count: Any) -> None:
    with pytest.raises(cx.ProblemError, match="count must be an integer >= 1, got"):
        cx.audit(solved(5, tol=1e-3), count=count)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95, np.nan, "high", None])
def test_confidence_out_of_range(confidence: Any) -> None:
    with pytest.raises(cx.ProblemError, match=r"confidence must be .*in \(0, 1\), got"):
        cx.audit(solved(5, tol=1e-3), confidence=confidence)


@pytest.mark.parametrize("seed", [-1, 0.5, None])
def test_seed_of_an_audit(seed: Any) -> None:
    with pytest.raises(cx.ProblemError, match="seed must be an integer >= 0, got"):
        cx.audit(solved(5, tol=1e-3), seed=seed)


def test_a_majorant_is_not_audited() -> None:
    X = np.random.default_rng(0).standard_normal((12, 2))
    problem = cx.ReluTraining(X, X[:, 0], beta=0.5, patterns=4, formulation="majorant")
    with pytest.raises(cx.ProblemError, match="must be of a program with cones"):
        cx.audit(cx.solve(problem, tol=1e-3))

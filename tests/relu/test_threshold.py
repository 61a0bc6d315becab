"""Networks of threshold neurons: every pattern, the lasso over them, the network."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.problems.relu.threshold import edges_add_nothing
from convexnn.relu.forms import Dual, GroupForm

XOR = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
seeds = st.integers(0, 10**6)


def realisable(data: Array) -> set[tuple[int, ...]]:
    """Return every pattern that some h has, edges included, by one linear program each."""
    found = set()
    for pattern in product((0, 1), repeat=len(data)):
        on = np.array(pattern, np.bool_)
        A = np.vstack([-data[on], data[~on]])
        b = np.r_[np.zeros(on.sum()), -np.ones((~on).sum())]
        done = linprog(np.zeros(data.shape[1]), A_ub=A, b_ub=b, bounds=(None, None))
        if done.status == 0 and on.any():
            found.add(pattern)
    return found


def listed(problem: cx.ThresholdTraining) -> set[tuple[int, ...]]:
    return {tuple(column) for column in problem.matrix.T.astype(int).tolist()}


def draw(seed: int, **fields: Any) -> cx.ThresholdTraining:
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(2, 7)), int(rng.integers(1, 4))
    X = rng.normal(size=(n, d))
    if rng.random() < 0.5:
        X = rng.integers(-1, 2, (n, d)).astype(np.float64)
    X[0, 0] = 1.0
    y = np.round(2.0 * rng.normal(size=n), 1)
    return cx.ThresholdTraining(X, y, **({"beta": 0.1, "bias": bool(rng.integers(2))} | fields))


def objective_by_hand(problem: cx.ThresholdTraining, model: cx.TwoLayerNetwork) -> float:
    X, y = problem.X, problem.labels.targets
    assert model.gates is not None
    gates = X @ model.gates + (0.0 if model.gates_bias is None else model.gates_bias)
    assert not model.U.any()
    z = (gates >= 0.0) @ (model.bias * model.alpha[:, 0])
    size = 0.5 * float(np.sum(model.bias**2) + np.sum(model.alpha**2))
    return float(np.sum(problem.loss.value(z, y))) + problem.beta * size


@settings(max_examples=25)
@given(seeds)
def test_all_patterns_are_those_that_linear_programs_find(seed: int) -> None:
    problem = draw(seed)
    every, mine = realisable(problem.data), listed(problem)
    assert mine <= every
    scope = problem._scope.removesuffix("; cells thinner than 1e-11 aside")
    if scope == "all patterns":
        assert mine == every
    else:
        assert scope == "all patterns of open cells"
        assert not problem.bias


def test_an_edge_can_have_a_pattern_of_its_own() -> None:
    data = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    assert not edges_add_nothing(data)
    problem = cx.ThresholdTraining(data, [1.0, 2.0, 0.0], beta=0.1)
    assert cx.solve(problem).certificate.scope == "all patterns of open cells"
    assert (1, 1, 0) in realisable(data) - listed(problem)
    assert cx.solve(cx.ThresholdTraining(data, [1.0, 2.0, 0.0], beta=0.1, bias=True)).certificate
    coplanar = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-1.0, -1.0, 0.0], [0.0, 0.0, 1.0]])
    assert not edges_add_nothing(coplanar)
    assert realisable(coplanar) - listed(cx.ThresholdTraining(coplanar, np.ones(4), beta=0.1))


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 1e6), (1e-8, 0.0), (1e-3, 1e4), (1e9, -1e9)])
@pytest.mark.parametrize("d", [1, 2])
def test_patterns_with_a_bias_do_not_see_units(d: int, scale: float, shift: float) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.integers(-9, 10, (7, d)).astype(np.float64), rng.normal(size=7)
    near = cx.ThresholdTraining(X, y, beta=0.1, bias=True)
    far = cx.ThresholdTraining(scale * X + shift, y, beta=0.1, bias=True)
    assert listed(near) == listed(far) == realisable(near.data)
    best = cx.solve(far)
    assert best.certificate.scope == "all patterns"
    assert objective_by_hand(far, best.model) == pytest.approx(best.objective, rel=1e-12)
    assert best.objective == pytest.approx(cx.solve(near).objective, rel=1e-5)


def test_what_cannot_be_told_apart_is_not_claimed() -> None:
    X, y = np.array([[0.0], [1.0], [1.0 + 1e-13]]), np.arange(3.0)
    twins = cx.ThresholdTraining(X, y, beta=0.1, bias=True)
    assert cx.solve(twins).certificate.scope == "these patterns"
    X[2] = 1.0
    assert cx.solve(cx.ThresholdTraining(X, y, beta=0.1, bias=True)).certificate.scope == (
        "all patterns"
    )


def test_without_a_bias_directions_are_what_counts() -> None:
    X = np.array([[1.0, 0.5], [3.0, 1.5], [-0.5, 2.0], [0.1, 0.3]])
    y = np.arange(4.0)
    parallel = cx.ThresholdTraining(X, y, beta=0.1)
    assert cx.solve(parallel).certificate.scope == "all patterns"
    X[1, 1] += 1e-12
    assert cx.solve(cx.ThresholdTraining(X, y, beta=0.1)).certificate.scope == "these patterns"


def test_a_pattern_whose_generator_rounds_away_is_left_out() -> None:
    X = 1e12 + np.array([[0.0], [1e-4], [2e-4], [1.0]])  # a few units in the last place apart
    problem = cx.ThresholdTraining(X, np.arange(4.0), beta=0.01, bias=True)
    solution = cx.solve(problem)
    assert objective_by_hand(problem, solution.model) == pytest.approx(solution.objective)
    every = realisable(np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0], [9.0, 1.0]]))
    assert (solution.certificate.scope == "all patterns") == (listed(problem) == every)


@pytest.mark.parametrize("apart", [0.0, 1e-12, 1e-6])
def test_cells_too_thin_to_be_told_from_none_are_not_claimed(apart: float) -> None:
    X = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0 + apart], [0.3, -1.0]])  # three on a line
    problem = cx.ThresholdTraining(X, np.array([0.0, 1.0, 0.0, 2.0]), beta=0.01, bias=True)
    thin = "" if apart > 1e-11 else "; cells thinner than 1e-11 aside"
    assert cx.solve(problem).certificate.scope == f"all patterns{thin}"
    exact = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 3.0], [0.3, -1.0]])
    every = realisable(np.hstack([exact, np.ones((4, 1))]))  # no three on a line
    assert (listed(problem) == every) == (apart > 1e-11)


def test_columns_that_nearly_agree_hide_patterns() -> None:
    x = np.arange(6.0)[:, None]
    X = np.hstack([x, x + 1e-10 * np.array([[1.0, -1.0, 1.0, 1.0, -1.0, 1.0]]).T])
    problem = cx.ThresholdTraining(X, x[:, 0], beta=0.1, bias=True)
    assert cx.solve(problem).certificate.scope == "these patterns"
    same = cx.ThresholdTraining(np.hstack([x, 3.0 * x]), x[:, 0], beta=0.1, bias=True)
    assert cx.solve(same).certificate.scope == "all patterns"


@settings(max_examples=10)
@given(seeds)
def test_optimum_is_that_of_the_lasso_over_every_pattern(seed: int) -> None:
    problem = draw(seed, bias=True)
    D = np.array(sorted(realisable(problem.data)), dtype=np.float64).T
    c = cp.Variable(D.shape[1])
    objective = 0.5 * cp.sum_squares(D @ c - problem.y) + problem.beta * cp.norm1(c)
    best = float(cp.Problem(cp.Minimize(objective)).solve(solver="CLARABEL"))
    for backend in ("admm", "cvxpy:clarabel"):
        solution = cx.solve(problem, backend, tol=1e-7)
        assert solution.status is cx.Status.OPTIMAL
        assert abs(solution.objective - best) <= 1e-6 * max(1.0, best)
        assert solution.bound <= best + 1e-7 * max(1.0, best)


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge", "huber"])
@pytest.mark.parametrize("patterns", [None, 15])
@pytest.mark.parametrize("bias", [False, True])
def test_network_costs_what_the_program_says(loss: str, patterns: Any, bias: bool) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(14, 2))
    y = X[:, 0] * X[:, 1]
    if loss in ("logistic", "hinge"):
        y = np.where(y > 0.0, 1.0, -1.0)
    problem = cx.ThresholdTraining(X, y, beta=0.1, loss=loss, patterns=patterns, bias=bias)
    solution = cx.solve(problem, tol=1e-4)
    by_hand = objective_by_hand(problem, solution.model)
    assert abs(by_hand - solution.objective) <= 1e-10 * max(1.0, by_hand)
    assert solution.certificate.scope == ("all patterns" if patterns is None else "these patterns")


@settings(max_examples=12)
@given(seeds)
def test_no_network_goes_below_and_no_guess_bounds_too_high(seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = cx.ThresholdTraining(XOR, [0.0, 1.0, 1.0, 0.0], beta=0.05, bias=True)
    best = cx.solve(problem, tol=1e-8)
    assert best.certificate.scope == "all patterns"
    mu = best.dual.mu + rng.normal(size=4) * 10.0 ** rng.uniform(-8.0, 1.0)
    assert problem.certify(best.primal, Dual(mu)).bound <= best.objective * (1.0 + 1e-12)
    data = np.hstack([XOR, np.ones((4, 1))])
    hidden = (data @ rng.normal(size=(3, 6)) >= 0.0).astype(np.float64)
    c = rng.normal(size=6)
    for _ in range(200):  # coordinate descent on what random neurons can do
        for j in range(6):
            rest = problem.y - hidden @ c + hidden[:, j] * c[j]
            fit = float(hidden[:, j] @ rest)
            c[j] = np.sign(fit) * max(abs(fit) - 0.05, 0.0) / max(float(hidden[:, j].sum()), 1.0)
    reached = 0.5 * float(np.sum((hidden @ c - problem.y) ** 2)) + 0.05 * float(np.abs(c).sum())
    assert reached >= best.bound


def test_a_network_has_no_more_neurons_than_it_needs() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(9, 3))
    problem = cx.ThresholdTraining(X, X[:, 0], beta=0.1, bias=True)
    initial = problem.initial()[0]
    primal = initial._replace(V=rng.normal(size=initial.V.shape))
    lighter = problem.prune(primal)
    assert np.count_nonzero(lighter.V) <= 10 < initial.V.shape[1]
    assert problem.objective(lighter) == pytest.approx(problem.objective(primal), rel=1e-12)


def test_one_input_is_the_univariate_program_without_its_free_offset() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=12)
    y = np.sin(3.0 * x)
    one = cx.solve(cx.ThresholdTraining(x[:, None], y - y.mean(), beta=0.2, bias=True), tol=1e-8)
    free = cx.solve(cx.UnivariateReluTraining(x, y, beta=0.2, activation="threshold"), tol=1e-8)
    assert free.objective <= one.objective * (1.0 + 1e-8)
    # an offset at the best place makes the rest the same program up to the constant pattern
    shifts = np.linspace(-0.5, 0.5, 41) + free.model.offset
    costs = [
        cx.solve(cx.ThresholdTraining(x[:, None], y - b, beta=0.2, bias=True), tol=1e-6).objective
        for b in shifts
    ]
    assert min(costs) == pytest.approx(free.objective, rel=1e-4)


def test_patterns_of_the_user() -> None:
    ones = np.ones((4, 1), np.bool_)
    xor = np.array([[0, 0], [1, 0], [0, 1], [0, 0]], np.bool_)
    problem = cx.ThresholdTraining(
        XOR, [0.0, 1.0, 1.0, 0.0], beta=0.1, bias=True, patterns=np.hstack([ones, xor, ones])
    )
    assert len(problem.gates) == 3
    solution = cx.solve(problem)
    assert solution.certificate.scope == "these patterns"
    assert objective_by_hand(problem, solution.model) == pytest.approx(solution.objective)
    never = cx.ThresholdTraining(XOR, np.ones(4), beta=0.1, patterns=np.zeros((4, 1)))
    with pytest.raises(cx.ProblemError, match="patterns must hold one that is active"):
        cx.solve(never)
    diagonal = np.array([[1], [0], [0], [1]])
    wrong = cx.ThresholdTraining(XOR, np.ones(4), beta=0.1, bias=True, patterns=diagonal)
    with pytest.raises(cx.ProblemError, match="pattern of no generator"):
        cx.solve(wrong)


def test_more_patterns_than_are_listed() -> None:
    X = np.random.default_rng(0).normal(size=(300, 8))
    with pytest.raises(cx.ProblemError, match="at most 100,000 are listed"):
        cx.ThresholdTraining(X, X[:, 0], beta=1.0)
    assert cx.solve(cx.ThresholdTraining(X, X[:, 0], beta=1.0, patterns=50)).gap <= 1e-6


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"beta": 0.0}, "beta must be finite and > 0"),
        ({"loss": "cubic"}, "loss must be"),
        ({"X": np.zeros((4, 2))}, "X must have at least one non-zero entry"),
        ({"X": [[1.0, np.nan]] * 4}, "X must be finite"),
        ({"y": [1.0, 2.0]}, "y must have one entry per row of X"),
        ({"patterns": 0}, "patterns must be >= 1"),
        ({"patterns": "some"}, "patterns must be None, 'all'"),
        ({"patterns": np.ones((3, 1))}, r"patterns must have one row per row of X \(4\)"),
    ],
)
def test_what_is_wrong_is_said(changes: dict[str, Any], said: str) -> None:
    fields: dict[str, Any] = {"X": XOR, "y": [0.0, 1.0, 1.0, 0.0], "beta": 1.0} | changes
    with pytest.raises(cx.ProblemError, match=said):
        cx.ThresholdTraining(fields.pop("X"), fields.pop("y"), **fields)


@pytest.mark.parametrize("patterns", [None, 6])
def test_a_solution_survives_a_file(patterns: Any, tmp_path: Path) -> None:
    problem = cx.ThresholdTraining(
        XOR, ["a", "b", "b", "a"], beta=0.01, loss="hinge", bias=True, patterns=patterns
    )
    solution = cx.solve(problem)
    solution.save(tmp_path / "solution.npz")
    again = cx.load(tmp_path / "solution.npz")
    assert again.objective == solution.objective
    assert list(again.model.predict(XOR)) == list(solution.model.predict(XOR))
    form = problem.canonical(GroupForm)
    size = problem.size(GroupForm)
    assert (size.n, size.d) == form.X.shape
    assert size.patterns >= form.blocks

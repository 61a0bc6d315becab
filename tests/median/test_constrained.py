"""Sums of terms under linear equations: each term by itself, optima, proofs, mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array, random_array

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.functions.terms import (
    Ball,
    Box,
    Custom,
    Distance,
    HuberDistance,
    L1Distance,
    Quadratic,
    SquaredDistance,
    Term,
)
from convexnn.median.linear_sum import LinearSum, Multipliers, Stacked
from convexnn.solvers.median.linear_homotopy import largest_singular_value

POINT = np.array([0.5, -1.0, 2.0])
TERMS: dict[str, Term] = {
    "distance": Distance(POINT, 2.0),
    "l1": L1Distance(POINT, 0.5),
    "huber": HuberDistance(POINT, 1.5, 0.7),
    "squared": SquaredDistance(POINT, 3.0),
    "box": Box([-1.0, 0.0, -2.0], [1.0, 0.5, 2.0]),
    "ball": Ball(POINT, 1.5),
    "quadratic": Quadratic([[3.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 1.0]], [1.0, -1.0, 0.0]),
}


@pytest.mark.parametrize("name", TERMS)
def test_prox_value_and_conjugate_against_the_formula(name: str) -> None:
    term = TERMS[name]
    rng = np.random.default_rng(0)
    for step in (0.1, 1.0, 10.0):
        v = 3.0 * rng.standard_normal(3)
        x = cp.Variable(3)
        made = term.cvxpy(x)
        assert made is not None
        cost = step * made[0] + 0.5 * cp.sum_squares(x - v)
        best = cp.Problem(cp.Minimize(cost), made[1]).solve(solver="CLARABEL")
        ours = term.prox(v, step)
        value = term.value(ours)
        assert np.isfinite(value)
        assert step * value + 0.5 * np.sum((ours - v) ** 2) == pytest.approx(best, abs=1e-6)
        s = (v - ours) / step  # a subgradient at ours: Fenchel's inequality is tight
        assert term.gauge(s) <= 1.0 + 1e-12
        assert term.conjugate(s) == pytest.approx(float(s @ ours) - value, abs=1e-9)
        other = term.prox(3.0 * rng.standard_normal(3), 0.3)
        assert term.conjugate(s) >= float(s @ other) - term.value(other) - 1e-9


@pytest.mark.parametrize("name", ["distance", "l1", "huber"])
def test_gauge_is_where_the_conjugate_ends(name: str) -> None:
    term, s = TERMS[name], np.array([0.3, -0.4, 0.2])
    far = POINT + 1e9 * np.sign(s) if name == "l1" else POINT + 1e9 * s
    inside, outside = 0.999 / term.gauge(s) * s, 1.001 / term.gauge(s) * s
    peak = POINT + 1e9 * (np.abs(s) == np.abs(s).max()) * np.sign(s) if name == "l1" else far
    assert inside @ peak - term.value(peak) < term.conjugate(inside) + 1e-6
    assert outside @ peak - term.value(peak) > 1e4


def mixed(seed: int, sparse: bool = False) -> cx.LinearlyConstrained:
    rng = np.random.default_rng(seed)
    terms: list[Term] = [
        Distance(rng.normal(size=4), 2.0),
        L1Distance(np.zeros(5), 0.5),
        HuberDistance(rng.normal(size=3), 1.5, 0.7),
        SquaredDistance(rng.normal(size=4), 3.0),
        Box(-np.ones(3), 2.0 * np.ones(3)),
        Ball(np.zeros(3), 2.0),
        Quadratic(2.0 * np.eye(2) + 1.0, [1.0, -1.0]),
    ]
    n = sum(term.size for term in terms)
    A: Any = rng.normal(size=(9, n)) * 10.0 ** rng.uniform(-1.0, 1.0, size=(9, 1))
    if sparse:
        A[np.abs(A) < np.quantile(np.abs(A), 0.6)] = 0.0
        A = csr_array(A)
    inside = np.concatenate([t.prox(0.3 * rng.normal(size=t.size), 0.01) for t in terms])
    return cx.LinearlyConstrained(terms, A, A @ inside)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_optimum_is_that_of_interior_point(seed: int, sparse: bool) -> None:
    problem = mixed(seed, sparse)
    reference = cx.solve(problem, "cvxpy:clarabel", tol=1e-7)
    assert reference.status is cx.Status.OPTIMAL
    solution = cx.solve(problem)
    assert solution.backend == "homotopy"
    assert solution.status is cx.Status.OPTIMAL
    assert len(solution.stages) > 1
    assert sum(stage.iterations for stage in solution.stages) == solution.history[-1].iteration
    assert solution.objective == pytest.approx(reference.objective, rel=1e-5, abs=1e-5)
    assert solution.bound <= reference.objective + 1e-6
    assert solution.model.value == solution.objective
    paper = cx.solve(problem, "homotopy", tol=1e-3, scheme="paper")
    assert paper.status is cx.Status.OPTIMAL
    assert [stage.mu for stage in paper.stages] == [0.5**k for k in range(len(paper.stages))]


@pytest.mark.parametrize("name", TERMS)
def test_every_term_alone(name: str) -> None:
    A = np.array([[1.0, 1.0, 1.0]])
    b = A @ TERMS[name].prox(np.array([0.3, 0.2, 0.1]), 0.1)
    problem = cx.LinearlyConstrained([TERMS[name]], A, b)
    solution = cx.solve(problem)
    assert solution.status is cx.Status.OPTIMAL
    best = cx.solve(problem, "cvxpy:clarabel", tol=1e-7).objective
    assert solution.objective == pytest.approx(best, rel=1e-5, abs=1e-5)


def test_ones_own_term() -> None:
    """``sum_i x_i^4 / 4``, whose prox is a root of a cubic, with and without its conjugate."""

    def prox(v: Array, step: float) -> Array:
        x = v / (1.0 + step)
        for _ in range(100):
            x = x - (step * x**3 + x - v) / (3.0 * step * x**2 + 1.0)
        return x

    def fourth(x: Array) -> float:
        return 0.25 * float(np.sum(x**4))

    def dual(s: Array) -> float:
        return 0.75 * float(np.sum(np.abs(s) ** (4.0 / 3.0)))

    A, b = np.array([[1.0, 2.0, -1.0]]), np.array([3.0])
    own = cx.LinearlyConstrained([Custom(3, fourth, prox, dual)], A, b)
    solution = cx.solve(own)
    assert solution.status is cx.Status.OPTIMAL
    weights = np.cbrt(A[0])  # x_i^3 is in proportion to A_i
    best = fourth(weights * float(b[0]) / float(A[0] @ weights))
    assert solution.objective == pytest.approx(best, rel=1e-5)
    assert "a term has no CVXPY atom" in str(cx.backends(own).reasons["cvxpy:clarabel"])
    blind = cx.LinearlyConstrained([Custom(3, fourth, prox)], A, b)
    unproved = cx.solve(blind, max_iter=500)
    assert unproved.status is cx.Status.MAX_ITER
    assert unproved.bound == -np.inf
    with pytest.raises(cx.ProblemError, match="terms must have CVXPY atoms"):
        blind.to_cvxpy()


@settings(max_examples=60)
@given(
    seed=st.integers(0, 5),
    draw=st.integers(0, 10_000),
    size=st.sampled_from([1e-3, 1.0, 1e3, 1e150]),
    bad=st.sampled_from([None, np.nan, np.inf]),
)
def test_no_prices_make_a_wrong_bound(seed: int, draw: int, size: float, bad: Any) -> None:
    problem = mixed(seed)
    best = cx.solve(problem, "cvxpy:clarabel", tol=1e-7).objective
    lam = size * np.random.default_rng(draw).standard_normal(9)
    if bad is not None:
        lam[4] = bad
    with np.errstate(all="ignore"):
        primal, _ = problem.initial()
        bound = problem.certify(primal, Multipliers(lam, np.zeros(9))).bound
    assert bound <= best + 1e-6


@pytest.mark.parametrize(
    ("terms", "A", "b"),
    [
        ([Distance([0.0, 0.0])], [[1.0, 1.0], [2.0, 2.0]], [3.0, 5.0]),
        ([Distance([0.0, 0.0])], csr_array([[1.0, 1.0], [2.0, 2.0]]), [3.0, 5.0]),
        ([L1Distance([0.0])], [[0.0]], [1.0]),
        ([Box([0.0, 0.0], [1.0, 1.0])], [[1.0, 1.0]], [3.0]),
        ([Ball([0.0, 0.0], 1.0)], [[1.0, 1.0]], [-3.0]),
        (
            [Box([0.0, 0.0], [1.0, 1.0]), Distance([0.0, 1.0])],
            [[1.0, 1.0, 1.0, 0.0], [0.0, 1.0, 1.0, 0.0]],
            [3.0, -5.0],
        ),
    ],
)
def test_infeasible_equations_are_proved_to_be(terms: list[Term], A: Any, b: Any) -> None:
    problem = cx.LinearlyConstrained(terms, A, b)
    solution = cx.solve(problem, time_limit=20.0)
    assert solution.status is cx.Status.INFEASIBLE
    y = solution.dual.ray
    dense = A.toarray() if hasattr(A, "toarray") else np.array(A)
    rng = np.random.default_rng(0)
    for _ in range(100):
        parts = [t.prox(10.0 * rng.standard_normal(t.size), 1e-9) for t in terms]
        assert y @ (dense @ np.concatenate(parts)) < y @ np.array(b) - 1e-3
    assert not problem._form.proves(-y)


@pytest.mark.parametrize(("backend", "cut"), [("cvxpy:clarabel", 5), ("cvxpy:scs", 20)])
def test_a_solver_that_is_unsure_proves_nothing_infeasible(backend: str, cut: int) -> None:
    problem = cx.LinearlyConstrained([Box([0.0, 0.0], [1.0, 1.0])], [[1.0, 1.0]], [3.0])
    solution = cx.solve(problem, backend, max_iter=cut)
    assert solution.status is cx.Status.MAX_ITER
    assert "infeasible_inaccurate" in solution.message
    assert cx.solve(problem, backend).status is cx.Status.INFEASIBLE


def test_nothing_is_proved_of_equations_that_have_a_solution() -> None:
    form: LinearSum = mixed(0).canonical(LinearSum)
    rng = np.random.default_rng(0)
    assert not any(form.proves(rng.standard_normal(9)) for _ in range(200))
    assert not form.proves(np.zeros(9))


def test_redundant_equations_and_other_units() -> None:
    problem = mixed(1)
    A, b = np.asarray(problem.A), np.asarray(problem.b)
    twice = cx.LinearlyConstrained(problem.terms, np.vstack([A, 5.0 * A]), np.r_[b, 5.0 * b])
    once = cx.solve(problem)
    both = cx.solve(twice)
    assert both.status is cx.Status.OPTIMAL
    assert both.objective == pytest.approx(once.objective, rel=1e-5)
    rows = cx.LinearlyConstrained(problem.terms, 1e6 * A, 1e6 * b)
    assert cx.solve(rows).history[-1].iteration == once.history[-1].iteration


@pytest.mark.parametrize("shape", [(5, 8), (600, 700)])
def test_largest_singular_value_is_safe(shape: tuple[int, int]) -> None:
    A = csr_array(random_array(shape, density=0.05, rng=np.random.default_rng(0)))
    exact = float(np.linalg.norm(A.toarray(), 2))
    assert exact * (1.0 - 1e-12) <= largest_singular_value(A) <= 1.06 * exact
    assert largest_singular_value(A.toarray()) == pytest.approx(exact, rel=0.06)


def test_saved_and_loaded(tmp_path: Path) -> None:
    for sparse in (False, True):
        solution = cx.solve(mixed(2, sparse))
        solution.save(tmp_path / "s.npz")
        again = cx.load(tmp_path / "s.npz")
        assert again.certificate == solution.certificate
        assert again.stages == solution.stages != ()
        assert [type(t) for t in again.problem.terms] == [type(t) for t in solution.problem.terms]
    own = cx.LinearlyConstrained(
        [Custom(1, lambda x: 0.0, lambda v, step: v, lambda s: 0.0)], [[1.0]], [1.0]
    )
    with pytest.raises(TypeError, match="a problem with the term Custom cannot be saved"):
        cx.solve(own, max_iter=5).save(tmp_path / "own.npz")


def test_start_and_options() -> None:
    problem = mixed(3)
    first = cx.solve(problem)
    assert cx.solve(problem, start=first).history[-1].iteration < first.history[-1].iteration
    with pytest.raises(ValueError, match="homotopy has no option 'splitting'"):
        cx.solve(problem, "homotopy", splitting="root")
    with pytest.raises(cx.ProblemError, match="start must have x of shape"):
        cx.solve(problem, start=Stacked(np.zeros(2)))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"terms": []}, "terms must not be empty"),
        ({"terms": 3}, "terms must be a sequence of terms, got 3"),
        ({"terms": ["l1"]}, "must hold terms of convexnn.terms, got 'l1' at index 0"),
        ({"A": [[1.0]]}, "A must have one column for each of the 2 variables of the terms, got 1"),
        ({"A": [[1.0, np.nan]]}, r"A must be finite, got nan at index \(0, 1\)"),
        ({"A": csr_array([[1.0, np.inf]])}, "A must be finite, got inf among its entries"),
        ({"A": csr_array([[1.0, 1j]])}, "A must hold real numbers"),
        ({"A": [1.0, 2.0]}, "A must have 2 axes"),
        ({"b": [1.0, 2.0]}, r"b must have one entry per row of A \(1\), got 2"),
        ({"b": [np.inf]}, "b must be finite"),
    ],
)
def test_bad_input_is_named(changes: dict[str, Any], says: str) -> None:
    fields: dict[str, Any] = {"terms": [Distance([0.0, 1.0])], "A": [[1.0, 1.0]], "b": [1.0]}
    fields |= changes
    with pytest.raises(cx.ProblemError, match=says):
        cx.LinearlyConstrained(fields["terms"], fields["A"], fields["b"])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Distance([0.0], weight=0.0), "weight must be finite and > 0"),
        (lambda: Distance([np.nan]), "point must be finite"),
        (lambda: HuberDistance([0.0], delta=-1.0), "delta must be finite and > 0"),
        (lambda: Box([0.0], [1.0, 2.0]), "high must have shape"),
        (lambda: Box([2.0], [1.0]), "low must be <= high, got 2 > 1 at index 0"),
        (lambda: Ball([0.0], 0.0), "radius must be finite and > 0"),
        (lambda: Quadratic([[1.0]], [1.0, 2.0]), "P must have shape"),
        (lambda: Quadratic([[1.0, 2.0], [0.0, 1.0]], [0.0, 0.0]), "P must be symmetric"),
        (lambda: Quadratic([[0.0]], [1.0]), "P must be positive definite"),
        (lambda: Custom(0, lambda x: 0.0, lambda v, s: v), "length must be an integer >= 1"),
    ],
)
def test_bad_terms_are_named(make: Any, says: str) -> None:
    with pytest.raises(cx.ProblemError, match=says):
        make()


def test_the_best_point_is_not_the_one_that_breaks_the_equations() -> None:
    half = Custom(1, lambda x: float(x @ x) / 2, lambda v, step: v / (1.0 + step))
    for terms, best in (
        ([half, L1Distance([0.0])], 0.5),  # nothing is known below the optimum
        ([SquaredDistance([0.0]), L1Distance([0.0])], 0.5),
    ):
        problem = cx.LinearlyConstrained(terms, [[1.0, -1.0]], [1.0])
        solution = cx.solve(problem, "homotopy", tol=1e-15, max_iter=400)
        assert solution.certificate.violation < 1e-6
        assert solution.objective == pytest.approx(best, rel=1e-6)


def test_violation_does_not_depend_on_the_unit_of_an_equation() -> None:
    A, b = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, -1.0]]), np.array([3.0, 0.0])
    terms = [SquaredDistance([v]) for v in (1.0, 2.0, 9.0)]
    units = np.array([1e6, 1e-6])
    x = np.array([1.0, 2.0, 9.0])  # breaks the second one
    plain = cx.LinearlyConstrained(terms, A, b)._form.violation(x)
    scaled = cx.LinearlyConstrained(terms, units[:, None] * A, units * b)._form.violation(x)
    assert plain > 0.1
    assert scaled == pytest.approx(plain, rel=1e-9)


def test_prox_of_a_wrong_shape_is_named() -> None:
    wrong = Custom(1, lambda x: 0.0, lambda v, step: np.zeros(3))
    problem = cx.LinearlyConstrained([wrong, L1Distance([0.0])], [[1.0, -1.0]], [1.0])
    with pytest.raises(cx.ProblemError, match=r"proximal must return shape \(1,\), got \(3,\)"):
        cx.solve(problem)

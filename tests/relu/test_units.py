"""Columns in any units: engines change coordinates, and answer in the user's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.forms import GroupForm
from convexnn.functions.norms import NORMS
from convexnn.problems.relu.training import principal_axes
from convexnn.relu.units import badly_scaled
from convexnn.solvers.relu.coordinates import coordinates, graded_svd, stretched_prox


def people(n: int, seed: int = 0, noise: float = 0.15) -> tuple[Any, Any]:
    """Ages beside salaries, and a label that takes both."""
    rng = np.random.default_rng(seed)
    ages, pays = rng.uniform(20.0, 70.0, n), rng.uniform(1e4, 1e5, n)
    worth = (ages - 45.0) / 25.0 * (pays - 55e3) / 45e3 + (ages - 45.0) / 80.0
    return np.column_stack([ages, pays]), np.where(
        worth + noise * rng.standard_normal(n) > 0.0, 1.0, -1.0
    )


def training(kind: Any, loss: str = "squared", n: int = 150, beta: float = 1.0) -> Any:
    X, y = people(n)
    return kind(X, y, beta=beta, loss=loss, patterns=25, bias=True)


@pytest.mark.parametrize("kind", [cx.ReluTraining, cx.GatedReluTraining])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_columns_of_other_units_are_solved_by_choice(kind: Any, loss: str) -> None:
    problem = training(kind, loss, beta=10.0)
    assert problem.matrix.shape[1] == 25
    solution = cx.solve(problem, max_iter=None)
    assert solution.status is cx.Status.OPTIMAL, solution.message


@pytest.mark.parametrize(
    ("kind", "beta", "noise", "n"),
    [
        (cx.GatedReluTraining, 0.1, 0.0, 200),
        (cx.GatedReluTraining, 1.0, 0.15, 200),
        (cx.ReluTraining, 1.0, 0.0, 200),
        (cx.ReluTraining, 1.0, 0.15, 500),
        (cx.ReluTraining, 0.1, 0.15, 500),
        (cx.ReluTraining, 0.1, 0.0, 500),
    ],
)
def test_a_penalty_that_raw_columns_leave_tiny_takes_few_steps(
    kind: Any, beta: float, noise: float, n: int
) -> None:
    X, y = people(n, noise=noise)
    problem = kind(X, y, beta=beta, loss="logistic", patterns=50, bias=True)
    solution = cx.solve(problem)
    assert solution.backend == "ipm"
    assert solution.status is cx.Status.OPTIMAL, solution.message
    assert solution.history[-1].iteration <= (40 if n == 200 else 70)


@pytest.mark.parametrize(
    ("kind", "penalty"),
    [(cx.GatedReluTraining, "l2"), (cx.GatedReluTraining, "l1"), (cx.ReluTraining, "l2")],
)
def test_admm_takes_few_steps_in_its_own_coordinates(kind: Any, penalty: str) -> None:
    X, y = people(100)
    problem = kind(X, y, beta=1.0, patterns=10, bias=True, penalty=penalty)
    solution = cx.solve(problem, "admm", max_iter=3_000, tol=1e-5)
    assert solution.status is cx.Status.OPTIMAL
    other = cx.solve(problem, "ipm", tol=1e-5)
    assert solution.objective >= other.certificate.bound - 1e-9
    again = cx.solve(problem, "admm", start=solution, max_iter=3_000, tol=1e-5)
    assert again.history[-1].iteration < solution.history[-1].iteration


def test_accelerated_gradient_answers_in_the_units_of_the_data() -> None:
    X, y = people(100)
    problem = cx.GatedReluTraining(X, y, beta=100.0, patterns=5, bias=True)
    solution = cx.solve(problem, "fista", tol=1e-4)
    assert solution.status is cx.Status.OPTIMAL
    assert np.allclose(
        solution.model.predict(X),
        problem.canonical(GroupForm).predict(problem.canonical(GroupForm).rows(solution.primal)),
    )


def test_clean_columns_keep_their_coordinates() -> None:
    rng = np.random.default_rng(0)
    for n, d in ((200, 10), (30, 20), (20, 100)):
        X = rng.standard_normal((n, d))
        assert not badly_scaled(X)
        problem = cx.GatedReluTraining(X, X[:, 0], beta=1.0, patterns=3)
        assert coordinates(problem.canonical(GroupForm)) is None


@pytest.mark.parametrize("penalty", ["l2", "l1"])
def test_coordinates_lead_there_and_back(penalty: str) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 3)) * [1e-4, 1.0, 1e6] + [0.0, 300.0, 0.0]
    problem = cx.GatedReluTraining(X, X[:, 1], beta=1.0, patterns=4, penalty=penalty)
    form = problem.canonical(GroupForm)
    frame = coordinates(form)
    assert frame is not None
    size = np.max(np.abs(form.X), axis=0)
    np.testing.assert_allclose(frame.form.X @ frame.to / size, form.X / size, atol=1e-13)
    np.testing.assert_allclose(frame.to @ frame.back, np.eye(3), atol=1e-9)
    u = rng.standard_normal((5, 3)) / size
    v = u @ frame.to.T
    np.testing.assert_allclose(
        NORMS[penalty].value(v * frame.widths), NORMS[penalty].value(u), rtol=1e-9
    )
    np.testing.assert_allclose(np.linalg.norm(frame.form.X, axis=0), np.sqrt(40.0))


def test_stretched_prox_meets_its_conditions() -> None:
    rng = np.random.default_rng(0)
    rows, widths = rng.standard_normal((50, 4)), np.array([1e-4, 0.1, 1.0, 1e4])
    rows[0] *= 1e-9
    v = stretched_prox(rows, 0.3, widths)
    alive = v.any(axis=1)
    assert alive.sum() == 49  # the first is short enough to vanish
    assert np.linalg.norm(rows[0] / widths) <= 0.3
    length = np.linalg.norm(widths * v[alive], axis=1, keepdims=True)
    np.testing.assert_allclose(0.3 * widths**2 * v[alive] / length, (rows - v)[alive], atol=1e-12)
    plain = stretched_prox(rows, 0.3, np.ones(4))
    np.testing.assert_allclose(plain, NORMS["l2"].prox(rows, 0.3), atol=1e-13)


@pytest.mark.parametrize("d", [1, 2, 5, 8])
def test_singular_values_of_graded_columns_are_exact_for_each(d: int) -> None:
    rng = np.random.default_rng(d)
    scale = 10.0 ** rng.uniform(-8.0, 8.0, d)
    A = rng.standard_normal((d, d)) * scale
    U, s, Vt = graded_svd(A)
    np.testing.assert_allclose(U.T @ U, np.eye(d), atol=1e-13)
    np.testing.assert_allclose(Vt @ Vt.T, np.eye(d), atol=1e-13)
    np.testing.assert_allclose((U * s) @ Vt / scale, A / scale, atol=1e-12)
    assert (np.diff(s) <= 0.0).all()


def test_a_column_in_tiny_units_is_no_dependent_one() -> None:
    X = np.random.default_rng(0).standard_normal((30, 3)) * [1e-7, 1.0, 1e6]
    alone = cx.GatedReluTraining(X, X[:, 1], beta=1.0, patterns=4)
    assert alone.design.basis is None
    twice = cx.GatedReluTraining(np.hstack([X, X[:, :1]]), X[:, 1], beta=1.0, patterns=4)
    assert twice.design.basis is not None


@pytest.mark.parametrize("penalty", ["l2", "l1"])
def test_the_majorant_is_solved_in_other_coordinates(penalty: str) -> None:
    X, y = people(60)
    problem = cx.ReluTraining(
        X, y, beta=100.0, patterns=8, bias=True, penalty=penalty, formulation="majorant"
    )
    solution = cx.solve(problem, tol=1e-4)
    assert solution.status is cx.Status.OPTIMAL
    again = cx.solve(problem, start=solution, tol=1e-4)
    assert again.history[-1].iteration <= solution.history[-1].iteration
    assert abs(again.objective - solution.objective) <= 2e-4 * solution.objective


def test_a_majorant_of_one_long_example_goes_to_an_interior_point() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 3))
    y = np.maximum(X[:, 0], 0.0) + 0.2 * rng.standard_normal(40)
    long = np.vstack([1e4 * X[:1], X[1:]])
    chosen = {}
    for name, data in (("plain", X), ("long", long)):
        problem = cx.ReluTraining(data, y, beta=0.5, patterns=6, formulation="majorant")
        solution = cx.solve(problem)
        assert solution.status is cx.Status.OPTIMAL, solution.message
        chosen[name] = solution.backend
    assert chosen == {"plain": "admm", "long": "cvxpy:clarabel"}


@pytest.mark.parametrize("last", [1.0, 0.3, 1e-6, 0.0])
def test_principal_axes_are_orthonormal_and_span_the_rows(last: float) -> None:
    """Even rows by their products, others by a decomposition: the same but for signs."""
    rows = np.random.default_rng(0).standard_normal((5, 400))
    rows[-1] = last * rows[-1] + (1.0 - last) * rows[0]
    sizes, axes = principal_axes(rows)
    _, expected, other = np.linalg.svd(rows, full_matrices=False)
    np.testing.assert_allclose(sizes, expected, rtol=1e-12, atol=1e-12 * expected[0])
    np.testing.assert_allclose(axes @ axes.T, np.eye(5), atol=1e-14)
    kept = expected > 1e-9 * expected[0]
    np.testing.assert_allclose(np.abs(np.sum(axes * other, axis=1))[kept], 1.0, atol=1e-9)

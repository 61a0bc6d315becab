"""An engine starts from any point of the same data, whichever engine left it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.relu.forms import GroupForm, MajorantForm, Neurons, PooledForm
from convexnn.robust.forms import RobustDual
from convexnn.solvers.relu import lbfgs


def data(columns: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(2)
    X = rng.standard_normal((16, 2))
    if columns:
        return X, np.abs(X @ rng.standard_normal((2, columns)))
    return X, np.abs(X[:, 0]) - 0.5 * X[:, 1]


def images() -> tuple[Array, Array]:
    X = np.random.default_rng(3).standard_normal((6, 2, 2))
    return X, np.abs(X[:, 0, 0] - X[:, 1, 1])


PROBLEMS: dict[str, tuple[Any, type]] = {
    "cones": (lambda: cx.ReluTraining(*data(), beta=0.3), GroupForm),
    "leak": (lambda: cx.ReluTraining(*data(), beta=0.3, leak=0.2, skip=True), GroupForm),
    "outputs": (lambda: cx.ReluTraining(*data(2), beta=0.3), GroupForm),
    "majorant": (lambda: cx.ReluTraining(*data(), beta=0.3, formulation="majorant"), MajorantForm),
    "pooled": (lambda: cx.ConvReluTraining(*images(), beta=0.05, filter_size=2), PooledForm),
}
ENGINES = {GroupForm: ("admm", "ipm", "fista", "semismooth"), MajorantForm: ("admm",)}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_search_is_a_start_for_the_program_over_all_patterns(name: str) -> None:
    declare, kind = PROBLEMS[name]
    problem = declare()
    found = cx.solve(problem, "cell-walk", tol=1e-2)
    form: Any = problem.canonical(kind)
    assert found.primal.V.shape[1] + found.primal.W.shape[1] != form.blocks
    primal, dual = form.admit(found.primal, found.dual)
    assert primal.V.shape[1] + primal.W.shape[1] == form.blocks
    assert problem.objective(primal) <= found.objective * (1.0 + 1e-9)
    assert np.array_equal(dual.mu, found.dual.mu)
    for engine in ENGINES.get(kind, ("admm", "fista")):
        if engine not in cx.backends(problem).names:
            continue
        solution = cx.solve(problem, engine, start=found, tol=1e-4)
        assert solution.status is cx.Status.OPTIMAL, engine
        assert solution.objective - found.objective <= 1e-4 * max(1.0, solution.objective)


def test_neurons_of_other_patterns_are_no_start() -> None:
    X, y = data()
    found = cx.solve(cx.ReluTraining(X, y, beta=0.1), "cell-walk", tol=1e-2)
    for patterns in (3, [[True]] * len(X)):
        problem = cx.ReluTraining(X, y, beta=0.1, patterns=patterns)
        with pytest.raises(cx.ProblemError, match=r"start must have \d+ neurons, got \d+"):
            cx.solve(problem, "admm", start=found)


def test_an_example_on_the_edge_of_a_neuron_is_of_either_side() -> None:
    X = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    matrix = np.array([[False, True], [True, True], [True, False]])
    form = cx.ReluTraining(X, np.ones(3), beta=0.1, patterns=matrix).canonical(GroupForm)
    start = Neurons(np.array([[0.0], [2.0]]), np.zeros((2, 0)), np.zeros(2))
    primal, _ = form.admit(start, None)
    assert primal.V.sum(axis=1).tolist() == [0.0, 2.0]
    assert primal.V.any(axis=0).sum() == 1


def test_the_dual_point_of_another_kind_is_left_aside() -> None:
    X, y = data()
    kwargs: dict[str, Any] = {"beta": 0.1, "patterns": cx.sample_patterns(X, 5)}
    robust = cx.solve(cx.RobustReluTraining(X, y > 0, radius=0.0, loss="squared", **kwargs))
    assert isinstance(robust.dual, RobustDual)
    plain = cx.ReluTraining(X, np.where(y > 0, 1.0, -1.0), **kwargs)
    assert cx.solve(plain, "admm", start=robust).status is cx.Status.OPTIMAL


def test_the_size_of_a_random_network_is_that_of_all_examples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of many examples it is found without a row for each example and neuron."""
    rng = np.random.default_rng(0)
    X, weights = rng.standard_normal((50, 3)) * [1.0, 1e-3, 1e3], rng.standard_normal((3, 7))
    expected = np.mean(np.square(X @ weights), axis=0)
    monkeypatch.setattr(lbfgs, "LONG", 10)
    np.testing.assert_allclose(lbfgs._mean_squares(X, weights), expected, rtol=1e-12)

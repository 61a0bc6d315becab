"""Cross-validation along warm-started paths."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.workflows.select import split


def classes(n: int = 90, d: int = 6, seed: int = 0) -> tuple[Array, Any]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    return X, np.where(X[:, 0] + rng.standard_normal(n) > 0.6, "yes", "no")


def test_scores_are_those_of_cold_fits_on_the_same_folds() -> None:
    X, y = classes()
    problem = cx.WassersteinClassification(X, y, radius=0.0)
    found = cx.select(problem, radius=[0.3, 0.05], folds=3, tol=1e-7, seed=4)
    assert found.scores.shape == found.gaps.shape == (2, 3)
    assert np.all(found.gaps <= 1e-7)
    shuffled = np.random.default_rng(4).permutation(90)
    codes = (y == "yes").astype(int)
    shuffled = shuffled[np.argsort(codes[shuffled], kind="stable")]
    for f in range(3):
        test = np.sort(shuffled[f::3])
        train = np.setdiff1d(np.arange(90), test)
        for k, radius in enumerate((0.3, 0.05)):
            fold = cx.WassersteinClassification(X[train], y[train], radius=radius)
            model = cx.solve(fold, tol=1e-9).model
            margin = np.where(y[test] == "yes", 1, -1) * model.decision_function(X[test])
            assert found.scores[k, f] == pytest.approx(-np.mean(np.logaddexp(0, -margin)), abs=1e-3)


def test_best_is_the_highest_mean_and_is_fitted_on_everything() -> None:
    X, y = classes()
    problem = cx.WassersteinClassification(X, y, radius=0.0, loss="hinge")
    found = cx.select(problem, flip_cost=[np.inf, 2.0], radius=[1.0, 0.1, 0.01])
    means = found.scores.mean(axis=1)
    assert found.best == found.grid[int(np.argmax(means))]
    assert len(found.grid) == 6
    assert found.problem.radius == found.best["radius"]
    assert found.solution.status is cx.Status.OPTIMAL
    assert found.problem.X.shape == X.shape
    assert list(found.frame["score"]) == sorted(means, reverse=True)


def test_another_score_and_another_backend() -> None:
    X, y = classes()
    problem = cx.WassersteinClassification(X, y, radius=0.0)

    def accuracy(model: Any, X: Any, y: Any) -> float:
        return float(np.mean(model.predict(X) == y))

    native = cx.select(problem, radius=[0.2, 0.02], score=accuracy)
    other = cx.select(problem, radius=[0.2, 0.02], score=accuracy, backend="cvxpy:clarabel")
    assert np.array_equal(native.scores, other.scores)
    assert np.all((native.scores > 0.5) & (native.scores <= 1.0))


def test_regression_and_networks_can_be_selected_too() -> None:
    rng = np.random.default_rng(1)
    X = rng.standard_normal((60, 3))
    y = X[:, 0] + 0.3 * rng.standard_normal(60)
    linear = cx.WassersteinRegression(X, y, radius=0.0, target_cost=1.0)
    assert cx.select(linear, radius=[3.0, 0.05]).best == {"radius": 0.05}

    def fit(model: Any, X: Any, y: Any) -> float:
        return -float(np.mean((model.predict(X) - y) ** 2))

    network = cx.ReluTraining(X, y, beta=1.0, patterns=10)
    assert cx.select(network, beta=[100.0, 0.5], score=fit, folds=3, tol=1e-3).best == {"beta": 0.5}


@pytest.mark.parametrize(
    ("grid", "rule"),
    [
        ({}, "at least one parameter"),
        ({"radii": [0.1]}, "fields of the problem.*: radii"),
        ({"radius": []}, "radius must be a sequence of values"),
        ({"radius": 0.1}, "radius must be a sequence of values"),
        ({"radius": [0.1, -1.0]}, "radius must be finite and >= 0, got -1.0"),
        ({"radius": [0.1], "folds": 1}, "folds must be in"),
        ({"radius": [0.1], "folds": 60}, "the size of the smaller class, got 60"),
    ],
)
def test_bad_grids_are_refused(grid: Any, rule: str) -> None:
    X, y = classes()
    with pytest.raises(cx.ProblemError, match=rule):
        cx.select(cx.WassersteinClassification(X, y, radius=0.0), **grid)


def test_values_whose_score_is_no_number_are_not_the_best() -> None:
    X, y = classes()
    problem = cx.WassersteinClassification(X, y, radius=0.0)

    def steepness(model: Any, X: Array, y: Array) -> float:
        size = float(np.abs(model.coef).max())
        return np.nan if size < 0.01 else size

    found = cx.select(problem, radius=[10.0, 0.3, 0.1], score=steepness, folds=2)
    assert np.isnan(found.scores[0]).all()
    assert found.best == {"radius": 0.1}
    scored: list[tuple[Any, str]] = [
        (np.nan, "score must be a number in each fold"),
        ("good", "score must return a number, got 'good'"),
    ]
    for score, says in scored:
        with pytest.raises(cx.ProblemError, match=says):
            cx.select(problem, radius=[0.3], score=lambda *given, said=score: said, folds=2)


def test_a_problem_without_examples_is_refused() -> None:
    with pytest.raises(cx.ProblemError, match="examples X and y"):
        cx.select(cx.WorstCaseMargins(np.array([0.0, 1.0]), radius=0.1), radius=[0.1])


def test_certified_accuracy_chooses_at_the_problem_s_own_radius() -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(-1.0, 1.0, (40, 2))
    y = np.where(X[:, 0] > 0.0, "in", "out")
    problem = cx.RobustReluTraining(X, y, beta=0.1, radius=0.2, patterns=8, box=(-1.0, 1.0))
    found = cx.select(
        problem, folds=2, score="certified", tol=1e-2, radius=[0.0, 0.2], beta=[0.1, 100.0]
    )
    by_hand = np.zeros_like(found.scores)
    for f, (train, test) in enumerate(split(problem, 2, 0)):
        for k, values in enumerate(found.grid):
            given: Any = values
            part = replace(problem, X=X[train], y=y[train], **given)
            model = cx.solve(part, tol=1e-2).model
            judged = cx.robustness(model, X[test], y[test], radius=0.2, box=(-1.0, 1.0))
            by_hand[k, f] = judged.certified
    np.testing.assert_allclose(found.scores, by_hand, atol=0.051)
    assert found.best["beta"] == 0.1
    assert found.scores[3].mean() < found.scores.mean(axis=1).max()
    with pytest.raises(cx.ProblemError, match="is for RobustReluTraining, got Wasserstein"):
        cx.select(cx.WassersteinClassification(X, y, radius=0.1), score="certified", radius=[0.1])
    with pytest.raises(cx.ProblemError, match="the loss must be hinge or logistic"):
        cx.select(replace(problem, y=X[:, 0], loss="squared"), score="certified", radius=[0.1])

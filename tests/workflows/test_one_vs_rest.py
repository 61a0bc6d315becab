"""Classes against the rest: the sum is certified, and weights count as rows do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convexnn as cx

X = np.random.default_rng(0).standard_normal((24, 2))
WAYS = np.array([[1.0, 0.0], [-0.5, 0.9], [-0.5, -0.9]])
Y = np.array(["low", "mid", "up"])[np.argmax(X @ WAYS.T, axis=1)]
BALL: dict[str, Any] = {"radius": 0.05, "flip_cost": 1.0, "loss": "hinge"}


def test_the_sum_is_the_optimum_of_one_program() -> None:
    fit = cx.one_vs_rest(X, Y, **BALL)
    program = 0.0
    for k in fit.classes:
        problem = cx.WassersteinClassification(X, np.where(k == Y, 1, -1), **BALL)
        program += float(problem.to_cvxpy().problem.solve(solver="CLARABEL"))
    assert fit.gap <= 1e-6
    assert fit.bound <= program + 1e-6
    assert fit.objective == pytest.approx(program, abs=3e-6)
    assert fit.certificate.passes(1e-5)
    assert repr(fit).startswith("OneVsRest(3 classes, OPTIMAL, gap ")


def test_bounds_and_worst_cases_are_those_of_the_classes() -> None:
    fit = cx.one_vs_rest(X, Y, tol=1e-2, **BALL)
    assert fit.bound == pytest.approx(sum(s.bound for s in fit.solutions))
    for solution, coef in zip(fit.solutions, fit.model.coef, strict=True):
        worst = solution.model.worst_case
        assert np.array_equal(coef, solution.model.coef)
        assert worst.value == pytest.approx(solution.objective)
    assert fit.bound < fit.objective == pytest.approx(sum(s.objective for s in fit.solutions))


def test_a_weight_of_two_is_a_row_twice_and_a_class_of_weight_zero_is_none() -> None:
    weights = np.where(np.arange(24) % 3 == 0, 2.0, 1.0)
    rows = np.repeat(np.arange(24), weights.astype(int))
    counted, twice = (
        cx.one_vs_rest(X, Y, weights=weights, **BALL),
        cx.one_vs_rest(X[rows], Y[rows], **BALL),
    )
    assert counted.objective == pytest.approx(twice.objective, abs=3e-6)
    more, other = np.vstack([X, X[:1]]), np.append(Y, "none")
    left = cx.one_vs_rest(more, other, weights=np.append(weights, 0.0), **BALL)
    assert left.classes.tolist() == ["low", "mid", "up"]
    assert left.objective == pytest.approx(counted.objective, abs=3e-6)


def test_the_model_predicts_is_saved_and_is_that_of_the_estimator(tmp_path: Path) -> None:
    fit = cx.one_vs_rest(X, Y, **BALL)
    assert np.mean(fit.model.predict(X) == Y) > 0.8
    fit.model.save(tmp_path / "model.npz")
    again = cx.LinearClasses.load(tmp_path / "model.npz")
    assert np.array_equal(again.decision_function(X), fit.model.decision_function(X))
    assert again.classes.tolist() == fit.classes.tolist()
    pytest.importorskip("sklearn")
    estimator = cx.WassersteinClassifier(**BALL, standardize=False, tol=1e-6).fit(X, Y)
    total = sum(solution.objective for solution in estimator.solution_)
    assert total == pytest.approx(fit.objective, abs=3e-6)
    assert estimator.decision_function(X) == pytest.approx(fit.model.decision_function(X), abs=1e-2)


def test_other_numbers_of_classes_are_refused() -> None:
    with pytest.raises(cx.ProblemError, match="at least three classes, got 2"):
        cx.one_vs_rest(X, np.where(Y == "up", "up", "other"), radius=0.1)
    with pytest.raises(cx.ProblemError, match="at least three classes, got 2"):
        cx.one_vs_rest(X, Y, radius=0.1, weights=np.where(Y == "up", 0.0, 1.0))
    with pytest.raises(cx.ProblemError, match=r"got 3: low, mid, up; cx\.one_vs_rest"):
        cx.WassersteinClassification(X, Y, radius=0.1)
    with pytest.raises(cx.ProblemError, match="weights must"):
        cx.one_vs_rest(X, Y, radius=0.1, weights=np.ones(3))


def test_networks_stand_beside_one_another_and_their_largest_output_is_judged() -> None:
    given: dict[str, Any] = {"radius": 0.1, "beta": 0.05, "patterns": 12, "box": (-4.0, 4.0)}
    fit = cx.one_vs_rest(X, Y, model="network", bias=True, tol=1e-3, **given)
    network, points = fit.model, np.random.default_rng(1).standard_normal((30, 2))
    assert isinstance(network, cx.TwoLayerNetwork)
    assert fit.certificate.gap <= 1e-3
    each = np.column_stack([s.model.decision_function(points) for s in fit.solutions])
    np.testing.assert_allclose(network.decision_function(points), each, rtol=1e-12)
    judged = cx.robustness(network, X, Y, radius=0.1, exact=True)
    assert judged.certified <= (judged.exact or 1.0) <= judged.attacked <= judged.clean
    assert judged.certified > 0.5
    with pytest.raises(cx.ProblemError, match="beta must be given"):
        cx.one_vs_rest(X, Y, model="network", radius=0.1)
    with pytest.raises(cx.ProblemError, match="for two take RobustReluTraining"):
        cx.one_vs_rest(X, np.where(Y == "up", 1, 0), model="network", radius=0.1, beta=1.0)

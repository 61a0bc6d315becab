"""The names of columns: problems and models remember them, and take no others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import convexnn as cx

NAMES = ("age", "income", "old")
rng = np.random.default_rng(0)
FRAME = pd.DataFrame(rng.standard_normal((12, 3)), columns=list(NAMES))
Y = np.where(np.arange(12) % 3 == 0, "no", "yes")
OTHERS: dict[str, tuple[pd.DataFrame, str]] = {
    "order": (FRAME[["income", "age", "old"]], "in the order 'age', 'income', 'old', got 'income'"),
    "fewer": (FRAME[["age", "old"]], "it lacks 'income'"),
    "more": (FRAME.assign(height=1.0), "'height' is unknown"),
    "other": (
        FRAME.rename(columns={"old": "new", "age": "Age"}),
        "it lacks 'age', 'old'; 'Age', 'new' are unknown",
    ),
}
PROBLEMS: dict[str, Any] = {
    "relu": cx.ReluTraining(FRAME, Y, beta=1.0, loss="hinge", patterns=3, skip=True),
    "gated": cx.GatedReluTraining(FRAME, Y, beta=1.0, loss="hinge", patterns=3),
    "sampled": cx.SampledReluTraining(FRAME, Y, beta=1.0, loss="hinge", neurons=4),
    "threshold": cx.ThresholdTraining(FRAME, Y, beta=0.1, loss="hinge", patterns=4),
    "robust": cx.RobustReluTraining(FRAME, Y, beta=1.0, radius=0.1, patterns=3),
    "classes": cx.WassersteinClassification(FRAME, Y, radius=0.1),
    "numbers": cx.WassersteinRegression(FRAME, FRAME["age"], radius=0.1),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_problem_and_model_remember_the_columns(name: str) -> None:
    problem = PROBLEMS[name]
    assert problem.feature_names == NAMES
    model = problem.build_model(problem.initial()[0])
    assert model.feature_names == NAMES
    assert model.predict(FRAME).tolist() == model.predict(FRAME.to_numpy()).tolist()
    for other, message in OTHERS.values():
        for take in (model.predict, model.decision_function):
            with pytest.raises(cx.ProblemError, match=f"X must have the columns of .*{message}"):
                take(other)
    for other, message in OTHERS.values():
        with pytest.raises(cx.ProblemError, match=message):
            problem.holdout(model, other, problem.y)


@pytest.mark.parametrize("kind", OTHERS)
def test_what_judges_a_network_takes_its_columns_alone(kind: str) -> None:
    problem, (other, message) = PROBLEMS["relu"], OTHERS[kind]
    network = problem.build_model(problem.initial()[0])
    ball: dict[str, Any] = {"radius": 0.1, "norm": "linf"}
    assert len(cx.lipschitz(network, FRAME, **ball)) == 12
    for judged in (
        lambda: cx.robustness(network, other, Y, **ball),
        lambda: cx.attack(network, other, Y, **ball),
        lambda: cx.lipschitz(network, other, **ball),
        lambda: cx.robustness_curve(network, other, Y, radii=[0.1], norm="linf"),
    ):
        with pytest.raises(cx.ProblemError, match=message):
            judged()


def test_a_robust_problem_calls_columns_by_their_names() -> None:
    some: dict[str, Any] = {"beta": 1.0, "radius": 0.1, "patterns": 3}
    with pytest.raises(cx.ProblemError, match="leave out constant columns, column 'old' of X is"):
        cx.RobustReluTraining(FRAME.assign(old=1.0), Y, **some)
    with pytest.warns(UserWarning, match="column 'old' of X has two values only"):
        cx.RobustReluTraining(FRAME.assign(old=np.arange(12) % 2), Y, **some)


def test_names_may_be_given() -> None:
    problem = cx.ReluTraining(FRAME.to_numpy(), Y, beta=1.0, loss="hinge", feature_names=NAMES)
    assert problem.feature_names == NAMES
    assert replace(problem, beta=2.0).at(3.0).feature_names == NAMES
    wrongs: tuple[Any, ...] = (NAMES[:2], ["age", "income", 3], "age", [1, 2, 3])
    for wrong in wrongs:
        with pytest.raises(cx.ProblemError, match="feature_names must be"):
            replace(problem, feature_names=wrong)
    with pytest.raises(cx.ProblemError, match="feature_names must be those of X: in the order"):
        replace(problem, X=FRAME[["income", "age", "old"]])
    with pytest.raises(cx.ProblemError, match="must be None for images"):
        cx.ConvReluTraining(np.ones((12, 3, 3)), Y, beta=1.0, loss="hinge", feature_names=NAMES)


def test_columns_without_names_have_none() -> None:
    plain = pd.DataFrame(FRAME.to_numpy())
    assert cx.ReluTraining(plain, Y, beta=1.0, loss="hinge").feature_names is None
    with pytest.raises(cx.ProblemError, match="by texts or none, got 'age' and 0"):
        cx.ReluTraining(plain.rename(columns={1: "age"}), Y, beta=1.0, loss="hinge")


def test_the_one_input_of_a_narrow_network_has_a_name() -> None:
    y = FRAME["income"].abs()
    problem = cx.UnivariateReluTraining(FRAME[["income"]], y, beta=0.1)
    model = cx.solve(problem, tol=1e-2).model
    assert problem.feature_names == model.feature_names == ("income",)
    assert model.predict(FRAME[["income"]]).tolist() == model.predict(FRAME["income"]).tolist()
    with pytest.raises(cx.ProblemError, match="it lacks 'income'; 'age' is unknown"):
        model.predict(FRAME[["age"]])


def test_names_are_saved_with_the_solution(tmp_path: Path) -> None:
    solution = cx.solve(PROBLEMS["classes"], tol=1e-2)
    solution.save(tmp_path / "s.npz")
    loaded = cx.load(tmp_path / "s.npz")
    assert loaded.problem.feature_names == loaded.model.feature_names == NAMES
    with pytest.raises(cx.ProblemError, match="it lacks 'income'"):
        loaded.model.predict(FRAME[["age", "old"]])

"""Estimators keep the conventions of scikit-learn and the certificates of the problems."""

from __future__ import annotations

import pickle
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csc_array, csr_array
from sklearn.base import clone
from sklearn.datasets import load_iris, make_moons
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.parallel import Parallel, delayed

import convexnn as cx
from convexnn.estimators import base, cross_validated
from convexnn.estimators.wasserstein import RADII

FEW: dict[str, Any] = {"patterns": 8}
ALL = {
    "relu": cx.ReluClassifier(**FEW),
    "relu, searched": cx.ReluClassifier(alpha=0.01),
    "gated": cx.ReluClassifier(activation="gated", **FEW),
    "hinge": cx.ReluClassifier(loss="hinge", **FEW),
    "regressor": cx.ReluRegressor(**FEW),
    "cv": cx.ReluClassifierCV(3, cv=2, activation="gated", **FEW),
    "regressor, cv": cx.ReluRegressorCV(3, cv=2, activation="gated", **FEW),
    "robust": cx.RobustReluClassifier(**FEW),
    "wasserstein": cx.WassersteinClassifier(),
    "wasserstein regressor": cx.WassersteinRegressor(),
}
CLASSIFIERS = [name for name, one in ALL.items() if hasattr(one, "decision_function")]
LINEAR = ("wasserstein", "wasserstein regressor")


def moons(n: int = 60) -> tuple[Any, Any]:
    X, y = make_moons(n, noise=0.2, random_state=0)
    return X * [100.0, 0.01] + [5.0, -3.0], np.array(["left", "right"])[y]


def data(name: str) -> tuple[Any, Any]:
    X, y = moons()
    return X, y if name in CLASSIFIERS else np.abs(X[:, 0]) + X[:, 1]


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("relu, searched", "hinge")])
def test_every_check_of_scikit_learn_passes(name: str) -> None:
    results = check_estimator(clone(ALL[name]), on_skip=None)
    assert len(results) > 50
    assert {result["status"] for result in results} <= {"passed", "skipped"}


@pytest.mark.parametrize("name", ALL)
def test_the_model_takes_raw_columns_and_the_certificate_holds(name: str) -> None:
    X, y = data(name)
    fitted = clone(ALL[name]).fit(X, y)
    assert np.array_equal(fitted.model_.predict(X), fitted.predict(X))
    assert fitted.certificate_.gap <= fitted.tol
    solution = fitted.solution_
    assert solution.problem.certify(solution.primal, solution.dual) == fitted.certificate_
    assert fitted.score(X, y) > (0.7 if name in CLASSIFIERS else 0.2)


@pytest.mark.parametrize("name", ALL)
def test_integer_weights_are_repeated_rows_to_the_last_bit(name: str) -> None:
    if "cv" in name:
        pytest.skip("folds are of rows")
    X, y = data(name)
    counts = np.random.default_rng(0).integers(0, 4, len(y))
    one = clone(ALL[name]).fit(X, y, sample_weight=counts)
    order = np.random.default_rng(1).permutation(int(counts.sum()))
    other = clone(ALL[name]).fit(np.repeat(X, counts, axis=0)[order], np.repeat(y, counts)[order])
    assert np.array_equal(one.predict(X), other.predict(X))
    assert one.certificate_ == other.certificate_


@pytest.mark.parametrize("name", ALL)
def test_frames_are_known_by_their_columns(name: str) -> None:
    X, y = data(name)
    frame = pd.DataFrame(X, columns=["far", "near"])
    fitted = clone(ALL[name]).fit(frame, y)
    assert fitted.feature_names_in_.tolist() == ["far", "near"]
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(frame[["near", "far"]])
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.predict(frame), fitted.predict(frame))


@pytest.mark.parametrize("name", ["relu", "gated", "hinge", "cv", "wasserstein", "robust"])
def test_three_classes(name: str) -> None:
    X, codes = load_iris(return_X_y=True)
    y = np.array(["setosa", "versicolor", "virginica"])[codes]
    fitted = clone(ALL[name]).fit(X, y)
    assert fitted.score(X, y) > 0.85
    assert fitted.decision_function(X).shape == (150, 3)
    if hasattr(fitted, "predict_proba"):
        chances = fitted.predict_proba(X)
        assert np.allclose(chances.sum(axis=1), 1.0)
        assert np.array_equal(fitted.classes_[chances.argmax(axis=1)], fitted.predict(X))
    else:
        assert name in ("hinge", "robust")


@pytest.mark.parametrize("loss", ["hinge", "logistic"])
def test_three_classes_against_an_adversary(loss: str) -> None:
    X, codes = load_iris(return_X_y=True)
    X, y = X[::3, 2:], np.array(["setosa", "versicolor", "virginica"])[codes[::3]]
    fitted: Any = cx.RobustReluClassifier(radius=0.1, loss=loss, **FEW).fit(X, y)
    assert [one.gap <= 1e-3 for one in fitted.certificate_] == [True] * 3
    outputs = [one.model.decision_function(X) for one in fitted.solution_]
    assert np.allclose(fitted.decision_function(X), np.column_stack(outputs))
    judged = cx.robustness(fitted.model_, X, y, radius=0.1)
    assert 0.7 < judged.certified <= judged.attacked <= judged.clean == fitted.score(X, y)
    assert hasattr(fitted, "predict_proba") == (loss == "logistic")
    if loss == "logistic":
        assert np.allclose(fitted.predict_proba(X).sum(axis=1), 1.0)
    scaled = clone(fitted).set_params(standardize=True).fit(X, y)
    within = np.column_stack(
        [
            one.model.decision_function((X - X.mean(axis=0)) / X.std(axis=0))
            for one in scaled.solution_
        ]
    )
    assert np.allclose(scaled.decision_function(X), within)


def test_several_targets() -> None:
    X, _ = moons()
    Y = np.column_stack([np.abs(X[:, 0]), 1e3 + X[:, 1]])
    for one in (ALL["regressor"], ALL["regressor, cv"]):
        fitted = clone(one).fit(X, Y)
        assert fitted.predict(X).shape == Y.shape
        assert fitted.score(X, Y) > 0.2


def test_in_pipelines_grids_and_processes() -> None:
    X, y = moons()
    line = make_pipeline(StandardScaler(), clone(ALL["gated"]))
    grid = GridSearchCV(line, {"reluclassifier__alpha": [1e-3, 1e-1]}, cv=3).fit(X, y)
    assert grid.best_score_ > 0.75
    jobs = (delayed(clone(ALL["gated"]).fit)(X, y) for _ in range(2))
    one, other = Parallel(n_jobs=2)(jobs)
    assert np.array_equal(one.decision_function(X), other.decision_function(X))


def test_labels_of_held_out_rows_touch_nothing() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((90, 5)), rng.integers(0, 2, 90)
    chooser = cx.ReluClassifierCV(3, cv=2)
    found = chooser.fit(X, y)
    assert np.all(np.abs(found.scores_.mean(axis=1) - 0.5) < 0.2)
    nested = cross_val_predict(clone(chooser), X, y, cv=2)
    assert abs(np.mean(nested == y) - 0.5) < 0.2


def test_cross_validation_beats_the_ends_of_its_grid() -> None:
    X, y = moons(100)
    found = cx.ReluClassifierCV(8, cv=3, activation="gated", patterns=30).fit(X, y)
    assert found.alpha_ in found.alphas_
    assert found.alpha_ == pytest.approx(found.alphas_[len(found.path_) - 1])
    means = found.scores_.mean(axis=1)
    assert means[len(found.path_) - 1] == means.max() > means[0]


def test_time_that_runs_out_returns_what_there_is_and_says_so() -> None:
    X, y = moons(300)
    with pytest.warns(UserWarning, match="time_limit ended cross-validation"):
        found = cx.ReluClassifierCV(30, cv=5, time_limit=0.01).fit(X, y)
    assert found.predict(X).shape == (300,)


def test_an_alpha_whose_score_is_no_number_is_named_and_not_chosen() -> None:
    X, y = moons()
    least = cx.ReluClassifierCV(3, cv=2, activation="gated", **FEW)

    def spread(fitted: Any, X: Any, y: Any) -> float:
        value = float(np.ptp(fitted.decision_function(X)))
        return value if value > 1.0 else np.nan

    with pytest.warns(UserWarning, match="scoring gives no number for [12] of 3 alphas") as told:
        found = clone(least).set_params(scoring=spread).fit(X, y)
    assert not any("time_limit" in str(one.message) for one in told)
    assert found.alpha_ < found.alphas_[0]
    with pytest.raises(ValueError, match="scoring must give a number in each fold"):
        clone(least).set_params(scoring=lambda *given: np.nan).fit(X, y)


def test_folds_and_the_path_on_all_rows_have_equal_shares_of_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known, limits = vars(cross_validated)["path"], []

    def watched(*words: Any, **options: Any) -> Any:
        limits.append(options["time_limit"])
        return known(*words, **options)

    monkeypatch.setattr(cross_validated, "path", watched)
    X, y = moons()
    cx.ReluClassifierCV(3, cv=3, activation="gated", time_limit=4e4, **FEW).fit(X, y)
    assert limits[:3] == pytest.approx([1e4, 4e4 / 3, 2e4], rel=0.01)
    assert limits[3] == pytest.approx(4e4, rel=0.01)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("wrong", [-1.0, np.nan, "zero"])
def test_wrong_weights_are_refused(name: str, wrong: Any) -> None:
    X, y = data(name)
    weights = np.zeros(len(y)) if wrong == "zero" else np.full(len(y), wrong)
    with pytest.raises(ValueError, match=r"sample_weight|weight"):
        clone(ALL[name]).fit(X, y, sample_weight=weights)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_one_class_is_refused(name: str) -> None:
    X, y = data(name)
    with pytest.raises(ValueError, match="class"):
        clone(ALL[name]).fit(X, np.full(len(y), "same"))


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (cx.ReluClassifier(alpha=0.0), "alpha"),
        (cx.ReluClassifier(alpha=-1.0), "alpha"),
        (cx.ReluClassifier(loss="squared"), "loss"),
        (cx.ReluClassifier(activation="tanh"), "activation"),
        (cx.ReluClassifierCV([1.0, 0.0]), "alphas"),
        (cx.ReluClassifierCV(0), "alphas"),
        (cx.ReluClassifierCV(cast(Any, True)), "alphas"),
        (cx.ReluClassifierCV([0.1, 0.01, 0.1]), "alphas must differ, got 0.1 twice"),
        (cx.ReluClassifier(random_state=-1), "random_state"),
        (cx.WassersteinClassifier("best"), "radius"),
        (cx.WassersteinClassifier(-1.0), "radius"),
        (cx.RobustReluClassifier(radius=-1.0), "radius"),
    ],
)
def test_wrong_parameters_are_named(one: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        one.fit(*moons())


@pytest.mark.parametrize("name", ["gated", "regressor", "cv", "robust", *LINEAR])
def test_every_parameter_is_checked_by_fit(name: str) -> None:
    X, y = data(name)
    for parameter in ALL[name].get_params(deep=False):
        if parameter == "class_weight" and "cv" in name:
            continue
        with pytest.raises(ValueError, match=r"\S"):
            clone(ALL[name]).set_params(**{parameter: "no such"}).fit(X, y)


@pytest.mark.parametrize("name", ["gated", "regressor", "cv", "robust", *LINEAR])
def test_sparse_rows_are_made_dense_up_to_a_limit(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = data(name)
    plain, found = clone(ALL[name]).fit(X, y), clone(ALL[name]).fit(csr_array(X), y)
    assert np.array_equal(found.predict(csc_array(X)), plain.predict(X))
    monkeypatch.setattr(base, "DENSE", X.size - 1)
    many = csr_array(X)
    with pytest.raises(ValueError, match="60 x 2 numbers are more than the 119"):
        clone(ALL[name]).fit(many, y)
    with pytest.raises(ValueError, match="60 x 2 numbers are more than the 119"):
        plain.predict(many)


def test_an_adversary_is_trained_against_beside_constant_columns() -> None:
    X, y = moons()
    beside = np.column_stack([X, np.full(len(y), 5.0)])
    for standardize in (False, True):
        one = cx.RobustReluClassifier(standardize=standardize, **FEW).fit(beside, y)
        same = cx.RobustReluClassifier(standardize=standardize, **FEW).fit(beside - [0, 0, 5], y)
        np.testing.assert_allclose(
            one.decision_function(beside), same.decision_function(beside - [0, 0, 5]), rtol=1e-6
        )
    assert (
        cx.RobustReluClassifier(radius=0.0, fit_intercept=False, **FEW).fit(beside, y).classes_.size
    )
    with pytest.raises(ValueError, match="column 2 of X is constant"):
        cx.RobustReluClassifier(fit_intercept=False, **FEW).fit(beside, y)
    with pytest.raises(ValueError, match="no column of X varies"):
        cx.RobustReluClassifier(**FEW).fit(np.full((4, 2), 3.0), [0, 1, 0, 1])


def test_a_radius_by_cross_validation() -> None:
    X, y = moons()
    found = cx.WassersteinClassifier("cv").fit(X, y)
    assert 1e-4 <= found.radius_ <= 1.0
    with pytest.raises(ValueError, match="two rows of each class"):
        cx.WassersteinClassifier("cv").fit(X[:2], ["a", "b"])


def test_a_network_leads_the_game() -> None:
    X, y = moons()
    game = cx.stackelberg(clone(ALL["gated"]), X, y, radius=0.1, rounds=3)
    assert np.isfinite(game.value)
    assert game.leader.predict(X).shape == y.shape


@pytest.mark.parametrize(
    "column",
    [["u", "v"] * 10, pd.Categorical(["u", "v"] * 10), pd.Timestamp("2020-01-01"), [[1]] * 20],
    ids=["text", "category", "date", "list"],
)
def test_a_column_that_holds_no_numbers_is_named(column: Any) -> None:
    X = pd.DataFrame(np.random.default_rng(0).standard_normal((20, 2)), columns=["a", "b"])
    y = X["a"] > 0.0
    with pytest.raises(ValueError, match="column 'kind' of X holds what is no number"):
        cx.ReluClassifier(activation="gated").fit(X.assign(kind=column), y)
    digits = X.assign(kind="3")
    assert cx.ReluClassifier(activation="gated").fit(digits, y).n_features_in_ == 3


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (
            lambda X, y: cx.ReluClassifier(cast(Any, "x")).fit(X, y),
            "alpha must be finite and > 0, got 'x'",
        ),
        (lambda X, y: cx.ReluClassifier(0).fit(X, y), "alpha must be finite and > 0, got 0"),
        (lambda X, y: cx.ReluClassifierCV("many").fit(X, y), "alphas must be a number of them"),
        (lambda X, y: cx.ReluClassifier().fit(X, y * 0.0), "got one class: 0.0"),
        (lambda X, y: cx.WassersteinRegressor("cv").fit(X[:3], y[:3]), "needs four rows, got 3"),
        (lambda X, y: cx.WassersteinClassifier("cv").fit(X[4:7], y[4:7]), "two rows of each class"),
    ],
)
def test_what_breaks_a_rule_is_said_in_words(make: Any, rule: str) -> None:
    X = np.arange(10.0)[:, None]
    with pytest.raises(ValueError, match=rule):
        make(X, (X[:, 0] > 5.0) * 1.0)


def test_the_radius_of_few_numbers_is_chosen_by_folds_of_two_rows() -> None:
    X = np.arange(7.0)[:, None]
    assert cx.WassersteinRegressor("cv").fit(X, 2.0 * X[:, 0]).radius_ in RADII


def test_a_pipeline_leads_with_the_weights_of_its_last_step() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 2)) * [1.0, 50.0]
    y = np.where(X[:, 0] + 0.3 * rng.standard_normal(30) > 0.0, 1, -1)
    leader = make_pipeline(StandardScaler(), cx.ReluClassifier(0.01, activation="gated"))
    game = cx.stackelberg(leader, X, y, radius=0.2, rounds=2)
    alone = cx.stackelberg(leader[-1], StandardScaler().fit_transform(X), y, radius=0.2, rounds=2)
    assert game.value == pytest.approx(alone.value, rel=1e-6)
    with pytest.raises(cx.ProblemError, match="must take sample_weight in fit, Pipeline does not"):
        cx.stackelberg(make_pipeline(StandardScaler(), PCA()), X, y, radius=0.2)


@pytest.mark.parametrize("activation", ["relu", "gated"])
def test_a_risk_lowers_the_worst_losses(activation: str) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    y = np.abs(X[:, 0]) + rng.standard_t(2.0, 60)
    plain, tail = (
        cx.ReluRegressor(1e-2, activation=activation, patterns=10, risk=risk).fit(X, y)
        for risk in ("mean", cx.Cvar(0.2))
    )
    worst = [float(np.sort(np.square(one.predict(X) - y))[-12:].mean()) for one in (plain, tail)]
    assert tail.solution_.gap <= 1e-3
    assert worst[1] < worst[0]
    chosen = cx.ReluRegressorCV(
        [1.0, 0.1], activation=activation, patterns=10, cv=2, risk=cx.Cvar(0.2)
    ).fit(X, y)
    assert chosen.solution_.problem.risk == cx.Cvar(0.2)
    with pytest.raises(ValueError, match="risk must not be a WorstGroup here"):
        cx.ReluRegressor(risk=cx.WorstGroup(np.arange(60) % 2)).fit(X, y)

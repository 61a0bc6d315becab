"""The Stackelberg game: the follower's answers, the leader's fits, what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog, minimize
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.wasserstein.worst_case import WorstCase

RADIUS = 0.3


def data(seed: int = 0, n: int = 80) -> tuple[Array, Any]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 3))
    return X, X[:, 0] + rng.standard_normal(n) > 0.0


def logistic(margins: Array) -> Array:
    return np.logaddexp(0.0, -margins)


def worst_by_transport(margins: Array, radius: float, window: tuple[float, float]) -> float:
    """The follower's value by a linear program over plans between the margins and the ends."""
    n = len(margins)
    places = np.column_stack([margins, np.full(n, window[0]), np.full(n, window[1])])
    cost = np.abs(places - margins[:, None])
    found = linprog(
        -logistic(places).ravel() / n,
        A_ub=cost.reshape(1, -1) / n,
        b_ub=[radius],
        A_eq=np.kron(np.eye(n), np.ones((1, 3))),
        b_eq=np.ones(n),
    )
    assert found.fun is not None
    return -float(found.fun)


class Newton:
    """A logistic regression in NumPy, fitted by weights."""

    def __init__(self, X: Array, y: Any) -> None:
        self.Z = np.where(y, 1.0, -1.0)[:, None] * np.column_stack([X, np.ones(len(X))])
        self.coef = np.zeros(self.Z.shape[1])
        self.calls = 0

    def __call__(self, weights: Array) -> Array:
        self.calls += 1
        w = np.zeros(self.Z.shape[1])
        for _ in range(30):
            p = 1.0 / (1.0 + np.exp(self.Z @ w))
            slope = self.Z.T @ (weights * p) - 1e-3 * w
            curvature = (self.Z.T * (weights * p * (1.0 - p))) @ self.Z + 1e-3 * np.eye(len(w))
            w = w + np.linalg.solve(curvature, slope)
        self.coef = w
        return np.asarray(self.Z @ w)


LEADERS = [
    LogisticRegression(),
    GradientBoostingClassifier(n_estimators=20, random_state=0),
    DecisionTreeClassifier(max_depth=3, random_state=0),
]


def margins_of(leader: Any, X: Array, y: Any) -> Array:
    if hasattr(leader, "decision_function"):
        found = leader.decision_function(X)
    else:
        p = np.clip(leader.predict_proba(X)[:, 1], 1e-3, 1.0 - 1e-3)
        found = np.log(p / (1.0 - p))
    return np.asarray(np.where(y, 1.0, -1.0) * found)


@pytest.mark.parametrize("radius", [0.1, RADIUS, 1.0])
@pytest.mark.parametrize("leader", LEADERS, ids=lambda leader: type(leader).__name__)
def test_leader_is_no_worse_than_the_plain_one_and_judged_rightly(
    leader: Any, radius: float
) -> None:
    X, y = data()
    game = cx.stackelberg(leader, X, y, radius=radius)
    assert not hasattr(leader, "classes_")
    margins = margins_of(game.leader, X, y)
    np.testing.assert_allclose(margins, game.margins)
    value = worst_by_transport(margins, radius, game.window)
    assert game.value == pytest.approx(value, rel=1e-6)
    plain = margins_of(type(leader)(**leader.get_params()).fit(X, y), X, y)
    assert game.value <= worst_by_transport(plain, radius, game.window) + 1e-9
    assert game.value == min(r.value for r in game.history) == game.history[game.best].value
    assert game.worst_case.value == game.value
    assert game.worst_case.atoms.transport() <= radius * (1.0 + 1e-9)
    assert (game.weights >= 0.0).all()
    for r in game.history:
        assert r.empirical < r.value
    assert game.history[game.best].empirical == pytest.approx(logistic(margins).mean())


@pytest.mark.parametrize("leader", LEADERS, ids=lambda leader: type(leader).__name__)
def test_radius_zero_is_the_plain_fit(leader: Any) -> None:
    X, y = data()
    game = cx.stackelberg(leader, X, y, radius=0.0, rounds=1)
    plain = type(leader)(**leader.get_params()).fit(X, y)
    np.testing.assert_array_equal(game.margins, margins_of(plain, X, y))
    assert game.converged
    assert len(game.history) == 1
    assert (game.weights == 1.0).all()
    assert game.value == pytest.approx(logistic(game.margins).mean())


def test_the_weights_lead_to_the_optimum_of_the_game() -> None:
    X, y = data(n=60)
    leader, window = Newton(X, y), (-8.0, 8.0)
    game = cx.stackelberg(leader, X, radius=1.0, window=window, rounds=60, tol=1e-8)

    def value(w: Array) -> tuple[float, Array]:
        problem = cx.WorstCaseMargins(np.clip(leader.Z @ w, -8, 8), radius=1.0, window=window)
        worst: WorstCase = cx.solve(problem).model
        gradient: Array = leader.Z.T @ worst.gradient
        return float(worst.value), gradient

    found = minimize(value, leader.coef, jac=True, method="BFGS", options={"gtol": 1e-7})
    assert game.history[0].value > found.fun + 1e-3
    assert game.value == pytest.approx(found.fun, rel=2e-4)
    assert game.window == window


def test_callable_is_left_in_the_state_of_the_best_round() -> None:
    X, y = data()
    leader = Newton(X, y)
    game = cx.stackelberg(leader, X, radius=RADIUS)
    assert game.leader is leader
    np.testing.assert_allclose(leader.Z @ leader.coef, game.margins)
    assert leader.calls == len(game.history) + (game.best < len(game.history) - 1)
    same = cx.stackelberg(Newton(X, y), X, radius=RADIUS)
    assert same.history == game.history


def test_history_tells_each_round_and_damping_is_said() -> None:
    X, y = data(3)
    leader = GradientBoostingClassifier(n_estimators=20, random_state=0)
    game = cx.stackelberg(leader, X, y, radius=1.0, rounds=6, tol=1e-9)
    first, *later = game.history
    assert len(game.history) == 6
    assert not game.converged
    assert first.change == np.inf
    assert first.step == 0.0
    best = first.value
    for last, r in zip(game.history, later, strict=False):
        assert r.change == pytest.approx(abs(r.value - best) / max(1.0, best), rel=0.1)
        assert last.step in (0.0, r.step / 2.0, r.step, 2.0 * r.step)
        best = min(best, r.value)
    assert any(0.0 < r.step < 1.0 for r in later)
    assert "went only part of the way" in game.message


def test_every_round_is_judged_on_the_window_of_the_whole_game() -> None:
    rising = iter([1.0, 2.0, 4.0, 1.0])

    def leader(weights: Array) -> Array:
        return next(rising) * np.array([-1.0, 0.5, 1.0])

    game = cx.stackelberg(leader, np.zeros(3), radius=0.5, rounds=3)
    assert game.window == (-4.5, 4.5)
    for r, scale in zip(game.history, (1.0, 2.0, 4.0), strict=True):
        margins = scale * np.array([-1.0, 0.5, 1.0])
        assert r.value == pytest.approx(worst_by_transport(margins, 0.5, game.window))


def test_round_that_leaves_the_given_window_is_taken_back() -> None:
    def leader(weights: Array) -> Array:
        return np.array([-1.0, 0.5, 1.0]) + 1e3 * float(np.max(weights - 1.0))

    game = cx.stackelberg(leader, np.zeros(3), radius=0.5, window=(-2.0, 2.0), rounds=3)
    assert game.best == 0
    assert game.history[1].value == np.inf
    assert np.isnan(game.history[1].multiplier)
    with pytest.raises(cx.ProblemError, match="window must hold every margin"):
        cx.stackelberg(leader, np.zeros(3), radius=0.5, window=(0.0, 2.0))


def test_hinge_weights_that_no_fit_can_use_are_replaced_and_said() -> None:
    def leader(weights: Array) -> Array:
        assert np.isfinite(weights).all()
        return np.array([-1.0, 0.5, 3.0])

    game = cx.stackelberg(leader, np.zeros(3), radius=4.0, loss="hinge", window=(-3.5, 3.5))
    assert game.history[0].unusable == 1
    assert "1 of the 3 weights that answer the best round were negative or infinite" in game.message


def test_leader_that_forgets_is_found_out() -> None:
    rng = np.random.default_rng(0)
    game = cx.stackelberg(lambda w: rng.standard_normal(5), np.zeros(5), radius=0.1, rounds=8)
    assert game.best < len(game.history) - 1
    assert "returned other margins" in game.message


def test_labels_may_be_text() -> None:
    X, y = data()
    text = np.where(y, "yes", "no")
    game = cx.stackelberg(LogisticRegression(), X, text, radius=RADIUS)
    other = cx.stackelberg(LogisticRegression(), X, y, radius=RADIUS)
    assert game.value == pytest.approx(other.value)
    assert set(game.leader.predict(X)) == {"no", "yes"}


def refused(match: str) -> Any:
    return pytest.raises(cx.ProblemError, match=match)


@pytest.mark.parametrize(
    ("leader", "says"),
    [
        (KNeighborsClassifier(), "KNeighborsClassifier does not: pass a callable"),
        (make_pipeline(StandardScaler(), KNeighborsClassifier()), "Pipeline does not"),
        ("tree", "leader must be an estimator with fit, or a callable"),
    ],
)
def test_leaders_that_cannot_play(leader: Any, says: str) -> None:
    with refused(says):
        cx.stackelberg(leader, *data(), radius=0.1)


def test_leader_without_a_decision() -> None:
    class Mute:
        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> None:
            pass

    with refused("leader must have decision_function or predict_proba, Mute has neither"):
        cx.stackelberg(Mute(), *data(), radius=0.1)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"radius": -1.0}, "radius must be finite and >= 0"),
        ({"rounds": 0}, "rounds must be an integer >= 1"),
        ({"tol": 0.0}, "tol must be a number > 0"),
        ({"loss": "cubic"}, "loss must be one of"),
        ({"window": (1.0, 1.0)}, "window must be"),
        ({"y": None}, "y must be given for an estimator"),
        ({"y": [0, 1]}, r"y must have one entry per row of X \(80\), got 2"),
        ({"y": np.arange(80)}, "y must have exactly two classes"),
        ({"X": 3.0}, "X must have one row per sample"),
    ],
)
def test_bad_input_is_named(changes: dict[str, Any], says: str) -> None:
    X, y = data()
    fields: dict[str, Any] = {"X": X, "y": y, "radius": 0.1} | changes
    with refused(says):
        cx.stackelberg(LinearSVC(), fields.pop("X"), fields.pop("y"), **fields)


@pytest.mark.parametrize(
    ("margins", "says"),
    [
        (np.ones(3), r"margins must be one per sample \(4\), got 3"),
        (np.array([1.0, np.nan, 0.0, 0.0]), "margins must be finite, got nan"),
        (np.ones((4, 1)), "margins must have 1 axes"),
    ],
)
def test_margins_that_are_none(margins: Any, says: str) -> None:
    with refused(says):
        cx.stackelberg(lambda weights: margins, np.zeros(4), radius=0.1)

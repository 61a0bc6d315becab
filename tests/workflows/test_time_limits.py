"""What runs many solves keeps its time: it returns what is there, and says so."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from clocks import Ticking

import convexnn as cx
from convexnn.contract.clock import Clock, timed_by

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 3))
Y = np.where(X[:, 0] + 0.5 * RNG.standard_normal(60) > 0.0, 1, -1)
LATE = 16  # looks after the time is over


def ticking(call: Any, **more: Any) -> tuple[Any, int]:
    """Call on a time that goes on by a second a look; return what came, and the looks."""
    now = Ticking()
    with timed_by(Clock(None, now)):
        before = now.looks
        found = call(**more)
    return found, now.looks - before


def network() -> cx.TwoLayerNetwork:
    return cx.TwoLayerNetwork(
        RNG.standard_normal((3, 8)), RNG.standard_normal((8, 1)), np.zeros(8), classes=[-1, 1]
    )


@pytest.mark.parametrize("seconds", [1, 4, 12])
def test_an_audit_is_of_the_patterns_there_was_time_for(seconds: int) -> None:
    problem = cx.ReluTraining(X, np.abs(X[:, 0]), beta=0.1, patterns=20)
    solution = cx.solve(problem, tol=1e-6)
    whole = cx.audit(solution, count=2_000)
    assert whole.message == ""
    found, looks = ticking(cx.audit, solution=solution, count=2_000, time_limit=float(seconds))
    assert looks <= seconds + LATE
    assert found.count < whole.count
    assert found.message == f"The time ran out after {found.count:,} of 2,000 patterns."
    assert found.violating <= whole.violating
    assert found.count == 0 or found.fraction < found.upper <= 1.0
    first = cx.audit(solution, count=2_000, time_limit=60.0)
    assert (first.violating, first.upper) == (whole.violating, whole.upper)
    assert first.worst == pytest.approx(whole.worst, rel=1e-9)


def test_an_audit_without_time_has_seen_nothing() -> None:
    solution = cx.solve(cx.ReluTraining(X, X[:, 0], beta=0.1, patterns=20))
    found = cx.audit(solution, time_limit=1e-9)
    assert (found.count, found.violating, found.upper, found.patterns) == (0, 0, 1.0, None)
    assert np.isnan(found.fraction)


@pytest.mark.parametrize("seconds", [1, 3])
def test_an_attack_returns_the_worst_points_so_far(
    seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convexnn.robust.attacks.WORK", 1e4)
    net = network()
    asked: dict[str, Any] = {"network": net, "X": X, "y": Y, "radius": 0.2}
    whole = cx.attack(**asked)
    assert whole.message == ""
    found, looks = ticking(cx.attack, **asked, time_limit=float(seconds))
    assert looks <= seconds + LATE
    assert "The time ran out after" in found.message
    assert (found.margins >= whole.margins).all()
    first = cx.attack(**asked, method="fgsm").margins
    assert (found.margins <= first).all()


def test_the_size_of_a_piece_changes_no_attack(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    whole = cx.attack(net, X, Y, radius=0.2)
    monkeypatch.setattr("convexnn.robust.attacks.WORK", 1.0)
    assert (cx.attack(net, X, Y, radius=0.2).points == whole.points).all()


def weighted(w: Any) -> Any:
    """Fit by least squares and return margins."""
    root = np.sqrt(w)[:, None]
    return Y * (X @ np.linalg.lstsq(root * X, root[:, 0] * Y, rcond=None)[0])


@pytest.mark.parametrize("seconds", [1, 6])
def test_a_game_is_of_the_rounds_there_was_time_for(seconds: int) -> None:
    asked: dict[str, Any] = {"leader": weighted, "X": X, "radius": 0.3, "tol": 1e-12}
    whole = cx.stackelberg(**asked)
    found, _ = ticking(cx.stackelberg, **asked, time_limit=float(seconds))
    n = len(found.history)
    assert 1 <= n < len(whole.history)
    assert f"The time ran out after {n} of 20 rounds." in found.message
    assert not found.converged
    assert found.value >= whole.value


def test_an_aggregate_out_of_time_is_no_mean() -> None:
    updates = np.concatenate([RNG.standard_normal((30, 4)), np.full((9, 4), 1e6)])
    best = cx.aggregate(updates)
    with pytest.warns(UserWarning, match=r"the time ran out before .* within .* of the least"):
        found = cx.aggregate(updates, time_limit=1e-9)
    assert np.linalg.norm(found - best) < 2.0 < np.linalg.norm(updates.mean(axis=0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (cx.aggregate(updates, time_limit=60.0) == best).all()
    with pytest.raises(cx.ProblemError, match="time_limit is of use to geometric-median only"):
        cx.aggregate(updates, method="mean", time_limit=1.0)


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.nan, "1", True])
def test_a_limit_is_a_number_of_seconds(wrong: Any) -> None:
    solution = cx.solve(cx.ReluTraining(X, X[:, 0], beta=0.1, patterns=5))
    calls: list[Any] = [
        lambda: cx.audit(solution, time_limit=wrong),
        lambda: cx.attack(network(), X, Y, radius=0.1, time_limit=wrong),
        lambda: cx.stackelberg(weighted, X, radius=0.3, time_limit=wrong),
        lambda: cx.aggregate(X, time_limit=wrong),
    ]
    for call in calls:
        with pytest.raises(cx.ProblemError, match=r"^time_limit must be a number > 0"):
            call()

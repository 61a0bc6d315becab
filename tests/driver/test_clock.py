"""A time limit is kept: it begins with the call, and without time the trivial point is graded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clocks import Ticking, ticked

import convexnn as cx
from convexnn.contract.clock import Clock, OutOfTime, seconds_left, timed_by
from convexnn.problems.relu.training import affordable
from convexnn.relu.patterns import cell_count

SAVED = sorted((Path(__file__).parent / "saved").glob("*.npz"))
X = np.random.default_rng(0).standard_normal((20, 3))
Y = X[:, 0]
IMAGES = np.random.default_rng(0).standard_normal((6, 4, 4))
KEPT: dict[str, Any] = {"beta": 0.1}
DEFERRED: dict[str, Any] = {
    "relu": cx.ReluTraining(X, Y, **KEPT, patterns=30),
    "relu-all": cx.ReluTraining(X, Y, **KEPT),
    "relu-skip": cx.ReluTraining(X, Y, **KEPT, patterns=30, skip=True, formulation="majorant"),
    "relu-outputs": cx.ReluTraining(X, np.stack([Y, -Y], axis=1), **KEPT, patterns=30),
    "gated": cx.GatedReluTraining(X, Y, **KEPT, patterns=9),
    "threshold": cx.ThresholdTraining(X, Y, **KEPT),
    "robust": cx.RobustReluTraining(X, Y > 0.0, **KEPT, radius=0.1, patterns=30),
    "conv": cx.ConvReluTraining(IMAGES, IMAGES[:, 0, 0], **KEPT, filter_size=2, patterns=20),
    "conv-gated": cx.ConvGatedReluTraining(IMAGES, IMAGES[:, 0, 0], **KEPT, filter_size=2),
}


def answers() -> Iterator[tuple[str, Any, str]]:
    """Yield every problem with every engine that runs here in this process."""
    seen = set()
    for path in SAVED:
        if path.stem == "network":
            continue
        problem = cx.load(path).problem
        for name in cx.backends(problem).names:
            key = type(problem).__name__, name
            if key not in seen and not name.startswith("mpi:"):
                seen.add(key)
                yield f"{key[0]}-{name}", problem, name


CASES = list(answers())
LATE = 16  # looks: the last point's report, what it is graded with, and the end
PRODUCT = [pytest.param(*case[1:], id=case[0]) for case in CASES]


@pytest.mark.parametrize(("problem", "name"), PRODUCT)
def test_without_time_there_is_the_trivial_point(problem: Any, name: str) -> None:
    solution = cx.solve(problem, name, time_limit=1e-9, tol=1e-15)
    assert solution.status.name in ("TIME_LIMIT", "OPTIMAL")
    assert np.isfinite(solution.objective)
    assert np.isfinite(solution.bound)
    assert len(solution.history) <= 1


@pytest.mark.parametrize("seconds", [2, 12])
@pytest.mark.parametrize(("problem", "name"), PRODUCT)
def test_a_run_ends_within_a_few_looks_after_its_time(
    problem: Any, name: str, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convexnn.solvers.cvxpy.GRACE", 0.0)
    solution, late = ticked(problem, name, seconds)
    assert late <= LATE
    assert np.isfinite(solution.objective)
    assert np.isfinite(solution.bound)


@pytest.mark.parametrize("problem", DEFERRED.values(), ids=DEFERRED)
def test_an_answer_without_time_is_an_answer(problem: Any, tmp_path: Path) -> None:
    solution = cx.solve(problem, time_limit=1e-9)
    assert solution.status is cx.Status.TIME_LIMIT
    assert 0.0 == solution.bound < solution.objective
    assert "before the problem was written" in solution.message
    assert not np.any(solution.model.decision_function(problem.X))
    solution.save(tmp_path / "s.npz")
    assert cx.load(tmp_path / "s.npz").certificate == solution.certificate
    assert cx.solve(problem, tol=1e-2, start=solution).status is cx.Status.OPTIMAL


def test_the_limit_begins_with_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    problem, seen = DEFERRED["relu"], []
    forms = type(problem).canonical

    def canonical(self: Any, form: type) -> Any:
        seen.append(seconds_left())
        return forms(self, form)

    monkeypatch.setattr(type(problem), "canonical", canonical)
    cx.solve(problem, time_limit=100.0)
    cx.solve(problem)
    assert 0.0 < seen[0] < 100.0
    assert seen[-1] == np.inf


def test_a_run_inside_another_has_no_more_time() -> None:
    with timed_by(Clock(0.0)):
        inner = cx.solve(DEFERRED["relu"], time_limit=100.0)
    assert inner.status is cx.Status.TIME_LIMIT


def test_patterns_are_drawn_no_longer_than_there_is_time() -> None:
    now = Ticking()
    with timed_by(Clock(20.0, now)), pytest.raises(OutOfTime):
        cx.sample_patterns(X, 10**6)
    assert now.looks <= 25


def test_patterns_are_drawn_until_there_are_no_more() -> None:
    for count in (5_000, 10**9):
        assert 300 < len(cx.sample_patterns(X, count)) <= cell_count(*X.shape)
    line = cx.sample_patterns(X[:, :1], 10**9)
    assert len(line) == 2


def test_more_patterns_than_there_is_memory_for_are_refused() -> None:
    many = np.random.default_rng(0).standard_normal((1_000, 20))
    with pytest.raises(cx.ProblemError, match="10,000,000 patterns"):
        cx.sample_patterns(many, 10**7)
    with pytest.raises(cx.BackendError, match="memory"):
        cx.solve(cx.ReluTraining(many, many[:, 0], beta=1.0, patterns=10**7))


def test_a_program_that_takes_too_long_to_write_is_not_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = cx.WorstCaseMargins(np.linspace(-1.0, 1.0, 1_000), radius=0.3)
    assert cx.solve(problem, "cvxpy:highs", time_limit=30.0).status is cx.Status.OPTIMAL
    monkeypatch.setattr("convexnn.solvers.cvxpy.NUMBER", 0.01)
    begin = time.perf_counter()
    late = cx.solve(problem, "cvxpy:highs", time_limit=30.0)
    assert time.perf_counter() - begin < 10.0
    assert late.status is cx.Status.TIME_LIMIT
    assert "To write the problem for HIGHS takes some 70 s, and " in late.message
    assert np.isfinite([late.objective, late.bound]).all()
    assert cx.solve(problem, "cvxpy:highs").status is cx.Status.OPTIMAL


def test_a_pruning_that_would_take_too_long_is_left_out() -> None:
    assert affordable(5_000, 5_000)
    with timed_by(Clock(10.0)):
        assert affordable(500, 5_000)
        assert not affordable(5_000, 5_000)


def large() -> dict[str, Any]:
    """Return problems that take minutes, by the engines whose limit they try."""
    rng = np.random.default_rng(0)

    def data(n: int, d: int) -> tuple[Any, Any]:
        data = rng.standard_normal((n, d))
        return data, np.maximum(data[:, 0], 0.0) + 0.1 * rng.standard_normal(n)

    x = np.sort(rng.standard_normal(700))
    rows, labels = data(500, 100)
    many, classes = data(2_000, 20)
    wide, sides = data(2_000, 500)
    return {
        "cell-walk": cx.ReluTraining(*data(10_000, 30), beta=1.0),
        "fista": cx.UnivariateReluTraining(x, np.sin(3.0 * x), beta=1e-3, layers=3),
        "cvxpy:scs": cx.ThresholdTraining(many, np.sign(classes), beta=1.0, patterns=4_000),
        "admm": cx.ReluTraining(*data(1_000, 20), beta=1.0, patterns=100_000),
        "ipm": cx.RobustReluTraining(rows, np.sign(labels), beta=0.1, radius=0.05, patterns=50),
        "newton": cx.WassersteinClassification(wide, np.sign(sides), radius=0.05, flip_cost=1.0),
        "cvxpy:clarabel": cx.GeometricMedian(rng.standard_normal((100_000, 50))),
    }


@pytest.mark.slow
@pytest.mark.parametrize("limit", [2.0, 5.0])
def test_limits_are_kept_at_size(limit: float) -> None:
    over = {}
    for name, problem in large().items():
        cx.solve(problem, name, time_limit=0.1)  # imports what it needs, and compiles kernels
        begin = time.perf_counter()
        solution = cx.solve(replace(problem), name, time_limit=limit)
        over[name] = time.perf_counter() - begin - limit
        assert np.isfinite(solution.objective)
    assert max(over.values()) <= 0.1 * limit + 1.0, over

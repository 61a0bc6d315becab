"""Signals: the first one ends a run with its best answer, the second at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.system.interrupts import interruptible
from convexnn.solvers import cvxpy as door
from convexnn.solvers.apart import apart


def data(n: int = 60) -> tuple[Any, Any]:
    X = np.random.default_rng(0).standard_normal((n, 4))
    return X, np.maximum(X[:, 0], 0.0) - np.maximum(X[:, 1], 0.0) + 0.1 * X[:, 2]


def patterns() -> Any:
    return cx.ReluTraining(*data(), beta=0.05, patterns=20)


def everything() -> Any:
    return cx.ReluTraining(*data(), beta=0.05)


def fit() -> Any:
    return cx.WassersteinRegression(*data(), radius=0.1, loss="absolute")


def agents() -> Any:
    edges = [(k, (k + 1) % 12) for k in range(12)]
    return cx.DistributedMedian(data(12)[0], edges)


RUNS = [
    (patterns, "admm"),
    (patterns, "fista"),
    (patterns, "ipm"),
    (patterns, "semismooth"),
    (everything, "lbfgs"),
    (everything, "cell-walk"),
    (fit, "newton"),
    (fit, "admm"),
    (agents, "homotopy"),
    (agents, "pg-extra"),
]


@pytest.mark.parametrize(("problem", "backend"), RUNS)
def test_the_first_signal_ends_a_run_with_its_best_answer(problem: Any, backend: str) -> None:
    steps: list[cx.Step] = []

    def press(step: cx.Step) -> None:
        steps.append(step)
        if len(steps) == 2:
            signal.raise_signal(signal.SIGINT)

    solution = cx.solve(problem(), backend, tol=1e-12, callback=press)
    assert solution.status is cx.Status.STOPPED
    assert "Interrupted from the keyboard." in solution.message
    assert solution.objective <= min(step.objective for step in steps)
    assert np.isfinite(solution.bound)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_second_signal_ends_at_once() -> None:
    def press(step: cx.Step) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        cx.solve(patterns(), "admm", tol=1e-12, callback=press)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert cx.solve(patterns(), "admm", tol=1e-3).status is cx.Status.OPTIMAL


def test_a_signal_while_the_answer_is_built_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = patterns()
    build = type(problem).build_model

    def late(self: Any, *points: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return build(self, *points)

    monkeypatch.setattr(type(problem), "build_model", late)
    solution = cx.solve(problem, "admm", tol=1e-3)
    assert solution.status is cx.Status.OPTIMAL
    assert "Interrupted" not in solution.message
    assert solution.model.predict(data()[0]).shape == (60,)


def test_a_handler_of_the_user_stays() -> None:
    heard = []
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        steps: list[cx.Step] = []

        def press(step: cx.Step) -> None:
            steps.append(step)
            signal.raise_signal(signal.SIGINT)

        assert cx.solve(patterns(), "admm", tol=1e-3, callback=press).status is cx.Status.OPTIMAL
        assert len(heard) == len(steps) > 0
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_library_leaves_other_signals_alone() -> None:
    found = []

    def look(step: cx.Step) -> None:
        found.append((signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)))

    both = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(each, signal.SIG_DFL) for each in both]
    try:
        cx.solve(patterns(), "admm", tol=1e-3, callback=look)
    finally:
        for each, handler in zip(both, before, strict=True):
            signal.signal(each, handler)
    assert set(found) == {(signal.SIG_DFL, signal.SIG_DFL)}


def test_runs_in_other_threads_take_no_signal_over() -> None:
    found = []

    def run() -> None:
        found.append(cx.solve(patterns(), "admm", tol=1e-3).status)

    with interruptible():
        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [cx.Status.OPTIMAL] * 2


@pytest.mark.parametrize("error", [ValueError, ZeroDivisionError, MemoryError, RuntimeError])
@pytest.mark.parametrize("backend", ["admm", "cvxpy:clarabel"])
def test_what_the_callback_raises_is_its_own(error: type[Exception], backend: str) -> None:
    def fail(step: cx.Step) -> None:
        if step.iteration:
            raise error("of the user")

    with pytest.raises(error, match="of the user"):
        cx.solve(patterns(), backend, callback=fail)


def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every solver of CVXPY take a minute, where it can be left."""
    monkeypatch.setattr(door, "LONG", 0)

    def sharper(self: Any, *others: Any) -> Iterator[Any]:
        time.sleep(60.0)
        yield None

    monkeypatch.setattr(door.CvxpySolver, "_sharper", sharper)


def test_a_solver_that_asks_nobody_is_left_at_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = cx.compile(patterns(), "cvxpy:clarabel")
    slow(monkeypatch)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    begin = time.perf_counter()
    solution = ready.run()
    assert time.perf_counter() - begin < 10.0
    assert solution.status is cx.Status.STOPPED
    assert np.isfinite(solution.objective)


def test_a_solver_that_asks_nobody_is_left_at_the_time_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ready = cx.compile(patterns(), "cvxpy:clarabel")
    slow(monkeypatch)
    begin = time.perf_counter()
    solution = ready.run(time_limit=0.2)
    assert time.perf_counter() - begin < 10.0
    assert solution.status is cx.Status.TIME_LIMIT


def test_threads_that_a_solver_left_in_this_process_hold_no_other_one() -> None:
    code = """
import numpy as np
import convexnn as cx
X = np.random.default_rng(0).standard_normal((80, 8))
options = dict(beta=1.0, patterns=15, loss="squared", bias=True, radius=0.05, norm="l2")
problem = cx.RobustReluTraining(X, np.abs(X[:, 0]), **options)
problem.to_cvxpy().problem.solve(solver="CLARABEL")  # with as many threads as it likes
print(cx.solve(problem, "cvxpy:clarabel", tol=1e-3).status.name)
"""
    words = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.strip() == "OPTIMAL", done.stderr


def test_the_answer_of_a_solver_in_a_process_of_its_own_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = cx.solve(patterns(), "cvxpy:clarabel")
    monkeypatch.setattr(door, "LONG", 0)
    there = cx.solve(patterns(), "cvxpy:clarabel")
    assert there.certificate == here.certificate
    assert len(there.history) == len(here.history)


def test_a_process_that_dies_is_a_breakdown() -> None:
    def die() -> Iterator[int]:
        yield 1
        os._exit(9)

    with apart(die, lambda: False) as answers:
        assert next(answers) == 1
        with pytest.raises(ArithmeticError, match="its process died"):
            next(answers)


def test_what_is_raised_in_the_process_is_raised_here() -> None:
    def fail() -> Iterator[int]:
        yield 1
        raise LookupError("there")

    with apart(fail, lambda: False) as answers:
        assert next(answers) == 1
        with pytest.raises(LookupError, match="there"):
            next(answers)

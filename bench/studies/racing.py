"""Backends that take turns to a certified gap, so that a noisy machine is fair to all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

import convexnn as cx

CLARABEL = "cvxpy:clarabel"
REPEATS = 5  # runs of which the median is taken, where one takes less than LONG seconds
LONG = 5.0
LIMIT_S = 600.0

Answer = TypeVar("Answer")


class Race(NamedTuple):
    """Medians over the runs of one backend to one certified gap.

    Attributes
    ----------
    solution : Solution
        Of the last run.
    wall_s, cpu_s, certify_s : float
        In the solver, by the clock and in processor seconds; certifying, by the clock.
    inner_s : float
        What Clarabel itself says of its last attempt; NaN elsewhere.
    runs : int
    """

    solution: cx.Solution
    wall_s: float
    cpu_s: float
    certify_s: float
    inner_s: float
    runs: int = 1


def ready_for(make: Callable[[], cx.Problem[Any]], backend: str) -> tuple[cx.Compiled, float]:
    """Compile a problem from the bare data; return it and the median of the seconds."""
    seconds: list[float] = []
    while not seconds or (len(seconds) < REPEATS and seconds[0] < LONG):
        ready = cx.compile(make(), backend)
        seconds.append(ready.compile_s)
    return ready, statistics.median(seconds)


def race(ready: Mapping[str, cx.Compiled], tol: float) -> dict[str, Race]:
    """Run every backend to a certified gap, one after the other and then again."""
    runs = take_turns({name: _runner(form, tol) for name, form in ready.items()})
    return {name: _medians(found) for name, found in runs.items()}


def take_turns(
    runners: Mapping[str, Callable[[], tuple[Answer, float]]],
) -> dict[str, list[Answer]]:
    """Call each of them in turn, and again unless it was long; they return answer and seconds."""
    answers: dict[str, list[Answer]] = {name: [] for name in runners}
    long: set[str] = set()
    for _ in range(REPEATS):
        for name, runner in runners.items():
            if name in long:
                continue
            answer, seconds = runner()
            answers[name].append(answer)
            if seconds >= LONG:
                long.add(name)
    return answers


def _runner(ready: cx.Compiled, tol: float) -> Callable[[], tuple[Race, float]]:
    def once() -> tuple[Race, float]:
        run = timed(ready, tol)
        return run, run.wall_s

    return once


def timed(ready: cx.Compiled, tol: float) -> Race:
    """Run a backend once."""
    # CVXPY would keep Clarabel's workspace from one run to the next
    own: dict[str, Any] = {"warm_start": False} if ready.backend.name == CLARABEL else {}
    wall, cpu = time.perf_counter(), time.process_time()
    solution = ready.run(tol=tol, time_limit=LIMIT_S, **own)
    share = (time.process_time() - cpu) / (time.perf_counter() - wall)
    solve_s = solution.timings["solve"]
    stats = ready.form.problem.solver_stats if own else None  # none where time ran out
    inner_s = np.nan if stats is None else stats.solve_time
    return Race(solution, solve_s, share * solve_s, solution.timings["certify"], inner_s)


def _medians(runs: Sequence[Race]) -> Race:
    last = runs[-1]
    wall_s, cpu_s, certify_s, inner_s = (
        statistics.median(float(getattr(run, name)) for run in runs) for name in Race._fields[1:5]
    )
    return Race(last.solution, wall_s, cpu_s, certify_s, inner_s, len(runs))

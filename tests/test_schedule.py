"""The one loop: when points are reported, when the clock is looked at, and what ends a run."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from convexnn.contract.backend import Outcome, Raw
from convexnn.solvers import schedule
from convexnn.solvers.schedule import Best, Falling, First, Spaced, Tuner, common, finite, iterate

SPACED = [10, 12, 15, 18, 21, 25, 30, 36, 40]  # up to step 40


class Clock:
    """A reporter with a clock of its own: a step takes a second, a report none."""

    def __init__(self, time_limit: float = np.inf, satisfied: int | None = None) -> None:
        self.now, self.time_limit, self.satisfied = 0.0, time_limit, satisfied
        self.seen: list[int] = []
        self.primals: list[Any] = []
        self.looks = 0

    def report(self, iteration: int, primal: Any, dual: Any) -> bool:
        """Keep what is reported; True at the step that satisfies."""
        self.seen.append(iteration)
        self.primals.append(primal)
        return self.satisfied is not None and iteration >= self.satisfied

    def expired(self) -> bool:
        """Count the looks."""
        self.looks += 1
        return self.now >= self.time_limit

    def remaining(self) -> float | None:
        """Return the seconds left."""
        return max(0.0, self.time_limit - self.now)


class Counter:
    """A method that counts; what it has counted is its point."""

    def __init__(self, clock: Any, ends: dict[int, Raw] | None = None) -> None:
        self.clock, self.ends = clock, ends or {}
        self.x = np.zeros(1)
        self.steps: list[int] = []

    def step(self, k: int) -> Raw | None:
        """Take a second, where there is a clock."""
        if isinstance(self.clock, Clock):
            self.clock.now += 1.0
        self.steps.append(k)
        self.x = self.x + 1.0
        return self.ends.get(k)

    def points(self) -> tuple[Any, Any]:
        """Return the count."""
        return (self.x,), (self.x,)


def run(clock: Any, limit: int, **more: Any) -> tuple[Raw, Counter]:
    counter = Counter(clock, more.pop("ends", None))
    return iterate(counter.step, counter.points, clock, limit, **more), counter


def test_steps_of_another_method_count_and_are_not_reported_again() -> None:
    clock = Clock()
    raw, counter = run(clock, 6, begin=4, due=lambda k: True)
    assert raw == Raw(Outcome.MAX_ITER)
    assert counter.steps == clock.seen == [5, 6]


def test_points_are_reported_at_spaced_steps_and_at_the_last() -> None:
    clock = Clock()
    raw, counter = run(clock, 40)
    assert raw == Raw(Outcome.MAX_ITER)
    assert clock.seen == SPACED
    assert counter.steps == list(range(1, 41))
    clock = Clock()
    run(clock, 39)
    assert clock.seen == [*SPACED[:-1], 39]
    clock = Clock()
    run(clock, 3)
    assert clock.seen == [3]


def test_clock_is_looked_at_after_every_step() -> None:
    clock = Clock()
    run(clock, 123)
    assert clock.looks == 123


def test_satisfied_reporter_ends_the_run() -> None:
    clock = Clock(satisfied=15)
    raw, counter = run(clock, 100)
    assert raw == Raw(Outcome.STOPPED)
    assert clock.seen == [10, 12, 15]
    assert counter.steps[-1] == 15


@pytest.mark.parametrize("seconds", [1, 7, 12, 33])
def test_time_that_is_up_ends_the_run_with_the_point_at_hand(seconds: int) -> None:
    clock = Clock(time_limit=seconds)
    raw, counter = run(clock, 1_000)
    assert raw == Raw(Outcome.STOPPED)
    assert counter.steps[-1] == seconds  # not one step more
    assert clock.seen[-1] == seconds
    assert clock.primals[-1][0] == float(seconds)


def test_time_that_is_up_at_the_last_step_is_no_other_ending() -> None:
    assert run(Clock(time_limit=20.0), 20)[0] == Raw(Outcome.STOPPED)


@pytest.mark.parametrize("place", [0, 1])
def test_numbers_that_are_not_finite_end_the_run_with_words(place: int) -> None:
    clock = Clock()
    counter = Counter(clock)

    def points() -> tuple[Any, Any]:
        pair = [counter.x, counter.x]
        if counter.x[0] >= 12.0:
            pair[place] = np.array([np.nan])
        return (pair[0],), (None, (pair[1],))

    raw = iterate(counter.step, points, clock, 100)
    assert raw == Raw(Outcome.FAILED, schedule.NOT_FINITE)
    assert clock.seen == [10]  # what is not finite is not handed over


def test_method_that_ends_by_itself_is_reported_first() -> None:
    ends = {5: Raw(Outcome.FINISHED, "Nothing moves.")}
    clock = Clock()
    assert run(clock, 100, ends=ends)[0] == ends[5]
    assert clock.seen == [5]
    assert run(Clock(satisfied=5), 100, ends=ends)[0] == Raw(Outcome.STOPPED)
    assert run(Clock(), 5, ends=ends)[0] == ends[5]


def test_proof_stands_whatever_the_reporter_says() -> None:
    ends = {5: Raw(Outcome.INFEASIBLE, "There is a ray.")}
    clock = Clock(satisfied=5)
    assert run(clock, 100, ends=ends)[0] == ends[5]
    assert clock.seen == [5]


def test_what_comes_between_steps_comes_after_the_look() -> None:
    clock, between = Clock(satisfied=12), []
    run(clock, 100, after=lambda k: between.append((k, len(clock.seen))))
    assert [k for k, _ in between] == list(range(1, 12))  # none after the step that ends the run
    assert between[9] == (10, 1)


def test_resumed_run_reports_where_the_whole_one_does() -> None:
    clock = Clock()
    raw, counter = run(clock, 40, done=20)
    assert raw == Raw(Outcome.MAX_ITER)
    assert counter.steps == list(range(21, 41))
    assert clock.seen == [20, *(k for k in SPACED if k > 20)]
    clock = Clock()
    assert run(clock, 20, done=20)[0] == Raw(Outcome.MAX_ITER)
    assert clock.seen == [20]
    assert run(Clock(satisfied=1), 40, done=20)[1].steps == []


def test_own_schedule_is_asked_once_a_step() -> None:
    asked: list[int] = []

    def due(k: int) -> bool:
        asked.append(k)
        return k % 3 == 0

    clock = Clock()
    run(clock, 10, due=due)
    assert clock.seen == [3, 6, 9, 10]
    assert asked == list(range(1, 11))


def test_stop_comes_at_most_a_fifth_late() -> None:
    due = Spaced()
    seen = [k for k in range(1, 20_000) if due(k)]
    late = [(b - 1) / a for a, b in pairwise(seen)]
    assert max(late) <= 1.2


def test_gap_that_is_not_a_number_is_due() -> None:
    gaps = iter([1.0, 0.5, np.nan])
    due = Falling(lambda: next(gaps), 0.0)
    assert [due(k) for k in range(3)] == [True, False, True]


def test_infinite_numbers_are_not_finite_wherever_they_are() -> None:
    assert finite((np.zeros(3), (1, None, np.ones(2, np.bool_), np.arange(3)), 1e300, "words"))
    assert finite((np.full((2, 2), 1e300), np.zeros((0, 3))))  # though their squares are not
    for bad in (np.inf, -np.inf, np.nan):
        assert not finite((np.zeros(3), (np.array([[0.0, bad]]),)))
        assert not finite(bad)


@pytest.mark.parametrize("rarer", [1.6, 2.0])
def test_tuner_is_due_at_the_same_steps_wherever_a_run_begins(rarer: float) -> None:
    whole = Tuner(rarer=rarer)
    due = [k for k in range(1, 2_000) if whole.due(k)]
    assert due[:4] == ([10, 16, 26, 42] if rarer == 1.6 else [10, 20, 40, 80])
    rest = Tuner(rarer=rarer)
    assert [k for k in range(100, 2_000) if rest.due(k)] == [k for k in due if k >= 100]
    assert not any(Tuner(False).due(k) for k in range(1, 100))


@pytest.mark.parametrize(
    ("primal", "dual", "factor"),
    [
        *((3.0, 1.0, 3.0), (1.0, 4.0, 0.25), (1.1, 1.0, 1.0), (1.0, 1.19, 1.0)),
        *((1e9, 1.0, 10.0), (1.0, 1e9, 0.1), (0.0, 1.0, 1.0), (1.0, 0.0, 1.0)),
        *((np.nan, 1.0, 1.0), (1.0, np.nan, 1.0)),
    ],
)
def test_penalties_move_by_the_ratio_of_the_residuals(
    primal: float, dual: float, factor: float
) -> None:
    assert Tuner().factor(primal, dual) == factor


def test_best_point_of_a_run_inside_another_is_kept() -> None:
    clock = Clock(time_limit=30.0)
    best = Best(lambda x: abs(float(x[0][0]) - 16.5), (np.array([100.0]),), clock)
    counter = Counter(clock)
    raw = iterate(counter.step, counter.points, best, 100, due=lambda k: k % 4 == 0)
    assert raw == Raw(Outcome.STOPPED)
    assert counter.steps[-1] == 30
    assert best.point[0] == 16.0
    assert best.value == 0.5


def test_first_point_ends_a_run_inside_another() -> None:
    clock = Clock(time_limit=30.0)
    first = First(clock)
    assert run(first, 100, due=lambda k: k == 7)[1].steps[-1] == 7
    assert first.remaining() == 30.0
    assert clock.seen == []
    clock.now = 30.0
    assert run(first, 100, due=lambda k: False)[1].steps == [1]


class Group:
    """Processes that hear the first one; counts what they say."""

    def __init__(self, size: int = 2) -> None:
        self.size = size
        self.said: list[bool] = []

    def agree(self, flag: bool) -> bool:
        """Return the flag of the first process."""
        self.said.append(flag)
        return flag


def together(monkeypatch: pytest.MonkeyPatch, seconds: Callable[[int], float]) -> tuple[int, int]:
    """Return the looks at the clock and the steps of a run of 10 seconds, and check its end."""
    now = 0.0
    monkeypatch.setattr("time.perf_counter", lambda: now)
    clock, group = Clock(time_limit=10.0), Group()
    steps = 0

    def step(k: int) -> None:
        nonlocal now, steps
        now += seconds(k)
        clock.now, steps = now, k

    raw = iterate(step, lambda: ((), ()), common(clock, group), 10**7, due=lambda k: False)
    assert raw == Raw(Outcome.STOPPED)
    assert now <= 10.0 + max(2.0 * seconds(steps), 0.1)
    return clock.looks, steps


@pytest.mark.parametrize("each", [1e-5, 1e-3, 0.02, 0.7])
def test_processes_look_at_the_clock_together_as_often_as_needed(
    each: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, steps = together(monkeypatch, lambda k: each)
    assert looks <= 15.0 / schedule.BRIEF + 2.0 * np.log2(steps)
    assert looks >= min(steps, 10.0 / (4.0 * schedule.BRIEF))


def test_steps_that_grow_slower_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    together(monkeypatch, lambda k: 1e-4 if k < 5_000 else 0.05)


def test_processes_hear_the_first_ones_answers() -> None:
    group = Group()
    reporter = common(Clock(satisfied=3), group)
    assert not reporter.report(2, (), ())
    assert reporter.report(3, (), ())
    assert group.said == [False, True]
    assert reporter.remaining() == np.inf


def test_one_process_keeps_its_own_reporter() -> None:
    clock = Clock()
    assert common(clock, Group(1)) is clock

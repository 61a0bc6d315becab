"""What the peers' scripts share: a task in, points of increasing effort out. NumPy alone.

A script prepares its task, imports and first calls included, says so with a file ``ready``, and
then runs: fresh runs at increasing effort (`each`), or one run that is watched (`watched`, with a
`Trail`). Every point is written as it comes, so that what a killed script had found still counts;
short runs are then repeated, as convexnn.bench.worker does, and their points replaced by those of
the median run.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

LONG = 5.0  # seconds of a run from which it is not repeated
SHORT, RUNS, MOST = 0.2, 5, 1.0  # a run below SHORT seconds is done RUNS times, for MOST seconds
ALONE = 120.0  # seconds after the limit at which a script that nobody watches is ended

Task = dict[str, Any]


class Point(NamedTuple):
    """What a peer found, and what it cost: see `convexnn.bench.processes.Answer`."""

    arrays: dict[str, Any]
    seconds: float
    cpu: float
    build: float = 0.0


class Timed(NamedTuple):
    """What the last call returned, the medians of all calls' seconds, and their number."""

    result: Any
    seconds: float
    cpu: float
    runs: int


Deliver = Callable[[Point], bool]  # true once time is over
Run = Callable[["Answers"], None]


def timed(work: Callable[[], Any], repeats: int = 1) -> Timed:
    """Call it, and again unless that was long."""
    walls: list[float] = []
    cpus: list[float] = []
    while len(walls) < repeats and (not walls or walls[0] < LONG):
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return Timed(result, statistics.median(walls), statistics.median(cpus), len(walls))


class Answers:
    """Writes points as they come; true once time is over.

    Parameters
    ----------
    folder : Path
    version : str
        Of the package.
    limit : float
        Seconds from now.
    """

    def __init__(self, folder: Path, version: str, limit: float) -> None:
        self._folder, self._version = folder, version
        self._end, self._count = time.perf_counter() + limit, 0

    @property
    def left(self) -> float:
        """Return the seconds that are left."""
        return self._end - time.perf_counter()

    def __call__(self, point: Point) -> bool:
        """Write the next point."""
        self.replace(self._count, [point])
        return self.left < 0.0

    def replace(self, start: int, points: Sequence[Point]) -> None:
        """Write points in the place of as many from `start` on."""
        for k, point in enumerate(points, start):
            own = {"seconds": point.seconds, "cpu": point.cpu, "build": point.build}
            unfinished = self._folder / f"unfinished-{k}.npz"
            arrays: Any = point.arrays | own
            np.savez(unfinished, version=self._version, **arrays)
            os.replace(unfinished, self._folder / f"{k:03d}.npz")
        self._count = max(self._count, start + len(points))


def median_run(first: list[Point], again: Callable[[], list[Point]], left: float) -> list[Point]:
    """Return the median, by processor seconds, of a run and of its repeats if it was short."""
    tries, begin = [first], time.perf_counter()
    cost = first[-1].seconds + first[-1].build if first else SHORT
    room = min(left, MOST) - cost
    while first and len(tries) < RUNS and first[-1].seconds < SHORT:
        if time.perf_counter() - begin > room:
            break
        tries.append(again())
    return sorted(tries, key=lambda points: points[-1].cpu if points else np.inf)[len(tries) // 2]


def each(efforts: Iterable[float], run: Callable[[float], Point]) -> Run:
    """Return fresh runs, one for each effort, until more effort changes nothing."""

    def runs(deliver: Answers) -> None:
        done: list[tuple[float, Point]] = []
        for effort in efforts:
            point = run(effort)
            last = done[-1][1].arrays if done else {}
            done.append((effort, point))
            if deliver(point) or same(last, point.arrays):
                break
        for k, (effort, point) in enumerate(done):
            found = median_run([point], partial(alone, effort), deliver.left)
            deliver.replace(k, found)

    def alone(effort: float) -> list[Point]:
        return [run(effort)]

    return runs


def watched(once: Callable[[Deliver], None]) -> Run:
    """Return one run that delivers what it passes."""

    def runs(deliver: Answers) -> None:
        first: list[Point] = []

        def both(point: Point) -> bool:
            first.append(point)
            return deliver(point)

        def again() -> list[Point]:
            points: list[Point] = []

            def keep(point: Point) -> bool:
                points.append(point)
                return False

            once(keep)
            return points

        once(both)
        found = median_run(first, again, deliver.left)
        if len(found) == len(first):  # they pass the same points, unless time ended one of them
            deliver.replace(0, found)

    return runs


def same(first: Task, second: Task) -> bool:
    """Tell whether two answers differ by no more than rounding."""
    if first.keys() != second.keys():
        return False
    pairs = [(np.asarray(first[key]), np.asarray(second[key])) for key in first]
    near = [
        a.shape == b.shape and np.abs(a - b).max(initial=0.0) <= 1e-14 * np.abs(a).max(initial=0.0)
        for a, b in pairs
    ]
    return all(near)


class Trail:
    """The points that one run passes at its 1st, 2nd, 4th, 8th, ... step; time starts with it.

    Parameters
    ----------
    deliver : callable
    read : callable
        Returns arrays from what the run holds.
    limit : float
        Seconds of the run.
    build : float
        Seconds of its preparation.
    """

    def __init__(
        self, deliver: Deliver, read: Callable[[Any], Task], limit: float, build: float = 0.0
    ) -> None:
        self._deliver, self._read, self._limit, self._build = deliver, read, limit, build
        self._last = self.steps = 0
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def step(self, state: Any) -> bool:
        """Count a step; deliver the point if it is due. True once time is over."""
        self.steps += 1
        over = time.perf_counter() - self._wall > self._limit
        if self.steps & (self.steps - 1) == 0 or over:
            self.end(state)
        return over

    def end(self, state: Any) -> None:
        """Deliver the point of the last step, if that has not been done."""
        if self._last == self.steps:
            return
        self._last = self.steps
        wall, cpu = time.perf_counter(), time.process_time()
        arrays = {key: np.array(value) for key, value in self._read(state).items()}
        self._deliver(Point(arrays, wall - self._wall, cpu - self._cpu, self._build))
        self._wall += time.perf_counter() - wall
        self._cpu += time.process_time() - cpu


def options(description: str | None) -> argparse.ArgumentParser:
    """Return what every script accepts."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument("task", help="npz with the problem")
    result.add_argument("answers", type=Path, help="folder for 000.npz, 001.npz, ...")
    result.add_argument("--limit", type=float, default=60.0, help="seconds for solving")
    result.add_argument("--repeats", type=int, default=1, help="runs of which the median is told")
    result.add_argument("--effort", type=float, nargs="+", help="instead of the script's own")
    return result


def serve(
    distribution: str,
    prepare: Callable[[Task, argparse.Namespace], Run],
    asked: argparse.Namespace,
) -> None:
    """Read the task, and write a peer's points until they or the time run out."""
    if hasattr(signal, "alarm"):
        signal.alarm(int(asked.limit + ALONE))
    with np.load(asked.task) as found:
        task = {key: found[key] if found[key].ndim else found[key].item() for key in found.files}
    run = prepare(task, asked)
    (asked.answers / "ready").touch()
    run(Answers(asked.answers, version(distribution), asked.limit))
    (asked.answers / "done").touch()  # the process may take its time to end

"""What the peers' scripts share: a task in, points of increasing effort out. NumPy alone.

A script prepares its task, imports and first calls included, says so with a file ``ready``, and
then runs: fresh runs at increasing effort (`each`), or one run that is watched (`Trail`). Every
point is written as it comes, so that what a killed script had found still counts.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

LONG = 5.0  # seconds of a run from which it is not repeated
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
Run = Callable[[Deliver], None]


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


def each(efforts: Iterable[float], run: Callable[[float], Point]) -> Run:
    """Return fresh runs, one for each effort, until more effort changes nothing."""

    def runs(deliver: Deliver) -> None:
        last: Task = {}
        for effort in efforts:
            point = run(effort)
            if deliver(point) or same(last, point.arrays):
                break
            last = point.arrays

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
    count = 0

    def deliver(point: Point) -> bool:
        nonlocal count
        own = {"seconds": point.seconds, "cpu": point.cpu, "build": point.build}
        unfinished = asked.answers / f"unfinished-{count}.npz"
        arrays: Any = point.arrays | own
        np.savez(unfinished, version=version(distribution), **arrays)
        os.replace(unfinished, asked.answers / f"{count:03d}.npz")
        count += 1
        return bool(time.perf_counter() - begin > asked.limit)

    run = prepare(task, asked)
    (asked.answers / "ready").touch()
    begin = time.perf_counter()
    run(deliver)
    (asked.answers / "done").touch()  # the process may take its time to end

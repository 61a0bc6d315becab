"""A time that goes on by one second at every look, and what a run makes of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import convexnn as cx
from convexnn.contract.clock import Clock, timed_by


class Ticking:
    """A time that goes on by one second at every look."""

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        return float(self.looks)


class Timed(NamedTuple):
    """A run on such a time: its answer, and how often it looked when its time was over."""

    solution: cx.Solution
    late: int


def ticked(problem: Any, backend: str, seconds: int) -> Timed:
    """Solve to an accuracy that is out of reach, within so many looks."""
    now = Ticking()
    with timed_by(Clock(None, now)):
        before = now.looks
        solution = cx.solve(problem, backend, tol=1e-15, time_limit=float(seconds))
    return Timed(solution, now.looks - before - seconds)

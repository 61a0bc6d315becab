"""Find a geometric median with geom_median; runs in its own environment.

Weiszfeld's iteration, watched where it evaluates its own objective, once an iteration. Points are
those that one run passes; with a target, an oracle stops it at the first value at or below that.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from script import Deliver, Point, Run, Task, Trail, options, serve, watched

LONG = 5.0  # seconds of a run from which it is not repeated
MOST = 1_000_000  # iterations


class Done(Exception):
    """The last iteration wanted."""


def torch_backend() -> tuple[Any, Any, Any]:
    """Return the points as tensors, the module that iterates, and what is called."""
    import torch
    from geom_median.torch import compute_geometric_median, weiszfeld_array

    torch.set_num_threads(1)
    return torch.from_numpy, weiszfeld_array, compute_geometric_median


def numpy_backend() -> tuple[Any, Any, Any]:
    """Return the points as arrays, the module that iterates, and what is called."""
    from geom_median.numpy import compute_geometric_median, weiszfeld_array

    return np.asarray, weiszfeld_array, compute_geometric_median


BACKENDS = {"numpy": numpy_backend, "torch": torch_backend}


def read(state: Any) -> Task:
    """Return the point and the number of steps."""
    return {"point": np.asarray(state[0]), "steps": state[1]}


def keep(points: list[Point]) -> Deliver:
    """Return what appends points to a list."""

    def deliver(point: Point) -> bool:
        points.append(point)
        return False

    return deliver


def prepare(task: Task, asked: argparse.Namespace) -> Run:
    """Run until the time is over, or to the target."""
    convert, module, median = BACKENDS[asked.backend]()
    points, weights = [convert(row) for row in task["points"]], convert(task["weights"])
    target, total = task.get("target", -np.inf), float(task["weights"].sum())
    evaluate = module.geometric_median_objective
    median(points[:5], maxiter=2)  # first calls

    def once(deliver: Deliver) -> None:
        trail = Trail(deliver, read, asked.limit)

        def watched(x: Any, given: Any, mass: Any) -> Any:
            value = evaluate(x, given, mass)
            there = float(value) * total <= target
            if trail.step((x, trail.steps)) or there:
                trail.end((x, trail.steps))
                raise Done
            return value

        module.geometric_median_objective = watched
        try:
            found = median(points, weights, maxiter=MOST, ftol=0.0, skip_typechecks=True)
            trail.end((found.median, trail.steps))
        except Done:
            pass

    def to_target(deliver: Deliver) -> None:
        runs: list[Point] = []
        while len(runs) < asked.repeats and (not runs or runs[0].seconds < LONG):
            passed: list[Point] = []
            once(keep(passed))
            runs.append(passed[-1])
        deliver(sorted(runs, key=lambda run: run.cpu)[len(runs) // 2])

    return watched(once if target == -np.inf else to_target)


if __name__ == "__main__":
    own = options(__doc__)
    own.add_argument("--backend", choices=tuple(BACKENDS), default="numpy")
    serve("geom-median", prepare, own.parse_args())

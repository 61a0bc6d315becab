"""What the scripts of linear peers share: reading a task, timing the fits, writing the model."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import cvxpy as cp
import numpy as np

LONG = 5.0  # seconds of a fit from which it is not repeated


class Task(NamedTuple):
    """A linear model against a Wasserstein ball.

    Attributes
    ----------
    X, y : arrays of shape (n, d) and (n,)
    loss, norm : str
        As in convexnn; `norm` is the ground norm.
    radius, order : float
    cost : float
        Of a flipped label, or of a unit of the target.
    """

    X: Any
    y: Any
    loss: str
    norm: str
    radius: float
    order: float
    cost: float


Fit = Callable[[Task], tuple[Any, Any]]


class Canonicaliser:
    """Has CVXPY canonicalise before each solve, and keeps the seconds that it takes apart."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0
        solve = cp.Problem.solve

        def apart(problem: Any, *args: Any, **options: Any) -> Any:
            wall, cpu = time.perf_counter(), time.process_time()
            problem.get_problem_data(options.get("solver"))
            self.wall += time.perf_counter() - wall
            self.cpu += time.process_time() - cpu
            return solve(problem, *args, **options)

        cp.Problem.solve = apart


def serve(fit: Fit, asked: argparse.Namespace) -> None:
    """Fit the task in `asked.problem` and write coefficients and seconds to `asked.answer`."""
    with np.load(asked.problem) as data:
        numbers = (float(data[key]) for key in ("radius", "order", "cost"))
        task = Task(data["X"], data["y"], str(data["loss"]), str(data["norm"]), *numbers)
    few = np.unique([*range(20), int(np.argmin(task.y)), int(np.argmax(task.y))])
    canonicaliser = Canonicaliser()
    fit(task._replace(X=task.X[few], y=task.y[few]))  # imports and first calls
    walls: list[float] = []
    cpus: list[float] = []
    builds: list[float] = []
    while len(walls) < asked.repeats and (not walls or walls[0] < LONG):
        canonicaliser.wall = canonicaliser.cpu = 0.0
        wall, cpu = time.perf_counter(), time.process_time()
        coef, intercept = fit(task)
        walls.append(time.perf_counter() - wall - canonicaliser.wall)
        cpus.append(time.process_time() - cpu - canonicaliser.cpu)
        builds.append(canonicaliser.cpu)
    np.savez(
        asked.answer,
        coef=np.asarray(coef, dtype=np.float64).reshape(task.X.shape[1]),
        intercept=float(np.ravel(intercept)[0]),
        wall_s=np.median(walls),
        cpu_s=np.median(cpus),
        build_s=np.median(builds),
        runs=len(walls),
    )


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return what every script accepts."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument("problem", help="npz with X, y, loss, norm, radius, order and cost")
    result.add_argument("answer", help="npz to write")
    result.add_argument("--repeats", type=int, default=5)
    return result

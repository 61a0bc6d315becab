"""What the scripts of linear peers share: the task, and CVXPY's canonicalisation kept apart."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import cvxpy as cp
import numpy as np
from script import Point, Run, Task, each, timed


class Linear(NamedTuple):
    """A linear model against a Wasserstein ball.

    Attributes
    ----------
    X, y : arrays of shape (n, d) and (n,)
    loss, norm : str
        As in convexnn; `norm` is the ground norm.
    radius, order : float
    cost : float
        Of a flipped label, or of a unit of the target.
    intercept : bool
    """

    X: Any
    y: Any
    loss: str
    norm: str
    radius: float
    order: float
    cost: float
    intercept: bool


Fit = Callable[[Linear, float], tuple[Any, Any]]


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


def fits(fit: Fit, efforts: tuple[float, ...], task: Task, asked: argparse.Namespace) -> Run:
    """Return what fits once for each effort; a small first fit is done."""
    given = Linear(**{key: task[key] for key in Linear._fields})
    rows = np.unique([*range(20), int(np.argmin(given.y)), int(np.argmax(given.y))])
    rows = rows[rows < len(given.y)]
    canonicaliser = Canonicaliser()

    def run(effort: float) -> Point:
        canonicaliser.wall = canonicaliser.cpu = 0.0
        found, runs = timed(lambda: fit(given, effort), asked.repeats), canonicaliser
        coef, intercept = found.result
        model = {
            "coef": np.asarray(coef, dtype=np.float64).reshape(given.X.shape[1]),
            "intercept": float(np.ravel(intercept)[0]) if given.intercept else 0.0,
        }
        seconds, cpu = found.seconds - runs.wall / found.runs, found.cpu - runs.cpu / found.runs
        return Point(model, seconds, cpu, runs.wall / found.runs)

    fit(given._replace(X=given.X[rows], y=given.y[rows]), efforts[0])  # first calls
    return each(asked.effort or efforts, run)

"""``convexnn solve median`` and ``convexnn compare median``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from convexnn.commands import options
from convexnn.commands.report import close, close_all, leader, show
from convexnn.comparison import compare as run_all
from convexnn.datasets import Split, load_data
from convexnn.problems.median import GeometricMedian
from convexnn.solution import Solution
from convexnn.solving import solve as run_one


def solve(
    data: options.Data = "breast_cancer",
    backend: options.Backend = "auto",
    tol: options.Tol = 1e-6,
    time_limit: options.Limit = 60.0,
    seed: options.Seed = 0,
    save: options.Save = None,
    plot: options.Plot = None,
) -> None:
    """Find the geometric median of the standardised examples; print the certificate."""
    split, declared = declare(data, seed)
    solution = run_one(declared, backend, tol=tol, time_limit=time_limit, seed=seed, progress=True)
    show([solution], None, split)
    tell(solution)
    close(solution, split, save, plot)


def compare(
    data: options.Data = "breast_cancer",
    backends: options.Backends = "",
    tol: options.Tol = 1e-6,
    time_limit: options.Limit = 60.0,
    seed: options.Seed = 0,
    save: options.Save = None,
    plot: options.Plot = Path("convergence.png"),
) -> None:
    """Find the geometric median with every backend that can; compare."""
    split, declared = declare(data, seed)
    n, d = declared.points.shape
    print(f"{split.name}: the geometric median of {n} points in {d} dimensions")
    result = run_all(
        declared, options.listed(backends), tol=tol, time_limit=time_limit, progress=True
    )
    close_all(result, split, save, plot)
    tell(leader(result))


def declare(data: str, seed: int) -> tuple[Split, GeometricMedian]:
    """Load the data and declare the median of all examples, training and test."""
    split = load_data(data, seed=seed)
    return split, GeometricMedian(np.vstack([split.X, split.X_test]))


def tell(solution: Solution) -> None:
    """Print how far from the mean the median is."""
    points = solution.problem.points
    moved = float(np.linalg.norm(solution.model.point - points.mean(axis=0)))
    mean = solution.model.value / len(points)
    print(f"mean distance to the median {mean:.6g}; the mean of the points is {moved:.4g} from it")

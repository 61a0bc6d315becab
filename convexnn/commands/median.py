"""Medians on the command line, of points or of agents on a graph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from typer import Option

from convexnn.commands import agents as on_graph
from convexnn.commands.family import PLAIN, Family
from convexnn.contract.checks import ProblemError
from convexnn.datasets import NAMES, Split, load_data
from convexnn.driver.solution import Solution
from convexnn.problems.median.distributed import DistributedMedian
from convexnn.problems.median.geometric import GeometricMedian

Data = Annotated[
    str | None,
    Option(
        help=f"{', '.join(NAMES)}, a .npz or .csv file, all standardised, or a .npy file of "
        f"points, which are not; if left out {PLAIN}, with --distributed random points"
    ),
]


def declare(
    data: str | None,
    seed: int,
    *,
    distributed: on_graph.Distributed = False,
    graph: on_graph.Graph = None,
    agents: on_graph.Agents = None,
    dimension: on_graph.Dimension = None,
) -> tuple[Split, Any]:
    """Load the data and declare the median of all examples, training and test, or of agents."""
    if distributed:
        loaded = None if data is None else load(data, seed)
        return on_graph.declare(loaded, graph, agents, dimension, seed)
    on_graph.only_distributed(graph=graph, agents=agents, dimension=dimension)
    split = load(data or PLAIN, seed)
    return split, GeometricMedian(np.vstack([split.X, split.X_test]))


def load(data: str, seed: int) -> Split:
    """Load examples, or points as they are."""
    if not data.endswith(".npy"):
        return load_data(data, seed=seed)
    points = np.load(data, allow_pickle=False)
    if points.ndim != 2:
        raise ProblemError(f"{data} must hold one row a point, got shape {points.shape}")
    return Split(points, None, points[:0], None, Path(data).stem, False)


def title(split: Split, problem: Any) -> str:
    """Return how many points or agents there are, and the dimension."""
    n, d = problem.points.shape
    agents = isinstance(problem, DistributedMedian)
    of = f"{n} agents, {len(problem.graph)} edges," if agents else f"{n} points"
    return f"{split.name}: the geometric median of {of} in {d} dimensions"


def tell(solution: Solution, split: Split) -> None:
    """Print how far from the mean the median is."""
    points = solution.problem.points
    moved = float(np.linalg.norm(solution.model.point - points.mean(axis=0)))
    mean = solution.objective / len(points)
    print(f"mean distance to the median {mean:.6g}; the mean of the points is {moved:.4g} from it")


FAMILY = Family(
    solves="Find the geometric median of points, or of agents on a graph; print the certificate.",
    compares="Find the geometric median with every backend that can; compare.",
    declare=declare,
    title=title,
    tell=tell,
    tol=1e-6,
    data=Data,
    source=None,
    engine=on_graph.engine,
    scored=False,
)

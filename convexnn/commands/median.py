"""Medians on the command line, of points or of agents on a graph."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from typer import Option

from convexnn.commands import agents as on_graph
from convexnn.commands.family import PLAIN, Family
from convexnn.commands.options import FILES
from convexnn.commands.source import Source
from convexnn.datasets import NAMES, Split, split_at_random
from convexnn.driver.solution import Solution
from convexnn.problems.median.distributed import DistributedMedian
from convexnn.problems.median.geometric import GeometricMedian

Data = Annotated[
    str | None,
    Option(
        help=f"{', '.join(NAMES)}, or {FILES}; all but the points of .npy are standardised; if "
        f"left out {PLAIN}, with --distributed random points"
    ),
]


def declare(
    source: Source,
    seed: int,
    *,
    distributed: on_graph.Distributed = False,
    graph: on_graph.Graph = None,
    agents: on_graph.Agents = None,
    dimension: on_graph.Dimension = None,
) -> tuple[Split, Any]:
    """Load the data and declare the median of all rows and columns, or of agents."""
    if distributed and source.name is None:
        source.reading.refuse(*source.reading.said, why="goes with --data")
        return on_graph.declare(None, graph, agents, dimension, seed)
    split = load(source, seed)
    if distributed:
        return on_graph.declare(split, graph, agents, dimension, seed)
    on_graph.only_distributed(graph=graph, agents=agents, dimension=dimension)
    return split, GeometricMedian(split.X)


def load(source: Source, seed: int) -> Split:
    """Load rows, standardised, or points of a .npy file as they are."""
    source.reading.refuse("task", "classes", why="goes with a target: a median has none")
    table = source.table(PLAIN, supervised=False)
    if not (source.name or "").lower().endswith(".npy"):
        return split_at_random(table, test_share=0.0, seed=seed)
    return Split(table.X, None, table.X[:0], None, table.name, False, table)


def title(split: Split, problem: Any) -> str:
    """Return how many points or agents there are, and the dimension."""
    n, d = problem.points.shape
    agents = isinstance(problem, DistributedMedian)
    of = f"{n} agents, {len(problem.graph)} edges," if agents else f"{n} points"
    return f"{split.name}: the geometric median of {of} in {d} dimensions"


def tell(solution: Solution, split: Split) -> list[str]:
    """Return how far from the mean the median is."""
    points = solution.problem.points
    moved = float(np.linalg.norm(solution.model.point - points.mean(axis=0)))
    mean = solution.objective / len(points)
    return [
        f"mean distance to the median {mean:.6g}; the mean of the points is {moved:.4g} from it"
    ]


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

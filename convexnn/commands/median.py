"""``convexnn solve median`` and ``convexnn compare median``, of points or of agents on a graph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from typer import Exit, Option

from convexnn.commands import agents as on_graph
from convexnn.commands import options
from convexnn.commands.report import alone, close, compare_all, show
from convexnn.contract.certificate import Status
from convexnn.contract.checks import ProblemError
from convexnn.contract.processes import rank
from convexnn.datasets import NAMES, Split, load_data
from convexnn.driver.solution import Solution
from convexnn.driver.solve import solve as run_one
from convexnn.problems.median.geometric import GeometricMedian

PLAIN = "breast_cancer"

Data = Annotated[
    str | None,
    Option(
        help=f"{', '.join(NAMES)}, a .npz or .csv file, all standardised, or a .npy file of "
        f"points, which are not; if left out {PLAIN}, with --distributed random points"
    ),
]
MaxIter = Annotated[int | None, Option("--max-iter", help="iterations at most", min=1)]


def solve(
    data: Data = None,
    backend: options.Backend = "auto",
    distributed: on_graph.Distributed = False,
    graph: on_graph.Graph = None,
    agents: on_graph.Agents = None,
    dimension: on_graph.Dimension = None,
    processes: on_graph.Processes = None,
    checkpoint: on_graph.Checkpoint = None,
    every: on_graph.Every = None,
    tol: options.Tol = 1e-6,
    max_iter: MaxIter = None,
    time_limit: options.Limit = 60.0,
    seed: options.Seed = 0,
    save: options.Save = None,
    plot: options.Plot = None,
) -> None:
    """Find the geometric median of points, or of agents on a graph; print the certificate."""
    chosen: dict[str, Any] = {}
    if distributed:
        backend, chosen = on_graph.engine(backend, processes, checkpoint, every)
    else:
        on_graph.only_distributed(processes=processes, checkpoint=checkpoint, every=every)
    split, declared = declare(data, distributed, graph, agents, dimension, seed)
    solution = run_one(
        declared,
        backend,
        tol=tol,
        max_iter=max_iter,
        time_limit=time_limit,
        seed=seed,
        progress=not rank(),
        **chosen,
    )
    if not rank():  # of many processes, the first speaks
        show(alone(solution, split, scored=False))
        tell(solution)
        close(solution, split, save, plot)
    if solution.status is Status.FAILED:
        raise Exit(1)


def compare(
    data: Data = None,
    backends: options.Backends = "",
    distributed: on_graph.Distributed = False,
    graph: on_graph.Graph = None,
    agents: on_graph.Agents = None,
    dimension: on_graph.Dimension = None,
    tol: options.Tol = 1e-6,
    time_limit: options.Limit = 60.0,
    seed: options.Seed = 0,
    save: options.Save = None,
    plot: options.Plot = Path("convergence.png"),
) -> None:
    """Find the geometric median with every backend that can; compare."""
    split, declared = declare(data, distributed, graph, agents, dimension, seed)
    n, d = declared.points.shape
    of = f"{n} agents, {len(declared.graph)} edges," if distributed else f"{n} points"
    best = compare_all(
        f"{split.name}: the geometric median of {of} in {d} dimensions",
        declared,
        split,
        backends,
        tol=tol,
        time_limit=time_limit,
        save=save,
        plot=plot,
        scored=False,
    )
    if best is not None:
        tell(best)


def declare(
    data: str | None,
    distributed: bool,
    graph: str | None,
    agents: int | None,
    dimension: int | None,
    seed: int,
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


def tell(solution: Solution) -> None:
    """Print how far from the mean the median is."""
    points = solution.problem.points
    moved = float(np.linalg.norm(solution.model.point - points.mean(axis=0)))
    mean = solution.objective / len(points)
    print(f"mean distance to the median {mean:.6g}; the mean of the points is {moved:.4g} from it")

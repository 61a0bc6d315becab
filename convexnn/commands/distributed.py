"""``convexnn solve distributed``: the median of agents on a graph, in one process or in several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from typer import Exit, Option

import convexnn as cx
from convexnn.arrays import Array
from convexnn.commands import options
from convexnn.problem import ProblemError, choice
from convexnn.solution import Solution, Status
from convexnn.solvers.mpi import rank
from convexnn.solving import solve as run_one

SHAPES = ("random", "ring", "grid")

Data = Annotated[str, Option(help="random, or a .npy or .csv file of points, one a row")]
Graph = Annotated[str, Option(help="random, ring, grid, or a .csv file of edges, two nodes a row")]
Agents = Annotated[int, Option(help="of random points", min=1)]
Dimension = Annotated[int, Option(help="of random points", min=1)]
Processes = Annotated[int, Option(help="MPI processes to start; 1 starts none", min=1)]
Checkpoint = Annotated[Path | None, Option(help="where the state is kept and resumed from")]
Every = Annotated[int, Option(help="rounds between checkpoints", min=1)]
Rounds = Annotated[int | None, Option("--max-iter", help="iterations at most")]


def solve(
    data: Data = "random",
    graph: Graph = "random",
    agents: Agents = 50,
    dimension: Dimension = 10,
    backend: options.Backend = "auto",
    processes: Processes = 1,
    checkpoint: Checkpoint = None,
    every: Every = 100,
    tol: options.Tol = 1e-6,
    max_iter: Rounds = None,
    time_limit: options.Limit = 60.0,
    seed: options.Seed = 0,
    save: options.Save = None,
) -> None:
    """Find the median of agents that talk to their neighbours only; print the certificate."""
    points = _points(data, agents, dimension, seed)
    problem = cx.DistributedMedian(points, _edges(graph, len(points), seed))
    name = "admm" if backend == "auto" else backend
    chosen: dict[str, Any] = {}
    if (processes > 1 or rank() is not None) and not name.startswith("mpi:"):
        name = f"mpi:{name}"
    if name.startswith("mpi:"):
        chosen["processes"] = processes
    if checkpoint is not None:
        chosen |= {"checkpoint": str(checkpoint), "every": every}
    solution = run_one(
        problem, name, tol=tol, max_iter=max_iter, time_limit=time_limit, seed=seed, **chosen
    )
    if not rank():  # of many processes, the first speaks
        tell(solution, save)
    if solution.status is Status.FAILED:
        raise Exit(1)


def tell(solution: Solution, save: Path | None) -> None:
    """Print how the solve ended and what it cost; write what was asked for."""
    model = solution.model
    print(f"{solution.backend}: {solution.status.name}, {len(model.local_points)} agents")
    print(
        f"objective {solution.objective:.8g}, bound {solution.bound:.8g}, gap {solution.gap:.1e}, "
        f"violation {solution.violation:.1e}"
    )
    print(f"{model.rounds} rounds, {model.messages} messages, {solution.timings['solve']:.2f} s")
    print(f"{solution.status.value} {solution.message}".rstrip())
    if save is not None:
        solution.save(save)
        print(f"solution saved to {save}")


def _points(data: str, agents: int, dimension: int, seed: int) -> Array:
    if data == "random":
        return 10.0 * np.random.default_rng(seed).random((agents, dimension))
    path = Path(data)
    choice("data", path.suffix, [".npy", ".csv"])
    if path.suffix == ".npy":
        loaded: Array = np.load(path, allow_pickle=False)
        return loaded
    return np.loadtxt(path, delimiter=",", ndmin=2)


def _edges(graph: str, n: int, seed: int) -> Any:
    if graph.endswith(".csv"):
        return np.loadtxt(graph, delimiter=",", ndmin=2, dtype=np.int64)
    choice("graph", graph, [*SHAPES, "a .csv file"])
    if graph == "ring" and n >= 3:
        return [(i, (i + 1) % n) for i in range(n)]
    if graph == "grid":
        side = int(np.ceil(np.sqrt(n)))
        across = [(i, i + 1) for i in range(n - 1) if (i + 1) % side]
        return across + [(i, i + side) for i in range(n - side)]
    if graph == "a .csv file":
        raise ProblemError("graph must be the path of a .csv file")
    rng = np.random.default_rng(seed + 1)  # a random tree, and as many edges on top
    pairs = {(int(rng.integers(i)), i) for i in range(1, n)}
    for _ in range(2 * n):
        i, j = sorted(int(v) for v in rng.integers(n, size=2))
        if i != j:
            pairs.add((i, j))
    return sorted(pairs) or np.empty((0, 2), dtype=np.int64)

"""``convexnn solve|compare median --distributed``: agents on a graph, and who runs them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from typer import Option

from convexnn.contract.checks import ProblemError, choice
from convexnn.contract.system.processes import rank
from convexnn.datasets import Reading, Split
from convexnn.datasets.files import read
from convexnn.problems.median.distributed import DistributedMedian

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array

COUNT, DIMENSION = 50, 10  # of random points
SHAPES = ("random", "ring", "grid", "star")

Distributed = Annotated[
    bool,
    Option("--distributed", help="agents on a graph, each with a point, that ask neighbours only"),
]
Graph = Annotated[
    str | None, Option(help=f"{', '.join(SHAPES)}, or a .csv file of edges, two nodes a row")
]
Agents = Annotated[
    int | None,
    Option(
        help=f"of random points, {COUNT} if left out; of --data, whose examples they share "
        "evenly, each agent the mean of its own; every example an agent if left out",
        min=1,
    ),
]
Dimension = Annotated[int | None, Option(help=f"of random points, {DIMENSION} if left out", min=1)]
Processes = Annotated[
    int | None, Option(help="MPI processes to start; under mpiexec none is started", min=1)
]
Checkpoint = Annotated[Path | None, Option(help="where the state is kept and resumed from")]
Every = Annotated[int | None, Option(help="rounds between checkpoints, 100 if left out", min=1)]


def only_distributed(**given: Any) -> None:
    """Refuse options of agents where there are none."""
    for name, value in given.items():
        if value is not None:
            raise ProblemError(f"--{name} goes with --distributed")


def declare(
    split: Split | None,
    graph: str | None,
    agents: int | None,
    dimension: int | None,
    seed: int,
) -> tuple[Split, DistributedMedian]:
    """Declare the median of examples, of means of their shares, or of random points."""
    if split is None:
        shape = agents or COUNT, dimension or DIMENSION
        points = 10.0 * np.random.default_rng(seed).random(shape)
        split = Split(points, None, points[:0], None, "random points", False)
    else:
        only_random(dimension)
        points = split.X
        if agents is not None:
            if agents > len(points):
                raise ProblemError(
                    f"agents must be at most the number of examples {len(points)}, got {agents}"
                )
            points = np.stack([share.mean(axis=0) for share in np.array_split(points, agents)])
    return split, DistributedMedian(points, edges(graph or "random", len(points), seed))


def only_random(dimension: int | None) -> None:
    """Refuse a dimension for data that have one."""
    if dimension is not None:
        raise ProblemError("--dimension goes with random points, not with --data")


def engine(
    backend: str,
    *,
    distributed: Distributed = False,
    processes: Processes = None,
    checkpoint: Checkpoint = None,
    every: Every = None,
) -> tuple[str, dict[str, Any]]:
    """Return the backend's name and its options, which only agents have."""
    if not distributed:
        only_distributed(processes=processes, checkpoint=checkpoint, every=every)
        return backend, {}
    name = "admm" if backend == "auto" else backend
    chosen: dict[str, Any] = {}
    if (processes or 1) > 1 or rank() is not None:
        name = f"mpi:{name.removeprefix('mpi:')}"
    if name.startswith("mpi:") and processes is not None:
        chosen["processes"] = processes
    if checkpoint is not None:
        chosen["checkpoint"] = str(checkpoint)
    if every is not None:
        chosen["every"] = every
    return name, chosen


def edges(graph: str, n: int, seed: int) -> Array | list[tuple[int, int]]:
    """Return the edges of a graph of a given shape on n nodes, or those of a file.

    Examples
    --------
    >>> edges("ring", 3, 0), edges("star", 3, 0), edges("grid", 3, 0)
    ([(0, 1), (1, 2), (2, 0)], [(0, 1), (0, 2)], [(0, 1), (0, 2)])
    """
    if graph.endswith(".csv"):
        frame = read(graph, Reading())[1].frame
        if frame.shape[1] != 2 or not all(frame[k].dtype == "Int64" for k in frame):
            raise ProblemError(
                f"{graph} must hold two nodes a row, whole numbers from 0 on, got the columns "
                f"{', '.join(frame)}"
            )
        if frame.isna().any(axis=None):
            raise ProblemError(f"{graph} must hold two nodes a row, some are missing")
        return np.asarray(frame.to_numpy(np.int64))
    if graph not in SHAPES:
        choice("graph", graph, [*SHAPES, "a .csv file"])
    if graph == "ring" and n > 2:
        return [(i, (i + 1) % n) for i in range(n)]
    if graph == "star":
        return [(0, i) for i in range(1, n)]
    if graph == "grid":
        side = int(np.ceil(np.sqrt(n)))
        across = [(i, i + 1) for i in range(n - 1) if (i + 1) % side]
        return across + [(i, i + side) for i in range(n - side)]
    rng = np.random.default_rng(seed + 1)  # a random tree, and twice as many edges on top
    pairs = {(int(rng.integers(i)), i) for i in range(1, n)}
    for _ in range(2 * n):
        i, j = sorted(int(v) for v in rng.integers(n, size=2))
        if i != j:
            pairs.add((i, j))
    return sorted(pairs)

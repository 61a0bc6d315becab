"""Find a median of agents on a graph with disropt; runs in its own environment.

Its distributed subgradient method on its own `Norm`, with Metropolis weights and steps that fall
with the root of the round. Agents take turns in one process, and read their neighbours' points
from memory instead of MPI's messages, whose cost it is spared.
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np
from disropt.agents import Agent
from disropt.algorithms.subgradient import SubgradientMethod
from disropt.communicators import Communicator
from disropt.functions import Norm, Variable
from disropt.problems import Problem
from script import Deliver, Run, Task, Trail, options, serve, timed, watched


class Board(Communicator):  # type: ignore[misc]  # disropt has no types
    """Where an agent finds what its neighbours held when the round began."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.rank = size, 0
        self.posted: list[Any] = []

    def neighbors_exchange(
        self,
        send_obj: Any,
        in_neighbors: Any,
        out_neighbors: Any,
        dict_neigh: bool,
        stop_event: Any,
    ) -> dict[int, Any]:
        """Return the neighbours' points."""
        return {j: self.posted[j] for j in in_neighbors}


def metropolis(edges: Any, n: int) -> Any:
    """Return symmetric, doubly stochastic weights of a graph."""
    degree = np.bincount(edges.ravel(), minlength=n)
    W = np.zeros((n, n))
    for i, j in edges:
        W[i, j] = W[j, i] = 1.0 / (1.0 + max(degree[i], degree[j]))
    return W


def prepare(task: Task, asked: argparse.Namespace) -> Run:
    """Set the agents up; run rounds until the time is over."""
    warnings.simplefilter("ignore")
    points, mass, edges = task["points"], task["weights"], task["edges"]
    n, d = points.shape
    W, board = metropolis(edges, n), Board(n)
    spread = float(np.median(np.linalg.norm(points - points.mean(axis=0), axis=1)))

    def agent(i: int) -> SubgradientMethod:
        board.rank = i
        near = np.flatnonzero(W[i]).tolist()
        made = Agent(near, list(near), board, in_weights=W[i].tolist())
        x = Variable(d)
        made.set_problem(Problem(float(mass[i]) * Norm(x - points[i][:, None], 2)))
        return SubgradientMethod(made, points[i][:, None].copy())

    built = timed(lambda: [agent(i) for i in range(n)])
    agents = built.result

    def rounds(deliver: Deliver) -> None:
        trail = Trail(deliver, read, asked.limit, built.seconds)
        over = False
        while not over:
            board.posted = [one.x for one in agents]
            step = asked.step * spread / mass.mean() / np.sqrt(trail.steps + 1.0)
            for one in agents:
                one.iterate_run(stepsize=step)
            over = trail.step(trail.steps + 1)

    def read(count: int) -> Task:
        return {"local": np.hstack([one.x for one in agents]).T, "rounds": count}

    return watched(rounds)


if __name__ == "__main__":
    own = options(__doc__)
    own.add_argument("--step", type=float, default=1.0, help="first step, in spreads of the data")
    serve("disropt", prepare, own.parse_args())

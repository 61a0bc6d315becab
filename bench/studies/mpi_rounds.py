"""Rounds a second of decentralised ADMM, started plainly or under mpiexec.

``python bench/studies/mpi_rounds.py AGENTS D EDGES ROUNDS`` prints the rate by the clock and the
share of it that the first process spends in exchanges, waiting for its neighbours included.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np

import convexnn as cx
from convexnn.contract.system.processes import rank
from convexnn.median.consensus import ConsensusForm
from convexnn.solvers.exchange import Serial
from convexnn.solvers.median.admm import DEFAULTS, DecentralisedAdmm
from convexnn.solvers.rounds import warm_up

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array
    from convexnn.solvers.exchange import Exchange


class Timed:
    """A transport whose exchanges are timed."""

    def __init__(self, talk: Exchange) -> None:
        self.talk = talk
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.talk, name)

    def exchange(self, own: Array) -> Array:
        """Exchange, and add the seconds."""
        begin = time.perf_counter()
        rows = self.talk.exchange(own)
        self.seconds += time.perf_counter() - begin
        return rows


def transport(form: ConsensusForm) -> Exchange:
    """Return that of MPI under mpiexec, else the serial one."""
    if rank() is None:
        return Serial(form.edges, form.agents)
    from mpi4py import MPI

    from convexnn.solvers.mpi_worker import MpiTransport

    return MpiTransport(MPI.COMM_WORLD, form.edges, form.agents)


def main(n: int, d: int, edges: int, rounds: int) -> None:
    """Make some rounds to warm up, then those that are timed."""
    points = np.random.default_rng(0).random((n, d))
    graph = nx.connected_watts_strogatz_graph(n, 2 * edges // n, 0.5, seed=0)
    form: ConsensusForm = cx.DistributedMedian(points, graph).canonical(ConsensusForm)
    warm_up(form)
    talk: Any = Timed(transport(form))
    method = DecentralisedAdmm(form, talk.block, DEFAULTS)
    state = method.start(talk, None)
    for _ in range(max(1, rounds // 10)):
        method.step(talk, state)
    talk.barrier()
    talk.seconds, begin = 0.0, time.perf_counter()
    for _ in range(rounds):
        method.step(talk, state)
    talk.barrier()
    elapsed = time.perf_counter() - begin
    if talk.rank == 0:
        print(rounds / elapsed, talk.seconds / elapsed)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

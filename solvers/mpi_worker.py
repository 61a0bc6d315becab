"""One process of an MPI run: the transport, and the program that the launcher starts."""

from __future__ import annotations

import pickle
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from multiprocessing.connection import Client
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Options, Raw, Reporter
from convexnn.contract.system.optional import need
from convexnn.contract.system.processes import mpiexec, rank, world
from convexnn.solvers.exchange import split, total

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convexnn.solvers.mpi import Shareable


class MpiTransport:
    """A block of agents a process, and messages between processes that share an edge only.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
    edges : int array of shape (m, 2)
    n : int
    parts : str, default "agents"
        What the n things are called.
    """

    def __init__(self, comm: Any, edges: NDArray[np.int64], n: int, parts: str = "agents") -> None:
        self.comm, self.rank, self.size = comm, comm.Get_rank(), comm.Get_size()
        if self.size > n:
            raise ValueError(
                f"processes must be at most the number of {parts} {n}, got {self.size}"
            )
        self.edges, self.n = len(edges), n
        self.rounds = self.messages = 0
        blocks = split(edges, n, self.size)
        self.block = blocks[self.rank]
        self.agents = np.array([block.stop - block.start for block in blocks])
        starts = np.array([block.start for block in blocks])
        owner = np.searchsorted(starts, self.block.ghosts, side="right") - 1
        sources, self.take = np.unique(owner, return_counts=True)
        rows, self.give, targets = [], [], []
        for p, block in enumerate(blocks):
            mine = (block.ghosts >= self.block.start) & (block.ghosts < self.block.stop)
            if p != self.rank and mine.any():
                targets.append(p)
                rows.append(block.ghosts[mine] - self.block.start)
                self.give.append(len(rows[-1]))
        self.rows = np.concatenate([np.empty(0, dtype=np.int64), *rows])
        self.graph = comm.Create_dist_graph_adjacent(sources.tolist(), targets)
        self.buffer = np.empty((0, 0))

    def exchange(self, own: Array) -> Array:
        """Send rows to the processes that need them; return own rows and the ghosts' below."""
        self.rounds += 1
        self.messages += 2 * self.edges
        k, d = own.shape
        if self.buffer.shape[1] != d:
            self.buffer = np.empty((k + len(self.block.ghosts), d))
            self.sent = (np.array(self.give, dtype=int) * d).tolist()
            self.received = (self.take * d).tolist()
        self.buffer[:k] = own
        self.graph.Neighbor_alltoallv(
            (np.ascontiguousarray(own[self.rows]), self.sent), (self.buffer[k:], self.received)
        )
        return self.buffer

    def allreduce(self, values: Array) -> Array:
        """Return the sum of all rows, in the order of the agents whatever the processes."""
        self.messages += 2 * (self.n - 1)
        return total(self._gather(values, self.agents))

    def gather(self, own: Array, counts: Sequence[int] | None = None) -> Array:
        """Return the rows of all processes."""
        told = self.comm.allgather(len(own)) if counts is None else counts
        return self._gather(own, np.array(told))

    def deal(self, pieces: Sequence[Array], sizes: Sequence[int]) -> list[Array]:
        """Send each process its piece; return what each sent here."""
        sent = np.concatenate([piece.ravel() for piece in pieces])
        received = np.empty(sum(sizes))
        lengths = [piece.size for piece in pieces]
        self.comm.Alltoallv((sent, lengths), (received, list(sizes)))
        return np.split(received, np.cumsum(sizes)[:-1])

    def _gather(self, own: Array, counts: NDArray[np.int64]) -> Array:
        whole = np.empty((int(counts.sum()), own.shape[1]))
        self.comm.Allgatherv(np.ascontiguousarray(own), (whole, (counts * own.shape[1]).tolist()))
        return whole

    def share(self, whole: Array, rows: int) -> Array:
        """Return this process's rows of all."""
        counts = self.comm.allgather(rows)
        first = sum(counts[: self.rank])
        return whole[first : first + rows].copy()

    def agree(self, flag: bool) -> bool:
        """Return what the first process says."""
        said = np.array([flag])
        self.comm.Bcast(said, root=0)
        return bool(said[0])

    def barrier(self) -> None:
        """Wait for all processes."""
        self.comm.Barrier()


def take_part(
    module: str,
    form: Any,
    own: dict[str, Any],
    options: Options,
    reporter: Reporter,
    start: Any,
) -> Raw:
    """Run this process's share of a module's engine; if it breaks down alone, end the whole job.

    Raises
    ------
    ValueError
        If the processes do not find each other, are more than the agents or shards, or were given
        wrong options: every process comes to it alike.
    """
    comm = need("mpi4py.MPI", "mpi").COMM_WORLD
    started = world() or comm.Get_size()
    if comm.Get_size() != started:
        raise ValueError(
            f"mpiexec must be of the MPI that mpi4py loads: it started {started} processes, and "
            f"each finds {comm.Get_size()}. Put the right one beside Python or in CONVEXNN_MPIEXEC "
            f"(now {mpiexec()}), or choose the library with MPI4PY_MPIABI"
        )
    engine: Shareable = import_module(module)
    talk = MpiTransport(comm, *engine.crowd(form, own))
    try:
        return engine.share(talk, form, own, options, reporter, start)
    except ValueError:
        raise
    except BaseException:
        give_up()
        raise


def give_up() -> None:
    """Print the exception and end the job: the other processes would wait for this one."""
    traceback.print_exc()
    sys.stderr.flush()
    need("mpi4py.MPI", "mpi").COMM_WORLD.Abort(1)


class Remote:
    """The launcher's reporter, over the line that the first process holds."""

    def __init__(self, line: Any) -> None:
        self.line = line

    def report(self, iteration: int, primal: Any, dual: Any) -> bool:
        """Have a point graded."""
        self.line.send(("report", iteration, primal, dual))
        return bool(self.line.recv())

    def expired(self) -> bool:
        """Ask whether time is up."""
        self.line.send(("expired",))
        return bool(self.line.recv())

    def remaining(self) -> float | None:
        """Return None: the launcher keeps the time."""
        return None


class Silent:
    """The reporter of the other processes: they hear the first one's answers."""

    def report(self, iteration: int, primal: Any, dual: Any) -> bool:
        """Return False."""
        return False

    def expired(self) -> bool:
        """Return False."""
        return False

    def remaining(self) -> float | None:
        """Return None."""
        return None


def main(folder: Path) -> None:
    """Read the form, run, and tell the launcher how it ended."""
    told = pickle.loads((folder / "job").read_bytes())
    module, form, own, options, start, key = told
    line: Any = None
    if rank() == 0:
        line = Client(str(folder / "socket"), "AF_UNIX", authkey=key.encode())
    reporter: Reporter = Silent() if line is None else Remote(line)
    try:
        raw = take_part(module, form, own, options, reporter, start)
    except ValueError as error:  # every process comes to it alike
        if line is not None:
            line.send(("error", str(error)))
        return
    if line is not None:
        line.send(("end", *raw))


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except BaseException:
        give_up()

"""How agents talk: one protocol for every transport, and the serial one that is the reference.

An engine over a graph sees a block of agents and this protocol. Every number that it computes is
either an agent's own, from what its neighbours sent, or a sum over all agents in their order: the
iterates do not depend on how the agents are spread over processes, to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from convexnn.contract.arrays import Array

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Block(NamedTuple):
    """The agents of one process, and where to find their neighbours.

    Attributes
    ----------
    start, stop : int
        The agents are ``start, ..., stop - 1``.
    indptr : int array of shape (stop - start + 1,)
    indices : int array
        Neighbours of each agent in ascending order, as rows of what `Exchange.exchange` returns.
    tail, head : int arrays
        The same edges by the agents' numbers.
    ghosts : int array
        Agents of other processes whose points are needed, ascending.
    """

    start: int
    stop: int
    indptr: NDArray[np.int64]
    indices: NDArray[np.int64]
    tail: NDArray[np.int64]
    head: NDArray[np.int64]
    ghosts: NDArray[np.int64]

    @property
    def own(self) -> slice:
        """Return the agents as a slice of all."""
        return slice(self.start, self.stop)


class Exchange(Protocol):
    """What an engine over a graph may ask of the others.

    Attributes
    ----------
    rank, size : int
        This process and how many there are.
    block : Block
    rounds : int
        Exchanges so far.
    messages : int
        Two over every edge for each exchange, and two over every edge of a spanning tree for each
        reduction: what agents on machines of their own would send.
    """

    rank: int
    size: int
    block: Block
    rounds: int
    messages: int

    def exchange(self, own: Array) -> Array:
        """Send each agent's row to its neighbours; return own rows and the ghosts' below."""
        ...

    def allreduce(self, values: Array) -> Array:
        """Return the sum over all agents of one row of numbers each."""
        ...

    def gather(self, own: Array, counts: Sequence[int] | None = None) -> Array:
        """Return the rows of all processes, so many of each where told; it counts for nothing."""
        ...

    def deal(self, pieces: Sequence[Array], sizes: Sequence[int]) -> list[Array]:
        """Send each process its piece; return what each sent here, flat, of these sizes."""
        ...

    def share(self, whole: Array, rows: int) -> Array:
        """Return this process's rows of all, so many: the inverse of `gather`."""
        ...

    def agree(self, flag: bool) -> bool:
        """Return what the first process says, to all of them."""
        ...

    def barrier(self) -> None:
        """Wait for all processes."""
        ...


class Serial:
    """Every agent in one process; the reference.

    Parameters
    ----------
    edges : int array of shape (m, 2)
    n : int

    Examples
    --------
    >>> talk = Serial(np.array([[0, 1], [1, 2]]), 3)
    >>> talk.exchange(np.eye(3)).shape, talk.rounds, talk.messages
    ((3, 3), 1, 4)
    """

    rank = 0
    size = 1

    def __init__(self, edges: NDArray[np.int64], n: int) -> None:
        self.block = split(edges, n, 1)[0]
        self.edges, self.n = len(edges), n
        self.rounds = self.messages = 0

    def exchange(self, own: Array) -> Array:
        """Return the rows themselves: every neighbour is here."""
        self.rounds += 1
        self.messages += 2 * self.edges
        return own

    def allreduce(self, values: Array) -> Array:
        """Return the sum of the rows."""
        self.messages += 2 * (self.n - 1)
        return total(values)

    def gather(self, own: Array, counts: Sequence[int] | None = None) -> Array:
        """Return a copy of the rows."""
        return own.copy()

    def deal(self, pieces: Sequence[Array], sizes: Sequence[int]) -> list[Array]:
        """Return the one piece."""
        return [piece.ravel() for piece in pieces]

    def share(self, whole: Array, rows: int) -> Array:
        """Return the rows themselves."""
        return whole

    def agree(self, flag: bool) -> bool:
        """Return the flag."""
        return flag

    def barrier(self) -> None:
        """Do nothing."""


def split(edges: NDArray[np.int64], n: int, processes: int) -> list[Block]:
    """Return consecutive blocks of nearly equal size, one for each process.

    Examples
    --------
    >>> [block.ghosts.tolist() for block in split(np.array([[0, 1], [1, 2]]), 3, 2)]
    [[1], [0]]
    """
    tail = np.concatenate([edges[:, 0], edges[:, 1]])
    head = np.concatenate([edges[:, 1], edges[:, 0]])
    order = np.lexsort((head, tail))
    tail, head = tail[order], head[order]
    blocks = []
    for start, stop in pairwise(cut(n, processes)):
        mine = slice(*np.searchsorted(tail, [start, stop]))
        t, h = tail[mine], head[mine]
        indptr = np.searchsorted(t, np.arange(start, stop + 1))
        here = (h >= start) & (h < stop)
        ghosts = np.unique(h[~here])
        indices = np.where(here, h - start, stop - start + np.searchsorted(ghosts, h))
        blocks.append(Block(start, stop, indptr, indices, t, h, ghosts))
    return blocks


def cut(n: int, parts: int) -> list[int]:
    """Return where each of so many nearly equal parts of n things begins, and n.

    Examples
    --------
    >>> cut(7, 3)
    [0, 2, 4, 7]
    """
    return [n * p // parts for p in range(parts + 1)]


def total(values: Array) -> Array:
    """Return the sum of the rows in their order."""
    result: Array = np.cumsum(values, axis=0)[-1]
    return result

"""FISTA with the data in shards and the blocks of weights dealt out, over a transport.

The examples are cut into shards, consecutive ones to a process, and so are the patterns. A process
has the products of its own examples with all blocks, and the momentum, the prox and the facets of
its own patterns' blocks; what is of the size of the targets every process does for itself. In each
step the blocks and the predictions are gathered, and the shards' parts of the adjoint are added
along a binary tree over the shards. That tree, and every other order of a sum, is the same however
the shards are spread: so are the iterates, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Options, Raw, Reporter
from convexnn.contract.checks import positive_int
from convexnn.relu.cones import Facets
from convexnn.relu.forms import Dual, GroupForm
from convexnn.solvers.checkpoint import Checkpoint
from convexnn.solvers.exchange import Exchange, Serial, cut
from convexnn.solvers.relu.block_prox import BlockProx
from convexnn.solvers.relu.block_prox import warm_up as warm_up_prox
from convexnn.solvers.relu.fista import Saved, accelerate
from convexnn.solvers.rounds import OWN

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARDS = 16  # or as many as there are examples, if fewer
NO_EDGES = np.empty((0, 2), dtype=np.int64)
DEFAULTS = {**OWN, "shards": None}


class Sharded:
    """Products and prox of a `GroupForm` by all processes together; blocks are each one's own.

    The products are those of `device_products.Products`, `start` and `dual` those of
    `BlockProx` for all blocks.

    Parameters
    ----------
    form : GroupForm
    talk : Exchange
        Its agents are the shards.
    shards : int
    """

    single = False
    growth = 1.1

    def __init__(self, form: GroupForm, talk: Exchange, shards: int) -> None:
        (n, d), P = form.X.shape, form.slopes.shape[1]
        self._form, self._talk, self._d = form, talk, d
        ends, places = cut(n, shards), cut(shards, talk.size)
        self._tree = [cover(0, shards, a, b) for a, b in pairwise(places)]
        self._counts = [ends[b] - ends[a] for a, b in pairwise(places)]
        self._rows = {s: slice(ends[s], ends[s + 1]) for s in range(shards)}
        free = form._replace(signs=None)  # the cones' two blocks of a pattern enter as one
        self._parts = {
            s: free._replace(
                X=_read_only(form.X[rows]), y=form.y[rows], slopes=_read_only(form.slopes[rows])
            )
            for s, rows in self._rows.items()
            if talk.block.start <= s < talk.block.stop
        }
        patterns = [slice(a, b) for a, b in pairwise(cut(P, talk.size))]
        self._blocks, self._pairs = Dealt(form.blocks, P, patterns), Dealt(free.blocks, P, patterns)
        own = patterns[talk.rank]
        signs = None if form.signs is None else form.signs[own]
        self._prox = BlockProx(form._replace(slopes=form.slopes[:, own], signs=signs))

    def send(self, rows: Any) -> Any:
        """Return this process's blocks."""
        return rows[self._blocks.owned[self._talk.rank]]

    def fetch(self, rows: Array) -> Array:
        """Return the blocks of all processes."""
        return self._blocks.gather(self._talk, rows)

    def predict(self, rows: Array) -> Array:
        """Return ``sum_p S_p * (X u_p)``."""
        return self._image(self._pairs.gather(self._talk, self._united(rows, -1.0)))

    def trial(self, rows: Array, at: Array, before: Array) -> tuple[Array, float, float]:
        """Return `predict` and two inner products; what they take travels with the blocks."""
        shift = rows - at
        dots = np.stack([(shift * to).sum(axis=1) for to in (shift, rows - before)], axis=1)
        own = np.hstack([self._united(rows, -1.0), self._united(dots, 1.0)])
        whole = self._pairs.gather(self._talk, own)
        moved, turned = whole[:, self._d :].sum(axis=0).tolist()
        return self._image(np.ascontiguousarray(whole[:, : self._d])), moved, turned

    def _united(self, rows: Array, sign: float) -> Array:
        """Return one row for each pattern: of cones, the first block's and the second's signed."""
        if self._form.signs is None:
            return rows
        half = len(rows) // 2
        return rows[:half] + sign * rows[half:]

    def _image(self, whole: Array) -> Array:
        """Return the predictions of one row for each pattern, from the shards' own."""
        z = np.concatenate([part.predict(whole) for part in self._parts.values()])
        gathered = self._talk.gather(z.reshape(len(z), -1), self._counts)
        return gathered.reshape(self._form.y.shape)

    def correlate(self, r: Array) -> Array:
        """Return the adjoint of `predict`."""
        rank, d = self._talk.rank, self._d

        def of_shard(low: int, high: int) -> Array | None:
            return self._parts[low].correlate(r[self._rows[low]]) if high == low + 1 else None

        partial = np.stack([along_tree(*node, of_shard) for node in self._tree[rank]])
        mine = len(self._pairs.owned[rank])
        received = self._talk.deal(
            [partial[:, owned] for owned in self._pairs.owned],
            [len(nodes) * mine * d for nodes in self._tree],
        )
        known: dict[tuple[int, int], Array] = {}
        for nodes, sent in zip(self._tree, received, strict=True):
            known.update(zip(nodes, sent.reshape(len(nodes), mine, d), strict=True))
        rows = along_tree(0, len(self._rows), lambda low, high: known.get((low, high)))
        return rows if self._form.signs is None else np.concatenate([rows, -rows])

    def prox(self, rows: Array, step: float) -> Array:
        """Return the prox of the penalty, in each block's cone."""
        return self._prox(rows, step)

    def start(self, dual: Dual, step: float) -> None:
        """Start from the facets of a dual point."""
        if dual.facets is not None and len(dual.facets.example) == self._form.blocks:
            self._prox.start(Dual(dual.mu, Facets(*map(self.send, dual.facets))), step)

    def dual(self, mu: Array, step: float) -> Dual:
        """Return a dual point with the facets at hand, their multipliers freed of the step."""
        facets = self._prox.dual(mu, step).facets
        if facets is None:
            return Dual(mu)
        example = self.fetch(facets.example.astype(np.float64)).astype(np.int32)
        return Dual(mu, Facets(example, self.fetch(facets.value)))


class Dealt:
    """Blocks dealt out by their patterns.

    Parameters
    ----------
    blocks, P : int
        Block b is of pattern ``b % P``.
    patterns : list of slice
        Those of each process.

    Attributes
    ----------
    owned : list of int array
        The blocks of each process.
    """

    def __init__(self, blocks: int, P: int, patterns: list[slice]) -> None:
        table = np.arange(blocks).reshape(-1, P)
        self.owned: list[NDArray[np.int64]] = [table[:, own].ravel() for own in patterns]
        self._counts = [len(own) for own in self.owned]
        order = np.concatenate(self.owned)
        self._places = None if len(table) == 1 else np.argsort(order)

    def gather(self, talk: Exchange, own: Array) -> Array:
        """Return the rows of all blocks, in their order."""
        gathered = talk.gather(own, self._counts)
        return gathered if self._places is None else gathered[self._places]


def cover(low: int, high: int, start: int, stop: int) -> list[tuple[int, int]]:
    """Return the largest nodes of the tree over ``low, ..., high - 1`` that a range is made of.

    Examples
    --------
    >>> cover(0, 8, 0, 8), cover(0, 8, 3, 8)
    ([(0, 8)], [(3, 4), (4, 8)])
    """
    if stop <= low or high <= start:
        return []
    if start <= low and high <= stop:
        return [(low, high)]
    middle = (low + high) // 2
    return cover(low, middle, start, stop) + cover(middle, high, start, stop)


def along_tree(low: int, high: int, known: Callable[[int, int], Array | None]) -> Array:
    """Return the sum over a node of the tree, of its halves where it is not known.

    Examples
    --------
    >>> along_tree(0, 3, lambda low, high: np.array(low + 1.0) if high == low + 1 else None)
    np.float64(6.0)
    """
    found = known(low, high)
    if found is not None:
        return found
    middle = (low + high) // 2
    return along_tree(low, middle, known) + along_tree(middle, high, known)


def crowd(form: GroupForm, own: dict[str, Any]) -> tuple[NDArray[np.int64], int, str]:
    """Return no edges, the number of shards, and their name."""
    n = len(form.X)
    if own["shards"] is None:
        return NO_EDGES, min(SHARDS, n), "shards"
    shards = positive_int("shards", own["shards"])
    if shards > n:
        raise ValueError(f"shards must be at most the number of examples {n}, got {shards}")
    return NO_EDGES, shards, "shards"


def share(
    talk: Exchange,
    form: GroupForm,
    own: dict[str, Any],
    options: Options,
    reporter: Reporter,
    start: Any,
) -> Raw:
    """Iterate until the first process's reporter is satisfied, from a checkpoint if there is one.

    Options
    -------
    checkpoint : path, optional
        Where the state is kept and resumed from.
    every : int, default 100
        Steps between checkpoints.
    shards : int, optional
        Parts that the examples are cut into: 16, or as many as there are examples, if left out.

    Raises
    ------
    ValueError
        If an option is wrong, or the checkpoint of another run.
    """
    every = positive_int("every", own["every"])
    shards = crowd(form, own)[1]
    products = Sharded(form, talk, shards)
    saved = None
    if own["checkpoint"] is not None:
        told = {**own, "shards": shards}
        saved = Saved(Checkpoint(Path(told["checkpoint"]), "mpi:fista", form, told), every)
    return accelerate(
        form, lambda _: products, products, "float64", options, reporter, start, talk, saved
    )


def refusal(form: GroupForm) -> str | None:
    """Return None, or that the total is not a sum over the examples."""
    return None if form.loss.additive else "its risk couples the examples"


def warm_up(form: GroupForm) -> None:
    """Compile the kernels, for a form as it is here and as it comes from the launcher."""
    warm_up_prox(form)
    products = Sharded(form, Serial(NO_EDGES, 1), 1)
    products.predict(products.correlate(np.zeros_like(form.y)))


def _read_only(array: Array) -> Array:
    """Return a view that no one writes to: one compiled kernel serves every process."""
    view = array.view()
    view.setflags(write=False)
    return view

"""Search cones of neurons best first, and bound again the cones that a search was left with.

The sphere is covered by the orthants; the cone of the largest bound is split in two until that
bound is near the best value found. `pricing_bound` says what is bounded, and how.

Kernels take all their room from outside: one that needs more says so, is given it, and goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convexnn.contract.arrays import Array, BoolArray, IndexArray, IntArray
from convexnn.contract.system.kernels import kernel
from convexnn.relu.pricing.ascents import maxima
from convexnn.relu.pricing.cone_bound import bound_on, room_for
from convexnn.relu.pricing.simplicial_cones import (
    decide,
    edge_to_split,
    half,
    middle,
    orthant,
    values,
    values_at_half,
)
from convexnn.relu.pricing.vectors import add, fill, fill_rows, product, size_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEMORY = 1 << 28  # bytes the open cones may fill
CONES, POOL = 256, 1 << 13  # open ones, and their examples, for which there is room at first
GROWTH = 3  # of the room for examples, times those that are kept
DEPTH = 64  # the same of cones on the way down a tree
BRANCHES = 32  # times the examples for which there is room at first on the way down
FULL, OVER, UNCOVERED, CLIMBING = 0, 1, 2, 3  # how a search ends, or why it stands still
COUNT, MADE, HEAPED, VACANT, USED, END, HELD, GOOD = range(8)  # what the state of a search counts


class Open(NamedTuple):
    """The cones that a search has open, each in a slot, and what it has found.

    Attributes
    ----------
    cones : array of shape (m, 2 r + 2, r)
        Each with its maximiser.
    bounds : array of shape (m,)
    names, begins, sizes : arrays of int, shape (m,)
        The order in which it was bounded, from 1, and which part of the pool is its own.
    heap, vacant : arrays of int, shape (m,)
        The slots in use, the largest bound first, and those that were.
    examples : array of int32, shape (l,)
        The pool: undecided examples.
    z : array of shape (l,)
        Their multipliers to start from.
    splits : array of int32, shape (s, 3)
        The cone by its name, and the edge, in the order in which they were split.
    point : array of shape (r,)
        The best neuron.
    start : array of shape (r,)
        A good one to climb from.
    best : array of shape (2,)
        The largest bound of the cones that are closed, and the largest value.
    state : array of int, shape (8,)
        Cones bounded, splits made, slots in the heap, vacant, ever used, the end of what is used of
        the pool, bytes held, and whether there is a neuron to climb from.
    """

    cones: Array
    bounds: Array
    names: IndexArray
    begins: IndexArray
    sizes: IndexArray
    heap: IndexArray
    vacant: IndexArray
    examples: IntArray
    z: Array
    splits: IntArray
    point: Array
    start: Array
    best: Array
    state: IndexArray


class Work(NamedTuple):
    """What one split is worked out on.

    Attributes
    ----------
    cone : array of shape (2 r + 2, r)
    whole, T : arrays of shape (n, r)
        Products with the generators of the cone that is split, and of a half.
    kept : array of int, shape (n,)
    u, v : arrays of shape (r,)
    """

    cone: Array
    whole: Array
    T: Array
    kept: IndexArray
    u: Array
    v: Array


def _work(n: int, r: int) -> Work:
    cone, whole, T = np.empty((2 * r + 2, r)), np.empty((n, r)), np.empty((n, r))
    return Work(cone, whole, T, np.empty(n, np.int64), np.empty(r), np.empty(r))


def _opened(n: int, r: int) -> Open:
    """Return room for a search; the first slot holds all examples, for the orthants."""
    names, begins, sizes, heap, vacant = (np.zeros(CONES, np.int64) for _ in range(5))
    sizes[0] = n
    examples, z = np.empty(POOL + 4 * n, np.int32), np.empty(POOL + 4 * n)
    examples[:n], z[:n] = np.arange(n), 0.5
    state = np.array([0, 0, 0, 0, 1, n, 0, 0])
    cones, splits = np.empty((CONES, 2 * r + 2, r)), np.empty((CONES, 3), np.int32)
    own = (cones, np.empty(CONES), names, begins, sizes, heap, vacant)
    return Open(*own, examples, z, splits, np.zeros(r), np.zeros(r), np.zeros(2), state)


def _roomier(held: Open, n: int) -> Open:
    """Return the same with more room where it was scarce, the pool without gaps."""
    state = held.state
    if held.state[MADE] == len(held.splits):
        held = held._replace(splits=np.concatenate([held.splits, np.empty_like(held.splits)]))
    if len(held.heap) - state[USED] + state[VACANT] < 2:
        names = ("cones", "bounds", "names", "begins", "sizes", "heap", "vacant")
        parts = {name: getattr(held, name) for name in names}
        held = held._replace(
            **{name: np.concatenate([part, np.empty_like(part)]) for name, part in parts.items()}
        )
    if state[END] + 2 * n > len(held.examples):
        slots = held.heap[: state[HEAPED]]
        if state[COUNT] < 1 << len(held.point):
            slots = np.append(slots, 0)  # the orthants' own
        sizes = held.sizes[slots]
        total = int(sizes.sum())
        begins = np.cumsum(sizes) - sizes
        rows = np.repeat(held.begins[slots] - begins, sizes) + np.arange(total)
        size = GROWTH * (total + 2 * n)
        examples, z = np.empty(size, np.int32), np.empty(size)
        examples[:total], z[:total] = held.examples[rows], held.z[rows]
        held.begins[slots] = begins
        state[END] = total
        held = held._replace(examples=examples, z=z)
    return held


def search(
    Y: Array,
    positive: BoolArray,
    base: Array,
    allowance: float,
    l1: bool,
    target: float,
    rel_tol: float,
    nodes: int,
    late: BoolArray,
) -> tuple[float, Array, int, IntArray]:
    """Bound cones best first; return an upper bound, the best neuron and the splits in order.

    The splits name the cone by the order in which it was bounded, from 1, and the edge.

    Examples
    --------
    >>> terms = np.eye(2), np.array([True, True]), np.zeros(2), 0.0
    >>> upper, point, count, splits = search(*terms, False, 0.0, 1e-9, 9, np.array([False]))
    >>> round(upper, 6), point.round(6), count, len(splits)
    (1.414214, array([0.707107, 0.707107]), 4, 0)
    """
    n, r = len(Y), len(base)
    held, room, work = _opened(n, r), room_for(n, r), _work(n, r)
    lengths = np.sqrt(np.sum(np.square(Y), axis=1))
    norm = True if l1 else None
    terms = Y, positive, lengths, base, float(allowance), norm
    while True:
        end = _search(*terms, target, rel_tol, nodes, late, held, room, work)
        if held.state[GOOD]:
            _climb(Y, positive, base, held)
        if end == FULL:
            held = _roomier(held, n)
        elif end != CLIMBING:
            break
    count, made, heaped = (int(held.state[k]) for k in (COUNT, MADE, HEAPED))
    if end == UNCOVERED:
        return np.inf, held.point, count, held.splits[:0]
    top = held.bounds[held.heap[0]] if heaped else -np.inf
    return max(float(held.best[0]), float(top)), held.point, count, held.splits[:made]


def _climb(Y: Array, positive: BoolArray, base: Array, held: Open) -> None:
    """Climb from a good neuron to a local maximum, in the l2 norm."""
    held.state[GOOD] = 0
    u = maxima(Y, np.where(positive, 1.0, -1.0), base, held.start[None])[0]
    size = np.sqrt(u @ u)
    if not size > 0.0:
        return
    u /= size
    t = np.maximum(Y @ u, 0.0)
    reached = base @ u + t[positive].sum() - t[~positive].sum()
    if reached > held.best[1]:
        held.best[1] = reached
        held.point[:] = u


@kernel(inner=True)
def _attained(Y, positive, l1, cone, index, kept, left, lam, u):  # type: ignore[no-untyped-def]
    """Fill in the neuron where a cone's bound is attained, of unit norm; return its value.

    lam is divided by its sum.
    """
    r = Y.shape[1]
    total = 0.0
    for k in range(r):
        total += lam[k]
        u[k] = 0.0
    for k in range(r):
        lam[k] = lam[k] / total if total > 0.0 else 1.0 / r
        add(lam[k], cone, k, u)
    total = size_of(u, l1)
    for j in range(r):
        u[j] /= total
    reached = product(cone, 2 * r, u)
    for p in range(left):
        e = index[kept[p]]
        t = product(Y, e, u)
        if t > 0.0:
            reached += t if positive[e] else -t
    return reached


@kernel(inner=True)
def _before(bounds, names, a, b):  # type: ignore[no-untyped-def]
    """Tell whether slot a comes before slot b: by its bound, then by its name."""
    return bounds[a] > bounds[b] or (bounds[a] == bounds[b] and names[a] < names[b])


@kernel(inner=True)
def _push(heap, size, bounds, names, slot):  # type: ignore[no-untyped-def]
    """Put a slot into a heap of so many."""
    while size > 0 and _before(bounds, names, slot, heap[(size - 1) // 2]):
        heap[size] = heap[(size - 1) // 2]
        size = (size - 1) // 2
    heap[size] = slot


@kernel(inner=True)
def _pop(heap, size, bounds, names):  # type: ignore[no-untyped-def]
    """Take the first slot out of a heap of one more than so many."""
    first, slot = heap[0], heap[size]
    at, child = np.int64(0), np.int64(1)
    while child < size:
        if child + 1 < size and _before(bounds, names, heap[child + 1], heap[child]):
            child += 1
        if not _before(bounds, names, heap[child], slot):
            break
        heap[at] = heap[child]
        at, child = child, 2 * child + 1
    heap[at] = slot
    return first


@kernel(nogil=True)
def _search(  # type: ignore[no-untyped-def]
    Y,
    positive,
    lengths,
    base,
    allowance,
    l1,
    target,
    rel_tol,
    nodes,
    late,
    held,
    room,
    work,
):
    """Search until the end, until there is no room for another split, or to climb."""
    n, r = Y.shape
    cones, bounds, names, begins, sizes, heap, vacant, pool, multipliers = held[:9]
    splits, point, climbed, best, state = held[9:]
    cone, whole, T, kept, u, v = work
    b, lam, z = cone[2 * r], cone[2 * r + 1], room.z
    row = 16 * (r * r + r)
    while state[COUNT] < 1 << r or state[HEAPED] > 0:
        if (
            state[MADE] == splits.shape[0]
            or heap.shape[0] - state[USED] + state[VACANT] < 2
            or state[END] + 2 * n > pool.shape[0]
        ):
            return FULL
        if state[GOOD] and state[COUNT] >= 1 << r:
            return CLIMBING
        slot, first, second = np.int64(0), np.int64(-1), np.int64(-1)
        parent, share = np.inf, 0.5
        splitting = state[COUNT] >= 1 << r
        if splitting:
            slot = heap[0]
            parent = bounds[slot]
            upper = max(parent, best[0])
            if upper <= target or upper - best[1] <= rel_tol * upper + allowance:
                break
            if state[COUNT] + 2 > nodes or state[HELD] > MEMORY or late[0]:
                break
            state[HEAPED] -= 1
            _pop(heap, state[HEAPED], bounds, names)
        elif state[HELD] > MEMORY or late[0]:
            return UNCOVERED
        begin, end = begins[slot], begins[slot] + sizes[slot]
        index, start, around = pool[begin:end], multipliers[begin:end], cones[slot]
        if splitting:
            state[HELD] -= row + 12 * index.shape[0]
            values(Y, index, around, whole)
            first, second = edge_to_split(around, whole, index, positive)
            if first < 0:
                best[0] = max(best[0], parent)
                vacant[state[VACANT]] = slot
                state[VACANT] += 1
                continue
            splits[state[MADE], 0] = names[slot]
            splits[state[MADE], 1] = first
            splits[state[MADE], 2] = second
            state[MADE] += 1
            share = middle(around, first, second, l1, u)
        for child in range(2 if splitting else 1):
            if splitting:
                gone, stays = (first, second) if child == 0 else (second, first)
                half(around, gone, stays, u, share, cone)
                values_at_half(Y, index, u, gone, whole, T)
            else:
                orthant(state[COUNT], base, cone)
                values(Y, index, cone, T)
            state[COUNT] += 1
            left = decide(Y, positive, lengths, index, T, b, kept)
            bound = bound_on(
                cone, Y, positive, lengths, l1, index, kept, left, T, start, target, room
            )
            bound = max(bound if bound < parent else parent, 0.0)
            if bound <= target:
                best[0] = max(best[0], bound)
                continue
            fill(lam, room.lam)
            reached = _attained(Y, positive, l1, cone, index, kept, left, lam, v)
            if l1 is None and (reached > best[1] or state[COUNT] & (state[COUNT] - 1) == 0):
                state[GOOD] = 1
                fill(climbed, v)
            if reached > best[1]:
                best[1] = reached
                fill(point, v)
            if bound - best[1] <= rel_tol * bound + allowance:
                best[0] = max(best[0], bound)
                continue
            if state[VACANT] > 0:
                state[VACANT] -= 1
                place = vacant[state[VACANT]]
            else:
                place = state[USED]
                state[USED] += 1
            fill_rows(cones[place], cone)
            bounds[place], names[place] = bound, state[COUNT]
            begins[place], sizes[place] = state[END], left
            negatives = np.int64(0)
            for p in range(left):
                e = index[kept[p]]
                pool[state[END] + p], multipliers[state[END] + p] = e, 0.0
                if not positive[e]:
                    multipliers[state[END] + p] = z[negatives]
                    negatives += 1
            state[END] += left
            _push(heap, state[HEAPED], bounds, names, place)
            state[HEAPED] += 1
            state[HELD] += row + 12 * left
        if splitting:
            vacant[state[VACANT]] = slot
            state[VACANT] += 1
    return OVER


def tree_of(splits: IntArray, r: int) -> NDArray[np.uint16]:
    """Return the splits as the tree of a `Cover`.

    Examples
    --------
    >>> tree_of(np.array([[2, 0, 1]], np.int32), 1)
    array([0, 2, 0, 0], dtype=uint16)
    """
    count = (1 << r) + 2 * len(splits)
    own, stack = np.full(count + 1, -1, np.int32), np.empty(count, np.int32)
    tree = np.zeros(count, np.uint16)
    _descend(np.asarray(splits), r, own, stack, tree)
    return tree


@kernel()
def _descend(splits, r, own, stack, out):  # type: ignore[no-untyped-def]
    """Fill in a tree; `own` is the split of each cone, -1 at first."""
    roots = 1 << r
    for k in range(splits.shape[0]):
        own[splits[k, 0]] = k
    at = 0
    for root in range(1, roots + 1):
        top = 1
        stack[0] = root
        while top > 0:
            top -= 1
            k = own[stack[top]]
            if k >= 0:
                out[at] = 1 + splits[k, 1] * r + splits[k, 2]
                stack[top] = roots + 2 * k + 2
                stack[top + 1] = roots + 2 * k + 1
                top += 2
            at += 1


def covered(
    Y: Array, positive: BoolArray, base: Array, l1: bool, limit: float, tree: NDArray[np.uint16]
) -> float:
    """Return the largest bound of a tree's leaves, inf if they do not cover the sphere.

    Those of at most `limit` are not bounded any better than that. A leaf is bounded by itself,
    from the multipliers that its middle suggests.

    Examples
    --------
    >>> terms = np.eye(2), np.array([True, True]), np.zeros(2)
    >>> round(covered(*terms, False, 0.0, np.zeros(4, np.uint16)), 6)
    1.414214
    >>> covered(*terms, False, 0.0, np.zeros(3, np.uint16))
    inf
    """
    n, r = len(Y), len(base)
    room, work = room_for(n, r), _work(n, r)
    lengths = np.sqrt(np.sum(np.square(Y), axis=1))
    terms = Y, positive, lengths, base, True if l1 else None
    every, own, start = np.arange(n, dtype=np.int32), np.empty(n, np.int32), np.empty(n)
    levels, branches = DEPTH, BRANCHES
    while True:
        cones, begins = np.empty((levels, 2 * r + 2, r)), np.zeros(levels + 1, np.int64)
        pool = np.empty(branches * n + 1, np.int32)
        found = cones, begins, pool, every, own, start, room, work
        largest = _covered(*terms, limit, tree, *found)
        if largest >= 0.0:
            return float(largest)
        levels, branches = 2 * levels, 2 * branches  # again, with more room on the way down


@kernel()
def _covered(  # type: ignore[no-untyped-def]
    Y, positive, lengths, base, l1, limit, tree, cones, begins, pool, every, own, start, room, work
):
    """Bound the leaves; return -1 if the cones or examples on the way down want more room."""
    r = Y.shape[1]
    cone, whole, T, kept, u, _ = work
    largest = 0.0
    at = np.int64(0)
    for root in range(1 << r):
        orthant(root, base, cone)
        values(Y, every, cone, whole)
        left = decide(Y, positive, lengths, every, whole, cone[2 * r], kept)
        fill_rows(cones[0], cone)
        for p in range(left):
            pool[p] = kept[p]
        begins[1] = left
        top = np.int64(1)
        while top > 0:
            top -= 1
            if at == tree.shape[0]:
                return np.inf
            code = np.int64(tree[at]) - 1
            at += 1
            begin = begins[top]
            index = own[: begins[top + 1] - begin]
            for p in range(index.shape[0]):
                index[p] = pool[begin + p]
            fill_rows(cone, cones[top])
            values(Y, index, cone, whole)
            if code < 0:
                for i in range(index.shape[0]):
                    kept[i] = i
                    t = 0.0
                    for k in range(r):
                        t += whole[i, k]
                    start[i] = 1.0 if t > 0.0 else 0.0
                left = index.shape[0]
                bound = bound_on(
                    cone, Y, positive, lengths, l1, index, kept, left, whole, start, limit, room
                )
                if not bound < np.inf:
                    return np.inf
                largest = max(largest, bound)
                continue
            first, second = code // r, code % r
            if first >= r or first == second:
                return np.inf
            share = middle(cone, first, second, l1, u)
            if top + 2 > cones.shape[0] or begin + 2 * index.shape[0] > pool.shape[0]:
                return -1.0
            for child in range(2):  # the first half is the next to be looked at
                gone, stays = (first, second) if child == 1 else (second, first)
                below = cones[top]
                half(cone, gone, stays, u, share, below)
                values_at_half(Y, index, u, gone, whole, T)
                left = decide(Y, positive, lengths, index, T, below[2 * r], kept)
                for p in range(left):
                    pool[begins[top] + p] = index[kept[p]]
                begins[top + 1] = begins[top] + left
                top += 1
    return largest if at == tree.shape[0] else np.inf

"""Search cones of neurons best first, and bound again the cones that a search was left with.

The sphere is covered by the orthants; the cone of the largest bound is split in two until that
bound is near the best value found. `pricing_bound` says what is bounded, and how.
"""

from __future__ import annotations

import heapq

import numpy as np

from convexnn.contract.system.kernels import kernel
from convexnn.relu.pricing.cone_bound import bound_on, room_for, shortest
from convexnn.relu.pricing.simplicial_cones import (
    decide,
    edge_to_split,
    half,
    middle,
    orthant,
    size_of,
    values,
    values_at_half,
)

ASCENTS = 20  # steps of local search from a good neuron, in the l2 norm
MEMORY = 1 << 28  # bytes the open cones may fill


@kernel()
def _lengths(Y):  # type: ignore[no-untyped-def]
    lengths = np.empty(Y.shape[0])
    for i in range(Y.shape[0]):
        lengths[i] = size_of(Y[i], False)
    return lengths


@kernel()
def _copied(source, target):  # type: ignore[no-untyped-def]
    """Copy the first arrays, or rows, of an array to the beginning of a longer one."""
    for i in range(source.shape[0]):
        for j in range(source.shape[1]):
            target[i, j] = source[i, j]


@kernel()
def _ascend(Y, positive, lengths, base, u, value, room):  # type: ignore[no-untyped-def]
    """Improve u, in the l2 norm, by the convex-concave procedure; return its value."""
    n, r = Y.shape
    v, z, G, square, caps = room.v, room.z, room.G, room.square, room.caps
    for i in range(n):
        caps[i] = 1.0
    for _ in range(ASCENTS):
        m = np.int64(0)
        for j in range(r):
            v[j] = base[j]
        for i in range(n):
            t = 0.0
            for j in range(r):
                t += Y[i, j] * u[j]
            if not positive[i]:
                z[m] = 0.0 if t < 0.0 else 1.0
                square[m] = lengths[i] * lengths[i]
                for j in range(r):
                    G[m, j] = Y[i, j]
                    v[j] -= z[m] * Y[i, j]
                m += 1
            elif t > 0.0:
                for j in range(r):
                    v[j] += Y[i, j]
        shortest(room, m, 0.0)
        size = size_of(v, False)
        if not size > 0.0:
            break
        reached = 0.0
        for j in range(r):
            v[j] /= size
            reached += base[j] * v[j]
        for i in range(n):
            t = 0.0
            for j in range(r):
                t += Y[i, j] * v[j]
            if t > 0.0:
                reached += t if positive[i] else -t
        if not reached > value:
            break
        value = reached
        for j in range(r):
            u[j] = v[j]
    return value


@kernel(inline="always")
def _attained(Y, positive, l1, cone, index, kept, left, lam, u):  # type: ignore[no-untyped-def]
    """Fill in the neuron where a cone's bound is attained, of unit norm; return its value.

    lam is divided by its sum.
    """
    r = Y.shape[1]
    total = size_of(lam, True)
    for k in range(r):
        lam[k] = lam[k] / total if total > 0.0 else 1.0 / r
    for j in range(r):
        u[j] = 0.0
        for k in range(r):
            u[j] += lam[k] * cone[k, j]
    total = size_of(u, l1)
    reached = 0.0
    for j in range(r):
        u[j] /= total
        reached += cone[2 * r, j] * u[j]
    for p in range(left):
        e = index[kept[p]]
        t = 0.0
        for j in range(r):
            t += Y[e, j] * u[j]
        if t > 0.0:
            reached += t if positive[e] else -t
    return reached


@kernel(inline="always")
def _undecided(positive, index, kept, left, z):  # type: ignore[no-untyped-def]
    """Return which examples a cone leaves undecided, and their multipliers."""
    own = np.empty(left, np.int32)
    found = np.zeros(left)
    negatives = 0
    for p in range(left):
        own[p] = index[kept[p]]
        if not positive[own[p]]:
            found[p] = z[negatives]
            negatives += 1
    return own, found


@kernel(nogil=True)
def search(Y, positive, base, allowance, l1, target, rel_tol, nodes, late):  # type: ignore[no-untyped-def]
    """Bound cones best first; return an upper bound, the best neuron and the splits in order.

    The splits name the cone by the order in which it was bounded, from 1, and the edge.
    """
    n, r = Y.shape[0], base.shape[0]
    lengths = _lengths(Y)
    cones = np.empty((256, 2 * r + 2, r))  # each with its maximiser
    # per stored cone, with the multipliers to start from
    undecided = [np.arange(n).astype(np.int32)]
    multipliers = [np.full(n, 0.5)]
    heap = [(-np.inf, 0, 0)]
    vacant = [0]
    heap.pop()
    vacant.pop()
    closed, value, point = 0.0, 0.0, np.zeros(r)
    count = held = made = 0
    splits = np.empty((256, 3), np.int32)
    room, ascent = room_for(n, r), room_for(n, r)
    cone = np.empty((2 * r + 2, r))
    Q, H, b, lam = cone[:r], cone[r : 2 * r], cone[2 * r], cone[2 * r + 1]
    at, multiplied = room.lam, room.z
    parent_T, T, kept = np.empty((n, r)), np.empty((n, r)), np.empty(n, np.int64)
    u, v = np.empty(r), np.empty(r)
    orthants = 1 << r
    while count < orthants or len(heap) > 0:
        slot = parent_name = 0
        parent, share = np.inf, 0.5
        first, second = -1, -1
        if count >= orthants:
            parent = -heap[0][0]
            upper = max(parent, closed)
            if upper <= target or upper - value <= rel_tol * upper + allowance:
                break
            if count + 2 > nodes or held > MEMORY or late[0]:
                break
            _, parent_name, slot = heapq.heappop(heap)
        elif held > MEMORY or late[0]:
            return np.inf, point, count, splits[:0]
        index, start = undecided[slot], multipliers[slot]
        if count >= orthants:
            held -= 16 * (r * r + r) + 12 * index.shape[0]
            values(Y, index, cones[slot], parent_T)
            first, second = edge_to_split(cones[slot], parent_T, index, positive)
            if first < 0:
                closed = max(closed, parent)
                vacant.append(slot)
                continue
            if made >= splits.shape[0]:
                longer = np.empty((2 * made, 3), np.int32)
                _copied(splits, longer)
                splits = longer
            splits[made, 0] = parent_name
            splits[made, 1] = first
            splits[made, 2] = second
            made += 1
            share = middle(cones[slot], first, second, l1, u)
        for child in range(1 if count < orthants else 2):
            if first < 0:
                orthant(count, base, Q, H, b)
                for i in range(n):
                    for k in range(r):
                        T[i, k] = Y[i, k] * Q[k, k]
            else:
                gone, stays = (first, second) if child == 0 else (second, first)
                half(cones[slot], gone, stays, u, share, Q, H, b)
                values_at_half(Y, index, u, gone, parent_T, T)
            count += 1
            left = decide(Y, positive, lengths, index, T, b, kept)
            bound = bound_on(
                cone, Y, positive, lengths, l1, index, kept, left, T, start, target, room
            )
            bound = max(bound if bound < parent else parent, 0.0)
            if bound <= target:
                closed = max(closed, bound)
                continue
            for k in range(r):
                lam[k] = at[k]
            reached = _attained(Y, positive, l1, cone, index, kept, left, lam, v)
            if not l1 and (reached > value or count & (count - 1) == 0):
                reached = _ascend(Y, positive, lengths, base, v, reached, ascent)
            if reached > value:
                value = reached
                for j in range(r):
                    point[j] = v[j]
            if bound - value <= rel_tol * bound + allowance:
                closed = max(closed, bound)
                continue
            own, again = _undecided(positive, index, kept, left, multiplied)
            if len(vacant) > 0:
                place = vacant.pop()
            else:
                place = len(undecided)
                undecided.append(own)
                multipliers.append(again)
                if place >= cones.shape[0]:
                    more = np.empty((2 * place, 2 * r + 2, r))
                    for q in range(place):
                        _copied(cones[q], more[q])
                    cones = more
            _copied(cone, cones[place])
            undecided[place] = own
            multipliers[place] = again
            held += 16 * (r * r + r) + 12 * left
            heapq.heappush(heap, (-bound, count, place))
        if first >= 0:
            vacant.append(slot)
    upper = closed
    if len(heap) > 0:
        upper = max(upper, -heap[0][0])
    return upper, point, count, splits[:made]


@kernel()
def tree_of(splits, r):  # type: ignore[no-untyped-def]
    """Return the splits as the tree of a `Cover`."""
    roots = 1 << r
    made = splits.shape[0]
    count = roots + 2 * made
    own = np.full(count + 1, -1, np.int32)  # the split of each cone
    for k in range(made):
        own[splits[k, 0]] = k
    out = np.zeros(count, np.uint16)
    stack = np.empty(count, np.int32)
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
    return out


@kernel()
def covered(Y, positive, base, l1, limit, tree):  # type: ignore[no-untyped-def]
    """Return the largest bound of a tree's leaves, inf if they do not cover the sphere.

    Those of at most `limit` are not bounded any better than that. A leaf is bounded by itself,
    from the multipliers that its middle suggests.
    """
    n, r = Y.shape[0], base.shape[0]
    lengths = _lengths(Y)
    cones = np.empty((64, 2 * r + 1, r))  # of the way down
    begins = np.zeros(65, np.int64)  # where each one's undecided examples are in the pool
    pool = np.empty(4 * n, np.int32)
    whole, every = np.arange(n).astype(np.int32), np.arange(n)
    room, cone = room_for(n, r), np.empty((2 * r + 1, r))
    T, half_T = np.empty((n, r)), np.empty((n, r))
    kept, start, u = np.empty(n, np.int64), np.empty(n), np.empty(r)
    largest = 0.0
    at = 0
    for root in range(1 << r):
        orthant(root, base, cones[0, :r], cones[0, r : 2 * r], cones[0, 2 * r])
        values(Y, whole, cones[0], T)
        left = decide(Y, positive, lengths, whole, T, cones[0, 2 * r], kept)
        for p in range(left):
            pool[p] = kept[p]
        begins[1] = left
        top = 1
        while top > 0:
            top -= 1
            if at == tree.shape[0]:
                return np.inf
            code = np.int64(tree[at]) - 1
            at += 1
            index = pool[begins[top] : begins[top + 1]].copy()
            count = index.shape[0]
            _copied(cones[top], cone)
            values(Y, index, cone, T)
            if code < 0:
                for i in range(count):
                    if positive[index[i]]:
                        continue
                    t = 0.0
                    for k in range(r):
                        t += T[i, k]
                    start[i] = 1.0 if t > 0.0 else 0.0
                bound = bound_on(
                    cone, Y, positive, lengths, l1, index, every, count, T, start, limit, room
                )
                if not bound < np.inf:
                    return np.inf
                largest = max(largest, bound)
                continue
            first, second = code // r, code % r
            if first >= r or first == second:
                return np.inf
            share = middle(cone, first, second, l1, u)
            if top + 2 > cones.shape[0]:
                more = np.empty((2 * top, 2 * r + 1, r))
                for q in range(top):
                    _copied(cones[q], more[q])
                cones = more
                later = np.zeros(2 * top + 1, np.int64)
                for q in range(top + 1):
                    later[q] = begins[q]
                begins = later
            if begins[top] + 2 * count > pool.shape[0]:
                longer = np.empty(2 * (pool.shape[0] + count), np.int32)
                for p in range(pool.shape[0]):
                    longer[p] = pool[p]
                pool = longer
            for child in (1, 0):  # the first half is the next to be looked at
                gone, stays = (first, second) if child == 0 else (second, first)
                Q, H, b = cones[top, :r], cones[top, r : 2 * r], cones[top, 2 * r]
                half(cone, gone, stays, u, share, Q, H, b)
                values_at_half(Y, index, u, gone, T, half_T)
                left = decide(Y, positive, lengths, index, half_T, b, kept)
                for p in range(left):
                    pool[begins[top] + p] = index[kept[p]]
                begins[top + 1] = begins[top] + left
                top += 1
    return largest if at == tree.shape[0] else np.inf

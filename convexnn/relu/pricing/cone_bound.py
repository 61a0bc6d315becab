"""Bound the objective on one simplicial cone: by the concave majorant of `pricing_bound`.

On the cone the objective is at most ``(c - Q' sum_i z_i y_i)'lam`` for every z in the unit box, i
over the undecided examples of ``s_i < 0``. In the l2 norm that is at most the length of the
shortest v with ``Q'v >= c - Q' sum_i z_i y_i``, least squares with bounds in z and in the
multipliers of the facets; in the l1 norm it is the value of a matrix game.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from convexnn.contract.arrays import Array, IndexArray
from convexnn.contract.system.kernels import kernel
from convexnn.relu.orthogonal_factor import append, drop
from convexnn.relu.pricing.matrix_game import highest
from convexnn.relu.pricing.vectors import add, fill, length, product

SWEEPS = 2  # of coordinate descent, before the active set takes over


class Room(NamedTuple):
    """What bounding a cone of r generators works on, of at most n undecided examples.

    Attributes
    ----------
    c, lam : arrays of shape (r,)
        The linear part of the majorant, and its maximiser.
    T : array of shape (n, r)
        Products of the examples of ``s_i < 0`` with the generators.
    G : array of shape (n + r, r)
        The columns of a least-squares problem, one a row: examples of ``s_i < 0``, then facets.
    square, z, caps : arrays of shape (n + r,)
        Their squared lengths, their multipliers, and how large these may be.
    v, column, step : arrays of shape (r,)
    free : array of int, shape (r,)
        Which columns are strictly between their bounds.
    basis, R : arrays of shape (r, r)
        The factor of these.
    """

    c: Array
    lam: Array
    T: Array
    G: Array
    square: Array
    z: Array
    caps: Array
    v: Array
    column: Array
    step: Array
    free: IndexArray
    basis: Array
    R: Array


def room_for(n: int, r: int) -> Room:
    """Return room that is not filled in.

    Examples
    --------
    >>> room_for(5, 2).G.shape
    (7, 2)
    """
    k = n + r
    vectors = [np.empty(size) for size in (r, r, k, k, k, r, r, r)]
    c, lam, square, z, caps, v, column, step = vectors
    T, G, basis, R = (np.empty((size, r)) for size in (n, k, r, r))
    free = np.empty(r, np.int64)
    return Room(c, lam, T, G, square, z, caps, v, column, step, free, basis, R)


@kernel(inline="always")
def _swept(G, square, z, caps, v, column, free, basis, R, m):  # type: ignore[no-untyped-def]
    """Take a few rounds of coordinate descent, and factor the columns between their bounds."""
    r = v.shape[0]
    for _ in range(SWEEPS):
        for i in range(m):
            new = min(max(z[i] + product(G, i, v) / square[i], 0.0), caps[i])
            t = new - z[i]
            if t != 0.0:
                z[i] = new
                add(-t, G, i, v)
    k = np.int64(0)
    for i in range(m):
        if 0.0 < z[i] < caps[i] and k < r:
            fill(column, G[i])
            if append(column, basis, R, k):
                free[k] = i
                k += 1
    return k


@kernel(inline="always")
def _freed(G, z, caps, v, step, free, basis, R, k):  # type: ignore[no-untyped-def]
    """Minimise over the k free columns; return how many are left, the others at their bounds."""
    while k > 0:
        for q in range(k - 1, -1, -1):
            t = product(basis, q, v)
            for p in range(q + 1, k):
                t -= R[q, p] * step[p]
            step[q] = t / R[q, q]
        fraction = 1.0
        blocking: Any = np.int64(-1)
        for q in range(k):
            i = free[q]
            if step[q] < 0.0 and z[i] + step[q] < 0.0:
                f = -z[i] / step[q]
            elif step[q] > 0.0 and z[i] + step[q] > caps[i]:
                f = (caps[i] - z[i]) / step[q]
            else:
                continue
            if blocking < 0 or f < fraction:
                fraction = f
                blocking = q
        for q in range(k):
            i = free[q]
            t = z[i]
            z[i] = min(max(t + fraction * step[q], 0.0), caps[i])
            if q == blocking:
                z[i] = 0.0 if step[q] < 0.0 else caps[i]
            add(t - z[i], G, i, v)
        if blocking < 0:
            break
        k -= 1
        for q in range(blocking, k):
            free[q] = free[q + 1]
        drop(blocking, k, basis, R)
    return k


@kernel(inline="always")
def _entering(G, square, z, caps, v, m, worst):  # type: ignore[no-untyped-def]
    """Return the column that shortens v most for its length, by more than `worst`; -1 if none."""
    found: Any = np.int64(-1)
    for i in range(m):
        t = product(G, i, v)
        if (t > 0.0 and z[i] < caps[i]) or (t < 0.0 and z[i] > 0.0):
            t = abs(t)
            if t * t > worst * worst * square[i]:
                worst = t / np.sqrt(square[i])
                found = i
    return found


@kernel(inner=True)
def shortest(room, m, stop):  # type: ignore[no-untyped-def]
    """Shorten ``v = a - sum_j z_j G_j`` over ``0 <= z_j <= caps_j``, j < m, in place.

    An active set (Stark & Parker 1995); it ends early once v is no longer than `stop`.
    """
    G, square, z, caps, v = room.G, room.square, room.z, room.caps, room.v
    column, step, free, basis, R = room.column, room.step, room.free, room.basis, room.R
    r = v.shape[0]
    scale = length(v)
    k = _swept(G, square, z, caps, v, column, free, basis, R, m)
    for _ in range(10 * r + 20):
        k = _freed(G, z, caps, v, step, free, basis, R, k)
        size = 0.0
        for t in v:
            size += t * t
        if k == r or size <= stop * stop or size <= 1e-30 * scale * scale:
            break
        entering = _entering(G, square, z, caps, v, m, 1e-14 * scale)
        if entering < 0:
            break
        fill(column, G[entering])
        if not append(column, basis, R, k):
            break
        free[k] = entering
        k += 1


@kernel(inner=True)
def bound_on(cone, Y, positive, lengths, l1, index, kept, left, T, start, stop, room):  # type: ignore[no-untyped-def]
    """Bound the objective on a cone; lam and z of the room become maximiser and multipliers.

    Parameters
    ----------
    cone : array of shape (2 r + 1, r) or more
        See `simplicial_cones`.
    l1 : bool or None
        Whether the norm is l1; None where it is not, so that no kernel of the other is compiled.
    index, kept : arrays of int
        Row ``kept[p]`` of T and entry ``kept[p]`` of `index`, p < left, are an undecided example.
    T : array
        Products of the examples of `index` with the generators.
    start : array
        Multipliers of these to start from.
    stop : float
        A bound of at most this need be no better.
    """
    r = Y.shape[1]
    Q, H, b, c, lam = cone[:r], cone[r : 2 * r], cone[2 * r], room.c, room.lam
    v, column, own_T, G, square, z, caps = (
        room.v,
        room.column,
        room.T,
        room.G,
        room.square,
        room.z,
        room.caps,
    )
    for k in range(r):
        c[k] = product(Q, k, b)
    negatives = np.int64(0)
    for p in range(left):
        i = kept[p]
        e = index[i]
        if positive[e]:
            for k in range(r):
                c[k] += max(T[i, k], 0.0)
            continue
        fill(own_T[negatives], T[i])
        fill(G[negatives], Y[e])
        square[negatives] = lengths[e] * lengths[e]
        z[negatives] = start[i]
        caps[negatives] = 1.0
        negatives += 1
    if l1 is not None:
        return highest(own_T, negatives, c, stop, lam)
    for j in range(r):
        v[j] = 0.0
    for k in range(r):
        i = negatives + k
        z[i] = 0.0
        caps[i] = np.inf
        add(c[k], H, k, v)
        for j in range(r):
            G[i, j] = -H[k, j]
        square[i] = product(H, k, H[k])
    for i in range(negatives):
        add(-z[i], G, i, v)
    shortest(room, negatives + r, stop)
    fill(column, v)
    for i in range(negatives):
        add(z[i], G, i, column)
    short = 0.0  # rounding may leave Q'v short of what it has to cover
    for k in range(r):
        short = max(short, c[k] - product(Q, k, column))
        lam[k] = max(product(H, k, v), 0.0)
    # in one orthant: sum lam <= ||Q lam||_1 <= sqrt(r) ||Q lam||
    return length(v) + np.sqrt(float(r)) * short

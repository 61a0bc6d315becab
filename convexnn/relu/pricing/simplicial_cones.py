"""Simplicial cones that cover the sphere: the orthants, and halves of halves of them.

A cone ``{Q lam : lam >= 0}`` of r generators, each of unit length, is an array: the generators,
then the normals H of its facets with ``H Q' = I``, one a row, then the linear part b of the
objective on it: ``b'u`` and what the undecided examples add.
"""

from __future__ import annotations

import numpy as np

from convexnn.contract.system.kernels import kernel

DECIDED = 1e-15  # a generator this close to a hyperplane, relative to ||y_i||, is on it
SHORTEST = 1e-12  # an edge of this length is not split


@kernel()
def size_of(u, l1):  # type: ignore[no-untyped-def]
    """Return the norm of a vector, l1 or l2."""
    t = 0.0
    for j in range(u.shape[0]):
        t += abs(u[j]) if l1 else u[j] * u[j]
    return t if l1 else np.sqrt(t)


@kernel()
def orthant(which, base, Q, H, b):  # type: ignore[no-untyped-def]
    """Fill in the generators, facet normals and linear part of an orthant."""
    for k in range(b.shape[0]):
        for j in range(b.shape[0]):
            Q[k, j] = 0.0
            H[k, j] = 0.0
        Q[k, k] = -1.0 if (which >> k) & 1 else 1.0
        H[k, k] = Q[k, k]
        b[k] = base[k]


@kernel()
def middle(cone, first, second, l1, u):  # type: ignore[no-untyped-def]
    """Fill in the middle of an edge, and return what scales it to length 1."""
    for j in range(u.shape[0]):
        u[j] = cone[first, j] + cone[second, j]
    share = 1.0 / size_of(u, l1)
    for j in range(u.shape[0]):
        u[j] *= share
    return share


@kernel(inline="always")
def half(cone, gone, stays, u, share, Q, H, b):  # type: ignore[no-untyped-def]
    """Fill in the half of a cone where the middle u of an edge takes the place of one end."""
    r = u.shape[0]
    for k in range(r):
        for j in range(r):
            Q[k, j] = cone[k, j]
            H[k, j] = cone[r + k, j]
        b[k] = cone[2 * r, k]
    for j in range(r):
        Q[gone, j] = u[j]
        H[stays, j] -= H[gone, j]
        H[gone, j] /= share


@kernel(inline="always")
def values(Y, index, cone, T):  # type: ignore[no-untyped-def]
    """Fill in the products of some rows with a cone's generators."""
    r = Y.shape[1]
    for i in range(index.shape[0]):
        for k in range(r):
            t = 0.0
            for j in range(r):
                t += Y[index[i], j] * cone[k, j]
            T[i, k] = t


@kernel(inline="always")
def values_at_half(Y, index, u, gone, whole, T):  # type: ignore[no-untyped-def]
    """Fill in the same for half of a cone, from those of the whole."""
    r = Y.shape[1]
    for i in range(index.shape[0]):
        t = 0.0
        for j in range(r):
            t += Y[index[i], j] * u[j]
        for k in range(r):
            T[i, k] = t if k == gone else whole[i, k]


@kernel(inline="always")
def decide(Y, positive, lengths, index, T, b, kept):  # type: ignore[no-untyped-def]
    """Move the decided examples that are active into b; return how many others there are."""
    r = T.shape[1]
    count = 0
    for i in range(index.shape[0]):
        e = index[i]
        low = T[i, 0]
        high = low
        for k in range(1, r):
            low = min(low, T[i, k])
            high = max(high, T[i, k])
        edge = DECIDED * lengths[e]
        if low >= -edge:
            sign = 1.0 if positive[e] else -1.0
            for j in range(r):
                b[j] += sign * Y[e, j]
        elif high > edge:
            kept[count] = i
            count += 1
    return count


@kernel()
def edge_to_split(cone, T, index, positive):  # type: ignore[no-untyped-def]
    """Choose the edge whose middle lowers the majorant most at lam; the longest if none does.

    The cone's last row is lam, where its bound is attained. No edge, -1 twice, if all are short.
    """
    r = cone.shape[1]
    lam = cone[2 * r + 1]
    first, second = -1, -1
    best = 0.0
    for k in range(r):
        for q in range(k):
            if lam[k] <= 0.0 or lam[q] <= 0.0:
                continue
            total = 0.0
            for i in range(index.shape[0]):
                if positive[index[i]] and T[i, k] * T[i, q] < 0.0:
                    total += min(abs(T[i, k]), abs(T[i, q]))
            total *= min(lam[k], lam[q])
            if total > best:
                best = total
                first, second = k, q
    if first >= 0:
        return first, second
    best = SHORTEST * SHORTEST
    for k in range(r):
        for q in range(k):
            t = 0.0
            for j in range(r):
                t += (cone[k, j] - cone[q, j]) ** 2
            if t > best:
                best = t
                first, second = k, q
    return first, second

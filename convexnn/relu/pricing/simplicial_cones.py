"""Simplicial cones that cover the sphere: the orthants, and halves of halves of them.

A cone ``{Q lam : lam >= 0}`` of r generators, each of unit length, is an array: the generators,
then the normals H of its facets with ``H Q' = I``, one a row, then the linear part b of the
objective on it: ``b'u`` and what the undecided examples add.
"""

from __future__ import annotations

from convexnn.contract.system.kernels import kernel
from convexnn.relu.pricing.vectors import add, fill, product, size_of

DECIDED = 1e-15  # a generator this close to a hyperplane, relative to ||y_i||, is on it
SHORTEST = 1e-12  # an edge of this length is not split


@kernel(inner=True)
def orthant(which, base, out):  # type: ignore[no-untyped-def]
    """Fill in an orthant."""
    r = base.shape[0]
    for k in range(r):
        for j in range(r):
            out[k, j] = 0.0
            out[r + k, j] = 0.0
        out[k, k] = -1.0 if (which >> k) & 1 else 1.0
        out[r + k, k] = out[k, k]
    fill(out[2 * r], base)


@kernel(inner=True)
def middle(cone, first, second, l1, u):  # type: ignore[no-untyped-def]
    """Fill in the middle of an edge, and return what scales it to length 1."""
    for j in range(u.shape[0]):
        u[j] = cone[first, j] + cone[second, j]
    share = 1.0 / size_of(u, l1)
    for j in range(u.shape[0]):
        u[j] *= share
    return share


@kernel(inner=True)
def half(cone, gone, stays, u, share, out):  # type: ignore[no-untyped-def]
    """Fill in the half of a cone where the middle u of an edge takes the place of one end."""
    r = u.shape[0]
    for k in range(2 * r + 1):
        fill(out[k], cone[k])
    fill(out[gone], u)
    add(-1.0, out, r + gone, out[r + stays])
    for j in range(r):
        out[r + gone, j] /= share


@kernel(inner=True)
def values(Y, index, cone, T):  # type: ignore[no-untyped-def]
    """Fill in the products of some rows with a cone's generators."""
    for i in range(index.shape[0]):
        y = Y[index[i]]
        for k in range(Y.shape[1]):
            T[i, k] = product(cone, k, y)


@kernel(inner=True)
def values_at_half(Y, index, u, gone, whole, T):  # type: ignore[no-untyped-def]
    """Fill in the same for half of a cone, from those of the whole."""
    for i in range(index.shape[0]):
        fill(T[i], whole[i])
        T[i, gone] = product(Y, index[i], u)


@kernel(inner=True)
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
            add(1.0 if positive[e] else -1.0, Y, e, b)
        elif high > edge:
            kept[count] = i
            count += 1
    return count


@kernel(inner=True)
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

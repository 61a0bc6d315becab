"""What the kernels of pricing do with short rows of numbers, compiled once for all of them."""

from __future__ import annotations

import numpy as np

from convexnn.contract.system.kernels import kernel


@kernel(inner=True)
def product(A, i, v):  # type: ignore[no-untyped-def]
    """Return ``A_i'v``."""
    t = 0.0
    for j in range(v.shape[0]):
        t += A[i, j] * v[j]
    return t


@kernel(inner=True)
def add(t, A, i, v):  # type: ignore[no-untyped-def]
    """Add ``t A_i`` to v."""
    for j in range(v.shape[0]):
        v[j] += t * A[i, j]


@kernel(inner=True)
def fill(v, source):  # type: ignore[no-untyped-def]
    """Copy one vector to another."""
    for j in range(v.shape[0]):
        v[j] = source[j]


@kernel(inner=True)
def fill_rows(A, source):  # type: ignore[no-untyped-def]
    """Copy the first rows of an array to another."""
    for i in range(A.shape[0]):
        for j in range(A.shape[1]):
            A[i, j] = source[i, j]


@kernel(inner=True)
def length(v):  # type: ignore[no-untyped-def]
    """Return the l2 norm."""
    t = 0.0
    for j in range(v.shape[0]):
        t += v[j] * v[j]
    return np.sqrt(t)


@kernel(inner=True)
def size_of(v, l1):  # type: ignore[no-untyped-def]
    """Return the norm: l1, or l2 where `l1` is None."""
    if l1 is None:
        return length(v)
    t = 0.0
    for j in range(v.shape[0]):
        t += abs(v[j])
    return t

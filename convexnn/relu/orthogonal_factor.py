"""An orthogonal factor of a few columns, ``[g_1 .. g_k] = Q' R``, that grows and shrinks with them.

It is the working memory of active-set methods (Lawson & Hanson 1974, chapter 24): `append` takes a
column in, by Gram and Schmidt, `drop` takes one out, by Givens rotations. Q has a row for each
column, R is a triangle; both have room for as many columns as a column has entries.
"""

from __future__ import annotations

import numpy as np

from convexnn.contract.system.kernels import kernel

REORDER = {"reassoc", "contract"}  # lets inner products use vector registers
DEPENDENT = 1e-11  # a column this close to the span of the others cannot join them
SHORTENED = 0.01  # share of a squared length whose loss to rounding calls for a second pass


@kernel(inner=True, fastmath=REORDER)
def append(column, Q, R, k):  # type: ignore[no-untyped-def]
    """Orthogonalise a column, in place, against the first k; False if it lies in their span."""
    d = column.shape[0]
    before = 0.0
    for j in range(d):
        before += column[j] * column[j]
    if before == 0.0:
        return False
    for q in range(k):
        R[q, k] = 0.0
    after, longer = 0.0, before
    while True:
        for q in range(k):
            t = 0.0
            for j in range(d):
                t += Q[q, j] * column[j]
            R[q, k] += t
            for j in range(d):
                column[j] -= t * Q[q, j]
        after = 0.0
        for j in range(d):
            after += column[j] * column[j]
        if after >= SHORTENED * longer or longer < before:
            break
        longer = after
    if after <= DEPENDENT * DEPENDENT * before:
        return False
    R[k, k] = np.sqrt(after)
    for j in range(d):
        Q[k, j] = column[j] / R[k, k]
    return True


@kernel(inner=True, fastmath=REORDER)
def drop(first, k, Q, R):  # type: ignore[no-untyped-def]
    """Take column `first` out of the factor of k + 1 columns."""
    d = Q.shape[1]
    for q in range(first, k):
        for p in range(q + 2):
            R[p, q] = R[p, q + 1]
    for q in range(first, k):
        size = np.hypot(R[q, q], R[q + 1, q])
        c, s = R[q, q] / size, R[q + 1, q] / size
        R[q, q] = size
        for j in range(q + 1, k):
            t = R[q, j]
            R[q, j] = c * t + s * R[q + 1, j]
            R[q + 1, j] = c * R[q + 1, j] - s * t
        for j in range(d):
            t = Q[q, j]
            Q[q, j] = c * t + s * Q[q + 1, j]
            Q[q + 1, j] = c * Q[q + 1, j] - s * t

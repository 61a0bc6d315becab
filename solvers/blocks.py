"""Kernels for many small dense blocks at once: factor, add rows, invert, solve."""

from __future__ import annotations

import numpy as np

from convexnn.contract.system.kernels import kernel


@kernel()
def factor_blocks(B):  # type: ignore[no-untyped-def]
    """Factor each symmetric block ``I + (positive semidefinite)`` in place, lower triangle."""
    m, d, _ = B.shape
    for b in range(m):
        for j in range(d):
            s = B[b, j, j]
            for k in range(j):
                s -= B[b, j, k] * B[b, j, k]
            B[b, j, j] = np.sqrt(max(s, 0.5))  # at least 1 but for rounding
            for i in range(j + 1, d):
                s = B[b, i, j]
                for k in range(j):
                    s -= B[b, i, k] * B[b, j, k]
                B[b, i, j] = s / B[b, j, j]


@kernel()
def add_rows(L, G, roots, weight, apart):  # type: ignore[no-untyped-def]
    """Add ``w_i (R g_i)(R g_i)'`` to each factored block, where asked, by Givens rotations."""
    m, d, _ = L.shape
    row = np.empty(d)
    for b in range(m):
        for i in range(G.shape[0]):
            if not apart[b, i]:
                continue
            size = np.sqrt(weight[b, i])
            for j in range(d):
                t = 0.0
                for k in range(d):
                    t += roots[b, j, k] * G[i, k]
                row[j] = size * t
            for j in range(d):
                diagonal = np.hypot(L[b, j, j], row[j])
                cosine, sine = L[b, j, j] / diagonal, row[j] / diagonal
                L[b, j, j] = diagonal
                for k in range(j + 1, d):
                    t = L[b, k, j]
                    L[b, k, j] = cosine * t + sine * row[k]
                    row[k] = cosine * row[k] - sine * t


@kernel()
def invert_blocks(L):  # type: ignore[no-untyped-def]
    """Return the inverse of each lower triangle."""
    m, d, _ = L.shape
    out = np.zeros((m, d, d))
    for b in range(m):
        for j in range(d):
            out[b, j, j] = 1.0 / L[b, j, j]
            for i in range(j + 1, d):
                s = 0.0
                for k in range(j, i):
                    s -= L[b, i, k] * out[b, k, j]
                out[b, i, j] = s / L[b, i, i]
    return out


@kernel()
def solve_blocks(L, v):  # type: ignore[no-untyped-def]
    """Return ``(L L')^-1 v`` for each block."""
    m, d = v.shape
    out = v.copy()
    for b in range(m):
        for i in range(d):
            s = out[b, i]
            for k in range(i):
                s -= L[b, i, k] * out[b, k]
            out[b, i] = s / L[b, i, i]
        for i in range(d - 1, -1, -1):
            s = out[b, i]
            for k in range(i + 1, d):
                s -= L[b, k, i] * out[b, k]
            out[b, i] = s / L[b, i, i]
    return out

"""Matrix games by the simplex method, and what cutting planes make of them on the unit simplex."""

from __future__ import annotations

import numpy as np

from convexnn.contract.system.kernels import kernel

CUTS = 40  # cutting planes at most


@kernel(inner=True)
def game(C, rows, p, lam):  # type: ignore[no-untyped-def]
    """Solve ``min_p max_k (p'C)_k`` over the unit simplex by the simplex method."""
    r = C.shape[1]
    low = C[0, 0]
    high = low
    for j in range(rows):
        for k in range(r):
            low = min(low, C[j, k])
            high = max(high, C[j, k])
    spread = high - low if high > low else 1.0
    tableau = np.zeros((r + 1, rows + r + 1))
    basic = np.empty(r, np.int64)
    for k in range(r):
        for j in range(rows):
            tableau[k, j] = (C[j, k] - low) / spread + 1.0
        tableau[k, rows + k] = 1.0
        tableau[k, rows + r] = 1.0
        basic[k] = rows + k
    for j in range(rows):
        tableau[r, j] = -1.0
    for turn in range(50 * (rows + r)):
        entering = -1
        worst = -1e-13
        for j in range(rows + r):
            if tableau[r, j] < worst:
                entering = j
                if turn > 10 * (rows + r):
                    break
                worst = tableau[r, j]
        if entering < 0:
            break
        leaving = -1
        ratio = 0.0
        for k in range(r):
            if tableau[k, entering] > 1e-13:
                t = tableau[k, rows + r] / tableau[k, entering]
                if leaving < 0 or t < ratio or (t == ratio and basic[k] < basic[leaving]):
                    leaving = k
                    ratio = t
        if leaving < 0:
            break
        pivot = tableau[leaving, entering]
        for j in range(rows + r + 1):
            tableau[leaving, j] /= pivot
        for k in range(r + 1):
            if k != leaving:
                t = tableau[k, entering]
                if t != 0.0:
                    for j in range(rows + r + 1):
                        tableau[k, j] -= t * tableau[leaving, j]
        basic[leaving] = entering
    for j in range(rows):
        p[j] = 0.0
    for k in range(r):
        if basic[k] < rows:
            p[basic[k]] = max(tableau[k, rows + r], 0.0)
    total = 0.0
    for j in range(rows):
        total += p[j]
    for j in range(rows):
        p[j] = p[j] / total if total > 0.0 else 1.0 / rows
    total = 0.0
    for k in range(r):
        lam[k] = max(tableau[r, rows + k], 0.0)
        total += lam[k]
    for k in range(r):
        lam[k] = lam[k] / total if total > 0.0 else 1.0 / r


@kernel()
def highest(T, m, c, stop, lam):  # type: ignore[no-untyped-def]
    """Bound ``max c'lam - sum_i relu(T_i'lam)`` over the unit simplex by cutting planes."""
    r = c.shape[0]
    C = np.empty((CUTS, r))
    p = np.empty(CUTS)
    argument = np.empty(r)
    best = -np.inf
    upper = np.inf
    size = 0.0
    for k in range(r):
        lam[k] = 1.0 / r
        size = max(size, abs(c[k]))
    for rows in range(CUTS):
        for k in range(r):
            C[rows, k] = c[k]
        for i in range(m):
            t = 0.0
            for k in range(r):
                t += T[i, k] * lam[k]
            if t > 0.0:
                for k in range(r):
                    C[rows, k] -= T[i, k]
        t = 0.0
        for k in range(r):
            t += C[rows, k] * lam[k]
        if t > best:
            best = t
            for k in range(r):
                argument[k] = lam[k]
        game(C, rows + 1, p, lam)
        high = -np.inf
        for k in range(r):
            t = 0.0
            for j in range(rows + 1):
                t += p[j] * C[j, k]
            high = max(high, t)
        if high > -np.inf:  # false for weights that are not numbers
            upper = min(upper, high)
        if upper <= stop or upper - best <= 1e-14 * size:
            break
    for k in range(r):
        lam[k] = argument[k]
    return upper

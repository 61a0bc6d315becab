"""The slopes at which the bounds of a network's outputs over balls and boxes are best."""

from __future__ import annotations

import numpy as np

from convexnn.contract.system.kernels import kernel
from convexnn.robust.ball_kernels import BOX

SWEEPS = 3  # over the slopes of an example
HALVINGS = 40  # of an interval of slopes


@kernel()
def _steepness(x, q, v, alpha, moved, radius, kind, own):  # type: ignore[no-untyped-def]
    """Return the slope in alpha of ``x'(q + alpha v) - radius ||q + alpha v||_*``."""
    slope = 0.0
    for j in range(len(x)):
        slope += x[j] * v[j]
    part = 0.0
    if kind == 0:
        for j in moved:
            t = q[j] + alpha * v[j]
            part += v[j] if t > 0.0 else (-v[j] if t < 0.0 else abs(v[j]))
    elif kind == 1:
        size = 0.0
        for j in moved:
            t = q[j] + alpha * v[j]
            size += t * t
            part += t * v[j]
        part = part / np.sqrt(size) if size > 0.0 else 0.0
    elif kind == BOX:
        for j in moved:
            t = q[j] + alpha * v[j]
            part += own[j] * (v[j] if t > 0.0 else (-v[j] if t < 0.0 else abs(v[j])))
    else:
        largest = -1.0
        for j in moved:
            t = q[j] + alpha * v[j]
            if abs(t) > largest:
                largest = abs(t)
                part = v[j] if t > 0.0 else -v[j]
    return slope - radius * part


@kernel(inner=True)
def _ascend(x, q, v, moved, radius, kind, own):  # type: ignore[no-untyped-def]
    """Return the alpha in [0, 1] that maximises ``x'(q + alpha v) - radius ||q + alpha v||_*``."""
    left, right = 0.0, 1.0
    if _steepness(x, q, v, 0.0, moved, radius, kind, own) <= 0.0:
        return 0.0
    if _steepness(x, q, v, 1.0, moved, radius, kind, own) >= 0.0:
        return 1.0
    for _ in range(HALVINGS):
        middle = 0.5 * (left + right)
        if _steepness(x, q, v, middle, moved, radius, kind, own) > 0.0:
            left = middle
        else:
            right = middle
    return 0.5 * (left + right)


@kernel()
def touch(X, positive, margins, weights, added, reach, moved, radius, kind, widths, slopes):  # type: ignore[no-untyped-def]
    """Fill the slopes at which a network's bounds are the best found.

    Neurons that a ball does not cut have their own slope. Of those that it does, the ones that
    lower the margin have the chord, and so have all where both sides of the output count. Of boxes
    `widths` are half the sides, `radius` is 1.
    """
    n, d = X.shape
    m = len(weights)
    q = np.empty(d)
    free = np.empty(m, np.bool_)
    for k in range(n):
        x, own = X[k], widths[k]
        q[:] = 0.0
        for p in range(m):
            a = 0.0
            for j in range(d):
                a += x[j] * weights[p, j]
            r = reach[k, p]
            adds = (p < added) == positive[k]
            free[p] = margins and adds and abs(a) < r
            if abs(a) >= r or free[p]:
                slopes[k, p] = 1.0 if a > 0.0 else 0.0
            else:
                slopes[k, p] = (a + r) / (2.0 * r)
            share = slopes[k, p] if adds else -slopes[k, p]
            for j in range(d):
                q[j] += share * weights[p, j]
        for _ in range(SWEEPS):
            changed = False
            for p in range(m):
                if not free[p]:
                    continue
                old = slopes[k, p]
                for j in range(d):
                    q[j] -= old * weights[p, j]
                new = _ascend(x, q, weights[p], moved, radius, kind, own)
                for j in range(d):
                    q[j] += new * weights[p, j]
                slopes[k, p] = new
                changed = changed or abs(new - old) > 1e-6
            if not changed:
                break

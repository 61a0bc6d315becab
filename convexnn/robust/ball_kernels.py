"""Kernels that search the ball around an example, in the linf, l2 or l1 norm (0, 1, 2).

`descend` lowers the margin itself, `ascend` raises the bound of its relaxation.
"""

from __future__ import annotations

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.system.kernels import kernel

CODES = {"linf": 0, "l2": 1, "l1": 2}
BOX = 3  # among them, of kernels that know boxes: each example has a reach in each column
REORDER = {"reassoc", "contract"}
SETTLED = 1e-2  # of a step: how near to where it was, or how short, a descent is over
FLAT = 1e-290  # a gradient no longer than this is none


@kernel(inner=True, fastmath=REORDER)
def _length(u: Array) -> float:
    total = 0.0
    for k in range(len(u)):
        total += u[k] * u[k]
    if 1e-200 < total < 1e200:
        return float(np.sqrt(total))
    largest = 0.0
    for k in range(len(u)):
        largest = max(largest, abs(u[k]))
    if largest == 0.0:
        return 0.0
    total = 0.0
    for k in range(len(u)):
        total += (u[k] / largest) ** 2
    return float(largest * np.sqrt(total))


@kernel(inner=True, fastmath=REORDER)
def _dual_norm(q: Array, norm: int) -> float:
    total = 0.0
    if norm == 0:
        for k in range(len(q)):
            total += abs(q[k])
    elif norm == 1:
        total = _length(q)
    else:
        for k in range(len(q)):
            total = max(total, abs(q[k]))
    return total


@kernel(inner=True)
def _edge(g: Array, radius: float, norm: int, out: Array) -> None:
    """Write the minimiser of ``g'u`` over the ball."""
    if norm == 0:
        for k in range(len(g)):
            out[k] = -radius * np.sign(g[k])
    elif norm == 1:
        size = _length(g)
        scale = -radius / size if size > FLAT else 0.0
        for k in range(len(g)):
            out[k] = scale * g[k]
    else:
        at = 0
        for k in range(len(g)):
            out[k] = 0.0
            if abs(g[k]) > abs(g[at]):
                at = k
        out[at] = -radius * np.sign(g[at])


@kernel()
def edges(G: Array, radius: float, norm: int, out: Array) -> None:
    """Write the minimiser of ``g'u`` over the ball for each row g."""
    for i in range(len(G)):
        _edge(G[i], radius, norm, out[i])


@kernel(inner=True)
def _threshold(u: Array, radius: float) -> float:
    """Return the least theta >= 0 with ``sum_k max(|u_k| - theta, 0) <= radius``."""
    theta = 0.0
    for _ in range(len(u) + 1):  # those above theta only become fewer
        total, count = 0.0, 0
        for k in range(len(u)):
            if abs(u[k]) > theta:
                total += abs(u[k])
                count += 1
        level = (total - radius) / count if count > 0 else 0.0
        if level <= theta:
            break
        theta = level
    return theta


@kernel(inner=True)
def _project(u: Array, radius: float, norm: int) -> None:
    """Move `u` to the nearest point of the ball."""
    if norm == 0:
        for k in range(len(u)):
            u[k] = min(max(u[k], -radius), radius)
    elif norm == 1:
        size = _length(u)
        if size > radius:
            for k in range(len(u)):
                u[k] *= radius / size
    else:
        theta = _threshold(u, radius)
        for k in range(len(u)):
            u[k] = np.sign(u[k]) * max(abs(u[k]) - theta, 0.0)


@kernel(fastmath=REORDER)
def _apply(new: Array, u: Array, s: Array, U: Array, pre: Array) -> float:
    """Add what a move to `new` does to the pre-activations; return what it does to ``s'u``."""
    d, m, total = len(u), len(pre), 0.0
    four = d - d % 4
    for k in range(0, four, 4):  # four at a time: the pre-activations are loaded less often
        a, b = new[k] - u[k], new[k + 1] - u[k + 1]
        e, f = new[k + 2] - u[k + 2], new[k + 3] - u[k + 3]
        if a != 0.0 or b != 0.0 or e != 0.0 or f != 0.0:
            total += a * s[k] + b * s[k + 1] + e * s[k + 2] + f * s[k + 3]
            for j in range(m):
                pre[j] += a * U[k, j] + b * U[k + 1, j] + e * U[k + 2, j] + f * U[k + 3, j]
    for k in range(four, d):
        a = new[k] - u[k]
        total += a * s[k]
        for j in range(m):
            pre[j] += a * U[k, j]
    return total


@kernel()
def _within(u: Array, v: Array, near: float) -> bool:
    k = 0
    while k < len(u) and abs(u[k] - v[k]) <= near:
        k += 1
    return k == len(u)


@kernel(inner=True, fastmath=REORDER)
def _output(pre: Array, sign: Array) -> float:
    total = 0.0
    for j in range(len(pre)):
        total += sign[j] * max(pre[j], 0.0)
    return total


@kernel(fastmath=REORDER)
def descend(
    center: Array,
    linear: Array,
    side: Array,
    done: Array,
    starts: Array,
    W: Array,
    U: Array,
    sign: Array,
    s: Array,
    radius: float,
    step: float,
    steps: int,
    norm: int,
    best: Array,
    shift: Array,
) -> None:
    """Descend from each start; keep the best margin and shift of each example."""
    m, d = W.shape
    pre, ahead = np.empty(m), np.empty(m)
    active = np.empty(m, dtype=np.bool_)
    u, last, new = np.empty(d), np.empty(d), np.empty(d)
    g, way = np.empty(d), np.empty(d)
    for i in range(len(starts)):
        if best[i] < done[i]:
            continue
        u[:] = 0.0
        for j in range(m):
            pre[j] = center[i, j]
        straight = linear[i] + _apply(starts[i], u, s, U, pre)
        for k in range(d):
            u[k] = starts[i, k]
        active[:] = False
        for k in range(d):
            g[k] = side[i] * s[k]
        tested, size, before = False, step, np.inf
        for t in range(steps + 1):
            value = side[i] * (straight + _output(pre, sign))
            if value < best[i]:
                best[i] = value
                for k in range(d):
                    shift[i, k] = u[k]
                if value < done[i]:
                    break
            if t == steps:
                break
            if t and value >= before:
                size *= 0.5
                if size < SETTLED * step:
                    break
            before = value
            turned = t == 0
            for j in range(m):
                if (pre[j] > 0.0) != active[j]:
                    turned = True
                    active[j] = not active[j]
                    weight = side[i] * sign[j]
                    if not active[j]:
                        weight = -weight
                    for k in range(d):
                        g[k] += weight * W[j, k]
            if turned:
                tested = False
            elif not tested:  # the piece's minimiser: if it lies in the piece, we are done
                tested = True
                _edge(g, radius, norm, new)
                for j in range(m):
                    ahead[j] = pre[j]
                there = straight + _apply(new, u, s, U, ahead)
                value = side[i] * (there + _output(ahead, sign))
                if value < best[i]:
                    best[i] = value
                    for k in range(d):
                        shift[i, k] = new[k]
                stays = True
                for j in range(m):
                    if (ahead[j] > 0.0) != active[j]:
                        stays = False
                        break
                if stays or value < done[i]:
                    break
            _edge(g, size, norm, way)
            for k in range(d):
                new[k] = u[k] + way[k]
            _project(new, radius, norm)
            near = SETTLED * size
            if _within(new, u, near) or (t > 0 and _within(new, last, near)):
                break
            straight += _apply(new, u, s, U, pre)
            for k in range(d):
                last[k], u[k] = u[k], new[k]


@kernel()
def ascend(
    center: Array,
    size: Array,
    W: Array,
    s: Array,
    low: Array,
    high: Array,
    base: float,
    allowance: float,
    rounding: float,
    radius: float,
    norm: int,
    length: float,
    steps: int,
    shift: Array,
) -> tuple[float, float]:
    """Raise the bound until it is positive or a relaxed margin is not; write its point's shift."""
    m, d = W.shape
    fixed_q = s.copy()
    free = np.empty(m, dtype=np.int64)
    count = 0
    for j in range(m):
        if low[j] < high[j]:
            free[count] = j
            count += 1
        elif low[j] != 0.0:
            base += low[j] * center[j]
            for k in range(d):
                fixed_q[k] += low[j] * W[j, k]
    lam = np.empty(count)
    for f in range(count):
        j = free[f]
        lam[f] = high[j] if center[j] > 0.0 else low[j]
        if not np.isfinite(lam[f]):
            lam[f] = min(max(0.0, low[j]), high[j])
    ratio = radius * (np.sqrt(d) if norm == 0 else 1.0) / np.sqrt(max(count, 1))
    tau = ratio / length if length > 0.0 else 0.0
    sigma = 1.0 / (ratio * length) if ratio * length > 0.0 else 0.0
    u, new, q = np.zeros(d), np.empty(d), np.empty(d)
    t, ahead = np.zeros(count), np.zeros(count)
    best, least = -np.inf, np.inf
    for _ in range(steps):
        for k in range(d):
            q[k] = fixed_q[k]
        bound = base - allowance
        for f in range(count):
            j = free[f]
            bound += lam[f] * center[j] - rounding * max(abs(lam[f]) - 1.0, 0.0) * size[j]
            for k in range(d):
                q[k] += lam[f] * W[j, k]
        bound -= radius * _dual_norm(q, norm)
        best = max(best, bound)
        for k in range(d):
            new[k] = u[k] - tau * q[k]
        _project(new, radius, norm)
        for k in range(d):
            u[k] = new[k]
        value = base
        for k in range(d):
            value += fixed_q[k] * u[k]
        for f in range(count):
            j = free[f]
            ahead[f] = 0.0
            for k in range(d):
                ahead[f] += W[j, k] * u[k]
            there = center[j] + ahead[f]
            if there > 0.0:
                value += high[j] * there
            elif there < 0.0:
                value += low[j] * there
        if value < least:
            least = value
            for k in range(d):
                shift[k] = u[k]
        if best > 0.0 or least <= 0.0 or count == 0:
            break
        for f in range(count):
            j = free[f]
            pushed = lam[f] + sigma * (center[j] + 2.0 * ahead[f] - t[f])
            lam[f] = min(max(pushed, low[j]), high[j])
            t[f] = ahead[f]
    return best, least

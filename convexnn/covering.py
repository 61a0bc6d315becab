"""Bracket the pricing problem of two-layer programs: best-first search over cones of neurons.

For weights ``mu`` and the activation ``act(t) = max(t, leak t)`` the problem is

    R(mu) = max {mu' act(X u) : ||u|| <= 1},

in the l2 or the l1 norm. With ``s_i`` the sign of ``mu_i`` and ``y_i = (1 - leak) |mu_i| x_i`` its
objective is ``base'u + sum_i s_i relu(y_i'u)``, positively homogeneous in u. The unit sphere is
covered by simplicial cones ``{Q lam : lam >= 0}``, at first the 2^r orthants. On each of them

- an example whose ``y_i'q_k`` have one sign over the generators is linear: it is decided;
- ``relu(y_i'u) <= sum_k lam_k relu(y_i'q_k)`` where ``s_i > 0``: of the sum of those terms this
  is the least concave majorant, as the sum is convex and homogeneous;
- ``-relu(y_i'u) = min {-z_i y_i'u : 0 <= z_i <= 1}`` where ``s_i < 0`` is concave as it stands.

So on the cone the objective is at most ``(c - Q' sum_i z_i y_i)'lam`` for one vector c and every z
in the unit box. By weak duality that is at most ``||v||``, in the l2 norm, for each v with
``Q'v >= c - Q' sum_i z_i y_i``: the shortest v is a least-squares problem in z and in the multipliers
of the cone's facets with bounds (Stark & Parker 1995), which an active set solves. In the l1
norm the cone lies in one orthant, so the least bound over z is the value of a matrix game,
solved by cutting planes. A cone with no undecided example of ``s_i > 0`` is thereby settled:
only those examples make a cone be split, on the edge and at the point that lower the majorant most
at the neuron that attains the bound. Any v and z give a bound, so nothing relies on how they
were found.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np
from numba import njit

from convexnn.arrays import Array, BoolArray

ROUNDING = 1e-13  # relative allowance for the rounding of sums
DECIDED = 1e-15  # a generator this close to a hyperplane, relative to ||y_i||, is on it
PARALLEL = 1e-14  # unit rows nearer than this, up to sign, are one hyperplane
DEPENDENT = 1e-11  # a column this close to the span of the free ones cannot join them
SWEEPS = 2  # of coordinate descent, before the active set takes over
CUTS = 40  # cutting planes of a cone, in the l1 norm
MEMORY = 1 << 29  # bytes the open cones may fill
MODE = 1


class Bracket(NamedTuple):
    """What is known of the pricing problem.

    Attributes
    ----------
    upper : float
        No neuron of unit norm has a larger value.
    value : float
        The largest value found, >= 0.
    point : array of shape (d,)
        A neuron that attains it, of unit norm; zeros if none was better than that.
    nodes : int
        Cones bounded.
    """

    upper: float
    value: float
    point: Array
    nodes: int


class Terms(NamedTuple):
    """``base'u + sum_i s_i relu(y_i'u)``, no two rows parallel.

    Attributes
    ----------
    rows : array of shape (m, r)
    positive : array of bool, shape (m,)
    base : array of shape (r,)
    allowance : float
        How far the sum may be from the one it stands for, on the unit ball.
    """

    rows: Array
    positive: BoolArray
    base: Array
    allowance: float


def bracket(
    X: Array,
    mu: Array,
    *,
    leak: float = 0.0,
    l1: bool = False,
    target: float = 0.0,
    rel_tol: float = 1e-9,
    nodes: int = 100_000,
) -> Bracket:
    """Bracket ``max {mu' act(X u) : ||u|| <= 1}``, ``act(t) = max(t, leak t)``.

    Parameters
    ----------
    X : array of shape (n, d)
    mu : array of shape (n,)
    leak : float, default 0.0
        Slope of the activation for negative inputs, in [0, 1].
    l1 : bool, default False
        Whether ``||u||`` is the l1 norm; it is the l2 norm otherwise.
    target : float, default 0.0
        Stop once the upper bound is at most this.
    rel_tol : float, default 1e-9
        Stop once the upper bound exceeds the value by at most this share of it.
    nodes : int, default 100_000
        Stop once this many cones are bounded, those of the first covering aside.

    Returns
    -------
    Bracket

    Examples
    --------
    >>> found = bracket(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([3.0, 4.0]))
    >>> round(found.upper, 6), round(found.value, 6), found.point.round(6)
    (5.0, 5.0, array([0.6, 0.8]))
    """
    basis = np.eye(X.shape[1]) if l1 else row_space(X[mu != 0.0])
    terms = reduced(X, mu, leak, basis)
    upper, point, count = _search(
        terms.rows,
        terms.positive,
        terms.base,
        l1,
        target - terms.allowance,
        rel_tol,
        terms.allowance,
        nodes,
        MODE,
    )
    u = basis @ point
    size = float(np.sum(np.abs(u)) if l1 else np.sqrt(np.sum(u * u)))
    u = u / size if size > 0.0 else u
    t = X @ u
    value = float(mu @ np.maximum(t, leak * t))
    if not value > 0.0:
        value, u = 0.0, np.zeros(X.shape[1])
    return Bracket(max(float(upper) + terms.allowance, value), value, u, int(count))


def row_space(X: Array) -> Array:
    """Return an orthonormal basis of the span of the rows, one vector a column.

    Examples
    --------
    >>> row_space(np.array([[0.0, 2.0], [0.0, 1.0]])).shape
    (2, 1)
    """
    d = X.shape[1]
    if not X.any():
        return np.eye(d, 1)
    _, s, Vt = np.linalg.svd(X, full_matrices=False)
    return np.ascontiguousarray(Vt[: int((s > 1e-14 * s[0]).sum())].T)


def reduced(X: Array, mu: Array, leak: float, basis: Array) -> Terms:
    """Return the objective in the coordinates of `basis`, one term for each hyperplane.

    What the basis leaves out, and what parallel rows differ by, is in the allowance.

    Examples
    --------
    >>> reduced(np.array([[1.0], [-1.0]]), np.array([2.0, 3.0]), 0.0, np.eye(1))[:3]
    (array([[5.]]), array([ True]), array([-3.]))
    """
    used = np.flatnonzero(mu)
    weights = (1.0 - leak) * np.abs(mu[used])
    signs = np.sign(mu[used])
    full = X[used]
    rows = full @ basis
    lengths = np.sqrt(np.sum(np.square(full), axis=1))
    left_out = np.sqrt(np.sum(np.square(full - rows @ basis.T), axis=1))
    total = float(np.abs(mu[used]) @ lengths)
    allowance = ROUNDING * total + float(np.abs(mu[used]) @ left_out)
    base = leak * (mu[used] @ rows)
    sizes = np.sqrt(np.sum(np.square(rows), axis=1))
    kept = sizes > 0.0
    rows, sizes, weights, signs = rows[kept], sizes[kept], weights[kept], signs[kept]
    unit = rows / sizes[:, None]
    first = np.argmax(np.abs(unit) > 0.5 / np.sqrt(rows.shape[1]), axis=1)
    side = np.sign(unit[np.arange(len(unit)), first])
    # relu(-t) = relu(t) - t
    base = base + (signs * weights * (side < 0.0)) @ rows
    unit = unit * side[:, None]
    amount = signs * weights * sizes
    order = np.lexsort(unit.T[::-1])
    unit, amount = unit[order], amount[order]
    apart = np.sqrt(np.sum(np.square(np.diff(unit, axis=0)), axis=1)) > PARALLEL
    group = np.cumsum(np.concatenate([[True], apart])[: len(unit)]) - 1
    leaders = np.flatnonzero(np.concatenate([[True], apart])[: len(unit)])
    if len(unit) > 0:
        moved = np.sqrt(np.sum(np.square(unit - unit[leaders[group]]), axis=1))
        allowance += float(np.abs(amount) @ moved)
    net = np.bincount(group, weights=amount, minlength=len(leaders))
    merged = np.ascontiguousarray(unit[leaders] * np.abs(net)[:, None])
    alive = np.abs(net) > 0.0
    return Terms(merged[alive], net[alive] > 0.0, base, allowance)


@njit(cache=True)
def _append(column, basis, R, k):  # type: ignore[no-untyped-def]
    """Orthogonalise a column against the first k of the basis; False if it lies in their span."""
    r = column.shape[0]
    before = 0.0
    for j in range(r):
        before += column[j] * column[j]
    for q in range(k):
        R[q, k] = 0.0
    for _ in range(2):
        for q in range(k):
            t = 0.0
            for j in range(r):
                t += basis[q, j] * column[j]
            R[q, k] += t
            for j in range(r):
                column[j] -= t * basis[q, j]
    after = 0.0
    for j in range(r):
        after += column[j] * column[j]
    if after <= DEPENDENT * DEPENDENT * before:
        return False
    R[k, k] = np.sqrt(after)
    for j in range(r):
        basis[k, j] = column[j] / R[k, k]
    return True


@njit(cache=True)
def _refactor(G, free, k, basis, R, column):  # type: ignore[no-untyped-def]
    """Rebuild the factor of the free columns; dependent ones leave."""
    kept = 0
    for q in range(k):
        column[:] = G[free[q]]
        if _append(column, basis, R, kept):
            free[kept] = free[q]
            kept += 1
    return kept


@njit(cache=True)
def _shortest(G, square, z, caps, m, v, stop, free, basis, R, column, step):  # type: ignore[no-untyped-def]
    """Shorten ``v = a - sum_j z_j G_j`` over ``0 <= z_j <= caps_j``, in place."""
    r = v.shape[0]
    size = 0.0
    for j in range(r):
        size += v[j] * v[j]
    scale = np.sqrt(size)
    for _ in range(SWEEPS):
        for i in range(m):
            t = 0.0
            for j in range(r):
                t += G[i, j] * v[j]
            new = min(max(z[i] + t / square[i], 0.0), caps[i])
            t = new - z[i]
            if t != 0.0:
                z[i] = new
                for j in range(r):
                    v[j] -= t * G[i, j]
    k = 0
    for i in range(m):
        if 0.0 < z[i] < caps[i] and k < r:
            column[:] = G[i]
            if _append(column, basis, R, k):
                free[k] = i
                k += 1
    for _ in range(10 * r + 20):
        while k > 0:
            for q in range(k - 1, -1, -1):
                t = 0.0
                for j in range(r):
                    t += basis[q, j] * v[j]
                for p in range(q + 1, k):
                    t -= R[q, p] * step[p]
                step[q] = t / R[q, q]
            fraction = 1.0
            blocking = -1
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
                t = z[i] - t
                for j in range(r):
                    v[j] -= t * G[i, j]
            if blocking < 0:
                break
            for q in range(blocking, k - 1):
                free[q] = free[q + 1]
            k = _refactor(G, free, k - 1, basis, R, column)
        size = 0.0
        for j in range(r):
            size += v[j] * v[j]
        if k == r or size <= stop * stop or size <= 1e-30 * scale * scale:
            break
        worst = 1e-14 * scale
        entering = -1
        for i in range(m):
            t = 0.0
            for j in range(r):
                t += G[i, j] * v[j]
            if (t > 0.0 and z[i] < caps[i]) or (t < 0.0 and z[i] > 0.0):
                t = abs(t)
                if t * t > worst * worst * square[i]:
                    worst = t / np.sqrt(square[i])
                    entering = i
        if entering < 0:
            break
        column[:] = G[entering]
        if not _append(column, basis, R, k):
            break
        free[k] = entering
        k += 1


@njit(cache=True)
def _game(C, rows, p, lam):  # type: ignore[no-untyped-def]
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
    p[:] = 0.0
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


@njit(cache=True)
def _highest(T, m, c, stop, lam):  # type: ignore[no-untyped-def]
    """Bound ``max c'lam - sum_i relu(T_i'lam)`` over the unit simplex by cutting planes."""
    r = c.shape[0]
    C = np.empty((CUTS, r))
    p = np.empty(CUTS)
    best = -np.inf
    argument = lam.copy()
    upper = np.inf
    size = 0.0
    for k in range(r):
        size = max(size, abs(c[k]))
    for rows in range(CUTS):
        C[rows] = c
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
            argument[:] = lam
        _game(C, rows + 1, p, lam)
        high = -np.inf
        for k in range(r):
            t = 0.0
            for j in range(rows + 1):
                t += p[j] * C[j, k]
            high = max(high, t)
        upper = min(upper, high)
        if upper <= stop or upper - best <= 1e-14 * size:
            break
    lam[:] = argument
    return upper


@njit(cache=True)
def _split(T, m, Q, lam, mode):  # type: ignore[no-untyped-def]
    """Choose an edge and the weights of its ends at the point to split it."""
    r = Q.shape[0]
    best = 0.0
    first, second, a, b = -1, -1, 0.5, 0.5
    if mode > 0:
        for k in range(r):
            for q in range(k):
                if lam[k] <= 0.0 or lam[q] <= 0.0:
                    continue
                alpha = 0.5
                if mode == 2:
                    alpha = min(max(lam[k] / (lam[k] + lam[q]), 0.1), 0.9)
                elif mode == 3:
                    alpha = min(max(lam[k] / (lam[k] + lam[q]), 0.3), 0.7)
                beta = 1.0 - alpha
                total = 0.0
                for i in range(m):
                    s = T[i, k]
                    t = T[i, q]
                    if (s > 0.0 and t < 0.0) or (s < 0.0 and t > 0.0):
                        total += min(alpha * abs(s), beta * abs(t))
                total *= min(lam[k] / alpha, lam[q] / beta)
                if total > best:
                    best = total
                    first, second, a, b = k, q, alpha, beta
    if first < 0:
        longest = 0.0
        for k in range(r):
            for q in range(k):
                t = 0.0
                for j in range(r):
                    t += (Q[k, j] - Q[q, j]) ** 2
                if t > longest:
                    longest = t
                    first, second = k, q
        if longest < 1e-24:
            first = -1
    return first, second, a, b


@njit(cache=True)
def _search(Y, positive, base, l1, target, rel_tol, allowance, nodes, mode):  # type: ignore[no-untyped-def]
    n, r = Y.shape
    lengths = np.empty(n)
    for i in range(n):
        t = 0.0
        for j in range(r):
            t += Y[i, j] * Y[i, j]
        lengths[i] = np.sqrt(t)
    room = 1024
    generators = np.empty((room, r, r))
    normals = np.empty((room, r, r))
    bases = np.empty((room, r))
    points = np.empty((room, r))
    undecided = [np.empty(0, np.int32) for _ in range(1)]
    multipliers = [np.empty(0) for _ in range(1)]
    undecided.pop()
    multipliers.pop()
    heap = [(0.0, 0, 0)]
    heap.pop()
    vacant = [0]
    vacant.pop()
    filled = 0
    held = 0
    closed = 0.0
    value = 0.0
    point = np.zeros(r)
    count = 0
    # scratch
    T = np.empty((n, r))
    fresh = np.empty(n)
    child_T = np.empty((n, r))
    G = np.empty((n + r, r))
    square = np.empty(n + r)
    z = np.empty(n + r)
    caps = np.ones(n + r)
    negative_T = np.empty((n, r))
    index = np.empty(n, np.int32)
    start = np.empty(n)
    Q = np.empty((r, r))
    H = np.empty((r, r))
    cQ = np.empty((r, r))
    cH = np.empty((r, r))
    b = np.empty(r)
    c = np.empty(r)
    v = np.empty(r)
    lam = np.empty(r)
    u = np.empty(r)
    free = np.empty(r + 1, np.int64)
    basis = np.empty((r, r))
    R = np.empty((r, r + 1))
    column = np.empty(r)
    step = np.empty(r + 1)
    root = np.sqrt(float(r))
    orthants = 1 << r
    serial = 0
    turn = 0
    while True:
        if turn < orthants:
            parent = np.inf
            Q[:] = 0.0
            H[:] = 0.0
            for k in range(r):
                Q[k, k] = -1.0 if (turn >> k) & 1 else 1.0
                H[k, k] = Q[k, k]
            b[:] = base
            m = n
            for i in range(n):
                index[i] = i
                start[i] = 0.5
                for k in range(r):
                    T[i, k] = Y[i, k] * Q[k, k]
            lam[:] = 1.0 / r
            first, second = -1, -1
            children = 1
        else:
            if len(heap) == 0:
                break
            parent = -heap[0][0]
            upper = max(parent, closed)
            if upper <= target or upper - value <= rel_tol * upper + allowance:
                break
            if count >= nodes + orthants or held > MEMORY:
                break
            _, _, slot = heapq.heappop(heap)
            Q[:] = generators[slot]
            H[:] = normals[slot]
            b[:] = bases[slot]
            lam[:] = points[slot]
            index_of = undecided[slot]
            start_of = multipliers[slot]
            m = index_of.shape[0]
            held -= 16 * r * r + 16 * r + 12 * m
            p = 0
            for i in range(m):
                index[i] = index_of[i]
                start[i] = start_of[i]
                for k in range(r):
                    t = 0.0
                    for j in range(r):
                        t += Y[index[i], j] * Q[k, j]
                    T[i, k] = t
                if positive[index[i]]:
                    for k in range(r):
                        child_T[p, k] = T[i, k]
                    p += 1
            vacant.append(slot)
            first, second, alpha, beta = _split(child_T, p, Q, lam, mode)
            if first < 0:
                closed = max(closed, parent)
                continue
            size = 0.0
            for j in range(r):
                u[j] = alpha * Q[first, j] + beta * Q[second, j]
                size += abs(u[j]) if l1 else u[j] * u[j]
            size = size if l1 else np.sqrt(size)
            alpha /= size
            beta /= size
            for j in range(r):
                u[j] /= size
            for i in range(m):
                t = 0.0
                for j in range(r):
                    t += Y[index[i], j] * u[j]
                fresh[i] = t
            children = 2
        turn += 1
        for child in range(children):
            count += 1
            cQ[:] = Q
            cH[:] = H
            replaced = -1
            if children == 2:
                replaced = first if child == 0 else second
                other = second if child == 0 else first
                gone = alpha if child == 0 else beta
                stays = beta if child == 0 else alpha
                cQ[replaced] = u
                for j in range(r):
                    cH[replaced, j] = H[replaced, j] / gone
                    cH[other, j] = H[other, j] - stays * cH[replaced, j]
            # classify
            keep = np.empty(m, np.int32)
            kept = 0
            negatives = 0
            v[:] = b
            c[:] = 0.0
            for i in range(m):
                e = index[i]
                low = np.inf
                high = -np.inf
                for k in range(r):
                    t = fresh[i] if k == replaced else T[i, k]
                    low = min(low, t)
                    high = max(high, t)
                edge = DECIDED * lengths[e]
                if low >= -edge:
                    if positive[e]:
                        for j in range(r):
                            v[j] += Y[e, j]
                    else:
                        for j in range(r):
                            v[j] -= Y[e, j]
                elif high > edge:
                    keep[kept] = i
                    kept += 1
                    if positive[e]:
                        for k in range(r):
                            c[k] += max(fresh[i] if k == replaced else T[i, k], 0.0)
                    else:
                        for j in range(r):
                            G[negatives, j] = Y[e, j]
                        for k in range(r):
                            negative_T[negatives, k] = fresh[i] if k == replaced else T[i, k]
                        square[negatives] = lengths[e] * lengths[e]
                        z[negatives] = start[i]
                        caps[negatives] = 1.0
                        negatives += 1
            cb = v.copy()
            for k in range(r):
                t = 0.0
                for j in range(r):
                    t += cQ[k, j] * cb[j]
                c[k] += t
            clam = np.empty(r)
            if l1:
                clam[:] = 1.0 / r
                bound = _highest(negative_T, negatives, c, target, clam)
            else:
                for j in range(r):
                    t = 0.0
                    for k in range(r):
                        t += c[k] * cH[k, j]
                    v[j] = t
                for i in range(negatives):
                    for j in range(r):
                        v[j] -= z[i] * G[i, j]
                for k in range(r):
                    t = 0.0
                    for j in range(r):
                        G[negatives + k, j] = -cH[k, j]
                        t += cH[k, j] * cH[k, j]
                    square[negatives + k] = t
                    z[negatives + k] = 0.0
                    caps[negatives + k] = np.inf
                _shortest(
                    G, square, z, caps, negatives + r, v, target, free, basis, R, column, step
                )
                for j in range(r):
                    column[j] = 0.0
                for i in range(negatives):
                    for j in range(r):
                        column[j] += z[i] * G[i, j]
                size = 0.0
                for j in range(r):
                    size += v[j] * v[j]
                short = 0.0
                for k in range(r):
                    t = c[k]
                    for j in range(r):
                        t -= cQ[k, j] * (v[j] + column[j])
                    short = max(short, t)
                    t = 0.0
                    for j in range(r):
                        t += cH[k, j] * v[j]
                    clam[k] = max(t, 0.0)
                bound = np.sqrt(size) + root * short
            if not bound < parent:
                bound = parent
            bound = max(bound, 0.0)
            if bound <= target:
                closed = max(closed, bound)
                continue
            # value at the point that attains the bound
            for j in range(r):
                t = 0.0
                for k in range(r):
                    t += clam[k] * cQ[k, j]
                column[j] = t
            size = 0.0
            for j in range(r):
                size += abs(column[j]) if l1 else column[j] * column[j]
            size = size if l1 else np.sqrt(size)
            reached = 0.0
            if size > 0.0:
                for j in range(r):
                    reached += cb[j] * column[j]
                for i in range(kept):
                    e = index[keep[i]]
                    t = 0.0
                    for j in range(r):
                        t += Y[e, j] * column[j]
                    if t > 0.0:
                        reached += t if positive[e] else -t
                reached /= size
                if reached > value:
                    value = reached
                    for j in range(r):
                        point[j] = column[j] / size
            if bound - value <= rel_tol * bound + allowance:
                closed = max(closed, bound)
                continue
            if len(vacant) > 0:
                slot = vacant.pop()
            else:
                slot = filled
                filled += 1
                undecided.append(np.empty(0, np.int32))
                multipliers.append(np.empty(0))
                if slot == room:
                    wider = np.empty((2 * room, r, r))
                    wider[:room] = generators
                    generators = wider
                    wider = np.empty((2 * room, r, r))
                    wider[:room] = normals
                    normals = wider
                    longer = np.empty((2 * room, r))
                    longer[:room] = bases
                    bases = longer
                    longer = np.empty((2 * room, r))
                    longer[:room] = points
                    points = longer
                    room *= 2
            generators[slot] = cQ
            normals[slot] = cH
            bases[slot] = cb
            total = 0.0
            for k in range(r):
                total += clam[k]
            for k in range(r):
                points[slot, k] = clam[k] / total if total > 0.0 else 1.0 / r
            own = np.empty(kept, np.int32)
            values = np.empty(kept)
            q = 0
            for i in range(kept):
                own[i] = index[keep[i]]
                values[i] = 0.0
                if not positive[own[i]]:
                    values[i] = start[keep[i]] if l1 else z[q]
                    q += 1
            undecided[slot] = own
            multipliers[slot] = values
            held += 16 * r * r + 16 * r + 12 * kept
            heapq.heappush(heap, (-bound, serial, slot))
            serial += 1
    upper = closed
    if len(heap) > 0:
        upper = max(upper, -heap[0][0])
    return upper, point, count

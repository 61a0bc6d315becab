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

So on the cone the objective is at most ``(c - Q' sum_i z_i y_i)'lam`` for one vector c and every
z in the unit box. By weak duality that is at most ``||v||``, in the l2 norm, for each v with
``Q'v >= c - Q' sum_i z_i y_i``: the shortest v is a least-squares problem, with bounds, in z and in
the multipliers of the cone's facets, and an active set solves it (Stark & Parker 1995). In the
l1 norm the cone lies in one orthant, so the least bound over z is the value of a matrix game,
solved by cutting planes. Any v and z give a bound, so nothing relies on how they were found.

The cones that are left when a search ends are its proof: a `Cover` tells how the sphere was split,
and bounding those cones again takes less than half as long.

A cone without undecided examples of ``s_i > 0`` is thereby settled: only those make a cone be
split, in the middle of the edge that lowers the majorant most at the neuron that attains the
bound. The best of these neurons, improved by the convex-concave procedure in the l2 norm, is
the value.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convexnn.contract.arrays import Array, BoolArray
from convexnn.contract.kernels import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUNDING = 1e-13  # relative allowance for the rounding of sums
DECIDED = 1e-15  # a generator this close to a hyperplane, relative to ||y_i||, is on it
NEGLIGIBLE = 1e-40  # a row this short, relative to all of them, is left out
PARALLEL = 1e-14  # unit rows nearer than this, up to sign, are one hyperplane
DEPENDENT = 1e-11  # a column this close to the span of the free ones cannot join them
SHORTEST = 1e-12  # an edge of this length is not split
SWEEPS = 2  # of coordinate descent, before the active set takes over
ASCENTS = 20  # steps of local search from a good neuron, in the l2 norm
CUTS = 40  # cutting planes of a cone, in the l1 norm
MEMORY = 1 << 28  # bytes the open cones may fill
MOST = 60  # rank from which on the orthants are too many to count


class Cover(NamedTuple):
    """A proof that no neuron of unit norm is worth more than `limit`.

    Attributes
    ----------
    basis : array of shape (d, r)
        Orthonormal; the cones are in its coordinates.
    tree : uint16 array
        How the orthants were split, one after the other, each cone before its halves:
        ``1 + first r + second`` for an edge, 0 for a cone that was left as it is. Any such tree
        covers the sphere.
    limit : float
    """

    basis: Array
    tree: NDArray[np.uint16]
    limit: float


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
    cover : Cover or None
        What proves the upper bound, where it is not the closed form.
    """

    upper: float
    value: float
    point: Array
    nodes: int
    cover: Cover | None = None


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
    seconds: float | None = None,
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
        Stop once this many cones are bounded. Fewer than 2^r, r the rank of X (in the l1 norm
        its number of columns), do not cover the sphere: the bound is then a closed form.
    seconds : float, optional
        Stop when they are over.

    Returns
    -------
    Bracket
        The same on every call, but for the time; ``upper`` counts in what rounding may cost.

    Examples
    --------
    >>> found = bracket(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([3.0, 4.0]))
    >>> round(found.upper, 6), round(found.value, 6), found.point.round(6)
    (5.0, 5.0, array([0.6, 0.8]))
    """
    if not (np.isfinite(X).all() and np.isfinite(mu).all()):
        return Bracket(np.inf, 0.0, np.zeros(X.shape[1]), 0)
    scale_X, scale_mu = magnitude(X), magnitude(mu)
    scaled, weights = X / scale_X, mu / scale_mu
    upper = closed_form(scaled, weights, leak, l1) * scale_X * scale_mu
    basis = np.eye(X.shape[1]) if l1 else row_space(scaled[mu != 0.0])
    r = basis.shape[1]
    if not (r < MOST and 1 << r <= nodes):
        return Bracket(upper, 0.0, np.zeros(X.shape[1]), 0)
    terms = reduced(scaled, weights, leak, basis)
    goal = target / scale_X / scale_mu - terms.allowance
    with alarm(seconds) as late:
        found, point, count, splits = _search(*terms, l1, goal, rel_tol, nodes, late)
    u = basis @ point
    size = float(np.sum(np.abs(u)) if l1 else np.sqrt(np.sum(u * u)))
    u = u / size if size > 0.0 else u
    t = X @ u
    value = float(mu @ np.maximum(t, leak * t))
    if not value > 0.0:
        value, u = 0.0, np.zeros(X.shape[1])
    cover = None
    if found < np.inf:
        limit = max((float(found) + terms.allowance) * scale_X * scale_mu, value)
        cover = Cover(basis, _tree(splits, r), limit * (1.0 + 3.0 * ROUNDING))
        upper = min(upper, cover.limit)
    return Bracket(max(upper, value), value, u, int(count), cover)


def proved(
    X: Array, mu: Array, cover: Cover | None, *, leak: float = 0.0, l1: bool = False
) -> float:
    """Return an upper bound on ``max {mu' act(X u) : ||u|| <= 1}`` that a cover proves.

    Parameters
    ----------
    X, mu, leak, l1
        As in `bracket`.
    cover : Cover or None
        Any one: each cone that it leaves is bounded here.

    Returns
    -------
    float
        At most the closed form; the `limit` of the cover if that holds for each of its cones.

    Examples
    --------
    >>> X, mu = np.eye(2), np.array([3.0, 4.0])
    >>> found = bracket(X, mu)
    >>> proved(X, mu, found.cover) == found.upper < proved(X, mu, None)
    True
    """
    if not (np.isfinite(X).all() and np.isfinite(mu).all()):
        return np.inf
    scale_X, scale_mu = magnitude(X), magnitude(mu)
    scaled, weights = X / scale_X, mu / scale_mu
    upper = closed_form(scaled, weights, leak, l1) * scale_X * scale_mu
    if cover is None or not _spans(cover.basis, X.shape[1], l1) or not cover.limit < np.inf:
        return upper
    terms = reduced(scaled, weights, leak, cover.basis)
    goal = cover.limit * (1.0 - ROUNDING) / scale_X / scale_mu - terms.allowance
    tree = np.ascontiguousarray(cover.tree, np.uint16)
    largest = float(_covered(*terms[:3], l1, goal, tree))
    if largest <= goal:
        return min(upper, cover.limit)
    return min(upper, (largest + terms.allowance) * scale_X * scale_mu * (1.0 + ROUNDING))


def _spans(basis: Array, d: int, l1: bool) -> bool:
    """Tell whether a basis is one of those that a search takes."""
    if basis.ndim != 2 or len(basis) != d or not basis.shape[1] < MOST:
        return False
    if l1:
        return np.array_equal(basis, np.eye(d))
    return bool(np.linalg.norm(basis.T @ basis - np.eye(basis.shape[1])) <= ROUNDING)


@contextmanager
def alarm(seconds: float | None) -> Iterator[BoolArray]:
    """Give a flag that is raised when so many seconds are over, for kernels to look at."""
    late = np.array([seconds is not None and seconds <= 0.0])
    if seconds is None or late[0]:
        yield late
        return
    timer = threading.Timer(seconds, late.fill, (True,))
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def magnitude(a: Array) -> float:
    """Return a power of two near the largest entry, so that dividing by it is exact.

    Examples
    --------
    >>> magnitude(np.array([3.0, -5.0]))
    8.0
    """
    exponent = int(np.frexp(np.max(np.abs(a), initial=0.0))[1])
    return float(np.ldexp(1.0, min(max(exponent, -1000), 1000)))


def closed_form(X: Array, mu: Array, leak: float, l1: bool) -> float:
    """Return a loose upper bound: every ``|x_i'u|`` at its largest, or their weighted squares.

    Examples
    --------
    >>> round(closed_form(np.array([[3.0, 4.0]]), np.array([2.0]), 0.0, l1=False), 6)
    10.0
    """
    c = np.maximum(mu, 0.0) + leak * np.maximum(-mu, 0.0)
    lengths = np.max(np.abs(X), axis=1) if l1 else np.sqrt(np.sum(np.square(X), axis=1))
    reach = float(c @ lengths)
    if not l1:
        top = float(np.linalg.eigvalsh((X * c[:, None]).T @ X)[-1])
        reach = min(reach, float(np.sqrt(np.sum(c) * max(top, 0.0) * (1.0 + 1e-10))))
    return reach * (1.0 + ROUNDING)


def row_space(X: Array) -> Array:
    """Return an orthonormal basis of the span of the rows, one vector a column.

    They are the principal axes: where X is ill-conditioned their orthants are the better cover.

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
    base = leak * (mu[used] @ rows)
    left_out = np.abs(mu[used]) @ np.sqrt(np.sum(np.square(full - rows @ basis.T), axis=1))
    total = np.abs(mu[used]) @ np.sqrt(np.sum(np.square(full), axis=1))
    allowance = ROUNDING * float(total) + float(left_out)
    sizes = np.sqrt(np.sum(np.square(rows), axis=1))
    kept = sizes > 0.0
    rows, sizes, weights, signs = rows[kept], sizes[kept], weights[kept], signs[kept]
    unit = rows / sizes[:, None]
    leading = np.argmax(np.abs(unit) > 0.5 / np.sqrt(rows.shape[1]), axis=1)
    turned = unit[np.arange(len(unit)), leading] < 0.0
    unit[turned] *= -1.0
    base = base + (signs * weights * turned) @ rows  # relu(-t) = relu(t) - t
    amount = signs * weights * sizes
    order = np.lexsort(unit.T)
    unit, amount = unit[order], amount[order]
    fresh = np.ones(len(unit), np.bool_)
    fresh[1:] = np.sum(np.square(np.diff(unit, axis=0)), axis=1) > PARALLEL**2
    group = np.cumsum(fresh) - 1
    leaders = unit[fresh]
    moved = np.sqrt(np.sum(np.square(unit - leaders[group]), axis=1))
    allowance += float(np.abs(amount) @ moved)
    net = np.bincount(group, weights=amount, minlength=len(leaders))
    alive = np.abs(net) > NEGLIGIBLE * total
    allowance += float(np.sum(np.abs(net[~alive])))
    merged = np.ascontiguousarray((leaders * np.abs(net)[:, None])[alive])
    return Terms(merged, net[alive] > 0.0, base, allowance)


@kernel()
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


@kernel()
def _refactor(G, free, k, basis, R, column):  # type: ignore[no-untyped-def]
    """Rebuild the factor of the free columns; dependent ones leave."""
    kept = np.int64(0)
    for q in range(k):
        for j in range(column.shape[0]):
            column[j] = G[free[q], j]
        if _append(column, basis, R, kept):
            free[kept] = free[q]
            kept += 1
    return kept


@kernel()
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
    k = np.int64(0)
    for i in range(m):
        if 0.0 < z[i] < caps[i] and k < r:
            for j in range(column.shape[0]):
                column[j] = G[i, j]
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
        for j in range(column.shape[0]):
            column[j] = G[entering, j]
        if not _append(column, basis, R, k):
            break
        free[k] = entering
        k += 1


@kernel()
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
def _highest(T, m, c, stop, lam):  # type: ignore[no-untyped-def]
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
        _game(C, rows + 1, p, lam)
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


@kernel()
def _split(cone, T, index, positive):  # type: ignore[no-untyped-def]
    """Choose the edge whose midpoint lowers the majorant most at lam; the longest if none does."""
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


@kernel()
def _size(u, l1):  # type: ignore[no-untyped-def]
    t = 0.0
    for j in range(u.shape[0]):
        t += abs(u[j]) if l1 else u[j] * u[j]
    return t if l1 else np.sqrt(t)


@kernel()
def _orthant(which, base, Q, H, b):  # type: ignore[no-untyped-def]
    """Fill in the generators, facet normals and linear part of an orthant."""
    for k in range(b.shape[0]):
        for j in range(b.shape[0]):
            Q[k, j] = 0.0
            H[k, j] = 0.0
        Q[k, k] = -1.0 if (which >> k) & 1 else 1.0
        H[k, k] = Q[k, k]
        b[k] = base[k]


@kernel()
def _middle(cone, first, second, l1, u):  # type: ignore[no-untyped-def]
    """Fill in the middle of an edge, and return what scales it to length 1."""
    for j in range(u.shape[0]):
        u[j] = cone[first, j] + cone[second, j]
    half = 1.0 / _size(u, l1)
    for j in range(u.shape[0]):
        u[j] *= half
    return half


@kernel()
def _half(cone, gone, stays, u, half, Q, H, b):  # type: ignore[no-untyped-def]
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
        H[gone, j] /= half


@kernel()
def _values(Y, index, cone, T):  # type: ignore[no-untyped-def]
    """Fill in the products of some rows with a cone's generators."""
    r = Y.shape[1]
    for i in range(index.shape[0]):
        for k in range(r):
            t = 0.0
            for j in range(r):
                t += Y[index[i], j] * cone[k, j]
            T[i, k] = t


@kernel()
def _at_half(Y, index, u, gone, whole, T):  # type: ignore[no-untyped-def]
    """Fill in the same for half of a cone, from those of the whole."""
    r = Y.shape[1]
    for i in range(index.shape[0]):
        t = 0.0
        for j in range(r):
            t += Y[index[i], j] * u[j]
        for k in range(r):
            T[i, k] = t if k == gone else whole[i, k]


@kernel()
def _decide(Y, positive, lengths, index, T, b, kept):  # type: ignore[no-untyped-def]
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
def _euclidean(H, Q, c, negatives, stop, lam, G, square, z, caps):  # type: ignore[no-untyped-def]
    """Bound a cone in the l2 norm; z and lam become the multipliers and the maximiser."""
    r = c.shape[0]
    m = negatives + r
    v = np.zeros(r)
    free = np.empty(r, np.int64)
    basis = np.empty((r, r))
    R = np.empty((r, r))
    column = np.empty(r)
    step = np.empty(r)
    for k in range(r):
        square[negatives + k] = 0.0
        z[negatives + k] = 0.0
        caps[negatives + k] = np.inf
        for j in range(r):
            v[j] += c[k] * H[k, j]
            G[negatives + k, j] = -H[k, j]
            square[negatives + k] += H[k, j] * H[k, j]
    for i in range(negatives):
        for j in range(r):
            v[j] -= z[i] * G[i, j]
    _shortest(G, square, z, caps, m, v, stop, free, basis, R, column, step)
    for j in range(r):
        column[j] = v[j]
    for i in range(negatives):
        for j in range(r):
            column[j] += z[i] * G[i, j]
    short = 0.0  # rounding may leave Q'v short of what it has to cover
    for k in range(r):
        t = c[k]
        lam[k] = 0.0
        for j in range(r):
            t -= Q[k, j] * column[j]
            lam[k] += H[k, j] * v[j]
        short = max(short, t)
        lam[k] = max(lam[k], 0.0)
    # in one orthant: sum lam <= ||Q lam||_1 <= sqrt(r) ||Q lam||
    return _size(v, False) + np.sqrt(float(r)) * short


@kernel()
def _ascend(Y, positive, lengths, base, u, value):  # type: ignore[no-untyped-def]
    """Improve u, in the l2 norm, by the convex-concave procedure; return its value."""
    n, r = Y.shape
    G = np.empty((n, r))
    square = np.empty(n)
    z = np.full(n, 0.5)
    caps = np.ones(n)
    v = np.empty(r)
    free = np.empty(r, np.int64)
    basis = np.empty((r, r))
    R = np.empty((r, r))
    column = np.empty(r)
    step = np.empty(r)
    for _ in range(ASCENTS):
        m = np.int64(0)
        for j in range(r):
            v[j] = base[j]
        for i in range(n):
            t = 0.0
            for j in range(r):
                t += Y[i, j] * u[j]
            if not positive[i]:
                z[m] = 0.0 if t < 0.0 else 1.0
                square[m] = lengths[i] * lengths[i]
                for j in range(r):
                    G[m, j] = Y[i, j]
                    v[j] -= z[m] * Y[i, j]
                m += 1
            elif t > 0.0:
                for j in range(r):
                    v[j] += Y[i, j]
        _shortest(G, square, z, caps, m, v, 0.0, free, basis, R, column, step)
        size = _size(v, False)
        if not size > 0.0:
            break
        reached = 0.0
        for j in range(r):
            v[j] /= size
            reached += base[j] * v[j]
        for i in range(n):
            t = 0.0
            for j in range(r):
                t += Y[i, j] * v[j]
            if t > 0.0:
                reached += t if positive[i] else -t
        if not reached > value:
            break
        value = reached
        for j in range(r):
            u[j] = v[j]
    return value


@kernel(nogil=True)
def _search(Y, positive, base, allowance, l1, target, rel_tol, nodes, late):  # type: ignore[no-untyped-def]
    """Bound cones best first; return an upper bound, the best neuron and the splits in order.

    The splits name the cone by the order in which it was bounded, from 1, and the edge.
    """
    n, r = Y.shape[0], base.shape[0]
    lengths = np.empty(n)
    for i in range(n):
        lengths[i] = _size(Y[i], False)
    cones = np.empty((256, 2 * r + 2, r))  # generators, facet normals, linear part, maximiser
    undecided = [
        np.arange(n).astype(np.int32)
    ]  # per stored cone, with the multipliers to start from
    multipliers = [np.full(n, 0.5)]
    heap = [(-np.inf, 0, 0)]
    vacant = [0]
    heap.pop()
    vacant.pop()
    closed = 0.0
    value = 0.0
    point = np.zeros(r)
    count = 0
    held = 0
    splits = np.empty((256, 3), np.int32)
    made = 0
    parent_T = np.empty((n, r))
    T = np.empty((n, r))
    negative_T = np.empty((n, r))
    G = np.empty((n + r, r))
    square = np.empty(n + r)
    z = np.empty(n + r)
    caps = np.empty(n + r)
    kept = np.empty(n, np.int64)
    Q = np.empty((r, r))
    H = np.empty((r, r))
    b = np.empty(r)
    c = np.empty(r)
    u = np.empty(r)
    v = np.empty(r)
    lam = np.empty(r)
    orthants = 1 << r
    while count < orthants or len(heap) > 0:
        slot = 0
        parent = np.inf
        parent_name = 0
        first, second = -1, -1
        if count >= orthants:
            parent = -heap[0][0]
            upper = max(parent, closed)
            if upper <= target or upper - value <= rel_tol * upper + allowance:
                break
            if count + 2 > nodes or held > MEMORY or late[0]:
                break
            _, parent_name, slot = heapq.heappop(heap)
        elif held > MEMORY or late[0]:
            return np.inf, point, count, splits[:0]
        index = undecided[slot]
        start = multipliers[slot]
        m = index.shape[0]
        half = 0.5
        if count >= orthants:
            held -= 16 * (r * r + r) + 12 * m
            _values(Y, index, cones[slot], parent_T)
            first, second = _split(cones[slot], parent_T, index, positive)
            if first < 0:
                closed = max(closed, parent)
                vacant.append(slot)
                continue
            if made >= splits.shape[0]:
                longer = np.empty((2 * made, 3), np.int32)
                for done in range(made):
                    for part in range(3):
                        longer[done, part] = splits[done, part]
                splits = longer
            splits[made, 0] = parent_name
            splits[made, 1] = first
            splits[made, 2] = second
            made += 1
            half = _middle(cones[slot], first, second, l1, u)
        for child in range(1 if count < orthants else 2):
            if first < 0:
                _orthant(count, base, Q, H, b)
                for i in range(n):
                    for k in range(r):
                        T[i, k] = Y[i, k] * Q[k, k]
            else:
                gone, stays = (first, second) if child == 0 else (second, first)
                _half(cones[slot], gone, stays, u, half, Q, H, b)
                _at_half(Y, index, u, gone, parent_T, T)
            count += 1
            left = _decide(Y, positive, lengths, index, T, b, kept)
            negatives: Any = np.int64(0)
            for k in range(r):
                c[k] = 0.0
                for j in range(r):
                    c[k] += Q[k, j] * b[j]
            for p in range(left):
                i = kept[p]
                e = index[i]
                if positive[e]:
                    for k in range(r):
                        c[k] += max(T[i, k], 0.0)
                    continue
                for k in range(r):
                    negative_T[negatives, k] = T[i, k]
                    G[negatives, k] = Y[e, k]
                square[negatives] = lengths[e] * lengths[e]
                z[negatives] = start[i]
                caps[negatives] = 1.0
                negatives += 1
            if l1:
                bound = _highest(negative_T, negatives, c, target, lam)
            else:
                bound = _euclidean(H, Q, c, negatives, target, lam, G, square, z, caps)
            bound = max(bound if bound < parent else parent, 0.0)
            if bound <= target:
                closed = max(closed, bound)
                continue
            total = _size(lam, True)
            for k in range(r):
                lam[k] = lam[k] / total if total > 0.0 else 1.0 / r
            for j in range(r):
                v[j] = 0.0
                for k in range(r):
                    v[j] += lam[k] * Q[k, j]
            total = _size(v, l1)
            reached = 0.0
            for j in range(r):
                v[j] /= total
                reached += b[j] * v[j]
            for p in range(left):
                e = index[kept[p]]
                t = 0.0
                for j in range(r):
                    t += Y[e, j] * v[j]
                if t > 0.0:
                    reached += t if positive[e] else -t
            if not l1 and (reached > value or count & (count - 1) == 0):
                reached = _ascend(Y, positive, lengths, base, v, reached)
            if reached > value:
                value = reached
                for j in range(r):
                    point[j] = v[j]
            if bound - value <= rel_tol * bound + allowance:
                closed = max(closed, bound)
                continue
            if len(vacant) > 0:
                place = vacant.pop()
            else:
                place = len(undecided)
                undecided.append(index)
                multipliers.append(start)
                if place >= cones.shape[0]:
                    more = np.empty((2 * place, 2 * r + 2, r))
                    for q in range(place):
                        for k in range(2 * r + 2):
                            for j in range(r):
                                more[q, k, j] = cones[q, k, j]
                    cones = more
            own = np.empty(left, np.int32)
            values = np.zeros(left)
            negatives = 0
            for p in range(left):
                own[p] = index[kept[p]]
                if not positive[own[p]]:
                    values[p] = z[negatives]
                    negatives += 1
            for j in range(r):
                for k in range(r):
                    cones[place, k, j] = Q[k, j]
                    cones[place, r + k, j] = H[k, j]
                cones[place, 2 * r, j] = b[j]
                cones[place, 2 * r + 1, j] = lam[j]
            undecided[place] = own
            multipliers[place] = values
            held += 16 * (r * r + r) + 12 * left
            heapq.heappush(heap, (-bound, count, place))
        if first >= 0:
            vacant.append(slot)
    upper = closed
    if len(heap) > 0:
        upper = max(upper, -heap[0][0])
    return upper, point, count, splits[:made]


@kernel()
def _tree(splits, r):  # type: ignore[no-untyped-def]
    """Return the splits as the tree of a `Cover`."""
    roots = 1 << r
    made = splits.shape[0]
    count = roots + 2 * made
    own = np.full(count + 1, -1, np.int32)  # the split of each cone
    for k in range(made):
        own[splits[k, 0]] = k
    out = np.zeros(count, np.uint16)
    stack = np.empty(count, np.int32)
    at = 0
    for root in range(1, roots + 1):
        top = 1
        stack[0] = root
        while top > 0:
            top -= 1
            k = own[stack[top]]
            if k >= 0:
                out[at] = 1 + splits[k, 1] * r + splits[k, 2]
                stack[top] = roots + 2 * k + 2
                stack[top + 1] = roots + 2 * k + 1
                top += 2
            at += 1
    return out


@kernel()
def _leaf(Y, positive, lengths, l1, cone, index, T, limit, work):  # type: ignore[no-untyped-def]
    """Bound a cone by itself, from the multipliers that its middle suggests."""
    r = Y.shape[1]
    Q, H = cone[:r], cone[r : 2 * r]
    c, lam, negative_T, G, square, z, caps = work
    for k in range(r):
        c[k] = 0.0
        for j in range(r):
            c[k] += Q[k, j] * cone[2 * r, j]
    negatives = 0
    for i in range(index.shape[0]):
        e = index[i]
        if positive[e]:
            for k in range(r):
                c[k] += max(T[i, k], 0.0)
            continue
        t = 0.0
        for k in range(r):
            negative_T[negatives, k] = T[i, k]
            G[negatives, k] = Y[e, k]
            t += T[i, k]
        square[negatives] = lengths[e] * lengths[e]
        z[negatives] = 1.0 if t > 0.0 else 0.0
        caps[negatives] = 1.0
        negatives += 1
    if l1:
        return _highest(negative_T, negatives, c, limit, lam)
    return _euclidean(H, Q, c, negatives, limit, lam, G, square, z, caps)


@kernel()
def _covered(Y, positive, base, l1, limit, tree):  # type: ignore[no-untyped-def]
    """Return the largest bound of a tree's leaves, inf if they do not cover the sphere.

    Those of at most `limit` are not bounded any better than that.
    """
    n, r = Y.shape[0], base.shape[0]
    lengths = np.empty(n)
    for i in range(n):
        lengths[i] = _size(Y[i], False)
    cones = np.empty((64, 2 * r + 1, r))  # of the way down: generators, facet normals, linear part
    begins = np.zeros(65, np.int64)  # where each one's undecided examples are in the pool
    pool = np.empty(4 * n, np.int32)
    whole = np.arange(n).astype(np.int32)
    cone = np.empty((2 * r + 1, r))
    T = np.empty((n, r))
    half_T = np.empty((n, r))
    kept = np.empty(n, np.int64)
    u = np.empty(r)
    work = (
        np.empty(r),
        np.empty(r),
        np.empty((n, r)),
        np.empty((n + r, r)),
        np.empty(n + r),
        np.empty(n + r),
        np.empty(n + r),
    )
    largest = 0.0
    at = 0
    for root in range(1 << r):
        _orthant(root, base, cones[0, :r], cones[0, r : 2 * r], cones[0, 2 * r])
        _values(Y, whole, cones[0], T)
        left = _decide(Y, positive, lengths, whole, T, cones[0, 2 * r], kept)
        for p in range(left):
            pool[p] = kept[p]
        begins[1] = left
        top = 1
        while top > 0:
            top -= 1
            if at == tree.shape[0]:
                return np.inf
            code = np.int64(tree[at]) - 1
            at += 1
            index = pool[begins[top] : begins[top + 1]].copy()
            for i in range(cone.shape[0]):
                for j in range(r):
                    cone[i, j] = cones[top, i, j]
            _values(Y, index, cone, T)
            if code < 0:
                bound = _leaf(Y, positive, lengths, l1, cone, index, T, limit, work)
                if not bound < np.inf:
                    return np.inf
                largest = max(largest, bound)
                continue
            first, second = code // r, code % r
            if first >= r or first == second:
                return np.inf
            half = _middle(cone, first, second, l1, u)
            if top + 2 > cones.shape[0]:
                more = np.empty((2 * top, 2 * r + 1, r))
                for q in range(top):
                    for i in range(cone.shape[0]):
                        for j in range(r):
                            more[q, i, j] = cones[q, i, j]
                cones = more
                later = np.zeros(2 * top + 1, np.int64)
                for q in range(top + 1):
                    later[q] = begins[q]
                begins = later
            if begins[top] + 2 * index.shape[0] > pool.shape[0]:
                longer = np.empty(2 * (pool.shape[0] + index.shape[0]), np.int32)
                for p in range(pool.shape[0]):
                    longer[p] = pool[p]
                pool = longer
            for child in (1, 0):  # the first half is the next to be looked at
                gone, stays = (first, second) if child == 0 else (second, first)
                Q, H, b = cones[top, :r], cones[top, r : 2 * r], cones[top, 2 * r]
                _half(cone, gone, stays, u, half, Q, H, b)
                _at_half(Y, index, u, gone, T, half_T)
                left = _decide(Y, positive, lengths, index, half_T, b, kept)
                for p in range(left):
                    pool[begins[top] + p] = index[kept[p]]
                begins[top + 1] = begins[top] + left
                top += 1
    return largest if at == tree.shape[0] else np.inf

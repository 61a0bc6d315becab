"""Exact prox of a norm over the cone of a pattern, for many patterns at once.

Every pattern ``p`` owns the polyhedral cone ``K_p = {v : e_ip x_i'v >= 0 for every i}``. For a
row ``c`` the kernels below find

    r = argmin_{v in K_p} ||v - c||^2 / 2 + tau ||v||_1

together with multipliers ``eta >= 0`` of the facets, ``r = c + sum_i eta_i e_ip x_i - s`` with
``|s| <= tau``. With ``tau = 0`` this is the projection on the cone, and the prox of the
Euclidean norm over the cone is that projection, shortened: soft thresholding commutes with
the projection on a cone (Bauschke et al. 2018, "Projecting onto the intersection of a cone
and a sphere"; the argument is one line of Moreau's decomposition).

The method is the active set of Lawson & Hanson (1974, chapter 23) with the bounds of Stark &
Parker (1995), on an orthogonal factor that grows and shrinks with the set. At most d facets
are active, so they are kept as d (index, multiplier) pairs a block, and starting from the
facets of the last call a solver's step costs about one product with X per block that is
not zero. Between two such products the facets that the last one found nearly as violated as the
worst are looked at alone (partial pricing).

The kernel is one piece that takes its arrays one by one: in smaller pieces small blocks took a
tenth longer, and compiling it a quarter; with the arrays packed in tuples, which are counted by
reference, small blocks took a twentieth.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from convexnn.contract.arrays import Array, IntArray, SignArray, readonly
from convexnn.contract.clock import look
from convexnn.contract.system.kernels import kernel
from convexnn.relu.orthogonal_factor import REORDER, append, drop

ROUNDING = 2e-14  # a facet counts as violated beyond this share of ||x_i|| ||c||
WORK = 20_000_000  # entries of the data, once for each block, between two looks at the clock
NEARLY = 0.5  # share of the worst violation from which a facet is looked at again before the others


class Facets(NamedTuple):
    """Active facets of each block and their multipliers.

    Attributes
    ----------
    example : array of int32, shape (m, d)
        Row of ``X`` that defines the facet; -1 where the slot is empty; ``n + j`` where, with
        a weight on the l1 norm, coordinate j of the result is held at 0.
    value : array, shape (m, d)
        Multiplier of that facet, >= 0; of a held coordinate, its subgradient ``s_j``.
    """

    example: IntArray
    value: Array


def no_facets(blocks: int, dimension: int) -> Facets:
    """Return the empty active set, to start from.

    Examples
    --------
    >>> no_facets(2, 1).example
    array([[-1],
           [-1]], dtype=int32)
    """
    return Facets(np.full((blocks, dimension), -1, np.int32), np.zeros((blocks, dimension)))


def project_blocks(
    X: Array,
    signs: SignArray,
    rows: Array,
    facets: Facets,
    *,
    zero_below: float = 0.0,
    tau: float = 0.0,
) -> Array:
    """Project each row on the cone of its pattern; ``facets`` is read, then updated in place.

    Parameters
    ----------
    X : array of shape (n, d), C-contiguous
    signs : int8 array of shape (P, n)
        Sign of ``x_i'v`` inside the cone, one pattern a row.
    rows : array of shape (m, d), C-contiguous
        Block ``b`` belongs to pattern ``b % P``.
    facets : Facets
        Where to start; holds the active facets of the result afterwards.
    zero_below : float, default 0.0
        A block may stop early once ``||c + sum_i eta_i e_i x_i||`` falls to this: its result is
        then that vector, an upper bound in norm of the projection.
    tau : float, default 0.0
        Weight of ``||v||_1``.

    Returns
    -------
    array of shape (m, d)

    Examples
    --------
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> signs = np.array([[1, 1]], dtype=np.int8)
    >>> project_blocks(X, signs, np.array([[2.0, -3.0]]), no_facets(1, 2))
    array([[2., 0.]])
    """
    out = np.empty_like(rows)
    lengths = np.sqrt(np.einsum("ij,ij->i", X, X))
    X, P = readonly(X), len(signs)
    step = max(1, WORK // X.size)
    if len(rows) <= step:
        _project_all(X, lengths, signs, rows, *facets, zero_below, tau, out)
        return out
    for first in range(0, len(rows), P):
        for begin in range(0, min(P, len(rows) - first), step):
            look()
            own = slice(begin, min(begin + step, P))
            part = slice(first + own.start, min(first + own.stop, len(rows)))
            example, value = facets.example[part], facets.value[part]
            _project_all(
                *(X, lengths, signs[own], rows[part], example, value, zero_below, tau, out[part])
            )
    return out


def dual_norms(X: Array, signs: SignArray, rows: Array, facets: Facets, ord_inf: bool) -> Array:
    """Return ``||c + sum_i max(eta_i, 0) e_i x_i||`` for each row, in the l2 or the linf norm.

    For any multipliers this bounds ``max {c'v : v in K_p, ||v|| <= 1}`` from above, in the
    norm whose dual is meant (weak duality), so nothing here relies on how they were found.

    Examples
    --------
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> signs = np.array([[1, 1]], dtype=np.int8)
    >>> dual_norms(X, signs, np.array([[3.0, -4.0]]), no_facets(1, 2), ord_inf=False)
    array([5.])
    """
    norms: Array = _dual_norms(X, signs, rows, facets.example, facets.value, ord_inf)
    return norms


@kernel()
def _dual_norms(X, signs, rows, index, value, ord_inf):  # type: ignore[no-untyped-def]
    m, d = rows.shape
    out = np.empty(m)
    v = np.empty(d)
    for b in range(m):
        sign = signs[b % signs.shape[0]]
        for j in range(d):
            v[j] = rows[b, j]
        for q in range(d):
            i = index[b, q]
            if 0 <= i < X.shape[0] and value[b, q] > 0.0:
                for j in range(d):
                    v[j] += value[b, q] * sign[i] * X[i, j]
        size = 0.0
        for j in range(d):
            size = max(size, abs(v[j])) if ord_inf else size + v[j] * v[j]
        out[b] = size if ord_inf else np.sqrt(size)
    return out


@kernel(inner=True)
def _load(X, sign, i, column):  # type: ignore[no-untyped-def]
    """Column i of the least-squares problem: facet i < n, or minus a unit vector."""
    n, d = X.shape
    if i < n:
        for j in range(d):
            column[j] = sign[i] * X[i, j]
    else:
        for j in range(d):
            column[j] = 0.0
        column[i - n] = -1.0


@kernel(inner=True)
def _factor(X, sign, free, val, k, Q, R, column):  # type: ignore[no-untyped-def]
    """Build the factor of the first k; dependent columns leave the free set."""
    kept = np.int64(0)
    for q in range(k):
        _load(X, sign, free[q], column)
        if kept < X.shape[1] and append(column, Q, R, kept):
            free[kept] = free[q]
            val[kept] = val[q]
            kept += 1
    return kept


@kernel(fastmath=REORDER)
def _project_all(X, lengths, signs, rows, index, value, zero_below, tau, out):  # type: ignore[no-untyped-def]
    """Solve each block; free[:k], val[:k] is its free set."""
    n, d = X.shape
    free, few = np.empty(d + 1, np.int64), np.empty(n, np.int64)
    val, side, target = np.empty(d + 1), np.empty(d), np.empty(d)
    w, column, sol = np.empty(n), np.empty(d), np.empty(d)
    Q, R = np.empty((d, d)), np.empty((d, d))
    for b in range(rows.shape[0]):
        c, r, sign = rows[b], out[b], signs[b % signs.shape[0]]
        k = np.int64(0)
        for q in range(d):
            i = index[b, q]
            if i < 0 or i >= n + d or (i >= n and tau == 0.0):
                continue
            free[k] = i
            val[k] = min(max(value[b, q], -tau), tau) if i >= n else max(value[b, q], 0.0)
            k += 1
        scale = 0.0
        for j in range(d):
            r[j] = c[j]
            scale += c[j] * c[j]
        scale = np.sqrt(scale)
        turns = 10 * d + 50
        if scale <= zero_below:
            k = np.int64(0)
            turns = 0
        elif zero_below > 0.0 and k > 0:  # do the multipliers of the last call still show it?
            size = 0.0
            for j in range(d):
                t = c[j]
                for q in range(k):
                    t += val[q] * sign[free[q]] * X[free[q], j]
                r[j] = t
                size += t * t
            if size <= zero_below * zero_below:
                turns = 0
        if turns > 0:
            k = _factor(X, sign, free, val, k, Q, R, column)
            for j in range(d):
                side[j] = 1.0 if c[j] >= 0.0 else -1.0
            for q in range(k):
                if free[q] >= n:
                    side[free[q] - n] = 0.0
        entered: Any = np.int64(-1)
        listed = 0
        for _ in range(turns):
            while True:
                for j in range(d):
                    target[j] = c[j] - tau * side[j]
                for q in range(k - 1, -1, -1):
                    t = 0.0
                    for j in range(d):
                        t -= Q[q, j] * target[j]
                    for p in range(q + 1, k):
                        t -= R[q, p] * sol[p]
                    sol[q] = t / R[q, q]
                fraction = 1.0
                blocking: Any = np.int64(-1)
                for q in range(k):
                    if free[q] < n:
                        if sol[q] > 0.0:
                            continue
                        limit = 0.0
                    else:
                        if -tau <= sol[q] <= tau:
                            continue
                        limit = tau if sol[q] > tau else -tau
                    distance = sol[q] - val[q]
                    f = (limit - val[q]) / distance if distance != 0.0 else 0.0
                    f = min(max(f, 0.0), 1.0)
                    if blocking < 0 or f < fraction:
                        fraction = f
                        blocking = q
                if blocking < 0:
                    for q in range(k):
                        val[q] = sol[q]
                    break
                for q in range(k):
                    val[q] += fraction * (sol[q] - val[q])
                leaving = free[blocking]
                if leaving >= n:
                    side[leaving - n] = 1.0 if sol[blocking] > 0.0 else -1.0
                k -= 1
                for q in range(blocking, k):
                    free[q] = free[q + 1]
                    val[q] = val[q + 1]
                drop(blocking, k, Q, R)
            for j in range(d):
                r[j] = target[j]
            for q in range(k):
                t = 0.0
                for j in range(d):
                    t += Q[q, j] * r[j]
                for j in range(d):
                    r[j] -= t * Q[q, j]
            size = 0.0
            for j in range(d):
                size += r[j] * r[j]
            size = np.sqrt(size)
            if k == d or size <= 1e-15 * scale:
                for j in range(d):
                    r[j] = 0.0
                break
            if size <= zero_below:
                break
            worst = -ROUNDING * scale
            entering: Any = np.int64(-1)
            for p in range(listed):
                i = few[p]
                t = 0.0
                for j in range(d):
                    t += X[i, j] * r[j]
                t *= sign[i] / lengths[i]
                if t < worst:
                    worst = t
                    entering = i
            if entering < 0 or entering == entered:
                worst = -ROUNDING * scale
                entering = np.int64(-1)
                np.dot(X, r, w)
                for i in range(n):
                    t = sign[i] * w[i]
                    if t < worst * lengths[i] and t / lengths[i] < worst:
                        worst = t / lengths[i]
                        entering = i
                listed = 0
                if entering >= 0:
                    for i in range(n):
                        if sign[i] * w[i] < NEARLY * worst * lengths[i]:
                            few[listed] = i
                            listed += 1
            if tau > 0.0:
                for j in range(d):
                    t = side[j] * r[j]
                    if t < worst:
                        worst = t
                        entering = n + j
            if entering < 0 or entering == entered:
                break
            _load(X, sign, entering, column)
            if not append(column, Q, R, k):
                break
            free[k] = entering
            val[k] = 0.0
            if entering >= n:
                val[k] = tau * side[entering - n]
                side[entering - n] = 0.0
            k += 1
            entered = entering
        for q in range(d):
            if q < k:
                index[b, q] = free[q]
                value[b, q] = val[q]
            else:
                index[b, q] = -1
                value[b, q] = 0.0


def least_distance(A: Array, b: Array) -> Array:
    """Return the shortest ``x`` with ``A x >= b`` (Lawson & Hanson 1974, chapter 23.4).

    Parameters
    ----------
    A : array of shape (n, d)
    b : array of shape (n,)

    Returns
    -------
    array of shape (d,)
        Zeros where no ``x`` satisfies the constraints: check the answer.

    Examples
    --------
    >>> least_distance(np.array([[1.0, 0.0]]), np.array([2.0])).round(12)
    array([2., 0.])
    """
    n, d = A.shape
    rows = np.ascontiguousarray(np.hstack([A, -b[:, None]]))
    signs = np.ones((1, n), np.int8)
    target = np.zeros((1, d + 1))
    target[0, d] = 1.0
    ray = project_blocks(rows, signs, target, no_facets(1, d + 1))[0]
    return ray[:d] / ray[d] if ray[d] > 0.0 else np.zeros(d)

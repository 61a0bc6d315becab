"""The rules by which `aggregate` makes one update of many."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from convexnn.contract.arrays import Array, BoolArray, IndexArray
from convexnn.contract.checks import ProblemError

CLIPPINGS = 10  # rounds of centred clipping
TURNS = 300  # of the flag's subspace
STEADY = 1e-10  # relative fall of the flag's objective at which its subspace stays
SAME = 1e-100  # distance, relative to the largest entry of all, below which updates are the same
SMOOTHING = 1e-12  # added under the flag's roots, whose slope is infinite at 0
BUCKET = 2  # updates a bucket, as in the experiments of [9]
LARGEST_SEARCH = 30  # faulty clients of the least diameter: at worst 1.47^30 branchings a diameter


class Asked(NamedTuple):
    """What a rule is told: the weights, the number of faulty clients, the radius of clipping."""

    weights: Array
    faulty: int
    radius: float | None


def mean(rows: Array, asked: Asked) -> Array:
    """Return the weighted mean."""
    w = asked.weights
    found: Array = (w / w.sum()) @ rows
    return found


def coordinate_median(rows: Array, asked: Asked) -> Array:
    """Return in each coordinate the middle of the weighted medians."""
    w = asked.weights
    order = np.argsort(rows, axis=0, kind="stable")
    ascending = np.take_along_axis(rows, order, axis=0)
    below = np.cumsum(w[order], axis=0)
    half = 0.5 * below[-1]
    first = np.argmax(below >= half * (1.0 - 1e-12), axis=0)  # equality up to rounding
    second = np.argmax(below > half * (1.0 + 1e-12), axis=0)
    columns = np.arange(rows.shape[1])
    low, high = ascending[first, columns], ascending[second, columns]
    middle: Array = low + 0.5 * (high - low)
    return middle


def trimmed_mean(rows: Array, asked: Asked) -> Array:
    """Return in each coordinate the weighted mean without the least and the greatest."""
    f = asked.faulty
    return _kept(rows, np.argsort(rows, axis=0, kind="stable")[f : len(rows) - f], asked)


@np.errstate(over="ignore")
def mean_around_median(rows: Array, asked: Asked) -> Array:
    """Return in each coordinate the weighted mean of those nearest the coordinate median."""
    far = np.abs(rows - coordinate_median(rows, asked))
    order = np.argsort(far, axis=0, kind="stable")[: len(rows) - asked.faulty]
    return _kept(rows, order, asked)


def krum(rows: Array, asked: Asked) -> Array:
    """Return the update of the least sum of squared distances to its nearest."""
    chosen: Array = rows[int(np.argmin(_scores(rows, asked.faulty)))]
    return chosen


def multi_krum(rows: Array, asked: Asked) -> Array:
    """Return the mean of the updates of the least sums."""
    f = asked.faulty
    best = np.argsort(_scores(rows, f), kind="stable")[: len(rows) - f]
    found: Array = rows[best].mean(axis=0)
    return found


def norm_elimination(rows: Array, asked: Asked) -> Array:
    """Return the weighted mean without the longest."""
    order = np.argsort(_lengths(rows), kind="stable")[: len(rows) - asked.faulty]
    return _kept(rows, order, asked)


def minimum_diameter(rows: Array, asked: Asked) -> Array:
    """Return the weighted mean of the updates that are least far apart at most."""
    return _kept(rows, nearest_together(_squares(rows), asked.faulty), asked)


@np.errstate(over="ignore")  # who is that far off has no share
def centered_clipping(rows: Array, asked: Asked) -> Array:
    """Return the point of ten rounds of centred clipping."""
    w, radius = asked.weights, asked.radius
    x = coordinate_median(rows, asked)
    if radius is None:
        radius = float(np.median(np.linalg.norm(rows - x, axis=1)))
    for _ in range(CLIPPINGS):
        Y = rows - x
        far = np.linalg.norm(Y, axis=1)
        share = np.minimum(1.0, np.divide(radius, far, out=np.ones(len(far)), where=far > 0.0))
        x = x + (w * share / w.sum()) @ Y
    return x


def flag(rows: Array, asked: Asked) -> Array:
    """Return the mean of the updates on the flag's subspace."""
    # One coordinate an update, and none for directions that no update has: unit lengths first,
    # so that an update of any size counts as one direction.
    lengths = _lengths(rows)
    units = np.divide(rows, lengths[:, None], out=np.zeros_like(rows), where=lengths[:, None] > 0.0)
    _, sizes, basis = np.linalg.svd(units, full_matrices=False)
    basis = basis[sizes > 1e-12 * sizes[0]] if sizes[0] > 0.0 else basis[:0]
    middle: Array = rows.mean(axis=0)
    wide = (len(rows) + 2) // 2
    if wide >= len(basis):
        return middle
    Y = flag_subspace(units @ basis.T, (rows - np.median(rows, axis=0)) @ basis.T, wide)
    found: Array = basis.T @ (Y @ (Y.T @ (basis @ middle)))
    return found


def flag_subspace(units: Array, rows: Array, wide: int) -> Array:
    """Return an orthonormal basis ``Y`` of the flag's subspace, by iteratively reweighted SVD.

    Parameters
    ----------
    units : array of shape (n, r)
        The updates over their lengths.
    rows : array of shape (n, r)
        The updates, from any origin.
    wide : int
        The dimension of the subspace, below r.

    Notes
    -----
    A root is concave, so its tangent bounds it from above: the objective falls in every turn. It
    has local minima; the turns begin at the plain SVD of the directions.
    """
    n = len(rows)
    rows = rows / max(float(np.max(np.abs(rows))), np.finfo(np.float64).tiny)
    apart = np.array([_lengths(rows - row) for row in rows])
    differ = apart > SAME
    over = np.divide(1.0, apart, out=np.zeros_like(apart), where=differ)
    pair = np.where(differ, 1.0 / max(n - 1, 1), 0.0)
    alone = (units != 0.0).any(axis=1).astype(np.float64)
    Y = np.linalg.svd(units, full_matrices=False)[2][:wide].T
    last = np.inf
    for _ in range(TURNS):
        U, V = units @ Y, rows @ Y
        off = np.sqrt(np.maximum(1.0 - (U * U).sum(axis=1), 0.0) + SMOOTHING)
        within = np.sqrt(_squares(V)) * over
        between = np.sqrt(np.maximum(1.0 - within * within, 0.0) + SMOOTHING)
        value = float(alone @ off + (pair * between).sum())
        if value >= last * (1.0 - STEADY):
            break
        last = value
        share = pair * over * over / between  # of each pair, ordered: the Laplacian counts it twice
        laplacian = 2.0 * (np.diag(share.sum(axis=1)) - share)
        scatter = units.T @ ((alone / off)[:, None] * units) + rows.T @ laplacian @ rows
        Y = np.linalg.eigh(scatter)[1][:, -wide:]
    return Y


def nearest_neighbour_mixing(rows: Array, faulty: int, seed: int) -> Array:
    """Return for each update the mean of the ``n - faulty`` nearest to it, itself one of them."""
    square = _squares(rows)
    np.fill_diagonal(square, -1.0)
    order = np.argsort(square, axis=1, kind="stable")[:, : len(rows) - faulty]
    return np.array([rows[own].mean(axis=0) for own in order])


def bucketing(rows: Array, faulty: int, seed: int) -> Array:
    """Return the means of the updates in buckets, in random order."""
    order = np.random.default_rng(seed).permutation(len(rows))
    return np.array([rows[order[k : k + BUCKET]].mean(axis=0) for k in range(0, len(rows), BUCKET)])


def nearest_together(square: Array, faulty: int) -> IndexArray:
    """Return the ``n - faulty`` points whose largest distance is least, by their squares.

    Points are within a diameter but for `faulty` exactly if as few touch all longer pairs: a
    vertex cover, searched for by branching at each diameter of a bisection.

    Raises
    ------
    ProblemError
        If `faulty` is above `LARGEST_SEARCH`.

    Examples
    --------
    >>> nearest_together(np.square(np.subtract.outer([0.0, 1, 9, 2], [0.0, 1, 9, 2])), 1).tolist()
    [0, 1, 3]
    """
    n = len(square)
    if faulty > LARGEST_SEARCH:
        raise ProblemError(
            f"faulty must be at most {LARGEST_SEARCH} for mda, whose search grows by 1.47 with "
            f"each, got {faulty}: multi-krum keeps as many and searches nothing"
        )
    upper = np.triu_indices(n, 1)
    sizes = np.unique(np.append(square[upper], 0.0))
    low, high = 0, len(sizes) - 1
    best: frozenset[int] = frozenset()
    while low < high:
        k = (low + high) // 2
        cover = _cover(square > sizes[k], faulty)
        if cover is None:
            low = k + 1
        else:
            best, high = cover, k
    left = [i for i in range(n) if i not in best]
    return np.array(left[: n - faulty])  # fewer than `faulty` may touch all longer pairs


def _cover(edges: BoolArray, most: int) -> frozenset[int] | None:
    """Return at most this many vertices that touch all edges, or None if no such set is there."""
    if most < 0:
        return None
    degree = edges.sum(axis=1)
    v = int(np.argmax(degree))
    if degree[v] == 0:
        return frozenset()
    if int(degree.sum()) > 2 * most * int(degree[v]):
        return None
    if degree[v] <= 2:  # paths and circles: whoever touches an end's only neighbour is no worse
        ends = np.flatnonzero(degree == 1)
        v = int(np.argmax(edges[ends[0]])) if len(ends) else v
        return _with(edges, [v], most)
    found = _with(edges, [v], most)
    if found is None and degree[v] <= most:
        found = _with(edges, np.flatnonzero(edges[v]).tolist(), most)
    return found


def _with(edges: BoolArray, taken: list[int], most: int) -> frozenset[int] | None:
    left = edges.copy()
    left[taken, :] = left[:, taken] = False
    rest = _cover(left, most - len(taken))
    return None if rest is None else rest | frozenset(taken)


def _kept(rows: Array, order: IndexArray, asked: Asked) -> Array:
    """Return the weighted mean of the rows of these places, of each column where they differ."""
    w = asked.weights[order]
    if not (w.sum(axis=0) > 0.0).all():
        raise ProblemError("weights must not all be 0 where the rule keeps updates")
    kept = np.take_along_axis(rows, order, axis=0) if order.ndim == 2 else rows[order]
    found: Array = np.average(kept, axis=0, weights=w)
    return found


def _lengths(rows: Array) -> Array:
    largest = np.abs(rows).max(axis=1, keepdims=True)
    scaled = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0.0)
    found: Array = largest[:, 0] * np.linalg.norm(scaled, axis=1)
    return found


@np.errstate(over="ignore")  # who is that far off is near to nobody
def _squares(rows: Array) -> Array:
    """Return the squared distances between all rows, by differences, which do not cancel."""
    return np.array([np.einsum("ij,ij->i", Y, Y) for Y in (rows - row for row in rows)])


def _scores(rows: Array, f: int) -> Array:
    square = _squares(rows)
    np.fill_diagonal(square, np.inf)
    nearest: Array = np.sort(square, axis=1)[:, : len(rows) - f - 2].sum(axis=1)
    return nearest

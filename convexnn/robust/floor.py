"""What no classifier can do: a floor on the errors that an adversary forces on any of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.checks import ProblemError, aligned, real_array
from convexnn.contract.features import chosen_columns, column_names
from convexnn.contract.labels import raw_labels
from convexnn.contract.system.interrupts import as_interrupt
from convexnn.functions.weighted import checked_weights
from convexnn.robust.close_pairs import close_pairs, meet
from convexnn.robust.rectified import ball
from convexnn.robust.regions import checked_box

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array, IndexArray

ROWS = 200_000  # whose pairs take about a minute
EPS = 2.0**-52


@dataclass(frozen=True, eq=False)
class RobustFloor:
    """A floor on the errors of any classifier in balls, with the pairs that prove it.

    Attributes
    ----------
    errors : float
        No classifier errs on fewer examples somewhere in their balls; with weights, on less
        weight.
    rate : float
        The same as a share of all.
    pairs : int array of shape (p, 2)
        Rows of other labels whose balls meet: a classifier errs on one of the two at least.
    shares : array of shape (p,)
        How much of an error each pair proves. Those of the pairs at a row sum to its weight at
        most, so that ``sum(shares)`` is a floor, rounded up where errors are whole numbers.
    cover : int array of shape (errors,) or None
        Of two classes without weights: rows with one of each pair of rows whose balls meet, as
        few as can be. The balls of all other rows are apart from those of other labels, so that
        some classifier is right on them, and errors on these rows alone are the least there are.
    total : float
        Number of examples, or their weight.
    radius : float
    norm : str
    """

    errors: float
    rate: float
    pairs: IndexArray
    shares: Array
    cover: IndexArray | None
    total: float
    radius: float
    norm: str

    @property
    def exact(self) -> bool:
        """Tell whether some classifier is known to err on no more."""
        return self.cover is not None

    def __repr__(self) -> str:
        return (
            f"RobustFloor: any classifier errs on {self.errors:.6g} of {self.total:.6g} examples, "
            f"{self.rate:.2%}, {self.norm} {self.radius:g}; {len(self.pairs)} pairs prove it"
        )


@as_interrupt()
def robust_floor(
    X: ArrayLike,
    y: ArrayLike,
    *,
    radius: float,
    norm: str = "linf",
    box: tuple[ArrayLike, ArrayLike] | Array | None = None,
    perturbed: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> RobustFloor:
    """Bound from below on how many examples any classifier errs somewhere in their balls.

    Two rows of other labels whose balls meet share a point, where one of them is wrong. The errors
    of a classifier cover all such pairs, so that ``max sum_e t_e`` over shares ``t >= 0`` of pairs
    with ``sum_{e at i} t_e <= w_i`` is a floor. For two classes it is a maximum matching, and by
    Koenig's theorem the least number of errors: a classifier that is right in the balls of all
    other rows exists. For more classes it is the bound by a fractional cover, at least that of
    any matching, and may lie below the least number of errors.

    Parameters
    ----------
    X : array of shape (n, d)
        At most 200,000 rows.
    y : array of shape (n,)
        Labels, of any number of classes.
    radius : float
        ``>= 0``, of the balls, in the units of X.
    norm : {"linf", "l2", "l1"}, default "linf"
    box : pair of floats or arrays of shape (d,), optional
        Range ``(low, high)`` that the adversary cannot leave; X must lie in it. The floor is the
        same as without: the point half way between two rows is in the range.
    perturbed : array of bool, or of names or indices of columns, optional
        Columns that the adversary may change, all by default.
    weights : array of shape (n,), optional
        ``>= 0``: a weight of 2 is a row twice.

    Returns
    -------
    RobustFloor

    Raises
    ------
    ProblemError
        If an argument breaks its rule, there are too many rows, or too many pairs for
        `convexnn.memory_limit`.

    References
    ----------
    Bhagoji, Cullina & Mittal (2019), NeurIPS (two classes, by matching).

    Examples
    --------
    >>> import convexnn as cx
    >>> floor = cx.robust_floor([[0.0], [1.0], [5.0]], ["a", "b", "a"], radius=0.5)
    >>> floor
    RobustFloor: any classifier errs on 1 of 3 examples, 33.33%, linf 0.5; 1 pairs prove it
    >>> floor.pairs
    array([[0, 1]])
    """
    aligned("X", X, y=y, weights=weights)
    names, X = column_names("X", X), real_array("X", X, 2)
    n, d = X.shape
    if n > ROWS:
        raise ProblemError(f"X must have at most {ROWS:,} rows for a floor, got {n:,}")
    raw = raw_labels("y", y)
    if raw.shape != (n,):
        raise ProblemError(f"y must have one entry per row of X ({n}), got shape {raw.shape}")
    radius, norm = ball(radius, norm)
    checked_box(box, X)
    mass = None if weights is None else checked_weights(weights, n, "row of X")
    moved = chosen_columns("perturbed", perturbed, d, names)
    classes, codes = np.unique(raw, return_inverse=True)
    inner, places = np.where(moved, X, 0.0), np.zeros(n, np.int64)
    if not moved.all():  # rows that differ in what is not moved never meet
        places = np.unique(X[:, ~moved], axis=0, return_inverse=True)[1].ravel()
    order = np.argsort(places, kind="stable")
    ends = np.flatnonzero(np.diff(places[order])) + 1
    alike = [group for group in np.split(order, ends) if np.ptp(codes[group]) > 0]
    found = [group[close_pairs(inner[group], codes[group], radius, norm)] for group in alike]
    pairs = np.concatenate([np.empty((0, 2), np.int64), *found])
    if mass is not None:
        pairs = pairs[(mass[pairs] > 0.0).all(axis=1)]
    two = len(classes) == 2
    while True:  # until each pair that proves something meets in exact arithmetic
        if mass is None:
            used, shares = _matched(pairs, codes, two)
        else:
            used, shares = _packed(pairs, mass)
        held = meet(inner, pairs[used], radius, norm)
        if held.all():
            break
        pairs = np.delete(pairs, used[~held], axis=0)
    proven, whole = math.fsum(shares), mass is None or bool(np.all(mass == np.floor(mass)))
    errors = float(math.ceil(proven)) if whole else proven * (1.0 - EPS)
    total = float(n) if mass is None else math.fsum(mass)
    kept = np.sort(pairs[used], axis=1)
    cover = _cover(pairs, used, codes) if len(classes) <= 2 and mass is None else None
    return RobustFloor(errors, errors / total, kept, shares, cover, total, radius, norm)


def _matched(pairs: IndexArray, codes: IndexArray, two: bool) -> tuple[IndexArray, Array]:
    """Return the pairs of a maximum matching; for more classes those of a fractional one.

    The latter is half of a maximum matching of rows with copies of rows.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    if not len(pairs):
        return np.empty(0, np.int64), np.empty(0)
    n = len(codes)
    first, second = pairs[:, 0], pairs[:, 1]
    if two:
        turned = codes[first] > codes[second]
        first, second = np.where(turned, second, first), np.where(turned, first, second)
        ends, each = (first, second, np.arange(1, len(pairs) + 1)), 1.0
    else:
        number = np.arange(1, len(pairs) + 1)
        ends, each = (np.r_[first, second], np.r_[second, first], np.r_[number, number]), 0.5
    graph = csr_array((ends[2], (ends[0], ends[1])), shape=(n, n))
    partner = maximum_bipartite_matching(graph, perm_type="column")
    taken = partner[ends[0]] == ends[1]
    used, times = np.unique(ends[2][taken], return_counts=True)
    shares: Array = np.where(times > 1, 2.0 * each, each)
    return used - 1, shares


def _cover(pairs: IndexArray, matched: IndexArray, codes: IndexArray) -> IndexArray:
    """Return as many rows as there are pairs in a maximum matching, with one of every pair.

    Koenig: what alternating paths from rows that are not matched do not reach among rows of the
    first label, and what they reach among those of the second.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import breadth_first_order

    n = len(codes)
    turned = codes[pairs[:, 0]] > codes[pairs[:, 1]]
    first = np.where(turned, pairs[:, 1], pairs[:, 0])
    second = np.where(turned, pairs[:, 0], pairs[:, 1])
    used = np.zeros(n, np.bool_)
    used[pairs[matched]] = True
    free = np.flatnonzero((codes == 0) & ~used)
    start = np.concatenate([np.full(len(free), n), first, second[matched]])
    end = np.concatenate([free, second, first[matched]])
    graph = csr_array((np.ones(len(start), np.int8), (start, end)), shape=(n + 1, n + 1))
    reached = np.zeros(n + 1, np.bool_)
    reached[breadth_first_order(graph, n, return_predecessors=False)] = True
    cover: IndexArray = np.flatnonzero(used & (reached[:n] == (codes == 1)))
    return cover


def _packed(pairs: IndexArray, mass: Array) -> tuple[IndexArray, Array]:
    """Return pairs with the shares of a linear program, drawn in until no row has too much."""
    from scipy.optimize import linprog
    from scipy.sparse import csr_array

    if not len(pairs):
        return np.empty(0, np.int64), np.empty(0)
    p, n = len(pairs), len(mass)
    at: Any = csr_array((np.ones(2 * p), (pairs.T.ravel(), np.tile(np.arange(p), 2))), shape=(n, p))
    largest = float(mass.max())
    solved = linprog(-np.ones(p), A_ub=at, b_ub=mass / largest, method="highs")
    if solved.x is None:
        raise ProblemError(f"weights leave a linear program unsolved: {solved.message}")
    shares = largest * np.maximum(solved.x, 0.0)
    load = at @ shares
    fits = np.minimum(1.0, mass / np.where(load > 0.0, load, 1.0) * (1.0 - (p + 8) * EPS))
    factor = np.where(load > mass * (1.0 - p * EPS), fits, 1.0)
    shares = shares * np.minimum(factor[pairs[:, 0]], factor[pairs[:, 1]])
    used = np.flatnonzero(shares > 0.0)
    return used, shares[used]

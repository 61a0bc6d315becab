"""Points that are remote: so far from most of the weight that their distances hide all others.

A point at 1e14 adds 1e14 to the sum of distances wherever the median is. A gap relative to that
sum says nothing of the other points, and its last digit is more than all their distances. What a
remote point decides is its direction, and that in no measure beyond any other point. So the sum
is graded less what each answer has to pay: of a remote point ``||a - x|| - ||a||`` counts, with
a and x from a centre amid the others, and on top as many units as make it no nearer than remote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from convexnn.contract.arrays import Array

REMOTE = 100.0  # units of length from the centre, from which on a point is remote
SAMPLE = 256  # points that tell where the others are and how far from one another
ROUNDING = 2.0**-52
TOGETHER = 1 << 20  # numbers whose squares are summed at a time


class Tail(NamedTuple):
    """Remote points.

    Attributes
    ----------
    points : array of shape (k, d)
        Less the centre.
    weights, lengths : arrays of shape (k,)
        Lengths are those of `points`.
    counted : float
        What their distances count for at the centre: `REMOTE` units times their weight.
    """

    points: Array
    weights: Array
    lengths: Array
    counted: float

    @property
    def paid(self) -> float:
        """Return what every answer has to pay, of which no gap is measured."""
        return float(self.weights @ self.lengths) - self.counted

    @property
    def surely_paid(self) -> float:
        """Return what every answer has to pay, at least, however it was rounded."""
        k, d = self.points.shape
        sums = float(self.weights @ self.lengths) + self.counted
        return self.paid - float(8 + k + d) * ROUNDING * sums

    def rounded(self, offset: Array) -> float:
        """Return what `seen` adds up from such a point: it may be off by a share of that."""
        return self.counted + 2.0 * float(self.weights.sum()) * float(np.sqrt(offset @ offset))

    def seen(self, offset: Array) -> tuple[float, Array, float]:
        """Return value, pull and slack of these points, as in a `View`, less what all pay.

        Examples
        --------
        >>> tail = Tail(np.array([[1e30]]), np.ones(1), np.array([1e30]), 5.0)
        >>> tail.seen(np.array([2.0]))[0]
        3.0
        """
        away = self.points - offset
        r = np.sqrt(np.einsum("ij,ij->i", away, away))
        shares = np.divide(self.weights, r, out=np.zeros(len(r)), where=r > 0.0)
        nearer = (2.0 * (self.points @ offset) - offset @ offset) / (r + self.lengths)
        return self.counted - float(self.weights @ nearer), shares @ away, float(shares.sum())

    def scaled(self, factor: float) -> Tail:
        """Return the same points with other weights."""
        return self._replace(weights=factor * self.weights, counted=factor * self.counted)


class Middle(NamedTuple):
    """Where most of the weight is.

    Attributes
    ----------
    point : array of shape (d,)
        The median in each coordinate, of the points or of a sample.
    unit : float
        The least distance from it within which more than half of the weight lies; if all of that
        lies there, such a distance of the others.
    remote : bool array of shape (n,) or None
        Which points are remote; None if none is.
    """

    point: Array
    unit: float
    remote: NDArray[np.bool_] | None

    def of(self, r: Array) -> Middle:
        """Return the same with other points, by their distances from it."""
        return self._replace(remote=r > REMOTE * self.unit)

    def tail(self, points: Any, weights: Array) -> Tail:
        """Return the remote ones of the points."""
        assert self.remote is not None
        away = np.asarray(points[self.remote], dtype=np.float64) - self.point
        shares = np.broadcast_to(weights, len(points))[self.remote]
        far = np.sqrt(np.einsum("ij,ij->i", away, away))
        return Tail(away, shares, far, REMOTE * self.unit * float(shares.sum()))


def middle_of(points: Any, weights: Array, lowest: float, highest: float) -> Middle:
    """Return where most of the weight is, and which points are remote from it.

    A sample tells that none is where it can; else all points are asked.

    Parameters
    ----------
    points : array of shape (n, d)
    weights : array of shape (n,) or (1,)
        All > 0; a single one is that of every point.
    lowest, highest : float
        Of the coordinates.

    Examples
    --------
    >>> found = middle_of(np.array([[0.0], [1.0], [3.0], [1e9]])[:3], np.ones(1), 0.0, 3.0)
    >>> found.point, found.unit, found.remote
    (array([1.]), 1.0, None)
    >>> middle_of(np.array([[0.0], [1.0], [3.0], [1e9]]), np.ones(1), 0.0, 1e9).remote
    array([False, False, False,  True])
    """
    n, d = points.shape
    some, shares = points, weights
    if n > SAMPLE:
        some, shares = points[_drawn(n, weights)], np.ones(1)
    some = np.asarray(some, dtype=np.float64)
    if len(shares) > 1 and (least := _least_unit(some, shares)) > 0.0:
        point = _coordinates(some, np.ones(1))  # sooner than by weights
        r = lengths_from(point, some)
        if float(r.max()) <= REMOTE * least:
            return Middle(point, _unit(r, shares), None)
    point = _coordinates(some, shares)
    r = lengths_from(point, some)
    unit = _unit(r, shares)
    widest = max(highest - float(point.min()), float(point.max()) - lowest) * d**0.5
    if widest <= REMOTE * unit:
        return Middle(point, unit, None)
    if n > SAMPLE:
        r = lengths_from(point, points)
        unit = _unit(r, weights)
    remote = r > REMOTE * unit
    return Middle(point, unit, remote if remote.any() else None)


def lengths_from(point: Array, points: Any) -> Array:
    """Return the distance of each point from one."""
    n, d = points.shape
    found = np.empty(n)
    step = max(1, TOGETHER // d)
    for s in range(0, n, step):
        away = points[s : s + step] - point
        found[s : s + step] = np.einsum("ij,ij->i", away, away)
    return np.sqrt(found, out=found)


def _drawn(n: int, weights: Array) -> NDArray[np.intp]:
    """Return points as often as their weight demands, one of each of as many equal parts."""
    parts = (np.arange(SAMPLE) + np.random.default_rng(0).random(SAMPLE)) / SAMPLE
    if len(weights) == 1:
        return np.asarray(parts * n, dtype=np.intp)
    sums = np.cumsum(weights)
    return np.asarray(np.minimum(np.searchsorted(sums, parts * sums[-1]), n - 1), dtype=np.intp)


def _coordinates(rows: Array, weights: Array) -> Array:
    """Return a median in each coordinate: of equal weights, the middle one."""
    n = len(rows)
    if len(weights) == 1:
        ascending = np.sort(rows, axis=0)  # of few values sooner than NumPy's median
        middle: Array = 0.5 * (ascending[(n - 1) // 2] + ascending[n // 2])
        return middle
    order = np.argsort(rows, axis=0)
    sums = np.cumsum(weights[order], axis=0)
    at = (sums >= 0.5 * sums[-1]).argmax(axis=0)
    columns = np.arange(rows.shape[1])
    chosen: Array = rows[order[at, columns], columns]
    return chosen


def _least_unit(rows: Array, weights: Array) -> float:
    """Return a radius that no ball with more than half of the weight has less than.

    Half the distance from some point within which more than half of the weight lies, measured in
    so few columns that it costs less than to look at all of them.
    """
    n, d = rows.shape
    few = d // (4 * n)
    if few == 0:
        return 0.0
    seen = np.ascontiguousarray(rows[:, :: d // few])
    return 0.5 * min(_half(lengths_from(row, seen), weights) for row in seen)


def _unit(r: Array, weights: Array) -> float:
    found = _half(r, weights)
    apart = r > 0.0
    if found > 0.0 or not apart.any():
        return found
    return _half(r[apart], weights if len(weights) == 1 else weights[apart])


def _half(r: Array, weights: Array) -> float:
    """Return the least distance within which more than half of the weight lies."""
    if len(weights) == 1:
        k = len(r) // 2
        return float(np.partition(r, k)[k])
    order = np.argsort(r)
    sums = np.cumsum(weights[order])
    return float(r[order[np.searchsorted(sums, 0.5 * sums[-1], side="right")]])

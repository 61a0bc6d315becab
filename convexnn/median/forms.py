"""The geometric median's canonical form, what is seen of the data from a point, and the bound.

With ``z_i`` in the ball of radius ``w_i`` and ``sum_i z_i = 0``, every x has ``sum_i w_i ||b_i -
x|| >= sum_i <b_i, z_i>``: that is the dual. The unit vectors ``z_i = w_i (b_i - x) / ||b_i - x||``
of any point x satisfy the first condition; `proof` repairs the second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convexnn.contract.arrays import frozen
from convexnn.contract.form import solved_by
from convexnn.contract.system.kernels import kernel
from convexnn.median.remote import Tail

if TYPE_CHECKING:
    from typing import Any

    from convexnn.contract.arrays import Array

NARROW = 32  # columns up to which the points are stored column by column
BLOCK = 2048  # points at most that a pass handles at a time, column by column
CACHED = 32_768  # numbers that a pass reads twice before it goes on, row by row
LARGEST = 1e140  # of a coordinate, so that no square overflows
EQUAL = 1e-9  # relative difference of distances below which points form one group
ROUNDING = 2.0**-52
FAST = {"reassoc", "contract", "nsz", "nnan"}


class Location(NamedTuple):
    """Primal point of a median.

    Attributes
    ----------
    offset : array of shape (d,)
        From the form's centre.
    """

    offset: Array


class Sight(NamedTuple):
    """Dual point of a median: the unit vectors from a point to all others.

    Attributes
    ----------
    offset : array of shape (d,)
        Of that point, from the form's centre.
    """

    offset: Array


@solved_by("newton")
class MedianForm(NamedTuple):
    """Minimise ``sum_i w_i ||x - b_i||`` over x.

    Attributes
    ----------
    points : float32 or float64 array of shape (n, d)
        Less the centre, without those of the tail; in Fortran order up to `NARROW` columns, else
        in C order.
    weights : array of shape (n,) or (1,)
        All > 0; a single one is that of every point.
    centre : array of shape (d,)
        Zeros unless the points lie far from the origin.
    mean : array of shape (d,)
        Weighted mean of the points.
    total : float
        Sum of the weights.
    tail : Tail or None
        Points so far away that the sum is graded less what each answer pays for them.
    """

    points: Any
    weights: Array
    centre: Array
    mean: Array
    total: float
    tail: Tail | None = None

    def point(self, offset: Array) -> Array:
        """Return a point in the user's coordinates."""
        moved: Array = self.centre + offset
        return moved

    def row(self, i: int) -> Array:
        """Return a data point as an offset."""
        return np.array(self.points[i], dtype=np.float64)


class View(NamedTuple):
    """What is seen from a point x: the objective, its slope, and the nearest data point.

    Attributes
    ----------
    value : float
        ``sum_i w_i ||b_i - x||``, less what all answers pay for a tail.
    pull : array of shape (d,)
        ``sum_i w_i (b_i - x) / ||b_i - x||`` without points at x: minus a gradient.
    slack : float
        ``sum_i w_i / ||b_i - x||`` without points at x.
    nearest : int
        Index of a nearest point that is not of the tail; those as near as this one are the group.
    distance : float
        To the nearest point.
    weight : float
        Of the group.
    lean, own : arrays of shape (d,)
        ``sum w_i (b_i - x)`` over the group, and its part of the pull.
    beyond : float
        The tail's part of the value.
    drag : array of shape (d,) or None
        The tail's part of the pull.
    """

    value: float
    pull: Array
    slack: float
    nearest: int
    distance: float
    weight: float
    lean: Array
    own: Array
    beyond: float = 0.0
    drag: Array | None = None

    @property
    def others(self) -> Array:
        """Return the pull of all points but the nearest."""
        rest: Array = self.pull - self.own
        return rest


def median_form(points: Any, weights: Array, centre: Array, tail: Tail | None = None) -> MedianForm:
    """Return the form of centred points, with their weighted mean.

    Examples
    --------
    >>> form = median_form(np.array([[0.0], [4.0]]), np.array([3.0, 1.0]), np.zeros(1))
    >>> form.mean, form.total
    (array([1.]), 4.0)
    """
    n, d = points.shape
    points = np.asfortranarray(points) if d <= NARROW else np.ascontiguousarray(points)
    frozen(points)  # compiled versions differ by what may be written
    frozen(weights)
    if len(weights) == 1:
        mean, total = points.mean(axis=0, dtype=np.float64), float(weights[0]) * n
    else:
        total = float(weights.sum())
        mean = (weights / total) @ points
    return MedianForm(points, weights, centre, mean, total, tail)


def view(form: MedianForm, offset: Array) -> View:
    """Return what is seen from a point, in one pass over the data.

    Examples
    --------
    >>> form = median_form(np.array([[0.0], [4.0]]), np.array([3.0, 1.0]), np.zeros(1))
    >>> seen = view(form, np.array([1.0]))
    >>> seen.value, seen.pull, seen.nearest
    (6.0, array([-2.]), 0)
    """
    offset = np.array(offset, dtype=np.float64)
    sums = np.zeros((3, len(offset)))
    if form.points.shape[1] <= NARROW:
        found = _columns(form.points.T, form.weights, offset, sums)
    else:
        found = _rows(form.points, form.weights, offset, sums)
    value, slack, nearest, distance, weight = found
    if form.tail is None:
        return View(value, sums[0], slack, nearest, distance, weight, sums[1], sums[2])
    beyond, drag, more = form.tail.seen(offset)
    value, slack, pull = value + beyond, slack + more, sums[0] + drag
    return View(value, pull, slack, nearest, distance, weight, sums[1], sums[2], beyond, drag)


@kernel(error_model="numpy", fastmath=FAST)
def _columns(B, w, x, sums):  # type: ignore[no-untyped-def]
    """Look at points given one a column; see `View`."""
    d, n = B.shape
    size = min(BLOCK, 128 * d)
    far, scale = np.empty(size), np.empty(size)
    value, slack = 0.0, 0.0
    nearest, closest, weight = -1, np.inf, 0.0
    one = len(w) == 1
    for s in range(0, n, size):
        m = min(size, n - s)
        r, q = far[:m], scale[:m]
        r[:] = 0.0
        for j in range(d - 1):
            b, at = B[j, s : s + m], x[j]
            for k in range(m):
                r[k] += (b[k] - at) * (b[k] - at)
        b, at, low = B[d - 1, s : s + m], x[d - 1], np.inf
        for k in range(m):
            square = r[k] + (b[k] - at) * (b[k] - at)
            r[k] = square
            low = min(low, square)
        low, part, more = np.sqrt(low), 0.0, 0.0
        if one:
            for k in range(m):
                q[k] = w[0]
        else:
            for k in range(m):
                q[k] = w[s + k]
        for k in range(m):  # without the minimum, which would keep it from becoming vector code
            length, u = np.sqrt(r[k]), q[k]
            part += u * length
            u = u / length if length > 0.0 else 0.0
            r[k], q[k] = length, u
            more += u
        value += part
        slack += more
        for j in range(d):
            b, at, part = B[j, s : s + m], x[j], 0.0
            for k in range(m):
                part += q[k] * (b[k] - at)
            sums[0, j] += part
        if low <= closest * (1.0 + EQUAL):
            for k in range(m):
                if r[k] < closest * (1.0 - EQUAL):
                    nearest, closest, weight = s + k, r[k], 0.0
                    for j in range(d):
                        sums[1, j] = sums[2, j] = 0.0
                if r[k] <= closest * (1.0 + EQUAL):
                    u = w[0] if one else w[s + k]
                    weight += u
                    for j in range(d):
                        t = B[j, s + k] - x[j]
                        sums[1, j] += u * t
                        sums[2, j] += q[k] * t
    return value, slack, nearest, closest, weight


@kernel(error_model="numpy", fastmath=FAST)
def _rows(B, w, x, sums):  # type: ignore[no-untyped-def]
    """Look at points given one a row; see `View`."""
    n, d = B.shape
    size = max(1, min(64, CACHED // d))
    r, q = np.empty(size), np.empty(size)
    pull, lean, own = sums[0], sums[1], sums[2]
    value, slack = 0.0, 0.0
    nearest, closest, weight = -1, np.inf, 0.0
    one = len(w) == 1
    for s in range(0, n, size):
        m = min(size, n - s)
        for k in range(m):
            total = 0.0
            for j in range(d):
                t = B[s + k, j] - x[j]
                total += t * t
            r[k] = total
        low, part = np.inf, 0.0
        for k in range(m):
            u = w[0] if one else w[s + k]
            r[k] = np.sqrt(r[k])
            low = min(low, r[k])
            part += u * r[k]
            q[k] = u / r[k] if r[k] > 0.0 else 0.0
            slack += q[k]
        value += part
        for k in range(m):
            u = q[k]
            for j in range(d):
                pull[j] += u * (B[s + k, j] - x[j])
        if low <= closest * (1.0 + EQUAL):
            for k in range(m):
                if r[k] < closest * (1.0 - EQUAL):
                    nearest, closest, weight = s + k, r[k], 0.0
                    lean[:] = 0.0
                    own[:] = 0.0
                if r[k] <= closest * (1.0 + EQUAL):
                    u = w[0] if one else w[s + k]
                    weight += u
                    for j in range(d):
                        t = B[s + k, j] - x[j]
                        lean[j] += u * t
                        own[j] += q[k] * t
    return value, slack, nearest, closest, weight

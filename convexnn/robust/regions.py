"""Where an adversary may move examples: balls, clipped to a box, in some of the columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convexnn.contract.arrays import readonly
from convexnn.contract.checks import ProblemError, real, real_array, several, shown
from convexnn.functions.norms import DUAL
from convexnn.robust.rectified import inside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from convexnn.contract.arrays import Array, BoolArray, IndexArray


class Region(NamedTuple):
    """Points ``x = center + scale * u`` with ``||u|| <= reach``, around each example.

    Attributes
    ----------
    X : array of shape (n, d)
        The examples, in their regions.
    center : array of shape (n, d)
        The examples too, unless a box clips their balls.
    scale : array of shape (n, d) or (d,), or None
        None stands for ones. It is 0 for columns that do not move.
    reach : float
    norm : {"linf", "l2", "l1"}
    radius : float
        Of the balls.
    low, high : arrays of shape (n, d) or (d,), or None
        What no point is below or above.
    """

    X: Array
    center: Array
    scale: Array | None
    reach: float
    norm: str
    radius: float
    low: Array | None = None
    high: Array | None = None

    @classmethod
    def of(
        cls,
        X: Array,
        radius: float,
        norm: str,
        box: tuple[Array, Array] | None = None,
        moved: BoolArray | None = None,
    ) -> Region:
        """Return balls, clipped to a box, in the columns that move.

        What is clipped is again a box, rounded outwards.

        Examples
        --------
        >>> box = np.array([0.0]), np.array([1.0])
        >>> clipped = Region.of(np.array([[0.9]]), 0.2, "linf", box)
        >>> clipped.center.round(3), clipped.scale.round(3)
        (array([[0.85]]), array([[0.15]]))
        """
        still = moved is not None and not moved.all()
        if box is None:
            scale = moved.astype(np.float64) if moved is not None and still else None
            ends = (None, None) if scale is None else _ends(X, moved, -np.inf, np.inf)
            return cls(X, X, scale, radius, norm, radius, *ends)
        low, high = _ends(X, moved, *box)
        lower = np.maximum(low, np.nextafter(X - radius, -np.inf))
        upper = np.minimum(high, np.nextafter(X + radius, np.inf))
        center = np.where(lower < upper, lower + 0.5 * (upper - lower), X)
        half = np.maximum(upper - center, center - lower)
        scale = np.where(half > 0.0, np.nextafter(half, np.inf), 0.0)
        return cls(X, center, scale, 1.0, norm, radius, low, high)

    def part(self, rows: IndexArray) -> Region:
        """Return the regions of some examples."""
        own = [a if a is None or a.ndim < 2 else a[rows] for a in (self.scale, self.low, self.high)]
        return self._replace(
            X=self.X[rows], center=self.center[rows], scale=own[0], low=own[1], high=own[2]
        )

    def stretched(self, W: Array, i: int) -> Array:
        """Return neurons, one a row, as they see the ``u`` of an example."""
        if self.scale is None:
            return W
        return W * (self.scale if self.scale.ndim < 2 else self.scale[i])

    def reaches(self, W: Array) -> Array:
        """Return how far each neuron's value gets from that at the centre, (m,) or (n, m)."""
        if self.scale is not None and self.scale.ndim == 2:
            result: Array = self.reach * (self.scale @ np.abs(W).T)
            return result
        return self.reach * DUAL[self.norm].value(self.stretched(W, 0))

    def support(self, q: Array) -> Array:
        """Return the largest value of ``q_i'(x - center_i)`` in each example's region."""
        return self.reach * DUAL[self.norm].value(q if self.scale is None else q * self.scale)

    def points(self, shift: Array) -> Array:
        """Return points of the regions, in floating point too."""
        moved = shift if self.scale is None else self.scale * shift
        points = inside(self.X, self.center + moved, self.radius, self.norm)
        if self.low is not None and self.high is not None:
            points = np.minimum(np.maximum(points, self.low), self.high)
        return points


def _ends(X: Array, moved: BoolArray | None, low: Any, high: Any) -> tuple[Array, Array]:
    """Return what no point is below or above: the example itself in columns that stay."""
    if moved is None or moved.all():
        return low, high
    return np.where(moved, low, X), np.where(moved, high, X)


def checked_box(
    value: Any, X: Array, names: Sequence[str] | None = None
) -> tuple[Array, Array] | None:
    """Return the lowest and the highest values of the columns of X, which must be within them.

    Messages say the columns' names, if there are any.

    Raises
    ------
    ProblemError
        If it is no pair of numbers or of one number a column, in this order, or X is not in it.

    Examples
    --------
    >>> checked_box((0.0, [1.0, np.inf]), np.array([[0.5, 2.0]]))
    (array([0., 0.]), array([ 1., inf]))
    """
    if value is None:
        return None
    d = X.shape[1]
    ends = several("box", value, "two ends, the lowest and the highest values of columns")
    if len(ends) != 2:
        raise ProblemError(f"box must be a pair (low, high), got {shown(value)}")
    low, high = (_end(end, d) for end in ends)
    if not np.all(low <= high):
        raise ProblemError(f"box must have low <= high in each column, got {shown(value)}")
    outside = np.argwhere((low > X) | (high < X))
    if len(outside):
        i, k = outside[0].tolist()
        raise ProblemError(
            f"X must lie in the box [{low[k]:g}, {high[k]:g}] of column "
            f"{k if names is None else repr(names[k])}, "
            f"got {X[i, k]:g} in row {i}: clip it, or widen the box"
        )
    return readonly(low), readonly(high)


def _end(value: Any, d: int) -> Array:
    """Return one end of a box; a number is the end of all columns, and may be infinite."""
    if np.ndim(value) == 0:
        return np.full(d, real("box", value))
    given = np.asarray(value)
    finite = given.dtype.kind not in "fiu" or np.isfinite(given)
    array = real_array("box", np.where(finite, given, 0.0) if np.ndim(finite) else given, 1)
    if len(array) != d:
        raise ProblemError(f"box must have ends of one entry per column ({d}), got {len(array)}")
    return np.where(finite, array, given) if np.ndim(finite) else array

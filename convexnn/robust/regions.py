"""Where an adversary may move examples: balls, clipped to a box, in some of the columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.arrays import readonly
from convexnn.contract.checks import ProblemError, real, real_array, several, shown

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array


def checked_box(value: Any, X: Array) -> tuple[Array, Array] | None:
    """Return the lowest and the highest values of the columns of X, which must be within them.

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
            f"X must lie in the box [{low[k]:g}, {high[k]:g}] of column {k}, "
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

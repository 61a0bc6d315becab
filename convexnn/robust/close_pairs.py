"""Rows of other labels that lie near each other: found in floating point, settled exactly."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.checks import ProblemError
from convexnn.contract.system.kernels import kernel
from convexnn.contract.system.memory import shortage
from convexnn.functions.norms import NORMS
from convexnn.robust.ball_kernels import CODES

if TYPE_CHECKING:
    from convexnn.contract.arrays import BoolArray, IndexArray

VISITS = 2.0e7  # pairs of rows that a call of the kernel looks at
BYTES = 40.0  # that a pair takes while pairs are matched
EPS = 2.0**-52


@kernel()
def _close(
    left: Array,
    right: Array,
    codes: Array,
    others: Array,
    reach: float,
    most: float,
    norm: int,
    found: Array,
) -> int:
    """Write what is within the reach of each row on the left, one row after the other."""
    count = 0
    for i in range(len(left)):
        for j in range(len(right)):
            if codes[i] == others[j]:
                continue
            total = 0.0
            for k in range(left.shape[1]):
                away = abs(left[i, k] - right[j, k])
                if away == 0.0:
                    continue
                if reach == 0.0:
                    total = np.inf
                    break
                step = away / reach
                if norm == 0:
                    total = max(total, step)
                elif norm == 1:
                    total += step * step
                else:
                    total += step
                if total > most:
                    break
            if total <= most:
                if count < len(found):
                    found[count, 0], found[count, 1] = i, j
                count += 1
    return count


def close_pairs(X: Array, codes: IndexArray, radius: float, norm: str) -> IndexArray:
    """Return the pairs ``i < j`` of other labels within twice the radius, up to rounding.

    None that is as near is left out; one that is farther by rounding alone may be among them.

    Raises
    ------
    ProblemError
        If the pairs need more memory than there may be.

    Examples
    --------
    >>> close_pairs(np.array([[0.0], [1.0], [5.0]]), np.array([0, 1, 0]), 0.5, "linf")
    array([[0, 1]])
    """
    n, d = X.shape
    most = 1.0 + 4.0 * (d + 8) * EPS
    rows = max(1, int(VISITS / n))
    found = np.empty((1, 2), np.int64)
    parts, total = [np.empty((0, 2), np.int64)], 0
    for first in range(0, n, rows):
        own = slice(first, first + rows)
        given = X[own], X[first:], codes[own], codes[first:], 2.0 * radius, most, CODES[norm]
        count = _close(*given, found)
        lack = shortage({f"{total + count:,} close pairs of rows": BYTES * (total + count)})
        if lack:
            raise ProblemError(f"radius is large for {n:,} rows: {lack}")
        if count > len(found):
            found = np.empty((count, 2), np.int64)
            _close(*given, found)
        part = found[:count] + first
        kept = part[part[:, 0] < part[:, 1]]
        parts.append(kept)
        total += len(kept)
    return np.concatenate(parts)


def meet(X: Array, pairs: IndexArray, radius: float, norm: str) -> BoolArray:
    """Tell of which pairs the closed balls meet, in exact arithmetic.

    Examples
    --------
    >>> X = np.array([[0.0], [0.3], [np.nextafter(0.3, 1.0)]])
    >>> meet(X, np.array([[0, 1], [0, 2]]), 0.15, "linf")
    array([ True, False])
    """
    left, right = X[pairs[:, 0]], X[pairs[:, 1]]
    reach = 2.0 * radius
    sizes = NORMS[norm].value(left - right)
    room = 4.0 * (X.shape[1] + 8) * EPS
    result: BoolArray = sizes <= reach
    for k in np.flatnonzero(np.abs(sizes - reach) <= room * max(reach, 1e-290)):
        steps = zip(left[k].tolist(), right[k].tolist(), strict=True)
        away = [abs(Fraction(a) - Fraction(b)) for a, b in steps]
        limit = 2 * Fraction(radius)
        if norm == "l2":
            result[k] = sum(step * step for step in away) <= limit * limit
        else:
            result[k] = (max(away) if norm == "linf" else sum(away)) <= limit
    return result

"""In which direction a network may go in each of its inputs: what is asked for, and its proof.

``f(x) = sum_j alpha_j act(u_j'x + b_j) + s'x + c`` never falls in ``x_k``, for any x, if ``alpha_j
u_jk >= 0`` for every j and ``s_k >= 0``, since the activation never falls. In the convex programs
that is ``v_k >= 0`` of the neurons that add to the output and ``w_k <= 0`` of those that subtract.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from convexnn.contract.arrays import frozen
from convexnn.contract.checks import ProblemError, real_array, shown
from convexnn.contract.words import quoted

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array, SignArray
    from convexnn.contract.features import Names

RULE = "-1, 0 or 1: never rises, is free, never falls"


def directions(given: ArrayLike | Mapping[str, int], names: Names, count: int) -> SignArray:
    """Return a direction for each of `count` columns, read-only.

    Parameters
    ----------
    given : array of shape (count,), or mapping of str to int
        Of -1, 0 and 1; by the names of columns, those left out are free.
    names : tuple of str or None
        Of the columns.
    count : int

    Raises
    ------
    ProblemError
        If it is of another length, holds other values, or names a column that is not there.

    Examples
    --------
    >>> directions({"age": 1}, ("age", "income"), 2)
    array([1, 0], dtype=int8)
    """
    if isinstance(given, Mapping):
        found = _by_name(given, names, count)
    else:
        found = real_array("monotone", given, 1)
        if np.asarray(given).dtype.kind == "b":
            raise ProblemError(f"monotone must have entries {RULE}; got {shown(given)}")
        if len(found) != count:
            raise ProblemError(
                f"monotone must have {count} entries, one for each column of X, got {len(found)}"
            )
    other = found[~np.isin(found, (-1.0, 0.0, 1.0))]
    if len(other):
        raise ProblemError(f"monotone must have entries {RULE}; got {shown(float(other[0]))}")
    kept = found.astype(np.int8)
    frozen(kept)
    return kept


def _by_name(given: Mapping[str, int], names: Names, count: int) -> Array:
    if names is None:
        raise ProblemError(
            "monotone by name must go with an X of named columns: give a frame or feature_names"
        )
    absent = [shown(name) for name in given if name not in names]
    if absent:
        raise ProblemError(
            f"monotone must name columns of X, {quoted(names)}; got {', '.join(absent)}"
        )
    values = real_array("monotone", list(given.values()), 1, empty=True)
    found = np.zeros(count)
    found[[names.index(name) for name in given]] = values
    return found


def proved(
    asked: SignArray, U: Array, alpha: Array, skip: Array | None = None, leak: float = 0.0
) -> bool:
    """Tell whether the signs of the weights prove that a network goes as is asked, for all x.

    Parameters
    ----------
    asked : int8 array of shape (d,)
    U : array of shape (d, m)
    alpha : array of shape (m, k)
    skip : array of shape (d,), optional
    leak : float, default 0.0

    Examples
    --------
    >>> U, alpha = np.array([[1.0, -2.0]]), np.array([[3.0], [-1.0]])
    >>> up, down = np.array([1], np.int8), np.array([-1], np.int8)
    >>> proved(up, U, alpha), proved(down, U, alpha)
    (True, False)
    """
    if not asked.any():
        return True
    own = np.flatnonzero(asked)
    along = asked[own, None] * U[own]
    rising = (np.sign(along)[:, :, None] * np.sign(alpha) >= 0.0).all()
    straight = skip is None or bool((asked[own] * skip[own] >= 0.0).all())
    return leak >= 0.0 and bool(rising) and straight

"""Coordinates in which the cells of data are wide: columns of unit length at right angles."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array

NOISE = 1e-14  # singular values this small, as shares of the largest, are rounding
THIN = 1e-8  # those below this are too small for patterns to be told apart along them


class Whitened(NamedTuple):
    """Data with the same patterns as the given ones, and columns of unit length at right angles.

    Attributes
    ----------
    rows : array of shape (n, r)
    back : array of shape (d, r)
        ``back @ h`` has the pattern on the given data that ``h`` has on `rows`.
    complete : bool
        Whether all patterns of the given data are those of `rows`, which lack thin directions.
    """

    rows: Array
    back: Array
    complete: bool


def whitened(X: Array, bias: bool) -> Whitened:
    """Return the data, with a column of ones if there is a bias, for which cells are wide.

    No pattern sees an invertible map of the data, while what is too near to be told apart does.

    Examples
    --------
    >>> far = 1e9 + np.arange(4.0)[:, None]
    >>> white = whitened(far, True)
    >>> white.rows.shape, white.complete
    ((4, 2), True)
    >>> np.allclose(far @ white.back[:1] + white.back[1], white.rows, atol=1e-6)
    True
    """
    centre = np.mean(X, axis=0) if bias else np.zeros(X.shape[1])
    moved = X - centre
    scale = np.max(np.abs(moved), axis=0)
    scale[scale == 0.0] = 1.0
    moved = moved / scale
    if bias:
        moved = np.hstack([moved, np.ones((len(X), 1))])
    _, size, turn = np.linalg.svd(moved, full_matrices=False)
    share = size / size[0]
    kept = share > THIN
    back = turn[kept].T / size[kept]
    rows = moved @ back
    complete = bool(np.all(kept | (share <= NOISE)))
    d = X.shape[1]
    inner = back[:d] / scale[:, None]
    return Whitened(
        rows, np.vstack([inner, back[d:] - centre @ inner] if bias else [inner]), complete
    )


def straightened(X: Array) -> Whitened:
    """Return the data `whitened`; where a column is constant, the others are centred by it.

    Examples
    --------
    >>> far = np.column_stack([np.full(4, 2.0), 1e12 + np.arange(4.0)])
    >>> white = straightened(far)
    >>> white.rows.shape, bool(np.allclose(white.rows.T @ white.rows, np.eye(2)))
    ((4, 2), True)
    """
    level = np.flatnonzero((X[0] == X).all(axis=0) & (X[0] != 0.0))
    if len(level) == 0:
        return whitened(X, False)
    j = level[0]
    white = whitened(np.delete(X, j, axis=1), True)
    back = np.insert(white.back[:-1], j, white.back[-1] / X[0, j], axis=0)
    return white._replace(back=back)

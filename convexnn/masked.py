"""The two products of every gated or ReLU program, blocked over rows so that they stay in cache.

With slopes ``S`` (n, P) and one row of weights per pattern, ``C`` (P, d):

    forward(X, S, C)_i = sum_p S_ip x_i'c_p          adjoint(X, S, r)_p = X'(S_p * r)

The n x dP matrix that maps ``C`` to predictions is never built.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numba import njit

from convexnn.arrays import Array

BLOCK = 1 << 14  # entries of the n x P temporary kept at a time: 128 KiB, within a core's L2


def forward(X: Array, slopes: Array, weights: Array) -> Array:
    """Return ``sum_p S_p * (X c_p)``.

    Parameters
    ----------
    X : array of shape (n, d), C-contiguous
    slopes : array of shape (n, P), C-contiguous
    weights : array of shape (P, d), C-contiguous

    Returns
    -------
    array of shape (n,)

    Examples
    --------
    >>> forward(np.eye(2), np.array([[1.0, 0.0], [1.0, 1.0]]), np.ones((2, 2)))
    array([1., 2.])
    """
    if X.shape[1] == 1:
        return X[:, 0] * (slopes @ weights[:, 0])
    return cast("Array", _forward(X, slopes, weights, _rows(slopes)))


def adjoint(X: Array, slopes: Array, r: Array) -> Array:
    """Return ``X'(S_p * r)`` for each pattern, one a row.

    Parameters
    ----------
    X : array of shape (n, d), C-contiguous
    slopes : array of shape (n, P), C-contiguous
    r : array of shape (n,)

    Returns
    -------
    array of shape (P, d)

    Examples
    --------
    >>> adjoint(np.eye(2), np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([3.0, 4.0]))
    array([[3., 4.],
           [0., 4.]])
    """
    if X.shape[1] == 1:
        return (slopes.T @ (X[:, 0] * r))[:, None]
    return cast("Array", _adjoint(X, slopes, r, _rows(slopes)))


def _rows(slopes: Array) -> int:
    return int(max(16, BLOCK // max(1, slopes.shape[1])))


@njit(cache=True, fastmath={"reassoc"})  # lets the row sums use vector registers
def _forward(X, slopes, weights, rows):  # type: ignore[no-untyped-def]
    n = X.shape[0]
    P = slopes.shape[1]
    out = np.empty(n)
    images = np.empty((rows, P))
    for start in range(0, n, rows):
        stop = min(n, start + rows)
        part = images[: stop - start]
        np.dot(X[start:stop], weights.T, part)
        for i in range(start, stop):
            total = 0.0
            for p in range(P):
                total += slopes[i, p] * part[i - start, p]
            out[i] = total
    return out


@njit(cache=True)
def _adjoint(X, slopes, r, rows):  # type: ignore[no-untyped-def]
    n, d = X.shape
    P = slopes.shape[1]
    out = np.zeros((P, d))
    scaled = np.empty((rows, P))
    product = np.empty((P, d))
    for start in range(0, n, rows):
        stop = min(n, start + rows)
        part = scaled[: stop - start]
        for i in range(start, stop):
            for p in range(P):
                part[i - start, p] = slopes[i, p] * r[i]
        np.dot(part.T, X[start:stop], product)
        out += product
    return out

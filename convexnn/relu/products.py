"""The two products of every gated or ReLU program, blocked over rows so that they stay in cache.

With slopes ``S`` (n, P) and one row of weights per pattern, ``C`` (P, d):

    forward(X, S, C)_i = sum_p S_ip x_i'c_p          adjoint(X, S, r)_p = X'(S_p * r)

The n x dP matrix that maps ``C`` to predictions is never built. All arrays are float64 or, for
half the time, all float32.
"""

from __future__ import annotations

from typing import cast

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.system.kernels import kernel

# Entries of the n x P temporary kept at a time: within a core's L2, and of the adjoint small enough
# for the products that BLAS does without packing.
FORWARD, ADJOINT = 1 << 15, 1 << 14
LEAST = 64  # rows of a block, however many patterns there are


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
    return cast("Array", _forward(X, slopes, weights, _rows(slopes, FORWARD)))


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
    return cast("Array", _adjoint(X, slopes, r, _rows(slopes, ADJOINT)))


def _rows(slopes: Array, entries: int) -> int:
    n, P = slopes.shape
    return int(min(n, max(LEAST, entries // max(P, 1))))


@kernel(fastmath={"reassoc"})  # lets the row sums use vector registers
def _forward(X, slopes, weights, rows):  # type: ignore[no-untyped-def]
    n = X.shape[0]
    P = slopes.shape[1]
    out = np.empty(n, X.dtype)
    zero = X.dtype.type(0.0)
    images = np.empty((rows, P), X.dtype)
    for start in range(0, n, rows):
        stop = min(n, start + rows)
        part = images[: stop - start]
        np.dot(X[start:stop], weights.T, part)
        for i in range(start, stop):
            total = zero
            for p in range(P):
                total += slopes[i, p] * part[i - start, p]
            out[i] = total
    return out


@kernel()
def _adjoint(X, slopes, r, rows):  # type: ignore[no-untyped-def]
    n, d = X.shape
    P = slopes.shape[1]
    out = np.empty((P, d), X.dtype)
    scaled = np.empty((rows, P), X.dtype)
    product = out
    for start in range(0, n, rows):
        stop = min(n, start + rows)
        part = scaled[: stop - start]
        for i in range(start, stop):
            for p in range(P):
                part[i - start, p] = slopes[i, p] * r[i]
        np.dot(part.T, X[start:stop], product)
        if start == 0:
            product = np.empty((P, d), X.dtype)
            continue
        for p in range(P):
            for j in range(d):
                out[p, j] += product[p, j]
    return out

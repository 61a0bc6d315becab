"""Cholesky factors of large matrices, by the clock."""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
from scipy.linalg import cho_factor
from scipy.linalg.blas import dtrsm

from convexnn.contract.arrays import Array
from convexnn.contract.clock import look, seconds_left

WHOLE = 3_000  # rows up to which a matrix is factored at once, as any is without a limit
PANEL = 256  # columns that are factored between two looks at the clock


def factored(matrix: Array) -> tuple[Any, bool]:
    """Return what `scipy.linalg.cho_solve` takes: the lower factor, written over the matrix.

    Parameters
    ----------
    matrix : array of shape (n, n), better in Fortran order
        Symmetric and positive definite; only its lower triangle is read.

    Raises
    ------
    numpy.linalg.LinAlgError
        If it is not positive definite to rounding.
    OutOfTime
        If the run under way is to end before a large matrix is factored.

    Examples
    --------
    >>> factored(np.array([[4.0, 2.0], [2.0, 5.0]], order="F"))[0][1]
    array([1., 2.])
    """
    n = len(matrix)
    if n <= WHOLE or seconds_left() == inf:
        return cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
    matrix = np.asfortranarray(matrix)
    for j in range(0, n, PANEL):
        look()
        k = min(j + PANEL, n)
        if j > 0:  # less what the columns before have of these
            left = matrix[j:, :j]
            matrix[j:, j:k] -= (left[: k - j] @ left.T).T  # NumPy's product copies neither
        corner, _ = cho_factor(matrix[j:k, j:k], lower=True, check_finite=False)
        matrix[j:k, j:k] = corner
        if k < n:
            matrix[k:, j:k] = dtrsm(1.0, corner, matrix[k:, j:k], side=1, lower=1, trans_a=1)
    return matrix, True

"""Whether the columns of data are so badly scaled that engines change their units."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array

UNEQUAL = 50.0  # ratio of the largest entries of two columns from which units are changed
SKEWED = 1_000.0  # ratio of singular values from which they are, where columns are alike
FEW_COLUMNS = 64  # up to which singular values are found
ROWS = 4  # examples for each column from which small singular values tell of the units


def badly_scaled(X: Array) -> bool:
    """Tell whether columns differ much in size, or lie so far from zero that all are alike.

    Examples
    --------
    >>> X = np.random.default_rng(0).standard_normal((20, 2))
    >>> badly_scaled(X), badly_scaled(X * [1.0, 100.0]), badly_scaled(X + 1e4)
    (False, True, True)
    """
    n, d = X.shape
    largest = np.max(np.abs(X), axis=0)
    least = np.min(largest, where=largest > 0.0, initial=np.inf)
    if np.max(largest) > UNEQUAL * least:
        return True
    if d == 1 or d > FEW_COLUMNS or n < ROWS * d:
        return False
    spectrum = np.linalg.eigvalsh(X.T @ X)
    return bool(spectrum[-1] > SKEWED**2 * spectrum[0])

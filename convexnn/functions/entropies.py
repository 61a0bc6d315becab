"""The relative entropy of ratios, entry by entry, exact near 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convexnn.contract.system.kernels import kernel

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array

SERIES = 0.05  # below it, t log t - t + 1 is expanded around t = 1
TERMS = 14  # of the series


def entropies(t: Array) -> Array:
    """Return ``t log t - t + 1`` for ``t >= 0``, to within rounding of each entry itself.

    Examples
    --------
    >>> entropies(np.array([0.0, 1.0, 1.0 + 2.0**-20]))[:2]
    array([1., 0.])
    """
    out = np.empty_like(t)
    _fill(np.ascontiguousarray(t), out)
    return out


@kernel(error_model="numpy")
def _fill(t: Array, out: Array) -> None:
    for i in range(len(t)):
        x = t[i] - 1.0
        if abs(x) < SERIES:
            series = 0.0
            for k in range(TERMS, 1, -1):
                series = 1.0 / (k * (k - 1.0)) - x * series
            out[i] = x * x * series
        else:
            out[i] = (t[i] * np.log(t[i]) if t[i] > 0.0 else 0.0) - x

"""Adam (Kingma & Ba 2015), the length of its steps falling by a cosine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Reporter

RATE = 0.1  # length of the first step
MEAN, SQUARE = 0.1, 0.001  # weights of the last slope in the running means
TINY = 1e-8
LOOK = 20  # steps between two looks at the clock


def adam(
    slope: Callable[[Array], Array],
    x: Array,
    steps: int,
    reporter: Reporter,
    *,
    rate: float = RATE,
    bounds: Array | None = None,
) -> Array:
    """Return where so many steps lead, fewer where time is up.

    Parameters
    ----------
    slope : callable
        Returns the gradient at a point; it may be another function's at each step.
    x : array
        Where to start; it is not written to.
    steps : int
    reporter : Reporter
        Asked for the time.
    rate : float
        Length of the first step.
    bounds : array of shape (len(x), 2), optional
        Within which every step is kept.
    """
    first, second = np.zeros_like(x), np.zeros_like(x)
    for k in range(1, steps + 1):
        g = slope(x)
        first += MEAN * (g - first)
        second += SQUARE * (np.square(g) - second)
        size = rate * 0.5 * (1.0 + np.cos(np.pi * k / steps))
        scale = np.sqrt(second / (1.0 - (1.0 - SQUARE) ** k)) + TINY
        x = x - size * first / (1.0 - (1.0 - MEAN) ** k) / scale
        if bounds is not None:
            x = np.clip(x, *bounds.T)
        if k % LOOK == 0 and reporter.expired():
            break
    return x

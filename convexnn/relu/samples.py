"""Samples of examples: what is begun on few ends soon on all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from convexnn.contract.arrays import IndexArray

LONG = 8_192  # examples from which a sample stands for them at first
FEWEST, GROWTH = 1_024, 4


def largest(n: int, seed: int = 0) -> IndexArray | None:
    """Return a sample of at most half of n examples, None where n is not large.

    Examples
    --------
    >>> len(largest(20_000)), len(largest(100_000)), largest(2_000)
    (4096, 16384, None)
    """
    if n < LONG:
        return None
    size = FEWEST
    while GROWTH * size <= n // 2:
        size *= GROWTH
    return np.sort(np.random.default_rng(seed).permutation(n)[:size])

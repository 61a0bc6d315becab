"""Samples of examples, each four times the one before: what is begun on few ends soon on all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convexnn.contract.arrays import IndexArray

LONG = 8_192  # examples from which a sample stands for them at first
FEWEST, GROWTH = 1_024, 4


def growing(n: int, seed: int = 0) -> Iterator[IndexArray]:
    """Yield ever larger samples of n examples, each within the next; none where n is not large.

    Examples
    --------
    >>> [len(rows) for rows in growing(20_000)], list(growing(2_000))
    ([1024, 4096], [])
    """
    if n < LONG:
        return
    order = np.random.default_rng(seed).permutation(n)
    size = FEWEST
    while size <= n // 2:
        yield np.sort(order[:size])
        size *= GROWTH


def largest(n: int, seed: int = 0) -> IndexArray | None:
    """Return the largest of the samples, None where there is none."""
    rows = None
    for sample in growing(n, seed):
        rows = sample
    return rows

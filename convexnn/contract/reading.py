"""What a saved point bears out: how large the forms may be that are made to read it.

A file of kilobytes may say that its problem has ten million patterns. They would be drawn before
anything tells that its point has ten: so what draws asks, while a file is read, whether the point
can have so many parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from convexnn.contract.checks import ProblemError

PARTS = 100_000  # that any file may have, as not each of those drawn is kept

DRAWING = 2  # rule by which patterns are drawn today; files without one are of the first

_most: ContextVar[int | None] = ContextVar("parts", default=None)
_drawing: ContextVar[int] = ContextVar("drawing", default=DRAWING)


@contextmanager
def read_for(point: Any, drawing: int = DRAWING) -> Iterator[None]:
    """Have `borne_out` answer for a point within, and `drawn_by` for the file that it is of.

    Examples
    --------
    >>> with read_for((np.zeros(3),)):
    ...     borne_out("patterns", 10**7)
    Traceback (most recent call last):
    convexnn.contract.checks.ProblemError: patterns must be at most 100,000 beside a point of 3...
    """
    before, rule = _most.set(_entries(point)), _drawing.set(drawing)
    try:
        yield
    finally:
        _most.reset(before)
        _drawing.reset(rule)


def drawn_by() -> int:
    """Return the rule by which patterns are drawn: of a file that is read, the one it was made by.

    Examples
    --------
    >>> drawn_by() == DRAWING
    True
    """
    return _drawing.get()


def borne_out(name: str, count: int) -> None:
    """Check that a point that is read can have so many parts; without one it can.

    Raises
    ------
    ProblemError

    Examples
    --------
    >>> borne_out("patterns", 10**7)
    """
    entries = _most.get()
    if entries is not None and count > max(PARTS, entries):
        raise ProblemError(
            f"{name} must be at most {max(PARTS, entries):,} beside a point of {entries:,} numbers"
        )


def _entries(point: Any) -> int:
    """Return the numbers of the largest array of a point."""
    if isinstance(point, np.ndarray):
        return int(point.size)
    return max(map(_entries, point), default=0) if isinstance(point, tuple) else 0

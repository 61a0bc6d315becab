"""What a saved point bears out: how large the forms may be that are made to read it.

A file of kilobytes may say that its problem has ten million patterns. They would be drawn before
anything tells that its point has ten: so what draws asks, while a file is read, whether the point
can have so many parts. Where few of those drawn are kept, the file has a mark of each, which nobody
knows who has not drawn them: what is drawn must have these marks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from convexnn.contract.arrays import Array, BoolArray
from convexnn.contract.checks import ProblemError

PARTS = 100_000  # that any file may have, as not each of those drawn is kept

DRAWING = 2  # rule by which patterns are drawn today; files without one are of the first


class _Evidence(NamedTuple):
    entries: int
    drawing: int
    marks: Array | None


_held: ContextVar[_Evidence | None] = ContextVar("evidence", default=None)


@contextmanager
def read_for(point: Any, drawing: int = DRAWING, marks: Array | None = None) -> Iterator[None]:
    """Have `borne_out` and `drawn_by` answer for a point within, and the file that it is of.

    Parameters
    ----------
    point : tuple
    drawing : int
        Rule by which its patterns were drawn.
    marks : array of uint8, shape (k,), optional
        Of those that were drawn, by `marked`.

    Examples
    --------
    >>> with read_for((np.zeros(3),)):
    ...     borne_out("patterns", 10**7)
    Traceback (most recent call last):
    convexnn.contract.checks.ProblemError: patterns must be at most 100,000 beside a point of 3...
    """
    before = _held.set(_Evidence(entries(point), drawing, marks))
    try:
        yield
    finally:
        _held.reset(before)


def drawn_by() -> int:
    """Return the rule by which patterns are drawn: of a file that is read, the one it was made by.

    Examples
    --------
    >>> drawn_by() == DRAWING
    True
    """
    held = _held.get()
    return DRAWING if held is None else held.drawing


def borne_out(name: str, count: int, last: BoolArray | None = None) -> None:
    """Check that a point that is read can have so many parts; without one it can.

    Parameters
    ----------
    name : str
        Of the field.
    count : int
    last : array of bool, shape (n, k), optional
        The last k of them, where files may have marks.

    Raises
    ------
    ProblemError

    Examples
    --------
    >>> borne_out("patterns", 10**7)
    """
    held = _held.get()
    if held is None or count <= max(PARTS, held.entries):
        return
    if held.marks is not None and last is not None:
        first = count - last.shape[1]
        if first < len(held.marks):
            theirs = held.marks[first:count]
            if np.array_equal(theirs, marked(last)[: len(theirs)]):
                return
            raise ProblemError(f"{name} that are drawn must have the marks that the file has")
    raise ProblemError(
        f"{name} must be at most {max(PARTS, held.entries):,} beside a point of "
        f"{held.entries:,} numbers"
    )


def marked(parts: BoolArray) -> Array:
    """Return a byte for each column: how many of its entries are true, but for multiples of 256.

    Examples
    --------
    >>> marked(np.ones((258, 2), np.bool_))
    array([2, 2], dtype=uint8)
    """
    marks: Array = parts.sum(axis=0, dtype=np.uint8)
    return marks


def entries(point: Any) -> int:
    """Return the numbers of the largest array of a point.

    Examples
    --------
    >>> entries((np.zeros((2, 3)), None))
    6
    """
    if isinstance(point, np.ndarray):
        return int(point.size)
    return max(map(entries, point), default=0) if isinstance(point, tuple) else 0

"""Data as they were read, before anything is chosen from them."""

from __future__ import annotations

from typing import Any, NamedTuple


class Raw(NamedTuple):
    """Columns in their types.

    Attributes
    ----------
    frame : DataFrame
        Its index counts the rows of the data from 0.
    target : Series or None
        The target, where the data keep one apart from the columns.
    notes : tuple of str
        What was found and left out in reading.
    spelled : tuple of str
        What was taken for missing beside blanks.
    """

    frame: Any
    target: Any = None
    notes: tuple[str, ...] = ()
    spelled: tuple[str, ...] = ()

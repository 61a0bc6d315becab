"""Rows, names and values as messages show them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from convexnn.contract.words import few

WIDE = 40  # characters of a value


def rows(index: Iterable[int]) -> str:
    """Return rows by their numbers, the first row of data being row 1.

    Examples
    --------
    >>> rows([1, 2]), rows([0])
    ('rows 2, 3', 'row 1')
    """
    numbers = [int(i) + 1 for i in index]
    return f"row{'s' if len(numbers) > 1 else ''} {few(numbers)}"


def shown(value: Any) -> str:
    """Return a value of a table, shortened where it is long.

    Examples
    --------
    >>> shown("male"), shown(2.5)
    ("'male'", '2.5')
    """
    if not isinstance(value, str):
        return str(value)
    return repr(value if len(value) <= WIDE else value[: WIDE - 3] + "...")


def counted(count: int, what: str, plural: str = "") -> str:
    """Return a number of things.

    Examples
    --------
    >>> counted(1, "row"), counted(2, "class", "classes")
    ('1 row', '2 classes')
    """
    return f"{count} {what if count == 1 else plural or what + 's'}"


def joined(names: Sequence[str]) -> str:
    """Return names as an option takes them.

    Examples
    --------
    >>> joined(["a", "b"])
    'a,b'
    """
    return ",".join(names)

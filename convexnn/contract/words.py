"""Lists as messages show them: the first few, and how many more there are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

SHOWN = 5  # of a list; the rest is counted


def few(items: Iterable[Any]) -> str:
    """Return the first few of some items, and how many more there are.

    Examples
    --------
    >>> few("abcdefg"), few([1])
    ('a, b, c, d, e and 2 more', '1')
    """
    words = [str(item) for item in items]
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return ", ".join(words[:SHOWN]) + more


def quoted(names: Iterable[Any]) -> str:
    """Return the first few names, in quotes.

    Examples
    --------
    >>> quoted(["a", "b"])
    "'a', 'b'"
    """
    return few([repr(str(name)) for name in names])

"""Columns of a table as the columns of X: numbers as they are, text as 0 and 1 on request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.checks import ProblemError
from convexnn.contract.system.optional import need
from convexnn.contract.words import few, quoted
from convexnn.datasets.cells import EXACT, as_numbers
from convexnn.datasets.words import counted, joined, rows, shown

DIGITS = 15  # that float64 has, at least
CATEGORIES = 50  # values of a column of text that can be encoded


@dataclass(frozen=True)
class Columns:
    """The columns that X is made of, and how; what other data must have to be taken likewise.

    Attributes
    ----------
    names : tuple of str
        Of the columns of the table.
    values : dict of str to tuple of str
        Of each encoded column, its values; each has a column of 0 and 1 in X, of two the second.
    """

    names: tuple[str, ...]
    values: dict[str, tuple[str, ...]]

    @property
    def of_X(self) -> tuple[str, ...]:
        """Return the names of the columns of X.

        Examples
        --------
        >>> Columns(("age", "sex"), {"sex": ("female", "male")}).of_X
        ('age', 'sex=male')
        """
        return tuple(
            full
            for name in self.names
            for full in (
                [f"{name}={value}" for value in self.own(name)] if name in self.values else [name]
            )
        )

    def own(self, name: str) -> tuple[str, ...]:
        """Return the values of an encoded column that have a column in X."""
        values = self.values[name]
        return values[1:] if len(values) == 2 else values

    def __call__(self, frame: Any) -> Array:
        """Return X, one column after the other.

        Raises
        ------
        ProblemError
            If the table lacks a column, or holds what is no finite number.
        """
        absent = [name for name in self.names if name not in frame]
        if absent:
            raise ProblemError(
                f"the data must have the columns {quoted(self.names)}, they lack {quoted(absent)}"
            )
        X = np.empty((len(frame), len(self.of_X)))
        k = 0
        for name in self.names:
            if name not in self.values:
                X[:, k] = real(frame[name])
                k += 1
                continue
            cells = text_of(frame[name])
            new = ~np.isin(cells, self.values[name])
            if new.any():
                raise ProblemError(
                    f"column {name!r} has {shown(str(cells[new][0]))} in "
                    f"{rows(frame.index[new])}, its values are {quoted(self.values[name])}"
                )
            for value in self.own(name):
                X[:, k] = cells == value
                k += 1
        return X


def columns_of(frame: Any, *, encode: bool) -> Columns:
    """Return how the columns of a table without missing values become X.

    Raises
    ------
    ProblemError
        If columns hold no numbers, and are not to be encoded or cannot be.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"age": [31, 30, 29], "sex": ["f", "m", "f"]})
    >>> found = columns_of(frame, encode=True)
    >>> found.of_X, found(frame)[:, 1].tolist()
    (('age', 'sex=m'), [0.0, 1.0, 0.0])
    """
    kinds = {name: inner(frame[name]).dtype.kind for name in frame}
    others = [name for name in frame if kinds[name] not in "iufb"]
    texts = [name for name in others if is_text(inner(frame[name]))]
    dropped = [
        name for name in others if name not in texts or not (encode and encodable(frame[name]))
    ]
    if dropped:
        raise ProblemError(advice(frame, dropped, texts, encode))
    values = {name: tuple(np.unique(text_of(frame[name])).tolist()) for name in texts}
    return Columns(tuple(str(name) for name in frame), values)


def different(column: Any) -> Any:
    """Return the different values of a column; of what is neither number nor text, as written.

    Examples
    --------
    >>> import pandas as pd
    >>> len(different(pd.Series([[1, 2], [1, 2], [3]])))
    2
    """
    return (column.astype(str) if column.dtype == object else column).drop_duplicates()


def encodable(column: Any) -> bool:
    """Tell whether a column of text has few values."""
    return bool(column.nunique() <= max(2, min(CATEGORIES, len(column) / 2)))


def advice(frame: Any, refused: list[str], texts: list[str], encode: bool) -> str:
    """Return what columns hold that is no number, and what to do with them."""
    said = "; ".join(f"column {name!r} {held(frame[name])}" for name in refused[:3])
    more = f"; and {counted(len(refused) - 3, 'more column')}" if len(refused) > 3 else ""
    ways = [f"--drop {joined(refused)} leaves out what is no number"]
    if not encode and any(encodable(frame[name]) for name in texts):
        ways.insert(0, "--encode makes columns of 0 and 1 of the values of a text")
    return f"{said}{more}: {', '.join(ways)}"


def held(column: Any) -> str:
    """Return what a column holds that is no number, with the first row that does.

    Examples
    --------
    >>> import pandas as pd
    >>> held(pd.Series(["4", "x"], dtype="string"))
    "holds text of 2 values (row 2: 'x')"
    """
    column = inner(column)
    first, row = column.iloc[0], rows(column.index[:1])
    if column.dtype.kind == "M":
        return f"holds dates ({row}: {first})"
    if not is_text(column):
        return f"holds values of type {type(first).__name__} ({row})"
    cells = column.astype("string")
    unread = as_numbers(cells).isna().to_numpy()
    if not unread.any() and cells.str.len().max() > DIGITS:
        return f"holds whole numbers of more digits than float64 has ({row}: {shown(first)})"
    if not unread.any():
        unread = np.ones(len(cells), np.bool_)  # numbers, but kept as text
    where, cell = rows(cells.index[unread][:1]), shown(cells[unread].iloc[0])
    if not unread.all() and mostly_numbers(column):
        others = few(dict.fromkeys(cells[unread].tolist()))
        return f"holds numbers but for {counted(int(unread.sum()), 'cell')} ({where}: {others})"
    if is_dates(cells):
        return f"holds dates ({where}: {cell})"
    return f"holds text of {counted(column.nunique(), 'value')} ({where}: {cell})"


def mostly_numbers(column: Any) -> bool:
    """Tell whether more than half of the cells of a column of text are numbers."""
    return bool(as_numbers(column.astype("string")).notna().mean() > 0.5)


def is_dates(cells: Any) -> bool:
    """Tell whether cells of text are dates."""
    some = cells.iloc[:20]
    digits = some.str.contains(r"\d[-/.:]\d|\d [A-Za-z]|[A-Za-z] \d", regex=True).all()
    dates = need("pandas", "data").to_datetime(some, errors="coerce", format="mixed")
    return bool(digits and dates.notna().all())


def inner(column: Any) -> Any:
    """Return a column of categories as one of what they are, any other as it is."""
    if column.dtype == "category":
        return column.astype(column.cat.categories.dtype)
    return column


def is_text(column: Any) -> bool:
    """Tell whether a column holds text."""
    kind = need("pandas", "data").api.types.infer_dtype(column, skipna=True)
    return bool(kind == "string")


def text_of(column: Any) -> np.ndarray[Any, Any]:
    """Return a column of text as an array."""
    return np.asarray(inner(column).astype(str).to_numpy(), dtype=np.str_)


def real(column: Any) -> Array:
    """Return the numbers of a column.

    Raises
    ------
    ProblemError
        If one is missing, infinite, or a whole number that float64 cannot hold.
    """
    column = inner(column)
    if column.isna().any():
        raise ProblemError(f"column {column.name!r} misses {rows(column.index[column.isna()])}")
    numbers = np.asarray(column.to_numpy(np.float64), dtype=np.float64)
    infinite = np.isinf(numbers)
    if infinite.any():
        raise ProblemError(
            f"column {column.name!r} is infinite in {rows(column.index[infinite])}: correct it, or "
            f"leave it out with --drop {column.name}"
        )
    if column.dtype.kind in "iu" and (np.abs(numbers) >= EXACT).any():
        exact = column.to_numpy(np.uint64 if column.dtype.kind == "u" else np.int64)
        lost = [int(a) != int(b) for a, b in zip(exact, numbers, strict=True)]
        if any(lost):
            raise ProblemError(
                f"column {column.name!r} holds whole numbers of more digits than float64 has "
                f"({rows(column.index[lost])}): leave it out with --drop {column.name}"
            )
    return numbers

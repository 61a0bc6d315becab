"""Columns of text as columns of numbers, of truth values or of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from convexnn.contract.checks import ProblemError
from convexnn.contract.system.optional import need
from convexnn.contract.words import quoted
from convexnn.datasets.reading import Reading

MISSING = (  # what people and programs write where there is no value
    *("", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NaN", "nan", "-nan", "NAN", "na"),
    *("NULL", "Null", "null", "None", "none", "NONE", "?", "missing", "Missing"),
)
DASHES = ("-", "--", ".", "..", "*")  # no value among numbers, perhaps a value among texts
EXACT = 2**53  # whole numbers up to here are float64 numbers
POINT = r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d*)?"  # 1,234,567.5
COMMA = r"[+-]?(?:\d{1,3}(?:\.\d{3})+|\d*),\d+(?:[eE][+-]?\d+)?|[+-]?\d+"  # 1.234.567,5
GROUPS = r"[+-]?\d{1,3}(?:\.\d{3})+"  # 1.234.567, where the decimal mark is a comma


class Typed(NamedTuple):
    """Columns in their types, what a reader should know, and how missing cells are spelled."""

    frame: Any
    notes: list[str]
    spelled: tuple[str, ...]


def typed(texts: Any, reading: Reading, separator: str, missing: Sequence[str] = MISSING) -> Typed:
    """Return columns of text as numbers, truth values or text.

    A comma is the decimal mark of the file if a column of numbers has it where no group of three
    digits begins. Commas that may be either are groups in a file that commas separate.

    Raises
    ------
    ProblemError
        If the commas in another file may be either.
    """
    words = missing if reading.missing is None else reading.missing
    found, left, spelled = {}, {}, set()
    for name in texts:
        numbers = as_numbers(texts[name])
        if reading.missing is None and not (
            numbers.isna().any() or loses_digits(texts[name], numbers)
        ):
            found[name] = numbers
            continue
        cells, gaps = trimmed(texts[name], words)
        spelled |= gaps
        found[name] = of_cells(cells, "")
        if found[name].dtype == "string":
            left[name] = cells
    decimal, notes = mark(left, reading, separator)
    if decimal == ",":
        left = {name: trimmed(texts[name], words)[0] for name in texts}
    if decimal:
        found |= {name: of_cells(cells, decimal) for name, cells in left.items()}
    return Typed(need("pandas", "data").DataFrame(found), notes, tuple(sorted(spelled)))


def trimmed(column: Any, missing: Sequence[str] = MISSING) -> tuple[Any, set[str]]:
    """Return text without spaces around the cells, pd.NA where they are missing, and how these are.

    Examples
    --------
    >>> import pandas as pd
    >>> trimmed(pd.Series([" a", "", "NA"]))[0].tolist()
    ['a', <NA>, <NA>]
    """
    cells = column.astype("string").str.strip()
    gaps = cells.isin([*missing, ""])
    return cells.mask(gaps), set(cells[gaps].dropna()) - {""}


def settled(column: Any) -> Any:
    """Return a column of another source in a plain type, pd.NA where text is missing."""
    pd = need("pandas", "data")
    if column is None:
        return None
    if column.dtype == "category":
        if pd.api.types.infer_dtype(column.cat.categories) != "string":
            return column
        return settled(column.astype("string")).astype("category")
    if column.dtype.kind not in "OTSU":
        return column
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind == "bytes":
        return settled(column.str.decode("utf-8"))
    if kind == "string":
        return trimmed(column)[0]
    types = {"boolean": "boolean", "integer": "Int64", "floating": "Float64", "decimal": "Float64"}
    return column.astype(types[kind]) if kind in types else column


def mark(texts: dict[str, Any], reading: Reading, separator: str) -> tuple[str, list[str]]:
    """Return the decimal mark by the columns that are no plain numbers, "" if none has commas."""
    if reading.decimal not in (None, ".", ","):
        raise ProblemError(f"decimal must be . or , (a comma), got {reading.decimal!r}")
    decimal, grouped, either = [], [], []
    for name, column in texts.items():
        cells = column.dropna()
        commas = cells[cells.str.contains(",", regex=False)]
        if not len(commas):
            continue
        point, comma = (bool(commas.str.fullmatch(form).all()) for form in (POINT, COMMA))
        if point and comma:
            either.append(name)
        elif comma and cells.str.fullmatch(f"{COMMA}|{GROUPS}").all():
            decimal.append(name)
        elif point:
            grouped.append(name)
    if reading.decimal is None and decimal:
        return ",", [f"a comma is the decimal mark in {quoted(decimal)}"]
    if reading.decimal is None and either and not grouped and separator != ",":
        cell = next(cell for cell in texts[either[0]].dropna() if "," in cell)
        raise ProblemError(
            f"column {either[0]!r} has {cell!r}, which may be a number in thousands or one with a "
            "decimal comma: say --decimal . or --decimal ,"
        )
    if reading.decimal != "," and (grouped or either):
        return ".", [f"commas group the digits in {quoted([*grouped, *either])}"]
    return reading.decimal or "", []


def of_cells(column: Any, decimal: str) -> Any:
    """Return a trimmed column of text as whole numbers, numbers, truth values or text.

    Examples
    --------
    >>> import pandas as pd
    >>> cells = [["1", None], ["1", "2.5"], ["1,5", "2"], ["TRUE", "False"], ["a", "1"]]
    >>> [str(of_cells(pd.Series(pair, dtype="string"), ",").dtype) for pair in cells]
    ['Int64', 'Float64', 'Float64', 'boolean', 'string']
    """
    known = column.dropna()
    if not len(known):
        return column.astype("Float64")
    numbers = as_numbers(known, decimal)
    unread = numbers.isna()
    if unread.any() and not unread.all() and known[unread].isin(DASHES).all():
        known = known[~unread]
        numbers = as_numbers(known, decimal)
        unread = numbers.isna()
    if not unread.any():
        return column if loses_digits(known, numbers) else numbers.reindex(column.index)
    truth = known.str.lower().map({"true": True, "false": False})
    if not truth.isna().any():
        return truth.astype("boolean").reindex(column.index)
    return column


def as_numbers(cells: Any, decimal: str = "") -> Any:
    """Return numbers where cells are numbers, pd.NA elsewhere; without a mark none has commas.

    A column that has decimal points stays one of decimal points where commas are the mark.
    """
    numeric = need("pandas", "data").to_numeric
    how = {"errors": "coerce", "dtype_backend": "numpy_nullable"}
    if decimal == ".":
        cells = cells.mask(cells.str.fullmatch(POINT), cells.str.replace(",", "", regex=False))
    if decimal != ",":
        return numeric(cells, **how)
    fits = cells.str.fullmatch(f"{COMMA}|{GROUPS}")
    if (cells.str.contains(".", regex=False) & ~fits & numeric(cells, **how).notna()).any():
        return numeric(cells, **how)
    bare = cells.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
    return numeric(cells.mask(fits, bare), **how)


def loses_digits(cells: Any, numbers: Any) -> bool:
    """Tell whether whole numbers that are read as floats would be others."""
    if need("pandas", "data").api.types.is_integer_dtype(numbers.dtype):
        return False
    large = np.abs(numbers.to_numpy(np.float64)) >= EXACT
    whole = cells[large][cells[large].str.fullmatch(r"[+-]?\d+")]
    return any(int(cell) != int(float(cell)) for cell in whole)

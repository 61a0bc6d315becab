"""What data hold as people bring them: the columns of frames, and what of them is missing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from convexnn.contract.arrays import BoolArray
from convexnn.contract.words import few

NOTHING = ("NoneType", "NAType", "NaTType")  # of Python and of pandas, which need not be installed


def columns_of(value: Any) -> list[tuple[Any, Any]] | None:
    """Return the columns of a frame of pandas, polars or Arrow with their labels, None of others.

    Examples
    --------
    >>> columns_of([[1.0, 2.0]]) is None
    True
    """
    if isinstance(value, (np.ndarray, type)):
        return None
    if hasattr(value, "iloc") and getattr(value, "ndim", 0) == 2:
        return list(value.items())
    if hasattr(value, "iter_columns"):
        return [(column.name, column) for column in value.iter_columns()]
    if hasattr(value, "column_names") and hasattr(value, "itercolumns"):
        return list(zip(value.column_names, value.itercolumns(), strict=True))
    return None


def missing(raw: np.ndarray[Any, Any]) -> BoolArray:
    """Tell which entries of an array are None, NaN, NaT or the NA of pandas.

    Examples
    --------
    >>> missing(np.array(["no", None, float("nan")], dtype=object))
    array([False,  True,  True])
    """
    if raw.dtype.kind in "fc":
        return np.asarray(np.isnan(raw), dtype=np.bool_)
    if raw.dtype.kind in "mM":
        return np.asarray(np.isnat(raw), dtype=np.bool_)
    if raw.dtype.kind != "O":
        return np.zeros(raw.shape, dtype=np.bool_)
    absent = [_is_missing(entry) for entry in raw.ravel().tolist()]
    return np.array(absent, dtype=np.bool_).reshape(raw.shape)


def rows_missing(absent: BoolArray) -> str:
    """Return how many entries are missing, in which rows, and what can be done.

    Examples
    --------
    >>> rows_missing(np.array([False, True]))
    '1 missing of 2, in row 1 (the first is 0): fill them in, or leave these rows out'
    """
    flat = absent.reshape(len(absent), -1).any(axis=1) if absent.ndim else absent[None]
    rows = np.flatnonzero(flat).tolist()
    return (
        f"{int(absent.sum())} missing of {absent.size}, in row{'s' if len(rows) > 1 else ''} "
        f"{few(rows)} (the first is 0): fill them in, or leave these rows out"
    )


def _is_missing(entry: Any) -> bool:
    if isinstance(entry, Decimal):
        return entry.is_nan()
    if isinstance(entry, (float, np.generic)):
        return bool(np.all(entry != entry))
    return type(entry).__name__ in NOTHING

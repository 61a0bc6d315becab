"""Checks that data pass once, at construction: each names the field, its value and the rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from decimal import Decimal
from math import isfinite
from numbers import Real
from os import PathLike, fspath
from typing import (
    TYPE_CHECKING,
    Any,
)

import numpy as np

from convexnn.contract.frames import columns_of, missing, rows_missing

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array, BoolArray

# What NumPy passes on where it cannot read rows of other lengths or another library's tensor.
UNREADABLE = (ValueError, TypeError, RuntimeError, OverflowError)
# Sizes of numbers whose squares are still normal numbers: certificates are sums of products.
SMALLEST, LARGEST = 1e-150, 1e150
NUMBERS = (Real, Decimal, np.bool_)  # those of Python and NumPy, which objects may be
COUNTABLE = 2**53  # largest whole number: exact as a float, and small enough for any array
SHOWN = 60  # characters of a value in a message


class ProblemError(ValueError):
    """The data do not declare a problem; the message names the field, its value and the rule."""


def shown(value: object) -> str:
    """Return a value as messages show it: in one line, shortened.

    Examples
    --------
    >>> shown("much")
    "'much'"
    >>> len(shown(list(range(1000))))
    60
    """
    if isinstance(value, int) and value.bit_length() > 4 * SHOWN:
        return f"an integer of {value.bit_length()} bits"  # Python refuses to print the largest
    try:
        line = " ".join(repr(value).split())
    except Exception:  # the repr of a user's class may do anything
        line = f"a {type(value).__name__}"
    return line if len(line) <= SHOWN else line[: SHOWN - 3] + "..."


def whole(name: str, value: Any) -> None:
    """Raise `ProblemError` where entries of an array, or of arrays in a list, are masked.

    Examples
    --------
    >>> whole("X", np.ma.array([1.0, 2.0], mask=[False, False]))
    """
    if isinstance(value, (list, tuple)):
        for part in value:
            if isinstance(part, (np.ma.MaskedArray, list, tuple)):
                whole(name, part)
    if isinstance(value, np.ma.MaskedArray) and (count := int(np.ma.getmaskarray(value).sum())):
        raise ProblemError(f"{name} must have no masked entries, got {count}")


def dense(name: str, value: Any) -> None:
    """Raise `ProblemError` where a matrix is sparse, as those of SciPy are.

    Examples
    --------
    >>> dense("X", [[1.0]])
    """
    # not by isinstance, which takes as long as all other checks of an array do
    if hasattr(value, "tocsr") and not isinstance(value, type):
        raise ProblemError(
            f"{name} is sparse, of shape {value.shape}, and must be dense: {name}.toarray() is, "
            "if it fits into memory"
        )


def real_array(name: str, value: ArrayLike, ndim: int, *, empty: bool = False) -> Array:
    """Return a read-only float64 copy, C-contiguous; `empty` tells whether it may be empty.

    Columns of a frame may each have a type of numbers of their own, also those of pandas that
    know missing values; a frame of one column may be an array of one axis.

    Raises
    ------
    ProblemError
        If the array is not real, has another number of axes, is empty, or is not finite; a column
        of a frame is called by its label.

    Examples
    --------
    >>> real_array("X", [[1, 2]], 2)
    array([[1., 2.]])
    """
    raw = numbers(name, value)
    columns = columns_of(value)
    if columns is not None:
        for k, (label, _) in enumerate(columns):
            complete(column_of(name, label), raw[:, k])
        raw = raw[:, 0] if ndim == 1 and raw.shape[1] == 1 else raw
    elif hasattr(value, "iloc"):
        complete(name, raw)
    if raw.ndim != ndim:
        raise ProblemError(f"{name} must have {ndim} axes, got shape {raw.shape}")
    if raw.size == 0 and not empty:
        raise ProblemError(f"{name} must not be empty, got shape {raw.shape}")
    array = np.array(raw, dtype=np.float64, order="C", copy=True)
    if not (isfinite(np.vdot(array, array)) or np.isfinite(array).all()):  # squares may be inf
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        what = (
            name if columns is None else column_of(name, columns[where[-1] if ndim == 2 else 0][0])
        )
        raise ProblemError(f"{what} must be finite, got {array[where]} at index {where}")
    array.setflags(write=False)
    return array


def numbers(name: str, value: ArrayLike) -> np.ndarray[Any, Any]:
    """Return an array of numbers, of any size; the columns of a frame side by side.

    Raises
    ------
    ProblemError
        If it holds others, or objects of Python some of which are missing.

    Examples
    --------
    >>> numbers("X", [[1.5, True]])
    array([[1.5, 1. ]])
    """
    whole(name, value)
    dense(name, value)
    columns = columns_of(value)
    if columns is None:
        return _numbers(name, plain_array(name, value, "a rectangular array of real numbers"))
    parts = []
    for label, column in columns:
        what = column_of(name, label)
        parts.append(_numbers(what, plain_array(what, column, "an array of real numbers")))
    return np.column_stack(parts) if parts else np.zeros((np.shape(value)[0], 0))


def complete(name: str, raw: np.ndarray[Any, Any]) -> None:
    """Raise `ProblemError` where entries are missing, with their count and the first rows.

    Examples
    --------
    >>> complete("y", np.array([1.0, 2.0]))
    """
    absent = missing(raw)
    if absent.any():
        raise ProblemError(f"{name} has {rows_missing(absent)}")


def plain_array(name: str, value: Any, called: str) -> np.ndarray[Any, Any]:
    """Return what NumPy makes of a value, which the message of `ProblemError` calls `called`.

    Examples
    --------
    >>> plain_array("y", [1, 2], "an array of one axis")
    array([1, 2])
    """
    try:
        return np.asarray(value)
    except UNREADABLE as error:
        raise ProblemError(f"{name} must be {called}: {error}") from None


def column_of(name: str, label: Any) -> str:
    """Return what messages call a column of a frame.

    Examples
    --------
    >>> column_of("X", "age")
    "column 'age' of X"
    """
    return f"column {label!r} of {name}"


def _numbers(name: str, raw: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return an array of numbers, also where it holds them as objects of Python."""
    if raw.dtype.kind == "O":
        complete(name, raw)
        for where, entry in np.ndenumerate(raw):
            if not isinstance(entry, NUMBERS):
                place = f" at index {where}" if where else ""
                remedy = ": encode text as numbers, or leave it out" * isinstance(entry, str)
                raise ProblemError(
                    f"{name} must hold real numbers, got {shown(entry)}{place}{remedy}"
                )
        try:
            return np.array([float(entry) for entry in raw.flat]).reshape(raw.shape)
        except UNREADABLE:
            raise ProblemError(f"{name} must hold numbers that are floats, got larger") from None
    if raw.dtype.kind not in "fiub":
        raise ProblemError(f"{name} must hold real numbers, got dtype {raw.dtype}")
    return raw


def aligned(name: str, value: object, **others: object) -> None:
    """Raise `ProblemError` where the rows of others are those of `value` in another order.

    That is what their indices say, where both have one: frames and series are read row by row,
    and nothing else would tell. Indices that do not hold the same labels tell nothing.

    Examples
    --------
    >>> aligned("X", [[1.0], [2.0]], y=[1.0, 2.0])
    """
    index: Any = getattr(value, "index", None)
    for other, held in others.items():
        own: Any = getattr(held, "index", None)
        if not (hasattr(index, "equals") and hasattr(own, "equals")) or own.equals(index):
            continue
        if len(own) == len(index) and set(own) == set(index):
            raise ProblemError(
                f"{other} must have its rows in the order of {name}, and the index says another: "
                f"take {other}.loc[{name}.index], or reset both indices if it is wrong"
            )


def real(name: str, value: Any, rule: str = "") -> float:
    """Return a number as a float: of Python, of NumPy, or an array of no axes; no truth value.

    `rule` is what else is asked of it, for the message.

    Raises
    ------
    ProblemError
        If it is no real number, or too large for a float.

    Examples
    --------
    >>> real("beta", np.float32(0.5))
    0.5
    """
    number = _scalar(value)
    if not isinstance(number, (Real, Decimal)) or isinstance(number, bool):
        raise ProblemError(f"{name} must be {rule or 'a real number'}, got {shown(value)}")
    try:
        return float(number)
    except (OverflowError, ValueError):
        raise ProblemError(f"{name} must be {rule or 'a float'}, got {shown(value)}") from None


def _scalar(value: Any) -> Any:
    """Return what an array of no axes holds; anything else as it is."""
    if isinstance(value, (bool, int, float, str, bytes, np.generic)):
        return value
    if isinstance(value, np.ma.MaskedArray) and np.ma.getmaskarray(value).any():
        return None
    if getattr(value, "ndim", None) == 0 and hasattr(value, "__array__"):
        try:
            return np.asarray(value)[()]
        except UNREADABLE:
            return None
    return value


def _number(name: str, value: Any, rule: Callable[[float], bool], text: str) -> float:
    number = real(name, value, f"finite and {text}")
    if not (isfinite(number) and rule(number)):
        raise ProblemError(f"{name} must be finite and {text}, got {shown(value)}")
    return number


def sized(name: str, number: float) -> float:
    """Return a number that is 0, inf or of a size that can be worked with.

    Raises
    ------
    ProblemError
        If its size is below `SMALLEST` or above `LARGEST`.

    Examples
    --------
    >>> sized("beta", 1e-9)
    1e-09
    """
    if number != 0.0 and isfinite(number) and not SMALLEST <= abs(number) <= LARGEST:
        raise ProblemError(
            f"{name} must be between {SMALLEST:g} and {LARGEST:g} in size, got {number!r}"
        )
    return number


def in_range(name: str, array: Array) -> Array:
    """Return an array whose entries are of a size that can be worked with.

    Raises
    ------
    ProblemError
        If one is above `LARGEST`, or the largest is neither 0 nor at least `SMALLEST`.

    Examples
    --------
    >>> in_range("X", np.array([1.0, 0.0]))
    array([1., 0.])
    """
    top = max(float(array.max()), -float(array.min()))
    if top > LARGEST:
        raise ProblemError(f"{name} must have entries of size at most {LARGEST:g}, got {top:g}")
    if 0.0 < top < SMALLEST:
        raise ProblemError(
            f"{name} must have an entry of size {SMALLEST:g} or more, or zeros alone, got {top:g}"
        )
    return array


def positive(name: str, value: float) -> float:
    """Return a float > 0 of a `sized` kind, or raise `ProblemError`.

    Examples
    --------
    >>> positive("beta", 2)
    2.0
    """
    return sized(name, _number(name, value, lambda x: x > 0, "> 0"))


def non_negative(name: str, value: float) -> float:
    """Return a float >= 0 of a `sized` kind, or raise `ProblemError`.

    Examples
    --------
    >>> non_negative("radius", 0)
    0.0
    """
    return sized(name, _number(name, value, lambda x: x >= 0, ">= 0"))


def positive_or_inf(name: str, value: float) -> float:
    """Return a float > 0 of a `sized` kind, which may be ``inf``, or raise `ProblemError`.

    Examples
    --------
    >>> positive_or_inf("flip_cost", float("inf"))
    inf
    """
    number = real(name, value, "a number > 0 or inf")
    if not number > 0.0:
        raise ProblemError(f"{name} must be a number > 0 or inf, got {shown(value)}")
    return sized(name, number)


def tolerance(name: str, value: float) -> float:
    """Return a tolerance, a finite float > 0 however small, or raise `ProblemError`.

    Examples
    --------
    >>> tolerance("tol", 1e-6)
    1e-06
    """
    number = seconds(name, value)
    if number == np.inf:
        raise ProblemError(f"{name} must be finite, got inf")
    return number


def seconds(name: str, value: float) -> float:
    """Return a time limit, a float > 0 which may be ``inf``, or raise `ProblemError`.

    Examples
    --------
    >>> seconds("time_limit", 60)
    60.0
    """
    number = real(name, value, "a number > 0")
    if not number > 0.0:
        raise ProblemError(f"{name} must be a number > 0, got {shown(value)}")
    return number


def whole_number(name: str, value: int, least: int) -> int:
    """Return an int of at least `least` that a machine can count to, or raise `ProblemError`.

    Examples
    --------
    >>> whole_number("n", np.int64(3), 0)
    3
    """
    number = _scalar(value)
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < least:
        raise ProblemError(f"{name} must be an integer >= {least}, got {shown(value)}")
    if number > COUNTABLE:
        raise ProblemError(f"{name} must be an integer <= {COUNTABLE}, got {shown(value)}")
    return int(number)


def positive_int(name: str, value: int) -> int:
    """Return an int >= 1, or raise `ProblemError`.

    Examples
    --------
    >>> positive_int("neurons", 3)
    3
    """
    return whole_number(name, value, 1)


def probability(name: str, value: float) -> float:
    """Return a float in (0, 1) of a `sized` kind, or raise `ProblemError`.

    Examples
    --------
    >>> probability("confidence", 0.95)
    0.95
    """
    return sized(name, _number(name, value, lambda x: 0.0 < x < 1.0, "in (0, 1)"))


def seed_of(value: int) -> int:
    """Return a seed, an int >= 0, or raise `ProblemError`.

    Examples
    --------
    >>> seed_of(0)
    0
    """
    return whole_number("seed", value, 0)


def choice(name: str, value: str, options: Iterable[str]) -> str:
    """Return `value` if it is one of the options, or raise `ProblemError` that lists them.

    Examples
    --------
    >>> choice("penalty", "l1", ["l2", "l1"])
    'l1'
    """
    known = tuple(options)
    if not isinstance(value, str) or value not in known:
        raise ProblemError(f"{name} must be one of {', '.join(known)}, got {shown(value)}")
    return str(value)


def flag(name: str, value: bool) -> bool:
    """Return a bool, or raise `ProblemError`.

    Examples
    --------
    >>> flag("bias", True)
    True
    """
    if not isinstance(value, (bool, np.bool_)):
        raise ProblemError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def function(name: str, value: Any, called: str = "a function") -> Any:
    """Return what can be called, or raise `ProblemError`.

    Examples
    --------
    >>> function("callback", print) is print
    True
    """
    if not callable(value) or isinstance(value, type):
        raise ProblemError(f"{name} must be {called}, got {shown(value)}")
    return value


def instance_of(name: str, value: Any, kind: type, called: str = "") -> None:
    """Raise `ProblemError` unless a value is of a class, which the message calls `called`.

    Examples
    --------
    >>> instance_of("window", (0, 1), tuple)
    """
    if not isinstance(value, kind):
        raise ProblemError(f"{name} must be {called or f'a {kind.__name__}'}, got {shown(value)}")


def pair(name: str, value: Any, called: str = "a pair of numbers") -> tuple[float, float]:
    """Return two real numbers, or raise `ProblemError`, which calls them `called`.

    Examples
    --------
    >>> pair("support", (0, np.inf))
    (0.0, inf)
    """
    whole(name, value)
    try:
        a, b = (real(name, end) for end in several(name, value, "numbers"))
    except ValueError:
        raise ProblemError(f"{name} must be {called}, got {shown(value)}") from None
    return a, b


def several(name: str, value: Any, called: str) -> tuple[Any, ...]:
    """Return the entries of a sequence that is neither empty nor a text, or raise `ProblemError`.

    `called` is what its entries are.

    Examples
    --------
    >>> several("backends", ["admm", "ipm"], "backends")
    ('admm', 'ipm')
    """
    entries: tuple[Any, ...] = ()
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, dict, set)):
        with suppress(TypeError):  # an array without axes
            entries = tuple(value)
    if not entries:
        raise ProblemError(f"{name} must be a sequence of {called}, got {shown(value)}")
    return entries


def truths(name: str, value: ArrayLike, length: int, each: str) -> BoolArray:
    """Return a mask, one truth value for `each`, as a read-only copy.

    Raises
    ------
    ProblemError
        If it is none, or entries are masked.

    Examples
    --------
    >>> truths("perturbed", [True, False], 2, "column of X")
    array([ True, False])
    """
    whole(name, value)
    try:
        given = np.array(value)
    except UNREADABLE:
        raise ProblemError(
            f"{name} must be an array of bool, one per {each} ({length}), got {shown(value)}"
        ) from None
    if given.shape != (length,) or given.dtype != np.bool_:
        raise ProblemError(
            f"{name} must be an array of bool, one per {each} ({length}), "
            f"got {given.dtype} of shape {given.shape}"
        )
    given.setflags(write=False)
    return given


def file_path(name: str, value: Any) -> str | PathLike[str]:
    """Return the path of a file, a text or what `os.fspath` takes, or raise `ProblemError`.

    Examples
    --------
    >>> file_path("path", "network.npz")
    'network.npz'
    """
    if not isinstance(value, (str, PathLike)) or not fspath(value) or "\0" in fspath(value):
        raise ProblemError(f"{name} must be the path of a file, got {shown(value)}")
    return value

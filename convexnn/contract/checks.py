"""Checks that data pass once, at construction: each names the field, its value and the rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    NamedTuple,
)

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array, IndexArray

# What NumPy passes on where it cannot read rows of other lengths or another library's tensor.
UNREADABLE = (ValueError, TypeError, RuntimeError)


class ProblemError(ValueError):
    """The data do not declare a problem; the message names the field, its value and the rule."""


class Labels(NamedTuple):
    """Targets as the losses want them, and the two labels they stand for.

    Attributes
    ----------
    targets : array of shape (n,), or (n, k) for k outputs
        Real targets; -1 and +1 for the first and second label in sorted order; for more classes,
        a column for each, or for "softmax" a column of 0 and 1 for each.
    classes : array of shape (K,) or None
        The user's own labels, sorted.
    """

    targets: Array
    classes: np.ndarray[Any, Any] | None


def whole(name: str, value: Any) -> None:
    """Raise `ProblemError` where entries of an array are masked.

    Examples
    --------
    >>> whole("X", np.ma.array([1.0, 2.0], mask=[False, False]))
    """
    if isinstance(value, np.ma.MaskedArray) and (count := int(np.ma.getmaskarray(value).sum())):
        raise ProblemError(f"{name} must have no masked entries, got {count}")


def real_array(name: str, value: ArrayLike, ndim: int) -> Array:
    """Return a read-only float64 copy, C-contiguous.

    Raises
    ------
    ProblemError
        If the array is not real, has another number of axes, is empty, or is not finite.

    Examples
    --------
    >>> real_array("X", [[1, 2]], 2)
    array([[1., 2.]])
    """
    whole(name, value)
    try:
        raw = np.asarray(value)
    except UNREADABLE as error:
        raise ProblemError(f"{name} must be a rectangular array of real numbers: {error}") from None
    if raw.dtype.kind not in "fiub":
        raise ProblemError(f"{name} must hold real numbers, got dtype {raw.dtype}")
    if raw.ndim != ndim:
        raise ProblemError(f"{name} must have {ndim} axes, got shape {raw.shape}")
    if raw.size == 0:
        raise ProblemError(f"{name} must not be empty, got shape {raw.shape}")
    array = np.array(raw, dtype=np.float64, order="C", copy=True)
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ProblemError(f"{name} must be finite, got {array[where]} at index {where}")
    array.setflags(write=False)
    return array


def given_labels(value: ArrayLike) -> np.ndarray[Any, Any]:
    """Return labels as an array; a column of Python strings, as pandas holds them, as text."""
    raw = np.asarray(value)
    if raw.dtype.kind == "O" and raw.size and all(isinstance(entry, str) for entry in raw.flat):
        return raw.astype(np.str_)
    return raw


def labels(
    name: str,
    value: ArrayLike,
    length: int,
    *,
    classification: bool,
    each: str = "row of X",
    otherwise: str = "",
) -> Labels:
    """Return the targets that go with `length` rows of data.

    `each` is what an example is called, `otherwise` what to do with more than two classes.

    Raises
    ------
    ProblemError
        If the length differs, or a classification target has not exactly two values.

    Examples
    --------
    >>> labels("y", ["no", "yes"], 2, classification=True).targets
    array([-1.,  1.])
    """
    if not classification:
        return Labels(real_array(name, _column(name, value, length, each), 1), None)
    classes, codes = _classes(name, value, length, each)
    if len(classes) != 2:
        raise ProblemError(
            f"{name} must have exactly two classes for a classification loss, "
            f"got {_listing(classes)}{otherwise if len(classes) > 2 else ''}"
        )
    return Labels(_frozen(coded(codes, 2, margin=True)), classes)


def several_targets(name: str, value: ArrayLike, length: int) -> Labels:
    """Return real targets of several outputs, a column each; one column is a scalar target.

    Raises
    ------
    ProblemError
        If there are neither one nor two axes, the length differs, or entries are not finite.

    Examples
    --------
    >>> several_targets("y", [[1.0, 2.0], [3.0, 4.0]], 2).targets.shape
    (2, 2)
    >>> several_targets("y", [[1.0], [3.0]], 2).targets
    array([1., 3.])
    """
    axes = _raw(name, value).ndim
    if axes > 2:
        raise ProblemError(f"{name} must have 1 or 2 axes, got shape {np.shape(value)}")
    if axes < 2:
        return labels(name, value, length, classification=False)
    targets = real_array(name, value, 2)
    if len(targets) != length:
        raise ProblemError(f"{name} must have one row per row of X ({length}), got {len(targets)}")
    return Labels(_frozen(targets[:, 0].copy()) if targets.shape[1] == 1 else targets, None)


def several_classes(name: str, value: ArrayLike, length: int, *, one_vs_rest: bool) -> Labels:
    """Return a column for each class: +1 against -1, or 1 against 0.

    With `one_vs_rest` two classes are one column, as in `labels`.

    Raises
    ------
    ProblemError
        If the length differs, or there is only one class.

    Examples
    --------
    >>> several_classes("y", ["b", "a", "c"], 3, one_vs_rest=False).targets
    array([[0., 1., 0.],
           [1., 0., 0.],
           [0., 0., 1.]])
    """
    classes, codes = _classes(name, value, length)
    if len(classes) < 2:
        raise ProblemError(f"{name} must have at least two classes, got {_listing(classes)}")
    return Labels(_frozen(coded(codes, len(classes), margin=one_vs_rest)), classes)


def coded(codes: IndexArray, classes: int, *, margin: bool) -> Array:
    """Return the targets of examples whose classes have these numbers, a column for each class.

    For a loss of the `margin` +1 against -1, two classes being one column; else 1 against 0.

    Examples
    --------
    >>> coded(np.array([0, 1, 1]), 2, margin=True)
    array([-1.,  1.,  1.])
    """
    own = codes[:, None] == np.arange(classes)
    targets = np.where(own, 1.0, -1.0 if margin else 0.0)
    return targets[:, 1] if margin and classes == 2 else targets


def _frozen(array: Array) -> Array:
    array.setflags(write=False)
    return array


def _raw(name: str, value: ArrayLike) -> np.ndarray[Any, Any]:
    whole(name, value)
    try:
        return given_labels(value)
    except UNREADABLE as error:
        raise ProblemError(f"{name} must be an array of one axis: {error}") from None


def _column(name: str, value: ArrayLike, length: int, each: str) -> np.ndarray[Any, Any]:
    raw = _raw(name, value)
    if raw.ndim != 1:
        raise ProblemError(f"{name} must have 1 axis, got shape {raw.shape}")
    if raw.shape[0] != length:
        raise ProblemError(f"{name} must have one entry per {each} ({length}), got {raw.shape[0]}")
    return raw


def _classes(name: str, value: ArrayLike, length: int, each: str = "row of X") -> tuple[Any, Any]:
    """Return the sorted classes and, for each entry, which of them it is."""
    raw = _column(name, value, length, each)
    if raw.dtype.kind not in "fiubUS":
        raise ProblemError(f"{name} must hold numbers or text, got dtype {raw.dtype}")
    if raw.dtype.kind == "f":
        real_array(name, raw, 1)
    classes, codes = np.unique(raw, return_inverse=True)
    classes.setflags(write=False)
    return classes, codes.reshape(-1)


def _listing(classes: Any) -> str:
    shown = ", ".join(str(c) for c in classes[:5]) + (", ..." if len(classes) > 5 else "")
    return f"{len(classes)}: {shown}"


def positive(name: str, value: float) -> float:
    """Return a finite float > 0, or raise `ProblemError`.

    Examples
    --------
    >>> positive("beta", 2)
    2.0
    """
    return _number(name, value, lambda x: x > 0, "> 0")


def non_negative(name: str, value: float) -> float:
    """Return a finite float >= 0, or raise `ProblemError`.

    Examples
    --------
    >>> non_negative("radius", 0)
    0.0
    """
    return _number(name, value, lambda x: x >= 0, ">= 0")


def positive_or_inf(name: str, value: float) -> float:
    """Return a float > 0, which may be ``inf``, or raise `ProblemError`.

    Examples
    --------
    >>> positive_or_inf("flip_cost", float("inf"))
    inf
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if isinstance(value, (bool, str, bytes)) or not number > 0.0:
        raise ProblemError(f"{name} must be a number > 0 or inf, got {value!r}")
    return number


def positive_int(name: str, value: int) -> int:
    """Return an int >= 1, or raise `ProblemError`.

    Examples
    --------
    >>> positive_int("neurons", 3)
    3
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ProblemError(f"{name} must be an integer >= 1, got {value!r}")
    return int(value)


def probability(name: str, value: float) -> float:
    """Return a float in (0, 1), or raise `ProblemError`.

    Examples
    --------
    >>> probability("confidence", 0.95)
    0.95
    """
    return _number(name, value, lambda x: 0.0 < x < 1.0, "in (0, 1)")


def seed_of(value: int) -> int:
    """Return a seed, an int >= 0, or raise `ProblemError`.

    Examples
    --------
    >>> seed_of(0)
    0
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
        raise ProblemError(f"seed must be an integer >= 0, got {value!r}")
    return int(value)


def choice(name: str, value: str, options: Sequence[str]) -> str:
    """Return `value` if it is one of the options, or raise `ProblemError` that lists them.

    Examples
    --------
    >>> choice("penalty", "l1", ["l2", "l1"])
    'l1'
    """
    if value not in options:
        raise ProblemError(f"{name} must be one of {', '.join(options)}, got {value!r}")
    return value


def flag(name: str, value: bool) -> bool:
    """Return a bool, or raise `ProblemError`.

    Examples
    --------
    >>> flag("bias", True)
    True
    """
    if not isinstance(value, (bool, np.bool_)):
        raise ProblemError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def _number(name: str, value: float, rule: Any, text: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ProblemError(f"{name} must be a number {text}, got {value!r}") from None
    if isinstance(value, (bool, str, bytes)) or not (np.isfinite(number) and rule(number)):
        raise ProblemError(f"{name} must be finite and {text}, got {value!r}")
    return number

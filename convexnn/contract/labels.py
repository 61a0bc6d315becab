"""Targets as people write them: numbers, labels of two or more classes, a column each or one."""

from __future__ import annotations

from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convexnn.contract.checks import (
    ProblemError,
    column_of,
    complete,
    dense,
    plain_array,
    real_array,
    whole,
)
from convexnn.contract.frames import columns_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array, IndexArray

KINDS: tuple[Any, ...] = (str, bytes, (bool, np.bool_), Real)  # that do not mix


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
    raw = raw_labels(name, value)  # of a single column it has one axis
    if raw.ndim > 2:
        raise ProblemError(f"{name} must have 1 or 2 axes, got shape {np.shape(value)}")
    if raw.ndim < 2:
        return Labels(real_array(name, _one_each(name, raw, length, "row of X"), 1), None)
    targets = real_array(name, value, 2)
    if len(targets) != length:
        raise ProblemError(f"{name} must have one row per row of X ({length}), got {len(targets)}")
    return Labels(targets, None)


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


def raw_labels(name: str, value: ArrayLike) -> np.ndarray[Any, Any]:
    """Return labels that are not checked yet as an array; a single column has one axis.

    What Python or pandas hold as objects is text, truth values or numbers where all of it is.

    Raises
    ------
    ProblemError
        If they are no array, or some are missing.

    Examples
    --------
    >>> raw_labels("y", [[0], [1]])
    array([0, 1])
    """
    whole(name, value)
    dense(name, value)
    columns = columns_of(value)
    if columns is None:
        raw = plain_array(name, value, "an array of one axis")
        if raw.dtype.kind in "US" and isinstance(value, (list, tuple)):
            raw = np.asarray(value, dtype=object)  # NumPy makes text of None, NaN and numbers
        raw = raw[:, 0] if raw.ndim == 2 and raw.shape[1] == 1 else raw
        complete(name, raw)
        return _typed(raw)
    if len(columns) == 1:
        return raw_labels(name, columns[0][1])
    for label, column in columns:
        complete(column_of(name, label), plain_array(name, column, "an array of one axis"))
    return plain_array(name, value, "an array of one axis")


def _typed(raw: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return objects of Python that are all of one kind as an array of that type."""
    if raw.dtype.kind != "O" or not raw.size:
        return raw
    entries = [float(entry) if isinstance(entry, Decimal) else entry for entry in raw.flat]
    for kind in KINDS:
        if all(isinstance(entry, kind) for entry in entries):
            return np.asarray(entries).reshape(raw.shape)
    return raw


def known_labels(
    name: str, value: ArrayLike, length: int, classes: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Return labels as an array, `length` of them, each one of the classes.

    Raises
    ------
    ProblemError
        Otherwise.

    Examples
    --------
    >>> known_labels("y", ["no", "no"], 2, np.array(["no", "yes"]))
    array(['no', 'no'], dtype='<U2')
    """
    found = raw_labels(name, value)
    alike = found.dtype.kind in "fiubUS" and (found.dtype.kind in "US") == (
        classes.dtype.kind in "US"
    )
    if found.shape != (length,) or not alike or not np.isin(found, classes).all():
        *others, last = map(str, classes)
        raise ProblemError(f"{name} must hold {length} labels, each {', '.join(others)} or {last}")
    return found


def _column(name: str, value: ArrayLike, length: int, each: str) -> np.ndarray[Any, Any]:
    return _one_each(name, raw_labels(name, value), length, each)


def _one_each(name: str, raw: np.ndarray[Any, Any], length: int, each: str) -> np.ndarray[Any, Any]:
    if raw.ndim != 1:
        raise ProblemError(f"{name} must have 1 axis, got shape {raw.shape}")
    if raw.shape[0] != length:
        raise ProblemError(f"{name} must have one entry per {each} ({length}), got {raw.shape[0]}")
    return raw


def _classes(name: str, value: ArrayLike, length: int, each: str = "row of X") -> tuple[Any, Any]:
    """Return the sorted classes and, for each entry, which of them it is."""
    raw = _column(name, value, length, each)
    if raw.dtype.kind not in "fiubUS":
        kinds = dict.fromkeys(type(entry).__name__ for entry in raw.tolist())
        found = " and ".join(kinds) if raw.dtype.kind == "O" else f"dtype {raw.dtype}"
        raise ProblemError(f"{name} must hold numbers or text, all of one kind, got {found}")
    if raw.dtype.kind == "f":
        real_array(name, raw, 1)
    classes, codes = np.unique(raw, return_inverse=True)
    classes.setflags(write=False)
    return classes, codes.reshape(-1)


def _listing(classes: Any) -> str:
    names = [str(c) if str(c).strip() else repr(str(c)) for c in classes[:5]]  # blanks are seen
    return f"{len(classes)}: {', '.join(names)}{', ...' if len(classes) > 5 else ''}"

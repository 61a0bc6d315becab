"""Dataclasses whose constructors take more than they keep, in a way that static tools follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, TypeVar, cast, dataclass_transform

import numpy as np

from convexnn.contract.arrays import frozen
from convexnn.contract.brief import brief
from convexnn.contract.checks import ProblemError, real_array
from convexnn.contract.features import Names, feature_names
from convexnn.contract.labels import raw_labels

Given = TypeVar("Given", contravariant=True)
Kept = TypeVar("Kept", covariant=True)
Kind = TypeVar("Kind")


class Converted(Protocol[Given, Kept]):
    """Annotates a field that is given as one type and kept as another by ``__post_init__``.

    To static tools it is a descriptor: the constructor takes what ``__set__`` takes, the attribute
    is what ``__get__`` returns. At run time there is only the attribute.
    """

    def __get__(self, holder: object, owner: Any = None, /) -> Kept: ...
    def __set__(self, holder: object, value: Given, /) -> None: ...


def default(value: Any) -> Any:
    """Return the default of a `Converted` field, which is of the type that is given."""
    return value


def keep_arrays(holder: object, **axes: int) -> None:
    """Keep fields that are given, each with so many axes, as read-only arrays of finite numbers.

    Raises
    ------
    ProblemError
        If one is something else.
    """
    for name, ndim in axes.items():
        value = getattr(holder, name)
        if value is not None:
            object.__setattr__(holder, name, real_array(name, value, ndim, empty=True))


def keep_labels(holder: object, name: str) -> None:
    """Keep a field, if it is given, as a read-only array of labels.

    Raises
    ------
    ProblemError
        If it is something else.
    """
    value = getattr(holder, name)
    if value is None:
        return
    kept = raw_labels(name, value)
    if kept.dtype.kind not in "fiubUS" or kept.ndim != 1:
        raise ProblemError(
            f"{name} must hold numbers or text along one axis, "
            f"got dtype {kept.dtype} and shape {kept.shape}"
        )
    kept = kept.copy()
    frozen(kept)
    object.__setattr__(holder, name, kept)


def keep_names(holder: object, count: int, found: Names = None) -> None:
    """Keep the field `feature_names`, the names of `count` columns: as given, or as found.

    Raises
    ------
    ProblemError
        If it holds something else.
    """
    given = getattr(holder, "feature_names", None)
    object.__setattr__(holder, "feature_names", feature_names(given, found, count))


def fits(kind: str, shapes: dict[str, tuple[Any, tuple[int, ...]]]) -> None:
    """Check the arrays of a model, by their names each with the shape that it must have.

    Raises
    ------
    ProblemError
        If one has another shape or entries that are not finite; None passes.

    Examples
    --------
    >>> fits("LinearModel", {"coef": (np.ones(2), (2,)), "scale": (None, (2,))})
    """
    for name, (array, shape) in shapes.items():
        if array is None:
            continue
        if np.shape(array) != shape:
            raise ProblemError(f"{kind}.{name} must have shape {shape}, got {np.shape(array)}")
        if not np.isfinite(array).all():
            raise ProblemError(f"{kind}.{name} must have finite entries")


def labelled(kind: str, classes: Any, outputs: int) -> None:
    """Check the labels of a model: of one output two, of several one each.

    Raises
    ------
    ProblemError
        If there are others, or some are equal.

    Examples
    --------
    >>> labelled("LinearModel", np.array(["no", "yes"]), 1)
    """
    if classes is None:
        return
    shape = (max(outputs, 2),)
    if np.shape(classes) != shape:
        raise ProblemError(
            f"{kind}.classes must have shape {shape} for {outputs} outputs, got {np.shape(classes)}"
        )
    if len(set(classes.tolist())) < len(classes):
        raise ProblemError(f"{kind}.classes must differ, got {classes.tolist()}")


def _as_declared(self: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """Have a copy, and what was pickled, built anew: checked, and its arrays locked."""
    given = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
    return _declared, (type(self), given)


def _declared(kind: Callable[..., Kind], given: dict[str, Any]) -> Kind:
    return kind(**given)


# Not frozen in the eyes of static tools: mypy takes what is inherited by a class it knows to be
# frozen for what the constructor takes.
@dataclass_transform(eq_default=False, field_specifiers=(field,))
def declaration(kind: type[Kind]) -> type[Kind]:
    """Make a class a frozen dataclass, equal to itself alone, that may have `Converted` fields.

    It shows itself in few lines, or as it says itself. Copies of it, and what is pickled, are
    built anew from the fields: arrays are as locked as at first, and what was computed of them is
    not carried along.

    Examples
    --------
    >>> import numpy as np
    >>> @declaration
    ... class Point:
    ...     x: "Converted[ArrayLike, Array]"
    ...
    ...     def __post_init__(self):
    ...         object.__setattr__(self, "x", np.asarray(self.x))
    >>> Point([1.0, 2.0]).x
    array([1., 2.])
    """
    said = "__repr__" in vars(kind)
    made: Any = dataclass(frozen=True, eq=False)(kind)
    made.__reduce__ = _as_declared
    if not said:
        brief(made)
    return cast("type[Kind]", made)

"""What may be graded: points of the kind and the shapes that a problem's own points have.

Kernels run over the arrays of a point by the shapes that the problem has, so that no others may
reach them. A point is held against the problem's trivial one: of the same class, with arrays of
real numbers in the same shapes. A class whose points have shapes of their own, or parts that a
trivial one lacks, says so: see `OwnParts`. Numbers that are NaN or infinite are graded: as what
costs more than any, or proves nothing. So does a dual point that is one of other shapes.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np

from convexnn.contract.checks import ProblemError, complete, numbers, shown, whole_number

Sides: TypeAlias = tuple[int | None, ...]  # of an array; None for one of any length
Point = TypeVar("Point")

PRECISIONS = (np.dtype(np.float64), np.dtype(np.float32))


class ShapeError(ProblemError):
    """A point of the right class has arrays of real numbers in other shapes."""


@runtime_checkable
class OwnParts(Protocol):
    """A point whose class knows what its parts may be."""

    def fitted(self, name: str, like: Any) -> Any:
        """Return it with parts that can be graded beside those of `like`.

        Raises
        ------
        ProblemError
            If a part cannot be; `name` is what the point is called.
        """
        ...


def outline(point: object) -> object:
    """Return what two points of the same kind and shapes have in common.

    Examples
    --------
    >>> outline(np.zeros(2)) == outline(np.ones(2))
    True
    >>> outline(np.zeros(2)) == outline(np.zeros(3)) or outline(np.zeros(2)) == outline([0.0, 0.0])
    False
    """
    if type(point) is np.ndarray:
        return point.dtype, point.shape
    if isinstance(point, tuple):
        return type(point), *map(outline, point)
    return type(point)


def hollow(point: Any) -> Any:
    """Return a point of the same kind and shapes that holds no numbers, and takes no memory.

    Examples
    --------
    >>> hollow((np.ones(3), 2))
    (array([0., 0., 0.]), 0)
    """
    if isinstance(point, np.ndarray):
        return np.broadcast_to(0.0, point.shape)
    if isinstance(point, tuple):
        parts = map(hollow, point)
        return point._make(parts) if hasattr(point, "_make") else tuple(parts)
    return 0 if type(point) is int else None


def fitted(name: str, point: Any, like: Point) -> Point:
    """Return a point of the class and the shapes of another one, its numbers as floats.

    Parameters
    ----------
    name : str
        What messages call it.
    point : object
    like : NamedTuple of arrays, or what such ones are made of

    Returns
    -------
    NamedTuple
        The point itself where its arrays are of floats.

    Raises
    ------
    ProblemError
        If it is of another class, or a part is of other shapes or holds no real numbers.

    Examples
    --------
    >>> from convexnn.median.forms import Location
    >>> fitted("primal", Location([1, 2]), Location(np.zeros(2)))
    Location(offset=array([1., 2.]))
    >>> fitted("primal", Location(np.zeros(3)), Location(np.zeros(2)))
    Traceback (most recent call last):
    convexnn.contract.points.ShapeError: primal.offset must have shape (2,), got (3,)
    """
    found: Any
    if isinstance(like, np.ndarray):
        found = floats(name, point, like.shape)
    elif type(like) is int:  # what an engine counts
        found = whole_number(name, point, 0)
    elif not isinstance(like, tuple):  # only the problem knows what it is
        found = point
    elif type(point) is not type(like) or len(point) != len(like):
        raise ProblemError(f"{name} must be {_called(type(like).__name__)}, got {shown(point)}")
    elif isinstance(point, OwnParts):
        found = point.fitted(name, like)
    elif hasattr(like, "_fields"):
        places: Any = zip(like._fields, point, like, strict=True)
        found = kept(point, {place: fitted(f"{name}.{place}", *both) for place, *both in places})
    else:
        places = zip(range(len(like)), point, like, strict=True)
        found = tuple(fitted(f"{name}[{place}]", *both) for place, *both in places)
    whole: Point = found
    return whole


def kept(point: Point, parts: dict[str, Any]) -> Point:
    """Return a point with these parts; itself, where they are its own.

    Examples
    --------
    >>> from convexnn.median.forms import Location
    >>> at = Location(np.zeros(2))
    >>> kept(at, {"offset": at.offset}) is at
    True
    """
    if all(getattr(point, name) is part for name, part in parts.items()):
        return point
    changed: Any = point
    new: Point = changed._replace(**parts)
    return new


def floats(name: str, value: Any, sides: Sides) -> Any:
    """Return an array of real numbers of this shape as floats; itself, if it is one.

    Examples
    --------
    >>> floats("dual.mu", [1, 2], (2,))
    array([1., 2.])
    >>> floats("dual.mu", np.zeros((2, 3)), (2, None)).shape
    (2, 3)
    """
    array = value if type(value) is np.ndarray else numbers(name, value)
    if array.dtype not in PRECISIONS:
        complete(name, array)
        array = np.asarray(numbers(name, array), dtype=np.float64)
    if len(array.shape) != len(sides) or any(
        own is not None and own != side for own, side in zip(sides, array.shape, strict=True)
    ):
        raise ShapeError(f"{name} must have shape {_shape(sides)}, got {array.shape}")
    return array


def record(name: str, value: Any, kind: str, **parts: Sides) -> Any:
    """Return a record of arrays of floats, each of its shape, as `floats` does.

    Examples
    --------
    >>> from convexnn.median.forms import Location
    >>> record("dual.start", Location([1, 2]), "Location", offset=(None,))
    Location(offset=array([1., 2.]))
    """
    if type(value).__name__ != kind or getattr(value, "_fields", ())[: len(parts)] != tuple(parts):
        raise ProblemError(f"{name} must be {_called(kind)} or None, got {shown(value)}")
    return kept(
        value,
        {
            field: floats(f"{name}.{field}", getattr(value, field), sides)
            for field, sides in parts.items()
        },
    )


def _called(kind: str) -> str:
    return f"{'an' if kind[0] in 'AEIOU' else 'a'} {kind}"


def _shape(sides: Sides) -> str:
    inner = ", ".join("any" if side is None else str(side) for side in sides)
    return f"({inner},)" if len(sides) == 1 else f"({inner})"

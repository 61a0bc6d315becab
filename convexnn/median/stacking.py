"""Points that are given as arrays of any library, or as lists of arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import ArrayLike

from convexnn.contract.arrays import FloatArray
from convexnn.contract.checks import ProblemError, dense, numbers, real_array, whole
from convexnn.contract.frames import columns_of

Shapes: TypeAlias = tuple[tuple[int, ...], ...]


class Tensor(Protocol):
    """An array of another library."""

    def __dlpack__(self, *args: Any, **kwargs: Any) -> Any: ...


Entries: TypeAlias = ArrayLike | Tensor
Points: TypeAlias = Entries | Sequence[Entries | Sequence[Entries]]


def stack(name: str, value: Points, *, finite: bool = True) -> tuple[FloatArray, Shapes | None]:
    """Return points one a row, as a new array, and the shapes of the arrays each is made of.

    Parameters
    ----------
    name : str
        What errors call the points.
    value : array or frame of shape (n, d), or list
        A list of n vectors; of n arrays of more axes; or of n lists of arrays, whose entries
        follow one another in a row. Arrays of other libraries come in through ``__dlpack__`` or
        ``__array__``.
    finite : bool, default True
        Whether entries that are not finite are refused.

    Returns
    -------
    rows : array of shape (n, d)
        float32 if every array is, else float64.
    shapes : tuple of shapes, or None for plain rows

    Raises
    ------
    ProblemError
        If an array is not real or not finite, or if the shapes differ.

    Examples
    --------
    >>> stack("points", [[np.eye(2), np.zeros(1)], [np.ones((2, 2)), np.ones(1)]])
    (array([[1., 0., 0., 1., 0.],
           [1., 1., 1., 1., 1.]]), ((2, 2), (1,)))
    """
    frame: Any = value
    if finite and columns_of(frame) is not None:
        return real_array(name, frame, 2).copy(), None
    if not isinstance(value, (list, tuple)) or not any(map(_structured, value)):
        plain = [as_numpy(name, row) for row in value] if _listed(value) else value
        return _checked(name, _rectangular(name, plain), finite), None
    parts = [
        [as_numpy(f"{name}[{i}]", part) for part in (e if isinstance(e, (list, tuple)) else [e])]
        for i, e in enumerate(value)
    ]
    shapes = tuple(part.shape for part in parts[0])
    for i, arrays in enumerate(parts):
        own = tuple(part.shape for part in arrays)
        if own != shapes:
            raise ProblemError(
                f"{name}[{i}] must have the shapes of {name}[0], {shapes}, got {own}"
            )
        arrays[:] = [numbers(f"{name}[{i}]", part) for part in arrays]
    kind = np.float32 if all(p.dtype == np.float32 for own in parts for p in own) else np.float64
    rows = np.empty((len(parts), sum(int(np.prod(shape)) for shape in shapes)), kind)
    for row, arrays in zip(rows, parts, strict=True):
        for place, part in zip(unstack(row, shapes), arrays, strict=True):
            place[...] = part
    return _checked(name, rows, finite), shapes


def unstack(row: Any, shapes: Shapes) -> list[Any]:
    """Return views into a row, one of each shape: the inverse of `stack` for one point.

    Examples
    --------
    >>> unstack(np.arange(5.0), ((2, 2), (1,)))
    [array([[0., 1.],
           [2., 3.]]), array([4.])]
    """
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(row, ends), shapes, strict=True)]


def as_numpy(name: str, value: Any) -> Any:
    """Return an array of any library as NumPy's; of a tensor on a device or a tape, its values.

    Examples
    --------
    >>> as_numpy("points", [1.0, 2.0])
    array([1., 2.])
    """
    whole(name, value)
    dense(name, value)
    if columns_of(value) is not None:
        return numbers(name, value)
    if isinstance(value, np.ndarray):
        return value
    try:
        for leave in ("detach", "cpu"):
            if hasattr(value, leave):
                value = getattr(value, leave)()
        if hasattr(value, "__dlpack__"):
            return np.from_dlpack(value)
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise ProblemError(
            f"{name} must be an array of real numbers, got {type(value).__name__}: {error}"
        ) from None


def _listed(value: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, (list, tuple)) and any(map(_foreign, value))


def _foreign(value: Any) -> bool:
    return hasattr(value, "__dlpack__") or hasattr(value, "__array__")


def _structured(entry: Any) -> bool:
    """Tell whether an entry of the list is more than a vector."""
    if isinstance(entry, (list, tuple)):
        return any(_axes(part) > 0 for part in entry)
    return _axes(entry) > 1


def _axes(value: Any) -> int:
    return len(getattr(value, "shape", ())) if _foreign(value) else 0


def _rectangular(name: str, value: Any) -> Any:
    if isinstance(value, list) and value and all(isinstance(v, np.ndarray) for v in value):
        for i, length in _odd(value):
            raise ProblemError(
                f"{name}[{i}] must have the shape of {name}[0], {value[0].shape}, got {length}"
            )
    return as_numpy(name, value)


def _odd(arrays: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    return ((i, a.shape) for i, a in enumerate(arrays) if a.shape != arrays[0].shape)


def _checked(name: str, raw: Any, finite: bool) -> Any:
    raw = numbers(name, raw)
    if raw.ndim != 2:
        raise ProblemError(f"{name} must have 2 axes, one row a point, got shape {raw.shape}")
    if raw.size == 0:
        raise ProblemError(f"{name} must not be empty, got shape {raw.shape}")
    array = np.array(raw, dtype=np.float32 if raw.dtype == np.float32 else np.float64)
    if finite and not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise ProblemError(f"{name} must be finite, got {array[where]} at index {where}")
    return array

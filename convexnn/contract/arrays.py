"""The array types that signatures speak of."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import DTypeLike, NDArray

from convexnn.contract.clock import look

Array: TypeAlias = NDArray[np.float64]
FloatArray: TypeAlias = NDArray[np.float32] | NDArray[np.float64]  # in the precision given
BoolArray: TypeAlias = NDArray[np.bool_]
IndexArray: TypeAlias = NDArray[np.intp]
IntArray: TypeAlias = NDArray[np.int32]
SignArray: TypeAlias = NDArray[np.int8]
LabelArray: TypeAlias = NDArray[Any]  # numbers or text: targets, or the user's own labels
PART = 1 << 24  # bytes that are taken between two looks at the clock
PAGE = 4096  # bytes that a system hands out at once, at least
Entry = TypeVar("Entry", bound=np.generic)


@runtime_checkable
class Sparse(Protocol):
    """A sparse matrix, of SciPy or of another library."""

    shape: Any

    def tocsr(self) -> Any:
        """Return it in compressed rows."""
        ...


def frozen(array: NDArray[np.generic]) -> None:
    """Mark an array read-only, in place.

    Examples
    --------
    >>> a = np.zeros(2)
    >>> frozen(a)
    >>> a.flags.writeable
    False
    """
    array.setflags(write=False)


def readonly(array: NDArray[Entry]) -> NDArray[Entry]:
    """Return a contiguous read-only view, so that one compiled kernel serves every array.

    Examples
    --------
    >>> readonly(np.zeros((2, 2)).T).flags.c_contiguous
    True
    """
    view = np.ascontiguousarray(array).view()
    view.setflags(write=False)
    return view


def taken(shape: tuple[int, ...], dtype: DTypeLike = np.float64) -> Any:
    """Return an array that is yet to be filled, its memory taken from the system by the clock.

    Memory that was never touched is cleared at the first touch, which of gigabytes takes seconds.

    Examples
    --------
    >>> taken((2, 3)).shape
    (2, 3)
    """
    out: Any = np.empty(shape, dtype)
    bytes_of = out.reshape(-1).view(np.uint8)
    for first in range(0, len(bytes_of), PART):
        look()
        bytes_of[first : first + PART : PAGE] = 0
    return out

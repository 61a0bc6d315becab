"""The array types that signatures speak of."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
FloatArray: TypeAlias = NDArray[np.float32] | NDArray[np.float64]  # in the precision given
BoolArray: TypeAlias = NDArray[np.bool_]
IndexArray: TypeAlias = NDArray[np.intp]
IntArray: TypeAlias = NDArray[np.int32]
SignArray: TypeAlias = NDArray[np.int8]
LabelArray: TypeAlias = NDArray[Any]  # numbers or text: targets, or the user's own labels
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

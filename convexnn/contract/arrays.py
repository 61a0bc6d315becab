"""The array types that signatures speak of."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]
IndexArray: TypeAlias = NDArray[np.intp]
IntArray: TypeAlias = NDArray[np.int32]
SignArray: TypeAlias = NDArray[np.int8]
LabelArray: TypeAlias = NDArray[Any]  # numbers or text: targets, or the user's own labels


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

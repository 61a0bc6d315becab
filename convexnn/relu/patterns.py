"""Activation patterns: those of given neurons, and drawn ones."""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING

import numpy as np

from convexnn.contract.arrays import frozen
from convexnn.contract.checks import (
    UNREADABLE,
    ProblemError,
    real_array,
    whole,
)
from convexnn.contract.fields import Converted, declaration, default
from convexnn.relu.forms import Neurons

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array, BoolArray


def active_patterns(X: Array, neurons: Neurons) -> BoolArray:
    """Return the distinct activation patterns of the neurons themselves, (n, at most P + Q).

    Examples
    --------
    >>> X = np.array([[1.0], [-1.0]])
    >>> active_patterns(X, Neurons(np.array([[2.0, 3.0]]), np.zeros((1, 0)), np.zeros(1)))
    array([[ True],
           [False]])
    """
    weights = np.hstack([neurons.V, neurons.W])
    matrix = X @ weights[:, np.any(weights != 0.0, axis=0)] >= 0.0
    return matrix[:, first_distinct(matrix)]


@declaration
class Patterns:
    """A set of distinct activation patterns, one a column.

    Parameters
    ----------
    matrix : array of bool (or 0/1), shape (n, P)
        ``matrix[i, p]`` tells whether pattern p is active on example i.
    generators : array of shape (d, P), optional
        Vectors ``h_p`` with ``matrix[:, p] = 1[X h_p >= 0]``. ReLU programs do not need them;
        a gated network evaluates them on new data.

    Raises
    ------
    ProblemError
        If the matrix is not 0/1, or the shapes disagree.

    Examples
    --------
    >>> len(Patterns([[True, False], [False, True], [True, True]]))
    2
    """

    matrix: Converted[ArrayLike, BoolArray]
    generators: Converted[ArrayLike | None, Array | None] = default(None)

    def __post_init__(self) -> None:
        whole("patterns", self.matrix)
        try:
            raw = np.asarray(self.matrix)
        except UNREADABLE as error:
            raise ProblemError(f"patterns must be a non-empty (n, P) matrix: {error}") from None
        if raw.ndim != 2 or raw.size == 0:
            raise ProblemError(f"patterns must be a non-empty (n, P) matrix, got shape {raw.shape}")
        known = raw.dtype.kind == "b"
        if not known and (raw.dtype.kind not in "iuf" or not ((raw == 0) | (raw == 1)).all()):
            raise ProblemError(f"patterns must hold only 0 and 1, got dtype {raw.dtype}")
        matrix = np.array(raw, dtype=np.bool_, copy=True)
        frozen(matrix)
        object.__setattr__(self, "matrix", matrix)
        if self.generators is not None:
            generators = real_array("generators", self.generators, 2)
            if generators.shape[1] != matrix.shape[1]:
                raise ProblemError(
                    f"generators must have one column per pattern ({matrix.shape[1]}), "
                    f"got shape {generators.shape}"
                )
            object.__setattr__(self, "generators", generators)

    def __len__(self) -> int:
        return int(self.matrix.shape[1])

    def __repr__(self) -> str:
        return f"Patterns({self.matrix.shape[0]} examples, {len(self)} patterns)"

    @classmethod
    def generated(cls, X: Array, generators: Array) -> Patterns:
        """Return the distinct patterns ``1[X h >= 0]`` of the columns of `generators`.

        Examples
        --------
        >>> X = np.array([[1.0], [-1.0]])
        >>> Patterns.generated(X, np.array([[1.0, -2.0, 3.0]]))
        Patterns(2 examples, 2 patterns)
        """
        return cls(X @ generators >= 0.0, generators).distinct()

    def take(self, columns: ArrayLike) -> Patterns:
        """Return the patterns in these columns.

        Examples
        --------
        >>> Patterns([[1, 0], [0, 1]]).take([1]).matrix
        array([[False],
               [ True]])
        """
        chosen = np.asarray(columns)
        generators = None if self.generators is None else self.generators[:, chosen]
        return Patterns(self.matrix[:, chosen], generators)

    def distinct(self) -> Patterns:
        """Return each pattern once, in the order of first appearance.

        Examples
        --------
        >>> len(Patterns([[1, 1], [0, 0]]).distinct())
        1
        """
        return self.take(first_distinct(self.matrix))

    def joined(self, other: Patterns) -> Patterns:
        """Return the distinct patterns of both sets; generators are kept if both have them.

        Examples
        --------
        >>> Patterns([[1], [0]]).joined(Patterns([[0], [1]]))
        Patterns(2 examples, 2 patterns)
        """
        matrix = np.hstack([self.matrix, other.matrix])
        if self.generators is None or other.generators is None:
            return Patterns(matrix).distinct()
        return Patterns(matrix, np.hstack([self.generators, other.generators])).distinct()


def first_distinct(matrix: BoolArray) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return the column indices of the first appearance of each distinct column.

    Examples
    --------
    >>> first_distinct(np.array([[True, True, False]]))
    array([0, 2])
    """
    packed = np.ascontiguousarray(np.packbits(matrix, axis=0).T)
    keys = packed.view(np.dtype((np.void, packed.shape[1]))).reshape(-1)
    _, first = np.unique(keys, return_index=True)
    first.sort()
    return first


def cell_count(n: int, rank: int) -> int:
    """Return ``2 sum_{k<rank} C(n-1, k)``, the cells of n hyperplanes in general position.

    Examples
    --------
    >>> cell_count(3, 2)
    6
    """
    return 2 * sum(comb(n - 1, k) for k in range(rank)) if n > 0 else 1

"""Activation patterns: those of given neurons, and drawn ones."""

from __future__ import annotations

from math import comb
from typing import TYPE_CHECKING

import numpy as np

from convexnn.contract.arrays import frozen
from convexnn.contract.checks import (
    UNREADABLE,
    ProblemError,
    choice,
    in_range,
    non_negative,
    positive_int,
    real_array,
    seed_of,
    truths,
    whole,
)
from convexnn.contract.clock import look
from convexnn.contract.fields import Converted, declaration, default
from convexnn.contract.reading import borne_out
from convexnn.contract.system.memory import shortage
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


DRAWS_PER_PATTERN = 50  # sampling gives up after this many draws per pattern asked for
FEW = 2_000  # patterns asked for up to which it gives up, or refuses, for no other reason
DRAWING = 4.0  # bytes an entry of the patterns takes while they are drawn, measured


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


def sample_patterns(
    X: ArrayLike,
    count: int,
    *,
    seed: int = 0,
    radius: float = 0.0,
    norm: str = "linf",
    columns: ArrayLike | None = None,
) -> Patterns:
    """Draw distinct patterns ``1[X h >= 0]`` with Gaussian generators ``h``.

    Random patterns suit the papers' setting and cross-checks. For a good network prefer
    those of local search (``patterns=None``): the best network over a random sample can be
    several times worse.

    Parameters
    ----------
    X : array of shape (n, d)
        Examples; append a column of ones for a problem with ``bias=True``, or leave it out:
        then the generators have no offset.
    count : int
        How many distinct patterns to draw; fewer come back where fewer are found. Drawing ends
        after 50 draws for each, and of more than 2,000 also where 100,000 draws bring no new one.
    seed : int, default 0
    radius : float, default 0.0
        With a positive radius every other draw takes the pattern of perturbed examples,
        ``1[(X + R) h >= 0]``, each row of ``R`` on the sphere of this radius.
    norm : {"linf", "l2", "l1"}, default "linf"
        Norm of the perturbations.
    columns : array of bool, shape (d,), optional
        Those that are perturbed, all by default.

    Returns
    -------
    Patterns

    Raises
    ------
    ProblemError
        If `X` is not a finite matrix, a parameter is out of range, or the memory limit has no
        room for the patterns.

    Examples
    --------
    >>> import convexnn as cx
    >>> X = np.random.default_rng(0).standard_normal((20, 3))
    >>> cx.sample_patterns(X, 10)
    Patterns(20 examples, 10 patterns)
    """
    X = in_range("X", real_array("X", X, 2))
    count = positive_int("count", count)
    radius = non_negative("radius", radius)
    choice("norm", norm, ("linf", "l2", "l1"))
    moved = np.ones(X.shape[1], np.bool_)
    if columns is not None:
        moved = truths("columns", columns, X.shape[1], "column of X")
    rng = np.random.default_rng(seed_of(seed))
    n, d = X.shape
    there = cell_count(n, min(n, d)) if radius == 0.0 else 2**n
    most = min(count, there)
    needed = (DRAWING * n + 8.0 * d) * most
    lack = shortage({f"{most:,} patterns of {n:,} examples": needed}) if most > FEW else None
    if lack is not None:
        raise ProblemError(f"count must leave room for the patterns: to draw {count:,} {lack}")
    batch = min(max(count, 16), 4096)
    patience = DRAWS_PER_PATTERN * (count if count <= FEW else FEW)
    seen: set[bytes] = set()
    parts: list[tuple[BoolArray, Array]] = []
    drawn = since = 0  # since the last new pattern
    while len(seen) < most and drawn < DRAWS_PER_PATTERN * count and since < patience:
        look()
        generators = rng.standard_normal((X.shape[1], batch))
        matrix = X @ generators >= 0.0
        if radius > 0.0 and moved.any():
            for p in range(0, batch, 2):
                look()
                noise = radius * _sphere(rng, (len(X), int(moved.sum())), norm)
                matrix[:, p] = X @ generators[:, p] + noise @ generators[moved, p] >= 0.0
        new = _unseen(matrix, seen)
        parts.append((matrix[:, new], generators[:, new]))
        drawn, since = drawn + batch, 0 if new else since + batch
        borne_out("patterns", len(seen))
    matrix, generators = (np.hstack(part)[:, :count] for part in zip(*parts, strict=True))
    return Patterns(matrix, generators)


def _unseen(matrix: BoolArray, seen: set[bytes]) -> list[int]:
    """Return the columns that are not among those seen, each once, and note them there."""
    packed, new = np.ascontiguousarray(np.packbits(matrix, axis=0).T), []
    for j, row in enumerate(packed):
        key = row.tobytes()
        if key not in seen:
            seen.add(key)
            new.append(j)
    return new


def cell_count(n: int, rank: int) -> int:
    """Return ``2 sum_{k<rank} C(n-1, k)``, the cells of n hyperplanes in general position.

    Examples
    --------
    >>> cell_count(3, 2)
    6
    """
    return 2 * sum(comb(n - 1, k) for k in range(rank)) if n > 0 else 1


def _sphere(rng: np.random.Generator, shape: tuple[int, ...], norm: str) -> Array:
    if norm == "linf":
        return rng.choice([-1.0, 1.0], size=shape)
    g = rng.standard_normal(shape)
    if norm == "l2":
        round_: Array = g / np.linalg.norm(g, axis=1, keepdims=True)
        return round_
    e = rng.exponential(size=shape)
    flat: Array = np.sign(g) * e / e.sum(axis=1, keepdims=True)
    return flat

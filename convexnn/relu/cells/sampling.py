"""Drawn activation patterns: random directions, in coordinates that suit the data where need be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convexnn.contract.checks import (
    ProblemError,
    choice,
    flag,
    in_range,
    non_negative,
    positive_int,
    real_array,
    seed_of,
    truths,
)
from convexnn.contract.clock import look
from convexnn.contract.reading import borne_out, drawn_by
from convexnn.contract.system.memory import shortage
from convexnn.relu.cells.enumeration import enumerate_patterns, listable
from convexnn.relu.cells.whitening import straightened
from convexnn.relu.patterns import Patterns, cell_count

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array, BoolArray

DRAWS_PER_PATTERN = 50  # sampling gives up after this many draws per pattern asked for
FEW = 2_000  # patterns asked for up to which it gives up, or refuses, for no other reason
DRAWING = 4.0  # bytes an entry of the patterns takes while they are drawn, measured
LISTED = 2_000  # cells of the data up to which those that no draw found are listed
BROADER = 2  # rule of drawing from which there is more than directions in the units of X


def sample_patterns(
    X: ArrayLike,
    count: int,
    *,
    seed: int = 0,
    radius: float = 0.0,
    norm: str = "linf",
    columns: ArrayLike | None = None,
    active: bool = False,
) -> Patterns:
    """Draw distinct patterns ``1[X h >= 0]`` with Gaussian generators ``h``.

    Random patterns suit the papers' setting and cross-checks. For a good network prefer
    those of local search (``patterns=None``): the best network over a random sample can be
    several times worse.

    Where directions in the units of X do not find as many, as where its columns differ in scale
    or lie far from zero, the rest are those of directions that are Gaussian where the columns
    of X have unit length at right angles; and where X has at most 2,000 cells, those that no draw
    has found.

    Parameters
    ----------
    X : array of shape (n, d)
        Examples; append a column of ones for a problem with ``bias=True``, or leave it out:
        then the generators have no offset.
    count : int
        How many distinct patterns to draw; fewer come back where fewer are found. Drawing ends
        after 50 draws for each in either units, and of more than 2,000 also where 100,000 draws
        bring no new one.
    seed : int, default 0
    radius : float, default 0.0
        With a positive radius every other draw takes the pattern of perturbed examples,
        ``1[(X + R) h >= 0]``, each row of ``R`` on the sphere of this radius.
    norm : {"linf", "l2", "l1"}, default "linf"
        Norm of the perturbations.
    columns : array of bool, shape (d,), optional
        Those that are perturbed, all by default.
    active : bool, default False
        Leave out the pattern that is active on no example.

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
    active = flag("active", active)
    n, d = X.shape
    still = radius == 0.0 or not moved.any()
    there = cell_count(n, min(n, d)) if still else 2**n
    most = min(count, there)
    needed = (DRAWING * n + 8.0 * d) * most
    lack = shortage({f"{most:,} patterns of {n:,} examples": needed}) if most > FEW else None
    if lack is not None:
        raise ProblemError(f"count must leave room for the patterns: to draw {count:,} {lack}")
    broader = drawn_by() >= BROADER
    draws = Draws(X, count, there, seed_of(seed), active and broader)
    if not still:
        draws.perturb(radius, norm, moved)
    draws.gaussian()
    if broader and not draws.enough and d > 1:
        if still and exhaustible(X):
            draws.listed()
        else:
            draws.gaussian(straightened(X).back)
    return draws.patterns()


def exhaustible(X: Array) -> bool:
    """Tell whether the cells of the data are so few that a sample may hold them all.

    Examples
    --------
    >>> exhaustible(np.arange(9.0)[:, None]), exhaustible(np.eye(20))
    (True, False)
    """
    return listable(straightened(X).rows, LISTED)


class Draws:
    """The distinct patterns drawn so far.

    Parameters
    ----------
    X : array of shape (n, d)
    count : int
        How many are asked for.
    there : int
        How many there can be.
    seed : int
    active : bool
        Leave out the pattern that is active on no example.
    """

    def __init__(self, X: Array, count: int, there: int, seed: int, active: bool) -> None:
        self.X, self.count, self.there, self.active = X, count, there, active
        self.rng = np.random.default_rng(seed)
        self.seen: set[bytes] = set()
        self.kept = 0
        self.parts: list[tuple[BoolArray, Array]] = []
        self.radius, self.norm, self.moved = 0.0, "linf", np.zeros(X.shape[1], np.bool_)

    def perturb(self, radius: float, norm: str, moved: BoolArray) -> None:
        """Take the pattern of perturbed examples in every other draw from here."""
        self.radius, self.norm, self.moved = radius, norm, moved

    @property
    def enough(self) -> bool:
        """Tell whether there are as many as there should be."""
        return self.kept >= self.count or len(self.seen) >= self.there

    def gaussian(self, back: Array | None = None) -> None:
        """Draw Gaussian directions, in other coordinates if a way back from them is given."""
        X, count = self.X, self.count
        batch = min(max(count, 16), 4096)
        patience = DRAWS_PER_PATTERN * (count if count <= FEW else FEW)
        drawn = since = 0  # since the last new pattern
        while not self.enough and drawn < DRAWS_PER_PATTERN * count and since < patience:
            look()
            generators = self.rng.standard_normal(
                (X.shape[1] if back is None else back.shape[1], batch)
            )
            if back is not None:
                generators = back @ generators
            matrix = X @ generators >= 0.0
            if self.radius > 0.0:
                for p in range(0, batch, 2):
                    look()
                    size = (len(X), int(self.moved.sum()))
                    noise = self.radius * _sphere(self.rng, size, self.norm)
                    shift = noise @ generators[self.moved, p]
                    matrix[:, p] = X @ generators[:, p] + shift >= 0.0
            drawn, since = drawn + batch, 0 if self._join(matrix, generators) else since + batch
            borne_out("patterns", self.kept, self.parts[-1][0])

    def listed(self) -> None:
        """Add the patterns of all cells in random order."""
        white = straightened(self.X)
        points = enumerate_patterns(white.rows).generators
        assert points is not None
        generators = white.back @ points[:, self.rng.permutation(points.shape[1])]
        self._join(self.X @ generators >= 0.0, generators)

    def patterns(self) -> Patterns:
        """Return those drawn, as many as are asked for."""
        matrix, generators = (
            np.hstack(part)[:, : self.count] for part in zip(*self.parts, strict=True)
        )
        return Patterns(matrix, generators)

    def _join(self, matrix: BoolArray, generators: Array) -> bool:
        """Keep the patterns that are new and count; tell whether one is."""
        packed, new = np.ascontiguousarray(np.packbits(matrix, axis=0).T), []
        for j, row in enumerate(packed):
            key = row.tobytes()
            if key not in self.seen:
                self.seen.add(key)
                if not self.active or any(key):
                    new.append(j)
        self.kept += len(new)
        self.parts.append((matrix[:, new], generators[:, new]))
        return bool(new)


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

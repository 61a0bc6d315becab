"""Patterns as a problem declares them: checked, listed or drawn."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from convexnn.contract.arrays import Array, BoolArray
from convexnn.contract.checks import ProblemError, positive_int, shown
from convexnn.contract.clock import look
from convexnn.contract.fields import Converted
from convexnn.relu.cells.enumeration import about_cells, enumerate_patterns, listable
from convexnn.relu.cells.sampling import exhaustible, sample_patterns
from convexnn.relu.cones import least_distance
from convexnn.relu.patterns import Patterns

# None or "all" for all patterns, a count to draw, patterns or the matrix of some.
Declared: TypeAlias = Patterns | ArrayLike | None
PatternsField: TypeAlias = Converted[Declared, Patterns | int | None]

SAMPLED = 200  # gates drawn where all are meant but too many to list


def scope_of(patterns: int | Patterns | None, data: Array) -> str:
    """Return what a bound over the `listed` patterns is a bound over."""
    if patterns is not None:
        return "these patterns"
    return "all patterns" if listable(data, LISTED) else f"{SAMPLED} sampled patterns"


def declared_scope(patterns: int | Patterns | None) -> str:
    """Return what a bound covers that holds whatever the patterns are."""
    return "all patterns" if patterns is None else "these patterns"


def listed(patterns: int | Patterns | None, data: Array) -> Patterns:
    """Return the declared patterns, distinct, without the one that is never active.

    Where all are meant, every pattern of the data if at most `LISTED` exist, else a sample.
    """
    if patterns is None and listable(data, LISTED):
        patterns = enumerate_patterns(data)
    elif patterns is None or isinstance(patterns, int):
        patterns = sample_patterns(data, patterns or SAMPLED, active=True)
    else:
        patterns = patterns.distinct()
    look()
    active = np.flatnonzero(patterns.matrix.any(axis=0))
    return patterns.take(active) if 0 < len(active) < len(patterns) else patterns


def shrunk(
    patterns: int | Patterns | None, matrix: BoolArray | None, data: Array, still: bool = True
) -> str:
    """Say why a program has fewer patterns than were asked for or given; nothing if it has all.

    Parameters
    ----------
    patterns : int, Patterns or None
        As declared.
    matrix : array of bool or None
        Those of the program.
    data : array of shape (n, d)
        What they were drawn from.
    still : bool, default True
        Whether they are of the data as they are, not of perturbed ones.

    Examples
    --------
    >>> given = Patterns([[1, 1, 0], [0, 0, 0]])
    >>> print(shrunk(given, given.matrix[:, :1], np.eye(2)))
    The program has 1 of the 3 patterns given: 1 repeated, 1 active on no example.
    """
    if patterns is None or matrix is None:
        return ""
    used, asked = matrix.shape[1], patterns if isinstance(patterns, int) else len(patterns)
    if used >= asked:
        return ""
    if isinstance(patterns, int):
        said = f"The program has {used} of the {asked} patterns asked for: "
        if still and exhaustible(data):
            return f"{said}the data have no more."
        return f"{said}no further draw brought another one."
    distinct = len(patterns.distinct())
    return (
        f"The program has {used} of the {asked} patterns given: {asked - distinct} repeated, "
        f"{distinct - used} active on no example."
    )


def generators_of(data: Array, patterns: Patterns, bias: bool) -> Array:
    """Return a generator for each pattern: the given one where it fits, else the max-margin one."""
    d = data.shape[1]
    given = patterns.generators
    if given is not None and bias and given.shape[0] == d - 1:
        given = np.vstack([given, np.zeros((1, len(patterns)))])
    generators = np.zeros((d, len(patterns)))
    fits = np.zeros(len(patterns), np.bool_)
    if given is not None and given.shape[0] == d:
        generators = given.copy()
        fits = ((data @ given >= 0.0) == patterns.matrix).all(axis=0)
    occupied = data.any(axis=1)
    for p in np.flatnonzero(~fits):
        look()
        sign = np.where(patterns.matrix[:, p], 1.0, -1.0)
        generators[:, p] = least_distance(
            sign[occupied, None] * data[occupied], np.ones(occupied.sum())
        )
        if not np.array_equal(data @ generators[:, p] >= 0.0, patterns.matrix[:, p]):
            raise ProblemError(f"patterns[:, {p}] is the pattern of no generator on these data")
    return generators


LISTED = 2_000  # cells of the data up to which the program over all patterns is written out


def checked_patterns(
    patterns: Declared, n: int, each: str = "row of X", kept: BoolArray | None = None
) -> int | Patterns | None:
    """Return the declared patterns in one of three ways: None for all, an int, `Patterns`.

    Where rows were left out, `kept` says which were not: patterns are given on all, and returned
    on these.

    Raises
    ------
    ProblemError
        If they are something else, or have another number of rows than the data.
    """
    if patterns is None or (isinstance(patterns, str) and patterns == "all"):
        return None
    if isinstance(patterns, (int, np.integer)) and not isinstance(patterns, bool):
        if patterns < 1:
            raise ProblemError(f"patterns must be >= 1 where it is a count, got {shown(patterns)}")
        return positive_int("patterns", int(patterns))
    if not isinstance(patterns, Patterns) and np.isscalar(patterns):
        raise ProblemError(
            "patterns must be None, 'all', a count, Patterns or an (n, P) matrix, "
            f"got {shown(patterns)}"
        )
    given = patterns if isinstance(patterns, Patterns) else Patterns(patterns)
    n = n if kept is None else len(kept)
    if given.matrix.shape[0] != n:
        raise ProblemError(
            f"patterns must have one row per {each} ({n}), got shape {given.matrix.shape}"
        )
    return given if kept is None else Patterns(given.matrix[kept], given.generators)


def too_many(n: int, d: int) -> str:
    """Say that data of this shape have too many patterns to list, and what to do."""
    return (
        f"the data may have {about_cells(n, min(n, d))} activation patterns, at most "
        f"{LISTED:,} are listed: give patterns, or use an engine that searches for them, "
        "such as 'cell-walk'"
    )

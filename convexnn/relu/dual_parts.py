"""Checks of what a dual point of a two-layer program holds beside its multipliers.

Each returns a part that can be graded, of blocks, cones and cells that are open; see
`convexnn.contract.points`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.checks import ProblemError, shown
from convexnn.contract.points import ShapeError, floats, kept, record
from convexnn.relu.cones import Facets

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array, BoolArray
    from convexnn.relu.lift import Lifted
    from convexnn.relu.pricing.pricing_bound import Cover
    from convexnn.relu.relaxation import Relaxed

MULTIPLIERS = ("weight", "equal")  # of a cell, that are floats


def checked_covers(name: str, covers: Any) -> tuple[Cover | None, ...]:
    """Return covers whose trees a kernel can walk along.

    Raises
    ------
    ProblemError
        If one is none.

    Examples
    --------
    >>> checked_covers("dual.covers", (None, None))
    (None, None)
    """
    if type(covers) is not tuple:
        raise ProblemError(f"{name} must be a tuple of Covers and None, got {shown(covers)}")
    checked = tuple(
        cover if cover is None else _checked_cover(f"{name}[{i}]", cover)
        for i, cover in enumerate(covers)
    )
    return same(covers, checked)


def _checked_cover(name: str, cover: Any) -> Cover:
    found: Cover = record(name, cover, "Cover", basis=(None, None))
    tree = found.tree
    if type(tree) is not np.ndarray or tree.dtype != np.uint16 or tree.ndim != 1:
        raise ProblemError(f"{name}.tree must be a uint16 array of one axis, got {shown(tree)}")
    if not isinstance(found.limit, (float, int)):
        raise ProblemError(f"{name}.limit must be a float, got {shown(found.limit)}")
    return found


def checked_facets(name: str, facets: Any) -> Facets:
    """Return facets whose rows are whole numbers, of blocks and dimensions that are open.

    Raises
    ------
    ProblemError
        If they are none.

    Examples
    --------
    >>> checked_facets("dual.facets", Facets(np.array([[-1]]), np.array([[0.0]]))).value
    array([[0.]])
    """
    if not isinstance(facets, Facets):
        raise ProblemError(f"{name} must be Facets or None, got {shown(facets)}")
    example = facets.example
    if type(example) is not np.ndarray or example.dtype.kind not in "iu" or example.ndim != 2:
        raise ProblemError(f"{name}.example must be an int array of two axes, got {shown(example)}")
    return kept(facets, {"value": floats(f"{name}.value", facets.value, example.shape)})


def checked_matrix(name: str, matrix: Any, n: int) -> BoolArray:
    """Return patterns of n examples, or of bags of as many rows each; at least one.

    Raises
    ------
    ProblemError
        If they are none.

    Examples
    --------
    >>> checked_matrix("dual.matrix", np.array([[True], [False]]), 2).shape
    (2, 1)
    """
    if type(matrix) is not np.ndarray or matrix.dtype != np.bool_:
        raise ProblemError(f"{name} must be an array of bool or None, got {shown(matrix)}")
    if matrix.ndim != 2 or not matrix.size or len(matrix) % n:
        raise ShapeError(f"{name} must have {n} rows, or as many for each, got {matrix.shape}")
    return matrix


def checked_relaxed(name: str, point: Any, mu: Array) -> Relaxed:
    """Return a dual point of the relaxation beside multipliers `mu`.

    Raises
    ------
    ProblemError
        If it is none.

    Examples
    --------
    >>> checked_relaxed("dual.relaxed", None, np.zeros(2))
    Traceback (most recent call last):
    convexnn.contract.checks.ProblemError: dual.relaxed must be a Relaxed or None, got None
    """
    sides = (2, None, None), (2, None)
    found: Relaxed = record(name, point, "Relaxed", mu=mu.shape, B=sides[0], g=sides[1])
    return found


def checked_lifted(name: str, point: Any, mu: Array) -> Lifted:
    """Return a dual point of the lifted relaxation beside multipliers `mu`.

    Raises
    ------
    ProblemError
        If it is none.

    Examples
    --------
    >>> checked_lifted("dual.lifted", None, np.zeros(2))
    Traceback (most recent call last):
    convexnn.contract.checks.ProblemError: dual.lifted must be a Lifted or None, got None
    """
    found: Lifted = record(name, point, "Lifted", mu=mu.shape)
    _whole_numbers(f"{name}.rows", found.rows)
    if type(found.sides) is not tuple:
        raise ProblemError(f"{name}.sides must be a tuple, got {shown(found.sides)}")
    sides = tuple(_checked_side(f"{name}.sides[{s}]", side) for s, side in enumerate(found.sides))
    return kept(found, {"sides": same(found.sides, sides)})


def _checked_side(name: str, side: Any) -> Any:
    if type(side).__name__ != "LiftedSide" or type(side.cells) is not tuple:
        raise ProblemError(f"{name} must be a LiftedSide, got {shown(side)}")
    _whole_numbers(f"{name}.tree", side.tree)
    cells = tuple(_checked_cell(f"{name}.cells[{j}]", cell) for j, cell in enumerate(side.cells))
    return kept(side, {"cells": same(side.cells, cells)})


def _checked_cell(name: str, cell: Any) -> Any:
    if type(cell).__name__ != "LiftedCell":
        raise ProblemError(f"{name} must be a LiftedCell, got {shown(cell)}")
    for side in ("first", "second"):
        _whole_numbers(f"{name}.{side}", getattr(cell, side))
    if not isinstance(cell.share, (float, int)):
        raise ProblemError(f"{name}.share must be a float, got {shown(cell.share)}")
    parts = {side: floats(f"{name}.{side}", getattr(cell, side), (None,)) for side in MULTIPLIERS}
    return kept(cell, parts)


def _whole_numbers(name: str, array: Any) -> None:
    if type(array) is not np.ndarray or array.dtype.kind not in "iu" or array.ndim != 1:
        raise ProblemError(f"{name} must be an int array of one axis, got {shown(array)}")


def same(old: tuple[Any, ...], new: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the old of two tuples of the same parts.

    Examples
    --------
    >>> a = (1,)
    >>> same(a, (1,)) is a
    True
    """
    return old if all(a is b for a, b in zip(old, new, strict=True)) else new

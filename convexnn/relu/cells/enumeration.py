"""All activation patterns of a data set: the open cells of the hyperplanes ``x_i'h = 0``.

Two methods, each a check on the other. `cells_by_rays` is fast and exact in general
position: every cell touches a ray on which r - 1 hyperplanes meet. `cells_by_splitting` is
exact in any position: hyperplane i splits exactly the cells that its own arrangement, one
dimension lower, names. In general position there are ``2 sum_{k<r} C(n-1, k)`` cells (Cover
1965), r the rank; in any other position there are fewer.
"""

from __future__ import annotations

from itertools import combinations, islice, product
from math import comb, lgamma, log
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convexnn.contract.checks import ProblemError, in_range, real_array
from convexnn.contract.clock import look
from convexnn.contract.system.interrupts import as_interrupt
from convexnn.contract.system.memory import shortage
from convexnn.relu.patterns import Patterns, cell_count, first_distinct

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array, BoolArray

MAX_CELLS = 100_000  # `enumerate_patterns` refuses to list more
LISTING = 12.0  # bytes an entry of the patterns takes while they are listed, measured
RAY_WORK = 500_000_000  # entries the ray method may visit before splitting is preferred
PARALLEL = 1e-10  # unit rows nearer than this, up to sign, are one hyperplane
STRIDE = 64  # rows that are compared between two looks at the clock
ON_PLANE = 1e-11  # a ray this near to a further hyperplane breaks general position


class Cells(NamedTuple):
    """Open cells of an arrangement: signs (n, cells) and one inner point each (r, cells)."""

    positive: BoolArray
    points: Array


class Hyperplanes(NamedTuple):
    """Distinct hyperplanes in the coordinates of their span.

    Attributes
    ----------
    normals : array of shape (m, r), unit rows
    basis : array of shape (d, r)
        Orthonormal; ``normals @ basis.T`` are the normals in the original coordinates.
    """

    normals: Array
    basis: Array


@as_interrupt()
def enumerate_patterns(X: ArrayLike) -> Patterns:
    """List every pattern ``1[X h >= 0]`` that an open cell of generators ``h`` has.

    Parameters
    ----------
    X : array of shape (n, d)
        Examples, in any position: duplicate, antipodal and zero rows are allowed.

    Returns
    -------
    Patterns
        With a generator inside each cell.

    Raises
    ------
    ProblemError
        If `X` is not a finite matrix, could have more than 100,000 cells, or more than the
        memory limit has room for. The message states the count.

    Examples
    --------
    >>> import convexnn as cx
    >>> X = np.random.default_rng(0).standard_normal((30, 3))
    >>> len(cx.enumerate_patterns(X)), cell_count(30, 3)
    (872, 872)
    """
    X = in_range("X", real_array("X", X, 2))
    planes = hyperplanes(X)
    m, r = planes.normals.shape
    count = cell_count(m, r)
    said = f"X (rank {r}, {m} distinct directions) may have {about_cells(m, r)} activation patterns"
    advice = (
        "Sample some (patterns=200), or leave patterns=None and use an engine that searches for "
        "them, such as 'cell-walk'"
    )
    if count > MAX_CELLS:
        raise ProblemError(f"{said}; at most {MAX_CELLS:,} are listed. {advice}")
    lack = shortage({f"{count:,} patterns of {len(X):,} examples": LISTING * len(X) * count})
    if lack is not None:
        raise ProblemError(f"{said}; to list them {lack}. {advice}")
    cells = None
    if comb(m, r - 1) * 2**r * m <= RAY_WORK:
        cells = cells_by_rays(planes.normals)
    if cells is None:
        cells = cells_by_splitting(planes.normals)
    return Patterns.generated(X, planes.basis @ cells.points)


def about_cells(n: int, rank: int) -> str:
    """Return `cell_count` in words, exact up to thirty digits.

    Examples
    --------
    >>> about_cells(30, 3), about_cells(1000, 100)
    ('872', 'more than 10^138')
    """
    k = min(rank, (n + 1) // 2) - 1  # of the largest term
    digits = (lgamma(n) - lgamma(k + 1) - lgamma(n - k)) / log(10.0) if n > 0 else 0.0
    return f"{cell_count(n, rank):,}" if digits < 30.0 else f"more than 10^{int(digits)}"


def count_bound(X: Array) -> int:
    """Return an upper bound on the number of patterns of `X`, without listing them.

    Examples
    --------
    >>> count_bound(np.eye(2))
    4
    """
    planes = hyperplanes(X)
    return cell_count(*planes.normals.shape)


def listable(X: Array, limit: int) -> bool:
    """Tell whether `count_bound` is at most `limit`, looking at no more rows than it takes.

    The count only grows with the rows, so a few of them often settle it.

    Examples
    --------
    >>> listable(np.random.default_rng(0).standard_normal((100_000, 5)), 2_000)
    False
    """
    rows = 64
    while rows < len(X):
        if count_bound(X[:rows]) > limit:
            return False
        rows *= 4
    return count_bound(X) <= limit


def hyperplanes(X: Array, same: float = PARALLEL) -> Hyperplanes:
    """Drop zero rows, keep one row of each direction up to sign, and reduce to the rank.

    Unit rows nearer than `same`, up to sign, are one.

    Examples
    --------
    >>> hyperplanes(np.array([[1.0, 0.0], [-2.0, 0.0], [0.0, 0.0]])).normals.shape
    (1, 1)
    """
    size = np.max(np.abs(X), axis=1)
    rows = X[size > 0.0] / size[size > 0.0, None]
    if len(rows) == 0:
        return Hyperplanes(np.zeros((0, 1)), np.eye(X.shape[1], 1))
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    kept: list[int] = []
    for i in range(len(rows)):
        if i % STRIDE == 0:
            look()
        others = rows[kept]
        near = np.minimum(
            np.sum(np.square(others - rows[i]), axis=1), np.sum(np.square(others + rows[i]), axis=1)
        )
        if not (near < same**2).any():
            kept.append(i)
    rows = rows[kept]
    _, s, Vt = np.linalg.svd(rows, full_matrices=False)
    r = int((s > 1e-12 * s[0] * max(rows.shape)).sum())
    normals = rows @ Vt[:r].T
    return Hyperplanes(normals / np.linalg.norm(normals, axis=1, keepdims=True), Vt[:r].T)


def cells_by_rays(normals: Array) -> Cells | None:
    """List the cells around the rays where r - 1 hyperplanes meet.

    Parameters
    ----------
    normals : array of shape (m, r)
        Unit rows of rank r, no two parallel.

    Returns
    -------
    Cells or None
        None if the hyperplanes are not in general position.

    Examples
    --------
    >>> cells_by_rays(np.eye(2)).positive.shape
    (2, 4)
    """
    m, r = normals.shape
    if m == 0:
        return Cells(np.zeros((0, 1), np.bool_), np.ones((1, 1)))
    ties = np.array(list(product((-1.0, 1.0), repeat=r - 1))).reshape(2 ** (r - 1), r - 1)
    chunk = max(1, 4_000_000 // (m * 2**r))
    found: Cells | None = None
    subsets = combinations(range(m), r - 1)
    while batch := list(islice(subsets, chunk)):
        look()
        index = np.array(batch, dtype=np.intp).reshape(len(batch), r - 1)
        B = normals[index]
        U, s, Vt = np.linalg.svd(B, full_matrices=True)
        if r > 1 and (s[:, -1] < ON_PLANE).any():
            return None
        ray = Vt[:, -1, :]
        height = ray @ normals.T
        np.put_along_axis(height, index, np.inf, axis=1)
        if (np.abs(height) < ON_PLANE).any():
            return None
        inverse = np.einsum("bjr,bj,bkj->brk", Vt[:, : r - 1, :], 1.0 / s, U)
        tilt = np.einsum("brk,tk->btr", inverse, ties)
        reach = np.abs(tilt @ normals.T)
        margin = np.min(np.abs(height)[:, None, :] / np.maximum(reach, 1e-300), axis=2)
        tilt *= (0.5 * np.minimum(margin, 1.0))[:, :, None]
        points = np.concatenate([ray[:, None] + tilt, -ray[:, None] + tilt]).reshape(-1, r).T
        found = _merge(found, Cells(normals @ points > 0.0, points))
    return found


def cells_by_splitting(normals: Array) -> Cells:
    """List the cells by adding one hyperplane at a time, in any position.

    Parameters
    ----------
    normals : array of shape (m, r)
        Unit rows, no two parallel.

    Returns
    -------
    Cells

    Examples
    --------
    >>> cells_by_splitting(np.eye(3)).positive.shape
    (3, 8)
    """
    m, r = normals.shape
    if r == 1 and m > 0:
        return Cells(np.array([[normals[0, 0] > 0, normals[0, 0] < 0]]), np.array([[1.0, -1.0]]))
    if r == 2 and m > 0:
        return _sectors(normals)
    cells = Cells(np.zeros((0, 1), np.bool_), np.zeros((r, 1)))
    for i in range(m):
        look()
        normal = normals[i]
        inner = _restricted(normals[:i], normal)
        heights = np.abs(normals[:i] @ inner.points)
        slopes = np.abs(normals[:i] @ normal)[:, None]
        step = 0.5 * np.min(heights / np.maximum(slopes, 1e-300), axis=0, initial=2.0)
        above = inner.points + step * normal[:, None]
        below = inner.points - step * normal[:, None]
        whole = ~np.isin(_keys(cells.positive), _keys(inner.positive))
        points = np.hstack([cells.points[:, whole], above, below])
        points /= np.linalg.norm(points, axis=0)
        cells = Cells(normals[: i + 1] @ points > 0.0, points)
    return cells


def _restricted(normals: Array, normal: Array) -> Cells:
    """Cells that `normals` cut out of the hyperplane of `normal`."""
    complement = np.linalg.svd(normal[None, :], full_matrices=True)[2][1:].T
    inside = normals @ complement
    if len(inside) == 0:
        return Cells(np.zeros((0, 1), np.bool_), np.zeros((len(normal), 1)))
    planes = hyperplanes(inside)
    points = complement @ (planes.basis @ cells_by_splitting(planes.normals).points)
    return Cells(normals @ points > 0.0, points)


def _sectors(normals: Array) -> Cells:
    """Cells of lines through the origin of the plane, by angle."""
    angles = np.sort(np.mod(np.arctan2(normals[:, 0], -normals[:, 1]), np.pi))
    middle = 0.5 * (angles + np.append(angles[1:], angles[0] + np.pi))
    middle = np.concatenate([middle, middle + np.pi])
    points = np.vstack([np.cos(middle), np.sin(middle)])
    return Cells(normals @ points > 0.0, points)


def _keys(positive: BoolArray) -> Any:
    packed = np.ascontiguousarray(np.packbits(positive, axis=0).T)
    if packed.shape[1] == 0:
        return np.zeros(positive.shape[1], dtype="V1")
    return packed.view(np.dtype((np.void, packed.shape[1]))).reshape(-1)


def _merge(found: Cells | None, fresh: Cells) -> Cells:
    positive, points = fresh
    if found is not None:
        positive, points = np.hstack([found.positive, positive]), np.hstack([found.points, points])
    first = first_distinct(positive)
    return Cells(positive[:, first], points[:, first])

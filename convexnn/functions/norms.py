"""Norms of a neuron's weights: value, dual norm, prox and CVXPY atom."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from convexnn.contract.checks import positive_int

if TYPE_CHECKING:
    import cvxpy as cp

    from convexnn.contract.arrays import Array


SAFE = {  # of squares whose sum is as exact as float allows, by the kind of float
    kind: (np.finfo(kind).tiny / np.finfo(kind).eps ** 2, np.finfo(kind).max) for kind in "fd"
}


class Norm(ABC):
    """A norm, applied to each row of a matrix.

    Attributes
    ----------
    name : str
        What users write in ``penalty=``.
    cones : frozenset of str
        What a solver must know to take the CVXPY atom.
    rotates : bool
        Whether the norm is unchanged by rotations, so that coordinates may be changed.
    separable : bool
        Whether each row has a norm of its own.
    """

    name: ClassVar[str]
    cones: ClassVar[frozenset[str]]
    rotates: ClassVar[bool]
    separable: ClassVar[bool] = True

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @abstractmethod
    def value(self, rows: Array) -> Array:
        """Return the norm of each row."""

    @abstractmethod
    def dual(self, rows: Array) -> Array:
        """Return the dual norm of each row."""

    @abstractmethod
    def prox(self, rows: Array, step: float) -> Array:
        """Return ``argmin_u step ||u|| + ||u - row||^2 / 2`` for each row."""

    @abstractmethod
    def project(self, rows: Array, radius: float) -> Array:
        """Return the nearest point of the ball ``||u|| <= radius`` for each row."""

    @abstractmethod
    def cvxpy(self, columns: cp.Expression) -> cp.Expression:
        """Return the sum over the columns of a matrix of their norms."""


class VectorNorm(Norm):
    """A norm of vectors: a row has a norm of its own, and the dual norm is another of these.

    Attributes
    ----------
    exponent : float
        The p of ``(sum |u|^p)^(1/p)``.
    sparse : bool
        Whether its prox sets single entries to 0.
    """

    exponent: ClassVar[float]
    sparse: ClassVar[bool] = False

    @abstractmethod
    def steepest(self, u: Array) -> Array:
        """Return the v of dual norm 1 with ``u'v = ||u||``; zeros for ``u = 0``."""

    @abstractmethod
    def epigraph(self, u: Array, level: float) -> float:
        """Return the level of the nearest point of the epigraph ``||u'|| <= level'``.

        The point itself is ``(project(u, level'), level')``; a level below 0 stands for the apex.
        """


class L2(VectorNorm):
    """The Euclidean norm, its own dual.

    Examples
    --------
    >>> L2().prox(np.array([[3.0, 4.0]]), 2.5)
    array([[1.5, 2. ]])
    """

    name: ClassVar[str] = "l2"
    exponent: ClassVar[float] = 2.0
    cones: ClassVar[frozenset[str]] = frozenset({"soc"})
    rotates: ClassVar[bool] = True

    def value(self, rows: Array) -> Array:
        """Return ``sqrt(sum u^2)``, scaled where the squares under- or overflow."""
        squares = np.einsum("ij,ij->i", rows, rows)
        result: Array = np.sqrt(squares)
        low, high = SAFE.get(squares.dtype.char, (np.inf, np.inf))
        odd = ~((squares > low) & (squares < high))
        if odd.any() and (some := rows[odd]).any():
            largest = np.max(np.abs(some), axis=1, initial=0.0)
            unit = np.where(largest > 0.0, largest, 1.0)
            scaled = some / unit[:, None]
            result[odd] = unit * np.sqrt(np.einsum("ij,ij->i", scaled, scaled))
        return result

    def dual(self, rows: Array) -> Array:
        """Return the Euclidean norm."""
        return self.value(rows)

    def prox(self, rows: Array, step: float) -> Array:
        """Shrink each row's length by ``step``."""
        length = self.value(rows)
        kept = np.where(length > step, 1.0 - step / np.where(length > 0.0, length, 1.0), 0.0)
        return kept[:, None] * rows

    def project(self, rows: Array, radius: float) -> Array:
        """Shorten each row that is longer than ``radius``."""
        length = self.value(rows)
        kept = np.where(length > radius, radius / np.where(length > 0.0, length, 1.0), 1.0)
        return kept[:, None] * rows

    def steepest(self, u: Array) -> Array:
        """Return ``u / ||u||``."""
        if not u.any():
            return np.zeros_like(u)
        scaled = u / np.max(np.abs(u))
        unit: Array = scaled / np.linalg.norm(scaled)
        return unit

    def epigraph(self, u: Array, level: float) -> float:
        """Return the mean of length and level, unless the point is inside."""
        length = float(self.value(u[None, :])[0])
        return level if length <= level else 0.5 * (length + level)

    def cvxpy(self, columns: cp.Expression) -> cp.Expression:
        """Return ``sum(norm(columns, 2, axis=0))``."""
        import cvxpy as cp

        return cp.sum(cp.norm(columns, 2, axis=0))


class L1(VectorNorm):
    """The sum of absolute values; its dual is the largest absolute value.

    Examples
    --------
    >>> L1().prox(np.array([[3.0, -0.5]]), 1.0)
    array([[ 2., -0.]])
    """

    name: ClassVar[str] = "l1"
    exponent: ClassVar[float] = 1.0
    sparse: ClassVar[bool] = True
    cones: ClassVar[frozenset[str]] = frozenset()
    rotates: ClassVar[bool] = False

    def value(self, rows: Array) -> Array:
        """Return ``sum |u|``."""
        result: Array = np.abs(rows).sum(axis=1)
        return result

    def dual(self, rows: Array) -> Array:
        """Return ``max |u|``."""
        result: Array = np.max(np.abs(rows), axis=1, initial=0.0)
        return result

    def prox(self, rows: Array, step: float) -> Array:
        """Move every entry towards 0 by ``step``."""
        return np.sign(rows) * np.maximum(np.abs(rows) - step, 0.0)

    def project(self, rows: Array, radius: float) -> Array:
        """Project each row on the l1 ball (Duchi et al. 2008, figure 1)."""
        if rows.shape[1] == 0:
            return rows.copy()
        size = np.abs(rows)
        order = -np.sort(-size, axis=1)
        count = np.arange(1, rows.shape[1] + 1)
        level = (np.cumsum(order, axis=1) - radius) / count
        last = np.maximum((order > level).sum(axis=1) - 1, 0)
        theta = np.maximum(level[np.arange(len(rows)), last], 0.0)
        nearest: Array = np.sign(rows) * np.maximum(size - theta[:, None], 0.0)
        return nearest

    def steepest(self, u: Array) -> Array:
        """Return the signs."""
        return np.sign(u)

    def epigraph(self, u: Array, level: float) -> float:
        """Return ``level + theta`` with ``sum (|u| - theta)_+ = level + theta``."""
        size = np.abs(u)
        if size.sum() <= level:
            return level
        theta = (np.cumsum(np.sort(size)[::-1]) - level) / (np.arange(len(u)) + 2.0)
        return level + max(float(np.max(theta)), 0.0)

    def cvxpy(self, columns: cp.Expression) -> cp.Expression:
        """Return ``sum(abs(columns))``."""
        import cvxpy as cp

        return cp.sum(cp.abs(columns))


class Linf(VectorNorm):
    """The largest absolute value; its dual is the sum of absolute values.

    Examples
    --------
    >>> Linf().value(np.array([[1.0, -2.0]]))
    array([2.])
    """

    name: ClassVar[str] = "linf"
    exponent: ClassVar[float] = np.inf
    cones: ClassVar[frozenset[str]] = frozenset()
    rotates: ClassVar[bool] = False

    def value(self, rows: Array) -> Array:
        """Return ``max |u|``."""
        return L1().dual(rows)

    def dual(self, rows: Array) -> Array:
        """Return ``sum |u|``."""
        return L1().value(rows)

    def prox(self, rows: Array, step: float) -> Array:
        """Return the row less its projection on the dual ball of radius ``step``."""
        return rows - L1().project(rows, step)

    def project(self, rows: Array, radius: float) -> Array:
        """Clip every entry to ``[-radius, radius]``."""
        return np.clip(rows, -radius, radius)

    def steepest(self, u: Array) -> Array:
        """Return the sign of the first largest entry, in its place."""
        v = np.zeros_like(u)
        if u.any():
            j = int(np.argmax(np.abs(u)))
            v[j] = np.sign(u[j])
        return v

    def epigraph(self, u: Array, level: float) -> float:
        """Return the l with ``sum (|u| - l)_+ = l - level``."""
        order = np.sort(np.abs(u))[::-1]
        if order[0] <= level:
            return level
        levels = (np.cumsum(order) + level) / (np.arange(len(u)) + 2.0)
        return max(float(np.max(levels)), level)

    def cvxpy(self, columns: cp.Expression) -> cp.Expression:
        """Return ``sum(max(abs(columns), axis=0))``."""
        import cvxpy as cp

        return cp.sum(cp.max(cp.abs(columns), axis=0))


def _singular(blocks: Array) -> Array:
    """Return the singular values of each block, inf for one that is not finite."""
    finite = np.isfinite(blocks).all(axis=(1, 2))
    if finite.all():
        return np.asarray(np.linalg.svd(blocks, compute_uv=False), dtype=np.float64)
    values = np.full((len(blocks), min(blocks.shape[1:])), np.inf)
    values[finite] = np.linalg.svd(blocks[finite], compute_uv=False)
    return values


@dataclass(frozen=True)
class Nuclear(Norm):
    """The sum of singular values of each block of k rows; its dual is the largest one.

    Of m k rows, block p has the rows p, m + p, 2 m + p, and so on: one from each output.

    Parameters
    ----------
    outputs : int
        Rows of a block, k.

    Examples
    --------
    >>> Nuclear(outputs=2).value(np.array([[3.0, 0.0], [0.0, 4.0]]))
    array([7.])
    """

    outputs: int

    name: ClassVar[str] = "nuclear"
    cones: ClassVar[frozenset[str]] = frozenset({"sdp"})
    rotates: ClassVar[bool] = True
    separable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "outputs", positive_int("outputs", self.outputs))

    def blocks(self, rows: Array) -> Array:
        """Return the blocks, shape (m, k, d)."""
        return rows.reshape(self.outputs, -1, rows.shape[1]).transpose(1, 0, 2)

    def value(self, rows: Array) -> Array:
        """Return the sum of singular values of each block."""
        result: Array = _singular(self.blocks(rows)).sum(axis=1)
        return result

    def dual(self, rows: Array) -> Array:
        """Return the largest singular value of each block."""
        result: Array = _singular(self.blocks(rows)).max(axis=1, initial=0.0)
        return result

    def prox(self, rows: Array, step: float) -> Array:
        """Shrink the singular values by ``step``."""
        return self._changed(rows, lambda size: np.maximum(size - step, 0.0))

    def project(self, rows: Array, radius: float) -> Array:
        """Clip the singular values to ``radius``."""
        return self._changed(rows, lambda size: np.minimum(size, radius))

    def _changed(self, rows: Array, change: Callable[[Array], Array]) -> Array:
        left, size, right = np.linalg.svd(self.blocks(rows), full_matrices=False)
        blocks = (left * change(size)[:, None, :]) @ right
        result: Array = blocks.transpose(1, 0, 2).reshape(rows.shape)
        return result

    def cvxpy(self, columns: cp.Expression) -> cp.Expression:
        """Return the sum of ``normNuc`` over the blocks."""
        import cvxpy as cp

        m = columns.shape[1] // self.outputs
        return cp.sum([cp.normNuc(columns[:, p::m]) for p in range(m)])


NORMS: dict[str, VectorNorm] = {norm.name: norm for norm in (L2(), L1(), Linf())}
DUAL: dict[str, VectorNorm] = {"l2": L2(), "l1": Linf(), "linf": L1()}  # by the name of the other

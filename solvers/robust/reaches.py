"""How far neurons reach from examples, as an interior-point method sees it: in balls, or in boxes.

Beside its weights v a neuron has unknowns t: in balls one, ``t >= radius ||v||_*``, which every
example sees as it is; in boxes one a column, ``t_j >= |v_j|``, of which an example sees ``s't``, s
half the sides of its box.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from convexnn.contract.arrays import Array
from convexnn.robust.forms import RobustForm
from convexnn.solvers.robust.epigraphs import AGAINST, Epigraph, Euclidean, Largest, Summed


class Reaches(ABC):
    """Reaches of all neurons, and what the slopes of examples reach.

    Attributes
    ----------
    count : int
        Unknowns of each neuron, e.
    moved : int array of shape (k,)
        The columns that the adversary may change.
    cone : Epigraph
        Of the neurons.
    spread : Epigraph
        Of the examples' slopes, as `seen` by it.
    """

    count: int
    moved: NDArray[np.intp]
    cone: Epigraph
    spread: Epigraph

    @abstractmethod
    def begin(self, level: float, held: Array, least: float, total: Array) -> Array:
        """Set the cones at zero weights, products at `level`; return the reaches, (m, e).

        `held` are the multipliers of the slacks, (n, m), of which a neuron's pull is `least` at
        least; `total` those of the examples.
        """

    @abstractmethod
    def at(self, t: Array, rows: NDArray[np.intp]) -> Array:
        """Return reaches, (b, e), as some examples see them: (b,), or (rows, b)."""

    @abstractmethod
    def gathered(self, y: Array, rows: NDArray[np.intp]) -> Array:
        """Return what multipliers, (rows, b), pull at the reaches: (b, e)."""

    @abstractmethod
    def spread_over(self, y: Array, rows: NDArray[np.intp]) -> Array:
        """Return multiples of what examples see, (rows, b), by reach: (rows, b, e)."""

    @abstractmethod
    def beside(self, y: Array, rows: NDArray[np.intp]) -> Array:
        """Return the sums of y, (rows, b), times an example and its reaches, (b, d, e)."""

    @abstractmethod
    def squared(self, y: Array, rows: NDArray[np.intp]) -> Array:
        """Return the sums of y, (rows, b), times products of reaches, (b, e, e)."""

    @abstractmethod
    def seen(self, slopes: Array, rows: NDArray[np.intp]) -> Array:
        """Return slopes in the moved columns, (rows, k), in the units of the spread's cone."""

    @abstractmethod
    def weighed(self, matrices: Array) -> Array:
        """Return the upper entries of matrices in those units, (n, k, k), as of the slopes."""

    @abstractmethod
    def add(self, own: Array, matrix: Array, d: int) -> None:
        """Add the neurons' cones to their blocks, (m, d + e, d + e), `matrix` as scaled."""

    @abstractmethod
    def pull(self, target: float, second: bool) -> tuple[Array, Array]:
        """Return the right-hand sides of reaches, (m, e), and of weights in the moved columns."""

    @abstractmethod
    def turn(self, dt: Array, dV: Array) -> tuple[float, float]:
        """Find the cones' changes by those of reaches and of weights; return the room."""


class InBalls(Reaches):
    """One reach a neuron."""

    count = 1

    def __init__(self, form: RobustForm) -> None:
        self.form, self.moved = form, np.flatnonzero(form.moved & (form.radius > 0.0))

    def begin(self, level: float, held: Array, least: float, total: Array) -> Array:
        """Set the cones."""
        k, radius = len(self.moved), self.form.radius
        pulled = np.maximum(held.sum(axis=0), least)
        ball: type[Epigraph] = AGAINST[self.form.ball] if k else Euclidean  # of nothing
        r, s = level / pulled, level / total
        self.cone, self.spread = ball(r, pulled, k, radius), ball(s, total, k, radius)
        result: Array = r[:, None]
        return result

    def at(self, t: Array, rows: NDArray[np.intp]) -> Array:
        """Return the same for all examples."""
        result: Array = t[:, 0]
        return result

    def gathered(self, y: Array, rows: NDArray[np.intp]) -> Array:
        """Return the sums."""
        result: Array = np.sum(y, axis=0)[:, None]
        return result

    def spread_over(self, y: Array, rows: NDArray[np.intp]) -> Array:
        """Return them as they are."""
        return y[:, :, None]

    def beside(self, y: Array, rows: NDArray[np.intp]) -> Array:
        """Return the sums of the examples."""
        result: Array = (y.T @ self.form.X[rows])[:, :, None]
        return result

    def squared(self, y: Array, rows: NDArray[np.intp]) -> Array:
        """Return the sums."""
        result: Array = np.sum(y, axis=0)[:, None, None]
        return result

    def seen(self, slopes: Array, rows: NDArray[np.intp]) -> Array:
        """Return them as they are."""
        return slopes

    def weighed(self, matrices: Array) -> Array:
        """Return the upper entries."""
        i, j = np.triu_indices(len(self.moved))
        result: Array = matrices[:, i, j]
        return result

    def add(self, own: Array, matrix: Array, d: int) -> None:
        """Add the neurons' cones."""
        moved, cone = self.moved, self.cone
        touched = matrix + (cone.cross[:, :, None] * (cone.cross / cone.head[:, None])[:, None, :])
        own[np.ix_(np.arange(len(own)), moved, moved)] += touched
        own[:, moved, d] += cone.cross
        own[:, d, moved] += cone.cross
        own[:, d, d] += cone.head

    def pull(self, target: float, second: bool) -> tuple[Array, Array]:
        """Return the right-hand sides."""
        head, side = self.cone.pull(target, second)
        return head[:, None], side

    def turn(self, dt: Array, dV: Array) -> tuple[float, float]:
        """Find the cones' changes."""
        return self.cone.turn(dt[:, 0], dV)


class InBoxes(Reaches):
    """A reach of each neuron in each column that moves."""

    def __init__(self, form: RobustForm) -> None:
        assert form.widths is not None
        self.moved = np.flatnonzero(form.moved)
        self.count = len(self.moved)
        self.X, self.widths = form.X, np.ascontiguousarray(form.widths[:, self.moved])

    def begin(self, level: float, held: Array, least: float, total: Array) -> Array:
        """Set the cones."""
        pulled = np.maximum(held.T @ self.widths, least / self.count)
        t, s = level / pulled, level / total
        self.cone = Largest(t.ravel(), pulled.ravel(), 1, 1.0)
        self.spread = Summed(s, total, self.count, 1.0)
        return t

    def at(self, t: Array, rows: NDArray[np.intp]) -> Array:
        """Return each example's own."""
        own: Array = self.widths[rows] @ t.T
        return own

    def gathered(self, y: Array, rows: NDArray[np.intp]) -> Array:
        """Return the sums by the sides."""
        result: Array = y.T @ self.widths[rows]
        return result

    def spread_over(self, y: Array, rows: NDArray[np.intp]) -> Array:
        """Return them times the sides."""
        result: Array = y[:, :, None] * self.widths[rows][:, None, :]
        return result

    def beside(self, y: Array, rows: NDArray[np.intp]) -> Array:
        """Return the sums of products with the sides."""
        X, s = self.X[rows], self.widths[rows]
        products = (X[:, :, None] * s[:, None, :]).reshape(len(X), -1)
        result: Array = (y.T @ products).reshape(-1, X.shape[1], self.count)
        return result

    def squared(self, y: Array, rows: NDArray[np.intp]) -> Array:
        """Return the sums of the sides' products."""
        s = self.widths[rows]
        products = (s[:, :, None] * s[:, None, :]).reshape(len(s), -1)
        result: Array = (y.T @ products).reshape(-1, self.count, self.count)
        return result

    def seen(self, slopes: Array, rows: NDArray[np.intp]) -> Array:
        """Return them in the units of the sides."""
        return slopes * self.widths[rows]

    def weighed(self, matrices: Array) -> Array:
        """Return the upper entries, by the sides."""
        i, j = np.triu_indices(self.count)
        result: Array = matrices[:, i, j] * self.widths[:, i] * self.widths[:, j]
        return result

    def add(self, own: Array, matrix: Array, d: int) -> None:
        """Add the neurons' cones."""
        m, e = len(own), self.count
        cone, moved, place = self.cone, self.moved, d + np.arange(e)
        head, cross = cone.head.reshape(m, e), cone.cross.reshape(m, e)
        own[:, moved, moved] += matrix.reshape(m, e) + cross**2 / head
        own[:, moved, place] += cross
        own[:, place, moved] += cross
        own[:, place, place] += head

    def pull(self, target: float, second: bool) -> tuple[Array, Array]:
        """Return the right-hand sides."""
        head, side = self.cone.pull(target, second)
        return head.reshape(-1, self.count), side.reshape(-1, self.count)

    def turn(self, dt: Array, dV: Array) -> tuple[float, float]:
        """Find the cones' changes."""
        return self.cone.turn(dt.ravel(), dV.reshape(-1, 1))


def reaches(form: RobustForm) -> Reaches:
    """Return those of a program."""
    return InBalls(form) if form.widths is None else InBoxes(form)

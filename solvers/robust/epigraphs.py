"""Epigraphs ``s_i >= radius ||x_i||`` of many rows in an interior-point method.

Each class keeps the slacks and multipliers of its own constraints and eliminates what it has
beyond ``(s, x)``. The engine around it sees a quadratic model: at each point a symmetric matrix in
``(s, x)`` for each row (Nesterov-Todd scaling), right-hand sides for it, and the changes that
follow from one of ``(s, x)``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.solvers.scaling import Pair, Scaling, product, quotient, room


def reach(at: Array, move: Array) -> float:
    """Return how far, in steps of `move`, all entries stay positive.

    Examples
    --------
    >>> reach(np.array([1.0, 2.0]), np.array([-2.0, 1.0]))
    0.5
    """
    lowest = float((move / at).min(initial=0.0))
    return -1.0 / lowest if lowest < 0.0 else np.inf


class Epigraph(ABC):
    """Rows with their slacks and multipliers, at ``x = 0`` to begin with.

    Parameters
    ----------
    s, head : array of shape (c,)
        Positive; ``head`` is what the multipliers pull at each s.
    d : int
        Columns of x.
    radius : float

    Attributes
    ----------
    count : int
        Of complementary products.
    head : array of shape (c,)
    cross : array of shape (c, d)
        Entries of the matrix: of s, and of s with x.
    """

    count: int
    head: Array
    cross: Array

    @abstractmethod
    def __init__(self, s: Array, head: Array, d: int, radius: float) -> None: ...

    @abstractmethod
    def products(self) -> float:
        """Return the sum of the complementary products."""

    @abstractmethod
    def slopes(self) -> Array:
        """Return what the multipliers pull at x, (c, d)."""

    @abstractmethod
    def scale(self) -> Array:
        """Set ``head`` and ``cross`` at this point; return the matrix of x without s, (c, d, d)."""

    @abstractmethod
    def pull(self, target: float, second: bool) -> tuple[Array, Array]:
        """Return the right-hand sides of s and x for products of `target`.

        With `second`, the products of the changes that `turn` found last are taken off.
        """

    @abstractmethod
    def turn(self, ds: Array, dx: Array) -> tuple[float, float]:
        """Find the changes of slacks and multipliers; return how far they can go."""

    @abstractmethod
    def go(self, step: float, dual: float) -> None:
        """Take that share of the changes."""


class Euclidean(Epigraph):
    """Of the l2 norm: one second-order cone a row."""

    def __init__(self, s: Array, head: Array, d: int, radius: float) -> None:
        self.radius, self.count = radius, len(s)
        self.slack = Pair(s.copy(), np.zeros((len(s), d)))
        self.dual = Pair(head.copy(), np.zeros((len(s), d)))
        self.dslack = self.ddual = self.slack

    def products(self) -> float:
        """Return the sum of the complementary products."""
        s, y = self.slack, self.dual
        return float(s.head @ y.head + np.vdot(s.tail, y.tail))

    def slopes(self) -> Array:
        """Return what the multipliers pull at x."""
        result: Array = self.radius * self.dual.tail
        return result

    def scale(self) -> Array:
        """Set ``head`` and ``cross``; return the matrix of x without s."""
        W = self.W = Scaling(self.slack, self.dual)
        self.scaled = W.times(self.dual)
        shrink = np.square(self.radius / W.eta)
        spread = 2.0 * np.square(W.w0) - 1.0
        self.head = spread / np.square(W.eta)
        self.cross = (-2.0 * self.radius * W.w0 / np.square(W.eta))[:, None] * W.w1
        unit = W.unit * np.sqrt(shrink)[:, None]
        # I - 2 w1 w1' / spread, its smallest eigenvalue 1 / spread
        matrix = -(1.0 - 1.0 / spread)[:, None, None] * unit[:, :, None] * unit[:, None, :]
        diagonal = np.arange(unit.shape[1])
        matrix[:, diagonal, diagonal] += shrink[:, None]
        result: Array = matrix
        return result

    def pull(self, target: float, second: bool) -> tuple[Array, Array]:
        """Return the right-hand sides of s and x for products of `target`."""
        zero = np.zeros_like(self.slack.tail)
        wanted = Pair(np.full(len(zero), target), zero)
        if second:
            more = product(self.W.divide(self.dslack), self.W.times(self.ddual))
            wanted = Pair(target - more.head, -more.tail)
        self.right = quotient(self.scaled, wanted)
        back = self.W.divide(self.right)
        return back.head, self.radius * back.tail

    def turn(self, ds: Array, dx: Array) -> tuple[float, float]:
        """Find the changes of slacks and multipliers; return how far they can go."""
        self.dslack = Pair(ds, self.radius * dx)
        scaled = self.W.divide(self.dslack)
        right = self.right
        change = self.W.divide(Pair(right.head - scaled.head, right.tail - scaled.tail))
        self.ddual = Pair(change.head - self.dual.head, change.tail - self.dual.tail)
        return room(self.slack, self.dslack), room(self.dual, self.ddual)

    def go(self, step: float, dual: float) -> None:
        """Take that share of the changes."""
        self.slack = _moved(self.slack, self.dslack, step)
        self.dual = _moved(self.dual, self.ddual, dual)


def _moved(at: Pair, move: Pair, step: float) -> Pair:
    return Pair(at.head + step * move.head, at.tail + step * move.tail)


class Largest(Epigraph):
    """Of the linf norm: ``s - radius x_j >= 0`` and ``s + radius x_j >= 0``."""

    def __init__(self, s: Array, head: Array, d: int, radius: float) -> None:
        self.radius, self.count = radius, 2 * d * len(s)
        self.slack = np.repeat(s[None, :, None], 2, axis=0) * np.ones(d)
        self.dual = np.repeat(head[None, :, None], 2, axis=0) * np.ones(d) / (2 * d)
        self.dslack = self.ddual = self.slack

    def products(self) -> float:
        """Return the sum of the complementary products."""
        return float(np.vdot(self.slack, self.dual))

    def slopes(self) -> Array:
        """Return what the multipliers pull at x."""
        result: Array = self.radius * (self.dual[1] - self.dual[0])
        return result

    def scale(self) -> Array:
        """Set ``head`` and ``cross``; return the matrix of x without s."""
        self.weight = self.dual / self.slack
        both = self.weight[0] + self.weight[1]
        self.head = np.sum(both, axis=1)
        self.cross = self.radius * (self.weight[1] - self.weight[0])
        matrix = -self.cross[:, :, None] * (self.cross / self.head[:, None])[:, None, :]
        diagonal = np.arange(both.shape[1])
        # both_j - cross_j^2 / head without the difference of near equal numbers
        rest = both @ (1.0 - np.eye(both.shape[1]))
        own = both * rest + 4.0 * self.weight[0] * self.weight[1]
        matrix[:, diagonal, diagonal] = self.radius**2 * own / self.head[:, None]
        return matrix

    def pull(self, target: float, second: bool) -> tuple[Array, Array]:
        """Return the right-hand sides of s and x for products of `target`."""
        wanted = target - self.dslack * self.ddual if second else target
        self.right = wanted / self.slack
        side = self.radius * (self.right[1] - self.right[0])
        return np.sum(self.right[0] + self.right[1], axis=1), side

    def turn(self, ds: Array, dx: Array) -> tuple[float, float]:
        """Find the changes of slacks and multipliers; return how far they can go."""
        self.dslack = ds[None, :, None] + self.radius * np.stack([-dx, dx])
        self.ddual = self.right - self.dual - self.weight * self.dslack
        return reach(self.slack, self.dslack), reach(self.dual, self.ddual)

    def go(self, step: float, dual: float) -> None:
        """Take that share of the changes."""
        self.slack = self.slack + step * self.dslack
        self.dual = self.dual + dual * self.ddual


class Summed(Epigraph):
    """Of the l1 norm: ``a_j - x_j >= 0``, ``a_j + x_j >= 0`` and ``s - radius sum_j a_j >= 0``."""

    def __init__(self, s: Array, head: Array, d: int, radius: float) -> None:
        self.radius, self.count = radius, (2 * d + 1) * len(s)
        a = 0.5 * s / (d * max(radius, 1e-3))
        self.slack = np.repeat(a[None, :, None], 2, axis=0) * np.ones(d)
        self.dual = np.repeat(radius * head[None, :, None], 2, axis=0) * np.full(d, 0.5)
        self.rest, self.top = s - radius * d * a, head.copy()
        self.dslack = self.ddual = self.slack
        self.drest = self.dtop = self.rest

    def products(self) -> float:
        """Return the sum of the complementary products."""
        return float(np.vdot(self.slack, self.dual) + self.rest @ self.top)

    def slopes(self) -> Array:
        """Return what the multipliers pull at x."""
        result: Array = self.dual[1] - self.dual[0]
        return result

    def scale(self) -> Array:
        """Set ``head`` and ``cross``; return the matrix of x without s."""
        low, up = self.weight = self.dual / self.slack
        self.both = low + up
        self.share = (up - low) / self.both
        self.heavy = self.top / self.rest
        give = 1.0 / self.heavy + self.radius**2 * (1.0 / self.both).sum(axis=1)
        self.head = 1.0 / give
        self.cross = (self.radius * self.head)[:, None] * self.share
        c, d = low.shape
        matrix = np.zeros((c, d, d))
        matrix[:, np.arange(d), np.arange(d)] = 4.0 * low * up / self.both
        return matrix

    def pull(self, target: float, second: bool) -> tuple[Array, Array]:
        """Return the right-hand sides of s and x for products of `target`."""
        wanted = target - self.dslack * self.ddual if second else target
        above = target - self.drest * self.dtop if second else target
        self.right, self.above = wanted / self.slack, above / self.rest
        inner = self.right[0] + self.right[1] - (self.radius * self.above)[:, None]
        self.free = inner / self.both
        lack = self.radius * self.head * self.free.sum(axis=1)
        side = self.right[1] - self.right[0] - self.share * inner
        return self.above + lack, side + (self.radius * lack)[:, None] * self.share

    def turn(self, ds: Array, dx: Array) -> tuple[float, float]:
        """Find the changes of slacks and multipliers; return how far they can go."""
        along = np.vecdot(self.share, dx) - self.free.sum(axis=1)
        force = self.head * (ds + self.radius * along)
        da = self.free - self.share * dx + (self.radius * force)[:, None] / self.both
        self.dslack, self.drest = np.stack([da - dx, da + dx]), force / self.heavy
        self.ddual = self.right - self.dual - self.weight * self.dslack
        self.dtop = self.above - self.top - force
        return (
            min(reach(self.slack, self.dslack), reach(self.rest, self.drest)),
            min(reach(self.dual, self.ddual), reach(self.top, self.dtop)),
        )

    def go(self, step: float, dual: float) -> None:
        """Take that share of the changes."""
        self.slack = self.slack + step * self.dslack
        self.dual = self.dual + dual * self.ddual
        self.rest = self.rest + step * self.drest
        self.top = self.top + dual * self.dtop


AGAINST: dict[str, type[Epigraph]] = {"linf": Summed, "l2": Euclidean, "l1": Largest}

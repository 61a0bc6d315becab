"""Nesterov-Todd scaling of many second-order cones of one dimension, and their Jordan algebra.

A point of the cone ``{(t, v) : ||v|| <= t}`` is a pair of arrays ``(t, v)``, ``v`` with one more
axis. The scaling ``W`` of a primal point ``s`` and a dual point ``y`` is the symmetric automorphism
of the cone with ``W y = W^-1 s`` (Nesterov & Todd 1997; formulas as in
Vandenberghe 2010, "The CVXOPT linear and quadratic cone program solvers", section 4.2).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from convexnn.contract.arrays import Array

TINY = 1e-300


class Pair(NamedTuple):
    """Points of second-order cones, or of their space: heads (...), tails (..., k)."""

    head: Array
    tail: Array


class Scaling:
    """``W = eta (w0, w1'; w1, I + w1 w1' / (1 + w0))`` with ``w0^2 - ||w1||^2 = 1``.

    Parameters
    ----------
    primal, dual : Pair
        Interior points.

    Examples
    --------
    >>> s, y = Pair(np.array([2.0]), np.array([[1.0]])), Pair(np.array([3.0]), np.array([[1.0]]))
    >>> W = Scaling(s, y)
    >>> np.allclose(W.times(y).head, W.divide(s).head)
    True
    """

    def __init__(self, primal: Pair, dual: Pair) -> None:
        size_s, size_y = _root(primal), _root(dual)
        head_s, head_y = primal.head / size_s, dual.head / size_y
        tail_s, tail_y = primal.tail / size_s[..., None], dual.tail / size_y[..., None]
        gamma = np.sqrt(0.5 * (1.0 + head_s * head_y + dots(tail_s, tail_y)))
        self.w1 = (tail_s - tail_y) / (2.0 * gamma)[..., None]
        length = np.sqrt(dots(self.w1, self.w1))
        self.w0 = np.sqrt(1.0 + np.square(length))
        self.eta = np.sqrt(size_s / size_y)
        self.unit = self.w1 / np.where(length > 0.0, length, 1.0)[..., None]
        self.spread = np.sqrt(2.0 * np.square(self.w0) - 1.0)

    def times(self, v: Pair) -> Pair:
        """Return ``W v``."""
        inner = dots(self.w1, v.tail)
        along = v.head + inner / (1.0 + self.w0)
        head = self.eta * (self.w0 * v.head + inner)
        return Pair(head, self.eta[..., None] * (v.tail + along[..., None] * self.w1))

    def divide(self, v: Pair) -> Pair:
        """Return ``W^-1 v``."""
        inner = dots(self.w1, v.tail)
        along = inner / (1.0 + self.w0) - v.head
        head = (self.w0 * v.head - inner) / self.eta
        return Pair(head, (v.tail + along[..., None] * self.w1) / self.eta[..., None])

    def root(self, tail: Array) -> Array:
        """Return ``H^(-1/2) v``, H the Schur complement of the head of ``W^-2`` in its tail."""
        along = (self.spread - 1.0) * dots(self.unit, tail)
        result: Array = self.eta[..., None] * (tail + along[..., None] * self.unit)
        return result

    def bent(self, tail: Array) -> Array:
        """Return ``H v``, H as in `root`."""
        along = (1.0 - 1.0 / np.square(self.spread)) * dots(self.unit, tail)
        result: Array = (tail - along[..., None] * self.unit) / np.square(self.eta)[..., None]
        return result

    def largest(self) -> Array:
        """Return the largest eigenvalue of ``H^-1``."""
        result: Array = np.square(self.eta * self.spread)
        return result

    def eliminate_head(self, v: Pair) -> Array:
        """Return the right-hand side that is left for the tail once the head is eliminated."""
        share = 2.0 * self.w0 / np.square(self.spread) * v.head
        result: Array = v.tail + share[..., None] * self.w1
        return result

    def head(self, rest: Array, tail: Array) -> Array:
        """Return the head ``x0`` with ``(W^-2 (x0, tail))_0 = rest``."""
        inner = dots(self.w1, tail)
        result: Array = (rest * np.square(self.eta) + 2.0 * self.w0 * inner) / self.spread**2
        return result


def product(a: Pair, b: Pair) -> Pair:
    """Return the Jordan product ``a o b``."""
    head = a.head * b.head + dots(a.tail, b.tail)
    return Pair(head, a.head[..., None] * b.tail + b.head[..., None] * a.tail)


def quotient(a: Pair, b: Pair) -> Pair:
    """Return the x with ``a o x = b``, a in the interior of the cone.

    Examples
    --------
    >>> a = Pair(np.array([2.0]), np.array([[1.0]]))
    >>> quotient(a, product(a, a)).head
    array([2.])
    """
    size = np.square(_root(a))
    head = (a.head * b.head - dots(a.tail, b.tail)) / size
    return Pair(head, (b.tail - head[..., None] * a.tail) / a.head[..., None])


def room(at: Pair, move: Pair) -> float:
    """Return how far, in steps of `move`, the point stays in every cone.

    Examples
    --------
    >>> room(Pair(np.array([2.0]), np.array([[0.0]])), Pair(np.array([0.0]), np.array([[1.0]])))
    2.0
    """
    a = np.square(move.head) - dots(move.tail, move.tail)
    b = at.head * move.head - dots(at.tail, move.tail)
    c = np.square(_root(at))
    q = np.sqrt(np.maximum(b * b - a * c, 0.0))
    q = np.where(b > 0.0, -(b + q), q - b)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ends = np.concatenate((q / a, c / q, -at.head / move.head), axis=None)
    return float(ends[ends > 0.0].min(initial=np.inf))


def room_above(at: Array, move: Array) -> float:
    """Return how far, in steps of `move`, all entries stay positive.

    Examples
    --------
    >>> room_above(np.array([2.0, 3.0]), np.array([-1.0, 1.0]))
    2.0
    """
    down = move < 0.0
    with np.errstate(over="ignore"):
        return float(np.min(-at[down] / move[down], initial=np.inf))


def dots(a: Array, b: Array) -> Array:
    """Return the inner products along the last axis.

    Examples
    --------
    >>> dots(np.ones((1, 2)), np.ones((1, 2)))
    array([2.])
    """
    result: Array = np.vecdot(a, b)
    return result


def _root(v: Pair) -> Array:
    """Return ``sqrt(head^2 - ||tail||^2)``."""
    length = np.sqrt(dots(v.tail, v.tail))
    root: Array = np.sqrt(np.maximum((v.head - length) * (v.head + length), TINY))
    return root

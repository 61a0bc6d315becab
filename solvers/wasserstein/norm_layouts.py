"""Norms as constraints of the interior point: ``||b|| <= lam`` for the first d variables.

A norm becomes a second-order cone (l2) or linear inequalities (l1, linf), whose multipliers hold
the direction in which ``b`` is pushed. A further norm is a class here and a line of `NORMS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from convexnn.contract.arrays import Array
from convexnn.functions.norms import L1, L2, Linf, VectorNorm
from convexnn.solvers.wasserstein.interior import PiecewiseInterior

DENSE = 40_000  # entries up to which a dense matrix of inequalities is the faster one

Rows = list[tuple[dict[int, float], float]]  # left sides by variable, right sides
Cones = list[tuple[Array, Array]]


class NormLayout(ABC):
    """How a norm bounds the first d variables.

    Attributes
    ----------
    euclidean : bool
        Whether the norm is that of a second-order cone itself.
    """

    euclidean: ClassVar[bool] = False

    def more(self, d: int) -> int:
        """Return how many variables the norm adds, the last ones."""
        return 0

    @abstractmethod
    def bound(self, d: int, lam: int, rows: Rows, cones: Cones, start: Array) -> None:
        """Append ``||b|| <= lam``, strict at the start; lam is the index of a variable."""

    def direction(self, core: PiecewiseInterior, d: int) -> Array:
        """Return the multiplier of ``b = b'``, ``||b'|| <= lam``; the norm's rows come first."""
        rows: Array = core.y[: 2 * d]
        return rows[0::2] - rows[1::2]

    def near(self, b: Array, length: float, lam: float, start: Array) -> None:
        """Move the start to ``b``, of that length, inside lam."""
        start[: len(b)] = b


class Cone(NormLayout):
    """The l2 norm: a second-order cone."""

    euclidean: ClassVar[bool] = True

    def bound(self, d: int, lam: int, rows: Rows, cones: Cones, start: Array) -> None:
        """Append the cone."""
        M = np.zeros((d + 1, len(start)))
        M[0, lam] = 1.0
        M[np.arange(1, d + 1), np.arange(d)] = 1.0
        cones.append((M, np.zeros(d + 1)))

    def direction(self, core: PiecewiseInterior, d: int) -> Array:
        """Return the tail of the cone's multiplier; the norm's cone comes first."""
        tail: Array = core.duals[0].tail[0]
        return -tail


class Box(NormLayout):
    """The linf norm: two rows an entry."""

    def bound(self, d: int, lam: int, rows: Rows, cones: Cones, start: Array) -> None:
        """Append ``-lam <= b <= lam``."""
        for j in range(d):
            rows.append(({j: 1.0, lam: -1.0}, 0.0))
            rows.append(({j: -1.0, lam: -1.0}, 0.0))


class Sum(NormLayout):
    """The l1 norm: a size of each entry, and their sum."""

    def more(self, d: int) -> int:
        """Return d: the sizes."""
        return d

    def bound(self, d: int, lam: int, rows: Rows, cones: Cones, start: Array) -> None:
        """Append ``-size <= b <= size`` and ``sum(size) <= lam``."""
        first = len(start) - d
        for j in range(d):
            rows.append(({j: 1.0, first + j: -1.0}, 0.0))
            rows.append(({j: -1.0, first + j: -1.0}, 0.0))
        rows.append(({lam: -1.0} | {first + j: 1.0 for j in range(d)}, 0.0))
        start[first:] = 0.5 * start[lam] / d

    def near(self, b: Array, length: float, lam: float, start: Array) -> None:
        """Move the start to ``b``, and share out what is left of lam."""
        d = len(b)
        start[:d] = b
        start[-d:] = np.abs(b) + 0.5 * (lam - length) / d


NORMS: dict[type[VectorNorm], NormLayout] = {L2: Cone(), L1: Sum(), Linf: Box()}


def bound_square(tail: list[int], lam: int, v: int, cones: Cones, D: int) -> None:
    """Append ``||tail||_2^2 <= 4 lam v``, each an index of a variable.

    The multiplier is ``lam / eps`` and the lift ``eps v``, so that both stay moderate.
    """
    M = np.zeros((len(tail) + 2, D))  # (lam + v)^2 - (lam - v)^2 = 4 lam v
    M[0, lam] = M[0, v] = 1.0
    M[np.arange(1, len(tail) + 1), tail] = 1.0
    M[-1, lam], M[-1, v] = 1.0, -1.0
    cones.append((M, np.zeros(len(M))))


def matrix(rows: Rows, D: int) -> tuple[Any, Array]:
    """Return ``G w <= h`` of rows given entry by entry."""
    at = [i for i, (row, _) in enumerate(rows) for _ in row]
    column = [j for row, _ in rows for j in row]
    value = [v for row, _ in rows for v in row.values()]
    G: Any = sparse.csr_array((value, (at, column)), shape=(len(rows), D))
    if len(rows) * D <= DENSE:
        G = G.toarray()
    return G, np.array([right for _, right in rows], dtype=np.float64)

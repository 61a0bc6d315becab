"""Lines of examples with small multipliers in the lifted relaxation, each bounded on its own.

Where the loss is that of classes, most examples are far on their side and their multipliers next to
nothing. With those multipliers fixed, a line's share ``c_p p + c_q q`` of what a neuron is worth
needs no products with other lines: for any ``L, L' >= 0`` and ``w > 0``, as ``p q = 0``,

    c_p p + c_q q  <=  a p - w p q - (c_q + L') t  <=  (a + w t)^2 / 4 w - (c_q + L') t,

where ``a = c_p + c_q + L + L'`` and ``t = x'u = p - q``. That is a form in (1, u) alone, so that
the line takes no part in the matrices of the interior point. Its multipliers follow the moments of
u: w is best at ``a^2 / w^2 = E t^2``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from convexnn.contract.arrays import Array, IntArray
from convexnn.relu.lift import LiftedCell

LEAST = 1e-6  # w, as a share of beta: rounding hides less


class Slopes(NamedTuple):
    """The multipliers of the lines: L of p, L' of q, w."""

    p: Array
    q: Array
    w: Array


class Rest:
    """The lines that are bounded on their own, and those that are not.

    Parameters
    ----------
    unit : array of shape (m, d)
        All lines.
    c : array of shape (2 m,)
        Weights of p and q, as multiples of beta.
    inner : int array of shape (k,)
        The lines that are not.
    """

    def __init__(self, unit: Array, c: Array, inner: IntArray) -> None:
        self.m, self.inner = len(unit), inner
        self.outer = np.setdiff1d(np.arange(self.m), inner)
        self.unit = unit[self.outer]
        self.p, self.q = c[self.outer], c[self.m + self.outer]

    def slopes(self, sign: float, moments: Array | None = None) -> Slopes:
        """Return multipliers for neurons of one sign, by the moments of (1, u)."""
        mean, size = np.zeros(len(self.unit)), np.full(len(self.unit), self.unit.shape[1] ** -0.5)
        if moments is not None:
            mean = self.unit @ moments[1:, 0]
            square = np.einsum("ij,ij->i", self.unit @ moments[1:, 1:], self.unit)
            size = np.sqrt(np.maximum(square, 1e-6))
        a = sign * (self.p + self.q)
        lost, ahead = np.maximum(-a, 0.0), 0.5 + 0.5 * np.clip(mean / size, -1.0, 1.0)
        w = np.maximum(np.maximum(a, 0.0) / size, LEAST)
        return Slopes((1.0 - ahead) * lost, ahead * lost, w)

    def form(self, sign: float, of: Slopes) -> Array:
        """Return the bound of all lines as a matrix over (1, u)."""
        a = np.maximum(sign * (self.p + self.q) + of.p + of.q, 0.0)
        along = self.unit.T @ (0.25 * a - 0.5 * (sign * self.q + of.q))
        form = np.empty((1 + len(along), 1 + len(along)))
        form[0, 0] = 0.25 * np.sum(np.square(a) / of.w)
        form[0, 1:] = form[1:, 0] = along
        form[1:, 1:] = 0.25 * (self.unit.T * of.w) @ self.unit
        return form

    def whole(self, cell: LiftedCell, of: Slopes, beta: float) -> LiftedCell:
        """Return multipliers of all lines, from those of the inner ones and of these."""
        m, k = self.m, len(self.inner)
        place = np.concatenate([[0], *(1 + j * m + self.inner for j in range(4))])
        none, outer = np.zeros(2 * len(self.outer), np.int64), 1 + self.outer
        equal = np.empty(m)
        equal[self.inner], equal[self.outer] = cell.equal[:k], -beta * of.w
        return LiftedCell(
            np.concatenate([place[cell.first], none]).astype(np.int32),
            np.concatenate([place[cell.second], outer, m + outer]).astype(np.int32),
            np.concatenate([cell.weight, beta * of.p, beta * of.q]),
            equal,
            cell.share,
        )

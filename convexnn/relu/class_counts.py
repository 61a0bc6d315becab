"""Class probabilities beside free constants: each class has as much in all as the targets give it.

A constant in each output costs nothing, so that the multipliers ``mu = w (y - p)`` of a loss over
probabilities p sum to 0 over the examples. With ``P = w p`` that is a table of given sums:

    sum_c P_ic = w_i,     sum_i P_ic = n_c = sum_i w_i y_ic,     P >= 0.

No table of floats has these sums, but near one that almost has them lies one that does: what its
rows and columns lack, ``rho`` and ``r`` with the same total T, is made up for by

    rho_i q_c + r_c v_i - T v_i q_c,     q = n / W,  v = w / W,  W = sum w.

That leaves every entry >= 0 where the table is mixed with a little of ``w q'``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convexnn.functions.null_space import UNIT, Near, exact_sums

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array

TURNS = 200  # of changing the columns' factors, at most
DAMPED = (1.0, 0.3, 0.1)  # shares of Newton's step that are tried
SETTLED = 1e-15  # of what columns lack in all, relative to the whole
MIXED = 12  # times that more is mixed in, at most
LARGER = 1.0 + 1e-12  # for the rounding of what is added


class Counts:
    """The tables with the sums of the targets.

    Parameters
    ----------
    y : array of shape (n, k)
        A one in each row, else zeros.
    weights : array of shape (n,) or None

    Examples
    --------
    >>> counts = Counts(np.eye(2)[[0, 1, 1]], None)
    >>> found = counts.near(counts.even(np.array([[0.9, -0.9], [-0.2, 0.2], [-0.6, 0.6]])))
    >>> bool(np.abs(found.point.sum(axis=0)).max() < 1e-14), bool(found.spread.max() < 1e-14)
    (True, True)
    """

    def __init__(self, y: Array, weights: Array | None) -> None:
        self.weights = np.ones(len(y)) if weights is None else weights
        self.target = self.weights[:, None] * y
        self.counts = self.target.sum(axis=0)
        self.share = self.counts / self.counts.sum()
        self.mass = self.weights / self.counts.sum()

    def even(self, mu: Array) -> Array:
        """Return multipliers near `mu` that sum to 0 but for rounding.

        Rows and columns are scaled as the best constants do (Sinkhorn 1967): the logarithms of
        the columns' factors by Newton's method, or in turn where its steps bring nothing.
        """
        table = np.where(self.counts > 0.0, np.maximum(self.target - mu, 0.0), 0.0)
        level, total = np.zeros(len(self.counts)), float(self.counts.sum())
        scaled, found = self._scaled(table, level)
        for _ in range(TURNS):
            off = float(np.abs(self.counts - found).sum())
            if off <= SETTLED * total:
                break
            newton = self._newton(scaled, found)
            for step in (*(share * newton for share in DAMPED), self._in_turn(found)):
                nearer = self._scaled(table, level + step)
                if np.abs(self.counts - nearer[1]).sum() < off:
                    break
            else:
                break
            level, (scaled, found) = level + step, nearer
        result: Array = self.target - scaled
        return result

    def _scaled(self, table: Array, level: Array) -> tuple[Array, Array]:
        """Return the table with these factors of its columns and the rows' own, and its columns."""
        scaled = table * np.exp(level - level.max())
        rows = scaled.sum(axis=1)
        scaled /= np.where(rows > 0.0, rows, 1.0)[:, None]  # first: their sums may be denormal
        scaled *= self.weights[:, None]
        return scaled, scaled.sum(axis=0)

    def _newton(self, scaled: Array, found: Array) -> Array:
        """Return Newton's change of the factors' logarithms; a change of all alike is nothing."""
        whole = np.where(self.weights > 0.0, self.weights, 1.0)
        curved = np.diag(found) - scaled.T @ (scaled / whole[:, None])
        curved += np.multiply.outer(self.share, self.share) * self.counts.sum()
        step: Array = np.linalg.lstsq(curved, self.counts - found)[0]
        return step

    def _in_turn(self, found: Array) -> Array:
        """Return the change that gives each column its sum, before the rows get theirs."""
        held = (found > 0.0) & (self.counts > 0.0)
        return np.log(np.where(held, self.counts, 1.0) / np.where(held, found, 1.0))

    def near(self, mu: Array) -> Near | None:
        """Return multipliers, and how far off ones are that sum to 0; None if none are known."""
        table = np.where(self.counts > 0.0, np.maximum(self.target - mu, 0.0), 0.0)
        even = self.weights[:, None] * self.share
        held = even > 0.0
        mixed = 0.0
        for _ in range(MIXED):
            some = (1.0 - mixed) * table + mixed * even
            off = self._off(some)
            lacking = np.max((off - some)[held] / even[held])
            if lacking <= 0.0:
                rounding = 4.0 * UNIT * (self.weights[:, None] + some)
                return Near(self.target - some, off + rounding)
            mixed = max(2.0 * mixed, 4.0 * float(lacking))
            if not mixed < 1.0:
                break
        return None

    def _off(self, table: Array) -> Array:
        """Return how far from each entry that of a table with the sums may be."""
        both, signs = np.vstack([self.target, table]), np.repeat([1.0, -1.0], len(table))
        columns = _size(both, signs)
        both, signs = np.hstack([self.target, table]).T, np.repeat([1.0, -1.0], table.shape[1])
        rows = _size(np.ascontiguousarray(both), signs)
        total = min(float(np.sum(rows)), float(np.sum(columns)))
        off = np.multiply.outer(rows + total * self.mass, self.share)
        result: Array = (off + np.multiply.outer(self.mass, columns)) * LARGER
        return result


def _size(parts: Array, signs: Array) -> Array:
    """Return the sizes of sums, from above."""
    sums, error = exact_sums(parts, signs)
    size: Array = np.abs(sums[0] + sums[1]) * LARGER + error
    return size

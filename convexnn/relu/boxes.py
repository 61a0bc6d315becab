"""The largest-entry norm of many blocks, each over the cone of its pattern: prox and dual norm.

``||v||_inf <= t`` is 2 d facets more, of a cone in one dimension more,

    K+_p = {(v, s) : e_ip x_i'v >= 0,  h s + v_j >= 0,  h s - v_j >= 0},    t = h s,

on which `cones.project_blocks` projects exactly. The prox of ``tau ||.||_inf`` over ``K_p`` is
linear in t; so it is found by proximal points in t, each a projection, in which t moves freely
for a large h: two or three steps from the last t. And ``max {c'v : v in K_p, ||v||_inf <= 1}`` is
at most a level if and only if ``(c, -h level)`` projects to 0; the multipliers of the data's
facets prove it, by weak duality whatever they are.
"""

from __future__ import annotations

import numpy as np

from convexnn.contract.arrays import Array, SignArray
from convexnn.relu.cones import Facets, no_facets, project_blocks

LOOSE = 100.0  # h of the prox: a step in t leaves a share of its error of about 1 / h^2
TIGHT = 0.01  # h of the dual norm: above the level it is off by a share of d h^2 of what is above
STEPS = 8  # in t, at most
SETTLED = 1e-13  # relative change of t that ends them


class Boxes:
    """The cones of some patterns, with the largest entry as one more coordinate.

    Parameters
    ----------
    X : array of shape (n, d)
    signs : int8 array of shape (P, n)

    Examples
    --------
    >>> boxes = Boxes(np.eye(2), np.array([[1, 1]], dtype=np.int8))
    >>> boxes.prox(np.array([[3.0, -1.0]]), 1.0, boxes.start(1), np.zeros(1)).round(12)
    array([[2., 0.]])
    >>> boxes.dual(np.array([[3.0, -1.0]]), 2.5, boxes.start(1)).round(12)
    array([3.])
    """

    def __init__(self, X: Array, signs: SignArray) -> None:
        self.X, self.signs = X, signs
        d = X.shape[1]
        self.all = np.hstack([signs, np.ones((len(signs), 2 * d), np.int8)])
        self.box = np.vstack([np.eye(d), -np.eye(d)])

    def start(self, blocks: int) -> Facets:
        """Return the empty active set of so many blocks."""
        return no_facets(blocks, self.X.shape[1] + 1)

    def project(self, rows: Array, ends: Array, h: float, facets: Facets) -> tuple[Array, Array]:
        """Project each ``(row, end)``; facets are read, then updated in place."""
        n, d = self.X.shape
        wide = np.zeros((n + 2 * d, d + 1))
        wide[:n, :d], wide[n:, :d], wide[n:, d] = self.X, self.box, h
        found = project_blocks(wide, self.all, np.column_stack([rows, ends]), facets)
        return np.ascontiguousarray(found[:, :d]), found[:, d]

    def prox(self, rows: Array, tau: float, facets: Facets, t: Array) -> Array:
        """Return ``argmin_{v in K} ||v - row||^2 / 2 + tau ||v||_inf`` for each row.

        Facets and t, the largest entries of a near result, are where it starts; both are updated.
        """
        v = rows
        for _ in range(STEPS):
            v, s = self.project(rows, t / LOOSE - LOOSE * tau, LOOSE, facets)
            moved = np.max(np.abs(LOOSE * s - t), initial=0.0)
            t[...] = LOOSE * s
            if moved <= SETTLED * (float(np.max(t, initial=0.0)) + tau):
                break
        return v

    def dual(self, rows: Array, level: float, facets: Facets) -> Array:
        """Return an upper bound on ``max {row'v : v in K, ||v||_inf <= 1}`` for each row.

        At most `level` where the maximum is, up to rounding; facets are updated.
        """
        self.project(rows, np.full(len(rows), -TIGHT * level), TIGHT, facets)
        return self.proved(rows, facets)

    def proved(self, rows: Array, facets: Facets) -> Array:
        """Return ``||row + sum_i max(eta_i, 0) e_i x_i||_1`` for each row."""
        found, owner = rows.copy(), np.arange(len(rows)) % len(self.signs)
        for example, value in zip(facets.example.T, facets.value.T, strict=True):
            own = np.flatnonzero((example >= 0) & (example < len(self.X)) & (value > 0.0))
            i = example[own]
            found[own] += (value[own] * self.signs[owner[own], i])[:, None] * self.X[i]
        size: Array = np.abs(found).sum(axis=1)
        return size

"""A sum of terms under linear equations: the canonical form and its points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convexnn.contract.form import solved_by
from convexnn.functions.term_sums import Terms
from convexnn.functions.terms import ROUNDING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from convexnn.contract.arrays import Array
    from convexnn.functions.terms import Term

ROUNDED = 1e-8  # of sums of absolute values, that counts beside those from the anchors
ZERO = 1e-9  # of A'y, relative to |A|'|y|, that counts as 0 in a proof of infeasibility


class Stacked(NamedTuple):
    """Primal point: the variables of all terms, one after another.

    Attributes
    ----------
    x : array of shape (N,)
    """

    x: Array


class Multipliers(NamedTuple):
    """Dual point: prices of the equations, and a proof that they have no solution.

    Attributes
    ----------
    lam : array of shape (m,)
    ray : array of shape (m,)
        Zeros if nothing is proved. Else ``<y, A x> < <y, b>`` for every x that the terms allow;
        where they allow all, ``A'y = 0``.
    """

    lam: Array
    ray: Array


def linear_sum(terms: Iterable[Term], A: Any, b: Array) -> LinearSum:
    """Return the form, its residual at the terms' anchors in extended precision if there is any.

    Examples
    --------
    >>> from convexnn.terms import Distance
    >>> linear_sum((Distance([2.0]),), np.array([[3.0]]), np.array([1.0])).rest[0]
    array([5.])
    """
    kind, found = np.longdouble, Terms(terms)
    x = found.anchors.astype(kind)
    long, goal = A.astype(kind), b.astype(kind)
    rest = long @ x - goal
    size = abs(long) @ abs(x) + abs(goal)
    blur = (4.0 + len(x)) * np.finfo(kind).eps * size + ROUNDING * abs(rest)
    return LinearSum(found, A, b, (rest.astype(np.float64), blur.astype(np.float64)))


@solved_by("homotopy")
class LinearSum(NamedTuple):
    """Minimise ``sum_i f_i(x_i)`` subject to ``A x = b``.

    Attributes
    ----------
    terms : Terms
    A : array or scipy.sparse.csr_array of shape (m, N)
    b : array of shape (m,)
    rest : tuple of two arrays of shape (m,)
        ``A x - b`` at the terms' anchors, and by how much rounding may have it wrong.
    """

    terms: Terms
    A: Any
    b: Array
    rest: tuple[Array, Array]

    @property
    def ends(self) -> tuple[slice, ...]:
        """Return where each term's variables are."""
        return self.terms.ends

    def residual(self, x: Array) -> Array:
        """Return ``A x - b``."""
        result: Array = self.A @ x - self.b
        return result

    def violation(self, x: Array) -> float:
        """Return the largest residual, relative to the largest sum of absolute values in a row.

        Both are of rows of length 1: in which unit an equation is written says nothing. The sums
        are counted from the terms' anchors: how far off the origin all is does not excuse a
        residual, but for its rounding.
        """
        size, away = abs(self.A), np.abs(x - self.terms.anchors)
        unit = row_lengths(self.A)
        near = float(np.max((size @ away + np.abs(self.rest[0])) / unit))
        far = float(np.max((size @ np.abs(x) + np.abs(self.b)) / unit))
        return float((np.abs(self.residual(x)) / unit).max()) / (near + ROUNDED * far or 1.0)

    def bound(self, lam: Array) -> float:
        """Return the dual function, ``-<lam, b> - sum_i f_i*(-(A'lam)_i)``, at scaled prices.

        They are drawn towards 0 until every term's conjugate is finite. The conjugates are taken
        about the terms' anchors, and as large as rounding may have them.
        """
        if not np.isfinite(lam).all():
            lam = np.zeros_like(lam)
        m = len(lam)
        s, e = -(self.A.T @ lam), (4.0 + m) * ROUNDING * (abs(self.A).T @ np.abs(lam))
        scale, total = self.terms.conjugates(s, e)
        rest, blur = self.rest
        parts, size = lam * (rest / scale), np.abs(lam) / scale
        slack = float(size @ blur) + (16.0 + m) * ROUNDING * float(np.abs(parts).sum())
        worth = float(parts.sum()) - slack - total
        return worth if np.isfinite(worth) else -np.inf

    def proves(self, y: Array) -> bool:
        """Tell whether ``sup <y, A x> < <y, b>``: no x that is allowed solves the equations."""
        s = self.A.T @ y
        small = np.abs(s) <= ZERO * (abs(self.A).T @ np.abs(y))
        reach = size = 0.0
        for f, p in zip(self.terms, self.ends, strict=True):
            if small[p].all() and f.support(np.ones(f.size)) == np.inf:
                continue
            worth = f.support(s[p])
            if worth == np.inf:
                return False
            reach += worth
            size += abs(worth)
        goal = float(y @ self.b)
        return goal - reach > ZERO * (size + float(np.abs(y) @ np.abs(self.b)))


def row_lengths(A: Any) -> Array:
    """Return the Euclidean length of each row, 1 of a row of zeros.

    Examples
    --------
    >>> row_lengths(np.array([[3.0, 4.0], [0.0, 0.0]]))
    array([5., 1.])
    """
    lengths: Array = np.sqrt(np.asarray((abs(A) ** 2).sum(axis=1)).ravel())
    lengths[lengths == 0.0] = 1.0
    return lengths

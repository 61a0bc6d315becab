"""Sets of ratios: by how much an adversary may raise or lower the weight of each example.

Examples have reference probabilities ``p`` and ratios ``u >= 0`` with ``sum_i p_i u_i = 1``. Every
set is convex and holds the ratios that are all 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from convexnn.contract.arrays import Array, IndexArray

ROOTS = 60  # Newton steps for a threshold


class Divergence(NamedTuple):
    """``sum_i p_i phi(u_i) <= radius`` for a convex phi, and what a method needs of phi.

    Attributes
    ----------
    radius : float
    value, slope, bend : callable
        phi and its two derivatives, entry by entry.
    """

    radius: float
    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    bend: Callable[[Array], Array]


class Ratios(NamedTuple):
    """A set of ratios, as a sum of parts that have a mass each and, at most, one divergence.

    ``u = sum_k x_k``, or ``x`` of an example's group, with ``0 <= x_k <= caps_k`` and
    ``sum_i p_i x_ki = masses_k``.

    Attributes
    ----------
    p : array of shape (n,)
        Reference probabilities.
    caps, masses : array of shape (K,)
    groups : array of int, shape (n,), or None
        Where the ratios are constant in groups, the group of each example; then there is one part.
    divergence : Divergence or None
        Then there is one part.
    """

    p: Array
    caps: Array
    masses: Array
    groups: IndexArray | None = None
    divergence: Divergence | None = None

    def allows(self, u: Array) -> bool:
        """Tell whether ratios that sum to 1 are in the set, but for rounding."""
        p, slightly = self.p, 1.0 + 1e-12
        if self.groups is not None:
            return bool(np.all(np.abs(self._evened(u) - u) <= 1e-12 * (1.0 + u)))
        if self.divergence is not None:
            spread = float(p @ self.divergence.value(u))
            return bool(spread <= self.divergence.radius * slightly)
        if len(self.caps) == 1:
            return bool(u.max() <= self.caps[0] * slightly)
        moved = float(p @ np.maximum(u - self.caps[1], 0.0))
        return bool(moved <= self.masses[0] * slightly)

    def _evened(self, u: Array) -> Array:
        assert self.groups is not None
        mass = sums(self.groups, self.p)
        even: Array = (sums(self.groups, self.p * u) / mass)[self.groups]
        return even

    def nearest(self, u: Array) -> Array:
        """Return ratios of the set: those given, made to sum to 1 and mixed with ones.

        The share of ones is the least that serves, by bisection: the set is convex and holds 1.
        """
        u = np.maximum(np.where(np.isfinite(u), u, 0.0), 0.0)
        if self.groups is not None:
            u = self._evened(u)
        total = float(self.p @ u)
        if not 0.0 < total < np.inf:
            return np.ones_like(u)
        u = u / total
        if self.allows(u):
            return u
        low, high = 0.0, 1.0  # shares of u
        for _ in range(60):
            middle = 0.5 * (low + high)
            if self.allows(middle * u + (1.0 - middle)):
                low = middle
            else:
                high = middle
        mixed: Array = low * u + (1.0 - low)
        return mixed

    def soft(self, losses: Array, width: float) -> Array:
        """Return ``argmax_u sum_i p_i (u_i l_i - width/2 (u_i - 1)^2)``; of no divergence.

        A function of the losses that has no jumps, near the worst ratios where `width` is small.
        """
        p = self.p
        if self.groups is not None:
            mass = sums(self.groups, p)
            means = sums(self.groups, p * losses) / mass
            return _watered(means, mass, width, np.inf, 1.0)[self.groups]
        if len(self.caps) == 1:
            return _watered(losses, p, width, float(self.caps[0]), 1.0)
        more = _watered(losses - width, p, width, np.inf, float(self.masses[0]))
        fewer = _watered(-losses - width, p, width, 1.0, float(self.masses[0]))
        if np.any((more > 0.0) & (fewer > 0.0)):  # the ball holds all there is to gain
            return _watered(losses, p, width, np.inf, 1.0)
        return 1.0 + more - fewer

    def least(self, floor: Array) -> Array:
        """Return the flattest ratios above a floor, ``max(floor, level)``, which sum to 1.

        Of all ratios above the floor they have the least divergence and the least maximum. Where
        the floor itself sums to more, it is returned.
        """
        if self.groups is not None:
            groups = self.groups
            peak = np.zeros(int(groups.max()) + 1)
            np.maximum.at(peak, groups, floor)
            floor = peak[groups]
        if float(self.p @ floor) >= 1.0:
            return floor
        order = np.argsort(floor)
        low, p = floor[order], self.p[order]
        mass = np.cumsum(p)
        above = np.append(np.cumsum((p * low)[::-1])[::-1][1:], 0.0)
        level = (1.0 - above) / mass  # were the first k examples raised to one level
        ends = np.append(low[1:], np.inf)
        k = int(np.argmax(level <= ends))
        flat: Array = np.maximum(floor, level[k])
        return flat


def sums(groups: IndexArray, values: Array) -> Array:
    """Return the sum of each group's values.

    Examples
    --------
    >>> sums(np.array([0, 1, 0]), np.array([1.0, 2.0, 3.0]))
    array([4., 2.])
    """
    sums: Array = np.bincount(groups, values).astype(np.float64)
    return sums


def _watered(losses: Array, p: Array, width: float, cap: float, mass: float) -> Array:
    """Return ``clip(1 + (l - t) / width, 0, cap)`` at the threshold where it has this mass."""
    x = losses / width
    low, high = float(x.min()) - 1.0 - min(cap, mass), float(x.max()) + 1.0
    while True:
        u = np.clip(1.0 + x - low, 0.0, cap)
        if float(p @ u) >= mass or cap <= mass:
            break
        low -= 1.0 + mass
    t = low
    for _ in range(ROOTS):
        u = np.clip(1.0 + x - t, 0.0, cap)
        over = float(p @ u) - mass
        if abs(over) <= 1e-14 * mass:
            break
        low, high = (t, high) if over > 0.0 else (low, t)
        slope = float(p[(u > 0.0) & (u < cap)].sum())
        t = t + over / slope if slope > 0.0 else 0.5 * (low + high)
        if not low < t < high:
            t = 0.5 * (low + high)
    return np.clip(1.0 + x - t, 0.0, cap)

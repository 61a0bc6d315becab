"""The newsvendor's canonical form, the points of its program, and the adversary's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convexnn.contract.form import solved_by
from convexnn.functions.null_space import UNIT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convexnn.contract.arrays import Array


class Order(NamedTuple):
    """Primal point of a newsvendor.

    Attributes
    ----------
    quantity : array of shape ()
    """

    quantity: Array


class Shift(NamedTuple):
    """Dual point of a newsvendor: a distribution of demand, in the ball or not.

    Attributes
    ----------
    share : array of shape (n,)
        Of each demand's mass ``1/n``, the share that moves to the lower end of the support.
    """

    share: Array


@solved_by("quantile")
class DemandForm(NamedTuple):
    """Minimise over x the largest ``E[cost x - price min(x, xi)]`` in a ball around the demands.

    Attributes
    ----------
    demand : array of shape (n,)
        Ascending.
    order : int array of shape (n,)
        The user's index of each.
    cost, price, radius : float
    low, high : float
        Ends of the support.
    """

    demand: Array
    order: NDArray[np.intp]
    cost: float
    price: float
    radius: float
    low: float
    high: float

    @property
    def excess(self) -> Array:
        """Return the demands less the lower end."""
        return self.demand - self.low

    def shift(self) -> Shift:
        """Return the worst distribution: the smallest demands move, as far as the budget goes.

        A unit of budget spent on demand ``xi`` costs the seller ``price min(1, (x - low) / (xi -
        low))``: the smaller demand is always the better buy, so that one distribution is the
        worst for every order at once.
        """
        spent = np.cumsum(self.excess) / len(self.demand)
        whole = int(np.searchsorted(spent, self.radius, side="right"))
        share = np.zeros(len(self.demand))
        share[:whole] = 1.0
        if whole < len(share):
            left = self.radius - (spent[whole - 1] if whole else 0.0)
            share[whole] = min(1.0, left * len(share) / self.excess[whole])
        return Shift(self.listed(share))

    def listed(self, values: Array) -> Array:
        """Return values that go with the ascending demands in the user's order."""
        result = np.empty_like(values)
        result[self.order] = values
        return result

    def multiplier(self, quantity: float) -> float:
        """Return the price of the ball's radius to the seller of this quantity."""
        spent = np.cumsum(self.excess) / len(self.demand)
        whole = int(np.searchsorted(spent, self.radius, side="right"))
        above = quantity - self.low
        if whole == len(self.demand) or above <= 0.0:
            return 0.0
        return self.price * min(1.0, above / float(self.excess[whole]))

    def worst(self, quantity: float) -> float:
        """Return the largest expected cost of a quantity over the ball.

        Of a quantity x above the lower end a, with multiplier m, ``cost x - price a + m radius -
        mean min(price (x - a), price (xi - a), m (xi - a))``: an upper bound whatever m is, and
        the value itself at the best one. Below it every demand is met.
        """
        if quantity <= self.low:
            return (self.cost - self.price) * quantity
        m = self.multiplier(quantity)
        least = np.minimum(self.price * (quantity - self.low), m * self.excess)
        return float(
            self.cost * quantity - self.price * self.low + m * self.radius - np.mean(least)
        )

    def least(self, shift: Shift) -> tuple[float, float]:
        """Return the best quantity against a fixed distribution, and its expected cost.

        Shares outside of [0, 1] are cut off, a distribution outside of the ball is drawn back to
        it: whatever the shares, the cost, less its rounding, is a lower bound on the newsvendor's.
        """
        share = np.clip(np.nan_to_num(shift.share[self.order]), 0.0, 1.0)
        spent = float(np.mean(share * self.excess))
        if spent > self.radius:
            share *= self.radius / spent
        n = len(share)
        atoms = np.concatenate([[self.low], self.demand])
        mass = np.concatenate([[np.mean(share)], (1.0 - share) / n])
        sold = np.cumsum(mass * atoms) + atoms * np.maximum(1.0 - np.cumsum(mass), 0.0)
        size = self.cost * atoms + self.price * (sold + atoms)
        costs = self.cost * atoms - self.price * sold - (n + 8.0) * UNIT * size
        best = int(np.argmin(costs))  # a convex function with kinks at the atoms alone
        return float(atoms[best]), float(costs[best])

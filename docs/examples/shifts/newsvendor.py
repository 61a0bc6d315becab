"""
An order against a ball of demands
==================================

The best order is a quantile of the demands seen, or nothing where the radius eats that order's
profit.
"""

import matplotlib.pyplot as plt
import numpy as np

import convexnn as cx

demand = np.random.default_rng(0).gamma(4.0, 10.0, size=50)
radii = np.linspace(0.0, 40.0, 9)
orders = [
    cx.solve(cx.Newsvendor(demand, cost=1.0, price=4.0, radius=radius)).model for radius in radii
]

fig, ax = plt.subplots()
ax.plot(radii, [-order.value for order in orders], "o-")
ax.set(xlabel="radius", ylabel="profit that is sure")

# %%
# What is asserted: the profit never grows with the radius, and the last order is none.

assert np.all(np.diff([order.value for order in orders]) >= -1e-9)
assert orders[0].order > 0.0
assert orders[-1].order == 0.0

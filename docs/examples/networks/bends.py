"""
The knots of a network of one input
===================================

The optimum over networks of one input and any width is a piecewise linear function whose knots
are at data points.
"""

import numpy as np

import convexnn as cx

x = np.linspace(-3.0, 3.0, 80)
y = np.sin(2.0 * x)
solution = cx.solve(cx.UnivariateReluTraining(x, y, beta=0.1))
network = solution.model
ax = network.plot(x, y)

# %%
# What is asserted: the optimum is proved, and every knot is at a data point.

assert solution.status is cx.Status.OPTIMAL
assert all(np.abs(x - knot).min() < 1e-6 for knot in network.knots)

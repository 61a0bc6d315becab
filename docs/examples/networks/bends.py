"""
The knots of a network of one input
===================================

The optimum over networks of one input and any width is a piecewise linear function whose knots
are at data points.
"""

import matplotlib.pyplot as plt
import numpy as np

import convexnn as cx

x = np.linspace(-3.0, 3.0, 80)
y = np.sin(2.0 * x)
solution = cx.solve(cx.UnivariateReluTraining(x, y, beta=0.1))
network = solution.model

fig, ax = plt.subplots()
ax.plot(x, y, ".", label="data")
ax.plot(x, network.decision_function(x), label="network")
ax.plot(network.knots, network.decision_function(network.knots), "ks", label="knots")
ax.legend()

# %%
# What is asserted: the optimum is proved, and every knot is at a data point.

assert solution.status is cx.Status.OPTIMAL
assert all(np.abs(x - knot).min() < 1e-6 for knot in network.knots)

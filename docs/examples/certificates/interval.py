"""
An interval that closes
=======================

A search over all patterns reports its best network and its best bound as it goes. The optimum is
between the two at every moment.
"""

import matplotlib.pyplot as plt
import numpy as np

import convexnn as cx

rng = np.random.default_rng(0)
X = rng.standard_normal((60, 3))
y = np.maximum(X[:, 0], 0.0) - np.maximum(X[:, 1], 0.0) + 0.1 * rng.standard_normal(60)
solution = cx.solve(cx.ReluTraining(X, y, beta=1.0), "cell-walk")
print(solution)

# %%
# Every step of the run is kept, with its objective and its bound.

seconds = [step.seconds for step in solution.history]
fig, ax = plt.subplots()
ax.plot(seconds, [step.objective for step in solution.history], "o-", label="best network")
ax.plot(seconds, [step.bound for step in solution.history], "s--", label="no network is below")
ax.set(xlabel="seconds", ylabel="objective")
ax.legend()

# %%
# What is asserted: no bound on the way was above the objective at the end, and the interval
# closed.

assert all(step.bound <= solution.objective + 1e-9 for step in solution.history)
assert solution.status is cx.Status.OPTIMAL

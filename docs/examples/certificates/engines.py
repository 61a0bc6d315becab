"""
Engines that agree
==================

Engines share nothing but the form that they read. Each answer is held against the bound of every
other.
"""

import matplotlib.pyplot as plt
import numpy as np

import convexnn as cx

rng = np.random.default_rng(0)
X = rng.standard_normal((60, 4))
y = np.sin(X[:, 0])
problem = cx.GatedReluTraining(X, y, beta=0.5, patterns=20)
result = cx.compare(problem, ["admm", "fista", "ipm", "cvxpy:clarabel"], tol=1e-4)
print(result)

fig, ax = plt.subplots()
for k, solution in enumerate(result.solutions):
    ax.plot([solution.bound, solution.objective], [k, k], "o-")
ax.set(
    yticks=range(len(result.solutions)),
    yticklabels=[solution.backend for solution in result.solutions],
    xlabel="bound to objective",
)
fig.tight_layout()

# %%
# What is asserted: no answer is below another's bound.

assert result.agree(1e-4)

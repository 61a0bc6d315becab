"""
Any dual point will do
======================

The problem computes the bound from a dual point by weak duality, after scaling it until it is
feasible. A worse point makes a looser bound, never a wrong one.
"""

import matplotlib.pyplot as plt
import numpy as np

import convexnn as cx

rng = np.random.default_rng(0)
X = rng.standard_normal((40, 4))
y = np.abs(X[:, 0])
problem = cx.ReluTraining(X, y, beta=1.0, patterns=20)
solution = cx.solve(problem)

noises = np.geomspace(1e-4, 10.0, 12)
bounds = []
for noise in noises:
    mu = solution.dual.mu + noise * rng.standard_normal(solution.dual.mu.shape)
    bounds.append(problem.certify(solution.primal, solution.dual._replace(mu=mu)).bound)

fig, ax = plt.subplots()
ax.semilogx(noises, bounds, "o-", label="bound of a spoilt dual point")
ax.axhline(solution.objective, color="black", label="objective")
ax.set(xlabel="noise on the dual point", ylabel="bound")
ax.legend()

# %%
# What is asserted: none of them is above the objective.

assert max(bounds) <= solution.objective + 1e-9

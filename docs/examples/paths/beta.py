"""
Neurons along beta
==================

A path starts at the exact beta at which the network is zero. Patterns whose neurons are zero by
proof are left out.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris

import convexnn as cx

X, y = load_iris(return_X_y=True)
problem = cx.GatedReluTraining(X[:100], y[:100], beta=1.0, loss="logistic", patterns=20)
found = cx.path(problem, count=15)

fig, ax = plt.subplots()
ax.semilogx(found.betas, found.neurons, "o-", label="neurons")
ax.semilogx(found.betas, [count.kept for count in found.counts], "s--", label="patterns kept")
ax.set(xlabel="beta")
ax.legend()

# %%
# What is asserted: the first network is zero, each answer is proved, and objectives fall with
# beta.

assert found.neurons[0] == 0
assert all(solution.status is cx.Status.OPTIMAL for solution in found.solutions)
assert np.all(np.diff([solution.objective for solution in found.solutions]) <= 1e-6)

"""
What more patterns buy
======================

A bound over given patterns says nothing about others. More of them make a better network; over
all patterns no network is better.
"""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np

import convexnn as cx

rng = np.random.default_rng(0)
X = rng.standard_normal((40, 3))
y = np.maximum(X[:, 0], 0.0) - np.maximum(X[:, 1], 0.0)
every = cx.sample_patterns(X, 160, seed=0)
counts = [5, 10, 20, 40, 80, 160]
problems = [cx.ReluTraining(X, y, beta=0.5, patterns=every.matrix[:, :k]) for k in counts]
objectives = [cx.solve(problem).objective for problem in problems]
best = cx.solve(cx.ReluTraining(X, y, beta=0.5))

fig, ax = plt.subplots()
ax.semilogx(counts, objectives, "o-", label="these patterns")
ax.axhline(best.bound, color="black", ls="--", label="no network is below")
ax.set(xlabel="patterns", ylabel="objective")
ax.legend()

# %%
# What is asserted: each set holds the one before, so that the objective never rises, nor falls
# below the bound.

assert all(b <= a + 1e-5 for a, b in pairwise(objectives))
assert objectives[-1] >= best.bound - 1e-6

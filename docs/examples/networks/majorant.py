"""
A program without cones
=======================

Over the same patterns the majorant's optimum is at most that of the program with cones, and its
network better still.
"""

import matplotlib.pyplot as plt
import numpy as np

import convexnn as cx

rng = np.random.default_rng(0)
X = rng.standard_normal((60, 4))
y = np.maximum(X[:, 0], 0.0) - np.maximum(X[:, 1], 0.0)
patterns = cx.sample_patterns(X, 20, seed=0)
cones = cx.solve(cx.ReluTraining(X, y, beta=0.5, patterns=patterns))
majorant = cx.solve(
    cx.ReluTraining(X, y, beta=0.5, patterns=patterns, formulation="majorant"), tol=1e-4
)
own = cx.certify(cx.ReluTraining(X, y, beta=0.5), majorant.model, time_limit=5)

fig, ax = plt.subplots()
names = ["cones", "majorant", "majorant's network"]
ax.bar(names, [cones.objective, majorant.objective, own.objective])
ax.set(ylabel="objective")

# %%
# What is asserted: the order of the three.

assert own.objective <= majorant.objective + 1e-6
assert majorant.objective <= cones.objective + 1e-3

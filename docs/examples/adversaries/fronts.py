"""
The price of a radius
=====================

Robust training bounds the loss at the worst perturbation; the more it guards against, the more
it costs.
"""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons

import convexnn as cx

X, y = make_moons(60, noise=0.15, random_state=1)
patterns = cx.sample_patterns(np.column_stack([X, np.ones(60)]), 30, seed=0)
radii = [0.0, 0.02, 0.05, 0.1]
fits = []
for radius in radii:
    problem = cx.RobustReluTraining(
        X, y, beta=0.1, radius=radius, bias=True, formulation="cones", patterns=patterns
    )
    fits.append(cx.solve(problem, tol=1e-4))

fig, ax = plt.subplots()
ax.plot(radii, [fit.objective for fit in fits], "o-", label="objective")
ax.plot(radii, [fit.bound for fit in fits], "s--", label="bound")
ax.set(xlabel="radius", ylabel="worst-case objective")
ax.legend()

# %%
# What is asserted: a larger ball never costs less, and each network keeps what it promises.

for smaller, larger in pairwise(fits):
    assert smaller.bound <= larger.objective
for radius, fit in zip(radii[1:], fits[1:], strict=True):
    judged = cx.robustness(fit.model, X, y, radius=radius)
    assert judged.certified <= judged.attacked <= judged.clean

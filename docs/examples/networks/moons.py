"""
Two moons
=========

A network in the plane, certified over networks of any width.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons

import convexnn as cx

X, y = make_moons(100, noise=0.15, random_state=1)
problem = cx.ReluTraining(X, y, beta=0.3, loss="logistic", bias=True)
solution = cx.solve(problem, time_limit=10, tol=1e-3)
print(solution)

side = np.linspace(-1.5, 2.5, 120)
plane = np.stack(np.meshgrid(side, side), axis=-1)
height = solution.model.decision_function(plane.reshape(-1, 2)).reshape(plane.shape[:2])
fig, ax = plt.subplots()
ax.contourf(side, side, height, levels=20, cmap="RdBu", alpha=0.6)
ax.contour(side, side, height, levels=[0.0], colors="black")
ax.scatter(X[:, 0], X[:, 1], c=y, cmap="RdBu", edgecolor="black")

# %%
# What is asserted: it separates the moons, and is near the best there is.

assert (solution.model.predict(X) == y).mean() > 0.95
assert solution.gap < 0.05

"""
Three classes at once
=====================

With the softmax loss each neuron has one output, and the outputs share the patterns.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris

import convexnn as cx

X, y = load_iris(return_X_y=True)
X = X[:, 2:]
problem = cx.ReluTraining(X, y, beta=0.5, loss="softmax", bias=True, patterns=15)
solution = cx.solve(problem, tol=1e-4)

long, wide = np.linspace(0.5, 7.5, 120), np.linspace(-0.2, 2.8, 120)
plane = np.stack(np.meshgrid(long, wide), axis=-1)
kinds = solution.model.predict(plane.reshape(-1, 2)).reshape(plane.shape[:2])
fig, ax = plt.subplots()
ax.contourf(long, wide, kinds, levels=[-0.5, 0.5, 1.5, 2.5], alpha=0.3)
ax.scatter(X[:, 0], X[:, 1], c=y, edgecolor="black")
ax.set(xlabel="petal length", ylabel="petal width")

# %%
# What is asserted: the certificate over these patterns, and what it is good for.

assert solution.status is cx.Status.OPTIMAL
assert (solution.model.predict(X) == y).mean() > 0.93

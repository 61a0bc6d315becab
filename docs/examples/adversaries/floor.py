"""
What no classifier can do
=========================

Where balls of different labels meet every classifier errs on one of the two. The least number of
errors over the radius, and the pairs that prove it at one.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons

import convexnn as cx

X, y = make_moons(80, noise=0.15, random_state=1)
radii = np.linspace(0.0, 0.5, 11)
floors = [cx.robust_floor(X, y, radius=float(radius), norm="l2") for radius in radii]

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
left.plot(radii, [floor.rate for floor in floors], "o-")
left.set(xlabel="radius", ylabel="any classifier errs on at least")
right.scatter(X[:, 0], X[:, 1], c=y, cmap="RdBu", edgecolor="black")
for i, j in floors[5].pairs:
    right.plot(X[[i, j], 0], X[[i, j], 1], color="black", lw=1.0)
right.set(title=f"radius {radii[5]:g}: {floors[5].errors:g} errors", aspect="equal")

# %%
# What is asserted: each pair's balls meet, no row is in two pairs, and the floor only rises.

pairs = floors[5].pairs
assert np.all(np.linalg.norm(X[pairs[:, 0]] - X[pairs[:, 1]], axis=1) <= 2.0 * radii[5])
assert len(np.unique(pairs)) == 2 * len(pairs)
assert np.all(np.diff([floor.errors for floor in floors]) >= 0.0)

"""
A median that outliers cannot drag away
=======================================

The geometric median beside the mean, as outliers move away.
"""

import matplotlib.pyplot as plt
import numpy as np

import convexnn as cx

rng = np.random.default_rng(0)
points = rng.standard_normal((100, 2))
shifts = np.array([0.0, 10.0, 100.0, 1000.0])
errors: dict[str, list[float]] = {"mean": [], "median": []}
for shift in shifts:
    moved = points + np.where(np.arange(100) < 20, shift, 0.0)[:, None]
    errors["mean"].append(float(np.linalg.norm(moved.mean(axis=0))))
    median = cx.solve(cx.GeometricMedian(moved)).model.point
    errors["median"].append(float(np.linalg.norm(median)))

fig, ax = plt.subplots()
for name, values in errors.items():
    ax.plot(shifts + 1.0, values, "o-", label=name)
ax.set(xscale="log", yscale="log", xlabel="1 + shift of a fifth", ylabel="distance from the middle")
ax.legend()

# %%
# What is asserted: the mean goes with them, the median stays.

assert errors["mean"][-1] > 100.0
assert max(errors["median"]) < 1.0

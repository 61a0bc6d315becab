"""
An output that never falls
==========================

A free and a monotone network over the same patterns: what the direction costs, and that it holds
beyond the data.
"""

import matplotlib.pyplot as plt
import numpy as np

import convexnn as cx

rng = np.random.default_rng(0)
x = np.sort(rng.uniform(-1.0, 1.0, 60))[:, None]
y = x[:, 0] + 0.3 * np.sin(6.0 * x[:, 0]) + 0.1 * rng.standard_normal(60)
free = cx.solve(cx.ReluTraining(x, y, beta=0.05, bias=True, patterns=60), tol=1e-5)
held = cx.solve(cx.ReluTraining(x, y, beta=0.05, bias=True, patterns=60, monotone=[1]), tol=1e-5)

wide = np.linspace(-2.0, 2.0, 200)[:, None]
fig, ax = plt.subplots()
ax.plot(x, y, ".", label="data")
ax.plot(wide, free.model.predict(wide), label=f"free: {free.objective:.3f}")
ax.plot(wide, held.model.predict(wide), label=f"never falls: {held.objective:.3f}")
ax.legend()

# %%
# What is asserted: the signs of the weights prove it for all x, and it is not free.

assert held.model.monotone([1])
assert not free.model.monotone([1])
assert np.all(np.diff(held.model.predict(wide)) >= -1e-9)
assert held.objective >= free.bound

"""
The worst tenth
===============

The worst weights in the ball of conditional value at risk: all mass on the worst tenth of the
losses.
"""

import matplotlib.pyplot as plt
import numpy as np

import convexnn as cx

losses = np.sort(np.random.default_rng(0).exponential(size=200))
found = cx.solve(cx.DivergenceReweighting(losses, ball="cvar", level=0.1)).model

fig, ax = plt.subplots()
ax.step(losses, found.weights, where="mid")
ax.axvline(found.value, color="black", ls="--", label="worst mean")
ax.set(xlabel="loss", ylabel="weight")
ax.legend()

# %%
# What is asserted: it is the mean of the twenty largest losses.

assert abs(found.value - losses[-20:].mean()) < 1e-9
assert (found.weights > 0.0).sum() == 20

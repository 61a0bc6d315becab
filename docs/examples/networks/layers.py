"""
A third layer pays less
=======================

Whatever two layers can do, narrow chains of three do for no more.
"""

import matplotlib.pyplot as plt
import numpy as np

import convexnn as cx

x = np.linspace(-2.0, 2.0, 40)
y = np.abs(np.abs(x) - 1.0)
fits = {
    layers: cx.solve(cx.UnivariateReluTraining(x, y, beta=0.3, layers=layers)) for layers in (2, 3)
}

fig, ax = plt.subplots()
ax.plot(x, y, "k.", label="data")
for layers, solution in fits.items():
    label = f"{layers} layers: {solution.objective:.3f}"
    ax.plot(x, solution.model.decision_function(x), label=label)
ax.legend()

# %%
# What is asserted: three layers are at most as dear as two, by their certificates.

assert fits[3].bound <= fits[2].objective
assert fits[3].objective <= fits[2].objective + 1e-5

"""
Faulty clients
==============

Updates of ten clients, of whom more and more send noise: the mean beside rules that withstand
it.
"""

import matplotlib.pyplot as plt
import numpy as np

import convexnn as cx

rng = np.random.default_rng(0)
honest = [rng.normal(1.0, 0.1, 20) for _ in range(10)]
noise = [rng.normal(0.0, 50.0, 20) for _ in range(10)]
methods = ("mean", "geometric-median", "coordinate-median", "krum")
errors = {
    method: [
        float(np.linalg.norm(cx.aggregate(noise[:k] + honest[k:], method=method, faulty=k) - 1.0))
        for k in range(4)
    ]
    for method in methods
}

fig, ax = plt.subplots()
for method, values in errors.items():
    ax.semilogy(range(4), values, "o-", label=method)
ax.set(xlabel="faulty of ten clients", ylabel="error", xticks=range(4))
ax.legend()

# %%
# What is asserted: with three faulty clients every rule but the mean is near the honest update.

assert errors["mean"][-1] > 10.0
assert all(errors[method][-1] < 2.0 for method in methods[1:])

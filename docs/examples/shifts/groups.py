"""
The worst group
===============

A tenth of the examples obeys the opposite rule. Trained for the mean a network forgets them,
trained for the worst group it serves both alike.
"""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

import convexnn as cx

rng = np.random.default_rng(0)
X = rng.standard_normal((80, 2))
few = np.arange(80) < 10
y = np.where(few, -1.0, 1.0) * X[:, 0]
risks: dict[str, Any] = {"mean": "mean", "tail": cx.Cvar(0.2), "worst group": cx.WorstGroup(few)}
losses = {}
for name, risk in risks.items():
    found = cx.solve(cx.ReluTraining(X, y, beta=0.1, patterns=20, risk=risk), tol=1e-4)
    each = 0.5 * np.square(found.model.predict(X) - y)
    losses[name] = each[few].mean(), each[~few].mean()

fig, ax = plt.subplots()
places = np.arange(len(losses))
for k, group in enumerate(("the few", "the many")):
    ax.bar(places + 0.4 * k - 0.2, [pair[k] for pair in losses.values()], 0.4, label=group)
ax.set(xticks=places, xticklabels=list(losses), ylabel="mean loss")
ax.legend()

# %%
# What is asserted: the worse group is better off than under the mean, and level with the other.

assert max(losses["worst group"]) < 0.5 * max(losses["mean"])
assert abs(losses["worst group"][0] - losses["worst group"][1]) < 0.01

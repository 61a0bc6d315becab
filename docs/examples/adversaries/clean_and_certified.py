"""
Clean against certified errors
==============================

Networks trained against larger balls, or with a larger penalty, trade errors on clean examples for
errors that are proved not to be there within a ball. The front of a training is what no other of
its settings betters in both.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import convexnn as cx

X, y = load_digits(return_X_y=True)
kept = np.isin(y, [3, 8])
X, y = X[kept][:, ::3] / 16, y[kept]  # every third pixel, in [0, 1]
every = np.ones(X.shape[1], bool)  # the adversary moves all of them
train, test = slice(0, 120), slice(120, 240)
fronts = {}
for radius in (0.0, 0.05, 0.1):
    errors = []
    for beta in (0.2, 1.0, 4.0):
        problem = cx.RobustReluTraining(
            *(X[train], y[train]),
            beta=beta,
            radius=radius,
            bias=True,
            patterns=6,
            perturbed=every,
            box=(0.0, 1.0),
        )
        network = cx.solve(problem, "admm", tol=1e-2, max_iter=400).model
        found = cx.robustness(network, X[test], y[test], radius=0.1, box=(0.0, 1.0), restarts=2)
        errors.append((1.0 - found.clean, 1.0 - found.certified))
    fronts[radius] = np.array(sorted(errors))

fig, ax = plt.subplots()
for radius, points in fronts.items():
    ax.plot(*points.T, "o-", label=f"trained at {radius:g}")
ax.set(xlabel="clean error", ylabel="certified error at 0.1")
ax.legend()

# %%
# What is asserted: a network never errs less within balls than at their centres, and training
# against the ball proves more than training without it.

for points in fronts.values():
    assert np.all(points[:, 0] <= points[:, 1])
assert fronts[0.1][:, 1].min() < fronts[0.0][:, 1].min()

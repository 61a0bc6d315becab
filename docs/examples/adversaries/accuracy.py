"""
Accuracy against the radius
===========================

A network trained against an adversary, beside a plain one: what attacks find, and what is
proved.
"""

import numpy as np
from sklearn.datasets import make_moons

import convexnn as cx

X, y = make_moons(80, noise=0.15, random_state=1)
robust = cx.solve(
    cx.RobustReluTraining(X, y, beta=0.1, radius=0.15, bias=True, patterns=30), tol=1e-3
).model
plain = cx.solve(
    cx.ReluTraining(X, y, beta=0.1, loss="hinge", bias=True, patterns=30), tol=1e-3
).model
curve = cx.robustness_curve({"robust": robust, "plain": plain}, X, y, np.linspace(0.0, 0.3, 5))
ax = curve.plot()

# %%
# What is asserted: what is proved is at most what attacks leave, at every radius.

for found in curve.found.values():
    assert all(one.certified <= one.attacked <= one.clean for one in found)

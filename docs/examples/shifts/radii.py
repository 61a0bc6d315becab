"""
Worst case against the radius
=============================

A fit for each radius: what each certifies, and what a fixed model would suffer.
"""

import numpy as np

import convexnn as cx

rng = np.random.default_rng(0)
X = rng.standard_normal((200, 3))
y = np.where(X[:, 0] + 0.5 * rng.standard_normal(200) > 0.0, 1, -1)
problem = cx.WassersteinClassification(X[:100], y[:100], radius=0.1)
curve = cx.certificate_curve(problem, [0.01, 0.03, 0.1, 0.3], holdout=(X[100:], y[100:]))
ax = curve.plot()

# %%
# What is asserted: worst cases grow with the radius, and the bound is below each.

assert np.all(np.diff(curve.worst) >= -1e-6)
assert np.all(curve.bound <= curve.worst + 1e-9)

"""
A radius with a statement
=========================

The worst case over a ball against what a model costs on new data, and two choices of the radius,
each with what it is good for.
"""

from typing import Any

import numpy as np

import convexnn as cx

rng = np.random.default_rng(0)


def drawn(n: int) -> tuple[Any, Any]:
    """Return examples and labels of a logistic model."""
    X = rng.standard_normal((n, 3))
    return X, np.where(X[:, 0] - X[:, 1] + rng.logistic(size=n) > 0.0, 1, -1)


X, y = drawn(300)
problem = cx.WassersteinClassification(X, y, radius=0.1)
radii = np.geomspace(0.003, 0.3, 5)
held = cx.radius(problem, rule="holdout", radii=radii)
profile = cx.radius(problem)
print(held.statement)

new = drawn(20_000)
curve = cx.certificate_curve(problem, radii, holdout=new)
ax = curve.plot()
ax.axvline(held.value, color="black", ls=":", label="by rows held out")
ax.axvline(profile.value, color="black", ls="-.", label="by the profile")
ax.set(xscale="log")
ax.legend()

# %%
# What is asserted, on 20,000 new examples: the worst case at the radius by rows held out is above
# the share of errors, that at the radius by the profile above the loss.

assert held.solution is not None
wrong = np.mean(held.solution.model.predict(new[0]) != new[1])
assert held.solution.objective >= wrong
found = cx.solve(profile.problem)
assert found.objective >= problem.holdout(found.model, *new)

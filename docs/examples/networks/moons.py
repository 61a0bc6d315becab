"""
Two moons
=========

A network in the plane, certified over networks of any width: its regions, and for each neuron the
line where it switches.
"""

from sklearn.datasets import make_moons

import convexnn as cx

X, y = make_moons(100, noise=0.15, random_state=1)
problem = cx.ReluTraining(X, y, beta=0.3, loss="logistic", bias=True)
solution = cx.solve(problem, time_limit=10, tol=1e-3)
print(solution)

ax = solution.model.plot(X, y)

# %%
# What is asserted: it separates the moons, and is near the best there is.

assert (solution.model.predict(X) == y).mean() > 0.95
assert solution.gap < 0.05

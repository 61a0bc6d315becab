"""
Atoms that move
===============

The worst distribution within the ball of a logistic fit: which samples move, and which change
their label.
"""

import numpy as np

import convexnn as cx

rng = np.random.default_rng(0)
X = rng.standard_normal((60, 2))
y = np.where(X[:, 0] + 0.5 * rng.standard_normal(60) > 0.0, 1, -1)
problem = cx.WassersteinClassification(X, y, radius=0.1, flip_cost=1.0)
solution = cx.solve(problem)
ax = cx.plot_worst_case(solution)

# %%
# What is asserted: the distribution is within the ball, and costs what the certificate says.

worst = solution.model.worst_case
assert worst.atoms.transport() <= problem.radius * (1.0 + 1e-6)
assert abs(problem.expected_loss(solution.model, worst.atoms) - solution.objective) < 1e-4

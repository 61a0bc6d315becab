"""
Agents that agree
=================

Thirty agents on a ring find the median of their points by talking to their neighbours, in
rounds.
"""

import matplotlib.pyplot as plt
import numpy as np

import convexnn as cx

points = np.random.default_rng(0).standard_normal((30, 3))
ring = [[k, (k + 1) % 30] for k in range(30)]
problem = cx.DistributedMedian(points, ring)
fits = {name: cx.solve(problem, name, tol=1e-5) for name in ("admm", "homotopy", "pg-extra")}

fig, ax = plt.subplots()
for name, solution in fits.items():
    steps = [step for step in solution.history if step.iteration > 0]
    ax.semilogy(
        [step.iteration for step in steps],
        [max(step.gap, step.violation, 1e-9) for step in steps],
        label=name,
    )
ax.set(xlabel="rounds", ylabel="gap or violation")
ax.legend()

# %%
# What is asserted: all agree with the median that a centre would compute.

central = cx.solve(cx.GeometricMedian(points))
for solution in fits.values():
    assert abs(solution.objective - central.objective) < 1e-3 * central.objective

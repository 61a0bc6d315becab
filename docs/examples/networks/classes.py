"""
Three classes at once
=====================

With the softmax loss each neuron has one output, and the outputs share the patterns.
"""

from sklearn.datasets import load_iris

import convexnn as cx

X, y = load_iris(return_X_y=True, as_frame=True)
X = X.iloc[:, 2:]
problem = cx.ReluTraining(X, y, beta=0.5, loss="softmax", bias=True, patterns=15)
solution = cx.solve(problem, tol=1e-4)
ax = solution.model.plot(X, y)

# %%
# What is asserted: the certificate over these patterns, and what it is good for.

assert solution.status is cx.Status.OPTIMAL
assert (solution.model.predict(X) == y).mean() > 0.93

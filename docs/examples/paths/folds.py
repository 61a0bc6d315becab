"""
Beta by cross-validation
========================

One warm path a fold; `best` is the beta of least mean loss.
"""

from sklearn.datasets import load_iris

import convexnn as cx

X, y = load_iris(return_X_y=True)
problem = cx.GatedReluTraining(X[50:], y[50:], beta=1.0, loss="logistic", bias=True, patterns=20)
found = cx.path(problem, count=12, folds=4)
ax = found.plot()

# %%
# What is asserted: the beta chosen is the one of least mean loss in validation, and its fit is
# proved.

assert found.validation is not None
chosen = found.validation.mean.argmin()
assert found.best is found.solutions[chosen]
assert found.best.status is cx.Status.OPTIMAL

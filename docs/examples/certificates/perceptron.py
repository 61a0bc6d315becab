"""
A network that somebody else trained
====================================

`cx.certify` holds a network of scikit-learn against all networks of any width; a solve that
starts from it looks for a better one.
"""

import warnings

import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes
from sklearn.neural_network import MLPRegressor

import convexnn as cx

X, y = load_diabetes(return_X_y=True)
X, y = 20.0 * X[:60, 2:5], y[:60] / 100.0
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it need not converge
    mlp = MLPRegressor(
        hidden_layer_sizes=10, alpha=1.0, solver="lbfgs", max_iter=100, random_state=0
    ).fit(X, y)
problem = cx.ReluTraining(X, y, beta=1.0, bias=True, intercept=True)
network = cx.TwoLayerNetwork.from_sklearn(mlp)
judged = cx.certify(problem, network, time_limit=5, tol=1e-3)
better = cx.solve(problem, start=network, time_limit=5, tol=1e-3)

fig, ax = plt.subplots()
for k, (name, found) in enumerate({"as it came": judged, "improved": better}.items()):
    ax.plot([k, k], [found.bound, found.objective], "o-", label=name)
ax.set(xticks=[0, 1], xticklabels=["as it came", "improved"], ylabel="bound to objective")

# %%
# What is asserted: both bounds hold for both networks, and the second is no worse than the first.

assert max(judged.bound, better.bound) <= better.objective + 1e-9
assert better.objective <= judged.objective + 1e-9

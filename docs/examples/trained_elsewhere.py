"""How good is the network that I have? A perceptron of scikit-learn, certified, then improved.

A network is trained by `MLPRegressor` on the diabetes data, with the penalty that `ReluTraining`
has. `cx.certify` holds it against every two-layer network of any width; `cell-walk` starts from it
and looks for a better one. The gap says how much a better network could still gain at most; most of
it is the bound's, not the network's.

Run it (extra: data)::

    python docs/examples/trained_elsewhere.py

With ``--torch`` the network is trained by Adam in PyTorch instead, and the better one goes back
there as a module (extra: torch).
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.neural_network import MLPRegressor

import convexnn as cx

BETA, WIDTH = 8.0, 30


def perceptron(X: Any, y: Any, steps: int) -> cx.TwoLayerNetwork:
    """Train by scikit-learn; its alpha is beta, for the same sum of squares."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it need not converge
        mlp = MLPRegressor(
            hidden_layer_sizes=(WIDTH,), alpha=BETA, solver="lbfgs", max_iter=steps, random_state=0
        )
        return cx.TwoLayerNetwork.from_sklearn(mlp.fit(X, y))


def module(X: Any, y: Any, steps: int) -> cx.TwoLayerNetwork:
    """Train by Adam in PyTorch."""
    import torch

    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(X.shape[1], WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, 1)
    ).double()
    adam = torch.optim.Adam(net.parameters(), lr=1e-2)
    data, target = torch.tensor(X), torch.tensor(y)
    for _ in range(steps):
        adam.zero_grad()
        size = sum((p**2).sum() for name, p in net.named_parameters() if name != "2.bias")
        loss = 0.5 * ((net(data)[:, 0] - target) ** 2).sum() + 0.5 * BETA * size
        loss.backward()
        adam.step()
    return cx.TwoLayerNetwork.from_torch(net)


def main() -> None:
    """Train, certify, improve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--torch", action="store_true")
    asked = parser.parse_args()
    X, y = load_diabetes(return_X_y=True)
    X, y = X / X.std(axis=0), (y - y.mean()) / y.std()
    if asked.quick:
        X, y = X[:80, :3], y[:80]
    seconds = 5.0 if asked.quick else 60.0
    network = (module if asked.torch else perceptron)(X, y, 300 if asked.quick else 3000)
    problem = cx.ReluTraining(X, y, beta=BETA, bias=True, intercept=True)
    found = cx.certify(problem, network, time_limit=seconds, tol=1e-3)
    print(f"trained elsewhere: objective {found.objective:.4f}, none below {found.bound:.4f}")
    better = cx.solve(problem, start=network, time_limit=seconds, tol=1e-3)
    print(f"improved from it:  objective {better.objective:.4f}, none below {better.bound:.4f}")
    print(f"R^2 on these rows: {score(network, X, y):.3f}, then {score(better.model, X, y):.3f}")
    if asked.torch:
        print(better.model.to_torch())


def score(network: cx.TwoLayerNetwork, X: Any, y: Any) -> float:
    """Return R^2; y has mean 0 and spread 1."""
    return 1.0 - float(np.mean((network.predict(X) - y) ** 2)) / float(np.var(y))


if __name__ == "__main__":
    main()

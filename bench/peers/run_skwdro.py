"""Solve one linear Wasserstein problem with skwdro; runs in skwdro's own environment.

"dedicated" is its CVXPY program: the same problem as ours for the l2 norm. Its estimator fixes the
cost of a flip to 1000, so the function behind the estimator is called with ours. It stops by
itself and has no effort to set. "entropic" is what it does by default: a smoothed worst case,
sampled and minimised by stochastic gradients in single precision. Its cost is the l2 norm (order
1) or its square (order 2), labels and targets kept; its automatic step sizes overflow for that
cost, so an effort is a rate.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from linear import Linear, fits
from script import Run, Task, options, serve
from skwdro.linear_models import LinearRegression, LogisticRegression
from skwdro.solvers.specific_solvers import WDROLogisticSpecificSolver

NO_FLIPS = 1000.0
RATES = (0.1, 0.01, 0.001)


def dedicated(given: Linear, effort: float) -> tuple[Any, Any]:
    """Solve the program itself."""
    if given.loss == "squared":
        model = LinearRegression(rho=given.radius, solver="dedicated").fit(given.X, given.y)
        return model.coef_, model.intercept_
    cost = min(given.cost, NO_FLIPS)
    found = WDROLogisticSpecificSolver(
        rho=given.radius, kappa=cost, X=given.X, y=given.y, fit_intercept=True
    )
    return found.coef, found.intercept


def entropic(given: Linear, rate: float) -> tuple[Any, Any]:
    """Solve the smoothed problem."""
    if given.cost < float("inf"):
        raise ValueError("has no smoothed problem of order 1 in which labels flip")
    torch.manual_seed(0)
    kind = LinearRegression if given.loss == "squared" else LogisticRegression
    cost = f"t-NC-{given.order:g}-2"
    model = kind(rho=given.radius, cost=cost, solver="entropic_torch", learning_rate=rate)
    model.fit(given.X, given.y)
    return model.coef_, model.intercept_


def prepare(task: Task, asked: argparse.Namespace) -> Run:
    """Fit by the method that is asked for."""
    torch.set_num_threads(1)
    if asked.method == "dedicated":
        return fits(dedicated, (1.0,), task, asked)
    return fits(entropic, RATES, task, asked)


if __name__ == "__main__":
    own = options(__doc__)
    own.add_argument("--method", choices=("dedicated", "entropic"), default="dedicated")
    serve("skwdro", prepare, own.parse_args())

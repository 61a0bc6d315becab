"""Solve one linear Wasserstein problem with skwdro; runs in skwdro's own environment.

"dedicated" is its CVXPY program: the same problem as ours for the l2 norm. Its estimator fixes the
cost of a flip to 1000, so the function behind the estimator is called with ours. "entropic" is what
it does by default: a smoothed worst case, sampled and minimised by stochastic gradients in single
precision. Its cost is the l2 norm (order 1) or its square (order 2), labels and targets kept; its
automatic step sizes overflow for that cost, so a rate is asked for.
"""

from __future__ import annotations

from typing import Any

import torch
from fitting import Task, parser, serve
from skwdro.linear_models import LinearRegression, LogisticRegression
from skwdro.solvers.specific_solvers import WDROLogisticSpecificSolver

NO_FLIPS = 1000.0


def dedicated(task: Task) -> tuple[Any, Any]:
    """Solve the program itself."""
    if task.loss == "squared":
        model = LinearRegression(rho=task.radius, solver="dedicated").fit(task.X, task.y)
        return model.coef_, model.intercept_
    found = WDROLogisticSpecificSolver(
        rho=task.radius, kappa=min(task.cost, NO_FLIPS), X=task.X, y=task.y, fit_intercept=True
    )
    return found.coef, found.intercept


def entropic(task: Task, rate: float) -> tuple[Any, Any]:
    """Solve the smoothed problem."""
    if task.cost < float("inf"):
        raise ValueError("has no smoothed problem of order 1 in which labels flip")
    torch.manual_seed(0)
    kind = LinearRegression if task.loss == "squared" else LogisticRegression
    cost = f"t-NC-{task.order:g}-2"
    model = kind(rho=task.radius, cost=cost, solver="entropic_torch", learning_rate=rate)
    model.fit(task.X, task.y)
    return model.coef_, model.intercept_


def main() -> None:
    """Read the task, fit it and write the model."""
    torch.set_num_threads(1)
    options = parser(__doc__)
    options.add_argument("--method", choices=("dedicated", "entropic"), required=True)
    options.add_argument("--rate", type=float, default=0.01)
    asked = options.parse_args()

    def fit(task: Task) -> tuple[Any, Any]:
        known = {"logistic": 1.0, "squared": 2.0}
        if known.get(task.loss) != task.order or task.norm != "l2":
            raise ValueError(f"has no {task.loss} loss of this order and norm")
        return dedicated(task) if asked.method == "dedicated" else entropic(task, asked.rate)

    serve(fit, asked)


if __name__ == "__main__":
    main()

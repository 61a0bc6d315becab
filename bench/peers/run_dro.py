"""Solve one linear Wasserstein problem with dro; runs in dro's own environment.

Its `kappa` is our cost of a flip or of a unit of the target, its `p` the ground norm. For squared
residuals its `eps` is the square of the radius, elsewhere the radius. The norm's matrix is I.
"""

from __future__ import annotations

from typing import Any

from dro.linear_model.wasserstein_dro import WassersteinDRO
from fitting import Task, parser, serve

MODELS = {"logistic": "logistic", "hinge": "svm", "absolute": "lad", "squared": "ols"}
NORMS = {"l1": 1, "l2": 2, "linf": "inf"}


def fit(task: Task) -> tuple[Any, Any]:
    """Return coefficients and intercept."""
    if task.loss not in MODELS or task.order != (2.0 if task.loss == "squared" else 1.0):
        raise ValueError(f"has no {task.loss} loss of order {task.order:g}")
    model = WassersteinDRO(task.X.shape[1], MODELS[task.loss], fit_intercept=True)
    radius = task.radius**2 if task.loss == "squared" else task.radius
    model.update({"eps": radius, "p": NORMS[task.norm], "kappa": task.cost})
    model.fit(task.X, task.y)
    return model.theta, model.b


if __name__ == "__main__":
    serve(fit, parser(__doc__).parse_args())

"""Solve one linear Wasserstein problem with dro; runs in dro's own environment.

Its `kappa` is our cost of a flip or of a unit of the target, its `p` the ground norm. For squared
residuals its `eps` is the square of the radius, elsewhere the radius. The norm's matrix is I. It
stops by itself and has no effort to set.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from dro.linear_model.wasserstein_dro import WassersteinDRO
from linear import Linear, fits
from script import options, serve

MODELS = {"logistic": "logistic", "hinge": "svm", "absolute": "lad", "squared": "ols"}
NORMS = {"l1": 1, "l2": 2, "linf": "inf"}


def fit(given: Linear, effort: float) -> tuple[Any, Any]:
    """Return coefficients and intercept."""
    model = WassersteinDRO(given.X.shape[1], MODELS[given.loss], fit_intercept=given.intercept)
    radius = given.radius**2 if given.loss == "squared" else given.radius
    model.update({"eps": radius, "p": NORMS[given.norm], "kappa": given.cost})
    model.fit(given.X, given.y)
    return model.theta, model.b if given.intercept else 0.0


if __name__ == "__main__":
    serve("dro", partial(fits, fit, (1.0,)), options(__doc__).parse_args())

"""Problems in any units end OPTIMAL by choice: columns, offsets, a long example, targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.arrays import Array

N, D, BETA = 40, 3, 0.5

UNITS: dict[str, Any] = {
    "columns": lambda X, y: (X * 10.0 ** np.linspace(-6.0, 6.0, D), y),
    "near columns": lambda X, y: (X * 10.0 ** np.linspace(-2.0, 3.0, D), y),
    "small": lambda X, y: (1e-6 * X, y),
    "large": lambda X, y: (1e6 * X, y),
    "far": lambda X, y: (X + 1e4, y),
    "long example": lambda X, y: (np.vstack([1e4 * X[:1], X[1:]]), y),
    "small targets": lambda X, y: (X, 1e-4 * y),
    "large targets": lambda X, y: (X, 1e6 * y),
}
QUICK = {"near columns", "far", "large targets"}


def relu(X: Array, y: Array, loss: str) -> Any:
    return cx.ReluTraining(X, y, beta=BETA, loss=loss, patterns=10, bias=True)


def gated(X: Array, y: Array, loss: str) -> Any:
    return cx.GatedReluTraining(X, y, beta=BETA, loss=loss, patterns=10, bias=True)


def sampled(X: Array, y: Array, loss: str) -> Any:
    return cx.SampledReluTraining(X, y, beta=BETA, loss=loss, neurons=20, bias=True)


def line(X: Array, y: Array, loss: str) -> Any:
    return cx.UnivariateReluTraining(X[:, 1], y, beta=BETA, loss=loss)


def linear(X: Array, y: Array, loss: str) -> Any:
    if loss == "squared":
        return cx.WassersteinRegression(X, y, radius=0.1, order=2)
    return cx.WassersteinClassification(X, y, radius=0.1, order=1)


def centre(X: Array, y: Array, loss: str) -> Any:
    return cx.GeometricMedian(X)


BUILDERS = {build.__name__: build for build in (relu, gated, sampled, line, linear, centre)}
# What is not: where units are so large that the penalty is all but lost beside a loss that labels
# let vanish. At most this gap is left.
LEFT = {
    ("gated", "hinge", "columns"): 1e-5,
    ("sampled", "hinge", "large"): 1e-4,
}


def data(loss: str) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, D))
    y = 2.0 * np.maximum(X[:, 0], 0.0) - 2.0 * np.maximum(X[:, 1] - X[:, 2], 0.0)
    y += 0.2 * rng.standard_normal(N)
    if loss == "squared":
        return X, y
    labels = np.where(y > 0.0, 1.0, -1.0)
    labels[::7] *= -1.0
    return X, labels


def solved(name: str, loss: str, unit: str) -> None:
    X, y = UNITS[unit](*data(loss))
    solution = cx.solve(BUILDERS[name](X, y, loss), time_limit=60.0)
    left = LEFT.get((name, loss, unit))
    if left is None:
        assert solution.status is cx.Status.OPTIMAL, solution.message
    else:
        assert abs(solution.gap) <= left


@pytest.mark.parametrize("unit", sorted(QUICK))
@pytest.mark.parametrize("name", ["relu", "gated", "line", "linear"])
def test_problems_in_any_units_are_solved(name: str, unit: str) -> None:
    solved(name, "squared", unit)


@pytest.mark.slow
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge"])
@pytest.mark.parametrize("name", BUILDERS)
def test_every_problem_in_all_units_is_solved(name: str, loss: str, unit: str) -> None:
    if loss != "squared" and "targets" in unit:
        pytest.skip("labels have no units")
    solved(name, loss, unit)

"""What is said of data whose scales are far apart, and when."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.scales import scaling

X = np.random.default_rng(0).uniform(1.0, 2.0, (40, 2))
FAR = X + np.array([0.0, 1e3])
LONG = np.where(np.arange(40)[:, None] == 7, 5e3 * X, X)


@pytest.mark.parametrize(
    ("data", "y", "said"),
    [
        (X * [1e-6, 1.0], None, "column 0 of X goes to 2e-06 beside column 1 of X to 2"),
        (1e6 * X, None, "X goes to 2e+06"),
        (1e-6 * X, None, "X goes to 2e-06"),
        (
            X + np.array([0.0, 1e3]),
            None,
            "column 1 of X lies 3e+03 times as far from zero as it varies",
        ),
        (LONG, None, "row 7 of X is 5e+03 times as large as others"),
        (X, 1e6 * X[:, 0], "y goes to 2e+06"),
        (X, 1e-6 * X[:, 0], "y goes to 2e-06"),
    ],
)
def test_what_is_far_apart_is_named(data: Any, y: Any, said: str) -> None:
    assert scaling(data, y) == f"The scaling of the data stands in the way: {said}."


@pytest.mark.parametrize("data", [X, 50.0 * X, np.zeros((3, 2)), np.ones((5, 1))])
def test_moderate_data_are_not(data: Any) -> None:
    assert scaling(data, np.arange(len(data)) + 1.0) == ""


def test_it_is_said_of_answers_without_proof_alone() -> None:
    problem = cx.ReluTraining(
        X * [1e-6, 1e6], X[:, 0], beta=0.1, patterns=5, feature_names=["age", "salary"]
    )
    stopped = cx.solve(problem, "fista", max_iter=5)
    assert stopped.status is cx.Status.MAX_ITER
    assert "'age' goes to 2e-06 beside 'salary' to 2e+06" in stopped.message
    assert "scaling" not in cx.solve(problem, "fista", max_iter=5, tol=1e9).message
    assert "scaling" not in cx.solve(problem, "fista", callback=lambda step: True).message


def test_a_penalty_lost_beside_the_loss_is_named() -> None:
    dollars = 1e5 * (1.0 + X[:, 0])
    problem = cx.GatedReluTraining(X, dollars, beta=2e-6, patterns=5)
    said = cx.solve(problem, "fista", max_iter=1).message
    assert "beta is 9e-14 of one that leaves no neuron" in said
    heavier = cx.GatedReluTraining(X, dollars, beta=1e2, patterns=5)
    assert "beta" not in cx.solve(heavier, "fista", max_iter=1).message

"""What "auto" chooses, held against the sweeps that are kept in bench/results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import convexnn as cx
from convexnn.bench.cases.case import FAMILIES, cases
from convexnn.bench.report import measures
from convexnn.bench.report.frame import read
from convexnn.bench.report.standing import kept
from convexnn.contract.arrays import Array
from convexnn.driver.choice import automatic

RESULTS = Path(__file__).parents[2] / "bench" / "results"
TARGET = 1e-6
WORST = 2.0
FLOOR = 0.02  # seconds: what is faster is as fast, on a machine that others use
LARGE = 5e6  # entries of the data from which an instance is not built here


@pytest.mark.parametrize("family", FAMILIES)
def test_auto_is_never_far_from_the_best_recorded(family: str) -> None:
    table = measures.times(measures.graded(read(kept(RESULTS, family))), (TARGET,))
    own = table[(table["peer"] == 0) & (table["backend"] != "auto")]
    checked, slow = 0, []
    for instance, runs in own.groupby("instance"):
        case = cases(family).get(str(instance))
        reached = runs[runs["reached"] > 0]
        if case is None or case.missing() or case.n * case.d > LARGE or reached.empty:
            continue
        chosen = automatic(case.build())
        total = (reached["cpu"] + reached["compile"]).set_axis(reached["backend"])
        best = max(float(total.min()), FLOOR)
        checked += 1
        if not total.get(chosen, np.inf) <= WORST * best:
            slow.append((instance, chosen, total.get(chosen), total.idxmin(), best))
    assert checked > 0
    assert not slow


@pytest.mark.parametrize("cones", [True, False])
def test_an_outlying_example_goes_to_interior_point(cones: bool) -> None:
    rng = np.random.default_rng(3)
    X = rng.standard_normal((60, 4))
    y = np.abs(X[:, 0]) + rng.standard_normal(60)
    kind = cx.ReluTraining if cones else cx.GatedReluTraining

    def backend(X: Array) -> str:
        return automatic(kind(X, y, beta=20.0, patterns=12 if cones else 70))

    assert backend(X) == "semismooth"
    X[7] *= 1e4
    assert backend(X) == "ipm"
    solution = cx.solve(kind(X, y, beta=20.0, patterns=12), tol=1e-6)
    assert solution.status is cx.Status.OPTIMAL


@pytest.mark.parametrize(("beta", "engine"), [(1.0, "ipm"), (1e7, "sampled-newton")])
def test_gates_of_many_examples_go_to_interior_point_where_beta_is_tiny(
    beta: float, engine: str
) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((5_000, 3))
    y = 1e5 * (np.abs(X[:, 0]) + rng.standard_normal(5_000))
    assert automatic(cx.GatedReluTraining(X, y, beta=beta, patterns=10)) == engine

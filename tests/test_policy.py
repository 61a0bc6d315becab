"""What "auto" chooses, held against the sweeps that are kept in bench/results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convexnn.bench import measures
from convexnn.bench.cases import FAMILIES, cases
from convexnn.bench.frame import read
from convexnn.bench.standing import kept
from convexnn.solving import automatic

RESULTS = Path(__file__).parents[1] / "bench" / "results"
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

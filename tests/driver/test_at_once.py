"""A compiled problem may run in several threads at once: each run is as if it were alone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.grading import contents

SAVED = sorted((Path(__file__).parent / "saved").glob("*.npz"))
AT_ONCE = 4
LONG = ("convex-concave", "cell-walk")  # whose every iteration solves programs


def answers() -> Iterator[Any]:
    """Yield every problem with every engine that runs here in this process."""
    seen = set()
    for path in SAVED:
        if path.stem == "network":
            continue
        problem = cx.load(path).problem
        for name in cx.backends(problem).names:
            key = type(problem).__name__, name
            if key not in seen and not name.startswith("mpi:"):
                seen.add(key)
                marks = [pytest.mark.slow] * (name in LONG)
                yield pytest.param(problem, name, id="-".join(key), marks=marks)


@pytest.mark.parametrize(("problem", "name"), list(answers()))
def test_runs_at_once_are_as_one_alone(problem: Any, name: str) -> None:
    ready = cx.compile(problem, name)

    def run(_: int) -> cx.Solution[Any]:
        return ready.run(tol=1e-3, max_iter=20)

    alone = run(0)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for found in pool.map(run, range(AT_ONCE)):
            assert found.status is alone.status, found.message
            assert found.certificate == alone.certificate
            assert contents(found.primal) == contents(alone.primal)
            assert contents(found.dual) == contents(alone.dual)


def test_graders_of_one_problem_are_asked_at_once() -> None:
    problem = cx.GeometricMedian(np.random.default_rng(0).standard_normal((50, 3)))
    primal, dual = problem.initial()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda _: problem.certify(primal, dual), range(40)))
    assert set(found) == {problem.certify(primal, dual)}

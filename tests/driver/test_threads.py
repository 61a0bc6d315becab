"""The linear algebra libraries have so many threads as are asked for, during a run alone."""

from __future__ import annotations

import pytest
import scipy.linalg  # noqa: F401  # which brings libraries of its own
from threadpoolctl import threadpool_info, threadpool_limits

import convexnn as cx


def counts() -> dict[str, int]:
    """Return the threads of each library of linear algebra."""
    return {p["filepath"]: p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas"}


@pytest.mark.parametrize("before", [1, 2])
@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_those_asked_for(before: int, threads: int) -> None:
    with threadpool_limits(2, "blas"):
        several = [path for path, count in counts().items() if count == 2]  # some know but one
    assert several

    def here() -> set[int]:
        found = counts()
        return {found[path] for path in several}

    seen: list[set[int]] = []
    problem = cx.GeometricMedian([[0.0, 1.0], [2.0, 0.0], [5.0, 5.0]])
    with threadpool_limits(before, "blas"):
        cx.solve(problem, threads=threads, callback=lambda step: seen.append(here()))
        assert here() == {before}
    assert seen
    assert all(found == {threads} for found in seen)

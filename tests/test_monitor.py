"""The driver: which of the points of a run it keeps."""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.monitor import Monitor
from convexnn.solution import Certificate


class Graded:
    """A problem whose points are their own certificates."""

    def certify(self, primal: Certificate, dual: Any) -> Certificate:
        return primal


def monitor(problem: Any, tol: float = 1e-6) -> Monitor:
    return Monitor(problem, tol, None, None)


def grade(objective: float, bound: float, violation: float = 0.0) -> Certificate:
    return Certificate(objective, bound, violation, "these patterns")


def test_a_bound_that_is_not_a_number_never_replaces_one_that_is() -> None:
    watch = monitor(Graded())
    watch.report(1, grade(3.0, 1.0), "good")
    watch.report(2, grade(2.0, np.nan), "bad")
    assert watch.history[-1].bound == 1.0
    assert watch._dual == "good"
    watch.report(3, grade(2.5, 1.5), "better")
    assert (watch._dual, watch._certificate) == ("better", grade(2.0, 1.5))


def test_of_equal_bounds_the_later_dual_point_is_kept() -> None:
    watch = monitor(Graded())
    watch.report(1, grade(3.0, 1.0), "early")
    watch.report(2, grade(3.0, 1.0), "late")
    assert watch._dual == "late"

"""The driver: which of the points of a run it keeps, and what it prunes from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.certificate import Certificate
from convexnn.driver.monitor import Monitor
from convexnn.relu.forms import Neurons


class Graded:
    """A problem whose points are their own certificates; pruning takes `lighter` from a table."""

    def __init__(self, lighter: dict[Certificate, Certificate] | None = None) -> None:
        self.lighter = lighter or {}

    def certify(self, primal: Certificate, dual: Any) -> Certificate:
        return primal

    def prune(self, primal: Certificate) -> Certificate:
        return self.lighter.get(primal, primal)


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


def test_a_bound_that_closes_in_on_an_earlier_point_ends_the_run() -> None:
    watch = monitor(Graded())
    assert not watch.report(1, grade(1.0, 0.0), "early")
    assert watch.report(2, grade(2.0, 1.0), "late")
    _, dual, certificate = watch.finish()
    assert dual == "late"
    assert certificate.objective == 1.0


def test_of_equal_bounds_the_later_dual_point_is_kept() -> None:
    watch = monitor(Graded())
    watch.report(1, grade(3.0, 1.0), "early")
    watch.report(2, grade(3.0, 1.0), "late")
    assert watch._dual == "late"


def test_dead_parts_that_alone_violate_do_not_keep_a_run_going() -> None:
    heavy, light = grade(1.0, 1.0, violation=0.5), grade(1.0, 1.0)
    watch = monitor(Graded({heavy: light}))
    assert watch.report(1, heavy, "dual")
    assert watch.finish()[2] == light


@pytest.mark.parametrize("lighter", [grade(2.0, 1.0), grade(1.0, 1.0, violation=0.5)])
def test_pruning_that_costs_the_gap_or_the_cones_is_not_taken(lighter: Certificate) -> None:
    heavy = grade(1.0, 1.0, violation=0.1)
    watch = monitor(Graded({heavy: lighter}))
    assert not watch.report(1, heavy, "dual")
    assert watch.history[-1].violation == 0.1


def test_a_gap_that_does_not_pass_is_not_pruned_at_every_step() -> None:
    heavy = grade(2.0, 1.0, violation=0.1)
    watch = monitor(Graded({heavy: grade(1.0, 1.0)}))
    assert not watch.report(1, heavy, "dual")
    assert watch.history[-1].objective == 2.0


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_neurons_that_cost_next_to_nothing_are_pruned_in_any_units(scale: float) -> None:
    X = np.array([[1.0], [2.0], [-1.0]])
    problem = cx.ReluTraining(X, scale * np.array([1.0, 2.0, 3.0]), beta=scale, patterns=2)
    none = np.zeros(1)
    P = problem.initial()[0].V.shape[1]
    for size, kept in ((1e-12, False), (1e-8, True)):
        V = np.zeros((1, P))
        V[0, 0] = size * scale
        primal = Neurons(V, np.zeros((1, P)), none)
        assert bool(problem.prune(primal).V.any()) == kept


def test_an_optimum_at_zero_is_reached_whatever_the_cones_of_its_remains() -> None:
    """Neurons that die out leave a relative violation that means nothing."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((12, 3))
    y = X @ rng.standard_normal(3) + 0.1 * rng.standard_normal(12)
    problem = cx.ReluTraining(X, y, beta=10.0, penalty="l1", skip=True, patterns=6)
    solution = cx.solve(problem, "ipm", tol=1e-8)
    assert solution.status is cx.Status.OPTIMAL
    assert solution.history[-1].iteration <= 60
    assert not solution.primal.V.any()
    assert not solution.primal.W.any()


def test_at_the_end_only_a_point_with_dead_parts_is_certified() -> None:
    X = np.random.default_rng(0).standard_normal((12, 2))
    problem = cx.ReluTraining(X, X[:, 0], beta=0.1, patterns=4)
    alive = cx.solve(problem, tol=1e-8)
    dead = alive.primal._replace(V=np.where(alive.primal.V == 0.0, 1e-12, alive.primal.V))
    for primal, times in ((alive.primal, 0), (dead, 1)):
        watch = monitor(Counting(problem))
        watch.report(1, primal, alive.dual)
        watch.problem.graded = 0  # type: ignore[attr-defined]
        kept, _, certificate = watch.finish()
        assert watch.problem.graded == times  # type: ignore[attr-defined]
        assert np.array_equal(kept.V, alive.primal.V)
        assert certificate == problem.certify(kept, alive.dual)


class Counting:
    """A problem that counts how often it certifies."""

    def __init__(self, problem: Any) -> None:
        self.of, self.graded = problem, 0

    def certify(self, primal: Any, dual: Any) -> Any:
        self.graded += 1
        return self.of.certify(primal, dual)

    def prune(self, primal: Any) -> Any:
        return self.of.prune(primal)

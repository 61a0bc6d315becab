"""A run's grader computes each half of a certificate once, and is never misled by what it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.contract.certificate import Certificate
from convexnn.contract.grading import Bound, Grade, Halves, PlainGrader, contents, grader_of
from convexnn.driver.monitor import Monitor
from convexnn.median import sights
from convexnn.median.forms import MedianForm, View, view
from convexnn.relu.forms import Neurons
from convexnn.wasserstein.forms import WassersteinForm

SAVED = sorted((Path(__file__).parents[1] / "driver" / "saved").glob("*.npz"))
PROBLEMS = [path.stem for path in SAVED if path.stem != "network"]


class Counted(Halves[float]):
    """Minimise ``sum x^2``; of the dual point the largest entry is the bound."""

    def __init__(self, size: int = 1) -> None:
        self.size = size
        self.grades: list[float] = []
        self.bounds: list[float] = []

    def to_cvxpy(self) -> Any:
        raise NotImplementedError

    def initial(self) -> tuple[tuple[Array], tuple[Array]]:
        return at(*[0.0] * self.size), at(0.0)

    def grade(self, primal: Any) -> Grade:
        self.grades.append(float(primal[0].sum()))
        return Grade(float(np.sum(np.square(primal[0]))))

    def bound(self, primal: Any, dual: Any, grade: Grade) -> Bound:
        self.bounds.append(float(dual[0].max()))
        return Bound(float(dual[0].max()), "all x")

    def prune(self, primal: Any, objective: float | None = None) -> Any:
        assert objective == float(np.sum(np.square(primal[0])))
        return (np.where(np.abs(primal[0]) > 1e-9, primal[0], 0.0),)

    def build_model(self, primal: Any, objective: float | None = None) -> float:
        assert objective is not None
        return objective


def at(*entries: float) -> tuple[Array]:
    return (np.array(entries),)


def watched(problem: Any) -> Monitor:
    return Monitor(problem, 1e-6, None, None)


def test_each_report_costs_one_grade_and_one_bound() -> None:
    problem = Counted()
    watch = watched(problem)
    watch.report(1, at(2.0), at(1.0))
    watch.report(2, at(1.5), at(1.5))
    assert (problem.grades, problem.bounds) == ([2.0, 1.5], [1.0, 1.5])
    assert watch.finish()[2] == Certificate(2.25, 1.5, 0.0, "all x")
    assert watch.grader.build_model(at(1.5)) == 2.25
    assert (problem.grades, problem.bounds) == ([2.0, 1.5], [1.0, 1.5])


def test_the_best_halves_of_different_reports_are_not_computed_again() -> None:
    problem = Counted()
    watch = watched(problem)
    for primal, dual in ((1.0, 0.1), (2.0, 0.2), (3.0, 0.3), (4.0, 0.25), (5.0, 0.0)):
        watch.report(1, at(primal), at(dual))
    assert watch.finish() == (at(1.0), at(0.3), Certificate(1.0, 0.3, 0.0, "all x"))
    assert (len(problem.grades), len(problem.bounds)) == (5, 5)


def test_a_pruned_point_is_graded_and_its_bound_is_known() -> None:
    problem = Counted(size=2)
    watch = watched(problem)
    watch.report(1, at(2.0, 1e-12), at(1.0))
    primal, _, certificate = watch.finish()
    assert primal[0].tolist() == [2.0, 0.0]
    assert certificate.objective == 4.0
    assert (len(problem.grades), len(problem.bounds)) == (2, 1)


@pytest.mark.parametrize("part", [0, 1])
def test_a_point_that_an_engine_writes_into_is_graded_anew(part: int) -> None:
    """Nothing is remembered of an array that holds other numbers by now."""
    problem = Counted()
    watch = watched(problem)
    points = at(2.0), at(1.0)
    watch.report(1, *points)
    points[part][0][0] = 0.5
    certificate = watch.finish()[2]
    assert (certificate.objective, certificate.bound) == ((0.25, 1.0), (4.0, 0.5))[part]


def test_points_of_other_kinds_of_numbers_are_others() -> None:
    same = [np.zeros(2), np.zeros(2, np.float32), np.zeros((2, 1)), (np.zeros(2),), None, 0, 0.0]
    assert all((contents(a) == contents(b)) == (a is b) for a in same for b in same)
    assert contents(Neurons(*[np.ones(1)] * 3)) != contents((np.ones(1),) * 3)
    assert contents(np.array([np.nan])) == contents(np.array([np.nan]))
    unseen = [object()]
    assert contents(unseen) != contents(unseen)


class Told(Counted):
    """One whose scope depends on the objective beside a bound."""

    def bound(self, primal: Any, dual: Any, grade: Grade) -> Bound:
        return Bound(*super().bound(primal, dual, grade)[:2], lambda value: f"; from {value:g}")


def test_what_a_scope_adds_is_of_the_point_at_hand() -> None:
    problem = Told()
    watch = watched(problem)
    watch.report(1, at(2.0), at(1.0))
    watch.report(2, at(3.0), at(1.5))
    primal, dual, certificate = watch.finish()
    assert certificate == Certificate(4.0, 1.5, 0.0, "all x; from 4")
    assert certificate == problem.certify(primal, dual)


def test_a_grader_of_another_run_knows_the_best_points_alone() -> None:
    problem = Counted()
    first = problem.grader()
    first.certify(at(1.0), at(0.5))
    first.keep()
    first.certify(at(2.0), at(0.6))
    again = first.again()
    again.certify(at(1.0), at(0.5))
    assert (problem.grades, problem.bounds) == ([1.0, 2.0], [0.5, 0.6])
    again.certify(at(2.0), at(0.6))
    assert (problem.grades, problem.bounds) == ([1.0, 2.0, 2.0], [0.5, 0.6, 0.6])


class Plain:
    """A problem of somebody else's, without a grader of its own."""

    def __init__(self) -> None:
        self.graded = 0

    def certify(self, primal: Any, dual: Any) -> Certificate:
        self.graded += 1
        return Certificate(float(primal.sum()), float(dual.sum()), 0.0, "all x")

    def prune(self, primal: Any) -> Any:
        return primal


def test_a_problem_without_a_grader_certifies_each_pair_once() -> None:
    problem = Plain()
    watch = watched(problem)
    assert isinstance(watch.grader, PlainGrader)
    for value in (3.0, 2.0):
        watch.report(1, np.array([value]), np.array([1.0]))
    assert watch.finish()[2].objective == 2.0
    assert problem.graded == 2


def recorded(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, parts: slice) -> list[Any]:
    """Return the arguments that a method of a class is called with from here on."""
    calls: list[Any] = []
    plain = getattr(owner, name)

    def call(self: Any, *points: Any) -> Any:
        calls.append(contents(points[parts]))
        return plain(self, *points)

    monkeypatch.setattr(owner, name, call)
    return calls


@pytest.mark.parametrize("name", PROBLEMS)
def test_no_half_is_computed_twice_in_a_solve(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = cx.load(SAVED[0].with_name(f"{name}.npz")).problem
    if isinstance(problem, cx.GeometricMedian):
        looks: list[bytes] = []

        def look(form: MedianForm, offset: Array) -> View:
            looks.append(offset.tobytes())
            return view(form, offset)

        monkeypatch.setattr(sights, "view", look)
        steps = len(cx.solve(problem, tol=1e-4).history)
        assert len(looks) == len(set(looks)) >= steps
        return
    grades = recorded(monkeypatch, type(problem), "grade", slice(1))
    bounds = recorded(monkeypatch, type(problem), "bound", slice(1, 3))
    solution = cx.solve(problem, tol=1e-4, time_limit=20.0)
    assert len(grades) == len(set(grades))
    assert len(bounds) == len(set(bounds))
    assert len(grades) <= len(solution.history) + 1  # of the pruned point


def test_a_risk_is_computed_once_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).standard_normal((30, 2))
    problem = cx.WassersteinRegression(X, X[:, 0] + 1.0, radius=0.1)
    risks = recorded(monkeypatch, WassersteinForm, "risk", slice(1))
    solution = cx.solve(problem)
    assert len(solution.history) >= 2
    assert len(risks) == len(set(risks)) == len(solution.history)
    assert grader_of(problem).certify(solution.primal, solution.dual) == solution.certificate

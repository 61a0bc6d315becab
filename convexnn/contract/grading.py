"""Grading: one grader a run, which remembers what it has computed of the points that count.

A certificate has two halves: what a primal point says by itself, its `Grade`, and the bound that
a dual point proves. The best of each may come from different points of a run, and pruning makes
another primal point of the best one, so that each half is remembered by itself: of the trivial
point, of the best so far and of the last two. A point is known again by its contents, whatever
object it is: an engine may write into arrays that it has handed over.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np

from convexnn.contract.certificate import Certificate
from convexnn.contract.points import ShapeError, fitted, hollow, outline
from convexnn.contract.problem import Builder, Deferred, Model, Problem

if TYPE_CHECKING:
    from convexnn.contract.backend import Reporter

Known = TypeVar("Known")

PLAIN = (bool, int, float, str, type(None))
KNOWN = 100  # outlines of points that are remembered as those of points of the problem


class Grade(NamedTuple):
    """What a primal point says by itself.

    Attributes
    ----------
    objective : float
    violation : float, default 0.0
    scale : float or tuple of floats, default 0.0
        All that a bound takes from the point: the length of a free part, say, on which the
        rounding of an equation counts.
    net : float, optional
        The objective less what every answer has to pay, where that would hide all else.
    """

    objective: float
    violation: float = 0.0
    scale: float | tuple[float, ...] = 0.0
    net: float | None = None


class Bound(NamedTuple):
    """What a dual point proves.

    Attributes
    ----------
    value : float
        Rigorous lower bound on the optimum within `scope`.
    scope : str
        As in a `Certificate`.
    addition : callable, optional
        Returns what the scope adds for an objective.
    net : float, optional
        The bound less what every answer has to pay, if the grade of a point says its own so.
    """

    value: float
    scope: str
    addition: Callable[[float], str] | None = None
    net: float | None = None

    def beside(self, grade: Grade) -> Certificate:
        """Return the certificate of a primal point and this bound.

        A point whose figures are no numbers costs more than any; such a bound says nothing.
        """
        objective, violation = (np.inf if np.isnan(part) else part for part in grade[:2])
        value = -np.inf if np.isnan(self.value) else float(self.value)
        scope = self.scope if self.addition is None else self.scope + self.addition(objective)
        both = None if grade.net is None or self.net is None else (grade.net, self.net)
        return Certificate(float(objective), value, float(violation), scope, both)


@runtime_checkable
class Grader(Protocol, Generic[Model]):
    """Grades the points of one run of one problem, and dies with it."""

    def certify(self, primal: Any, dual: Any) -> Certificate:
        """Grade a primal and a dual point, as the problem does."""
        ...

    def objective(self, primal: Any) -> float:
        """Return the objective of a point, for an engine that is about to report it."""
        ...

    def prune(self, primal: Any) -> Any:
        """Return a point without its numerically dead parts, as the problem does."""
        ...

    def build_model(self, primal: Any) -> Model:
        """Return what the user receives, as the problem does."""
        ...

    def keep(self, *, primal: bool = True, dual: bool = True) -> None:
        """Hear which of the two points certified last are the best so far."""
        ...

    def again(self) -> Grader[Model]:
        """Return a grader for another run, which knows the best points of this one."""
        ...


@runtime_checkable
class Remembers(Protocol):
    """A problem with a grader of its own."""

    def grader(self) -> Grader[Any]:
        """Return a grader that knows nothing yet."""
        ...


def grader_of(problem: Problem[Model]) -> Grader[Model]:
    """Return a new grader of a problem: its own kind, or one that calls `certify`."""
    return problem.grader() if isinstance(problem, Halves | Remembers) else PlainGrader(problem)


class Memo:
    """What is known of few points: of the first, the best and the last two."""

    def __init__(self) -> None:
        self._first: tuple[Any, Any] | None = None
        self._best: tuple[Any, Any] | None = None
        self._last: tuple[Any, Any] | None = None
        self._before: tuple[Any, Any] | None = None

    def of(self, key: Any, compute: Callable[[], Known]) -> Known:
        """Return what is known of a point by its `contents`, computed if it is none of them."""
        if self._last is None or self._last[0] != key:
            for held in (self._before, self._best, self._first):
                if held is not None and held[0] == key:
                    break
            else:
                held = key, compute()
            self._before, self._last = self._last, held
        value: Known = self._last[1]
        return value

    def keep(self) -> None:
        """Call the last point the best."""
        self._best = self._last

    def again(self) -> Memo:
        """Return a memory of the best point alone."""
        other = Memo()
        other._first = self._best
        return other


def contents(point: Any) -> Any:
    """Return what two points have in common exactly if they hold the same numbers.

    Examples
    --------
    >>> contents((np.zeros(2), None)) == contents((np.zeros(2), None))
    True
    >>> contents(np.zeros(2)) == contents(np.zeros(2, np.float32))
    False
    >>> contents(np.array(0.0)) == contents(np.float64(0.0))
    False
    """
    if isinstance(point, np.ndarray) and not point.dtype.hasobject:
        return point.dtype.str, point.shape, point.tobytes()
    if isinstance(point, tuple):
        return type(point), *map(contents, point)
    if isinstance(point, PLAIN):
        return type(point), point
    return object()  # what may change unseen is never known again


class PlainGrader(Generic[Model]):
    """Asks the problem, and once only about the same pair of points.

    Parameters
    ----------
    problem : Problem
    """

    def __init__(self, problem: Problem[Model]) -> None:
        self.problem = problem
        self._pairs = Memo()

    def certify(self, primal: Any, dual: Any) -> Certificate:
        """Grade a primal and a dual point."""
        key = contents((primal, dual))
        return self._pairs.of(key, lambda: self.problem.certify(primal, dual))

    def objective(self, primal: Any) -> float:
        """Return the objective of a point."""
        return self.problem.objective(primal)

    def prune(self, primal: Any) -> Any:
        """Return a point without its numerically dead parts."""
        return self.problem.prune(primal)

    def build_model(self, primal: Any) -> Model:
        """Return what the user receives."""
        return self.problem.build_model(primal)

    def keep(self, *, primal: bool = True, dual: bool = True) -> None:
        """Remember the last pair if both of its points are the best."""
        if primal and dual:
            self._pairs.keep()

    def again(self) -> PlainGrader[Model]:
        """Return a grader that knows the best pair."""
        other = type(self)(self.problem)
        other._pairs = self._pairs.again()
        return other


class Fitting:
    """Tells whether points are points of a problem: of the class and the shapes of its own.

    What it has found is remembered by the outline of a point, so that a run asks once.
    """

    def __init__(self) -> None:
        self._known: tuple[set[object], set[object]] = set(), set()
        self._own: tuple[Any, Any] | None = None

    def learn(self, primal: Any, dual: Any) -> None:
        """Hear the problem's own trivial points."""
        self._known[0].add(outline(primal))
        self._known[1].add(outline(dual))

    def points(self, problem: Any, primal: Any, dual: Any) -> tuple[Any, Any]:
        """Return the points with their numbers as floats, the trivial dual point for None.

        In the place of a dual point of other shapes that is None.

        Raises
        ------
        ProblemError
            If one is no point of the problem.
        """
        if outline(primal) not in self._known[0]:
            primal = self._point(problem, 0, primal)
        if outline(dual) not in self._known[1]:
            dual = self._point(problem, 1, dual)
        return primal, dual

    def _point(self, problem: Any, half: int, point: Any) -> Any:
        if isinstance(problem, Deferred) and outline(point) == outline(problem.unwritten()[half]):
            return point  # of an answer without time, which none is to go by
        if half == 1 and point is None:
            return problem.initial()[1]
        if self._own is None:
            own = problem.initial()
            self._own = hollow(own[0]), hollow(own[1])
        try:
            found = fitted(("primal", "dual")[half], point, self._own[half])
        except ShapeError:
            if half == 0:
                raise
            return None
        if len(self._known[half]) == KNOWN:
            self._known[half].clear()
        self._known[half].add(outline(found))
        return found


class Halves(Builder, Generic[Model]):
    """Base of the problems whose certificate falls into two halves."""

    @cached_property
    def fitting(self) -> Fitting:
        """What tells its points from others."""
        return Fitting()

    @abstractmethod
    def grade(self, primal: Any) -> Grade:
        """Grade a primal point."""

    @abstractmethod
    def bound(self, primal: Any, dual: Any, grade: Grade) -> Bound:
        """Return what a dual point proves; of the primal one it takes ``grade.scale`` at most."""

    @abstractmethod
    def build_model(self, primal: Any, objective: float | None = None) -> Model:
        """Return what the user receives; `objective` is that of the point, where it is known."""

    def prune(self, primal: Any, objective: float | None = None) -> Any:
        """Return the point itself: nothing of it is numerically dead."""
        return primal

    def objective(self, primal: Any) -> float:
        """Return the objective of the model that `primal` stands for."""
        return self.grade(primal).objective

    def certify(self, primal: Any, dual: Any) -> Certificate:
        """Grade a primal and a dual point, whoever found them: see `grade` and `bound`.

        Parameters
        ----------
        primal : NamedTuple
            As ``initial()[0]``: of its class and its shapes.
        dual : NamedTuple or None
            As ``initial()[1]``; None is that one. Arrays of real numbers in other shapes prove
            nothing: the bound is -inf.

        Returns
        -------
        Certificate
            A point with an entry that is NaN costs more than any, or proves nothing.

        Raises
        ------
        ProblemError
            If one is no point of the problem, by its class or what its arrays hold, or the primal
            one by their shapes.
        """
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # said by the figures
            return self.grader().certify(primal, dual)

    def grader(self) -> Grader[Model]:
        """Return a grader for one run."""
        return HalvesGrader(self)


class HalvesGrader(Generic[Model]):
    """Computes each half once.

    Parameters
    ----------
    problem : Halves
    """

    def __init__(self, problem: Halves[Model]) -> None:
        self.problem = problem
        self._grades, self._bounds = Memo(), Memo()

    def grade(self, primal: Any) -> Grade:
        """Grade a primal point."""
        return self._grades.of(contents(primal), lambda: self._graded(primal))

    def certify(self, primal: Any, dual: Any) -> Certificate:
        """Grade a primal and a dual point; see `Halves.certify`."""
        problem: Any = self.problem
        primal, found = problem.fitting.points(problem, primal, dual)
        if found is not None:
            return self._certified(primal, found)
        return self._certified(primal, problem.initial()[1]).without_bound()

    def _certified(self, primal: Any, dual: Any) -> Certificate:
        grade = self.grade(primal)
        key = contents(dual), grade.scale
        return self._bounds.of(key, lambda: self._bounded(primal, dual, grade)).beside(grade)

    def _graded(self, primal: Any) -> Grade:
        return self.problem.grade(primal)

    def _bounded(self, primal: Any, dual: Any, grade: Grade) -> Bound:
        return self.problem.bound(primal, dual, grade)

    def objective(self, primal: Any) -> float:
        """Return the objective of a point, remembered for when it is reported."""
        return self.grade(primal).objective

    def prune(self, primal: Any) -> Any:
        """Return a point without its numerically dead parts."""
        return self.problem.prune(primal, self.objective(primal))

    def build_model(self, primal: Any) -> Model:
        """Return what the user receives."""
        return self.problem.build_model(primal, self.objective(primal))

    def keep(self, *, primal: bool = True, dual: bool = True) -> None:
        """Remember what is known of the best points."""
        if primal:
            self._grades.keep()
        if dual:
            self._bounds.keep()

    def again(self) -> HalvesGrader[Model]:
        """Return a grader that knows the best points."""
        other = type(self)(self.problem)
        other._grades, other._bounds = self._grades.again(), self._bounds.again()
        return other


@runtime_checkable
class Asked(Protocol):
    """A reporter whose grader an engine may ask: what it answers is not computed again.

    It grades the problem whose form the engine runs on; a reporter of a part of a run has none.
    """

    @property
    def grader(self) -> Grader[Any]:
        """Return the grader of this run."""
        ...


class Valued(Protocol):
    """A form that values points."""

    def objective(self, primal: Any, /) -> float:
        """Return the objective of a point."""
        ...


def objective_of(form: Valued, reporter: Reporter) -> Callable[[Any], float]:
    """Return what values the points that an engine is about to report.

    That is the grader of its run, which then knows them; the form, where a run has none.
    """
    return reporter.grader.objective if isinstance(reporter, Asked) else form.objective

"""The one loop of the iterative engines: a step, a look at the clock, now and then a report.

An engine gives its step and what is to be reported. When that is, that time is up, and that
numbers which are no longer finite end a run with words, is decided here; and so is how often, and
by how much, penalties are balanced.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import ceil, isfinite
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from convexnn.contract.backend import Outcome, Raw, Reporter

FIRST = 10  # step that is reported first, and at which penalties are balanced first
GROWTH = 1.2  # reports are spaced geometrically: a stop comes at most this factor late, and a
# report costs a step or more, so that closer ones take longer than they save
FALL = 0.1  # of an engine's own gap from one report to the next
RARER = 1.6  # from one balancing of the penalties to the next
FASTEST = 10.0  # change of a penalty
BRIEF = 0.01  # seconds between two common looks at the clock that are too few to matter
NOT_FINITE = "The iterates are no longer finite."
NO_FURTHER = "No further step is possible at this accuracy."

P = TypeVar("P")


def iterate(
    step: Callable[[int], Raw | None],
    points: Callable[[], tuple[Any, Any]],
    reporter: Reporter,
    limit: int,
    *,
    due: Callable[[int], bool] | None = None,
    after: Callable[[int], object] | None = None,
    done: int = 0,
    begin: int = 0,
) -> Raw:
    """Make steps until the reporter is satisfied, time is up, or the method ends by itself.

    The clock is looked at after every step.

    Parameters
    ----------
    step : callable
        Makes step k, counted from 1; returns None, or how the method ends by itself. What it has
        reached by then is reported, and if that satisfies, there is no more to say.
    points : callable
        Returns the primal and the dual point at hand: arrays in tuples.
    reporter : Reporter
    limit : int
        Steps at most.
    due : callable, optional
        Tells whether step k is to be reported; `Spaced` if left out. The last step is always.
    after : callable, optional
        What comes between step k and the next one, once it was looked at.
    done : int, default 0
        Steps that the run made before it was interrupted; what they led to is reported first.
    begin : int, default 0
        Steps that another method made before this one; they count, and need no report.

    Returns
    -------
    Raw
        Stopped, out of steps, failed where a point has numbers that are not finite, or what the
        step returned.

    Examples
    --------
    The root of 2 by Newton's method:

    >>> class Printer:
    ...     def report(self, k, primal, dual):
    ...         print(k, primal)
    ...         return k == 3
    ...     def expired(self):
    ...         return False
    >>> x = 1.0
    >>> def step(k):
    ...     global x
    ...     x = 0.5 * (x + 2.0 / x)
    >>> print(iterate(step, lambda: (x, None), Printer(), 100, due=lambda k: True).outcome)
    1 1.5
    2 1.4166666666666665
    3 1.4142156862745097
    stopped
    """

    def look(k: int, end: Raw | None, late: bool) -> Raw | None:
        primal, dual = points()
        if not (finite(primal) and finite(dual)):
            return Raw(Outcome.FAILED, NOT_FINITE)
        satisfied = reporter.report(k, primal, dual) or late
        told = end is not None and end.outcome != Outcome.FINISHED
        return Raw(Outcome.STOPPED) if satisfied and not told else end

    due = Spaced() if due is None else due
    if done > 0:
        for k in range(1, done + 1):
            due(k)
        ending = look(done, None, reporter.expired())
        if ending is not None:
            return ending
    for k in range(max(done, begin) + 1, limit + 1):
        end, late = step(k), reporter.expired()
        if due(k) or late or end is not None or k == limit:
            ending = look(k, end, late)
            if ending is not None:
                return ending
        if after is not None:
            after(k)
    return Raw(Outcome.MAX_ITER)


def finite(value: Any) -> bool:
    """Tell whether every number of a point is finite.

    Examples
    --------
    >>> finite((np.ones(2), None, 3)), finite((np.ones(2), (np.array([np.nan]), 1.0)))
    (True, False)
    """
    if isinstance(value, tuple):
        return all(map(finite, value))
    if isinstance(value, np.ndarray):
        return isfinite(np.vdot(value, value)) or bool(np.isfinite(value).all())
    return not isinstance(value, float) or isfinite(value)


class Spaced:
    """Tells which steps are due: the tenth, and each by a factor later than the one before.

    Parameters
    ----------
    growth : float, default 1.2
        The factor.

    Examples
    --------
    >>> due = Spaced(1.5)
    >>> [k for k in range(1, 100) if due(k)]
    [10, 15, 23, 34, 51, 76]
    """

    def __init__(self, growth: float = GROWTH) -> None:
        self.growth, self._next = growth, float(FIRST)

    def __call__(self, k: int) -> bool:
        """Tell whether step k, the next one, is due."""
        if k < self._next:
            return False
        self._next = max(self._next * self.growth, k + 1.0)
        return True


class Falling:
    """Tells which steps are due by the engine's own gap: it fell to a tenth, or it is small.

    One that is not a number is due at once: the look at its point ends the run.

    Parameters
    ----------
    gap : callable
        Returns the gap at hand.
    tol : float
        Below it every step is due.

    Examples
    --------
    >>> gaps = iter([1.0, 0.5, 0.09, 0.08, 0.01, 0.009])
    >>> due = Falling(lambda: next(gaps), 0.01)
    >>> [due(k) for k in range(6)]
    [True, False, True, False, True, True]
    """

    def __init__(self, gap: Callable[[], float], tol: float) -> None:
        self._gap, self._tol, self._shown = gap, tol, np.inf

    def __call__(self, k: int) -> bool:
        """Tell whether step k is due."""
        gap = self._gap()
        if gap > max(FALL * self._shown, self._tol):
            return False
        self._shown = gap
        return True


class Tuner:
    """Balances the residuals of a splitting by its penalties, ever more rarely.

    A penalty is multiplied by the ratio of the primal to the dual residual, each relative to the
    size of what it is the residual of (Boyd et al. 2011, section 3.4.1).

    Parameters
    ----------
    active : bool, default True
        Whether penalties are free to change at all.
    rarer : float, default 1.6
        How much later each balancing is than the one before; the first is at step 10.
    tolerated : float, default 1.2
        Ratio, either way, that is left as it is.

    Examples
    --------
    >>> tuner = Tuner(tolerated=3.0)
    >>> [k for k in range(1, 100) if tuner.due(k)]
    [10, 16, 26, 42, 68]
    >>> tuner.factor(1.0, 2.0), tuner.factor(1.0, 5.0), tuner.factor(1.0, 5e3)
    (1.0, 0.2, 0.1)
    """

    def __init__(
        self, active: bool = True, *, rarer: float = RARER, tolerated: float = 1.2
    ) -> None:
        self._active, self._rarer, self._tolerated = active, rarer, tolerated
        self._next = FIRST

    def due(self, k: int) -> bool:
        """Tell whether penalties are balanced after step k; steps may be left out."""
        if not self._active:
            return False
        last = 0
        while self._next <= k:
            last, self._next = self._next, ceil(self._rarer * self._next)
        return last == k

    def factor(self, primal: float, dual: float) -> float:
        """Return by what a penalty is to be multiplied; 1 where a residual is 0."""
        if not (primal > 0.0 and dual > 0.0):
            return 1.0
        factor = min(max(primal / dual, 1.0 / FASTEST), FASTEST)
        return 1.0 if 1.0 / self._tolerated <= factor <= self._tolerated else factor


class First:
    """The reporter of a run inside another that ends with the first point it reports.

    Parameters
    ----------
    outer : Reporter
        Asked for the time.
    """

    def __init__(self, outer: Reporter) -> None:
        self.expired, self.remaining = outer.expired, outer.remaining

    def report(self, iteration: int, primal: Any, dual: Any) -> bool:
        """Return True."""
        return True


class Best(Generic[P]):
    """The reporter of a run inside another: it keeps the point of least objective.

    Parameters
    ----------
    objective : callable
        Of a primal point.
    point : tuple
        The best so far.
    outer : Reporter
        Asked for the time.

    Attributes
    ----------
    point, value
        The best point and its objective.
    """

    def __init__(self, objective: Callable[[P], float], point: P, outer: Reporter) -> None:
        self._objective = objective
        self.point, self.value = point, objective(point)
        self.expired, self.remaining = outer.expired, outer.remaining

    def report(self, iteration: int, primal: P, dual: Any) -> bool:
        """Keep the point if it is the best; False: the run goes on."""
        value = self._objective(primal)
        if value < self.value:
            self.point, self.value = primal, value
        return False


def common(reporter: Reporter, talk: Company) -> Reporter:
    """Return the reporter of the first of many processes, for all of them; of one, its own."""
    return reporter if talk.size == 1 else Common(reporter, talk)


class Company(Protocol):
    """Processes that go the same way.

    Attributes
    ----------
    size : int
        How many there are.
    """

    size: int

    def agree(self, flag: bool) -> bool:
        """Return what the first process says, to all of them."""


class Common:
    """The reporter of the first process, for all of them: they hear the same answers.

    Hearing one another takes time, so they look at the clock together only as often as their steps
    are long.

    Parameters
    ----------
    reporter : Reporter
        Of this process.
    talk : Company
    """

    def __init__(self, reporter: Reporter, talk: Company) -> None:
        self._reporter, self._agree = reporter, talk.agree
        self._stride = self._left = 1
        self._before = time.perf_counter()

    def report(self, iteration: int, primal: Any, dual: Any) -> bool:
        """Have a point graded."""
        return self._agree(self._reporter.report(iteration, primal, dual))

    def expired(self) -> bool:
        """Tell whether time is up; asked by all processes equally often."""
        self._left -= 1
        if self._left > 0:
            return False
        now = time.perf_counter()
        brief = self._agree(now - self._before < BRIEF)
        self._left = self._stride = 2 * self._stride if brief else max(self._stride // 2, 1)
        self._before = now
        return self._agree(self._reporter.expired())

    def remaining(self) -> float | None:
        """Return the seconds left for this process."""
        return self._reporter.remaining()

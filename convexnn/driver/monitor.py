"""The driver between an engine and a problem: it has points certified and keeps the best."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from convexnn.contract.certificate import Certificate, Step
from convexnn.contract.clock import Clock, OutOfTime, timed_by
from convexnn.contract.grading import Grader, grader_of
from convexnn.contract.problem import Deferred, Problem, Strict
from convexnn.contract.system.interrupts import Request

if sys.platform != "win32":
    from resource import RUSAGE_CHILDREN, getrusage

Callback = Callable[[Step], bool | None]

GRACE = 0.5  # seconds beyond the limit that the bound of a last point may take


def processor() -> float:
    """Return the processor seconds of this process, its threads and its ended children.

    Examples
    --------
    >>> processor() <= processor()
    True
    """
    if sys.platform == "win32":  # nothing is counted of children there
        return time.process_time()
    children = getrusage(RUSAGE_CHILDREN)  # times() asks for the same and may be kept waiting
    return time.process_time() + children.ru_utime + children.ru_stime


class CallbackRaised(BaseException):
    """Carries what the user's callback raised past engines that survive their own breakdowns."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


def trivial(problem: Problem[Any], late: bool) -> tuple[Any, Any]:
    """Return the answer before any engine has run, or, if it is too late for one, without any."""
    return problem.unwritten() if late and isinstance(problem, Deferred) else problem.initial()


def _same(primal: Any, pruned: Any) -> bool:
    """Tell whether pruning left a point as it was."""
    if primal is pruned:
        return True
    if isinstance(primal, tuple):
        return all(_same(a, b) for a, b in zip(primal, pruned, strict=True))
    return isinstance(primal, np.ndarray) and np.array_equal(primal, pruned)


class Monitor:
    """Collects the points of one run.

    Primal and dual points are kept apart: the best network is held against the best bound,
    whichever steps they came from. The best is that of least objective; of a `Strict` problem,
    where a point may be cheap because it breaks the equations, that of least gap or violation,
    whichever is larger.

    Parameters
    ----------
    problem : Problem
    tol : float
    time_limit : float or None
        Seconds from the start of the run, certification included; of no account with a clock.
    callback : callable or None
        Called with each `Step`; a true answer stops the run.
    grader : Grader, optional
        Of this run and problem; a new one if left out.
    asked : Request, optional
        What signals ask of this run.
    clock : Clock, optional
        One that may have begun before the run; a new one if left out.
    """

    def __init__(
        self,
        problem: Problem[Any],
        tol: float,
        time_limit: float | None,
        callback: Callback | None,
        grader: Grader[Any] | None = None,
        asked: Request | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.problem, self.tol = problem, tol
        self.grader: Grader[Any] = grader_of(problem) if grader is None else grader
        self.clock = Clock.started(time_limit) if clock is None else clock
        self.now, self.callback = self.clock.now, callback
        self._late = self.clock.extended(GRACE)
        self.history: list[Step] = []
        self._done = 0  # iterations of the engines before
        self.certify_s = self._certify_cpu = 0.0
        self.timed_out = self.stopped = self.passed = False
        self.asked = Request() if asked is None else asked
        self._begin, self._begin_cpu = self.now(), processor()
        self._primal: Any = None
        self._dual: Any = None
        self._certificate: Certificate | None = None

    def elapsed(self) -> float:
        """Return the seconds since the run began."""
        return self.now() - self._begin

    def cpu(self) -> float:
        """Return the processor seconds since the run began, certification excluded."""
        return processor() - self._begin_cpu - self._certify_cpu

    def remaining(self) -> float | None:
        """Return the seconds left, at least 0; None without a limit."""
        return self.clock.remaining()

    def expired(self) -> bool:
        """Tell whether time is up or a signal came, and remember it."""
        self.stopped = self.stopped or bool(self.asked)
        self.timed_out = self.timed_out or self.remaining() == 0.0
        return self.timed_out or self.stopped

    def over(self) -> bool:
        """Tell whether the run has its answer, was stopped, or is out of time."""
        return self.passed or self.expired()

    def go_on(self) -> None:
        """Count the iterations of another engine from those so far."""
        self._done = self.history[-1].iteration if self.history else 0

    def report(self, iteration: int, primal: Any, dual: Any) -> bool:
        """Certify a point and keep it if it is the best; True asks the engine to stop."""
        seconds = self.elapsed() - self.certify_s
        begin, begin_cpu = self.now(), processor()
        if dual is None:
            dual = self._dual if self._certificate is not None else self.problem.initial()[1]
        with timed_by(self._late):
            dual, certificate = self._graded(primal, dual)
            if abs(certificate.gap) <= self.tol < certificate.violation:
                lighter = self.grader.prune(primal)
                _, without = self._graded(lighter, dual)
                if without.passes(self.tol):  # dead parts alone were in the way
                    primal, certificate = lighter, without
        self.certify_s += self.now() - begin
        self._certify_cpu += processor() - begin_cpu
        if not np.isfinite(certificate.objective):
            return self.expired()
        certificate = self._keep(primal, dual, certificate)
        step = Step(
            self._done + iteration,
            seconds,
            certificate.objective,
            certificate.gap,
            certificate.bound,
            certificate.violation,
        )
        self.history.append(step)
        if self.callback is not None:
            try:
                self.stopped = bool(self.callback(step)) or self.stopped
            except Exception as error:
                raise CallbackRaised(error) from error
        return self.over()

    def _graded(self, primal: Any, dual: Any) -> tuple[Any, Certificate]:
        """Grade a point by its own bound or, where there is no time for it, by the best so far."""
        try:
            return dual, self.grader.certify(primal, dual)
        except OutOfTime:
            if self._certificate is None:
                raise
        with timed_by(Clock()):
            return self._dual, self.grader.certify(primal, self._dual)

    def _keep(self, primal: Any, dual: Any, fresh: Certificate) -> Certificate:
        """Update the best pair; return the fresh point's certificate against the best bound.

        Of equal bounds the later is kept: its dual point knows more.
        """
        held = self._certificate
        proves = held is None or fresh.graded[1] >= held.graded[1]  # a NaN never takes its place
        if held is not None and not proves:
            dual, fresh = self._dual, fresh.with_bound(held)
        self._dual = dual
        passes = fresh.passes(self.tol)
        better = held is None or passes or (not self.passed and self._better(fresh, held))
        if held is None or better:
            self._primal, self._certificate = primal, fresh
        else:
            self._certificate = held.with_bound(fresh)
        self.grader.keep(primal=better, dual=proves)
        self.passed = self.passed or passes or self._certificate.passes(self.tol)
        return fresh

    @cached_property
    def _strict(self) -> bool:
        return isinstance(self.problem, Strict)

    def _better(self, fresh: Certificate, held: Certificate) -> bool:
        if not self._strict:
            return fresh.graded[0] < held.graded[0]

        def error(certificate: Certificate) -> tuple[float, float]:
            gap = abs(certificate.gap) if np.isfinite(fresh.bound) else 0.0
            return max(gap, certificate.violation, self.tol), certificate.graded[0]

        return error(fresh) < error(held.with_bound(fresh))

    def finish(self) -> tuple[Any, Any, Certificate]:
        """Return the best point without its dead parts, its dual, and their certificate.

        Pruning is undone where it would cost a tenth of the tolerance or the status.
        """
        begin = self.now()
        with timed_by(Clock()):
            if self._certificate is None:
                self._primal, self._dual = trivial(self.problem, late=True)
            primal, dual = self._primal, self._dual
            certificate = self.grader.certify(primal, dual)
        try:
            pruned = self.grader.prune(primal)
        except OutOfTime:  # a kernel of it is not compiled yet
            pruned = primal
        with timed_by(Clock()):
            lighter = certificate if _same(primal, pruned) else self.grader.certify(pruned, dual)
        value = certificate.graded[0]
        room = 0.1 * self.tol * max(1.0, abs(value))
        if lighter.graded[0] <= value + room and (
            lighter.passes(self.tol) or not certificate.passes(self.tol)
        ):
            primal, certificate = pruned, lighter
        self.certify_s += self.now() - begin
        return primal, dual, certificate

"""The clock of a run, and how work that is handed no reporter asks it.

An engine asks its reporter. Forms, drawn patterns, pruned answers and bounds are made by a problem,
which is handed none: for them the clock of the run under way is at hand in its context. A run
inside another has no more time than that one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from typing import Protocol


class OutOfTime(BaseException):
    """Ends work that is of no use half-done; the run that it is a part of answers without it.

    No Exception, so that what survives a failing engine does not take it for one.
    """


class Timed(Protocol):
    """What tells the time that is left: a `Clock`, or what watches a run."""

    @property
    def now(self) -> Callable[[], float]:
        """Return what reads the time in seconds."""
        ...

    def expired(self) -> bool:
        """Tell whether work is to end."""
        ...

    def remaining(self) -> float | None:
        """Return the seconds left, None without a limit."""
        ...


class Clock:
    """Counts down from when it is made.

    Parameters
    ----------
    limit : float, optional
        Seconds; without one, or where it is infinite, time is never up.
    now : callable, default time.perf_counter
        Reads the time in seconds.
    begin : float, optional
        When it began, by `now`; that is now if left out.

    Examples
    --------
    >>> ticks = iter([0.0, 1.0, 2.5])
    >>> clock = Clock(2.0, now=lambda: next(ticks))
    >>> clock.remaining(), clock.expired()
    (1.0, True)
    """

    def __init__(
        self,
        limit: float | None = None,
        now: Callable[[], float] = time.perf_counter,
        begin: float | None = None,
    ) -> None:
        self.limit = None if limit == inf else limit
        self.now = now
        self.begin = now() if begin is None else begin

    @classmethod
    def started(cls, limit: float | None = None) -> Clock:
        """Return a clock that starts now, within the one at hand.

        Examples
        --------
        >>> with timed_by(Clock(3.0, now=lambda: 0.0)):
        ...     Clock.started(5.0).remaining(), Clock.started(2.0).remaining()
        (3.0, 2.0)
        """
        around = _current.get()
        if around is None:
            return cls(limit)
        left = around.remaining()
        return cls(min(inf if limit is None else limit, inf if left is None else left), around.now)

    def extended(self, seconds: float) -> Clock:
        """Return the same clock with more time.

        Examples
        --------
        >>> Clock(2.0, now=lambda: 0.0).extended(1.0).remaining()
        3.0
        """
        limit = None if self.limit is None else self.limit + seconds
        return Clock(limit, self.now, self.begin)

    def elapsed(self) -> float:
        """Return the seconds since it was made."""
        return self.now() - self.begin

    def remaining(self) -> float | None:
        """Return the seconds left, at least 0; None without a limit."""
        return None if self.limit is None else max(0.0, self.limit - self.elapsed())

    def expired(self) -> bool:
        """Tell whether time is up."""
        return self.remaining() == 0.0


_current: ContextVar[Timed | None] = ContextVar("clock", default=None)


@contextmanager
def timed_by(clock: Timed) -> Iterator[None]:
    """Have the functions below answer by this clock within."""
    before = _current.set(clock)
    try:
        yield
    finally:
        _current.reset(before)


def seconds_left() -> float:
    """Return the seconds that the run under way has left, ``inf`` without one or a limit.

    Examples
    --------
    >>> seconds_left()
    inf
    >>> with timed_by(Clock(3.0, now=lambda: 0.0)):
    ...     seconds_left()
    3.0
    """
    clock = _current.get()
    if clock is None:
        return inf
    if clock.expired():
        return 0.0
    left = clock.remaining()
    return inf if left is None else left


def time_is_up() -> bool:
    """Tell whether the run under way is to end.

    Examples
    --------
    >>> time_is_up()
    False
    """
    clock = _current.get()
    return clock is not None and clock.expired()


def look() -> None:
    """Leave what is of no use half-done where the run under way is to end.

    Raises
    ------
    OutOfTime

    Examples
    --------
    >>> look()
    >>> with timed_by(Clock(0.0)):
    ...     look()
    Traceback (most recent call last):
    convexnn.contract.clock.OutOfTime
    """
    if time_is_up():
        raise OutOfTime

"""What is known of kernels being compiled, without loading the compiler: when, and for how long."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

from convexnn.contract.clock import OutOfTime, time_is_up

ENDED = (
    "The time ran out while kernels were compiled, which is done once: what is compiled is kept, "
    "and convexnn warm-up compiles all of them."
)

logger = logging.getLogger("convexnn")
_listeners: list[Callable[[], None]] = []
_spent = threading.local()


@contextmanager
def on_compiling(listener: Callable[[], None]) -> Iterator[None]:
    """Call a function, within the block, whenever a kernel is about to be compiled.

    That is where its code is not kept from before. The log says it as well, once a process, to
    those who listen to INFO of "convexnn".
    """
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def about_to_compile() -> None:
    """Say that a kernel is about to be compiled; nothing begins once the time is up.

    Raises
    ------
    OutOfTime

    Examples
    --------
    >>> said = []
    >>> with on_compiling(lambda: said.append("once")):
    ...     about_to_compile()
    >>> said
    ['once']
    """
    if time_is_up():
        raise OutOfTime(ENDED)
    _log_once("compiling, once: the code is kept for the next time")
    for listener in _listeners:
        listener()


@cache
def _log_once(message: str) -> None:
    logger.info(message)


def compiled_s() -> float:
    """Return the seconds that this thread has spent compiling kernels so far.

    Examples
    --------
    >>> before = compiled_s()
    >>> count_compiling(2.0)
    >>> compiled_s() - before
    2.0
    """
    return float(getattr(_spent, "seconds", 0.0))


def count_compiling(seconds: float) -> None:
    """Add to the seconds that this thread has spent compiling kernels.

    Examples
    --------
    >>> count_compiling(0.0)
    """
    _spent.seconds = compiled_s() + seconds

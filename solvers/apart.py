"""Work that cannot be asked to stop, in a process of its own that can be left."""

from __future__ import annotations

import os
import pickle
import select
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

Result = TypeVar("Result")

LOOK = 0.05  # seconds between two looks at the clock
LENGTH = 8  # bytes that tell how long an answer is
POSSIBLE = hasattr(os, "fork")


@contextmanager
def apart(
    work: Callable[[], Iterator[Result]], expired: Callable[[], bool]
) -> Iterator[Iterator[Result | None]]:
    """Iterate over what `work` yields in a copy of this process; None ends it once time is up.

    The copy goes on to its next answer when that is asked for, and ends with the context, whatever
    happens. What it yields or raises is pickled.

    Raises
    ------
    ArithmeticError
        While iterating, if the copy dies, for want of memory for one.
    Exception
        While iterating: what `work` raises.

    Examples
    --------
    >>> with apart(lambda: iter([6 * 7]), lambda: False) as answers:
    ...     list(answers)
    [42]
    """
    inlet, answer = os.pipe()
    question, outlet = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: the copy uses none
        child = os.fork()
    if child == 0:
        os.close(inlet)
        os.close(outlet)
        _serve(work, question, answer)
    os.close(answer)
    os.close(question)
    try:
        yield _asked(inlet, outlet, expired)
    finally:
        os.close(inlet)
        os.close(outlet)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _asked(inlet: int, outlet: int, expired: Callable[[], bool]) -> Iterator[Any]:
    """Ask for one answer after the other."""
    while True:
        with suppress(BrokenPipeError):
            os.write(outlet, b"?")
        held = b""
        while len(held) < LENGTH or len(held) < LENGTH + int.from_bytes(held[:LENGTH]):
            if expired():
                yield None
                return
            if select.select([inlet], [], [], LOOK)[0]:
                part = os.read(inlet, 1 << 20)
                if not part:
                    raise ArithmeticError("its process died")
                held += part
        more, result, error = pickle.loads(held[LENGTH:])
        if error is not None:
            raise error
        if not more:
            return
        yield result


def _serve(work: Callable[[], Iterator[Any]], question: int, answer: int) -> None:
    """Answer in the copy, and end without what ends a whole process."""
    try:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN if each == signal.SIGINT else signal.SIG_DFL)
        answers = work()
        while os.read(question, 1):
            try:
                said = pickle.dumps((True, next(answers), None))
            except StopIteration:
                said = pickle.dumps((False, None, None))
            except Exception as error:
                said = pickle.dumps((False, None, _plain(error)))
            told = memoryview(len(said).to_bytes(LENGTH) + said)
            while told:
                told = told[os.write(answer, told) :]
    finally:
        os._exit(0)


def _plain(error: Exception) -> Exception:
    """Return an error that can be pickled."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return ArithmeticError(f"{type(error).__name__}: {error}")
    return error

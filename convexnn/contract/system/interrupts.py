"""Ctrl-C as a request: the one place where signals are handled.

While a run is under way the first signal is only noted, so that no exception is thrown into a
kernel or into what grades the answer; who looks at the clock sees it too and winds up. The second
ends the run at once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class Request:
    """What was asked from outside of the run under way; true once it is to end.

    Attributes
    ----------
    signals : int
        How many came.
    said : str
        What to tell the user of them.
    """

    def __init__(self) -> None:
        self.signals = 0
        self.said = "Interrupted from the keyboard."
        self._taken: list[signal.Signals] = []

    def __bool__(self) -> bool:
        return self.signals > 0

    @property
    def urgent(self) -> bool:
        """Tell whether it was asked for twice: then nothing is to be waited for."""
        return self.signals > 1

    def take(self) -> None:
        """Take every signal over that would raise KeyboardInterrupt."""
        for each in SIGNALS:
            if signal.getsignal(each) is signal.default_int_handler:
                signal.signal(each, self._note)
                self._taken.append(each)

    def release(self) -> None:
        """Give the signals back."""
        while self._taken:
            signal.signal(self._taken.pop(), signal.default_int_handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signals += 1
        if number != signal.SIGINT:
            self.said = f"Interrupted by {signal.Signals(number).name}."
        if self.urgent:
            raise KeyboardInterrupt


_current: list[Request] = []  # of the main thread; workflows share theirs with the runs inside


@contextmanager
def interruptible() -> Iterator[Request]:
    """Note the first signal within, and raise KeyboardInterrupt at the second.

    That goes for every signal that would otherwise raise KeyboardInterrupt: Ctrl-C, and what
    `like_ctrl_c` has made like it. A handler of the user's own stays, and in other threads than the
    main one nothing is taken over.

    Yields
    ------
    Request
        Shared with the one around it, if there is one.

    Examples
    --------
    >>> before = signal.signal(signal.SIGINT, signal.default_int_handler)
    >>> with interruptible() as asked:
    ...     signal.raise_signal(signal.SIGINT)
    ...     bool(asked), asked.urgent
    (True, False)
    """
    if threading.current_thread() is not threading.main_thread():
        yield Request()
        return
    if _current:
        with as_interrupt(_current[0]):
            yield _current[0]
        return
    asked = Request()
    _current.append(asked)
    try:
        asked.take()
        with as_interrupt(asked):
            yield asked
    finally:
        asked.release()
        _current.clear()


@contextmanager
def as_interrupt(asked: Request | None = None) -> Iterator[None]:
    """Turn what a kernel makes of KeyboardInterrupt back into it; also a decorator."""
    try:
        yield
    except SystemError as error:
        urgent = asked is not None and asked.urgent
        if urgent or isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise


def like_ctrl_c() -> None:
    """Have SIGTERM and SIGHUP do what Ctrl-C does: for whole processes of ours, no library's way.

    One that the process was told to ignore, as by nohup, is ignored as before.
    """
    for each in SIGNALS:
        if signal.getsignal(each) is signal.SIG_DFL:
            signal.signal(each, signal.default_int_handler)

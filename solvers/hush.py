"""What solvers print for themselves, kept off the screen."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from functools import cache
from importlib import import_module

GREETS = {"HIGHS": ("highspy", "Highs")}  # what prints a banner when it is first made in a process


@cache
def hush(solver: str) -> None:
    """Make what greets once, with the standard output of the process closed meanwhile.

    What is buffered in C goes with it, else it would come later.
    """
    if solver not in GREETS or sys.platform == "win32":
        return
    module, name = GREETS[solver]
    with suppress(OSError):  # of a process without a standard output
        sys.stdout.flush()
        kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
        buffers = ctypes.CDLL(None)
        buffers.fflush(None)  # what is of others
        os.dup2(nowhere, 1)
        try:
            getattr(import_module(module), name)()
            buffers.fflush(None)
        finally:
            os.dup2(kept, 1)
            os.close(kept)
            os.close(nowhere)

"""How kernels are compiled: when first called, once for each kind of argument, kept on disk.

Where neither the package nor the user's cache takes files, what is compiled is kept in a temporary
folder; where that fails, or the disk is full, it is kept for this process alone. Both are said.
"""

from __future__ import annotations

import os
import stat
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache, NullCache

Function = Callable[..., Any]


def kernel(**options: Any) -> Callable[[Function], Any]:
    """Compile a function with numba's `njit`, without the interpreter, and keep it on disk.

    A kernel calls only kernels of its own module: what is kept does not know when a callee
    elsewhere was edited.

    Parameters
    ----------
    **options
        Of `numba.njit`, such as ``fastmath``.

    Examples
    --------
    >>> @kernel()
    ... def twice(x: float) -> float:
    ...     return 2.0 * x
    >>> twice(1.5)
    3.0
    """

    def mark(function: Function) -> Any:
        compiled: Any = numba.njit(**options)(function)
        if hasattr(compiled, "enable_caching") and Path(function.__code__.co_filename).is_file():
            compiled._cache = _kept(function)  # as enable_caching does; this one may fail
        return compiled

    return mark


class Kept(FunctionCache):  # type: ignore[misc]
    """A cache of compiled code that stands back where its files cannot be read or written."""

    @contextmanager
    def _guard_against_spurious_io_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            _say_once(f"compiled code is not kept for the next process: {error}")


def _kept(function: Function) -> Any:
    try:
        return Kept(function)
    except RuntimeError:  # numba has nowhere to put it
        folder = _temporary()
        if folder is None:
            return NullCache()
        numba.config.CACHE_DIR = str(folder)
        return Kept(function)


@cache
def _temporary() -> Path | None:
    """Return a folder for code that only this user writes, for what is read from it is run."""
    try:
        folder = Path(tempfile.gettempdir()) / f"convexnn-kernels-{os.getuid()}"
        if not _private(folder):
            folder = Path(tempfile.mkdtemp(prefix="convexnn-kernels-"))
    except OSError as error:
        _say_once(f"compiled code is not kept for the next process: {error}")
        return None
    _say_once(
        f"compiled code is kept in {folder}: the package's folder and the user's cache take no "
        "files; NUMBA_CACHE_DIR names another place"
    )
    return folder


def _private(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()
        closed = stat.S_ISDIR(found.st_mode) and not stat.S_IMODE(found.st_mode) & 0o077
        return closed and found.st_uid == os.getuid()
    return True


@cache
def _say_once(message: str) -> None:
    warnings.warn(message, stacklevel=3)

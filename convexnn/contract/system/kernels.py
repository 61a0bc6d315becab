"""How kernels are compiled: when first called, once for each kind of argument, kept on disk.

Where neither the package nor the user's cache takes files, what is compiled is kept in a temporary
folder; where that fails, or the disk is full, it is kept for this process alone. Both are said.
"""

from __future__ import annotations

import logging
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

logger = logging.getLogger("convexnn")
_listeners: list[Callable[[], None]] = []


def kernel(**options: Any) -> Callable[[Function], Any]:
    """Compile a function with numba's `njit`, without the interpreter, and keep it on disk.

    A kernel may call kernels of other modules: what is kept knows them, and is compiled anew when
    one of their files was edited. They are looked for by name, so a kernel calls them as it
    imported them, not as attributes of a module.

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


def _compiling() -> None:
    _log_once("compiling, once: the code is kept for the next time")
    for listener in _listeners:
        listener()


@cache
def _log_once(message: str) -> None:
    logger.info(message)


def callees(function: Function) -> tuple[tuple[str, int, int], ...]:
    """Return the files of other modules whose kernels a function calls, at whatever depth.

    Each with when it was written, in nanoseconds, and its size.

    Examples
    --------
    >>> callees(lambda x: x)
    ()
    """
    own, seen, waiting = function.__code__.co_filename, {function}, [function]
    while waiting:
        caller = waiting.pop()
        for name in caller.__code__.co_names:
            callee = getattr(caller.__globals__.get(name), "py_func", None)
            if callee is not None and callee not in seen:
                seen.add(callee)
                waiting.append(callee)
    found = {(each.__module__, each.__code__.co_filename) for each in seen}
    files = ((module, os.stat(path)) for module, path in sorted(found) if path != own)
    return tuple((module, file.st_mtime_ns, file.st_size) for module, file in files)


class Unkept(NullCache):  # type: ignore[misc]
    """No cache: every kernel is compiled in every process."""

    def load_overload(self, sig: Any, target_context: Any) -> None:
        """Say that a kernel is about to be compiled."""
        _compiling()


class Kept(FunctionCache):  # type: ignore[misc]
    """A cache of compiled code that stands back where its files cannot be read or written.

    Numba knows when a kernel's own file was edited; this one also knows the files of its callees.
    """

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(sig, codegen), callees(self._py_func))

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return code that is kept; None, once it is said, where it has to be compiled."""
        found = super().load_overload(sig, target_context)
        if found is None:
            _compiling()
        return found

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
            return Unkept()
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

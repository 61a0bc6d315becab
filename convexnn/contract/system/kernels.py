"""How kernels are compiled: when first called, once for each kind of argument, kept on disk.

Where neither the package nor the user's cache takes files, what is compiled is kept in a temporary
folder; where that fails, or the disk is full, it is kept for this process alone. Both are said.
"""

from __future__ import annotations

import os
import stat
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import event
from numba.core.caching import FunctionCache, NullCache

from convexnn.contract.system.compiling import about_to_compile, count_compiling

Function = Callable[..., Any]

_faults: list[str] = []


class Inner:
    """A kernel that only kernels call, which is less to compile; from Python it runs uncompiled.

    Parameters
    ----------
    compiled : numba.core.dispatcher.Dispatcher
    """

    def __init__(self, compiled: Any) -> None:
        self.compiled, self.py_func = compiled, compiled.py_func
        self._numba_type_ = compiled._numba_type_  # as which kernels see it

    def __call__(self, *given: Any) -> Any:
        """Run the function itself."""
        return self.py_func(*given)


def kernel(*, inner: bool = False, **options: Any) -> Callable[[Function], Any]:
    """Compile a function with numba's `njit`, without the interpreter, and keep it on disk.

    A kernel may call kernels of other modules: what is kept knows them, and is compiled anew when
    one of their files was edited. They are looked for by name, so a kernel calls them as it
    imported them, not as attributes of a module.

    Parameters
    ----------
    inner : bool, default False
        Whether only other kernels call it.
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
        options.update(no_cfunc_wrapper=True, no_cpython_wrapper=inner)  # what calls it otherwise
        compiled: Any = numba.njit(**options)(function)
        if hasattr(compiled, "enable_caching") and Path(function.__code__.co_filename).is_file():
            compiled._cache = _kept(function)  # as enable_caching does; this one may fail
        return Inner(compiled) if inner else compiled

    return mark


class _Stopwatch(event.Listener):  # type: ignore[misc]
    """Counts the seconds of compilation, those of kernels inside others once."""

    def __init__(self) -> None:
        self.own = threading.local()

    def on_start(self, event: Any) -> None:
        """Begin with the outermost kernel."""
        self.own.depth = getattr(self.own, "depth", 0) + 1
        if self.own.depth == 1:
            self.own.begin = time.perf_counter()

    def on_end(self, event: Any) -> None:
        """End with the outermost kernel."""
        self.own.depth -= 1
        if self.own.depth == 0:
            count_compiling(time.perf_counter() - self.own.begin)


event.register("numba:compile", _Stopwatch())


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
        about_to_compile()


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
            about_to_compile()
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


def faults() -> tuple[str, ...]:
    """Return why compiled code is not kept where it should be, as it was said; nothing if it is.

    Examples
    --------
    >>> all(isinstance(fault, str) for fault in faults())
    True
    """
    return tuple(_faults)


def folder() -> Path:
    """Return where the code of this module's neighbours is kept.

    Examples
    --------
    >>> folder().is_absolute()
    True
    """
    if numba.config.CACHE_DIR:
        return Path(numba.config.CACHE_DIR)
    return Path(_kept(folder).cache_path)


@cache
def _say_once(message: str) -> None:
    _faults.append(message)
    warnings.warn(message, stacklevel=3)

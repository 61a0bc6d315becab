"""Backends: what an engine says of itself, and the registry that finds them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import entry_points
from pkgutil import resolve_name
from threading import RLock
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeGuard, runtime_checkable

from convexnn.contract.checks import shown
from convexnn.contract.system.memory import Size, shortage

if TYPE_CHECKING:
    from convexnn.contract.problem import Problem


@dataclass(frozen=True)
class Capabilities:
    """What an engine can do.

    Attributes
    ----------
    forms : tuple of (type or str)
        Canonical forms it reads, the preferred one first: the type, or its `home`, which loads
        nothing.
    warm_start, callback, gives_dual : bool
    best_tol : float
        Smallest certified gap it can be expected to reach.
    about : str
        In words: the problems that it is for, a colon, and what there is to its method.
    """

    forms: tuple[type | str, ...]
    warm_start: bool = False
    callback: bool = True
    gives_dual: bool = True
    best_tol: float = 1e-9
    about: str = ""


def home(form: type | str) -> str:
    """Return where a form is defined, as ``"module:Name"``.

    Examples
    --------
    >>> home(Raw)
    'convexnn.contract.backend:Raw'
    >>> home("convexnn.relu.forms:GroupForm")
    'convexnn.relu.forms:GroupForm'
    """
    return form if isinstance(form, str) else f"{form.__module__}:{form.__qualname__}"


@dataclass(frozen=True)
class Options:
    """How one run is asked to go.

    Attributes
    ----------
    tol : float
        Certified relative gap and scaled violation to reach.
    max_iter : int or None
        None leaves it to the engine.
    seed : int
    extra : dict
        The engine's own options.
    """

    tol: float
    max_iter: int | None
    seed: int
    extra: dict[str, Any]


class Outcome(StrEnum):
    """How an engine ended, in its own words; the certificate decides which `Status` that is.

    A foreign engine may give the value, a plain string, in the place of the member.
    """

    FINISHED = "finished"  # it has nothing to add
    MAX_ITER = "max_iter"
    TIME_LIMIT = "time_limit"
    STOPPED = "stopped"  # the reporter asked it to
    FAILED = "failed"
    INFEASIBLE = "infeasible"
    UNBOUNDED = "unbounded"


class Raw(NamedTuple):
    """How an engine ended, in its own words. It never grades the answer.

    Attributes
    ----------
    outcome : Outcome
        Its value, a plain string, is taken for it.
    message : str
    stages : tuple of (float, int)
        Of an engine that works in stages, the smoothing of each and its iterations.
    """

    outcome: Outcome
    message: str = ""
    stages: tuple[tuple[float, int], ...] = ()


class Reporter(Protocol):
    """The driver as an engine sees it."""

    def report(self, iteration: int, primal: Any, dual: Any) -> bool:
        """Hand over a point to be certified; True asks the engine to stop.

        An engine without dual points hands over None: the best dual point so far is taken.
        """
        ...

    def expired(self) -> bool:
        """Tell whether time is up; cheap, to be asked often."""
        ...

    def remaining(self) -> float | None:
        """Return the seconds left, None without a limit."""
        ...


@runtime_checkable
class Backend(Protocol):
    """An engine. It reads a canonical form and reports points; the problem grades them."""

    name: str
    capabilities: Capabilities

    def available(self) -> str | None:
        """Return None, or the reason why it cannot run here."""
        ...

    def refuses(self, problem: Problem[object]) -> str | None:
        """Return None, or the reason why it cannot take a problem whose form it reads."""
        ...

    def prepare(self, form: Any) -> None:
        """Do what need not be timed as solving: compile kernels, canonicalise."""
        ...

    def run(self, form: Any, options: Options, reporter: Reporter, start: Any = None) -> Raw:
        """Solve; report points on the way. `start` is ``(primal, dual)`` or None."""
        ...


@runtime_checkable
class Estimates(Protocol):
    """A backend that tells its memory beforehand; one that does not is never refused for it."""

    def memory(self, size: Size) -> dict[str, float] | None:
        """Return the bytes it allocates at its peak, the problem's own left out, by their use.

        None says that it does not tell.
        """
        ...


@runtime_checkable
class Optioned(Protocol):
    """A backend that tells its own options."""

    def options(self, form: type | None = None) -> dict[str, tuple[Any, ...]]:
        """Return the options of a form, or of all, with the defaults that each may have."""
        ...


@runtime_checkable
class Sized(Protocol):
    """A problem that tells the size of its forms before it builds them."""

    def size(self, form: type) -> Size:
        """Return the shapes of one of its forms, and its own memory at the peak."""
        ...


def size_of(problem: object, form: type) -> Size | None:
    """Return the shapes of one of a problem's forms, None if it does not tell."""
    return problem.size(form) if _sized(problem) else None


def _sized(problem: object) -> TypeGuard[Sized]:
    return issubclass(type(problem), Sized)  # unlike isinstance, Python remembers the answer


def _estimates(backend: object) -> TypeGuard[Estimates]:
    return issubclass(type(backend), Estimates)


@runtime_checkable
class Withholds(Protocol):
    """A problem that offers some of its forms only for some data."""

    def withholds(self, form: type) -> str | None:
        """Return why it cannot be written in a form that it offers for other data."""
        ...


class BackendError(ValueError):
    """The backend does not exist, is not installed, or cannot take the problem."""


class MemoryLimitError(BackendError):
    """The backend would need more memory than `convexnn.memory_limit` allows."""


GROUP = "convexnn.backends"  # of entry points
OWN = "convexnn."  # how those of this package begin

_registered: dict[str, Backend] = {}


def register(backend: Backend) -> None:
    """Add a backend under its name for this process; a second one of that name replaces the first.

    Packages register lastingly through the entry-point group ``convexnn.backends``: each entry
    is a class, or a function that returns several backends.

    Examples
    --------
    >>> register(registry()["admm"])
    """
    if not isinstance(backend, Backend) or isinstance(backend, type):
        raise BackendError(
            f"a backend must implement convexnn.backend.Backend, got {shown(backend)}"
        )
    if not isinstance(backend.name, str) or not backend.name:
        raise BackendError(f"a backend must have a name, a text, got {shown(backend.name)}")
    if not isinstance(backend.capabilities, Capabilities):
        raise BackendError(f"a backend must have Capabilities, got {shown(backend.capabilities)}")
    _registered[backend.name] = backend


class Registry(Mapping[str, Backend]):
    """Every backend by name: those registered in this process, and those that packages bring.

    Packages are asked one after the other, this one first, until one brings the name that is
    looked for: the others are not loaded. One that fails is no obstacle to the others.
    """

    def __init__(self) -> None:
        self._found: dict[str, Backend] = {}
        self._broken: dict[str, str] = {}
        self._coming = self._discover()
        self._lock, self._asking = RLock(), False

    def __getitem__(self, name: str) -> Backend:
        if name in _registered:
            return _registered[name]
        if name not in self._found:
            self._load(name)
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter({**self._found, **_registered})

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def broken(self) -> dict[str, str]:
        """Return why an entry point brings nothing, or not all that it should, by its name."""
        self._load()
        return dict(self._broken)

    def _load(self, name: str | None = None) -> None:
        """Load packages until one brings the name, or all of them.

        A package that asks while it loads sees those before it; threads wait for each other.
        """
        with self._lock:
            if self._asking:
                return
            self._asking = True
            try:
                while name not in self._found and next(self._coming, None) is not None:
                    pass
            finally:
                self._asking = False

    def _discover(self) -> Iterator[Backend]:
        """Yield each backend as it is found."""
        entries = entry_points(group=GROUP)
        for entry in sorted(entries, key=lambda e: (not e.value.startswith(OWN), e.name)):
            try:
                maker: Callable[[], Backend | Iterable[Backend]] = entry.load()
                made = maker()
                for backend in [made] if isinstance(made, Backend) else made:
                    yield self._add(backend)
            except Exception as error:
                label = f"{entry.name} ({entry.value})" if entry.name in self._found else entry.name
                said = f"{type(error).__name__}: {error}"
                self._broken[label] = f"entry point {entry.value} failed with {said}"

    def _add(self, backend: Backend) -> Backend:
        if not isinstance(backend, Backend):
            raise BackendError(f"it must bring backends, got {backend!r}")
        if backend.name in self._found:
            raise BackendError(f"another package brings a backend {backend.name!r}")
        self._found[backend.name] = backend
        return backend


_registry = Registry()


def registry() -> Registry:
    """Return every backend by name; packages load as far as they are asked for.

    Examples
    --------
    >>> "admm" in registry()
    True
    """
    return _registry


def common_form(backend: Backend, problem: Problem[object]) -> type | None:
    """Return the form the backend prefers among those the problem can be written in.

    Examples
    --------
    >>> import convexnn as cx
    >>> problem = cx.ReluTraining([[1.0], [2.0]], [1.0, 2.0], beta=0.1, patterns=[[1], [1]])
    >>> common_form(registry()["admm"], problem).__name__
    'GroupForm'
    """
    offered = problem.forms()
    for read in backend.capabilities.forms:
        for form in offered:
            if form is read or home(form) == read:
                return form
    return None


def unavailable(backend: Backend) -> str | None:
    """Return why the backend cannot run anything here, None if it can.

    One that raises when it is asked is no obstacle to the others.
    """
    try:
        return backend.available()
    except Exception as error:
        return f"raised {type(error).__name__}: {error}"


def obstacle(backend: Backend, problem: Problem[object]) -> str | None:
    """Return why the backend cannot run this problem here, None if it can.

    One that raises when it is asked is no obstacle to the others.
    """
    reason = unavailable(backend)
    if reason is not None:
        return reason
    try:
        return _refusal(backend, problem)
    except Exception as error:
        return f"raised {type(error).__name__}: {error}"


def _refusal(backend: Backend, problem: Problem[object]) -> str | None:
    if common_form(backend, problem) is None:
        names = (home(form).rpartition(":")[2] for form in backend.capabilities.forms)
        forms, kinds = ", ".join(names), backend.capabilities.about.partition(":")[0]
        if isinstance(problem, Withholds):
            for form in backend.capabilities.forms:
                why = problem.withholds(resolve_name(form) if isinstance(form, str) else form)
                if why is not None:
                    return why
        if kinds:
            return f"it does not take this {type(problem).__name__}; it is for {kinds}"
        return f"reads {forms}; {type(problem).__name__} offers " + ", ".join(
            form.__name__ for form in problem.forms()
        )
    return too_large(backend, problem) or backend.refuses(problem)


def too_large(backend: Backend, problem: Problem[object]) -> str | None:
    """Return by how much the backend would exceed the memory limit, None if it does not.

    Backends and problems that estimate nothing are taken to fit.

    Examples
    --------
    >>> import convexnn as cx
    >>> problem = cx.ReluTraining([[1.0], [2.0]], [1.0, 2.0], beta=0.1, patterns=[[1], [1]])
    >>> too_large(registry()["admm"], problem)
    """
    form = common_form(backend, problem)
    if form is None or not _estimates(backend):
        return None
    size = size_of(problem, form)
    parts = None if size is None else backend.memory(size)
    if size is None or parts is None:
        return None
    return shortage({"the patterns and their grading": size.own, **parts})

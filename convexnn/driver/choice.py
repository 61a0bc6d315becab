"""Which backend runs a problem, by name or by what its forms say suits it, and which cannot."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from convexnn.contract.backend import (
    Backend,
    BackendError,
    MemoryLimitError,
    Optioned,
    common_form,
    obstacle,
    registry,
    too_large,
    unavailable,
)
from convexnn.contract.brief import shortened
from convexnn.contract.checks import shown
from convexnn.contract.form import Engines, Suits
from convexnn.contract.problem import Builder, Problem

NAMED = "mpi:"  # how the names of backends begin that start processes, so they have to be named


@dataclass(frozen=True)
class Choice:
    """The backend that runs a problem, and what was found out on the way to it.

    Attributes
    ----------
    backend : Backend
    form : type
        The canonical form of the problem that it reads.
    relief : tuple of str
        Names of the backends that may go on where this one ends without proof, the best first.
        Whether they can take the problem is asked when it comes to that.
    """

    backend: Backend
    form: type
    relief: tuple[str, ...] = ()


def choose(problem: Problem[object], backend: str | Backend = "auto") -> Choice:
    """Choose the backend that runs a problem.

    "auto" takes the first of `preferred` that can; those after it are its relief. A backend that
    was named has none.

    Raises
    ------
    BackendError
        If the backend does not exist, is not installed or cannot take the problem;
        `MemoryLimitError` if it would need more memory than the limit.

    Examples
    --------
    >>> import convexnn as cx
    >>> chosen = choose(cx.ReluTraining([[1.0], [2.0]], [1.0, 2.0], beta=0.1, patterns=[[1], [1]]))
    >>> chosen.backend.name, chosen.form.__name__, chosen.relief
    ('semismooth', 'GroupForm', ('ipm', 'admm', 'fista'))
    """
    declared(problem)
    asked = named(backend)
    if asked is not None:
        return _chosen(asked, problem, obstacle(asked, problem))
    found = registry()
    names, relieve = preferred(problem)
    first = next(able(problem, names), None)
    if first is None:
        refused = found[names[0]]
        return _chosen(refused, problem, obstacle(refused, problem))
    later = names[names.index(first.name) + 1 :]
    return _chosen(first, problem, None, later if relieve else ())


def able(problem: Problem[object], names: Iterable[str]) -> Iterator[Backend]:
    """Yield the backends that can take a problem, of those of these names.

    Examples
    --------
    >>> import convexnn as cx
    >>> problem = cx.ReluTraining([[1.0], [2.0]], [1.0, 2.0], beta=0.1, patterns=[[1], [1]])
    >>> [engine.name for engine in able(problem, ("newton", "admm"))]
    ['admm']
    """
    found = registry()
    for name in names:
        if name not in found:
            raise BackendError(
                f"a form of {type(problem).__name__} names an engine {name!r}, which does not exist"
            )
        if obstacle(found[name], problem) is None:
            yield found[name]


def preferred(problem: Problem[object]) -> Engines:
    """Return what "auto" stands for: engines that suit the first form that knows any.

    Where no form does, they are all that read one, but those that start processes.
    """
    offered = problem.forms()
    for form in offered:
        suited = form.suited(problem) if issubclass(form, Suits) else None
        if suited is not None:
            return suited
    reads = {name: common_form(engine, problem) for name, engine in registry().items()}
    names = [name for name, form in reads.items() if form and not name.startswith(NAMED)]
    if not names:
        raise BackendError(
            f"no backend takes {type(problem).__name__}: convexnn.register(backend) adds one"
        )
    return Engines(tuple(sorted(names, key=lambda name: offered.index(reads[name]))))


def automatic(problem: Problem[object]) -> str:
    """Return the name of the backend that "auto" stands for; the errors are those of `choose`."""
    return choose(problem).backend.name


def declared(problem: Any) -> None:
    """Check that a problem is one.

    Raises
    ------
    BackendError
        Otherwise.
    """
    if isinstance(problem, type):  # which has what a protocol asks for as well
        raise BackendError(f"problem must be declared, got the class {problem.__name__} itself")
    if not isinstance(problem, Builder) and not isinstance(problem, Problem):
        raise BackendError(
            f"problem must be one of convexnn's problems, got {type(problem).__name__}"
        )


def named(backend: str | Backend) -> Backend | None:
    """Return a backend that is given, by its name or itself; None for "auto".

    Raises
    ------
    BackendError
        If it is no backend.

    Examples
    --------
    >>> named("auto") is None
    True
    """
    if isinstance(backend, str) and backend == "auto":
        return None
    if isinstance(backend, str):
        found = registry()
        if backend not in found:
            if backend in found.broken:
                raise BackendError(f"backend {backend!r} is not there: {found.broken[backend]}")
            known = ", ".join(found)
            raise BackendError(f"backend must be 'auto' or one of {known}, got {backend!r}")
        return found[backend]
    if isinstance(backend, Backend) and not isinstance(backend, type):
        return backend
    raise BackendError(
        f"backend must be a name or implement convexnn.backend.Backend, got {shown(backend)}"
    )


def _chosen(
    backend: Backend, problem: Problem[object], reason: str | None, relief: tuple[str, ...] = ()
) -> Choice:
    """Return the choice, or say why the backend cannot run the problem."""
    form = common_form(backend, problem)
    if reason is None and form is not None:
        return Choice(backend, form, relief)
    able = ", ".join(backends(problem).names) or "none"
    said = f"backend {backend.name!r} cannot run this problem: {reason}. Able: {able}"
    if backend.available() is None and too_large(backend, problem) is not None:
        raise MemoryLimitError(f"{said}. Or raise the limit: convexnn.memory_limit(gib)")
    raise BackendError(said)


@dataclass(frozen=True)
class BackendTable:
    """Backends and what stands in their way; prints as a table.

    Attributes
    ----------
    reasons : dict of str to (str or None)
        By name, why the backend cannot run; None if it can.
    problem : Problem or None
        That they are held against.
    """

    reasons: dict[str, str | None]
    problem: Problem[object] | None = None

    @property
    def names(self) -> list[str]:
        """Return the names of the backends that can run."""
        return [name for name, reason in self.reasons.items() if reason is None]

    def text(self, width: int = 100) -> str:
        """Return what each is for, what stands in its way, and its options with their defaults.

        Parameters
        ----------
        width : int, default 100
            Characters of a line.
        """
        margin = max(len(name) for name in self.reasons) + 2
        lines = []
        for name, reason in self.reasons.items():
            said = [f"no: {reason}"] if reason is not None else []
            found = registry().get(name)
            if found is not None and reason is None:
                said += filter(None, [found.capabilities.about or "ready", self._options(found)])
            elif found is not None and self.problem is None:
                said += filter(None, [found.capabilities.about])
            for k, part in enumerate(said):
                head = name if k == 0 else ""
                lines += textwrap.wrap(
                    part,
                    max(width, 2 * margin),
                    initial_indent=f"{head:<{margin}}",
                    subsequent_indent=" " * margin,
                    break_on_hyphens=False,
                )
        return "\n".join(lines)

    def _options(self, backend: Backend) -> str:
        if not isinstance(backend, Optioned):
            return ""
        form = None if self.problem is None else common_form(backend, self.problem)
        told = [
            name if values == (None,) else f"{name}={' or '.join(map(str, values))}"
            for name, values in backend.options(form).items()
        ]
        return f"options: {', '.join(told)}" if told else ""

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return shortened(str(self))


def backends(problem: Problem[object] | None = None) -> BackendTable:
    """Return every backend and, for each that cannot run, the reason.

    Parameters
    ----------
    problem : Problem, optional
        If given, also tell which can take this problem.

    Returns
    -------
    BackendTable

    Examples
    --------
    >>> "admm" in backends().names
    True
    """
    found = registry()
    if problem is None:
        reasons = {name: unavailable(backend) for name, backend in found.items()}
    else:
        declared(problem)
        reasons = {name: obstacle(backend, problem) for name, backend in found.items()}
    return BackendTable({**reasons, **found.broken}, problem)

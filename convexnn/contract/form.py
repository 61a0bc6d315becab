"""What a canonical form may tell beyond its arrays: which engines suit it, which starts fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from convexnn.contract.problem import Problem

F = TypeVar("F", bound=type)


class Engines(NamedTuple):
    """Which engines suit a problem.

    Attributes
    ----------
    names : tuple of str
        The best first; where one cannot take the problem, the next one steps in for it.
    relieve : bool, default True
        Whether the next also goes on where one ends without proof. Not where the first proves
        what can be proved, as a search over all patterns does.
    """

    names: tuple[str, ...]
    relieve: bool = True


@runtime_checkable
class Suits(Protocol):
    """A form that knows which engines suit it. Of others, every engine that reads them is tried."""

    @classmethod
    def suited(cls, problem: Problem[Any]) -> Engines | None:
        """Return the engines for a problem of this form; None leaves it to the problem's next."""
        ...


@runtime_checkable
class Admits(Protocol):
    """A form whose points may have other shapes than the problem's initial one."""

    def admit(self, primal: Any, dual: Any) -> tuple[Any, Any]:
        """Return a start, whose dual point may be None, in the shapes of this form's points.

        Raises
        ------
        ProblemError
            If it cannot be brought into them.
        """
        ...


def solved_by(*names: str) -> Callable[[F], F]:
    """Return a decorator of forms that the same engines suit whatever the problem.

    Examples
    --------
    >>> @solved_by("newton")
    ... class Form(NamedTuple):
    ...     n: int
    >>> Form.suited(None).names
    ('newton',)
    """

    def marked(form: F) -> F:
        form.suited = classmethod(lambda cls, problem: Engines(names))  # type: ignore[attr-defined]
        return form

    return marked

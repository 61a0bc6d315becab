"""What every problem promises, and the checks that its data pass once, at construction."""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Protocol,
    TypeVar,
    runtime_checkable,
)

if TYPE_CHECKING:
    from convexnn.contract.certificate import Certificate
    from convexnn.driver.solution import Solution


Model = TypeVar("Model", covariant=True)


@runtime_checkable
class Problem(Protocol, Generic[Model]):
    """A declaration. It validates its data, writes itself in canonical forms and grades answers.

    A builder and an engine meet only in a canonical form; only the problem grades an answer.
    """

    def forms(self) -> tuple[type, ...]:
        """Return the canonical forms this problem can be written in."""
        ...

    def canonical(self, form: type) -> Any:
        """Return the problem in one of its `forms`."""
        ...

    def needs(self) -> frozenset[str]:
        """Return what a CVXPY solver must know: some of "qp", "soc", "exp", "sdp"."""
        ...

    def to_cvxpy(self) -> Any:
        """Return the formula, readable, with named variables."""
        ...

    def initial(self) -> tuple[Any, Any]:
        """Return a trivial primal and dual point, the answer before any engine has run."""
        ...

    def objective(self, primal: Any) -> float:
        """Return the true objective of the model that `primal` stands for."""
        ...

    def certify(self, primal: Any, dual: Any) -> Certificate:
        """Grade a primal and a dual point, whoever found them."""
        ...

    def prune(self, primal: Any) -> Any:
        """Return `primal` without its numerically dead parts."""
        ...

    def build_model(self, primal: Any) -> Model:
        """Return what the user receives: a network, weights, a point."""
        ...


@runtime_checkable
class Remarks(Protocol):
    """A problem that has something to say about the answer it admits."""

    def remark(self) -> str:
        """Return a sentence for the solution's message, empty if there is none."""
        ...


@runtime_checkable
class Adopts(Protocol):
    """A problem that can start from a solution of another one."""

    def adopt(self, start: Solution) -> tuple[Any, Any]:
        """Return that solution's points in this problem's shapes."""
        ...


@runtime_checkable
class Strict(Protocol):
    """A problem whose model is worth no more than its violation is small.

    Others hand over a model that is feasible whatever the program's variables violate.
    """

    strict: ClassVar[bool]

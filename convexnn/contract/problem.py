"""What every problem promises, and what its builders share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Protocol,
    runtime_checkable,
)

from convexnn.contract.checks import ProblemError
from convexnn.contract.program import CvxpyProgram

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from convexnn.contract.arrays import Array
    from convexnn.contract.certificate import Certificate
    from convexnn.driver.solution import Solution

# Model is what a problem builds. Static tools read Solution without one as Solution[Any]; such
# defaults are known to Python itself from 3.13 on only.
if TYPE_CHECKING:
    from typing_extensions import TypeVar

    Model = TypeVar("Model", covariant=True, default=Any)
else:
    from typing import TypeVar

    Model = TypeVar("Model", covariant=True)

Form = TypeVar("Form")


@runtime_checkable
class Problem(Protocol, Generic[Model]):
    """A declaration. It validates its data, writes itself in canonical forms and grades answers.

    A builder and an engine meet only in a canonical form; only the problem grades an answer.
    """

    def forms(self) -> tuple[type, ...]:
        """Return the canonical forms this problem can be written in."""
        ...

    def canonical(self, form: type[Form]) -> Form:
        """Return the problem in one of its `forms`."""
        ...

    def needs(self) -> frozenset[str]:
        """Return what a CVXPY solver must know: some of "qp", "soc", "exp", "sdp"."""
        ...

    def to_cvxpy(self) -> CvxpyProgram:
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


class Builder(ABC):
    """Base of the builders: a table of their forms.

    Attributes
    ----------
    FORMS : dict of type to str
        Canonical forms that the problem can be written in for some data, the formula aside; by
        each the attribute that holds it.
    """

    FORMS: ClassVar[Mapping[type, str]]

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)  # of a frozen dataclass, at construction

    def forms(self) -> tuple[type, ...]:
        """Return the forms of the table, and the formula."""
        return (*self.FORMS, CvxpyProgram)

    def withholds(self, form: type) -> str | None:
        """Return why it cannot be written in a form that it offers for other data."""
        return None

    def canonical(self, form: type[Form]) -> Form:
        """Return the problem in a form of the table, or as a `CvxpyProgram`.

        Raises
        ------
        ProblemError
            If the form is another, or withheld for these data.
        """
        if form is not CvxpyProgram and form not in self.FORMS:
            known = ", ".join(kind.__name__ for kind in (*self.FORMS, CvxpyProgram))
            raise ProblemError(
                f"{type(self).__name__} can be written as {known}, not as {form.__name__}"
            )
        held = self.to_cvxpy() if form is CvxpyProgram else getattr(self, self.FORMS[form])
        if not isinstance(held, form):
            made = type(held).__name__
            raise ProblemError(f"these data make the form {made}, not the form {form.__name__}")
        return held

    @abstractmethod
    def to_cvxpy(self) -> CvxpyProgram:
        """Return the formula in CVXPY, with named variables."""

    def remark(self) -> str:
        """Return nothing: there is nothing to say about the answer that it admits."""
        return ""

    def scaling(self) -> str:
        """Return a sentence on scales of the data that may keep an answer from being proved."""
        return ""


@runtime_checkable
class Remarks(Protocol):
    """A problem that has something to say about the answer it admits."""

    def remark(self) -> str:
        """Return a sentence for the solution's message, empty if there is none."""
        ...


@runtime_checkable
class TakesModels(Protocol):
    """A problem that can say which of its points a model is."""

    def point_of(self, model: Any) -> Any:
        """Return the primal point whose model this is, or raise `ProblemError` if none is."""
        ...


@runtime_checkable
class Adopts(Protocol):
    """A problem that can start from a solution of another one."""

    def adopt(self, start: Solution[object]) -> tuple[Any, Any]:
        """Return that solution's points in this problem's shapes."""
        ...


@runtime_checkable
class Penalised(Problem[Model], Protocol[Model]):
    """A problem whose penalty has a weight that it can be declared with anew."""

    beta: float

    def at(self, beta: float) -> Self:
        """Return the same problem with another beta."""
        ...


@runtime_checkable
class Renews(Protocol):
    """A problem whose dual points earlier versions saved otherwise."""

    def renewed(self, parts: Mapping[str, Any]) -> Any:
        """Return the dual point of an earlier version by its parts, None if it is of this one."""
        ...


@runtime_checkable
class Drawn(Protocol):
    """A problem that draws more parts than its points have room for."""

    def marks(self, primal: Any) -> Array | None:
        """Return what a file is to have of the parts drawn, None if none were.

        See `convexnn.contract.reading`.
        """
        ...


@runtime_checkable
class Deferred(Protocol):
    """A problem whose initial point is not always an answer.

    It may take long to write, as patterns are drawn for it, or have no finite objective.
    """

    def unwritten(self) -> tuple[Any, Any]:
        """Return a trivial primal and dual point of finite objective, graded without any form.

        They are the answer of a run whose time is up before there is another.
        """
        ...


@runtime_checkable
class Strict(Protocol):
    """A problem whose model is worth no more than its violation is small.

    Others hand over a model that is feasible whatever the program's variables violate.
    """

    strict: ClassVar[bool]


@runtime_checkable
class Examples(Protocol):
    """A problem of examples and what is known of each."""

    X: Any
    y: Any


@runtime_checkable
class Scores(Protocol):
    """A problem that tells what its models lose on examples held out."""

    def holdout(self, model: Any, X: Any, y: Any, weights: Any = None) -> float:
        """Return the mean loss of a model on some examples, by their weights if they have some."""
        ...

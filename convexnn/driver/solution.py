"""What a solve returns: a graded answer that can be saved, loaded and graded again."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic

import numpy as np

from convexnn.contract.certificate import Certificate, SolveError, Stage, Status, Step
from convexnn.contract.preparation import Preparation, for_raw_data
from convexnn.contract.problem import Drawn, Model
from convexnn.contract.reading import DRAWING, PARTS, entries, read_for
from convexnn.contract.system.files import FileError, read_npz, to_json, write_npz
from convexnn.driver import views

if TYPE_CHECKING:
    from os import PathLike

    from matplotlib.axes import Axes

FIGURES = ("objective", "bound", "violation")


@dataclass(frozen=True, eq=False)
class Solution(Generic[Model]):
    """The best certified answer of one solve.

    Attributes
    ----------
    status : Status
    certificate : Certificate
        Of exactly `primal` and `dual`; ``problem.certify(primal, dual)`` repeats it.
    model : object
        What the problem builds from `primal`: a network, weights, a point.
    primal, dual : NamedTuple
        In the coordinates of the problem's canonical forms.
    history : tuple of Step
    timings : dict of str to float
        Wall seconds of "compile", "solve" and "certify"; "cpu" is the processor time of "solve",
        ended child processes included. "certify" is part of neither. "kernels" is the part of all
        of them in which kernels were compiled, 0 once their code is kept.
    backend, message : str
    problem : Problem
    options, versions : dict
        What it takes to run the same solve again.
    stages : tuple of Stage
        Of ``homotopy``; empty for engines without stages.
    preparation : Preparation or None
        How raw data became the problem's, if the solution was told; the model then takes raw
        data, all else (problem, points, certificate, a ball and its radius) is of the prepared.
    """

    status: Status
    certificate: Certificate
    model: Model
    primal: Any
    dual: Any
    history: tuple[Step, ...]
    timings: dict[str, float]
    backend: str
    message: str
    problem: Any = field(repr=False)
    options: dict[str, object] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    stages: tuple[Stage, ...] = ()
    preparation: Preparation | None = field(default=None, repr=False)

    @property
    def objective(self) -> float:
        """Return the certificate's objective."""
        return self.certificate.objective

    @property
    def bound(self) -> float:
        """Return the certificate's lower bound."""
        return self.certificate.bound

    @property
    def gap(self) -> float:
        """Return the certificate's relative gap."""
        return self.certificate.gap

    @property
    def violation(self) -> float:
        """Return the certificate's constraint violation."""
        return self.certificate.violation

    def __repr__(self) -> str:
        return (
            f"Solution({self.status.name} by {self.backend}: objective={self.objective:.6g}, "
            f"bound={self.bound:.6g}, gap={self.gap:.2e}, scope={self.certificate.scope!r})"
        )

    def _repr_html_(self) -> str:
        return views.html(self)

    def summary(self) -> str:
        """Return what the solution says in some ten lines: certificate, time, model, message.

        Returns
        -------
        str

        Examples
        --------
        >>> import convexnn as cx
        >>> print(cx.solve(cx.GeometricMedian([[0.0], [1.0], [5.0]])).summary().splitlines()[0])
        problem    GeometricMedian
        """
        return views.summary(self)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the best objective and the best bound against time (extra: plot).

        Parameters
        ----------
        ax : matplotlib axes, optional

        Returns
        -------
        matplotlib axes
        """
        return views.plot(self, ax)

    def for_raw_data(self, done: Preparation | None) -> Solution[Model]:
        """Return the solution with a model that takes data as they were before their preparation.

        Raises
        ------
        ProblemError
            If the preparation does not fit the model.
        """
        model = for_raw_data(self.problem.build_model(self.primal), done)
        return replace(self, model=model, preparation=done)

    def raise_for_status(self) -> Solution[Model]:
        """Return the solution itself if it is OPTIMAL.

        Raises
        ------
        SolveError
            Otherwise, with the status, its advice and the engine's message.
        """
        if self.status is not Status.OPTIMAL:
            raise SolveError(
                f"{self.status.name} after {self.backend}: gap {self.gap:.2e}, "
                f"violation {self.violation:.2e}. {self.status.value} {self.message}".rstrip()
            )
        return self

    def save(self, path: str | PathLike[str]) -> None:
        """Write problem, points and figures to one ``.npz`` file, without pickle.

        Parameters
        ----------
        path : path
            Written exactly as given, through a temporary file, so that an interrupted save
            leaves an older file whole.
        """
        save_solution(self, path)


def load(path: str | PathLike[str]) -> Solution[Any]:
    """Read a solution that `Solution.save` wrote, and certify it again.

    Parameters
    ----------
    path : path

    Returns
    -------
    Solution
        With the same problem, points, history and figures.

    Raises
    ------
    ValueError
        If the file is not a saved solution, or its points do not certify to the figures
        stored with them.

    Examples
    --------
    >>> import convexnn as cx, tempfile, pathlib
    >>> X = np.random.default_rng(0).standard_normal((20, 2))
    >>> s = cx.solve(cx.ReluTraining(X, X[:, 0], beta=0.1, patterns=10))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     s.save(pathlib.Path(folder) / "s.npz")
    ...     again = cx.load(pathlib.Path(folder) / "s.npz")
    >>> again.certificate == s.certificate
    True
    """
    return load_solution(path)


def save_solution(solution: Solution[object], path: str | PathLike[str]) -> None:
    """Write a solution; see `Solution.save`."""
    from convexnn.driver.store import preparation_to, problem_to, record_to

    arrays: dict[str, Any] = {
        name: np.array(getattr(solution, name), dtype=np.float64) for name in ("history", "stages")
    }
    meta = {
        "kind": "Solution",
        "problem": problem_to(arrays, solution.problem),
        "drawing": DRAWING,
        "primal": record_to(arrays, "primal", solution.primal),
        "dual": record_to(arrays, "dual", solution.dual),
        "status": solution.status.name,
        "certificate": asdict(solution.certificate),
        "timings": solution.timings,
        "backend": solution.backend,
        "message": solution.message,
        "options": solution.options,
        "versions": solution.versions,
        "preparation": preparation_to(arrays, solution.preparation),
    }
    problem: Any = solution.problem
    marks = problem.marks(solution.primal) if isinstance(problem, Drawn) else None
    if marks is not None and len(marks) > max(PARTS, entries(solution.primal)):
        arrays["drawn"] = marks
    write_npz(path, {**arrays, "meta": np.array(to_json(meta))})


def load_solution(path: str | PathLike[str]) -> Solution[Any]:
    """Read a solution; see `convexnn.load`."""
    from convexnn.driver.store import members

    arrays, meta = read_npz(path, "Solution", members)
    try:
        return _graded(path, arrays, meta)
    except (FileError, MemoryError):
        raise
    except Exception as error:  # whatever building from wrong values raises
        raise FileError(f"{path} is a damaged Solution file: {error}") from None


def _graded(
    path: str | PathLike[str], arrays: dict[str, Any], meta: dict[str, Any]
) -> Solution[Any]:
    from convexnn.driver.store import dual_from, preparation_from, problem_from, record_from

    primal = record_from(arrays, meta["primal"])
    with read_for(primal, int(meta.get("drawing", 1)), arrays.get("drawn")):
        problem = problem_from(arrays, meta["problem"])
        dual = dual_from(arrays, meta["dual"], problem)
        certificate = problem.certify(primal, dual)
        model = problem.build_model(primal)
    stored = Certificate(**meta["certificate"])
    told = [(name, getattr(certificate, name), getattr(stored, name)) for name in FIGURES]
    if certificate.net is not None and stored.net is not None:
        told += zip(("net objective", "net bound"), certificate.net, stored.net, strict=True)
    for name, ours, theirs in told:
        if ours != theirs and not abs(ours - theirs) <= 1e-9 * max(1.0, abs(theirs)):
            raise FileError(
                f"{path} does not certify: {name} is {ours!r}, the file says {theirs!r}"
            )
    status, tol = Status[meta["status"]], float(meta["options"]["tol"])
    if (status is Status.OPTIMAL) != stored.passes(tol):
        raise FileError(f"{path} says {status.name}, but its certificate does not bear OPTIMAL out")
    done = preparation_from(arrays, meta.get("preparation"))  # older files have none
    return Solution(
        status=status,
        certificate=certificate,
        model=for_raw_data(model, done),
        primal=primal,
        dual=dual,
        history=tuple(Step(int(row[0]), *row[1:].tolist()) for row in arrays["history"]),
        timings=meta["timings"],
        backend=meta["backend"],
        message=meta["message"],
        problem=problem,
        options=meta["options"],
        versions=meta["versions"],
        stages=tuple(
            Stage(int(k), mu, int(iterations), gap)
            for k, mu, iterations, gap in arrays["stages"].tolist()
        ),
        preparation=done,
    )

"""What a solve returns: a graded answer that can be saved, loaded and graded again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from os import PathLike


class Status(Enum):
    """How a solve ended; the value is advice."""

    OPTIMAL = "The certificate meets the tolerance: use the answer."
    INACCURATE = (
        "The engine finished but the certificate does not meet the tolerance: "
        "loosen tol or try another backend."
    )
    MAX_ITER = "The iterations ran out: raise max_iter, or accept the certified gap."
    TIME_LIMIT = "The time ran out: raise time_limit, or accept the certified gap."
    INFEASIBLE = "No point satisfies the constraints: change the problem."
    UNBOUNDED = "The objective has no lower bound: change the problem."
    STOPPED = "A callback or Ctrl-C stopped the solve: the best point so far is returned."
    FAILED = "The engine broke down: read the message and try another backend."


@dataclass(frozen=True)
class Certificate:
    """Proof of how good an answer is, computed by the problem from a primal and a dual point.

    Attributes
    ----------
    objective : float
        True objective of the model handed to the user; of a majorant over given patterns, its
        value, which the model's own objective does not exceed.
    bound : float
        Rigorous lower bound on the optimum within `scope`; -inf if none is known.
    violation : float
        Largest constraint violation of the program's variables, relative to the largest
        constraint value.
    scope : str
        What the bound covers, for example "these patterns" or "all patterns".

    Examples
    --------
    >>> Certificate(objective=2.0, bound=1.0, violation=0.0, scope="all patterns").gap
    0.5
    """

    objective: float
    bound: float
    violation: float
    scope: str

    @property
    def gap(self) -> float:
        """Return ``(objective - bound) / max(1, |objective|)``."""
        return (self.objective - self.bound) / max(1.0, abs(self.objective))

    @property
    def covers(self) -> str:
        """Return what the bound covers, without what the scope says beyond."""
        return self.scope.partition(";")[0]

    def passes(self, tol: float) -> bool:
        """Tell whether ``|gap| <= tol`` and ``violation <= tol``."""
        return abs(self.gap) <= tol and self.violation <= tol


class Step(NamedTuple):
    """One certified point on the way.

    Attributes
    ----------
    iteration : int
    seconds : float
        Wall time since the engine started, less the time spent certifying.
    objective : float
        Objective of the model at this step.
    gap : float
        Relative gap between this objective and the best bound so far.
    bound : float
        Best bound so far.
    violation : float
    """

    iteration: int
    seconds: float
    objective: float
    gap: float
    bound: float
    violation: float


class Stage(NamedTuple):
    """One stage of an engine that smooths less and less, or re-centres its smoothing.

    Attributes
    ----------
    stage : int
        From 0.
    mu : float
        The smoothing, in the engine's units.
    iterations : int
    gap : float
        That of the last certified `Step` of this stage or before.
    """

    stage: int
    mu: float
    iterations: int
    gap: float


class SolveError(RuntimeError):
    """Raised by `Solution.raise_for_status` for an answer that is not OPTIMAL."""


@dataclass(frozen=True, eq=False)
class Solution:
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
        ended child processes included. "certify" is part of neither.
    backend, message : str
    problem : Problem
    options, versions : dict
        What it takes to run the same solve again.
    stages : tuple of Stage
        Of ``homotopy``; empty for engines without stages.
    """

    status: Status
    certificate: Certificate
    model: Any
    primal: Any
    dual: Any
    history: tuple[Step, ...]
    timings: dict[str, float]
    backend: str
    message: str
    problem: Any = field(repr=False)
    options: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    stages: tuple[Stage, ...] = ()

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

    def raise_for_status(self) -> Solution:
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
        from convexnn.store import save_solution

        save_solution(self, path)


def load(path: str | PathLike[str]) -> Solution:
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
    from convexnn.store import load_solution

    return load_solution(path)


def to_json(value: Any) -> str:
    """Return `value` as JSON; numbers from NumPy become plain ones.

    Examples
    --------
    >>> to_json({"n": np.int64(3)})
    '{"n": 3}'
    """

    def plain(item: Any) -> Any:
        if isinstance(item, np.generic):
            return item.item()
        return repr(item)

    return json.dumps(value, default=plain)

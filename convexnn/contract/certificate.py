"""What grades an answer: certificate, status, and the steps and stages on the way."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import NamedTuple


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
    net : (float, float) or None
        Objective and bound less what every answer has to pay, where that would hide all else:
        distances of points that are far away, say. The gap is that of these two.

    Examples
    --------
    >>> Certificate(objective=2.0, bound=1.0, violation=0.0, scope="all patterns").gap
    0.5
    """

    objective: float
    bound: float
    violation: float
    scope: str
    net: tuple[float, float] | None = None

    @property
    def graded(self) -> tuple[float, float]:
        """Return the objective and the bound that the gap is of: `net`, or the two themselves."""
        return (self.objective, self.bound) if self.net is None else self.net

    @property
    def gap(self) -> float:
        """Return ``(objective - bound) / max(1, |objective|)``, of the two less what all pay."""
        objective, bound = self.graded
        return (objective - bound) / max(1.0, abs(objective))

    @property
    def covers(self) -> str:
        """Return what the bound covers, without what the scope says beyond."""
        return self.scope.partition(";")[0]

    def with_bound(self, other: Certificate) -> Certificate:
        """Return the certificate of this objective and the bound of another answer."""
        net = None if self.net is None or other.net is None else (self.net[0], other.net[1])
        return Certificate(self.objective, other.bound, self.violation, other.scope, net)

    def without_bound(self) -> Certificate:
        """Return the certificate of this objective where nothing is proved."""
        net = None if self.net is None else (self.net[0], -inf)
        return Certificate(self.objective, -inf, self.violation, self.covers, net)

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

"""The steps of the interior point on a form's program, and which of them are certified."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from convexnn.contract.backend import Options, Outcome, Raw, Reporter
from convexnn.solvers.schedule import NOT_FINITE, iterate
from convexnn.solvers.wasserstein.interior import PiecewiseInterior
from convexnn.solvers.wasserstein.program import Program

MAX_ITER = 200
NEAR = 5.0  # times the tolerance: own gap from which every step is certified
EVERY = 5  # steps between certificates before that
STALLED = 1e-10  # step length below which nothing moves
EXHAUSTED = 1e-15  # own gap and residual below which rounding rules


class Plan(Protocol):
    """A form as a program, and how to read its iterates."""

    @property
    def program(self) -> Program:
        """Return the program."""

    def point(self, core: PiecewiseInterior) -> Any:
        """Return the primal point of an iterate."""

    def slopes(self, core: PiecewiseInterior) -> Any:
        """Return the dual point of an iterate."""


def follow(
    plan: Plan, options: Options, reporter: Reporter, taken: int = 0
) -> tuple[Raw, PiecewiseInterior]:
    """Step until the reporter is satisfied or nothing moves; `taken` steps came before.

    Returns
    -------
    Raw
    PiecewiseInterior
        Where it ended.
    """
    core, gap = PiecewiseInterior(plan.program), np.inf

    def step(k: int) -> Raw | None:
        nonlocal gap
        length, residual = core.step()
        if not np.isfinite(core.w).all():
            return Raw(Outcome.FAILED, NOT_FINITE)
        gap = core.gap()
        if length <= STALLED or max(gap, residual) <= EXHAUSTED:
            return Raw(Outcome.FINISHED, "Rounding stopped the progress of interior point.")
        return None

    def due(k: int) -> bool:
        near = NEAR * options.tol * max(1.0, abs(float(plan.program.cost @ core.w)))
        return gap <= near or k % EVERY == 0

    def points() -> tuple[Any, Any]:
        return plan.point(core), plan.slopes(core)

    limit = options.max_iter or MAX_ITER
    return iterate(step, points, reporter, limit, due=due, begin=taken), core

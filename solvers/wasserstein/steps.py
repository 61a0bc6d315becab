"""The steps of the interior point on a form's program, and which of them are certified."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from convexnn.contract.backend import Options, Outcome, Raw, Reporter
from convexnn.solvers.wasserstein.interior import PiecewiseInterior, Program

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
    limit = options.max_iter or MAX_ITER
    core = PiecewiseInterior(plan.program)
    for k in range(taken + 1, limit + 1):
        step, residual = core.step()
        if not np.isfinite(core.w).all():
            return Raw(Outcome.FAILED, "The iterates are no longer finite."), core
        gap = core.gap()
        near = gap <= NEAR * options.tol * max(1.0, abs(float(plan.program.cost @ core.w)))
        last = k == limit or step <= STALLED or max(gap, residual) <= EXHAUSTED
        if near or last or k % EVERY == 0 or reporter.expired():
            if reporter.report(k, plan.point(core), plan.slopes(core)):
                return Raw(Outcome.STOPPED), core
            if last and k < limit:
                return Raw(
                    Outcome.FINISHED, "Rounding stopped the progress of interior point."
                ), core
    return Raw(Outcome.MAX_ITER), core

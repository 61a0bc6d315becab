"""Where a path begins: the smallest beta at which the network without neurons is optimal."""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.contract.backend import Withholds
from convexnn.contract.checks import ProblemError
from convexnn.contract.problem import Penalised
from convexnn.contract.system.interrupts import as_interrupt
from convexnn.relu.forms import GroupForm, PooledForm
from convexnn.workflows.screening import Critical, critical

ROUNDING = 1e-13  # share of the largest response that there could be below which it is none
VANISHED = 1e-8  # slope of the loss at the free part's fit, relative to that at zero


@as_interrupt()
def beta_max(problem: Penalised[object]) -> float:
    """Return the smallest beta at which a network without neurons is optimal.

    With ``mu`` minus the slope of the loss at the fit of the free part alone (at zero, where there
    is none), it is the largest response over the program's blocks,

        max_b max {(F_b' mu)'w : w in K_b, ||w|| <= 1},

    ``||Proj_{K_p}(+-X' S_p mu)||`` with cones and l2 neurons: below it some neuron pays. Of several
    outputs each has its multipliers, and blocks of its own.

    Parameters
    ----------
    problem : ReluTraining, GatedReluTraining or SampledReluTraining
        Over given patterns, or few enough to be listed; its beta plays no part.

    Returns
    -------
    float
        From above, exact up to rounding.

    Raises
    ------
    ProblemError
        If the problem is no program over listed patterns, or a majorant; if a free linear part
        comes with a loss with kinks, or fits the examples perfectly by itself.

    Examples
    --------
    >>> import convexnn as cx
    >>> X = np.array([[1.0], [2.0], [-1.0]])
    >>> problem = cx.ReluTraining(X, [1.0, 2.0, 0.0], beta=1.0, patterns=[[1], [1], [0]])
    >>> round(cx.beta_max(problem), 9)
    5.0
    """
    given: Any = problem
    return _critical(given).beta * float(given.design.scale)


def _critical(problem: Any) -> Critical:
    form = listed_form(problem)
    if form is None:
        raise ProblemError(
            f"beta_max is known for programs over listed patterns with cones or gates, not for "
            f"this {type(problem).__name__}: give betas"
        )
    kinks = not np.isfinite(form.loss.curvature)
    if kinks and form.skip:
        raise ProblemError(
            f"beta_max is not known for the {form.loss.name} loss with a free part: give betas"
        )
    found = critical(form, float(problem.design.slack))
    first = float(np.linalg.norm(form.loss.gradient(np.zeros_like(form.y), form.y)))
    length = float(np.linalg.norm(found.mu))
    size = float(np.linalg.norm(form.X)) * float(np.max(np.abs(form.slopes)))
    if length <= VANISHED * first or found.beta <= ROUNDING * size * length:
        raise ProblemError(
            "beta_max is 0, the network has no neurons at any beta: without them the loss is "
            "already at its least"
        )
    return found


def penalised(problem: object) -> None:
    """Check that a problem has a penalty.

    Raises
    ------
    ProblemError
        Otherwise.
    """
    if isinstance(problem, type) or not isinstance(problem, Penalised):
        raise ProblemError(f"problem must have a beta, got a {type(problem).__name__}")
    if getattr(problem, "penalty", "") == "linf":
        raise ProblemError("problem must not have neurons in the linf norm: no path is known")


def listed_form(problem: Any) -> GroupForm | None:
    """Return the program over listed patterns with cones or gates, None if there is none.

    Raises
    ------
    ProblemError
        If the problem has no beta, or too many patterns to be listed.
    """
    penalised(problem)
    for kind in (GroupForm, PooledForm):
        if kind in problem.forms():
            form: GroupForm = problem.canonical(kind)
            return form
    reason = problem.withholds(GroupForm) if isinstance(problem, Withholds) else None
    if problem.patterns is None and reason:
        raise ProblemError(str(reason))
    return None

"""The worst weights of a ball as a formula in CVXPY."""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.contract.program import CvxpyProgram
from convexnn.wasserstein.weight_balls import Adversary, Choice, Entropy, EntropyPenalty, Variation


def by_weights(form: Any, needs: frozenset[str]) -> CvxpyProgram:
    """Return ``max w'l`` subject to ``w >= 0``, ``sum w = 1`` and the ball, or less the penalty.

    The multiplier is read off the dual values: of the ball for the balls whose ``lam`` it is, of
    ``sum w = 1`` for those with a threshold.
    """
    import cvxpy as cp

    n = len(form.losses)
    w = cp.Variable(n, name="w", nonneg=True)
    total = cp.sum(w) == 1.0
    if isinstance(form, EntropyPenalty):
        penalty = form.penalty * cp.sum(cp.kl_div(n * w, np.ones(n))) / n
        problem = cp.Problem(cp.Maximize(form.losses @ w - penalty), [total])
    else:
        ball = form.cvxpy(w)
        problem = cp.Problem(cp.Maximize(form.losses @ w), [total, ball])

    def points() -> tuple[Adversary, Choice]:
        if isinstance(form, EntropyPenalty):
            multiplier = form.penalty
        elif isinstance(form, Entropy):
            multiplier = max(float(ball.dual_value), 0.0)
        elif isinstance(form, Variation):
            multiplier = form.losses.max() - max(float(ball.dual_value), 0.0)
        else:
            multiplier = float(total.dual_value)
        weights = form.feasible(w.value)
        return Adversary(np.array([multiplier]), weights), Choice(weights)

    return CvxpyProgram(problem, {"w": w}, points, needs, True)

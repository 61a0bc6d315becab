"""What the worst-case problems share: a dual value above, a distribution's expected loss below."""

from __future__ import annotations

from typing import Any

from convexnn.contract.certificate import Certificate
from convexnn.contract.problem import Builder
from convexnn.wasserstein.weight_balls import Adversary, Choice


class AgainstBall(Builder):
    """Base of the builders whose form has ``upper``, ``lower``, ``feasible`` and ``idle``."""

    form: Any

    def needs(self) -> frozenset[str]:
        """Return nothing: the formula is a linear program."""
        return frozenset()

    def initial(self) -> tuple[Adversary, Choice]:
        """Return the empirical distribution, and multipliers that know nothing."""
        points: tuple[Adversary, Choice] = self.form.idle()
        return points

    def objective(self, primal: Adversary) -> float:
        """Return the dual value at the multipliers, never below the supremum."""
        value: float = self.form.upper(primal.multiplier)
        return value

    def _grade(self, primal: Adversary, dual: Choice, scope: str) -> Certificate:
        bound = self.form.lower(dual.choice)
        return Certificate(self.objective(primal), bound, 0.0, scope)

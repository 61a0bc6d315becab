"""What the worst-case problems share: a dual value above, a distribution's expected loss below."""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.arrays import Array
from convexnn.balls import Adversary, Choice
from convexnn.solution import Certificate


class AgainstBall:
    """Base of the builders whose form has ``upper``, ``lower`` and ``feasible``."""

    form: Any

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def needs(self) -> frozenset[str]:
        """Return nothing: the formula is a linear program."""
        return frozenset()

    def objective(self, primal: Adversary) -> float:
        """Return the dual value at the multipliers, never below the supremum."""
        value: float = self.form.upper(primal.multiplier)
        return value

    def _grade(self, primal: Adversary, dual: Choice, scope: str) -> Certificate:
        bound = self.form.lower(dual.choice)
        return Certificate(self.objective(primal), bound, 0.0, scope)

    def prune(self, primal: Adversary) -> Adversary:
        """Return the point itself."""
        return primal


def at_rest(multipliers: int, choice: Array) -> tuple[Adversary, Choice]:
    """Return the points of an adversary whose ball costs nothing, and who does nothing yet."""
    return Adversary(np.zeros(multipliers), choice), Choice(choice)

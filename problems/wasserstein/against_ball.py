"""What the worst-case problems share: a dual value above, a distribution's expected loss below."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from convexnn.contract.grading import Bound, Grade, Halves
from convexnn.wasserstein.weight_balls import Adversary, Choice


class AgainstBall(Halves[object]):
    """Base of the builders whose form has ``upper``, ``lower``, ``feasible`` and ``idle``."""

    form: Any

    def needs(self) -> frozenset[str]:
        """Return nothing: the formula is a linear program."""
        return frozenset()

    def initial(self) -> tuple[Adversary, Choice]:
        """Return the empirical distribution, and multipliers that know nothing.

        An engine is not to find its work done by a value that is finite, but crude.
        """
        primal, dual = self.unwritten()
        known = primal.multiplier
        return primal._replace(multiplier=np.where(np.isinf(known), known, np.inf)), dual

    def unwritten(self) -> tuple[Adversary, Choice]:
        """Return the empirical distribution, and multipliers at which the value is finite."""
        points: tuple[Adversary, Choice] = self.form.idle()
        return points

    @property
    @abstractmethod
    def scope(self) -> str:
        """What a bound covers."""

    def grade(self, primal: Adversary) -> Grade:
        """Return the dual value at the multipliers, never below the supremum."""
        return Grade(self.form.upper(primal.multiplier))

    def bound(self, primal: Adversary, dual: Choice, grade: Grade) -> Bound:
        """Return the expected loss of a distribution within the ball."""
        return Bound(self.form.lower(dual.choice), self.scope)

"""Grading a median: what is seen of the data from a point, one pass, and what that proves."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.certificate import Certificate
from convexnn.contract.grading import Bound, Grade, Halves, HalvesGrader, Memo
from convexnn.median.bound import proof
from convexnn.median.forms import LARGEST, Location, MedianForm, Sight, View, view

if TYPE_CHECKING:
    from collections.abc import Callable

    from convexnn.contract.arrays import Array
    from convexnn.contract.backend import Reporter


class Sights(HalvesGrader[Any]):
    """Grades points by what is seen from them: one pass where both halves look from one place.

    Parameters
    ----------
    problem : Halves
    form : MedianForm
        Its canonical form.
    """

    def __init__(self, problem: Halves[Any], form: MedianForm) -> None:
        super().__init__(problem)
        self.form, self._views = form, Memo()

    def look(self, offset: Array) -> View:
        """Return what is seen from a point."""
        return self._views.of(offset.tobytes(), lambda: self._look(offset))

    def _look(self, offset: Array) -> View:
        if np.abs(offset).max() < LARGEST:  # false of NaN
            return view(self.form, offset)
        nothing = np.zeros(len(offset))
        return View(np.inf, nothing, 0.0, 0, np.inf, 0.0, nothing, nothing)

    def grade(self, primal: Location) -> Grade:
        """Return the sum of distances of the point as float64 holds it for the user."""
        offset = np.asarray(primal.offset, dtype=np.float64)
        value = self.look(self.form.point(offset) - self.form.centre).value
        tail = self.form.tail
        return Grade(value) if tail is None else Grade(value + tail.paid, net=value)

    def bound(self, dual: Sight | None) -> Bound:
        """Return what the unit vectors from a point to all others prove."""
        value = 0.0
        if dual is not None:
            offset = np.asarray(dual.offset, dtype=np.float64)
            seen = self.look(offset)
            if np.isfinite(seen.value):
                value = proof(self.form, offset, seen)
        tail = self.form.tail
        if tail is None:
            return Bound(value, "all points")
        return Bound(value + tail.surely_paid, "all points", net=value)

    def _certified(self, primal: Location, dual: Sight) -> Certificate:
        return self.bound(dual).beside(self.grade(primal))

    def keep(self, *, primal: bool = True, dual: bool = True) -> None:
        """Remember what is seen from the best point."""
        self._views.keep()

    def again(self) -> Sights:
        """Return a grader that knows what is seen from the best point."""
        other = Sights(self.problem, self.form)
        other._views = self._views.again()
        return other


def looking(form: MedianForm, reporter: Reporter) -> Callable[[Array], View]:
    """Return what looks at a form's data: the run's grader, where it grades this very form."""
    grader = getattr(reporter, "grader", None)
    if isinstance(grader, Sights) and grader.form is form:
        return grader.look
    return partial(view, form)

"""Mangled points: certificates of what no engine would report, held against the best that is known.

A bound holds whatever the points are that it is computed from. So points of random instances are
scaled, turned, shuffled and made up, the data of some shifted and scaled; no bound may be above
the objective of any point of the same problem, by more than what that objective's own rounding
explains.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

import convexnn as cx
from convexnn.bench.instances import family_of, instance
from convexnn.contract.arrays import Array
from convexnn.contract.certificate import Certificate
from convexnn.contract.checks import ProblemError
from convexnn.contract.grading import HalvesGrader, grader_of
from convexnn.driver.compare import EXACT

Rng = np.random.Generator

EACH = 20  # mangled points of one problem
TOL = 1e-6  # asked of the solve of each
VIOLATED = 1e-6  # of a point whose objective counts, which it may have made too low by such a share
SECONDS = 1.0  # for the solve of each
ROUNDING = 1e-11  # relative room of a bound above an objective, beyond what follows
NUDGES = 3  # points one rounding away, whose objectives tell how exact that one is
NUDGED = 8.0  # times what those differ by
SCALES = (-1.0, 0.0, 0.5, 1.0 + 1e-9, 2.0, 1e-310, 1e-200, 1e-30, 1e8, 1e30, 1e150, 1e300)
VALUES = (0.0, 5e-324, 1e-310, 1e-20, -1.0, 1e20, 1e160, -1e300, np.nan, np.inf, -np.inf)
SHIFTS = (0.0, 0.0, 0.0, 1.0, 1e3, 1e6, 1e9)
UNITS = (1.0, 1.0, 1.0, 1e-100, 1e-9, 1e-3, 1e3, 1e9, 1e100)
FACTORS = (1.0, 1.0, 1.0, 1e-150, 1e-12, 1e-6, 1e6, 1e12, 1e150)

# What may come of a mangled point: a bound that is none or holds, one above an objective, figures
# that are no numbers, or an error.
VERDICTS = ("holds", "above", "nan", "raw")
GOOD = ("holds",)


class Judged(NamedTuple):
    """What came of one mangled point.

    Attributes
    ----------
    number : int
        Of the problem.
    family, instance : str
    mangled : str
        Which half of the point, and how.
    verdict : str
        One of `VERDICTS`.
    said : str
    """

    number: int
    family: str
    instance: str
    mangled: str
    verdict: str
    said: str = ""


def campaign(count: int, seed: int, on_done: Callable[[], None] = lambda: None) -> list[Judged]:
    """Certify so many mangled points, `EACH` of a problem, families in turn.

    Parameters
    ----------
    count, seed : int
    on_done : callable
        Called after each.

    Examples
    --------
    >>> {one.verdict for one in campaign(2, 0)}
    {'holds'}
    """
    found: list[Judged] = []
    for index in range(-(-count // EACH)):
        for one in judged(seed, index, min(EACH, count - len(found))):
            found.append(one)
            on_done()
    return found


def judged(seed: int, index: int, count: int = EACH) -> list[Judged]:
    """Certify so many mangled points of a problem.

    Examples
    --------
    >>> [one.verdict for one in judged(0, 16, 3)]
    ['holds', 'holds', 'holds']
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # awkward on purpose
        rng = np.random.default_rng([seed, index, 1])
        text, problem = declared(seed, index, rng)
        where = index, family_of(index), text
        try:
            known = Known(problem, rng)
        except Exception as error:
            return [Judged(*where, "not at all", "raw", _said(error))] * count
        return [Judged(*where, *known.tried(rng)) for _ in range(count)]


class Known:
    """A problem, points of it, and the least objective and the largest bound of any.

    Parameters
    ----------
    problem : Problem
    rng : Generator
    """

    def __init__(self, problem: Any, rng: Rng) -> None:
        self.problem = problem
        answer = cx.solve(problem, tol=TOL, time_limit=SECONDS)
        self.points = [problem.initial(), (answer.primal, answer.dual)]
        self.low: dict[str, float] = {}  # the least objective, with its room, by what is covered
        for point in self.points:
            certificate = problem.certify(*point)
            self._learn(point[0], certificate, rng)

    def tried(self, rng: Rng) -> tuple[str, str, str]:
        """Mangle a point and certify it; return how it was mangled, the verdict and the reason."""
        primal, dual = self.points[int(rng.random() < 0.8)]
        how = list(WAYS)[int(rng.integers(len(WAYS)))]
        half = ("dual", "dual", "primal", "both")[int(rng.integers(4))]
        if half != "primal":
            dual = changed(dual, WAYS[how], rng)
        if half != "dual":
            primal = changed(primal, WAYS[how], rng)
        what = f"{half} {how}"
        try:
            found = self.problem.certify(primal, dual)
        except Exception as error:
            return what, "raw", _said(error)
        if np.isnan([found.objective, found.bound, found.violation]).any():
            return what, "nan", str(found)
        above = self.above(found)
        if above is not None:
            return what, "above", above
        self._learn(primal, found, rng)
        above = self.above(found)
        return what, "holds" if above is None else "above", above or ""

    def above(self, found: Certificate) -> str | None:
        """Return by how much a bound is above the least objective, None if it is not."""
        low, bound = self.low.get(found.covers, np.inf), found.graded[1]
        if bound <= low:
            return None
        return f"bound {bound!r} above {low!r}, by {bound - low:.1e}"

    def _learn(self, primal: Any, found: Certificate, rng: Rng) -> None:
        objective = found.graded[0]
        if found.violation <= VIOLATED and np.isfinite(objective):
            least = self.low.get(found.covers, np.inf)
            if objective < least:
                room = self._room(primal, objective, rng)
                if found.violation > EXACT:
                    room += NUDGED * VIOLATED * max(1.0, abs(objective))
                self.low[found.covers] = min(least, objective + room)

    def _room(self, primal: Any, objective: float, rng: Rng) -> float:
        """Return how far off an objective may be, by those of points and targets next to these."""
        own = net_of(self.problem)
        values = [own(changed(primal, rounded, rng)) for _ in range(NUDGES)]
        values += [near(primal) for near in self._beside]
        off = max([abs(value - objective) for value in values if np.isfinite(value)], default=0.0)
        return ROUNDING * abs(objective) + NUDGED * off + 1e-300

    @cached_property
    def _beside(self) -> list[Callable[[Any], float]]:
        """What values points by targets, or other rows of numbers, that are one rounding away."""
        rows = {
            field.name: getattr(self.problem, field.name)
            for field in fields(self.problem)
            if np.ndim(getattr(self.problem, field.name)) == 1
        }
        rows = {name: a for name, a in rows.items() if _real(a)}
        if not rows:
            return []
        rng = np.random.default_rng(0)
        found: list[Callable[[Any], float]] = []
        for _ in range(NUDGES):
            with suppress(ProblemError):
                near = {name: rounded(a, rng) for name, a in rows.items()}
                found.append(net_of(replace(self.problem, **near)))
        return found


def net_of(problem: Any) -> Callable[[Any], float]:
    """Return what values points of a problem, less what every one of them pays.

    Examples
    --------
    >>> from convexnn.forms import Location
    >>> net_of(cx.GeometricMedian([[0.0], [1.0], [5.0]]))(Location(np.ones(1)))
    5.0
    """
    grader = grader_of(problem)

    def value(primal: Any) -> float:
        if not isinstance(grader, HalvesGrader):
            return grader.objective(primal)
        grade = grader.grade(primal)
        return grade.objective if grade.net is None else grade.net

    return value


def declared(seed: int, index: int, rng: Rng) -> tuple[str, Any]:
    """Return a text and a problem: an instance, for the most part with other data or parameters."""
    made = instance(seed, index)
    for _ in range(3):
        changes: dict[str, Any] = {}
        shift, unit = rng.choice(SHIFTS), rng.choice(UNITS)
        for field in fields(made.problem):
            value = getattr(made.problem, field.name)
            if not field.init:  # what follows from others
                continue
            if _real(value):
                changes[field.name] = (value + shift) * unit
            elif isinstance(value, float) and np.isfinite(value) and value > 0.0:
                factor = rng.choice(FACTORS)
                if factor != 1.0:
                    changes[field.name] = value * float(factor)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of parameters that decide the answer
                problem = replace(made.problem, **changes)
        except ProblemError:
            continue
        told = {name: v for name, v in changes.items() if not isinstance(v, np.ndarray)}
        return f"{made.text} shift={shift:g} unit={unit:g} {told}", problem
    return made.text, made.problem


def _real(value: Any) -> bool:
    """Tell whether these are numbers, no labels."""
    real = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    return real and not np.isin(value, (-1.0, 0.0, 1.0)).all()


def changed(point: Any, way: Callable[[Array, Rng], Array], rng: Rng) -> Any:
    """Return a point with arrays of floats changed: all of them alike, or one."""
    count = sum(1 for _ in _arrays(point))
    chosen = int(rng.integers(count)) if count and rng.random() < 0.5 else None
    places = iter(range(count))

    def walk(part: Any) -> Any:
        if isinstance(part, np.ndarray) and part.dtype.kind == "f":
            here = chosen in (None, next(places))
            return np.asarray(way(part, rng)).reshape(part.shape) if here else part
        if isinstance(part, tuple):
            inner = [walk(one) for one in part]
            return part._make(inner) if hasattr(part, "_make") else tuple(inner)
        return part

    return walk(point)


def _arrays(part: Any) -> Iterator[Array]:
    if isinstance(part, np.ndarray) and part.dtype.kind == "f":
        yield part
    elif isinstance(part, tuple):
        for one in part:
            yield from _arrays(one)


def scaled(a: Array, rng: Rng) -> Array:
    """Return a multiple."""
    multiple: Array = a * rng.choice(SCALES)
    return multiple


def turned(a: Array, rng: Rng) -> Array:
    """Return the numbers with signs of their own."""
    other: Array = a * rng.choice((-1.0, 1.0), size=a.shape)
    return other


def shuffled(a: Array, rng: Rng) -> Array:
    """Return the numbers in another order."""
    mixed: Array = rng.permutation(a.ravel()).reshape(a.shape)
    return mixed


def noisy(a: Array, rng: Rng) -> Array:
    """Return the numbers with noise, small or large."""
    size = 10.0 ** rng.uniform(-16.0, 2.0) * (1.0 + np.abs(a))
    moved: Array = a + size * rng.standard_normal(a.shape)
    return moved


def replaced(a: Array, rng: Rng) -> Array:
    """Return the numbers with one in place of another."""
    a = a.copy()
    if a.size:
        a.flat[int(rng.integers(a.size))] = rng.choice(VALUES)
    return a


def made_up(a: Array, rng: Rng) -> Array:
    """Return numbers as of another problem."""
    new: Array = rng.standard_normal(a.shape) * 10.0 ** rng.uniform(-6.0, 6.0)
    return new


def uneven(a: Array, rng: Rng) -> Array:
    """Return the numbers, each scaled by itself over hundreds of orders."""
    each: Array = a * 10.0 ** rng.uniform(-300.0, 100.0, size=a.shape)
    return each


def rounded(a: Array, rng: Rng) -> Array:
    """Return the numbers one rounding away, equal ones alike, zeros as they are."""
    values, inverse = np.unique(a, return_inverse=True)
    side = np.where(rng.random(len(values)) < 0.5, -np.inf, np.inf)
    near = np.where(values == 0.0, 0.0, np.nextafter(values, side))
    nudged: Array = near[inverse].reshape(a.shape)
    return nudged


WAYS: dict[str, Callable[[Array, Rng], Array]] = {
    "scaled": scaled,
    "with other signs": turned,
    "shuffled": shuffled,
    "noisy": noisy,
    "with one replaced": replaced,
    "made up": made_up,
    "scaled unevenly": uneven,
    "rounded": rounded,
}


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"

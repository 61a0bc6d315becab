"""What random patterns guarantee: a sample size beforehand, a statistical test afterwards.

The dual of the program over patterns has one variable per example and one convex constraint
per pattern,

    c_p(mu) = max {|mu'(S_p * X u)| : u in K_p, ||u|| <= 1} <= beta,

so that a random sample of patterns is a scenario program, and one more pattern lowers the
optimum only if it cuts off the dual optimum.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil, log, nan
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convexnn.contract.brief import brief
from convexnn.contract.checks import (
    ProblemError,
    positive_int,
    probability,
    seconds,
    seed_of,
)
from convexnn.contract.clock import Clock, OutOfTime, look, timed_by
from convexnn.contract.system.interrupts import as_interrupt
from convexnn.driver.solution import Solution
from convexnn.relu.forms import Dual, NetworkForm
from convexnn.relu.patterns import Patterns

if TYPE_CHECKING:
    from typing import TypeAlias

    from convexnn.contract.arrays import Array, BoolArray, SignArray
    from convexnn.problems.relu.two_layer import ReluTraining
    from convexnn.relu.forms import GroupForm

    Columns: TypeAlias = np.ndarray[tuple[int], np.dtype[np.intp]]

BLOCK = 1 << 20  # entries of the n x block arrays of fresh patterns kept at a time: 8 MiB
PRICED = 64  # patterns that are priced between two looks at the clock
SHARPEST = 1e-9  # least relative excess over beta that counts as a violation
ROUNDING = 1e-11  # relative allowance for the rounding of a projection


def pattern_count(n: int, psi: float, xi: float) -> int:
    """Return the least integer ``>= min{(n+1)/(psi xi) - 1, (2/psi)(n + 1 - log xi)}``.

    With probability at least ``1 - xi`` over that many independent draws of patterns
    (repetitions count), one more draw from the same distribution lowers the optimum of the
    program with probability at most ``psi``. In its epigraph form the dual is a convex program
    with n + 1 variables and one constraint per draw; the first size is that of Calafiore &
    Campi, the second that of Campi & Garatti, both for programs of n + 1 variables.

    The guarantee is for a distribution: it says nothing about rare patterns, however good. The
    test after the fact, `audit`, needs no such count and is far sharper.

    Parameters
    ----------
    n : int
        Examples, the variables of the dual.
    psi : float
        Probability that one more pattern improves the optimum, in (0, 1).
    xi : float
        Probability that the sample misleads, in (0, 1).

    Returns
    -------
    int

    Raises
    ------
    ProblemError
        If `n` is no integer >= 1, or `psi` or `xi` is not in (0, 1).

    References
    ----------
    Bai, Gautam & Sojoudi 2022, "Efficient global optimization of two-layer ReLU networks",
    arXiv 2201.01965. Calafiore & Campi 2005, "Uncertain convex programs: randomized solutions
    and confidence levels". Campi & Garatti 2008, "The exact feasibility of randomized solutions
    of uncertain convex programs".

    Examples
    --------
    >>> pattern_count(100, 0.1, 0.01)
    2113
    >>> pattern_count(1, 0.5, 0.5)
    7
    """
    n = positive_int("n", n)
    psi, xi = probability("psi", psi), probability("xi", xi)
    plain = ceil((n + 1) / (Fraction(str(psi)) * Fraction(str(xi)))) - 1
    return min(plain, ceil((2.0 / psi) * (n + 1 - log(xi))))


@brief
@dataclass(frozen=True, eq=False)
class Audit:
    """Fresh random patterns held against a solution's dual point.

    Attributes
    ----------
    count : int
        Fresh patterns drawn, repetitions included.
    violating : int
        How many of them cut off the dual point.
    upper : float
        One-sided upper confidence limit on the share of all patterns that do.
    confidence : float
        Probability that `upper` holds.
    tolerance : float
        A pattern violates where its largest correlation exceeds ``beta (1 + tolerance)``.
    worst : float
        Largest correlation among the violating, as a multiple of beta; 1 if there is none.
    patterns : Patterns or None
        The distinct violating ones with their generators, to be added to the program.
    scope : str
        The result in words.
    message : str
        What the time was too short for; empty if for nothing.
    solution : Solution
        The audited solution, the scope of its certificate replaced by `scope`. Saving does not
        keep the audit: a loaded solution has its problem's own scope.
    """

    count: int
    violating: int
    upper: float
    confidence: float
    tolerance: float
    worst: float
    patterns: Patterns | None
    scope: str
    solution: Solution = field(repr=False)
    message: str = ""

    @property
    def fraction(self) -> float:
        """Return the share of the fresh patterns that violate; NaN where there is none."""
        return self.violating / self.count if self.count else nan


@as_interrupt()
def audit(
    solution: Solution,
    *,
    count: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    time_limit: float | None = None,
) -> Audit:
    """Draw fresh random patterns and count those that would improve the optimum.

    The solution's dual point, repaired and scaled until it is feasible for the program's own
    patterns, bounds the optimum by ``D``. For each of `count` independent patterns ``1[X h >=
    0]``, ``h`` Gaussian, the exact maximum ``c_p`` over its cone is compared with ``beta (1 +
    tolerance)``, where ``tolerance`` is the relative gap between objective and ``D`` (at least
    1e-9). Then

    - all patterns that do not violate, added together, leave the optimum at ``D / (1 +
      tolerance)`` or above, within twice the gap of the objective. A pattern of the program
      never violates;
    - the share of patterns that violate, by the probability that Gaussian generators give
      each, is at most `upper` with the stated confidence (Clopper & Pearson 1934).

    What is counted is violation of the dual constraint at the point reported. At the exact
    optimum a pattern lowers the optimum if and only if it violates; near it, a small violation
    need not.

    Parameters
    ----------
    solution : Solution
        Of a `ReluTraining`, with any loss, penalty and leak.
    count : int, default 1000
    confidence : float, default 0.95
    seed : int, default 0
        The draws are independent of those of `sample_patterns`, whatever its seed.
    time_limit : float, optional
        Seconds.

    Returns
    -------
    Audit
        Of the patterns that there was time for, the first of those drawn: `upper` is for as many,
        as if they had been asked for.

    Raises
    ------
    ProblemError
        If the solution is of another problem or has no dual point over listed patterns, or a
        parameter is out of range.

    Examples
    --------
    >>> import convexnn as cx
    >>> X = np.random.default_rng(0).standard_normal((30, 3))
    >>> problem = cx.ReluTraining(X, np.abs(X[:, 0]), beta=0.1, patterns=100)
    >>> result = cx.audit(cx.solve(problem), count=200)
    >>> result.violating, round(result.upper, 3)
    (2, 0.031)
    """
    problem, form, dual = _audited(solution)
    count, seed = positive_int("count", count), seed_of(seed)
    confidence = probability("confidence", confidence)
    clock = Clock.started(None if time_limit is None else seconds("time_limit", time_limit))
    point = _feasible(problem, form, dual, solution.objective)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
    found: list[Patterns] = []
    violating, worst, done = 0, 1.0, 0
    size = max(1, min(count, BLOCK // len(problem.data)))
    with suppress(OutOfTime), timed_by(clock):
        for first in range(0, count, size):
            look()
            generators = rng.standard_normal((problem.data.shape[1], min(size, count - first)))
            block = Patterns(problem.data @ generators >= 0.0, generators)
            step = len(block) if clock.limit is None else PRICED
            for begin in range(0, len(block), step):
                look()
                fresh = block.take(np.arange(begin, min(begin + step, len(block))))
                bad, ratio = _price(problem, point, fresh.matrix)
                violating, done = violating + len(bad), done + len(fresh)
                worst = max(worst, ratio)
                if len(bad):
                    found.append(fresh.take(bad).distinct())
    said = "" if done == count else f"The time ran out after {done:,} of {count:,} patterns."
    count, upper = done, _upper_limit(violating, done, confidence)
    scope = (
        f"these patterns; of {count:,} fresh random patterns {violating:,} would improve the "
        f"optimum, at most {100.0 * upper:.2g} % of all with {100.0 * confidence:g} % confidence"
    )
    patterns = None
    if found:
        together = Patterns(
            np.hstack([part.matrix for part in found]),
            np.hstack([np.asarray(part.generators) for part in found]),
        )
        patterns = together.distinct()
    certificate = replace(solution.certificate, scope=scope)
    return Audit(
        count,
        violating,
        upper,
        confidence,
        point.tolerance,
        worst,
        patterns,
        scope,
        replace(solution, certificate=certificate),
        said,
    )


class _Point(NamedTuple):
    """A dual point that is feasible for the program, and the excess over beta that counts."""

    mu: Array
    tolerance: float


def _audited(solution: Solution) -> tuple[ReluTraining, GroupForm, Dual]:
    from convexnn.problems.relu.two_layer import ReluTraining

    if not isinstance(solution, Solution):
        raise ProblemError(f"solution must be a Solution, got {type(solution).__name__}")
    problem, dual = solution.problem, solution.dual
    if not isinstance(problem, ReluTraining):
        raise ProblemError(f"solution must be of a ReluTraining, got {type(problem).__name__}")
    if problem.formulation != "cones" and problem.patterns is not None:
        raise ProblemError("solution must be of a program with cones, got formulation='majorant'")
    if problem.penalty == "linf":
        raise ProblemError("solution must not be of neurons in the linf norm: they are not priced")
    if problem.outputs > 1:
        raise ProblemError(f"solution must be of one output, got {problem.outputs}")
    if not isinstance(dual, Dual) or dual.mu.shape != (len(problem.X),):
        raise ProblemError(f"solution must have a dual point, got {type(dual).__name__}")
    if not np.isfinite(dual.mu).all():
        raise ProblemError("solution must have a finite dual point, got one with nan or inf")
    matrix = problem.matrix if problem.matrix is not None else dual.matrix
    if matrix is None:
        raise ProblemError(
            "solution must have a dual point over listed patterns, got one over all patterns"
        )
    return problem, problem.canonical(NetworkForm).over(matrix), dual


def _feasible(problem: ReluTraining, form: GroupForm, dual: Dual, objective: float) -> _Point:
    """Scale the dual point into the program's dual; what it fails to bound is the tolerance."""
    from convexnn.relu.bound import grounded, largest_correlation, repaired

    form, _ = grounded(form, dual.mu)
    mu = repaired(form, dual.mu)
    limit = largest_correlation(form, mu, dual.facets, problem.design.slack)
    mu = min(1.0, form.beta / limit) * mu if limit > 0.0 else mu
    slopes = form.loss.clip(-mu, form.y)
    bound = -float(np.sum(form.loss.conjugate(slopes, form.y)))
    gap = abs(objective - bound) / max(1.0, abs(objective))
    return _Point(mu, max(gap, SHARPEST))


def _price(problem: ReluTraining, point: _Point, matrix: BoolArray) -> tuple[Columns, float]:
    """Return the columns that violate, and the largest correlation over beta (1 if none)."""
    from convexnn.relu.bound import correlations
    from convexnn.relu.cones import no_facets, project_blocks

    form: GroupForm = problem.canonical(NetworkForm).over(matrix)
    limit = form.beta * (1.0 + point.tolerance)
    reach = correlations(form, point.mu, None, problem.design.slack, limit)
    above = reach > limit * (1.0 + ROUNDING)
    bad = np.flatnonzero(above.reshape(2, -1).any(axis=0))
    if len(bad) == 0:
        return bad, 1.0
    if form.norm.rotates:
        return bad, float(np.max(reach)) / form.beta
    # In the l1 norm the prox of weight t is zero where the maximum is at most t; elsewhere it is a
    # direction that attains more than t. So t climbs to the maximum, in finitely many steps.
    blocks = np.flatnonzero(above)
    X, every = form.cones
    signs: SignArray = np.ascontiguousarray(every[blocks % len(every)])
    rows = np.ascontiguousarray(form.correlate(point.mu)[blocks])
    level = limit
    for _ in range(100):
        r = project_blocks(X, signs, rows, no_facets(*rows.shape), tau=level)
        alive = r.any(axis=1)
        if not alive.any():
            break
        rows, signs, r = rows[alive], signs[alive], r[alive]
        higher = float(np.max(np.einsum("bj,bj->b", rows, r) / np.abs(r).sum(axis=1)))
        if higher <= level * (1.0 + 1e-14):
            break
        level = higher
    return bad, level / form.beta


def _upper_limit(hits: int, count: int, confidence: float) -> float:
    """Return the Clopper-Pearson upper limit: the share at which <= `hits` is 1 - confidence."""
    from scipy.stats import beta

    return 1.0 if hits == count else float(beta.ppf(confidence, hits + 1, count - hits))

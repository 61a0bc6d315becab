"""Worst cases over Wasserstein balls in rationals: no bound above a model's risk, by no bit."""

from __future__ import annotations

import warnings
from fractions import Fraction
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from exact import Row, dot, fractions, length, loss_value, root
from numpy import inf

import convexnn as cx
from convexnn.functions.losses import Hinge, Logistic, Squared
from convexnn.wasserstein.distribution_ball import DistributionBall
from convexnn.wasserstein.forms import Linear, Slopes, WassersteinForm
from convexnn.wasserstein.order_inf import ShiftedMargins, StretchedResiduals
from convexnn.wasserstein.order_one import Empirical, LabelFlips, Regularised
from convexnn.wasserstein.order_two import LiftedHinge, RootSquares

KINDS: list[dict[str, Any]] = [
    *({"loss": loss, "order": inf} for loss in ("logistic", "hinge")),
    *({"loss": loss, "flip_cost": cost} for loss in ("logistic", "hinge") for cost in (inf, 0.7)),
    {"loss": "hinge", "order": 2},
    *({"loss": loss, "target_cost": cost} for loss in ("absolute", "huber") for cost in (inf, 0.4)),
    {"loss": "quantile", "quantile": 0.8},
    *({"loss": "squared", "order": o, "target_cost": c} for o in (2, inf) for c in (inf, 0.4)),
]
SHIFTS = [(0.0, 0.0), (1e6, 1e6), (1e3, 1e9), (1e9, 0.0), (0.0, 1e9)]
POWERS = (-14, -10, -6, -2)


def declared(kind: dict[str, Any], shift: tuple[float, float], radius: float, **more: Any) -> Any:
    rng = np.random.default_rng(len(str(kind)))
    X = rng.standard_normal((8, 2)) + shift[0]
    y = rng.standard_normal(8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of small flip costs
        if kind["loss"] in ("logistic", "hinge"):
            labels = np.where(y > 0.0, 1.0, -1.0)
            return cx.WassersteinClassification(X, labels, radius=radius, **kind, **more)
        return cx.WassersteinRegression(X, y + shift[1], radius=radius, **kind, **more)


def mean(values: Row) -> Fraction:
    return sum(values, Fraction(0)) / len(values)


def exact_risk(form: WassersteinForm, point: Linear) -> Fraction:
    """Return the worst case of a model, from above."""
    ball, y = form.ball, fractions(form.y)
    b, c = fractions(point.coef), Fraction(float(point.intercept[0])) * form.intercept
    z = [dot(row, b) + c for row in fractions(form.X)]
    return worst(ball, z, y, length(form.norm, b))


def worst(ball: DistributionBall, z: Row, y: Row, t: Fraction) -> Fraction:
    loss, radius = ball.loss, Fraction(ball.radius)
    lam = max(t, Fraction(ball.floor))
    own = [loss_value(loss, a, b) for a, b in zip(z, y, strict=True)]
    r = [abs(a - b) for a, b in zip(z, y, strict=True)]
    if isinstance(ball, Empirical):
        return Fraction(ball.scale) * mean(own)
    if isinstance(ball, Regularised):
        return radius * Fraction(ball.loss.slope) * lam + mean(own)
    if isinstance(ball, LabelFlips):
        other = [loss_value(loss, a, -b) for a, b in zip(z, y, strict=True)]
        cost = Fraction(ball.cost)
        ends = [t, *((o - w) / cost for o, w in zip(other, own, strict=True))]
        return min(
            lam * radius + mean([max(w, o - cost * lam) for w, o in zip(own, other, strict=True)])
            for lam in ends
            if lam >= t
        )
    if isinstance(ball, LiftedHinge):
        v = Fraction(
            ball.lift(np.array([float(a) for a in z]), np.array([float(b) for b in y]), float(t))
        )
        charge = (t * radius) ** 2 / (4 * v) if v else Fraction(0)
        lifted = mean([max(Fraction(0), 1 - a * b + v) for a, b in zip(z, y, strict=True)])
        return charge + lifted if v or not t else mean(own) + Fraction(10**9)
    if isinstance(ball, RootSquares):
        return (root(mean([x * x for x in r])) + radius * lam) ** 2
    if isinstance(ball, ShiftedMargins):
        moved = [loss_value(loss, a - b * radius * t, b) for a, b in zip(z, y, strict=True)]
        return mean(moved)
    assert isinstance(ball, StretchedResiduals)
    return mean([(x + radius * lam) ** 2 for x in r])


def solved_exactly(rows: list[Row], right: Row) -> Row | None:
    """Return what solves a square system, None if it is singular."""
    system = [[*row, value] for row, value in zip(rows, right, strict=True)]
    for j in range(len(system)):
        pivot = next((i for i in range(j, len(system)) if system[i][j]), None)
        if pivot is None:
            return None
        system[j], system[pivot] = system[pivot], system[j]
        system[j] = [x / system[j][j] for x in system[j]]
        for i in range(len(system)):
            if i != j:
                factor = system[i][j]
                system[i] = [a - factor * b for a, b in zip(system[i], system[j], strict=True)]
    return [row[-1] for row in system]


def least_risk(problem: Any, answers: list[cx.Solution]) -> Fraction:
    """Return the least mean loss known of models of the data as given, at radius 0.

    It is the optimum of squared residuals, and where the loss has kinks at the targets.
    """
    form, own = problem.form, np.ones((len(problem.X), int(problem.intercept)))
    y, loss = fractions(form.y), form.ball.loss
    rows = fractions(np.column_stack([problem.X, own]))
    models: list[Row | None] = [
        [*fractions(answer.model.coef), *[Fraction(answer.model.intercept)] * problem.intercept]
        for answer in answers
    ]
    if isinstance(loss, Squared):
        columns = [list(column) for column in zip(*rows, strict=True)]
        gram = [[dot(a, b) for b in columns] for a in columns]
        models.append(solved_exactly(gram, [dot(a, y) for a in columns]))
    elif not isinstance(loss, Logistic):
        for chosen in combinations(range(len(y)), len(rows[0])):
            models.append(solved_exactly([rows[i] for i in chosen], [y[i] for i in chosen]))
    found = [m for m in models if m is not None]
    scale = Fraction(form.ball.scale)
    return min(
        scale * mean([loss_value(loss, dot(row, m), t) for row, t in zip(rows, y, strict=True)])
        for m in found
    )


def mangled(slopes: Slopes, seed: int = 0) -> list[Slopes]:
    rng, found = np.random.default_rng(seed), []
    for scale in (1.0, -1.0, 0.9, 1.2, 1e-310, 1e8, 1e300):
        with np.errstate(over="ignore"):
            found.append(Slopes(slopes.own * scale, slopes.other * abs(scale)))
    for power in POWERS:
        noise = 10.0**power * rng.standard_normal((2, len(slopes.own)))
        found.append(Slopes(slopes.own + noise[0], slopes.other + noise[1]))
    order = rng.permutation(len(slopes.own))
    found.append(Slopes(slopes.own[order], slopes.other[order]))
    found.append(Slopes(-slopes.other, np.abs(slopes.own)))
    return found


def check(problem: Any) -> float:
    form = problem.form
    answers = [cx.solve(problem, "newton", tol=tol) for tol in (1e-9, 1e-3)]
    if problem.radius == 0.0:
        best = least_risk(problem, answers)
    else:
        best = min(exact_risk(form, answer.primal) for answer in answers)
    zero = problem.initial()[0]
    far = Linear(np.full(len(zero.coef), 1e5), np.full(1, 1e9))
    gap = inf
    for answer in answers:
        for k, slopes in enumerate(mangled(answer.dual)):
            for point in (answer.primal, zero, far):
                bound = problem.certify(point, slopes).bound
                assert Fraction(bound) <= best, (k, float(best), bound)
                gap = min(gap, float(best - Fraction(bound)))
    return gap / max(1.0, float(best))


def shifted(kind: dict[str, Any]) -> list[tuple[tuple[float, float], bool]]:
    """Return how data may be shifted, labels not, with and without an intercept."""
    labels = kind["loss"] in ("logistic", "hinge")
    return [(s, own) for s, own in product(SHIFTS, (True, False)) if not (labels and s[1])]


def check_all(kind: dict[str, Any], radius: float, every: int) -> None:
    """Check one in so many of the ways to shift the data, others for other kinds and radii."""
    ways = shifted(kind)
    for shift, intercept in ways[(KINDS.index(kind) + int(radius > 0.0)) % every :: every]:
        gap = check(declared(kind, shift, radius, intercept=intercept))
        if shift == (0.0, 0.0) or intercept:
            assert gap <= 2e-6, (shift, intercept)


@pytest.mark.parametrize("radius", [0.0, 0.05])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_no_bound_is_above_the_risk_of_a_model(kind: dict[str, Any], radius: float) -> None:
    check_all(kind, radius, len(shifted(kind)))


@pytest.mark.slow
@pytest.mark.parametrize("radius", [0.0, 0.05, 5.0])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_none_is_however_the_data_are_shifted(kind: dict[str, Any], radius: float) -> None:
    check_all(kind, radius, 1)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["l1", "linf"])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_other_norms_too(kind: dict[str, Any], norm: str) -> None:
    for shift in sorted({shift for shift, _ in shifted(kind)}):
        check(declared(kind, shift, 0.05, norm=norm))


def test_the_judge_agrees_with_the_risk() -> None:
    for kind, radius in product(KINDS, (0.0, 0.05, 1.0)):
        problem = declared(kind, (0.0, 0.0), radius)
        rng = np.random.default_rng(1)
        for _ in range(3):
            point = Linear(rng.standard_normal(2), rng.standard_normal(1))
            found = float(exact_risk(problem.form, point))
            assert found == pytest.approx(problem.form.risk(point), rel=1e-12)


def test_the_model_at_hand_says_nothing_at_radius_0() -> None:
    """Not even one that is infinitely long: an optimum's may be of any size."""
    for loss in ("logistic", "hinge", "huber"):
        problem = declared({"loss": loss}, (1e6, 1e6), 0.0)
        answer = cx.solve(problem, tol=1e-8)
        far = Linear(1e200 * np.ones(2), np.zeros(1))
        bound = problem.certify(far, answer.dual).bound
        assert bound == pytest.approx(answer.bound, rel=1e-15)


def test_losses_of_the_judge_are_from_above() -> None:
    for z in (-40.0, -1.0, 0.3, 800.0):
        found = loss_value(Logistic(), Fraction(z), Fraction(1))
        assert float(found) == pytest.approx(float(np.logaddexp(0.0, -z)), rel=1e-14)
    assert loss_value(Hinge(), Fraction(1, 3), Fraction(1)) == Fraction(2, 3)

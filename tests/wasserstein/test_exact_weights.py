"""Worst weights and portfolios in rationals: no bound above the optimum, by no bit.

Logarithms and exponentials are of sixty digits, rounded up; the dual of a ball is convex in its one
variable, so that a parabola through three points near the answer has an optimum as exact.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from exact import CONTEXT, DIGITS, Row, dot, fractions, length, root
from hypothesis import given, settings
from hypothesis import strategies as st

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.functions.norms import L1, L2, Linf
from convexnn.wasserstein.portfolio import Stress
from convexnn.wasserstein.weight_balls import Choice

ZERO, ONE, FAR = Fraction(0), Fraction(1), Fraction(-1000)
DUAL = {"l1": Linf(), "l2": L2(), "linf": L1()}  # of the ground norm
OFFSETS = [0.0, 1.0, -1e6, 1e15, 1e100]
SCALES = [1.0, 1e-10, 1e10, 1e-150, 1e150, 1e-310]
seeds = st.integers(0, 10**6)


def decimal(x: Fraction) -> Decimal:
    return CONTEXT.divide(Decimal(x.numerator), Decimal(x.denominator))


def mean(values: Row) -> Fraction:
    total: Fraction = sum(values, ZERO)
    return total / len(values)


def softmax(losses: Row, lam: Fraction) -> Fraction:
    """Return ``lam log mean exp(l / lam)``, from above."""
    top = max(losses)
    powers = [max((a - top) / lam, FAR) for a in losses]
    share = decimal(mean([Fraction(CONTEXT.exp(decimal(power))) for power in powers]))
    return top + lam * (Fraction(CONTEXT.ln(share)) + Fraction(1, 10 ** (DIGITS - 5)))


def least(value: Callable[[Fraction], Fraction], guess: float) -> Fraction:
    """Return a value, from above, at most rounding of a float's square above the least."""
    x = Fraction(guess)
    best = value(x)
    for power in (5, 10, 16):
        h = abs(x) / 10**power
        a, c = value(x - h), value(x + h)
        if a - 2 * best + c > 0:
            other = Fraction(decimal(x + h * (a - c) / (2 * (a - 2 * best + c))))
            if other * x > 0 and value(other) < best:
                x, best = other, value(other)
    return best


def optimum(problem: cx.DivergenceReweighting, multiplier: float) -> Fraction:
    """Return the supremum over the ball, from above; the multiplier is near the best."""
    losses: Row = fractions(problem.losses)
    top, ends = max(losses), losses
    if problem.penalty is not None:
        return softmax(losses, Fraction(problem.penalty))
    if problem.level is not None:
        level = Fraction(problem.level)
        return min(e + mean([max(a - e, ZERO) for a in losses]) / level for e in ends)
    assert problem.radius is not None
    radius = Fraction(problem.radius)
    if problem.ball == "tv":
        over = [(e, mean([max(a - e, ZERO) for a in losses])) for e in ends]
        return min(radius * top + (1 - radius) * e + rest for e, rest in over)
    if radius == 0:
        return mean(losses)

    def of_entropy(lam: Fraction) -> Fraction:
        return lam * radius + softmax(losses, lam)

    def of_squares(eta: Fraction) -> Fraction:
        square = (1 + radius) * mean([max(a - eta, ZERO) ** 2 for a in losses])
        return eta + (root(square) if square else ZERO)

    value = of_entropy if problem.ball == "kl" else of_squares
    known = multiplier > 0.0 or problem.ball == "chi2"
    return min(top, least(value, multiplier)) if known else top


def around(w: Array, rng: np.random.Generator) -> list[Array]:
    """The best weights, and what lies near and far from them, in the ball and out of it."""
    n, sizes = len(w), 10.0 ** rng.uniform(-17.0, -1.0, 4)
    return [
        w,
        *(w * (1.0 + size * rng.standard_normal(n)) for size in sizes),
        *(1.0 / n + (w - 1.0 / n) * (1.0 + size) for size in sizes),
        *(w * scale for scale in (1e-310, 0.3, 1e300)),
        np.eye(n)[0],
        rng.exponential(size=n),
    ]


BALLS: dict[str, Callable[[float, float], dict[str, Any]]] = {
    "kl": lambda radius, scale: {"radius": radius},
    "softmax": lambda radius, scale: {"penalty": max(radius * scale, 1e-150)},
    "chi2": lambda radius, scale: {"radius": radius},
    "cvar": lambda radius, scale: {"level": radius / (1.0 + radius)},
    "tv": lambda radius, scale: {"radius": min(radius, 1.0)},
}


@pytest.mark.parametrize("ball", BALLS)
@settings(max_examples=20)
@given(
    seed=seeds,
    offset=st.sampled_from(OFFSETS),
    scale=st.sampled_from(SCALES),
    power=st.sampled_from([-30, -15, -8, -3, -1, 0, 1]),
)
def test_no_weights_prove_more_than_the_worst(
    ball: str, seed: int, offset: float, scale: float, power: int
) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 9))
    losses = (rng.standard_normal(n) ** int(rng.choice([1, 9])) + offset) * scale
    kind, more = "kl" if ball == "softmax" else ball, BALLS[ball](10.0**power, scale)
    problem = cx.DivergenceReweighting(losses, ball=kind, **more)
    solution = cx.solve(problem)
    best = optimum(problem, float(solution.primal.multiplier[0]))
    size = max(map(abs, fractions(losses))) + Fraction(problem.penalty or 0.0)
    assert abs(best - Fraction(solution.bound)) <= size / 10**10 + Fraction(1, 10**320)
    for w in around(solution.dual.choice, rng):
        assert Fraction(problem.certify(solution.primal, Choice(w)).bound) <= best


def exact_risk(problem: cx.CvarPortfolio, x: Row) -> Fraction:
    """Return the worst case of a portfolio, from above."""
    gains = [dot(row, x) for row in fractions(problem.returns)]
    level, aversion = Fraction(problem.level), Fraction(problem.risk_aversion)
    left, tail = ONE, ZERO
    for gain in sorted(gains):
        mass = min(left, 1 / (level * len(gains)))
        left, tail = left - mass, tail - mass * gain
    price = Fraction(problem.radius) * (1 + aversion / level)
    return -mean(gains) + aversion * tail + price * length(DUAL[problem.norm], x)


@settings(max_examples=40)
@given(
    seed=seeds,
    norm=st.sampled_from(list(DUAL)),
    offset=st.sampled_from([0.0, 1.0, -1e6, 1e9]),
    scale=st.sampled_from([1.0, 1e-10, 1e10, 1e-140]),
    level=st.sampled_from([0.1, 0.25, 1.0 / 3.0, 0.77, 1e-10]),
    aversion=st.sampled_from([0.0, 1.0, 10.0, 1e6]),
)
def test_no_stress_proves_more_than_a_portfolio_pays(
    seed: int, norm: str, offset: float, scale: float, level: float, aversion: float
) -> None:
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(1, 12)), int(rng.choice([1, 1, 2]))
    returns = (rng.standard_normal((n, d)) + offset) * scale
    radius = float(rng.choice([0.0, 1e-8, 1.0])) * scale
    problem = cx.CvarPortfolio(
        returns, radius=radius, level=level, risk_aversion=aversion, norm=norm
    )
    solution = cx.solve(problem, tol=1e-10, max_iter=100)
    x = fractions(np.maximum(solution.primal.x, 0.0))
    assert sum(x) > 0
    best = min(
        exact_risk(problem, [a / sum(row) for a in row]) for row in (x, *fractions(np.eye(d)))
    )
    for found in (solution.dual, problem.initial()[1]):
        for tail in around(found.tail, rng):
            push = found.push * (1.0 + 1e-15 * rng.standard_normal(d))
            bound = problem.certify(solution.primal, Stress(tail, push)).bound
            assert Fraction(bound) <= best


def test_mass_that_rounding_lost_may_lie_where_returns_are_huge() -> None:
    """The level 0.1 is more than a tenth, by a share of 6e-17: that much of the tail loses 1e8."""
    returns = np.array([[-1.0], *[[1e8]] * 9])
    problem = cx.CvarPortfolio(returns, radius=0.0, level=0.1, risk_aversion=1e6)
    best = exact_risk(problem, [ONE])
    bound = cx.solve(problem).bound
    assert best - 3 <= Fraction(bound) <= best


def test_losses_whose_products_are_rounded_to_multiples_of_the_smallest_float() -> None:
    for seed in range(60):
        losses = (np.random.default_rng(seed).standard_normal(6) + 1.0) * 1e-310
        problem = cx.DivergenceReweighting(losses, ball="chi2", radius=0.0)
        bound = Fraction(problem.certify(*problem.initial()).bound)
        assert bound <= mean(fractions(losses)) <= bound + Fraction(1, 10**320)

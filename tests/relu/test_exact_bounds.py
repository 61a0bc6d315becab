"""Bounds over graphs and equations against optima in exact arithmetic: never above, by no bit."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import convexnn as cx
from convexnn.functions.terms import Custom, Distance, HuberDistance, L1Distance, Quadratic, Term
from convexnn.functions.terms import SquaredDistance as Squared
from convexnn.median.consensus import Agents, ConsensusForm, Prices
from convexnn.median.linear_sum import Multipliers
from convexnn.median.network_lasso import Flows

OFFSETS = [0.0, 1.0, 1e4, 1e8, 1e12, 1e30, 1e100]
seeds = st.integers(0, 10**6)
offsets = st.sampled_from(OFFSETS)
scales = st.integers(-12, 12).map(lambda k: 10.0**k)
guesses = st.sampled_from([0.0, 1e-15, 1e-9, 1e-3, 1.0, 1e100])


def nudged(value: Any, size: float, rng: np.random.Generator) -> Any:
    """The best dual point as float64 holds it, or a guess around it."""
    best = np.asarray(value, dtype=float)
    return best + size * (1.0 + np.abs(best)) * rng.standard_normal(best.shape) * (size > 0.0)


@settings(max_examples=300)
@given(seed=seeds, offset=offsets, scale=scales, guess=guesses, heavy=st.booleans())
def test_median_of_agents_on_a_line(
    seed: int, offset: float, scale: float, guess: float, heavy: bool
) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 8))
    points = (rng.standard_normal(n) + offset) * scale
    weights = 10.0 ** rng.uniform(-9.0 * heavy, 0.0, n)
    problem = cx.DistributedMedian(
        points[:, None], [(i, i + 1) for i in range(n - 1)], weights=weights
    )
    b, w = [Fraction(x) for x in points], [Fraction(x) for x in weights]
    costs = [sum(v * abs(x - y) for v, y in zip(w, b, strict=True)) for x in b]
    best = min(costs)
    form = problem.canonical(ConsensusForm)
    at = form.points[costs.index(best)]
    everywhere = Agents(np.repeat(at[None], n, axis=0), 0, 0)
    certificate = problem.certify(everywhere, Prices(nudged(form.prices_at(at), guess, rng)))
    assert Fraction(certificate.bound) <= best
    assert Fraction(certificate.objective) >= best * (1 - Fraction(n + 8, 2**50))
    if guess == 0.0 and offset <= 1.0:
        assert certificate.bound >= float(best) * (1.0 - 1e-13)


def one_dimensional(
    rng: np.random.Generator, offset: float, scale: float
) -> tuple[Term, Any, Any, Any]:
    """A term, its point, how far its slope may go and the curvature of its conjugate."""
    point = float((rng.standard_normal() + offset) * scale)
    weight, delta = float(rng.exponential()) + 1e-3, float(rng.exponential()) + 1e-3
    p, w, limit = Fraction(point), Fraction(weight), Fraction(weight)
    kind = int(rng.integers(4))
    if kind == 0:
        return Distance([point], weight), p, limit, Fraction(0)
    if kind == 1:
        return L1Distance([point], weight), p, limit, Fraction(0)
    if kind == 2:
        return HuberDistance([point], weight, delta), p, limit, Fraction(delta) / w
    return Squared([point], weight), p, None, 1 / w


def peak(rest: Fraction, bend: Fraction, limits: list[Fraction]) -> tuple[Fraction, Fraction]:
    """Maximise ``lam rest - bend lam^2 / 2`` over ``|lam| <= limits``, exactly."""
    far = min(limits, default=abs(rest) / (bend or 1))
    lam = rest / bend if bend else (far if rest > 0 else -far)
    lam = max(-far, min(far, lam))
    return lam, lam * rest - bend * lam**2 / 2


@settings(max_examples=300)
@given(seed=seeds, offset=offsets, scale=scales, guess=guesses)
def test_terms_under_one_equation(seed: int, offset: float, scale: float, guess: float) -> None:
    rng = np.random.default_rng(seed)
    made = [one_dimensional(rng, offset, scale) for _ in range(int(rng.integers(1, 6)))]
    a = rng.standard_normal(len(made)) * 10.0 ** rng.integers(-3, 4)
    if rng.random() < 0.3:
        a = np.sign(a)
    terms, points, limits, bends = zip(*made, strict=True)
    b = float(a @ np.array([float(p) for p in points]) + rng.standard_normal() * scale)
    A = [Fraction(x) for x in a]
    rest = sum(x * p for x, p in zip(A, points, strict=True)) - Fraction(b)
    bend = sum(x**2 * c for x, c in zip(A, bends, strict=True))
    ends = [w / abs(x) for x, w in zip(A, limits, strict=True) if w is not None]
    lam, best = peak(rest, bend, ends)
    problem = cx.LinearlyConstrained(list(terms), [a], [b])
    primal, _ = problem.initial()
    with np.errstate(all="ignore"):
        dual = Multipliers(nudged([float(lam)], guess, rng), np.zeros(1))
        bound = problem.certify(primal, dual).bound
    assert not np.isfinite(bound) or Fraction(bound) <= best
    if guess == 0.0 and offset <= 1.0:
        assert bound >= float(best) * (1.0 - 1e-10) - 1e-10 * float(abs(lam)) * (abs(b) + scale)


@settings(max_examples=300)
@given(seed=seeds, offset=offsets, scale=scales, guess=guesses)
def test_two_nodes_and_an_edge(seed: int, offset: float, scale: float, guess: float) -> None:
    rng = np.random.default_rng(seed)
    made = [one_dimensional(rng, offset, scale) for _ in range(2)]
    penalty = float(rng.exponential()) * 10.0 ** int(rng.integers(-3, 4))
    terms, points, limits, bends = zip(*made, strict=True)
    weight = 1.0 if seed % 2 else float(rng.exponential())
    ends = [Fraction(penalty) * Fraction(weight), *(w for w in limits if w is not None)]
    y, best = peak(points[0] - points[1], bends[0] + bends[1], ends)
    problem = cx.NetworkLasso(list(terms), [[0, 1]], penalty=penalty, edge_weights=[weight])
    primal, _ = problem.initial()
    with np.errstate(all="ignore"):
        bound = problem.certify(primal, Flows(nudged([[float(y)]], guess, rng))).bound
    assert not np.isfinite(bound) or Fraction(bound) <= best
    if guess == 0.0:
        assert bound >= float(best) * (1.0 - 1e-12) - 1e-300


@settings(max_examples=100)
@given(seed=seeds, guess=guesses, exponent=st.integers(0, 12))
def test_quadratic_of_any_condition(seed: int, guess: float, exponent: int) -> None:
    """``x'P x / 2 + q'x`` under ``x_1 + x_2 = b``, solved by Cramer's rule in fractions."""
    rng = np.random.default_rng(seed)
    t = rng.uniform(0.0, np.pi)
    turn = np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
    P = turn @ np.diag([1.0, 10.0**-exponent]) @ turn.T
    P = 0.5 * (P + P.T)
    q, b = rng.standard_normal(2), float(rng.standard_normal())
    (p, r), (_, s) = [[Fraction(v) for v in row] for row in P]
    u, v, total = Fraction(q[0]), Fraction(q[1]), Fraction(b)
    # on the line x = (z, total - z) it is a parabola in z
    bend, slope = p - 2 * r + s, (r - s) * total + u - v
    z = -slope / bend
    y = total - z
    best = (p * z * z + 2 * r * z * y + s * y * y) / 2 + u * z + v * y
    lam = -(p * z + r * y + u)
    problem = cx.LinearlyConstrained([Quadratic(P, q)], [[1.0, 1.0]], [b])
    primal, _ = problem.initial()
    with np.errstate(all="ignore"):
        dual = Multipliers(nudged([float(lam)], guess, rng), np.zeros(1))
        bound = problem.certify(primal, dual).bound
    assert not np.isfinite(bound) or Fraction(bound) <= best
    if guess == 0.0 and exponent <= 3:
        assert bound >= float(best) - 1e-8 * max(1.0, abs(float(best)))


@pytest.mark.parametrize("offset", [0.0, 1.0, 1e4, 1e8])
def test_far_from_the_origin_the_gap_still_closes(offset: float) -> None:
    b = np.random.default_rng(0).standard_normal((8, 2)) + offset
    ring = [(i, (i + 1) % 8) for i in range(8)]
    kinds = [
        Distance(b[0]),
        L1Distance(b[1]),
        HuberDistance(b[2]),
        *(Squared(row) for row in b[3:]),
    ]
    lasso = cx.solve(cx.NetworkLasso(kinds, ring, penalty=0.3))
    assert lasso.status is cx.Status.OPTIMAL
    A = np.zeros((14, 16))
    for i in range(7):
        A[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = np.eye(2)
        A[2 * i : 2 * i + 2, 2 * i + 2 : 2 * i + 4] = -np.eye(2)
    agree = cx.solve(cx.LinearlyConstrained(kinds, A, np.zeros(14)))
    assert agree.status is cx.Status.OPTIMAL


def test_ones_own_conjugate_is_looked_at_all_around() -> None:
    own = Custom(
        2, lambda x: 0.5 * float(x @ x), lambda v, s: v / (1 + s), lambda s: 0.5 * float(s @ s)
    )
    s, e = np.array([1.0, -2.0]), np.array([0.1, 0.2])
    worst = max(
        own.conjugate(s + e * np.array(sign)) for sign in ((1, 1), (1, -1), (-1, 1), (-1, -1))
    )
    assert own.conjugate(s) < worst <= own.ceiling(s, e)
    assert own.ceiling(s, np.zeros(2)) == own.conjugate(s)

"""Least margins over balls: below every point of the ball, and near the least."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from convexnn.contract.arrays import Array
from convexnn.functions.norms import NORMS
from convexnn.robust.least_margins import SHARE, Balls, least_margins


def ball(norm: str, d: int, count: int) -> Array:
    points = np.array(list(product(np.linspace(-1.0, 1.0, count), repeat=d)))
    inside: Array = points[NORMS[norm].value(points) <= 1.0 + 1e-12]
    return inside


def drawn(seed: int) -> tuple[Balls, Array, Array, Array]:
    rng = np.random.default_rng(seed)
    n, d, m = 4, int(rng.integers(1, 4)), int(rng.integers(1, 10))
    moved = rng.random(d) < 0.8
    norm = str(rng.choice(["linf", "l2", "l1"]))
    balls = Balls(rng.standard_normal((n, d)), moved, float(rng.choice([0.05, 0.3, 1.0])), norm)
    weights, sign = rng.standard_normal((d, m)), rng.choice([-1.0, 1.0], m)
    return balls, weights, sign, rng.choice([-1.0, 1.0], n)


def margins(balls: Balls, weights: Array, sign: Array, side: Array, k: int, r: Array) -> Array:
    points = balls.X[k] + balls.radius * balls.moved * r
    result: Array = side[k] * (np.maximum(points @ weights, 0.0) @ sign)
    return result


@settings(max_examples=100)
@given(st.integers(0, 10**6))
def test_no_point_of_a_ball_has_a_lower_margin(seed: int) -> None:
    balls, weights, sign, side = drawn(seed)
    least = least_margins(balls, weights, sign, side)
    points = ball(balls.norm, balls.X.shape[1], 15)
    for k in range(len(side)):
        there = margins(balls, weights, sign, side, k, points)
        assert least[k] <= np.min(there) + 1e-12 * (1.0 + np.max(np.abs(there)))


@pytest.mark.parametrize("seed", range(12))
def test_the_bound_is_near_the_least_margin(seed: int) -> None:
    balls, weights, sign, side = drawn(seed)
    balls = balls._replace(norm="linf")
    d = balls.X.shape[1]
    least = least_margins(balls, weights, sign, side)
    for k in range(len(side)):

        def margin(r: Array, k: int = k) -> float:
            return float(margins(balls, weights, sign, side, k, r[None])[0])

        grid = ball("linf", d, 11)
        there = margins(balls, weights, sign, side, k, grid)
        best = float(np.min(there))
        for start in grid[np.argsort(there)[:5]]:
            found = minimize(
                margin,
                start,
                bounds=[(-1.0, 1.0)] * d,
                method="Nelder-Mead",
                options={"xatol": 1e-9, "fatol": 1e-12},
            )
            best = min(best, float(found.fun))
        assert least[k] <= best + 1e-12
        assert least[k] >= best - 2.0 * SHARE * (1.0 + abs(best))


def test_bounds_that_suffice_are_not_improved_and_empty_networks_are_zero() -> None:
    balls, weights, sign, side = drawn(3)
    first = least_margins(balls, weights, sign, side, enough=-np.inf)
    assert np.all(first <= least_margins(balls, weights, sign, side) + 1e-12)
    none = least_margins(balls, weights[:, :0], sign[:0], side)
    assert np.array_equal(np.abs(none), np.zeros(len(side)))
    still = balls._replace(moved=np.zeros_like(balls.moved))
    exact = side * (np.maximum(balls.X @ weights, 0.0) @ sign)
    assert np.array_equal(least_margins(still, weights, sign, side), exact)

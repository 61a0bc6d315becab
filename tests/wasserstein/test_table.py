"""The table of balls: each row is found, laid out and consistent; one more takes one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from numpy import inf

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.functions.losses import (
    Absolute,
    Hinge,
    Huber,
    Logistic,
    Quantile,
    ScalarLoss,
    Squared,
)
from convexnn.solvers.wasserstein.ball_layouts import LAYOUTS
from convexnn.wasserstein import table
from convexnn.wasserstein.distribution_ball import DistributionBall
from convexnn.wasserstein.order_one import Empirical, Regularised

LOSSES: tuple[ScalarLoss, ...] = (
    *(Logistic(), Hinge(), Squared()),
    *(Absolute(), Huber(0.7), Quantile(0.8)),
)
BALLS = [
    table.ball(loss, order, 0.3, 1.5 if flips else inf, 0.0 if loss.classification else floor)
    for loss in LOSSES
    for flips in (False, True)
    for order in table.orders(loss, flips)
    for floor in (0.0, 0.6)
]
each_ball = pytest.mark.parametrize("ball", BALLS, ids=repr)


def sample(ball: DistributionBall, n: int = 25) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    y = rng.standard_normal(n)
    return 2.0 * rng.standard_normal(n), np.sign(y) if ball.loss.classification else y


def test_every_row_is_found_and_has_a_layout() -> None:
    assert {type(ball) for ball in BALLS} == set(table.ROWS)
    assert {Empirical, *table.ROWS} == set(LAYOUTS)


def test_no_loss_of_an_order_has_two_rows() -> None:
    for loss in LOSSES:
        for flips in (False, True):
            orders = table.orders(loss, flips)
            assert len(set(orders)) == len(orders)


def test_what_no_row_takes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no ball of order 2 takes Logistic\(\) with flips"):
        table.ball(Logistic(), 2.0, 0.1, flip=1.0)


@each_ball
def test_radius_0_is_the_mean_loss_and_the_limit_of_small_balls(ball: DistributionBall) -> None:
    flip = getattr(ball, "cost", inf)
    plain = table.ball(ball.loss, ball.order, 0.0, flip, ball.floor)
    small = table.ball(ball.loss, ball.order, 1e-9, flip, ball.floor)
    assert isinstance(plain, Empirical)
    z, y = sample(ball)
    assert plain.risk(z, y, 1.5) == float(plain.values(z, y).mean())
    assert small.risk(z, y, 1.5) == pytest.approx(plain.risk(z, y, 1.5), rel=1e-7)
    assert (plain.scale, plain.power) == (ball.scale, ball.power)


@each_ball
def test_derivative_is_that_of_the_risk(ball: DistributionBall) -> None:
    z, y = sample(ball)
    slope = ball.derivative(z, y, 1.5) / len(y)
    for i in range(len(y)):
        step = 1e-6 * np.eye(len(y))[i]
        rise = ball.risk(z + step, y, 1.5) - ball.risk(z - step, y, 1.5)
        assert rise / 2e-6 == pytest.approx(slope[i], abs=1e-7)
    guess = ball.slopes(z, y, 1.5)
    again = ball.integrated(ball.derivative(z, y, 1.5), guess, y, ball.risk(z, y, 1.5))
    np.testing.assert_allclose(again.own, guess.own, atol=1e-12)


@each_ball
def test_formula_has_the_risk_as_its_value(ball: DistributionBall) -> None:
    import cvxpy as cp

    values, y = sample(ball, 12)
    z, lam = cp.Variable(12), cp.Variable(nonneg=True)
    worst = ball.cvxpy(z, y, cp.Constant(1.5), lam)
    given = [z == values, *worst.constraints, *worst.duals.values()]
    found = cp.Problem(cp.Minimize(worst.cost), given).solve(solver="CLARABEL")
    assert found == pytest.approx(ball.risk(values, y, 1.5), rel=1e-6)


@dataclass(frozen=True, kw_only=True)
class FarthestResiduals(Regularised):
    """Order inf, absolute residuals: what no row takes, though it is the one of order 1."""

    order: ClassVar[float] = inf
    takes: ClassVar[tuple[type[ScalarLoss], ...]] = (Absolute,)


def test_one_more_row_takes_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    X = rng.standard_normal((20, 2))
    y = X @ [1.0, -1.0] + rng.standard_normal(20)
    with pytest.raises(cx.ProblemError, match="order must be one of 1 for this loss, got inf"):
        cx.WassersteinRegression(X, y, radius=0.1, loss="absolute", order=inf)
    monkeypatch.setattr(table, "ROWS", (*table.ROWS, FarthestResiduals))
    far = cx.WassersteinRegression(X, y, radius=0.1, loss="absolute", order=inf)
    near = cx.WassersteinRegression(X, y, radius=0.1, loss="absolute")
    assert isinstance(far.form.ball, FarthestResiduals)
    with pytest.raises(cx.BackendError, match="has no layout for FarthestResiduals"):
        cx.solve(far, "newton")
    found = cx.solve(far, "cvxpy:clarabel")
    assert found.status is cx.Status.OPTIMAL
    assert found.objective == pytest.approx(cx.solve(near).objective, rel=1e-5)
    assert found.model.worst_case.value == pytest.approx(found.objective, rel=1e-9)

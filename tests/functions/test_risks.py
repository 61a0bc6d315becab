"""Risks of losses: their worst ratios, their prox and their conjugates, against CVXPY."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.functions.entropies import entropies
from convexnn.functions.losses import (
    Absolute,
    Hinge,
    Huber,
    Logistic,
    Loss,
    Quantile,
    Softmax,
    Squared,
)
from convexnn.functions.risked import Risked, Softened, risked
from convexnn.functions.risks import Risk, checked_risk

N = 14
RNG = np.random.default_rng(3)
GROUPS = np.array(["a", "b", "c"])[RNG.integers(0, 3, N)]
COUNTS = RNG.uniform(0.5, 2.0, N)
P = COUNTS / COUNTS.sum()
RISKS: list[Risk] = [
    cx.Cvar(0.3),
    cx.Cvar(1e-3),
    cx.TotalVariation(0.2),
    cx.TotalVariation(0.9),
    cx.TotalVariation(1.0),
    cx.ChiSquare(0.5),
    cx.ChiSquare(100.0),
    cx.Entropic(0.3),
    cx.Entropic(50.0),
    cx.WorstGroup(GROUPS),
]
LOSSES = [Squared(), Huber(), Logistic(), Hinge(), Absolute(), Quantile(0.3), Softmax()]


def points(loss: Loss) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    if not loss.separable:
        return 2.0 * rng.standard_normal((N, 3)), np.eye(3)[np.arange(N) % 3]
    v = 2.0 * rng.standard_normal(N)
    y = np.sign(rng.standard_normal(N)) if loss.classification else rng.standard_normal(N)
    return v, y


def solved(objective: Any, constraints: list[Any]) -> float:
    import cvxpy as cp

    return float(cp.Problem(objective, constraints).solve(solver="CLARABEL"))


def ball(risk: Risk, u: Any) -> list[Any]:
    """Return the definition of the set of ratios, written anew."""
    import cvxpy as cp

    inside = [u >= 0, P @ u == 1]
    if isinstance(risk, cx.Cvar):
        inside.append(u <= 1.0 / risk.level)
    elif isinstance(risk, cx.TotalVariation):
        inside.append(0.5 * P @ cp.abs(u - 1) <= risk.radius)
    elif isinstance(risk, cx.ChiSquare):
        inside.append(P @ cp.square(u - 1) <= risk.radius)
    elif isinstance(risk, cx.Entropic):
        inside.append(P @ cp.kl_div(u, 1) <= risk.radius)
    else:
        inside += [u[i] == u[j] for i in range(N) for j in range(i) if GROUPS[i] == GROUPS[j]]
    return inside


@pytest.mark.parametrize("risk", RISKS, ids=str)
def test_worst_ratios_are_in_the_set_and_worst(risk: Risk) -> None:
    import cvxpy as cp

    losses = RNG.exponential(size=N)
    u = risk.worst(losses, P)
    assert u.min() >= 0.0
    assert P @ u == pytest.approx(1.0, abs=1e-12)
    assert risk.ratios(P).allows((u + 1e-9) / (1.0 + 1e-9))
    free = cp.Variable(N)
    best = solved(cp.Maximize((P * losses) @ free), ball(risk, free))
    assert P @ (u * losses) == pytest.approx(best, rel=3e-6)


@pytest.mark.parametrize("risk", RISKS, ids=str)
def test_formula_has_the_value_of_the_worst_ratios(risk: Risk) -> None:
    import cvxpy as cp

    losses = RNG.exponential(size=N)
    free = cp.Variable(N)
    value, constraints = risk.cvxpy(free, P)
    found = solved(cp.Minimize(value), [free == losses, *constraints])
    assert found == pytest.approx(float(P @ (risk.worst(losses, P) * losses)), rel=3e-6)


@pytest.mark.parametrize("losses", [np.ones(N), np.zeros(N), np.arange(N) // 5 * 1.0])
@pytest.mark.parametrize("risk", RISKS, ids=str)
def test_worst_ratios_of_losses_that_tie(risk: Risk, losses: Array) -> None:
    u = risk.worst(losses, P)
    assert np.isfinite(u).all()
    assert P @ u == pytest.approx(1.0, abs=1e-12)
    assert P @ (u * losses) >= P @ losses - 1e-12


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize("risk", RISKS, ids=str)
def test_prox_and_conjugate_meet(risk: Risk, loss: Loss) -> None:
    """Fenchel's equality holds at a prox, whose value no other point is below."""
    v, y = points(loss)
    whole, step = Risked(loss, risk, COUNTS), 0.3
    z = whole.prox(v, y, step)
    s = (v - z) / step
    value = float(whole.value(z, y).sum())
    below = whole.grounded(s, y)
    bound = -float(below.conjugate(below.clip(s, y), y).sum())
    assert value == pytest.approx(bound + float((s * z).sum()), rel=1e-6, abs=1e-6)

    def merit(at: Array) -> float:
        return step * float(whole.value(at, y).sum()) + 0.5 * float(np.sum(np.square(at - v)))

    near = np.random.default_rng(1)
    for size in (1e-3, 1e-2, 0.1):
        assert merit(z) <= merit(z + size * near.standard_normal(z.shape)) + 1e-9


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize("risk", RISKS, ids=str)
def test_conjugate_is_never_too_small(risk: Risk, loss: Loss) -> None:
    """For any slopes, however found: ``R(z) + R*(s) >= s'z``."""
    rng = np.random.default_rng(2)
    whole = Risked(loss, risk, COUNTS)
    v, y = points(loss)
    for scale in (1e-9, 1e-2, 1.0, 1e3):
        s = scale * rng.standard_normal(v.shape)
        below = whole.grounded(s, y)
        s = below.clip(s, y)
        conjugate = float(below.conjugate(s, y).sum())
        for z in (v, 3.0 * rng.standard_normal(v.shape), np.zeros_like(v)):
            value = float(whole.value(z, y).sum())
            assert value + conjugate >= float((s * z).sum()) - 1e-9 * (1.0 + abs(value))


@pytest.mark.parametrize("risk", RISKS, ids=str)
def test_softened_loss_has_its_gradient(risk: Risk) -> None:
    from scipy.optimize import check_grad

    v, y = points(Squared())
    soft = Softened(Risked(Squared(), risk, COUNTS), Squared(), 0.1)

    def value(z: Array) -> float:
        return float(soft.value(z, y).sum())

    def slope(z: Array) -> Array:
        return soft.gradient(z, y)

    error = check_grad(value, slope, v)
    assert error <= 1e-4 * np.abs(soft.gradient(v, y)).max()


def test_no_risk_is_the_loss_itself() -> None:
    for risk in (
        "mean",
        cx.Cvar(1.0),
        cx.Entropic(0.0),
        cx.ChiSquare(0),
        cx.TotalVariation(0.0),
        cx.WorstGroup(["one"] * 4),
    ):
        assert risked(Hinge(), None, risk, 4) == Hinge()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: cx.Cvar(0.0), r"level must be in \(0, 1\], got 0.0"),
        (lambda: cx.Cvar(1.5), r"level must be in \(0, 1\], got 1.5"),
        (lambda: cx.Cvar("a"), "level must be"),  # type: ignore[arg-type]
        (lambda: cx.Entropic(-1.0), "radius must be"),
        (lambda: cx.ChiSquare(np.nan), "radius must be"),
        (lambda: cx.TotalVariation(1.1), "radius must be <= 1, got 1.1"),
        (lambda: cx.WorstGroup([]), "groups must"),
        (lambda: cx.WorstGroup([["a", "b"]]), "groups must"),
        (lambda: checked_risk(cx.WorstGroup(["a", "b"]), 3, "row of X"), "groups must have one"),
        (lambda: checked_risk("cvar", 3, "row of X"), "risk must be"),
        (lambda: checked_risk(0.5, 3, "row of X"), "risk must be"),  # type: ignore[arg-type]
        (
            lambda: checked_risk(
                cx.WorstGroup(["a", "b", "b"]), 3, "row of X", np.array([False, True, True])
            ),
            "an example of positive weight each, got none in 'a'",
        ),
    ],
)
def test_bad_risks_say_what_is_wrong(make: Any, said: str) -> None:
    with pytest.raises(cx.ProblemError, match=said):
        make()


def test_an_entropy_is_exact_near_one() -> None:
    """A set is not larger than it says: to 60 digits, at ratios near 1."""
    from decimal import Decimal, getcontext

    getcontext().prec = 60
    for x in (1e-12, 3e-7, 9e-5, 1.1e-4, 1e-3, 0.049, 0.051, 0.4):
        for t in (1.0 + x, 1.0 - x):
            exact = Decimal(t) * Decimal(t).ln() - Decimal(t) + 1
            found = Decimal(float(entropies(np.array([t]))[0]))
            assert abs(found / exact - 1) < Decimal("2e-14"), t

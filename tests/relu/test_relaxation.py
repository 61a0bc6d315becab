"""The relaxed bound covers every neuron, and no dual point lifts it above the optimum."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from positions import KINDS, positioned

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.functions.losses import LOSSES, Loss
from convexnn.functions.norms import L2, NORMS
from convexnn.problems.relu.two_layer import ReluTraining
from convexnn.relu.bound import largest_correlation, network_bound
from convexnn.relu.forms import NetworkForm
from convexnn.relu.relaxation import (
    Moments,
    certified,
    improve,
    on_sphere,
    pull_back,
    relaxed,
    relaxed_bound,
    response_bound,
)
from convexnn.relu.relaxation import band as band_of

SLACK = 1e-6  # allowed for the inaccuracy of the reference solver


def data(kind: str, n: int, d: int, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    X = positioned(kind, n, d, rng, spread=4.0)
    X[0, 0] += 0.0 if X.any() else 1.0
    return X


def form_of(loss: Loss, X: Array, y: Array, beta: float, **options: bool) -> NetworkForm:
    return NetworkForm(X, y, loss, NORMS["l2"], beta, 0.0, options.get("skip", False), None)


def response(X: Array, mu: Array, leak: float, u: Array) -> Array:
    """Return the response of each column of `u`, made a unit vector."""
    T = X @ (u / np.maximum(np.linalg.norm(u, axis=0), 1e-300))
    result: Array = mu @ np.maximum(T, leak * T)
    return result


def best_response(X: Array, mu: Array, leak: float, seed: int = 0) -> float:
    """Return the largest response that sampling and fixed-point ascent find."""
    rng = np.random.default_rng(seed)
    u = np.hstack([rng.standard_normal((X.shape[1], 2000)), X.T, -X.T])
    best = float(np.max(response(X, mu, leak, u), initial=0.0))
    for _ in range(30):
        slopes = np.where(X @ u > 0.0, 1.0, leak)
        u = X.T @ (mu[:, None] * slopes)
        best = max(best, float(np.max(response(X, mu, leak, u))))
    return best


@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(1, 20),
    d=st.integers(1, 5),
    leak=st.sampled_from([0.0, 0.3, 0.9]),
    iterations=st.sampled_from([0, 3, 100]),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=80)
def test_no_neuron_responds_more_than_the_bound(
    kind: str, n: int, d: int, leak: float, iterations: int, seed: int
) -> None:
    X = data(kind, n, d, seed)
    rng = np.random.default_rng(seed + 1)
    mu = rng.standard_normal(n) * (rng.random(n) < 0.8)
    bound = response_bound(X, mu, leak, iterations=iterations)
    assert best_response(X, mu, leak) <= bound * (1.0 + 1e-14)
    c = np.maximum(mu, 0.0) + leak * np.maximum(-mu, 0.0)
    assert bound <= float(c @ L2().value(X)) * (1.0 + 1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_bound_covers_the_enumerated_maximum_and_is_not_far_from_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X, mu = rng.standard_normal((12, 3)), rng.standard_normal(12)
    form = form_of(LOSSES["squared"], X, mu, 1e-6)
    exact = largest_correlation(form.over(cx.enumerate_patterns(X).matrix), mu, None, 0.0)
    bound = max(response_bound(X, mu), response_bound(X, -mu))
    assert exact * (1.0 - 1e-9) <= bound <= 1.5 * exact


def test_terms_of_one_sign_in_one_direction_are_bounded_exactly() -> None:
    x = np.array([[3.0, 4.0]])
    for leak in (0.0, 0.25):
        assert response_bound(x, np.array([2.0]), leak) == pytest.approx(10.0, rel=1e-6)
        assert response_bound(x, np.array([-2.0]), leak) == pytest.approx(10.0 * leak, abs=1e-5)


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e30, 1e150])
def test_the_bound_is_homogeneous(scale: float) -> None:
    rng = np.random.default_rng(0)
    X, mu = rng.standard_normal((9, 3)), rng.standard_normal(9)
    expected = response_bound(X, mu)
    assert response_bound(scale * X, mu) == pytest.approx(scale * expected, rel=1e-6)
    assert response_bound(X, scale * mu) == pytest.approx(scale * expected, rel=1e-6)


def test_nothing_responds_to_nothing() -> None:
    assert response_bound(np.zeros((3, 2)), np.ones(3)) == 0.0
    assert response_bound(np.ones((3, 2)), np.zeros(3)) == 0.0
    assert response_bound(np.zeros((0, 2)), np.zeros(0)) == 0.0
    assert response_bound(np.ones((3, 2)), np.array([1.0, np.nan, 1.0])) == np.inf


@given(d=st.integers(1, 6), hard=st.booleans(), seed=st.integers(0, 1000))
@settings(max_examples=30)
def test_on_sphere_is_the_maximum(d: int, hard: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(d)
    V = np.linalg.qr(rng.standard_normal((d, d)))[0]
    Q = (V * values) @ V.T
    q = rng.standard_normal(d) * 10.0 ** rng.uniform(-8.0, 2.0)
    if hard:
        q -= V[:, np.argmax(values)] * float(V[:, np.argmax(values)] @ q)
    bound = on_sphere(0.5 * (Q + Q.T), q)
    u = rng.standard_normal((d, 50))
    shift = 1.1 * np.abs(values).max() + np.linalg.norm(q)
    for _ in range(2000):
        u /= np.linalg.norm(u, axis=0)
        u = (Q + shift * np.eye(d)) @ u + 0.5 * q[:, None]
    u /= np.linalg.norm(u, axis=0)
    best = float(np.max(np.einsum("ij,ij->j", u, Q @ u) + q @ u))
    size = 1.0 + float(np.linalg.norm(q))
    assert best <= bound + 1e-12 * size
    assert bound <= best + 1e-3 * size


@pytest.mark.parametrize("leak", [0.0, 0.4])
@pytest.mark.parametrize("sharp", [8.0, 2048.0, np.inf])
def test_pull_back_is_the_slope_of_the_band(leak: float, sharp: float) -> None:
    rng = np.random.default_rng(3)
    X, low, high = rng.standard_normal((7, 3)), rng.standard_normal(7), rng.standard_normal(7)
    at = Moments(rng.standard_normal((3, 3)), rng.standard_normal(3))
    step = Moments(rng.standard_normal((3, 3)), rng.standard_normal(3))

    def value(t: float) -> float:
        of = band_of(X, leak, Moments(at.B + t * step.B, at.g + t * step.g), sharp)
        return float(low @ of.low + high @ of.high)

    slope = pull_back(X, leak, at, band_of(X, leak, at, sharp), low, high)
    found = float(np.sum(slope.B * step.B) + slope.g @ step.g)
    assert found == pytest.approx((value(1e-6) - value(-1e-6)) / 2e-6, rel=1e-6)


@pytest.mark.parametrize("leak", [0.0, 0.4])
def test_the_band_holds_the_outputs_of_any_mixture_of_neurons(leak: float) -> None:
    rng = np.random.default_rng(4)
    X, u = rng.standard_normal((9, 3)), rng.standard_normal((3, 5))
    sizes = np.linalg.norm(u, axis=0)
    output = np.maximum(X @ u, leak * (X @ u)).sum(axis=1)
    U = (u / sizes) @ u.T  # second moment of the mixture, trace the total size
    B = np.linalg.cholesky(U)
    h = np.linalg.solve(B, u.sum(axis=1)) / np.sqrt(sizes.sum())
    g = h / np.sqrt(1.0 - h @ h)
    of = band_of(X, leak, Moments(B, g))
    assert (of.low <= output + 1e-12).all()
    assert (output <= of.high + 1e-12).all()
    assert of.size**2 == pytest.approx(sizes.sum())


@pytest.mark.parametrize("scale", [1e-120, 1.0, 1e10])
def test_any_moments_give_a_valid_bound(scale: float) -> None:
    rng = np.random.default_rng(5)
    X, mu = rng.standard_normal((9, 3)), rng.standard_normal(9)
    exact = best_response(X, mu, 0.1)
    for B in (np.zeros((3, 3)), np.eye(3), np.diag([1.0, 0.0, 0.0]), rng.standard_normal((3, 3))):
        at = Moments(scale * B, rng.standard_normal(3))
        assert all(certified(X, mu, 0.1, at, sharp) >= exact for sharp in (2.0, 64.0, np.inf))


@cache
def trained(loss: str, penalty: str, leak: float, skip: bool) -> tuple[NetworkForm, float]:
    """Return a small problem over all patterns and its optimum."""
    rng = np.random.default_rng(7)
    X = rng.standard_normal((12, 2))
    y = np.abs(X[:, 0]) - 0.5 + 0.1 * rng.standard_normal(12)
    y = np.where(y > 0.0, 1.0, -1.0) if LOSSES[loss].classification else 3.0 * y
    problem = ReluTraining(X, y, beta=0.7, loss=loss, penalty=penalty, leak=leak, skip=skip)
    answer = cx.solve(problem, "cvxpy:clarabel")
    form: NetworkForm = problem.canonical(NetworkForm)
    return form, answer.objective


@pytest.mark.parametrize(("leak", "skip"), [(0.0, False), (0.3, True)])
@pytest.mark.parametrize("penalty", ["l2", "l1"])
@pytest.mark.parametrize("loss", list(LOSSES))
def test_the_bound_is_below_the_optimum_and_improves(
    loss: str, penalty: str, leak: float, skip: bool
) -> None:
    form, optimum = trained(loss, penalty, leak, skip)
    rng = np.random.default_rng(8)
    slope = -form.loss.gradient(np.zeros_like(form.y), form.y)
    for mu in (rng.standard_normal(12), slope):
        crude, bound = network_bound(form, mu), relaxed_bound(form, relaxed(form, mu))
        better = relaxed_bound(form, improve(form, mu, iterations=30))
        assert crude <= bound <= better <= optimum + SLACK * (1.0 + abs(optimum))
    assert better > network_bound(form, slope)


@given(
    kind=st.sampled_from(KINDS),
    loss=st.sampled_from(list(LOSSES)),
    skip=st.booleans(),
    n=st.integers(1, 15),
    d=st.integers(1, 4),
    iterations=st.sampled_from([0, 1, 40]),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=25)
def test_no_point_is_above_a_network_and_none_gets_worse(
    kind: str, loss: str, skip: bool, n: int, d: int, iterations: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    X = data(kind, n, d, seed)
    y = rng.choice([-1.0, 1.0], n) if LOSSES[loss].classification else rng.standard_normal(n)
    form = form_of(LOSSES[loss], X, y, 10.0 ** rng.uniform(-2.0, 1.0), skip=skip)
    mu = rng.standard_normal(n)
    bound = relaxed_bound(form, improve(form, mu, iterations=iterations))
    assert bound >= relaxed_bound(form, relaxed(form, mu))
    zero = float(form.loss.value(np.zeros(n), y).sum())
    assert bound <= zero * (1.0 + 1e-12) + 1e-12


def test_improve_finds_much_better_points_where_examples_are_many() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 6))
    y = np.maximum(X @ rng.standard_normal((6, 4)), 0.0) @ rng.standard_normal(4)
    form = form_of(LOSSES["squared"], X, y, 10.0)
    bound = relaxed_bound(form, improve(form, y))
    assert bound > 1.3 * network_bound(form, y)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_guess_that_is_not_finite_bounds_nothing_but_can_be_improved(bad: float) -> None:
    form, optimum = trained("squared", "l2", 0.0, False)
    mu = np.full(12, bad)
    assert relaxed_bound(form, relaxed(form, mu)) == -np.inf
    assert relaxed_bound(form, relaxed(form, np.ones(3))) == -np.inf
    assert 0.0 < relaxed_bound(form, improve(form, mu)) <= optimum


def test_slack_of_the_data_lowers_the_bound() -> None:
    form, _ = trained("squared", "l2", 0.0, False)
    mu = improve(form, form.y)
    bounds = [relaxed_bound(form, mu, slack=slack) for slack in (0.0, 1e-3, 0.1, 10.0)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] > bounds[-1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_overflowed_bounds_nothing_on_the_sphere(value: float) -> None:
    Q, q = np.eye(2), np.ones(2)
    assert on_sphere(np.array([[value, 0.0], [0.0, 1.0]]), q) == np.inf
    assert on_sphere(Q, np.array([1.0, value])) == np.inf

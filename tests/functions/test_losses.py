"""Every loss against its definition: conjugate, prox, gradient, domain and CVXPY atom."""

from __future__ import annotations

import re

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from convexnn.contract.arrays import Array
from convexnn.functions.losses import (
    LOSSES,
    Absolute,
    Hinge,
    Huber,
    LipschitzLoss,
    Logistic,
    Loss,
    Quantile,
    ScalarLoss,
    Softmax,
    Squared,
    as_loss,
)

EVERY = [
    *LOSSES.values(),
    Huber(delta=0.3),
    Huber(delta=25.0),
    Absolute(),
    Quantile(),
    Quantile(tau=0.1),
    Quantile(tau=0.9),
]
LIPSCHITZ = [loss for loss in EVERY if isinstance(loss, LipschitzLoss)]
SMOOTH = [loss for loss in EVERY if np.isfinite(loss.curvature)]
each_loss = pytest.mark.parametrize("loss", EVERY, ids=repr)
each_lipschitz = pytest.mark.parametrize("loss", LIPSCHITZ, ids=repr)
each_smooth = pytest.mark.parametrize("loss", SMOOTH, ids=repr)
often = settings(max_examples=100)

numbers = st.floats(-50.0, 50.0)
wide = st.one_of(
    st.floats(-1e6, 1e6),
    st.floats(-20.0, 20.0),
    st.tuples(st.sampled_from([-1.0, 1.0]), st.floats(-6.0, 6.0)).map(
        lambda p: p[0] * 10.0 ** p[1]
    ),
)
steps = st.floats(-6.0, 6.0).map(lambda exponent: 10.0**exponent)


def target(loss: Loss, raw: float) -> Array:
    """One label that the loss understands."""
    return np.array([np.copysign(1.0, raw) if loss.classification else raw])


def targets(loss: Loss, rng: np.random.Generator, n: int) -> Array:
    y = rng.choice([-1.0, 1.0], n) if loss.classification else 3.0 * rng.standard_normal(n)
    return np.asarray(y, dtype=np.float64)


def one(x: float) -> Array:
    return np.array([x])


def prox_error_bound(loss: Loss, z: float, v: float, y: Array, step: float) -> float:
    slope = float(loss.gradient(one(z), y)[0])
    return 1e-13 * (1.0 + abs(v) + abs(float(y[0])) + step * abs(slope))


def assert_prox(loss: Loss, v: float, y: Array, step: float) -> None:
    """``z + step l'(z)`` grows with z, so a change of sign around z encloses the minimiser."""
    z = float(loss.prox(one(v), y, step)[0])
    assert np.isfinite(z)
    h = prox_error_bound(loss, z, v, y, step)
    below = z - h + step * float(loss.gradient(one(z - h), y)[0])
    above = z + h + step * float(loss.gradient(one(z + h), y)[0])
    assert below <= v <= above, (z, h, below - v, above - v)


def test_losses_are_registered_under_their_names() -> None:
    assert list(LOSSES) == ["squared", "logistic", "hinge", "huber", "absolute"]
    assert all(loss.name == name for name, loss in LOSSES.items())


def test_values_worked_by_hand() -> None:
    y = np.array([1.0, -1.0])
    z = np.array([0.5, 3.0])
    np.testing.assert_allclose(Squared().value(z, y), [0.125, 8.0], rtol=1e-15)
    np.testing.assert_allclose(Huber(2.0).value(z, y), [0.125, 6.0], rtol=1e-15)
    np.testing.assert_allclose(Hinge().value(z, y), [0.5, 4.0], rtol=1e-15)
    expected = [np.log(1.0 + np.exp(-0.5)), np.log(1.0 + np.exp(3.0))]
    np.testing.assert_allclose(Logistic().value(z, y), expected, rtol=1e-14)


def test_logistic_neither_overflows_nor_loses_its_tail() -> None:
    y = np.array([1.0, 1.0, -1.0])
    z = np.array([1e4, -1e4, 40.0])
    np.testing.assert_allclose(Logistic().value(z, y), [0.0, 1e4, 40.0], rtol=1e-15)
    np.testing.assert_allclose(Logistic().gradient(z, y), [0.0, -1.0, 1.0], rtol=1e-15)
    tail = Logistic().value(one(40.0), one(1.0))
    np.testing.assert_allclose(tail, np.exp(-40.0), rtol=1e-12)
    np.testing.assert_allclose(Logistic().gradient(one(40.0), one(1.0)), -tail, rtol=1e-12)


@each_loss
@often
@given(z=numbers, s=numbers, raw=numbers)
def test_fenchel_young_inequality(loss: Loss, z: float, s: float, raw: float) -> None:
    y = target(loss, raw)
    inside = loss.clip(one(s), y)
    total = float((loss.value(one(z), y) + loss.conjugate(inside, y))[0])
    product = z * float(inside[0])
    scale = 1.0 + abs(z) + abs(raw) + abs(float(inside[0]))
    assert total >= product - 1e-14 * scale**2


@each_loss
@often
@given(z=numbers, raw=numbers)
def test_fenchel_young_equality_at_the_gradient(loss: Loss, z: float, raw: float) -> None:
    y = target(loss, raw)
    slope = loss.gradient(one(z), y)
    total = float((loss.value(one(z), y) + loss.conjugate(slope, y))[0])
    scale = 1.0 + abs(z) + abs(raw) + abs(float(slope[0]))
    assert abs(total - z * float(slope[0])) <= 1e-13 * scale**2


@each_loss
def test_conjugate_is_the_supremum_over_a_fine_grid(loss: Loss) -> None:
    rng = np.random.default_rng(0)
    z = np.linspace(-60.0, 60.0, 240_001)
    for y in targets(loss, rng, 6):
        for s in loss.clip(rng.uniform(-1.0, 1.0, 8), np.full(8, y)):
            at = np.append(z, y)  # where the losses of residuals have their kinks
            supremum = np.max(s * at - loss.value(at, np.full_like(at, y)))
            assert float(loss.conjugate(one(s), one(y))[0]) == pytest.approx(supremum, abs=1e-5)


@each_loss
@often
@given(v=wide, raw=wide, step=steps)
def test_prox_encloses_the_root(loss: Loss, v: float, raw: float, step: float) -> None:
    assert_prox(loss, v, target(loss, raw), step)


@each_loss
@often
@given(v=numbers, raw=numbers, step=steps)
def test_prox_beats_a_scalar_search(loss: Loss, v: float, raw: float, step: float) -> None:
    y = target(loss, raw)

    def objective(z: float) -> float:
        return step * float(loss.value(one(z), y)[0]) + 0.5 * (z - v) ** 2

    reach = abs(v) + abs(float(y[0])) + min(step, 100.0) + 1.0
    found = minimize_scalar(
        objective, bounds=(-reach, reach), method="bounded", options={"xatol": 1e-10}
    )
    z = float(loss.prox(one(v), y, step)[0])
    assert objective(z) <= float(found.fun) + 1e-12 * (1.0 + abs(float(found.fun)))


@pytest.mark.parametrize(
    ("v", "y", "step"),
    [
        (-13.19, 1.0, 16.67),
        (13.19, -1.0, 16.67),
        (-5e5, 1.0, 1e6),
        (-1e6, 1.0, 1e6),
        (-1e6, 1.0, 2e6),
        (1e6, 1.0, 1e6),
        (0.0, -1.0, 1e6),
        (-1e6, 1.0, 1e-6),
        (-8.0, 1.0, 16.0),
    ],
)
def test_logistic_prox_at_hard_points(v: float, y: float, step: float) -> None:
    assert_prox(Logistic(), v, one(y), step)


def test_logistic_prox_where_newton_once_cycled() -> None:
    z = float(Logistic().prox(one(-13.19), one(1.0), 16.67)[0])
    found = minimize_scalar(
        lambda t: 16.67 * np.logaddexp(0.0, -t) + 0.5 * (t + 13.19) ** 2,
        bounds=(-13.19, 3.48),
        method="bounded",
        options={"xatol": 1e-12},
    )
    assert z == pytest.approx(float(found.x), abs=1e-6)


@each_loss
def test_prox_treats_each_example_alone(loss: Loss) -> None:
    """One hard example must not change what its neighbours get."""
    rng = np.random.default_rng(1)
    v = np.concatenate([10.0 ** rng.uniform(-6, 6, 200) * rng.choice([-1, 1], 200), [-13.19, 0.0]])
    y = targets(loss, rng, len(v))
    for step in (1e-6, 0.3, 16.67, 1e6):
        together = loss.prox(v, y, step)
        alone = np.concatenate([loss.prox(v[i : i + 1], y[i : i + 1], step) for i in range(len(v))])
        np.testing.assert_allclose(together, alone, rtol=1e-13, atol=1e-13)


@each_loss
@often
@given(s=wide, raw=numbers)
def test_clip_projects_on_the_domain_of_the_conjugate(loss: Loss, s: float, raw: float) -> None:
    y = target(loss, raw)
    clipped = loss.clip(one(s), y)
    assert np.isfinite(loss.conjugate(clipped, y)).all()
    if np.isfinite(loss.conjugate(one(s), y)[0]):
        assert clipped[0] == s
    else:  # nothing nearer to s is inside
        nearer = np.nextafter(clipped, one(s))
        assert loss.conjugate(nearer, y)[0] == np.inf


@each_loss
def test_domain_holds_zero_and_the_gradients(loss: Loss) -> None:
    rng = np.random.default_rng(2)
    y = targets(loss, rng, 500)
    low, high = (np.broadcast_to(bound, y.shape) for bound in loss.domain(y))
    assert (low <= 0.0).all()
    assert (high >= 0.0).all()
    slope = loss.gradient(100.0 * rng.standard_normal(500), y)
    assert (slope >= low).all()
    assert (slope <= high).all()


@each_loss
@often
@given(z=numbers, raw=numbers)
def test_gradient_is_that_of_finite_differences(loss: Loss, z: float, raw: float) -> None:
    y = target(loss, raw)
    h = 1e-5
    if isinstance(loss, Hinge):
        assume(abs(float(y[0]) * z - 1.0) > 2.0 * h)
    if isinstance(loss, (Absolute, Quantile)):
        assume(abs(z - raw) > 2.0 * h)
    difference = loss.value(one(z + h), y) - loss.value(one(z - h), y)
    expected = float(difference[0]) / (2.0 * h)
    assert float(loss.gradient(one(z), y)[0]) == pytest.approx(expected, abs=2e-5, rel=1e-7)


@each_loss
@often
@given(z=numbers, other=numbers, raw=numbers)
def test_gradient_supports_the_loss_from_below(
    loss: Loss, z: float, other: float, raw: float
) -> None:
    y = target(loss, raw)
    rise = float(loss.gradient(one(z), y)[0]) * (other - z)
    actual = float((loss.value(one(other), y) - loss.value(one(z), y))[0])
    assert actual >= rise - 1e-13 * (1.0 + abs(z) + abs(other) + abs(raw)) ** 2


@each_smooth
@often
@given(z=numbers, other=numbers, raw=numbers)
def test_curvature_bounds_the_change_of_the_gradient(
    loss: Loss, z: float, other: float, raw: float
) -> None:
    y = target(loss, raw)
    change = float(np.abs(loss.gradient(one(z), y) - loss.gradient(one(other), y))[0])
    assert change <= loss.curvature * abs(z - other) + 1e-13 * (
        1.0 + abs(z) + abs(other) + abs(raw)
    )


@each_smooth
def test_curvature_is_attained(loss: Loss) -> None:
    y = targets(loss, np.random.default_rng(3), 1)
    centre = np.zeros(1) if loss.classification else y
    h = 1e-4
    slope = (loss.gradient(centre + h, y) - loss.gradient(centre - h, y)) / (2.0 * h)
    assert float(slope[0]) == pytest.approx(loss.curvature, rel=1e-6)


@each_loss
@often
@given(z=numbers, raw=numbers)
def test_hessian_is_the_slope_of_the_gradient(loss: Loss, z: float, raw: float) -> None:
    y = target(loss, raw)
    h = 1e-5
    hinge = [1.0 / float(y[0])] if y[0] else []
    kinks: dict[type[Loss], list[float]] = {Hinge: hinge, Squared: [], Logistic: []}
    delta = loss.delta if isinstance(loss, Huber) else 0.0
    for kink in kinks.get(type(loss), [float(y[0]) - delta, float(y[0]) + delta]):
        assume(abs(z - kink) > 2.0 * h)
    difference = loss.gradient(one(z + h), y) - loss.gradient(one(z - h), y)
    expected = float(difference[0]) / (2.0 * h)
    found = float(loss.hessian(one(z), y)[0])
    assert found == pytest.approx(expected, abs=1e-8, rel=1e-6)
    assert 0.0 <= found <= loss.curvature


@each_loss
@often
@given(raw=numbers, shares=st.tuples(st.floats(0.05, 0.95), st.floats(0.05, 0.95)))
def test_dual_curvature_is_that_of_the_conjugate_inside_its_domain(
    loss: Loss, raw: float, shares: tuple[float, float]
) -> None:
    """``l*(s) = q s^2 / 2 + s y`` where a q is declared, and curved otherwise."""
    y = target(loss, raw)
    low, high = (float(np.broadcast_to(bound, 1)[0]) for bound in loss.domain(y))
    low, high = max(low, -40.0), min(high, 40.0)
    s, t = (low + share * (high - low) for share in shares)
    q = loss.dual_curvature
    values = [float(loss.conjugate(one(x), y)[0]) for x in (s, t, 0.5 * (s + t))]
    bend = 0.5 * (values[0] + values[1]) - values[2]
    if q is None:
        assert bend >= 0.4 * (s - t) ** 2  # ``1 / (p (1 - p)) >= 4`` everywhere
        return
    assert values[0] == pytest.approx(0.5 * q * s * s + s * float(y[0]), abs=1e-12, rel=1e-12)
    assert bend == pytest.approx(q * (s - t) ** 2 / 8.0, abs=1e-11)


@each_loss
def test_constant_has_the_least_total_loss(loss: ScalarLoss) -> None:
    rng = np.random.default_rng(6)
    for n in (2, 5, 8, 101):
        y = targets(loss, rng, n)
        y[:2] = (1.0, -1.0) if loss.classification else y[:2]
        c = loss.constant(y)
        least = float(loss.value(np.full(n, c), y).sum())
        for step in (1e-6, 1e-3, 0.1, 10.0):
            for other in (c - step, c + step):
                assert least <= float(loss.value(np.full(n, other), y).sum()) + 1e-12 * n


@each_lipschitz
def test_slope_is_the_largest_of_the_domain(loss: LipschitzLoss) -> None:
    y = np.array([-1.0, 1.0])
    sides = [np.broadcast_to(side, 2) for side in loss.domain(y)]
    assert loss.slope == float(np.max(np.abs(sides)))


@each_lipschitz
def test_recession_is_the_limit_of_what_the_loss_lacks(loss: LipschitzLoss) -> None:
    rng = np.random.default_rng(7)
    y = targets(loss, rng, 400)
    z = 5.0 * rng.standard_normal(400)
    z[:40] = y[:40]  # on the kinks
    side, short = loss.recession(z, y)
    assert set(np.unique(side)) <= {-1.0, 1.0}
    t = 200.0
    lacks = loss.slope * t - (loss.value(z + side * t, y) - loss.value(z, y))
    np.testing.assert_allclose(short, lacks, rtol=0.0, atol=1e-14 * loss.slope * t)
    there = loss.slope - side * loss.gradient(z + 1e-9 * side, y) <= 1e-12  # just beyond z
    assert ((short == 0.0) == there).all()


def test_best_constant_of_labels_once_some_were_flipped() -> None:
    y = np.array([1.0] * 8 + [-1.0] * 2)
    assert Logistic().constant(y, spoilt=0.1) == pytest.approx(np.log(0.7 / 0.3))
    assert Logistic().constant(-y, spoilt=0.1) == pytest.approx(-np.log(0.7 / 0.3))
    assert Hinge().constant(-y, spoilt=0.1) == -1.0
    assert Hinge().constant(y, spoilt=0.4) == 0.0


@each_loss
def test_cvxpy_atom_has_the_value_of_the_loss(loss: Loss) -> None:
    rng = np.random.default_rng(4)
    for n in (1, 7):
        z, y = 4.0 * rng.standard_normal(n), targets(loss, rng, n)
        variable = cp.Variable(n)
        variable.value = z
        atom = loss.cvxpy(variable, y)
        assert atom.shape == ()
        assert atom.is_convex()
        assert float(atom.value) == pytest.approx(float(loss.value(z, y).sum()), rel=1e-12)


@each_loss
def test_declared_cones_are_those_of_the_atom(loss: Loss) -> None:
    y = np.array([1.0, -1.0])
    z = cp.Variable(2)
    problem = cp.Problem(cp.Minimize(loss.cvxpy(z, y)), [cp.abs(z) <= 1.0])
    assert problem.is_lp() is (not loss.cones)
    assert problem.is_qp() is (loss.cones <= {"qp"})


@pytest.mark.parametrize("delta", [0.0, -1.0, np.nan, np.inf, -np.inf])
def test_huber_refuses_a_delta_that_is_not_positive_and_finite(delta: float) -> None:
    with pytest.raises(
        ValueError, match=f"delta must be finite and > 0, got {re.escape(repr(delta))}"
    ):
        Huber(delta=delta)


@pytest.mark.parametrize("tau", [0.0, 1.0, -0.5, np.nan, np.inf])
def test_quantile_refuses_a_level_outside_the_unit_interval(tau: float) -> None:
    said = rf"tau must be finite and in \(0, 1\), got {re.escape(repr(tau))}"
    with pytest.raises(ValueError, match=said):
        Quantile(tau=tau)


def test_quantile_of_a_half_is_half_the_absolute_loss() -> None:
    z, y = np.array([-2.0, 0.0, 3.5]), np.array([1.0, 0.0, 1.0])
    np.testing.assert_allclose(Quantile().value(z, y), 0.5 * Absolute().value(z, y), rtol=1e-15)
    np.testing.assert_allclose(Quantile(tau=0.9).value(z, y), [2.7, 0.0, 0.25], rtol=1e-14)


def test_huber_is_squared_inside_and_linear_outside() -> None:
    loss, y = Huber(delta=2.0), np.zeros(3)
    np.testing.assert_allclose(loss.value(np.array([-2.0, 2.0, 1.0]), y), [2.0, 2.0, 0.5])
    np.testing.assert_allclose(loss.value(np.array([-10.0, 10.0, 4.0]), y), [18.0, 18.0, 6.0])


def test_as_loss_finds_by_name_and_passes_losses_through() -> None:
    for name, loss in LOSSES.items():
        assert as_loss(name) is loss
    own = Huber(delta=0.7)
    assert as_loss(own) is own


def test_as_loss_lists_the_choices_for_an_unknown_name() -> None:
    with pytest.raises(
        ValueError, match="squared, logistic, hinge, huber, absolute, softmax, got 'quantile'"
    ):
        as_loss("quantile")


def rows(k: int) -> st.SearchStrategy[Array]:
    return st.lists(wide, min_size=k, max_size=k).map(lambda row: np.array([row]))


def one_hot(k: int, c: int) -> Array:
    return np.eye(k)[[c % k]]


def test_softmax_is_known_by_name() -> None:
    assert as_loss("softmax") == Softmax()
    assert "softmax" not in LOSSES


def test_softmax_of_two_classes_is_the_logistic_loss_of_the_difference() -> None:
    z = np.random.default_rng(0).normal(scale=5.0, size=(40, 2))
    y = np.eye(2)[np.arange(40) % 2]
    difference, sign = z[:, 1] - z[:, 0], 2.0 * y[:, 1] - 1.0
    logistic = Logistic()
    np.testing.assert_allclose(Softmax().value(z, y), logistic.value(difference, sign), atol=1e-14)
    slope = Softmax().gradient(z, y)
    np.testing.assert_allclose(slope[:, 1], logistic.gradient(difference, sign), atol=1e-15)
    np.testing.assert_allclose(slope[:, 0], -slope[:, 1], atol=1e-15)
    s = logistic.clip(np.linspace(-1.0, 1.0, 40), sign)
    np.testing.assert_allclose(
        Softmax().conjugate(np.stack([-s, s], axis=1), y), logistic.conjugate(s, sign), atol=1e-15
    )


def test_softmax_does_not_overflow() -> None:
    z = np.array([[1e4, 0.0, -1e4], [-1e4, 1e4, 0.0]])
    y = np.eye(3)[[0, 0]]
    np.testing.assert_allclose(Softmax().value(z, y), [0.0, 2e4])
    np.testing.assert_allclose(Softmax().gradient(z, y), [[0.0, 0.0, 0.0], [-1.0, 1.0, 0.0]])


@often
@given(z=rows(4), s=rows(4), c=st.integers(0, 3))
def test_softmax_fenchel_young(z: Array, s: Array, c: int) -> None:
    loss, y = Softmax(), one_hot(4, c)
    inside = loss.clip(s, y)
    scale = 1.0 + float(np.max(np.abs(z)))
    total = float((loss.value(z, y) + loss.conjugate(inside, y))[0])
    assert total >= float(np.sum(z * inside)) - 1e-14 * scale
    slope = loss.gradient(z, y)
    total = float((loss.value(z, y) + loss.conjugate(slope, y))[0])
    assert abs(total - float(np.sum(z * slope))) <= 1e-14 * scale


def test_softmax_conjugate_is_the_supremum() -> None:
    loss, rng = Softmax(), np.random.default_rng(0)
    y = np.eye(3)[rng.integers(3, size=6)]
    s = loss.clip(rng.normal(scale=0.5, size=(6, 3)), y)
    for row, label in zip(s, y, strict=True):
        z = cp.Variable((1, 3))
        worth = cp.sum(cp.multiply(row[None], z)) - loss.cvxpy(z, label[None])
        found = cp.Problem(cp.Maximize(worth), [z <= 60.0, z >= -60.0]).solve(solver="CLARABEL")
        assert float(loss.conjugate(row[None], label[None])[0]) == pytest.approx(found, abs=1e-6)


@often
@given(s=rows(4), c=st.integers(0, 3), scale=st.floats(0.0, 1.0))
def test_softmax_clip_projects_on_the_domain(s: Array, c: int, scale: float) -> None:
    loss, y = Softmax(), one_hot(4, c)
    inside = loss.clip(s, y)
    size = 1.0 + float(np.max(np.abs(s)))
    assert np.isfinite(loss.conjugate(inside, y)).all()
    low, high = loss.domain(y)
    assert np.all(inside >= low)
    assert np.all(inside <= high + 1e-12)
    np.testing.assert_allclose(loss.clip(inside, y), inside, atol=1e-12)
    other = loss.clip(scale * s[:, ::-1], y)  # obtuse angle: no point of the domain is nearer
    assert float(np.sum((s - inside) * (other - inside))) <= 1e-9 * size


def test_softmax_conjugate_is_infinite_off_the_simplex() -> None:
    y = np.eye(2)[[0, 0]]
    assert np.isinf(Softmax().conjugate(np.array([[0.1, 0.1], [0.1, -0.1]]), y)).all()


@often
@given(v=rows(4), c=st.integers(0, 3), step=steps)
def test_softmax_prox_solves_its_equation(v: Array, c: int, step: float) -> None:
    """``z + step l'(z) = v``, its error no more than rounding in z makes it."""
    loss, y = Softmax(), one_hot(4, c)
    z = loss.prox(v, y, step)
    rounding = 1e-14 * (float(np.max(np.abs(v))) + step)
    residual = z + step * loss.gradient(z, y) - v
    assert np.max(np.abs(residual)) <= 10.0 * rounding * (1.0 + step)


@often
@given(v=rows(3), w=rows(3), c=st.integers(0, 2), step=steps)
def test_softmax_prox_is_firmly_nonexpansive(v: Array, w: Array, c: int, step: float) -> None:
    loss, y = Softmax(), one_hot(3, c)
    moved = loss.prox(v, y, step) - loss.prox(w, y, step)
    size = 1.0 + float(np.max(np.abs(v))) + float(np.max(np.abs(w))) + step
    assert float(np.sum(moved * moved)) <= float(np.sum(moved * (v - w))) + 1e-12 * size**2


def test_softmax_derivatives_and_curvature() -> None:
    loss, rng = Softmax(), np.random.default_rng(0)
    z, y, h = rng.normal(size=(20, 5)), np.eye(5)[rng.integers(5, size=20)], 1e-6
    for c in range(5):
        step = h * np.eye(5)[c]
        up, down = z + step, z - step
        slope = (loss.value(up, y) - loss.value(down, y)) / (2.0 * h)
        np.testing.assert_allclose(slope, loss.gradient(z, y)[:, c], atol=1e-9)
        bend = (loss.gradient(up, y) - loss.gradient(down, y))[:, c] / (2.0 * h)
        np.testing.assert_allclose(bend, loss.hessian(z, y)[:, c], atol=1e-9)
    p = np.array([0.5, 0.5, 0.0])
    assert np.linalg.eigvalsh(np.diag(p) - np.outer(p, p))[-1] == pytest.approx(loss.curvature)


def test_softmax_cvxpy_atom_is_the_loss() -> None:
    rng = np.random.default_rng(1)
    z, y = rng.normal(size=(6, 4)), np.eye(4)[rng.integers(4, size=6)]
    atom = Softmax().cvxpy(cp.Constant(z), y)
    assert float(atom.value) == pytest.approx(float(Softmax().value(z, y).sum()), rel=1e-12)

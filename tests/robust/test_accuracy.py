"""Robustness of two-layer classifiers: attacks from above, bounds from below, the exact answer."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import product
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.functions.norms import NORMS
from convexnn.robust.margin_bounds import interval_bound, linear_bound, relaxation
from convexnn.robust.rectified import inside, rectified
from convexnn.robust.regions import Region

mpl.use("Agg")
BALLS = ("linf", "l2", "l1")
each_norm = pytest.mark.parametrize("norm", BALLS)


def network(
    seed: int, d: int = 3, m: int = 5, leak: float = 0.0, skip: bool = False, scale: float = 1.0
) -> cx.TwoLayerNetwork:
    """A classifier with random weights."""
    g = np.random.default_rng(seed)
    return cx.TwoLayerNetwork(
        U=scale * g.standard_normal((d, m)),
        alpha=g.standard_normal((m, 1)),
        bias=0.3 * scale * g.standard_normal(m),
        leak=leak,
        skip=scale * g.standard_normal(d) if skip else None,
        skip_bias=0.2 * scale if skip else 0.0,
        classes=np.array(["no", "yes"]),
    )


def examples(net: cx.TwoLayerNetwork, n: int = 30, seed: int = 1) -> tuple[Array, Any]:
    """Gaussian examples, some of them labelled against the network."""
    g = np.random.default_rng(seed)
    X = g.standard_normal((n, net.U.shape[0]))
    y = net.predict(X)
    y[: n // 8] = np.where(y[: n // 8] == "yes", "no", "yes")
    return X, y


def sides(y: Any) -> Array:
    return np.where(np.asarray(y) == "yes", 1.0, -1.0)


def ball_points(norm: str, d: int, count: int, seed: int = 0) -> Array:
    """Points of the unit ball: its centre, its vertices or axes, random ones in it and on it."""
    g = np.random.default_rng(seed)
    points = g.uniform(-1.0, 1.0, (count, d))
    points /= np.maximum(NORMS[norm].value(points), 1.0)[:, None]
    edge = points / NORMS[norm].value(points)[:, None]
    corners = np.array(list(product((-1.0, 1.0), repeat=d)))
    corners /= NORMS[norm].value(corners)[:, None]
    axes = np.vstack([np.eye(d), -np.eye(d)])
    return np.vstack([np.zeros((1, d)), axes, corners, points, edge]) * (1.0 - 1e-12)


def worst_sampled(
    net: cx.TwoLayerNetwork, x: Array, side: float, radius: float, norm: str
) -> float:
    shifts = ball_points(norm, len(x), 4000)
    return float(np.min(side * net.decision_function(x + radius * shifts)))


def bounds(
    net: cx.TwoLayerNetwork, X: Array, side: Array, radius: float, norm: str
) -> tuple[Array, Array]:
    relaxed = relaxation(rectified(net), Region.of(X, radius, norm), side)
    return interval_bound(relaxed), linear_bound(relaxed, np.ones(len(X), dtype=np.bool_))


def worst_by_cells(
    net: cx.TwoLayerNetwork, x: Array, side: float, radius: float, norm: str
) -> float:
    """Smallest margin over an linf or l1 ball: a linear program in every cell of neurons."""
    d, m = net.U.shape
    best = np.inf
    for on in product((0.0, 1.0), repeat=m):
        pattern = np.array(on)
        slope = np.where(pattern > 0.0, 1.0, net.leak)
        weights = net.alpha[:, 0] * slope
        q, c = net.U @ weights, float(net.bias @ weights)
        if net.skip is not None:
            q, c = q + net.skip, c + net.skip_bias
        turn = np.where(pattern > 0.0, -1.0, 1.0)
        A, b = turn[:, None] * net.U.T, -turn * (x @ net.U + net.bias)
        if norm == "linf":
            found = linprog(side * q, A, b, bounds=[(-radius, radius)] * d)
        else:
            double = np.hstack([A, -A]), np.concatenate([side * q, -side * q])
            found = linprog(double[1], np.vstack([double[0], np.ones(2 * d)]), np.append(b, radius))
        if found.status == 0:
            best = min(best, float(found.fun or 0.0) + side * float(q @ x + c))
    return best


def worst_by_program(
    net: cx.TwoLayerNetwork, x: Array, side: float, radius: float, norm: str
) -> float:
    """Smallest margin over an linf or l1 ball, by one mixed-integer program (HiGHS)."""
    d, m = net.U.shape
    center = x @ net.U + net.bias
    reach = radius * NORMS[norm].dual(net.U.T)
    low, high = np.minimum(center - reach, 0.0), np.maximum(center + reach, 0.0)
    eye, none = np.eye(m), np.zeros((m, m))
    # variables: p, q >= 0 with the shift p - q; z = max(t, 0); a = 1 where t >= 0
    W = np.hstack([net.U.T, -net.U.T])
    zero = np.zeros((m, 2 * d))
    rows = [
        LinearConstraint(np.hstack([-W, eye, none]), center, np.inf),
        LinearConstraint(np.hstack([-W, eye, -np.diag(low)]), -np.inf, center - low),
        LinearConstraint(np.hstack([zero, eye, -np.diag(high)]), -np.inf, 0.0),
    ]
    if norm == "l1":
        budget = np.concatenate([np.ones(2 * d), np.zeros(2 * m)])
        rows.append(LinearConstraint(budget[None], -np.inf, radius))
    weights = net.alpha[:, 0]
    straight = net.leak * net.U @ weights + (0.0 if net.skip is None else net.skip)
    cost = side * np.concatenate([straight, -straight, (1.0 - net.leak) * weights, np.zeros(m)])
    found = milp(
        cost,
        constraints=rows,
        integrality=np.repeat([0, 0, 1], [2 * d, m, m]),
        bounds=Bounds(0.0, np.concatenate([np.full(2 * d, radius), high, np.ones(m)])),
        options={"mip_rel_gap": 1e-9},
    )
    assert found.status == 0
    offset = net.leak * float(net.bias @ weights) + (0.0 if net.skip is None else net.skip_bias)
    return float(found.fun + side * (straight @ x + offset))


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    d=st.integers(1, 4),
    m=st.integers(1, 8),
    leak=st.sampled_from([0.0, 0.1, 1.0, 2.0, -0.5]),
    skip=st.booleans(),
    norm=st.sampled_from(BALLS),
    radius=st.sampled_from([0.0, 1e-9, 0.05, 0.3, 2.0]),
    scale=st.sampled_from([1e-120, 1.0, 1e120]),
)
def test_order_holds_for_every_example_and_in_truth(
    seed: int, d: int, m: int, leak: float, skip: bool, norm: str, radius: float, scale: float
) -> None:
    net = network(seed, d, m, leak, skip, scale)
    X, y = examples(net, 12)
    found = cx.robustness(net, X, y, radius=radius, norm=norm, steps=10, restarts=3, exact=True)
    assert found.verdict is not None
    decided = found.verdict >= 0
    kept = found.verdict == 1
    assert np.all(found.holds["certified"] <= kept)
    assert np.all((kept <= found.holds["attacked"])[decided])
    assert np.all(found.holds["attacked"] <= found.holds["clean"])
    clean = net.predict(X) == y
    assert np.array_equal(found.holds["clean"], clean)
    assert all(np.isfinite(margin).all() for margin in found.margins.values())
    for i, side in enumerate(sides(y)):
        worst = worst_sampled(net, X[i], side, radius, norm)
        room = 1e-12 * abs(worst) if radius == 0.0 else 0.0  # then the margin stands for itself
        for name in ("interval", "linear"):
            assert found.margins[name][i] <= worst + room
        if not decided[i] and d == 1:  # the worst margin is zero up to rounding
            assert abs(worst) <= 0.05 * scale
        if kept[i]:
            assert worst >= 0.0
        if worst < 0.0:
            assert not kept[i]


@each_norm
@pytest.mark.parametrize("leak", [0.0, 0.2])
@pytest.mark.parametrize("skip", [False, True])
def test_bounds_are_below_samples_and_exact_for_a_stable_ball(
    norm: str, leak: float, skip: bool
) -> None:
    net = network(3, 3, 6, leak, skip)
    X, y = examples(net)
    side = sides(y)
    interval, linear = bounds(net, X, side, 0.4, norm)
    worst = np.array([worst_sampled(net, *one, 0.4, norm) for one in zip(X, side, strict=True)])
    assert np.all(np.maximum(interval, linear) <= worst)
    assert np.mean(worst - linear) < 0.5 * np.mean(worst - interval)
    _, linear = bounds(net, X, side, 1e-6, norm)
    near = cx.attack(net, X, y, radius=1e-6, norm=norm).margins
    assert linear == pytest.approx(near, abs=1e-11)


@each_norm
def test_lines_are_no_worse_than_given_patterns(norm: str) -> None:
    """The bound ``z - eps ||q||_* - slack`` with the example's own pattern (Bai et al. 2022)."""
    net = network(5, 4, 12)
    X, y = examples(net, 60)
    side, radius, alpha = sides(y), 0.2, net.alpha[:, 0]
    center = X @ net.U + net.bias
    reach = radius * NORMS[norm].dual(net.U.T)
    on = center > 0.0
    falls = side[:, None] * alpha < 0.0
    slack = np.where(falls, np.maximum(reach - np.abs(center), 0.0) * np.abs(alpha), 0.0)
    q = (side[:, None] * alpha * on) @ net.U.T
    pattern = side * net.decision_function(X) - radius * NORMS[norm].dual(q) - slack.sum(axis=1)
    _, linear = bounds(net, X, side, radius, norm)
    assert np.all(linear >= pattern - 1e-10)
    assert np.any(linear > pattern + 0.05)


@pytest.mark.parametrize("norm", ["linf", "l1"])
@pytest.mark.parametrize("leak", [0.0, 0.3])
@pytest.mark.parametrize("skip", [False, True])
def test_exact_equals_every_cell_and_the_mixed_integer_program(
    norm: str, leak: float, skip: bool
) -> None:
    for seed in range(3):
        net = network(seed, 3, 4, leak, skip)
        X, y = examples(net, 10, seed)
        found = cx.robustness(net, X, y, radius=0.4, norm=norm, restarts=1, steps=1, exact=True)
        assert found.verdict is not None
        for i, side in enumerate(sides(y)):
            worst = worst_by_cells(net, X[i], side, 0.4, norm)
            program = worst_by_program(net, X[i], side, 0.4, norm)
            assert worst == pytest.approx(program, abs=1e-5)
            if abs(worst) > 1e-9:
                assert found.verdict[i] == (worst > 0.0)
            assert found.margins["pgd"][i] >= worst - 1e-9
            assert max(found.margins[k][i] for k in ("interval", "linear")) <= worst + 1e-9


@pytest.mark.parametrize("norm", ["linf", "l1"])
def test_exact_equals_the_mixed_integer_program_on_wider_networks(norm: str) -> None:
    net = network(11, 6, 25)
    X, y = examples(net, 60)
    radius = {"linf": 0.15, "l1": 0.6}[norm]
    found = cx.robustness(net, X, y, radius=radius, norm=norm, restarts=1, steps=1, exact=True)
    assert found.verdict is not None
    assert found.undecided == 0
    open_ones = np.flatnonzero(found.holds["attacked"] & ~found.holds["certified"])
    assert len(open_ones) >= 3
    for i in open_ones:
        worst = worst_by_program(net, X[i], sides(y)[i], radius, norm)
        assert found.verdict[i] == (worst > 0.0)


def test_exact_l2_agrees_with_dense_samples() -> None:
    wrong, undecided = 0, 0
    for seed in range(6):
        net = network(seed, 2, 6)
        X, y = examples(net, 40)
        found = cx.robustness(net, X, y, radius=0.4, norm="l2", exact=True)
        assert found.verdict is not None
        angle = np.linspace(0.0, 2.0 * np.pi, 400)
        ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        disc = np.vstack([0.4 * r * ring for r in np.linspace(0.0, 1.0 - 1e-12, 60)])
        for i, side in enumerate(sides(y)):
            worst = np.min(side * net.decision_function(X[i] + disc))
            if found.verdict[i] == 1:
                assert worst > 0.0
            elif found.verdict[i] == 0:
                wrong += worst > 1e-3
            else:
                undecided += abs(worst) > 1e-9
    assert (wrong, undecided) == (0, 0)


@each_norm
@pytest.mark.parametrize("method", ["fgsm", "pgd"])
@pytest.mark.parametrize("offset", [0.0, 1e3, 1e9])
def test_points_of_an_attack_are_in_the_ball_in_exact_arithmetic(
    norm: str, method: str, offset: float
) -> None:
    net = network(2, 3, 6)
    X, y = examples(net)
    X = X + offset
    y = net.predict(X)
    y[:2] = ["no", "yes"]
    for radius in (1e-7, 0.1, 3.0):
        found = cx.attack(net, X, y, radius=radius, norm=norm, method=method)
        for x, point in zip(X, found.points, strict=True):
            pairs = zip(point.tolist(), x.tolist(), strict=True)
            moved = [abs(Fraction(p) - Fraction(o)) for p, o in pairs]
            size = {"linf": max(moved), "l1": sum(moved), "l2": sum(u * u for u in moved)}[norm]
            assert size <= Fraction(radius) ** (2 if norm == "l2" else 1)
        margins = sides(y) * net.decision_function(found.points)
        assert found.margins == pytest.approx(margins, rel=1e-12)
        assert np.array_equal(found.success, net.predict(found.points) != y)


def test_drawing_in_leaves_points_of_the_ball_alone() -> None:
    X = np.zeros((2, 2))
    points = np.array([[0.1, 0.1], [0.5, 0.0]])
    drawn = inside(X, points, 0.3, "l2")
    assert np.array_equal(drawn[0], points[0])
    assert drawn[1] == pytest.approx([0.3, 0.0], rel=1e-12)
    assert drawn[1, 0] <= 0.3


@each_norm
def test_pgd_is_at_least_as_strong_as_fgsm_and_near_the_truth(norm: str) -> None:
    net = network(7, 3, 10)
    X, y = examples(net, 80)
    radius = 0.5
    fgsm = cx.attack(net, X, y, radius=radius, norm=norm, method="fgsm")
    pgd = cx.attack(net, X, y, radius=radius, norm=norm)
    assert np.all(pgd.margins <= fgsm.margins)
    assert np.any(pgd.margins < fgsm.margins - 1e-3)
    kept = np.flatnonzero(~pgd.success)
    worst = [worst_sampled(net, X[i], sides(y)[i], radius, norm) for i in kept]
    assert len(kept) > 20
    assert np.mean(pgd.margins[kept] <= np.array(worst) + 0.005) > 0.95


def test_one_step_goes_to_the_edge_along_the_steepest_descent() -> None:
    net = cx.TwoLayerNetwork(
        np.array([[3.0], [-4.0]]), np.array([[1.0]]), np.array([9.0]), classes=np.array([0, 1])
    )
    for norm, shift in (("linf", [-0.5, 0.5]), ("l2", [-0.3, 0.4]), ("l1", [0.0, 0.5])):
        found = cx.attack(net, [[1.0, 1.0]], [1], radius=0.5, norm=norm, method="fgsm")
        assert found.points[0] == pytest.approx(np.add(1.0, shift), rel=1e-12)


@each_norm
def test_radius_zero_changes_nothing(norm: str) -> None:
    net = network(4)
    X, y = examples(net)
    found = cx.robustness(net, X, y, radius=0.0, norm=norm)
    clean = float(np.mean(net.predict(X) == y))
    kinds = ("clean", "fgsm", "pgd", "attacked", "exact", "certified")
    assert {getattr(found, kind) for kind in kinds} == {clean}
    assert 0.0 < clean < 1.0


def test_same_seed_same_answer() -> None:
    net = network(8, 6, 20)
    X, y = examples(net, 50)
    one, two, other = (cx.attack(net, X, y, radius=0.3, seed=s, steps=3) for s in (3, 3, 4))
    assert np.array_equal(one.points, two.points)
    assert not np.array_equal(one.points, other.points)


@each_norm
def test_trivial_networks(norm: str) -> None:
    X, y = np.eye(2), np.array([0, 1])
    classes = np.array([0, 1])
    zero = cx.TwoLayerNetwork(np.zeros((2, 3)), np.zeros((3, 1)), np.zeros(3), classes=classes)
    none = cx.TwoLayerNetwork(np.zeros((2, 0)), np.zeros((0, 1)), np.zeros(0), classes=classes)
    constant = replace(none, skip=np.zeros(2), skip_bias=1.0)
    for net, accuracy in ((zero, [1, 0]), (none, [1, 0]), (constant, [0, 1])):
        found = cx.robustness(net, X, y, radius=0.5, norm=norm, exact=True)
        for kind in ("clean", "attacked", "certified"):
            assert found.holds[kind].tolist() == accuracy
        assert found.exact == 0.5
        assert np.all(cx.lipschitz(net, X, radius=0.5, norm=norm) <= 1e-300)


def test_time_limit_leaves_examples_undecided() -> None:
    net = network(9, 8, 60)
    X, y = examples(net, 60)
    settings: dict[str, Any] = {"radius": 0.25, "steps": 5, "restarts": 2}
    found = cx.robustness(net, X, y, exact=True, time_limit=1e-9, **settings)
    assert found.exact is None
    assert found.undecided > 0
    assert "undecided" in str(found)
    table = found.table
    assert table["exact"].isna().sum() == found.undecided
    assert cx.robustness(net, X, y, **settings).undecided == found.undecided


def test_table_and_text() -> None:
    net = network(1)
    X, y = examples(net)
    found = cx.robustness(net, X, y, radius=0.2, exact=True)
    table = found.table
    assert len(table) == len(X)
    for kind in ("clean", "fgsm", "pgd", "attacked", "exact", "certified"):
        assert table[kind].mean() == pytest.approx(getattr(found, kind))
        assert kind in str(found)
    assert (table["linear bound"] <= table["pgd margin"]).all()
    assert (table["pgd margin"] <= table["fgsm margin"]).all()
    assert (table["fgsm margin"] <= table["margin"]).all()


def test_examples_are_bounded_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(12, 4, 10)
    X, y = examples(net, 25)
    whole = cx.robustness(net, X, y, radius=0.2, exact=True)
    monkeypatch.setattr("convexnn.robust.accuracy.ENTRIES", 40)
    parts = cx.robustness(net, X, y, radius=0.2, exact=True)
    assert np.array_equal(whole.verdict, parts.verdict)  # type: ignore[arg-type]
    assert parts.margins["linear"] == pytest.approx(whole.margins["linear"], rel=1e-12)
    assert (whole.exact, whole.certified) == (parts.exact, parts.certified)


def test_trained_network_is_measured() -> None:
    g = np.random.default_rng(0)
    X = g.standard_normal((60, 2))
    y = np.where(X[:, 0] * X[:, 1] > 0.0, "same", "other")
    problem = cx.ReluTraining(X, y, beta=0.05, loss="hinge", patterns=30, bias=True)
    net = cx.solve(problem, tol=1e-4).model
    found = cx.robustness(net, X, y, radius=0.05, exact=True)
    assert found.exact is not None
    assert 0.5 < found.certified <= found.exact <= found.attacked <= found.clean
    one_class = cx.robustness(net, X[:1], y[:1], radius=0.05)
    assert one_class.clean in (0.0, 1.0)


@each_norm
def test_lipschitz_bound_is_above_gradients_and_quotients(norm: str) -> None:
    for seed in range(8):
        leak = [0.0, 0.3, 1.5, -0.4][seed % 4]
        net = network(seed, 3, 7, leak, seed % 2 == 0)
        X, _ = examples(net, 6)
        for radius in (0.0, 0.1, 1.0):
            bound = cx.lipschitz(net, X, radius=radius, norm=norm)
            for x, most in zip(X, bound, strict=True):
                points = x + radius * ball_points(norm, 3, 300)
                active = points @ net.U + net.bias > 0.0
                slope = np.where(active, max(1.0, leak), min(1.0, leak)) * net.alpha[:, 0]
                gradients = slope @ net.U.T + (0.0 if net.skip is None else net.skip)
                sizes = NORMS[norm].dual(gradients)
                assert sizes.max() <= most
                if radius == 0.0:
                    assert most == pytest.approx(sizes.max(), rel=1e-10)
                    continue
                rise = np.abs(np.diff(net.decision_function(points)))
                assert np.all(rise <= most * NORMS[norm].value(np.diff(points, axis=0)) + 1e-12)


@each_norm
def test_lipschitz_bound_of_several_outputs_and_of_large_balls(norm: str) -> None:
    g = np.random.default_rng(0)
    net = cx.TwoLayerNetwork(g.standard_normal((3, 5)), g.standard_normal((5, 2)), np.zeros(5))
    X = g.standard_normal((4, 3))
    both = cx.lipschitz(net, X, radius=0.3, norm=norm)
    assert both.shape == (4, 2)
    for k in range(2):
        alone = replace(net, alpha=net.alpha[:, k : k + 1])
        assert np.array_equal(both[:, k], cx.lipschitz(alone, X, radius=0.3, norm=norm))
    wide = cx.lipschitz(net, X, radius=1e6, norm=norm)
    corners = [np.array(on) for on in product((0.0, 1.0), repeat=5)]
    for k in range(2):
        most = max(NORMS[norm].dual((net.U @ (on * net.alpha[:, k]))[None])[0] for on in corners)
        assert np.all(wide[:, k] >= most)
        assert np.all(wide[:, k] <= 2.0 * most)


def test_curve_falls_in_table_and_figure() -> None:
    nets = {"a": network(1), "b": network(1, leak=0.5)}
    X, y = examples(nets["a"], 60)
    radii = [0.0, 0.1, 0.3, 1.0]
    curve = cx.robustness_curve(nets, X, y, radii, norm="l2", restarts=3)
    assert list(curve.frame["radius"]) == radii * 2
    for along in curve.found.values():
        certified = [one.certified for one in along]
        assert certified == sorted(certified, reverse=True)
        assert certified[0] == along[0].clean
        assert certified[-1] < certified[0]
    assert "certified" in str(curve)
    ax = curve.plot()
    assert len(ax.lines) == 7
    floors = [cx.robust_floor(X, y, radius=radius, norm="l2") for radius in radii]
    assert ax.lines[6].get_ydata() == pytest.approx([1.0 - floor.rate for floor in floors])
    assert floors[-1].errors > 0
    for k, floor in enumerate(floors):
        assert all(along[k].certified <= 1.0 - floor.rate for along in curve.found.values())
    plt.close("all")
    alone = cx.robustness_curve(nets["a"], X, y, radii, norm="l2", restarts=3, floor=False)
    assert alone.floors == ()
    assert len(alone.plot().lines) == 3
    plt.close("all")
    assert list(alone.found) == ["network"]
    with pytest.raises(cx.ProblemError, match="at least one network"):
        cx.robustness_curve({}, X, y, radii)


GOOD = network(0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"radius": -0.1}, "radius must be finite and >= 0"),
        ({"radius": np.nan}, "radius must be finite"),
        ({"radius": np.inf}, "radius must be finite"),
        ({"radius": "far"}, "radius must be finite and >= 0"),
        ({"norm": "l3"}, "norm must be one of"),
        ({"X": np.zeros((4, 2))}, "X must have 3 columns"),
        ({"X": np.full((4, 3), np.nan)}, "X must be finite"),
        ({"y": ["no", "yes", "maybe", "no"]}, "y must hold the network's classes"),
        ({"y": [0, 1, 1, 0]}, "y must hold the network's classes"),
        ({"y": ["no"]}, "y must have one entry per row"),
        ({"steps": 0}, "steps must be an integer >= 1"),
        ({"restarts": 0}, "restarts must be an integer >= 1"),
        ({"step": 0.0}, "step must be finite and > 0"),
        ({"seed": -1}, "seed must be an integer >= 0"),
        ({"exact": "milp"}, "exact must be True or False"),
        ({"time_limit": 0.0}, "time_limit must be a number > 0"),
        ({"network": replace(GOOD, classes=None)}, "network must be a classifier"),
        ({"norm": "l2", "box": (-9.0, 9.0)}, "box goes with norm 'linf'"),
        ({"box": (2.0, 3.0)}, "X must lie in the box"),
        ({"perturbed": ["age"]}, "perturbed must be columns of X"),
        ({"network": replace(GOOD, U=np.full((3, 5), 1e308))}, "network overflows"),
        ({"X": np.full((4, 3), 1e300), "network": network(0, scale=1e20)}, "network overflows"),
        ({"network": replace(GOOD, gates=np.ones((3, 5)))}, "must not have gates"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], message: str) -> None:
    asked: dict[str, Any] = {"network": GOOD, "X": np.eye(4, 3), "y": ["no", "yes", "no", "yes"]}
    asked |= {"radius": 0.1} | change
    data = [asked.pop(name) for name in ("network", "X", "y")]
    with pytest.raises(cx.ProblemError, match=message):
        cx.robustness(*data, **asked)
    if not {"exact", "time_limit"} & set(asked):
        with pytest.raises(cx.ProblemError, match=message):
            cx.attack(*data, **asked)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"radius": -1.0}, "radius must be finite and >= 0"),
        ({"norm": "linfty"}, "norm must be one of"),
        ({"X": np.eye(2)}, "X must have 3 columns"),
        ({"network": replace(GOOD, gates=np.ones((3, 5)))}, "must not have gates"),
        ({"network": network(0, scale=1e307)}, "overflows"),
    ],
)
def test_bad_input_of_lipschitz_is_named(change: dict[str, Any], message: str) -> None:
    asked: dict[str, Any] = {"network": GOOD, "X": 99.0 * np.eye(3), "radius": 0.1} | change
    data = [asked.pop(name) for name in ("network", "X")]
    with pytest.raises(cx.ProblemError, match=message):
        cx.lipschitz(*data, **asked)


def test_bad_method_of_attack_is_named() -> None:
    with pytest.raises(cx.ProblemError, match="method must be one of pgd, fgsm"):
        cx.attack(GOOD, np.eye(3), ["no"] * 3, radius=0.1, method="cw")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"alpha": np.ones((4, 1))}, "must have U .d, m. and alpha .m, k."),
        ({"bias": np.ones(4)}, r"bias must have shape \(5,\), got \(4,\)"),
        ({"skip": np.ones(4)}, r"skip must have shape \(3,\), got \(4,\)"),
        ({"U": np.full((3, 5), np.inf)}, "U must be finite, got inf"),
        ({"classes": [[0, 1]]}, "classes must hold numbers or text along one axis"),
    ],
)
def test_networks_that_fit_together_nowhere(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(cx.ProblemError, match=match):
        replace(GOOD, **changes)

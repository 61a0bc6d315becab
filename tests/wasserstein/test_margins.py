"""The follower: worst margins in a Wasserstein ball, against transport programs on a grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.functions.curves import as_curve, check_curve
from convexnn.solvers.wasserstein import greedy

EXACT = 1e-12
LINEAR = ("cvxpy:clarabel", "cvxpy:highs", "cvxpy:scipy", "cvxpy:osqp", "cvxpy:scs")


def root(t: Array) -> Array:
    return np.hypot(1.0, t)


def root_slope(t: Array) -> Array:
    return np.where(np.isinf(t), np.sign(t), t / np.hypot(1.0, np.where(np.isinf(t), 0.0, t)))


SQUARE_ROOT = (root, root_slope)
ABSOLUTE = (np.abs, np.sign)
PARABOLA = (np.square, lambda t: 2.0 * t)
TENT = cx.PiecewiseLinear(np.array([-1.0, 0.25, 2.0]), np.array([0.0, 0.5, -1.0]))
LOSSES: dict[str, Any] = {
    "logistic": "logistic",
    "hinge": "hinge",
    "root": SQUARE_ROOT,
    "absolute": ABSOLUTE,
    "parabola": PARABOLA,
    "tent": TENT,
}


def by_hand(name: str, t: Array) -> Array:
    """The losses again, in other words than the library's."""
    if name == "logistic":
        return np.log1p(np.exp(-t))
    if name == "hinge":
        return np.where(t < 1.0, 1.0 - t, 0.0)
    if name == "tent":
        return np.maximum(np.maximum(-t, 0.25 * t + 0.5), 2.0 * t - 1.0)
    return np.sqrt(1.0 + t * t) if name == "root" else abs(t) if name == "absolute" else t * t


def on_a_grid(name: str, xi: Array, radius: float, window: tuple[float, float]) -> float:
    """Supremum over the transports from the margins to a grid that holds both and the ends."""
    z = np.unique(np.concatenate([xi, window, np.linspace(*window, 9)]))
    n, m = len(xi), len(z)
    marginals = np.kron(np.eye(n), np.ones(m))
    done = linprog(
        -np.tile(by_hand(name, z), n),
        A_ub=np.abs(xi[:, None] - z).reshape(1, -1),
        b_ub=[radius],
        A_eq=marginals,
        b_eq=np.full(n, 1.0 / n),
        method="highs",
    )
    assert done.status == 0
    return -float(done.fun or 0.0)


def worst(*args: Any, **keywords: Any) -> cx.Solution:
    return cx.solve(cx.WorstCaseMargins(*args, **keywords), tol=1e-11).raise_for_status()


def margins(n: int = 40, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(n) + 0.3


WINDOW = (-4.0, 5.0)
each_loss = pytest.mark.parametrize("name", LOSSES)


@each_loss
@pytest.mark.parametrize("radius", [0.0, 0.05, 0.7, 3.0, 50.0])
def test_value_is_that_of_a_transport_program_on_a_grid(name: str, radius: float) -> None:
    xi = margins()
    value = worst(xi, radius=radius, loss=LOSSES[name], window=WINDOW).model.value
    assert value == pytest.approx(on_a_grid(name, xi, radius, WINDOW), rel=1e-8)


@settings(max_examples=60)
@given(
    name=st.sampled_from(sorted(LOSSES)),
    xi=st.lists(st.floats(-3.0, 3.0, width=32), min_size=1, max_size=7),
    radius=st.floats(0.0, 4.0, width=32),
    room=st.tuples(st.floats(0.0, 2.0, width=32), st.floats(0.0, 2.0, width=32)),
)
def test_greedy_agrees_with_a_grid_on_any_data(
    name: str, xi: list[float], radius: float, room: tuple[float, float]
) -> None:
    data = np.array(xi)
    window = (float(data.min()) - room[0], float(data.max()) + room[1] + 1e-3)
    solution = worst(data, radius=radius, loss=LOSSES[name], window=window)
    expected = on_a_grid(name, data, radius, window)
    assert solution.model.value == pytest.approx(expected, rel=1e-6, abs=1e-6)


@each_loss
@pytest.mark.parametrize("group", [None, 7])
def test_primal_dual_and_the_distribution_itself_agree(name: str, group: int | None) -> None:
    xi, radius = margins(50, 1), 0.4
    solution = worst(xi, radius=radius, loss=LOSSES[name], window=WINDOW, group=group)
    atoms, size = solution.model.atoms, abs(solution.objective)
    expected = float(np.sum(atoms.mass * by_hand(name, atoms.location)))
    assert solution.objective == pytest.approx(expected, abs=EXACT * size)
    assert solution.bound == pytest.approx(expected, abs=EXACT * size)
    np.testing.assert_allclose(np.bincount(atoms.source, atoms.mass), 1.0 / 50, rtol=EXACT)
    np.testing.assert_array_equal(atoms.cost, np.abs(atoms.location - xi[atoms.source]))
    assert atoms.transport() <= radius * (1.0 + EXACT)
    assert atoms.transport() == pytest.approx(radius, rel=EXACT)
    assert np.all((atoms.location >= WINDOW[0]) & (atoms.location <= WINDOW[1]))
    assert np.all(atoms.mass > 0.0)


@each_loss
def test_at_most_one_source_splits(name: str) -> None:
    atoms = worst(margins(), radius=0.3, loss=LOSSES[name], window=WINDOW).model.atoms
    counts = np.bincount(atoms.source)
    assert counts.max() <= 3
    assert (counts > 1).sum() == 1


def test_a_split_may_reach_both_ends() -> None:
    """The nearer end first, then the dearer one: shares at two ends and none at home."""
    steep = cx.PiecewiseLinear(np.array([-2.0, 1.5]), np.zeros(2))
    model = worst([0.0], radius=1.5, loss=steep, window=(-1.0, 2.0)).model
    np.testing.assert_allclose(model.atoms.location, [-1.0, 2.0])
    np.testing.assert_allclose(model.atoms.mass, [0.5, 0.5])
    assert model.value == pytest.approx(2.5)
    assert model.multiplier == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("name", "window", "group"),
    [
        *((name, WINDOW, g) for name in ("logistic", "root", "parabola") for g in (None, 6)),
        ("logistic", None, None),
        ("root", None, 6),
    ],
)
def test_gradient_and_weights_against_differences(
    name: str, window: tuple[float, float] | None, group: int | None
) -> None:
    xi = margins(20, 2)
    given_: dict[str, Any] = {"loss": LOSSES[name], "window": window, "group": group}
    model = worst(xi, radius=0.6, **given_).model
    step, slopes = 1e-5, np.empty(20)
    for i in range(20):
        ends = []
        for sign in (-1.0, 1.0):
            moved = xi.copy()
            moved[i] += sign * step
            ends.append(worst(moved, radius=0.6, **given_).model.value)
        slopes[i] = (ends[1] - ends[0]) / (2.0 * step)
    np.testing.assert_allclose(model.gradient, slopes, atol=1e-8)
    own = as_curve(LOSSES[name]).slope(xi)
    np.testing.assert_allclose(model.weights * own / 20, slopes, atol=1e-8)
    radii = [worst(xi, radius=0.6 + s, **given_).model.value for s in (-1e-5, 1e-5)]
    assert model.multiplier == pytest.approx((radii[1] - radii[0]) / 2e-5, abs=1e-6)


def test_weights_of_the_logistic_follower() -> None:
    """1 where a sample stays, multiplier / |l'| where it moved, mixed for the split one."""
    xi = margins(30, 3)
    solution = worst(xi, radius=0.5, window=WINDOW)
    model, moved = solution.model, solution.primal.choice[:, 0]
    slope = 1.0 / (1.0 + np.exp(xi))
    np.testing.assert_array_equal(model.weights[moved == 0.0], 1.0)
    np.testing.assert_allclose(model.weights[moved == 1.0], model.multiplier / slope[moved == 1.0])
    (split,) = np.flatnonzero((moved > 0.0) & (moved < 1.0))
    mixed = 1.0 - moved[split] + moved[split] * model.multiplier / slope[split]
    assert model.weights[split] == pytest.approx(mixed, rel=EXACT)
    assert moved.max() == 1.0


def test_weight_of_a_flat_sample_that_moves_is_infinite() -> None:
    model = worst([2.0, 3.0], radius=2.0, loss="hinge", window=(-1.0, 3.0)).model
    assert model.weights[0] == np.inf
    assert np.isfinite(model.gradient).all()
    assert model.gradient[0] == pytest.approx(-model.multiplier / 2)


@pytest.mark.parametrize("window", [WINDOW, None])
def test_value_grows_with_the_radius_and_starts_at_the_mean(window: Any) -> None:
    xi = margins()
    values = [worst(xi, radius=r, window=window).model.value for r in (0.0, 1e-9, 0.1, 0.6, 1.1)]
    assert np.all(np.diff(values) > 0.0)
    assert values[0] == pytest.approx(np.mean(by_hand("logistic", xi)), rel=EXACT)
    assert values[1] - values[0] <= 1e-9
    assert np.all(np.diff(np.diff(values[2:])) <= 1e-12)  # concave, too


def test_radius_zero() -> None:
    xi = margins()
    model = worst(xi, radius=0.0, window=WINDOW).model
    np.testing.assert_array_equal(model.atoms.location, xi)
    np.testing.assert_array_equal(model.weights, 1.0)
    assert model.attained
    rates = (by_hand("logistic", np.array(WINDOW[0])) - by_hand("logistic", xi)) / (xi - WINDOW[0])
    assert model.multiplier == pytest.approx(rates.max(), rel=EXACT)


def test_a_radius_that_pays_for_everything_costs_nothing_more() -> None:
    model = worst(margins(), radius=100.0, loss="hinge", window=WINDOW).model
    assert model.multiplier == 0.0
    assert model.value == 1.0 - WINDOW[0]
    np.testing.assert_array_equal(model.gradient, 0.0)


@pytest.mark.parametrize(
    ("loss", "steepest", "ray"),
    [
        ("logistic", 1.0, -1.0),
        (SQUARE_ROOT, 1.0, -1.0),
        ((lambda t: root(t) + t, lambda t: root_slope(t) + 1.0), 2.0, 1.0),
    ],
)
@pytest.mark.parametrize("group", [None, 9])
def test_supremum_on_the_line_that_is_not_attained(
    loss: Any, steepest: float, ray: float, group: int | None
) -> None:
    xi, radius = margins(), 0.35
    model = worst(xi, radius=radius, loss=loss, group=group).model
    value = as_curve(loss).value
    assert model.value == pytest.approx(np.mean(value(xi)) + radius * steepest, rel=EXACT)
    assert not model.attained
    np.testing.assert_array_equal(model.ray, [ray])
    expected = float(np.sum(model.atoms.mass * value(model.atoms.location)))
    assert 0.0 <= model.value - expected <= 1e-9 * model.value
    assert model.atoms.transport() <= radius * (1.0 + EXACT)
    np.testing.assert_array_equal(model.weights, 1.0)


@pytest.mark.parametrize("radius", [1e-8, 0.35, 1e4])
@pytest.mark.parametrize("loss", ["hinge", ABSOLUTE, TENT])
def test_supremum_on_the_line_that_is_attained(loss: Any, radius: float) -> None:
    xi = margins()
    curve = as_curve(loss)
    steepest = 2.0 if loss is TENT else 1.0
    model = worst(xi, radius=radius, loss=loss).model
    expected = float(np.sum(model.atoms.mass * curve.value(model.atoms.location)))
    assert model.value == pytest.approx(np.mean(curve.value(xi)) + radius * steepest, rel=EXACT)
    assert expected == pytest.approx(model.value, rel=EXACT)
    assert model.attained
    assert model.ray is None


def test_hinge_beyond_its_kink_does_not_attain_the_supremum() -> None:
    far, near = worst([2.0, 3.0], radius=0.1, loss="hinge"), worst([0.5], radius=0.1, loss="hinge")
    assert not far.model.attained
    assert near.model.attained
    assert far.model.value == pytest.approx(0.1)


def test_logistic_is_not_attained_however_far_the_margins() -> None:
    """The slope rounds to 1 out there; the loss is strictly convex all the same."""
    assert not worst([-60.0], radius=1.0).model.attained


def test_flat_loss_on_the_line_gains_nothing() -> None:
    flat = cx.PiecewiseLinear(np.zeros(1), np.array([3.0]))
    model = worst(margins(), radius=2.0, loss=flat).model
    assert (model.value, model.attained, model.multiplier) == (3.0, True, 0.0)


@pytest.mark.parametrize("window", [WINDOW, None])
def test_pieces_and_groups_only_lose(window: Any) -> None:
    xi = margins(100, 5)
    full = worst(xi, radius=0.2, window=window).model.value
    previous = full
    for group in (50, 10, 1):  # each divides the one before: smaller balls within larger
        value = worst(xi, radius=0.2, window=window, group=group).model.value
        assert value <= previous + EXACT
        previous = value
    assert window is None or previous < full - 1e-4
    for pieces in (1, 2, 6):
        value = worst(xi, radius=0.2, window=window, pieces=pieces).model.value
        assert value < full
    fine = worst(xi, radius=0.2, window=WINDOW, pieces=400).model.value
    assert fine == pytest.approx(worst(xi, radius=0.2, window=WINDOW).model.value, abs=1e-4)


def test_groups_are_consecutive_and_the_last_may_be_smaller() -> None:
    xi = margins(11, 6)
    together = worst(xi, radius=0.5, window=WINDOW, group=4)
    parts = [worst(xi[i : i + 4], radius=0.5, window=WINDOW).model for i in (0, 4, 8)]
    sizes = [4, 4, 3]
    value = np.dot(sizes, [p.value for p in parts]) / 11
    assert together.model.value == pytest.approx(value, rel=EXACT)
    np.testing.assert_allclose(together.primal.multiplier, [p.multiplier for p in parts])
    np.testing.assert_allclose(together.model.weights, np.concatenate([p.weights for p in parts]))


@pytest.mark.parametrize(
    ("pieces", "group", "scope"),
    [
        (None, None, "this ball"),
        (6, None, "this ball, 6 pieces"),
        (6, 10, "this ball, 6 pieces, groups of 10"),
    ],
)
def test_scope_says_what_was_replaced(pieces: Any, group: Any, scope: str) -> None:
    solution = worst(margins(), radius=0.1, window=WINDOW, pieces=pieces, group=group)
    assert solution.certificate.scope == scope


CASES: dict[str, dict[str, Any]] = {
    "logistic": {"window": WINDOW},
    "logistic-line": {},
    "logistic-groups": {"window": WINDOW, "group": 9},
    "root": {"loss": SQUARE_ROOT, "window": WINDOW},
    "root-line-groups": {"loss": SQUARE_ROOT, "group": 9},
    "tent": {"loss": TENT, "window": WINDOW},
    "tent-line": {"loss": TENT},
    "hinge": {"loss": "hinge", "window": WINDOW},
    "ssapo": {"window": WINDOW, "pieces": 6, "group": 10},
    "pieces-line": {"pieces": 6},
    "pieces-line-groups": {"pieces": 6, "group": 10},
    "pieces-of-the-hinge": {"loss": "hinge", "pieces": 5, "window": WINDOW},
}


@pytest.mark.parametrize("backend", LINEAR)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("radius", [0.0, 0.3])
def test_linear_programs_agree_with_greedy(case: str, backend: str, radius: float) -> None:
    problem = cx.WorstCaseMargins(margins(24, 7), radius=radius, **CASES[case])
    exact, found = cx.solve(problem, tol=1e-11), cx.solve(problem, backend, tol=1e-5)
    assert exact.backend == "greedy"
    assert exact.status is cx.Status.OPTIMAL
    assert found.status is cx.Status.OPTIMAL, repr(found)
    assert found.objective >= exact.bound - EXACT
    assert found.bound <= exact.objective + EXACT
    assert found.objective == pytest.approx(exact.objective, abs=2e-5)
    atoms = found.model.atoms
    assert atoms.transport() <= radius * (1.0 + 1e-9)
    value = problem.curve.value(atoms.location) @ atoms.mass
    assert value == pytest.approx(exact.objective, abs=2e-5)


def test_every_linear_solver_is_offered() -> None:
    for case in CASES.values():
        names = cx.backends(cx.WorstCaseMargins(margins(), radius=0.1, **case)).names
        assert {"greedy", *LINEAR} <= set(names)
        assert not {"admm", "fista", "ipm"} & set(names)


def test_literal_program_has_the_variables_of_the_paper() -> None:
    program = cx.WorstCaseMargins(margins(), radius=0.1, window=WINDOW, pieces=6).to_cvxpy()
    assert {name: v.shape for name, v in program.variables.items()} == {"s": (40, 6), "q": (40, 6)}
    assert program.problem.is_dcp()


def test_segments_agree_with_a_plain_envelope() -> None:
    """The kernel against the concave envelope of three points, by enumeration of its hulls."""
    problem = cx.WorstCaseMargins(margins(), radius=0.5, loss=ABSOLUTE, window=WINDOW)
    form = problem.form
    for budget in (0.1, 1.0, 3.0, 5.0):
        for i in range(len(form.base)):
            points = [(0.0, 0.0), *zip(form.cost[i], form.gain[i], strict=True)]
            best = max(
                g + (h - g) * (budget - c) / (e - c) if c != e else max(g, h)
                for c, g in points
                for e, h in points
                if c <= budget <= e or (c == e and c <= budget)
            )
            one = form._replace(
                base=form.base[i : i + 1],
                gain=form.gain[i : i + 1],
                cost=form.cost[i : i + 1],
                radius=budget,
                starts=np.array([0, 1]),
            )
            multiplier, shares = greedy.solve(one)
            assert one.lower(shares) - one.base[0] == pytest.approx(best, abs=1e-12)
            assert one.upper(multiplier) - one.base[0] == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("gap", [0.0, 5e-324, 1e-300, 1e-17, 1e-12, 1e-8])
@each_loss
def test_margins_at_the_end_of_the_window(name: str, gap: float) -> None:
    xi = np.array([-1.0, -1.0 + gap, 0.5, 0.5 + gap, 2.0 - gap, 2.0])
    solution = worst(xi, radius=0.3, loss=LOSSES[name], window=(-1.0, 2.0))
    model = solution.model
    steepest = np.abs(as_curve(LOSSES[name]).slope(np.array([-1.0, 2.0]))).max()
    assert model.multiplier <= steepest
    assert np.isfinite(model.gradient).all()
    assert model.value == pytest.approx(on_a_grid(name, xi, 0.3, (-1.0, 2.0)), rel=1e-7)


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_scaling_the_line_scales_the_radius(scale: float) -> None:
    xi = margins()
    tent = cx.PiecewiseLinear(np.array(TENT.slopes) / scale, TENT.intercepts)
    near, far = (
        worst(s * xi, radius=0.3 * s, loss=loss, window=(s * WINDOW[0], s * WINDOW[1])).model
        for s, loss in ((1.0, TENT), (scale, tent))
    )
    assert far.value == pytest.approx(near.value, rel=1e-11)
    assert far.multiplier * scale == pytest.approx(near.multiplier, rel=1e-9)


def test_a_false_answer_is_repaired_and_does_not_pass() -> None:
    problem = cx.WorstCaseMargins(margins(), radius=0.3, window=WINDOW)
    best = cx.solve(problem).raise_for_status()
    greedy_plan = cx.solve(cx.WorstCaseMargins(margins(), radius=9.0, window=WINDOW)).dual
    certificate = problem.certify(best.primal, greedy_plan)
    assert certificate.bound <= best.objective
    assert not certificate.passes(1e-6)
    wild = best.dual._replace(choice=np.full((40, 2), -3.0))
    assert problem.certify(best.primal, wild).bound == pytest.approx(problem.form.base.mean())
    cheap = best.primal._replace(multiplier=np.array([-1.0]))
    assert problem.certify(cheap, best.dual).objective == np.inf
    dear = best.primal._replace(multiplier=best.primal.multiplier + 0.01)
    assert not problem.certify(dear, best.dual).passes(1e-6)


def outside() -> Array:
    xi = margins()
    xi[3] = 7.0
    return xi


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "axes": (r"margins must have 1 axes, got shape \(2, 2\)", {"margins": np.zeros((2, 2))}),
    "empty": (r"margins must not be empty, got shape \(0,\)", {"margins": []}),
    "nan": (r"margins must be finite, got nan at index \(1,\)", {"margins": [0.0, np.nan]}),
    "negative": ("radius must be finite and >= 0, got -1", {"radius": -1}),
    "text": ("radius must be finite and >= 0, got 'wide'", {"radius": "wide"}),
    "order": (r"window must be finite with a < b, got \(1, 0\)", {"window": (1, 0)}),
    "infinite": (r"window must be finite with a < b", {"window": (0, np.inf)}),
    "single": (r"window must be a pair of numbers \(a, b\), got 3", {"window": 3}),
    "outside": (
        r"window must hold every margin, got \(-4.0, 5.0\) and 7.0 at index 3",
        {"margins": outside()},
    ),
    "pieces": ("pieces must be an integer >= 1, got 0", {"pieces": 0}),
    "group": ("group must be an integer >= 1, got 2.5", {"group": 2.5}),
    "name": ("loss must be one of logistic, hinge, got 'squared'", {"loss": "squared"}),
    "kind": (r"loss must be one of .*pair of callables \(value, derivative\), got 3", {"loss": 3}),
    "one callable": ("loss must be one of .*pair of callables", {"loss": (np.abs,)}),
    "concave": (
        "loss must be convex: its derivative must not fall",
        {"loss": (lambda t: -np.square(t), lambda t: -2.0 * t)},
    ),
    "other derivative": (
        "loss must be convex: its value must rise as its derivative says",
        {"loss": (np.square, lambda t: 3.0 * t)},
    ),
    "not finite": (
        "loss must be finite: its value at .* is nan",
        {"loss": (lambda t: np.log(np.where(t > 0, t, np.nan)), np.sign)},
    ),
    "shape": (
        r"loss must be vectorised: its value has shape \(\)",
        {"loss": (np.sum, np.sign)},
    ),
    "unbounded": (
        "loss must have bounded slopes where window is None, got -inf at -inf and inf at inf",
        {"loss": PARABOLA, "window": None},
    ),
    "flat at infinity": (
        "loss must be convex: its derivative is 0.0 at -inf and 0.0 at inf, but from -1 to 1",
        {"loss": (np.abs, lambda t: np.where(np.isinf(t), 0.0, np.sign(t))), "window": None},
    ),
    "no asymptote": (
        "loss must tell its derivative at -inf and inf where window is None",
        {"loss": (root, lambda t: t / root(t)), "window": None},
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_named(case: str) -> None:
    match, changes = REFUSED[case]
    good: dict[str, Any] = {"margins": margins(), "radius": 0.1, "window": WINDOW}
    cx.WorstCaseMargins(**good)
    with pytest.raises(cx.ProblemError, match=match):
        cx.WorstCaseMargins(**(good | changes))


def test_steep_loss_on_the_line_is_allowed_at_radius_zero() -> None:
    xi = margins()
    assert worst(xi, radius=0.0, loss=PARABOLA).model.value == pytest.approx(np.mean(xi**2))


def test_convexity_probe_sees_a_single_dent() -> None:
    def dented(t: Array) -> Array:
        return np.where(t == 0.25, 10.0, t**2)

    points = np.linspace(-1.0, 1.0, 17)
    check_curve(as_curve(PARABOLA), points)
    with pytest.raises(cx.ProblemError, match="loss must be convex"):
        check_curve(as_curve((dented, lambda t: 2.0 * t)), points)


@pytest.mark.parametrize("seed", range(5))
def test_piecewise_linear_is_the_maximum_of_its_pieces(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal(9).round(1), rng.standard_normal(9).round(1)
    loss, t = cx.PiecewiseLinear(a, b), np.linspace(-8.0, 8.0, 1001)
    lines = a * t[:, None] + b
    np.testing.assert_allclose(loss.value(t), lines.max(axis=1), rtol=1e-13, atol=1e-13)
    at = np.isclose(lines, lines.max(axis=1, keepdims=True), rtol=0.0, atol=1e-12)
    assert np.all((at & (a == loss.derivative(t)[:, None])).any(axis=1))
    assert loss.derivative(np.array([-np.inf, np.inf])).tolist() == [a.min(), a.max()]


@pytest.mark.parametrize(
    ("slopes", "intercepts", "match"),
    [
        ([1.0, np.inf], [0.0, 0.0], r"slopes must be finite, got inf at index \(1,\)"),
        ([1.0], [0.0, 0.0], r"intercepts must have one entry per slope \(1\), got 2"),
        ([], [], "slopes must not be empty"),
    ],
)
def test_bad_pieces_are_named(slopes: Any, intercepts: Any, match: str) -> None:
    with pytest.raises(cx.ProblemError, match=match):
        cx.PiecewiseLinear(slopes, intercepts)


def test_tangents_touch_and_never_exceed_the_loss() -> None:
    pieces, t = cx.PiecewiseLinear.tangents("logistic", 6, (-3.0, 3.0)), np.linspace(-9.0, 9.0, 999)
    assert len(pieces) == 6
    excess = by_hand("logistic", t) - pieces.value(t)
    assert excess.min() >= -1e-15
    touch = np.linspace(-2.5, 2.5, 6)
    np.testing.assert_allclose(pieces.value(touch), by_hand("logistic", touch), rtol=1e-14)


@pytest.mark.parametrize("case", ["logistic", "logistic-line", "tent", "ssapo"])
@pytest.mark.parametrize("backend", ["greedy", "cvxpy:highs"])
def test_save_and_load(case: str, backend: str, tmp_path: Path) -> None:
    solution = cx.solve(cx.WorstCaseMargins(margins(), radius=0.2, **CASES[case]), backend)
    solution.save(tmp_path / "s.npz")
    again = cx.load(tmp_path / "s.npz")
    assert again.certificate == solution.certificate
    np.testing.assert_array_equal(again.model.weights, solution.model.weights)
    np.testing.assert_array_equal(again.model.atoms.mass, solution.model.atoms.mass)
    assert again.problem.window == solution.problem.window
    assert again.problem.pieces == solution.problem.pieces


def test_callables_are_not_saved(tmp_path: Path) -> None:
    solution = worst(margins(), radius=0.2, loss=ABSOLUTE, window=WINDOW)
    with pytest.raises(TypeError, match="a problem whose loss holds callables cannot be saved"):
        solution.save(tmp_path / "s.npz")
    assert not list(tmp_path.iterdir())

"""Narrow networks of one input: the dictionary, its norm, the network, the bound."""

from __future__ import annotations

from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.contract.program import CvxpyProgram
from convexnn.driver.choice import automatic
from convexnn.relu.bound import lower_bound
from convexnn.relu.forms import Dual, GroupForm
from convexnn.relu.narrow.dictionaries import Folds, Shaped, dictionary, normals

CLOSED = [("relu", 2), ("relu", 3), ("relu", 5), ("abs", 2), ("threshold", 2), ("sign", 2)]
KINDS = [*CLOSED, ("abs", 3), ("abs", 4)]
each = pytest.mark.parametrize(("activation", "layers"), KINDS)
closed = pytest.mark.parametrize(("activation", "layers"), CLOSED)
seeds = st.integers(0, 10**6)


def act(activation: str, t: Array) -> Array:
    if activation == "relu":
        return np.maximum(t, 0.0)
    if activation == "abs":
        return np.abs(t)
    return np.where(t >= 0.0, 1.0, 0.0 if activation == "threshold" else -1.0)


def points(rng: np.random.Generator, most: int) -> Array:
    """Draw increasing points; on a grid half of the time, so that mirror images are data."""
    count = int(rng.integers(2, most + 1))
    if rng.random() < 0.5:
        return np.sort(rng.choice(3 * most, count, replace=False)).astype(np.float64) - 4.0
    return np.sort(rng.normal(size=count))


def draw(seed: int, most: int = 8, **fields: Any) -> cx.UnivariateReluTraining:
    rng = np.random.default_rng(seed)
    x = rng.permutation(np.concatenate([points(rng, most), rng.integers(-3, 4, 3) + 0.5]))
    y = np.sin(2.0 * x) + 0.3 * rng.normal(size=len(x))
    if fields.get("loss") in ("logistic", "hinge"):
        y = np.where(y > np.median(y), 1.0, -1.0)
        y[:2] = 1.0, -1.0
    return cx.UnivariateReluTraining(x, y, **({"beta": 0.2} | fields))


@cache
def small(activation: str, layers: int) -> cx.UnivariateReluTraining:
    rng = np.random.default_rng(2)
    x = np.sort(rng.uniform(-2.0, 2.0, 9))
    y = np.sin(3.0 * x) + 0.1 * rng.normal(size=9)
    return cx.UnivariateReluTraining(x, y, beta=0.1, activation=activation, layers=layers)


# the dictionary


@settings(max_examples=15)
@given(seeds)
@each
def test_products_are_those_of_the_matrix(activation: str, layers: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    known = dictionary(points(rng, 5), activation, layers)
    A = known.matrix()
    assert A.shape == (len(known.knots), len(known))
    c, r = rng.normal(size=len(known)), rng.normal(size=len(A))
    np.testing.assert_allclose(known.forward(c), A @ c, atol=1e-11 * (1.0 + np.abs(c).sum()))
    np.testing.assert_allclose(known.adjoint(r), A.T @ r, atol=1e-12)
    some = rng.integers(0, len(known), 3)
    np.testing.assert_array_equal(known.columns(some), A[:, some])
    np.testing.assert_allclose(known.products(r, some), (A.T @ r)[some], atol=1e-12)
    top = np.max(np.abs(A.T @ r))
    assert top <= known.largest(r) <= top + 1e-11


@settings(max_examples=25)
@given(seeds)
@each
def test_no_chain_correlates_more_than_a_feature(activation: str, layers: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = points(rng, 6 if layers < 4 else 4)
    r = rng.normal(size=len(x))
    r -= np.mean(r)
    known = dictionary(x, activation, layers)
    span = x[-1] - x[0]
    h = np.tile(x[:, None], 4_000)
    for depth in range(layers - 1):
        start = x[0] if depth == 0 else 0.0
        shift = start + span * rng.uniform(-0.3, 1.3, h.shape[1])
        on_data = rng.random(h.shape[1]) < 0.7  # a neuron that switches at a point
        shift = np.where(on_data, h[rng.integers(0, len(x)), :], shift)
        h = act(activation, rng.choice([-1.0, 1.0], h.shape[1]) * (h - shift))
    limit = known.largest(r) * known.scale**known.degree
    assert np.max(np.abs(r @ h)) <= limit * (1.0 + 1e-9) + 1e-12


@settings(max_examples=15)
@given(seeds)
@each
def test_chains_are_the_features(activation: str, layers: int, seed: int) -> None:
    x = points(np.random.default_rng(seed), 5)
    known = dictionary(x, activation, layers)
    chains = known.chains(np.arange(len(known)))
    assert chains.signs.shape == chains.shifts.shape == (layers - 1, len(known))
    h = np.tile(x[:, None], len(known))
    for sign, shift in zip(chains.signs, chains.shifts, strict=True):
        h = act(activation, sign * (h - shift))
    np.testing.assert_allclose(h, known.matrix() * known.scale**known.degree, atol=1e-12)


def test_three_folds_are_mirror_images_and_midpoints() -> None:
    known = dictionary(np.array([0.0, 1.0, 3.0]), "abs", 3)
    assert isinstance(known, Folds)
    folds = known.scale * np.array([known.biases.sum(1), known.biases @ [1.0, -1.0]]).T
    zeros = {tuple(sorted(pair)) for pair in np.round(folds, 9)}
    mirrored = {(0.0, 6.0), (-1.0, 3.0), (-3.0, 3.0), (-1.0, 1.0), (0.0, 2.0), (3.0, -3.0)}
    expected = {tuple(sorted(pair)) for pair in mirrored} | {(0.0, 1.0), (0.0, 3.0), (1.0, 3.0)}
    single = {(0.0, 0.0), (1.0, 1.0)}
    assert zeros <= expected | single | {(3.0, 3.0), (-1.0, 3.0), (1.0, 5.0)}
    assert {(-1.0, 1.0), (0.0, 2.0), (0.0, 6.0), (-3.0, 3.0), (1.0, 5.0), (0.0, 1.0)} <= zeros
    assert abs(np.linalg.det(normals(3)[[0, 1, 3]])) == 1.0


@pytest.mark.parametrize("near", [False, True])
def test_no_three_layers_of_folds_correlate_more(near: bool) -> None:
    for seed in (119, *range(20)):
        rng = np.random.default_rng(seed)
        x = rng.random(int(rng.integers(2, 4)) if near else 7)
        if near:  # folds that count as one are allowed for
            close = [x + 10.0 ** rng.uniform(-14.5, -12.0, len(x)) for _ in range(2)]
            x = np.concatenate([x, *close])
        known = dictionary(np.unique(x), "abs", 3)
        t = known.knots
        r = rng.normal(size=len(t))
        r -= r.mean()
        pairs = list(product(t, repeat=2))
        folds = [(i, abs(j - i)) for i, j in pairs]
        folds += [((i + j) / 2.0, abs(j - i) / 2.0) for i, j in pairs]
        largest = max(abs(r @ np.abs(np.abs(t - first) - second)) for first, second in folds)
        assert largest <= known.largest(r)
        assert near or len(known) == 6 + 3 * 7 * 6 // 2  # alone, and at or between each two points


@settings(max_examples=25)
@given(seeds)
@closed
def test_norm_of_a_fit_is_the_least_over_the_dictionary(
    activation: str, layers: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    known = dictionary(points(rng, 7), activation, layers)
    assert isinstance(known, Shaped)
    A, v = known.matrix(), rng.normal(size=len(known.knots))
    if rng.random() < 0.5:
        v = known.forward(rng.normal(size=len(known)) * (rng.random(len(known)) < 0.3))
    n, P = A.shape
    equations = np.hstack([A, -A, np.ones((n, 1)), -np.ones((n, 1))])
    cost = np.r_[np.ones(2 * P), 0.0, 0.0]
    least = float(linprog(cost, A_eq=equations, b_eq=v, bounds=(0.0, None)).fun or 0.0)
    c = known.coefficients(v, known.slopes(v))
    size = 1.0 + np.abs(v).max() / known.gaps.min()
    assert np.ptp(A @ c - v) <= 1e-10 * size
    assert abs(np.abs(c).sum() - least) <= 1e-7 * size
    formula: Any = known.norm(cp.Constant(v), cp.Constant(known.slopes(v)))
    assert abs(float(formula.value) - least) <= 1e-7 * size


# the program and its network


def objective_by_hand(problem: cx.UnivariateReluTraining, model: cx.NarrowNetwork) -> float:
    z = model.decision_function(problem.x)
    loss = float(np.sum(problem.loss.value(z, problem.labels.targets)))
    if model.amplitude is not None:
        size = 0.5 * float(np.sum(model.amplitude**2) + np.sum(model.weights[-1] ** 2))
    else:
        size = float(np.sum(np.abs(model.weights) ** problem.layers)) / problem.layers
    return loss + problem.beta * size


@pytest.mark.parametrize("loss", ["squared", "logistic", "hinge", "huber"])
@each
def test_network_costs_what_the_program_says(activation: str, layers: int, loss: str) -> None:
    problem = draw(5, activation=activation, layers=layers, loss=loss)
    solution = cx.solve(problem, "admm", tol=1e-4)
    by_hand = objective_by_hand(problem, solution.model)
    assert abs(by_hand - solution.objective) <= 1e-10 * max(1.0, abs(by_hand))
    assert solution.status is cx.Status.OPTIMAL
    assert solution.certificate.scope == "all networks"


@settings(max_examples=4)
@given(seeds)
@each
def test_engines_agree_with_the_features_written_out(
    activation: str, layers: int, seed: int
) -> None:
    problem = draw(seed, 6, activation=activation, layers=layers)
    A, y = problem.features(), problem.y
    c, b = cp.Variable(A.shape[1]), cp.Variable()
    objective = 0.5 * cp.sum_squares(A @ c + b - y) + problem.beta * cp.norm1(c)
    best = cp.Problem(cp.Minimize(objective)).solve(solver="CLARABEL")
    for backend in ("ipm", "cvxpy:clarabel"):
        solution = cx.solve(problem, backend, tol=1e-6)
        assert solution.status is cx.Status.OPTIMAL
        assert abs(solution.objective - best) <= 2e-6 * max(1.0, best)
        assert solution.bound <= best + 1e-7 * max(1.0, best)
        assert abs(objective_by_hand(problem, solution.model) - solution.objective) <= 1e-10


@settings(max_examples=20)
@given(seeds)
@each
def test_no_guess_bounds_too_high(activation: str, layers: int, seed: int) -> None:
    problem = small(activation, layers)
    best = solved(activation, layers)
    rng = np.random.default_rng(seed)
    mu = best.dual.mu + rng.normal(size=9) * 10.0 ** rng.uniform(-9.0, 1.0)
    bound = problem.certify(best.primal, Dual(mu)).bound
    assert bound <= best.objective * (1.0 + 1e-12)
    form = problem.canonical(GroupForm)
    listed = lower_bound(form, Dual(mu))
    assert abs(bound - listed) <= 1e-9


def test_the_constant_at_hand_says_nothing_of_the_bound() -> None:
    best = solved("relu", 2)
    problem, mu = best.problem, best.dual.mu + 0.1
    far = best.primal._replace(skip=np.array([1e14]))
    assert problem.certify(far, Dual(mu)).bound == problem.certify(best.primal, Dual(mu)).bound


@cache
def solved(activation: str, layers: int) -> cx.Solution:
    solution = cx.solve(small(activation, layers), "ipm", tol=1e-8)
    assert solution.status is cx.Status.OPTIMAL
    return solution


def local(problem: cx.UnivariateReluTraining, width: int, rng: np.random.Generator) -> float:
    """Return where L-BFGS ends on the networks' own objective, from a random start."""
    L, kind = problem.layers, problem.activation
    shape = (L, width)

    def value(theta: Array) -> tuple[float, Array]:
        W, B = theta[: L * width].reshape(shape), theta[L * width : -1].reshape(L - 1, width)
        hidden, inputs = [np.tile(problem.x[:, None], width)], []
        for w, b in zip(W[:-1], B, strict=True):
            inputs.append(hidden[-1] * w + b)
            hidden.append(act(kind, inputs[-1]))
        residual = hidden[-1] @ W[-1] + theta[-1] - problem.y
        penalty = problem.beta / L * np.sum(np.abs(W) ** L)
        dW = problem.beta * np.abs(W) ** (L - 1) * np.sign(W)
        dB = np.zeros_like(B)
        dW[-1] += hidden[-1].T @ residual
        back = residual[:, None] * W[-1]
        for k in range(L - 2, -1, -1):
            back = back * (np.sign(inputs[k]) if kind == "abs" else inputs[k] > 0.0)
            dW[k] += np.sum(back * hidden[k], axis=0)
            dB[k] = np.sum(back, axis=0)
            back = back * W[k]
        gradient = np.r_[dW.ravel(), dB.ravel(), residual.sum()]
        return 0.5 * float(residual @ residual) + float(penalty), gradient

    start = rng.normal(size=L * width + (L - 1) * width + 1)
    return float(minimize(value, start, jac=True, method="L-BFGS-B", options={"maxiter": 800}).fun)


@pytest.mark.parametrize(
    ("activation", "layers"), [("relu", 2), ("relu", 3), ("relu", 4), ("abs", 2), ("abs", 3)]
)
def test_local_search_never_goes_below_and_comes_near(activation: str, layers: int) -> None:
    problem, best = small(activation, layers), solved(activation, layers)
    rng = np.random.default_rng(0)
    found = [local(problem, 12, rng) for _ in range(12)]
    assert min(found) >= best.bound
    assert min(found) <= 1.25 * best.objective


def test_layers_help_until_they_do_not() -> None:
    worth = {kind: solved(*kind).objective for kind in KINDS}
    assert worth["relu", 3] < worth["relu", 2] - 1e-3
    assert worth["relu", 5] == pytest.approx(worth["relu", 3], rel=1e-7)
    assert worth["abs", 3] < worth["abs", 2] - 1e-3
    assert worth["abs", 4] <= worth["abs", 3] * (1.0 + 1e-7)
    assert worth["sign", 2] < worth["threshold", 2]


@pytest.mark.parametrize("seed", [0, 1])
def test_published_features_of_four_layers_add_nothing_to_ramps(seed: int) -> None:
    """Those of Zeger et al. 2024, whose first neuron may switch at a mirror image."""
    rng = np.random.default_rng(seed)
    x, y = np.sort(rng.choice(12, 5, replace=False)).astype(np.float64), rng.normal(size=5)
    columns = []
    for signs in product((1.0, -1.0), repeat=3):
        for first, second, third in product(x, repeat=3):
            for start in (first, 2.0 * second - first):
                h = act("relu", signs[0] * (np.r_[second, third, x] - start))
                h = act("relu", signs[1] * (h[1:] - h[0]))  # switches at the second point
                columns.append(act("relu", signs[2] * (h[1:] - h[0])))
    A = np.array(columns).T
    c, b = cp.Variable(A.shape[1]), cp.Variable()
    objective = 0.5 * cp.sum_squares(A @ c + b - y) + 0.05 * cp.norm1(c)
    best = float(cp.Problem(cp.Minimize(objective)).solve(solver="CLARABEL"))
    ours = cx.solve(cx.UnivariateReluTraining(x, y, beta=0.05, layers=4), tol=1e-8)
    assert ours.objective == pytest.approx(best, rel=1e-6)


@each
def test_order_and_shape_of_the_inputs_do_not_matter(activation: str, layers: int) -> None:
    problem = small(activation, layers)
    order = np.random.default_rng(0).permutation(9)
    mixed = cx.UnivariateReluTraining(
        problem.x[order][:, None],
        problem.y[order],
        beta=problem.beta,
        activation=activation,
        layers=layers,
    )
    assert cx.solve(mixed, "ipm", tol=1e-8).objective == pytest.approx(
        solved(activation, layers).objective, rel=1e-7
    )


@each
def test_equal_inputs_weigh_double(activation: str, layers: int) -> None:
    problem = small(activation, layers)
    twice = cx.UnivariateReluTraining(
        np.tile(problem.x, 2),
        np.tile(problem.y, 2),
        beta=2.0 * problem.beta,
        activation=activation,
        layers=layers,
    )
    assert len(twice.dictionary) == len(problem.dictionary)
    best = cx.solve(twice, "ipm", tol=1e-8)
    assert best.objective == pytest.approx(2.0 * solved(activation, layers).objective, rel=1e-7)


@pytest.mark.parametrize("factor", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("shift", [0.0, 1e3])
@each
def test_units_of_the_input_go_into_beta(
    activation: str, layers: int, factor: float, shift: float
) -> None:
    problem = small(activation, layers)
    steps = activation in ("threshold", "sign")
    moved = cx.UnivariateReluTraining(
        factor * (problem.x + shift),
        problem.y,
        beta=problem.beta * (1.0 if steps else factor),
        activation=activation,
        layers=layers,
    )
    solution = cx.solve(moved, "ipm", tol=1e-7)
    assert solution.objective == pytest.approx(solved(activation, layers).objective, rel=1e-6)
    by_hand = objective_by_hand(moved, solution.model)
    assert by_hand == pytest.approx(solution.objective, rel=1e-9)


@closed
def test_two_points_suffice(activation: str, layers: int) -> None:
    problem = cx.UnivariateReluTraining(
        [3.0, 1.0], [2.0, -2.0], beta=0.1, activation=activation, layers=layers
    )
    assert len(problem.dictionary) == 1
    height = float(np.ptp(problem.features()))
    # min over t of (4 - height t)^2 / 4 + beta t, the offset in the middle
    t = max(0.0, (4.0 - 2.0 * 0.1 / height) / height)
    expected = 0.25 * (4.0 - height * t) ** 2 + 0.1 * t
    for backend in ("ipm", "cvxpy:clarabel"):
        assert cx.solve(problem, backend, tol=1e-8).objective == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("loss", ["squared", "huber"])
@closed
def test_almost_equal_inputs_do_no_harm(activation: str, layers: int, loss: str) -> None:
    x = np.array([0.0, 1.0, 1.0 + 1e-12, 2.0, 3.0 - 1e-15, 3.0, 5.0])
    y = np.array([0.0, 1.0, 1.2, 0.0, 2.0, 2.2, 1.0])
    problem = cx.UnivariateReluTraining(
        x, y, beta=0.1, activation=activation, layers=layers, loss=loss
    )
    found = [cx.solve(problem, backend, tol=1e-6) for backend in ("ipm", "cvxpy:clarabel")]
    for solution in found:
        assert solution.status is cx.Status.OPTIMAL
        by_hand = objective_by_hand(problem, solution.model)
        assert by_hand == pytest.approx(solution.objective, rel=1e-9)


def test_a_jump_between_neighbouring_floats_is_kept() -> None:
    x = np.array([1.0, np.nextafter(1.0, 2.0), 2.0])
    y = np.array([0.0, 5.0, 5.0])
    problem = cx.UnivariateReluTraining(x, y, beta=1e-3, activation="threshold")
    solution = cx.solve(problem)
    np.testing.assert_allclose(solution.model.predict(x), y, atol=1e-2)
    assert objective_by_hand(problem, solution.model) == pytest.approx(solution.objective)


@each
def test_a_large_beta_leaves_the_mean(activation: str, layers: int) -> None:
    problem = small(activation, layers)
    heavy = cx.UnivariateReluTraining(
        problem.x, problem.y, beta=1e4, activation=activation, layers=layers
    )
    for backend in ("admm", "cvxpy:clarabel"):
        solution = cx.solve(heavy, backend)
        assert solution.status is cx.Status.OPTIMAL
        model = solution.model
        assert len(model) == len(model.knots) == 0
        np.testing.assert_allclose(model.predict([-9.0, 0.0]), np.mean(problem.y), atol=1e-3)


def test_labels_come_back() -> None:
    x = np.linspace(-1.0, 1.0, 12)
    y = np.where(np.abs(x) < 0.5, "in", "out")
    model = cx.solve(cx.UnivariateReluTraining(x, y, beta=0.01, loss="hinge")).model
    assert (model.predict(x) == y).all()


@each
def test_knots_are_where_the_network_bends_or_jumps(activation: str, layers: int) -> None:
    model = solved(activation, layers).model
    knots = model.knots
    assert (np.diff(knots) > 0.0).all()
    inside = np.concatenate([[knots[0] - 1.0], knots, [knots[-1] + 1.0]])
    left, width = inside[:-1], np.diff(inside)
    thirds = model.predict((left[:, None] + width[:, None] * [0.02, 0.5, 0.98]).ravel())
    first, middle, last = thirds.reshape(-1, 3).T
    np.testing.assert_allclose(middle, 0.5 * (first + last), atol=1e-9)  # linear in between


@pytest.mark.parametrize(("factor", "shift"), [(1e-20, 0.0), (1e9, 0.0), (1.0, 1e6), (1e-3, 1e6)])
@each
def test_knots_have_the_units_of_the_input(
    activation: str, layers: int, factor: float, shift: float
) -> None:
    moved = (solved(activation, layers).problem.x * factor) + shift
    beta = 0.1 * (1.0 if activation in ("threshold", "sign") else factor)
    y = solved(activation, layers).problem.y
    known: dict[str, Any] = {"activation": activation, "layers": layers}
    near = cx.UnivariateReluTraining((moved - shift) / factor, y, beta=0.1, **known)
    far = cx.UnivariateReluTraining(moved, y, beta=beta, **known)
    best = solved(activation, layers).primal
    knots, again = near.build_model(best).knots, far.build_model(best).knots
    assert len(knots) == len(again)
    np.testing.assert_allclose(
        (again - shift) / factor, knots, rtol=1e-9, atol=2.0**-51 * shift / factor
    )


def test_a_chain_may_be_constant_or_a_step_of_a_step() -> None:
    dead = cx.NarrowNetwork(np.array([[0.0], [1.0]]), np.array([[1.0]]), 0.0, "relu")
    assert len(dead.knots) == 0
    bent = cx.NarrowNetwork(np.array([[1.0], [-2.0], [1.0]]), np.array([[0.0], [4.0]]), 0.0, "relu")
    np.testing.assert_array_equal(bent.knots, [0.0, 2.0])
    folded = cx.NarrowNetwork(
        np.array([[2.0], [1.0], [1.0]]), np.array([[0.0], [-4.0]]), 0.0, "abs"
    )
    np.testing.assert_array_equal(folded.knots, [-2.0, 0.0, 2.0])


@pytest.mark.parametrize(("span", "place"), [(1e-3, 1e6), (1e-8, -1e3), (10.0, 1e12)])
@each
def test_far_from_zero_the_network_costs_what_the_program_says(
    activation: str, layers: int, span: float, place: float, tmp_path: Path
) -> None:
    rng = np.random.default_rng(3)
    x = place + span * rng.random(9)
    beta = 0.01 * (1.0 if activation in ("threshold", "sign") else span)
    problem = cx.UnivariateReluTraining(
        x, np.sin(9.0 * (x - place) / span), beta=beta, activation=activation, layers=layers
    )
    c = rng.normal(size=len(problem.dictionary)) * (rng.random(len(problem.dictionary)) < 0.5)
    primal = problem._neurons(c, 0.3)
    network = problem.build_model(primal)
    assert objective_by_hand(problem, network) == pytest.approx(problem.objective(primal), rel=1e-9)
    assert network.origin == np.min(x)
    h = np.tile(x[:, None] - network.origin, len(network))
    for w, b in zip(network.weights[:-1], network.biases, strict=True):
        h = act(activation, h * w + b)
    h = h if network.amplitude is None else h * network.amplitude
    np.testing.assert_array_equal(h @ network.weights[-1] + network.offset, network.predict(x))
    network.save(tmp_path / "network.npz")
    again = cx.NarrowNetwork.load(tmp_path / "network.npz")
    np.testing.assert_array_equal(again.predict(x), network.predict(x))


# forms, sizes, files


def test_thousands_of_points_need_no_matrix() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-3.0, 3.0, 3_000)
    y = np.sin(2.0 * x) + 0.3 * rng.normal(size=3_000)
    problem = cx.UnivariateReluTraining(x, y, beta=5.0)
    before = cx.memory_limit()
    cx.memory_limit(0.1)
    try:
        assert {"admm", "ipm", "fista"} & set(cx.backends(problem).names) == set()
        assert automatic(problem) == "cvxpy:clarabel"
        solution = cx.solve(problem)
    finally:
        cx.memory_limit(before)
    assert solution.status is cx.Status.OPTIMAL
    assert len(solution.model) < 100


@pytest.mark.parametrize("loss", ["squared", "hinge"])
@each
def test_a_network_has_no_more_chains_than_it_needs(
    activation: str, layers: int, loss: str
) -> None:
    problem = draw(8, activation=activation, layers=layers, loss=loss)
    A, rng = problem.dictionary.matrix(), np.random.default_rng(0)
    primal = problem._neurons(rng.normal(size=len(A.T)), 0.5)
    lighter = problem.prune(primal)
    assert np.count_nonzero(lighter.V) <= np.linalg.matrix_rank(A - A.mean(axis=0)) + 1
    assert np.abs(lighter.V).sum() == pytest.approx(np.abs(primal.V).sum(), rel=1e-12)
    np.testing.assert_allclose(problem._fit(lighter)[0], problem._fit(primal)[0], atol=1e-10)
    chains = len(cx.solve(problem, "ipm", tol=1e-4).model)
    assert chains <= len(problem.dictionary.knots)


def test_a_wide_dictionary_goes_to_interior_point() -> None:
    problem = small("abs", 4)
    assert automatic(problem) == "ipm"
    assert cx.solve(problem).status is cx.Status.OPTIMAL


@closed
def test_formula_has_the_entries_that_its_size_says(activation: str, layers: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=60)
    problem = cx.UnivariateReluTraining(x, x, beta=0.1, activation=activation, layers=layers)
    entries = problem.to_cvxpy().problem.get_problem_data("CLARABEL")[0]["A"].nnz
    size = problem.size(CvxpyProgram)
    assert 0.5 * size.n * size.weights < entries < 1.5 * size.n * size.weights
    size, form = problem.size(GroupForm), problem.canonical(GroupForm)
    assert (size.n, size.d, size.patterns) == (*form.X.shape, form.blocks)


@each
def test_a_solution_and_its_network_survive_a_file(
    activation: str, layers: int, tmp_path: Path
) -> None:
    solution = solved(activation, layers)
    solution.save(tmp_path / "solution.npz")
    again = cx.load(tmp_path / "solution.npz")
    assert again.objective == solution.objective
    grid = np.linspace(-3.0, 3.0, 40)
    np.testing.assert_array_equal(again.model.predict(grid), solution.model.predict(grid))
    solution.model.save(tmp_path / "network.npz")
    network = cx.NarrowNetwork.load(tmp_path / "network.npz")
    np.testing.assert_array_equal(network.predict(grid), solution.model.predict(grid))
    assert repr(network) == repr(solution.model)


def test_warm_start_takes_a_neighbour() -> None:
    first = solved("relu", 3)
    near = cx.UnivariateReluTraining(
        first.problem.x, first.problem.y, beta=0.11, activation="relu", layers=3
    )
    assert cx.solve(near, "admm", start=first).status is cx.Status.OPTIMAL


# bad input


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"x": [[1.0, 2.0], [3.0, 4.0]]}, r"x must have one column, got shape \(2, 2\)"),
        ({"x": [1.0, np.nan, 2.0]}, r"x must be finite, got nan at index \(1,\)"),
        ({"x": [1.0, np.inf, 2.0]}, r"x must be finite, got inf at index \(1,\)"),
        ({"x": [2.0, 2.0, 2.0]}, "x must have two different entries, got only 2.0"),
        ({"x": [-1.7e308, 0.0, 1.7e308]}, "x must have entries of size at most 1e[+]150"),
        ({"x": 1.0}, r"x must have 1 axes, got shape \(\)"),
        ({"x": []}, "x must not be empty"),
        ({"x": [[1.0], [2.0, 3.0]]}, "x must be a rectangular array"),
        (
            {"x": np.ma.array([1.0, 2.0, 3.0], mask=[False, True, False])},
            "x must have no masked entries",
        ),
        ({"x": [1j, 2.0, 3.0]}, "x must hold real numbers, got dtype complex"),
        ({"x": ["a", "b", "c"]}, "x must hold real numbers"),
        ({"y": [1.0, 2.0]}, r"y must have one entry per entry of x \(3\), got 2"),
        ({"y": [1.0, np.nan, 2.0]}, "y has 1 missing of 3, in row 1"),
        ({"y": [1.0, 1.0, 1.0], "loss": "hinge"}, "y must have exactly two classes"),
        ({"beta": 0.0}, "beta must be finite and > 0, got 0.0"),
        ({"beta": -1.0}, "beta must be finite and > 0"),
        ({"beta": np.inf}, "beta must be finite and > 0"),
        ({"loss": "cubic"}, "loss must be"),
        ({"loss": "softmax"}, "loss must be one of squared, .*, got 'softmax'"),
        ({"activation": "tanh"}, "activation must be one of relu, abs, threshold, sign, got"),
        ({"layers": 1}, "layers must be >= 2"),
        ({"layers": 2.0}, "layers must be an integer >= 1"),
        ({"layers": 3, "activation": "sign"}, "layers must be 2 for activation 'sign'.*got 3"),
        ({"layers": 9, "activation": "abs"}, "layers must leave at most 2,000,000 candidates"),
        ({"layers": 10**9, "activation": "abs"}, "layers must leave .*, got 1000000000 with 3"),
    ],
)
def test_what_is_wrong_is_said(changes: dict[str, Any], said: str) -> None:
    fields: dict[str, Any] = {"x": [1.0, 2.0, 4.0], "y": [0.0, 1.0, 0.0], "beta": 1.0} | changes
    with pytest.raises(cx.ProblemError, match=said):
        cx.UnivariateReluTraining(fields.pop("x"), fields.pop("y"), **fields)


def test_a_network_takes_points_on_the_line_only() -> None:
    model = solved("relu", 2).model
    with pytest.raises(cx.ProblemError, match="X must have one column"):
        model.predict(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="NarrowNetwork"):
        cx.NarrowNetwork.load(__file__)


@pytest.mark.parametrize("unit", [1.0, 1e3, 1e9])
def test_dates_are_fitted_in_any_units(unit: float) -> None:
    rng = np.random.default_rng(0)
    days = np.sort(rng.uniform(0.0, 365.0, 60))
    y = np.sin(days / 60.0) + 0.1 * rng.standard_normal(60)
    dates = (1.6e9 + 86_400.0 * days) * unit
    problem = cx.UnivariateReluTraining(dates, y, beta=0.01)
    solution = cx.solve(problem)
    assert solution.status is cx.Status.OPTIMAL, solution.message
    assert np.max(np.abs(solution.model.predict(dates) - y)) < 1e-2  # the penalty is slight
    assert ("larger units" in solution.message) == (unit == 1e9)

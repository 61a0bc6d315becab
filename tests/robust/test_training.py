"""Robust training: what its programs majorise, their bounds, the engines, and hard input."""

from __future__ import annotations

import warnings
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.datasets import make_moons

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.functions.norms import DUAL, NORMS
from convexnn.problems.robust.formula import robust_formula
from convexnn.relu.forms import Neurons
from convexnn.robust.bound import robust_bound
from convexnn.robust.forms import RobustDual, RobustForm, RobustNetworkForm
from convexnn.robust.pattern_radii import Separation
from convexnn.solvers.robust.admm import RELAX, State, step
from convexnn.solvers.robust.admm_prox import prox_examples, prox_neurons

LOSSES = ("hinge", "logistic", "squared")
BALLS = ("linf", "l2", "l1")
FORMULATIONS = ("majorant", "cones")
SLACK = 1e-6  # allowed for the inaccuracy of the interior-point solver

each_loss = pytest.mark.parametrize("loss", LOSSES)
each_ball = pytest.mark.parametrize("ball", BALLS)
each_formulation = pytest.mark.parametrize("formulation", FORMULATIONS)


def data(loss: str, n: int = 14, d: int = 3, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    z = 2.0 * np.maximum(X[:, 0], 0.0) - X[:, -1]
    if loss == "squared":
        return X, z
    y = np.where(z > np.median(z), 1.0, -1.0)
    y[:2] = [1.0, -1.0]
    return X, y


def declared(of: str, ball: str = "linf", **changes: Any) -> cx.RobustReluTraining:
    X, y = data(of)
    options: dict[str, Any] = {"beta": 0.1, "radius": 0.05, "patterns": 20}
    options |= {"loss": of, "norm": ball}
    return cx.RobustReluTraining(X, y, **(options | changes))


def form_of(problem: cx.RobustReluTraining) -> RobustForm:
    form = problem.canonical(RobustForm)
    assert isinstance(form, RobustForm)
    return form


@cache
def interior_point(
    loss: str, ball: str, formulation: str, bias: bool = False
) -> tuple[cx.RobustReluTraining, float, Neurons, RobustDual]:
    problem = declared(loss, ball, formulation=formulation, bias=bias)
    program = problem.to_cvxpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program.problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-9, tol_gap_rel=1e-9, tol_feas=1e-9)
    return problem, float(program.problem.value), *program.points()


def vertices(ball: str, d: int, count: int = 400) -> Array:
    """Points of the unit ball, its corners among them where it has any; else so many."""
    rng = np.random.default_rng(1)
    if ball == "linf":
        return np.array(list(product((-1.0, 1.0), repeat=d)))
    if ball == "l1":
        return np.vstack([np.eye(d), -np.eye(d)])
    inside = rng.standard_normal((count, d))
    on_sphere: Array = inside / np.linalg.norm(inside, axis=1, keepdims=True)
    return on_sphere


def grid(ball: str, d: int) -> Array:
    """A grid over the unit ball, its corners with it."""
    points = np.array(list(product(np.linspace(-1.0, 1.0, 9), repeat=d)))
    size = NORMS[ball].value(points)
    return np.vstack([points[size <= 1.0], vertices(ball, d)])


def losses(loss: str, z: Array, y: float) -> Array:
    if loss == "hinge":
        return np.maximum(0.0, 1.0 - y * z)
    if loss == "logistic":
        return np.logaddexp(0.0, -y * z)
    return 0.5 * (z - y) ** 2


def penalty(model: cx.TwoLayerNetwork, beta: float) -> float:
    first = np.vstack([model.U, model.bias])
    return 0.5 * beta * float(np.sum(first**2) + np.sum(model.alpha**2))


def worst_case(problem: cx.RobustReluTraining, model: cx.TwoLayerNetwork, points: Array) -> float:
    """The largest loss over these perturbations of each example, and the penalty."""
    assert isinstance(problem.loss, object)
    total = penalty(model, problem.beta)
    name = str(getattr(problem.loss, "name", problem.loss))
    for x, y in zip(problem.X, problem.labels.targets, strict=True):
        z = model.decision_function(x + problem.radius * points)
        total += float(np.max(losses(name, np.ravel(z), float(y))))
    return total


def along_slopes(problem: cx.RobustReluTraining, model: cx.TwoLayerNetwork) -> Array:
    """Unit steps of the l2 ball along the output's slope at each example, both ways."""
    active = problem.X @ model.U + model.bias > 0.0
    slopes = active @ (model.U * model.alpha[:, 0]).T
    size = np.linalg.norm(slopes, axis=1, keepdims=True)
    unit = slopes / np.where(size > 0.0, size, 1.0)
    return np.vstack([unit, -unit])


# what the programs majorise


@each_loss
@each_ball
@each_formulation
@pytest.mark.parametrize("bias", [False, True])
def test_objective_is_an_upper_bound_of_the_worst_case_and_exact_in_the_cones(
    loss: str, ball: str, formulation: str, bias: bool
) -> None:
    problem, value, primal, dual = interior_point(loss, ball, formulation, bias)
    primal = problem.prune(primal)
    model = problem.build_model(primal)
    points = grid(ball, problem.X.shape[1])
    if ball == "l2":
        points = np.vstack([points, along_slopes(problem, model)])
    by_hand = worst_case(problem, model, points)
    certificate = problem.certify(primal, dual)
    assert by_hand <= certificate.objective * (1.0 + 1e-9)
    assert certificate.objective == pytest.approx(value, rel=1e-5)
    if formulation == "cones":
        assert certificate.violation <= 1e-6
        assert by_hand == pytest.approx(certificate.objective, rel=1e-5)


@each_loss
@each_ball
def test_majorant_is_never_above_the_cones_over_the_same_patterns(loss: str, ball: str) -> None:
    majorant = interior_point(loss, ball, "majorant")[1]
    cones = interior_point(loss, ball, "cones")[1]
    assert majorant <= cones * (1.0 + SLACK)
    assert majorant < cones * 0.999 or loss == "squared"


def random_form(seed: int, *, fractional: bool = True, cones: bool = False) -> RobustForm:
    rng = np.random.default_rng(seed)
    n, d, m = int(rng.integers(2, 7)), int(rng.integers(1, 4)), int(rng.integers(1, 6))
    loss, ball = LOSSES[rng.integers(3)], BALLS[rng.integers(3)]
    moved = rng.random(d) < 0.8
    slopes = rng.random((n, m)) if fractional else np.zeros((n, m))
    slopes = np.where(rng.random((n, m)) < 0.6, np.round(rng.random((n, m))), slopes)
    X = rng.standard_normal((n, d))
    y = rng.choice([-1.0, 1.0], n) if loss != "squared" else rng.standard_normal(n)
    added = int(rng.integers(0, m + 1))
    problem_loss = declared(loss).canonical(RobustForm).loss
    radius = float(rng.choice([0.0, 0.1, 0.5]))
    return RobustForm(
        X, y, slopes, added, problem_loss, 0.3, radius, ball, np.asarray(moved), cones
    )


def random_network(form: RobustForm, rng: np.random.Generator) -> Neurons:
    d = form.X.shape[1]
    V = rng.standard_normal((d, form.added))
    W = rng.standard_normal((d, form.blocks - form.added))
    return Neurons(V, W, np.zeros(d))


def outputs(neurons: Neurons, points: Array) -> Array:
    V, W = points @ neurons.V, points @ neurons.W
    result: Array = np.maximum(V, 0.0).sum(axis=1) - np.maximum(W, 0.0).sum(axis=1)
    return result


@settings(max_examples=60)
@given(st.integers(0, 10**6))
def test_any_slopes_bound_the_output_over_every_ball(seed: int) -> None:
    form = random_form(seed)
    neurons = random_network(form, np.random.default_rng(seed + 1))
    low, up = form.bounds(neurons)
    touching = RobustNetworkForm(form).touching(neurons)
    near_low, near_up = touching.bounds(neurons)
    steps = form.radius * grid(form.ball, form.X.shape[1]) * form.moved
    for k, x in enumerate(form.X):
        z = outputs(neurons, x + steps)
        room = 1e-12 * (1.0 + np.max(np.abs(z)))
        assert low[k] <= np.min(z) + room
        assert np.max(z) <= up[k] + room
        assert near_low[k] <= np.min(z) + room
        assert np.max(z) <= near_up[k] + room


@settings(max_examples=60)
@given(st.integers(0, 10**6))
def test_touching_slopes_are_at_least_as_good_as_the_chords_with_own_patterns(seed: int) -> None:
    form = random_form(seed)
    if not form.loss.classification:
        return
    neurons = random_network(form, np.random.default_rng(seed + 1))
    weights = np.hstack([neurons.V, neurons.W])
    a, r = form.X @ weights, form.reach(weights.T)
    with np.errstate(invalid="ignore", divide="ignore"):
        chords = np.clip(np.where(r > 0.0, (a + r) / (2.0 * r), a > 0.0), 0.0, 1.0)
    helps = (form.signs > 0.0) == (form.y > 0.0)[:, None]
    own = form._replace(slopes=np.where(helps, np.where(a > 0.0, 1.0, 0.0), chords))
    touching = RobustNetworkForm(form).touching(neurons)
    assert touching.objective(neurons) <= own.objective(neurons) * (1.0 + 1e-9)


# bounds


@settings(max_examples=80)
@given(st.integers(0, 10**6))
def test_no_dual_guess_bounds_above_the_value_of_any_network(seed: int) -> None:
    rng = np.random.default_rng(seed)
    form = random_form(seed)
    n, d = form.X.shape
    scale = 10.0 ** rng.uniform(-2.0, 1.0)
    shape = (n, form.blocks)
    dual = RobustDual(
        scale * rng.standard_normal(n),
        np.abs(rng.standard_normal(n)) * scale,
        rng.standard_normal((n, d)),
        scale * rng.standard_normal(shape),
        scale * rng.standard_normal(shape),
    )
    bound = robust_bound(form, dual)
    for shrink in (0.0, 0.01, 0.1, 1.0):
        found = random_network(form, rng)
        network = Neurons(shrink * found.V, shrink * found.W, found.skip)
        assert bound <= form.objective(network) * (1.0 + 1e-12)


@each_loss
@each_ball
@each_formulation
def test_bound_of_the_interior_points_dual_is_tight_and_never_above(
    loss: str, ball: str, formulation: str
) -> None:
    problem, value, _, dual = interior_point(loss, ball, formulation)
    form = form_of(problem)
    bound = robust_bound(form, dual)
    assert bound <= value * (1.0 + SLACK)
    assert bound >= value * (1.0 - 1e-5)
    rng = np.random.default_rng(2)
    for size in (1e-3, 1e-1, 1.0, 30.0):
        shaken = RobustDual(
            dual.mu * (1.0 + size * rng.standard_normal(len(dual.mu))),
            dual.common,
            dual.attack * (1.0 + size),
            dual.left + size * rng.random(dual.left.shape),
            dual.right * (1.0 + size),
        )
        assert robust_bound(form, shaken) <= value * (1.0 + SLACK)


@each_loss
@each_ball
def test_attacks_outside_the_ball_and_multipliers_of_cones_are_drawn_in(
    loss: str, ball: str
) -> None:
    """What proves more of a stricter program must not prove it of this one."""
    patterns = cx.sample_patterns(data(loss)[0], 12)
    wanted = declared(loss, ball, patterns=patterns)
    optimum = cx.solve(wanted, "cvxpy:clarabel").objective
    form = form_of(wanted)
    stricter: list[dict[str, Any]] = [{"radius": 0.15}, {"beta": 0.3}]
    for changes in stricter:
        other = cx.solve(declared(loss, ball, patterns=patterns, **changes), "cvxpy:clarabel")
        assert other.bound > 1.01 * optimum
        assert robust_bound(form, other.dual) <= optimum * (1.0 + SLACK)
    hard = form._replace(cones=True)
    program = robust_formula(hard, wanted.needs())
    program.problem.solve(solver=cp.CLARABEL)
    _, dual = program.points()
    assert robust_bound(hard, dual) > 1.001 * optimum
    assert robust_bound(form, dual) <= optimum * (1.0 + SLACK)


@each_ball
def test_attacked_examples_stay_in_their_balls_whatever_rounding_does(ball: str) -> None:
    X, y = data("hinge")
    problem = cx.RobustReluTraining(X + 1e8, y, beta=0.1, radius=1e-7, norm=ball, bias=True)
    search = problem.canonical(RobustNetworkForm)
    attack = np.random.default_rng(7).standard_normal(search.X.shape)
    moved = search.attacked(attack).X - search.X
    size = NORMS[ball].value(moved[:, :-1])
    assert np.all(size <= search.program.radius)
    assert np.array_equal(moved[:, -1], np.zeros(len(X)))


def test_bound_of_a_dual_point_that_does_not_fit_is_minus_infinity() -> None:
    problem, _, _, dual = interior_point("hinge", "linf", "majorant")
    form = form_of(problem)
    assert robust_bound(form, dual._replace(mu=dual.mu[1:])) == -np.inf
    assert robust_bound(form, dual._replace(attack=dual.attack * np.nan)) == -np.inf
    assert robust_bound(form, dual._replace(left=dual.left[:, 1:])) == -np.inf


@each_loss
@each_ball
def test_bound_over_all_patterns_is_below_every_network(loss: str, ball: str) -> None:
    problem = declared(loss, ball, patterns=None)
    solution = cx.solve(problem, steps=100, searches=1, refreshes=3)
    best = worst_case(problem, solution.model, vertices(ball, 3, 20_000))
    assert solution.certificate.scope == "all patterns"
    assert best <= solution.objective * (1.0 + 1e-9)
    assert solution.bound <= best
    clean = cx.solve(cx.ReluTraining(problem.X, problem.y, beta=problem.beta, loss=loss), "lbfgs")
    assert solution.objective >= clean.bound


# proximal steps


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.booleans())
def test_prox_of_the_examples_is_the_minimiser(seed: int, cones: bool) -> None:
    form = random_form(seed, fractional=not cones, cones=cones)
    rng = np.random.default_rng(seed + 1)
    n, d = form.X.shape
    m = form.blocks
    q0 = rng.standard_normal((n, d))
    c0, t0 = rng.standard_normal((2, n, m))
    weights = tuple(10.0 ** rng.uniform(-1.0, 0.5, 3))
    guess = rng.random((2, n))
    found = prox_examples(form, q0, c0, t0, weights, (guess[0], guess[1]))

    def value(k: int, q: Array, c: Array, t: Array) -> float:
        s = form.slopes[k]
        slack = np.maximum(s * (t - c), (1.0 - s) * (t + c))
        if cones:
            if np.max(slack, initial=0.0) > 1e-12:
                return np.inf
            slack = np.zeros_like(slack)
        z, spread = float(form.X[k] @ q), form.reach(q[None])[0]
        low = z - spread - slack[form.added :].sum()
        up = z + spread + slack[: form.added].sum()
        y = form.y[k : k + 1]
        if form.loss.classification:
            worst = low if y[0] > 0.0 else up
        else:
            worst = y[0] + max(y[0] - low, up - y[0], 0.0)  # a slack may be negative here
        far = sum(
            float(np.sum(np.square(p - p0))) / (2.0 * w)
            for p, p0, w in zip((q, c, t), (q0[k], c0[k], t0[k]), weights, strict=True)
        )
        return float(form.loss.value(np.array([worst]), y)[0] + far)

    for k in range(n):
        at = value(k, found.q[k], found.c[k], found.t[k])
        for size in (1e-6, 1e-4, 1e-2, 1.0):
            for _ in range(20):
                moved = [
                    part + size * rng.standard_normal(part.shape)
                    for part in (found.q[k], found.c[k], found.t[k])
                ]
                assert at <= value(k, *moved) + 1e-10 * (1.0 + abs(at))


@settings(max_examples=40)
@given(st.integers(0, 10**6))
def test_prox_of_the_neurons_is_the_minimiser(seed: int) -> None:
    form = random_form(seed)
    rng = np.random.default_rng(seed + 1)
    rows, reach = rng.standard_normal((5, form.X.shape[1])), rng.standard_normal(5)
    step_v, step_t = 10.0 ** rng.uniform(-1.0, 1.0, 2)
    V, t = prox_neurons(form, rows, reach, step_v, step_t)
    assert np.all(form.reach(V) <= t * (1.0 + 1e-12) + 1e-12)

    def value(v: Array, b: int) -> float:
        far = float(np.sum(np.square(v - rows[b]))) / (2.0 * step_v)
        best = max(float(form.reach(v[None])[0]), reach[b])
        near = (best - reach[b]) ** 2 / (2.0 * step_t)
        return float(form.beta * np.linalg.norm(v) + far + near)

    for b in range(5):
        at = value(V[b], b)
        assert at == pytest.approx(
            form.beta * float(np.linalg.norm(V[b]))
            + float(np.sum(np.square(V[b] - rows[b]))) / (2.0 * step_v)
            + (t[b] - reach[b]) ** 2 / (2.0 * step_t),
            rel=1e-9,
            abs=1e-12,
        )
        best = minimize(value, V[b] + 0.01, args=(b,), method="Nelder-Mead").fun
        assert at <= best + 1e-9 * (1.0 + abs(best))


@each_loss
def test_a_warm_start_at_the_optimum_stays_there(loss: str) -> None:
    problem, value, primal, dual = interior_point(loss, "linf", "majorant")
    form = form_of(problem)
    state = State.begin(form, (primal, dual))
    for _ in range(30):
        step(state, RELAX)
    assert form.objective(state.points()[0]) == pytest.approx(value, rel=1e-4)


# engines


@each_loss
@each_ball
@each_formulation
def test_admm_agrees_with_the_interior_point(loss: str, ball: str, formulation: str) -> None:
    problem, value, _, _ = interior_point(loss, ball, formulation)
    solution = cx.solve(problem, "admm", tol=1e-4)
    assert solution.status is cx.Status.OPTIMAL
    size = max(1.0, value)
    assert abs(solution.objective - value) <= 3e-4 * size
    assert solution.bound <= value + SLACK * size
    assert solution.violation <= 1e-4


@each_formulation
def test_answers_warm_start_others_at_another_radius_or_beta(formulation: str) -> None:
    first = cx.solve(declared("logistic", formulation=formulation), "admm", tol=1e-3)
    steps = np.zeros(2)
    others: list[dict[str, Any]] = [{"radius": 0.045}, {"beta": 0.09}]
    for changes in others:
        other = declared(
            "logistic",
            formulation=formulation,
            patterns=cx.Patterns(first.problem.matrix),
            **changes,
        )
        cold = cx.solve(other, "admm", tol=1e-3)
        warm = cx.solve(other, "admm", tol=1e-3, start=first)
        assert warm.status is cx.Status.OPTIMAL
        steps += warm.history[-1].iteration, cold.history[-1].iteration
    assert steps[0] < steps[1]


@each_loss
@each_formulation
@pytest.mark.parametrize("bias", [False, True])
def test_radius_zero_is_plain_training_of_the_same_formulation(
    loss: str, formulation: str, bias: bool
) -> None:
    X, y = data(loss)
    patterns = cx.sample_patterns(np.hstack([X, np.ones((len(X), 1))]) if bias else X, 12)
    common: dict[str, Any] = {"beta": 0.1, "loss": loss, "patterns": patterns, "bias": bias}
    robust = cx.RobustReluTraining(X, y, radius=0.0, formulation=formulation, **common)
    plain = cx.ReluTraining(X, y, formulation=formulation, **common)
    for backend in ("cvxpy:clarabel", "admm"):
        tol = 1e-6 if backend != "admm" else 1e-4
        ours, theirs = cx.solve(robust, backend, tol=tol), cx.solve(plain, tol=1e-5)
        assert ours.objective == pytest.approx(theirs.objective, rel=3e-4 if tol > 1e-5 else 3e-5)
        assert ours.bound <= theirs.objective * (1.0 + 1e-6)


@pytest.mark.parametrize(("radius", "cones"), [(0.1, 41.69), (0.2, 57.38)])
def test_two_moons_the_majorant_stays_useful_where_the_cones_give_up(
    radius: float, cones: float
) -> None:
    X, y = make_moons(100, noise=0.15, random_state=1)
    X = X - X.mean(axis=0)
    common: dict[str, Any] = {"beta": 0.05, "radius": radius, "bias": True}
    corners = vertices("linf", 2)

    def robust_accuracy(model: cx.TwoLayerNetwork) -> float:
        worst = [
            np.min((2 * t - 1) * np.ravel(model.decision_function(x + radius * corners)))
            for x, t in zip(X, y, strict=True)
        ]
        return float(np.mean(np.array(worst) > 0.0))

    given = cx.RobustReluTraining(X, y, patterns=40, formulation="cones", **common)
    hard = cx.solve(given, tol=1e-3)
    soft = cx.solve(cx.RobustReluTraining(X, y, patterns=40, **common), tol=1e-2)
    best = cx.solve(cx.RobustReluTraining(X, y, **common), seed=0)
    assert hard.objective == pytest.approx(cones, rel=1e-2)
    assert soft.objective < 0.75 * hard.objective
    assert best.objective < soft.objective
    local = min(step.objective for step in best.history[:7])
    assert best.objective < local or radius < 0.2
    assert robust_accuracy(best.model) >= robust_accuracy(hard.model) + 0.1
    assert best.objective >= worst_case(best.problem, best.model, grid("linf", 2))


def test_rounds_never_lose_what_local_search_found() -> None:
    X, y = make_moons(60, noise=0.15, random_state=3)
    seen: list[float] = []
    problem = cx.RobustReluTraining(X - X.mean(0), y, beta=0.1, radius=0.1, bias=True)
    solution = cx.solve(
        problem,
        steps=200,
        refreshes=4,
        callback=lambda step: seen.append(step.objective),
    )
    assert solution.objective == pytest.approx(min(seen), rel=1e-9)
    assert len(seen) > 7  # the zero network, six local ones, and rounds
    again = cx.solve(problem, steps=200, refreshes=4)
    assert again.objective == solution.objective


def test_a_time_limit_keeps_the_best_network_so_far() -> None:
    X, y = data("hinge", n=200, d=5)
    problem = cx.RobustReluTraining(X, y, beta=0.1, radius=0.1)
    solution = cx.solve(problem, time_limit=0.2)
    assert solution.status is cx.Status.TIME_LIMIT
    assert np.isfinite(solution.objective)
    assert solution.objective <= 200.0


@each_formulation
def test_saved_answers_come_back(formulation: str, tmp_path: Path) -> None:
    columns = np.array([True, False, True])
    problem = declared("hinge", "l1", formulation=formulation, bias=True, perturbed=columns)
    solution = cx.solve(problem, tol=1e-3)
    solution.save(tmp_path / "robust.npz")
    back = cx.load(tmp_path / "robust.npz")
    assert back.certificate == solution.certificate
    assert back.problem.radius == problem.radius
    assert np.array_equal(back.problem.perturbed, columns)


def test_solutions_start_problems_with_other_patterns_and_searches() -> None:
    patterns = cx.sample_patterns(data("logistic")[0], 20)
    cones: dict[str, Any] = {"formulation": "cones", "patterns": patterns}
    first = cx.solve(declared("logistic", radius=0.1, **cones), "admm", tol=1e-3)
    wider = declared("logistic", radius=0.02, **cones)
    assert wider.matrix is not None
    assert first.problem.matrix.shape[1] < wider.matrix.shape[1]
    cold, warm = cx.solve(wider, "admm"), cx.solve(wider, "admm", start=first)
    assert warm.objective == pytest.approx(cold.objective, rel=1e-5)
    primal, dual = wider.adopt(first)
    assert wider.objective(primal) == pytest.approx(
        declared("logistic", radius=0.02, patterns=first.problem.matrix).objective(first.primal)
    )
    assert dual is not None
    assert np.isfinite(wider.certify(primal, dual).bound)
    network = cx.solve(declared("logistic", patterns=None), start=first, refreshes=2, steps=100)
    assert network.objective < declared("logistic", patterns=None).objective(first.primal)
    with pytest.raises(cx.ProblemError, match="start must have"):
        cx.solve(declared("logistic"), "admm", start=network)


# who may move what


@each_ball
def test_the_bias_and_columns_left_out_are_never_perturbed(ball: str) -> None:
    X, y = data("hinge")
    columns = np.array([False, True, False])
    common: dict[str, Any] = {"beta": 0.1, "patterns": 15, "norm": ball, "bias": True}
    problem = cx.RobustReluTraining(X, y, radius=0.3, perturbed=columns, **common)
    solution = cx.solve(problem, "cvxpy:clarabel")
    steps = grid(ball, 3) * columns
    assert worst_case(problem, solution.model, steps) <= solution.objective * (1.0 + 1e-6)
    everywhere = cx.RobustReluTraining(X, y, radius=0.3, **common)
    assert solution.objective < cx.solve(everywhere, "cvxpy:clarabel").objective
    nowhere = cx.RobustReluTraining(X, y, radius=0.3, perturbed=np.zeros(3, bool), **common)
    plain = cx.ReluTraining(
        X, y, beta=0.1, loss="hinge", patterns=nowhere.matrix, bias=True, formulation="majorant"
    )
    assert cx.solve(nowhere, "cvxpy:clarabel").objective == pytest.approx(
        cx.solve(plain, "cvxpy:clarabel").objective, rel=1e-4
    )


def test_sampled_patterns_of_perturbed_examples_leave_columns_alone() -> None:
    X = np.random.default_rng(0).standard_normal((30, 3))
    none = cx.sample_patterns(X, 20, radius=5.0, columns=np.zeros(3, bool))
    assert np.array_equal(none.matrix, cx.sample_patterns(X, 20).matrix)
    with pytest.raises(cx.ProblemError, match="columns must be an array of bool, one per column"):
        cx.sample_patterns(X, 20, radius=1.0, columns=[1, 2])


# cones that are empty


@each_ball
@pytest.mark.parametrize("bias", [False, True])
def test_separation_is_the_hard_margin_of_the_pattern(ball: str, bias: bool) -> None:
    rng = np.random.default_rng(4)
    X = rng.standard_normal((12, 3))
    data_ = np.hstack([X, np.ones((12, 1))]) if bias else X
    moved = np.array([True, True, True, False][: data_.shape[1]])
    separation = Separation(data_, moved, ball)
    patterns = cx.sample_patterns(data_, 12).matrix
    for p in range(patterns.shape[1]):
        rows = np.where(patterns[:, p], 1.0, -1.0)[:, None] * data_
        v = cp.Variable(data_.shape[1])
        dual = {"linf": 1, "l2": 2, "l1": "inf"}[ball]
        margin = cp.Problem(cp.Maximize(cp.min(rows @ v)), [cp.norm(v[:3], dual) <= 1.0])
        if bias and patterns[:, p].all() == patterns[:, p].any():
            assert separation.radius_of(patterns[:, p]) == np.inf
            continue
        margin.solve(solver=cp.CLARABEL)
        radius = separation.radius_of(patterns[:, p])
        assert radius == pytest.approx(max(float(margin.value), 0.0), rel=1e-6, abs=1e-7)
        one = patterns[:, [p]]
        if radius > 1e-6:
            assert separation.possible(one, 0.99 * radius)[0]
        assert not separation.possible(one, 1.01 * radius + 1e-6)[0]


@each_ball
def test_units_of_the_columns_that_stay_leave_the_radius_as_it_is(ball: str) -> None:
    rng = np.random.default_rng(5)
    X, moved = rng.standard_normal((20, 3)), np.array([True, True, True, False])
    one, *others = (np.hstack([X, np.full((20, 1), unit)]) for unit in (1.0, 1e-9, 1e9))
    patterns = cx.sample_patterns(one, 8).matrix
    plain = Separation(one, moved, ball)
    for pattern in patterns.T:
        radius = plain.radius_of(pattern)
        if np.isfinite(radius) and radius > 1e-6:
            for other in others:
                screen = Separation(other, moved, ball)
                assert list(screen.possible(pattern[:, None], 0.99 * radius)) == [True]
                assert list(screen.possible(pattern[:, None], 1.01 * radius)) == [False]


@each_loss
def test_where_no_cone_survives_the_answer_is_zero_and_says_which_radius_would_do(
    loss: str,
) -> None:
    problem = declared(loss, radius=5.0, formulation="cones")
    solution = cx.solve(problem, tol=1e-4)
    assert solution.status is cx.Status.OPTIMAL
    assert len(solution.model) == 0
    assert problem.given is not None
    largest = problem.separation.largest(problem.given.matrix)
    assert f"The largest radius found at which one does is {largest:.6g}" in (solution.message)
    survives = cx.RobustReluTraining(
        problem.X,
        problem.y,
        beta=0.01,
        radius=0.9 * largest,
        loss=loss,
        patterns=problem.given,
        formulation="cones",
    )
    assert "keeps a robust cone" not in survives.remark()
    assert "keeps a robust cone" not in cx.solve(survives, tol=1e-3).message


# bad input


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"radius": -0.1}, r"radius must be finite and >= 0, got -0.1"),
        ({"radius": np.nan}, r"radius must be .* >= 0, got nan"),
        ({"radius": np.inf}, r"radius must be .* got inf"),
        ({"norm": "l3"}, r"norm must be one of l2, l1, linf, got 'l3'"),
        ({"formulation": "soft"}, r"formulation must be one of cones, majorant, got 'soft'"),
        ({"loss": "huber"}, r"loss must be one of hinge, logistic, squared, got 'huber'"),
        ({"loss": "cubic"}, r"loss must be one of"),
        ({"loss": "huber", "y": ["no", "yes"] * 7}, r"loss must be one of .*, got 'huber'"),
        ({"beta": 0.0}, r"beta must be finite and > 0"),
        ({"patterns": 0}, r"patterns must be >= 1"),
        ({"perturbed": [True]}, r"perturbed must be an array of bool, one per column of X \(3\)"),
        ({"perturbed": [1, 0, 1]}, r"perturbed must be an array of bool, one per column"),
    ],
)
def test_bad_fields_are_refused_by_name(changes: dict[str, Any], message: str) -> None:
    X, y = data("hinge")
    options: dict[str, Any] = {"y": y, "beta": 0.1, "radius": 0.05, "patterns": 20} | changes
    with pytest.raises(cx.ProblemError, match=message):
        cx.RobustReluTraining(X, options.pop("y"), **options)


def test_labels_of_a_margin_loss_have_two_values() -> None:
    X, _ = data("hinge")
    with pytest.raises(cx.ProblemError, match="y must have exactly two classes"):
        cx.RobustReluTraining(X, np.arange(len(X)), beta=1.0, radius=0.1)


def test_constant_columns_are_not_for_the_adversary() -> None:
    X, y = data("hinge")
    X[:, 1] = 3.0
    with pytest.raises(cx.ProblemError, match=r"column 1 of X is 3\.0: .*set perturbed to F"):
        cx.RobustReluTraining(X, y, beta=1.0, radius=0.1)
    cx.RobustReluTraining(X, y, beta=1.0, radius=0.0)
    cx.RobustReluTraining(X, y, beta=1.0, radius=0.1, perturbed=np.array([True, False, True]))
    X[:, 1] = 0.0  # a pixel that is never lit may be attacked
    cx.RobustReluTraining(X, y, beta=1.0, radius=0.1)


def test_a_column_of_two_values_is_pointed_out() -> None:
    X, y = data("hinge")
    X[:, 2] = np.where(X[:, 2] > 0.0, 1.0, 0.0)
    with pytest.warns(UserWarning, match="column 2 of X has two values only"):
        cx.RobustReluTraining(X, y, beta=1.0, radius=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cx.RobustReluTraining(X, y, beta=1.0, radius=0.1, perturbed=np.ones(3, bool))


@each_loss
@pytest.mark.parametrize("kind", ["offset", "tiny", "huge", "twins", "wide"])
def test_hard_positions_end_with_an_honest_interval(loss: str, kind: str) -> None:
    X, y = data(loss)
    radius = 0.05
    if kind == "offset":
        X = X + 1e3
    elif kind in ("tiny", "huge"):
        factor = 1e-6 if kind == "tiny" else 1e6
        X, radius = X * factor, radius * factor
    elif kind == "twins":
        X, y = np.vstack([X, X]), np.r_[y, y]
    else:
        X = np.hstack([X, np.random.default_rng(1).standard_normal((len(X), 40))])
    problem = cx.RobustReluTraining(X, y, beta=0.1, radius=radius, loss=loss, patterns=10)
    solution = cx.solve(problem, "admm", max_iter=2000, tol=1e-3)
    reference = cx.solve(problem, "cvxpy:clarabel", tol=1e-4)
    assert np.isfinite(solution.objective)
    size = max(1.0, reference.objective)
    assert solution.bound <= reference.objective + 1e-5 * size
    assert reference.bound <= solution.objective + 1e-5 * size


def test_dual_norms_are_those_of_the_balls() -> None:
    for ball in BALLS:
        q = np.random.default_rng(5).standard_normal((1, 3))
        assert DUAL[ball].value(q)[0] >= np.max(vertices(ball, 3) @ q[0]) - 1e-12


@each_ball
@each_loss
def test_an_adversary_without_columns_is_plain_training(loss: str, ball: str) -> None:
    X, y = data(loss)
    none = np.zeros(X.shape[1], np.bool_)
    options: dict[str, Any] = {"beta": 0.5, "loss": loss, "norm": ball, "perturbed": none}
    problem = cx.RobustReluTraining(X, y, radius=0.3, bias=True, **options)
    solution = cx.solve(problem, max_iter=1, time_limit=5.0)
    program = form_of(problem)
    assert not program.worst_attack(np.ones_like(program.X)).any()
    exact = worst_case(problem, solution.model, np.zeros((1, X.shape[1])))
    assert exact <= solution.objective * (1.0 + 1e-9)
    assert solution.objective <= exact * 1.2


@pytest.mark.parametrize("build", [cx.ReluTraining, cx.GatedReluTraining])
def test_answers_of_plain_training_start_robust_training(build: Any) -> None:
    X, y = data("hinge")
    plain = cx.solve(build(X, y, beta=0.1, loss="hinge", patterns=12), tol=1e-3)
    listed = cx.RobustReluTraining(X, y, beta=0.1, radius=0.1, patterns=20)
    neurons, dual = listed.adopt(plain)
    assert dual is None
    assert listed.matrix is not None
    if build is cx.ReluTraining:
        assert neurons.V.shape == (3, form_of(listed).added)
        theirs = {column.tobytes(): p for p, column in enumerate(plain.problem.matrix.T)}
        common = [(p, theirs.get(c.tobytes())) for p, c in enumerate(listed.matrix.T)]
        for p, other in common:
            np.testing.assert_array_equal(
                neurons.V[:, p], 0.0 if other is None else plain.primal.V[:, other]
            )
        assert cx.solve(listed, "admm", start=plain, tol=1e-3).status is cx.Status.OPTIMAL
    search = cx.RobustReluTraining(X, y, beta=0.1, radius=0.1)
    assert cx.solve(search, start=plain, max_iter=1, time_limit=5.0).objective < np.inf


def test_text_labels_may_be_python_objects(tmp_path: Path) -> None:
    X, y = data("hinge")
    named = np.where(y > 0.0, "yes", "no").astype(object)  # as pandas holds them
    problem = cx.RobustReluTraining(X, named, beta=0.1, radius=0.05, patterns=5)
    solution = cx.solve(problem, tol=1e-3)
    found = cx.robustness(solution.model, X, named, radius=0.05)
    assert found.clean == np.mean(solution.model.predict(X) == named)
    shift = cx.solve(cx.WassersteinClassification(X, named, radius=0.1), tol=1e-3)
    for answer in (solution, shift):
        answer.save(tmp_path / "answer.npz")
        assert cx.load(tmp_path / "answer.npz").objective == answer.objective


@each_formulation
def test_a_solver_that_calls_training_infeasible_has_failed(formulation: str) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 8))
    y = 1e6 * (np.maximum(X[:, 0], 0.0) - X[:, 1] + 1.0)
    options: dict[str, Any] = {"beta": 1.0, "patterns": 15, "loss": "squared", "bias": True}
    options |= {"formulation": formulation}
    for problem in (
        cx.RobustReluTraining(X, y, radius=0.05, norm="l2", **options),
        cx.ReluTraining(X, y, **options),
    ):
        solution = cx.solve(problem, "cvxpy:clarabel", tol=1e-3)
        assert solution.status is not cx.Status.INFEASIBLE
        if solution.status is cx.Status.FAILED:
            assert "rescale the data" in solution.message

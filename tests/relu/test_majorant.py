"""The program without cones: what it majorises, its bound, its prox, and the refresh engine."""

from __future__ import annotations

import warnings
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from positions import KINDS, positioned

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.functions.losses import LOSSES, Loss, Squared
from convexnn.functions.norms import NORMS
from convexnn.relu.forms import Dual, MajorantForm, NetworkForm, Neurons
from convexnn.relu.majorant_bound import majorant_bound
from convexnn.relu.patterns import active_patterns
from convexnn.solvers.relu.interval_prox import TAKEN, prox

CLASSIFICATION = ("logistic", "hinge")
PENALTIES = ("l2", "l1")
VARIANTS: list[dict[str, Any]] = [
    {},
    {"leak": 0.2},
    {"skip": True},
    {"bias": True, "leak": 0.1, "skip": True},
]
VARIANT_NAMES = ["plain", "leak", "skip", "all"]
SLACK = 1e-6  # allowed for the inaccuracy of the interior-point solver
TIGHT = 2e-5  # how near the optimum its own dual point must come

KNOWN = [kind.name for kind in TAKEN]  # to the prox; others are for solvers of CVXPY
each_loss = pytest.mark.parametrize("loss", KNOWN)
each_penalty = pytest.mark.parametrize("penalty", PENALTIES)
each_variant = pytest.mark.parametrize("variant", VARIANTS, ids=VARIANT_NAMES)


def data(loss: str, n: int = 18, d: int = 3, kind: str = "general", seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    X = positioned(kind, n, d, rng)
    y = 2.0 * np.maximum(X[:, 0], 0.0) - np.maximum(X[:, -1] - X[:, 0], 0.0)
    y = y / max(float(np.std(y)), 1e-9) + 0.5 * rng.standard_normal(n)
    if loss in CLASSIFICATION:
        y = np.where(y > np.median(y), 1.0, -1.0)
        y[::5] *= -1.0  # the free linear part must not separate the classes
        y[:2] = [-1.0, 1.0]
    else:
        y[:2] += [6.0, -6.0]  # outliers, for the huber loss
    return X, y


def declared(loss: str, penalty: str = "l2", **changes: Any) -> cx.ReluTraining:
    X, y = data(loss)
    options: dict[str, Any] = {"beta": 0.5, "patterns": 8, "formulation": "majorant"}
    return cx.ReluTraining(X, y, loss=loss, penalty=penalty, **(options | changes))


def form_of(problem: cx.ReluTraining) -> MajorantForm:
    form = problem.canonical(MajorantForm)
    assert isinstance(form, MajorantForm)
    return form


def random_neurons(form: MajorantForm, rng: np.random.Generator) -> Neurons:
    d, P = form.X.shape[1], form.slopes.shape[1]
    V, W = rng.standard_normal((2, d, P)) * 10.0 ** rng.uniform(-2.0, 1.0)
    V[:, rng.random(P) < 0.3] = 0.0
    skip: Array = rng.standard_normal((d,)) * form.skip
    return Neurons(V, W, skip)


def network_objective(form: MajorantForm, neurons: Neurons) -> float:
    A, B = form.X @ neurons.V, form.X @ neurons.W
    z = np.where(A > 0.0, A, form.leak * A).sum(axis=1) + form.X @ neurons.skip
    z -= np.where(B > 0.0, B, form.leak * B).sum(axis=1)
    penalty = form.norm.value(neurons.V.T).sum() + form.norm.value(neurons.W.T).sum()
    return float(form.loss.value(z, form.y).sum() + form.beta * penalty)


def interior_point(problem: cx.ReluTraining) -> tuple[float, Neurons, Dual]:
    program = problem.to_cvxpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program.problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-9, tol_gap_rel=1e-9, tol_feas=1e-9)
    primal, dual = program.points()
    return float(program.problem.value), primal, dual


# what it majorises


@each_loss
@each_penalty
@each_variant
def test_value_is_the_worst_loss_between_the_bounds_and_majorises_the_network(
    loss: str, penalty: str, variant: dict[str, Any]
) -> None:
    problem = declared(loss, penalty, **variant)
    form = form_of(problem)
    rng = np.random.default_rng(1)
    for _ in range(20):
        neurons = random_neurons(form, rng)
        low, up = form.bounds(neurons)
        assert np.all(low <= up + 1e-12 * (np.abs(low) + np.abs(up)))
        grid = low + np.linspace(0.0, 1.0, 50)[:, None] * (up - low)
        if loss in CLASSIFICATION:
            worst = form.loss.value(np.where(form.y > 0.0, grid.min(0), grid.max(0)), form.y)
        else:
            worst = form.loss.value(grid, form.y).max(axis=0)
        penalised = form.norm.value(np.hstack([neurons.V, neurons.W]).T).sum()
        by_hand = float(worst.sum() + form.beta * penalised)
        assert form.objective(neurons) == pytest.approx(by_hand, rel=1e-10)
        network = network_objective(form, neurons)
        assert network <= by_hand * (1.0 + 1e-12)
        assert problem.objective(neurons) == pytest.approx(network, rel=1e-10)


@each_loss
@each_variant
def test_value_touches_the_network_at_its_own_patterns(loss: str, variant: dict[str, Any]) -> None:
    problem = declared(loss, patterns=None, **variant)
    network = problem.canonical(NetworkForm)
    rng = np.random.default_rng(2)
    d = network.X.shape[1]
    for _ in range(10):
        weights = rng.standard_normal((d, 6))
        matrix = network.X @ weights >= 0.0
        absent = np.zeros((d, 6))
        V, W = absent.copy(), absent.copy()
        V[:, :3], W[:, 3:] = weights[:, :3], weights[:, 3:]
        skip = rng.standard_normal((d,)) if network.skip else np.zeros(d)
        neurons = Neurons(V, W, skip)
        touching = network.majorant(matrix).objective(neurons)
        assert touching == pytest.approx(network.objective(neurons), rel=1e-10)


@each_loss
@each_penalty
def test_optimum_is_between_the_global_one_and_that_with_cones(loss: str, penalty: str) -> None:
    X, y = data(loss, 9, 2, seed=3)
    patterns = cx.sample_patterns(X, 4)
    common: dict[str, Any] = {"beta": 0.3, "loss": loss, "penalty": penalty}
    tol = 1e-6
    everything = cx.solve(cx.ReluTraining(X, y, **common), "cvxpy:clarabel", tol=tol)
    cones = cx.solve(cx.ReluTraining(X, y, patterns=patterns, **common), "cvxpy:clarabel", tol=tol)
    majorant = cx.solve(
        cx.ReluTraining(X, y, patterns=patterns, formulation="majorant", **common), "admm", tol=tol
    )
    assert majorant.status is cx.Status.OPTIMAL
    delivered = majorant.problem.objective(majorant.primal)
    room = 3.0 * tol * max(1.0, cones.objective)
    assert everything.bound <= delivered <= majorant.objective + 1e-9
    assert majorant.objective <= cones.objective + room
    assert cones.objective > everything.objective + room  # or the test shows nothing


@each_loss
@each_penalty
@pytest.mark.parametrize("variant", VARIANTS[:3], ids=VARIANT_NAMES[:3])
def test_over_all_patterns_it_is_the_program_with_cones(
    loss: str, penalty: str, variant: dict[str, Any]
) -> None:
    X, y = data(loss, 8, 2, seed=5)
    every = cx.enumerate_patterns(X)
    common: dict[str, Any] = {"beta": 0.3, "loss": loss, "penalty": penalty, **variant}
    cones = cx.solve(cx.ReluTraining(X, y, patterns=every, **common), "cvxpy:clarabel", tol=1e-6)
    problem = cx.ReluTraining(X, y, patterns=every, formulation="majorant", **common)
    majorant = cx.solve(problem, "cvxpy:clarabel", tol=1e-6)
    assert majorant.status is cx.Status.OPTIMAL, repr(majorant)
    assert majorant.objective == pytest.approx(cones.objective, rel=4e-6, abs=4e-6)
    assert problem.objective(majorant.primal) == pytest.approx(cones.objective, rel=4e-6, abs=4e-6)


@pytest.mark.parametrize("backend", ["admm", "cvxpy:clarabel"])
def test_where_all_patterns_are_meant_the_certificate_is_the_networks_own(backend: str) -> None:
    X, y = data("squared", 8, 2, seed=5)
    problem = cx.ReluTraining(X, y, beta=0.3, formulation="majorant")
    solution = cx.solve(problem, backend, tol=1e-6)
    cones = cx.solve(replace(problem, formulation="cones"), "cvxpy:clarabel", tol=1e-6)
    assert solution.status is cx.Status.OPTIMAL
    assert solution.certificate.scope == "all patterns"
    assert solution.objective == problem.objective(solution.primal)
    assert solution.objective == pytest.approx(cones.objective, rel=3e-6)


# the bound


def guesses(form: MajorantForm, dual: Dual, rng: np.random.Generator) -> list[Dual]:
    """Dual guesses near and far, with and without kinks, out of their domain, of other shape."""
    n, P = form.slopes.shape
    noise: Array = rng.standard_normal((n,))
    kinks = rng.uniform(-1.0, 2.0, (n, 2 * P))
    assert dual.common is not None
    return [
        dual._replace(kinks=None),
        dual._replace(kinks=kinks),
        dual._replace(common=None),
        dual._replace(common=dual.common + np.abs(noise)),
        dual._replace(common=-dual.common - 1.0, kinks=np.full((n, 2 * P), np.nan)),
        dual._replace(common=np.full(n, np.inf)),
        dual._replace(mu=1.1 * dual.mu, common=1.1 * dual.common),
        dual._replace(mu=dual.mu + 0.05 * noise),
        dual._replace(mu=-dual.mu),
        Dual(100.0 * noise, common=np.abs(noise), kinks=kinks[:, :1]),
        Dual(np.zeros(n)),
    ]


@each_loss
@each_penalty
@pytest.mark.parametrize("kind", KINDS)
def test_bound_never_exceeds_the_optimum_and_reaches_it(loss: str, penalty: str, kind: str) -> None:
    for seed, variant in enumerate(VARIANTS):
        X, y = data(loss, 10, 2, kind, seed=seed + 20)
        X[0, 0] += 0.0 if X.any() else 1.0
        beta = 0.3 * float(np.mean(np.abs(X)))
        problem = cx.ReluTraining(
            X,
            y,
            beta=beta,
            loss=loss,
            penalty=penalty,
            patterns=5,
            formulation="majorant",
            **variant,
        )
        form = form_of(problem)
        optimum, primal, dual = interior_point(problem)
        size = max(1.0, abs(optimum))
        reach = problem.certify(primal, dual).bound
        assert optimum - TIGHT * size <= reach <= optimum + SLACK * size, (seed, variant)
        rng = np.random.default_rng(seed)
        for guess in guesses(form, dual, rng):
            bound = majorant_bound(form, guess)
            assert bound <= optimum + SLACK * size


def test_a_guess_that_is_not_finite_bounds_nothing() -> None:
    form = form_of(declared("squared"))
    assert majorant_bound(form, Dual(np.full(len(form.y), np.nan))) == -np.inf
    assert majorant_bound(form, Dual(np.zeros(3))) == -np.inf


# ADMM


@each_loss
@each_penalty
@pytest.mark.parametrize("kind", ["integer", "duplicate", "antipodal", "zero", "deficient"])
def test_admm_solves_degenerate_data(loss: str, penalty: str, kind: str) -> None:
    X, y = data(loss, 12, 3, kind, seed=7)
    problem = cx.ReluTraining(
        X, y, beta=0.3, loss=loss, penalty=penalty, patterns=6, formulation="majorant"
    )
    solution = cx.solve(problem, "admm", tol=1e-5)
    assert solution.status is cx.Status.OPTIMAL, repr(solution)
    optimum, _, _ = interior_point(problem)
    assert solution.objective == pytest.approx(optimum, rel=2e-5, abs=2e-5)


def prox_value(form: MajorantForm, at: Array, free: Array, C: Array, c: Array, sigma: float) -> Any:
    """Value per example of what the prox minimises, by hand."""
    P = form.slopes.shape[1]
    A, B = at[:, :P], at[:, P:]
    low = (form.slopes * A).sum(1) - np.where(B > 0.0, B, form.leak * B).sum(1) + free
    up = np.where(A > 0.0, A, form.leak * A).sum(1) - (form.slopes * B).sum(1) + free
    far = np.square(at - C).sum(1) + np.square(free - c)
    return form.loss.value(form.worst(low, up), form.y) + 0.5 * sigma * far


def loose_form(loss: str, rng: np.random.Generator, leak: float, skip: bool) -> MajorantForm:
    n, P = 40, 4
    slopes = np.where(rng.random((n, P)) < 0.5, 1.0, leak)
    y = rng.choice([-1.0, 1.0], n) if loss in CLASSIFICATION else 2.0 * rng.standard_normal(n)
    return MajorantForm(np.zeros((n, 1)), y, slopes, LOSSES[loss], NORMS["l2"], 1.0, leak, skip)


PROX = list(product([0.0, 0.3], [False, True], [0.1, 1.0, 30.0]))


@each_loss
@pytest.mark.parametrize(("leak", "skip", "sigma"), PROX)
def test_prox_closes_the_duality_gap(loss: str, leak: float, skip: bool, sigma: float) -> None:
    rng = np.random.default_rng(11)
    form = loose_form(loss, rng, leak, skip)
    n, P = form.slopes.shape
    for scale in (0.0, 0.3, 3.0):
        C: Array = scale * rng.standard_normal((n, 2 * P))
        c: Array = scale * rng.standard_normal((n,))
        p, q = np.zeros(n), np.zeros(n)
        for start in ("zero", "answer", "wild"):
            if start == "wild":
                p, q = np.abs(rng.standard_normal((2, n)))
            at, free = prox(form, C, c, sigma, p, q)
            assert (p >= 0.0).all()
            assert (q >= 0.0).all()
            value = prox_value(form, at, free, C, c, sigma)
            # the Lagrangian at its minimiser, term by term a Moreau envelope, less h*
            S = form.slopes
            bound = _envelope(S, C[:, :P], p, q, leak, sigma) + (q - p) * c
            bound += _envelope(S, C[:, P:], q, p, leak, sigma)
            if skip:
                bound -= 0.5 * np.square(q - p) / sigma
            total = p + q
            share = np.divide(p, total, out=np.zeros(n), where=total > 0.0)
            y, h = form.y, form.loss
            below = np.where(p > 0.0, h.conjugate(h.clip(-total, y), y), 0.0)
            above = np.where(q > 0.0, h.conjugate(h.clip(total, y), y), 0.0)
            bound -= share * below + (1.0 - share) * above
            np.testing.assert_allclose(value, bound, rtol=0.0, atol=2e-9 * (1.0 + np.max(value)))


def _envelope(S: Array, C: Array, own: Array, other: Array, leak: float, sigma: float) -> Array:
    """``min_a -own S a + other act(a) + sigma/2 (a - C)^2`` by trying every piece."""
    own, other = own[:, None], other[:, None]
    candidates = [np.zeros_like(C)]
    for slope in (1.0, leak):
        candidates.append(C + (own * S - other * slope) / sigma)
    values = [
        -own * S * a + other * np.where(a > 0.0, a, leak * a) + 0.5 * sigma * np.square(a - C)
        for a in candidates
    ]
    total: Array = np.min(values, axis=0).sum(axis=1)
    return total


@each_loss
def test_prox_agrees_with_an_interior_point_solver(loss: str) -> None:
    rng = np.random.default_rng(4)
    form = loose_form(loss, rng, 0.2, True)
    n, P = form.slopes.shape
    C: Array = rng.standard_normal((n, 2 * P))
    c: Array = rng.standard_normal((n,))
    sigma = 0.7
    at, free = prox(form, C, c, sigma, np.zeros(n), np.zeros(n))
    A, B, f = cp.Variable((n, P)), cp.Variable((n, P)), cp.Variable(n)
    low = cp.sum(cp.multiply(form.slopes, A) - cp.maximum(B, 0.2 * B), axis=1) + f
    up = cp.sum(cp.maximum(A, 0.2 * A) - cp.multiply(form.slopes, B), axis=1) + f
    y = form.y
    margin = cp.multiply(y > 0.0, low) - cp.multiply(y <= 0.0, up)
    r = cp.pos(cp.maximum(y - low, up - y))
    fit = {
        "hinge": cp.sum(cp.pos(1.0 - margin)),
        "logistic": cp.sum(cp.logistic(-margin)),
        "squared": 0.5 * cp.sum_squares(r),
        "huber": 0.5 * cp.sum(cp.huber(r)),
    }[loss]
    near = cp.sum_squares(A - C[:, :P]) + cp.sum_squares(B - C[:, P:]) + cp.sum_squares(f - c)
    cp.Problem(cp.Minimize(fit + 0.5 * sigma * near)).solve(solver=cp.CLARABEL)
    np.testing.assert_allclose(at, np.hstack([A.value, B.value]), rtol=0.0, atol=2e-4)
    np.testing.assert_allclose(free, f.value, rtol=0.0, atol=2e-4)


@each_loss
def test_warm_start_saves_iterations(loss: str) -> None:
    cold, warm = 0, 0
    for variant in VARIANTS[:3]:
        problem = declared(loss, **variant)
        first = cx.solve(problem, "admm", tol=1e-5)
        assert first.status is cx.Status.OPTIMAL
        again = cx.solve(problem, "admm", tol=1e-5, start=first)
        assert again.history[-1].iteration < first.history[-1].iteration
        other = replace(problem, beta=0.49)
        cold += cx.solve(other, "admm", tol=1e-4).history[-1].iteration
        warm += cx.solve(other, "admm", tol=1e-4, start=first).history[-1].iteration
    assert warm < 0.8 * cold


def test_answers_of_the_two_formulations_start_each_other() -> None:
    majorant = declared("squared")
    cones = replace(majorant, formulation="cones")
    first = cx.solve(cones, "admm", tol=1e-6)
    second = cx.solve(majorant, "admm", tol=1e-6, start=first)
    third = cx.solve(cones, "admm", tol=1e-6, start=second)
    assert second.status is third.status is cx.Status.OPTIMAL
    assert second.objective <= first.objective + 1e-5
    assert third.objective == pytest.approx(first.objective, rel=3e-6)


def test_a_time_limit_and_an_iteration_limit_return_certified_answers() -> None:
    problem = declared("huber")
    late = cx.solve(problem, "admm", tol=1e-13, time_limit=1e-9)
    assert late.status is cx.Status.TIME_LIMIT
    short = cx.solve(problem, "admm", tol=1e-13, max_iter=30)
    assert short.status is cx.Status.MAX_ITER
    assert short.history[-1].iteration == 30
    for solution in (late, short):
        assert solution.bound <= solution.objective
        assert problem.certify(solution.primal, solution.dual) == solution.certificate


def test_penalties_are_kept_where_they_are_given() -> None:
    solution = cx.solve(declared("squared"), "admm", tol=1e-3, rho=3.0, sigma=3.0, relax=1.0)
    assert solution.status is cx.Status.OPTIMAL


# the problem


@pytest.mark.parametrize("backend", ["admm", "cvxpy:clarabel"])
@pytest.mark.parametrize("patterns", [8, None])
def test_a_solution_survives_its_file(backend: str, patterns: int | None, tmp_path: Path) -> None:
    X, y = data("huber", 9, 2)
    problem = cx.ReluTraining(
        X, y, beta=0.3, loss="huber", patterns=patterns, skip=True, formulation="majorant"
    )
    solution = cx.solve(problem, backend, tol=1e-5)
    solution.save(tmp_path / "solution.npz")
    again = cx.load(tmp_path / "solution.npz")
    assert again.certificate == solution.certificate
    assert again.problem.formulation == "majorant"
    np.testing.assert_array_equal(again.model.predict(X), solution.model.predict(X))


def test_certificate_is_on_the_majorant_and_says_so() -> None:
    problem = declared("logistic", beta=0.1)
    solution = cx.solve(problem, tol=1e-6)
    assert solution.backend == "admm"
    assert solution.certificate.scope == "the majorant over these patterns"
    assert solution.violation == 0.0
    assert solution.objective == form_of(problem).objective(solution.primal)
    assert problem.objective(solution.primal) < solution.objective - 1e-3


@each_loss
def test_formula_is_dcp_and_named(loss: str) -> None:
    program = declared(loss, skip=True).to_cvxpy()
    assert program.problem.is_dcp()
    assert {"V", "W", "s"} <= {variable.name() for variable in program.problem.variables()}
    assert set(program.variables) == {"V", "W", "s", "z"}


def test_large_beta_has_the_zero_network_with_no_gap() -> None:
    for loss in KNOWN:
        solution = cx.solve(declared(loss, beta=1e4), "admm")
        assert solution.status is cx.Status.OPTIMAL
        assert abs(solution.gap) <= 1e-9
        assert len(solution.model) == 0


def test_wide_data_are_solved_in_their_row_space() -> None:
    X, y = data("squared", 5, 12)
    problem = cx.ReluTraining(X, y, beta=0.2, patterns=6, formulation="majorant")
    solution = cx.solve(problem, "admm", tol=1e-6)
    assert solution.status is cx.Status.OPTIMAL
    z = solution.model.predict(X)
    assert float(0.5 * np.sum((z - y) ** 2)) < solution.objective


class Unknown(Loss):
    """A loss that the prox does not know: the squared one under another name."""

    name = "unknown"
    curvature = 1.0
    cones = Squared.cones

    def value(self, z: Array, y: Array) -> Array:
        return Squared().value(z, y)

    def gradient(self, z: Array, y: Array) -> Array:
        return Squared().gradient(z, y)

    def conjugate(self, s: Array, y: Array) -> Array:
        return Squared().conjugate(s, y)

    def prox(self, v: Array, y: Array, step: float) -> Array:
        return Squared().prox(v, y, step)

    def domain(self, y: Array) -> tuple[Array | float, Array | float]:
        return Squared().domain(y)

    def cvxpy(self, z: Any, y: Array) -> Any:
        return Squared().cvxpy(z, y)


def test_a_loss_that_the_prox_does_not_know_is_refused() -> None:
    problem = replace(declared("squared"), loss=Unknown())
    assert "admm" not in cx.backends(problem).names
    with pytest.raises(cx.BackendError, match="knows the majorant of squared, huber, hinge"):
        cx.solve(problem, "admm")
    with pytest.raises(cx.BackendError, match="knows the majorant of"):
        cx.solve(replace(problem, patterns=None), "convex-concave")
    assert cx.solve(problem, "cvxpy:clarabel", tol=1e-5).status is cx.Status.OPTIMAL


# the refresh engine


@each_loss
@each_penalty
@pytest.mark.parametrize("local", [False, True])
def test_reported_objectives_never_rise(loss: str, penalty: str, local: bool) -> None:
    X, y = data(loss, 30, 3, seed=9)
    for variant in VARIANTS:
        problem = cx.ReluTraining(X, y, beta=0.3, loss=loss, penalty=penalty, **variant)
        solution = cx.solve(
            problem,
            "convex-concave",
            tol=1e-9,
            refreshes=4,
            patterns=15,
            width=6,
            steps=60,
            local=local,
        )
        seen = [step.objective for step in solution.history[1:]]
        assert len(seen) >= 2
        assert all(b <= a * (1.0 + 1e-12) for a, b in pairwise(seen))
        assert solution.objective <= seen[-1] * (1.0 + 1e-9)
        assert solution.objective == problem.objective(solution.primal)
        assert solution.bound <= solution.objective
        if not local:
            assert seen[-1] < 0.9 * solution.history[0].objective


def test_a_refresh_improves_on_the_network_it_starts_from() -> None:
    X, y = data("squared", 40, 4)
    problem = cx.ReluTraining(X, y, beta=0.3, formulation="majorant")
    start = cx.solve(problem, "lbfgs", starts=1, width=8, max_iter=15)
    better = cx.solve(problem, "convex-concave", start=start, patterns=20)
    first = better.history[1].objective
    assert first == pytest.approx(start.objective, rel=1e-6)
    assert better.objective < first - 1e-3
    again = cx.solve(problem, "convex-concave", start=better, refreshes=1)
    assert again.objective <= better.objective * (1.0 + 1e-12)


def test_a_start_wider_than_the_patterns_keeps_its_own() -> None:
    X, y = data("squared", 30, 3)
    problem = cx.ReluTraining(X, y, beta=0.05)
    start = cx.solve(problem, "lbfgs", starts=1, width=20)
    assert active_patterns(problem.canonical(NetworkForm).X, start.primal).shape[1] > 2
    narrow = cx.solve(problem, "convex-concave", start=start, patterns=1, refreshes=2)
    assert narrow.objective <= start.objective * (1.0 + 1e-9)


def test_refreshes_stop_for_limits_and_by_themselves() -> None:
    X, y = data("squared", 30, 3)
    problem = cx.ReluTraining(X, y, beta=0.3)
    one = cx.solve(problem, "convex-concave", max_iter=1, tol=1e-12)
    assert one.status is cx.Status.MAX_ITER
    done = cx.solve(problem, "convex-concave", tol=1e-3)
    assert "does not lower" in done.message
    late = cx.solve(problem, "convex-concave", time_limit=1e-9, tol=1e-12)
    assert late.status is cx.Status.TIME_LIMIT


@pytest.mark.parametrize("option", ["refreshes", "patterns", "steps", "width"])
def test_refresh_options_out_of_range(option: str) -> None:
    X, y = data("squared", 10, 2)
    chosen: dict[str, Any] = {option: 0}
    with pytest.raises(ValueError, match=option):
        cx.solve(cx.ReluTraining(X, y, beta=0.3), "convex-concave", **chosen)


def test_formulation_that_does_not_exist() -> None:
    with pytest.raises(cx.ProblemError, match="formulation must be one of cones, majorant"):
        declared("squared", formulation="sides")


def test_a_loss_that_the_prox_does_not_know_goes_to_a_formula() -> None:
    X, y = data("squared", 20, 3)
    given: dict[str, Any] = {"beta": 0.2, "loss": "absolute", "patterns": 6}
    problem = cx.ReluTraining(X, y, formulation="majorant", **given)
    solution = cx.solve(problem, tol=1e-5)
    assert solution.backend.startswith("cvxpy:")
    assert solution.status is cx.Status.OPTIMAL
    assert solution.objective <= cx.solve(cx.ReluTraining(X, y, **given)).objective + 1e-4
    with pytest.raises(cx.BackendError, match="knows the majorant of squared, huber, hinge, log"):
        cx.solve(problem, "admm")

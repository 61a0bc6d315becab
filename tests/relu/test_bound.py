"""The lower bound is rigorous: no dual guess, however bad, lifts it above the optimum."""

from __future__ import annotations

import subprocess
import sys
import warnings
from functools import lru_cache
from typing import Any, NamedTuple

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from positions import KINDS, positioned
from scipy.optimize import minimize_scalar

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.functions.losses import LOSSES
from convexnn.problems.relu.gated import GatedReluTraining
from convexnn.problems.relu.sampled import SampledReluTraining
from convexnn.problems.relu.two_layer import ReluTraining
from convexnn.relu.bound import (
    Feasible,
    balanced,
    exactly,
    largest_correlation,
    lower_bound,
    network_bound,
    scaled_value,
)
from convexnn.relu.cones import Facets
from convexnn.relu.forms import Dual, GroupForm, NetworkForm, Neurons
from convexnn.relu.patterns import Patterns
from convexnn.relu.search_bound import covers

SLACK = 1e-6  # allowed for the inaccuracy of the interior-point solver
TIGHT = 2e-5  # how near the optimum its own dual point must come
GUESSES = 9  # tried against each optimum, besides the solver's own

common = {
    "loss": st.sampled_from(list(LOSSES)),
    "kind": st.sampled_from(KINDS),
    "bias": st.booleans(),
    "n": st.integers(2, 12),
    "d": st.integers(1, 3),
    "beta": st.floats(-3.0, 1.0).map(lambda exponent: 10.0**exponent),
    "seed": st.integers(0, 100_000),
}


def often(examples: int) -> settings:
    return settings(max_examples=examples)


class Data(NamedTuple):
    """Examples and targets."""

    X: Array
    y: Array


class Answer(NamedTuple):
    """What the interior-point solver found."""

    optimum: float
    primal: Neurons
    mu: Array


def data(loss: str, kind: str, n: int, d: int, seed: int) -> Data:
    rng = np.random.default_rng(seed)
    X = positioned("general" if kind == "scaled" else kind, n, d, rng)
    if kind == "scaled":  # as a whole: rows of different lengths spoil the solver's optimum
        X *= 10.0 ** rng.uniform(-3.0, 3.0)
    X[0, 0] += 0.0 if X.any() else 1.0
    y = rng.standard_normal(n) * 10.0 ** rng.uniform(-1.0, 1.5)
    if LOSSES[loss].classification:
        y = rng.choice([-1.0, 1.0], n)
        y[:2] = [-1.0, 1.0]
    return Data(X, np.asarray(y, dtype=np.float64))


def patterns(X: Array, bias: bool, count: int, rng: np.random.Generator) -> Patterns:
    """Patterns of random generators."""
    Z = np.hstack([X, np.ones((len(X), 1))]) if bias else X
    return Patterns.generated(Z, rng.standard_normal((Z.shape[1], count)))


def solve(problem: Any) -> Answer | None:
    """Return the solver's answer; None where it is not sure of it."""
    program = problem.to_cvxpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program.problem.solve(
                solver=cp.CLARABEL, tol_gap_abs=1e-9, tol_gap_rel=1e-9, tol_feas=1e-9
            )
        except cp.SolverError:
            return None
    if program.problem.status != cp.OPTIMAL:
        return None
    primal, dual = program.points()
    return Answer(float(program.problem.value), primal, np.asarray(dual.mu, dtype=np.float64))


@lru_cache
def foreign(n: int) -> Array:
    """The dual point of another problem with as many examples."""
    X, y = data("squared", "general", n, 2, n)
    answer = solve(GatedReluTraining(X, y, beta=0.3, patterns=3))
    assert answer is not None
    return answer.mu


def guesses(problem: Any, answer: Answer, rng: np.random.Generator) -> list[Array]:
    """Dual guesses near and far: good, scaled, reversed, random, outside the domain, foreign."""
    form = problem._group_form
    n = len(form.y)
    size = max(float(np.abs(answer.mu).max()), 1e-3)
    found = [answer.mu * scale for scale in (1.0, 1.0 + 1e-7, 0.3, 3.0, 1e4, 1e-4, -1.0)]
    found += [answer.mu + level * size * rng.standard_normal(n) for level in (1e-9, 1e-5, 0.01, 1)]
    found += [10.0 ** rng.uniform(-6.0, 6.0) * rng.standard_normal(n) for _ in range(6)]
    found += [-form.loss.gradient(rng.standard_normal(n), form.y) for _ in range(3)]
    found += [form.y, -form.y, np.ones(n), np.zeros(n), np.eye(n)[rng.integers(n)]]
    found += [np.full(n, 1e-300), np.full(n, 1e100) * rng.choice([-1, 1], n)]
    found += [foreign(n), 0.01 * foreign(n)]
    found += [np.round(answer.mu / size * 2.0) * size]
    some = rng.choice(np.arange(1, len(found)), GUESSES, replace=False)
    return [np.asarray(found[k], dtype=np.float64) for k in (0, *some)]


def facet_guess(form: GroupForm, rng: np.random.Generator) -> Facets | None:
    """Facets that mean nothing, in the shape that the form's own would have."""
    n, d = form.X.shape
    shape = (form.blocks, d)
    index = rng.integers(-1, n + (0 if form.norm.rotates else d), shape)
    for row in index:  # a set: none twice
        row[:] = np.where(np.isin(np.arange(d), np.unique(row, return_index=True)[1]), row, -1)
    value = rng.standard_normal(shape) * 10.0 ** rng.uniform(-6.0, 6.0, shape)
    return None if rng.random() < 0.3 else Facets(index.astype(np.int32), value)


def assert_rigorous(problem: Any, seed: int, *, tight: bool = True) -> None:
    answer = solve(problem)
    if answer is None:  # the solver is not sure: nothing to compare with
        return
    rng = np.random.default_rng(seed)
    ceiling = answer.optimum + SLACK * max(1.0, abs(answer.optimum))
    nothing = problem.initial()[0]
    form = problem._group_form
    for k, mu in enumerate(guesses(problem, answer, rng)):
        facets = facet_guess(form, rng) if form.signs is not None else None
        primal = nothing if k % 2 else answer.primal
        bound = problem.certify(primal, Dual(mu, facets)).bound
        assert bound <= ceiling, (k, mu, bound, answer.optimum)  # fails for nan too
        assert np.isfinite(bound)
    if tight:
        own = problem.certify(answer.primal, Dual(answer.mu)).bound
        assert own >= answer.optimum - TIGHT * max(1.0, abs(answer.optimum)), (
            own,
            answer.optimum,
        )


@often(70)
@given(
    **common,
    penalty=st.sampled_from(["l2", "l1"]),
    leak=st.sampled_from([0.0, 0.0, 0.1, 0.9]),
    count=st.integers(1, 8),
    real=st.booleans(),
)
def test_relu_training(
    loss: str,
    kind: str,
    bias: bool,
    n: int,
    d: int,
    beta: float,
    seed: int,
    penalty: str,
    leak: float,
    count: int,
    real: bool,
) -> None:
    X, y = data(loss, kind, n, d, seed)
    rng = np.random.default_rng(seed)
    chosen = patterns(X, bias, count, rng) if real else Patterns(rng.random((n, count)) < 0.5)
    problem = ReluTraining(
        X, y, beta=beta, loss=loss, patterns=chosen, bias=bias, penalty=penalty, leak=leak
    )
    assert_rigorous(problem, seed)


@often(50)
@given(
    **common,
    penalty=st.sampled_from(["l2", "l1"]),
    leak=st.sampled_from([0.0, 0.2]),
    count=st.integers(1, 6),
)
def test_relu_training_with_a_free_linear_part(
    loss: str,
    kind: str,
    bias: bool,
    n: int,
    d: int,
    beta: float,
    seed: int,
    penalty: str,
    leak: float,
    count: int,
) -> None:
    X, y = data(loss, kind, n, d, seed)
    chosen = patterns(X, bias, count, np.random.default_rng(seed))
    problem = ReluTraining(
        X,
        y,
        beta=beta,
        loss=loss,
        patterns=chosen,
        bias=bias,
        penalty=penalty,
        leak=leak,
        skip=True,
    )
    # Columns that depend on each other but for rounding are independent as they are given: a free
    # part of enormous weights fits what a solver takes for out of reach.
    assert_rigorous(problem, seed, tight=kind not in ("antipodal", "deficient"))


@often(10)
@given(**(common | {"n": st.integers(2, 6), "d": st.integers(1, 2)}), skip=st.booleans())
def test_relu_training_over_all_patterns(
    loss: str, kind: str, bias: bool, n: int, d: int, beta: float, seed: int, skip: bool
) -> None:
    X, y = data(loss, kind, n, d, seed)
    problem = ReluTraining(X, y, beta=beta, loss=loss, bias=bias, skip=skip)
    assert_rigorous(problem, seed)


@often(40)
@given(**common, penalty=st.sampled_from(["l2", "l1", "nuclear"]), count=st.integers(1, 8))
def test_gated_training(
    loss: str,
    kind: str,
    bias: bool,
    n: int,
    d: int,
    beta: float,
    seed: int,
    penalty: str,
    count: int,
) -> None:
    X, y = data(loss, kind, n, d, seed)
    chosen = patterns(X, bias, count, np.random.default_rng(seed))
    problem = GatedReluTraining(
        X, y, beta=beta, loss=loss, patterns=chosen, bias=bias, penalty=penalty
    )
    assert_rigorous(problem, seed)


@often(30)
@given(**common, neurons=st.integers(1, 15))
def test_sampled_training(
    loss: str, kind: str, bias: bool, n: int, d: int, beta: float, seed: int, neurons: int
) -> None:
    X, y = data(loss, kind, n, d, seed)
    problem = SampledReluTraining(X, y, beta=beta, loss=loss, bias=bias, neurons=neurons, seed=seed)
    assert_rigorous(problem, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(600))
def test_any_training_problem(seed: int) -> None:
    rng = np.random.default_rng(seed)
    loss = str(rng.choice(list(LOSSES)))
    X, y = data(
        loss, str(rng.choice(KINDS)), int(rng.integers(2, 13)), int(rng.integers(1, 4)), seed
    )
    bias, beta = bool(rng.integers(2)), float(10.0 ** rng.uniform(-3.0, 1.0))
    shared: dict[str, Any] = {"beta": beta, "loss": loss, "bias": bias}
    chosen = patterns(X, bias, int(rng.integers(1, 9)), rng)
    penalty = str(rng.choice(["l2", "l1"]))
    problems = [
        SampledReluTraining(X, y, neurons=int(rng.integers(1, 16)), seed=seed, **shared),
        GatedReluTraining(X, y, patterns=chosen, penalty=penalty, **shared),
        *(
            ReluTraining(X, y, patterns=chosen, penalty=penalty, leak=leak, skip=skip, **shared)
            for leak in (0.0, 0.3)
            for skip in (False, True)
        ),
    ]
    assert_rigorous(problems[int(rng.integers(len(problems)))], seed)


def small(loss: str = "squared", **options: Any) -> ReluTraining:
    X, y = data(loss, "general", 9, 2, 5)
    return ReluTraining(X, y, loss=loss, **({"beta": 0.4, "patterns": 6} | options))


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_guess_that_is_not_finite_bounds_nothing(bad: float, skip: bool) -> None:
    problem = small(skip=skip)
    mu = np.ones(9)
    mu[4] = bad
    assert problem.certify(problem.initial()[0], Dual(mu)).bound == -np.inf


@pytest.mark.parametrize("shape", [(8,), (10,), (9, 1), (), (0,)])
def test_a_guess_of_another_shape_bounds_nothing(shape: tuple[int, ...]) -> None:
    problem = small()
    assert problem.certify(problem.initial()[0], Dual(np.ones(shape))).bound == -np.inf


@pytest.mark.parametrize("penalty", ["l2", "l1"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_multipliers_that_are_not_numbers_do_no_harm(bad: float, penalty: str) -> None:
    problem = small(penalty=penalty)
    answer = solve(problem)
    assert answer is not None
    form = problem._group_form
    shape = (form.blocks, form.X.shape[1])
    facets = Facets(
        np.tile(np.arange(shape[1], dtype=np.int32), (shape[0], 1)), np.full(shape, bad)
    )
    bound = problem.certify(answer.primal, Dual(answer.mu, facets)).bound
    assert not np.isnan(bound)
    assert bound <= answer.optimum * (1.0 + SLACK)


def test_facets_that_do_not_exist_do_no_harm() -> None:
    """In a process of its own: an unchecked index would write outside of an array."""
    code = """
import numpy as np
import convexnn as cx
from convexnn.relu.cones import Facets
from convexnn.forms import Dual
X = np.random.default_rng(0).standard_normal((9, 2))
problem = cx.ReluTraining(X, X[:, 0], beta=0.4, patterns=6, penalty="l1")
primal, dual = problem.initial()
expected = problem.certify(primal, dual).bound
shape = (problem._group_form.blocks, 2)
for index in (11, 12, 1000, 10**8, -5):
    facets = Facets(np.full(shape, index, np.int32), np.ones(shape))
    bound = problem.certify(primal, Dual(dual.mu, facets)).bound
    assert abs(bound - expected) <= 1e-9 * abs(expected), (index, bound, expected)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_facets_of_another_shape_are_ignored() -> None:
    problem = small()
    primal, dual = problem.initial()
    wrong = Facets(np.zeros((1, 1), np.int32), np.ones((1, 1)))
    expected = problem.certify(primal, dual).bound
    assert problem.certify(primal, dual._replace(facets=wrong)).bound == expected


def test_a_guess_of_facets_is_not_written() -> None:
    problem = small()
    form = problem._group_form
    facets = Facets(np.zeros((form.blocks, 2), np.int32), np.ones((form.blocks, 2)))
    problem.certify(problem.initial()[0], Dual(np.arange(9.0), facets))
    assert not facets.example.any()
    assert (facets.value == 1.0).all()


@pytest.mark.parametrize("loss", list(LOSSES))
@pytest.mark.parametrize("penalty", ["l2", "l1"])
def test_a_large_penalty_leaves_the_zero_network_certified(loss: str, penalty: str) -> None:
    problem = small(loss, beta=1e4, penalty=penalty)
    certificate = problem.certify(*problem.initial())
    assert certificate.gap <= 1e-9
    form = problem._group_form
    assert certificate.objective == pytest.approx(float(form.loss.value(np.zeros(9), form.y).sum()))


@pytest.mark.parametrize("loss", list(LOSSES))
def test_scaled_value_is_the_best_value_along_the_ray(loss: str) -> None:
    form = small(loss)._group_form
    rng = np.random.default_rng(0)
    for limit in (0.05, 0.7, 2.0, np.inf):
        for _ in range(5):
            mu = -form.loss.clip(3.0 * rng.standard_normal(9), form.y)

            def loss_along(t: float, mu: Array = mu) -> float:
                return float(np.sum(form.loss.conjugate(form.loss.clip(-t * mu, form.y), form.y)))

            low, high = (np.broadcast_to(bound, mu.shape) for bound in form.loss.domain(form.y))
            inside = [
                t
                for t in np.linspace(0.0, min(limit, 4.0), 4001)
                if (low <= -t * mu).all() and (-t * mu <= high).all()
            ]
            found = minimize_scalar(loss_along, bounds=(0.0, inside[-1]), method="bounded")
            best = -min(float(found.fun), loss_along(0.0), loss_along(inside[-1]))
            value = scaled_value(form.loss, exactly(form, mu), limit)
            assert value >= best - 1e-9 * (1.0 + abs(best))
            assert value <= best + 0.02 * (1.0 + abs(best))  # the grid's end is not the domain's


@pytest.mark.parametrize("loss", list(LOSSES))
def test_what_is_near_a_feasible_point_is_worth_no_more_than_it(loss: str) -> None:
    """Nor does a neuron there have more than the worth that is added."""
    form = small(loss)._group_form
    rng = np.random.default_rng(3)
    low, high = (np.broadcast_to(bound, (9,)) for bound in form.loss.domain(form.y))
    for _ in range(20):
        mu = -np.clip(rng.standard_normal(9), np.maximum(low, -5.0), np.minimum(high, 5.0))
        spread = np.minimum(rng.uniform(0.0, 0.1, 9), np.minimum(high + mu, -mu - low))
        near = Feasible(mu, spread, form.y, 0.01 * np.ones(9))
        worth = largest_correlation(form, mu, None, 0.0) + near.more(form, 0.0, 1.0)
        value = scaled_value(form.loss, near, 0.9)
        for _ in range(20):
            other = mu + spread * rng.choice([-1.0, 0.3, 1.0], 9)
            assert largest_correlation(form, other, None, 0.0) <= worth
            moved = exactly(form, other)._replace(target=form.y)
            assert value <= scaled_value(form.loss, moved, 0.9) + 1e-12
    assert near.more(form, 0.5, 2.0) == pytest.approx(2.0 * near.more(form, 0.5, 1.0))


@pytest.mark.parametrize("loss", list(LOSSES))
def test_balanced_is_the_nearest_point_of_the_domain_with_no_linear_part(loss: str) -> None:
    form = small(loss, skip=True)._group_form
    rng = np.random.default_rng(1)
    for size in (0.1, 1.0, 30.0):
        guess = -form.loss.clip(size * rng.standard_normal(9), form.y)
        mu = balanced(form, guess)
        assert np.linalg.norm(form.X.T @ mu) <= 1e-9 * (1.0 + np.linalg.norm(guess))
        np.testing.assert_allclose(form.loss.clip(-mu, form.y), -mu, atol=1e-15)
        low, high = (np.broadcast_to(bound, mu.shape) for bound in form.loss.domain(form.y))
        nearest = cp.Variable(9)
        inside = [-nearest >= low, -nearest <= high] if np.isfinite(low).all() else []
        problem = cp.Problem(
            cp.Minimize(cp.sum_squares(nearest - guess)), [form.X.T @ nearest == 0.0, *inside]
        )
        problem.solve(solver=cp.CLARABEL)
        np.testing.assert_allclose(mu, nearest.value, atol=2e-4 * (1.0 + size))


@pytest.mark.parametrize("penalty", ["l2", "l1"])
def test_largest_correlation_covers_every_neuron_of_the_cones(penalty: str) -> None:
    """No feasible unit neuron correlates more with the guess than the bound says."""
    form = small(penalty=penalty)._group_form
    assert form.signs is not None
    rng = np.random.default_rng(2)
    for _ in range(10):
        mu = rng.standard_normal(9)
        limit = largest_correlation(form, mu, None, 0.0)
        v = rng.standard_normal((4000, 2))
        v /= form.norm.value(v)[:, None]
        rows = form.correlate(mu)
        best = 0.0
        for b in range(form.blocks):
            A = form.signs[b % len(form.signs)][:, None] * form.X
            inside = v[(v @ A.T >= 0.0).all(axis=1)]
            best = max(best, float(np.max(inside @ rows[b], initial=0.0)))
        assert best <= limit
        if penalty == "l2" and limit > form.beta:  # below beta nothing tighter is needed
            assert best >= 0.98 * limit
        # where the guess is feasible the bound says so, whatever the norm
        feasible = 0.9 * form.beta / limit * mu
        assert largest_correlation(form, feasible, None, 0.0) <= form.beta * (1.0 + 1e-12)


def test_slack_of_the_data_lowers_the_bound() -> None:
    problem = small()
    form = problem._group_form
    _, dual = problem.initial()
    bounds = [lower_bound(form, dual, slack=slack) for slack in (0.0, 1e-3, 0.1, 10.0)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] > bounds[-1]


@pytest.mark.parametrize("loss", list(LOSSES))
@pytest.mark.parametrize("penalty", ["l2", "l1"])
@pytest.mark.parametrize("skip", [False, True])
def test_the_bound_over_all_patterns_is_tight_and_never_above(
    loss: str, penalty: str, skip: bool
) -> None:
    """Against the program over every cell, solved to 1e-8; a millionth too high would show."""
    X, y = data(loss, "general", 12, 2, seed=4)
    problem = ReluTraining(X, y, beta=0.3, loss=loss, penalty=penalty, skip=skip)
    solution = cx.solve(problem, "ipm", tol=1e-7)
    assert solution.status is cx.Status.OPTIMAL
    form = problem.canonical(NetworkForm)
    rng = np.random.default_rng(0)
    size = max(1.0, solution.objective)
    own = solution.dual.mu
    guesses = [own * (1.0 + share * rng.standard_normal(12)) for share in (0.0, 1e-3, 0.1, 1.0)]
    bounds = [network_bound(form, mu, covers(form, mu, 5_000)) for mu in [*guesses, -form.y]]
    assert max(bounds) <= solution.objective + 1e-9 * size
    assert bounds[0] >= solution.objective - 3e-7 * size


@pytest.mark.parametrize("patterns", [None, 5])
@pytest.mark.parametrize("formulation", ["cones", "majorant"])
def test_linear_part_that_the_network_has_not_is_not_graded(
    patterns: int | None, formulation: str
) -> None:
    X = np.random.default_rng(0).standard_normal((8, 2))
    problem = cx.ReluTraining(X, X[:, 0], beta=0.1, patterns=patterns, formulation=formulation)
    primal, dual = problem.initial()
    fits = primal._replace(skip=problem.design.scale * np.array([1.0, 0.0]))
    assert problem.certify(fits, dual) == problem.certify(primal, dual)

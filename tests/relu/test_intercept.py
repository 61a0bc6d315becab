"""A free constant in each output: the same whoever finds it, and worth what it costs, nothing."""

from __future__ import annotations

from dataclasses import replace
from decimal import Context, Decimal
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.arrays import Array

N, D, TOL = 12, 2, 1e-6
RNG = np.random.default_rng(2)
X = RNG.standard_normal((N, D))
TARGETS = 3.0 + np.abs(X[:, 0]) - X[:, 1] + 0.3 * RNG.standard_normal(N)
SEVERAL = np.column_stack([TARGETS, X[:, 1] ** 2 - 7.0])
LABELS = np.where(np.abs(X[:, 0]) + 0.7 * RNG.standard_normal(N) > 0.2, 1, -1)
CLASSES = np.arange(N) % 3
PATTERNS = cx.sample_patterns(X, 5)
COUNTS = np.array([1, 2, 0, 1, 3, 1, 1, 2, 1, 0, 1, 1])
REPEATED = np.repeat(np.arange(N), COUNTS)

ONE_VS_REST: dict[str, Any] = {"loss": "logistic", "multiclass": "one-vs-rest"}
CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "relu squared": (cx.ReluTraining, TARGETS, {}),
    "relu logistic bias": (cx.ReluTraining, LABELS, {"loss": "logistic", "bias": True}),
    "relu hinge l1": (cx.ReluTraining, LABELS, {"loss": "hinge", "penalty": "l1"}),
    "relu huber skip": (cx.ReluTraining, TARGETS, {"loss": "huber", "skip": True}),
    "relu skip bias": (cx.ReluTraining, TARGETS, {"skip": True, "bias": True, "leak": 0.1}),
    "relu several": (cx.ReluTraining, SEVERAL, {}),
    "relu classes": (cx.ReluTraining, CLASSES, ONE_VS_REST),
    "majorant squared": (cx.ReluTraining, TARGETS, {"formulation": "majorant"}),
    "majorant logistic": (
        cx.ReluTraining,
        LABELS,
        {"loss": "logistic", "formulation": "majorant"},
    ),
    "gated huber": (cx.GatedReluTraining, TARGETS, {"loss": "huber"}),
    "gated several": (cx.GatedReluTraining, SEVERAL, {"penalty": "l1"}),
    "gated nuclear": (cx.GatedReluTraining, SEVERAL, {"penalty": "nuclear"}),
    "relu softmax": (cx.ReluTraining, CLASSES, {"loss": "softmax"}),
    "gated softmax": (cx.GatedReluTraining, CLASSES, {"loss": "softmax", "penalty": "nuclear"}),
    "sampled squared": (cx.SampledReluTraining, TARGETS, {"neurons": 9}),
    "sampled logistic": (cx.SampledReluTraining, LABELS, {"neurons": 9, "loss": "logistic"}),
}
EXCUSED = ("cvxpy:scs", "mpi:fista")


@cache
def problem(case: str, **changes: Any) -> Any:
    kind, y, own = CASES[case]
    if kind is not cx.SampledReluTraining:
        own = {"patterns": PATTERNS if not own.get("bias") else 5} | own
    return kind(X, y, **({"beta": 0.3, "intercept": True} | own | changes))


@cache
def answer(case: str, backend: str) -> cx.Solution:
    return cx.solve(problem(case), backend, tol=TOL)


def by_hand(case: str, model: Any) -> float:
    _, y, own = CASES[case]
    hidden = X @ model.U + model.bias
    if model.gates is None:
        hidden = np.maximum(hidden, model.leak * hidden)
    else:
        hidden = hidden * (X @ model.gates >= 0.0)
    z = hidden @ model.alpha + model.skip_bias
    z = z if model.offsets is None else z + model.offsets
    z = z if model.skip is None else z + (X @ model.skip)[:, None]
    y = np.where(y[:, None] == np.arange(3), 1, -1) if y is CLASSES else y
    r = y.reshape(N, -1) - z
    margin = y.reshape(N, -1) * z
    classes = np.log(np.exp(z).sum(axis=1)) - z[np.arange(N), CLASSES % z.shape[1]]
    loss = {
        "softmax": classes,
        "squared": 0.5 * r**2,
        "huber": np.where(np.abs(r) <= 1.0, 0.5 * r**2, np.abs(r) - 0.5),
        "logistic": np.logaddexp(0.0, -margin),
        "hinge": np.maximum(0.0, 1.0 - margin),
    }[own.get("loss", "squared")]
    first = np.vstack([model.U, model.bias])
    length = (
        np.abs(first).sum(axis=0) if own.get("penalty") == "l1" else np.linalg.norm(first, axis=0)
    )
    return float(np.sum(loss)) + 0.15 * float(np.sum(length**2) + np.sum(model.alpha**2))


PRODUCT = [
    pytest.param(case, backend, id=f"{case}-{backend}")
    for case in CASES
    for backend in cx.backends(problem(case)).names
    if backend not in EXCUSED
]


@pytest.mark.parametrize(("case", "backend"), PRODUCT)
def test_every_backend_finds_the_same_optimum_with_a_constant(case: str, backend: str) -> None:
    solution, best = answer(case, backend), answer(case, "cvxpy:clarabel")
    assert solution.status is cx.Status.OPTIMAL, repr(solution)
    size = max(1.0, abs(best.objective))
    assert abs(solution.objective - best.objective) <= (solution.gap + best.gap + 1e-9) * size
    assert max(solution.bound, best.bound) <= min(solution.objective, best.objective) + 1e-9 * size
    found = by_hand(case, solution.model)
    assert found <= solution.objective + 1e-7 * size
    assert found >= solution.objective - 1e-7 * size or case.startswith("majorant")
    assert solution.objective <= cx.solve(problem(case, intercept=False), tol=1e-4).objective + 1e-3


@pytest.mark.parametrize("case", ["relu squared", "gated huber", "sampled squared"])
def test_a_shift_of_the_targets_is_one_of_the_constant(case: str) -> None:
    y = CASES[case][1]
    far = replace(problem(case), y=y + 1e6)
    near, moved = (cx.solve(p, "semismooth", tol=1e-6) for p in (problem(case), far))
    assert moved.objective == pytest.approx(near.objective, rel=1e-5)
    assert moved.bound <= near.objective * (1.0 + 1e-9)
    assert moved.bound >= near.bound - 1e-4
    assert moved.model.skip_bias - near.model.skip_bias == pytest.approx(1e6, rel=1e-8)
    constant = near.model.skip_bias
    without = replace(problem(case), y=y - constant, intercept=False)
    assert cx.solve(without, tol=1e-7).objective == pytest.approx(near.objective, rel=1e-6)
    other = replace(without, y=y - constant - 0.2)
    assert cx.solve(other, tol=1e-7).objective > near.objective * (1.0 + 1e-4)


def test_a_linear_part_over_a_column_of_ones_has_the_constant_already() -> None:
    with_one = problem("relu skip bias")
    without = replace(with_one, intercept=False)
    assert cx.solve(with_one).objective == cx.solve(without).objective
    level = np.column_stack([X, np.full(N, 0.3)])
    own: dict[str, Any] = {"beta": 0.3, "patterns": PATTERNS, "skip": True}
    solution = cx.solve(cx.ReluTraining(level, TARGETS, intercept=True, **own), tol=TOL)
    assert solution.status is cx.Status.OPTIMAL
    assert solution.objective == cx.solve(cx.ReluTraining(level, TARGETS, **own), tol=TOL).objective


@pytest.mark.parametrize(
    "case",
    [
        *("relu squared", "relu logistic bias", "relu several", "relu softmax"),
        *("gated nuclear", "sampled logistic"),
    ],
)
def test_whole_weights_are_repeated_rows_beside_a_constant(case: str) -> None:
    kind, y, own = CASES[case]
    own = {"beta": 0.3, "intercept": True} | own
    weighted, rows = dict(own), dict(own)
    if kind is not cx.SampledReluTraining and not own.get("bias"):
        weighted["patterns"] = PATTERNS
        rows["patterns"] = cx.Patterns(PATTERNS.matrix[REPEATED], PATTERNS.generators)
    elif kind is cx.ReluTraining:
        weighted["patterns"] = rows["patterns"] = 5
    one = cx.solve(kind(X, y, weights=COUNTS, **weighted), tol=TOL)
    other = cx.solve(kind(X[REPEATED], y[REPEATED], **rows), tol=TOL)
    assert one.objective == pytest.approx(other.objective, rel=3e-6)
    assert one.bound <= other.objective + 1e-9
    assert other.bound <= one.objective + 1e-9
    assert np.allclose(one.model.decision_function(X), other.model.decision_function(X), atol=0.02)


@pytest.mark.parametrize(
    ("y", "own"),
    [
        (TARGETS, {}),
        (LABELS, {"loss": "logistic"}),
        (SEVERAL, {}),
        (TARGETS, {"skip": True}),
        (CLASSES, {"loss": "softmax"}),
    ],
)
def test_over_all_patterns_the_search_has_the_constant_too(y: Array, own: dict[str, Any]) -> None:
    everything = cx.ReluTraining(X, y, beta=0.5, intercept=True, **own)
    listed = cx.solve(everything, "semismooth", tol=1e-6)
    found = cx.solve(everything, "cell-walk", tol=1e-4, starts=2, width=10, time_limit=30)
    assert found.status is cx.Status.OPTIMAL, repr(found)
    assert found.objective == pytest.approx(listed.objective, rel=2e-4)
    assert found.bound <= listed.objective * (1.0 + 1e-9)
    assert listed.bound <= found.objective * (1.0 + 1e-9)


def test_in_many_dimensions_a_relaxation_bounds_it() -> None:
    rng = np.random.default_rng(5)
    Z = rng.standard_normal((30, 14))
    y = 5.0 + np.maximum(Z[:, 0], 0.0)
    searched = cx.ReluTraining(Z, y, beta=2.0, intercept=True)
    solution = cx.solve(searched, "cell-walk", tol=1e-2, starts=1, width=6, max_iter=1)
    assert np.isfinite(solution.bound)
    assert solution.bound <= solution.objective
    assert solution.bound > 0.0
    constant = cx.ReluTraining(Z, y - np.mean(y), beta=2.0)
    assert solution.objective <= constant.objective(solution.primal) + 1e-9


def test_a_gated_network_with_a_constant_is_decomposed_with_it() -> None:
    gated = problem("gated huber")
    solution = answer("gated huber", "semismooth")
    relu = gated.decompose(solution.primal)
    assert np.allclose(relu.network.predict(X), solution.model.predict(X), atol=1e-8)
    assert relu.network.skip_bias == solution.model.skip_bias


def test_a_path_starts_where_the_constant_alone_is_best() -> None:
    regression = problem("relu squared")
    top = cx.beta_max(regression)
    alone = cx.solve(replace(regression, beta=1.001 * top), tol=1e-8).model
    assert len(alone) == 0
    assert alone.skip_bias == pytest.approx(np.mean(TARGETS), rel=1e-5)
    assert len(cx.solve(replace(regression, beta=0.98 * top), tol=1e-8).model) > 0


def test_offsets_of_several_outputs_are_saved_and_used(tmp_path: Path) -> None:
    solution = answer("relu several", "semismooth")
    model = solution.model
    assert model.offsets is not None
    assert model.offsets.shape == (2,)
    model.save(tmp_path / "model.npz")
    assert np.array_equal(
        cx.TwoLayerNetwork.load(tmp_path / "model.npz").predict(X), model.predict(X)
    )
    solution.save(tmp_path / "solution.npz")
    assert cx.load(tmp_path / "solution.npz").problem.intercept
    bare = replace(model, offsets=None)
    assert np.allclose(model.predict(X) - bare.predict(X), model.offsets)
    with pytest.raises(cx.ProblemError, match="offsets must have shape"):
        replace(model, offsets=np.ones(3))


def test_a_path_of_classes_starts_at_their_shares() -> None:
    y = np.repeat([0, 1, 2], [2, 3, 7])
    classes = cx.ReluTraining(X, y, beta=1.0, loss="softmax", intercept=True, patterns=PATTERNS)
    top = cx.beta_max(classes)
    alone = cx.solve(replace(classes, beta=1.001 * top), tol=1e-8).model
    assert len(alone) == 0
    assert alone.offsets == pytest.approx(np.log([2, 3, 7]) - np.mean(np.log([2, 3, 7])), abs=1e-3)
    assert len(cx.solve(replace(classes, beta=0.98 * top), tol=1e-8).model) > 0


@pytest.mark.parametrize("weights", [None, np.arange(1.0, 13.0)])
def test_no_multipliers_prove_more_than_constants_pay(weights: Array | None) -> None:
    """Above `beta_max` the optimum is an entropy, ``sum_c n_c log(n / n_c)``, here exactly."""
    y = np.repeat([0, 1, 2], [1, 4, 7])
    counts = [Decimal(int(part)) for part in np.bincount(y, weights)]
    context = Context(prec=50)
    best = sum(n * context.ln(sum(counts) / n) for n in counts)
    problem = cx.ReluTraining(
        X, y, beta=1e3, loss="softmax", intercept=True, patterns=PATTERNS, weights=weights
    )
    solution = cx.solve(problem, tol=1e-9)
    assert 0 <= best - Decimal(solution.bound) <= Decimal("1e-9")
    rng = np.random.default_rng(0)
    for size in 10.0 ** rng.uniform(-17.0, 3.0, 100):
        mu = solution.dual.mu * rng.choice([1.0, 1e-300, 1e300])
        mu = mu + size * rng.standard_normal(mu.shape)
        bound = problem.certify(solution.primal, solution.dual._replace(mu=mu)).bound
        assert Decimal(bound) <= best
        assert bound >= 0.0
    each = np.ones(N) if weights is None else weights
    unsure = solution.dual._replace(mu=each[:, None] * (np.eye(3)[y] - 1.0 / 3.0))
    assert problem.certify(solution.primal, unsure).bound <= best < each.sum() * np.log(3.0)


@pytest.mark.parametrize("kind", [cx.ReluTraining, cx.GatedReluTraining])
def test_an_intercept_is_asked_for_by_true_or_false(kind: Any) -> None:
    with pytest.raises(cx.ProblemError, match="intercept must be True or False"):
        kind(X, TARGETS, beta=0.3, intercept="yes")


def test_one_output_is_all_that_majorants_of_networks_take() -> None:
    with pytest.raises(cx.BackendError, match="takes one output"):
        cx.solve(cx.ReluTraining(X, SEVERAL, beta=0.3), "convex-concave")

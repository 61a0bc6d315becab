"""Weights of examples: whole numbers are repeated rows, whatever the problem and the backend."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.arrays import Array

N, D, TOL = 10, 2, 1e-5
COUNTS = np.array([2, 0, 1, 3, 1, 1, 0, 2, 1, 1])
REPEATED = np.repeat(np.arange(N), COUNTS)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, D))
TARGETS = np.abs(X[:, 0]) - X[:, 1] + 0.3 * RNG.standard_normal(N)
LABELS = np.where(TARGETS > 0.0, "up", "down")
LABELS[3] = "down"
MIXED = np.where(X[:, 0] * X[:, 1] > 0.0, "up", "down")  # no linear part separates them
SEVERAL = np.column_stack([TARGETS, X[:, 1] ** 2])
CLASSES = np.arange(N) % 3
IMAGES = np.stack([np.roll(X, k, axis=1) for k in range(D)], axis=1)
PATTERNS = cx.sample_patterns(X, 4)
PATCHES = RNG.standard_normal((N, 4, 3)) > 0.0

GIVEN: dict[str, Any] = {"beta": 0.3, "patterns": PATTERNS}
CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "relu squared": (cx.ReluTraining, TARGETS, GIVEN),
    "relu logistic skip": (
        cx.ReluTraining,
        MIXED,
        GIVEN | {"loss": "logistic", "skip": True},
    ),
    "relu hinge l1": (cx.ReluTraining, LABELS, GIVEN | {"loss": "hinge", "penalty": "l1"}),
    "relu huber leak": (cx.ReluTraining, TARGETS, GIVEN | {"loss": "huber", "leak": 0.1}),
    "relu several": (cx.ReluTraining, SEVERAL, GIVEN),
    "relu softmax": (cx.ReluTraining, CLASSES, GIVEN | {"loss": "softmax"}),
    "majorant logistic": (
        cx.ReluTraining,
        LABELS,
        GIVEN | {"loss": "logistic", "formulation": "majorant"},
    ),
    "majorant squared": (cx.ReluTraining, TARGETS, GIVEN | {"formulation": "majorant"}),
    "gated squared": (cx.GatedReluTraining, TARGETS, GIVEN),
    "gated softmax": (cx.GatedReluTraining, CLASSES, GIVEN | {"loss": "softmax"}),
    "gated hinge nuclear": (
        cx.GatedReluTraining,
        CLASSES,
        GIVEN | {"loss": "hinge", "multiclass": "one-vs-rest", "penalty": "nuclear"},
    ),
    "sampled logistic": (
        cx.SampledReluTraining,
        LABELS,
        {"beta": 0.3, "loss": "logistic", "neurons": 9},
    ),
    "relu cvar": (cx.ReluTraining, TARGETS, GIVEN | {"risk": cx.Cvar(0.4)}),
    "gated chi-square": (
        cx.GatedReluTraining,
        MIXED,
        GIVEN | {"loss": "logistic", "risk": cx.ChiSquare(0.3)},
    ),
    "sampled variation": (
        cx.SampledReluTraining,
        LABELS,
        {"beta": 0.3, "loss": "hinge", "neurons": 9, "risk": cx.TotalVariation(0.2)},
    ),
    "narrow entropic": (
        cx.UnivariateReluTraining,
        TARGETS,
        {"beta": 0.3, "risk": cx.Entropic(0.2)},
    ),
    "threshold huber": (cx.ThresholdTraining, TARGETS, GIVEN | {"loss": "huber"}),
    "conv squared": (
        cx.ConvReluTraining,
        TARGETS,
        {"beta": 0.3, "filter_size": 1, "patterns": 4},
    ),
    "conv gated hinge": (
        cx.ConvGatedReluTraining,
        LABELS,
        {"beta": 0.1, "loss": "hinge", "filter_size": 1, "patterns": 4},
    ),
    **{
        f"robust {loss} {formulation}": (
            cx.RobustReluTraining,
            TARGETS if loss == "squared" else LABELS,
            GIVEN | {"loss": loss, "formulation": formulation, "radius": 0.03},
        )
        for loss in ("squared", "logistic", "hinge")
        for formulation in ("majorant", "cones")
    },
    "narrow squared": (cx.UnivariateReluTraining, TARGETS, {"beta": 0.3}),
    "narrow logistic": (
        cx.UnivariateReluTraining,
        LABELS,
        {"beta": 0.3, "loss": "logistic", "activation": "threshold"},
    ),
}
LINEAR: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    f"{loss} {norm} order {order:g} cost {cost:g}": (
        cx.WassersteinClassification,
        LABELS if order == 2.0 or radius else MIXED,
        {"loss": loss, "norm": norm, "order": order, "flip_cost": cost, "radius": radius},
    )
    for loss, norm, order, cost, radius in (
        ("logistic", "l2", 1.0, np.inf, 0.1),
        ("logistic", "linf", 1.0, 0.4, 0.05),
        ("logistic", "l1", np.inf, np.inf, 0.1),
        ("logistic", "l2", 1.0, 1.0, 0.0),
        ("hinge", "l2", 1.0, 0.5, 0.04),
        ("hinge", "l1", 1.0, np.inf, 0.1),
        ("hinge", "l2", 2.0, np.inf, 0.3),
        ("hinge", "linf", 2.0, np.inf, 0.2),
        ("hinge", "l2", np.inf, np.inf, 0.2),
    )
} | {
    f"{loss} {norm} order {order:g} target {cost:g}": (
        cx.WassersteinRegression,
        TARGETS,
        {"loss": loss, "norm": norm, "order": order, "target_cost": cost, "radius": radius},
    )
    for loss, norm, order, cost, radius in (
        ("squared", "l2", 2.0, np.inf, 0.1),
        ("squared", "l1", 2.0, 2.0, 0.1),
        ("squared", "linf", np.inf, 0.5, 0.1),
        ("squared", "l2", 2.0, np.inf, 0.0),
        ("absolute", "l1", 1.0, 3.0, 0.05),
        ("huber", "l2", 1.0, np.inf, 0.1),
        ("quantile", "linf", 1.0, np.inf, 0.1),
    )
}
EXCUSED = ("cvxpy:scs", "mpi:fista")  # the one is inaccurate at times, the other starts processes
ALIKE = ("V", "W", "skip")  # of a primal point, where both problems have the same coordinates


def data_of(case: str) -> Array:
    if case.startswith("conv"):
        return IMAGES
    return X[:, 0] if case.startswith("narrow") else X


def on(patterns: cx.Patterns, rows: Any) -> cx.Patterns:
    return cx.Patterns(patterns.matrix[rows], patterns.generators)


@cache
def weighted(case: str) -> Any:
    kind, y, own = CASES[case]
    return kind(data_of(case), y, weights=COUNTS, **own)


@cache
def repeated(case: str) -> Any:
    kind, y, own = CASES[case]
    if isinstance(own.get("patterns"), cx.Patterns):
        own = own | {"patterns": on(own["patterns"], REPEATED)}
    return kind(data_of(case)[REPEATED], y[REPEATED], **own)


@cache
def reference(case: str) -> cx.Solution:
    return cx.solve(repeated(case), "cvxpy:clarabel", tol=TOL)


def apart(dual: Any) -> Any:
    """A dual point of the weighted problem as one of the repeated rows: each copy has a share."""
    kept = COUNTS[COUNTS > 0]
    rows = np.repeat(np.arange(len(kept)), kept)
    shares = {}
    for name in ("mu", "common", "left", "right"):
        part = getattr(dual, name, None)
        if part is not None:
            shares[name] = part[rows] / kept[rows].reshape(-1, *(1,) * (part.ndim - 1))
    for name in ("attack", "kinks"):
        if getattr(dual, name, None) is not None:
            shares[name] = getattr(dual, name)[rows]
    if getattr(dual, "facets", None) is not None:
        shares["facets"] = None
    return dual._replace(**shares)


PRODUCT = [
    pytest.param(case, backend, id=f"{case}-{backend}")
    for case in CASES
    for backend in cx.backends(weighted(case)).names
    if backend not in EXCUSED
]


@pytest.mark.parametrize(("case", "backend"), PRODUCT)
def test_whole_weights_are_repeated_rows(case: str, backend: str) -> None:
    problem, rows = weighted(case), repeated(case)
    solution = cx.solve(problem, backend, tol=TOL)
    assert solution.status is cx.Status.OPTIMAL, repr(solution)
    size = max(1.0, abs(solution.objective))
    best = reference(case)
    assert abs(solution.objective - best.objective) <= (solution.gap + best.gap + 1e-9) * size
    assert solution.bound <= best.objective + 1e-9 * size
    if case.startswith("narrow"):  # the offset of a network is told by its mean output
        return
    there = rows.certify(solution.primal, apart(solution.dual))
    assert there.objective == pytest.approx(solution.objective, rel=1e-12, abs=1e-12)
    assert there.violation == pytest.approx(solution.violation, abs=1e-12)
    assert there.bound == pytest.approx(solution.bound, rel=1e-6, abs=1e-6)
    model, other = solution.model, rows.build_model(solution.primal)
    given = data_of(case)  # rows of weight 0 among them
    assert np.allclose(model.decision_function(given), other.decision_function(given), atol=1e-12)


@cache
def spread(case: str, repeat: bool) -> Any:
    kind, y, own = LINEAR[case]
    if repeat:
        return kind(X[REPEATED], y[REPEATED], **own)
    return kind(X, y, weights=COUNTS, **own)


@pytest.mark.parametrize(
    ("case", "backend"),
    [
        pytest.param(case, backend, id=f"{case}-{backend}")
        for case in LINEAR
        for backend in cx.backends(spread(case, False)).names
        if backend not in EXCUSED
    ],
)
def test_whole_weights_are_repeated_samples_of_a_distribution(case: str, backend: str) -> None:
    problem, rows = spread(case, False), spread(case, True)
    solution = cx.solve(problem, backend, tol=TOL)
    assert solution.status is cx.Status.OPTIMAL, repr(solution)
    best = cx.solve(rows, "cvxpy:clarabel", tol=TOL)
    size = max(1.0, abs(solution.objective))
    assert abs(solution.objective - best.objective) <= (solution.gap + best.gap + 1e-9) * size
    assert solution.bound <= best.objective + 1e-9 * size
    kept = COUNTS[COUNTS > 0]
    copies = np.repeat(np.arange(len(kept)), kept)
    if problem.radius > 0.0:  # of radius 0 the coordinates are those that the rows themselves span
        shift = (problem.coordinates.mean - rows.coordinates.mean) @ solution.model.coef
        coef = solution.primal.coef * (rows.coordinates.scale / problem.coordinates.scale)
        there = type(solution.primal)(coef, solution.primal.intercept - shift)
        dual = type(solution.dual)(*(part[copies] for part in solution.dual))
        again = rows.certify(there, dual)
        assert again.objective == pytest.approx(solution.objective, rel=1e-9)
        assert again.bound == pytest.approx(solution.bound, rel=1e-5, abs=1e-6)
    worst = solution.model.worst_case
    masses = np.bincount(worst.atoms.source, worst.atoms.mass, len(kept))
    assert np.allclose(masses, kept / kept.sum(), rtol=1e-9)
    assert worst.atoms.transport(problem.order) <= problem.radius * (1.0 + 1e-9)
    expected = problem.expected_loss(solution.model, worst.atoms)
    assert expected == pytest.approx(solution.objective, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    "case", ["logistic linf order 1 cost 0.4", "squared l2 order 2 target inf"]
)
def test_gradients_of_a_weighted_worst_case_are_its_differences(case: str) -> None:
    problem = spread(case, False)
    form = problem.form
    point = cx.solve(problem, tol=1e-3).primal
    z, t, step = form.predict(point), form.length(point), 1e-6
    slopes = form.ball.counted(form.ball.derivative(z, form.y, t)) / len(z)
    for i in range(len(z)):
        up, down = z.copy(), z.copy()
        up[i] += step
        down[i] -= step
        change = (form.ball.risk(up, form.y, t) - form.ball.risk(down, form.y, t)) / (2.0 * step)
        assert change == pytest.approx(slopes[i], abs=1e-4)


def test_equal_weights_change_nothing_and_only_shares_count() -> None:
    plain = cx.WassersteinClassification(X, LABELS, radius=0.1)
    equal = replace(plain, weights=np.full(N, 7.0))
    assert cx.solve(equal).objective == cx.solve(plain).objective
    weights = np.linspace(1.0, 2.0, N)
    one, ten = (cx.solve(replace(plain, weights=c * weights), tol=1e-8) for c in (1.0, 10.0))
    assert one.objective == pytest.approx(ten.objective, rel=1e-7)
    assert one.objective != pytest.approx(cx.solve(plain).objective, rel=1e-3)


@pytest.mark.parametrize("case", CASES)
def test_both_problems_are_offered_to_the_same_backends(case: str) -> None:
    assert cx.backends(weighted(case)).names == cx.backends(repeated(case)).names


@pytest.mark.parametrize(
    ("kind", "y", "own", "backend"),
    [
        (cx.ReluTraining, TARGETS, {"beta": 0.5}, "cell-walk"),
        (cx.ReluTraining, LABELS, {"beta": 0.5, "loss": "logistic", "bias": True}, "cell-walk"),
        (cx.ReluTraining, CLASSES, {"beta": 0.8, "loss": "softmax"}, "cell-walk"),
        (cx.ConvReluTraining, TARGETS, {"beta": 0.5, "filter_size": 1}, "cell-walk"),
    ],
)
def test_over_all_patterns_whole_weights_are_repeated_rows(
    kind: Any, y: Array, own: dict[str, Any], backend: str
) -> None:
    data = IMAGES if kind is cx.ConvReluTraining else X
    options: dict[str, Any] = {"tol": 1e-4, "starts": 2, "width": 8, "time_limit": 30}
    solution = cx.solve(kind(data, y, weights=COUNTS, **own), backend, **options)
    rows = cx.solve(kind(data[REPEATED], y[REPEATED], **own), backend, **options)
    assert solution.certificate.scope.startswith("all patterns")
    for one, other in ((solution, rows), (rows, solution)):
        assert one.bound <= other.objective + 1e-9
        assert one.gap <= 1e-3
    again = rows.problem.objective(solution.primal)
    assert again == pytest.approx(solution.objective, rel=1e-10)


@pytest.mark.parametrize("backend", ["convex-concave", "lbfgs"])
def test_searches_without_a_proof_grade_what_they_find_by_the_weights(backend: str) -> None:
    problem = cx.ReluTraining(X, LABELS, beta=0.5, loss="hinge", weights=COUNTS)
    rows = cx.ReluTraining(X[REPEATED], LABELS[REPEATED], beta=0.5, loss="hinge")
    options: dict[str, Any] = {"starts": 2} if backend == "lbfgs" else {"steps": 60}
    solution = cx.solve(problem, backend, width=8, max_iter=50, **options)
    assert rows.objective(solution.primal) == pytest.approx(solution.objective, rel=1e-10)
    best = cx.solve(problem, "ipm", tol=1e-6)
    assert solution.objective <= 1.1 * best.objective
    assert solution.bound <= best.objective + 1e-6


def test_a_robust_search_counts_attacked_rows_by_their_weights() -> None:
    own: dict[str, Any] = {"beta": 0.5, "loss": "logistic", "radius": 0.05}
    problem = cx.RobustReluTraining(X, LABELS, weights=COUNTS, **own)
    rows = cx.RobustReluTraining(X[REPEATED], LABELS[REPEATED], **own)
    options: dict[str, Any] = {"searches": 1, "width": 6, "steps": 60, "max_iter": 1}
    solution = cx.solve(problem, "convex-concave", tol=1e-3, **options)
    assert rows.objective(solution.primal) == pytest.approx(solution.objective, rel=1e-10)
    there = rows.certify(solution.primal, apart(solution.dual._replace(relaxed=None, plain=None)))
    assert there.objective == pytest.approx(solution.objective, rel=1e-10)
    assert 0.0 < there.bound <= solution.objective
    assert there.bound <= solution.bound + 1e-9


def test_scaling_all_weights_is_scaling_beta_the_other_way() -> None:
    weights = np.linspace(0.5, 2.0, N)
    few = cx.ReluTraining(X, TARGETS, beta=0.2, patterns=PATTERNS, weights=weights)
    many = replace(few, beta=2.0, weights=10.0 * weights)
    a, b = (cx.solve(problem, tol=1e-8) for problem in (few, many))
    assert 10.0 * a.objective == pytest.approx(b.objective, rel=1e-6)
    assert np.allclose(a.model.predict(X), b.model.predict(X), atol=1e-3)


def test_rows_of_weight_zero_are_no_rows() -> None:
    y = TARGETS.copy()
    y[COUNTS == 0] = 1e9  # whatever stands there
    problem = cx.ReluTraining(X, y, beta=0.3, patterns=PATTERNS, weights=COUNTS)
    kept = COUNTS > 0
    assert np.array_equal(problem.X, X[kept])
    assert np.array_equal(problem.y, y[kept])
    assert problem.weights is not None
    assert np.array_equal(problem.weights, COUNTS[kept])
    assert problem.matrix is not None
    assert len(problem.matrix) == kept.sum()
    assert replace(problem, beta=0.4).beta == 0.4
    without = cx.ReluTraining(
        X[kept], y[kept], beta=0.3, patterns=on(PATTERNS, kept), weights=COUNTS[kept]
    )
    assert np.array_equal(cx.solve(problem).model.U, cx.solve(without).model.U)
    with pytest.raises(cx.ProblemError, match="patterns must have one row per row of X"):
        cx.ReluTraining(X, y, beta=0.3, patterns=on(PATTERNS, kept), weights=COUNTS)


@pytest.mark.parametrize(
    "y", [TARGETS[:-1], np.append(TARGETS, 0.0), np.float64(1.0), TARGETS[None]]
)
def test_targets_of_another_length_are_refused_with_weights_too(y: Any) -> None:
    with pytest.raises(cx.ProblemError, match=r"^y must"):
        cx.ReluTraining(X, y, beta=0.3, weights=COUNTS)


def test_a_class_of_weight_zero_is_no_class() -> None:
    labels = np.where(COUNTS == 0, "rare", LABELS)
    problem = cx.ReluTraining(X, labels, beta=0.3, loss="hinge", weights=COUNTS)
    assert problem.labels.classes is not None
    assert set(problem.labels.classes.tolist()) == {"up", "down"}
    with pytest.raises(cx.ProblemError, match="y must have"):
        cx.ReluTraining(X, labels, beta=0.3, loss="hinge", weights=labels == "rare")


@pytest.mark.parametrize("case", ["relu squared", "narrow squared", "conv squared"])
def test_saved_files_carry_weights(case: str, tmp_path: Path) -> None:
    solution = cx.solve(weighted(case), tol=TOL)
    solution.save(tmp_path / "weighted.npz")
    back = cx.load(tmp_path / "weighted.npz")
    assert np.array_equal(back.problem.weights, COUNTS[COUNTS > 0])
    assert back.objective == solution.objective
    again = back.problem.certify(back.primal, back.dual)
    assert again.objective == pytest.approx(solution.objective, rel=1e-12)
    assert again.bound == pytest.approx(solution.bound, rel=1e-9)


def test_a_loss_that_has_weights_already_is_refused() -> None:
    from convexnn.functions.losses import Squared
    from convexnn.functions.weighted import Weighted

    with pytest.raises(cx.ProblemError, match="give weights"):
        cx.ReluTraining(X, TARGETS, beta=0.3, loss=Weighted(Squared(), np.ones(N)))


def test_folds_are_fitted_and_scored_by_the_weights_of_their_rows() -> None:
    weights = np.linspace(1.0, 3.0, N)
    problem = cx.GatedReluTraining(X, LABELS, beta=1.0, loss="logistic", weights=weights)
    model = cx.solve(problem).model
    losses = np.array([problem.holdout(model, X[[i]], LABELS[[i]]) for i in range(N)])
    by_hand = float(weights @ losses / weights.sum())
    assert problem.holdout(model, X, LABELS, weights) == pytest.approx(by_hand)
    found = cx.path(problem, count=3, folds=2)
    whole = cx.path(replace(problem, weights=None), count=3, folds=2)
    assert found.validation is not None
    assert whole.validation is not None
    assert not np.allclose(found.validation.losses, whole.validation.losses, rtol=1e-3)
    chosen = cx.select(problem, folds=2, beta=[1.0, 0.1])
    assert chosen.problem.weights is not None

"""Networks trained for a risk of their losses: two ways each, certified, against what is known."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.relu.forms import Dual

N, TOL = 24, 1e-6
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, 2))
TARGETS = np.abs(X[:, 0]) - X[:, 1] + 0.3 * RNG.standard_normal(N)
LABELS = np.where(X[:, 0] * X[:, 1] + 0.4 * RNG.standard_normal(N) > 0.0, "up", "down")
CLASSES = RNG.integers(0, 3, N)
SEVERAL = np.column_stack([TARGETS, X[:, 1] ** 2])
GROUPS = np.where(X[:, 0] > 0.5, "few", "many")
PATTERNS = cx.sample_patterns(X, 6)
GIVEN: dict[str, Any] = {"beta": 0.3, "patterns": PATTERNS}
CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "relu cvar": (cx.ReluTraining, TARGETS, GIVEN | {"risk": cx.Cvar(0.3)}),
    "gated hinge group": (
        cx.GatedReluTraining,
        LABELS,
        GIVEN | {"loss": "hinge", "risk": cx.WorstGroup(GROUPS)},
    ),
    "relu logistic entropic skip": (
        cx.ReluTraining,
        LABELS,
        GIVEN | {"loss": "logistic", "risk": cx.Entropic(0.3), "skip": True, "leak": 0.1},
    ),
    "relu huber variation intercept": (
        cx.ReluTraining,
        TARGETS,
        GIVEN | {"loss": "huber", "risk": cx.TotalVariation(0.3), "intercept": True},
    ),
    "relu several chi-square": (
        cx.ReluTraining,
        SEVERAL,
        GIVEN | {"risk": cx.ChiSquare(0.5)},
    ),
    "relu softmax cvar": (
        cx.ReluTraining,
        CLASSES,
        GIVEN | {"loss": "softmax", "risk": cx.Cvar(0.5), "beta": 0.05},
    ),
    "gated l1 chi-square": (
        cx.GatedReluTraining,
        TARGETS,
        GIVEN | {"risk": cx.ChiSquare(2.0), "penalty": "l1"},
    ),
    "gated logistic cvar": (
        cx.GatedReluTraining,
        LABELS,
        GIVEN | {"loss": "logistic", "risk": cx.Cvar(0.25), "intercept": True},
    ),
    "sampled variation": (
        cx.SampledReluTraining,
        TARGETS,
        {"beta": 0.3, "neurons": 20, "risk": cx.TotalVariation(0.2)},
    ),
    "narrow group": (
        cx.UnivariateReluTraining,
        TARGETS,
        {"beta": 0.3, "risk": cx.WorstGroup(GROUPS)},
    ),
    "narrow logistic entropic": (
        cx.UnivariateReluTraining,
        LABELS,
        {"beta": 0.3, "loss": "logistic", "risk": cx.Entropic(0.2)},
    ),
}
TWO = ("admm", "cvxpy:clarabel")


@cache
def declared(case: str) -> Any:
    kind, y, own = CASES[case]
    return kind(X[:, 0] if case.startswith("narrow") else X, y, **own)


@cache
def answer(case: str, backend: str) -> cx.Solution[Any]:
    return cx.solve(declared(case), backend, tol=TOL)


@pytest.mark.parametrize("case", CASES)
def test_two_ways_meet_at_a_certified_optimum(case: str) -> None:
    first, second = (answer(case, backend) for backend in TWO)
    for solution in (first, second):
        assert solution.status is cx.Status.OPTIMAL, repr(solution)
    size = max(1.0, abs(first.objective))
    assert abs(first.objective - second.objective) <= 2.0 * TOL * size
    for solution, other in ((first, second), (second, first)):
        assert solution.bound <= other.objective + 1e-9 * size


@pytest.mark.parametrize("case", CASES)
def test_objective_is_the_worst_mean_of_the_losses_by_another_engine(case: str) -> None:
    """The risk by `DivergenceReweighting`, the groups' means by hand."""
    problem, solution = declared(case), answer(case, TWO[0])
    risk, data = problem.risk, problem.x if case.startswith("narrow") else problem.X
    z = np.asarray(solution.model.decision_function(data[:, None] if data.ndim == 1 else data))
    each = problem.loss.value(z, problem.labels.targets)
    losses = each if each.ndim == 1 else each.sum(axis=1)
    if isinstance(risk, cx.WorstGroup):
        worst = max(float(losses[group == GROUPS].mean()) for group in risk.names)
    else:
        ball = {cx.Cvar: "cvar", cx.Entropic: "kl", cx.ChiSquare: "chi2", cx.TotalVariation: "tv"}
        reweighting = cx.DivergenceReweighting(
            losses,
            ball=ball[type(risk)],
            **{name: getattr(risk, name) for name in ("level", "radius") if hasattr(risk, name)},
        )
        worst = cx.solve(reweighting).objective
    penalty = solution.objective - N * worst
    plain = replace(problem, risk="mean").grader().grade(solution.primal).objective
    assert penalty == pytest.approx(plain - float(losses.sum()), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_no_dual_point_proves_more_than_the_optimum(case: str) -> None:
    problem, best = declared(case), answer(case, TWO[1]).objective
    primal, mu = answer(case, TWO[0]).primal, answer(case, TWO[0]).dual.mu
    grade = problem.grade(primal)
    rng = np.random.default_rng(1)
    for scale in (1e-310, 1e-3, 0.9, 1.0, 1.1, 10.0, 1e300):
        for guess in (mu, -mu, rng.permutation(mu), mu + 0.1 * rng.standard_normal(mu.shape)):
            with np.errstate(over="ignore"):
                bound = problem.bound(primal, Dual(scale * guess), grade)
            assert bound.value <= best * (1.0 + 1e-9) + 1e-9


def test_over_all_patterns_cell_walk_closes_the_gap() -> None:
    """At rank 2 the patterns can be listed: both programs have the same optimum."""
    problem = cx.ReluTraining(X, TARGETS, beta=0.5, risk=cx.Cvar(0.5))
    walked, listed = cx.solve(problem, "cell-walk"), cx.solve(problem, "cvxpy:clarabel")
    assert listed.status is cx.Status.OPTIMAL
    assert walked.objective == pytest.approx(listed.objective, rel=1e-5)
    assert walked.bound <= listed.objective + 1e-6
    assert walked.certificate.scope.startswith("all patterns")


def test_a_risk_of_nothing_is_plain_training() -> None:
    plain = cx.ReluTraining(X, TARGETS, **GIVEN)
    for risk in ("mean", cx.Cvar(1), cx.Entropic(0), cx.WorstGroup(["all"] * N)):
        same = replace(plain, risk=risk)
        assert cx.solve(same).objective == cx.solve(plain).objective


def test_groups_go_with_their_rows(tmp_path: Path) -> None:
    counts = np.where(np.arange(N) < 4, 0, 1 + np.arange(N) % 2)
    groups = np.array(["a", "b"])[np.arange(N) % 2]
    rows = np.repeat(np.arange(N), counts)
    weighted = cx.ReluTraining(
        X, TARGETS, beta=0.3, patterns=PATTERNS, weights=counts, risk=cx.WorstGroup(groups)
    )
    repeated = cx.ReluTraining(
        X[rows],
        TARGETS[rows],
        beta=0.3,
        patterns=cx.Patterns(PATTERNS.matrix[rows], PATTERNS.generators),
        risk=cx.WorstGroup(groups[rows]),
    )
    one, two = cx.solve(weighted), cx.solve(repeated)
    assert one.objective == pytest.approx(two.objective, rel=2e-6)
    one.save(tmp_path / "group.npz")
    read: Any = cx.load(tmp_path / "group.npz")
    assert read.objective == one.objective
    assert read.bound == one.bound
    assert read.problem.risk.groups.tolist() == groups[counts > 0].tolist()
    found = cx.select(repeated, beta=[0.3, 3.0], folds=2)
    assert len(found.frame) == 2


def test_risks_are_refused_where_they_have_no_place() -> None:
    y = np.where(LABELS == "up", 1, -1)
    for make, said in (
        (lambda: cx.ReluTraining(X, TARGETS, beta=1, risk=cx.Cvar(2)), "level must be"),
        (lambda: cx.ReluTraining(X, TARGETS, beta=1, risk=cx.WorstGroup("ab")), "groups must"),
        (
            lambda: cx.ReluTraining(X, TARGETS, beta=1, risk=cx.WorstGroup(GROUPS[:3])),
            r"one entry per row of X \(24\), got 3",
        ),
        (
            lambda: cx.ReluTraining(
                X, TARGETS, beta=1, risk=cx.Cvar(0.5), formulation="majorant", patterns=3
            ),
            "formulation must be 'cones'",
        ),
        (
            lambda: cx.RobustReluTraining(X, y, beta=1, radius=0.1, risk=cx.Cvar(0.5)),
            'risk must be "mean" for robust training',
        ),
        (
            lambda: cx.WassersteinClassification(X, y, radius=0.1, risk=cx.Cvar(0.5)),  # type: ignore[arg-type]
            'risk must be "mean" for a Wasserstein ball',
        ),
        (
            lambda: cx.WassersteinRegression(X, TARGETS, radius=0.1, risk="cvar"),
            'risk must be "mean"',
        ),
    ):
        with pytest.raises(cx.ProblemError, match=said):
            make()
    refused = cx.backends(declared("relu cvar"))
    for name in ("ipm", "semismooth", "fista"):
        assert "its risk couples the examples" in str(refused)
        with pytest.raises(cx.BackendError, match="its risk couples the examples"):
            cx.solve(declared("relu cvar"), name)

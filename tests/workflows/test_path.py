"""Regularisation paths: where they begin, that they equal cold solves, that screening is safe."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import convexnn as cx
from convexnn.contract.arrays import Array, BoolArray
from convexnn.contract.clock import OutOfTime
from convexnn.relu.bound import correlations, repaired
from convexnn.relu.forms import Dual, GroupForm
from convexnn.workflows import path_trace
from convexnn.workflows.screening import critical, lengths, sphere
from convexnn.workflows.select import part_of, split
from convexnn.workflows.working_set import WorkingSet

N, D, P = 20, 3, 8
CLASSES = ("logistic", "hinge")
KINDS: dict[str, dict[str, Any]] = {
    "relu": {},
    "relu-l1": {"penalty": "l1"},
    "relu-bias-leak": {"bias": True, "leak": 0.2},
    "relu-skip": {"skip": True},
    "relu-skip-l1-logistic": {"skip": True, "penalty": "l1", "loss": "logistic"},
    "relu-logistic": {"loss": "logistic"},
    "relu-huber-skip": {"loss": "huber", "skip": True},
    "relu-hinge": {"loss": "hinge"},
    "gated": {},
    "gated-l1-bias": {"penalty": "l1", "bias": True},
    "gated-huber": {"loss": "huber"},
    "relu-softmax": {"loss": "softmax"},
    "relu-two-leak": {"outputs": 2, "leak": 0.1},
    "gated-classes": {"loss": "logistic", "multiclass": "one-vs-rest", "intercept": True},
    "gated-nuclear": {"outputs": 2, "penalty": "nuclear"},
    "sampled": {},
    "sampled-hinge": {"loss": "hinge"},
}
SMOOTH = [name for name in KINDS if "hinge" not in name]


def data(loss: str, seed: int = 3, n: int = N) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, D))
    y = 2.0 * np.maximum(X[:, 0], 0.0) - 2.0 * np.maximum(X[:, 1] - X[:, 2], 0.0)
    y += 0.2 * rng.standard_normal(n)
    if loss in CLASSES:
        labels = np.where(y > 0.0, 1.0, -1.0)
        labels[::7] *= -1.0  # so that nothing separates them
        return X, labels
    return X, y


@cache
def problem(name: str) -> Any:
    options = dict(KINDS[name])
    X, y = data(options.setdefault("loss", "squared"))
    if "multiclass" in options or options["loss"] == "softmax":
        y = np.array(["a", "b", "c"])[np.digitize(data("squared")[1], [-0.5, 0.5])]
    if "outputs" in options:
        y = np.column_stack([y, X[:, 2] - y])[:, : options.pop("outputs")]
    if name.startswith("sampled"):
        return cx.SampledReluTraining(X, y, beta=1.0, neurons=3 * P, **options)
    if name.startswith("gated"):
        return cx.GatedReluTraining(X, y, beta=1.0, patterns=P, **options)
    return cx.ReluTraining(X, y, beta=1.0, patterns=P, **options)


def largest_response(form: GroupForm, mu: Array) -> float:
    """The largest of ``c'v`` over each block's unit ball and cone, one conic program each."""
    best = 0.0
    half = form.slopes.shape[1]
    if not form.norm.separable:
        return max(float(np.linalg.norm(mu.T @ form.block(p), 2)) for p in range(half))
    for b, c in enumerate(form.correlate(mu)):
        v = cp.Variable(len(c))
        inside = [cp.norm(v, 2 if form.norm.rotates else 1) <= 1.0]
        if form.signs is not None:
            inside.append(cp.multiply(form.signs[b % half], form.X @ v) >= 0.0)
        best = max(best, cp.Problem(cp.Maximize(c @ v), inside).solve(solver=cp.CLARABEL))
    return best


@pytest.mark.parametrize("name", KINDS)
def test_beta_max_is_the_largest_response_by_brute_force(name: str) -> None:
    declared = problem(name)
    form = declared.canonical(GroupForm)
    mu = -form.loss.gradient(np.zeros_like(form.y), form.y)
    if form.skip:
        s = cp.Variable(form.still().shape)
        fit = cp.Problem(cp.Minimize(form.loss.cvxpy(form.span @ s, form.y)))
        fit.solve(solver=cp.CLARABEL, tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12)
        mu = -form.loss.gradient(form.span @ s.value, form.y)
    by_hand = largest_response(form, mu) * declared.design.scale
    assert cx.beta_max(declared) == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_zero_is_optimal_above_beta_max_and_not_below(name: str) -> None:
    declared = problem(name)
    found = critical(declared.canonical(GroupForm))
    assert found.beta == pytest.approx(found.below, rel=1e-9)
    assert found.beta >= found.below
    top = cx.beta_max(declared)
    above, below = declared.at(top * (1.0 + 1e-9)), declared.at(0.999 * top)
    zero = above.initial()[0]._replace(skip=found.skip)
    assert above.certify(zero, Dual(found.mu)).passes(1e-8)
    alone = declared.canonical(GroupForm).separable
    reference = cx.solve(below, "ipm" if alone else "auto", tol=1e-8)
    assert reference.objective < below.objective(zero) * (1.0 - 1e-9)
    assert len(reference.model) > 0


@pytest.mark.parametrize(
    ("name", "backend"), [*((k, "auto") for k in KINDS), *((k, "fista") for k in SMOOTH)]
)
def test_points_equal_cold_solves_by_clarabel(name: str, backend: str) -> None:
    declared = problem(name)
    found = cx.path(declared, count=6, backend=backend, tol=1e-6)
    assert [s.status for s in found.solutions] == 6 * [cx.Status.OPTIMAL]
    assert len(found[0].model) == 0
    for beta, s in zip(found.betas[1::2], found.solutions[1::2], strict=True):
        cold = cx.solve(replace(declared, beta=float(beta)), "cvxpy:clarabel", tol=1e-7)
        assert s.problem.beta == beta
        assert s.objective == pytest.approx(cold.objective, rel=3e-6)
        assert s.bound <= cold.objective * (1.0 + 1e-7)
        assert replace(declared, beta=float(beta)).certify(s.primal, s.dual) == s.certificate


@pytest.mark.parametrize("name", SMOOTH)
def test_patterns_dropped_are_unused_and_all_but_few_are(name: str) -> None:
    found = cx.path(problem(name), count=8, tol=1e-9)
    plain = cx.path(problem(name), found.betas.tolist(), tol=1e-9, screen=False)
    for mine, theirs, counts in zip(found.solutions, plain.solutions, found.counts, strict=True):
        assert counts.kept + counts.dropped == problem(name).canonical(GroupForm).slopes.shape[1]
        assert counts.kept >= used(theirs).sum()
        assert mine.objective == pytest.approx(theirs.objective, rel=1e-8)
    assert sum(c.dropped for c in found.counts) > 0
    assert {c.dropped for c in plain.counts} == {0}


def used(solution: cx.Solution) -> BoolArray:
    form = solution.problem.canonical(GroupForm)
    rows = np.linalg.norm(form.rows(solution.primal), axis=1).reshape(-1, form.slopes.shape[1])
    return np.asarray(rows.max(axis=0) > 1e-6 * max(rows.max(), 1e-300))


@settings(max_examples=40)
@given(
    name=st.sampled_from([name for name in SMOOTH if name != "gated-nuclear"]),
    share=st.floats(0.05, 0.95),
    beta=st.floats(0.05, 0.9),
    noise=st.floats(0.0, 0.3),
    seed=st.integers(0, 1000),
)
def test_the_sphere_never_drops_a_pattern_in_use(
    name: str, share: float, beta: float, noise: float, seed: int
) -> None:
    """From any feasible pair, near or far: a shrunken solution and its disturbed dual."""
    rng = np.random.default_rng(seed)
    declared = problem(name).at(beta * cx.beta_max(problem(name)))
    form = declared.canonical(GroupForm)
    exact = cx.solve(declared, "semismooth", tol=1e-10)
    rows = share**noise * form.rows(exact.primal)
    z = form.predict(rows) + form.free(exact.primal.skip)
    value = float(np.sum(form.loss.value(z, form.y)) + form.beta * np.sum(form.norm.value(rows)))
    moved = exact.dual.mu * (1.0 + noise * rng.uniform(-1.0, 1.0, form.y.shape))
    mu = repaired(form, moved)
    ball = sphere(form, mu, correlations(form, mu, None, 0.0, 0.0), value)
    theta = mu * min(1.0, form.beta / max(largest(form, mu), 1e-300))
    assert np.linalg.norm(exact.dual.mu - theta) <= ball.radius + 1e-4 * np.linalg.norm(theta)
    dropped = ball.dropped(form, lengths(form))
    assert not (dropped & used(exact)).any()


def largest(form: GroupForm, mu: Array) -> float:
    return float(np.max(correlations(form, mu, None, 0.0, 0.0)))


@pytest.mark.parametrize("name", SMOOTH)
def test_responses_move_no_faster_than_their_lengths(name: str) -> None:
    form = problem(name).canonical(GroupForm)
    rng = np.random.default_rng(0)
    half = form.slopes.shape[1]
    for _ in range(5):
        mu, step = rng.standard_normal((2, *form.y.shape))
        there = correlations(form, mu + step, None, 0.0, 0.0).reshape(-1, half).max(axis=0)
        here = correlations(form, mu, None, 0.0, 0.0).reshape(-1, half).max(axis=0)
        if form.norm.rotates:
            assert np.all(np.abs(there - here) <= lengths(form) * np.linalg.norm(step) + 1e-12)
        plain = form._replace(signs=None)
        there, here = (plain.norm.dual(plain.correlate(m)) for m in (mu + step, mu))
        moved = np.abs(there - here).reshape(-1, half)
        assert np.all(moved <= lengths(form) * np.linalg.norm(step) + 1e-12)


def test_an_engine_sees_few_patterns_where_beta_moves_in_small_steps() -> None:
    X, y = data("squared", n=60)
    found = cx.path(cx.ReluTraining(X, y, beta=1.0, patterns=40), count=12, ratio=0.3)
    assert {s.status.name for s in found.solutions} == {"OPTIMAL"}
    assert all(n <= c.solved for n, c in zip(found.neurons[1:], found.counts[1:], strict=True))
    assert max(c.solved for c in found.counts) < 30


def test_a_wrong_guess_of_the_patterns_changes_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    right = cx.path(problem("relu"), count=6)
    monkeypatch.setattr(WorkingSet, "first", lambda self, form: np.arange(P) == 0)
    wrong = cx.path(problem("relu"), right.betas.tolist())
    assert [s.status.name for s in wrong.solutions] == 6 * ["OPTIMAL"]
    for a, b in zip(right.solutions, wrong.solutions, strict=True):
        assert a.objective == pytest.approx(b.objective, rel=1e-6)


def test_points_share_what_does_not_depend_on_beta() -> None:
    declared = problem("relu")
    form = declared.canonical(GroupForm)
    other = declared.at(0.25)
    assert other.beta == 0.25
    assert declared.beta == 1.0
    assert other.canonical(GroupForm).slopes is form.slopes
    assert other.canonical(GroupForm).beta == 0.25 / declared.design.scale
    fresh = replace(declared, beta=0.25)
    primal, dual = cx.solve(fresh).primal, cx.solve(fresh).dual
    assert other.certify(primal, dual) == fresh.certify(primal, dual)


def test_all_patterns_where_they_can_be_listed() -> None:
    X, y = data("squared", n=10)
    found = cx.path(cx.ReluTraining(X[:, :2], y, beta=1.0), count=5)
    assert {s.certificate.scope for s in found.solutions} == {"all patterns"}
    assert {s.status.name for s in found.solutions} == {"OPTIMAL"}
    assert len(found[-1].model) > 0


@pytest.mark.parametrize("kind", ["majorant", "robust"])
def test_programs_without_a_known_beginning_take_given_betas(kind: str) -> None:
    X, y = data("squared")
    declared: Any = cx.ReluTraining(X, y, beta=1.0, patterns=P, formulation="majorant")
    if kind == "robust":
        declared = cx.RobustReluTraining(
            X, y, beta=1.0, radius=0.05, patterns=P, loss="squared", formulation="cones"
        )
    with pytest.raises(cx.ProblemError, match="give betas"):
        cx.path(declared)
    found = cx.path(declared, [4.0, 2.0, 1.0], backend="admm", tol=1e-4)
    for beta, s in zip([4.0, 2.0, 1.0], found.solutions, strict=True):
        cold = cx.solve(replace(declared, beta=beta), "cvxpy:clarabel", tol=1e-5)
        assert s.status is cx.Status.OPTIMAL
        assert s.objective == pytest.approx(cold.objective, rel=3e-4)
    assert "No pattern was screened" in found.message


def test_a_loss_with_kinks_is_not_screened_and_says_so() -> None:
    found = cx.path(problem("relu-hinge"), count=3)
    assert "No pattern was screened" in str(found)
    assert {c.dropped for c in found.counts} == {0}
    assert cx.path(problem("relu"), count=3).message == ""


def test_folds_are_graded_on_what_they_left_out() -> None:
    X, y = data("logistic", n=42)
    names = np.where(y > 0, "yes", "no")
    declared = cx.ReluTraining(X, names, beta=1.0, loss="logistic", patterns=P)
    found = cx.path(declared, count=5, folds=3, seed=4, tol=1e-6)
    again = cx.path(declared, count=5, folds=3, seed=4, tol=1e-6)
    other = cx.path(declared, count=5, folds=3, seed=5, tol=1e-6)
    held = found.validation
    assert held is not None
    assert again.validation is not None
    assert other.validation is not None
    assert held.losses.shape == (5, 3)
    assert np.array_equal(held.losses, again.validation.losses)
    assert not np.array_equal(held.losses, other.validation.losses)
    assert np.all(held.gaps <= 1e-6)
    shuffled = np.random.default_rng(4).permutation(42)
    shuffled = shuffled[np.argsort((names == "yes")[shuffled], kind="stable")]
    test = np.sort(shuffled[1::3])
    train = np.setdiff1d(np.arange(42), test)
    fold = replace(declared, X=X[train], y=names[train], beta=float(found.betas[3]))
    z = cx.solve(fold, tol=1e-8).model.decision_function(X[test])
    loss = np.mean(np.logaddexp(0.0, -y[test] * z))
    assert held.losses[3, 1] == pytest.approx(loss, rel=1e-2)
    assert held.accuracies is not None
    assert held.accuracies[3, 1] == pytest.approx(np.mean((z > 0) == (y[test] > 0)))
    least = int(np.argmin(held.mean))
    assert found.best is found[least]
    simple = found.solutions.index(found.simplest)
    assert simple <= least
    assert held.mean[simple] <= held.mean[least] + held.error[least]
    assert found.simplest is found[0] or (
        held.mean[simple - 1] > held.mean[least] + held.error[least]
    )
    assert list(found.frame["validation"]) == list(held.mean)


@pytest.mark.parametrize("name", ["relu-softmax", "relu-two-leak", "relu"])
def test_folds_of_several_outputs_are_graded_by_loss_and_score(name: str) -> None:
    declared = problem(name)
    found = cx.path(declared, count=3, folds=2, seed=1, tol=1e-8)
    held = found.validation
    assert held is not None
    train, test = split(declared, 2, 1)[1]
    fold = cx.solve(part_of(declared, train, {"beta": float(found.betas[2])}), tol=1e-8)
    z, y = fold.model.decision_function(declared.X[test]), declared.y[test]
    if name == "relu-softmax":
        chances = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        hits = y[:, None] == declared.labels.classes
        assert held.losses[2, 1] == pytest.approx(-np.log(chances[hits]).mean(), rel=1e-4)
        assert held.accuracies is not None
        assert held.accuracies[2, 1] == np.mean(declared.labels.classes[z.argmax(axis=1)] == y)
        assert held.r2 is None
    else:
        missed, spread = np.sum((z - y) ** 2, axis=0), np.sum((y - y.mean(axis=0)) ** 2, axis=0)
        assert held.losses[2, 1] == pytest.approx(np.sum(missed) / 2.0 / len(y), rel=1e-4)
        assert held.accuracies is None
        assert held.r2 is not None
        assert held.r2[2, 1] == pytest.approx(np.mean(1.0 - missed / spread), rel=1e-4)
        assert "r2" in found.frame


@pytest.mark.parametrize("folds", [0, 2])
def test_folds_that_time_cut_off_leave_those_done(
    folds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fold that was begun does not count beside those that came to the end."""
    known, calls = path_trace._ahead, []
    counted = 4 + 4 * folds + 2  # points of the path, of the folds that end, of the last

    def late(*words: Any) -> Any:
        calls.append(words)
        if len(calls) == counted + 1:
            raise OutOfTime
        return known(*words)

    monkeypatch.setattr(path_trace, "_ahead", late)
    found = cx.path(problem("gated"), count=4, folds=4)
    held = found.validation
    assert held is not None
    assert held.losses.shape == (4, folds + 1)
    assert list(np.isfinite(held.losses).sum(axis=0)) == folds * [4] + [2]
    assert list(held.mean[:2]) == list(
        (held.losses[:2, :folds] if folds else held.losses[:2]).mean(axis=1)
    )
    assert np.isfinite(held.mean[2:]).all() == (folds > 0)
    assert found.message == f"Cross-validation ended by the time limit after {folds} of 4 folds."
    assert found.best.problem.beta in found.betas[: 4 if folds else 2]
    assert found.simplest.problem.beta >= found.best.problem.beta
    assert len(str(found).splitlines()) == 6


def test_given_patterns_go_with_the_rows_of_a_fold() -> None:
    X, y = data("squared")
    declared = cx.ReluTraining(X, y, beta=1.0, patterns=cx.sample_patterns(X, P))
    found = cx.path(declared, count=3, folds=2)
    assert found.validation is not None
    assert found.validation.losses.shape == (3, 2)


def test_without_folds_nothing_is_best() -> None:
    found = cx.path(problem("gated"), [2.0, 1.0])
    with pytest.raises(ValueError, match="give folds"):
        _ = found.best


@pytest.mark.parametrize("how", ["callback", "interrupt"])
def test_a_stopped_path_keeps_what_is_done(how: str) -> None:
    seen: list[float] = []

    def watch(step: Any) -> bool:
        seen.append(step.objective)
        if len(seen) < 8:
            return False
        if how == "interrupt":
            raise KeyboardInterrupt
        return True

    found = cx.path(problem("relu"), count=20, callback=watch, folds=2)
    assert 0 < len(found) < 20
    assert len(found.betas) == len(found.seconds) == len(found.counts) == len(found)
    assert {s.status.name for s in found.solutions} == {"OPTIMAL"}
    assert f"an interruption after {len(found)} points" in found.message
    assert found.validation is not None
    assert len(found.validation.losses) == 0
    assert len(str(found).splitlines()) == len(found) + 2


@pytest.mark.parametrize("where", ["compile", "_counts", "_ahead"])
def test_an_interruption_between_two_points_loses_none(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while a fold is prepared: its compilation may list patterns for long."""
    known, calls = getattr(path_trace, where), []

    def broken(*words: Any) -> Any:
        calls.append(words)
        if len(calls) == (2 if where == "compile" else 4):
            raise KeyboardInterrupt
        return known(*words)

    monkeypatch.setattr(path_trace, where, broken)
    found = cx.path(problem("gated"), count=5, folds=2)
    assert len(found) == {"compile": 5, "_counts": 3, "_ahead": 3}[where]
    assert found.validation is not None
    assert len(found.validation.losses) == 0
    fold = where == "compile"
    assert ("an interruption after 3 points" in found.message) == (not fold)
    said = "Cross-validation ended by an interruption after 0 of 2 folds."
    assert (said in found.message) == fold


def test_the_time_limit_is_for_the_whole_path() -> None:
    X, y = data("squared", n=300)
    declared = cx.ReluTraining(X, y, beta=1.0, patterns=60)
    found = cx.path(declared, count=2000, time_limit=0.2)
    assert len(found) < 2000
    assert "the time limit" in found.message
    none = cx.path(declared, [1.0], time_limit=1e-9)
    assert str(none) == "Ended by the time limit after 0 points."


def test_table_and_figure(tmp_path: Any) -> None:
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.use("Agg")
    for folds in (None, 2):
        found = cx.path(problem("relu"), count=4, folds=folds)
        ax = found.plot()
        assert ax.get_xscale() == "log"
        plt.savefig(tmp_path / "path.png")
        lines = str(found).splitlines()
        assert len(lines) == 5
        assert ("validation" in lines[0]) == (folds is not None)
        assert list(found.frame["neurons"]) == [len(s.model) for s in found.solutions]
    one, (X, y) = found[-1], data("squared")
    loss = float(np.sum((one.model.predict(X) - y) ** 2)) / 2.0
    hand = (one.objective - loss) / one.problem.beta
    assert found.norms[-1] == pytest.approx(hand, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"betas": []}, "betas must be a sequence of numbers > 0"),
        ({"betas": 3.0}, "betas must be a sequence of numbers > 0"),
        ({"betas": [1.0, 2.0]}, "strictly decreasing, got 1, then 2 at index 1"),
        ({"betas": [2.0, 2.0]}, "strictly decreasing, got 2, then 2 at index 1"),
        ({"betas": [2.0, 0.0]}, r"betas\[1\] must be finite and > 0, got 0.0"),
        ({"betas": [np.inf]}, r"betas\[0\] must be finite and > 0, got inf"),
        ({"count": 0}, "count must be an integer >= 1, got 0"),
        ({"ratio": 1.0}, r"ratio must be in \(0, 1\), got 1.0"),
        ({"ratio": -0.1}, "ratio must be finite and > 0, got -0.1"),
        ({"time_limit": 0.0}, "time_limit must be a number > 0"),
        ({"folds": 1}, r"folds must be in \[2, 20\]"),
        ({"seed": -1}, "seed must be an integer >= 0"),
    ],
)
def test_bad_values_are_refused(options: dict[str, Any], rule: str) -> None:
    with pytest.raises(cx.ProblemError, match=rule):
        cx.path(problem("relu"), **options)


def test_what_has_no_path_is_refused() -> None:
    with pytest.raises(cx.ProblemError, match="must have a beta, got a GeometricMedian"):
        cx.path(cx.GeometricMedian(np.eye(3)))  # type: ignore[arg-type]
    with pytest.raises(cx.ProblemError, match="must have a beta"):
        cx.beta_max(cx.GeometricMedian(np.eye(3)))  # type: ignore[arg-type]
    X, y = data("squared", n=200)
    with pytest.raises(cx.ProblemError, match="give patterns"):
        cx.path(cx.ReluTraining(X, y, beta=1.0))
    X, y = data("hinge")
    with pytest.raises(cx.ProblemError, match="hinge loss with a free part: give betas"):
        cx.beta_max(cx.ReluTraining(X, y, beta=1.0, loss="hinge", skip=True, patterns=P))


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_a_free_part_that_fits_everything_leaves_no_path(loss: str) -> None:
    X, _ = data("squared")
    y = X[:, 0] if loss == "squared" else np.where(X[:, 0] > 0, 1, -1)
    declared = cx.ReluTraining(X, y, beta=1.0, loss=loss, skip=True, patterns=P)
    with pytest.raises(cx.ProblemError, match="beta_max is 0"):
        cx.beta_max(declared)


def test_the_free_part_is_fitted_where_every_residual_is_on_a_slope() -> None:
    """Far from the data the second derivative of the Huber loss is 0, and no Newton step falls."""
    X, y = data("squared")
    declared = cx.ReluTraining(X, 50.0 * y + 100.0, beta=1.0, loss="huber", skip=True, patterns=P)
    above = declared.at(1.000001 * cx.beta_max(declared))
    zero = above.initial()[0]._replace(skip=critical(above.canonical(GroupForm)).skip)
    cold = cx.solve(above, "cvxpy:clarabel", tol=1e-7)
    assert above.objective(zero) <= cold.objective * (1.0 + 1e-6)


def test_neurons_that_the_free_part_makes_useless_leave_no_path() -> None:
    """Under one pattern of ones a neuron is a part of the free fit: its response is rounding."""
    X, y = data("squared")
    ones = np.ones((N, 1), dtype=bool)
    declared = cx.ReluTraining(np.abs(X) + 0.1, 1e3 * y, beta=1.0, skip=True, patterns=ones)
    with pytest.raises(cx.ProblemError, match="beta_max is 0"):
        cx.beta_max(declared)


@pytest.mark.parametrize("loss", ["logistic", "huber", "squared"])
def test_a_free_part_of_badly_scaled_columns_takes_few_steps(loss: str) -> None:
    X, y = data(loss, n=12)
    declared = cx.ReluTraining(
        X * np.array([10.0, 1e-2, 1e-3]), y, beta=1.0, loss=loss, skip=True, patterns=P
    )
    for beta in cx.beta_max(declared) * np.array([1.01, 0.2]):
        cold = cx.solve(declared.at(beta), "cvxpy:clarabel", tol=1e-7)
        found = cx.solve(declared.at(beta), "semismooth", tol=1e-7, max_iter=80)
        assert found.status is cx.Status.OPTIMAL
        assert found.objective == pytest.approx(cold.objective, rel=1e-6)


@pytest.mark.parametrize("seed", [2, 22])
def test_steps_that_rounding_hides_do_not_end_a_path(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((18, 3))
    first, second = (10.0 * np.maximum(X @ rng.standard_normal(3), 0.0) for _ in range(2))
    y = first - second + 0.1 * rng.standard_normal(18)
    declared = cx.ReluTraining(X, y, beta=1.0, loss="huber", skip=True, patterns=7, leak=0.1)
    found = cx.path(declared, count=6, ratio=3e-3, tol=1e-8)
    assert [s.status.name for s in found.solutions] == 6 * ["OPTIMAL"]


@dataclass(frozen=True)
class Plain:
    X: Array
    y: Array
    beta: float = 1.0


def test_networks_are_selected_by_their_own_loss() -> None:
    X, y = data("squared")
    network = cx.ReluTraining(X, y, beta=1.0, patterns=P)
    assert cx.select(network, beta=[100.0, 0.5], folds=3, tol=1e-3).best == {"beta": 0.5}
    model = cx.solve(network).model
    by_hand = np.mean((model.predict(X) - y) ** 2) / 2
    assert network.holdout(model, X, y) == pytest.approx(by_hand)
    with pytest.raises(cx.ProblemError, match="score must be given for a Plain"):
        cx.select(Plain(X, y), beta=[1.0], folds=2)  # type: ignore[arg-type]


def test_a_path_without_time_has_no_points() -> None:
    X = np.random.default_rng(0).standard_normal((30, 3))
    problem = cx.ReluTraining(X, np.abs(X[:, 0]), beta=1.0, patterns=20)
    found = cx.path(problem, count=5, time_limit=1e-9, folds=2)
    assert len(found.solutions) == 0
    assert found.message == "Ended by the time limit after 0 points."

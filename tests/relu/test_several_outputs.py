"""Several outputs: targets of several columns, more than two classes, groups that outputs share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.driver.choice import automatic
from convexnn.functions.losses import Softmax
from convexnn.functions.norms import Nuclear
from convexnn.relu.bound import lower_bound, network_bound
from convexnn.relu.forms import Dual, GroupForm, NetworkForm
from convexnn.relu.search_bound import covers
from convexnn.solvers.relu.semismooth import Newton

N, D, K, BETA = 24, 3, 3, 0.5
often = settings(max_examples=25)


def data(seed: int = 3) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((N, D))
    Y = np.maximum(X @ rng.standard_normal((D, K)), 0.0) + X[:, :1] * X[:, 1:2]
    return X, Y + 0.1 * rng.standard_normal((N, K))


X, Y = data()
LABELS = np.array(["blue", "green", "red"])[Y.argmax(axis=1)]


def declared(kind: str, loss: str, **changes: Any) -> Any:
    common: dict[str, Any] = {"beta": BETA, "loss": loss, "patterns": 7} | changes
    if loss in ("logistic", "hinge"):
        common["multiclass"] = "one-vs-rest"
    y = Y if loss in ("squared", "huber") else LABELS
    build = cx.ReluTraining if kind == "relu" else cx.GatedReluTraining
    return build(X, y, **common)


def small(loss: str, **changes: Any) -> cx.ReluTraining:
    """All patterns of few examples, two outputs."""
    y = Y[:12, :2] if loss == "squared" else LABELS[:12] == "red"
    common: dict[str, Any] = {"beta": 1.0, "loss": loss} | changes
    return cx.ReluTraining(X[:12], y, **common)


def one_output(problem: Any, c: int) -> Any:
    """The scalar problem of one output."""
    return type(problem)(
        problem.X,
        problem.labels.targets[:, c],
        beta=problem.beta,
        loss=problem.loss,
        penalty=problem.penalty,
        patterns=problem.patterns,
        bias=problem.bias,
    )


def network_objective(problem: Any, model: cx.TwoLayerNetwork) -> float:
    """The non-convex objective, by hand: loss plus half the squared norms of both layers."""
    z = model.decision_function(problem.X)
    size = np.sum(model.U**2) + np.sum(model.bias**2) + np.sum(model.alpha**2)
    loss = problem.loss.value(z, problem.labels.targets).sum()
    return float(loss + 0.5 * problem.beta * size)


# Programs


@pytest.mark.parametrize("kind", ["relu", "gated"])
@pytest.mark.parametrize("penalty", ["l2", "l1"])
@pytest.mark.parametrize("loss", ["squared", "hinge"])
def test_groups_of_each_output_are_the_sum_of_scalar_problems(
    kind: str, penalty: str, loss: str
) -> None:
    problem = declared(kind, loss, penalty=penalty)
    whole = cx.solve(problem, "ipm", tol=1e-6)
    parts = [cx.solve(one_output(problem, c), "ipm", tol=1e-6) for c in range(K)]
    assert whole.status is cx.Status.OPTIMAL
    total = sum(part.objective for part in parts)
    assert whole.objective == pytest.approx(total, rel=3e-6)
    assert whole.bound <= total + 1e-9
    assert sum(part.bound for part in parts) <= whole.objective + 1e-9
    primal = problem.canonical(GroupForm).joined([(p.primal, p.dual) for p in parts])
    joint = problem.certify(*primal)
    assert joint.objective == pytest.approx(total, rel=1e-12)
    assert joint.bound == pytest.approx(sum(part.bound for part in parts), rel=1e-9)
    assert joint.violation == pytest.approx(max(p.violation for p in parts), abs=1e-9)


@pytest.mark.parametrize("loss", ["squared", "softmax", "logistic"])
def test_neurons_of_the_nuclear_norm_cost_its_objective(loss: str) -> None:
    problem = declared("gated", loss, penalty="nuclear", bias=True)
    solution = cx.solve(problem, tol=1e-6).raise_for_status()
    model = solution.model
    assert network_objective(problem, model) == pytest.approx(solution.objective, rel=1e-10)
    np.testing.assert_allclose(
        np.sum(model.U**2, axis=0) + model.bias**2, np.sum(model.alpha**2, axis=1), rtol=1e-9
    )
    assert np.count_nonzero(np.abs(model.alpha) > 1e-6, axis=1).max() > 1  # outputs share neurons


def test_a_dead_pattern_of_the_nuclear_norm_is_pruned_for_every_output() -> None:
    problem = declared("gated", "squared", penalty="nuclear")
    primal, _ = problem.initial()
    V = np.random.default_rng(0).standard_normal(primal.V.shape)
    dead = np.tile(np.arange(V.shape[1] // K) == 1, K)
    V[:, dead] *= 1e-12
    pruned = problem.prune(primal._replace(V=V))
    np.testing.assert_array_equal(pruned.V, np.where(dead, 0.0, V))


@pytest.mark.parametrize(("kind", "penalty"), [("relu", "l2"), ("gated", "nuclear")])
def test_more_columns_than_examples(kind: str, penalty: str) -> None:
    rng = np.random.default_rng(0)
    wide, y = rng.standard_normal((8, 12)), np.array([0, 1, 2, 2, 1, 0, 1, 0])
    build: Any = cx.ReluTraining if kind == "relu" else cx.GatedReluTraining
    problem = build(wide, y, beta=0.3, loss="softmax", patterns=6, penalty=penalty)
    solution = cx.solve(problem, tol=1e-5).raise_for_status()
    assert network_objective(problem, solution.model) == pytest.approx(solution.objective, rel=1e-9)


@pytest.mark.parametrize("loss", ["huber", "softmax", "hinge"])
@pytest.mark.parametrize("kind", ["relu", "gated"])
def test_a_neuron_of_a_group_has_one_output_and_costs_the_objective(kind: str, loss: str) -> None:
    problem = declared(kind, loss, bias=True)
    solution = cx.solve(problem, tol=1e-5).raise_for_status()
    assert network_objective(problem, solution.model) == pytest.approx(solution.objective, rel=1e-9)
    assert np.all(np.count_nonzero(solution.model.alpha, axis=1) == 1)


def test_sharing_neurons_costs_no_more_than_a_group_for_each_output() -> None:
    shared = cx.solve(declared("gated", "squared", penalty="nuclear"), tol=1e-7)
    apart = cx.solve(declared("gated", "squared"), tol=1e-7)
    cones = cx.solve(declared("relu", "squared"), tol=1e-7)
    assert shared.objective < 0.95 * apart.objective
    assert apart.objective < cones.objective


def written_out(problem: Any, nuclear: bool) -> float:
    """The program in CVXPY, block by block, over the data themselves."""
    matrix, Z, cost, inside = problem.matrix, [], [], []
    P = matrix.shape[1]
    U = [cp.Variable((D, K)) for _ in range(P)]
    W = [cp.Variable((D, K)) for _ in range(P)]
    gated = isinstance(problem, cx.GatedReluTraining)
    for p in range(P):
        mask, sign = np.diag(matrix[:, p] * 1.0), np.diag(2.0 * matrix[:, p] - 1.0)
        Z.append(mask @ X @ (U[p] if gated else U[p] - W[p]))
        for block in [U[p]] if gated else [U[p], W[p]]:
            cost.append(cp.normNuc(block) if nuclear else cp.sum(cp.norm(block, 2, axis=0)))
            inside += [] if gated else [sign @ X @ block >= 0]
    z, y = sum(Z), problem.labels.targets
    if problem.loss.name == "squared":
        loss = 0.5 * cp.sum_squares(z - y)
    else:
        loss = cp.sum(cp.log_sum_exp(z, axis=1)) - cp.sum(cp.multiply(y, z))
    program = cp.Problem(cp.Minimize(loss + BETA * sum(cost)), inside)
    return float(program.solve(solver="CLARABEL"))


@pytest.mark.parametrize("loss", ["squared", "softmax"])
@pytest.mark.parametrize(
    ("kind", "penalty"), [("relu", "l2"), ("gated", "l2"), ("gated", "nuclear")]
)
def test_programs_against_their_definition_in_cvxpy(kind: str, penalty: str, loss: str) -> None:
    problem = declared(kind, loss, penalty=penalty)
    reference = written_out(problem, penalty == "nuclear")
    solution = cx.solve(problem, "fista", tol=1e-6)
    assert solution.objective == pytest.approx(reference, rel=3e-6)
    assert solution.bound <= reference * (1.0 + 1e-7)


@often
@given(seed=st.integers(0, 10**6), outputs=st.integers(1, 4))
@pytest.mark.parametrize("kind", ["relu", "gated"])
def test_prediction_and_correlation_are_adjoint(kind: str, seed: int, outputs: int) -> None:
    rng = np.random.default_rng(seed)
    build = cx.ReluTraining if kind == "relu" else cx.GatedReluTraining
    y = rng.standard_normal((N, outputs))
    form = build(X, y, beta=1.0, patterns=4).canonical(GroupForm)
    rows, r = rng.standard_normal((form.blocks, D)), rng.standard_normal(form.y.shape)
    one_way = float(np.sum(form.predict(rows) * r))
    assert float(np.sum(rows * form.correlate(r))) == pytest.approx(one_way, rel=1e-10, abs=1e-10)
    np.testing.assert_array_equal(form.rows(form.neurons(rows, form.still())), rows)


@pytest.mark.parametrize("kind", ["relu", "gated"])
def test_few_unknowns_are_solved_by_their_own_matrix(kind: str) -> None:
    problem = declared(kind, "squared", patterns=3)
    answers = [cx.solve(problem, backend, tol=1e-7).objective for backend in ("admm", "ipm")]
    assert answers[0] == pytest.approx(answers[1], rel=3e-7)


@pytest.mark.parametrize("loss", ["squared", "softmax"])
def test_descent_over_the_layers_of_a_gated_network_ends_at_the_nuclear_optimum(loss: str) -> None:
    """The non-convex problem itself: neurons of every gate, as many as the rank can be."""
    problem = declared("gated", loss, penalty="nuclear", patterns=4)
    solution = cx.solve(problem, tol=1e-7)
    gated = problem.matrix.T[:, :, None] * X  # (P, n, d)
    targets, shape = problem.labels.targets, (len(gated), D, D)

    def cost(x: Array) -> tuple[float, Array]:
        U, A = x[: 4 * D * D].reshape(shape), x[4 * D * D :].reshape(len(gated), D, K)
        z = np.einsum("pnd,pdj,pjk->nk", gated, U, A)
        slope = np.einsum("pnd,nk->pdk", gated, problem.loss.gradient(z, targets))
        parts = (
            slope @ A.transpose(0, 2, 1) + BETA * U,
            U.transpose(0, 2, 1) @ slope + BETA * A,
        )
        value = problem.loss.value(z, targets).sum() + 0.5 * BETA * float(x @ x)
        return float(value), np.concatenate([part.ravel() for part in parts])

    rng = np.random.default_rng(0)
    ends = []
    for _ in range(3):
        begin = rng.standard_normal(4 * D * (D + K))
        found = minimize(cost, begin, jac=True, method="L-BFGS-B", options={"maxiter": 5_000})
        ends.append(float(found.fun))
    assert min(ends) >= solution.bound
    assert min(ends) == pytest.approx(solution.objective, rel=1e-5)


# Bounds


def any_dual(form: GroupForm, seed: int) -> Dual:
    rng = np.random.default_rng(seed)
    return Dual(rng.normal(scale=10.0 ** rng.uniform(-2.0, 1.0), size=form.y.shape))


@often
@given(seed=st.integers(0, 10**6))
@pytest.mark.parametrize("loss", ["squared", "softmax", "hinge"])
@pytest.mark.parametrize(
    ("kind", "penalty"), [("relu", "l2"), ("relu", "l1"), ("gated", "nuclear")]
)
def test_no_dual_guess_gives_a_bound_above_any_feasible_point(
    kind: str, penalty: str, loss: str, seed: int
) -> None:
    problem = declared(kind, loss, penalty=penalty)
    form = problem.canonical(GroupForm)
    best = cached_objective(kind, penalty, loss)
    bound = lower_bound(form, any_dual(form, seed))
    assert bound <= best * (1.0 + 1e-9)
    assert np.isfinite(bound)


CACHE: dict[tuple[str, str, str], float] = {}


def cached_objective(kind: str, penalty: str, loss: str) -> float:
    key = kind, penalty, loss
    if key not in CACHE:
        CACHE[key] = cx.solve(declared(kind, loss, penalty=penalty), tol=1e-6).objective
    return CACHE[key]


def test_a_dual_guess_of_the_wrong_shape_or_with_nan_bounds_nothing() -> None:
    form = declared("gated", "softmax", penalty="nuclear").canonical(GroupForm)
    assert lower_bound(form, Dual(np.zeros(N))) == -np.inf
    assert lower_bound(form, Dual(np.full((N, K), np.nan))) == -np.inf


@pytest.mark.parametrize("loss", ["squared", "softmax"])
def test_the_bound_over_all_patterns_is_below_every_network(loss: str) -> None:
    problem = small(loss)
    solution = cx.solve(problem, tol=1e-4)
    assert solution.backend == "cell-walk"
    assert solution.certificate.scope == "all patterns"
    assert solution.status is cx.Status.OPTIMAL
    form: NetworkForm = problem.canonical(NetworkForm)
    mu = solution.dual.mu
    bound = network_bound(form, mu, covers(form, mu, 20_000))
    assert bound == pytest.approx(solution.objective, rel=2e-4)
    local = cx.solve(problem, "lbfgs", starts=2, width=6)
    assert max(bound, solution.bound) <= local.objective
    assert solution.objective <= local.objective * (1.0 + 1e-4)
    sampled = cx.solve(small(loss, patterns=5), tol=1e-4)
    assert solution.objective < sampled.objective


@pytest.mark.parametrize("loss", ["squared", "softmax"])
def test_the_search_over_all_patterns_bounds_as_their_list_does(loss: str) -> None:
    """At points where each of three outputs has a worth of its own, all above beta."""
    y = Y[:12] if loss == "squared" else LABELS[:12]
    problem = cx.ReluTraining(X[:12], y, beta=0.1, loss=loss)
    listed: GroupForm = problem.canonical(GroupForm)
    form: NetworkForm = problem.canonical(NetworkForm)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        mu = -form.loss.clip(np.array([1.0, 0.4, 0.1]) * rng.standard_normal((12, 3)), form.y)
        bound = network_bound(form, mu, covers(form, mu, 2_000))
        assert bound == pytest.approx(lower_bound(listed, Dual(mu)), rel=1e-6)


def test_all_patterns_of_several_outputs_are_the_sum_of_scalar_problems() -> None:
    problem = small("squared")
    whole = cx.solve(problem, tol=1e-5).raise_for_status()
    total = sum(cx.solve(one_output(problem, c), tol=1e-5).objective for c in range(2))
    assert whole.objective == pytest.approx(total, rel=3e-5)
    assert whole.bound <= total * (1.0 + 1e-8)


@pytest.mark.parametrize("loss", ["squared", "softmax"])
def test_cells_that_are_not_listed_are_searched_for_a_proof(
    loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convexnn.problems.relu.two_layer.LISTED", 10)
    problem = small(loss)
    assert problem.matrix is None
    solution = cx.solve(problem, tol=1e-4)
    assert solution.certificate.covers == "all patterns"
    assert solution.status is cx.Status.OPTIMAL
    assert "found by search" in solution.certificate.scope
    assert network_objective(problem, solution.model) == pytest.approx(solution.objective, rel=1e-9)


# Local search


@pytest.mark.parametrize(("penalty", "loss"), [("l2", "softmax"), ("l1", "squared")])
def test_local_search_reports_the_network_it_found(penalty: str, loss: str) -> None:
    problem = declared("relu", loss, penalty=penalty, patterns=None)
    solution = cx.solve(problem, "lbfgs", starts=2, width=6)
    form: NetworkForm = problem.canonical(NetworkForm)
    assert solution.objective == pytest.approx(form.objective(solution.primal), rel=1e-12)
    zero = float(form.loss.value(np.zeros_like(form.y), form.y).sum())
    assert solution.objective < 0.7 * zero
    found = cx.local_patterns(problem, starts=2, width=6)
    pooled = declared("relu", loss, penalty=penalty, patterns=found)
    assert cx.solve(pooled, tol=1e-3).objective <= solution.objective * (1.0 + 1e-3)


# Models


@pytest.mark.parametrize("loss", ["softmax", "logistic", "hinge"])
def test_classes_come_back_as_the_labels(loss: str) -> None:
    solution = cx.solve(declared("relu", loss, patterns=20, beta=0.05), tol=1e-3)
    model = solution.model
    z = model.decision_function(X)
    assert z.shape == (N, K)
    assert set(model.predict(X)) <= set(LABELS)
    np.testing.assert_array_equal(model.predict(X), np.unique(LABELS)[z.argmax(axis=1)])
    assert np.mean(model.predict(X) == LABELS) > 0.9


@pytest.mark.parametrize("loss", ["squared", "softmax", "hinge"])
def test_held_out_examples_are_graded_by_the_sum_over_outputs(loss: str) -> None:
    problem = declared("relu", loss)
    model = cx.solve(problem, tol=1e-2).model
    z, y = model.decision_function(X[:9]), (Y if loss == "squared" else LABELS)[:9]
    own = np.arange(9), np.unique(LABELS, return_inverse=True)[1][:9]
    if loss == "squared":
        by_hand = 0.5 * np.sum((z - y) ** 2, axis=1)
    elif loss == "softmax":
        by_hand = np.log(np.sum(np.exp(z), axis=1)) - z[own]
    else:
        against = np.maximum(0.0, 1.0 + z)
        against[own] = np.maximum(0.0, 1.0 - z[own])
        by_hand = np.sum(against, axis=1)
    assert problem.holdout(model, X[:9], y) == pytest.approx(np.mean(by_hand), rel=1e-12)


def test_beta_of_several_outputs_is_selected_by_their_loss() -> None:
    found = cx.select(declared("gated", "softmax"), beta=[50.0, 0.5], folds=2, tol=1e-3)
    assert found.best == {"beta": 0.5}
    two = cx.GatedReluTraining(X, LABELS == "red", beta=BETA, loss="softmax", patterns=7)
    assert cx.select(two, beta=[50.0, 0.5], folds=2, tol=1e-3).best == {"beta": 0.5}


def test_held_out_targets_of_another_shape_and_unknown_labels_are_refused() -> None:
    several = declared("relu", "squared")
    model = cx.solve(several, tol=1e-2).model
    with refused(r"y must have shape \(24, 3\), got \(24, 2\)"):
        several.holdout(model, X, Y[:, :2])
    classes = declared("relu", "softmax")
    with refused("y must hold 24 labels, each blue, green or red"):
        classes.holdout(model, X, np.where(LABELS == "red", "pink", LABELS))
    with refused("y must have no masked entries, got 1"):
        classes.holdout(model, X, np.ma.array(LABELS, mask=np.arange(N) == 3))


def test_targets_come_back_in_their_shape() -> None:
    solution = cx.solve(declared("gated", "squared", beta=0.01, penalty="nuclear"), tol=1e-4)
    assert solution.model.predict(X).shape == Y.shape
    assert np.mean((solution.model.predict(X) - Y) ** 2) < 0.1 * np.var(Y)


@pytest.mark.parametrize(("kind", "penalty"), [("relu", "l2"), ("gated", "nuclear")])
def test_solutions_and_networks_survive_saving(kind: str, penalty: str, tmp_path: Path) -> None:
    solution = cx.solve(declared(kind, "softmax", penalty=penalty, bias=True), tol=1e-4)
    solution.save(tmp_path / "s.npz")
    again = cx.load(tmp_path / "s.npz")
    assert again.certificate == solution.certificate
    assert again.problem.outputs == K
    solution.model.save(tmp_path / "net.npz")
    network = cx.TwoLayerNetwork.load(tmp_path / "net.npz")
    np.testing.assert_array_equal(network.predict(X), solution.model.predict(X))
    np.testing.assert_array_equal(network.decision_function(X), again.model.decision_function(X))


def test_one_vs_rest_survives_saving(tmp_path: Path) -> None:
    solution = cx.solve(declared("relu", "hinge"), tol=1e-3)
    solution.save(tmp_path / "s.npz")
    again = cx.load(tmp_path / "s.npz")
    assert again.problem.multiclass == "one-vs-rest"
    assert again.certificate == solution.certificate


@pytest.mark.parametrize(("kind", "penalty"), [("relu", "l2"), ("gated", "nuclear")])
def test_exported_graphs_have_every_output(kind: str, penalty: str, tmp_path: Path) -> None:
    import onnx
    from onnx.reference import ReferenceEvaluator

    model = cx.solve(declared(kind, "squared", penalty=penalty, bias=True), tol=1e-3).model
    model.to_onnx(tmp_path / "net.onnx")
    (output,) = ReferenceEvaluator(onnx.load(str(tmp_path / "net.onnx"))).run(None, {"x": X})
    np.testing.assert_allclose(output, model.decision_function(X), atol=1e-12)


def test_decomposition_of_a_gated_network_predicts_the_same() -> None:
    problem = declared("gated", "softmax")
    solution = cx.solve(problem, tol=1e-5)
    relu = problem.decompose(solution.primal)
    np.testing.assert_allclose(
        relu.network.decision_function(X), solution.model.decision_function(X), atol=1e-8
    )
    assert relu.objective >= solution.bound
    assert network_objective(problem, relu.network) == pytest.approx(relu.objective, rel=1e-9)
    with pytest.raises(cx.ProblemError, match="penalty must be 'l2' or 'l1' to decompose"):
        declared("gated", "softmax", penalty="nuclear").decompose(solution.primal)


@pytest.mark.parametrize("name", ["wine", "digits"])
def test_classes_of_real_data_are_told_apart(name: str) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    chosen = np.random.default_rng(0).permutation(len(y))[:200]
    X, y = X[chosen], y[chosen]
    X = (X - X.mean(axis=0)) / np.where(X.std(axis=0) > 0.0, X.std(axis=0), 1.0)
    cut = len(y) * 3 // 4
    problem = cx.GatedReluTraining(
        X[:cut], y[:cut], beta=1.0, loss="softmax", bias=True, patterns=20, penalty="nuclear"
    )
    solution = cx.solve(problem, tol=1e-3).raise_for_status()
    assert np.mean(solution.model.predict(X[cut:]) == y[cut:]) > 0.85


# Starts, limits, choices


def test_a_start_and_a_callback_work_as_with_one_output() -> None:
    problem = declared("relu", "softmax")
    first = cx.solve(problem, "admm", tol=1e-6)
    for backend in ("admm", "fista"):
        again = cx.solve(problem, backend, tol=1e-5, start=first)
        assert len(again.history) <= 3
    stopped = cx.solve(problem, "fista", tol=1e-12, callback=lambda step: step.iteration >= 10)
    assert stopped.status is cx.Status.STOPPED
    with pytest.raises(cx.ProblemError, match="start must have as many neurons for each output"):
        cx.solve(problem, start=cx.solve(one_output(declared("relu", "squared"), 0)))


def test_auto_takes_an_engine_that_can() -> None:
    assert cx.solve(declared("relu", "softmax"), tol=1e-2).backend == "semismooth"
    assert automatic(declared("relu", "squared")) == "semismooth"
    assert automatic(declared("relu", "squared", beta=1e-3)) == "ipm"
    assert automatic(declared("gated", "softmax")) == "admm"
    assert cx.solve(declared("relu", "hinge"), tol=1e-2).backend == "ipm"
    assert cx.solve(declared("gated", "hinge", penalty="nuclear"), tol=1e-2).backend == "admm"


@pytest.mark.parametrize(
    ("n", "outputs", "engine"), [(1_600, 1, "sampled-newton"), (1_600, 2, "admm")]
)
def test_auto_factors_more_rows_where_outputs_share_the_factor(
    n: int, outputs: int, engine: str
) -> None:
    many, targets = np.resize(X, (n, D)), np.resize(Y, (n, outputs))
    assert automatic(cx.GatedReluTraining(many, targets, beta=300.0, patterns=3)) == engine
    if outputs == 1:  # fista's steps would be many
        assert automatic(cx.GatedReluTraining(many, targets, beta=0.1, patterns=3)) == "admm"


@pytest.mark.parametrize("loss", ["squared", "softmax"])
def test_auto_goes_by_the_neurons_in_use_whatever_the_length_of_a_block(loss: str) -> None:
    wide = np.random.default_rng(0).standard_normal((60, 45))
    y = wide[:, :3] if loss == "squared" else np.arange(60) % 3
    assert automatic(cx.ReluTraining(wide, y, beta=2.0, loss=loss, patterns=3)) == "semismooth"


@pytest.mark.parametrize("loss", ["squared", "huber", "softmax"])
@pytest.mark.parametrize("patterns", [2, 40])
@pytest.mark.parametrize("penalty", ["l2", "l1"])
def test_a_newton_step_of_several_outputs_solves_its_equation(
    loss: str, patterns: int, penalty: str
) -> None:
    """Against ``(I + sigma H A A') dmu = H (z - F v)`` with every matrix written out."""
    form = declared("relu", loss, patterns=patterns, penalty=penalty, beta=0.05).canonical(
        GroupForm
    )
    newton = Newton(form, None, None)
    assert newton.step()
    z, v = newton.at.z, newton.at.v
    used = np.flatnonzero(v.any(axis=1))
    part = used // form.slopes.shape[1] % K
    A = np.zeros((N * K, 0))
    for c in range(K):
        rows = np.zeros((N, K, newton.square_root(used[part == c]).shape[1]))
        rows[:, c] = newton.square_root(used[part == c])
        A = np.hstack([A, rows.reshape(N * K, -1)])
    assert (A.shape[1] > N) == (patterns == 40)
    H = np.zeros((N * K, N * K))
    for i in range(N):
        own = slice(K * i, K * (i + 1))
        H[own, own] = np.diag(form.loss.hessian(z[i : i + 1], form.y[i : i + 1])[0])
        if isinstance(form.loss, Softmax):
            p = np.exp(z[i]) / np.exp(z[i]).sum()
            H[own, own] = np.diag(p) - np.outer(p, p)
    lacking = z - form.predict(v)
    change, move = newton.direction(lacking)
    inner = np.eye(N * K) + newton.sigma * H @ A @ A.T
    expected = np.linalg.solve(inner, H @ lacking.ravel())
    np.testing.assert_allclose(change.ravel(), expected, atol=1e-7 * np.abs(expected).max())
    moved = newton.sigma * A @ (A.T @ expected) - lacking.ravel()
    np.testing.assert_allclose(move.ravel(), moved, atol=1e-7 * np.abs(moved).max())


@pytest.mark.parametrize("seed", range(6))
def test_semismooth_newton_agrees_with_first_order_methods(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, d, k = rng.integers([10, 1, 3], [30, 6, 6])
    y = np.concatenate([np.arange(k), rng.integers(k, size=n - k)])
    problem = cx.ReluTraining(
        rng.standard_normal((n, d)),
        y,
        beta=10.0 ** rng.uniform(-1.5, 0.5),
        loss="softmax",
        patterns=int(rng.integers(1, 12)),
        penalty=["l2", "l1"][seed % 2],
        leak=0.2 * (seed % 3),
    )
    newton, other = (cx.solve(problem, name, tol=1e-5) for name in ("semismooth", "fista"))
    assert newton.status is cx.Status.OPTIMAL
    assert newton.bound <= other.objective + 1e-9 * abs(other.objective)
    assert other.bound <= newton.objective + 1e-9 * abs(newton.objective)


def test_what_couples_outputs_in_another_way_is_refused_by_semismooth_newton() -> None:
    reasons = cx.backends(declared("gated", "squared", penalty="nuclear")).reasons
    assert reasons["semismooth"] == "the nuclear norm couples the outputs"
    assert cx.backends(declared("gated", "squared")).reasons["semismooth"] is None


def test_a_solver_without_semidefinite_cones_says_so() -> None:
    problem = declared("gated", "squared", penalty="nuclear")
    assert cx.backends(problem).reasons["cvxpy:osqp"] == "no semidefinite cones"
    coupled = "its loss or its norm couples the outputs"
    assert cx.backends(problem).reasons["ipm"] == coupled


def test_interior_point_goes_on_until_every_output_is_solved() -> None:
    problem = declared("relu", "squared")
    easy = cx.ReluTraining(
        X, np.column_stack([1e-3 * Y[:, 0], 1e2 * Y[:, 1]]), beta=BETA, patterns=problem.patterns
    )
    assert cx.solve(easy, "ipm", tol=1e-7).status is cx.Status.OPTIMAL


@pytest.mark.parametrize("seed", [0, 9, 21])
def test_outputs_that_are_solved_first_stay_solved(seed: int) -> None:
    """Classes of 10 to 1 examples: interior point needs fewer steps for the rare ones."""
    rng = np.random.default_rng(seed)
    points, y = rng.standard_normal((30, 4)), np.repeat(np.arange(6), [10, 9, 6, 2, 2, 1])
    problem = cx.ReluTraining(
        points,
        rng.permutation(y),
        beta=1.0,
        loss="hinge",
        multiclass="one-vs-rest",
        patterns=2,
        bias=True,
    )
    assert cx.solve(problem, "ipm", tol=1e-6).status is cx.Status.OPTIMAL


# Declarations


@pytest.mark.parametrize("build", [cx.ReluTraining, cx.GatedReluTraining])
def test_a_single_column_is_a_scalar_target(build: Any) -> None:
    column = build(X, Y[:, :1], beta=BETA, patterns=5)
    scalar = build(X, Y[:, 0], beta=BETA, patterns=5)
    assert column.outputs == 1
    np.testing.assert_array_equal(column.y, scalar.y)
    assert cx.solve(column).objective == cx.solve(scalar).objective


def test_the_nuclear_norm_of_one_output_is_the_euclidean() -> None:
    nuclear = cx.GatedReluTraining(X, Y[:, 0], beta=BETA, patterns=5, penalty="nuclear")
    assert not isinstance(nuclear.canonical(GroupForm).norm, Nuclear)


def test_two_classes_one_against_the_rest_are_one_output() -> None:
    y = LABELS == "red"
    plain = cx.ReluTraining(X, y, beta=BETA, loss="logistic", patterns=5)
    named = cx.ReluTraining(X, y, beta=BETA, loss="logistic", patterns=5, multiclass="one-vs-rest")
    assert named.outputs == 1
    assert cx.solve(named).objective == cx.solve(plain).objective


def test_softmax_of_two_classes_is_logistic_training_with_two_weights() -> None:
    """Of the two outputs only the difference counts: its neurons cost the same in either."""
    y = np.where(LABELS == "red", "yes", "no")
    two = cx.ReluTraining(X, y, beta=BETA, loss="softmax", patterns=9)
    one = cx.ReluTraining(X, y, beta=BETA, loss="logistic", patterns=9)
    assert two.outputs == 2
    assert cx.solve(two, tol=1e-6).objective == pytest.approx(
        cx.solve(one, tol=1e-6).objective, rel=3e-6
    )


def test_labels_with_gaps_are_mapped_and_remembered() -> None:
    y = np.array([7, -2, 40])[Y.argmax(axis=1)]
    problem = cx.ReluTraining(X, y, beta=BETA, loss="softmax", patterns=5)
    np.testing.assert_array_equal(problem.labels.classes, [-2, 7, 40])
    assert set(cx.solve(problem, tol=1e-3).model.predict(X)) <= {-2, 7, 40}


def refused(match: str) -> Any:
    return pytest.raises(cx.ProblemError, match=match)


@pytest.mark.parametrize("build", [cx.ReluTraining, cx.GatedReluTraining])
@pytest.mark.parametrize(
    ("y", "changes", "match"),
    [
        (np.ones(N), {"loss": "softmax"}, "y must have at least two classes, got 1: 1.0"),
        (Y, {"loss": "softmax"}, r"y must have 1 axis, got shape \(24, 3\)"),
        (Y, {"loss": "hinge"}, r"y must have 1 axis, got shape \(24, 3\)"),
        (LABELS, {"loss": "hinge"}, "y must have exactly two classes .*got 3: blue, green, red"),
        (Y[:-1], {}, r"y must have one row per row of X \(24\), got 23"),
        (Y[:, :0], {}, r"y must not be empty, got shape \(24, 0\)"),
        (Y[:, :, None], {}, r"y must have 1 or 2 axes, got shape \(24, 3, 1\)"),
        (np.where(Y[4, 2] == Y, np.nan, Y), {}, "y has 1 missing of 72, in row 4"),
        (Y, {"multiclass": "one-vs-rest"}, "multiclass must be None for loss 'squared'"),
        (
            LABELS,
            {"loss": "softmax", "multiclass": "one-vs-rest"},
            "multiclass must be None for loss 'softmax'",
        ),
        (LABELS, {"loss": "hinge", "multiclass": "all"}, "multiclass must be one of one-vs-rest"),
        (
            np.ones(N),
            {"loss": "hinge", "multiclass": "one-vs-rest"},
            "y must have at least two classes",
        ),
    ],
)
def test_what_is_wrong_is_said_by_name(build: Any, y: Any, changes: Any, match: str) -> None:
    with refused(match):
        build(X, y, **({"beta": BETA, "patterns": 5} | changes))


def test_what_takes_one_output_says_so() -> None:
    with refused(r"skip must be False for more than one output \(3\), got True"):
        declared("relu", "squared", skip=True)
    with refused(r"formulation must be 'cones' for more than one output \(3\), got 'majorant'"):
        declared("relu", "squared", formulation="majorant")
    with refused("solution must be of one output, got 3"):
        cx.audit(cx.solve(declared("relu", "squared"), tol=1e-2))
    with refused("loss must be one of hinge, logistic, squared, got 'softmax'"):
        cx.RobustReluTraining(X, LABELS, beta=BETA, radius=0.1, loss="softmax")

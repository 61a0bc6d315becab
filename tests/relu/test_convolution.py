"""Networks of one convolution with average pooling: patches, the pooled program, the network."""

from __future__ import annotations

import tracemalloc
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.contract.backend import Options, registry
from convexnn.contract.program import CvxpyProgram
from convexnn.driver.choice import automatic
from convexnn.relu.bound import lower_bound, network_bound
from convexnn.relu.convolution import patches
from convexnn.relu.forms import Dual, NetworkForm, PooledForm, PooledNetworkForm
from convexnn.relu.relaxation import improve, relaxed, relaxed_bound
from convexnn.relu.search_bound import covers
from convexnn.solvers.relu.layers import Layers, Parts
from convexnn.solvers.relu.lbfgs import random_network, search

BUILDERS = [cx.ConvGatedReluTraining, cx.ConvReluTraining]
BETA = 0.02
often = settings(max_examples=25)
both = pytest.mark.parametrize("build", BUILDERS)


def data(n: int = 12, shape: tuple[int, ...] = (4, 4), seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, *shape))
    edges = np.maximum(X[:, 1:] - X[:, :-1], 0.0).reshape(n, -1).mean(axis=1)
    return X, 3.0 * edges + 0.1 * rng.standard_normal(n)


def declared(build: Any, **changes: Any) -> Any:
    X, y = data()
    return build(X, y, **{"beta": BETA, "filter_size": 2, "patterns": 9} | changes)


def by_loops(X: Array, model: cx.ConvNetwork) -> Array:
    """The network's output, a patch and a filter at a time."""
    m, size, _, channels = model.filters.shape
    deep = X.reshape(*X.shape[:3], channels)
    z = np.zeros((len(X), model.alpha.shape[1]))
    rows = range(0, deep.shape[1] - size + 1, model.stride)
    columns = range(0, deep.shape[2] - size + 1, model.stride)
    for r in rows:
        for c in columns:
            patch = deep[:, r : r + size, c : c + size]
            for j in range(m):
                hidden = np.sum(patch * model.filters[j], axis=(1, 2, 3)) + model.bias[j]
                gate = hidden
                if model.gates is not None:
                    gate = np.sum(patch * model.gates[j], axis=(1, 2, 3))
                    gate = gate + (0.0 if model.gates_bias is None else model.gates_bias[j])
                z += np.outer(np.where(gate >= 0.0, hidden, 0.0), model.alpha[j])
    z /= len(rows) * len(columns)
    return z[:, 0] if z.shape[1] == 1 else z


def cost(problem: Any, model: cx.ConvNetwork) -> float:
    """The non-convex objective, by hand."""
    loss = problem.loss.value(by_loops(problem.X, model), problem.labels.targets).sum()
    size = np.sum(model.filters**2) + np.sum(model.bias**2) + np.sum(model.alpha**2)
    return float(loss + 0.5 * problem.beta * size)


# Patches and the pooled form


@often
@given(
    n=st.integers(1, 3),
    h=st.integers(1, 6),
    w=st.integers(1, 6),
    c=st.integers(1, 3),
    size=st.integers(1, 6),
    stride=st.integers(1, 4),
)
def test_patches_are_those_of_a_loop(
    n: int, h: int, w: int, c: int, size: int, stride: int
) -> None:
    size = min(size, h, w)
    X = np.arange(float(n * h * w * c)).reshape(n, h, w, c)
    wanted = [
        X[i, r : r + size, s : s + size].ravel()
        for i in range(n)
        for r in range(0, h - size + 1, stride)
        for s in range(0, w - size + 1, stride)
    ]
    assert np.array_equal(patches(X, size, stride), wanted)
    if c == 1:
        assert np.array_equal(patches(X[..., 0], size, stride), wanted)


@often
@given(seed=st.integers(0, 10**6), outputs=st.integers(1, 3), conic=st.booleans())
def test_pooled_products_are_means_over_the_rows(seed: int, outputs: int, conic: bool) -> None:
    rng = np.random.default_rng(seed)
    form = declared(BUILDERS[conic]).canonical(PooledForm)
    if outputs > 1:
        form = form._replace(y=rng.standard_normal((len(form.y), outputs)))
    P, K = form.slopes.shape[1], 9
    rows = rng.standard_normal((form.blocks, form.X.shape[1]))
    r = rng.standard_normal(form.y.shape)
    own = rows[: outputs * P] - rows[outputs * P :] if conic else rows
    hidden = np.column_stack([form.slopes[:, j % P] * (form.X @ own[j]) for j in range(len(own))])
    z = hidden.reshape(len(form.y), K, outputs, P).mean(axis=1).sum(axis=2)
    assert form.bag == K
    assert np.allclose(form.predict(rows), z.reshape(form.y.shape), atol=1e-12)
    assert np.allclose(form.gathered(hidden), form.predict(rows), atol=1e-12)
    assert np.isclose(np.vdot(r, form.predict(rows)), np.vdot(form.correlate(r), rows), atol=1e-10)


def test_changed_data_have_pooled_features_of_their_own() -> None:
    form = declared(cx.ConvReluTraining).canonical(PooledForm)
    assert form._replace(beta=2.0).features is form.features
    assert np.array_equal(form._replace(X=2.0 * form.X).features, 2.0 * form.features)


# Answers


@both
@pytest.mark.parametrize("stride", [1, 2])
def test_objective_is_that_of_the_network_by_loops(build: Any, stride: int) -> None:
    X, y = data(shape=(4, 5, 2))
    Y = np.column_stack([y, -y, y**2])
    problem = build(X, Y, beta=0.05, filter_size=3, stride=stride, patterns=6, bias=True)
    solution = cx.solve(problem, tol=1e-8)
    assert solution.status is cx.Status.OPTIMAL
    assert len(solution.model) > 0
    assert abs(cost(problem, solution.model) - solution.objective) <= 1e-9
    assert np.allclose(
        solution.model.decision_function(X), by_loops(X, solution.model), rtol=0.0, atol=1e-12
    )


@both
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_filter_of_the_whole_image_is_the_plain_program(build: Any, loss: str) -> None:
    X, y = data(20, (2, 2))
    y = y if loss == "squared" else np.where(y > np.median(y), "up", "down")
    flat = X.reshape(20, 4)
    given = cx.sample_patterns(flat, 12)
    plain = cx.GatedReluTraining if build is cx.ConvGatedReluTraining else cx.ReluTraining
    common: dict[str, Any] = {"beta": 0.1, "loss": loss, "patterns": given}
    ours = cx.solve(build(X, y, filter_size=2, **common), tol=1e-7)
    theirs = cx.solve(plain(flat, y, **common), tol=1e-7)
    assert abs(ours.objective - theirs.objective) <= 2e-7 * max(1.0, theirs.objective)
    assert ours.bound <= theirs.objective
    assert theirs.bound <= ours.objective
    assert np.array_equal(ours.model.predict(X) == y, theirs.model.predict(flat) == y)


def test_all_patterns_are_the_global_optimum_of_the_network() -> None:
    X, y = data(3, (3, 3))
    problem = cx.ConvReluTraining(X, y, beta=0.05, filter_size=2)
    solution = cx.solve(problem, tol=1e-6)
    assert solution.status is cx.Status.OPTIMAL
    assert solution.certificate.scope == "all patterns"
    rows, m, K = patches(X, 2), 8, 4

    def value(flat: Array) -> tuple[float, Array]:
        U, alpha = flat[: 4 * m].reshape(4, m), flat[4 * m :]
        hidden = rows @ U
        pooled = np.maximum(hidden, 0.0).reshape(len(y), K, m).mean(axis=1)
        r = pooled @ alpha - y
        back = (np.repeat(r, K)[:, None] * alpha / K) * (hidden > 0.0)
        slope = np.concatenate([(rows.T @ back).ravel(), pooled.T @ r])
        return 0.5 * float(r @ r) + 0.025 * float(flat @ flat), slope + 0.05 * flat

    rng = np.random.default_rng(0)
    found = [
        minimize(value, 0.5 * rng.standard_normal(5 * m), jac=True, method="L-BFGS-B").fun
        for _ in range(40)
    ]
    assert min(found) >= solution.bound
    assert min(found) <= solution.objective + 1e-4
    assert abs(cost(problem, solution.model) - solution.objective) <= 1e-9


@cache
def bounded(build: Any, loss: str) -> tuple[PooledForm, float]:
    """A small program and its optimum by Clarabel."""
    X, y = data()
    labels: Any = y if loss == "squared" else np.digitize(y, np.quantile(y, [0.3, 0.6]))
    labels = labels > 0 if loss == "logistic" else labels
    problem = build(X, labels, beta=0.05, loss=loss, filter_size=3, patterns=5)
    formula = problem.canonical(CvxpyProgram)
    return problem.canonical(PooledForm), float(formula.problem.solve(solver="CLARABEL"))


@both
@pytest.mark.parametrize("loss", ["squared", "logistic", "softmax"])
@often
@given(seed=st.integers(0, 10**6), size=st.floats(1e-3, 1e3))
def test_no_guess_bounds_above_the_optimum(build: Any, loss: str, seed: int, size: float) -> None:
    form, best = bounded(build, loss)
    mu = size * np.random.default_rng(seed).standard_normal(form.y.shape)
    assert lower_bound(form, Dual(mu)) <= best + 1e-7 * max(1.0, best)


def test_gated_is_below_and_its_gates_are_the_given_patterns() -> None:
    relu = cx.solve(declared(cx.ConvReluTraining), tol=1e-7)
    gated = cx.solve(declared(cx.ConvGatedReluTraining), tol=1e-7)
    assert gated.objective <= relu.objective + 1e-6
    problem: Any = gated.problem
    assert len(problem.gates) == 9
    assert np.array_equal(problem.data @ problem.gates.generators >= 0.0, problem.gates.matrix)


def test_gated_without_generators_gets_them_and_bad_patterns_are_refused() -> None:
    X = data()[0]
    matrix = cx.sample_patterns(patches(X, 2), 4).matrix
    solution = cx.solve(declared(cx.ConvGatedReluTraining, patterns=matrix))
    z = solution.model.decision_function(X)
    assert np.allclose(z, solution.problem.canonical(PooledForm).predict(solution.primal.V.T))
    noise = np.random.default_rng(0).random(matrix.shape) < 0.5
    with pytest.raises(cx.ProblemError, match="is the pattern of no generator"):
        cx.solve(declared(cx.ConvGatedReluTraining, patterns=noise))


def test_gates_that_are_too_many_are_sampled_and_said_to_be() -> None:
    X, y = data(30)
    problem = cx.ConvGatedReluTraining(X, y, beta=0.1, filter_size=2)
    assert problem.certify(*problem.initial()).scope == "200 sampled patterns"
    assert len(problem.gates) == 200


# Over all patterns, too many to list

SEARCHED: list[tuple[str, str, int]] = [
    ("squared", "l2", 1),
    ("squared", "l1", 1),
    ("hinge", "l2", 1),
    ("squared", "l2", 3),
    ("softmax", "l2", 3),
    ("softmax", "l1", 3),
]
searched = pytest.mark.parametrize(("loss", "penalty", "outputs"), SEARCHED)


def over_all(loss: str, penalty: str, outputs: int, **changes: Any) -> cx.ConvReluTraining:
    X, y = data(8, (3, 3))
    labels: Any = y if outputs == 1 else np.column_stack([y, -y, y**2])
    if loss != "squared":
        labels = np.digitize(y, np.quantile(y, [0.5] if outputs == 1 else [0.3, 0.6]))
    common: dict[str, Any] = {"beta": 0.1, "loss": loss, "penalty": penalty, "filter_size": 2}
    return cx.ConvReluTraining(X, labels, **common | changes)


class Patient:
    """A reporter whose time is never up."""

    def report(self, iteration: int, primal: Any, dual: Any) -> bool:
        return False

    def expired(self) -> bool:
        return False

    def remaining(self) -> None:
        return None


@searched
def test_hybrid_is_never_worse_than_its_local_search(loss: str, penalty: str, outputs: int) -> None:
    problem = over_all(loss, penalty, outputs)
    solution = cx.solve(problem, max_iter=1, tol=1e-4, starts=2, width=6, probes=10)
    assert solution.backend == "cell-walk"
    assert solution.certificate.scope.startswith("all patterns; ")
    form = problem.canonical(PooledNetworkForm)
    found = search(form, 2, 6, Options(1e-4, None, 0, {}), Patient(), mixed=True)
    values = [problem.objective(network) for network in found]
    assert solution.objective <= min(values) + 1e-9
    assert solution.bound <= min(values)
    if penalty == "l2":
        assert abs(cost(problem, solution.model) - solution.objective) <= 1e-9
    random = cx.solve(over_all(loss, penalty, outputs, patterns=5), tol=1e-4)
    assert solution.objective < random.objective


def test_hybrid_proves_the_global_optimum() -> None:
    solution = cx.solve(over_all("squared", "l2", 1), tol=1e-4, starts=2, probes=30)
    assert solution.status is cx.Status.OPTIMAL
    assert solution.certificate.scope.startswith("all patterns; within")
    assert len(solution.model) > 0


@searched
def test_slope_of_the_pooled_network_is_its_difference(
    loss: str, penalty: str, outputs: int
) -> None:
    form = over_all(loss, penalty, outputs).canonical(PooledNetworkForm)
    begin = random_network(form, 6, np.random.default_rng(1))
    layers: Any = (Layers if penalty == "l2" else Parts)(form, begin)
    x = layers.pack(begin)
    network = layers.unpack(x)
    assert np.isclose(layers.value(x, form.loss)[0], form.objective(network), rtol=1e-12)
    if not np.isfinite(form.loss.curvature):
        return
    direction = np.random.default_rng(2).standard_normal(len(x))
    ends = [layers.value(x + step * direction, form.loss)[0] for step in (1e-6, -1e-6)]
    slope = float(layers.value(x, form.loss)[1] @ direction)
    assert np.isclose((ends[0] - ends[1]) / 2e-6, slope, rtol=1e-5)


@cache
def networks(loss: str, penalty: str, outputs: int) -> tuple[PooledNetworkForm, float]:
    """A problem over all patterns and the best network that local search finds."""
    form = over_all(loss, penalty, outputs).canonical(PooledNetworkForm)
    found = search(form, 4, 6, Options(1e-6, None, 0, {}), Patient())
    return form, min(form.objective(network) for network in found)


@searched
@often
@given(seed=st.integers(0, 10**6), size=st.floats(1e-3, 1e3), nodes=st.sampled_from([0, 100]))
def test_no_guess_bounds_above_a_network(
    loss: str, penalty: str, outputs: int, seed: int, size: float, nodes: int
) -> None:
    form, best = networks(loss, penalty, outputs)
    mu = size * np.random.default_rng(seed).standard_normal(form.y.shape)
    assert network_bound(form, mu, covers(form, mu, nodes)) <= best
    if outputs == 1:
        assert relaxed_bound(form, relaxed(form, mu, iterations=20)) <= best


def test_relaxation_bounds_from_below_and_by_something() -> None:
    form, best = networks("squared", "l2", 1)
    zero = 0.5 * float(form.y @ form.y)
    bound = relaxed_bound(form, improve(form, form.y))
    assert relaxed_bound(form, relaxed(form, form.y)) < 0.85 * best
    assert 0.9 * best < bound <= best < 0.9 * zero


def test_filter_of_the_whole_image_is_searched_as_the_plain_network() -> None:
    X, y = data(30, (2, 2))
    image = cx.ConvReluTraining(X, y, beta=0.1, filter_size=2)
    ours = image.canonical(PooledNetworkForm)
    theirs = cx.ReluTraining(X.reshape(30, 4), y, beta=0.1).canonical(NetworkForm)
    network = random_network(ours, 8, np.random.default_rng(0))
    assert np.isclose(ours.objective(network), theirs.objective(network), rtol=1e-14)
    mine, yours = (network_bound(form, y, covers(form, y, 99)) for form in (ours, theirs))
    assert np.isclose(mine, yours)


def test_engines_that_need_patterns_say_how_many_there_may_be() -> None:
    reasons = cx.backends(over_all("squared", "l2", 1)).reasons
    assert "at most 2,000 are listed" in str(reasons["admm"])
    assert reasons["lbfgs"] is None
    with pytest.raises(cx.BackendError, match="give patterns, or use an engine that searches"):
        cx.solve(over_all("squared", "l2", 1), "fista")


# Around the program


@both
def test_start_and_another_beta(build: Any) -> None:
    problem = declared(build)
    first = cx.solve(problem, "fista", tol=1e-8)
    again = cx.solve(problem, "fista", tol=1e-8, start=first)
    assert again.history[-1].iteration < first.history[-1].iteration
    smaller = problem.at(0.5 * BETA)
    assert smaller.canonical(PooledForm).features is problem.canonical(PooledForm).features
    fresh = declared(build, beta=0.5 * BETA)
    ours, theirs = cx.solve(smaller, tol=1e-8), cx.solve(fresh, tol=1e-8)
    assert abs(ours.objective - theirs.objective) <= 2e-8


@both
@pytest.mark.parametrize("penalty", ["l2", "l1"])
def test_path_screens_convolutions(build: Any, penalty: str) -> None:
    problem = declared(build, penalty=penalty, beta=1.0)
    top = cx.beta_max(problem)
    assert len(cx.solve(problem.at(1.001 * top), "fista", tol=1e-9).model) == 0
    assert len(cx.solve(problem.at(0.97 * top), "fista", tol=1e-9).model) > 0
    path = cx.path(problem, betas=list(top * np.geomspace(1.0, 0.02, 8)))
    assert sum(counts.dropped for counts in path.counts) > 0
    for solution in path.solutions:
        whole = cx.solve(solution.problem, "fista")
        assert abs(whole.objective - solution.objective) <= 2e-6 * max(1.0, whole.objective)


@both
def test_files(build: Any, tmp_path: Path) -> None:
    X, _ = data()
    solution = cx.solve(declared(build, bias=True))
    solution.model.save(tmp_path / "network.npz")
    loaded = cx.ConvNetwork.load(tmp_path / "network.npz")
    assert np.array_equal(loaded.predict(X), solution.model.predict(X))
    assert loaded.stride == 1
    solution.save(tmp_path / "solution.npz")
    whole = cx.load(tmp_path / "solution.npz")
    assert whole.objective == solution.objective
    assert np.array_equal(whole.model.predict(X), solution.model.predict(X))
    with pytest.raises(ValueError, match="holds a ConvNetwork, not a TwoLayerNetwork"):
        cx.TwoLayerNetwork.load(tmp_path / "network.npz")


def test_labels_come_back() -> None:
    X, y = data(30)
    labels = np.array(["low", "middle", "high"])[np.digitize(y, np.quantile(y, [0.3, 0.6]))]
    problem = cx.ConvGatedReluTraining(X, labels, beta=0.01, loss="softmax", patterns=30)
    solution = cx.solve(problem)
    assert (solution.model.predict(X) == labels).mean() > 0.9
    assert "gated filters of 3 x 3 x 1" in repr(solution.model)


@pytest.mark.parametrize("loss", ["squared", "softmax", "hinge", "logistic"])
@pytest.mark.parametrize("outputs", [1, 3])
def test_loss_on_other_examples_is_that_on_the_same_ones(loss: str, outputs: int) -> None:
    if loss == "softmax" and outputs == 1:
        return
    X, y = data(30)
    cuts = np.quantile(y, [0.5] if outputs == 1 else [0.3, 0.6])
    labels: Any = np.array(["a", "b", "c"])[np.digitize(y, cuts)]
    if loss == "squared":
        labels = y if outputs == 1 else np.column_stack([y, -y, y**2])
    several = "one-vs-rest" if outputs == 3 and loss in ("hinge", "logistic") else None
    problem = cx.ConvReluTraining(
        X, labels, beta=0.1, loss=loss, patterns=5, multiclass=several, bias=True
    )
    solution = cx.solve(problem, tol=1e-3)
    fit = solution.objective - 0.5 * problem.beta * sum(
        float(np.sum(part**2))
        for part in (solution.model.filters, solution.model.bias, solution.model.alpha)
    )
    assert np.isclose(problem.holdout(solution.model, X, labels), fit / 30, rtol=1e-9)
    with refused("y must hold 30 labels, each a|y must have (one entry|one row|shape)"):
        problem.holdout(solution.model, X, labels[:-1])


def test_patterns_of_local_search_serve_gates() -> None:
    problem = over_all("softmax", "l2", 3)
    found = cx.local_patterns(problem, starts=2, width=6)
    again = over_all("softmax", "l2", 3, patterns=found)
    assert np.array_equal(again.data @ np.asarray(found.generators) >= 0.0, found.matrix)
    search_alone = cx.solve(problem, "lbfgs", starts=2, width=6)
    assert cx.solve(again, "fista", tol=1e-4).objective <= search_alone.objective + 1e-3


def test_what_is_for_networks_of_two_layers_refuses_a_convolution() -> None:
    X, _ = data()
    rows, labels = X.reshape(12, 16), np.arange(12) % 2
    model: Any = cx.ConvNetwork(
        np.ones((1, 2, 2, 1)), np.ones((1, 1)), np.zeros(1), classes=np.array([0, 1])
    )
    for judge in (cx.robustness, cx.attack):
        with refused("network must be a TwoLayerNetwork, got ConvNetwork"):
            judge(model, rows, labels, radius=0.1)
    with refused("network must be a TwoLayerNetwork, got ConvNetwork"):
        cx.lipschitz(model, rows, radius=0.1)


def test_single_precision_takes_convolutions_and_torch_does_not() -> None:
    problem = declared(cx.ConvGatedReluTraining)
    solution = cx.solve(problem, "fista", dtype="float32")
    assert solution.status is cx.Status.OPTIMAL
    with pytest.raises(ValueError, match="torch' takes no convolutions"):
        cx.solve(problem, "fista", array="torch", device="cpu")


@both
def test_automatic_choice_goes_by_the_loss_and_the_weights_for_each_example(build: Any) -> None:
    X, y = data(30)
    classes = np.digitize(y, np.quantile(y, [0.3, 0.6]))
    common: dict[str, Any] = {"beta": 0.1, "filter_size": 2}
    assert automatic(build(X, y, patterns=20, **common)) == "admm"
    assert automatic(build(X, classes, loss="softmax", patterns=20, **common)) == "fista"
    assert automatic(build(X, classes, loss="softmax", patterns=5, **common)) == "admm"
    for loss in ("hinge", "logistic"):
        rest = build(X, classes, loss=loss, multiclass="one-vs-rest", patterns=20, **common)
        assert automatic(rest) == "admm"
    if build is cx.ConvReluTraining:
        few = data(3, (3, 3))
        assert automatic(build(*few, **common)) == automatic(build(X, y, **common)) == "cell-walk"


@both
def test_engines_that_read_no_pooled_form_say_so(build: Any) -> None:
    reasons = cx.backends(declared(build)).reasons
    for name in ("ipm", "cell-walk", "lbfgs", "semismooth"):
        assert "it does not take this Conv" in str(reasons[name])


@both
@pytest.mark.parametrize("backend", ["admm", "fista"])
def test_memory_is_within_a_factor_3_of_the_estimate(build: Any, backend: str) -> None:
    X, y = data(200, (12, 12))
    options: dict[str, Any] = {"max_iter": 12, "tol": 1e-12}
    cx.solve(build(X[:9], y[:9], beta=1.0, patterns=4), backend, **options)  # compiles kernels
    problem = build(X, y, beta=1.0, patterns=80)
    tracemalloc.start()
    cx.solve(problem, backend, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    size = problem.size(PooledForm)
    engine: Any = registry()[backend]
    needed = size.own + sum(engine.memory(size).values())
    assert peak / 3 < needed < 3 * peak


@both
def test_non_zeros_of_the_formula_are_as_estimated(build: Any) -> None:
    problem = declared(build, patterns=25)
    program = problem.to_cvxpy()
    A = program.problem.get_problem_data("CLARABEL")[0]["A"]
    size = problem.size(type(program))
    estimated = size.n * size.d * size.patterns * (4 if size.cones else 1)
    assert 0.4 * estimated < A.nnz < 1.3 * estimated


# Bad input


def refused(match: str) -> Any:
    return pytest.raises(cx.ProblemError, match=match)


@both
def test_images_of_several_shapes(build: Any) -> None:
    with refused("X must hold images of one shape, got several shapes"):
        build([np.ones((3, 3)), np.ones((4, 3))], [0.0, 1.0], beta=1.0)


@both
@pytest.mark.parametrize("shape", [(6,), (6, 9), (6, 3, 3, 1, 1)])
def test_images_with_other_axes(build: Any, shape: tuple[int, ...]) -> None:
    with refused(r"X must hold images, shape \(n, h, w\) or \(n, h, w, c\), got shape"):
        build(np.ones(shape), np.arange(6.0), beta=1.0)


@both
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixel_that_is_not_finite(build: Any, value: float) -> None:
    X, y = data()
    X[3, 1, 2] = value
    with refused(r"X must be finite, got (nan|inf) at index \(3, 1, 2\)"):
        build(X, y, beta=1.0)


@both
def test_filter_larger_than_the_image(build: Any) -> None:
    with refused(r"filter_size must be at most the height and width .*\(4, 4\), got 5"):
        declared(build, filter_size=5)


@both
@pytest.mark.parametrize("field", ["filter_size", "stride"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2", None])
def test_sizes_that_are_no_positive_integers(build: Any, field: str, value: Any) -> None:
    with refused(f"{field} must be an integer >= 1"):
        declared(build, **{field: value})


@both
def test_patterns_of_the_images_instead_of_the_patches(build: Any) -> None:
    with refused(r"patterns must have one row per patch \(108\), got shape \(12, 3\)"):
        declared(build, patterns=np.eye(12, 3))


@both
def test_patches_that_are_all_zero(build: Any) -> None:
    X, y = data()
    X[:, :2, :2] = 0.0
    with refused("X must have a patch that is not zero"):
        build(X, y, beta=1.0, filter_size=2, stride=3)


def test_penalty_without_cones_only() -> None:
    with refused("penalty must be one of l2, l1, got 'nuclear'"):
        declared(cx.ConvReluTraining, penalty="nuclear")


@both
def test_lengths_that_differ(build: Any) -> None:
    X, y = data()
    with refused("12"):
        build(X, y[:-1], beta=1.0)


@pytest.mark.parametrize("shape", [(2, 1, 1), (2, 4, 4, 3)])
def test_prediction_on_other_images(shape: tuple[int, ...]) -> None:
    model = cx.ConvNetwork(np.ones((1, 2, 2, 1)), np.ones((1, 1)), np.zeros(1))
    with refused("filter_size must be at most|X must have 1 channels"):
        model.predict(np.ones(shape))


def test_empty_network_predicts_zero() -> None:
    X, y = data()
    solution = cx.solve(cx.ConvReluTraining(X, y, beta=1e3, patterns=3))
    assert len(solution.model) == 0
    assert np.array_equal(solution.model.predict(X), np.zeros(12))

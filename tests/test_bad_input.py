"""Whatever is wrong is said at once, by name: the field, its value and the rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract import backend as backends
from convexnn.contract.arrays import Array
from convexnn.contract.backend import Options, Reporter
from convexnn.relu.forms import GroupForm, Neurons

BUILDERS = [cx.ReluTraining, cx.GatedReluTraining, cx.SampledReluTraining]

builder = pytest.mark.parametrize("build", BUILDERS, ids=lambda b: b.__name__)


def data() -> tuple[Array, Array]:
    X = np.random.default_rng(0).standard_normal((12, 3))
    return X, X[:, 0] - X[:, 1]


def good(**changes: Any) -> cx.ReluTraining:
    X, y = data()
    return cx.ReluTraining(X, y, **({"beta": 0.5, "patterns": 5} | changes))


def refused(match: str) -> Any:
    return pytest.raises(cx.ProblemError, match=match)


@builder
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite(build: Any, value: float) -> None:
    X, y = data()
    X[4, 1] = value
    with refused(rf"X must be finite, got {value} at index \(4, 1\)"):
        build(X, y, beta=1.0)


@builder
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_targets_that_are_not_finite(build: Any, value: float, loss: str) -> None:
    X, _ = data()
    y = np.r_[value, np.tile([1.0, -1.0], 6)[:-1]]
    finite = rf"y must be finite, got {value} at index \(0,\)"
    with refused("y has 1 missing of 12, in row 0" if np.isnan(value) else finite):
        build(X, y, beta=1.0, loss=loss)


@builder
@pytest.mark.parametrize("loss", ["squared", "hinge"])
def test_masked_targets(build: Any, loss: str) -> None:
    X, y = data()
    masked = np.ma.array(np.sign(y), mask=np.arange(12) % 6 == 0)
    with refused("y must have no masked entries, got 2"):
        build(X, masked, beta=1.0, loss=loss)


@builder
def test_complex_features(build: Any) -> None:
    X, y = data()
    with refused("X must hold real numbers, got dtype complex"):
        build(X + 1j, y, beta=1.0)


@builder
def test_complex_targets(build: Any) -> None:
    X, y = data()
    with refused("y must hold real numbers, got dtype complex"):
        build(X, y + 1j, beta=1.0)


@builder
def test_object_features(build: Any) -> None:
    X, y = data()
    objects = X.astype(object)
    assert np.array_equal(build(objects, y, beta=1.0).X, X)
    objects[4, 1] = "much"
    with refused(r"X must hold real numbers, got 'much' at index \(4, 1\): encode text"):
        build(objects, y, beta=1.0)
    objects[4, 1] = None
    with refused(r"X has 1 missing of 36, in row 4 \(the first is 0\)"):
        build(objects, y, beta=1.0)


@builder
@pytest.mark.parametrize("loss", ["squared", "hinge"])
def test_object_targets(build: Any, loss: str) -> None:
    X, y = data()
    objects = np.sign(y).astype(object)
    assert np.array_equal(build(X, objects, beta=1.0, loss=loss).y, np.sign(y))
    objects[3] = object()
    with refused("y must hold (real numbers|numbers or text, all of one kind), got "):
        build(X, objects, beta=1.0, loss=loss)


@builder
def test_text_features(build: Any) -> None:
    with refused("X must hold real numbers, got dtype <U"):
        build([["a", "b"]], [1.0], beta=1.0)


@builder
def test_ragged_features(build: Any) -> None:
    with refused("X must be a rectangular array"):
        build([[1.0, 2.0], [3.0]], [1.0, 2.0], beta=1.0)


@builder
@pytest.mark.parametrize("error", [TypeError, RuntimeError])
def test_a_tensor_that_numpy_cannot_read(build: Any, error: type[Exception]) -> None:
    class Tensor:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
            raise error("it requires grad")

    X, y = data()
    with refused("X must be a rectangular array of real numbers: it requires grad"):
        build(Tensor(), y, beta=1.0)
    with refused("y must be .*: it requires grad"):
        build(X, Tensor(), beta=1.0)


@builder
def test_ragged_targets(build: Any) -> None:
    with refused("y must"):
        build([[1.0], [2.0]], [1.0, [2.0, 3.0]], beta=1.0)


@builder
@pytest.mark.parametrize("shape", [(12,), (12, 3, 1), ()])
def test_features_with_another_number_of_axes(build: Any, shape: tuple[int, ...]) -> None:
    with refused("X must have 2 axes, got shape"):
        build(np.ones(shape), data()[1], beta=1.0)


@builder
@pytest.mark.parametrize("shape", [(0, 3), (12, 0), (0, 0)])
def test_empty_features(build: Any, shape: tuple[int, int]) -> None:
    with refused("X must not be empty, got shape"):
        build(np.ones(shape), np.ones(shape[0]), beta=1.0)


@builder
def test_lengths_that_differ(build: Any) -> None:
    X, y = data()
    with refused(r"y must have one entry per row of X \(12\), got 11"):
        build(X, y[:-1], beta=1.0)


def test_targets_with_two_axes_where_there_is_one_output() -> None:
    X, y = data()
    with refused(r"y must have 1 axis, got shape \(12, 2\)"):
        cx.SampledReluTraining(X, np.column_stack([y, y]), beta=1.0)
    assert np.array_equal(cx.SampledReluTraining(X, y[:, None], beta=1.0).y, y)
    with refused("loss must be one of squared, logistic, hinge, huber, absolute, got 'softmax'"):
        cx.SampledReluTraining(X, y > 0, beta=1.0, loss="softmax")


@builder
@pytest.mark.parametrize("loss", ["logistic", "hinge"])
def test_one_class(build: Any, loss: str) -> None:
    with refused("y must have exactly two classes .*got 1: 1"):
        build(data()[0], np.ones(12), beta=1.0, loss=loss)


@builder
@pytest.mark.parametrize("loss", ["logistic", "hinge"])
def test_three_classes(build: Any, loss: str) -> None:
    with refused("y must have exactly two classes .*got 3: a, b, c"):
        build(data()[0], ["a", "b", "c"] * 4, beta=1.0, loss=loss)


@builder
def test_features_that_are_all_zero(build: Any) -> None:
    with refused("X must have at least one non-zero entry"):
        build(np.zeros((12, 3)), data()[1], beta=1.0)


@builder
@pytest.mark.parametrize("beta", [0.0, -1.0, np.nan, np.inf, "much", None, True, [1.0, 2.0]])
def test_beta_that_is_no_positive_number(build: Any, beta: Any) -> None:
    with refused("beta must be .*> 0, got"):
        build(*data(), beta=beta)


@builder
@pytest.mark.parametrize("loss", ["quantile", "", None, 3])
def test_unknown_loss(build: Any, loss: Any) -> None:
    with refused(r"loss must be .*squared.*logistic.*hinge.*huber.*got"):
        build(*data(), beta=1.0, loss=loss)


@builder
@pytest.mark.parametrize("bias", [1, 0.0, "yes", None])
def test_bias_that_is_no_bool(build: Any, bias: Any) -> None:
    with refused("bias must be True or False, got"):
        build(*data(), beta=1.0, bias=bias)


@pytest.mark.parametrize("skip", [1, "no", None])
def test_skip_that_is_no_bool(skip: Any) -> None:
    with refused("skip must be True or False, got"):
        good(skip=skip)


@pytest.mark.parametrize("leak", [-0.1, 1.0, 2.0, np.nan, "small", None])
def test_leak_out_of_range(leak: Any) -> None:
    with refused("leak must be .*, got"):
        good(leak=leak)


@pytest.mark.parametrize("penalty", ["l3", "nuclear", None])
def test_unknown_penalty(penalty: Any) -> None:
    with refused("penalty must be one of l2, l1, got"):
        good(penalty=penalty)


def test_unknown_penalty_of_a_gated_network() -> None:
    with refused("penalty must be one of l2, l1, nuclear, got 'l0'"):
        cx.GatedReluTraining(*data(), beta=1.0, penalty="l0")


@pytest.mark.parametrize("build", BUILDERS[:2])
@pytest.mark.parametrize("rows", [11, 13])
def test_patterns_with_another_number_of_rows(build: Any, rows: int) -> None:
    with refused(rf"patterns must have one row per row of X \(12\), got shape \({rows}, 4\)"):
        build(*data(), beta=1.0, patterns=np.ones((rows, 4), dtype=bool))


@pytest.mark.parametrize("build", BUILDERS[:2])
@pytest.mark.parametrize("shape", [(12,), (12, 0), (12, 2, 1)])
def test_patterns_that_are_no_matrix(build: Any, shape: tuple[int, ...]) -> None:
    with refused(r"patterns must be a non-empty \(n, P\) matrix, got shape"):
        build(*data(), beta=1.0, patterns=np.ones(shape, dtype=bool))


@pytest.mark.parametrize("build", BUILDERS[:2])
@pytest.mark.parametrize("entry", [2.0, -1.0, 0.5, np.nan])
def test_patterns_with_other_entries(build: Any, entry: float) -> None:
    patterns = np.ones((12, 2))
    patterns[3, 1] = entry
    with refused("patterns must hold only 0 and 1"):
        build(*data(), beta=1.0, patterns=patterns)


@pytest.mark.parametrize("build", BUILDERS[:2])
@pytest.mark.parametrize("count", [0, -3])
def test_patterns_below_one(build: Any, count: int) -> None:
    with refused(f"patterns must be >= 1 .*got {count}"):
        build(*data(), beta=1.0, patterns=count)


@pytest.mark.parametrize("build", BUILDERS[:2])
@pytest.mark.parametrize("patterns", ["some", True, 2.5])
def test_patterns_of_another_kind(build: Any, patterns: Any) -> None:
    with refused("patterns must be .*got"):
        build(*data(), beta=1.0, patterns=patterns)


@pytest.mark.parametrize("neurons", [0, -1, 2.5, True, "many"])
def test_neurons_that_are_no_positive_integer(neurons: Any) -> None:
    with refused("neurons must be an integer >= 1, got"):
        cx.SampledReluTraining(*data(), beta=1.0, neurons=neurons)


@pytest.mark.parametrize("seed", [-1, 0.5, None])
def test_seed_of_a_sample(seed: Any) -> None:
    with refused("seed must be an integer >= 0, got"):
        cx.SampledReluTraining(*data(), beta=1.0, seed=seed)


def test_unknown_backend() -> None:
    with pytest.raises(cx.BackendError, match=r"backend must be .*admm.*cvxpy:clarabel.*'gurobbi'"):
        cx.solve(good(), "gurobbi")


def test_osqp_cannot_take_second_order_cones() -> None:
    with pytest.raises(cx.BackendError, match=r"'cvxpy:osqp' .*no second-order cones.* Able: admm"):
        cx.solve(good(penalty="l2"), "cvxpy:osqp")


def test_highs_cannot_take_exponential_cones() -> None:
    y = np.sign(data()[1])
    problem = cx.ReluTraining(data()[0], y, beta=1.0, loss="logistic", penalty="l1", patterns=5)
    with pytest.raises(cx.BackendError, match=r"'cvxpy:highs' .*no exponential cones"):
        cx.solve(problem, "cvxpy:highs")


def test_local_search_cannot_take_listed_patterns() -> None:
    with pytest.raises(
        cx.BackendError,
        match=r"'lbfgs' .*; it is for ReLU networks over all",
    ):
        cx.compile(good(), "lbfgs")


def test_a_thing_that_is_no_problem() -> None:
    with pytest.raises(cx.BackendError, match=r"problem must be .*got dict"):
        cx.solve({"X": 1})  # type: ignore[arg-type]  # the point of the test


class Absent:
    """A backend whose solver is not installed."""

    name = "absent"
    capabilities = cx.Capabilities(forms=(GroupForm,))

    def available(self) -> str | None:
        return "its licence has expired"

    def refuses(self, problem: cx.Problem[Any]) -> str | None:
        return None

    def prepare(self, form: Any) -> None:
        raise AssertionError("must not be reached")

    def run(self, form: Any, options: Options, reporter: Reporter, start: Any = None) -> cx.Raw:
        raise AssertionError("must not be reached")


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_registered", dict(backends._registered))
    cx.register(Absent())


@pytest.mark.usefixtures("absent")
def test_unavailable_solver_says_why() -> None:
    with pytest.raises(cx.BackendError, match=r"'absent' .*its licence has expired"):
        cx.solve(good(), "absent")
    assert "absent" not in cx.backends(good()).names
    assert "its licence has expired" in str(cx.backends())


def test_unavailable_backend_given_as_an_object() -> None:
    with pytest.raises(cx.BackendError, match=r"its licence has expired"):
        cx.solve(good(), Absent())


def test_registering_what_is_no_backend() -> None:
    with pytest.raises(cx.BackendError, match=r"a backend must implement"):
        cx.register(object())  # type: ignore[arg-type]  # the point of the test


@pytest.mark.parametrize("tol", [0.0, -1e-3, np.nan, "fine", None, True])
def test_tol_that_is_no_positive_number(tol: Any) -> None:
    with pytest.raises(ValueError, match="tol must be a number > 0, got"):
        cx.solve(good(), tol=tol)


@pytest.mark.parametrize("max_iter", [0, -5, 1.5, "ten", True])
def test_max_iter_that_is_no_positive_integer(max_iter: Any) -> None:
    with pytest.raises(ValueError, match="max_iter must be an integer >= 1, got"):
        cx.solve(good(), max_iter=max_iter)


@pytest.mark.parametrize("limit", [-1.0, 0.0, np.nan, "soon", True])
def test_time_limit_that_is_no_positive_number(limit: Any) -> None:
    with pytest.raises(ValueError, match="time_limit must be a number > 0, got"):
        cx.solve(good(), time_limit=limit)


@pytest.mark.parametrize("threads", [0, -1, 1.5])
def test_threads_that_are_no_positive_integer(threads: Any) -> None:
    with pytest.raises(ValueError, match="threads must be an integer >= 1, got"):
        cx.solve(good(), threads=threads)


@pytest.mark.parametrize("seed", [-1, 0.5, "x"])
def test_seed_of_a_solve(seed: Any) -> None:
    with pytest.raises(ValueError, match="seed must be an integer >= 0, got"):
        cx.solve(good(), seed=seed)


@pytest.mark.parametrize(
    ("backend", "known"),
    [
        ("admm", "rho, sigma, relax"),
        ("fista", "dtype, array, device"),
        ("ipm", "none"),
        ("cell-walk", "starts, width, pooled"),
        ("lbfgs", "starts, width"),
        ("convex-concave", "refreshes, patterns, steps, local, width"),
    ],
)
def test_unknown_engine_option(backend: str, known: str) -> None:
    problem = good(patterns=None)
    with pytest.raises(ValueError, match=f"{backend} has no option 'speed'; it has: {known}"):
        cx.solve(problem, backend, speed=3)


@pytest.mark.parametrize("backend", ["admm", "fista"])
def test_start_of_another_number_of_neurons(backend: str) -> None:
    start = Neurons(np.zeros((3, 2)), np.zeros((3, 2)), np.zeros(3))
    with refused("start must have 10 neurons, got 4"):
        cx.solve(good(patterns=5), backend, start=start)


@pytest.mark.parametrize("backend", ["admm", "fista", "lbfgs", "cell-walk", "convex-concave"])
def test_start_of_another_number_of_features(backend: str) -> None:
    start = Neurons(np.zeros((4, 5)), np.zeros((4, 5)), np.zeros(4))
    with refused("start must have neurons of length 3, got 4"):
        cx.solve(good(patterns=None), backend, start=start)


def test_start_of_another_kind() -> None:
    with refused("start must be a Solution or Neurons, got ndarray"):
        cx.solve(good(), start=np.zeros(3))  # type: ignore[arg-type]


def test_start_from_an_answer_to_data_of_another_width() -> None:
    X, y = data()
    other = cx.solve(cx.ReluTraining(X[:, :2], y, beta=0.5, patterns=5), tol=1e-2)
    with refused("start must have neurons of length 3, got 2"):
        cx.solve(good(), start=other)


@pytest.mark.parametrize("columns", [2, 4])
def test_prediction_with_another_number_of_columns(columns: int) -> None:
    network = cx.solve(good(), tol=1e-2).model
    with refused(rf"X must have 3 columns, got shape \(5, {columns}\)"):
        network.predict(np.ones((5, columns)))


def test_prediction_from_missing_values() -> None:
    network = cx.solve(good(), tol=1e-2).model
    with refused(r"X must be finite, got nan at index \(0, 0\)"):
        network.predict([[np.nan, 1.0, 1.0]])


def test_data_are_copied_and_locked() -> None:
    X, y = data()
    problem = cx.ReluTraining(X, y, beta=0.5, patterns=5)
    before = problem.X.copy()
    X[0, 0] = 99.0
    np.testing.assert_array_equal(problem.X, before)
    with pytest.raises(ValueError, match="read-only"):
        problem.X[0, 0] = 99.0
    with pytest.raises(AttributeError):
        problem.beta = 2.0


@pytest.mark.parametrize(
    ("backend", "patterns", "option", "value"),
    [
        ("admm", 5, "rho", -1.0),
        ("admm", 5, "sigma", 0.0),
        ("admm", 5, "relax", 2.5),
        ("lbfgs", None, "starts", 0),
        ("lbfgs", None, "width", 0),
        ("cell-walk", None, "starts", 0),
        ("cell-walk", None, "pooled", 0),
    ],
)
def test_engine_option_out_of_range(
    backend: str, patterns: int | None, option: str, value: float
) -> None:
    X = np.random.default_rng(0).standard_normal((20, 2))
    problem = cx.ReluTraining(X, X[:, 0], beta=0.1, patterns=patterns)
    chosen: dict[str, Any] = {option: value}
    with pytest.raises(ValueError, match=option):
        cx.solve(problem, backend, **chosen)


def test_targets_whose_loss_overflows_are_refused() -> None:
    with pytest.raises(cx.ProblemError, match="y must have a finite loss at the zero network"):
        cx.ReluTraining(np.array([[1.0], [2.0]]), [1e160, -1e160], beta=1.0)


def test_text_is_not_a_number() -> None:
    with pytest.raises(cx.ProblemError, match="beta must be finite and > 0, got '1'"):
        cx.ReluTraining(np.array([[1.0], [2.0]]), [1.0, 2.0], beta="1")  # type: ignore[arg-type]


# -- balls of distributions


def ball(loss: str = "logistic", **changes: Any) -> Any:
    X, y = data()
    fields: dict[str, Any] = {"X": X, "radius": 0.1, "loss": loss} | changes
    if loss in ("logistic", "hinge"):
        y = fields.pop("y", np.sign(y))
        return cx.WassersteinClassification(fields.pop("X"), y, **fields)
    return cx.WassersteinRegression(fields.pop("X"), fields.pop("y", y), **fields)


@pytest.mark.parametrize(
    ("loss", "changes", "match"),
    [
        ("logistic", {"radius": -0.5}, "radius must be finite and >= 0, got -0.5"),
        ("squared", {"radius": np.nan}, "radius must be finite and >= 0, got nan"),
        ("squared", {"radius": np.inf}, "radius must be finite and >= 0, got inf"),
        ("squared", {"radius": "0.1"}, "radius must be finite and >= 0, got '0.1'"),
        ("hinge", {"flip_cost": 0.0}, "flip_cost must be a number > 0 or inf, got 0.0"),
        ("hinge", {"flip_cost": -1.0}, "flip_cost must be a number > 0 or inf, got -1.0"),
        ("hinge", {"flip_cost": np.nan}, "flip_cost must be a number > 0 or inf, got nan"),
        ("hinge", {"flip_cost": 1.0, "order": 2}, "flip_cost must be inf for order 2, got 1.0"),
        (
            "logistic",
            {"flip_cost": 1.0, "order": np.inf},
            "flip_cost must be inf for order inf, got 1.0",
        ),
        ("absolute", {"target_cost": 0.0}, "target_cost must be a number > 0 or inf, got 0.0"),
        ("logistic", {"order": 2}, "order must be one of 1, inf for this loss, got 2"),
        ("hinge", {"order": 3}, "order must be one of 1, 2, inf for this loss, got 3"),
        ("hinge", {"order": True}, "order must be one of 1, 2, inf for this loss, got True"),
        ("squared", {"order": 1}, "order must be one of 2, inf for this loss, got 1"),
        ("huber", {"order": np.inf}, "order must be one of 1 for this loss, got inf"),
        ("quantile", {"quantile": 0.0}, r"quantile must be finite and in \(0, 1\), got 0.0"),
        ("quantile", {"quantile": 1.0}, r"quantile must be finite and in \(0, 1\), got 1.0"),
        ("huber", {"delta": 0.0}, "delta must be finite and > 0, got 0.0"),
        ("logistic", {"norm": "l3"}, "norm must be one of l2, l1, linf, got 'l3'"),
        ("logistic", {"intercept": 1}, "intercept must be True or False, got 1"),
        ("logistic", {"y": np.ones(12)}, "y must have exactly two classes .*got 1: 1.0"),
        ("logistic", {"y": np.arange(12)}, "y must have exactly two classes .*got 12: 0, 1"),
        ("hinge", {"y": [1.0, -1.0]}, r"y must have one entry per row of X \(12\), got 2"),
        ("squared", {"y": np.ones(11)}, r"y must have one entry per row of X \(12\), got 11"),
        ("squared", {"y": np.full(12, np.nan)}, "y has 12 missing of 12, in rows 0, 1"),
        ("squared", {"X": np.full((12, 1), np.nan)}, r"X must be finite, got nan at index"),
        ("squared", {"X": np.zeros((0, 2))}, "X must not be empty"),
        ("squared", {"X": np.zeros(12)}, r"X must have 2 axes, got shape \(12,\)"),
    ],
)
def test_balls_that_are_wrong(loss: str, changes: dict[str, Any], match: str) -> None:
    with refused(match):
        ball(loss, **changes)


def test_losses_of_balls_are_listed() -> None:
    X, y = data()
    with refused("loss must be one of logistic, hinge, got 'squared'"):
        cx.WassersteinClassification(X, np.sign(y), radius=0.1, loss="squared")
    with refused("loss must be one of squared, absolute, huber, quantile, got 'hinge'"):
        cx.WassersteinRegression(X, y, radius=0.1, loss="hinge")

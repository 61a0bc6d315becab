"""Products in single precision and on a device: answers to the same tolerance, graded in double."""

from __future__ import annotations

import sys
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.functions.norms import NORMS
from convexnn.relu.forms import GroupForm
from convexnn.solvers.relu import device_products as products
from convexnn.solvers.relu import fista
from convexnn.solvers.relu.block_prox import BlockProx
from convexnn.solvers.relu.device_products import Device, Host, Library, workplace

LOSSES = ("squared", "logistic", "hinge", "huber")
NUMPY = Library(lambda array: array, np.asarray)  # a device of the same arrays
SINGLE: dict[str, Any] = {"dtype": "float32"}
each_problem = pytest.mark.parametrize(
    ("loss", "penalty"), [(loss, penalty) for loss in LOSSES for penalty in ("l2", "l1")]
)


@cache
def data(loss: str, n: int = 60, d: int = 4) -> tuple[Array, Array]:
    g = np.random.default_rng(7)
    X = g.standard_normal((n, d))
    y = 2.0 * np.maximum(X[:, 0], 0.0) - np.abs(X[:, 1] - X[:, 2]) + 0.3 * g.standard_normal(n)
    return X, np.where(y > np.median(y), 1.0, -1.0) if loss in ("logistic", "hinge") else y


@cache
def gated(loss: str, penalty: str = "l2", beta: float = 0.7) -> cx.GatedReluTraining:
    return cx.GatedReluTraining(
        *data(loss), beta=beta, loss=loss, penalty=penalty, patterns=12, bias=True
    )


@cache
def reference(loss: str, penalty: str) -> cx.Solution:
    return cx.solve(gated(loss, penalty), "cvxpy:clarabel", tol=1e-8)


def by_hand(problem: cx.GatedReluTraining, solution: cx.Solution) -> float:
    """The objective of the delivered weights, recomputed from the formula in double precision."""
    X, V = problem.design.matrix, solution.primal.V
    z = (problem.matrix * (X @ V)).sum(axis=1)
    fit = problem.canonical(GroupForm).loss.value(z, problem.labels.targets).sum()
    norms = np.abs(V).sum(axis=0) if problem.penalty == "l1" else np.linalg.norm(V, axis=0)
    return float(fit + problem.beta / problem.design.scale * norms.sum())


def agrees(solution: cx.Solution, other: cx.Solution, tol: float) -> bool:
    """Whether two certified intervals meet and the objectives are as near as they promise."""
    room = tol * max(1.0, abs(other.objective))
    return (
        solution.bound <= other.objective
        and other.bound <= solution.objective
        and abs(solution.objective - other.objective) <= 2.0 * room
    )


@each_problem
def test_single_precision_reaches_the_tolerance(loss: str, penalty: str) -> None:
    tol = 1e-4 if loss == "hinge" else 1e-6
    solution = cx.solve(gated(loss, penalty), "fista", tol=tol, **SINGLE)
    assert solution.status is cx.Status.OPTIMAL
    assert agrees(solution, reference(loss, penalty), tol)
    assert solution.objective == pytest.approx(by_hand(gated(loss, penalty), solution), rel=1e-13)
    assert solution.message.startswith("Products in float32")
    assert solution.options["dtype"] == "float32"


@each_problem
def test_every_certificate_on_the_way_is_rigorous(loss: str, penalty: str) -> None:
    solution = cx.solve(gated(loss, penalty), "fista", tol=1e-12, max_iter=300, **SINGLE)
    exact = reference(loss, penalty)
    assert len(solution.history) > 20
    for step in solution.history:
        assert step.bound <= exact.objective
        assert step.objective >= exact.bound


@settings(max_examples=12)
@given(
    seed=st.integers(0, 10**6),
    loss=st.sampled_from(LOSSES),
    scale=st.sampled_from([1e-30, 1e-3, 1.0, 1e5]),
    iterations=st.integers(1, 60),
)
def test_bounds_are_below_the_optimum(seed: int, loss: str, scale: float, iterations: int) -> None:
    g = np.random.default_rng(seed)
    X = g.standard_normal((12, 3)) * scale
    y = g.standard_normal(12) if loss in ("squared", "huber") else np.resize([1.0, -1.0], 12)
    problem = cx.GatedReluTraining(X, y, beta=0.3 * scale, loss=loss, patterns=6)
    early = cx.solve(problem, "fista", tol=1e-12, max_iter=iterations, **SINGLE)
    best = cx.solve(problem, "fista", tol=1e-7, max_iter=400)
    assert early.bound <= best.objective
    assert early.objective >= best.bound
    assert early.objective == pytest.approx(by_hand(problem, early), rel=1e-12)


def test_single_precision_alone_reaches_four_digits() -> None:
    solution = cx.solve(gated("squared"), "fista", tol=1e-3, **SINGLE)
    assert solution.status is cx.Status.OPTIMAL
    assert solution.message == "Products in float32 throughout."


def test_double_precision_finishes_what_single_cannot() -> None:
    solution = cx.solve(gated("squared"), "fista", tol=1e-9, **SINGLE)
    assert solution.status is cx.Status.OPTIMAL
    words = solution.message.replace(",", " ").split()
    switched = next(int(word) for word in words if word.isdigit())
    assert solution.message == (
        f"Products in float32 up to iteration {switched}, in float64 from there."
    )
    assert 10 < switched < solution.history[-1].iteration
    gaps = [step.gap for step in solution.history if step.iteration <= switched]
    assert 1e-9 < gaps[-1] < 1e-2  # neither too late nor at once


def test_double_precision_says_nothing() -> None:
    assert cx.solve(gated("squared"), "fista", tol=1e-3).message == ""


@pytest.mark.parametrize("loss", ["squared", "hinge"])
def test_cones_and_a_linear_part_in_single_precision(loss: str) -> None:
    X, y = data(loss, 25, 3)
    problem = cx.ReluTraining(X, y, beta=0.5, loss=loss, patterns=6, skip=True)
    tol = 1e-3 if loss == "hinge" else 1e-5
    solution = cx.solve(problem, "fista", tol=tol, **SINGLE)
    assert solution.status is cx.Status.OPTIMAL
    assert agrees(solution, cx.solve(problem, "cvxpy:clarabel", tol=1e-7), tol)


def test_sampled_neurons_in_single_precision() -> None:
    problem = cx.SampledReluTraining(*data("squared"), beta=0.5, neurons=40)
    solution = cx.solve(problem, "fista", tol=1e-7, **SINGLE)
    assert solution.status is cx.Status.OPTIMAL
    assert agrees(solution, cx.solve(problem, "fista", tol=1e-8), 1e-7)


def test_a_warm_start_in_single_precision() -> None:
    near = cx.solve(gated("squared"), "fista", tol=1e-9)
    ready = cx.compile(gated("squared", beta=0.71), "fista")
    warm, cold = ready.run(start=near, **SINGLE), ready.run(**SINGLE)
    assert warm.status is cx.Status.OPTIMAL
    assert warm.history[-1].iteration < cold.history[-1].iteration
    assert agrees(warm, cold, 1e-6)


@pytest.mark.parametrize("limit", [{"max_iter": 15}, {"time_limit": 1e-9}])
def test_a_run_cut_short_is_graded(limit: dict[str, Any]) -> None:
    solution = cx.solve(gated("squared"), "fista", tol=1e-12, **limit, **SINGLE)
    assert solution.status in (cx.Status.MAX_ITER, cx.Status.TIME_LIMIT)
    assert solution.bound <= reference("squared", "l2").objective <= solution.objective + 1e-6


@pytest.fixture
def predictions(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Tell of each prediction of an engine on the host whether it was in single precision."""
    made: list[bool] = []
    predict = Host.predict

    def counted(self: Host, rows: Array) -> Array:
        made.append(self.single)
        return predict(self, rows)

    monkeypatch.setattr(Host, "predict", counted)
    return made


@pytest.mark.parametrize("size", [1e-60, 1e60])
def test_numbers_beyond_single_precision(size: float, predictions: list[bool]) -> None:
    """The targets are no float32 numbers; the products turn to double at once."""
    X, y = data("squared")
    problem = cx.GatedReluTraining(X, size * y, beta=0.7 * size, patterns=12)
    solution = cx.solve(problem, "fista", tol=1e-6, max_iter=3_000, **SINGLE)
    assert sum(predictions) < 30
    if size > 1.0:
        assert "up to iteration 1," in solution.message
    same = cx.solve(problem, "fista", tol=1e-6, max_iter=3_000)
    assert solution.status is same.status
    assert solution.objective == pytest.approx(same.objective, rel=2e-6)


def test_rounding_does_not_shorten_the_steps(
    predictions: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fista, "HIDDEN", -1.0)  # single precision to the end
    solution = cx.solve(gated("squared"), "fista", tol=1e-12, max_iter=600, **SINGLE)
    assert solution.message == "Products in float32 throughout."
    assert all(predictions)
    assert len(predictions) < 1.5 * 600
    assert solution.gap < 2e-6


def test_rounding_does_not_lengthen_the_steps_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """Far out the Huber loss is straight: its largest curvature says nothing of rounding."""
    X, y = data("huber")
    problem = cx.GatedReluTraining(X, 1e6 * y, beta=15.0, loss="huber", patterns=12)
    form = problem.canonical(GroupForm)
    shares: list[float] = []
    descend = fista._descend

    def checked(*given: Any) -> Any:
        state, found = given[2], descend(*given)
        at, (fresh, curvature, _) = state.leading, found
        z, there = form.predict(at.rows), form.predict(fresh.rows)
        rise = form.loss.value(there, form.y) - form.loss.value(z, form.y)
        excess = np.sum(rise - form.loss.gradient(z, form.y) * (there - z))
        shares.append(float(excess / (0.5 * curvature * np.sum((fresh.rows - at.rows) ** 2))))
        return found

    monkeypatch.setattr(fista, "_descend", checked)
    solution = cx.solve(problem, "fista", tol=1e-12, max_iter=300, **SINGLE)
    assert solution.message.startswith("Products in float32 throughout.")
    assert len(shares) == 300
    assert max(shares) < 1.2  # the model of the curvature holds, in double precision too


def test_only_the_products_are_rounded() -> None:
    form = gated("squared").canonical(GroupForm)
    g = np.random.default_rng(0)
    rows, r = g.standard_normal((form.blocks, form.X.shape[1])), g.standard_normal(len(form.y))
    single, double = (Host(form, BlockProx(form), flag) for flag in (True, False))
    for low, high in (
        (single.predict(rows), double.predict(rows)),
        (single.correlate(r), double.correlate(r)),
    ):
        assert low.dtype == high.dtype == np.float64
        np.testing.assert_array_equal(low, low.astype(np.float32))
        assert 0.0 < np.max(np.abs(low - high)) < 1e-4
    np.testing.assert_array_equal(single.prox(rows, 0.1), double.prox(rows, 0.1))
    np.testing.assert_array_equal(double.predict(rows), form.predict(rows))


@pytest.mark.parametrize(("d", "P"), [(3, 9), (9, 3), (1, 5), (5, 1)])
@pytest.mark.parametrize("entries", [1 << 26, 10])
@pytest.mark.parametrize("single", [False, True])
def test_a_device_does_as_the_host_does(
    d: int, P: int, entries: int, single: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "BLOCK", entries)  # 10: many parts, the last one smaller
    g = np.random.default_rng(1)
    X, y = g.standard_normal((23, d)), g.standard_normal(23)
    matrix = g.random((23, P)) < 0.5
    matrix[0] = True
    form = cx.ReluTraining(X, y, beta=0.4, patterns=matrix).canonical(GroupForm)
    form = form._replace(signs=None)
    prox = BlockProx(form)
    device, host = Device(form, prox, NUMPY, single), Host(form, prox, False)
    room = 1e-4 if single else 1e-12
    rows, r = g.standard_normal((form.blocks, X.shape[1])), g.standard_normal(23)
    rows[0] = 0.0
    sent = device.send(rows)
    assert sent.dtype == (np.float32 if single else np.float64)
    assert device.fetch(sent).dtype == device.predict(sent).dtype == np.float64
    np.testing.assert_allclose(device.predict(sent), host.predict(rows), rtol=room, atol=room)
    back = device.correlate(r)
    assert back.dtype == sent.dtype
    np.testing.assert_allclose(device.fetch(back), host.correlate(r), rtol=room, atol=room)
    there, here = device.trial(sent, back, 0.5 * back), (rows, host.correlate(r))
    np.testing.assert_allclose(there[0], host.predict(rows), rtol=room, atol=room)
    expected = host.trial(*here, 0.5 * here[1])[1:]
    assert there[1:] == pytest.approx(expected, rel=1e-4)
    shift, turn = rows - here[1], rows - 0.5 * here[1]
    assert expected == pytest.approx((np.sum(shift**2), np.sum(shift * turn)), rel=1e-12)
    for name in ("l2", "l1", "linf"):
        other = form._replace(norm=NORMS[name])
        prox = BlockProx(other)
        device, host = Device(other, prox, NUMPY, single), Host(other, prox, False)
        with np.errstate(divide="ignore"):  # as `solve` has it
            found = device.prox(sent, 2.0)
        assert found.dtype == sent.dtype
        np.testing.assert_allclose(found, host.prox(rows, 2.0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("d", "P"), [(3, 9), (9, 3)])
@pytest.mark.parametrize("entries", [1 << 26, 10])
def test_outputs_on_a_device_have_blocks_of_their_own(
    d: int, P: int, entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "BLOCK", entries)
    g = np.random.default_rng(2)
    X, slopes, r = g.standard_normal((23, d)), g.random((23, P)), g.standard_normal((23, 4))
    form = gated("squared").canonical(GroupForm)._replace(X=X, slopes=slopes, y=r)
    device = Device(form, BlockProx(form), NUMPY, False)
    rows = g.standard_normal((4, P, d))
    expected = np.einsum("ip,id,kpd->ik", slopes, X, rows)
    np.testing.assert_allclose(device.predict(rows.reshape(-1, d)), expected, rtol=1e-11)
    back = np.einsum("ip,id,ik->kpd", slopes, X, r).reshape(-1, d)
    np.testing.assert_allclose(device.correlate(r), back, rtol=1e-11)


@each_problem
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_solve_on_a_device(
    loss: str, penalty: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def library(device: Any) -> Library:
        asked.append(device)
        return NUMPY

    monkeypatch.setattr(products, "torch_library", library)
    tol = 1e-4 if loss == "hinge" else 1e-6
    solution = cx.solve(gated(loss, penalty), "fista", tol=tol, array="torch", dtype=dtype)
    assert asked == ["cuda"]
    assert solution.status is cx.Status.OPTIMAL
    assert agrees(solution, reference(loss, penalty), tol)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_torch_on_the_processor(loss: str, dtype: str) -> None:
    pytest.importorskip("torch")
    asked: dict[str, Any] = {"array": "torch", "device": "cpu", "dtype": dtype}
    for penalty in ("l2", "l1"):
        solution = cx.solve(gated(loss, penalty), "fista", tol=1e-7, **asked)
        assert solution.status is cx.Status.OPTIMAL
        assert agrees(solution, reference(loss, penalty), 1e-7)
        assert isinstance(solution.primal.V, np.ndarray)
        assert solution.primal.V.dtype == np.float64
    start = cx.solve(gated(loss), "fista", tol=1e-2)
    assert cx.solve(gated(loss), "fista", start=start, **asked).status is cx.Status.OPTIMAL


def test_a_missing_torch_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"pip install 'convexnn\[torch\]'"):
        cx.solve(gated("squared"), "fista", array="torch")


@pytest.mark.parametrize(
    ("count", "device", "found"),
    [(0, None, "no GPU"), (0, "cuda:0", "no GPU"), (1, "cuda:1", "GPU number 0")],
)
def test_a_missing_gpu_says_what_is_there(
    count: int, device: str | None, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda = SimpleNamespace(
        is_available=lambda: count > 0,
        device_count=lambda: count,
        get_device_name=lambda k: f"GPU number {k}",
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda, __version__="9.9"))
    wanted = repr(device or "cuda")
    with pytest.raises(cx.BackendError, match=f"device {wanted} is not there: .* finds {found}"):
        cx.solve(gated("squared"), "fista", array="torch", device=device)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float16"}, "dtype must be 'float64' or 'float32', got 'float16'"),
        ({"dtype": np.float32}, "dtype must be 'float64' or 'float32', got <class"),
        ({"dtype": None}, "dtype must be 'float64' or 'float32', got None"),
        ({"array": "jax"}, "array must be 'numpy' or 'torch', got 'jax'"),
        ({"device": "cuda"}, "device needs array='torch', got device='cuda'"),
        (
            {"array": "torch", "device": "gpu"},
            "device must be 'cpu', 'cuda' or 'cuda:K', got 'gpu'",
        ),
        ({"array": "torch", "device": 0}, "device must be 'cpu', 'cuda' or 'cuda:K', got 0"),
        ({"precision": 32}, "fista has no option 'precision'; it has: dtype, array, device"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cx.solve(gated("squared"), "fista", **options)


def test_a_device_takes_no_cones() -> None:
    form = cx.ReluTraining(*data("squared"), beta=1.0, patterns=4).canonical(GroupForm)
    with pytest.raises(ValueError, match="array='torch' takes programs without cones"):
        workplace(form, BlockProx(form), "float64", "torch", "cpu")

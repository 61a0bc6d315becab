"""Every problem, every backend that takes it: one table of tolerances, one set of promises."""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pytest
from clocks import ticked

import convexnn as cx
from convexnn.contract.arrays import Array

N, D, P, BETA = 20, 3, 8, 0.5
RADIUS = 0.05
LATE = 16  # looks: the last point's report, what it is graded with, and the end
REFERENCE = "cvxpy:clarabel"
LOSSES = ("squared", "logistic", "hinge", "huber")
CLASSIFICATION = ("logistic", "hinge", "softmax")


class Tolerance(NamedTuple):
    """What is asked of a backend on a loss.

    Attributes
    ----------
    tol : float
        Asked of `solve`.
    slack : float
        Relative room beyond the certified gaps when two answers are compared.
    network : float
        Relative difference allowed between the objective and its recomputation by hand.
    """

    tol: float
    slack: float
    network: float


TOLERANCES = {
    "squared": Tolerance(1e-5, 1e-5, 1e-8),
    "logistic": Tolerance(1e-5, 1e-5, 1e-8),
    "huber": Tolerance(1e-5, 1e-5, 1e-8),
    "hinge": Tolerance(1e-4, 1e-4, 1e-8),
    "softmax": Tolerance(1e-5, 1e-5, 1e-8),
}
MAX_ITER = {"admm": 50_000, "fista": 50_000, "mpi:fista": 50_000}
OPTIONS = {
    "mpi:fista": {"processes": 1, "shards": 3},  # of several, see test_mpi_training
    "sampled-newton": {"rows": 5},  # else its first sample were all examples
}
EXCUSED = {"cvxpy:scs": {cx.Status.INACCURATE}}


class Case(NamedTuple):
    """A problem by its builder and its keywords, hashable."""

    kind: str
    loss: str
    penalty: str = "l2"
    bias: bool = False
    leak: float = 0.0
    skip: bool = False
    formulation: str = "cones"
    ball: str = ""
    activation: str = "relu"
    layers: int = 2
    outputs: int = 1

    @property
    def coupled(self) -> bool:
        """Whether it is no program for each output by itself."""
        return self.loss == "softmax" or (self.penalty == "nuclear" and self.outputs > 1)

    def __str__(self) -> str:
        marks = [self.bias and "bias", self.leak and f"leak{self.leak}", self.skip and "skip"]
        marks.append(self.formulation == "majorant" and "majorant")
        marks.append(self.ball)
        marks.append(self.kind == "narrow" and f"{self.activation}{self.layers}")
        marks.append(self.outputs > 1 and f"outputs{self.outputs}")
        return "-".join([self.kind, self.loss, self.penalty, *(str(m) for m in marks if m)])


CASES = [
    *(Case("relu", loss, penalty) for loss in LOSSES for penalty in ("l2", "l1")),
    Case("relu", "squared", "l2", bias=True),
    Case("relu", "hinge", "l1", bias=True),
    Case("relu", "huber", "l2", leak=0.2),
    Case("relu", "logistic", "l1", leak=0.2),
    Case("relu", "squared", "l2", skip=True),
    Case("relu", "logistic", "l2", bias=True, leak=0.2, skip=True),
    *(
        Case("relu", loss, penalty, formulation="majorant")
        for loss in LOSSES
        for penalty in ("l2", "l1")
    ),
    Case("relu", "squared", "l2", bias=True, leak=0.2, skip=True, formulation="majorant"),
    Case("relu", "logistic", "l1", bias=True, skip=True, formulation="majorant"),
    *(Case("gated", loss, penalty) for loss in LOSSES for penalty in ("l2", "l1", "nuclear")),
    Case("gated", "squared", "l2", bias=True),
    Case("relu", "squared", outputs=3),
    Case("relu", "logistic", bias=True, outputs=3),
    Case("relu", "huber", "l1", leak=0.2, outputs=3),
    Case("relu", "softmax", outputs=3),
    Case("relu", "softmax", "l1", bias=True, leak=0.2, outputs=3),
    *(Case("gated", loss, "nuclear", outputs=3) for loss in (*LOSSES, "softmax")),
    Case("gated", "softmax", "l2", bias=True, outputs=3),
    Case("gated", "huber", "l1", outputs=3),
    *(Case("sampled", loss) for loss in LOSSES),
    Case("sampled", "squared", bias=True),
    *(Case("narrow", loss) for loss in LOSSES),
    *(
        Case("narrow", loss, activation=activation, layers=layers)
        for loss, activation, layers in (
            *(("squared", "relu", 3), ("hinge", "relu", 4), ("squared", "abs", 2)),
            *(("huber", "abs", 3), ("squared", "threshold", 2), ("logistic", "sign", 2)),
        )
    ),
    *(Case("threshold", loss) for loss in LOSSES),
    Case("threshold", "squared", bias=True),
    *(Case("conv", loss) for loss in LOSSES),
    Case("conv", "squared", "l1", bias=True),
    Case("conv", "softmax", bias=True, outputs=3),
    *(Case("conv-gated", loss) for loss in LOSSES),
    Case("conv-gated", "logistic", "l1", outputs=3),
    Case("conv-gated", "softmax", "nuclear", bias=True, outputs=3),
    *(
        Case("ball", loss, penalty, bias=loss == "huber")
        for loss, penalty in (("huber", "l1"), ("logistic", "linf"))
    ),
    *(
        Case("robust", loss, bias=ball == "l2", formulation=formulation, ball=ball)
        for loss in ("squared", "logistic", "hinge")
        for ball in ("linf", "l2", "l1")
        for formulation in ("majorant", "cones")
    ),
]


@cache
def data(loss: str, outputs: int = 1) -> tuple[Array, Array]:
    rng = np.random.default_rng(3)
    X = rng.standard_normal((N, D))
    if outputs > 1:
        Y = np.maximum(X @ rng.standard_normal((D, outputs)), 0.0) + X[:, :1] * X[:, 1:2]
        Y += 0.2 * rng.standard_normal((N, outputs))
        if loss in CLASSIFICATION:
            return X, Y.argmax(axis=1)
        Y[:3] += np.array([[9.0], [-7.0], [6.0]])
        return X, Y
    y = 2.0 * np.maximum(X[:, 0], 0.0) - 2.0 * np.maximum(X[:, 1] - X[:, 2], 0.0)
    y += 0.2 * rng.standard_normal(N)
    if loss in CLASSIFICATION:
        labels = np.where(y > 0.0, 1.0, -1.0)
        labels[::7] *= -1.0  # so that no network, nor its free linear part, separates them
        return X, labels
    y[:3] += np.array([9.0, -7.0, 6.0])  # outliers: the huber loss must leave its parabola
    return X, y


def images(X: Array) -> Array:
    """Circulants of the rows: 2 x 2 patches that repeat and span three of four dimensions."""
    return 2.0 * np.stack([np.roll(X, k, axis=1) for k in range(D)], axis=1)


@cache
def problem(case: Case) -> Any:
    X, y = data(case.loss, case.outputs)
    common: dict[str, Any] = {"beta": BETA, "loss": case.loss, "bias": case.bias}
    if case.outputs > 1 and case.loss in ("logistic", "hinge"):
        common["multiclass"] = "one-vs-rest"
    if case.kind == "sampled":
        return cx.SampledReluTraining(X, y, neurons=3 * P, **common)
    if case.kind == "narrow":
        del common["bias"]
        return cx.UnivariateReluTraining(
            X[:, 0], y, activation=case.activation, layers=case.layers, **common
        )
    if case.kind.startswith("conv"):
        build = cx.ConvReluTraining if case.kind == "conv" else cx.ConvGatedReluTraining
        common |= {"penalty": case.penalty, "filter_size": 2, "patterns": P}
        return build(images(X), y, **common)
    if case.kind == "threshold":
        return cx.ThresholdTraining(X, y, patterns=3 * P, **common)
    if case.kind == "gated":
        return cx.GatedReluTraining(X, y, patterns=P, penalty=case.penalty, **common)
    if case.kind == "robust":
        common |= {"radius": RADIUS, "norm": case.ball, "formulation": case.formulation}
        return cx.RobustReluTraining(X, y, patterns=2 * P, **common)
    if case.kind == "ball":
        dual = {"l2": "l2", "l1": "linf", "linf": "l1"}[case.penalty]
        common["radius"] = common.pop("beta") / N
        return cx.WassersteinReluTraining(X, y, patterns=P, norm=dual, **common)
    common |= {"penalty": case.penalty, "leak": case.leak, "skip": case.skip}
    return cx.ReluTraining(X, y, patterns=P, formulation=case.formulation, **common)


@cache
def answer(case: Case, backend: str) -> cx.Solution:
    tol = TOLERANCES[case.loss].tol
    options: dict[str, Any] = OPTIONS.get(backend, {})
    return cx.solve(problem(case), backend, tol=tol, max_iter=MAX_ITER.get(backend), **options)


@cache
def names(case: Case) -> tuple[str, ...]:
    return tuple(cx.backends(problem(case)).names)


def loss_by_hand(loss: str, z: Array, y: Array) -> float:
    if loss == "squared":
        return float(0.5 * np.sum((z - y) ** 2))
    if loss == "logistic":
        return float(np.sum(np.log1p(np.exp(-y * z))))
    if loss == "hinge":
        return float(np.sum(np.maximum(0.0, 1.0 - y * z)))
    if loss == "softmax":
        shown = z - np.max(z, axis=1, keepdims=True)
        return float(np.sum(np.log(np.sum(np.exp(shown), axis=1)) - np.sum(y * shown, axis=1)))
    r = np.abs(z - y)
    return float(np.sum(np.where(r <= 1.0, 0.5 * r**2, r - 0.5)))


def narrow_by_hand(case: Case, model: cx.NarrowNetwork) -> float:
    X, y = data(case.loss, case.outputs)
    act: Any = {
        "relu": lambda t: np.maximum(t, 0.0),
        "abs": np.abs,
        "threshold": lambda t: np.where(t >= 0.0, 1.0, 0.0),
        "sign": lambda t: np.where(t >= 0.0, 1.0, -1.0),
    }[case.activation]
    z = np.full(len(X), model.offset)
    for k in range(len(model)):
        h = X[:, 0]
        for w, b in zip(model.weights[:-1, k], model.biases[:, k], strict=True):
            h = act(w * h + b)
        s = 1.0 if model.amplitude is None else model.amplitude[k]
        z = z + model.weights[-1, k] * s * h
    if model.amplitude is None:
        size = float(np.sum(np.abs(model.weights) ** case.layers)) / case.layers
    else:
        size = 0.5 * float(np.sum(model.amplitude**2) + np.sum(model.weights[-1] ** 2))
    assert model.layers == case.layers
    return loss_by_hand(case.loss, z, y) + BETA * size


def convolution_by_hand(case: Case, model: cx.ConvNetwork, y: Array) -> float:
    X = images(data(case.loss, case.outputs)[0])
    pooled = np.zeros((len(X), len(model)))
    for r in range(2):
        for c in range(2):
            patch = X[:, r : r + 2, c : c + 2]
            hidden = np.einsum("irc,mrc->im", patch, model.filters[..., 0]) + model.bias
            signal = hidden
            if model.gates is not None:
                shift = 0.0 if model.gates_bias is None else model.gates_bias
                signal = np.einsum("irc,mrc->im", patch, model.gates[..., 0]) + shift
            pooled += 0.25 * np.where(signal >= 0.0, hidden, 0.0)
    z = pooled @ model.alpha[:, 0] if case.outputs == 1 else pooled @ model.alpha
    first = np.hstack([model.filters.reshape(len(model), -1), model.bias[:, None]])
    power = np.abs(first).sum(axis=1) if case.penalty == "l1" else np.linalg.norm(first, axis=1)
    size = float(np.sum(power**2) + np.sum(model.alpha**2))
    return loss_by_hand(case.loss, z, y) + 0.5 * BETA * size


def network_by_hand(case: Case, model: Any) -> float:
    if case.kind == "narrow":
        return narrow_by_hand(case, model)
    X, y = data(case.loss, case.outputs)
    if case.outputs > 1 and case.loss in CLASSIFICATION:
        y = np.where(y[:, None] == np.arange(3), 1.0, 0.0 if case.loss == "softmax" else -1.0)
    if case.kind.startswith("conv"):
        return convolution_by_hand(case, model, y)
    hidden = X @ model.U + model.bias
    if case.kind in ("gated", "threshold"):
        assert model.gates is not None
        shift = 0.0 if model.gates_bias is None else model.gates_bias
        hidden = np.where(X @ model.gates + shift >= 0.0, hidden, 0.0)
    else:
        hidden = np.where(hidden > 0.0, hidden, case.leak * hidden)
    z = hidden @ model.alpha[:, 0] if case.outputs == 1 else hidden @ model.alpha
    if case.skip:
        assert model.skip is not None
        z = z + X @ model.skip + model.skip_bias
    first = np.vstack([model.U, model.bias])
    if case.penalty == "l1":
        size = float(np.sum(np.sum(np.abs(first), axis=0) ** 2))
    elif case.penalty == "linf":
        size = float(np.sum(np.max(np.abs(first), axis=0) ** 2))
    else:
        size = float(np.sum(first**2))
    return loss_by_hand(case.loss, z, y) + 0.5 * BETA * (size + float(np.sum(model.alpha**2)))


def scale(*values: float) -> float:
    return max(1.0, *(abs(v) for v in values))


PRODUCT = [
    pytest.param(case, backend, id=f"{case}-{backend}") for case in CASES for backend in names(case)
]
EACH = [pytest.param(case, id=str(case)) for case in CASES]


@pytest.mark.parametrize(("case", "backend"), PRODUCT)
def test_backend_meets_the_tolerance(case: Case, backend: str) -> None:
    solution = answer(case, backend)
    allowed = {cx.Status.OPTIMAL} | EXCUSED.get(backend, set())
    assert solution.status in allowed, repr(solution)
    if solution.status is cx.Status.OPTIMAL:
        tol = TOLERANCES[case.loss].tol
        assert abs(solution.gap) <= tol
        assert solution.violation <= tol


@pytest.mark.parametrize(("case", "backend"), PRODUCT)
def test_objective_agrees_with_the_reference(case: Case, backend: str) -> None:
    solution, reference = answer(case, backend), answer(case, REFERENCE)
    size = scale(solution.objective, reference.objective)
    room = max(solution.gap, reference.gap, 0.0) + TOLERANCES[case.loss].slack
    assert abs(solution.objective - reference.objective) <= room * size


@pytest.mark.parametrize(("case", "backend"), PRODUCT)
def test_network_recomputed_by_hand_costs_the_objective(case: Case, backend: str) -> None:
    solution = answer(case, backend)
    by_hand = network_by_hand(case, solution.model)
    room = TOLERANCES[case.loss].network * scale(by_hand)
    assert by_hand <= solution.objective + room
    assert by_hand >= solution.objective - room or case.formulation == "majorant" or case.ball
    assert len(solution.model) > 0


def kinds() -> list[Any]:
    """Return the first case of each kind of problem and formulation, with all its backends."""
    first: dict[tuple[str, str, int], Case] = {}
    for case in CASES:
        first.setdefault((case.kind, case.formulation, case.layers), case)
    return [
        pytest.param(case, backend, marks=() if case in first.values() else pytest.mark.slow)
        for case in CASES
        for backend in names(case)
        if not backend.startswith("mpi:")  # its processes have clocks of their own
    ]


@pytest.mark.parametrize("seconds", [2, 12])
@pytest.mark.parametrize(("case", "backend"), kinds())
def test_a_run_ends_within_a_few_looks_after_its_time(
    case: Case, backend: str, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convexnn.solvers.cvxpy.GRACE", 0.0)
    solution, late = ticked(problem(case), backend, seconds)
    assert late <= LATE
    assert np.isfinite(solution.objective)
    assert np.isfinite(solution.bound)


@pytest.mark.parametrize("case", EACH)
def test_no_bound_exceeds_any_objective(case: Case) -> None:
    answers = [answer(case, backend) for backend in names(case)]
    assert len(answers) >= 3
    for a, b in combinations(answers, 2):
        slack = TOLERANCES[case.loss].slack * scale(a.objective, b.objective)
        assert a.bound <= b.objective + slack, (a, b)
        assert b.bound <= a.objective + slack, (a, b)


@pytest.mark.parametrize("case", EACH)
def test_a_problem_is_offered_to_the_solvers_of_its_cone_class(case: Case) -> None:
    offered = set(names(case))
    linear_penalty = case.kind in ("sampled", "narrow", "threshold") or case.penalty in (
        "l1",
        "linf",
    )
    quadratic = linear_penalty and case.loss not in ("logistic", "softmax")
    assert {"admm", "cvxpy:clarabel", "cvxpy:scs"} <= offered
    assert "fista" in offered or case.formulation == "majorant" or case.ball
    pooled = case.kind.startswith("conv")
    apart = "fista" in offered and not case.coupled and not pooled and case.penalty != "linf"
    assert ("ipm" in offered) == (apart or bool(case.ball))
    assert ("cvxpy:osqp" in offered) == quadratic
    assert ("cvxpy:highs" in offered) == quadratic
    assert ("cvxpy:scipy" in offered) == (linear_penalty and case.loss == "hinge")
    assert not {"lbfgs", "cell-walk", "convex-concave"} & offered


def test_outliers_make_the_huber_loss_another_problem_than_the_squared() -> None:
    squared, huber = Case("relu", "squared"), Case("relu", "huber")
    assert answer(huber, REFERENCE).objective < 0.9 * answer(squared, REFERENCE).objective

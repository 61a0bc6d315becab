"""Certificates of models that others trained."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor

import convexnn as cx


def data(n: int = 40) -> tuple[Any, Any]:
    X = np.random.default_rng(0).standard_normal((n, 2))
    return X, np.abs(X[:, 0]) - X[:, 1] + 0.5


def perceptron(kind: Any = MLPRegressor, **options: Any) -> Any:
    X, y = data()
    target = y if kind is MLPRegressor else np.array(["low", "mid", "top"])[np.digitize(y, [0, 1])]
    settings = {"max_iter": 30, "random_state": 0, "solver": "lbfgs", **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it need not converge
        return kind(hidden_layer_sizes=(6,), **settings).fit(X, target)


def test_the_objective_is_the_models_own_and_the_bound_is_below_the_best() -> None:
    X, y = data()
    network = cx.TwoLayerNetwork.from_sklearn(perceptron())
    problem = cx.ReluTraining(X, y, beta=0.1, bias=True, intercept=True)
    found = cx.certify(problem, network, time_limit=20.0, tol=0.1)
    sizes = np.linalg.norm(np.vstack([network.U, network.bias]), axis=0)
    penalty = 0.1 * float(sizes @ np.abs(network.alpha[:, 0]))
    loss = 0.5 * float(np.sum((network.predict(X) - y) ** 2))
    assert found.objective == pytest.approx(loss + penalty, rel=1e-9)
    best = cx.solve(problem, time_limit=20.0, tol=0.1)
    assert found.bound <= best.objective * (1.0 + 1e-9)
    assert found.bound > 0.0
    assert np.allclose(found.model.predict(X), network.predict(X))
    assert "The model's objective is" in found.message
    assert problem.certify(found.primal, found.dual) == found.certificate


def test_a_solution_certifies_as_it_did() -> None:
    X, y = data(15)
    for problem in (
        cx.ReluTraining(X, y, beta=0.5, skip=True, intercept=True),
        cx.ReluTraining(X, y, beta=0.5, bias=True, skip=True, leak=0.1),
        cx.ReluTraining(X, np.sign(y), beta=0.5, loss="logistic", penalty="l1"),
    ):
        best = cx.solve(problem, tol=1e-5, time_limit=20.0)
        again = cx.certify(problem, best.model, tol=1e-4, time_limit=20.0)
        assert again.objective == pytest.approx(best.objective, rel=1e-6)
        assert again.status is cx.Status.OPTIMAL


def test_several_outputs() -> None:
    X, y = data()
    labels = np.array(["low", "mid", "top"])[np.digitize(y, [0, 1])]
    mlp = perceptron(MLPClassifier)
    network = cx.TwoLayerNetwork.from_sklearn(mlp)
    assert np.array_equal(network.predict(X), mlp.predict(X))
    kinds: dict[str, Any] = {"loss": "hinge", "multiclass": "one-vs-rest"}
    problem = cx.ReluTraining(X, labels, beta=0.1, bias=True, intercept=True, **kinds)
    again = problem.build_model(problem.point_of(network))
    assert np.allclose(again.decision_function(X), network.decision_function(X))


def test_a_linear_model() -> None:
    X, y = data()
    problem = cx.WassersteinClassification(X, np.sign(y), radius=0.1)
    logistic = LogisticRegression().fit(X, np.sign(y))
    model = cx.LinearModel(logistic.coef_[0], float(logistic.intercept_[0]), [-1.0, 1.0])
    found = cx.certify(problem, model, tol=1e-6)
    best = cx.solve(problem)
    assert best.bound <= best.objective <= found.objective
    assert found.bound == pytest.approx(best.objective, rel=1e-5)
    again = cx.certify(problem, best.model)
    assert again.objective == pytest.approx(best.objective, rel=1e-9)
    assert again.status is cx.Status.OPTIMAL


def test_weights_that_the_examples_do_not_see_are_left_out_aloud() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((5, 9))
    network = cx.TwoLayerNetwork(rng.standard_normal((9, 3)), np.ones((3, 1)), np.zeros(3))
    problem = cx.ReluTraining(X, X[:, 0], beta=0.1)
    found = cx.certify(problem, network, time_limit=5.0, tol=1e-2)
    assert "directions that the examples do not span" in found.message
    assert np.allclose(found.model.predict(X), network.predict(X))
    own = 0.1 * float(np.linalg.norm(network.U, axis=0).sum())
    own += 0.5 * float(np.sum((network.predict(X) - X[:, 0]) ** 2))
    assert found.objective < own
    again = cx.certify(problem, found.model, time_limit=5.0, tol=1e-2)
    assert "do not span" not in again.message
    linear = cx.WassersteinRegression(X, X[:, 0], radius=0.1, loss="absolute")
    said = cx.certify(linear, cx.LinearModel(rng.standard_normal(9), 0.0)).message
    assert "directions that the examples do not span" in said


def test_a_network_is_a_start() -> None:
    X, y = data()
    network = cx.TwoLayerNetwork.from_sklearn(perceptron())
    problem = cx.ReluTraining(X, y, beta=0.1, bias=True, intercept=True)
    own = problem.objective(problem.point_of(network))
    found = cx.solve(problem, "lbfgs", start=network, starts=1, max_iter=50)
    assert found.objective <= own


@pytest.mark.parametrize("kind", [MLPRegressor, MLPClassifier])
def test_perceptrons_of_scikit_learn(kind: Any) -> None:
    mlp = perceptron(kind)
    X, _ = data()
    found, expected = cx.TwoLayerNetwork.from_sklearn(mlp).predict(X), mlp.predict(X)
    assert np.array_equal(found, expected) or found == pytest.approx(expected, rel=1e-12)


class Linear:
    """What PyTorch's layer of this name looks like from outside."""

    def __init__(self, weight: Any, bias: Any) -> None:
        self.weight, self.bias = Tensor(weight), None if bias is None else Tensor(bias)

    def children(self) -> list[Any]:
        return []


class Tensor:
    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values, dtype=np.float32)

    def detach(self) -> Any:
        return self

    cpu = double = detach

    def numpy(self) -> Any:
        return self.values


class ReLU:
    def children(self) -> list[Any]:
        return []


class LeakyReLU(ReLU):
    negative_slope = 0.25


class Sequential:
    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    def children(self) -> list[Any]:
        return list(self.parts)

    def modules(self) -> list[Any]:
        return [self, *self.parts]


def test_modules_of_linear_rectifier_linear() -> None:
    X = data()[0].astype(np.float32).astype(np.float64)
    rng = np.random.default_rng(1)
    W, b, A = rng.standard_normal((4, 2)), rng.standard_normal(4), rng.standard_normal((1, 4))
    W, b, A = (part.astype(np.float32).astype(np.float64) for part in (W, b, A))
    for middle, leak in ((ReLU(), 0.0), (LeakyReLU(), 0.25)):
        module: Any = Sequential(Linear(W, b), middle, Linear(A, None))
        network = cx.TwoLayerNetwork.from_torch(module)
        hidden = X @ W.T + b
        expected = np.maximum(hidden, leak * hidden) @ A[0]
        assert network.predict(X) == pytest.approx(expected, rel=1e-12)


def test_modules_of_torch_itself() -> None:
    torch = pytest.importorskip("torch")
    X = data()[0]
    module = torch.nn.Sequential(torch.nn.Linear(2, 5), torch.nn.ReLU(), torch.nn.Linear(5, 1))
    module = module.double()
    expected = module(torch.tensor(X)).detach().numpy()[:, 0]
    assert cx.TwoLayerNetwork.from_torch(module).predict(X) == pytest.approx(expected, rel=1e-12)


def test_a_module_that_does_more_than_its_parts_is_refused() -> None:
    torch = pytest.importorskip("torch")

    class Skipping(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.act = torch.nn.Linear(2, 5), torch.nn.ReLU()
            self.last = torch.nn.Linear(5, 1)

        def forward(self, x: Any) -> Any:
            return self.last(self.act(self.first(x))) + x[:, :1]

    with pytest.raises(cx.ProblemError, match="nothing beside"):
        cx.TwoLayerNetwork.from_torch(Skipping())


@pytest.mark.parametrize("leak", [0.0, 0.3])
@pytest.mark.parametrize("k", [1, 3])
def test_onnx_there_and_back(leak: float, k: int, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    rng, X = np.random.default_rng(2), data()[0]
    network = cx.TwoLayerNetwork(
        rng.standard_normal((2, 4)),
        rng.standard_normal((4, k)),
        rng.standard_normal(4),
        leak=leak,
        skip_bias=0.5,
    )
    network.to_onnx(tmp_path / "n.onnx")
    again = cx.TwoLayerNetwork.from_onnx(tmp_path / "n.onnx")
    assert np.array_equal(again.decision_function(X), network.decision_function(X))


def test_onnx_of_gemm(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    rng, X = np.random.default_rng(3), data()[0]
    parts = {
        "W": rng.standard_normal((4, 2)),
        "b": rng.standard_normal(4),
        "A": rng.standard_normal((1, 4)),
        "c": np.array([2.0]),
    }
    make = onnx.helper.make_node
    nodes = [
        make("Gemm", ["x", "W", "b"], ["h"], transB=1),
        make("Relu", ["h"], ["a"]),
        make("Gemm", ["a", "A", "c"], ["z"], transB=1),
    ]
    double, info = onnx.TensorProto.DOUBLE, onnx.helper.make_tensor_value_info
    stored = [onnx.numpy_helper.from_array(value, name) for name, value in parts.items()]
    ends = [info("x", double, ["n", 2])], [info("z", double, ["n", 1])]
    graph = onnx.helper.make_graph(nodes, "g", *ends, stored)
    onnx.save(onnx.helper.make_model(graph), tmp_path / "n.onnx")
    found = cx.TwoLayerNetwork.from_onnx(tmp_path / "n.onnx").predict(X)
    expected = np.maximum(X @ parts["W"].T + parts["b"], 0.0) @ parts["A"][0] + 2.0
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "steps",
    [
        [("Relu", "h", "a"), ("Relu", "a", "b"), ("Gemm", "b W2", "z")],
        [("Mul", "h half", "a"), ("Gemm", "a W2", "z")],  # linear: a half is no leak
        [("Relu", "h", "a"), ("Add", "a one", "b"), ("Gemm", "b W2", "z")],
        [("Relu", "h", "a"), ("Add", "a h", "b"), ("Gemm", "b W2", "z")],
        [("Relu", "h", "a"), ("Gemm", "h W2", "z")],  # past the rectifier
        [("Relu", "h", "a"), ("Gemm", "a W2", "y"), ("Relu", "y", "z")],
        [("Relu", "h", "a"), ("Gemm", "a W2", "y"), ("Add", "y x", "z")],
        [("Mul", "h half", "a"), ("Max", "a x", "b"), ("Gemm", "b W2", "z")],
        [("Gemm", "h W2", "z")],
    ],
)
def test_a_graph_that_is_no_such_network_is_refused(steps: Any, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    parts = {"W": np.eye(2), "W2": np.ones((2, 1)), "half": np.array(0.5), "one": np.array(1.0)}
    make = onnx.helper.make_node
    nodes = [make("Gemm", ["x", "W"], ["h"])]
    nodes += [make(kind, inputs.split(), [output]) for kind, inputs, output in steps]
    double, info = onnx.TensorProto.DOUBLE, onnx.helper.make_tensor_value_info
    stored = [onnx.numpy_helper.from_array(value, name) for name, value in parts.items()]
    ends = [info("x", double, ["n", 2])], [info("z", double, ["n", 1])]
    graph = onnx.helper.make_graph(nodes, "g", *ends, stored)
    onnx.save(onnx.helper.make_model(graph), tmp_path / "n.onnx")
    with pytest.raises(cx.ProblemError, match="must have one hidden layer of ReLUs"):
        cx.TwoLayerNetwork.from_onnx(tmp_path / "n.onnx")


@pytest.mark.parametrize("wrong", [None, 3, "x", object(), SimpleNamespace(), MLPRegressor, {}])
def test_what_is_no_network_is_named(wrong: Any) -> None:
    with pytest.raises(cx.ProblemError, match="MLPRegressor"):
        cx.TwoLayerNetwork.from_sklearn(wrong)
    with pytest.raises(cx.ProblemError, match="torch"):
        cx.TwoLayerNetwork.from_torch(wrong)
    with pytest.raises(cx.ProblemError, match="model must be"):
        cx.certify(cx.ReluTraining(*data(), beta=1.0), wrong)


def test_deep_or_smooth_perceptrons_are_refused() -> None:
    with pytest.raises(cx.ProblemError, match="'tanh'"):
        cx.TwoLayerNetwork.from_sklearn(perceptron(activation="tanh"))
    with pytest.raises(cx.ProblemError, match="got Linear, ReLU"):
        cx.TwoLayerNetwork.from_torch(Sequential(Linear([[1.0]], [0.0]), ReLU()))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"U": np.ones((3, 2))}, "2 inputs and 1 outputs, got 3"),
        ({"alpha": np.ones((2, 2))}, "got 2 and 2"),
        ({"leak": 0.5}, "leak"),
        ({"bias": np.ones(2)}, "bias"),
        ({"skip": np.ones(2)}, "skip"),
        ({"skip_bias": 1.0}, "constant"),
        ({"gates": np.ones((2, 2))}, "gates"),
        ({"classes": [0, 1]}, "labels"),
    ],
)
def test_a_network_that_is_none_of_the_problem_is_refused(change: Any, said: str) -> None:
    given = {"U": np.ones((2, 2)), "alpha": np.ones((2, 1)), "bias": np.zeros(2), **change}
    with pytest.raises(cx.ProblemError, match=said):
        cx.certify(cx.ReluTraining(*data(), beta=1.0), cx.TwoLayerNetwork(**given))


def test_problems_that_take_no_models_say_so() -> None:
    with pytest.raises(cx.ProblemError, match="problem must be a ReluTraining"):
        cx.certify(cx.GeometricMedian(data()[0]), np.zeros(2))

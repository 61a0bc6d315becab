from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

import convexnn as cx

X = np.random.default_rng(0).standard_normal((30, 3))
Y = np.abs(X[:, 0]) - X[:, 1]


@pytest.mark.parametrize(
    "problem",
    [
        cx.ReluTraining(X, Y, beta=0.2, patterns=15, bias=True),
        cx.ReluTraining(X, Y, beta=0.2, patterns=15, leak=0.2, skip=True, bias=True),
        cx.GatedReluTraining(X, Y, beta=0.2, patterns=15, bias=True),
    ],
    ids=["relu", "leaky-skip", "gated"],
)
def test_onnx_graph_predicts_like_the_network(problem: Any, tmp_path: Path) -> None:
    model = cx.solve(problem, tol=1e-3).model
    model.to_onnx(tmp_path / "net.onnx")
    graph = onnx.load(str(tmp_path / "net.onnx"))
    fresh = np.random.default_rng(1).standard_normal((50, 3))
    (output,) = ReferenceEvaluator(graph).run(None, {"x": fresh})
    assert len(model) > 0
    np.testing.assert_allclose(output[:, 0], model.decision_function(fresh), atol=1e-12)


def networks() -> dict[str, cx.TwoLayerNetwork]:
    rng = np.random.default_rng(2)
    U, alpha, bias = rng.standard_normal((3, 4)), rng.standard_normal((4, 1)), rng.random(4)
    return {
        "relu": cx.TwoLayerNetwork(U, alpha, bias, skip_bias=0.3),
        "leaky-skip": cx.TwoLayerNetwork(U, alpha, bias, leak=0.1, skip=np.array([1.0, 0.0, 2.0])),
        "two": cx.TwoLayerNetwork(
            U, np.hstack([alpha, -alpha]), bias, offsets=np.array([0.5, -0.5])
        ),
        "gated": cx.TwoLayerNetwork(U, alpha, bias, gates=U[::-1].copy(), gates_bias=bias),
        "gated-skip": cx.TwoLayerNetwork(U, alpha, bias, gates=-U, skip=np.ones(3)),
        "none": cx.TwoLayerNetwork(U[:, :0], alpha[:0], bias[:0], skip_bias=1.0),
    }


@pytest.mark.parametrize("name", networks())
@pytest.mark.parametrize("dtype", [None, "float32", "bfloat16"])
def test_a_module_of_named_parts_comes_back_as_it_went(name: str, dtype: str | None) -> None:
    torch = pytest.importorskip("torch")
    network = networks()[name]
    before = torch.random.get_rng_state()
    module = network.to_torch(dtype=dtype)
    assert torch.equal(torch.random.get_rng_state(), before)
    kind = getattr(torch, dtype or "float64")
    assert {p.dtype for p in module.parameters()} == {kind}
    output = module(torch.tensor(X, dtype=kind)).detach().double().numpy()
    expected = network.decision_function(X).reshape(len(X), -1)
    room = {None: 1e-12, "float32": 1e-5, "bfloat16": 0.2}[dtype]
    np.testing.assert_allclose(output, expected, atol=room)
    names = [part for part, _ in module.named_children()]
    if network.skip is not None:
        assert names == ["network", "skip"]
        names = [part for part, _ in module.network.named_children()]
    assert names == ["hidden", "gates" if "gated" in name else "activation", "output"]
    if "gated" in name:
        assert not any(p.requires_grad for n, p in module.named_parameters() if "gates" in n)
        with pytest.raises(cx.ProblemError, match="module must have one hidden layer of ReLUs"):
            cx.TwoLayerNetwork.from_torch(module)
        return
    again = cx.TwoLayerNetwork.from_torch(module)
    for field in ("U", "alpha", "bias", "skip", "offsets", "skip_bias"):
        mine, theirs = getattr(network, field), getattr(again, field)
        assert (mine is None) == (theirs is None)
        if mine is not None:
            rounded = torch.tensor(mine, dtype=torch.float64).to(kind).double().numpy()
            assert np.array_equal(rounded, theirs)
    assert again.leak == network.leak


def test_a_module_trains_on_and_is_pickled() -> None:
    torch = pytest.importorskip("torch")
    module = networks()["leaky-skip"].to_torch(dtype=torch.float32)
    adam = torch.optim.Adam(module.parameters())
    before = torch.mean(module(torch.ones(2, 3)) ** 2).item()
    for _ in range(5):
        adam.zero_grad()
        loss = torch.mean(module(torch.ones(2, 3)) ** 2)
        loss.backward()
        adam.step()
    assert loss.item() < before
    assert torch.equal(
        pickle.loads(pickle.dumps(module))(torch.ones(1, 3)), module(torch.ones(1, 3))
    )


@pytest.mark.parametrize("dtype", ["float", "int64", 32, "no_such", np.float32])
def test_a_dtype_that_is_none_is_refused(dtype: Any) -> None:
    pytest.importorskip("torch")
    if dtype == "float":  # torch.float is float32
        assert networks()["relu"].to_torch(dtype=dtype)[0].weight.dtype.itemsize == 4
        return
    with pytest.raises(cx.ProblemError, match="dtype must be one of torch's for real numbers"):
        networks()["relu"].to_torch(dtype=dtype)


def test_a_missing_package_names_its_extra() -> None:
    from convexnn.contract.system.optional import need

    with pytest.raises(ImportError, match=r"pip install 'convexnn\[torch\]'"):
        need("no_such_package_anywhere", "torch")

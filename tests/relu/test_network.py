"""The network that a user builds: every part of it counts, and shapes that do not fit are named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convexnn as cx

NET = cx.TwoLayerNetwork(
    np.array([[1.0, -1.0]]), np.array([[1.0], [1.0]]), np.zeros(2), skip_bias=-0.5, classes=[0, 1]
)


def test_the_constant_counts_without_a_linear_part(tmp_path: Path) -> None:
    X = [[1.0], [-2.0], [0.25]]
    value = np.array([0.5, 1.5, -0.25])  # |x| - 1/2
    assert np.array_equal(NET.decision_function(X), value)
    NET.save(tmp_path / "net.npz")
    assert np.array_equal(cx.TwoLayerNetwork.load(tmp_path / "net.npz").decision_function(X), value)
    two = replace(NET, alpha=np.array([[1.0, 2.0], [1.0, 2.0]]))
    assert np.array_equal(two.decision_function([[1.0]]), [[0.5, 1.5]])


def test_a_ball_is_judged_with_the_constant() -> None:
    """``|x| - 1/2`` changes sign at 1/2: 0.6 is right, and wrong 0.2 further in."""
    found = cx.robustness(NET, [[0.6], [2.0]], [1, 1], radius=0.2, norm="linf", exact=True)
    assert (found.clean, found.attacked, found.exact, found.certified) == (1.0, 0.5, 0.5, 0.5)


def test_torch_has_the_constant() -> None:
    torch = pytest.importorskip("torch")
    output = NET.to_torch()(torch.tensor([[1.0], [-2.0]], dtype=torch.float64))
    assert output.detach().numpy().tolist() == [[0.5], [1.5]]


def test_onnx_has_the_constant(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    NET.to_onnx(tmp_path / "net.onnx")
    session = runtime.InferenceSession(tmp_path / "net.onnx")
    assert session.run(None, {"x": np.array([[1.0], [-2.0]])})[0].tolist() == [[0.5], [1.5]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": np.ones((3, 1))}, r"must have U \(d, m\) and alpha \(m, k\), got \(1, 2\)"),
        ({"bias": np.ones(3)}, r"bias must have shape \(2,\), got \(3,\)"),
        ({"skip": np.ones(2)}, r"skip must have shape \(1,\), got \(2,\)"),
        ({"U": np.array([[np.inf, 0.0]])}, "U must be finite, got inf"),
        ({"skip_bias": np.nan}, "skip_bias must have finite entries"),
        ({"gates_bias": np.ones(2)}, "gates_bias goes with gates"),
        ({"gates": np.ones((1, 2)), "leak": 0.1}, "leak must be 0 with gates"),
        ({"classes": ["a", "b", "c"]}, r"classes must have shape \(2,\)"),
        ({"classes": ["a", "a"]}, "classes must differ"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(cx.ProblemError, match=message):
        replace(NET, **change)


def test_a_linear_model_is_checked() -> None:
    with pytest.raises(cx.ProblemError, match="coef must have 1 axes"):
        cx.LinearModel(np.ones((2, 2)), 0.0)
    with pytest.raises(cx.ProblemError, match="intercept must have finite entries"):
        cx.LinearModel(np.ones(2), np.inf)
    with pytest.raises(cx.ProblemError, match="classes must have shape"):
        cx.LinearModel(np.ones(2), 0.0, ["a"])

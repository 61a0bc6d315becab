from __future__ import annotations

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


def test_a_missing_package_names_its_extra() -> None:
    from convexnn.contract.optional import need

    with pytest.raises(ImportError, match=r"pip install 'convexnn\[torch\]'"):
        need("no_such_package_anywhere", "torch")

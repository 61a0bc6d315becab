"""Models in files: the one that is read equals the one that was written, to the last bit."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convexnn as cx

rng = np.random.default_rng(0)
X, LABELS = rng.standard_normal((9, 2)), np.array(["no", "yes"])
TWO: dict[str, Any] = {
    "U": rng.standard_normal((2, 4)),
    "alpha": rng.standard_normal((4, 1)),
    "bias": np.ones(4),
}
THREE = rng.standard_normal((3, 3, 3, 1))
MODELS: dict[str, tuple[Any, Any]] = {
    "relu": (
        cx.TwoLayerNetwork(
            **TWO, leak=0.1, skip=X[0], skip_bias=1 / 3, classes=LABELS, feature_names=["a", "b"]
        ),
        X,
    ),
    "threshold": (
        cx.TwoLayerNetwork(
            np.zeros((2, 4)),
            TWO["alpha"],
            np.ones(4),
            gates=TWO["U"],
            gates_bias=[0.1, 0.2, -0.3, -0.0],
            classes=[1.5, 2.5],
        ),
        X,
    ),
    "outputs": (
        cx.TwoLayerNetwork(
            TWO["U"], rng.standard_normal((4, 3)), np.ones(4), classes=["a", "b", "c"]
        ),
        X,
    ),
    "narrow": (
        cx.NarrowNetwork(
            [[1.0, 2.0], [1 / 3, -1.0]],
            [[0.1, 0.7]],
            0.1,
            "sign",
            amplitude=[0.3, 3.0],
            classes=[False, True],
            origin=1e9,
            feature_names=["a"],
        ),
        X[:, 0] + 1e9,
    ),
    "convolution": (
        cx.ConvNetwork(
            THREE, rng.standard_normal((3, 2)), np.ones(3), 2, THREE, np.ones(3), classes=LABELS
        ),
        rng.standard_normal((2, 5, 5, 1)),
    ),
    "linear": (cx.LinearModel(X[0], 1 / 3, LABELS, feature_names=["a", "b"]), X),
    "regression": (cx.LinearModel(X[0], -0.0), X),
}


@pytest.mark.parametrize("name", MODELS)
def test_what_is_read_is_what_was_written(name: str, tmp_path: Path) -> None:
    model, examples = MODELS[name]
    model.save(tmp_path / "model.npz")
    again = type(model).load(tmp_path / "model.npz")
    for f in fields(model):
        ours, theirs = getattr(model, f.name), getattr(again, f.name)
        assert type(ours) is type(theirs), f.name
        if isinstance(ours, np.ndarray):
            assert (ours.dtype, ours.tobytes()) == (theirs.dtype, theirs.tobytes()), f.name
        else:
            assert repr(ours) == repr(theirs), f.name
    output = model.decision_function(examples)
    assert output.tobytes() == again.decision_function(examples).tobytes()
    assert model.predict(examples).tolist() == again.predict(examples).tolist()


def test_models_say_what_they_are() -> None:
    said = {name: repr(model) for name, (model, _) in MODELS.items()}
    assert said["relu"] == "TwoLayerNetwork(2 inputs, 4 ReLU neurons)"
    assert said["threshold"] == "TwoLayerNetwork(2 inputs, 4 gated neurons)"
    assert said["narrow"] == "NarrowNetwork(2 layers, 2 sign chains)"
    assert said["convolution"] == "ConvNetwork(3 gated filters of 3 x 3 x 1)"
    assert said["linear"] == "LinearModel(2 inputs, classes no and yes)"
    assert said["regression"] == "LinearModel(2 inputs, regression)"


def test_a_linear_model_leaves_its_ball_to_the_solution(tmp_path: Path) -> None:
    problem = cx.WassersteinClassification(X, np.sign(X[:, 0]), radius=0.1)
    solution = cx.solve(problem, tol=1e-3)
    solution.model.save(tmp_path / "model.npz")
    model = cx.LinearModel.load(tmp_path / "model.npz")
    assert model.coef.tobytes() == solution.model.coef.tobytes()
    with pytest.raises(cx.ProblemError, match=r"was saved without it: Solution\.save keeps it"):
        _ = model.worst_case
    solution.save(tmp_path / "solution.npz")
    assert cx.load(tmp_path / "solution.npz").model.worst_case.value == solution.objective


def test_files_of_others_and_damaged_ones_are_named(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    MODELS["linear"][0].save(path)
    with pytest.raises(cx.FileError, match="holds a LinearModel, not a TwoLayerNetwork"):
        cx.TwoLayerNetwork.load(path)
    good: dict[str, Any] = {"kind": "LinearModel", "intercept": 0.0}
    for wrong, message in (
        ({"adversary": "print"}, "it has a 'adversary'"),
        ({"intercept": "much"}, "intercept must be a real number"),
        ({"feature_names": ["a"]}, "feature_names must be 2 texts"),
    ):
        np.savez(path, coef=X[0], meta=np.array(json.dumps(good | wrong)))
        with pytest.raises(cx.FileError, match=message):
            cx.LinearModel.load(path)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("convolution", {"gates": None}, "ConvNetwork.gates_bias goes with gates"),
        ("convolution", {"gates": THREE[:, :2]}, r"gates must have shape \(3, 3, 3, 1\)"),
        ("convolution", {"filters": np.ones((3, 2, 3, 1))}, "filters must have shape"),
        ("convolution", {"classes": ["a", "b", "c"]}, r"classes must have shape \(2,\)"),
        ("narrow", {"biases": np.ones((2, 2))}, r"biases must have shape \(1, 2\)"),
        ("narrow", {"amplitude": np.ones(3)}, r"amplitude must have shape \(2,\)"),
        ("narrow", {"offset": np.nan}, "offset must have finite entries"),
        ("narrow", {"origin": np.inf}, "origin must have finite entries"),
        ("narrow", {"classes": [1, 1]}, "classes must differ"),
        ("narrow", {"feature_names": ["a", "b"]}, "feature_names must be 1 text"),
    ],
)
def test_what_does_not_fit_is_named(name: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(cx.ProblemError, match=message):
        replace(MODELS[name][0], **change)


@pytest.mark.parametrize("name", MODELS)
def test_every_argument_counts(name: str) -> None:
    """Another value of any field that is a number is another output."""
    model, examples = MODELS[name]
    before = model.decision_function(examples).tobytes()
    for f in fields(model):
        value = getattr(model, f.name)
        if value is None or f.name in ("activation", "classes", "feature_names"):
            continue
        if f.name == "leak" and model.gates is not None:
            continue  # refused: see `TwoLayerNetwork`
        other = value + 1 if isinstance(value, int) else 1 / 3 - 1.5 * np.asarray(value)
        changed = replace(model, **{f.name: other})
        assert changed.decision_function(examples).tobytes() != before, f.name

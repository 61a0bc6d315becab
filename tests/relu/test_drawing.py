"""Figures of networks: what is drawn is what the network says."""

from __future__ import annotations

import re
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

import convexnn as cx

plt.switch_backend("Agg")
RNG = np.random.default_rng(0)
PLANE = RNG.uniform(-1.0, 1.0, (40, 2))
U = np.array([[1.0, -1.0, 0.0], [0.5, 2.0, 0.0]])


@pytest.fixture(autouse=True)
def _closed() -> Any:
    yield
    plt.close("all")


def curve(ax: Any, k: int = 0) -> tuple[Any, Any]:
    return np.asarray(ax.lines[k].get_xdata()), np.asarray(ax.lines[k].get_ydata())


def test_one_input_is_the_output_with_its_knots() -> None:
    network = cx.TwoLayerNetwork(
        [[1.0, 2.0, 3.0, 0.0]], [[1.0], [-1.0], [0.0], [1.0]], [0.0, -1.0, 1.0, 1.0]
    )
    ax = network.plot()
    at, height = curve(ax)
    np.testing.assert_array_equal(height, network.predict(at[:, None]))
    np.testing.assert_allclose(curve(ax, 1), [[0.0, 0.5], [1.0, 1.5]])  # the third weighs nothing
    assert at.min() < 0.0
    assert at.max() > 0.5


def test_a_gate_is_a_jump_and_both_its_ends_are_drawn() -> None:
    network = cx.TwoLayerNetwork(
        [[1.0]], [[1.0]], [2.0], gates=[[1.0]], gates_bias=[-0.5], feature_names=["age"]
    )
    ax = network.plot(X=[[0.0], [1.0]], y=[0.0, 3.0])
    at, height = curve(ax)
    near = np.abs(at - 0.5) < 1e-6
    assert height[near].min() == 0.0
    assert height[near].max() > 2.4
    assert ax.get_xlabel() == "age"


def test_several_outputs_are_a_line_each_and_knots_beyond_the_data_are_left_out() -> None:
    network = cx.TwoLayerNetwork([[1.0, 1.0]], np.eye(2), [0.0, -9.0])
    ax = network.plot(X=[[-1.0], [1.0]], y=np.zeros((2, 2)))
    assert [line.get_label() for line in ax.lines if str(line.get_label())[0] != "_"] == [
        "output 0",
        "output 1",
        "1 knots",
    ]


def test_labels_over_one_input_stand_at_the_foot_by_class() -> None:
    narrow = cx.NarrowNetwork(
        np.ones((2, 1)), np.zeros((1, 1)), -0.5, "threshold", classes=["no", "yes"]
    )
    ax = narrow.plot([-1.0, 0.4, 1.0], ["no", "yes", "yes"])
    held = {line.get_label(): len(line.get_xdata()) for line in ax.lines}  # type: ignore[arg-type]
    assert (held["class no"], held["class yes"]) == (1, 2)


@pytest.mark.parametrize("classes", [["b", "a"], ["c", "a", "b"]])
def test_regions_are_those_of_the_predicted_classes(classes: list[str]) -> None:
    outputs = 1 if len(classes) == 2 else 3
    alpha = RNG.standard_normal((3, outputs))
    network = cx.TwoLayerNetwork(U, alpha, [0.3, -0.2, 5.0], classes=classes)
    ax = network.plot(PLANE, network.predict(PLANE))
    regions: Any = ax.collections[0]
    corners = regions.get_coordinates()
    middles = 0.5 * (corners[:-1, :-1] + corners[1:, 1:]).reshape(-1, 2)
    codes = np.asarray(regions.get_array()).astype(int).ravel()
    assert (np.array(classes)[codes] == network.predict(middles)).mean() > 0.999
    for label in classes:
        dots = next(c for c in ax.collections if c.get_label() == f"class {label}")
        held = PLANE[network.predict(PLANE) == label]
        np.testing.assert_array_equal(np.asarray(dots.get_offsets()), held)


def test_lines_are_where_neurons_switch_and_as_wide_as_they_weigh() -> None:
    network = cx.TwoLayerNetwork(U, [[1.0], [-3.0], [1.0]], [0.3, -0.2, 5.0])
    ax = network.plot(PLANE, PLANE[:, 0])
    assert len(ax.lines) == 2  # the third is a constant
    for k, line in enumerate(ax.lines):
        points = np.asarray(line.get_xydata())
        np.testing.assert_allclose(points @ U[:, k] + network.bias[k], 0.0, atol=1e-9)
        assert np.ptp(points, axis=0).max() > 2.0
    assert ax.lines[1].get_linewidth() > ax.lines[0].get_linewidth()
    gated = cx.TwoLayerNetwork(U, np.ones((3, 1)), np.zeros(3), gates=U[:, ::-1])
    assert len(gated.plot().lines) == 1  # of two with gates one has no weights


def test_a_constant_network_is_drawn() -> None:
    for d in (1, 2):
        cx.TwoLayerNetwork(np.zeros((d, 1)), np.zeros((1, 1)), [0.0], skip_bias=2.0).plot()


def test_what_cannot_be_drawn_is_said() -> None:
    wide = cx.TwoLayerNetwork(np.eye(3), np.ones((3, 1)), np.zeros(3))
    with pytest.raises(cx.ProblemError, match="one or two inputs, this one has 3"):
        wide.plot()
    two = cx.TwoLayerNetwork(U, np.ones((3, 2)), np.zeros(3))
    said = "draws one output over two inputs, this network has 2"
    with pytest.raises(cx.ProblemError, match=re.escape(said)):
        two.plot()
    with pytest.raises(cx.ProblemError, match="y goes with X, which is None"):
        two.plot(y=[1.0])
    one = cx.TwoLayerNetwork(U, np.ones((3, 1)), np.zeros(3))
    with pytest.raises(cx.ProblemError, match="y must have 1 columns, one an output, got 2"):
        one.plot(PLANE, PLANE)


def test_axes_may_be_given() -> None:
    ax = plt.figure().add_subplot()
    assert cx.TwoLayerNetwork(U, np.ones((3, 1)), np.zeros(3)).plot(ax=ax) is ax

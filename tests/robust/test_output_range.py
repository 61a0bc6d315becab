"""Bounds of outputs over a box: sound, near what is attained, and what is refused."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import convexnn as cx

RNG = np.random.default_rng(0)
LOW, HIGH = np.array([-1.0, 0.5, -2.0]), np.array([2.0, 0.5, 1e3])


def network(**kind: Any) -> cx.TwoLayerNetwork:
    rng = np.random.default_rng(1)
    U, alpha = rng.standard_normal((3, 5)), rng.standard_normal((5, 2))
    return cx.TwoLayerNetwork(U, alpha, rng.standard_normal(5), **kind)


@pytest.mark.parametrize("leak", [0.0, 0.2])
@pytest.mark.parametrize("skip", [None, [0.3, -1.0, 0.01]])
def test_no_point_of_the_box_is_outside_and_some_are_near_the_ends(
    leak: float, skip: list[float] | None
) -> None:
    net = network(leak=leak, skip=skip, skip_bias=0.7)
    found = cx.output_range(net, LOW, HIGH)
    corners = np.array(list(product(*zip(LOW, HIGH, strict=True))))
    inside = LOW + (HIGH - LOW) * RNG.random((4_000, 3)) ** RNG.integers(1, 9, (4_000, 3))
    values = net.decision_function(np.vstack([corners, inside]))
    assert (found.lower <= values.min(axis=0)).all()
    assert (found.upper >= values.max(axis=0)).all()
    spread = np.ptp(values, axis=0)
    assert (values.min(axis=0) - found.lower <= 0.02 * spread + 1.0).all()
    assert (found.upper - values.max(axis=0) <= 0.02 * spread + 1.0).all()


def test_of_a_monotone_network_the_ends_are_at_corners() -> None:
    net = cx.TwoLayerNetwork([[1.0, -2.0], [3.0, -0.5]], [[1.0], [-1.0]], [0.2, 1.0])
    assert net.monotone([1, 1])
    found = cx.output_range(net, [-1.0, -1.0], [1.0, 2.0])
    ends = net.decision_function([[-1.0, -1.0], [1.0, 2.0]])
    np.testing.assert_allclose([found.lower[0], found.upper[0]], ends, atol=1e-3)
    point = cx.output_range(net, [0.3, 0.4], [0.3, 0.4])
    value = net.decision_function([[0.3, 0.4]])[0]
    assert point.lower[0] <= value <= point.upper[0]
    assert point.upper[0] - point.lower[0] < 1e-11


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        ([0.0, 0.0], HIGH, "low must have 3 entries"),
        (HIGH, LOW, "low must be <= high"),
        (LOW, [np.inf, 1.0, 1.0], "high"),
    ],
)
def test_a_box_that_is_none_is_refused(low: Any, high: Any, said: str) -> None:
    with pytest.raises(cx.ProblemError, match=said):
        cx.output_range(network(), low, high)


def test_gates_are_refused() -> None:
    gated = network(gates=np.ones((3, 5)))
    with pytest.raises(cx.ProblemError, match="gates"):
        cx.output_range(gated, LOW, HIGH)

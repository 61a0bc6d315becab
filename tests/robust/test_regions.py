"""Robustness in clipped balls, in some columns, and of several classes: in order, and in truth."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.functions.norms import NORMS

BOX = (-0.8, np.array([0.9, 1.0, np.inf]))
CLASSES = np.array(["a", "b", "c", "d"])


def network(seed: int, outputs: int = 1, m: int = 5, d: int = 3) -> cx.TwoLayerNetwork:
    g = np.random.default_rng(seed)
    return cx.TwoLayerNetwork(
        U=g.standard_normal((d, m)),
        alpha=g.standard_normal((m, outputs)),
        bias=0.3 * g.standard_normal(m),
        leak=[0.0, 0.2, -0.3][seed % 3],
        skip=g.standard_normal(d) if seed % 2 else None,
        offsets=0.2 * g.standard_normal(outputs),
        classes=CLASSES[: max(outputs, 2)],
    )


def examples(net: cx.TwoLayerNetwork, n: int = 16) -> tuple[Array, Any]:
    g = np.random.default_rng(1)
    X = np.clip(g.standard_normal((n, len(net.U))), -0.8, 0.9)
    y = net.predict(X)
    y[:2] = net.predict(X[2:4])
    return X, y


def right(net: cx.TwoLayerNetwork, points: Array, label: Any) -> Any:
    return net.predict(points) == label


def lead(net: cx.TwoLayerNetwork, points: Array, label: Any) -> Array:
    """Return by how much a label leads at points."""
    assert net.classes is not None
    found, code = net.decision_function(points), int(np.argmax(net.classes == label))
    if found.ndim == 1:
        return found if code else -found
    led: Array = found[:, code] - np.delete(found, code, axis=1).max(axis=1)
    return led


def grid(x: Array, radius: float, norm: str, moved: Array, low: Any, high: Any) -> Array:
    """Return points of the region around an example, its corners among them."""
    steps = np.array(list(product(np.linspace(-1.0, 1.0, 9), repeat=len(x))))
    steps = steps / np.maximum(NORMS[norm].value(steps), 1.0)[:, None] * (1.0 - 1e-12)
    return np.clip(x + radius * moved * steps, np.minimum(low, x), np.maximum(high, x))


def ordered(net: cx.TwoLayerNetwork, X: Array, y: Any, **asked: Any) -> cx.Robustness:
    """Measure, and check the order and every example against points of its region."""
    found = cx.robustness(net, X, y, exact=True, **asked)
    assert found.verdict is not None
    assert found.undecided == 0
    kept = found.verdict == 1
    assert np.all(found.holds["certified"] <= kept)
    assert np.all(kept <= found.holds["attacked"])
    assert np.all(found.holds["attacked"] <= found.holds["clean"])
    moved = np.ones(X.shape[1])
    if "perturbed" in asked:
        moved = np.isin(np.arange(X.shape[1]), asked["perturbed"]).astype(float)
    low, high = asked.get("box", (-np.inf, np.inf))
    near = 0
    for i, label in enumerate(y):
        norm = asked.get("norm", "linf")
        points = grid(X[i], asked["radius"], norm, moved, low, high)
        assert right(net, points, label).all() or not kept[i]
        worst = lead(net, points, label).min()
        assert max(found.margins[name][i] for name in ("interval", "linear")) <= worst
        near += not kept[i] or found.margins["pgd"][i] <= worst + 0.05
    assert near >= 0.8 * len(y)
    return found


@pytest.mark.parametrize("outputs", [1, 2, 4])
@pytest.mark.parametrize(
    "asked",
    [
        {"box": BOX},
        {"box": BOX, "perturbed": [0, 2]},
        {"perturbed": [1]},
        {"perturbed": [0, 2], "norm": "l2"},
        {"perturbed": [0, 2], "norm": "l1"},
        {"norm": "l2"},
    ],
    ids=str,
)
def test_order_holds_and_bounds_are_below_every_point(outputs: int, asked: dict[str, Any]) -> None:
    settled = 0
    for seed in range(4):
        net = network(seed, outputs)
        X, y = examples(net)
        found = ordered(net, X, y, radius=0.3, **asked)
        settled += int((found.holds["clean"] & ~found.holds["attacked"]).sum())
        settled += int(found.holds["certified"].sum())
    assert settled > 20


@pytest.mark.parametrize("outputs", [1, 3])
def test_exact_in_a_box_equals_linear_programs_in_every_cell(outputs: int) -> None:
    lost = 0
    for seed in range(3):
        net = replace(network(seed, outputs, m=4), leak=0.0)
        assert net.offsets is not None
        X, y = examples(net, 10)
        asked: dict[str, Any] = {"box": (-0.8, 0.9), "perturbed": [0, 1]}
        found = cx.robustness(net, X, y, radius=0.4, steps=1, restarts=1, exact=True, **asked)
        for i in range(len(X)):
            code = int(np.argmax(y[i] == CLASSES))
            worst = np.inf
            bounds = [(max(-0.8, v - 0.4), min(0.9, v + 0.4)) for v in X[i, :2]]
            bounds.append((X[i, 2], X[i, 2]))
            for on in product((0.0, 1.0), repeat=4):
                turn = np.where(np.array(on) > 0.0, -1.0, 1.0)
                for other in range(outputs):
                    if outputs > 1 and other == code:
                        continue
                    weights, c = net.alpha[:, other] * on, float(net.offsets[other])
                    s = 0.0 if net.skip is None else net.skip
                    if outputs > 1:
                        weights, s = net.alpha[:, code] * on - weights, 0.0
                        c = float(net.offsets[code]) - c
                    side = 1.0 if outputs > 1 or code == 1 else -1.0
                    q, c = side * (net.U @ weights + s), side * (c + float(net.bias @ weights))
                    one = linprog(q, turn[:, None] * net.U.T, -turn * net.bias, bounds=bounds)
                    if one.status == 0:
                        worst = min(worst, float(one.fun or 0.0) + c)
            assert found.verdict is not None
            if abs(worst) > 1e-7:
                assert found.verdict[i] == (worst > 0.0)
            lost += worst < 0.0
            assert found.margins["linear"][i] <= worst + 1e-9
    assert 3 < lost < 27


def test_points_stay_in_the_ball_the_box_and_the_columns_in_exact_arithmetic() -> None:
    net = network(1)
    X, y = examples(net)
    for method in ("fgsm", "pgd"):
        asked: dict[str, Any] = {"box": BOX, "perturbed": [0, 1], "method": method}
        for radius in (1e-7, 0.1, 0.7):
            found = cx.attack(net, X, y, radius=radius, restarts=2, **asked)
            assert np.all((found.points >= -0.8) & (found.points <= BOX[1]))
            assert np.array_equal(found.points[:, 2], X[:, 2])
            for a, b in zip(found.points.ravel().tolist(), X.ravel().tolist(), strict=True):
                assert abs(Fraction(a) - Fraction(b)) <= Fraction(radius)
            assert np.array_equal(found.success, net.predict(found.points) != y)


def test_a_wide_box_changes_nothing_and_a_narrow_one_keeps_labels() -> None:
    net = network(0, m=8)
    X, y = examples(net, 30)
    free = cx.robustness(net, X, y, radius=0.4, exact=True)
    wide = cx.robustness(net, X, y, radius=0.4, exact=True, box=(-9.0, 9.0))
    narrow = cx.robustness(net, X, y, radius=0.4, exact=True, box=(-0.8, 0.9))
    assert np.array_equal(free.verdict, wide.verdict)  # type: ignore[arg-type]  # both are there
    assert wide.margins["linear"] == pytest.approx(free.margins["linear"], abs=1e-9)
    assert free.certified < narrow.certified
    still = cx.robustness(net, X, y, radius=0.4, exact=True, perturbed=np.zeros(3, bool))
    assert still.exact == still.clean


def test_two_outputs_are_their_difference() -> None:
    two = replace(network(0, 2, m=8), classes=np.array(["a", "b"]))
    assert two.offsets is not None
    one = replace(
        two,
        alpha=two.alpha[:, 1:] - two.alpha[:, :1],
        offsets=two.offsets[1:] - two.offsets[:1],
    )
    X, y = examples(two, 30)
    ways: list[dict[str, Any]] = [{"norm": "l2"}, {"box": BOX}]
    for asked in ways:
        first = cx.robustness(one, X, y, radius=0.3, exact=True, **asked)
        second = cx.robustness(two, X, y, radius=0.3, exact=True, **asked)
        assert np.array_equal(first.verdict, second.verdict)  # type: ignore[arg-type]
        for name, margin in first.margins.items():
            assert second.margins[name] == pytest.approx(margin, abs=1e-9), name


def test_columns_by_name_and_curves_in_a_box() -> None:
    net = replace(network(0), feature_names=("age", "size", "kind"))
    X, y = examples(net)
    frame = pd.DataFrame(X, columns=["age", "size", "kind"])
    named = cx.robustness(net, frame, y, radius=0.3, perturbed=["age", "kind"])
    mask = cx.robustness(net, X, y, radius=0.3, perturbed=[True, False, True])
    assert np.array_equal(named.margins["linear"], mask.margins["linear"])
    asked: dict[str, Any] = {"box": (-1.0, 1.0), "perturbed": ["age"]}
    curve = cx.robustness_curve(net, frame, y, [0.1, 0.4], **asked)
    for floor, radius in zip(curve.floors, (0.1, 0.4), strict=True):
        assert floor.errors == cx.robust_floor(frame, y, radius=radius, perturbed=["age"]).errors


def test_training_takes_columns_by_name_and_index() -> None:
    X, y = examples(network(0))
    frame = pd.DataFrame(X, columns=["age", "size", "kind"])
    common: dict[str, Any] = {"beta": 1.0, "radius": 0.1, "patterns": 3}
    named = cx.RobustReluTraining(frame, y, perturbed=["age", "kind"], **common)
    for problem in (named, cx.RobustReluTraining(X, y, perturbed=[0, 2], **common)):
        assert problem.perturbed.tolist() == [True, False, True]
    with pytest.raises(cx.ProblemError, match="'weight' is unknown"):
        cx.RobustReluTraining(frame, y, perturbed=["weight"], **common)

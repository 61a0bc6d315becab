"""What a command saves predicts from data as its user has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from shell import convexnn

import convexnn as cx
from convexnn.commands.report import scorer
from convexnn.commands.source import Source
from convexnn.commands.wasserstein import declare
from convexnn.contract.preparation import Preparation
from convexnn.datasets import Reading, Split, load_table, split_at_random
from convexnn.datasets.split import Scaling


def csv(path: Path, *, labels: bool = False) -> pd.DataFrame:
    """Write columns of very different size, one of them text."""
    rng = np.random.default_rng(0)
    far, near = 1000.0 + 50.0 * rng.standard_normal(60), 0.01 * rng.standard_normal(60)
    sex = rng.choice(["f", "m"], 60)
    y = 300.0 + 2.0 * np.maximum(far - 1000.0, 0.0) + 900.0 * near + 40.0 * (sex == "m")
    target: Any = np.where(y > np.median(y), "yes", "no") if labels else y
    frame = pd.DataFrame({"far": far, "near": near, "sex": sex, "price": target})
    frame.to_csv(path, index=False)
    return frame


def split_of(path: Path) -> Split:
    return split_at_random(load_table(str(path), Reading(encode=True)), seed=0)


@pytest.mark.parametrize("family", ["relu", "wasserstein"])
def test_a_saved_model_takes_raw_columns(family: str, tmp_path: Path) -> None:
    data, saved = tmp_path / "d.csv", tmp_path / "s.npz"
    frame = csv(data)
    words = ("solve", family, "--data", data, "--encode", "--save", saved, "--tol", 1e-3)
    done = convexnn(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "takes raw columns" in done.stdout
    solution, split = cx.load(saved), split_of(data)
    plain = solution.problem.build_model(solution.primal)
    assert split.target_scaling is not None
    expected = Scaling(0.0, 1.0 / split.target_scaling.spread)(plain.predict(split.X_test))
    expected = expected + split.target_scaling.mean
    order = np.random.default_rng(0).permutation(60)[45:]
    raw = np.column_stack([frame["far"], frame["near"], frame["sex"] == "m"])[order]
    assert solution.model.predict(raw) == pytest.approx(expected, rel=1e-9)
    error = solution.model.predict(raw) - frame["price"].to_numpy()[order]
    truth = frame["price"].to_numpy()[order]
    r2 = 1.0 - np.sum(error**2) / np.sum((truth - truth.mean()) ** 2)
    assert r2 == pytest.approx(scorer(split)(plain), abs=1e-9)
    assert r2 > 0.5
    assert solution.preparation is not None
    assert solution.preparation.features == ("far", "near", "sex=m")
    assert solution.preparation.values == {"sex": ["f", "m"]}
    solution.save(tmp_path / "again.npz")
    again = cx.load(tmp_path / "again.npz")
    assert np.array_equal(again.model.predict(raw), solution.model.predict(raw))


def test_a_raw_model_keeps_its_worst_case_where_its_ball_is(tmp_path: Path) -> None:
    data = tmp_path / "d.csv"
    csv(data, labels=True)
    split, problem = declare(Source(str(data), Reading(encode=True)), 0)
    solution = cx.solve(problem)
    raw = solution.for_raw_data(split.preparation)
    assert raw.model.worst_case.value == solution.model.worst_case.value
    assert raw.certificate == solution.certificate
    assert split.table is not None
    assert split.scaling is not None
    scaled = solution.model.predict(split.scaling(split.table.X))
    assert np.array_equal(raw.model.predict(split.table.X), scaled)


def test_every_layer_takes_raw_data() -> None:
    rng = np.random.default_rng(1)
    X, (mean, spread) = rng.standard_normal((50, 3)), np.array([[5.0, -1.0, 0.1], [2.0, 0.5, 9.0]])
    net = cx.TwoLayerNetwork(
        rng.standard_normal((3, 4)),
        rng.standard_normal((4, 2)),
        rng.standard_normal(4),
        skip=rng.standard_normal(3),
        skip_bias=0.7,
        gates=rng.standard_normal((3, 4)),
        gates_bias=rng.standard_normal(4),
    )
    bent = cx.TwoLayerNetwork(net.U, net.alpha, net.bias, leak=0.2, skip_bias=-0.3)
    done = Preparation(mean, spread, 10.0, 4.0, (), {}, (), None)
    for model in (net, bent):
        raw = model.unscaled(done).decision_function(mean + spread * X)
        assert raw == pytest.approx(10.0 + 4.0 * model.decision_function(X), rel=1e-9)

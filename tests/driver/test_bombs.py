"""A small file that asks for much is refused by name, before its forms are made."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.reading import PARTS, borne_out, read_for
from convexnn.functions.curves import PiecewiseLinear

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 10))
Y = np.sign(X[:, 0] + 0.3)
IMAGES = RNG.standard_normal((6, 5, 5))
FEW: dict[str, Any] = {"beta": 1.0, "patterns": 8}
FILTERS: dict[str, Any] = {**FEW, "filter_size": 3}
DRAWN: dict[str, Callable[[], Any]] = {
    "relu": lambda: cx.ReluTraining(X, Y, **FEW),
    "majorant": lambda: cx.ReluTraining(X, Y, **FEW, formulation="majorant"),
    "gated": lambda: cx.GatedReluTraining(X, Y, **FEW),
    "threshold": lambda: cx.ThresholdTraining(X, Y, **FEW),
    "robust": lambda: cx.RobustReluTraining(X, Y, **FEW, radius=0.1),
    "conv": lambda: cx.ConvReluTraining(IMAGES, Y[:6], **FILTERS),
    "conv-gated": lambda: cx.ConvGatedReluTraining(IMAGES, Y[:6], **FILTERS),
}


def changed(path: Path, **fields: Any) -> Path:
    """Write other plain fields of its problem into a saved solution."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    meta = json.loads(str(arrays["meta"]))
    meta["problem"]["fields"] |= fields
    arrays["meta"] = np.array(json.dumps(meta))
    np.savez(path, **arrays)
    return path


def kept(problem: Any, path: Path) -> Path:
    """Save the trivial point of a problem, which has the shapes of an answer."""
    solution = cx.solve(problem, time_limit=1e-9)
    primal, dual = problem.initial()
    found = problem.certify(primal, dual)
    status = cx.Status.OPTIMAL if found.passes(1e-6) else cx.Status.TIME_LIMIT
    replace(solution, status=status, primal=primal, dual=dual, certificate=found).save(path)
    return path


@pytest.mark.parametrize("name", DRAWN)
def test_patterns_are_drawn_no_more_than_the_point_bears_out(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convexnn.contract.reading.PARTS", 1_000)
    path = kept(DRAWN[name](), tmp_path / "s.npz")
    cx.load(path)
    with pytest.raises(cx.FileError, match="patterns must be at most 1,000 beside a point of"):
        cx.load(changed(path, patterns=10**7))


def test_neurons_are_drawn_no_more_than_the_point_bears_out(tmp_path: Path) -> None:
    path = kept(cx.SampledReluTraining(X, Y, beta=0.1, neurons=10), tmp_path / "s.npz")
    with pytest.raises(cx.FileError, match="neurons must be at most 100,000 beside a point of 10 "):
        cx.load(changed(path, neurons=10**8))


@pytest.mark.parametrize("window", [None, (-9.0, 9.0)])
def test_a_billion_pieces_are_refused(window: Any, tmp_path: Path) -> None:
    problem = cx.WorstCaseMargins(Y, radius=0.1, window=window, pieces=5)
    path = kept(problem, tmp_path / "s.npz")
    with pytest.raises(cx.FileError, match="pieces must be <= 1,000,000, got 1,000,000,000"):
        cx.load(changed(path, pieces=10**9))
    with pytest.raises(cx.ProblemError, match="pieces must be <= 1,000,000"):
        PiecewiseLinear.tangents("hinge", 10**7, (0.0, 1.0))


def test_a_point_bears_out_as_many_parts_as_it_has_numbers() -> None:
    borne_out("patterns", 10**9)
    with read_for((np.zeros((2, PARTS)), 3)):
        borne_out("patterns", 2 * PARTS)
        with pytest.raises(cx.ProblemError, match=f"patterns must be at most {2 * PARTS:,} beside"):
            borne_out("patterns", 2 * PARTS + 1)
    borne_out("patterns", 10**9)


def test_a_file_of_few_patterns_of_many_that_were_asked_for_is_read(tmp_path: Path) -> None:
    """Of 21 examples on a line there are two that are active."""
    path = kept(cx.ReluTraining(X[:21, :1], Y[:21], beta=1.0, patterns=10**7), tmp_path / "s.npz")
    assert cx.load(path).problem.patterns == 10**7


def test_many_patterns_of_which_few_have_a_robust_cone_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file has a mark of each pattern drawn; one whose marks are others is refused early."""
    monkeypatch.setattr("convexnn.contract.reading.PARTS", 300)
    monkeypatch.setattr("convexnn.driver.solution.PARTS", 300)
    few: dict[str, Any] = {"patterns": 400, "radius": 0.3, "norm": "l2", "formulation": "cones"}
    robust = cx.RobustReluTraining(X[:20, :5], Y[:20], beta=1.0, **few)
    path = kept(robust, tmp_path / "s.npz")
    again = cx.load(path)
    assert len(again.problem.given) == 400 > 10 * again.primal.V.shape[1]
    kept_of = again.problem.matrix
    assert kept_of is not None
    assert robust.matrix is not None
    assert np.array_equal(kept_of, robust.matrix)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    for marks, why in (
        (arrays["drawn"][:0], "must be at most 300 beside a point of"),
        (np.zeros(10**6, np.uint8), "that are drawn must have the marks that the file has"),
    ):
        np.savez_compressed(path, **(arrays | {"drawn": marks}))
        with pytest.raises(cx.FileError, match=f"patterns {why}"):
            cx.load(changed(path, patterns=10**7))

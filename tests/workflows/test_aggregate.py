"""Aggregation, against its formulas written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.workflows.aggregate import METHODS

N, F = 11, 2
BREAKING = {"mean"}  # methods that a single client can move anywhere


def updates(seed: int = 0, n: int = N, d: int = 6) -> Array:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, d))
    rows[: n // 5] += 30.0
    return rows


def by_hand(method: str, rows: Array, f: int) -> Array:
    n, d = rows.shape
    if method == "mean":
        return np.array([sum(rows[:, j]) / n for j in range(d)])
    if method == "coordinate-median":
        return np.median(rows, axis=0)
    if method == "trimmed-mean":
        return np.array([np.mean(sorted(rows[:, j])[f : n - f]) for j in range(d)])
    if method == "centered-clipping":
        x = np.median(rows, axis=0)
        radius = float(np.median([np.linalg.norm(u - x) for u in rows]))
        for _ in range(10):
            x = x + sum((u - x) * min(1.0, radius / np.linalg.norm(u - x)) for u in rows) / n
        return x
    scores = [
        sum(sorted(float(np.sum((u - v) ** 2)) for j, v in enumerate(rows) if j != i)[: n - f - 2])
        for i, u in enumerate(rows)
    ]
    if method == "krum":
        return np.asarray(rows[int(np.argmin(scores))])
    assert method == "multi-krum"
    return np.asarray(rows[np.argsort(scores)[: n - f]].mean(axis=0))


@pytest.mark.parametrize("method", [m for m in METHODS if m != "geometric-median"])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n", [N, N + 1])
def test_formula(method: str, seed: int, n: int) -> None:
    rows = updates(seed, n)
    found = cx.aggregate(rows, method=method, faulty=F)
    np.testing.assert_allclose(found, by_hand(method, rows, F), rtol=1e-10, atol=1e-12)


def test_geometric_median_is_the_certified_one() -> None:
    rows = updates()
    weights = np.arange(1.0, N + 1.0)
    best = cx.solve(cx.GeometricMedian(rows, weights=weights), tol=1e-11)
    np.testing.assert_allclose(cx.aggregate(rows, weights=weights), best.model.point, atol=1e-5)
    small = cx.aggregate(1e-9 * rows, weights=weights)
    np.testing.assert_allclose(small, 1e-9 * best.model.point, atol=1e-14)


@pytest.mark.parametrize(
    "method", ["geometric-median", "mean", "coordinate-median", "centered-clipping"]
)
def test_weights_are_repetitions(method: str) -> None:
    rows, counts = updates(), np.random.default_rng(1).integers(1, 4, N)
    radius: dict[str, Any] = {"radius": 2.0} if method == "centered-clipping" else {}
    a = cx.aggregate(rows, method=method, weights=counts, **radius)
    b = cx.aggregate(np.repeat(rows, counts, axis=0), method=method, **radius)
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_trimmed_mean_weighs_what_it_keeps() -> None:
    rows = np.array([[-9.0], [1.0], [2.0], [9.0]])
    weights = [5.0, 1.0, 3.0, 5.0]
    found = cx.aggregate(rows, method="trimmed-mean", faulty=1, weights=weights)
    assert found.tolist() == [1.75]


@pytest.mark.parametrize("method", list(METHODS))
def test_faulty_clients_move_none_but_the_mean(method: str) -> None:
    rows = updates()
    rows[:F] = 1e8
    size = float(np.linalg.norm(cx.aggregate(rows, method=method, faulty=F)))
    assert (size > 1e6) == (method in BREAKING)


@pytest.mark.parametrize("method", list(METHODS))
def test_structure_is_given_back(method: str) -> None:
    rng = np.random.default_rng(2)
    clients = [(rng.standard_normal((3, 2)), rng.standard_normal(4)) for _ in range(N)]
    joint = cx.aggregate(clients, method=method, faulty=F)
    assert isinstance(joint, tuple)
    assert [a.shape for a in joint] == [(3, 2), (4,)]
    flat = np.array([np.concatenate([A.ravel(), b]) for A, b in clients])
    whole = cx.aggregate(flat, method=method, faulty=F)
    np.testing.assert_array_equal(np.concatenate([a.ravel() for a in joint]), whole)
    apart = cx.aggregate(clients, method=method, faulty=F, per_component=True)
    for k in range(2):
        alone = cx.aggregate([c[k] for c in clients], method=method, faulty=F)
        assert alone.shape == clients[0][k].shape
        np.testing.assert_array_equal(apart[k], alone)
    listed = cx.aggregate([list(c) for c in clients], method=method, faulty=F)
    assert isinstance(listed, list)
    single = [[c[0].astype(np.float32)] for c in clients]
    assert cx.aggregate(single, method=method, faulty=F)[0].dtype == np.float32


@pytest.mark.parametrize(
    ("given", "changes", "says"),
    [
        (None, {"method": "median"}, "method must be one of geometric-median, mean"),
        (None, {"method": "krum", "faulty": 5}, r"n > 2 faulty \+ 2 for krum, got 5 of 11"),
        (None, {"method": "multi-krum", "faulty": 5}, r"n > 2 faulty \+ 2 for multi-krum"),
        (None, {"method": "trimmed-mean", "faulty": 6}, "n > 2 faulty for trimmed-mean, got 6"),
        (None, {"faulty": -1}, "faulty must be an integer >= 0, got -1"),
        (None, {"faulty": 1.5}, "faulty must be an integer >= 0, got 1.5"),
        (None, {"weights": [1.0]}, r"weights must have one entry per update \(11\), got 1"),
        (None, {"weights": -np.ones(N)}, "weights must be >= 0 and not all 0"),
        (None, {"weights": np.zeros(N)}, "weights must be >= 0 and not all 0"),
        (None, {"method": "krum", "weights": np.ones(N)}, "weights are of no use to krum"),
        (None, {"radius": 1.0}, "radius is of use to centered-clipping only"),
        (None, {"method": "centered-clipping", "radius": 0.0}, "radius must be finite and > 0"),
        (None, {"per_component": 1}, "per_component must be True or False"),
        ([[np.nan]], {}, "updates of client 0 hold NaN or inf: none is finite"),
        ([[np.nan]], {"invalid": "raise"}, "updates must be finite, got nan"),
        (None, {"invalid": "keep"}, "invalid must be one of drop, raise, got 'keep'"),
        ([], {}, "updates must"),
    ],
)
def test_bad_input_is_named(given: Any, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(cx.ProblemError, match=says):
        cx.aggregate(updates() if given is None else given, **changes)


@pytest.mark.filterwarnings("error")
def test_clipping_bears_a_client_whose_distance_overflows() -> None:
    rows = updates()
    rows[0] = 1e200
    assert np.abs(cx.aggregate(rows, method="centered-clipping")).max() < 30.0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_client_that_is_not_finite_is_left_out_aloud(method: str, value: float) -> None:
    rows = updates(1, N + 2)
    rows[4, 3] = rows[9] = value
    kept = np.delete(rows, [4, 9], axis=0)
    with pytest.warns(UserWarning, match="clients 4, 9 hold NaN or inf: left out, 11 of 13 are"):
        found = cx.aggregate(rows, method=method, faulty=F)
    np.testing.assert_array_equal(found, cx.aggregate(kept, method=method, faulty=F))
    with pytest.raises(cx.ProblemError, match=r"updates must be finite, got .* at index \(4, 3\)"):
        cx.aggregate(rows, method=method, faulty=F, invalid="raise")


def test_a_client_left_out_takes_its_weight_and_its_arrays_along() -> None:
    clients = [[np.full((1, 2), float(k)), np.full(1, float(k))] for k in range(4)]
    clients[0][1][0] = np.nan
    with pytest.warns(UserWarning, match="client 0 hold"):
        W, b = cx.aggregate(clients, method="mean", weights=[100.0, 1.0, 1.0, 2.0])
    assert W.tolist() == [[2.25, 2.25]]
    assert b.tolist() == [2.25]
    with pytest.raises(cx.ProblemError, match="weights must not all be 0 where updates are finite"):
        cx.aggregate(clients, weights=[1.0, 0.0, 0.0, 0.0])
    with (
        pytest.warns(UserWarning, match="client 0 hold"),
        pytest.raises(cx.ProblemError, match=r"faulty must be such that n > 2 faulty \+ 2"),
    ):
        cx.aggregate(clients, method="krum", faulty=1)

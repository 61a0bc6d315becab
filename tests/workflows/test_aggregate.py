"""Aggregation, against its formulas written out."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.workflows.aggregate import BEFORE, EQUALS, METHODS
from convexnn.workflows.aggregation_rules import flag_subspace, nearest_together

N, F = 11, 2
BREAKING = {"mean", "flag"}  # methods that a single client can move anywhere


def updates(seed: int = 0, n: int = N, d: int = 6) -> Array:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, d))
    rows[: n // 5] += 30.0
    return rows


def diameter(rows: Array, own: Any) -> float:
    return max(float(np.linalg.norm(rows[i] - rows[j])) for i, j in combinations(own, 2))


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
    if method == "mean-around-median":
        middle = np.median(rows, axis=0)
        near = [np.argsort(np.abs(rows[:, j] - middle[j]))[: n - f] for j in range(d)]
        return np.array([np.mean(rows[own, j]) for j, own in enumerate(near)])
    if method == "norm-elimination":
        short = sorted(rows, key=lambda u: float(np.linalg.norm(u)))[: n - f]
        return np.asarray(np.mean(short, axis=0))
    if method == "mda":
        best = min(combinations(range(n), n - f), key=lambda own: diameter(rows, own))
        return np.asarray(rows[list(best)].mean(axis=0))
    scores = [
        sum(sorted(float(np.sum((u - v) ** 2)) for j, v in enumerate(rows) if j != i)[: n - f - 2])
        for i, u in enumerate(rows)
    ]
    if method == "krum":
        return np.asarray(rows[int(np.argmin(scores))])
    assert method == "multi-krum"
    return np.asarray(rows[np.argsort(scores)[: n - f]].mean(axis=0))


@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("geometric-median", "flag")])
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


def test_rules_weigh_what_they_keep() -> None:
    rows = np.array([[-9.0], [1.0], [2.0], [9.0]])
    weights = [5.0, 1.0, 3.0, 5.0]
    found = cx.aggregate(rows, method="trimmed-mean", faulty=1, weights=weights)
    assert found.tolist() == [1.75]
    rows = np.array([[1.0], [2.0], [3.0], [90.0]])
    for method in sorted(set(METHODS) - {*EQUALS, "mean", "trimmed-mean", "geometric-median"}):
        found = cx.aggregate(rows, method=method, faulty=1, weights=[1.0, 1.0, 1.0, 0.0])
        assert found.tolist() == [2.0], method
    with pytest.raises(cx.ProblemError, match="weights must not all be 0 where the rule keeps"):
        cx.aggregate(rows, method="norm-elimination", faulty=1, weights=[0.0, 0.0, 0.0, 1.0])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("d", [1, 2, 40])
def test_no_subset_is_closer_together_than_that_of_mda(seed: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    rows = np.round(rng.standard_normal((10, d)), int(rng.integers(3)))  # ties, and repeated rows
    square = np.square(rows[:, None] - rows).sum(axis=2)
    for f in range(5):
        found = nearest_together(square, f)
        assert len(set(found.tolist())) == 10 - f
        least = min(diameter(rows, own) for own in combinations(range(10), 10 - f))
        assert diameter(rows, found) == pytest.approx(least, abs=1e-12)


def flag_value(Y: Array, rows: Array) -> float:
    def off(u: Array) -> float:
        return float(np.sqrt(max(1.0 - np.sum((Y.T @ u) ** 2) / np.sum(u**2), 0.0)))

    n = len(rows)
    pairs = sum(off(u - v) for i, u in enumerate(rows) for j, v in enumerate(rows) if i != j)
    return sum(map(off, rows)) + pairs / (n - 1)


@pytest.mark.parametrize("seed", range(3))
def test_the_subspace_of_the_flag_is_a_local_minimum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((7, 6)) + 1.0
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    Y = flag_subspace(units, rows, 4)
    least = flag_value(Y, rows)
    assert least < flag_value(np.linalg.svd(units)[2][:4].T, rows)
    for size in (1e-3, 1e-2, 1e-1):
        for _ in range(20):
            near = np.linalg.qr(Y + size * rng.standard_normal(Y.shape))[0]
            assert flag_value(near, rows) > least


def test_flag_keeps_what_all_have_in_common() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((N, 50))
    rows[:, 0] += 8.0
    found = cx.aggregate(rows, method="flag")
    assert found[0] == pytest.approx(rows[:, 0].mean(), rel=0.05)
    turn = np.linalg.qr(rng.standard_normal((50, 50)))[0]
    np.testing.assert_allclose(cx.aggregate(3.0 * rows @ turn, method="flag"), 3.0 * found @ turn)
    few = rows[:, :6]  # the subspace is all there is
    np.testing.assert_allclose(cx.aggregate(few, method="flag"), few.mean(axis=0), rtol=1e-12)
    wild = np.vstack([rows, np.full(50, 1e200), np.zeros(50)])
    assert np.isfinite(cx.aggregate(wild, method="flag")).all()


@pytest.mark.parametrize("method", sorted(set(METHODS) - BREAKING))
@pytest.mark.parametrize("size", [1e14, -1e60, 1e100])
def test_one_client_far_off_decides_nothing(method: str, size: float) -> None:
    rows = np.random.default_rng(3).standard_normal((N, 6))
    rows[4] = size
    found = cx.aggregate(rows, method=method, faulty=1)
    honest = np.delete(rows, 4, axis=0)
    spread = np.linalg.norm(honest - np.median(honest, axis=0), axis=1).max()
    assert np.linalg.norm(found - honest.mean(axis=0)) < spread
    if method != "krum":
        assert np.linalg.norm(honest - found, axis=1).min() > 0.1  # it is no client's own update


def test_mixing_and_bucketing_are_their_formulas() -> None:
    rows = updates(2)
    near = [np.argsort(np.sum((rows - u) ** 2, axis=1))[: N - F] for u in rows]
    mixed = np.array([rows[own].mean(axis=0) for own in near])
    for method in ("trimmed-mean", "krum", "flag"):
        found = cx.aggregate(rows, method=method, faulty=F, before="nearest-neighbour-mixing")
        np.testing.assert_allclose(found, cx.aggregate(mixed, method=method, faulty=F))
    order = np.random.default_rng(7).permutation(N)
    pairs = np.array([rows[order[k : k + 2]].mean(axis=0) for k in range(0, N, 2)])
    found = cx.aggregate(rows, method="trimmed-mean", faulty=F, before="bucketing", seed=7)
    np.testing.assert_allclose(found, cx.aggregate(pairs, method="trimmed-mean", faulty=F))


@pytest.mark.parametrize("before", list(BEFORE))
@pytest.mark.parametrize("method", list(METHODS))
def test_what_stands_before_a_rule_keeps_its_strength(method: str, before: str) -> None:
    rows = updates(n=15)
    rows[:F] = 1e8
    found = cx.aggregate(rows, method=method, faulty=F, before=before)
    assert (np.linalg.norm(found) > 1e6) == (method in BREAKING)


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
        (None, {"faulty": 6}, "for geometric-median, got 6 of 11: it bears 5 at most"),
        (None, {"method": "coordinate-median", "faulty": 6}, "coordinate-median.* it bears 5"),
        (None, {"method": "centered-clipping", "faulty": 9}, "centered-clipping.* it bears 5"),
        (None, {"method": "mda", "faulty": 6}, "n > 2 faulty for mda, got 6 of 11: it bears 5"),
        (None, {"method": "norm-elimination", "faulty": 6}, "norm-elimination, got 6 of 11"),
        (None, {"method": "mean-around-median", "faulty": 6}, "mean-around-median, got 6 of 11"),
        (np.eye(63), {"method": "mda", "faulty": 31}, "faulty must be at most 30 for mda"),
        ([[1.0], [2.0]], {"method": "krum"}, "got 0 of 2: it bears none of so few"),
        (None, {"before": "mixing"}, "before must be one of nearest-neighbour-mixing, bucketing"),
        (
            None,
            {"faulty": 3, "before": "bucketing"},
            "geometric-median after bucketing, which leaves 6 of 11 updates, .*: it bears 2",
        ),
        (
            None,
            {"method": "mean", "faulty": 6, "before": "nearest-neighbour-mixing"},
            "n > 2 faulty for nearest-neighbour-mixing, got 6 of 11",
        ),
        (None, {"method": "flag", "weights": np.ones(N)}, "weights are of no use to flag"),
        (None, {"before": "bucketing", "weights": np.ones(N)}, "are of no use to bucketing"),
        (None, {"seed": -1}, "seed must be an integer >= 0"),
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

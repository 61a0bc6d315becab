"""Points that are hard on a median, for every problem and engine that has one."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.functions.terms import Box, Distance
from convexnn.workflows.aggregate import aggregate


def normal(n: int, d: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((n, d))


CIRCLE = np.array([[np.cos(t), np.sin(t)] for t in np.arange(8) * np.pi / 4.0])
POINTS: dict[str, Array] = {
    "one": np.array([[3.0, 4.0]]),
    "two": np.array([[0.0, 0.0], [3.0, 4.0]]),
    "equal": np.full((9, 3), 0.1),
    "collinear-odd": np.outer(np.arange(9.0), [1.0, 2.0]),
    "collinear-even": np.outer(np.arange(10.0), [1.0, 2.0]),
    "line-odd": normal(11, 1),
    "line-even": normal(10, 1),
    "duplicates": np.vstack([np.tile([1.0, 2.0], (12, 1)), normal(8, 2)]),
    "optimum-in-data": np.vstack([np.zeros((1, 2)), CIRCLE]),
    "cauchy": np.random.default_rng(0).standard_cauchy((30, 4)),
    "offset": normal(20, 3) + 1e8,
    "outlier": np.vstack([normal(9, 2), [[1e12, 1e12]]]),
    "tiny": 1e-120 * normal(12, 2),
    "huge": 1e120 * normal(12, 2),
}
SMOOTH_ONLY = ("extra", "subgradient")  # whose optimum must not be a data point
KINDS = ("distributed", "lasso", "constrained")


def path(n: int) -> list[tuple[int, int]]:
    return [(i, i + 1) for i in range(n - 1)]


def median(points: Array) -> cx.Solution:
    return cx.solve(cx.GeometricMedian(points), tol=1e-9)


def declared(kind: str, points: Array) -> Any:
    n, d = points.shape
    if kind == "distributed":
        return cx.DistributedMedian(points, np.array(path(n)).reshape(-1, 2).astype(int))
    terms = [Distance(row) for row in points]
    if kind == "lasso":
        return cx.NetworkLasso(terms, path(n), penalty=float(n))
    apart = (np.eye(n) - np.eye(n, k=1))[:-1]
    return cx.LinearlyConstrained(terms, np.kron(apart, np.eye(d)), np.zeros((n - 1) * d))


@pytest.mark.parametrize("engine", ["admm", "homotopy", "pg-extra", "extra", "subgradient"])
@pytest.mark.parametrize("name", POINTS)
def test_agents_on_a_path(name: str, engine: str) -> None:
    points = POINTS[name]
    rounds = 500 if engine in SMOOTH_ONLY else None
    solution = cx.solve(declared("distributed", points), engine, max_iter=rounds, time_limit=60.0)
    best = median(points)
    if engine not in SMOOTH_ONLY:
        assert solution.status is cx.Status.OPTIMAL, solution
    assert solution.bound <= best.objective * (1.0 + 1e-12)
    assert solution.objective >= best.bound * (1.0 - 1e-12)
    assert np.isfinite(solution.model.local_points).all()
    if solution.status is cx.Status.OPTIMAL:
        assert solution.objective == pytest.approx(best.objective, rel=1e-5)


@pytest.mark.parametrize("kind", ["lasso", "constrained"])
@pytest.mark.parametrize("name", [name for name in POINTS if name not in ("one", "tiny", "huge")])
def test_terms_that_must_agree(name: str, kind: str) -> None:
    points = POINTS[name]
    solution = cx.solve(declared(kind, points), time_limit=60.0)
    best = median(points)
    assert solution.status is cx.Status.OPTIMAL, solution
    assert solution.bound <= best.objective * (1.0 + 1e-12)
    assert solution.objective == pytest.approx(best.objective, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("method", ["geometric-median", "mean", "coordinate-median", "krum"])
@pytest.mark.parametrize("name", POINTS)
def test_aggregates_are_finite(name: str, method: str) -> None:
    points = POINTS[name]
    if method == "krum" and len(points) < 3:
        pytest.skip("Krum is for three and more")
    found = np.asarray(aggregate(points, method=method))
    assert np.isfinite(found).all()
    low, high = points.min(axis=0), points.max(axis=0)
    room = 1e-9 * (high - low) + 1e-15 * np.abs(high)
    assert (low - room <= found).all()
    assert (found <= high + room).all()


@pytest.mark.parametrize("graph", ["random", "ring", "grid", "star"])
@pytest.mark.parametrize("kind", ["lasso", "pg-extra", "extra", "subgradient", "admm", "homotopy"])
def test_a_minority_far_off_on_every_graph(graph: str, kind: str) -> None:
    made = {
        "random": lambda: nx.random_regular_graph(3, 12, seed=0),
        "ring": lambda: nx.cycle_graph(12),
        "grid": lambda: nx.grid_2d_graph(3, 4),
        "star": lambda: nx.star_graph(11),
    }[graph]()
    points = normal(12, 3)
    points[:3] += 50.0
    best = median(points).objective
    solution: cx.Solution
    if kind == "lasso":
        solution = cx.solve(cx.NetworkLasso([Distance(row) for row in points], made, penalty=20.0))
    else:
        loose = 0.1 if kind == "subgradient" else 1e-6
        solution = cx.solve(cx.DistributedMedian(points, made), kind, tol=loose)
    assert solution.status is cx.Status.OPTIMAL
    assert solution.bound <= best * (1.0 + 1e-9)
    assert solution.objective == pytest.approx(best, rel=0.2 if kind == "subgradient" else 1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_points_that_are_not_finite(kind: str, value: float) -> None:
    points = normal(4, 2)
    points[2, 1] = value
    place = r"\(2, 1\)" if kind == "distributed" else r"\(1,\)"
    with pytest.raises(cx.ProblemError, match=f"must be finite, got {value} at index {place}"):
        declared(kind, points)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (([], []), "points must have 2 axes"),
        ((np.zeros((0, 2)), []), r"points must not be empty, got shape \(0, 2\)"),
        ((np.zeros((2, 0)), [[0, 1]]), r"points must not be empty, got shape \(2, 0\)"),
        (([["a"], ["b"]], [[0, 1]]), "points must hold real numbers"),
        (([[0.0], [1.0], [2.0]], [[0, 1], [0, 1]]), r"no duplicate edges, got \(0, 1\)"),
        (([[0.0], [1.0]], [[0, 2]]), "must have nodes 0 to 1"),
        (([[0.0], [1.0]], [[1, 1]]), "no self-loops, got one at node 1"),
        (([[0.0], [1.0], [2.0]], [[0, 1]]), "node 2 cannot be reached"),
    ],
)
def test_agents_that_are_wrong(fields: tuple[Any, Any], says: str) -> None:
    points, graph = fields
    with pytest.raises(cx.ProblemError, match=says):
        cx.DistributedMedian(points, graph)
    if len(points) and np.shape(points)[1] and points[0][0] == 0.0:
        with pytest.raises(cx.ProblemError, match=says):
            cx.NetworkLasso([Distance(row) for row in points], graph, penalty=1.0)


def test_equations_without_content_or_solution() -> None:
    terms = [Distance([1.0, 2.0])]
    idle = cx.solve(cx.LinearlyConstrained(terms, [[0.0, 0.0]], [0.0]))
    assert idle.status is cx.Status.OPTIMAL
    assert idle.model.x[0].tolist() == [1.0, 2.0]
    far = cx.LinearlyConstrained([Box([1e8], [1e8 + 1.0])], [[1.0]], [1e8 + 3.0])
    none = cx.solve(far, time_limit=30.0)
    assert none.status is cx.Status.INFEASIBLE
    assert none.dual.ray[0] * (1e8 + 1.0) < none.dual.ray[0] * (1e8 + 3.0)
    with pytest.raises(cx.ProblemError, match="A must not be empty"):
        cx.LinearlyConstrained(terms, np.zeros((0, 2)), [])


def test_tensors_of_torch() -> None:
    torch = pytest.importorskip("torch")
    points = normal(30, 3)
    plain = median(points).model.point
    tensor = torch.tensor(points, requires_grad=True)
    for given in (tensor, list(tensor), [[row] for row in tensor], torch.tensor(points).T.T):
        found = cx.solve(cx.GeometricMedian(given), tol=1e-9)
        np.testing.assert_array_equal(found.model.point, plain)
    assert cx.GeometricMedian(tensor.float()).points.dtype == np.float32
    layers = [[torch.randn(3, 2), torch.randn(4)] for _ in range(5)]
    merged = aggregate(layers)
    assert [tuple(part.shape) for part in merged] == [(3, 2), (4,)]
    with pytest.raises(cx.ProblemError, match="points must be finite, got nan"):
        cx.GeometricMedian(torch.full((3, 2), float("nan")))
    with pytest.raises(cx.ProblemError, match="points must hold real numbers, got dtype complex"):
        cx.GeometricMedian(torch.zeros((3, 2), dtype=torch.complex64))

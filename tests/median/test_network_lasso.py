"""The network lasso against interior point, its certificate, its clusters, its mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import convexnn as cx
from convexnn.functions.terms import (
    Ball,
    Custom,
    Distance,
    HuberDistance,
    L1Distance,
    Quadratic,
    Term,
)
from convexnn.functions.terms import SquaredDistance as Squared
from convexnn.median.consensus import Agents
from convexnn.median.network_lasso import Flows

GRAPHS = {
    "ring": nx.cycle_graph(9),
    "grid": nx.grid_2d_graph(3, 3),
    "star": nx.star_graph(8),
    "complete": nx.complete_graph(9),
}


def terms(seed: int = 0) -> list[Term]:
    rng = np.random.default_rng(seed)
    b = rng.standard_normal((9, 2))
    kinds: list[Term] = [Distance(b[0]), Distance(b[1], 2.0), L1Distance(b[2], 0.7)]
    kinds += [HuberDistance(b[3], 1.0, 0.5), Squared(b[4]), Squared(b[5], 3.0)]
    return [*kinds, Ball(b[6], 0.5), Quadratic([[2.0, 1.0], [1.0, 2.0]], b[7]), Distance(b[8])]


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("penalty", [0.01, 0.2, 5.0])
def test_optimum_is_that_of_interior_point(graph: str, penalty: float) -> None:
    problem = cx.NetworkLasso(terms(), GRAPHS[graph], penalty=penalty)
    reference = cx.solve(problem, "cvxpy:clarabel", tol=1e-7)
    assert reference.status is cx.Status.OPTIMAL
    solution = cx.solve(problem)
    assert solution.backend == "admm"
    assert solution.status is cx.Status.OPTIMAL
    assert solution.objective == pytest.approx(reference.objective, rel=3e-6, abs=3e-6)
    assert solution.bound <= reference.objective + 1e-9
    assert solution.model.rounds > 0


def weighted(graph: str) -> nx.Graph:
    made, rng = nx.Graph(GRAPHS[graph]), np.random.default_rng(2)
    for i, j in made.edges:
        made.edges[i, j]["weight"] = float(10.0 ** rng.uniform(-1.0, 1.0))
    return made


@pytest.mark.parametrize("graph", GRAPHS)
def test_edges_count_by_their_weights(graph: str, tmp_path: Path) -> None:
    problem = cx.NetworkLasso(terms(), weighted(graph), penalty=0.2)
    reference = cx.solve(problem, "cvxpy:clarabel", tol=1e-7)
    solution = cx.solve(problem, "admm")
    assert solution.status is reference.status is cx.Status.OPTIMAL
    assert solution.objective == pytest.approx(reference.objective, rel=3e-6)
    assert solution.bound <= reference.objective + 1e-9
    x, w = solution.model.local_points, problem.edge_weights
    assert w is not None
    apart = np.linalg.norm(x[problem.graph[:, 0]] - x[problem.graph[:, 1]], axis=1)
    value = sum(f.value(row) for f, row in zip(terms(), x, strict=True)) + 0.2 * float(w @ apart)
    assert solution.objective == pytest.approx(value, rel=1e-12)
    plain = cx.solve(cx.NetworkLasso(terms(), GRAPHS[graph], penalty=0.2))
    assert abs(plain.objective - solution.objective) > 1e-2
    solution.save(tmp_path / "s.npz")
    assert cx.load(tmp_path / "s.npz").certificate == solution.certificate


def test_weights_and_penalty_are_one_scale() -> None:
    one = cx.NetworkLasso(terms(), weighted("grid"), penalty=0.25)
    weights = np.asarray(one.edge_weights)
    other = cx.NetworkLasso(terms(), one.graph, penalty=1.0, edge_weights=weights / 4.0)
    first, second = cx.solve(one), cx.solve(other)
    assert first.certificate == second.certificate
    doubled = cx.NetworkLasso(terms(), one.graph, penalty=0.125, edge_weights=np.full(12, 2.0))
    plain = cx.NetworkLasso(terms(), one.graph, penalty=0.25)
    assert cx.solve(doubled).objective == pytest.approx(cx.solve(plain).objective, rel=1e-9)


def test_above_a_threshold_all_agree() -> None:
    b = np.random.default_rng(1).standard_normal((9, 2))
    spread = [Squared(row) for row in b]
    loose = cx.solve(cx.NetworkLasso(spread, GRAPHS["ring"], penalty=1e-3), tol=1e-9).model
    tight = cx.solve(cx.NetworkLasso(spread, GRAPHS["ring"], penalty=50.0), tol=1e-9).model
    assert np.abs(loose.local_points - b).max() < 3e-3
    np.testing.assert_allclose(tight.local_points, np.tile(b.mean(axis=0), (9, 1)), atol=1e-4)


@settings(max_examples=50)
@given(
    draw=st.integers(0, 10_000),
    size=st.sampled_from([1e-3, 1.0, 1e3, 1e150]),
    bad=st.sampled_from([None, np.nan, np.inf]),
)
def test_no_prices_make_a_wrong_bound(draw: int, size: float, bad: Any) -> None:
    problem = cx.NetworkLasso(terms(), GRAPHS["grid"], penalty=0.3)
    best = cx.solve(problem, tol=1e-8).objective
    y = size * np.random.default_rng(draw).standard_normal((12, 2))
    if bad is not None:
        y[5, 1] = bad
    primal, _ = problem.initial()
    with np.errstate(all="ignore"):
        assert problem.certify(primal, Flows(y)).bound <= best + 1e-7


def test_options_checkpoints_start_and_files(tmp_path: Path) -> None:
    problem = cx.NetworkLasso(terms(), GRAPHS["ring"], penalty=0.2)
    whole = cx.solve(problem, tol=1e-14, max_iter=90)
    saved: dict[str, Any] = {"checkpoint": str(tmp_path / "state.npz"), "every": 20}
    cx.solve(problem, tol=1e-14, max_iter=50, **saved)
    rest = cx.solve(problem, tol=1e-14, max_iter=90, **saved)
    assert rest.history[-1].objective == whole.history[-1].objective
    other = cx.NetworkLasso(terms(1), GRAPHS["ring"], penalty=0.2)
    with pytest.raises(ValueError, match="checkpoint of another problem"):
        cx.solve(other, **saved)
    fixed = cx.solve(problem, rho=0.5)
    assert fixed.status is cx.Status.OPTIMAL
    assert cx.solve(problem, start=fixed).status is cx.Status.OPTIMAL
    fixed.save(tmp_path / "s.npz")
    assert cx.load(tmp_path / "s.npz").certificate == fixed.certificate
    with pytest.raises(cx.ProblemError, match="rho must be finite and > 0"):
        cx.solve(problem, rho=0.0)


def test_ones_own_term_needs_no_formula() -> None:
    own = Custom(
        2, lambda x: float(x @ x), lambda v, s: v / (1 + 2 * s), lambda s: float(s @ s) / 4
    )
    problem = cx.NetworkLasso([own, *terms()[1:]], GRAPHS["ring"], penalty=0.2)
    same = cx.NetworkLasso([Squared([0.0, 0.0], 2.0), *terms()[1:]], GRAPHS["ring"], penalty=0.2)
    assert cx.solve(problem).objective == pytest.approx(cx.solve(same).objective, rel=1e-5)
    assert "cvxpy:clarabel" not in cx.backends(problem).names
    assert problem.objective(Agents(np.zeros((9, 2)), 0, 0)) == np.inf


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"terms": []}, "terms must not be empty"),
        ({"terms": [Distance([0.0])]}, "terms must be at least 2, got 1"),
        ({"terms": [Distance([0.0]), Distance([0.0, 1.0])]}, "size 1 of the first, got 2 at index"),
        ({"graph": [[0, 0]]}, "graph must have no self-loops"),
        ({"graph": [[0, 2]]}, "graph must have nodes 0 to 1"),
        ({"penalty": 0.0}, "penalty must be finite and > 0"),
        ({"penalty": np.inf}, "penalty must be finite and > 0"),
    ],
)
def test_bad_input_is_named(changes: dict[str, Any], says: str) -> None:
    good = {"terms": [Distance([0.0]), Distance([1.0])], "graph": [[0, 1]], "penalty": 1.0}
    fields: dict[str, Any] = good | changes
    with pytest.raises(cx.ProblemError, match=says):
        cx.NetworkLasso(fields["terms"], fields["graph"], penalty=fields["penalty"])

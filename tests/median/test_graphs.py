"""Graphs of networkx: weights of edges are used where there is a use, and else refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import networkx as nx
import numpy as np
import pytest

import convexnn as cx
from convexnn.terms import SquaredDistance


def weighted(weight: Any) -> nx.Graph:
    graph = nx.path_graph(["a", "b", "c"])
    graph.add_edge("b", "c", weight=weight)
    return graph


def test_weights_of_edges_are_refused() -> None:
    message = r"graph must have edges without weights, or of weight 1.*got 2\.5 on \('b', 'c'\)"
    with pytest.raises(cx.ProblemError, match=message):
        cx.DistributedMedian(np.eye(3), weighted(2.5))


def lasso(graph: Any, **own: Any) -> cx.NetworkLasso:
    return cx.NetworkLasso([SquaredDistance([b]) for b in range(3)], graph, penalty=1.0, **own)


def test_weights_of_edges_are_used() -> None:
    problem = lasso(weighted(2.5))
    assert problem.edge_weights is not None
    assert problem.edge_weights.tolist() == [1.0, 2.5]
    swapped = lasso([[2, 1], [1, 0]], edge_weights=[2.5, 1.0])
    assert swapped.edge_weights is not None
    assert swapped.edge_weights.tolist() == [1.0, 2.5]
    assert replace(swapped, penalty=2.0).edge_weights is not None
    assert lasso(weighted(1.0)).edge_weights is lasso([[0, 1], [1, 2]]).edge_weights is None


@pytest.mark.parametrize(
    ("graph", "own", "message"),
    [
        (weighted(0.0), {}, r"weight of edge \('b', 'c'\) of graph must be finite and > 0, got 0"),
        (weighted(-1.0), {}, r"weight of edge \('b', 'c'\) of graph must be finite and > 0"),
        (weighted("far"), {}, r"weight of edge \('b', 'c'\) of graph must be finite and > 0"),
        (weighted(2.0), {"edge_weights": [1.0, 2.0]}, "those of networkx are the attributes"),
        ([[0, 1], [1, 2]], {"edge_weights": [1.0]}, r"one entry per edge \(2\), got 1"),
        ([[0, 1], [1, 2]], {"edge_weights": [1.0, 0.0]}, r"edge_weights\[1\] must be .* > 0"),
        ([[0, 1], [1, 2]], {"edge_weights": [1.0, np.nan]}, "edge_weights must be finite"),
    ],
)
def test_weights_that_are_none_are_refused(graph: Any, own: dict[str, Any], message: str) -> None:
    with pytest.raises(cx.ProblemError, match=message):
        lasso(graph, **own)


def test_edges_of_weight_one_are_plain_edges() -> None:
    plain = [[0, 1], [1, 2]]
    assert cx.DistributedMedian(np.eye(3), weighted(1.0)).graph.tolist() == plain
    again = nx.Graph()
    again.add_nodes_from("abc")
    again.add_edges_from(weighted(2.5).edges)
    assert cx.DistributedMedian(np.eye(3), again).graph.tolist() == plain

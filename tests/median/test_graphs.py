"""Graphs of networkx: their edges count alike, and weights that say otherwise are refused."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

import convexnn as cx
from convexnn.terms import SquaredDistance


def weighted(weight: float) -> nx.Graph:
    graph = nx.path_graph(["a", "b", "c"])
    graph.add_edge("b", "c", weight=weight)
    return graph


def test_weights_of_edges_are_refused() -> None:
    message = r"graph must have edges without weights, or of weight 1.*got 2\.5 on \('b', 'c'\)"
    with pytest.raises(cx.ProblemError, match=message):
        cx.DistributedMedian(np.eye(3), weighted(2.5))
    with pytest.raises(cx.ProblemError, match=message):
        cx.NetworkLasso([SquaredDistance([b]) for b in range(3)], weighted(2.5), penalty=1.0)


def test_edges_of_weight_one_are_plain_edges() -> None:
    plain = [[0, 1], [1, 2]]
    assert cx.DistributedMedian(np.eye(3), weighted(1.0)).graph.tolist() == plain
    again = nx.Graph()
    again.add_nodes_from("abc")
    again.add_edges_from(weighted(2.5).edges)
    assert cx.DistributedMedian(np.eye(3), again).graph.tolist() == plain

"""Connected graphs of agents: checked once, then plain arrays."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Protocol, TypeAlias, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexnn.contract.arrays import Array, frozen
from convexnn.contract.checks import (
    SMALLEST,
    UNREADABLE,
    ProblemError,
    in_range,
    positive,
    real_array,
    shown,
    whole,
)


@runtime_checkable
class Network(Protocol):
    """What is asked of a graph of networkx."""

    @property
    def nodes(self) -> Iterable[Hashable]:
        """Return the labels."""
        ...

    @property
    def edges(self) -> Iterable[Sequence[Hashable]]:
        """Return the pairs of labels."""
        ...

    def is_directed(self) -> bool:
        """Tell whether edges have a direction."""
        ...

    def number_of_nodes(self) -> int:
        """Return how many labels there are."""
        ...


Graph: TypeAlias = Network | ArrayLike
Edges: TypeAlias = NDArray[np.int64]


def as_edges(name: str, graph: Graph, n: int) -> Edges:
    """Return the edges of a connected graph on n nodes, ``i < j`` in each row, rows ascending.

    Parameters
    ----------
    name : str
        Of the field, for messages.
    graph : networkx.Graph or int array of shape (m, 2)
        Nodes of a networkx graph are numbered in the order of their insertion, whatever their
        labels.
    n : int

    Raises
    ------
    ProblemError
        If it is not an undirected simple graph on n nodes, not connected, or has edges of a
        weight other than 1.

    Examples
    --------
    >>> as_edges("graph", [[1, 0], [2, 1]], 3)
    array([[0, 1],
           [1, 2]])
    """
    if _is_network(graph):
        _require_unweighted(name, graph)
    edges, _ = _ordered(name, _pairs(name, graph, n), n)
    return edges


def weighted_edges(
    name: str, graph: Graph, weights: ArrayLike | None, n: int
) -> tuple[Edges, Array | None]:
    """Return the edges as `as_edges` does, and their weights; None where all are 1.

    Parameters
    ----------
    name : str
        Of the field, for messages.
    graph : networkx.Graph or int array of shape (m, 2)
        The weights of a networkx graph are the attributes `weight` of its edges, 1 where there is
        none.
    weights : array of shape (m,) or None
        Those of an array's rows.
    n : int

    Raises
    ------
    ProblemError
        If the graph breaks a rule of `as_edges`, or weights are not positive, or given twice.

    Examples
    --------
    >>> weighted_edges("graph", [[1, 0], [2, 1]], [3.0, 1.0], 3)[1]
    array([3., 1.])
    """
    edges, order = _ordered(name, _pairs(name, graph, n), n)
    if _is_network(graph):
        if weights is not None:
            raise ProblemError(
                f"edge_weights are of a {name} that is an array; those of networkx are the "
                "attributes 'weight' of its edges"
            )
        found: Any = graph
        listed = [
            positive(f"weight of edge ({i!r}, {j!r}) of {name}", 1.0 if weight is None else weight)
            for i, j, weight in found.edges.data("weight")
        ]
        own = np.array(listed)
    elif weights is None:
        return edges, None
    else:
        own = in_range("edge_weights", real_array("edge_weights", weights, 1))
        if len(own) != len(edges):
            raise ProblemError(
                f"edge_weights must have one entry per edge ({len(edges)}), got {len(own)}"
            )
        for k in np.flatnonzero(own < SMALLEST)[:1]:
            positive(f"edge_weights[{k}]", own[k])  # raises: an edge of weight 0 is none
    if (own == 1.0).all():
        return edges, None
    kept = own[order]
    frozen(kept)
    return edges, kept


def edge_rows(edges: Edges, tail: NDArray[np.int64], head: NDArray[np.int64]) -> Any:
    """Return, of pairs of nodes in either direction, the rows of the edges that they are.

    Examples
    --------
    >>> edge_rows(np.array([[0, 1], [1, 2]]), np.array([2, 0]), np.array([1, 1]))
    array([1, 0])
    """
    n = int(edges.max()) + 1
    return np.searchsorted(
        edges[:, 0] * n + edges[:, 1], np.minimum(tail, head) * n + np.maximum(tail, head)
    )


def _ordered(name: str, pairs: Edges, n: int) -> tuple[Edges, NDArray[np.intp]]:
    """Return the edges in order, checked, and which rows of the given ones they are."""
    low, high = pairs.min(axis=1, initial=n), pairs.max(axis=1, initial=-1)
    outside = np.flatnonzero((low < 0) | (high >= n))
    if len(outside):
        k = int(outside[0])
        raise ProblemError(
            f"{name} must have nodes 0 to {n - 1}, one for each row of data, "
            f"got edge {_shown(pairs[k])} at index {k}"
        )
    loops = np.flatnonzero(low == high)
    if len(loops):
        raise ProblemError(f"{name} must have no self-loops, got one at node {low[loops[0]]}")
    edges = np.ascontiguousarray(np.column_stack([low, high]))
    order = np.lexsort((edges[:, 1], edges[:, 0]))
    edges = edges[order]
    again = np.flatnonzero((edges[1:] == edges[:-1]).all(axis=1))
    if len(again):
        raise ProblemError(
            f"{name} must have no duplicate edges, got {_shown(edges[again[0]])} more than once"
        )
    _require_connected(name, edges, n)
    frozen(edges)
    return edges, order


def adjacency(edges: Edges, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return ``indptr`` and the neighbours of each node, ascending.

    Examples
    --------
    >>> adjacency(np.array([[0, 1], [1, 2]]), 3)
    (array([0, 1, 3, 4]), array([1, 0, 2, 1]))
    """
    tail = np.concatenate([edges[:, 0], edges[:, 1]])
    head = np.concatenate([edges[:, 1], edges[:, 0]])
    order = np.lexsort((head, tail))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(tail, minlength=n))])
    return indptr.astype(np.int64), head[order]


def _is_network(graph: Graph) -> TypeGuard[Network]:
    return isinstance(graph, Network) and not isinstance(graph, type)


def _pairs(name: str, graph: Graph, n: int) -> Edges:
    whole(name, graph)
    if _is_network(graph):
        if graph.is_directed():
            raise ProblemError(f"{name} must be undirected, got a {type(graph).__name__}")
        if graph.number_of_nodes() != n:
            raise ProblemError(
                f"{name} must have one node for each row of data ({n}), "
                f"got {graph.number_of_nodes()}"
            )
        place: dict[Hashable, int] = {label: i for i, label in enumerate(graph.nodes)}
        listed = [(place[edge[0]], place[edge[1]]) for edge in graph.edges]
        return np.array(listed, dtype=np.int64).reshape(-1, 2)
    try:
        raw = np.asarray(graph)
    except UNREADABLE:
        raw = np.empty((), dtype=object)
    if raw.size == 0 and raw.ndim <= 2:
        return np.empty((0, 2), dtype=np.int64)
    if raw.ndim != 2 or raw.shape[1] != 2 or raw.dtype.kind not in "iu":
        raise ProblemError(
            f"{name} must be a networkx graph or an integer array of shape (m, 2), got "
            + (f"shape {raw.shape} of {raw.dtype}" if raw.ndim else shown(graph))
        )
    return raw.astype(np.int64)


def _require_unweighted(name: str, graph: Any) -> None:
    for i, j, weight in graph.edges.data("weight"):
        if weight is not None and weight != 1:
            raise ProblemError(
                f"{name} must have edges without weights, or of weight 1: every edge counts alike, "
                f"got {weight!r} on ({i!r}, {j!r})"
            )


def _require_connected(name: str, edges: Edges, n: int) -> None:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(edges))
    matrix = coo_array((ones, (edges[:, 0], edges[:, 1])), shape=(n, n))
    count, label = connected_components(matrix, directed=False)
    if count > 1:
        lost = int(np.flatnonzero(label != label[0])[0])
        raise ProblemError(
            f"{name} must be connected, got {count} components: node {lost} cannot be reached "
            "from node 0"
        )


def _shown(pair: NDArray[np.int64]) -> str:
    return f"({pair[0]}, {pair[1]})"

"""Networks and patterns: which neurons live, which patterns they have, and their sum by pattern."""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.contract.arrays import Array, BoolArray, IndexArray
from convexnn.relu.forms import NetworkForm, Neurons, outputs_of
from convexnn.relu.patterns import first_distinct

LIVE = 1e-4  # share of the largest norm from which a neuron is kept


def alive(form: NetworkForm, neurons: Neurons) -> Neurons:
    """Return the network without the neurons whose norm is a small share of the largest."""
    size_v, size_w = form.norm.value(neurons.V.T), form.norm.value(neurons.W.T)
    level = LIVE * max(np.max(size_v, initial=0.0), np.max(size_w, initial=0.0))
    k = outputs_of(form.y)
    return neurons._replace(
        V=regrouped(neurons.V, owners(neurons.V, k), size_v > level, k),
        W=regrouped(neurons.W, owners(neurons.W, k), size_w > level, k),
    )


def owners(weights: Array, outputs: int) -> IndexArray:
    """Return the output that each column has, in the order of `Neurons`.

    Examples
    --------
    >>> owners(np.zeros((1, 4)), 2)
    array([0, 0, 1, 1])
    """
    return np.repeat(np.arange(outputs), weights.shape[1] // outputs)


def regrouped(weights: Array, owner: IndexArray, kept: BoolArray, outputs: int) -> Array:
    """Return the kept columns in the order of `Neurons`: zeros where an output has fewer.

    Examples
    --------
    >>> regrouped(np.array([[1.0, 2.0, 3.0]]), np.array([1, 0, 1]), np.ones(3, np.bool_), 2)
    array([[2., 0., 1., 3.]])
    """
    chosen = [np.flatnonzero(kept & (owner == c)) for c in range(outputs)]
    out = np.zeros((len(weights), outputs, max(len(columns) for columns in chosen)))
    for c, columns in enumerate(chosen):
        out[:, c, : len(columns)] = weights[:, columns]
    return out.reshape(len(weights), -1)


def distinct(form: NetworkForm, matrices: list[BoolArray]) -> BoolArray:
    """Return the distinct patterns, those active nowhere left out where they give nothing."""
    matrix = np.hstack(matrices)
    if form.leak == 0.0:
        matrix = matrix[:, matrix.any(axis=0)]
    if matrix.shape[1] == 0:
        return np.ones((len(form.X), 1), np.bool_)
    return matrix[:, first_distinct(matrix)]


def gathered(form: NetworkForm, neurons: Neurons, matrix: BoolArray) -> Neurons:
    """Return the network with its neurons added up by pattern, a feasible point over `matrix`.

    Neurons of one pattern share a cone, so their sum predicts the same at no larger penalty.
    """
    column = {matrix[:, p].tobytes(): p for p in range(matrix.shape[1])}

    def add_up(weights: Any) -> Any:
        P, k = matrix.shape[1], outputs_of(form.y)
        total = np.zeros((weights.shape[0], k * P))
        activity = np.ascontiguousarray((form.X @ weights >= 0.0).T)
        for j, owner in enumerate(owners(weights, k)):
            p = column.get(activity[j].tobytes())
            if p is not None:
                total[:, owner * P + p] += weights[:, j]
        return total

    return Neurons(add_up(neurons.V), add_up(neurons.W), neurons.skip)

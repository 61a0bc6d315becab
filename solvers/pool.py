"""Networks and patterns: which neurons live, which patterns they have, and their sum by pattern."""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.arrays import BoolArray
from convexnn.forms import NetworkForm, Neurons
from convexnn.patterns import first_distinct

LIVE = 1e-4  # share of the largest norm from which a neuron is kept


def alive(form: NetworkForm, neurons: Neurons) -> Neurons:
    """Return the network without the neurons whose norm is a small share of the largest."""
    size_v, size_w = form.norm.value(neurons.V.T), form.norm.value(neurons.W.T)
    level = LIVE * max(np.max(size_v, initial=0.0), np.max(size_w, initial=0.0))
    return neurons._replace(V=neurons.V[:, size_v > level], W=neurons.W[:, size_w > level])


def distinct(form: NetworkForm, matrices: list[BoolArray]) -> BoolArray:
    """Return the distinct patterns, those active nowhere left out where they give nothing."""
    matrix = np.hstack(matrices)
    if form.leak == 0.0:
        matrix = matrix[:, matrix.any(axis=0)]
    if matrix.shape[1] == 0:
        return np.ones((len(form.y), 1), np.bool_)
    return matrix[:, first_distinct(matrix)]


def gathered(form: NetworkForm, neurons: Neurons, matrix: BoolArray) -> Neurons:
    """Return the network with its neurons added up by pattern, a feasible point over `matrix`.

    Neurons of one pattern share a cone, so their sum predicts the same at no larger penalty.
    """
    column = {matrix[:, p].tobytes(): p for p in range(matrix.shape[1])}

    def add_up(weights: Any) -> Any:
        total = np.zeros((weights.shape[0], matrix.shape[1]))
        activity = np.ascontiguousarray((form.X @ weights >= 0.0).T)
        for j in range(weights.shape[1]):
            p = column.get(activity[j].tobytes())
            if p is not None:
                total[:, p] += weights[:, j]
        return total

    return Neurons(add_up(neurons.V), add_up(neurons.W), neurons.skip)

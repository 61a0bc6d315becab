"""Where an engine starts: any point of the same data, in the shapes of the form that it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convexnn.contract.checks import ProblemError

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array, BoolArray
    from convexnn.relu.forms import Dual, Neurons

EDGE = 1e-6  # share of a neuron's largest value up to which an example is on its edge


def check_neurons(primal: Neurons, d: int, outputs: int = 1, blocks: int | None = None) -> None:
    """Check that neurons have length d, and that there are `blocks` of them if that is given.

    Raises
    ------
    ProblemError
        If not, or if some outputs have more than others.

    Examples
    --------
    >>> from convexnn.relu.forms import Neurons
    >>> check_neurons(Neurons(np.zeros((2, 3)), np.zeros((2, 3)), np.zeros(2)), 2, blocks=6)
    """
    if primal.V.shape[0] != d or primal.W.shape[0] != d:
        raise ProblemError(f"start must have neurons of length {d}, got {primal.V.shape[0]}")
    columns = primal.V.shape[1] + primal.W.shape[1]
    if any(part.shape[1] % outputs for part in (primal.V, primal.W)):
        raise ProblemError(f"start must have as many neurons for each output, got {columns}")
    if blocks is not None and columns != blocks:
        raise ProblemError(f"start must have {blocks} neurons, got {columns}")


def placed(
    primal: Neurons, dual: Dual | None, X: Array, matrix: BoolArray, outputs: int
) -> tuple[Neurons, Dual | None]:
    """Return a start with a neuron of either sign for each pattern and output.

    A point of another number of neurons, as a search leaves it, is taken if each that is not zero
    has one of the patterns: those of one pattern are added up, which changes no output and
    lengthens no neuron. Of its dual point only the multipliers are left.

    Parameters
    ----------
    primal : Neurons
    dual : Dual or None
    X : array of shape (n, d)
    matrix : array of bool, shape (n, P)
    outputs : int

    Raises
    ------
    ProblemError
        If the neurons have another length, or are of another number and patterns.

    Examples
    --------
    >>> from convexnn.relu.forms import Neurons
    >>> X, matrix = np.array([[1.0], [-1.0]]), np.array([[True, False], [False, True]])
    >>> three = Neurons(np.array([[1.0, 2.0, -4.0]]), np.zeros((1, 0)), np.zeros(1))
    >>> placed(three, None, X, matrix, 1)[0].V
    array([[ 3., -4.]])
    """
    blocks = 2 * outputs * matrix.shape[1]
    check_neurons(primal, X.shape[1], outputs)
    if primal.V.shape[1] + primal.W.shape[1] == blocks:
        return primal, dual
    V, W = (_by_patterns(part, X, matrix, outputs) for part in (primal.V, primal.W))
    if V is None or W is None or not (V.any() or W.any()):
        check_neurons(primal, X.shape[1], outputs, blocks)
    assert V is not None
    assert W is not None
    return primal._replace(V=V, W=W), None if dual is None else type(dual)(dual.mu)


def _by_patterns(weights: Array, X: Array, matrix: BoolArray, outputs: int) -> Array | None:
    """Return neurons added up by their patterns, (d, k P); None if one has none of them."""
    P = matrix.shape[1]
    total = np.zeros((len(weights), outputs * P))
    hidden = X @ weights
    away = np.abs(hidden)
    clear = away > EDGE * away.max(axis=0, initial=0.0)
    for j in np.flatnonzero(weights.any(axis=0)):
        rows = clear[:, j]
        same = (matrix[rows] == (hidden[rows, j] > 0.0)[:, None]).all(axis=0)
        if not same.any():
            return None
        output = j * outputs // weights.shape[1]
        total[:, output * P + int(np.argmax(same))] += weights[:, j]
    return total

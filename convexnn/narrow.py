"""Deep and narrow networks of one input: chains of single neurons, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.network import Network
from convexnn.problem import ProblemError, real_array

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from convexnn.arrays import Array

ACTIVATIONS = ("relu", "abs", "threshold", "sign")
STEPS = ("threshold", "sign")  # those that see only the sign of what they are given
SAME_KNOT = 1e-9  # relative distance below which two breakpoints are one


def activate(name: str, t: Array) -> Array:
    """Return ``max(t, 0)``, ``|t|``, ``1[t >= 0]`` or ``1`` and ``-1`` by the sign of ``t``.

    Examples
    --------
    >>> activate("sign", np.array([-2.0, 0.0]))
    array([-1.,  1.])
    """
    if name == "relu":
        return np.maximum(t, 0.0)
    if name == "abs":
        return np.abs(t)
    return np.where(t >= 0.0, 1.0, 0.0 if name == "threshold" else -1.0)


@dataclass(frozen=True, eq=False)
class NarrowNetwork(Network):
    """``f(x) = offset + sum_k w_L,k h_k(x)``, each ``h_k`` a chain of ``L - 1`` neurons.

    Chain k computes ``h <- act(w_l,k h + b_l,k)`` for l = 1, ..., L - 1, from ``h = x``. Steps
    (threshold, sign) have an amplitude besides, ``h <- s_k act(w_1,k x + b_1,k)``.

    Attributes
    ----------
    weights : array of shape (L, m)
        One chain a column; the last row is the output layer.
    biases : array of shape (L - 1, m)
    offset : float
    activation : {"relu", "abs", "threshold", "sign"}
    amplitude : array of shape (m,) or None
    classes : array of shape (2,) or None
        Labels that the outputs stand for, see `Network`; None for regression.

    Examples
    --------
    >>> net = NarrowNetwork(np.array([[1.0], [2.0]]), np.array([[-3.0]]), 1.0, "abs")
    >>> net.predict([0.0, 3.0]), net.knots
    (array([7., 1.]), array([3.]))
    """

    weights: Array
    biases: Array
    offset: float
    activation: str
    amplitude: Array | None = None
    classes: NDArray[Any] | None = None

    @property
    def layers(self) -> int:
        """Return L, the output layer included."""
        return len(self.weights)

    def decision_function(self, X: ArrayLike) -> Array:
        """Return the network's output at each point.

        Parameters
        ----------
        X : array of shape (n,) or (n, 1)

        Returns
        -------
        array of shape (n,)

        Raises
        ------
        ProblemError
            If `X` is not finite or has more than one column.
        """
        h = points_of(X)[:, None]
        for w, b in zip(self.weights[:-1], self.biases, strict=True):
            h = activate(self.activation, h * w + b)
        if self.amplitude is not None:
            h = h * self.amplitude
        output: Array = h @ self.weights[-1] + self.offset
        return output

    @property
    def knots(self) -> Array:
        """Return, in order, where a neuron of the network switches: its breakpoints or jumps."""
        found = np.sort(np.concatenate([np.zeros(0), *map(self._switches, range(len(self)))]))
        apart = np.diff(found, prepend=-np.inf) > SAME_KNOT * np.maximum(1.0, np.abs(found))
        knots: Array = found[apart]
        return knots

    def _switches(self, k: int) -> Array:
        """Return the zeros of what the neurons of chain k are given."""
        breaks = np.zeros(0)
        for depth in range(self.layers - 1):
            inner = breaks if len(breaks) else np.zeros(1)
            grid = np.concatenate([[inner[0] - 1.0], inner, [inner[-1] + 1.0]])
            h = grid
            for w, b in zip(self.weights[:depth, k], self.biases[:depth, k], strict=True):
                h = activate(self.activation, h * w + b)
            g = h * self.weights[depth, k] + self.biases[depth, k]
            slope = np.diff(g) / np.diff(grid)
            sloped = np.flatnonzero(slope)
            zero = grid[sloped] - g[sloped] / slope[sloped]
            left = np.where(sloped == 0, -np.inf, grid[sloped])  # the ends go on for ever
            right = np.where(sloped == len(slope) - 1, np.inf, grid[sloped + 1])
            breaks = np.unique(np.concatenate([breaks, zero[(left <= zero) & (zero <= right)]]))
        return breaks

    def __len__(self) -> int:
        return int(self.weights.shape[1])

    def __repr__(self) -> str:
        return f"NarrowNetwork({self.layers} layers, {len(self)} {self.activation} chains)"


def points_of(x: ArrayLike) -> Array:
    """Return points on the line as an array of one axis.

    Raises
    ------
    ProblemError
        If they are not finite real numbers, or have more than one column.

    Examples
    --------
    >>> points_of([[1.0], [2.0]])
    array([1., 2.])
    """
    try:
        flat = np.ndim(x) != 2
    except ValueError:  # ragged
        flat = True
    if flat:
        return real_array("x", x, 1)
    column = real_array("x", x, 2)
    if column.shape[1] != 1:
        raise ProblemError(f"x must have one column, got shape {column.shape}")
    return real_array("x", column[:, 0], 1)

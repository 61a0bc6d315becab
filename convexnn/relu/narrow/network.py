"""Deep and narrow networks of one input: chains of single neurons, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convexnn.contract.checks import ProblemError, choice, real, real_array
from convexnn.contract.features import Names, examples
from convexnn.contract.fields import (
    Converted,
    declaration,
    default,
    fits,
    keep_arrays,
    keep_labels,
    keep_names,
    labelled,
)
from convexnn.relu.drawing import on_line
from convexnn.relu.network import Network

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array, LabelArray

ACTIVATIONS = ("relu", "abs", "threshold", "sign")
STEPS = ("threshold", "sign")  # those that see only the sign of what they are given
SAME_KNOT = 1e-9  # distance, as a share of that of the outer ones, below which two knots are one
ROUNDING = 1e-14  # the same as a share of their size


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


@declaration
class NarrowNetwork(Network):
    """``f(x) = offset + sum_k w_L,k h_k(x)``, each ``h_k`` a chain of ``L - 1`` neurons.

    Chain k computes ``h <- act(w_l,k h + b_l,k)`` for l = 1, ..., L - 1, from ``h = x - origin``.
    Steps (threshold, sign) have an amplitude besides, ``h <- s_k act(w_1,k (x - origin) + b_1,k)``.

    Attributes
    ----------
    weights : array of shape (L, m)
        One chain a column; the last row is the output layer.
    biases : array of shape (L - 1, m)
    offset : float
    activation : {"relu", "abs", "threshold", "sign"}
    amplitude : array of shape (m,) or None
    classes : array of shape (2,) or None
        Labels that the outputs stand for, see `Predictor`; None for regression.
    origin : float, default 0.0
        Where inputs are counted from, which is part of the first biases but for rounding: not 0
        only where all points are so far from 0 that these biases would round what sets them apart.
    feature_names : tuple of one str, or None
        Name of the input; a frame must have one column of this name.

    Raises
    ------
    ProblemError
        If shapes do not fit or entries are not finite.

    Examples
    --------
    >>> net = NarrowNetwork(np.array([[1.0], [2.0]]), np.array([[-3.0]]), 1.0, "abs")
    >>> net.predict([0.0, 3.0]), net.knots
    (array([7., 1.]), array([3.]))
    """

    weights: Converted[ArrayLike, Array]
    biases: Converted[ArrayLike, Array]
    offset: float
    activation: str
    amplitude: Converted[ArrayLike | None, Array | None] = default(None)
    classes: Converted[ArrayLike | None, LabelArray | None] = default(None)
    origin: float = 0.0
    feature_names: Converted[Iterable[str] | None, Names] = default(None)

    def __post_init__(self) -> None:
        keep_arrays(self, weights=2, biases=2, amplitude=1)
        for name in ("offset", "origin"):
            object.__setattr__(self, name, real(name, getattr(self, name)))
        choice("activation", self.activation, ACTIVATIONS)
        keep_labels(self, "classes")
        layers, m = self.weights.shape
        if layers < 2:
            raise ProblemError(f"weights must have two rows or more, got {layers}")
        kind = type(self).__name__
        fits(
            kind,
            {
                "biases": (self.biases, (layers - 1, m)),
                "amplitude": (self.amplitude, (m,)),
                "offset": (self.offset, ()),
                "origin": (self.origin, ()),
            },
        )
        labelled(kind, self.classes, 1)
        keep_names(self, 1)

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
            If `X` is not finite or has more than one column, or a frame's is not that of
            `feature_names`.
        """
        h = (points_of("X", X, self.feature_names) - self.origin)[:, None]
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
        near = SAME_KNOT * np.ptp(found) if len(found) else 0.0
        apart = np.diff(found, prepend=-np.inf) > near + ROUNDING * np.abs(found)
        knots: Array = found[apart] + self.origin
        return knots

    def plot(
        self, X: ArrayLike | None = None, y: ArrayLike | None = None, ax: Axes | None = None
    ) -> Axes:
        """Draw the output and its knots (extra: plot).

        Parameters
        ----------
        X : array of shape (n,) or (n, 1), optional
            Points, which set the range; without them it is that of the knots.
        y : array of shape (n,), optional
            Their targets or labels.
        ax : matplotlib axes, optional

        Returns
        -------
        matplotlib axes

        Raises
        ------
        ImportError
            Without matplotlib, naming the extra.
        ProblemError
            If X or y do not fit the network.

        Examples
        --------
        >>> net = NarrowNetwork([[1.0], [2.0]], [[-3.0]], 1.0, "abs")
        >>> [line.get_label() for line in net.plot().lines]
        ['network', '1 knots']
        """
        given = None if X is None else points_of("X", X, self.feature_names)
        return on_line(self, self.knots, given, y, ax)

    def _switches(self, k: int) -> Array:
        """Return the zeros of what the neurons of chain k are given, from the origin."""
        w, b = self.weights[0, k], self.biases[0, k]
        if w == 0.0:
            return np.zeros(0)
        at, g = np.array([-b / w]), np.zeros(1)  # so far, and what the last neuron is given there
        first = last = w  # slopes of that before and after them
        if self.activation in STEPS:
            return at
        for w, b in zip(self.weights[1:-1, k], self.biases[1:, k], strict=True):
            g = w * activate(self.activation, g) + b
            first = -w * activate(self.activation, -first)
            last = w * activate(self.activation, last)
            i = np.flatnonzero(np.sign(g[:-1]) * np.sign(g[1:]) < 0.0)
            inside = at[i] + (at[i + 1] - at[i]) * (g[i] / (g[i] - g[i + 1]))
            before = [at[0] - g[0] / first] if np.sign(g[0]) * first > 0.0 else []
            after = [at[-1] - g[-1] / last] if np.sign(g[-1]) * last < 0.0 else []
            at = np.concatenate([before, at, after, inside])
            g = np.concatenate([[0.0] * len(before), g, [0.0] * (len(after) + len(inside))])
            order = np.argsort(at, kind="stable")
            at, g = at[order], g[order]
        return at

    def __len__(self) -> int:
        return int(self.weights.shape[1])

    def __repr__(self) -> str:
        return f"NarrowNetwork({self.layers} layers, {len(self)} {self.activation} chains)"


def points_of(name: str, x: ArrayLike, names: Names = None) -> Array:
    """Return points on the line as an array of one axis; a frame's column has its name.

    Raises
    ------
    ProblemError
        If they are not finite real numbers, or have more than one column or another name.

    Examples
    --------
    >>> points_of("x", [[1.0], [2.0]])
    array([1., 2.])
    """
    try:
        flat = np.ndim(x) != 2
    except ValueError:  # ragged
        flat = True
    if flat:
        return real_array(name, x, 1)
    column = examples(x, names, 1, name)
    return real_array(name, column[:, 0], 1)

"""A classifier's labels two at a time: what one output, or the difference of two, is to decide."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from convexnn.contract.checks import ProblemError, aligned, shown
from convexnn.contract.labels import raw_labels
from convexnn.robust.rectified import Rectified, columns, correct, rectified, two_layers

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array, BoolArray, IndexArray
    from convexnn.relu.network import TwoLayerNetwork


@dataclass(frozen=True, eq=False)
class Contest:
    """Two labels, of which the output's sign is to tell the true one; 0 is the first.

    Attributes
    ----------
    network : TwoLayerNetwork
    first, second : int
        Numbers of the labels.
    rows : int array of shape (r,)
        Examples of either label.
    side : array of shape (r,)
        -1 for those of the first label, 1 for those of the second.
    """

    network: TwoLayerNetwork
    first: int
    second: int
    rows: IndexArray
    side: Array

    @cached_property
    def form(self) -> Rectified:
        """The output."""
        if self.network.alpha.shape[1] == 1:
            return rectified(self.network)
        return rectified(self.network, self.second, self.first)

    def outputs(self, points: Array) -> Array:
        """Return the output at points, as the network computes it."""
        found = self.network.decision_function(points)
        if found.ndim == 1:
            return found
        result: Array = found[:, self.second] - found[:, self.first]
        return result


@dataclass(frozen=True, eq=False)
class Labelled:
    """Checked examples of a classifier.

    Attributes
    ----------
    network : TwoLayerNetwork
    X : array of shape (n, d)
    codes : int array of shape (n,)
        Which of the network's classes each label is.
    """

    network: TwoLayerNetwork
    X: Array
    codes: IndexArray

    @cached_property
    def contests(self) -> tuple[Contest, ...]:
        """The label of each example against every other."""
        count = max(self.network.alpha.shape[1], 2)
        found = []
        for second in range(count):
            for first in range(second):
                rows = np.flatnonzero((self.codes == first) | (self.codes == second))
                side = np.where(self.codes[rows] == second, 1.0, -1.0)
                if len(rows) or count == 2:
                    found.append(Contest(self.network, first, second, rows, side))
        return tuple(found)

    def judge(self, points: Array, rows: IndexArray | None = None) -> tuple[Array, BoolArray]:
        """Return the true label's lead at a point of each example, and whether `predict` gives it.

        `rows` are the examples meant, all by default.
        """
        found = self.network.decision_function(points)
        codes = self.codes if rows is None else self.codes[rows]
        if found.ndim == 1:
            side = np.where(codes == 1, 1.0, -1.0)
            return side * found, correct(side * found, side)
        here = np.arange(len(found))
        own, right = found[here, codes], np.argmax(found, axis=1) == codes
        others = found.copy()
        others[here, codes] = -np.inf
        return own - others.max(axis=1), right


def labelled(network: TwoLayerNetwork, X: ArrayLike, y: ArrayLike) -> Labelled:
    """Check examples and their labels against a network's classes.

    Raises
    ------
    ProblemError
        If the network is no classifier, `X` has other columns, or a label is none of its classes.
    """
    two_layers(network)
    if network.classes is None:
        raise ProblemError("network must be a classifier: give it classes, the labels of its signs")
    aligned("X", X, y=y)
    X = columns(network, X)
    raw, classes = raw_labels("y", y), network.classes
    if raw.shape != (len(X),):
        raise ProblemError(f"y must have one entry per row of X ({len(X)}), got shape {raw.shape}")
    comparable = raw.dtype.kind in "fiubUS" and (raw.dtype.kind in "US") == (
        classes.dtype.kind in "US"
    )
    known = np.isin(raw, classes) if comparable else np.zeros(len(X), dtype=np.bool_)
    if not known.all():
        raise ProblemError(
            f"y must hold the network's classes {classes.tolist()}, "
            f"got {shown(raw[~known].tolist()[0])}"
        )
    return Labelled(network, X, np.argmax(raw[:, None] == classes, axis=1))

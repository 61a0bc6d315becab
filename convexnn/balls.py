"""What an adversary in a ball of distributions answers with: the points of a worst-case problem."""

from __future__ import annotations

from typing import NamedTuple

from convexnn.arrays import Array


class Adversary(NamedTuple):
    """Primal point of a worst-case problem: the price of the ball, and a distribution within it.

    Attributes
    ----------
    multiplier : array of shape (m,)
        Dual variables of the ball; at any of them weak duality bounds the supremum from above.
    choice : array
        What the adversary does, as in `Choice`: the model is built from it.
    """

    multiplier: Array
    choice: Array


class Choice(NamedTuple):
    """Dual point of a worst-case problem: a distribution, which bounds the supremum from below.

    Attributes
    ----------
    choice : array of shape (N, K) or (n,)
        Share of each sample's mass that moves to each of K places, or a weight of each sample.
    """

    choice: Array

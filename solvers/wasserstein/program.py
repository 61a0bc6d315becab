"""What the interior point solves: samples with piecewise losses, under inequalities and cones.

    min_w  cost'w + sum_i share_i phi_i(u1_i, u2_i)
    s.t.   G w <= h,  M_k w + m_k in second-order cones

`interior` says which ``phi`` there are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from convexnn.contract.arrays import Array


class Samples(NamedTuple):
    """How the losses see the variables.

    Attributes
    ----------
    Z : array of shape (n, k)
        ``z = Z w[:k]``.
    lam : int
        Index of the variable beside the prediction, -1 if there is none.
    a1, c1, a2, c2 : arrays of shape (n,)
        ``u = a z + b lam + c``.
    b1, b2 : float
    smooth, pair : bool
        Whether ``phi`` is smooth in ``u1``; whether there is a ``u2``.
    cap, quad : float
    weights : array of shape (n,) or None
        n times the share of each sample, of mean 1; None where all have the same.
    """

    Z: Array
    lam: int
    a1: Array
    b1: float
    c1: Array
    a2: Array
    b2: float
    c2: Array
    smooth: bool
    pair: bool
    cap: float
    quad: float
    weights: Array | None = None


def nothing(k: int) -> Samples:
    """Return no samples at all, of k variables."""
    none = np.zeros(0)
    return Samples(
        np.zeros((0, k)), -1, none, 0.0, none, none, 0.0, none, False, False, np.inf, 1.0
    )


class Entries(NamedTuple):
    """The first variables b, which the first rows of G bound one by one.

    Rows 2 j and 2 j + 1 are ``b_j <= e_j`` and ``-b_j <= e_j``.

    Attributes
    ----------
    many : int
        How many they are.
    within : int
        The variable that is every ``e_j``, or that bounds their sum.
    sizes : bool
        Whether each has an ``e_j`` of its own: the last variables, whose sum the next row bounds.
    """

    many: int
    within: int
    sizes: bool


class Program(NamedTuple):
    """The whole program.

    Attributes
    ----------
    samples : Samples
    cost : array of shape (D,)
    G : array or sparse array of shape (m, D)
    h : array of shape (m,)
    cones : tuple of (matrix (k, D), offset (k,))
        First the head, then the tail.
    start : array of shape (D,)
        Strictly inside ``G w <= h`` and the cones; on the equality.
    equal : array of shape (D,) or None
        ``equal'w`` keeps the value that it has at the start.
    warm : tuple of arrays (p, q), or None
        The samples' multipliers near an optimum of a nearby program, if the start is one, too.
    entries : Entries or None
        Variables that meet one another in the samples and the cones alone, None if none are known.
    """

    samples: Samples
    cost: Array
    G: Any
    h: Array
    cones: tuple[tuple[Array, Array], ...]
    start: Array
    equal: Array | None = None
    warm: tuple[Array, Array] | None = None
    entries: Entries | None = None

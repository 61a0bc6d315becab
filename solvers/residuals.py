"""Residuals of a step of a splitting method, each relative to the size of what it belongs to."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np

from convexnn.contract.arrays import Array


class Move(NamedTuple):
    """Relative residuals of one step: primal and dual, of the blocks' copy and of the outputs'."""

    primal_u: float = 0.0
    dual_u: float = 0.0
    primal_z: float = 0.0
    dual_z: float = 0.0


def size(*parts: Array) -> float:
    """Return the Euclidean length of arrays together.

    Examples
    --------
    >>> size(np.array([3.0]), np.array([[4.0]]))
    5.0
    """
    return sqrt(sum(float(np.vdot(part, part)) for part in parts))


def ratio(part: float, whole: float) -> float:
    """Return the quotient, 0 if the whole is 0."""
    return part / whole if whole > 0.0 else 0.0

"""The moves of a worst distribution: which samples go, how far, and which labels flip."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convexnn.contract.arrays import Array, BoolArray
    from convexnn.functions.losses import LipschitzLoss

SHORT = 1e-10  # of the value: what a distribution may lack where no distribution attains it


class Moves(NamedTuple):
    """What the adversary does, one entry an atom, in the coordinates of the form.

    Attributes
    ----------
    source : int array of shape (k,)
    mass : array of shape (k,)
    distance : array of shape (k,)
        Signed: positive raises the prediction.
    flipped : array of bool, shape (k,)
    attained : bool
        If not, the moves lack a share `SHORT` of the supremum: all of the budget that is left
        carries a tiny mass very far.
    """

    source: NDArray[np.intp]
    mass: Array
    distance: Array
    flipped: BoolArray
    attained: bool


def whole(distance: Array, weights: Array | None = None) -> Moves:
    """Return moves of each sample's whole mass, ``weights / n`` or ``1 / n``.

    Examples
    --------
    >>> whole(np.array([0.0, 2.0])).mass
    array([0.5, 0.5])
    """
    n = len(distance)
    mass = np.full(n, 1.0 / n) if weights is None else weights / n
    return Moves(np.arange(n), mass, distance, np.zeros(n, dtype=np.bool_), True)


def split(share: Array, distance: Array, flipped: BoolArray, weights: Array | None = None) -> Moves:
    """Return atoms of which a share of each sample's mass is moved, the rest stays.

    Examples
    --------
    >>> split(np.array([0.0, 0.5]), np.array([1.0, 1.0]), np.zeros(2, dtype=bool)).mass
    array([0.5 , 0.25, 0.25])
    """
    n = len(share)
    stays, goes = np.flatnonzero(share < 1.0), np.flatnonzero(share > 0.0)
    source = np.concatenate([stays, goes])
    part = np.concatenate([1.0 - share[stays], share[goes]])
    return Moves(
        source,
        part / n if weights is None else part * weights[source] / n,
        np.concatenate([np.zeros(len(stays)), distance[goes]]),
        np.concatenate([np.zeros(len(stays), dtype=np.bool_), flipped[goes]]),
        True,
    )


def carried(
    loss: LipschitzLoss, z: Array, y: Array, moves: Moves, left: float, rise: float
) -> Moves:
    """Spend what is left of a budget of order 1 on distance, where the loss is steepest.

    Parameters
    ----------
    loss : LipschitzLoss
    z, y : arrays of shape (n,)
        Predictions and targets.
    moves : Moves
        Without distances.
    left : float
        A mean over the samples, > 0.
    rise : float
        What the budget adds to the loss, about.

    Returns
    -------
    Moves
    """
    at, label = z[moves.source], y[moves.source]
    label = np.where(moves.flipped, -label, label)
    side, short = loss.recession(at, label)
    on = short == 0.0
    if on.any():
        distance = np.where(on, side * left / float(moves.mass[on].sum()), 0.0)
        return moves._replace(distance=distance)
    # No atom lies where the loss is steepest: a vanishing mass has to go there from afar.
    k = int(np.argmin(short))
    value = rise + float(loss.value(at, label) @ moves.mass)
    theta = min(0.5 * float(moves.mass[k]), SHORT * max(value, 1e-3) / max(float(short[k]), 1e-300))
    mass = np.append(moves.mass, theta)
    mass[k] -= theta
    return Moves(
        np.append(moves.source, moves.source[k]),
        mass,
        np.append(moves.distance, side[k] * left / theta),
        np.append(moves.flipped, moves.flipped[k]),
        False,
    )

"""The table of the balls of distributions: which row takes a loss, an order and flips.

A further row is a class beside those named here, and its name in `ROWS`; an engine with a layout of
its own lists it there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from convexnn.wasserstein.order_inf import ShiftedMargins, StretchedResiduals
from convexnn.wasserstein.order_one import Empirical, HingeFlips, LogisticFlips, Regularised
from convexnn.wasserstein.order_two import LiftedHinge, RootSquares

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array
    from convexnn.functions.losses import ScalarLoss
    from convexnn.wasserstein.distribution_ball import DistributionBall

ROWS: tuple[type[DistributionBall], ...] = (
    *(Regularised, LogisticFlips, HingeFlips),
    *(RootSquares, LiftedHinge),
    *(ShiftedMargins, StretchedResiduals),
)


def orders(loss: ScalarLoss, flips: bool = False) -> tuple[float, ...]:
    """Return the orders of the balls that take a loss, with flips of its labels or without.

    Examples
    --------
    >>> from convexnn.functions.losses import Hinge
    >>> orders(Hinge()), orders(Hinge(), flips=True)
    ((1.0, 2.0, inf), (1.0,))
    """
    return tuple(row.order for row in ROWS if type(loss) in row.takes and row.flips == flips)


def ball(
    loss: ScalarLoss,
    order: float,
    radius: float,
    flip: float = np.inf,
    floor: float = 0.0,
    weights: Array | None = None,
) -> DistributionBall:
    """Return the ball for a loss of an order.

    Parameters
    ----------
    loss : ScalarLoss
    order : float
        One of `orders`.
    radius : float
        0 is plain risk minimisation.
    flip : float, default inf
        Cost of a flipped label; ``inf`` forbids flips.
    floor : float, default 0.0
        Inverse cost of a unit of the target; 0 keeps targets as they are.
    weights : array of shape (n,), optional
        n times the mass of each sample, of mean 1; all the same if not given.

    Returns
    -------
    DistributionBall

    Examples
    --------
    >>> from convexnn.functions.losses import Hinge
    >>> type(ball(Hinge(), 2.0, radius=0.1)).__name__
    'LiftedHinge'
    """
    flips = bool(np.isfinite(flip))
    for row in ROWS:
        if type(loss) in row.takes and row.order == order and row.flips == flips:
            made = replace(row.of(loss, radius, flip, floor), weights=weights)
            if radius > 0.0:
                return made
            return Empirical(loss=loss, radius=0.0, limit=made, weights=weights)
    raise ValueError(f"no ball of order {order:g} takes {loss!r}{' with flips' if flips else ''}")

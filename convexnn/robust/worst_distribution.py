"""The worst distribution for a network in a Wasserstein ball of order 1, from both sides.

From above, a loss of slope L in the output and a network of Lipschitz constant K in the ground norm
lose at most ``mean loss + radius L K`` in expectation over the ball. From below, any distribution
in the ball will do. The one here moves examples along few directions by few distances, each
example's best gains made concave, and spends the budget on the steepest of them (a fractional
knapsack), so that one example's mass is split at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convexnn.contract.arrays import Array, IndexArray
from convexnn.contract.brief import brief
from convexnn.functions.norms import DUAL, NORMS
from convexnn.robust.lipschitz import lipschitz
from convexnn.wasserstein.worst_case import Atoms

if TYPE_CHECKING:
    from convexnn.functions.losses import LipschitzLoss
    from convexnn.relu.network import TwoLayerNetwork

DIRECTIONS = 8  # tried of those in which the output rises, and falls, most far away
CLIMBS = 10  # steps by which each is improved
DISTANCES = 2.0 ** np.arange(-3, 21)  # times that which spends the budget on one example's mass
ROUNDING = 1e-12  # of the budget that is left, and of the bound that is added


@brief
@dataclass(frozen=True, eq=False)
class NetworkWorstCase:
    """The expected loss of a network over a Wasserstein ball, from both sides.

    Attributes
    ----------
    lower : float
        Expected loss under `atoms`, a distribution in the ball.
    upper : float
        No distribution in the ball has a larger expected loss: ``nominal + radius L lipschitz``.
    nominal : float
        Mean loss of the examples, by their weights if they have some.
    lipschitz : float
        The smaller of ``sum_j |alpha_j| ||u_j||_*`` and `convexnn.lipschitz` everywhere, in the
        norm of the ball.
    atoms : Atoms
    """

    lower: float
    upper: float
    nominal: float
    lipschitz: float
    atoms: Atoms


class Ball(NamedTuple):
    """Examples, what is known of them, their masses, and how far these may be moved in all."""

    X: Array
    y: Array
    masses: Array
    radius: float
    norm: str


def worst_distribution(
    network: TwoLayerNetwork, loss: LipschitzLoss, ball: Ball
) -> NetworkWorstCase:
    """Return the worst case of a network of one output over a ball, from both sides.

    Examples
    --------
    >>> import convexnn as cx
    >>> from convexnn.functions.losses import Absolute
    >>> net = cx.TwoLayerNetwork(np.eye(1), np.ones((1, 1)), np.zeros(1))
    >>> ball = Ball(np.ones((1, 1)), np.ones(1), np.ones(1), 0.5, "l2")
    >>> worst = worst_distribution(net, Absolute(), ball)
    >>> round(worst.lower, 6), round(worst.upper, 6)
    (0.5, 0.5)
    """
    constant = lipschitz_everywhere(network, ball.norm)
    losses = loss.value(network.decision_function(ball.X), ball.y)
    nominal = float(ball.masses @ losses)
    upper = nominal + ball.radius * loss.slope * constant
    atoms = _moved(network, loss, ball, losses)
    target = ball.y[atoms.source]
    lower = float(atoms.mass @ loss.value(network.decision_function(atoms.location), target))
    return NetworkWorstCase(
        lower, upper + ROUNDING * (abs(upper) + abs(nominal)), nominal, constant, atoms
    )


def lipschitz_everywhere(network: TwoLayerNetwork, norm: str) -> float:
    """Return a bound on how fast the output changes anywhere, in the norm of the inputs.

    Examples
    --------
    >>> import convexnn as cx
    >>> net = cx.TwoLayerNetwork(np.array([[1.0, -1.0]]), np.ones((2, 1)), np.zeros(2))
    >>> round(lipschitz_everywhere(net, "l2"), 6)
    1.0
    """
    if len(network) == 0:
        return 0.0
    size = DUAL[norm].value(np.ascontiguousarray(network.U.T))
    product = float(size @ np.abs(network.alpha[:, 0])) * (1.0 + ROUNDING)
    alive = size > 0.0
    reach = np.abs(network.bias[alive]) / size[alive]  # beyond it a point turns each neuron
    radius = 2.0 * float(np.max(reach, initial=0.0)) + 1.0
    zero = np.zeros((1, len(network.U)))
    return min(product, float(lipschitz(network, zero, radius=radius, norm=norm)[0]))


@np.errstate(over="ignore", invalid="ignore")  # of an example of almost no mass
def _moved(network: TwoLayerNetwork, loss: LipschitzLoss, ball: Ball, losses: Array) -> Atoms:
    """Return the distribution that is found in the ball."""
    own = slopes_at(network, ball.X)
    steepest = DUAL[ball.norm].steepest
    ways = [np.array([steepest(sign * g) for g in own]) for sign in (1.0, -1.0)]
    ways += [np.broadcast_to(e, ball.X.shape) for e in _far(network, ball.norm)]
    unit = ball.radius / ball.masses
    gains = np.full((len(DISTANCES) + 1, len(losses)), -np.inf)
    gains[0], chosen = 0.0, np.zeros(gains.shape, np.intp)
    for k, way in enumerate(ways):
        for t, factor in enumerate(DISTANCES, 1):
            there = network.decision_function(ball.X + (factor * unit)[:, None] * way)
            gain = loss.value(there, ball.y) - losses
            better = gain > gains[t]
            gains[t, better], chosen[t, better] = gain[better], k
    return _spent(ball, np.stack(ways), unit, gains, chosen)


def _spent(ball: Ball, ways: Array, unit: Array, gains: Array, chosen: IndexArray) -> Atoms:
    """Spend the budget on the steepest gains."""
    n = len(unit)
    distance = np.concatenate([[0.0], DISTANCES])
    pieces = []
    for i in range(n):
        corners = _hull(distance, gains[:, i])
        for a, b in pairwise(corners):
            steep = (gains[b, i] - gains[a, i]) / ((distance[b] - distance[a]) * unit[i])
            if steep > 0.0:
                pieces.append((-steep, i, a, b))
    at = np.zeros(n, np.intp)
    left, split = ball.radius * (1.0 - ROUNDING), (0, 0, 0.0)
    for _, i, a, b in sorted(pieces):
        cost = (distance[b] - distance[a]) * unit[i] * ball.masses[i]
        if cost > left:
            split = (i, b, left / cost)
            break
        at[i], left = b, left - cost
    source = np.arange(n)
    mass, to = ball.masses.copy(), at
    i, b, share = split
    if share > 0.0:
        mass[i] *= 1.0 - share
        source, to = np.append(source, i), np.append(at, b)
        mass = np.append(mass, ball.masses[i] * share)
    far = distance[to] * unit[source]
    location = ball.X[source] + far[:, None] * ways[chosen[to, source], source]
    cost = NORMS[ball.norm].value(location - ball.X[source])
    return Atoms(source, location, mass, cost)


def _hull(x: Array, y: Array) -> list[int]:
    """Return the corners of the least concave function above points of growing x."""
    corners: list[int] = []
    for k in range(len(x)):
        while len(corners) > 1:
            a, b = corners[-2:]
            if (y[b] - y[a]) * (x[k] - x[a]) > (y[k] - y[a]) * (x[b] - x[a]):
                break
            corners.pop()
        corners.append(k)
    return corners


def slopes_at(network: TwoLayerNetwork, X: Array) -> Array:
    """Return the gradient of the output at each row, on the side of active neurons."""
    active = (X @ network.U + network.bias > 0.0) * network.alpha[:, 0]
    found: Array = active @ network.U.T
    return found


def _far(network: TwoLayerNetwork, norm: str) -> list[Array]:
    """Return directions in which the output rises, or falls, most in the end."""
    steepest, found = DUAL[norm].steepest, []
    U, a = network.U, network.alpha[:, 0]
    for sign in (1.0, -1.0):
        tried = []
        for u in U.T[np.argsort(-np.abs(a) * np.linalg.norm(U, axis=0))[: 4 * DIRECTIONS]]:
            for e in (steepest(u), -steepest(u)):
                best = (sign * float(np.maximum(e @ U, 0.0) @ a), e)
                for _ in range(CLIMBS):
                    e = steepest(sign * (U @ ((e @ U > 0.0) * a)))
                    rise = sign * float(np.maximum(e @ U, 0.0) @ a)
                    if rise <= best[0]:
                        break
                    best = (rise, e)
                tried.append(best)
        tried.sort(key=lambda pair: -pair[0])
        found += [e for _, e in tried[:DIRECTIONS]]
    return found

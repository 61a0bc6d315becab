"""The worst distribution for a linear model: which samples move, how far, and which flip."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convexnn.functions.losses import Huber, Quantile
from convexnn.wasserstein.forms import slopes_at, total

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convexnn.contract.arrays import Array, BoolArray
    from convexnn.functions.norms import Norm
    from convexnn.wasserstein.forms import Linear, WassersteinForm

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
    """

    source: NDArray[np.intp]
    mass: Array
    distance: Array
    flipped: BoolArray
    attained: bool


def steepest(norm: Norm, b: Array) -> Array:
    """Return the v of ground norm 1 with ``b'v = ||b||_*``; zeros for ``b = 0``.

    Examples
    --------
    >>> from convexnn.functions.norms import Linf
    >>> steepest(Linf(), np.array([1.0, -3.0]))
    array([ 0., -1.])
    """
    if not b.any():
        return np.zeros_like(b)
    if norm.name == "l2":
        scaled = b / np.max(np.abs(b))
        unit: Array = scaled / np.linalg.norm(scaled)
        return unit
    if norm.name == "l1":
        return np.sign(b)
    v = np.zeros_like(b)
    j = int(np.argmax(np.abs(b)))
    v[j] = np.sign(b[j])
    return v


def worst_moves(form: WassersteinForm, point: Linear) -> Moves:
    """Return a worst-case distribution of a model.

    Where the supremum is not attained the moves lack a share `SHORT` of it: all of the budget
    that is left carries a tiny mass very far.
    """
    n, z = len(form.y), form.predict(point)
    t = form.length(point)
    reach = t if form.loss.classification else max(t, form.floor)
    still = np.zeros(n, dtype=np.bool_)
    if form.radius == 0.0 or (reach == 0.0 and not form.flips):
        return _all(n, np.zeros(n), still)
    if np.isinf(form.order):
        return _all(n, _outward(form, z) * form.radius, still)
    if form.order == 2.0:
        if form.loss.classification:
            return _lifted(form, z, t)
        r = np.abs(z - form.y)
        spread = float(np.sqrt(np.mean(r**2)))
        size = r / spread if spread > 0.0 else np.ones(n)
        return _all(n, _outward(form, z) * size * form.radius, still)
    moves, left = _flips(form, z, t) if form.flips else (_all(n, np.zeros(n), still), form.radius)
    return _carried(form, z, reach, moves, left)


def _all(n: int, distance: Array, flipped: BoolArray) -> Moves:
    return Moves(np.arange(n), np.full(n, 1.0 / n), distance, flipped, True)


def _outward(form: WassersteinForm, z: Array) -> Array:
    """Return the direction in which each prediction is driven."""
    return -form.y if form.loss.classification else np.where(z >= form.y, 1.0, -1.0)


def _lifted(form: WassersteinForm, z: Array, t: float) -> Moves:
    """Order 2, hinge: every active sample moves alike, samples at the kink in part."""
    n, v = len(z), form.lift(z, t)
    level = 1.0 - form.y * z + v
    tied = np.abs(level) <= 1e-12 * (1.0 + v)
    active = (level > 0.0) & ~tied
    moved = active.astype(np.float64)
    if v > 0.0 and tied.any():
        wanted = n * (0.5 * t * form.radius / v) ** 2 - active.sum()
        moved[tied] = np.clip(wanted / tied.sum(), 0.0, 1.0)
    step = -form.y * (2.0 * v / t)
    return _split(n, moved, step, np.zeros(n, dtype=np.bool_), attained=True)


def _flips(form: WassersteinForm, z: Array, t: float) -> tuple[Moves, float]:
    """Order 1: flip where that pays, the last sample in part; return what is left of the budget."""
    n, gains = len(z), form.gains(z)
    order = np.argsort(-gains, kind="stable")
    worth = int(np.sum(gains[order] > form.flip * t))
    budget = n * form.radius / form.flip
    share = np.zeros(n)
    whole = min(worth, int(np.floor(budget)))
    share[order[:whole]] = 1.0
    if whole < worth:
        share[order[whole]] = budget - whole
    moves = _split(n, share, np.zeros(n), np.ones(n, dtype=np.bool_), attained=True)
    left = form.radius - form.flip * float(share.sum()) / n if whole == worth else 0.0
    return moves, max(left, 0.0)


def _split(n: int, share: Array, distance: Array, flipped: BoolArray, attained: bool) -> Moves:
    """Return atoms of which a share of each sample's mass is moved, the rest stays."""
    stays, goes = np.flatnonzero(share < 1.0), np.flatnonzero(share > 0.0)
    return Moves(
        np.concatenate([stays, goes]),
        np.concatenate([1.0 - share[stays], share[goes]]) / n,
        np.concatenate([np.zeros(len(stays)), distance[goes]]),
        np.concatenate([np.zeros(len(stays), dtype=np.bool_), flipped[goes]]),
        attained,
    )


def _carried(form: WassersteinForm, z: Array, reach: float, moves: Moves, left: float) -> Moves:
    """Order 1: spend what is left of the budget on distance, where the loss is steepest."""
    if left <= 0.0 or reach == 0.0:
        return moves
    at, y = z[moves.source], form.y[moves.source]
    side = _steep_side(form, at, np.where(moves.flipped, -y, y))
    on = side != 0.0
    if on.any():
        distance = np.where(on, side * left / float(moves.mass[on].sum()), 0.0)
        return moves._replace(distance=distance)
    # No atom lies where the loss is steepest: a vanishing mass has to go there from afar.
    label = np.where(moves.flipped, -y, y)
    far, short = _approach(form, at, label)
    k = int(np.argmin(short))
    value = form.radius * reach + float(form.loss.value(at, label) @ moves.mass)
    theta = min(0.5 * float(moves.mass[k]), SHORT * max(value, 1e-3) / max(float(short[k]), 1e-300))
    mass = np.append(moves.mass, theta)
    mass[k] -= theta
    return Moves(
        np.append(moves.source, moves.source[k]),
        mass,
        np.append(moves.distance, far[k] * left / theta),
        np.append(moves.flipped, moves.flipped[k]),
        False,
    )


def _steep_side(form: WassersteinForm, z: Array, y: Array) -> Array:
    """Return the direction in which the loss grows at its Lipschitz rate from z on, 0 if none."""
    loss = form.loss
    if loss.name == "hinge":
        return np.where(y * z <= 1.0, -y, 0.0)
    if loss.classification:
        return np.zeros_like(z)
    r = z - y
    if isinstance(loss, Quantile):
        below, above = (r <= 0.0) & (loss.tau >= 0.5), (r >= 0.0) & (loss.tau <= 0.5)
        return np.where(above, 1.0, np.where(below, -1.0, 0.0))
    if isinstance(loss, Huber):
        return np.where(np.abs(r) >= loss.delta, np.sign(r), 0.0)
    return np.where(r >= 0.0, 1.0, -1.0)


def _approach(form: WassersteinForm, z: Array, y: Array) -> tuple[Array, Array]:
    """Return the direction to go from each atom, and what a unit of mass lacks on arrival."""
    loss = form.loss
    if loss.classification:
        m = y * z
        return -y, (m - 1.0 if loss.name == "hinge" else np.logaddexp(0.0, m))
    r = z - y
    if isinstance(loss, Quantile):
        side = -1.0 if loss.tau > 0.5 else 1.0
        return np.full_like(z, side), np.abs(r)
    assert isinstance(loss, Huber)
    size = np.abs(r)
    return np.where(r >= 0.0, 1.0, -1.0), 0.5 * np.square(loss.delta - size)


def envelope(form: WassersteinForm, point: Linear) -> tuple[Array, Array]:
    """Return gradient and envelope weights of the worst case in each sample's prediction.

    For classification the gradient is in the margins ``y_i z_i``.
    """
    n, z = len(form.y), form.predict(point)
    slope = total(form, slopes_at(form, point))
    if form.squared and form.order == 2.0 and form.radius > 0.0:
        spread = float(np.sqrt(np.mean(np.square(z - form.y))))
        root = spread + form.radius * max(form.length(point), form.floor)
        slope = 2.0 * root * slope
    own = form.loss.gradient(z, form.y) * (2.0 if form.squared else 1.0)
    weights = np.ones(n)
    differs = slope != own
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = slope / own
    weights[differs] = np.where(own == 0.0, np.inf, ratio)[differs]
    gradient = (form.y * slope if form.loss.classification else slope) / n
    return gradient, weights


def rate(form: WassersteinForm, point: Linear, length: float) -> float:
    """Return how fast the worst case grows with ``radius ** order``, or with the radius.

    `length` is the model's; at radius 0, where the rate is that to the right, no norm of the form.
    """
    z, t = form.predict(point), length
    lam = max(t, form.floor)
    if form.loss.classification:
        if np.isinf(form.order):
            return t * float(np.mean(np.abs(slopes_at(form, point).own)))
        if form.radius > 0.0:
            return form.multiplier(z, t)
        if form.order == 2.0:
            beyond = float(np.min(form.y * z)) - 1.0
            return t**2 / (4.0 * beyond) if beyond > 0.0 else (np.inf if t > 0.0 else 0.0)
        return max(t, float(np.max(form.gains(z))) / form.flip)
    if not form.squared:
        return form.lipschitz * lam
    r = np.abs(z - form.y)
    if form.order == 2.0:
        spread = float(np.sqrt(np.mean(r**2)))
        if form.radius == 0.0:
            return np.inf if spread * lam > 0.0 else lam**2
        return (spread + form.radius * lam) * lam / form.radius
    return 2.0 * lam * float(np.mean(r + form.radius * lam))

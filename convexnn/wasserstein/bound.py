"""Lower bounds on the worst case over a Wasserstein ball, from any slopes.

With ``g_i`` the slope of sample i's worst case in its prediction, ``u = mean_i g_i x_i`` and a
ground norm whose dual measures b, weak duality gives

    min_{b, c} risk >= mean_i -l*(own_i; y_i) + [hinge] mean_i other_i + (T - ||u||) floor

for slopes with ``sum_i g_i = 0`` (an intercept) and ``||u|| <= T``, where ``T`` is

    order 1      eps - kappa mean_i other_i, or eps Lip
    order 2      eps sqrt(mean_i |own_i|) for the hinge; eps for the root of squared residuals
    order inf    eps mean_i |own_i|, or eps mean_i other_i for squared residuals.

Any slopes are made feasible, so a poor guess gives a loose bound, never a wrong one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from convexnn.functions.losses import Hinge
from convexnn.wasserstein.forms import ROUNDING, Slopes, fitted, total

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array
    from convexnn.wasserstein.forms import Linear, WassersteinForm

NEAR = 1e-3  # excess over T, relative to the slopes, from which a correction is worth its cost
WORTHWHILE = 0.5  # share of the gap that shrinking must have made for a correction to be tried
CORRECTIONS = 4
SUMS = 64.0  # times the rounding of a term that a sum of many may be off by


def lower_bound(form: WassersteinForm, slopes: Slopes, point: Linear, risk: float) -> float:
    """Return a lower bound on the risk of every linear model.

    Parameters
    ----------
    form : WassersteinForm
    slopes : Slopes
        A guess; at an optimum the slopes of its worst case.
    point : Linear
        The model at hand; its length scales the allowance for rounding where the radius is 0.
    risk : float
        Of the model at hand: of order 1 no optimum has a multiplier above ``risk / eps``.

    Returns
    -------
    float

    Examples
    --------
    >>> from convexnn.functions.losses import Hinge
    >>> from convexnn.functions.norms import L2
    >>> from convexnn.wasserstein.forms import Linear, WassersteinForm, slopes_at
    >>> X, y = np.array([[1.0], [-1.0]]), np.array([1.0, -1.0])
    >>> form = WassersteinForm(X, y, Hinge(), 1.0, L2(), 2.0, 1.0, np.inf, 0.0, True)
    >>> zero = Linear(np.zeros(1), np.zeros(1))
    >>> round(lower_bound(form, slopes_at(form, zero), zero, 1.0), 9)
    1.0
    """
    if not (np.isfinite(slopes.own).all() and np.isfinite(slopes.other).all()):
        return 0.0
    slopes = balanced(form, fitted(form, slopes))
    slack = _models(form, point)
    best = max(0.0, _feasible_value(form, slopes, slack))  # no loss is negative
    length, room = _length(form, slopes), allowed(form, slopes)
    excess = length - room
    if excess <= 0.0:
        return best
    if form.order == 1.0 and form.radius > 0.0:
        price = form.radius * (1.0 if form.loss.classification else form.lipschitz)
        best = max(best, worth(form, slopes) - excess * risk / price)
    value = worth(form, slopes)
    root = form.order == 2.0 and form.squared and form.radius > 0.0
    lost = (max(value, 0.0) ** 2 if root else value) - best
    if lost > WORTHWHILE * (risk - best) and excess <= NEAR * float(np.mean(np.abs(slopes.own))):
        better = corrected(form, slopes)
        better = balanced(form, better) if form.radius > 0.0 else better
        best = max(best, _feasible_value(form, better, slack))
        if np.isinf(form.order) and form.radius > 0.0:
            best = max(best, _feasible_value(form, mixed(form, slopes, excess), slack))
    return float(best)


def worth(form: WassersteinForm, slopes: Slopes) -> float:
    """Return the dual objective, less what its own rounding may amount to."""
    own, other, y = slopes.own, slopes.other, form.y
    if form.squared:
        if form.order == 2.0 and form.radius > 0.0:
            terms = -own * y
        else:
            size = own if form.radius == 0.0 else other
            terms = -own * y - 0.25 * size**2
    else:
        terms = -form.loss.conjugate(own, y)
        if form.flips and isinstance(form.loss, Hinge):
            terms = terms + other
    slack = ROUNDING * float(np.mean(np.abs(terms)))
    value = float(np.mean(terms)) - slack
    if form.floor > 0.0 and form.radius > 0.0:
        value += (allowed(form, slopes) - _length(form, slopes)) * form.floor
    return value


def allowed(form: WassersteinForm, slopes: Slopes) -> float:
    """Return T, how long ``u`` may be."""
    if form.radius == 0.0:
        return 0.0
    size = np.abs(slopes.own)
    if form.order == 1.0:
        if form.flips:
            return form.radius - form.flip * float(np.mean(slopes.other))
        return form.radius * (1.0 if form.loss.classification else form.lipschitz)
    if form.order == 2.0:
        return form.radius * (float(np.sqrt(np.mean(size))) if form.loss.classification else 1.0)
    return form.radius * float(np.mean(slopes.other if form.squared else size))


def balanced(form: WassersteinForm, slopes: Slopes) -> Slopes:
    """Return slopes whose total is 0, by shrinking what pulls to the heavier side."""
    if not form.intercept:
        return slopes
    excess = float(total(form, slopes).sum())
    if excess == 0.0:
        return slopes
    side = np.sign(excess)
    pulls, flips = slopes.own * side > 0.0, form.y * side > 0.0
    pull = float(np.abs(slopes.own[pulls]).sum())
    if form.flips:
        pull += float(slopes.other[flips].sum())
    shrink = max(1.0 - abs(excess) / pull, 0.0)
    own = np.where(pulls, shrink * slopes.own, slopes.own)
    return Slopes(
        own, np.where(flips, shrink * slopes.other, slopes.other) if form.flips else slopes.other
    )


def mixed(form: WassersteinForm, slopes: Slopes, excess: float) -> Slopes:
    """Return slopes mixed with as much as it takes of even ones, corrected to ``u = 0``; order inf.

    ``T - ||u||`` is concave and homogeneous in the slopes, which have no scale of their own there.
    """
    even = balanced(form, Slopes(-0.5 * form.y, np.zeros_like(form.y)))
    anchor = balanced(form, corrected(form, even, 0.0))
    spare = allowed(form, anchor) - _length(form, anchor)
    if spare <= 0.0:
        return slopes
    share = excess / (excess + spare) * (1.0 + 1e-9) + ROUNDING
    own = (1.0 - share) * slopes.own + share * anchor.own
    other = (1.0 - share) * slopes.other + share * anchor.other
    return balanced(form, fitted(form, Slopes(own, other)))


def corrected(form: WassersteinForm, slopes: Slopes, target: float = 1.0) -> Slopes:
    """Return slopes moved, where they can, to shorten ``u`` to `target` T by least squares.

    Flips are first made to leave a T in which the rounding of ``u`` can be told from an excess.
    """
    n = len(form.y)
    if form.flips:
        rounding = ROUNDING * _sizes(form, slopes)
        most = form.radius - min(0.5 * form.radius, rounding)
        used = form.flip * float(np.mean(slopes.other))
        if used > most:
            slopes = slopes._replace(other=slopes.other * (most / used))
    X = np.column_stack([form.X, np.ones(n)]) if form.intercept else form.X
    grows = np.isinf(form.order) and form.loss.classification and target > 0.0
    if grows:  # T is a mean of the slopes: it may be raised where u cannot be shortened
        X = np.column_stack([X, -form.radius * form.y])
    for _ in range(CORRECTIONS):
        g = total(form, slopes)
        u = g @ X / n
        length = float(form.norm.dual(u[None, : form.X.shape[1]])[0])
        room = target * max(allowed(form, slopes), 0.0)
        if 0.0 < length <= room and (not form.intercept or abs(g.sum()) <= ROUNDING * n):
            break
        room *= 1.0 - 1e-13
        change = -u
        change[: form.X.shape[1]] *= max(1.0 - room / length, 0.0) if length > 0.0 else 1.0
        if grows:
            change[-1] = 0.0
        low, high = form.loss.domain(form.y)
        with np.errstate(invalid="ignore"):
            give = np.minimum(slopes.own - low, high - slopes.own)
        if form.squared or not np.isfinite(give).all():
            give = np.ones(n)
        elif form.flips and isinstance(form.loss, Hinge):
            give = np.minimum(give, np.maximum(1.0 - np.abs(slopes.own) - slopes.other, 0.0))
        if not give.any():
            return slopes
        gram = (X * give[:, None]).T @ X / n
        gram[np.diag_indices_from(gram)] += 1e-14 * np.trace(gram) + 1e-300
        try:
            factor = cho_factor(gram)
            if grows and length > 0.0:
                change = _cheapest(form, factor, u, length, max(length - room, 0.0))
            step = give * (X @ cho_solve(factor, change))
        except np.linalg.LinAlgError:
            return slopes
        moved = Slopes(slopes.own + step, slopes.other + (np.abs(step) if form.squared else 0.0))
        slopes = fitted(form, moved)
    return slopes


def _cheapest(
    form: WassersteinForm, factor: tuple[Array, bool], u: Array, length: float, excess: float
) -> Array:
    """Return the least change of ``(u, T)`` that closes the excess by shortening u along itself."""
    d = form.X.shape[1]
    shorter, higher = -u, np.zeros_like(u)
    shorter[d:] = 0.0
    shorter[-1], higher[-1] = -length, excess
    if form.intercept:
        higher[d] = -u[d]
    weighted = cho_solve(factor, shorter)
    share = -float(weighted @ higher) / float(weighted @ shorter)
    result: Array = higher + share * shorter
    return result


def _feasible_value(form: WassersteinForm, slopes: Slopes, slack: float) -> float:
    """Return the worth of slopes shrunk until they are feasible, 0 if that takes all of them.

    `slack` bounds the models of interest where the radius is 0: there ``u`` must vanish, and is
    charged at that length for what rounding leaves of it.
    """
    if form.radius == 0.0:
        u = np.concatenate([total(form, slopes) @ form.X, [total(form, slopes).sum()]])
        u /= len(form.y)
        residue = float(np.abs(u[:-1]).sum() + (abs(u[-1]) if form.intercept else 0.0))
        g = np.abs(total(form, slopes))
        rounding = SUMS * ROUNDING * float((g @ np.abs(form.X)).sum() + g.sum()) / len(g)
        return worth(form, slopes) - slack * residue if residue <= rounding else 0.0
    length, room = _length(form, slopes), allowed(form, slopes)
    if form.order == 2.0 and form.squared:
        root = float(np.sqrt(np.mean(slopes.own**2)))
        scale = 1.0 / max(1.0, root, length / room)
        return max(worth(form, _times(slopes, scale)), 0.0) ** 2
    if length <= room:
        return worth(form, slopes)
    if np.isinf(form.order):
        if form.squared:
            lifted = slopes.other + (length - room) * (1.0 + ROUNDING) / form.radius
            return worth(form, Slopes(slopes.own, lifted))
        return 0.0
    if form.order == 2.0:
        return worth(form, _times(slopes, (room / length) ** 2))
    price = form.radius * (1.0 if form.loss.classification else form.lipschitz)
    return worth(form, _times(slopes, price / (length + price - room)))


def _times(slopes: Slopes, scale: float) -> Slopes:
    return Slopes(slopes.own * scale, slopes.other * scale)


def _length(form: WassersteinForm, slopes: Slopes) -> float:
    return form.correlate(total(form, slopes))


def _sizes(form: WassersteinForm, slopes: Slopes) -> float:
    """Return the ground norm of ``mean_i |g_i| |x_i|``, of which rounding takes a share."""
    sizes = np.abs(total(form, slopes)) @ np.abs(form.X)
    return float(form.norm.dual(sizes[None, :])[0]) / len(form.y)


def _models(form: WassersteinForm, point: Linear) -> float:
    return 2.0 * float(np.abs(point.coef).sum() + np.abs(point.intercept).sum())

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

from convexnn.wasserstein.forms import ROUNDING, Slopes

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
    >>> from convexnn.wasserstein.forms import Linear, WassersteinForm
    >>> from convexnn.wasserstein.table import ball
    >>> X, y = np.array([[1.0], [-1.0]]), np.array([1.0, -1.0])
    >>> form = WassersteinForm(X, y, ball(Hinge(), 1.0, radius=2.0), L2(), True)
    >>> zero = Linear(np.zeros(1), np.zeros(1))
    >>> round(lower_bound(form, form.slopes(zero), zero, 1.0), 9)
    1.0
    """
    if not (np.isfinite(slopes.own).all() and np.isfinite(slopes.other).all()):
        return 0.0
    ball = form.ball
    slopes = balanced(form, ball.fitted(slopes, form.y))
    slack = _models(form, point)
    best = max(0.0, _feasible_value(form, slopes, slack))  # no loss is negative
    length, room = _length(form, slopes), ball.allowed(slopes)
    excess = length - room
    if excess <= 0.0:
        return best
    if ball.price > 0.0:
        best = max(best, worth(form, slopes) - excess * risk / ball.price)
    lost = ball.achieved(worth(form, slopes)) - best
    if lost > WORTHWHILE * (risk - best) and excess <= NEAR * float(np.mean(np.abs(slopes.own))):
        better = corrected(form, slopes)
        better = balanced(form, better) if ball.radius > 0.0 else better
        best = max(best, _feasible_value(form, better, slack))
        if ball.homogeneous:
            best = max(best, _feasible_value(form, mixed(form, slopes, excess), slack))
    return float(best)


def worth(form: WassersteinForm, slopes: Slopes) -> float:
    """Return the dual objective, less what its own rounding may amount to."""
    ball = form.ball
    terms = ball.terms(slopes, form.y)
    value = float(np.mean(terms)) - ROUNDING * float(np.mean(np.abs(terms)))
    if ball.floor > 0.0:
        value += (ball.allowed(slopes) - _length(form, slopes)) * ball.floor
    return value


def balanced(form: WassersteinForm, slopes: Slopes) -> Slopes:
    """Return slopes whose total is 0, by shrinking what pulls to the heavier side."""
    if not form.intercept:
        return slopes
    ball = form.ball
    excess = float(ball.total(slopes, form.y).sum())
    if excess == 0.0:
        return slopes
    side = np.sign(excess)
    pulls, flips = slopes.own * side > 0.0, form.y * side > 0.0
    pull = float(np.abs(slopes.own[pulls]).sum())
    if ball.flips:
        pull += float(slopes.other[flips].sum())
    shrink = max(1.0 - abs(excess) / pull, 0.0)
    own = np.where(pulls, shrink * slopes.own, slopes.own)
    return Slopes(
        own, np.where(flips, shrink * slopes.other, slopes.other) if ball.flips else slopes.other
    )


def mixed(form: WassersteinForm, slopes: Slopes, excess: float) -> Slopes:
    """Return slopes mixed with as much as it takes of even ones, corrected to ``u = 0``; order inf.

    ``T - ||u||`` is concave and homogeneous in the slopes, which have no scale of their own there.
    """
    even = balanced(form, Slopes(-0.5 * form.y, np.zeros_like(form.y)))
    anchor = balanced(form, corrected(form, even, 0.0))
    spare = form.ball.allowed(anchor) - _length(form, anchor)
    if spare <= 0.0:
        return slopes
    share = excess / (excess + spare) * (1.0 + 1e-9) + ROUNDING
    own = (1.0 - share) * slopes.own + share * anchor.own
    other = (1.0 - share) * slopes.other + share * anchor.other
    return balanced(form, form.ball.fitted(Slopes(own, other), form.y))


def corrected(form: WassersteinForm, slopes: Slopes, target: float = 1.0) -> Slopes:
    """Return slopes moved, where they can, to shorten ``u`` to `target` T by least squares.

    Flips are first made to leave a T in which the rounding of ``u`` can be told from an excess.
    """
    n, d = form.X.shape
    ball = form.ball
    if ball.flips:
        slopes = ball.spared(slopes, ROUNDING * _sizes(form, slopes))
    X = np.column_stack([form.X, np.ones(n)]) if form.intercept else form.X
    grows = ball.lifts and target > 0.0
    if grows:  # T is a mean of the slopes: it may be raised where u cannot be shortened
        X = np.column_stack([X, -ball.radius * form.y])
    for _ in range(CORRECTIONS):
        g = ball.total(slopes, form.y)
        u = g @ X / n
        length = float(form.norm.dual(u[None, :d])[0])
        room = target * max(ball.allowed(slopes), 0.0)
        if 0.0 < length <= room and (not form.intercept or abs(g.sum()) <= ROUNDING * n):
            break
        room *= 1.0 - 1e-13
        change = -u
        change[:d] *= max(1.0 - room / length, 0.0) if length > 0.0 else 1.0
        if grows:
            change[-1] = 0.0
        give = ball.give(slopes, form.y)
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
        slopes = ball.fitted(ball.moved(slopes, step), form.y)
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
    ball = form.ball
    if ball.radius == 0.0:
        g = ball.total(slopes, form.y)
        u = np.concatenate([g @ form.X, [g.sum()]]) / len(g)
        residue = float(np.abs(u[:-1]).sum() + (abs(u[-1]) if form.intercept else 0.0))
        g = np.abs(g)
        rounding = SUMS * ROUNDING * float((g @ np.abs(form.X)).sum() + g.sum()) / len(g)
        return worth(form, slopes) - slack * residue if residue <= rounding else 0.0
    found = ball.feasible(slopes, _length(form, slopes), ball.allowed(slopes))
    return ball.achieved(worth(form, found)) if found is not None else 0.0


def _length(form: WassersteinForm, slopes: Slopes) -> float:
    return form.correlate(form.ball.total(slopes, form.y))


def _sizes(form: WassersteinForm, slopes: Slopes) -> float:
    """Return the ground norm of ``mean_i |g_i| |x_i|``, of which rounding takes a share."""
    sizes = np.abs(form.ball.total(slopes, form.y)) @ np.abs(form.X)
    return float(form.norm.dual(sizes[None, :])[0]) / len(form.y)


def _models(form: WassersteinForm, point: Linear) -> float:
    return 2.0 * float(np.abs(point.coef).sum() + np.abs(point.intercept).sum())

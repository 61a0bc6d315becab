"""Lower bounds on the worst case over a Wasserstein ball, from any slopes.

With ``g_i`` the slope of sample i's worst case in its prediction, ``u = mean_i g_i x_i`` and a
ground norm whose dual measures b, weak duality gives

    min_{b, c} risk >= mean_i -l*(own_i; y_i) + [hinge] mean_i other_i + (T - ||u||) floor

for slopes with ``sum_i g_i = 0`` (an intercept) and ``||u|| <= T``, where ``T`` is

    order 1      eps - kappa mean_i other_i, or eps Lip
    order 2      eps sqrt(mean_i |own_i|) for the hinge; eps for the root of squared residuals
    order inf    eps mean_i |own_i|, or eps mean_i other_i for squared residuals.

Any slopes are made feasible, so a poor guess gives a loose bound, never a wrong one. No size of a
model at hand enters: an optimum may be of any. Slopes of floats do not sum to 0, nor does u vanish
where it must: the bound is taken at slopes that do, which lie near those at hand, each between
its two `Ends`. With an intercept, real targets count from their mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from convexnn.functions.null_space import SMALLEST, UNIT, NullSpace, blocked_sums, sum_rounding
from convexnn.wasserstein.distribution_ball import scaled
from convexnn.wasserstein.forms import ROUNDING, Slopes

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array
    from convexnn.wasserstein.forms import WassersteinForm

NEAR = 1e-3  # excess over T, relative to the slopes, from which a correction is worth its cost
WORTHWHILE = 0.5  # share of the gap that shrinking must have made for a correction to be tried
CORRECTIONS = 4


class Ends(NamedTuple):
    """Slopes between which feasible ones lie, entry by entry.

    Attributes
    ----------
    far, near : Slopes
        From 0; `near` has the signs of `far`, or both are as close as rounding.
    length : float
        Of their u, at most.
    """

    far: Slopes
    near: Slopes
    length: float = 0.0

    def room(self, form: WassersteinForm) -> float:
        """Return T, at least that of the slopes between."""
        return min(form.ball.allowed(self.far), form.ball.allowed(self.near))


def lower_bound(
    form: WassersteinForm, slopes: Slopes, risk: float, space: NullSpace | None = None
) -> float:
    """Return a lower bound on the risk of every linear model.

    Parameters
    ----------
    form : WassersteinForm
    slopes : Slopes
        A guess; at an optimum the slopes of its worst case.
    risk : float
        Of any model: of order 1 no optimum has a multiplier above ``risk / eps``.
    space : NullSpace, optional
        Of the data where the radius is 0, as from `null_space`; that of ``form.X`` if not given.

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
    >>> round(lower_bound(form, form.slopes(zero), 1.0), 9)
    1.0
    """
    if not (np.isfinite(slopes.own).all() and np.isfinite(slopes.other).all()):
        return 0.0
    if risk <= 0.0:  # and no loss is negative
        return 0.0
    if form.intercept and form.ball.loss.residual:
        form = form._replace(y=form.y - float(np.mean(form.y)))
    if form.ball.radius == 0.0 and space is None:
        space = null_space(form.X, form.intercept)
    with np.errstate(over="ignore", invalid="ignore"):  # huge slopes bound nothing
        return _lower_bound(form, slopes, risk, space)


def _lower_bound(
    form: WassersteinForm, slopes: Slopes, risk: float, space: NullSpace | None
) -> float:
    ball = form.ball
    slopes = balanced(form, ball.fitted(slopes, form.y))
    ends = _ends(form, slopes)
    best = max(0.0, _value(form, ends, space))  # no loss is negative
    if ends is None:
        return best
    excess = ends.length - ends.room(form)
    if excess <= 0.0:
        return best
    whole = worth(form, ends)
    if ball.price > 0.0:
        best = max(best, whole - excess * (1.0 + ROUNDING) * (risk / ball.price))
    lost = ball.achieved(whole) - best
    if lost > WORTHWHILE * (risk - best) and excess <= NEAR * float(np.mean(np.abs(slopes.own))):
        better = corrected(form, slopes)
        better = balanced(form, better) if ball.radius > 0.0 else better
        best = max(best, _value(form, _ends(form, better), space))
        if ball.homogeneous:
            best = max(best, _value(form, _ends(form, mixed(form, slopes, excess)), space))
    return float(best)


def null_space(X: Array, intercept: bool) -> NullSpace:
    """Return the slopes that a free model leaves no choice: those with ``u = 0`` and sum 0."""
    return NullSpace(np.column_stack([X, np.ones((len(X), int(intercept)))]))


def worth(form: WassersteinForm, ends: Ends) -> float:
    """Return the dual objective, less what its own rounding may amount to."""
    ball, y = form.ball, form.y
    terms = np.minimum(ball.terms(ends.far, y), ball.terms(ends.near, y))
    size = np.abs(ends.far.own)
    rounding = (
        np.abs(terms) + size * (1.0 + np.abs(y) + size) + ends.far.other * (1.0 + ends.far.other)
    )
    value = ball.mean(terms) - 2.0 * ROUNDING * ball.mean(rounding)
    if ball.floor > 0.0:
        rest = ends.room(form) - ends.length
        value += rest * ball.floor * (1.0 - np.sign(rest) * ROUNDING)
    return value


def _value(form: WassersteinForm, ends: Ends | None, space: NullSpace | None) -> float:
    """Return the worth of slopes shrunk until they are feasible, 0 if that takes all of them."""
    ball = form.ball
    if ends is None:
        return 0.0
    if ball.radius == 0.0:
        assert space is not None
        between = _unmoving(form, ends.far.own, space)
        if between is None:
            return 0.0
        none = np.zeros_like(form.y)
        return worth(form, Ends(Slopes(between[0], none), Slopes(between[1], none)))
    room = ends.room(form)
    far, near = (ball.roomy(end, ends.length, room) for end in (ends.far, ends.near))
    share = ball.share(far, ends.length, Ends(far, near).room(form))
    if not share > 0.0:
        return 0.0
    if share < 1.0:
        share *= 1.0 - 4.0 * ROUNDING
    length = share * ends.length * (1.0 + ROUNDING)
    return ball.achieved(worth(form, Ends(scaled(far, share), scaled(near, share), length)))


def _unmoving(form: WassersteinForm, own: Array, space: NullSpace) -> tuple[Array, Array] | None:
    """Return slopes between which some have ``u = 0`` and sum 0; None where none are known.

    Counted by their weights they are in the null space, and within as many times their domain.
    """
    low, high = (np.broadcast_to(side, form.y.shape) for side in form.ball.domain(form.y))
    weights = form.ball.weights
    if weights is None:
        found = space.near(own, low, high)
        return None if found is None else (found.point - found.spread, found.point + found.spread)
    inside = weights * (1.0 - 8.0 * UNIT)  # back at weight 1 nothing is rounded beyond its domain
    found = space.near(
        np.clip(weights * own, inside * low, inside * high), inside * low, inside * high
    )
    if found is None:
        return None
    apart = 4.0 * UNIT * np.abs(found.point) + 2.0 * found.spread
    apart[(found.point == 0.0) & (found.spread == 0.0)] = 0.0
    ends = (found.point - apart) / weights, (found.point + apart) / weights
    first, last = (np.clip(end, low, high) for end in ends)
    return first, last


def _rounding(form: WassersteinForm, n: int) -> float:
    """Return what share of their sizes sums of n slopes may be off by, with what they weigh."""
    return sum_rounding(n) + (0.0 if form.ball.weights is None else 2.0 * UNIT)


def _ends(form: WassersteinForm, slopes: Slopes) -> Ends | None:
    """Return slopes between which balanced ones lie: those of one side are less by a share.

    None where rounding hides how much less.
    """
    n, share = len(form.y), 0.0
    if form.ball.radius == 0.0:
        return Ends(slopes, slopes, _length(form, slopes, share))
    if form.intercept:
        total, sizes = _total(form, slopes)
        off = abs(total) + _rounding(form, 2 * n) * sizes
        share = off / (0.5 * sizes - off) if sizes > 2.0 * off else np.inf * off
        if not share < NEAR:
            return None
    near = scaled(slopes, 1.0 - share) if share > 0.0 else slopes
    return Ends(slopes, near, _length(form, slopes, share))


def _total(form: WassersteinForm, slopes: Slopes) -> tuple[float, float]:
    """Return the sum of the slopes, and of their sizes."""
    own, other = (form.ball.counted(part) for part in slopes)
    parts = np.concatenate([own, form.y * other]) if form.ball.flips else own
    size = np.abs(parts)
    sums, sizes = blocked_sums(np.ones((len(parts), 1)), parts, size)
    return float(sums[0]), float(sizes[0])


def balanced(form: WassersteinForm, slopes: Slopes) -> Slopes:
    """Return slopes whose total is 0, by shrinking what pulls to the heavier side."""
    if not form.intercept:
        return slopes
    ball = form.ball
    excess = float(ball.counted(ball.total(slopes, form.y)).sum())
    if excess == 0.0:
        return slopes
    side = np.sign(excess)
    pulls, flips = slopes.own * side > 0.0, form.y * side > 0.0
    pull = float(np.abs(ball.counted(slopes.own)[pulls]).sum())
    if ball.flips:
        pull += float(ball.counted(slopes.other)[flips].sum())
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
    ends = _ends(form, anchor)
    spare = 0.0 if ends is None else ends.room(form) - ends.length
    if spare <= 0.0:
        return slopes
    excess += _blur(form, slopes)
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
        slopes = ball.spared(slopes, 2.0 * _blur(form, slopes))
    blur = _blur(form, slopes)
    X = np.column_stack([form.X, np.ones(n)]) if form.intercept else form.X
    grows = ball.lifts and target > 0.0
    if grows:  # T is a mean of the slopes: it may be raised where u cannot be shortened
        X = np.column_stack([X, -ball.radius * form.y])
    for _ in range(CORRECTIONS):
        g = ball.total(slopes, form.y)
        u = ball.counted(g) @ X / n
        length = float(form.norm.dual(u[None, :d])[0])
        room = target * max(ball.allowed(slopes), 0.0)
        spare = room - length - 0.5 * blur
        even = not form.intercept or abs(ball.counted(g).sum()) <= ROUNDING * n
        if length > 0.0 and spare >= 0.0 and even:
            break
        room = max(room - blur, 0.5 * room)
        change = -u
        change[:d] *= max(1.0 - room / length, 0.0) if length > 0.0 else 1.0
        if grows:
            change[-1] = 0.0
        give = ball.give(slopes, form.y)
        if not give.any():
            return slopes
        try:
            pulls = _Pulls(X, give, ball.counted(give) / n)
            if grows and length > 0.0:
                change = _cheapest(form, pulls, u, length, max(length - room, 0.0))
            step = pulls.step(change)
        except np.linalg.LinAlgError:
            return slopes
        slopes = ball.fitted(ball.moved(slopes, step), form.y)
    return slopes


class _Pulls:
    """How slopes that may give so much change ``(u, T)``: least squares with a touch of a ridge.

    The normal equations are of as many unknowns as there are columns, or rows, whichever is less.

    Parameters
    ----------
    X : array of shape (n, k)
    give : array of shape (n,)
        How far each slope may move.
    share : array of shape (n,)
        The same, times what a slope counts in the mean.
    """

    def __init__(self, X: Array, give: Array, share: Array) -> None:
        n, k = X.shape
        self.X, self.give, self.root = X, give, np.sqrt(share)
        self.wide = k > n
        rows = X * self.root[:, None]
        gram = rows @ rows.T if self.wide else rows.T @ rows
        self.ridge = 1e-14 * float(np.trace(gram)) + 1e-300
        gram[np.diag_indices_from(gram)] += self.ridge
        self.factor = cho_factor(gram)

    def _back(self, change: Array) -> Array:
        """Return what the rows make of a change of ``(u, T)``, where they are less."""
        back: Array = cho_solve(self.factor, self.root * (self.X @ change))
        return back

    def step(self, change: Array) -> Array:
        """Return the cheapest step of the slopes that brings a change."""
        if not self.wide:
            return self.give * (self.X @ cho_solve(self.factor, change))
        some = self.root > 0.0
        back = self._back(change)
        return np.divide(self.give * back, self.root, out=np.zeros_like(back), where=some)

    def cost(self, change: Array) -> Array:
        """Return the gradient of half of what a change costs."""
        if not self.wide:
            return np.asarray(cho_solve(self.factor, change))
        return (change - (self.root * self._back(change)) @ self.X) / self.ridge


def _cheapest(
    form: WassersteinForm, pulls: _Pulls, u: Array, length: float, excess: float
) -> Array:
    """Return the least change of ``(u, T)`` that closes the excess by shortening u along itself."""
    d = form.X.shape[1]
    shorter, higher = -u, np.zeros_like(u)
    shorter[d:] = 0.0
    shorter[-1], higher[-1] = -length, excess
    if form.intercept:
        higher[d] = -u[d]
    weighted = pulls.cost(shorter)
    share = -float(weighted @ higher) / float(weighted @ shorter)
    result: Array = higher + share * shorter
    return result


def _length(form: WassersteinForm, slopes: Slopes, share: float) -> float:
    """Return the length of u, at most, also where slopes are less by up to this share."""
    n = len(form.y)
    u, sizes = _sums(form, slopes)
    error = (_rounding(form, n) + share * (1.0 + ROUNDING)) * sizes + n * SMALLEST
    length = float(form.norm.dual((np.abs(u) + error)[None, :])[0]) / n
    return length * (1.0 + ROUNDING * (1.0 + 0.1 * len(u)))


def _sums(form: WassersteinForm, slopes: Slopes) -> tuple[Array, Array]:
    """Return ``n u``, and the sum of the sizes of its terms."""
    ball = form.ball
    g = ball.counted(ball.total(slopes, form.y))
    return blocked_sums(form.X, g, ball.counted(np.abs(slopes.own) + slopes.other))


def _blur(form: WassersteinForm, slopes: Slopes) -> float:
    """Return twice what the length of u is known to, as `_length` allows for its rounding."""
    n = len(form.y)
    length = float(form.norm.dual(_sums(form, slopes)[1][None, :])[0]) / n
    return 2.0 * (_rounding(form, n) + 4.0 * _rounding(form, 2 * n)) * length

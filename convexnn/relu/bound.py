"""Rigorous lower bounds for two-layer programs, from any dual guess.

For ``min loss(F w + X s, y) + beta sum_b ||w_b||`` over blocks in cones ``K_b``, weak duality
gives, for every ``mu`` with ``X' mu = 0`` (where ``s`` is there),

    optimum >= sum_i -l*(-t mu_i; y_i)      if  t max {(F_b' mu)'w : w in K_b, ||w|| <= 1} <= beta.

The inner maximum is at most ``||F_b' mu + X'(e_b * eta)||_dual`` for any ``eta >= 0``, so a bound
never depends on how ``mu`` or ``eta`` were found: `lower_bound` repairs the guess (into the
conjugate's domain, on the null space of ``X'``), bounds the inner maxima with the multipliers
of exact cone projections, and maximises over the scale ``t``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.functions.losses import Softmax
from convexnn.functions.norms import Linf
from convexnn.relu.boxes import Boxes
from convexnn.relu.class_counts import Counts
from convexnn.relu.cones import Facets, dual_norms, no_facets, project_blocks
from convexnn.relu.forms import Dual, GroupForm, MajorantForm, NetworkForm
from convexnn.relu.free_part import FreePart
from convexnn.relu.pricing.pricing_bound import ROUNDING, Cover, proved
from convexnn.relu.pricing.signed_pricing import priced_form, priced_side

if TYPE_CHECKING:
    from convexnn.functions.losses import Loss

GOLDEN = 0.5 * (np.sqrt(5.0) - 1.0)
TwoLayer = GroupForm | MajorantForm | NetworkForm
Grounded = TypeVar("Grounded", GroupForm, NetworkForm)
LARGEST = 2.0**300  # of a multiplier: the scale is free, and no product may overflow
NEAR = 1e-7  # share of an interval that a concave function cannot gain much on


class Side(NamedTuple):
    """What neurons that add to an output, or subtract from it, are priced at.

    Attributes
    ----------
    mu : array of shape (n,)
        Multipliers of the rows of X.
    sign : int
        1 of those that add, -1 of those that subtract.
    """

    mu: Array
    sign: int


Upper: TypeAlias = Callable[[Side, Any], float]


def lower_bound(
    form: GroupForm, dual: Dual, *, slack: float = 0.0, free: FreePart | None = None
) -> float:
    """Return a lower bound on the optimum of `form`; -inf where the guess is not finite.

    Parameters
    ----------
    form : GroupForm
    dual : Dual
        Any guess; ``facets`` only saves time.
    slack : float, default 0.0
        Frobenius norm of the part of the data that ``form.X`` leaves out.
    free : FreePart, optional
        Of the form, where it has one; made here if not given.

    Returns
    -------
    float
    """
    form, free = grounded(form, dual.mu, free)
    found = feasible(form, dual.mu, free)
    if found is None:
        return nothing(form, dual.mu)
    worth = correlations(form, found.mu, dual.facets, slack, form.beta)
    worth = worth + found.more(form, slack, float(np.max(np.abs(form.slopes), initial=0.0)))
    if not form.separable:
        return best_value(form, found, np.max(worth, keepdims=True))
    of_output = worth.reshape(-1, form.outputs, form.slopes.shape[1]).max(axis=(0, 2))
    return best_value(form, found, of_output)


def network_bound(
    form: NetworkForm,
    mu: Array,
    covers: Sequence[Any] = (),
    *,
    slack: float = 0.0,
    free: FreePart | None = None,
    upper: Upper | None = None,
) -> float:
    """Return a lower bound on the optimum over ALL patterns; rigorous, tight with good `covers`.

    Parameters
    ----------
    form : NetworkForm
    mu : array of shape (n,)
        Any guess.
    covers : sequence of Cover or None, default ()
        Proofs of what neurons are worth, one for each of the `sides`; of another number, none.
        What else `upper` takes for a proof.
    slack : float, default 0.0
    free : FreePart, optional
        As in `lower_bound`.
    upper : callable, optional
        Asked for what a cover proves of a side, in the place of `proved_worth`.

    Returns
    -------
    float
    """
    form, free = grounded(form, mu, free)
    found = feasible(form, mu, free)
    if found is None:
        return nothing(form, mu)
    upper = partial(proved_worth, form) if upper is None else upper
    ways = list(sides(form, found.mu))
    held = covers if len(covers) == len(ways) else [None] * len(ways)
    worth = [
        upper(side, cover) + slack * float(np.sum(np.abs(side.mu)))
        for side, cover in zip(ways, held, strict=True)
    ]
    limits = np.reshape(worth, (-1, 2)).max(axis=1)
    limits = limits if form.separable else limits.max(keepdims=True)
    return best_value(form, found, limits + found.more(form, slack, 1.0))


def grounded(
    form: Grounded, mu: Array, free: FreePart | None = None
) -> tuple[Grounded, FreePart | None]:
    """Return a form whose optimum is no larger, of an additive loss, and its free part.

    That is the form itself, but for a risk: there the examples count by the weights that serve a
    dual point best.
    """
    if form.loss.additive or mu.shape != form.y.shape or not np.isfinite(mu).all():
        return form, free
    return form._replace(loss=form.loss.grounded(-mu, form.y)), None


def sides(form: NetworkForm, mu: Array) -> Iterator[Side]:
    """Yield the sides of each output."""
    for column in np.atleast_2d(form.spread(mu).T):
        yield Side(column, 1)
        yield Side(-column, -1)


def proved_worth(form: NetworkForm, side: Side, cover: Cover | None) -> float:
    """Return what a cover proves of the worth of neurons of unit norm, with the signs they have."""
    leak, l1 = form.leak, not form.norm.rotates
    priced, mu = priced_form(form, side.sign), priced_side(form, side.mu, side.sign)
    worth = proved(priced.X, mu, cover, leak=leak, l1=l1)
    if priced is form:
        return worth
    return min(worth, proved(form.X, side.mu, None, leak=leak, l1=l1))


class Feasible(NamedTuple):
    """A point near one that is dual feasible up to its scale, at which the bounds are taken.

    Attributes
    ----------
    mu : array of shape (n,), or (n, k)
        In the conjugate's domain.
    spread : array of the same shape
        How far from `mu` the feasible point may be, in each entry; it is in the domain, too.
    target : array of the same shape
        At which the conjugate is taken: the form's, or those of its `FreePart`.
    blur : array of the same shape
        How far off the targets may be.
    """

    mu: Array
    spread: Array
    target: Array
    blur: Array

    def more(self, form: TwoLayer, slack: float, slope: float) -> float:
        """Return how much larger the worth of a neuron of this slope is at the feasible point."""
        if not self.spread.any():
            return 0.0
        if not form.norm.separable:  # of a block of all outputs at most its Frobenius norm
            lengths = np.linalg.norm(form.X, axis=1) + slack
            return slope * float(lengths @ np.linalg.norm(self.spread, axis=1)) * (1.0 + ROUNDING)
        lengths = form.norm.dual(form.X) + slack
        return slope * float(np.max(lengths @ self.spread)) * (1.0 + ROUNDING)


def feasible(form: TwoLayer, mu: Array, free: FreePart | None) -> Feasible | None:
    """Return a dual feasible point near `mu`, None if none is known."""
    if mu.shape != form.y.shape or not np.isfinite(mu).all():
        return None
    mu = repaired(form, mu)
    if not form.skip:
        return exactly(form, mu)
    free = FreePart(form) if free is None else free
    near = free.near(mu)
    return None if near is None else Feasible(*near, free.target, free.blur)


def exactly(form: TwoLayer, mu: Array) -> Feasible:
    """Return a point that is itself the feasible one."""
    none = np.zeros_like(mu)
    return Feasible(mu, none, form.y, none)


def nothing(form: TwoLayer, mu: Array) -> float:
    """Return the bound of the dual point 0, -inf for what is no dual point."""
    if mu.shape != form.y.shape or not np.isfinite(mu).all():
        return -np.inf
    return -float(np.sum(form.loss.conjugate(np.zeros_like(form.y), form.y)))


def best_value(form: GroupForm | NetworkForm, found: Feasible, worth: Array) -> float:
    """Return the dual value of a point, scaled so that no neuron of this worth exceeds beta.

    Where `form` is one program for each output, each has its own worth and its own scale.
    """
    if not (form.separable and found.mu.ndim > 1):
        return scaled_value(form.loss, found, limit(form.beta, float(worth[0])))
    total = 0.0
    for k, size in enumerate(worth):
        part = Feasible(*(np.ascontiguousarray(array[:, k]) for array in found))
        total += scaled_value(form.loss, part, limit(form.beta, float(size)))
    return total


def limit(beta: float, worth: float) -> float:
    """Return how large the scale of a dual point may be: 0 where its worth is not known."""
    if not worth < np.inf:
        return 0.0
    with np.errstate(over="ignore"):
        return beta / worth if worth > 0.0 else np.inf


def repaired(form: TwoLayer, mu: Array) -> Array:
    """Return a point near `mu` in the conjugate's domain, with ``X' mu = 0`` but for rounding.

    That is where there is a free part. One too large to be multiplied is made smaller.
    """
    if not form.loss.additive:
        form = form._replace(loss=form.loss.grounded(-mu, form.y))
    size = float(np.max(np.abs(mu), initial=0.0))
    if size > LARGEST:
        mu = mu * (LARGEST / size)
    mu = -form.loss.clip(-mu, form.y)
    return balanced(form, mu) if form.skip else mu


def largest_correlation(form: GroupForm, mu: Array, guess: Facets | None, slack: float) -> float:
    """Return an upper bound on ``max_b max {(F_b' mu)'w : w in K_b, ||w|| <= 1}``."""
    return float(np.max(correlations(form, mu, guess, slack, form.beta)))


def correlations(
    form: GroupForm, mu: Array, guess: Facets | None, slack: float, level: float
) -> Array:
    """Return an upper bound on ``max {(F_b' mu)'w : w in K_b, ||w|| <= 1}`` for each block.

    Where the maximum is above `level` the bound is too, and in the l2 norm it is the maximum
    itself; where it is below, the bound is at most `level`. All up to rounding and `slack`.
    """
    rows = form.correlate(mu)
    m, d = rows.shape
    reach = slack * float(np.linalg.norm(mu)) * float(np.max(np.abs(form.slopes)))
    if form.signs is None:
        exact: Array = (form.norm.dual(rows) + reach) * (1.0 + ROUNDING)
        return exact
    cones = form.cones
    boxes = Boxes(*cones) if isinstance(form.norm, Linf) else None
    facets = no_facets(m, d) if boxes is None else boxes.start(m)
    shape = facets.example.shape
    if guess is not None and guess.example.shape == shape and guess.value.shape == shape:
        facets = Facets(guess.example.astype(np.int32), guess.value.astype(np.float64))
    if boxes is not None:  # the data of such a norm are not reduced: there is no slack
        return (boxes.dual(rows, level, facets) + reach) * (1.0 + ROUNDING)
    rotates = form.norm.rotates
    project_blocks(
        *cones,
        rows,
        facets,
        zero_below=level if rotates else 0.0,
        tau=0.0 if rotates else level,
    )
    norms = dual_norms(*cones, rows, facets, ord_inf=not rotates)
    if slack > 0.0:
        norms = norms + slack * np.sqrt(np.sum(np.square(facets.value), axis=1))
    return (norms + reach) * (1.0 + ROUNDING)


def scaled_value(loss: Loss, found: Feasible, limit: float) -> float:
    """Return ``max_t sum_i -l*(-t m_i)`` over ``0 <= t <= limit``, less its rounding error.

    m is the feasible point: between the two ends of an interval a concave function is at least
    the smaller of its values there.
    """
    mu, spread, y, blur = found
    if spread.any() and not loss.separable:

        def among(t: float) -> float:
            terms = loss.ceiling(-t * mu, t * spread, y)
            return -float(np.sum(terms)) - ROUNDING * float(np.sum(np.abs(terms)))

        return best_scale(among, min(limit, 1.0))  # from there to the targets themselves
    ends = (mu - spread, mu + spread) if spread.any() else (mu,)
    low, high = loss.domain(y)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rooms = [np.where(m > 0.0, -low / m, np.where(m < 0.0, -high / m, np.inf)) for m in ends]
    room = min(float(np.min(part)) for part in rooms)
    top = min(limit, 4.0, max(room, 0.0))
    off = float(np.sum((np.abs(mu) + spread) * blur)) * (1.0 + ROUNDING)

    def value(t: float) -> float:
        terms = [-loss.conjugate(loss.clip(-t * m, y), y) for m in ends]
        size = float(np.sum(np.max(np.abs(terms), axis=0)))
        return float(np.sum(np.min(terms, axis=0))) - ROUNDING * size - t * off

    return best_scale(value, top)


def best_scale(value: Callable[[float], float], top: float) -> float:
    """Return the largest value found of a concave function on ``[0, top]``."""
    last = value(top)
    if last >= value(top * (1.0 - NEAR)) and np.isfinite(last):
        return last  # it rises up to the end, but for the last of it
    left, right = 0.0, top
    a, b = right - GOLDEN * (right - left), left + GOLDEN * (right - left)
    at_a, at_b = value(a), value(b)
    for _ in range(50):
        if at_a < at_b:
            left, a, at_a = a, b, at_b
            b = left + GOLDEN * (right - left)
            at_b = value(b)
        else:
            right, b, at_b = b, a, at_a
            a = right - GOLDEN * (right - left)
            at_a = value(a)
    return max(value(0.0), last, value(min(1.0, top)), at_a, at_b)


def balanced(form: TwoLayer, mu: Array) -> Array:
    """Return the nearest point to `mu`, itself in the conjugate's domain, with ``X' mu = 0``.

    Of several outputs, for each by itself. A semismooth Newton method on ``lambda -> X' clip(mu - X
    lambda)``. Where it does not settle the answer is 0, which always qualifies.
    """
    if isinstance(form.loss.plain, Softmax):
        return Counts(form.y, form.loss.weights).even(mu)
    if mu.ndim > 1:
        each = zip(form.y.T, mu.T, strict=True)
        return np.column_stack([balanced(form._replace(y=y), column) for y, column in each])
    X = form.span
    size = np.linalg.norm(X) * max(float(np.linalg.norm(mu)), 1e-300)
    multiplier = np.zeros(X.shape[1])

    def point(lam: Array) -> Array:
        return -form.loss.clip(X @ lam - mu, form.y)

    def merit(lam: Array) -> float:
        m = point(lam)
        return 0.5 * float(m @ m) + float((X @ lam) @ m) - float(mu @ m)

    current = point(multiplier)
    best, best_residual = np.zeros_like(mu), np.inf
    for _ in range(60):
        residual = X.T @ current
        length = float(np.linalg.norm(residual))
        if length < best_residual:
            best, best_residual = current, length
        if length <= 1e-16 * size:
            break
        free = (current == mu - X @ multiplier).astype(np.float64)
        hessian = (X * free[:, None]).T @ X
        step = np.linalg.lstsq(hessian, residual, rcond=1e-13)[0]
        step += (residual - hessian @ step) / max(float(np.sum(np.square(X))), 1e-300)
        rate, before = 1.0, merit(multiplier)
        while rate > 1e-6 and merit(multiplier + rate * step) < before - 1e-15 * abs(before):
            rate *= 0.5
        multiplier = multiplier + rate * step
        current = point(multiplier)
    return best if best_residual <= 1e-11 * size else np.zeros_like(mu)

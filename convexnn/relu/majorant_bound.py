"""The majorant program: its formula, and rigorous lower bounds from any dual guess.

With multipliers ``p, q >= 0`` of ``low`` and ``up`` (see `MajorantForm`), ``X'(p - q) = 0`` where
there is a free part, weak duality gives

    optimum >= sum_k -h*(-t p_k, t q_k; y_k)

for every ``t >= 0`` such that, for each pattern, some ``theta_k`` in ``[leak q_k, q_k]`` and some
``theta'_k`` in ``[leak p_k, p_k]`` (subgradients of ``q_k act`` and ``p_k act``) have

    t ||X'(S_p * p - theta)||_dual <= beta,      t ||X'(S_p * q - theta')||_dual <= beta.

``h* <= (p l*(-(p + q)) + q l*(p + q)) / (p + q)``, the value where the weights of the two sides
are ``p`` and ``q``; for the losses here that is the conjugate itself. Any ``theta`` in its box
makes a bound; `_tighten` looks for one that makes a good one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.system.kernels import kernel
from convexnn.relu.bound import Feasible, best_scale, feasible, limit, nothing
from convexnn.relu.forms import Dual, MajorantForm
from convexnn.relu.free_part import FreePart
from convexnn.relu.pricing.pricing_bound import ROUNDING
from convexnn.relu.products import adjoint

if TYPE_CHECKING:
    from convexnn.functions.losses import Loss
    from convexnn.robust.forms import RobustForm

SWEEPS = 500  # of the search for the boxes' best points
NEAR = 1e-10  # relative distance to the best possible norm at which a block is left
EVERY = 2  # sweeps between moves of the multipliers in the linf norm
EPS = float(np.finfo(np.float64).eps)


def majorant_bound(
    form: MajorantForm, dual: Dual, *, slack: float = 0.0, free: FreePart | None = None
) -> float:
    """Return a lower bound on the optimum of `form`; -inf where the guess is not finite.

    Parameters
    ----------
    form : MajorantForm
    dual : Dual
        Any guess; ``kinks`` only saves time.
    slack : float, default 0.0
        Frobenius norm of the part of the data that ``form.X`` leaves out.
    free : FreePart, optional
        Of the form, where it has one; made here if not given.

    Returns
    -------
    float
    """
    found = feasible(form, dual.mu, free)
    if found is None:
        return nothing(form, dual.mu)
    p, q = multipliers(form, found.mu, dual.common, found.spread)
    worth = largest_norm(form, p, q, dual.kinks, slack) + found.more(form, slack, 1.0)
    return scaled_value(form, p, q, limit(form.beta, worth), found)


def multipliers(
    form: MajorantForm | RobustForm, mu: Array, common: Array | None, spread: Array | None = None
) -> tuple[Array, Array]:
    """Return ``p`` and ``q`` of difference `mu`, their sum in the conjugate's domain.

    It stays there where either is larger by what `mu` is spread.
    """
    shared = np.zeros_like(mu)
    if not form.loss.classification and common is not None and common.shape == mu.shape:
        room = 0.5 * (_limit(form) - np.abs(mu) - (0.0 if spread is None else spread))
        shared = np.clip(np.nan_to_num(common, posinf=0.0), 0.0, np.maximum(room, 0.0))
    return shared + np.maximum(mu, 0.0), shared + np.maximum(-mu, 0.0)


def largest_norm(
    form: MajorantForm, p: Array, q: Array, kinks: Array | None, slack: float
) -> float:
    """Return the largest dual norm of a block, over the points found in the boxes."""
    X, S = form.X, form.slopes
    n, P = S.shape
    top = np.stack([q, p])
    rows = np.concatenate([adjoint(X, S, p), adjoint(X, S, q)])
    shares = np.full((2 * P, n), 0.5 * (1.0 + form.leak))
    if kinks is not None and kinks.shape == (n, 2 * P) and np.isfinite(kinks).all():
        shares = np.clip(kinks.T, form.leak, 1.0)
    theta = np.ascontiguousarray(shares * np.repeat(top, P, axis=0))
    first = form.norm.dual(rows - theta @ X)
    X = X.view()
    X.setflags(write=False)  # one compiled version serves both kinds of array
    squares = np.einsum("ij,ij->i", X, X)
    order = np.argsort(-first)
    _tighten(X, squares, rows, top, form.leak, theta, order, form.beta, form.norm.rotates, SWEEPS)
    norms = np.minimum(first, form.norm.dual(rows - theta @ X))
    size = float(np.linalg.norm(p) + np.linalg.norm(q))
    reach = (slack + EPS * float(np.linalg.norm(X))) * size
    return (float(np.max(norms)) + reach) * (1.0 + ROUNDING)


def scaled_value(
    form: MajorantForm | RobustForm,
    p: Array,
    q: Array,
    limit: float,
    found: Feasible | None = None,
) -> float:
    """Return ``max_t sum_k -h*(-t p_k, t q_k)`` over ``0 <= t <= limit``, less its rounding.

    Of a point `found` near the feasible one, p or q is off by its spread: the sum is at least the
    smallest of its values where one of them is so much smaller or larger.
    """
    y, loss = form.y, form.loss
    none = np.zeros_like(y)
    spread, blur = none, none
    ends = [(p, q)]
    if found is not None:
        spread, y, blur = found.spread, found.target, found.blur
    if spread.any():
        less_p, less_q = (np.maximum(side - spread, 0.0) for side in (p, q))
        ends = [(less_p, q), (p + spread, q), (p, less_q), (p, q + spread)]
    total = p + q + spread
    with np.errstate(divide="ignore", over="ignore"):
        room = np.where(total > 0.0, _limit(form) / np.where(total > 0.0, total, 1.0), np.inf)
    off = float(np.sum(total * blur)) * (1.0 + ROUNDING)

    def value(t: float) -> float:
        terms = [_conjugate(loss, y, t * low, t * up) for low, up in ends]
        size = float(np.sum(np.max(np.abs(terms), axis=0)))
        return -float(np.sum(np.max(terms, axis=0))) - ROUNDING * size - t * off

    return best_scale(value, min(limit, 4.0, float(np.min(room))))


def _conjugate(loss: Loss, y: Array, p: Array, q: Array) -> Array:
    """Return ``h*(-p, q)`` of each example, from above."""
    total = p + q
    positive = total > 0.0
    share = np.where(positive, p, 0.0) / np.where(positive, total, 1.0)
    below = np.where(p > 0.0, loss.conjugate(loss.clip(-total, y), y), 0.0)
    above = np.where(q > 0.0, loss.conjugate(loss.clip(total, y), y), 0.0)
    terms = share * below + (1.0 - share) * above
    result: Array = np.where(positive, terms, loss.conjugate(np.zeros_like(y), y))
    return result


def _limit(form: MajorantForm | RobustForm) -> Array:
    """Return the largest sum of the two multipliers of each example."""
    low, high = form.loss.domain(form.y)
    return np.broadcast_to(np.maximum(-np.asarray(low), high), form.y.shape)


@kernel(fastmath={"reassoc", "contract"})
def _tighten(X, squares, rows, top, leak, theta, order, beta, euclidean, sweeps):  # type: ignore[no-untyped-def]
    """Move each row of theta in its box to lower ``||row - X'theta||_dual``.

    Coordinate descent on ``||e||^2 / 2`` with ``e = r = row - X'theta`` or, in the linf norm,
    ``e = soft(r + u, level)``, and u following e every few sweeps: the method of multipliers for
    ``|r| <= level``. A block is left when its norm is within reach of what any theta could have,
    or below what some other block cannot help having.
    """
    n, d = X.shape
    P = rows.shape[0] // 2
    level = beta
    r, e, u = np.empty(d), np.empty(d), np.empty(d)
    kept = np.empty(n)
    for b in order:
        box = top[b // P]
        for j in range(d):
            r[j] = rows[b, j]
        for i in range(n):
            if theta[b, i] != 0.0:
                for j in range(d):
                    r[j] -= theta[b, i] * X[i, j]
        u[:] = 0.0
        least = np.inf
        for sweep in range(sweeps):
            length = 0.0
            for j in range(d):
                length = length + r[j] * r[j] if euclidean else max(length, abs(r[j]))
                e[j] = r[j]
                if not euclidean:
                    e[j] += u[j]
                    e[j] = np.sign(e[j]) * max(abs(e[j]) - level, 0.0)
            if euclidean:
                length = np.sqrt(length)
            if length < least:
                least = length
                for i in range(n):
                    kept[i] = theta[b, i]
            if length <= level * (1.0 + NEAR):
                break
            size = 0.0
            for j in range(d):
                size += e[j] * e[j] if euclidean else abs(e[j])
            if euclidean:
                size = np.sqrt(size)
            if size > 0.0:
                reach = 0.0  # of the support function at e: what no theta can undercut
                for j in range(d):
                    reach += rows[b, j] * e[j]
                for i in range(n):
                    t = 0.0
                    for j in range(d):
                        t += X[i, j] * e[j]
                    reach -= box[i] * max(t, leak * t)
                level = max(level, reach / size)
            if length <= level * (1.0 + NEAR):
                break
            if not euclidean and sweep % EVERY == EVERY - 1:
                scale = 1.0
                if sweep == EVERY - 1:
                    largest = 0.0
                    for j in range(d):
                        largest = max(largest, abs(e[j]))
                    scale = level / largest if largest > 0.0 else 1.0
                for j in range(d):
                    u[j] = e[j] * scale
            for i in range(n):
                high = box[i]
                if high == 0.0 or squares[i] == 0.0:
                    continue
                slope = 0.0
                for j in range(d):
                    t = r[j]
                    if not euclidean:
                        t += u[j]
                        t = t - level if t > level else (t + level if t < -level else 0.0)
                    slope += X[i, j] * t
                new = min(max(theta[b, i] + slope / squares[i], leak * high), high)
                change = new - theta[b, i]
                if change != 0.0:
                    theta[b, i] = new
                    for j in range(d):
                        r[j] -= change * X[i, j]
        for i in range(n):
            theta[b, i] = kept[i]

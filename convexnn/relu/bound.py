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

from collections.abc import Callable

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.relu.cones import Facets, dual_norms, no_facets, project_blocks
from convexnn.relu.forms import Dual, GroupForm, MajorantForm, NetworkForm
from convexnn.relu.pricing_bound import ROUNDING, bracket

GOLDEN = 0.5 * (np.sqrt(5.0) - 1.0)
NEAR = 1e-7  # share of an interval that a concave function cannot gain much on


def lower_bound(
    form: GroupForm, dual: Dual, *, slack: float = 0.0, skip_size: float = 0.0
) -> float:
    """Return a lower bound on the optimum of `form`; -inf where the guess is not finite.

    Parameters
    ----------
    form : GroupForm
    dual : Dual
        Any guess; ``facets`` only saves time.
    slack : float, default 0.0
        Frobenius norm of the part of the data that ``form.X`` leaves out.
    skip_size : float, default 0.0
        Length of the free linear part at hand, the scale on which ``X' mu = 0`` must hold.

    Returns
    -------
    float
    """
    if dual.mu.shape != form.y.shape or not np.isfinite(dual.mu).all():
        return -np.inf
    mu, allowance = repaired(form, dual.mu, skip_size)
    worth = correlations(form, mu, dual.facets, slack, form.beta)
    if not form.separable:
        return best_value(form, mu, np.max(worth, keepdims=True)) - allowance
    of_output = worth.reshape(-1, form.outputs, form.slopes.shape[1]).max(axis=(0, 2))
    return best_value(form, mu, of_output) - allowance


def network_bound(
    form: NetworkForm, mu: Array, *, slack: float = 0.0, skip_size: float = 0.0, nodes: int = 0
) -> float:
    """Return a lower bound on the optimum over ALL patterns; rigorous, tight with enough `nodes`.

    Parameters
    ----------
    form : NetworkForm
    mu : array of shape (n,)
        Any guess.
    slack, skip_size : float, default 0.0
        As in `lower_bound`.
    nodes : int, default 0
        Cones that the branch and bound of `covering.bracket` may visit.

    Returns
    -------
    float
    """
    if mu.shape != form.y.shape or not np.isfinite(mu).all():
        return -np.inf
    mu, allowance = repaired(form, mu, skip_size)
    l1 = not form.norm.rotates
    worth = []
    for column in np.atleast_2d(form.spread(mu).T):
        reach = slack * float(np.sum(np.abs(column)))
        sides = [
            bracket(form.X, side, leak=form.leak, l1=l1, target=form.beta, nodes=nodes).upper
            for side in (column, -column)
        ]
        worth.append(max(sides) + reach)
    limits = np.array(worth if form.separable else [max(worth)])
    return best_value(form, mu, limits) - allowance


def best_value(form: GroupForm | NetworkForm, mu: Array, worth: Array) -> float:
    """Return the dual value of `mu`, scaled so that no neuron of this worth exceeds beta.

    Where `form` is one program for each output, each has its own worth and its own scale.
    """
    total = 0.0
    parts = form.single() if form.separable else (form,)
    columns = mu.T if len(parts) > 1 else mu[None]
    for part, column, size in zip(parts, columns, worth, strict=True):
        total += scaled_value(part, column, form.beta / size if size > 0.0 else np.inf)
    return total


def repaired(
    form: GroupForm | MajorantForm | NetworkForm, mu: Array, skip_size: float
) -> tuple[Array, float]:
    """Return a point near `mu` that is dual feasible up to scale, and what rounding may cost.

    It is in the conjugate's domain and, where there is a free part, ``X' mu = 0`` up to rounding.
    """
    mu = -form.loss.clip(-mu, form.y)
    if not form.skip:
        return mu, 0.0
    mu = balanced(form, mu)
    return mu, 4.0 * float(np.linalg.norm(form.X.T @ mu)) * (1.0 + skip_size)


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
    facets = no_facets(m, d)
    if guess is not None and guess.example.shape == (m, d) and guess.value.shape == (m, d):
        facets = Facets(guess.example.astype(np.int32), guess.value.astype(np.float64))
    rotates = form.norm.rotates
    project_blocks(
        form.X,
        form.signs,
        rows,
        facets,
        zero_below=level if rotates else 0.0,
        tau=0.0 if rotates else level,
    )
    norms = dual_norms(form.X, form.signs, rows, facets, ord_inf=not rotates)
    if slack > 0.0:
        norms = norms + slack * np.sqrt(np.sum(np.square(facets.value), axis=1))
    return (norms + reach) * (1.0 + ROUNDING)


def scaled_value(form: GroupForm | NetworkForm, mu: Array, limit: float) -> float:
    """Return ``max_t sum_i -l*(-t mu_i)`` over ``0 <= t <= limit``, less its rounding error."""
    low, high = form.loss.domain(form.y)
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(mu > 0.0, -low / mu, np.where(mu < 0.0, -high / mu, np.inf))
    top = min(limit, 4.0, max(float(np.min(room)), 0.0))

    def value(t: float) -> float:
        terms = -form.loss.conjugate(form.loss.clip(-t * mu, form.y), form.y)
        return float(np.sum(terms)) - ROUNDING * float(np.sum(np.abs(terms)))

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


def balanced(form: GroupForm | MajorantForm | NetworkForm, mu: Array) -> Array:
    """Return the nearest point to `mu`, itself in the conjugate's domain, with ``X' mu = 0``.

    A semismooth Newton method on ``lambda -> X' clip(mu - X lambda)``. Where it does not settle
    the answer is 0, which always qualifies.
    """
    X = form.X
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

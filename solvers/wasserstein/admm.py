"""ADMM on a linear model and its multiplier together, for Wasserstein balls of order 1.

    min_{b, c, lam}  price lam + mean_i phi(z_i, lam_i)
    s.t.  z = X b + c,  lam_i = lam,  (b, lam) = (b', lam') with ||b'||_* <= lam', lam' >= floor

Splitting (Boyd et al. 2011, section 3): the linear solve in (b, c) is one cached factor of the
Gram matrix, that in lam a scalar; the prox of the pair ``phi`` is a closed form or a scalar root
in each of its regions, and the norm's epigraph has an exact projection.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from scipy.linalg import cho_factor, cho_solve

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Options, Outcome, Raw, Reporter
from convexnn.functions.losses import LipschitzLoss
from convexnn.functions.norms import VectorNorm
from convexnn.solvers.penalties import DEFAULTS as DEFAULTS
from convexnn.solvers.penalties import checked
from convexnn.wasserstein.forms import Linear, Slopes, WassersteinForm
from convexnn.wasserstein.order_one import Empirical, LabelFlips, LogisticFlips, Regularised

MAX_ITER = 50_000
FIRST_CHECK = 10
GROWTH = 1.1  # checks are spaced geometrically
TUNING = 12  # steps between changes of the penalties, growing
NORM, COPY = 0.03, 0.1  # penalties of the norm's copy and of lam's, against the fit's, by trial
BALANCE = 3.0  # ratio of residuals beyond which the penalties change


def refusal(form: WassersteinForm) -> str | None:
    """Return why the form is not one for this engine, None if it is."""
    ball = form.ball
    if not isinstance(ball, Empirical | Regularised | LabelFlips):
        return f"takes Wasserstein order 1, got order {ball.order:g}"
    bounded = isinstance(ball.loss, LipschitzLoss)
    return None if bounded else "a squared risk of radius 0 is plain least squares"


def warm_up(form: WassersteinForm) -> None:
    """Compile the kernel."""
    one, log = np.ones(1), isinstance(form.ball, LogisticFlips)
    _pair_prox(one, one, one, 1.0, 1.0, 1.0, log, one.copy(), one.copy())


def project_epigraph(norm: VectorNorm, b: Array, lam: float, floor: float) -> tuple[Array, float]:
    """Return the nearest ``(b', lam')`` with ``||b'|| <= lam'`` and ``lam' >= floor``.

    Examples
    --------
    >>> from convexnn.functions.norms import L1
    >>> project_epigraph(L1(), np.array([3.0, 0.0]), 1.0, 0.0)
    (array([2., 0.]), 2.0)
    """
    level = max(norm.epigraph(b, lam), floor)
    if level <= 0.0:
        return np.zeros_like(b), 0.0
    return norm.project(b[None, :], level)[0], level


@njit(cache=True)  # type: ignore[untyped-decorator]
def _softplus_prox(v: float, step: float) -> float:
    """Return ``argmin_m step log(1 + exp(-m)) + (m - v)^2 / 2``, by safeguarded Newton."""
    low, high = v, v + step
    m = min(max(v + 0.5 * step, low), high)
    for _ in range(60):
        e = np.exp(-abs(m))
        p = (e if m >= 0.0 else 1.0) / (1.0 + e)  # 1 / (1 + exp(m))
        f = m - v - step * p
        if f > 0.0:
            high = m
        else:
            low = m
        change = f / (1.0 + step * p * (1.0 - p))
        new = m - change
        if not low <= new <= high:
            new = 0.5 * (low + high)
        if abs(new - m) <= 1e-15 * (1.0 + abs(new)):
            return float(new)
        m = new
    return float(m)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _worth(
    m: float,
    lam: float,
    m0: float,
    lam0: float,
    step: float,
    weight: float,
    kappa: float,
    log: bool,
) -> float:
    """Return the objective of the pair's prox."""
    if log:
        own = max(-m, 0.0) + np.log1p(np.exp(-abs(m)))
        f = own + max(m - kappa * lam, 0.0)
    else:
        f = max(0.0, max(1.0 - m, 1.0 + m - kappa * lam))
    return float(step * f + 0.5 * (m - m0) ** 2 + 0.5 * weight * (lam - lam0) ** 2)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _pair_prox(
    m0: Array,
    lam0: Array,
    y: Array,
    step: float,
    weight: float,
    kappa: float,
    log: bool,
    m: Array,
    lam: Array,
) -> None:
    """Fill m, lam with ``argmin step phi(m, lam) + (m - m0)^2 / 2 + weight (lam - lam0)^2 / 2``.

    ``phi`` is ``max(l(m), l(-m) - kappa lam)``; its minimiser lies where one of the two is the
    larger, or where they are equal: the best candidate of each region is the minimiser.
    """
    for i in range(len(m0)):
        a, b = m0[i], lam0[i]
        shifted = b + step * kappa / weight
        if log:
            m1 = _softplus_prox(a, step)
            m2, l2 = -_softplus_prox(-a, step), shifted
            scale = 1.0 + weight / kappa**2
            m3 = _softplus_prox((a + weight * b / kappa) / scale, step / scale)
            l3 = m3 / kappa
            m4, l4 = m3, l3
        else:
            m1 = max(a, min(a + step, 1.0))
            m2, l2 = a - step, shifted
            scale = 1.0 + 4.0 * weight / kappa**2
            m3 = min((a + step + 2.0 * weight * b / kappa) / scale, 1.0)
            l3 = 2.0 * m3 / kappa
            scale = 1.0 + weight / kappa**2
            m4 = max((a + weight * b / kappa - weight / kappa**2) / scale, 1.0)
            l4 = (1.0 + m4) / kappa
        best = _worth(m1, b, a, b, step, weight, kappa, log)
        m[i], lam[i] = m1, b
        other = _worth(m2, l2, a, b, step, weight, kappa, log)
        if other < best:
            best = other
            m[i], lam[i] = m2, l2
        other = _worth(m3, l3, a, b, step, weight, kappa, log)
        if other < best:
            best = other
            m[i], lam[i] = m3, l3
        other = _worth(m4, l4, a, b, step, weight, kappa, log)
        if other < best:
            m[i], lam[i] = m4, l4


def run(
    form: WassersteinForm, own: dict[str, Any], options: Options, reporter: Reporter, start: Any
) -> Raw:
    """Iterate until the reporter is satisfied.

    Options
    -------
    rho, sigma : float, optional
        Penalties of ``z = X b + c`` and of the norm's copy, tuned while the run goes on if
        neither is given.
    relax : float, default 1.6
        Over-relaxation, in [1, 2).
    """
    checked(own)
    n, d = form.X.shape
    X = np.column_stack([form.X, np.ones(n)]) if form.intercept else form.X
    k, relax = X.shape[1], own["relax"]
    gram = X.T @ X
    loss, price, floor = form.ball.loss, form.ball.price, form.ball.floor
    ball, flips = form.ball.radius > 0.0, form.ball.flips
    kappa = form.ball.cost if isinstance(form.ball, LabelFlips) else np.inf
    log = isinstance(form.ball, LogisticFlips)
    # the fit is penalised by rho, the norm's copy by sigma, as both weigh about the same
    rho = own["rho"] or 1.0 / n
    sigma = own["sigma"] or NORM * rho * float(np.trace(gram)) / k
    tune = own["rho"] is None and own["sigma"] is None
    tau2 = COPY * float(np.trace(gram)) / (n * k)  # weight of a copy of lam against one of z
    w, lam = np.zeros(k), 1.0
    if start is not None:
        w = np.concatenate([start[0].coef, start[0].intercept])[:k]
        lam = form.ball.multiplier(X @ w, form.y, float(form.norm.value(w[None, :d])[0]))
    z, zeta = X @ w, np.zeros(n)
    copies, chi = np.full(n, lam), np.zeros(n)
    b, level, beta, gamma = w[:d].copy(), lam, np.zeros(d), 0.0
    factor = _factor(gram, rho, sigma if ball else 0.0, d)
    check, tuned, gap_steps = float(FIRST_CHECK), TUNING, TUNING
    limit = options.max_iter or MAX_ITER
    m, fresh = np.empty(n), np.empty(n)
    for t in range(1, limit + 1):
        right = rho * (X.T @ (z - zeta))
        if ball:
            right[:d] += sigma * (b - beta)
        w = cho_solve(factor, right, check_finite=False)
        fit = X @ w
        if ball:
            top = sigma * (level - gamma) - price
            bottom = sigma
            if flips:
                top += rho * tau2 * float(np.sum(copies - chi))
                bottom += rho * tau2 * n
            lam = top / bottom
        mixed = relax * fit + (1.0 - relax) * z
        old_z, old_b = z, b
        before = mixed + zeta
        step = 1.0 / (n * rho)
        slope_lam = np.zeros(n)
        if flips:
            mixed_lam = relax * lam + (1.0 - relax) * copies
            into = mixed_lam + chi
            _pair_prox(form.y * before, into, form.y, step, tau2, kappa, log, m, fresh)
            z = form.y * m
            slope_lam = (into - fresh) * (tau2 / step)
            chi = into - fresh
            copies = fresh.copy()
        else:
            z = loss.prox(before, form.y, step)
        zeta = before - z
        if ball:
            mixed_b = relax * w[:d] + (1.0 - relax) * b
            mixed_level = relax * lam + (1.0 - relax) * level
            b, level = project_epigraph(form.norm, mixed_b + beta, mixed_level + gamma, floor)
            beta, gamma = mixed_b + beta - b, mixed_level + gamma - level
        if t >= check or t == limit or (t % 8 == 0 and reporter.expired()):
            check = max(check * GROWTH, t + 1.0)
            if not np.isfinite(w).all():
                return Raw(Outcome.FAILED, "The iterates are no longer finite.")
            point = Linear(w[:d].copy(), w[d:].copy() if form.intercept else np.zeros(1))
            total = zeta / step
            other = np.maximum(-slope_lam / kappa, 0.0) if flips else np.zeros(n)
            pull = total - form.y * other if flips else total
            if reporter.report(t, point, Slopes(pull, other)):
                return Raw(Outcome.STOPPED)
        if tune and t >= tuned:
            primal = np.sqrt(rho * np.sum((fit - z) ** 2) + sigma * np.sum((w[:d] - b) ** 2) * ball)
            dual = np.sqrt(rho * np.sum((z - old_z) ** 2) + sigma * np.sum((b - old_b) ** 2) * ball)
            ratio = np.sqrt((primal + 1e-300) / (dual + 1e-300))
            if not 1.0 / BALANCE < ratio**2 < BALANCE:
                ratio = float(np.clip(ratio, 0.1, 10.0))
                rho, sigma = rho * ratio, sigma * ratio
                zeta, chi, beta, gamma = zeta / ratio, chi / ratio, beta / ratio, gamma / ratio
                factor = _factor(gram, rho, sigma if ball else 0.0, d)
            gap_steps = int(1.5 * gap_steps)
            tuned = t + gap_steps
    return Raw(Outcome.MAX_ITER)


def _factor(gram: Array, rho: float, sigma: float, d: int) -> tuple[Array, bool]:
    H = rho * gram
    H[np.arange(d), np.arange(d)] += sigma
    H[np.diag_indices_from(H)] += 1e-13 * float(np.trace(H)) / len(H)
    result: tuple[Array, bool] = cho_factor(H, check_finite=False)
    return result

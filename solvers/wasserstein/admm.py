"""ADMM on a linear model and its multiplier together, for Wasserstein balls of order 1.

    min_{b, c, lam}  price lam + mean_i phi(z_i, lam_i)
    s.t.  z = X b + c,  lam_i = lam,  (b, lam) = (b', lam') with ||b'||_* <= lam', lam' >= floor

Splitting (Boyd et al. 2011, section 3): the linear solve in (b, c) is one cached factor of the
smaller Gram matrix, that in lam a scalar; the prox of the pair ``phi`` is a closed form or a scalar
root in each of its regions, and the norm's epigraph has an exact projection.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Options, Raw, Reporter
from convexnn.contract.system.kernels import kernel
from convexnn.functions.losses import LipschitzLoss
from convexnn.functions.norms import VectorNorm
from convexnn.solvers.penalties import DEFAULTS as DEFAULTS
from convexnn.solvers.penalties import checked
from convexnn.solvers.residuals import size
from convexnn.solvers.schedule import Tuner, iterate
from convexnn.solvers.wasserstein.ridge import Ridge
from convexnn.wasserstein.forms import Linear, Slopes, WassersteinForm
from convexnn.wasserstein.order_one import Empirical, LabelFlips, LogisticFlips, Regularised

MAX_ITER = 50_000
NORM, COPY = 0.03, 0.1  # penalties of the norm's copy and of lam's, against the fit's, by trial


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
    _pair_prox(one, one, one, one, 1.0, 1.0, log, one.copy(), one.copy())


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


@kernel(inner=True)
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


@kernel()
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


@kernel()
def _pair_prox(
    m0: Array,
    lam0: Array,
    y: Array,
    steps: Array,
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
        a, b, step = m0[i], lam0[i], steps[i]
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
    splitting = Splitting(form, own, start)
    limit = options.max_iter or MAX_ITER
    return iterate(splitting.step, splitting.points, reporter, limit, after=splitting.balance)


class Splitting:
    """Iterates, scaled duals and penalties of one run.

    The fit ``z`` is penalised by rho, the norm's copy by sigma, as both weigh about the same.

    Parameters
    ----------
    form : WassersteinForm
    own : dict
        ``rho``, ``sigma`` and ``relax``.
    start : tuple of (Linear, Slopes or None), or None
    """

    def __init__(self, form: WassersteinForm, own: dict[str, Any], start: Any) -> None:
        n, d = form.X.shape
        self.form, self.relax = form, own["relax"]
        self.X = np.column_stack([form.X, np.ones(n)]) if form.intercept else form.X
        k = self.X.shape[1]
        self.ridge = Ridge(self.X, d)
        trace = self.ridge.trace
        ball = form.ball
        self.loss, self.price, self.floor = ball.loss, ball.price, ball.floor
        self.held, self.flips = ball.radius > 0.0, ball.flips
        self.mass = ball.counted(np.ones(n))
        self.flip = ball.cost if isinstance(ball, LabelFlips) else np.inf
        self.logistic = isinstance(ball, LogisticFlips)
        self.rho = own["rho"] or 1.0 / n
        self.sigma = own["sigma"] or NORM * self.rho * trace / k
        self.tuner = Tuner(own["rho"] is None and own["sigma"] is None)
        self.weight = COPY * trace / (n * k)  # of a copy of lam against one of z
        self.w, self.lam = np.zeros(k), 1.0
        if start is not None:
            self.w = np.concatenate([start[0].coef, start[0].intercept])[:k]
            length = float(form.norm.value(self.w[None, :d])[0])
            self.lam = ball.multiplier(self.X @ self.w, form.y, length)
        self.fit = self.z = self.z_before = self.X @ self.w
        self.zeta, self.chi = np.zeros(n), np.zeros(n)
        self.copies = np.full(n, self.lam)
        self.b = self.b_before = self.w[:d].copy()
        self.level, self.beta, self.gamma = self.lam, np.zeros(d), 0.0
        self.slope = np.zeros(n)  # of each example in its copy of lam
        self._factorise()

    def _factorise(self) -> None:
        self.ridge.factor(self.rho, self.sigma if self.held else 0.0)

    def step(self, k: int) -> None:
        """Make one step, in place."""
        form, rho, sigma, relax = self.form, self.rho, self.sigma, self.relax
        n, d = form.X.shape
        right = rho * (self.X.T @ (self.z - self.zeta))
        if self.held:
            right[:d] += sigma * (self.b - self.beta)
        self.w = w = self.ridge.solve(right)
        self.fit = self.X @ w
        if self.held:
            top = sigma * (self.level - self.gamma) - self.price
            bottom = sigma
            if self.flips:
                top += rho * self.weight * float(np.sum(self.copies - self.chi))
                bottom += rho * self.weight * n
            self.lam = top / bottom
        before = relax * self.fit + (1.0 - relax) * self.z + self.zeta
        step = 1.0 / (n * rho)
        steps = step * self.mass
        self.z_before, self.b_before = self.z, self.b
        if self.flips:
            into = relax * self.lam + (1.0 - relax) * self.copies + self.chi
            m, self.copies = np.empty(n), np.empty(n)
            _pair_prox(
                *(form.y * before, into, form.y),
                *(steps, self.weight, self.flip, self.logistic, m, self.copies),
            )
            self.z = form.y * m
            self.chi = into - self.copies
            self.slope = self.chi * (self.weight / steps)
        elif form.ball.weights is None:
            self.z = self.loss.prox(before, form.y, step)
        else:
            self.z = self.loss.prox_each(before, form.y, steps)
        self.zeta = before - self.z
        if self.held:
            mixed = relax * w[:d] + (1.0 - relax) * self.b + self.beta
            level = relax * self.lam + (1.0 - relax) * self.level + self.gamma
            self.b, self.level = project_epigraph(form.norm, mixed, level, self.floor)
            self.beta, self.gamma = mixed - self.b, level - self.level

    def points(self) -> tuple[Linear, Slopes]:
        """Return the model and the slopes at hand."""
        form, w, (n, d) = self.form, self.w, self.form.X.shape
        point = Linear(w[:d].copy(), w[d:].copy() if form.intercept else np.zeros(1))
        total = self.zeta * (n * self.rho / self.mass)
        if not self.flips:
            return point, Slopes(total, np.zeros(n))
        other = np.maximum(-self.slope / self.flip, 0.0)
        return point, Slopes(total - form.y * other, other)

    def balance(self, k: int) -> None:
        """Change both penalties by one factor if the residuals after step k are out of balance."""
        if not self.tuner.due(k):
            return
        d = len(self.b)
        of_b = self.sigma if self.held else 0.0
        primal = self.rho * size(self.fit - self.z) ** 2 + of_b * size(self.w[:d] - self.b) ** 2
        dual = self.rho * size(self.z - self.z_before) ** 2
        dual += of_b * size(self.b - self.b_before) ** 2
        by = self.tuner.factor(primal**0.25, dual**0.25)
        if by == 1.0:
            return
        self.rho, self.sigma = self.rho * by, self.sigma * by
        self.zeta, self.chi, self.beta = self.zeta / by, self.chi / by, self.beta / by
        self.gamma /= by
        self._factorise()

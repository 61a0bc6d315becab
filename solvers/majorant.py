"""ADMM on the majorant: a loss of interval predictions, norms, and nothing that couples them.

Splitting: ``C = X U`` carries the loss, ``U = T`` the norms, for ``U = [V, W]``, and ``c = X s``
the free part. With scaled duals Lambda, lam and gamma:

    U = argmin  sigma/2 ||X U - (C - Lambda)||^2 + rho/2 ||U - (T - lam)||^2
    s = argmin  ||X s - (c - gamma)||^2
    T = prox_{norms / rho}(U + lam)                              lam += U - T
    C, c = prox_{h / sigma}(X U + Lambda, X s + gamma)           Lambda += X U - C,  gamma += ...

The linear solve is one d x d factor. The prox of the loss is a problem of its own for each
example, with two unknowns, the multipliers ``p`` and ``q`` of ``low`` and ``up``: given them every
entry of C is a shifted threshold, and the two unknowns are the root of a monotone map, piecewise
linear but for the logistic loss. `_prox` starts from the root of the step before.

A linear program (hinge loss, l1 penalty) is the slow case: there each step is averaged with the
point where the run last restarted (Halpern's iteration, with the restarts of Lu & Yang 2024,
"Restarted Halpern PDHG for linear programming").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from scipy.linalg import cho_factor, cho_solve

from convexnn.arrays import Array
from convexnn.backend import Options, Raw, Reporter
from convexnn.forms import Dual, MajorantForm, Neurons
from convexnn.losses import Hinge, Huber, Logistic, Loss, Squared

MAX_ITER = 20_000
FIRST_CHECK = 10
GROWTH = 1.1  # checks are spaced geometrically: a stop comes at most this factor late
REFLECT = 1.9  # over-relaxation of anchored steps
TAKEN = (Squared, Huber, Hinge, Logistic)


def refusal(loss: Loss) -> str | None:
    """Return why the prox cannot take a loss, None if it can."""
    if isinstance(loss, TAKEN):
        return None
    return "knows the majorant of " + ", ".join(kind.name for kind in TAKEN) + " only"


def warm_up(form: MajorantForm) -> None:
    """Run every kernel once, so that none is compiled while the clock runs."""
    step(form, State.begin(form, None, None, None), 1.0)


def run(
    form: MajorantForm,
    chosen: dict[str, Any],
    options: Options,
    reporter: Reporter,
    start: Any = None,
) -> Raw:
    """Iterate until the reporter is satisfied.

    Parameters
    ----------
    form : MajorantForm
    chosen : dict
        ``rho``, ``sigma`` and ``relax``.
    options : Options
    reporter : Reporter
    start : tuple of (Neurons, Dual or None), optional

    Returns
    -------
    Raw
    """
    limit = options.max_iter or MAX_ITER
    state = State.begin(form, chosen["rho"], chosen["sigma"], start)
    tuner = Tuner(chosen["rho"] is None, chosen["sigma"] is None)
    check = float(FIRST_CHECK)
    for k in range(1, limit + 1):
        move = step(form, state, chosen["relax"])
        if k >= check or k == limit:
            check = max(check * GROWTH, k + 1.0)
            if not np.isfinite(move.primal_u):
                return Raw("failed", "The iterates are no longer finite.")
            if reporter.report(k, *state.points()):
                return Raw("stopped")
        elif k % 8 == 0 and reporter.expired():
            reporter.report(k, *state.points())
            return Raw("stopped")
        tuner.update(k, state, move)
    return Raw("max_iter")


@dataclass
class State:
    """Iterates and penalties of one run, and how large U and X U have been in it."""

    form: MajorantForm
    rho: float
    sigma: float
    T: Array
    lam: Array
    C: Array
    Lambda: Array
    c: Array
    gamma: Array
    skip: Array
    p: Array
    q: Array
    gram: Array
    inverse: Array
    anchor: Anchor | None
    factor: Any = None
    size_u: float = 0.0
    size_z: float = 0.0

    @classmethod
    def begin(cls, form: MajorantForm, rho: float | None, sigma: float | None, start: Any) -> State:
        """Start from zero or from a primal (and dual) point."""
        n, d = form.X.shape
        width = form.blocks
        curvature = form.loss.curvature if np.isfinite(form.loss.curvature) else 1.0
        sigma = sigma or curvature * np.sqrt(width)
        gram = form.X.T @ form.X
        rho = rho or sigma * float(np.trace(gram)) / d
        linear = np.isinf(form.loss.curvature) and not form.norm.rotates
        zero = np.zeros(n)
        state = cls(
            form,
            rho,
            sigma,
            np.zeros((d, width)),
            np.zeros((d, width)),
            np.zeros((n, width)),
            np.zeros((n, width)),
            zero,
            zero.copy(),
            np.zeros(d),
            zero.copy(),
            zero.copy(),
            gram,
            np.asarray(np.linalg.pinv(form.X) if form.skip else np.zeros((d, n)), np.float64),
            Anchor() if linear else None,
        )
        if start is not None:
            state.resume(*start)
        state.refactor()
        return state

    def resume(self, primal: Neurons, dual: Dual | None) -> None:
        """Start from a primal point and the multipliers that it or a dual point suggests."""
        form = self.form
        suggested = form.dual(primal)
        if dual is None:
            dual = suggested
        common = np.zeros_like(dual.mu) if dual.common is None else dual.common
        kinks = suggested.kinks if dual.kinks is None else dual.kinks
        assert kinks is not None
        self.p, self.q = common + np.maximum(dual.mu, 0.0), common + np.maximum(-dual.mu, 0.0)
        half = form.slopes.shape[1]
        force = np.empty_like(self.C)
        force[:, :half] = self.p[:, None] * form.slopes - self.q[:, None] * kinks[:, :half]
        force[:, half:] = self.q[:, None] * form.slopes - self.p[:, None] * kinks[:, half:]
        self.T, self.skip = np.hstack([primal.V, primal.W]), primal.skip.copy()
        self.C, self.c = form.X @ self.T, form.X @ self.skip
        self.Lambda = -force / self.sigma
        self.gamma = (self.q - self.p) / self.sigma if form.skip else self.gamma
        self.lam = form.X.T @ force / self.rho

    def refactor(self) -> None:
        """Factor for the penalties at hand."""
        matrix = self.sigma * self.gram
        matrix.flat[:: len(matrix) + 1] += self.rho
        self.factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)

    def points(self) -> tuple[Neurons, Dual]:
        """Return the primal and the dual point at hand."""
        half, leak = self.form.slopes.shape[1], self.form.leak
        p, q = self.p, self.q
        neurons = Neurons(self.T[:, :half].copy(), self.T[:, half:].copy(), self.skip.copy())
        weight = np.hstack([np.broadcast_to(side[:, None], (len(side), half)) for side in (q, p)])
        other = np.hstack([p[:, None] * self.form.slopes, q[:, None] * self.form.slopes])
        inside = (other + self.sigma * self.Lambda) / np.where(weight > 0.0, weight, 1.0)
        kinks = np.where(self.C > 0.0, 1.0, np.where(self.C < 0.0, leak, inside))
        return neurons, Dual(p - q, common=np.minimum(p, q), kinks=np.clip(kinks, leak, 1.0))


@dataclass
class Move:
    """Residuals of one step relative to the run's sizes: for ``U = T``, for ``X U, X s = C, c``."""

    primal_u: float
    dual_u: float
    primal_z: float
    dual_z: float


@dataclass
class Anchor:
    """Where the iteration last restarted, and what its residual was there.

    Attributes
    ----------
    points : tuple of array
        ``T + lam``, ``C + Lambda`` and ``c + gamma``; none where the next step is to restart.
    steps, total : int
        Since then, and in all.
    first, last : float
        Length of the first step since then and of the last one.
    """

    points: tuple[Array, ...] = ()
    steps: int = 0
    total: int = 0
    first: float = np.inf
    last: float = np.inf

    def pull(self, points: tuple[Array, ...], moved: tuple[Array, ...], length: float) -> None:
        """Average `moved`, in place, with the anchor; restart first where that pays."""
        fallen = length <= 0.2 * self.first
        stalled = length <= 0.8 * self.first and length > self.last
        if not self.points or fallen or stalled or self.steps >= 0.36 * self.total:
            self.points, self.steps, self.first = points, 0, length
        self.last = length
        self.steps += 1
        self.total += 1
        share = 1.0 / (self.steps + 1.0)
        for new, old in zip(moved, self.points, strict=True):
            new += share * (old - new)


def step(form: MajorantForm, state: State, relax: float) -> Move:
    """Advance the iterates by one step, in place, and return the residuals."""
    rho, sigma = state.rho, state.sigma
    right = sigma * (form.X.T @ (state.C - state.Lambda)) + rho * (state.T - state.lam)
    U = cho_solve(state.factor, right, overwrite_b=True, check_finite=False)
    image = form.X @ U
    apart_u, apart_z, apart_free = U - state.T, image - state.C, np.zeros_like(state.c)
    if form.skip:
        state.skip = state.inverse @ (state.c - state.gamma)
        apart_free = form.X @ state.skip - state.c
    relax = relax if state.anchor is None else REFLECT
    shifted = state.T + state.lam + relax * apart_u
    raised = state.C + state.Lambda + relax * apart_z
    free = state.c + state.gamma + relax * apart_free
    if state.anchor is not None:
        square = rho * _size(apart_u) ** 2 + sigma * _size(apart_z, apart_free) ** 2
        held = (state.T + state.lam, state.C + state.Lambda, state.c + state.gamma)
        state.anchor.pull(held, (shifted, raised, free), float(np.sqrt(square)))
    T = form.norm.prox(np.ascontiguousarray(shifted.T), form.beta / rho).T
    lam = shifted - T
    C, c = prox(form, raised, free, sigma, state.p, state.q)
    Lambda = raised - C
    state.size_u = max(state.size_u, _size(U), _size(T))
    state.size_z = max(state.size_z, _size(C, c), _size(image, apart_free + state.c))
    move = Move(
        _ratio(_size(U - T), state.size_u),
        _ratio(_size(T - state.T), _size(lam)),
        _ratio(_size(image - C, apart_free + state.c - c), state.size_z),
        _ratio(_size(C - state.C, c - state.c), _size(Lambda, free - c)),
    )
    state.T, state.lam, state.C, state.Lambda = T, lam, C, Lambda
    if form.skip:
        state.c, state.gamma = c, free - c
    return move


def prox(
    form: MajorantForm, C: Array, c: Array, sigma: float, p: Array, q: Array
) -> tuple[Array, Array]:
    """Return ``argmin h(low, up) + sigma/2 (||C' - C||^2 + ||c' - c||^2)`` for each example.

    Parameters
    ----------
    form : MajorantForm
    C : array of shape (n, 2 P)
        Preactivations of V's neurons, then of W's.
    c : array of shape (n,)
        Free part of the output; fixed where the form has none.
    sigma : float
    p, q : array of shape (n,)
        Multipliers of ``low`` and ``up``: where to start, then the answer's.

    Returns
    -------
    tuple of array
        The minimising ``C'`` and ``c'``.
    """
    loss, y = form.loss, form.y
    low, high = loss.domain(y)
    cap = np.maximum(np.broadcast_to(-np.asarray(low), y.shape), high)
    sides = np.where(y > 0.0, 1, 2) if loss.classification else np.full(len(y), 3)
    bend = 1.0 / loss.curvature  # of the conjugate; 0 for the hinge loss
    smooth = isinstance(loss, Logistic)
    out, free = np.empty_like(C), c.copy()
    S = form.slopes
    weight = 1.0 / sigma
    _prox(C, c, S, y, cap, sides, bend, smooth, weight, form.leak, form.skip, p, q, out, free)
    return out, free


@dataclass
class Tuner:
    """Balances the relative primal and dual residuals of each split, ever more rarely.

    Attributes
    ----------
    rho, sigma : bool
        Whether the user left the penalty free.
    """

    rho: bool
    sigma: bool
    next: float = 10.0

    def update(self, k: int, state: State, move: Move) -> None:
        """Change the penalties that are out of balance."""
        if k < self.next or not (self.rho or self.sigma):
            return
        self.next = 1.6 * k
        by_u, by_z = _balance(move.primal_u, move.dual_u), _balance(move.primal_z, move.dual_z)
        if self.rho:
            state.rho *= by_u
            state.lam /= by_u
        if self.sigma:
            state.sigma *= by_z
            state.Lambda /= by_z
            state.gamma /= by_z
        if state.anchor is not None:
            state.anchor.points = ()
        state.refactor()


def _balance(primal: float, dual: float) -> float:
    """Return the factor that a penalty should move by."""
    if not primal > 0.0:
        return 1.0
    factor = min(max(primal / dual, 0.1), 10.0) if dual > 0.0 else 10.0
    return 1.0 if 1.0 / 1.2 <= factor <= 1.2 else factor


def _size(*parts: Array) -> float:
    return float(np.sqrt(sum(float(np.vdot(part, part)) for part in parts)))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0.0 else 0.0


@njit(cache=True, fastmath={"reassoc", "contract"})
def _sides(row, c, S, p, q, weight, leak, skip):  # type: ignore[no-untyped-def]
    """Return ``low``, ``up`` and their derivatives at the minimiser for multipliers p and q.

    The derivatives are ``a = dlow/dp``, ``b = -dlow/dq = dup/dp`` and ``h = -dup/dq``, all >= 0.
    """
    P = S.shape[0]
    low = up = a = b = h = 0.0
    for j in range(P):
        s = S[j]
        t = row[j] + weight * p * s
        if t > weight * q:
            t -= weight * q
            low += s * t
            up += t
            a += s * s
            b += s
            h += 1.0
        elif t < weight * leak * q:
            t -= weight * leak * q
            low += s * t
            up += leak * t
            a += s * s
            b += s * leak
            h += leak * leak
        t = row[P + j] + weight * q * s
        if t > weight * p:
            t -= weight * p
            low -= t
            up -= s * t
            a += 1.0
            b += s
            h += s * s
        elif t < weight * leak * p:
            t -= weight * leak * p
            low -= leak * t
            up -= s * t
            a += leak * leak
            b += s * leak
            h += s * s
    if skip:
        c += weight * (p - q)
        a += 1.0
        b += 1.0
        h += 1.0
    return low + c, up + c, weight * a, weight * b, weight * h


@njit(cache=True)
def _slopes(row, c, S, y, bend, p, q, weight, leak, skip):  # type: ignore[no-untyped-def]
    """Return the derivatives of the dual function in p and q, and those of `_sides`."""
    low, up, a, b, h = _sides(row, c, S, p, q, weight, leak, skip)
    return y - low - bend * (p + q), up - y - bend * (p + q), a, b, h


@njit(cache=True)
def _one_side(row, c, S, y, bend, cap, side, guess, weight, leak, skip):  # type: ignore[no-untyped-def]
    """Return the maximising multiplier of one side while the other's is 0."""
    f = 0.0
    left, right = 0.0, cap
    x = guess if 0.0 < guess < cap else 0.0
    width = np.inf
    for k in range(200):
        if side == 1:
            f, _, slope, _, _ = _slopes(row, c, S, y, bend, x, 0.0, weight, leak, skip)
        else:
            _, f, _, _, slope = _slopes(row, c, S, y, bend, 0.0, x, weight, leak, skip)
        slope += bend
        if f > 0.0:
            left = x
        elif f < 0.0:
            right = x
        else:
            return x
        if x == 0.0 and f < 0.0:
            return 0.0
        if x == cap and f > 0.0:
            return cap
        new = x + f / slope if slope > 0.0 else (cap if f > 0.0 else 0.0)
        new = min(max(new, 0.0), cap)
        if k % 4 == 3 and right < np.inf:  # halve at least every fourth step
            slow, width = right - left > 0.5 * width, right - left
        else:
            slow = False
        if slow or not left <= new <= right:
            new = 0.5 * (left + right)
        if abs(new - x) <= 1e-15 * abs(new) or new == x:
            return new
        x = new
    return x


@njit(cache=True)
def _logistic_side(row, c, S, y, guess, weight, leak, skip):  # type: ignore[no-untyped-def]
    """Return the maximising multiplier for the logistic loss, from the root of the margin."""
    positive = y > 0.0
    left, right = -np.inf, np.inf
    x = np.log((1.0 - guess) / guess) if 0.0 < guess < 1.0 else 0.0
    m = 0.0
    width = np.inf
    for k in range(200):
        e = np.exp(-abs(x))
        m = e / (1.0 + e) if x >= 0.0 else 1.0 / (1.0 + e)
        if positive:
            at, _, slope, _, _ = _sides(row, c, S, m, 0.0, weight, leak, skip)
        else:
            _, at, _, _, slope = _sides(row, c, S, 0.0, m, weight, leak, skip)
            at = -at
        f = x - at
        if f < 0.0:
            left = x
        elif f > 0.0:
            right = x
        else:
            return m
        new = x - f / (1.0 + slope * m * (1.0 - m))
        if k % 4 == 3 and right - left < np.inf:
            slow, width = right - left > 0.5 * width, right - left
        else:
            slow = False
        if slow or not left <= new <= right:
            new = 0.5 * (left + right)
        if abs(new - x) <= 4e-15 * (1.0 + abs(new)):
            break
        x = new
    return m


@njit(cache=True)
def _split(row, c, S, y, bend, total, guess, weight, leak, skip):  # type: ignore[no-untyped-def]
    """Return the maximising p for ``p + q = total``, and the slope in the total there."""
    left, right = 0.0, total
    p = min(max(guess, 0.0), total)
    f = g = 0.0
    width = np.inf
    for k in range(200):
        f, g, a, b, h = _slopes(row, c, S, y, bend, p, total - p, weight, leak, skip)
        if f > g:
            left = p
        elif f < g:
            right = p
        else:
            break
        slope = a + 2.0 * b + h
        new = p + (f - g) / slope if slope > 0.0 else (total if f > g else 0.0)
        new = min(max(new, 0.0), total)
        if k % 4 == 3:
            slow, width = right - left > 0.5 * width, right - left
        else:
            slow = False
        if slow or not left <= new <= right:
            new = 0.5 * (left + right)
        if abs(new - p) <= 1e-16 * total:
            break
        p = new
    return p, (p * f + (total - p) * g) / total  # f = g inside, the larger one at an end


@njit(cache=True)
def _both_sides(row, c, S, y, bend, cap, p, q, weight, leak, skip):  # type: ignore[no-untyped-def]
    """Return the maximising multipliers: by the total, and for each total by their shares."""
    f, g, _, _, _ = _slopes(row, c, S, y, bend, 0.0, 0.0, weight, leak, skip)
    top = max(f, g)
    if top <= 0.0:
        return 0.0, 0.0
    right = min(cap, top / bend)
    p, slope = _split(row, c, S, y, bend, right, p, weight, leak, skip)
    if slope >= 0.0:
        return p, right - p
    left, at_left, at_right = 0.0, top, slope
    total = right
    kept = 0
    for _ in range(200):
        new = (left * at_right - right * at_left) / (at_right - at_left)
        if not left < new < right:
            new = 0.5 * (left + right)
        if abs(new - total) <= 1e-15 * new:
            break
        total = new
        p, slope = _split(row, c, S, y, bend, total, p, weight, leak, skip)
        if slope > 0.0:  # the Illinois rule
            if kept == 1:
                at_right *= 0.5
            left, at_left, kept = total, slope, 1
        elif slope < 0.0:
            if kept == -1:
                at_left *= 0.5
            right, at_right, kept = total, slope, -1
        else:
            break
    return p, total - p


@njit(cache=True)
def _near(row, c, S, y, bend, cap, p, q, weight, leak, skip):  # type: ignore[no-untyped-def]
    """Try Newton's method from multipliers that are both positive; -1 where it does not settle."""
    for _ in range(8):
        f, g, a, b, h = _slopes(row, c, S, y, bend, p, q, weight, leak, skip)
        a, b, h = a + bend, b - bend, h + bend
        det = a * h - b * b
        if det <= 1e-12 * a * h:
            break
        dp, dq = (h * f + b * g) / det, (b * f + a * g) / det
        p, q = p + dp, q + dq
        if p <= 0.0 or q <= 0.0 or p + q >= cap:
            break
        if abs(dp) + abs(dq) <= 1e-14 * (p + q):
            return p, q
    return -1.0, -1.0


@njit(cache=True)
def _prox(C, c, S, y, cap, sides, bend, smooth, weight, leak, skip, p, q, out, free):  # type: ignore[no-untyped-def]
    """Solve each example's problem; p and q are read, then hold the answer."""
    n, P = S.shape
    for i in range(n):
        row, s = C[i], S[i]
        x, z = p[i], q[i]
        if smooth:
            guess = x if sides[i] == 1 else z
            x = _logistic_side(row, c[i], s, y[i], guess, weight, leak, skip)
            z = 0.0
            if sides[i] == 2:
                x, z = 0.0, x
        elif sides[i] == 1:
            x = _one_side(row, c[i], s, y[i], bend, cap[i], 1, x, weight, leak, skip)
            z = 0.0
        elif sides[i] == 2:
            x = 0.0
            z = _one_side(row, c[i], s, y[i], bend, cap[i], 2, z, weight, leak, skip)
        else:
            settled = False
            if x > 0.0 and z > 0.0:
                u, v = _near(row, c[i], s, y[i], bend, cap[i], x, z, weight, leak, skip)
                settled = u > 0.0
                if settled:
                    x, z = u, v
            elif x > 0.0 or z > 0.0:
                side = 1 if x > 0.0 else 2
                u = _one_side(row, c[i], s, y[i], bend, cap[i], side, x + z, weight, leak, skip)
                v = 0.0
                if side == 2:
                    u, v = 0.0, u
                f, g, _, _, _ = _slopes(row, c[i], s, y[i], bend, u, v, weight, leak, skip)
                own, other = (f, g) if side == 1 else (g, f)
                settled = u + v > 0.0 and other <= max(own, 0.0)
                if settled:
                    x, z = u, v
            if not settled:
                x, z = _both_sides(row, c[i], s, y[i], bend, cap[i], x, z, weight, leak, skip)
        p[i], q[i] = x, z
        for j in range(P):
            t = row[j] + weight * x * s[j]
            out[i, j] = max(t - weight * z, 0.0) + min(t - weight * leak * z, 0.0)
            t = row[P + j] + weight * z * s[j]
            out[i, P + j] = max(t - weight * x, 0.0) + min(t - weight * leak * x, 0.0)
        if skip:
            free[i] = c[i] + weight * (x - z)

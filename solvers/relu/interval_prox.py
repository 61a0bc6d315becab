"""The exact prox of the majorant's loss: a problem of its own for each example.

It has two unknowns, the multipliers ``p`` and ``q`` of ``low`` and ``up``: given them every
preactivation is a shifted threshold, and the two are the root of a monotone map, piecewise linear
but for the logistic loss.
"""

from __future__ import annotations

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.system.kernels import kernel
from convexnn.functions.losses import Hinge, Huber, Logistic, Loss, Squared
from convexnn.relu.forms import MajorantForm

TAKEN = (Squared, Huber, Hinge, Logistic)


def unknown(loss: Loss) -> str | None:
    """Return why the prox cannot take a loss, None if it can."""
    if not loss.additive:
        return "its risk couples the examples"
    if isinstance(loss.plain, TAKEN):
        return None
    return "knows the majorant of " + ", ".join(kind.name for kind in TAKEN) + " only"


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
    size = np.ones(len(y)) if loss.weights is None else loss.weights
    bend = 1.0 / (loss.plain.curvature * size)  # of the conjugate; 0 for the hinge loss
    smooth = isinstance(loss.plain, Logistic)
    out, free = np.empty_like(C), c.copy()
    S = form.slopes
    weight = 1.0 / sigma
    _prox(C, c, S, y, size, cap, sides, bend, smooth, weight, form.leak, form.skip, p, q, out, free)
    return out, free


@kernel(fastmath={"reassoc", "contract"})
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


@kernel()
def _slopes(row, c, S, y, bend, p, q, weight, leak, skip):  # type: ignore[no-untyped-def]
    """Return the derivatives of the dual function in p and q, and those of `_sides`."""
    low, up, a, b, h = _sides(row, c, S, p, q, weight, leak, skip)
    return y - low - bend * (p + q), up - y - bend * (p + q), a, b, h


@kernel(inner=True)
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


@kernel(inner=True)
def _logistic_side(row, c, S, y, size, guess, weight, leak, skip):  # type: ignore[no-untyped-def]
    """Return the maximising multiplier for `size` logistic losses, from the root of the margin."""
    positive = y > 0.0
    left, right = -np.inf, np.inf
    x = np.log((size - guess) / guess) if 0.0 < guess < size else 0.0
    m = 0.0
    width = np.inf
    for k in range(200):
        e = np.exp(-abs(x))
        m = e / (1.0 + e) if x >= 0.0 else 1.0 / (1.0 + e)
        if positive:
            at, _, slope, _, _ = _sides(row, c, S, size * m, 0.0, weight, leak, skip)
        else:
            _, at, _, _, slope = _sides(row, c, S, 0.0, size * m, weight, leak, skip)
            at = -at
        f = x - at
        if f < 0.0:
            left = x
        elif f > 0.0:
            right = x
        else:
            return size * m
        new = x - f / (1.0 + slope * size * m * (1.0 - m))
        if k % 4 == 3 and right - left < np.inf:
            slow, width = right - left > 0.5 * width, right - left
        else:
            slow = False
        if slow or not left <= new <= right:
            new = 0.5 * (left + right)
        if abs(new - x) <= 4e-15 * (1.0 + abs(new)):
            break
        x = new
    return size * m


@kernel()
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


@kernel(inner=True)
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


@kernel()
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


@kernel()
def _prox(C, c, S, y, size, cap, sides, bend, smooth, weight, leak, skip, p, q, out, free):  # type: ignore[no-untyped-def]
    """Solve each example's problem; p and q are read, then hold the answer."""
    n, P = S.shape
    for i in range(n):
        row, s = C[i], S[i]
        x, z = p[i], q[i]
        if smooth:
            guess = x if sides[i] == 1 else z
            x = _logistic_side(row, c[i], s, y[i], size[i], guess, weight, leak, skip)
            z = 0.0
            if sides[i] == 2:
                x, z = 0.0, x
        elif sides[i] == 1:
            x = _one_side(row, c[i], s, y[i], bend[i], cap[i], 1, x, weight, leak, skip)
            z = 0.0
        elif sides[i] == 2:
            x = 0.0
            z = _one_side(row, c[i], s, y[i], bend[i], cap[i], 2, z, weight, leak, skip)
        else:
            settled = False
            if x > 0.0 and z > 0.0:
                u, v = _near(row, c[i], s, y[i], bend[i], cap[i], x, z, weight, leak, skip)
                settled = u > 0.0
                if settled:
                    x, z = u, v
            elif x > 0.0 or z > 0.0:
                side = 1 if x > 0.0 else 2
                u = _one_side(row, c[i], s, y[i], bend[i], cap[i], side, x + z, weight, leak, skip)
                v = 0.0
                if side == 2:
                    u, v = 0.0, u
                f, g, _, _, _ = _slopes(row, c[i], s, y[i], bend[i], u, v, weight, leak, skip)
                own, other = (f, g) if side == 1 else (g, f)
                settled = u + v > 0.0 and other <= max(own, 0.0)
                if settled:
                    x, z = u, v
            if not settled:
                x, z = _both_sides(row, c[i], s, y[i], bend[i], cap[i], x, z, weight, leak, skip)
        p[i], q[i] = x, z
        for j in range(P):
            t = row[j] + weight * x * s[j]
            out[i, j] = max(t - weight * z, 0.0) + min(t - weight * leak * z, 0.0)
            t = row[P + j] + weight * z * s[j]
            out[i, P + j] = max(t - weight * x, 0.0) + min(t - weight * leak * x, 0.0)
        if skip:
            free[i] = c[i] + weight * (x - z)

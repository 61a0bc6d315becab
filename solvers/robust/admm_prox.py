"""Exact proximal steps of robust training: one example at a time, one neuron at a time.

An example's term holds slopes ``q``, activations ``c`` and reaches ``t`` of all neurons. Given the
multipliers of its two bounds every part is a soft threshold of some kind; the multipliers are the
maximiser of a concave function of one variable, or of two where the loss has two sides.

The kernels take their arrays one by one: packed in tuples, which are counted by reference at every
call, small steps took a quarter longer and large ones a twentieth.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from convexnn.contract.arrays import Array, readonly
from convexnn.contract.system.kernels import kernel
from convexnn.robust.ball_kernels import BOX
from convexnn.robust.forms import RobustForm

HINGE, LOGISTIC, SQUARED = 0, 1, 2
LOSSES = {"hinge": HINGE, "logistic": LOGISTIC, "squared": SQUARED}
ROOT = 1e-14  # relative width at which a root is taken
NEAR = 1e-3  # of a guess: where the other end of a bracket is tried
STEPS = 100  # of a search for a root, at most; a bracket halves at least every sixth


class Point(NamedTuple):
    """Answer of `prox_examples`: the point, the multipliers of bounds and of slacks' sides."""

    q: Array
    c: Array
    t: Array
    p_low: Array
    p_up: Array
    left: Array
    right: Array


def prox_examples(
    form: RobustForm,
    q: Array,
    c: Array,
    t: Array,
    weights: tuple[float, float, float],
    guess: tuple[Array, Array],
) -> Point:
    """Minimise ``h(low, up) + sum of squared distances / (2 weight)`` for each example.

    Parameters
    ----------
    form : RobustForm
    q : array of shape (n, d)
        Slopes.
    c, t : array of shape (n, m)
        Activations ``x_k'v_p`` and reaches ``radius ||v_p||_*``.
    weights : tuple of float
        Steps of q, c and t.
    guess : tuple of two arrays of shape (n,)
        Multipliers of ``low`` and ``up`` to start from.

    Returns
    -------
    Point
    """
    X = form.X if form.widths is None else np.hstack([form.X, form.widths])
    low, up = guess[0].copy(), guess[1].copy()
    out_q, out_c, out_t = np.empty_like(q), c.copy(), t.copy()
    left, right = np.zeros_like(c), np.zeros_like(c)
    weights_of = form.loss.weights
    sizes = np.ones(len(form.y)) if weights_of is None else weights_of
    _examples(
        readonly(X),
        readonly(form.y),
        readonly(form.slopes),
        readonly(sizes),
        form.added,
        np.flatnonzero(form.moved),
        form.radius,
        form.kind,
        LOSSES[form.loss.name],
        form.cones,
        *weights,
        q,
        c,
        t,
        low,
        up,
        out_q,
        out_c,
        out_t,
        left,
        right,
    )
    return Point(out_q, out_c, out_t, low, up, left, right)


def prox_neurons(
    form: RobustForm, rows: Array, reach: Array, step: float, step_reach: float
) -> tuple[Array, Array]:
    """Minimise ``beta ||v|| + ||v - row||^2/(2 step) + ||t - reach||^2/(2 step_reach)``, one a row.

    Subject to ``t >= radius ||v||_*``, one t a row, or with boxes to ``t_j >= |v_j|``, (d, m).
    """
    if form.widths is not None:
        out, columns = np.empty_like(rows), np.ascontiguousarray(reach.T)
        _box_neurons(rows, columns, form.moved, form.beta, step, step_reach, out)
        return out, np.where(form.moved[:, None], np.maximum(reach, np.abs(out.T)), reach)
    out, out_reach = np.empty_like(rows), np.empty_like(reach)
    _neurons(
        rows,
        reach,
        np.flatnonzero(form.moved),
        form.radius,
        form.kind,
        form.beta,
        step,
        step_reach,
        out,
        out_reach,
    )
    return out, out_reach


@kernel(inner=True, error_model="numpy")
def _shrink(u, moved, step, kind, x, out):  # type: ignore[no-untyped-def]
    """Put ``prox of step ||.||_*`` over the moved columns in out; return its norm.

    Of boxes the norm is ``s'|.|``, half the sides s following the example in x.
    """
    for j in range(len(u)):
        out[j] = u[j]
    size = 0.0
    if kind == 0:
        for j in moved:
            a = abs(u[j]) - step
            if a > 0.0:
                out[j] = a if u[j] > 0.0 else -a
                size += a
            else:
                out[j] = 0.0
        return size
    if kind == BOX:
        for j in moved:
            s = x[len(out) + j]
            a = abs(u[j]) - step * s
            if a > 0.0:
                out[j] = a if u[j] > 0.0 else -a
                size += s * a
            else:
                out[j] = 0.0
        return size
    if kind == 1:
        for j in moved:
            size += u[j] * u[j]
        size = np.sqrt(size)
        left = max(size - step, 0.0)
        share = left / size if size > 0.0 else 0.0
        for j in moved:
            out[j] = u[j] * share
        return left
    total, count = 0.0, 0
    for j in moved:
        total += abs(u[j])
        count += 1
    if total <= step:
        for j in moved:
            out[j] = 0.0
        return 0.0
    level = (total - step) / count
    for _ in range(len(moved) + 1):  # the active set only shrinks
        total, fewer = 0.0, 0
        for j in moved:
            if abs(u[j]) > level:
                total += abs(u[j])
                fewer += 1
        if fewer == count or fewer == 0:
            break
        count = fewer
        level = (total - step) / count
    for j in moved:
        out[j] = min(max(u[j], -level), level)
    return level


@kernel(error_model="numpy")
def _sides(c, t, s, m, wc, wt):  # type: ignore[no-untyped-def]
    """Return what the prox of ``m max(s (t - c), (1 - s) (t + c))`` weighs ``t - c``, ``t + c`` by.

    That is ``m theta s`` and ``m (1 - theta) (1 - s)``; the two sides differ linearly in theta.
    """
    ws = wc + wt
    r = 1.0 - s
    first, second = s * (t - c), r * (t + c)
    fall = m * (s * s + r * r) * ws + 2.0 * m * s * r * (wc - wt)  # of the difference, from 0 to 1
    start = first - second + m * r * r * ws + m * s * r * (wc - wt)
    if start <= 0.0:
        theta = 0.0
    elif start >= fall:
        theta = 1.0
    else:
        theta = start / fall
    return m * theta * s, m * (1.0 - theta) * r


@kernel(inner=True, error_model="numpy")
def _excess(c, t, s, m, wc, wt):  # type: ignore[no-untyped-def]
    """Return the sum of the slacks at the prox of m times it."""
    total = 0.0
    for j in range(len(c)):
        left, right = _sides(c[j], t[j], s[j], m, wc, wt)
        a, b = c[j] + wc * (left - right), t[j] - wt * (left + right)
        total += max(s[j] * (b - a), (1.0 - s[j]) * (b + a))
    return total


@kernel(error_model="numpy")
def _bounds(x, q0, moved, radius, kind, wq, p, q, ex, wc, wt, u, out):  # type: ignore[no-untyped-def]
    """Return ``low`` and ``up`` at the minimiser for multipliers p and q, whose slopes fill out."""
    for j in range(len(out)):
        u[j] = q0[j] + (p - q) * wq * x[j]
    spread = radius * _shrink(u, moved, (p + q) * radius * wq, kind, x, out)
    z = 0.0
    for j in range(len(out)):
        z += x[j] * out[j]
    return z - spread - _excess(*ex[1], p, wc, wt), z + spread + _excess(*ex[0], q, wc, wt)


@kernel(error_model="numpy")
def _slope(x, y, size, loss, q0, moved, radius, kind, wq, m, side, ex, wc, wt, u, out):  # type: ignore[no-untyped-def]
    """Return a decreasing function of the multiplier of one side; its root is the maximiser.

    The example counts `size` times.
    """
    if side == 0:
        low, _ = _bounds(x, q0, moved, radius, kind, wq, m, 0.0, ex, wc, wt, u, out)
        margin = low if loss != 2 else low - y
    else:
        _, up = _bounds(x, q0, moved, radius, kind, wq, 0.0, m, ex, wc, wt, u, out)
        margin = -up if loss != 2 else y - up
    if loss == 0:
        return 1.0 - margin
    if loss == 1:
        e = np.exp(-abs(margin))
        return size * (e / (1.0 + e) if margin >= 0.0 else 1.0 / (1.0 + e)) - m
    return -size * margin - m


@kernel(inner=True, error_model="numpy")
def _between(left, at_left, right, at_right, k):  # type: ignore[no-untyped-def]
    """Return where to look next for a root, an end of the bracket where it is narrow enough."""
    if right - left <= ROOT * right:
        return left
    new = (left * at_right - right * at_left) / (at_right - at_left)
    if k % 6 == 5 or not left < new < right:
        new = 0.5 * (left + right)
    return new


@kernel(inner=True, error_model="numpy")
def _narrow(left, at_left, right, at_right, kept, new, at):  # type: ignore[no-untyped-def]
    """Move an end of the bracket of a decreasing function's root (Anderson & Bjorck's rule)."""
    if at > 0.0:
        if kept == 1:
            share = 1.0 - at / at_left
            at_right *= share if share > 0.0 else 0.5
        return new, at, right, at_right, 1
    if kept == -1:
        share = 1.0 - at / at_right
        at_left *= share if share > 0.0 else 0.5
    return left, at_left, new, at, -1


@kernel(inner=True, error_model="numpy")
def _one_side(x, y, size, loss, q0, moved, radius, kind, wq, guess, side, ex, wc, wt, u, out):  # type: ignore[no-untyped-def]
    """Return the maximising multiplier of one side while the other's is 0."""
    left, right = 0.0, size
    at_left = _slope(x, y, size, loss, q0, moved, radius, kind, wq, 0.0, side, ex, wc, wt, u, out)
    if at_left <= 0.0:
        return 0.0
    if loss == 2:
        right = at_left  # its slope falls at least as fast as m grows
    at_right = np.inf
    new = guess
    for _ in range(2):  # near the guess, on the side where the root is
        if left < new < right:
            at = _slope(
                x, y, size, loss, q0, moved, radius, kind, wq, new, side, ex, wc, wt, u, out
            )
            if at > 0.0:
                left, at_left, new = new, at, new * (1.0 + NEAR)
            else:
                right, at_right, new = new, at, new * (1.0 - NEAR)
    if at_right == np.inf:
        at_right = _slope(
            x, y, size, loss, q0, moved, radius, kind, wq, right, side, ex, wc, wt, u, out
        )
        if at_right >= 0.0:
            return right
    kept = np.int64(0)
    for k in range(STEPS):
        new = _between(left, at_left, right, at_right, k)
        if not left < new < right:
            break
        at = _slope(x, y, size, loss, q0, moved, radius, kind, wq, new, side, ex, wc, wt, u, out)
        if at == 0.0:
            return new
        left, at_left, right, at_right, kept = _narrow(
            left, at_left, right, at_right, kept, new, at
        )
    return 0.5 * (left + right)


@kernel(inner=True, error_model="numpy")
def _tilt(x, y, q0, moved, radius, kind, wq, p, q, ex, wc, wt, u, out):  # type: ignore[no-untyped-def]
    """Return the slope in p less that in q."""
    low, up = _bounds(x, q0, moved, radius, kind, wq, p, q, ex, wc, wt, u, out)
    return 2.0 * y - low - up


@kernel(inner=True, error_model="numpy")
def _share(x, y, size, q0, moved, radius, kind, wq, total, guess, ex, wc, wt, u, out):  # type: ignore[no-untyped-def]
    """Return p of ``p + q = total`` where both slopes agree, and the slope in the total there."""
    left, right = 0.0, total
    at_left = at_right = np.inf
    new = guess
    for _ in range(2):
        if left < new < right:
            at = _tilt(x, y, q0, moved, radius, kind, wq, new, total - new, ex, wc, wt, u, out)
            if at > 0.0:
                left, at_left, new = new, at, new + NEAR * total
            else:
                right, at_right, new = new, at, new - NEAR * total
    if at_left == np.inf:
        at_left = _tilt(x, y, q0, moved, radius, kind, wq, 0.0, total, ex, wc, wt, u, out)
    if at_right == np.inf:
        at_right = _tilt(x, y, q0, moved, radius, kind, wq, total, 0.0, ex, wc, wt, u, out)
    new = left if at_left <= 0.0 else right
    if at_right < 0.0 < at_left:
        kept = np.int64(0)
        for k in range(STEPS):
            new = _between(left, at_left, right, at_right, k)
            if not left < new < right:
                break
            at = _tilt(x, y, q0, moved, radius, kind, wq, new, total - new, ex, wc, wt, u, out)
            if at == 0.0:
                break
            left, at_left, right, at_right, kept = _narrow(
                left, at_left, right, at_right, kept, new, at
            )
    low, up = _bounds(x, q0, moved, radius, kind, wq, new, total - new, ex, wc, wt, u, out)
    if new <= 0.0:
        return 0.0, size * (up - y) - total
    if new >= total:
        return total, size * (y - low) - total
    return new, 0.5 * size * (up - low) - total


@kernel(inner=True, error_model="numpy")
def _both_sides(x, y, size, q0, moved, radius, kind, wq, p, q, ex, wc, wt, u, out):  # type: ignore[no-untyped-def]
    """Return the maximising multipliers of a squared loss: by their total, then by their shares."""
    low, up = _bounds(x, q0, moved, radius, kind, wq, 0.0, 0.0, ex, wc, wt, u, out)
    left, at_left = 0.0, size * max(y - low, up - y)
    if at_left <= 0.0:
        return 0.0, 0.0
    right, at_right = at_left, np.inf
    new = p + q
    share = p / new if new > 0.0 else 0.5
    for _ in range(2):
        if left < new < right:
            p, at = _share(
                x, y, size, q0, moved, radius, kind, wq, new, share * new, ex, wc, wt, u, out
            )
            share = p / new
            if at > 0.0:
                left, at_left, new = new, at, new * (1.0 + NEAR)
            else:
                right, at_right, new = new, at, new * (1.0 - NEAR)
    if at_right == np.inf:
        p, at_right = _share(
            x, y, size, q0, moved, radius, kind, wq, right, share * right, ex, wc, wt, u, out
        )
        if at_right >= 0.0:
            return p, right - p
    total = right
    kept = np.int64(0)
    for k in range(STEPS):
        new = _between(left, at_left, right, at_right, k)
        if not left < new < right:
            break
        total = new
        p, at = _share(
            x, y, size, q0, moved, radius, kind, wq, total, share * total, ex, wc, wt, u, out
        )
        share = p / total
        if at == 0.0:
            break
        left, at_left, right, at_right, kept = _narrow(
            left, at_left, right, at_right, kept, total, at
        )
    p = share * total
    return p, total - p


@kernel(error_model="numpy")
def _examples(  # type: ignore[no-untyped-def]
    X,
    y,
    slopes,
    sizes,
    count,
    moved,
    radius,
    kind,
    loss,
    cones,
    wq,
    wc,
    wt,
    q0,
    c0,
    t0,
    low,
    up,
    q,
    c,
    t,
    left,
    right,
):
    n, d = q.shape
    m = slopes.shape[1]
    u = np.empty(d)
    for i in range(n):
        x, out, base, size = X[i], q[i], q0[i], sizes[i]
        end, begin = (0, m) if cones else (count, count)
        adding = c0[i, :end], t0[i, :end], slopes[i, :end]
        taking = c0[i, begin:], t0[i, begin:], slopes[i, begin:]
        ex = adding, taking
        a, b = low[i], up[i]
        if loss != 2:
            side = 0 if y[i] > 0.0 else 1
            guess = a if side == 0 else b
            found = _one_side(
                x,
                y[i],
                size,
                loss,
                base,
                moved,
                radius,
                kind,
                wq,
                guess,
                side,
                ex,
                wc,
                wt,
                u,
                out,
            )
            a, b = (found, 0.0) if side == 0 else (0.0, found)
        else:
            first = 0 if a >= b else 1
            settled = False
            for k in range(2):
                side = first if k == 0 else 1 - first
                guess = a if side == 0 else b
                found = _one_side(
                    x,
                    y[i],
                    size,
                    loss,
                    base,
                    moved,
                    radius,
                    kind,
                    wq,
                    guess,
                    side,
                    ex,
                    wc,
                    wt,
                    u,
                    out,
                )
                p, r = (found, 0.0) if side == 0 else (0.0, found)
                lo, hi = _bounds(x, base, moved, radius, kind, wq, p, r, ex, wc, wt, u, out)
                other = size * (hi - y[i] if side == 0 else y[i] - lo) - found
                if other <= 0.0:
                    a, b = p, r
                    settled = True
                    break
            if not settled:
                a, b = _both_sides(
                    x, y[i], size, base, moved, radius, kind, wq, a, b, ex, wc, wt, u, out
                )
        _bounds(x, base, moved, radius, kind, wq, a, b, ex, wc, wt, u, out)
        low[i], up[i] = a, b
        for j in range(m):
            if cones:
                e = 1.0 if slopes[i, j] > 0.5 else -1.0
                h = max(t0[i, j] - e * c0[i, j], 0.0) / (wc + wt)
                left[i, j], right[i, j] = (h, 0.0) if e > 0.0 else (0.0, h)
            else:
                share = b if j < count else a
                left[i, j], right[i, j] = _sides(c0[i, j], t0[i, j], slopes[i, j], share, wc, wt)
            c[i, j] = c0[i, j] + wc * (left[i, j] - right[i, j])
            t[i, j] = t0[i, j] - wt * (left[i, j] + right[i, j])


@kernel(inner=True, error_model="numpy")
def _neuron(u, moved, radius, kind, beta, step, nu, out):  # type: ignore[no-untyped-def]
    """Shrink by ``nu radius ||.||_*``, then by ``beta ||.||``; return ``radius ||.||_*`` of it."""
    size = _shrink(u, moved, nu * radius * step, kind, u, out)
    length = 0.0
    for j in range(len(out)):
        length += out[j] * out[j]
    length = np.sqrt(length)
    share = max(1.0 - beta * step / length, 0.0) if length > 0.0 else 0.0
    for j in range(len(out)):
        out[j] *= share
    return radius * size * share


@kernel(error_model="numpy")
def _neurons(rows, reach, moved, radius, kind, beta, step, step_reach, out, out_reach):  # type: ignore[no-untyped-def]
    """Find each neuron's multiplier of ``t >= radius ||v||_*``: a root of one variable."""
    for b in range(len(rows)):
        v, t0 = rows[b], reach[b]
        left = 0.0
        at_left = _neuron(v, moved, radius, kind, beta, step, 0.0, out[b]) - t0
        if at_left <= 0.0:
            out_reach[b] = t0
            continue
        right = at_left / step_reach  # there t has come up to where the norm was
        lift = _neuron(v, moved, radius, kind, beta, step, right, out[b])
        at_right = lift - t0 - right * step_reach
        kept = np.int64(0)
        for k in range(STEPS if at_right < 0.0 else 0):
            new = _between(left, at_left, right, at_right, k)
            if not left < new < right:
                break
            lift = _neuron(v, moved, radius, kind, beta, step, new, out[b])
            left, at_left, right, at_right, kept = _narrow(
                left, at_left, right, at_right, kept, new, lift - t0 - new * step_reach
            )
        size = _neuron(v, moved, radius, kind, beta, step, right, out[b])
        out_reach[b] = max(t0 + right * step_reach, size)


@kernel(inner=True, error_model="numpy")
def _of_length(u, reach, moved, pull, step, step_reach, out):  # type: ignore[no-untyped-def]
    """Put in out what ``beta ||v||`` leaves of a row at a slope of `pull` per length of v.

    The reach of a column is ``max(reach_j, |v_j|)``. Return the length of out.
    """
    total = 0.0
    for j in range(len(u)):
        a = abs(u[j])
        v = a / (1.0 + pull * step)
        if moved[j] and v > reach[j]:
            v = max(
                (a * step_reach + reach[j] * step) / (step_reach + step + pull * step * step_reach),
                0.0,
            )
        out[j] = v if u[j] > 0.0 else -v
        total += v * v
    return np.sqrt(total)


@kernel(error_model="numpy")
def _box_neurons(rows, reach, moved, beta, step, step_reach, out):  # type: ignore[no-untyped-def]
    """Find each neuron's length: where the slope ``beta / length`` leaves as much."""
    for b in range(len(rows)):
        u, t = rows[b], reach[b]
        start = 0.0  # what is left of the slope at zero, squared
        for j in range(len(u)):
            a = abs(u[j]) / step
            if moved[j] and t[j] < 0.0:
                a = max(a + t[j] / step_reach, 0.0)
            start += a * a
        if np.sqrt(start) <= beta:
            out[b] = 0.0
            continue
        left, at_left = 0.0, np.sqrt(start) / beta - 1.0
        right = _of_length(u, t, moved, 0.0, step, step_reach, out[b])
        at_right = _of_length(u, t, moved, beta / right, step, step_reach, out[b]) / right - 1.0
        kept = np.int64(0)
        for k in range(STEPS if at_right < 0.0 else 0):
            new = _between(left, at_left, right, at_right, k)
            if not left < new < right:
                break
            at = _of_length(u, t, moved, beta / new, step, step_reach, out[b]) / new - 1.0
            left, at_left, right, at_right, kept = _narrow(
                left, at_left, right, at_right, kept, new, at
            )
        _of_length(u, t, moved, beta / right, step, step_reach, out[b])

"""Lower bounds over all networks, from a convex relaxation of one neuron.

A dual point ``mu`` bounds the optimum of a `NetworkForm` through its largest response,

    R(mu) = max_{||u|| <= 1} mu' act(X u),    act(t) = mean t + half |t|,

with ``mean = (1 + leak) / 2`` and ``half = (1 - leak) / 2``, which is hard. Let ``u`` be random
on the unit sphere, with mean ``m`` and second moment ``U``. Then

    max(||U x||, |x'm|) <= E |x'u| <= sqrt(x'U x),

on the left as ``|x'u| >= x'u (v'u + w)`` wherever ``||v|| + |w| <= 1``, on the right by Jensen's
inequality. So, with the positive and negative parts of ``mu``, the response is at most

    mean mu'X m + half sum_i (mu_i+ sqrt(x_i'U x_i) - mu_i- max(||U x_i||, |x_i'm|)),

at its largest over ``U >= m m'`` with ``trace U = 1``: a concave maximum over a small matrix.
Weak duality bounds it: with ``sqrt(a) <= (a / s + s) / 2``, any ``s > 0`` and any ``v, w`` as above
leave the maximum of a quadratic over the sphere, which eigenvalues give. What an iterative
method found is only a choice of ``s, v, w``, which moments ``m, U`` suggest: none of it needs to
be exact. So a dual point of the relaxation holds moments, and to bound it again takes no search.

The best bound over all ``mu`` is the optimum of a convex program of its own: training with one
pair ``(m, U)`` for each sign, each output being free between the two ends. `improve` solves it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.functions.norms import L2
from convexnn.relu.bound import (
    feasible,
    grounded,
    limit,
    network_bound,
    repaired,
    scaled_value,
)
from convexnn.relu.forms import NetworkForm
from convexnn.relu.free_part import FreePart
from convexnn.relu.pricing.pricing_bound import ROUNDING, closed_form
from convexnn.relu.samples import largest

if TYPE_CHECKING:
    from numpy.typing import NDArray

Expired: TypeAlias = Callable[[], bool]

TINY = 1e-100  # keeps a division by a length that may be 0 finite
MEMORY = 20  # pairs that L-BFGS remembers
SHARP = (32.0, 256.0, 2048.0)  # orders of the norms that stand for a maximum, in turn
AFTER = 0.7  # share of the steps that are made again on all examples, after those on a sample
SMOOTHING = (1e-1, 1e-2, 1e-3)  # widths of the envelopes of a loss with kinks


class Moments(NamedTuple):
    """A relaxed neuron of size ``||B||^2``: ``U = B B'`` and mean ``||B|| B g / sqrt(1 + g'g)``.

    Attributes
    ----------
    B : array of shape (d, d)
    g : array of shape (d,)
    """

    B: Array
    g: Array


class Relaxed(NamedTuple):
    """A dual point of the relaxation.

    Attributes
    ----------
    mu : array of shape (n,)
        Multiplier of each prediction.
    B : float32 array of shape (2, d, d)
        Of the moments of the largest response to ``mu``, and to ``-mu``.
    g : float32 array of shape (2, d)
    """

    mu: Array
    B: NDArray[np.float32]
    g: NDArray[np.float32]

    def moments(self, side: int) -> Moments:
        """Return the moments of one sign, 0 that of ``mu``."""
        return Moments(self.B[side].astype(np.float64), self.g[side].astype(np.float64))


class Band(NamedTuple):
    """The ends between which each output of a relaxed neuron lies, and what their slopes need."""

    low: Array
    high: Array
    size: float
    h: Array
    P: Array
    N: Array
    a: Array
    b: Array
    on_length: Array
    on_line: Array


def band(X: Array, leak: float, at: Moments, sharp: float = np.inf) -> Band:
    """Return the least and the largest outputs of a relaxed neuron.

    A finite `sharp` takes a norm of that order in place of a maximum, which is smooth.
    """
    B, g = at
    size = max(float(np.linalg.norm(B)), TINY)
    h = g / np.sqrt(1.0 + g @ g)
    P = X @ B
    N = P @ B.T
    a = np.sqrt(np.einsum("ij,ij->i", P, P)) + TINY
    b = np.sqrt(np.einsum("ij,ij->i", N, N)) + TINY
    mean, half = 0.5 * (1.0 + leak), 0.5 * (1.0 - leak)
    line = size * (P @ h)
    flat = np.abs(line)
    most = np.maximum(b, flat)
    if sharp == np.inf:
        on_length, on_line = (b >= flat).astype(np.float64), (b < flat).astype(np.float64)
    else:
        root = (np.power(b / most, sharp) + np.power(flat / most, sharp)) ** (1.0 / sharp)
        on_length = np.power(b / (most * root), sharp - 1.0)
        on_line = np.power(flat / (most * root), sharp - 1.0)
        most = most * root
    low, high = mean * line + half * most, mean * line + half * size * a
    return Band(low, high, size, h, P, N, a, b, on_length, on_line * np.sign(line))


def pull_back(X: Array, leak: float, at: Moments, of: Band, low: Array, high: Array) -> Moments:
    """Return the slope in the moments of ``low'of.low + high'of.high``."""
    B, g = at
    mean, half = 0.5 * (1.0 + leak), 0.5 * (1.0 - leak)
    q = X.T @ (mean * (low + high) + half * low * of.on_line)
    low = low * of.on_length
    unit = of.N / of.b[:, None]
    inner = of.size * float(q @ (B @ of.h))
    along = (inner + half * of.size * float(high @ of.a)) / of.size**2
    dB = of.size * np.outer(q, of.h) + along * B
    left = (half * of.size * high / of.a)[:, None] * of.P + (half * low)[:, None] * (unit @ B)
    dB += X.T @ left + (half * low * unit.T) @ of.P
    dh = of.size * (B.T @ q)
    root = np.sqrt(1.0 + g @ g)
    return Moments(dB, (dh - of.h * float(of.h @ dh)) / root)


def response_bound(X: Array, mu: Array, leak: float = 0.0, *, iterations: int = 200) -> float:
    """Return an upper bound on ``max_{||u||_2 <= 1} mu' act(X u)``, ``act(t) = max(t, leak t)``.

    Parameters
    ----------
    X : array of shape (n, d)
    mu : array of shape (n,)
    leak : float, default 0.0
        In [0, 1).
    iterations : int, default 200
        Of the search for multipliers; any number gives a valid bound.

    Returns
    -------
    float
        At most ``sqrt(sum c) ||diag(c)^(1/2) X||`` and ``sum_i c_i ||x_i||``, where
        ``c = max(mu, 0) + leak max(-mu, 0)``.

    Examples
    --------
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> round(response_bound(X, np.array([1.0, 1.0])), 6)
    1.414214
    """
    if not np.isfinite(mu).all():
        return np.inf
    return held_response(X, mu, likely_moments(X, mu, leak, iterations), leak)


def held_response(X: Array, mu: Array, at: Moments, leak: float = 0.0) -> float:
    """Return the bound of `response_bound` that moments give, whatever they are.

    Examples
    --------
    >>> X, mu = np.eye(2), np.ones(2)
    >>> held_response(X, mu, Moments(np.eye(2), np.zeros(2))) >= response_bound(X, mu)
    True
    """
    rows, weights, size = normalised(X, mu)
    if size == 0.0:
        return 0.0
    closed = closed_form(rows, weights, leak, l1=False)
    if np.isfinite(at.B).all() and np.isfinite(at.g).all():
        closed = min(closed, *(certified(rows, weights, leak, at, sharp) for sharp in SHARP))
    return size * closed * (1.0 + ROUNDING)


def likely_moments(
    X: Array, mu: Array, leak: float, iterations: int, expired: Expired | None = None
) -> Moments:
    """Return moments of about the largest relaxed response, as far as the time allows."""
    rows, weights, size = normalised(X, mu)
    if size == 0.0:
        return Moments(np.eye(X.shape[1]), np.zeros(X.shape[1]))
    return worst_moments(rows, weights, leak, iterations, expired)


def normalised(X: Array, mu: Array) -> tuple[Array, Array, float]:
    """Return rows of length at most 1, weights of at most 1, and what both were divided by."""
    lengths = L2().value(X)
    length, size = float(np.max(lengths, initial=0.0)), float(np.max(np.abs(mu), initial=0.0))
    if length == 0.0 or size == 0.0:
        return X, mu, 0.0
    kept = lengths > 0.0
    return X[kept] / length, mu[kept] / size, length * size


def relaxed(
    form: NetworkForm, mu: Array, *, iterations: int = 200, expired: Expired | None = None
) -> Relaxed:
    """Return multipliers as a dual point of the relaxation, with moments that bound them well.

    Parameters
    ----------
    form : NetworkForm
        Of one output.
    mu : array of shape (n,)
        Any guess.
    iterations : int, default 200
        Of the search for the moments; any number gives a valid bound.
    expired : callable, optional
        Asked now and then whether to end it.

    Returns
    -------
    Relaxed
    """
    found = [Moments(np.eye(form.X.shape[1]), np.zeros(form.X.shape[1]))] * 2
    if mu.shape == form.y.shape and np.isfinite(mu).all():
        each = form.spread(repaired(form, mu))
        ways = (each, -each)
        found = [likely_moments(form.X, way, form.leak, iterations, expired) for way in ways]
    B = np.stack([at.B / max(float(np.linalg.norm(at.B)), TINY) for at in found])
    g = np.stack([at.g for at in found])
    return Relaxed(mu, B.astype(np.float32), g.astype(np.float32))


def relaxed_bound(
    form: NetworkForm, point: Relaxed, *, slack: float = 0.0, free: FreePart | None = None
) -> float:
    """Return a lower bound on the optimum over all networks; -inf where `mu` is not finite.

    Parameters
    ----------
    form : NetworkForm
        Of one output. In the l1 norm the bound holds as the l1 ball is inside the l2 ball.
    point : Relaxed
        Any guess.
    slack : float, default 0.0
        Frobenius norm of the part of the data that ``form.X`` leaves out.
    free : FreePart, optional
        Of the form, where it has one; made here if not given.

    Returns
    -------
    float
        Never below `network_bound`.
    """
    form, free = grounded(form, point.mu, free)
    if form.skip and free is None:
        free = FreePart(form)
    crude = network_bound(form, point.mu, slack=slack, free=free)
    found = feasible(form, point.mu, free)
    d = form.X.shape[1]
    if found is None or point.B.shape != (2, d, d) or point.g.shape != (2, d):
        return crude
    each = form.spread(found.mu)
    worth = max(
        held_response(form.X, way, point.moments(side), form.leak)
        for side, way in enumerate((each, -each))
    )
    worth += slack * float(np.linalg.norm(found.mu)) + found.more(form, slack, 1.0)
    worth *= 1.0 + ROUNDING
    return max(crude, scaled_value(form.loss, found, limit(form.beta, worth)))


def improve(
    form: NetworkForm, mu: Array, *, iterations: int = 500, expired: Expired | None = None
) -> Relaxed:
    """Return a dual point whose `relaxed_bound` is no lower than that of `mu`, often much higher.

    Solves, over sizes ``||B||^2`` and moments of one relaxed neuron of each sign, the program

        minimise sum_i min {l(z; y_i) : low_i <= z - x_i's <= high_i} + beta (||B||^2 + ||C||^2)

    by L-BFGS; its slope is the point. Its optimum is the best bound that the relaxation gives.

    Parameters
    ----------
    form : NetworkForm
    mu : array of shape (n,)
        Any guess.
    iterations : int, default 500
        Each takes ``O(n d^2)``. Any number gives a point that is no worse.
    expired : callable, optional
        Asked now and then whether to end the search for a better point.

    Returns
    -------
    Relaxed

    Examples
    --------
    >>> from convexnn.functions.losses import Squared
    >>> from convexnn.functions.norms import L2
    >>> X = np.random.default_rng(0).standard_normal((40, 3))
    >>> form = NetworkForm(X, np.abs(X[:, 0]), Squared(), L2(), 1.0, 0.0, False, None)
    >>> relaxed_bound(form, improve(form, form.y)) > relaxed_bound(form, relaxed(form, form.y))
    True
    """
    found = relaxed_training(form, iterations, expired)
    guesses = [mu, found, -form.loss.gradient(np.zeros_like(form.y), form.y)]
    if mu.shape == form.y.shape and np.isfinite(mu).all():
        guesses.append(0.5 * (mu + found))
    free = FreePart(form) if form.skip else None
    points = [relaxed(form, guess, expired=expired) for guess in guesses]
    return max(points, key=lambda point: relaxed_bound(form, point, free=free))


def certified(X: Array, mu: Array, leak: float, at: Moments, sharp: float = np.inf) -> float:
    """Return an upper bound on the response from multipliers that the moments suggest.

    It is inf where they are too large to be worked with.
    """
    d = X.shape[1]
    mean, half = 0.5 * (1.0 + leak), 0.5 * (1.0 - leak)
    of = band(X, leak, at, sharp)
    lengths = np.sqrt(np.einsum("ij,ij->i", X, X))
    s = np.maximum(of.a / of.size, 1e-6 * lengths + TINY)
    share = 1.0 / (of.on_length + np.abs(of.on_line))  # so that ||v|| + |w| <= 1
    v, w = (share * of.on_length / of.b)[:, None] * of.N, share * of.on_line
    plus, minus = np.maximum(mu, 0.0), np.maximum(-mu, 0.0)
    left = (0.5 * half * plus / s)[:, None] * X - (half * minus)[:, None] * v
    Q = X.T @ left
    Q = 0.5 * (Q + Q.T)
    q = X.T @ (mean * mu - half * minus * w)
    constant = 0.5 * half * float(plus @ s)
    size = half * float(plus @ (np.square(lengths) / s + s) + minus @ lengths)
    size += float(np.abs(mu) @ lengths)
    if not (np.isfinite(Q).all() and np.isfinite(q).all()):
        return np.inf
    value = constant + on_sphere(Q, q) + d * ROUNDING * size
    return max(float(value), 0.0)


def on_sphere(Q: Array, q: Array) -> float:
    """Return an upper bound on ``max_{||u|| = 1} u'Q u + q'u``, tight up to rounding.

    Any ``t`` above the eigenvalues of Q gives one, ``t + q'(t I - Q)^-1 q / 4``. It is ``inf``
    where Q or q overflowed.
    """
    if not (np.isfinite(Q).all() and np.isfinite(q).all()):
        return np.inf
    values, vectors = np.linalg.eigh(Q)
    root = 0.5 * (vectors.T @ q)
    below, length = values[-1] - values, float(np.linalg.norm(q))
    if length <= TINY:
        return float(values[-1]) + length
    low, high = 1e-9 * length, length
    for _ in range(60):  # at the minimiser the squares of root / (t - values) sum to 1
        middle = np.sqrt(low * high)
        if np.sum(np.square(root / (middle + below))) > 1.0:
            low = middle
        else:
            high = middle
    return float(values[-1] + high + np.sum(np.square(root) / (high + below)))


def worst_moments(
    X: Array, mu: Array, leak: float, iterations: int, expired: Expired | None = None
) -> Moments:
    """Return moments of about the largest relaxed response."""
    d = X.shape[1]
    low, high = np.minimum(mu, 0.0), np.maximum(mu, 0.0)

    def loss(flat: Array, sharp: float) -> tuple[float, Array]:
        at = Moments(flat[d:].reshape(d, d), flat[:d])
        of = band(X, leak, at, sharp)
        value = float(low @ of.low + high @ of.high) / of.size**2
        slope = pull_back(X, leak, at, of, low, high)
        dB = (slope.B - 2.0 * value * at.B) / of.size**2
        return -value, -np.concatenate([slope.g / of.size**2, dB.ravel()])

    some = largest(len(X))
    if some is None:
        flat = np.concatenate([np.zeros(d), np.eye(d).ravel() / np.sqrt(d)])
        for sharp in SHARP:
            flat = descend(partial(loss, sharp=sharp), flat, iterations // len(SHARP), expired)
    else:
        near = worst_moments(X[some], mu[some], leak, iterations, expired)
        flat = np.concatenate([near.g, near.B.ravel()])
        flat = descend(partial(loss, sharp=SHARP[-1]), flat, int(AFTER * iterations), expired)
    return Moments(flat[d:].reshape(d, d), flat[:d])


def relaxed_training(form: NetworkForm, iterations: int, expired: Expired | None = None) -> Array:
    """Return minus the slope of the loss at about the optimum of the relaxed training program."""
    length = float(np.max(L2().value(form.X), initial=0.0)) or 1.0
    some = largest(len(form.y))
    if some is None:
        return relaxed_descent(form, length, iterations, expired)[1]
    near, _ = relaxed_descent(form.sampled(some), length, iterations, expired)
    return relaxed_descent(form, length, int(AFTER * iterations), expired, near)[1]


def relaxed_descent(
    form: NetworkForm,
    length: float,
    iterations: int,
    expired: Expired | None,
    start: Array | None = None,
) -> tuple[Array, Array]:
    """Return about the optimum of the relaxed training program, and minus the loss's slope there.

    The data are divided by a length. From a start, near the optimum, it is the sharpest program.
    """
    X, y, leak = form.X, form.y, form.leak
    d = X.shape[1]
    X, beta = X / length, form.beta / length
    span = form.span / length
    free = span.shape[1] if form.skip else 0
    sizes = [d, d * d, d, d * d, free]
    ends = np.cumsum(sizes)[:-1]
    lowest = -form.loss.conjugate(np.zeros_like(y), y)
    slopes = np.zeros_like(y)

    def smooth(z: Array, width: float) -> tuple[Array, Array]:
        if width == 0.0:
            return form.loss.value(z, y), form.loss.gradient(z, y)
        near = form.loss.prox(z, y, width)
        slope = (z - near) / width
        return form.loss.value(near, y) + 0.5 * width * np.square(slope), slope

    def objective(flat: Array, width: float, sharp: float) -> tuple[float, Array]:
        g, B, h, C, s = np.split(flat, ends)
        plus, minus = Moments(B.reshape(d, d), g), Moments(C.reshape(d, d), h)
        up, down = band(X, leak, plus, sharp), band(X, leak, minus, sharp)
        line = span @ s if free else 0.0
        at_low, slope_low = smooth(form.pooled(up.low - down.high) + line, width)
        at_high, slope_high = smooth(form.pooled(up.high - down.low) + line, width)
        above, under = slope_low > 0.0, slope_high < 0.0
        loss = np.sum(np.where(above, at_low, np.where(under, at_high, lowest)))
        low = np.where(above, slope_low, 0.0)
        high = np.where(under & ~above, slope_high, 0.0)
        slopes[:] = low + high
        low, high = form.spread(low), form.spread(high)
        to_plus = pull_back(X, leak, plus, up, low, high)
        to_minus = pull_back(X, leak, minus, down, -high, -low)
        gradient = [to_plus.g, (to_plus.B + 2.0 * beta * plus.B).ravel()]
        gradient += [to_minus.g, (to_minus.B + 2.0 * beta * minus.B).ravel()]
        gradient += [span.T @ (low + high)] * bool(free)
        return float(loss) + beta * (up.size**2 + down.size**2), np.concatenate(gradient)

    kinks = not np.isfinite(form.loss.curvature)
    widths = SMOOTHING if kinks else (0.0,) * len(SHARP)
    stages, steps = list(zip(widths, SHARP, strict=True)), iterations // len(SHARP)
    if start is None:
        unit = np.concatenate([np.zeros(d), np.eye(d).ravel()] * 2 + [np.zeros(free)])
        starts = [size * unit for size in np.logspace(-4.0, 3.0, 29)]
        flat = min(starts, key=lambda start: objective(start, widths[0], SHARP[0])[0])
    else:
        flat, stages, steps = start, stages[-1:], iterations
    for width, sharp in stages:
        smoothed = partial(objective, width=width, sharp=sharp)
        flat = descend(smoothed, flat, steps, expired)
        smoothed(flat)
    return flat, -slopes


def descend(
    loss: Callable[[Array], tuple[float, Array]],
    start: Array,
    iterations: int,
    expired: Expired | None = None,
) -> Array:
    """Return where L-BFGS arrives from `start` before it is asked to end."""
    from scipy.optimize import minimize

    def ended(at: Array) -> None:
        if expired is not None and expired():
            raise StopIteration

    options = {"maxiter": iterations, "maxcor": MEMORY, "ftol": 1e-13, "gtol": 1e-10}
    found: Array = minimize(  # type: ignore[call-overload]  # the stubs reject jac=True
        loss, start, jac=True, method="L-BFGS-B", callback=ended, options=options
    ).x
    return found

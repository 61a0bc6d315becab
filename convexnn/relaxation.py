"""Lower bounds over all networks from a convex relaxation of one neuron.

A dual point ``mu`` bounds the optimum of a `NetworkForm` through its largest response,

    R(mu) = max_{||u|| <= 1} mu' act(X u),    act(t) = mean t + half |t|,
    mean = (1 + leak) / 2,    half = (1 - leak) / 2,

which is hard. Take ``u`` as random on the unit sphere, of mean ``m`` and second moment ``U``.
Then ``||U x|| <= E |x'u| <= sqrt(x'U x)`` (left as ``|x'u| >= (x'u)(v'u)`` for each unit ``v``, right by
Jensen's inequality), so the response is at most

    R(mu) <= max mean (X m)'mu + half sum_i max(mu_i, 0) sqrt(x_i'U x_i) - max(-mu_i, 0) ||U x_i||
             over U >= m m', trace U = 1,

a concave maximum over a small matrix. It is bounded by weak duality: with
``sqrt(a) <= (a / s + s) / 2`` and ``||a|| >= v'a``, any ``s > 0`` and unit ``v`` leave the largest
value of a quadratic on the sphere, in closed form from its eigenvalues. Nothing that an iterative
method found needs to be exact.

The largest bound over ``mu`` is itself the optimum of a convex program, training with one pair
``(m, U)`` for each sign and an output anywhere between the two ends; `improve` solves it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from convexnn.arrays import Array
from convexnn.forms import NetworkForm
from convexnn.losses import Loss
from convexnn.problems.bound import repaired, scaled_value

ROUNDING = 1e-13  # relative allowance for the rounding of sums
TINY = 1e-100  # keeps a division by a length that may be 0 finite


class Moments(NamedTuple):
    """A relaxed neuron of size ``||B||^2``: ``U = B B'`` and mean ``||B|| B g / sqrt(1 + g'g)``.

    Attributes
    ----------
    B : array of shape (d, d)
    g : array of shape (d,)
    """

    B: Array
    g: Array


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


def band(X: Array, leak: float, at: Moments) -> Band:
    """Return the least and the largest outputs of a relaxed neuron."""
    B, g = at
    size = max(float(np.linalg.norm(B)), TINY)
    h = g / np.sqrt(1.0 + g @ g)
    P = X @ B
    N = P @ B.T
    a = np.sqrt(np.einsum("ij,ij->i", P, P)) + TINY
    b = np.sqrt(np.einsum("ij,ij->i", N, N)) + TINY
    mean, half = 0.5 * (1.0 + leak), 0.5 * (1.0 - leak)
    line = mean * size * (P @ h)
    return Band(line + half * b, line + half * size * a, size, h, P, N, a, b)


def pull_back(X: Array, leak: float, at: Moments, of: Band, low: Array, high: Array) -> Moments:
    """Return the slope in the moments of ``low'of.low + high'of.high``."""
    B, g = at
    mean, half = 0.5 * (1.0 + leak), 0.5 * (1.0 - leak)
    q = mean * (X.T @ (low + high))
    unit = of.N / of.b[:, None]
    inner = of.size * float(q @ (B @ of.h))
    along = (inner + half * of.size * float(high @ of.a)) / of.size**2
    dB = of.size * np.outer(q, of.h) + along * B
    left = (half * of.size * high / of.a)[:, None] * of.P + (half * low)[:, None] * (unit @ B)
    dB += X.T @ left + (half * low * unit.T) @ of.P
    dh = of.size * (B.T @ q)
    root = np.sqrt(1.0 + g @ g)
    return Moments(dB, (dh - of.h * float(of.h @ dh)) / root)


def certified(X: Array, mu: Array, leak: float, at: Moments) -> float:
    """Return an upper bound on the response from multipliers that the moments suggest."""
    d = X.shape[1]
    mean, half = 0.5 * (1.0 + leak), 0.5 * (1.0 - leak)
    of = band(X, leak, at)
    lengths = np.sqrt(np.einsum("ij,ij->i", X, X))
    s = np.maximum(of.a / of.size, 1e-6 * lengths + TINY)
    v = of.N / of.b[:, None]
    plus, minus = np.maximum(mu, 0.0), np.maximum(-mu, 0.0)
    left = (0.5 * half * plus / s)[:, None] * X - (half * minus)[:, None] * v
    Q = X.T @ left
    Q = 0.5 * (Q + Q.T)
    q = mean * (X.T @ mu)
    constant = 0.5 * half * float(plus @ s)
    size = half * float(plus @ (np.square(lengths) / s + s) + minus @ lengths)
    size += mean * float(np.abs(mu) @ lengths)
    value = constant + on_sphere(Q, q) + d * ROUNDING * size
    return max(value, 0.0)


def on_sphere(Q: Array, q: Array) -> float:
    """Return an upper bound on ``max_{||u|| = 1} u'Q u + q'u``, tight up to rounding.

    Any ``t`` above the eigenvalues of Q gives one, ``t + q'(t I - Q)^-1 q / 4``.
    """
    values, vectors = np.linalg.eigh(Q)
    weights = 0.25 * np.square(vectors.T @ q)
    top, length = float(values[-1]), float(np.linalg.norm(q))
    if length == 0.0:
        return top

    def bound(t: float) -> float:
        return float(t + np.sum(weights / (t - values)))

    # At the minimiser the sum of weights / (t - values)^2 is 1.
    low, high = 1e-9 * length, length
    for _ in range(60):
        middle = np.sqrt(low * high)
        if np.sum(weights / np.square(top + middle - values)) > 1.0:
            low = middle
        else:
            high = middle
    return bound(top + high)

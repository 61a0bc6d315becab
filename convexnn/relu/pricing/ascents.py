"""Local maxima of a neuron's worth, by the convex-concave procedure (Yuille & Rangarajan 2003).

The worth ``linear'u + sum_i w_i relu(x_i'u)`` is a difference of convex functions. The concave
terms are kept and the convex ones linearised at u: each step is the strongly concave problem

    max_u  c'u - sum_{w_i < 0} |w_i| relu(x_i'u) - ||u||^2 / 2
        =  min { ||c - X' theta||^2 / 2 : 0 <= theta_i <= |w_i| },       u = c - X' theta

solved by dual coordinate descent.
"""

from __future__ import annotations

import numpy as np

from convexnn.contract.arrays import Array, readonly
from convexnn.contract.system.kernels import kernel

SWEEPS = 30  # of coordinate descent per linearisation
SETTLED = 1e-4  # relative change of u at which a sweep is the last
LINEARISATIONS = 30


def maxima(X: Array, weight: Array, linear: Array, starts: Array) -> Array:
    """Return a local maximum from each start, one a row, of any length.

    Parameters
    ----------
    X : array of shape (n, d)
    weight : array of shape (n,)
    linear : array of shape (d,)
    starts : array of shape (m, d)

    Returns
    -------
    array of shape (m, d)

    Examples
    --------
    >>> maxima(np.eye(2), np.array([3.0, -1.0]), np.zeros(2), np.ones((1, 2)))
    array([[3., 0.]])
    """
    out: Array = np.array(starts, np.float64, order="C")
    _climb(readonly(X), weight, linear, out)
    return out


@kernel(fastmath={"reassoc", "contract"})
def _climb(X, weight, linear, U):  # type: ignore[no-untyped-def]
    n, d = X.shape
    square = np.empty(n)
    for i in range(n):
        t = 0.0
        for j in range(d):
            t += X[i, j] * X[i, j]
        square[i] = t
    theta = np.empty(n)
    active = np.empty(n, np.bool_)
    v = np.empty(d)
    for b in range(U.shape[0]):
        for i in range(n):
            t = 0.0
            for j in range(d):
                t += X[i, j] * U[b, j]
            active[i] = t > 0.0
            theta[i] = -weight[i] if active[i] and weight[i] < 0.0 else 0.0
        for _ in range(LINEARISATIONS):
            for j in range(d):
                v[j] = linear[j]
            for i in range(n):
                w = weight[i] if active[i] and weight[i] > 0.0 else -theta[i]
                if w != 0.0:
                    for j in range(d):
                        v[j] += w * X[i, j]
            for _ in range(SWEEPS):
                change = 0.0
                for i in range(n):
                    if weight[i] >= 0.0 or square[i] == 0.0:
                        continue
                    t = 0.0
                    for j in range(d):
                        t += X[i, j] * v[j]
                    if (t <= 0.0 and theta[i] == 0.0) or (t >= 0.0 and theta[i] == -weight[i]):
                        continue
                    following = min(max(theta[i] + t / square[i], 0.0), -weight[i])
                    step = following - theta[i]
                    theta[i] = following
                    change += step * step * square[i]
                    for j in range(d):
                        v[j] -= step * X[i, j]
                size = 0.0
                for j in range(d):
                    size += v[j] * v[j]
                if change <= SETTLED * SETTLED * size:
                    break
            flipped = False
            for i in range(n):
                t = 0.0
                for j in range(d):
                    t += X[i, j] * v[j]
                positive = t > 0.0
                if positive != active[i] and weight[i] > 0.0:
                    flipped = True
                active[i] = positive
            if not flipped:
                break
        for j in range(d):
            U[b, j] = v[j]

"""Solve a smooth problem, or a network's own, with SciPy's L-BFGS, written as a user would.

Networks: both layers' weights as they are, ``relu(X U) a`` with ``beta / 2`` of all squares, from a
random start; the gradient of the kink is that of one side. Wasserstein: the loss plus the
radius times a norm that is smooth but at zero. Medians: the sum of distances, from the mean. Points
are those that one run passes; where it stops by itself, that is the last.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import minimize
from script import Deliver, Run, Task, Trail, options, serve, watched

MOST = 1_000_000  # iterations
Both = Callable[[Any], Any]  # objective and gradient
Read = Callable[[Any], Task]


class Over(Exception):
    """No time is left."""


def loss_of(name: str, z: Any, y: Any, delta: float) -> tuple[Any, Any]:
    """Return the loss of each prediction and its slope."""
    if name == "logistic":
        return np.logaddexp(0.0, -y * z), -y * (0.5 - 0.5 * np.tanh(0.5 * y * z))
    r = z - y
    if name == "squared":
        return 0.5 * r * r, r
    near = np.clip(r, -delta, delta)
    return near * (r - 0.5 * near), near


def network(task: Task, asked: argparse.Namespace) -> tuple[Both, Any, Read]:
    """Return objective and gradient of a network, its start, and how it is read."""
    X, y, beta, leak = task["X"], task["y"], task["beta"], task["leak"]
    d, m, free = X.shape[1], asked.width, X.shape[1] * task["skip"]

    def parts(w: Any) -> tuple[Any, Any, Any]:
        return w[: d * m].reshape(d, m), w[d * m : d * m + m], w[d * m + m :]

    def both(w: Any) -> tuple[float, Any]:
        U, a, s = parts(w)
        H = X @ U
        slopes = np.where(H > 0.0, 1.0, leak)
        A = slopes * H
        z = A @ a + (X @ s if free else 0.0)
        loss, g = loss_of(task["loss"], z, y, task["delta"])
        own = w[: d * m + m]
        grad = np.concatenate([(X.T @ (slopes * np.outer(g, a))).ravel(), A.T @ g])
        linear = X.T @ g if free else np.zeros(0)
        return loss.sum() + 0.5 * beta * own @ own, np.concatenate([grad + beta * own, linear])

    def read(w: Any) -> Task:
        U, a, s = parts(w)
        V = np.abs(a) * U
        return {"V": V[:, a > 0.0], "W": V[:, a < 0.0], "skip": s if free else np.zeros(d)}

    rng = np.random.default_rng(asked.seed)
    scale = np.sqrt(np.mean(X * X)) or 1.0
    start = [rng.standard_normal(d * m) / np.sqrt(d) / scale, rng.standard_normal(m) / np.sqrt(m)]
    return both, np.concatenate([*start, np.zeros(free)]), read


def wasserstein(task: Task, asked: argparse.Namespace) -> tuple[Both, Any, Read]:
    """Return the smooth worst case of a linear model and its gradient."""
    X, y, radius = task["X"], task["y"], task["radius"]
    n, d = X.shape
    name, delta, own = task["loss"], task.get("delta", 1.0), float(task["intercept"])
    slope = delta if name == "huber" else 1.0

    def both(w: Any) -> tuple[float, Any]:
        b, z = w[:d], X @ w[:d] + own * w[d]
        length = np.linalg.norm(b)
        away = b / length if length > 0.0 else np.zeros(d)
        loss, g = loss_of(name, z, y, delta)
        if name == "squared":
            root = np.sqrt(2.0 * loss.mean())
            total = root + radius * length
            g = g / (n * root) if root > 0.0 else 0.0 * g
            grad = np.append(X.T @ g + radius * away, own * g.sum())
            return total**2, 2.0 * total * grad
        g = g / n
        grad = np.append(X.T @ g + radius * slope * away, own * g.sum())
        return loss.mean() + radius * slope * length, grad

    def read(w: Any) -> Task:
        return {"coef": w[:d], "intercept": own * w[d]}

    return both, np.append(np.full(d, 1e-3), 0.0), read


def median(task: Task, asked: argparse.Namespace) -> tuple[Both, Any, Read]:
    """Return the sum of distances and its gradient."""
    points, weights = task["points"], task["weights"]

    def both(x: Any) -> tuple[float, Any]:
        away = x - points
        r = np.sqrt(np.einsum("ij,ij->i", away, away))
        pull = np.divide(weights, r, out=np.zeros_like(r), where=r > 0.0)
        return float(weights @ r), pull @ away

    return both, weights @ points / weights.sum(), lambda x: {"point": x}


BUILDS = {"network": network, "wasserstein": wasserstein, "median": median}


def prepare(task: Task, asked: argparse.Namespace) -> Run:
    """Write the problem as a function."""
    both, start, read = BUILDS[task["kind"]](task, asked)
    both(start)
    limits: Any = {"maxiter": MOST, "maxfun": MOST, "ftol": 0.0, "gtol": 1e-12}

    def run(deliver: Deliver) -> None:
        trail = Trail(deliver, read, asked.limit)

        def watched(x: Any) -> None:
            if trail.step(x):
                raise Over

        try:
            found = minimize(  # type: ignore[call-overload]  # of a function with its gradient
                both, start, jac=True, method="L-BFGS-B", callback=watched, options=limits
            )
            trail.end(found.x)
        except Over:
            pass
        if not trail.steps:
            trail.step(start)

    return watched(run)


if __name__ == "__main__":
    own = options(__doc__)
    own.add_argument("--width", type=int, default=50, help="neurons of a network")
    own.add_argument("--seed", type=int, default=0, help="of a network's start")
    serve("scipy", prepare, own.parse_args())

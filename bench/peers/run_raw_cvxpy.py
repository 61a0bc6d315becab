"""Solve one problem as its formula, written by hand in CVXPY from the user's own data.

Nothing of convexnn's: no scaling, no centring, no reduction, no tuned settings. Writing the formula
and canonicalising it is the build. An effort is the solver's tolerance.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from typing import Any

import cvxpy as cp
import numpy as np
from script import Point, Run, Task, each, options, serve, timed

EFFORTS = {"clarabel": (1e-4, 1e-6, 1e-8, 1e-10), "scs": (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)}
MOST = 10_000_000  # iterations of SCS
DUAL = {"l1": "inf", "l2": 2, "linf": 1}
Formula = tuple[Any, Callable[[], Task]]


def loss_of(task: Task, z: Any) -> Any:
    """Return the sum of the loss over the examples; "squared" is half of the square."""
    y, name = task["y"], task["loss"]
    if name == "squared":
        return 0.5 * cp.sum_squares(z - y)
    if name == "huber":
        return 0.5 * cp.sum(cp.huber(z - y, task["delta"]))
    if name == "absolute":
        return cp.norm(z - y, 1)
    if name == "quantile":
        level = task["quantile"]
        return cp.sum(cp.maximum(level * (y - z), (level - 1.0) * (y - z)))
    margin = cp.multiply(y, z)
    return cp.sum(cp.logistic(-margin) if name == "logistic" else cp.pos(1.0 - margin))


def norms(task: Task, V: Any) -> Any:
    """Return the sum of the neurons' norms."""
    return cp.sum(cp.norm(V, 1 if task["penalty"] == "l1" else 2, axis=0))


def relu(task: Task) -> Formula:
    """Write the program with the cones of its patterns."""
    X, D, beta = task["X"], task["matrix"], task["beta"]
    (_, d), P = X.shape, D.shape[1]
    S, E = np.where(D, 1.0, task["leak"]), np.where(D, 1.0, -1.0)
    V, W, s = cp.Variable((d, P)), cp.Variable((d, P)), cp.Variable(d)
    z = cp.sum(cp.multiply(S, X @ (V - W)), axis=1) + (X @ s if task["skip"] else 0.0)
    cost = loss_of(task, z) + beta * (norms(task, V) + norms(task, W))
    cones = [cp.multiply(E, X @ V) >= 0, cp.multiply(E, X @ W) >= 0]

    def read() -> Task:
        found = {"weights": np.stack([V.value, W.value])}
        return found | ({"skip": s.value} if task["skip"] else {})

    return cp.Problem(cp.Minimize(cost), cones), read


def network(task: Task) -> Formula:
    """Write the same over all patterns; the answer's neurons may be of any pattern."""
    problem, read = relu(task)

    def neurons() -> Task:
        found = read()
        V, W = found.pop("weights")
        return found | {"V": V, "W": W}

    return problem, neurons


def gated(task: Task) -> Formula:
    """Write the group lasso over gates."""
    X, D = task["X"], task["matrix"]
    U = cp.Variable((X.shape[1], D.shape[1]))
    z = cp.sum(cp.multiply(D.astype(np.float64), X @ U), axis=1)
    cost = loss_of(task, z) + task["beta"] * norms(task, U)
    return cp.Problem(cp.Minimize(cost)), lambda: {"weights": U.value[None]}


def sampled(task: Task) -> Formula:
    """Write the lasso over drawn neurons."""
    a = cp.Variable(task["features"].shape[1])
    cost = loss_of(task, task["features"] @ a) + task["beta"] * cp.norm(a, 1)
    return cp.Problem(cp.Minimize(cost)), lambda: {"weights": a.value[None, None]}


def robust(task: Task) -> Formula:
    """Write training against perturbations, as majorant or with cones."""
    X, y, D, radius = task["X"], task["y"], task["matrix"], task["radius"]
    (n, d), P = X.shape, D.shape[1]
    E, order, moved = np.where(D, 1.0, -1.0), DUAL[task["norm"]], task["moved"].astype(np.float64)
    V, W = cp.Variable((d, P)), cp.Variable((d, P))

    def reach(columns: Any) -> Any:
        return radius * cp.norm(cp.multiply(moved[:, None] * np.ones((1, P)), columns), order, 0)

    q = D.astype(np.float64) @ (V - W).T
    centre = cp.sum(cp.multiply(X, q), axis=1)
    spread = radius * cp.norm(cp.multiply(np.ones((n, 1)) * moved, q), order, axis=1)
    over = {
        name: np.ones((n, 1)) @ cp.reshape(reach(part), (1, P), order="C")
        - cp.multiply(E, X @ part)
        for name, part in (("V", V), ("W", W))
    }
    cones = []
    low, up = centre - spread, centre + spread
    if task["formulation"] == "cones":
        cones = [over["V"] <= 0, over["W"] <= 0]
    else:
        low, up = low - cp.sum(cp.pos(over["W"]), axis=1), up + cp.sum(cp.pos(over["V"]), axis=1)
    if task["loss"] == "squared":
        loss = 0.5 * cp.sum_squares(cp.maximum(y - low, up - y, 0.0))
    else:
        plus, minus = np.flatnonzero(y > 0.0), np.flatnonzero(y < 0.0)
        margins = [low[plus], -up[minus]]
        one, shift = (cp.logistic, 0.0) if task["loss"] == "logistic" else (cp.pos, 1.0)
        loss = sum(cp.sum(one(shift - m)) for m in margins if m.size)
    cost = loss + task["beta"] * (norms(task, V) + norms(task, W))
    return cp.Problem(cp.Minimize(cost), cones), lambda: {"V": V.value, "W": W.value}


def wasserstein(task: Task) -> Formula:
    """Write a linear model's worst case over a Wasserstein ball."""
    X, y, radius, order = task["X"], task["y"], task["radius"], task["order"]
    name, cost, n = task["loss"], task["cost"], len(task["y"])
    b, c = cp.Variable(X.shape[1]), cp.Variable()
    z = X @ b + (c if task["intercept"] else 0.0)
    margin, length = cp.multiply(y, z), cp.norm(b, DUAL[task["norm"]])
    rules = [] if task["intercept"] else [c == 0]
    classifies = name in ("logistic", "hinge")
    if not classifies and np.isfinite(cost):
        length = cp.maximum(length, 1.0 / cost)
    one, shift = (cp.logistic, 0.0) if name == "logistic" else (cp.pos, 1.0)
    if classifies and order == 1.0 and np.isfinite(cost):
        lam = cp.Variable(nonneg=True)
        worst = cp.maximum(one(shift - margin), one(shift + margin) - cost * lam)
        total, rules = radius * lam + cp.sum(worst) / n, [*rules, lam >= length]
    elif classifies and order == 2.0:
        lam = cp.Variable(nonneg=True)
        lift = cp.quad_over_lin(length, 4.0 * lam)
        total = lam * radius**2 + cp.sum(cp.pos(1.0 - margin + lift)) / n
    elif classifies and order == np.inf:
        total = cp.sum(one(shift - margin + radius * length)) / n
    elif name == "squared" and order == 2.0:
        total = cp.square(cp.norm(z - y, 2) / np.sqrt(n) + radius * length)
    elif name == "squared":
        total = cp.sum_squares(cp.abs(z - y) + radius * length) / n
    else:
        steepest = {
            "huber": task.get("delta"),
            "quantile": abs(task.get("quantile", 0) - 0.5) + 0.5,
        }
        total = loss_of(task, z) / n + radius * steepest.get(name, 1.0) * length
    return cp.Problem(cp.Minimize(total), rules), lambda: {"coef": b.value, "intercept": c.value}


def median(task: Task) -> Formula:
    """Write the sum of distances."""
    points, weights = task["points"], task["weights"]
    x = cp.Variable(points.shape[1])
    away = points - np.ones((len(points), 1)) @ cp.reshape(x, (1, x.size), order="C")
    cost = weights @ cp.norm(away, 2, axis=1)
    return cp.Problem(cp.Minimize(cost)), lambda: {"point": x.value}


def consensus(task: Task) -> Formula:
    """Write the same with a point for every agent, equal over every edge."""
    points, weights, edges = task["points"], task["weights"], task["edges"]
    x = cp.Variable(points.shape)
    cost = weights @ cp.norm(x - points, 2, axis=1)
    equal = [x[edges[:, 0]] == x[edges[:, 1]]] if len(edges) else []
    return cp.Problem(cp.Minimize(cost), equal), lambda: {"local": x.value}


FORMULAS = {
    write.__name__: write
    for write in (relu, network, gated, sampled, robust, wasserstein, median, consensus)
}


def settings(solver: str, tol: float) -> dict[str, Any]:
    """Return a solver's tolerances."""
    if solver == "scs":
        return {"eps_abs": tol, "eps_rel": tol, "max_iters": MOST}
    return {"tol_gap_abs": tol, "tol_gap_rel": tol, "tol_feas": tol, "max_threads": 1}


def prepare(task: Task, asked: argparse.Namespace) -> Run:
    """Write the formula; solve it once for each effort."""
    warnings.simplefilter("ignore")  # inaccurate solutions are graded as they are
    name, write = asked.solver.upper(), FORMULAS[task["kind"]]
    x = cp.Variable(2)
    cp.Problem(cp.Minimize(cp.norm(x - 1.0))).solve(solver=name)  # first calls

    def run(tol: float) -> Point:
        built = timed(lambda: write(task))
        problem, read = built.result
        canonical = timed(lambda: problem.get_problem_data(name))
        found = timed(
            lambda: problem.solve(solver=name, warm_start=False, **settings(asked.solver, tol)),
            asked.repeats,
        )
        if problem.status not in ("optimal", "optimal_inaccurate"):
            raise RuntimeError(f"{name} at tolerance {tol:g}: {problem.status}")
        return Point(read(), found.seconds, found.cpu, built.seconds + canonical.seconds)

    return each(asked.effort or EFFORTS[asked.solver], run)


if __name__ == "__main__":
    own = options(__doc__)
    own.add_argument("--solver", choices=tuple(EFFORTS), default="clarabel")
    serve("cvxpy", prepare, own.parse_args())

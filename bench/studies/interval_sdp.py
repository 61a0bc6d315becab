"""Compare the interval over all patterns with a published semidefinite relaxation.

``python bench/studies/interval_sdp.py`` writes the relaxation of Prakhya, Birdal & Yurtsever (ICLR
2025, arXiv 2410.22311), of infinite width and one output, through CVXPY,

    minimise    ||L_av - y||^2 / 2 + beta (trace L_uu + trace L_vv) / 2
    subject to  L >= 0 (semidefinite) over (a, b, u, v),  T L T' = 0,  diag(L_ab) = 0
                L >= 0 (entries) at (a, b),               T = [-I, I, X, 0]

whose exact program, of completely positive L at (a, b), is `ReluTraining` over all patterns. Its
value stands beside what the lifted relaxation proves without splits, what cell-walk proves, and
the network. Seconds are of the processor. See bench/studies/README.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import cvxpy as cp
import numpy as np
from harness import Table, cpu_seconds
from interval import planted, standardised
from sklearn.datasets import load_iris
from threadpoolctl import threadpool_limits

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.relu.forms import NetworkForm
from convexnn.relu.lift import lifted_bound
from convexnn.solvers.relu.lift import Lifting

LIMIT_S = 240.0  # of a conic solver
SHARP = 1e-4  # tolerance of SCS, as published
STEPS = 200  # of the lift, at the most
NEAR = 0.01  # share of what is open that it may still close


def instances() -> Iterator[tuple[str, cx.ReluTraining]]:
    """Yield data of the kinds and sizes that the relaxation was published on, and of rank 6."""
    g = np.random.default_rng(0)
    U, v, X = g.standard_normal((2, 100)), g.standard_normal(100), g.standard_normal((25, 2))
    y = np.maximum(X @ U, 0.0) @ v
    for beta in (0.01, 0.1):
        yield f"random 25 x 2, beta {beta}", cx.ReluTraining(X, y, beta=beta)
    X, classes = load_iris(return_X_y=True)
    X, y = standardised(X)[::5], np.where(classes[::5] == 1, 1.0, -1.0)
    for beta in (0.1, 1.0):
        yield f"iris 30 x 4, beta {beta}", cx.ReluTraining(X, y, beta=beta)
    for n, d, beta in ((20, 6, 0.5), (30, 10, 1.5)):
        yield f"planted {n} x {d}, beta {beta}", cx.ReluTraining(*planted(n, d), beta=beta)


def published(X: Array, y: Array, beta: float) -> cp.Problem:
    """Return the published relaxation."""
    n, d = X.shape
    whole = cp.Variable((2 * n + d + 1, 2 * n + d + 1), PSD=True)
    T = np.hstack([-np.eye(n), np.eye(n), X, np.zeros((n, 1))])
    fit = cp.sum_squares(whole[:n, -1] - y) / 2.0
    size = cp.trace(whole[2 * n :, 2 * n :]) / 2.0
    turned = T @ whole @ T.T
    rules = [
        cp.upper_tri(turned) == 0.0,
        cp.diag(turned) == 0.0,
        cp.diag(whole[:n, n : 2 * n]) == 0.0,
        whole[: 2 * n, : 2 * n] >= 0.0,
    ]
    return cp.Problem(cp.Minimize(fit + beta * size), rules)


def solved(problem: cp.Problem, solver: str) -> str:
    """Return the value that a solver gives, or why it gives none."""
    limits: dict[str, dict[str, float]] = {
        "SCS": {"eps": SHARP, "time_limit_secs": LIMIT_S},
        "CLARABEL": {"time_limit": LIMIT_S},
    }
    try:
        problem.solve(solver=solver, **limits[solver])
    except cp.error.SolverError:
        return "none in time"
    value = float(problem.value)
    return f"{value:.5g}" if problem.status == "optimal" else f"{value:.5g} (inaccurate)"


def lifted(problem: cx.ReluTraining, best: float) -> float:
    """Return what the lifted relaxation proves without splits."""
    form = problem.canonical(NetworkForm)
    lifting, found = Lifting(form, np.zeros_like(form.y), best), -np.inf
    for _ in range(STEPS):
        if not lifting.step():
            break
        found = max(found, lifted_bound(form, lifting.point()))
        if lifting.settled(NEAR):
            break
    return found


def main() -> None:
    """Keep a row an instance."""
    columns = ("instance", "network", "walk", "walk_s", "lift", "lift_s")
    table = Table("interval-sdp", (*columns, "scs", "scs_s", "clarabel", "clarabel_s"), False)
    with threadpool_limits(1):
        for name, problem in instances():
            cx.solve(problem, "cell-walk", starts=1, width=5, max_iter=1, nodes=8, cells=1)
            walk = partial(cx.solve, problem, "cell-walk", time_limit=LIMIT_S)
            found, walk_s = cpu_seconds(walk)
            bound, lift_s = cpu_seconds(partial(lifted, problem, found.objective))
            row = {"instance": name, "network": f"{found.objective:.5g}"}
            row |= {"walk": f"{found.bound:.5g}", "walk_s": f"{walk_s:.2g}"}
            row |= {"lift": f"{bound:.5g}", "lift_s": f"{lift_s:.2g}"}
            form = problem.canonical(NetworkForm)
            for solver in ("SCS", "CLARABEL"):
                program = published(np.asarray(form.X), form.y, form.beta)
                value, seconds = cpu_seconds(partial(solved, program, solver))
                row |= {solver.lower(): value, f"{solver.lower()}_s": f"{seconds:.2g}"}
            table.add(**row)
    table.show()


if __name__ == "__main__":
    main()

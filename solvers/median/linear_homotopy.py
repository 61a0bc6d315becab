"""Primal-dual homotopy smoothing for a sum of terms under ``A x = b`` (Wei et al. 2018).

    lamh = lam + theta (1 / theta_before - 1) (lam - lam_before)
    x    = argmin f(x) + <lamh, A x - b> + mu/2 ||x - x~||^2
    lam  = lamh + mu / sigma^2 (A x - b)

The rows of A are brought to length 1 first. In the paper's scheme mu is halved on a schedule and
x~ moves to the stage's average, of the x weighted by 1 / theta. The adaptive one moves x~ to the
last x whenever the residual has dropped by 30 %, drops the momentum where it points uphill, and
then turns mu so that the relative residuals of equations and prices fall together.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Options, Outcome, Raw, Reporter
from convexnn.contract.checks import choice, positive
from convexnn.median.linear_sum import LinearSum, Multipliers, Stacked, row_lengths

MAX_ITER = 50_000
FIRST_CHECK = 10
GROWTH = 1.1  # checks are spaced geometrically
GLANCE = 64  # iterations between looks at the clock
FIRST_STAGE = 20.0  # iterations of the paper's scheme
LONGER = 2.0**0.8  # a stage than the one before, as mu is halved
ENOUGH = 0.7  # drop of the residual after which the adaptive scheme re-centres
PATIENCE = 200  # iterations after which it re-centres all the same
STEADY, FASTEST = 0.3, 2.0  # how far mu is turned, in logarithms, and at most
DENSE = 500  # side of a matrix whose singular values are all computed
SAFE = 1.05  # of an estimated largest singular value
SOLVABLE = 1e-9  # relative residual of the best x, above which there is no solution
DEFAULTS = {"scheme": "adaptive", "smoothing": None}


def run(
    form: LinearSum, own: dict[str, Any], options: Options, reporter: Reporter, start: Any
) -> Raw:
    """Iterate until the reporter is satisfied, or the equations prove to have no solution.

    Options
    -------
    scheme : "adaptive" or "paper", default "adaptive"
        Re-centre the smoothing when the residual has dropped; or halve it on the paper's schedule
        and restart from averages. ``solution.stages`` tells mu, iterations and gap of each stage:
        of each mu in the paper's scheme, of each centre in the adaptive one.
    smoothing : float, optional
        The only mu if given; else it starts at 1 and is turned on the way.
    """
    adaptive = choice("scheme", own["scheme"], ["adaptive", "paper"]) == "adaptive"
    given = own["smoothing"]
    mu = 1.0 if given is None else positive("smoothing", given)
    anchor = np.concatenate([f.anchor for f in form.terms])
    x = form.prox(anchor, 1.0) if start is None else start[0].x
    m = len(form.b)
    none = np.zeros(m)
    y = no_solution(form)
    if y is not None:
        reporter.report(0, Stacked(x), Multipliers(none, y))
        return Raw(
            Outcome.INFEASIBLE, "A x = b has no solution: A'y = 0 and y'b != 0 for y = dual.ray."
        )
    rows = row_lengths(form.A)
    A, rest = scaled(form.A, 1.0 / rows), form.rest[0] / rows
    AT = A.T
    sigma2 = largest_singular_value(A) ** 2 or 1.0
    lam = none if start is None or start[1] is None else start[1].lam * rows
    before, centre, unit = lam, x, float(np.linalg.norm(rest)) or 1.0
    theta, theta_before = 1.0, 1.0
    level, age = np.inf, 0
    stage, length, total, mass = 0, FIRST_STAGE, np.zeros_like(x), 0.0
    check = float(FIRST_CHECK)
    limit = options.max_iter or MAX_ITER
    reported = lam
    stages = [(mu, 0)]
    for t in range(1, limit + 1):
        ahead = lam + theta * (1.0 / theta_before - 1.0) * (lam - before)
        x = form.prox(centre - (AT @ ahead) / mu, 1.0 / mu)
        away = x - anchor  # far from the origin it has the digits that x has lost
        r = A @ away + rest
        stages[-1] = (stages[-1][0], stages[-1][1] + 1)
        before, lam = lam, ahead + (mu / sigma2) * r
        weight = 1.0 / theta
        theta, theta_before = 0.5 * (np.sqrt(theta**4 + 4.0 * theta**2) - theta**2), theta
        if adaptive:
            size, age = float(np.linalg.norm(r)), age + 1
            again = float(r @ (lam - before)) < 0.0
            if level == np.inf:
                level = size
            elif size <= ENOUGH * level or age >= PATIENCE:
                if given is None:
                    slack = mu * float(np.linalg.norm(x - centre))  # of the prices
                    mu *= balance(size / (unit + float(np.linalg.norm(away))), slack, AT @ lam)
                stages.append((mu, 0))
                centre, level, age, again = x, size, 0, True
            if again:
                before, theta, theta_before = lam, 1.0, 1.0
        else:
            total, mass, stage = total + weight * x, mass + weight, stage + 1
            if stage >= length:
                centre, mu = total / mass, 0.5 * mu
                stages.append((mu, 0))
                stage, length, total, mass = 0, np.ceil(length * LONGER), np.zeros_like(x), 0.0
                before, theta, theta_before = lam, 1.0, 1.0
        if t >= check or t == limit or (t % GLANCE == 0 and reporter.expired()):
            check = max(check * GROWTH, t + 1.0)
            if not (np.isfinite(x).all() and np.isfinite(lam).all()):
                return Raw(Outcome.FAILED, "The iterates are no longer finite.")
            for y in ((reported - lam) / rows, -lam / rows):
                if np.any(y) and form.proves(y / np.abs(y).max()):
                    ray = y / np.abs(y).max()
                    reporter.report(t, Stacked(x), Multipliers(lam / rows, ray))
                    return Raw(
                        Outcome.INFEASIBLE, "No x that the terms allow solves A x = b: dual.ray."
                    )
            reported = lam
            if reporter.report(t, Stacked(x), Multipliers(lam / rows, none)):
                return Raw(Outcome.STOPPED, stages=tuple(stages))
            if not adaptive and mass > 0.0:
                average = Stacked(total / mass)
                if reporter.report(t, average, Multipliers(lam / rows, none)):
                    return Raw(Outcome.STOPPED, stages=tuple(stages))
    return Raw(Outcome.MAX_ITER, stages=tuple(stages))


def balance(primal: float, slack: float, prices: Array) -> float:
    """Return by what to multiply mu, from the relative residuals of the equations and prices."""
    dual = slack / (float(np.linalg.norm(prices)) + slack or 1.0)
    if not (primal > 0.0 and dual > 0.0):
        return 1.0
    return float(np.clip((primal / dual) ** STEADY, 1.0 / FASTEST, FASTEST))


def scaled(A: Any, rows: Array) -> Any:
    """Return A with its rows multiplied."""
    if isinstance(A, np.ndarray):
        return A * rows[:, None]
    from scipy.sparse import diags_array

    return (diags_array(rows) @ A).tocsr()


def largest_singular_value(A: Any) -> float:
    """Return the largest singular value of A, of a large one an estimate and 5 % on top.

    Examples
    --------
    >>> round(largest_singular_value(np.diag([3.0, 4.0])), 6)
    4.0
    """
    small = min(A.shape) <= DENSE
    if small:
        gram = A @ A.T if A.shape[0] <= A.shape[1] else A.T @ A
        dense = gram if isinstance(gram, np.ndarray) else gram.toarray()
        return float(np.sqrt(max(np.linalg.eigvalsh(dense)[-1], 0.0))) * (1.0 + 1e-9)
    rows, columns = (float(np.asarray(abs(A).sum(axis=k)).max()) for k in (1, 0))
    v = np.cos(np.arange(A.shape[1], dtype=np.float64))
    for _ in range(100):
        v = A.T @ (A @ (v / np.linalg.norm(v)))
    return min(SAFE * float(np.sqrt(np.linalg.norm(v))), float(np.sqrt(rows * columns)))


def no_solution(form: LinearSum) -> Array | None:
    """Return y with ``A'y = 0`` and ``y'b != 0``, the residual of least squares, if there is."""
    if isinstance(form.A, np.ndarray):
        best: Any = np.linalg.lstsq(form.A, form.b, rcond=None)[0]
    else:
        from scipy.sparse.linalg import lsmr

        best = lsmr(form.A, form.b, atol=1e-13, btol=1e-13, conlim=0.0, maxiter=10_000)[0]
    y = -form.residual(best)
    if np.abs(y).max() <= SOLVABLE * (float(np.abs(form.b).max()) or 1.0):
        return None
    y = y / np.abs(y).max()
    return y if form.proves(y) else None

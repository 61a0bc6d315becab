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

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Options, Outcome, Raw, Reporter
from convexnn.contract.checks import choice, positive
from convexnn.median.linear_sum import LinearSum, Multipliers, Stacked, row_lengths
from convexnn.solvers.schedule import Spaced, iterate

MAX_ITER = 50_000
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
    scheme = SCHEMES[choice("scheme", own["scheme"], list(SCHEMES))]
    if own["smoothing"] is not None:
        positive("smoothing", own["smoothing"])
    y = no_solution(form)
    if y is not None:
        x = centre_of(form) if start is None else start[0].x
        reporter.report(0, Stacked(x), Multipliers(np.zeros_like(y), y))
        return Raw(
            Outcome.INFEASIBLE, "A x = b has no solution: A'y = 0 and y'b != 0 for y = dual.ray."
        )
    limit = options.max_iter or MAX_ITER
    method = scheme(form, own["smoothing"], start, limit)
    raw = iterate(method.step, method.points, method.heard_by(reporter), limit)
    return raw._replace(stages=tuple(method.stages))


class Smoothing(ABC):
    """What both schemes share: a step of the smoothed dual, and the search for a proof.

    Parameters
    ----------
    form : LinearSum
    mu : float or None
        The smoothing, if it is given.
    start : tuple of (Stacked, Multipliers or None), or None
    limit : int
        The last step: it looks for a proof in any case.

    Attributes
    ----------
    stages : list of (float, int)
        The smoothing of each stage and its iterations.
    """

    def __init__(self, form: LinearSum, mu: float | None, start: Any, limit: int) -> None:
        self.form, self.fixed, self.limit = form, mu is not None, limit
        self.mu = 1.0 if mu is None else mu
        self.anchor = form.terms.anchors
        self.x = self.centre = centre_of(form) if start is None else start[0].x
        self.rows = row_lengths(form.A)
        self.A, self.rest = scaled(form.A, 1.0 / self.rows), form.rest[0] / self.rows
        self.AT = self.A.T
        self.sigma2 = largest_singular_value(self.A) ** 2 or 1.0
        none = np.zeros(len(form.b))
        self.lam = none if start is None or start[1] is None else start[1].lam * self.rows
        self.before = self.tried = self.lam
        self.ray = none
        self.theta = self.theta_before = 1.0
        self.tries = Spaced()
        self.stages = [(self.mu, 0)]

    def step(self, k: int) -> Raw | None:
        """Make one step, then what the scheme does; now and then look for a proof."""
        theta, mu = self.theta, self.mu
        ahead = self.lam + theta * (1.0 / self.theta_before - 1.0) * (self.lam - self.before)
        self.x = self.form.terms.prox(self.centre - (self.AT @ ahead) / mu, 1.0 / mu)
        away = self.x - self.anchor  # far from the origin it has the digits that x has lost
        r = self.A @ away + self.rest
        self.stages[-1] = (mu, self.stages[-1][1] + 1)
        self.before, self.lam = self.lam, ahead + (mu / self.sigma2) * r
        self.theta = 0.5 * (float(np.sqrt(theta**4 + 4.0 * theta**2)) - theta**2)
        self.theta_before = theta
        self.adapt(r, away, 1.0 / theta)
        if (self.tries(k) or k == self.limit) and self.proved():
            return Raw(Outcome.INFEASIBLE, "No x that the terms allow solves A x = b: dual.ray.")
        return None

    @abstractmethod
    def adapt(self, r: Array, away: Array, weight: float) -> None:
        """Re-centre, or change the smoothing, from the residual and the way from the anchor."""

    def restart(self) -> None:
        """Give the momentum up."""
        self.before, self.theta, self.theta_before = self.lam, 1.0, 1.0

    def recentre(self, centre: Array, mu: float) -> None:
        """Begin a stage."""
        self.centre, self.mu = centre, mu
        self.stages.append((mu, 0))
        self.restart()

    def proved(self) -> bool:
        """Tell whether the prices, or their way since the last try, are a ray; keep it."""
        for y in ((self.tried - self.lam) / self.rows, -self.lam / self.rows):
            largest = float(np.max(np.abs(y), initial=0.0))
            if 0.0 < largest < np.inf and self.form.proves(y / largest):
                self.ray = y / largest
                return True
        self.tried = self.lam
        return False

    def points(self) -> tuple[Stacked, Multipliers]:
        """Return the last x and prices."""
        return Stacked(self.x), Multipliers(self.lam / self.rows, self.ray)

    def heard_by(self, reporter: Reporter) -> Reporter:
        """Return who is told of the points."""
        return reporter


class Adaptive(Smoothing):
    """Re-centres when the residual has dropped, and turns mu then unless it is given."""

    level, age = np.inf, 0

    def adapt(self, r: Array, away: Array, weight: float) -> None:
        """Re-centre, or drop the momentum where it points uphill."""
        size = float(np.linalg.norm(r))
        self.age += 1
        if self.level == np.inf:
            self.level = size
        elif size <= ENOUGH * self.level or self.age >= PATIENCE:
            mu = self.mu
            if not self.fixed:
                slack = mu * float(np.linalg.norm(self.x - self.centre))  # of the prices
                unit = float(np.linalg.norm(self.rest)) or 1.0
                primal = size / (unit + float(np.linalg.norm(away)))
                mu *= balance(primal, slack, self.AT @ self.lam)
            self.level, self.age = size, 0
            return self.recentre(self.x, mu)
        if float(r @ (self.lam - self.before)) < 0.0:
            self.restart()
        return None


class Halving(Smoothing):
    """The paper's scheme: averages of longer and longer stages, mu halved after each."""

    age, length, mass = 0, FIRST_STAGE, 0.0

    def __init__(self, form: LinearSum, mu: float | None, start: Any, limit: int) -> None:
        super().__init__(form, mu, start, limit)
        self.total = np.zeros_like(self.x)

    def adapt(self, r: Array, away: Array, weight: float) -> None:
        """Add to the stage's average, and begin another one from it when it is long enough."""
        self.total = self.total + weight * self.x
        self.mass, self.age = self.mass + weight, self.age + 1
        if self.age >= self.length:
            self.recentre(self.total / self.mass, 0.5 * self.mu)
            self.age, self.length, self.mass = 0, float(np.ceil(self.length * LONGER)), 0.0
            self.total = np.zeros_like(self.x)

    def heard_by(self, reporter: Reporter) -> Reporter:
        """Return one who is told of the averages too."""
        return Averages(self, reporter)


class Averages:
    """A reporter that is handed the stage's average beside each last x."""

    def __init__(self, method: Halving, outer: Reporter) -> None:
        self.method, self.outer = method, outer
        self.expired, self.remaining = outer.expired, outer.remaining

    def report(self, iteration: int, primal: Stacked, dual: Multipliers) -> bool:
        """Report both."""
        if self.outer.report(iteration, primal, dual):
            return True
        if self.method.mass == 0.0:
            return False
        average = Stacked(self.method.total / self.method.mass)
        return self.outer.report(iteration, average, dual)


SCHEMES: dict[str, type[Smoothing]] = {"adaptive": Adaptive, "paper": Halving}


def centre_of(form: LinearSum) -> Array:
    """Return what each term alone makes of its anchor."""
    return form.terms.prox(form.terms.anchors, 1.0)


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

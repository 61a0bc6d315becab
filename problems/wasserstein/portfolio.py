"""A mean-CVaR portfolio against a Wasserstein ball of return distributions."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.brief import brief
from convexnn.contract.checks import (
    choice,
    in_range,
    non_negative,
    probability,
    real_array,
)
from convexnn.contract.fields import Converted, declaration
from convexnn.contract.grading import Bound, Grade, Halves
from convexnn.contract.program import CvxpyProgram
from convexnn.functions.norms import DUAL
from convexnn.wasserstein.portfolio import PortfolioForm, Stress, Weights
from convexnn.wasserstein.worst_case import Atoms, WorstCase

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike


@brief
@dataclass(frozen=True, eq=False)
class Portfolio:
    """Shares of the assets, and the worst distribution of returns for them.

    Attributes
    ----------
    weights : array of shape (d,)
        Non-negative, summing to 1.
    value : float
        Worst case over the ball.
    """

    weights: Array
    value: float
    adversary: Callable[[], WorstCase] = field(repr=False)

    @cached_property
    def worst_case(self) -> WorstCase:
        """The worst distribution within the ball; its locations are rows of returns."""
        return self.adversary()


@declaration
class CvarPortfolio(Halves[Portfolio]):
    """Minimise ``sup_Q E_Q[-x'r] + risk_aversion CVaR_Q(-x'r)`` over ``x >= 0``, ``sum x = 1``.

    Q ranges over the type-1 Wasserstein ball of `radius` around the n samples of returns; the CVaR
    is the mean of the worst share `level` of the losses.

    Parameters
    ----------
    returns : array of shape (n, d)
        One sample of the assets' returns a row.
    radius : float
        In the units of the ground norm of returns; >= 0.
    level : float
        Mass of the tail, in (0, 1): 0.05 is what others call CVaR at 95 %.
    risk_aversion : float
        Weight of the CVaR against the mean; >= 0.
    norm : {"l1", "l2", "linf"}, default "l1"
        Ground norm on returns.

    Raises
    ------
    ProblemError
        If a field breaks its rule.

    References
    ----------
    Mohajerin Esfahani & Kuhn 2018, "Data-driven distributionally robust optimization using the
    Wasserstein metric", section 7.1, eq. 27.

    Examples
    --------
    >>> import convexnn as cx
    >>> rng = np.random.default_rng(0)
    >>> returns = rng.normal([0.05, 0.06, 0.07], [0.05, 0.1, 0.2], (200, 3))
    >>> problem = cx.CvarPortfolio(returns, radius=10.0, level=0.2, risk_aversion=1.0)
    >>> cx.solve(problem).model.weights.round(3)  # far from the samples all assets look alike
    array([0.333, 0.333, 0.333])
    """

    FORMS: ClassVar[dict[type, str]] = {PortfolioForm: "form"}
    returns: Converted[ArrayLike, Array]
    _: KW_ONLY
    radius: float
    level: float
    risk_aversion: float
    norm: str = "l1"

    def __post_init__(self) -> None:
        self._set("returns", real_array("returns", self.returns, 2))
        self._set("radius", non_negative("radius", self.radius))
        self._set("level", probability("level", self.level))
        self._set("risk_aversion", non_negative("risk_aversion", self.risk_aversion))
        self._set("norm", choice("norm", self.norm, list(DUAL)))
        in_range("returns", self.returns)

    @cached_property
    def form(self) -> PortfolioForm:
        """The canonical form."""
        returns = self.returns
        largest = np.maximum(returns.max(axis=0), -returns.min(axis=0))
        return PortfolioForm(
            returns, DUAL[self.norm], self.radius, self.level, self.risk_aversion, largest
        )

    def needs(self) -> frozenset[str]:
        """Return the cone of the norm; else the program is linear."""
        return self.form.norm.cones

    def to_cvxpy(self) -> CvxpyProgram:
        """Return the formula in CVXPY, with variables x, tau, excess and lam."""
        import cvxpy as cp

        form, (n, d) = self.form, self.returns.shape
        x, tau = cp.Variable(d, nonneg=True, name="x"), cp.Variable(name="tau")
        excess, lam = cp.Variable(n, nonneg=True, name="excess"), cp.Variable(name="lam")
        tail = excess >= -self.returns @ x - tau
        cvar = tau + cp.sum(excess) / (self.level * n)
        cost = -self.returns.mean(axis=0) @ x + self.risk_aversion * cvar + form.price * lam
        # x = share + 0 gives the direction of the norm as a multiplier
        share = cp.Variable(d, name="share")
        same = x == share
        bounded = cp.norm(share, form.norm.exponent) <= lam
        problem = cp.Problem(cp.Minimize(cost), [tail, same, bounded, cp.sum(x) == 1.0])

        def points() -> tuple[Weights, Stress]:
            scale = max(self.risk_aversion, 1e-300)
            weights = np.asarray(tail.dual_value) / scale
            push = np.asarray(same.dual_value) / max(form.price, 1e-300)
            found = simplex(np.asarray(x.value))
            if self.risk_aversion == 0.0:
                weights = form.tail(found)
            return Weights(found), Stress(weights, push)

        variables = {"x": x, "tau": tau, "excess": excess, "lam": lam, "share": share}
        return CvxpyProgram(problem, variables, points, self.needs(), True)

    def initial(self) -> tuple[Weights, Stress]:
        """Return equal shares, exact for a large radius, and their stress."""
        d = self.returns.shape[1]
        x = np.full(d, 1.0 / d)
        return Weights(x), self._stress(x)

    def _stress(self, x: Array) -> Stress:
        form = self.form
        return Stress(form.tail(x), form.norm.steepest(x))

    def grade(self, primal: Weights) -> Grade:
        """Return the worst case of the portfolio."""
        return Grade(self.form.risk(simplex(primal.x)))

    def bound(self, primal: Weights, dual: Stress, grade: Grade) -> Bound:
        """Return what a stress of the returns proves."""
        return Bound(self.form.bound(dual), "this ball")

    def prune(self, primal: Weights, objective: float | None = None) -> Weights:
        """Return the portfolio without shares below 1e-9."""
        return Weights(simplex(np.where(primal.x > 1e-9, primal.x, 0.0)))

    def build_model(self, primal: Weights, objective: float | None = None) -> Portfolio:
        """Return the portfolio with its worst case."""
        value = self.objective(primal) if objective is None else objective
        x = simplex(primal.x)
        return Portfolio(x, value, partial(self.worst_case, x))

    def worst_case(self, x: Array) -> WorstCase:
        """Return the worst distribution: the tail's mass moves where x loses most."""
        form, n = self.form, len(self.returns)
        tail = form.tail(x) * self.level  # masses that move, their sum the level
        moved, stays = np.flatnonzero(tail > 0.0), np.flatnonzero(tail < 1.0 / n)
        distance = self.radius / self.level
        source = np.concatenate([stays, moved])
        mass = np.concatenate([1.0 / n - tail[stays], tail[moved]])
        cost = np.concatenate([np.zeros(len(stays)), np.full(len(moved), distance)])
        location = self.returns[source] - np.outer(cost, form.norm.steepest(x))
        slope = 1.0 + self.risk_aversion * form.tail(x) * n
        return WorstCase(
            value=form.risk(x),
            atoms=Atoms(source, location, mass, cost),
            weights=slope / (1.0 + self.risk_aversion),
            gradient=-slope / n,
            multiplier=form.price / self.radius * float(form.norm.value(x[None, :])[0])
            if self.radius > 0.0
            else (1.0 + self.risk_aversion / self.level) * float(form.norm.value(x[None, :])[0]),
        )


def simplex(x: Array) -> Array:
    """Return the point of the simplex that ``x`` stands for: its positive part over its sum.

    Examples
    --------
    >>> simplex(np.array([3.0, -1.0, 1.0]))
    array([0.75, 0.  , 0.25])
    """
    positive = np.maximum(np.nan_to_num(x), 0.0)
    total = float(positive.sum())
    if total <= 0.0:
        return np.full(len(x), 1.0 / len(x))
    result: Array = positive / total
    return result

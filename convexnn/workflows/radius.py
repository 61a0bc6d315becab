"""How large a ball of distributions should be: two choices, each with its statement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Generic

import numpy as np

from convexnn.contract.backend import Backend
from convexnn.contract.brief import brief
from convexnn.contract.checks import (
    ProblemError,
    choice,
    positive,
    positive_int,
    probability,
    seconds,
    seed_of,
    several,
    tolerance,
    whole,
)
from convexnn.contract.clock import Clock, timed_by
from convexnn.contract.problem import Model
from convexnn.contract.system.interrupts import as_interrupt
from convexnn.driver.choice import named
from convexnn.driver.solve import solve
from convexnn.functions.norms import NORMS
from convexnn.problems.wasserstein.linear import (
    WassersteinClassification,
    WassersteinLinear,
    WassersteinRegression,
)
from convexnn.workflows.select import part_of, split

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array
    from convexnn.driver.solution import Solution

FEWEST = 10  # rows from which a limit in their number, or a share of them, tells anything
NORMAL = np.pi / (np.pi - 2.0)  # E e^2 / (E e^2 - (E |e|)^2) of normal errors
LOGISTIC = "if labels follow a logistic model"
FITTED = 1e-4  # gap of the fit without a ball
VANISHED = 1e-12  # of the targets' mean square, below which residuals are rounding
BATCH = 1_000  # draws at a time
STEPS = np.geomspace(1e-3, 1.0, 10)  # radii tried, of the mean norm of a row
AT_ZERO = {"logistic": float(np.log(2.0)), "hinge": 1.0}  # losses of a margin of 0
BOUNDS = ("hoeffding", "bernstein", "clopper-pearson")


@brief
@dataclass(frozen=True, eq=False)
class Radius(Generic[Model]):
    """A radius, and what it is good for.

    Attributes
    ----------
    value : float
        Of the ball, in the units of the problem's `radius`.
    confidence : float
    statement : str
        What holds with that confidence, and what it takes for it.
    problem : Problem
        With this radius: all rows by the profile, by a hold-out those that were trained on.
    solution : Solution or None
        Of the hold-out rule, the model that the statement is about.
    table : tuple of (radius, worst case, upper confidence bound)
        Of the hold-out rule, what was tried.
    """

    value: float
    confidence: float
    statement: str
    problem: Any
    solution: Solution[Model] | None = None
    table: tuple[tuple[float, float, float], ...] = ()

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return f"{self.value:.6g}: {self.statement}"


@as_interrupt()
def radius(
    problem: WassersteinClassification | WassersteinRegression,
    *,
    confidence: float = 0.95,
    rule: str = "profile",
    limit: str = "bound",
    errors: str = "normal",
    draws: int = 20_000,
    radii: ArrayLike | None = None,
    bound: str | None = None,
    largest: float | None = None,
    folds: int = 3,
    backend: str | Backend = "auto",
    tol: float = 1e-4,
    time_limit: float | None = None,
    seed: int = 0,
) -> Radius[Any]:
    """Choose the radius of a Wasserstein ball, with a statement of what it is good for.

    By the profile [1] it is the least at which, with the given confidence and many rows, some
    distribution in the ball has the true parameters for its best ones. With n rows x, a ball in the
    norm ``||.||`` and Z normal of mean 0 and covariance ``E x x'``, the quantile q of ``||Z||``
    found by simulation, it is at most

        q / sqrt(n)                 for logistic regression and balls of order 1,
        q sqrt(c / n)               for least squares and balls of order 2,

    with ``c = E e^2 / (E e^2 - (E |e|)^2)`` of the errors e, pi / (pi - 2) of normal ones. In the
    norm linf, which makes the second the square-root lasso, that is its penalty ``sqrt(c / n)
    Phi^-1(1 - (1 - confidence) / (2 d))`` for columns of length sqrt(n), but for what their
    correlations save. With an intercept the columns are centred. These bounds hold whatever the
    true parameters b are, and are far from sharp: in simulations they cover always, not in 95 % of
    cases. The limit itself is sharp, at the fit without a ball: of logistic regression the first
    with the covariance ``E x x' / (1 + exp(y b'x))^2``, of least squares in the norm l2 the square
    root of the quantile of ``Z' A^-1 Z / n`` with ``Z`` of covariance ``E e^2 x x'`` and ``A`` the
    matrix of the quadratic form ``E ||e u - (u'x) b||^2`` in u.

    By a hold-out it is the least of some radii whose certified worst-case value, on the rows
    trained on, is above an upper confidence bound on the expected loss of the same model, on the
    rows held out, at all radii together (Bonferroni).

    Parameters
    ----------
    problem : WassersteinClassification or WassersteinRegression
        Its own radius plays no part. The profile is for the loss "logistic" of order 1 and the loss
        "squared" of order 2, labels and targets left alone, examples without weights.
    confidence : float, default 0.95
        In (0, 1).
    rule : {"profile", "holdout"}, default "profile"
    limit : {"bound", "fitted"}, default "bound"
        Of the profile: the bounds, or the limit at the fit without a ball.
    errors : {"normal", "residuals"}, default "normal"
        Of the bound for least squares: where c comes from. "residuals" are those of the fit
        without a ball, which takes more rows than columns.
    draws : int, default 20_000
        Of the profile's simulation.
    radii : sequence of float, optional
        Of the hold-out; ten from 1e-3 to 1 of the mean norm of a row if left out.
    bound : {"hoeffding", "bernstein", "clopper-pearson"}, optional
        Of the hold-out: Hoeffding's or the empirical Bernstein bound [2] on the mean loss, or that
        of Clopper and Pearson on the share of errors, which the loss over its value at a margin of
        0 exceeds. "clopper-pearson" for labels, "bernstein" for targets if left out.
    largest : float, optional
        What losses are cut off at for the first two, as they know bounded losses only.
    folds : int, default 3
        Of the hold-out: one of so many parts of the rows is held out.
    backend, tol, time_limit
        Of each fit of the hold-out.
    seed : int, default 0
        Of the draws, and of the parts.

    Returns
    -------
    Radius

    Raises
    ------
    ProblemError
        If the problem is of another kind, has too few rows, or an argument breaks its rule; if no
        radius of the hold-out passes.

    References
    ----------
    [1] Blanchet, Kang & Murthy 2019, "Robust Wasserstein profile inference and applications to
    machine learning", theorems 4 to 6.
    [2] Maurer & Pontil 2009, "Empirical Bernstein bounds and sample variance penalization".

    Examples
    --------
    >>> import convexnn as cx
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((400, 4))
    >>> y = np.where(X[:, 0] + rng.logistic(size=400) > 0, 1, -1)
    >>> found = cx.radius(cx.WassersteinClassification(X, y, radius=0.0))
    >>> round(found.value, 2)
    0.15
    """
    if isinstance(problem, type) or not isinstance(problem, WassersteinLinear):
        raise ProblemError(
            "problem must be a WassersteinClassification or WassersteinRegression, got "
            f"{problem if isinstance(problem, type) else type(problem).__name__}"
        )
    confidence = probability("confidence", confidence)
    choice("rule", rule, ("profile", "holdout"))
    choice("limit", limit, ("bound", "fitted"))
    choice("errors", errors, ("normal", "residuals"))
    draws, folds, seed = positive_int("draws", draws), positive_int("folds", folds), seed_of(seed)
    named(backend)
    tol = tolerance("tol", tol)
    longest = None if time_limit is None else seconds("time_limit", time_limit)
    n = len(problem.X)
    if n < FEWEST:
        raise ProblemError(
            f"problem must have at least {FEWEST} rows for a radius with a statement, got {n}: "
            "both rules rest on how means of many rows scatter, of which so few tell nothing"
        )
    if rule == "profile":
        for name, value in (("radii", radii), ("bound", bound), ("largest", largest)):
            if value is not None:
                raise ProblemError(f"{name} is of use to the hold-out rule only")
        return _by_profile(problem, confidence, limit, errors, _Draws(draws, confidence, seed))
    if bound is None:
        bound = "bernstein" if problem.labels.classes is None else "clopper-pearson"
    cut = None if largest is None else positive("largest", largest)
    trial = _Trial(choice("bound", bound, BOUNDS), confidence, cut)
    trial.check(problem)
    run = {"backend": backend, "tol": tol}
    with timed_by(Clock.started(longest)):
        return _by_holdout(problem, trial, _steps(problem, radii), folds, seed, run)


def _by_profile(
    problem: Any, confidence: float, limit: str, errors: str, draws: _Draws
) -> Radius[Any]:
    least_squares = isinstance(problem, WassersteinRegression)
    known = problem.loss == ("squared" if least_squares else "logistic")
    order = 2.0 if least_squares else 1.0
    cost = problem.target_cost if least_squares else problem.flip_cost
    if not known or problem.order != order or np.isfinite(cost) or problem.weights is not None:
        raise ProblemError(
            "problem must be of the loss 'logistic' and order 1, or 'squared' and order 2, without "
            f"cost of labels or targets and without weights, got {problem.loss!r} and order "
            f"{problem.order:g}: the profile is not known for others, rule='holdout' is"
        )
    n, norm = len(problem.X), NORMS[problem.norm]
    X = problem.X - problem.X.mean(axis=0) if problem.intercept else problem.X
    takes = "if targets are linear but for independent errors" if least_squares else LOGISTIC
    if limit == "bound":
        factor = 1.0
        if least_squares:
            factor = NORMAL if errors == "normal" else _factor(problem, X)
            takes = takes.replace("errors", "normal errors") if errors == "normal" else takes
        value = draws.quantile(X, norm.value) * float(np.sqrt(factor / n))
    elif least_squares:
        value = float(np.sqrt(_limit_of_squares(problem, X, draws) / n))
    else:
        from scipy.special import expit

        fitted = solve(replace(problem, radius=0.0))
        margins = problem.labels.targets * fitted.model.decision_function(problem.X)
        if not fitted.gap <= FITTED or margins.min() > 0.0:
            raise ProblemError("problem must have a fit without a ball: separable labels have none")
        value = draws.quantile(expit(-margins)[:, None] * X, norm.value) / float(np.sqrt(n))
    fit = ", the limit taken at the fit without a ball" if limit == "fitted" else ""
    statement = (
        f"With probability {confidence:.4g}, some distribution within {value:.4g} in the norm "
        f"{problem.norm} of the {n} rows has the true parameters for its best ones, {takes} and "
        f"rows are many{fit}."
    )
    return Radius(value, confidence, statement, replace(problem, radius=value))


@dataclass(frozen=True)
class _Draws:
    """Draws of a normal vector, and the quantile of what is made of them.

    Examples
    --------
    >>> X = np.sqrt(2.0) * np.eye(2)
    >>> abs(_Draws(20_000, 0.95, 0).quantile(X, NORMS["linf"].value) - 2.236) < 0.03
    True
    """

    count: int
    confidence: float
    seed: int

    def quantile(self, X: Array, size: Callable[[Array], Array]) -> float:
        """Return the quantile of the size of Z, of covariance ``X'X / n``."""
        rng, n = np.random.default_rng(self.seed), len(X)
        _, scale, right = np.linalg.svd(X, full_matrices=False)
        root = (scale / np.sqrt(n))[:, None] * right
        found = [
            size(rng.standard_normal((min(BATCH, self.count - k), len(root))) @ root)
            for k in range(0, self.count, BATCH)
        ]
        return float(np.quantile(np.concatenate(found), self.confidence, method="higher"))


def _limit_of_squares(problem: Any, X: Array, draws: _Draws) -> float:
    """Return the quantile of the limit of n times the profile, ``max_u 2 u'Z - u'A u``."""
    if problem.norm != "l2":
        raise ProblemError(f"limit must be 'bound' in the norm {problem.norm!r}: it is for l2 only")
    b, e = _fit(problem, X)
    A = np.mean(e * e) * np.eye(len(b)) + (b @ b) * (X.T @ X) / len(X)
    if not np.mean(e * e) > VANISHED * np.mean(np.square(problem.y)):
        raise ProblemError("limit must be 'bound' where targets are fitted without errors")
    inverse = np.linalg.inv(A)
    return draws.quantile(e[:, None] * X, lambda Z: np.einsum("ij,jk,ik->i", Z, inverse, Z))


def _fit(problem: Any, X: Array) -> tuple[Array, Array]:
    """Return the parameters and the residuals of least squares."""
    n, d = X.shape
    if n <= d + 1:
        raise ProblemError(
            f"problem must have more rows than columns and one more for a fit, got {n} of {d}: "
            "take limit='bound' and errors='normal'"
        )
    y = problem.labels.targets
    y = y - y.mean() if problem.intercept else y
    b = np.linalg.lstsq(X, y, rcond=None)[0]
    return b, y - X @ b


def _factor(problem: Any, X: Array) -> float:
    """Return ``E e^2 / (E e^2 - (E |e|)^2)`` of the residuals of least squares."""
    _, e = _fit(problem, X)
    square, mean = float(np.mean(e * e)), float(np.mean(np.abs(e)))
    if not square - mean * mean > VANISHED * float(np.mean(np.square(problem.y))):
        raise ProblemError("errors must vary in size, the residuals do not: take errors='normal'")
    return square / (square - mean * mean)


@dataclass(frozen=True)
class _Trial:
    """A bound on an expectation, of some confidence."""

    kind: str
    confidence: float
    largest: float | None

    def check(self, problem: Any) -> None:
        """Check that the bound fits the problem."""
        if self.kind == "clopper-pearson":
            if problem.labels.classes is None:
                raise ProblemError("bound must be hoeffding or bernstein for targets")
            if self.largest is not None:
                raise ProblemError("largest is of use to hoeffding and bernstein only")
        elif self.largest is None:
            raise ProblemError(
                f"largest must be given for {self.kind}, which knows bounded losses only: losses "
                "are cut off there"
            )

    def cut(self, losses: Array) -> Array:
        """Return losses, none above the largest."""
        assert self.largest is not None
        return np.minimum(losses, self.largest)

    def upper(self, values: Array, chance: float) -> float:
        """Return what the expectation exceeds with that chance at most."""
        m = len(values)
        if self.kind == "clopper-pearson":
            from scipy.stats import beta

            wrong = int(values.sum())
            return float(beta.ppf(1.0 - chance, wrong + 1, m - wrong)) if wrong < m else 1.0
        assert self.largest is not None
        if self.kind == "hoeffding":
            room = float(np.sqrt(np.log(1.0 / chance) / (2 * m)))
            return float(values.mean()) + self.largest * room
        log = float(np.log(2.0 / chance))
        room = float(np.sqrt(2.0 * np.var(values, ddof=1) * log / m))
        return float(values.mean()) + room + 7.0 * self.largest * log / (3.0 * (m - 1))


def _steps(problem: Any, radii: ArrayLike | None) -> list[float]:
    if radii is None:
        return [float(r) for r in STEPS * np.mean(NORMS[problem.norm].value(problem.X))]
    whole("radii", radii)
    given = several("radii", radii, "numbers > 0")
    values = [positive(f"radii[{k}]", r) for k, r in enumerate(given)]
    if any(b <= a for a, b in pairwise(values)):
        raise ProblemError(f"radii must increase, got {values}")
    return values


def _by_holdout(
    problem: Any, trial: _Trial, radii: list[float], folds: int, seed: int, run: dict[str, Any]
) -> Radius[Any]:
    train, test = split(problem, folds, seed)[0]
    X, y = problem.X[test], problem.y[test]
    chance = (1.0 - trial.confidence) / len(radii)
    table = []
    for value in radii:
        part = part_of(problem, train, {"radius": value})
        solution: Solution[Any] = solve(part, **run)
        worst = float(solution.bound)
        if trial.kind == "clopper-pearson":
            values = (solution.model.predict(X) != y).astype(np.float64)
            worst /= AT_ZERO[problem.loss]
        else:
            values = trial.cut(part.losses(solution.model, X, y))
        upper = trial.upper(values, chance)
        table.append((value, worst, upper))
        if worst >= upper:
            what = "share of errors" if trial.kind == "clopper-pearson" else "expected loss"
            cut = "" if trial.largest is None else f", cut off at {trial.largest:.4g},"
            statement = (
                f"With confidence {trial.confidence:.4g}, the {what} of this model on new "
                f"examples{cut} is at most {upper:.4g}, by {trial.kind} on {len(values)} rows held "
                f"out and {len(radii)} radii, which its worst case in the ball of radius "
                f"{value:.4g} around the {len(part.X)} rows trained on, {worst:.4g}, covers; if "
                "all rows are drawn alike."
            )
            return Radius(value, trial.confidence, statement, part, solution, tuple(table))
    value, worst, upper = table[-1]
    raise ProblemError(
        f"radii must reach further, or rows be more: at {value:.4g} the worst case is {worst:.4g}, "
        f"below the bound {upper:.4g} of the rows held out"
    )

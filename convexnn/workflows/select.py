"""Choosing a problem's parameters by cross-validation, along warm-started paths."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, Generic

import numpy as np

from convexnn.contract.backend import Backend
from convexnn.contract.brief import shortened
from convexnn.contract.checks import (
    ProblemError,
    function,
    positive_int,
    seconds,
    seed_of,
    several,
    shown,
    tolerance,
    whole,
)
from convexnn.contract.clock import Clock, timed_by
from convexnn.contract.problem import Examples, Model, Problem, Scores
from convexnn.contract.system.interrupts import interruptible
from convexnn.contract.system.optional import need
from convexnn.driver.solution import Solution
from convexnn.driver.solve import solve, written
from convexnn.functions.risks import Risk
from convexnn.relu.patterns import Patterns
from convexnn.workflows.scorers import by_name, certified

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from convexnn.contract.arrays import Array, LabelArray

    Rows = NDArray[np.intp]

Score = Callable[..., float]
CERTIFIED = "certified"  # the score of robust training


@dataclass(frozen=True, eq=False)
class Selection(Generic[Model]):
    """What cross-validation found.

    Attributes
    ----------
    best : dict of str to float
        The values with the highest mean score; of equal scores, the first in the grid's order.
        Values without a number as their score in some fold are never the best.
    solution : Solution
        Of the problem with the best values on all examples.
    grid : tuple of dict
        Every combination that was tried.
    scores : array of shape (combinations, folds)
        Score of each held-out fold; higher is better.
    gaps : array of shape (combinations, folds)
        Certified gap of each fit.
    """

    best: dict[str, float]
    solution: Solution[Model]
    grid: tuple[dict[str, float], ...]
    scores: Array
    gaps: Array

    @property
    def problem(self) -> Any:
        """Return the problem with the best values."""
        return self.solution.problem

    @property
    def frame(self) -> pd.DataFrame:
        """Return the table as a pandas data frame, best first (extra: compare)."""
        frame: pd.DataFrame = need("pandas", "compare").DataFrame(list(self.grid))
        frame["score"] = self.scores.mean(axis=1)
        frame["deviation"] = self.scores.std(axis=1)
        frame["largest gap"] = self.gaps.max(axis=1)
        return frame.sort_values("score", ascending=False, kind="stable", ignore_index=True)

    def __str__(self) -> str:
        return str(self.frame.to_string(index=False))

    def __repr__(self) -> str:
        return shortened(str(self))

    def _repr_html_(self) -> str:
        table: str = self.frame.to_html(index=False, border=0, float_format="{:.4g}".format)
        return table


def select(
    problem: Problem[Model],
    *,
    folds: int = 5,
    score: Callable[[Model, Array, LabelArray], float] | str | None = None,
    backend: str | Backend = "auto",
    tol: float = 1e-5,
    time_limit: float | None = None,
    seed: int = 0,
    **grid: ArrayLike,
) -> Selection[Model]:
    """Choose parameters of a problem by cross-validation.

    The last parameter of the grid makes the paths: along it every fit starts from the one before,
    where the backend takes starts. Folds are stratified for classification.

    Parameters
    ----------
    problem : Problem
        With examples ``X`` and ``y``; gives all parameters that are not in the grid.
    folds : int, default 5
    score : callable or str, optional
        ``score(model, X, y)`` on the held-out fold, higher is better, or a name that scikit-learn
        has for one, such as "roc_auc"; of robust training also "certified", the certified accuracy
        at the problem's own radius, whatever radii are in the grid; by default minus the mean loss
        that the problem trains with, by its weights, without its worst case.
    backend : str or Backend, default "auto"
    tol : float, default 1e-5
    time_limit : float, optional
        Seconds for each fit, the writing of its problem included; the whole grid over all folds
        has no limit of its own.
    seed : int, default 0
        Of the folds.
    **grid : sequences of float
        Values by the name of the problem's field: ``radius=[0.01, 0.1], flip_cost=[1.0, inf]``.

    Returns
    -------
    Selection

    Raises
    ------
    ProblemError
        If a name is no field of the problem, a value breaks its rule, the folds are too many, or a
        score is no number, for all values in some fold.

    Examples
    --------
    >>> import convexnn as cx
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((60, 5))
    >>> y = np.where(X[:, 0] + rng.standard_normal(60) > 0, 1, -1)
    >>> problem = cx.WassersteinClassification(X, y, radius=0.0)
    >>> cx.select(problem, radius=[0.5, 0.1, 0.01]).best
    {'radius': 0.01}
    """
    folds, seed, tol = positive_int("folds", folds), seed_of(seed), tolerance("tol", tol)
    if time_limit is not None:
        time_limit = seconds("time_limit", time_limit)
    if isinstance(score, str):
        score = certified(problem) if score == CERTIFIED else by_name(score)
    elif score is not None:
        function("score", score, "a function of (model, X, y) or a name of scikit-learn's")
    given: Any = problem
    tried: dict[str, Any] = dict(grid)
    points = _grid(given, tried)
    measure = score if score is not None else _default_score(given)
    scores = np.zeros((len(points), folds))
    gaps = np.zeros_like(scores)
    inner = len(list(tried.values())[-1])
    for f, (train, test) in enumerate(split(given, folds, seed)):
        before: Solution[Model] | None = None
        for k, values in enumerate(points):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of a value that is only tried
                part = part_of(given, train, values)
            with timed_by(Clock.started(time_limit)):
                ready = written(part, backend)
                warm = before if k % inner and ready.backend.capabilities.warm_start else None
                with interruptible() as asked:
                    before = ready.run(tol=tol, time_limit=time_limit, start=warm)
            if asked:  # half a grid chooses nothing
                raise KeyboardInterrupt
            held = weights_of(given, test) if score is None else {}
            scores[k, f] = _number(measure(before.model, given.X[test], given.y[test], **held))
            gaps[k, f] = before.gap
    best = points[_best(scores)]
    solution = solve(replace(given, **best), backend, tol=tol, time_limit=time_limit)
    return Selection(best, solution, tuple(points), scores, gaps)


def _grid(problem: Any, grid: dict[str, Any]) -> list[dict[str, float]]:
    if isinstance(problem, type) or not is_dataclass(problem) or not isinstance(problem, Examples):
        raise ProblemError(
            f"problem must hold examples X and y, got {type(problem).__name__} without them"
        )
    if not grid:
        raise ProblemError("the grid must name at least one parameter, as in radius=[0.01, 0.1]")
    known = [f.name for f in fields(problem) if f.init and f.name not in ("X", "y")]
    for name, values in grid.items():
        if name not in known:
            raise ProblemError(f"grid must name fields of the problem ({', '.join(known)}): {name}")
        whole(name, values)
        several(name, values, "values to try")
    combinations = product(*(list(values) for values in grid.values()))
    points = [dict(zip(grid, values, strict=True)) for values in combinations]
    declared: Any = problem
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for point in points:
            replace(declared, **point)  # raises for a value that breaks its rule
    return points


def split(problem: Any, folds: int, seed: int) -> list[tuple[Rows, Rows]]:
    """Return the rows to fit and to hold out, classes spread evenly over the folds.

    Raises
    ------
    ProblemError
        If there are fewer than two folds, or more than examples of a class.
    """
    y, n = problem.y, len(problem.y)
    classes = problem.labels.classes is not None
    smallest = int(np.min(np.unique(y, return_counts=True)[1])) if classes else n
    if not 2 <= folds <= smallest:
        kind = "the smaller class" if classes else "the examples"
        raise ProblemError(f"folds must be in [2, {smallest}], the size of {kind}, got {folds}")
    shuffled = np.random.default_rng(seed).permutation(n)
    if classes:
        shuffled = shuffled[
            np.argsort(np.unique(y, return_inverse=True)[1][shuffled], kind="stable")
        ]
    fold = np.empty(n, dtype=np.intp)
    fold[shuffled] = np.arange(n) % folds
    return [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(folds)]


def part_of(problem: Any, rows: Rows, values: dict[str, Any]) -> Any:
    """Return the problem over some of its examples, with the patterns and weights of these rows."""
    patterns, risk = getattr(problem, "patterns", None), getattr(problem, "risk", None)
    values = {**weights_of(problem, rows), **values}
    if isinstance(risk, Risk):
        values = {"risk": risk.part(rows), **values}
    if isinstance(patterns, Patterns):
        values = {**values, "patterns": Patterns(patterns.matrix[rows], patterns.generators)}
    return replace(problem, X=problem.X[rows], y=problem.y[rows], **values)


def weights_of(problem: Any, rows: Rows) -> dict[str, Array]:
    """Return the weights of some examples by the keyword for them; nothing if they have none."""
    weights = getattr(problem, "weights", None)
    return {} if weights is None else {"weights": weights[rows]}


def _number(score: Any) -> float:
    try:
        return float(score)
    except (TypeError, ValueError):
        raise ProblemError(f"score must return a number, got {shown(score)}") from None


def _best(scores: Array) -> int:
    """Return the row of the highest mean, among those with a number in each fold.

    Examples
    --------
    >>> _best(np.array([[np.nan, 1.0], [0.2, 0.3], [0.1, 0.1]]))
    1
    """
    mean = scores.mean(axis=1)
    if np.isnan(mean).all():
        raise ProblemError("score must be a number in each fold for some of the values, it is nan")
    return int(np.nanargmax(mean))


def _default_score(problem: Any) -> Score:
    if not isinstance(problem, Scores):
        raise ProblemError(
            f"score must be given for a {type(problem).__name__}, a function of (model, X, y): it "
            "has no loss of its own on data held out"
        )

    def minus_loss(model: Any, X: Any, y: Any, **weights: Array) -> float:
        return -float(problem.holdout(model, X, y, **weights))

    return minus_loss

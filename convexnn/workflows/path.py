"""Regularisation paths: a problem with a penalty solved along beta, each point certified."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.backend import Backend
from convexnn.contract.checks import (
    ProblemError,
    flag,
    function,
    positive,
    positive_int,
    seconds,
    seed_of,
    several,
    tolerance,
    whole,
)
from convexnn.contract.clock import Clock, OutOfTime, timed_by
from convexnn.contract.problem import Model, Penalised
from convexnn.driver.choice import named
from convexnn.driver.solve import limited
from convexnn.workflows.path_result import Path, Validation
from convexnn.workflows.path_start import beta_max, penalised
from convexnn.workflows.path_trace import LATE, Trace, Watch, trace
from convexnn.workflows.select import part_of, split, weights_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array
from convexnn.driver.monitor import Callback


def path(
    problem: Penalised[Model],
    betas: ArrayLike | None = None,
    *,
    count: int = 50,
    ratio: float = 1e-2,
    backend: str | Backend = "auto",
    tol: float = 1e-6,
    time_limit: float | None = None,
    folds: int | None = None,
    seed: int = 0,
    screen: bool = True,
    callback: Callback | None = None,
    threads: int = 1,
    **options: object,
) -> Path[Model]:
    """Solve a problem along decreasing beta, each point from the ones before.

    Of one or several outputs, of two classes or more. A point starts where the two before it
    lead, over the patterns that the last one makes likely (`working_set`); its certificate is that
    of the problem over all patterns. Ctrl-C, a callback or the time limit ends the path; what is
    done is returned.

    Parameters
    ----------
    problem : ReluTraining, GatedReluTraining, SampledReluTraining or RobustReluTraining
        Over given patterns, or few enough to be listed. Its own beta plays no part.
    betas : sequence of float, optional
        Strictly decreasing, > 0. By default `count` of them, geometric from `beta_max` down to
        `ratio` times that.
    count : int, default 50
    ratio : float, default 1e-2
        In (0, 1).
    backend : str or Backend, default "auto"
        "auto" is "semismooth" for smooth losses.
    tol : float, default 1e-6
    time_limit : float, optional
        Seconds for the whole path with its folds.
    folds : int, optional
        Also solve the path on the rest of each of so many folds, stratified for classification,
        and measure on the fold the mean loss (of probabilities the log-loss), and the accuracy or
        R^2. Folds done before the time is up are kept.
    seed : int, default 0
        Of the folds.
    screen : bool, default True
        Leave patterns out while solving, of several outputs those that none of them uses. For
        losses with kinks none can be proved to be zero beforehand, and none is left out.
    callback : callable, optional
        Called with each certified `Step`; a true answer stops the path.
    threads : int, default 1
    **options
        The engine's own.

    Returns
    -------
    Path

    Raises
    ------
    ProblemError
        If betas are not strictly decreasing and > 0, if there is no path in this problem, or
        `beta_max` does not know where to begin.
    BackendError
        If the backend cannot take the problem.

    Examples
    --------
    >>> import convexnn as cx
    >>> X = np.random.default_rng(0).standard_normal((40, 3))
    >>> problem = cx.ReluTraining(X, np.abs(X[:, 0]), beta=1.0, patterns=20)
    >>> found = cx.path(problem, count=10)
    >>> [s.status.name for s in found.solutions] == 10 * ["OPTIMAL"]
    True
    >>> len(found[0].model), len(found[-1].model) > 2
    (0, True)
    """
    penalised(problem)
    seed, tol, threads = seed_of(seed), tolerance("tol", tol), positive_int("threads", threads)
    flag("screen", screen)
    named(backend)
    if callback is not None:
        function("callback", callback)
    count, ratio = positive_int("count", count), positive("ratio", ratio)
    if not ratio < 1.0:
        raise ProblemError(f"ratio must be in (0, 1), got {ratio!r}")
    if time_limit is not None:
        time_limit = seconds("time_limit", time_limit)
    asked = np.zeros(0) if betas is None else checked_betas(betas)
    rows = split(problem, positive_int("folds", folds), seed) if folds is not None else []
    run = {"tol": tol, "callback": Watch(callback), "threads": threads, **options}
    parts: list[tuple[Trace, Any]] = []
    with limited(threads), timed_by(Clock.started(time_limit)):
        try:
            if betas is None:
                asked = _geometric(beta_max(problem), count, ratio)
            done = trace(problem, asked, backend, screen, run)
        except OutOfTime:  # before the largest beta is known
            done = Trace()
            done.ended = LATE
        message = done.message
        for train, test in rows if not done.ended else []:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # said once, of all examples
                part = part_of(problem, train, {})
            parts.append((trace(part, asked, backend, screen, run), test))
            if parts[-1][0].ended:
                reached = sum(len(part.points) == len(asked) for part, _ in parts)
                message += (
                    f" Cross-validation ended by {parts[-1][0].ended} after {reached} of "
                    f"{folds} folds."
                )
                break
    held = None if folds is None else _validated(problem, parts, len(done.points))
    return Path(
        asked[: len(done.points)],
        tuple(done.solutions),
        tuple(counts for _, counts, _ in done.points),
        np.array([seconds for *_, seconds in done.points]),
        held,
        message.strip(),
    )


def checked_betas(betas: ArrayLike) -> Array:
    """Return strictly decreasing positive numbers as an array, or raise `ProblemError`.

    Examples
    --------
    >>> checked_betas([2, 1.0])
    array([2., 1.])
    """
    whole("betas", betas)
    given = several("betas", betas, "numbers > 0")
    values = np.array([positive(f"betas[{k}]", beta) for k, beta in enumerate(given)])
    rises = np.flatnonzero(np.diff(values) >= 0.0)
    if len(rises):
        k = int(rises[0])
        raise ProblemError(
            f"betas must be strictly decreasing, got {values[k]:g}, then {values[k + 1]:g} "
            f"at index {k + 1}"
        )
    return values


def _geometric(top: float, count: int, ratio: float) -> Array:
    spaced: Array = top * np.power(ratio, np.arange(count) / max(count - 1, 1))
    return spaced


def _validated(problem: Any, parts: list[tuple[Trace, Any]], reached: int) -> Validation:
    """Grade every fit on its fold; NaN where a fold did not come to a point."""
    parts = [part for part in parts if part[0].points]
    classes = problem.labels.classes is not None
    losses = np.full((reached if parts else 0, len(parts)), np.nan)
    gaps, scores = losses.copy(), losses.copy()
    for f, (done, test) in enumerate(parts):
        X, y, held = problem.X[test], problem.y[test], weights_of(problem, test)
        for i, solution in enumerate(done.solutions[:reached]):
            losses[i, f] = problem.holdout(solution.model, X, y, **held)
            gaps[i, f] = solution.gap
            predicted = solution.model.predict(X)
            if classes:
                scores[i, f] = np.average(predicted == y, weights=held.get("weights"))
            else:
                scores[i, f] = _explained(predicted, y, held.get("weights"))
    return Validation(losses, scores if classes else None, gaps, None if classes else scores)


def _explained(predicted: Array, y: Array, weights: Array | None) -> float:
    """Return R^2, the mean over the outputs: the share of the targets' variance explained."""
    missed = np.average(np.square(predicted - y), axis=0, weights=weights)
    centre = np.average(y, axis=0, weights=weights)
    spread = np.average(np.square(y - centre), axis=0, weights=weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(spread > 0.0, 1.0 - missed / spread, np.where(missed > 0.0, 0.0, 1.0))
    return float(np.mean(share))

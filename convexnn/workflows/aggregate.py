"""Robust aggregation: one update of a model from those of many clients, some of them faulty."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.arrays import Array, FloatArray
from convexnn.contract.certificate import Status
from convexnn.contract.checks import (
    ProblemError,
    choice,
    flag,
    in_range,
    positive,
    real_array,
    seconds,
    whole_number,
)
from convexnn.contract.clock import Clock, timed_by
from convexnn.contract.system.interrupts import interruptible
from convexnn.contract.words import few
from convexnn.median.forms import Location, MedianForm
from convexnn.median.stacking import stack, unstack
from convexnn.workflows import aggregation_rules as rules
from convexnn.workflows.aggregation_rules import Asked

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convexnn.driver.solution import Solution
    from convexnn.median.stacking import Points
    from convexnn.problems.median.geometric import GeometricMedian, Median

CLOSE = 1e-8  # relative gap of the geometric median


def aggregate(
    updates: Points,
    *,
    method: str = "geometric-median",
    weights: ArrayLike | None = None,
    faulty: int = 0,
    before: str | None = None,
    per_component: bool = False,
    radius: float | None = None,
    invalid: str = "drop",
    time_limit: float | None = None,
    seed: int = 0,
) -> Any:
    """Return one update ``x`` for the updates ``u_1, ..., u_n`` of n clients.

    ==================  ==========================================================================
    method              x
    ==================  ==========================================================================
    geometric-median    ``argmin_x sum_i w_i ||x - u_i||``, certified [1]
    mean                ``sum_i w_i u_i / sum_i w_i``: one client can move it anywhere
    coordinate-median   in each coordinate, the middle of ``argmin_x sum_i w_i |x - u_i|`` [2]
    trimmed-mean        in each coordinate, the mean without the `faulty` least and greatest [2]
    mean-around-median  in each coordinate, the mean of the ``n - faulty`` nearest the coordinate
                        median [5]
    krum                the ``u_i`` of least ``s_i``, the sum of its ``n - faulty - 2`` least
                        ``||u_i - u_j||^2``, j other than i [3]
    multi-krum          the mean of the ``n - faulty`` of least ``s_i`` [3]
    mda                 the mean of the ``n - faulty`` whose largest ``||u_i - u_j||`` is least,
                        found exactly [6]
    norm-elimination    the mean of the ``n - faulty`` of least ``||u_i||`` [7]
    centered-clipping   ten times ``x += sum_i w_i min(1, radius / ||u_i - x||) (u_i - x) / sum_i
                        w_i``, from the coordinate median [4]
    flag                ``Y Y' mean(u)``, Y of ceil((n + 1) / 2) orthonormal columns, at a local
                        minimum of ``sum_i sqrt(1 - ||Y'u_i||^2 / ||u_i||^2) + sum_{i != j}
                        sqrt(1 - ||Y'(u_i - u_j)||^2 / ||u_i - u_j||^2) / (n - 1)`` [8]
    ==================  ==========================================================================

    The flag weighs directions alike, whatever their lengths, but takes the mean of what lies along
    them: one long update can move it as it can move the mean.

    Parameters
    ----------
    updates : array of shape (n, d), or list
        One update a client: a vector, an array, or a list of arrays, of any library that offers
        ``__dlpack__`` or ``__array__``.
    method : str, default "geometric-median"
    weights : array of shape (n,), optional
        All >= 0, not all 0; 1 each if left out. Krum, the flag and `before` have no use for them;
        a rule that leaves updates out weighs those it keeps.
    faulty : int, default 0
        Clients that may send anything. Every rule needs ``n > 2 faulty``, Krum
        ``n > 2 faulty + 2``, but the mean and the flag, which bear none; mda needs
        ``faulty <= 30``, as its search grows by 1.47 with each.
    before : {"nearest-neighbour-mixing", "bucketing"}, optional
        What the rule is given instead of the updates: of each update the mean of the
        ``n - faulty`` nearest to it [10]; or the means of pairs drawn at random, of which there
        are ``ceil(n / 2)`` and as many faulty ones [9].
    per_component : bool, default False
        Aggregate each array of the updates for itself instead of all entries jointly.
    radius : float, optional
        Of centred clipping; the median distance from the coordinate median if left out.
    invalid : {"drop", "raise"}, default "drop"
        What becomes of a client whose update holds NaN or inf: it is left out, with its weight and
        a warning that names it, or the update is refused. Of the others `faulty` may still send
        anything.
    time_limit : float, optional
        Seconds, of the geometric median, all arrays together; the others are closed forms.
    seed : int, default 0
        Of the pairs of bucketing. One that clients cannot know, another in each round, is what its
        theory asks for.

    Returns
    -------
    array, or list or tuple of arrays
        As each update is, in float32 if every update is, else in float64. Where the time was up
        before the geometric median was found, the better of the best point so far and of the
        coordinate median.

    Raises
    ------
    ProblemError
        If an argument breaks its rule, there are more faulty clients than the rule can bear, which
        the message names with its breaking point, or no update is finite.

    Warns
    -----
    UserWarning
        If clients are left out, or the time ran out; the latter says how near the point is.

    References
    ----------
    [1] Pillutla, Kakade & Harchaoui 2022, "Robust aggregation for federated learning".
    [2] Yin, Chen, Kannan & Bartlett 2018, "Byzantine-robust distributed learning: towards optimal
    statistical rates".
    [3] Blanchard, El Mhamdi, Guerraoui & Stainer 2017, "Machine learning with adversaries:
    Byzantine tolerant gradient descent".
    [4] Karimireddy, He & Jaggi 2021, "Learning from history for Byzantine robust optimization".
    [5] Xie, Koyejo & Gupta 2018, "Generalized Byzantine-tolerant SGD".
    [6] El Mhamdi, Guerraoui & Rouault 2018, "The hidden vulnerability of distributed learning in
    Byzantium".
    [7] Gupta & Vaidya 2020, "Fault-tolerance in distributed optimization: the case of redundancy".
    [8] Almasi, Mishra, Kacham, Chaudhari & Ravi 2024, "Flag aggregator: scalable distributed
    training under failures and augmented losses using convex optimization".
    [9] Karimireddy, He & Jaggi 2022, "Byzantine-robust learning on heterogeneous datasets via
    bucketing".
    [10] Allouah, Farhadkhani, Guerraoui, Gupta, Pinot & Stephan 2023, "Fixing by mixing: a recipe
    for optimal Byzantine ML under heterogeneity".

    Examples
    --------
    >>> import convexnn as cx
    >>> updates = [[np.ones((1, 2)), np.zeros(1)]] * 3 + [[np.full((1, 2), 1e6), np.ones(1)]]
    >>> cx.aggregate(updates)
    [array([[1., 1.]]), array([0.])]
    """
    choice("method", method, list(METHODS))
    if before is not None:
        choice("before", before, list(BEFORE))
    flag("per_component", per_component)
    choice("invalid", invalid, ("drop", "raise"))
    rows, shapes = stack("updates", updates, finite=invalid == "raise")
    w = _weights(weights, len(rows), method, before)
    rows, w = _finite(rows, w)
    f = _faulty(faulty, len(rows), method, before)
    seed = whole_number("seed", seed, 0)
    if radius is not None:
        if method != "centered-clipping":
            raise ProblemError(f"radius is of use to centered-clipping only, not to {method}")
        radius = positive("radius", radius)
    if time_limit is not None:
        if method != "geometric-median":
            raise ProblemError(
                f"time_limit is of use to geometric-median only, {method} is a closed form"
            )
        time_limit = seconds("time_limit", time_limit)
    clock = Clock.started(time_limit)

    def merge(part: Array) -> Array:
        if before is not None:
            part = BEFORE[before](part, f, seed)
        with timed_by(clock):
            return METHODS[method](part, Asked(w[: len(part)], f, radius))

    exact = rows.astype(np.float64, copy=False)
    if per_component and shapes is not None:
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
        merged = np.concatenate([merge(part) for part in np.split(exact, ends, axis=1)])
    else:
        merged = merge(exact)
    merged = merged.astype(rows.dtype)
    if shapes is None:
        return merged
    arrays = [part.copy() for part in unstack(merged, shapes)]
    given: Any = updates
    kind = type(given[0])
    return kind(arrays) if kind in (list, tuple) else arrays[0]


def _finite(rows: FloatArray, w: Array) -> tuple[FloatArray, Array]:
    """Leave out the clients whose updates are not finite, aloud."""
    kept = np.isfinite(rows).all(axis=1)
    if kept.all():
        return rows, w
    lost = np.flatnonzero(~kept).tolist()
    said = f"updates of client{'s' if len(lost) > 1 else ''} {few(lost)} hold NaN or inf"
    if not kept.any():
        raise ProblemError(f"{said}: none is finite")
    if not w[kept].any():
        raise ProblemError(f"weights must not all be 0 where updates are finite; {said}")
    warnings.warn(
        f"{said}: left out, {len(rows) - len(lost)} of {len(rows)} are kept", stacklevel=3
    )
    return rows[kept], w[kept]


def _geometric_median(rows: Array, asked: Asked) -> Array:
    from convexnn.driver.solve import compile
    from convexnn.problems.median.geometric import GeometricMedian

    problem = GeometricMedian(rows, weights=asked.weights)
    ready = compile(problem)
    with interruptible() as interrupted:
        solution = ready.run(tol=CLOSE)
        if 0.0 < solution.objective < 1.0:  # the gap is relative to 1 there
            solution = ready.run(tol=CLOSE * solution.objective, start=solution)
    if interrupted:  # an array cannot say that it is no median yet
        raise KeyboardInterrupt
    point: Array = solution.model.point
    return _in_time(problem, solution, asked) if solution.status is Status.TIME_LIMIT else point


def _in_time(problem: GeometricMedian, solution: Solution[Median], asked: Asked) -> Array:
    """Return the better of the best point in time and of the coordinate median, aloud.

    The first point of all is the mean, which one client can move anywhere.
    """
    form = problem.canonical(MedianForm)
    middle = rules.coordinate_median(np.asarray(problem.points, dtype=np.float64), asked)
    other = problem.certify(Location(middle - form.centre), solution.dual)
    found = solution.certificate
    better = other.graded[0] < found.graded[0]
    gap = (other if better else found).gap
    warnings.warn(
        f"the time ran out before the geometric median was found: the sum of distances is within "
        f"{gap:.1e} of the least, relative to it",
        stacklevel=4,
    )
    point: Array = middle if better else solution.model.point
    return point


METHODS: dict[str, Callable[[Array, Asked], Array]] = {
    "geometric-median": _geometric_median,
    "mean": rules.mean,
    "coordinate-median": rules.coordinate_median,
    "trimmed-mean": rules.trimmed_mean,
    "mean-around-median": rules.mean_around_median,
    "krum": rules.krum,
    "multi-krum": rules.multi_krum,
    "mda": rules.minimum_diameter,
    "norm-elimination": rules.norm_elimination,
    "centered-clipping": rules.centered_clipping,
    "flag": rules.flag,
}
BEFORE = {
    "nearest-neighbour-mixing": rules.nearest_neighbour_mixing,
    "bucketing": rules.bucketing,
}
MOVED = ("mean", "flag")  # which bear no faulty client at all, however many are announced
NEEDS = {"krum": 2, "multi-krum": 2}  # clients beyond twice the faulty ones and one more
EQUALS = ("krum", "multi-krum", "flag")  # which know no weights


def _weights(given: Any, n: int, method: str, before: str | None) -> Array:
    if given is None:
        return np.ones(n)
    if method in EQUALS or before is not None:
        raise ProblemError(f"weights are of no use to {before or method}; leave them out")
    weights = in_range("weights", real_array("weights", given, 1))
    if len(weights) != n:
        raise ProblemError(f"weights must have one entry per update ({n}), got {len(weights)}")
    if weights.min() < 0.0 or not weights.sum() > 0.0:
        raise ProblemError(f"weights must be >= 0 and not all 0, got {weights.min():g} at least")
    return weights


def _faulty(value: Any, n: int, method: str, before: str | None) -> int:
    """Return the number of faulty clients, which the rule can bear among these."""
    given = whole_number("faulty", value, 0)
    if before == "nearest-neighbour-mixing":
        _borne(given, n, before, 0)
    if method not in MOVED:
        said, left = method, n
        if before == "bucketing":
            left = -(-n // rules.BUCKET)
            said = f"{method} after bucketing, which leaves {left} of {n} updates"
        _borne(given, left, said, NEEDS.get(method, 0))
    return given


def _borne(given: int, n: int, said: str, need: int) -> None:
    if n > 2 * given + need:
        return
    rule = f"n > 2 faulty + {need}" if need else "n > 2 faulty"
    most = (n - need - 1) // 2
    bears = f"it bears {most} at most" if most >= 0 else "it bears none of so few"
    raise ProblemError(f"faulty must be such that {rule} for {said}, got {given} of {n}: {bears}")

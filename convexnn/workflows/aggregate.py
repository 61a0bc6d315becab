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

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convexnn.driver.solution import Solution
    from convexnn.median.stacking import Points
    from convexnn.problems.median.geometric import GeometricMedian, Median

CLOSE = 1e-8  # relative gap of the geometric median
CLIPPINGS = 10  # rounds of centred clipping


def aggregate(
    updates: Points,
    *,
    method: str = "geometric-median",
    weights: ArrayLike | None = None,
    faulty: int = 0,
    per_component: bool = False,
    radius: float | None = None,
    invalid: str = "drop",
    time_limit: float | None = None,
) -> Any:
    """Return one update ``x`` for the updates ``u_1 .. u_n`` of n clients.

    =================  ===========================================================================
    method             x
    =================  ===========================================================================
    geometric-median   ``argmin_x sum_i w_i ||x - u_i||``, certified [1]
    mean               ``sum_i w_i u_i / sum_i w_i``: one client can move it anywhere
    coordinate-median  in each coordinate, the middle of ``argmin_x sum_i w_i |x - u_i|`` [2]
    trimmed-mean       in each coordinate, the mean without the `faulty` least and greatest [2]
    krum               the ``u_i`` of least ``s_i``, the sum of its ``n - faulty - 2`` least
                       ``||u_i - u_j||^2``, j other than i [3]
    multi-krum         the mean of the ``n - faulty`` of least ``s_i`` [3]
    centered-clipping  ten times ``x += sum_i w_i min(1, radius / ||u_i - x||) (u_i - x) / sum_i
                       w_i``, from the coordinate median [4]
    =================  ===========================================================================

    Parameters
    ----------
    updates : array of shape (n, d), or list
        One update a client: a vector, an array, or a list of arrays, of any library that offers
        ``__dlpack__`` or ``__array__``.
    method : str, default "geometric-median"
    weights : array of shape (n,), optional
        All >= 0, not all 0; 1 each if left out. Krum has no use for them.
    faulty : int, default 0
        Clients that may send anything; of use to the trimmed mean, which needs ``n > 2 faulty``,
        and to Krum, ``n > 2 faulty + 2``.
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

    Returns
    -------
    array, or list or tuple of arrays
        As each update is, in float32 if every update is, else in float64. Where the time was up
        before the geometric median was found, the better of the best point so far and of the
        coordinate median.

    Raises
    ------
    ProblemError
        If an argument breaks its rule, or no update is finite.

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

    Examples
    --------
    >>> import convexnn as cx
    >>> updates = [[np.ones((1, 2)), np.zeros(1)]] * 3 + [[np.full((1, 2), 1e6), np.ones(1)]]
    >>> cx.aggregate(updates)
    [array([[1., 1.]]), array([0.])]
    """
    choice("method", method, list(METHODS))
    flag("per_component", per_component)
    choice("invalid", invalid, ("drop", "raise"))
    rows, shapes = stack("updates", updates, finite=invalid == "raise")
    w = _weights(weights, len(rows), method)
    rows, w = _finite(rows, w)
    n = len(rows)
    f = _faulty(faulty, n, method)
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
        with timed_by(clock):
            return METHODS[method](part, w, f, radius)

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


def _geometric_median(rows: Array, w: Array, f: int, radius: float | None) -> Array:
    from convexnn.driver.solve import compile
    from convexnn.problems.median.geometric import GeometricMedian

    problem = GeometricMedian(rows, weights=w)
    ready = compile(problem)
    with interruptible() as asked:
        solution = ready.run(tol=CLOSE)
        if 0.0 < solution.objective < 1.0:  # the gap is relative to 1 there
            solution = ready.run(tol=CLOSE * solution.objective, start=solution)
    if asked:  # an array cannot say that it is no median yet
        raise KeyboardInterrupt
    point: Array = solution.model.point
    return _in_time(problem, solution, w) if solution.status is Status.TIME_LIMIT else point


def _in_time(problem: GeometricMedian, solution: Solution[Median], w: Array) -> Array:
    """Return the better of the best point in time and of the coordinate median, aloud.

    The first point of all is the mean, which one client can move anywhere.
    """
    form = problem.canonical(MedianForm)
    middle = _coordinate_median(np.asarray(problem.points, dtype=np.float64), w, 0, None)
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


def _mean(rows: Array, w: Array, f: int, radius: float | None) -> Array:
    mean: Array = (w / w.sum()) @ rows
    return mean


def _coordinate_median(rows: Array, w: Array, f: int, radius: float | None) -> Array:
    order = np.argsort(rows, axis=0, kind="stable")
    ascending = np.take_along_axis(rows, order, axis=0)
    below = np.cumsum(w[order], axis=0)
    half = 0.5 * below[-1]
    first = np.argmax(below >= half * (1.0 - 1e-12), axis=0)  # equality up to rounding
    second = np.argmax(below > half * (1.0 + 1e-12), axis=0)
    columns = np.arange(rows.shape[1])
    low, high = ascending[first, columns], ascending[second, columns]
    middle: Array = low + 0.5 * (high - low)
    return middle


def _trimmed_mean(rows: Array, w: Array, f: int, radius: float | None) -> Array:
    order = np.argsort(rows, axis=0, kind="stable")[f : len(rows) - f]
    kept = np.take_along_axis(rows, order, axis=0)
    if not (w[order].sum(axis=0) > 0.0).all():
        raise ProblemError("weights must not all be 0 where the trimmed mean keeps updates")
    mean: Array = np.average(kept, axis=0, weights=w[order])
    return mean


def _scores(rows: Array, f: int) -> Array:
    n = len(rows)
    square = np.array([np.einsum("ij,ij->i", Y, Y) for Y in (rows - row for row in rows)])
    np.fill_diagonal(square, np.inf)
    nearest: Array = np.sort(square, axis=1)[:, : n - f - 2].sum(axis=1)
    return nearest


def _krum(rows: Array, w: Array, f: int, radius: float | None) -> Array:
    chosen: Array = rows[int(np.argmin(_scores(rows, f)))]
    return chosen


def _multi_krum(rows: Array, w: Array, f: int, radius: float | None) -> Array:
    best = np.argsort(_scores(rows, f), kind="stable")[: len(rows) - f]
    mean: Array = rows[best].mean(axis=0)
    return mean


@np.errstate(over="ignore")  # who is that far off has no share
def _centered_clipping(rows: Array, w: Array, f: int, radius: float | None) -> Array:
    x = _coordinate_median(rows, w, f, None)
    if radius is None:
        radius = float(np.median(np.linalg.norm(rows - x, axis=1)))
    for _ in range(CLIPPINGS):
        Y = rows - x
        far = np.linalg.norm(Y, axis=1)
        share = np.minimum(1.0, np.divide(radius, far, out=np.ones(len(far)), where=far > 0.0))
        x = x + (w * share / w.sum()) @ Y
    return x


METHODS: dict[str, Callable[[Array, Array, int, float | None], Array]] = {
    "geometric-median": _geometric_median,
    "mean": _mean,
    "coordinate-median": _coordinate_median,
    "trimmed-mean": _trimmed_mean,
    "krum": _krum,
    "multi-krum": _multi_krum,
    "centered-clipping": _centered_clipping,
}
NEEDS = {"trimmed-mean": 0, "krum": 2, "multi-krum": 2}  # clients beyond twice the faulty ones


def _weights(given: Any, n: int, method: str) -> Array:
    if given is None:
        return np.ones(n)
    if method in ("krum", "multi-krum"):
        raise ProblemError(f"weights are of no use to {method}; leave them out")
    weights = in_range("weights", real_array("weights", given, 1))
    if len(weights) != n:
        raise ProblemError(f"weights must have one entry per update ({n}), got {len(weights)}")
    if weights.min() < 0.0 or not weights.sum() > 0.0:
        raise ProblemError(f"weights must be >= 0 and not all 0, got {weights.min():g} at least")
    return weights


def _faulty(value: Any, n: int, method: str) -> int:
    given = whole_number("faulty", value, 0)
    if method in NEEDS and not n > 2 * given + NEEDS[method]:
        rule = "n > 2 faulty + 2" if NEEDS[method] else "n > 2 faulty"
        raise ProblemError(f"faulty must be such that {rule} for {method}, got {given} of {n}")
    return given

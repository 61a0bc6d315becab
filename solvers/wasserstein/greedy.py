"""The exact greedy of the transport on a budget: concave envelopes, one sort, one knapsack.

As the budget of one sample grows, its best places trace the concave envelope of the points
``(cost_ik, gain_ik)``, segment by segment. All samples together buy segments in the order of
their slopes, and the last one bought is split. That solves the linear relaxation of the
multiple-choice knapsack (Sinha & Zoltners 1979, "The multiple-choice knapsack problem"), and the
slope where the money ends is the optimal multiplier. O(N log N) for a fixed number of places.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from convexnn.contract.arrays import Array, frozen
from convexnn.contract.backend import Options, Outcome, Raw, Reporter
from convexnn.contract.system.kernels import kernel
from convexnn.wasserstein.transport import Transport
from convexnn.wasserstein.weight_balls import ROUNDING, Adversary, Choice


def warm_up(form: Transport) -> None:
    """Compile the kernels."""
    one = np.zeros((1, 1))
    frozen(one)  # compiled versions differ by what may be written
    solve(Transport(np.zeros(1), one, one, 0.0, np.array([0, 1]), 0.0))


def run(
    form: Transport, own: dict[str, Any], options: Options, reporter: Reporter, start: Any
) -> Raw:
    """Solve exactly, without iterations, and report once."""
    multiplier, shares = solve(form)
    reporter.report(1, Adversary(multiplier, shares), Choice(shares))
    return Raw(Outcome.FINISHED)


def solve(form: Transport) -> tuple[Array, Array]:
    """Return the optimal multipliers (G,) and shares (N, K).

    Examples
    --------
    >>> two = Transport(np.zeros(2), np.array([[1.0], [3.0]]), np.ones((2, 1)), 0.75,
    ...                 np.array([0, 2]), 0.0)
    >>> multiplier, shares = solve(two)
    >>> multiplier, shares.round(9).ravel()
    (array([1.]), array([0.5, 1. ]))
    """
    gain, cost = form.gain, form.cost
    count = 2 * len(gain)
    while True:
        source, ends = np.empty(count, np.int64), np.empty((count, 2), np.int64)
        slope, length = np.empty(count), np.empty(count)
        found = _segments(gain, cost, source, ends, slope, length)
        if found <= count:
            break
        count = found
    source, ends = source[:found], ends[:found]
    slope, length = slope[:found], length[:found]
    shares = _free_moves(gain, cost)
    multiplier = np.empty(len(form.starts) - 1)
    bounds = np.searchsorted(source, form.starts)
    for g, (first, last) in enumerate(pairwise(bounds)):
        order = first + np.argsort(-slope[first:last], kind="stable")
        budget = form.radius * form.sizes[g]
        multiplier[g] = _spend(budget, ROUNDING, order, source, ends, slope, length, shares)
    return np.maximum(multiplier, form.floor), shares


@kernel(inner=True)
def _free_move(gain, cost, i):  # type: ignore[no-untyped-def]
    """Return the best place that costs nothing, -1 for staying."""
    best = -1
    for k in range(gain.shape[1]):
        if cost[i, k] == 0.0 and gain[i, k] > (0.0 if best < 0 else gain[i, best]):
            best = k
    return best


@kernel()
def _free_moves(gain, cost):  # type: ignore[no-untyped-def]
    shares = np.zeros(gain.shape)
    for i in range(gain.shape[0]):
        k = _free_move(gain, cost, i)
        if k >= 0:
            shares[i, k] = 1.0
    return shares


@kernel()
def _segments(gain, cost, source, ends, slope, length):  # type: ignore[no-untyped-def]
    """Wrap each sample's increasing concave envelope; return the count, write what has room."""
    found = 0
    for i in range(gain.shape[0]):
        here = _free_move(gain, cost, i)
        ceiling = np.inf  # slopes fall along an envelope, whatever rounding says
        while True:
            at = 0.0 if here < 0 else cost[i, here]
            worth = 0.0 if here < 0 else gain[i, here]
            best, steepest = -1, 0.0
            for k in range(gain.shape[1]):
                if cost[i, k] > at and gain[i, k] > worth:
                    rate = (gain[i, k] - worth) / (cost[i, k] - at)
                    if rate > steepest or (rate == steepest and cost[i, k] > cost[i, best]):
                        best, steepest = k, rate
            if best < 0:
                break
            ceiling = min(ceiling, steepest)
            if found < len(source):
                source[found], slope[found] = i, ceiling
                ends[found, 0], ends[found, 1] = here, best
                length[found] = cost[i, best] - at
            found += 1
            here = best
    return found


@kernel()
def _spend(budget, rounding, order, source, ends, slope, length, shares):  # type: ignore[no-untyped-def]
    """Buy segments in order, in place; return the slope where the money ends, 0 if it does not."""
    spent, lost = 0.0, 0.0  # compensated (Kahan): a budget may buy millions of segments
    for s in order:
        term = length[s] - lost
        total = spent + term
        part = 1.0
        if total > budget:
            part = max(budget * (1.0 - rounding) - spent, 0.0) / length[s]
        if part > 0.0:
            i, here, there = source[s], ends[s, 0], ends[s, 1]
            if here >= 0:
                shares[i, here] = 1.0 - part
            shares[i, there] = part
        if total > budget:
            return float(slope[s])
        lost = (total - spent) - term
        spent = total
    return 0.0

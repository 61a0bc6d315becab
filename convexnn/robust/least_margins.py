"""The least margins of a network over balls, as far as a branch and bound gets, sound in rounding.

A descent gives a margin that is attained; the branches of `branching` are searched for a
lower one until what is left cannot be lower by more than a share, or the nodes are spent.
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convexnn.contract.arrays import readonly
from convexnn.robust.ball_kernels import CODES, descend, edges
from convexnn.robust.margin_bounds import Lines, ascend, first_bound, relax
from convexnn.robust.rectified import TINY, Ranges, Rectified
from convexnn.robust.regions import Region

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array, BoolArray
    from convexnn.robust.margin_bounds import Relaxation

SHARE = 1e-4  # of a margin, or of 1: how near the bound is to come
STEPS = 200  # of a descent, and of the search for a branch's bound
STEP = 0.5  # of the radius: a descent's first step
WORK = 1e9  # multiplications that may be spent on all examples together
NODES = 100  # branches of an example, at most
FEW = 16  # branches of an example for which the search is not begun


class Balls(NamedTuple):
    """Balls around examples, or boxes.

    Attributes
    ----------
    X : array of shape (n, d)
    moved : array of bool, shape (d,)
        The columns that move.
    radius : float
    norm : {"linf", "l2", "l1"}
    widths : array of shape (n, d) or None
        Half the sides of boxes, whose radius is 1.
    """

    X: Array
    moved: BoolArray
    radius: float
    norm: str
    widths: Array | None = None


def least_margins(
    balls: Balls, weights: Array, sign: Array, side: Array, enough: float = np.inf
) -> Array:
    """Return lower bounds of ``min side f(x + r)`` for ``f(x) = sum_j sign_j max(x'w_j, 0)``.

    Parameters
    ----------
    balls : Balls
    weights : array of shape (d, m)
        One neuron a column.
    sign : array of shape (m,)
    side : array of shape (n,)
        1 or -1.
    enough : float, default inf
        A bound from which no better one is asked for.

    Returns
    -------
    array of shape (n,)

    Examples
    --------
    >>> balls = Balls(np.array([[1.0]]), np.array([True]), 2.0, "linf")
    >>> least_margins(balls, np.array([[1.0, -1.0]]), np.ones(2), np.ones(1)).round(3)
    array([-0.])
    """
    X, moved, radius, norm, widths = balls
    n, m = len(X), len(sign)
    inside = int(moved.sum())
    if m == 0 or inside == 0:
        return side * (np.maximum(X @ weights, 0.0) @ sign)
    W = np.ascontiguousarray(weights[moved].T)
    size = (np.abs(X) + (radius * moved if widths is None else widths)) @ np.abs(weights)
    form = Rectified(W, np.zeros(m), sign, np.zeros(inside), 0.0, np.zeros(inside), 0.0)
    allowance = form.rounding * (1.0 + len(moved)) * size.sum(axis=1) + TINY
    region = Region.of(X[:, moved], radius, norm)
    if widths is not None:
        region = region._replace(scale=np.ascontiguousarray(widths[:, moved]))
    center: Array = X @ weights
    reach: Array = region.reaches(W) + form.rounding * size
    found = Ranges(center, center - reach, center + reach, np.asarray(size, np.float64))
    relaxed = relax(form, found, region, side, np.zeros(n), allowance)
    least, attained = first_bound(relaxed), _descended(relaxed)
    gap = attained - least
    open_ones = np.flatnonzero((gap > SHARE * (1.0 + np.abs(attained))) & (least < enough))
    per_node = 4.0 * STEPS * m * inside
    nodes = int(min(NODES, WORK / (per_node * max(len(open_ones), 1))))
    for i in open_ones if nodes >= FEW else ():
        least[i] = max(least[i], _branch(relaxed, int(i), float(attained[i]), nodes, enough))
    return least


def _descended(relaxed: Relaxation) -> Array:
    """Return margins that are attained, by descents from the edge of each ball."""
    form, center, side = relaxed.form, relaxed.ranges.center, relaxed.side
    region = relaxed.region
    n, inside = len(side), form.W.shape[1]
    shift, best = np.zeros((n, inside)), np.full(n, np.inf)
    start = np.empty((n, inside))
    gradient = (form.sign * side[:, None] * (center > 0.0)) @ form.W
    if region.scale is not None:
        gradient = gradient * region.scale
    edges(gradient, region.reach, CODES[region.norm], start)
    straight, done, side = np.zeros(n), np.full(n, -np.inf), readonly(side)
    each = 1 if region.scale is not None else max(n, 1)  # boxes are stretched one by one
    for first in range(0, n, each):
        own = slice(first, first + each)
        W = region.stretched(form.W, first)
        descend(
            *(center[own], straight[own], side[own], done[own], start[own]),
            *(W, np.ascontiguousarray(W.T), form.sign, form.s),
            *(region.reach, STEP * region.reach, STEPS, CODES[region.norm], best[own], shift[own]),
        )
    return best


def _branch(relaxed: Relaxation, i: int, attained: float, nodes: int, enough: float) -> float:
    """Return a lower bound of one example's margin."""
    form, side = relaxed.form, relaxed.side[i]
    center = relaxed.ranges.center[i]
    order = count()
    heap = [(-np.inf, next(order), Lines.of(relaxed, i), relaxed.chord[i])]
    settled = np.inf  # the least bound of what is done with
    for _ in range(nodes):
        level = min(attained - SHARE * (1.0 + abs(attained)), enough)
        if not heap or heap[0][0] >= level:
            break
        above, _, lines, chords = heapq.heappop(heap)
        bound, _, shift = ascend(relaxed, i, lines, STEPS, level)
        bound = max(bound, above)
        t = center + relaxed.region.stretched(form.W, i) @ shift
        here = side * float(form.sign @ np.maximum(t, 0.0))
        if bound < level and here < attained:  # once more, for a lower level
            attained = here
            heapq.heappush(heap, (bound, next(order), lines, chords))
            continue
        if bound >= level or not chords.any():
            settled = min(settled, bound)
            continue
        children, rest = lines.branches(chords, t)
        for child in children:
            heapq.heappush(heap, (bound, next(order), child, rest))
    return min(settled, heap[0][0] if heap else np.inf)

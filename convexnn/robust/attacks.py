"""Attacks: points of a ball where a two-layer classifier's margin is small.

In one linear piece of the network the gradient is constant, so a descent keeps it until a neuron
turns, and is over once the piece's own minimiser over the ball lies in the piece.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from convexnn.contract.arrays import readonly
from convexnn.contract.brief import brief
from convexnn.contract.checks import (
    ProblemError,
    choice,
    positive,
    positive_int,
    seconds,
    seed_of,
)
from convexnn.contract.clock import Clock
from convexnn.contract.features import chosen_columns, column_names
from convexnn.contract.system.interrupts import as_interrupt
from convexnn.functions.norms import NORMS
from convexnn.robust.ball_kernels import CODES, descend, edges
from convexnn.robust.contests import labelled
from convexnn.robust.rectified import ball
from convexnn.robust.regions import Region, checked_box

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array, BoolArray, IndexArray
    from convexnn.relu.network import TwoLayerNetwork
    from convexnn.robust.contests import Labelled
    from convexnn.robust.rectified import Rectified

STEP = 0.25  # of the radius
WORK = 1e8  # multiplications between two looks at the clock


@brief
@dataclass(frozen=True, eq=False)
class Attack:
    """What an attack found.

    Attributes
    ----------
    points : array of shape (n, d)
        In the balls, in floating point too; the example itself where nothing is worse.
    margins : array of shape (n,)
        By how much the true class leads there: of one output the output itself, times -1 for
        examples of the first class.
    success : array of bool, shape (n,)
        Which of the points get another label than their example has.
    message : str
        What the time was too short for; empty if for nothing.
    """

    points: Array
    margins: Array
    success: BoolArray
    message: str = ""


@as_interrupt()
def attack(
    network: TwoLayerNetwork,
    X: ArrayLike,
    y: ArrayLike,
    *,
    radius: float,
    norm: str = "linf",
    method: str = "pgd",
    steps: int = 50,
    restarts: int = 10,
    step: float | None = None,
    seed: int = 0,
    time_limit: float | None = None,
    box: tuple[ArrayLike, ArrayLike] | Array | None = None,
    perturbed: ArrayLike | None = None,
) -> Attack:
    """Look for the smallest margin ``y f(x + u)`` over ``||u|| <= radius``, from above.

    The margin of a network with several outputs is by how much that of the true class leads;
    each other class is attacked by itself.

    "fgsm" goes from the example to the ball's edge along the steepest descent: ``-radius sign(g)``
    for linf, ``-radius g / ||g||`` for l2, the largest coordinate of ``g`` alone for l1. "pgd"
    repeats smaller such steps, projected on the ball and halved when the margin does not fall;
    its first start is the point of "fgsm", the others are random. A descent that has arrived
    stops, and the search for an example ends once its label is lost.

    Parameters
    ----------
    network : TwoLayerNetwork
        A classifier without gates, of two classes or more.
    X : array of shape (n, d)
    y : array of shape (n,)
        Labels, of the network's classes.
    radius : float
        ``>= 0``, of the ball in `norm`.
    norm : {"linf", "l2", "l1"}, default "linf"
    method : {"pgd", "fgsm"}, default "pgd"
    steps : int, default 50
        At most, from each start; a descent that has arrived stops.
    restarts : int, default 10
        Starts.
    step : float, optional
        Length of a step in `norm`; a quarter of the radius by default.
    seed : int, default 0
        Of the random starts.
    time_limit : float, optional
        Seconds. Descents that have not begun by then are left out, but for the step of "fgsm".
    box : pair of floats or arrays of shape (d,), optional
        Range ``(low, high)`` of the columns that the adversary cannot leave, in the norm linf; X
        must lie in it.
    perturbed : array of bool, or of names or indices of columns, optional
        Columns that the adversary may change, all by default.

    Returns
    -------
    Attack
        The worst points found until then.

    Raises
    ------
    ProblemError
        If the network is no such classifier, or an argument breaks its rule.

    References
    ----------
    Goodfellow, Shlens & Szegedy (2015), ICLR ("fgsm"); Madry et al. (2018), ICLR ("pgd").

    Examples
    --------
    >>> import convexnn as cx
    >>> net = cx.TwoLayerNetwork(np.eye(2), np.ones((2, 1)), np.zeros(2), classes=np.array([0, 1]))
    >>> cx.attack(net, [[1.0, 2.0]], [1], radius=0.5).margins
    array([2.])
    """
    data, region = moves(network, X, y, radius=radius, norm=norm, box=box, perturbed=perturbed)
    choice("method", method, ("pgd", "fgsm"))
    steps, restarts = positive_int("steps", steps), positive_int("restarts", restarts)
    seed = seed_of(seed)
    clock = Clock.started(None if time_limit is None else seconds("time_limit", time_limit))
    said = ""
    length = STEP if step is None else positive("step", step) / (region.radius or 1.0)
    points, (smallest, right) = data.X.copy(), data.judge(data.X)
    begun, cut = 0, False

    def tried(found: Array, rows: IndexArray) -> None:
        margins, held = data.judge(found, rows)
        lower = margins < smallest[rows]
        at = rows[lower]
        points[at], smallest[at], right[at] = found[lower], margins[lower], held[lower]

    for contest in data.contests:
        if region.radius == 0.0 or not len(contest.rows):
            continue
        own = region.part(contest.rows)
        search = Search(contest.form, own, contest.side)
        tried(own.points(search.fgsm()), contest.rows)
        if method == "pgd":
            rng = np.random.default_rng(seed)
            found = search.pgd(length * region.reach, steps, restarts, rng, clock)
            tried(own.points(found), contest.rows)
            begun, cut = begun + search.begun, cut or search.cut
    if cut:
        descents = restarts * sum(len(contest.rows) for contest in data.contests)
        said = f"The time ran out after {begun:,} of {descents:,} descents."
    return Attack(points, smallest, ~right, said)


def moves(
    network: TwoLayerNetwork,
    X: ArrayLike,
    y: ArrayLike,
    *,
    radius: float,
    norm: str,
    box: tuple[ArrayLike, ArrayLike] | Array | None,
    perturbed: ArrayLike | None,
) -> tuple[Labelled, Region]:
    """Check a classifier's examples, and say where an adversary may move them.

    Raises
    ------
    ProblemError
        If an argument breaks its rule.
    """
    data = labelled(network, X, y)
    radius, norm = ball(radius, norm)
    limits, names = checked_box(box, data.X), network.feature_names or column_names("X", X)
    if limits is not None and norm != "linf":
        raise ProblemError(f"box goes with norm 'linf', got {norm!r}")
    moved = chosen_columns("perturbed", perturbed, data.X.shape[1], names)
    for contest in data.contests:
        contest.form.allowance(data.X, radius)
    return data, Region.of(data.X, radius, norm, limits, moved)


class Search:
    """Examples with what all descents from them share."""

    def __init__(self, form: Rectified, region: Region, side: Array) -> None:
        self.form, self.side, self.region = form, readonly(side), region
        self.done = -form.allowance(region.X, region.radius)
        self.center = region.center @ form.W.T + form.b
        self.linear = region.center @ form.s + form.c
        self.best = np.full(len(side), np.inf)
        self.shift = np.zeros_like(region.X)
        self.begun, self.cut = 0, False  # descents, an example's each; whether time cut them off

    def fgsm(self) -> Array:
        """Return the shift of one step to the edge."""
        region, shift = self.region, np.empty_like(self.shift)
        at = self.center
        if region.center is not region.X:
            at = region.X @ self.form.W.T + self.form.b
        weights = self.form.sign * self.side[:, None] * (at > 0.0)
        gradient = weights @ self.form.W + self.side[:, None] * self.form.s
        if region.scale is not None:
            gradient = gradient * region.scale
        edges(gradient, region.reach, CODES[region.norm], shift)
        return shift

    def pgd(
        self, step: float, steps: int, restarts: int, rng: np.random.Generator, clock: Clock
    ) -> Array:
        """Return the best shift of all descents that begin in time."""
        self.descend(self.fgsm(), step, steps, clock)
        for _ in range(restarts - 1):
            if np.all(self.best < self.done) or self.cut:
                break
            start = _random(rng, self.shift.shape, self.region.reach, self.region.norm)
            self.descend(start, step, steps, clock)
        return self.shift

    def descend(self, start: Array, step: float, steps: int, clock: Clock | None = None) -> Array:
        """Return the best shift so far after a descent from `start`, as far as there is time."""
        form, region, n = self.form, self.region, len(start)
        rows = max(1, int(WORK / (form.W.size * steps + 1)))
        each = region.scale is not None and region.scale.ndim == 2
        for first in range(0, n, 1 if each else rows):
            if clock is not None and clock.expired():
                self.cut = True
                break
            own = slice(first, first + (1 if each else rows))
            W, s = region.stretched(form.W, first), region.stretched(form.s, first)
            descend(
                *(self.center[own], self.linear[own], self.side[own], self.done[own], start[own]),
                *(W, np.ascontiguousarray(W.T), form.sign, s),
                *(region.reach, step, steps, CODES[region.norm], self.best[own], self.shift[own]),
            )
            self.begun += len(start[own])
        return self.shift


def _random(rng: np.random.Generator, shape: tuple[int, ...], radius: float, norm: str) -> Array:
    """Draw points of the ball, uniformly."""
    if norm == "linf":
        return rng.uniform(-radius, radius, shape)
    away = rng.standard_normal(shape) if norm == "l2" else rng.laplace(size=shape)
    reach = radius * rng.uniform(size=shape[0]) ** (1.0 / shape[1])
    drawn: Array = away * (reach / NORMS[norm].value(away))[:, None]
    return drawn

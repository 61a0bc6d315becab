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
from convexnn.contract.checks import choice, positive, positive_int, seconds, seed_of
from convexnn.contract.clock import Clock
from convexnn.contract.system.interrupts import as_interrupt
from convexnn.functions.norms import NORMS
from convexnn.robust.ball_kernels import CODES, descend, edges
from convexnn.robust.rectified import ball, classified, correct, inside, rectified

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array, BoolArray
    from convexnn.relu.network import TwoLayerNetwork
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
        The network's output there, times -1 for examples of the first class.
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
) -> Attack:
    """Look for the smallest margin ``y f(x + u)`` over ``||u|| <= radius``, from above.

    "fgsm" goes from the example to the ball's edge along the steepest descent: ``-radius sign(g)``
    for linf, ``-radius g / ||g||`` for l2, the largest coordinate of ``g`` alone for l1. "pgd"
    repeats smaller such steps, projected on the ball and halved when the margin does not fall;
    its first start is the point of "fgsm", the others are random. A descent that has arrived
    stops, and the search for an example ends once its label is lost.

    Parameters
    ----------
    network : TwoLayerNetwork
        A classifier with one output, without gates.
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
    data = classified(network, X, y)
    radius, norm = ball(radius, norm)
    choice("method", method, ("pgd", "fgsm"))
    steps, restarts = positive_int("steps", steps), positive_int("restarts", restarts)
    seed = seed_of(seed)
    clock = Clock.started(None if time_limit is None else seconds("time_limit", time_limit))
    said = ""
    length = STEP * radius if step is None else positive("step", step)
    form = rectified(network)
    form.allowance(data.X, radius)
    tried = [data.X]
    if radius > 0.0:
        search = Search(form, data.X, data.side, radius, norm)
        tried.append(inside(data.X, data.X + search.fgsm(), radius, norm))
        if method == "pgd":
            found = search.pgd(length, steps, restarts, np.random.default_rng(seed), clock)
            tried.append(inside(data.X, data.X + found, radius, norm))
            if search.cut:
                descents = restarts * len(data.X)
                said = f"The time ran out after {search.begun:,} of {descents:,} descents."
    margins = np.array([data.side * network.decision_function(points) for points in tried])
    worst = np.argmin(margins, axis=0)
    rows = np.arange(len(data.X))
    smallest = margins[worst, rows]
    lost = ~correct(smallest, data.side)
    return Attack(np.array(tried)[worst, rows], smallest, lost, said)


class Search:
    """Examples with what all descents from them share."""

    def __init__(self, form: Rectified, X: Array, side: Array, radius: float, norm: str) -> None:
        self.form, self.side, self.radius, self.norm = form, readonly(side), radius, norm
        self.done = -form.allowance(X, radius)
        self.columns = np.ascontiguousarray(form.W.T)
        self.center = X @ form.W.T + form.b
        self.linear = X @ form.s + form.c
        self.best = np.full(len(X), np.inf)
        self.shift = np.zeros_like(X)
        self.begun, self.cut = 0, False  # descents, an example's each; whether time cut them off

    def fgsm(self) -> Array:
        """Return the shift of one step to the edge."""
        shift = np.empty_like(self.shift)
        weights = self.form.sign * self.side[:, None] * (self.center > 0.0)
        gradient = weights @ self.form.W + self.side[:, None] * self.form.s
        edges(gradient, self.radius, CODES[self.norm], shift)
        return shift

    def pgd(
        self, step: float, steps: int, restarts: int, rng: np.random.Generator, clock: Clock
    ) -> Array:
        """Return the best shift of all descents that begin in time."""
        self.descend(self.fgsm(), step, steps, clock)
        for _ in range(restarts - 1):
            if np.all(self.best < self.done) or self.cut:
                break
            start = _random(rng, self.shift.shape, self.radius, self.norm)
            self.descend(start, step, steps, clock)
        return self.shift

    def descend(self, start: Array, step: float, steps: int, clock: Clock | None = None) -> Array:
        """Return the best shift so far after a descent from `start`, as far as there is time."""
        form, n = self.form, len(start)
        rows = max(1, int(WORK / (form.W.size * steps + 1)))
        for first in range(0, n, rows):
            if clock is not None and clock.expired():
                self.cut = True
                break
            own = slice(first, first + rows)
            descend(
                *(self.center[own], self.linear[own], self.side[own], self.done[own], start[own]),
                *(form.W, self.columns, form.sign, form.s),
                *(self.radius, step, steps, CODES[self.norm], self.best[own], self.shift[own]),
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

"""What "auto" stands for: a short table by problem and size, drawn from the benchmarks."""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.contract.backend import Sized
from convexnn.contract.memory import Size, shortage
from convexnn.contract.problem import Problem
from convexnn.contract.program import CvxpyProgram
from convexnn.median.consensus import ConsensusForm
from convexnn.median.forms import MedianForm
from convexnn.median.linear_sum import LinearSum
from convexnn.median.network_lasso import LassoForm
from convexnn.relu.forms import GroupForm, MajorantForm, NetworkForm, PooledForm, PooledNetworkForm
from convexnn.robust.forms import RobustForm, RobustNetworkForm
from convexnn.wasserstein.forms import WassersteinForm
from convexnn.wasserstein.newsvendor import DemandForm
from convexnn.wasserstein.portfolio import PortfolioForm
from convexnn.wasserstein.transport import Transport
from convexnn.wasserstein.weight_balls import ChiSquared, Entropy, EntropyPenalty, Tail, Variation

OWN: dict[type, tuple[str, ...]] = {
    WassersteinForm: ("newton",),
    PortfolioForm: ("newton",),
    Transport: ("greedy",),
    DemandForm: ("quantile",),
    MedianForm: ("newton",),
    RobustNetworkForm: ("convex-concave",),
    LinearSum: ("homotopy",),
    LassoForm: ("admm",),
    **dict.fromkeys((Entropy, EntropyPenalty, ChiSquared, Tail, Variation), ("exact",)),
}
FEW_COORDINATES = 3  # of a median over a graph: PG-EXTRA's rounds cost less, and are no more
CROWD = 500  # agents from which that shows
HUB = 10  # times as many neighbours as the mean from which PG-EXTRA's step is too short
FEW_CELLS = 700  # patterns up to which the program over all is solved as it stands
STEP_WORK = 1e10  # multiplications of an interior-point step up to which it leads: about a second
THINNER = 10  # times fewer entries than its blocks from which a formula goes to Clarabel
WIDE = 10  # features for each example from which a lasso goes to interior point
NEWTON_ROWS = 2_500  # examples up to which interior point leads for a loss with kinks
SPARSE = {"l2": 0.005, "l1": 0.1}  # share of the critical beta from which few neurons are in use
FAINT = 50.0  # the same, times n, below which fista's steps without cones cost more than a factor
SMALL_BLOCK = 40  # weights of a neuron up to which that pays
CROWDED_ROWS = 1_000  # examples up to which interior point leads where many neurons are in use
OUTLYING = 100.0  # times the usual length of an example, from which the other engines crawl
FACTOR_ROWS = {True: 4_000, False: 1_500}  # up to which ADMM factors; True: cones, several outputs


def preferred(problem: Problem[Any]) -> tuple[str, ...]:
    """Return the names of backends for a problem, the best first; the next one steps in for it.

    ==================================  ===============  ====================================
    problem                             first choice     why
    ==================================  ===============  ====================================
    one with an engine of its own       see ``OWN``      it is exact, or the only one
    median over a graph                 admm             fewest rounds; indifferent to hubs
    the same, n >= 500, d <= 3, no hub  pg-extra         no more rounds, and cheaper ones
    over all patterns, more than 700    cell-walk        finds the patterns itself
    convolution over all patterns       cell-walk        works on few of them at a time
    without cones (majorant)            admm             no factor larger than d x d
    robust, a step below 1e10           ipm              some thirty steps, whatever the data
    robust, larger                      admm             no factor larger than d x d or P x P
    convolution, softmax, d P > n       fista            separable data: admm crawls
    convolution, n <= 4,000 or hinge    admm             one factor, few iterations
    formula far thinner than form       cvxpy:clarabel   one input: no dictionary
    lasso, P >= 10 n, n <= 2,500        ipm              near-equal features
    hinge loss, cones, n <= 2,500       ipm              first-order methods crawl at kinks
    hinge loss, others                  admm             fista would have to smooth the loss
    examples 100 x as long, n <= 1,000  ipm              the others crawl where one outweighs all
    cones, few neurons in use, d <= 40  semismooth       cost of the neurons in use alone
    cones, many in use, n <= 1,000      ipm              first-order methods crawl
    cones, others, n <= 4,000           admm             one n x n factor
    gates, P >= n or d = 1, n <= 1,500  semismooth       few of many blocks are in use
    gates, others, n <= 1,500           admm             one n x n factor, few iterations
    the same, tiny beta, n <= 4,000     admm             fista needs thousands of steps
    softmax with cones, n <= 4,000      semismooth       cost of the neurons in use alone
    several separable, few in use       semismooth       the same, for blocks of any size
    gates, several, n <= 4,000          admm             one factor serves them all
    larger                              fista            no factor, memory O(nP)
    ==================================  ===============  ====================================

    Few neurons are in use where beta is at least 0.5 % of that of a zero network without
    cones, 10 % for l1 neurons; below 50 / n of it beta is tiny.
    """
    offered = problem.forms()
    for form in offered:
        if form in OWN:
            return OWN[form]
    if ConsensusForm in offered:
        return _distributed(problem.canonical(ConsensusForm))
    if PooledNetworkForm in offered or (NetworkForm in offered and not _listed(problem, offered)):
        return "cell-walk", "lbfgs"
    if RobustForm in offered:
        return _robust(problem)
    if MajorantForm in offered:
        return ("admm",)
    if PooledForm in offered and isinstance(problem, Sized):
        return _pooled(problem, problem.size(PooledForm))
    if isinstance(problem, Sized):
        size = problem.size(GroupForm)
        if THINNER * problem.size(CvxpyProgram).weights <= size.weights:
            return "cvxpy:clarabel", "ipm", "admm", "fista"
    else:
        size = _size(problem.canonical(GroupForm))
    return _grouped(problem, size)


def _distributed(form: ConsensusForm) -> tuple[str, ...]:
    if form.agents < CROWD or form.points.shape[1] > FEW_COORDINATES:
        return "admm", "pg-extra"
    degrees = np.bincount(form.edges.ravel(), minlength=form.agents)
    return ("admm", "pg-extra") if degrees.max() > HUB * degrees.mean() else ("pg-extra", "admm")


def _pooled(problem: Problem[Any], size: Size) -> tuple[str, ...]:
    factored = size.n <= FACTOR_ROWS[True] or not size.smooth
    separates = size.outputs > 1 and size.d * size.patterns > size.n
    if factored and separates and shortage({"its form": size.own}) is None:
        factored = problem.canonical(PooledForm).loss.separable
    return ("admm", "fista") if factored else ("fista", "admm")


def _robust(problem: Problem[Any]) -> tuple[str, ...]:
    size = problem.size(RobustForm) if isinstance(problem, Sized) else None
    if size is None:
        return ("admm",)
    side = 2 * size.patterns * (size.d + 1)
    work = side**2 * (size.n + side / 3)
    return ("ipm", "admm") if work <= STEP_WORK else ("admm",)


def _grouped(problem: Problem[Any], size: Size) -> tuple[str, ...]:
    n = size.n
    if size.d == 1 and size.patterns >= WIDE * n and n <= NEWTON_ROWS:
        return "ipm", "admm", "fista"
    if not size.smooth:
        pays = (size.cones or size.d == 1) and n <= NEWTON_ROWS
        return ("ipm", "admm", "fista") if pays else ("admm", "fista")
    factored = n <= FACTOR_ROWS[size.cones or size.outputs > 1]
    first_order = ("admm", "fista") if factored else ("fista", "admm")
    several = size.outputs > 1
    if several and not size.cones:
        return first_order
    others = ("ipm", *first_order) if n <= CROWDED_ROWS else first_order
    listed = shortage({"its form": size.own}) is None
    if several and listed and not problem.canonical(GroupForm).separable:
        return ("semismooth", *first_order) if factored else first_order
    if listed and n <= CROWDED_ROWS and _outlying(problem.canonical(GroupForm)):
        return others
    if not size.cones:
        wide = (size.patterns >= n or size.d == 1) and n <= FACTOR_ROWS[False]
        if FACTOR_ROWS[False] < n <= FACTOR_ROWS[True] and listed:
            slow = n * _share(problem.canonical(GroupForm)) < FAINT
            return ("admm", "fista") if slow else first_order
        return ("semismooth", *others) if wide else first_order
    if not listed:
        return first_order
    form = problem.canonical(GroupForm)
    if _share(form) >= SPARSE[form.norm.name]:
        paying = size.d <= SMALL_BLOCK or (several and factored)
        return ("semismooth", *others) if paying else first_order
    return others


def _listed(problem: Problem[Any], offered: tuple[type, ...]) -> bool:
    """Tell whether the patterns are all listed, with cones, and few, for one output."""
    if GroupForm not in offered or not isinstance(problem, Sized):
        return False
    size = problem.size(GroupForm)
    return size.outputs == 1 and size.patterns <= FEW_CELLS


def _outlying(form: GroupForm) -> bool:
    """Tell whether an example is far longer than most."""
    length = np.linalg.norm(form.X, axis=1)
    return bool(length.max() >= OUTLYING * np.median(length[length > 0.0]))


def _share(form: GroupForm) -> float:
    """Return beta as a share of the least one whose program without cones has a zero solution."""
    slope = form.loss.gradient(np.zeros_like(form.y), form.y)
    critical = float(form.norm.dual(form.correlate(slope)).max())
    return form.beta / critical if critical > 0.0 else np.inf


def _size(form: GroupForm) -> Size:
    (n, d), smooth = form.X.shape, bool(np.isfinite(form.loss.curvature))
    patterns = form.slopes.shape[1]
    return Size(
        GroupForm, n, d, patterns, form.signs is not None, smooth, 0.0, outputs=form.outputs
    )

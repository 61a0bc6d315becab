"""Which engines suit ReLU training: a table by shapes and data, drawn from the benchmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.backend import size_of
from convexnn.contract.form import Engines
from convexnn.contract.program import CvxpyProgram
from convexnn.contract.system.memory import Size, shortage
from convexnn.relu.units import badly_scaled

if TYPE_CHECKING:
    from convexnn.contract.problem import Problem
    from convexnn.relu.forms import GroupForm, MajorantForm, PooledForm

FEW_CELLS = 700  # patterns up to which the program over all is solved as it stands
THINNER = 10  # times fewer entries than its blocks from which a formula goes to Clarabel
BRIEF = 5_000  # entries of the patterns up to which a formula goes to Clarabel for its last digits
RISKY = {  # entries of a risk's formula that Clarabel takes first: by cones, by a smooth loss
    (True, True): 100_000,
    (True, False): 400_000,
    (False, True): 200_000,
    (False, False): 2_000_000,
}
WIDE = 10  # features for each example from which a lasso goes to interior point
NEWTON_ROWS = 2_500  # examples up to which interior point leads for a loss with kinks
SPARSE = {"l2": 0.005, "l1": 0.1}  # share of the critical beta from which few neurons are in use
FAINT = 50.0  # the same, times n, below which fista's steps without cones cost more than a factor
NEXT_TO_NOTHING = 1e-4  # the same, below which a majorant's splitting crawls
SMALL_BLOCK = 40  # weights of a neuron up to which that pays
CROWDED_ROWS = 1_000  # examples up to which interior point leads where many neurons are in use
CHEAP = 3e9  # multiplications of a step of interior point that still pay
PAYING = 3e10  # the same where steps on slopes would be without end
OUTLYING = 100.0  # times the usual length of an example, from which the other engines crawl
FACTOR_ROWS = {True: 4_000, False: 1_500}  # up to which ADMM factors; True: cones, several outputs


def searching(problem: Problem[Any], listed: type[GroupForm]) -> Engines | None:
    """Return the engines that find the patterns themselves; None where few are listed.

    They are the choice over all patterns of a network, of a convolution whatever their number,
    and where more than 700 are listed.
    """
    size = size_of(problem, listed) if listed in problem.forms() else None
    if size is not None and size.outputs == 1 and size.patterns <= FEW_CELLS:
        return None
    return Engines(("cell-walk", "lbfgs"), relieve=False)


def pooled(problem: Problem[Any], kind: type[PooledForm]) -> Engines:
    """Return the engines for convolutions over listed patterns.

    ================================  ==========  ================================
    program                           first       why
    ================================  ==========  ================================
    softmax, d P > n                  fista       separable data: admm crawls
    n <= 4,000, or hinge loss         admm        one factor, few iterations
    larger                            fista       no factor
    ================================  ==========  ================================
    """
    size = size_of(problem, kind) or _size(problem.canonical(kind))
    factored = size.n <= FACTOR_ROWS[True] or not size.smooth
    separates = size.outputs > 1 and size.d * size.patterns > size.n
    if factored and separates and shortage({"its form": size.own}) is None:
        factored = problem.canonical(kind).loss.separable
    return Engines(("admm", "fista") if factored else ("fista", "admm"))


def grouped(problem: Problem[Any], kind: type[GroupForm]) -> Engines:
    """Return the engines for a program over listed patterns, gates or features.

    ==================================  ===============  ====================================
    program                             first            why
    ==================================  ===============  ====================================
    formula far thinner than form       cvxpy:clarabel   one input: no dictionary
    a risk, formula not too large       cvxpy:clarabel   admm takes hundreds of proxes
    lasso, P >= 10 n, n <= 2,500        ipm              near-equal features
    hinge loss, cones, n <= 2,500       ipm              first-order methods crawl at kinks
    hinge loss, others                  admm             fista would have to smooth the loss
    examples 100 x as long, n <= 1,000  ipm              the others crawl where one outweighs all
    columns badly scaled, cheap steps   ipm              it needs few more, others far more
    the same, few neurons in use        semismooth       cost of the neurons in use alone
    cones, few neurons in use, d <= 40  semismooth       cost of the neurons in use alone
    cones, many in use, n <= 1,000      ipm              first-order methods crawl
    cones, others, n <= 4,000           admm             one n x n factor
    gates, P >= n or d = 1, n <= 1,500  semismooth       few of many blocks are in use
    gates, others, n <= 1,500           admm             one n x n factor, few iterations
    the same, tiny beta, n <= 4,000     admm             fista needs thousands of steps
    the same, larger, cheap steps       ipm              slopes of examples cancel to all digits
    gates and features, larger          sampled-newton   few passes over all examples
    softmax with cones, n <= 4,000      semismooth       cost of the neurons in use alone
    several separable, few in use       semismooth       the same, for blocks of any size
    neurons in the linf norm            admm             the engines of cones know l2 and l1
    the same, kinks, n P <= 5,000       cvxpy:clarabel   first-order methods crawl at kinks
    gates, several, n <= 4,000          admm             one factor serves them all
    larger, cones or coupled outputs    fista            no factor, memory O(nP)
    ==================================  ===============  ====================================

    Few neurons are in use where beta is at least 0.5 % of that of a zero network without
    cones, 10 % for l1 neurons; below 50 / n of it beta is tiny. Where columns are badly scaled it
    is 10 % for gates; and few are in use, too, where beta leaves neurons one direction of the
    data, or two and beta is at least 0.05 %.
    """
    size = size_of(problem, kind) or _size(problem.canonical(kind))
    formula = size_of(problem, CvxpyProgram)
    if formula is not None and THINNER * formula.weights <= size.weights:
        return Engines(("cvxpy:clarabel", "ipm", "admm", "fista"))
    if getattr(problem, "penalty", "") == "linf":
        first_order = ("admm", "fista") if size.smooth else ("fista", "admm")
        few = not size.smooth and size.n * size.patterns <= BRIEF
        return Engines(("cvxpy:clarabel", *first_order) if few else first_order)
    return Engines(_by_size(problem, kind, size))


def majorant(problem: Problem[Any], kind: type[MajorantForm]) -> Engines:
    """Return the engines for a majorant over listed patterns.

    ADMM, and Clarabel where its prox does not know the loss. Where an example is far longer than
    most, or beta is next to nothing in any units, ADMM takes thousands of steps: a small formula
    goes to Clarabel first, and ADMM goes on where that proves nothing.
    """
    size = size_of(problem, kind)
    if size is not None and size.n * size.patterns <= BRIEF:
        form = problem.canonical(kind)
        slope = form.loss.gradient(np.zeros_like(form.y), form.y)
        critical = float(form.norm.dual(form.slopes.T @ (slope[:, None] * form.X)).max())
        tiny = form.beta < NEXT_TO_NOTHING * critical and not badly_scaled(form.X)
        if _outlying(form) or tiny:
            return Engines(("cvxpy:clarabel", "admm"))
    return Engines(("admm", "cvxpy:clarabel"), relieve=False)


def _by_size(problem: Problem[Any], kind: type[GroupForm], size: Size) -> tuple[str, ...]:
    n = size.n
    listed = shortage({"its form": size.own}) is None
    loss = problem.canonical(kind).loss if listed else None
    if loss is not None and not loss.additive:
        smooth = bool(np.isfinite(loss.plain.curvature))
        small = size.n * size.weights <= RISKY[size.cones, smooth]
        return ("cvxpy:clarabel", "admm") if small else ("admm", "cvxpy:clarabel")
    if size.d == 1 and size.patterns >= WIDE * n and n <= NEWTON_ROWS:
        return "ipm", "admm", "fista"
    if listed and _cheap(size) and badly_scaled(problem.canonical(kind).X):
        return _unscaled(problem.canonical(kind), size)
    if not size.smooth:
        pays = (size.cones or size.d == 1) and n <= NEWTON_ROWS
        return ("ipm", "admm", "fista") if pays else ("admm", "fista")
    factored = n <= FACTOR_ROWS[size.cones or size.outputs > 1]
    first_order: tuple[str, ...] = ("admm", "fista") if factored else ("fista", "admm")
    if not (factored or size.cones):
        first_order = ("sampled-newton", *first_order)
        if listed and size.outputs == 1 and n > FACTOR_ROWS[True] and _step(size) <= PAYING:
            faint = n * share_of(problem.canonical(kind)) < FAINT
            return ("ipm", *first_order) if faint else first_order
    several = size.outputs > 1
    if several and not size.cones:
        return first_order
    others = ("ipm", *first_order) if n <= CROWDED_ROWS else first_order
    if several and listed and not problem.canonical(kind).separable:
        return ("semismooth", *first_order) if factored else first_order
    if listed and n <= CROWDED_ROWS and _outlying(problem.canonical(kind)):
        return others
    if not size.cones:
        wide = (size.patterns >= n or size.d == 1) and n <= FACTOR_ROWS[False]
        if FACTOR_ROWS[False] < n <= FACTOR_ROWS[True] and listed:
            slow = n * share_of(problem.canonical(kind)) < FAINT
            return ("admm", "fista") if slow else first_order
        return ("semismooth", *others) if wide else first_order
    if not listed:
        return first_order
    form = problem.canonical(kind)
    if share_of(form) >= SPARSE[form.norm.name]:
        paying = size.d <= SMALL_BLOCK or (several and factored)
        return ("semismooth", *others) if paying else first_order
    return others


def _unscaled(form: GroupForm, size: Size) -> tuple[str, ...]:
    """Return the engines where columns are badly scaled and a step of interior point is cheap."""
    interior = ("ipm", "admm", "fista")
    if not (size.smooth and size.d <= SMALL_BLOCK and form.separable):
        return interior
    level, share = SPARSE[form.norm.name] if size.cones else SPARSE["l1"], share_of(form)
    few = share >= level
    if size.cones and form.norm.rotates and not few:
        sizes = np.linalg.svd(form.X, compute_uv=False)
        within = int(np.sum(sizes >= share * sizes[0]))  # directions that neurons may use
        few = within == 1 or (within == 2 and share >= 0.1 * level)
    return ("semismooth", *interior) if few else interior


def _cheap(size: Size) -> bool:
    """Tell whether a step of interior point is cheap, and can be made at all."""
    return _step(size) <= CHEAP


def _step(size: Size) -> float:
    """Return the multiplications of a step of interior point."""
    side = min(size.n, size.d * size.patterns)
    return float(size.outputs * size.n * size.d * size.patterns) * side


def _outlying(form: GroupForm | MajorantForm) -> bool:
    """Tell whether an example is far longer than most."""
    length = np.sqrt(np.einsum("ij,ij->i", form.X, form.X))
    some = length[length > 0.0]
    level = some.max() / OUTLYING
    return bool(level >= some.min()) and bool(level >= np.median(some))  # the median takes longer


def share_of(form: GroupForm) -> float:
    """Return beta as a share of the least one whose program without cones has a zero solution."""
    slope = form.loss.gradient(np.zeros_like(form.y), form.y)
    critical = float(form.norm.dual(form.correlate(slope)).max())
    return form.beta / critical if critical > 0.0 else np.inf


def _size(form: GroupForm) -> Size:
    n, d, patterns = len(form.y), form.X.shape[1], form.slopes.shape[1]
    smooth = bool(np.isfinite(form.loss.curvature))
    cones = form.signs is not None
    return Size(type(form), n, d, patterns, cones, smooth, 0.0, outputs=form.outputs)

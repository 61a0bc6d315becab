"""The follower as a linear program: by pieces, as in the literature, or by the ends of a window.

The group matrix ``M`` (G, N) takes the mean of each group; without groups it is one row ``1/N``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.arrays import Array
from convexnn.balls import Adversary, Choice
from convexnn.curves import PiecewiseLinear
from convexnn.forms import CvxpyProgram
from convexnn.transport import Transport

if TYPE_CHECKING:
    import cvxpy as cp


def by_pieces(
    form: Transport,
    margins: Array,
    loss: PiecewiseLinear,
    window: tuple[float, float] | None,
) -> CvxpyProgram:
    """Return the program of Esfahani & Kuhn (2018, theorem 4.4) for a loss ``max_k a_k z + b_k``.

    Sample i splits into one atom a piece: mass ``s_ik / N``, which the budget carries from
    ``xi_i`` down by ``q_ik / s_ik``, to where piece k prices it.

        max   (1/N) sum_ik s_ik (a_k xi_i + b_k) - a_k q_ik
        s.t.  sum_k s_ik = 1,  s >= 0                        a sample keeps its mass
              (1/N) sum_ik |q_ik| <= radius                  the ball; a mean for each group
              a s_ik <= s_ik xi_i - q_ik <= b s_ik           atoms stay in the window [a, b]

    Without a window the last line is dropped, and ``s_ik = 0 != q_ik`` is mass on its way to
    infinity. This is the follower's step of SSAPO (Chu et al. 2025), where the loss is replaced by
    6 pieces and the samples are taken in groups of 100.

    The points read back: the multiplier of the ball, and of each sample the shares at the ends.
    An atom at ``xi_i - q_ik / s_ik`` costs as much as a share ``|q_ik| / |end - xi_i|`` at the end
    that it was carried towards, and by convexity this share gains no less; so no quotient by
    ``s_ik`` is ever formed.
    """
    import cvxpy as cp

    n, k = len(margins), len(loss)
    s = cp.Variable((n, k), name="s", nonneg=True)
    q = cp.Variable((n, k), name="q")
    xi = margins[:, None]
    worth = xi * loss.slopes + loss.intercepts
    ball = _means(form) @ cp.sum(cp.abs(q), axis=1) <= form.radius
    constraints = [cp.sum(s, axis=1) == 1.0, ball]
    if window is not None:
        a, b = window
        atoms = cp.multiply(s, np.broadcast_to(xi, (n, k))) - q
        constraints += [a * s <= atoms, atoms <= b * s]
    gain = cp.sum(cp.multiply(s, worth)) - cp.sum(q @ loss.slopes)
    problem = cp.Problem(cp.Maximize(gain / n), constraints)

    def carried() -> Array:
        both = [np.maximum(q.value, 0.0).sum(axis=1), np.maximum(-q.value, 0.0).sum(axis=1)]
        return np.column_stack(both)

    variables = {"s": s, "q": q}
    points = _points(form, ball, carried, on_ray=window is None)
    return CvxpyProgram(problem, variables, points, frozenset())


def by_ends(form: Transport, *, on_ray: bool) -> CvxpyProgram:
    """Return the program over shares at the ends, exact for any convex loss.

        max   (1/N) sum_i (l(xi_i) + sum_k p_ik g_ik)
        s.t.  (1/N) sum_ik p_ik c_ik <= radius,  sum_k p_ik <= 1,  p >= 0

    with the gains ``g_ik = l(end_k) - l(xi_i)`` and the costs ``c_ik = |end_k - xi_i|``. The
    variable is ``u = p / unit``, where ``unit <= 1`` is the largest share that the whole budget
    would pay for, so that far ends do not spoil the scaling.
    """
    import cvxpy as cp

    n = len(form.base)
    budget = form.radius * np.repeat(form.sizes, form.sizes)[:, None]
    unit = np.where(form.cost > budget, budget / np.where(form.cost > 0.0, form.cost, 1.0), 1.0)
    unit = np.where(unit > 0.0, unit, 1.0)
    u = cp.Variable(form.cost.shape, name="u", nonneg=True)
    ball = _means(form) @ cp.sum(cp.multiply(u, unit * form.cost), axis=1) <= form.radius
    constraints = [cp.sum(cp.multiply(u, unit), axis=1) <= 1.0, ball]
    gain = form.base.sum() + cp.sum(cp.multiply(u, unit * form.gain))
    problem = cp.Problem(cp.Maximize(gain / n), constraints)

    def carried() -> Array:
        spent: Array = u.value * unit * form.cost
        return spent

    points = _points(form, ball, carried, on_ray=on_ray)
    return CvxpyProgram(problem, {"u": u}, points, frozenset())


def _means(form: Transport) -> Any:
    from scipy.sparse import csr_array

    weights = 1.0 / np.repeat(form.sizes, form.sizes)
    return csr_array((weights, np.arange(len(weights)), form.starts))


def _points(
    form: Transport, ball: cp.Constraint, carried: Callable[[], Array], *, on_ray: bool
) -> Callable[[], tuple[Adversary, Choice]]:
    """Return what reads the multiplier of the ball, and shares from what is carried to each end."""

    def points() -> tuple[Adversary, Choice]:
        price = np.reshape(ball.dual_value, -1) * len(form.base) / form.sizes
        spent = np.maximum(carried(), 0.0)
        shares = _on_the_best(form, spent) if on_ray else _shares(form, spent)
        return Adversary(np.maximum(price, form.floor), shares), Choice(shares)

    return points


def _shares(form: Transport, spent: Array) -> Array:
    shares = np.zeros_like(spent)
    np.divide(spent, form.cost, out=shares, where=form.cost > 0.0)
    return form.feasible(shares)


def _on_the_best(form: Transport, spent: Array) -> Array:
    """Return shares that spend each group's whole budget where a unit of it gains most.

    On the way to infinity every sample is as good as any other; on the way to a far point the
    one that starts nearest to it is the best.
    """
    rate = np.zeros_like(form.gain)
    np.divide(form.gain, form.cost, out=rate, where=form.cost > 0.0)
    best = rate.max(axis=1)
    shares = np.zeros_like(spent)
    for first, last in zip(form.starts[:-1], form.starts[1:], strict=True):
        i = first + int(np.argmax(best[first:last]))
        k = int(np.argmax(rate[i]))
        if form.cost[i, k] > 0.0:
            shares[i, k] = spent[first:last].sum() / form.cost[i, k]
    return form.feasible(shares)

"""A transport on a budget as a linear program, and the points that such programs give."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.program import CvxpyProgram
from convexnn.wasserstein.transport import Transport
from convexnn.wasserstein.weight_balls import Adversary, Choice

if TYPE_CHECKING:
    import cvxpy as cp


def by_shares(form: Transport, *, on_ray: bool = False) -> CvxpyProgram:
    """Return the program over the shares ``p_ik`` of mass that go to each place.

        max   (1/N) sum_i (base_i + sum_k p_ik g_ik)
        s.t.  (1/N) sum_ik p_ik c_ik <= radius,  sum_k p_ik <= 1,  p >= 0

    with the budget a mean over each group. The variable is ``u = p / unit``, where ``unit <= 1``
    is the largest share that a whole budget would pay for, so that far places do not spoil the
    scaling.
    """
    import cvxpy as cp

    budget = form.radius * np.repeat(form.sizes, form.sizes)[:, None]
    unit = np.where(form.cost > budget, budget / np.where(form.cost > 0.0, form.cost, 1.0), 1.0)
    unit = np.where(unit > 0.0, unit, 1.0)
    u = cp.Variable(form.cost.shape, name="u", nonneg=True)
    ball = group_means(form) @ cp.sum(cp.multiply(u, unit * form.cost), axis=1) <= form.radius
    constraints = [cp.sum(cp.multiply(u, unit), axis=1) <= 1.0, ball]
    gain = form.base.sum() + cp.sum(cp.multiply(u, unit * form.gain))
    problem = cp.Problem(cp.Maximize(gain / len(form.base)), constraints)

    def shares() -> Array:
        p: Array = u.value * unit
        return along_ray(form, (p * form.cost).sum(axis=1)) if on_ray else p

    return CvxpyProgram(problem, {"u": u}, points(form, ball, shares), frozenset(), True)


def group_means(form: Transport) -> Any:
    """Return the sparse matrix (G, N) that takes the mean of each group."""
    from scipy.sparse import csr_array

    weights = 1.0 / np.repeat(form.sizes, form.sizes)
    return csr_array((weights, np.arange(len(weights)), form.starts))


def points(
    form: Transport, ball: cp.Constraint, shares: Callable[[], Array]
) -> Callable[[], tuple[Adversary, Choice]]:
    """Return what reads the multipliers off the budgets, and repairs the shares."""

    def read() -> tuple[Adversary, Choice]:
        price = np.reshape(ball.dual_value, -1) * len(form.base) / form.sizes
        feasible = form.feasible(shares())
        return Adversary(np.maximum(price, form.floor), feasible), Choice(feasible)

    return read


def along_ray(form: Transport, spent: Array) -> Array:
    """Return shares that spend what each group spends where a unit of it gains most.

    On the way to infinity every sample is as good as any other; on the way to a far point, the
    one that starts nearest to it is the best.
    """
    rate = np.zeros_like(form.gain)
    np.divide(form.gain, form.cost, out=rate, where=form.cost > 0.0)
    best = rate.max(axis=1)
    shares = np.zeros_like(form.gain)
    for g, first in enumerate(form.starts[:-1]):
        i = first + int(np.argmax(best[first : form.starts[g + 1]]))
        k = int(np.argmax(rate[i]))
        if form.cost[i, k] > 0.0:
            total = max(float(spent[first : form.starts[g + 1]].sum()), 0.0)
            shares[i, k] = total / form.cost[i, k]
    return shares

"""The follower's linear program by pieces of the loss, as the literature writes it."""

from __future__ import annotations

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.program import CvxpyProgram
from convexnn.functions.curves import PiecewiseLinear
from convexnn.problems.wasserstein.transport_formula import along_ray, group_means, points
from convexnn.wasserstein.transport import Transport


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
        s.t.  sum_k s_ik = 1,  s >= 0                  a sample keeps its mass
              (1/N) sum_ik |q_ik| <= radius            the ball; a mean over each group
              a s_ik <= s_ik xi_i - q_ik <= b s_ik     atoms stay in the window [a, b]

    Without a window the last line is dropped, and ``s_ik = 0 != q_ik`` is mass on its way to
    infinity. This is the follower's step of SSAPO (Chu et al. 2025), where the loss is replaced by
    6 pieces and the samples are taken in groups of 100.

    The points read back: the multiplier of the ball, and of each sample the shares at the ends.
    An atom at ``xi_i - q_ik / s_ik`` costs as much as a share ``|q_ik| / |end - xi_i|`` at the end
    that it was carried towards, and by convexity this share gains no less; so no quotient by
    ``s_ik`` is ever formed.
    """
    import cvxpy as cp

    n, pieces = len(margins), len(loss)
    s = cp.Variable((n, pieces), name="s", nonneg=True)
    q = cp.Variable((n, pieces), name="q")
    xi = np.repeat(margins[:, None], pieces, axis=1)
    ball = group_means(form) @ cp.sum(cp.abs(q), axis=1) <= form.radius
    constraints = [cp.sum(s, axis=1) == 1.0, ball]
    if window is not None:
        a, b = window
        atoms = cp.multiply(s, xi) - q
        constraints += [a * s <= atoms, atoms <= b * s]
    gain = cp.sum(cp.multiply(s, xi * loss.slopes + loss.intercepts)) - cp.sum(q @ loss.slopes)
    problem = cp.Problem(cp.Maximize(gain / n), constraints)

    def shares() -> Array:
        if window is None:
            return along_ray(form, np.abs(q.value).sum(axis=1))
        both = [np.maximum(q.value, 0.0).sum(axis=1), np.maximum(-q.value, 0.0).sum(axis=1)]
        p = np.zeros_like(form.cost)
        np.divide(np.column_stack(both), form.cost, out=p, where=form.cost > 0.0)
        return p

    return CvxpyProgram(problem, {"s": s, "q": q}, points(form, ball, shares), frozenset(), True)

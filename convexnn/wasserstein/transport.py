"""Moving mass between listed places on a budget: the worst case of a Wasserstein ball.

Sample i may stay, or send shares ``p_ik`` of its mass ``1/N`` to K places, at the cost ``c_ik``
and for the gain ``g_ik`` per unit of mass. The samples come in groups with a budget each. The
supremum and its dual, where ``n_g`` is the size of a group:

    max   (1/N) sum_i (base_i + sum_k p_ik g_ik)
    s.t.  (1/n_g) sum_{i in g} sum_k p_ik c_ik <= radius,  sum_k p_ik <= 1,  p >= 0

    min_{lam >= floor}  (1/N) sum_g [n_g lam_g radius + sum_{i in g} (base_i + excess_i)],
                        excess_i = max(0, max_k g_ik - lam_g c_ik)

A fractional multiple-choice knapsack, in the words of operations research.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from convexnn.contract.arrays import Array
from convexnn.contract.form import solved_by
from convexnn.contract.system.kernels import kernel
from convexnn.wasserstein.weight_balls import ROUNDING, Adversary, Choice


@solved_by("greedy")
class Transport(NamedTuple):
    """Minimise over ``lam`` the dual of the transport above.

    Attributes
    ----------
    base : array of shape (N,)
        Loss of each sample where it is.
    gain : array of shape (N, K), C-contiguous
        What the loss grows by on the way to each place.
    cost : array of shape (N, K), C-contiguous
        Distances, >= 0.
    radius : float
        Budget of every group, a mean over its samples.
    starts : int array of shape (G + 1,)
        Group g is ``starts[g]:starts[g + 1]``.
    floor : float
        Least multiplier: the gain per unit of cost on the way to infinity, where mass may go
        beyond the listed places; else 0.
    """

    base: Array
    gain: Array
    cost: Array
    radius: float
    starts: NDArray[np.intp]
    floor: float

    @property
    def sizes(self) -> NDArray[np.intp]:
        """Return the number of samples of each group."""
        return np.diff(self.starts)

    def upper(self, multiplier: Array) -> float:
        """Return the dual value, an upper bound on the supremum; ``inf`` below the floor."""
        if not np.all((multiplier >= self.floor) & (multiplier < np.inf)):
            return np.inf
        priced = np.dot(self.sizes, multiplier) * self.radius
        excess = _excess(self.gain, self.cost, multiplier, self.starts)
        return float((priced + np.sum(self.base + excess)) / len(self.base))

    def idle(self) -> tuple[Adversary, Choice]:
        """Return every sample where it is, and the least multipliers."""
        rest = np.zeros(self.cost.shape)
        return Adversary(np.full(len(self.sizes), self.floor), rest), Choice(rest)

    def feasible(self, shares: Array) -> Array:
        """Return shares within the budgets: negative ones dropped, too large ones scaled down.

        What moves for nothing spends nothing, and is not scaled with what a budget is exceeded by.
        """
        out = np.ascontiguousarray(shares, dtype=np.float64)
        over = _spending(out, self.cost, self.starts) > self.sizes * self.radius * (1.0 + ROUNDING)
        if not over.any() and _are_shares(out, ROUNDING):
            return out
        out = np.where(out > 0.0, out, 0.0)
        out /= np.maximum(out.sum(axis=1), 1.0)[:, None]
        spent = _spending(out, self.cost, self.starts)
        budget = self.sizes * self.radius
        keep = np.ones(len(spent))
        over = spent > budget
        keep[over] = budget[over] / spent[over] * (1.0 - ROUNDING)
        kept: Array = np.where(self.cost > 0.0, out * np.repeat(keep, self.sizes)[:, None], out)
        return kept

    def lower(self, shares: Array) -> float:
        """Return the expected loss of the feasible distribution that the shares stand for.

        It is less what rounding may amount to, of the sums and of what the budgets allow.
        """
        out = self.feasible(shares)
        gained = np.einsum("ik,ik->i", out, self.gain)
        size = np.abs(self.base) + np.einsum("ik,ik->i", out, np.abs(self.gain))
        value = float(np.sum(self.base + gained) / len(self.base))
        return value - 2.0 * ROUNDING * float(np.sum(size) / len(self.base))


@kernel()
def _excess(gain, cost, lam, starts):  # type: ignore[no-untyped-def]
    out = np.zeros(gain.shape[0])
    for g in range(len(lam)):
        for i in range(starts[g], starts[g + 1]):
            for k in range(gain.shape[1]):
                out[i] = max(out[i], gain[i, k] - lam[g] * cost[i, k])
    return out


@kernel()
def _spending(shares, cost, starts):  # type: ignore[no-untyped-def]
    out = np.zeros(len(starts) - 1)
    for g in range(len(out)):
        lost = 0.0  # compensated (Kahan), so that the order of the sum does not matter
        for i in range(starts[g], starts[g + 1]):
            for k in range(cost.shape[1]):
                if shares[i, k] != 0.0:
                    term = shares[i, k] * cost[i, k] - lost
                    total = out[g] + term
                    lost = (total - out[g]) - term
                    out[g] = total
    return out


@kernel()
def _are_shares(shares, rounding):  # type: ignore[no-untyped-def]
    for i in range(shares.shape[0]):
        total = 0.0
        for k in range(shares.shape[1]):
            if not shares[i, k] >= 0.0:
                return False
            total += shares[i, k]
        if total > 1.0 + rounding:
            return False
    return True

"""Bounds and words for programs over patterns that are too many to list."""

from __future__ import annotations

from collections.abc import Callable

from convexnn.relu.bound import lower_bound, network_bound
from convexnn.relu.forms import Dual, NetworkForm
from convexnn.relu.free_part import FreePart
from convexnn.relu.relaxation import relaxed_bound


def searched_bound(
    form: NetworkForm, dual: Dual, *, slack: float = 0.0, free: FreePart | None = None
) -> float:
    """Return a lower bound over all patterns that are too many to list."""
    bound = network_bound(form, dual.mu, slack=slack, free=free, nodes=dual.nodes)
    if dual.outer is None:
        return bound
    return max(bound, relaxed_bound(form, dual.outer, slack=slack, free=free))


def near_found(
    form: NetworkForm, dual: Dual, *, slack: float = 0.0, free: FreePart | None = None
) -> Callable[[float], str] | None:
    """Return what says how near an objective is to the optimum over the patterns found so far."""
    if dual.matrix is None:
        return None
    found = lower_bound(form.over(dual.matrix), dual, slack=slack, free=free)
    count = dual.matrix.shape[1]

    def said(objective: float) -> str:
        gap = (objective - found) / max(1.0, abs(objective))
        what = f"within {gap:.0e} over" if gap >= 0.0 else "better than any network over"
        return f"; {what} the {count:,} found by search"

    return said

"""Whether a two-layer classifier keeps its label on a whole ball: exact, by branch and bound.

Only the chords of a `Relaxation` lose anything, so only their neurons are branched on. In a
branch ``t >= 0`` the term ``-max(t, 0)`` is at least ``lam t`` for all lam <= -1, in a branch
``t <= 0`` for all lam >= 0: a slope beyond the neuron's own is the multiplier of the branch's
constraint. Hence the bound of `margin_bounds` serves for every branch, in every norm, and remains
sound in floating point (for such multipliers in verification, Wang et al. 2021, "beta-CROWN").
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from convexnn.robust.attacks import STEP, Search
from convexnn.robust.margin_bounds import STEPS, Lines, ascend
from convexnn.robust.rectified import correct

if TYPE_CHECKING:
    from convexnn.contract.clock import Clock
    from convexnn.robust.contests import Contest
    from convexnn.robust.margin_bounds import Relaxation
    from convexnn.robust.regions import Region

EFFORT = (STEPS, 10 * STEPS, 100 * STEPS)


def keeps_label(
    contest: Contest, region: Region, relaxed: Relaxation, i: int, clock: Clock
) -> bool | None:
    """Tell whether example `i` keeps its label in the whole region; None if undecided.

    A relaxed minimiser, and a descent from it, are tried on the network itself.

    Parameters
    ----------
    contest : Contest
        Of the example's label with another.
    region : Region
        Of examples.
    relaxed : Relaxation
        Of these examples.
    i : int
    clock : Clock
        Tells when to give up.

    Returns
    -------
    bool or None
        True by bounds that cover the region, False by a point of it. A worst margin of zero
        up to rounding may remain undecided, whatever the time.
    """
    center, W = relaxed.ranges.center[i], region.stretched(relaxed.form.W, i)
    alone, side = region.part(np.array([i])), relaxed.side[i : i + 1]
    search = Search(relaxed.form, alone, side)
    order = count()
    heap = [(-np.inf, next(order), Lines.of(relaxed, i), relaxed.chord[i])]
    while heap:
        above, _, lines, chords = heapq.heappop(heap)
        for steps in EFFORT:
            if clock.expired():
                return None
            bound, value, shift = ascend(relaxed, i, lines, steps)
            if bound > 0.0 or value <= 0.0:
                break
        if bound > 0.0:
            continue
        lower = search.descend(shift[None], STEP * region.reach, STEPS)
        points = np.vstack([alone.points(shift[None]), alone.points(lower)])
        if not correct(side * contest.outputs(points), side).all():
            return False
        if not chords.any():
            return None
        children, rest = lines.branches(chords, center + W @ shift)
        for child in children:
            heapq.heappush(heap, (max(above, bound), next(order), child, rest))
    return True

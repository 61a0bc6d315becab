"""The lower bound on a geometric median that what is seen of the data from any point proves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convexnn.contract.system.kernels import kernel
from convexnn.median.forms import BLOCK, CACHED, EQUAL, NARROW, ROUNDING

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array
    from convexnn.median.forms import MedianForm, View


def proof(form: MedianForm, offset: Array, seen: View) -> float:
    """Return a lower bound on the optimum from what is seen of any point.

    From ``z_i`` in their balls with the sum r, ``(z_i - w_i r / W) / (1 + ||r|| / W)`` are in
    their balls and sum to zero. The ``z_i`` of the nearest group are free: they take up of the
    other points' pull what their balls allow. Where that is all of it, and the group lies at x, x
    is optimal and the bound is its objective, but for rounding. The better of the bounds with and
    without that freedom is returned, less an allowance for rounding that vanishes with r, and what
    the sums themselves may be off by: see `summed_within`.

    The ``z_i`` of a tail stay unit vectors, whose worth is all of their distance: for r the others
    pay. With s the sum of the tail's, W the others' weight and ``t = ||r|| / (W + ||r|| - ||s||)``,
    ``(1 - t) (z_i - w_i r / W) - t w_i s / W`` are in their balls and sum to -s.

    Examples
    --------
    >>> from convexnn.median.forms import median_form, view
    >>> form = median_form(np.array([[0.0], [4.0]]), np.array([3.0, 1.0]), np.zeros(1))
    >>> [round(proof(form, x, view(form, x)), 12) for x in (np.zeros(1), np.ones(1))]
    [4.0, 4.0]
    """
    n, d = form.points.shape
    allowance = (16.0 + d + 2.0 * n**0.5) * ROUNDING
    drag = np.zeros(d) if seen.drag is None else seen.drag
    bound: float = _proof(
        *(seen.value, seen.beyond, seen.pull, drag, seen.distance, seen.weight, seen.lean),
        *(seen.own, form.mean, offset, form.total, allowance),
    )
    within, size = summed_within(form), seen.value
    if form.tail is not None:
        size += form.tail.rounded(offset) - seen.beyond
    return max(0.0, bound - within * size)


def summed_within(form: MedianForm) -> float:
    """Return by which share a value, or a pull over all weights, may be off by rounding.

    Each distance is by that of some ``d`` operations; sums are taken block by block, so that a
    term passes through no more additions than a block has, and those of the blocks. The pull
    counts twice, as it is multiplied with distances of which all together are the value.

    Examples
    --------
    >>> from convexnn.median.forms import median_form
    >>> summed_within(median_form(np.zeros((4, 1)), np.ones(1), np.zeros(1))) < 1e-14
    True
    """
    n, d = form.points.shape
    block = min(n, BLOCK, 128 * d) if d <= NARROW else min(n, 64, max(1, CACHED // d))
    passed = block + n / block + (0 if form.tail is None else len(form.tail.weights))
    return float((32.0 + 2.0 * d + 4.0 * passed) * 0.5 * ROUNDING)


@kernel()
def _proof(  # type: ignore[no-untyped-def]
    whole, beyond, pull, drag, distance, weight, lean, own, mean, offset, total, allowance
):
    d = len(pull)
    value, best = whole - beyond, 0.0 - beyond
    norm, origin, held, lead = 0.0, 0.0, 0.0, 0.0
    for j in range(d):
        held += (drag[j] / total) ** 2
        lead += (mean[j] - offset[j]) * drag[j]
        origin += offset[j] ** 2
        norm += ((pull[j] - own[j]) / total) ** 2
    norm = total * np.sqrt(norm)
    taken = 1.0 if norm <= weight else weight / norm
    held = np.sqrt(held)
    origin = np.sqrt(origin)  # how far off it all is: the mean is rounded by a share of that
    for freed in range(2):
        if freed == 0 and distance == 0.0:
            continue
        square, inner, far, gained = 0.0, 0.0, 0.0, 0.0
        for j in range(d):
            left = pull[j]
            if freed == 1:
                left -= own[j]
                gained -= lean[j] / weight * taken * left
                left *= 1.0 - taken
            away = mean[j] - offset[j]
            square += (left / total) ** 2
            inner += away * left
            far += away * away
        size = np.sqrt(square)
        worth = value
        if freed == 1 and distance > 0.0:
            worth += gained - weight * distance * (1.0 + 2.0 * EQUAL)
        worth -= allowance * size * (value + total * (np.sqrt(far) + origin))
        if 1.0 + size > held:
            bound = ((1.0 - held) * (worth - inner) - size * lead) / (1.0 + size - held)
            if bound > best:
                best = bound
    return whole if best >= value else min(beyond + best, whole)

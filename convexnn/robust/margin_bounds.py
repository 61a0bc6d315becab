"""Lower bounds of a two-layer classifier's margin over a ball, sound in floating point.

A neuron's term ``+-max(t, 0)`` of the margin is at least a line on the range [l, u] of t, or all
lines with slopes in an interval: a neuron that no point of the ball turns is linear itself;
``max(t, 0) >= lam t`` for every lam in [0, 1]; ``-max(t, 0)`` is at least the chord
``-u (t - l) / (u - l)``. For all slopes in their intervals and c the pre-activations at the
example,

    margin >= base + lam'c - radius ||q + W'lam||_*,

with the columns of a `Region` scaled where a box clips the ball or columns stay. It is concave in
lam; its largest value is that of the convex relaxation over the ball; a primal-dual iteration
approaches both (Chambolle & Pock 2011), and every lam on its way is sound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convexnn.robust.ball_kernels import CODES
from convexnn.robust.ball_kernels import ascend as ascend_one
from convexnn.robust.rectified import ranges

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array, BoolArray
    from convexnn.robust.rectified import Ranges, Rectified
    from convexnn.robust.regions import Region

STEPS = 200


class Relaxation(NamedTuple):
    """What bounds the margin of each example over its ball.

    Attributes
    ----------
    form : Rectified
    ranges : Ranges
    region : Region
    side : array of shape (n,)
    straight : array of shape (n,)
        Linear part of the margin at the example.
    offset : array of shape (n, m)
        Value of each neuron's line at ``t = 0``.
    low, high : arrays of shape (n, m)
        Interval of each neuron's slopes.
    chord : array of bool, shape (n, m)
        Where the line is a chord: the terms that the relaxation loses.
    allowance : array of shape (n,)
        What rounding may do to a bound with slopes in [-1, 1].
    """

    form: Rectified
    ranges: Ranges
    region: Region
    side: Array
    straight: Array
    offset: Array
    low: Array
    high: Array
    chord: BoolArray
    allowance: Array


def relaxation(form: Rectified, region: Region, side: Array) -> Relaxation:
    """Relax each example's margin over its region."""
    found, straight = ranges(form, region), side * (region.center @ form.s + form.c)
    allowance = form.allowance(region.X, region.radius)
    return relax(form, found, region, side, straight, allowance)


def relax(
    form: Rectified, found: Ranges, region: Region, side: Array, straight: Array, allowance: Array
) -> Relaxation:
    """Relax margins whose ranges are known; the other arguments are fields of a `Relaxation`."""
    lower, upper = found.lower, found.upper
    sign = side[:, None] * form.sign
    unstable = (lower < 0.0) & (upper > 0.0)
    chord = unstable & (sign < 0.0)
    slope = np.where(chord, -upper / np.where(chord, upper - lower, 1.0), 0.0)
    low = np.where(lower >= 0.0, sign, slope)
    return Relaxation(
        *(form, found, region, side),
        straight=straight,
        offset=-slope * np.where(chord, lower, 0.0),
        low=low,
        high=np.where(unstable & ~chord, 1.0, low),
        chord=chord,
        allowance=allowance,
    )


def interval_bound(relaxed: Relaxation) -> Array:
    """Return what the neurons and the linear part do if each is at its own worst.

    Where no term can be negative the bound is 0, without an allowance: a sum of such terms is
    not negative in floating point either.
    """
    form, found = relaxed.form, relaxed.ranges
    sign = relaxed.side[:, None] * form.sign
    worst = np.where(sign > 0.0, np.maximum(found.lower, 0.0), -np.maximum(found.upper, 0.0))
    reach = relaxed.region.support(form.s[None])
    bound: Array = relaxed.straight + worst.sum(axis=1) - reach - relaxed.allowance
    never = np.all(worst >= 0.0, axis=1) & (not form.s.any()) & (relaxed.side * form.c >= 0.0)
    return np.where(never, np.maximum(bound, 0.0), bound)


def linear_bound(relaxed: Relaxation, open_ones: BoolArray) -> Array:
    """Return the best bound from lines: slopes are improved for examples that are still open.

    The first slopes are those of the example's own activation pattern, and those of the chords;
    an improvement ends once the bound is positive, or cannot be.
    """
    bound = first_bound(relaxed)
    for i in np.flatnonzero(open_ones & (bound <= 0.0)):
        improved, _, _ = ascend(relaxed, int(i), Lines.of(relaxed, int(i)), STEPS)
        bound[i] = max(bound[i], improved)
    return bound


def first_bound(relaxed: Relaxation) -> Array:
    """Return the better of two bounds: slopes of the own pattern, and those of the chords."""
    found = relaxed.ranges
    width = np.where(relaxed.low < relaxed.high, found.upper - found.lower, 1.0)
    own = np.where(found.center > 0.0, relaxed.high, relaxed.low)
    ratio = relaxed.low + (relaxed.high - relaxed.low) * np.clip(found.upper / width, 0.0, 1.0)
    result: Array = np.maximum(_with_slopes(relaxed, own), _with_slopes(relaxed, ratio))
    return result


class Lines(NamedTuple):
    """Lines of one example's neurons."""

    offset: Array
    low: Array
    high: Array

    @classmethod
    def of(cls, relaxed: Relaxation, i: int) -> Lines:
        """Return those of the relaxation."""
        return cls(relaxed.offset[i], relaxed.low[i], relaxed.high[i])

    def branches(self, chords: BoolArray, t: Array) -> tuple[list[Lines], BoolArray]:
        """Return both branches at the neuron whose chord loses most, and the chords that are left.

        Parameters
        ----------
        chords : array of bool, shape (m,)
            Which lines are chords, one at least.
        t : array of shape (m,)
            Pre-activations where the chords are held against what they stand for.
        """
        lost = -np.maximum(t, 0.0) - np.where(chords, self.low, 0.0) * t - self.offset
        j = int(np.argmax(np.where(chords, lost, -np.inf)))
        rest = chords.copy()
        rest[j] = False
        found = []
        for low, high in ((-np.inf, -1.0), (0.0, np.inf)):  # t >= 0, and t <= 0
            child = Lines(*(a.copy() for a in self))
            child.offset[j], child.low[j], child.high[j] = 0.0, low, high
            found.append(child)
        return found, rest


def ascend(
    relaxed: Relaxation, i: int, lines: Lines, steps: int, level: float = 0.0
) -> tuple[float, float, Array]:
    """Return a sound bound, the relaxed margin at a point of the ball, and that point's shift.

    It ends once the bound is above `level`, or the margin is not.
    """
    form, region = relaxed.form, relaxed.region
    shift = np.zeros(form.W.shape[1])
    W = region.stretched(form.W, i)
    s = region.stretched(relaxed.side[i] * form.s, i)
    most = 1.0 if region.scale is None else float(np.max(region.stretched(np.ones(len(s)), i)))
    bound, value = ascend_one(
        *(relaxed.ranges.center[i], relaxed.ranges.size[i], W, s),
        *(lines.low, lines.high, float(relaxed.straight[i] + lines.offset.sum()) - level),
        *(float(relaxed.allowance[i]), form.rounding, region.reach, CODES[region.norm]),
        *(most * form.length, steps, shift),
    )
    return bound + level, value + level, shift


def _with_slopes(relaxed: Relaxation, slopes: Array) -> Array:
    form = relaxed.form
    q = relaxed.side[:, None] * form.s + slopes @ form.W
    center = (slopes * relaxed.ranges.center + relaxed.offset).sum(axis=1) + relaxed.straight
    result: Array = center - relaxed.region.support(q) - relaxed.allowance
    return result

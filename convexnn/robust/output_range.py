"""How low and how high a network's output can be over a box, certified."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convexnn.contract.brief import brief
from convexnn.contract.checks import ProblemError, instance_of, real_array
from convexnn.contract.system.interrupts import as_interrupt
from convexnn.relu.network import TwoLayerNetwork
from convexnn.robust.least_margins import Balls, least_margins
from convexnn.robust.rectified import rectified

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array
    from convexnn.robust.rectified import Rectified

OUTWARDS = 1.0 + 4.0 * float(np.finfo(np.float64).eps)


@brief
class OutputRange(NamedTuple):
    """Certified bounds of outputs over a box, of each output an entry.

    Attributes
    ----------
    lower, upper : arrays of shape (k,)
        ``lower <= f(x) <= upper`` for all x of the box.
    """

    lower: Array
    upper: Array


@as_interrupt()
def output_range(network: TwoLayerNetwork, low: ArrayLike, high: ArrayLike) -> OutputRange:
    """Bound ``f(x)`` for all x with ``low <= x <= high``.

    By lines below each neuron and, where they are not tight, a branch and bound over which neurons
    are active, until the bound is within 1e-4 of an attained value (of 1, if that is smaller) or
    100 branches are spent; rounded outwards.

    Parameters
    ----------
    network : TwoLayerNetwork
        Without gates; any number of outputs k.
    low, high : array of shape (d,)

    Returns
    -------
    OutputRange

    Raises
    ------
    ProblemError
        If the network has gates, or the box is none.

    Examples
    --------
    >>> import convexnn as cx
    >>> net = cx.TwoLayerNetwork(np.array([[1.0, -1.0]]), np.ones((2, 1)), np.zeros(2))
    >>> found = cx.output_range(net, [-1.0], [2.0])  # of |x|
    >>> bool(-1e-4 <= found.lower[0] <= 0.0), bool(2.0 <= found.upper[0] <= 2.0002)
    (True, True)
    """
    instance_of("network", network, TwoLayerNetwork, "a TwoLayerNetwork")
    ends = [real_array(name, end, 1) for name, end in (("low", low), ("high", high))]
    for name, end in zip(("low", "high"), ends, strict=True):
        if len(end) != len(network.U):
            raise ProblemError(
                f"{name} must have {len(network.U)} entries, one for each input, got {len(end)}"
            )
    below = ends[0] <= ends[1]
    if not below.all():
        k = int(np.argmin(below))
        raise ProblemError(f"low must be <= high, got {ends[0][k]} > {ends[1][k]} of input {k}")
    forms = [rectified(network, k) for k in range(network.alpha.shape[1])]
    found = np.array([_of_output(form, *ends) for form in forms])
    return OutputRange(found[:, 0], found[:, 1])


def _of_output(form: Rectified, low: Array, high: Array) -> tuple[float, float]:
    """Return the bounds of one output.

    A box is a ball of ``x = middle + half * t``, ``|t| <= 1``: t moves, and the middle and the
    constant are columns that stay. The linear part is two neurons, ``t = max(t, 0) - max(-t, 0)``.
    """
    middle = 0.5 * low + 0.5 * high
    half = np.maximum(high - middle, middle - low) * OUTWARDS
    first = np.vstack([form.W, form.s, -form.s])
    offset = np.concatenate([form.b, [form.c, -form.c]])
    sign = np.concatenate([form.sign, [1.0, -1.0]])
    d, still = len(middle), half == 0.0
    weights = np.vstack([half[:, None] * first.T, first.T, offset])
    row = np.concatenate([np.zeros(d), middle, [1.0]])
    moved = np.concatenate([~still, np.zeros(d + 1, np.bool_)])
    form.allowance(np.abs(middle)[None] + half, 0.0)  # refuses what overflows
    balls = Balls(np.tile(row, (2, 1)), moved, 1.0, "linf")
    side = np.array([1.0, -1.0])
    bounds = least_margins(balls, weights, sign, side)
    room = form.rounding * float((np.abs(middle) + half) @ form.size_s + form.size_c)
    return float(bounds[0] - room), float(room - bounds[1])

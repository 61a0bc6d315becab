"""How fast a two-layer network's output can change in a ball."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convexnn.contract.system.interrupts import as_interrupt
from convexnn.functions.norms import DUAL, L2
from convexnn.robust.rectified import ball, columns, ranges, rectified
from convexnn.robust.regions import Region

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array
    from convexnn.relu.network import TwoLayerNetwork
    from convexnn.robust.rectified import Rectified


@as_interrupt()
def lipschitz(
    network: TwoLayerNetwork, X: ArrayLike, *, radius: float, norm: str = "linf"
) -> Array:
    """Bound ``|f(u) - f(v)| / ||u - v||`` for all u, v within `radius` of x, each row x.

    The gradient is ``g = s + sum_j theta_j a_j w_j`` with theta_j fixed for neurons that no point
    of the ball turns, in [leak, 1] for the others. With its midpoint g0 and the half-spreads h_j,
    ``||g||_*`` is at most

    - for l1 the largest of ``|g0| + sum_j |h_j|`` by coordinate;
    - for l2 the length of that vector, and ``(sum_ij |h_i'h_j|)^(1/2)`` with ``h_0 = g0``;
    - for linf the sum of that vector, and ``sqrt(d)`` times the bounds for l2;

    the least is returned, rounded up.

    Parameters
    ----------
    network : TwoLayerNetwork
        Without gates; any number of outputs k.
    X : array of shape (n, d)
    radius : float
        ``>= 0``.
    norm : {"linf", "l2", "l1"}, default "linf"
        Of the ball, and of ``u - v``.

    Returns
    -------
    array of shape (n,), or (n, k) for k > 1 outputs

    Raises
    ------
    ProblemError
        If the network has gates, or an argument breaks its rule.

    Examples
    --------
    >>> import convexnn as cx
    >>> net = cx.TwoLayerNetwork(np.array([[2.0, 1.0]]), np.ones((2, 1)), np.array([0.0, -9.0]))
    >>> cx.lipschitz(net, [[1.0], [9.0]], radius=0.5).round(6)
    array([2., 3.])
    """
    rows = columns(network, X)
    radius, norm = ball(radius, norm)
    forms = [rectified(network, k) for k in range(np.shape(network.alpha)[1])]
    bounds = np.stack([_of_output(form, rows, radius, norm) for form in forms], axis=1)
    result: Array = bounds[:, 0] if len(forms) == 1 else bounds
    return result


def _of_output(form: Rectified, X: Array, radius: float, norm: str) -> Array:
    form.allowance(X, radius)
    found = ranges(form, Region.of(X, radius, norm))
    unstable = ((found.lower < 0.0) & (found.upper > 0.0)).astype(np.float64)
    middle = (np.where(found.lower >= 0.0, 1.0, 0.5 * unstable) * form.sign) @ form.W + form.s
    spread = np.abs(middle) + 0.5 * unstable @ np.abs(form.W)
    size = form.size_s.max(initial=0.0)
    bound = DUAL[norm].value(spread)
    if norm != "l1" and size > 0.0:
        W, middle = form.W / size, middle / size  # squares must not overflow
        half = 0.5 * unstable
        cross = 2.0 * (half * np.abs(middle @ W.T)).sum(axis=1)
        square = ((half @ np.abs(W @ W.T)) * half).sum(axis=1)
        length = L2().value(middle)
        together = size * np.sqrt(length**2 + cross + square)
        bound = np.minimum(bound, together * (np.sqrt(X.shape[1]) if norm == "linf" else 1.0))
    up = form.rounding * DUAL[norm].value(form.size_s[None])[0]
    result: Array = bound * (1.0 + form.rounding) + up
    return result

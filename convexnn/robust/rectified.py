"""Margins of a two-layer classifier over balls: one form of the network, sound in rounding."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convexnn.contract.checks import ProblemError, choice, non_negative
from convexnn.contract.features import examples
from convexnn.functions.norms import NORMS
from convexnn.relu.network import TwoLayerNetwork

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array, BoolArray
    from convexnn.robust.regions import Region

EPS = 2.0**-52
TINY = 1e-300  # covers underflow
TRIES = 8


@dataclass(frozen=True, eq=False)
class Rectified:
    """``f(x) = sum_j sign_j max(w_j'x + b_j, 0) + s'x + c``, one output of any ReLU network.

    A leak is a linear part: ``max(t, leak t) = low t + (high - low) max(t, 0)`` with the smaller
    and the larger of 1 and the leak.

    Attributes
    ----------
    W : array of shape (m, d)
    b : array of shape (m,)
    sign : array of shape (m,)
    s : array of shape (d,)
    c : float
    size_s : array of shape (d,)
    size_c : float
        ``size_s'|x| + size_c`` is the sum of the absolute values of all terms of ``f(x)``.
    """

    W: Array
    b: Array
    sign: Array
    s: Array
    c: float
    size_s: Array
    size_c: float

    @property
    def rounding(self) -> float:
        """Return what any sum below may be off by, relative to the size of its terms."""
        return 8.0 * (sum(self.W.shape) + 32) * EPS

    @cached_property
    def length(self) -> float:
        """Return the largest singular value of the first layer, near enough for step sizes."""
        return float(np.linalg.norm(self.W, 2)) if self.W.size else 0.0

    def allowance(self, X: Array, radius: float) -> Array:
        """Return what rounding may do to outputs and bounds in the ball around each row.

        It is the first thing to ask: an output whose terms overflow is refused here.

        Raises
        ------
        ProblemError
            If the terms of an output overflow.
        """
        with np.errstate(over="ignore"):
            size = (np.abs(X) + radius) @ self.size_s + self.size_c
        if not np.isfinite(size).all():
            raise ProblemError("network overflows: its output's terms are too large for floats")
        return np.where(size > 0.0, self.rounding * size + TINY, 0.0)


class Ranges(NamedTuple):
    """Pre-activations over the ball around each example, rounded outwards.

    Attributes
    ----------
    center, lower, upper : arrays of shape (n, m)
    size : array of shape (n, m)
        Sum of the absolute values of their terms, anywhere in the ball.
    """

    center: Array
    lower: Array
    upper: Array
    size: Array


def rectified(network: TwoLayerNetwork, output: int = 0, less: int | None = None) -> Rectified:
    """Return one output of a network without gates, less another if given, as a `Rectified`.

    Raises
    ------
    ProblemError
        If the network has gates: its output jumps.
    """
    two_layers(network)
    if network.gates is not None:
        raise ProblemError("network must not have gates: its output jumps, no bound is meaningful")
    U, alpha, bias = network.U, network.alpha, network.bias
    skip = np.zeros(len(U)) if network.skip is None else network.skip
    offsets = np.zeros(alpha.shape[1]) if network.offsets is None else network.offsets
    weights, offset = alpha[:, output], float(network.skip_bias) + float(offsets[output])
    heavy, constant = np.abs(weights), abs(network.skip_bias) + abs(float(offsets[output]))
    straight = np.abs(skip)
    if less is not None:  # what both outputs have falls away, but not from their rounding
        weights, heavy = weights - alpha[:, less], heavy + np.abs(alpha[:, less])
        skip, straight = np.zeros(len(U)), 2.0 * straight
        offset = float(offsets[output] - offsets[less])
        constant += abs(network.skip_bias) + abs(float(offsets[less]))
    leak = float(network.leak)
    low, high = min(leak, 1.0), max(leak, 1.0)
    sizes = heavy * (abs(low) + high - low)
    with np.errstate(over="ignore", invalid="ignore"):
        strength = np.abs(weights) * (high - low)
        used = strength > 0.0
        return Rectified(
            W=np.ascontiguousarray((U * strength).T[used]),
            b=(bias * strength)[used],
            sign=np.sign(weights[used]),
            s=low * (U @ weights) + skip,
            c=low * float(bias @ weights) + offset,
            size_s=np.abs(U) @ sizes + straight,
            size_c=float(np.abs(bias) @ sizes) + constant,
        )


def columns(network: TwoLayerNetwork, X: ArrayLike) -> Array:
    """Return `X` as a finite matrix with the network's columns, or raise `ProblemError`."""
    two_layers(network)
    return examples(X, network.feature_names, len(network.U))


def two_layers(network: Any) -> None:
    """Refuse what is no `TwoLayerNetwork`, such as a convolution."""
    if not isinstance(network, TwoLayerNetwork):
        raise ProblemError(f"network must be a TwoLayerNetwork, got {type(network).__name__}")


def ball(radius: float, norm: str) -> tuple[float, str]:
    """Check a radius, finite and >= 0, and the name of a norm."""
    return non_negative("radius", radius), choice("norm", norm, tuple(NORMS))


def correct(margins: Array, side: Array) -> BoolArray:
    """Tell which margins are right as `TwoLayerNetwork.predict` decides: 0 is the first class."""
    result: BoolArray = (margins > 0.0) | ((margins == 0.0) & (side < 0.0))
    return result


def ranges(form: Rectified, region: Region) -> Ranges:
    """Return the exact range of each pre-activation in each example's region, widened."""
    center = region.center @ form.W.T + form.b
    size = (np.abs(region.X) + region.radius) @ np.abs(form.W).T + np.abs(form.b)
    reach = region.reaches(form.W) + np.where(size > 0.0, form.rounding * size, 0.0)
    return Ranges(center, center - reach, center + reach, size)


def inside(X: Array, points: Array, radius: float, norm: str) -> Array:
    """Return the points drawn in until they are in the balls, whatever rounding did.

    Examples
    --------
    >>> X = np.array([[0.1, 0.2]])
    >>> moved = inside(X, X + 0.3, 0.3, "linf")
    >>> bool(np.all(moved - X <= 0.3)), np.allclose(moved, X + 0.3)
    (True, True)
    """
    d = X.shape[1]
    cautious = 1.0 + (d + 16) * EPS
    shrink = 4.0 * EPS
    for _ in range(TRIES):
        size = NORMS[norm].value(points - X) * cautious
        outside = size > radius
        if not outside.any():
            return points
        kept = (1.0 - shrink) * radius / np.where(outside, size, 1.0)
        points = np.where(outside[:, None], X + (points - X) * kept[:, None], points)
        shrink *= 100.0
    outside = NORMS[norm].value(points - X) * cautious > radius
    return np.where(outside[:, None], X, points)

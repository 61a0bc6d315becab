"""Convex functions of one variable: a value and a slope, named, piecewise linear or the user's."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from convexnn.contract.arrays import Array
from convexnn.contract.checks import (
    ProblemError,
    choice,
    pair,
    positive_int,
    real_array,
    shown,
    sized,
)
from convexnn.contract.fields import Converted, declaration
from convexnn.functions.losses import Hinge, Logistic, Loss

MARGIN_LOSSES: dict[str, Loss] = {"logistic": Logistic(), "hinge": Hinge()}
PROBES = 2_000  # points at which a user's function is tried for convexity
PIECES = 1_000_000  # whose distance to a smooth loss, the square of their length, is rounding
NOISE = 1e-9  # share of the largest value by which a user's function may miss convexity


class Curve(NamedTuple):
    """A convex function of one variable, for arrays.

    Attributes
    ----------
    value : callable
    slope : callable
        A (sub)gradient; at ``-inf`` and ``inf`` the asymptotic slopes.
    strict : bool
        Whether it is strictly convex, so that no point has an asymptotic slope.
    """

    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    strict: bool = False


@declaration
class PiecewiseLinear:
    """``l(t) = max_k slopes_k t + intercepts_k``.

    Parameters
    ----------
    slopes, intercepts : array of shape (K,)

    Raises
    ------
    ProblemError
        If they are not finite arrays of one axis and one length.

    Examples
    --------
    >>> hinge = PiecewiseLinear([0.0, -1.0], [0.0, 1.0])
    >>> hinge.value(np.array([0.25, 2.0]))
    array([0.75, 0.  ])
    """

    slopes: Converted[ArrayLike, Array]
    intercepts: Converted[ArrayLike, Array]

    def __post_init__(self) -> None:
        for name in ("slopes", "intercepts"):
            object.__setattr__(self, name, real_array(name, getattr(self, name), 1))
        if len(self.slopes) != len(self.intercepts):
            raise ProblemError(
                f"intercepts must have one entry per slope ({len(self.slopes)}), "
                f"got {len(self.intercepts)}"
            )

    def __len__(self) -> int:
        return len(self.slopes)

    @classmethod
    def tangents(
        cls, loss: MarginLoss, pieces: int, window: tuple[float, float]
    ) -> PiecewiseLinear:
        """Return the maximum of tangents of a loss, which never exceeds it.

        Parameters
        ----------
        loss : "logistic", "hinge", PiecewiseLinear or (value, derivative)
        pieces : int
            They touch the loss at the middles of as many equal parts of the window.
        window : (float, float)

        Returns
        -------
        PiecewiseLinear

        Raises
        ------
        ProblemError
            If there are more than a million pieces, or the window or the loss breaks its rule.

        Examples
        --------
        >>> PiecewiseLinear.tangents("logistic", 2, (-2.0, 2.0)).slopes.round(3)
        array([-0.731, -0.269])
        """
        a, b = interval("window", window)
        curve = as_curve(loss)
        touch = a + (b - a) * (np.arange(piece_count(pieces)) + 0.5) / pieces
        slopes = curve.slope(touch)
        return cls(slopes, curve.value(touch) - slopes * touch)

    @cached_property
    def _envelope(self) -> tuple[Array, Array, Array]:
        """Pieces that are somewhere the largest, by slope, and the breakpoints between them."""
        kept: list[int] = []
        breaks: list[float] = []
        for k in np.lexsort((self.intercepts, self.slopes)):
            while kept:
                rise = self.slopes[k] - self.slopes[kept[-1]]
                fall = self.intercepts[kept[-1]] - self.intercepts[k]
                at = fall / rise if rise > 0.0 else -np.inf
                if len(kept) > 1 and at <= breaks[-1]:
                    breaks.pop()
                elif rise > 0.0:
                    breaks.append(at)
                    break
                kept.pop()
            kept.append(int(k))
        return self.slopes[kept], self.intercepts[kept], np.array(breaks)

    def value(self, t: Array) -> Array:
        """Return ``max_k slopes_k t + intercepts_k``."""
        slopes, intercepts, breaks = self._envelope
        k = np.searchsorted(breaks, t)
        value: Array = slopes[k] * t + intercepts[k]
        return value

    def derivative(self, t: Array) -> Array:
        """Return the slope of a largest piece; at ``-inf`` the least slope, at ``inf`` the most."""
        slopes, _, breaks = self._envelope
        slope: Array = slopes[np.searchsorted(breaks, t)]
        return slope


def piece_count(pieces: int) -> int:
    """Return a number of pieces, at least 1 and no more than can be told apart.

    Raises
    ------
    ProblemError
        If it is another.

    Examples
    --------
    >>> piece_count(6)
    6
    """
    count = positive_int("pieces", pieces)
    if count > PIECES:
        raise ProblemError(f"pieces must be <= {PIECES:,}, got {count:,}")
    return count


MarginLoss: TypeAlias = (
    str | PiecewiseLinear | tuple[Callable[[Array], Array], Callable[[Array], Array]]
)


def as_curve(loss: MarginLoss) -> Curve:
    """Return a loss of the margin as a curve; a classification loss is taken at the label +1.

    Raises
    ------
    ProblemError
        If it is neither a known name, nor piecewise linear, nor a pair of callables.

    Examples
    --------
    >>> as_curve("hinge").value(np.array([0.25, 2.0]))
    array([0.75, 0.  ])
    """
    if isinstance(loss, PiecewiseLinear):
        return Curve(loss.value, loss.derivative)
    if isinstance(loss, tuple) and len(loss) == 2 and all(callable(part) for part in loss):
        return Curve(*loss)
    if not isinstance(loss, str):
        names = ", ".join(MARGIN_LOSSES)
        raise ProblemError(
            f"loss must be one of {names}, a PiecewiseLinear or a pair of callables "
            f"(value, derivative), got {shown(loss)}"
        )
    named, label = MARGIN_LOSSES[choice("loss", loss, list(MARGIN_LOSSES))], np.ones(())
    strict = bool(np.isfinite(named.curvature))
    return Curve(lambda t: named.value(t, label), lambda t: named.gradient(t, label), strict)


def check_curve(curve: Curve, points: Array) -> None:
    """Try a user's function where it will be used.

    Raises
    ------
    ProblemError
        If a value is not finite or has another shape, or if two neighbours break
        ``l'(s) (t - s) <= l(t) - l(s) <= l'(t) (t - s)``, which convexity asks for.

    Examples
    --------
    >>> check_curve(Curve(np.square, lambda t: 2.0 * t), np.array([-1.0, 0.0, 3.0]))
    """
    found = []
    for name, function in (("value", curve.value), ("derivative", curve.slope)):
        result = np.asarray(function(points.copy()))
        if result.shape != points.shape or result.dtype.kind != "f":
            raise ProblemError(
                f"loss must be vectorised: its {name} has shape {result.shape} and dtype "
                f"{result.dtype} at {points.shape} points"
            )
        if not np.isfinite(result).all():
            at = int(np.argmin(np.isfinite(result)))
            raise ProblemError(f"loss must be finite: its {name} at {points[at]} is {result[at]}")
        found.append(result)
    order = np.argsort(points)[np.linspace(0, len(points) - 1, min(PROBES, len(points)), dtype=int)]
    t, value, slope = points[order], found[0][order], found[1][order]
    step, rise = np.diff(t), np.diff(value)
    least, most = slope[:-1] * step, slope[1:] * step
    room = NOISE * (np.abs(value[:-1]) + np.abs(value[1:]) + np.abs(least) + np.abs(most))
    falls = slope[:-1] - slope[1:] > NOISE * (np.abs(slope[:-1]) + np.abs(slope[1:]))
    strays = (rise < least - room) | (rise > most + room)
    for broken, rule in (
        (falls & (step > 0.0), "its derivative must not fall"),
        (strays, "its value must rise as its derivative says"),
    ):
        if broken.any():
            i = int(np.argmax(broken))
            raise ProblemError(
                f"loss must be convex: {rule}, got l({t[i]:.6g}) = {value[i]:.6g} with slope "
                f"{slope[i]:.6g} and l({t[i + 1]:.6g}) = {value[i + 1]:.6g} with slope "
                f"{slope[i + 1]:.6g}"
            )


def interval(name: str, value: tuple[float, float]) -> tuple[float, float]:
    """Return two finite floats ``a < b``, or raise `ProblemError`.

    Examples
    --------
    >>> interval("window", (-1, 2))
    (-1.0, 2.0)
    """
    a, b = pair(name, value, "a pair of numbers (a, b)")
    if not (np.isfinite(a) and np.isfinite(b) and a < b):
        raise ProblemError(f"{name} must be finite with a < b, got {shown(value)}")
    return sized(name, a), sized(name, b)

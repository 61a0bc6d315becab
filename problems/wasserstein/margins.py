"""The follower: the worst margins that a Wasserstein ball allows, in one dimension."""

from __future__ import annotations

from dataclasses import KW_ONLY
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from convexnn.contract.arrays import Array, frozen
from convexnn.contract.checks import ProblemError, in_range, non_negative, positive_int, real_array
from convexnn.contract.fields import Converted, declaration
from convexnn.contract.program import CvxpyProgram
from convexnn.functions.curves import (
    Curve,
    MarginLoss,
    PiecewiseLinear,
    as_curve,
    check_curve,
    interval,
    piece_count,
)
from convexnn.problems.wasserstein.against_ball import AgainstBall
from convexnn.wasserstein.transport import Transport
from convexnn.wasserstein.weight_balls import ROUNDING, Adversary
from convexnn.wasserstein.worst_case import Atoms, WorstCase

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import IndexArray

SHORT = 1e-12  # relative shortfall of the slope to a far point from the slope at infinity
FARTHEST = 1e150
VISIBLE = 1e-6  # least relative distance of the far point, well above rounding
NEGLIGIBLE = 1e-9  # moves below this share of what the whole budget pays for are noise


class Support(NamedTuple):
    """Where mass may go: the ends of the window, or on the whole line a far stand-in.

    Attributes
    ----------
    low, high : float
    floor : float
        On the whole line, the loss's largest slope in absolute value; else 0.
    attained : bool
    ray : array of shape (1,) or None
    """

    low: float
    high: float
    floor: float = 0.0
    attained: bool = True
    ray: Array | None = None


@declaration
class WorstCaseMargins(AgainstBall):
    """Maximise ``E_Q l(z)`` over ``Q`` with ``W_1(Q, (1/N) sum_i delta_{xi_i}) <= radius``.

    ``W_1`` is the type-1 Wasserstein distance for the cost ``|z - xi|``, and Q lives on the window
    ``[a, b]`` or on the whole line. The problem is posed as its dual, so that it is minimised:

        min_{lam >= 0}  lam radius + (1/N) sum_i max_{z in {xi_i, a, b}} l(z) - lam |z - xi_i|.

    A convex loss makes the inner maximum sit on these three points, so nothing is discretised.
    The certificate's objective is the dual value, its bound the expected loss of a distribution
    within the ball: the gap holds the supremum between the two.

    Parameters
    ----------
    margins : array of shape (N,)
    radius : float
        Of the ball, >= 0, in the units of the margins.
    loss : "logistic", "hinge", PiecewiseLinear or (value, derivative), default "logistic"
        ``log(1 + exp(-xi))``, ``max(0, 1 - xi)``, or any convex function; callables take and
        return arrays. On the whole line the derivative is also asked for at ``-inf`` and ``inf``.
        A problem with callables cannot be saved.
    window : (float, float), optional
        Ends ``a < b`` of the support, which holds every margin; None is the whole line. There the
        supremum is ``mean l(xi_i) + radius sup |l'|``, and it may not be attained.
    pieces : int, optional
        Replace the loss by this many tangents, at most a million, which lie below it: see
        `PiecewiseLinear.tangents`. On the whole line they touch it on the margins' range, widened
        on each side by its own length, or by 1 if that is less.
    group : int, optional
        Split the margins, in the order given, into groups of this size (the last may be smaller),
        each with the radius for itself, and average their values by size. Smaller than the ball.

    Raises
    ------
    ProblemError
        If a field breaks its rule, a margin lies outside the window, the loss proves not to be
        convex, or on the whole line its slopes are not bounded.

    Notes
    -----
    ``pieces=6, group=100`` is the follower of Chu et al. (2025); both make the value smaller.
    At radius 0 the multiplier is the steepest slope on offer: the rate of the first unit spent.

    References
    ----------
    Mohajerin Esfahani & Kuhn 2018, "Data-driven distributionally robust optimization using the
    Wasserstein metric", theorems 4.2 and 4.4. Chu et al. 2025, "Stackelberg game preference
    optimization for data-efficient alignment of language models", arXiv 2502.18099.

    Examples
    --------
    >>> import convexnn as cx
    >>> problem = cx.WorstCaseMargins([0.0, 1.0], radius=0.5, loss="hinge", window=(-2.0, 2.0))
    >>> cx.solve(problem).model.value
    1.0
    """

    FORMS: ClassVar[dict[type, str]] = {Transport: "form"}
    margins: Converted[ArrayLike, Array]
    _: KW_ONLY
    radius: float
    loss: MarginLoss = "logistic"
    window: tuple[float, float] | None = None
    pieces: int | None = None
    group: int | None = None

    def __post_init__(self) -> None:
        self._set("margins", in_range("margins", real_array("margins", self.margins, 1)))
        self._set("radius", non_negative("radius", self.radius))
        if self.pieces is not None:
            self._set("pieces", piece_count(self.pieces))
        if self.group is not None:
            self._set("group", positive_int("group", self.group))
        given = as_curve(self.loss)
        points = self.margins
        if self.window is not None:
            self._set("window", interval("window", self.window))
            outside = (self.margins < self.window[0]) | (self.margins > self.window[1])
            if outside.any():
                at = int(np.argmax(outside))
                raise ProblemError(
                    f"window must hold every margin, got {self.window} and {self.margins[at]} "
                    f"at index {at}"
                )
            points = np.append(points, self.window)
        if isinstance(self.loss, tuple):
            check_curve(given, points)
        self.support  # noqa: B018  # validates the loss at infinity

    @cached_property
    def piecewise(self) -> PiecewiseLinear | None:
        """The loss as a maximum of lines, where it is one."""
        if self.pieces is None:
            return self.loss if isinstance(self.loss, PiecewiseLinear) else None
        if self.window is not None:
            return PiecewiseLinear.tangents(self.loss, self.pieces, self.window)
        low, high = float(self.margins.min()), float(self.margins.max())
        room = max(high - low, 1.0)
        return PiecewiseLinear.tangents(self.loss, self.pieces, (low - room, high + room))

    @cached_property
    def curve(self) -> Curve:
        """The loss that the worst case is taken of."""
        return as_curve(self.piecewise or self.loss)

    @cached_property
    def starts(self) -> IndexArray:
        """First sample of each group, and N."""
        n = len(self.margins)
        return np.append(np.arange(0, n, self.group or n), n)

    @cached_property
    def support(self) -> Support:
        """Where mass may go."""
        if self.window is not None:
            return Support(*self.window)
        low, high = float(self.margins.min()), float(self.margins.max())
        with np.errstate(all="ignore"):
            left, right = (float(s) for s in self.curve.slope(np.array([-np.inf, np.inf])))
        if np.isnan(left) or np.isnan(right):
            raise ProblemError(
                "loss must tell its derivative at -inf and inf where window is None, got "
                f"{left} and {right}: give a window"
            )
        if left > self.slope.min() or right < self.slope.max():
            raise ProblemError(
                f"loss must be convex: its derivative is {left} at -inf and {right} at inf, but "
                f"from {self.slope.min():.6g} to {self.slope.max():.6g} at the margins"
            )
        steepest = max(-left, right, 0.0)
        if self.radius == 0.0 or steepest == 0.0:
            return Support(low, high, steepest if np.isfinite(steepest) else 0.0)
        if not np.isfinite(steepest):
            raise ProblemError(
                f"loss must have bounded slopes where window is None, got {left} at -inf and "
                f"{right} at inf: the supremum is infinite; give a window"
            )
        sides = [sign for sign, s in ((-1.0, -left), (1.0, right)) if s == steepest]
        steep = [sign for sign in sides if self._reaches(sign, steepest)]
        sign = steep[0] if steep else sides[0]
        far = self._far_out(sign, steepest)
        ray = None if steep else np.array([sign])
        return Support(min(low, far), max(high, far), steepest, bool(steep), ray)

    def _reaches(self, sign: float, steepest: float) -> bool:
        """Tell whether a sample of every group lies where the loss is steepest."""
        there = self.slope == sign * steepest
        return not self.curve.strict and bool(np.logical_or.reduceat(there, self.starts[:-1]).all())

    def _far_out(self, sign: float, steepest: float) -> float:
        """Return a point so far that the slope to it is as good as the slope at infinity.

        One sample of a group can spend the whole budget on the way.
        """
        best = sign * np.maximum.reduceat(sign * self.margins, self.starts[:-1])
        source = sign * np.min(sign * best)  # of the group that starts farthest back
        budget = self.radius * float(np.max(np.diff(self.starts)))
        reach = float(np.ptp(best)) + max(budget, VISIBLE * (1.0 + abs(float(source))))
        far = float(source + sign * reach)
        while reach < FARTHEST:
            ends = np.array([source, source + sign * reach])
            with np.errstate(all="ignore"):
                value = self.curve.value(ends)
            if not np.isfinite(value).all():
                break
            far = float(ends[1])
            if value[1] - value[0] >= (1.0 - SHORT) * steepest * abs(far - source):
                break
            reach *= 4.0
        return far

    @cached_property
    def form(self) -> Transport:
        """The transport from every margin to either end of the support."""
        ends = np.array([self.support.low, self.support.high])
        outward = np.array([-1.0, 1.0])
        base, slope = self.curve.value(self.margins), self.slope
        cost = np.ascontiguousarray(np.abs(ends - self.margins[:, None]))
        # convexity holds a secant between the slopes of its ends, where rounding would not
        least = outward * slope[:, None] * cost
        most = outward * self.curve.slope(ends) * cost
        gain = np.clip(self.curve.value(ends) - base[:, None], least, most)
        for array in (base, cost, gain):
            frozen(array)
        return Transport(base, gain, cost, self.radius, self.starts, self.support.floor)

    @cached_property
    def slope(self) -> Array:
        """Derivative of the loss at each margin."""
        return self.curve.slope(self.margins)

    def to_cvxpy(self) -> CvxpyProgram:
        """Return the linear program, literally that of the literature for a piecewise loss.

        See `convexnn.problems.wasserstein.margins_formula`.
        """
        from convexnn.problems.wasserstein import margins_formula, transport_formula

        if self.piecewise is not None:
            return margins_formula.by_pieces(self.form, self.margins, self.piecewise, self.window)
        return transport_formula.by_shares(self.form, on_ray=self.window is None)

    @property
    def scope(self) -> str:
        """What a bound covers."""
        parts = ["this ball"]
        if self.pieces is not None:
            parts.append(f"{self.pieces} pieces")
        if self.group is not None:
            parts.append(f"groups of {self.group}")
        return ", ".join(parts)

    def build_model(self, primal: Adversary, objective: float | None = None) -> WorstCase:
        """Return the worst distribution and its derivatives by the margins."""
        n, support = len(self.margins), self.support
        shares = self.form.feasible(primal.choice)
        lam = np.repeat(primal.multiplier, self.form.sizes)
        if self.window is None:
            pull = self.slope  # what moves off to infinity is an infinitely small share
        else:
            # at an end of the window, the derivative of a margin that moves inwards
            pull = (1.0 - shares.sum(axis=1)) * np.clip(self.slope, -lam, lam)
            turn = shares[:, 1] - shares[:, 0]
            pull = pull + np.multiply(lam, turn, out=turn, where=turn != 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            still = np.where(pull == 0.0, 1.0, np.inf)
            weights = np.where(self.slope != 0.0, pull / self.slope, still)
        stay = 1.0 - shares.sum(axis=1)
        stay = np.where(stay > ROUNDING, stay, 0.0)
        mass = np.column_stack([shares[:, 0], stay, shares[:, 1]])
        source, place = np.nonzero(mass > 0.0)
        here = self.margins[source]
        location = np.choose(place, [support.low, here, support.high])
        atoms = Atoms(source, location, mass[source, place] / n, np.abs(location - here))
        return WorstCase(
            value=self.objective(primal) if objective is None else objective,
            atoms=atoms,
            weights=weights,
            gradient=pull / n,
            multiplier=float(np.dot(self.form.sizes, primal.multiplier) / n),
            attained=support.attained,
            ray=support.ray,
        )

    def prune(self, primal: Adversary, objective: float | None = None) -> Adversary:
        """Return the point without the moves that an interior-point solver leaves everywhere."""
        return primal._replace(choice=self._without_noise(primal.choice))

    def _without_noise(self, shares: Array) -> Array:
        return np.where(shares >= NEGLIGIBLE * self._largest, shares, 0.0)

    @cached_property
    def _largest(self) -> Array:
        """Largest share that could move to each end if the whole budget were spent on it."""
        budget = self.radius * np.repeat(self.form.sizes, self.form.sizes)[:, None]
        return np.minimum(1.0, budget / np.where(self.form.cost > 0.0, self.form.cost, np.inf))

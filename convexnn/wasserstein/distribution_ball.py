"""What each ball of distributions makes of a loss: the base of the rows of `table`.

A row is a frozen class for the worst case over one kind of ball, in the terms of `forms`: a loss,
an order, and what the adversary may change. It has the risk, the slopes of the worst case, what the
bound, the worst distribution and the formula need, and never sees the data: predictions ``z``,
targets ``y`` and the length ``t`` of the model are all that a worst case depends on, and the
samples' weights, by which every mean is. Slopes are those of a sample, whatever it weighs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

import numpy as np

from convexnn.wasserstein.forms import Slopes

if TYPE_CHECKING:
    import cvxpy as cp

    from convexnn.contract.arrays import Array
    from convexnn.functions.losses import ScalarLoss
    from convexnn.wasserstein.moves import Moves


class Formula(NamedTuple):
    """A worst case in CVXPY.

    Attributes
    ----------
    cost : Expression
    constraints : list of Constraint
    variables : dict of str to Variable
        Beyond those of the model and the multiplier.
    duals : dict of str to Constraint
        Whose dual values are the slopes of that name, times weights and over n.
    """

    cost: cp.Expression
    constraints: list[cp.Constraint]
    variables: dict[str, cp.Variable]
    duals: dict[str, cp.Constraint]


@dataclass(frozen=True, kw_only=True)
class DistributionBall(ABC):
    """The worst case of ``mean_i l(z_i; y_i)`` over a Wasserstein ball, for a model of length t.

    Attributes
    ----------
    loss : ScalarLoss
    radius : float
    floor : float
        Inverse cost of a unit of the target; 0 keeps targets as they are.
    weights : array of shape (n,) or None
        n times the mass of each sample, of mean 1; None where all have the same.
    order : float
        Of the Wasserstein distance: 1, 2 or inf.
    takes : tuple of types
        The losses that this row is for.
    flips : bool
        Whether the adversary may flip labels.
    homogeneous : bool
        Whether slopes have no scale of their own, so that even ones may be mixed in.
    lifts : bool
        Whether the room for slopes grows with them.
    """

    loss: ScalarLoss
    radius: float
    floor: float = 0.0
    weights: Array | None = None

    order: ClassVar[float]
    takes: ClassVar[tuple[type[ScalarLoss], ...]]
    flips: ClassVar[bool] = False
    homogeneous: ClassVar[bool] = False
    lifts: ClassVar[bool] = False

    @classmethod
    def of(cls, loss: ScalarLoss, radius: float, flip: float, floor: float) -> Self:
        """Return the ball, from what users declare; `flip` is the cost of a flipped label."""
        return cls(loss=loss, radius=radius, floor=floor)

    @property
    def cones(self) -> frozenset[str]:
        """Return what a solver must know to take the formula, but for the norm."""
        return self.loss.cones

    @property
    def scale(self) -> float:
        """Return how often the loss counts: squared residuals are ``r^2``, twice the loss."""
        return 1.0

    @property
    def power(self) -> float:
        """Return the power of the radius that `rate` is by: the order, 1 for the order inf."""
        return self.order if np.isfinite(self.order) else 1.0

    @property
    def price(self) -> float:
        """Return what a unit of the multiplier costs at least, 0 where the risk does not tell."""
        return 0.0

    def domain(self, y: Array) -> tuple[Array | float, Array | float]:
        """Return the least and the largest slopes of the loss."""
        low, high = self.loss.domain(y)
        return self.scale * low, self.scale * high

    # -- means over the samples

    def counted(self, values: Array) -> Array:
        """Return values, one a sample, times what it weighs."""
        return values if self.weights is None else self.weights * values

    def mean(self, values: Array) -> float:
        """Return the mean of values, one a sample."""
        return float(self.counted(values).mean())

    def written(self, z: cp.Expression, y: Array) -> cp.Expression:
        """Return the mean of the loss in CVXPY, counted once."""
        if self.weights is None:
            return self.loss.cvxpy(z, y) / len(y)
        return self.loss.weighed(z, y, self.weights) / len(y)

    def averaged(self, values: cp.Expression, n: int) -> cp.Expression:
        """Return the mean of values in CVXPY, one a sample."""
        import cvxpy as cp

        return (cp.sum(values) if self.weights is None else self.weights @ values) / n

    # -- the risk

    def values(self, z: Array, y: Array) -> Array:
        """Return the loss of each sample where it is."""
        return self.scale * self.loss.value(z, y)

    def reach(self, t: float) -> float:
        """Return the most that a prediction's residual moves for a unit of the transport cost."""
        return max(t, self.floor)

    def multiplier(self, z: Array, y: Array, t: float) -> float:
        """Return the best ``lam`` for predictions of a model of this length."""
        return self.reach(t)

    @abstractmethod
    def risk(self, z: Array, y: Array, t: float) -> float:
        """Return the worst case, its multiplier recomputed exactly."""

    @abstractmethod
    def rate(self, z: Array, y: Array, t: float) -> float:
        """Return how fast the worst case grows with ``radius ** order``, or with the radius.

        At radius 0 the rate to the right.
        """

    @abstractmethod
    def moves(self, z: Array, y: Array, t: float) -> Moves:
        """Return a worst distribution, where the adversary can do anything at all."""

    # -- the slopes of the worst case

    @abstractmethod
    def slopes(self, z: Array, y: Array, t: float) -> Slopes:
        """Return the dual point that a model suggests."""

    def derivative(self, z: Array, y: Array, t: float) -> Array:
        """Return n times the derivative of the risk in each prediction, over the weight."""
        return self.total(self.slopes(z, y, t), y)

    def integrated(self, derivative: Array, guess: Slopes, y: Array, risk: float) -> Slopes:
        """Return the slopes that make a derivative; `guess` has the others of the same model."""
        return Slopes(derivative, guess.other)

    def constant(self, y: Array) -> float:
        """Return the best constant prediction."""
        return self.loss.constant(y) if self.weights is None else best_constant(self, y)

    def constant_slopes(self, c: float, y: Array) -> Slopes:
        """Return the slopes of a constant prediction."""
        return self.slopes(np.full(len(y), c), y, 0.0)

    def fitted(self, slopes: Slopes, y: Array) -> Slopes:
        """Return the nearest slopes that are possible at each sample by itself."""
        return Slopes(self.loss.clip(slopes.own, y), np.zeros_like(slopes.own))

    def total(self, slopes: Slopes, y: Array) -> Array:
        """Return the slope of each sample's worst case in ``z_i``."""
        return slopes.own

    # -- the bound

    def terms(self, slopes: Slopes, y: Array) -> Array:
        """Return what each sample adds to the dual objective."""
        return -self.loss.conjugate(slopes.own, y)

    @abstractmethod
    def allowed(self, slopes: Slopes) -> float:
        """Return T, how long ``u`` may be, less what its rounding may amount to."""

    def roomy(self, slopes: Slopes, length: float, room: float) -> Slopes:
        """Return slopes with as much more room as can be made without changing u."""
        return slopes

    def share(self, slopes: Slopes, length: float, room: float) -> float:
        """Return the share of slopes that is feasible, their u of that length; 0 if none is."""
        return 1.0 if length <= room else 0.0

    def achieved(self, worth: float) -> float:
        """Return the bound that a dual objective stands for."""
        return worth

    def give(self, slopes: Slopes, y: Array) -> Array:
        """Return how far each slope may move, ones where nothing limits them."""
        low, high = self.loss.domain(y)
        with np.errstate(invalid="ignore"):
            give: Array = np.minimum(slopes.own - low, high - slopes.own)
        return give if np.isfinite(give).all() else np.ones(len(y))

    def moved(self, slopes: Slopes, step: Array) -> Slopes:
        """Return slopes after a step."""
        return Slopes(slopes.own + step, slopes.other)

    def spared(self, slopes: Slopes, rounding: float) -> Slopes:
        """Return slopes that leave a T in which this rounding of u can be told from an excess."""
        return slopes

    # -- the formula

    @abstractmethod
    def cvxpy(self, z: cp.Variable, y: Array, length: cp.Expression, lam: cp.Variable) -> Formula:
        """Write the worst case of predictions of a model of this length; lam is its multiplier."""

    def _longer(self, length: cp.Expression, lam: cp.Variable) -> list[cp.Constraint]:
        floor = [lam >= self.floor] if self.floor > 0.0 else []
        return [length <= lam, *floor]


def best_constant(ball: DistributionBall, y: Array) -> float:
    """Return the constant of least weighted loss, by bisection between the targets."""
    low, high = float(np.min(y)), float(np.max(y))
    for _ in range(200):  # to rounding
        c = 0.5 * (low + high)
        if ball.mean(ball.loss.gradient(np.full_like(y, c), y)) > 0.0:
            high = c
        else:
            low = c
    return 0.5 * (low + high)


def scaled(slopes: Slopes, share: float) -> Slopes:
    """Return a share of the slopes."""
    return Slopes(slopes.own * share, slopes.other * share)

"""Risks: the largest weighted mean of the examples' losses over a set of weights.

Examples have reference probabilities ``p`` (``1 / n``, or their weights' shares), and an adversary
multiplies them by ratios ``u >= 0`` with ``sum_i p_i u_i = 1``. The risk of losses ``l`` is the
supremum of ``sum_i p_i u_i l_i`` over a set of ratios:

    Cvar(level)             u <= 1 / level
    Entropic(radius)        sum_i p_i u_i log u_i <= radius
    ChiSquare(radius)       sum_i p_i u_i^2 - 1 <= radius
    TotalVariation(radius)  sum_i p_i |u_i - 1| / 2 <= radius
    WorstGroup(groups)      u constant in each group

A training problem minimises ``n`` times it, in the place of the sum of losses: ``beta`` keeps its
meaning. All sets are convex, so the risk of convex losses is convex, and any ratios of the set give
a lower bound on it: that of the same problem, its examples weighted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from convexnn.contract.checks import ProblemError, instance_of, non_negative, real, shown, sized
from convexnn.contract.fields import Converted, declaration
from convexnn.contract.labels import raw_labels
from convexnn.functions.entropies import entropies
from convexnn.functions.ratios import Divergence, Ratios, sums

if TYPE_CHECKING:
    from collections.abc import Hashable

    import cvxpy as cp
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array, BoolArray, IndexArray, LabelArray

COLD = 60.0  # logarithm of a rate at which only the largest losses count
MEAN = "mean"  # what users write for no risk but the mean


class Risk(ABC):
    """A risk that a training problem takes as ``risk=``. Subclasses are frozen dataclasses.

    Attributes
    ----------
    cones : frozenset of str
        What a solver must know to take the CVXPY expression, beyond what the loss needs.
    """

    cones: ClassVar[frozenset[str]] = frozenset()

    @property
    @abstractmethod
    def plain(self) -> bool:
        """Return whether the risk is the mean."""

    @abstractmethod
    def ratios(self, p: Array) -> Ratios:
        """Return the set of ratios at reference probabilities."""

    @abstractmethod
    def worst(self, losses: Array, p: Array) -> Array:
        """Return ratios of the set at which the weighted mean of the losses is largest."""

    @abstractmethod
    def cvxpy(self, losses: cp.Expression, p: Array) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return the risk of convex losses as an expression, and constraints that go with it."""

    def of(self, length: int, each: str, kept: BoolArray | None = None) -> Risk:
        """Return the risk of so many examples, of which some are kept.

        Raises
        ------
        ProblemError
            If it is of another number, or a part of it has no example left.
        """
        return self

    def part(self, rows: slice | BoolArray | IndexArray) -> Risk:
        """Return the risk of some of the examples."""
        return self


@dataclass(frozen=True)
class Ball(Risk):
    """Base of the risks over a ball around the reference probabilities; of radius 0 the mean.

    Parameters
    ----------
    radius : float
        >= 0.
    """

    radius: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "radius", non_negative("radius", self.radius))

    @property
    def plain(self) -> bool:
        """Return whether the radius is 0."""
        return self.radius == 0.0


@dataclass(frozen=True)
class Cvar(Risk):
    """Conditional value at risk: the mean of the share `level` of largest losses.

    Parameters
    ----------
    level : float
        In (0, 1]; 1 is the mean.

    References
    ----------
    Rockafellar & Uryasev 2000, "Optimization of conditional value-at-risk".

    Examples
    --------
    >>> Cvar(0.5).worst(np.array([1.0, 2.0, 3.0, 4.0]), np.full(4, 0.25))
    array([0., 0., 2., 2.])
    """

    level: float

    def __post_init__(self) -> None:
        level = real("level", self.level)
        if not 0.0 < level <= 1.0:
            raise ProblemError(f"level must be in (0, 1], got {level!r}")
        object.__setattr__(self, "level", sized("level", level))

    @property
    def plain(self) -> bool:
        """Return whether the level is 1."""
        return self.level == 1.0

    def ratios(self, p: Array) -> Ratios:
        """Return ``u <= 1 / level``."""
        return Ratios(p, np.array([1.0 / self.level]), np.ones(1))

    def worst(self, losses: Array, p: Array) -> Array:
        """Give the largest losses the ratio ``1 / level`` until the mass is used up."""
        return _filled(losses, p, self.level) / self.level

    def cvxpy(self, losses: cp.Expression, p: Array) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return ``t + sum(p * pos(l - t)) / level``."""
        import cvxpy as cp

        t = cp.Variable(name="threshold")
        return t + cp.sum(cp.multiply(p, cp.pos(losses - t))) / self.level, []


@dataclass(frozen=True)
class TotalVariation(Ball):
    """The worst mean loss where a share `radius` of the probability may be anywhere.

    Parameters
    ----------
    radius : float
        In [0, 1]; 0 is the mean, 1 the largest loss.

    Examples
    --------
    >>> TotalVariation(0.25).worst(np.array([1.0, 2.0, 3.0, 4.0]), np.full(4, 0.25))
    array([0., 1., 1., 2.])
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.radius > 1.0:
            raise ProblemError(f"radius must be <= 1, got {self.radius!r}")

    def ratios(self, p: Array) -> Ratios:
        """Return ``u = a + b`` with ``a`` of mass `radius` and ``b <= 1`` of the rest."""
        if self.radius == 1.0:
            return Ratios(p, np.array([np.inf]), np.ones(1))
        return Ratios(p, np.array([np.inf, 1.0]), np.array([self.radius, 1.0 - self.radius]))

    def worst(self, losses: Array, p: Array) -> Array:
        """Move the mass `radius` from the smallest losses to the largest."""
        top = losses == losses.max()
        rest = _filled(losses, p, 1.0 - self.radius) if self.radius < 1.0 else 0.0
        ratios: Array = rest + np.where(top, self.radius / float(p[top].sum()), 0.0)
        return ratios

    def cvxpy(self, losses: cp.Expression, p: Array) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return ``radius max(l) + (1 - radius) t + sum(p * pos(l - t))``."""
        import cvxpy as cp

        t, top = cp.Variable(name="threshold"), self.radius * cp.max(losses)
        if self.radius == 1.0:
            return top, []
        return top + (1.0 - self.radius) * t + cp.sum(cp.multiply(p, cp.pos(losses - t))), []


@dataclass(frozen=True)
class ChiSquare(Ball):
    """The worst mean loss over a chi-square ball around the reference probabilities.

    Parameters
    ----------
    radius : float
        >= 0; of ``sum_i (q_i - p_i)^2 / p_i``. 0 is the mean.

    Examples
    --------
    >>> ChiSquare(1.0).worst(np.array([0.0, 0.0, 0.0, 1.0]), np.full(4, 0.25)).round(3)
    array([0.423, 0.423, 0.423, 2.732])
    """

    cones: ClassVar[frozenset[str]] = frozenset({"soc"})

    def ratios(self, p: Array) -> Ratios:
        """Return ``sum_i p_i (u_i - 1)^2 <= radius``."""
        ball = Divergence(
            self.radius,
            lambda u: np.square(u - 1.0),
            lambda u: 2.0 * (u - 1.0),
            lambda u: np.full_like(u, 2.0),
        )
        return Ratios(p, np.array([np.inf]), np.ones(1), None, ball)

    def worst(self, losses: Array, p: Array) -> Array:
        """Return ``(l - t)_+``, scaled, at the threshold where it is on the sphere."""
        if losses.max() == losses.min():
            return np.ones_like(losses)
        order = np.argsort(-losses)
        below, q = losses[order] - losses[order[0]], p[order]  # the k first lie above a threshold t
        mass, first, second = np.cumsum(q), np.cumsum(q * below), np.cumsum(q * below * below)
        # E (l - t)_+^2 = (1 + radius) (E (l - t)_+)^2: the variance above t over (mean - t)^2
        near = 1.0 - (1.0 + self.radius) * mass
        mean, spread = first / mass, np.maximum(second / mass - np.square(first / mass), 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = mean - np.sqrt(spread / -near)
        ends = np.append(below[1:], -np.inf)
        held = np.flatnonzero((near < 0.0) & (t >= ends))
        k = int(held[0]) if len(held) else len(below) - 1
        above = np.zeros_like(below)
        above[: k + 1] = np.maximum(below[: k + 1] - t[k], 0.0)
        if not above.any():  # all mass on the largest losses is allowed
            above[below == 0.0] = 1.0
        u: Array = np.empty_like(below)
        u[order] = above / float(q @ above)
        return u

    def cvxpy(self, losses: cp.Expression, p: Array) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return ``t + sqrt(1 + radius) norm(sqrt(p) * pos(l - t))``."""
        import cvxpy as cp

        t = cp.Variable(name="threshold")
        above = cp.norm(cp.multiply(np.sqrt(p), cp.pos(losses - t)), 2)
        return t + np.sqrt(1.0 + self.radius) * above, []


@dataclass(frozen=True)
class Entropic(Ball):
    """The worst mean loss over a ball of relative entropy around the reference probabilities.

    Parameters
    ----------
    radius : float
        >= 0, in nats: of ``sum_i q_i log(q_i / p_i)``. 0 is the mean.

    Examples
    --------
    >>> Entropic(0.1).worst(np.array([0.0, 0.0, 0.0, 1.0]), np.full(4, 0.25)).round(3)
    array([0.724, 0.724, 0.724, 1.827])
    """

    cones: ClassVar[frozenset[str]] = frozenset({"exp"})

    def ratios(self, p: Array) -> Ratios:
        """Return ``sum_i p_i (u_i log u_i - u_i + 1) <= radius``."""
        ball = Divergence(
            self.radius,
            entropies,
            lambda u: np.log(np.maximum(u, np.finfo(np.float64).tiny)),
            lambda u: 1.0 / np.maximum(u, np.finfo(np.float64).tiny),
        )
        return Ratios(p, np.array([np.inf]), np.ones(1), None, ball)

    def worst(self, losses: Array, p: Array) -> Array:
        """Return ``exp(l / t)``, scaled, at the temperature where it is on the sphere."""
        top = float(losses.max())
        below = (losses - top) / max(top - float(losses.min()), np.finfo(np.float64).tiny)

        def ratios(log_rate: float) -> Array:
            e = np.exp(np.exp(log_rate) * below)
            u: Array = e / float(p @ e)
            return u

        def excess(log_rate: float) -> float:
            return float(p @ entropies(ratios(log_rate))) - self.radius

        low, high = -COLD, COLD
        if excess(high) <= 0.0:
            return ratios(high)
        from scipy.optimize import brentq

        return ratios(float(brentq(excess, low, high, xtol=1e-13, rtol=1e-14)))

    def cvxpy(self, losses: cp.Expression, p: Array) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return ``t + radius rate``, where ``sum(p * rate * exp((l - t) / rate)) <= rate``."""
        import cvxpy as cp

        n = len(p)
        t, rate = cp.Variable(name="threshold"), cp.Variable(name="rate", nonneg=True)
        above, share = cp.Variable(n, name="above"), cp.Variable(n, name="share")
        cone = cp.ExpCone(above, cp.hstack([rate] * n), share)
        return t + self.radius * rate, [losses - t <= above, cone, p @ share <= rate]


@declaration
class WorstGroup(Risk):
    """The largest of the groups' mean losses.

    Parameters
    ----------
    groups : array of shape (n,)
        The group of each example: text or numbers.

    References
    ----------
    Sagawa, Koh, Hashimoto & Liang 2020, "Distributionally robust neural networks for group shifts".

    Examples
    --------
    >>> WorstGroup(["a", "a", "b", "b"]).worst(np.array([1.0, 2.0, 3.0, 1.0]), np.full(4, 0.25))
    array([0., 0., 2., 2.])
    """

    groups: Converted[ArrayLike, LabelArray]

    def __post_init__(self) -> None:
        groups = raw_labels("groups", self.groups)
        if groups.ndim != 1 or not len(groups):
            raise ProblemError(
                f"groups must have one entry per example, got an array of shape {groups.shape}"
            )
        groups = np.array(groups, copy=True)
        groups.setflags(write=False)
        object.__setattr__(self, "groups", groups)

    def __repr__(self) -> str:
        names = np.unique(self.groups)
        return f"WorstGroup(<{len(self.groups)} examples in {len(names)} groups>)"

    @property
    def names(self) -> list[Hashable]:
        """Return the groups, sorted."""
        named: list[Hashable] = np.unique(self.groups).tolist()
        return named

    @property
    def codes(self) -> IndexArray:
        """Return the place of each example's group among `names`."""
        codes: IndexArray = np.unique(self.groups, return_inverse=True)[1].reshape(-1)
        return codes

    @property
    def plain(self) -> bool:
        """Return whether there is one group."""
        return len(self.names) == 1

    def of(self, length: int, each: str, kept: BoolArray | None = None) -> WorstGroup:
        """Return the groups of the examples that are kept.

        Raises
        ------
        ProblemError
            If they are of another number, or a group has no example left.
        """
        known = len(self.groups)
        if kept is not None and known == int(kept.sum()):
            return self  # of the rows that are left, as a problem holds them
        total = length if kept is None else len(kept)
        if known != total:
            raise ProblemError(f"groups must have one entry per {each} ({total}), got {known}")
        if kept is None:
            return self
        left = WorstGroup(self.groups[kept])
        lost = sorted(set(self.names) - set(left.names), key=str)
        if lost:
            raise ProblemError(
                f"groups must have an example of positive weight each, got none in {shown(lost[0])}"
            )
        return left

    def part(self, rows: slice | BoolArray | IndexArray) -> WorstGroup:
        """Return the groups of some of the examples."""
        return WorstGroup(self.groups[rows])

    def ratios(self, p: Array) -> Ratios:
        """Return ratios that are constant in each group."""
        return Ratios(p, np.array([np.inf]), np.ones(1), self.codes)

    def worst(self, losses: Array, p: Array) -> Array:
        """Give the group of largest mean loss all the mass."""
        codes = self.codes
        mass = sums(codes, p)
        means = sums(codes, p * losses) / mass
        worst = int(np.argmax(means))
        return np.where(codes == worst, 1.0 / mass[worst], 0.0)

    def cvxpy(self, losses: cp.Expression, p: Array) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return the largest of the groups' weighted means."""
        import cvxpy as cp

        codes = self.codes
        shares = np.zeros((int(codes.max()) + 1, len(p)))
        shares[codes, np.arange(len(p))] = p
        return cp.max(shares / shares.sum(axis=1, keepdims=True) @ losses), []


RISKS: dict[str, type[Risk]] = {
    kind.__name__: kind for kind in (Cvar, Entropic, ChiSquare, TotalVariation, WorstGroup)
}


TYPED: dict[str, Callable[[float], Risk]] = {
    "cvar": Cvar,
    "entropic": Entropic,
    "chi-square": ChiSquare,
    "total-variation": TotalVariation,
}


def checked_risk(
    risk: str | Risk, length: int, each: str, kept: BoolArray | None = None
) -> str | Risk:
    """Return a risk of so many examples, or "mean".

    Raises
    ------
    ProblemError
        If it is neither, or not of these examples.

    Examples
    --------
    >>> checked_risk(Cvar(0.1), 20, "row of X")
    Cvar(level=0.1)
    """
    if isinstance(risk, str) and risk == MEAN:
        return MEAN
    instance_of("risk", risk, Risk, f'"mean" or one of cx.{", cx.".join(RISKS)}')
    assert isinstance(risk, Risk)
    return risk.of(length, each, kept)


def risk_of(text: str) -> str | Risk:
    """Return the risk that a word and a number name, as people type them: "cvar:0.1".

    Raises
    ------
    ProblemError
        If the word or the number is none.

    Examples
    --------
    >>> risk_of("cvar:0.1"), risk_of("mean")
    (Cvar(level=0.1), 'mean')
    """
    if text == MEAN:
        return MEAN
    word, _, number = text.partition(":")
    if word not in TYPED:
        raise ProblemError(
            f"risk must be mean, or one of {', '.join(TYPED)} with a number as in cvar:0.1, "
            f"got {text!r}"
        )
    try:
        size = float(number)
    except ValueError:
        raise ProblemError(f"risk must have a number, as in {word}:0.1, got {text!r}") from None
    return TYPED[word](size)


def only_mean(risk: object, kind: str, reason: str) -> str:
    """Return "mean".

    Raises
    ------
    ProblemError
        If it is anything else: the message says why such a problem takes no other risk.

    Examples
    --------
    >>> only_mean("mean", "robust training", "")
    'mean'
    """
    if isinstance(risk, str) and risk == MEAN:
        return MEAN
    raise ProblemError(f'risk must be "mean" for {kind}, got {shown(risk)}: {reason}')


def _filled(losses: Array, p: Array, mass: float) -> Array:
    """Return the share, in [0, 1], of each example in the largest losses of a total mass."""
    order = np.argsort(-losses, kind="stable")
    before = np.cumsum(p[order]) - p[order]
    shares = np.empty_like(p)
    shares[order] = np.clip((mass - before) / p[order], 0.0, 1.0)
    return shares

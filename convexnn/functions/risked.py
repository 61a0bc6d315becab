"""The total of examples' losses under a risk, seen by engines as a loss that is not additive.

``R(z) = n sup_u sum_i p_i u_i l(z_i; y_i)`` over a set of ratios u (`risks.py`), with ``n p_i`` the
examples' weights. Any ratios of the set give a loss that is additive, a weighted one, and nowhere
above R. Its conjugate is the least over the set of the weighted losses', its prox that of the
weighted loss at the saddle point: both are a minimum over the ratios alone (`worst_ratios.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from convexnn.functions.losses import Loss
from convexnn.functions.ratios import Ratios
from convexnn.functions.risks import Risk
from convexnn.functions.weighted import Weighted, weigh
from convexnn.functions.worst_ratios import Search, least_ratios

if TYPE_CHECKING:
    import cvxpy as cp

    from convexnn.contract.arrays import Array, IndexArray
    from convexnn.functions.worst_ratios import Oracle

INSIDE = 1.0 - 1e-12  # share of ratios at which rounding leaves them below some of the set
THIN = 1.0 - 1e-9  # share of a dual point at which there is room above its least ratios
HALVINGS = 60
NOISE = 1e-8  # share of the largest slope below which one is taken for none
MIXED = 1e-9  # share of ones in ratios, so that no example's weight is zero
LEAST = 1e-150  # ratio below which an example counts as out of use


@dataclass(frozen=True, eq=False)
class Risked(Loss):
    """The risk of examples' losses, of all at once: arrays have an entry, or a row, for each.

    Parameters
    ----------
    each : Loss
        l, the loss of an example of weight 1; nowhere negative.
    risk : Risk
        Not the mean.
    counts : array of shape (n,)
        The weights, positive.

    Examples
    --------
    >>> from convexnn.functions.losses import Absolute
    >>> from convexnn.functions.risks import Cvar
    >>> Risked(Absolute(), Cvar(0.5), np.ones(4)).value(np.arange(4.0), np.zeros(4))
    array([0., 0., 4., 6.])
    """

    each: Loss
    risk: Risk
    counts: Array

    additive: ClassVar[bool] = False
    dual_curvature: ClassVar[Array | float | None] = None
    curvature: ClassVar[float] = np.inf

    def __post_init__(self) -> None:
        each = self.each
        cones = (each.cones - {"qp"}) | ({"soc"} if "qp" in each.cones else set()) | self.risk.cones
        told = {
            "name": each.name,
            "classification": each.classification,
            "separable": each.separable,
            "residual": each.residual,
            "cones": frozenset(cones),
        }
        for name, value in told.items():
            object.__setattr__(self, name, value)

    @property
    def plain(self) -> Loss:
        """Return the loss of an example of weight 1."""
        return self.each

    @property
    def weights(self) -> Array:
        """Return the weights of the examples."""
        return self.counts

    def part(self, rows: slice | IndexArray) -> Risked:
        """Return the risk of some of the examples."""
        return Risked(self.each, self.risk.part(rows), self.counts[rows])

    @cached_property
    def total(self) -> float:
        """The weights' sum, n."""
        return float(self.counts.sum())

    @cached_property
    def ratios(self) -> Ratios:
        """The set of the risk at the examples' shares."""
        return self.risk.ratios(self.counts / self.total)

    def _losses(self, z: Array, y: Array) -> Array:
        """Return each example's loss, summed over its outputs."""
        return self._summed(self.each.value(z, y))

    def _summed(self, values: Array) -> Array:
        return values if values.ndim == 1 else values.sum(axis=1)

    def worst(self, z: Array, y: Array) -> Array:
        """Return ratios that are worst for predictions."""
        losses = self._losses(z, y)
        if not np.isfinite(losses).all():
            return np.ones_like(losses)
        return self.risk.worst(losses, self.ratios.p)

    def at(self, ratios: Array) -> Weighted:
        """Return the loss whose examples count by their weights times these ratios."""
        return Weighted(self.each, self.counts * ratios)

    def value(self, z: Array, y: Array) -> Array:
        """Return the shares of the risk that the examples have, their losses being worst."""
        return self.counts * self.worst(z, y) * self._losses(z, y)

    def gradient(self, z: Array, y: Array) -> Array:
        """Return the gradient at the worst ratios."""
        return _rows(self.counts * self.worst(z, y), z) * self.each.gradient(z, y)

    def hessian(self, z: Array, y: Array) -> Array:
        """Return the second derivative at the worst ratios."""
        return _rows(self.counts * self.worst(z, y), z) * self.each.hessian(z, y)

    def grounded(self, s: Array, y: Array) -> Weighted:
        """Return the weighted loss whose conjugate at s, or a share of it, is the least."""
        ratios = self.ratios.nearest(self._least(s, y))
        return self.at(INSIDE * ((1.0 - MIXED) * ratios + MIXED))

    def _least(self, s: Array, y: Array) -> Array:
        """Return ratios at which the conjugate of the weighted loss is least, or nearly."""
        s = np.where(np.abs(s) > NOISE * np.max(np.abs(s), initial=0.0), s, 0.0)
        floor = self._floor(s, y)
        share = self._share(floor)
        known = self.each.dual_curvature
        if known is not None and not np.any(known):  # the conjugate is linear: any ratios serve
            return self.ratios.least(share * floor)
        share *= THIN
        return least_ratios(self.ratios, self._conjugates(share * s, y), share * floor)

    def _floor(self, s: Array, y: Array) -> Array:
        """Return the least ratios of which s is in the domain, entries aside that none has."""
        low, high = (np.broadcast_to(side, s.shape) for side in self.each.domain(y))
        side = np.abs(np.where(s > 0.0, high, low))
        floor = np.abs(s) / np.where(side > 0.0, side, np.inf)
        floor = floor if floor.ndim == 1 else floor.max(axis=1)
        least: Array = floor / self.counts
        return least

    def _share(self, floor: Array) -> float:
        """Return the largest share of a dual point that some ratios have in their domain."""
        if not np.isfinite(floor).all():
            return 0.0

        def allowed(share: float) -> bool:
            u = self.ratios.least(share * floor)
            return float(self.ratios.p @ u) <= 1.0 + 1e-12 and self.ratios.allows(u)

        if allowed(1.0):
            return 1.0
        low, high = 0.0, 1.0
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if allowed(middle) else (low, middle)
        return low

    def _conjugates(self, s: Array, y: Array) -> Oracle:
        """Return the slope and bend of the weighted conjugate over each example's ratio."""

        def oracle(u: Array) -> tuple[Array, Array]:
            sigma = s / _rows(self.counts * u, s)
            z = self.each.touching(sigma, y)
            bend = self._summed(self.each.bending(sigma, z, y))
            return -self._losses(z, y), bend / u

        return oracle

    def conjugate(self, s: Array, y: Array) -> Array:
        """Return the least conjugate found of the weighted losses: the sum is never too small."""
        return self.grounded(s, y).conjugate(s, y)

    def clip(self, s: Array, y: Array) -> Array:
        """Return a point near s in the domain."""
        return self.grounded(s, y).clip(s, y)

    def domain(self, y: Array) -> tuple[Array | float, Array | float]:
        """Return bounds of the domain: of the largest ratio that each example may have."""
        low, high = self.each.domain(y)
        most = _rows(np.minimum(self.total, self.counts * self.ratios.caps.sum()), y)
        return most * low, most * high

    def prox(self, v: Array, y: Array, step: float) -> Array:
        """Return the prox of the weighted loss at the saddle point's ratios."""
        return self.proximal()(v, y, step)

    def proximal(self) -> Proximal:
        """Return the prox for calls in a row."""
        return Proximal(self)

    def cvxpy(self, z: cp.Expression, y: Array) -> cp.Expression:
        """Raise: the risk takes constraints, too; see `program`.

        Raises
        ------
        NotImplementedError
            Always.
        """
        raise NotImplementedError("a risk is a program: ask for program")

    def program(self, z: cp.Expression, y: Array) -> tuple[cp.Expression, list[cp.Constraint]]:
        """Return n times the risk of the examples' losses, and its constraints."""
        import cvxpy as cp

        losses = self.each.each_cvxpy(z, y)
        losses = cp.sum(losses, axis=1) if losses.ndim > 1 else losses
        value, constraints = self.risk.cvxpy(losses, self.ratios.p)
        return self.total * value, constraints


class Softened:
    """A risked loss without the kinks of its risk, for local search.

    ``n max_u sum_i p_i (u_i l_i - width/2 (u_i - 1)^2)``; where the set is a divergence's the risk
    has hardly any kinks, and is left.

    Parameters
    ----------
    loss : Risked
    each : object
        In the place of an example's loss: what has a `value` and a `gradient`.
    width : float
        In units of the losses.
    """

    def __init__(self, loss: Risked, each: Any, width: float) -> None:
        self.loss, self.each, self.width = loss, each, width

    def _weighed(self, z: Array, y: Array) -> tuple[Array, Array]:
        """Return the examples' counts at the ratios that are chosen, and what those cost."""
        loss = self.loss
        losses = loss._summed(self.each.value(z, y))
        if loss.ratios.divergence is not None or not np.isfinite(losses).all():
            u = loss.risk.worst(losses, loss.ratios.p)
            return loss.counts * u, loss.counts * u * losses
        u = loss.ratios.soft(losses, self.width)
        worth = u * losses - 0.5 * self.width * np.square(u - 1.0)
        return loss.counts * u, loss.counts * worth

    def value(self, z: Array, y: Array) -> Array:
        """Return the examples' shares."""
        return self._weighed(z, y)[1]

    def gradient(self, z: Array, y: Array) -> Array:
        """Return the gradient."""
        slopes: Array = _rows(self._weighed(z, y)[0], z) * self.each.gradient(z, y)
        return slopes


class Proximal:
    """The prox of a risked loss, for calls in a row.

    Parameters
    ----------
    loss : Risked
    """

    def __init__(self, loss: Risked) -> None:
        self.loss, self.search = loss, Search(loss.ratios)

    def __call__(self, v: Array, y: Array, step: float) -> Array:
        """Return the prox."""
        loss, each = self.loss, self.loss.each
        counts = step * loss.counts

        def oracle(u: Array) -> tuple[Array, Array]:
            steps = _rows(counts * u, v)
            z = each.prox_each(v, y, steps)
            return -loss._losses(z, y), counts * loss._summed(each.softening(z, y, steps))

        u = np.maximum(self.search.least(oracle), LEAST)
        z: Array = each.prox_each(v, y, _rows(counts * u, v))
        return z


def _rows(each: Array, array: Array) -> Array:
    """Return numbers of examples in a shape that multiplies an entry or a row for each."""
    return each.reshape(-1, *(1,) * (array.ndim - 1))


def risked(loss: Loss, weights: Array | None, risk: str | Risk, count: int) -> Loss:
    """Return the loss of so many examples with these weights under a risk, or the mean.

    Examples
    --------
    >>> from convexnn.functions.losses import Hinge
    >>> risked(Hinge(), None, "mean", 3)
    Hinge()
    """
    if not isinstance(risk, Risk) or risk.plain:
        return weigh(loss, weights)
    return Risked(loss, risk, np.ones(count) if weights is None else weights)

"""Balls of distributions as programs of the interior point: a layout for each row of their table.

A further row that the engine is to take is a class here and a line of `LAYOUTS`.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.solvers.wasserstein.interior import PiecewiseInterior
from convexnn.solvers.wasserstein.norm_layouts import NORMS, Cones, Rows, bound_square
from convexnn.solvers.wasserstein.program import Entries, Samples, nothing
from convexnn.wasserstein.distribution_ball import DistributionBall
from convexnn.wasserstein.forms import Slopes, WassersteinForm
from convexnn.wasserstein.order_inf import ShiftedMargins, StretchedResiduals
from convexnn.wasserstein.order_one import Empirical, HingeFlips, LogisticFlips, Regularised
from convexnn.wasserstein.order_two import LiftedHinge, RootSquares

NONE = np.zeros(0)


class BallLayout:
    """Radius 0: the samples' losses of ``z = Z w``, and no multiplier.

    Parameters
    ----------
    form : WassersteinForm
    Z : array of shape (n, k)
        The data, with a column of ones for an intercept.

    Attributes
    ----------
    names : tuple of str
        Variables beyond ``(b, c)``.
    warm : bool
        Whether a warm start gains anything.
    """

    names: tuple[str, ...] = ()
    warm: ClassVar[bool] = True

    def __init__(self, form: WassersteinForm, Z: Array) -> None:
        self.form, self.Z = form, Z
        self.norm = NORMS[type(form.norm)]

    def size(self) -> int:
        """Return how many variables there are."""
        d, k = self.form.X.shape[1], self.Z.shape[1]
        return int(k + len(self.names) + (self.norm.more(d) if self.names else 0))

    def index(self, name: str) -> int:
        """Return the place of a variable, -1 if there is none of that name."""
        return self.Z.shape[1] + self.names.index(name) if name in self.names else -1

    def far(self) -> float:
        """Return where the multiplier begins."""
        return self.norm.far(self.form.X.shape, self.form.ball.radius)

    def bound(self, rows: Rows, cones: Cones, cost: Array, start: Array) -> None:
        """Append what bounds the length, strict at the start, and its cost."""

    def entries(self) -> Entries | None:
        """Return how the norm's rows bound the entries of b one by one, None if they do not."""
        return None

    def samples(self, cost: Array) -> Samples:
        """Return how the losses see the variables; add what they have of linear to the cost."""
        loss, y, lam = self.form.ball.loss, self.form.y, self.index("lam")
        if loss.classification:
            return self.margins(lam, 0.0)
        low, high = (float(side) for side in loss.domain(y))
        quad = 0.0 if np.isinf(loss.curvature) else 1.0
        cost[: self.Z.shape[1]] += low * (self.form.ball.counted(np.ones(len(y))) @ self.Z) / len(y)
        ones, c1 = np.ones(len(y)), -y - quad * low
        return Samples(
            self.Z, lam, ones, 0.0, c1, NONE, 0.0, NONE, False, False, high - low, quad
        )  # fmt: skip

    def margins(self, lam: int, fall: float) -> Samples:
        """Return the margins, which fall by so much for a unit of a variable."""
        y = self.form.y
        smooth = bool(np.isfinite(self.form.ball.loss.curvature))
        c1 = np.zeros(len(y)) if smooth else np.ones(len(y))
        return Samples(self.Z, lam, -y, fall, c1, NONE, 0.0, NONE, smooth, False, 1.0, 0.0)

    def slopes(self, core: PiecewiseInterior) -> Slopes:
        """Return the dual point of an iterate."""
        y, loss = self.form.y, self.form.ball.loss
        zero = np.zeros(len(y))
        if loss.classification:
            return Slopes(-y * core.x.p, zero)
        return Slopes(loss.domain(y)[0] + core.x.p, zero)

    def multipliers(self, slopes: Slopes) -> tuple[Array, Array]:
        """Return the samples' multipliers that a dual point stands for."""
        loss = self.form.ball.loss
        if loss.classification:
            return np.abs(slopes.own), slopes.other
        low, high = loss.domain(self.form.y)
        return np.clip(slopes.own, low, high) - low, slopes.other


class Priced(BallLayout):
    """A multiplier no less than the length, at a price."""

    names: tuple[str, ...] = ("lam",)

    def bound(self, rows: Rows, cones: Cones, cost: Array, start: Array) -> None:
        """Append ``||b|| <= lam`` and ``lam >= floor``."""
        lam, ball = self.index("lam"), self.form.ball
        cost[lam] = ball.price
        start[lam] = max(self.far(), 2.0 * ball.floor)
        self.norm.bound(self.form.X.shape[1], lam, rows, cones, start)
        if ball.floor > 0.0:
            rows.add([[lam]], -1.0, -ball.floor)

    def entries(self) -> Entries | None:
        """Return the norm's, within the multiplier."""
        return self.norm.entries(self.form.X.shape[1], self.index("lam"))


class Flipping(Priced):
    """Labels that flip: a second line a sample, which the multiplier lowers."""

    def samples(self, cost: Array) -> Samples:
        """Return the margins, and the gains of flips."""
        ball, own = self.form.ball, self.margins(self.index("lam"), 0.0)
        assert isinstance(ball, LogisticFlips | HingeFlips)
        return own._replace(a2=self.form.y, b2=-ball.cost, c2=own.c1, pair=True)

    def slopes(self, core: PiecewiseInterior) -> Slopes:
        """Return the dual point of an iterate."""
        return Slopes(-self.form.y * core.x.p, core.x.q)


class Shifted(Priced):
    """Margins that fall by ``eps lam``."""

    warm: ClassVar[bool] = False

    def samples(self, cost: Array) -> Samples:
        """Return the lower margins."""
        return self.margins(self.index("lam"), self.form.ball.radius)


class Stretched(Priced):
    """Residuals that grow by ``eps lam``: two lines a sample, whose maximum is squared."""

    warm: ClassVar[bool] = False

    def samples(self, cost: Array) -> Samples:
        """Return the longer residuals of either sign."""
        y, radius, lam = self.form.y, self.form.ball.radius, self.index("lam")
        ones = np.ones(len(y))
        return Samples(
            self.Z, lam, ones, radius, -y, -ones, radius, y, False, True, np.inf, 0.5
        )  # fmt: skip

    def slopes(self, core: PiecewiseInterior) -> Slopes:
        """Return the dual point of an iterate."""
        return Slopes(core.x.p - core.x.q, core.x.p + core.x.q)


class Lifted(BallLayout):
    """Margins that fall by ``eps v`` with ``||b||^2 <= 4 lam v``."""

    warm: ClassVar[bool] = False

    def __init__(self, form: WassersteinForm, Z: Array) -> None:
        super().__init__(form, Z)
        # a norm with no cone of its own needs a variable for the length
        self.names = ("lam", "v") if self.norm.euclidean else ("lam", "v", "t")

    def bound(self, rows: Rows, cones: Cones, cost: Array, start: Array) -> None:
        """Append ``||b||^2 <= 4 lam v``."""
        d, lam, v, t = self.form.X.shape[1], *map(self.index, ("lam", "v", "t"))
        cost[lam] = self.form.ball.radius
        start[lam] = start[v] = self.far()
        bound_square(list(range(d)) if self.norm.euclidean else [t], lam, v, cones, len(start))
        if not self.norm.euclidean:
            start[t] = 0.5 * start[lam]
            self.norm.bound(d, t, rows, cones, start)

    def entries(self) -> Entries | None:
        """Return the norm's, within the length."""
        return self.norm.entries(self.form.X.shape[1], self.index("t"))

    def samples(self, cost: Array) -> Samples:
        """Return the lower margins."""
        return self.margins(self.index("v"), self.form.ball.radius)


class Rooted(Priced):
    """Squared residuals of order 2: a cone of n + 2 entries.

    Where there are fewer columns, a QR factorisation makes it one of d + 2.
    """

    names = ("lam", "root")
    warm: ClassVar[bool] = False

    def __init__(self, form: WassersteinForm, Z: Array) -> None:
        super().__init__(form, Z)
        self.scale = np.sqrt(form.ball.counted(np.ones(len(Z))))
        self.R, self.inside = self.scale[:, None] * Z, self.scale * form.y
        self.left, self.rest = 0.0, np.zeros(len(Z))
        self.basis: Array | None = None
        if len(Z) <= Z.shape[1]:
            return
        self.basis, self.R = np.linalg.qr(self.R)
        y, self.inside = self.inside, self.basis.T @ self.inside
        rest = y - self.basis @ self.inside
        rest -= self.basis @ (self.basis.T @ rest)
        self.left = float(np.linalg.norm(rest))  # which no model reaches
        self.rest = rest / self.left if self.left > 0.0 else rest

    def bound(self, rows: Rows, cones: Cones, cost: Array, start: Array) -> None:
        """Append ``root >= ||Z w - y|| / sqrt(n)``, and the cone of the norm."""
        root, (n, k) = self.index("root"), self.Z.shape
        M = np.zeros((len(self.R) + 2, len(start)))
        M[0, root] = 1.0
        M[1:-1, :k] = self.R / np.sqrt(n)
        offset = np.concatenate([[0.0], -self.inside, [-self.left]]) / np.sqrt(n)
        cones.append((M, offset))
        cost[root] = 1.0
        start[root] = 2.0 * float(np.linalg.norm(offset)) + 1e-8
        super().bound(rows, cones, cost, start)
        cost[self.index("lam")] = self.form.ball.radius

    def samples(self, cost: Array) -> Samples:
        """Return no samples at all."""
        return nothing(self.Z.shape[1])

    def slopes(self, core: PiecewiseInterior) -> Slopes:
        """Return the dual point of an iterate."""
        tail = core.duals[0].tail[0] / core.duals[0].head[0]
        fit = tail[:-1] if self.basis is None else self.basis @ tail[:-1]
        own = -np.sqrt(len(self.Z)) * (fit + self.rest * tail[-1])
        return Slopes(own / self.scale, np.zeros(len(self.Z)))


LAYOUTS: dict[type[DistributionBall], type[BallLayout]] = {
    Empirical: BallLayout,
    Regularised: Priced,
    LogisticFlips: Flipping,
    HingeFlips: Flipping,
    LiftedHinge: Lifted,
    RootSquares: Rooted,
    ShiftedMargins: Shifted,
    StretchedResiduals: Stretched,
}

"""The newsvendor against every distribution of demand near the one that was seen."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from convexnn.contract.arrays import Array, frozen
from convexnn.contract.brief import brief
from convexnn.contract.checks import (
    ProblemError,
    in_range,
    non_negative,
    pair,
    positive,
    real_array,
    sized,
)
from convexnn.contract.fields import Converted, declaration
from convexnn.contract.grading import Bound, Grade, Halves
from convexnn.contract.program import CvxpyProgram
from convexnn.contract.system.memory import Size
from convexnn.wasserstein.newsvendor import DemandForm, Order, Shift
from convexnn.wasserstein.worst_case import Atoms, WorstCase

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


GRADING = 100.0  # bytes a demand takes when it is sorted and graded and its model built, measured


@brief
@dataclass(frozen=True, eq=False)
class Purchase:
    """What a newsvendor orders.

    Attributes
    ----------
    order : float
    value : float
        Its largest expected cost over the ball; negative where a profit is sure.
    worst_case : WorstCase
        A distribution that attains it, the worst for every order at once: `atoms` are demands,
        `weights` and `gradient` are of the demands seen.
    """

    order: float
    value: float
    worst_case: WorstCase


@declaration
class Newsvendor(Halves[Purchase]):
    """Minimise ``sup_Q E_Q[cost x - price min(x, xi)]`` over orders ``x >= 0``.

    Q ranges over the distributions of demand on the support ``[a, b]`` within a type-1
    Wasserstein distance `radius` of the demands seen. With ``x = a + lam t`` the supremum's dual
    makes this

        (cost - price) a + min_{t >= 0, 0 <= lam <= 1}  lam [(cost - price) t + price radius
                                                   + price mean_i (t - (xi_i - a))_+]

    so that the best order is the (1 - cost / price) quantile of the demands seen, or the lower
    end of the support where the radius eats that order's profit. The upper end changes nothing:
    the worst demand is never a larger one.

    Parameters
    ----------
    demand : array of shape (n,)
        Demands seen, all within the support.
    cost : float
        Of ordering one unit, > 0.
    price : float
        Of selling one, above the cost.
    radius : float
        In units of demand, >= 0; 0 trusts the demands seen.
    support : pair of float, default (0, inf)
        The least and the largest possible demand, ``0 <= a < b``.

    Raises
    ------
    ProblemError
        If a field breaks its rule.

    References
    ----------
    Mohajerin Esfahani & Kuhn 2018, "Data-driven distributionally robust optimization using the
    Wasserstein metric", Corollary 5.1, is the linear program for CVXPY's solvers.

    Examples
    --------
    >>> import convexnn as cx
    >>> problem = cx.Newsvendor([20, 30, 40, 50, 60], cost=1, price=4, radius=2)
    >>> model = cx.solve(problem).model
    >>> model.order, round(model.value, 6)
    (50.0, -94.0)
    """

    FORMS: ClassVar[dict[type, str]] = {DemandForm: "_form"}
    demand: Converted[ArrayLike, Array]
    _: KW_ONLY
    cost: float
    price: float
    radius: float
    support: tuple[float, float] = (0.0, np.inf)

    def __post_init__(self) -> None:
        self._set("demand", in_range("demand", real_array("demand", self.demand, 1)))
        self._set("cost", positive("cost", self.cost))
        self._set("price", positive("price", self.price))
        if not self.price > self.cost:
            raise ProblemError(f"price must be above the cost {self.cost:g}, got {self.price:g}")
        self._set("radius", non_negative("radius", self.radius))
        low, high = _ends(self.support)
        self._set("support", (low, high))
        outside = np.flatnonzero((self.demand < low) | (self.demand > high))
        if len(outside):
            where = int(outside[0])
            raise ProblemError(
                f"demand must lie in the support [{low:g}, {high:g}], "
                f"got {self.demand[where]:g} at index {where}"
            )

    @cached_property
    def _form(self) -> DemandForm:
        order = np.argsort(self.demand, kind="stable")
        ascending = self.demand[order]
        frozen(ascending)
        low, high = self.support
        return DemandForm(ascending, order, self.cost, self.price, self.radius, low, high)

    def size(self, form: type) -> Size:
        """Return the shapes of either form: the linear program has 6 to 8 entries a demand."""
        n = len(self.demand)
        return Size(form, n, 2, 1, form is CvxpyProgram, False, GRADING * n)

    def needs(self) -> frozenset[str]:
        """Return nothing: it is a linear program."""
        return frozenset()

    def to_cvxpy(self) -> CvxpyProgram:
        """Return the linear program of Esfahani and Kuhn, with variables x, lam, s, down and up.

        ``s_i`` is the worst of the two pieces of the cost, ``(cost - price) x`` and ``cost x -
        price xi``, less ``lam`` times the distance moved; `down` and `up` are the multipliers
        of the ends of the support.
        """
        import cvxpy as cp

        xi, (low, high) = self.demand, self.support
        n = len(xi)
        x, lam = cp.Variable(nonneg=True, name="x"), cp.Variable(nonneg=True, name="lam")
        s, down = cp.Variable(n, name="s"), cp.Variable(n, nonneg=True, name="down")
        variables = {"x": x, "lam": lam, "s": s, "down": down}
        moved = self.cost * x - self.price * xi + cp.multiply(xi - low, down)
        slope = self.price - down
        if np.isfinite(high):
            up = variables["up"] = cp.Variable(n, nonneg=True, name="up")
            moved = moved + cp.multiply(high - xi, up)
            slope = slope + up
        reach = slope <= lam
        constraints = [s >= (self.cost - self.price) * x, s >= moved, reach, -slope <= lam]
        problem = cp.Problem(cp.Minimize(lam * self.radius + cp.sum(s) / n), constraints)

        def points() -> tuple[Order, Shift]:
            carried = np.zeros(n) if reach.dual_value is None else n * np.asarray(reach.dual_value)
            excess = xi - low  # mass carried over part of the way is worth as much split in two
            share = np.divide(carried, excess, out=np.zeros(n), where=excess > 0.0)
            return Order(np.asarray(max(float(x.value), 0.0))), Shift(share)

        return CvxpyProgram(problem, variables, points, self.needs(), True)

    def initial(self) -> tuple[Order, Shift]:
        """Return the order of the lower end, which every demand covers, and the demands seen."""
        return Order(np.asarray(self.support[0])), Shift(np.zeros(len(self.demand)))

    def grade(self, primal: Order) -> Grade:
        """Return the largest expected cost of the order over the ball, exactly."""
        quantity = float(primal.quantity)
        return Grade(self._form.worst(quantity) if quantity >= 0.0 else np.inf)

    def bound(self, primal: Order, dual: Shift, grade: Grade) -> Bound:
        """Return the least cost that any order has under a distribution within the ball."""
        return Bound(self._form.least(dual)[1], "all orders")

    def build_model(self, primal: Order, objective: float | None = None) -> Purchase:
        """Return the order with its worst distribution of demand."""
        quantity = float(primal.quantity)
        value = self.objective(primal) if objective is None else objective
        return Purchase(quantity, value, self._worst_case(quantity, value))

    def _worst_case(self, quantity: float, value: float) -> WorstCase:
        low = self.support[0]
        n, share = len(self.demand), self._form.shift().share
        stays, goes = np.flatnonzero(share < 1.0), np.flatnonzero(share > 0.0)
        source = np.concatenate([stays, goes])
        location = np.concatenate([self.demand[stays], np.full(len(goes), low)])
        mass = np.concatenate([1.0 - share[stays], share[goes]]) / n
        atoms = Atoms(source, location, mass, self.demand[source] - location)
        multiplier = self._form.multiplier(quantity)
        slope = np.where((self.demand <= quantity) & (quantity > low), -self.price, 0.0)
        gradient = (1.0 - share) * slope - share * multiplier
        weights = np.divide(
            gradient, slope, out=np.where(gradient != 0.0, np.inf, 1.0), where=slope != 0.0
        )
        return WorstCase(value, atoms, weights, gradient / n, multiplier)


def _ends(support: Any) -> tuple[float, float]:
    low, high = (sized("support", end) for end in pair("support", support))
    if not (0.0 <= low < high and np.isfinite(low)):
        raise ProblemError(f"support must be (a, b) with 0 <= a < b, got ({low:g}, {high:g})")
    return low, high

"""The geometric median of agents that talk to their neighbours in a graph only."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from convexnn.contract.arrays import Array, frozen
from convexnn.contract.brief import brief
from convexnn.contract.checks import ProblemError, real_array
from convexnn.contract.fields import Converted, declaration, default
from convexnn.contract.grading import Bound, Grade, Halves
from convexnn.contract.program import CvxpyProgram
from convexnn.median.consensus import BLUNT, Agents, ConsensusForm, Prices, lengths
from convexnn.median.graphs import as_edges
from convexnn.median.remote import Middle, Tail, lengths_from, middle_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convexnn.median.graphs import Edges, Graph

NARROW = 1e-3  # of the mean distance: a median distance below it is no unit of length


@brief
@dataclass(frozen=True, eq=False)
class LocalMedians:
    """What the agents hold when they stop.

    Attributes
    ----------
    point : array of shape (d,)
        Of the agent whose point is nearest to the mean of all; the certificate's objective is
        the sum of distances to this point.
    local_points : array of shape (n, d)
        Of every agent.
    rounds, messages : int
        Exchanges between neighbours, and messages over single edges, those of sums over all
        agents included (two over every edge of a spanning tree). Grading counts for nothing.
    """

    point: Array
    local_points: Array
    rounds: int
    messages: int


@declaration
class DistributedMedian(Halves[LocalMedians]):
    """Minimise ``sum_i w_i ||x_i - b_i||`` subject to ``x_i = x_j`` over the edges of a graph.

    Agent i knows ``b_i``, ``w_i``, its neighbours, the spread of the data and the ends of the
    graph's spectrum, which scale its steps. The dual is ``max sum_i <nu_i, b_i>`` over prices
    with ``sum_i nu_i = 0`` and ``||nu_i|| <= w_i``; any prices become feasible ones. The
    violation is the largest distance of an agent's point from `LocalMedians.point`, in units of
    the median distance of the data from their weighted mean. Where points are remote, see
    `GeometricMedian`, it is from the middle of all, and the gap less what all pay for them.

    Parameters
    ----------
    points : array of shape (n, d)
        ``b_i``, one agent a row.
    graph : networkx.Graph or int array of shape (m, 2)
        Connected, without self-loops or duplicate edges. Nodes of a networkx graph, whatever
        their labels, stand for the rows in the order of their insertion; kept as an array. Its
        edges have no weights, or 1: neighbours agree whatever an edge weighs.
    weights : array of shape (n,), optional
        >= 0, not all 0; ones if left out. An agent of weight 0 only passes on what it hears.

    Raises
    ------
    ProblemError
        If a field breaks its rule.

    References
    ----------
    Wei, Yu, Ling & Neely 2018, "Solving non-smooth constrained programs with lower complexity
    than O(1/eps): a primal-dual homotopy smoothing approach".

    Examples
    --------
    >>> import convexnn as cx
    >>> ring = [[0, 1], [1, 2], [2, 3], [3, 0]]
    >>> problem = cx.DistributedMedian([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]], ring)
    >>> cx.solve(problem).model.point.round(5)
    array([1., 1.])
    """

    FORMS: ClassVar[dict[type, str]] = {ConsensusForm: "_form"}
    points: Converted[ArrayLike, Array]
    graph: Converted[Graph, Edges]
    _: KW_ONLY
    weights: Converted[ArrayLike | None, Array | None] = default(None)
    strict: ClassVar[bool] = True

    def __post_init__(self) -> None:
        points = real_array("points", self.points, 2)
        self._set("points", points)
        n = len(points)
        self._set("graph", as_edges("graph", self.graph, n))
        with np.errstate(over="ignore", invalid="ignore"):
            if not np.isfinite(lengths(points - points.mean(axis=0)).sum()):
                raise ProblemError(
                    f"points must have finite distances, got {np.abs(points).max()} among them"
                )
        if self.weights is None:
            return
        weights = real_array("weights", self.weights, 1)
        if len(weights) != n:
            raise ProblemError(
                f"weights must have one entry per row of points ({n}), got {len(weights)}"
            )
        negative = np.flatnonzero(weights < 0.0)
        if len(negative):
            i = int(negative[0])
            raise ProblemError(f"weights must be >= 0, got {weights[i]:g} at index {i}")
        with np.errstate(over="ignore"):
            if not 0.0 < weights.sum() < np.inf:
                raise ProblemError(f"weights must have a sum > 0 and finite, got {weights.sum()}")
        self._set("weights", weights)

    @cached_property
    def _middle(self) -> Middle | None:
        """Return where most of the weight is if points are remote, None if none is."""
        w = np.ones(len(self.points)) if self.weights is None else self.weights
        points = self.points[w > 0.0]
        found = middle_of(points, w[w > 0.0], float(points.min()), float(points.max()))
        if found.remote is None:
            return None
        with np.errstate(over="ignore"):
            return found.of(lengths_from(found.point, self.points))

    @cached_property
    def _tail(self) -> Tail | None:
        if self._middle is None:
            return None
        return self._middle.tail(self.points, np.ones(1) if self.weights is None else self.weights)

    @cached_property
    def _centre(self) -> Array:
        """Return the weighted mean: the sum of distances from it is at most twice the least.

        Where points are remote, that is the middle of all.
        """
        if self._middle is not None:
            return self._middle.point
        middle: Array = self.points.mean(axis=0)
        if self.weights is not None:
            middle = middle + (self.weights / self.weights.sum()) @ (self.points - middle)
        return middle

    @cached_property
    def _units(self) -> tuple[float, float]:
        """Return the units of length and of weight."""
        weight = 1.0 if self.weights is None else float(self.weights.mean())
        if self._middle is not None:
            return self._middle.unit, weight
        r = lengths(self.points - self._centre)
        middle, mean = float(np.median(r)), float(r.mean())
        length = middle if middle > NARROW * mean else mean
        return length or 1.0, weight

    @cached_property
    def _form(self) -> ConsensusForm:
        length, weight = self._units
        points = (self.points - self._centre) / length
        n = len(points)
        weights = np.ones(n) if self.weights is None else self.weights / weight
        remote = None if self._middle is None else self._middle.remote
        if remote is not None:
            r = lengths(points)
            points = points * np.minimum(1.0, BLUNT / np.maximum(r, 1.0))[:, None]
        for array in (points, weights):
            frozen(array)
        return ConsensusForm(points, weights, self.graph, () if remote is None else remote)

    def needs(self) -> frozenset[str]:
        """Return the cone of a Euclidean norm."""
        return frozenset({"soc"})

    def to_cvxpy(self) -> CvxpyProgram:
        """Return the formula, with the variable X of one row an agent, in the form's units."""
        import cvxpy as cp

        form = self._form
        X = cp.Variable(form.points.shape, name="X")
        tail, head = form.edges[:, 0], form.edges[:, 1]
        agree = [X[tail] == X[head]] if len(form.edges) else []
        cost = form.weights @ cp.norm(X - form.points, axis=1)
        problem = cp.Problem(cp.Minimize(cost), agree)

        def points() -> tuple[Agents, Prices]:
            nu = np.zeros_like(form.points)
            if agree and agree[0].dual_value is not None:
                y = np.asarray(agree[0].dual_value)
                np.add.at(nu, tail, y)
                np.add.at(nu, head, -y)
            return Agents(np.asarray(X.value), 0, 0), Prices(nu)

        return CvxpyProgram(problem, {"X": X}, points, self.needs(), True)

    def initial(self) -> tuple[Agents, Prices]:
        """Return each agent's own data, and the prices that their mean suggests."""
        form = self._form
        return Agents(form.points, 0, 0), Prices(form.prices_at(form.points.mean(axis=0)))

    def grade(self, primal: Agents) -> Grade:
        """Return the weighted sum of distances to the point as its model holds it, in float64.

        The violation is how far an agent's point is from it.
        """
        length, weight = self._units
        x = self._chosen(primal)
        violation, located = float(lengths(primal.X - x).max()), self._located(x)
        tail, weights = self._tail, self._form.weights
        if self._middle is not None and tail is not None:
            near = ~np.asarray(self._middle.remote)
            away = (self.points[near] - located) / length
            net = length * weight * float(weights[near] @ lengths(away))
            net += tail.seen(located - self._centre)[0]
            return Grade(net + tail.paid, violation, net=net)
        away = (self.points - located) / length
        return Grade(length * weight * float(weights @ lengths(away)), violation)

    def _located(self, x: Array) -> Array:
        """Return points in the user's coordinates."""
        located: Array = self._centre + self._units[0] * x
        return located

    def _chosen(self, primal: Agents) -> Array:
        x: Array = primal.X[self._form.representative(primal.X)]
        return x

    def bound(self, primal: Agents, dual: Prices, grade: Grade) -> Bound:
        """Return what prices prove, which may be any."""
        length, weight = self._units
        value = length * weight * self._form.bound(dual.nu)
        if self._tail is None:
            return Bound(value, "all points")
        return Bound(value + self._tail.surely_paid, "all points", net=value)

    def build_model(self, primal: Agents, objective: float | None = None) -> LocalMedians:
        """Return the points in the user's coordinates."""
        local = self._located(primal.X)
        point = local[self._form.representative(primal.X)].copy()
        return LocalMedians(point, local, primal.rounds, primal.messages)

"""The network lasso: every agent its own term, neighbours drawn to agree."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from convexnn.contract.arrays import Array, frozen
from convexnn.contract.brief import brief
from convexnn.contract.checks import ProblemError, in_range, positive
from convexnn.contract.fields import Converted, declaration, default
from convexnn.contract.grading import Bound, Grade, Halves
from convexnn.contract.program import CvxpyProgram
from convexnn.functions.term_sums import Terms
from convexnn.functions.terms import Term, as_terms
from convexnn.median.consensus import Agents
from convexnn.median.graphs import weighted_edges
from convexnn.median.network_lasso import Flows, LassoForm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike

    from convexnn.functions.terms import Term
    from convexnn.median.graphs import Edges, Graph


@brief
@dataclass(frozen=True, eq=False)
class LocalModels:
    """What the agents hold when they stop.

    Attributes
    ----------
    local_points : array of shape (n, d)
    value : float
    rounds, messages : int
        Exchanges between neighbours, and messages over single edges.
    """

    local_points: Array
    value: float
    rounds: int
    messages: int


@declaration
class NetworkLasso(Halves[LocalModels]):
    """Minimise ``sum_i f_i(x_i) + penalty sum_(i, j) w_ij ||x_i - x_j||`` over a graph's edges.

    Neighbours agree exactly where the penalty is large enough: it clusters the agents, and above
    a threshold all agree. The dual is ``max -sum_i f_i*(-(B'y)_i)`` over prices of the edges with
    ``||y_e|| <= penalty w_e``; any prices become feasible ones.

    Parameters
    ----------
    terms : sequence of convexnn.terms.Term
        One an agent, all of the same size.
    graph : networkx.Graph or int array of shape (m, 2)
        Connected, as in `DistributedMedian`. Of networkx the edges' attribute `weight` is ``w``, 1
        where there is none.
    penalty : float
        > 0.
    edge_weights : array of shape (m,), optional
        ``w`` of the rows of an array, > 0; 1 each if left out. Kept as the edges are, in order;
        None where all are 1.

    Raises
    ------
    ProblemError
        If a field breaks its rule.

    References
    ----------
    Hallac, Leskovec & Boyd 2015, "Network lasso: clustering and optimization in large graphs".

    Examples
    --------
    >>> import convexnn as cx
    >>> from convexnn.terms import SquaredDistance
    >>> terms = [SquaredDistance([b]) for b in (0.0, 0.2, 5.0)]
    >>> problem = cx.NetworkLasso(terms, [[0, 1], [1, 2]], penalty=0.5)
    >>> cx.solve(problem).model.local_points.ravel().round(3)
    array([0.35, 0.35, 4.5 ])
    """

    FORMS: ClassVar[dict[type, str]] = {LassoForm: "_form"}
    terms: Converted[Iterable[Term], tuple[Term, ...]]
    graph: Converted[Graph, Edges]
    _: KW_ONLY
    penalty: float
    edge_weights: Converted[ArrayLike | None, Array | None] = default(None)

    def __post_init__(self) -> None:
        terms = as_terms("terms", self.terms)
        self._set("terms", terms)
        for i, term in enumerate(terms):
            if term.size != terms[0].size:
                raise ProblemError(
                    f"terms must all have the size {terms[0].size} of the first, "
                    f"got {term.size} at index {i}"
                )
        if len(terms) < 2:
            raise ProblemError("terms must be at least 2, got 1")
        edges, weights = weighted_edges("graph", self.graph, self.edge_weights, len(terms))
        self._set("graph", edges)
        self._set("edge_weights", weights)
        self._set("penalty", positive("penalty", self.penalty))
        if weights is not None:
            in_range("penalty times edge_weights", self.penalty * weights)

    @cached_property
    def _form(self) -> LassoForm:
        terms = Terms(self.terms)
        if self.edge_weights is None:
            return LassoForm(terms, self.graph, self.penalty)
        penalty = self.penalty * self.edge_weights
        frozen(penalty)
        return LassoForm(terms, self.graph, penalty)

    def forms(self) -> tuple[type, ...]:
        """Return the agents' own form, and its formula if every term has an atom."""
        known = all(type(term).cvxpy is not Term.cvxpy for term in self.terms)
        return super().forms() if known else (LassoForm,)

    def needs(self) -> frozenset[str]:
        """Return the cones of the terms and of the norms."""
        return frozenset({"soc"}).union(*(term.cones for term in self.terms))

    def to_cvxpy(self) -> CvxpyProgram:
        """Return the formula, with X of one row an agent and D of one row an edge.

        Raises
        ------
        ProblemError
            If a term has no CVXPY atom.
        """
        import cvxpy as cp

        n, d = len(self.terms), self.terms[0].size
        tail, head = self.graph[:, 0], self.graph[:, 1]
        X, D = cp.Variable((n, d), name="X"), cp.Variable((len(self.graph), d), name="D")
        apart = X[tail] - X[head] == D
        cost: Any = cp.sum(cp.multiply(self._form.penalty, cp.norm(D, axis=1)))
        constraints = [apart]
        for i, term in enumerate(self.terms):
            atom = term.cvxpy(X[i])
            if atom is None:
                raise ProblemError(f"terms must have CVXPY atoms, got {term!r} at index {i}")
            cost = cost + atom[0]
            constraints += atom[1]
        problem = cp.Problem(cp.Minimize(cost), constraints)

        def points() -> tuple[Agents, Flows]:
            rows = [f.prox(x, 1e-300) for f, x in zip(self.terms, X.value, strict=True)]
            y = np.zeros(D.shape) if apart.dual_value is None else np.asarray(apart.dual_value)
            return Agents(np.stack(rows), 0, 0), Flows(y)

        return CvxpyProgram(problem, {"X": X, "D": D}, points, self.needs())

    def initial(self) -> tuple[Agents, Flows]:
        """Return what each term alone makes of 0, and prices of 0."""
        none = np.zeros(self.terms[0].size)
        rows = np.stack([term.prox(none, 1.0) for term in self.terms])
        return Agents(rows, 0, 0), Flows(np.zeros((len(self.graph), len(none))))

    def grade(self, primal: Agents) -> Grade:
        """Return the value of the points."""
        return Grade(self._form.objective(primal.X))

    def bound(self, primal: Agents, dual: Flows, grade: Grade) -> Bound:
        """Return what prices of the edges prove, which may be any."""
        return Bound(self._form.bound(dual.y), "all points")

    def build_model(self, primal: Agents, objective: float | None = None) -> LocalModels:
        """Return the points."""
        value = self.objective(primal) if objective is None else objective
        return LocalModels(primal.X.copy(), value, primal.rounds, primal.messages)

"""A sum of terms with a prox each, under linear equations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.brief import brief
from convexnn.contract.checks import ProblemError, real_array
from convexnn.contract.fields import Converted, declaration
from convexnn.contract.grading import Bound, Grade, Halves
from convexnn.contract.program import CvxpyProgram
from convexnn.contract.sparse import real_matrix
from convexnn.functions.terms import Term, as_terms
from convexnn.median.linear_sum import LinearSum, Multipliers, Stacked, linear_sum

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike
    from scipy.sparse import csr_array, sparray, spmatrix


@brief
@dataclass(frozen=True, eq=False)
class Split:
    """The variables of each term.

    Attributes
    ----------
    x : tuple of array
    value : float
        The sum of the terms there.
    """

    x: tuple[Array, ...]
    value: float


@declaration
class LinearlyConstrained(Halves[Split]):
    """Minimise ``sum_i f_i(x_i)`` subject to ``A x = b``, x all the ``x_i`` one after another.

    The bound is the dual function, ``-<lam, b> - sum_i f_i*(-(A'lam)_i)``, at prices drawn towards
    0 until it is finite. The violation is the largest residual of an equation, relative to the
    largest sum of absolute values in one, counted from the terms' own points, all rows of A
    brought to length 1. Where the equations
    have no solution that the terms allow, the status is INFEASIBLE and ``solution.dual.ray`` the
    proof: ``<y, A x> < <y, b>`` for every x allowed.

    Parameters
    ----------
    terms : sequence of convexnn.terms.Term
    A : array or scipy.sparse array of shape (m, N)
        N is the sum of the terms' sizes.
    b : array of shape (m,)

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
    >>> from convexnn.terms import L1Distance, SquaredDistance
    >>> terms = [SquaredDistance([3.0]), L1Distance([0.0])]
    >>> cx.solve(cx.LinearlyConstrained(terms, [[1.0, -1.0]], [0.0])).model.x[0].round(4)
    array([2.])
    """

    FORMS: ClassVar[dict[type, str]] = {LinearSum: "_form"}
    terms: Converted[Iterable[Term], tuple[Term, ...]]
    A: Converted[ArrayLike | sparray | spmatrix, Array | csr_array[np.float64]]
    b: Converted[ArrayLike, Array]
    strict: ClassVar[bool] = True

    def __post_init__(self) -> None:
        terms = as_terms("terms", self.terms)
        self._set("terms", terms)
        A, b = real_matrix("A", self.A), real_array("b", self.b, 1)
        n = sum(term.size for term in terms)
        if A.shape[1] != n:
            raise ProblemError(
                f"A must have one column for each of the {n} variables of the terms, "
                f"got {A.shape[1]}"
            )
        if len(b) != A.shape[0]:
            raise ProblemError(f"b must have one entry per row of A ({A.shape[0]}), got {len(b)}")
        self._set("A", A)
        self._set("b", b)

    @cached_property
    def _form(self) -> LinearSum:
        return linear_sum(self.terms, self.A, self.b)

    def forms(self) -> tuple[type, ...]:
        """Return the sum itself, and its formula if every term has an atom."""
        return super().forms() if self._has_formula else (LinearSum,)

    def withholds(self, form: type) -> str | None:
        """Return why there is no formula."""
        if form is CvxpyProgram and not self._has_formula:
            return "a term has no CVXPY atom"
        return None

    @property
    def _has_formula(self) -> bool:
        return all(type(term).cvxpy is not Term.cvxpy for term in self.terms)

    def needs(self) -> frozenset[str]:
        """Return the cones of the terms."""
        return frozenset().union(*(term.cones for term in self.terms))

    def to_cvxpy(self) -> CvxpyProgram:
        """Return the formula, with the variable x.

        Raises
        ------
        ProblemError
            If a term has no CVXPY atom.
        """
        import cvxpy as cp

        x = cp.Variable(self.A.shape[1], name="x")
        equations = self.A @ x == self.b
        cost: Any = 0.0
        constraints = [equations]
        for i, (term, part) in enumerate(zip(self.terms, self._form.ends, strict=True)):
            atom = term.cvxpy(x[part])
            if atom is None:
                raise ProblemError(f"terms must have CVXPY atoms, got {term!r} at index {i}")
            cost = cost + atom[0]
            constraints += atom[1]
        problem = cp.Problem(cp.Minimize(cost), constraints)

        def points() -> tuple[Stacked, Multipliers]:
            none = np.zeros(len(self.b))
            lam = none if equations.dual_value is None else np.asarray(equations.dual_value)
            allowed = self._form.terms.prox(np.asarray(x.value), 1e-300)  # rounding left the box
            return Stacked(allowed), Multipliers(lam, none)

        return CvxpyProgram(problem, {"x": x}, points, self.needs())

    def initial(self) -> tuple[Stacked, Multipliers]:
        """Return what each term alone makes of 0, and prices of 0."""
        none = np.zeros(len(self.b))
        return Stacked(self._form.terms.prox(np.zeros(self.A.shape[1]), 1.0)), Multipliers(
            none, none
        )

    def objective(self, primal: Stacked) -> float:
        """Return the sum of the terms."""
        return self._form.terms.value(primal.x)

    def grade(self, primal: Stacked) -> Grade:
        """Return the sum of the terms and how far the equations are broken."""
        return Grade(self.objective(primal), self._form.violation(primal.x))

    def bound(self, primal: Stacked, dual: Multipliers, grade: Grade) -> Bound:
        """Return what any prices of the equations prove."""
        return Bound(self._form.bound(dual.lam), "all x")

    def build_model(self, primal: Stacked, objective: float | None = None) -> Split:
        """Return the variables of each term."""
        x = tuple(primal.x[part].copy() for part in self._form.ends)
        return Split(x, self.objective(primal) if objective is None else objective)

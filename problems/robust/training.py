"""Adversarially robust convex training of two-layer ReLU networks."""

from __future__ import annotations

import warnings
from dataclasses import KW_ONLY
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from convexnn.contract.arrays import BoolArray, frozen, readonly
from convexnn.contract.checks import ProblemError, choice, non_negative
from convexnn.contract.features import chosen_columns
from convexnn.contract.fields import Converted, declaration, default
from convexnn.contract.grading import Bound, Grade
from convexnn.contract.program import CvxpyProgram
from convexnn.contract.reading import marked
from convexnn.contract.system.memory import Size
from convexnn.functions.norms import NORMS
from convexnn.functions.risks import only_mean
from convexnn.problems.relu.listing import checked_patterns, shrunk
from convexnn.problems.relu.training import Design, Training, make_design
from convexnn.problems.relu.two_layer import FORMULATIONS
from convexnn.problems.robust.formula import robust_formula
from convexnn.relu.bound import network_bound
from convexnn.relu.cells.sampling import sample_patterns
from convexnn.relu.forms import Neurons
from convexnn.relu.patterns import Patterns
from convexnn.relu.relaxation import relaxed, relaxed_bound
from convexnn.relu.search_bound import Searches
from convexnn.robust.bound import robust_bound
from convexnn.robust.forms import RobustDual, RobustForm, RobustNetworkForm
from convexnn.robust.pattern_radii import Separation
from convexnn.robust.regions import Region, checked_box

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array
    from convexnn.driver.solution import Solution
    from convexnn.functions.losses import Loss
    from convexnn.problems.relu.listing import PatternsField
    from convexnn.relu.network import TwoLayerNetwork

GRADING = 80.0  # bytes an entry of the patterns takes when a network is graded
LOSSES = ("hinge", "logistic", "squared")
FEW = 2  # examples, of which every column has two values at most


@declaration
class RobustReluTraining(Training):
    """Minimise a bound on ``sum_i max l(f(x_i + r_i); y_i) + beta/2 (||U||_F^2 + ||alpha||^2)``.

    The maximum is over perturbations ``||r_i|| <= radius``, the networks ``f`` are two-layer ReLU
    networks. Over patterns ``D`` (n x P, ``E = 2 D - 1``), with the slopes
    ``q_i = sum_p D_ip (v_p - w_p)``, ``z_i = x_i'q_i`` and the dual norm ``||.||_*``, the majorant
    is the convex program

        minimise    sum_i max over z in [low_i, up_i] of l(z; y_i) + beta sum_p (||v_p|| + ||w_p||)
        where       low_i = z_i - radius ||q_i||_* - sum_p max(0, radius ||w_p||_* - E_ip x_i'w_p)
                    up_i  = z_i + radius ||q_i||_* + sum_p max(0, radius ||v_p||_* - E_ip x_i'v_p)

    ``low_i <= f(x_i + r) <= up_i`` for every r in the ball, so that its value is never below the
    network's worst case. The program with cones has ``E_ip x_i'v_p >= radius ||v_p||_*``, and the
    same for w, in place of the last sums: no neuron changes its activation inside a ball, and the
    value is the network's exact worst case. For the same patterns the majorant's optimum is at
    most that of the cones, and often far below.

    Where the adversary cannot leave a box, what it leaves of an example's ball is a box too. Its
    centre takes the place of ``x_i``, and ``s_i'|.|``, half its sides, that of ``radius ||.||_*``.

    Parameters
    ----------
    X : array of shape (n, d)
        Examples.
    y : array of shape (n,)
        Targets; for "logistic" and "hinge" any two labels.
    beta : float
        Weight of the penalty, > 0. Losses are summed, not averaged.
    radius : float
        Of the perturbations, in the units of X, >= 0. With 0 it is the program of `ReluTraining`.
    norm : {"linf", "l2", "l1"}, default "linf"
        Norm of the perturbations.
    loss : {"hinge", "logistic", "squared"} or Loss, default "hinge"
    patterns : None, "all", int, Patterns or array of shape (n, P), default None
        None or "all": patterns of local search, taken again from the solution over a few rounds.
        An int draws that many at random (seed 0), half of them on perturbed examples.
    bias : bool, default False
        Append a column of ones to X. It is never perturbed, and penalised like any weight.
    formulation : {"majorant", "cones"}, default "majorant"
        Over given patterns. With "cones" patterns whose cone is empty are left out.
    perturbed : array of bool, shape (d,), or of names or indices of columns, optional
        The columns that the adversary may change, all by default; categorical ones are left out.
    box : pair of floats or arrays of shape (d,), optional
        Range ``(low, high)`` of the columns that the adversary cannot leave, in the norm linf; X
        must lie in it.
    weights, feature_names
        As in `ReluTraining`.
    risk : {"mean"}, default "mean"
        No other risk: one of perturbed examples is not built.

    Raises
    ------
    ProblemError
        If a field breaks its rule; the message names the field, the value and the rule. A
        constant column other than 0 that would be perturbed is refused: `bias` takes its place.

    Warns
    -----
    UserWarning
        If `perturbed` is left out and a column has two values, as a categorical one has.

    References
    ----------
    Bai, Gautam & Sojoudi 2022, "Efficient global optimization of two-layer ReLU networks:
    quadratic-time algorithms and adversarial training", section 4 (the program with cones).

    Examples
    --------
    >>> import convexnn as cx
    >>> X = np.random.default_rng(0).standard_normal((30, 2))
    >>> problem = cx.RobustReluTraining(X, X[:, 0] > 0, beta=0.1, radius=0.1, patterns=10)
    >>> solution = cx.solve(problem, tol=1e-3)
    >>> solution.status.name
    'OPTIMAL'
    """

    FORMS: ClassVar[dict[type, str]] = {RobustNetworkForm: "_search", RobustForm: "_form"}
    _: KW_ONLY
    radius: float
    norm: str = "linf"
    loss: Converted[str | Loss, Loss] = default("hinge")
    patterns: PatternsField = default(None)
    formulation: str = "majorant"
    perturbed: Converted[ArrayLike | None, BoolArray] = default(None)
    box: Converted[tuple[ArrayLike, ArrayLike] | ArrayLike | None, Array | None] = default(None)

    def __post_init__(self) -> None:
        given: Any = self.loss
        choice("loss", getattr(given, "name", given), LOSSES)
        only_mean(self.risk, "robust training", "its examples' worst losses are summed")
        super().__post_init__()
        self._set("radius", non_negative("radius", self.radius))
        choice("norm", self.norm, tuple(NORMS))
        choice("formulation", self.formulation, FORMULATIONS)
        self._set("perturbed", self._checked_columns(self.perturbed))
        self._set("box", self._checked_box())
        self._set("patterns", checked_patterns(self.patterns, len(self.X), kept=self._kept))

    def _checked_columns(self, given: Any) -> BoolArray:
        d = self.X.shape[1]
        columns = np.ones(d, np.bool_)
        if given is not None:
            columns = chosen_columns("perturbed", given, d, self.feature_names)
        if self.radius > 0.0:
            spread = np.ptp(self.X, axis=0)
            offsets = np.flatnonzero(columns & (spread == 0.0) & (self.X[0] != 0.0))
            if len(offsets) and len(self.X) > 1:
                raise ProblemError(
                    f"perturbed must leave out constant columns, {self._called(offsets[0])} is "
                    f"{self.X[0, offsets[0]]}: drop it and set bias=True, or set perturbed "
                    "to False there"
                )
            if given is None and len(self.X) > FEW:
                self._warn_of_categories()
        columns = columns.copy()
        frozen(columns)
        return columns

    def _checked_box(self) -> Array | None:
        """Return the ends of the columns, (2, d)."""
        ends = checked_box(self.box, self.X, self.feature_names)
        if ends is not None and self.norm != "linf":
            raise ProblemError(f"box goes with norm 'linf', got {self.norm!r}")
        return None if ends is None else readonly(np.array(ends))

    def _called(self, k: int) -> str:
        """Return a column by its name, if it has one, as messages say it."""
        names = self.feature_names
        return f"column {k if names is None else repr(names[k])} of X"

    def _warn_of_categories(self) -> None:
        low, high = self.X.min(axis=0), self.X.max(axis=0)
        ends = np.equal(self.X, low) | np.equal(self.X, high)
        suspects = np.flatnonzero(ends.all(axis=0) & (low < high))
        if len(suspects):
            warnings.warn(
                f"{self._called(suspects[0])} has two values only, as {len(suspects)} in all: "
                "if it is categorical, set perturbed to False there, otherwise to True",
                UserWarning,
                stacklevel=5,
            )

    @cached_property
    def design(self) -> Design:
        """The data over a power of two; no directions are dropped, the adversary uses them all."""
        return make_design(self.data, self._norm, reduce=False)

    @cached_property
    def _moved(self) -> BoolArray:
        moved = np.append(self.perturbed, False) if self.bias else self.perturbed
        return np.asarray(moved, np.bool_)

    @cached_property
    def _boxes(self) -> Region | None:
        """What the box leaves of the balls; None without a box, or where it clips none."""
        if self.box is None or self.radius == 0.0:
            return None
        low, high = self.box
        moved = self.perturbed
        wide = (self.X - self.radius >= low) & (self.X + self.radius <= high)
        if (wide | ~moved).all():
            return None
        if self.bias:
            low, high = np.append(low, 1.0), np.append(high, 1.0)
        return Region.of(self.data, self.radius, self.norm, (low, high), self._moved)

    @cached_property
    def separation(self) -> Separation:
        """The largest radii at which patterns keep a robust cone, in the units of X."""
        if self._boxes is None:
            return Separation(self.data, self._moved, self.norm)
        return Separation(self._boxes.center, self._moved, self.norm, self._boxes.scale)

    @cached_property
    def given(self) -> Patterns | None:
        """The patterns declared or drawn; None if all are meant."""
        if not isinstance(self.patterns, int):
            patterns: Patterns | None = self.patterns
            return patterns
        return sample_patterns(
            self.data,
            self.patterns,
            radius=self.radius,
            norm=self.norm,
            columns=self._moved,
            active=True,
        )

    def marks(self, primal: Neurons) -> Array | None:
        """Return the marks of the patterns drawn, of which the program may have few."""
        if not isinstance(self.patterns, int) or not primal.V.size or self.given is None:
            return None
        return marked(self.given.matrix)

    @cached_property
    def matrix(self) -> BoolArray | None:
        """The patterns of the program, (n, P); None if all are meant."""
        if self.given is None:
            return None
        matrix: BoolArray = self.given.distinct().matrix
        active = matrix.any(axis=0)
        matrix = matrix[:, active] if active.any() else matrix
        if self.formulation == "majorant" or self.radius == 0.0:
            return matrix
        kept = self.separation.possible(matrix, self.radius)
        return matrix[:, kept] if kept.any() else matrix[:, :1]

    def remark(self) -> str:
        """Say why there are fewer patterns, and so where none has a network in its robust cone."""
        if self.formulation == "majorant" or self.radius == 0.0 or self.given is None:
            return shrunk(self.patterns, self.matrix, self.data, self.radius == 0.0)
        if self.matrix is None:
            return ""
        used, asked = self.matrix.shape[1], len(self.given)
        within = f"radius {self.radius:.6g}" + ("" if self._boxes is None else " in the box")
        if used > 1 or self.separation.possible(self.matrix, self.radius).any():
            if used == asked:
                return ""
            return (
                f"The program has {used} of {asked} patterns: the others are repeated, active on "
                f"no example, or have no network in their robust cone at {within}."
            )
        if self._boxes is not None:
            return f"No pattern keeps a robust cone at {within}: every network is zero."
        largest = self.separation.largest(self.given.matrix)
        return (
            f"No pattern keeps a robust cone at radius {self.radius:.6g}: every network is zero. "
            f"The largest radius found at which one does is {largest:.6g}."
        )

    def forms(self) -> tuple[type, ...]:
        """Return the program over listed patterns, or the search for them."""
        return (RobustNetworkForm,) if self.patterns is None else (RobustForm, CvxpyProgram)

    def withholds(self, form: type) -> str | None:
        """Return why patterns are not listed where all are meant."""
        if form is RobustNetworkForm or self.patterns is not None:
            return None
        return "patterns=None leaves the patterns to a search: give patterns, or a count of them"

    def size(self, form: type) -> Size:
        """Return the shapes of a form; a count of patterns is an upper bound."""
        n, d = self.design.matrix.shape
        d += 0 if self._boxes is None else d - 1  # a neuron has a reach in each column
        count = self.patterns if isinstance(self.patterns, int) else 0
        if isinstance(self.patterns, Patterns):
            count = len(self.patterns)
        smooth = bool(np.isfinite(self.loss.curvature))
        return Size(form, n, d, count, True, smooth, GRADING * n * (count + d))

    @cached_property
    def _form(self) -> RobustForm:
        scale, X, boxes = self.design.scale, self.design.matrix, self._boxes
        radius, widths, moved = self.radius / scale, None, self._moved
        if boxes is not None and boxes.scale is not None:
            X, radius, widths = boxes.center / scale, 1.0, boxes.scale / scale
            moved = np.asarray(widths.any(axis=0), np.bool_)
            frozen(X)
            frozen(widths)
        program = RobustForm(
            X,
            self.labels.targets,
            np.zeros((len(X), 0)),
            0,
            self._loss,
            self.beta / scale,
            radius,
            self.norm,
            moved,
            self.formulation == "cones" and self.matrix is not None,
            widths,
        )
        return program if self.matrix is None else program.over(self.matrix)

    @cached_property
    def _search(self) -> RobustNetworkForm:
        return RobustNetworkForm(self._form)

    def needs(self) -> frozenset[str]:
        """Return the cones of the loss, the penalty and the slopes' norm."""
        return self.loss.cones | self._norm.cones

    def to_cvxpy(self) -> CvxpyProgram:
        """Return the formula in CVXPY: V, W, slopes Q and worst predictions z."""
        if self.matrix is None:
            raise ProblemError(str(self.withholds(RobustForm)))
        return robust_formula(self._form, self.needs())

    def unwritten(self) -> tuple[Neurons, RobustDual]:
        """Return the zero network and zero multipliers, which are graded without any form."""
        n, d = self.design.matrix.shape
        none, still = np.zeros((d, 0)), np.zeros(n)
        dual = RobustDual(still, still, np.zeros((n, d)), np.zeros((n, 0)), np.zeros((n, 0)))
        return Neurons(none, none, np.zeros(d)), dual

    def initial(self) -> tuple[Neurons, RobustDual]:
        """Return the zero network and the loss's slope there."""
        form = self._form
        (n, d), m = form.X.shape, form.blocks
        mu = -form.loss.gradient(np.zeros(n), form.y)
        zero = np.zeros((n, m))
        dual = RobustDual(mu, np.zeros(n), np.zeros((n, d)), zero, zero.copy())
        V = np.zeros((d, form.added))
        return Neurons(V, V.copy(), np.zeros(d)), dual

    def objective(self, primal: Neurons) -> float:
        """Return the bound on the network's worst case: over all patterns, the best found."""
        form = self._search if self.matrix is None else self._form
        return form.objective(primal)

    def grade(self, primal: Neurons) -> Grade:
        """Grade a network.

        The objective is never below the network's worst case over the balls plus its penalty,
        whether the cones hold or not.
        """
        if self.patterns is not None and primal.V.shape[1] + primal.W.shape[1] == 0:
            return Grade(self._idle())
        violation = 0.0 if self.matrix is None else self._form.violation(primal)
        return Grade(self.objective(primal), violation)

    def bound(self, primal: Neurons, dual: RobustDual, grade: Grade) -> Bound:
        """Return what a dual guess proves.

        Over given patterns it is on the program's optimum. Over all patterns it is on the optimum
        of the network's own robust problem: plain training on examples attacked in any one way,
        ``dual.attack``, cannot cost more. That is bounded in closed form, by ``dual.relaxed``
        and by ``dual.plain``.

        Parameters
        ----------
        primal : Neurons
        dual : RobustDual
        grade : Grade
            Of the network.

        Returns
        -------
        Bound
        """
        if self.patterns is None:
            plain = self._search.attacked(dual.attack)
            value = network_bound(plain, dual.mu)
            if dual.relaxed is not None:
                value = max(value, relaxed_bound(plain, dual.relaxed))
            if dual.plain is not None:
                value = max(value, Searches(plain).bound(dual.plain).value)
            return Bound(value, "all patterns")
        majorant = self.formulation == "majorant"
        scope = "the majorant over these patterns" if majorant else "these patterns"
        known = self._of_nothing(dual, scope) if dual.left.shape[1] == 0 else None
        if known is not None:
            return known
        return Bound(robust_bound(self._form, dual), scope)

    def renewed(self, parts: Mapping[str, Any]) -> RobustDual | None:
        """Return a dual point that an earlier version saved, None if it is of this one.

        Over all patterns it did not say what proves its bound: that is found here.
        """
        if "relaxed" in parts:
            return None
        dual = RobustDual(**parts)
        if self.matrix is not None:
            return dual
        return dual._replace(relaxed=relaxed(self._search.attacked(dual.attack), dual.mu))

    def adopt(self, start: Solution) -> tuple[Neurons, RobustDual | None]:
        """Return the points of another solution, neurons by their patterns; its dual if robust."""
        primal: Neurons = start.primal
        dual = start.dual if isinstance(start.dual, RobustDual) else None
        theirs = getattr(start.problem, "matrix", None)
        if self.matrix is None or theirs is None or np.array_equal(self.matrix, theirs):
            return primal, dual
        P = theirs.shape[1]
        if not primal.V.shape[1] == primal.W.shape[1] == P:
            return primal, None
        place = {column.tobytes(): p for p, column in enumerate(theirs.T)}
        columns = [place.get(column.tobytes(), -1) for column in self.matrix.T]
        found = np.array(columns)

        def taken(part: Array) -> Array:
            return np.where(found >= 0, part[:, found], 0.0)

        neurons = Neurons(taken(primal.V), taken(primal.W), primal.skip)
        if dual is None:
            return neurons, None
        left, right = (
            np.hstack([taken(part[:, :P]), taken(part[:, P:])]) for part in (dual.left, dual.right)
        )
        return neurons, dual._replace(left=left, right=right)

    def build_model(self, primal: Neurons, objective: float | None = None) -> TwoLayerNetwork:
        """Return the network, its dead neurons left out."""
        original = self.design.original
        return self._network(original(primal.V), original(primal.W))

"""Exact convex training of two-layer ReLU networks."""

from __future__ import annotations

from dataclasses import KW_ONLY
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from convexnn.contract.arrays import Array, BoolArray, SignArray
from convexnn.contract.checks import ProblemError, choice, flag, instance_of, non_negative, shown
from convexnn.contract.clock import look
from convexnn.contract.fields import Converted, declaration, default
from convexnn.contract.grading import Bound, Grade, Grader, HalvesGrader
from convexnn.contract.program import CvxpyProgram
from convexnn.contract.system.memory import Size
from convexnn.functions.norms import NORMS, Norm
from convexnn.problems.relu.formulas import majorant_formula
from convexnn.problems.relu.training import VectorTraining
from convexnn.relu.bound import lower_bound
from convexnn.relu.cells.enumeration import enumerate_patterns, listable
from convexnn.relu.cells.sampling import sample_patterns
from convexnn.relu.directions import directions
from convexnn.relu.forms import Dual, GroupForm, MajorantForm, NetworkForm, Neurons, summed
from convexnn.relu.free_part import FreePart
from convexnn.relu.majorant_bound import majorant_bound
from convexnn.relu.network import TwoLayerNetwork

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

    from convexnn.problems.relu.listing import PatternsField
    from convexnn.relu.network import Network
from convexnn.problems.relu.formulas import conic_formula
from convexnn.problems.relu.listing import (
    LISTED,
    checked_patterns,
    declared_scope,
    shrunk,
    too_many,
)
from convexnn.relu.search_bound import Searches, SearchGrader, renewed

GRADING = 43.0  # bytes an entry of the patterns takes when a network is graded, measured
FORMULATIONS = ("cones", "majorant")


@declaration
class ReluTraining(VectorTraining):
    """Minimise ``sum_i l(f(x_i); y_i) + beta/2 (||U||_F^2 + ||alpha||^2)`` over two-layer networks.

    ``f(x) = sum_j alpha_j act(u_j'x) + s'x + c`` with ``act(t) = max(t, leak t)``. Over the
    patterns ``D`` (n x P, ``E = 2 D - 1``, ``S = D + leak (1 - D)``) it is the convex program

        minimise    sum_i l(z_i; y_i) + beta sum_p (||v_p|| + ||w_p||)
        subject to  z = sum_p S_p * (X (v_p - w_p)) + X s,   E * (X V) >= 0,   E * (X W) >= 0

    whose solutions are networks of the same objective: ``u = v / sqrt||v||``, ``alpha =
    sqrt||v||``, and minus that for ``w``. Of k outputs each neuron has one: there are V and W for
    each output, over the same patterns, and the loss alone may couple them. The majorant over the
    same patterns,

        minimise    sum_i max over z in [low_i, up_i] of l(z; y_i) + beta sum_p (||v_p|| + ||w_p||)
        where       low = (S * X V) 1 - act(X W) 1 + X s,  up = act(X V) 1 - (S * X W) 1 + X s,

    has no constraints: ``low <= f(x) <= up`` for every network, with equality where each neuron
    is in the cone of its pattern. Its optimum is at most that of the program with cones, its
    network is at least as good as its optimum, and over all patterns all three are equal.

    Parameters
    ----------
    X : array of shape (n, d)
        Examples. Columns are used as they are: standardise them first if they differ in scale.
    y : array of shape (n,), or (n, k)
        Targets; for "logistic" and "hinge" any two labels, for "softmax" two or more. Targets of
        k columns are those of k outputs; a single column is the same as none.
    beta : float
        Weight of the penalty, > 0. Losses are summed, not averaged: beta = n lambda.
    loss : {"squared", "logistic", "hinge", "huber", "softmax"} or Loss, default "squared"
        "squared" is ``(z - y)^2 / 2``; "softmax" the cross-entropy of one output for each class.
    patterns : None, "all", int, Patterns or array of shape (n, P), default None
        None or "all": the program over all patterns, the network's own problem. An int draws
        that many at random (seed 0). Others are used as given; duplicates and, without a
        leak, the pattern that is active nowhere are dropped.
    bias : bool, default False
        Append a column of ones to X; offsets are penalised like any weight.
    penalty : {"l2", "l1"}, default "l2"
        Norm of a neuron's first layer. With "l1" the network's penalty is
        ``beta/2 (sum_j ||u_j||_1^2 + ||alpha||^2)``.
    leak : float, default 0.0
        Slope of the activation for negative inputs, in [0, 1).
    skip : bool, default False
        Add a free, unpenalised linear part ``s'x``.
    intercept : bool, default False
        Add a free, unpenalised constant to each output.
    formulation : {"cones", "majorant"}, default "cones"
        Which of the two programs. Over given patterns the certificate of the majorant is on the
        majorant itself: its objective is the majorant's value, which the network's own
        (`objective`) does not exceed. "majorant" takes a loss of ``|z - y|`` or of the margin, and
        one output.
    multiclass : {None, "one-vs-rest"}, default None
        With "one-vs-rest", "logistic" and "hinge" take more than two classes: an output for each,
        its loss that class against all others. The largest output names the class.
    monotone : array of shape (d,) or dict of str to int, optional
        Of 1 where the output never falls in a column of X, -1 where it never rises, 0 where it is
        free; or by the names of columns. It holds for all x, proved by signs of the weights:
        ``v_pk >= 0 >= w_pk`` or the reverse. For one output, "cones", and no free linear part; of
        two labels the output stands for the second.
    weights : array of shape (n,), optional
        What each example's loss counts, >= 0 and not all zero: a weight of 2 is a row twice. Rows
        of weight 0 are left out: X, y, weights and patterns then hold the others.
    risk : {"mean"} or Risk, default "mean"
        What is taken of the losses: "mean" is their sum; `Cvar`, `Entropic`, `ChiSquare`,
        `TotalVariation` and `WorstGroup` the largest weighted mean of a set of weights, times n,
        so that beta keeps its meaning. The loss must be nowhere negative.
    feature_names : sequence of str, optional
        Names of the columns of X; a frame brings its own. The model takes frames with these
        columns alone, in this order.

    Raises
    ------
    ProblemError
        If a field breaks its rule; the message names the field, the value and the rule.

    References
    ----------
    Pilanci & Ergen 2020, "Neural networks are convex regularizers", theorem 1.

    Examples
    --------
    >>> import convexnn as cx
    >>> X = np.random.default_rng(0).standard_normal((40, 3))
    >>> solution = cx.solve(cx.ReluTraining(X, np.abs(X[:, 0]), beta=0.1, patterns=50))
    >>> solution.status.name, bool(solution.gap <= 1e-6)
    ('OPTIMAL', True)
    """

    FORMS: ClassVar[dict[type, str]] = {
        NetworkForm: "_network_form",
        GroupForm: "_group_form",
        MajorantForm: "_majorant_form",
    }
    PENALTIES: ClassVar[tuple[str, ...]] = ("l2", "l1")
    _: KW_ONLY
    patterns: PatternsField = default(None)
    penalty: str = "l2"
    leak: float = 0.0
    skip: bool = False
    formulation: str = "cones"
    intercept: bool = False
    monotone: Converted[ArrayLike | Mapping[str, int] | None, SignArray | None] = default(None)

    def __post_init__(self) -> None:
        choice("penalty", self.penalty, self.PENALTIES)
        choice("formulation", self.formulation, FORMULATIONS)
        super().__post_init__()
        leak = non_negative("leak", self.leak)
        if leak >= 1.0:
            raise ProblemError(f"leak must be < 1, got {leak!r}")
        self._set("leak", leak)
        self._set("skip", flag("skip", self.skip))
        self._set("intercept", flag("intercept", self.intercept))
        self._set("patterns", checked_patterns(self.patterns, len(self.X), kept=self._kept))
        if self.formulation == "majorant" and not self._loss.additive:
            raise ProblemError(
                f"formulation must be 'cones' for risk {self.risk!r}, got 'majorant'"
            )
        for name, value, simple in (
            ("skip", self.skip, False),
            ("formulation", self.formulation, "cones"),
        ):
            if self.outputs > 1 and value != simple:
                raise ProblemError(
                    f"{name} must be {simple!r} for more than one output ({self.outputs}), "
                    f"got {value!r}"
                )
        if self.monotone is not None:
            self._set_monotone(self.monotone)

    def _set_monotone(self, given: Any) -> None:
        self._set("monotone", directions(given, self.feature_names, self.X.shape[1]))
        for name, value, simple, why in (
            ("skip", self.skip, False, "a free linear part has no sign"),
            ("formulation", self.formulation, "cones", "the signs are further rows of the cones"),
        ):
            if value != simple:
                raise ProblemError(f"{name} must be {simple!r} with monotone, got {value!r}: {why}")
        if self.outputs > 1:
            raise ProblemError(
                f"monotone must be None for more than one output ({self.outputs}): it says how one "
                "output goes"
            )

    @cached_property
    def _directions(self) -> SignArray | None:
        """The signs of the weights, one for each column of the data; None if all are free."""
        if self.monotone is None or not self.monotone.any():
            return None
        return np.append(self.monotone, np.zeros(int(self.bias), np.int8))

    @property
    def _turns(self) -> bool:
        return self._directions is None

    def _signed(self, primal: Neurons) -> Neurons:
        """Return the neurons with weights of a wrong sign, as rounding leaves them, set to zero."""
        if self._directions is None:
            return primal
        rising, falling = (self._directions[:, None] == sign for sign in (1, -1))

        def held(part: Array, up: BoolArray, down: BoolArray) -> Array:
            wrong = (up & (part < 0.0)) | (down & (part > 0.0))
            return np.where(wrong, 0.0, part)

        return primal._replace(V=held(primal.V, rising, falling), W=held(primal.W, falling, rising))

    @property
    def _norm(self) -> Norm:
        return NORMS[self.penalty]

    @cached_property
    def _searched(self) -> bool:
        """Whether all patterns are meant, and too many to list."""
        return self.patterns is None and not listable(self.data, LISTED)

    @cached_property
    def matrix(self) -> BoolArray | None:
        """The patterns of the program, (n, P); None if it is over all and too many to list."""
        patterns = self.patterns
        if patterns is None:
            if self._searched:
                return None
            patterns = enumerate_patterns(self.data)
        elif isinstance(patterns, int):
            patterns = sample_patterns(self.data, patterns, active=self.leak == 0.0)
        else:
            patterns = patterns.distinct()
        look()
        matrix: BoolArray = patterns.matrix
        active = matrix.any(axis=0)
        if self.leak == 0.0 and active.any() and not active.all():
            matrix = matrix[:, active]
        return matrix

    def remark(self) -> str:
        """Say why there are fewer patterns than were asked for or given."""
        return shrunk(self.patterns, self.matrix, self.data)

    def forms(self) -> tuple[type, ...]:
        """Return the program over listed patterns, and the network's own if all are meant."""
        program = MajorantForm if self.formulation == "majorant" else GroupForm
        if self.patterns is not None:
            return (program, CvxpyProgram)
        return (NetworkForm,) if self._searched else (NetworkForm, program, CvxpyProgram)

    def withholds(self, form: type) -> str | None:
        """Return the number of patterns where they are meant to be listed, and too many."""
        if form is NetworkForm or not self._searched:
            return None
        n, d = self.design.matrix.shape
        return too_many(n, d)

    def size(self, form: type) -> Size:
        """Return the shapes of a form; a count of patterns is an upper bound."""
        n, d = self.design.matrix.shape
        if self.patterns is None:
            count = 0 if self.matrix is None else self.matrix.shape[1]
        else:
            count = self.patterns if isinstance(self.patterns, int) else len(self.patterns)
        smooth = bool(np.isfinite(self._loss.curvature))
        k = self.outputs
        return Size(form, n, d, count, True, smooth, GRADING * n * count * k, outputs=k)

    @cached_property
    def _network_form(self) -> NetworkForm:
        return self._outline._replace(cells=self.matrix if self.patterns is None else None)

    @cached_property
    def _outline(self) -> NetworkForm:
        """The network's form without its cells, which is enough to grade an answer."""
        return NetworkForm(
            self.design.matrix,
            self.labels.targets,
            self._loss,
            self._norm,
            self.beta / self.design.scale,
            self.leak,
            self.skip or self.intercept,
            None,
            self._columns,
            self._directions,
        )

    @cached_property
    def _columns(self) -> Array | None:
        """The columns of the free part, where they are not those of the design."""
        if not self._constant:
            return None
        ones = np.ones((len(self.X), 1))
        return np.hstack([self.design.matrix, ones]) if self.skip else ones

    @cached_property
    def _constant(self) -> bool:
        """Whether the constant has a column of its own: not where a column of X s is constant."""
        level = self.data[0] != 0.0
        return self.intercept and not (
            self.skip and (np.ptp(self.data[:, level], axis=0) == 0).any()
        )

    def _still(self) -> Array:
        return self._outline.still()

    @property
    def _listed(self) -> BoolArray:
        if self.matrix is None:
            raise ProblemError(self.withholds(GroupForm))
        return self.matrix

    @cached_property
    def _group_form(self) -> GroupForm:
        return self._network_form.over(self._listed)

    @cached_property
    def _majorant_form(self) -> MajorantForm:
        return self._network_form.majorant(self._listed)

    def point_of(self, model: TwoLayerNetwork) -> Neurons:
        """Return the neurons of a network, each with its two layers' product for its weights.

        That is the network with its layers balanced: the same function, of no larger penalty.
        A neuron of several outputs becomes one for each.

        Parameters
        ----------
        model : TwoLayerNetwork
            For the examples as they are in X.

        Raises
        ------
        ProblemError
            If the problem has no such network: other inputs, outputs or labels, gates, another
            leak, a bias, free linear part or constant where the problem has none, or one that is
            not proved to go as `monotone` asks.
        """
        instance_of("model", model, TwoLayerNetwork, "a TwoLayerNetwork")
        d, k = self.X.shape[1], self.outputs
        if model.U.shape[0] != d or model.alpha.shape[1] != k:
            raise ProblemError(
                f"model must have {d} inputs and {k} outputs, got {model.U.shape[0]} and "
                f"{model.alpha.shape[1]}"
            )
        classes = self.labels.classes
        if model.classes is not None and (
            classes is None or not np.array_equal(model.classes, classes)
        ):
            raise ProblemError(f"model must be for the labels of y, got {shown(model.classes)}")
        constants = np.full(k, model.skip_bias)
        constants = constants if model.offsets is None else constants + model.offsets
        takes_constant = self._constant or (self.skip and self.bias)
        for name, there, allowed, need in (
            ("gates", model.gates is not None, False, "no gates"),
            ("leak", model.leak != self.leak, False, f"leak {self.leak}"),
            ("bias", bool(model.bias.any()), self.bias, "no bias, or bias=True in the problem"),
            ("skip", model.skip is not None and bool(model.skip.any()), self.skip, "no free part"),
            (
                "constant",
                bool(constants.any()),
                takes_constant,
                "no constant, or intercept=True in the problem",
            ),
        ):
            if there and not allowed:
                raise ProblemError(f"model must have {need}; its {name} is not the problem's")
        first = np.vstack([model.U, model.bias[None]]) if self.bias else model.U
        if self.monotone is not None and not model.monotone(self.monotone):
            raise ProblemError(
                "model must be proved monotone by the signs of its weights, as the problem asks: "
                "alpha_j u_jk of one sign for every neuron j; it is not"
            )
        weights = self._within(first)
        columns = list(model.alpha.T)
        owned = [weights * a for a in columns]  # each neuron at each output
        V, W = (
            np.hstack(
                [part * (sign * a > 0.0) * sign for a, part in zip(columns, owned, strict=True)]
            )
            for sign in (1.0, -1.0)
        )
        free = self._still()
        if self.skip:
            linear = np.zeros(d) if model.skip is None else model.skip
            if self.bias and not self._constant:
                linear = np.append(linear, constants[0])
            elif self.bias:
                linear = np.append(linear, 0.0)
            free[: self.design.matrix.shape[1]] = self._within(linear)
        if self._constant:
            free[-1] = constants if free.ndim == 2 else constants[0]
        return Neurons(V, W, free)

    def _within(self, weights: Array) -> Array:
        """Return weights of the data in the coordinates of the design."""
        basis = self.design.basis
        return self.design.scale * (weights if basis is None else basis.T @ weights)

    def needs(self) -> frozenset[str]:
        """Return the cones of the loss and of the penalty."""
        return self._loss.cones | self._norm.cones

    def to_cvxpy(self) -> CvxpyProgram:
        """Return the formula in CVXPY, with variables V, W, s and z.

        Returns
        -------
        CvxpyProgram
        """
        if self.formulation == "majorant":
            return majorant_formula(self._majorant_form, self.needs())
        return conic_formula(self._group_form, self.needs())

    def initial(self) -> tuple[Neurons, Dual]:
        """Return the zero network and the loss's slope there."""
        form = self._network_form
        d = form.X.shape[1]
        mu = -form.loss.gradient(np.zeros_like(form.y), form.y)
        m = 0 if self.patterns is None else self.outputs * self._listed.shape[1]
        return Neurons(np.zeros((d, m)), np.zeros((d, m)), form.still()), Dual(mu)

    def objective(self, primal: Neurons) -> float:
        """Return the objective of the network that the columns of V and W are, patterns aside."""
        X, primal = self.design.matrix, self._signed(primal)
        return self._value(primal, X @ primal.V, X @ primal.W)

    def grade(self, primal: Neurons) -> Grade:
        """Grade a network.

        The objective is the network's own, which is what the user gets and an upper bound on
        the optimum over all patterns, cones satisfied or not; over given patterns a majorant's
        is its value, which is at least that. Weights of a sign that `monotone` excludes count as
        zeros, which they are in the user's network.

        Parameters
        ----------
        primal : Neurons

        Returns
        -------
        Grade
        """
        if self.patterns is None or primal.V.shape[1] + primal.W.shape[1] == 0:
            return Grade(self.objective(primal))
        if self.formulation == "majorant":
            return Grade(self._majorant_form.objective(primal))
        X, primal = self.design.matrix, self._signed(primal)
        XV, XW = X @ primal.V, X @ primal.W
        return Grade(self._value(primal, XV, XW), self._violation(XV, XW))

    def _value(self, primal: Neurons, XV: Array, XW: Array) -> float:
        form = self._outline
        output = summed(form.activate(XV), form.y) - summed(form.activate(XW), form.y)
        z = output + form.span @ primal.skip if form.skip else output
        return float(form.loss.value(z, form.y).sum()) + self._penalty(primal)

    def bound(self, primal: Neurons, dual: Dual, grade: Grade) -> Bound:
        """Return what a dual guess proves of the optimum over the program's patterns.

        Where those are all patterns and too many to list, the bound is the better one of what
        ``dual.covers`` prove and of ``dual.relaxed``, and the scope also says how near the
        objective is to the optimum over the patterns of ``dual.matrix``.

        Parameters
        ----------
        primal : Neurons
        dual : Dual
        grade : Grade
            Of the network.

        Returns
        -------
        Bound
        """
        if self._searched:
            return self._searches.bound(dual)
        known = self._of_nothing(dual, declared_scope(self.patterns))
        if known is not None:
            return known
        slack, free = self.design.slack, self._free
        majorant = self.formulation == "majorant"
        scope = "these patterns" if self.patterns is not None else "all patterns"
        if majorant and self.patterns is not None:
            scope = "the majorant over these patterns"
        elif dual.common is None:
            majorant = False  # over all patterns its optimum is the network's own
        if majorant:
            value = majorant_bound(self._majorant_form, dual, slack=slack, free=free)
        else:
            value = lower_bound(self._group_form, dual, slack=slack, free=free)
        return Bound(value, scope)

    def renewed(self, parts: Mapping[str, Any]) -> Dual | None:
        """Return a dual point that an earlier version saved, None if it is of this one."""
        return renewed(self._network_form, parts)

    @property
    def _searches(self) -> Searches:
        return Searches(self._network_form, self.design.slack, self._free)

    def grader(self) -> Grader[Network]:
        """Return a grader for one run."""
        if self._searched:
            return SearchGrader(self, self._searches)
        return HalvesGrader(self)

    @cached_property
    def _free(self) -> FreePart | None:
        return FreePart(self._outline) if self._outline.skip else None

    def _violation(self, XV: Array, XW: Array) -> float:
        signs = self._group_form.signs
        assert signs is not None
        outside = -np.tile(signs.T, self.outputs)
        worst = max(
            float(np.max(outside * XV, initial=0.0)), float(np.max(outside * XW, initial=0.0))
        )
        largest = max(
            float(np.max(np.abs(XV), initial=0.0)), float(np.max(np.abs(XW), initial=0.0))
        )
        return worst / largest if largest > 0.0 else 0.0

    def build_model(self, primal: Neurons, objective: float | None = None) -> TwoLayerNetwork:
        """Return the network, its dead neurons left out."""
        original, primal = self.design.original, self._signed(primal)
        return self._network(
            original(primal.V),
            original(primal.W),
            skip=original(primal.skip[: self.design.matrix.shape[1]]) if self.skip else None,
            constant=primal.skip[-1:].reshape(-1) if self._constant else None,
            leak=self.leak,
        )

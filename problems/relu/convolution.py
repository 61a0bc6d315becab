"""Convex training of networks of one hidden convolution with average pooling."""

from __future__ import annotations

from dataclasses import KW_ONLY
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from convexnn.contract.arrays import Array, BoolArray, frozen
from convexnn.contract.checks import ProblemError, choice, in_range, positive_int
from convexnn.contract.fields import declaration, default
from convexnn.contract.grading import Bound, Grade, Grader, HalvesGrader
from convexnn.contract.program import CvxpyProgram
from convexnn.contract.system.memory import Size
from convexnn.functions.norms import NORMS, Norm, Nuclear
from convexnn.problems.relu.formulas import conic_formula, group_lasso_formula
from convexnn.problems.relu.gated import shared_layers
from convexnn.problems.relu.listing import (
    LISTED,
    PatternsField,
    checked_patterns,
    declared_scope,
    generators_of,
    listed,
    scope_of,
    shrunk,
    too_many,
)
from convexnn.problems.relu.training import VectorTraining
from convexnn.relu.bound import lower_bound
from convexnn.relu.cells.enumeration import listable
from convexnn.relu.convolution import ENTRIES, ConvNetwork, checked_images, patches
from convexnn.relu.forms import Dual, Neurons, PooledForm, PooledNetworkForm, cone_arrays, summed
from convexnn.relu.network import Network
from convexnn.relu.patterns import Patterns
from convexnn.relu.search_bound import Searches, SearchGrader, renewed

if TYPE_CHECKING:
    from collections.abc import Mapping

FEATURES = 24.0  # bytes an entry of the pooled features takes, measured


@declaration
class Convolution(VectorTraining):
    """Base of the builders for images: patches, shared patterns, the pooled program."""

    FORMS: ClassVar[dict[type, str]] = {PooledForm: "_form"}
    cones: ClassVar[bool]
    penalties: ClassVar[tuple[str, ...]]
    held: ClassVar[float]  # bytes at the peak for each row and pattern, measured
    _: KW_ONLY
    filter_size: int = 3
    stride: int = 1
    patterns: PatternsField = default(None)
    penalty: str = "l2"

    def __post_init__(self) -> None:
        choice("penalty", self.penalty, self.penalties)
        if self.feature_names is not None:
            raise ProblemError("feature_names are names of columns, and must be None for images")
        self._set("filter_size", positive_int("filter_size", self.filter_size))
        self._set("stride", positive_int("stride", self.stride))
        super().__post_init__()
        if not self.data.any():
            raise ProblemError("X must have a patch that is not zero, got only zeros in them")
        kept = self._kept
        if kept is not None:
            kept = np.repeat(kept, len(self.data) // len(self.X))
        self._set("patterns", checked_patterns(self.patterns, len(self.data), "patch", kept))

    def _examples(self) -> Array:
        return in_range("X", checked_images("X", self.X, self.filter_size))

    @property
    def _norm(self) -> Norm:
        if self.penalty == "nuclear":
            return Nuclear(self.outputs) if self.outputs > 1 else NORMS["l2"]
        return NORMS[self.penalty]

    @cached_property
    def data(self) -> Array:
        """The patches of all images, one a row, with a column of ones if there is a bias."""
        rows = patches(self.X, self.filter_size, self.stride)
        if self.bias:
            rows = np.hstack([rows, np.ones((len(rows), 1))])
        frozen(rows)
        return rows

    @cached_property
    def gates(self) -> Patterns:
        """The patterns of the program over all patches; never active ones are dropped."""
        return listed(self.patterns, self.data)

    def remark(self) -> str:
        """Say why there are fewer patterns than were asked for or given."""
        return shrunk(
            self.patterns, None if self.patterns is None else self.gates.matrix, self.data
        )

    def size(self, form: type) -> Size:
        """Return the shapes of either form; a count of patterns is an upper bound.

        The formula states its cones at every patch.
        """
        (N, d), n, k = self.design.matrix.shape, len(self.X), self.outputs
        smooth, count = bool(np.isfinite(self._loss.curvature)), self._count
        if form is PooledNetworkForm:
            return Size(form, n, d, 0, True, smooth, 0.0, outputs=k, bag=N // n)
        examples = N if self.cones and form is CvxpyProgram else n
        own = self.held * N * count + FEATURES * n * d * count
        return Size(form, examples, d, count, self.cones, smooth, own, outputs=k)

    @property
    def _count(self) -> int:
        """The number of patterns, or more."""
        if self.patterns is None:
            return len(self.gates)
        return self.patterns if isinstance(self.patterns, int) else len(self.patterns)

    @cached_property
    def _form(self) -> PooledForm:
        raise NotImplementedError

    def needs(self) -> frozenset[str]:
        """Return the cones of the loss and of the penalty."""
        return self.loss.cones | self._norm.cones

    def initial(self) -> tuple[Neurons, Dual]:
        """Return the zero network and the loss's slope there."""
        form = self._form
        zero = form.neurons(np.zeros((form.blocks, form.X.shape[1])), form.still())
        return zero, Dual(-form.loss.gradient(np.zeros_like(form.y), form.y))

    def _proved(self, dual: Dual) -> float:
        return lower_bound(self._form, dual, slack=self.design.slack)

    def _worth(self, z: Array, primal: Neurons) -> float:
        return float(self._loss.value(z, self.labels.targets).sum()) + self._penalty(primal)

    def _filters(self, U: Array, alpha: Array, gates: Array | None = None) -> ConvNetwork:
        d = self.data.shape[1] - self.bias
        shape = (-1, self.filter_size, self.filter_size, d // self.filter_size**2)
        return ConvNetwork(
            filters=np.ascontiguousarray(U[:d].T).reshape(shape),
            alpha=alpha,
            bias=U[d] if self.bias else np.zeros(U.shape[1]),
            stride=self.stride,
            gates=None if gates is None else np.ascontiguousarray(gates[:d].T).reshape(shape),
            gates_bias=gates[d] if gates is not None and self.bias else None,
            classes=self.labels.classes,
        )


@declaration
class ConvGatedReluTraining(Convolution):
    """Minimise ``sum_i l(f(x_i); y_i) + beta/2 (||U||^2 + ||alpha||^2)``, gated and convolutional.

    ``f(x) = sum_p alpha_p mean_k 1[h_p'x_k >= 0] u_p'x_k`` over the K patches ``x_k`` of an image,
    with fixed gates ``h_p`` that all patches share. It is the group lasso over pooled patches

        minimise  sum_i l(z_i; y_i) + beta sum_p ||u_p||
        where     z_i = sum_p A_pi'u_p,   A_pi = mean_k 1[h_p'x_ik >= 0] x_ik

    a lower bound on `ConvReluTraining` over the same patterns. Several outputs and the penalties
    are those of `GatedReluTraining`.

    Parameters
    ----------
    X : array of shape (n, h, w) or (n, h, w, c)
        Images.
    y, beta, loss, multiclass, weights
        As in `ReluTraining`.
    filter_size : int, default 3
        Height and width of a filter.
    stride : int, default 1
        Pixels from one patch to the next; patches are within the image.
    patterns : None, "all", int, Patterns or array of shape (n K, P), default None
        The gates, patterns of the patches, an image's one after the other as in
        ``convexnn.relu.convolution.patches``. None or "all": every pattern of the patches where at
        most 2,000 exist, else 200 drawn at random (seed 0).
    bias : bool, default False
        An offset of each filter, penalised like its weights.
    penalty : {"l2", "l1", "nuclear"}, default "l2"

    Raises
    ------
    ProblemError
        If a field breaks its rule, or a pattern is that of no generator.

    References
    ----------
    Ergen & Pilanci 2021, "Implicit convex regularizers of CNN architectures"; gates as in Mishkin,
    Sahiner & Pilanci 2022, "Fast convex optimization for two-layer ReLU networks".

    Examples
    --------
    >>> import convexnn as cx
    >>> X = np.random.default_rng(0).standard_normal((30, 5, 5))
    >>> y = np.maximum(X[:, :-1] - X[:, 1:], 0.0).mean(axis=(1, 2))
    >>> solution = cx.solve(cx.ConvGatedReluTraining(X, y, beta=0.01, filter_size=2, patterns=20))
    >>> solution.status.name
    'OPTIMAL'
    >>> solution.model.predict(X).shape
    (30,)
    """

    cones: ClassVar[bool] = False
    penalties: ClassVar[tuple[str, ...]] = ("l2", "l1", "nuclear")
    held: ClassVar[float] = 20.0

    @cached_property
    def gates(self) -> Patterns:
        """The patterns of the program with a generator each; never active ones are dropped."""
        kept = super().gates
        return Patterns(kept.matrix, generators_of(self.data, kept, self.bias))

    @cached_property
    def _form(self) -> PooledForm:
        slopes, _ = cone_arrays(self.gates.matrix, 0.0)
        beta = self.beta / self.design.scale
        targets = self.labels.targets
        matrix = self.design.matrix
        return PooledForm(matrix, targets, slopes, None, self._loss, self._norm, beta, False)

    def to_cvxpy(self) -> CvxpyProgram:
        """Return the formula in CVXPY, with variables U and z."""
        return group_lasso_formula(self._form, self.needs())

    def grade(self, primal: Neurons) -> Grade:
        """Return the objective of the gated network; there are no constraints to violate."""
        if primal.V.shape[1] == 0:
            return Grade(self._idle())
        return Grade(self._worth(self._form.predict(self._form.rows(primal)), primal))

    def bound(self, primal: Neurons, dual: Dual, grade: Grade) -> Bound:
        """Return what a dual guess proves."""
        known = self._of_nothing(dual, declared_scope(self.patterns))
        if known is not None:
            return known
        return Bound(self._proved(dual), scope_of(self.patterns, self.data))

    def build_model(self, primal: Neurons, objective: float | None = None) -> ConvNetwork:
        """Return the gated network, its dead filters left out."""
        if primal.V.shape[1] == 0:
            return self._filters(*self._balanced(*(np.zeros((self.data.shape[1], 0)),) * 2))
        V, gates = self.design.original(primal.V), self.gates.generators
        assert gates is not None
        if self._norm.separable:
            return self._filters(*self._balanced(V, np.zeros((len(V), 0)), gates))
        second, first, p = shared_layers(V, self.outputs)
        return self._filters(first.T, second, gates[:, p])


@declaration
class ConvReluTraining(Convolution):
    """Minimise ``sum_i l(f(x_i); y_i) + beta/2 (||U||^2 + ||alpha||^2)`` over convolutions.

    ``f(x) = sum_j alpha_j mean_k max(u_j'x_k, 0)`` over the K patches ``x_k`` of an image. Over
    patterns of all n K patches it is the convex program of `ReluTraining` on patches as examples,
    but that the output is pooled,

        minimise    sum_i l(z_i; y_i) + beta sum_p (||v_p|| + ||w_p||)
        where       z_i = mean_k sum_p D_pik x_ik'(v_p - w_p)
        subject to  (2 D_pik - 1) x_ik'v_p >= 0,   (2 D_pik - 1) x_ik'w_p >= 0

    whose solutions are networks of the same objective. Of k outputs each filter has one.

    Parameters
    ----------
    X, y, beta, loss, multiclass, weights, filter_size, stride, bias
        As in `ConvGatedReluTraining`.
    patterns : None, "all", int, Patterns or array of shape (n K, P), default None
        None or "all": the program over all patterns of the patches, the network's own problem; of
        many images with several outputs its search takes long, so set a time limit. An int draws
        that many at random (seed 0). Others are used as given.
    penalty : {"l2", "l1"}, default "l2"

    Raises
    ------
    ProblemError
        If a field breaks its rule.

    References
    ----------
    Ergen & Pilanci 2021, "Implicit convex regularizers of CNN architectures".

    Examples
    --------
    >>> import convexnn as cx
    >>> X = np.random.default_rng(0).standard_normal((10, 4, 4))
    >>> y = np.maximum(X[:, :-1] - X[:, 1:], 0.0).mean(axis=(1, 2))
    >>> solution = cx.solve(cx.ConvReluTraining(X, y, beta=0.01, filter_size=2, patterns=10))
    >>> solution.status.name, solution.certificate.scope
    ('OPTIMAL', 'these patterns')
    """

    FORMS: ClassVar[dict[type, str]] = {PooledNetworkForm: "_network_form", PooledForm: "_form"}
    cones: ClassVar[bool] = True
    penalties: ClassVar[tuple[str, ...]] = ("l2", "l1")
    held: ClassVar[float] = 25.0

    def to_cvxpy(self) -> CvxpyProgram:
        """Return the formula in CVXPY, with variables V, W and z."""
        return conic_formula(self._form, self.needs())

    @cached_property
    def _searched(self) -> bool:
        """Whether all patterns are meant, and too many to list."""
        return self.patterns is None and not listable(self.data, LISTED)

    @cached_property
    def matrix(self) -> BoolArray | None:
        """The patterns of the program, (n K, P); None if it is over all and too many to list."""
        return None if self._searched else self.gates.matrix

    def forms(self) -> tuple[type, ...]:
        """Return the program over listed patterns, and the network's own if all are meant."""
        if self.patterns is not None:
            return (PooledForm, CvxpyProgram)
        return (PooledNetworkForm,) if self._searched else super().forms()

    def withholds(self, form: type) -> str | None:
        """Return the number of patterns where they are meant to be listed, and too many."""
        if form is PooledNetworkForm or not self._searched:
            return None
        return too_many(*self.design.matrix.shape)

    @property
    def _count(self) -> int:
        return 0 if self._searched else super()._count

    @cached_property
    def _network_form(self) -> PooledNetworkForm:
        return self._outline._replace(cells=self.matrix if self.patterns is None else None)

    @cached_property
    def _outline(self) -> PooledNetworkForm:
        """The network's form without its cells, which is enough to grade an answer."""
        return PooledNetworkForm(
            self.design.matrix,
            self.labels.targets,
            self._loss,
            self._norm,
            self.beta / self.design.scale,
            0.0,
            False,
            None,
        )

    @cached_property
    def _form(self) -> PooledForm:
        if self.matrix is None:
            raise ProblemError(self.withholds(PooledForm))
        return self._network_form.over(self.matrix)

    def initial(self) -> tuple[Neurons, Dual]:
        """Return the zero network and the loss's slope there."""
        if self.patterns is not None:
            return super().initial()
        form = self._network_form
        none = np.zeros((form.X.shape[1], 0))
        mu = -form.loss.gradient(np.zeros_like(form.y), form.y)
        return Neurons(none, none, np.zeros((len(none), *form.y.shape[1:]))), Dual(mu)

    def objective(self, primal: Neurons) -> float:
        """Return the network's own objective, patterns aside."""
        return self._graded(primal, None)[0]

    def grade(self, primal: Neurons) -> Grade:
        """Return the network's own objective and, over given patterns, how far it is outside.

        The objective is an upper bound on the optimum over all patterns, cones satisfied or not.
        """
        free = self.patterns is None or primal.V.shape[1] + primal.W.shape[1] == 0
        return Grade(*self._graded(primal, None if free else self.matrix))

    def _graded(self, primal: Neurons, matrix: BoolArray | None) -> tuple[float, float]:
        """Return the network's objective and by how much, relatively, it is outside its cones."""
        form, parts = self._outline, []
        worst = largest = 0.0
        columns = max(primal.V.shape[1], primal.W.shape[1], 1)
        step = form.bag * max(1, ENTRIES // (form.bag * columns))
        for i in range(0, len(form.X), step):
            z = np.zeros(1)
            for sign, weights in ((1.0, primal.V), (-1.0, primal.W)):
                hidden = form.X[i : i + step] @ weights
                z = z + sign * form.pooled(summed(np.maximum(hidden, 0.0), form.y))
                if matrix is None:
                    continue
                largest = max(largest, float(np.max(np.abs(hidden), initial=0.0)))
                outside = np.where(matrix[i : i + step], -1.0, 1.0)
                hidden *= np.tile(outside, self.outputs)
                worst = max(worst, float(np.max(hidden, initial=0.0)))
            parts.append(z)
        violation = worst / largest if largest > 0.0 else 0.0
        return self._worth(np.concatenate(parts), primal), violation

    def bound(self, primal: Neurons, dual: Dual, grade: Grade) -> Bound:
        """Return what a dual guess proves of the optimum over the program's patterns.

        Where those are all patterns and too many to list it is found as for `ReluTraining`, and
        the scope also says how near the objective is to the optimum over the patterns of
        ``dual.matrix``.
        """
        if self._searched:
            return self._searches.bound(dual)
        scope = declared_scope(self.patterns)
        known = self._of_nothing(dual, scope)
        return Bound(self._proved(dual), scope) if known is None else known

    def renewed(self, parts: Mapping[str, Any]) -> Dual | None:
        """Return a dual point that an earlier version saved, None if it is of this one."""
        return renewed(self._network_form, parts)

    @property
    def _searches(self) -> Searches:
        return Searches(self._network_form, self.design.slack)

    def grader(self) -> Grader[Network]:
        """Return a grader for one run."""
        if self._searched:
            return SearchGrader(self, self._searches)
        return HalvesGrader(self)

    def build_model(self, primal: Neurons, objective: float | None = None) -> ConvNetwork:
        """Return the network, its dead filters left out."""
        original = self.design.original
        return self._filters(*self._balanced(original(primal.V), original(primal.W)))

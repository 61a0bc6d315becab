"""Training of two-layer networks of threshold neurons as a lasso over activation patterns."""

from __future__ import annotations

from dataclasses import KW_ONLY
from functools import cached_property
from math import comb
from typing import TYPE_CHECKING

import numpy as np

from convexnn.contract.arrays import Array, BoolArray
from convexnn.contract.checks import ProblemError
from convexnn.contract.fields import declaration, default
from convexnn.contract.grading import Bound, Grade
from convexnn.contract.system.memory import Size
from convexnn.functions.norms import L1
from convexnn.problems.relu.group_lasso import GroupLasso
from convexnn.problems.relu.listing import checked_patterns, declared_scope, generators_of, shrunk
from convexnn.problems.relu.training import affordable, without_dead, without_spare
from convexnn.relu.bound import lower_bound
from convexnn.relu.cells.enumeration import (
    MAX_CELLS,
    RAY_WORK,
    about_cells,
    cells_by_rays,
    enumerate_patterns,
    hyperplanes,
    listable,
)
from convexnn.relu.cells.sampling import sample_patterns
from convexnn.relu.cells.whitening import Whitened, whitened
from convexnn.relu.forms import Dual, GroupForm, Neurons
from convexnn.relu.network import TwoLayerNetwork
from convexnn.relu.patterns import Patterns, cell_count

if TYPE_CHECKING:
    from convexnn.functions.norms import Norm
    from convexnn.problems.relu.listing import PatternsField

GRADING = 17.0  # bytes an entry of the patterns takes when a network is graded, measured
SAME = 1e-15  # unit examples nearer than this, up to sign, are one but for rounding


@declaration
class ThresholdTraining(GroupLasso):
    """Minimise ``sum_i l(f(x_i); y_i) + beta/2 sum_j (s_j^2 + alpha_j^2)`` over threshold networks.

    ``f(x) = sum_j alpha_j s_j 1[h_j'x >= 0]``; a neuron does not see the size of ``h_j``, which
    costs nothing. With the patterns ``d_p = 1[X h_p >= 0]`` it is the lasso

        minimise  sum_i l(z_i; y_i) + beta sum_p |c_p|,   z = sum_p d_p c_p

    Parameters
    ----------
    X, y, beta, loss, weights, risk, feature_names
        As in `ReluTraining`.
    bias : bool, default False
        Whether neurons have an offset, ``1[h_j'x + g_j >= 0]``, free of cost as well.
    patterns : None, "all", int, Patterns or array of shape (n, P), default None
        None or "all": every pattern of the data, at most 100,000, and the optimum is that of all
        networks. An int draws that many. Patterns without generators get one by a max-margin fit.

    Raises
    ------
    ProblemError
        If a field breaks its rule, a pattern is that of no generator, or there are too many.

    Notes
    -----
    An example on the edge of a neuron, ``h'x = 0``, activates it. With a bias, or with data in
    general position, every pattern with examples on the edge is also one without, or the one
    of ``h = 0``; elsewhere the scope says "all patterns of open cells". Where examples differ by
    too little to list all patterns that part them, it says "these patterns". Hyperplanes that
    meet within 1e-11, in units of the data's spread, are taken to meet: where any do, the scope
    says that cells thinner than that are left aside.

    References
    ----------
    Ergen, Gulluk, Lacotte & Pilanci 2023, "Globally optimal training of neural networks with
    threshold activation functions" (arXiv 2303.03382).

    Examples
    --------
    >>> import convexnn as cx
    >>> X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    >>> problem = cx.ThresholdTraining(X, [0.0, 1.0, 1.0, 0.0], beta=0.01, bias=True)
    >>> solution = cx.solve(problem)
    >>> solution.certificate.scope, solution.model.predict(X).round(1)
    ('all patterns', array([0., 1., 1., 0.]))
    """

    _: KW_ONLY
    patterns: PatternsField = default(None)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("patterns", checked_patterns(self.patterns, len(self.X), kept=self._kept))
        if self.patterns is None and not listable(self._whitened.rows, MAX_CELLS):
            m, r = hyperplanes(self._whitened.rows).normals.shape
            raise ProblemError(
                f"patterns must be given, or a count to draw: the data may have "
                f"{about_cells(m, r)}, at most {MAX_CELLS:,} are listed"
            )

    @property
    def _norm(self) -> Norm:
        return L1()

    @cached_property
    def gates(self) -> Patterns:
        """The distinct patterns of the program that are ever active, with a generator each."""
        given = self.patterns
        if given is None:
            still = np.zeros((self.data.shape[1], 1))  # h = 0 activates all examples
            given = self._listed[0].joined(Patterns.generated(self.data, still))
        elif isinstance(given, int):
            given = sample_patterns(self.data, given, active=True)
        distinct: Patterns = given.distinct()
        active = np.flatnonzero(distinct.matrix.any(axis=0))
        if len(active) == 0:
            raise ProblemError("patterns must hold one that is active on an example, got none")
        kept = distinct.take(active)
        constant = kept.matrix.all(axis=0)
        generators = np.zeros((self.data.shape[1], len(kept)))
        if not constant.all():
            some = kept.take(np.flatnonzero(~constant))
            generators[:, ~constant] = generators_of(self.data, some, self.bias)
        return Patterns(kept.matrix, generators)

    @cached_property
    def _whitened(self) -> Whitened:
        return whitened(self.X, self.bias)

    @cached_property
    def _listed(self) -> tuple[Patterns, bool]:
        """The patterns of open cells that a generator has in floats, and whether these are all."""
        white = self._whitened
        every = enumerate_patterns(white.rows)
        assert every.generators is not None
        generators = white.back @ every.generators
        fits = ((self.data @ generators >= 0.0) == every.matrix).all(axis=0)
        told = len(hyperplanes(white.rows).normals) == distinct_directions(self.X, self.bias)
        listed = Patterns(every.matrix[:, fits], generators[:, fits])
        return listed, bool(white.complete and told and fits.all())

    @property
    def matrix(self) -> BoolArray:
        """The patterns of the program, (n, P)."""
        return self.gates.matrix

    @cached_property
    def _scope(self) -> str:
        if self.patterns is not None or not self._listed[1]:
            return "these patterns"
        whole = edges_add_nothing(self.data)
        scope = "all patterns" if whole else "all patterns of open cells"
        normals = hyperplanes(self._whitened.rows).normals
        general = len(self._listed[0]) >= cell_count(*normals.shape)
        return scope if general else f"{scope}; cells thinner than 1e-11 aside"

    def remark(self) -> str:
        """Say why there are fewer patterns than were asked for or given."""
        return shrunk(self.patterns, self.matrix, self.data)

    def size(self, form: type) -> Size:
        """Return the shapes of either form; a count of patterns is an upper bound."""
        n, count = len(self.X), self.patterns
        if count is None:
            count = len(self.gates)
        elif not isinstance(count, int):
            count = len(count)
        smooth = bool(np.isfinite(self._loss.curvature))
        return Size(form, n, 1, count, False, smooth, GRADING * n * count)

    @cached_property
    def _group_form(self) -> GroupForm:
        slopes = np.where(self.matrix, 1.0, 0.0)
        ones = np.ones((len(self.X), 1))
        targets = self.labels.targets
        return GroupForm(ones, targets, slopes, None, self._loss, L1(), self.beta, False)

    def bound(self, primal: Neurons, dual: Dual, grade: Grade) -> Bound:
        """Return what a dual guess proves."""
        known = self._of_nothing(dual, declared_scope(self.patterns))
        if known is not None:
            return known
        return Bound(lower_bound(self._group_form, dual), self._scope)

    def unwritten(self) -> tuple[Neurons, Dual]:
        """Return the zero network and zero multipliers, which are graded without any form."""
        none, y = np.zeros((1, 0)), self.labels.targets
        return Neurons(none, none, np.zeros(1)), Dual(np.zeros_like(y))

    def prune(self, primal: Neurons, objective: float | None = None) -> Neurons:
        """Return the coefficients of the same fit without those that it does not need.

        Where the run has no time left to find them, only the dead ones are left out.
        """
        worth = self.objective(primal) if objective is None else objective
        c = without_dead(primal, L1(), worth / self.beta).V[0]
        used = np.flatnonzero(c)
        if affordable(len(used), len(self.X)):
            c[used] = without_spare(c[used], np.where(self.matrix[:, used], 1.0, 0.0))
        return primal._replace(V=c[None, :])

    def build_model(self, primal: Neurons, objective: float | None = None) -> TwoLayerNetwork:
        """Return the network: neurons gated by their patterns whose linear part is constant."""
        c = primal.V[0]
        used = np.flatnonzero(c)
        root = np.sqrt(np.abs(c[used]))
        d = self.X.shape[1]
        gates = np.zeros((self.data.shape[1], 0))
        if len(used):
            assert self.gates.generators is not None
            gates = self.gates.generators[:, used]
        return TwoLayerNetwork(
            U=np.zeros((d, len(used))),
            alpha=(np.sign(c[used]) * root)[:, None],
            bias=root,
            gates=gates[:d],
            gates_bias=gates[d] if self.bias else None,
            classes=self.labels.classes,
            feature_names=self.feature_names,
        )


def distinct_directions(X: Array, bias: bool) -> int:
    """Return how many hyperplanes ``x_i'h = 0`` there are, or ``x_i'h + g = 0`` with a bias.

    Examples
    --------
    >>> distinct_directions(np.array([[1.0], [1.0 + 1e-15], [-2.0]]), True)
    3
    """
    if bias:
        return len(np.unique(X, axis=0))
    return len(hyperplanes(X, SAME).normals)


def edges_add_nothing(data: Array) -> bool:
    """Tell whether it is clear that open cells have every pattern ``1[X h >= 0]`` of ``h != 0``.

    It is where a column is positive on all examples that are not zero, as that of an offset is,
    or where their directions are in general position and none is another one's negative.

    Examples
    --------
    >>> edges_add_nothing(np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]))
    True
    >>> edges_add_nothing(np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
    False
    """
    rows = data[data.any(axis=1)]
    if len(rows) == 0 or bool((rows > 0.0).all(axis=0).any()):
        return True
    rows = whitened(rows, False).rows
    normals = hyperplanes(rows).normals
    m, r = normals.shape
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    opposite = bool(np.min(unit @ unit.T) < -1.0 + 1e-9) and r > 1
    if opposite or comb(m, r - 1) * 2**r * m > RAY_WORK:
        return False
    return r <= 2 or cells_by_rays(normals) is not None

"""Convex training of gated ReLU networks, and their decomposition into ReLU networks."""

from __future__ import annotations

from dataclasses import KW_ONLY
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convexnn.contract.arrays import Array, BoolArray, IndexArray
from convexnn.contract.checks import ProblemError, choice, flag, shown
from convexnn.contract.fields import declaration, default
from convexnn.contract.grading import Bound, Grade
from convexnn.contract.system.memory import Size
from convexnn.functions.norms import NORMS, Norm, Nuclear
from convexnn.problems.relu.group_lasso import GroupLasso
from convexnn.problems.relu.listing import (
    checked_patterns,
    declared_scope,
    generators_of,
    listed,
    scope_of,
    shrunk,
)
from convexnn.problems.relu.training import VectorTraining
from convexnn.relu.bound import lower_bound
from convexnn.relu.cones import least_distance
from convexnn.relu.forms import Dual, GroupForm, Neurons, cone_arrays, summed
from convexnn.relu.patterns import Patterns

if TYPE_CHECKING:
    from convexnn.problems.relu.listing import PatternsField
    from convexnn.relu.network import TwoLayerNetwork

GRADING = 18.0  # bytes an entry of the patterns takes when a network is graded, measured
RANK = 1e-14  # singular values below this share of the largest are rounding


class Decomposition(NamedTuple):
    """A ReLU network with the predictions of a gated one on the training data.

    Attributes
    ----------
    network : TwoLayerNetwork
    objective : float
        Its objective as a ReLU network: at least that of `ReluTraining` on the same patterns,
        often far above.
    neurons : Neurons
        Feasible for `ReluTraining` on the same patterns.
    """

    network: TwoLayerNetwork
    objective: float
    neurons: Neurons


@declaration
class GatedReluTraining(GroupLasso, VectorTraining):
    """Minimise ``sum_i l(f(x_i); y_i) + beta/2 (||U||_F^2 + ||alpha||^2)`` over gated networks.

    ``f(x) = sum_p 1[h_p'x >= 0] alpha_p u_p'x`` with fixed gates ``h_p``. With ``D_ip = 1[h_p'x_i
    >= 0]`` it is the group lasso

        minimise  sum_i l(z_i; y_i) + beta sum_p ||u_p||,   z = sum_p D_p * (X u_p)

    a lower bound on `ReluTraining` over the same patterns. It is not ReLU training: see
    `decompose` for what a ReLU network with the same predictions costs.

    Of k outputs, the norms "l2" and "l1" are of the vector ``u_p`` of each output: each neuron has
    one output. "nuclear" is the sum of singular values of the d x k matrix ``U_p`` of a pattern:
    ``U_p = sum_j s_j a_j b_j'`` stands for the neurons ``u = sqrt(s_j) a_j`` with the second layer
    ``sqrt(s_j) b_j``, which all outputs share, and ``s_j = (||u||^2 + ||alpha||^2) / 2``.

    Parameters
    ----------
    X, y, beta, loss, bias, multiclass, weights, risk, feature_names
        As in `ReluTraining`.
    patterns : None, "all", int, Patterns or array of shape (n, P), default None
        The gates. None or "all": every pattern of the data where at most 2,000 exist, else
        200 drawn at random (seed 0). Patterns without generators get one by a max-margin fit.
    penalty : {"l2", "l1", "nuclear"}, default "l2"
        With one output the nuclear norm of a d x 1 matrix is its l2 norm. "nuclear" needs a solver
        of semidefinite programs where CVXPY is to solve it.
    intercept : bool, default False
        As in `ReluTraining`.
    monotone : None
        Of a gated network the signs of weights prove nothing: a gate that closes may let the output
        fall. `ReluTraining` takes it.

    Raises
    ------
    ProblemError
        If a field breaks its rule, or a pattern is that of no generator.

    References
    ----------
    Mishkin, Sahiner & Pilanci 2022, "Fast convex optimization for two-layer ReLU networks".

    Examples
    --------
    >>> import convexnn as cx
    >>> X = np.random.default_rng(0).standard_normal((40, 3))
    >>> solution = cx.solve(cx.GatedReluTraining(X, np.abs(X[:, 0]), beta=0.1, patterns=50))
    >>> solution.status.name
    'OPTIMAL'
    """

    _: KW_ONLY
    patterns: PatternsField = default(None)
    penalty: str = "l2"
    intercept: bool = False
    monotone: None = None

    def __post_init__(self) -> None:
        if self.monotone is not None:
            raise ProblemError(
                "monotone must be None for gated networks: a gate that closes may let the output "
                "fall whatever the signs of the weights, so they prove nothing; ReluTraining takes "
                f"it; got {shown(self.monotone)}"
            )
        choice("penalty", self.penalty, ("l2", "l1", "nuclear"))
        super().__post_init__()
        self._set("intercept", flag("intercept", self.intercept))
        self._set("patterns", checked_patterns(self.patterns, len(self.X), kept=self._kept))

    @property
    def _constant(self) -> bool:
        return self.intercept

    @property
    def _norm(self) -> Norm:
        if self.penalty == "nuclear":
            return Nuclear(self.outputs) if self.outputs > 1 else NORMS["l2"]
        return NORMS[self.penalty]

    @cached_property
    def _scope(self) -> str:
        return scope_of(self.patterns, self.data)

    @cached_property
    def gates(self) -> Patterns:
        """The patterns of the program with a generator each; never active ones are dropped."""
        kept = listed(self.patterns, self.data)
        return Patterns(kept.matrix, generators_of(self.data, kept, self.bias))

    @property
    def matrix(self) -> BoolArray:
        """The patterns of the program, (n, P)."""
        return self.gates.matrix

    def remark(self) -> str:
        """Say why there are fewer patterns than were asked for or given."""
        return shrunk(self.patterns, self.matrix, self.data)

    def size(self, form: type) -> Size:
        """Return the shapes of either form; a count of patterns is an upper bound."""
        n, d = self.design.matrix.shape
        count = self.patterns
        if count is None:
            count = len(self.gates)
        elif not isinstance(count, int):
            count = len(count)
        smooth = bool(np.isfinite(self._loss.curvature))
        k = self.outputs
        return Size(form, n, d, count, False, smooth, GRADING * n * count, outputs=k)

    @cached_property
    def _group_form(self) -> GroupForm:
        return self._over(self.design.matrix, np.where(self.matrix, 1.0, 0.0))

    def bound(self, primal: Neurons, dual: Dual, grade: Grade) -> Bound:
        """Return what a dual guess proves."""
        known = self._of_nothing(dual, declared_scope(self.patterns))
        if known is not None:
            return known
        value = lower_bound(self._group_form, dual, slack=self.design.slack, free=self._free)
        return Bound(value, self._scope)

    def build_model(self, primal: Neurons, objective: float | None = None) -> TwoLayerNetwork:
        """Return the gated network, its dead neurons left out."""
        if primal.V.shape[1] == 0:
            return self._network(*(np.zeros((self.data.shape[1], 0)),) * 2)
        V, gates = self.design.original(primal.V), self.gates.generators
        if self._norm.separable:
            nothing = np.zeros((len(V), 0))
            return self._network(V, nothing, constant=self._offset(primal), gates_v=gates)
        assert gates is not None
        second, first, p = shared_layers(V, self.outputs)
        return self._layers(first.T, second, gates[:, p], constant=self._offset(primal))

    def decompose(self, primal: Neurons, *, method: str = "min-norm") -> Decomposition:
        """Return a ReLU network that predicts the same on the training data.

        Each ``u_p`` is split as ``v_p - w_p`` with both in the pattern's cone; of several outputs,
        each with the penalty of a neuron for every output ("l2" or "l1").

        Parameters
        ----------
        primal : Neurons
            As in ``solution.primal``.
        method : {"min-norm", "generator"}, default "min-norm"
            "min-norm" takes the shortest ``w``; "generator" ``w = t h_p`` with the smallest t.

        Returns
        -------
        Decomposition

        Examples
        --------
        >>> import convexnn as cx
        >>> X = np.random.default_rng(0).standard_normal((30, 2))
        >>> gated = cx.GatedReluTraining(X, np.abs(X[:, 0]), beta=0.5)
        >>> solution = cx.solve(gated)
        >>> relu = gated.decompose(solution.primal)
        >>> bool(np.allclose(relu.network.predict(X), solution.model.predict(X)))
        True
        >>> bool(relu.objective >= solution.objective)
        True
        """
        choice("method", method, ("min-norm", "generator"))
        if not self._norm.separable:
            raise ProblemError("penalty must be 'l2' or 'l1' to decompose, got 'nuclear'")
        X = self.design.matrix
        _, signs = cone_arrays(self.matrix, 0.0)
        W = np.zeros_like(primal.V)
        generators = self._design_generators()
        for j in np.flatnonzero(primal.V.any(axis=0)):
            p = j % len(signs)
            rows = signs[p][:, None] * X
            need = np.maximum(0.0, -(rows @ primal.V[:, j]))
            if not need.any():
                continue
            if method == "min-norm":
                W[:, j] = least_distance(rows, need)
            else:
                margin = rows @ generators[:, p]
                used = need > 0.0
                W[:, j] = np.max(need[used] / margin[used]) * generators[:, p]
        neurons, y = Neurons(primal.V + W, W, primal.skip), self.labels.targets
        z = summed(np.maximum(X @ neurons.V, 0.0), y) - summed(np.maximum(X @ W, 0.0), y)
        z = z + self._group_form.free(primal.skip)
        loss = float(self._loss.value(z, y).sum())
        original = self.design.original
        constant = self._offset(primal)
        network = self._network(original(neurons.V), original(neurons.W), constant=constant)
        return Decomposition(network, loss + self._penalty(neurons), neurons)

    def _design_generators(self) -> Array:
        generators = self.gates.generators
        assert generators is not None
        basis = self.design.basis
        return generators if basis is None else basis.T @ generators


def shared_layers(V: Array, outputs: int) -> tuple[Array, Array, IndexArray]:
    """Return the second and first layer of the neurons of each pattern, and their patterns.

    The k columns of a pattern are ``U_p = sum_j s_j a_j b_j'``, a neuron ``sqrt(s_j) a_j`` with the
    outputs ``sqrt(s_j) b_j`` for each singular value.

    Examples
    --------
    >>> second, first, p = shared_layers(np.array([[2.0, 0.0], [0.0, 0.0]]), 2)
    >>> (second.T @ first).round(12) + 0.0
    array([[2., 0.],
           [0., 0.]])
    """
    left, size, right = np.linalg.svd(Nuclear(outputs).blocks(V.T), full_matrices=False)
    p, j = np.nonzero(size > RANK * np.max(size, initial=0.0))
    root = np.sqrt(size[p, j])[:, None]
    return left[p, :, j] * root, right[p, j] * root, p

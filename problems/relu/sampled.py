"""Convex training over a fixed sample of hidden neurons."""

from __future__ import annotations

from dataclasses import KW_ONLY
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from convexnn.contract.arrays import Array, taken
from convexnn.contract.checks import flag, positive_int, seed_of
from convexnn.contract.clock import look
from convexnn.contract.fields import declaration
from convexnn.contract.grading import Bound, Grade
from convexnn.contract.program import CvxpyProgram
from convexnn.contract.reading import borne_out
from convexnn.contract.system.memory import Size
from convexnn.problems.relu.formulas import group_lasso_formula
from convexnn.problems.relu.group_lasso import GroupLasso
from convexnn.relu.bound import lower_bound
from convexnn.relu.forms import Dual, GroupForm, Neurons

if TYPE_CHECKING:
    from convexnn.relu.network import TwoLayerNetwork

ENTRIES = 1 << 22  # features that are made between two looks at the clock
GRADING = 17.0  # bytes an entry of the features takes when a network is graded, measured


@declaration
class SampledReluTraining(GroupLasso):
    """Minimise ``sum_i l(z_i; y_i) + beta ||a||_1``, ``z = sum_j a_j relu(X u_j)``, ``u_j`` drawn.

    A lasso over ``neurons`` hidden neurons drawn uniformly from the unit sphere: an upper bound
    on the optimum over all networks that tightens as more are drawn.

    Parameters
    ----------
    X, y, beta, loss, bias, weights, risk, feature_names
        As in `ReluTraining`.
    neurons : int, default 1000
    seed : int, default 0
    intercept : bool, default False
        As in `ReluTraining`.

    Raises
    ------
    ProblemError
        If a field breaks its rule.

    References
    ----------
    Bai, Gautam & Sojoudi 2022, "Efficient global optimization of two-layer ReLU networks".

    Examples
    --------
    >>> import convexnn as cx
    >>> X = np.random.default_rng(0).standard_normal((40, 3))
    >>> problem = cx.SampledReluTraining(X, np.abs(X[:, 0]), beta=0.1, neurons=200)
    >>> cx.solve(problem).status.name
    'OPTIMAL'
    """

    _: KW_ONLY
    neurons: int = 1000
    seed: int = 0
    intercept: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("neurons", positive_int("neurons", self.neurons))
        self._set("seed", seed_of(self.seed))
        self._set("intercept", flag("intercept", self.intercept))

    @property
    def _constant(self) -> bool:
        return self.intercept

    def unwritten(self) -> tuple[Neurons, Dual]:
        """Return the zero network and zero multipliers, which are graded without any form."""
        none, y = np.zeros((1, 0)), self.labels.targets
        return Neurons(none, none, np.zeros(1)), Dual(np.zeros_like(y))

    @cached_property
    def directions(self) -> Array:
        """The drawn unit vectors, (d, neurons)."""
        borne_out("neurons", self.neurons)
        rng = np.random.default_rng(self.seed)
        draws = rng.standard_normal((self.data.shape[1], self.neurons))
        directions: Array = draws / np.linalg.norm(draws, axis=0)
        return directions

    def size(self, form: type) -> Size:
        """Return the shapes of either form: each neuron is the slopes of a block of one."""
        n = len(self.X)
        smooth = bool(np.isfinite(self._loss.curvature))
        return Size(form, n, 1, self.neurons, False, smooth, GRADING * n * self.neurons)

    @cached_property
    def _group_form(self) -> GroupForm:
        borne_out("neurons", self.neurons)
        features: Array = taken((len(self.X), self.neurons))
        step = max(1, ENTRIES // len(features))
        for first in range(0, self.neurons, step):
            look()
            part = np.s_[:, first : first + step]
            np.maximum(self.data @ self.directions[part], 0.0, out=features[part])
            features[part] /= self.design.scale
        return self._over(np.ones((len(self.X), 1)), features)

    def needs(self) -> frozenset[str]:
        """Return the cones of the loss; the penalty is linear."""
        return self._loss.cones

    def to_cvxpy(self) -> CvxpyProgram:
        """Return the formula in CVXPY, with variables U (one row, the coefficients) and z."""
        from convexnn.functions.norms import L1

        # the l2 norm of a single entry is its absolute value: say so, and linear solvers qualify
        return group_lasso_formula(self._group_form._replace(norm=L1()), self.needs())

    def bound(self, primal: Neurons, dual: Dual, grade: Grade) -> Bound:
        """Return what a dual guess proves of the network over the sampled neurons."""
        known = self._of_nothing(dual, "these neurons")
        if known is not None:
            return known
        return Bound(lower_bound(self._group_form, dual, free=self._free), "these neurons")

    def build_model(self, primal: Neurons, objective: float | None = None) -> TwoLayerNetwork:
        """Return the network of the neurons in use."""
        a = primal.V[0] / self.design.scale
        used = np.flatnonzero(a)
        a = a[used]
        weights = np.abs(a) * self.directions[:, used]
        V, W = weights[:, a > 0.0], weights[:, a < 0.0]
        return self._network(V, W, constant=self._offset(primal))

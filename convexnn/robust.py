"""The canonical form of adversarially robust training: what an adversary can do, bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convexnn.forms import NetworkForm, worst_prediction
from convexnn.norms import DUAL, NORMS, Norm

if TYPE_CHECKING:
    from convexnn.arrays import Array, BoolArray
    from convexnn.forms import Neurons
    from convexnn.losses import Loss


class RobustDual(NamedTuple):
    """Dual point of a robust program.

    Attributes
    ----------
    mu : array of shape (n,)
        ``p - q``, the multipliers of each output's lower bound less those of the upper one.
    common : array of shape (n,)
        ``min(p, q)``; zeros for a loss of margins.
    attack : array of shape (n, d)
        A perturbation of each example, within the ball.
    slack : array of shape (n, 2 P)
        Multipliers of ``slack(V)`` and ``slack(W)``: of an active one at most q, p; of a cone any.
    matrix : array of bool, shape (n, P), or None
        Patterns found so far, where the problem does not list its own.
    outer : array of shape (n,) or None
        A guess of the attacked examples' multipliers, for the bound over all patterns.
    nodes : int
        How many cones a branch and bound over all patterns may visit, where the rank allows one.
    """

    mu: Array
    common: Array
    attack: Array
    slack: Array
    matrix: BoolArray | None = None
    outer: Array | None = None
    nodes: int = 0


class RobustForm(NamedTuple):
    """Minimise ``sum_k h(low_k, up_k; y_k) + beta sum_p (||v_p|| + ||w_p||)``.

    For every perturbation of ``x_k`` in a ball of this radius the output is between ``low`` and
    ``up``: with the slopes ``q_k = sum_p D_kp (v_p - w_p)`` and ``E = 2 D - 1``

        low_k = x_k'q_k - radius ||q_k||_* - sum_p max(0, radius ||w_p||_* - E_kp x_k'w_p)
        up_k  = x_k'q_k + radius ||q_k||_* + sum_p max(0, radius ||v_p||_* - E_kp x_k'v_p)

    and ``h`` is the largest loss between the two, as in `MajorantForm`. With `cones` the last sums
    are constrained to be 0: then no ball is cut by a neuron's hyperplane, and ``h`` is exact.

    Attributes
    ----------
    X : array of shape (n, d)
    y : array of shape (n,)
    matrix : array of bool, shape (n, P)
        The patterns ``D``.
    loss : Loss
        Even in ``z - y`` unless it is a classification loss.
    beta : float
    radius : float
    ball : {"linf", "l2", "l1"}
        Norm of the perturbations; that of the slopes, ``||.||_*``, is its dual.
    moved : array of bool, shape (d,)
        The columns that the adversary may change; ``||.||_*`` is over these.
    cones : bool
    """

    X: Array
    y: Array
    matrix: BoolArray
    loss: Loss
    beta: float
    radius: float
    ball: str
    moved: BoolArray
    cones: bool

    @property
    def blocks(self) -> int:
        """Return the number of penalised blocks, 2 P."""
        return 2 * int(self.matrix.shape[1])

    @property
    def norm(self) -> Norm:
        """Return the norm of the penalty."""
        return NORMS["l2"]

    def reach(self, rows: Array) -> Array:
        """Return ``radius ||.||_*`` of each row."""
        result: Array = self.radius * DUAL[self.ball].value(rows[:, self.moved])
        return result

    def slacks(self, columns: Array, matrix: BoolArray) -> Array:
        """Return ``radius ||v_p||_* - E_kp x_k'v_p``, (n, P): how far each cone is left."""
        return np.where(matrix, -1.0, 1.0) * (self.X @ columns) + self.reach(columns.T)

    def bounds(
        self, neurons: Neurons, patterns: tuple[BoolArray, BoolArray] | None = None
    ) -> tuple[Array, Array]:
        """Return ``low`` and ``up``, the patterns of V and of W the form's unless given."""
        of_v, of_w = (self.matrix, self.matrix) if patterns is None else patterns
        V, W = neurons.V, neurons.W
        q = of_v.astype(np.float64) @ V.T - of_w.astype(np.float64) @ W.T
        z = np.einsum("ij,ij->i", self.X, q)
        spread = self.reach(q)
        low = z - spread - np.maximum(self.slacks(W, of_w), 0.0).sum(axis=1)
        up = z + spread + np.maximum(self.slacks(V, of_v), 0.0).sum(axis=1)
        return low, up

    def own(self, neurons: Neurons) -> tuple[BoolArray, BoolArray]:
        """Return each neuron's own pattern, that of V and that of W."""
        return self.X @ neurons.V >= 0.0, self.X @ neurons.W >= 0.0

    def objective(
        self, neurons: Neurons, patterns: tuple[BoolArray, BoolArray] | None = None
    ) -> float:
        """Return the program's value, without its cones."""
        z = worst_prediction(self.loss, self.y, *self.bounds(neurons, patterns))
        penalty = self.norm.value(neurons.V.T).sum() + self.norm.value(neurons.W.T).sum()
        return float(self.loss.value(z, self.y).sum() + self.beta * penalty)

    def violation(self, neurons: Neurons) -> float:
        """Return how far the cones are left, relative to the largest activation; 0 without."""
        if not self.cones:
            return 0.0
        worst = largest = 0.0
        for columns in (neurons.V, neurons.W):
            worst = max(worst, float(np.max(self.slacks(columns, self.matrix), initial=0.0)))
            largest = max(largest, float(np.max(np.abs(self.X @ columns), initial=0.0)))
        return worst / largest if worst > 0.0 and largest > 0.0 else float(worst > 0.0)

    def attacked(self, attack: Array) -> NetworkForm:
        """Return plain training on the examples as perturbed: its optimum is a lower bound."""
        moved = self.X + NORMS[self.ball].project(attack * self.moved, self.radius)
        return NetworkForm(moved, self.y, self.loss, self.norm, self.beta, 0.0, False, None)


class RobustNetworkForm(NamedTuple):
    """The robust training problem of networks of any width: the engine finds the patterns.

    Attributes
    ----------
    program : RobustForm
        Without patterns.
    """

    program: RobustForm

    @property
    def X(self) -> Array:  # noqa: N802  # the field's name everywhere
        """Return the examples."""
        return self.program.X

    def over(self, matrix: BoolArray) -> RobustForm:
        """Return the majorant over these patterns."""
        return self.program._replace(matrix=matrix)

    def plain(self) -> NetworkForm:
        """Return training without an adversary."""
        return self.program.attacked(np.zeros_like(self.program.X))

    def objective(self, neurons: Neurons) -> float:
        """Return the bound on a network's worst case by its own patterns."""
        return self.program.objective(neurons, self.program.own(neurons))

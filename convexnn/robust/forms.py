"""The canonical form of adversarially robust training: what an adversary can do, bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convexnn.contract.arrays import readonly
from convexnn.contract.backend import size_of
from convexnn.contract.checks import ProblemError, shown
from convexnn.contract.form import Engines, solved_by
from convexnn.contract.points import floats, kept
from convexnn.functions.norms import DUAL, NORMS, Norm
from convexnn.relu.dual_parts import checked_relaxed
from convexnn.relu.forms import Dual, NetworkForm, worst_prediction
from convexnn.relu.starts import check_neurons
from convexnn.robust.ball_kernels import BOX, CODES, edges
from convexnn.robust.least_margins import Balls, least_margins
from convexnn.robust.rectified import inside
from convexnn.robust.touching_slopes import touch

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array, BoolArray
    from convexnn.contract.problem import Problem
    from convexnn.functions.losses import Loss
    from convexnn.relu.forms import Neurons
    from convexnn.relu.relaxation import Relaxed

INSIDE = 1.0 - 1e-12  # share of the radius that attacks may use: rounding leaves them inside
EDGE = 8.0 * 2.0**-52  # of an entry: what rounding may do to the ends of a box
STEP_WORK = 1e10  # multiplications of an interior-point step up to which it leads: about a second


class RobustDual(NamedTuple):
    """Dual point of a robust program.

    Attributes
    ----------
    mu : array of shape (n,)
        ``p - q``, the multipliers of each output's lower bound less those of the upper one; over
        all patterns those of the outputs on the attacked examples.
    common : array of shape (n,)
        ``min(p, q)``; zeros for a loss of margins.
    attack : array of shape (n, d)
        A perturbation of each example, within the ball.
    left, right : array of shape (n, m)
        Multipliers of ``r - a`` and of ``r + a`` in each slack; over all patterns m is 0.
    relaxed : Relaxed or None
        Over all patterns: a dual point of the relaxation on the attacked examples.
    plain : Dual or None
        Over all patterns: one of plain training on the attacked examples, and its proofs.
    """

    mu: Array
    common: Array
    attack: Array
    left: Array
    right: Array
    relaxed: Relaxed | None = None
    plain: Dual | None = None

    def fitted(self, name: str, like: RobustDual) -> RobustDual:
        """Return a point that can be graded; see `convexnn.contract.points`."""
        parts: dict[str, Any] = {
            side: floats(f"{name}.{side}", getattr(self, side), getattr(like, side).shape)
            for side in ("mu", "common", "attack", "left", "right")
        }
        if self.relaxed is not None:
            parts["relaxed"] = checked_relaxed(f"{name}.relaxed", self.relaxed, parts["mu"])
        if self.plain is not None:
            if not isinstance(self.plain, Dual):
                raise ProblemError(f"{name}.plain must be a Dual or None, got {shown(self.plain)}")
            parts["plain"] = self.plain.fitted(f"{name}.plain", Dual(parts["mu"]))
        return kept(self, parts)


class RobustForm(NamedTuple):
    """Minimise ``sum_k h(low_k, up_k; y_k) + beta (sum_p ||v_p|| + sum_p ||w_p||)``.

    For every perturbation of ``x_k`` in a ball of this radius the output is between ``low`` and
    ``up``: with any slopes ``S`` in [0, 1], ``q_k = sum_p S_kp v_p - sum_p S_kp w_p`` and, for each
    neuron, ``a = x_k'v_p`` and ``r = radius ||v_p||_*``,

        low_k = x_k'q_k - radius ||q_k||_* - sum over w of max(S (r - a), (1 - S) (r + a))
        up_k  = x_k'q_k + radius ||q_k||_* + sum over v of max(S (r - a), (1 - S) (r + a))

    as ``S t <= max(t, 0) <= S t + max(S (r - a), (1 - S)(r + a))`` where ``|t - a| <= r``. Patterns
    are the slopes 0 and 1. ``h`` is the largest loss between the two, as in `MajorantForm`. With
    `cones`, for patterns, the last sums are constrained to be 0: then no ball is cut by a
    neuron's hyperplane, and ``h`` is exact.

    Where a box clips the balls of the norm linf, ``x_k`` is the centre of what it leaves, and
    ``s_k'|.|``, half the sides, takes the place of ``radius ||.||_*``.

    Attributes
    ----------
    X : array of shape (n, d)
        Examples, or the centres of boxes.
    y : array of shape (n,)
    slopes : array of shape (n, m)
        Those of the neurons V before those of W.
    added : int
        Number of the neurons V.
    loss : Loss
        Even in ``z - y`` unless it is a classification loss.
    beta : float
    radius : float
        1 with boxes.
    ball : {"linf", "l2", "l1"}
        Norm of the perturbations; that of the slopes, ``||.||_*``, is its dual.
    moved : array of bool, shape (d,)
        The columns that the adversary may change; ``||.||_*`` is over these.
    cones : bool
    widths : array of shape (n, d) or None
        Half the sides of each example's box, rounded outwards; 0 in columns that stay. None for
        balls.
    """

    X: Array
    y: Array
    slopes: Array
    added: int
    loss: Loss
    beta: float
    radius: float
    ball: str
    moved: BoolArray
    cones: bool
    widths: Array | None = None

    @property
    def blocks(self) -> int:
        """Return the number m of penalised blocks."""
        return int(self.slopes.shape[1])

    @classmethod
    def suited(cls, problem: Problem[Any]) -> Engines:
        """Return interior point, some thirty steps, where a step is cheap; else ADMM alone.

        ADMM has no factor larger than d x d or P x P.
        """
        size = size_of(problem, cls)
        if size is None:
            return Engines(("admm",))
        side = 2 * size.patterns * (size.d + 1)  # of boxes, d counts the reach in each column
        work = side**2 * (size.n + side / 3)
        return Engines(("ipm", "admm") if work <= STEP_WORK else ("admm",))

    def admit(self, primal: Neurons, dual: RobustDual | None) -> tuple[Neurons, RobustDual | None]:
        """Return the start itself, of neurons of this number and length."""
        check_neurons(primal, self.X.shape[1], blocks=self.blocks)
        return primal, dual

    @property
    def norm(self) -> Norm:
        """Return the norm of the penalty."""
        return NORMS["l2"]

    @property
    def signs(self) -> Array:
        """Return 1 for each neuron that adds to the output, -1 for those that subtract."""
        return np.where(np.arange(self.blocks) < self.added, 1.0, -1.0)

    @property
    def kind(self) -> int:
        """Return by which number kernels know the balls or boxes."""
        return CODES[self.ball] if self.widths is None else BOX

    @property
    def own(self) -> Array:
        """Return what kernels take for half the sides of boxes; of balls they do not look at it."""
        return readonly(self.X if self.widths is None else self.widths)

    def over(self, matrix: BoolArray) -> RobustForm:
        """Return the program over patterns, each with a neuron of either sign."""
        slopes = np.ascontiguousarray(np.hstack([matrix, matrix]), np.float64)
        return self._replace(slopes=slopes, added=matrix.shape[1])

    def reach(self, rows: Array) -> Array:
        """Return ``radius ||.||_*`` of each row, (r,); with boxes that at each example, (n, r)."""
        if self.widths is not None:
            at_each: Array = self.widths @ np.abs(rows).T
            return at_each
        result: Array = self.radius * DUAL[self.ball].value(rows[:, self.moved])
        return result

    def spread(self, slopes: Array) -> Array:
        """Return ``radius ||q_k||_*`` of the slopes of each example, one a row."""
        if self.widths is not None:
            own: Array = np.einsum("ij,ij->i", self.widths, np.abs(slopes))
            return own
        return self.reach(slopes)

    def projected(self, attack: Array) -> Array:
        """Return the nearest perturbation of each example that the adversary has."""
        if self.widths is not None:
            return np.clip(attack, -self.widths, self.widths)
        nearest: Array = NORMS[self.ball].project(attack * self.moved, self.radius)
        return nearest

    @property
    def room(self) -> Array:
        """Return half the sides of boxes that rounding leaves inside the examples' own ones."""
        assert self.widths is not None
        lost = EDGE * (np.abs(self.X) + self.widths)
        result: Array = np.maximum(INSIDE * self.widths - lost, 0.0)
        return result

    def within(self, attack: Array) -> Array:
        """Return perturbations that the adversary has, whatever rounding does."""
        if self.widths is not None:
            room = self.room
            return np.clip(attack, -room, room)
        drawn: Array = NORMS[self.ball].project(attack * self.moved, self.radius * INSIDE)
        return drawn

    def slacks(self, weights: Array) -> Array:
        """Return ``max(S (r - a), (1 - S) (r + a))`` of neurons given one a column, (n, m)."""
        a, r = self.X @ weights, self.reach(weights.T)
        return np.maximum(self.slopes * (r - a), (1.0 - self.slopes) * (r + a))

    def bounds(self, neurons: Neurons) -> tuple[Array, Array]:
        """Return ``low`` and ``up``."""
        weights = np.hstack([neurons.V, neurons.W])
        q = (self.slopes * self.signs) @ weights.T
        z, spread = np.einsum("ij,ij->i", self.X, q), self.spread(q)
        slacks = self.slacks(weights)
        return (
            z - spread - slacks[:, self.added :].sum(axis=1),
            z + spread + slacks[:, : self.added].sum(axis=1),
        )

    def worst_attack(self, slopes: Array) -> Array:
        """Return the perturbations that go the farthest along each row's slopes."""
        if self.widths is not None:
            return self.widths * np.sign(slopes)
        attack = np.zeros_like(slopes)
        if not self.moved.any():
            return attack
        inside = np.ascontiguousarray(-slopes[:, self.moved])
        steps = np.zeros_like(inside)
        edges(inside, self.radius, CODES[self.ball], steps)
        attack[:, self.moved] = steps
        return attack

    def objective(self, neurons: Neurons) -> float:
        """Return the program's value, without its cones."""
        z = worst_prediction(self.loss, self.y, *self.bounds(neurons))
        return float(self.loss.value(z, self.y).sum()) + self.penalty(neurons)

    def penalty(self, neurons: Neurons) -> float:
        """Return ``beta (sum_p ||v_p|| + sum_p ||w_p||)``."""
        size = self.norm.value(neurons.V.T).sum() + self.norm.value(neurons.W.T).sum()
        return self.beta * float(size)

    def violation(self, neurons: Neurons) -> float:
        """Return how far the cones are left, relative to the largest activation; 0 without."""
        if not self.cones:
            return 0.0
        weights = np.hstack([neurons.V, neurons.W])
        worst = float(np.max(self.slacks(weights), initial=0.0))
        largest = float(np.max(np.abs(self.X @ weights), initial=0.0))
        return worst / largest if worst > 0.0 and largest > 0.0 else float(worst > 0.0)


@solved_by("convex-concave")
class RobustNetworkForm(NamedTuple):
    """The robust training problem of networks of any width: the engine finds the slopes.

    Attributes
    ----------
    program : RobustForm
        Without neurons.
    """

    program: RobustForm

    def admit(self, primal: Neurons, dual: RobustDual | None) -> tuple[Neurons, RobustDual | None]:
        """Return the start itself, of neurons of this length; there may be any number of them."""
        check_neurons(primal, self.X.shape[1])
        return primal, dual

    @property
    def X(self) -> Array:
        """Return the examples."""
        return self.program.X

    def attacked(self, attack: Array) -> NetworkForm:
        """Return plain training on the examples as perturbed: its optimum is a lower bound."""
        program = self.program
        there, X = program.moved, program.X
        moved = X + program.within(attack)
        if there.any() and program.widths is None:
            start = X[:, there]
            moved[:, there] = inside(start, moved[:, there], program.radius, program.ball)
        return NetworkForm(
            moved, program.y, program.loss, program.norm, program.beta, 0.0, False, None
        )

    def plain(self) -> NetworkForm:
        """Return training without an adversary."""
        return self.attacked(np.zeros_like(self.program.X))

    def touching(self, neurons: Neurons) -> RobustForm:
        """Return the majorant that touches at a network: the best bound found on its worst case.

        The upper bound of a neuron is the chord over its ball, the best there is. The slopes of
        lower bounds are the maximiser of a concave function, by coordinate ascent.
        """
        program = self.program
        weights = np.ascontiguousarray(np.hstack([neurons.V, neurons.W]).T)
        added = neurons.V.shape[1]
        reach = program.reach(weights)
        slopes = np.empty((len(program.X), len(weights)))
        touch(
            readonly(program.X),
            program.y > 0.0,
            program.loss.classification,
            weights,
            added,
            np.ascontiguousarray(np.broadcast_to(reach, slopes.shape)),
            np.flatnonzero(program.moved),
            program.radius,
            program.kind,
            program.own,
            slopes,
        )
        return program._replace(slopes=slopes, added=added)

    def objective(self, neurons: Neurons) -> float:
        """Return a bound on the network's worst case plus its penalty; of small ones its value."""
        program = self.touching(neurons)
        low, up = program.bounds(neurons)
        balls = Balls(program.X, program.moved, program.radius, program.ball, program.widths)
        weights, sign, y = np.hstack([neurons.V, neurons.W]), program.signs, program.y
        if program.loss.classification:
            enough = 1.0 if np.isinf(program.loss.curvature) else np.inf  # of a hinge's margin
            least = y * least_margins(balls, weights, sign, y, enough)
            low, up = np.maximum(low, least), np.minimum(up, least)
        else:
            one = np.ones_like(y)
            low = np.maximum(low, least_margins(balls, weights, sign, one))
            up = np.minimum(up, -least_margins(balls, weights, sign, -one))
        z = worst_prediction(program.loss, y, low, up)
        return float(program.loss.value(z, y).sum()) + program.penalty(neurons)

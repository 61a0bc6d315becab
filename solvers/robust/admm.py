"""ADMM on robust training: slopes, activations and reaches of every example, split from neurons.

Splitting, for neurons U = [V, W] (d x m), signed slopes S and reaches ``t >= radius ||u||_*``:

    u, t   the norms, and the reaches' cones     slopes     Q = S U', of each example
    c      its activations X U                   copies     T = 1 t', of the reaches

Where boxes clip the balls ``t_pj >= |u_pj|`` has an entry for each column, and the copies are
``T = s t``, of half the boxes' sides s.

Each part has a penalty of its own. The examples' terms and the neurons' are exact proximal steps
(`robust_prox.py`). The linear solve is the Sylvester equation

    (rho I + sigma X'X) U + omega U S'S = R,

diagonal in the eigenvectors of ``X'X`` and ``S'S``, which no change of a penalty touches. That of
the reaches in boxes is diagonal in those of ``s's``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Options, Raw, Reporter
from convexnn.contract.system.memory import Size
from convexnn.relu.forms import Neurons
from convexnn.robust.forms import RobustDual, RobustForm
from convexnn.solvers.penalties import checked
from convexnn.solvers.residuals import ratio, size
from convexnn.solvers.robust.admm_prox import prox_examples, prox_neurons
from convexnn.solvers.schedule import Tuner, iterate

MAX_ITER = 20_000
COPIES = 200.0  # bytes for each pattern's or column's copy at an example, both neurons together
RELAX = 1.8
BALANCE = 3.0  # primal residual over dual one, both relative: the bound needs the dual
DEFAULTS = {"relax": RELAX}


@dataclass
class Parts:
    """One array for each part of the splitting."""

    u: Array
    t: Array
    slopes: Array
    c: Array
    copies: Array


NAMES = tuple(field.name for field in fields(Parts))


class Gram:
    """The linear solve of a form, for any penalties.

    Parameters
    ----------
    form : RobustForm
    """

    def __init__(self, form: RobustForm) -> None:
        self.X, self.S = form.X, form.slopes * form.signs
        of_x, self.E = np.linalg.eigh(form.X.T @ form.X)
        of_s, self.F = np.linalg.eigh(self.S.T @ self.S)
        self.of_x, self.of_s = np.maximum(of_x, 0.0)[:, None], np.maximum(of_s, 0.0)[None, :]
        self.widths = form.widths
        if form.widths is not None:
            of_t, self.T = np.linalg.eigh(form.widths.T @ form.widths)
            self.of_t = np.maximum(of_t, 0.0)[:, None]

    def seen(self, t: Array) -> Array:
        """Return the neurons' reaches as every example sees them, (n, m)."""
        if self.widths is not None:
            own: Array = self.widths @ t
            return own
        return np.broadcast_to(t, (len(self.X), len(t)))

    def gathered(self, copies: Array) -> Array:
        """Return what the examples' copies pull at the neurons' reaches."""
        pull: Array = copies.sum(axis=0) if self.widths is None else self.widths.T @ copies
        return pull

    def solve(self, target: Parts, penalty: dict[str, float]) -> Parts:
        """Return the point of the subspace nearest to `target` in the penalties' norm."""
        rho, sigma, omega = penalty["u"], penalty["c"], penalty["slopes"]
        right = rho * target.u + sigma * (self.X.T @ target.c) + omega * (target.slopes.T @ self.S)
        spectrum = rho + sigma * self.of_x + omega * self.of_s
        U = self.E @ ((self.E.T @ right @ self.F) / spectrum) @ self.F.T
        t = penalty["t"] * target.t + penalty["copies"] * self.gathered(target.copies)
        if self.widths is None:
            t /= penalty["t"] + len(self.X) * penalty["copies"]
        else:
            t = self.T @ ((self.T.T @ t) / (penalty["t"] + penalty["copies"] * self.of_t))
        return Parts(U, t, self.S @ U.T, self.X @ U, self.seen(t))


@dataclass
class State:
    """Iterates and penalties of one run.

    Attributes
    ----------
    point, dual : Parts
        The proximal point and the scaled multipliers.
    low, up, left, right : array
        Multipliers of the examples' bounds and of the sides of their slacks.
    moves : dict of str to (float, float)
        Relative primal and dual residual of each part in the last step.
    """

    form: RobustForm
    gram: Gram
    penalty: dict[str, float]
    point: Parts
    dual: Parts
    low: Array
    up: Array
    left: Array
    right: Array
    moves: dict[str, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def begin(
        cls, form: RobustForm, start: Any, penalty: Mapping[str, float] | None = None
    ) -> State:
        """Start from zero or from a primal (and dual) point, with these penalties if given."""
        n, d = form.X.shape
        width = form.blocks
        curvature = form.loss.curvature if np.isfinite(form.loss.curvature) else 1.0
        mean = float(np.sum(np.square(form.X))) / n
        sigma = 0.3 * curvature * np.sqrt(width)
        boxes = form.widths
        first = {
            "u": sigma * mean * n / d,
            "t": sigma * (n if boxes is None else float(np.sum(np.square(boxes))) / d),
            "slopes": 0.3 * curvature * mean,
            "c": sigma,
            "copies": 3.0 * sigma,
        }
        first |= penalty or {}
        reach = (width,) if boxes is None else (d, width)
        shapes = ((d, width), reach, (n, d), (n, width), (n, width))
        point, dual = (Parts(*(np.zeros(shape) for shape in shapes)) for _ in range(2))
        low, up, left, right = (np.zeros(shape) for shape in ((n,), (n,), (n, width), (n, width)))
        state = cls(form, Gram(form), first, point, dual, low, up, left, right)
        if start is not None:
            state.resume(*start)
        return state

    def resume(self, primal: Neurons, dual: RobustDual | None) -> None:
        """Start from a primal point, and a dual one if there is one."""
        form = self.form
        U = np.hstack([primal.V, primal.W])
        t = form.reach(U.T) if form.widths is None else np.abs(U)
        copies = self.gram.seen(t).copy()
        self.point = Parts(U, t, self.gram.S @ U.T, form.X @ U, copies)
        if dual is None or dual.left.shape != self.left.shape:
            return  # multipliers guessed from the network make a slower start than none
        self.low = dual.common + np.maximum(dual.mu, 0.0)
        self.up = dual.common + np.maximum(-dual.mu, 0.0)
        self.left, self.right = dual.left, dual.right
        force, size = self.left - self.right, self.left + self.right
        pull = (self.low - self.up)[:, None] * form.X
        pull -= (self.low + self.up)[:, None] * dual.attack
        held = form.X.T @ force + pull.T @ self.gram.S
        multiplier = Parts(held, -self.gram.gathered(size), -pull, -force, size)
        for name in NAMES:
            setattr(self.dual, name, getattr(multiplier, name) / self.penalty[name])

    def points(self) -> tuple[Neurons, RobustDual]:
        """Return the primal and the dual point at hand."""
        form, added = self.form, self.form.added
        U, mu = self.point.u, self.low - self.up
        total = (self.low + self.up)[:, None]
        pull = mu[:, None] * form.X + self.penalty["slopes"] * self.dual.slopes
        attack = np.where(total > 0.0, pull / np.where(total > 0.0, total, 1.0), 0.0)
        neurons = Neurons(U[:, :added].copy(), U[:, added:].copy(), np.zeros(len(U)))
        common = np.minimum(self.low, self.up)
        return neurons, RobustDual(mu, common, attack * form.moved, self.left, self.right)


def warm_up(form: RobustForm) -> None:
    """Run every kernel once, so that none is compiled while the clock runs."""
    step(State.begin(form, None), RELAX)


def memory(size: Size) -> dict[str, float]:
    """Return 200 bytes for each pattern and column at each example."""
    return {"its copies of the neurons' outputs": COPIES * size.n * (size.patterns + size.d)}


def run(
    form: RobustForm, own: dict[str, Any], options: Options, reporter: Reporter, start: Any
) -> Raw:
    """Iterate until the reporter is satisfied.

    Options
    -------
    relax : float, default 1.8
        Over-relaxation, in [1, 2).
    """
    checked(own)
    state, tuner = State.begin(form, start), Tuner()
    return iterate(
        lambda k: step(state, own["relax"]),
        state.points,
        reporter,
        options.max_iter or MAX_ITER,
        after=lambda k: balance(state, tuner, k),
    )


def step(state: State, relax: float) -> None:
    """Advance the iterates by one step, in place, and keep each part's residuals."""
    form, penalty, point, dual = state.form, state.penalty, state.point, state.dual
    target = Parts(*(getattr(point, name) - getattr(dual, name) for name in NAMES))
    image = state.gram.solve(target, penalty)
    raised = Parts(
        *(
            relax * getattr(image, name)
            + (1.0 - relax) * getattr(point, name)
            + getattr(dual, name)
            for name in NAMES
        )
    )
    rows = np.ascontiguousarray(raised.u.T)
    u, t = prox_neurons(form, rows, raised.t, 1.0 / penalty["u"], 1.0 / penalty["t"])
    steps = 1.0 / penalty["slopes"], 1.0 / penalty["c"], 1.0 / penalty["copies"]
    found = prox_examples(
        form, raised.slopes, raised.c, raised.copies, steps, (state.low, state.up)
    )
    state.low, state.up, state.left, state.right = found.p_low, found.p_up, found.left, found.right
    fresh = Parts(u.T, t, found.q, found.c, found.t)
    for name in NAMES:
        new, old, of = getattr(fresh, name), getattr(point, name), getattr(image, name)
        multiplier = getattr(raised, name) - new
        primal = ratio(size(of - new), max(size(of), size(new)))
        state.moves[name] = primal, ratio(size(new - old), size(multiplier))
        setattr(dual, name, multiplier)
    state.point = fresh


def balance(state: State, tuner: Tuner, k: int) -> None:
    """Change the penalties of the parts whose residuals after step k are out of balance."""
    if not tuner.due(k):
        return
    for name, (primal, dual) in state.moves.items():
        by = tuner.factor(primal, BALANCE * dual)
        if by != 1.0:
            state.penalty[name] *= by
            setattr(state.dual, name, getattr(state.dual, name) / by)

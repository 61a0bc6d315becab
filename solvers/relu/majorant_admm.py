"""ADMM on the majorant: a loss of interval predictions, norms, and nothing that couples them.

Splitting: ``C = X U`` carries the loss, ``U = T`` the norms, for ``U = [V, W]``, and ``c = X s``
the free part. With scaled duals Lambda, lam and gamma:

    U = argmin  sigma/2 ||X U - (C - Lambda)||^2 + rho/2 ||U - (T - lam)||^2
    s = argmin  ||X s - (c - gamma)||^2
    T = prox_{norms / rho}(U + lam)                              lam += U - T
    C, c = prox_{h / sigma}(X U + Lambda, X s + gamma)           Lambda += X U - C,  gamma += ...

The linear solve is one d x d factor. The prox of the loss is exact (`interval_prox.py`) and starts
from the multipliers of the step before.

A linear program (hinge loss, l1 penalty) is the slow case: there each step is averaged with the
point where the run last restarted (Halpern's iteration, with the restarts of Lu & Yang 2024,
"Restarted Halpern PDHG for linear programming").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.linalg import cho_solve

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Options, Raw, Reporter
from convexnn.contract.system.memory import Size
from convexnn.relu.forms import Dual, MajorantForm, Neurons
from convexnn.solvers.cholesky import factored
from convexnn.solvers.penalties import DEFAULTS as DEFAULTS
from convexnn.solvers.penalties import checked
from convexnn.solvers.relu.coordinates import Coordinates, StretchedProx, coordinates
from convexnn.solvers.relu.interval_prox import prox, unknown
from convexnn.solvers.residuals import Move, ratio, size
from convexnn.solvers.schedule import Tuner, iterate

MAX_ITER = 20_000
COPIES = 200.0  # bytes for each pattern's or column's copy at an example, both neurons together
STANDING = 1e-300  # dual residual of a copy that stands still: its penalty rises all the same
REFLECT = 1.9  # over-relaxation of anchored steps


def refusal(form: MajorantForm) -> str | None:
    """Return why the prox cannot take the loss, None if it can."""
    return unknown(form.loss)


def warm_up(form: MajorantForm) -> None:
    """Run every kernel once, so that none is compiled while the clock runs."""
    step(form, State.begin(form, None, None, None), 1.0)


def memory(size: Size) -> dict[str, float]:
    """Return 200 bytes for each pattern and column at each example."""
    return {"its copies of the neurons' outputs": COPIES * size.n * (size.patterns + size.d)}


def run(
    form: MajorantForm, own: dict[str, Any], options: Options, reporter: Reporter, start: Any
) -> Raw:
    """Iterate until the reporter is satisfied.

    Options
    -------
    rho, sigma : float, optional
        Penalties of the copies of the neurons and of the examples' parts, each tuned while the
        run goes on if it is not given.
    relax : float, default 1.6
        Over-relaxation, in [1, 2); a linear program has its own.
    """
    checked(own)
    state = State.begin(form, own["rho"], own["sigma"], start)
    free = own["rho"] is None, own["sigma"] is None
    tuner = Tuner(any(free))
    return iterate(
        lambda k: step(state.form, state, own["relax"]),
        state.points,
        reporter,
        options.max_iter or MAX_ITER,
        after=lambda k: balance(state, tuner, k, *free),
    )


@dataclass
class State:
    """Iterates and penalties of one run, and how large U and X U have been in it.

    They are in other coordinates where columns are badly scaled (coordinates.py).
    """

    form: MajorantForm
    shrink: Callable[[Array, float], Array]
    frame: Coordinates[MajorantForm] | None
    rho: float
    sigma: float
    T: Array
    lam: Array
    C: Array
    Lambda: Array
    c: Array
    gamma: Array
    skip: Array
    p: Array
    q: Array
    gram: Array
    inverse: Array
    anchor: Anchor | None
    factor: Any = None
    size_u: float = 0.0
    size_z: float = 0.0
    move: Move = field(default_factory=Move)

    @classmethod
    def begin(cls, form: MajorantForm, rho: float | None, sigma: float | None, start: Any) -> State:
        """Start from zero or from a primal (and dual) point."""
        frame = coordinates(form)
        norm, beta = form.norm, form.beta

        def plain(rows: Array, step: float) -> Array:
            return norm.prox(rows, step * beta)

        shrink = plain if frame is None else StretchedProx(frame)
        form = form if frame is None else frame.form
        n, d = form.X.shape
        width = form.blocks
        curvature = form.loss.curvature if np.isfinite(form.loss.curvature) else 1.0
        sigma = sigma or curvature * np.sqrt(width)
        gram = form.X.T @ form.X
        rho = rho or sigma * float(np.trace(gram)) / d
        linear = np.isinf(form.loss.curvature) and not form.norm.rotates
        zero = np.zeros(n)
        state = cls(
            form,
            shrink,
            frame,
            rho,
            sigma,
            np.zeros((d, width)),
            np.zeros((d, width)),
            np.zeros((n, width)),
            np.zeros((n, width)),
            zero,
            zero.copy(),
            np.zeros(form.span.shape[1]),
            zero.copy(),
            zero.copy(),
            gram,
            np.asarray(np.linalg.pinv(form.span) if form.skip else np.zeros((d, n)), np.float64),
            Anchor() if linear else None,
        )
        if start is not None:
            state.resume(*(start if frame is None else frame.start(start)))
        state.refactor()
        return state

    def resume(self, primal: Neurons, dual: Dual | None) -> None:
        """Start from a primal point and the multipliers that it or a dual point suggests."""
        form = self.form
        suggested = form.dual(primal)
        if dual is None:
            dual = suggested
        common = np.zeros_like(dual.mu) if dual.common is None else dual.common
        kinks = suggested.kinks if dual.kinks is None else dual.kinks
        assert kinks is not None
        self.p, self.q = common + np.maximum(dual.mu, 0.0), common + np.maximum(-dual.mu, 0.0)
        half = form.slopes.shape[1]
        force = np.empty_like(self.C)
        force[:, :half] = self.p[:, None] * form.slopes - self.q[:, None] * kinks[:, :half]
        force[:, half:] = self.q[:, None] * form.slopes - self.p[:, None] * kinks[:, half:]
        self.T, self.skip = np.hstack([primal.V, primal.W]), primal.skip.copy()
        self.C, self.c = form.X @ self.T, form.span @ self.skip
        self.Lambda = -force / self.sigma
        self.gamma = (self.q - self.p) / self.sigma if form.skip else self.gamma
        self.lam = form.X.T @ force / self.rho

    def refactor(self) -> None:
        """Factor for the penalties at hand."""
        matrix = self.sigma * self.gram
        matrix.flat[:: len(matrix) + 1] += self.rho
        self.factor = factored(matrix)

    def points(self) -> tuple[Neurons, Dual]:
        """Return the primal and the dual point at hand."""
        half, leak = self.form.slopes.shape[1], self.form.leak
        p, q = self.p, self.q
        neurons = Neurons(self.T[:, :half].copy(), self.T[:, half:].copy(), self.skip.copy())
        neurons = neurons if self.frame is None else self.frame.point(neurons)
        weight = np.hstack([np.broadcast_to(side[:, None], (len(side), half)) for side in (q, p)])
        other = np.hstack([p[:, None] * self.form.slopes, q[:, None] * self.form.slopes])
        inside = (other + self.sigma * self.Lambda) / np.where(weight > 0.0, weight, 1.0)
        kinks = np.where(self.C > 0.0, 1.0, np.where(self.C < 0.0, leak, inside))
        return neurons, Dual(p - q, common=np.minimum(p, q), kinks=np.clip(kinks, leak, 1.0))


@dataclass
class Anchor:
    """Where the iteration last restarted, and what its residual was there.

    Attributes
    ----------
    points : tuple of array
        ``T + lam``, ``C + Lambda`` and ``c + gamma``; none where the next step is to restart.
    steps, total : int
        Since then, and in all.
    first, last : float
        Length of the first step since then and of the last one.
    """

    points: tuple[Array, ...] = ()
    steps: int = 0
    total: int = 0
    first: float = np.inf
    last: float = np.inf

    def pull(self, points: tuple[Array, ...], moved: tuple[Array, ...], length: float) -> None:
        """Average `moved`, in place, with the anchor; restart first where that pays."""
        fallen = length <= 0.2 * self.first
        stalled = length <= 0.8 * self.first and length > self.last
        if not self.points or fallen or stalled or self.steps >= 0.36 * self.total:
            self.points, self.steps, self.first = points, 0, length
        self.last = length
        self.steps += 1
        self.total += 1
        share = 1.0 / (self.steps + 1.0)
        for new, old in zip(moved, self.points, strict=True):
            new += share * (old - new)


def step(form: MajorantForm, state: State, relax: float) -> None:
    """Advance the iterates by one step, in place, and keep its residuals.

    Those of ``U = T`` and of ``X U, X s = C, c`` are relative to the run's sizes.
    """
    rho, sigma = state.rho, state.sigma
    right = sigma * (form.X.T @ (state.C - state.Lambda)) + rho * (state.T - state.lam)
    U = cho_solve(state.factor, right, overwrite_b=True, check_finite=False)
    image = form.X @ U
    apart_u, apart_z, apart_free = U - state.T, image - state.C, np.zeros_like(state.c)
    if form.skip:
        state.skip = state.inverse @ (state.c - state.gamma)
        apart_free = form.span @ state.skip - state.c
    relax = relax if state.anchor is None else REFLECT
    shifted = state.T + state.lam + relax * apart_u
    raised = state.C + state.Lambda + relax * apart_z
    free = state.c + state.gamma + relax * apart_free
    if state.anchor is not None:
        square = rho * size(apart_u) ** 2 + sigma * size(apart_z, apart_free) ** 2
        held = (state.T + state.lam, state.C + state.Lambda, state.c + state.gamma)
        state.anchor.pull(held, (shifted, raised, free), float(np.sqrt(square)))
    T = state.shrink(np.ascontiguousarray(shifted.T), 1.0 / rho).T
    lam = shifted - T
    C, c = prox(form, raised, free, sigma, state.p, state.q)
    Lambda = raised - C
    state.size_u = max(state.size_u, size(U), size(T))
    state.size_z = max(state.size_z, size(C, c), size(image, apart_free + state.c))
    state.move = Move(
        ratio(size(U - T), state.size_u),
        ratio(size(T - state.T), size(lam)),
        ratio(size(image - C, apart_free + state.c - c), state.size_z),
        ratio(size(C - state.C, c - state.c), size(Lambda, free - c)),
    )
    state.T, state.lam, state.C, state.Lambda = T, lam, C, Lambda
    if form.skip:
        state.c, state.gamma = c, free - c


def balance(state: State, tuner: Tuner, k: int, rho: bool = True, sigma: bool = True) -> None:
    """Change the free penalties whose residuals after step k are out of balance."""
    if not tuner.due(k):
        return
    move = state.move
    if rho:
        by = tuner.factor(move.primal_u, max(move.dual_u, STANDING))
        state.rho *= by
        state.lam /= by
    if sigma:
        by = tuner.factor(move.primal_z, max(move.dual_z, STANDING))
        state.sigma *= by
        state.Lambda /= by
        state.gamma /= by
    if state.anchor is not None:
        state.anchor.points = ()
    state.refactor()

"""ADMM on ``loss(F u + X s) + sum_b penalty_b(u_b)``, with every block's cone in its prox.

Splitting (Boyd et al. 2011, section 3): ``u = v`` carries the norms and cones, ``F u + X s = z``
the loss; a squared loss stays in the linear solve. With scaled duals lam, zeta:

    (u, s) = argmin  sigma/2 ||F u + X s - (z - zeta)||^2 + rho/2 ||u - (v - lam)||^2
    v      = prox_{(norm + cone) / rho}(u + lam)       lam  += u - v
    z      = prox_{loss / sigma}(F u + X s + zeta)     zeta += F u + X s - z

F is n x dP (or twice that) and never built: with ``FF' = c (X X') * (S S')`` the linear solve
is one n x n factor (or, for few unknowns, one dP x dP factor) and two masked products. The
prox is the exact projection on the pattern's cone, shortened (cones.py), so that ``v`` is
feasible and sparse at every step and its certificate is that of a feasible network.

Where columns are badly scaled the iterates are in other coordinates (coordinates.py), in which the
norm is stretched. Then norm and cone have no prox together: u has a copy v for either, each with a
multiplier, and what is reported is the copy in the cones, but for blocks that the norm puts out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.linalg.lapack import dpotrs

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Options, Raw, Reporter
from convexnn.contract.system.memory import Size
from convexnn.functions.losses import Squared
from convexnn.relu.forms import GroupForm
from convexnn.solvers.cholesky import factored
from convexnn.solvers.penalties import DEFAULTS as DEFAULTS
from convexnn.solvers.penalties import checked
from convexnn.solvers.relu.block_prox import BlockProx
from convexnn.solvers.relu.block_prox import warm_up as warm_up
from convexnn.solvers.relu.coordinates import (
    ConeProjection,
    Coordinates,
    StretchedProx,
    coordinates,
)
from convexnn.solvers.residuals import Move, ratio, size
from convexnn.solvers.schedule import Tuner, iterate

MAX_ITER = 20_000
COSTLY_ROWS = 2_000  # examples from which a new factor costs as much as many steps
GRAM_ENTRIES = 4_000_000  # of the rows of A that are held at a time to form A'A
FREE = 0.25  # first penalty of blocks without cones, as a share of that with cones


def memory(size: Size) -> dict[str, float]:
    """Return ``32 m^2`` for the matrix, ``m = dP`` if ``2 dP <= n`` else n; 80 a weight."""
    unknowns = size.d * size.patterns
    few = 2 * unknowns <= size.n
    side = unknowns if few else size.n
    parts = {f"its {side:,} x {side:,} matrix and factors": 32.0 * side**2}
    if few:
        parts["the rows behind its matrix"] = 8.0 * min(size.n * unknowns, GRAM_ENTRIES)
    return parts | {"its blocks": 80.0 * size.weights}


def run(
    form: GroupForm, own: dict[str, Any], options: Options, reporter: Reporter, start: Any
) -> Raw:
    """Iterate until the reporter is satisfied.

    Options
    -------
    rho, sigma : float, optional
        Penalties of ``u = v`` and of ``F u + X s = z`` (unused for a squared loss). Tuned
        while the run goes on if neither is given, else kept.
    relax : float, default 1.6
        Over-relaxation, in [1, 2).
    """
    checked(own)
    state = State.begin(form, own["rho"], own["sigma"], start)
    form = state.form
    linear = LinearSolve(form, state.weight / state.sigma)
    costly = state.direct and len(form.y) > COSTLY_ROWS
    free = own["rho"] is None and own["sigma"] is None
    tuner = Tuner(free, tolerated=3.0 if costly else 1.2)
    return iterate(
        lambda k: step(form, state, linear, own["relax"]),
        state.points,
        reporter,
        options.max_iter or MAX_ITER,
        after=lambda k: balance(state, linear, tuner, k),
    )


@dataclass
class State:
    """Iterates and penalties of one run; of `v` and `lam` there is one for each copy of blocks."""

    form: GroupForm
    frame: Coordinates[GroupForm] | None
    proxes: tuple[BlockProx | StretchedProx, ...]
    direct: bool
    rho: float
    sigma: float
    v: Array
    lam: Array
    z: Array
    zeta: Array
    skip: Array
    mu: Array
    fit: Callable[[Array, Array, float], Array]
    move: Move = field(default_factory=Move)

    @classmethod
    def begin(cls, form: GroupForm, rho: float | None, sigma: float | None, start: Any) -> State:
        """Start from zero or from a primal (and dual) point."""
        frame = coordinates(form)
        proxes: tuple[BlockProx | StretchedProx, ...] = (BlockProx(form),)
        if frame is not None:
            form = frame.form
            proxes = (StretchedProx(frame),)
            if form.signs is not None:
                proxes += (ConeProjection(form),)
        d = form.X.shape[1]
        direct = isinstance(form.loss, Squared)
        curvature = form.loss.plain.curvature
        sigma = 1.0 if direct else sigma or (curvature if np.isfinite(curvature) else 1.0)
        scale = form.column_square()
        rho = rho or sigma * scale * (FREE if form.signs is None else 1.0)
        v = np.zeros((len(proxes), form.blocks, d))
        state = cls(
            form,
            frame,
            proxes,
            direct,
            rho,
            sigma,
            v,
            np.zeros_like(v),
            np.zeros_like(form.y),
            np.zeros_like(form.y),
            form.still(),
            np.zeros_like(form.y),
            form.loss.proximal(),
        )
        if start is not None:
            primal, dual = start if frame is None else frame.start(start)
            state.v[:], state.skip = form.rows(primal), primal.skip.copy()
            state.z = form.predict(state.v[0]) + form.free(state.skip)
            mu = -form.loss.gradient(state.z, form.y) if dual is None else dual.mu
            state.lam[:] = form.correlate(mu) / state.weight
            state.zeta, state.mu = -mu / sigma, mu
            if dual is not None:
                proxes[-1].start(dual, 1.0 / rho)
        return state

    @property
    def weight(self) -> float:
        """Return the penalty of the blocks' distance from the mean of their copies."""
        return self.rho * len(self.proxes)

    def prox(self, rows: Array) -> Array:
        """Return the prox of each copy."""
        if len(self.proxes) == 1:
            return self.proxes[0](rows[0], 1.0 / self.rho)[None]
        return np.stack(
            [prox(part, 1.0 / self.rho) for prox, part in zip(self.proxes, rows, strict=True)]
        )

    def points(self) -> tuple[Any, Any]:
        """Return the feasible primal and the dual point at hand."""
        rows = self.v[-1]
        if len(self.proxes) > 1:
            rows = rows * self.v[0].any(axis=1, keepdims=True)
        neurons = self.form.neurons(rows, self.skip.copy())
        if self.frame is not None:
            neurons = self.frame.point(neurons)
        return neurons, self.proxes[-1].dual(self.mu, 1.0 / self.rho)


def step(form: GroupForm, state: State, linear: LinearSolve, relax: float) -> None:
    """Advance the iterates by one step, in place, and keep its residuals."""
    rho, sigma = state.weight, state.sigma
    base = state.v - state.lam
    base = base[0] if len(base) == 1 else base.mean(axis=0)
    target = form.y if state.direct else state.z - state.zeta
    q, state.skip = linear.solve(form.predict(base) - target)
    u = base - form.correlate(q)
    fit = target + (rho / sigma) * q
    shifted = relax * u + (1.0 - relax) * state.v + state.lam
    v = state.prox(shifted)
    lam = shifted - v
    primal = ratio(size(u - v), max(size(u), size(v)))
    dual = ratio(size(v - state.v), size(lam))
    state.v, state.lam = v, lam
    if state.direct:
        state.mu, state.move = -rho * q, Move(primal, dual)
        return
    raised = relax * fit + (1.0 - relax) * state.z + state.zeta
    z = state.fit(raised, form.y, 1.0 / sigma)
    zeta = raised - z
    primal_z = ratio(size(fit - z), max(size(fit), size(z)))
    dual_z = ratio(size(z - state.z), size(zeta))
    state.z, state.zeta = z, zeta
    state.mu, state.move = -sigma * zeta, Move(primal, dual, primal_z, dual_z)


class LinearSolve:
    """Solves ``(FF' + kappa I) q = r + X s`` with ``X' q = 0`` where there is a free part s.

    Parameters
    ----------
    form : GroupForm
    kappa : float
        ``rho / sigma``.
    """

    def __init__(self, form: GroupForm, kappa: float) -> None:
        self.form = form
        self.copies = 1.0 if form.signs is None else 2.0
        self.half = form if form.signs is None else form._replace(signs=None)
        self.few = 2 * form.X.shape[1] * form.slopes.shape[1] <= len(form.y)
        self.gram = form.normal(GRAM_ENTRIES) if self.few else self.copies * form.gram()
        self.refactor(kappa)

    def refactor(self, kappa: float) -> None:
        """Factor for another ratio of the penalties."""
        self.kappa = kappa
        shift = kappa / self.copies if self.few else kappa
        matrix = self.gram.copy()
        matrix.flat[:: len(matrix) + 1] += shift
        self.factor, _ = factored(matrix)
        if self.form.skip:
            X = self.form.span
            self.inverse_X = np.column_stack([self._apply(X[:, j]) for j in range(X.shape[1])])
            self.schur = np.linalg.pinv(X.T @ self.inverse_X, hermitian=True)

    def _apply(self, r: Array) -> Array:
        if not self.few:
            result: Array = dpotrs(self.factor, r, lower=1)[0]
            return result
        half = self.half
        if r.ndim < self.form.y.ndim:  # a column of the free part, the same for every output
            half = half._replace(y=self.form.y[:, 0])
        P, d = half.slopes.shape[1], half.X.shape[1]
        right = half.correlate(r).reshape(-1, P * d).T  # a column for each output
        inner = dpotrs(self.factor, right, lower=1)[0]
        return (r - half.predict(np.ascontiguousarray(inner.T).reshape(-1, d))) / self.kappa

    def solve(self, r: Array) -> tuple[Array, Array]:
        """Return ``q`` and the free part ``s``."""
        q = self._apply(r)
        if not self.form.skip:
            return q, self.form.still()
        s = -self.schur @ (self.form.span.T @ q)
        return q + self.inverse_X @ s, s


def balance(state: State, linear: LinearSolve, tuner: Tuner, k: int) -> None:
    """Change both penalties by one factor if the residuals after step k are out of balance.

    So the linear solve keeps its factor, but for a squared loss, whose sigma is fixed.
    """
    if not tuner.due(k):
        return
    move = state.move
    factor = tuner.factor(move.primal_u + move.primal_z, move.dual_u + move.dual_z)
    if factor == 1.0:
        return
    state.rho *= factor
    state.lam /= factor
    last = state.proxes[-1]
    if isinstance(last, BlockProx) and last.facets is not None:
        last.facets.value[...] /= factor
    if state.direct:
        linear.refactor(state.weight / state.sigma)
    else:
        state.sigma *= factor
        state.zeta /= factor

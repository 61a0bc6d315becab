"""A primal-dual interior point for a mean of piecewise losses under a few small cones.

    min_w  cost'w + sum_i share_i phi_i(u1_i, u2_i)
    s.t.   G w <= h,  M_k w + m_k in second-order cones

where ``u1, u2`` are affine in the prediction ``z = Z w`` and in one more variable ``lam = w_j``:

    smooth   phi = softplus(u1) [+ (u2)_+]                                              logistic
    capped   phi = sup { p u1 + q u2 - quad (p + q)^2 / 2 : p, q >= 0, p + q <= cap }   the others

Every sample keeps its own multipliers; eliminating them leaves one system of the size of w, whose
matrix is a weighted Gram matrix of the data plus what the small cones add (see `systems`). Steps
are Mehrotra's predictor and corrector (Nocedal & Wright 2006, section 14.2), with Nesterov-Todd
scaling of the cones.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.system.kernels import kernel
from convexnn.solvers.scaling import Pair, Scaling
from convexnn.solvers.wasserstein.program import Program, Samples
from convexnn.solvers.wasserstein.wide import system

SHRINK = 0.995  # share of the way to the boundary
ROOM = 0.1  # how far inside a warm start begins, relative to a cold one
FRESH = 8  # steps after which the arguments are computed anew, not updated


class SampleState(NamedTuple):
    """What the samples keep of their own, each of shape (n,); slacks drift only by rounding.

    Attributes
    ----------
    p, q : arrays
    room : array
        ``cap - p - q``, of a smooth loss ``1 - q``: kept apart, as the difference cancels.
    side : array
        Of a smooth loss ``1 - p``.
    zp, zq, zroom, zside : arrays
        Multipliers of ``p, q, room, side >= 0``.
    """

    p: Array
    q: Array
    room: Array
    side: Array
    zp: Array
    zq: Array
    zroom: Array
    zside: Array


@kernel(error_model="numpy")
def _curvature(
    u1: Array,
    u2: Array,
    p: Array,
    q: Array,
    room: Array,
    side: Array,
    zp: Array,
    zq: Array,
    zroom: Array,
    zside: Array,
    smooth: bool,
    pair: bool,
    capped: bool,
    quad: float,
    mu: float,
    out: Array,
    D: Array,
    rho: Array,
) -> None:
    """Fill the 2 x 2 curvatures D and the drives rho (2, n): dP = D (du + rho).

    The rows of D (4, n) are the entries and, as these may cancel in it, the determinant.
    ``out`` holds the predictor's changes, zeros before: its products are the second-order terms.
    """
    for i in range(len(u1)):
        top = (mu - out[2, i] * out[6, i]) / room[i] if capped else 0.0
        first = (mu - out[0, i] * out[4, i]) / p[i]
        if smooth:  # p and q part: of p the loss is p u1 less its entropy
            D[0, i] = 1.0 / ((zp[i] + 1.0) / p[i] + (zside[i] + 1.0) / side[i])
            rho[0, i] = u1[i] - np.log(p[i]) + np.log(side[i]) + first
            rho[0, i] -= (mu - out[3, i] * out[7, i]) / side[i]
            D[1, i] = 0.0
            D[2, i] = 0.0
            rho[1, i] = 0.0
            if pair:
                D[2, i] = 1.0 / (zq[i] / q[i] + zroom[i] / room[i])
                rho[1, i] = u2[i] + (mu - out[1, i] * out[5, i]) / q[i] - top
            D[3, i] = D[0, i] * D[2, i]
            continue
        both = p[i] + (q[i] if pair else 0.0)
        stiff = quad + (zroom[i] / room[i] if capped else 0.0)
        rho[0, i] = u1[i] - quad * both + first - top
        x = zp[i] / p[i]
        if pair:
            rho[1, i] = u2[i] - quad * both + (mu - out[1, i] * out[5, i]) / q[i] - top
            y = zq[i] / q[i]
            det = x * y + stiff * (x + y)
            D[0, i] = (y + stiff) / det
            D[1, i] = -stiff / det
            D[2, i] = (x + stiff) / det
            D[3, i] = 1.0 / det
        else:
            D[0, i] = 1.0 / (x + stiff)
            D[1, i] = 0.0
            D[2, i] = 0.0
            D[3, i] = 0.0
            rho[1, i] = 0.0


@kernel(error_model="numpy")
def _changes(
    du1: Array,
    du2: Array,
    D: Array,
    rho: Array,
    p: Array,
    q: Array,
    room: Array,
    side: Array,
    zp: Array,
    zq: Array,
    zroom: Array,
    zside: Array,
    smooth: bool,
    pair: bool,
    capped: bool,
    mu: float,
    out: Array,
) -> float:
    """Replace the predictor's changes out (8, n) of the state; return the largest step below 1."""
    step = 1.0
    for i in range(len(du1)):
        a, b = du1[i] + rho[0, i], du2[i] + rho[1, i]
        dp = D[0, i] * a + D[1, i] * b
        dq = D[1, i] * a + D[2, i] * b
        out[4, i] = (mu - out[0, i] * out[4, i] - zp[i] * dp) / p[i] - zp[i]
        step = min(step, _reach_of(p[i], dp), _reach_of(zp[i], out[4, i]))
        if pair:
            out[5, i] = (mu - out[1, i] * out[5, i] - zq[i] * dq) / q[i] - zq[i]
            step = min(step, _reach_of(q[i], dq), _reach_of(zq[i], out[5, i]))
        if capped:
            more = -(0.0 if smooth else dp) - (dq if pair else 0.0)
            out[6, i] = (mu - out[2, i] * out[6, i] - zroom[i] * more) / room[i] - zroom[i]
            out[2, i] = more
            step = min(step, _reach_of(room[i], more), _reach_of(zroom[i], out[6, i]))
        if smooth:
            out[7, i] = (mu - out[3, i] * out[7, i] + zside[i] * dp) / side[i] - zside[i]
            out[3, i] = -dp
            step = min(step, _reach_of(side[i], -dp), _reach_of(zside[i], out[7, i]))
        out[0, i] = dp
        out[1, i] = dq
    return step


@kernel(inner=True, error_model="numpy")
def _reach_of(value: float, change: float) -> float:
    return float(-value / change) if change < 0.0 else 1.0


@cache
def warm_up() -> None:
    """Compile the kernels, once: they see arrays of floats alone, whatever the program."""
    one, none = np.ones(1), np.zeros((0, 1))
    samples = Samples(np.ones((1, 1)), -1, one, 0.0, one, one, 0.0, one, False, True, 1.0, 0.0)
    PiecewiseInterior(Program(samples, one, none, none[:, 0], (), np.zeros(1), one)).step()


class PiecewiseInterior:
    """The iterate and its steps.

    Parameters
    ----------
    program : Program
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.w, self.nu = program.start.copy(), 0.0
        s = self.s = program.samples
        n = len(s.Z)
        self.n = max(n, 1)
        self.share = np.full(n, 1.0 / self.n) if s.weights is None else s.weights / self.n
        self.capped = bool(np.isfinite(s.cap)) and (s.pair or not s.smooth)
        self.u1, self.u2 = self._values()
        self.room = 1.0 if program.warm is None else ROOM
        self.taken, self.residual = 0, 1.0 + float(np.max(np.abs(program.cost)))
        self.system = system(program, self.share)
        self.x = self._samples_at_start()
        self.bounded = len(program.h) > 0
        self.slack = program.h - program.G @ self.w if self.bounded else program.h
        self.boxes = n * (1 + int(s.pair) + int(self.capped) + int(s.smooth))
        self.heads = [Pair(*_split(M @ self.w + m)) for M, m in program.cones]
        self.pairs = self.boxes + len(self.slack) + len(self.heads)
        level = self._sample_products() / self.boxes if self.boxes else 0.1
        level = max(level, 0.5 * self.room * float(program.cost @ self.w))
        self.y = level / self.slack
        self.duals = []
        for cone in self.heads:
            inside = cone.head**2 - np.sum(cone.tail**2, axis=-1)
            scale = level / inside
            self.duals.append(Pair(scale * cone.head, -scale[:, None] * cone.tail))

    def _samples_at_start(self) -> SampleState:
        """Return samples that meet their own equations, well inside their boxes."""
        s, n, warm = self.s, len(self.s.Z), self.program.warm
        zero, parts = np.zeros(n), 2.0 if s.pair else 1.0
        share = 0.5 if s.smooth else 0.25 * min(s.cap, 4.0)
        p, q = np.full(n, share), np.full(n, share) if s.pair else zero
        room = self.room
        if warm is not None and s.cap < np.inf:
            p = (1.0 - ROOM) * warm[0] + ROOM * p
            q = (1.0 - ROOM) * warm[1] + ROOM * q if s.pair else q
        if s.smooth:
            drive = self.u1 - np.log(p / (1.0 - p))
            zp, zside = np.maximum(-drive, 0.0) + 0.5 * room, np.maximum(drive, 0.0) + 0.5 * room
            if not s.pair:
                return SampleState(p, zero, zero, 1.0 - p, zp, zero, zero, zside)
            zq = np.maximum(-self.u2, 0.0) + 0.5 * room
            return SampleState(p, q, 1.0 - q, 1.0 - p, zp, zq, zq + self.u2, zside)
        high = np.maximum(self.u1, self.u2) if s.pair else self.u1
        zroom = np.maximum(high, 0.0) + room if self.capped else zero
        if not self.capped:  # p + q alone must lift the arguments
            p = np.maximum((np.maximum(high, 0.0) + 1.0) / (s.quad * parts), 1.0)
            q = p.copy() if s.pair else zero
        lift = zroom + s.quad * (p + q)
        left = s.cap - p - q if self.capped else zero
        return SampleState(
            p, q, left, zero, lift - self.u1, lift - self.u2 if s.pair else zero, zroom, zero
        )

    def _values(self) -> tuple[Array, Array]:
        u1, u2 = self._arguments(self.w)
        return u1 + self.s.c1, (u2 + self.s.c2 if self.s.pair else u1)

    def _arguments(self, w: Array) -> tuple[Array, Array]:
        s = self.s
        z = s.Z @ w[: s.Z.shape[1]]
        lam = w[s.lam] if s.lam >= 0 else 0.0
        u1 = s.a1 * z + s.b1 * lam
        return u1, (s.a2 * z + s.b2 * lam if s.pair else u1)

    def _sample_products(self, out: Array | None = None, step: float = 0.0) -> float:
        """Return the sum of the samples' shares of complementary products a step away."""
        x, total = self.x, 0.0
        for k in range(4):  # what a loss does not have stays 0
            value, multiplier = x[k], x[k + 4]
            if out is not None:
                value, multiplier = value + step * out[k], multiplier + step * out[k + 4]
            total += float(value @ (self.share * multiplier))
        return total

    def gap(self) -> float:
        """Return the sum of all complementary products: the duality gap once residuals are gone."""
        total = self._sample_products() + float(self.slack @ self.y)
        for s, y in zip(self.heads, self.duals, strict=True):
            total += float(np.sum(s.head * y.head) + np.sum(s.tail * y.tail))
        return total

    def _pull(self, p: Array, q: Array) -> Array:
        """Return the gradient in w of ``sum share (p u1 + q u2)``."""
        s = self.s
        result = np.zeros(len(self.w))
        slope = s.a1 * p + s.a2 * q if s.pair else s.a1 * p
        share = self.share
        result[: s.Z.shape[1]] = (share * slope) @ s.Z
        if s.lam >= 0:
            result[s.lam] += s.b1 * float(share @ p) + (s.b2 * float(share @ q) if s.pair else 0.0)
        return result

    def step(self) -> tuple[float, float]:
        """Take one predictor-corrector step; return its length and the residual that is left."""
        program, s, x, n = self.program, self.s, self.x, self.n
        D, rho, out = np.empty((4, len(s.Z))), np.empty((2, len(s.Z))), np.zeros((8, len(s.Z)))
        self._curve(0.0, out, D, rho)
        scalings = [Scaling(a, b) for a, b in zip(self.heads, self.duals, strict=True)]
        self.system.factor(D, self.y / self.slack, scalings)
        residual = program.cost.copy()
        if self.bounded:
            residual += program.G.T @ self.y
        for (M, _), y in zip(program.cones, self.duals, strict=True):
            residual -= M[0] * y.head[0] + M[1:].T @ y.tail[0]
        if program.equal is not None:
            residual += self.nu * program.equal
        mu = self.gap() / max(self.pairs, 1)
        nothing = [Pair(np.zeros(1), np.zeros_like(c.tail)) for c in self.heads]

        # predictor
        _, ds, dy, cones, reach, _, _ = self._direction(
            D, rho, residual, scalings, 0.0, out, 0.0, nothing
        )
        after = self._sample_products(out, reach)
        after += float((self.slack + reach * ds) @ (self.y + reach * dy))
        for a, b, (da, db) in zip(self.heads, self.duals, cones, strict=True):
            after += float(
                np.sum((a.head + reach * da.head) * (b.head + reach * db.head))
                + np.sum((a.tail + reach * da.tail) * (b.tail + reach * db.tail))
            )
        now = mu * max(self.pairs, 1)
        sigma = min(1.0, max(after / now, 0.0)) ** 3 if now > 0.0 else 0.0
        target = sigma * mu

        # corrector
        self._curve(n * target, out, D, rho)
        second = [
            _product(W.divide(da), W.times(db)) for W, (da, db) in zip(scalings, cones, strict=True)
        ]
        dw, ds, dy, cones, reach, du1, du2 = self._direction(
            D, rho, residual, scalings, target, out, ds * dy, second
        )
        step = min(1.0, SHRINK * reach)
        self.w = self.w + step * dw
        self.nu += step * self.turn
        self.taken += 1
        if self.taken % FRESH == 0:
            self.u1, self.u2 = self._values()
        else:
            self.u1 = self.u1 + step * du1
            self.u2 = self.u2 + step * du2 if s.pair else self.u1
        self.x = SampleState(*(part + step * out[k] for k, part in enumerate(x)))
        self.slack = self.slack + step * ds
        self.y = self.y + step * dy
        self.heads = [
            Pair(a.head + step * da.head, a.tail + step * da.tail)
            for a, (da, _) in zip(self.heads, cones, strict=True)
        ]
        self.duals = [
            Pair(b.head + step * db.head, b.tail + step * db.tail)
            for b, (_, db) in zip(self.duals, cones, strict=True)
        ]
        self.residual *= 1.0 - step  # stationarity is linear in all variables
        return step, self.residual

    def _curve(self, mu: float, out: Array, D: Array, rho: Array) -> None:
        s = self.s
        _curvature(
            self.u1, self.u2, *self.x, s.smooth, s.pair, self.capped, s.quad, mu, out, D, rho
        )

    def _direction(
        self,
        D: Array,
        rho: Array,
        residual: Array,
        scalings: list[Scaling],
        target: float,
        out: Array,
        ey: Array | float,
        second: list[Pair],
    ) -> tuple[Array, Array, Array, list[tuple[Pair, Pair]], float, Array, Array]:
        """Return the changes of w, slacks, multipliers and cones, the largest step, and du.

        The predictor's changes of the samples, ``out``, give way to the new ones.
        """
        program, s, x = self.program, self.s, self.x
        # dP = D (du + rho), so the drive rho enters the right-hand side as a change of P
        drive_p = D[0] * rho[0] + D[1] * rho[1]
        drive_q = D[1] * rho[0] + D[2] * rho[1]
        rhs = -residual - self._pull(x.p, x.q)
        if s.lam >= 0:
            rhs[s.lam] -= self.share @ (s.b1 * drive_p + s.b2 * drive_q)
        slope = -self.share * (s.a1 * drive_p + s.a2 * drive_q if s.pair else s.a1 * drive_p)
        push = self.y
        if self.bounded:
            push = (target - ey) / self.slack - self.y
            rhs -= program.G.T @ push
        rights = []
        for (M, _), W, b, more in zip(program.cones, scalings, self.duals, second, strict=True):
            scaled = W.times(b)
            square = _product(scaled, scaled)
            wanted = Pair(target - square.head - more.head, -square.tail - more.tail)
            right = _quotient(scaled, wanted)
            rights.append(right)
            back = W.divide(right)
            rhs += M[0] * back.head[0] + M[1:].T @ back.tail[0]
        dw = self.system.solve(rhs, slope)
        self.turn = 0.0  # change of the equality's multiplier
        if program.equal is not None:
            column = self.system.solve(program.equal, np.zeros_like(slope))
            self.turn = float(program.equal @ dw) / float(program.equal @ column)
            dw -= self.turn * column
        du1, du2 = self._arguments(dw)
        reach = float(
            _changes(du1, du2, D, rho, *x, s.smooth, s.pair, self.capped, self.n * target, out)
        )
        ds, dy = self.slack, push
        if self.bounded:
            ds = -(program.G @ dw)
            dy = push - self.y / self.slack * ds
            reach = min(reach, _reach(self.slack, ds), _reach(self.y, dy))
        cones = []
        for (M, _), W, right, a, b in zip(
            program.cones, scalings, rights, self.heads, self.duals, strict=True
        ):
            da = Pair(*_split(M @ dw))
            scaled = W.divide(da)
            db = W.divide(Pair(right.head - scaled.head, right.tail - scaled.tail))
            cones.append((da, db))
            reach = min(reach, _reach_cone(a, da), _reach_cone(b, db))
        return dw, ds, dy, cones, reach, du1, du2


def _split(v: Array) -> tuple[Array, Array]:
    return v[:1], v[None, 1:]


def _product(a: Pair, b: Pair) -> Pair:
    head = a.head * b.head + np.sum(a.tail * b.tail, axis=-1)
    return Pair(head, a.head[:, None] * b.tail + b.head[:, None] * a.tail)


def _quotient(a: Pair, v: Pair) -> Pair:
    """Return x with ``a o x = v``."""
    inside = a.head**2 - np.sum(a.tail**2, axis=-1)
    inner = np.sum(a.tail * v.tail, axis=-1)
    head = (a.head * v.head - inner) / inside
    return Pair(head, (v.tail - head[:, None] * a.tail) / a.head[:, None])


def _reach(values: Array, change: Array) -> float:
    falls = change < 0.0
    return float(np.min(-values[falls] / change[falls], initial=1.0))


def _reach_cone(a: Pair, d: Pair) -> float:
    """Return the largest step in [0, 1] that stays in the cone."""
    h, t, dh, dt = float(a.head[0]), a.tail[0], float(d.head[0]), d.tail[0]
    A, B, C = dh * dh - float(dt @ dt), h * dh - float(t @ dt), h * h - float(t @ t)
    best = 1.0
    root = B * B - A * C
    if abs(A) <= 1e-300:
        if B < 0.0:
            best = min(best, -0.5 * C / B)
    elif root >= 0.0:
        r = np.sqrt(root)
        for x in ((-B - r) / A, (-B + r) / A):
            if x > 0.0:
                best = min(best, x)
    if dh < 0.0:
        best = min(best, -h / dh)
    return float(best)

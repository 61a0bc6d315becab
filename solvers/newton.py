"""Newton's method on the path of a primal-dual interior point, for the worst case of linear models.

The canonical form becomes a `Program` of `convexnn.solvers.interior`: the samples keep their own
multipliers, the norm becomes a second-order cone (l2) or linear inequalities (l1, linf), and a
squared risk of order 2 is first compressed by a QR factorisation to a cone of d + 2 entries.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from convexnn.arrays import Array
from convexnn.backend import Capabilities, Options, Raw, Reporter
from convexnn.losses import Logistic
from convexnn.problem import Problem
from convexnn.solvers.interior import Interior, Program, Samples
from convexnn.solvers.options import unpack
from convexnn.wasserstein import Linear, Slopes, WassersteinForm, slopes_at

MAX_ITER = 200
NEAR = 30.0  # times the tolerance: own gap from which every step is certified
EVERY = 5  # steps between certificates before that
STALLED = 1e-10  # step length below which nothing moves
EXHAUSTED = 1e-15  # own gap and residual below which rounding rules


class Newton:
    """Primal-dual interior point for `WassersteinForm`; O(n d^2) a step, some twenty steps."""

    name = "newton"
    capabilities = Capabilities(forms=(WassersteinForm,), best_tol=1e-10)

    def available(self) -> str | None:
        """Return None: it is always there."""
        return None

    def refuses(self, problem: Problem[Any]) -> str | None:
        """Return None: it takes every problem of its form."""
        return None

    def prepare(self, form: WassersteinForm) -> None:
        """Compile the kernels on a few rows."""
        rows = np.unique([int(np.argmin(form.y)), int(np.argmax(form.y)), 0])
        small = form._replace(X=np.ascontiguousarray(form.X[rows]), y=form.y[rows])
        if not (small.squared and (small.radius == 0.0 or small.order == 2.0)):
            Interior(layout(small).program).step()

    def run(
        self, form: WassersteinForm, options: Options, reporter: Reporter, start: Any = None
    ) -> Raw:
        """Iterate until the reporter is satisfied or nothing moves."""
        unpack("newton", options.extra)
        if form.squared and form.radius == 0.0:
            point = least_squares(form)
            if reporter.report(1, point, slopes_at(form, point)):
                return Raw("stopped")
            return Raw("finished", "Least squares to machine precision.")
        plan = layout(form)
        core = Interior(plan.program)
        limit = options.max_iter or MAX_ITER
        for k in range(1, limit + 1):
            step, residual = core.step()
            if not np.isfinite(core.w).all():
                return Raw("failed", "The iterates are no longer finite.")
            point = plan.point(core)
            gap = core.gap()
            near = gap <= NEAR * options.tol * max(1.0, abs(float(plan.program.cost @ core.w)))
            last = k == limit or step <= STALLED or max(gap, residual) <= EXHAUSTED
            if near or last or k % EVERY == 0 or reporter.expired():
                if reporter.report(k, point, plan.slopes(core)):
                    return Raw("stopped", separation(form, point))
                if last and k < limit:
                    return Raw("finished", "Rounding stopped the progress of interior point.")
        return Raw("max_iter")


def separation(form: WassersteinForm, point: Linear) -> str:
    """Return a remark on data that some model separates, where nothing keeps it short."""
    if form.radius > 0.0 or not isinstance(form.loss, Logistic):
        return ""
    if np.min(form.y * form.predict(point)) <= 0.0:
        return ""
    return "The data are separable: the risk tends to 0 and no model attains it."


class Plan(NamedTuple):
    """A program, and how to read its iterates.

    Attributes
    ----------
    form : WassersteinForm
    program : Program
    compressed : tuple of arrays or None
        Of a squared risk of order 2: the orthonormal rows' basis of the data, (n, k), and the unit
        residual that no model reaches, (n,).
    """

    form: WassersteinForm
    program: Program
    compressed: tuple[Array, Array] | None

    def point(self, core: Interior) -> Linear:
        """Return the model of an iterate."""
        d = self.form.X.shape[1]
        c = core.w[d : d + 1] if self.form.intercept else np.zeros(1)
        return Linear(core.w[:d].copy(), c.copy())

    def slopes(self, core: Interior) -> Slopes:
        """Return the dual point of an iterate."""
        form, x = self.form, core.x
        zero = np.zeros(len(form.y))
        if self.compressed is not None:
            basis, rest = self.compressed
            tail = core.duals[0].tail[0] / core.duals[0].head[0]
            return Slopes(-np.sqrt(len(form.y)) * (basis @ tail[:-1] + rest * tail[-1]), zero)
        if form.loss.classification:
            return Slopes(-form.y * x.p, x.q if form.flips else zero)
        if form.squared:
            return Slopes(x.p - x.q, x.p + x.q)
        return Slopes(form.loss.domain(form.y)[0] + x.p, zero)


def layout(form: WassersteinForm) -> Plan:
    """Write the form as a program in ``(b, c, lam, ...)``."""
    n, d = form.X.shape
    Z = np.column_stack([form.X, np.ones(n)]) if form.intercept else form.X
    k = Z.shape[1]
    names = [] if form.radius == 0.0 else ["lam"]
    lifted = form.order == 2.0 and form.loss.classification and form.radius > 0.0
    rooted = form.order == 2.0 and form.squared and form.radius > 0.0
    if lifted:
        names = ["lam", "v"] if form.norm.name == "l2" else ["lam", "v", "t"]
    if rooted:
        names = ["lam", "root"]
    index = {name: k + i for i, name in enumerate(names)}
    linear = form.norm.name == "l1" and form.radius > 0.0
    D = k + len(names) + (d if linear else 0)
    cost, start = np.zeros(D), np.zeros(D)
    rows: list[tuple[dict[int, float], float]] = []
    cones: list[tuple[Array, Array]] = []
    compressed = None
    if rooted:
        head, compressed = _compress(form, Z, D, index["root"])
        cones.append(head)
        cost[index["root"]] = 1.0
        start[index["root"]] = 2.0 * float(np.linalg.norm(head[1])) + 1e-8
    if names:
        lam = index["lam"]
        price = form.lipschitz if np.isfinite(form.lipschitz) else 1.0
        cost[lam] = form.radius * (1.0 if form.loss.classification else price)
        if np.isinf(form.order):
            cost[lam] = 0.0
        start[lam] = max(1.0, 2.0 * form.floor)
        if form.floor > 0.0:
            rows.append(({lam: -1.0}, -form.floor))
        _bound_norm(form, index, D, rows, cones, start, lifted)
    samples = _samples(form, Z, index, cost) if not rooted else _nothing(k)
    G = sparse.lil_array((len(rows), D))
    for i, (row, _) in enumerate(rows):
        for j, value in row.items():
            G[i, j] = value
    h = np.array([right for _, right in rows], dtype=np.float64)
    return Plan(form, Program(samples, cost, G.tocsr(), h, tuple(cones), start), compressed)


def _bound_norm(
    form: WassersteinForm,
    index: dict[str, int],
    D: int,
    rows: list[tuple[dict[int, float], float]],
    cones: list[tuple[Array, Array]],
    start: Array,
    lifted: bool,
) -> None:
    """Append ``||b||_* <= lam``; of order 2 ``||b||_*^2 <= 4 lam v`` with v beside the samples."""
    d, lam = form.X.shape[1], index["lam"]
    if (
        lifted
    ):  # (lam + v)^2 - (lam - v)^2 = 4 lam v; here lam is eps times, v 1 / eps times the text's
        v = index["v"]
        start[v] = 1.0
        tail = list(range(d)) if form.norm.name == "l2" else [index["t"]]
        M = np.zeros((len(tail) + 2, D))
        M[0, lam] = M[0, v] = 1.0
        M[np.arange(1, len(tail) + 1), tail] = 1.0
        M[-1, lam], M[-1, v] = 1.0, -1.0
        cones.append((M, np.zeros(len(M))))
        if form.norm.name == "l2":
            return
        lam = index["t"]
        start[lam] = 0.5
    if form.norm.name == "l2":
        M = np.zeros((d + 1, D))
        M[0, lam] = 1.0
        M[np.arange(1, d + 1), np.arange(d)] = 1.0
        cones.append((M, np.zeros(d + 1)))
    elif form.norm.name == "linf":
        for j in range(d):
            rows.append(({j: 1.0, lam: -1.0}, 0.0))
            rows.append(({j: -1.0, lam: -1.0}, 0.0))
    else:
        first = D - d
        for j in range(d):
            rows.append(({j: 1.0, first + j: -1.0}, 0.0))
            rows.append(({j: -1.0, first + j: -1.0}, 0.0))
        rows.append(({lam: -1.0} | {first + j: 1.0 for j in range(d)}, 0.0))
        start[first:] = 0.5 * start[lam] / d


def _samples(form: WassersteinForm, Z: Array, index: dict[str, int], cost: Array) -> Samples:
    """Return how the losses see ``(b, c, lam)``; add what they have of linear to the cost."""
    n, y = len(form.y), form.y
    none, ones = np.zeros(0), np.ones(n)
    radius = form.radius
    if form.loss.classification:
        lam, b1 = index.get("lam", -1), 0.0
        if np.isinf(form.order):
            b1 = radius
        elif form.order == 2.0 and radius > 0.0:
            lam, b1 = index["v"], radius
        smooth = isinstance(form.loss, Logistic)
        c1 = np.zeros(n) if smooth else ones
        if not form.flips:
            return Samples(Z, lam, -y, b1, c1, none, 0.0, none, smooth, False, 1.0, 0.0)
        return Samples(Z, lam, -y, 0.0, c1, y, -form.flip, c1, smooth, True, 1.0, 0.0)
    lam = index.get("lam", -1)
    if form.squared:
        return Samples(Z, lam, ones, radius, -y, -ones, radius, y, False, True, np.inf, 0.5)
    low, high = (float(side) for side in form.loss.domain(y))
    quad = 0.0 if np.isinf(form.loss.curvature) else 1.0
    cost[: Z.shape[1]] += low * Z.mean(axis=0)
    c1 = -y - quad * low
    return Samples(Z, lam, ones, 0.0, c1, none, 0.0, none, False, False, high - low, quad)


def _nothing(k: int) -> Samples:
    none = np.zeros(0)
    return Samples(
        np.zeros((0, k)), -1, none, 0.0, none, none, 0.0, none, False, False, np.inf, 1.0
    )


def _compress(
    form: WassersteinForm, Z: Array, D: int, root: int
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return the cone of ``root >= ||Z w - y|| / sqrt(n)`` after a QR factorisation of Z."""
    n, k = Z.shape
    Q, R = np.linalg.qr(Z)
    inside = Q.T @ form.y
    rest = form.y - Q @ inside
    rest -= Q @ (Q.T @ rest)
    size = float(np.linalg.norm(rest))
    M = np.zeros((len(R) + 2, D))
    M[0, root] = 1.0
    M[1:-1, :k] = R / np.sqrt(n)
    offset = np.concatenate([[0.0], -inside, [-size]]) / np.sqrt(n)
    return (M, offset), (Q, rest / size if size > 0.0 else rest)


def least_squares(form: WassersteinForm) -> Linear:
    """Return the shortest least-squares model."""
    Z = np.column_stack([form.X, np.ones(len(form.y))]) if form.intercept else form.X
    w: Array = np.linalg.lstsq(Z, form.y, rcond=None)[0].astype(np.float64)
    d = form.X.shape[1]
    return Linear(w[:d], w[d:] if form.intercept else np.zeros(1))

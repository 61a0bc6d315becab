"""Forms of linear decisions as programs of the interior point.

The samples keep their own multipliers, a norm becomes a second-order cone (l2) or linear
inequalities (l1, linf), and a squared risk of order 2 is first compressed by a QR factorisation to
a cone of d + 2 entries.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from convexnn.contract.arrays import Array
from convexnn.functions.losses import Logistic
from convexnn.functions.norms import Norm
from convexnn.solvers.wasserstein.interior import ROOM, Interior, Program, Samples
from convexnn.wasserstein.forms import Linear, Slopes, WassersteinForm
from convexnn.wasserstein.portfolio import PortfolioForm, Stress, Weights

DENSE = 40_000  # entries up to which a dense matrix of inequalities is the faster one


class PortfolioPlan(NamedTuple):
    """A program of a `PortfolioForm`, and how to read its iterates."""

    form: PortfolioForm
    program: Program

    def point(self, core: Interior) -> Weights:
        """Return the portfolio of an iterate."""
        x = np.maximum(core.w[: self.form.returns.shape[1]], 0.0)
        return Weights(x / x.sum())

    def slopes(self, core: Interior) -> Stress:
        """Return the dual point of an iterate."""
        form = self.form
        n, d = form.returns.shape
        tail = form.tail(core.w[:d]) if form.aversion == 0.0 else core.x.p / (n * form.aversion)
        return Stress(tail, _direction(form.norm, core, d) / max(form.price, 1e-300))


def _direction(norm: Norm, core: Interior, d: int) -> Array:
    """Return the multiplier of ``b = b'`` where ``||b'|| <= lam``; the norm's rows come first."""
    if norm.name == "l2":
        tail: Array = core.duals[0].tail[0]
        return -tail
    rows: Array = core.y[: 2 * d]
    return rows[0::2] - rows[1::2]


def portfolio(form: PortfolioForm) -> PortfolioPlan:
    """Write the form as a program in ``(x, tau, lam, ...)``."""
    n, d = form.returns.shape
    linear = form.norm.name == "l1"
    D = d + 2 + (d if linear else 0)
    index = {"tau": d, "lam": d + 1}
    cost, start = np.zeros(D), np.zeros(D)
    cost[:d] = -form.returns.mean(axis=0)
    cost[d], cost[d + 1] = form.aversion, form.price
    start[:d] = 1.0 / d
    start[d] = -float(np.mean(form.returns @ start[:d]))
    start[d + 1] = 2.0
    rows: list[tuple[dict[int, float], float]] = []
    cones: list[tuple[Array, Array]] = []
    bound_norm(form.norm, d, index, D, rows, cones, start, lifted=False)
    if linear:
        start[d + 2 :] = 1.5 / d
    rows += [({j: -1.0}, 0.0) for j in range(d)]
    equal = np.zeros(D)
    equal[:d] = 1.0
    samples = nothing(d + 1)
    if form.aversion > 0.0:
        Z = np.column_stack([form.returns, np.ones(n)])
        none = np.zeros(0)
        cap = form.aversion / form.level
        samples = Samples(
            Z, -1, np.full(n, -1.0), 0.0, np.zeros(n), none, 0.0, none, False, False, cap, 0.0
        )  # fmt: skip
    G, h = matrix(rows, D)
    return PortfolioPlan(form, Program(samples, cost, G, h, tuple(cones), start, equal))


class LinearPlan(NamedTuple):
    """A program of a `WassersteinForm`, and how to read its iterates.

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


def linear(form: WassersteinForm, near: tuple[Linear, Slopes | None] | None = None) -> LinearPlan:
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
        bound_norm(form.norm, d, index, D, rows, cones, start, lifted)
        if form.floor > 0.0:
            rows.append(({lam: -1.0}, -form.floor))
    samples = _samples(form, Z, index, cost) if not rooted else nothing(k)
    G, h = matrix(rows, D)
    warm = None
    cold = lifted or rooted or np.isinf(form.order)  # a warm start gains nothing there
    if near is not None and near[1] is not None and not cold:
        warm = _begin_near(form, index, start, near[0], near[1])
    program = Program(samples, cost, G, h, tuple(cones), start, warm=warm)
    return LinearPlan(form, program, compressed)


def _begin_near(
    form: WassersteinForm, index: dict[str, int], start: Array, point: Linear, slopes: Slopes
) -> tuple[Array, Array]:
    """Move the start to a point just inside; return the samples' multipliers there."""
    d = form.X.shape[1]
    start[:d] = point.coef
    if form.intercept:
        start[d] = point.intercept[0]
    if index:
        length = form.length(point)
        best = max(form.multiplier(form.predict(point), length), form.floor)
        lam = max((1.0 + ROOM) * best, ROOM)
        start[index["lam"]] = lam
        if form.norm.name == "l1":
            start[-d:] = np.abs(point.coef) + 0.5 * (lam - length) / d
    if form.loss.classification:
        return np.abs(slopes.own), slopes.other
    low, high = form.loss.domain(form.y)
    return np.clip(slopes.own, low, high) - low, slopes.other


def matrix(rows: list[tuple[dict[int, float], float]], D: int) -> tuple[Any, Array]:
    """Return ``G w <= h`` of rows given entry by entry."""
    at = [i for i, (row, _) in enumerate(rows) for _ in row]
    column = [j for row, _ in rows for j in row]
    value = [v for row, _ in rows for v in row.values()]
    G: Any = sparse.csr_array((value, (at, column)), shape=(len(rows), D))
    if len(rows) * D <= DENSE:
        G = G.toarray()
    return G, np.array([right for _, right in rows], dtype=np.float64)


def bound_norm(
    norm: Norm,
    d: int,
    index: dict[str, int],
    D: int,
    rows: list[tuple[dict[int, float], float]],
    cones: list[tuple[Array, Array]],
    start: Array,
    lifted: bool,
) -> None:
    """Append ``||b||_* <= lam`` for the first d variables; of order 2 ``||b||_*^2 <= 4 lam v``.

    There the multiplier is ``lam / eps`` and the lift ``eps v``, so that both stay moderate.
    """
    lam = index["lam"]
    if lifted:  # (lam + v)^2 - (lam - v)^2 = 4 lam v
        v = index["v"]
        start[v] = 1.0
        tail = list(range(d)) if norm.name == "l2" else [index["t"]]
        M = np.zeros((len(tail) + 2, D))
        M[0, lam] = M[0, v] = 1.0
        M[np.arange(1, len(tail) + 1), tail] = 1.0
        M[-1, lam], M[-1, v] = 1.0, -1.0
        cones.append((M, np.zeros(len(M))))
        if norm.name == "l2":
            return
        lam = index["t"]
        start[lam] = 0.5
    if norm.name == "l2":
        M = np.zeros((d + 1, D))
        M[0, lam] = 1.0
        M[np.arange(1, d + 1), np.arange(d)] = 1.0
        cones.append((M, np.zeros(d + 1)))
    elif norm.name == "linf":
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


def nothing(k: int) -> Samples:
    """Return no samples at all."""
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

"""Primal-dual interior point for norms of many blocks, each in the cone of its pattern.

``min l(z) + beta sum_b ||u_b||``, ``z = F u + X s``, ``r_b = E_b X u_b >= 0``, is optimal where

    F_b'a = c_b + X'(E_b * lam_b),   a = l'(z),   X'a = 0,
    (t_b, u_b) o (beta, c_b) = 0 in second-order cones,   r_b * lam_b = 0,   lam_b >= 0

(in the l1 norm, one cone of dimension 2 for each coordinate). The engine follows these conditions,
each product relaxed to ``mu``, by Newton's method with Nesterov-Todd scaling of the
second-order cones and Mehrotra's predictor and corrector (Andersen, Roos & Terlaky 2003, "On
implementing a primal-dual interior-point method for conic quadratic optimization", sections 4
and 5). Eliminating all but ``a`` leaves a d x d block ``B_b = H_b + X' diag(lam_b / r_b) X`` each
and one n x n system ``(D + F B^-1 F') da = rhs`` (or one of dP unknowns, if those are few).
A conjugate on an interval (Huber, hinge, logistic) puts ``z = l*'(a) + above - below`` with two
more products per example, one on the whole line (squared) ``z = l*'(a)``. The entropy of the
logistic loss bends like its own barrier, so that ``a`` keeps its sign where examples fit far better
than others, while of ``a = l'(z)``, which is linearised for other losses, nothing would be left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import cho_solve
from scipy.linalg.blas import dsyrk

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Options, Outcome, Raw, Reporter
from convexnn.contract.clock import look
from convexnn.contract.system.memory import Size
from convexnn.functions.norms import Linf
from convexnn.relu.cones import Facets
from convexnn.relu.forms import Dual, GroupForm, Neurons
from convexnn.solvers.blocks import add_rows, factor_blocks, invert_blocks, solve_blocks
from convexnn.solvers.cholesky import factored
from convexnn.solvers.relu.block_prox import warm_up as warm_up_prox
from convexnn.solvers.scaling import Pair, Scaling, dots, product, quotient, room, room_above
from convexnn.solvers.schedule import NO_FURTHER, Falling, iterate

MAX_ITER = 200
CUT_SHORT = 0.1  # a step below which one back to the middle of the path is tried
STALLED = 1e-8  # a step this short leads nowhere
REFINED = 5  # times a solution of the example system is improved, at most
ROUNDING = 1e-14
FELT = 0.01  # of a cone's room: what a direction may have wrong of a block's balance
DIGITS = 2.0**-48  # of a facet's change, that its weight makes part of its multiplier
FLAT = 1e-12  # smallest second derivative of a loss that is told from 0
STRIDE, GROWING = 3.0, 0.2  # change of an output for which a loss is near its quadratic model
BENT = 0.5  # error of its slope's linear model after a step, as a share of the largest slope
SHORTER = 0.7  # the step that is tried next
APART = 1e8  # weight, relative to the rest of its block, from which a facet is factored apart
FEATURES = 30_000_000  # entries of the n x d(d+1)/2 matrix of products that may be kept


def refusal(form: GroupForm) -> str | None:
    """Return None for every form that is a program for each output by itself, in l2 or l1."""
    if isinstance(form.norm, Linf):
        return "it is for neurons in the l2 and the l1 norm, not in linf"
    if not form.loss.additive:
        return "its risk couples the examples"
    return None if form.separable else "its loss or its norm couples the outputs"


def warm_up(form: GroupForm) -> None:
    """Compile the kernels."""
    warm_up_prox(form)
    one = np.ones((1, 1, 1))
    factor_blocks(one.copy())
    add_rows(one.copy(), np.ones((1, 1)), one, np.ones((1, 1)), np.ones((1, 1), np.bool_))
    solve_blocks(one, np.ones((1, 1)))
    invert_blocks(one)


def memory(size: Size) -> dict[str, float]:
    """Return ``16 m^2`` for the matrix, m = n or dP, and what its rows and the facets take."""
    n, unknowns = size.n, size.d * size.patterns
    side = min(n, unknowns)
    parts = {
        f"its {side:,} x {side:,} matrix": 16.0 * side**2,
        "the rows behind its matrix": 16.0 * n * unknowns,
        "its blocks": 48.0 * size.weights / size.outputs * size.d,
    }
    if size.cones:
        parts["its facets"] = 320.0 * n * size.patterns
        parts["its products"] = 8.0 * min(n * size.d * (size.d + 1) / 2, FEATURES)
    return {use: size.outputs * count for use, count in parts.items()}


def run(
    form: GroupForm, own: dict[str, Any], options: Options, reporter: Reporter, start: Any
) -> Raw:
    """Step until the reporter is satisfied or no step helps."""
    front = Front(form)
    limit, due = options.max_iter or MAX_ITER, Falling(front.gap, options.tol)
    return iterate(front.step, front.points, reporter, limit, due=due)


class Front:
    """The best point of each output's program so far, from the start at step 1.

    Outputs do not end together: rounding drives those that are solved away while others step on.

    Parameters
    ----------
    form : GroupForm
    """

    def __init__(self, form: GroupForm) -> None:
        self.form = form
        self.paths = [path(single) for single in form.single()]
        self.best = [next(one) for one in self.paths]
        self.errors = [newton.error(state) for newton, state in self.best]

    def step(self, k: int) -> Raw | None:
        """Step in each output's program; at the end where none can go on."""
        if k == 1:
            return None
        going = False
        for c, one in enumerate(self.paths):
            following = next(one, None)
            if following is None:
                continue
            going = True
            newton, state = following
            error = newton.error(state)
            if error <= self.errors[c]:
                self.best[c], self.errors[c] = following, error
        return None if going else Raw(Outcome.FINISHED, NO_FURTHER)

    def gap(self) -> float:
        """Return the largest gap that the products suggest."""
        return max(newton.gap(state) for newton, state in self.best)

    def sharp(self, tol: float) -> bool:
        """Tell whether the gap is below a tolerance by the objectives as well."""
        return all(
            newton.gap(state) <= tol and newton.difference(state) <= 3.0 * tol
            for newton, state in self.best
        )

    def points(self) -> tuple[Neurons, Dual]:
        """Return the points of the outputs' programs as one."""
        return self.form.joined([newton.points(state) for newton, state in self.best])


def path(form: GroupForm) -> Iterator[tuple[Newton, Iterate]]:
    """Yield the point after each step, as long as rounding allows one."""
    newton = Newton(form)
    state = newton.begin()
    yield newton, state
    while True:
        try:
            following = newton.advance(state)
        except np.linalg.LinAlgError:
            return
        if following is None:
            return
        state = following
        yield newton, state


@dataclass(frozen=True)
class Iterate:
    """A point with all its products positive. ``h`` is 2 with cones, else 1; one block a row.

    Attributes
    ----------
    u, c : array of shape (h, P, d)
    t : array of shape (h, P, g)
        g = 1 in the l2 norm, d in the l1 norm.
    r, lam : array of shape (h, P, n)
        One entry per row of the cones that is not zero; none without cones.
    s : array of shape (d,)
    a, above, below : array of shape (n,)
        The last two are empty where the conjugate's domain is not an interval.
    """

    u: Array
    t: Array
    c: Array
    r: Array
    lam: Array
    s: Array
    a: Array
    above: Array
    below: Array

    def moved(self, move: Iterate, length: float) -> Iterate:
        """Return the point a step away."""
        return Iterate(
            *(x + length * dx for x, dx in zip(_arrays(self), _arrays(move), strict=True))
        )


def _arrays(point: Iterate) -> tuple[Array, ...]:
    return (
        *(point.u, point.t, point.c, point.r, point.lam),
        *(point.s, point.a, point.above, point.below),
    )


class Residuals(NamedTuple):
    """What the linear conditions lack: of the blocks, the facets, the outputs and the free part."""

    block: Array
    facet: Array
    output: Array
    free: Array


class Targets(NamedTuple):
    """Right-hand sides of the linearised products."""

    cone: Pair
    facet: Array
    above: Array
    below: Array


class Newton:
    """One Newton step of the optimality conditions of a form, and what is read from its points."""

    def __init__(self, form: GroupForm) -> None:
        self.form = form
        n, d = form.X.shape
        P = form.slopes.shape[1]
        self.h = 1 if form.signs is None else 2
        self.g: int = 1 if form.norm.rotates else d
        self.k: int = d // self.g
        self.masks = np.ascontiguousarray(form.slopes.T)
        self.facets = np.zeros(0, np.intp)  # rows that bound the cones
        self.G, self.E = np.zeros((0, d)), np.zeros((1, P, 0))
        if form.signs is not None:
            rows, signs = form.cones
            self.facets = np.flatnonzero(np.any(rows != 0.0, axis=1))
            self.G = np.ascontiguousarray(rows[self.facets])
            self.E = signs[:, self.facets].reshape(-1, P, len(self.facets)).astype(np.float64)
        self.side = np.array([1.0, -1.0])[: self.h, None, None]
        self.length = float(np.sqrt(np.sum(np.square(form.X)) / n))
        self.upper = np.triu_indices(d)
        keep = len(self.G) * len(self.upper[0]) <= FEATURES
        self.products = self.G[:, self.upper[0]] * self.G[:, self.upper[1]] if keep else None
        low, high = form.loss.domain(form.y)
        self.low = np.broadcast_to(np.asarray(low, np.float64), n)
        self.high = np.broadcast_to(np.asarray(high, np.float64), n)
        # the conjugate's curvature between two ends or none: of other losses the slope is taken
        one_end = np.isfinite(self.low) != np.isfinite(self.high)
        self.q = None if one_end.any() else form.loss.dual_curvature
        ends = bool(np.isfinite(self.low).all() and np.isfinite(self.high).all())
        self.bounded = ends and (self.q is not None or bool(np.isfinite(form.loss.curvature)))

    @cached_property
    def triangle(self) -> Array:
        """The triangle R of ``F = Q R``, a column of F for each weight."""
        F = self.masks.T[:, :, None] * self.form.X[:, None]
        return np.asarray(np.linalg.qr(F.reshape(len(F), -1), mode="r"))

    # The linear maps

    def predict(self, u: Array) -> Array:
        """Return ``F u``."""
        total = np.sum(self.side * u, axis=0)
        result: Array = np.sum((total @ self.form.X.T) * self.masks, axis=0)
        return result

    def correlate(self, a: Array) -> Array:
        """Return ``F'a``, blocks as in `Iterate`."""
        result: Array = self.side * ((self.masks * a) @ self.form.X)
        return result

    def facing(self, u: Array) -> Array:
        """Return ``E_b * (X u_b)``."""
        result: Array = self.E * (u @ self.G.T)
        return result

    def lifted(self, weights: Array) -> Array:
        """Return ``X'(E_b * weights_b)``."""
        flat = (self.E * weights).reshape(-1, len(self.G))
        result: Array = flat @ self.G
        return result.reshape(self.h, -1, self.form.X.shape[1])

    def grouped(self, u: Array) -> Array:
        """Return blocks with their coordinates split into the groups of the norm."""
        return u.reshape(self.h, -1, self.g, self.k)

    # The path

    def begin(self) -> Iterate:
        """Return a point whose products are equal, of the size of the zero network's loss."""
        form = self.form
        n, d = form.X.shape
        shape = (self.h, form.slopes.shape[1])
        zero = np.zeros(n)
        loss = max(float(np.sum(form.loss.value(zero, form.y))), 1e-3)
        size = loss / (form.beta * shape[0] * shape[1] * self.g)
        a = form.loss.gradient(zero, form.y)
        above = below = np.zeros(0)
        if self.bounded:
            width = self.high - self.low
            a = np.clip(a, self.low + 0.1 * width, self.high - 0.1 * width)
            off = np.abs(self.touching(a))
            above = below = np.maximum(2.0 * form.beta * size / width, 0.1 * off)
        facets = (*shape, len(self.G))
        # a facet's multiplier makes up for slopes of examples, whatever the units of X
        lam = max(form.beta / self.length, 0.3 * float(np.mean(np.abs(a))))
        return Iterate(
            u=np.zeros((*shape, d)),
            t=np.full((*shape, self.g), size),
            c=np.zeros((*shape, d)),
            r=np.full(facets, 0.3 * form.beta * size / lam),
            lam=np.full(facets, lam),
            s=np.zeros(form.span.shape[1]),
            a=a,
            above=above,
            below=below.copy(),
        )

    def output(self, x: Iterate) -> Array:
        """Return ``F u + X s``."""
        return self.predict(x.u) + (self.form.span @ x.s if self.form.skip else 0.0)

    def complementarity(self, x: Iterate) -> float:
        """Return the sum of all products, the duality gap of a point on all linear conditions."""
        total = self.form.beta * np.sum(x.t) + np.vdot(x.u, x.c) + np.vdot(x.r, x.lam)
        if self.bounded:
            total += np.vdot(x.above, self.high - x.a) + np.vdot(x.below, x.a - self.low)
        return float(total)

    def gap(self, x: Iterate) -> float:
        """Return the relative gap that the products suggest."""
        form = self.form
        loss = np.sum(form.loss.value(self.output(x), form.y))
        return self.complementarity(x) / max(1.0, float(loss + form.beta * np.sum(x.t)))

    def difference(self, x: Iterate) -> float:
        """Return the relative difference of the objectives, rounding and residuals in it."""
        form = self.form
        norms = form.norm.value(x.u.reshape(-1, form.X.shape[1]))
        value = float(np.sum(form.loss.value(self.output(x), form.y)) + form.beta * np.sum(norms))
        a = form.loss.clip(x.a, form.y)
        dual = -float(np.sum(form.loss.conjugate(a, form.y)))
        return abs(value - dual) / max(1.0, value)

    def error(self, x: Iterate) -> float:
        """Return the larger of the gap that the products suggest and that of the objectives."""
        return max(self.gap(x), self.difference(x))

    def points(self, x: Iterate) -> tuple[Neurons, Dual]:
        """Return the primal and the dual point, with the heaviest facets as a guess."""
        d = self.form.X.shape[1]
        primal = self.form.neurons(x.u.reshape(-1, d), x.s.copy())
        if self.form.signs is None:
            return primal, Dual(-x.a)
        m, count = x.lam.size // len(self.G), min(d, len(self.G))
        weight = (x.lam / x.r).reshape(m, -1)
        order = np.argpartition(-weight, count - 1, axis=1)[:, :count]
        value = np.take_along_axis(x.lam.reshape(m, -1), order, axis=1)
        slack = np.take_along_axis(x.r.reshape(m, -1), order, axis=1)
        live = value * self.length**2 * np.max(x.t, axis=2).reshape(m, 1) > self.form.beta * slack
        example = np.full((m, d), -1, np.int32)
        example[:, :count] = np.where(live, self.facets[order], -1)
        values = np.zeros((m, d))
        values[:, :count] = np.where(live, value, 0.0)
        return primal, Dual(-x.a, Facets(example, values))

    def residuals(self, x: Iterate, z: Array) -> Residuals:
        """Return what the linear conditions lack."""
        form = self.form
        block, facet = self.correlate(x.a) - x.c, np.zeros_like(x.r)
        if form.signs is not None:
            block -= self.lifted(x.lam)
            facet = x.r - self.facing(x.u)
        if self.q is None and not self.bounded:
            output = (x.a - form.loss.gradient(z, form.y)) * self.bend(x, z)
        else:
            output = self.touching(x.a) - z
            if self.bounded:
                output += x.above - x.below
        return Residuals(block, facet, output, form.span.T @ x.a if form.skip else np.zeros(0))

    def touching(self, a: Array) -> Array:
        """Return the conjugate's slope at ``a``, where it has one."""
        if self.q is None:
            return self.form.loss.touching(a, self.form.y)
        slope: Array = self.q * a + self.form.y
        return slope

    def bend(self, x: Iterate, z: Array) -> Array:
        """Return the slope D of the output against a."""
        loss, y = self.form.loss, self.form.y
        if self.q is not None:
            D = np.full(len(x.a), self.q)
        elif self.bounded:
            D = 1.0 / np.maximum(loss.hessian(self.touching(x.a), y), FLAT)
        else:
            return 1.0 / np.maximum(loss.hessian(z, y), FLAT)
        if self.bounded:
            D += x.above / (self.high - x.a) + x.below / (x.a - self.low)
        return D

    def advance(self, x: Iterate) -> Iterate | None:
        """Return the next point; None where rounding allows none."""
        beta = self.form.beta
        z = self.output(x)
        system = System(self, x, z, self.residuals(x, z))
        W = system.scaling
        scaled = W.times(Pair(np.full_like(x.t, beta), self.grouped(x.c)))
        square = product(scaled, scaled)
        plain = Targets(
            Pair(-square.head, -square.tail),
            -x.r * x.lam,
            -x.above * (self.high - x.a) if self.bounded else x.above,
            -x.below * (x.a - self.low) if self.bounded else x.below,
        )
        predictor = system.direction(plain._replace(cone=quotient(scaled, plain.cone)))
        reach = min(1.0, self.room(x, predictor))
        count = x.t.size + x.r.size + x.above.size + x.below.size
        mu = max((1.0 - reach) ** 3, 1e-6) * self.complementarity(x) / count
        second = product(
            W.divide(Pair(predictor.t, self.grouped(predictor.u))),
            W.times(Pair(np.zeros_like(x.t), self.grouped(predictor.c))),
        )

        def toward(mu: float, bent: float) -> tuple[Iterate, float]:
            head = plain.cone.head + mu - bent * second.head
            targets = Targets(
                quotient(scaled, Pair(head, plain.cone.tail - bent * second.tail)),
                plain.facet + mu - bent * predictor.r * predictor.lam,
                plain.above + mu + bent * predictor.above * predictor.a
                if self.bounded
                else x.above,
                plain.below + mu - bent * predictor.below * predictor.a
                if self.bounded
                else x.below,
            )
            move = system.direction(targets)
            return move, min(1.0, (0.9 + 0.095 * reach) * self.room(x, move))

        corrector, length = toward(mu, 1.0)
        # where the conjugate bends, the second-order terms of a long predictor lead astray
        if self.q is None and length < CUT_SHORT:
            other = toward(self.complementarity(x) / count, 0.0)
            corrector, length = max((corrector, length), other, key=lambda found: found[1])
        if not length > STALLED:
            return None
        following = x.moved(corrector, length)
        if not all(np.isfinite(part).all() for part in _arrays(following)):
            return None
        return following

    def room(self, x: Iterate, move: Iterate) -> float:
        """Return how far the point may go with all its products positive."""
        beta, none = np.full_like(x.t, self.form.beta), np.zeros_like(x.t)
        reach = [
            room(Pair(x.t, self.grouped(x.u)), Pair(move.t, self.grouped(move.u))),
            room(Pair(beta, self.grouped(x.c)), Pair(none, self.grouped(move.c))),
        ]
        at, by = [x.r.ravel(), x.lam.ravel()], [move.r.ravel(), move.lam.ravel()]
        if self.bounded:
            at += [self.high - x.a, x.a - self.low, x.above, x.below]
            by += [-move.a, move.a, move.above, move.below]
        reach.append(room_above(np.concatenate(at), np.concatenate(by)))
        if self.q is None and not self.bounded:
            z, dz = self.output(x), self.output(move)
            stride = STRIDE + GROWING * float(np.max(np.abs(z)))
            reach.append(stride / max(float(np.max(np.abs(dz))), 1e-300))
            return self._trusted(z, dz, min(reach))
        return min(reach)

    def _trusted(self, z: Array, dz: Array, reach: float) -> float:
        """Return a step, no longer, after which the loss's slope is near its linear model.

        Where a loss is flat the model sees no end to it, and an example that fits well would be
        moved to where it fits badly.
        """
        loss, y = self.form.loss, self.form.y
        slope, bend = loss.gradient(z, y), loss.hessian(z, y) * dz
        most = BENT * float(np.max(np.abs(slope)))
        reach = min(reach, 1.0 / 0.9)
        while reach > STALLED:
            error = loss.gradient(z + reach * dz, y) - slope - reach * bend
            if np.max(np.abs(error)) <= most:
                break
            reach *= SHORTER
        return reach


class System:
    """The linearised conditions at a point, factored."""

    def __init__(self, newton: Newton, x: Iterate, z: Array, lacking: Residuals) -> None:
        self.newton, self.x, self.z, self.lacking = newton, x, z, lacking
        form = newton.form
        primal = Pair(x.t, newton.grouped(x.u))
        self.scaling = Scaling(primal, Pair(np.full_like(x.t, form.beta), newton.grouped(x.c)))
        self.weight = x.lam / x.r
        self.blocks = self._factor_blocks()
        self.D = newton.bend(x, z)
        self._factor_examples()
        if form.skip:
            X = form.span
            self.inverse_X = np.column_stack([self.solve(X[:, j]) for j in range(X.shape[1])])
            self.schur = np.linalg.pinv(X.T @ self.inverse_X, hermitian=True)

    def _factor_blocks(self) -> Array:
        """Factor ``H^(-1/2) B_b H^(-1/2) = I + ...``: it is never near singular.

        The heaviest facets are rotated in row by row, as in a QR factorisation: a
        product with them would drown what bends only the norm.
        """
        newton, W = self.newton, self.scaling
        d = newton.form.X.shape[1]
        m = self.x.u.size // d
        eye = np.broadcast_to(np.eye(d), (newton.h, m // newton.h, d, d))
        columns = eye.reshape(newton.h, -1, d, newton.g, newton.k).swapaxes(0, 2)
        root = np.stack([W.root(column.swapaxes(0, 1)) for column in columns])
        root = np.moveaxis(root.reshape(d, m, d), 0, 1)
        self.roots = np.ascontiguousarray(root)
        factor = np.zeros((m, d, d))
        factor[:, np.arange(d), np.arange(d)] = 1.0
        weight = self.weight.reshape(m, -1)
        if weight.shape[1] == 0:
            return factor
        top = np.max(W.largest(), axis=2).reshape(m, 1) * newton.length**2
        apart = weight * top > APART
        factor += self.roots @ self._gram(np.where(apart, 0.0, weight)) @ self.roots
        factor_blocks(factor)
        add_rows(factor, newton.G, self.roots, weight, apart)
        return factor

    def _gram(self, weight: Array) -> Array:
        """Return ``X' diag(w_b) X`` for each row of weights."""
        newton = self.newton
        if newton.products is None:
            return np.stack([(newton.G.T * w) @ newton.G for w in weight])
        d = newton.G.shape[1]
        i, j = newton.upper
        gram = np.empty((len(weight), d, d))
        gram[:, i, j] = gram[:, j, i] = weight @ newton.products
        return gram

    def _factor_examples(self) -> None:
        """Factor ``D + A A'``, ``A A' = F B^-1 F'``, or ``I + A' D^-1 A`` if it is smaller."""
        newton = self.newton
        n, d = newton.form.X.shape
        self.halves = invert_blocks(self.blocks) @ self.roots
        half = self.halves.reshape(newton.h, -1, d, d)
        self.few = len(half[0]) * d <= n
        self.turn: Array | None = None
        if newton.h == 2:
            both = np.concatenate([half[0], half[1]], axis=1)
            if self.few:
                self.turn, half = np.linalg.qr(both)
            else:
                half = np.linalg.qr(both, mode="r")
        A = half.reshape(-1, d, d) @ newton.form.X.T
        A *= newton.masks[:, None, :]
        self.A = A.reshape(-1, n)
        if self.few:
            self.scaled = self.A / self.D
            self.factor = self._one_more(half)
        else:
            matrix = dsyrk(1.0, self.A.T, lower=1)
            matrix.flat[:: n + 1] += self.D
            self.factor = factored(matrix)

    def _one_more(self, half: Array) -> tuple[Array, bool]:
        """Return the lower factor of ``I + A D^-1 A'``, by reflections where its 1 is lost."""
        matrix = dsyrk(1.0, np.asfortranarray(self.A / np.sqrt(self.D)), lower=1)
        matrix.flat[:: len(matrix) + 1] += 1.0
        try:
            return factored(matrix)
        except np.linalg.LinAlgError:
            look()
        if np.ptp(self.D) > 0.0:
            rows = (self.A / np.sqrt(self.D)).T
        else:  # what the examples have of it is the same at every step
            P, d = half.shape[-3], half.shape[-1]
            turned = self.newton.triangle.reshape(-1, P, 1, d) @ half.reshape(P, d, d).swapaxes(
                1, 2
            )
            rows = turned.reshape(-1, P * d) / np.sqrt(self.D[0])
        upper = np.asarray(np.linalg.qr(np.vstack([rows, np.eye(len(matrix))]), mode="r"))
        return upper.T, True

    def _apply(self, b: Array) -> Array:
        if not self.few:
            result: Array = cho_solve(self.factor, b, check_finite=False)
            return result
        inner = cho_solve(self.factor, self.scaled @ b, check_finite=False)
        rest: Array = b / self.D - inner @ self.scaled
        return rest

    def pair(self, load: Array, rest: Array) -> tuple[Array, Array]:
        """Return the ``du`` and ``da`` with ``B du + F'da = load`` and ``D da - F du = rest``.

        Where the blocks have no more weights than there are examples, du is solved for first:
        from da, what the data determine of it would be a small difference of large numbers. With
        ``B_b^-1 = M_b'M_b`` and ``M F' = Q A`` it is ``du = M'w`` of

            (I + Q A D^-1 A'Q') w = M load - Q A D^-1 rest.
        """
        newton = self.newton
        if not self.few:
            da = self.solve(rest + newton.predict(self.over_blocks(load)))
            return self.over_blocks(load - newton.correlate(da)), da
        m, d = len(self.halves), load.shape[-1]
        pushed = (self.halves @ load.reshape(m, d, 1))[..., 0]
        if self.turn is None:
            along, across = pushed.ravel(), np.zeros_like(pushed)
        else:
            stacked = np.concatenate((pushed[: m // 2], -pushed[m // 2 :]), axis=1)
            turned = (stacked[:, None] @ self.turn)[:, 0]
            along = turned.ravel()
            across = stacked - (self.turn @ turned[..., None])[..., 0]
        inner = cho_solve(self.factor, along - self.scaled @ rest, check_finite=False)
        da = rest / self.D + inner @ self.scaled
        w = inner.reshape(-1, d)
        if self.turn is not None:
            w = across + (self.turn @ w[..., None])[..., 0]
            w = np.concatenate((w[:, :d], -w[:, d:]))
        du = (w[:, None] @ self.halves)[:, 0]
        return du.reshape(load.shape), da

    def solve(self, b: Array) -> Array:
        """Return the x with ``(D + F B^-1 F') x = b``, refined while that helps."""
        newton = self.newton
        x, before = np.zeros_like(b), np.inf
        lacking = b
        for _ in range(REFINED):
            following = x + self._apply(lacking)
            rest = newton.predict(self.over_blocks(newton.correlate(following)))
            left = b - self.D * following - rest
            size = float(np.max(np.abs(left)))
            if not size < before:
                break
            x, lacking = following, left
            if size > 0.1 * before or size <= ROUNDING * float(np.max(np.abs(b))):
                break
            before = size
        return x

    def over_blocks(self, v: Array) -> Array:
        """Return ``B_b^-1 v_b``."""
        newton, W = self.newton, self.scaling
        flat = W.root(newton.grouped(v)).reshape(len(self.blocks), -1)
        return W.root(newton.grouped(solve_blocks(self.blocks, flat))).reshape(v.shape)

    def solved(self, load: Array, rest: Array, free: Array) -> tuple[Array, Array, Array]:
        """Return what `pair` does, where the free part's equation lacks so much, and its change."""
        form = self.newton.form
        du, da = self.pair(load, rest)
        ds = np.zeros_like(self.x.s)
        if form.skip:
            ds = -self.schur @ (free + form.span.T @ da)
            du, da = self.pair(load, rest + form.span @ ds)
        return du, da, ds

    def refined(
        self, found: tuple[Array, Array, Array, Array, Array], pull: Array, rest: Array
    ) -> tuple[Array, Array, Array, Array, Array]:
        """Return changes of u, a, s, of the facets and of their multipliers, less wrong.

        A heavy facet's multiplier is its weight times a change that is nearly 0, so that what
        rounding leaves of that stands in the balance of its block. Solved for that rest alone,
        the multiplier is found to the digits that it needs. It is worth it where the rest is felt
        beside the room that the cones have.
        """
        newton, form, W = self.newton, self.newton.form, self.scaling
        du, da, ds, dr, dlam = found
        c = newton.grouped(self.x.c)
        margin = np.maximum(form.beta - np.sqrt(dots(c, c)), 1e-300)
        heavy = float(np.max(self.weight)) * newton.length**2 * float(np.max(np.abs(du)))
        if not DIGITS * heavy > FELT * float(np.min(margin)):
            return found  # no multiplier can be wrong by as much
        for _ in range(REFINED):
            bent = W.bent(newton.grouped(du)).reshape(du.shape)
            left = pull - bent - newton.correlate(da) + newton.lifted(dlam)
            felt = np.max(np.abs(newton.grouped(left)), axis=-1) / margin
            if not np.max(felt) > FELT:
                break
            free = self.lacking.free + (form.span.T @ da if form.skip else 0.0)
            output = rest - self.D * da + newton.predict(du) + (form.span @ ds if form.skip else 0)
            more = self.solved(left, output, free)
            turn = newton.facing(more[0])
            du, da, ds = du + more[0], da + more[1], ds + more[2]
            dr, dlam = dr + turn, dlam - self.weight * turn
        return du, da, ds, dr, dlam

    def direction(self, targets: Targets) -> Iterate:
        """Return the step that meets the linear conditions and the targets."""
        newton, x, W, lacking = self.newton, self.x, self.scaling, self.lacking
        form = newton.form
        cone = W.divide(targets.cone)
        pull = W.eliminate_head(cone).reshape(x.u.shape) - lacking.block
        rest = -lacking.output
        if newton.bounded:
            rest = rest - targets.above / (newton.high - x.a) + targets.below / (x.a - newton.low)
        if form.signs is None:
            du, da, ds = self.solved(pull, rest, lacking.free)
            dr, dlam, dc = x.r, x.lam, lacking.block + newton.correlate(da)
        else:
            wanted = targets.facet / x.r + self.weight * lacking.facet
            du, da, ds = self.solved(pull + newton.lifted(wanted), rest, lacking.free)
            dr = newton.facing(du)
            dlam = wanted - self.weight * dr
            du, da, ds, dr, dlam = self.refined((du, da, ds, dr, dlam), pull, rest)
            dr = dr - lacking.facet
            dc = lacking.block + newton.correlate(da) - newton.lifted(dlam)
        dt = W.head(cone.head, newton.grouped(du))
        above, below = x.above, x.below
        if newton.bounded:
            above = (targets.above + x.above * da) / (newton.high - x.a)
            below = (targets.below - x.below * da) / (x.a - newton.low)
        return Iterate(du, dt, dc, dr, dlam, ds, da, above, below)

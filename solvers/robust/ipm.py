"""Primal-dual interior point for robust training: every example keeps its own unknowns.

The program of a `RobustForm` with epigraphs of its norms, slacks ``u`` and worst arguments ``w``:

    minimise    sum_k c_k l(w_k) + beta sum_b t_b,      c the weights of the examples
    where       t_b >= ||v_b||,   r_b >= radius ||v_b||_*,   s_k >= radius ||q_k||_*
                u_kb >= S_kb (r_b - a_kb),   u_kb >= (1 - S_kb)(r_b + a_kb),   a = X v
                w_k >= o x_k'q_k + s_k + sum_b u_kb + offset_k

The last line is of ``up`` with o = 1 and the slacks of V, of ``low`` with o = -1 and those of W: a
loss of margins needs one of the two for each example, one of residuals both. With cones there are
no slacks, but ``(2 S_kb - 1) a_kb >= r_b``. A hinge has ``w_k >= 0`` as well. In boxes a neuron has
e reaches, one a column, in the place of one, and examples see sums of their own (`reaches.py`).

Steps are Mehrotra's predictor and corrector with Nesterov-Todd scaling. The unknowns ``(s, u, w)``
of an example are eliminated by hand, its last line like a spring in series with theirs; what is
left are the neurons and their reach, a dense positive definite matrix of side m (d + e).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dsymv, dsyrk
from scipy.linalg.lapack import dpotrs

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Options, Outcome, Raw, Reporter
from convexnn.contract.clock import look
from convexnn.contract.system.memory import Size
from convexnn.relu.forms import Neurons
from convexnn.robust.forms import RobustDual, RobustForm
from convexnn.solvers.cholesky import factored
from convexnn.solvers.robust.epigraphs import Euclidean, reach
from convexnn.solvers.robust.reaches import reaches
from convexnn.solvers.schedule import NO_FURTHER, Falling, iterate

Index: TypeAlias = NDArray[np.intp]

MAX_ITER = 200
PATIENCE = 10  # steps in a row that do not lower a gap that is small
WORK = 2_000_000_000  # products that are summed between two looks at the clock
GATHERED = 10_000_000  # entries that are put into place between them
TINY = 1e-9  # gap from which rounding may rule
EXHAUSTED = 1e-15  # own gap below which rounding rules
STALLED = 1e-8  # a step this short leads nowhere
RIDGE, HARDER, TRIES = 1e-15, 30.0, 6  # relative to the diagonal; the factors by which it grows
REFINED = 1  # times a solution is improved
LEAST = 0.02  # factor by which slopes to begin with are shrunk
LEVEL = 0.01  # of the products to begin with, relative to a neuron's share of the loss


def memory(size: Size) -> dict[str, float]:
    """Return the bytes of each large allocation by its use."""
    n, d, m = size.n, size.d, 2 * size.patterns
    side = m * (d + 1)
    pairs = size.patterns * (size.patterns + 1) / 2
    return {
        f"its {side:,} x {side:,} matrix and factor": 32.0 * side**2,
        "the rows behind its matrix": 16.0 * n * side * (2 if size.smooth else 1),
        "its products": 8.0 * n * (pairs + 1.5 * d * (d + 1)),
        "its slacks": 300.0 * n * m,
    }


def run(
    form: RobustForm, own: dict[str, Any], options: Options, reporter: Reporter, start: Any
) -> Raw:
    """Step until the reporter is satisfied or no step helps."""
    core = Interior(form)
    gap, least, fruitless = np.inf, np.inf, 0

    def step(k: int) -> Raw | None:
        nonlocal gap, least, fruitless
        try:
            going = core.step() > STALLED
        except np.linalg.LinAlgError:
            going = False
        gap = core.gap()
        fruitless = 0 if gap < least or gap > max(options.tol, TINY) else fruitless + 1
        least = min(gap, least)
        if going and gap > EXHAUSTED and fruitless < PATIENCE:
            return None
        return Raw(Outcome.FINISHED, NO_FURTHER)

    return iterate(
        step,
        lambda: (core.primal(0.1 * options.tol), core.dual()),
        reporter,
        options.max_iter or MAX_ITER,
        due=Falling(lambda: gap, options.tol),
    )


class Guard:
    """Inequalities ``slack >= 0``, their multipliers and the changes of both."""

    def __init__(self, slack: Array, dual: Array) -> None:
        self.slack, self.dual, self.count = slack, dual, slack.size
        self.dslack = self.ddual = self.right = slack

    @property
    def weight(self) -> Array:
        """Return by how much a multiplier falls where its slack grows by one."""
        result: Array = self.dual / self.slack
        return result

    def pull(self, target: float, second: bool) -> Array:
        """Return the multipliers for products of `target` where slacks stay as they are.

        With `second`, the products of the changes that `turn` kept last are taken off.
        """
        wanted = target - self.dslack * self.ddual if second else target
        self.right = wanted / self.slack
        return self.right

    def turn(self, dslack: Array, force: Array) -> tuple[float, float]:
        """Keep the changes, `force` being ``weight * dslack``; return how far they can go."""
        self.dslack, self.ddual = dslack, self.right - self.dual - force
        return reach(self.slack, self.dslack), reach(self.dual, self.ddual)

    def go(self, step: float, dual: float) -> None:
        """Take that share of the changes."""
        self.slack = self.slack + step * self.dslack
        self.dual = self.dual + dual * self.ddual

    def products(self) -> float:
        """Return the sum of the complementary products."""
        return float(np.vdot(self.slack, self.dual))


class Softplus:
    """The worst arguments of ``k log(1 + e^w)``: their slopes p and the limits 0 and k of these."""

    def __init__(self, w: Array, p: Array, k: Array, level: float) -> None:
        self.w, self.dw, self.k, self.count = w, w, k, 2 * len(w)
        self.low, self.high = Guard(p, level / p), Guard(k - p, level / (k - p))

    @property
    def dual(self) -> Array:
        """Return the slopes."""
        return self.low.slack

    @property
    def weight(self) -> Array:
        """Return by how much a slope grows with its argument."""
        low, high = self.low, self.high
        result: Array = 1.0 / ((1.0 + low.dual) / low.slack + (1.0 + high.dual) / high.slack)
        return result

    def pull(self, target: float, second: bool) -> Array:
        """Return the slopes for products of `target` where arguments stay as they are."""
        p, rest = self.low.slack, self.high.slack
        lack = self.w - np.log(p) + np.log(rest)
        lack += self.low.pull(target, second) - self.high.pull(target, second)
        self.right = p + self.weight * lack
        return self.right

    def turn(self, dslack: Array, force: Array) -> tuple[float, float]:
        """Keep the changes, that of the arguments being ``-dslack``; return the room."""
        self.dw, dp = -dslack, self.right - self.dual - force
        low = self.low.turn(dp, self.low.weight * dp)
        high = self.high.turn(-dp, -self.high.weight * dp)
        return np.inf, min(*low, *high)

    def go(self, step: float, dual: float) -> None:
        """Take that share of the changes."""
        self.w = self.w + step * self.dw
        self.low.go(dual, dual)
        self.high.go(dual, dual)

    def products(self) -> float:
        """Return the sum of the complementary products."""
        return self.low.products() + self.high.products()


class Side:
    """One bound of the outputs: of which examples, with the slacks of which blocks."""

    def __init__(self, form: RobustForm, rows: Index, o: float, offset: Array) -> None:
        self.rows, self.o, self.offset = rows, o, offset
        first, last = (0, form.added) if o > 0.0 else (form.added, form.blocks)
        self.blocks = slice(first, first if form.cones else last)
        self.X, self.S = form.X[rows], form.slopes[rows, self.blocks]
        self.rest = 1.0 - self.S
        self.turned = self.S - self.rest

    def begin(self, mu: Array, r: Array, level: float) -> Array:
        """Set slacks and multipliers at zero weights; return the slacks' sum for each example.

        `r` are the reaches of its blocks.
        """
        half = 0.5 * mu[:, None] * np.ones(self.S.shape[1])
        u = np.maximum(self.S, self.rest) * r + level / half
        self.left = Guard(u - self.S * r, half)
        self.right = Guard(u - self.rest * r, half.copy())
        result: Array = np.sum(u, axis=1)
        return result

    def scale(self) -> None:
        """Take the weights of the slacks."""
        left, right = self.left.weight, self.right.weight
        self.both = left + right
        self.share = left / self.both
        self.other = right / self.both
        self.stiff = left * self.other
        self.by_reach = self.share * self.S + self.other * self.rest
        self.by_output = self.share * self.S - self.other * self.rest
        self.give = 1.0 / self.worst.weight + (1.0 / self.both).sum(axis=1)

    worst: Guard | Softplus
    free: Array


class Interior:
    """The iterate and its steps.

    Parameters
    ----------
    form : RobustForm
    """

    def __init__(self, form: RobustForm) -> None:
        self.form = form
        (n, d), m = form.X.shape, form.blocks
        self.n, self.d, self.m = n, d, m
        self.reaches = reaches(form)
        self.moved, self.side = self.reaches.moved, d + self.reaches.count
        self.signed = form.slopes * form.signs
        weights = form.loss.weights
        self.weights = np.ones(n) if weights is None else weights
        self.kinked = not np.isfinite(form.loss.curvature)
        self.soft = form.loss.classification and not self.kinked
        self.sides = list(self._sides())
        self._precompute()
        self._begin()

    def _sides(self) -> Iterator[Side]:
        form = self.form
        y, every = form.y, np.arange(self.n)
        for o in (1.0, -1.0):
            rows = every[o * y <= 0.0] if form.loss.classification else every
            offset = np.full(len(rows), float(self.kinked)) if form.loss.classification else -o * y
            if len(rows):
                yield Side(form, rows, o, offset)

    def _precompute(self) -> None:
        """Multiply columns and slopes by each other."""
        form = self.form
        self.upper = np.triu_indices(self.d)
        self.products = form.X[:, self.upper[0]] * form.X[:, self.upper[1]]
        self.every = np.arange(self.n)
        distinct, self.which = np.unique(form.slopes, axis=1, return_inverse=True)
        first, second = np.triu_indices(distinct.shape[1])
        self.pairs = np.ascontiguousarray((distinct[:, first] * distinct[:, second]).T)
        self.pair_of = _places(distinct.shape[1])
        self.entry_of = _places(len(self.moved))

    def _begin(self) -> None:
        form, n, m, d = self.form, self.n, self.m, self.d
        zero = np.zeros(n)
        if form.loss.classification:
            mu = 0.5 * self.weights
        else:
            size = np.abs(form.y)
            mu = 0.5 * (size + max(float(np.sqrt(np.mean(size**2))), 1e-3)) * self.weights
        if self.soft:  # towards slopes that balance beta
            pull = self.signed.T @ ((form.y * mu)[:, None] * form.X)
            share = form.beta / max(float(np.max(np.linalg.norm(pull, axis=1))), form.beta)
            mu *= max(np.sqrt(share), LEAST)
        loss = max(float(np.sum(form.loss.value(zero, form.y))), 1e-3)
        level = LEVEL * loss / m
        held = np.full((n, m), 0.0)
        if form.cones:
            length = float(np.sqrt(np.sum(np.square(form.X)) / n)) or 1.0
            held[:] = form.beta / (length * np.sqrt(n))
        else:
            for side in self.sides:
                held[side.rows, side.blocks] = 0.5 * mu[side.rows, None]
        total = np.zeros(n)
        for side in self.sides:
            total[side.rows] += mu[side.rows]
        self.V = np.zeros((m, d))
        s = level / total
        self.norm = Euclidean(np.full(m, level / form.beta), np.full(m, form.beta), d, 1.0)
        r = self.reaches.begin(level, held, 1e-3 * form.beta, total)
        self.spread, seen = self.reaches.spread, self.reaches.at
        sums = [
            side.begin(mu[side.rows], seen(r[side.blocks], side.rows), level) + side.offset
            for side in self.sides
        ]
        self.w = np.zeros(n)  # of a softplus its sides have their own
        for side, lower in zip(self.sides, sums, strict=True):
            e = lower + s[side.rows] + level / mu[side.rows]
            self.w[side.rows] = np.maximum(self.w[side.rows], e)
        for side, lower in zip(self.sides, sums, strict=True):
            e, slopes = lower + s[side.rows], mu[side.rows].copy()
            if self.soft:
                side.worst = Softplus(e, slopes, self.weights[side.rows], level)
            else:
                side.worst = Guard(self.w[side.rows] - e, slopes)
        self.guards: list[Guard | Softplus] = [side.worst for side in self.sides]
        for side in self.sides:
            self.guards += [side.left, side.right]
        if self.kinked:
            self.floor = Guard(self.w.copy(), self.weights - mu)
            self.guards.append(self.floor)
        if form.cones:
            self.facets = Guard(level / held, held)
            self.guards.append(self.facets)
            self.turned = 2.0 * form.slopes - 1.0
            self.lacking = -seen(r, self.every) - self.facets.slack
        self.cones = self.norm, self.reaches.cone, self.spread
        self.count = sum(g.count for g in self.guards) + sum(c.count for c in self.cones)

    # What is read from a point

    def complementarity(self) -> float:
        """Return the sum of all products: the duality gap of a point on all linear conditions."""
        return sum(part.products() for part in (*self.guards, *self.cones))

    def gap(self) -> float:
        """Return the relative gap that the products suggest."""
        value = self.form.beta * float(np.sum(self.norm.slack.head))
        if self.soft:
            worst = (side.worst for side in self.sides)
            losses = (w.k @ np.logaddexp(0.0, w.w) for w in worst if isinstance(w, Softplus))
            value += sum(map(float, losses))
        else:
            value += float(self.weights @ (self.w if self.kinked else 0.5 * np.square(self.w)))
        return self.complementarity() / max(1.0, value)

    def primal(self, tol: float = 1.0) -> Neurons:
        """Return the network, without the neurons that leave their cones by more."""
        weights, added = self.V.T, self.form.added
        if self.form.cones:
            leaves = np.max(self.form.slacks(weights), axis=0)
            largest = np.max(np.abs(self.form.X @ weights), initial=0.0)
            weights = np.where(leaves <= tol * largest, weights, 0.0)
        return Neurons(weights[:, :added].copy(), weights[:, added:].copy(), np.zeros(self.d))

    def dual(self) -> RobustDual:
        """Return the multipliers."""
        form, (n, m) = self.form, (self.n, self.m)
        p, q, attack = np.zeros(n), np.zeros(n), np.zeros((n, self.d))
        left, right = np.zeros((n, m)), np.zeros((n, m))
        for side in self.sides:
            (q if side.o > 0.0 else p)[side.rows] = side.worst.dual
            if not form.cones:
                left[side.rows, side.blocks] = side.S * side.left.dual
                right[side.rows, side.blocks] = side.rest * side.right.dual
        if form.cones:
            left, right = form.slopes * self.facets.dual, (1.0 - form.slopes) * self.facets.dual
        pull = self.reaches.seen(self.spread.slopes(), self.every)
        attack[:, self.moved] = -pull / (p + q)[:, None]
        return RobustDual(p - q, np.minimum(p, q), attack, left, right)

    # Steps

    def step(self) -> float:
        """Take one step and return its length."""
        self._scale()
        self._factor()
        reached = 0.5 * sum(min(1.0, way) for way in self._direction(0.0, second=False))
        mu = max((1.0 - reached) ** 3, 1e-6) * self.complementarity() / self.count
        room = self._direction(mu, second=True)
        share = 0.9 + 0.095 * reached
        length, dual = (min(1.0, share * way) for way in room)
        for part in (*self.guards, *self.cones):
            part.go(length, dual)
        self.V = self.V + length * self.dV
        self.w = self.floor.slack if self.kinked else self.w + length * self.dw
        if self.form.cones:
            self.lacking = (1.0 - length) * self.lacking
        return max(length, dual)

    def _scale(self) -> None:
        self.of_norm, self.of_reach, self.of_spread = (cone.scale() for cone in self.cones)
        for side in self.sides:
            side.scale()
        if self.kinked:
            self.curve, self.slope = self.floor.weight, self.weights
        elif self.soft:
            self.curve, self.slope = np.full(self.n, np.inf), np.zeros(self.n)
        else:
            self.curve, self.slope = self.weights, self.weights * self.w
        self.common = 1.0 / self.curve + 1.0 / self.spread.head

    def _factor(self) -> None:
        """Assemble and factor the matrix of the neurons and their reach."""
        d, m, form, each = self.d, self.m, self.form, self.side
        H = np.zeros((m, each, m, each))
        every = np.arange(m)
        gram, k = self._gram(), len(self.moved)
        step = max(1, GATHERED // max(1, m * k * k))
        for some in (every[first : first + step] for first in range(0, m, step)):
            look()
            which = self.pair_of[np.ix_(self.which[some], self.which)]
            blocks = gram[which[:, :, None, None], self.entry_of]
            blocks *= np.multiply.outer(form.signs[some], form.signs)[:, :, None, None]
            H[np.ix_(some, self.moved, every, self.moved)] = blocks.transpose(0, 2, 1, 3)
        own = np.zeros((m, each, each))
        own[:, :d, :d] = self.of_norm
        self.reaches.add(own, self.of_reach, d)
        for side in self.sides:
            self._add(own, side.blocks, side.stiff, side.turned, side.rows)
        if form.cones:
            self._add(own, slice(0, m), self.facets.weight, self.turned, self.every)
        H[every, :, every, :] += own
        self.springs = [self._springs(side) for side in self.sides]
        look()
        rows = np.vstack(self._whitened())
        count = m * each
        matrix = H.reshape(count, count).T  # symmetric so far; BLAS wants columns first
        step = max(1, WORK // count**2)
        for first in range(0, len(rows), step):
            look()
            part = rows[first : first + step]
            matrix = dsyrk(1.0, part.T, 1.0, matrix, lower=1, overwrite_c=1)
        self.H = matrix
        diagonal = np.diag(self.H).copy()
        ridge = RIDGE
        for _ in range(TRIES):
            look()
            tried = self.H.copy(order="F")
            tried[np.diag_indices(count)] += ridge * diagonal
            try:
                self.factor, _ = factored(tried)
                return
            except np.linalg.LinAlgError:
                ridge *= HARDER
        raise np.linalg.LinAlgError("the Newton system is singular to rounding")

    def _gram(self) -> Array:
        """Return for each pair of slopes the sum of their products by the spread's weights."""
        weights = self.reaches.weighed(self.of_spread)
        step = max(1, WORK // max(1, weights.size))
        parts = []
        for first in range(0, len(self.pairs), step):
            look()
            parts.append(self.pairs[first : first + step] @ weights)
        return parts[0] if len(parts) == 1 else np.vstack(parts)

    def _add(self, own: Array, blocks: slice, stiff: Array, turned: Array, rows: Index) -> None:
        """Add ``stiff ((2 S - 1) r - a)^2`` to the diagonal blocks."""
        d = self.d
        if blocks.stop == blocks.start:
            return
        i, j = self.upper
        gram = stiff.T @ self.products[rows]
        part = own[blocks]
        part[:, i, j] += gram
        part[:, j[i != j], i[i != j]] += gram[:, i != j]
        both = self.reaches.beside(-stiff * turned, rows)
        part[:, :d, d:] += both
        part[:, d:, :d] += both.transpose(0, 2, 1)
        part[:, d:, d:] += self.reaches.squared(stiff * np.square(turned), rows)

    def _springs(self, side: Side) -> Array:
        """Return the change of a side's last line by neurons and reach alone, (rows, m (d + e))."""
        look()
        d, rows = self.d, side.rows
        along = side.o * side.X
        cross = self.spread.cross[rows] / self.spread.head[rows, None]
        along[:, self.moved] -= self.reaches.seen(cross, rows)
        F = np.zeros((len(rows), self.m, self.side))
        F[:, :, :d] = -self.signed[rows][:, :, None] * along[:, None, :]
        F[:, side.blocks, :d] += side.by_output[:, :, None] * side.X[:, None, :]
        F[:, side.blocks, d:] = -self.reaches.spread_over(side.by_reach, rows)
        return F.reshape(len(rows), -1)

    def _whitened(self) -> list[Array]:
        """Return rows whose Gram matrix is that of the springs over their give."""
        if self.form.loss.classification:
            return [
                F / np.sqrt(side.give + self.common[side.rows])[:, None]
                for F, side in zip(self.springs, self.sides, strict=True)
            ]
        (first, second), k = self.springs, self.common
        a, b = (side.give for side in self.sides)
        det, rest = a * b + k * (a + b), b + k
        return [
            np.sqrt(rest / det)[:, None] * (first - (k / rest)[:, None] * second),
            second / np.sqrt(rest)[:, None],
        ]

    def _forces(self, stretch: list[Array]) -> list[Array]:
        """Return the forces on the sides' last lines that stretch them so."""
        if self.form.loss.classification:
            return [
                part / (side.give + self.common[side.rows])
                for part, side in zip(stretch, self.sides, strict=True)
            ]
        (first, second), k = stretch, self.common
        a, b = (side.give for side in self.sides)
        det = a * b + k * (a + b)
        return [((b + k) * first - k * second) / det, ((a + k) * second - k * first) / det]

    def _direction(self, target: float, *, second: bool) -> tuple[float, float]:
        """Find the changes for products of `target`; return how far they can go."""
        form, n, d, m = self.form, self.n, self.d, self.m
        norm, _, spread = self.cones
        rhs = np.zeros((m, self.side))
        t, pulled = norm.pull(target, second)
        t = (t - form.beta) / norm.head
        rhs[:, :d] = pulled - norm.cross * t[:, None]
        rhs[:, d:], pulled = self.reaches.pull(target, second)
        rhs[:, self.moved] += pulled
        s, pulled = spread.pull(target, second)
        w = -self.slope + (self.floor.pull(target, second) if self.kinked else 0.0)
        q = np.zeros((n, d))
        for side in self.sides:
            y = side.worst.pull(target, second)
            s[side.rows] -= y
            w[side.rows] += y
            q[side.rows] -= (side.o * y)[:, None] * side.X
            one, two = side.left.pull(target, second), side.right.pull(target, second)
            u = one + two - y[:, None]
            one, two = side.S * (side.share * u - one), side.rest * (side.other * u - two)
            rhs[side.blocks, d:] += self.reaches.gathered(one + two, side.rows)
            rhs[side.blocks, :d] += (two - one).T @ side.X
            side.free = u / side.both
        if form.cones:
            y = self.facets.pull(target, second) - self.facets.weight * self.lacking
            rhs[:, d:] -= self.reaches.gathered(y, self.every)
            rhs[:, :d] += (self.turned * y).T @ form.X
        s, w = s / spread.head, w / self.curve
        q[:, self.moved] += self.reaches.seen(pulled - spread.cross * s[:, None], self.every)
        rhs[:, :d] += self.signed.T @ q
        loose = [(w - s)[side.rows] - side.free.sum(axis=1) for side in self.sides]
        flat = rhs.ravel()
        for F, force in zip(self.springs, self._forces(loose), strict=True):
            flat -= force @ F
        change = dpotrs(self.factor, flat, lower=1)[0]
        for _ in range(REFINED):
            lack = flat - dsymv(1.0, self.H, change, lower=1)
            change += dpotrs(self.factor, lack, lower=1)[0]
        return self._turn(change, loose, s, t, w)

    def _turn(
        self, change: Array, loose: list[Array], s: Array, t: Array, w: Array
    ) -> tuple[float, float]:
        """Find all changes from that of the neurons and their reach; return the room."""
        d = self.d
        stretch = [free + F @ change for free, F in zip(loose, self.springs, strict=True)]
        forces = self._forces(stretch)
        dV, dr = change.reshape(self.m, -1)[:, :d], change.reshape(self.m, -1)[:, d:]
        dq = self.reaches.seen((self.signed @ dV)[:, self.moved], self.every)
        norm, _, spread = self.cones
        s = s - np.vecdot(spread.cross, dq) / spread.head
        t = t - np.vecdot(norm.cross, dV) / norm.head
        w = w.copy()
        room = []
        for side, force in zip(self.sides, forces, strict=True):
            s[side.rows] += force / spread.head[side.rows]
            w[side.rows] -= force / self.curve[side.rows]
            room.append(side.worst.turn(force / side.worst.weight, force))
            da, own = side.X @ dV[side.blocks].T, self.reaches.at(dr[side.blocks], side.rows)
            apart = side.rest * (own + da) - side.S * (own - da)
            u = side.free + force[:, None] / side.both
            for guard, change_ in ((side.left, side.other), (side.right, -side.share)):
                move = u + change_ * apart
                room.append(guard.turn(move, guard.weight * move))
        if self.form.cones:
            seen = self.reaches.at(dr, self.every)
            move = self.turned * (self.form.X @ dV.T) - seen + self.lacking
            room.append(self.facets.turn(move, self.facets.weight * move))
        if self.kinked:
            room.append(self.floor.turn(w, self.floor.weight * w))
        room += [
            norm.turn(t, dV),
            self.reaches.turn(dr, dV[:, self.moved]),
            spread.turn(s, dq),
        ]
        self.dV, self.dw = dV, w
        primal, dual = zip(*room, strict=True)
        return min(primal), min(dual)


def _places(size: int) -> Index:
    """Return where each pair of indices stands among the pairs with the first not above."""
    places = np.zeros((size, size), np.intp)
    i, j = np.triu_indices(size)
    places[i, j] = places[j, i] = np.arange(len(i))
    return places

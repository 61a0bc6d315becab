"""Interior point for the lifted relaxation of training over all networks.

The program of `convexnn.relu.lift` in the multipliers,

    maximise  f(mu)   such that   S = diag(1/2 + g, 1/2 - g, .., 0, ..) - H_s(mu, L, e) >= 0

for the neurons of each sign s, or of each cell of each sign, is solved by a primal-dual method
(HKM direction, Mehrotra's corrector; Helmberg, Rendl, Vanderbei & Wolkowicz 1996). The
products of a dual point's matrices at the factors are all that its equations need: the entry of two
products (k, l) and (k', l') is a sum of four products of entries of two tables,
``Z S^-1 Z'`` and ``Z M Z'``. Few of the products of factors bind: those that the primal points M
violate most are given multipliers after each step, few at a time and small ones, whose products
with their values then grow with the steps. M starts at a multiple of ``S^-1`` and need not be
feasible on the way.

S is positive definite at every step, so every step has a bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.linalg import cho_factor, cho_solve, eigh, solve_triangular

from convexnn.contract.arrays import Array, BoolArray, IntArray, SignArray
from convexnn.contract.system.kernels import kernel
from convexnn.relu.lift import LiftedCell, LiftedSide, combined, quadratic, substituted
from convexnn.solvers.relu.lift_prices import STEP, Prices, ratio
from convexnn.solvers.relu.lift_rest import Rest, Slopes

VIOLATING = 10_000  # pairs that there is room for at first
USES = 1  # pairs that a factor may be in among those added after a step
ADDED, FEWEST = 0.1, 16  # times m, and in all: products given multipliers after a step
VIOLATED = (0.02, 0.1)  # cosines of factors, below 0, at which they are, of a small and a large gap
FRESH = 0.1  # cosine at which the value of one starts
GROWTH = 2.0  # of a multiplier's product with its value in a step, at the most
IDLE = 0.5  # cosine of the factors above which a product needs none
KEPT = 0.7  # share of S that has to stay where multipliers are dropped
RIDGES = (1e-14, 1e-12, 1e-10, 1e-8)  # of their diagonal, for equations that need one
SAMPLES = 6  # times the order: random neurons that tell which products can be other than 0
TINY = 1e-9  # value of a product at random neurons below which it is left out
BALANCED = 0.01  # share of the prices' equations that may be open where a gap is told
SMALL = 1e-300  # keeps a division finite
SMALLEST = 1e-3  # of the share of the centre that a step aims at


@dataclass
class Block:
    """The multipliers and moments of the neurons of one sign in one cell.

    `open` are the products without a multiplier that can be other than 0, and `worst` is the least
    cosine of two of their factors in the moments M, which is not negative where M is feasible.
    `aside` is the form in (1, u) that bounds the lines which are not among the factors.
    """

    sign: float
    fixed: SignArray
    gamma: float
    equal: Array
    first: IntArray
    second: IntArray
    weight: Array
    value: Array
    M: Array
    S: Array
    open: BoolArray
    worst: float = -1.0
    slopes: Slopes | None = None
    aside: Array | None = None


@dataclass
class Split:
    """A cell that was split by a plane."""

    plane: int
    halves: list[Block | Split]


class Change(NamedTuple):
    """A step of a block's variables."""

    M: Array
    S: Array
    gamma: float
    equal: Array
    weight: Array
    value: Array


class Normal(NamedTuple):
    """The equations of a block, factored, and what its right sides are made of."""

    inverse: Array
    root: Array
    table: Array
    moments: Array
    factor: Any
    to_prices: Array
    solved: Array


class Interior:
    """The state of the method.

    Parameters
    ----------
    unit : array of shape (m, d)
        The rows of the data as unit rows.
    prices : Prices
    size : float
        About the optimal worth.
    known : tuple of int8 array of shape (m,)
        The sides of the planes on which all neurons are: of those that add and, if there is a
        second one, of those that subtract.
    rest : Rest, optional
        Further lines, that are no factors.
    """

    def __init__(
        self,
        unit: Array,
        prices: Prices,
        size: float,
        known: tuple[SignArray, ...],
        rest: Rest | None = None,
    ) -> None:
        self.unit, self.prices, self.size, self.rest = unit, prices, size, rest
        self.m, self.d = unit.shape
        self.rng = np.random.default_rng(0)
        start = -np.full(self.m, 1.0 / float(np.linalg.norm(unit, 2)) ** 2)
        none = np.zeros(0, np.int32)
        self.blocks = []
        for sign, fixed in zip((1.0, -1.0), known, strict=False):
            order = 1 + self.d + int(np.sum(fixed == 0))
            equal = np.where(fixed == 0, start, 0.0)
            block = Block(
                *(sign, fixed, 0.0, equal, none, none, np.zeros(0), np.zeros(0)),
                *(np.zeros(0), np.zeros(0), np.zeros(0, np.bool_)),
            )
            if rest is not None:
                block.slopes = rest.slopes(sign)
                block.aside = rest.form(sign, block.slopes)
            block.S = self.slack(block)
            self.seat(block, 0.5 * size / (len(known) * order))
            self.blocks.append(block)
        self.trees: list[Block | Split] = list(self.blocks)
        self.unbalanced, self.stuck = 1.0, False

    def sides(self, beta: float) -> tuple[LiftedSide, ...]:
        """Return the multipliers of each sign."""
        found = []
        for root in self.trees:
            tree: list[int] = []
            cells: list[LiftedCell] = []
            left = [root]
            while left:
                node = left.pop()
                if isinstance(node, Split):
                    plane = node.plane if self.rest is None else int(self.rest.inner[node.plane])
                    tree.append(1 + plane)
                    left.extend(node.halves[::-1])
                    continue
                tree.append(0)
                cell = LiftedCell(
                    *(node.first, node.second, beta * node.weight, beta * node.equal),
                    share=beta * (0.5 - node.gamma),
                )
                if self.rest is not None and node.slopes is not None:
                    cell = self.rest.whole(cell, node.slopes, beta)
                cells.append(cell)
            found.append(LiftedSide(np.array(tree, np.int32), tuple(cells)))
        return tuple(found)

    def split(self) -> None:
        """Split the cell from which most is to be gained."""
        total, count = self.complementarity()
        _, block, plane = max(self.promises(), key=lambda found: found[0])
        halves = [self.half(block, plane, sign, total / count) for sign in (1, -1)]
        self.blocks = [other for other in self.blocks if other is not block] + halves
        node = Split(plane, list(halves))
        self.unbalanced = 1.0
        for j, root in enumerate(self.trees):
            if root is block:
                self.trees[j] = node
            elif isinstance(root, Split):
                replace_leaf(root, block, node)

    def promises(self) -> list[tuple[float, Block, int]]:
        """Return what splits of the cells may gain, and by which planes."""
        return [self.promise(block) for block in self.blocks]

    def promise(self, block: Block) -> tuple[float, Block, int]:
        """Return what a split may gain, the block, and by which plane."""
        m, d = self.m, self.d
        inverse = self.whole(block, np.asarray(np.linalg.inv(block.S), np.float64))
        G, rows = self.table(inverse), self.rows(inverse)
        c = block.sign * np.asarray(self.prices.factors @ self.prices.at)
        to_c = G[: 2 * m + 1, 1 : 2 * m + 1] @ c
        worth, mass = to_c[0], 0.5 * (G[0, 0] + np.trace(inverse[1 : 1 + d, 1 : 1 + d]))
        ratios = []
        for factor in (slice(m + 1, 2 * m + 1), slice(1, m + 1)):
            own = np.maximum(np.diag(G)[factor], 1e-300)
            less_worth = G[0, factor] * to_c[factor] / own
            less_mass = 0.5 * np.sum(np.square(rows[factor]), axis=1) / own
            ratios.append((worth - less_worth) / np.maximum(mass - less_mass, 1e-12 * mass))
        worst = np.where(block.fixed == 0, np.maximum(*ratios), np.inf)
        plane = int(np.argmin(worst))
        return float(block.M[0, 0] * (worth / mass - worst[plane])), block, plane

    def half(self, block: Block, plane: int, sign: int, centre: float) -> Block:
        """Return one half of a cell, with the multipliers of the whole."""
        m = self.m
        fixed = block.fixed.copy()
        fixed[plane] = sign
        dead, full = (
            (m + 1 + plane, 3 * m + 1 + plane) if sign > 0 else (1 + plane, 2 * m + 1 + plane)
        )
        pairs = np.stack([block.first, block.second])
        pairs[pairs == full] = 0
        pairs.sort(axis=0)
        kept = ~np.any(pairs == dead, axis=0) & (pairs[0] != pairs[1])
        kept &= ~((pairs[0] == 1 + plane) & (pairs[1] == 1 + plane + m))
        places = pairs[0, kept].astype(np.int64) * (4 * m + 1) + pairs[1, kept]
        places, owner = np.unique(places, return_inverse=True)
        weight = np.bincount(owner, block.weight[kept], len(places)).astype(np.float64)
        first, second = (part.astype(np.int32) for part in np.divmod(places, 4 * m + 1))
        equal = block.equal.copy()
        equal[plane] = 0.0
        new = Block(
            *(block.sign, fixed, block.gamma, equal, first, second),
            *(weight, np.zeros(0), block.M, block.S, block.open),
            *(-1.0, block.slopes, block.aside),
        )
        new.S = self.slack(new)
        self.seat(new, centre)
        return new

    def slack(self, block: Block) -> Array:
        """Return S of a block."""
        c = block.sign * np.asarray(self.prices.factors @ self.prices.at)
        S = self.form(block, c, block.gamma, block.equal, block.weight, 0.5)
        if block.aside is not None:
            S[: 1 + self.d, : 1 + self.d] -= block.aside
        return S

    def form(
        self, block: Block, c: Array, gamma: float, equal: Array, weight: Array, base: float
    ) -> Array:
        """Return a combination of the matrices of a block's program, in its own variables."""
        m, d = self.m, self.d
        C = combined(m, block.first, block.second, weight)
        C[0, 1:] += 0.5 * c
        i = np.arange(1, m + 1)
        C[i, i + m] += 0.5 * equal
        S = -quadratic(self.unit, C + C.T, -1.0)
        j = np.arange(1, d + 1)
        S[0, 0] += base + gamma
        S[j, j] += base - gamma
        return substituted(S, self.unit, block.fixed)

    def seat(self, block: Block, centre: float) -> None:
        """Give a block moments that are centred, for its multipliers."""
        M = centre * np.linalg.inv(block.S)
        block.M = 0.5 * (M + M.T)
        block.value = centre / block.weight
        u = self.directions(block.fixed, SAMPLES * len(block.S))
        rows = u @ self.unit.T
        base = np.column_stack([np.ones(len(u)), np.maximum(rows, 0.0), np.maximum(-rows, 0.0)])
        factors = np.hstack([base, 1.0 - base[:, 1:]])
        used = used_factors(block.fixed)
        products = factors.T @ factors / len(u)
        block.open = np.triu(used[:, None] & used & (products > TINY), 1)
        i = np.arange(1, self.m + 1)
        block.open[i, i + self.m] = False
        block.open[block.first, block.second] = False

    def directions(self, fixed: SignArray, count: int) -> Array:
        """Return random unit vectors in a cell."""
        planes = self.unit[fixed != 0] * fixed[fixed != 0, None]
        u = self.rng.standard_normal((count, self.d))
        for _ in range(200):  # reflections lead into the cell
            values = u @ planes.T
            worst = np.argmin(values, axis=1) if planes.size else np.zeros(count, np.int64)
            off = values[np.arange(count), worst] < 0.0 if planes.size else np.zeros(count, bool)
            if not off.any():
                break
            step = 2.0 * values[np.arange(count), worst][off]
            u[off] -= step[:, None] * planes[worst[off]]
        lengths: Array = np.linalg.norm(u, axis=1, keepdims=True)
        return u / lengths

    def whole(self, block: Block, A: Array) -> Array:
        """Return a matrix in a block's variables as one in (1, u, p)."""
        if not block.fixed.any():
            return A
        d, m = self.d, self.m
        T = np.zeros((1 + d + m, len(A)))
        T[np.arange(1 + d), np.arange(1 + d)] = 1.0
        free, on = np.flatnonzero(block.fixed == 0), np.flatnonzero(block.fixed > 0)
        T[1 + d + free, 1 + d + np.arange(len(free))] = 1.0
        T[1 + d + on, 1 : 1 + d] = self.unit[on]
        result: Array = T @ A @ T.T
        return result

    def moments(self, A: Array) -> Array:
        """Return ``Z A Z'`` for the factors 1, p and q alone, (2 m + 1, 2 m + 1)."""
        m, d, unit = self.m, self.d, self.unit
        last = slice(1 + d, None)
        rows = np.concatenate([A[:1], A[last], A[last] - unit @ A[1 : 1 + d]])
        base = np.empty((2 * m + 1, 2 * m + 1))
        base[:, 0], base[:, 1 : m + 1] = rows[:, 0], rows[:, last]
        base[:, m + 1 :] = rows[:, last] - rows[:, 1 : 1 + d] @ unit.T
        return base

    def table(self, A: Array) -> Array:
        """Return ``Z A Z'`` for the factors Z, (4 m + 1, 4 m + 1)."""
        m, base = self.m, self.moments(A)
        out = np.empty((4 * m + 1, 4 * m + 1))
        out[: 2 * m + 1, : 2 * m + 1] = base
        out[2 * m + 1 :, : 2 * m + 1] = base[0] - base[1:]
        out[:, 2 * m + 1 :] = out[:, :1] - out[:, 1 : 2 * m + 1]
        return out

    def rows(self, A: Array) -> Array:
        """Return the factors' products with the columns (1, u) of a matrix in (1, u, p)."""
        d = self.d
        last = A[1 + d :, : 1 + d]
        base = np.concatenate([last, last - self.unit @ A[1 : 1 + d, : 1 + d]])
        return np.concatenate([A[:1, : 1 + d], base, A[:1, : 1 + d] - base])

    def complementarity(self) -> tuple[float, int]:
        """Return the sum of all products that are to vanish, and their number."""
        total, count = self.prices.products()
        for block in self.blocks:
            total += float(np.sum(block.M * block.S) + block.weight @ block.value)
            count += len(block.S) + len(block.weight)
        return total, count

    def gap(self) -> float:
        """Return how much better than the dual point at hand the relaxation can be."""
        most = max(float(block.M[0, 0]) for block in self.blocks)
        worst = min(block.worst * float(block.M[0, 0]) for block in self.blocks)
        feasible = worst >= -VIOLATED[1] * most
        return self.complementarity()[0] if feasible and self.unbalanced <= BALANCED else np.inf

    def pairs(self, block: Block) -> tuple[IntArray, IntArray, IntArray]:
        """Return the equations' and the multipliers' factors, and the lines of the former."""
        free = np.flatnonzero(block.fixed == 0).astype(np.int32)
        first = np.concatenate([free + 1, block.first]).astype(np.int32)
        second = np.concatenate([free + 1 + self.m, block.second]).astype(np.int32)
        return first, second, free

    def normal(self, block: Block) -> Normal:
        """Return the equations of a block, factored."""
        m, d = self.m, self.d
        root = cholesky(block.S)
        half = solve_triangular(root, np.eye(len(root)), lower=True)
        inverse = half.T @ half
        whole, moments = self.whole(block, inverse), self.whole(block, block.M)
        G, Q = self.table(whole), self.table(moments)
        first, second, free = self.pairs(block)
        B = np.empty((len(first) + 1, len(first) + 1))
        _gram(G, Q, first, second, B)
        flip = np.concatenate([[1.0], -np.ones(d)])
        a, b = self.rows(whole) * flip, self.rows(moments)
        B[0, 0] = np.sum((whole[: 1 + d, : 1 + d] * flip) * (moments[: 1 + d, : 1 + d] * flip).T)
        B[1:, 0] = B[0, 1:] = -0.5 * (
            np.einsum("ij,ij->i", a[first], b[second]) + np.einsum("ij,ij->i", a[second], b[first])
        )
        i = np.arange(1 + len(free), len(B))
        B[i, i] += block.value / block.weight
        F = self.prices.factors
        GF, QF = across(G[:, 1 : 2 * m + 1], F), across(Q[:, 1 : 2 * m + 1], F)
        to_prices = np.empty((len(B), GF.shape[1]))
        to_prices[1:] = 0.25 * (
            G[first, 0][:, None] * QF[second]
            + GF[first] * Q[second, 0][:, None]
            + G[second, 0][:, None] * QF[first]
            + GF[second] * Q[first, 0][:, None]
        )
        aF, bF = across(a[1 : 2 * m + 1].T, F), across(b[1 : 2 * m + 1].T, F)
        to_prices[0] = -0.5 * (a[0] @ bF + b[0] @ aF)
        to_prices *= block.sign
        factor = ridged(B)
        solved = solve_triangular(factor[0], to_prices, lower=True, check_finite=False)
        return Normal(inverse, root, G, Q, factor, to_prices, solved)

    def curvature(self, of: Normal) -> Array:
        """Return what a block adds to the prices' own equations."""
        m, F = self.m, self.prices.factors
        G, Q = of.table, of.moments
        g, q = np.asarray(F.T @ G[1 : 2 * m + 1, 0]), np.asarray(F.T @ Q[1 : 2 * m + 1, 0])
        inner = slice(1, 2 * m + 1)
        both = G[0, 0] * across(across(Q[inner, inner], F).T, F)
        both += Q[0, 0] * across(across(G[inner, inner], F).T, F)
        both += np.outer(g, q) + np.outer(q, g)
        result: Array = 0.25 * both - of.solved.T @ of.solved
        return result

    def direction(
        self,
        normals: list[Normal],
        system: Any,
        centre: float,
        before: list[Change] | None,
    ) -> tuple[Array, list[Change]]:
        """Return the step to a centre, less the product of the step before."""
        m, d = self.m, self.d
        slope, _ = self.prices.model(centre)
        parts = []
        for j, (block, of) in enumerate(zip(self.blocks, normals, strict=True)):
            first, second, free = self.pairs(block)
            target = centre * of.inverse
            aim = np.minimum(centre, GROWTH * block.weight * block.value)
            entries = centre * of.table[first, second]
            means = centre * of.table[1 : 2 * m + 1, 0]
            if before is not None:
                twice = before[j].M @ before[j].S @ of.inverse
                twice = -0.5 * (twice + twice.T)
                target = target + twice
                base = self.moments(self.whole(block, twice))
                entries, means = entries + _entries(base, first, second), means + base[1:, 0]
                aim = aim - before[j].weight * before[j].value
            side = np.empty(1 + len(first))
            corner = np.diag(target)[: 1 + d]
            side[0] = corner[0] - np.sum(corner[1:])
            side[1:] = -entries
            side[1 + len(free) :] += aim / block.weight
            slope = slope - block.sign * np.asarray(self.prices.factors.T @ means)
            half = solve_triangular(of.factor[0], side, lower=True, check_finite=False)
            slope = slope - of.solved.T @ half
            parts.append((half, target, aim, free))
        along = cho_solve(system, slope, check_finite=False)
        c = np.asarray(self.prices.factors @ along)
        changes = []
        for block, of, (half, target, aim, free) in zip(self.blocks, normals, parts, strict=True):
            x = solve_triangular(
                *(of.factor[0], half - of.solved @ along), lower=True, trans=1, check_finite=False
            )
            equal = np.zeros(m)
            equal[free] = x[1 : 1 + len(free)]
            weight = x[1 + len(free) :]
            S = self.form(block, block.sign * c, x[0], equal, weight, 0.0)
            twice = block.M @ S @ of.inverse
            M = target - block.M - 0.5 * (twice + twice.T)
            value = (aim - block.value * weight) / block.weight - block.value
            changes.append(Change(M, S, float(x[0]), equal, weight, value))
        return along, changes

    def reach(
        self, normals: list[Normal], along: Array, changes: list[Change], centre: float
    ) -> tuple[float, float]:
        """Return how far the primal and the dual variables may go."""
        primal, dual = self.prices.reach(along, centre)
        for block, of, change in zip(self.blocks, normals, changes, strict=True):
            dual = min(dual, furthest(of.root, change.S), ratio(block.weight, change.weight))
            root = cholesky(block.M)
            primal = min(primal, furthest(root, change.M), ratio(block.value, change.value))
        return min(1.0, STEP * primal), min(1.0, STEP * dual)

    def step(self) -> None:
        """Take a step; raises `LinAlgError` where rounding allows none."""
        total, count = self.complementarity()
        normals = [self.normal(block) for block in self.blocks]
        matrix = self.prices.model(0.0)[1]
        for of in normals:
            matrix = matrix + self.curvature(of)
        system = cho_factor(matrix, lower=True, check_finite=False)
        along, changes = self.direction(normals, system, 0.0, None)
        primal, dual = self.reach(normals, along, changes, 0.0)
        after = sum(
            float(np.sum((block.M + primal * change.M) * (block.S + dual * change.S)))
            + float((block.weight + dual * change.weight) @ (block.value + primal * change.value))
            for block, change in zip(self.blocks, changes, strict=True)
        )
        own, _ = self.prices.products()
        share = min(1.0, max(SMALLEST, (after + own * (1.0 - min(primal, dual))) / total)) ** 2
        centre = share * total / count
        along, changes = self.direction(normals, system, centre, changes)
        primal, dual = self.reach(normals, along, changes, centre)
        self.prices.move(along, primal, dual, centre)
        self.unbalanced *= 1.0 - primal
        for block, change in zip(self.blocks, changes, strict=True):
            M = block.M + primal * change.M
            block.M = 0.5 * (M + M.T)
            block.gamma += dual * change.gamma
            block.equal = block.equal + dual * change.equal
            block.weight = block.weight + dual * change.weight
            block.value = block.value + primal * change.value
            block.S = self.slack(block)
        total, count = self.complementarity()
        for block in self.blocks:
            self.settle(block)
            self.exchange(block, total, total / count)

    def settle(self, block: Block) -> None:
        """Have the multipliers of the lines that are no factors follow the moments."""
        if self.rest is None or self.unbalanced > BALANCED:
            return
        corner = block.M[: 1 + self.d, : 1 + self.d] / block.M[0, 0]
        before = block.slopes, block.aside, block.S
        block.slopes = self.rest.slopes(block.sign, corner)
        block.aside = self.rest.form(block.sign, block.slopes)
        block.S = self.slack(block)
        if not positive_definite(block.S - KEPT * before[2]):
            block.slopes, block.aside, block.S = before

    def exchange(self, block: Block, total: float, centre: float) -> None:
        """Give multipliers to products that are violated, and drop those far from binding."""
        base = self.moments(self.whole(block, block.M))
        own = np.diag(base)
        root = np.sqrt(np.maximum(np.append(own, own[0] - 2.0 * base[0, 1:] + own[1:]), SMALL))
        self.drop(block, block.value / (root[block.first] * root[block.second]))
        least, most = VIOLATED
        limit = min(most, max(least, total / self.size))
        block.worst, first, second = violated(base, 1.0 / root, block.open, limit, USES)
        count = max(FEWEST, int(ADDED * self.m))
        first, second = first[:count], second[:count]
        if len(first):
            self.add(block, first, second, FRESH * root[first] * root[second], centre)

    def drop(self, block: Block, cosine: Array) -> None:
        """Take the multipliers of products that are far from binding, as many as S can lose."""
        idle = np.flatnonzero(cosine > IDLE)
        idle = idle[np.argsort(-cosine[idle], kind="stable")]
        before = block.first, block.second, block.weight, block.value, block.S
        while len(idle):
            kept = np.ones(len(cosine), np.bool_)
            kept[idle] = False
            block.first, block.second = block.first[kept], block.second[kept]
            block.weight, block.value = block.weight[kept], block.value[kept]
            block.S = self.slack(block)
            if positive_definite(block.S - KEPT * before[4]):
                block.open[before[0][idle], before[1][idle]] = True
                return
            block.first, block.second, block.weight, block.value, block.S = before
            idle = idle[: len(idle) // 4]

    def add(
        self, block: Block, first: IntArray, second: IntArray, value: Array, centre: float
    ) -> None:
        """Give products multipliers, as large as they can be at once."""
        before, weight = block.S, block.weight
        block.first = np.concatenate([block.first, first])
        block.second = np.concatenate([block.second, second])
        block.value = np.concatenate([block.value, value])
        block.open[first, second] = False
        share = 1.0
        while True:  # S may lose half of itself
            block.weight = np.concatenate([weight, share * centre / value])
            block.S = self.slack(block)
            if positive_definite(block.S - 0.5 * before):
                return
            share *= 0.5


@kernel()
def _gram(G, Q, first, second, out):  # type: ignore[no-untyped-def]
    """Write the products' equations below the first row and column."""
    for i in range(first.shape[0]):
        Gk, Gl, Qk, Ql = G[first[i]], G[second[i]], Q[first[i]], Q[second[i]]
        for j in range(i + 1):
            a, b = first[j], second[j]
            value = 0.25 * (Gk[a] * Ql[b] + Gk[b] * Ql[a] + Gl[a] * Qk[b] + Gl[b] * Qk[a])
            out[i + 1, j + 1] = value
            out[j + 1, i + 1] = value


@kernel()
def _entries(base, first, second):  # type: ignore[no-untyped-def]
    """Return entries of ``Z A Z'`` by those of the factors 1, p and q."""
    last = base.shape[0] - 1
    out = np.empty(first.shape[0])
    for i in range(first.shape[0]):
        k, j = first[i], second[i]
        a, b = k - last if k > last else k, j - last if j > last else j
        value = -base[a, b] if (k > last) != (j > last) else base[a, b]
        if k > last:
            value += base[0, j] if j <= last else -base[0, b]
        if j > last:
            value += base[k, 0] if k <= last else base[0, 0] - base[a, 0]
        out[i] = value
    return out


@kernel()
def _violated(base, inverse, admitted, limit, place, cosine):  # type: ignore[no-untyped-def]
    """Write the pairs of factors whose cosine is below ``-limit``, as far as there is room.

    Return the least cosine of two factors, and how many pairs there are.
    """
    last, width, least, count = base.shape[0] - 1, admitted.shape[0], np.inf, 0
    for k in range(width):
        a = k - last if k > last else k
        for j in range(k + 1, width):
            if not admitted[k, j]:
                continue
            if k > last:
                b = j - last
                value = base[0, 0] - base[0, a] - base[0, b] + base[a, b]
            elif j > last:
                value = base[a, 0] - base[a, j - last]
            else:
                value = base[a, j]
            value *= inverse[k] * inverse[j]
            least = min(least, value)
            if value < -limit:
                if count < place.shape[0]:
                    place[count], cosine[count] = k * width + j, value
                count += 1
    return least, count


@kernel()
def _apart(place, width, uses):  # type: ignore[no-untyped-def]
    """Move the first pairs of which no factor is in more than so many to the front; count them."""
    used, kept = np.zeros(width, np.int64), 0
    for i in range(place.shape[0]):
        k, j = place[i] // width, place[i] % width
        if used[k] < uses and used[j] < uses:
            used[k] += 1
            used[j] += 1
            place[kept] = place[i]
            kept += 1
    return kept


def violated(
    base: Array, inverse: Array, admitted: BoolArray, limit: float, uses: int
) -> tuple[float, IntArray, IntArray]:
    """Return the least cosine of two factors, and the pairs below ``-limit``, the worst first.

    No factor is in more than `uses` of them.
    """
    count = VIOLATING
    while True:
        place, cosine = np.empty(count, np.int64), np.empty(count)
        least, found = _violated(base, inverse, admitted, limit, place, cosine)
        if found <= count:
            break
        count = found
    place = place[np.argsort(cosine[:found], kind="stable")]
    first, second = np.divmod(place[: _apart(place, len(admitted), uses)], len(admitted))
    return float(least), first.astype(np.int32), second.astype(np.int32)


def across(A: Array, F: Array | sp.csr_array) -> Array:
    """Return ``A F``."""
    return np.asarray((F.T @ A.T).T)


def replace_leaf(root: Split, block: Block, node: Split) -> None:
    """Put a split in the place of a cell of a tree."""
    for j, part in enumerate(root.halves):
        if part is block:
            root.halves[j] = node
        elif isinstance(part, Split):
            replace_leaf(part, block, node)


def used_factors(fixed: SignArray) -> BoolArray:
    """Return which factors a cell has: none that is 0 there, or that is another one."""
    on, off = fixed > 0, fixed < 0
    return np.concatenate([[True], ~off, ~on, ~off, ~on])


def ridged(B: Array) -> Any:
    """Return the lower factor of a matrix that rounding may have made indefinite."""
    i, diagonal = np.arange(len(B)), np.diag(B).copy()
    for ridge in RIDGES:
        B[i, i] = diagonal * (1.0 + ridge)
        try:
            return cho_factor(B, lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            continue
    raise np.linalg.LinAlgError("the equations are not positive definite")


def cholesky(A: Array) -> Array:
    """Return the lower factor of a matrix; raises `LinAlgError` where it is not definite."""
    root: Any = np.linalg.cholesky(A)
    return np.asarray(root, np.float64)


def positive_definite(A: Array) -> bool:
    """Tell whether a matrix is, to rounding."""
    try:
        cholesky(A)
    except np.linalg.LinAlgError:
        return False
    return True


def furthest(root: Array, step: Array) -> float:
    """Return the largest multiple, at most 1 / STEP, of a step that ``root root'`` can take."""
    half = solve_triangular(root, step, lower=True, check_finite=False)
    inner = solve_triangular(root, half.T, lower=True, check_finite=False)
    least = float(eigh(inner, eigvals_only=True, subset_by_index=[0, 0], check_finite=False)[0])
    return 1.0 / STEP if least >= -STEP else min(1.0 / STEP, -1.0 / least)

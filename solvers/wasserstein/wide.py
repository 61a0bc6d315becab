"""The system of a step with more entries of b than samples: of the size of the samples.

An entry of b meets the others in the data alone. Beyond those it is in two rows of its norm, where
it meets one size. So the system is ``H = P + U'U`` with P in blocks of one or two, but for the few
variables g that are no entries. With V the columns of U, and C the rows of P, that belong to
entries and sizes,

    (I + V P^-1 V') v  =  V P^-1 r + B x_g,             B = U_g - V P^-1 C,
    (P_gg - C' P^-1 C) x_g + B' v  =  r_g - C' P^-1 r

for ``v = U x`` (Woodbury 1950): O(n^2 d) a step, in O(n d) memory. Near an optimum some entries are
loose, P being next to nothing along them, and ``I`` drowns: these join the variables g. An
intercept c has no P at all, and data that are centred leave its column b in B to I alone. As
``b'v = r_c`` for it, ``tau b b'v = tau b r_c`` is added to the first equation. What the right-hand
side has of U' is left out of v: where all entries are loose, next to nothing is left of the two.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.linalg.lapack import dpotrs

from convexnn.contract.arrays import Array, IndexArray
from convexnn.contract.clock import look
from convexnn.solvers.scaling import Pair, Scaling
from convexnn.solvers.wasserstein.program import Program
from convexnn.solvers.wasserstein.systems import (
    RIDGE,
    Dense,
    System,
    cholesky,
    of_prediction,
    of_shift,
    of_shift_alone,
    shifted,
)

CALLS = 4e6  # operations that take as long as the many small calls of a step
PART = 4096  # entries whose columns are weighted at a time
LOOSE = 1e4  # how much of V P^-1 V' an entry may be, against I
REFINED = 3  # times that a solution is refined, at most
EXACT = 1e-13  # residual that is not refined, relative to the right-hand side


def system(program: Program, share: Array) -> System:
    """Return the system of fewer operations."""
    entries, size = program.entries, len(program.cost)
    if entries is None:
        return Dense(program, share)
    rows = len(program.samples.Z) + sum(len(M) for M, _ in program.cones)
    dense = size * size * (rows + size / 3.0)
    wide = CALLS + rows * rows * (entries.many + 2.0 * rows)
    return Wide(program, share) if wide < dense else Dense(program, share)


class Wide(System):
    """H by its blocks, and a factor of ``I + V P^-1 V'``.

    The head of a cone that b is in is a variable for itself. It is eliminated: ``h' = h - a'x``
    meets nothing else, and what is left of the cone has no large part.
    """

    def __init__(self, program: Program, share: Array) -> None:
        super().__init__(program, share)
        assert program.entries is not None
        d, within, self.sizes = program.entries
        self.d, self.within, self.norm = d, within - d, 2 * d + int(self.sizes)
        self.others = slice(d, len(program.cost) - (d if self.sizes else 0))
        self.intercept = program.samples.Z.shape[1] > d
        left = program.G[self.norm :, self.others]
        self.left = left if isinstance(left, np.ndarray) else left.toarray()
        self.far = [bool(M[:, :d].any()) for M, _ in program.cones]  # the cones that b is in
        of_b = [M for (M, _), far in zip(program.cones, self.far, strict=True) if far]
        self.heads = [int(np.flatnonzero(M[0, self.others])[0]) for M in of_b]
        parts = [program.samples.Z[:, :d]] if len(share) else []
        parts += [M[1:, :d] for M in of_b]
        self.X = parts[0] if len(parts) == 1 else np.vstack(parts)
        self.acting = np.zeros((len(self.X), self.others.stop - d))  # the others, on the same rows
        self.acting[: len(share), : program.samples.Z.shape[1] - d] = program.samples.Z[:, d:]
        if of_b:
            self.acting[len(share) :] = np.vstack([M[1:, self.others] for M in of_b])
        self.lengths = np.einsum("ij,ij->j", self.X, self.X) / len(self.X)

    def factor(self, D: Array, weights: Array, scalings: list[Scaling]) -> None:
        """Factorise ``I + V P^-1 V'``, and what it leaves of the variables g."""
        d, rows, sizes = self.d, len(self.X), self.sizes
        up, down = weights[0 : 2 * d : 2], weights[1 : 2 * d : 2]
        self.of_others = self._of_others(D, weights[self.norm :], scalings)
        least = RIDGE * self._size() * self.lengths
        up, down = up + least, down + least
        self.of_entries, self.meets = up + down, down - up
        g = len(self.of_others)
        along = np.minimum(up, down) if sizes else self.of_entries  # P along what may be loose
        loose = self.loose = self._loose(along)
        least = 1.0 / along
        least[loose] = 0.0
        Q = np.zeros((g + len(loose), g + len(loose)))
        Q[:g, :g] = self.of_others
        Q[range(g, len(Q)), range(g, len(Q))] = along[loose]
        B = np.zeros((rows + int(sizes), g + len(loose)))
        B[:rows, :g] = self._scaled(self.acting.T).T
        B[:rows, g:] = self._scaled(self.X[:, loose].T).T
        if sizes:  # b_j - e_j is held by the larger weight, b_j + e_j by the other, or vice versa
            tight, side = 1.0 / np.maximum(up, down), np.where(up > down, 0.5, -0.5)
            self.inverse, self.tie = 0.25 * (tight + least), 0.5 * side * (least - tight)
            self.side, self.total = side[loose], weights[2 * d]
            B[:rows, g:] *= 0.5
            B[-1, g:] = np.sqrt(self.total) * self.side
            B[-1, self.within] = -np.sqrt(self.total)
        else:
            self.inverse = least
            mixed = 4.0 * up * down / self.of_entries  # what is left of the size, entry by entry
            mixed[loose] = along[loose]
            Q[self.within, self.within] += np.sum(mixed)
            Q[self.within, g:] = Q[g:, self.within] = self.meets[loose]
            B[:, self.within] -= self._scaled(self.X @ (least * self.meets))
            self.of_others[self.within, self.within] += np.sum(self.of_entries)
        K = self._scaled(self._scaled(self._gram()).T)
        K.flat[:: rows + 1] += 1.0
        if sizes:
            K = np.pad(K, (0, 1))
            K[:-1, -1] = K[-1, :-1] = np.sqrt(self.total) * self._scaled(self.X @ self.tie)
            K[-1, -1] = 1.0 + self.total * np.sum(self.inverse)
        self.free = np.zeros(len(K))
        if self.intercept:
            size = B[:, 0] @ B[:, 0]
            self.free = B[:, 0] * (np.trace(K) / (len(K) * size) if size > 0.0 else 0.0)
            K += np.outer(self.free, B[:, 0])
        self.B, self.inner = B, cholesky(K)
        self.gone, _ = dpotrs(self.inner, B)
        self.outer = cholesky(Q + B.T @ self.gone)

    def _of_others(self, D: Array, weights: Array, scalings: list[Scaling]) -> Array:
        """Return the part of P of the others, but for the norm's, and take the cones' scalings."""
        s, d = self.program.samples, self.d
        own: Array = self.left.T @ (weights[:, None] * self.left)
        weight = np.maximum(of_prediction(s, D), 0.0)
        self.root = np.sqrt(weight * self.share)
        if shifted(s):  # the shift acts through the prediction, but for what it has alone
            cross, _ = of_shift(s, D)
            ratio = np.divide(cross, weight, out=np.zeros_like(cross), where=weight > 0.0)
            self.acting[: len(self.share), s.lam - d] = ratio
            own[s.lam - d, s.lam - d] += self.share @ of_shift_alone(s, D, weight)
        self.turns = [W for W, far in zip(scalings, self.far, strict=True) if far]
        for W, head in zip(self.turns, self.heads, strict=True):
            own[head, head] += (W.spread[0] / W.eta[0]) ** 2
        for (M, _), W, far in zip(self.program.cones, scalings, self.far, strict=True):
            if not far:
                turned = W.divide(Pair(M[0, self.others], M[1:, self.others].T))
                own += np.outer(turned.head, turned.head) + turned.tail @ turned.tail.T
        return own

    def _size(self) -> float:
        """Return about what the rows of X are weighted by, in all."""
        cones = (W.w1.shape[-1] / W.eta[0] ** 2 for W in self.turns)
        return float(np.sum(np.square(self.root)) + sum(cones))

    def _loose(self, along: Array) -> IndexArray:
        """Return the entries whose part of ``V P^-1 V'`` is large, no more than there are rows."""
        share = self._size() * self.lengths / along
        loose = np.flatnonzero(share > LOOSE)
        if len(loose) > len(self.X):
            loose = loose[np.argpartition(-share[loose], len(self.X))[: len(self.X)]]
        return loose

    def solve(self, right: Array, slope: Array) -> Array:
        """Solve, and refine the solution while that makes the residual smaller."""
        d, right, n = self.d, right.copy(), len(slope)
        known, none = np.zeros((2, len(self.B)))
        np.divide(slope, self.root, out=known[:n], where=self.root > 0.0)
        if shifted(self.program.samples):  # the rows of U pull at the shift as well
            right[self.program.samples.lam] -= slope @ self.acting[:n, self.program.samples.lam - d]
        for W, head, rows in self._cones():
            along = self._slope(W) * right[d + head]
            right[:d] += along @ self.X[rows]
            right[self.others] += along @ self.acting[rows]
        found = self._solve(right, known)
        left = right - self._times(found, known)
        size = float(np.linalg.norm(left))
        enough = EXACT * float(np.linalg.norm(right))
        for _ in range(REFINED):
            if size <= enough:
                break
            better = found + self._solve(left, none)
            left = right - self._times(better, known)
            now = float(np.linalg.norm(left))
            if now < size:
                found = better
            if not now < 0.5 * size:
                break
            size = now
        for W, head, rows in self._cones():
            seen = self.X[rows] @ found[:d] + self.acting[rows] @ found[self.others]
            found[d + head] += self._slope(W) @ seen
        return found

    def _solve(self, right: Array, known: Array) -> Array:
        """Solve for the variables g, then for what the rows of U make of it, then for the rest.

        What is known of v, and pulls the other way on the right-hand side, is left out of v.
        """
        d, found, loose, others = self.d, np.empty_like(right), self.loose, right[self.others]
        g = len(others)
        alone, along = self.inverse * right[:d], right[loose]
        if self.sizes:
            own = right[-d:]
            alone += self.tie * own
            along = 0.5 * along + self.side * own[loose]
            sizes = self.tie * right[:d] + self.inverse * own
            rows = self._scaled(self.X @ alone)
            rows = np.append(rows, np.sqrt(self.total) * np.sum(sizes))
        else:
            others = others.copy()
            others[self.within] -= self.meets @ alone
            rows = self._scaled(self.X @ alone)
        first, _ = dpotrs(self.inner, rows - known + self.free * others[0])
        x, _ = dpotrs(self.outer, np.append(others, along) - self.B.T @ first)
        v = first + self.gone @ x
        back = self._scaled(v[: len(self.X)]) @ self.X
        found[self.others] = x[:g]
        if self.sizes:
            push = np.sqrt(self.total) * v[-1]
            found[:d] = alone - self.inverse * back - self.tie * push
            found[-d:] = sizes - self.tie * back - self.inverse * push
            found[loose] += 0.5 * x[g:]
            found[-d:][loose] += self.side * x[g:]
        else:
            found[:d] = alone - self.inverse * (back + self.meets * x[self.within])
            found[loose] = x[g:]
        return found

    def _times(self, x: Array, known: Array) -> Array:
        """Return ``P x + U'(U x - known)``, the heads eliminated."""
        d, result = self.d, np.empty_like(x)
        b, others = x[:d], x[self.others]
        seen = self._scaled(self.X @ b + self.acting @ others)
        rows = self._scaled(seen - known[: len(seen)])
        result[:d] = self.of_entries * b + rows @ self.X
        of_others = self.of_others @ others + rows @ self.acting
        if self.sizes:
            push = self.total * (np.sum(x[-d:]) - others[self.within])
            result[:d] += self.meets * x[-d:]
            result[-d:] = self.of_entries * x[-d:] + self.meets * b + push
            of_others[self.within] -= push
        else:
            result[:d] += self.meets * others[self.within]
            of_others[self.within] += self.meets @ b
        result[self.others] = of_others
        return result

    def _gram(self) -> Array:
        """Return ``X P^-1 X'``."""
        gram = np.zeros((len(self.X), len(self.X)))
        for at in range(0, self.d, PART):
            look()
            part = self.X[:, at : at + PART] * np.sqrt(self.inverse[at : at + PART])
            gram += part @ part.T
        return gram

    def _scaled(self, rows: Array) -> Array:
        """Return vectors (..., of the rows of X) times the symmetric matrix that makes them U's."""
        n, scaled = len(self.root), np.empty_like(rows)
        scaled[..., :n] = rows[..., :n] * self.root
        for W, _, at in self._cones():
            tail, unit = rows[..., at], W.unit[0]
            along = (1.0 / W.spread[0] - 1.0) * (tail @ unit)
            scaled[..., at] = (tail + along[..., None] * unit) / W.eta[0]
        return scaled

    def _cones(self) -> Iterator[tuple[Scaling, int, slice]]:
        """Yield each cone that b is in: its scaling, the place of its head, its rows of X."""
        at = len(self.root)
        for W, head in zip(self.turns, self.heads, strict=True):
            yield W, head, slice(at, at + W.w1.shape[-1])
            at += W.w1.shape[-1]

    @staticmethod
    def _slope(W: Scaling) -> Array:
        """Return how the best head of a cone grows with its tail."""
        slope: Array = (2.0 * W.w0[0] / W.spread[0] ** 2) * W.w1[0]
        return slope

"""What narrow networks of one input can add to a fit: the features of their lasso.

A chain of ``L - 1`` neurons with weights +-1 and free biases is linear in its biases between the
places where a neuron switches at a data point. Against a multiplier that sums to zero (the
network's offset is free) it goes on for ever without change, so that it is largest where as many
neurons as it has biases switch at data points. Those chains are the features, one a column, on the
distinct points ``t_0 < ... < t_{N-1}``. With slopes ``m_0, ..., m_{N-2}`` between them and
``TV = sum_k |m_k - m_{k-1}|`` the least ``l1`` norm of their coefficients is

    Steps    threshold, 2 layers     sum_k |v_k+1 - v_k|, of jumps; half of that for sign
    Hinges   relu, 2 layers          (TV + max(TV, |m_0 + m_{N-2}|)) / 2
    Ramps    relu, 3 layers or more  (TV + |m_0| + |m_{N-2}|) / 2
    Vees     abs, 2 layers           (TV + |m_0 + m_{N-2}|) / 2
    Folds    abs, 3 layers or more   no formula: every mirror image of the points counts
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import combinations, product
from math import comb
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.clock import look

if TYPE_CHECKING:
    from numpy.typing import NDArray

EPS = float(np.finfo(np.float64).eps)
FAR = 2.0**20  # spans from 0 from which points are counted from one of them
DIGITS = 13  # of biases in units of the span: folds that agree in them are one


class Chains(NamedTuple):
    """Chains with unit weights: ``h <- act(sign_l (h - shift_l))`` from ``h = x - origin``.

    Attributes
    ----------
    signs, shifts : array of shape (L - 1, k)
    """

    signs: Array
    shifts: Array


class Dictionary(ABC):
    """Features of the chains of one kind.

    Parameters
    ----------
    points : array of shape (N,)
        Increasing, N >= 2.
    layers : int

    Attributes
    ----------
    scale : float
        A power of two near the span. Features are given for the points ``t = (x - x_0) / scale``.
    degree : int
        A feature of x is that of t times ``scale ** degree``.
    origin : float
        Where `chains` count the data from: 0, or the first point where 0 is far for their span.
    """

    degree = 1

    def __init__(self, points: Array, layers: int) -> None:
        self.points, self.layers = points, layers
        span = points[-1] - points[0]
        far = float(np.max(np.abs(points))) > FAR * span
        self.origin = float(points[0]) if far else 0.0
        self.scale = float(2.0 ** np.round(np.log2(span)))
        self.knots: Array = (points - points[0]) / self.scale
        self.gaps: Array = np.diff(self.knots)

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of features."""

    @abstractmethod
    def columns(self, index: NDArray[np.intp]) -> Array:
        """Return some features at the points, one a column."""

    def matrix(self) -> Array:
        """Return the features at the points, (N, P)."""
        return self.columns(np.arange(len(self)))

    @abstractmethod
    def forward(self, c: Array) -> Array:
        """Return ``matrix() @ c``, not forming the matrix."""

    @abstractmethod
    def adjoint(self, r: Array) -> Array:
        """Return ``matrix().T @ r``, not forming the matrix."""

    @abstractmethod
    def chains(self, index: NDArray[np.intp]) -> Chains:
        """Return the chains of some features, in the units of the data."""

    def products(self, r: Array, index: NDArray[np.intp]) -> Array:
        """Return the entries of `adjoint` for some features."""
        some: Array = self.adjoint(r)[index]
        return some

    def settled(self, c: Array, r: Array) -> Array:
        """Return coefficients near an optimum without those that it has not, by a multiplier.

        There ``|feature' r|`` is largest wherever a coefficient is not zero. One that falls
        short of that by a larger share than the coefficient has of the largest one is left out.
        """
        used = np.flatnonzero(c)
        fits, size = np.abs(self.products(r, used)), np.abs(c[used])
        top, most = float(np.max(fits, initial=0.0)), float(np.max(size, initial=0.0))
        kept = used[size * top >= (top - fits) * most]
        out = np.zeros_like(c)
        out[kept] = c[kept]
        return out

    def largest(self, r: Array) -> float:
        """Return an upper bound on ``max_p |feature_p' r|``, exact but for rounding."""
        return float(np.max(np.abs(self.adjoint(r)))) + self.rounding(r)

    @property
    def highest(self) -> float:
        """Return a bound on the size of a feature at a point."""
        return 1.0 + float(self.knots[-1])

    def rounding(self, r: Array) -> float:
        """Return a bound on what rounding does to sums along the points."""
        return 4.0 * EPS * (len(r) + 2) * float(np.sum(np.abs(r))) * self.highest


class Shaped(Dictionary):
    """Features whose norm is known from the shape of the fit."""

    @abstractmethod
    def norm(self, v: Any, m: Any) -> Any:
        """Return the least norm of coefficients with these values and slopes, in CVXPY."""

    @abstractmethod
    def coefficients(self, v: Array, m: Array) -> Array:
        """Return coefficients of that norm with these values and slopes, up to a constant."""

    def slopes(self, v: Array) -> Array:
        """Return the slopes between the points."""
        m: Array = np.diff(v) / self.gaps
        return m

    def risen(self, first: float, m: Array) -> Array:
        """Return the values at the points from the first one and the slopes."""
        return np.concatenate([[first], first + np.cumsum(m * self.gaps)])

    def above(self, r: Array) -> Array:
        """Return ``sum_i r_i max(t_i - t_j, 0)`` for each j."""
        heavier = np.cumsum(r[::-1])[::-1]
        return np.append(np.cumsum((heavier[1:] * self.gaps)[::-1])[::-1], 0.0)

    def below(self, r: Array) -> Array:
        """Return ``sum_i r_i max(t_j - t_i, 0)`` for each j."""
        return np.concatenate([[0.0], np.cumsum(np.cumsum(r)[:-1] * self.gaps)])


class Steps(Shaped):
    """Jumps between neighbours: ``1[x >= c]`` of height 1, or ``sign(x - c)`` of height 2.

    Any ``c`` between two neighbours fits the data alike; the middle is taken.
    """

    degree = 0

    def __init__(self, points: Array, layers: int, height: float) -> None:
        super().__init__(points, layers)
        self.height = height

    def __len__(self) -> int:
        return len(self.knots) - 1

    def columns(self, index: NDArray[np.intp]) -> Array:
        """Return 0 or -1 before the jump, 1 after it."""
        after = np.arange(len(self.knots))[:, None] > index
        return np.where(after, 1.0, 1.0 - self.height)

    def forward(self, c: Array) -> Array:
        """Return cumulative sums."""
        risen = np.concatenate([[0.0], np.cumsum(c)])
        result: Array = self.height * risen - (self.height - 1.0) * risen[-1]
        return result

    def adjoint(self, r: Array) -> Array:
        """Return sums of what is after each jump."""
        after = np.cumsum(r[::-1])[::-1]
        result: Array = self.height * after[1:] - (self.height - 1.0) * after[0]
        return result

    def norm(self, v: Any, m: Any) -> Any:
        """Return the variation over the height."""
        import cvxpy as cp

        return cp.norm1(cp.diff(v)) / self.height

    def coefficients(self, v: Array, m: Array) -> Array:
        """Return the jumps over the height."""
        jumps: Array = np.diff(v) / self.height
        return jumps

    def chains(self, index: NDArray[np.intp]) -> Chains:
        """Return neurons that switch half-way between neighbours."""
        left, right = self.points[index] - self.origin, self.points[index + 1] - self.origin
        middle = left + 0.5 * (right - left)
        shifts = np.where(middle > left, middle, right)[None, :]
        return Chains(np.ones_like(shifts), shifts)


class Hinges(Shaped):
    """``max(t - t_j, 0)`` for j < N - 1, then ``max(t_j - t, 0)`` for 0 < j < N - 1.

    ``t_{N-1} - t`` is left out: it is ``t_0 - t`` but for a constant, the first feature's negative.
    """

    def __len__(self) -> int:
        return 2 * len(self.knots) - 3

    def columns(self, index: NDArray[np.intp]) -> Array:
        """Return the features at the points."""
        signs, at = self.sides(index)
        apart: Array = (self.knots[:, None] - self.knots[at]) * signs
        np.maximum(apart, 0.0, out=apart)
        return apart

    def sides(self, index: NDArray[np.intp]) -> tuple[Array, NDArray[np.intp]]:
        """Return the sign of the slope of some features, and j."""
        half = len(self.gaps)
        rises = index < half
        return np.where(rises, 1.0, -1.0), np.where(rises, index, index - half + 1)

    def forward(self, c: Array) -> Array:
        """Return values from slopes, themselves cumulative sums."""
        up, down = c[: len(self.gaps)], np.concatenate([[0.0], c[len(self.gaps) :]])
        m = np.cumsum(up) - (np.sum(down) - np.cumsum(down))
        return self.risen(float(down @ self.knots[:-1]), m)

    def adjoint(self, r: Array) -> Array:
        """Return sums over what is above and below each point."""
        return np.concatenate([self.above(r)[:-1], self.below(r)[1:-1]])

    def norm(self, v: Any, m: Any) -> Any:
        """Return ``(TV + max(TV, |m_0 + m_{N-2}|)) / 2``."""
        import cvxpy as cp

        variation = cp.norm1(cp.diff(m)) if len(self.gaps) > 1 else cp.Constant(0.0)
        return 0.5 * (variation + cp.maximum(variation, cp.abs(m[0] + m[-1])))

    def coefficients(self, v: Array, m: Array) -> Array:
        """Return hinges of the size of each bend, the first ones to the right."""
        bend, ends = np.diff(m), float(m[0] + m[-1])
        size = np.abs(bend)
        variation = float(np.sum(size))
        # a bend to the right (left) adds its own size to m_0 + m_{N-2}, times its sign (minus that)
        signed = float(np.clip(ends, -variation, variation))
        wanted = 0.5 * (variation + signed)  # size of the bends that add
        before = np.concatenate([[0.0], np.cumsum(size)[:-1]])
        adding = np.clip(wanted - before, 0.0, size)
        share = np.divide(adding, size, out=np.zeros_like(size), where=size > 0.0)
        right = np.where(bend > 0.0, share, 1.0 - share) * bend
        return np.concatenate([[0.5 * (ends - signed)], right, bend - right])

    def chains(self, index: NDArray[np.intp]) -> Chains:
        """Return neurons that switch at data points."""
        signs, at = self.sides(index)
        return Chains(signs[None, :], (self.points[at] - self.origin)[None, :])


class Ramps(Shaped):
    """``t_j - clip(t, t_i, t_j)`` for i < j, in the order (0, 1), (0, 2), ..., (1, 2), ..."""

    def __init__(self, points: Array, layers: int) -> None:
        super().__init__(points, layers)
        N = len(points)
        i = np.arange(N)
        self.starts = i * N - i * (i + 1) // 2  # index of the pair (i, i + 1)

    def __len__(self) -> int:
        return len(self.knots) * (len(self.knots) - 1) // 2

    def pairs(self, index: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return i and j of some features."""
        i = np.searchsorted(self.starts[:-1], index, side="right") - 1
        return i, index - self.starts[i] + i + 1

    def columns(self, index: NDArray[np.intp]) -> Array:
        """Return the features at the points."""
        i, j = self.pairs(index)
        low, high = self.knots[i], self.knots[j]
        result: Array = high - np.clip(self.knots[:, None], low, high)
        return result

    def forward(self, c: Array) -> Array:
        """Return values from slopes, themselves cumulative sums."""
        used = np.flatnonzero(c)
        i, j = self.pairs(used)
        N = len(self.knots)
        bends = np.bincount(j, c[used], N) - np.bincount(i, c[used], N)
        first = float(c[used] @ (self.knots[j] - self.knots[i]))
        return self.risen(first, np.cumsum(bends)[:-1])

    def adjoint(self, r: Array) -> Array:
        """Return differences of the sums above two points."""
        return self.products(r, np.arange(len(self)))

    def products(self, r: Array, index: NDArray[np.intp]) -> Array:
        """Return the entries of `adjoint` for some features."""
        i, j = self.pairs(index)
        h = self.above(r) + self.knots * float(np.sum(r))
        difference: Array = h[j] - h[i]
        return difference

    def largest(self, r: Array) -> float:
        """Return the range of the sums above each point."""
        return float(np.ptp(self.above(r) + self.knots * float(np.sum(r)))) + self.rounding(r)

    def norm(self, v: Any, m: Any) -> Any:
        """Return ``(TV + |m_0| + |m_{N-2}|) / 2``."""
        import cvxpy as cp

        return 0.5 * cp.norm1(cp.diff(cp.hstack([0.0, m, 0.0])))

    def coefficients(self, v: Array, m: Array) -> Array:
        """Return ramps from bends up to bends down, paired in order."""
        bends = np.diff(m, prepend=0.0, append=0.0)
        up, down = np.flatnonzero(bends > 0.0), np.flatnonzero(bends < 0.0)
        at_up, at_down = np.cumsum(bends[up]), np.cumsum(-bends[down])
        c = np.zeros(len(self))
        if len(up) == 0 or len(down) == 0:
            return c
        levels = np.union1d(at_up, at_down)
        levels = levels[levels <= min(at_up[-1], at_down[-1])]
        first, last = up[np.searchsorted(at_up, levels)], down[np.searchsorted(at_down, levels)]
        amount = np.diff(levels, prepend=0.0)
        low, high = np.minimum(first, last), np.maximum(first, last)
        np.add.at(c, self.starts[low] + high - low - 1, np.where(first < last, -amount, amount))
        return c

    def chains(self, index: NDArray[np.intp]) -> Chains:
        """Return ``max((x_j - x_i) - max(x - x_i, 0), 0)``, handed on by further layers."""
        i, j = self.pairs(index)
        signs, shifts = np.ones((self.layers - 1, len(i))), np.zeros((self.layers - 1, len(i)))
        signs[1] = -1.0
        shifts[0], shifts[1] = self.points[i] - self.origin, self.points[j] - self.points[i]
        return Chains(signs, shifts)


class Vees(Shaped):
    """``|t - t_j|`` for j < N - 1; the last one is the first one's negative but for a constant."""

    def __len__(self) -> int:
        return len(self.knots) - 1

    def columns(self, index: NDArray[np.intp]) -> Array:
        """Return the features at the points."""
        return np.abs(self.knots[:, None] - self.knots[index])

    def forward(self, c: Array) -> Array:
        """Return values from slopes, themselves cumulative sums."""
        risen = np.cumsum(c)
        return self.risen(float(c @ self.knots[:-1]), 2.0 * risen - risen[-1])

    def adjoint(self, r: Array) -> Array:
        """Return sums over what is above and below each point."""
        return (self.above(r) + self.below(r))[:-1]

    def norm(self, v: Any, m: Any) -> Any:
        """Return ``(TV + |m_0 + m_{N-2}|) / 2``."""
        import cvxpy as cp

        variation = cp.norm1(cp.diff(m)) if len(self.gaps) > 1 else cp.Constant(0.0)
        return 0.5 * (variation + cp.abs(m[0] + m[-1]))

    def coefficients(self, v: Array, m: Array) -> Array:
        """Return half of each bend, the mean of the end slopes first."""
        return 0.5 * np.concatenate([[m[0] + m[-1]], np.diff(m)])

    def chains(self, index: NDArray[np.intp]) -> Chains:
        """Return neurons that switch at data points."""
        shifts = (self.points[index] - self.origin)[None, :]
        return Chains(np.ones_like(shifts), shifts)


class Folds(Dictionary):
    """``|...||t - b_1| - b_2|... - b_{L-1}|``, its biases fixed by points on which it is folded.

    Layer l folds at ``b_1 +- b_2 +- ... +- b_l``. Every choice of L - 1 independent ones among
    these, each put on a point, is a feature if ``b_2, ..., b_{L-1} >= 0``; with three layers these
    are ``b_1 = t_i`` with ``b_2 = |t_j - t_i|``, which folds at ``t_j`` and at its mirror image
    ``2 t_i - t_j``, and ``b_1`` half-way between two points that are the folds.
    """

    def __init__(self, points: Array, layers: int) -> None:
        super().__init__(points, layers)
        found = [np.pad(self.knots[:-1, None], ((0, 0), (0, layers - 2)))]
        for depth in range(2, layers):
            folded = self._folded(depth)
            found.append(np.pad(folded, ((0, 0), (0, layers - 1 - depth))))
        self.biases: Array = np.vstack(found)  # one feature a row

    def _folded(self, depth: int) -> Array:
        """Return the biases of features of that many folds, all of them positive."""
        where = normals(depth)
        found = []
        for chosen in combinations(range(len(where)), depth):
            A = where[list(chosen)]
            if abs(np.linalg.det(A)) < 0.5:
                continue
            axes = np.meshgrid(*[self.knots] * depth, indexing="ij")
            b = np.stack([axis.ravel() for axis in axes], axis=1) @ np.linalg.inv(A).T
            found.append(b[np.all(b[:, 1:] > 10.0**-DIGITS, axis=1)])
        every = np.vstack(found)
        _, first = np.unique(np.round(every, DIGITS), axis=0, return_index=True)
        distinct: Array = every[np.sort(first)]
        return distinct

    def __len__(self) -> int:
        return len(self.biases)

    def columns(self, index: NDArray[np.intp]) -> Array:
        """Return the features at the points."""
        h = np.tile(self.knots[:, None], len(index))
        for b in self.biases[index].T:
            h = np.abs(h - b)
        return h

    def forward(self, c: Array) -> Array:
        """Return the features in use, added up."""
        used = np.flatnonzero(c)
        result: Array = self.columns(used) @ c[used]
        return result

    def adjoint(self, r: Array) -> Array:
        """Return the products a block of features at a time."""
        out = np.empty(len(self))
        rows = max(1, (1 << 20) // len(self.knots))
        for start in range(0, len(self), rows):
            look()
            h = np.tile(self.knots, (min(rows, len(self) - start), 1))
            for b in self.biases[start : start + rows].T:
                h = np.abs(h - b[:, None])
            out[start : start + rows] = h @ r
        return out

    @property
    def highest(self) -> float:
        """Return a bound on the size of a feature at a point."""
        return 1.0 + float(self.knots[-1])

    def rounding(self, r: Array) -> float:
        """Return the same, and what features that count as one may differ by."""
        return super().rounding(r) + self.layers * 10.0**-DIGITS * float(np.sum(np.abs(r)))

    def chains(self, index: NDArray[np.intp]) -> Chains:
        """Return the chains in the units of the data."""
        shifts = self.scale * self.biases[index].T
        shifts[0] += self.points[0] - self.origin
        return Chains(np.ones_like(shifts), shifts)


def normals(depth: int) -> Array:
    """Return where a chain of `depth` folds may fold, ``(1, +-1, ..., +-1, 0, ..., 0)``, one a row.

    Examples
    --------
    >>> normals(2)
    array([[ 1.,  0.],
           [ 1.,  1.],
           [ 1., -1.]])
    """
    rows = [
        (1.0, *signs, *(0.0,) * (depth - 1 - k))
        for k in range(depth)
        for signs in product((1.0, -1.0), repeat=k)
    ]
    return np.array(rows)


def folds_bound(points: int, layers: int) -> int:
    """Return an upper bound on the candidates that `Folds` looks through at its last layer.

    Examples
    --------
    >>> folds_bound(10, 3)
    300
    """
    depth = layers - 1
    candidates: int = comb(2**depth - 1, depth) * points**depth
    return candidates


def dictionary(points: Array, activation: str, layers: int) -> Dictionary:
    """Return the features of narrow networks with this activation and depth.

    Examples
    --------
    >>> dictionary(np.array([0.0, 1.0, 3.0]), "relu", 3).matrix()
    array([[0.25, 0.75, 0.5 ],
           [0.  , 0.5 , 0.5 ],
           [0.  , 0.  , 0.  ]])
    """
    if activation in ("threshold", "sign"):
        return Steps(points, layers, 1.0 if activation == "threshold" else 2.0)
    if activation == "relu":
        return (Hinges if layers == 2 else Ramps)(points, layers)
    return (Vees if layers == 2 else Folds)(points, layers)

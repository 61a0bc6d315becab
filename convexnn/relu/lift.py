"""Lower bounds over all networks from a lifted relaxation of one neuron.

On the unit ball let ``p = max(X u, 0)`` and ``q = max(-X u, 0)``. With the rows of X of unit length
the numbers

    1,    p_i,    q_i,    1 - p_i,    1 - q_i

are never negative, nor are their products, and ``p_i q_i = 0``. Of ``v = (1, u, p)`` all of these
are linear, as ``q = p - X u``; so any multipliers ``L >= 0`` of products, and any ``e`` of the
equations, make a matrix H with

    v'H v  =  c'(p, q) + sum_kl L_kl a_k(v) a_l(v) + sum_i e_i p_i q_i  >=  c'(p, q)

at every neuron, and whenever ``K = diag(g, h, .., h, 0, .., 0) - H`` is positive semidefinite, no
neuron of unit norm has ``c'(p, q) > g + h``. With c from a dual point ``mu``, that bounds its
largest response: a shorter one's is as much smaller. So h may be negative. Nothing has to have
converged: h is given, g follows from a Schur complement, and what rounding may have hidden is
added. Multipliers that are off make the bound loose, never wrong.

The ball may be split by some of the planes ``x_i'u = 0``, as a tree tells: in a cell ``p_i`` is
``x_i'u`` and ``q_i`` is 0, or the reverse, so that p_i is no longer a variable, and each cell has
multipliers of its own. This is the doubly non-negative relaxation of the completely positive
program over the moments of ``(1, p, q)`` (Prakhya, Birdal & Yurtsever, ICLR 2025), with a sphere,
two signs and ``p_i, q_i <= 1``. Where weights have signs, the unit vectors of their columns are
further rows, of multiplier 0, and all cells are on one side of their planes.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.linalg import solve_triangular

from convexnn.contract.arrays import Array, IntArray
from convexnn.relu.bound import Side, network_bound
from convexnn.relu.pricing.pricing_bound import closed_form

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convexnn.relu.forms import NetworkForm
    from convexnn.relu.free_part import FreePart

EPS = 2.0**-52
MERGED = 1e-7  # unit rows nearer than this, up to sign, are one line
MARGIN = 1e-9  # by which g is larger, relatively, than its Schur complement


class LiftedCell(NamedTuple):
    """Multipliers for the neurons of one cell.

    Attributes
    ----------
    first, second : int32 arrays of shape (k,)
        Pairs of factors: 0 is 1, then come the m of p, those of q, of ``1 - p`` and of ``1 - q``.
    weight : array of shape (k,)
        Of each product; one that is negative counts as 0.
    equal : array of shape (m,)
        Of each ``p_i q_i``.
    share : float
        h, of either sign.
    """

    first: IntArray
    second: IntArray
    weight: Array
    equal: Array
    share: float


class LiftedSide(NamedTuple):
    """How the ball was split for the neurons of one sign, and the cells' multipliers.

    Attributes
    ----------
    tree : int32 array
        One cell before its halves: ``1 + i`` for a plane, its side ``x_i'u >= 0`` first, 0 for a
        cell that was left as it is. Any such tree covers the ball.
    cells : tuple of LiftedCell
        Of those that were left, in that order.
    """

    tree: IntArray
    cells: tuple[LiftedCell, ...]


class Lifted(NamedTuple):
    """A dual point of the lifted relaxation.

    Attributes
    ----------
    mu : array of shape (n,), or (n, k) of k outputs
        Multiplier of each prediction.
    rows : int32 array of shape (m,)
        Rows of `signed_rows` that stand for all: another one is taken for the nearest of them.
    sides : tuple of LiftedSide
        Of the neurons that add to an output and of those that subtract from it.
    """

    mu: Array
    rows: IntArray
    sides: tuple[LiftedSide, ...]


class Lines(NamedTuple):
    """The rows of a matrix as multiples of few unit rows.

    Attributes
    ----------
    unit : array of shape (m, d)
        Hardly shorter than 1.
    owner : int array of shape (n,)
        Which of them a row is a multiple of.
    size : array of shape (n,)
        Of which length; negative where it points the other way.
    off : array of shape (n,)
        How far the row is from that.
    """

    unit: Array
    owner: NDArray[np.intp]
    size: Array
    off: Array

    def factors(self, leak: float) -> sp.csr_array:
        """Return the matrix (2 m, n) that turns weights of ``act(X u)`` into those of p and q."""
        n, m = len(self.size), len(self.unit)
        length, back = np.abs(self.size), self.size < 0.0
        ahead, behind = self.owner + m * back, self.owner + m * ~back
        value = np.concatenate([length, -leak * length])
        place = np.concatenate([ahead, behind]), np.tile(np.arange(n), 2)
        return sp.csr_array(sp.coo_array((value, place), shape=(2 * m, n)))


def leading_rows(X: Array) -> IntArray:
    """Return rows of which every other one is a multiple, but for rounding; none that is 0.

    Examples
    --------
    >>> leading_rows(np.array([[2.0, 0.0], [0.0, 0.0], [-1.0, 0.0], [1.0, 1.0]]))
    array([0, 3], dtype=int32)
    """
    length = np.linalg.norm(X, axis=1)
    used = np.flatnonzero((length > 0.0) & np.isfinite(length))
    unit = X[used] / length[used, None]
    if len(used) == 0:
        return used.astype(np.int32)
    leading = np.argmax(np.abs(unit) > 0.5 / np.sqrt(X.shape[1]), axis=1)
    unit = unit * np.sign(unit[np.arange(len(unit)), leading])[:, None]
    near = np.sqrt(np.maximum(2.0 - 2.0 * unit @ unit.T, 0.0)) < MERGED
    first = np.argmax(near, axis=1)
    leaders: IntArray = used[first == np.arange(len(used))].astype(np.int32)
    return leaders


def lines(X: Array, rows: IntArray) -> Lines:
    """Return the rows of X as multiples of the nearest of some of them.

    Examples
    --------
    >>> lines(np.array([[2.0, 0.0], [-1.0, 0.0]]), np.array([0], np.int32)).size.round(6)
    array([ 2., -1.])
    """
    within = (16.0 + X.shape[1]) * EPS  # that a length may be off by for rounding, relatively
    short = 1.0 - within  # so that no unit row is longer than 1, and 1 - p_i not negative
    unit = X[rows] * (short / np.linalg.norm(X[rows], axis=1))[:, None]
    products = X @ unit.T
    owner = np.argmax(np.abs(products), axis=1)
    size = products[np.arange(len(X)), owner] / (short * short)
    off = np.linalg.norm(X - size[:, None] * unit[owner], axis=1) * (1.0 + within)
    off += within * np.linalg.norm(X, axis=1)
    return Lines(unit, owner, size, off)


def lifted_bound(
    form: NetworkForm, point: Lifted, *, slack: float = 0.0, free: FreePart | None = None
) -> float:
    """Return a lower bound on the optimum over all networks; -inf where `mu` is not finite.

    Parameters
    ----------
    form : NetworkForm
        In the l1 norm the bound holds as the l1 ball is inside the l2 ball.
    point : Lifted
        Any guess.
    slack : float, default 0.0
        Frobenius norm of the part of the data that ``form.X`` leaves out.
    free : FreePart, optional
        Of the form, where it has one; made here if not given.

    Returns
    -------
    float
        Never below `convexnn.relu.bound.network_bound` without covers.

    Examples
    --------
    >>> from convexnn.functions.losses import Squared
    >>> from convexnn.functions.norms import L2
    >>> from convexnn.relu.forms import NetworkForm
    >>> form = NetworkForm(np.eye(2), np.ones(2), Squared(), L2(), 1.0, 0.0, False, None)
    >>> none = np.zeros(0, np.int32)
    >>> nothing = LiftedCell(none, none, np.zeros(0), -2.0 * np.ones(2), 1.0)
    >>> side = LiftedSide(np.zeros(1, np.int32), (nothing,))
    >>> lifted_bound(form, Lifted(0.5 * np.ones(2), leading_rows(form.X), (side, side))) <= 1.0
    True
    """
    X, rows = signed_rows(form), point.rows
    sound = rows.ndim == 1 and len(rows) and np.all((rows >= 0) & (rows < len(X)))
    if not (sound and np.all(np.linalg.norm(X[rows], axis=1) > 0.0)):
        return network_bound(form, point.mu, slack=slack, free=free)
    upper = partial(_worth, form, lines(X, rows), rows)
    return network_bound(form, point.mu, point.sides, slack=slack, free=free, upper=upper)


def signed_rows(form: NetworkForm) -> Array:
    """Return X and, where weights have signs, the unit vectors of their columns below it."""
    if form.monotone is None:
        return form.X
    return np.vstack([form.X, np.eye(form.X.shape[1])[np.flatnonzero(form.monotone)]])


def signed_sides(form: NetworkForm, rows: IntArray, sign: int) -> NDArray[np.int8]:
    """Return the side of each of these rows of `signed_rows` on which all neurons are, 0 for both.

    Parameters
    ----------
    form : NetworkForm
    rows : int32 array of shape (m,)
    sign : int
        1 of the neurons that add, -1 of those that subtract.

    Examples
    --------
    >>> import convexnn as cx
    >>> from convexnn.relu.forms import NetworkForm
    >>> problem = cx.ReluTraining([[2.0, 1.0]], [1.0], beta=0.1, monotone=[0, -1])
    >>> signed_sides(problem.canonical(NetworkForm), np.array([0, 1], np.int32), 1)
    array([ 0, -1], dtype=int8)
    """
    found = np.zeros(len(rows), np.int8)
    if form.monotone is not None:
        of = rows >= len(form.X)
        found[of] = sign * form.monotone[form.monotone != 0][rows[of] - len(form.X)]
    return found


def _worth(
    form: NetworkForm, of: Lines, rows: IntArray, way: Side, side: LiftedSide | None
) -> float:
    """Return an upper bound on ``max {way.mu'act(X u) : ||u|| <= 1}``, of u of the signs asked."""
    leak, weights = form.leak, np.zeros(len(of.size))
    weights[: len(way.mu)] = way.mu
    crude = closed_form(form.X, way.mu, leak, l1=False)
    if side is None:
        return crude
    c = of.factors(leak) @ weights
    off = float(np.abs(weights) @ of.off) * (1.0 + 1e-12)
    off += 4.0 * len(weights) * EPS * float(np.abs(weights) @ np.abs(of.size))
    cells = list(cells_of(side.tree, len(of.unit), signed_sides(form, rows, way.sign)))
    if not cells or len(cells) != len(side.cells):
        return crude
    worst = max(
        cell_worth(of.unit, c, cell, fixed) for cell, fixed in zip(side.cells, cells, strict=True)
    )
    return min(crude, max(worst, 0.0) + off)


def cells_of(
    tree: IntArray, m: int, root: NDArray[np.int8] | None = None
) -> list[NDArray[np.int8]]:
    """Return the sides of the planes on which each cell of a tree is: 1, -1, 0 for both.

    The list is empty where that is no tree, and its root is on these sides. A cell that is split
    by a plane on one side of which the root is may be empty.

    Examples
    --------
    >>> cells_of(np.array([2, 0, 0], np.int32), 2)
    [array([0, 1], dtype=int8), array([ 0, -1], dtype=int8)]
    """
    found, left = [], [np.zeros(m, np.int8) if root is None else root]
    for entry in tree.tolist():
        if not left or not 0 <= entry <= m:
            return []
        cell = left.pop()
        if entry == 0:
            found.append(cell)
            continue
        for sign in (-1, 1):
            half = cell.copy()
            half[entry - 1] = sign
            left.append(half)
    return [] if left else found


def cell_worth(unit: Array, c: Array, cell: LiftedCell, fixed: NDArray[np.int8]) -> float:
    """Return an upper bound on ``c'(p, q)`` over the neurons of unit norm in a cell.

    It is inf where the multipliers prove nothing.

    Parameters
    ----------
    unit : array of shape (m, d)
        At most 1 long, each.
    c : array of shape (2 m,)
    cell : LiftedCell
    fixed : int8 array of shape (m,)
        The sides of the planes on which the cell is.
    """
    m, d = unit.shape
    pairs = np.concatenate([cell.first, cell.second])
    finite = np.isfinite(cell.weight).all() and np.isfinite(cell.equal).all()
    if not (
        finite
        and np.isfinite(c).all()
        and cell.equal.shape == (m,)
        and cell.first.shape == cell.second.shape == cell.weight.shape
        and np.all((pairs >= 0) & (pairs <= 4 * m))
        and np.isfinite(cell.share)
    ):
        return np.inf
    with np.errstate(over="ignore", invalid="ignore"):
        C, size = coefficients(m, c, cell)
        H = substituted(quadratic(unit, C, -1.0), unit, fixed)
        lengths = np.abs(unit)
        most = substituted(quadratic(lengths, size, 1.0), lengths, fixed)
    most[np.arange(1, d + 1), np.arange(1, d + 1)] += abs(cell.share)
    N = len(H)
    if not (np.isfinite(most).all() and np.max(most) < 1e150):
        return np.inf
    # Entries are sums of so many terms, each rounded, and v'v <= 2 + m.
    rounding = (4.0 * len(cell.weight) + 4.0 * m + 2.0 * d + 40.0) * EPS
    hidden = rounding * float(np.max(np.sum(most, axis=1)))
    K = -H
    K[np.arange(1, d + 1), np.arange(1, d + 1)] += cell.share
    shift = hidden + 4.0 * (N + 4.0) * EPS * (float(np.trace(K[1:, 1:])) + abs(cell.share))
    try:
        root = np.linalg.cholesky(K[1:, 1:] - shift * np.eye(N - 1))
        half = solve_triangular(root, K[1:, 0], lower=True)
        g = float(-K[0, 0] + half @ half + shift)
        g += MARGIN * (abs(float(K[0, 0])) + float(half @ half) + abs(cell.share))
        shift = hidden + 4.0 * (N + 4.0) * EPS * float(np.trace(K) + abs(g))
        K[0, 0] += g
        np.linalg.cholesky(K - shift * np.eye(N))
    except np.linalg.LinAlgError:
        return np.inf
    return float((g + cell.share + (shift + hidden) * (2.0 + m)) * (1.0 + 8.0 * EPS))


def coefficients(m: int, c: Array, cell: LiftedCell) -> tuple[Array, Array]:
    """Return H as a form in (1, p, q), of order 2 m + 1, and the sum of its terms' sizes."""
    weight, i = np.maximum(cell.weight, 0.0), np.arange(1, m + 1)
    results = []
    for size in (False, True):
        C = combined(m, cell.first, cell.second, weight, size=size)
        C[0, 1:] += 0.5 * (np.abs(c) if size else c)
        C[i, i + m] += 0.5 * (np.abs(cell.equal) if size else cell.equal)
        results.append(C + C.T)
    return results[0], results[1]


def combined(
    m: int, first: IntArray, second: IntArray, weight: Array, *, size: bool = False
) -> Array:
    """Return half a sum of products of factors, as a matrix over (1, p, q) or its transpose.

    With `size`, of their terms' sizes.
    """
    N = 2 * m + 1
    own = np.concatenate([[0.0], np.ones(2 * m), np.full(2 * m, 1.0 if size else -1.0)])
    one = np.concatenate([[1.0], np.zeros(2 * m), np.ones(2 * m)])
    place = np.concatenate([np.arange(N), np.arange(1, N)])
    half, left, right = 0.5 * weight, place[first], place[second]
    values = (
        half * own[first] * own[second],
        half * one[first] * own[second],
        half * own[first] * one[second],
        half * one[first] * one[second],
    )
    places = np.concatenate([left * N + right, right, left, np.zeros_like(left)])
    total = np.bincount(places, np.concatenate(values), N * N)
    return total.astype(np.float64).reshape(N, N)  # integers where there are none


def quadratic(unit: Array, C: Array, sign: float) -> Array:
    """Return a form in (1, p, q) as one in (1, u, p), by ``q = p + sign unit u``."""
    m, d = unit.shape
    whole, p, q = np.empty((1 + d + m, 1 + d + m)), slice(1, m + 1), slice(m + 1, None)
    u, last = slice(1, d + 1), slice(d + 1, None)
    turned = sign * unit
    whole[0, 0] = C[0, 0]
    whole[0, u] = C[0, q] @ turned
    whole[0, last] = C[0, p] + C[0, q]
    right = C[q, q] @ turned
    whole[u, u] = turned.T @ right
    whole[last, u] = C[p, q] @ turned + right
    whole[last, last] = C[p, p] + C[p, q] + C[q, p] + C[q, q]
    whole[u, 0], whole[last, 0], whole[u, last] = whole[0, u], whole[0, last], whole[last, u].T
    return 0.5 * (whole + whole.T)


def substituted(H: Array, unit: Array, fixed: NDArray[np.int8]) -> Array:
    """Return a form in (1, u, p) with ``p_i = unit_i u`` or 0 put in where a cell has it so."""
    if not fixed.any():
        return H
    m, d = unit.shape
    keep = np.concatenate([np.ones(1 + d, np.bool_), fixed == 0])
    T = np.eye(1 + d + m)[:, keep]
    on = np.flatnonzero(fixed > 0)
    T[1 + d + on, 1 : 1 + d] = unit[on]
    result: Array = T.T @ H @ T
    return 0.5 * (result + result.T)

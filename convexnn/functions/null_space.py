"""Multipliers that a free part leaves no choice: points with ``X'm = 0`` exactly.

A bound that holds for every m with ``X'm = 0`` says nothing of a point of floats, whose ``X'm`` is
rounding: times the length of an optimum's free part, which nobody knows, that may be anything.
But near such a point lies one with ``X'm = 0``, and how near can be proved. With positive weights
``w`` and any invertible T, let ``B = diag(sqrt w) X T``. If ``||B'B - I|| <= h < 1``, then

    m = mu - diag(sqrt w) B v,   B'B v = T'X'mu,   ||v|| <= ||T'X'mu|| / (1 - h)

has ``X'm = 0``, and ``|m_i - mu_i| <= sqrt(w_i) ||b_i|| ||v||``. What is bounded at both ends of
these intervals, by a concave function, is bounded at m. ``X'mu`` is summed to twice the working
precision, as what matters of it may be far smaller than its rounding.
"""

from __future__ import annotations

from functools import cached_property
from math import frexp, fsum, ldexp
from typing import NamedTuple

import numpy as np
from scipy.linalg import qr
from scipy.linalg.lapack import dpotrf, dtrtri

from convexnn.contract.arrays import Array, BoolArray
from convexnn.contract.system.kernels import kernel

UNIT = 2.0**-53  # rounding of one operation
SMALLEST = 2.0**-1074  # what an operation may lose beyond that
DEFECT = 0.5  # of B'B from I, at most
FINE = 5  # turns until columns that are dependent but for rounding are orthogonal, at most
REFINED = 6  # steps towards the null space, at most
DEPENDENT = 1e-14  # share of the largest length at which a column may be a sum of the others
SMALL = 1e-8  # share of the largest multiplier below which one is tried at 0
FEW_ROWS = 64  # of a block, at least
PART = 1e-8  # share of the largest coefficient from which a column is a part of a sum
GRID = 2.0**10  # coefficients of such sums are multiples of its inverse


class Near(NamedTuple):
    """A point, and how far from it one lies that is as wanted, in each entry.

    Attributes
    ----------
    point, spread : arrays of shape (n,)
    """

    point: Array
    spread: Array


class Frame(NamedTuple):
    """``B = diag(root) X T`` and what is known of it.

    Attributes
    ----------
    root : array of shape (n,)
        Square roots of the weights.
    turn : array of shape (k, k)
        T.
    B : array of shape (n, k)
        As computed.
    lengths : array of shape (n,)
        Of the rows of B, from above.
    defect : float
        ``||B'B - I||``, from above.
    even, blur : arrays of shape (n, k), or None
        ``X T``, and how far off that may be, if T is of more digits than `turn` has.
    """

    root: Array
    turn: Array
    B: Array
    lengths: Array
    defect: float
    even: Array | None = None
    blur: Array | None = None


class NullSpace:
    """The points m with ``X'm = 0``.

    Parameters
    ----------
    X : array of shape (n, k)
        Finite.

    Examples
    --------
    >>> ones = NullSpace(np.ones((3, 1)))
    >>> found = ones.near(np.array([1.0, 2.0, 4.0]), np.full(3, -9.0), np.full(3, 9.0))
    >>> found.point.round(6), bool((found.spread < 1e-15).all())
    (array([-1.333333, -0.333333,  1.666667]), True)
    """

    def __init__(self, X: Array) -> None:
        self.rest = _rest(X)  # elsewhere m is 0
        X = X[self.rest]
        some = X[:, X.any(axis=0)]
        # exact, as powers of two are
        scaled = some / magnitude(some, axis=0) if some.size else some
        self.columns, self.clear = _independent(scaled)

    @cached_property
    def _plain(self) -> Frame | None:
        return self._frame(np.ones(len(self.columns)))

    def _frame(self, root: Array) -> Frame | None:
        return (_frame if self.clear else _fine_frame)(self.columns, root)

    def near(self, mu: Array, low: Array, high: Array) -> Near | None:
        """Return a point near `mu` that is itself near one in the null space and the box.

        Parameters
        ----------
        mu, low, high : arrays of shape (n,)
            ``low <= mu <= high``.

        Returns
        -------
        Near or None
            None where none is proved to exist.
        """
        if self.rest.all():
            return self._elsewhere(mu, low, high)
        if (low[~self.rest] > 0.0).any() or (high[~self.rest] < 0.0).any():
            return None
        found = self._elsewhere(mu[self.rest], low[self.rest], high[self.rest])
        if found is None:
            return None
        point, spread = np.zeros_like(mu), np.zeros_like(mu)
        point[self.rest], spread[self.rest] = found
        return Near(point, spread)

    def _elsewhere(self, mu: Array, low: Array, high: Array) -> Near | None:
        """Return the same where m may be something."""
        if self.columns.shape[1] == 0:
            return Near(mu, np.zeros_like(mu))
        unit = magnitude(mu)
        with np.errstate(over="ignore", under="ignore"):
            found = self._near(mu / unit, low / unit, high / unit)
            if found is None:
                return self._nearer_zero(mu, low, high)
            point, spread = np.clip(found.point * unit, low, high), found.spread * unit
        spread = np.where(spread > 0.0, spread + 2.0 * SMALLEST, 0.0)
        inside = (point - spread >= low) & (point + spread <= high)
        return Near(point, spread) if inside[spread > 0.0].all() else None

    def _nearer_zero(self, mu: Array, low: Array, high: Array) -> Near | None:
        """Return the same of a point whose small entries are 0, as some must be in their box."""
        size = np.abs(mu)
        small = (size <= SMALL * np.max(size, initial=0.0)) & (low <= 0.0) & (high >= 0.0)
        if not small[size > 0.0].any() or self._plain is None:  # which proves them independent
            return None
        point, spread, rest = np.zeros_like(mu), np.zeros_like(mu), ~small
        found = NullSpace(self.columns[rest]).near(mu[rest], low[rest], high[rest])
        if found is None:
            return None
        point[rest], spread[rest] = found
        return Near(point, spread)

    def _near(self, mu: Array, low: Array, high: Array) -> Near | None:
        """Return the same of a point whose largest entry is about 1."""
        room = np.minimum(mu - low, high - mu)
        frames = [self._weighted, self._even]
        if room.min() > 0.0:  # else an even frame hardly leaves all of them in the box
            frames.reverse()
        for frame in frames:
            made = frame(mu, room)
            found = None if made is None else _settled(self.columns, made, mu, low, high)
            if found is not None:
                return found
        return None

    def _even(self, mu: Array, room: Array) -> Frame | None:
        return self._plain

    def _weighted(self, mu: Array, room: Array) -> Frame | None:
        most = float(np.max(np.abs(mu), initial=0.0))
        return self._frame(np.sqrt(np.clip(room, 0.0, most)))


def _rest(X: Array) -> BoolArray:
    """Tell which entries of m are not 0 for being the only ones that some column meets."""
    rest, met = np.ones(len(X), dtype=bool), X != 0.0
    while True:
        alone = (met & rest[:, None]).sum(axis=0) == 1
        if not alone.any():
            return rest
        rest &= ~met[:, alone].any(axis=1)


def _settled(X: Array, frame: Frame, mu: Array, low: Array, high: Array) -> Near | None:
    """Return the nearest point of those that a few refinements go through, None if outside."""
    best, least, met = None, np.inf, X.any(axis=1)
    for _ in range(REFINED):
        if not mu[met].any():  # nothing is rounded: it may stay on the edge of a box
            best, least = mu, 0.0
            break
        pulled, length = _pull(X, frame, mu)
        before = least
        if length < least:
            best, least = mu, length
        if length == 0.0 or not length < 0.5 * before:
            break
        mu = np.clip(mu - frame.root * (frame.B @ pulled), low, high)
    if best is None:
        return None
    spread = frame.root * frame.lengths * (least / (1.0 - frame.defect)) * (1.0 + 8.0 * UNIT)
    inside = (best - spread >= low) & (best + spread <= high)
    return Near(best, spread) if inside[spread > 0.0].all() else None


def _pull(X: Array, frame: Frame, mu: Array) -> tuple[Array, float]:
    """Return ``T'X'mu``, and its length from above."""
    if frame.even is not None and frame.blur is not None:
        sums, error = exact_sums(frame.even, mu)
        pulled = sums[0] + sums[1]
        blur = (UNIT * np.abs(pulled) + error + frame.blur.T @ np.abs(mu)) * (1.0 + len(mu) * UNIT)
    else:
        sums, error = exact_sums(X, mu)
        size = np.abs(frame.turn.T) @ np.abs(sums).sum(axis=0)
        pulled = frame.turn.T @ sums[0] + frame.turn.T @ sums[1]
        blur = (2.0 * len(sums[0]) + 4.0) * UNIT * size + np.abs(frame.turn.T) @ error
    most = np.abs(pulled) + blur
    top = float(np.max(most, initial=0.0))
    length = top * float(np.sqrt(np.sum(np.square(most / top)))) if top > 0.0 else 0.0
    return pulled, length * (1.0 + (len(pulled) + 4.0) * UNIT)


def _frame(X: Array, root: Array) -> Frame | None:
    """Return the frame of these weights, None where rounding hides whether it is one."""
    A = root[:, None] * X
    if int((root > 0.0).sum()) < A.shape[1]:
        return None
    for factor in (_root_of_squares, _triangle):  # the first is faster, where it is one
        R = factor(A)
        frame = None if R is None else _turned(A, root, R)
        if frame is not None:
            return frame
    return None


def _root_of_squares(A: Array) -> Array | None:
    R, info = dpotrf(A.T @ A)
    return np.asarray(R) if info == 0 else None


def _triangle(A: Array) -> Array:
    (R,) = qr(A, mode="r", check_finite=False)
    return np.asarray(R[: A.shape[1]])


def _turned(A: Array, root: Array, R: Array) -> Frame | None:
    """Return the frame with the inverse of R for T."""
    k = A.shape[1]
    if not np.abs(np.diag(R)).min() > 0.0:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        turn, _ = dtrtri(R)
        if not np.isfinite(turn).all():
            return None
        B = A @ turn
        error = (k + 3.0) * UNIT * (np.abs(A) @ np.abs(turn))
        if not (np.isfinite(B).all() and np.isfinite(error).all()):
            return None
    return _measured(root, turn, B, error)


def _measured(root: Array, turn: Array, B: Array, error: Array) -> Frame | None:
    """Return the frame of B as computed, each entry off by no more than this."""
    n, k = B.shape
    lengths = np.sqrt(np.sum(np.square(np.abs(B) + error), axis=1)) * (1.0 + (k + 4.0) * UNIT)
    size = float(np.sqrt(np.sum(np.square(lengths))))
    apart = float(np.sqrt(np.sum(np.square(error))))
    gram = float(np.linalg.norm(B.T @ B - np.eye(k)))
    defect = gram + (n + k + 4.0) * UNIT * size**2 + 2.0 * size * apart + apart**2
    return Frame(root, turn, B, lengths, defect) if defect <= DEFECT else None


def _fine_frame(X: Array, root: Array) -> Frame | None:
    """Return the frame of columns that are dependent but for rounding.

    Their T is a sum of two matrices, and ``X T`` is summed to twice the working precision.
    """
    k = X.shape[1]
    if int((root > 0.0).sum()) < k:
        return None
    turn, rest = np.eye(k), np.zeros((k, k))
    even, blur = X.copy(), np.zeros_like(X)
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(FINE):
            R = _triangle(root[:, None] * even)
            if not np.abs(np.diag(R)).min() > 0.0:
                return None
            turn, rest = _twice(turn, rest, dtrtri(R)[0])
            if not np.isfinite(turn).all():
                return None
            wide, tall = np.hstack([X, X]), np.vstack([turn, rest])
            for j in range(k):
                sums, error = exact_products(wide, tall[:, j])
                even[:, j] = sums[0] + sums[1]
                blur[:, j] = error + 2.0 * UNIT * np.abs(even[:, j]) + SMALLEST
            if not (np.isfinite(even).all() and np.isfinite(blur).all()):
                return None
            B = root[:, None] * even
            frame = _measured(root, turn, B, root[:, None] * blur * 1.5 + UNIT * np.abs(B))
            if frame is not None:
                return frame._replace(even=even, blur=blur)
    return None


def _twice(a: Array, b: Array, S: Array) -> tuple[Array, Array]:
    """Return ``(a + b) S`` as a sum of two, but for rounding at twice the precision."""
    first, second = np.empty_like(a), np.empty_like(a)
    for j in range(S.shape[1]):
        (high, low), _ = exact_products(a, np.ascontiguousarray(S[:, j]))
        low = low + b @ S[:, j]
        first[:, j] = high + low
        second[:, j] = (high - first[:, j]) + low
    return first, second


def _independent(X: Array) -> tuple[Array, bool]:
    """Return columns with the same span if they are independent, and whether they clearly are.

    Those that are sums of simple shares of others, exactly, are left out, and those that tell only
    groups of rows apart, in which as many others are constant as there are groups.
    """
    k = X.shape[1]
    if k == 0:
        return X, True
    R, order = qr(X, mode="r", pivoting=True, check_finite=False)
    sizes = np.abs(np.diag(R))
    rank = int((sizes > DEPENDENT * sizes[0]).sum())
    kept = np.sort(order[:rank])
    columns = np.ascontiguousarray(X[:, kept])
    # or m may be anything but for equal rows' sums
    if rank == k or rank == len(np.unique(X, axis=0)):
        return columns, True
    clear = True
    for j in np.sort(order[rank:]):
        shares = np.linalg.lstsq(columns, X[:, j], rcond=None)[0]
        if _is_sum(X[:, j], columns, np.round(shares * GRID) / GRID):
            continue
        parts = np.abs(shares) > PART * np.abs(shares).max()
        if not _of_groups(np.column_stack([X[:, j], columns[:, parts]]), columns):
            columns, clear = np.column_stack([columns, X[:, j]]), False
    return np.ascontiguousarray(columns), clear


def _of_groups(some: Array, columns: Array) -> bool:
    """Tell whether as many columns are constant where these are as those have different rows.

    If they are independent, they span all that is constant there.
    """
    groups, first, label = np.unique(some, axis=0, return_index=True, return_inverse=True)
    if len(groups) > columns.shape[1]:
        return False
    constant = (columns == columns[first][label.reshape(-1)]).all(axis=0)
    return int(constant.sum()) == len(groups)


def _is_sum(column: Array, parts: Array, shares: Array) -> bool:
    """Tell whether a column is the sum of shares of others, exactly."""
    used = np.flatnonzero(shares)
    products, errors = two_product(parts[:, used], shares[used])
    rows = np.column_stack([products, errors, -column])
    return all(fsum(row) == 0.0 for row in rows.tolist())


def magnitude(a: Array, axis: int | None = None) -> Array:
    """Return a power of two near the largest entry, so that dividing by it is exact.

    Examples
    --------
    >>> magnitude(np.array([3.0, -5.0]))
    array(8.)
    """
    top = np.max(np.abs(a), axis=axis, initial=0.0)
    if axis is None:
        return np.asarray(ldexp(1.0, min(max(frexp(top)[1], -1000), 1000)))
    return np.asarray(np.ldexp(1.0, np.clip(np.frexp(top)[1], -1000, 1000)))


def two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """Return the rounded product and its error, exactly (Dekker 1971), of moderate numbers.

    Examples
    --------
    >>> two_product(np.array([2.0**30 + 1.0]), np.array([2.0**30 + 1.0]))
    (array([1.15292151e+18]), array([1.]))
    """
    product = a * b
    high_a, high_b = (2.0**27 + 1.0) * a, (2.0**27 + 1.0) * b
    high_a, high_b = high_a - (high_a - a), high_b - (high_b - b)
    low_a, low_b = a - high_a, b - high_b
    error: Array = low_a * low_b - (((product - high_a * high_b) - low_a * high_b) - high_a * low_b)
    return product, error


def exact_sums(X: Array, mu: Array) -> tuple[Array, Array]:
    """Return ``X'mu`` as the sum of two rows, and how far off that may be.

    Parameters
    ----------
    X : array of shape (n, k)
        Entries at most 1 in size.
    mu : array of shape (n,)

    Returns
    -------
    sums : array of shape (2, k)
    error : array of shape (k,)

    Examples
    --------
    >>> X = np.array([[1.0], [1.0], [1.0]])
    >>> exact_sums(X, np.array([1.0, 2.0**-60, -1.0]))[0].sum() == 2.0**-60
    np.True_
    """
    n, k = X.shape
    sums, size = np.zeros((2, k)), np.zeros(k)
    _exact_sums(X, mu, sums[0], sums[1], size)
    error = 4.0 * ((n + 4.0) * UNIT) ** 2 * size + 8.0 * n * SMALLEST
    return sums, error


def blocked_sums(X: Array, mu: Array, size: Array) -> tuple[Array, Array]:
    """Return ``X'mu``, summed in blocks of about ``sqrt(n)`` rows, and ``|X|'size``.

    No sum rounds more often than `sum_rounding` says.

    Examples
    --------
    >>> X, mu = np.array([[1.0], [-1.0]]), np.array([1.0, 2.0])
    >>> blocked_sums(X, mu, mu)
    (array([-1.]), array([3.]))
    """
    sums = np.zeros((2, X.shape[1]))
    _blocked_sums(X, mu, size, _block(len(X)), sums[0], sums[1])
    return sums[0], sums[1]


def sum_rounding(n: int) -> float:
    """Return what share of their sizes `blocked_sums` of n products may be off by."""
    often = float(_block(n) + n // _block(n) + 4)
    return often * UNIT * (1.0 + 2.0 * often * UNIT)


def _block(n: int) -> int:
    return max(FEW_ROWS, int(np.sqrt(n)))


def exact_products(X: Array, s: Array) -> tuple[Array, Array]:
    """Return ``X s`` as the sum of two rows, and how far off that may be; as `exact_sums`."""
    scale, unit = magnitude(X), magnitude(s)
    sums, error = exact_sums(np.ascontiguousarray((X / scale).T), s / unit)
    return sums * scale * unit, error * scale * unit


@kernel(error_model="numpy")
def _exact_sums(X: Array, mu: Array, high: Array, low: Array, size: Array) -> None:
    """Add up products and the errors of products and sums (Ogita, Rump & Oishi 2005, Dot2)."""
    split = 2.0**27 + 1.0
    for i in range(X.shape[0]):
        b = mu[i]
        if b == 0.0:
            continue
        t = split * b
        high_b = t - (t - b)
        low_b = b - high_b
        for j in range(X.shape[1]):
            a = X[i, j]
            p = a * b
            t = split * a
            high_a = t - (t - a)
            low_a = a - high_a
            error = low_a * low_b - (((p - high_a * high_b) - low_a * high_b) - high_a * low_b)
            s = high[j] + p
            t = s - high[j]
            error += (high[j] - (s - t)) + (p - t)
            high[j] = s
            low[j] += error
            size[j] += abs(p)


@kernel(error_model="numpy", fastmath={"reassoc", "contract"})
def _blocked_sums(X: Array, mu: Array, size: Array, block: int, sums: Array, sizes: Array) -> None:
    n, k = X.shape
    part, whole = np.empty(k), np.empty(k)
    for begin in range(0, n, block):
        part[:] = 0.0
        whole[:] = 0.0
        for i in range(begin, min(n, begin + block)):
            a, b = mu[i], size[i]
            for j in range(k):
                part[j] += X[i, j] * a
                whole[j] += abs(X[i, j]) * b
        for j in range(k):
            sums[j] += part[j]
            sizes[j] += whole[j]

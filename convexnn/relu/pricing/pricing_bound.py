"""Bracket the pricing problem of two-layer programs: best-first search over cones of neurons.

For weights ``mu`` and the activation ``act(t) = max(t, leak t)`` the problem is

    R(mu) = max {mu' act(X u) : ||u|| <= 1},

in the l2 or the l1 norm. With ``s_i`` the sign of ``mu_i`` and ``y_i = (1 - leak) |mu_i| x_i`` its
objective is ``base'u + sum_i s_i relu(y_i'u)``, positively homogeneous in u. The unit sphere is
covered by simplicial cones ``{Q lam : lam >= 0}``, at first the 2^r orthants. On each of them

- an example whose ``y_i'q_k`` have one sign over the generators is linear: it is decided;
- ``relu(y_i'u) <= sum_k lam_k relu(y_i'q_k)`` where ``s_i > 0``: of the sum of those terms this
  is the least concave majorant, as the sum is convex and homogeneous;
- ``-relu(y_i'u) = min {-z_i y_i'u : 0 <= z_i <= 1}`` where ``s_i < 0`` is concave as it stands.

So on the cone the objective is at most ``(c - Q' sum_i z_i y_i)'lam`` for one vector c and every
z in the unit box. By weak duality that is at most ``||v||``, in the l2 norm, for each v with
``Q'v >= c - Q' sum_i z_i y_i``: the shortest v is a least-squares problem, with bounds, in z and in
the multipliers of the cone's facets, and an active set solves it (Stark & Parker 1995). In the
l1 norm the cone lies in one orthant, so the least bound over z is the value of a matrix game,
solved by cutting planes. Any v and z give a bound, so nothing relies on how they were found.

The cones that are left when a search ends are its proof: a `Cover` tells how the sphere was split,
and bounding those cones again takes less than half as long.

A cone without undecided examples of ``s_i > 0`` is thereby settled: only those make a cone be
split, in the middle of the edge that lowers the majorant most at the neuron that attains the
bound. The best of these neurons, improved by the convex-concave procedure in the l2 norm, is
the value.

Here are the problem and its proof; the kernels are in `simplicial_cones`, `cone_bound` and
`cone_search`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convexnn.contract.arrays import Array, BoolArray
from convexnn.functions.null_space import magnitude
from convexnn.relu.pricing.cone_search import covered, search, tree_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUNDING = 1e-13  # relative allowance for the rounding of sums
NEGLIGIBLE = 1e-40  # a row this short, relative to all of them, is left out
PARALLEL = 1e-14  # unit rows nearer than this, up to sign, are one hyperplane
MOST = 60  # rank from which on the orthants are too many to count


class Cover(NamedTuple):
    """A proof that no neuron of unit norm is worth more than `limit`.

    Attributes
    ----------
    basis : array of shape (d, r)
        Orthonormal; the cones are in its coordinates.
    tree : uint16 array
        How the orthants were split, one after the other, each cone before its halves:
        ``1 + first r + second`` for an edge, 0 for a cone that was left as it is. Any such tree
        covers the sphere.
    limit : float
    """

    basis: Array
    tree: NDArray[np.uint16]
    limit: float


class Bracket(NamedTuple):
    """What is known of the pricing problem.

    Attributes
    ----------
    upper : float
        No neuron of unit norm has a larger value.
    value : float
        The largest value found, >= 0.
    point : array of shape (d,)
        A neuron that attains it, of unit norm; zeros if none was better than that.
    nodes : int
        Cones bounded.
    cover : Cover or None
        What proves the upper bound, where it is not the closed form.
    """

    upper: float
    value: float
    point: Array
    nodes: int
    cover: Cover | None = None


class Terms(NamedTuple):
    """``base'u + sum_i s_i relu(y_i'u)``, no two rows parallel.

    Attributes
    ----------
    rows : array of shape (m, r)
    positive : array of bool, shape (m,)
    base : array of shape (r,)
    allowance : float
        How far the sum may be from the one it stands for, on the unit ball.
    """

    rows: Array
    positive: BoolArray
    base: Array
    allowance: float


def bracket(
    X: Array,
    mu: Array,
    *,
    leak: float = 0.0,
    l1: bool = False,
    target: float = 0.0,
    rel_tol: float = 1e-9,
    nodes: int = 100_000,
    seconds: float | None = None,
) -> Bracket:
    """Bracket ``max {mu' act(X u) : ||u|| <= 1}``, ``act(t) = max(t, leak t)``.

    Parameters
    ----------
    X : array of shape (n, d)
    mu : array of shape (n,)
    leak : float, default 0.0
        Slope of the activation for negative inputs, in [0, 1].
    l1 : bool, default False
        Whether ``||u||`` is the l1 norm; it is the l2 norm otherwise.
    target : float, default 0.0
        Stop once the upper bound is at most this.
    rel_tol : float, default 1e-9
        Stop once the upper bound exceeds the value by at most this share of it.
    nodes : int, default 100_000
        Stop once this many cones are bounded. Fewer than 2^r, r the rank of X (in the l1 norm
        its number of columns), do not cover the sphere: the bound is then a closed form.
    seconds : float, optional
        Stop when they are over.

    Returns
    -------
    Bracket
        The same on every call, but for the time; ``upper`` counts in what rounding may cost.

    Examples
    --------
    >>> found = bracket(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([3.0, 4.0]))
    >>> round(found.upper, 6), round(found.value, 6), found.point.round(6)
    (5.0, 5.0, array([0.6, 0.8]))
    """
    if not (np.isfinite(X).all() and np.isfinite(mu).all()):
        return Bracket(np.inf, 0.0, np.zeros(X.shape[1]), 0)
    scale_X, scale_mu = float(magnitude(X)), float(magnitude(mu))
    scaled, weights = X / scale_X, mu / scale_mu
    upper = closed_form(scaled, weights, leak, l1) * scale_X * scale_mu
    basis = np.eye(X.shape[1]) if l1 else row_space(scaled[mu != 0.0])
    r = basis.shape[1]
    if not (r < MOST and 1 << r <= nodes):
        return Bracket(upper, 0.0, np.zeros(X.shape[1]), 0)
    terms = reduced(scaled, weights, leak, basis)
    goal = target / scale_X / scale_mu - terms.allowance
    with alarm(seconds) as late:
        found, point, count, splits = search(*terms, l1, goal, rel_tol, nodes, late)
    u = basis @ point
    size = float(np.sum(np.abs(u)) if l1 else np.sqrt(np.sum(u * u)))
    u = u / size if size > 0.0 else u
    t = X @ u
    value = float(mu @ np.maximum(t, leak * t))
    if not value > 0.0:
        value, u = 0.0, np.zeros(X.shape[1])
    cover = None
    if found < np.inf:
        limit = max((float(found) + terms.allowance) * scale_X * scale_mu, value)
        cover = Cover(basis, tree_of(splits, r), limit * (1.0 + 3.0 * ROUNDING))
        upper = min(upper, cover.limit)
    return Bracket(max(upper, value), value, u, int(count), cover)


def proved(
    X: Array, mu: Array, cover: Cover | None, *, leak: float = 0.0, l1: bool = False
) -> float:
    """Return an upper bound on ``max {mu' act(X u) : ||u|| <= 1}`` that a cover proves.

    Parameters
    ----------
    X, mu, leak, l1
        As in `bracket`.
    cover : Cover or None
        Any one: each cone that it leaves is bounded here.

    Returns
    -------
    float
        At most the closed form; the `limit` of the cover if that holds for each of its cones.

    Examples
    --------
    >>> X, mu = np.eye(2), np.array([3.0, 4.0])
    >>> found = bracket(X, mu)
    >>> proved(X, mu, found.cover) == found.upper < proved(X, mu, None)
    True
    """
    if not (np.isfinite(X).all() and np.isfinite(mu).all()):
        return np.inf
    scale_X, scale_mu = float(magnitude(X)), float(magnitude(mu))
    scaled, weights = X / scale_X, mu / scale_mu
    upper = closed_form(scaled, weights, leak, l1) * scale_X * scale_mu
    if cover is None or not _spans(cover.basis, X.shape[1], l1) or not cover.limit < np.inf:
        return upper
    terms = reduced(scaled, weights, leak, cover.basis)
    goal = cover.limit * (1.0 - ROUNDING) / scale_X / scale_mu - terms.allowance
    tree = np.ascontiguousarray(cover.tree, np.uint16)
    largest = float(covered(*terms[:3], l1, goal, tree))
    if largest <= goal:
        return min(upper, cover.limit)
    return min(upper, (largest + terms.allowance) * scale_X * scale_mu * (1.0 + ROUNDING))


def _spans(basis: Array, d: int, l1: bool) -> bool:
    """Tell whether a basis is one of those that a search takes."""
    if basis.ndim != 2 or len(basis) != d or not basis.shape[1] < MOST:
        return False
    if l1:
        return np.array_equal(basis, np.eye(d))
    return bool(np.linalg.norm(basis.T @ basis - np.eye(basis.shape[1])) <= ROUNDING)


@contextmanager
def alarm(seconds: float | None) -> Iterator[BoolArray]:
    """Give a flag that is raised when so many seconds are over, for kernels to look at."""
    late = np.array([seconds is not None and seconds <= 0.0])
    if seconds is None or late[0]:
        yield late
        return
    timer = threading.Timer(seconds, late.fill, (True,))
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def closed_form(X: Array, mu: Array, leak: float, l1: bool) -> float:
    """Return a loose upper bound: every ``|x_i'u|`` at its largest, or their weighted squares.

    Examples
    --------
    >>> round(closed_form(np.array([[3.0, 4.0]]), np.array([2.0]), 0.0, l1=False), 6)
    10.0
    """
    c = np.maximum(mu, 0.0) + leak * np.maximum(-mu, 0.0)
    lengths = np.max(np.abs(X), axis=1) if l1 else np.sqrt(np.sum(np.square(X), axis=1))
    reach = float(c @ lengths)
    if not l1:
        top = float(np.linalg.eigvalsh((X * c[:, None]).T @ X)[-1])
        reach = min(reach, float(np.sqrt(np.sum(c) * max(top, 0.0) * (1.0 + 1e-10))))
    return reach * (1.0 + ROUNDING)


def row_space(X: Array) -> Array:
    """Return an orthonormal basis of the span of the rows, one vector a column.

    They are the principal axes: where X is ill-conditioned their orthants are the better cover.

    Examples
    --------
    >>> row_space(np.array([[0.0, 2.0], [0.0, 1.0]])).shape
    (2, 1)
    """
    d = X.shape[1]
    if not X.any():
        return np.eye(d, 1)
    _, s, Vt = np.linalg.svd(X, full_matrices=False)
    return np.ascontiguousarray(Vt[: int((s > 1e-14 * s[0]).sum())].T)


def reduced(X: Array, mu: Array, leak: float, basis: Array) -> Terms:
    """Return the objective in the coordinates of `basis`, one term for each hyperplane.

    What the basis leaves out, and what parallel rows differ by, is in the allowance.

    Examples
    --------
    >>> reduced(np.array([[1.0], [-1.0]]), np.array([2.0, 3.0]), 0.0, np.eye(1))[:3]
    (array([[5.]]), array([ True]), array([-3.]))
    """
    used = np.flatnonzero(mu)
    weights = (1.0 - leak) * np.abs(mu[used])
    signs = np.sign(mu[used])
    full = X[used]
    rows = full @ basis
    base = leak * (mu[used] @ rows)
    left_out = np.abs(mu[used]) @ np.sqrt(np.sum(np.square(full - rows @ basis.T), axis=1))
    total = np.abs(mu[used]) @ np.sqrt(np.sum(np.square(full), axis=1))
    allowance = ROUNDING * float(total) + float(left_out)
    sizes = np.sqrt(np.sum(np.square(rows), axis=1))
    kept = sizes > 0.0
    rows, sizes, weights, signs = rows[kept], sizes[kept], weights[kept], signs[kept]
    unit = rows / sizes[:, None]
    leading = np.argmax(np.abs(unit) > 0.5 / np.sqrt(rows.shape[1]), axis=1)
    turned = unit[np.arange(len(unit)), leading] < 0.0
    unit[turned] *= -1.0
    base = base + (signs * weights * turned) @ rows  # relu(-t) = relu(t) - t
    amount = signs * weights * sizes
    order = np.lexsort(unit.T)
    unit, amount = unit[order], amount[order]
    fresh = np.ones(len(unit), np.bool_)
    fresh[1:] = np.sum(np.square(np.diff(unit, axis=0)), axis=1) > PARALLEL**2
    group = np.cumsum(fresh) - 1
    leaders = unit[fresh]
    moved = np.sqrt(np.sum(np.square(unit - leaders[group]), axis=1))
    allowance += float(np.abs(amount) @ moved)
    net = np.bincount(group, weights=amount, minlength=len(leaders))
    alive = np.abs(net) > NEGLIGIBLE * total
    allowance += float(np.sum(np.abs(net[~alive])))
    merged = np.ascontiguousarray((leaders * np.abs(net)[:, None])[alive])
    return Terms(merged, net[alive] > 0.0, base, allowance)

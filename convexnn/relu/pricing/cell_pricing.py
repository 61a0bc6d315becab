"""Pricing: the neuron, over all patterns, that would improve a network most.

At a dual point ``mu`` a neuron ``u`` is worth ``|mu' act(X u)|`` per unit of norm; the network is
optimal over all patterns iff none is worth more than beta. ``f(u) = mu' act(X u)`` is a difference
of convex functions: examples with ``mu_i > 0`` add convex terms, the others concave ones.
`ascend` keeps the concave terms and linearises the convex ones at u (the convex-concave procedure,
Yuille & Rangarajan 2003), so that each step is the strongly concave problem

    max_u  c'u - sum_{mu_i < 0} |mu_i| relu(x_i'u) - ||u||^2 / 2
        =  min { ||c - X' theta||^2 / 2 : 0 <= theta_i <= |mu_i| },       u = c - X' theta

solved by dual coordinate descent; it ends at a local maximum of f on the sphere. The cell found is
then priced exactly, with its neighbours across active facets, until none is better (`walk`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from convexnn.contract.arrays import Array, BoolArray, IntArray
from convexnn.contract.system.kernels import kernel
from convexnn.functions.norms import L2
from convexnn.relu.cones import no_facets, project_blocks
from convexnn.relu.forms import NetworkForm
from convexnn.relu.patterns import first_distinct

SWEEPS = 30  # of coordinate descent per linearisation
SETTLED = 1e-4  # relative change of u at which a sweep is the last
LINEARISATIONS = 30
WALKED = 150  # best ends of ascents whose cells are priced exactly
BATCH = 32  # starts between two looks at the time
NEIGHBOURS = 2_000  # cells that may be priced in one move, the best cells' first
MOVES = 40  # steps from cell to cell


class Priced(NamedTuple):
    """Cells in falling order of worth.

    Attributes
    ----------
    matrix : array of bool, shape (n, m)
        Their patterns.
    worth : array of shape (m,)
        Largest ``mu' act(X u) / ||u||`` in each cell (in the l1 norm a lower bound on it, exact
        in being above beta or not).
    points : array of shape (m, d)
        Where it is attained.
    """

    matrix: BoolArray
    worth: Array
    points: Array


def price(
    form: NetworkForm, mu: Array, starts: Array, *, expired: Callable[[], bool] | None = None
) -> Priced:
    """Search for the cells of largest worth at the dual point `mu`; all of them where listed.

    Parameters
    ----------
    form : NetworkForm
    mu : array of shape (n,)
        For neurons that subtract from the output, pass ``-mu``.
    starts : array of shape (m, d)
        Directions to start from.
    expired : callable, optional
        Asked now and then whether to leave out the starts that remain.

    Returns
    -------
    Priced

    Examples
    --------
    >>> import convexnn as cx
    >>> problem = cx.ReluTraining([[1.0], [-1.0]], [2.0, 3.0], beta=0.1)
    >>> form = problem.canonical(NetworkForm)
    >>> price(form, np.array([2.0, 3.0]), np.array([[1.0], [-1.0]])).worth
    array([3., 2.])
    """
    if form.cells is not None:
        return _ranked(form, mu, _price(form, mu, np.ascontiguousarray(form.cells.T)))
    found = []
    for part in np.array_split(starts, -(-len(starts) // BATCH)):
        found.append(ascend(form, mu, part))
        if expired is not None and expired():
            break
    points = np.vstack(found)
    images = form.X @ points.T
    length = L2().value(points)
    value = mu @ form.activate(images) / np.where(length > 0.0, length, 1.0)
    best = np.argsort(-value, kind="stable")[:WALKED]
    return walk(form, mu, images[:, best] >= 0.0, expired=expired)


def ascend(form: NetworkForm, mu: Array, starts: Array) -> Array:
    """Return a local maximum of ``mu' act(X u)`` on the sphere from each start, one a row."""
    weight = (1.0 - form.leak) * mu
    X = form.X.view()
    X.setflags(write=False)
    linear = form.leak * (mu @ form.X)
    out: Array = _ascend(X, weight, linear, np.ascontiguousarray(starts, np.float64).copy())
    return out


def walk(
    form: NetworkForm,
    mu: Array,
    matrix: BoolArray,
    *,
    expired: Callable[[], bool] | None = None,
) -> Priced:
    """Price cells exactly and move from each to its best neighbour until none is better."""
    cells = _price(form, mu, _distinct(matrix.T))
    moving = np.arange(len(cells.size))
    walkers = max(1, NEIGHBOURS // form.X.shape[1])
    for _ in range(MOVES):
        moving = moving[np.argsort(-cells.size[moving], kind="stable")[:walkers]]
        example = cells.example[moving]
        owner, slot = np.nonzero((example >= 0) & (example < len(mu)))
        if len(owner) == 0 or (expired is not None and expired()):
            break
        across = cells.members[moving[owner]]
        across[np.arange(len(owner)), example[owner, slot]] ^= True
        owner = moving[owner]
        beyond = _price(form, mu, across)
        best = np.zeros(len(cells.size))
        np.maximum.at(best, owner, beyond.size)
        better = best > cells.size * (1.0 + 1e-9)
        chosen = np.flatnonzero(better[owner] & (beyond.size == best[owner]))
        to = owner[chosen]
        cells.members[to], cells.points[to] = beyond.members[chosen], beyond.points[chosen]
        cells.size[to], cells.example[to] = beyond.size[chosen], beyond.example[chosen]
        moving = np.flatnonzero(better)
    return _ranked(form, mu, cells)


def _ranked(form: NetworkForm, mu: Array, cells: _Cells) -> Priced:
    length = form.norm.value(cells.points)
    worth = np.einsum("ij,ij->i", _slopes(form, mu, cells.members), cells.points)
    worth = np.where(length > 0.0, worth / np.where(length > 0.0, length, 1.0), 0.0)
    order = np.argsort(-worth, kind="stable")
    order = order[first_distinct(cells.members[order].T)]
    return Priced(np.ascontiguousarray(cells.members[order].T), worth[order], cells.points[order])


class _Cells(NamedTuple):
    """Cells by their patterns, the prox of each, its length, and its active facets."""

    members: BoolArray
    points: Array
    size: Array
    example: IntArray


def _distinct(members: BoolArray) -> BoolArray:
    return members[first_distinct(members.T)]


def _slopes(form: NetworkForm, mu: Array, members: BoolArray) -> Array:
    """Return the gradient of ``mu' act(X u)`` in each cell, one a row."""
    slopes: Array = np.where(members, mu, form.leak * mu) @ form.X
    return slopes


def _price(form: NetworkForm, mu: Array, members: BoolArray) -> _Cells:
    rows = np.ascontiguousarray(_slopes(form, mu, members))
    signs = np.where(members, 1, -1).astype(np.int8)
    facets = no_facets(*rows.shape)
    tau = 0.0 if form.norm.rotates else form.beta
    points = project_blocks(form.X, signs, rows, facets, tau=tau)
    return _Cells(members, points, L2().value(points), facets.example)


@kernel(fastmath={"reassoc", "contract"})
def _ascend(X, weight, linear, U):  # type: ignore[no-untyped-def]
    n, d = X.shape
    square = np.empty(n)
    for i in range(n):
        square[i] = np.dot(X[i], X[i])
    theta = np.empty(n)
    active = np.empty(n, np.bool_)
    v = np.empty(d)
    for b in range(U.shape[0]):
        for i in range(n):
            active[i] = np.dot(X[i], U[b]) > 0.0
            theta[i] = -weight[i] if active[i] and weight[i] < 0.0 else 0.0
        for _ in range(LINEARISATIONS):
            for j in range(d):
                v[j] = linear[j]
            for i in range(n):
                w = weight[i] if active[i] and weight[i] > 0.0 else -theta[i]
                if w != 0.0:
                    for j in range(d):
                        v[j] += w * X[i, j]
            for _ in range(SWEEPS):
                change = 0.0
                for i in range(n):
                    if weight[i] >= 0.0 or square[i] == 0.0:
                        continue
                    t = 0.0
                    for j in range(d):
                        t += X[i, j] * v[j]
                    if (t <= 0.0 and theta[i] == 0.0) or (t >= 0.0 and theta[i] == -weight[i]):
                        continue
                    following = min(max(theta[i] + t / square[i], 0.0), -weight[i])
                    step = following - theta[i]
                    theta[i] = following
                    change += step * step * square[i]
                    for j in range(d):
                        v[j] -= step * X[i, j]
                if change <= SETTLED * SETTLED * np.dot(v, v):
                    break
            flipped = False
            for i in range(n):
                positive = np.dot(X[i], v) > 0.0
                if positive != active[i] and weight[i] > 0.0:
                    flipped = True
                active[i] = positive
            if not flipped:
                break
        for j in range(d):
            U[b, j] = v[j]
    return U

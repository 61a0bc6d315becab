"""Pricing: the neuron, over all patterns, that would improve a network most.

At a dual point ``mu`` a neuron ``u`` is worth ``|mu' act(X u)|`` per unit of norm; the network is
optimal over all patterns iff none is worth more than beta. ``f(u) = mu' act(X u)`` is a difference
of convex functions, and `ascend` finds its local maxima on the sphere. The cell found is
then priced exactly, with its neighbours across active facets, until none is better (`walk`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from convexnn.contract.arrays import Array, BoolArray, IntArray
from convexnn.functions.norms import L2
from convexnn.relu.cones import no_facets, project_blocks
from convexnn.relu.forms import NetworkForm
from convexnn.relu.patterns import first_distinct
from convexnn.relu.pricing.ascents import maxima

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
    return maxima(form.X, (1.0 - form.leak) * mu, form.leak * (mu @ form.X), starts)


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

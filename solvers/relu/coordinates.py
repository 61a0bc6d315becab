"""Coordinates in which the examples of a program are well scaled, and its norm is stretched.

With ``X = Z M`` the blocks ``M u`` predict from Z what ``u`` does from X, in the same cones, and
cost ``||M^-1 (M u)||``. Methods of first order need few steps where the columns of Z have one
length and right angles, whatever the units of X; a dual point is the same in all coordinates. For
the Euclidean norm M is ``diag(s) V'`` of the singular values, for the l1 norm, for many columns,
and where entries have signs, a diagonal: in either the prox of the stretched norm,

    argmin_v  tau ||w * v|| + ||v - a||^2 / 2,

is one root for each block, or none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.relu.cones import project_blocks
from convexnn.relu.forms import Dual, GroupForm, MajorantForm, Neurons, PooledForm
from convexnn.relu.units import FEW_COLUMNS, badly_scaled
from convexnn.solvers.relu.block_prox import BlockProx

ROOTS = 60  # Newton steps for the root of a prox, at most
EXACT = 1e-14  # change of a root, relative to it, that ends them
SWEEPS = 12  # rotations of each pair of columns
RIGHT = 1e-16  # cosine of an angle that is right but for rounding


F = TypeVar("F", GroupForm, MajorantForm)


@dataclass(frozen=True)
class Coordinates(Generic[F]):
    """A program in other coordinates.

    Attributes
    ----------
    form : GroupForm or MajorantForm
        The program with Z in the place of X. Its norm is that of the program's own coordinates.
    to, back : array of shape (r, d) and (d, r)
        M and its inverse, or a pseudoinverse.
    widths : array of shape (r,)
        The stretched norm of v is the program's norm of ``widths * v``.
    """

    form: F
    to: Array
    back: Array
    widths: Array

    def point(self, neurons: Neurons) -> Neurons:
        """Return a primal point of the program from one in these coordinates."""
        skip = self.back @ neurons.skip if self._turns_skip else neurons.skip
        return Neurons(self.back @ neurons.V, self.back @ neurons.W, skip)

    def start(self, start: Any) -> Any:
        """Return a start in these coordinates."""
        if start is None:
            return None
        primal, dual = start
        skip = self.to @ primal.skip if self._turns_skip else primal.skip
        return Neurons(self.to @ primal.V, self.to @ primal.W, skip), dual

    @property
    def _turns_skip(self) -> bool:
        return self.form.skip and self.form.columns is None


def coordinates(form: F) -> Coordinates[F] | None:
    """Return coordinates for a program whose columns are badly scaled; None where they are not.

    Examples
    --------
    >>> from convexnn.functions.losses import LOSSES
    >>> from convexnn.functions.norms import NORMS
    >>> X = np.random.default_rng(0).standard_normal((20, 2))
    >>> form = GroupForm(
    ...     X, X[:, 0], np.ones((20, 1)), None, LOSSES["squared"], NORMS["l2"], 1.0, False
    ... )
    >>> coordinates(form) is None
    True
    >>> found = coordinates(form._replace(X=X * [1.0, 1e6]))
    >>> np.allclose(found.form.X.T @ found.form.X, 20 * np.eye(2))
    True
    """
    X = form.X
    n, d = X.shape
    if d == 1 or form.norm.name not in ("l2", "l1") or isinstance(form, PooledForm):
        return None
    if not badly_scaled(X):
        return None
    largest = np.max(np.abs(X), axis=0)
    used = largest > 0.0
    signed = isinstance(form, GroupForm) and form.monotone is not None  # they must stay signs
    if not form.norm.rotates or signed or d > min(n, FEW_COLUMNS):
        length = np.where(used, np.sqrt(np.mean(np.square(X), axis=0)), 1.0)
        Z = np.ascontiguousarray(X / length)
        return Coordinates(form._replace(X=Z), np.diag(length), np.diag(1.0 / length), 1.0 / length)
    units = np.where(used, largest, 1.0)
    left, size, right = np.linalg.svd(X / units, full_matrices=False)
    kept = size > np.finfo(np.float64).eps * n * size[0]
    inner, size, right = graded_svd((size[kept, None] * right[kept]) * units)
    root = np.sqrt(n)
    Z = np.ascontiguousarray(root * (left[:, kept] @ inner))
    return Coordinates(
        form._replace(X=Z), (size[:, None] * right) / root, root * (right.T / size), root / size
    )


def graded_svd(A: Array) -> tuple[Array, Array, Array]:
    """Return the thin SVD of a matrix whose columns may differ in length by any factor.

    Each column's part is as exact as if it were of length 1, by rotations of pairs of columns
    until all have right angles (Hestenes 1958; Demmel & Veselic 1992).

    Examples
    --------
    >>> A = np.array([[1.0, 1e-9], [1.0, -2e-9]])
    >>> U, s, Vt = graded_svd(A)
    >>> bool(np.allclose((U * s) @ Vt / [1.0, 1e-9], A / [1.0, 1e-9], rtol=1e-14))
    True
    """
    r, d = A.shape
    even = d + d % 2
    columns, turn = np.zeros((even, r)), np.eye(even)
    columns[:d] = A.T
    order = np.arange(even)
    for _ in range(SWEEPS * (even - 1)):
        i, j = order[: even // 2], order[even // 2 :][::-1]
        x, y = columns[i], columns[j]
        alpha, beta, gamma = (np.einsum("ij,ij->i", *pair) for pair in ((x, x), (y, y), (x, y)))
        apart = np.abs(gamma) > RIGHT * np.sqrt(alpha * beta)
        zeta = (beta - alpha) / np.where(apart, 2.0 * gamma, 1.0)
        t = np.where(
            apart, np.where(zeta < 0.0, -1.0, 1.0) / (np.abs(zeta) + np.hypot(1.0, zeta)), 0.0
        )
        c = (1.0 / np.hypot(1.0, t))[:, None]
        s = c * t[:, None]
        for rows in (columns, turn):
            rows[i], rows[j] = c * rows[i] - s * rows[j], s * rows[i] + c * rows[j]
        order[1:] = np.roll(order[1:], 1)
    size = np.linalg.norm(columns, axis=1)
    largest = np.argsort(-size)[: min(r, d)]
    return (columns[largest] / size[largest, None]).T, size[largest], turn[largest, :d]


class StretchedProx:
    """The prox of a stretched norm, ``argmin_v tau ||w * v|| + ||v - row||^2 / 2``.

    Parameters
    ----------
    frame : Coordinates

    Examples
    --------
    >>> stretched_prox(np.array([[3.0, 4.0]]), 2.5, np.ones(2)).round(12)
    array([[1.5, 2. ]])
    """

    def __init__(self, frame: Coordinates[Any]) -> None:
        self.form, self._widths = frame.form, frame.widths

    def __call__(self, rows: Array, step: float) -> Array:
        """Return the prox of each row."""
        weight = step * self.form.beta
        if self.form.norm.rotates:
            return stretched_prox(rows, weight, self._widths)
        shrunk: Array = np.sign(rows) * np.maximum(np.abs(rows) - weight * self._widths, 0.0)
        return shrunk

    def dual(self, mu: Array, step: float) -> Dual:
        """Return a dual point."""
        return Dual(mu)

    def start(self, dual: Dual, step: float) -> None:
        """Take nothing from a dual point."""


def stretched_prox(rows: Array, tau: float, widths: Array) -> Array:
    """Return ``argmin_v tau ||w * v||_2 + ||v - row||^2 / 2`` for each row.

    It is ``v = row nu / (nu + tau w^2)`` where ``||w * row / (nu + tau w^2)|| = 1``, and 0 where
    ``||row / w|| <= tau``. Newton's method on the reciprocal of that length, from ``nu = 0``, never
    oversteps (Reinsch 1971).

    Examples
    --------
    >>> v = stretched_prox(np.array([[3.0, 4.0]]), 0.5, np.array([1.0, 1e3]))
    >>> v.round(3)
    array([[2.5, 0. ]])
    """
    result = np.zeros_like(rows)
    alive = np.flatnonzero(np.linalg.norm(rows / widths, axis=1) > tau)
    a, shift = rows[alive] * widths, tau * np.square(widths)
    nu = np.zeros(len(alive))
    open_ = np.arange(len(alive))
    for _ in range(ROOTS):
        if len(open_) == 0:
            break
        below = nu[open_, None] + shift
        squares = np.square(a[open_] / below)
        length = np.sqrt(squares.sum(axis=1))
        slope = (squares / below).sum(axis=1)
        more = (length - 1.0) * np.square(length) / slope
        nu[open_] += more
        open_ = open_[more > EXACT * nu[open_]]
    result[alive] = rows[alive] * (nu[:, None] / (nu[:, None] + shift))
    return result


class ConeProjection(BlockProx):
    """The projection of each block on its cone, warm as `BlockProx` is."""

    def __call__(self, rows: Array, step: float) -> Array:
        """Return the nearest point of each row's cone; the step is of no account."""
        assert self.facets is not None
        assert self.cones is not None
        return project_blocks(*self.cones, rows, self.facets)

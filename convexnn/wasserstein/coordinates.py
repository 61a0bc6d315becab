"""The coordinates that engines for linear models work in: centred, scaled, of full rank."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from convexnn.contract.arrays import Array, frozen


class Coordinates(NamedTuple):
    """Where engines work: ``x = scale (basis x') + mean``, with b and the radius scaled to match.

    Attributes
    ----------
    matrix : array of shape (n, r)
        The data in these coordinates.
    mean : array of shape (d,)
        Zeros without an intercept.
    scale : float
        A power of two near the data's root mean square.
    basis : array of shape (d, r) or None
        Orthonormal, where there are more columns than rows and the norm allows it; of plain risk
        minimisation what makes the matrix orthogonal.
    """

    matrix: Array
    mean: Array
    scale: float
    basis: Array | None

    def coef(self, b: Array) -> Array:
        """Return the coefficients in the coordinates of the data."""
        result: Array = (b if self.basis is None else self.basis @ b) / self.scale
        return result


def coordinates(X: Array, rotates: bool, centred: bool, plain: bool = False) -> Coordinates:
    """Centre and scale the data; drop what they do not span if the norm allows rotations.

    Plain risk minimisation, of radius 0, has no norm: there the columns become orthogonal.
    """
    mean = X.mean(axis=0) if centred else np.zeros(X.shape[1])
    moved = X - mean
    size = float(np.max(np.abs(moved)))
    if size <= 1e-13 * float(np.max(np.abs(X), initial=0.0)):
        moved, size = np.zeros_like(moved), 0.0  # constant columns, but for rounding
    if plain:
        return _orthogonal(moved, mean)
    scale = 1.0
    if size > 0.0:
        scale = float(2.0 ** np.round(np.log2(size)))
        scale *= float(2.0 ** np.round(0.5 * np.log2(np.mean(np.square(moved / scale)))))
    moved /= scale
    basis = None
    if rotates and X.shape[1] > X.shape[0]:
        basis = np.linalg.qr(moved.T)[0]
        moved = np.ascontiguousarray(moved @ basis)
    for array in (moved, mean):
        frozen(array)
    return Coordinates(moved, mean, scale, basis)


def _orthogonal(moved: Array, mean: Array) -> Coordinates:
    n, d = moved.shape
    sizes = np.max(np.abs(moved), axis=0)
    sizes = np.where(sizes > 0.0, sizes, 1.0)
    U, S, V = np.linalg.svd(moved / sizes, full_matrices=False)
    rank = int(np.sum(max(n, d) * np.finfo(np.float64).eps * S[0] < S))
    if rank == 0:
        matrix, basis = np.zeros((n, 1)), np.zeros((d, 1))
    else:
        matrix = np.ascontiguousarray(np.sqrt(n) * U[:, :rank])
        basis = (V[:rank].T * (np.sqrt(n) / S[:rank])) / sizes[:, None]
    for array in (matrix, mean, basis):
        frozen(array)
    return Coordinates(matrix, mean, 1.0, basis)

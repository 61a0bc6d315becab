"""The linear system of one step of the interior point, and its dense Cholesky factor.

    H = sum_i share_i A_i' D_i A_i + G' diag(y / slack) G + sum_k M_k' W_k^-2 M_k

with ``A_i w = (u1_i, u2_i)`` and the samples' curvatures ``D_i``: O(n D^2 + D^3).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs  # SciPy's own callers take as long as all else

from convexnn.contract.arrays import Array
from convexnn.solvers.scaling import Scaling
from convexnn.solvers.wasserstein.program import Program, Samples

RIDGE = 1e-14  # relative to the diagonal


class System(ABC):
    """A factor of H, made anew in each step, that solves for one right-hand side after another.

    Parameters
    ----------
    program : Program
    share : array of shape (n,)
        Of each sample in the mean.
    """

    def __init__(self, program: Program, share: Array) -> None:
        self.program, self.share = program, share

    @abstractmethod
    def factor(self, D: Array, weights: Array, scalings: list[Scaling]) -> None:
        """Take the samples' curvatures (4, n), the inequalities' weights and the cones' scalings.

        Raises
        ------
        numpy.linalg.LinAlgError
            If the system is singular to rounding.
        """

    @abstractmethod
    def solve(self, right: Array, slope: Array) -> Array:
        """Return ``H^-1 (right + Z'slope)``, with a slope (n,) in each sample's prediction.

        Apart, as it may be far larger than what is left of it.
        """


class Dense(System):
    """H as it stands."""

    def __init__(self, program: Program, share: Array) -> None:
        super().__init__(program, share)
        self.squares = [np.outer(M[0], M[0]) - M[1:].T @ M[1:] for M, _ in program.cones]

    def factor(self, D: Array, weights: Array, scalings: list[Scaling]) -> None:
        """Factorise H."""
        program, s, share = self.program, self.program.samples, self.share
        k, size = s.Z.shape[1], len(program.cost)
        H = np.zeros((size, size))
        rows = s.Z * np.sqrt(np.maximum(of_prediction(s, D), 0.0) * share)[:, None]
        H[:k, :k] = rows.T @ rows
        if shifted(s):
            cross, own = of_shift(s, D)
            column = (cross * share) @ s.Z
            H[:k, s.lam] += column
            H[s.lam, :k] += column
            H[s.lam, s.lam] += float(own @ share)
        if len(weights):
            if isinstance(program.G, np.ndarray):
                H += program.G.T @ (weights[:, None] * program.G)
            else:
                H += (program.G.T @ program.G.multiply(weights[:, None])).toarray()
        for (M, _), W, J in zip(program.cones, scalings, self.squares, strict=True):
            # W^-2 = (2 v v' - J) / eta^2 with v = (w0, -w1)
            v = W.w0[0] * M[0] - W.w1[0] @ M[1:]
            H += (2.0 * np.outer(v, v) - J) / W.eta[0] ** 2
        self.root = cholesky(H)

    def solve(self, right: Array, slope: Array) -> Array:
        """Substitute back and forth."""
        right, k = right.copy(), self.program.samples.Z.shape[1]
        right[:k] += slope @ self.program.samples.Z
        found, _ = dpotrs(self.root, right)
        return np.asarray(found)


def shifted(s: Samples) -> bool:
    """Tell whether the arguments of the losses depend on a variable beside the prediction."""
    return s.lam >= 0 and (s.b1 != 0.0 or s.b2 != 0.0)


def of_prediction(s: Samples, D: Array) -> Array:
    """Return each sample's curvature in its prediction."""
    weight: Array = np.square(s.a1) * D[0]
    if s.pair:
        weight += 2.0 * s.a1 * s.a2 * D[1] + np.square(s.a2) * D[2]
    return weight


def of_shift_alone(s: Samples, D: Array, weight: Array) -> Array:
    """Return what is left of the curvature in the shift where the prediction gives way to it.

    The weight is the curvature in the prediction.
    """
    if not s.pair:
        return np.zeros_like(weight)
    turned: Array = np.square(s.a1 * s.b2 - s.a2 * s.b1) * D[3]
    left = np.zeros_like(weight)
    np.divide(turned, weight, out=left, where=weight > 0.0)
    return left


def of_shift(s: Samples, D: Array) -> tuple[Array, Array]:
    """Return each sample's curvatures in prediction and shift together, and in the shift alone."""
    cross: Array = s.a1 * D[0] * s.b1
    own: Array = D[0] * s.b1**2
    if s.pair:
        cross = cross + (s.a1 * s.b2 + s.a2 * s.b1) * D[1] + s.a2 * D[2] * s.b2
        own = own + 2.0 * s.b1 * s.b2 * D[1] + s.b2**2 * D[2]
    return cross, own


def cholesky(H: Array) -> Array:
    """Return the upper Cholesky factor with the least ridge that lets it through."""
    diagonal = np.einsum("ii->i", H)  # a view
    own = np.where(diagonal > 0.0, diagonal, 1.0)  # a column of zeros stays where it is
    ridge = RIDGE
    for _ in range(8):
        diagonal += ridge * own
        factor, info = dpotrf(H, clean=0)
        if info == 0:
            return np.asarray(factor)
        ridge *= 30.0
    raise np.linalg.LinAlgError("the Newton system is singular to rounding")

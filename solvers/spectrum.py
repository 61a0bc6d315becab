"""The mixing matrix of a graph and the two ends of its spectrum, which set the engines' steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convexnn.solvers.exchange import Block

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convexnn.contract.arrays import Array

DENSE = 300  # agents up to which all eigenvalues are computed
LANCZOS = 400  # steps for more
SLACK = 1.01  # of eigenvalues that are upper bounds


class Spectrum(NamedTuple):
    """Ends of the spectrum of a graph's Laplacian, to three digits so that all processes agree.

    Attributes
    ----------
    least : float
        The smallest eigenvalue but the 0 of consensus.
    largest : float
        An upper bound.
    """

    least: float
    largest: float


def degrees(edges: NDArray[np.int64], n: int) -> Array:
    """Return the number of neighbours of each agent."""
    return np.bincount(edges.ravel(), minlength=n).astype(np.float64)


def mixing(degree: Array, tail: NDArray[np.int64], head: NDArray[np.int64]) -> Array:
    """Return the Metropolis-Hastings weights of edges, ``1 / (1 + max(d_i, d_j))``.

    ``W`` is symmetric, its rows sum to 1, and ``0 <= I - W <= 2``.
    """
    return 1.0 / (1.0 + np.maximum(degree[tail], degree[head]))


def of_block(edges: NDArray[np.int64], n: int, block: Block) -> tuple[Array, Array]:
    """Return the degrees of a block's agents and the weights of their edges."""
    degree = degrees(edges, n)
    return degree[block.own].copy(), mixing(degree, block.tail, block.head)


def spectrum(edges: NDArray[np.int64], n: int, weights: Array) -> Spectrum:
    """Return the ends of the spectrum of the Laplacian with these weights of the edges.

    Examples
    --------
    >>> spectrum(np.array([[0, 1], [1, 2]]), 3, np.ones(2))
    Spectrum(least=1.0, largest=3.03)
    """
    from scipy.sparse import coo_array, diags_array

    half = coo_array((weights, (edges[:, 0], edges[:, 1])), shape=(n, n))
    matrix = (half + half.T).tocsc()
    lap: Any = (diags_array(matrix.sum(axis=1)) - matrix).tocsc()
    if n <= DENSE:
        values = np.linalg.eigvalsh(lap.toarray())
        return Spectrum(_digits(values[1]), _digits(SLACK * values[-1]))
    low, high = _lanczos(lap, n)
    return Spectrum(_digits(low), _digits(SLACK * high))


def _lanczos(lap: Any, n: int) -> tuple[float, float]:
    """Return estimates of the ends, the lower from above: without a factor, which may fill up."""
    from scipy.linalg import eigvalsh_tridiagonal

    v = np.cos(np.arange(n, dtype=np.float64) ** 2)
    before, beta = np.zeros(n), 0.0
    diagonal: list[float] = []
    beside: list[float] = []
    for _ in range(LANCZOS):
        v = v - v.mean()
        size = float(np.linalg.norm(v))
        if diagonal:
            if size <= 1e-10 * abs(diagonal[0]):
                break
            beside.append(size)
            beta = size
        v = v / size
        w = lap @ v - beta * before
        diagonal.append(float(v @ w))
        before, v = v, w - diagonal[-1] * v
    ends = eigvalsh_tridiagonal(np.array(diagonal), np.array(beside))
    return float(ends[0]), float(ends[-1])


def _digits(value: float) -> float:
    return float(f"{value:.3g}")

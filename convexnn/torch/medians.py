"""The geometric median as a function on tensors.

At a median ``z`` that is none of the points, ``sum_i w_i v_i = 0`` for the unit vectors
``v_i = (z - b_i) / r_i`` with ``r_i = ||z - b_i||``. Differentiated, with ``P_i = I - v_i v_i'``:

    H dz = sum_i w_i / r_i P_i db_i - sum_i v_i dw_i,     H = sum_i w_i / r_i P_i.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.checks import ProblemError
from convexnn.driver.solve import solve
from convexnn.problems.median.geometric import GeometricMedian
from convexnn.torch.tensors import like, read, torch

ACCURACY = 1e-11  # certified relative gap, from which Newton's method ends in a few steps
STEPS = 20  # of Newton's method
STILL = 1e-13  # pull at a median, relative to the weight
NEAR = 1e-5  # relative distance within which a data point may be the median
FLAT = 1e-9  # of unit vectors, relative, what may stand off one line: more than an answer's error
KINK = 1e-12  # relative excess of the pull over the weight of a data point that is the median


def geometric_median(points: Any, weights: Any = None) -> Any:
    """Return ``argmin_z sum_i w_i ||z - b_i||_2`` of each set of points.

    Parameters
    ----------
    points : torch.Tensor of shape (..., n, d)
        Floats; leading dimensions count sets. Computed in float64 on the CPU, whatever they are.
    weights : torch.Tensor of shape (n,) or (..., n), optional
        All >= 0, not all 0 in a set; 1 each if left out.

    Returns
    -------
    torch.Tensor of shape (..., d)
        Differentiable once by points and by weights.

    Raises
    ------
    ImportError
        If PyTorch is not installed; the message names the extra, ``torch``.
    ProblemError
        If an argument breaks its rule, or a median is not unique: all points lie on a line and each
        side has half of the weight, as of an even number of points of one dimension.
    SolveError
        If a median could not be found to 1e-11.

    Notes
    -----
    Where the median is a data point whose weight exceeds the pull of the others, it moves with that
    point alone: that is its derivative. Where the weight equals the pull, there is no derivative,
    and this is a limit of those nearby. Points that coincide there share the gradient by their
    weights, which is exact for moving them together.

    Examples
    --------
    >>> import torch
    >>> rows = [[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [90.0, 90.0]]
    >>> points = torch.tensor(rows, requires_grad=True)
    >>> z = geometric_median(points)
    >>> z.detach()
    tensor([1., 1.])
    >>> z.sum().backward()
    >>> points.grad[3].abs().max() < 1e-6  # how far the outlier is does not count
    tensor(True)
    """
    sets = read("points", points, ("n", "d"))
    lead, n = tuple(points.shape[:-2]), points.shape[-2]
    if weights is None:
        weights = torch.ones(n, dtype=points.dtype, device=points.device)
    read("weights", weights, ("n",))
    if tuple(weights.shape) not in {(n,), (*lead, n)}:
        raise ProblemError(
            f"weights must have shape {(n,)} or {(*lead, n)}, got {tuple(weights.shape)}"
        )
    spread = weights.expand(*lead, n)
    rows = read("weights", spread, ("n",))
    found = np.array([_median(k, b, w) for k, (b, w) in enumerate(zip(sets, rows, strict=True))])
    return _Median.apply(points, spread, found)


class _Median(torch.autograd.Function):  # type: ignore[misc]  # torch comes at run time
    """Medians already found, with their gradients."""

    @staticmethod
    def forward(ctx: Any, points: Any, weights: Any, found: Array) -> Any:
        ctx.save_for_backward(points, weights)
        ctx.found = found
        return like(points, found, (*points.shape[:-2], points.shape[-1]))

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Any) -> Any:
        points, weights = ctx.saved_tensors
        b, w = read("points", points, ("n", "d")), read("weights", weights, ("n",))
        g = grad.detach().to(device="cpu", dtype=torch.float64).numpy().reshape(len(b), -1)
        by_points, by_weights = np.empty_like(b), np.empty_like(w)
        for k in range(len(b)):
            by_points[k], by_weights[k] = _gradients(b[k], w[k], ctx.found[k], g[k])
        return (
            like(points, by_points, tuple(points.shape)),
            like(weights, by_weights, tuple(weights.shape)),
            None,
        )


def _gradients(b: Array, w: Array, z: Array, g: Array) -> tuple[Array, Array]:
    """Return the gradients of ``<g, z>`` by the points and by their weights."""
    r, v = _unit(b, z)
    here = (r == 0.0) & (w > 0.0)
    if here.any():
        share = np.where(here, w, 0.0)
        return np.outer(share / share.sum(), g), np.zeros_like(w)
    h = np.linalg.solve(_curvature(w, r, v), g)
    along = v @ h
    pull = np.divide(w, r, out=np.zeros_like(w), where=r > 0.0)
    return pull[:, None] * (h - along[:, None] * v), -along


def _median(k: int, b: Array, w: Array) -> Array:
    """Return the median to the last digits, a data point exactly where it is one."""
    z = solve(GeometricMedian(b, weights=w), tol=ACCURACY).raise_for_status().model.point
    used = w > 0.0
    b, w = b[used], w[used]
    r, _ = _unit(b, z)
    total, reach = float(w.sum()), float(np.median(r))
    for rank, i in enumerate(np.argsort(r, kind="stable")):
        if rank > 0 and r[i] > NEAR * reach:
            break
        own, v = _unit(b, b[i])
        excess = float(np.linalg.norm(w @ v) - w[own == 0.0].sum())
        if excess <= KINK * total:
            if excess >= -KINK * total and _parallel(v):
                raise _not_unique(k)
            return np.array(b[i])
    if _parallel(_unit(b, z)[1]):
        raise _not_unique(k)
    best, least = z, np.inf
    for _ in range(STEPS):
        r, v = _unit(b, z)
        pull = w @ v
        size = float(np.linalg.norm(pull))
        if size >= least:
            break
        best, least = z, size
        if size <= STILL * total:
            break
        z = z - np.linalg.solve(_curvature(w, r, v), pull)
    return best


def _unit(b: Array, z: Array) -> tuple[Array, Array]:
    """Return distances from the points to z, and the unit vectors, 0 at a distance of 0."""
    away = z - b
    r = np.linalg.norm(away, axis=1)
    return r, np.divide(away, r[:, None], out=np.zeros_like(away), where=r[:, None] > 0.0)


def _curvature(w: Array, r: Array, v: Array) -> Array:
    share = np.divide(w, r, out=np.zeros_like(w), where=r > 0.0)
    H: Array = share.sum() * np.eye(v.shape[1]) - (v * share[:, None]).T @ v
    return H


def _parallel(v: Array) -> bool:
    """Tell whether all directions are those of one line."""
    sizes = np.linalg.svd(v, compute_uv=False)
    return len(sizes) < 2 or bool(sizes[1] <= FLAT * sizes[0])


def _not_unique(k: int) -> ProblemError:
    return ProblemError(
        f"points of set {k} must have one median: they lie on a line, with half of the weight on "
        "each side"
    )

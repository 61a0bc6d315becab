"""The worst weights of losses as a function on tensors.

Over a ball ``sum_i p_i phi(u_i) <= radius`` the worst weights ``q_i = p_i u_i`` solve
``lam phi'(u_i) = l_i - eta`` where ``u_i > 0``. Differentiated, with ``m_i = p_i / phi''(u_i)``,

    dq = m (dl - fit) / lam,

where ``fit`` is the least-squares fit of ``dl`` by ``1`` and ``l`` in the weights m: what of ``dl``
it takes away is what the sum of the weights and the radius hold fast.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.checks import ProblemError, instance_of
from convexnn.functions.ratios import Divergence
from convexnn.functions.risks import Risk
from convexnn.functions.weighted import checked_weights
from convexnn.torch.tensors import like, read, torch

EQUAL = 1e-14  # relative spread of losses that are the same


def worst_weights(losses: Any, risk: Risk, weights: Any = None) -> Any:
    """Return the probabilities of a risk's set under which the losses have the largest mean.

    ``argmax_q sum_i q_i l_i`` over ``q_i = p_i u_i``, u in the set of ratios of the risk.

    Parameters
    ----------
    losses : torch.Tensor of shape (..., n)
        Floats; leading dimensions count sets. Computed in float64 on the CPU, whatever they are.
    risk : Risk
        ``cx.Entropic``, ``cx.ChiSquare``, ``cx.Cvar``, ``cx.TotalVariation`` or ``cx.WorstGroup``.
    weights : array of shape (n,), optional
        Give the reference probabilities p, > 0; equal if left out. Not differentiated.

    Returns
    -------
    torch.Tensor of shape (..., n)
        Differentiable once by the losses.

    Raises
    ------
    ImportError
        If PyTorch is not installed; the message names the extra, ``torch``.
    ProblemError
        If an argument breaks its rule.

    Notes
    -----
    ``(worst_weights(losses, risk) * losses).sum()`` is the risk, and its gradient the weights.

    Weights of ``Cvar``, ``TotalVariation`` and ``WorstGroup`` are constant but for jumps where two
    losses, or a threshold and one, are equal: their derivative is 0, at a jump too. So is that of
    ball weights that sit on the largest losses alone, or where all losses are the same. Where a
    loss is at the threshold of ``ChiSquare`` there are two one-sided derivatives, and this is that
    of a loss below it.

    Examples
    --------
    >>> import torch
    >>> from convexnn import ChiSquare
    >>> worst_weights(torch.tensor([0.0, 0.0, 0.0, 1.0]), ChiSquare(1.0))
    tensor([0.1057, 0.1057, 0.1057, 0.6830])
    """
    rows = read("losses", losses, ("n",))
    instance_of("risk", risk, Risk, "a risk, such as cx.Entropic")
    n = rows.shape[-1]
    p = np.full(n, 1.0 / n)
    if weights is not None:
        counts = checked_weights(weights, n, "loss")
        if not (counts > 0.0).all():
            raise ProblemError("weights must be > 0: leave out losses that do not count")
        p = counts / counts.sum()
    risk = risk.of(n, "loss")
    found = np.array([p * (np.ones(n) if risk.plain else risk.worst(row, p)) for row in rows])
    ball = None if risk.plain else risk.ratios(p).divergence
    return _Weights.apply(losses, found, p, ball)


class _Weights(torch.autograd.Function):  # type: ignore[misc]  # torch comes at run time
    """Weights already found, with their gradient."""

    @staticmethod
    def forward(ctx: Any, losses: Any, found: Array, p: Array, ball: Divergence | None) -> Any:
        ctx.save_for_backward(losses)
        ctx.found, ctx.p, ctx.ball = found, p, ball
        return like(losses, found, tuple(losses.shape))

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Any) -> Any:
        (losses,) = ctx.saved_tensors
        rows = read("losses", losses, ("n",))
        g = grad.detach().to(device="cpu", dtype=torch.float64).numpy().reshape(rows.shape)
        by_losses = np.zeros_like(rows)
        if ctx.ball is not None:
            for k in range(len(rows)):
                by_losses[k] = _gradient(rows[k], ctx.found[k] / ctx.p, ctx.p, ctx.ball, g[k])
        return like(losses, by_losses, tuple(losses.shape)), None, None, None


def _gradient(losses: Array, u: Array, p: Array, ball: Divergence, g: Array) -> Array:
    """Return the gradient of ``<g, q>`` by the losses: the derivative of q is symmetric."""
    size = float(np.ptp(losses))
    if size == 0.0:
        return np.zeros_like(losses)
    m = np.where(u > 0.0, p / ball.bend(u), 0.0)
    mass = float(m.sum())
    m = m / mass
    scaled = (losses - losses.max()) / size
    away = scaled - m @ scaled
    spread = float(m @ (away * away))
    if spread <= EQUAL * EQUAL:  # all weight is on losses that are the same
        return np.zeros_like(losses)
    rest = g - m @ g
    rest -= away * (float(m @ (away * rest)) / spread)
    rate = float(m @ (away * ball.slope(u))) / spread / size  # 1 / lam
    result: Array = mass * rate * m * rest
    return result

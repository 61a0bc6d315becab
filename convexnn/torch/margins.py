"""The follower as a function on tensors: the worst expected loss of margins that may move."""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.driver.solve import solve
from convexnn.functions.curves import MarginLoss
from convexnn.problems.wasserstein.margins import WorstCaseMargins
from convexnn.torch.tensors import like, read, torch

ACCURACY = 1e-10  # certified relative gap


def follower(
    margins: Any,
    radius: float,
    loss: MarginLoss = "logistic",
    window: tuple[float, float] | None = None,
) -> Any:
    """Return ``max E_Q l(z)`` over Q with ``W_1(Q, (1/n) sum_i delta_{m_i}) <= radius``.

    The follower of `cx.stackelberg`, which moves a leader's margins, as a loss to train on. Its
    gradient is what the worst distribution found says (Danskin).

    Parameters
    ----------
    margins : torch.Tensor of shape (..., n)
        Floats; leading dimensions count sets. Computed in float64 on the CPU, whatever they are.
    radius : float
        Of the ball, >= 0, in the units of the margins.
    loss : "logistic", "hinge", PiecewiseLinear or (value, derivative), default "logistic"
        Of NumPy arrays, as in `cx.WorstCaseMargins`.
    window : (float, float), optional
        Where margins may go; holds all of them. None is the whole line.

    Returns
    -------
    torch.Tensor of shape (...)
        Differentiable once by the margins.

    Raises
    ------
    ImportError
        If PyTorch is not installed; the message names the extra, ``torch``.
    ProblemError
        If an argument breaks its rule.

    Notes
    -----
    Where the loss has a kink, or the budget ends just where one margin is moved and the next is
    not, there is no derivative: this is one of the limits of those nearby. At an end of the window
    it is that of a margin that moves inwards.

    Examples
    --------
    >>> import torch
    >>> margins = torch.tensor([0.0, 1.5], requires_grad=True)
    >>> value = follower(margins, 0.5, "hinge", window=(-2.0, 2.0))
    >>> value.backward()
    >>> value.detach(), margins.grad
    (tensor(1.), tensor([-0.5000,  0.0000]))
    """
    rows = read("margins", margins, ("n",))
    values, gradients = np.empty(len(rows)), np.empty_like(rows)
    for k, row in enumerate(rows):
        problem = WorstCaseMargins(row, radius=radius, loss=loss, window=window)
        worst = solve(problem, tol=ACCURACY).raise_for_status().model
        values[k], gradients[k] = worst.value, worst.gradient
    return _Worst.apply(margins, values, gradients)


class _Worst(torch.autograd.Function):  # type: ignore[misc]  # torch comes at run time
    """Values already found, with their gradients."""

    @staticmethod
    def forward(ctx: Any, margins: Any, values: Array, gradients: Array) -> Any:
        ctx.save_for_backward(like(margins, gradients, tuple(margins.shape)))
        return like(margins, values, tuple(margins.shape[:-1]))

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Any) -> Any:
        (gradients,) = ctx.saved_tensors
        return grad[..., None] * gradients, None, None

"""Adversarial training as everybody does it: projected gradient attacks inside Adam, in torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import convexnn as cx

RATE = 0.05
PUSHES = 10  # of each attack


def train(
    X: Any, side: Any, *, radius: float, beta: float, width: int, steps: int, seed: int
) -> cx.TwoLayerNetwork:
    """Minimise hinge loss on attacked examples plus ``beta/2`` of all squared weights, full batch.

    Parameters
    ----------
    X : array of shape (n, d)
    side : array of shape (n,)
        -1 or 1.
    radius : float
        Of the linf ball.
    beta : float
    width, steps, seed : int
    """
    g = torch.Generator().manual_seed(seed)
    x, side = torch.tensor(X, dtype=torch.float64), torch.tensor(side, dtype=torch.float64)

    def draw(*shape: int) -> Any:
        return torch.randn(*shape, generator=g, dtype=torch.float64) / np.sqrt(shape[0])

    weights = [draw(x.shape[1], width), torch.zeros(width, dtype=torch.float64), draw(width)]
    for w in weights:
        w.requires_grad_()

    def margin(at: Any) -> Any:
        U, b, a = weights
        return side * (torch.relu(at @ U + b) @ a)

    adam = torch.optim.Adam(weights, lr=RATE)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for _ in range(steps):
        shift = radius * (2.0 * torch.rand(x.shape, generator=g, dtype=torch.float64) - 1.0)
        for _ in range(PUSHES):
            shift.requires_grad_()
            (uphill,) = torch.autograd.grad(margin(x + shift).sum(), shift)
            step = 2.5 * radius / PUSHES * uphill.sign()
            shift = (shift.detach() - step).clamp(-radius, radius)
        adam.zero_grad()
        decay = sum(w.square().sum() for w in weights)
        (torch.relu(1.0 - margin(x + shift)).sum() + 0.5 * beta * decay).backward()
        adam.step()
        fall.step()
    U, b, a = (w.detach().numpy() for w in weights)
    return cx.TwoLayerNetwork(U, a[:, None], b, classes=np.array([-1.0, 1.0]))

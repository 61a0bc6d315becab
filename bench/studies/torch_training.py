"""Networks trained against an adversary as the field does, by Adam in torch: PGD and CROWN-IBP.

Both minimise the hinge loss at a worst case plus ``beta/2`` of all squared weights, full batch,
the radius growing from 0 over the first half of the steps. PGD takes the worst point an attack
finds, CROWN-IBP the lower bound on the margin of linear relaxations within interval bounds on the
hidden layer (Zhang et al. 2020; of one hidden layer these intervals are exact).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import convexnn as cx

RATE = 0.01
STEPS = 1_000
PUSHES = 10  # of each attack


def train(
    X: Any, y: Any, kind: str, *, radius: float, beta: float, width: int, seed: int = 0
) -> cx.TwoLayerNetwork:
    """Return the network; examples are in [0, 1], which the adversary does not leave.

    Parameters
    ----------
    X : array of shape (n, d)
    y : array of shape (n,)
        Two labels.
    kind : {"PGD", "CROWN-IBP"}
    radius : float
        Of the linf balls.
    beta : float
    width, seed : int
    """
    classes = np.unique(y)
    g = torch.Generator().manual_seed(seed)
    x = torch.tensor(X, dtype=torch.float64)
    side = torch.tensor(np.where(y == classes[1], 1.0, -1.0))

    def draw(*shape: int) -> Any:
        return torch.randn(*shape, generator=g, dtype=torch.float64) / np.sqrt(shape[0])

    weights = [draw(x.shape[1], width), torch.zeros(width, dtype=torch.float64), draw(width)]
    shift = torch.zeros(1, dtype=torch.float64)
    for w in (*weights, shift):
        w.requires_grad_()

    def margin(at: Any) -> Any:
        U, b, a = weights
        return side * (torch.relu(at @ U + b) @ a + shift)

    def proved(low: Any, high: Any) -> Any:
        U, b, a = weights
        at, half = (low + high) / 2, (high - low) / 2
        middle, reach = at @ U + b, half @ U.abs()
        down, up = middle - reach, middle + reach
        cut = (down < 0) & (up > 0)
        safe = torch.where(cut, up - down, torch.ones_like(up))
        chord = torch.where(cut, up / safe, (down >= 0).double())
        held = torch.where(cut, (up > -down).double(), (down >= 0).double())
        pull = side[:, None] * a
        slope = torch.where(pull > 0, held, chord) * pull
        lifted = (torch.where(pull < 0, -chord * down * cut, torch.zeros_like(up)) * pull).sum(1)
        q = slope @ U.T
        return (q * at).sum(1) - (q.abs() * half).sum(1) + slope @ b + lifted + side * shift

    adam = torch.optim.Adam([*weights, shift], lr=RATE)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(adam, STEPS)
    for k in range(STEPS):
        now = radius * min(1.0, 2.0 * (k + 1) / STEPS)
        low, high = (x - now).clamp(min=0.0), (x + now).clamp(max=1.0)
        if kind == "PGD":
            with torch.no_grad():
                at = low + (high - low) * torch.rand(x.shape, generator=g, dtype=torch.float64)
            for _ in range(PUSHES):
                at.requires_grad_()
                (uphill,) = torch.autograd.grad(margin(at).sum(), at)
                at = (at.detach() - 2.5 * now / PUSHES * uphill.sign()).clamp(low, high)
            least = margin(at)
        else:
            least = proved(low, high)
        adam.zero_grad()
        decay = sum(w.square().sum() for w in weights)
        (torch.relu(1.0 - least).sum() + 0.5 * beta * decay).backward()
        adam.step()
        fall.step()
    U, b, a = (w.detach().numpy() for w in weights)
    constant = float(shift.detach())
    return cx.TwoLayerNetwork(U, a[:, None], b, skip_bias=constant, classes=classes)

"""Train a network as everybody does, or find a median, with torch's optimisers.

Networks: full batch, double precision, both layers' weights as they are, ``beta / 2`` of all
squares; Adam, whose rate falls by 3 when 200 steps gain less than 0.1 %, and ends after the eighth
fall. Robust ones are trained on examples that projected gradient ascent attacks anew each step.
Points are those that one run passes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from script import Deliver, Run, Task, Trail, options, serve, watched

PATIENCE, GAIN, FALL, FALLS = 200, 1e-3, 3.0, 8
PUSHES = 10  # of each attack
MOST = 1_000_000  # steps
INNER = 4  # iterations of L-BFGS a step
Problem = tuple[list[Any], Callable[[], Any], Callable[[Any], Task]]


def losses(name: str, z: Any, y: Any, delta: float) -> Any:
    """Return the loss of each prediction."""
    if name == "squared":
        return 0.5 * (z - y).square()
    if name == "huber":
        return torch.nn.functional.huber_loss(z, y, reduction="none", delta=delta)
    if name == "logistic":
        return torch.nn.functional.softplus(-y * z)
    return torch.relu(1.0 - y * z)


def network(task: Task, asked: argparse.Namespace) -> Problem:
    """Return a network's weights, its objective, and how it is read."""
    g = torch.Generator().manual_seed(asked.seed)
    X, y, beta = torch.tensor(task["X"]), torch.tensor(task["y"]), task["beta"]
    d, m, leak = X.shape[1], asked.width, task["leak"]
    scale = float(X.square().mean().sqrt()) or 1.0
    U = torch.randn(d, m, generator=g, dtype=torch.float64) / (np.sqrt(d) * scale)
    a = torch.randn(m, generator=g, dtype=torch.float64) / np.sqrt(m)
    s = torch.zeros(d, dtype=torch.float64)
    weights = [U, a, s] if task["skip"] else [U, a]
    for w in weights:
        w.requires_grad_()

    def output(at: Any) -> Any:
        return torch.nn.functional.leaky_relu(at @ U, leak) @ a + (at @ s if task["skip"] else 0.0)

    def loss(at: Any) -> Any:
        return losses(task["loss"], output(at), y, task["delta"])

    def attacked() -> Any:
        radius, ball, moved = task["radius"], task["norm"], torch.tensor(task["moved"])

        def inside(r: Any) -> Any:
            if ball == "linf":
                return r.clamp(-radius, radius)
            return r * (radius / r.norm(dim=1, keepdim=True).clamp_min(1e-300)).clamp_max(1.0)

        draw = torch.rand(X.shape, generator=g, dtype=torch.float64)
        shift = inside(radius * (2.0 * draw - 1.0) * moved)
        for _ in range(PUSHES):
            shift.requires_grad_()
            side = -y if task["loss"] != "squared" else (output(X + shift) - y).detach()
            (uphill,) = torch.autograd.grad((side * output(X + shift)).sum(), shift)
            uphill = uphill * moved
            if ball == "linf":
                uphill = uphill.sign()
            else:
                uphill = uphill / uphill.norm(dim=1, keepdim=True).clamp_min(1e-300)
            shift = inside(shift.detach() + 2.5 * radius / PUSHES * uphill)
        return X + shift

    robust = task["kind"] == "robust-network"

    def objective() -> Any:
        decay = U.square().sum() + a.square().sum()
        return loss(attacked() if robust else X).sum() + 0.5 * beta * decay

    def read(_: Any) -> Task:
        V, signs = (a.abs() * U).detach().numpy(), a.detach().numpy()
        return {"V": V[:, signs > 0.0], "W": V[:, signs < 0.0], "skip": s.detach().numpy()}

    return weights, objective, read


def median(task: Task, asked: argparse.Namespace) -> Problem:
    """Return a point, its sum of distances, and how it is read."""
    points, weights = torch.tensor(task["points"]), torch.tensor(task["weights"])
    x = (weights @ points / weights.sum()).requires_grad_()

    def objective() -> Any:
        return weights @ (x - points).norm(dim=1)

    return [x], objective, lambda _: {"point": x.detach().numpy()}


def prepare(task: Task, asked: argparse.Namespace) -> Run:
    """Set the problem up; step until the rate has fallen, nothing moves, or the time is over."""
    torch.set_num_threads(1)
    build = median if task["kind"] == "median" else network
    method = asked.method or ("lbfgs" if build is median else "adam")
    rate = asked.rate

    def optimiser_of(weights: list[Any]) -> Any:
        if method == "adam":
            return torch.optim.Adam(weights, lr=rate)
        return torch.optim.LBFGS(
            weights,
            max_iter=INNER,
            history_size=20,
            line_search_fn="strong_wolfe",
            tolerance_grad=1e-14,
            tolerance_change=0.0,
        )

    weights, objective, _ = build(task, asked)
    objective().backward()
    optimiser_of(weights).step(objective)  # first calls

    def run(deliver: Deliver) -> None:
        weights, objective, read = build(task, asked)
        trail = Trail(deliver, read, asked.limit)
        optimiser = optimiser_of(weights)
        plan = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimiser, factor=1.0 / FALL, patience=PATIENCE, threshold=GAIN
        )

        def closure() -> Any:
            optimiser.zero_grad()
            value = objective()
            value.backward()
            return value

        last = np.inf
        still = 0
        for _ in range(MOST):
            value = float(optimiser.step(closure))
            if trail.step(None):
                break
            if method == "adam":
                plan.step(value)
                if optimiser.param_groups[0]["lr"] < rate / FALL**FALLS:
                    break
            else:
                still = still + 1 if value >= last else 0
                last = min(last, value)
                if still > 5:
                    break
        trail.end(None)

    return watched(run)


if __name__ == "__main__":
    own = options(__doc__)
    own.add_argument("--method", choices=("adam", "lbfgs"), help="lbfgs for medians, else adam")
    own.add_argument("--rate", type=float, default=0.01, help="of Adam, at first")
    own.add_argument("--width", type=int, default=50, help="neurons of a network")
    own.add_argument("--seed", type=int, default=0, help="of a network's start")
    serve("torch", prepare, own.parse_args())

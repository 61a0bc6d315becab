"""Benchmark of projected gradient descent on two-layer classifiers against a plain torch loop.

``python bench/studies/attacks.py [--quick]`` prints one table and keeps it as a CSV in
bench/studies/results. The loop is what attack libraries for PyTorch do: every restart and every
step on all examples in one batch, with autograd, in float32; without torch its rows say so.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from harness import LONG, REPEATS, Table, cpu_seconds
from threadpoolctl import threadpool_limits

import convexnn as cx
from convexnn.contract.arrays import Array

STEPS = 50
RESTARTS = 10
COLUMNS = (
    *("n", "d", "m", "norm", "radius", "attack", "cpu_s", "clean", "attacked", "certified"),
    *("torch_times", "note"),
)


class Case(NamedTuple):
    """Examples, columns, neurons and the ball."""

    n: int
    d: int
    m: int
    norm: str
    radius: float


def instance(case: Case) -> tuple[cx.TwoLayerNetwork, Array, Array]:
    """Draw a network with Gaussian weights, and Gaussian examples that it labels, 5 % wrongly."""
    g = np.random.default_rng(0)
    U = g.standard_normal((case.d, case.m)) / np.sqrt(case.d)
    alpha, bias = g.standard_normal((case.m, 1)), 0.1 * g.standard_normal(case.m)
    network = cx.TwoLayerNetwork(U, alpha, bias, classes=np.array([-1.0, 1.0]))
    X = g.standard_normal((case.n, case.d))
    y = network.predict(X) * np.where(g.uniform(size=case.n) < 0.05, -1.0, 1.0)
    return network, X, y


def torch_attack(torch: Any, network: cx.TwoLayerNetwork, X: Array, y: Array, case: Case) -> Array:
    """Return the smallest margin of each example over all restarts and steps' ends."""
    model = network.to_torch().float().requires_grad_(False)
    x, side = torch.tensor(X, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
    step, best = 0.25 * case.radius, torch.full((len(X),), np.inf)
    for k in range(RESTARTS):
        torch.manual_seed(k)
        moved = (x + _start(torch, x, case)).detach()
        for _ in range(STEPS):
            moved.requires_grad_(True)
            loss = torch.nn.functional.softplus(-side * model(moved)[:, 0]).sum()
            (g,) = torch.autograd.grad(loss, moved)
            with torch.no_grad():
                if case.norm == "linf":
                    shift = moved + step * g.sign() - x
                    moved = x + shift.clamp(-case.radius, case.radius)
                else:
                    length = g.norm(dim=1, keepdim=True) + 1e-10
                    shift = moved + step * g / length - x
                    size = shift.norm(dim=1, keepdim=True).clamp(min=case.radius)
                    moved = x + shift * (case.radius / size)
        with torch.no_grad():
            best = torch.minimum(best, side * model(moved)[:, 0])
    result: Array = best.numpy().astype(np.float64)
    return result


def _start(torch: Any, x: Any, case: Case) -> Any:
    if case.norm == "linf":
        return torch.empty_like(x).uniform_(-case.radius, case.radius)
    away = torch.randn_like(x)
    reach = case.radius * torch.rand(len(x), 1) ** (1.0 / case.d)
    return away / away.norm(dim=1, keepdim=True) * reach


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return the answer and the median processor seconds, of one run where it is long."""
    runs = [cpu_seconds(work)]
    while len(runs) < REPEATS and runs[0][1] < LONG:
        runs.append(cpu_seconds(work))
    return runs[-1][0], statistics.median(seconds for _, seconds in runs)


def bench(quick: bool) -> Table:
    """Time both, and say what they leave of the accuracy."""
    table = Table("attacks", COLUMNS, quick, "robust")
    try:
        torch: Any = importlib.import_module("torch")
        torch.set_num_threads(1)
    except ImportError as error:
        torch, missing = None, str(error)
    n = 1_000 if quick else 10_000
    sizes = [(64, 50)] if quick else [(64, 50), (147, 50), (147, 200)]
    for d, m in sizes:
        for norm, radius in (("linf", 0.03), ("linf", 0.1), ("l2", 0.5)):
            case = Case(n, d, m, norm, radius)
            network, X, y = instance(case)
            asked: dict[str, Any] = {"radius": radius, "norm": norm}
            asked |= {"steps": STEPS, "restarts": RESTARTS}
            cx.attack(network, X[:20], y[:20], **asked)
            ours, seconds = timed(lambda: cx.attack(network, X, y, **asked))  # noqa: B023
            found = cx.robustness(network, X, y, **asked)
            times: float | str = ""
            if torch is None:
                table.add(**case._asdict(), attack="torch loop", note=f"skipped: {missing}")
            else:
                work = lambda: torch_attack(torch, network, X, y, case)  # noqa: B023, E731
                margins, other = timed(work)
                times = other / seconds
                kept = np.mean((margins > 0.0) & (y * network.decision_function(X) > 0.0))
                table.add(
                    **case._asdict(), attack="torch loop", cpu_s=other, attacked=f"{kept:.4f}"
                )
            table.add(
                **case._asdict(),
                attack="convexnn",
                cpu_s=seconds,
                clean=f"{found.clean:.4f}",
                attacked=f"{1.0 - ours.success.mean():.4f}",
                certified=f"{found.certified:.4f}",
                torch_times=times,
            )
    return table


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the smallest size only")
    asked = parser.parse_args()
    with threadpool_limits(limits=1):
        bench(asked.quick).show()


if __name__ == "__main__":
    main()

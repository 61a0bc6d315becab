"""Networks against Wasserstein balls, beside `wadiroscnn` 0.6 on its own kind of task.

``CONVEXNN_BENCH_WADIRO=/env/bin/python python bench/studies/wasserstein_network.py [--quick]``
prints a table and keeps it in bench/studies/results. The task is that of its authors: regression of
a function of two inputs, some of the training targets corrupted, judged by the mean absolute error
on clean examples; and, besides, on examples whose inputs are shifted by half a standard deviation.

All train with the absolute loss, a bias and a ball of order 1 in the norm l2. `wadiroscnn` bounds
the loss with the norm of all neurons' weights taken together, and lets targets move as well; ours
with the sum of the neurons' norms, which bounds how fast the network changes. `lower` is the
expected loss under a distribution in the ball that moves inputs alone, found for each network by
the same search: a value below it is no bound on the worst case.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from harness import Table, cpu_seconds

import convexnn as cx
from convexnn.contract.arrays import Array

NEURONS, NOISE, CORRUPTED, SHIFT = 40, 0.05, 0.1, 0.5
COLUMNS = (
    *("task", "radius", "method", "value", "lower", "upper", "gap", "cpu_s"),
    *("clean", "shifted", "note"),
)
TASKS: dict[str, Callable[[Array], Array]] = {
    "mccormick": lambda X: (
        np.sin(X[:, 0] + X[:, 1]) + (X[:, 0] - X[:, 1]) ** 2 - 1.5 * X[:, 0] + 2.5 * X[:, 1] + 1.0
    ),
    "ackley": lambda X: (
        20.0
        + np.e
        - 20.0 * np.exp(-0.2 * np.sqrt(0.5 * (X**2).sum(axis=1)))
        - np.exp(0.5 * np.cos(2.0 * np.pi * X).sum(axis=1))
    ),
}


class Data:
    """A task: training examples, clean ones, and clean ones of a shifted distribution."""

    def __init__(self, task: str, n: int) -> None:
        rng, f = np.random.default_rng(0), TASKS[task]
        X, clean = rng.uniform(-2.0, 2.0, (n, 2)), rng.uniform(-2.0, 2.0, (2000, 2))
        y = f(X)
        self.mean, self.spread = float(y.mean()), float(y.std())
        y = self.scaled(y) + NOISE * rng.standard_normal(n)
        wrong = rng.random(n) < CORRUPTED
        y[wrong] += 3.0 * rng.standard_normal(int(wrong.sum()))
        self.X, self.y = X / X.std(axis=0), y
        away = clean + SHIFT * X.std(axis=0)
        self.tests = [(part / X.std(axis=0), self.scaled(f(part))) for part in (clean, away)]

    def scaled(self, y: Array) -> Array:
        """Return targets in the units of training."""
        scaled: Array = (y - self.mean) / self.spread
        return scaled

    def errors(self, network: cx.TwoLayerNetwork) -> list[float]:
        """Return the mean absolute errors of a network on both tests."""
        return [float(np.mean(np.abs(network.predict(X) - y))) for X, y in self.tests]


def theirs(data: Data, radius: float, limit_s: float) -> tuple[cx.TwoLayerNetwork, float, float]:
    """Return the peer's network, its value and its processor seconds."""
    python = os.environ.get("CONVEXNN_BENCH_WADIRO", "")
    if not python:
        raise RuntimeError("set CONVEXNN_BENCH_WADIRO to an interpreter that has wadiroscnn")
    with tempfile.TemporaryDirectory() as folder:
        into, out = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(into, X=data.X, y=data.y, radius=radius, neurons=2 * NEURONS)
        script = Path(__file__).with_name("wadiro_run.py")
        subprocess.run([python, script, into, out], check=True, timeout=limit_s)
        found = dict(np.load(out))
    U = np.hstack([found["v"].T, found["w"].T])
    alpha = np.repeat([1.0, -1.0], len(found["v"]))[:, None]
    network = cx.TwoLayerNetwork(U[:-1], alpha, U[-1], skip_bias=float(found["offset"]))
    return network, float(found["value"]), float(found["seconds"])


def rows(task: str, n: int, radius: float, limit_s: float) -> Iterator[dict[str, Any]]:
    """Yield what each method makes of a task."""
    data = Data(task, n)
    over_all = cx.WassersteinReluTraining(data.X, data.y, radius=radius, bias=True)

    def judged(method: str, network: cx.TwoLayerNetwork, **cells: Any) -> dict[str, Any]:
        worst = over_all.worst_case(network)
        clean, shifted = data.errors(network)
        own = {"task": task, "radius": radius, "method": method, "clean": clean}
        return own | {"shifted": shifted, "lower": worst.lower, "upper": worst.upper} | cells

    try:
        network, value, seconds = theirs(data, radius, limit_s)
        yield judged("wadiroscnn", network, value=value, cpu_s=seconds)
    except (RuntimeError, subprocess.SubprocessError) as error:
        skipped = f"skipped: {error}"
        yield {"task": task, "radius": radius, "method": "wadiroscnn", "note": skipped}
    drawn = cx.sample_patterns(over_all.data, NEURONS)
    given = cx.WassersteinReluTraining(data.X, data.y, radius=radius, bias=True, patterns=drawn)
    for method, problem in ((f"ours, {NEURONS} patterns", given), ("ours, all patterns", over_all)):
        work = lambda problem=problem: cx.solve(problem, tol=1e-4, time_limit=limit_s)  # noqa: E731
        solution, seconds = cpu_seconds(work)
        yield judged(
            method,
            solution.model,
            value=solution.objective / n,
            gap=solution.gap,
            cpu_s=seconds,
        )


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the smallest size only")
    quick = parser.parse_args().quick
    table = Table("network", COLUMNS, quick, "wasserstein")
    n, tasks = (60, ["mccormick"]) if quick else (150, list(TASKS))
    for radius in (0.01,) if quick else (0.003, 0.03):
        for task in tasks:
            for row in rows(task, n, radius, 400.0):
                table.add(**row)
    table.show()


if __name__ == "__main__":
    main()

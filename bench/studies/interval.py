"""Measure how far the interval over all patterns closes, and how fast.

``python bench/studies/interval.py named [--seconds S]`` runs cell-walk on five instances and keeps
its bound along the way; ``grid`` on planted data of growing n and d; ``betas`` on three of the
instances at multiples of their beta; ``steps`` measures a step of the lifted relaxation and its
memory; ``figure`` draws docs/interval.png from what ``named`` kept.
Seconds are of the processor, on one thread. See bench/studies/README.md.
"""

from __future__ import annotations

import argparse
import csv
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from harness import HERE, NEURONS, Table
from threadpoolctl import threadpool_limits

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.relu.forms import NetworkForm
from convexnn.solvers.relu.lift import Lifting

DRAWN = ("planted 100 x 10", "planted 200 x 10", "diabetes, 100 rows")
OF_BETA = ("planted 100 x 10", "diabetes, 100 rows", "breast cancer")
SHARES = (0.1, 0.3, 1.0, 3.0)  # of an instance's beta


def planted(n: int, d: int) -> tuple[Array, Array]:
    """Return Gaussian data and the noisy targets of a network of ten neurons."""
    g = np.random.default_rng(0)
    X, teacher = g.standard_normal((n, d)), g.standard_normal((d, NEURONS))
    return X, np.maximum(X @ teacher, 0.0) @ g.standard_normal(NEURONS) + 0.1 * g.standard_normal(n)


def standardised(X: Array) -> Array:
    """Return columns of mean 0 and variance 1."""
    spread = X.std(axis=0)
    result: Array = (X - X.mean(axis=0)) / np.where(spread > 0.0, spread, 1.0)
    return result


def named(share: float = 1.0) -> Iterator[tuple[str, cx.ReluTraining]]:
    """Yield the instances with a name, at a multiple of their beta."""
    from sklearn.datasets import load_breast_cancer, load_diabetes

    for n, beta in ((100, 5.0), (200, 10.0)):
        yield f"planted {n} x 10", cx.ReluTraining(*planted(n, 10), beta=share * beta)
    X, y = load_diabetes(return_X_y=True)
    X, y = standardised(X), standardised(y)
    yield "diabetes, 100 rows", cx.ReluTraining(X[:100], y[:100], beta=share * 2.0)
    yield "diabetes", cx.ReluTraining(X, y, beta=share * 8.0)
    X, y = load_breast_cancer(return_X_y=True)
    options: dict[str, Any] = {"loss": "logistic", "bias": True}
    yield "breast cancer", cx.ReluTraining(standardised(X), y, beta=share, **options)


def closed(problem: cx.ReluTraining, seconds: float) -> list[tuple[float, float, float]]:
    """Return processor seconds, objective and bound along a run of so many seconds."""
    begin, seen = time.process_time(), []

    def look(step: Any) -> bool:
        seen.append((time.process_time() - begin, step.objective, step.bound))
        return bool(seen[-1][0] > seconds)

    cx.compile(problem, "cell-walk").run(time_limit=20.0 * seconds, callback=look)
    return seen


def run_named(seconds: float) -> None:
    """Keep the bound along the way."""
    table = Table("interval-named", ("instance", "cpu_s", "objective", "bound"), False)
    for name, problem in named():
        best = np.inf
        for at, objective, bound in closed(problem, seconds):
            best = min(best, objective)
            table.add(
                instance=name, cpu_s=f"{at:.2f}", objective=f"{best:.6g}", bound=f"{bound:.6g}"
            )
    table.show()


def run_grid(seconds: float) -> None:
    """Keep the gaps at the end, by n and d."""
    table = Table("interval-grid", ("n", "d", "beta", "cpu_s", "gap_without", "gap"), False)
    for n in (50, 100, 200):
        for d in (5, 10, 20):
            problem = cx.ReluTraining(*planted(n, d), beta=n / 20.0)
            seen = closed(problem, seconds)
            best = min(objective for _, objective, _ in seen)
            first = next(bound for at, _, bound in seen[::-1] if at <= 0.1 * seconds)
            last, scale = seen[-1], max(1.0, best)
            gaps = [(best - bound) / scale for bound in (first, last[2])]
            cells = {"n": n, "d": d, "beta": n / 20.0, "cpu_s": f"{last[0]:.1f}"}
            table.add(**cells, gap_without=gaps[0], gap=gaps[1])
    table.show()


def run_betas(seconds: float) -> None:
    """Keep the gaps at the end, by beta."""
    columns = ("instance", "beta", "cpu_s", "objective", "bound", "gap")
    table = Table("interval-betas", columns, False)
    for share in SHARES:
        for name, problem in named(share):
            if name not in OF_BETA:
                continue
            seen = closed(problem, seconds)
            best, bound = min(row[1] for row in seen), max(row[2] for row in seen)
            cells = {"instance": name, "beta": problem.beta, "cpu_s": f"{seen[-1][0]:.1f}"}
            cells |= {"objective": f"{best:.6g}", "bound": f"{bound:.6g}"}
            table.add(**cells, gap=(best - bound) / best)
    table.show()


def run_steps() -> None:
    """Keep what a step costs, by the number of lines in the data and of columns."""
    table = Table("interval-steps", ("lines", "d", "steps", "pairs", "step_s", "peak_mib"), False)
    sizes = ((10, 10, 40), (30, 10, 40), (100, 10, 40), (100, 40, 40), (300, 10, 20), (300, 40, 20))
    for n, d, steps in (*sizes, (1000, 10, 3)):
        X, y = planted(n, d)
        form = cx.ReluTraining(X, y, beta=n / 20.0).canonical(NetworkForm)
        lifting = Lifting(form, np.zeros(n), 0.5 * float(y @ y))
        begin = time.process_time()
        for _ in range(steps):
            lifting.step()
        took = (time.process_time() - begin) / steps
        pairs = sum(len(block.weight) for part in lifting.parts for block in part.blocks)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        table.add(lines=n, d=d, steps=steps, pairs=pairs, step_s=took, peak_mib=round(peak))
    table.show()


def figure() -> None:
    """Draw the interval of three instances as it closes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    file = sorted((HERE / "results").glob("relu-interval-named-*.csv"))[-1]
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    rows = list(csv.DictReader(lines))
    fig, axes = plt.subplots(1, len(DRAWN), figsize=(10.5, 3.2), layout="constrained")
    for ax, name in zip(axes, DRAWN, strict=True):
        own = [row for row in rows if row["instance"] == name]
        at = np.array([float(row["cpu_s"]) for row in own])
        best = np.array([float(row["objective"]) for row in own])
        bound = np.maximum.accumulate([float(row["bound"]) for row in own])
        ax.fill_between(at, bound, best, step="post", alpha=0.25, lw=0)
        ax.step(at, best, where="post", label="network")
        ax.step(at, bound, where="post", label="bound over all networks")
        gap = 100.0 * (best[-1] - bound[-1]) / max(1.0, best[-1])
        ax.set(title=f"{name}: {gap:.1f} %", xlabel="processor seconds", xscale="log")
        ax.set_ylim(0.0, 1.3 * best[-1])
    axes[0].set_ylabel("objective")
    axes[0].legend(loc="lower right", fontsize=8)
    fig.savefig(Path(cx.__file__).parents[1] / "docs" / "interval.png", dpi=150)


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("named", "grid", "betas", "steps", "figure"))
    parser.add_argument("--seconds", type=float, default=120.0)
    asked = parser.parse_args()
    with threadpool_limits(1):
        if asked.what == "named":
            run_named(asked.seconds)
        elif asked.what == "grid":
            run_grid(asked.seconds)
        elif asked.what == "betas":
            run_betas(asked.seconds)
        elif asked.what == "steps":
            run_steps()
        else:
            figure()


if __name__ == "__main__":
    main()

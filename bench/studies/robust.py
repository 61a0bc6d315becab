"""Benchmarks of robust training: against Clarabel, at size, and against adversarial training.

``python bench/studies/robust.py exact|large|rounds [--quick]`` prints one table and keeps it as a
CSV in bench/studies/results. See bench/studies/README.md for what each column means.
"""

from __future__ import annotations

import argparse
import importlib
import os
import resource
import sys
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from harness import Size, Table, cpu_seconds
from racing import CLARABEL, race, ready_for
from threadpoolctl import threadpool_limits

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.contract.backend import MemoryLimitError
from convexnn.relu.forms import Neurons
from convexnn.robust.forms import RobustForm

TARGET = 1e-3
NEURONS = 10  # of the teacher


class Case(NamedTuple):
    """A program, its loss and the ball."""

    formulation: str
    loss: str
    norm: str
    radius: float


CASES = [Case("majorant", loss, "linf", 0.1) for loss in ("hinge", "logistic", "squared")]
CASES += [Case("majorant", "hinge", "l2", 0.1)]
CASES += [Case("cones", loss, "linf", 0.005) for loss in ("hinge", "logistic", "squared")]


def teacher(n: int, d: int, loss: str) -> tuple[Array, Array]:
    """Draw Gaussian rows and a teacher network's targets; its labels part the rows in half."""
    g = np.random.default_rng(0)
    X, U = g.standard_normal((n, d)), g.standard_normal((d, NEURONS)) / np.sqrt(d)
    z = np.maximum(X @ U, 0.0) @ g.standard_normal(NEURONS) + 0.1 * g.standard_normal(n)
    return X, z if loss == "squared" else np.where(z > np.median(z), 1.0, -1.0)


def declare(size: Size, case: Case) -> cx.RobustReluTraining:
    """Return the program over random perturbed patterns."""
    X, y = teacher(size.n, size.d, case.loss)
    patterns = cx.sample_patterns(X, size.P, radius=case.radius, norm=case.norm)
    return cx.RobustReluTraining(X, y, beta=1.0, patterns=patterns, **case._asdict())


EXACT = (
    *("formulation", "loss", "norm", "radius", "n", "d", "patterns", "solver", "reached"),
    *("compile_s", "wall_s", "cpu_s", "certify_s", "inner_s", "steps", "objective", "gap"),
    *("clarabel_times", "runs"),
)


def bench_exact(quick: bool) -> Table:
    """Time both formulations to a certified gap, against Clarabel."""
    table = Table("exact", EXACT, quick, "robust")
    size = Size(100, 5, 20) if quick else Size(500, 20, 50)
    for case in CASES:
        cx.solve(declare(Size(40, 3, 5), case), "admm", tol=0.1)  # loads the kernels
        forms = {name: ready_for(partial(declare, size, case), name) for name in ("admm", CLARABEL)}
        runs = race({name: form for name, (form, _) in forms.items()}, TARGET)
        patterns = declare(size, case).canonical(RobustForm).added
        for name, run in runs.items():
            table.add(
                **case._asdict(),
                n=size.n,
                d=size.d,
                patterns=patterns,
                solver=name,
                reached=run.solution.status.name,
                compile_s=forms[name][1],
                wall_s=run.wall_s,
                cpu_s=run.cpu_s,
                certify_s=run.certify_s,
                inner_s=run.inner_s if name == CLARABEL else "",
                steps=run.solution.history[-1].iteration,
                objective=run.solution.objective,
                gap=run.solution.gap,
                clarabel_times=runs[CLARABEL].cpu_s / run.cpu_s,
                runs=run.runs,
            )
    return table


LARGE = ("n", "d", "patterns", "solver", "reached", "gap", "wall_s", "cpu_s", "peak_gb", "note")
LIMIT_GIB = "4"
LOOSE = 1e-2


def bench_large(quick: bool) -> Table:
    """Solve a majorant at the size of small images within 4 GiB, and ask Clarabel."""
    os.environ["CONVEXNN_MEMORY_GIB"] = LIMIT_GIB
    table = Table("large", LARGE, quick, "robust")
    size = Size(300, 30, 20) if quick else Size(2000, 147, 100)
    problem = declare(size, Case("majorant", "hinge", "linf", 0.04))
    for name in ("admm", CLARABEL):
        row: dict[str, Any] = {"n": size.n, "d": size.d, "patterns": size.P, "solver": name}
        try:
            ready = cx.compile(problem, name)
            solution, cpu_s = cpu_seconds(partial(ready.run, tol=LOOSE, time_limit=600.0))
        except MemoryLimitError as error:
            table.add(**row, reached="no", note=f"refused: {error}")
            continue
        table.add(
            **row,
            reached=solution.status.name,
            gap=solution.gap,
            wall_s=solution.timings["solve"],
            cpu_s=cpu_s,
            peak_gb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0**2,
        )
    return table


ROUNDS = (
    *("n", "radius", "method", "cpu_s", "certified", "attacked", "penalty", "clean_accuracy"),
    *("robust_accuracy", "certified_accuracy", "neurons", "note"),
)
MOONS = ((100, 0.1), (100, 0.2), (200, 0.2))
BETA = 0.05
GRID = 21  # points a side of each ball, its corners among them
STARTS, WIDTH, STEPS = 6, 50, 1_000  # of the peer
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def moons(n: int) -> tuple[Array, Array]:
    """Return two moons about their mean, labels -1 and 1."""
    X, y = importlib.import_module("sklearn.datasets").make_moons(n, noise=0.15, random_state=1)
    return X - X.mean(axis=0), 2.0 * y - 1.0


def bench_rounds(quick: bool) -> Table:
    """Compare programs over patterns, rounds over all, and adversarial training, on two moons."""
    sys.path.append(str(EXAMPLES))
    table = Table("rounds", ROUNDS, quick, "robust")
    for n, radius in MOONS[:1] if quick else MOONS:
        X, y = moons(n)
        data = np.hstack([X, np.ones((n, 1))])
        still = np.array([True, True, False])
        patterns = cx.sample_patterns(data, 40, radius=radius, columns=still)
        common: dict[str, Any] = {"beta": BETA, "radius": radius, "bias": True}
        whole = cx.RobustReluTraining(X, y, **common)
        ours = {
            "cones": cx.RobustReluTraining(X, y, patterns=patterns, formulation="cones", **common),
            "majorant": cx.RobustReluTraining(X, y, patterns=patterns, **common),
            "all patterns": whole,
        }
        for method, problem in ours.items():
            cx.solve(problem, max_iter=1)  # loads the kernels
            solution, cpu_s = cpu_seconds(partial(cx.solve, problem, tol=1e-3))
            note = f"{solution.backend}: {solution.status.name}"
            row = graded(whole, solution.model)
            row["certified"] = solution.objective
            table.add(n=n, radius=radius, method=method, cpu_s=cpu_s, note=note, **row)
        try:
            train = importlib.import_module("pgd_training").train
        except ImportError as error:
            table.add(n=n, radius=radius, method="PGD training", note=f"skipped: {error}")
            continue
        steps = 100 if quick else STEPS
        one = partial(train, X, y, radius=radius, beta=BETA, width=WIDTH, steps=steps)
        networks, cpu_s = cpu_seconds(partial(from_all_starts, one))
        rows = [graded(whole, network) for network in networks]
        for judged in ("attacked", "certified"):
            best = min(rows, key=lambda row: float(row[judged]))
            note = f"lowest {judged} of {STARTS}"
            table.add(n=n, radius=radius, method="PGD training", cpu_s=cpu_s, note=note, **best)
    return table


def from_all_starts(train: Any) -> list[cx.TwoLayerNetwork]:
    """Return the networks of all starts."""
    return [train(seed=seed) for seed in range(STARTS)]


def graded(problem: cx.RobustReluTraining, network: Any) -> dict[str, Any]:
    """Return objectives of a network, proven and at the worst of a grid, and its accuracies."""
    X, y, radius = problem.X, np.asarray(problem.y), problem.radius
    alpha = network.alpha[:, 0]
    merged = np.vstack([network.U, network.bias]) * np.abs(alpha) * problem.design.scale
    neurons = Neurons(merged[:, alpha > 0.0], merged[:, alpha < 0.0], np.zeros(len(merged)))
    penalty = problem.beta / problem.design.scale * np.linalg.norm(merged, axis=0).sum()
    line = np.linspace(-radius, radius, GRID)
    shifts = np.array(np.meshgrid(line, line)).reshape(2, -1).T
    margins = np.min([y * network.decision_function(X + u) for u in shifts], axis=0)
    found = cx.robustness(network, X, y, radius=radius, exact=True)
    return {
        "certified": problem.objective(neurons),
        "attacked": float(np.maximum(1.0 - margins, 0.0).sum() + penalty),
        "penalty": float(penalty),
        "clean_accuracy": found.clean,
        "robust_accuracy": float(np.mean(margins > 0.0)),
        "certified_accuracy": found.certified,
        "neurons": len(network),
    }


BENCHES = {"exact": bench_exact, "large": bench_large, "rounds": bench_rounds}


def main() -> None:
    """Run the benchmark that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bench", choices=tuple(BENCHES))
    parser.add_argument("--quick", action="store_true", help="the smallest sizes only")
    asked = parser.parse_args()
    with threadpool_limits(limits=1):
        BENCHES[asked.bench](asked.quick).show()


if __name__ == "__main__":
    main()

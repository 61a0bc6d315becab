"""``convexnn solve relu`` and ``convexnn compare relu``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import numpy as np
from typer import Option

from convexnn.commands import options
from convexnn.commands.report import alone, close, compare_all, show
from convexnn.datasets import Split, load_data
from convexnn.driver.solve import solve as run_one
from convexnn.problems.relu.two_layer import ReluTraining
from convexnn.workflows.local_patterns import local_patterns

Beta = Annotated[float, Option(help="weight of the penalty, > 0")]
Loss = Annotated[
    str, Option(help="squared, huber, logistic, hinge or softmax; by the target if left out")
]
Count = Annotated[int, Option(help="patterns taken from local search at most", min=1)]


def solve(
    data: options.Data = "breast_cancer",
    backend: options.Backend = "auto",
    beta: Beta = 1.0,
    loss: Loss = "",
    tol: options.Tol = 1e-4,
    time_limit: options.Limit = 60.0,
    seed: options.Seed = 0,
    save: options.Save = None,
    plot: options.Plot = None,
) -> None:
    """Train over all patterns: local search, then a convex solve; print the certificate."""
    split, declared = declare(data, beta, loss, seed)
    solution = run_one(declared, backend, tol=tol, time_limit=time_limit, seed=seed, progress=True)
    show(alone(solution, split))
    close(solution, split, save, plot)


def compare(
    data: options.Data = "breast_cancer",
    backends: options.Backends = "",
    beta: Beta = 1.0,
    loss: Loss = "",
    patterns: Count = 20,
    tol: options.Tol = 1e-4,
    time_limit: options.Limit = 60.0,
    seed: options.Seed = 0,
    save: options.Save = None,
    plot: options.Plot = Path("convergence.png"),
) -> None:
    """Solve over all patterns, then over some of local search with every backend; compare."""
    split, whole = declare(data, beta, loss, seed)
    over_all = [
        run_one(whole, name, tol=tol, time_limit=time_limit, seed=seed, progress=True)
        for name in ("lbfgs", "cell-walk")
    ]
    found = local_patterns(whole, seed=seed, limit=patterns)
    n, d = split.X.shape
    compare_all(
        f"{split.name}: {n} examples, {d} features, {len(found)} patterns of local search",
        dataclasses.replace(whole, patterns=found),
        split,
        backends,
        tol=tol,
        time_limit=time_limit,
        save=save,
        plot=plot,
        reference=over_all,
    )


def declare(data: str, beta: float, loss: str, seed: int) -> tuple[Split, ReluTraining]:
    """Load the data and declare training over all patterns.

    Of more than two classes the loss is "softmax"; "logistic" and "hinge" are one against the rest.
    """
    split = load_data(data, seed=seed, several=loss not in ("squared", "huber"))
    many = split.classification and len(np.unique(split.y)) > 2
    kind = loss or (("softmax" if many else "logistic") if split.classification else "squared")
    rest = "one-vs-rest" if many and kind != "softmax" else None
    return split, ReluTraining(split.X, split.y, beta=beta, loss=kind, bias=True, multiclass=rest)

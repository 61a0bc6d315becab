"""The command line: ``convexnn solve | compare | backends``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from convexnn.comparison import Comparison
from convexnn.comparison import compare as run_all
from convexnn.datasets import NAMES, Split, load_data
from convexnn.extras import need
from convexnn.problem import choice
from convexnn.problems.relu import ReluTraining
from convexnn.search import local_patterns
from convexnn.solution import Solution
from convexnn.solving import backends as list_backends
from convexnn.solving import solve as run_one

FAMILIES = ("relu",)

Family = Annotated[str, typer.Argument(help=f"problem family: {', '.join(FAMILIES)}")]
Data = Annotated[str, typer.Option(help=f"{', '.join(NAMES)}, or a .npz or .csv file")]
Beta = Annotated[float, typer.Option(help="weight of the penalty, > 0")]
Loss = Annotated[
    str, typer.Option(help="squared, logistic, hinge or huber; by the target if left out")
]
Count = Annotated[int, typer.Option(help="patterns taken from local search at most", min=1)]
Tol = Annotated[float, typer.Option(help="certified relative gap to reach")]
Limit = Annotated[float, typer.Option("--time-limit", help="seconds for each backend")]
Seed = Annotated[int, typer.Option(help="of the split and the local search", min=0)]
Save = Annotated[Path | None, typer.Option(help="write the solution to this .npz file")]
Plot = Annotated[Path | None, typer.Option(help="write the convergence figure to this file")]

app = typer.Typer(
    help="Declare a convex learning problem, solve it, get a certificate.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def solve(
    problem: Family,
    data: Data = "breast_cancer",
    backend: Annotated[str, typer.Option(help="a name from: convexnn backends")] = "auto",
    beta: Beta = 1.0,
    loss: Loss = "",
    tol: Tol = 1e-4,
    time_limit: Limit = 60.0,
    seed: Seed = 0,
    save: Save = None,
    plot: Plot = None,
) -> None:
    """Train over all patterns: local search, then a convex solve; print the certificate."""
    split, declared = declare(problem, data, beta, loss, seed)
    solution = run_one(declared, backend, tol=tol, time_limit=time_limit, seed=seed, progress=True)
    show([solution], [score(split)(solution.model)], split)
    print(f"{solution.status.value} {solution.message}".rstrip())
    if save is not None:
        solution.save(save)
        print(f"solution saved to {save}")
    if plot is not None:
        timing = (solution.timings["solve"],)
        draw(Comparison((solution,), timing, None, {}), plot, split)


@app.command()
def compare(
    problem: Family,
    data: Data = "breast_cancer",
    backends: Annotated[
        str, typer.Option(help="names, separated by commas; all capable ones if left out")
    ] = "",
    beta: Beta = 1.0,
    loss: Loss = "",
    patterns: Count = 20,
    tol: Tol = 1e-4,
    time_limit: Limit = 60.0,
    seed: Seed = 0,
    save: Save = None,
    plot: Plot = Path("convergence.png"),
) -> None:
    """Solve over all patterns, then over some of local search with every backend; compare."""
    split, whole = declare(problem, data, beta, loss, seed)
    over_all = [
        run_one(whole, name, tol=tol, time_limit=time_limit, seed=seed, progress=True)
        for name in ("lbfgs", "cell-walk")
    ]
    found = local_patterns(whole, seed=seed, limit=patterns)
    n, d = split.X.shape
    print(f"{split.name}: {n} examples, {d} features, {len(found)} patterns of local search")
    names = [name.strip() for name in backends.split(",") if name.strip()] or None
    result = run_all(
        dataclasses.replace(whole, patterns=found),
        names,
        tol=tol,
        time_limit=time_limit,
        progress=True,
        score=score(split),
        reference=over_all,
    )
    assert result.scores is not None
    show(result.solutions, result.scores, split)
    for name, reason in result.skipped.items():
        print(f"not run: {name}: {reason}")
    if save is not None:
        best = min(result.solutions, key=lambda s: s.objective)
        best.save(save)
        print(f"best solution, by {best.backend}, saved to {save}")
    if plot is not None:
        draw(result, plot, split)


@app.command()
def backends() -> None:
    """List the backends and what stands in their way."""
    print(list_backends())


def declare(
    problem: str, data: str, beta: float, loss: str, seed: int
) -> tuple[Split, ReluTraining]:
    """Load the data and declare training over all patterns."""
    choice("problem", problem, FAMILIES)
    split = load_data(data, seed=seed)
    kind = loss or ("logistic" if split.classification else "squared")
    return split, ReluTraining(split.X, split.y, beta=beta, loss=kind, bias=True)


def score(split: Split) -> Callable[[Any], float]:
    """Return the test score of a model: accuracy, or R^2 for real targets."""

    def grade(model: Any) -> float:
        output = model.predict(split.X_test)
        if model.classes is not None:
            return float(np.mean(output == split.y_test))
        target = np.asarray(split.y_test, dtype=np.float64)
        if split.classification:
            middle = 0.5 * (np.min(target) + np.max(target))
            return float(np.mean((output > middle) == (target > middle)))
        return 1.0 - float(np.sum((output - target) ** 2) / np.sum((target - target.mean()) ** 2))

    return grade


def show(solutions: Sequence[Solution], scores: Sequence[float], split: Split) -> None:
    """Print the table of solutions."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=170)
    table = Table(box=SIMPLE_HEAD)
    measure = "accuracy" if split.classification else "R^2"
    heads = ("backend", "status", "objective", "bound", "gap", "violation")
    for head in (*heads, "compile s", "solve s", "certify s", f"test {measure}", "bound covers"):
        numeric = head not in ("backend", "status", "bound covers")
        table.add_column(head, justify="right" if numeric else "left")
    for s, value in zip(solutions, scores, strict=True):
        table.add_row(
            "local search" if s.backend == "lbfgs" else s.backend,
            s.status.name,
            f"{s.objective:.6g}",
            f"{s.bound:.6g}",
            f"{s.gap:.1e}",
            f"{s.violation:.1e}",
            *(f"{s.timings[t]:.2f}" for t in ("compile", "solve", "certify")),
            f"{value:.3f}",
            s.certificate.covers,
        )
    console.print(table)


def draw(result: Comparison, path: Path, split: Split) -> None:
    """Save the convergence figure."""
    need("matplotlib", "plot").use("Agg")
    ax = result.plot()
    ax.set_title(f"{split.name}: certified gap against time")
    ax.figure.tight_layout()
    ax.figure.savefig(path, dpi=150)
    print(f"figure saved to {path}")

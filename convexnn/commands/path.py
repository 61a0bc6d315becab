"""``convexnn path DATA``: a network along beta, each point certified."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from rich.console import Console
from typer import Argument, Option

from convexnn.commands import options
from convexnn.commands.report import measured, save_figure, scorer, terminal
from convexnn.contract.checks import choice
from convexnn.contract.optional import need
from convexnn.datasets import NAMES, Split, load_data
from convexnn.driver.tables import fitting
from convexnn.problems.relu.gated import GatedReluTraining
from convexnn.problems.relu.two_layer import ReluTraining
from convexnn.workflows import path_result
from convexnn.workflows.path import path as run_path

KINDS = {"relu": ReluTraining, "gated": GatedReluTraining}
BRIEF = ("beta", "objective", "gap", "neurons")

Data = Annotated[str, Argument(help=f"{', '.join(NAMES)}, or a .npz or .csv file")]
Kind = Annotated[str, Option(help=f"of network: {' or '.join(KINDS)}")]
Loss = Annotated[str, Option(help="squared, huber, logistic or hinge; by the target if left out")]
Drawn = Annotated[int, Option(help="random patterns", min=1)]
Count = Annotated[int, Option(help="points", min=1)]
Ratio = Annotated[float, Option(help="of the last beta to the first, in (0, 1)")]
Folds = Annotated[int | None, Option(help="choose beta by so many held-out folds")]
Limit = Annotated[float, Option("--time-limit", help="seconds for the path with its folds")]
Seed = Annotated[int, Option(help="of the split and of the folds", min=0)]
Save = Annotated[Path | None, Option(help="write the chosen solution to this .npz file")]
Plot = Annotated[Path | None, Option(help="write the figure of the path to this file")]


def path(
    data: Data,
    kind: Kind = "relu",
    loss: Loss = "",
    patterns: Drawn = 50,
    count: Count = 20,
    ratio: Ratio = 1e-2,
    folds: Folds = None,
    backend: options.Backend = "auto",
    tol: options.Tol = 1e-4,
    time_limit: Limit = 60.0,
    seed: Seed = 0,
    save: Save = None,
    plot: Plot = None,
) -> None:
    """Train along beta, from where the network has no neurons; print the points, choose one."""
    build = KINDS[choice("kind", kind, tuple(KINDS))]
    split = load_data(data, seed=seed)
    by_target = "logistic" if split.classification else "squared"
    problem = build(
        split.X, split.y, beta=1.0, loss=loss or by_target, bias=True, patterns=patterns
    )
    found = run_path(
        problem,
        count=count,
        ratio=ratio,
        backend=backend,
        tol=tol,
        time_limit=time_limit,
        folds=folds,
        seed=seed,
    )
    n, d = split.X.shape
    print(f"{split.name}: {n} examples, {d} features, {patterns} random patterns")
    show(found, split)
    if len(found) == 0:
        return
    held = found.validation is not None and len(found.validation.losses) > 0
    chosen = found.simplest if held else found[-1]
    if held:
        print(
            f"least validation loss at beta {found.best.problem.beta:.4g}; within a standard error "
            f"of it up to beta {chosen.problem.beta:.4g}"
        )
    if save is not None:
        chosen.save(save)
        print(f"solution at beta {chosen.problem.beta:.4g} saved to {save}")
    if plot is not None:
        draw(found, split, plot)


def show(found: path_result.Path, split: Split, console: Console | None = None) -> None:
    """Print a line for each point, and what there is to say of the path."""
    grade, rows = scorer(split), []
    held = None if found.validation is None else found.validation.mean
    for k, (solution, counts) in enumerate(zip(found.solutions, found.counts, strict=True)):
        row = {
            "beta": f"{solution.problem.beta:.4g}",
            "status": solution.status.name,
            "objective": f"{solution.objective:.6g}",
            "gap": f"{solution.gap:.1e}",
            "neurons": str(len(solution.model)),
            "screened": f"{counts.dropped} of {counts.dropped + counts.kept}",
        }
        if held is not None:
            row["validation loss"] = f"{held[k]:.4g}" if k < len(held) else "-"
        rows.append({**row, measured(split): f"{grade(solution.model):.3f}"})
    if rows:
        out = terminal(console)
        out.print(fitting(rows, (*BRIEF, measured(split)), out, out.width))
    if found.message:
        print(found.message)


def draw(found: path_result.Path, split: Split, file: Path) -> None:
    """Save the figure of the path."""
    need("matplotlib", "plot").use("Agg")
    save_figure(found.plot(), f"{split.name}: neurons along beta", file)

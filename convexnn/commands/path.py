"""``convexnn path DATA``: a network along beta, each point certified."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from rich.console import Console
from typer import Option

from convexnn.commands import options
from convexnn.commands.relu import CLASSES, NUMBERS, Loss, losses
from convexnn.commands.report import Output, measured, remarked, save_figure, scorer, terminal
from convexnn.commands.source import Source
from convexnn.contract.checks import choice
from convexnn.contract.system.optional import need
from convexnn.datasets import Split, split_at_random
from convexnn.driver.tables import fitting
from convexnn.problems.relu.gated import GatedReluTraining
from convexnn.problems.relu.two_layer import ReluTraining
from convexnn.workflows import path_result
from convexnn.workflows.path import path as run_path

KINDS = {"relu": ReluTraining, "gated": GatedReluTraining}
BRIEF = ("beta", "objective", "gap", "neurons")

Kind = Annotated[str, Option(help=f"of network: {' or '.join(KINDS)}")]
Drawn = Annotated[int, Option(help="random patterns", min=1)]
Count = Annotated[int, Option(help="points", min=1)]
Ratio = Annotated[float, Option(help="of the last beta to the first, in (0, 1)")]
Folds = Annotated[int | None, Option(help="choose beta by so many held-out folds")]
Limit = Annotated[float, Option("--time-limit", help="seconds for the path with its folds")]
Seed = Annotated[int, Option(help="of the split and of the folds", min=0)]
Save = Annotated[Path | None, Option(help="write the chosen solution to this .npz file")]
Plot = Annotated[Path | None, Option(help="write the figure of the path to this file")]


def path(
    data: options.Table,
    kind: Kind = "relu",
    loss: Loss = "",
    bias: options.Bias = True,
    patterns: Drawn = 50,
    count: Count = 20,
    ratio: Ratio = 1e-2,
    folds: Folds = None,
    backend: options.Backend = "auto",
    tol: options.Tol = 1e-4,
    time_limit: Limit = 60.0,
    threads: options.Threads = 1,
    seed: Seed = 0,
    save: Save = None,
    plot: Plot = None,
    json: options.Json = False,
    **own: Any,
) -> None:
    """Train along beta, from where the network has no neurons; print the points, choose one."""
    out = Output(json, save=save, plot=plot)
    build = KINDS[choice("kind", kind, tuple(KINDS))]
    source = Source(data, options.reading(**own))
    table = source.target_for(loss, numbers=NUMBERS, classes=CLASSES, coded=True)
    split = split_at_random(table, seed=seed)
    chosen = losses(split, loss)
    problem = build(split.X, split.y, beta=1.0, bias=bias, patterns=patterns, **chosen)
    out.data(split)
    found = run_path(
        problem,
        count=count,
        ratio=ratio,
        backend=backend,
        tol=tol,
        time_limit=time_limit,
        folds=folds,
        seed=seed,
        threads=threads,
    )
    n, d = split.X.shape
    kept = 0 if problem.matrix is None else problem.matrix.shape[1]
    said = f"{split.name}: {n} examples, {d} features, {kept} random patterns"
    out.title(remarked(said, problem))
    rows = points(found, split)
    out.object |= {"points": rows, "message": found.message}
    if not json:
        show(rows, found.message, split)
    if rows:
        held = found.validation is not None and found.validation.losses.size > 0
        best = found.simplest if held else found[-1]
        beta = best.problem.beta
        out.object["beta"] = beta
        if held:
            out.say(
                f"least validation loss at beta {found.best.problem.beta:.4g}; within a standard "
                f"error of it up to beta {beta:.4g}"
            )
        out.save(best, split, f"solution at beta {beta:.4g}")
        out.draw(draw, found, split)
    out.close()


def points(found: path_result.Path, split: Split) -> list[dict[str, Any]]:
    """Return the figures of each point."""
    grade, rows = scorer(split), []
    held = None if found.validation is None else found.validation.mean
    for k, (solution, counts) in enumerate(zip(found.solutions, found.counts, strict=True)):
        row = {
            "beta": solution.problem.beta,
            "status": solution.status.name,
            "objective": solution.objective,
            "bound": solution.bound,
            "gap": solution.gap,
            "neurons": len(solution.model),
            "dropped": counts.dropped,
            "kept": counts.kept,
        }
        if held is not None:
            seen = k < len(held) and np.isfinite(held[k])
            row["validation loss"] = held[k] if seen else None
        rows.append({**row, "score": grade(solution.model)})
    return rows


def show(
    rows: list[dict[str, Any]], message: str, split: Split, console: Console | None = None
) -> None:
    """Print a line for each point, and what there is to say of the path."""
    lines = [as_line(row, measured(split)) for row in rows]
    if lines:
        out = terminal(console)
        for part in fitting(lines, (*BRIEF, measured(split)), out.width, least=len(BRIEF)):
            out.print(part)
    if message:
        print(message)


def as_line(row: dict[str, Any], measure: str) -> dict[str, str]:
    """Return the cells of a point's line by their headings."""
    line = {
        "beta": f"{row['beta']:.4g}",
        "status": row["status"],
        "objective": f"{row['objective']:.6g}",
        "gap": f"{row['gap']:.1e}",
        "neurons": str(row["neurons"]),
        "screened": f"{row['dropped']} of {row['dropped'] + row['kept']}",
    }
    if "validation loss" in row:
        loss = row["validation loss"]
        line["validation loss"] = "-" if loss is None else f"{loss:.4g}"
    return {**line, measure: f"{row['score']:.3f}"}


def draw(found: path_result.Path, split: Split, file: Path) -> None:
    """Save the figure of the path."""
    need("matplotlib", "plot").use("Agg")
    save_figure(found.plot(), f"{split.name}: neurons along beta", file)

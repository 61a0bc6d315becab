"""What the commands print and draw: tables that fit the terminal, figures, test scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from convexnn.comparison import Comparison
from convexnn.datasets import Split
from convexnn.extras import need
from convexnn.solution import Solution

WIDE = 170  # columns of output that goes to a file or a pipe
TEXT = ("backend", "status", "bound covers")
TALK = ("rounds", "messages")  # of agents on a graph
BRIEF = ("backend", "status", "objective", "gap", "solve s")  # and the score, if any


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


def show(
    solutions: Sequence[Solution],
    scores: Sequence[float] | None,
    split: Split,
    console: Console | None = None,
) -> None:
    """Print the table of solutions, with as many of its columns as the terminal has room for.

    Models that are no predictors have no scores.

    Where even the brief table has no room, or a single solution has no room for all of its
    figures in one row, they are printed one a line.
    """
    console = console or Console()
    if not console.is_terminal:
        console = Console(file=console.file, width=WIDE)
    values: Sequence[float | None] = scores or [None] * len(solutions)
    rows = [figures(s, value, split) for s, value in zip(solutions, values, strict=True)]
    layouts = [across(rows, list(rows[0]))]
    if len(rows) > 1:
        layouts.append(across(rows, [*BRIEF, *([measured(split)] if scores else [])]))
    layouts.append(down(rows))
    room = console.options.update(max_width=10 * WIDE)  # a measure is clipped to its options
    fitting = (t for t in layouts if console.measure(t, options=room).minimum <= console.width)
    console.print(next(fitting, layouts[-1]))


def measured(split: Split) -> str:
    """Return the heading of the score."""
    return f"test {'accuracy' if split.classification else 'R^2'}"


def figures(s: Solution, value: float | None, split: Split) -> dict[str, str]:
    """Return what the table says of a solution, by heading."""
    return {
        "backend": "local search" if s.backend == "lbfgs" else s.backend,
        "status": s.status.name,
        "objective": f"{s.objective:.6g}",
        "bound": f"{s.bound:.6g}",
        "gap": f"{s.gap:.1e}",
        "violation": f"{s.violation:.1e}",
        **{f"{t} s": f"{s.timings[t]:.2f}" for t in ("compile", "solve", "certify")},
        **{name: str(getattr(s.model, name)) for name in TALK if hasattr(s.model, name)},
        **({} if value is None else {measured(split): f"{value:.3f}"}),
        "bound covers": s.certificate.covers,
    }


def across(rows: Sequence[dict[str, str]], heads: Sequence[str]) -> Table:
    """Return a table with a row for each solution, no cell of which may be folded."""
    table = Table(box=SIMPLE_HEAD)
    for head in heads:
        table.add_column(head, justify="left" if head in TEXT else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(row[head] for head in heads))
    return table


def down(rows: Sequence[dict[str, str]]) -> Table:
    """Return a table with a line for each figure, solution after solution."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for i, row in enumerate(rows):
        if i:
            table.add_row("")
        for head, text in row.items():
            table.add_row(head, text)
    return table


def draw(result: Comparison, path: Path, split: Split) -> None:
    """Save the convergence figure."""
    need("matplotlib", "plot").use("Agg")
    ax = result.plot()
    ax.set_title(f"{split.name}: certified gap against time")
    ax.figure.tight_layout()
    ax.figure.savefig(path, dpi=150)
    print(f"figure saved to {path}")


def close(solution: Solution, split: Split, save: Path | None, plot: Path | None) -> None:
    """Say how a solve ended, write what was asked for."""
    print(f"{solution.status.value} {solution.message}".rstrip())
    if save is not None:
        solution.save(save)
        print(f"solution saved to {save}")
    if plot is not None:
        draw(Comparison((solution,), (solution.timings["solve"],), None, {}), plot, split)


def close_all(result: Comparison, split: Split, save: Path | None, plot: Path | None) -> None:
    """Print the table of a comparison and who did not run, write what was asked for."""
    show(result.solutions, result.scores, split)
    for name, reason in result.skipped.items():
        print(f"not run: {name}: {reason}")
    if save is not None:
        best = leader(result)
        best.save(save)
        print(f"best solution, by {best.backend}, saved to {save}")
    if plot is not None:
        draw(result, plot, split)


def leader(result: Comparison) -> Solution:
    """Return the solution of the lowest objective."""
    return min(result.solutions, key=lambda s: s.objective)

"""What the commands print and draw: tables that fit the terminal, figures, test scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from convexnn.commands import options
from convexnn.contract.optional import need
from convexnn.contract.processes import rank
from convexnn.datasets import Split
from convexnn.driver.compare import Comparison
from convexnn.driver.compare import compare as run_all
from convexnn.driver.solution import Solution

WIDE = 170  # columns of output that goes to a file or a pipe


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


def show(result: Comparison, console: Console | None = None) -> None:
    """Print the table, with as many of its columns as the terminal has room for."""
    terminal(console).print(result)


def terminal(console: Console | None = None) -> Console:
    """Return a console as wide as the terminal, a wide one where the output goes elsewhere."""
    console = console or Console()
    return console if console.is_terminal else Console(file=console.file, width=WIDE)


def alone(solution: Solution, split: Split, *, scored: bool = True) -> Comparison:
    """Return the table of a single solution; models that are no predictors have no scores."""
    scores = (score(split)(solution.model),) if scored else None
    return Comparison(((solution,),), scores=scores, measure=measured(split))


def measured(split: Split) -> str:
    """Return the heading of the score."""
    return f"test {'accuracy' if split.classification else 'R^2'}"


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
        draw(alone(solution, split, scored=False), plot, split)


def compare_all(
    title: str,
    declared: Any,
    split: Split,
    backends: str,
    *,
    tol: float,
    time_limit: float,
    save: Path | None,
    plot: Path | None,
    scored: bool = True,
    reference: Sequence[Solution] = (),
) -> Solution | None:
    """Run the backends, print their table, write what was asked for; return the best solution.

    Of many processes only the first speaks; the others return None.
    """
    speaks = not rank()
    if speaks:
        print(title)
    result = run_all(
        declared,
        options.listed(backends),
        tol=tol,
        time_limit=time_limit,
        progress=speaks,
        score=score(split) if scored else None,
        measure=measured(split),
        reference=reference,
    )
    if not speaks:
        return None
    best = leader(result)
    show(result)
    if save is not None:
        best.save(save)
        print(f"best solution, by {best.backend}, saved to {save}")
    if plot is not None:
        draw(result, plot, split)
    return best


def leader(result: Comparison) -> Solution:
    """Return the solution of the lowest objective."""
    return min(result.solutions, key=lambda s: s.objective)

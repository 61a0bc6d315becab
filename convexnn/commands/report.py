"""What the commands print and draw: tables that fit the terminal, figures, test scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from convexnn.contract.optional import need
from convexnn.datasets import Split
from convexnn.driver.compare import Comparison
from convexnn.driver.solution import Solution

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDE = 170  # columns of output that goes to a file or a pipe


def scorer(split: Split) -> Callable[[Any], float]:
    """Return what grades a model by its test score: accuracy, or R^2 for real targets."""

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
    scores = (scorer(split)(solution.model),) if scored else None
    return Comparison(((solution,),), scores=scores, measure=measured(split))


def measured(split: Split) -> str:
    """Return the heading of the score."""
    return f"test {'accuracy' if split.classification else 'R^2'}"


def convergence(result: Solution | Comparison, split: Split, path: Path) -> None:
    """Save the figure of the gap against time."""
    if isinstance(result, Solution):
        result = alone(result, split, scored=False)
    need("matplotlib", "plot").use("Agg")
    save_figure(result.plot(), f"{split.name}: certified gap against time", path)


def save_figure(ax: Axes, title: str, path: Path) -> None:
    """Save the figure that these axes alone are."""
    figure: Any = ax.figure
    ax.set_title(title)
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    print(f"figure saved to {path}")

"""What the commands print and draw: tables that fit the terminal, figures, test scores."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from typer import Exit

from convexnn.contract.checks import choice
from convexnn.contract.preparation import Unscaled
from convexnn.contract.problem import Remarks
from convexnn.contract.system.files import writable
from convexnn.contract.system.optional import need
from convexnn.contract.system.processes import rank
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
            middle = 0.5 * (np.min(split.y) + np.max(split.y))
            return float(np.mean((output > middle) == (target > middle)))
        spread = float(np.sum((target - target.mean()) ** 2))
        return 1.0 - float(np.sum((output - target) ** 2)) / spread if spread else np.nan

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
    """Save the figure of the interval of a solution, or of several how good and how well proved."""
    need("matplotlib", "plot").use("Agg")
    if isinstance(result, Solution):
        save_figure(result.plot(), f"{split.name}: {result.backend}, {result.status.name}", path)
        return
    pair = need("matplotlib.pyplot", "plot").subplots(1, 2, figsize=(12, 4.8))[1]
    result.plot(pair[0], kind="excess").set_title("how good the answers are")
    result.plot(pair[1]).set_title("how well they are proved")
    pair[0].get_legend().remove()
    figure = pair[0].figure
    figure.suptitle(split.name)
    figure.tight_layout()
    figure.savefig(path, dpi=150)


def remarked(line: str, problem: Remarks) -> str:
    """Return a line, and behind it what a problem has to say of the answer that it admits."""
    return ". ".join(filter(None, [line, problem.remark()]))


def drawable(path: Path) -> None:
    """Raise an error if a figure surely cannot be written to a path.

    Raises
    ------
    OSError, ImportError, ProblemError
        If the path cannot be written, matplotlib is missing, or has no format of that ending.
    """
    writable(path)
    known = need("matplotlib.backend_bases", "plot").FigureCanvasBase.get_supported_filetypes()
    if path.suffix:
        choice("the ending of the figure's file", path.suffix.lower().removeprefix("."), [*known])


def save_figure(ax: Axes, title: str, path: Path) -> None:
    """Save the figure that these axes alone are."""
    figure: Any = ax.figure
    ax.set_title(title)
    figure.tight_layout()
    figure.savefig(path, dpi=150)


class Output:
    """What a command says: lines and tables, or one object in JSON.

    Of many processes only the first speaks.

    Parameters
    ----------
    as_json : bool
    save, plot : Path, optional
        Where a solution and a figure go to.

    Raises
    ------
    OSError, ImportError, ProblemError
        If they cannot go there, as far as that is known before the work.
    """

    def __init__(
        self, as_json: bool, *, save: Path | None = None, plot: Path | None = None
    ) -> None:
        self.as_json, self.where, self.figure = as_json, save, plot
        if save is not None:
            writable(save)
        if plot is not None:
            drawable(plot)
        self.astray = False  # a file lies elsewhere than where it was asked for
        self.speaks = not rank()
        self.object: dict[str, Any] = {}

    def say(self, *lines: str) -> None:
        """Print lines, unless it is to be JSON."""
        if self.speaks and not self.as_json:
            for line in lines:
                print(line)

    def data(self, split: Split) -> None:
        """Say which rows, columns and target are used, and what was left out."""
        if split.table is None:
            return
        parts = {"train": len(split.X), "test": len(split.X_test)}
        self.object["data"] = split.table.summary | parts
        tested = f"; {parts['train']} to train, {parts['test']} to test" if parts["test"] else ""
        first, *rest = str(split.table).splitlines()
        self.say(first + tested, *rest)

    def title(self, line: str) -> None:
        """Say what is compared."""
        self.object["title"] = line
        self.say(line)

    def solution(self, table: Comparison, remarks: list[str]) -> None:
        """Show the row of a single solution, then what there is to say of it."""
        solution = table.solutions[0]
        row = table.frame.to_dict("records")[0]
        self.object |= {str(head): value for head, value in row.items()}
        self.object |= {"message": solution.message, "remarks": remarks}
        if self.as_json:
            return
        show(table)
        self.say(*remarks, f"{solution.status.value} {solution.message}".rstrip())

    def comparison(self, table: Comparison, remarks: list[str]) -> None:
        """Show the rows of all backends, then what there is to say of the best."""
        self.object["solutions"] = table.frame.to_dict("records")
        self.object |= {"skipped": table.skipped or {}, "agree": table.agree(table.tol)}
        self.object["remarks"] = remarks
        if self.as_json:
            return
        show(table)
        self.say(*remarks)

    def save(self, solution: Solution, split: Split, what: str = "solution") -> None:
        """Write a solution to a file, its model for raw data, if there is a path."""
        if self.where is None:
            return
        done = split.preparation if isinstance(solution.model, Unscaled) else None
        path = self.put(solution.for_raw_data(done).save, self.where)
        if path is None:
            return
        self.object["saved"] = str(path)
        self.say(f"{what} saved to {path}")
        if done is not None:
            self.say("its model takes raw columns; problem and radius are in standardised ones")
        elif split.preparation is not None:
            self.say("it is in the columns of the problem, which are standardised")

    def draw(self, figure: Callable[..., None], result: Any, split: Split) -> None:
        """Write a figure to a file, if there is a path."""
        if self.figure is None:
            return
        path = self.put(lambda path: figure(result, split, path), self.figure)
        if path is not None:
            self.object["figure"] = str(path)
            self.say(f"figure saved to {path}")

    def put(self, write: Callable[[Path], None], path: Path) -> Path | None:
        """Write a file; where that fails, another of its name in a folder for such; return which.

        What fails is said on the error stream, for what was printed so far stands.
        """
        places = (path, Path(tempfile.gettempdir()) / f"convexnn-{os.getpid()}-{path.name}")
        for place in places:
            try:
                write(place)
            except OSError as error:
                self.astray = True
                print(f"error: cannot write {place}: {error}", file=sys.stderr)
            else:
                return place
        return None

    def close(self) -> None:
        """Print the object, if it is to be JSON; exit with 1 if a file went astray."""
        if self.speaks and self.as_json:
            print(json.dumps(finite(self.object), default=str, allow_nan=False, indent=2))
        if self.astray:
            raise Exit(1)


def finite(value: Any) -> Any:
    """Return a value of plain types, with None for numbers that JSON does not have.

    Examples
    --------
    >>> finite({"gap": float("inf"), "rounds": [np.int64(3)]})
    {'gap': None, 'rounds': [3]}
    """
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    plain = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(plain, float) and not np.isfinite(plain) else plain

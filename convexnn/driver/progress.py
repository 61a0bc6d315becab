"""A live line while engines run: the clock, which backend, and its latest certified step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from convexnn.contract.certificate import Step
from convexnn.contract.system.compiling import on_compiling
from convexnn.contract.system.optional import need
from convexnn.driver.monitor import Callback

BESIDE = 11  # columns of the spinner and the clock
COMPILING = "compiling, once"


class Line:
    """What the line says beside the clock.

    Parameters
    ----------
    console : rich.console.Console
    bar : rich.progress.Progress
    """

    def __init__(self, console: Any, bar: Any) -> None:
        self.console, self.bar = console, bar
        self.task = bar.add_task("", total=None)
        self.place = self.name = ""
        self.say("starting")

    def turn(self, k: int, count: int, name: str) -> None:
        """Say which of several backends has its turn, counted from 1."""
        self.place, self.name = f"{k} of {count}", name
        self.say("starting")
        self.bar.refresh()

    def follow(self, name: str, callback: Callback | None = None) -> Callback:
        """Return the callback that draws the steps of a backend, and calls another."""
        self.name = name

        def draw(step: Step) -> bool:
            self.say(*told(step))
            return bool(callback(step)) if callback is not None else False

        return draw

    def say(self, *parts: str) -> None:
        """Show as many parts as there is room for, the first of all."""
        room = self.console.width - BESIDE
        self.bar.update(self.task, description=fitted([self.place, self.name], parts, room))

    def done(self, row: str) -> None:
        """Leave a row above the line, in a terminal."""
        if self.console.is_terminal:
            self.console.print(row, markup=False, highlight=False, soft_wrap=True)


def told(step: Step) -> list[str]:
    """Return what a step says, what matters most first."""
    return [
        f"gap {step.gap:.1e}",
        f"objective {step.objective:.6g}",
        f"bound {step.bound:.6g}",
        f"iteration {step.iteration}",
    ]


def fitted(heads: list[str], parts: tuple[str, ...], room: int) -> str:
    """Return heads and as many parts behind them as have room, none of them cut.

    Examples
    --------
    >>> fitted(["3 of 8", "admm"], ("gap 1.0e-03", "objective 12.5"), 30)
    '3 of 8  admm  gap 1.0e-03'
    """
    text = "  ".join(head for head in heads if head)
    for part in parts:
        longer = f"{text}  {part}" if text else part
        if len(longer) > room:
            break
        text = longer
    return text


@contextmanager
def live(console: Any = None) -> Iterator[Line]:
    """Show a line until the end of the block, on stderr if no console is given (extra: cli).

    Where kernels are compiled meanwhile, which takes a while when they are first met, it says so.
    """
    progress: Any = need("rich.progress", "cli")
    column: Any = need("rich.table", "cli").Column
    if console is None:
        console = need("rich.console", "cli").Console(stderr=True)
    columns = (
        progress.SpinnerColumn(table_column=column(no_wrap=True)),
        progress.TimeElapsedColumn(table_column=column(no_wrap=True)),
        progress.TextColumn("{task.description}", markup=False, table_column=column(no_wrap=True)),
    )
    shown = {"console": console, "transient": True, "disable": not console.is_terminal}
    with progress.Progress(*columns, **shown) as bar:
        line = Line(console, bar)

        def compiling() -> None:
            line.say(COMPILING)
            bar.refresh()  # what compiles leaves little time to others

        with on_compiling(compiling):
            yield line

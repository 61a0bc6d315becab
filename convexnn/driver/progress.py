"""A live line while an engine runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from convexnn.contract.certificate import Step
from convexnn.contract.optional import need
from convexnn.driver.monitor import Callback


@contextmanager
def live(backend: str, callback: Callback | None) -> Iterator[Callback]:
    """Show the latest certified step; yields the callback that draws it (extra: cli)."""
    progress: Any = need("rich.progress", "cli")
    console: Any = need("rich.console", "cli").Console(stderr=True)
    columns = (
        progress.SpinnerColumn(),
        progress.TextColumn(f"{backend:<15}"),
        progress.TimeElapsedColumn(),
        progress.TextColumn("{task.description}"),
    )
    with progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def draw(step: Step) -> bool:
            bar.update(
                task,
                description=f"iteration {step.iteration}  objective {step.objective:.6g}  "
                f"bound {step.bound:.6g}  gap {step.gap:.1e}",
            )
            return bool(callback(step)) if callback is not None else False

        yield draw

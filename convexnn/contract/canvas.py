"""Where plots are drawn: the caller's axes of matplotlib, or new ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convexnn.contract.checks import ProblemError, shown
from convexnn.contract.system.optional import need

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def canvas(ax: Axes | None, width: float, height: float) -> Any:
    """Return the given axes, or those of a new figure of this size in inches.

    Raises
    ------
    ProblemError
        If `ax` cannot be drawn on.
    ImportError
        If matplotlib is needed and not installed.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> mine = SimpleNamespace(plot=print, set=print)
    >>> canvas(mine, 6.0, 4.0) is mine
    True
    """
    if ax is None:
        return need("matplotlib.pyplot", "plot").subplots(figsize=(width, height))[1]
    if isinstance(ax, type) or not (hasattr(ax, "plot") and hasattr(ax, "set")):
        raise ProblemError(f"ax must be axes of matplotlib, got {shown(ax)}")
    return ax

"""Options that the families share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from convexnn.datasets import NAMES

Data = Annotated[str, Option(help=f"{', '.join(NAMES)}, or a .npz or .csv file")]
Backend = Annotated[str, Option(help="a name from: convexnn backends")]
Backends = Annotated[str, Option(help="names, separated by commas; all capable ones if left out")]
Tol = Annotated[float, Option(help="certified relative gap to reach")]
MaxIter = Annotated[int | None, Option("--max-iter", help="iterations at most", min=1)]
Limit = Annotated[float, Option("--time-limit", help="seconds for each backend")]
Seed = Annotated[int, Option(help="of the split and of the engine", min=0)]
Save = Annotated[Path | None, Option(help="write the solution to this .npz file")]
Plot = Annotated[Path | None, Option(help="write the convergence figure to this file")]


def listed(names: str) -> list[str] | None:
    """Return the names in a text separated by commas, None if there is none.

    Examples
    --------
    >>> listed("admm, fista")
    ['admm', 'fista']
    """
    return [name.strip() for name in names.split(",") if name.strip()] or None

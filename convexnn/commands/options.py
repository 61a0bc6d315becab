"""Options that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from convexnn.datasets import NAMES, Reading

FILES = "a file: .csv and other text, .arff, .parquet, .npz, .npy"

Data = Annotated[str, Option(help=f"{', '.join(NAMES)}, or {FILES}")]
Table = Annotated[str, Argument(help=f"{', '.join(NAMES)}, or {FILES}", metavar="DATA")]
Backend = Annotated[str, Option(help="a name from: convexnn backends")]
Backends = Annotated[str, Option(help="names, separated by commas; all capable ones if left out")]
Bias = Annotated[bool, Option("--bias/--no-bias", help="a constant beside the features")]
Tol = Annotated[float, Option(help="certified relative gap to reach")]
MaxIter = Annotated[int | None, Option("--max-iter", help="iterations at most", min=1)]
Limit = Annotated[float, Option("--time-limit", help="seconds for each backend")]
Threads = Annotated[int, Option(help="that an engine may use", min=1)]
Seed = Annotated[int, Option(help="of the split and of the engine", min=0)]
Save = Annotated[Path | None, Option(help="write the solution to this .npz file")]
Plot = Annotated[Path | None, Option(help="write the convergence figure to this file")]
Json = Annotated[bool, Option("--json", help="print one object in JSON and nothing else")]

Target = Annotated[
    str | None,
    Option(
        help="column to predict, its name or index: 0 the first, -1 the last; the last if left out"
    ),
]
Task = Annotated[
    str | None, Option(help="classification or regression; by the values of the target if left out")
]
Features = Annotated[str, Option(help="columns to use, separated by commas; all if left out")]
Drop = Annotated[str, Option(help="columns to leave out, separated by commas")]
Classes = Annotated[str, Option(help="classes to keep, separated by commas; all if left out")]
DropMissing = Annotated[bool, Option("--drop-missing", help="leave out rows that miss a value")]
Encode = Annotated[bool, Option("--encode", help="columns of 0 and 1 of the values of a text")]
Separator = Annotated[
    str | None, Option(help="between columns: , ; | tab, space or other; found out if left out")
]
Header = Annotated[
    bool | None,
    Option("--header/--no-header", help="whether the first line has names; found out if left out"),
]
Decimal = Annotated[str | None, Option(help="mark: . or a comma; found out if left out")]
Missing = Annotated[
    str | None,
    Option(help="spellings of a missing value, separated by commas; the usual if left out"),
]


def reading(
    *,
    target: Target = None,
    task: Task = None,
    features: Features = "",
    drop: Drop = "",
    classes: Classes = "",
    drop_missing: DropMissing = False,
    encode: Encode = False,
    separator: Separator = None,
    header: Header = None,
    decimal: Decimal = None,
    missing: Missing = None,
) -> Reading:
    """Return what is said of the data; its parameters are options of each command that reads."""
    return Reading(
        target=target,
        task=task,
        features=tuple(listed(features) or ()),
        drop=tuple(listed(drop) or ()),
        classes=tuple(listed(classes) or ()),
        drop_missing=drop_missing,
        encode=encode,
        separator=separator,
        header=header,
        decimal=decimal,
        missing=None if missing is None else tuple(listed(missing) or ()),
    )


def listed(names: str) -> list[str] | None:
    """Return the names in a text separated by commas, None if there is none.

    Examples
    --------
    >>> listed("admm, fista")
    ['admm', 'fista']
    """
    return [name.strip() for name in names.split(",") if name.strip()] or None

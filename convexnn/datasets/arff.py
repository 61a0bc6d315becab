"""ARFF files: attributes above, delimited text below."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from convexnn.contract.checks import ProblemError
from convexnn.contract.system.optional import need
from convexnn.datasets import cells
from convexnn.datasets.raw import Raw
from convexnn.datasets.reading import Reading
from convexnn.datasets.text import decoded, unique
from convexnn.datasets.words import counted, shown

ATTRIBUTE = r"@attribute\s+('(?:[^'\\]|\\.)*'|\"[^\"]*\"|\S+)\s+(.+)"


def read_arff(path: Path, reading: Reading) -> Raw:
    """Return the table of an ARFF file; nominal attributes are categories.

    Raises
    ------
    ProblemError
        If the file has no attributes or rows, is sparse, or a row has another length.
    """
    pd = need("pandas", "data")
    text, notes = decoded(path)
    names: list[str] = []
    kinds: list[str] = []
    rows: list[list[str]] = []
    data = False
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if not bare or bare.startswith("%"):
            continue
        if data and bare.startswith("{"):
            raise ProblemError(f"{path}, line {number}: a sparse row; save the table dense")
        if data:
            rows.append(fields(path, number, bare, len(names)))
        elif found := re.match(ATTRIBUTE, bare, re.IGNORECASE):
            names.append(unquoted(found[1]))
            kinds.append(found[2].strip().lower())
        data = data or bare.lower().startswith("@data")
    if not names or not rows:
        raise ProblemError(f"{path} must have lines @attribute, and rows below @data")
    texts = pd.DataFrame(rows, columns=unique(names, notes), dtype="string")
    frame, more, spelled = cells.typed(texts, reading, ",", ("?",))
    for name, kind in zip(frame.columns, kinds, strict=True):
        if kind.startswith("{"):
            frame[name] = frame[name].astype("category")
        elif kind.startswith("date"):
            frame[name] = pd.to_datetime(texts[name], errors="coerce")
    return Raw(frame, None, (*notes, *more), spelled)


def fields(path: Path, number: int, line: str, width: int) -> list[str]:
    """Return the fields of a row, in quotes of either kind or in none."""
    quote = "'" if "'" in line and '"' not in line else '"'
    found = next(csv.reader([line], quotechar=quote, escapechar="\\", skipinitialspace=True))
    if len(found) != width:
        raise ProblemError(
            f"{path}, line {number}: {counted(len(found), 'field')} for "
            f"{counted(width, 'attribute')}: {shown(line)}"
        )
    return found


def unquoted(name: str) -> str:
    """Return a name without the quotes around it.

    Examples
    --------
    >>> unquoted("'sepal length'"), unquoted("class")
    ('sepal length', 'class')
    """
    return re.sub(r"\\(.)", r"\1", name[1:-1]) if name[0] in "'\"" else name

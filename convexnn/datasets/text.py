"""Delimited text: its separator, header and comments are found, its fields counted."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

import numpy as np

from convexnn.contract.checks import ProblemError
from convexnn.contract.system.optional import need
from convexnn.contract.words import few, quoted
from convexnn.datasets import cells
from convexnn.datasets.raw import Raw
from convexnn.datasets.reading import Reading
from convexnn.datasets.words import counted, rows, shown

PACKED: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
SEPARATORS = ("\t", ";", "|", ",")  # the first that fits: commas are marks in numbers as well
SPACE = r"\s+"
SEVERAL = r"\s*[\d.+-]+(\s+[\d.+-]+)+\s*"  # numbers with spaces between
SPELLED = {"tab": "\t", r"\t": "\t", "space": SPACE, " ": SPACE, "comma": ",", "semicolon": ";"}
UNIT = "\x1f"  # in the place of separators of several characters
SAMPLE = 200  # lines by which separator and header are found
COMMENTS = ("#", "%")
FIRST = "header: the first line"
ABOVE = "header: the comment above the rows"
NONE = "no header: columns are named 0, 1, ..."
NAMELESS = r"|Unnamed: \d+"  # pandas writes the second where an index had no name


class Lines(NamedTuple):
    """The lines that are not blank and no comments, where they stand, and what is above them.

    That is the last comment, and the separator in a line ``sep=;`` as Excel writes it.
    """

    kept: list[str]
    numbers: list[int]
    above: str
    separator: str | None = None


class Widths(NamedTuple):
    """How many fields a row has; whether the last is always blank, the header one too short."""

    fields: int
    trailing: bool
    short: bool


def read_text(path: Path, reading: Reading) -> Raw:
    """Return the table of a file of delimited text.

    Raises
    ------
    ProblemError
        If it holds no table; the message names the line, or what may be said to read it.
    """
    text, notes = decoded(path)
    lines = split_lines(text)
    if not lines.kept:
        raise ProblemError(f"{path} is empty")
    given = reading.separator or lines.separator
    if given is not None and len(given) > 1 and given not in SPELLED:
        lines = lines._replace(kept=[line.replace(given, UNIT) for line in lines.kept])
        given = UNIT
    separator = separator_of(lines.kept, given)
    width = widths(path, lines, separator)
    frame = tokens(lines.kept, separator, width.fields)
    above = next(parsed([lines.above], separator), []) if lines.above else []
    names, header = header_of(path, frame, above, width, reading.header)
    notes.append(header)
    if header == FIRST:
        frame = frame.iloc[1:].reset_index(drop=True)
    if width.trailing:
        frame, names = frame.iloc[:, :-1], names[: width.fields - 1]
    if not len(frame):
        raise ProblemError(f"{path} has no row below its header {quoted(names)}")
    found = cells.typed(frame.set_axis(unique(names, notes), axis=1), reading, separator)
    table, blank = found.frame, found.frame.isna().all(axis=1)
    if blank.any() and table.shape[1] > 1:
        notes.append(f"left out {rows(table.index[blank])}: blank")
        table = table[~blank]
    table = without_index(table, names, notes)
    return Raw(table, None, (*notes, *found.notes), found.spelled)


def decoded(path: Path) -> tuple[str, list[str]]:
    """Return the text of a file, unpacked, and how it was decoded if not as UTF-8."""
    if path.suffix.lower() == ".zip":
        with ZipFile(path) as pack:
            inside = [name for name in pack.namelist() if not name.endswith("/")]
            if len(inside) != 1:
                raise ProblemError(f"{path} must hold one file, got {few(inside)}: unpack it")
            raw = pack.read(inside[0])
    else:
        with PACKED.get(path.suffix.lower(), open)(path, "rb") as file:
            raw = bytes(file.read())
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16"), []
    if b"\0" in raw:
        raise ProblemError(f"{path} is no text")
    try:
        return raw.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace"), ["decoded as Windows-1252: it is not UTF-8"]


def split_lines(text: str) -> Lines:
    r"""Return the lines; a comment is a whole line outside quotes that begins with # or %.

    Examples
    --------
    >>> split_lines("% made by hand\n# a,b\n1,2\n\n3,4\n")
    Lines(kept=['1,2', '3,4'], numbers=[3, 5], above='a,b', separator=None)
    """
    kept: list[str] = []
    numbers: list[int] = []
    above, inside, separator = "", False, None
    for number, line in enumerate(re.split("\r\n|\n|\r", text), 1):
        if number == 1 and (found := re.fullmatch('"?sep=(.)"?', line.strip())):
            separator = found[1]
        elif not inside and line.lstrip().startswith(COMMENTS):
            above = above if kept else line.lstrip()[1:].strip()
        elif line.strip():
            kept.append(line)
            numbers.append(number)
            inside ^= line.count('"') % 2 == 1
    return Lines(kept, numbers, above, separator)


def separator_of(lines: list[str], given: str | None) -> str:
    """Return what separates columns: what is given, or what gives most lines as many fields.

    Examples
    --------
    >>> separator_of(["a;b", "1,5;2"], None), separator_of(["a,b", "1,2"], None)
    (';', ',')
    >>> separator_of(["1 2", "3   4"], None) == SPACE
    True
    """
    if given is not None:
        return SPELLED.get(given, given)
    short = ""
    for separator in (*SEPARATORS, SPACE):
        sample = list(parsed(lines[:SAMPLE], separator))
        if separator == "\t" and any(re.fullmatch(SEVERAL, cell) for cell in sample[-1]):
            continue  # a tab among columns that spaces separate
        counts = [len(fields) for fields in sample]
        width, often = Counter(counts).most_common(1)[0]
        if width > 1 and often >= 0.8 * len(counts) and counts[0] == width:
            return separator
        if width > 2 and often >= 0.8 * len(counts) and counts[0] == width - 1:
            short = short or separator  # a header without a name for the index
    return short or ","


def parsed(lines: list[str], separator: str) -> Iterator[list[str]]:
    """Return the fields of each row."""
    if separator == SPACE:
        return csv.reader((" ".join(line.split()) for line in lines), delimiter=" ")
    return csv.reader(lines, delimiter=separator, skipinitialspace=True)


def widths(path: Path, lines: Lines, separator: str) -> Widths:
    """Return how many fields the rows have, or raise `ProblemError` where they differ."""
    reader: Any = parsed(lines.kept, separator)
    counts, ends, last = [], [], 0
    try:
        for fields in reader:
            counts.append(len(fields))
            ends.append((lines.numbers[last], bool(fields[-1].strip())))
            last = reader.line_num
    except csv.Error as error:
        raise ProblemError(
            f"{path} cannot be read after line {lines.numbers[last - 1]}: {error}"
        ) from None
    below = counts[1:] or counts
    width = Counter(below).most_common(1)[0][0]
    odd = [i for i, count in enumerate(counts) if count != width and i]
    if odd or counts[0] not in (width, width - 1):
        i = odd[0] if odd else 0
        others = f", as {len(odd) - 1} more do" if len(odd) > 1 else ""
        raise ProblemError(
            f"{path}, line {ends[i][0]}: {counted(counts[i], 'field')} where most lines have "
            f"{width}{others}: {shown(lines.kept[lines.numbers.index(ends[i][0])])}; correct it, "
            "or say --separator"
        )
    blank = width > 1 and not any(filled for _, filled in ends[1:] or ends)
    short = counts[0] == width - 1
    return Widths(width, blank and (short or not ends[0][1]), short and not blank)


def tokens(lines: list[str], separator: str, width: int) -> Any:
    """Return the fields as a frame of text."""
    return need("pandas", "data").read_csv(
        io.StringIO("\n".join(lines)),
        sep=separator,
        header=None,
        names=range(width),
        index_col=False,
        dtype=str,
        na_filter=False,
        skipinitialspace=True,
        skip_blank_lines=False,
    )


def header_of(
    path: Path, frame: Any, above: list[str], width: Widths, given: bool | None
) -> tuple[list[str], str]:
    """Return the columns' names, and where they were found."""
    first = [str(cell).strip() for cell in frame.iloc[0]]
    if width.short and given is not False:
        return ["", *first[:-1]], FIRST
    found = is_header(frame) if given is None else given
    if found is None:
        raise ProblemError(
            f"the first line of {path} may be a header or a row, {few(first)}: say --header or "
            "--no-header"
        )
    if found:
        return first, FIRST
    if given is None and len(above) == width.fields:
        return [name.strip() for name in above], ABOVE
    return [str(k) for k in range(width.fields)], NONE


def is_header(frame: Any) -> bool | None:
    """Tell whether the first row of a frame of text names columns; None if it may or may not.

    It does if it holds a word above a column of numbers, or if it counts the columns; among columns
    of text alone, if its words are all different and none of them is in its column again. Whole
    numbers above numbers beside a word that is not in its column again may be either.

    Examples
    --------
    >>> import pandas as pd
    >>> tables = [["age", "30"], ["31", "30"], ["red", "blue", "red"], ["colour", "blue", "red"]]
    >>> [is_header(pd.DataFrame({0: column})) for column in tables]
    [True, False, False, True]
    """
    first = frame.iloc[0].astype("string").str.strip()
    above = numeric(first).to_numpy()
    if len(frame) == 1:
        return not above.any()
    known = ~first.isin(cells.MISSING).to_numpy()
    numbers = np.array([is_numbers(frame[k].iloc[1:SAMPLE]) for k in frame])
    if (numbers & known & ~above).any():
        return True
    below = {k: cells.trimmed(frame[k].iloc[1:])[0].dropna() for k in first.index[~above]}
    new = {k for k, column in below.items() if first[k] not in set(column)}
    if not (numbers & above).any():
        return bool(first.is_unique and len(new) == len(first))
    counts = first[above].tolist()
    if len(counts) > 2 and counts in [[str(k + i) for k in range(len(counts))] for i in (0, 1)]:
        return True
    odd = any(below[k].nunique() <= len(below[k]) / 2 for k in new & set(first.index[known]))
    return None if odd and first[above].str.fullmatch(r"\d+").all() else False


def is_numbers(column: Any) -> bool:
    """Tell whether a column of text holds numbers wherever it holds something."""
    if cells.as_numbers(column).notna().all():
        return True
    known = cells.trimmed(column)[0].dropna()
    return len(known) > 0 and bool(numeric(known).all())


def numeric(column: Any) -> Any:
    """Tell of each cell whether it is a number, whichever its decimal mark."""
    return cells.as_numbers(column, ".").notna() | cells.as_numbers(column, ",").notna()


def unique(names: list[str], notes: list[str]) -> list[str]:
    """Return names with a number behind those that stand twice, and "unnamed" where there is none.

    Examples
    --------
    >>> unique(["a", "a", ""], [])
    ['a', 'a.1', 'unnamed 2']
    """
    found: list[str] = []
    for k, name in enumerate(names):
        plain, again = name or f"unnamed {k}", 0
        name = plain
        while name in found:
            again += 1
            name = f"{plain}.{again}"
        if again:
            notes.append(f"a second column {plain!r} is called {name!r}")
        found.append(name)
    return found


def without_index(frame: Any, names: list[str], notes: list[str]) -> Any:
    """Return the columns without a first one that only tells rows apart: it has no name."""
    first = frame.iloc[:, 0]
    if not re.fullmatch(NAMELESS, names[0]) or frame.shape[1] == 1 or not first.is_unique:
        return frame
    if first.dtype == "Float64":
        return frame
    notes.append("left out the first column: it has no name and differs in each row")
    return frame.iloc[:, 1:]

"""A table as a problem takes it: rows and columns chosen, X and y, and what was left out."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.checks import ProblemError
from convexnn.contract.words import few, quoted
from convexnn.datasets.columns import Columns, columns_of, different
from convexnn.datasets.files import read
from convexnn.datasets.reading import Reading
from convexnn.datasets.targets import Target, only, read_target
from convexnn.datasets.words import counted, rows

UNIQUE = 20  # rows from which on a column that counts them is noticed


@dataclass(frozen=True)
class Table:
    """Examples and targets, as numbers and labels.

    Attributes
    ----------
    name : str
    frame : DataFrame
        The columns chosen, of the rows used; its index counts the rows of the data from 0.
    column : Series or None
        The target as it was read; None where there is none.
    columns : Columns
        How the columns become X.
    target : Target or None
    X : array of shape (n, d)
    y : array of shape (n,) or None
        Labels, or numbers.
    notes : tuple of str
        What was found, left out and why.
    """

    name: str
    frame: Any
    column: Any
    columns: Columns
    target: Target | None
    X: Array
    y: Any
    notes: tuple[str, ...]

    def __str__(self) -> str:
        n, d = self.X.shape
        lines = [f"{self.name}: {counted(n, 'row')}, {counted(d, 'column')}"]
        names = self.columns.of_X
        if names != tuple(str(k) for k in range(d)):
            lines.append(f"columns: {few(names)}")
        lines += [] if self.target is None else [str(self.target)]
        return "\n".join([*lines, *self.notes])

    @property
    def summary(self) -> dict[str, Any]:
        """Return what is used and what was left out, in plain types."""
        said = {"name": self.name, "rows": len(self.X), "columns": list(self.columns.of_X)}
        return (
            said | ({} if self.target is None else self.target.summary) | {"notes": [*self.notes]}
        )

    def numbers(self, because: str) -> Table:
        """Return the table with its target taken for numbers, and say because of what.

        Raises
        ------
        ProblemError
            If the target has none.
        """
        target, y = read_target(self.column, "regression", because)
        return replace(self, target=target, y=y)

    def of_classes(self, names: tuple[str, ...]) -> Table:
        """Return the rows of some classes, named by their labels as text.

        Raises
        ------
        ProblemError
            If the target has no classes, or not these.
        """
        if self.target is None or self.target.classes is None:
            raise ProblemError(
                f"--classes goes with classes, but {self.target or 'there is no target'}: say "
                "--task classification if its numbers are classes"
            )
        kept = only(self.target.name, self.y, names)
        target, y = read_target(self.column[kept], "classification", self.target.why)
        rest = [str(label) for label in self.target.classes if str(label) not in names]
        of = "class" if len(rest) == 1 else "classes"
        note = f"left out {counted(int((~kept).sum()), 'row')} of the {of} {few(rest)}"
        return replace(
            self,
            frame=self.frame[kept],
            column=self.column[kept],
            target=target,
            X=self.X[kept],
            y=y,
            notes=(*self.notes, note) if rest else self.notes,
        )

    def pair(self, what: str) -> Table:
        """Return the table, or raise `ProblemError` if it has more than two classes."""
        if self.target is None or self.target.classes is None or len(self.target.classes) == 2:
            return self
        first = ",".join(str(label) for label in self.target.classes[:2])
        raise ProblemError(
            f"{what} tells two classes apart, but {self.target}: keep two of them, for example "
            f"--classes {first}"
        )


def load_table(source: str, reading: Reading | None = None, *, supervised: bool = True) -> Table:
    """Read data and choose from them what a user asked for.

    Parameters
    ----------
    source : str
        One of `convexnn.datasets.NAMES` (extra: data), or the path of a file.
    reading : Reading, optional
    supervised : bool, default True
        Whether there has to be a target. If not, all columns are examples unless a target is
        named, and constant ones are kept.

    Returns
    -------
    Table

    Raises
    ------
    ProblemError
        If the data cannot be read, lack what was asked for, miss values, or hold what is no number.
    """
    reading = Reading() if reading is None else reading
    name, raw = read(source, reading)
    frame, notes = raw.frame, list(raw.notes)
    target, column = target_of(raw.frame, raw.target, reading.target, supervised)
    if column is not None and raw.target is not None and reading.target is not None:
        notes.append(f"left out the target {raw.target.name!r} that the data name")
    chosen = features_of(frame, target, reading)
    notes += left_out(frame, chosen, target, reading)
    frame = frame[chosen]
    empty = [name for name in frame if frame[name].isna().all()]
    if empty:
        notes.append(f"left out {quoted(empty)}: no values")
        frame = frame.drop(columns=empty)
    if not frame.shape[1]:
        raise ProblemError(nothing_left(source, target, raw.frame))
    frame, column, dropped = complete(frame, column, raw.spelled, reading.drop_missing)
    notes += dropped
    if supervised:
        constant = [name for name in frame if len(different(frame[name])) == 1]
        if constant and len(constant) < frame.shape[1]:
            notes.append(f"left out {quoted(constant)}: constant")
            frame = frame.drop(columns=constant)
    notes += counters(frame)
    columns = columns_of(frame, encode=reading.encode)
    notes += [f"encoded {name!r}: {few(values)}" for name, values in columns.values.items()]
    X = columns(frame)
    found, y = None, None
    if column is not None:
        found, y = read_target(column, reading.task)
    table = Table(name, frame, column, columns, found, X, y, tuple(notes))
    return table.of_classes(reading.classes) if reading.classes else table


def find(frame: Any, word: str, option: str) -> str:
    """Return the column of a name or, if none has it, of an index."""
    if word in frame:
        return word
    names = [str(name) for name in frame]
    try:
        return names[int(word)]
    except (ValueError, IndexError):
        close = difflib.get_close_matches(word, names, 1)
        hint = f"; is it {close[0]!r}?" if close else ""
        raise ProblemError(
            f"{option} {word!r} is neither a column nor an index of one: the columns are "
            f"{quoted(names)}{hint}"
        ) from None


def target_of(
    frame: Any, apart: Any, asked: str | None, supervised: bool
) -> tuple[str | None, Any]:
    """Return the target's column, and its name if it is one of the frame's."""
    if asked is not None:
        name = find(frame, asked, "--target")
        return name, frame[name]
    if not supervised:
        return None, None
    if apart is not None:
        return None, apart
    name = str(frame.columns[-1])
    return name, frame[name]


def features_of(frame: Any, target: str | None, reading: Reading) -> list[str]:
    """Return the names of the columns to use, in the order that was asked for."""
    asked = [find(frame, word, "--features") for word in reading.features]
    if target in asked:
        raise ProblemError(f"--features must not name the target {target!r}")
    out = [find(frame, word, "--drop") for word in reading.drop]
    if target in out:
        raise ProblemError(f"--drop must not name the target {target!r}: say --target first")
    names = dict.fromkeys(asked or [str(name) for name in frame if name != target])
    return [name for name in names if name not in out]


def left_out(frame: Any, chosen: list[str], target: str | None, reading: Reading) -> list[str]:
    """Return a note of the columns that were not chosen."""
    rest = [name for name in frame if name not in chosen and name != target]
    option = "--features" if reading.features else "--drop"
    return [f"left out {quoted(rest)} by {option}"] if rest else []


def nothing_left(source: str, target: str | None, frame: Any) -> str:
    """Return what to say of a table without a column to learn from."""
    first = frame.iloc[0].tolist()
    return (
        f"{source} has no column left to learn from beside the target {target!r}: the columns are "
        f"{quoted(frame.columns)} and row 1 is {few(first)}; --separator says what separates them"
    )


def complete(
    frame: Any, column: Any, spelled: tuple[str, ...], drop: bool
) -> tuple[Any, Any, list[str]]:
    """Return the rows that miss no value.

    Raises
    ------
    ProblemError
        If some do and are not to be dropped.
    """
    gaps = {f"column {name!r}": frame[name].isna().to_numpy() for name in frame}
    if column is not None:
        gaps = {f"target {column.name!r}": column.isna().to_numpy(), **gaps}
    gaps = {name: mask for name, mask in gaps.items() if mask.any()}
    if not gaps:
        return frame, column, []
    some = np.logical_or.reduce(list(gaps.values()))
    parts = [f"{name} in {rows(frame.index[mask])}" for name, mask in list(gaps.items())[:5]]
    more = f"; and {counted(len(gaps) - 5, 'more column')}" if len(gaps) > 5 else ""
    blank = f" (blank, or {quoted(spelled)}; --missing says which)" if spelled else ""
    count, said = int(some.sum()), f"{'; '.join(parts)}{more}{blank}"
    if not drop:
        raise ProblemError(
            f"{count} of {len(frame)} rows miss a value: {said}. --drop-missing leaves them out"
        )
    if some.all():
        raise ProblemError(f"every row misses a value: {said}. --drop leaves columns out")
    kept = ~some
    return (
        frame[kept],
        None if column is None else column[kept],
        [f"left out {count} of {len(frame)} rows, which miss a value: {said}"],
    )


def counters(frame: Any) -> list[str]:
    """Return a note of columns that only count the rows."""
    found = []
    for name in frame:
        if frame[name].dtype.kind in "iu" and len(frame) >= UNIQUE:
            steps = np.diff(frame[name].to_numpy(np.float64))
            found += [name] if (steps == 1.0).all() else []
    return (
        [f"{quoted(found)} counts the rows: --drop {','.join(found)} if it is no feature"]
        if found
        else []
    )

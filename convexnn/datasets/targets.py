"""What a column of targets asks for: classes, or numbers.

Text, truth values, categories and two values are classes. Whole numbers are classes if they have
at most 20 values, and at most one for every 20 rows; all other numbers are numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from convexnn.contract.checks import ProblemError, choice
from convexnn.contract.words import few
from convexnn.datasets.columns import different, held, inner, is_text, real
from convexnn.datasets.reading import TASKS
from convexnn.datasets.words import counted, joined, shown

MOST = 20  # values of whole numbers that are classes
SHARE = 0.05  # of the rows
LISTED = 12  # classes in a summary


@dataclass(frozen=True)
class Target:
    """The target of a table.

    Attributes
    ----------
    name : str
    classes : array or None
        The labels, sorted; None for numbers.
    counts : tuple of int
        How many rows each class has.
    why : str
        What decided between classes and numbers, where it was not asked for.
    """

    name: str
    classes: np.ndarray[Any, Any] | None = None
    counts: tuple[int, ...] = ()
    why: str = ""

    @property
    def task(self) -> str:
        """Return "classification" or "regression"."""
        return TASKS[self.classes is None]

    @property
    def summary(self) -> dict[str, Any]:
        """Return the target's name, task and classes, in plain types."""
        said: dict[str, Any] = {"target": self.name, "task": self.task, "why": self.why}
        if self.classes is not None:
            names = [str(label) for label in self.classes]
            said["classes"] = dict(zip(names, self.counts, strict=True))
        return said

    def __str__(self) -> str:
        if self.classes is None:
            said = "regression"
        else:
            pairs = [f"{c}: {n}" for c, n in zip(self.classes, self.counts, strict=True)]
            more = f" and {len(pairs) - LISTED} more" if len(pairs) > LISTED else ""
            said = f"{counted(len(pairs), 'class', 'classes')}, {', '.join(pairs[:LISTED])}{more}"
        return f"target {self.name!r}: {said}" + (f" ({self.why})" if self.why else "")


def read_target(column: Any, task: str | None, because: str = "") -> tuple[Target, Any]:
    """Return what a column without missing values asks for, and its labels or numbers.

    `because` is what asks for the task, by default the option.

    Raises
    ------
    ProblemError
        If numbers are asked for and the column has none, or it has a single value.

    Examples
    --------
    >>> import pandas as pd
    >>> print(read_target(pd.Series(["no", "yes", "no"], name="ill"), None)[0])
    target 'ill': 2 classes, no: 2, yes: 1
    >>> print(read_target(pd.Series(range(40), name="price"), None)[0].why)
    whole numbers of 40 values are numbers; --task classification takes them for classes
    """
    name = str(column.name)
    if task is not None:
        choice("task", task, TASKS)
    values = different(column)
    if len(values) < 2:
        raise ProblemError(
            f"target {name!r} must have at least two values, got {shown(values.iloc[0])} alone: "
            "say --target if another column is meant"
        )
    classes, why = decided(column, len(values)) if task is None else (task == TASKS[0], because)
    if not classes:
        if inner(column).dtype.kind not in "iufb":
            asked = because or "--task regression"
            raise ProblemError(f"{asked} wants numbers, but target {name!r} {held(column)}")
        return Target(name, why=why), real(column)
    if task is None and len(values) > max(2, len(column) / 2):
        raise ProblemError(
            f"target {name!r} has {len(values)} values in {len(column)} rows, such as "
            f"{shown(values.iloc[0])}: say --target if another column is meant, or --task "
            "classification if these are classes"
        )
    labels = as_labels(column)
    found, counts = np.unique(labels, return_counts=True)
    return Target(name, found, tuple(int(count) for count in counts), why), labels


def decided(column: Any, values: int) -> tuple[bool, str]:
    """Tell whether the values of a column are classes, and why if that is not plain."""
    kind = inner(column).dtype.kind
    if kind not in "iuf" or values == 2:
        return True, ""
    if column.dtype == "category":
        return True, f"categories are classes; --task {TASKS[1]} takes them for numbers"
    if kind == "f":
        return False, ""
    classes = values <= min(MOST, SHARE * len(column))
    kinds = ("classes", "numbers") if classes else ("numbers", "classes")
    return classes, (
        f"whole numbers of {values} values are {kinds[0]}; "
        f"--task {TASKS[classes]} takes them for {kinds[1]}"
    )


def as_labels(column: Any) -> np.ndarray[Any, Any]:
    """Return labels as an array of numbers, of truth values or of text."""
    column = inner(column)
    if is_text(column):
        return np.asarray(column.astype(str).to_numpy(), dtype=np.str_)
    types: dict[str, Any] = {"b": np.bool_, "i": np.int64, "u": np.uint64, "f": np.float64}
    if column.dtype.kind not in types:
        raise ProblemError(f"target {column.name!r} {held(column)}: say --target if it is another")
    return np.asarray(column.to_numpy(types[column.dtype.kind]))


def only(name: str, labels: Any, classes: tuple[str, ...]) -> Any:
    """Return where the labels of a target are, as text, among some classes.

    Raises
    ------
    ProblemError
        If there is no such class, or a single one is named.

    Examples
    --------
    >>> only("size", np.array([1, 2, 3]), ("1", "3")).tolist()
    [True, False, True]
    """
    spelled = {str(label): label for label in np.unique(labels)}
    for word in classes:
        if word not in spelled:
            raise ProblemError(
                f"target {name!r} has no class {word!r}, its classes are {few(spelled)}"
            )
    if len(set(classes)) < 2:
        raise ProblemError(f"--classes must name at least two, got {joined(classes)}")
    return np.isin(labels, [spelled[word] for word in classes])

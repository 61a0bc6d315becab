"""What a user says of data: which columns, which task, and how the file is written."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from convexnn.contract.checks import ProblemError

TASKS = ("classification", "regression")


@dataclass(frozen=True)
class Reading:
    """What there is to say of data beside where they are; by default all of it is found out.

    Attributes
    ----------
    target : str or None
        The name or the index of the column to predict: 0 is the first, -1 the last. By default
        the target that the data name, else the last column.
    task : {"classification", "regression"} or None
        By default text, bool and two values are classes, and so are whole numbers of few values;
        see `convexnn.datasets.targets`.
    features, drop : tuple of str
        Names or indexes of the columns to use, and of those to leave out.
    classes : tuple of str
        The classes to keep of those there are.
    drop_missing : bool
        Leave out the rows that miss a value; they are an error otherwise.
    encode : bool
        Turn each column of text into columns of 0 and 1, one a value.
    separator, decimal : str or None
        Of delimited text: what is between two columns, and the decimal mark.
    header : bool or None
        Of delimited text: whether its first line holds names.
    missing : tuple of str or None
        Of delimited text: the spellings of a missing value in the place of the usual ones. A blank
        is always missing.
    """

    target: str | None = None
    task: str | None = None
    features: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    drop_missing: bool = False
    encode: bool = False
    separator: str | None = None
    decimal: str | None = None
    header: bool | None = None
    missing: tuple[str, ...] | None = None

    @property
    def said(self) -> dict[str, Any]:
        """Return what differs from the defaults.

        Examples
        --------
        >>> Reading(target="price", encode=True).said
        {'target': 'price', 'encode': True}
        """
        return {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if getattr(self, f.name) != f.default
        }

    def refuse(self, *names: str, why: str) -> None:
        """Raise `ProblemError` if something was said that these data have no use for.

        Examples
        --------
        >>> Reading().refuse("separator", why="goes with delimited text")
        """
        for name in names:
            if name in self.said:
                raise ProblemError(f"--{name.replace('_', '-')} {why}")

"""Where a command's data are and what was said of them; how a loss takes their target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from convexnn.contract.checks import ProblemError
from convexnn.datasets import Reading, Table, load_table
from convexnn.datasets.reading import TASKS


class Source(NamedTuple):
    """The data of a command.

    Attributes
    ----------
    name : str or None
        Of a data set or of a file; None if it was left out.
    reading : Reading
    """

    name: str | None
    reading: Reading = Reading()

    def table(self, plain: str = "", **how: Any) -> Table:
        """Load the data, by default those called `plain`."""
        return load_table(self.name or plain, self.reading, **how)

    def target_for(
        self, loss: str, *, numbers: Sequence[str], classes: Sequence[str], coded: bool
    ) -> Table:
        """Load the data, with the target in the kind that a loss takes.

        Parameters
        ----------
        loss : str
            As it was asked for; "" if it was not.
        numbers, classes : sequence of str
            The losses that take numbers, and those that take classes.
        coded : bool
            Whether two classes that are numbers may be taken as these numbers.

        Raises
        ------
        ProblemError
            If the loss and the target do not go together.
        """
        table = self.table()
        found = None if table.target is None else table.target.classes
        if loss in classes and found is None:
            raise ProblemError(
                f"--loss {loss} is for classes, but {table.target}: say --task {TASKS[0]} if the "
                "numbers are classes"
            )
        if loss not in numbers or found is None:
            return table
        if coded and len(found) == 2 and found.dtype.kind in "iufb":
            return table
        if self.reading.task == TASKS[0]:
            raise ProblemError(f"--loss {loss} is for numbers, but --task says {TASKS[0]}")
        return table.numbers(f"for --loss {loss}")

"""A table in two parts, standardised by the first: one to train on, one to test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.brief import brief
from convexnn.contract.checks import ProblemError
from convexnn.contract.preparation import Preparation
from convexnn.datasets.reading import Reading
from convexnn.datasets.table import Table, load_table

LEAST = 4  # examples


class Scaling(NamedTuple):
    """What is subtracted, and what it is divided by then.

    Attributes
    ----------
    mean, spread : arrays of shape (d,), or floats
    """

    mean: Any
    spread: Any

    def __call__(self, values: Any) -> Any:
        """Return scaled values.

        Examples
        --------
        >>> float(Scaling(1.0, 2.0)(5.0))
        2.0
        """
        return (values - self.mean) / self.spread


@brief
@dataclass(frozen=True)
class Split:
    """Standardised examples, split into two parts.

    Attributes
    ----------
    X, X_test : arrays
        Each column less its training mean, over its training standard deviation.
    y, y_test : arrays
        Labels; real targets are standardised like the columns.
    name : str
    classification : bool
        Whether y holds classes.
    table : Table or None
        What they come from: the columns and how they became X, the target and its classes.
    scaling, target_scaling : Scaling or None
        From the table's X and y to these; None where they are as they were.
    """

    X: Array
    y: Any
    X_test: Array
    y_test: Any
    name: str
    classification: bool
    table: Table | None = None
    scaling: Scaling | None = None
    target_scaling: Scaling | None = None

    @property
    def preparation(self) -> Preparation | None:
        """Return how the table became X and y; None where nothing was scaled."""
        if self.table is None or self.scaling is None:
            return None
        columns, aim = self.table.columns, self.target_scaling or Scaling(0.0, 1.0)
        return Preparation(
            *self.scaling,
            float(aim.mean),
            float(aim.spread),
            columns.names,
            {name: list(values) for name, values in columns.values.items()},
            columns.of_X,
            None if self.table.target is None else self.table.target.name,
        )


def split_at_random(table: Table, *, test_share: float = 0.25, seed: int = 0) -> Split:
    """Split a table at random and standardise it by its first part.

    Raises
    ------
    ProblemError
        If it has fewer than 4 rows and some are to test.
    """
    n = len(table.X)
    if test_share and n < LEAST:
        raise ProblemError(f"{table.name} must have at least {LEAST} examples, got {n}")
    order = np.random.default_rng(seed).permutation(n)
    cut = round(n * (1.0 - test_share))
    train, test = order[:cut], order[cut:]
    mean, spread = table.X[train].mean(axis=0), table.X[train].std(axis=0)
    scaling = Scaling(mean, np.where(spread > 0.0, spread, 1.0))
    X, y, of_target = scaling(table.X), table.y, None
    classification = table.target is not None and table.target.classes is not None
    if y is not None and not classification:
        of_target = Scaling(y[train].mean(), y[train].std() or 1.0)
        y = of_target(y)
    parts = (None, None) if y is None else (y[train], y[test])
    return Split(
        X[train], parts[0], X[test], parts[1], table.name, classification, table, scaling, of_target
    )


def load_data(
    source: str, reading: Reading | None = None, *, test_share: float = 0.25, seed: int = 0
) -> Split:
    """Load, split and standardise a data set.

    Parameters
    ----------
    source : str
        A name from `convexnn.datasets.NAMES` (extra: data), or the path of a file.
    reading : Reading, optional
        Which columns, which task, and how the file is written; found out if left out.
    test_share : float, default 0.25
    seed : int, default 0

    Returns
    -------
    Split

    Raises
    ------
    ProblemError
        If the data cannot be read, or do not make a problem.

    Examples
    --------
    >>> data = load_data("breast_cancer")
    >>> data.X.shape, data.X_test.shape
    ((427, 30), (142, 30))
    """
    return split_at_random(load_table(source, reading), test_share=test_share, seed=seed)

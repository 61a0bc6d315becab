"""What was done to data before a problem took them, so that a model can take them raw."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.checks import ProblemError

Kind = TypeVar("Kind")


class Preparation(NamedTuple):
    """Columns that became those of X, then standardised; a real target likewise.

    Attributes
    ----------
    mean, spread : array of shape (d,)
        X is the raw columns less the mean, over the spread.
    target_mean, target_spread : float, or arrays of shape (k,)
        The same of a real target, or of each of several; 0 and 1 for labels.
    columns : tuple of str
        Of the table, in the order in which they become X.
    values : dict of str to list of str
        Of each column of text its values, which became columns of 0 and 1.
    features : tuple of str
        The names of the columns of X.
    target : str or None
    """

    mean: Array
    spread: Array
    target_mean: float | Array
    target_spread: float | Array
    columns: tuple[str, ...]
    values: dict[str, list[str]]
    features: tuple[str, ...]
    target: str | None


@runtime_checkable
class Unscaled(Protocol):
    """A model that can be written for data before they were standardised."""

    def unscaled(self, done: Preparation) -> Any:
        """Return the model that takes raw data and gives raw targets."""
        ...


def for_raw_data(model: Kind, done: Preparation | None) -> Kind:
    """Return a model that takes the data as they were before they were prepared.

    Raises
    ------
    ProblemError
        If the preparation does not fit, or the model is of a kind that cannot be so written.
    """
    if done is None:
        return model
    if not isinstance(model, Unscaled):
        raise ProblemError(f"a {type(model).__name__} cannot be written for unscaled data")
    scale = np.asarray(done.spread)
    if scale.shape != np.shape(done.mean) or not (np.isfinite(scale) & (scale > 0.0)).all():
        raise ProblemError(f"spread must be > 0 in the shape of mean, got {done.spread}")
    if not np.all(np.isfinite(done.target_spread) & (np.asarray(done.target_spread) > 0.0)):
        raise ProblemError(f"target_spread must be > 0, got {done.target_spread}")
    result: Kind = model.unscaled(done)
    return result

"""The linear model that a user receives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING

from convexnn.contract.checks import ProblemError, function, real, real_array
from convexnn.contract.features import Names, examples
from convexnn.contract.fields import (
    Converted,
    declaration,
    default,
    fits,
    keep_labels,
    keep_names,
    labelled,
)
from convexnn.contract.predictor import Predictor

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array, LabelArray
    from convexnn.contract.preparation import Preparation
    from convexnn.wasserstein.worst_case import WorstCase


@declaration
class LinearModel(Predictor):
    """``f(x) = coef'x + intercept``.

    Attributes
    ----------
    coef : array of shape (d,)
    intercept : float
    classes : array of shape (2,) or None
        Labels that a negative and a positive output stand for; None for regression.
    adversary : callable or None
        Returns the worst distribution; it is saved with a solution, not with the model alone.
    feature_names : tuple of str or None
        Names of the d inputs; a frame must have columns of these names, in this order.

    Examples
    --------
    >>> import numpy as np
    >>> LinearModel(np.array([2.0]), 1.0).predict([[3.0]])
    array([7.])
    """

    coef: Converted[ArrayLike, Array]
    intercept: float
    classes: Converted[ArrayLike | None, LabelArray | None] = default(None)
    adversary: Callable[[], WorstCase] | None = field(
        default=None, repr=False, metadata={"saved": False}
    )
    feature_names: Converted[Iterable[str] | None, Names] = default(None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "coef", real_array("coef", self.coef, 1))
        object.__setattr__(self, "intercept", real("intercept", self.intercept))
        fits("LinearModel", {"intercept": (self.intercept, ())})
        if self.adversary is not None:
            function("adversary", self.adversary)
        keep_labels(self, "classes")
        labelled("LinearModel", self.classes, 1)
        keep_names(self, len(self.coef))

    @cached_property
    def worst_case(self) -> WorstCase:
        """The worst distribution for this model within the ball that it was trained against."""
        if self.adversary is None:
            raise ProblemError(
                "this model was not trained against a ball of distributions, or was saved without "
                "it: Solution.save keeps it"
            )
        return self.adversary()

    def unscaled(self, done: Preparation) -> LinearModel:
        """Return the model of raw data whose standardised ones this one takes.

        Its `worst_case` stays in the standardised coordinates, where the ball is.
        """
        coef = done.target_spread * self.coef / done.spread
        intercept = done.target_spread * self.intercept + done.target_mean - done.mean @ coef
        names = done.features or self.feature_names
        return LinearModel(coef, float(intercept), self.classes, self.adversary, names)

    def decision_function(self, X: ArrayLike) -> Array:
        """Return ``X coef + intercept``.

        Parameters
        ----------
        X : array of shape (n, d)

        Returns
        -------
        array of shape (n,)

        Raises
        ------
        ProblemError
            If `X` is not a finite matrix with d columns, those of `feature_names` if it is a
            frame.
        """
        X = examples(X, self.feature_names, len(self.coef))
        result: Array = X @ self.coef + self.intercept
        return result

    def __repr__(self) -> str:
        said = "regression" if self.classes is None else "classes {} and {}".format(*self.classes)
        return f"LinearModel({len(self.coef)} inputs, {said})"

"""The linear model that a user receives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from convexnn.contract.checks import ProblemError, function, real, real_array
from convexnn.contract.fields import Converted, declaration, default, fits, keep_labels, labelled

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array, LabelArray
    from convexnn.contract.preparation import Preparation
    from convexnn.wasserstein.worst_case import WorstCase


@declaration
class LinearModel:
    """``f(x) = coef'x + intercept``.

    Attributes
    ----------
    coef : array of shape (d,)
    intercept : float
    classes : array of shape (2,) or None
        Labels that a negative and a positive output stand for; None for regression.

    Examples
    --------
    >>> LinearModel(np.array([2.0]), 1.0).predict([[3.0]])
    array([7.])
    """

    coef: Converted[ArrayLike, Array]
    intercept: float
    classes: Converted[ArrayLike | None, LabelArray | None] = default(None)
    adversary: Callable[[], WorstCase] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "coef", real_array("coef", self.coef, 1))
        object.__setattr__(self, "intercept", real("intercept", self.intercept))
        fits("LinearModel", {"intercept": (self.intercept, ())})
        if self.adversary is not None:
            function("adversary", self.adversary)
        keep_labels(self, "classes")
        labelled("LinearModel", self.classes, 1)

    @cached_property
    def worst_case(self) -> WorstCase:
        """The worst distribution for this model within the ball that it was trained against."""
        if self.adversary is None:
            raise ProblemError("this model was not trained against a ball of distributions")
        return self.adversary()

    def unscaled(self, done: Preparation) -> LinearModel:
        """Return the model of raw data whose standardised ones this one takes.

        Its `worst_case` stays in the standardised coordinates, where the ball is.
        """
        coef = done.target_spread * self.coef / done.spread
        intercept = done.target_spread * self.intercept + done.target_mean - done.mean @ coef
        return LinearModel(coef, float(intercept), self.classes, self.adversary)

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
            If `X` is not a finite matrix with d columns.
        """
        X = real_array("X", X, 2)
        if X.shape[1] != len(self.coef):
            raise ProblemError(f"X must have {len(self.coef)} columns, got shape {X.shape}")
        result: Array = X @ self.coef + self.intercept
        return result

    def predict(self, X: ArrayLike) -> LabelArray:
        """Return the predicted label of each row, or the output itself for regression.

        Parameters
        ----------
        X : array of shape (n, d)

        Returns
        -------
        array of shape (n,)
        """
        output = self.decision_function(X)
        if self.classes is None:
            return output
        labels: LabelArray = self.classes[(output > 0.0).astype(np.intp)]
        return labels

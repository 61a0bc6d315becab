"""The linear model of several classes that a user receives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convexnn.contract.checks import real_array
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
    from collections.abc import Iterable

    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array, LabelArray


@declaration
class LinearClasses(Predictor):
    """``f_k(x) = coef_k'x + intercept_k`` for each class k; the largest says the class.

    Attributes
    ----------
    coef : array of shape (k, d)
    intercept : array of shape (k,)
    classes : array of shape (k,)
        Labels that the outputs stand for.
    feature_names : tuple of str or None
        Names of the d inputs; a frame must have columns of these names, in this order.

    Examples
    --------
    >>> model = LinearClasses([[1.0], [0.0], [-1.0]], [-1.0, 0.0, -1.0], ["up", "mid", "low"])
    >>> model.predict([[3.0], [0.5]]).tolist()
    ['up', 'mid']
    """

    coef: Converted[ArrayLike, Array]
    intercept: Converted[ArrayLike, Array]
    classes: Converted[ArrayLike, LabelArray]
    feature_names: Converted[Iterable[str] | None, Names] = default(None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "coef", real_array("coef", self.coef, 2))
        object.__setattr__(self, "intercept", real_array("intercept", self.intercept, 1))
        fits("LinearClasses", {"intercept": (self.intercept, self.coef.shape[:1])})
        keep_labels(self, "classes")
        labelled("LinearClasses", self.classes, len(self.coef))
        keep_names(self, self.coef.shape[1])

    def decision_function(self, X: ArrayLike) -> Array:
        """Return ``X coef' + intercept``.

        Parameters
        ----------
        X : array of shape (n, d)

        Returns
        -------
        array of shape (n, k)

        Raises
        ------
        ProblemError
            If `X` is not a finite matrix with d columns, those of `feature_names` if it is a
            frame.
        """
        X = examples(X, self.feature_names, self.coef.shape[1])
        result: Array = X @ self.coef.T + self.intercept
        return result

    def __repr__(self) -> str:
        return f"LinearClasses({self.coef.shape[1]} inputs, {len(self.classes)} classes)"

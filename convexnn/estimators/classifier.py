"""What the estimators for classes share: labels and their weights, predictions, probabilities."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets

from convexnn.estimators.base import Certified, Rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array, LabelArray


def _logistic(estimator: Any) -> bool:
    """Tell whether a loss is one of probabilities."""
    return bool(estimator.loss == "logistic")


def apart(output: Array) -> Array:
    """Return the probabilities of outputs of one class each against the rest, scaled to sum 1."""
    own = np.exp(-np.logaddexp(0.0, -output))
    result: Array = own / own.sum(axis=1, keepdims=True)
    return result


class CertifiedClassifier(ClassifierMixin, Certified):  # type: ignore[misc]
    """An estimator of classes.

    Attributes
    ----------
    classes_ : array of shape (k,)
    """

    classes_: Any
    class_weight: Any
    loss: str

    def _checked(self, X: Array, y: Any, weights: Array) -> Rows:
        """Return the rows, with the index of each label's class.

        Raises
        ------
        ValueError
            If there are fewer than two classes, or one without a row of positive weight.
        """
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"{type(self).__name__} needs at least two classes, got one class: "
                f"{self.classes_[0].item()!r}"
            )
        rows = Rows.of(X, codes, self._counted(weights, y))
        missing = np.setdiff1d(np.arange(len(self.classes_)), rows.y)
        if len(missing):
            raise ValueError(
                f"sample_weight leaves no row of the class {self.classes_[missing[0]].item()!r}"
            )
        return rows

    def _counted(self, weights: Array, y: Any) -> Array:
        """Return what rows count: their weights times those of their classes."""
        if self.class_weight is None:
            return weights
        result: Array = weights * compute_sample_weight(self.class_weight, y)
        return result

    def _labelled(self) -> None:
        """Have the model predict the labels themselves."""
        self.model_ = replace(self.model_, classes=np.asarray(self.classes_.tolist()))

    def decision_function(self, X: ArrayLike) -> Array:
        """Return the model's output.

        Parameters
        ----------
        X : array of shape (n, d)

        Returns
        -------
        array of shape (n,) for two classes, (n, k) for more
        """
        X = self._examples(X)
        output: Array = self.model_.decision_function(X)
        return output

    def predict(self, X: ArrayLike) -> LabelArray:
        """Return the label of each row.

        Parameters
        ----------
        X : array of shape (n, d)

        Returns
        -------
        array of shape (n,)
        """
        output = self.decision_function(X)
        index = output.argmax(axis=1) if output.ndim == 2 else (output > 0) * 1
        labels: LabelArray = self.classes_[index]
        return labels

    @available_if(_logistic)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: ArrayLike) -> Array:
        """Return the probability of each class, of a model of the logistic loss.

        Parameters
        ----------
        X : array of shape (n, d)

        Returns
        -------
        array of shape (n, k)
        """
        output = self.decision_function(X)
        if output.ndim == 1:
            output = np.column_stack([np.zeros_like(output), output])
        return self._chances(output)

    @available_if(_logistic)  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: ArrayLike) -> Array:
        """Return the logarithm of `predict_proba`.

        Parameters
        ----------
        X : array of shape (n, d)

        Returns
        -------
        array of shape (n, k)
        """
        logs: Array = np.log(self.predict_proba(X))
        return logs

    def _chances(self, output: Array) -> Array:
        """Return the probabilities of joint outputs, one a class."""
        grown = np.exp(output - output.max(axis=1, keepdims=True))
        result: Array = grown / grown.sum(axis=1, keepdims=True)
        return result

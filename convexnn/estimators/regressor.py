"""What the estimators for numbers share: targets and predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import RegressorMixin

from convexnn.estimators.base import Certified, Rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array


class CertifiedRegressor(RegressorMixin, Certified):  # type: ignore[misc]
    """An estimator of numbers."""

    def _checked(self, X: Array, y: Any, weights: Array) -> Rows:
        """Return the rows."""
        return Rows.of(X, np.asarray(y, dtype=np.float64), weights)

    def predict(self, X: ArrayLike) -> Array:
        """Return the model's output.

        Parameters
        ----------
        X : array of shape (n, d)

        Returns
        -------
        array of shape (n,) or (n, k)
        """
        X = self._examples(X)
        output: Array = self.model_.predict(X)
        return output

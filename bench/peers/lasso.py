"""Group lassos as peers read them: features, columns a group, and a share of the penalty."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Lasso(NamedTuple):
    """Minimise ``mean_i l(x_i'w; y_i) + share sum_g ||w_g||``, groups of ``width`` columns.

    Losses of these peers are means: their share of the penalty is ``beta / n``.
    """

    features: Any
    y: Any
    loss: str
    width: int
    share: float

    @property
    def groups(self) -> int:
        """Return their number."""
        return int(self.features.shape[1]) // self.width

    def weights(self, w: Any) -> Any:
        """Return coefficients as (1, width, groups)."""
        return np.asarray(w, dtype=np.float64).reshape(self.groups, self.width).T[None]

    def few(self) -> Lasso:
        """Return a small one, with both labels, for first calls."""
        rows = np.unique([*range(20), int(np.argmin(self.y)), int(np.argmax(self.y))])
        rows = rows[rows < len(self.y)]
        columns = self.width * min(3, self.groups)
        small = np.asfortranarray(self.features[rows, :columns])
        return self._replace(features=small, y=self.y[rows])


def lasso(task: dict[str, Any]) -> Lasso:
    """Return the features of a sampled program, or the products of a gated one."""
    share = task["beta"] / len(task["y"])
    if task["kind"] == "sampled":
        features = np.asfortranarray(task["features"])
        return Lasso(features, task["y"], task["loss"], 1, share)
    X, matrix = task["X"], task["matrix"]
    (n, d), P = X.shape, matrix.shape[1]
    features = np.empty((n, d * P), order="F")
    for p in range(P):
        features[:, p * d : (p + 1) * d] = matrix[:, p : p + 1] * X
    return Lasso(features, task["y"], task["loss"], d, share)

"""Ridge systems ``rho X'X + sigma I``, of the size of the columns or of the rows."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from convexnn.contract.arrays import Array

TOUCH = 1e-13  # ridge on every variable, relative to the mean of the diagonal


class Ridge:
    """The system ``(rho X'X + sigma I) w = right``, where sigma spares an intercept.

    With more columns than rows, ``f = X w`` solves the smaller one
    ``(I + rho / sigma X_b X_b') f = X_b right_b / sigma + c``.

    Parameters
    ----------
    X : array of shape (n, k)
    d : int
        Columns under the ridge, the first ones; at most one more.

    Examples
    --------
    >>> X = np.array([[1.0, 2.0, 1.0]])
    >>> ridge = Ridge(X, 2)
    >>> ridge.factor(1.0, 0.5)
    >>> w = ridge.solve(np.array([1.0, 0.0, 2.0]))
    >>> bool(np.allclose(X.T @ (X @ w) + [0.5, 0.5, 0.0] * w, [1.0, 0.0, 2.0]))
    True
    """

    def __init__(self, X: Array, d: int) -> None:
        self.X, self.d = X, d
        self.trace = float(np.einsum("ij,ij->", X, X))
        self.wide = X.shape[1] > len(X)
        self.gram = X[:, :d] @ X[:, :d].T if self.wide else X.T @ X

    def factor(self, rho: float, sigma: float) -> None:
        """Take the penalties; sigma may be 0 where there are no more columns than rows."""
        self.rho, self.sigma, k = rho, sigma, len(self.gram)
        H = self.gram * (rho / sigma if self.wide else rho)
        if self.wide:
            H.flat[:: k + 1] += 1.0
        else:
            H.flat[: self.d * (k + 1) : k + 1] += sigma
            H.flat[:: k + 1] += TOUCH * float(np.trace(H)) / k
        self.root = cho_factor(H, overwrite_a=True, check_finite=False)
        if self.wide and self.X.shape[1] > self.d:
            self.one = cho_solve(self.root, self.X[:, self.d], check_finite=False)

    def solve(self, right: Array) -> Array:
        """Return w."""
        if not self.wide:
            return np.asarray(cho_solve(self.root, right, check_finite=False))
        d, rest = self.d, self.X[:, self.d :]
        f = cho_solve(self.root, self.X[:, :d] @ right[:d] / self.sigma, check_finite=False)
        w = np.zeros_like(right)
        if rest.shape[1]:
            w[d] = (right[d] / self.rho - rest[:, 0] @ f) / (rest[:, 0] @ self.one)
            f = f + w[d] * self.one
        w[:d] = (right[:d] - self.rho * (f @ self.X[:, :d])) / self.sigma
        return w

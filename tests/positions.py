"""Examples in every position that has broken something, for the tests that draw at random."""

from __future__ import annotations

import numpy as np

from convexnn.contract.arrays import Array

KINDS = ("general", "integer", "duplicate", "antipodal", "zero", "deficient", "scaled")


def positioned(kind: str, n: int, d: int, rng: np.random.Generator, spread: float = 3.0) -> Array:
    """Return n rows of dimension d in one kind of position; all may be zero.

    Parameters
    ----------
    kind : str
        One of `KINDS`; "deficient" rows span two dimensions at most.
    n, d : int
    rng : Generator
    spread : float, default 3.0
        Orders of magnitude, up and down, over which the lengths of "scaled" rows vary.
    """
    X = rng.standard_normal((n, d))
    if kind == "integer":
        X = rng.integers(-2, 3, (n, d)).astype(np.float64)
    elif kind == "duplicate":
        X = X[rng.integers(0, max(1, n // 3), n)]
    elif kind == "antipodal":
        X[n // 2 :] = -X[: n - n // 2] * rng.choice([0.5, 1.0, 3.0], (n - n // 2, 1))
    elif kind == "zero":
        X[rng.random(n) < 0.4] = 0.0
    elif kind == "deficient":
        X = X[:, :1] * rng.standard_normal(d) + rng.standard_normal((n, 1)) * X[0]
    elif kind == "scaled":
        X *= 10.0 ** rng.uniform(-spread, spread, (n, 1))
    return X

"""The two products of every program against NumPy twins, and against one another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convexnn.contract.arrays import Array
from convexnn.relu.products import ADJOINT, FORWARD, LEAST, adjoint, forward

SIZES = [  # n, d, P
    (1, 1, 1),
    (1, 1, 7),
    (1, 5, 1),
    (1, 5, 7),
    (9, 1, 1),
    (9, 1, 6),
    (9, 4, 1),
    (17, 3, 5),
    (LEAST, 2, ADJOINT),  # one block of the fewest rows there can be, of either product
    (LEAST + 1, 2, ADJOINT),  # and one row more
    (2 * LEAST + 2, 2, FORWARD // LEAST + 1),  # the last block of either holds few rows
    *((rows, 3, 128) for most in (FORWARD, ADJOINT) for rows in (most // 128, most // 128 + 1)),
    (3 * (FORWARD // 128) + 5, 3, 128),
    (FORWARD, 2, 1),
    (FORWARD + 3, 2, 1),
    (FORWARD + 3, 1, 2),
]
each_size = pytest.mark.parametrize(("n", "d", "P"), SIZES)


def forward_twin(X: Array, slopes: Array, weights: Array) -> Array:
    return np.asarray(np.einsum("ip,id,pd->i", slopes, X, weights, optimize=True))


def adjoint_twin(X: Array, slopes: Array, r: Array) -> Array:
    return np.asarray(np.einsum("ip,i,id->pd", slopes, r, X, optimize=True))


def data(n: int, d: int, P: int, leak: float = 0.0) -> tuple[Array, Array, Array, Array]:
    """Examples, slopes, weights and a vector of residuals."""
    rng = np.random.default_rng(100 * n + 10 * d + P)
    X = rng.standard_normal((n, d))
    X.setflags(write=False)  # as problems hand it over
    slopes = np.where(rng.random((n, P)) < 0.5, 1.0, leak)
    return X, slopes, rng.standard_normal((P, d)), rng.standard_normal(n)


@each_size
@pytest.mark.parametrize("leak", [0.0, 0.1])
def test_forward_equals_its_twin(n: int, d: int, P: int, leak: float) -> None:
    X, slopes, weights, _ = data(n, d, P, leak)
    found = forward(X, slopes, weights)
    assert found.shape == (n,)
    np.testing.assert_allclose(found, forward_twin(X, slopes, weights), atol=1e-12 * (1 + P))


@each_size
@pytest.mark.parametrize("leak", [0.0, 0.1])
def test_adjoint_equals_its_twin(n: int, d: int, P: int, leak: float) -> None:
    X, slopes, _, r = data(n, d, P, leak)
    found = adjoint(X, slopes, r)
    assert found.shape == (P, d)
    np.testing.assert_allclose(found, adjoint_twin(X, slopes, r), atol=1e-12 * (1 + np.sqrt(n)))


@each_size
def test_single_precision_stays_single_and_near_double(n: int, d: int, P: int) -> None:
    X, slopes, weights, r = data(n, d, P)
    single: Any = [array.astype(np.float32) for array in (X, slopes, weights, r)]
    found, back = forward(single[0], single[1], single[2]), adjoint(single[0], single[1], single[3])
    assert found.dtype == back.dtype == np.float32
    size = forward_twin(np.abs(X), slopes, np.abs(weights))
    assert np.all(np.abs(found - forward_twin(X, slopes, weights)) <= 1e-5 * size)
    back_size = adjoint_twin(np.abs(X), slopes, np.abs(r))
    assert np.all(np.abs(back - adjoint_twin(X, slopes, r)) <= 1e-5 * back_size)


@each_size
def test_the_two_are_adjoint(n: int, d: int, P: int) -> None:
    """``forward(C)'r = sum C * adjoint(r)``."""
    X, slopes, weights, r = data(n, d, P)
    left = float(forward(X, slopes, weights) @ r)
    right = float(np.sum(weights * adjoint(X, slopes, r)))
    assert left == pytest.approx(right, rel=1e-11, abs=1e-11 * np.sqrt(n * d * P))


def test_every_row_is_the_sum_over_its_own_patterns() -> None:
    X = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    X.setflags(write=False)
    slopes = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.5]])
    weights = np.array([[1.0, -1.0], [0.0, 2.0]])
    np.testing.assert_allclose(forward(X, slopes, weights), [-1.0, 8.0, 5.0])
    r = np.array([1.0, 10.0, 100.0])
    np.testing.assert_allclose(adjoint(X, slopes, r), [[501.0, 602.0], [280.0, 340.0]])


@pytest.mark.parametrize(("n", "d", "P"), [(9, 1, 6), (2 * (FORWARD // 64) + 1, 3, 64)])
def test_nothing_is_written_and_nothing_is_kept_between_calls(n: int, d: int, P: int) -> None:
    X, slopes, weights, r = data(n, d, P)
    before = [array.copy() for array in (X, slopes, weights, r)]
    first, back = forward(X, slopes, weights), adjoint(X, slopes, r)
    kept, kept_back = first.copy(), back.copy()
    forward(X, slopes, 2.0 * weights)
    adjoint(X, slopes, 2.0 * r)
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(back, kept_back)
    np.testing.assert_array_equal(forward(X, slopes, weights), kept)
    for array, old in zip((X, slopes, weights, r), before, strict=True):
        np.testing.assert_array_equal(array, old)

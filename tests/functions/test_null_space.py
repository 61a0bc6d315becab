"""Points with ``X'm = 0`` are as near as is said, in rational numbers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from exact import Row, dot, fractions
from hypothesis import given, settings
from hypothesis import strategies as st

from convexnn.contract.arrays import Array
from convexnn.functions.null_space import (
    NullSpace,
    blocked_sums,
    exact_products,
    exact_sums,
    sum_rounding,
    two_product,
)


def solved(A: list[Row], b: Row) -> Row:
    """Solve a small system by elimination."""
    rows = [[*row, right] for row, right in zip(A, b, strict=True)]
    n = len(rows)
    for k in range(n):
        pivot = next(i for i in range(k, n) if rows[i][k])
        rows[k], rows[pivot] = rows[pivot], rows[k]
        for i in range(n):
            if i != k and rows[i][k]:
                share = rows[i][k] / rows[k][k]
                rows[i] = [a - share * c for a, c in zip(rows[i], rows[k], strict=True)]
    return [rows[k][n] / rows[k][k] for k in range(n)]


def nearest(X: Array, mu: Array, weights: Array) -> Row:
    """Return the point with ``X'm = 0`` that is nearest where weights are, exactly."""
    columns, m, w = fractions(X.T), fractions(mu), fractions(weights)
    gram = [[dot([v * a for v, a in zip(w, x, strict=True)], z) for z in columns] for x in columns]
    lam = solved(gram, [dot(x, m) for x in columns])
    moves = [v * dot(lam, list(row)) for v, row in zip(w, fractions(X), strict=True)]
    return [a - b for a, b in zip(m, moves, strict=True)]


def drawn(seed: int, shift: float, n: int = 9, k: int = 2) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, k)) + shift
    mu = rng.standard_normal(n)
    Q = np.linalg.qr(X)[0]
    return X, mu - Q @ (Q.T @ mu)


seeds = st.integers(0, 10**6)
shifts = st.sampled_from([0.0, 1.0, 1e3, 1e6, 1e9, 1e12])
often = settings(max_examples=60)


@often
@given(seed=seeds, shift=shifts, scale=st.sampled_from([1e-200, 1.0, 1e200]))
def test_a_free_point_is_near_the_null_space(seed: int, shift: float, scale: float) -> None:
    X, mu = drawn(seed, shift)
    far = np.full(len(mu), np.inf)
    found = NullSpace(X * scale).near(mu, -far, far)
    assert found is not None
    exact = nearest(X * scale, found.point, np.ones(len(mu)))
    for a, b, spread in zip(exact, found.point, found.spread, strict=True):
        assert abs(a - Fraction(b)) <= Fraction(spread)
    assert np.max(found.spread) <= 1e-15 * np.max(np.abs(mu))
    assert np.max(np.abs(found.point - mu)) <= 1e-15 * max(shift, 1.0)


@often
@given(seed=seeds, shift=shifts, clipped=st.integers(0, 6))
def test_a_point_of_a_box_is_near_one_of_the_null_space_in_it(
    seed: int, shift: float, clipped: int
) -> None:
    """Entries at an end of the box stay there: they move by nothing at all."""
    X, mu = drawn(seed, shift)
    low, high = np.full(len(mu), -9.0), np.full(len(mu), 9.0)
    high[:clipped] = mu[:clipped]
    found = NullSpace(X).near(mu, low, high)
    if found is None:
        assert clipped > 5 or shift > 1e6
        return
    assert (found.point + found.spread <= high).all()
    assert (found.point - found.spread >= low).all()
    X, m = fractions(X), fractions(found.point)
    # the exact point is one of many: some change within the spread brings X'm to 0
    lam = [[Fraction(s) for s in found.spread]]
    for column in zip(*X, strict=True):
        gap = abs(dot(list(column), m))
        assert gap <= dot([abs(x) for x in column], lam[0])


def test_where_too_few_entries_may_move_nothing_is_found() -> None:
    X, mu = drawn(1, 0.0)
    moved = mu + 1e-9
    high = moved.copy()
    low = moved.copy()
    low[0] = -9.0
    high[0] = 9.0
    assert NullSpace(X).near(moved, low, high) is None


def test_columns_that_are_sums_of_others_are_told_exactly() -> None:
    rng = np.random.default_rng(0)
    group = np.eye(3)[rng.integers(3, size=12)]
    X = np.column_stack([group, np.ones(12), rng.standard_normal(12), np.zeros(12)])
    space = NullSpace(X)
    assert space.clear
    assert space.columns.shape[1] == 4
    nearly = X.copy()
    nearly[0, 3] = np.nextafter(1.0, 2.0)
    far = np.full(12, np.inf)
    space = NullSpace(nearly)
    found = space.near(rng.standard_normal(12), -far, far)
    assert not space.clear
    assert space.columns.shape[1] == 5
    assert found is not None
    assert abs(found.point[0]) <= found.spread[0] <= 1e-9  # where the two differ


@pytest.mark.parametrize("n", [2, 5])
def test_as_many_columns_as_rows_leave_nothing(n: int) -> None:
    rng = np.random.default_rng(n)
    found = NullSpace(rng.standard_normal((n, n + 3))).near(
        rng.standard_normal(n), np.full(n, -9.0), np.full(n, 9.0)
    )
    assert found is not None
    assert np.max(np.abs(found.point) + found.spread) <= 1e-14


def test_no_columns_leave_the_point_itself() -> None:
    mu = np.array([1.0, 2.0])
    found = NullSpace(np.zeros((2, 1))).near(mu, mu, mu)
    assert found is not None
    np.testing.assert_array_equal(found.point, mu)
    assert not found.spread.any()


@often
@given(seed=seeds, wide=st.floats(0.0, 30.0))
def test_sums_are_as_exact_as_they_say(seed: int, wide: float) -> None:
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1.0, 1.0, (30, 2)) * 2.0 ** -np.floor(rng.uniform(0.0, wide, (30, 1)))
    mu = rng.standard_normal(30) * 10.0 ** rng.uniform(0.0, wide, 30)
    sums, error = exact_sums(X, mu)
    for j, column in enumerate(fractions(X.T)):
        true = dot(column, fractions(mu))
        assert abs(true - Fraction(sums[0, j]) - Fraction(sums[1, j])) <= Fraction(error[j])
        assert error[j] <= 1e-25 * float(np.abs(X[:, j]) @ np.abs(mu))
    fit, blur = exact_products(X * 1e100, np.array([3e50, -1e50]))
    for i, row in enumerate(fractions(X * 1e100)):
        true = dot(row, [Fraction(3e50), Fraction(-1e50)])
        assert abs(true - Fraction(fit[0, i]) - Fraction(fit[1, i])) <= Fraction(blur[i])


@often
@given(a=st.floats(-1e100, 1e100), b=st.floats(-1e100, 1e100))
def test_a_product_and_its_error_are_the_product(a: float, b: float) -> None:
    product, error = two_product(np.array([a]), np.array([b]))
    if abs(float(product[0])) > 1e-250:
        assert Fraction(product[0]) + Fraction(error[0]) == Fraction(a) * Fraction(b)


def test_equal_rows_leave_their_sum_no_choice() -> None:
    """Columns that are dependent by their rows: no column is a simple sum of the others."""
    X = np.array([[0.1, 0.3], [0.1, 0.3], [0.1, 0.3]])
    found = NullSpace(X).near(np.array([1.0, 2.0, 4.0]), np.full(3, -9.0), np.full(3, 9.0))
    assert found is not None
    assert abs(found.point.sum()) < 1e-12
    assert found.spread.max() < 1e-12


def test_what_must_vanish_may_do_so_on_the_edge_of_its_box() -> None:
    X = np.zeros((4, 1))
    X[0] = 1.0
    found = NullSpace(X).near(np.array([1e-9, 0.5, 0.5, 0.5]), np.zeros(4), np.ones(4))
    assert found is not None
    assert found.point.tolist() == [0.0, 0.5, 0.5, 0.5]
    assert not found.spread.any()


def test_those_left_once_others_vanish_may_have_a_smaller_rank() -> None:
    X = np.array([[1.0, 0.1], [1.0, 0.1], [0.3, 0.7], [0.3, 0.7]])
    low = np.array([-1.0, -1.0, 0.0, 0.0])
    found = NullSpace(X).near(np.array([0.5, -0.5, 1e-17, 1e-12]), low, np.ones(4))
    assert found is not None
    assert found.point.tolist() == [0.5, -0.5, 0.0, 0.0]
    assert not found.spread[2:].any()


def test_sums_of_blocks_are_off_by_no_more_than_they_say() -> None:
    rng = np.random.default_rng(0)
    X, mu = rng.standard_normal((200, 2)), rng.standard_normal(200) * 10.0 ** rng.integers(-9, 9)
    sums, sizes = blocked_sums(X, mu, np.abs(mu))
    for j, column in enumerate(fractions(X.T)):
        off = abs(dot(column, fractions(mu)) - Fraction(sums[j]))
        assert off <= Fraction(sum_rounding(200) * sizes[j])
    assert sizes == pytest.approx(np.abs(mu) @ np.abs(X))


def standardised(seed: int, n: int = 13) -> Array:
    """Return three columns that tell classes apart: dependent, but for their own rounding."""
    classes = np.eye(3)[np.random.default_rng(seed).permutation(np.arange(n) % 3)]
    Z: Array = (classes - classes.mean(axis=0)) / classes.std(axis=0)
    return Z


@settings(max_examples=30)
@given(seed=seeds)
def test_columns_dependent_but_for_rounding_count_in_full(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = np.column_stack([standardised(seed), rng.standard_normal(13)])
    space, far = NullSpace(X), np.full(13, np.inf)
    found = space.near(rng.standard_normal(13), -far, far)
    assert found is not None
    assert found.spread.max() <= 1e-9
    exact = nearest(space.columns, found.point, np.ones(13))
    for a, b, spread in zip(exact, found.point, found.spread, strict=True):
        assert abs(a - Fraction(b)) <= Fraction(spread)
    for column in fractions(X.T):  # those left out as well
        assert dot(column, exact) == 0


@settings(max_examples=30)
@given(seed=seeds)
def test_a_constant_tells_that_groups_have_no_more_columns(seed: int) -> None:
    X = np.column_stack([standardised(seed), np.ones(13)])
    space, far = NullSpace(X), np.full(13, np.inf)
    assert space.clear
    assert space.columns.shape == (13, 3)
    found = space.near(np.random.default_rng(seed).standard_normal(13), -far, far)
    assert found is not None
    exact = nearest(space.columns, found.point, np.ones(13))
    for column in fractions(X.T):
        assert dot(column, exact) == 0


def test_entries_that_a_column_meets_alone_are_zero() -> None:
    X = np.array([[0.0, 0.0], [0.66087415, -2.60631446]])
    far = np.full(2, np.inf)
    found = NullSpace(X).near(np.array([-1.25, 1e-12]), -far, far)
    assert found is not None
    assert found.point.tolist() == [-1.25, 0.0]
    assert not found.spread.any()
    assert NullSpace(X).near(np.array([-1.25, 1.0]), np.full(2, 0.5), far) is None
    chain = np.array([[1.0, 1.0], [0.0, 3.0]])  # the second entry is 0 once the first is
    assert NullSpace(chain).near(np.ones(2), -far, far) is not None
    nothing = NullSpace(chain).near(np.ones(2), -far, far)
    assert nothing is not None
    assert nothing.point.tolist() == [0.0, 0.0]

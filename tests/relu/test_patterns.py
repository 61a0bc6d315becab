"""Patterns: the class, the random sample, and the enumeration of every open cell."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from convexnn.contract.arrays import Array, BoolArray
from convexnn.contract.checks import ProblemError
from convexnn.functions.norms import NORMS
from convexnn.relu.cells.enumeration import (
    Cells,
    cells_by_rays,
    cells_by_splitting,
    count_bound,
    enumerate_patterns,
    hyperplanes,
)
from convexnn.relu.cells.sampling import sample_patterns
from convexnn.relu.patterns import Patterns, cell_count, first_distinct

often = settings(max_examples=120)
KINDS = ["general", "integer", "duplicate", "antipodal", "zero", "deficient", "planar"]


def examples(kind: str, n: int, d: int, seed: int) -> Array:
    """Data of one kind, with at least one entry that is not zero."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    if kind == "integer":
        X = rng.integers(-2, 3, (n, d)).astype(np.float64)
    elif kind == "duplicate":
        X = X[rng.integers(0, max(1, n // 2), n)] * rng.choice([0.25, 1.0, 3.0], (n, 1))
    elif kind == "antipodal":
        X[n // 2 :] = -X[: n - n // 2] * rng.choice([0.25, 1.0, 3.0], (n - n // 2, 1))
    elif kind == "zero":
        X[rng.random(n) < 0.4] = 0.0
    elif kind == "deficient":
        X = rng.standard_normal((n, max(1, d - 1))) @ rng.standard_normal((max(1, d - 1), d))
    elif kind == "planar":  # many hyperplanes through one line
        X[:, 2:] *= rng.random((n, 1)) < 0.5
    X[0, 0] += 0.0 if X.any() else 1.0
    return np.ascontiguousarray(X)


def as_set(matrix: BoolArray) -> set[bytes]:
    return {column.tobytes() for column in np.ascontiguousarray(matrix.T)}


def open_patterns(X: Array, count: int, seed: int) -> set[bytes]:
    """Patterns of random generators that lie clear of every hyperplane."""
    generators = np.random.default_rng(seed).standard_normal((X.shape[1], count))
    height = X @ generators
    occupied = X.any(axis=1)
    size = np.linalg.norm(X, axis=1)[:, None] * np.linalg.norm(generators, axis=0)
    clear = (np.abs(height[occupied]) > 1e-9 * size[occupied]).all(axis=0)
    return as_set(height[:, clear] >= 0.0)


def count_by_whitney(X: Array) -> int:
    """Whitney's theorem: ``sum over subsets B of the hyperplanes of (-1)^(|B| - rank B)``."""
    rows: list[Array] = []
    for x in X[X.any(axis=1)]:
        if all(np.linalg.matrix_rank(np.vstack([x, kept]), tol=1e-9) == 2 for kept in rows):
            rows.append(x)
    total = 0
    for size in range(len(rows) + 1):
        for subset in combinations(rows, size):
            rank = int(np.linalg.matrix_rank(np.array(subset), tol=1e-9)) if size else 0
            total += (-1) ** (size - rank)
    return total


# the class


def test_patterns_keep_a_read_only_copy() -> None:
    raw = np.array([[True, False], [True, True]])
    generators = np.array([[1.0, -1.0]])
    patterns = Patterns(raw, generators)
    raw[0, 0], generators[0, 0] = False, 9.0
    assert patterns.matrix[0, 0]
    assert patterns.generators is not None
    assert patterns.generators[0, 0] == 1.0
    assert not patterns.matrix.flags.writeable
    assert not patterns.generators.flags.writeable
    assert len(patterns) == 2
    assert repr(patterns) == "Patterns(2 examples, 2 patterns)"


@pytest.mark.parametrize("dtype", [bool, int, np.int8, np.uint8, float])
def test_patterns_take_zeros_and_ones_of_any_type(dtype: type[Any]) -> None:
    patterns = Patterns(np.array([[1, 0], [0, 1]], dtype=dtype))
    assert patterns.matrix.dtype == np.bool_
    np.testing.assert_array_equal(patterns.matrix, np.eye(2, dtype=np.bool_))


@pytest.mark.parametrize(
    "matrix",
    [
        [1, 0],
        [[[1]]],
        np.zeros((0, 3)),
        np.zeros((3, 0)),
        [[2, 0]],
        [[0.5, 1.0]],
        [[np.nan, 1.0]],
        [["a", "b"]],
        np.array([[1, 0]], dtype=object),
        np.array([[1 + 0j]]),
    ],
    ids=str,
)
def test_patterns_refuse_what_is_not_a_matrix_of_zeros_and_ones(matrix: Any) -> None:
    with pytest.raises(ProblemError, match="patterns must"):
        Patterns(matrix)


@pytest.mark.parametrize("generators", [[1.0, 2.0], [[1.0, 2.0, 3.0]], [[np.nan, 1.0]]], ids=str)
def test_patterns_refuse_generators_that_do_not_fit(generators: Any) -> None:
    with pytest.raises(ProblemError, match="generators must"):
        Patterns(np.eye(2, dtype=np.bool_), generators)


def test_generated_patterns_are_those_of_their_generators_once_each() -> None:
    X = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    H = np.array([[1.0, -1.0, 2.0, 0.0], [1.0, 1.0, 3.0, 0.0]])
    patterns = Patterns.generated(X, H)
    assert patterns.generators is not None
    np.testing.assert_array_equal(patterns.generators, H[:, :2])
    np.testing.assert_array_equal(patterns.matrix, [[1, 0], [1, 1], [1, 1]])


def test_take_distinct_and_joined_keep_generators_with_their_patterns() -> None:
    rng = np.random.default_rng(0)
    X, H = rng.standard_normal((6, 2)), rng.standard_normal((2, 60))
    patterns = Patterns(X @ H >= 0.0, H)
    other = Patterns(X @ -H >= 0.0, -H)
    joined = patterns.joined(other)
    for some in (patterns.take([5, 3]), patterns.distinct(), joined, joined.take([1])):
        assert some.generators is not None
        np.testing.assert_array_equal(some.matrix, X @ some.generators >= 0.0)
    np.testing.assert_array_equal(patterns.take([5, 3]).matrix, patterns.matrix[:, [5, 3]])
    assert len(patterns.distinct()) == len(as_set(patterns.matrix)) < 60
    assert as_set(joined.matrix) == as_set(patterns.matrix) | as_set(other.matrix)
    assert len(joined) == len(as_set(joined.matrix))
    assert patterns.joined(Patterns(other.matrix)).generators is None
    assert Patterns(other.matrix).joined(patterns).generators is None


@pytest.mark.parametrize("n", [1, 7, 8, 9, 33])
def test_first_distinct_finds_first_appearances_in_order(n: int) -> None:
    rng = np.random.default_rng(n)
    pool = rng.random((n, 5)) < 0.5
    matrix = pool[:, rng.integers(0, 5, 40)]
    seen: dict[bytes, int] = {}
    for p in range(40):
        seen.setdefault(matrix[:, p].tobytes(), p)
    assert first_distinct(matrix).tolist() == list(seen.values())


# the random sample


def test_sample_repeats_itself_and_follows_its_seed() -> None:
    X = np.random.default_rng(1).standard_normal((30, 4))
    for radius in (0.0, 0.5):
        first, again = (sample_patterns(X, 25, seed=3, radius=radius) for _ in range(2))
        np.testing.assert_array_equal(first.matrix, again.matrix)
        assert first.generators is not None
        assert again.generators is not None
        np.testing.assert_array_equal(first.generators, again.generators)
        other = sample_patterns(X, 25, seed=4, radius=radius)
        assert as_set(other.matrix) != as_set(first.matrix)


@pytest.mark.parametrize(("n", "d", "count"), [(30, 4, 1), (30, 4, 200), (5, 9, 20), (8, 2, 14)])
def test_sample_is_distinct_and_its_generators_make_it(n: int, d: int, count: int) -> None:
    X = np.random.default_rng(2).standard_normal((n, d))
    patterns = sample_patterns(X, count)
    assert len(patterns) == count == len(as_set(patterns.matrix))
    assert patterns.generators is not None
    np.testing.assert_array_equal(patterns.matrix, X @ patterns.generators >= 0.0)


def test_sample_returns_fewer_where_there_are_fewer() -> None:
    X = np.random.default_rng(3).standard_normal((4, 2))
    patterns = sample_patterns(X, 100)
    assert as_set(patterns.matrix) == as_set(enumerate_patterns(X).matrix)
    assert len(sample_patterns(np.ones((5, 1)), 3)) == 2


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_radius_flips_only_what_a_perturbation_of_that_size_can_flip(norm: str) -> None:
    X = np.random.default_rng(4).standard_normal((60, 3))
    for radius in (1e-3, 0.2):
        patterns = sample_patterns(X, 150, radius=radius, norm=norm)
        H = patterns.generators
        assert H is not None
        assert len(patterns) == 150 == len(as_set(patterns.matrix))
        height = X @ H
        flipped = (height >= 0.0) != patterns.matrix
        reach = radius * NORMS[norm].dual(H.T)
        assert (np.abs(height) <= reach + 1e-12)[flipped].all()
        if radius > 0.1:
            share = flipped.any(axis=0).mean()
            assert 0.25 < share < 0.6  # every other draw is perturbed


def test_norms_of_the_perturbations_differ() -> None:
    X = np.random.default_rng(5).standard_normal((40, 3))
    drawn = [as_set(sample_patterns(X, 50, radius=0.3, norm=norm).matrix) for norm in NORMS]
    assert drawn[0] != drawn[1] != drawn[2] != drawn[0]


@pytest.mark.parametrize(
    ("X", "options", "field"),
    [
        ([1.0, 2.0], {}, "X"),
        (np.zeros((0, 2)), {}, "X"),
        ([[np.nan, 1.0]], {}, "X"),
        ([[np.inf, 1.0]], {}, "X"),
        ([["a"]], {}, "X"),
        ([[1.0], [1.0, 2.0]], {}, "X"),
        ([[1.0, 2.0]], {"count": 0}, "count"),
        ([[1.0, 2.0]], {"count": -3}, "count"),
        ([[1.0, 2.0]], {"count": 2.5}, "count"),
        ([[1.0, 2.0]], {"count": True}, "count"),
        ([[1.0, 2.0]], {"radius": -0.1}, "radius"),
        ([[1.0, 2.0]], {"radius": np.nan}, "radius"),
        ([[1.0, 2.0]], {"norm": "l3"}, "norm"),
        ([[1.0, 2.0]], {"seed": -1}, "seed"),
    ],
    ids=str,
)
def test_sample_names_the_field_that_breaks_its_rule(
    X: Any, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(ProblemError, match=f"^{field} must"):
        sample_patterns(X, **({"count": 3} | options))


# the enumeration


@pytest.mark.parametrize("d", [1, 2, 3, 4, 5])
def test_rays_splitting_and_the_formula_agree_in_general_position(d: int) -> None:
    for n in (1, 2, 3, 5, 8, 13):
        X = examples("general", n, d, 10 * n + d)
        normals = hyperplanes(X).normals
        m, rank = normals.shape
        assert rank == min(n, d)
        assert m == (n if d > 1 else 1)
        rays, splitting = cells_by_rays(normals), cells_by_splitting(normals)
        assert rays is not None
        assert as_set(rays.positive) == as_set(splitting.positive)
        assert rays.positive.shape[1] == splitting.positive.shape[1] == cell_count(m, rank)
        assert len(enumerate_patterns(X)) == cell_count(m, rank) == count_bound(X)


def test_larger_general_position() -> None:
    X = examples("general", 40, 4, 0)
    patterns = enumerate_patterns(X)
    assert len(patterns) == cell_count(40, 4) == len(as_set(patterns.matrix))
    assert as_set(cells_by_splitting(hyperplanes(X).normals).positive) == as_set(
        cells_by_rays(hyperplanes(X).normals).positive  # type: ignore[union-attr]
    )


@pytest.mark.parametrize("method", [cells_by_rays, cells_by_splitting])
def test_inner_points_lie_in_their_cells(method: Any) -> None:
    for d in (1, 2, 3, 4):
        normals = hyperplanes(examples("general", 9, d, d)).normals
        cells: Cells = method(normals)
        np.testing.assert_array_equal(cells.positive, normals @ cells.points > 0.0)
        assert (np.abs(normals @ cells.points) > 1e-12).all()


@often
@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(1, 10),
    d=st.integers(1, 4),
    seed=st.integers(0, 10_000),
)
def test_any_position_holds_every_open_cell(kind: str, n: int, d: int, seed: int) -> None:
    X = examples(kind, n, d, seed)
    patterns = enumerate_patterns(X)
    listed = as_set(patterns.matrix)
    assert len(listed) == len(patterns)
    assert open_patterns(X, 3000, seed) <= listed
    H = patterns.generators
    assert H is not None
    np.testing.assert_array_equal(patterns.matrix, X @ H >= 0.0)
    occupied = X.any(axis=1)
    assert (X[occupied] @ H != 0.0).all()
    assert len(patterns) <= count_bound(X)


@settings(max_examples=50)
@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(1, 7),
    d=st.integers(1, 4),
    seed=st.integers(0, 10_000),
)
def test_any_position_has_as_many_cells_as_whitneys_theorem_says(
    kind: str, n: int, d: int, seed: int
) -> None:
    X = examples(kind, n, d, seed)
    assert len(enumerate_patterns(X)) == count_by_whitney(X)


def test_degenerate_positions_worked_by_hand() -> None:
    def count(rows: list[list[float]]) -> int:
        return len(enumerate_patterns(np.array(rows)))

    assert count([[1.0]]) == 2
    assert count([[1.0], [2.0], [-3.0], [0.0]]) == 2
    assert count([[1.0, 0.0], [2.0, 0.0], [-1.0, 0.0]]) == 2
    assert count([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]) == 4
    assert count([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]) == 6
    # three planes through one line, and a fourth across it
    assert count([[1, 0, 0], [0, 1, 0], [1, 1, 0]]) == 6
    assert count([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1]]) == 12
    # the braid arrangement x_i = x_j in four dimensions: one cell for each of 4! orders
    braid = [np.eye(4)[i] - np.eye(4)[j] for i in range(4) for j in range(i)]
    assert len(enumerate_patterns(np.array(braid))) == 24


def test_rays_decline_what_is_not_in_general_position() -> None:
    braid = np.array([np.eye(4)[i] - np.eye(4)[j] for i in range(4) for j in range(i)])
    assert cells_by_rays(hyperplanes(braid).normals) is None


def test_zero_rows_are_active_and_antipodal_rows_opposite() -> None:
    X = np.array([[1.0, 2.0], [0.0, 0.0], [-2.0, -4.0], [3.0, 6.0], [1.0, -1.0]])
    matrix = enumerate_patterns(X).matrix
    assert matrix.shape == (5, 4)
    assert matrix[1].all()
    np.testing.assert_array_equal(matrix[2], ~matrix[0])
    np.testing.assert_array_equal(matrix[3], matrix[0])


def test_only_zero_rows_have_one_pattern() -> None:
    patterns = enumerate_patterns(np.zeros((3, 2)))
    np.testing.assert_array_equal(patterns.matrix, np.ones((3, 1)))
    assert count_bound(np.zeros((3, 2))) == 1


@pytest.mark.parametrize(("n", "d"), [(1, 1), (1, 6), (3, 3), (3, 10), (6, 40)])
def test_as_many_columns_as_rows_make_every_pattern_possible(n: int, d: int) -> None:
    patterns = enumerate_patterns(examples("general", n, d, n))
    assert len(patterns) == 2**n == cell_count(n, min(n, d))


@pytest.mark.parametrize("exponent", [8.0, 150.0])
def test_patterns_do_not_depend_on_the_lengths_of_rows(exponent: float) -> None:
    rng = np.random.default_rng(6)
    X = rng.standard_normal((12, 3))
    scaled = X * 10.0 ** rng.uniform(-exponent, exponent, (12, 1))
    assert as_set(enumerate_patterns(scaled).matrix) == as_set(enumerate_patterns(X).matrix)


@pytest.mark.parametrize("distance", [1e-4, 1e-6, 1e-8])
def test_nearly_parallel_rows_are_two_hyperplanes(distance: float) -> None:
    rng = np.random.default_rng(7)
    X = rng.standard_normal((6, 3))
    X = np.vstack([X, X[:2] + distance * rng.standard_normal((2, 3))])
    patterns = enumerate_patterns(X)
    assert len(patterns) == cell_count(8, 3)
    assert patterns.generators is not None
    np.testing.assert_array_equal(patterns.matrix, X @ patterns.generators >= 0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_hyperplanes_are_the_directions_of_the_rows(kind: str) -> None:
    X = examples(kind, 10, 4, 8)
    planes = hyperplanes(X)
    np.testing.assert_allclose(np.linalg.norm(planes.normals, axis=1), 1.0, rtol=1e-12)
    rank = planes.basis.shape[1]
    assert rank == np.linalg.matrix_rank(X)
    np.testing.assert_allclose(planes.basis.T @ planes.basis, np.eye(rank), atol=1e-12)
    rows = X[X.any(axis=1)]
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    cosines: NDArray[np.float64] = np.abs(rows @ (planes.normals @ planes.basis.T).T)
    assert (np.abs(cosines.max(axis=1) - 1.0) <= 1e-12).all()  # every row has its hyperplane
    between = np.abs(planes.normals @ planes.normals.T) - np.eye(len(planes.normals))
    assert (between < 1.0 - 1e-12).all()  # and no two are one


@pytest.mark.parametrize(
    ("n", "rank", "expected"),
    [
        (0, 1, 1),
        (1, 1, 2),
        (5, 1, 2),
        (5, 2, 10),
        (3, 3, 8),
        (30, 3, 872),
        (30, 4, 8180),
        (3, 9, 8),
    ],
)
def test_cell_count(n: int, rank: int, expected: int) -> None:
    assert cell_count(n, rank) == expected


@pytest.mark.parametrize(("n", "d"), [(200, 6), (1000, 10), (18, 18)])
def test_too_many_cells_are_refused_with_their_count(n: int, d: int) -> None:
    X = examples("general", n, d, 9)
    count = cell_count(n, d)
    assert count_bound(X) == count
    with pytest.raises(ProblemError, match=rf"{count:,} activation patterns.*100,000"):
        enumerate_patterns(X)


def test_the_limit_counts_directions_not_rows() -> None:
    X = np.tile(examples("general", 12, 3, 10), (60, 1))
    assert len(enumerate_patterns(X)) == cell_count(12, 3)


@pytest.mark.parametrize("X", [[1.0, 2.0], [[np.nan]], np.zeros((0, 2)), [["a"]]], ids=str)
def test_enumeration_refuses_what_is_not_a_finite_matrix(X: Any) -> None:
    with pytest.raises(ProblemError, match=r"^X must"):
        enumerate_patterns(X)

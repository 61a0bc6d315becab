"""Projections on pattern cones, and the bounds made of their multipliers."""

from __future__ import annotations

from typing import NamedTuple

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from positions import KINDS, positioned
from scipy.optimize import linprog, nnls

from convexnn.contract.arrays import Array, SignArray
from convexnn.relu.cones import Facets, dual_norms, least_distance, no_facets, project_blocks

often = settings(max_examples=150)


class Case(NamedTuple):
    """Cones of some patterns and rows to project on them."""

    X: Array
    signs: SignArray
    rows: Array


def case(kind: str, n: int, d: int, seed: int, blocks: int = 12, patterns: int = 5) -> Case:
    """Data of one kind; the patterns are those of generators, so that no cone is a mistake."""
    rng = np.random.default_rng(seed)
    X = positioned(kind, n, d, rng, spread=5.0)
    generators = rng.standard_normal((d, patterns))
    signs = np.where(X @ generators >= 0.0, 1, -1)
    signs[:, 0] = rng.choice([-1, 1], n)  # in general the pattern of no generator
    rows = rng.standard_normal((blocks, d))
    rows[1 % blocks] = 0.0
    if kind == "integer":
        rows = np.round(2.0 * rows)
    return Case(X, np.ascontiguousarray(signs.T.astype(np.int8)), rows)


SIZES = [(1, 1), (6, 1), (1, 4), (3, 5), (12, 2), (20, 3), (40, 6)]
each_kind = pytest.mark.parametrize("kind", KINDS)
each_size = pytest.mark.parametrize(("n", "d"), SIZES)


def rays(c: Case, b: int) -> Array:
    """The facet normals ``e_i x_i`` of block b, one a row."""
    return np.asarray(c.signs[b % len(c.signs)][:, None] * c.X, dtype=np.float64)


def multipliers(c: Case, facets: Facets, b: int) -> Array:
    """Every example's multiplier ``eta`` in block b."""
    eta = np.zeros(len(c.X))
    for i, value in zip(facets.example[b], facets.value[b], strict=True):
        if 0 <= i < len(c.X):
            eta[i] += value
    return eta


def assert_optimal(c: Case, b: int, r: Array, facets: Facets, tau: float) -> None:
    """Karush, Kuhn and Tucker: r in K, eta >= 0, eta'(A r) = 0, c + A'eta - r in tau d||r||_1."""
    A, row = rays(c, b), c.rows[b]
    scale = float(np.linalg.norm(row))
    lengths = np.linalg.norm(A, axis=1)
    eta = multipliers(c, facets, b)
    assert (A @ r >= -1e-10 * lengths * scale).all()
    assert (eta >= 0.0).all()
    assert np.abs(eta * (A @ r)).sum() <= 1e-9 * scale * max(scale, 1e-300)
    s = row + A.T @ eta - r
    rounding = 1e-9 * scale
    assert (np.abs(s) <= tau + rounding).all()
    assert abs(s @ r - tau * np.abs(r).sum()) <= rounding * scale


def reference_bound(c: Case, b: int) -> float:
    """``max {c'v : v in K, ||v||_1 <= 1}`` by linear programming, v = p - q."""
    A, row = rays(c, b), c.rows[b]
    d = len(row)
    found = linprog(
        np.concatenate([-row, row]),
        A_ub=np.vstack([np.hstack([-A, A]), np.ones((1, 2 * d))]),
        b_ub=np.append(np.zeros(len(A)), 1.0),
        bounds=(0, None),
    )
    assert found.fun is not None
    return -float(found.fun)


def dual_norms_twin(c: Case, facets: Facets, ord_inf: bool) -> Array:
    """The kernel `dual_norms`, in plain NumPy."""
    out = []
    for b, row in enumerate(c.rows):
        total = row + rays(c, b).T @ np.maximum(multipliers(c, facets, b), 0.0)
        out.append(np.linalg.norm(total, np.inf if ord_inf else 2.0))
    return np.array(out)


def random_facets(c: Case, rng: np.random.Generator, size: float = 1.0) -> Facets:
    """Distinct facets with arbitrary multipliers >= 0, about half the slots empty."""
    facets = no_facets(*c.rows.shape)
    for b in range(len(c.rows)):
        k = min(len(c.X), c.rows.shape[1])
        facets.example[b, :k] = rng.permutation(len(c.X))[:k]
        facets.example[b, rng.random(c.rows.shape[1]) < 0.5] = -1
        facets.value[b] = size * rng.exponential(size=c.rows.shape[1])
    return facets


def test_no_facets_is_empty() -> None:
    facets = no_facets(3, 2)
    assert facets.example.dtype == np.int32
    assert (facets.example == -1).all()
    assert not facets.value.any()
    assert facets.example.shape == facets.value.shape == (3, 2)


def test_projection_worked_by_hand() -> None:
    X = np.array([[1.0, 0.0], [1.0, 1.0]])
    signs = np.array([[1, -1]], dtype=np.int8)
    facets = no_facets(3, 2)
    rows = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -2.0]])
    projected = project_blocks(X, signs, rows, facets)
    np.testing.assert_allclose(projected, [[0.0, 0.0], [0.0, -1.0], [1.0, -2.0]], atol=1e-15)
    assert facets.example[1].tolist() == [0, -1]
    np.testing.assert_allclose(facets.value[1], [1.0, 0.0])


@each_kind
@each_size
def test_projection_is_optimal(kind: str, n: int, d: int) -> None:
    for seed in range(6):
        c = case(kind, n, d, seed)
        facets = no_facets(*c.rows.shape)
        projected = project_blocks(c.X, c.signs, c.rows, facets)
        for b in range(len(c.rows)):
            assert_optimal(c, b, projected[b], facets, 0.0)


@each_kind
def test_projection_agrees_with_nonnegative_least_squares(kind: str) -> None:
    """``Proj_K(c) = c + A'eta`` with eta the minimiser of ``||c + A'eta||``."""
    for seed in range(5):
        c = case(kind, 15, 3, 50 + seed)
        projected = project_blocks(c.X, c.signs, c.rows, no_facets(*c.rows.shape))
        for b in range(len(c.rows)):
            A = rays(c, b)
            lengths = np.linalg.norm(A, axis=1)
            A = A[lengths > 0.0] / lengths[lengths > 0.0, None]
            eta, residual = nnls(A.T, -c.rows[b])
            np.testing.assert_allclose(projected[b], c.rows[b] + A.T @ eta, atol=1e-10)
            assert float(np.linalg.norm(projected[b])) == pytest.approx(float(residual), abs=1e-10)


@each_kind
@each_size
def test_prox_of_the_l1_norm_on_a_cone_is_optimal(kind: str, n: int, d: int) -> None:
    for seed in range(4):
        c = case(kind, n, d, 100 + seed)
        for tau in (0.01, 0.4, 1.5):
            facets = no_facets(*c.rows.shape)
            found = project_blocks(c.X, c.signs, c.rows, facets, tau=tau)
            for b in range(len(c.rows)):
                assert_optimal(c, b, found[b], facets, tau)


@pytest.mark.parametrize("kind", ["general", "integer", "duplicate", "antipodal", "zero"])
def test_prox_of_the_l1_norm_on_a_cone_agrees_with_an_interior_point_solver(kind: str) -> None:
    for n, d, tau in ((8, 2, 0.3), (12, 4, 0.7)):
        c = case(kind, n, d, 7, blocks=6, patterns=3)
        found = project_blocks(c.X, c.signs, c.rows, no_facets(*c.rows.shape), tau=tau)
        v = cp.Variable(c.rows.shape)
        inside = [rays(c, b) @ v[b] >= 0.0 for b in range(len(c.rows))]
        objective = 0.5 * cp.sum_squares(v - c.rows) + tau * cp.sum(cp.abs(v))
        optimum = cp.Problem(cp.Minimize(objective), inside).solve(solver=cp.CLARABEL)
        ours = 0.5 * np.square(found - c.rows).sum() + tau * np.abs(found).sum()
        assert float(ours) == pytest.approx(float(optimum), abs=1e-6)
        np.testing.assert_allclose(found, v.value, atol=3e-3)


@often
@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(1, 14),
    d=st.integers(1, 5),
    tau=st.sampled_from([0.0, 0.0, 0.2, 1.0]),
    seed=st.integers(0, 10_000),
)
def test_any_shape_is_solved_and_a_warm_start_changes_nothing(
    kind: str, n: int, d: int, tau: float, seed: int
) -> None:
    c = case(kind, n, d, seed, blocks=4, patterns=2)
    cold = no_facets(*c.rows.shape)
    found = project_blocks(c.X, c.signs, c.rows, cold, tau=tau)
    guess = random_facets(c, np.random.default_rng(seed))
    again = project_blocks(c.X, c.signs, c.rows, guess, tau=tau)
    for b in range(len(c.rows)):
        assert_optimal(c, b, found[b], cold, tau)
        assert_optimal(c, b, again[b], guess, tau)
    np.testing.assert_allclose(again, found, atol=1e-8)


@each_kind
@pytest.mark.parametrize("tau", [0.0, 0.3])
def test_warm_start_from_near_by_rows_equals_a_cold_start(kind: str, tau: float) -> None:
    rng = np.random.default_rng(3)
    c = case(kind, 20, 4, 200, blocks=20)
    warm = no_facets(*c.rows.shape)
    rows = c.rows.copy()
    for _ in range(20):
        rows = rows + 0.1 * rng.standard_normal(rows.shape)
        cold = no_facets(*c.rows.shape)
        expected = project_blocks(c.X, c.signs, rows, cold, tau=tau)
        found = project_blocks(c.X, c.signs, rows, warm, tau=tau)
        np.testing.assert_allclose(found, expected, atol=1e-9)
        for b in range(len(rows)):
            assert_optimal(c._replace(rows=rows), b, found[b], warm, tau)


@often
@given(
    kind=st.sampled_from(["general", "integer", "integer", "zero"]),
    n=st.integers(1, 14),
    d=st.integers(1, 5),
    tau=st.sampled_from([0.2, 1.0]),
    seed=st.integers(0, 10_000),
)
def test_warm_start_may_hold_coordinates(kind: str, n: int, d: int, tau: float, seed: int) -> None:
    """Facets and held coordinates may depend on one another; what is dropped must be set right."""
    c = case(kind, n, d, seed, blocks=4, patterns=2)
    rng = np.random.default_rng(seed)
    guess = no_facets(*c.rows.shape)
    for b in range(len(c.rows)):
        guess.example[b] = rng.permutation(n + d)[:d]
        guess.value[b] = rng.standard_normal(d)
    found = project_blocks(c.X, c.signs, c.rows, guess, tau=tau)
    for b in range(len(c.rows)):
        assert_optimal(c, b, found[b], guess, tau)


@pytest.mark.parametrize("seed", range(4))
def test_narrow_cones_of_many_facets_agree_with_nonnegative_least_squares(seed: int) -> None:
    """Many facets enter and leave, and few are looked at between two products with X."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((400, 12))
    signs = np.where(X @ rng.standard_normal((12, 3)) >= 0.0, 1, -1).astype(np.int8).T.copy()
    rows, facets = rng.standard_normal((9, 12)), no_facets(9, 12)
    for _ in range(3):
        found = project_blocks(X, signs, rows, facets)
        for b, row in enumerate(rows):
            A = signs[b % 3][:, None] * X
            eta, _ = nnls(A.T, -row)
            np.testing.assert_allclose(found[b], row + eta @ A, atol=1e-10)
        rows = rows + 0.5 * rng.standard_normal(rows.shape)  # from the facets of the last


def test_warm_start_with_a_held_coordinate_along_a_facet() -> None:
    X = np.array([[1.0, 2.0], [-1.0, 0.0]])
    signs = np.array([[1, -1]], dtype=np.int8)
    guess = Facets(np.array([[1, 2]], np.int32), np.array([[0.0, 0.7]]))
    found = project_blocks(X, signs, np.array([[2.0, 2.0]]), guess, tau=0.2)
    np.testing.assert_allclose(found, [[1.8, 1.8]])


def test_facets_of_the_l1_prox_start_a_projection() -> None:
    """Coordinates held at zero mean nothing to a projection and are dropped."""
    c = case("general", 20, 4, 300)
    facets = no_facets(*c.rows.shape)
    project_blocks(c.X, c.signs, c.rows, facets, tau=1.0)
    assert (facets.example >= len(c.X)).any()
    found = project_blocks(c.X, c.signs, c.rows, facets)
    expected = project_blocks(c.X, c.signs, c.rows, no_facets(*c.rows.shape))
    np.testing.assert_allclose(found, expected, atol=1e-10)
    assert (facets.example < len(c.X)).all()


def test_blocks_take_the_patterns_in_turn() -> None:
    c = case("general", 10, 3, 400, blocks=10, patterns=5)
    together = project_blocks(c.X, c.signs, c.rows, no_facets(10, 3))
    for b in range(10):
        alone = project_blocks(c.X, c.signs[b % 5 : b % 5 + 1], c.rows[b : b + 1], no_facets(1, 3))
        np.testing.assert_array_equal(together[b], alone[0])


def test_inputs_are_not_written() -> None:
    c = case("general", 10, 3, 500)
    before = [array.copy() for array in c]
    found = project_blocks(c.X, c.signs, c.rows, no_facets(*c.rows.shape), tau=0.5)
    assert not np.shares_memory(found, c.rows)
    for array, kept in zip(c, before, strict=True):
        np.testing.assert_array_equal(array, kept)


@each_kind
def test_zero_below_stops_early_only_where_the_projection_is_short(kind: str) -> None:
    stopped = 0
    for seed in range(8):
        c = case(kind, 30, 5, 600 + seed, blocks=20)
        exact = project_blocks(c.X, c.signs, c.rows, no_facets(*c.rows.shape))
        lengths = np.linalg.norm(exact, axis=1)
        for level in (0.3, 1.0, 2.0):
            facets = no_facets(*c.rows.shape)
            found = project_blocks(c.X, c.signs, c.rows, facets, zero_below=level)
            sizes = np.linalg.norm(found, axis=1)
            for b in range(len(c.rows)):
                assert sizes[b] >= lengths[b] - 1e-10
                combined = c.rows[b] + rays(c, b).T @ multipliers(c, facets, b)
                np.testing.assert_allclose(combined, found[b], atol=1e-10)
                if lengths[b] > level:
                    np.testing.assert_allclose(found[b], exact[b], atol=1e-10)
                else:
                    assert sizes[b] <= level * (1.0 + 1e-12)
                    stopped += bool(sizes[b] > lengths[b] + 1e-6)
    assert stopped > 0


@each_kind
def test_dual_norms_kernel_equals_its_twin(kind: str) -> None:
    rng = np.random.default_rng(4)
    for n, d in SIZES:
        c = case(kind, n, d, 700)
        facets = random_facets(c, rng)
        facets.value[rng.random(facets.value.shape) < 0.3] *= -1.0
        for ord_inf in (False, True):
            found = dual_norms(c.X, c.signs, c.rows, facets, ord_inf)
            np.testing.assert_allclose(found, dual_norms_twin(c, facets, ord_inf), rtol=1e-12)


def test_dual_norms_ignore_empty_slots_held_coordinates_and_negative_multipliers() -> None:
    X = np.eye(2)
    signs = np.array([[1, 1]], dtype=np.int8)
    rows = np.array([[3.0, -4.0]])
    for index, value in (([-1, -1], [9.0, 9.0]), ([2, 3], [9.0, 9.0]), ([0, 1], [-9.0, -9.0])):
        facets = Facets(np.array([index], np.int32), np.array([value]))
        np.testing.assert_allclose(dual_norms(X, signs, rows, facets, ord_inf=False), [5.0])
        np.testing.assert_allclose(dual_norms(X, signs, rows, facets, ord_inf=True), [4.0])
    facets = Facets(np.array([[1, -1]], np.int32), np.array([[1.5, 0.0]]))
    np.testing.assert_allclose(dual_norms(X, signs, rows, facets, ord_inf=True), [3.0])


@each_kind
def test_any_multipliers_bound_the_maximum_over_the_cone(kind: str) -> None:
    """Weak duality: guessed eta never bounds ``max {c'v : v in K, ||v|| <= 1}`` too low."""
    rng = np.random.default_rng(5)
    for seed in range(3):
        c = case(kind, 12, 3, 800 + seed, blocks=6, patterns=3)
        exact = project_blocks(c.X, c.signs, c.rows, no_facets(*c.rows.shape))
        largest = np.linalg.norm(exact, axis=1)
        largest_l1 = np.array([reference_bound(c, b) for b in range(len(c.rows))])
        for size in (1e-3, 0.1, 1.0, 100.0):
            facets = random_facets(c, rng, size)
            assert (dual_norms(c.X, c.signs, c.rows, facets, False) >= largest - 1e-9).all()
            assert (dual_norms(c.X, c.signs, c.rows, facets, True) >= largest_l1 - 1e-9).all()


@each_kind
def test_multipliers_of_the_projection_make_the_bound_tight(kind: str) -> None:
    c = case(kind, 12, 3, 900)
    facets = no_facets(*c.rows.shape)
    exact = project_blocks(c.X, c.signs, c.rows, facets)
    bound = dual_norms(c.X, c.signs, c.rows, facets, ord_inf=False)
    np.testing.assert_allclose(bound, np.linalg.norm(exact, axis=1), atol=1e-9)


@each_kind
def test_the_l1_prox_vanishes_exactly_where_its_bound_is_below_tau(kind: str) -> None:
    tau = 0.8
    for seed in range(4):
        c = case(kind, 12, 3, 1000 + seed, blocks=9, patterns=3)
        facets = no_facets(*c.rows.shape)
        found = project_blocks(c.X, c.signs, c.rows, facets, tau=tau)
        bound = dual_norms(c.X, c.signs, c.rows, facets, ord_inf=True)
        for b in range(len(c.rows)):
            largest = reference_bound(c, b)
            assert bound[b] >= largest - 1e-9
            if largest < tau - 1e-6:
                assert np.abs(found[b]).max() <= 1e-9
                assert bound[b] <= tau + 1e-9
            elif largest > tau + 1e-6:
                assert np.abs(found[b]).max() > 0.0
                assert bound[b] > tau


def ldp_reference(A: Array, b: Array) -> Array:
    """Lawson & Hanson's least distance programming, by SciPy's NNLS."""
    E = np.vstack([A.T, b[None, :]])
    f = np.append(np.zeros(A.shape[1]), 1.0)
    u, _ = nnls(E, f)
    r = E @ u - f
    return np.asarray(-r[:-1] / r[-1], dtype=np.float64)


@pytest.mark.parametrize(("n", "d"), [(1, 1), (1, 4), (5, 2), (12, 3), (30, 5)])
def test_least_distance_agrees_with_its_reference(n: int, d: int) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        A = rng.standard_normal((n, d))
        b = A @ rng.standard_normal(d) - 0.3 * rng.random(n)  # feasible, with room
        x = least_distance(A, b)
        assert (A @ x >= b - 1e-9).all()
        np.testing.assert_allclose(x, ldp_reference(A, b), atol=1e-7)


def test_least_distance_agrees_with_an_interior_point_solver() -> None:
    rng = np.random.default_rng(6)
    A = rng.standard_normal((10, 3))
    b = A @ rng.standard_normal(3) - 0.2
    x = cp.Variable(3)
    cp.Problem(cp.Minimize(cp.sum_squares(x)), [A @ x >= b]).solve(solver=cp.CLARABEL)
    np.testing.assert_allclose(least_distance(A, b), x.value, atol=1e-4)


def test_least_distance_of_a_margin_separates_what_can_be_separated() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((25, 3))
        A = np.where(X @ rng.standard_normal(3) >= 0.0, 1.0, -1.0)[:, None] * X
        x = least_distance(A, np.ones(25))
        assert (A @ x >= 1.0 - 1e-7).all()
        assert (A @ x <= 1.0 + 1e-7).any()  # shortest: some constraint is active


def test_least_distance_needs_nothing_where_zero_will_do() -> None:
    np.testing.assert_array_equal(least_distance(np.eye(2), np.array([-1.0, 0.0])), [0.0, 0.0])


def test_least_distance_returns_zeros_for_constraints_that_conflict() -> None:
    A = np.array([[1.0, 0.0], [-1.0, 0.0]])
    np.testing.assert_array_equal(least_distance(A, np.ones(2)), [0.0, 0.0])
    np.testing.assert_array_equal(least_distance(np.zeros((1, 2)), np.ones(1)), [0.0, 0.0])

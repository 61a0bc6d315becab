"""Every norm against its definition: dual norm, prox, projection and CVXPY atom."""

from __future__ import annotations

from itertools import product

import cvxpy as cp
import numpy as np
import pytest

from convexnn.contract.arrays import Array
from convexnn.functions.norms import L1, L2, NORMS, Linf, Norm, Nuclear, VectorNorm

DUAL: dict[str, Norm] = {"l2": L2(), "l1": Linf(), "linf": L1()}
ORDER = {"l2": 2.0, "l1": 1.0, "linf": np.inf}
SHAPES = [(1, 1), (40, 1), (40, 2), (40, 5), (7, 30)]
STEPS = [0.0, 1e-9, 0.3, 2.5, 1e6]

each_norm = pytest.mark.parametrize("norm", list(NORMS.values()), ids=list(NORMS))
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def batch(shape: tuple[int, int], seed: int = 0) -> Array:
    """Rows of many sizes, with zeros, ties and a row of zeros among them."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal(shape) * 10.0 ** rng.uniform(-3.0, 3.0, (shape[0], 1))
    rows[rng.random(shape) < 0.15] = 0.0
    if shape[0] > 4:
        rows[0] = 0.0
        rows[1] = 2.0
        rows[2] = np.where(rows[2] >= 0.0, 1.0, -1.0)
        rows[3] = np.round(rows[3])
    return np.asarray(rows, dtype=np.float64)


def unit_ball(norm: Norm, d: int, seed: int = 0) -> Array:
    """Points of the unit sphere of a norm: its vertices where there are few, and random ones."""
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((300, d))
    points /= np.linalg.norm(points, ORDER[norm.name], axis=1)[:, None]
    if norm.name == "l1":
        points = np.vstack([points, np.eye(d), -np.eye(d)])
    if norm.name == "linf" and d <= 6:
        points = np.vstack([points, np.array(list(product((-1.0, 1.0), repeat=d)))])
    return np.asarray(points)


def test_norms_are_registered_under_their_names() -> None:
    assert sorted(NORMS) == ["l1", "l2", "linf"]
    assert all(norm.name == name for name, norm in NORMS.items())


@each_norm
@each_shape
def test_value_is_that_of_numpy(norm: Norm, shape: tuple[int, int]) -> None:
    rows = batch(shape)
    expected = np.linalg.norm(rows, ORDER[norm.name], axis=1)
    np.testing.assert_allclose(norm.value(rows), expected, rtol=1e-14, atol=0.0)


@each_norm
@each_shape
def test_dual_is_the_norm_of_the_dual_order(norm: Norm, shape: tuple[int, int]) -> None:
    rows = batch(shape, 1)
    expected = np.linalg.norm(rows, ORDER[DUAL[norm.name].name], axis=1)
    np.testing.assert_allclose(norm.dual(rows), expected, rtol=1e-14, atol=0.0)


@each_norm
@pytest.mark.parametrize("d", [1, 2, 5])
def test_dual_is_the_supremum_over_the_unit_ball(norm: Norm, d: int) -> None:
    rows = batch((40, d), 2)
    dual = norm.dual(rows)
    scores = rows @ unit_ball(norm, d).T
    assert (scores <= dual[:, None] * (1.0 + 1e-12)).all()
    if norm.name == "l2":
        attained = np.einsum("ij,ij->i", rows, rows) / np.where(dual > 0.0, dual, 1.0)
    else:
        attained = scores.max(axis=1)
    np.testing.assert_allclose(attained, dual, rtol=1e-12)


@each_norm
def test_no_columns_and_no_rows(norm: Norm) -> None:
    for rows in (np.zeros((3, 0)), np.zeros((0, 3))):
        np.testing.assert_array_equal(norm.value(rows), np.zeros(len(rows)))
        np.testing.assert_array_equal(norm.dual(rows), np.zeros(len(rows)))
        assert norm.prox(rows, 0.5).shape == rows.shape
        assert norm.project(rows, 0.5).shape == rows.shape


@each_norm
def test_tiny_and_huge_rows_neither_vanish_nor_overflow(norm: Norm) -> None:
    for size in (1e-300, 1e300):
        rows = size * np.array([[3.0, -4.0], [0.0, 1.0]])
        expected = size * np.linalg.norm(rows / size, ORDER[norm.name], axis=1)
        np.testing.assert_allclose(norm.value(rows), expected, rtol=1e-14)
        inside = norm.project(rows, 0.5 * size)
        np.testing.assert_allclose(norm.value(inside), 0.5 * size, rtol=1e-12)


@each_norm
@each_shape
@pytest.mark.parametrize("step", STEPS)
def test_moreau_identity(norm: Norm, shape: tuple[int, int], step: float) -> None:
    rows = batch(shape, 3)
    rest = DUAL[norm.name].project(rows, step)
    tolerance = 1e-13 * (1.0 + np.max(np.abs(rows)))
    np.testing.assert_allclose(norm.prox(rows, step) + rest, rows, rtol=0.0, atol=tolerance)


@each_norm
@each_shape
@pytest.mark.parametrize("step", STEPS)
def test_prox_satisfies_the_optimality_conditions(
    norm: Norm, shape: tuple[int, int], step: float
) -> None:
    """``g = row - u`` has dual norm at most ``step`` and ``g'u = step ||u||``."""
    rows = batch(shape, 4)
    u = norm.prox(rows, step)
    g = rows - u
    size = 1.0 + np.linalg.norm(rows, axis=1)
    assert (norm.dual(g) <= step + 1e-12 * size).all()
    aligned = np.einsum("ij,ij->i", g, u)
    slack = 1e-12 * size * (size + step)
    assert (np.abs(aligned - step * norm.value(u)) <= slack).all()


@each_norm
def test_prox_beats_its_neighbours(norm: Norm) -> None:
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((30, 4))
    for step in (0.1, 0.8, 2.0):
        u = norm.prox(rows, step)

        def objective(p: Array, step: float = step) -> Array:
            total: Array = step * norm.value(p) + 0.5 * np.square(p - rows).sum(axis=1)
            return total

        best = objective(u)
        for scale in (1e-3, 0.1, 1.0):
            for _ in range(50):
                other = u + scale * rng.standard_normal(u.shape)
                assert (objective(other) >= best - 1e-14).all()


@each_norm
@each_shape
@pytest.mark.parametrize("radius", STEPS)
def test_projection_lies_in_the_ball_and_is_nearest(
    norm: Norm, shape: tuple[int, int], radius: float
) -> None:
    rows = batch(shape, 6)
    p = norm.project(rows, radius)
    size = 1.0 + np.linalg.norm(rows, axis=1)
    assert (norm.value(p) <= radius + 1e-13 * size).all()
    # nearest: the residual makes no acute angle with any way into the ball, i.e. its support
    # function over the ball, radius * dual norm, is attained at p
    residual = rows - p
    support = radius * norm.dual(residual)
    reached = np.einsum("ij,ij->i", residual, p)
    assert (np.abs(support - reached) <= 1e-12 * size * (size + radius)).all()


@each_norm
@each_shape
def test_projection_keeps_what_is_inside(norm: Norm, shape: tuple[int, int]) -> None:
    rows = batch(shape, 7)
    radius = float(np.max(norm.value(rows)))
    np.testing.assert_allclose(norm.project(rows, radius), rows, rtol=1e-14, atol=0.0)
    again = norm.project(norm.project(rows, 0.5 * radius), 0.5 * radius)
    once = norm.project(rows, 0.5 * radius)
    np.testing.assert_allclose(again, once, rtol=1e-12, atol=1e-13 * radius)


@each_norm
@pytest.mark.parametrize("d", [1, 2, 7])
def test_steepest_has_the_dual_norm_1_and_attains_the_norm(norm: VectorNorm, d: int) -> None:
    for u in [*batch((40, d), 11), np.full(d, 1e-300), np.full(d, 1e300)]:
        v = norm.steepest(u)
        length = float(norm.value(u[None, :])[0])
        assert float(norm.dual(v[None, :])[0]) == pytest.approx(1.0 if u.any() else 0.0)
        assert float(u @ v) == pytest.approx(length, rel=1e-14)


@each_norm
def test_exponent_is_that_of_numpy_and_sparse_says_whether_the_prox_makes_zeros(
    norm: VectorNorm,
) -> None:
    assert norm.exponent == ORDER[norm.name]
    row = np.array([[3.0, 0.2, -0.1]])
    assert bool((norm.prox(row, 0.5) == 0.0).any()) is norm.sparse


@each_norm
def test_nothing_is_written_in_place(norm: Norm) -> None:
    rows = batch((40, 5), 8)
    rows.setflags(write=False)
    before = rows.copy()
    for result in (norm.prox(rows, 0.5), norm.project(rows, 0.5), norm.project(rows, 1e9)):
        assert not np.shares_memory(result, rows)
    np.testing.assert_array_equal(rows, before)


@each_norm
def test_cvxpy_atom_sums_the_norms_of_columns(norm: Norm) -> None:
    rng = np.random.default_rng(9)
    for shape in ((1, 1), (1, 4), (3, 1), (3, 4)):
        columns = rng.standard_normal(shape)
        variable = cp.Variable(shape)
        variable.value = columns
        atom = norm.cvxpy(variable)
        assert atom.shape == ()
        assert atom.is_convex()
        assert float(atom.value) == pytest.approx(float(norm.value(columns.T).sum()), rel=1e-13)


@each_norm
def test_declared_cones_are_those_of_the_atom(norm: Norm) -> None:
    variable = cp.Variable((3, 2))
    problem = cp.Problem(cp.Minimize(norm.cvxpy(variable)))
    assert problem.is_lp() is (not norm.cones)


@each_norm
def test_prox_agrees_with_an_interior_point_solver(norm: Norm) -> None:
    row, step = np.array([[1.5, -0.4, 0.9, 0.05]]), 0.6
    u = cp.Variable((4, 1))
    fit = 0.5 * cp.sum_squares(u[:, 0] - row[0])
    cp.Problem(cp.Minimize(fit + step * norm.cvxpy(u))).solve(solver=cp.CLARABEL)
    np.testing.assert_allclose(norm.prox(row, step)[0], u.value[:, 0], atol=3e-4)


@each_norm
def test_rotates_says_whether_rotations_keep_the_norm(norm: Norm) -> None:
    rng = np.random.default_rng(10)
    rows = rng.standard_normal((20, 3))
    rotation, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    same = bool(np.allclose(norm.value(rows @ rotation), norm.value(rows), rtol=1e-12))
    assert same is norm.rotates


def of_blocks(rows: Array, k: int) -> list[Array]:
    """The d x k matrices of the patterns, by their definition."""
    m = len(rows) // k
    return [rows[p::m].T for p in range(m)]


@pytest.mark.parametrize("k", [1, 2, 5])
def test_nuclear_value_and_dual_are_those_of_numpy(k: int) -> None:
    rows = batch((6 * k, 3), seed=k)
    norm = Nuclear(outputs=k)
    value = [np.linalg.norm(block, "nuc") for block in of_blocks(rows, k)]
    dual = [np.linalg.norm(block, 2) for block in of_blocks(rows, k)]
    np.testing.assert_allclose(norm.value(rows), value, rtol=1e-12)
    np.testing.assert_allclose(norm.dual(rows), dual, rtol=1e-12)
    if k == 1:
        np.testing.assert_allclose(norm.value(rows), L2().value(rows), rtol=1e-12)


@pytest.mark.parametrize("step", [0.0, 0.3, 2.5, 1e6])
def test_nuclear_prox_meets_its_optimality_condition(step: float) -> None:
    rows, norm = batch((12, 4), seed=1), Nuclear(outputs=3)
    shrunk = norm.prox(rows, step)
    slope = rows - shrunk  # step times a subgradient: in the dual ball, and aligned
    assert np.all(norm.dual(slope) <= step + 1e-12 * norm.dual(rows))
    aligned = np.array(
        [np.sum(a * b) for a, b in zip(of_blocks(slope, 3), of_blocks(shrunk, 3), strict=True)]
    )
    room = 1e-12 * np.square(norm.value(rows))
    assert np.all(np.abs(aligned - step * norm.value(shrunk)) <= room)
    np.testing.assert_allclose(norm.project(rows, step), slope, atol=1e-11 * np.max(np.abs(rows)))


def test_nuclear_cvxpy_atom_is_the_norm() -> None:
    rows, norm = batch((6, 4)), Nuclear(outputs=3)
    atom = norm.cvxpy(cp.Constant(rows.T))
    assert float(atom.value) == pytest.approx(float(norm.value(rows).sum()), rel=1e-10)


def test_a_nuclear_norm_of_what_is_not_finite_is_infinite() -> None:
    rows = np.ones((6, 4))  # three blocks of two rows: 0 and 3, 1 and 4, 2 and 5
    rows[1, 2], rows[5, 0] = np.nan, np.inf
    norm = Nuclear(2)
    for values in (norm.value(rows), norm.dual(rows)):
        assert values[0] == pytest.approx(np.sqrt(8.0))
        assert np.isinf(values[1:]).all()

"""Nesterov-Todd scaling and the Jordan algebra of second-order cones, against dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convexnn.contract.arrays import Array
from convexnn.solvers.scaling import Pair, Scaling, product, quotient, room

often = settings(max_examples=60)
M = 5  # cones at once

cones = {
    "k": st.integers(1, 6),
    "seed": st.integers(0, 100_000),
    "depth": st.floats(-4.0, 1.0),
    "scale": st.floats(-3.0, 3.0),
}


def interior(rng: np.random.Generator, k: int, depth: float, scale: float) -> Pair:
    """Points at relative distances near ``10^depth`` from the boundary."""
    tail = rng.standard_normal((M, k))
    tail[0] = 0.0
    length = np.linalg.norm(tail, axis=1)
    size = 10.0 ** (scale + rng.uniform(-1.0, 1.0, M))
    room_left = 10.0 ** (depth + rng.uniform(-0.5, 0.5, M))
    return Pair(size * (np.maximum(length, 1.0) + room_left), size[:, None] * tail)


def points(k: int, seed: int, depth: float, scale: float) -> tuple[Pair, Pair]:
    rng = np.random.default_rng(seed)
    return interior(rng, k, depth, scale), interior(rng, k, depth, -scale)


def anything(k: int, seed: int) -> Pair:
    rng = np.random.default_rng(seed + 1)
    return Pair(rng.standard_normal(M), rng.standard_normal((M, k)))


def stacked(v: Pair) -> Array:
    """One vector (head, tail) a row."""
    return np.column_stack([v.head, v.tail])


def dense(s: Array, y: Array) -> Array:
    """The scaling matrix of one cone: ``W = P(w)^(1/2)`` of the point w with ``P(w) y = s``.

    ``P(x) = 2 x x' - det(x) J`` is the quadratic representation, ``W^2 = P(w)`` and w the
    geometric mean ``P(s^(1/2)) (P(s^(1/2)) y)^(-1/2)``, all by spectral decompositions.
    """
    half = power(s, 0.5)
    middle = power(representation(half) @ y, -0.5)
    w = representation(half) @ middle
    return representation(power(w, 0.5))


def representation(x: Array) -> Array:
    J = np.diag([1.0, *([-1.0] * (len(x) - 1))])
    return 2.0 * np.outer(x, x) - float(x @ J @ x) * J


def power(x: Array, exponent: float) -> Array:
    """A power in the Jordan algebra: on the two eigenvalues ``x0 +- ||x1||``."""
    length = float(np.linalg.norm(x[1:]))
    unit = x[1:] / length if length > 0.0 else np.eye(len(x) - 1)[0]
    high, low = (x[0] + length) ** exponent, (x[0] - length) ** exponent
    return np.concatenate([[0.5 * (high + low)], 0.5 * (high - low) * unit])


def near(found: Array, expected: Array, tol: float = 1e-7) -> None:
    """Compare cone by cone, relative to the largest entry."""
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0.0, atol=tol * float(np.max(np.abs(b))))


def inner_schur(W: Array) -> tuple[Array, Array]:
    """``W^-2`` and the Schur complement of its head in its tail."""
    inverse = np.asarray(np.linalg.inv(W @ W), dtype=np.float64)
    return inverse, inverse[1:, 1:] - np.outer(inverse[1:, 0], inverse[0, 1:]) / inverse[0, 0]


@often
@given(**cones)
def test_scaling_maps_both_points_to_the_same_one(
    k: int, seed: int, depth: float, scale: float
) -> None:
    s, y = points(k, seed, depth, scale)
    W = Scaling(s, y)
    near(stacked(W.times(y)), stacked(W.divide(s)))


@often
@given(**cones)
def test_scaling_is_the_dense_one_built_by_spectral_powers(
    k: int, seed: int, depth: float, scale: float
) -> None:
    s, y = points(k, seed, max(depth, -2.0), scale)
    W = Scaling(s, y)
    images = [W.times(Pair(np.full(M, e[0]), np.tile(e[1:], (M, 1)))) for e in np.eye(k + 1)]
    for b in range(M):
        found = np.column_stack([stacked(image)[b] for image in images])
        expected = dense(stacked(s)[b], stacked(y)[b])
        near(found[None], expected[None])


@often
@given(**cones)
def test_scaling_is_a_symmetric_automorphism_of_the_cone(
    k: int, seed: int, depth: float, scale: float
) -> None:
    s, y = points(k, seed, depth, scale)
    W, a, b = Scaling(s, y), anything(k, seed), anything(k, seed + 7)
    left = np.sum(stacked(W.times(a)) * stacked(b), axis=1)
    right = np.sum(stacked(a) * stacked(W.times(b)), axis=1)
    size = np.sum(np.abs(stacked(W.times(a)) * stacked(b)), axis=1)
    np.testing.assert_allclose(left, right, rtol=0.0, atol=1e-12 * float(np.max(size)))
    edge = Pair(np.linalg.norm(a.tail, axis=1), a.tail)
    image = W.times(edge)
    length = np.linalg.norm(image.tail, axis=1)
    assert (image.head > 0.0).all()
    np.testing.assert_allclose(length / image.head, 1.0, atol=1e-6)


@often
@given(**cones)
def test_divide_undoes_times(k: int, seed: int, depth: float, scale: float) -> None:
    W, v = Scaling(*points(k, seed, depth, scale)), anything(k, seed)
    near(stacked(W.divide(W.times(v))), stacked(v), 1e-5)
    near(stacked(W.times(W.divide(v))), stacked(v), 1e-5)


@often
@given(**cones)
def test_root_and_largest_are_those_of_the_schur_complement(
    k: int, seed: int, depth: float, scale: float
) -> None:
    s, y = points(k, seed, max(depth, -2.0), scale)
    W = Scaling(s, y)
    columns = [W.root(np.tile(e, (M, 1))) for e in np.eye(k)]
    for b in range(M):
        R = np.column_stack([column[b] for column in columns])
        _, H = inner_schur(dense(stacked(s)[b], stacked(y)[b]))
        inverse = np.asarray(np.linalg.inv(H), dtype=np.float64)
        near((R @ R)[None], inverse[None], 1e-6)
        np.testing.assert_allclose(R, R.T, atol=1e-12 * float(np.max(np.abs(R))))
        assert np.linalg.eigvalsh(R)[0] > 0.0
        bent = np.column_stack([W.bent(np.tile(e, (M, 1)))[b] for e in np.eye(k)])
        near(bent[None], H[None], 1e-6)
        assert W.largest()[b] == pytest.approx(np.linalg.eigvalsh(inverse)[-1], rel=1e-6)


@often
@given(**cones)
def test_eliminating_the_head_solves_the_whole_system(
    k: int, seed: int, depth: float, scale: float
) -> None:
    s, y = points(k, seed, max(depth, -2.0), scale)
    W, v = Scaling(s, y), anything(k, seed)
    load = W.eliminate_head(v)
    tail = W.root(W.root(load))
    head = W.head(v.head, tail)
    for b in range(M):
        inverse, _ = inner_schur(dense(stacked(s)[b], stacked(y)[b]))
        right = v.tail[b] - inverse[1:, 0] / inverse[0, 0] * v.head[b]
        near(load[b][None], right[None], 1e-6)
        expected = np.linalg.solve(inverse, stacked(v)[b])
        near(np.concatenate([head[b : b + 1], tail[b]])[None], expected[None], 1e-5)


@often
@given(**cones)
def test_quotient_undoes_the_product(k: int, seed: int, depth: float, scale: float) -> None:
    a, _ = points(k, seed, max(depth, -2.0), scale)
    x = anything(k, seed)
    near(stacked(quotient(a, product(a, x))), stacked(x), 1e-6)
    near(stacked(product(a, quotient(a, x))), stacked(x), 1e-6)


def test_product_is_that_of_the_arrow_matrix() -> None:
    a, b = anything(4, 0), anything(4, 9)
    found = stacked(product(a, b))
    for row, x, y in zip(found, stacked(a), stacked(b), strict=True):
        arrow = x[0] * np.eye(5)
        arrow[0, 1:] = arrow[1:, 0] = x[1:]
        np.testing.assert_allclose(row, arrow @ y, rtol=1e-14, atol=1e-14)


def bisected(at: Array, move: Array) -> float:
    """The largest step inside of one cone by halving; infinity beyond 1e9."""

    def inside(t: float) -> bool:
        x = at + t * move
        return bool(x[0] >= np.linalg.norm(x[1:]))

    low, high = 0.0, 1.0
    while inside(high):
        low, high = high, 2.0 * high
        if high > 1e9:
            return np.inf
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if inside(middle) else (low, middle)
    return low


@often
@given(**cones)
def test_room_is_that_of_bisection(k: int, seed: int, depth: float, scale: float) -> None:
    at, _ = points(k, seed, max(depth, -2.0), scale)
    move = anything(k, seed)
    steps = [bisected(a, b) for a, b in zip(stacked(at), stacked(move), strict=True)]
    assert room(at, move) == pytest.approx(min(steps), rel=1e-6)


@pytest.mark.parametrize(
    ("move", "expected"),
    [
        ([1.0, 0.0, 0.0], np.inf),  # deeper
        ([1.0, 1.0, 0.0], np.inf),  # along a ray of the boundary
        ([0.0, 0.0, 0.0], np.inf),  # nowhere
        ([-1.0, 0.0, 0.0], 2.0),  # to the tip
        ([-1.0, 1.0, 0.0], 1.0),  # where the quadratic has no square term
        ([-1.0, -0.5, 0.0], 4.0 / 3.0),
        ([0.0, 0.0, 1.0], 2.0),
    ],
)
def test_room_in_special_directions(move: list[float], expected: float) -> None:
    at = Pair(np.array([2.0]), np.zeros((1, 2)))
    found = room(at, Pair(np.array(move[:1]), np.array([move[1:]])))
    assert found == pytest.approx(expected, rel=1e-12)


@often
@given(**cones)
def test_room_is_the_least_over_the_cones(k: int, seed: int, depth: float, scale: float) -> None:
    at, _ = points(k, seed, depth, scale)
    move = anything(k, seed)
    each = [
        room(
            Pair(at.head[b : b + 1], at.tail[b : b + 1]),
            Pair(move.head[b : b + 1], move.tail[b : b + 1]),
        )
        for b in range(M)
    ]
    assert room(at, move) == min(each)

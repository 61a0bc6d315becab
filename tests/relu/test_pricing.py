"""Pricing: what it finds is attained, is never above the true maximum, and reaches it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from positions import KINDS, positioned
from scipy.optimize import linprog

import convexnn as cx
from convexnn.contract.arrays import Array, BoolArray
from convexnn.relu.cones import no_facets, project_blocks
from convexnn.relu.forms import NetworkForm
from convexnn.relu.pricing.cell_pricing import Priced, ascend, price, walk

often = settings(max_examples=60)

ROUNDING = 1e-9  # relative, of a worth against its definition
HIT = 1e-7  # relative, of the best worth found against the maximum
STARTS = 400

any_case = {
    "kind": st.sampled_from([*KINDS, "wide"]),
    "leak": st.sampled_from([0.0, 0.3]),
    "n": st.integers(2, 12),
    "d": st.integers(1, 3),
    "seed": st.integers(0, 100_000),
}


def make_form(kind: str, n: int, d: int, seed: int, **changes: Any) -> NetworkForm:
    rng = np.random.default_rng(seed)
    wide = kind == "wide"
    X = positioned(kind, min(n, 3) if wide else n, d + 3 if wide else d, rng, spread=2.0)
    if not X.any():
        X[0, 0] = 1.0
    problem = cx.ReluTraining(X, np.ones(len(X)), **({"beta": 0.5} | changes))
    return problem.canonical(NetworkForm)


def searching(form: NetworkForm) -> NetworkForm:
    """The same form where the cells are not listed."""
    return form._replace(cells=None)


def weights(form: NetworkForm, seed: int) -> Array:
    return np.random.default_rng(seed + 1).standard_normal(len(form.y))


def directions(form: NetworkForm, count: int, seed: int) -> Array:
    return np.random.default_rng(seed + 2).standard_normal((count, form.X.shape[1]))


def worth(form: NetworkForm, mu: Array, u: Array) -> float:
    size = float(form.norm.value(u[None])[0])
    return float(mu @ form.activate(form.X @ u)) / size if size > 0.0 else 0.0


def maxima(form: NetworkForm, mu: Array, matrix: BoolArray) -> Array:
    """The largest worth in each cell: a projection, or a linear program."""
    rows = np.ascontiguousarray((np.where(matrix, 1.0, form.leak) * mu[:, None]).T @ form.X)
    signs = np.ascontiguousarray(np.where(matrix, 1, -1).T.astype(np.int8))
    if form.norm.rotates:
        inside = project_blocks(form.X, signs, rows, no_facets(*rows.shape))
        return np.asarray(np.linalg.norm(inside, axis=1), dtype=np.float64)
    best = []
    for row, sign in zip(rows, signs, strict=True):
        A = sign[:, None] * form.X
        found = linprog(
            np.concatenate([-row, row]),
            A_ub=np.vstack([np.hstack([-A, A]), np.ones((1, 2 * len(row)))]),
            b_ub=np.append(np.zeros(len(A)), 1.0),
            bounds=(0, None),
        )
        assert found.fun is not None
        best.append(-float(found.fun))
    return np.array(best)


def size_of(form: NetworkForm, mu: Array) -> float:
    return float(np.abs(mu) @ np.linalg.norm(form.X, axis=1))


def assert_attained(form: NetworkForm, mu: Array, priced: Priced) -> None:
    """Each worth is that of its point, which lies in its cell; no cell comes twice."""
    room = ROUNDING * size_of(form, mu)
    for k, (value, u) in enumerate(zip(priced.worth, priced.points, strict=True)):
        assert worth(form, mu, u) == pytest.approx(value, abs=room)
        t = np.where(priced.matrix[:, k], 1.0, -1.0) * (form.X @ u)
        assert t.min() >= -1e-9 * np.linalg.norm(u) * np.linalg.norm(form.X)
    assert (np.diff(priced.worth) <= 0.0).all()
    assert np.unique(priced.matrix, axis=1).shape == priced.matrix.shape


@often
@given(**any_case)
def test_worth_is_attained_and_reaches_the_maximum_over_every_cell(
    kind: str, leak: float, n: int, d: int, seed: int
) -> None:
    form = make_form(kind, n, d, seed, leak=leak)
    assert form.cells is not None
    mu = weights(form, seed)
    exact = maxima(form, mu, form.cells)
    found = price(searching(form), mu, directions(form, STARTS, seed))
    assert_attained(form, mu, found)
    room = HIT * size_of(form, mu)
    assert found.worth[0] <= exact.max() + room
    assert found.worth[0] >= exact.max() - room


@often
@given(**any_case)
def test_listed_cells_are_each_priced_exactly(
    kind: str, leak: float, n: int, d: int, seed: int
) -> None:
    form = make_form(kind, n, d, seed, leak=leak)
    assert form.cells is not None
    mu = weights(form, seed)
    found = price(form, mu, directions(form, 1, seed))
    assert found.matrix.shape[1] == form.cells.shape[1]
    assert_attained(form, mu, found)
    np.testing.assert_allclose(
        found.worth, maxima(form, mu, found.matrix), rtol=0.0, atol=HIT * size_of(form, mu)
    )


@often
@given(**any_case, beta=st.floats(-2.0, 0.0))
def test_l1_worth_is_a_lower_bound_and_exact_in_being_above_beta(
    kind: str, leak: float, n: int, d: int, seed: int, beta: float
) -> None:
    form = make_form(kind, n, d, seed, leak=leak, penalty="l1", beta=10.0**beta)
    assert form.cells is not None
    mu = weights(form, seed)
    room = HIT * size_of(form, mu)
    listed = price(form, mu, directions(form, 1, seed))
    searched = price(searching(form), mu, directions(form, STARTS, seed))
    for found in (listed, searched):
        assert_attained(form, mu, found)
        exact = maxima(form, mu, found.matrix)
        assert (found.worth <= exact + room).all()
    exact = maxima(form, mu, listed.matrix)
    clear = np.abs(exact - form.beta) > 1e-6 * size_of(form, mu)
    np.testing.assert_array_equal((listed.worth > form.beta)[clear], (exact > form.beta)[clear])


@often
@given(**any_case)
def test_ascend_never_goes_down(kind: str, leak: float, n: int, d: int, seed: int) -> None:
    form = searching(make_form(kind, n, d, seed, leak=leak))
    mu, starts = weights(form, seed), directions(form, 40, seed)
    kept = starts.copy()
    ends = ascend(form, mu, starts)
    np.testing.assert_array_equal(starts, kept)
    room = 1e-3 * size_of(form, mu)  # its inner problems are solved roughly
    for begin, end in zip(starts, ends, strict=True):
        before = worth(form, mu, begin)
        if before > 0.0:
            assert worth(form, mu, end) >= before - room


@often
@given(**any_case)
def test_walk_is_never_below_the_cells_it_starts_from(
    kind: str, leak: float, n: int, d: int, seed: int
) -> None:
    form = searching(make_form(kind, n, d, seed, leak=leak))
    mu = weights(form, seed)
    matrix = form.X @ directions(form, 5, seed).T >= 0.0
    before = maxima(form, mu, matrix)
    found = walk(form, mu, matrix)
    assert_attained(form, mu, found)
    assert found.worth[0] >= before.max() - ROUNDING * size_of(form, mu)
    alone = [walk(form, mu, matrix[:, k : k + 1]).worth[0] for k in range(matrix.shape[1])]
    for start, end in zip(before, alone, strict=True):
        assert end >= start - ROUNDING * size_of(form, mu)


def test_walk_improves_on_random_cells() -> None:
    form = searching(make_form("general", 40, 4, 0))
    mu = weights(form, 0)
    matrix = form.X @ directions(form, 10, 0).T >= 0.0
    assert walk(form, mu, matrix).worth[0] > 1.2 * maxima(form, mu, matrix).max()


def test_pricing_finds_more_than_random_directions() -> None:
    form = searching(make_form("general", 60, 6, 1))
    mu = weights(form, 1)
    starts = directions(form, 50, 1)
    best = max(worth(form, mu, u) for u in starts)
    assert price(form, mu, starts).worth[0] > 1.15 * best


def test_ascend_improves_nearly_every_start_and_pricing_keeps_the_gain() -> None:
    form = searching(make_form("general", 60, 6, 1))
    mu, starts = weights(form, 1), directions(form, 30, 1)
    ends = ascend(form, mu, starts)
    before = np.array([worth(form, mu, u) for u in starts])
    after = np.array([worth(form, mu, u) for u in ends])
    assert np.mean(after > before + 1.0) >= 0.9
    assert np.median(after) > 2.0 * np.median(before)
    assert price(form, mu, starts).worth[0] >= after.max() * (1.0 - ROUNDING)


def test_pricing_is_the_same_on_every_call() -> None:
    form = searching(make_form("general", 30, 3, 2))
    mu, starts = weights(form, 2), directions(form, 20, 2)
    first, second = price(form, mu, starts), price(form, mu, starts)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("penalty", ["l2", "l1"])
def test_nothing_is_worth_anything_at_a_zero_dual_point(penalty: str) -> None:
    form = make_form("general", 10, 2, 3, penalty=penalty)
    for one in (form, searching(form)):
        found = price(one, np.zeros(10), directions(form, 5, 3))
        assert not found.worth.any()
        assert np.isfinite(found.points).all()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_weights_of_one_sign_are_priced(sign: float) -> None:
    """With only concave terms the worth of a neuron is at most zero."""
    form = make_form("general", 12, 3, 4)
    assert form.cells is not None
    mu = sign * np.abs(weights(form, 4))
    found = price(searching(form), mu, directions(form, STARTS, 4))
    exact = float(maxima(form, mu, form.cells).max())
    assert found.worth[0] == pytest.approx(exact, abs=HIT * size_of(form, mu))
    assert (exact > 0.0) == (sign > 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(150))
def test_the_maximum_over_every_cell_is_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kind, leak = str(rng.choice([*KINDS, "wide"])), float(rng.choice([0.0, 0.3]))
    d = int(rng.integers(1, 5))
    form = make_form(kind, int(rng.integers(2, (40, 30, 20, 14)[d - 1])), d, seed, leak=leak)
    if form.cells is None:
        pytest.skip("too many cells to list")
    mu = weights(form, seed)
    found = price(searching(form), mu, directions(form, STARTS, seed))
    exact = float(maxima(form, mu, form.cells).max())
    assert found.worth[0] == pytest.approx(exact, abs=HIT * size_of(form, mu))

"""Brackets of the pricing problem, against the maximum over every cell."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from positions import KINDS, positioned
from scipy.optimize import linprog

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.relu.cones import no_facets, project_blocks
from convexnn.relu.pricing import cone_search
from convexnn.relu.pricing.pricing_bound import (
    Bracket,
    Cover,
    alarm,
    bracket,
    closed_form,
    proved,
    reduced,
    row_space,
)

often = settings(max_examples=120)

each_kind = pytest.mark.parametrize("kind", KINDS)
each_norm = pytest.mark.parametrize("l1", [False, True])
each_leak = pytest.mark.parametrize("leak", [0.0, 0.3])
ROUNDING = 1e-12  # of the references, on the scale of the data
CLOSED = 1e-8


def data(kind: str, n: int, r: int, seed: int) -> tuple[Array, Array]:
    """Rows in one kind of position, and weights of both signs."""
    rng = np.random.default_rng(seed)
    X = positioned(kind, n, r, rng)
    mu = rng.standard_normal(n)
    return X, np.round(2.0 * mu) if kind == "integer" else mu


def objective(X: Array, mu: Array, u: Array, leak: float) -> float:
    t = X @ u
    return float(mu @ np.maximum(t, leak * t))


def scale(X: Array, mu: Array) -> float:
    return float(np.abs(mu) @ np.linalg.norm(X, axis=1))


def exact(X: Array, mu: Array, leak: float, l1: bool) -> float:
    """The maximum, cell by cell: a projection each, or a linear program."""
    matrix = cx.enumerate_patterns(X).matrix
    rows = np.ascontiguousarray((np.where(matrix, 1.0, leak) * mu[:, None]).T @ X)
    signs = np.ascontiguousarray(np.where(matrix, 1, -1).T.astype(np.int8))
    if not l1:
        inside = project_blocks(X, signs, rows, no_facets(*rows.shape))
        return float(np.max(np.linalg.norm(inside, axis=1)))
    best = 0.0
    d = X.shape[1]
    for row, sign in zip(rows, signs, strict=True):
        A = sign[:, None] * X
        found = linprog(
            np.concatenate([-row, row]),
            A_ub=np.vstack([np.hstack([-A, A]), np.ones((1, 2 * d))]),
            b_ub=np.append(np.zeros(len(A)), 1.0),
            bounds=(0, None),
        )
        assert found.fun is not None
        best = max(best, -float(found.fun))
    return best


def assert_bracket(found: Bracket, X: Array, mu: Array, leak: float, l1: bool, best: float) -> None:
    """The bracket holds the maximum, and its point attains its value."""
    size = scale(X, mu)
    assert found.upper >= best - (1e-7 * size if l1 else ROUNDING * size)
    assert found.value <= found.upper
    assert found.value <= best + (1e-7 if l1 else 1e-9) * size
    assert found.value == pytest.approx(objective(X, mu, found.point, leak), abs=ROUNDING * size)
    length = np.linalg.norm(found.point, 1 if l1 else 2)
    assert length == pytest.approx(1.0 if found.value > 0.0 else 0.0, abs=1e-12)


def closed(found: Bracket, X: Array, mu: Array) -> bool:
    return found.upper - found.value <= CLOSED * found.upper + ROUNDING * scale(X, mu)


@each_kind
@each_leak
@pytest.mark.parametrize(("n", "r"), [(1, 1), (7, 1), (9, 2), (1, 3), (15, 3), (10, 4)])
def test_the_bracket_closes_on_the_best_cell(kind: str, leak: float, n: int, r: int) -> None:
    X, mu = data(kind, n, r, 10 * n + r)
    for weights in (mu, -mu, np.abs(mu), -np.abs(mu)):
        found = bracket(X, weights, leak=leak)
        assert_bracket(found, X, weights, leak, False, exact(X, weights, leak, False))
        assert closed(found, X, weights)


@each_kind
@each_leak
@pytest.mark.parametrize(("n", "r"), [(4, 1), (7, 2), (6, 3)])
def test_the_bracket_closes_in_the_l1_norm(kind: str, leak: float, n: int, r: int) -> None:
    X, mu = data(kind, n, r, 20 * n + r)
    for weights in (mu, -mu):
        found = bracket(X, weights, leak=leak, l1=True)
        assert_bracket(found, X, weights, leak, True, exact(X, weights, leak, True))
        assert closed(found, X, weights)


@often
@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(1, 9),
    r=st.integers(1, 3),
    seed=st.integers(0, 10**6),
    leak=st.sampled_from([0.0, 0.0, 0.1, 0.9, 1.0]),
    nodes=st.integers(1, 60),
)
def test_any_budget_gives_a_bracket(
    kind: str, n: int, r: int, seed: int, leak: float, nodes: int
) -> None:
    X, mu = data(kind, n, r, seed)
    found = bracket(X, mu, leak=leak, nodes=nodes)
    assert found.nodes <= nodes
    assert_bracket(found, X, mu, leak, False, exact(X, mu, leak, False))


@often
@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(1, 12),
    r=st.integers(1, 5),
    seed=st.integers(0, 10**6),
    leak=st.sampled_from([0.0, 0.5]),
    l1=st.booleans(),
    nodes=st.integers(1, 200),
)
def test_no_neuron_exceeds_the_upper_bound(
    kind: str, n: int, r: int, seed: int, leak: float, l1: bool, nodes: int
) -> None:
    X, mu = data(kind, n, r, seed)
    found = bracket(X, mu, leak=leak, l1=l1, nodes=nodes)
    rng = np.random.default_rng(seed)
    u = np.vstack([rng.standard_normal((400, r)), np.eye(r), -np.eye(r), X, -X])
    size = np.linalg.norm(u, 1 if l1 else 2, axis=1)
    u = u[size > 0.0] / size[size > 0.0, None]
    T = u @ X.T
    assert np.max(np.maximum(T, leak * T) @ mu) <= found.upper + 1e-15 * scale(X, mu)


@each_norm
def test_more_nodes_never_loosen_the_bracket(l1: bool) -> None:
    X, mu = data("general", 40, 4, 3)
    found = [bracket(X, mu, l1=l1, nodes=k) for k in (1, 16, 20, 40, 80, 200, 1_000, 50_000)]
    uppers, values = [b.upper for b in found], [b.value for b in found]
    assert uppers == sorted(uppers, reverse=True)
    assert values == sorted(values)
    assert uppers[0] > 1.1 * uppers[-1]
    assert closed(found[-1], X, mu)


@each_norm
def test_a_target_ends_the_search(l1: bool) -> None:
    X, mu = data("general", 60, 4, 5)
    best = bracket(X, mu, l1=l1)
    before = best.nodes
    for share in (1.001, 1.1, 1.5):
        found = bracket(X, mu, l1=l1, target=share * best.value)
        assert best.value <= found.upper <= share * best.value
        assert found.nodes <= before
        before = found.nodes
    missed = bracket(X, mu, l1=l1, target=0.9 * best.value)
    assert missed.upper == pytest.approx(best.upper, rel=1e-8)


@each_norm
def test_the_answer_is_the_same_every_time(l1: bool) -> None:
    X, mu = data("general", 50, 4, 6)
    first, second = (bracket(X, mu, l1=l1, nodes=300) for _ in range(2))
    assert first[:2] == second[:2]
    assert first.nodes == second.nodes
    np.testing.assert_array_equal(first.point, second.point)


@each_norm
def test_inputs_are_left_alone(l1: bool) -> None:
    X, mu = data("antipodal", 12, 3, 7)
    X.setflags(write=False)
    mu.setflags(write=False)
    expected = bracket(X.copy(), mu.copy(), l1=l1)
    assert bracket(X, mu, l1=l1).upper == expected.upper
    assert bracket(np.asfortranarray(X), mu, l1=l1).upper == pytest.approx(expected.upper)


@each_norm
@pytest.mark.parametrize("leak", [0.0, 1.0])
def test_nothing_to_price(l1: bool, leak: float) -> None:
    for X, mu in [
        (np.ones((3, 2)), np.zeros(3)),
        (np.zeros((3, 2)), np.ones(3)),
        (np.array([[1.0, 2.0], [1.0, 2.0]]), np.array([1.0, -1.0])),
    ]:
        found = bracket(X, mu, leak=leak, l1=l1)
        assert found.value <= 1e-15
        assert found.value <= found.upper <= 1e-12


def test_weights_of_one_sign_have_a_closed_form() -> None:
    """With leak 1 the objective is linear; with mu < 0 and leak 0 it has no positive value
    unless a neuron is dead, and its value is then 0."""
    X, mu = data("general", 20, 3, 8)
    linear = bracket(X, mu, leak=1.0)
    assert linear.value == pytest.approx(float(np.linalg.norm(X.T @ mu)), rel=1e-12)
    assert linear.nodes <= 8
    dead = bracket(X, -np.abs(mu))
    assert dead.value == 0.0
    assert dead.upper <= 1e-11 * scale(X, mu)


def test_opposite_terms_on_one_hyperplane_cancel() -> None:
    X, mu = data("general", 15, 3, 9)
    doubled = np.vstack([X, 2.0 * X, -X])
    weights = np.concatenate([3.0 * mu, -mu, np.zeros(15)])
    assert len(reduced(doubled, weights, 0.0, np.eye(3)).rows) == 15
    assert bracket(doubled, weights).upper == pytest.approx(bracket(X, mu).upper, rel=1e-9)


@each_norm
@pytest.mark.parametrize("factor", [1e-300, 1e-150, 1e-6, 1e6, 1e150])
def test_the_bracket_scales_with_the_data(l1: bool, factor: float) -> None:
    X, mu = data("general", 20, 3, 10)
    expected = bracket(X, mu, l1=l1)
    for found in (bracket(factor * X, mu, l1=l1), bracket(X, factor * mu, l1=l1)):
        assert found.upper / factor == pytest.approx(expected.upper, rel=1e-8)
        assert found.value / factor == pytest.approx(expected.value, rel=1e-8)
    weights = mu.copy()
    weights[:10] *= factor
    mixed = bracket(X, weights, l1=l1)
    assert closed(mixed, X, weights)


@each_kind
@each_leak
def test_reduced_terms_are_the_objective(kind: str, leak: float) -> None:
    X, mu = data(kind, 14, 3, 11)
    basis = row_space(X)
    terms = reduced(X, mu, leak, basis)
    signs = np.where(terms.positive, 1.0, -1.0)
    for u in np.random.default_rng(0).standard_normal((20, 3)):
        t = basis.T @ u
        sums = float(terms.base @ t + signs @ np.maximum(terms.rows @ t, 0.0))
        allowed = terms.allowance * float(np.linalg.norm(u))
        assert abs(sums - objective(X, mu, u, leak)) <= allowed


@each_kind
@each_leak
@each_norm
def test_the_closed_form_covers_the_search(kind: str, leak: float, l1: bool) -> None:
    X, mu = data(kind, 12, 3, 12)
    found = bracket(X, mu, leak=leak, l1=l1)
    assert found.value <= closed_form(X, mu, leak, l1) + ROUNDING * scale(X, mu)
    assert found.upper <= closed_form(X, mu, leak, l1)
    assert bracket(X, mu, leak=leak, l1=l1, nodes=1).upper <= closed_form(X, mu, leak, l1)


def test_a_full_memory_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's constant is compiled in, so its Python twin is run."""
    X, mu = data("general", 25, 3, 13)
    best = bracket(X, mu)
    monkeypatch.setattr(cone_search, "_search", cone_search._search.py_func)
    for size in (1, 1_000):
        monkeypatch.setattr(cone_search, "MEMORY", size)
        found = bracket(X, mu)
        assert found.nodes < best.nodes
        assert_bracket(found, X, mu, 0.0, False, best.value)


@each_norm
def test_little_room_changes_nothing(l1: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    X, mu = data("general", 40, 4, 3)
    found = bracket(X, mu, l1=l1, nodes=400)
    assert found.cover is not None
    whole: list[Any] = [*found[:4], *found.cover, proved(X, mu, found.cover, l1=l1)]
    for name, least in (("CONES", 1), ("POOL", 0), ("DEPTH", 1), ("BRANCHES", 1)):
        monkeypatch.setattr(cone_search, name, least)
    found = bracket(X, mu, l1=l1, nodes=400)
    assert found.cover is not None
    again: list[Any] = [*found[:4], *found.cover, proved(X, mu, found.cover, l1=l1)]
    assert all(np.array_equal(a, b) for a, b in zip(whole, again, strict=True))


@pytest.mark.parametrize("penalty", ["l2", "l1"])
def test_the_dual_of_a_trained_network_is_priced(penalty: str) -> None:
    """Every active neuron attains beta there: many maximisers, as near as the solve is exact."""
    rng = np.random.default_rng(14)
    X = np.hstack([rng.standard_normal((15, 2)), np.ones((15, 1))])
    y = np.abs(X[:, 0]) - np.maximum(X @ rng.standard_normal(3), 0.0)
    y += 0.1 * rng.standard_normal(15)
    patterns = cx.enumerate_patterns(X)
    problem = cx.ReluTraining(X, y, beta=0.1, patterns=patterns, penalty=penalty)
    solution = cx.solve(problem, "admm", tol=1e-6)
    mu = np.asarray(solution.dual.mu)
    found = [bracket(X, side, l1=penalty == "l1") for side in (mu, -mu)]
    assert all(closed(b, X, mu) for b in found)
    assert max(b.upper for b in found) == pytest.approx(0.1, rel=1e-2)
    for b, side in zip(found, (mu, -mu), strict=True):
        enough = bracket(X, side, l1=penalty == "l1", target=1.01 * max(b.upper, 0.1))
        assert enough.upper <= 1.01 * max(b.upper, 0.1)
        assert enough.nodes <= b.nodes


# covers


@often
@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(1, 30),
    r=st.integers(1, 4),
    seed=st.integers(0, 10**6),
    leak=st.sampled_from([0.0, 0.3]),
    l1=st.booleans(),
    nodes=st.integers(1, 400),
)
def test_a_cover_proves_the_upper_bound_to_the_last_digit(
    kind: str, n: int, r: int, seed: int, leak: float, l1: bool, nodes: int
) -> None:
    X, mu = data(kind, n, r, seed)
    found = bracket(X, mu, leak=leak, l1=l1, nodes=nodes)
    assert proved(X, mu, found.cover, leak=leak, l1=l1) == found.upper
    if found.cover is not None:
        assert len(found.cover.tree) == found.nodes


@often
@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(1, 7),
    r=st.integers(1, 3),
    seed=st.integers(0, 10**6),
    leak=st.sampled_from([0.0, 0.3]),
    l1=st.booleans(),
    share=st.sampled_from([-1.0, 0.0, 0.5, 0.999, 1.0, 2.0, np.nan, np.inf]),
    harm=st.sampled_from(["none", "cut", "longer", "noise", "turned", "stretched", "other"]),
)
def test_whatever_a_cover_claims_no_bound_is_below_the_maximum(
    kind: str, n: int, r: int, seed: int, leak: float, l1: bool, share: float, harm: str
) -> None:
    X, mu = data(kind, n, r, seed)
    rng = np.random.default_rng(seed)
    guess = rng.standard_normal(n) if harm == "other" else mu  # of other weights
    cover = bracket(X, guess, leak=leak, l1=l1).cover
    assert cover is not None
    basis, tree, limit = cover
    if harm == "cut":
        tree = tree[: len(tree) // 2]
    elif harm == "longer":
        tree = np.append(tree, np.uint16(0))
    elif harm == "noise":
        tree = rng.integers(0, 2 + r * r, 3 * len(tree)).astype(np.uint16)
    elif harm == "turned":
        basis = np.linalg.qr(rng.standard_normal(basis.shape))[0]
    elif harm == "stretched":
        basis = 0.5 * basis
    upper = proved(X, mu, Cover(basis, tree, share * limit), leak=leak, l1=l1)
    best, size = exact(X, mu, leak, l1), scale(X, mu)
    assert upper >= best - (1e-7 * size if l1 else ROUNDING * size)
    assert upper <= proved(X, mu, None, leak=leak, l1=l1)


@pytest.mark.parametrize("l1", [False, True])
def test_a_search_ends_with_its_time(l1: bool) -> None:
    X, mu = data("general", 300, 5, 0)
    whole = bracket(X, mu, l1=l1, nodes=2_000)
    begin = time.perf_counter()
    found = bracket(X, mu, l1=l1, nodes=10**7, seconds=0.5, rel_tol=0.0)
    assert time.perf_counter() - begin < 10.0
    assert found.nodes < 10**7
    assert found.value <= whole.upper
    assert whole.value <= found.upper == proved(X, mu, found.cover, l1=l1)


def test_without_time_the_bound_is_the_closed_form() -> None:
    X, mu = data("general", 30, 5, 0)
    found = bracket(X, mu, seconds=0.0)
    assert found.cover is None
    assert found.upper == proved(X, mu, None)


def test_an_alarm_rings_in_time_and_never_afterwards() -> None:
    before = threading.active_count()
    with alarm(0.0) as late:
        assert late[0]
    with alarm(60.0) as late:
        assert threading.active_count() == before + 1
    time.sleep(0.1)
    assert not late[0]
    assert threading.active_count() == before
    with alarm(0.01) as late:
        time.sleep(0.2)
        assert late[0]

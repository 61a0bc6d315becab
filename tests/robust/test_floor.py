"""The floor on errors of any classifier: against all sets of errors, at ties, with weights."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest

import convexnn as cx
from convexnn.contract.arrays import Array

NORMS = ("linf", "l2", "l1")


def size(norm: str, steps: list[Fraction]) -> tuple[Fraction, int]:
    """Return the length of a shift, to the power that keeps it rational."""
    if norm == "l2":
        return sum((step * step for step in steps), Fraction(0)), 2
    return (max(steps) if norm == "linf" else sum(steps, Fraction(0))), 1


def meetings(X: Array, y: Any, radius: float, norm: str) -> list[tuple[int, int]]:
    found = []
    for i, j in combinations(range(len(X)), 2):
        steps = [abs(Fraction(a) - Fraction(b)) for a, b in zip(X[i], X[j], strict=True)]
        length, power = size(norm, steps)
        if y[i] != y[j] and length <= (2 * Fraction(radius)) ** power:
            found.append((i, j))
    return found


def least(pairs: list[tuple[int, int]], weights: Array) -> float:
    """Return the least weight of a set of rows that has one of each pair at least."""
    n = len(weights)
    best = np.inf
    for mask in range(1 << n):
        if all(mask >> i & 1 or mask >> j & 1 for i, j in pairs):
            best = min(best, sum(weights[i] for i in range(n) if mask >> i & 1))
    return float(best)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("classes", [2, 3])
def test_no_set_of_errors_is_smaller(norm: str, classes: int) -> None:
    below = 0
    for seed in range(12):
        g = np.random.default_rng(seed)
        n = 9
        X = g.integers(0, 4, (n, 2)) / 4.0  # many ties, and the same rows twice
        y = np.array(["a", "b", "c"])[g.integers(0, classes, n)]
        radius = float(g.choice([0.0, 0.125, 0.25]))
        pairs = meetings(X, y, radius, norm)
        floor = cx.robust_floor(X, y, radius=radius, norm=norm)
        fewest = least(pairs, np.ones(n))
        assert floor.errors <= fewest
        assert floor.errors == fewest or not floor.exact
        assert floor.exact == (classes == 2)
        if floor.cover is not None:
            assert len(floor.cover) == floor.errors
            assert all(i in floor.cover or j in floor.cover for i, j in pairs)
            kept = np.setdiff1d(np.arange(n), floor.cover)
            assert cx.robust_floor(X[kept], y[kept], radius=radius, norm=norm).errors == 0
        below += floor.errors < fewest
        assert set(map(tuple, floor.pairs.tolist())) <= set(pairs)
        load = np.zeros(n)
        np.add.at(load, floor.pairs, floor.shares[:, None])
        assert np.all(load <= 1.0)
        assert floor.errors == np.ceil(floor.shares.sum())
        assert floor.rate == floor.errors / n
        weights = g.integers(0, 3, n).astype(float)
        weights[0] = 2.0
        weighed = cx.robust_floor(X, y, radius=radius, norm=norm, weights=weights)
        rows = np.repeat(np.arange(n), weights.astype(int))
        again = cx.robust_floor(X[rows], y[rows], radius=radius, norm=norm)
        assert weighed.errors == again.errors
        assert weighed.total == len(rows)
        parts = cx.robust_floor(X, y, radius=radius, norm=norm, weights=0.3 * weights)
        assert parts.errors <= least(pairs, 0.3 * weights)
        assert parts.errors >= 0.3 * (weighed.errors - 0.5) * (1.0 - 1e-9)
    assert below <= 2


@pytest.mark.parametrize("norm", NORMS)
def test_a_pair_beyond_the_reach_by_rounding_alone_proves_nothing(norm: str) -> None:
    X = np.array([[0.1, 0.0], [0.7, 0.0], [np.nextafter(0.7, 1.0), 0.0]])
    radius = 0.3
    for y in ([0, 1, 0], [0, 0, 1], [1, 0, 0]):
        expected = len(meetings(X[:, :1], y, radius, "linf"))
        found = cx.robust_floor(X, y, radius=radius, norm=norm)
        assert found.errors == min(expected, 1)
    across = np.array([[1e16, 0.0], [0.0, 1.0]])  # 1e16 - 0 and 1 more are lost in floats
    assert cx.robust_floor(across, [0, 1], radius=5e15, norm="l1").errors == 0
    assert cx.robust_floor(across, [0, 1], radius=5e15, norm="linf").errors == 1


def test_rows_that_differ_in_what_stays_never_meet() -> None:
    frame = pd.DataFrame({"age": [0.0, 0.4, 0.4], "kind": [0.0, 1.0, 0.0]})
    y = ["no", "yes", "yes"]
    assert cx.robust_floor(frame, y, radius=0.5).errors == 1
    for chosen in (["age"], [True, False], np.array([0])):
        floor = cx.robust_floor(frame, y, radius=0.3, perturbed=chosen)
        assert floor.pairs.tolist() == [[0, 2]]
    still = cx.robust_floor(frame, y, radius=0.5, perturbed=[False, False])
    assert still.errors == 0
    alike = cx.robust_floor([[1.0], [1.0]], y[:2], radius=0.0, perturbed=[False])
    assert alike.errors == 1


def test_a_box_leaves_the_floor_and_must_hold_the_examples() -> None:
    X, y = np.array([[0.0], [0.5], [1.0]]), [0, 1, 0]
    good: list[Any] = [(0.0, 1.0), ([0.0], [1.0]), (-np.inf, [1.0])]
    wrong: list[Any] = [(0.0, 0.9), (1.0, 0.0), (0.0,), 3.0, "01", ([0.0, 0.0], 1.0), (np.nan, 1)]
    for box in good:
        assert cx.robust_floor(X, y, radius=0.3, box=box).errors == 1
    for box in wrong:
        with pytest.raises(cx.ProblemError, match="box"):
            cx.robust_floor(X, y, radius=0.3, box=box)


def test_one_class_has_no_floor_and_mistakes_are_named() -> None:
    assert cx.robust_floor([[0.0], [0.0]], ["a", "a"], radius=9.0).errors == 0
    X, y = [[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]], [0, 1, 0]
    mistakes: list[tuple[dict[str, Any], str]] = [
        ({"perturbed": [1, 1, 1]}, "once"),
        ({"perturbed": ["age"]}, "unknown"),
        ({"perturbed": [5]}, r"in \[0, 1\]"),
        ({"perturbed": [1, 0]}, "array of bool"),
        ({"weights": [1.0]}, "weights"),
        ({"norm": "l3"}, "norm"),
    ]
    for asked, says in mistakes:
        with pytest.raises(cx.ProblemError, match=says):
            cx.robust_floor(X, y, radius=0.1, **asked)
    with pytest.raises(cx.ProblemError, match="at most 200,000 rows"):
        cx.robust_floor(np.zeros((200_001, 1)), np.zeros(200_001), radius=0.1)


def test_too_many_pairs_are_refused() -> None:
    before = cx.memory_limit()
    try:
        cx.memory_limit(1e-4)
        with pytest.raises(cx.ProblemError, match="close pairs of rows"):
            cx.robust_floor(np.zeros((200, 1)), np.arange(200) % 2, radius=1.0)
    finally:
        cx.memory_limit(before)

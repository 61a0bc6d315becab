"""The matrices of a semismooth Newton step against plain formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.relu.class_counts import Counts
from convexnn.relu.forms import Dual, GroupForm
from convexnn.solvers.relu.semismooth import Newton, _conic


@pytest.mark.parametrize("loss", ["squared", "logistic", "softmax"])
@pytest.mark.parametrize("intercept", [False, True])
def test_a_step_by_examples_is_that_by_weights(
    loss: str, intercept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(5)
    X = rng.standard_normal((12, 4))
    y = {
        "squared": X[:, 0] ** 2,
        "logistic": np.where(rng.random(12) < 0.5, 1.0, -1.0),
        "softmax": rng.integers(0, 3, 12),
    }[loss]
    problem = cx.GatedReluTraining(X, y, beta=0.05, loss=loss, patterns=9, intercept=intercept)
    newton = Newton(problem.canonical(GroupForm), None, None)
    for _ in range(3):
        newton.step()
    moves = []
    for crowded in (True, False):
        monkeypatch.setattr(Newton, "_crowded", lambda *_, crowded=crowded: crowded)
        moves.append(newton.direction(newton.at.lacking))
    assert len(np.flatnonzero(newton.at.v.any(axis=1))) > 2
    for by_examples, by_weights in zip(*moves, strict=True):
        np.testing.assert_allclose(by_examples, by_weights, rtol=1e-8, atol=1e-10)


def classes(kind: type) -> Any:
    rng = np.random.default_rng(7)
    X, y = rng.standard_normal((24, 3)), rng.integers(0, 3, 24)
    return kind(X, y, beta=0.5, loss="softmax", patterns=20, intercept=True)


@pytest.mark.parametrize("kind", [cx.ReluTraining, cx.GatedReluTraining])
@pytest.mark.parametrize("used", [[], [0], [1, 25, -1]])
def test_patterns_out_of_use_are_left_out_of_products(kind: type, used: list[int]) -> None:
    newton = Newton(classes(kind).canonical(GroupForm), None, None)
    form, straight = newton.form, newton.straight
    assert straight is not None
    v, t = np.zeros_like(newton.u), np.ones_like(newton.s)
    v[used] = np.random.default_rng(8).standard_normal((len(used), v.shape[1]))
    np.testing.assert_allclose(
        newton.fit(v, t), form.predict(v) + straight.columns @ t, rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("kind", [cx.ReluTraining, cx.GatedReluTraining])
def test_a_start_is_where_the_merit_is_least(kind: type) -> None:
    problem = classes(kind)
    near = cx.solve(problem, "semismooth", tol=1e-6)
    form = problem.at(0.8 * problem.beta).canonical(GroupForm)
    without = Newton(form, None, (near.primal, None))
    foreseen = Newton(form, None, (near.primal, near.dual._replace(mu=0.8 * near.dual.mu)))
    assert foreseen.at.value < without.at.value
    assert foreseen.at.v.any(axis=1).sum() < without.at.v.any(axis=1).sum()
    wrong = np.random.default_rng(9).standard_normal(form.y.shape)
    misled = Newton(form, None, (near.primal, Dual(wrong)))
    assert misled.at.value == pytest.approx(without.at.value, rel=1e-12)
    for newton in (foreseen, misled):  # the facets at hand are those of the point
        if newton.prox.facets is None:
            continue
        example = newton.prox.facets.example
        for b in np.flatnonzero(newton.at.v.any(axis=1)):
            normals = newton.rows[example[b][example[b] >= 0]]
            np.testing.assert_allclose(normals @ newton.at.v[b], 0.0, atol=1e-12)


@pytest.mark.parametrize("count", [0, 1, 3, 6])
def test_bases_are_orthogonal_to_the_facets(count: int) -> None:
    rng = np.random.default_rng(count)
    n, d, blocks = 15, 6, 5
    X = rng.standard_normal((n, d))
    X[3] = 2.0 * X[0]  # dependent facets
    q = rng.standard_normal((blocks, d))
    q /= np.linalg.norm(q, axis=1)[:, None]
    a = rng.random(blocks)
    used = np.full((blocks, d), -1, np.int32)
    for b in range(blocks):
        used[b, :count] = rng.choice(n + d, count, replace=False)
    used[0, :count] = [0, 3, 1, 2, 4, 5][:count]
    rows, owner = _conic(X, used, q, a)
    every = np.vstack([X, np.eye(d)])
    for b in range(blocks):
        normals = every[used[b][used[b] >= 0]]
        _, sizes, turned = np.linalg.svd(normals) if len(normals) else (0, [], np.eye(d))
        N = turned[int(np.sum(np.array(sizes) > 1e-10)) :]
        whole = N @ (a[b] * np.eye(d) + (1.0 - a[b]) * np.outer(q[b], q[b]))
        found = rows[owner == b]
        assert len(found) == len(N)
        np.testing.assert_allclose(found.T @ found, whole.T @ whole, atol=1e-12)


@pytest.mark.parametrize("spread", [1e-3, 1.0, 30.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_class_counts_are_even_in_a_few_steps(
    spread: float, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convexnn.relu.class_counts.TURNS", 12)
    rng = np.random.default_rng(0)
    y = np.eye(4)[rng.integers(0, 3, 60)]  # nobody is in the last class
    weights = rng.uniform(0.0, 2.0, 60) if weighted else None
    scores = spread * rng.standard_normal((60, 4))
    scores -= scores.max(axis=1, keepdims=True)
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    counts = Counts(y, weights)
    mu = counts.even(counts.weights[:, None] * (y - chances))
    assert np.abs(mu.sum(axis=0)).max() <= 1e-13
    assert np.abs(mu.sum(axis=1)).max() <= 1e-14
    near = counts.near(mu)
    assert near is not None
    assert near.spread.max() < 1e-13

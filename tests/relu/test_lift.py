"""The lifted bound covers every neuron and no multipliers lift it above the optimum."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from positions import KINDS, positioned

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.functions.losses import LOSSES
from convexnn.functions.norms import NORMS
from convexnn.relu.forms import Dual, NetworkForm
from convexnn.relu.lift import (
    Lifted,
    LiftedCell,
    cell_worth,
    cells_of,
    leading_rows,
    lifted_bound,
    lines,
)
from convexnn.relu.relaxation import improve, relaxed_bound
from convexnn.solvers.relu.lift import Lifting
from convexnn.solvers.relu.lift_interior import Interior, _entries, violated
from convexnn.solvers.relu.lift_prices import Ray
from convexnn.workflows.proof import proof

MANGLED = [1e-310, 1e-100, 1e-3, 0.5, 0.999, 1.001, 2.0, 1e3, 1e100, 1e300]


def instance(kind: str, n: int, d: int, seed: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    X = positioned(kind, n, d, rng, spread=4.0)
    X[0, 0] += 0.0 if X.any() else 1.0
    y = np.maximum(X @ rng.standard_normal(d), 0.0) - np.maximum(X @ rng.standard_normal(d), 0.0)
    return X, y + 0.3 * rng.standard_normal(n)


def form_of(X: Array, y: Array, loss: str, beta: float, leak: float = 0.0) -> NetworkForm:
    if LOSSES[loss].classification:
        y = np.where(y >= np.median(y), 1.0, -1.0)
    return NetworkForm(X, y, LOSSES[loss], NORMS["l2"], beta, leak, False, None)


def stepped(form: NetworkForm, steps: int, cells: int = 2) -> Lifted:
    """Return where some steps of the interior point lead, with splits on the way."""
    best = float(form.loss.value(np.zeros_like(form.y), form.y).sum())
    lifting = Lifting(form, np.zeros_like(form.y), best)
    for k in range(steps):
        if not lifting.step():
            break
        if k % 5 == 4 and lifting.cells < cells:
            lifting.split()
    return lifting.point()


def optimum(form: NetworkForm) -> float:
    """Return the optimum over all patterns, from above: they are listed and solved over."""
    labels = LOSSES[form.loss.name].classification
    problem = cx.ReluTraining(
        *(form.X, form.y),
        beta=form.beta,
        loss=form.loss.name,
        leak=form.leak,
        patterns=cx.enumerate_patterns(form.X),
    )
    if labels and len(np.unique(form.y)) < 2:
        return np.inf
    return cx.solve(problem, "ipm", tol=1e-8).objective


@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(1, 12),
    d=st.integers(1, 4),
    leak=st.sampled_from([0.0, 0.3]),
    steps=st.sampled_from([0, 2, 12]),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=40)
def test_no_neuron_responds_more_than_a_dual_point_allows(
    kind: str, n: int, d: int, leak: float, steps: int, seed: int
) -> None:
    X, y = instance(kind, n, d, seed)
    form = form_of(X, y, "squared", 0.5, leak)
    point = stepped(form, steps, cells=4)
    rng = np.random.default_rng(seed)
    u = np.hstack([rng.standard_normal((d, 2000)), X.T, -X.T])
    T = X @ (u / np.maximum(np.linalg.norm(u, axis=0), 1e-300))
    largest = float(np.max(np.abs(point.mu @ np.maximum(T, leak * T)), initial=0.0))
    bound = lifted_bound(form, point)
    # Its scale leaves no neuron worth more than beta: else the dual value were higher.
    mu, scale = point.mu, form.beta / max(largest, 1e-300)
    at = min(scale, max(0.0, float(mu @ y) / max(float(mu @ mu), 1e-300)))
    value = at * float(mu @ y) - 0.5 * at * at * float(mu @ mu)
    assert bound <= value * (1.0 + 1e-6) + 1e-12


@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(2, 9),
    d=st.integers(1, 3),
    loss=st.sampled_from(["squared", "huber", "logistic", "hinge"]),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=15)
def test_bound_never_exceeds_the_optimum_over_enumerated_patterns(
    kind: str, n: int, d: int, loss: str, seed: int
) -> None:
    X, y = instance(kind, n, d, seed)
    form = form_of(X, y, loss, 0.3)
    best = optimum(form)
    for steps in (1, 10, 30):
        assert lifted_bound(form, stepped(form, steps, cells=3)) <= best * (1.0 + 1e-9) + 1e-9


@cache
def hard() -> tuple[NetworkForm, list[Lifted], float]:
    """Return where the method settles, before and after its cells were split."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((20, 5))
    y = np.maximum(X @ rng.standard_normal((5, 3)), 0.0) @ [1.0, -1.0, 1.0]
    form = form_of(X, y, "squared", 0.5)
    best = cx.solve(cx.ReluTraining(X, y, beta=0.5), "cell-walk", nodes=100_000).objective
    points = []
    lifting = Lifting(form, np.zeros_like(y), best)
    for cells in (2, 6):
        for _ in range(300):
            if lifting.settled(0.1):
                if lifting.cells >= cells:
                    break
                lifting.split()
            lifting.step()
        points.append(lifting.point())
    return form, points, best


def test_relaxation_is_close_and_splits_close_in() -> None:
    form, points, best = hard()
    assert sum(len(side.cells) for side in points[1].sides) >= 6
    gaps = [best - lifted_bound(form, point) for point in points]
    assert best - relaxed_bound(form, improve(form, points[0].mu)) > 2.0 * gaps[0]
    assert 0.0 <= gaps[1] < 0.7 * gaps[0]


@pytest.mark.parametrize("factor", MANGLED)
@pytest.mark.parametrize("name", ["weight", "equal", "share", "mu"])
def test_mangled_multipliers_make_it_loose_not_wrong(name: str, factor: float) -> None:
    form, (_, point), best = hard()
    for sign in (1.0, -1.0):
        if name == "mu":
            other = point._replace(mu=sign * factor * point.mu)
        else:
            other = point._replace(
                sides=tuple(
                    side._replace(
                        cells=tuple(
                            cell._replace(**{name: sign * factor * getattr(cell, name)})
                            for cell in side.cells
                        )
                    )
                    for side in point.sides
                )
            )
        assert lifted_bound(form, other) <= best


def damages(point: Lifted) -> dict[str, Lifted]:
    """Return points with parts that do not belong together."""
    plus, minus = point.sides
    cell = plus.cells[0]
    rng = np.random.default_rng(0)
    none = np.zeros(0, np.int32)

    def with_cell(**parts: Any) -> Lifted:
        cells = (cell._replace(**parts), *plus.cells[1:])
        return point._replace(sides=(plus._replace(cells=cells), minus))

    return {
        "sides changed over": point._replace(sides=(minus, plus)),
        "one side": point._replace(sides=(plus,)),
        "no sides": point._replace(sides=()),
        "cells changed over": point._replace(sides=(plus._replace(cells=plus.cells[::-1]), minus)),
        "a cell short": point._replace(sides=(plus._replace(cells=plus.cells[1:]), minus)),
        "no tree": point._replace(sides=(plus._replace(tree=none), minus)),
        "no tree and no cells": point._replace(sides=(plus._replace(tree=none, cells=()), minus)),
        "open tree": point._replace(sides=(plus._replace(tree=plus.tree[:-1]), minus)),
        "long tree": point._replace(
            sides=(plus._replace(tree=np.append(plus.tree, np.int32(0))), minus)
        ),
        "other planes": point._replace(
            sides=(plus._replace(tree=np.where(plus.tree > 0, 1, 0).astype(np.int32)), minus)
        ),
        "planes unknown": point._replace(
            sides=(plus._replace(tree=np.where(plus.tree > 0, 999, 0).astype(np.int32)), minus)
        ),
        "pairs permuted": with_cell(first=rng.permutation(cell.first)),
        "pairs unknown": with_cell(first=cell.first + np.int32(10_000)),
        "pairs negative": with_cell(first=-cell.first - np.int32(1)),
        "short weights": with_cell(weight=cell.weight[1:]),
        "nan": with_cell(weight=np.full_like(cell.weight, np.nan)),
        "inf": with_cell(equal=np.full_like(cell.equal, np.inf)),
        "nan share": with_cell(share=float("nan")),
        "nothing": with_cell(first=none, second=none, weight=np.zeros(0)),
        "rows permuted": point._replace(rows=point.rows[::-1].copy()),
        "rows unknown": point._replace(rows=point.rows + np.int32(100)),
        "few rows": point._replace(rows=point.rows[:3]),
        "no rows": point._replace(rows=none),
        "nan mu": point._replace(mu=np.full_like(point.mu, np.nan)),
        "short mu": point._replace(mu=point.mu[1:]),
        "mu permuted": point._replace(mu=rng.permutation(point.mu)),
    }


@pytest.mark.parametrize("what", list(damages(hard()[1][1])))
def test_damaged_points_prove_nothing_that_is_not_so(what: str) -> None:
    form, (_, point), best = hard()
    assert not lifted_bound(form, damages(point)[what]) > best


@pytest.mark.parametrize(
    "change",
    [
        {"rows": np.zeros(3)},
        {"rows": [0, 1]},
        {"sides": []},
        {"sides": (None, None)},
        {"mu": "a"},
    ],
)
def test_what_is_no_lifted_point_is_refused_by_name(change: dict[str, Any]) -> None:
    X, y = instance("general", 12, 3, 3)
    problem = cx.ReluTraining(X, y, beta=0.3)
    point = stepped(problem.canonical(NetworkForm), 2)._replace(**change)
    with pytest.raises(cx.ProblemError, match=rf"dual\.lifted\.{next(iter(change))}"):
        problem.certify(problem.initial()[0], Dual(y, lifted=point))


@pytest.mark.parametrize("weight", [-0.2, -0.5, -0.9])
def test_a_negative_weight_takes_nothing_off_a_response(weight: float) -> None:
    pair = np.array([1], np.int32), np.array([2], np.int32)
    c, still = np.array([1.0, 1.0, 0.0, 0.0]), np.zeros(2, np.int8)
    for share in np.linspace(0.4, 2.0, 17):
        cell = LiftedCell(*pair, np.array([weight]), -np.ones(2), float(share))
        assert cell_worth(np.eye(2), c, cell, still) >= np.sqrt(2.0)


def test_what_costs_little_is_proved_by_negative_shares() -> None:
    rng = np.random.default_rng(0)
    U, v, X = rng.standard_normal((2, 100)), rng.standard_normal(100), rng.standard_normal((25, 2))
    y = np.maximum(X @ U, 0.0) @ v
    form = form_of(X, y, "squared", 0.01)
    best = optimum(form)
    lifting = Lifting(form, np.zeros_like(y), best)
    for _ in range(40):
        lifting.step()
    point = lifting.point()
    assert min(cell.share for side in point.sides for cell in side.cells) < 0.0
    assert 0.99 * lifting.value() <= lifted_bound(form, point) <= best


def test_trees_cover_the_ball() -> None:
    cells = cells_of(np.array([1, 0, 2, 0, 0], np.int32), 2)
    assert [cell.tolist() for cell in cells] == [[1, 0], [-1, 1], [-1, -1]]
    for broken in ([], [1, 0], [0, 0], [3, 0, 0], [-1]):
        assert cells_of(np.array(broken, np.int32), 2) == []


def test_rows_that_are_multiples_are_one_line() -> None:
    X = np.array([[1.0, 1.0], [-2.0, -2.0], [0.0, 0.0], [0.0, 3.0], [1.0, 1.0 + 1e-12]])
    rows = leading_rows(X)
    assert rows.tolist() == [0, 3]
    found = lines(X, rows)
    np.testing.assert_allclose(found.size[:, None] * found.unit[found.owner], X, atol=1e-11)
    assert np.all(found.off < 1e-11)
    assert np.all(np.linalg.norm(found.unit, axis=1) <= 1.0)
    mu, u = np.arange(5.0) - 2.0, np.array([0.6, -0.8])
    t = found.unit @ u
    hidden = np.concatenate([np.maximum(t, 0.0), np.maximum(-t, 0.0)])
    for leak in (0.0, 0.3):
        expected = mu @ np.maximum(X @ u, leak * (X @ u))
        assert (found.factors(leak) @ mu) @ hidden == pytest.approx(expected)


OPTIONS: dict[str, dict[str, Any]] = {
    "squared": {},
    "huber": {"loss": "huber"},
    "logistic": {"loss": "logistic"},
    "hinge": {"loss": "hinge"},
    "leak": {"leak": 0.2},
    "skip": {"skip": True},
    "intercept": {"intercept": True},
    "hinge and intercept": {"loss": "hinge", "intercept": True},
    "bias": {"bias": True},
    "weights": {"weights": np.linspace(0.2, 3.0, 24)},
    "two targets": {"targets": 2},
    "one-vs-rest": {"loss": "hinge", "classes": 3, "multiclass": "one-vs-rest"},
    "softmax": {"loss": "softmax", "classes": 3},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_cell_walk_closes_in_whatever_the_problem(name: str) -> None:
    options = dict(OPTIONS[name])
    rng = np.random.default_rng(2)
    X = rng.standard_normal((24, 7))
    y: Any = np.maximum(X @ rng.standard_normal((7, 3)), 0.0) @ [1.0, -1.0, 1.0]
    classes = options.pop("classes", 2 if options.get("loss") in ("logistic", "hinge") else 0)
    if options.pop("targets", 1) == 2:
        y = np.column_stack([y, X[:, 0] - y])
    if classes:
        y = np.digitize(y, np.quantile(y, np.arange(1, classes) / classes))
    problem = cx.ReluTraining(X, y, beta=0.4, **options)
    solution = cx.solve(problem, "cell-walk", nodes=200, starts=2, width=10)
    assert solution.dual.lifted is not None
    without = solution.dual._replace(lifted=None)
    before = problem.certify(solution.primal, without)
    assert solution.bound <= solution.objective
    assert "by the lifted relaxation over" in solution.certificate.scope
    closed = (solution.bound - before.bound) / (solution.objective - before.bound)
    assert closed > 0.3


def apart() -> tuple[cx.ReluTraining, Array]:
    """Return classes of which few examples are hard, and a dual point."""
    rng = np.random.default_rng(3)
    y = np.arange(60) % 2 == 0
    X = rng.standard_normal((60, 6))
    X[:, 0] += np.where(y, 2.0, -2.0)
    problem = cx.ReluTraining(X, y, beta=0.1, loss="logistic")
    return problem, np.asarray(cx.solve(problem, "lbfgs", starts=2).dual.mu)


@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(2, 9),
    d=st.integers(1, 3),
    loss=st.sampled_from(["squared", "logistic", "hinge"]),
    leak=st.sampled_from([0.0, 0.3]),
    aside=st.sampled_from([0.1, 0.5, 2.0]),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=8)
def test_lines_that_are_bounded_on_their_own_leave_the_bound_below_the_optimum(
    kind: str, n: int, d: int, loss: str, leak: float, aside: float, seed: int
) -> None:
    X, y = instance(kind, n, d, seed)
    form = form_of(X, y, loss, 0.3, leak)
    best = optimum(form)
    mu = np.abs(np.random.default_rng(seed).standard_normal(n)) * np.where(y > 0.0, 1.0, -1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("convexnn.solvers.relu.lift.ASIDE", aside)
        lifting = Lifting(form, 0.9 * mu / np.max(mu), min(best, 1e6))
    for k in range(24):
        lifting.step()
        if k % 8 == 7:
            lifting.split()
            assert lifted_bound(form, lifting.point()) <= best * (1.0 + 1e-9) + 1e-9


def test_examples_of_small_multipliers_are_no_factors_and_cost_little() -> None:
    problem, mu = apart()
    form = problem.canonical(NetworkForm)
    best = cx.solve(problem, "lbfgs", starts=2).objective
    found = []
    for given_mu in (mu, np.zeros(60)):
        lifting = Lifting(form, given_mu, best)
        for _ in range(40):
            lifting.step()
        found.append((lifting.parts[0].m, lifted_bound(form, lifting.point())))
        assert found[-1][1] == pytest.approx(lifting.value(), rel=1e-3)
    (few, less), (m, most) = found
    assert (few, m) == (pytest.approx(30, abs=20), 60)
    assert less > most - 0.05 * best


def test_entries_of_pairs_are_those_of_the_whole_table(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    unit = rng.standard_normal((3, 2)) / 4.0
    interior = Interior(
        unit, Ray(np.ones(3), sp.csr_array(np.ones((6, 3)))), 1.0, (np.zeros(3, np.int8),)
    )
    A = rng.standard_normal((6, 6))
    A = A + A.T
    first, second = (np.ravel(part).astype(np.int32) for part in np.indices((13, 13)))
    entries = _entries(interior.moments(A), first, second)
    np.testing.assert_allclose(entries, interior.table(A).ravel(), atol=1e-12)
    admitted = np.triu(np.ones((13, 13), np.bool_), 1)
    least, low, high = violated(interior.moments(A), np.ones(13), admitted, 0.5, 99)
    above = interior.table(A)[np.triu_indices(13, 1)]
    assert least == pytest.approx(above.min())
    assert interior.table(A)[low, high] == pytest.approx(np.sort(above[above < -0.5]))
    monkeypatch.setattr("convexnn.solvers.relu.lift_interior.VIOLATING", 2)
    _, low, high = violated(interior.moments(A), np.ones(13), admitted, 0.5, 99)
    assert interior.table(A)[low, high] == pytest.approx(np.sort(above[above < -0.5]))
    _, low, high = violated(interior.moments(A), np.ones(13), admitted, 0.5, 1)
    assert len(np.unique(np.concatenate([low, high]))) == 2 * len(low)


def test_proofs_with_lines_aside_hold_without_the_project(tmp_path: Path) -> None:
    problem, mu = apart()
    lifting = Lifting(problem.canonical(NetworkForm), mu, 10.0)
    for _ in range(25):
        lifting.step()
    lifting.split()
    for _ in range(8):
        lifting.step()
    point = lifting.point()
    assert len(point.rows) == 60 > lifting.parts[0].m
    dual = Dual(np.zeros(60), lifted=point)
    own = problem.certify(problem.initial()[0], dual).bound
    assert checked(tmp_path, problem, dual) == pytest.approx(own, rel=1e-4)
    assert own > 0.0


def checked(folder: Path, problem: cx.ReluTraining, dual: Dual) -> float:
    """Return what the checker says of a written proof."""
    file = folder / "proof.npz"
    np.savez(file, **proof(problem, dual))
    said = subprocess.run(
        [sys.executable, "docs/check_bound.py", str(file)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return float(said.stdout.split()[-1])


@pytest.mark.parametrize(
    "name", ["squared", "huber", "logistic", "hinge", "leak", "bias", "weights"]
)
def test_written_proofs_hold_without_the_project(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    X = np.vstack([3.0 * rng.standard_normal((16, 7)), np.zeros((1, 7))])
    X = np.vstack([X, -2.0 * X[:1]])
    y: Any = np.maximum(X @ rng.standard_normal(7), 0.0)
    options = dict(OPTIONS[name])
    if "weights" in options:
        options["weights"] = options["weights"][:18]
    if options.get("loss") in ("logistic", "hinge"):
        y = y > np.median(y)
    problem = cx.ReluTraining(X, y, beta=1.0, **options)
    form = problem.canonical(NetworkForm)
    dual = Dual(np.zeros(18), lifted=stepped(form, 25, cells=3))
    value = checked(tmp_path, problem, dual)
    own = problem.certify(problem.initial()[0], dual)
    assert value == pytest.approx(own.bound, rel=1e-4)
    assert value > 0.0


def signed(asked: list[int] | None) -> cx.ReluTraining:
    """Return targets that fall in two columns, with these signs of weights or none."""
    rng = np.random.default_rng(6)
    X = rng.standard_normal((24, 6))
    y = np.abs(X[:, 0]) - X[:, 1] + np.maximum(X[:, 2] - X[:, 3], 0.0)
    return cx.ReluTraining(X, y, beta=0.5, monotone=asked)


def test_signs_of_weights_tighten_the_bound_and_its_proof_holds(tmp_path: Path) -> None:
    asked = [1, 1, 0, 0, 0, -1]
    problem, values, points = signed(asked), [], []
    form = problem.canonical(NetworkForm)
    best = cx.solve(problem, "lbfgs", starts=2).objective
    for given_form in (form, signed(None).canonical(NetworkForm)):
        lifting = Lifting(given_form, np.zeros(24), best)
        for k in range(34):
            lifting.step()
            if k == 20:
                lifting.split()
        points.append(lifting.point())
        values.append(lifted_bound(form, points[-1]))
        assert values[-1] == pytest.approx(lifting.value(), rel=1e-3)
    assert 1.1 * values[1] < values[0] <= best
    dual = Dual(np.zeros(24), lifted=points[0])
    assert checked(tmp_path, problem, dual) == pytest.approx(values[0], rel=1e-4)
    # No neuron of these signs responds more than the multipliers say; others do.
    rng, mu = np.random.default_rng(0), points[0].mu
    directions = np.hstack([rng.standard_normal((6, 4000)), problem.data.T, -problem.data.T])
    largest = 0.0
    for sign in (1.0, -1.0):
        u = directions.copy()
        for k, way in enumerate(asked):
            u[k] = u[k] if way == 0 else sign * way * np.abs(u[k])
        u /= np.linalg.norm(u, axis=0)
        response = sign * (mu @ np.maximum(problem.data @ u, 0.0))
        largest = max(largest, float(np.max(response)))
    assert largest <= problem.beta * (1.0 + 1e-9)
    turned = points[0]._replace(sides=points[0].sides[::-1])
    assert lifted_bound(form, turned) <= best


def test_proofs_of_other_problems_are_refused_by_name() -> None:
    X, y = np.arange(12.0).reshape(6, 2) % 5.0, np.arange(6.0)
    problem = cx.ReluTraining(X, y, beta=1.0, skip=True)
    dual = Dual(y)
    with pytest.raises(cx.ProblemError, match="lifted relaxation"):
        proof(problem, dual)
    nothing = dual._replace(lifted=Lifted(y, leading_rows(X), ()))
    with pytest.raises(cx.ProblemError, match="no skip or intercept"):
        proof(problem, nothing)

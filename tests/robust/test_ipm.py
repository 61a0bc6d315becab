"""Interior point for robust training: its eliminations, its answers, how it ends."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.relu.forms import Neurons
from convexnn.robust.bound import robust_bound
from convexnn.robust.forms import RobustForm, RobustNetworkForm
from convexnn.solvers.robust.epigraphs import AGAINST, Epigraph, Euclidean, Largest, Summed, reach
from convexnn.solvers.robust.ipm import Interior
from convexnn.solvers.scaling import Scaling

TOL = 1e-8
BALLS = ("linf", "l2", "l1")
LOSSES = ("hinge", "logistic", "squared")
FORMULATIONS = ("majorant", "cones")

each_ball = pytest.mark.parametrize("ball", BALLS)
each_loss = pytest.mark.parametrize("loss", LOSSES)
each_formulation = pytest.mark.parametrize("formulation", FORMULATIONS)


@cache
def data(n: int = 25, d: int = 3) -> tuple[Array, Array]:
    rng = np.random.default_rng(5)
    X = rng.standard_normal((n, d))
    return X, np.maximum(X[:, 0], 0.0) - np.abs(X[:, 1]) + 0.3 * rng.standard_normal(n)


def declared(loss: str = "hinge", ball: str = "linf", **changes: Any) -> cx.RobustReluTraining:
    X, y = data()
    target = y if loss == "squared" else np.where(y > 0.0, 1.0, -1.0)
    common: dict[str, Any] = {
        "beta": 0.1,
        "radius": 0.05,
        "norm": ball,
        "loss": loss,
        "patterns": 10,
    }
    return cx.RobustReluTraining(X, target, **(common | changes))


# the epigraphs


def rows_of(kind: type[Epigraph], d: int, radius: float) -> Array:
    """The inequalities of one epigraph in (s, x), and of its own unknowns after these."""
    eye, one = np.eye(d), np.ones((d, 1))
    if kind is Largest:
        return np.vstack([np.hstack([one, -radius * eye]), np.hstack([one, radius * eye])])
    none = np.zeros((d, 1))
    first = np.hstack([none, -eye, eye])
    second = np.hstack([none, eye, eye])
    return np.vstack([first, second, np.hstack([[1.0], np.zeros(d), np.full(d, -radius)])])


def moved_at_random(kind: type[Epigraph], seed: int, d: int = 3) -> tuple[Epigraph, float]:
    rng = np.random.default_rng(seed)
    radius = float(rng.uniform(0.2, 2.0))
    cone = kind(rng.uniform(1.0, 2.0, 1), rng.uniform(0.5, 1.0, 1), d, radius)
    for _ in range(3):
        cone.scale()
        cone.pull(0.05, second=False)
        room = cone.turn(rng.standard_normal(1), rng.standard_normal((1, d)))
        cone.go(*(0.7 * min(1.0, way) for way in room))
    return cone, radius


@pytest.mark.parametrize("kind", [Largest, Summed])
@pytest.mark.parametrize("seed", range(5))
def test_matrix_of_linear_rows_is_what_elimination_by_hand_leaves(kind: Any, seed: int) -> None:
    d = 3
    cone, radius = moved_at_random(kind, seed)
    assert isinstance(cone, Largest | Summed)
    rest = cone.scale()[0]
    weight = (cone.dual / cone.slack)[:, 0, :].ravel()
    if isinstance(cone, Summed):
        weight = np.append(weight, cone.top / cone.rest)
    rows = rows_of(kind, d, radius)
    whole = rows.T @ (weight[:, None] * rows)
    a, b, c = whole[: d + 1, : d + 1], whole[: d + 1, d + 1 :], whole[d + 1 :, d + 1 :]
    left = a - b @ np.linalg.solve(c, b.T) if kind is Summed else a
    np.testing.assert_allclose(cone.head[0], left[0, 0], rtol=1e-10)
    np.testing.assert_allclose(cone.cross[0], left[0, 1:], rtol=1e-9, atol=1e-10 * left[0, 0])
    schur = left[1:, 1:] - np.outer(left[0, 1:], left[0, 1:]) / left[0, 0]
    np.testing.assert_allclose(rest, schur, rtol=1e-9, atol=1e-10 * np.abs(schur).max())


@pytest.mark.parametrize("seed", range(5))
def test_matrix_of_the_cones_is_the_inverse_square_of_their_scaling(seed: int) -> None:
    cone, radius = moved_at_random(Euclidean, seed)
    assert isinstance(cone, Euclidean)
    rest = cone.scale()[0]
    W = Scaling(cone.slack, cone.dual)
    eye = np.eye(4)
    columns = [type(cone.slack)(e[:1], e[None, 1:]) for e in eye]
    squares = [W.divide(W.divide(column)) for column in columns]
    whole = np.array([np.append(v.head, v.tail) for v in squares])
    scale = np.append(1.0, np.full(3, radius))
    whole *= np.outer(scale, scale)
    np.testing.assert_allclose(cone.head[0], whole[0, 0], rtol=1e-10)
    np.testing.assert_allclose(cone.cross[0], whole[0, 1:], rtol=1e-9, atol=1e-12)
    schur = whole[1:, 1:] - np.outer(whole[0, 1:], whole[0, 1:]) / whole[0, 0]
    np.testing.assert_allclose(rest, schur, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("ball", BALLS)
@pytest.mark.parametrize("seed", range(3))
def test_right_hand_sides_belong_to_the_changes_that_follow(ball: str, seed: int) -> None:
    """What the multipliers pull after a full step is the pull less the matrix times the change."""
    cone, _ = moved_at_random(AGAINST[ball], seed)
    rng = np.random.default_rng(seed)
    rest = cone.scale()
    head, side = cone.pull(0.01, second=False)
    ds, dx = rng.standard_normal(1), rng.standard_normal((1, 3))
    full = rest[0] + np.outer(cone.cross[0], cone.cross[0]) / cone.head[0]
    wanted = side[0] - cone.cross[0] * ds[0] - full @ dx[0]
    before = cone.slopes().copy()
    cone.turn(ds, dx)
    cone.go(1.0, 1.0)
    assert head.shape == (1,)
    assert not np.allclose(before, cone.slopes())
    np.testing.assert_allclose(cone.slopes()[0], wanted, rtol=1e-9, atol=1e-9)


def test_reach_is_the_largest_step_that_keeps_all_positive() -> None:
    at, move = np.array([1.0, 3.0, 2.0]), np.array([-0.5, 1.0, -4.0])
    assert reach(at, move) == 0.5
    assert reach(at, np.abs(move)) == np.inf


# its answers


@each_loss
@each_ball
@each_formulation
def test_a_few_steps_reach_the_last_digits(loss: str, ball: str, formulation: str) -> None:
    problem = declared(loss, ball, formulation=formulation)
    ours = cx.solve(problem, "ipm", tol=TOL)
    assert ours.status is cx.Status.OPTIMAL
    assert ours.history[-1].iteration <= 40
    assert ours.violation <= TOL
    reference = cx.solve(problem, "cvxpy:clarabel", tol=1e-7)
    size = max(1.0, abs(ours.objective))
    assert ours.bound <= reference.objective + 1e-9 * size
    assert reference.bound <= ours.objective + 1e-9 * size


@each_loss
@each_ball
def test_own_gap_is_the_difference_of_the_points_once_residuals_are_gone(
    loss: str, ball: str
) -> None:
    form = declared(loss, ball).canonical(RobustForm)
    core = Interior(form)
    while core.gap() > 1e-6:
        assert core.step() > 1e-6
    difference = form.objective(core.primal()) - robust_bound(form, core.dual())
    size = max(1.0, form.objective(core.primal()))
    assert -1e-9 <= difference / size <= 3.0 * core.gap()


@each_loss
@each_ball
def test_slopes_between_zero_and_one_are_solved_as_well(loss: str, ball: str) -> None:
    """Of a majorant that touches a network, slopes are chords: its optimum is not above there."""
    program = declared(loss, ball, patterns=None).canonical(RobustNetworkForm)
    rng = np.random.default_rng(0)
    at = Neurons(0.5 * rng.standard_normal((3, 4)), 0.5 * rng.standard_normal((3, 3)), np.zeros(3))
    form = program.touching(at)
    assert np.any((form.slopes > 0.01) & (form.slopes < 0.99))
    core = Interior(form)
    for _ in range(60):
        if core.gap() <= 1e-9:
            break
        core.step()
    value = form.objective(core.primal())
    assert value <= form.objective(at)
    assert value - robust_bound(form, core.dual()) <= 1e-7 * max(1.0, value)


@each_loss
@each_formulation
def test_hard_data_end_certified(loss: str, formulation: str) -> None:
    X, y = data()
    X = X.copy()
    X[3], X[4] = X[5], 0.0  # two equal examples, one that is zero
    X[:, 2] = 2.0 * X[:, 1]
    target = y if loss == "squared" else np.where(y > 0.0, 1.0, -1.0)
    some = np.array([True, False, True])
    for ball in BALLS:
        for more in ({"bias": True}, {"perturbed": some & (ball != "l2")}):
            problem = cx.RobustReluTraining(
                X,
                target,
                beta=0.2,
                radius=0.03,
                norm=ball,
                loss=loss,
                patterns=8,
                formulation=formulation,
                **more,
            )
            assert cx.solve(problem, "ipm", tol=1e-6).status is cx.Status.OPTIMAL


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_units_of_the_data_do_not_matter(factor: float) -> None:
    X, y = data()
    labels = np.where(y > 0.0, 1.0, -1.0)
    values = []
    for scale in (1.0, factor):
        # weights in the units of 1 / X: beta goes along
        problem = cx.RobustReluTraining(
            scale * X, labels, beta=0.1 * scale, radius=0.05 * scale, patterns=10
        )
        solution = cx.solve(problem, "ipm", tol=TOL)
        assert solution.status is cx.Status.OPTIMAL
        values.append(solution.objective)
    assert values[0] == pytest.approx(values[1], rel=1e-7)


def test_examples_of_one_class_have_one_side() -> None:
    X, _ = data()
    problem = cx.RobustReluTraining(X, np.arange(25) == 0, beta=0.1, radius=0.05, patterns=5)
    form = problem.canonical(RobustForm)
    core = Interior(form._replace(y=np.ones(25)))
    assert len(core.sides) == 1
    while core.gap() > 1e-9:
        assert core.step() > 1e-6
    low = robust_bound(core.form, core.dual())
    assert core.form.objective(core.primal()) - low <= 1e-7 * max(1.0, low)


def test_thousands_of_examples_take_a_matrix_of_the_neurons_alone() -> None:
    rng = np.random.default_rng(2)
    X = rng.standard_normal((1500, 2))
    y = np.where(X[:, 0] * X[:, 1] + 0.3 * rng.standard_normal(1500) > 0.0, 1.0, -1.0)
    problem = cx.RobustReluTraining(
        X, y, beta=0.5, radius=0.1, loss="logistic", patterns=8, bias=True
    )
    solution = cx.solve(problem, tol=1e-6)
    assert solution.backend == "ipm"
    assert solution.status is cx.Status.OPTIMAL


# how it ends


def test_it_stops_where_it_is_told_to() -> None:
    problem = declared()
    few = cx.solve(problem, "ipm", max_iter=3)
    assert few.status is cx.Status.MAX_ITER
    assert few.history[-1].iteration == 3
    assert np.isfinite(few.bound)
    late = cx.solve(problem, "ipm", time_limit=1e-9)
    assert late.status is cx.Status.TIME_LIMIT
    called = cx.solve(problem, "ipm", callback=lambda step: step.iteration >= 2)
    assert called.status is cx.Status.STOPPED
    with pytest.raises(ValueError, match="ipm has no option 'stepsize'"):
        cx.solve(problem, "ipm", stepsize=1.0)


def test_a_tolerance_beyond_rounding_ends_with_the_best_answer() -> None:
    solution = cx.solve(declared("squared", "l2"), "ipm", tol=1e-16)
    assert solution.status in (cx.Status.INACCURATE, cx.Status.OPTIMAL)
    assert solution.gap <= 1e-8
    assert solution.history[-1].iteration < 100


def test_bounds_on_the_way_are_never_above_the_optimum() -> None:
    for loss in LOSSES:
        problem = declared(loss, "l1", formulation="cones")
        solution = cx.solve(problem, "ipm", tol=TOL)
        assert len(solution.history) >= 4
        for step in solution.history:
            assert step.bound <= solution.objective * (1.0 + 1e-9)


def test_it_tells_its_memory_and_leaves_what_is_too_large_to_admm() -> None:
    problem = declared()
    before = cx.memory_limit()
    try:
        cx.memory_limit(1e-5)
        with pytest.raises(cx.MemoryLimitError, match="matrix and factor"):
            cx.solve(problem, "ipm")
    finally:
        cx.memory_limit(before)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, 60))
    large = cx.RobustReluTraining(X, X[:, 0] > 0.0, beta=0.1, radius=0.05, patterns=60)
    assert cx.compile(large).backend.name == "admm"

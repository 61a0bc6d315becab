"""Networks against Wasserstein balls: the program, its norms, and the worst case of both sides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cvxpy as cp
import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.functions.losses import Huber
from convexnn.functions.norms import DUAL, NORMS
from convexnn.relu.boxes import Boxes
from convexnn.robust.worst_distribution import slopes_at

rng = np.random.default_rng(0)
X = rng.standard_normal((24, 3))
TARGETS = np.maximum(X[:, 0], 0.0) - np.abs(X[:, 1]) + 0.1 * rng.standard_normal(24)
LABELS = np.where(X[:, 0] + TARGETS > 0.3, "yes", "no")
SLOPES = {"absolute": 1.0, "huber": 1.0, "logistic": 1.0, "hinge": 1.0}
KINDS = [(loss, norm) for loss in SLOPES for norm in ("l2", "l1", "linf")]


def known(loss: str) -> Any:
    return LABELS if loss in ("logistic", "hinge") else TARGETS


def losses(solution: cx.Solution) -> Array:
    problem = solution.problem
    z = solution.model.decision_function(problem.X)
    return np.asarray(problem.loss.value(z, problem.labels.targets))


@pytest.mark.parametrize(("loss", "norm"), KINDS)
def test_it_is_training_with_the_dual_norm_and_bounds_its_worst_case(loss: str, norm: str) -> None:
    radius = 0.03
    problem = cx.WassersteinReluTraining(
        X, known(loss), radius=radius, norm=norm, loss=loss, patterns=12
    )
    solution = cx.solve(problem, tol=1e-5)
    assert solution.status is cx.Status.OPTIMAL
    model, n = solution.model, len(X)
    size = DUAL[norm].value(model.U.T) @ np.abs(model.alpha[:, 0])
    worth = float(losses(solution).sum()) + n * radius * float(size)
    assert solution.objective == pytest.approx(worth, rel=1e-7)
    worst = model.worst_case
    assert worst.nominal == pytest.approx(float(losses(solution).mean()))
    assert worst.nominal < worst.lower <= worst.upper <= solution.objective / n * (1.0 + 1e-9)
    if norm != "l1":
        twin = cx.ReluTraining(
            *(X, known(loss)), beta=n * radius, loss=loss, patterns=12, penalty=problem.penalty
        )
        assert cx.solve(twin, tol=1e-5).objective == pytest.approx(solution.objective, rel=1e-4)


@pytest.mark.parametrize(("loss", "norm"), KINDS)
def test_the_lower_side_is_a_distribution_in_the_ball(loss: str, norm: str) -> None:
    weights = np.arange(1.0, 25.0)
    problem = cx.WassersteinReluTraining(
        X, known(loss), radius=0.1, norm=norm, loss=loss, patterns=12, bias=True, weights=weights
    )
    solution = cx.solve(problem, tol=1e-3)
    worst = solution.model.worst_case
    atoms, mass = worst.atoms, weights / weights.sum()
    assert atoms.mass.min() >= 0.0
    np.testing.assert_allclose(np.bincount(atoms.source, atoms.mass, 24), mass, rtol=1e-12)
    way = NORMS[norm].value(atoms.location - X[atoms.source])
    assert float(atoms.mass @ way) <= 0.1 * (1.0 + 1e-9)
    z = solution.model.decision_function(atoms.location)
    own = problem.loss.value(z, problem.labels.targets[atoms.source])
    assert worst.lower == pytest.approx(float(atoms.mass @ own), rel=1e-12)
    assert worst.lower >= worst.nominal


def test_the_sides_meet_where_one_direction_is_steepest() -> None:
    network = cx.TwoLayerNetwork([[2.0, 0.0], [0.0, 1.0]], [[1.0], [1.0]], [0.0, 0.0])
    points = np.array([[1.0, 1.0], [-1.0, 3.0]])
    problem = cx.WassersteinReluTraining(points, [1.0, 2.0], radius=0.2, norm="l1")
    worst = problem.worst_case(network)
    assert worst.lipschitz == pytest.approx(2.0)  # the product bound is 3
    assert worst.upper == pytest.approx(worst.lower, rel=1e-9)


def test_slopes_are_gradients() -> None:
    g = np.random.default_rng(1)
    network = cx.TwoLayerNetwork(
        g.standard_normal((3, 5)), g.standard_normal((5, 1)), g.standard_normal(5)
    )
    for j, step in enumerate(1e-6 * np.eye(3)):
        rise = network.decision_function(X + step) - network.decision_function(X - step)
        np.testing.assert_allclose(slopes_at(network, X)[:, j], rise / 2e-6, atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_the_largest_entry_over_a_cone_is_that_of_the_formula(seed: int) -> None:
    g = np.random.default_rng(seed)
    n, d, tau = 9, 4, (0.01, 0.3, 1.0, 5.0)[seed]
    data = g.standard_normal((n, d))
    signs = np.where(data @ g.standard_normal((d, 3)) > 0.0, 1, -1).T.astype(np.int8)
    signs = np.ascontiguousarray(signs)
    rows = 2.0 * g.standard_normal((6, d))
    boxes = Boxes(data, signs)
    facets, largest = boxes.start(6), np.zeros(6)
    found = boxes.prox(rows, tau, facets, largest)
    worth = boxes.dual(rows, tau, boxes.start(6))
    for k, row in enumerate(rows):
        v = cp.Variable(d)
        inside = [cp.multiply(signs[k % 3], data @ v) >= 0]
        near = cp.Problem(
            cp.Minimize(cp.sum_squares(v - row) / 2 + tau * cp.norm(v, "inf")), inside
        )
        near.solve(solver="CLARABEL", tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)
        np.testing.assert_allclose(found[k], v.value, atol=1e-6)
        best = cp.Problem(cp.Maximize(row @ v), [*inside, cp.norm(v, "inf") <= 1])
        least = float(best.solve(solver="CLARABEL"))
        assert worth[k] >= least * (1.0 - 1e-7) - 1e-7
        assert worth[k] <= max(tau, least * (1.0 + 1e-3)) + 1e-7


def test_over_all_patterns() -> None:
    few = X[:8, :2]
    for norm in ("l2", "l1", "linf"):
        problem = cx.WassersteinReluTraining(few, TARGETS[:8], radius=0.01, norm=norm)
        solution = cx.solve(problem, tol=1e-3, time_limit=60.0)
        assert solution.status is cx.Status.OPTIMAL
        assert solution.certificate.scope.startswith("all patterns")
        sampled = cx.WassersteinReluTraining(few, TARGETS[:8], radius=0.01, norm=norm, patterns=4)
        assert solution.bound <= cx.solve(sampled, tol=1e-3).objective


def test_weights_are_repeated_rows_and_files_keep_the_worst_case(tmp_path: Path) -> None:
    counts = np.arange(24) % 3
    given: dict[str, Any] = {"radius": 0.05, "norm": "linf", "loss": Huber(delta=2.0)}
    some = cx.WassersteinReluTraining(X, TARGETS, weights=counts, **given, patterns=8)
    rows = np.repeat(np.arange(24), counts)
    patterns = cx.sample_patterns(X, 8).matrix[rows]
    all_of_them = cx.WassersteinReluTraining(X[rows], TARGETS[rows], **given, patterns=patterns)
    assert some.beta == pytest.approx(all_of_them.beta) == pytest.approx(24 * 0.05 * 2.0)
    left = cx.WassersteinReluTraining(
        X, TARGETS, weights=counts, **given, patterns=cx.sample_patterns(X, 8)
    )
    solution = cx.solve(left, tol=1e-6)
    assert solution.objective == pytest.approx(cx.solve(all_of_them).objective, rel=1e-5)
    solution.save(tmp_path / "solution.npz")
    again = cx.load(tmp_path / "solution.npz")
    assert again.problem.radius == 0.05
    assert again.model.worst_case.upper == solution.model.worst_case.upper
    again.model.save(tmp_path / "model.npz")
    alone = cx.TwoLayerNetwork.load(tmp_path / "model.npz")
    with pytest.raises(cx.ProblemError, match="was not trained against a ball"):
        alone.worst_case  # noqa: B018
    larger = left.at(2.0 * left.beta)
    assert larger.radius == pytest.approx(0.1)
    worst, further = solution.model.worst_case, larger.worst_case(solution.model)
    assert further.upper - worst.nominal == pytest.approx(2.0 * (worst.upper - worst.nominal))
    chosen = cx.select(left, radius=[0.5, 0.01], folds=2, tol=1e-3)
    assert chosen.best == {"radius": 0.01}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"radius": 0.0}, "radius must be finite and > 0, got 0.0"),
        ({"norm": "l3"}, "norm must be one of l2, l1, linf, got 'l3'"),
        ({"loss": "squared"}, "loss must be one of absolute, huber, logistic, hinge, got 'squar"),
        ({"norm": "l1"}, "patterns must be given for norm 'l1': "),
        ({"y": np.zeros((24, 2))}, "y must"),
    ],
)
def test_bad_input_is_named(changes: dict[str, Any], says: str) -> None:
    given: dict[str, Any] = {"X": np.tile(X, 3) + np.eye(24, 9), "y": TARGETS, "radius": 0.1}
    given |= changes
    with pytest.raises(cx.ProblemError, match=says):
        cx.WassersteinReluTraining(given.pop("X"), given.pop("y"), **given)


def test_what_rests_on_other_norms_is_refused() -> None:
    problem = cx.WassersteinReluTraining(X, TARGETS, radius=0.1, norm="l1", patterns=5)
    solution = cx.solve(problem, tol=1e-3)
    for work in (
        lambda: cx.path(problem),
        lambda: cx.audit(solution),
        lambda: cx.beta_max(problem),
    ):
        with pytest.raises(cx.ProblemError, match="neurons in the linf norm"):
            work()
    assert "linf" in str(cx.backends(problem))

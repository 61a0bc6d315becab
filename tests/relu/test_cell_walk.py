"""The hybrid over all patterns: the optimum where that can be shown, honest where it cannot."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.contract.grading import contents
from convexnn.forms import NetworkForm
from convexnn.relu.forms import Dual, Neurons
from convexnn.solvers.relu.cell_walk import Early
from convexnn.solvers.relu.lbfgs import descend

LOSSES = ("squared", "logistic", "hinge", "huber")
CLASSIFICATION = ("logistic", "hinge")
KINDS = ("general", "duplicate", "opposite", "antipodal", "zero", "rank one", "wide", "integer")
TOL = 1e-6
ROOM = 3e-6  # relative, between two answers that are each within the tolerance
each_loss = pytest.mark.parametrize("loss", LOSSES)
FEW: dict[str, Any] = {"starts": 2, "width": 10, "cells": 0}  # the lift has tests of its own


def data(n: int, d: int, loss: str = "squared", seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    y = 2.0 * np.maximum(X[:, 0], 0.0) - np.maximum(X[:, -1] - X[:, 0], 0.0)
    y += 0.3 * rng.standard_normal(n)
    if loss in CLASSIFICATION:
        labels = np.where(y > np.median(y), 1.0, -1.0)
        labels[::5] *= -1.0
        return X, labels
    return X, y


def odd(kind: str, loss: str) -> tuple[Array, Array]:
    X, y = data(10, 2, loss, seed=7)
    if kind == "duplicate":
        X[5:] = X[:5]
    elif kind == "opposite":
        X[5:], y[5:] = X[:5], -y[:5]
    elif kind == "antipodal":
        X[5:] = -X[:5]
    elif kind == "zero":
        X[::3] = 0.0
    elif kind == "rank one":
        X = X[:, :1] * np.array([1.0, -2.0])
    elif kind == "wide":
        X, y = data(4, 9, loss, seed=7)
    elif kind == "integer":
        X = np.round(X)
    return X, y


def listed(problem: cx.ReluTraining) -> cx.ReluTraining:
    """The program over every cell of the data, each given explicitly."""
    return cx.ReluTraining(
        problem.X,
        problem.y,
        beta=problem.beta,
        loss=problem.loss,
        bias=problem.bias,
        patterns=cx.enumerate_patterns(problem.data),
        penalty=problem.penalty,
        leak=problem.leak,
        skip=problem.skip,
    )


def best_of(problem: cx.ReluTraining) -> cx.Solution:
    """The enumerated optimum, by the first engine that certifies it.

    Its bound is on all patterns and its objective a network's: the cones no longer matter.
    """
    full = listed(problem)
    for tol, backend in product((1e-7, 1e-6), ("ipm", "cvxpy:clarabel", "admm")):
        solution = cx.solve(full, backend, tol=tol)
        if abs(solution.gap) <= tol:
            return solution
    raise AssertionError("no engine certifies the enumerated program")


def assert_global(problem: cx.ReluTraining) -> cx.Solution:
    """Optimal over all patterns, and equal to the optimum over every cell."""
    found = cx.solve(problem, "cell-walk", tol=TOL, **FEW)
    assert found.status is cx.Status.OPTIMAL, repr(found)
    assert found.certificate.scope.startswith("all patterns")
    exact = best_of(problem)
    room = ROOM * max(1.0, exact.objective)
    assert abs(found.objective - exact.objective) <= room
    assert found.bound <= exact.objective + 1e-9 * max(1.0, exact.objective)
    assert exact.bound <= found.objective + 1e-9 * max(1.0, exact.objective)
    return found


@each_loss
@pytest.mark.parametrize("kind", KINDS)
def test_optimum_of_data_in_any_position_is_that_over_every_cell(kind: str, loss: str) -> None:
    X, y = odd(kind, loss)
    assert_global(cx.ReluTraining(X, y, beta=0.2, loss=loss))


@each_loss
@pytest.mark.parametrize("penalty", ["l2", "l1"])
@pytest.mark.parametrize(
    "changes",
    [{"leak": 0.2}, {"skip": True}, {"bias": True}, {"leak": 0.9, "skip": True}],
    ids=["leak", "skip", "bias", "leak and skip"],
)
def test_optimum_of_every_variant_is_that_over_every_cell(
    loss: str, penalty: str, changes: dict[str, Any]
) -> None:
    X, y = data(9, 2, loss, seed=1)
    assert_global(cx.ReluTraining(X, y, beta=0.2, loss=loss, penalty=penalty, **changes))


def test_optimum_of_three_features_is_that_over_every_cell() -> None:
    X, y = data(16, 3, seed=2)
    assert_global(cx.ReluTraining(X, y, beta=0.3))


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(
            seed,
            marks=pytest.mark.xfail(reason="hinge, rank one: rounding ends the solve at 7e-6"),
        )
        if seed == 43
        else seed
        for seed in range(120)
    ],
)
def test_optimum_of_drawn_problems_is_that_over_every_cell(seed: int) -> None:
    rng = np.random.default_rng(seed)
    loss, kind = str(rng.choice(LOSSES)), str(rng.choice(KINDS))
    X, y = odd(kind, loss)
    assert_global(
        cx.ReluTraining(
            X,
            y,
            beta=10.0 ** rng.uniform(-2.0, 0.7),
            loss=loss,
            bias=bool(rng.random() < 0.3),
            penalty=str(rng.choice(["l2", "l1"])),
            leak=float(rng.choice([0.0, 0.2])),
            skip=bool(rng.random() < 0.3),
        )
    )


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("bias", [False, True])
def test_very_few_examples_are_solved_over_all_patterns(n: int, bias: bool) -> None:
    X, y = data(n, 2, seed=n)
    assert_global(cx.ReluTraining(X, y, beta=0.05, bias=bias))


@pytest.mark.parametrize("scale_X", [1e-6, 1e6])
@pytest.mark.parametrize("scale_y", [1.0, 1e6])
def test_data_of_any_scale_are_solved_over_all_patterns(scale_X: float, scale_y: float) -> None:
    X, y = data(15, 2)
    plain = cx.solve(cx.ReluTraining(X, y, beta=0.3), "cell-walk", tol=TOL, **FEW)
    problem = cx.ReluTraining(scale_X * X, scale_y * y, beta=0.3 * scale_X * scale_y)
    scaled = cx.solve(problem, "cell-walk", tol=TOL, **FEW)
    assert scaled.status is cx.Status.OPTIMAL, repr(scaled)
    assert scaled.objective == pytest.approx(plain.objective * scale_y**2, rel=ROOM)


def test_constant_targets_are_fitted_as_well_as_over_every_cell() -> None:
    X, _ = data(12, 2)
    assert_global(cx.ReluTraining(X, np.full(12, 3.0), beta=0.1))


@pytest.mark.parametrize("loss", CLASSIFICATION)
@pytest.mark.parametrize("beta", [1e-6, 1e-3])
def test_separable_classes_with_hardly_any_penalty_are_solved(loss: str, beta: float) -> None:
    X, _ = data(15, 2)
    y = np.where(X[:, 0] > 0.0, 1.0, -1.0)
    assert_global(cx.ReluTraining(X, y, beta=beta, loss=loss))


@each_loss
def test_a_penalty_too_large_for_any_neuron_is_seen_at_once(loss: str) -> None:
    X, y = data(40, 5, loss)
    solution = cx.solve(cx.ReluTraining(X, y, beta=1e5, loss=loss), "cell-walk")
    assert solution.status is cx.Status.OPTIMAL
    assert len(solution.model) == 0
    assert len(solution.history) == 1


@pytest.mark.parametrize("loss", CLASSIFICATION)
def test_examples_repeated_with_opposite_labels_leave_the_zero_network(loss: str) -> None:
    X, _ = data(20, 6)
    y = np.where(X[:, 0] > 0.0, 1.0, -1.0)
    problem = cx.ReluTraining(np.vstack([X, X]), np.r_[y, -y], beta=0.1, loss=loss)
    solution = cx.solve(problem, "cell-walk", tol=TOL, **FEW)
    assert solution.status is cx.Status.OPTIMAL
    zero = problem.objective(problem.initial()[0])
    assert solution.objective == pytest.approx(zero, rel=1e-6)


def searched(n: int, d: int, loss: str = "squared", **changes: Any) -> cx.ReluTraining:
    """A problem whose cells are too many to list."""
    X, y = data(n, d, loss, seed=1)
    problem = cx.ReluTraining(X, y, loss=loss, **({"beta": 0.5} | changes))
    assert problem.matrix is None
    return problem


@pytest.mark.parametrize(
    ("n", "d", "loss"),
    [
        (60, 4, "squared"),
        (60, 4, "logistic"),
        (60, 4, "hinge"),
        (60, 4, "huber"),
        (40, 5, "squared"),
        (40, 5, "huber"),
    ],
)
def test_optimum_of_small_rank_is_proved_over_all_patterns(n: int, d: int, loss: str) -> None:
    problem = searched(n, d, loss)
    solution = cx.solve(problem, "cell-walk", tol=TOL)
    assert solution.status is cx.Status.OPTIMAL, repr(solution)
    assert solution.certificate.scope.startswith("all patterns")
    local = cx.solve(problem, "lbfgs", starts=10)
    assert solution.bound <= solution.objective <= local.objective * (1.0 + 1e-9)
    assert local.bound <= solution.objective


@pytest.mark.parametrize(
    "changes", [{"penalty": "l1"}, {"leak": 0.2}, {"skip": True}], ids=["l1", "leak", "skip"]
)
def test_variants_of_small_rank_are_proved_over_all_patterns(changes: dict[str, Any]) -> None:
    problem = searched(40, 4, **changes)
    solution = cx.solve(problem, "cell-walk", tol=TOL, **FEW)
    assert solution.status is cx.Status.OPTIMAL, repr(solution)
    local = cx.solve(problem, "lbfgs", starts=10)
    assert solution.bound <= solution.objective <= local.objective * (1.0 + 1e-9)


@cache
def high_rank(loss: str) -> tuple[cx.Solution, cx.Solution]:
    """The answers of the hybrid and of local search from the same seed."""
    problem = searched(80, 12, loss)
    same: dict[str, Any] = {"seed": 3, "starts": 3, "width": 20}
    return cx.solve(problem, "cell-walk", cells=0, **same), cx.solve(problem, "lbfgs", **same)


@each_loss
def test_a_high_rank_is_never_worse_than_local_search_and_its_bound_is_honest(loss: str) -> None:
    solution, local = high_rank(loss)
    assert solution.objective <= local.objective * (1.0 + 1e-12)
    assert np.isfinite(solution.bound)
    assert solution.bound <= solution.objective
    assert solution.status is not cx.Status.OPTIMAL


@each_loss
def test_scope_of_a_high_rank_tells_how_near_the_restricted_optimum_is(loss: str) -> None:
    start, _, found = high_rank(loss)[0].certificate.scope.partition("; within ")
    assert start == "all patterns"
    assert found.endswith("found by search")
    assert float(found.split()[0]) <= 1e-3


def test_pooling_beats_every_local_search() -> None:
    solution, _ = high_rank("squared")
    local = cx.solve(solution.problem, "lbfgs", starts=10, width=20)
    assert solution.objective < local.objective


def test_best_objective_never_rises_and_best_bound_never_falls() -> None:
    history = cx.solve(searched(60, 6), "cell-walk", **FEW).history
    assert len(history) > 4
    best = np.minimum.accumulate([step.objective for step in history])
    assert best[-1] < best[1]
    for before, after in pairwise(history):
        assert after.bound >= before.bound
        assert after.seconds >= before.seconds


def test_the_answer_is_the_best_of_its_history() -> None:
    solution = cx.solve(searched(60, 6), "cell-walk", **FEW)
    best = min(step.objective for step in solution.history)
    assert solution.objective <= best * (1.0 + 1e-7)  # pruning may cost a tenth of the tolerance
    assert solution.bound >= solution.history[-1].bound - 1e-9 * best


def test_one_round_is_certified() -> None:
    problem = searched(60, 6)
    solution = cx.solve(problem, "cell-walk", max_iter=1, tol=1e-9, **FEW)
    assert solution.bound <= solution.objective
    assert problem.certify(solution.primal, solution.dual) == solution.certificate
    more = cx.solve(problem, "cell-walk", max_iter=6, tol=1e-9, **FEW)
    assert more.objective <= solution.objective


SILENT = Neurons(np.zeros((1, 0)), np.zeros((1, 0)), np.zeros(1))


class Clock:
    """A reporter of a run of 10 seconds."""

    def __init__(self, left: float | None) -> None:
        self.left = left

    def report(self, iteration: int, primal: Any, dual: Any) -> bool:
        return False

    def remaining(self) -> float | None:
        return self.left

    def expired(self) -> bool:
        return self.left is not None and self.left <= 0.0


def test_a_part_of_the_run_ends_with_its_share_of_the_time() -> None:
    clock = Clock(10.0)
    part = Early(clock, 0.75)
    clock.left = 2.0
    assert part.remaining() == 2.0
    assert not part.expired()
    part.armed = True
    for left, remaining in ((10.0, 7.5), (3.5, 1.0), (2.5, 0.0), (-1.0, -3.5)):
        clock.left = left
        assert part.remaining() == remaining
        assert part.expired() == part.report(1, SILENT, Dual(np.zeros(1))) == (remaining <= 0.0)
    endless = Early(Clock(None), 0.75)
    endless.armed = True
    assert endless.remaining() is None
    assert not endless.expired()


def test_a_time_limit_keeps_a_certified_answer() -> None:
    problem = searched(60, 6)
    for limit in (1e-9, 0.2):
        solution = cx.solve(problem, "cell-walk", time_limit=limit, tol=1e-9, **FEW)
        assert solution.status is cx.Status.TIME_LIMIT
        assert solution.bound <= solution.objective
        assert problem.certify(solution.primal, solution.dual) == solution.certificate


@pytest.mark.parametrize("stop", [0, 1, 3, 5])
def test_a_callback_stops_it_with_a_certified_answer(stop: int) -> None:
    problem = searched(60, 6)
    solution = cx.solve(problem, "cell-walk", callback=lambda step: step.iteration >= stop, **FEW)
    assert solution.status is cx.Status.STOPPED
    assert solution.history[-1].iteration == stop
    assert solution.bound <= solution.objective
    assert problem.certify(solution.primal, solution.dual) == solution.certificate


def test_a_start_is_never_made_worse() -> None:
    problem = searched(60, 6)
    local = cx.solve(problem, "lbfgs", seed=5, starts=4, width=40)
    warm = cx.solve(problem, "cell-walk", start=local, starts=1, width=4, max_iter=1)
    assert warm.objective <= local.objective
    rough = Neurons(*(2.0 * part for part in local.primal))
    again = cx.solve(problem, "cell-walk", start=rough, starts=1, width=4, max_iter=1)
    assert again.objective <= problem.objective(rough)


def test_an_optimal_start_stays_optimal() -> None:
    problem = searched(40, 4)
    first = cx.solve(problem, "cell-walk", **FEW)
    again = cx.solve(problem, "cell-walk", start=first, starts=1, width=4)
    assert first.status is again.status is cx.Status.OPTIMAL
    assert again.objective <= first.objective * (1.0 + TOL)


def test_a_seed_decides_the_answer() -> None:
    problem = searched(60, 6)
    first, second, other = (
        cx.solve(problem, "cell-walk", seed=seed, max_iter=2, **FEW) for seed in (4, 4, 5)
    )
    assert first.objective == second.objective
    assert first.certificate == second.certificate
    np.testing.assert_array_equal(first.primal.V, second.primal.V)
    assert other.objective != first.objective


@pytest.mark.parametrize(("n", "d"), [(40, 4), (60, 6)], ids=["proved", "not proved"])
def test_a_file_certifies_again(n: int, d: int, tmp_path: Path) -> None:
    solution = cx.solve(searched(n, d), "cell-walk", max_iter=3, **FEW)
    solution.save(tmp_path / "solution.npz")
    again = cx.load(tmp_path / "solution.npz")
    assert again.certificate == solution.certificate
    assert again.status is solution.status
    assert contents(again.dual) == contents(solution.dual)
    assert again.problem.certify(again.primal, again.dual) == solution.certificate


def test_a_proof_is_carried_by_the_dual_point() -> None:
    """What a search has found is gone through by whoever certifies."""
    problem = searched(40, 4)
    solution = cx.solve(problem, "cell-walk", **FEW)
    assert solution.status is cx.Status.OPTIMAL
    assert all(cover is not None for cover in solution.dual.covers)
    without = problem.certify(solution.primal, solution.dual._replace(covers=()))
    assert without.bound < solution.bound - 1e-3


@pytest.mark.parametrize("name", ["pooled", "probes", "starts", "width", "nodes"])
@pytest.mark.parametrize("value", [0, -1, 1.5])
def test_options_that_are_not_positive_integers_are_refused(name: str, value: float) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=name):
        cx.solve(searched(40, 4), "cell-walk", **options)


def test_the_design_document_instance_is_solved_better_than_by_local_search() -> None:
    """From 200 examples of a teacher; the best of 20 local searches reaches 313.79."""
    rng = np.random.default_rng(0)
    X, T = rng.standard_normal((200, 10)), rng.standard_normal((10, 10))
    y = np.maximum(X @ T, 0.0) @ rng.standard_normal(10) + 0.1 * rng.standard_normal(200)
    problem = cx.ReluTraining(X, y, beta=16.053613541637173)
    solution = cx.solve(problem, "cell-walk")
    assert solution.objective <= 313.42
    assert 0.0 < solution.bound <= solution.objective


@pytest.mark.slow
def test_diabetes_is_solved_better_than_by_local_search() -> None:
    """The best of 20 local searches reaches 76.19."""
    X, y = pytest.importorskip("sklearn.datasets").load_diabetes(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    y = (y - y.mean()) / y.std()
    solution = cx.solve(cx.ReluTraining(X, y, beta=2.0), "cell-walk")
    assert solution.objective <= 73.4
    assert solution.bound <= solution.objective


COMPILED = """
import sys

import numpy as np

import convexnn as cx


def kernels():
    return {
        (module, name): len(kernel.signatures)
        for module, loaded in list(sys.modules.items())
        if module.startswith("convexnn.")
        for name, kernel in vars(loaded).items()
        if hasattr(kernel, "nopython_signatures")
    }


rng = np.random.default_rng(0)
X = rng.standard_normal((70, 3))
y = np.abs(X[:, 0]) + 0.1 * rng.standard_normal(70)
if sys.argv[1] == "hinge":
    changes = {"loss": "hinge", "penalty": "l1", "leak": 0.1, "skip": True}
    problem = cx.ReluTraining(X, np.where(y > 0.7, 1.0, -1.0), beta=1.0, **changes)
else:
    problem = cx.ReluTraining(X, y, beta=5.0)
assert problem.matrix is None
ready = cx.compile(problem, "cell-walk")
before = kernels()
assert ready.run(tol=1e-3, starts=2, width=10).history[-1].iteration > 3
after = kernels()
print([name for name in after if before.get(name) != after[name]])
"""


@pytest.mark.parametrize("loss", ["squared", "hinge"])
def test_nothing_is_left_to_compile_while_the_clock_runs(loss: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", COMPILED, loss]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_columns_of_very_different_scale_are_searched() -> None:
    rng = np.random.default_rng(0)
    X, y = 1e4 * rng.standard_normal((10, 1)), 0.1 * rng.standard_normal(10)
    found = cx.solve(cx.ReluTraining(X, y, beta=0.005, bias=True, loss="huber"))
    assert found.status is cx.Status.OPTIMAL


@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_a_network_of_no_neurons_is_as_low_as_it_goes(penalty: str) -> None:
    problem = cx.ReluTraining([[1.0], [2.0]], [0.0, 1.0], beta=9.0, penalty=penalty, patterns=None)
    reporter: Any = None  # nothing to report
    zero = problem.initial()[0]
    assert descend(problem.canonical(NetworkForm), zero, 10, reporter) is zero

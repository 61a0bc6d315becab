"""The network's own problem: all patterns, scale, odd data, interruptions and files."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.arrays import Array

LOSSES = ("squared", "logistic", "hinge", "huber")
CLASSIFICATION = ("logistic", "hinge")
ENGINES = ("admm", "fista", "cvxpy:clarabel", "cell-walk", "lbfgs")
CONVEX = ("admm", "fista", "cvxpy:clarabel")
SHARP = 1e-8  # asked where an optimum is compared with local search
HINGE = 1e-5  # the same, where the loss has kinks


def data(n: int, d: int, loss: str = "squared", seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    y = 2.0 * np.maximum(X[:, 0], 0.0) - np.maximum(X[:, -1] - X[:, 0], 0.0)
    y += 0.3 * rng.standard_normal(n)
    if loss in CLASSIFICATION:
        return X, np.where(y > np.median(y), 1.0, -1.0)
    return X, y


def small(**changes: Any) -> cx.ReluTraining:
    X, y = data(25, 3)
    return cx.ReluTraining(X, y, **({"beta": 0.5, "patterns": 10} | changes))


def iterations(solution: cx.Solution) -> int:
    return solution.history[-1].iteration


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    "changes",
    [{}, {"penalty": "l1"}, {"bias": True}, {"leak": 0.2}],
    ids=["plain", "l1", "bias", "leak"],
)
def test_program_over_all_patterns_is_at_least_as_good_as_thirty_local_searches(
    loss: str, changes: dict[str, Any]
) -> None:
    X, y = data(8, 2, loss, seed=5)
    problem = cx.ReluTraining(X, y, beta=0.2, loss=loss, **changes)
    tol = HINGE if loss == "hinge" else SHARP
    exact = cx.solve(problem, "admm", tol=tol, max_iter=200_000)
    local = cx.solve(problem, "lbfgs", starts=12, width=12)
    assert exact.status is cx.Status.OPTIMAL
    assert exact.certificate.scope == "all patterns"
    assert exact.bound <= local.objective
    room = max(1e-6, tol * max(1.0, exact.objective))
    assert exact.objective <= local.objective + room
    assert local.bound <= exact.objective + room


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("n", "d"), [(8, 2), (40, 5)], ids=["listed", "searched"])
def test_cell_walk_never_loses_to_the_local_search_it_starts_from(
    n: int, d: int, seed: int
) -> None:
    X, y = data(n, d, seed=seed)
    problem = cx.ReluTraining(X, y, beta=0.3)
    same: dict[str, Any] = {"seed": seed, "starts": 3, "width": 8}
    local = cx.solve(problem, "lbfgs", **same)
    hybrid = cx.solve(problem, "cell-walk", **same)
    assert hybrid.objective <= local.objective + 1e-12 * abs(local.objective)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("n", "d"), [(8, 2), (60, 6)], ids=["listed", "searched"])
@pytest.mark.parametrize("backend", ["auto", "lbfgs"])
def test_a_large_beta_has_the_zero_network_with_no_gap(
    loss: str, n: int, d: int, backend: str
) -> None:
    X, y = data(n, d, loss)
    solution = cx.solve(cx.ReluTraining(X, y, beta=1e4, loss=loss), backend)
    assert solution.status is cx.Status.OPTIMAL
    assert abs(solution.gap) <= 1e-9
    assert solution.certificate.scope == "all patterns"
    assert len(solution.model) == 0
    assert not solution.model.decision_function(X).any()


@pytest.mark.parametrize("method", ["min-norm", "generator"])
@pytest.mark.parametrize("bias", [False, True])
def test_decomposed_gated_network_predicts_the_same_and_costs_more(method: str, bias: bool) -> None:
    X, y = data(20, 3)
    gated = cx.GatedReluTraining(X, y, beta=0.5, patterns=12, bias=bias)
    relu = cx.ReluTraining(X, y, beta=0.5, patterns=gated.gates, bias=bias)
    below = cx.solve(gated, "admm", tol=1e-7)
    exact = cx.solve(relu, "admm", tol=1e-7)
    above = gated.decompose(below.primal, method=method)
    assert below.status is exact.status is cx.Status.OPTIMAL
    np.testing.assert_allclose(
        above.network.predict(X), below.model.predict(X), rtol=0.0, atol=1e-7
    )
    assert above.network.gates is None
    assert above.objective >= exact.bound
    assert exact.objective >= below.bound
    assert above.objective > below.objective + 1e-3
    assert above.objective == pytest.approx(relu.objective(above.neurons), rel=1e-9)
    assert relu.certify(above.neurons, exact.dual).violation <= 1e-7


@pytest.mark.parametrize("backend", ["admm", "fista"])
@pytest.mark.parametrize("beta", [0.5, 0.48])
def test_warm_start_saves_iterations_and_reaches_the_same_objective(
    backend: str, beta: float
) -> None:
    first = cx.solve(small(), backend, tol=1e-7)
    problem = replace(first.problem, beta=beta)
    cold = cx.solve(problem, backend, tol=1e-6)
    warm = cx.solve(problem, backend, tol=1e-6, start=first)
    assert cold.status is warm.status is cx.Status.OPTIMAL
    assert iterations(warm) < iterations(cold)
    assert warm.objective == pytest.approx(cold.objective, rel=2e-6)


def test_a_compiled_problem_runs_again_from_its_own_answer() -> None:
    ready = cx.compile(small(), "admm")
    rough = ready.run(tol=1e-2)
    fine = ready.run(tol=1e-7, start=rough)
    assert fine.status is cx.Status.OPTIMAL
    assert fine.objective <= rough.objective


@pytest.mark.parametrize("backend", ["admm", "fista", "cvxpy:clarabel", "cell-walk"])
@pytest.mark.parametrize("penalty", ["l2", "l1"])
@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_scaling_features_and_beta_together_changes_nothing(
    backend: str, penalty: str, scale: float
) -> None:
    X, y = data(8, 2)
    plain = cx.solve(cx.ReluTraining(X, y, beta=0.3, penalty=penalty), backend, tol=1e-6)
    scaled = cx.solve(
        cx.ReluTraining(scale * X, y, beta=scale * 0.3, penalty=penalty), backend, tol=1e-6
    )
    assert plain.status is scaled.status is cx.Status.OPTIMAL
    assert scaled.objective == pytest.approx(plain.objective, rel=2e-6)
    np.testing.assert_allclose(
        scaled.model.predict(scale * X), plain.model.predict(X), rtol=0.0, atol=1e-2
    )


def odd(kind: str) -> tuple[Array, Array]:
    X, y = data(8, 3, seed=4)
    if kind == "wide":
        return data(4, 9)
    if kind == "single":
        return np.array([[1.0, -2.0]]), np.array([3.0])
    if kind == "duplicate":
        return np.vstack([X, X, X]), np.r_[y, y, -y]
    if kind == "constant":
        return np.hstack([X[:, :2], np.ones((8, 1))]), y
    if kind == "deficient":
        return np.hstack([X[:, :2], X[:, :2] @ [[1.0, 0.0], [-1.0, 2.0]]]), y
    return np.vstack([np.zeros((2, 3)), X]), np.r_[1.0, -1.0, y]


@pytest.mark.parametrize(
    "kind", ["wide", "single", "duplicate", "constant", "deficient", "zero rows"]
)
@pytest.mark.parametrize("penalty", ["l2", "l1"])
@pytest.mark.parametrize("bias", [False, True])
def test_odd_data_are_solved_over_all_patterns(kind: str, penalty: str, bias: bool) -> None:
    X, y = odd(kind)
    problem = cx.ReluTraining(X, y, beta=0.1, penalty=penalty, bias=bias)
    solution = cx.solve(problem, tol=1e-5)
    assert solution.status is cx.Status.OPTIMAL, repr(solution)
    assert solution.certificate.scope == "all patterns"
    assert solution.objective < 0.5 * float(y @ y)


@pytest.mark.parametrize("loss", CLASSIFICATION)
@pytest.mark.parametrize("pair", [("no", "yes"), (3, 7), (False, True)])
def test_labels_are_mapped_and_predicted_back(loss: str, pair: tuple[Any, Any]) -> None:
    X, signs = data(30, 3, loss)
    y = np.where(signs > 0.0, pair[1], pair[0])
    mapped = cx.solve(cx.ReluTraining(X, y, beta=0.05, loss=loss, patterns=20), tol=1e-4)
    plain = cx.solve(cx.ReluTraining(X, signs, beta=0.05, loss=loss, patterns=20), tol=1e-4)
    predicted = mapped.model.predict(X)
    assert set(predicted.tolist()) == set(pair)
    assert predicted.dtype == y.dtype
    assert np.mean(predicted == y) >= 0.9
    np.testing.assert_array_equal(predicted == pair[1], plain.model.predict(X) > 0.0)
    assert mapped.objective == plain.objective


def stoppable(backend: str) -> cx.ReluTraining:
    return small(patterns=10 if backend in CONVEX else None)


@pytest.mark.parametrize("backend", ENGINES)
def test_a_true_callback_stops_and_the_best_answer_is_kept(backend: str) -> None:
    problem = stoppable(backend)
    seen: list[cx.Step] = []

    def stop(step: cx.Step) -> bool:
        seen.append(step)
        return step.iteration > 0

    solution = cx.solve(problem, backend, tol=1e-13, callback=stop)
    assert solution.status is cx.Status.STOPPED
    assert tuple(seen) == solution.history
    assert [step.iteration > 0 for step in seen] == [False] * (len(seen) - 1) + [True]
    best = min(step.objective for step in seen)
    assert solution.objective == pytest.approx(best, rel=1e-9)
    assert solution.objective < seen[0].objective


@pytest.mark.parametrize("backend", ENGINES)
def test_a_callback_that_answers_nothing_stops_nothing(backend: str) -> None:
    steps: list[cx.Step] = []
    problem = stoppable(backend)
    watched = cx.solve(problem, backend, tol=1e-4, callback=steps.append)
    alone = cx.solve(problem, backend, tol=1e-4)
    assert watched.status is alone.status is not cx.Status.STOPPED
    assert watched.objective == alone.objective
    assert len(steps) == len(alone.history)


@pytest.mark.parametrize("backend", ENGINES)
@pytest.mark.parametrize("late", [False, True])
def test_an_interrupt_returns_the_best_answer(backend: str, late: bool) -> None:
    problem = stoppable(backend)

    def interrupt(step: cx.Step) -> None:
        if step.iteration > 0 or not late:
            raise KeyboardInterrupt

    solution = cx.solve(problem, backend, tol=1e-13, callback=interrupt)
    assert solution.status is cx.Status.STOPPED
    assert "nterrupt" in solution.message
    zero = problem.objective(problem.initial()[0])
    assert (solution.objective < zero) == late
    assert problem.certify(solution.primal, solution.dual) == solution.certificate


@pytest.mark.parametrize("backend", ENGINES)
def test_a_tiny_time_limit_returns_a_certified_answer(backend: str) -> None:
    solution = cx.solve(stoppable(backend), backend, tol=1e-13, time_limit=1e-9)
    assert solution.status is cx.Status.TIME_LIMIT
    assert np.isfinite(solution.objective)
    assert solution.bound <= solution.objective


@pytest.mark.parametrize("backend", ENGINES)
def test_a_time_limit_that_ends_during_the_run_keeps_the_progress(backend: str) -> None:
    def dawdle(step: cx.Step) -> None:
        if step.iteration > 0:
            time.sleep(2.5)

    solution = cx.solve(stoppable(backend), backend, tol=1e-13, time_limit=2.0, callback=dawdle)
    assert solution.status is cx.Status.TIME_LIMIT
    assert solution.objective < solution.history[0].objective


@pytest.mark.parametrize("backend", ["admm", "fista", "ipm", "cvxpy:clarabel", "cvxpy:scs"])
def test_one_iteration_is_not_enough(backend: str) -> None:
    solution = cx.solve(small(patterns=10), backend, max_iter=1)
    assert solution.status is cx.Status.MAX_ITER, solution.message
    assert np.isfinite(solution.objective)
    with pytest.raises(cx.SolveError, match="MAX_ITER"):
        solution.raise_for_status()


def words() -> Any:
    X, signs = data(25, 3, "logistic")
    signs[::4] *= -1.0  # the free linear part must not separate the classes
    y = np.where(signs > 0.0, "yes", "no")
    return cx.ReluTraining(X, y, beta=0.3, loss="logistic", patterns=10, bias=True, skip=True)


def saved() -> list[Any]:
    X, y = data(20, 3)
    return [
        small(),
        small(patterns=None),
        small(penalty="l1", leak=0.2, loss="huber"),
        words(),
        cx.GatedReluTraining(X, y, beta=0.5, patterns=8, bias=True),
        cx.SampledReluTraining(X, y, beta=0.5, neurons=20, bias=True),
    ]


SAVED = ["relu", "all", "variant", "words", "gated", "sampled"]


@pytest.mark.parametrize("which", range(len(SAVED)), ids=SAVED)
def test_a_solution_survives_its_file(which: int, tmp_path: Path) -> None:
    problem = saved()[which]
    X = problem.X
    solution = cx.solve(problem, tol=1e-4)
    path = tmp_path / "solution.data"
    solution.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["solution.data"]
    again = cx.load(path)
    assert again.certificate == solution.certificate
    assert again.status is solution.status
    assert again.history == solution.history
    for name in ("timings", "backend", "message", "options", "versions"):
        assert getattr(again, name) == getattr(solution, name), name
    assert type(again.problem) is type(problem)
    np.testing.assert_array_equal(again.model.predict(X), solution.model.predict(X))
    warm = cx.solve(again.problem, solution.backend, tol=1e-4, start=again)
    assert warm.objective == pytest.approx(solution.objective, rel=2e-4)


@pytest.mark.parametrize("which", range(len(SAVED)), ids=SAVED)
def test_a_network_survives_its_file(which: int, tmp_path: Path) -> None:
    problem = saved()[which]
    network = cx.solve(problem, tol=1e-4).model
    network.save(tmp_path / "network.npz")
    again = cx.TwoLayerNetwork.load(tmp_path / "network.npz")
    fresh = np.random.default_rng(9).standard_normal((50, 3))
    np.testing.assert_array_equal(again.decision_function(fresh), network.decision_function(fresh))
    np.testing.assert_array_equal(again.predict(fresh), network.predict(fresh))


def rewrite(path: Path, arrays: dict[str, Any], meta: dict[str, Any]) -> None:
    with np.load(path) as file:
        kept = {name: file[name] for name in file.files}
    entry = json.loads(str(kept["meta"])) | meta
    with path.open("wb") as file:
        np.savez(file, **(kept | arrays | {"meta": np.array(json.dumps(entry))}))


@pytest.fixture
def rough(tmp_path: Path) -> Path:
    path = tmp_path / "solution.npz"
    solution = cx.solve(small(), "admm", tol=1e-10, max_iter=20)
    assert solution.status is cx.Status.MAX_ITER
    solution.save(path)
    return path


def test_an_untouched_rewritten_file_loads(rough: Path) -> None:
    rewrite(rough, {}, {})
    assert cx.load(rough).status is cx.Status.MAX_ITER


def test_a_file_with_other_weights_is_refused(rough: Path) -> None:
    rewrite(rough, {"primal.V": 1.01 * cx.load(rough).primal.V}, {})
    with pytest.raises(ValueError, match="objective"):
        cx.load(rough)


def test_a_file_with_another_target_is_refused(rough: Path) -> None:
    y = cx.load(rough).problem.y.copy()
    y[0] += 0.1
    rewrite(rough, {"problem.y": y}, {})
    with pytest.raises(ValueError, match="does not certify"):
        cx.load(rough)


def test_a_file_with_a_better_bound_is_refused(rough: Path) -> None:
    found = cx.load(rough).certificate
    figures = {**vars(found), "bound": found.objective}
    rewrite(rough, {}, {"certificate": figures})
    with pytest.raises(ValueError, match="bound"):
        cx.load(rough)


def test_a_file_that_claims_a_status_it_does_not_have_is_refused(rough: Path) -> None:
    rewrite(rough, {}, {"status": "OPTIMAL"})
    with pytest.raises(ValueError, match="OPTIMAL"):
        cx.load(rough)


def test_a_file_without_its_certificate_is_refused(rough: Path) -> None:
    rewrite(rough, {}, {"certificate": {}})
    with pytest.raises(ValueError, match=r"solution\.npz"):
        cx.load(rough)


def write_text(path: Path) -> None:
    path.write_text("a,b\n1,2\n")


def write_nothing(path: Path) -> None:
    path.write_bytes(b"")


def write_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.ones(3))


def write_other_npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, X=np.ones(3))


def write_list(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, meta=np.array("[1, 2]"))


def write_network(path: Path) -> None:
    cx.solve(small(), tol=1e-2).model.save(path)


def write_half(path: Path) -> None:
    cx.solve(small(), tol=1e-2).save(path)
    path.write_bytes(path.read_bytes()[:-300])


@pytest.mark.parametrize(
    "write",
    [
        write_text,
        write_nothing,
        write_array,
        write_other_npz,
        write_list,
        write_network,
        write_half,
    ],
)
def test_a_file_that_is_no_solution_is_refused(write: Any, tmp_path: Path) -> None:
    path = tmp_path / "thing.npz"
    write(path)
    with pytest.raises(ValueError, match=r"thing\.npz"):
        cx.load(path)


def test_a_solution_is_no_network(tmp_path: Path) -> None:
    path = tmp_path / "solution.npz"
    cx.solve(small(), tol=1e-2).save(path)
    with pytest.raises(ValueError, match="holds a Solution"):
        cx.TwoLayerNetwork.load(path)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        cx.load(tmp_path / "none.npz")


def test_rounding_in_an_envelope_does_not_break_the_accelerated_method() -> None:
    rng = np.random.default_rng(22)
    X = rng.standard_normal((20, 3))
    y = np.where(rng.standard_normal(20) + X[:, 0] > 0.5, 1, -1)
    problem = cx.GatedReluTraining(X, y, beta=0.5, loss="hinge", penalty="l1", patterns=8)
    solution = cx.solve(problem, "fista", tol=1e-4)
    assert solution.status is cx.Status.OPTIMAL, solution.message

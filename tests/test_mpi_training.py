"""Training with the data in shards: in processes started, killed and resumed for real."""

from __future__ import annotations

import errno
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jobs import killed, procs, shell
from jobs import library as library

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.contract.system.files import read_npz
from convexnn.contract.system.processes import mpiexec
from convexnn.relu.forms import GroupForm
from convexnn.solvers import mpi
from convexnn.solvers.exchange import Serial, cut
from convexnn.solvers.relu.block_prox import BlockProx
from convexnn.solvers.relu.sharded_fista import NO_EDGES, Sharded, along_tree, cover


def data(n: int = 50, d: int = 4) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    return X, X[:, 0] * X[:, 1] + 0.1 * rng.standard_normal(n)


def gated() -> Any:
    return cx.GatedReluTraining(*data(), beta=0.5, patterns=9)


def exact() -> Any:
    return cx.ReluTraining(*data(), beta=0.5, patterns=9, bias=True, leak=0.2, skip=True)


def hinge() -> Any:
    X, y = data()
    return cx.ReluTraining(X, np.sign(y), beta=0.5, patterns=7, penalty="l1", loss="hinge")


def softmax() -> Any:
    X, y = data()
    labels = np.digitize(y, [-0.5, 0.5])
    return cx.ReluTraining(X, labels, beta=0.5, patterns=5, loss="softmax")


def nuclear() -> Any:
    X, y = data()
    Y = np.column_stack([y, np.abs(y)])
    return cx.GatedReluTraining(X, Y, beta=0.5, patterns=3, penalty="nuclear")


PROBLEMS = {make.__name__: make for make in (gated, exact, hinge, softmax, nuclear)}


def assert_same(a: cx.Solution, b: cx.Solution) -> None:
    for name in ("V", "W", "skip"):
        assert (getattr(a.primal, name) == getattr(b.primal, name)).all(), name
    assert (a.dual.mu == b.dual.mu).all()
    if a.dual.facets is not None:
        assert (a.dual.facets.example == b.dual.facets.example).all()
        assert (a.dual.facets.value == b.dual.facets.value).all()
    assert a.status is b.status


@pytest.mark.parametrize(
    ("name", "processes"),
    [
        ("gated", 3),
        ("exact", 2),
        ("hinge", 2),
        ("softmax", 2),
        pytest.param("nuclear", 4, marks=pytest.mark.slow),
        pytest.param("softmax", 4, marks=pytest.mark.slow),
    ],
)
def test_iterates_do_not_depend_on_the_processes(name: str, processes: int) -> None:
    problem, last = PROBLEMS[name](), 155 if name == "hinge" else 25
    options: dict[str, Any] = {"tol": 1e-12, "max_iter": last}
    alone = cx.solve(problem, "mpi:fista", processes=1, **options)
    spread = cx.solve(problem, "mpi:fista", processes=processes, **options)
    assert_same(alone, spread)
    assert [(s.iteration, s.objective, s.bound) for s in alone.history] == [
        (s.iteration, s.objective, s.bound) for s in spread.history
    ]
    assert spread.history[-1].iteration == last


@pytest.mark.parametrize("name", list(PROBLEMS))
@pytest.mark.parametrize("shards", [1, 7])
def test_sharded_answer_is_that_of_one_piece(name: str, shards: int) -> None:
    problem = PROBLEMS[name]()
    tol = 1e-3 if name == "hinge" else 1e-7
    whole = cx.solve(problem, "fista", tol=tol)
    parts = cx.solve(problem, "mpi:fista", processes=1, shards=shards, tol=tol)
    assert whole.status is parts.status is cx.Status.OPTIMAL
    assert parts.bound <= whole.objective
    assert whole.bound <= parts.objective
    assert parts.objective == pytest.approx(whole.objective, rel=2.0 * tol)


@settings(max_examples=60)
@given(shards=st.integers(1, 40), parts=st.integers(1, 40))
def test_processes_cover_the_tree_and_its_sum(shards: int, parts: int) -> None:
    values = np.random.default_rng(shards).standard_normal(shards)

    def leaf(low: int, high: int) -> Array | None:
        return values[low : low + 1] if high == low + 1 else None

    ends = cut(shards, min(parts, shards))
    known = {
        node: along_tree(*node, leaf)
        for start, stop in pairwise(ends)
        for node in cover(0, shards, start, stop)
    }
    assert sorted(i for low, high in known for i in range(low, high)) == list(range(shards))
    total = along_tree(0, shards, lambda low, high: known.get((low, high)))
    assert (total == along_tree(0, shards, leaf)).all()
    assert total[0] == pytest.approx(values.sum(), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", list(PROBLEMS))
def test_products_are_those_of_the_form(name: str) -> None:
    form = PROBLEMS[name]().canonical(GroupForm)
    products = Sharded(form, Serial(NO_EDGES, 7), 7)
    g = np.random.default_rng(1)
    rows, other = g.standard_normal((2, form.blocks, form.X.shape[1]))
    r = g.standard_normal(form.y.shape)
    np.testing.assert_allclose(products.predict(rows), form.predict(rows), atol=1e-12)
    np.testing.assert_allclose(products.correlate(r), form.correlate(r), atol=1e-12)
    z, moved, turned = products.trial(rows, other, 2.0 * other)
    np.testing.assert_allclose(z, form.predict(rows), atol=1e-12)
    assert moved == pytest.approx(np.sum((rows - other) ** 2))
    assert turned == pytest.approx(np.sum((rows - other) * (rows - 2.0 * other)))
    assert (products.prox(rows, 0.7) == BlockProx(form)(rows, 0.7)).all()


@pytest.mark.parametrize("name", ["exact", "hinge"])
def test_resumed_run_is_the_run(name: str, tmp_path: Path) -> None:
    problem, far = PROBLEMS[name](), 330 if name == "hinge" else 90
    saved: dict[str, Any] = {"checkpoint": str(tmp_path / "state.npz"), "every": far // 3}
    options: dict[str, Any] = {"tol": 1e-13, "processes": 1}
    whole = cx.solve(problem, "mpi:fista", max_iter=far, **options)
    cx.solve(problem, "mpi:fista", max_iter=far // 2, **options, **saved)
    options["processes"] = 2 if name == "exact" else 1
    rest = cx.solve(problem, "mpi:fista", max_iter=far, **options, **saved)
    assert_same(whole, rest)
    assert rest.history[1].iteration == far // 3  # the trivial answer is before it
    steps = [s for s in whole.history if s.iteration > far // 3]
    assert [(s.iteration, s.objective) for s in steps] == [
        (s.iteration, s.objective) for s in rest.history if s.iteration > far // 3
    ]


def test_start_is_dealt_out() -> None:
    problem = exact()
    first = cx.solve(problem, "admm", tol=1e-3)
    options: dict[str, Any] = {"tol": 1e-12, "max_iter": 12, "start": first}
    alone = cx.solve(problem, "mpi:fista", processes=1, **options)
    assert_same(alone, cx.solve(problem, "mpi:fista", processes=2, **options))
    cold = cx.solve(problem, "mpi:fista", processes=1, tol=1e-12, max_iter=12)
    assert alone.objective < cold.objective


def test_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "state.npz")
    saved: dict[str, Any] = {"checkpoint": path, "every": 5, "processes": 1, "max_iter": 10}
    first = cx.solve(gated(), "mpi:fista", tol=1e-12, **saved)
    other = cx.GatedReluTraining(*data(), beta=0.6, patterns=9)
    for problem, shards in ((other, 16), (gated(), 3)):
        with pytest.raises(ValueError, match="of another problem, engine or options: remove it"):
            cx.solve(problem, "mpi:fista", shards=shards, **saved)
    saved["every"] = 7
    again = cx.solve(gated(), "mpi:fista", tol=1e-12, shards=16, **saved)
    assert [step.iteration for step in again.history] == [0, 10]
    assert again.objective == first.objective


@procs
@pytest.mark.parametrize("processes", [1, 2])
def test_checkpoint_that_cannot_be_written_is_named(processes: int, tmp_path: Path) -> None:
    saved: dict[str, Any] = {"every": 5, "processes": processes, "max_iter": 20, "tol": 1e-12}
    for path, why in ((tmp_path, "it is a folder"), (Path("/proc/state.npz"), "")):
        with pytest.raises(ValueError, match=f"cannot write {path}: {why}"):
            cx.solve(gated(), "mpi:fista", checkpoint=str(path), **saved)


def test_run_goes_on_where_its_checkpoint_meets_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("convexnn.solvers.checkpoint.write_npz", full)
    path = tmp_path / "s.npz"
    with pytest.warns(UserWarning, match="No space left on device") as told:
        solution = cx.solve(gated(), "mpi:fista", checkpoint=str(path), every=5, processes=1)
    assert solution.status is cx.Status.OPTIMAL
    assert solution.message == f"The checkpoint {path} is not of the end: No space left on device."
    assert len(told) == 1
    problem = cx.DistributedMedian(data()[0], [(i, i + 1) for i in range(len(data()[0]) - 1)])
    with pytest.warns(UserWarning, match="No space left on device"):
        solution = cx.solve(problem, "homotopy", checkpoint=str(path), every=5, max_iter=2000)
    assert np.isfinite(solution.objective)
    assert "No space left on device" in solution.message


def test_folder_that_cannot_be_written_to_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(**options: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", read_only)
    with pytest.raises(ValueError, match="nothing can be written to"):
        cx.solve(gated(), "mpi:fista", checkpoint=str(tmp_path / "s.npz"), processes=1)


@pytest.mark.parametrize("name", ["numbers", "point_rows", "leading_z"])
def test_checkpoint_of_another_version_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    saved: dict[str, Any] = {"checkpoint": str(path), "every": 5, "processes": 1, "tol": 1e-12}
    cx.solve(gated(), "mpi:fista", max_iter=5, **saved)
    with np.load(path, allow_pickle=False) as file:
        whole = dict(file)
    for changed in ({}, {name: whole[name][..., None]}):
        np.savez(path, **{k: v for k, v in whole.items() if k != name}, **changed)
        with pytest.raises(ValueError, match=f"has no {name} as this version writes it: remove"):
            cx.solve(gated(), "mpi:fista", max_iter=9, **saved)


def test_wrong_byte_in_a_checkpoint_is_found(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    cx.solve(
        gated(), "mpi:fista", max_iter=5, tol=1e-12, checkpoint=str(path), every=5, processes=1
    )
    whole = path.read_bytes()
    with np.load(path) as file:
        names = set(file)
    right = read_npz(path, "Checkpoint", lambda meta: names)[1]
    found = 0
    for place in range(0, len(whole), 20):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        try:
            assert (
                read_npz(path, "Checkpoint", lambda meta: names)[1] == right
            )  # a byte that means nothing
        except ValueError as error:
            found += "is not a Checkpoint file" in str(error)
    assert found > len(whole) / 40


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="processes must be at most the number of shards 2, got 3"):
        cx.solve(gated(), "mpi:fista", processes=3, shards=2)
    with pytest.raises(ValueError, match="shards must be at most the number of examples 50"):
        cx.solve(gated(), "mpi:fista", processes=1, shards=51)
    with pytest.raises(cx.ProblemError, match="shards must be an integer >= 1, got 0"):
        cx.solve(gated(), "mpi:fista", processes=1, shards=0)
    with pytest.raises(cx.ProblemError, match="every must be an integer >= 1, got 0"):
        cx.solve(gated(), "mpi:fista", processes=1, every=0)
    with pytest.raises(ValueError, match="it has: processes, checkpoint, every, shards"):
        cx.solve(gated(), "mpi:fista", dtype="float32")


PROGRAM = """
import sys, numpy as np, convexnn as cx
from convexnn.solvers.mpi import rank
rng = np.random.default_rng(0)
X = rng.standard_normal((50, 4))
y = X[:, 0] * X[:, 1]
problem = cx.ReluTraining(X, y, beta=0.1, patterns=9)
limit, path = int(sys.argv[1]), sys.argv[2] or None
more = {"tol": 1e-300, "max_iter": limit, "checkpoint": path, "every": 20}
if len(sys.argv) > 3:
    more["processes"] = int(sys.argv[3])
found = cx.solve(problem, "mpi:fista", **more)
if not rank():
    print(found.status.name, found.message)
    print(found.history[-1].iteration, found.history[-1].objective.hex())
    print(found.dual.mu.tobytes().hex())
"""


def test_every_process_may_make_the_call_under_mpiexec() -> None:
    program = mpiexec()
    assert program is not None
    words = [sys.executable, "-c", PROGRAM, "30", ""]
    under = shell(program, *mpi.as_root(), "-n", "2", *words)
    alone = shell(*words, "1")
    assert under.returncode == alone.returncode == 0, (under.stderr, alone.stderr)
    assert under.stdout.splitlines() == alone.stdout.splitlines()


@procs
def test_killed_process_ends_the_job_and_a_restart_goes_on(tmp_path: Path) -> None:
    state = tmp_path / "state.npz"
    words = [sys.executable, "-c", PROGRAM]
    code, reached = killed([*words, str(10**9), str(state), "2"], state, 2, 20)
    assert code == 0  # the program goes on, and is told
    goal = str(reached + 15)
    again, whole = shell(*words, goal, str(state), "3"), shell(*words, goal, "", "1")
    assert again.returncode == whole.returncode == 0, (again.stderr, whole.stderr)
    assert again.stdout.splitlines() == whole.stdout.splitlines()

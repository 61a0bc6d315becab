"""The geometric median on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from shell import convexnn

import convexnn as cx


@pytest.fixture
def points(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "points.npz"
    np.savez(path, X=rng.standard_cauchy((60, 3)), y=rng.standard_normal(60))
    return path


def test_solve_takes_every_example(points: Path, tmp_path: Path) -> None:
    done = convexnn(
        *("solve", "median", "--data", points, "--save", tmp_path / "s.npz"),
        *("--plot", tmp_path / "f.png"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    solution = cx.load(tmp_path / "s.npz")
    assert isinstance(solution.problem, cx.GeometricMedian)
    assert solution.problem.points.shape == (60, 3)
    assert solution.backend == "newton"
    assert f"{solution.objective:.6g}" in done.stdout
    assert f"mean distance to the median {solution.objective / 60:.6g}" in done.stdout
    for absent in ("R^2", "accuracy"):
        assert absent not in done.stdout
    assert (tmp_path / "f.png").stat().st_size > 0


def test_compare_by_name(tmp_path: Path) -> None:
    done = convexnn(
        *("compare", "median", "--data", "iris", "--backends", "newton,cvxpy:clarabel"),
        *("--save", tmp_path / "best.npz"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    for backend in ("newton", "cvxpy:clarabel"):
        assert next(words for words in rows if words[:1] == [backend])[1] == "OPTIMAL"
    assert "iris: the geometric median of 150 points in 4 dimensions" in done.stdout
    assert cx.load(tmp_path / "best.npz").status is cx.Status.OPTIMAL
    assert (tmp_path / "convergence.png").stat().st_size > 0


@pytest.mark.parametrize("graph", ["random", "ring", "grid", "star"])
def test_random_agents_on_a_graph(graph: str, tmp_path: Path) -> None:
    done = convexnn(
        *("solve", "median", "--distributed", "--agents", 9, "--dimension", 2, "--graph", graph),
        *("--save", tmp_path / "s.npz", "--plot", tmp_path / "f.png"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    solution = cx.load(tmp_path / "s.npz")
    assert isinstance(solution.problem, cx.DistributedMedian)
    assert np.shape(solution.problem.points) == (9, 2)
    assert solution.backend == "admm"
    heads, row = [line.split() for line in done.stdout.splitlines() if line.strip()][:3:2]
    assert heads[0] == "backend"
    assert row[:2] == ["admm", "OPTIMAL"]
    assert row[-4:] == [str(solution.model.rounds), str(solution.model.messages), "all", "points"]
    assert (tmp_path / "f.png").stat().st_size > 0


def test_examples_are_agents_or_shared_among_them(points: Path, tmp_path: Path) -> None:
    solve = ("solve", "median", "--distributed", "--data", points, "--save", tmp_path / "s.npz")
    whole = convexnn(*solve, cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    every = np.asarray(cx.load(tmp_path / "s.npz").problem.points)
    assert every.shape == (60, 3)
    shared = convexnn(*solve, "--agents", 7, "--graph", "ring", cwd=tmp_path)
    assert shared.returncode == 0, shared.stderr
    means = cx.load(tmp_path / "s.npz").problem.points
    np.testing.assert_array_equal(means[0], every[:9].mean(axis=0))
    assert len(means) == 7


def test_points_and_edges_of_ones_own(tmp_path: Path) -> None:
    bare = np.array([[0.0, 0.0], [1e3, 0.0], [0.0, 2.0]])
    np.save(tmp_path / "p.npy", bare)
    np.savetxt(tmp_path / "e.csv", [[0, 1], [1, 2]], fmt="%d", delimiter=",")
    for more in ([], ["--distributed", "--graph", "e.csv"]):
        done = convexnn(
            *("solve", "median", "--data", "p.npy", *more, "--save", "s.npz"), cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        np.testing.assert_array_equal(cx.load(tmp_path / "s.npz").problem.points, bare)


def test_checkpoint_is_resumed(tmp_path: Path) -> None:
    solve = ("solve", "median", "--distributed", "--graph", "ring", "--checkpoint", "c.npz")
    first = convexnn(*solve, "--every", 10, "--max-iter", 30, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "MAX_ITER" in first.stdout
    rest = convexnn(*solve, "--save", "s.npz", cwd=tmp_path)
    assert "OPTIMAL" in rest.stdout, rest.stderr
    assert cx.load(tmp_path / "s.npz").history[1].iteration == 30  # where the first run ended


def test_compare_agents(tmp_path: Path) -> None:
    done = convexnn(
        *("compare", "median", "--distributed", "--agents", 10, "--graph", "star"),
        *("--backends", "admm,homotopy,pg-extra,extra,cvxpy:clarabel"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "random points: the geometric median of 10 agents, 9 edges" in done.stdout
    for name in ("admm", "homotopy", "pg-extra", "extra", "cvxpy:clarabel"):
        row = next(line.split() for line in done.stdout.splitlines() if line.split()[:1] == [name])
        assert row[1] == "OPTIMAL"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--graph", "ring"], "--graph goes with --distributed"),
        (["--processes", "2"], "--processes goes with --distributed"),
        (["--distributed", "--dimension", "3"], "--dimension goes with random points, not with"),
        (["--distributed", "--agents", "61"], "at most the number of examples 60, got 61"),
        (["--distributed", "--graph", "tree"], "graph must be one of random, ring, grid, star, a"),
        (["--distributed", "--graph", "no.csv"], "data file no.csv does not exist"),
        (["--distributed", "--backend", "cvxpy:clarabel", "--processes", "2"], "backend must be"),
        (["--tol", "0"], "tol must be a number > 0"),
        (["--backend", "admm"], "backend 'admm' cannot run this problem"),
        (["--data", "nothing.csv"], "data file nothing.csv does not exist"),
        (
            ["--data", "line.npy"],
            "data file line.npy cannot be read: it must hold one row an example, got shape (5,)",
        ),
        (["--distributed", "--graph", "words.csv"], "words.csv must hold two nodes a row"),
    ],
)
def test_mistakes(words: list[str], says: str, points: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "line.npy", np.zeros(5))
    (tmp_path / "words.csv").write_text("0,1\n1,x\n")
    done = convexnn("solve", "median", "--data", points, *words, cwd=tmp_path)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1

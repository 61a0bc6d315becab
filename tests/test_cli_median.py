"""The geometric median on the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import convexnn as cx


def convexnn(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-m", "convexnn", *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


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
    assert "iris: the geometric median of 100 points in 4 dimensions" in done.stdout
    assert cx.load(tmp_path / "best.npz").status is cx.Status.OPTIMAL
    assert (tmp_path / "convergence.png").stat().st_size > 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--tol", "0"], "tol must be a number > 0"),
        (["--backend", "admm"], "backend 'admm' cannot run this problem"),
        (["--data", "nothing.csv"], "data file nothing.csv does not exist"),
    ],
)
def test_mistakes(words: list[str], says: str, points: Path, tmp_path: Path) -> None:
    done = convexnn("solve", "median", "--data", points, *words, cwd=tmp_path)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1

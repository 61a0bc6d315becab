"""The robust family on the command line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shell import convexnn

import convexnn as cx


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal((60, 2)), rng.random(60) < 0.5])
    path = tmp_path / "classes.npz"
    np.savez(path, X=X, y=np.where(np.abs(X[:, 0]) + 0.2 * X[:, 1] > 0.7, "yes", "no"))
    return path


@pytest.fixture
def real(tmp_path: Path) -> Path:
    X = np.random.default_rng(1).standard_normal((30, 2))
    path = tmp_path / "real.npz"
    np.savez(path, X=X, y=np.abs(X[:, 0]))
    return path


def accuracies(said: str) -> list[list[float]]:
    lines = re.findall(r"clean ([\d.]+), attacked ([\d.]+), certified ([\d.]+)", said)
    return [[float(value) for value in line] for line in lines]


def test_solve_draws_the_curve_and_says_what_stands(data: Path, tmp_path: Path) -> None:
    done = convexnn(
        *("solve", "robust", "--data", data, "--radius", 0.05, "--norm", "l2", "--beta", 0.1),
        *("--loss", "logistic", "--patterns", 12, "--save", tmp_path / "s.npz"),
        *("--plot", tmp_path / "f.png"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    solution = cx.load(tmp_path / "s.npz")
    problem: Any = solution.problem
    assert isinstance(problem, cx.RobustReluTraining)
    assert (problem.radius, problem.norm, problem.patterns) == (0.05, "l2", 12)
    assert problem.perturbed.tolist() == [True, True, False]  # two values are a category
    assert f"{solution.objective:.6g}" in done.stdout
    train, test = accuracies(done.stdout)
    model = problem.build_model(solution.primal)  # in the columns of the problem, as the radius is
    found = cx.robustness(model, problem.X, problem.y, radius=0.05, norm="l2")
    assert train == pytest.approx([found.clean, found.attacked, found.certified], abs=1e-3)
    assert test[2] <= test[1] <= test[0]
    floor = cx.robust_floor(problem.X, problem.y, radius=0.05, norm="l2")
    assert f"no classifier errs on fewer than {floor.errors:g} of {len(problem.X)}" in done.stdout
    assert (tmp_path / "f.png").stat().st_size > 0


def test_solve_over_all_patterns(data: Path, tmp_path: Path) -> None:
    done = convexnn(
        *("solve", "robust", "--data", data, "--radius", 0.1, "--tol", 0.99), cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "convex-concave" in done.stdout
    assert "all patterns" in done.stdout


def test_compare_cones_with_a_peer(data: Path, tmp_path: Path) -> None:
    done = convexnn(
        *("compare", "robust", "--data", data, "--radius", 0.001, "--formulation", "cones"),
        *("--patterns", 8, "--backends", "admm,cvxpy:clarabel", "--save", tmp_path / "best.npz"),
        *("--plot", tmp_path / "f.png"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    problem: Any = cx.load(tmp_path / "best.npz").problem
    assert problem.formulation == "cones"
    assert f"{problem.matrix.shape[1]} patterns, linf radius 0.001" in done.stdout
    for words in ("admm", "cvxpy:clarabel", "test accuracy", "these patterns"):
        assert words in done.stdout
    assert len(accuracies(done.stdout)) == 2
    assert (tmp_path / "f.png").stat().st_size > 0


def test_a_regression_has_no_accuracies(real: Path, tmp_path: Path) -> None:
    done = convexnn(
        *("solve", "robust", "--data", real, "--patterns", 5, "--time-limit", 5), cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "R^2" in done.stdout
    assert "certified" not in done.stdout.split("R^2")[1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--radius", "-1"], "radius must be finite and >= 0"),
        (["--norm", "l3"], "norm must be one of"),
        (["--loss", "cubic"], "loss must be one of"),
        (["--beta", "0"], "beta must be"),
        (["--formulation", "cone"], "formulation must be one of"),
    ],
)
def test_mistakes(words: list[str], says: str, data: Path, tmp_path: Path) -> None:
    done = convexnn("solve", "robust", "--data", data, *words, cwd=tmp_path)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert done.stderr.startswith("error:")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_curve_of_a_regression_is_refused_before_training(real: Path, tmp_path: Path) -> None:
    done = convexnn(
        *("solve", "robust", "--data", real, "--plot", tmp_path / "f.png"), cwd=tmp_path
    )
    assert done.returncode == 2
    assert "plot is the robustness of labels; this target is real or loss squared" in done.stderr


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_row_outside_the_box_is_told_in_the_units_of_the_data(part: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.random((40, 2))
    order = np.random.default_rng(0).permutation(40)
    row = order[0] if part == "train" else order[-1]
    X[row, 1] = 1.5
    np.savez(tmp_path / "d.npz", X=X, y=np.where(X[:, 0] > 0.5, "yes", "no"))
    done = convexnn(*("solve", "robust", "--data", tmp_path / "d.npz", "--box", 0, 1), cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    said = " ".join(done.stderr.split())
    assert "X must lie in the box [0, 1] of column '1'" in said
    assert f"got 1.5 in row {row}" in said

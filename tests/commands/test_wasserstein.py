"""The Wasserstein family on the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shell import convexnn

import convexnn as cx


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    path = tmp_path / "classes.npz"
    np.savez(path, X=X, y=np.where(X[:, 0] + rng.standard_normal(60) > 0.0, "yes", "no"))
    return path


@pytest.fixture
def real(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    X = rng.standard_normal((60, 3))
    path = tmp_path / "real.npz"
    np.savez(path, X=X, y=X[:, 0] + 0.1 * rng.standard_normal(60))
    return path


def test_solve_a_classification(classes: Path, tmp_path: Path) -> None:
    done = convexnn(
        *("solve", "wasserstein", "--data", classes, "--radius", 0.2, "--flip-cost", 1.0),
        *("--norm", "linf", "--loss", "hinge", "--order", 1, "--save", tmp_path / "s.npz"),
        *("--plot", tmp_path / "f.png"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    solution = cx.load(tmp_path / "s.npz")
    assert isinstance(solution.problem, cx.WassersteinClassification)
    problem: Any = solution.problem
    assert (problem.radius, problem.flip_cost, problem.order) == (0.2, 1.0, 1)
    assert f"{solution.objective:.6g}" in done.stdout
    assert "accuracy" in done.stdout
    worst = solution.model.worst_case
    moved, atoms = map(int, re.findall(r"(\d+) of (\d+) atoms moved", done.stdout)[0])
    assert atoms == len(worst.atoms)
    assert moved == np.count_nonzero(worst.atoms.cost)
    assert f"expected loss {worst.value:.6g}" in done.stdout
    changed = worst.atoms.target != np.asarray(problem.y)[worst.atoms.source]
    assert f"{np.count_nonzero(changed)} with a label flipped" in done.stdout
    assert (tmp_path / "f.png").stat().st_size > 0


def test_compare_a_regression(real: Path, tmp_path: Path) -> None:
    done = convexnn(
        *("compare", "wasserstein", "--data", real, "--loss", "absolute", "--target-cost", 2.0),
        *("--backends", "cvxpy:clarabel", "--plot", tmp_path / "f.png"),
        *("--save", tmp_path / "best.npz"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    problem: Any = cx.load(tmp_path / "best.npz").problem
    assert isinstance(problem, cx.WassersteinRegression)
    assert problem.target_cost == 2.0
    for words in ("R^2", "cvxpy:clarabel", "atoms moved", "multiplier"):
        assert words in done.stdout
    assert "flipped" not in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--order", "3"], "order must be one of 1, 2, inf, got '3'"),
        (["--target-cost", "1"], "target-cost is for real targets"),
        (["--radius", "-1"], "radius must be finite and >= 0"),
        (["--loss", "cubic"], "loss must be one of"),
    ],
)
def test_mistakes(words: list[str], says: str, classes: Path, tmp_path: Path) -> None:
    done = convexnn("solve", "wasserstein", "--data", classes, *words, cwd=tmp_path)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert done.stderr.startswith("error:")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_flips_of_a_regression_are_refused(real: Path, tmp_path: Path) -> None:
    done = convexnn("solve", "wasserstein", "--data", real, "--flip-cost", 1, cwd=tmp_path)
    assert done.returncode == 2
    assert "flip-cost is for targets of two values" in done.stderr


def test_a_network_in_a_ball_has_both_sides(real: Path, tmp_path: Path) -> None:
    done = convexnn(
        *("solve", "wasserstein", "--data", real, "--model", "network", "--norm", "l1"),
        *("--radius", 0.1, "--tol", 1e-2, "--save", tmp_path / "s.npz"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    worst = cx.load(tmp_path / "s.npz").model.worst_case
    assert f"expected loss over the ball: {worst.lower:.6g} to {worst.upper:.6g}" in done.stdout
    asked = ("solve", "wasserstein", "--data", real, "--model", "network", "--order", 2)
    done = convexnn(*asked, cwd=tmp_path)
    assert "order must be 1 for a network, got 2" in done.stderr


def test_a_radius_comes_with_its_statement(classes: Path, real: Path, tmp_path: Path) -> None:
    asked = ("radius", classes, "--confidence", 0.9, "--norm", "linf")
    done = convexnn(*asked, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "With probability 0.9, some distribution within" in done.stdout
    done = convexnn("radius", real, "--limit", "fitted", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["radius"] > 0.0
    done = convexnn("radius", real, "--rule", "holdout", cwd=tmp_path)
    assert "largest must be given for bernstein" in done.stderr


def test_classes_against_the_rest(tmp_path: Path) -> None:
    X = np.random.default_rng(0).standard_normal((60, 2))
    y = np.array(["a", "b", "c"])[np.argmax(X @ np.array([[1.0, -0.5, -0.5], [0, 1, -1]]), axis=1)]
    np.savez(tmp_path / "three.npz", X=X, y=y)
    done = convexnn("one-vs-rest", "three.npz", "--radius", 0.01, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert [row["class"] for row in said["classes"]] == ["a", "b", "c"]
    assert said["objective"] == pytest.approx(sum(row["objective"] for row in said["classes"]))
    assert said["test accuracy"] > 0.8
    assert said["gap"] <= 1e-4
    done = convexnn("one-vs-rest", "three.npz", "--classes", "a,b", cwd=tmp_path)
    assert "at least three classes, got 2" in done.stderr

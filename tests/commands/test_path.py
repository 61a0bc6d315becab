"""``convexnn path``, as a user's shell sees it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from shell import convexnn

import convexnn as cx
from convexnn.commands.path import points, show
from convexnn.datasets import load_data

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    y = np.where(X[:, 0] + 0.3 * rng.standard_normal(60) > np.abs(X[:, 1]) - 0.5, 1, 0)
    np.savez(tmp_path / "small.npz", X=X, y=y)
    return tmp_path / "small.npz"


def test_the_chosen_point_is_saved_with_the_figure(classes: Path, tmp_path: Path) -> None:
    done = convexnn(
        *("path", classes, "--patterns", 12, "--count", 5, "--folds", 3, "--seed", 2),
        *("--tol", 1e-6, "--save", "s.npz", "--plot", "f.png"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "f.png").read_bytes().startswith(PNG)
    split = load_data(str(classes), seed=2)
    problem = cx.ReluTraining(split.X, split.y, beta=1, loss="logistic", bias=True, patterns=12)
    found = cx.path(problem, count=5, folds=3, seed=2, tol=1e-6)
    rows = [line.split() for line in done.stdout.splitlines() if "OPTIMAL" in line]
    assert len(rows) == 5
    assert found.validation is not None
    for row, s, counts, loss in zip(
        rows, found.solutions, found.counts, found.validation.mean, strict=True
    ):
        right = float(np.mean(s.model.predict(split.X_test) == split.y_test))
        assert row[0] == f"{s.problem.beta:.4g}"
        assert float(row[2]) == pytest.approx(s.objective, rel=1e-4)
        assert float(row[3]) <= 1e-6
        assert [row[4], *row[5:8]] == [str(len(s.model)), str(counts.dropped), "of", "12"]
        assert float(row[8]) == pytest.approx(loss, rel=1e-3)
        assert float(row[9]) == pytest.approx(right, abs=1e-3)
    saved = cx.load(tmp_path / "s.npz")
    assert saved.problem.beta == found.simplest.problem.beta
    assert f"least validation loss at beta {found.best.problem.beta:.4g}" in done.stdout


@pytest.mark.parametrize("loss", ["", "logistic"])
def test_three_classes_go_along_the_loss_that_takes_them(loss: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 2))
    np.savez(tmp_path / "three.npz", X=X, y=np.digitize(X[:, 0] - 0.5 * X[:, 1], [-0.4, 0.4]))
    words = ("--count", 3, "--folds", 2, "--patterns", 8, "--save", "s.npz", "--loss", loss)
    done = convexnn("path", "three.npz", *(words if loss else words[:-2]), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sum("OPTIMAL" in line for line in done.stdout.splitlines()) == 3
    problem = cx.load(tmp_path / "s.npz").problem
    assert problem.loss.name == (loss or "softmax")
    assert list(problem.labels.classes) == [0, 1, 2]


def test_a_regression_with_gates_saves_its_last_point(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    X = rng.standard_normal((40, 2))
    rows = np.column_stack([X, np.abs(X[:, 0]) + 0.1 * rng.standard_normal(40)])
    np.savetxt(tmp_path / "s.csv", rows, delimiter=",", header="a,b,y", comments="")
    words = ("path", "s.csv", "--kind", "gated", "--patterns", 8, "--count", 3, "--ratio", 0.1)
    done = convexnn(*words, "--save", "s.npz", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "test R^2" in done.stdout
    assert "validation" not in done.stdout
    saved = cx.load(tmp_path / "s.npz").problem
    assert isinstance(saved, cx.GatedReluTraining)
    fresh = cx.GatedReluTraining(saved.X, saved.y, beta=1.0, bias=True, patterns=8)
    assert saved.beta == pytest.approx(0.1 * cx.beta_max(fresh))


def test_a_narrow_terminal_gets_fewer_columns(classes: Path) -> None:
    split = load_data(str(classes))
    problem = cx.GatedReluTraining(split.X, split.y, beta=1.0, loss="logistic", patterns=6)
    found = cx.path(problem, count=3, ratio=0.2)
    heads = {}
    for width in (100, 60):
        text = io.StringIO()
        console = Console(file=text, width=width, force_terminal=True, color_system=None)
        show(points(found, split), found.message, split, console)
        heads[width] = next(line for line in text.getvalue().splitlines() if "beta" in line)
        assert max(map(len, text.getvalue().splitlines())) <= width
    assert "screened" in heads[100]
    kept = ["beta", "status", "objective", "gap", "neurons", "test", "accuracy"]
    assert heads[60].split() == kept


def test_no_time_for_a_point_is_said(classes: Path, tmp_path: Path) -> None:
    done = convexnn("path", classes, "--time-limit", 1e-9, "--save", "s.npz", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Ended by the time limit after 0 points." in done.stdout
    assert not (tmp_path / "s.npz").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nosuch"], "data must be one of"),
        (["DATA", "--kind", "tree"], "kind must be one of relu, gated, got 'tree'"),
        (["DATA", "--folds", "1"], "folds must be in [2,"),
    ],
)
def test_mistakes_are_one_line(words: list[str], says: str, classes: Path, tmp_path: Path) -> None:
    done = convexnn("path", *(str(classes) if w == "DATA" else w for w in words), cwd=tmp_path)
    assert done.returncode == 2, (done.stdout, done.stderr)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert says in lines[0]

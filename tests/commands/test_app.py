"""The command line, as a user's shell sees it."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from shell import convexnn

import convexnn as cx
from convexnn.__main__ import main
from convexnn.commands.relu import declare
from convexnn.commands.report import show
from convexnn.commands.source import Source

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 3))
    path = tmp_path / "small.npz"
    np.savez(path, X=X, y=np.where(X[:, 0] > np.abs(X[:, 1]) - 0.5, 1, 0))
    return path


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    X = rng.standard_normal((40, 2))
    rows = np.column_stack([X, np.abs(X[:, 0]) + 0.1 * rng.standard_normal(40)])
    path = tmp_path / "small.csv"
    np.savetxt(path, rows, delimiter=",", header="first,second,target", comments="")
    return path


def test_solve_takes_more_than_two_classes(tmp_path: Path) -> None:
    X = np.random.default_rng(0).standard_normal((40, 2))
    y = np.array(["a", "b", "c"])[np.argmax(X @ np.array([[1.0, -1.0, 0.0], [1.0, 0.0, -1.0]]), 1)]
    np.savez(tmp_path / "three.npz", X=X, y=y)
    words = ("solve", "relu", "--data", "three.npz", "--save", "s.npz", "--beta", 4)
    done = convexnn(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "accuracy" in done.stdout
    problem = cx.load(tmp_path / "s.npz").problem
    assert problem.loss.name == "softmax"
    assert problem.outputs == 3
    split, against_rest = declare(Source(str(tmp_path / "three.npz")), 0, loss="hinge")
    assert against_rest.multiclass == "one-vs-rest"
    assert against_rest.outputs == 3
    assert set(split.y) == {"a", "b", "c"}


def test_solve_npz_saves_the_solution_and_the_figure(npz: Path, tmp_path: Path) -> None:
    saved, figure = tmp_path / "s.npz", tmp_path / "f.png"
    done = convexnn("solve", "relu", "--data", npz, "--save", saved, "--plot", figure, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for word in ("cell-walk", "OPTIMAL", "accuracy", "objective", "bound", "gap"):
        assert word in done.stdout, word
    solution = cx.load(saved)
    assert isinstance(solution.problem, cx.ReluTraining)
    assert solution.problem.X.shape == (30, 3)
    assert solution.backend == "cell-walk"
    assert f"{solution.objective:.6g}" in done.stdout
    assert solution.problem.loss.name == "logistic"
    assert figure.read_bytes().startswith(PNG)


def test_solve_csv_is_a_regression(csv: Path, tmp_path: Path) -> None:
    saved, figure = tmp_path / "s.npz", tmp_path / "f.png"
    done = convexnn(
        *("solve", "relu", "--data", csv, "--beta", 0.1, "--backend", "lbfgs", "--seed", 3),
        *("--save", saved, "--plot", figure),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "R^2" in done.stdout
    solution = cx.load(saved)
    assert solution.backend == "lbfgs"
    assert solution.problem.beta == 0.1
    assert solution.options["seed"] == 3
    assert solution.problem.loss.name == "squared"
    assert figure.read_bytes().startswith(PNG)


def test_solve_writes_nothing_that_was_not_asked_for(csv: Path, tmp_path: Path) -> None:
    done = convexnn("solve", "relu", "--data", csv, "--tol", 0.01, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [csv.name]


def test_compare_shows_each_backend_and_saves_the_best(npz: Path, tmp_path: Path) -> None:
    saved, figure = tmp_path / "best.npz", tmp_path / "f.png"
    done = convexnn(
        *("compare", "relu", "--data", npz, "--backends", "admm,cvxpy:clarabel"),
        *("--patterns", 8, "--loss", "squared", "--save", saved, "--plot", figure),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    table = [line.split() for line in done.stdout.splitlines()]
    for backend in ("admm", "cvxpy:clarabel"):
        row = next(words for words in table if words[:1] == [backend])
        assert row[1] == "OPTIMAL"
    assert "local search" in done.stdout
    assert "fista" not in done.stdout
    assert cx.load(saved).problem.loss.name == "squared"
    assert figure.read_bytes().startswith(PNG)


HEADS = ("backend", "status", "objective", "bound", "gap", "violation", "cpu s", "bound covers")


@pytest.fixture(scope="module")
def solved() -> cx.Comparison:
    X = np.random.default_rng(2).standard_normal((20, 2))
    problem = cx.ReluTraining(X, X[:, 0], beta=0.1, patterns=5)
    names = ["admm", "fista", "cvxpy:clarabel"]
    return cx.compare(problem, names, tol=1e-3, score=lambda model: 0.5, measure="test R^2")


def printed(result: cx.Comparison, width: int, *, terminal: bool = True) -> list[str]:
    text = io.StringIO()
    show(result, Console(file=text, width=width, force_terminal=terminal, color_system=None))
    return text.getvalue().splitlines()


def test_wide_terminals_and_files_get_the_full_table(solved: cx.Comparison) -> None:
    for lines in (printed(solved, 150), printed(solved, 80, terminal=False)):
        assert all(head in lines[0] for head in HEADS)
        assert sum("these patterns" in line for line in lines) == 3


def test_narrow_terminal_gets_fewer_columns(solved: cx.Comparison) -> None:
    lines = printed(solved, 80)
    assert max(map(len, lines)) <= 80
    heads = ["backend", "status", "objective", "bound", "gap", "solve", "s", "test", "R^2"]
    heads += ["bound", "covers"]
    assert sorted([*lines[0].split(), *lines[1].split()]) == sorted(heads)
    assert "no room for: violation, compile s, cpu s, certify s" in lines
    for s in solved.solutions:
        row = next(line.split() for line in lines if line.split()[:1] == [s.backend])
        assert row[1:3] == [s.status.name, f"{s.objective:.6g}"]


@pytest.mark.parametrize("width", [40, 80])
def test_single_solution_is_a_list_where_its_row_has_no_room(
    solved: cx.Comparison, width: int
) -> None:
    lines = printed(replace(solved, runs=solved.runs[:1], scores=(0.5,)), width)
    assert max(map(len, lines)) <= width
    assert [line[:12].strip() for line in lines] == [
        *("backend", "status", "objective", "bound", "gap", "violation", "compile s", "solve s"),
        *("cpu s", "certify s", "test R^2", "bound covers"),
    ]
    assert lines[2].split() == ["objective", f"{solved.solutions[0].objective:.6g}"]


def test_very_narrow_terminal_gets_every_solution_as_a_list(
    solved: cx.Comparison,
) -> None:
    lines = printed(solved, 40)
    assert [s.backend for s in solved.solutions] == [
        line.split()[1] for line in lines if "backend" in line
    ]
    assert sum("bound covers" in line for line in lines) == 3


def test_terminal_of_80_columns(csv: Path, tmp_path: Path) -> None:
    environment = {"FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": "80"}
    words = ("solve", "relu", "--data", csv, "--tol", 0.01)
    done = convexnn(*words, cwd=tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    assert any(line.split() == ["backend", "cell-walk"] for line in done.stdout.splitlines())
    assert max(map(len, done.stdout.splitlines()[:11])) <= 80


def test_backends_are_listed(tmp_path: Path) -> None:
    done = convexnn("backends", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names = [line.split()[0] for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert names == list(cx.backends().reasons)
    assert "options: " in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["solve", "tree", "--data", "DATA"],
            "problem must be one of relu, robust, wasserstein, median, got 'tree'",
        ),
        (
            ["compare", "tree", "--data", "DATA"],
            "problem must be one of relu, robust, wasserstein, median, got 'tree'",
        ),
        (
            ["solve", "nosuch"],
            "problem must be one of relu, robust, wasserstein, median, got 'nosuch'",
        ),
        (["solve", "relu", "--data", "mnits"], "data must be one of"),
        (["solve", "relu", "--data", "missing.npz"], "data file missing.npz does not exist"),
        (["solve", "relu", "--data", "missing.csv"], "data file missing.csv does not exist"),
        (["solve", "relu", "--data", "DATA", "--loss", "cubic"], "loss must be one of"),
        (["solve", "relu", "--data", "DATA", "--beta", "-1"], "beta must be finite and > 0"),
        (["solve", "relu", "--data", "DATA", "--tol", "0"], "tol must be a number > 0"),
        (["solve", "relu", "--data", "DATA", "--backend", "magic"], "backend must be 'auto' or"),
        (
            ["compare", "relu", "--data", "DATA", "--backends", "admm,magic"],
            "backend must be 'auto' or",
        ),
        (["solve", "relu", "--data", "DATA", "--save", "no/such/place.npz"], "no/such"),
    ],
)
def test_mistakes_are_one_line_and_exit_with_two(
    words: list[str], says: str, npz: Path, tmp_path: Path
) -> None:
    done = convexnn(*(str(npz) if word == "DATA" else word for word in words), cwd=tmp_path)
    assert done.returncode == 2, (done.stdout, done.stderr)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error:")
    assert says in lines[0]


def test_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_text("not an archive")
    done = convexnn("solve", "relu", "--data", "bad.npz", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: data file bad.npz cannot be read")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_names_that_a_stream_cannot_encode_are_shown_by_codes(
    stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, stream, io.TextIOWrapper(written, "ascii", write_through=True))
    monkeypatch.setattr("convexnn.contract.system.interrupts.like_ctrl_c", lambda: None)
    monkeypatch.setattr(
        "convexnn.commands.app.app", lambda **named: print("size: größe", file=getattr(sys, stream))
    )
    main()
    assert written.getvalue() == b"size: gr\\xf6\\xdfe\n"

"""What the two commands of every family share."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from shell import convexnn
from typer.testing import CliRunner

import convexnn as cx
from convexnn.commands import family as commands_of
from convexnn.commands import path
from convexnn.commands.app import FAMILIES, app
from convexnn.commands.report import scorer
from convexnn.datasets import Split


class Asked(Exception):
    """Raised in the place of a run, with what it was asked for."""

    def __init__(self, problem: Any, **options: Any) -> None:
        self.problem, self.options, self.said = problem, options, ""


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 3))
    path = tmp_path / "small.npz"
    np.savez(path, X=X, y=np.where(X[:, 0] > np.abs(X[:, 1]) - 0.5, 1, 0))
    return path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    def caught(problem: Any, *_: Any, **options: Any) -> Any:
        raise Asked(problem, **options)

    monkeypatch.setattr(commands_of, "run_one", caught)
    monkeypatch.setattr(path, "run_path", caught)
    monkeypatch.setattr(commands_of, "run_all", caught)

    def ask(*words: object) -> Asked:
        done = CliRunner().invoke(app, [str(word) for word in words])
        if isinstance(done.exception, cx.ProblemError):
            raise done.exception
        assert isinstance(done.exception, Asked), done.output
        done.exception.said = done.stdout
        return done.exception

    return ask


@pytest.mark.parametrize("family", FAMILIES)
def test_solve_and_compare_declare_the_same_problem(family: str, npz: Path, asked: Any) -> None:
    one, all_ = (asked(word, family, "--data", npz).problem for word in ("solve", "compare"))
    assert type(one) is type(all_)
    for field in dataclasses.fields(one):
        np.testing.assert_equal(getattr(one, field.name), getattr(all_, field.name), field.name)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("word", ["solve", "compare"])
def test_the_seed_reaches_the_engine(word: str, family: str, npz: Path, asked: Any) -> None:
    assert asked(word, family, "--data", npz, "--seed", 7).options["seed"] == 7
    assert asked(word, family, "--data", npz).options["seed"] == 0


def test_the_seed_reaches_each_engine_that_is_compared(npz: Path, tmp_path: Path) -> None:
    words = ("compare", "median", "--data", npz, "--seed", 5, "--backends", "newton")
    done = convexnn(*words, "--save", "s.npz", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert cx.load(tmp_path / "s.npz").options["seed"] == 5


def test_given_patterns_are_compared_alone(npz: Path, asked: Any) -> None:
    problem = asked("compare", "robust", "--data", npz, "--patterns", 6).problem
    assert problem.patterns == 6


def test_the_leader_is_no_answer_that_breaks_its_constraints() -> None:
    answers: list[Any] = [
        SimpleNamespace(objective=np.nan, violation=np.nan),
        SimpleNamespace(objective=1.0, violation=0.1),
        SimpleNamespace(objective=3.0, violation=0.0),
        SimpleNamespace(objective=2.0, violation=1e-9),
    ]
    assert commands_of.leader(answers, 1e-6) is answers[3]
    assert commands_of.leader(answers[:2], 1e-6) is answers[1]


WORDS = [["solve", "relu"], ["solve", "robust"], ["solve", "wasserstein"], ["path"]]
BINARY = WORDS[1:3]


def with_data(words: list[str], path: object) -> list[object]:
    return [*words, *(["--data"] if words[0] == "solve" else []), path]


@pytest.fixture
def wine(tmp_path: Path) -> Path:
    """Write 240 rows whose target is a mark from 3 to 8."""
    rows = [f"{k % 11 / 3:.3f},{k % 7 / 9:.3f},{3 + k % 6}" for k in range(240)]
    (tmp_path / "wine.csv").write_text("\n".join(["acid,sugar,quality", *rows]))
    return tmp_path / "wine.csv"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """Write 90 rows of three classes that are text."""
    rows = [f"{k % 11 / 3:.3f},{k % 7 / 9:.3f},{'abc'[k % 3]}" for k in range(90)]
    (tmp_path / "text.csv").write_text("\n".join(["p,q,kind", *rows]))
    return tmp_path / "text.csv"


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_what_is_used_is_said_before_the_run(words: list[str], wine: Path, asked: Any) -> None:
    more = ["--classes", "3,8"] if words in BINARY else []
    lines = asked(*with_data(words, wine), *more).said.splitlines()
    if more:
        assert lines[0] == "wine: 80 rows, 2 columns; 60 to train, 20 to test"
        assert lines[2].startswith("target 'quality': 2 classes, 3: 40, 8: 40")
        assert "left out 160 rows of the classes 4, 5, 6, 7" in lines
    else:
        assert lines[0] == "wine: 240 rows, 2 columns; 180 to train, 60 to test"
        assert lines[2].startswith("target 'quality': 6 classes, 3: 40, 4: 40, 5: 40, 6: 40, 7: 40")
    assert lines[1] == "columns: acid, sugar"
    assert "header: the first line" in lines


@pytest.mark.parametrize("words", BINARY, ids=" ".join)
def test_no_class_is_left_out_unasked(words: list[str], wine: Path, text: Path, asked: Any) -> None:
    for path_ in (wine, text):
        with pytest.raises(cx.ProblemError, match=r"tells two classes apart, .*--classes "):
            asked(*with_data(words, path_))
    problem = asked(*with_data(words, text), "--classes", "a,c").problem
    assert problem.labels.classes.tolist() == ["a", "c"]
    assert len(problem.y) == 45


@pytest.mark.parametrize("words", [["solve", "relu"], ["path"]], ids=" ".join)
def test_many_classes_are_a_softmax(words: list[str], wine: Path, asked: Any) -> None:
    problem = asked(*with_data(words, wine)).problem
    assert problem.loss.name == "softmax"
    assert problem.outputs == 6


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_a_loss_of_numbers_takes_all_rows(
    words: list[str], wine: Path, text: Path, asked: Any
) -> None:
    loss = "absolute" if words[-1] == "wasserstein" else "squared"
    found = asked(*with_data(words, wine), "--loss", loss)
    assert len(found.problem.y) == 180
    assert np.isclose(np.mean(found.problem.y), 0.0)
    assert f"target 'quality': regression (for --loss {loss})" in found.said
    with pytest.raises(
        cx.ProblemError, match=f"for --loss {loss} wants numbers, but target 'kind'"
    ):
        asked(*with_data(words, text), "--loss", loss)
    with pytest.raises(
        cx.ProblemError, match=f"--loss {loss} is for numbers, but --task says clas"
    ):
        asked(*with_data(words, wine), "--loss", loss, "--task", "classification")
    with pytest.raises(
        cx.ProblemError, match=r"--loss logistic is for classes, but target 'sugar'"
    ):
        asked(*with_data(words, wine), "--loss", "logistic", "--target", "sugar")


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_the_options_of_reading_reach_the_problem(
    words: list[str], tmp_path: Path, asked: Any
) -> None:
    rows = [
        f"{k},{k % 5};{'mf'[k % 2]};{'' if k == 7 else k % 3 / 7:.3};{k % 4 > 1}" for k in range(40)
    ]
    (tmp_path / "d.txt").write_text("\n".join(rows).replace(".", ","))
    told = asked(
        *with_data(words, tmp_path / "d.txt"),
        *("--separator", ";", "--no-header", "--decimal", ",", "--target", "3", "--drop", "0"),
        *("--encode", "--drop-missing", "--missing", "?"),
    )
    assert told.problem.X.shape == (29, 2)
    assert told.problem.labels.classes.tolist() == [False, True]
    assert "left out 1 of 40 rows, which miss a value: column '2' in row 8" in told.said


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_bias_and_threads(words: list[str], npz: Path, asked: Any) -> None:
    name = "intercept" if words[-1] == "wasserstein" else "bias"
    told = asked(*with_data(words, npz), "--no-bias", "--threads", 2)
    assert getattr(told.problem, name) is False
    assert told.options["threads"] == 2
    told = asked(*with_data(words, npz))
    assert getattr(told.problem, name) is True
    assert told.options["threads"] == 1
    if words[0] == "solve":
        assert asked("compare", *with_data(words, npz)[1:], "--threads", 2).options["threads"] == 2


def test_the_median_takes_all_rows_and_columns(tmp_path: Path, asked: Any) -> None:
    points = np.random.default_rng(0).standard_normal((50, 2)).round(3)
    lines = "\n".join(f"{a},{b},{k % 3}" for k, (a, b) in enumerate(points.tolist()))
    (tmp_path / "p.csv").write_text(f"lat,lon,zone\n{lines}\n")
    whole = asked("solve", "median", "--data", tmp_path / "p.csv").problem.points
    assert whole.shape == (50, 3)
    for more in (["--target", "zone"], ["--features", "lat,lon"], ["--drop", "zone"]):
        found = asked("solve", "median", "--data", tmp_path / "p.csv", *more).problem.points
        scaled = (points - points.mean(axis=0)) / points.std(axis=0)
        np.testing.assert_allclose(np.sort(found, axis=0), np.sort(scaled, axis=0), atol=1e-12)
    for name, shape in (("digits", (1797, 64)), ("iris", (150, 4))):
        assert asked("solve", "median", "--data", name).problem.points.shape == shape
    for option in ("--task", "--classes"):
        with pytest.raises(
            cx.ProblemError, match=f"{option} goes with a target: a median has none"
        ):
            asked("solve", "median", "--data", tmp_path / "p.csv", option, "a")
    with pytest.raises(cx.ProblemError, match="--target goes with --data"):
        asked("solve", "median", "--distributed", "--target", "a")


def test_edges_of_a_file_with_a_header(tmp_path: Path, asked: Any) -> None:
    np.save(tmp_path / "p.npy", np.eye(3))
    words = ("solve", "median", "--distributed", "--data", tmp_path / "p.npy", "--graph")
    for content in ("from;to\n0;1\n1;2\n", "0,1\n1,2\n", "0\t1\n1\t2"):
        (tmp_path / "e.csv").write_text(content)
        graph = asked(*words, tmp_path / "e.csv").problem.graph
        assert [(int(i), int(j)) for i, j in graph] == [(0, 1), (1, 2)]
    for content in ("0,1,2.5\n1,2,0.5\n", "0,1.5\n1,2\n"):
        (tmp_path / "e.csv").write_text(content)
        with pytest.raises(cx.ProblemError, match="must hold two nodes a row, whole numbers"):
            asked(*words, tmp_path / "e.csv")
    (tmp_path / "e.csv").write_text("from,to\n0,1\n1,\n")
    with pytest.raises(cx.ProblemError, match="must hold two nodes a row, some are missing"):
        asked(*words, tmp_path / "e.csv")


def test_scores_of_few_rows_are_no_mistakes() -> None:
    X = np.array([[1.0], [2.0], [-1.0], [-2.0]])
    model: Any = SimpleNamespace(classes=None, predict=lambda X: X[:, 0])
    one = Split(X, X[:, 0], X[:1], X[:1, 0], "one", False)
    assert np.isnan(scorer(one)(model))
    coded = Split(X, np.array([1, 1, 0, 0]), X[2:3], np.array([0]), "coded", True)
    assert scorer(coded)(model) == 1.0
    assert scorer(replace(coded, y_test=np.array([1])))(model) == 0.0


def test_what_the_adversary_leaves_alone_is_said(tmp_path: Path) -> None:
    rows = [f"{k % 7 / 3:.3f},{k % 2},{int(k % 7 > 3)}" for k in range(40)]
    (tmp_path / "d.csv").write_text("\n".join(["x,flag,y", *rows]))
    words = ["solve", "robust", "--data", str(tmp_path / "d.csv"), "--patterns", "4"]
    done = CliRunner().invoke(app, [*words, "--time-limit", "2"])
    assert done.exit_code == 0, done.output
    assert "columns of two values, not perturbed in training: flag" in done.stdout


def test_json_is_all_that_is_printed(npz: Path, tmp_path: Path) -> None:
    words = ("median", "--data", npz, "--json", "--save", "s.npz")
    done = convexnn("solve", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told, solution = json.loads(done.stdout), cx.load(tmp_path / "s.npz")
    assert told["objective"] == solution.objective
    assert told["bound"] == solution.bound
    assert told["status"] == "OPTIMAL"
    assert told["data"] == {
        "name": "small",
        "rows": 40,
        "columns": ["0", "1", "2"],
        "notes": [],
        "train": 40,
        "test": 0,
    }
    assert told["saved"] == "s.npz"
    assert told["remarks"][0].startswith("mean distance to the median")
    done = convexnn("compare", *words, "--backends", "newton,cvxpy:clarabel", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [row["backend"] for row in told["solutions"]] == ["newton", "cvxpy:clarabel"]
    assert told["agree"] is True
    assert told["figure"] == "convergence.png"


def test_json_of_a_path_and_of_the_backends(npz: Path) -> None:
    words = ["path", str(npz), "--patterns", "6", "--count", "2", "--ratio", "0.5", "--json"]
    told = json.loads(CliRunner().invoke(app, words).stdout)
    assert [row["status"] for row in told["points"]] == ["OPTIMAL", "OPTIMAL"]
    assert told["points"][0]["neurons"] == 0
    assert told["beta"] == told["points"][1]["beta"] == 0.5 * told["points"][0]["beta"]
    assert told["data"]["classes"] == {"0": 23, "1": 17}
    told = json.loads(CliRunner().invoke(app, ["backends", "--json"]).stdout)
    assert told == cx.backends().reasons


def test_help_lists_first_what_solves() -> None:
    told = CliRunner().invoke(app, ["--help"]).stdout
    places = [told.index(f" {name} ") for name in ("solve", "compare", "path", "certify", "bench")]
    assert places == sorted(places)


def test_the_version() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert done.exit_code == 0
    assert done.stdout == f"convexnn {cx.__version__}\n"


def test_directions_reach_the_problem_and_their_proof_is_said(tmp_path: Path) -> None:
    rows = [f"{k % 11 / 3:.3f},{k % 7 / 9:.3f},{(k % 11) ** 2 / 9 + k % 5:.3f}" for k in range(60)]
    (tmp_path / "cars.csv").write_text("\n".join(["power,age,price", *rows]))
    words = ("solve", "relu", "--data", "cars.csv", "--time-limit", 20, "--beta", 2)
    done = convexnn(*words, "--monotone", "power:+1,age:-1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "weights: never falls in power, never rises in age" in done.stdout
    for wrong, said in (
        ("power:up", "NAME:+1 or NAME:-1"),
        ("power:+1,power:-1", "each once"),
        ("weight:+1", "got 'weight'"),
    ):
        refused = convexnn(*words, "--monotone", wrong, cwd=tmp_path)
        assert refused.returncode != 0
        assert said in refused.stderr

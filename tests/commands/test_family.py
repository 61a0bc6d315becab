"""What the two commands of every family share."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from shell import convexnn
from typer.testing import CliRunner

import convexnn as cx
from convexnn.commands import family as commands_of
from convexnn.commands.app import FAMILIES, app


class Asked(Exception):
    """Raised in the place of a run, with what it was asked for."""

    def __init__(self, problem: Any, **options: Any) -> None:
        self.problem, self.options = problem, options


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
    monkeypatch.setattr(commands_of, "run_all", caught)

    def ask(*words: object) -> Asked:
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert isinstance(done.exception, Asked), done.output
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

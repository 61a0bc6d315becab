"""``convexnn bench check``: its instances, what it finds, and how it survives a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

import convexnn as cx
from convexnn.bench import check as module
from convexnn.bench.check import Settings, Store, check, indices_of
from convexnn.bench.instances import FAMILIES, Instance, family_of, instance
from convexnn.commands.app import app
from convexnn.contract.grading import Bound, Grade
from convexnn.driver.compare import INTERRUPTED
from convexnn.problems.wasserstein.newsvendor import Newsvendor

QUICK = Settings(time_limit=2.0)
FIGURES = ["index", "backend", "status", "objective", "bound", "violation"]


def command(*words: object) -> Result:
    return CliRunner().invoke(app, ["bench", "check", *map(str, words)], env={"COLUMNS": "160"})


def test_index_alone_makes_the_instance() -> None:
    for index in range(2 * len(FAMILIES)):
        one, two = instance(3, index), instance(3, index)
        assert one.text == two.text
        assert one.family == family_of(index)
        assert one.problem.certify(*one.problem.initial()) == two.problem.certify(
            *two.problem.initial()
        )
    assert {instance(3, i).text for i in range(60)}.isdisjoint(
        {instance(4, i).text for i in range(60)}
    )


def test_every_public_problem_has_instances() -> None:
    made = {type(instance(0, index).problem).__name__ for index in range(len(FAMILIES))}
    assert made == set(cx.PROBLEMS)


def test_instances_are_awkward_and_small() -> None:
    texts = [instance(0, index).text for index in range(0, 40 * len(FAMILIES), len(FAMILIES))]
    for twist in ("duplicate rows", "constant column", "collinear", "scaled", "few rows"):
        assert any(text.startswith(twist) for text in texts), twist
    for word in ("hinge", "huber", "logistic", "squared", "majorant", "cones", "skip=True", "l1"):
        assert any(word in text for text in texts), word


@pytest.mark.parametrize("family", FAMILIES)
def test_no_two_answers_of_a_family_contradict_each_other(family: str) -> None:
    found = check(QUICK, indices_of(2, [family]))
    assert found.passed, (found.silent, found.crashed)
    assert {row["family"] for row in found.rows} == {family}
    assert len({row["index"] for row in found.rows}) == 2
    assert all(
        row["bound"] <= row["objective"] + 1e-5 * (1 + abs(row["bound"])) for row in found.rows
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_two_hundred_instances_more(seed: int) -> None:
    found = check(replace(QUICK, seed=seed), indices_of(200))
    assert found.passed, (found.silent, found.crashed)


def drawn(family: str, index: int) -> Any:
    """The instance of a family by its seed alone, however many families there are."""
    return FAMILIES[family](np.random.default_rng([0, index]))[1]


@pytest.mark.parametrize(
    ("family", "index", "backend"),
    [
        ("relu", 15, "fista"),
        ("gated", 152, "fista"),
        ("wasserstein-classification", 5, "cvxpy:scs"),
        ("wasserstein-regression", 261, "cvxpy:scs"),
    ],
)
def test_instance_at_the_edge_of_rounding(family: str, index: int, backend: str) -> None:
    problem = drawn(family, index)
    solution = cx.solve(problem, backend, tol=1e-5)
    best = cx.solve(problem, "cvxpy:clarabel", tol=1e-9)
    assert solution.status is cx.Status.OPTIMAL, repr(solution)
    assert solution.gap >= -1e-15
    assert best.bound - 1e-12 <= solution.objective


@pytest.mark.parametrize(
    ("objective", "bound"), [(0.0, 0.5), (-0.5, -0.5)], ids=["bound too high", "objective too low"]
)
def test_planted_lie_is_found_and_exits_with_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, objective: float, bound: float
) -> None:
    honest, telling = cx.compare, []

    def compare(problem: Any, names: list[str], **options: Any) -> cx.Comparison:
        result = honest(problem, names, **options)
        return replace(result, runs=tuple((lied(run[0]),) for run in result.runs))

    def lied(s: cx.Solution) -> cx.Solution:
        if s.backend != "cvxpy:clarabel":
            return s
        telling.append(s)
        said = s.certificate
        false = replace(said, objective=said.objective + objective, bound=said.bound + bound)
        return replace(s, certificate=false)

    monkeypatch.setattr(module, "compare", compare)
    index = indices_of(1, ["newsvendor"])[0]
    out = tmp_path / "lies.csv"
    done = command("--only", index, "--out", out)
    assert telling
    assert done.exit_code == 1, done.output
    assert f"silent disagreement: instance {index} (newsvendor" in done.output
    assert "1 silent disagreements" in done.output
    found = check(Settings(), [index])
    assert "cvxpy:clarabel" in found.silent[0]
    assert found.silent[0].excess > 1e-4
    monkeypatch.undo()
    assert command("--only", index).exit_code == 0
    assert command("--only", index, "--out", out).exit_code == 1  # it is what the file says


def test_moves_that_cost_nothing_stay_where_the_budget_is_nothing() -> None:
    problem = drawn("reweighting", 188)
    assert problem.radius == 0.0
    best = cx.solve(problem, "greedy", tol=1e-12)
    for backend in ("cvxpy:clarabel", "cvxpy:scs", "cvxpy:osqp"):
        solution = cx.solve(problem, backend, tol=1e-6)
        assert solution.status is cx.Status.OPTIMAL, repr(solution)
        assert solution.bound <= best.objective * (1.0 + 1e-14)


def test_lying_problem_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Newsvendor.bound

    def bound(self: Newsvendor, primal: Any, dual: Any, grade: Grade) -> Bound:
        said = honest(self, primal, dual, grade)
        return said._replace(value=said.value + 1e-3)

    monkeypatch.setattr(Newsvendor, "bound", bound)
    found = check(Settings(), indices_of(8, ["newsvendor"]))
    assert not found.passed


def test_infeasible_against_optimal_is_found() -> None:
    row = {"index": 14, "family": "constrained", "instance": "", "covers": "all x"}
    one = row | {"backend": "a", "status": "OPTIMAL", "objective": 1.0, "bound": 1.0}
    two = row | {"backend": "b", "status": "INFEASIBLE", "objective": 1.0, "bound": 0.0}
    pair = module.closest([one | {"violation": 0.0}, two | {"violation": 0.5}], 1e-5)
    assert pair is not None
    assert pair.silent
    assert pair.excess == np.inf


@pytest.mark.parametrize(("violation", "silent"), [(0.0, True), (1e-6, False)])
def test_violation_within_the_tolerance_excuses_as_much(violation: float, silent: bool) -> None:
    row = {"index": 0, "family": "relu", "instance": "", "covers": "x", "status": "OPTIMAL"}
    one = row | {"backend": "a", "objective": 1.0, "bound": 0.999999, "violation": violation}
    two = row | {"backend": "b", "objective": 1.1, "bound": 1.000005, "violation": 0.0}
    pair = module.closest([one, two], 1e-5)
    assert pair is not None
    assert pair.silent == silent


def test_answers_are_held_against_each_other_by_what_not_all_pay() -> None:
    """A point at 1e12 pays so much that no other one is seen beside it."""
    points = np.array([[0.0], [1.0], [3.0], [4.0], [1e12]])
    made = Instance(0, "median", "", cx.GeometricMedian(points))
    rows = module._rows(made, module.Settings())
    assert all(row["net_objective"] < 1e3 < row["objective"] for row in rows)
    assert not any(pair.silent for pair in [module.closest(rows, 1e-5)] if pair is not None)
    high = [*rows, rows[0] | {"backend": "b", "net_bound": rows[0]["net_objective"] + 1e-3}]
    pair = module.closest(high, 1e-5)
    assert pair is not None
    assert pair.silent
    assert pair.high == "b"


@pytest.mark.parametrize(
    ("seed", "index"),
    [(16004, 919), (16005, 179), pytest.param(16004, 989, marks=pytest.mark.slow)],
)
def test_a_point_that_is_cheap_by_its_violation_is_asked_for_anew(seed: int, index: int) -> None:
    made, settings = instance(seed, index), Settings(seed)
    rows = module._rows(made, settings)
    pair = module.closest(rows, settings.tol)
    assert pair is None or not pair.silent
    wrong = [row | {"bound": row["bound"] + 1e-3, "net_bound": row["bound"] + 1e-3} for row in rows]
    pair = module.closest(module.settled(made, wrong, settings), settings.tol)
    assert pair is not None
    assert pair.silent


def test_violated_point_that_does_not_pass_claims_nothing() -> None:
    row = {"index": 0, "family": "relu", "instance": "", "covers": "x", "status": "TIME_LIMIT"}
    one = row | {"backend": "a", "objective": 1.0, "bound": 0.9, "violation": 1e-6}
    two = row | {"backend": "b", "objective": 1.1, "bound": 1.05, "violation": 0.0}
    pair = module.closest([one, two], 1e-5)
    assert pair is not None
    assert not pair.silent


def test_crash_of_the_library_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(seed: int, index: int) -> Any:
        raise ZeroDivisionError("nothing left")

    monkeypatch.setattr(module, "instance", broken)
    done = command("--instances", 2)
    assert done.exit_code == 1
    assert "CRASHED: relu, : 1 (0) ZeroDivisionError: nothing left" in done.output
    assert "0 silent disagreements, 2 crashed" in done.output


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_results_are_kept_and_taken_up(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, indices = tmp_path / name, indices_of(6, ["newsvendor", "median", "reweighting"])
    first = check(QUICK, indices[:4], out=out)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    asked: list[int] = []
    honest = module.answer

    def answer(settings: Settings, index: int) -> Any:
        asked.append(index)
        return honest(settings, index)

    monkeypatch.setattr(module, "answer", answer)
    told: list[int] = []
    second = check(QUICK, indices, out=out, on_done=told.append)
    assert asked == indices[4:]
    assert sorted(told) == indices
    again = check(QUICK, indices[:4], out=out)
    assert asked == indices[4:]
    pd.testing.assert_frame_equal(again.frame, first.frame)
    assert len(second.rows) > len(first.rows)


@pytest.mark.parametrize("torn", ["", '[{"index": 3, "family": "rob'])
def test_journal_of_a_killed_sweep_is_taken_up(torn: str, tmp_path: Path) -> None:
    out, indices = tmp_path / "a.csv", indices_of(3, ["newsvendor"])
    whole = check(QUICK, indices)
    rows = module.by_index(whole.rows)
    lines = [json.dumps(asdict(QUICK)), *(json.dumps(rows[i]) for i in indices[:2])]
    journal = tmp_path / "a.csv.journal"
    journal.write_text("\n".join(lines) + "\n" + torn)
    done = check(QUICK, indices, out=out)
    assert not journal.exists()
    assert done.rows[: len(rows[indices[0]])] == tuple(rows[indices[0]])  # times and all
    pd.testing.assert_frame_equal(done.frame[FIGURES], whole.frame[FIGURES])


def test_killed_and_run_again(tmp_path: Path) -> None:
    out = tmp_path / "a.parquet"
    words = [sys.executable, "-m", "convexnn", "bench", "check", "--instances", "24"]
    words += ["--family", "newsvendor", "--family", "median", "--out", str(out)]
    journal = tmp_path / "a.parquet.journal"
    first = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        while first.poll() is None and (
            not journal.exists() or journal.read_text().count("\n") < 4
        ):
            time.sleep(0.02)
    finally:
        if first.poll() is None:
            os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    kept = journal.read_text().split("\n")[1:-1] if journal.exists() else []
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "24 instances" in done.stdout
    frame = pd.read_parquet(out)
    assert frame["index"].nunique() == 24
    for line in kept:
        row = json.loads(line)[0]
        same = frame[(frame["index"] == row["index"]) & (frame["backend"] == row["backend"])]
        assert list(same["seconds"]) == [row["seconds"]]  # not computed again
    assert not journal.exists()


def test_interrupt_keeps_what_is_done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    honest = module.answer
    first, second = indices_of(2, ["newsvendor"])

    def answer(settings: Settings, index: int) -> Any:
        if index == second:
            raise KeyboardInterrupt
        return honest(settings, index)

    monkeypatch.setattr(module, "answer", answer)
    out = tmp_path / "a.csv"
    words = ("--family", "newsvendor", "--instances", 2, "--out", out)
    done = command(*words)
    assert done.exit_code == 130
    assert done.stdout == "interrupted after 1 instances; the same command goes on\n"
    assert list(Store(out, Settings()).read()) == [first]
    monkeypatch.undo()
    assert "2 instances" in command(*words).output


def test_interrupted_comparison_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    index = indices_of(1, ["newsvendor"])[0]

    def interrupted(problem: Any, names: list[str], **options: Any) -> cx.Comparison:
        result = cx.compare(problem, names[:1], **options)
        return replace(result, skipped={names[1]: INTERRUPTED})

    monkeypatch.setattr(module, "compare", interrupted)
    with pytest.raises(KeyboardInterrupt):
        module.answer(Settings(), index)


def test_processes_find_the_same_as_one() -> None:
    indices = indices_of(4, ["newsvendor", "reweighting"])
    one, two = check(QUICK, indices), check(QUICK, indices, jobs=2)
    pd.testing.assert_frame_equal(one.frame[FIGURES], two.frame[FIGURES])


def dies(settings: Settings, index: int) -> list[dict[str, Any]]:
    if index == 1:
        os._exit(9)
    return [{"index": index}]


def test_instance_that_kills_its_process_is_the_only_one_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "answer", dies)
    rows = dict(module._answers(QUICK, [0, 1, 2], 2))
    assert sorted(rows) == [0, 1, 2]
    assert rows[1][0]["status"] == "CRASHED"
    assert rows[1][0]["message"].startswith("its process ended")
    assert [rows[i] for i in (0, 2)] == [[{"index": i}] for i in (0, 2)]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--instances", 0], "instances must be an integer >= 1, got 0"),
        (["--family", "nosuch"], "family must be one of relu, relu-all-patterns, gated"),
        (["--jobs", 0], "jobs must be an integer >= 1, got 0"),
        (["--seed", -1], "seed must be an integer >= 0, got -1"),
        (["--tol", 0], "tol must be finite and > 0, got 0.0"),
        (["--time-limit", -2], "time_limit must be finite and > 0, got -2.0"),
        (["--out", "a.txt"], "out must end in .parquet or .csv, got a.txt"),
        (["--out", "no/such/folder/a.csv"], "no/such/folder"),
    ],
)
def test_mistakes_are_named(words: list[object], says: str) -> None:
    done = command(*words)
    assert isinstance(done.exception, (cx.ProblemError, OSError))
    assert says in str(done.exception)


def test_mistake_is_one_line_and_exits_with_two(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "convexnn", "bench", "check", "--family", "nosuch"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert done.stderr.startswith("error: family must be one of relu, relu-all-patterns, gated")
    assert done.stderr.count("\n") == 1


def test_results_of_other_settings_are_not_mixed(tmp_path: Path) -> None:
    out, indices = tmp_path / "a.csv", indices_of(1, ["newsvendor"])
    check(QUICK, indices, out=out)
    with pytest.raises(cx.ProblemError, match="out must not mix settings"):
        check(replace(QUICK, seed=1), indices, out=out)
    Store(tmp_path / "b.csv", QUICK).read()
    with pytest.raises(cx.ProblemError, match=r"b\.csv\.journal is of"):
        check(replace(QUICK, tol=1e-3), indices, out=tmp_path / "b.csv")


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_file_that_is_no_result_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("backend,status\n1,2\n")
    with pytest.raises(cx.ProblemError, match="holds no results of a check"):
        check(QUICK, [0], out=tmp_path / name)
    assert (tmp_path / name).read_text() == "backend,status\n1,2\n"

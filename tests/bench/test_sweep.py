"""Sweeps through the real benchopt: killed and resumed, with bad input, hanging and dying runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import convexnn as cx
from convexnn.bench import engine, grading, peers, worker
from convexnn.bench.cases import case as cases
from convexnn.bench.cases import tables
from convexnn.bench.cases.case import FAMILIES, LEVELS, Case
from convexnn.bench.report import frame
from convexnn.bench.worker import Worker, attempt
from convexnn.contract.checks import ProblemError

COMMAND = (sys.executable, "-m", "convexnn")
TINY, OTHER = "agents chords n=10 d=2", "agents ring n=20 d=3"
SMALL = [
    pytest.param(case, id=f"{family}: {case.instance}")
    for family in FAMILIES
    for case in cases.cases(family).values()
    if case.n * case.d < 40_000 and case.source not in ("openml", "folder")
]


def runs_kept(out: Path) -> dict[Path, int]:
    """When benchopt wrote each run that it keeps."""
    files = (out / "cache").rglob("run_one_to_cvg/*/output.pkl")
    return {path: path.stat().st_mtime_ns for path in files}


def test_a_sweep_killed_in_the_middle_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, backends = tmp_path / "results", ("admm", "extra", "pg-extra")
    asked = engine.Sweep("median", "quick", backends, (TINY, OTHER), (), folder=out)
    words = ["--backends", ",".join(backends), "--datasets", f"{TINY},{OTHER}", "--no-peers"]
    with subprocess.Popen(
        [*COMMAND, "bench", "median", "--quick", *words, "--out", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
    ) as process:
        until = time.monotonic() + 120.0
        while len(runs_kept(out)) < 2 and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    kept = runs_kept(out)
    assert 2 <= len(kept) < 6
    assert not (out / "results.parquet").exists()

    report = engine.run(asked)
    assert capsys.readouterr().out.count("(cached)") == len(kept)
    assert kept.items() <= runs_kept(out).items()
    assert len(runs_kept(out)) == 6
    found = frame.read(out)
    last = found[found["final"]]
    assert len(last) == 6
    assert set(last["status"]) == {"OPTIMAL"}
    assert report.stat().st_size > 10_000
    assert (out / "machine.json").is_file()

    file = out / "results.parquet"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ProblemError, match=r"results\.parquet' cannot be read.*run the same sweep"):
        frame.read(out)
    engine.run(asked)
    assert capsys.readouterr().out.count("(cached)") == 6
    pd.testing.assert_frame_equal(frame.read(out), found)


BAD = {
    "family": (("relus",), "problem must be one of relu, robust, wasserstein, median"),
    "backend": (("median", "--backends", "simplex"), "backends must be among auto, admm"),
    "idle": (
        ("median", "--quick", "--backends", "ipm"),
        "backend 'ipm' takes none of the instances",
    ),
    "dataset": (("median", "--datasets", "moons"), "datasets must be among agents, cloud"),
    "peer": (("median", "--peers", "gurobi"), "peers must be one of"),
    "tol": (("median", "--tol", "0"), "tol must be finite and > 0"),
    "limit": (("median", "--time-limit", "-1"), "time_limit must be finite and > 0"),
    "repeats": (("median", "--repeats", "0"), "repeats must be an integer >= 1"),
    "both": (("median", "--quick", "--full"), "--quick and --full exclude each other"),
    "parallel": (("median", "--parallel", "none.yml"), "parallel must be a YAML file"),
    "report": (("report", "nowhere"), "does not exist"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from convexnn.__main__ import main

    words, message = BAD[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["convexnn", "bench", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_refused_before_any_run(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ProblemError, match="out must be a folder that can be written"):
        engine.writable(file)


def test_the_sweeps_need_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "PACKAGE", tmp_path / "convexnn")
    with pytest.raises(ProblemError, match="need the project's folder bench/"):
        engine.located("relu")


def hang() -> Any:
    time.sleep(60.0)


def die() -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def break_down() -> Any:
    raise FloatingPointError("no digits left")


def line() -> cx.GeometricMedian:
    return cx.GeometricMedian([[0.0], [1.0], [5.0]])


def test_a_run_that_hangs_or_dies_is_a_row_and_the_next_one_runs() -> None:
    own = Worker(grace=60.0)
    try:
        for build, why in ((die, "by signal 9"), (break_down, "FloatingPointError: no digits")):
            (point,) = own.solve(partial(build), "newton", 1e-6, 1.0)
            assert point["status"] == "CRASHED"
            assert why in point["message"]
        own.grace = 0.2
        (point,) = own.solve(partial(hang), "newton", 1e-6, 0.1)
        assert point["status"] == "TIMEOUT"
        assert point["message"] == "killed 0.2 s after its limit of 0.1 s"
        own.grace = 60.0
        points = own.solve(partial(line), "auto", 1e-6, 10.0)
        assert points[-1]["status"] == "OPTIMAL"
        assert points[-1]["message"].startswith("chose newton.")
    finally:
        own.kill()


def test_a_process_that_does_not_start_is_no_result_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = engine.Sweep("median", "quick", ["admm"], [TINY], (), folder=tmp_path)
    own = Worker()
    with monkeypatch.context() as late:
        late.setattr("convexnn.bench.worker.START_S", 0.0)
        with pytest.raises(RuntimeError, match="was not ready within 0 s"):
            own.solve(partial(line), "newton", 1e-6, 1.0)
    with monkeypatch.context() as broken:
        broken.setattr("convexnn.bench.base.worker", lambda: own)
        broken.setattr(sys, "executable", "/bin/false")
        with pytest.raises(RuntimeError, match="ended at its start"):
            own.solve(partial(line), "newton", 1e-6, 1.0)
        engine.run(asked)
        assert list(frame.read(tmp_path)["message"]) == [engine.LOST]
    engine.run(asked)
    assert list(frame.read(tmp_path)["status"])[-1] == "OPTIMAL"


def test_a_module_beside_the_user_does_not_stand_for_the_library_of_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "enum.py").write_text("raise SystemExit('not this one')")
    monkeypatch.syspath_prepend(tmp_path)
    own = Worker()
    try:
        assert own.solve(partial(line), "auto", 1e-6, 10.0)[-1]["status"] == "OPTIMAL"
    finally:
        own.kill()


def test_a_backend_that_cannot_take_the_problem_is_skipped_with_its_reason() -> None:
    (point,) = attempt(partial(line), "ipm", 1e-6, 1.0)
    (row,) = grading.grade(line(), [point], 1e-6)
    assert row["status"] == "SKIPPED"
    assert "it is for networks without convolutions" in row["message"]
    assert row["final"]
    assert np.isnan(row["gap"])


def test_steps_on_the_way_keep_their_certificates() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 3))
    problem = cx.GatedReluTraining(X, X[:, 0] + 0.1 * rng.standard_normal(40), beta=0.1, patterns=6)
    rows = grading.grade(problem, attempt(partial(identity, problem), "fista", 1e-8, 20.0), 1e-8)
    assert len(rows) > 5
    assert [row["final"] for row in rows] == [False] * (len(rows) - 1) + [True]
    assert rows[-1]["status"] == "OPTIMAL"
    for clock in ("seconds", "certify", "cpu"):
        assert np.all(np.diff([row[clock] for row in rows]) >= 0.0)
    bounds = [row["bound"] for row in rows]
    assert max(bounds) <= min(row["objective"] for row in rows) + 1e-9
    errors = [max(abs(row["gap"]), row["violation"]) for row in rows[:-1]]
    assert np.all(np.diff(errors) < 0.0)


def identity(problem: Any) -> Any:
    return problem


def test_an_answer_that_cannot_be_graded_is_a_crash() -> None:
    point = {"primal": ("nonsense",), "seconds": 1.0, "status": "OPTIMAL"}
    (row,) = grading.grade(line(), [point], 1e-6)
    assert row["status"] == "CRASHED"
    assert "cannot be graded" in row["message"]
    assert np.isnan(row["objective"])


def smooth() -> list[Any]:
    rng = np.random.default_rng(1)
    X = rng.standard_normal((30, 3))
    y = np.maximum(X[:, 0], 0.0) + 0.1 * rng.standard_normal(30)
    labels = np.where(y > np.median(y), 1.0, -1.0)
    return [
        cx.ReluTraining(X, y, beta=0.5, patterns=6),
        cx.ReluTraining(X[:, :2], labels, beta=0.5, loss="logistic"),
        cx.GatedReluTraining(X, labels, beta=0.5, patterns=6, loss="logistic"),
        cx.SampledReluTraining(X, y, beta=0.5, neurons=20),
        cx.WassersteinClassification(X, labels, radius=0.05),
        cx.WassersteinRegression(X, y, radius=0.05),
        cx.GeometricMedian(X),
        cx.DistributedMedian(X, [(i, (i + 1) % 30) for i in range(30)]),
    ]


@pytest.mark.parametrize("problem", smooth(), ids=lambda p: type(p).__name__)
def test_the_dual_that_a_primal_suggests_closes_the_gap_of_smooth_problems(problem: Any) -> None:
    best = cx.solve(problem, tol=1e-7)
    (row,) = grading.grade(problem, [{"primal": best.primal}], 1e-3)
    assert row["gap"] <= 1e-3
    assert row["status"] == "OPTIMAL"
    assert row["bound"] <= best.objective + 1e-9


KINKED: dict[str, Callable[..., Any]] = {
    "majorant": partial(cx.ReluTraining, patterns=6, formulation="majorant"),
    "hinge": partial(cx.ReluTraining, patterns=6, loss="hinge"),
    "robust": partial(cx.RobustReluTraining, radius=0.05, patterns=6),
    "robust cones": partial(cx.RobustReluTraining, radius=0.01, patterns=6, formulation="cones"),
    "robust search": partial(cx.RobustReluTraining, radius=0.05),
}


@pytest.mark.parametrize("name", KINKED)
def test_the_dual_that_a_primal_suggests_never_proves_too_much(name: str) -> None:
    rng = np.random.default_rng(2)
    X = rng.standard_normal((24, 2))
    y = np.where(X[:, 0] + 0.3 * rng.standard_normal(24) > 0.0, 1.0, -1.0)
    problem = KINKED[name](X, y, beta=0.5)
    best = cx.solve(problem, tol=1e-4, time_limit=1.0)
    (row,) = grading.grade(problem, [{"primal": best.primal}], 1e-3)
    assert np.isfinite(row["bound"])
    assert row["status"] == ("OPTIMAL" if row["gap"] <= 1e-3 else "INACCURATE")
    assert row["bound"] <= best.objective + 1e-7


@pytest.mark.parametrize("case", SMALL)
def test_instance_is_of_the_size_it_says(case: Case) -> None:
    problem = case.build()
    data = next(
        np.asarray(getattr(problem, name))
        for name in ("X", "returns", "margins", "losses", "demand", "points", "terms")
        if hasattr(problem, name)
    )
    assert len(data) == case.n
    if data.ndim == 2:
        assert data.shape[1] == case.d
    if hasattr(problem, "neurons"):
        assert problem.neurons == case.size
    elif getattr(problem, "patterns", None) is not None:
        count = problem.patterns if isinstance(problem.patterns, int) else len(problem.patterns)
        assert count == case.size
    assert type(case.tiny()) is type(problem)


@pytest.mark.parametrize("family", FAMILIES)
def test_levels_contain_those_before_and_a_series_spans_two_decades(family: str) -> None:
    quick, default, full = (
        {case.instance for case in cases.pick(family, level)} for level in LEVELS
    )
    assert quick < default < full
    assert full == set(cases.cases(family))
    series: dict[str, list[float]] = {}
    for case in cases.cases(family).values():
        if case.series:
            series.setdefault(case.series, []).append(case.varied)
    assert all(len(sizes) >= 3 for sizes in series.values())
    assert any(max(sizes) >= 100.0 * min(sizes) for sizes in series.values())


def test_every_source_is_a_file_of_the_benchmark() -> None:
    for family in FAMILIES:
        folder = Path(__file__).parents[2] / "bench" / family / "datasets"
        files = {path.stem for path in folder.glob("*.py")}
        used = {case.source for case in cases.cases(family).values()}
        assert used <= files
        assert files - used <= {"folder"}  # empty unless a folder is named


def test_a_folder_of_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((50, 3))
    np.savez(tmp_path / "one.npz", X=X, y=(X[:, 0] > 0.0).astype(int))
    np.savez(tmp_path / "two.npz", X=X, y=X[:, 0])
    monkeypatch.setenv(tables.FOLDER, str(tmp_path))
    cases.cases.cache_clear()
    try:
        found = cases.pick("relu", "full", ["folder"])
        assert [case.instance for case in found] == [
            "gated logistic one P=50",
            "gated squared two P=50",
        ]
        assert found[0].build().X.shape == (50, 3)
        linear = cases.pick("wasserstein", "full", ["folder"])
        assert [case.instance for case in linear] == [
            "logistic cost=1 l2 one",
            "absolute cost=inf l2 two",
        ]
        assert [len(case.build().X) for case in linear] == [50, 50]
        assert [case.missing() for case in found] == ["", ""]
        (tmp_path / "empty").mkdir()
        for name in ("none", "empty"):
            monkeypatch.setenv(tables.FOLDER, str(tmp_path / name))
            cases.cases.cache_clear()
            with pytest.raises(ProblemError, match="CONVEXNN_BENCH_DATA must name a folder"):
                cases.cases("relu")
        monkeypatch.delenv(tables.FOLDER)
        cases.cases.cache_clear()
        with pytest.raises(ProblemError, match="'folder' needs CONVEXNN_BENCH_DATA to name"):
            cases.pick("relu", "full", ["folder"])
    finally:
        cases.cases.cache_clear()


def test_the_command_takes_a_folder_of_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from convexnn.commands.bench import of

    heard: list[list[str]] = []

    def run(asked: engine.Sweep) -> Path:
        heard.append([case.instance for case in cases.pick(asked.family, "full", ["folder"])])
        return tmp_path

    np.savez(tmp_path / "own.npz", X=TABLE, y=TABLE[:, 0])
    monkeypatch.setenv(tables.FOLDER, "")
    monkeypatch.setattr(engine, "run", run)
    cases.cases.cache_clear()
    try:
        of("wasserstein")(data=tmp_path)
        assert heard == [["absolute cost=inf l2 own"]]
    finally:
        cases.cases.cache_clear()


def test_series_run_to_units_width_and_length_as_people_bring_them() -> None:
    reach: dict[str, float] = {}
    for family in ("relu", "wasserstein", "median"):
        for case in cases.cases(family).values():
            reach[case.series] = max(reach.get(case.series, 0.0), case.varied)
    kinds = ("exact scale", "gated scale", "logistic scale", "median scale")
    assert {reach[series] for series in kinds} == {1e6}
    widths = ("gated width", "absolute width", "median width")
    assert {reach[series] for series in widths} == {50_000.0}
    assert {reach[series] for series in ("gated length", "logistic n", "median n")} == {1e6}
    X = cases.cases("relu")["gated squared n=400 d=8 P=30 columns 1:1e+06"].build().X
    sizes = np.abs(X).max(axis=0)
    assert 1e5 < sizes[-1] / sizes[0] < 1e7


TABLE = np.random.default_rng(0).standard_normal((30, 3))
MALFORMED: dict[str, tuple[dict[str, Any], str]] = {
    "names": ({"Z": TABLE}, "it has no array 'X'"),
    "lengths": ({"X": TABLE, "y": TABLE[:9, 0]}, "must hold X (n, d) and y (n,)"),
    "shape": ({"X": TABLE[:, 0], "y": TABLE[:, 0]}, "X must hold one row an example"),
    "one value": ({"X": TABLE, "y": np.ones(30)}, "at least two values"),
    "constant": ({"X": np.ones((30, 3)), "y": TABLE[:, 0]}, "X must not be empty"),
    "missing X": (
        {"X": TABLE * np.inf, "y": TABLE[:, 0]},
        "is infinite in rows 1, 2, 3, 4, 5 and 25 more",
    ),
    "missing y": (
        {"X": TABLE, "y": TABLE[:, 0] * np.nan},
        "30 of 30 rows miss a value: target 'y'",
    ),
    "complex": ({"X": TABLE + 1j, "y": TABLE[:, 0]}, "X has complex entries"),
    "texts": ({"X": np.full((30, 3), "a"), "y": TABLE[:, 0]}, "column '0' holds text"),
    "objects": (
        {"X": TABLE.astype(object), "y": TABLE[:, 0]},
        "X must be an array of numbers or text",
    ),
}


@pytest.mark.parametrize("name", [*MALFORMED, "cut short", "no archive", "nothing"])
def test_a_file_that_is_no_table_is_there_with_its_reason(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays, reason = MALFORMED.get(name, ({"X": TABLE}, "no archive of arrays, or not a whole one"))
    path = tmp_path / f"{name}.npz"
    np.savez(path, allow_pickle=True, **arrays)
    if name not in MALFORMED:
        whole = path.read_bytes()
        path.write_bytes({"cut short": whole[:99], "no archive": b"junk"}.get(name, b""))
    monkeypatch.setenv(tables.FOLDER, str(tmp_path))
    cases.cases.cache_clear()
    try:
        (case,) = cases.pick("relu", "full", ["folder"])
        assert name in case.instance
        assert reason in case.missing()
    finally:
        cases.cases.cache_clear()


def test_a_table_of_openml_without_a_network_is_left_out_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise OSError("no route to host")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", refused)
    tables.openml.cache_clear()
    assert tables.unreachable("ionosphere").endswith("OSError: no route to host")


def test_repeats_and_missing_peers_are_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "known_peers", lambda *_: ["disropt"])
    monkeypatch.setattr(engine, "missing", lambda names: {"disropt": "not installed: run make"})
    asked = engine.Sweep(
        "median", "quick", ["cvxpy:clarabel"], [TINY], tol=1e-4, repeats=2, folder=tmp_path / "out"
    )
    report = engine.run(asked)
    found = frame.read(report.parent)
    assert tuple(found.columns) == frame.COLUMNS
    last = found[found["final"]].reset_index(drop=True)
    runs = list(zip(last["backend"], last["repeat"], strict=True))
    assert sorted(runs) == [("cvxpy:clarabel", 0), ("cvxpy:clarabel", 1), ("disropt", 0)]
    skipped, own = last[last["peer"]], last[~last["peer"]]
    assert list(skipped["status"]) == ["SKIPPED"]
    assert list(skipped["message"]) == ["not installed: run make"]
    assert skipped["seconds"].isna().all()
    assert (own["gap"].abs() <= 1e-4).all()
    assert (own["n"] == 10.0).all()
    assert (own["series"] == "agents n").all()
    assert found["gap"].notna().sum() == len(found) - 1


def test_an_edit_of_what_results_rest_on_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest, package = engine.digest.__wrapped__, tmp_path / "convexnn"
    rests = ("solving.py", "bench/worker.py", "bench/rival.py", "solvers/admm.py", "problems/m.py")
    others = ("bench/figures.py", "bench/report.py", "commands/bench.py")
    for folder in ("bench", "commands"):
        (package / folder).mkdir(parents=True)
    for room in engine.LINKS:
        (tmp_path / room).mkdir()
        (package / room).symlink_to(tmp_path / room, target_is_directory=True)
    (tmp_path / "bench" / "peers").mkdir(parents=True)
    monkeypatch.setattr(engine, "PACKAGE", package)
    for name in (*rests, *others, "../bench/peers/script.py"):
        (package / name).write_text("")
    before = digest()
    for name in others:
        (package / name).write_text("x = 1")
    assert digest() == before
    for name in (*rests, "../bench/peers/script.py"):
        (package / name).write_text("x = 1")
        assert digest() != before, name
        before = digest()


def counted(folder: Path) -> cx.GeometricMedian:
    """Return a problem, and leave a mark that it was built."""
    (folder / f"{time.monotonic_ns()}").touch()
    return line()


@pytest.mark.parametrize(("short", "runs"), [(1e9, worker.RUNS), (0.0, 1)])
def test_a_short_run_is_repeated_and_the_median_told(
    short: float, runs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "SHORT", short)
    monkeypatch.setattr(worker, "MOST", 1e9)
    found: list[list[dict[str, Any]]] = []
    once = worker.run

    def kept(*asked: Any) -> list[dict[str, Any]]:
        found.append(once(*asked))
        return found[-1]

    monkeypatch.setattr(worker, "run", kept)
    points = attempt(partial(counted, tmp_path), "newton", 1e-6, 10.0)
    assert len(found) == len(list(tmp_path.iterdir())) == runs  # each is built anew
    assert points in found
    assert points[-1]["cpu"] == sorted(run[-1]["cpu"] for run in found)[runs // 2]


def test_peers_and_backends_are_repeated_alike() -> None:
    script = peers.SCRIPTS / "script.py"
    rule = f"SHORT, RUNS, MOST = {worker.SHORT}, {worker.RUNS}, {worker.MOST}"
    assert rule in script.read_text()

"""Peers: real processes that answer, crash, hang or lie; what they are asked, how they are read."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.bench import peers, translation
from convexnn.bench.peers import PEERS, Peer
from convexnn.bench.processes import Answer, PeerError
from convexnn.commands import bench_peers
from convexnn.contract.checks import ProblemError

HELPERS = str(peers.SCRIPTS)
TASK = {"points": np.arange(4.0)}

ANSWERS = """
import sys, time
sys.path.insert(0, HELPERS)
from script import Point, each, options, serve

def run(effort):
    return Point({"point": task_points * effort}, seconds=effort, cpu=effort / 2, build=0.25)

def prepare(task, asked):
    global task_points
    task_points = task["points"]
    return each(asked.effort or (1.0, 2.0, 3.0), run)

serve("numpy", prepare, options(None).parse_args())
"""


def fake(folder: Path, code: str) -> Peer:
    """Return a user's own peer, whose script is some code."""
    script = folder / "run_fake.py"
    script.write_text(f"HELPERS = {HELPERS!r}\n{code}")
    return Peer("fake", ("median",), "numpy", "numpy", (), script, own=False)


def outcome(peer: Peer, limit: float = 20.0, **options: Any) -> tuple[list[Answer], PeerError]:
    """Return the points of a run that fails, and the failure."""
    found: list[Answer] = []
    with pytest.raises(PeerError) as caught:
        found += iter_all(peer, limit, found, **options)
    return found, caught.value


def iter_all(peer: Peer, limit: float, found: list[Answer], **options: Any) -> list[Answer]:
    for answer in peers.follow(peer, TASK, (), limit, **options):
        found.append(answer)
    return []


def dead(pid: int) -> bool:
    """Tell whether a process has ended, if need be after a moment."""
    for _ in range(100):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return True
        if stat.rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


def test_points_of_increasing_effort(tmp_path: Path) -> None:
    peer = fake(tmp_path, ANSWERS)
    found = list(peers.follow(peer, TASK, (), 20.0))
    assert [answer.seconds for answer in found] == [1.0, 2.0, 3.0]
    assert [answer.cpu for answer in found] == [0.5, 1.0, 1.5]
    assert [answer.build for answer in found] == [0.25] * 3
    assert found[0].version == np.__version__
    assert [answer.arrays["point"].tolist() for answer in found] == [
        [0.0, k, 2.0 * k, 3.0 * k] for k in (1.0, 2.0, 3.0)
    ]


SHORT_RUNS = """
import sys
sys.path.insert(0, HELPERS)
from script import Point, Trail, each, options, serve, watched

cpus = iter((0.05, 0.01, 0.04, 0.02, 0.03, 0.3))

def run(effort):
    cpu = next(cpus) if effort < 2.0 else 0.5
    return Point({"point": [effort]}, seconds=cpu, cpu=cpu)

def once(deliver):
    cpu = next(cpus)
    for k in (1, 2):
        deliver(Point({"point": [k]}, seconds=k * cpu, cpu=k * cpu))

serve("numpy", lambda task, asked: %s, options(None).parse_args())
"""


@pytest.mark.parametrize(
    ("what", "cpu"), [("each((1.0, 2.0), run)", [0.03, 0.5]), ("watched(once)", [0.03, 0.06])]
)
def test_short_runs_are_repeated_and_replaced_by_the_median(
    what: str, cpu: list[float], tmp_path: Path
) -> None:
    found = list(peers.follow(fake(tmp_path, SHORT_RUNS % what), TASK))
    assert [answer.cpu for answer in found] == pytest.approx(cpu)
    assert [answer.arrays["point"].item() for answer in found] == [1.0, 2.0]


def test_run_that_has_no_time_left_is_not_repeated(tmp_path: Path) -> None:
    slow = SHORT_RUNS.replace("cpu=cpu)", "cpu=cpu, build=1e9)")
    found = list(peers.follow(fake(tmp_path, slow % "each((1.0, 2.0), run)"), TASK))
    assert [answer.cpu for answer in found] == [0.05, 0.5]


def test_settings_reach_the_script_and_run_returns_the_last_point(tmp_path: Path) -> None:
    peer = fake(tmp_path, ANSWERS)._replace(settings=("--effort", "7"))
    assert peers.run(peer, TASK).seconds == 7.0
    # what is asked comes after, and wins
    assert peers.run(peer, TASK, ("--effort", "5", "6")).seconds == 6.0


def test_more_effort_that_changes_nothing_ends_it(tmp_path: Path) -> None:
    code = ANSWERS.replace("task_points * effort", "task_points")
    assert len(list(peers.follow(fake(tmp_path, code), TASK, (), 20.0))) == 2


def test_crash_keeps_what_was_found_and_says_why(tmp_path: Path) -> None:
    code = ANSWERS.replace(
        "def run(effort):", "def run(effort):\n    if effort > 2: raise ValueError('lost\\nmore')"
    )
    found, error = outcome(fake(tmp_path, code))
    assert [answer.seconds for answer in found] == [1.0, 2.0]
    assert (error.kind, str(error)) == ("crashed", "ValueError: lost")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import sys; print('no luck', file=sys.stderr); sys.exit(3)", "no luck"),
        ("import os; os._exit(4)", "exit 4"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
        ("pass", "it ended without an answer"),
        (
            "import pathlib, sys; pathlib.Path(sys.argv[2], '000.npz').write_bytes(b'PK no zip')",
            "its answer cannot be read: ",
        ),
        (
            ANSWERS.replace("task_points * effort", "0 * task_points / 0"),
            "its point are not finite",
        ),
    ],
)
def test_failure_is_a_crash_with_its_reason(tmp_path: Path, code: str, reason: str) -> None:
    found, error = outcome(fake(tmp_path, code))
    assert not found
    assert error.kind == "crashed"
    assert str(error).startswith(reason)


def test_hanging_peer_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = f"""
import os, pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path({str(pids)!r}).write_text(f"{{os.getpid()}} {{child.pid}}")
pathlib.Path(sys.argv[2], "ready").touch()
time.sleep(600)
"""
    found, error = outcome(fake(tmp_path, code), limit=0.2)
    assert (found, error.kind, str(error)) == ([], "timeout", "not done within 0.2 s")
    assert all(dead(int(pid)) for pid in pids.read_text().split())


def test_peer_that_hangs_in_its_second_effort_keeps_the_first(tmp_path: Path) -> None:
    code = ANSWERS.replace(
        "def run(effort):", "def run(effort):\n    if effort > 1: time.sleep(600)"
    )
    found, error = outcome(fake(tmp_path, code), limit=0.2)
    assert [answer.seconds for answer in found] == [1.0]
    assert error.kind == "timeout"


def test_peer_that_is_done_is_not_waited_for(tmp_path: Path) -> None:
    code = ANSWERS + "time.sleep(600)\n"
    assert len(list(peers.follow(fake(tmp_path, code), TASK, (), 20.0))) == 3


def test_peer_that_never_starts_is_killed(tmp_path: Path) -> None:
    _, error = outcome(fake(tmp_path, "import time; time.sleep(600)"), start_limit=0.2)
    assert (error.kind, str(error)) == ("timeout", "not ready within 0.2 s")


def test_children_left_by_a_peer_that_ended_are_killed(tmp_path: Path) -> None:
    code = ANSWERS.replace(
        "import sys, time",
        "import sys, time, subprocess\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])",
    ).replace("seconds=effort", "seconds=float(child.pid)")
    assert dead(int(peers.run(fake(tmp_path, code), TASK).seconds))


def test_closing_early_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    running = peers.follow(fake(tmp_path, ANSWERS), TASK, (), 20.0)
    assert next(running).seconds == 1.0
    running.close()  # type: ignore[attr-defined]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No environment is told or made."""
    for peer in PEERS.values():
        monkeypatch.delenv(peer.variable, raising=False)
    monkeypatch.setenv(peers.FOLDER, str(tmp_path / "environments"))
    return tmp_path / "environments"


def test_missing_peers_have_reasons(bare: Path) -> None:
    reasons = peers.missing(["scnn", "skwdro-entropic", "scipy-lbfgs", "raw-cvxpy"])
    assert reasons == {
        "scnn": "not installed: run 'convexnn bench peers scnn'",
        "skwdro-entropic": "not installed: run 'convexnn bench peers skwdro'",
    }
    with pytest.raises(PeerError) as caught:
        peers.run("scnn", TASK)
    assert caught.value.kind == "missing"


def test_variable_names_the_interpreter(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVEXNN_BENCH_SCNN", sys.executable)
    assert peers.find("scnn") == Path(sys.executable)
    monkeypatch.setenv("CONVEXNN_BENCH_SCNN", "/no/such/python")
    with pytest.raises(PeerError, match="CONVEXNN_BENCH_SCNN names no program: /no/such/python"):
        peers.find("scnn")


def test_unfinished_environment_does_not_count(bare: Path) -> None:
    python = peers.python_in(bare / "scnn")
    python.parent.mkdir(parents=True)
    python.touch()
    assert "scnn" in peers.missing(["scnn"])
    (bare / "scnn" / peers.READY).write_text("1.0\n")
    assert peers.find("scnn") == python


def test_unknown_peer_is_refused() -> None:
    with pytest.raises(ProblemError, match=r"peer must be one of scnn, .* got 'scn'"):
        peers.find("scn")


def test_script_that_is_not_there(tmp_path: Path) -> None:
    peer = Peer("mine", ("relu",), "numpy", "numpy", (), tmp_path / "none.py", own=False)
    assert "none.py" in peers.missing([peer])["mine"]


@pytest.mark.slow
def test_environment_is_made_and_used(bare: Path, tmp_path: Path) -> None:
    peer = fake(tmp_path, "")._replace(package="pip", distribution="pip", own=True)
    peer = peer._replace(requirements=("pip",))  # is there, so that nothing is fetched
    said: list[str] = []
    version = peers.make(peer, tell=said.append)
    assert version == (bare / "fake" / peers.READY).read_text().strip()
    assert any("already satisfied: pip" in line for line in said)
    assert peers.find(peer) == peers.python_in(bare / "fake")
    assert peers.make(peer) == version  # at once: it is there


def test_environment_in_the_place_of_a_file(bare: Path, tmp_path: Path) -> None:
    bare.mkdir()
    (bare / "fake").write_text("mine")
    with pytest.raises(PeerError, match="fake"):
        peers.make(fake(tmp_path, "")._replace(own=True))
    assert (bare / "fake").read_text() == "mine"


@pytest.mark.slow
def test_environment_that_cannot_be_made_leaves_nothing(bare: Path, tmp_path: Path) -> None:
    peer = fake(tmp_path, "")._replace(requirements=(str(tmp_path / "no-such-project"),), own=True)
    with pytest.raises(PeerError, match="no-such-project"):
        peers.make(peer)
    assert not (bare / "fake").exists()


@pytest.mark.skipif(os.name == "posix" and os.getuid() == 0, reason="root may write anywhere")
def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PeerError, match="cannot be made"):
        peers.make("scnn", tmp_path / "in" / "it")


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PeerError, match="cannot be made"):
        peers.make("scnn", tmp_path / "file" / "in")


def test_list_tells_where_each_peer_is(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench_peers.peers(only=True)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(PEERS)
    by_name = dict(zip(PEERS, lines, strict=True))
    assert "missing: not installed" in by_name["scnn"]
    assert by_name["scipy-lbfgs"].endswith(sys.executable)


g = np.random.default_rng(0)
X = g.standard_normal((25, 3))
y = np.maximum(X @ g.standard_normal((3, 4)), 0.0) @ g.standard_normal(4)
side = np.where(y > np.median(y), "yes", "no")
RING = [[0, 1], [1, 2], [2, 3], [3, 0]]
PROBLEMS: dict[str, tuple[Any, float]] = {  # and what violation a solved point may have
    "relu": (cx.ReluTraining(X, y, beta=0.5, patterns=8, bias=True), 1e-6),
    "wide": (cx.ReluTraining(X[:2], y[:2], beta=0.1, patterns=4), 1e-6),
    "leaky": (
        cx.ReluTraining(
            X, side, beta=0.5, patterns=6, loss="logistic", leak=0.1, skip=True, penalty="l1"
        ),
        1e-6,
    ),
    "all patterns": (cx.ReluTraining(X[:12, :2], y[:12], beta=0.2), 0.0),
    "gated": (cx.GatedReluTraining(X, side, beta=0.5, patterns=8, loss="hinge", bias=True), 0.0),
    "sampled": (cx.SampledReluTraining(X, y, beta=0.5, neurons=30, loss="huber", bias=True), 0.0),
    "robust": (cx.RobustReluTraining(X, side, beta=0.5, radius=0.1, patterns=4, bias=True), 0.0),
    "robust cones": (
        cx.RobustReluTraining(
            *(X, y),
            beta=0.5,
            radius=0.01,
            norm="l2",
            loss="squared",
            patterns=4,
            formulation="cones",
        ),
        1e-6,
    ),
    "flips": (cx.WassersteinClassification(X + 9.0, side, radius=0.05, flip_cost=1.0), 0.0),
    "order 2": (
        cx.WassersteinClassification(X, side, radius=0.05, loss="hinge", order=2, norm="l1"),
        0.0,
    ),
    "order inf": (cx.WassersteinClassification(X, side, radius=0.05, order=np.inf), 0.0),
    "squared": (cx.WassersteinRegression(X, y, radius=0.05, target_cost=1.0), 0.0),
    "pinball": (
        cx.WassersteinRegression(
            X, y, radius=0.05, loss="quantile", quantile=0.2, norm="linf", intercept=False
        ),
        0.0,
    ),
    "median": (cx.GeometricMedian(X + 5.0, weights=np.arange(1.0, 26.0)), 0.0),
    "consensus": (cx.DistributedMedian(X[:4] + 5.0, RING, weights=np.arange(1.0, 5.0)), 1e-6),
}


@pytest.fixture(scope="module")
def written() -> Any:
    """The script of raw CVXPY, imported here: its formulas share no code with the package."""
    sys.path.insert(0, HELPERS)
    try:
        import run_raw_cvxpy  # type: ignore[import-not-found, unused-ignore]
    finally:
        sys.path.remove(HELPERS)
    return run_raw_cvxpy


@pytest.mark.parametrize("name", PROBLEMS)
def test_task_and_answer_are_those_of_the_problem(name: str, written: Any) -> None:
    """The optimum of the formula by hand is the problem's: no factor is lost on either way."""
    problem, allowed = PROBLEMS[name]
    assert translation.refuses(PEERS["raw-cvxpy"], problem) is None
    task = {key: np.asarray(value) for key, value in translation.task(problem).items()}
    task = {key: value if value.ndim else value.item() for key, value in task.items()}
    formula, read = written.FORMULAS[task["kind"]](task)
    formula.solve(solver="CLARABEL")
    found = translation.primal(problem, {k: np.asarray(v) for k, v in read().items()})
    best = cx.solve(problem, tol=1e-7, time_limit=20.0)
    grade = problem.certify(found, best.dual)
    scale = max(1.0, abs(best.objective))
    assert abs(best.objective - grade.objective) <= 2e-6 * scale
    assert grade.objective >= best.bound - 1e-6 * scale
    assert grade.violation <= allowed


@pytest.mark.parametrize("name", ["all patterns", "squared kept", "logistic kept", "median"])
def test_lbfgs_runs_as_a_process(name: str) -> None:
    own = {
        "squared kept": cx.WassersteinRegression(X, y, radius=0.05),
        "logistic kept": cx.WassersteinClassification(X, side, radius=0.05),
    }
    problem = own[name] if name in own else PROBLEMS[name][0]
    assert translation.refuses(PEERS["scipy-lbfgs"], problem) is None
    best = cx.solve(problem, tol=1e-7, time_limit=20.0)
    points = list(peers.follow("scipy-lbfgs", translation.task(problem), (), 5.0))
    values = [problem.objective(translation.primal(problem, one.arrays)) for one in points]
    slack = 5e-3 if name == "all patterns" else 1e-6  # one local search
    assert values[-1] <= best.objective + slack * max(1.0, abs(best.objective))
    assert values[-1] >= best.bound
    assert values[-1] <= values[0]
    assert (np.diff([point.seconds for point in points]) > 0.0).all()


def test_gates_in_another_order_and_fewer_are_put_in_place() -> None:
    problem = cx.ReluTraining(X, y, beta=0.5, patterns=6)
    gates = translation.task(problem)["gates"]
    P = gates.shape[1]
    weights = np.zeros((2, 3, P))
    weights[:, :, 1:] = g.standard_normal((2, 3, P - 1))
    order = np.roll(np.arange(1, P), 2)
    told = {"weights": weights[:, :, order], "gates": gates[:, order]}
    plain = translation.primal(problem, {"weights": weights})
    moved = translation.primal(problem, told)
    np.testing.assert_array_equal(plain.V, moved.V)
    np.testing.assert_array_equal(plain.W, moved.W)


@pytest.mark.parametrize(
    ("name", "arrays"),
    [
        ("relu", {"weights": np.zeros((2, 4, 3))}),
        ("relu", {"weights": np.ones((2, 4, 1)), "gates": 1e9 * np.ones((4, 1))}),
        ("relu", {}),
        ("gated", {"weights": np.zeros((1, 3, 5))}),
        ("sampled", {"weights": np.zeros((1, 1, 3))}),
        ("squared", {"coef": np.zeros(2), "intercept": np.zeros(())}),
        ("consensus", {"local": np.zeros((3, 3))}),
        ("median", {"point": np.zeros(2)}),
    ],
)
def test_answer_of_another_shape_is_a_crash(name: str, arrays: dict[str, Any]) -> None:
    with pytest.raises(PeerError, match="its answer is no point of the problem") as caught:
        translation.primal(PROBLEMS[name][0], arrays)
    assert caught.value.kind == "crashed"


@pytest.mark.parametrize(
    ("peer", "name", "reason"),
    [
        ("scnn", "leaky", "has no logistic loss"),
        ("scnn", "all patterns", "does not solve this kind of problem: network"),
        ("adelie", "gated", "has no hinge loss"),
        ("dro", "squared", "keeps targets as they are"),
        ("dro", "order 2", "has no hinge loss of order 2"),
        ("skwdro", "pinball", "has no quantile loss"),
        ("skwdro-entropic", "flips", "has no smoothed problem in which labels flip"),
        ("scipy-lbfgs", "flips", "needs a smooth worst case"),
        ("torch", "robust", "does not solve this kind of problem: robust"),
    ],
)
def test_peer_refuses_what_it_does_not_solve(peer: str, name: str, reason: str) -> None:
    assert str(translation.refuses(PEERS[peer], PROBLEMS[name][0])).startswith(reason)


def test_problem_that_no_peer_knows() -> None:
    problem = cx.Newsvendor([1.0, 2.0], cost=1.0, price=2.0, radius=0.1)
    for peer in PEERS.values():
        assert "does not solve" in str(translation.refuses(peer, problem))


def test_points_of_a_sweep_say_how_a_peer_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from convexnn.bench.grading import grade
    from convexnn.bench.rival import points_of

    problem = PROBLEMS["median"][0]
    monkeypatch.setitem(translation.KINDS, "fake", ("median",))
    code = ANSWERS.replace("task_points * effort", "task_points.mean(axis=0)")
    (first, *_) = grade(problem, points_of(fake(tmp_path, code), problem, 20.0))
    assert first["objective"] > first["bound"] > 0.0
    assert first["seconds"] == 1.0
    crashing = code.replace("def run(effort):", "def run(effort):\n    assert effort < 2, 'lost'")
    rows = grade(problem, points_of(fake(tmp_path, crashing), problem, 20.0))
    assert [row["status"] for row in rows] == ["CRASHED"]
    assert rows[0]["message"].startswith("AssertionError: lost; version")
    assert rows[0]["objective"] == first["objective"]
    rows = grade(problem, points_of(fake(tmp_path, "raise SystemExit('no')"), problem, 20.0))
    assert [(row["status"], row["message"]) for row in rows] == [("CRASHED", "no")]
    assert np.isnan(rows[0]["objective"])
    rows = grade(problem, points_of(PEERS["scnn"], problem, 20.0))
    assert rows[0]["status"] == "SKIPPED"

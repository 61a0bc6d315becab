"""Signals and kills at random moments: no answer that exists is lost.

A child process runs a job and says so when the first point is certified. From then on a signal must
end it soon with an answer no worse than that point. A job with a checkpoint that is killed outright
must come to the same answer when it is called again.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import convexnn as cx
from convexnn.contract.system.interrupts import SIGNALS, like_ctrl_c

SOON = 2.0  # seconds from the signal to the answer
LONG = 120.0  # seconds after which a job is given up
MOMENTS = 3.0  # signals come so many seconds from the first point, or sooner
SAME = 1e-6  # share by which the best of the points that were reported may differ
FIRST = "first "

# What may come of a signal: an answer, an answer that took long, one that is worse than a point
# known before, none, or a job that was over before the signal came.
VERDICTS = ("answered", "over", "late", "worse", "lost")
GOOD = ("answered", "over")


class Outcome(NamedTuple):
    """What came of one signal.

    Attributes
    ----------
    job, signal : str
    after : float
        Seconds from the first point to the signal.
    took : float
        Seconds from the signal to the end.
    verdict : str
        One of `VERDICTS`.
    said : str
        The end of what the job wrote to its error stream.
    """

    job: str
    signal: str
    after: float
    took: float
    verdict: str
    said: str


def _examples(n: int, d: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    return X, np.maximum(X[:, 0], 0.0) - np.abs(X[:, -1]) + 0.3 * rng.standard_normal(n)


def _solved(problem: Any, backend: str, **options: Any) -> Callable[[Callable[..., None]], Any]:
    def job(tell: Callable[..., None]) -> Any:
        return cx.solve(problem(), backend, tol=1e-14, callback=tell, **options)

    return job


def _relu(n: int = 400, d: int = 10, **options: Any) -> Any:
    return lambda: cx.ReluTraining(*_examples(n, d), beta=1.0, **options)


def _agents() -> Any:
    points = np.random.default_rng(0).standard_normal((60, 3))
    return cx.DistributedMedian(points, [(k, (k + 1) % 60) for k in range(60)])


def _margins() -> Any:
    return cx.WorstCaseMargins(np.random.default_rng(0).standard_normal(1_000_000), radius=0.3)


def _threshold() -> Any:
    X, y = _examples(400, 4)
    return cx.ThresholdTraining(X, y, beta=0.1, patterns=4000)


def _path(tell: Callable[..., None]) -> Any:
    problem = cx.GatedReluTraining(*_examples(300, 10), beta=1.0, patterns=100)
    first = cx.solve(problem, tol=1e-4)
    found = cx.path(problem, count=200, tol=1e-9)
    tell(first) if not len(found) else None
    return found[-1] if len(found) else first


def _robust() -> Any:
    X, y = _examples(200, 8)
    return cx.RobustReluTraining(X, np.sign(y), beta=1.0, radius=0.1, patterns=40)


def _fit(loss: str) -> Any:
    return lambda: cx.WassersteinRegression(*_examples(2000, 60), radius=0.1, loss=loss)


JOBS: dict[str, Callable[[Callable[..., None]], Any]] = {
    **{
        f"relu, {engine}": _solved(_relu(patterns=60), engine)
        for engine in ("admm", "fista", "ipm", "semismooth", "cvxpy:clarabel", "cvxpy:scs")
    },
    **{f"relu, {engine}": _solved(_relu(), engine) for engine in ("cell-walk", "lbfgs")},
    **{f"robust, {engine}": _solved(_robust, engine) for engine in ("admm", "ipm")},
    **{f"wasserstein, {e}": _solved(_fit("absolute"), e) for e in ("newton", "admm")},
    "margins, greedy": _solved(_margins, "greedy"),
    "threshold": _solved(_threshold, "auto"),
    "agents, homotopy": _solved(_agents, "homotopy"),
    "agents, mpi:homotopy": _solved(_agents, "mpi:homotopy", processes=2),
}
RESUMED = ("homotopy", "extra", "admm", "subgradient")


def campaign(count: int, seed: int, on_done: Callable[[], None] = lambda: None) -> list[Outcome]:
    """Send `count` signals, jobs in turn, at random moments.

    Parameters
    ----------
    count, seed : int
    on_done : callable
        Called after each.
    """
    rng, found = np.random.default_rng(seed), []
    for k in range(count):
        job = list(JOBS)[k % len(JOBS)]
        found.append(one(job, SIGNALS[int(rng.integers(len(SIGNALS)))], rng.uniform(0.0, MOMENTS)))
        on_done()
    return found


def one(job: str, number: signal.Signals, after: float) -> Outcome:
    """Run a job and send it a signal some seconds after its first point."""
    with tempfile.TemporaryFile("w+") as errors:
        child = _started(["signal", job], errors)
        first = _first(child)
        try:
            child.wait(after)
        except subprocess.TimeoutExpired:
            child.send_signal(number)
        begin = time.perf_counter()
        try:
            last, _ = child.communicate(timeout=LONG)
        except subprocess.TimeoutExpired:
            child.kill()
            last, _ = child.communicate()
        took = time.perf_counter() - begin
        errors.seek(0)
        said = errors.read()[-300:]
    answer = json.loads(last) if last.strip() else None  # a signal may come behind the answer
    if answer is None:
        verdict = "lost"
    elif not answer["objective"] <= first + 1e-12 * abs(first):
        verdict = "worse"
    elif answer["status"] not in ("STOPPED", "TIME_LIMIT"):
        verdict = "over"
    else:
        verdict = "answered" if took <= SOON else "late"
    return Outcome(job, number.name, after, took, verdict, said)


def killed(count: int, seed: int, on_done: Callable[[], None] = lambda: None) -> list[Outcome]:
    """Kill `count` jobs with checkpoints at random moments, and call each of them again."""
    rng, found = np.random.default_rng(seed), []
    whole: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="convexnn-") as name:
        path = Path(name) / "state.npz"
        for k in range(count):
            engine = RESUMED[k % len(RESUMED)]
            if engine not in whole:
                whole[engine] = _called(engine, path)
                path.unlink()
            child = _started(["kill", engine, str(path)], subprocess.DEVNULL)
            _first(child)
            after = rng.uniform(0.0, 0.5)
            try:
                child.wait(after)
            except subprocess.TimeoutExpired:
                child.kill()
            last, _ = child.communicate()
            again = _called(engine, path) if child.returncode else last
            path.unlink(missing_ok=True)
            verdict, said = ("answered" if child.returncode else "over"), ""
            if not _same(again, whole[engine]):
                verdict, said = "lost", f"{again} in the place of {whole[engine]}"
            found.append(Outcome(f"agents, {engine}", "SIGKILL", after, 0.0, verdict, said))
            on_done()
    return found


def _same(one: str, other: str) -> bool:
    """Tell whether two answers are the same, but for which points were reported on the way."""
    if not (one.strip() and other.strip()):
        return False
    here, there = json.loads(one), json.loads(other)
    apart = abs(here["objective"] - there["objective"])
    return bool(here["status"] == there["status"] and apart <= SAME * abs(there["objective"]))


def _called(engine: str, path: Path) -> str:
    child = _started(["kill", engine, str(path)], subprocess.DEVNULL)
    _first(child)
    last, _ = child.communicate()
    return last


def _started(words: list[str], errors: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "convexnn.bench.signals", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)


def _first(child: subprocess.Popen[str]) -> float:
    line = child.stdout.readline() if child.stdout is not None else ""
    return float(line.removeprefix(FIRST)) if line.startswith(FIRST) else np.inf


def main(kind: str, name: str, *rest: str) -> None:
    """Do one job as a child process."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # one of a background ignores it
    like_ctrl_c()
    told: list[Any] = []

    def tell(step: Any) -> None:
        if not told and np.isfinite(step.objective):
            told.append(step)
            print(f"{FIRST}{float(step.objective)!r}", flush=True)

    if kind == "kill":
        kept: Any = {"checkpoint": rest[0], "every": 20}
        solution = cx.solve(_agents(), name, tol=1e-14, max_iter=4000, callback=tell, **kept)
    else:
        solution = JOBS[name](tell)
    answer = {"objective": float(solution.objective), "bound": float(solution.bound)}
    print(json.dumps({**answer, "status": solution.status.name}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Signals and kills at random moments lose no answer."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from convexnn.bench import signals
from convexnn.bench.signals import GOOD, JOBS, campaign, killed, one


@pytest.mark.parametrize("job", ["relu, admm", "relu, cell-walk"])
def test_a_signal_ends_a_run_with_an_answer(job: str) -> None:
    outcome = one(job, signal.SIGTERM, 0.2)
    assert outcome.verdict in (*GOOD, "late"), outcome  # late: on a busy machine


def test_a_killed_run_comes_to_the_same_answer() -> None:
    assert [outcome.verdict for outcome in killed(1, 3)] in (["answered"], ["over"])


def test_another_answer_after_a_kill_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(f'{{"objective": {value}, "status": "OPTIMAL"}}' for value in (1.0, 2.0))

    def called(engine: str, path: Path) -> str:
        path.touch()
        return next(answers)

    monkeypatch.setattr(signals, "_called", called)
    monkeypatch.setattr(signals, "_started", lambda words, errors: Killed())
    assert [outcome.verdict for outcome in killed(1, 0)] == ["lost"]


class Killed:
    """A process that was killed."""

    returncode = -9
    stdout = None

    def wait(self, seconds: float) -> None:
        return None

    def communicate(self) -> tuple[str, str]:
        return "", ""


def test_a_lost_answer_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert one("no such job", signal.SIGINT, 0.0).verdict == "lost"
    first = signals._first
    monkeypatch.setattr(signals, "_first", lambda child: min(first(child), -1.0))
    assert one("agents, homotopy", signal.SIGINT, 0.1).verdict == "worse"


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_signals_and_kills() -> None:
    found = [*campaign(5 * len(JOBS), 0), *killed(50, 0)]
    assert [outcome for outcome in found if outcome.verdict not in GOOD] == []

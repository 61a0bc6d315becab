"""A script of another environment as a process: its points, its time limit, its end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from convexnn.contract.arrays import Array

START_S = 120.0  # for imports and first calls
SLACK = 1.1  # share of the limit at which a process is killed, so that it can end by itself, and
SLACK_S = 1.0  # seconds on top of it
POLL_S = 0.02
SINGLE = {f"{kind}_NUM_THREADS": "1" for kind in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
RAISED = re.compile(r"[\w.]+(Error|Exception|Interrupt|Exit)\b")  # opens a traceback's last lines
OWN = ("seconds", "cpu", "build", "version")  # of the arrays in an answer


class PeerError(RuntimeError):
    """A peer gave no answer; the message says why.

    Attributes
    ----------
    kind : {"missing", "crashed", "timeout"}
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class Answer(NamedTuple):
    """A point that a peer delivered.

    Attributes
    ----------
    arrays : dict of str to array
        Weights, by the names of its script.
    seconds, cpu : float
        In its solver, by the clock and of the processor; imports and first calls excluded.
    build : float
        Preparing its data, apart from `seconds`.
    version : str
        Of the package.
    """

    arrays: dict[str, Array]
    seconds: float
    cpu: float
    build: float
    version: str


def answers(
    interpreter: str | Path,
    script: str | Path,
    task: Mapping[str, Any],
    settings: Sequence[str],
    time_limit: float,
    *,
    start_limit: float = START_S,
) -> Iterator[Answer]:
    """Run ``interpreter script TASK.npz FOLDER --limit S SETTINGS`` and yield what it delivers.

    The script says with a file ``ready`` in the folder that imports and first calls are done and
    solving begins; the limit counts from then, until a file ``done`` or its end. It writes its
    points, as ``000.npz``, ``001.npz``, ... with the arrays of an `Answer`, into it, each under
    another name first. It runs with one thread, in a process group of its own, which is killed at
    the limit and at the end.

    Parameters
    ----------
    interpreter, script : path
    task : mapping of str to array, number or text
    settings : sequence of str
        Arguments of the script.
    time_limit : float
        Seconds for solving, > 0.
    start_limit : float, default 120
        Seconds for imports and first calls.

    Yields
    ------
    Answer

    Raises
    ------
    PeerError
        After the points that it delivered, if it crashed, was killed at the limit, or delivered
        nothing.
    """
    with TemporaryDirectory() as room:
        problem, folder, said = Path(room, "task.npz"), Path(room, "answers"), Path(room, "stderr")
        folder.mkdir()
        np.savez(problem, **task)
        command = [str(interpreter), str(script), str(problem), str(folder)]
        error: PeerError | None = None
        with said.open("w") as stderr:
            try:
                process = subprocess.Popen(
                    [*command, "--limit", f"{time_limit:g}", *settings],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                    env=os.environ | SINGLE,
                    start_new_session=True,
                )
            except OSError as failure:
                raise PeerError("missing", f"{interpreter}: {failure.strerror}") from None
            try:
                late = _watch(process, folder, time_limit, start_limit)
                if late:
                    error = PeerError("timeout", late)
                elif process.returncode and not (folder / "done").exists():
                    error = PeerError("crashed", _last_words(said, process.returncode))
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        delivered = sorted(folder.glob("[0-9]*.npz"))
        for path in delivered:
            yield _read(path)
        if error is not None:
            raise error
        if not delivered:
            raise PeerError("crashed", "it ended without an answer")


def _watch(process: Any, folder: Path, time_limit: float, start_limit: float) -> str:
    """Wait for the process; return which limit it has passed, "" if it was done before."""
    begin = time.monotonic()
    solving = False
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(POLL_S)
            return ""
        now = time.monotonic()
        if (folder / "done").exists():
            return ""
        if not solving and (folder / "ready").exists():
            solving, begin = True, now
        elif solving and now - begin > SLACK * time_limit + SLACK_S:
            return f"not done within {time_limit:g} s"
        elif not solving and now - begin > start_limit:
            return f"not ready within {start_limit:g} s"


def _read(path: Path) -> Answer:
    try:
        with np.load(path) as found:
            arrays = dict(found)
        seconds, cpu, build = (float(arrays[key]) for key in OWN[:3])
        version = str(arrays["version"])
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as failure:
        raise PeerError("crashed", f"its answer cannot be read: {failure}") from None
    own = {key: value for key, value in arrays.items() if key not in OWN}
    for key, value in own.items():
        if value.dtype.kind in "fc" and not np.isfinite(value).all():
            raise PeerError("crashed", f"its {key} are not finite")
    return Answer(own, seconds, cpu, build, version)


def _last_words(said: Path, code: int) -> str:
    """Return the exception or the last line on stderr, and the signal that ended it if one did."""
    lines = said.read_text(errors="replace").strip().splitlines()
    raised = [line for line in lines if RAISED.match(line)]
    last = (raised or lines or [""])[-1].strip()
    if code > 0:
        return last or f"exit {code}"
    ended = f"killed by {signal.Signals(-code).name}"
    return f"{ended}: {last}" if last else ended

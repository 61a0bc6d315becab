"""What the benchmarks share: instances, peers in their own environments, timing and tables."""

from __future__ import annotations

import csv
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeVar

import numpy as np

import convexnn as cx
from convexnn.arrays import Array

HERE = Path(__file__).parent
REPEATS = 3  # runs of which the median is taken, where one takes less than LONG seconds
LONG = 5.0
NEURONS = 10
FRACTION = 0.02  # of the smallest beta with a zero gated solution

Answer = TypeVar("Answer")


class Size(NamedTuple):
    """Examples, columns and patterns."""

    n: int
    d: int
    P: int

    def __str__(self) -> str:
        return f"({self.n},{self.d},{self.P})"


class Instance(NamedTuple):
    """Gaussian data, a teacher network's targets, random patterns and beta."""

    X: Array
    y: Array
    patterns: cx.Patterns
    beta: float
    loss: str


def instance(size: Size, loss: str = "squared", seed: int = 0) -> Instance:
    """Draw an instance; beta is a fixed share of ``max_p ||X'(D_p * l'(0))||``."""
    n, d, P = size
    g = np.random.default_rng(seed)
    X, teacher = g.standard_normal((n, d)), g.standard_normal((d, NEURONS))
    y = np.maximum(X @ teacher, 0.0) @ g.standard_normal(NEURONS) + 0.1 * g.standard_normal(n)
    patterns = cx.Patterns.generated(X, g.standard_normal((d, P)))
    if loss == "logistic":
        y = np.where(y > np.median(y), 1.0, -1.0)
    slope = 0.5 * y if loss == "logistic" else y
    largest = np.linalg.norm(X.T @ (patterns.matrix * slope[:, None]), axis=0).max()
    return Instance(X, y, patterns, float(FRACTION * largest), loss)


def exact(data: Instance) -> cx.ReluTraining:
    """Return the exact program."""
    return cx.ReluTraining(data.X, data.y, beta=data.beta, loss=data.loss, patterns=data.patterns)


def gated(data: Instance) -> cx.GatedReluTraining:
    """Return the gated program."""
    return cx.GatedReluTraining(
        data.X, data.y, beta=data.beta, loss=data.loss, patterns=data.patterns
    )


def repeated(once: Callable[[], tuple[Answer, float]]) -> tuple[Answer, float]:
    """Run at least `REPEATS` times unless a run is long; return one answer and median seconds."""
    answer, elapsed = once()
    seconds = [elapsed]
    while len(seconds) < REPEATS and seconds[0] < LONG:
        answer, elapsed = once()
        seconds.append(elapsed)
    return answer, statistics.median(seconds)


class Graded(NamedTuple):
    """What a peer delivered, by our objective.

    Attributes
    ----------
    seconds, build_s : float
        Time of the solve and, apart, of its preparation.
    objective, violation : float
        Of the delivered network; the violation is relative to the largest ``|X v|``.
    """

    seconds: float
    build_s: float
    objective: float
    violation: float


class PeerError(RuntimeError):
    """A peer could not be run; the message says why."""


class Peer(NamedTuple):
    """A competitor that runs in its own environment."""

    name: str
    variable: str
    script: str

    def solve(self, data: Instance, settings: Sequence[str], limit_s: float) -> Graded:
        """Run the peer's script on an instance.

        Raises
        ------
        PeerError
            If its interpreter is not given, fails or takes more than `limit_s` seconds.
        """
        gates = data.patterns.generators
        assert gates is not None
        task = {"X": data.X, "y": data.y, "gates": gates, "beta": data.beta}
        found = self.answer(task, settings, limit_s)
        objective, violation = graded(data, found["weights"], found["gates"])
        seconds = statistics.median(found["seconds"].tolist())
        return Graded(seconds, float(found["build_s"]), objective, violation)

    def answer(
        self, task: Mapping[str, Any], settings: Sequence[str], limit_s: float
    ) -> dict[str, Array]:
        """Run the peer's script on named arrays and return those that it writes.

        Raises
        ------
        PeerError
            As in `solve`.
        """
        interpreter = os.environ.get(self.variable)
        if not interpreter:
            raise PeerError(f"{self.variable} is not set")
        single = {f"{kind}_NUM_THREADS": "1" for kind in ("OMP", "MKL", "OPENBLAS")}
        with TemporaryDirectory() as folder:
            problem, answer = Path(folder, "problem.npz"), Path(folder, "answer.npz")
            np.savez(problem, **task)
            command = [
                interpreter,
                str(HERE.parent / "peers" / self.script),
                str(problem),
                str(answer),
            ]
            try:
                subprocess.run(
                    [*command, *settings],
                    check=True,
                    capture_output=True,
                    text=True,
                    timeout=limit_s,
                    env=os.environ | single,
                )
            except subprocess.TimeoutExpired:
                raise PeerError(f"not done within {limit_s:.0f} s") from None
            except subprocess.CalledProcessError as error:
                lines = error.stderr.strip().splitlines()
                raise PeerError(lines[-1] if lines else f"exit {error.returncode}") from None
            except OSError as error:
                raise PeerError(f"{self.variable}: {error.strerror}") from None
            with np.load(answer) as found:
                return dict(found)


def graded(data: Instance, weights: Array, gates: Array) -> tuple[float, float]:
    """Return objective and violation of weights (1, d, P) of a gated network, (2, d, P) of a ReLU.

    A ReLU network is judged as what it is, whether or not its neurons keep to their patterns.
    """
    active = data.X @ gates > 0.0
    images = data.X @ weights
    violation = 0.0
    if len(weights) == 1:
        z = (active * images[0]).sum(axis=1)
    else:
        z = (np.maximum(images[0], 0.0) - np.maximum(images[1], 0.0)).sum(axis=1)
        outside = np.where(active, -images, images)
        violation = max(float(outside.max() / np.abs(images).max()), 0.0)
    penalty = data.beta * np.linalg.norm(weights, axis=1).sum()
    return float(0.5 * np.sum(np.square(z - data.y)) + penalty), violation


class Table:
    """Rows of one benchmark: kept as a CSV under results/ as they come, printed at the end."""

    def __init__(
        self, name: str, columns: Sequence[str], quick: bool, family: str = "relu"
    ) -> None:
        self.columns = list(columns)
        self.rows: list[list[str]] = []
        folder = HERE / "results"
        folder.mkdir(exist_ok=True)
        self.path = folder / f"{family}-{name}{'-quick' * quick}-{date.today().isoformat()}.csv"

    def add(self, **cells: object) -> None:
        """Add a row; columns that are not given stay empty."""
        unknown = cells.keys() - set(self.columns)
        if unknown:
            raise KeyError(f"no such columns: {sorted(unknown)}")
        self.rows.append([_text(cells.get(column, "")) for column in self.columns])
        with self.path.open("w", newline="") as file:
            file.write(f"# {machine()}\n")
            csv.writer(file, lineterminator="\n").writerows([self.columns, *self.rows])

    def show(self) -> None:
        """Print the table, aligned."""
        lines = [self.columns, *self.rows]
        widths = [max(len(line[j]) for line in lines) for j in range(len(self.columns))]
        print(f"# {machine()}")
        for line in lines:
            print("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip())


def machine() -> str:
    """Describe processor and versions in a line."""
    model = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":")[1].strip() if names else model
    packages = ", ".join(f"{p} {version(p)}" for p in ("convexnn", "numpy", "cvxpy", "clarabel"))
    return (
        f"{model}, {os.cpu_count()} cores, 1 thread used; "
        f"python {platform.python_version()}, {packages}"
    )


def cpu_seconds(work: Callable[[], Answer]) -> tuple[Answer, float]:
    """Return an answer and the processor seconds it took: fair on a machine that is shared."""
    begin = time.process_time()
    answer = work()
    return answer, time.process_time() - begin


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the exponent ``b`` of the least-squares fit ``y = a x^b``."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def _text(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:.3g}" if abs(cell) < 1e4 else f"{cell:.6g}"
    return str(cell)

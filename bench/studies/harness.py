"""What the benchmarks share: instances, peers in their own environments, timing and tables."""

from __future__ import annotations

import csv
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

import convexnn as cx
from convexnn.bench.peers import run
from convexnn.bench.translation import primal, task
from convexnn.contract.arrays import Array

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
        Of the delivered network; a ReLU network is judged as what it is, whether or not its
        neurons keep to their patterns. The violation is relative to the largest ``|X v|``.
    """

    seconds: float
    build_s: float
    objective: float
    violation: float


def solve_peer(name: str, problem: Any, settings: Sequence[str], limit_s: float) -> Graded:
    """Run a peer on a problem, processor seconds counted, and grade what it delivers.

    Raises
    ------
    PeerError
        If it is not there, fails or takes more than `limit_s` seconds.
    """
    found = run(name, task(problem), ("--repeats", str(REPEATS), *settings), limit_s)
    point = primal(problem, found.arrays)
    grade = problem.certify(point, problem.initial()[1])
    return Graded(found.cpu, found.build, problem.objective(point), grade.violation)


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


def kept_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table; none if there is none."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


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

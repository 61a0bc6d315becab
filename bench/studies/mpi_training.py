"""Strong scaling of `mpi:fista`: seconds a step in 1, 2 and 4 processes, and the share exchanging.

``python bench/studies/mpi_training.py [--quick]`` prints one table and keeps it as a CSV in
bench/studies/results. ``... mpi_training.py KIND N D P STEPS`` is one measurement, started plainly
or under mpiexec: it prints seconds a step by the clock and the share that the first process
spends in exchanges, waiting included. See bench/studies/README.md.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from harness import HERE, Size, Table, exact, gated, instance

from convexnn.contract.backend import Options
from convexnn.contract.system.processes import mpi_missing, mpiexec, rank
from convexnn.relu.forms import GroupForm
from convexnn.solvers.exchange import Serial
from convexnn.solvers.mpi import as_root
from convexnn.solvers.relu import fista
from convexnn.solvers.relu.fista import accelerate
from convexnn.solvers.relu.sharded_fista import NO_EDGES, SHARDS, Sharded, warm_up

if TYPE_CHECKING:
    from convexnn.solvers.exchange import Exchange

CASES = (("gated", Size(5_000, 50, 200), 80), ("exact", Size(1_000, 20, 100), 200))
PROCESSES = (1, 2, 4)
TURNS = 5
PLAIN = "CONVEXNN_STUDY_PLAIN"  # set for the engine that knows no shards
EXCHANGES = ("gather", "deal", "agree")


class Timed:
    """A transport whose exchanges are timed."""

    def __init__(self, talk: Exchange) -> None:
        self.talk = talk
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.talk, name)
        if name not in EXCHANGES:
            return found

        def timed(*given: Any) -> Any:
            begin = time.perf_counter()
            answer = found(*given)
            self.seconds += time.perf_counter() - begin
            return answer

        return timed


class Mark(NamedTuple):
    """What the clocks show at a report."""

    step: int
    seconds: float
    exchanging: float


class Watch:
    """A reporter that is never satisfied and grades nothing."""

    def __init__(self, talk: Any) -> None:
        self.talk, self.marks = talk, list[Mark]()

    def report(self, iteration: int, primal: Any, dual: Any) -> bool:
        """Read the clocks."""
        self.marks.append(Mark(iteration, time.perf_counter(), self.talk.seconds))
        return False

    def expired(self) -> bool:
        """Return False."""
        return False

    def remaining(self) -> float | None:
        """Return None."""
        return None


def transport() -> Exchange:
    """Return that of MPI under mpiexec, else the serial one."""
    if rank() is None:
        return Serial(NO_EDGES, SHARDS)
    from mpi4py import MPI

    from convexnn.solvers.mpi_worker import MpiTransport

    return MpiTransport(MPI.COMM_WORLD, NO_EDGES, SHARDS, "shards")


def measure(kind: str, size: Size, steps: int) -> None:
    """Run so many steps, and print what the clocks say between the first report and the last."""
    data = instance(size)
    form: GroupForm = (gated if kind == "gated" else exact)(data).canonical(GroupForm)
    warm_up(form)
    talk: Any = Timed(transport())
    watch, options = Watch(talk), Options(0.0, steps, 0, {})
    if PLAIN in os.environ:
        fista.run(form, fista.DEFAULTS, options, watch, None)
    else:
        products = Sharded(form, talk, SHARDS)
        accelerate(form, lambda _: products, products, "float64", options, watch, None, talk)
    first, last = watch.marks[0], watch.marks[-1]
    seconds = last.seconds - first.seconds
    if talk.rank == 0:
        print(seconds / (last.step - first.step), (last.exchanging - first.exchanging) / seconds)


def scaling(quick: bool) -> Table:
    """Measure each case in turns, and keep the best of each."""
    columns = ("program", "size", "processes", "step_ms", "exchange", "speedup", "note")
    table = Table("training", columns, quick, "mpi")
    missing = mpi_missing()
    for kind, size, steps in CASES:
        found: dict[int, list[tuple[float, float]]] = {count: [] for count in (0, *PROCESSES)}
        for _ in range(1 if quick else TURNS):
            for count in found:
                if count < 2 or missing is None:
                    found[count].append(_started(count, kind, *size, steps // (2 if quick else 1)))
        one = min(found[1])[0]
        for count, runs in found.items():
            cells: dict[str, object] = {"note": f"skipped: {missing}"}
            if runs:
                seconds, share = min(runs)
                note = "" if count else "fista, no shards"
                cells = {"step_ms": 1e3 * seconds, "exchange": share, "note": note}
                cells["speedup"] = one / seconds
            table.add(program=kind, size=str(size), processes=count or 1, **cells)
    return table


def _started(processes: int, *words: object) -> tuple[float, float]:
    command = [sys.executable, __file__, *map(str, words)]
    if processes > 1:
        command = [mpiexec() or "mpiexec", *as_root(), "-n", str(processes), *command]
    asked = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} | (
        {} if processes else {PLAIN: "1"}
    )
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | asked,
        timeout=300.0,
        cwd=HERE,
    )
    seconds, share = map(float, done.stdout.split())
    return seconds, share


if __name__ == "__main__":
    if len(sys.argv) > 2:
        n, d, P, steps = map(int, sys.argv[2:])
        measure(sys.argv[1], Size(n, d, P), steps)
    else:
        scaling("--quick" in sys.argv).show()

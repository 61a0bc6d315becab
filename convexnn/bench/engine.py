"""Run a family's sweep through benchopt: resumable, in parallel, whatever a run does."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from convexnn.bench.cases.case import FAMILIES, LEVELS, Case, pick
from convexnn.bench.peers import PEERS, missing
from convexnn.bench.report.frame import OWN, absence, tidy, write
from convexnn.bench.report.page import write_report
from convexnn.contract.backend import BackendError, registry
from convexnn.contract.checks import ProblemError, choice, positive, positive_int
from convexnn.contract.system.optional import need
from convexnn.driver.choice import backends as table_of
from convexnn.driver.solve import versions

if TYPE_CHECKING:
    import pandas as pd

PACKAGE = Path(__file__).parents[1]
LIMITS = {"quick": 4.0, "default": 6.0, "full": 60.0}  # seconds of a run
TOL = 1e-6
SINGLE = {f"{kind}_NUM_THREADS": "1" for kind in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
MEASURES = (  # parts that results rest on
    *("base", "cases", "grading", "tables", "worker", *FAMILIES),
    *("peers", "processes", "rival", "translation"),
)
LINKS = ("problems", "solvers")  # of a checkout's package, which rglob does not follow
DULL = ("obj_description", "solver_description", "file_objective", "file_solver", "file_dataset")

LOST = "it ended without an answer, see the sweep's output; running the sweep again tries it again"

SLOW = "slow to start and so left out of --quick; name it with --peers"


class Sweep(NamedTuple):
    """What is asked of a sweep; see `run`."""

    family: str
    level: str = "default"
    backends: Sequence[str] | None = None
    datasets: Sequence[str] | None = None
    peers: Sequence[str] | None = None
    tol: float = TOL
    limit: float | None = None
    repeats: int = 1
    jobs: int = 1
    parallel: Path | None = None
    folder: Path | None = None
    command: str = ""


class Group(NamedTuple):
    """Instances that the same backends can take."""

    cases: list[Case]
    backends: tuple[str, ...]


def run(asked: Sweep) -> Path:
    """Run a sweep, or what is left of it, and write results and report.

    Parameters
    ----------
    asked : Sweep
        ``family`` and ``level`` choose the instances, unless ``datasets`` names sources or
        instances; ``backends`` and ``peers`` choose who runs, all if None. Each run may take
        ``limit`` seconds to the certified gap ``tol``. ``jobs`` processes share the runs, or what
        the YAML file ``parallel`` says. ``folder`` keeps runs, results and report; ``command`` is
        noted in them.

    Returns
    -------
    Path
        Of ``report.html``; ``results.parquet``, ``machine.json`` and figures are beside it.

    Raises
    ------
    ProblemError
        If a family, level, data set, peer or number is wrong, or the folder cannot be written.
    BackendError
        If there is no such backend, or none that takes any of the instances.
    """
    benchmark = located(choice("family", asked.family, FAMILIES))
    chosen = pick(asked.family, asked.level, asked.datasets)
    reasons = {case.instance: case.missing() for case in chosen}
    rivals = known_peers(asked.family, asked.peers)
    limit = LIMITS[choice("level", asked.level, LEVELS)] if asked.limit is None else asked.limit
    settings: dict[str, Any] = {
        "tol": positive("tol", asked.tol),
        "limit": positive("time_limit", limit),
        "version": f"{versions()['convexnn']} {digest()}",
    }
    positive_int("repeats", asked.repeats)
    positive_int("jobs", asked.jobs)
    groups = grouped([c for c in chosen if not reasons[c.instance]], asked.backends)
    parallel = configured(asked.parallel)
    folder = writable(asked.folder or Path("bench-results") / asked.family)
    machine = described(asked.command)
    (folder / "machine.json").write_text(json.dumps(machine, indent=2) + "\n")
    absent = missing(rivals)
    if asked.level == "quick" and asked.peers is None:
        absent |= {name: SLOW for name in rivals if PEERS[name].slow and name not in absent}
    ready = [name for name in rivals if name not in absent]
    with quiet_environment(folder / "cache"):
        parts = [
            part
            for k, group in enumerate(groups)
            for part in _through_benchopt(
                benchmark, group, ready, settings, asked, parallel, folder / "cache" / f"part-{k}"
            )
        ]
    raw = _whole(parts, chosen, groups, reasons, ready, absent, asked)
    write(raw, folder / "results.parquet")
    return write_report(
        tidy(raw), folder, family=asked.family, command=asked.command, machine=machine
    )


def located(family: str) -> Path:
    """Return the folder of a family's benchmark, which is part of the checkout."""
    folder = PACKAGE.parent / "bench" / family
    if not (folder / "objective.py").is_file():
        raise ProblemError(
            f"the sweeps need the project's folder bench/, {folder} does not exist: run from a "
            "checkout installed with: pip install -e '.[bench]'"
        )
    return folder


def known_peers(family: str, asked: Sequence[str] | None) -> list[str]:
    """Return the peers of a family that are asked for, all of its own if None."""
    able = [peer.name for peer in PEERS.values() if family in peer.families]
    return able if asked is None else [choice("peers", name, able) for name in asked]


def grouped(chosen: Iterable[Case], asked: Sequence[str] | None) -> list[Group]:
    """Return the instances by the backends that can take them; "auto" can take all.

    Raises
    ------
    BackendError
        If a name does not exist, or can take none of the instances.
    """
    known = ["auto", *registry()]
    for name in asked or ():
        if name not in known:
            raise BackendError(f"backends must be among {', '.join(known)}, got {name!r}")
    groups: dict[tuple[str, ...], list[Case]] = {}
    every: set[str] = set()
    for case in chosen:
        able = ["auto", *table_of(case.tiny()).names]
        every.update(able)
        taken = tuple(name for name in able if asked is None or name in asked)
        groups.setdefault(taken, []).append(case)
    used = {name for taken in groups for name in taken}
    idle = [name for name in asked or () if name not in used]
    if idle and every:
        raise BackendError(
            f"backend {idle[0]!r} takes none of the instances; able: {', '.join(sorted(every))}"
        )
    return [Group(cases, taken) for taken, cases in groups.items()]


def writable(folder: Path) -> Path:
    """Return the folder, made if need be, or raise `ProblemError` if it cannot be written."""
    probe = folder / f".probe.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ProblemError(
            f"out must be a folder that can be written, got {folder}: {error}"
        ) from error
    return folder.resolve()


def configured(path: Path | None) -> dict[str, Any] | None:
    """Return benchopt's parallel configuration from a YAML file."""
    if path is None:
        return None
    try:
        found = need("yaml", "bench").safe_load(path.read_text())
    except Exception as error:
        raise ProblemError(
            f"parallel must be a YAML file, {path} cannot be read: {error}"
        ) from error
    kinds = ("loky", "dask", "submitit")
    if not isinstance(found, dict) or found.get("backend") not in kinds:
        raise ProblemError(f"{path} must have an entry 'backend', one of {', '.join(kinds)}")
    return found


def described(command: str) -> dict[str, str]:
    """Return the machine, the versions and the command that made a sweep's results."""
    from importlib.metadata import version

    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    memory = ""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": command,
        "processor": model,
        "cores": str(os.cpu_count()),
        "memory": memory,
        "threads": "1 a run",
        "system": f"{platform.system()} {platform.release()}",
        **versions(),
        **{name: version(name) for name in ("clarabel", "scs", "osqp", "benchopt")},
        "sources": digest(),
    }


@cache
def digest() -> str:
    """Return a digest of the sources that results rest on: with an edit they are run again."""
    sha = hashlib.sha256()
    for path in sorted(sources()):
        sha.update(path.read_bytes())
    return sha.hexdigest()[:12]


def sources() -> Iterator[Path]:
    """Yield the files that results rest on."""
    folders = [PACKAGE, *(PACKAGE / link for link in LINKS)]
    for path in {path for folder in folders for path in folder.rglob("*.py")}:
        room, *rest = path.relative_to(PACKAGE).parts
        if room == "bench" and rest:
            taken = path.stem in MEASURES
        else:
            taken = room not in ("commands", "cli.py", "__main__.py")
        if taken:
            yield path
    yield from (PACKAGE.parent / "bench" / "peers").glob("*.py")


@contextmanager
def quiet_environment(cache: Path) -> Iterator[None]:
    """Keep benchopt's runs in `cache`, and give every process that starts here one thread."""
    wanted = {**SINGLE, "BENCHOPT_CACHE": str(cache)}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _through_benchopt(
    benchmark: Path,
    group: Group,
    peers: Sequence[str],
    settings: Mapping[str, Any],
    asked: Sweep,
    parallel: dict[str, Any] | None,
    part: Path,
) -> list[pd.DataFrame]:
    """Run a group, or what is left of it; return its rows."""
    runner = need("benchopt", "bench").run_benchmark
    read = need("benchopt.results", "bench").read_results
    sources: dict[str, dict[str, list[str]]] = {}
    for case in group.cases:
        sources.setdefault(case.source, {"case": []})["case"].append(case.instance)
    solvers: list[Any] = [*peers]
    if group.backends:
        solvers.append({OWN: {"backend": list(group.backends)}})
    if not solvers:
        return []
    fixed = {name: [value] for name, value in settings.items()}
    output = part.with_suffix(".parquet")
    output.unlink(missing_ok=True)
    wanted: dict[str, Any] = {
        "solver_names": solvers,
        "dataset_names": [sources],
        "objective_filters": [{f"convexnn {asked.family}": fixed}],
        "n_repetitions": asked.repeats,
        "plot_result": False,
        "show_progress": sys.stdout.isatty(),
        "output_file": str(output),
    }
    shared: dict[str, Any] = {"n_jobs": asked.jobs} if parallel is None else {}
    try:
        runner(benchmark, parallel_config=parallel and dict(parallel), **shared, **wanted)
    except BrokenExecutor as error:
        print(f"a process of the sweep died, its runs are left out: {error}", file=sys.stderr)
        with suppress(RuntimeError):
            runner(benchmark, collect=True, **wanted)
    except RuntimeError as error:  # benchopt's own, where no run has an answer
        print(f"no run has an answer: {error}", file=sys.stderr)
    return [read(output)] if output.exists() else []


def _whole(
    parts: Sequence[pd.DataFrame],
    chosen: Sequence[Case],
    groups: Sequence[Group],
    reasons: Mapping[str, str],
    ready: Sequence[str],
    absent: Mapping[str, str],
    asked: Sweep,
) -> pd.DataFrame:
    """Return all rows, with one for each run that was left out or has none."""
    pandas = need("pandas", "bench")
    raw: pd.DataFrame = pandas.concat(parts, ignore_index=True) if parts else pandas.DataFrame()
    raw = raw.drop(columns=[name for name in DULL if name in raw])
    done = set()
    if len(raw):
        solver = raw["solver_name"].where(
            raw["solver_name"].str.startswith(f"{OWN}["), raw["solver_name"].str.partition("[")[0]
        )
        done = set(zip(raw["objective_instance"], solver, strict=True))
    rows: list[dict[str, Any]] = []
    by_name = {case.instance: group.backends for group in groups for case in group.cases}
    for case in chosen:
        labels = case.labels | {"family": asked.family}
        if reasons[case.instance]:
            rows.append(absence(labels, "auto", False, "SKIPPED", reasons[case.instance]))
            continue
        rows += [absence(labels, name, True, "SKIPPED", why) for name, why in absent.items()]
        for name in by_name[case.instance]:
            if (case.instance, f"{OWN}[{name}]") not in done:
                rows.append(absence(labels, name, False, "CRASHED", LOST))
        for name in ready:
            if (case.instance, name) not in done:
                rows.append(absence(labels, name, True, "CRASHED", LOST))
    if rows:
        raw = pandas.concat([raw, pandas.DataFrame(rows)], ignore_index=True)
    return raw

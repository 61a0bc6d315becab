"""``convexnn bench check``: random instances of every problem, every capable backend."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from typer import Exit, Option

from convexnn.bench.check import Check, Settings, indices_of, unfinished
from convexnn.bench.check import check as sweep
from convexnn.bench.instances import FAMILIES
from convexnn.commands.report import WIDE
from convexnn.contract.checks import ProblemError, seed_of
from convexnn.driver.tables import fitting

SHOWN = 60  # characters of a message

Instances = Annotated[int, Option(help="how many, families in turn")]
Seed = Annotated[int, Option(help="of the instances")]
Family = Annotated[list[str] | None, Option(help=f"{', '.join(FAMILIES)}; all if left out")]
Only = Annotated[int | None, Option(help="the one instance of this index", min=0)]
Jobs = Annotated[int, Option(help="processes")]
Out = Annotated[
    Path | None,
    Option(help=".parquet or .csv file of the answers; after a kill the same command goes on"),
]
Tol = Annotated[float, Option(help="certified relative gap to reach")]
Limit = Annotated[float, Option("--time-limit", help="seconds for each backend on each instance")]
Hostile = Annotated[
    int | None,
    Option(help="try so many wrong arguments of everything public instead", min=1),
]
Files = Annotated[int | None, Option(help="read so many damaged files of solutions instead", min=1)]
Mangled = Annotated[int | None, Option(help="certify so many mangled points instead", min=1)]
Signals = Annotated[int | None, Option(help="send so many signals to runs instead", min=1)]
Kills = Annotated[int | None, Option(help="kill so many runs with checkpoints instead", min=1)]
Mpi = Annotated[bool, Option("--mpi", help="also the backends mpi:*, each run of which starts MPI")]


def check(
    instances: Instances = 1000,
    seed: Seed = 0,
    family: Family = None,
    only: Only = None,
    jobs: Jobs = 1,
    out: Out = None,
    tol: Tol = 1e-5,
    time_limit: Limit = 5.0,
    mpi: Mpi = False,
    hostile: Hostile = None,
    mangled: Mangled = None,
    files: Files = None,
    signals: Signals = None,
    kills: Kills = None,
) -> None:
    """Solve random instances with every capable backend; exit with 1 if two answers contradict.

    The backends mpi:* run only with --mpi. With --hostile, wrong arguments are given to everything
    public in the place of instances; exit with 1 if one is taken, or refused by another error than
    one that names it. With --mangled, points of random problems are changed in all ways and
    certified; exit with 1 if a bound is above the objective of any point, if a figure is no number,
    or after an error. With --files, damaged files are read; exit with 1 if one of them is refused
    by another error than the named one, takes long or much memory, or says what is not so. With
    --signals and --kills, runs are interrupted at random moments, or killed and called again; exit
    with 1 if an answer is lost, late or worse than one that was known.
    """
    if signals is not None or kills is not None:
        interrupted(signals or 0, kills or 0, seed)
        return
    if mangled is not None:
        judged(mangled, seed)
        return
    if files is not None:
        damaged(files, seed)
        return
    if hostile is not None:
        misused(hostile, seed)
        return
    settings = Settings(seed, tol, time_limit, mpi)
    indices = indices_of(instances, family) if only is None else [only]
    with progress() as bar:
        task = bar.add_task("instances", total=len(indices))
        try:
            found = sweep(
                settings, indices, jobs=jobs, out=out, on_done=lambda _: bar.advance(task)
            )
        except KeyboardInterrupt:
            kept = "" if out is None else "; the same command goes on"
            print(f"interrupted after {bar.tasks[0].completed:g} instances{kept}")
            raise Exit(130) from None
    if not found.rows:
        raise ProblemError("no instance has a backend")
    report(found, one=only is not None)
    if not found.passed:
        raise Exit(1)


def progress() -> Progress:
    """Return a bar of what is done, on the standard error."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)


def misused(count: int, seed: int) -> None:
    """Try wrong arguments, print what was not refused as it should be, and the counts."""
    from convexnn.bench.hostile import VERDICTS, campaign

    with progress() as bar:
        task = bar.add_task("wrong arguments", total=count)
        found = campaign(count, seed_of(seed), lambda: bar.advance(task))
    for one in found:
        if one.verdict not in ("refused", "slow"):
            print(f"{one.verdict}: {one.call}({one.parameter}={one.value}): {one.said}")
    counts = {verdict: sum(one.verdict == verdict for one in found) for verdict in VERDICTS}
    print(
        f"{count} wrong arguments: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
    )
    if counts["accepted"] + counts["raw"] + counts["unnamed"]:
        raise Exit(1)


def judged(count: int, seed: int) -> None:
    """Certify mangled points, print what does not hold, and the counts."""
    from convexnn.bench.mangled import GOOD, VERDICTS, campaign

    with progress() as bar:
        task = bar.add_task("mangled points", total=count)
        found = campaign(count, seed_of(seed), lambda: bar.advance(task))
    for one in found:
        if one.verdict not in GOOD:
            print(
                f"{one.verdict}: problem {one.number} ({one.family}, {one.instance}), "
                f"{one.mangled}: {one.said}"
            )
    counts = {verdict: sum(one.verdict == verdict for one in found) for verdict in VERDICTS}
    print(f"{count} mangled points: " + ", ".join(f"{n} {v}" for v, n in counts.items()))
    if count > sum(counts[verdict] for verdict in GOOD):
        raise Exit(1)


def damaged(count: int, seed: int) -> None:
    """Read damaged files, print what was not refused or read as it should be, and the counts."""
    from convexnn.bench.damage import GOOD, VERDICTS, campaign

    with progress() as bar:
        task = bar.add_task("damaged files", total=count)
        found = campaign(count, seed_of(seed), lambda: bar.advance(task))
    for one in found:
        if one.verdict not in GOOD:
            print(f"{one.verdict}: {one.family}, {one.damage}: {one.said}")
    counts = {verdict: sum(one.verdict == verdict for one in found) for verdict in VERDICTS}
    print(f"{count} damaged files: " + ", ".join(f"{n} {v}" for v, n in counts.items()))
    if count > sum(counts[verdict] for verdict in GOOD):
        raise Exit(1)


def interrupted(signals: int, kills: int, seed: int) -> None:
    """Interrupt and kill runs, print what was lost, and the counts."""
    from convexnn.bench.signals import GOOD, VERDICTS, campaign, killed

    found = []
    for what, count, run in (("signals", signals, campaign), ("kills", kills, killed)):
        with progress() as bar:
            task = bar.add_task(what, total=count)
            these = run(count, seed_of(seed), partial(bar.advance, task))
        found += these
        for one in these:
            if one.verdict not in GOOD:
                print(
                    f"{one.verdict}: {one.job}, {one.signal} after {one.after:.2f} s, took "
                    f"{one.took:.2f} s: {one.said}"
                )
        counts = {verdict: sum(one.verdict == verdict for one in these) for verdict in VERDICTS}
        print(f"{count} {what}: " + ", ".join(f"{n} {v}" for v, n in counts.items()))
    if any(one.verdict not in GOOD for one in found):
        raise Exit(1)


def report(found: Check, *, one: bool = False) -> None:
    """Print the largest disagreements, what is not OPTIMAL, and the verdict."""
    console = Console()
    if not console.is_terminal:
        console = Console(file=console.file, width=WIDE)
    if one:
        console.print(found.rows[0]["instance"], markup=False)
        cells = [answer_cells(row) for row in found.rows]
        console.print(*fitting(cells, list(cells[0]), console.width, least=len(cells[0])))
    else:
        cells = family_cells(found)
        console.print(*fitting(cells, list(cells[0]), console.width, least=len(cells[0])))
    for pair in found.silent:
        console.print(
            f"silent disagreement: instance {pair.number} ({pair.family}, {pair.instance}): the "
            f"bound of {pair.high} is above the objective of {pair.low} by {pair.excess:.1e}, "
            f"its violation {pair.violation:.1e}",
            markup=False,
        )
    if not one:
        for (family, backend, status, message), at in sorted(unfinished(found.rows).items()):
            where = ", ".join(map(str, at[:3])) + (", ..." if len(at) > 3 else "")
            console.print(
                f"{status}: {family}, {backend}: {len(at)} ({where}) {message[:SHOWN]}",
                markup=False,
            )
    total = len({row["index"] for row in found.rows})
    console.print(
        f"{total} instances, {len(found.rows)} answers, {len(found.silent)} silent disagreements, "
        f"{len(found.crashed)} crashed",
        markup=False,
    )


def answer_cells(row: dict[str, object]) -> dict[str, str]:
    """Return the cells of an answer."""
    shown = {name: f"{row[name]:.9g}" for name in ("objective", "bound")}
    shown |= {name: f"{row[name]:.1e}" for name in ("gap", "violation")}
    return {
        "backend": str(row["backend"]),
        "status": str(row["status"]),
        **shown,
        "seconds": f"{row['seconds']:.3f}",
        "message": str(row["message"])[:SHOWN],
    }


def family_cells(found: Check) -> list[dict[str, str]]:
    """Return the cells of each family: how many, and its least room."""
    table = []
    for family in FAMILIES:
        rows = [row for row in found.rows if row["family"] == family]
        if not rows:
            continue
        worst = max(
            (pair for pair in found.worst if pair.family == family),
            key=lambda pair: pair.excess - pair.room,
            default=None,
        )
        table.append(
            {
                "family": family,
                "instances": str(len({row["index"] for row in rows})),
                "answers": str(len(rows)),
                "not OPTIMAL": str(sum(row["status"] != "OPTIMAL" for row in rows)),
                "seconds": f"{np.nansum([row['seconds'] for row in rows]):.1f}",
                "worst excess": "" if worst is None else f"{worst.excess:.1e}",
                "objective of": "" if worst is None else worst.low,
                "bound of": "" if worst is None else worst.high,
                "instance": "" if worst is None else str(worst.number),
            }
        )
    return table

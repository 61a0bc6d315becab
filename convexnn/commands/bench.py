"""``convexnn bench relu|robust|wasserstein|median``, and the report of results that are there."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from convexnn.commands.options import listed
from convexnn.contract.checks import ProblemError

Quick = Annotated[bool, Option("--quick", help="a small set, done within 3 minutes")]
Full = Annotated[bool, Option("--full", help="every instance, growth over two decades included")]
Backends = Annotated[
    str,
    Option(help='names from: convexnn backends, or "auto", separated by commas; all if left out'),
]
Datasets = Annotated[
    str, Option(help="names of sources or of instances, separated by commas; see bench/README.md")
]
Peers = Annotated[str, Option(help="names, separated by commas; all of the family if left out")]
NoPeers = Annotated[bool, Option("--no-peers", help="run no peer")]
Tol = Annotated[float, Option(help="certified relative gap to reach")]
Limit = Annotated[
    float | None, Option("--time-limit", help="seconds of each run; by the set if left out")
]
Data = Annotated[
    Path | None,
    Option(help="folder of .npz files X, y, the source `folder`; or CONVEXNN_BENCH_DATA"),
]
Repeats = Annotated[int, Option(help="runs of each, of which the report takes the median")]
Jobs = Annotated[int, Option(help="processes that share the runs")]
Parallel = Annotated[Path | None, Option(help="YAML file of benchopt: joblib, dask or SLURM")]
Out = Annotated[
    Path | None, Option(help="folder of results, where a sweep goes on; bench-results/FAMILY")
]
Folder = Annotated[Path, Argument(help="folder that a sweep wrote")]


def of(family: str) -> Callable[..., None]:
    """Return the command that sweeps a family."""

    def sweep(
        quick: Quick = False,
        full: Full = False,
        backends: Backends = "",
        datasets: Datasets = "",
        peers: Peers = "",
        no_peers: NoPeers = False,
        tol: Tol = 1e-6,
        time_limit: Limit = None,
        repeats: Repeats = 1,
        jobs: Jobs = 1,
        parallel: Parallel = None,
        out: Out = None,
        data: Data = None,
    ) -> None:
        from convexnn.bench import engine
        from convexnn.bench.cases import tables

        if data is not None:  # through the environment, so that every process of the sweep knows
            os.environ[tables.FOLDER] = str(data.resolve())
        if quick and full:
            raise ProblemError("--quick and --full exclude each other")
        if no_peers and peers:
            raise ProblemError("--peers and --no-peers exclude each other")
        asked = engine.Sweep(
            family,
            "quick" if quick else "full" if full else "default",
            listed(backends),
            listed(datasets),
            [] if no_peers else listed(peers),
            tol,
            time_limit,
            repeats,
            jobs,
            parallel,
            out,
            shlex.join(["convexnn", *sys.argv[1:]]),
        )
        print(f"report: {engine.run(asked)}")

    sweep.__doc__ = f"Run every backend and peer on the instances of {family}; write a report."
    return sweep


def report(folder: Folder) -> None:
    """Write the report of a sweep's results again."""
    from convexnn.bench.report.frame import read
    from convexnn.bench.report.page import write_report

    frame = read(folder)
    try:
        machine = json.loads((folder / "machine.json").read_text())
        command = str(machine["command"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ProblemError(
            f"{folder / 'machine.json'} cannot be read; it is beside the results of a sweep, and "
            f"running the sweep again writes it: {error}"
        ) from error
    family = str(frame["family"].iloc[0])
    print(f"report: {write_report(frame, folder, family=family, command=command, machine=machine)}")

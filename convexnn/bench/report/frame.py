"""The tidy frame of a sweep: one row for each graded point of a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.checks import ProblemError
from convexnn.contract.system.optional import need

if TYPE_CHECKING:
    import pandas as pd

OWN = "convexnn"  # the solver file that stands for every backend
NUMBERS = (
    *("varied", "n", "d", "size", "seconds", "cpu", "compile", "certify"),
    *("objective", "bound", "gap", "violation"),
)
TEXTS = ("family", "instance", "series", "status", "message")
COLUMNS = (
    *("family", "instance", "series", "varied", "n", "d", "size", "backend", "peer", "repeat"),
    *("seconds", "cpu", "compile", "certify", "objective", "bound", "gap", "violation"),
    *("status", "message", "final"),
)
RAW = ("solver_name", "idx_rep", "p_solver_backend")


def read(path: str | Path) -> pd.DataFrame:
    """Read the results of a sweep.

    Parameters
    ----------
    path : path
        ``results.parquet``, or the folder that holds it.

    Returns
    -------
    DataFrame
        With the columns `COLUMNS`, see ``bench/README.md``.

    Raises
    ------
    ProblemError
        If there is no such file, or it is not whole, or not of a sweep.
    """
    file = Path(path)
    file = file / "results.parquet" if file.is_dir() else file
    if not file.is_file():
        raise ProblemError(
            f"results must be a file that a sweep wrote, {str(file)!r} does not exist"
        )
    try:
        raw = need("pandas", "bench").read_parquet(file)
    except ImportError:
        raise
    except Exception as error:  # of pyarrow, of many kinds
        raise ProblemError(
            f"results {str(file)!r} cannot be read, perhaps a write was cut short: run the same "
            f"sweep again, which rebuilds the file from the runs it keeps ({error})"
        ) from error
    missing = [name for name in (*RAW, *(f"objective_{c}" for c in TEXTS)) if name not in raw]
    if missing:
        raise ProblemError(f"results {str(file)!r} must be of a sweep, it has no {missing[0]!r}")
    return tidy(raw)


def tidy(raw: pd.DataFrame) -> pd.DataFrame:
    """Return the columns `COLUMNS` of benchopt's table, whose own are ``objective_*``."""
    graded = [c for c in map(str, raw) if c.startswith("objective_") and c != "objective_name"]
    frame = raw[graded]
    frame = frame.rename(columns=lambda c: c.removeprefix("objective_"))
    own = raw["solver_name"].str.partition("[")[0] == OWN
    solver = raw["solver_name"].str.partition("[")[0]
    frame = frame.assign(
        backend=np.where(own, raw["p_solver_backend"], solver),
        peer=~own,
        repeat=raw["idx_rep"].astype(int),
        final=frame["final"].astype(bool),
        **{name: frame[name].astype(float) for name in NUMBERS},
        **{name: frame[name].fillna("").astype(str) for name in TEXTS},
    )
    keys = ["family", "series", "varied", "instance", "peer", "backend", "repeat"]
    result: pd.DataFrame = frame[list(COLUMNS)].sort_values(
        keys, kind="stable", na_position="first", ignore_index=True
    )
    return result


def absence(labels: dict[str, Any], backend: str, peer: bool, status: str, why: str) -> Any:
    """Return a row of benchopt's table for a run that has none."""
    row: dict[str, Any] = dict.fromkeys((f"objective_{name}" for name in NUMBERS), np.nan)
    row |= {f"objective_{name}": value for name, value in labels.items()}
    row |= {"objective_status": status, "objective_message": why, "objective_final": True}
    name = backend if peer else f"{OWN}[{backend}]"
    return row | {
        "solver_name": name,
        "p_solver_backend": None if peer else backend,
        "idx_rep": 0,
    }


def write(raw: pd.DataFrame, path: Path) -> None:
    """Write a table through a temporary file, so that no crash leaves half of it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        raw.to_parquet(partial, index=False)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)

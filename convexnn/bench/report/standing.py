"""The README's table: rivals against ours over the sweeps that are kept.

``python -m convexnn.bench.standing bench/results`` prints it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from convexnn.bench.cases.case import FAMILIES
from convexnn.bench.report.frame import read
from convexnn.bench.report.measures import graded, times
from convexnn.bench.report.ratios import ratios

ROUGH, FINE = 1e-3, 1e-6
NAMES = {
    "raw-cvxpy": "CVXPY by hand, Clarabel",
    "raw-cvxpy-scs": "CVXPY by hand, SCS",
    "scipy-lbfgs": "L-BFGS (SciPy)",
    "geom_median-torch": "geom_median (torch)",
    "skwdro-entropic": "skwdro (entropic)",
}
HEADINGS = (
    "family",
    "rival",
    "instances",
    "to 1e-3",
    "to 1e-6",
    "both",
    "ours alone",
    "rival alone",
    "neither",
    "rival faster",
)


def kept(folder: Path, family: str) -> Path:
    """Return the latest sweep of a family in a folder of files FAMILY-DATE.parquet."""
    return sorted(folder.glob(f"{family}-*.parquet"))[-1]


def standing(folder: Path) -> str:
    """Return the ratios to every rival as a table in Markdown, all families below each other.

    Parameters
    ----------
    folder : Path
        It has a file FAMILY-DATE.parquet for each family; the latest counts.
    """
    rows = []
    for family in FAMILIES:
        table = times(graded(read(kept(folder, family))), (ROUGH, FINE))
        table = table[(table["peer"] > 0) | (table["backend"] == "auto")]
        rough, fine = (ratios(table, target) for target in (ROUGH, FINE))
        for coarse, row in zip(rough.to_dict("records"), fine.to_dict("records"), strict=True):
            ran = row["pairs"] - row["skipped"]
            if ran == 0:
                continue
            counts = [ran, row["both"], row["only_ours"], row["only_rival"], row["neither"]]
            counts.append(row["lost"] - row["only_rival"])
            first, *rest = (str(count) for count in counts)
            name = NAMES.get(row["rival"], row["rival"])
            rows.append((family, name, first, span(coarse), span(row), *rest))
    head, *body = (f"| {' | '.join(row)} |" for row in (HEADINGS, *rows))
    return "\n".join([head, "|" + "---|" * len(HEADINGS), *body])


def span(row: Mapping[Any, Any]) -> str:
    """Return a rival's mean ratio and its range.

    Examples
    --------
    >>> span({"mean": 17.6, "min": 0.123, "max": 1234.5})
    '18x (0.12 to 1,200)'
    """
    if not np.isfinite(row["mean"]):
        return "-"
    mean, least, most = (f"{float(f'{row[name]:.2g}'):,g}" for name in ("mean", "min", "max"))
    return f"{mean}x ({least} to {most})"

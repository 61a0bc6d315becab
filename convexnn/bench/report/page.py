"""A sweep's report: one HTML file that needs nothing else, and its figures as PNG."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from html import escape
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from convexnn.bench.report import figures, measures, ratios
from convexnn.contract.checks import ProblemError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TARGET = 1e-6  # of the figures, where it was reached
DPI = 110
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1180px; margin: 2em auto;
  padding: 0 1.2em; }
h1 { font-size: 1.6em; margin-bottom: 0.2em; }
h2 { font-size: 1.2em; margin-top: 2em; border-bottom: 1px solid #ddd; padding-bottom: 0.2em; }
figure { margin: 1em 0; }
figcaption, .note { color: #555; font-size: 0.9em; }
img { max-width: 100%; height: auto; }
code { background: #f4f4f4; padding: 0.15em 0.35em; border-radius: 3px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85em; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25em 0.7em; text-align: right; border-bottom: 1px solid #eee; }
th { border-bottom: 2px solid #ccc; vertical-align: bottom; }
td:first-child, th:first-child, td.text, .left td, .left th { text-align: left; }
.reasons td:last-child, .reasons th:last-child { text-align: left; }
tbody tr:hover { background: #f7f7f7; }
summary { cursor: pointer; margin: 0.5em 0; }
dt { font-weight: 600; margin-top: 0.5em; }
dd { margin: 0 0 0 1.2em; }
"""
DEFINITIONS = {
    "Instance": "A data set with the parameters of the problem posed on it.",
    "Certified gap": (
        "(objective - bound) / max(1, |objective|), both computed by the problem from the "
        "answer, never taken from the solver's word. The bound is a rigorous lower bound."
    ),
    "Error of a peer": (
        "Peers return no dual point. They are graded by (objective - best bound) / "
        "max(1, |objective|), with the best bound that any run proved on the instance: that is "
        "never larger than their certified gap."
    ),
    "Time to a target": (
        "Time in the solver up to the first point whose gap (a peer's error) and constraint "
        "violation are both at most the target; median over the repeats, a repeat that does not "
        "get there counts as infinite. Compilation and certification are excluded and given "
        "apart. CPU time is used where it is known for all that is compared, else wall time."
    ),
    "Performance profile": (
        "The share of all instances on which a backend took at most tau times as long as the "
        "fastest one (Dolan and More, 2002). Instances that nobody solved count."
    ),
    "Cost growth": (
        "Least squares of log(time) on log(size) over the instances of a series that reached the "
        "target, with at least three sizes. The error is the standard error of the slope."
    ),
    "Ratio": (
        'The other\'s time over ours on the same instance; above 1, ours is faster. "Ours" is the '
        'backend "auto" where the sweep ran it, else the fastest of our own engines on each '
        'instance. The others are the peers, the raw solvers through CVXPY, and local search. "> '
        'r": the other had not reached the target after r times our time; "< r": ours had not. '
        "Means are over the instances on which both arrived; the rest is counted beside them, and "
        '"mean with the unreached" takes the bounds in as if they were times, where all of them '
        "are bounds from below."
    ),
}
OUTCOMES = {
    "skipped": "skipped",
    "neither": "neither arrived",
    "only ours": "only ours arrived",
    "only rival": "only the other arrived",
}
CAPTIONS = {
    "summary": "Performance profile and cost growth.",
    "profile": "Performance profiles: further up and to the left is better.",
    "times": (
        "Time to each target: a dot for each instance, a bar at their median, and on how many of "
        "the instances tried the target was reached."
    ),
    "ratios": (
        "Ratios: a dot for each instance, a bar to the geometric mean. Open triangles are bounds: "
        "pointing right, the other had not arrived; pointing left, ours had not."
    ),
    "growth": "Cost growth: points are instances, lines are fits, broken where they are rivals'.",
    "gaps": (
        "Gap (a peer's error), or violation where it is larger, against time in the solver, on a "
        "few instances from easy to hard; the median run of each backend."
    ),
}


def write_report(
    frame: pd.DataFrame,
    folder: str | Path,
    *,
    family: str,
    command: str,
    machine: Mapping[str, object],
) -> Path:
    """Write ``report.html`` and the figures of a sweep.

    Parameters
    ----------
    frame : DataFrame
        With the columns `convexnn.bench.report.frame.COLUMNS`; rows of other families are left out.
    folder : str or Path
        Made if it is not there. Figures of an earlier report in it are replaced or removed.
    family : str
    command : str
        That reproduces the sweep.
    machine : dict
        Processor, versions and whatever else tells the machine.

    Returns
    -------
    Path
        Of the HTML file. It holds its figures and loads nothing.

    Raises
    ------
    ProblemError
        If the frame lacks a column or the folder cannot be written.
    """
    if len(frame) and "family" in frame:
        frame = frame[frame["family"] == family]
    graded = measures.graded(frame)
    table = measures.times(graded)
    pictures = draw(graded, table, family)
    body = page(graded, table, pictures, family, command, machine)
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in CAPTIONS:
            path = folder / f"{name}.png"
            if name in pictures:
                path.write_bytes(pictures[name])
            else:
                path.unlink(missing_ok=True)
        report = folder / "report.html"
        report.write_text(body, encoding="utf-8")
    except OSError as error:
        raise ProblemError(f"folder must be writable, got {str(folder)!r}: {error}") from error
    return report


def draw(graded: pd.DataFrame, table: pd.DataFrame, family: str) -> dict[str, bytes]:
    """Return the figures that there is something to draw for, as PNG, by name."""
    target = drawn_target(table)
    count = table["instance"].nunique()
    title = f"{family}: {count} instances to a certified gap of {figures.power(target)}"
    drawn = {
        "summary": figures.summary(table, target, title),
        "profile": figures.profiles(table),
        "times": figures.strips(table),
        "ratios": figures.bars(table, target),
        "growth": figures.growths(table, target),
        "gaps": figures.gaps(graded, table),
    }
    return {name: png(figure) for name, figure in drawn.items() if figure is not None}


def drawn_target(table: pd.DataFrame) -> float:
    """Return the target of the figures: 1e-6, or the least that was reached where it was not."""
    reached = table.loc[np.isfinite(table["wall"]), "target"]
    return TARGET if reached.empty or (reached == TARGET).any() else float(reached.min())


def png(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def page(
    graded: pd.DataFrame,
    table: pd.DataFrame,
    pictures: Mapping[str, bytes],
    family: str,
    command: str,
    machine: Mapping[str, object],
) -> str:
    """Return the report as HTML."""
    title = f"Benchmark: {family}"
    about = {"command": command, "report written": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"}
    facts = pd.DataFrame((about | dict(machine)).items(), columns=["", "value"])
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(scale(graded))}</p>",
        shown("summary", pictures, "No run reached a target, so there is no summary figure."),
        "<h2>What was run</h2>",
        html(facts.astype(str), "left"),
        f"<details><summary>Instances</summary>{html(instance_table(table), 'left')}</details>",
        "<h2>What is measured</h2>",
        "<dl>",
        *(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in DEFINITIONS.items()),
        "</dl>",
        "<h2>Ratios</h2>",
        shown("ratios", pictures, "No ratio: no other backend and ours were run side by side."),
        each_target(table, ratio_table, "Ratios to gap {}"),
        each_target(table, pair_table, "Ratios on each instance to gap {}", fold=True),
        "<h2>Performance profile</h2>",
        shown("profile", pictures, "No profile: no run reached a target."),
        "<h2>Time to a certified gap</h2>",
        shown("times", pictures, "No times: no run reached a target."),
        each_target(table, time_table, "Seconds of wall time to gap {}", fold=True),
        "<p>Compilation and certification, in seconds, medians over all instances:</p>",
        html(overhead_table(table)),
        "<h2>Cost growth</h2>",
        shown("growth", pictures, "No growth: the sweep has no series that reached the target."),
        each_target(table, growth_table, "Exponents to gap {}", fold=True),
        "<h2>Gap against time</h2>",
        shown("gaps", pictures, "No curves: no point was graded."),
        "<h2>Runs that were not OPTIMAL</h2>",
        setback_tables(graded),
        "<h2>Answers below a bound</h2>",
        contradiction_table(graded),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def scale(graded: pd.DataFrame) -> str:
    """Return how large the sweep was, in words."""
    if graded.empty:
        return "The sweep holds no runs."
    runs = len(graded.drop_duplicates(measures.RUN))
    sizes = f"{graded['instance'].nunique()} instances, {graded['backend'].nunique()} backends"
    return f"{sizes}, {runs} runs, {len(graded)} graded points."


def shown(name: str, pictures: Mapping[str, bytes], otherwise: str) -> str:
    """Return a figure with its caption, or why there is none."""
    if name not in pictures:
        return f'<p class="note">{escape(otherwise)}</p>'
    data = b64encode(pictures[name]).decode()
    caption = escape(CAPTIONS[name])
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def html(frame: pd.DataFrame, kind: str = "") -> str:
    """Return a table of texts as HTML, escaped."""
    if frame.empty:
        return '<p class="note">Nothing to show.</p>'
    with pd.option_context("display.max_colwidth", None):
        text = frame.to_html(index=False, border=0, escape=True, classes=kind, na_rep="–")
    return f'<div class="wide">{text}</div>'


def each_target(
    table: pd.DataFrame,
    make: Callable[[pd.DataFrame, float], pd.DataFrame],
    title: str,
    fold: bool = False,
) -> str:
    """Return a table for each target under its title, folded or not."""
    parts = []
    for target in measures.TARGETS:
        head = escape(title.format(figures.power(target)))
        body = html(make(table, target), "reasons")
        parts.append(
            f"<details><summary>{head}</summary>{body}</details>"
            if fold
            else f"<h3>{head}</h3>{body}"
        )
    return "\n".join(parts)


def number(value: float, digits: int = 3) -> str:
    """Return a number as text, a dash where there is none.

    Examples
    --------
    >>> number(0.012345), number(float("nan"))
    ('0.0123', '–')
    """
    return f"{value:.{digits}g}" if np.isfinite(value) else "–"


def instance_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the instances and their sizes."""
    found = table.drop_duplicates("instance")[["instance", "series", "n", "d", "size"]].copy()
    for name in ("n", "d", "size"):
        found[name] = [number(value, 6) for value in found[name]]
    return found


def ratio_table(table: pd.DataFrame, target: float) -> pd.DataFrame:
    """Return `ratios.ratios` as text."""
    found = ratios.ratios(table, target)
    for name in ("mean", "median", "min", "max", "with_compile"):
        found[name] = found[name].map(number)
    found["at_least"] = [f"> {number(v)}" if v == v else "–" for v in found["at_least"]]
    names = {
        "rival": "other",
        "mean": "geometric mean",
        "with_compile": "mean wall with compilation",
    }
    names |= {"at_least": "mean with the unreached", "only_rival": "only other"}
    found = found.rename(columns=names)
    return found.rename(columns=lambda name: str(name).replace("_", " "))


def pair_table(table: pd.DataFrame, target: float) -> pd.DataFrame:
    """Return the ratios with their marks, instances down, rivals across."""
    found = ratios.pairs(table, target)
    found["text"] = [
        f"{mark} {number(ratio)}".strip() if ratio == ratio else OUTCOMES[outcome]
        for mark, ratio, outcome in zip(
            found["mark"], found["ratio"], found["outcome"], strict=True
        )
    ]
    wide = found.pivot(index=["instance", "ours"], columns="rival", values="text")
    return wide.fillna("not run").reset_index()


def time_table(table: pd.DataFrame, target: float) -> pd.DataFrame:
    """Return the times to a target, instances down, backends across."""
    found = table[table["target"] == target].copy()
    said = found["status"].where(found["status"] != "OPTIMAL", "short").str.lower()
    found["text"] = found["wall"].map(number).where(np.isfinite(found["wall"]), said)
    wide = found.pivot(index="instance", columns="backend", values="text")
    return wide[figures.order(table)].fillna("not run").reset_index()


def growth_table(table: pd.DataFrame, target: float) -> pd.DataFrame:
    """Return `measures.growth` as text."""
    found = measures.growth(table, target)
    for name in ("exponent", "error"):
        found[name] = [f"{v:.2f}" if v == v else "–" for v in found[name]]
    for name in ("factor", "least", "most"):
        found[name] = found[name].map(number)
    return found.rename(columns={"error": "standard error", "unreached": "not reached"})


def overhead_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the medians of what is excluded from the curves."""
    ran = table[table["status"] != measures.NEVER_RAN].drop_duplicates(measures.PAIR)
    found = ran.groupby("backend")[["compile", "spent", "certify"]].median()
    found.columns = pd.Index(["compile", "solve", "certify"])
    return found.map(number).reset_index()


def setback_tables(graded: pd.DataFrame) -> str:
    """Return the tables of the runs that were skipped and of those that ended otherwise."""
    found = measures.setbacks(graded)
    if found.empty:
        return '<p class="note">None.</p>'
    found["gap"] = found["gap"].map(number)
    found = found[["backend", "status", "runs", "instances", "gap", "example", "message"]]
    found = found.rename(columns={"gap": "largest gap", "message": "reason"})
    skipped = found["status"] == measures.NEVER_RAN
    lean = found[skipped].drop(columns=["status", "largest gap"])
    return "\n".join(
        [
            "<h3>Ended otherwise</h3>",
            html(found[~skipped], "left"),
            "<h3>Skipped</h3>",
            html(lean, "left"),
        ]
    )


def contradiction_table(graded: pd.DataFrame) -> str:
    """Return the feasible answers below a bound, or that there are none."""
    found = measures.contradictions(graded)
    if found.empty:
        return '<p class="note">None: no feasible answer lies below a bound proved by any run.</p>'
    found["error"], found["bound"] = found["error"].map(number), found["bound"].map("{:.9g}".format)
    warning = "A certificate is wrong, or the backend searches a larger set than the bound covers."
    return f"<p>{warning}</p>" + html(found, "left")

"""What a sweep measured: time to a certified gap, profiles, growth, setbacks.

A sweep is a tidy frame with one row for each graded point of a run (`COLUMNS`). A run is one
repeat of one backend on one instance.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from convexnn.bench.report.frame import COLUMNS, NUMBERS, TEXTS
from convexnn.contract.checks import ProblemError

TARGETS = (1e-3, 1e-6, 1e-9)
RUN = ["instance", "backend", "repeat"]
PAIR = ["instance", "backend"]
RESOLUTION = 1e-6  # seconds; shorter times count as this, so that ratios exist
LEAST_POINTS = 3  # distinct sizes below which no exponent is given
NEVER_RAN = "SKIPPED"
LEFTOVER = 1e-9  # violation up to which an answer below a bound contradicts it
ROUNDING = 1e-9  # relative depth below the best bound that rounding explains


def graded(frame: pd.DataFrame) -> pd.DataFrame:
    """Check a sweep's frame and add the columns ``best``, ``error`` and ``merit``.

    ``best`` is the largest lower bound that any run proved on the instance,
    ``error = (objective - best) / max(1, |objective|)``, and ``merit``, by which a point is
    judged, is the certified ``|gap|`` for our backends and the error for peers, which prove no
    bound of their own: the error never exceeds the gap.

    Parameters
    ----------
    frame : DataFrame
        With `COLUMNS`; may be empty.

    Returns
    -------
    DataFrame
        A copy, by instance, backend, repeat and seconds; the last row of each run comes last.

    Raises
    ------
    ProblemError
        If a column is missing.
    """
    missing = [name for name in COLUMNS if name not in frame]
    if missing and len(frame):
        raise ProblemError(f"frame must have the columns of a sweep; missing: {', '.join(missing)}")
    frame = frame.reindex(columns=list(COLUMNS)).copy()
    for name in NUMBERS:
        frame[name] = pd.to_numeric(frame[name], errors="coerce").astype(float)
    for name in (*TEXTS, "backend"):
        frame[name] = frame[name].astype(object).where(frame[name].notna(), "").astype(str)
    for name in ("peer", "final"):
        frame[name] = frame[name].astype(object).where(frame[name].notna(), False).astype(bool)
    frame["best"] = frame.groupby("instance")["bound"].transform("max")
    size = frame["objective"].abs().clip(lower=1.0)
    frame["error"] = (frame["objective"] - frame["best"]) / size
    frame["merit"] = frame["gap"].abs().where(~frame["peer"], frame["error"])
    return frame.sort_values([*RUN, "final", "seconds"], kind="stable", ignore_index=True)


def times(frame: pd.DataFrame, targets: tuple[float, ...] = TARGETS) -> pd.DataFrame:
    """Return the time to each target, one row per instance, backend and target.

    A run reaches a target at its first point with ``merit <= target`` and
    ``violation <= target``; a run that never does takes infinitely long. Times are medians over
    the repeats.

    Parameters
    ----------
    frame : DataFrame
        As `graded` returns it.
    targets : tuple of float

    Returns
    -------
    DataFrame
        ``wall`` and ``cpu`` are the seconds to the target (``cpu`` is NaN where it is unknown),
        ``spent`` and ``spent_cpu`` those of the whole run, reached or not, ``reached`` counts
        the repeats that did; ``status`` and ``message`` are those of the first repeat that did
        not end OPTIMAL, if any.
    """
    last = frame.drop_duplicates(RUN, keep="last").assign(bad=lambda f: f["status"] != "OPTIMAL")
    clocks = frame.groupby(RUN)[["seconds", "cpu"]].max()
    spent = clocks.groupby(PAIR).median()
    spent.columns = pd.Index(["spent", "spent_cpu"])
    ends = last.sort_values([*PAIR, "bad", "repeat"], ascending=[True, True, False, True])
    about = ends.drop_duplicates(PAIR).set_index(PAIR)
    about = about[["peer", "series", "varied", "n", "d", "size", "status", "message"]]
    about["compile"] = frame.groupby(RUN)["compile"].max().groupby(PAIR).median()
    about["certify"] = frame.groupby(RUN)["certify"].max().groupby(PAIR).median()
    about["repeats"] = last.groupby(PAIR).size()
    found = []
    for target in targets:
        passing = frame[(frame["merit"] <= target) & (frame["violation"] <= target)]
        first = passing.sort_values("seconds", kind="stable").drop_duplicates(RUN)
        first = first.set_index(RUN)[["seconds", "cpu"]]
        runs = first.reindex(pd.MultiIndex.from_frame(last[RUN]))
        arrived = runs.index.isin(first.index)
        runs.loc[~arrived] = np.inf
        medians = runs.groupby(PAIR).median()
        medians["cpu"] = medians["cpu"].where(runs["cpu"].notna().groupby(PAIR).all())
        medians["reached"] = pd.Series(arrived, index=runs.index).groupby(PAIR).sum()
        medians = medians.rename(columns={"seconds": "wall"})
        found.append(about.join(medians).join(spent).assign(target=target).reset_index())
    return pd.concat(found, ignore_index=True)


def clock(table: pd.DataFrame) -> str:
    """Return "cpu" if the processor time of every reached target is known, else "wall"."""
    known = table.loc[np.isfinite(table["wall"]), "cpu"].notna()
    return "cpu" if len(known) and known.all() else "wall"


def profile(table: pd.DataFrame, target: float) -> pd.DataFrame:
    """Return the performance profile ``rho_s(tau)``, one column per backend, one row per tau.

    ``rho_s(tau)`` is the share of all instances on which backend ``s`` took no more than ``tau``
    times as long as the fastest; an instance that no backend solved stays in the denominator.
    Backends that never ran are left out.

    Parameters
    ----------
    table : DataFrame
        As `times` returns it.
    target : float

    Notes
    -----
    Dolan and More, Benchmarking optimization software with performance profiles, Mathematical
    Programming 91, 2002.
    """
    table = table[table["target"] == target]
    ran = table[table["status"] != NEVER_RAN]["backend"].unique()
    wide = table.pivot(index="instance", columns="backend", values=clock(table))
    seconds = wide[sorted(ran)].clip(lower=RESOLUTION)
    with np.errstate(invalid="ignore"):
        factors = seconds.div(seconds.min(axis=1), axis=0).to_numpy()
    taus = np.unique(np.append(factors[np.isfinite(factors)], 1.0))
    count = max(len(seconds), 1)
    shares = [[np.count_nonzero(column <= tau) / count for column in factors.T] for tau in taus]
    return pd.DataFrame(shares, index=pd.Index(taus, name="tau"), columns=seconds.columns)


def growth(table: pd.DataFrame, target: float) -> pd.DataFrame:
    """Fit ``time = c * varied^exponent`` in logarithms, by series and backend.

    Parameters
    ----------
    table : DataFrame
        As `times` returns it.
    target : float

    Returns
    -------
    DataFrame
        ``exponent`` and ``error``, its standard error under independent errors of equal size of
        the logarithms, are NaN with fewer than three distinct sizes; ``factor`` is ``c``;
        ``points`` is how many were fitted, over the range from ``least`` to ``most``, and
        ``unreached`` how many more did not reach the target.
    """
    table = table[(table["target"] == target) & (table["series"] != "") & (table["varied"] > 0)]
    table = table[table["status"] != NEVER_RAN]
    on = clock(table)
    rows = []
    for (series, backend), part in table.groupby(["series", "backend"]):
        good = part[np.isfinite(part[on])]
        x, y = np.log(good["varied"]), np.log(good[on].clip(lower=RESOLUTION))
        enough = good["varied"].nunique() >= LEAST_POINTS
        exponent, error, factor = line(x.to_numpy(), y.to_numpy()) if enough else 3 * (np.nan,)
        rows.append(
            {
                "series": series,
                "backend": backend,
                "exponent": exponent,
                "error": error,
                "factor": factor,
                "points": len(good),
                "least": good["varied"].min(),
                "most": good["varied"].max(),
                "unreached": len(part) - len(good),
                "clock": on,
            }
        )
    names = ["series", "backend", "exponent", "error", "factor", "points", "least", "most"]
    return pd.DataFrame(rows, columns=[*names, "unreached", "clock"])


def line(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Return the slope of the least-squares line, its standard error and ``exp(intercept)``.

    Examples
    --------
    >>> x = np.log([1.0, 10.0, 100.0])
    >>> [round(value, 6) for value in line(x, 2.0 * x + np.log(3.0))]
    [2.0, 0.0, 3.0]
    """
    away = x - x.mean()
    spread = float(away @ away)
    slope = float(away @ y) / spread
    rest = y - y.mean() - slope * away
    error = float(np.sqrt(rest @ rest / (len(x) - 2) / spread))
    return slope, error, float(np.exp(y.mean() - slope * x.mean()))


def setbacks(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the runs that ended otherwise than OPTIMAL, counted by backend, status and reason.

    Parameters
    ----------
    frame : DataFrame
        As `graded` returns it.

    Returns
    -------
    DataFrame
        ``runs`` and ``instances`` count; ``gap`` is the largest merit any of them ended with, NaN
        if none was graded; ``example`` is one of the instances.
    """
    last = frame.drop_duplicates(RUN, keep="last")
    last = last[last["status"] != "OPTIMAL"]
    found = last.groupby(["backend", "status", "message"], as_index=False).agg(
        runs=("repeat", "size"),
        instances=("instance", "nunique"),
        gap=("merit", "max"),
        example=("instance", "first"),
    )
    return found.sort_values(["status", "backend", "message"], ignore_index=True)


def contradictions(frame: pd.DataFrame) -> pd.DataFrame:
    """Return feasible answers that lie below the best bound by more than rounding.

    One is a wrong certificate, or a backend whose feasible set is larger than what the bound
    covers.

    Parameters
    ----------
    frame : DataFrame
        As `graded` returns it.
    """
    below = frame[(frame["error"] < -ROUNDING) & (frame["violation"] <= LEFTOVER)]
    return below.groupby(PAIR, as_index=False).agg(
        rows=("error", "size"), error=("error", "min"), bound=("best", "first")
    )

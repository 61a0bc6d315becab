"""What a sweep measured: time to a certified gap, profiles, growth, ratios, setbacks.

A sweep is a tidy frame with one row for each graded point of a run (`COLUMNS`). A run is one
repeat of one backend on one instance.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from convexnn.problem import ProblemError

NUMBERS = (
    *("varied", "n", "d", "size", "seconds", "cpu", "compile", "certify"),
    *("objective", "bound", "gap", "violation"),
)
TEXTS = ("family", "instance", "series", "backend", "status", "message")
COLUMNS = (*TEXTS, *NUMBERS, "peer", "repeat", "final")
TARGETS = (1e-3, 1e-6, 1e-9)
RUN = ["instance", "backend", "repeat"]
PAIR = ["instance", "backend"]
RESOLUTION = 1e-6  # seconds; shorter times count as this, so that ratios exist
LEAST_POINTS = 3  # distinct sizes below which no exponent is given
OWN = "auto"  # the backend that stands for this package where it was run
LOCAL = ("lbfgs", "torch")  # not of our making either, like CVXPY's solvers
NEVER_RAN = "SKIPPED"
SHORT = "stopped short of this target"
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
    for name in TEXTS:
        frame[name] = frame[name].astype(object).where(frame[name].notna(), "").astype(str)
    for name in ("peer", "final"):
        frame[name] = frame[name].astype(object).where(frame[name].notna(), False).astype(bool)
    proved = frame["bound"].where(np.isfinite(frame["bound"]))
    frame["best"] = proved.groupby(frame["instance"]).transform("max")
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


def is_rival(backend: str, peer: bool) -> bool:
    """Tell whether a backend is compared with ours: a peer, a raw CVXPY solver, local search.

    Examples
    --------
    >>> is_rival("cvxpy:clarabel", False), is_rival("admm", False)
    (True, False)
    """
    return peer or backend.startswith("cvxpy:") or backend in LOCAL


def rivalry(table: pd.DataFrame) -> np.ndarray:
    """Return the mask of the rows whose backend `is_rival`."""
    named = zip(table["backend"], table["peer"], strict=True)
    return np.array([is_rival(backend, peer) for backend, peer in named], dtype=bool)


def ours(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `times` that stand for this package, one per instance and target.

    They are those of "auto" if the sweep ran it, else the fastest of our own backends on each
    instance.
    """
    own = table[~rivalry(table)]
    if (own["backend"] == OWN).any():
        return own[own["backend"] == OWN]
    keys = ["instance", "target"]
    order = own.assign(never=own["status"] == NEVER_RAN).sort_values([*keys, "wall", "never"])
    return order.drop_duplicates(keys).drop(columns="never")


def pairs(table: pd.DataFrame, target: float) -> pd.DataFrame:
    """Return the ratio of each rival's time to ours, one row per rival and instance of both.

    Parameters
    ----------
    table : DataFrame
        As `times` returns it.
    target : float

    Returns
    -------
    DataFrame
        ``outcome`` is "both" reached the target, "only ours", "only rival", "neither", or
        "skipped" (the rival never ran). ``ratio`` is the rival's time over ours, ``mark`` is
        ">" where the rival had not arrived after that time, "<" where ours had not, and
        ``total`` the ratio of the wall times with compilation. ``clock`` is "cpu" where both
        processor times are known, else "wall".
    """
    table = table[table["target"] == target]
    joined = table[rivalry(table)].merge(ours(table), on="instance", suffixes=("", "_ours"))
    joined = joined.rename(columns={"backend": "rival", "backend_ours": "ours"})
    mine, theirs = np.isfinite(joined["wall_ours"]), np.isfinite(joined["wall"])
    joined["outcome"] = np.select(
        [joined["status"] == NEVER_RAN, mine & theirs, mine, theirs],
        ["skipped", "both", "only ours", "only rival"],
        "neither",
    )
    joined["mark"] = joined["outcome"].map({"only ours": ">", "only rival": "<"}).fillna("")
    decided = joined["outcome"].isin(["both", "only ours", "only rival"])
    own, other = {}, {}
    for name, spent in (("wall", "spent"), ("cpu", "spent_cpu")):
        own[name] = joined[f"{name}_ours"].where(mine, joined[f"{spent}_ours"])
        other[name] = joined[name].where(theirs, joined[spent])
    known = own["cpu"].notna() & other["cpu"].notna()
    joined["clock"] = np.where(known, "cpu", "wall")
    a = own["cpu"].where(known, own["wall"]).clip(lower=RESOLUTION)
    b = other["cpu"].where(known, other["wall"]).clip(lower=RESOLUTION)
    joined["ratio"] = (b / a).where(decided)
    whole_a, whole_b = own["wall"] + joined["compile_ours"], other["wall"] + joined["compile"]
    joined["total"] = whole_b.clip(lower=RESOLUTION) / whole_a.clip(lower=RESOLUTION)
    joined["total"] = joined["total"].where(decided)
    names = ["rival", "instance", "ours", "outcome", "mark", "ratio", "total", "clock"]
    return joined[[*names, "status", "message"]].sort_values(["rival", "instance"])


def ratios(table: pd.DataFrame, target: float) -> pd.DataFrame:
    """Summarise `pairs`, one row per rival.

    Means are over the pairs in which both reached the target; the others are counted:
    ``pairs = both + only_ours + only_rival + neither + skipped``. ``at_least`` is the geometric
    mean with the pairs that only ours reached, at the time after which the rival had not arrived;
    it is NaN where there is none, or where the rival arrived alone. ``lost`` counts the pairs in
    which the rival was faster or arrived alone; ``timeouts`` and ``crashes`` are the rival's;
    ``clock`` is "cpu", "wall" or, if the pairs of `both` differ, "mixed"; ``reasons`` says why
    the rival did not arrive, and how often.

    Parameters
    ----------
    table : DataFrame
        As `times` returns it.
    target : float
    """
    rows = []
    for rival, part in pairs(table, target).groupby("rival"):
        count = part["outcome"].value_counts()
        met = part[part["outcome"] == "both"]
        ratio, total = met["ratio"], met["total"].dropna()
        open_end = part.loc[part["outcome"] == "only ours", "ratio"].dropna()
        bounded = len(open_end) > 0 and "only rival" not in count
        clocks = met["clock"].unique()
        absent = part[part["outcome"].isin(["only ours", "neither", "skipped"])]
        said = absent["message"].where(absent["status"] != "OPTIMAL", SHORT)
        why = (absent["status"] + ": " + said).str.rstrip(": ")
        rows.append(
            {
                "rival": rival,
                "mean": geometric(ratio),
                "at_least": geometric(pd.concat([ratio, open_end])) if bounded else np.nan,
                "median": ratio.median(),
                "min": ratio.min(),
                "max": ratio.max(),
                "with_compile": geometric(total),
                "clock": clocks[0] if len(clocks) == 1 else "mixed" if len(clocks) else "",
                "pairs": len(part),
                "both": len(met),
                "lost": int((ratio < 1.0).sum()) + count.get("only rival", 0),
                "only_ours": count.get("only ours", 0),
                "only_rival": count.get("only rival", 0),
                "neither": count.get("neither", 0),
                "skipped": count.get("skipped", 0),
                "timeouts": int((absent["status"] == "TIMEOUT").sum()),
                "crashes": int((absent["status"] == "CRASHED").sum()),
                "reasons": "; ".join(f"{text} ({k})" for text, k in why.value_counts().items()),
            }
        )
    names = ["rival", "mean", "at_least", "median", "min", "max", "with_compile", "clock"]
    counts = [
        "pairs",
        "both",
        "lost",
        "only_ours",
        "only_rival",
        "neither",
        "skipped",
        "timeouts",
        "crashes",
    ]
    return pd.DataFrame(rows, columns=[*names, *counts, "reasons"])


def geometric(values: pd.Series[float]) -> float:
    """Return the geometric mean, NaN of nothing."""
    return float(np.exp(np.log(values).mean()))


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

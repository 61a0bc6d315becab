"""How much longer the others take than this package, instance by instance and on the whole."""

from __future__ import annotations

import numpy as np
import pandas as pd

from convexnn.bench.report.measures import NEVER_RAN, RESOLUTION

OWN = "auto"  # the backend that stands for this package where it was run
LOCAL = ("lbfgs", "torch")  # not of our making either, like CVXPY's solvers
SHORT = "stopped short of this target"
SUMMARY = (
    *("rival", "mean", "at_least", "median", "min", "max", "with_compile", "clock"),
    *("pairs", "both", "lost", "only_ours", "only_rival", "neither", "skipped"),
    *("timeouts", "crashes", "reasons"),
)


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
    return pd.DataFrame(rows, columns=list(SUMMARY))


def geometric(values: pd.Series[float]) -> float:
    """Return the geometric mean, NaN of nothing."""
    return float(np.exp(np.log(values).mean()))

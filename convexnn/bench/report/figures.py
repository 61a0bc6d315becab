"""Figures of a sweep: gap against time, time to the target, profiles, growth, ratios.

Each function takes what `measures.times` made, returns a matplotlib figure, and returns None where
there is nothing to draw.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter

from convexnn.bench.report.measures import NEVER_RAN, RESOLUTION, clock, growth, profile
from convexnn.bench.report.ratios import OWN, is_rival, pairs, ratios

CALM: Any = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a8a8a",
    "axes.labelcolor": "#333333",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handlelength": 2.4,
    "lines.linewidth": 1.5,
    "lines.markersize": 4.5,
    "figure.facecolor": "white",
}
MARKERS = "osD^vP<>X*hp"
KNOWN = {  # a backend keeps its colour in every figure of every family
    OWN: "#111111",
    "admm": "#d62728",
    "ipm": "#9467bd",
    "newton": "#b8860b",
    "fista": "#ff7f0e",
    "homotopy": "#e377c2",
    "greedy": "#8c564b",
    "quantile": "#e6550d",
    "exact": "#7b2d26",
    "convex-concave": "#c5457f",
    "cell-walk": "#a17c00",
    "pg-extra": "#fd8d3c",
    "extra": "#8c6d31",
    "subgradient": "#ad494a",
    "cvxpy:clarabel": "#1f77b4",
    "cvxpy:scs": "#17becf",
    "cvxpy:osqp": "#3f51b5",
    "cvxpy:highs": "#6baed6",
    "cvxpy:scipy": "#5c7fa3",
    "cvxpy:ecos": "#00838f",
    "raw-cvxpy": "#0b3c8c",
    "lbfgs": "#2ca02c",
    "scipy-lbfgs": "#4d4d4d",
    "torch": "#7f8c1f",
    "scnn": "#00695c",
    "adelie": "#66a61e",
    "skglm": "#1b9e77",
    "skwdro": "#00695c",
    "dro": "#66a61e",
    "geom_median": "#00695c",
    "disropt": "#66a61e",
}
SPARE = ("#bc80bd", "#fb8072", "#80b1d3", "#b3a100", "#8dd3a0", "#999999", "#fdb462", "#d95f9e")
FLOOR = 1e-12  # the smallest gap drawn
LINE = 0.21  # inches of an entry of a legend
SHOWN = 6  # instances in the figure of gaps
COMPACT = 9  # backends in the summary: those that arrive on most instances
COUNTS = {"lost": "lost", "only_ours": "only ours", "neither": "neither", "skipped": "skipped"}


class Look(NamedTuple):
    """How a backend is drawn: our own with full lines, rivals with broken ones."""

    color: str
    marker: str
    line: str
    fill: str

    @property
    def points(self) -> dict[str, Any]:
        """Return the settings of its markers."""
        return {"color": self.color, "marker": self.marker, "markerfacecolor": self.fill}


def looks(table: pd.DataFrame) -> dict[str, Look]:
    """Return how each backend of `times` is drawn.

    Examples
    --------
    >>> table = pd.DataFrame({"backend": ["admm", "scnn"], "peer": [False, True]})
    >>> looks(table)["admm"].line, looks(table)["scnn"].line
    ('-', '--')
    """
    named = dict(zip(table["backend"], table["peer"], strict=True))
    spare = 0
    found = {}
    for k, (name, peer) in enumerate(sorted(named.items())):
        color = KNOWN.get(name)
        if color is None:
            color, spare = SPARE[spare % len(SPARE)], spare + 1
        rival = is_rival(name, peer)
        line = "--" if peer else "-." if rival else "-"
        found[name] = Look(color, MARKERS[k % len(MARKERS)], line, "white" if rival else color)
    return found


def canvas(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, Any]:
    """Return a figure and its axes as an array of shape (rows, columns)."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def tall(height: float, entries: int) -> float:
    """Return the height of a figure, inches, whose legend beside it has so many entries."""
    return max(height, LINE * entries + 0.3)


def power(target: float) -> str:
    """Return a target as text.

    Examples
    --------
    >>> power(1e-6)
    '1e-6'
    """
    return f"{target:.0e}".replace("e-0", "e-")


def seconds(on: str) -> str:
    """Return the label of an axis of times."""
    return "CPU seconds" if on == "cpu" else "seconds"


def order(table: pd.DataFrame) -> list[str]:
    """Return the backends that ran, those that arrive most often and fastest first."""
    ran = table[table["status"] != NEVER_RAN]
    by = ran.groupby("backend")["wall"]
    rank = pd.DataFrame({"misses": 1.0 - by.agg(lambda t: np.isfinite(t).mean())})
    rank["median"] = by.median()
    return list(rank.sort_values(["misses", "median"], kind="stable").index)


def legend(figure: Figure, axes: Iterable[Any], names: Sequence[str], **where: Any) -> None:
    """Draw one legend for all axes, in the order of the names."""
    handles: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    shown = [name for name in names if name in handles]
    if shown:
        figure.legend([handles[name] for name in shown], [plain(name) for name in shown], **where)


@mpl.rc_context(CALM)
def gaps(frame: pd.DataFrame, table: pd.DataFrame) -> Figure | None:
    """Draw the gap against time on a few instances, easy to hard, one run of each backend.

    The height is the larger of merit and violation, the best so far.
    """
    worth = np.maximum(frame["merit"].clip(lower=FLOOR), frame["violation"])
    drawn = frame.assign(worth=worth)[np.isfinite(worth) & (frame["seconds"] > 0)]
    if drawn.empty:
        return None
    by = drawn.groupby("instance")
    rank = pd.DataFrame({"names": by["backend"].nunique(), "seconds": by["seconds"].median()})
    rank = rank[rank["names"] >= 0.75 * rank["names"].max()].sort_values("seconds", kind="stable")
    chosen = list(rank.index[np.unique(np.linspace(0, len(rank) - 1, SHOWN).round().astype(int))])
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    style, named = looks(table), drawn.loc[drawn["instance"].isin(chosen), "backend"].nunique()
    figure, axes = canvas(3.0 * columns + 1.6, tall(2.5 * rows + 0.2, named), rows, columns)
    for ax, instance in zip(axes.flat, chosen, strict=False):
        for backend, runs in drawn[drawn["instance"] == instance].groupby("backend"):
            last = runs.groupby("repeat")["seconds"].max().sort_values()
            run = runs[runs["repeat"] == last.index[(len(last) - 1) // 2]]
            best = np.minimum.accumulate(run["worth"].to_numpy())
            look = style[str(backend)]
            ax.step(
                run["seconds"], best, where="post", label=backend, ls=look.line, **look.points, ms=3
            )
        ax.set(xscale="log", yscale="log")
        ax.set_title(plain(shorten(instance, 38)))
        ax.yaxis.set_major_locator(LogLocator(10, numticks=6))
        ax.yaxis.set_minor_formatter(NullFormatter())
    for ax in axes.flat[len(chosen) :]:
        ax.set_axis_off()
    for ax in axes[:, 0]:
        ax.set_ylabel("certified gap")
    for ax in axes[-1, : len(chosen) - (rows - 1) * columns]:
        ax.set_xlabel("seconds in the solver")
    legend(figure, axes.flat, order(table), loc="outside right upper")
    return figure


@mpl.rc_context(CALM)
def strips(table: pd.DataFrame) -> Figure | None:
    """Draw the time to each target, a dot for each instance, and how often it was reached."""
    names = order(table)[::-1]
    table = table[table["status"] != NEVER_RAN]
    reached = table[np.isfinite(table["wall"])]
    if reached.empty:
        return None
    targets = sorted(table["target"].unique(), reverse=True)
    figure, axes = canvas(3.1 * len(targets) + 1.2, 0.27 * len(names) + 1.1, 1, len(targets))
    style, on = looks(table), clock(table)
    for ax, target in zip(axes[0], targets, strict=True):
        here = table[table["target"] == target]
        for k, name in enumerate(names):
            mine = here[here["backend"] == name][on]
            good = mine[np.isfinite(mine)].clip(lower=RESOLUTION).sort_values()
            look = style[name]
            sway = 0.18 * np.resize([0.0, 1.0, -1.0, 0.5, -0.5], len(good))
            ax.plot(good, k + sway, ls="", alpha=0.65, mew=0.9, **look.points, ms=4)
            if len(good):
                ax.plot([good.median()] * 2, [k - 0.38, k + 0.38], color=look.color, lw=2.2)
            ax.text(
                1.02,
                k,
                f"{len(good)}/{len(mine)}",
                transform=ax.get_yaxis_transform(),
                va="center",
                color="#333333" if len(good) == len(mine) else "#b02a2a",
                fontsize=8,
            )
        ax.set(xscale="log", ylim=(-0.7, len(names) - 0.3), yticks=range(len(names)))
        ax.set(xlabel=f"{seconds(on)} to gap {power(target)}")
        ax.set_xlim(reached[on].clip(lower=RESOLUTION).min() / 1.6, reached[on].max() * 1.6)
        ax.set_yticklabels([plain(name) for name in names] if ax is axes[0, 0] else [])
        ax.tick_params(axis="y", length=0, labelcolor="#222222")
        ax.grid(axis="y", visible=False)
    return figure


@mpl.rc_context(CALM)
def profiles(table: pd.DataFrame) -> Figure | None:
    """Draw the performance profiles, one panel per target that anyone reached."""
    reached = table[np.isfinite(table["wall"])]
    targets = sorted(reached["target"].unique(), reverse=True)
    if not targets:
        return None
    names = order(table)
    figure, axes = canvas(3.0 * len(targets) + 1.6, tall(3.0, len(names)), 1, len(targets))
    for ax, target in zip(axes[0], targets, strict=True):
        draw_profile(ax, table, target, names)
        ax.set_title(f"gap {power(target)}")
        if ax is not axes[0, 0]:
            ax.set_ylabel("")
    legend(figure, axes.flat, names, loc="outside right upper")
    return figure


def draw_profile(ax: Any, table: pd.DataFrame, target: float, names: Sequence[str]) -> None:
    """Draw the performance profile of the named backends on axes."""
    shares, style = profile(table, target), looks(table)
    end = max(10.0, 1.5 * shares.index.max())
    for name in names:
        tau, share = np.append(shares.index, end), shares[name].to_numpy()
        look = style[name]
        ax.step(
            *(tau, np.append(share, share[-1])),
            where="post",
            label=name,
            ls=look.line,
            markevery=(0.0, 0.2),
            **look.points,
        )
    ax.set(xscale="log", xlim=(1.0 / end**0.02, end), ylim=(-0.03, 1.03))
    on = clock(table[table["target"] == target])
    ax.set(xlabel=f"factor of the fastest ({seconds(on)})", ylabel="share of instances")
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


@mpl.rc_context(CALM)
def growths(table: pd.DataFrame, target: float) -> Figure | None:
    """Draw the time to the target against the size, one panel per series, with the exponents."""
    fits = growth(table, target)
    series = list(fits.loc[fits["points"] > 0, "series"].unique())
    if not series:
        return None
    most = int(fits[fits["points"] > 0].groupby("series").size().max())
    figure, axes = canvas(7.6, tall(3.5, most) * len(series), len(series), 1)
    for ax, name in zip(axes[:, 0], series, strict=True):
        labels = draw_growth(ax, table, target, name, order(table))
        handles = ax.get_legend_handles_labels()[0]
        ax.legend(handles, labels, loc="upper left", bbox_to_anchor=(1.01, 1.02))
    return figure


def draw_growth(
    ax: Any, table: pd.DataFrame, target: float, series: str, names: Sequence[str]
) -> list[str]:
    """Draw one series on axes, labelled by backend; return labels with the exponents."""
    here = table[(table["target"] == target) & (table["series"] == series)]
    fits = growth(table, target)
    fits = fits[fits["series"] == series].set_index("backend")
    on, style, labels = clock(here), looks(table), []
    rows = {str(name): row for name, row in fits.iterrows() if row["points"]}
    for name in [name for name in names if name in rows]:
        mine = here[(here["backend"] == name) & np.isfinite(here[on])].sort_values("varied")
        fit, look, text = rows[name], style[name], plain(name)
        fitted = np.isfinite(fit["exponent"])
        cost = mine[on].clip(lower=RESOLUTION)
        ax.plot(mine["varied"], cost, ls=look.line, lw=0, label=name, **look.points)
        if fitted:
            span = np.array([fit["least"], fit["most"]])
            ax.plot(span, fit["factor"] * span ** fit["exponent"], ls=look.line, color=look.color)
            text += f"  {exponent(series, fit)} ± {fit['error']:.2f}"
        labels.append(text + (f"  ({fit['unreached']} not reached)" if fit["unreached"] else ""))
    ax.set(xscale="log", yscale="log", xlabel=plain(series))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_ylabel(f"{seconds(on)} to gap {power(target)}")
    return labels


def exponent(series: str, fit: pd.Series[Any]) -> str:
    """Return a fitted power as a label."""
    return f"{plain(series)}$^{{{fit['exponent']:.2f}}}$"


@mpl.rc_context(CALM)
def bars(table: pd.DataFrame, target: float) -> Figure | None:
    """Draw the ratios to each rival: a dot per instance, a bar to the geometric mean.

    Open triangles are bounds: to the right, the rival had not arrived; to the left, ours had not.
    """
    known = pairs(table, target).dropna(subset="ratio")
    if known.empty:
        return None
    sums = ratios(table, target).set_index("rival")
    names = list(sums.loc[list(known["rival"].unique()), "mean"].sort_values().index)[::-1]
    figure, axes = canvas(8.0, 0.36 * len(names) + 1.1)
    ax, style = axes[0, 0], looks(table)
    for k, name in enumerate(names):
        mine, row, color = known[known["rival"] == name], sums.loc[name], style[name].color
        if row["both"]:
            ax.barh(k, row["mean"] - 1.0, left=1.0, height=0.62, color=color, alpha=0.3)
            ax.plot([row["mean"]] * 2, [k - 0.31, k + 0.31], color=color, lw=2.2)
        for mark, shape in (("", "o"), (">", ">"), ("<", "<")):
            dots = mine.loc[mine["mark"] == mark, "ratio"]
            sway = 0.14 * np.resize([0.0, 1.0, -1.0], len(dots))
            fill = "none" if mark else color
            ax.plot(dots, k + sway, shape, color=color, mfc=fill, ms=3.6, alpha=0.8, mew=0.9)
        told = [f"{row['mean']:.3g}× on {row['both']}"] if row["both"] else []
        told += [f"{row[key]} {text}" for key, text in COUNTS.items() if row[key]]
        side = ax.get_yaxis_transform()
        ax.text(1.02, k, ", ".join(told), transform=side, va="center", fontsize=8, color="#333333")
    ax.axvline(1.0, color="#333333", lw=1)
    ax.set(xscale="log", yticks=range(len(names)), ylim=(-0.7, len(names) - 0.3))
    ax.set_yticklabels([plain(name) for name in names])
    ax.tick_params(axis="y", length=0, labelcolor="#222222")
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(f"the other's time over ours, to gap {power(target)}; right of 1: ours is faster")
    return figure


@mpl.rc_context(CALM)
def summary(table: pd.DataFrame, target: float, title: str) -> Figure | None:
    """Draw the performance profile beside the growth (or alone), as wide as a page."""
    here = table[table["target"] == target]
    reached = here[np.isfinite(here["wall"])]
    if reached.empty:
        return None
    solved = reached.groupby("backend")["instance"].nunique()
    names = [name for name in order(here) if name in solved]
    names = sorted(names, key=lambda name: -int(solved[name]))[:COMPACT]
    fits = growth(table, target)
    fits = fits[fits["points"] > 0]
    counts = fits.groupby("series")["points"].sum()
    figure, axes = canvas(11.0, 4.8, 1, 2 if len(counts) else 1)
    draw_profile(axes[0, 0], table, target, names)
    labels = {name: plain(name) for name in names}
    if len(counts):
        series = str(counts.idxmax())
        draw_growth(axes[0, 1], table, target, series, names)
        for _, fit in fits[fits["series"] == series].iterrows():
            if fit["backend"] in labels and np.isfinite(fit["exponent"]):
                labels[fit["backend"]] += f"  {exponent(series, fit)}"
    handles = dict(zip(names, axes[0, 0].get_legend_handles_labels()[0], strict=True))
    figure.legend(
        [handles[name] for name in names],
        [labels[name] for name in names],
        loc="outside right center",
    )
    figure.suptitle(plain(title), fontsize=10, x=0.01, ha="left", weight="bold")
    return figure


def plain(text: str) -> str:
    """Return a text that matplotlib takes for no formula."""
    return text.replace("$", r"\$")


def shorten(text: str, room: int) -> str:
    """Return a text of at most `room` characters.

    Examples
    --------
    >>> shorten("a long name", 7)
    'a long…'
    """
    return text if len(text) <= room else text[: room - 1] + "…"

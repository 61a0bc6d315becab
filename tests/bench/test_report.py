"""Reports of sweeps, from frames small enough to grade by hand."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from convexnn.bench.report import figures, measures, ratios
from convexnn.bench.report.frame import COLUMNS, NUMBERS
from convexnn.bench.report.measures import graded, times
from convexnn.bench.report.page import CAPTIONS, drawn_target, write_report
from convexnn.contract.checks import ProblemError

PNG = b"\x89PNG\r\n\x1a\n"


def row(instance: str, backend: str, seconds: float, excess: float, **other: Any) -> dict[str, Any]:
    """Return one graded point; the objective is 1 + excess, the bound 1 unless told."""
    common: dict[str, Any] = {
        "family": "relu",
        "instance": instance,
        "series": "",
        "varied": math.nan,
        "n": 100.0,
        "d": 2.0,
        "size": 8.0,
        "backend": backend,
        "peer": False,
        "repeat": 0,
        "seconds": seconds,
        "cpu": seconds,
        "compile": 0.0,
        "certify": 0.0,
        "objective": 1.0 + excess,
        "bound": 1.0,
        "gap": excess / (1.0 + excess),
        "violation": 0.0,
        "status": "OPTIMAL",
        "message": "",
        "final": True,
    }
    return common | other


def failed(instance: str, backend: str, status: str, message: str, **other: Any) -> dict[str, Any]:
    numbers = dict.fromkeys(NUMBERS[4:], math.nan)
    return (
        row(instance, backend, 0.0, 0.0) | numbers | {"status": status, "message": message} | other
    )


def table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return times(graded(pd.DataFrame(rows)))


def entry(found: pd.DataFrame, **where: Any) -> pd.Series[Any]:
    for name, value in where.items():
        found = found[found[name] == value]
    assert len(found) == 1
    return found.iloc[0]


def test_time_is_of_the_first_point_that_passes() -> None:
    rows = [
        row("a", "admm", 1.0, 1e-2, final=False),
        row("a", "admm", 2.0, 1e-7, violation=1e-5, final=False),  # accurate, not yet feasible
        row("a", "admm", 4.0, 1e-7, final=False),
        row("a", "admm", 8.0, 1e-8, cpu=7.0, compile=0.5, certify=3.0),
    ]
    found = table(rows[::-1])
    assert entry(found, target=1e-3)["wall"] == 2.0
    assert entry(found, target=1e-6)["wall"] == 4.0
    last = entry(found, target=1e-9)
    assert (last["wall"], last["cpu"]) == (math.inf, math.inf)
    assert (last["spent"], last["spent_cpu"], last["compile"], last["certify"]) == (8, 7, 0.5, 3)
    assert (last["repeats"], last["reached"]) == (1, 0)


def test_gap_of_the_wrong_sign_does_not_pass() -> None:
    assert entry(table([row("a", "admm", 1.0, -1e-2)]), target=1e-3)["wall"] == math.inf


def test_time_is_the_median_and_unreached_repeats_are_infinite() -> None:
    def sweep(*seconds: float) -> pd.Series[Any]:
        gaps = [1e-7 if np.isfinite(s) else 1e-1 for s in seconds]
        rows = [
            row("a", "admm", min(s, 9.0), gap, repeat=k)
            for k, (s, gap) in enumerate(zip(seconds, gaps, strict=True))
        ]
        return entry(table(rows), target=1e-6)

    assert sweep(5.0, 1.0, 2.0)["wall"] == 2.0
    assert sweep(1.0, math.inf, 2.0)["wall"] == 2.0
    assert sweep(1.0, math.inf, math.inf)["wall"] == math.inf
    assert sweep(1.0, math.inf)["wall"] == math.inf
    assert sweep(1.0, math.inf, 2.0)["reached"] == 2


def test_status_is_of_the_first_repeat_that_was_not_optimal() -> None:
    rows = [
        row("a", "admm", 1.0, 0.0),
        row("a", "admm", 1.0, 1.0, repeat=1, status="MAX_ITER", message="stalled"),
        row("a", "admm", 1.0, 1.0, repeat=2, status="TIMEOUT", message="late"),
    ]
    found = entry(table(rows), target=1e-6)
    assert (found["status"], found["message"]) == ("MAX_ITER", "stalled")


def test_processor_time_is_unknown_if_one_repeat_does_not_tell() -> None:
    rows = [row("a", "admm", 1.0, 0.0), row("a", "admm", 3.0, 0.0, repeat=1, cpu=math.nan)]
    found = entry(table(rows), target=1e-6)
    assert found["wall"] == 2.0
    assert np.isnan(found["cpu"])
    assert measures.clock(table(rows)) == "wall"
    assert measures.clock(table(rows[:1])) == "cpu"
    assert measures.clock(table([*rows, row("b", "admm", 1.0, 0.0)])) == "wall"


def test_peers_are_graded_by_the_best_bound_of_any_run() -> None:
    rows = [
        row("a", "ipm", 1.0, 0.0, bound=0.99, gap=0.01),
        row("a", "cvxpy:scs", 1.0, 0.0, bound=-math.inf, gap=math.inf),
        row("a", "scnn", 1.0, 0.0, objective=2.0, bound=0.0, gap=1.0, peer=True),
        row("b", "scnn", 1.0, 0.0, objective=0.5, bound=math.nan, gap=math.nan, peer=True),
        row("b", "admm", 1.0, 0.0, objective=0.5, bound=0.4999, gap=1e-4),
    ]
    found = graded(pd.DataFrame(rows))
    assert entry(found, instance="a", backend="scnn")["merit"] == (2.0 - 0.99) / 2.0
    assert entry(found, instance="a", backend="ipm")["merit"] == 0.01
    assert entry(found, instance="b", backend="scnn")["merit"] == pytest.approx(1e-4)
    assert entry(times(found), instance="b", backend="scnn", target=1e-3)["wall"] == 1.0


def test_profile_by_hand() -> None:
    rows = [
        *(row("a", "admm", 1.0, 0.0), row("a", "ipm", 2.0, 0.0), row("a", "fista", 1.0, 0.0)),
        *(row("b", "admm", 8.0, 0.0), row("b", "ipm", 2.0, 0.0), row("b", "fista", 6.0, 1.0)),
        *(row("c", "admm", 1.0, 1.0), row("c", "ipm", 2.0, 1.0)),  # nobody solves it
        *(row("d", "admm", 1.0, 0.0), failed("d", "ipm", "CRASHED", "killed")),
        failed("a", "torch", "SKIPPED", "torch is not installed"),
    ]
    shares = measures.profile(table(rows), 1e-6)
    assert list(shares.columns) == ["admm", "fista", "ipm"]
    assert list(shares.index) == [1.0, 2.0, 4.0]
    assert list(shares["admm"]) == [0.5, 0.5, 0.75]
    assert list(shares["ipm"]) == [0.25, 0.5, 0.5]
    assert list(shares["fista"]) == [0.25, 0.25, 0.25]


def test_profile_counts_times_below_the_clock_as_ties() -> None:
    rows = [row("a", "admm", 0.0, 0.0), row("a", "ipm", 1e-7, 0.0)]
    shares = measures.profile(table(rows), 1e-6)
    assert shares.loc[1.0].to_dict() == {"admm": 1.0, "ipm": 1.0}


def series(backend: str, sizes: list[float], seconds: list[float]) -> list[dict[str, Any]]:
    return [
        row(f"n={n}", backend, s, 0.0, series="n", varied=n)
        for n, s in zip(sizes, seconds, strict=True)
    ]


def test_growth_by_hand() -> None:
    rows = [
        *series("admm", [1.0, 10.0, 100.0], [3.0, 300.0, 30000.0]),
        *series("ipm", [1.0, 10.0, 100.0], [1.0, 100.0, 100.0]),
        *series("fista", [1.0, 10.0], [1.0, 10.0]),
        row("n=100.0", "fista", 5.0, 1.0, series="n", varied=100.0),
        row("other", "admm", 5.0, 0.0, varied=5.0),  # in no series
    ]
    fits = measures.growth(table(rows), 1e-6)
    admm, ipm, fista = (entry(fits, backend=name) for name in ("admm", "ipm", "fista"))
    assert list(admm[["exponent", "factor"]]) == pytest.approx([2.0, 3.0])
    assert admm["error"] == pytest.approx(0.0, abs=1e-7)
    # In decades the points are (0, 0), (1, 2), (2, 2): slope 1, residuals -1/3, 2/3, -1/3.
    assert ipm["exponent"] == pytest.approx(1.0)
    assert ipm["error"] == pytest.approx(math.sqrt((6 / 9) / 1 / 2))
    assert ipm["factor"] == pytest.approx(10 ** (1 / 3))
    assert list(ipm[["points", "least", "most", "unreached"]]) == [3, 1, 100, 0]
    assert np.isnan(fista["exponent"])
    assert list(fista[["points", "unreached"]]) == [2, 1]


def test_growth_needs_three_sizes_not_three_points() -> None:
    rows = series("admm", [1.0, 10.0], [1.0, 10.0])
    rows += [one | {"instance": one["instance"] + " again"} for one in rows]
    fit = measures.growth(table(rows), 1e-6).iloc[0]
    assert fit["points"] == 4
    assert np.isnan(fit["exponent"])


def rivals() -> list[dict[str, Any]]:
    """Return six instances of one rival: both, both, only ours, only it, neither, skipped."""
    limit = {"status": "INACCURATE", "message": "stalled"}
    peer = {"peer": True}
    return [
        *(row("a", "auto", 1.0, 0.0), row("a", "scnn", 8.0, 0.0, **peer)),
        *(row("b", "auto", 4.0, 0.0), row("b", "scnn", 2.0, 0.0, **peer)),
        *(row("c", "auto", 1.0, 0.0), row("c", "scnn", 10.0, 1.0, **peer, **limit)),
        *(row("d", "auto", 6.0, 1.0, **limit), row("d", "scnn", 3.0, 0.0, **peer)),
        *(row("e", "auto", 6.0, 1.0), failed("e", "scnn", "TIMEOUT", "after 60 s", **peer)),
        *(row("f", "auto", 1.0, 0.0), failed("f", "scnn", "SKIPPED", "no scnn", **peer)),
        *(row("a", "admm", 0.1, 0.0), row("g", "scnn", 1.0, 0.0, **peer)),
    ]


def test_pairs_by_hand() -> None:
    found = ratios.pairs(table(rivals()), 1e-6).set_index("instance")
    assert list(found.index) == ["a", "b", "c", "d", "e", "f"]
    assert set(found["ours"]) == {"auto"}
    assert list(found["outcome"]) == [
        "both",
        "both",
        "only ours",
        "only rival",
        "neither",
        "skipped",
    ]
    assert list(found["mark"]) == ["", "", ">", "<", "", ""]
    assert found["ratio"].tolist()[:4] == [8.0, 0.5, 10.0, 0.5]
    assert found["ratio"].isna().tolist() == [False] * 4 + [True] * 2


def test_ratios_by_hand() -> None:
    found = entry(ratios.ratios(table(rivals()), 1e-6), rival="scnn")
    assert found["mean"] == pytest.approx(2.0)  # of 8 and 1/2
    assert found[["median", "min", "max"]].tolist() == [4.25, 0.5, 8.0]
    counts = ["pairs", "both", "lost", "only_ours", "only_rival", "neither", "skipped"]
    assert found[counts].tolist() == [6, 2, 2, 1, 1, 1, 1]
    assert found[["timeouts", "crashes", "clock"]].tolist() == [1, 0, "cpu"]
    assert np.isnan(found["at_least"])  # the rival arrived alone once
    reasons = {"INACCURATE: stalled (1)", "TIMEOUT: after 60 s (1)", "SKIPPED: no scnn (1)"}
    assert set(found["reasons"].split("; ")) == reasons


def test_lower_bounds_join_the_mean_where_all_are_lower_bounds() -> None:
    rows = [one for one in rivals() if one["instance"] in "abc"]
    found = entry(ratios.ratios(table(rows), 1e-6), rival="scnn")
    assert found["mean"] == pytest.approx(2.0)
    assert found["at_least"] == pytest.approx((8.0 * 0.5 * 10.0) ** (1 / 3))


def test_rival_that_stops_short_is_said_to_have_done_so() -> None:
    rows = [row("a", "admm", 1.0, 0.0), row("a", "cvxpy:scs", 1.0, 1e-5)]
    found = entry(ratios.ratios(table(rows), 1e-6), rival="cvxpy:scs")
    assert found["reasons"] == "OPTIMAL: stopped short of this target (1)"


def test_ours_is_the_fastest_where_auto_was_not_run() -> None:
    rows = [
        *(row("a", "admm", 2.0, 0.0), row("a", "ipm", 1.0, 0.0), row("a", "cvxpy:scs", 0.5, 0.0)),
        *(row("b", "admm", 1.0, 0.0), row("b", "ipm", 9.0, 1.0), row("b", "lbfgs", 0.1, 0.0)),
        *(failed("c", "admm", "SKIPPED", ""), row("c", "ipm", 9.0, 1.0), row("c", "lbfgs", 1, 0.0)),
    ]
    found = ratios.ours(table(rows))
    mine = found[found["target"] == 1e-6].set_index("instance")["backend"]
    assert mine.to_dict() == {"a": "ipm", "b": "admm", "c": "ipm"}
    pairs = ratios.pairs(table(rows), 1e-6).set_index(["rival", "instance"])["ratio"]
    assert pairs.to_dict() == pytest.approx(
        {("cvxpy:scs", "a"): 0.5, ("lbfgs", "b"): 0.1, ("lbfgs", "c"): 1 / 9}
    )


def test_a_tie_is_not_lost() -> None:
    rows = [row("a", "admm", 1.0, 0.0), row("a", "cvxpy:scs", 1.0, 0.0)]
    found = entry(ratios.ratios(table(rows), 1e-6), rival="cvxpy:scs")
    assert found[["mean", "lost"]].tolist() == [1.0, 0]


def test_ratio_never_mixes_clocks() -> None:
    rows = [
        *(row("a", "admm", 4.0, 0.0, cpu=1.0), row("a", "cvxpy:scs", 8.0, 0.0, cpu=math.nan)),
        *(row("b", "admm", 4.0, 0.0, cpu=1.0), row("b", "cvxpy:scs", 8.0, 0.0, cpu=5.0)),
        *(row("c", "admm", 4.0, 0.0, cpu=math.nan), row("c", "cvxpy:scs", 8.0, 0.0, cpu=5.0)),
    ]
    found = ratios.pairs(table(rows), 1e-6).set_index("instance")
    assert found[["ratio", "clock"]].to_numpy().tolist() == [
        [2.0, "wall"],
        [5.0, "cpu"],
        [2.0, "wall"],
    ]
    assert entry(ratios.ratios(table(rows), 1e-6), rival="cvxpy:scs")["clock"] == "mixed"


def test_total_has_the_compilation_of_both() -> None:
    rows = [
        row("a", "admm", 1.0, 0.0, compile=1.0),
        row("a", "cvxpy:scs", 2.0, 0.0, compile=6.0, cpu=40.0),
    ]
    found = entry(ratios.ratios(table(rows), 1e-6), rival="cvxpy:scs")
    assert found[["mean", "with_compile"]].tolist() == pytest.approx([40.0, 4.0])


def test_setbacks_are_counted_by_reason() -> None:
    stalled = {"status": "INACCURATE", "message": "stalled"}
    rows = [
        row("a", "admm", 1.0, 1.0, **stalled, final=False),
        row("a", "admm", 2.0, 0.0),  # ends OPTIMAL after all
        row("a", "ipm", 1.0, 1.0, **stalled),
        row("a", "ipm", 1.0, 3.0, **stalled, repeat=1),
        row("b", "ipm", 1.0, 1.0, **stalled),
        failed("a", "torch", "SKIPPED", "torch is not installed"),
    ]
    found = measures.setbacks(graded(pd.DataFrame(rows[::-1])))
    assert list(found["backend"]) == ["ipm", "torch"]
    assert found.iloc[0][["runs", "instances", "gap", "example"]].tolist() == [3, 2, 0.75, "a"]


def test_feasible_answer_below_a_bound_is_found() -> None:
    rows = [
        row("a", "admm", 1.0, 0.0),
        row("a", "ipm", 1.0, 0.0, objective=0.9, bound=0.8),
        row("a", "fista", 1.0, 0.0, objective=0.9, bound=0.8, violation=0.1),
        row("b", "ipm", 1.0, 0.0, objective=0.9, bound=0.8),
    ]
    found = measures.contradictions(graded(pd.DataFrame(rows)))
    assert found[["instance", "backend"]].to_numpy().tolist() == [["a", "ipm"]]
    assert found["error"].tolist() == pytest.approx([-0.1])


def test_missing_column_is_named() -> None:
    frame = pd.DataFrame([row("a", "admm", 1.0, 0.0)]).drop(columns=["cpu", "final"])
    with pytest.raises(ProblemError, match=r"missing: cpu, final$"):
        graded(frame)


class Page(HTMLParser):
    """What a page loads, holds and links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [str(v) for k, v in attrs if k in ("src", "href", "srcset", "data")]


def sweep() -> list[dict[str, Any]]:
    """Return a sweep that has something for every table and figure."""
    rows = rivals()
    for backend, power in (("auto", 1.0), ("cvxpy:clarabel", 2.0)):
        sizes = [10.0, 100.0, 1000.0]
        for one in series(backend, sizes, [1e-4 * n**power for n in sizes]):
            rows.append(one | {"seconds": 0.5 * one["seconds"], "gap": 1e-2, "final": False})
            rows.append(one)
    return rows


def written(folder: Path, rows: list[dict[str, Any]], **other: Any) -> tuple[str, set[str]]:
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    about = {"family": "relu", "command": "convexnn bench relu", "machine": {}} | other
    path = write_report(frame, folder, **about)
    assert path == folder / "report.html"
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert not re.search(r"https?://|@import|url\(", text)
    drawn = {png.stem for png in folder.glob("*.png")}
    assert all((folder / f"{name}.png").read_bytes().startswith(PNG) for name in drawn)
    assert len(page.sources) == len(drawn)
    return text, drawn


def test_report_has_every_figure_and_loads_nothing(tmp_path: Path) -> None:
    text, drawn = written(
        tmp_path / "new" / "folder", sweep(), machine={"processor": "Z80", "numpy": "2.0"}
    )
    assert drawn == set(CAPTIONS)
    for told in ("convexnn bench relu", "Z80", "TIMEOUT: after 60 s (1)", "no scnn", "1.00"):
        assert told in text, told
    assert "&gt; 10" in text  # a lower bound
    assert "&lt; 0.5" in text


def test_text_is_escaped(tmp_path: Path) -> None:
    evil = "<script>alert('&')</script> $x_{$"
    rows = [
        one
        | {"instance": evil + one["instance"], "message": evil, "series": one["series"] and evil}
        for one in sweep()
    ]
    rows = [one | {"family": evil} for one in rows]
    rows += [one | {"backend": evil + one["backend"]} for one in rows]
    text, drawn = written(tmp_path, rows, family=evil, command=evil, machine={evil: evil})
    assert drawn == set(CAPTIONS)
    assert "<script>" not in text
    assert text.count("&lt;script&gt;") > 10


@pytest.mark.parametrize(
    ("rows", "drawn", "told"),
    [
        ([], set(), "The sweep holds no runs."),
        ([row("a", "admm", math.nan, 0.0) | dict.fromkeys(NUMBERS, math.nan)], set(), "No curves"),
        ([failed("a", "torch", "SKIPPED", "no torch")], set(), "no torch"),
        (
            [row("a", "admm", 1.0, 0.0)],
            {"summary", "profile", "times", "gaps"},
            "No ratio",
        ),
        (
            [row("a", "admm", 1.0, 1e-5)],
            {"summary", "profile", "times", "gaps"},
            "<td>short</td>",
        ),
        (
            [row("a", "scnn", 1.0, 0.0, peer=True)],
            {"summary", "profile", "times", "gaps"},
            "No growth",
        ),
        (series("admm", [1.0, 2.0], [1.0, 2.0]), set(CAPTIONS) - {"ratios"}, "2 instances"),
    ],
    ids=["empty", "all NaN", "skipped", "one backend", "loose", "a peer alone", "two sizes"],
)
def test_partial_sweep_is_reported(
    tmp_path: Path, rows: list[dict[str, Any]], drawn: set[str], told: str
) -> None:
    (tmp_path / "ratios.png").write_bytes(PNG)  # of an earlier report
    text, found = written(tmp_path, rows)
    assert found == drawn
    assert told in text


def test_legend_of_many_backends_is_within_the_figure() -> None:
    names = [f"backend {k}" for k in range(30)]
    rows = [point for name in names for point in series(name, [1.0, 10.0, 100.0], [0.1, 1.0, 9.0])]
    found = table(rows)
    drawn = figures.gaps(graded(pd.DataFrame(rows)), found), figures.profiles(found)
    for figure in (*drawn, figures.growths(found, 1e-6)):
        assert figure is not None
        figure.draw_without_rendering()
        legend = figure.legends[0] if figure.legends else figure.axes[0].get_legend()
        assert legend is not None
        assert len(legend.get_texts()) == len(names)
        box = legend.get_window_extent()
        assert box.y0 >= 0.0
        assert box.y1 <= figure.bbox.y1


def test_figures_show_the_main_target_or_the_least_that_was_reached() -> None:
    assert drawn_target(table([row("a", "admm", 1.0, 1e-5)])) == 1e-3
    assert drawn_target(table([row("a", "admm", 1.0, 1e-7)])) == 1e-6
    assert drawn_target(table([row("a", "admm", 1.0, 1e-10)])) == 1e-6
    assert drawn_target(table([row("a", "admm", 1.0, 1.0)])) == 1e-6


def test_frame_without_columns_is_reported(tmp_path: Path) -> None:
    path = write_report(pd.DataFrame(), tmp_path, family="relu", command="", machine={})
    assert "The sweep holds no runs." in path.read_text(encoding="utf-8")


def test_other_families_are_left_out(tmp_path: Path) -> None:
    rows = [row("a", "admm", 1.0, 0.0), row("stranger", "ipm", 1.0, 0.0, family="median")]
    assert "stranger" not in written(tmp_path, rows)[0]


def test_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(ProblemError, match=r"folder must be writable, got '.*taken'"):
        write_report(pd.DataFrame(), tmp_path / "taken", family="relu", command="", machine={})


def test_backend_keeps_its_colour() -> None:
    few = figures.looks(table([row("a", "ipm", 1.0, 0.0)]))
    many = figures.looks(table([row("a", b, 1.0, 0.0) for b in ("admm", "zzz", "aaa", "ipm")]))
    assert few["ipm"].color == many["ipm"].color
    assert len({look.color for look in many.values()}) == 4

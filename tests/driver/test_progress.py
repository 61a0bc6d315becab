"""The live line: which backend of how many, its step, the clock; and kernels that are compiled."""

from __future__ import annotations

import io
import logging
import re
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from rich.console import Console

import convexnn as cx
from convexnn.contract.certificate import Step
from convexnn.contract.system import compiling
from convexnn.contract.system.compiling import on_compiling
from convexnn.contract.system.kernels import kernel
from convexnn.driver import progress

ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
X = np.random.default_rng(0).standard_normal((30, 2))
PROBLEM = cx.ReluTraining(X, X[:, 0], beta=0.1, patterns=6)


def screen(monkeypatch: pytest.MonkeyPatch, width: int) -> io.StringIO:
    """Return what is written by lines from here on."""
    text = io.StringIO()
    console = Console(file=text, width=width, force_terminal=True, color_system=None)
    monkeypatch.setattr(progress, "live", partial(progress.live, console))
    return text


def lines_of(text: io.StringIO) -> list[str]:
    return re.split(r"[\r\n]+", ANSI.sub("", text.getvalue()))


def test_compare_says_which_of_how_many_and_leaves_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    text = screen(monkeypatch, 80)
    names = ["admm", "fista", "cvxpy:clarabel"]
    result = cx.compare(PROBLEM, names, tol=1e-3, progress=True)
    lines = lines_of(text)
    rows = [line for line in lines if re.match(r"[\w:]+ +OPTIMAL ", line)]
    assert [row.split()[0] for row in rows] == names
    assert f"gap {result.solutions[0].gap:.1e}" in rows[0]
    live = [line for line in lines if re.search(r"\d:\d\d:\d\d  ?\d of 3", line)]
    for k, name in enumerate(names):
        assert any(f"{k + 1} of 3  {name}" in line for line in live)
    first = next(i for i, line in enumerate(lines) if line in rows)
    assert any("3 of 3" in line for line in lines[first:])  # rows come as soon as they are known


@pytest.mark.parametrize("width", range(40, 121, 8))
def test_the_clock_is_whole_and_no_figure_is_cut(width: int) -> None:
    text = io.StringIO()
    console = Console(file=text, width=width, force_terminal=True, color_system=None)
    with progress.live(console) as line:
        line.turn(12, 24, "cvxpy:clarabel")
        draw = line.follow("cvxpy:clarabel")
        draw(Step(1234567, 0.1, -1.23457e100, 1e-300, -1.23457e100, 0.0))
        line.bar.refresh()
    shown = [line for line in lines_of(text) if "12 of 24" in line]
    assert shown
    for one in shown:
        assert len(one) <= width
        assert re.match(r". 0:00:0\d 12 of 24  cvxpy:clarabel", one), one
        assert "\N{HORIZONTAL ELLIPSIS}" not in one
        for part in one.split("  ")[2:]:
            assert part.strip() in {"", "starting", "gap 1.0e-300", "iteration 1234567"} | {
                "objective -1.23457e+100",
                "bound -1.23457e+100",
            }


def test_a_callback_is_called_beside_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    text = screen(monkeypatch, 80)
    seen: list[Step] = []

    def keep(step: Step) -> None:
        seen.append(step)

    cx.solve(PROBLEM, "admm", tol=1e-3, progress=True, callback=keep)
    assert len(seen) > 1
    assert any("admm  gap" in line for line in lines_of(text))


def fresh() -> Any:
    """Return a function as if it had never been compiled in this process."""

    def twice(x: float) -> float:
        return 2.0 * x

    return kernel()(twice)


def test_compiling_is_said_where_code_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    compiling._log_once.cache_clear()
    said: list[str] = []
    with caplog.at_level(logging.INFO, "convexnn"), on_compiling(lambda: said.append("once")):
        assert fresh()(1.5) == 3.0
        assert said == ["once"]
        assert fresh()(2.5) == 5.0  # as in the next process: read from the disk
        assert said == ["once"]
        assert fresh()(np.float32(2.5)) == 5.0
        assert said == ["once"] * 2
    assert [r.getMessage() for r in caplog.records if r.name == "convexnn"] == [
        "compiling, once: the code is kept for the next time"
    ]
    fresh()(2)
    assert said == ["once"] * 2


def test_the_line_says_that_it_compiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = io.StringIO()
    console = Console(file=text, width=80, force_terminal=True, color_system=None)
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    with progress.live(console) as line:
        line.turn(1, 2, "admm")
        fresh()(1.5)
    assert any("1 of 2  admm  compiling, once" in line for line in lines_of(text))

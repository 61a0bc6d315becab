"""Tables in terminals of any width: no figure is cut, and what is left out is named."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from convexnn.driver.tables import fitting

ROW = {
    "backend": "cvxpy:clarabel",
    "status": "INACCURATE",
    "objective": "-0.123456",
    "bound": "-0.123457",
    "gap": "1.2e-07",
    "violation": "3.4e-09",
    "solve s": "12.345",
    "cpu s": "67.891",
    "test accuracy": "0.594",
    "bound covers": "all patterns of these neurons",
}
ROWS = [ROW, {**ROW, "backend": "mpi:subgradient", "objective": "1.23457e+30"}]
ORDER = ("backend", "objective", "bound", "gap", "bound covers", "status")
LEAST = 5


def printed(rows: list[dict[str, str]], width: int) -> list[str]:
    text = io.StringIO()
    console = Console(file=text, width=width, force_terminal=True, color_system=None)
    console.print(*fitting(rows, ORDER, width, least=LEAST), sep="\n")
    return text.getvalue().splitlines()


@pytest.mark.parametrize("width", range(30, 181))
def test_no_figure_is_cut_in_any_width(width: int) -> None:
    lines = printed(ROWS, width)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= width
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    for row in ROWS:
        for head in ("backend", "objective", "bound", "gap"):
            assert row[head] in text
    for word in ROW["bound covers"].split():
        assert text.count(word) >= 2
    absent = re.search(r"no room for: ([\w\s,]+)", text)
    left = "" if absent is None else " ".join(absent[1].split())
    for head, cell in ROW.items():
        assert (cell.split()[0] in text) != (head in left), head


def test_the_least_important_columns_go_first() -> None:
    gone = [printed(ROWS, width)[-1] for width in (105, 100, 95)]
    assert [line.partition(": ")[2].split(", ")[-1] for line in gone] == ["test accuracy"] * 3
    assert all("status" not in line for line in gone)


def test_one_row_without_room_is_a_line_for_each_cell() -> None:
    lines = printed([ROW], 70)
    assert [line.split("  ")[0].strip() for line in lines] == list(ROW)

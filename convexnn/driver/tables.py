"""Tables of answers: what is said of each, and as much of it as there is room for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from convexnn.contract.optional import need

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

TEXT = ("backend", "status", "bound covers")
BRIEF = ("backend", "status", "objective", "gap", "solve s")
COLUMNS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "backend": ("backend", str),
    "status": ("status", str),
    "objective": ("objective", "{:.6g}".format),
    "bound": ("bound", "{:.6g}".format),
    "gap": ("gap", "{:.1e}".format),
    "violation": ("violation", "{:.1e}".format),
    "compile": ("compile s", "{:.2f}".format),
    "solve": ("solve s", "{:.3f}".format),
    "cpu": ("cpu s", "{:.3f}".format),
    "certify": ("certify s", "{:.3f}".format),
    "rounds": ("rounds", str),
    "messages": ("messages", str),
    "score": ("score", "{:.3f}".format),
    "scope": ("bound covers", lambda scope: str(scope).partition(";")[0]),
}


def as_text(row: dict[str, Any], measure: str = "score") -> dict[str, str]:
    """Return the cells of a row of figures by their headings, the score's being `measure`.

    Examples
    --------
    >>> as_text({"gap": 0.0123, "score": 0.5}, "accuracy")
    {'gap': '1.2e-02', 'accuracy': '0.500'}
    """
    return {
        measure if key == "score" else head: form(row[key])
        for key, (head, form) in COLUMNS.items()
        if key in row
    }


def plain(rows: Sequence[dict[str, str]]) -> str:
    """Return a table in plain text.

    Examples
    --------
    >>> print(plain([{"backend": "admm", "gap": "0.1"}, {"backend": "ipm", "gap": "0"}]))
    backend  gap
    admm     0.1
    ipm        0
    """
    if not rows:
        return ""
    width = {head: max(len(head), *(len(row[head]) for row in rows)) for head in rows[0]}
    lines = [{head: head for head in rows[0]}, *rows]
    return "\n".join(
        "  ".join(
            text.ljust(width[head]) if head in TEXT else text.rjust(width[head])
            for head, text in line.items()
        ).rstrip()
        for line in lines
    )


def across(rows: Sequence[dict[str, str]], heads: Sequence[str]) -> Table:
    """Return a table with a line for each row, no cell of which may be folded (extra: cli)."""
    table: Table = need("rich.table", "cli").Table(box=need("rich.box", "cli").SIMPLE_HEAD)
    for head in heads:
        table.add_column(head, justify="left" if head in TEXT else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(row[head] for head in heads))
    return table


def down(rows: Sequence[dict[str, str]]) -> Table:
    """Return a table with a line for each cell, row after row (extra: cli)."""
    table: Table = need("rich.table", "cli").Table(box=None, show_header=False, pad_edge=False)
    for i, row in enumerate(rows):
        if i:
            table.add_row("")
        for head, text in row.items():
            table.add_row(head, text)
    return table


def fitting(rows: Sequence[dict[str, str]], brief: Sequence[str], console: Any, width: int) -> Any:
    """Return the fullest table that has room: all columns, the brief ones, or a cell a line.

    A single row that has no room is given a cell a line.
    """
    layouts = [across(rows, list(rows[0]))]
    if len(rows) > 1:
        layouts.append(across(rows, brief))
    layouts.append(down(rows))
    room = console.options.update(max_width=10_000)  # a measure is clipped to its options
    found = (t for t in layouts if console.measure(t, options=room).minimum <= width)
    return next(found, layouts[-1])

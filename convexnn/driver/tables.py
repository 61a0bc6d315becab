"""Tables of answers: what is said of each, and as much of it as there is room for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from convexnn.contract.system.optional import need

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

TEXT = ("backend", "status", "bound covers")
GAP = 2  # blanks between columns
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


def across(
    rows: Sequence[dict[str, str]], heads: Sequence[str], width: Mapping[str, int] | None = None
) -> Table:
    """Return a table with a line for each row, of columns as wide as they are (extra: cli).

    Parameters
    ----------
    rows : sequence of dict
    heads : sequence of str
        The columns to show.
    width : mapping, optional
        Of each column; those that are narrower than their text have it folded between words.
    """
    width = whole(rows) if width is None else width
    box = need("rich.box", "cli").SIMPLE_HEAD
    table: Table = need("rich.table", "cli").Table(
        box=box, collapse_padding=True, pad_edge=False, show_edge=False
    )
    for head in heads:
        side: Any = "left" if head in TEXT else "right"
        table.add_column(head, justify=side, width=width[head])
    for row in rows:
        table.add_row(*(row[head] for head in heads))
    return table


def whole(rows: Sequence[dict[str, str]]) -> dict[str, int]:
    """Return how wide each column is."""
    return {head: max(len(head), *(len(row[head]) for row in rows)) for head in rows[0]}


def folded(rows: Sequence[dict[str, str]]) -> dict[str, int]:
    """Return how wide each column is where texts and headings are folded between words.

    Figures are not.

    Examples
    --------
    >>> folded([{"bound covers": "all patterns", "gap": "1 of 300", "test accuracy": "0.5"}])
    {'bound covers': 8, 'gap': 8, 'test accuracy': 8}
    """

    def narrow(head: str, cell: str) -> int:
        parts = [*head.split(), *(cell.split() if head in TEXT else [cell])]
        return max(map(len, parts), default=0)

    return {head: max(narrow(head, row[head]) for row in rows) for head in rows[0]}


def down(rows: Sequence[dict[str, str]]) -> Table:
    """Return a table with a line for each cell, row after row (extra: cli)."""
    table: Table = need("rich.table", "cli").Table(box=None, show_header=False, pad_edge=False)
    for i, row in enumerate(rows):
        if i:
            table.add_row("")
        for head, text in row.items():
            table.add_row(head, text)
    return table


def fitting(
    rows: Sequence[dict[str, str]], order: Sequence[str], room: int, *, least: int
) -> Iterator[Any]:
    """Yield the fullest table that has room, and a line that names what it leaves out.

    No figure is cut. Where not all columns have room, texts are folded between words, then the
    least important columns go. Where even the most important have none, or there is but one row,
    there is a line for each cell.

    Parameters
    ----------
    rows : sequence of dict
        Cells by heading.
    order : sequence of str
        Headings, the most important first; others count for less.
    room : int
        Columns of the terminal.
    least : int
        Of the most important columns, how many stay whatever the room.
    """
    heads = list(rows[0])
    ranked = [*(head for head in order if head in heads)]
    ranked += [head for head in heads if head not in ranked]
    plenty, scarce = whole(rows), folded(rows)
    texts = {head: scarce[head] if head in TEXT else plenty[head] for head in heads}
    for count in range(len(ranked), min(least, len(ranked)) - 1, -1):
        kept = [head for head in heads if head in ranked[:count]]
        for width in (plenty, texts, scarce):
            if sum(width[head] + GAP for head in kept) - GAP <= room:
                yield across(rows, kept, width)
                if count < len(ranked):
                    absent = ", ".join(head for head in heads if head not in kept)
                    text = need("rich.text", "cli").Text
                    yield text(f"no room for: {absent}")
                return
        if len(rows) == 1:
            break
    yield down(rows)

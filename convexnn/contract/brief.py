"""What an object shows of itself where its arrays would fill the screen: their shapes."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar

import numpy as np

Kind = TypeVar("Kind")

LINES = 10  # of a text at most
WIDTH = 100  # characters of a line
FEW = 4  # numbers up to which an array is shown
ROOM = 60  # characters of a value


def brief(kind: type[Kind]) -> type[Kind]:
    """Have a dataclass or named tuple show its fields in few lines: of arrays their shapes.

    No plain defaults are shown.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @brief
    ... @dataclass
    ... class Fit:
    ...     X: np.ndarray
    ...     beta: float
    ...     bias: bool = False
    >>> Fit(np.zeros((60, 3)), 0.1)
    Fit(X=array of shape (60, 3), beta=0.1)
    """
    made: Any = kind
    made.__repr__ = _shown
    return kind


def in_brief(value: Any) -> str:
    """Return a value in one short line.

    Examples
    --------
    >>> in_brief(np.zeros(2)), in_brief(np.zeros((5, 1), bool)), in_brief([0.5] * 50)
    ('[0.0, 0.0]', 'bool array of shape (5, 1)', '50 float')
    """
    if isinstance(value, np.ndarray) or hasattr(value, "tocsr"):
        if isinstance(value, np.ndarray) and value.ndim == 1 and 0 < value.size <= FEW:
            return _cut([float(f"{v:.6g}") if isinstance(v, float) else v for v in value.tolist()])
        sort = "" if value.dtype == np.float64 else f"{value.dtype} "
        sparse = "" if isinstance(value, np.ndarray) else "sparse "
        return f"{sparse}{sort}array of shape {tuple(value.shape)}"
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return f"{value:.6g}"
    if is_dataclass(value) or hasattr(value, "_fields"):
        shown = f"{type(value).__name__}(...)" if _has_arrays(value) else repr(value)
        return shown if len(shown) <= ROOM and "\n" not in shown else f"{type(value).__name__}(...)"
    if isinstance(value, Mapping) and len(value) > FEW:
        return f"{len(value)} entries"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        shown = _cut(value)
        if len(value) <= FEW and len(shown) < ROOM and "array(" not in shown:
            return shown
        sorts = {type(one).__name__ for one in value}
        return f"{len(value)} {sorts.pop() if len(sorts) == 1 else 'values'}"
    return getattr(value, "__name__", None) or _cut(value)


def shortened(text: str) -> str:
    r"""Return a text without lines of its middle if it has too many.

    Examples
    --------
    >>> shortened("head\n" + "row\n" * 99 + "end").splitlines()[5:8]
    ['row', '... 94 lines more, which print shows', 'end']
    """
    lines = text.splitlines()
    if len(lines) <= LINES:
        return text
    first = LINES - 4
    between = f"... {len(lines) - first - 1} lines more, which print shows"
    return "\n".join([*lines[:first], between, lines[-1]])


def _shown(self: Any) -> str:
    if is_dataclass(self):
        defaults = {f.name: f.default for f in fields(self) if f.repr}
    else:
        defaults = dict.fromkeys(self._fields, MISSING) | self._field_defaults
    parts = []
    for name, default in defaults.items():
        value = getattr(self, name)
        plain = default is not MISSING and type(value) is type(default) and value == default
        if not name.startswith("_") and value is not None and not plain:
            parts.append(f"{name}={in_brief(value)}")
    text = f"{type(self).__name__}({', '.join(parts)})"
    wrapped = textwrap.wrap(text, WIDTH, subsequent_indent="    ", break_on_hyphens=False)
    return shortened("\n".join(wrapped))


def _has_arrays(value: Any) -> bool:
    held = value if isinstance(value, tuple) else [getattr(value, f.name) for f in fields(value)]
    return any(isinstance(one, np.ndarray | tuple | list) for one in held)


def _cut(value: Any) -> str:
    text = " ".join(repr(value).split())
    if text.startswith("<"):
        return type(value).__name__
    return text if len(text) <= ROOM else f"{text[: ROOM - 3]}..."

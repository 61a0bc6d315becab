"""Names that load on first use, listed once: in the imports of the stub beside a module."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from importlib import import_module


def homes(file: str) -> dict[str, str]:
    """Return the module in which each name lives that a module's stub imports.

    Parameters
    ----------
    file : str
        The ``__file__`` of the module; its stub is the ``.pyi`` file beside it.

    Examples
    --------
    >>> import convexnn
    >>> homes(convexnn.__file__)["solve"]
    'convexnn.driver.solve'
    """
    with open(file.rpartition(".")[0] + ".pyi", encoding="utf-8") as stub:
        lines = ast.parse(stub.read()).body
    return {
        name.name: str(line.module)
        for line in lines
        if isinstance(line, ast.ImportFrom)
        for name in line.names
    }


def attach(
    module: str, file: str
) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` of a module that its stub describes.

    A name is looked up once: then it is an attribute of the module.
    """
    table = homes(file)
    names = sorted(table)

    def load(name: str) -> object:
        here = sys.modules[module]
        if name not in table:
            raise AttributeError(
                f"module {module!r} has no attribute {name!r}", name=name, obj=here
            )
        value: object = getattr(import_module(table[name]), name)
        setattr(here, name, value)
        return value

    return load, names.copy, names

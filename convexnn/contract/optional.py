"""Optional packages, imported when first needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def need(module: str, extra: str) -> Any:
    """Import an optional module.

    Raises
    ------
    ImportError
        If it is not installed; the message names the extra that brings it.

    Examples
    --------
    >>> need("json", "cli").__name__
    'json'
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"{package} is not installed; it comes with: pip install 'convexnn[{extra}]'"
        ) from error

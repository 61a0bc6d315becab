"""Optional packages, imported when first needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

CALLED = {"sklearn": "scikit-learn", "yaml": "PyYAML"}  # where a package is not called so


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
        name = CALLED.get(package, package)
        raise ImportError(f"{name} is not installed; {comes_with(extra)}") from error


def comes_with(extra: str) -> str:
    """Return how an extra is installed, from an index and from a checkout.

    Examples
    --------
    >>> print(comes_with("cli"))
    it comes with: pip install 'convexnn[cli]', in a checkout: pip install -e '.[cli]'
    """
    return (
        f"it comes with: pip install 'convexnn[{extra}]', "
        f"in a checkout: pip install -e '.[{extra}]'"
    )

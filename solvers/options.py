"""Reading an engine's own options."""

from __future__ import annotations

from typing import Any


def unpack(engine: str, given: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    """Return the defaults overridden by what is given.

    Raises
    ------
    ValueError
        If an option is unknown; the message lists those that exist.

    Examples
    --------
    >>> unpack("admm", {"rho": 2.0}, rho=None, relax=1.6)
    {'rho': 2.0, 'relax': 1.6}
    """
    unknown = [name for name in given if name not in defaults]
    if unknown:
        known = ", ".join(defaults) or "none"
        raise ValueError(f"{engine} has no option {unknown[0]!r}; it has: {known}")
    return {**defaults, **given}

"""The options that several engines of alternating directions have in common."""

from __future__ import annotations

from typing import Any

from convexnn.contract.checks import positive

DEFAULTS = {"rho": None, "sigma": None, "relax": 1.6}


def checked(own: dict[str, Any]) -> None:
    """Check the penalties and the over-relaxation.

    Raises
    ------
    ValueError
        If a penalty is given and not a number > 0, or `relax` is not in [1, 2).

    Examples
    --------
    >>> checked({"rho": 2.0, "sigma": None, "relax": 1.6})
    """
    for name in ("rho", "sigma"):
        if own.get(name) is not None:
            positive(name, own[name])
    if not 1.0 <= own["relax"] < 2.0:
        raise ValueError(f"relax must be in [1, 2), got {own['relax']!r}")

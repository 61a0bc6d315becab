"""Memory: how much this process may be asked for, and the shapes that estimates go by."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import NamedTuple

from convexnn.contract.checks import seconds as positive_or_infinite
from convexnn.contract.system.cgroups import memory_allowed

GIB = 2.0**30
SHARE = 0.8  # of the memory there is, if no limit is set
UNKNOWN = 16.0  # GiB, where the physical memory cannot be found out
VARIABLE = "CONVEXNN_MEMORY_GIB"

_chosen: list[float] = []  # the limit set in this process, if any


class Size(NamedTuple):
    """Shapes of a canonical form and the memory of its problem, known before any is allocated.

    Attributes
    ----------
    form : type
        The canonical form.
    n, d : int
        Examples of the form, and columns of the data that it works on.
    patterns : int
        Patterns of the form, or an upper bound; 0 if they are left to the engine to find.
    cones : bool
        Whether each pattern has two blocks in its cone instead of a free one.
    smooth : bool
        Whether the curvature of the loss is bounded.
    own : float
        Bytes at the peak of what the problem itself allocates: patterns, form, grading.
    outputs : int, default 1
        Outputs, each with neurons of its own.
    bag : int, default 1
        Rows of the data that each example has: the data have n of these.
    """

    form: type
    n: int
    d: int
    patterns: int
    cones: bool
    smooth: bool
    own: float
    outputs: int = 1
    bag: int = 1

    @property
    def weights(self) -> int:
        """Return the number of entries of all blocks, ``d P`` or twice that for each output."""
        return self.outputs * self.d * self.patterns * (2 if self.cones else 1)


def memory_limit(gib: float | None = None) -> float:
    """Return the memory that one compiled problem may need, in GiB, after setting it if given.

    A backend whose estimate exceeds the limit refuses the problem before anything large is
    allocated. To begin with, the limit is the environment variable ``CONVEXNN_MEMORY_GIB``; where
    that is not set, or empty, it is 80 % of the memory there is: the machine's, or what the
    control groups of the process allow (v1 and v2, its own and those above it) if that is less.
    Those are read once in a process. Where neither can be found out, it is 16 GiB.

    Parameters
    ----------
    gib : float, optional
        The new limit of this process; ``inf`` switches the refusals off.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the limit, or what the variable holds, is not a number > 0.

    Examples
    --------
    >>> before = memory_limit()
    >>> memory_limit(4.0)
    4.0
    >>> memory_limit(before) == memory_limit() == before
    True
    """
    if gib is not None:
        _chosen[:] = [positive_or_infinite("gib", gib)]
    if _chosen:
        return _chosen[0]
    if os.environ.get(VARIABLE):
        return _read(VARIABLE, os.environ[VARIABLE])
    return SHARE * min(_physical(), memory_allowed() / GIB)


def shortage(parts: dict[str, float]) -> str | None:
    """Return in words by how much an estimate in bytes exceeds the limit, None if it does not.

    Examples
    --------
    >>> before = memory_limit()
    >>> _ = memory_limit(1.0)
    >>> shortage({"its matrix": 3 * GIB, "its blocks": GIB})
    'needs 4 GiB of memory (3 GiB for its matrix), the limit is 1 GiB'
    >>> _ = memory_limit(before)
    """
    limit, total = memory_limit(), sum(parts.values()) / GIB
    if total <= limit:
        return None
    largest = max(parts, key=lambda name: parts[name])
    return (
        f"needs {total:.3g} GiB of memory ({parts[largest] / GIB:.3g} GiB for {largest}), "
        f"the limit is {limit:.3g} GiB"
    )


def _read(name: str, text: str) -> float:
    with suppress(ValueError):
        return positive_or_infinite(name, float(text))
    raise ValueError(f"{name} must be a number > 0, got {text!r}")


def _physical() -> float:
    """Return the physical memory in GiB."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    except (AttributeError, OSError, ValueError):
        return UNKNOWN / SHARE

"""The instances of a family: named, sized, and built when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from importlib import import_module
from typing import Any, NamedTuple

from convexnn.contract.checks import ProblemError, choice
from convexnn.contract.problem import Problem

FAMILIES = ("relu", "robust", "wasserstein", "median")
LEVELS = ("quick", "default", "full")


class Case(NamedTuple):
    """An instance of a family.

    Attributes
    ----------
    instance : str
        Its name, unique in its family.
    source : str
        Where its data come from: the name of its file among the benchmark's data sets.
    build : functools.partial
        Makes the problem.
    tiny : functools.partial
        Makes a small problem of the same kind, for engines to load their kernels on.
    n, d : int
        Examples and columns, samples and assets, points and coordinates.
    size : float
        Patterns, neurons or agents, where there are any.
    series : str
        Name of the growth series it belongs to, empty if none.
    varied : float
        Of a series, the size that grows.
    level : str
        The smallest sweep it is part of, one of `LEVELS`.
    missing : callable
        Returns why the data cannot be had here, empty if they can.
    """

    instance: str
    source: str
    build: partial[Any]
    tiny: partial[Any]
    n: int
    d: int
    size: float = float("nan")
    series: str = ""
    varied: float = float("nan")
    level: str = "full"
    missing: Callable[[], str] = str

    @property
    def kind(self) -> tuple[str, tuple[Any, ...]]:
        """Return what it has in common with instances of other sizes, hashable."""
        return self.tiny.func.__qualname__, self.tiny.args

    @property
    def labels(self) -> dict[str, Any]:
        """Return what the rows of its runs say of it."""
        return {name: getattr(self, name) for name in LABELS}


LABELS = ("instance", "series", "varied", "n", "d", "size")


@lru_cache(maxsize=len(FAMILIES))
def cases(family: str) -> dict[str, Case]:
    """Return the instances of a family by name.

    Examples
    --------
    >>> sorted({case.source for case in cases("median").values()})
    ['agents', 'cloud', 'constrained']
    """
    choice("family", family, FAMILIES)
    found: Iterable[Case] = _module(family).cases()
    listed = list(found)
    named = {case.instance: case for case in listed}
    if len(named) < len(listed):
        raise ProblemError(f"the instances of {family} must have different names")
    return named


def _module(family: str) -> Any:
    return import_module(f"convexnn.bench.cases.{family}")


@lru_cache(maxsize=1)
def built(build: partial[Any]) -> Problem[Any]:
    """Return the problem that an instance's `build` makes; the last one is kept."""
    problem: Problem[Any] = build()
    return problem


def names(family: str, source: str) -> list[str]:
    """Return the names of a source's instances, as the parameters of a benchmark's data set."""
    return [name for name, case in cases(family).items() if case.source == source]


def pick(family: str, level: str, asked: Iterable[str] | None = None) -> list[Case]:
    """Return the instances of a sweep.

    Parameters
    ----------
    family : str
    level : str
        One of `LEVELS`: each includes those before it.
    asked : sequence of str, optional
        Sources, whose instances at this level are taken, or single instances at any level.

    Raises
    ------
    ProblemError
        If the family, or a name that is asked for, does not exist.
    """
    known = cases(family)
    reach = LEVELS[: LEVELS.index(choice("level", level, LEVELS)) + 1]
    if asked is None:
        return [case for case in known.values() if case.level in reach]
    sources = sorted({case.source for case in known.values()})
    found: dict[str, Case] = {}
    for name in asked:
        if name in known:
            found[name] = known[name]
        elif name in sources:
            of_source = [case for case in known.values() if case.source == name]
            chosen = [case for case in of_source if case.level in reach] or of_source
            found.update({case.instance: case for case in chosen})
        elif name in (needs := getattr(_module(family), "NEEDS", {})):
            raise ProblemError(f"datasets: {name!r} needs {needs[name]}")
        else:
            raise ProblemError(
                f"datasets must be among {', '.join(sources)}, or an instance's name, got {name!r}"
            )
    return list(found.values())

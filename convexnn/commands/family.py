"""The two commands that every problem family has, and the record of what is its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from typer import Exit

from convexnn.commands import options
from convexnn.commands.report import Output, alone, convergence, measured, scorer
from convexnn.commands.source import Source
from convexnn.contract.certificate import Status
from convexnn.contract.checks import ProblemError
from convexnn.datasets import Split
from convexnn.driver.compare import compare as run_all
from convexnn.driver.solution import Solution
from convexnn.driver.solve import solve as run_one

PLAIN = "breast_cancer"


def named(backend: str) -> tuple[str, dict[str, Any]]:
    """Return a backend's name, and that it has no options."""
    return backend, {}


def always(problem: Any) -> str | None:
    """Say that nothing stands in the way of a figure."""
    return None


def as_declared(problem: Any, seed: int) -> Any:
    """Return the problem itself: every engine that is compared takes it."""
    return problem


@dataclass(frozen=True)
class Family:
    """What a problem family has of its own; keyword parameters are options of its commands.

    Attributes
    ----------
    solves, compares : str
        What the two commands do, for their help.
    declare : callable
        From a source of data, a seed and the family's options to the data and the problem, which
        is the same for both commands.
    title : callable
        From the data and the problem, and options of the family, to the line above a comparison.
    tell : callable
        From a solution and the data to what there is to say beside the certificate, in lines.
    tol : float
        The certified gap to reach unless another is asked for.
    data : type
        The option of the source of data.
    source : str or None
        The source unless another is given.
    engine : callable
        From a backend and options of solve alone to the backend's name and its own options.
    listed : callable
        From a problem over all patterns, a seed and options of compare alone to one that more
        engines take.
    over_all : tuple of str
        The engines of the comparison that solve the problem as it was declared, where `listed`
        returns another.
    plot : type
        The option of the figure of a solution.
    draw : callable
        Writes that figure.
    undrawn : callable
        From a problem to why its solution has no figure.
    scored : bool
        Whether the models predict.
    """

    solves: str
    compares: str
    declare: Callable[..., tuple[Split, Any]]
    title: Callable[..., str]
    tell: Callable[[Solution, Split], list[str]]
    tol: float
    data: Any = options.Data
    source: str | None = PLAIN
    engine: Callable[..., tuple[str, dict[str, Any]]] = named
    listed: Callable[..., Any] = as_declared
    over_all: tuple[str, ...] = ()
    plot: Any = options.Plot
    draw: Callable[[Solution, Split, Path], None] = convergence
    undrawn: Callable[[Any], str | None] = always
    scored: bool = True


def solve(family: Family) -> Callable[..., None]:
    """Return the command that solves a problem of the family."""

    def command(
        data: options.Data | None = family.source,
        backend: options.Backend = "auto",
        *,
        tol: options.Tol = family.tol,
        max_iter: options.MaxIter = None,
        time_limit: options.Limit = 60.0,
        threads: options.Threads = 1,
        seed: options.Seed = 0,
        save: options.Save = None,
        plot: options.Plot = None,
        json: options.Json = False,
        **own: Any,
    ) -> None:
        out = Output(json, save=save, plot=plot)
        name, chosen = family.engine(backend, **part(family.engine, own))
        source = Source(data, options.reading(**part(options.reading, own)))
        split, problem = family.declare(source, seed, **part(family.declare, own))
        reason = None if plot is None else family.undrawn(problem)
        if reason is not None:
            raise ProblemError(reason)
        out.data(split)
        solution = run_one(
            problem,
            name,
            tol=tol,
            max_iter=max_iter,
            time_limit=time_limit,
            threads=threads,
            seed=seed,
            progress=out.speaks,
            **chosen,
        )
        if out.speaks:
            try:
                told = family.tell(solution, split)
                out.solution(alone(solution, split, scored=family.scored), told)
            finally:  # where what is printed goes may be full as well
                out.save(solution, split)
            out.draw(family.draw, solution, split)
            out.close()
        if solution.status is Status.FAILED:
            raise Exit(1)

    called = (options.reading, family.declare, family.engine)
    return typed(command, family.solves, *called, data=family.data, plot=family.plot)


def compare(family: Family) -> Callable[..., None]:
    """Return the command that compares every capable backend on a problem of the family."""

    def command(
        data: options.Data | None = family.source,
        backends: options.Backends = "",
        *,
        tol: options.Tol = family.tol,
        time_limit: options.Limit = 60.0,
        threads: options.Threads = 1,
        seed: options.Seed = 0,
        save: options.Save = None,
        plot: options.Plot = Path("convergence.png"),
        json: options.Json = False,
        **own: Any,
    ) -> None:
        out = Output(json, save=save, plot=plot)
        source = Source(data, options.reading(**part(options.reading, own)))
        split, problem = family.declare(source, seed, **part(family.declare, own))
        out.data(split)
        few = family.listed(problem, seed, **part(family.listed, own))
        out.title(family.title(split, few, **part(family.title, own)))
        asked: dict[str, Any] = {"tol": tol, "time_limit": time_limit, "seed": seed}
        asked |= {"threads": threads, "progress": out.speaks}
        over_all = () if few is problem else family.over_all
        result = run_all(
            few,
            options.listed(backends),
            score=scorer(split) if family.scored else None,
            measure=measured(split),
            reference=[run_one(problem, name, **asked) for name in over_all],
            **asked,
        )
        if not out.speaks:
            return
        best = leader(result.solutions, tol)
        try:
            out.comparison(result, family.tell(best, split))
        finally:
            out.save(best, split, f"best solution, by {best.backend},")
        out.draw(convergence, result, split)
        out.close()

    called = (options.reading, family.declare, family.listed)
    return typed(command, family.compares, *called, data=family.data)


def leader(solutions: Sequence[Solution], tol: float) -> Solution:
    """Return the lowest objective, among those that hold their constraints if there are any."""

    def rank_of(solution: Solution) -> tuple[bool, bool, float]:
        value = solution.objective
        return not np.isfinite(value), not solution.violation <= tol, value

    return min(solutions, key=rank_of)


def part(function: Callable[..., Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return those of the given options that a function takes by keyword.

    Examples
    --------
    >>> part(sorted, {"reverse": True, "beta": 1.0})
    {'reverse': True}
    """
    return {p.name: given[p.name] for p in keywords(function) if p.name in given}


def keywords(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters of a function that are given by keyword alone."""
    found = inspect.signature(function, eval_str=True).parameters.values()
    return [p for p in found if p.kind is p.KEYWORD_ONLY]


def typed(
    command: Callable[..., None], help: str, *called: Callable[..., Any], **kinds: Any
) -> Callable[..., None]:
    """Give a command the options of the functions that it calls, for typer to read.

    They stand behind its positional parameters; `kinds` are options in the place of others.
    """
    shared = inspect.signature(command, eval_str=True).parameters.values()
    first = [p for p in shared if p.kind is p.POSITIONAL_OR_KEYWORD]
    last = [p for p in shared if p.kind is p.KEYWORD_ONLY]
    own = {p.name: p for function in called for p in keywords(function)}
    ordered = [
        p.replace(kind=p.KEYWORD_ONLY, annotation=kinds.get(p.name, p.annotation))
        for p in (*first, *own.values(), *last)
    ]
    command.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
    command.__doc__ = help or command.__doc__
    return command

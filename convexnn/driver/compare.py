"""compare(): one problem, every capable backend, graded alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import combinations
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, runtime_checkable

import numpy as np

from convexnn.contract.backend import Backend, BackendError, common_form, registry
from convexnn.contract.brief import shortened
from convexnn.contract.certificate import Certificate, Status
from convexnn.contract.checks import (
    choice,
    flag,
    function,
    instance_of,
    non_negative,
    positive_int,
    seconds,
    seed_of,
    several,
    shown,
    tolerance,
)
from convexnn.contract.problem import Model, Problem
from convexnn.contract.system.optional import need
from convexnn.driver.choice import NAMED, choose, declared
from convexnn.driver.choice import backends as list_backends
from convexnn.driver.solution import Solution
from convexnn.driver.solve import Compiled, line_of, prepared
from convexnn.driver.tables import as_text, fitting, plain
from convexnn.driver.views import KINDS, race

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from convexnn.driver.progress import Line

EXACT = 1e-12  # violation up to which a point has none but by rounding
# Columns of the table, the most important first: the certificate's stay in any room.
CERTIFICATE = ("backend", "objective", "bound", "gap", "bound covers")
TOLD, BESIDE = (*CERTIFICATE, "status"), ("solve s", "violation", "rounds", "messages", "cpu s")
INTERRUPTED = "interrupted from the keyboard"


@runtime_checkable
class Talks(Protocol):
    """A model of agents that talk to their neighbours in a graph."""

    rounds: int
    messages: int


class Disagreement(NamedTuple):
    """Two answers to one problem, and by how much their certificates contradict each other.

    Attributes
    ----------
    a, b : str
        The backends: a's objective is held against b's bound.
    excess : float
        ``(bound of b - objective of a) / max(1, |objectives|)``. The optimum is between the two,
        so it is at most 0 but for rounding and violations within the tolerance; above that one
        of the certificates is wrong. inf if one found a solution and the other says that there
        is none.
    """

    a: str
    b: str
    excess: float


def excess(a: Certificate, b: Certificate, tol: float) -> float:
    """Return by how much b's bound exceeds a's objective, relative to the larger objective.

    -inf where the two cover different programs, or a has a violation and does not pass, so that
    its objective bounds nothing.

    Examples
    --------
    >>> a, b = Certificate(4.0, 3.5, 0.0, "all x"), Certificate(8.0, 6.0, 0.0, "all x")
    >>> excess(a, b, 1e-6), excess(b, a, 1e-6)
    (0.25, -0.5625)
    """
    if a.covers != b.covers or not (a.violation <= EXACT or a.passes(tol)):
        return -np.inf
    net = a.net is not None and b.net is not None
    objective = a.graded[0] if net else a.objective
    theirs, bound = b.graded if net else (b.objective, b.bound)
    if not (np.isfinite(objective) and np.isfinite(bound)):
        return -np.inf
    other = abs(theirs) if np.isfinite(theirs) else 0.0
    return (bound - objective) / max(1.0, abs(objective), other)


def contrary(a: Status, b: Status) -> bool:
    """Tell whether one status says that there is a solution and the other that there is none.

    Examples
    --------
    >>> contrary(Status.OPTIMAL, Status.INFEASIBLE), contrary(Status.OPTIMAL, Status.FAILED)
    (True, False)
    """
    return Status.OPTIMAL in (a, b) and bool({a, b} & {Status.INFEASIBLE, Status.UNBOUNDED})


@dataclass(frozen=True, eq=False)
class Comparison(Generic[Model]):
    """Solutions of one problem, side by side.

    Prints as a table: in a terminal through rich, in a notebook as HTML. Its last line names the
    two answers that agree least.

    Attributes
    ----------
    runs : tuple of tuple of Solution
        Every repeat of each backend.
    tol : float
        What the runs were asked for.
    scores : tuple of float or None
        What `score` made of each backend's first model.
    skipped : dict of str to str
        Backends that were not run, and why; those made for other problems are left out.
    measure : str
        What the scores are called.
    """

    runs: tuple[tuple[Solution[Model], ...], ...]
    tol: float = 1e-6
    scores: tuple[float, ...] | None = None
    skipped: dict[str, str] | None = None
    measure: str = "score"

    @property
    def solutions(self) -> tuple[Solution[Model], ...]:
        """Return the first repeat of each backend, that of the first seed."""
        return tuple(repeats[0] for repeats in self.runs)

    @property
    def _rows(self) -> list[dict[str, Any]]:
        rows = []
        for i, (s, repeats) in enumerate(zip(self.solutions, self.runs, strict=True)):
            row: dict[str, Any] = {
                "backend": s.backend,
                "status": s.status.name,
                "objective": s.objective,
                "bound": s.bound,
                "gap": s.gap,
                "violation": s.violation,
                "compile": s.timings["compile"],
                "solve": statistics.median(r.timings["solve"] for r in repeats),
                "cpu": statistics.median(r.timings.get("cpu", np.nan) for r in repeats),
                "certify": statistics.median(r.timings["certify"] for r in repeats),
                "scope": s.certificate.scope,
            }
            if isinstance(s.model, Talks):
                row |= {"rounds": s.model.rounds, "messages": s.model.messages}
            if self.scores is not None:
                row["score"] = self.scores[i]
            rows.append(row)
        return rows

    @property
    def frame(self) -> pd.DataFrame:
        """Return the figures in full precision, one row a backend (extra: compare).

        "solve", "cpu" and "certify" are the medians over the repeats of the wall and processor
        seconds in the engine, and of the wall seconds of certification; the rest is the first
        repeat's.
        """
        frame: pd.DataFrame = need("pandas", "compare").DataFrame(self._rows)
        return frame

    @property
    def disagreement(self) -> Disagreement | None:
        """Return the two answers, of any repeats, that contradict each other most.

        Where none do, those of two backends that leave the least room.
        None where no bound and objective of two answers can be held against each other. Answers
        are compared that cover the same program.
        """
        return max(self._pairs, key=self._telling, default=None)

    def _telling(self, pair: Disagreement) -> tuple[bool, bool, float]:
        """Order pairs: contradictions first, then those of two backends."""
        contradicts = pair.excess > self.tol
        return contradicts, contradicts or pair.a != pair.b, pair.excess

    @property
    def _pairs(self) -> list[Disagreement]:
        found = []
        every = [run for repeats in self.runs for run in repeats]
        for pair in combinations(every, 2):
            for a, b in (pair, pair[::-1]):
                clash = contrary(a.status, b.status)
                by = np.inf if clash else excess(a.certificate, b.certificate, self.tol)
                if by > -np.inf:
                    found.append(Disagreement(a.backend, b.backend, by))
        return found

    def agree(self, tol: float) -> bool:
        """Tell whether no certified answer contradicts another by more than `tol`.

        The optimum is between the bound and the objective of every answer, so any bound must be
        at most any objective: `disagreement` is the largest excess over that.

        Parameters
        ----------
        tol : float

        Returns
        -------
        bool
        """
        tol = non_negative("tol", tol)
        return all(pair.excess <= tol for pair in self._pairs)

    @property
    def _verdict(self) -> str:
        worst = self.disagreement
        if worst is None:
            return "no two certified answers to compare"
        a, b, by = worst
        if by <= self.tol:
            room = f"overlap by {0.0 - by:.1e}" if by <= 0.0 else f"are {by:.1e} apart"
            return f"all agree to {self.tol:g}; least of all {a} and {b}, whose certificates {room}"
        if by == np.inf:
            return f"{a} and {b} DISAGREE: one says that there is a solution, the other not"
        return f"{a} and {b} DISAGREE: the bound of {b} is {by:.1e} above the objective of {a}"

    @property
    def _notes(self) -> list[str]:
        """What stands under the table."""
        failed = [f"FAILED: {s.backend}: {s.message}" for s in self._failed]
        skipped = [f"not run: {name}: {reason}" for name, reason in (self.skipped or {}).items()]
        several = [f"times are medians of {n} runs" for n in {len(r) for r in self.runs} if n > 1]
        last = [self._verdict] if len(self.runs) > 1 else []
        return [*several, *failed, *skipped, *self._unproved_best, *last]

    @property
    def _unproved_best(self) -> list[str]:
        """Say what the status of the best answer means where others are OPTIMAL."""
        sound = [s for s in self.solutions if s.violation <= self.tol]
        proved = [s.objective for s in sound if s.status is Status.OPTIMAL]
        best = min(sound, key=lambda s: s.objective, default=None)
        if not proved or best is None or not np.isfinite(best.bound):
            return []
        if min(proved) - best.objective <= self.tol * max(1.0, abs(best.objective)):
            return []
        return [
            f"{best.backend} has the lowest objective: {best.status.name} says that its proof is "
            f"open, over {best.certificate.covers} the optimum may be as low as {best.bound:.6g}"
        ]

    @property
    def _failed(self) -> list[Solution[Model]]:
        return [run for r in self.runs for run in r if run.status is Status.FAILED]

    @property
    def _cells(self) -> list[dict[str, str]]:
        return [as_text(row, self.measure) for row in self._rows]

    def __str__(self) -> str:
        return "\n".join([plain(self._cells), *self._notes])

    def __repr__(self) -> str:
        return shortened(str(self))

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        """Show as much of the table as the terminal has room for."""
        if self.runs:
            order = [*TOLD, self.measure, *BESIDE]
            yield from fitting(self._cells, order, options.max_width, least=len(CERTIFICATE))
        text = need("rich.text", "cli").Text
        yield from (text(note) for note in self._notes)

    def _repr_html_(self) -> str:
        table: str = need("pandas", "compare").DataFrame(self._cells).to_html(index=False, border=0)
        return table + "".join(f"<p>{escape(note)}</p>" for note in self._notes)

    def plot(self, ax: Axes | None = None, kind: str = "gap") -> Axes:
        """Draw each backend's best certified answer against time (extra: plot).

        A horizontal line is the tolerance; where bounds cover different networks, styles of lines
        tell which.

        Parameters
        ----------
        ax : matplotlib axes, optional
        kind : {"gap", "objective", "excess"}, default "gap"
            The certified gap; or the objective from above and, dashed, the bound from below; or by
            how much the objective exceeds the best that any of them found, relative to that.

        Returns
        -------
        matplotlib axes
        """
        choice("kind", kind, tuple(KINDS))
        return race(self.solutions, self.tol, kind, ax)


def compare(
    problem: Problem[Model],
    backends: Sequence[str | Backend] | None = None,
    *,
    tol: float = 1e-6,
    repeats: int = 1,
    time_limit: float | None = None,
    threads: int = 1,
    seed: int = 0,
    progress: bool = False,
    score: Callable[[Model], float] | None = None,
    measure: str = "score",
    reference: Sequence[Solution[Model]] = (),
) -> Comparison[Model]:
    """Solve a problem with several backends and grade them by the same certificate.

    A backend that raises gets a row with the status FAILED. Ctrl-C ends the comparison with
    what was done by then.

    Parameters
    ----------
    problem : Problem
    backends : sequence of str or Backend, optional
        If None, all that can take the problem except ``mpi:*``, which start processes.
    tol : float, default 1e-6
    repeats : int, default 1
        Runs of each; the table shows the median times.
    time_limit : float, optional
        Seconds for each run; all of them together have no limit of their own.
    threads : int, default 1
    seed : int, default 0
        Of the first run of each; those that repeat it count on from it.
    progress : bool, default False
        Show a live line (extra: cli).
    score : callable, optional
        Applied to each model, for example its accuracy on held-out data.
    measure : str, default "score"
        What to call the score.
    reference : sequence of Solution, default ()
        Further answers to show above the others.

    Returns
    -------
    Comparison

    Raises
    ------
    BackendError
        If a named backend does not exist or cannot take the problem.
    ValueError
        If an option is out of range.

    Examples
    --------
    >>> import convexnn as cx
    >>> X = np.random.default_rng(0).standard_normal((30, 2))
    >>> problem = cx.ReluTraining(X, X[:, 0], beta=0.1, patterns=20)
    >>> cx.compare(problem, ["admm", "cvxpy:clarabel"]).agree(1e-6)
    True
    """
    declared(problem)
    repeats, seed = positive_int("repeats", repeats), seed_of(seed)
    tol, threads = tolerance("tol", tol), positive_int("threads", threads)
    if time_limit is not None:
        time_limit = seconds("time_limit", time_limit)
    flag("progress", progress)
    if score is not None:
        function("score", score)
    instance_of("measure", measure, str, "a text")
    none = isinstance(reference, tuple | list) and not reference
    for one in () if none else several("reference", reference, "solutions"):
        instance_of("reference", one, Solution, "a sequence of solutions")
    skipped: dict[str, str] = {}
    if isinstance(backends, str):
        raise BackendError(f"backends must be a list of names or backends, got {backends!r}")
    if backends is not None:
        backends = several("backends", backends, "names or backends")
        for one in backends:
            if not isinstance(one, str | Backend) or isinstance(one, type):
                raise BackendError(f"backends must be names or backends, got {shown(one)} in them")
    else:
        reasons = list_backends(problem).reasons
        for name in reasons:
            if name.startswith(NAMED):
                reasons[name] = reasons[name] or "starts processes, so it has to be named"
        backends = [name for name, reason in reasons.items() if reason is None]
        suited = {n for n, b in registry().items() if common_form(b, problem) is not None}
        skipped = {n: reason for n, reason in reasons.items() if reason and n in suited}
    asked: dict[str, Any] = {"tol": tol, "time_limit": time_limit, "threads": threads}
    with line_of(progress) as line:
        runs, stopped = _runs(problem, backends, asked, repeats, seed, reference, line)
    skipped |= stopped
    scores = None if score is None else tuple(score(repeats[0].model) for repeats in runs)
    return Comparison(tuple(runs), tol, scores, skipped, measure)


def _runs(
    problem: Problem[Model],
    backends: Sequence[str | Backend],
    asked: dict[str, Any],
    repeats: int,
    seed: int,
    reference: Sequence[Solution[Model]],
    line: Line | None,
) -> tuple[list[tuple[Solution[Model], ...]], dict[str, str]]:
    """Run each backend; return what is done, and what Ctrl-C left undone."""
    skipped: dict[str, str] = {}
    names = [given if isinstance(given, str) else given.name for given in backends]
    ready: list[Compiled[Model]] = []
    for k, backend in enumerate(backends):
        if line is not None:
            line.turn(k + 1, len(names), names[k])
        try:
            ready.append(_compiled(problem, backend))
        except KeyboardInterrupt:
            if not reference:
                raise
            left = [*(done.backend.name for done in ready), *names[k:]]
            skipped |= dict.fromkeys(left, INTERRUPTED)
            ready = []
            break
    runs: list[tuple[Solution[Model], ...]] = [(solution,) for solution in reference]
    for i, compiled in enumerate(ready):
        done: list[Solution[Model]] = []
        if line is not None:
            line.turn(i + 1, len(ready), compiled.backend.name)
        try:
            for k in range(repeats):
                draw = None if line is None else line.follow(compiled.backend.name)
                done.append(compiled.run(seed=seed + k, callback=draw, **asked))
                if done[-1].status is Status.STOPPED:  # by Ctrl-C: there is no callback
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            runs += [tuple(done)] if done else []
            if not runs:
                raise
            others = ready[i + bool(done) :]
            skipped |= {other.backend.name: INTERRUPTED for other in others}
            break
        runs.append(tuple(done))
        if line is not None:
            line.done(in_a_row(done[0]))
    return runs, skipped


def in_a_row(solution: Solution[Any]) -> str:
    """Return what a backend has found, as its row is shown when it is done."""
    return (
        f"{solution.backend:<15}  {solution.status.name:<10}  objective {solution.objective:.6g}  "
        f"gap {solution.gap:.1e}  {solution.timings['solve']:.3f} s"
    )


def _compiled(problem: Problem[Model], backend: str | Backend) -> Compiled[Model]:
    """Compile; a run is to survive whatever the engine raises, then and in its preparation."""
    begin = time.perf_counter()
    chosen = choose(problem, backend)
    try:
        return replace(prepared(problem, chosen, begin), survives=(Exception,))
    except Exception as error:
        return Compiled(problem, chosen.backend, None, 0.0, (Exception,), error=error)

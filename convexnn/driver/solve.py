"""Solving: compile() and solve(), from a declaration to a graded answer."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import version
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeAlias

import numpy as np

from convexnn.contract.backend import (
    Backend,
    BackendError,
    Capabilities,
    Options,
    Outcome,
    Raw,
    Reporter,
    common_form,
)
from convexnn.contract.brief import brief
from convexnn.contract.certificate import Stage, Status
from convexnn.contract.checks import (
    ProblemError,
    flag,
    function,
    positive_int,
    seconds,
    seed_of,
    shown,
    tolerance,
)
from convexnn.contract.clock import Clock, OutOfTime, look, time_is_up, timed_by
from convexnn.contract.form import Admits
from convexnn.contract.grading import Grader, Halves, contents, grader_of
from convexnn.contract.predictor import Predictor
from convexnn.contract.problem import (
    Adopts,
    Builder,
    Deferred,
    Model,
    Problem,
    Remarks,
    TakesModels,
)
from convexnn.contract.program import CvxpyProgram
from convexnn.contract.system.compiling import compiled_s
from convexnn.contract.system.interrupts import Request, as_interrupt, interruptible
from convexnn.driver.choice import Choice, able, choose
from convexnn.driver.monitor import Callback, CallbackRaised, Monitor, trivial
from convexnn.driver.solution import Solution

if TYPE_CHECKING:
    from convexnn.driver.progress import Line

# A solution, a primal point, or a primal and a dual point: each a record of the problem's family.
Start: TypeAlias = "Solution[object] | tuple[object, ...] | Predictor"

RELIEFS = 2  # engines that go on, one after the other, where each ends without proof
# Outcomes after which another engine may go on.
UNPROVEN = (Outcome.FINISHED, Outcome.MAX_ITER, Outcome.FAILED)
# What an outcome says of an answer that is not proved; of the others, that it is inaccurate.
ENDS = {
    Outcome.MAX_ITER: Status.MAX_ITER,
    Outcome.FAILED: Status.FAILED,
    Outcome.INFEASIBLE: Status.INFEASIBLE,
    Outcome.UNBOUNDED: Status.UNBOUNDED,
    Outcome.TIME_LIMIT: Status.TIME_LIMIT,
}
TOLD = 0.5  # seconds of compiling that the message of a run without time left tells
BREAKDOWNS = (ArithmeticError, np.linalg.LinAlgError, MemoryError)
VERSIONS = ("convexnn", "numpy", "scipy", "numba", "cvxpy")


def solve(
    problem: Problem[Model],
    backend: str | Backend = "auto",
    *,
    tol: float = 1e-6,
    max_iter: int | None = None,
    time_limit: float | None = None,
    start: Start | None = None,
    callback: Callback | None = None,
    progress: bool = False,
    threads: int = 1,
    seed: int = 0,
    **options: object,
) -> Solution[Model]:
    """Solve a problem and return the best answer with its certificate.

    Parameters
    ----------
    problem : Problem
    backend : str or Backend, default "auto"
        A name from ``backends(problem).names``; "auto" chooses by problem and size. Where its
        choice ends without proof, the next two go on in the time that is left, and the message
        says so; not if `max_iter` or options of an engine are given, nor in searches over all
        patterns.
    tol : float, default 1e-6
        OPTIMAL needs ``|certified relative gap| <= tol`` and ``violation <= tol``.
    max_iter : int, optional
        The engine's own default if None.
    time_limit : float, optional
        Seconds from the call, the writing of the problem included; the best certified point so far
        is returned when they are over. Of ``Compiled.run`` they are from that call. Kernels that
        are compiled, the first time they are met, take part of them: ``timings["kernels"]``.
    start : Solution, primal point or model, optional
        Where to start: of this problem, or of one that differs in beta, y or loss only; a network
        or linear model for the examples as they are in X.
    callback : callable, optional
        Called with each certified `Step`; a true answer stops the run.
    progress : bool, default False
        Show a live line with objective, bound and gap (extra: cli).
    threads : int, default 1
        Threads of the linear algebra libraries.
    seed : int, default 0
        For engines that draw random numbers.
    **options
        The engine's own options; an unknown one is an error.

    Returns
    -------
    Solution

    Raises
    ------
    BackendError
        If the backend does not exist, is not installed or cannot take the problem.
    ValueError
        If an option is out of range.

    Examples
    --------
    >>> import convexnn as cx
    >>> X = np.random.default_rng(0).standard_normal((30, 2))
    >>> solution = cx.solve(cx.ReluTraining(X, X[:, 0], beta=0.1, patterns=20))
    >>> solution.status.name
    'OPTIMAL'
    """
    clock = _clock(time_limit)
    with line_of(progress) as line:
        with timed_by(clock):
            ready = written(problem, backend)
        return ready._timed(
            clock,
            line,
            tol=tol,
            max_iter=max_iter,
            time_limit=time_limit,
            start=start,
            callback=callback,
            threads=threads,
            seed=seed,
            **options,
        )


def line_of(progress: bool) -> AbstractContextManager[Line | None]:
    """Return a live line if one is asked for."""
    if not flag("progress", progress):
        return nullcontext()
    from convexnn.driver.progress import live

    return live()


def compile(problem: Problem[Model], backend: str | Backend = "auto") -> Compiled[Model]:
    """Write a problem in the form that a backend reads, ready to run many times.

    Parameters
    ----------
    problem : Problem
    backend : str or Backend, default "auto"

    Returns
    -------
    Compiled

    Raises
    ------
    BackendError
        If the backend does not exist, is not installed or cannot take the problem;
        `MemoryLimitError` if it would need more memory than `memory_limit` allows.

    Examples
    --------
    >>> import convexnn as cx
    >>> X = np.random.default_rng(0).standard_normal((30, 2))
    >>> ready = cx.compile(cx.ReluTraining(X, X[:, 0], beta=0.1, patterns=20), "admm")
    >>> first = ready.run(tol=1e-3)
    >>> ready.run(start=first, tol=1e-6).status.name
    'OPTIMAL'
    """
    begin = time.perf_counter()
    with as_interrupt():
        return prepared(problem, choose(problem, backend), begin)


def prepared(problem: Problem[Model], chosen: Choice, begin: float) -> Compiled[Model]:
    """Return a problem written and an engine compiled; `begin` is when that was asked for."""
    compiled = compiled_s()
    form: object = problem.canonical(chosen.form)
    if isinstance(problem, Deferred):
        look()  # without time its answer is another one
    if not time_is_up():  # else no engine will run
        chosen.backend.prepare(form)
    grader = grader_of(problem)
    points = problem.initial()
    if isinstance(problem, Halves):
        problem.fitting.learn(*points)
    grader.certify(*points)  # compiles its kernels
    grader.keep()
    spent, inside = time.perf_counter() - begin, compiled_s() - compiled
    return Compiled(
        *(problem, chosen.backend, form, spent),
        relief=chosen.relief,
        grader=grader,
        kernels_s=inside,
    )


def written(problem: Problem[Model], backend: str | Backend) -> Compiled[Model]:
    """Compile by the clock at hand; where it ends before, only the trivial answer is left to run.

    Examples
    --------
    >>> import convexnn as cx
    >>> problem = cx.ReluTraining([[1.0], [2.0]], [1.0, 2.0], beta=0.1, patterns=2)
    >>> with timed_by(Clock(0.0)):
    ...     written(problem, "admm").run().message
    'The time ran out before the problem was written.'
    """
    begin, compiled = time.perf_counter(), compiled_s()
    try:
        return compile(problem, backend)
    except OutOfTime as reason:
        engine = Unreached(backend, *reason.args)
        spent, inside = time.perf_counter() - begin, compiled_s() - compiled
        return Compiled(problem, engine, None, spent, kernels_s=inside)


UNWRITTEN = "The time ran out before the problem was written."


class Unreached:
    """Stands for the engine of a run whose time is up before the problem is written."""

    capabilities = Capabilities(())

    def __init__(self, backend: str | Backend, reason: str = UNWRITTEN) -> None:
        self.name = backend if isinstance(backend, str) else backend.name
        self.reason = reason

    def available(self) -> str | None:
        """Return None."""
        return None

    def refuses(self, problem: Problem[object]) -> str | None:
        """Return None."""
        return None

    def prepare(self, form: Any) -> None:
        """Do nothing."""

    def run(self, form: Any, options: Options, reporter: Reporter, start: Any = None) -> Raw:
        """Say that there was no time."""
        return Raw(Outcome.TIME_LIMIT, self.reason)


@brief
@dataclass(frozen=True, eq=False)
class Compiled(Generic[Model]):
    """A problem in the form that its backend reads.

    Attributes
    ----------
    problem : Problem
    backend : Backend
    form : NamedTuple
    compile_s : float
    survives : tuple of type
        Exceptions of the engine that end a run as FAILED, with the best point so far.
    trivial : bool, default True
        Grade the problem's trivial answer before the engine runs.
    relief : tuple of str, default ()
        Names of the backends that may go on where this one ends without proof: the first that
        can take the problem does, and where that one ends so too, the next.
    grader : Grader, optional
        Knows the trivial answer alone; each run begins with a copy of it.
    error : Exception, optional
        What the backend raised when it was prepared: it is raised where it should run.
    kernels_s : float, default 0.0
        Seconds of `compile_s` in which kernels were compiled.
    """

    problem: Problem[Model]
    backend: Backend
    form: Any
    compile_s: float
    survives: tuple[type[Exception], ...] = BREAKDOWNS
    trivial: bool = True
    relief: tuple[str, ...] = ()
    grader: Grader[Model] | None = None
    error: Exception | None = None
    kernels_s: float = 0.0

    def run(
        self,
        *,
        tol: float = 1e-6,
        max_iter: int | None = None,
        time_limit: float | None = None,
        start: Start | None = None,
        callback: Callback | None = None,
        progress: bool = False,
        threads: int = 1,
        seed: int = 0,
        **options: object,
    ) -> Solution[Model]:
        """Solve; the parameters are those of `convexnn.solve`."""
        clock = _clock(time_limit)
        with line_of(progress) as line:
            return self._timed(
                clock,
                line,
                tol=tol,
                max_iter=max_iter,
                time_limit=time_limit,
                start=start,
                callback=callback,
                threads=threads,
                seed=seed,
                **options,
            )

    def _timed(
        self,
        clock: Clock,
        line: Line | None,
        *,
        tol: float,
        max_iter: int | None,
        time_limit: float | None,
        start: Start | None,
        callback: Callback | None,
        threads: int,
        seed: int,
        **options: object,
    ) -> Solution[Model]:
        """Solve on a clock that may have begun before, and say on a line how it goes."""
        tol = tolerance("tol", tol)
        if max_iter is not None:
            max_iter = positive_int("max_iter", max_iter)
        if time_limit is not None:
            time_limit = seconds("time_limit", time_limit)
        if callback is not None:
            function("callback", callback)
        threads, seed = positive_int("threads", threads), seed_of(seed)
        if line is not None:
            callback = line.follow(self.backend.name, callback)
        with interruptible() as asked:
            return self._run(
                tol, max_iter, time_limit, start, callback, threads, seed, options, asked, clock
            )

    def _run(
        self,
        tol: float,
        max_iter: int | None,
        time_limit: float | None,
        start: Start | None,
        callback: Callback | None,
        threads: int,
        seed: int,
        extra: dict[str, object],
        interruption: Request,
        clock: Clock,
    ) -> Solution[Model]:
        reached = not isinstance(self.backend, Unreached)
        compiled = compiled_s()
        points = _start_points(self.problem, self.form, start) if reached else None
        grader = grader_of(self.problem) if self.grader is None else self.grader.again()
        monitor = Monitor(self.problem, tol, time_limit, callback, grader, interruption, clock)
        asked = Options(tol, max_iter, seed, extra)
        engine, raw = self.backend, Raw(Outcome.STOPPED)
        quiet = np.errstate(over="ignore", divide="ignore", invalid="ignore")  # a status, not noise
        with limited(threads), quiet, timed_by(monitor):
            try:
                first = trivial(self.problem, late=not reached)
                over = self.trivial and monitor.report(0, *first)
                if not over or not reached:
                    if self.error is not None:
                        raise self.error
                    raw = self._attempt(engine, self.form, asked, monitor, points)
                    unbound = max_iter is None and not extra and not monitor.over()
                    if self.relief and unbound and raw.outcome in UNPROVEN:
                        engine, raw = self._relieve(raw, asked, monitor)
            except CallbackRaised as raised:
                raise raised.error from None
            except OutOfTime as reason:
                raw = Raw(Outcome.TIME_LIMIT, *reason.args)
            except KeyboardInterrupt:  # where signals were not ours to take, or the second of two
                if interruption.urgent:
                    raise
                interruption.signals = 1
                monitor.stopped = True
                raw = Raw(Outcome.STOPPED)
            except self.survives as error:
                raw = Raw(Outcome.FAILED, f"{type(error).__name__}: {error}")
            solve_s, cpu_s = monitor.elapsed() - monitor.certify_s, monitor.cpu()
            primal, dual, certificate = monitor.finish()
        passes = certificate.passes(tol)
        said = interruption.said if interruption and not passes else ""
        status, kernels_s = _status(passes, monitor, raw), self.kernels_s + compiled_s() - compiled
        if status is Status.TIME_LIMIT and kernels_s >= TOLD:
            said = joined(said, f"Compiling kernels, once, took {kernels_s:.1f} s of the time.")
        remarks = _remarks(self.problem, status) if reached else ""
        return Solution(
            status=status,
            certificate=certificate,
            model=grader.build_model(primal),
            primal=primal,
            dual=dual,
            history=tuple(monitor.history),
            timings={
                "compile": self.compile_s,
                "solve": solve_s,
                "cpu": cpu_s,
                "certify": monitor.certify_s,
                "kernels": kernels_s,
            },
            backend=engine.name,
            message=joined(said, raw.message, remarks),
            problem=self.problem,
            options={
                "tol": tol,
                "max_iter": max_iter,
                "time_limit": time_limit,
                "threads": threads,
                "seed": seed,
                **extra,
            },
            versions=dict(versions()),
            stages=_stages(raw, monitor),
        )

    def _attempt(
        self, engine: Backend, form: Any, asked: Options, monitor: Monitor, points: Any
    ) -> Raw:
        try:
            with as_interrupt(monitor.asked):
                return _ending(engine.run(form, asked, monitor, points))
        except self.survives as error:
            return Raw(Outcome.FAILED, f"{type(error).__name__}: {error}")

    def _relieve(self, raw: Raw, asked: Options, monitor: Monitor) -> tuple[Backend, Raw]:
        """Let other engines go on, each from its own start; return the last and how all ended."""
        engine = self.backend
        for following in islice(able(self.problem, self.relief), RELIEFS):
            if monitor.over() or raw.outcome not in UNPROVEN:
                break
            kind = common_form(following, self.problem)
            assert kind is not None
            form: object = self.problem.canonical(kind)
            following.prepare(form)
            monitor.go_on()
            said = f"{engine.name} ended without proof ({raw.outcome}); {following.name} went on."
            ended = self._attempt(following, form, asked, monitor, None)
            engine, raw = (
                following,
                ended._replace(message=joined(raw.message, said, ended.message)),
            )
        return engine, raw


def joined(*parts: str) -> str:
    """Return sentences as one text, without those that are empty.

    Examples
    --------
    >>> joined("One.", "", "Two.")
    'One. Two.'
    """
    return " ".join(part for part in parts if part)


def _ending(raw: Any) -> Raw:
    """Return how an engine ended, or say that it did not tell."""
    if isinstance(raw, Raw):
        with suppress(ValueError):
            return raw._replace(outcome=Outcome(raw.outcome))
    raise BackendError(f"run must return Raw(one of {', '.join(Outcome)}), got {raw!r}")


def _remarks(problem: Problem[object], status: Status) -> str:
    """Return what a problem says of its answer, and of its data where there is no proof."""
    said = problem.remark() if isinstance(problem, Builder | Remarks) else ""
    if isinstance(problem, Builder) and status in (*ENDS.values(), Status.INACCURATE):
        said = joined(said, problem.scaling())
    return said


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Have the linear algebra libraries use so many threads within."""
    pools = [(pool, pool.num_threads) for pool in _threadpools(len(sys.modules)).lib_controllers]
    others = [(pool, count) for pool, count in pools if count != threads]
    for pool, _ in others:
        pool.set_num_threads(threads)
    try:
        yield
    finally:
        for pool, count in others:
            pool.set_num_threads(count)


@lru_cache(maxsize=1)
def _threadpools(loaded: int) -> Any:
    """Return the controller of the linear algebra libraries; finding them takes milliseconds."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that an answer depends on."""
    return {"python": platform.python_version()} | {v: version(v) for v in VERSIONS}


def _start_points(problem: Problem[object], form: Any, start: Start | None) -> Any:
    """Return the primal and the dual point that an engine starts from, None if it is not to."""
    if start is None or isinstance(form, CvxpyProgram):
        return None  # CVXPY's solvers take no start
    own, proof = problem.initial()
    if isinstance(start, Solution) and isinstance(problem, Adopts):
        start = problem.adopt(start)
    elif isinstance(start, Solution):
        start = (start.primal, start.dual)
    elif isinstance(start, Predictor) and isinstance(problem, TakesModels):
        start = (problem.point_of(start), None)
    elif type(start) is not tuple:  # but a point, which is a named one
        start = (start, None)
    if len(start) != 2:
        raise ProblemError(
            f"start must be a Solution or {type(own).__name__}, or a pair of that and a "
            f"{type(proof).__name__} or None, got {shown(start)}"
        )
    primal, dual = start
    if not isinstance(primal, type(own)):
        raise ProblemError(
            f"start must be a Solution or {type(own).__name__}, got {type(primal).__name__}"
        )
    if not isinstance(dual, type(proof)):
        dual = None  # that of another kind of problem says nothing here
    if isinstance(problem, Deferred) and contents(primal) == contents(problem.unwritten()[0]):
        return None  # the answer of a run without time
    if isinstance(form, Admits):
        return form.admit(primal, dual)
    for name, mine, expected in zip(own._fields, primal, own, strict=True):
        if np.shape(mine) != np.shape(expected):
            raise ProblemError(
                f"start must have {name} of shape {np.shape(expected)}, got {np.shape(mine)}"
            )
    return primal, dual


def _stages(raw: Raw, monitor: Monitor) -> tuple[Stage, ...]:
    """Return the stages that an engine went through, graded by what was certified."""
    done, graded = 0, []
    for k, (mu, iterations) in enumerate(raw.stages):
        done += iterations
        gaps = [step.gap for step in monitor.history if step.iteration <= done]
        graded.append(Stage(k, mu, iterations, gaps[-1] if gaps else np.inf))
    return tuple(graded)


def _status(passes: bool, monitor: Monitor, raw: Raw) -> Status:
    if passes:
        return Status.OPTIMAL
    if monitor.stopped:
        return Status.STOPPED
    if monitor.timed_out:
        return Status.TIME_LIMIT
    return ENDS.get(raw.outcome, Status.INACCURATE)


def _clock(time_limit: float | None) -> Clock:
    """Return the clock of a run that begins now."""
    return Clock.started(None if time_limit is None else seconds("time_limit", time_limit))

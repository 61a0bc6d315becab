"""Solving along beta: each point from the ones before, until the last or an interruption."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.backend import Backend
from convexnn.contract.certificate import Status, Step
from convexnn.contract.clock import OutOfTime, seconds_left
from convexnn.contract.system.interrupts import interruptible
from convexnn.driver.choice import able, automatic
from convexnn.driver.solution import Solution
from convexnn.driver.solve import Compiled, compile
from convexnn.relu.forms import Dual, GroupForm, MajorantForm, Neurons
from convexnn.workflows.path_result import Counts
from convexnn.workflows.path_start import listed_form
from convexnn.workflows.working_set import WorkingSet

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array
    from convexnn.driver.monitor import Callback

LATE = "the time limit"  # how a path ends
KINKED = ("ipm", "admm", "fista")  # the same for losses with kinks
ENGINES = ("semismooth", "admm", "fista")  # of "auto", for smooth losses: the first that can


class Watch:
    """A callback that remembers whether it asked to stop."""

    def __init__(self, callback: Callback | None) -> None:
        self.callback, self.stopped = callback, False

    def __call__(self, step: Step) -> bool:
        """Ask, and remember the answer."""
        self.stopped = self.stopped or bool(self.callback is not None and self.callback(step))
        return self.stopped


class Trace:
    """Points along beta: each is solved from the ones before, and none is lost once it is done.

    Attributes
    ----------
    points : list of (Solution, Counts, float)
        Each with its seconds.
    ended : str or None
        What ended the path before its last beta.
    remark : str
        What there is to say of all points.
    """

    def __init__(self) -> None:
        self.points: list[tuple[Solution, Counts, float]] = []
        self.ended: str | None = None
        self.remark = ""

    @property
    def solutions(self) -> list[Solution]:
        """Return the solutions."""
        return [solution for solution, *_ in self.points]

    @property
    def message(self) -> str:
        """Return what there is to say of the path."""
        end = f"Ended by {self.ended} after {len(self.points)} points." if self.ended else ""
        return f"{self.remark} {end}".strip()


def trace(
    problem: Any,
    betas: Array,
    backend: str | Backend,
    screen: bool,
    run: dict[str, Any],
) -> Trace:
    """Solve along betas until the last, the end of the clock at hand or an interruption."""
    done = Trace()
    with interruptible() as asked:
        try:
            done.ended = _solve(done, problem, betas, backend, screen, run)
        except OutOfTime:
            done.ended = LATE
        except KeyboardInterrupt:
            if asked.urgent:
                raise
            done.ended = "an interruption"
        if asked and len(done.points) < len(betas):
            done.ended = "an interruption"
    return done


def _solve(
    done: Trace,
    problem: Any,
    betas: Array,
    backend: str | Backend,
    screen: bool,
    run: dict[str, Any],
) -> str | None:
    """Add points; return what ended them, None after the last."""
    begin = time.perf_counter()
    first = problem.at(float(betas[0]))
    ready = compile(first, _engine(first, backend))
    exact = "ipm" if backend == "auto" and ready.backend.name != "ipm" else None
    spare = (exact,) if exact is not None and any(able(first, (exact,))) else ()
    warm = ready.backend.capabilities.warm_start
    smooth = isinstance(ready.form, GroupForm) and np.isfinite(ready.form.loss.curvature)
    narrow: WorkingSet | None = None
    if screen and smooth:
        narrow = WorkingSet(ready.backend, ready.form, first.design.slack)
    if screen and narrow is None:
        done.remark = "No pattern was screened: that takes a smooth loss, and cones or gates."
    for beta in betas:
        spent, left = time.perf_counter() - begin, seconds_left()
        if left == 0.0:
            return LATE
        point = problem.at(float(beta))
        form = point.canonical(type(ready.form))
        engine: Backend = ready.backend if narrow is None else narrow
        if narrow is not None:
            narrow.solved = 0
        start = _ahead(done.solutions[-2:], float(beta)) if warm else None
        if isinstance(form, GroupForm) and start is not None and not _fits(form, start[0]):
            start = None
        compile_s = 0.0 if done.points else ready.compile_s
        compiled = Compiled(point, engine, form, compile_s, trivial=start is None, relief=spare)
        solution = compiled.run(start=start, time_limit=left, **run)
        if solution.status in (Status.STOPPED, Status.TIME_LIMIT):  # nor is its point done
            late = solution.status is Status.TIME_LIMIT
            return LATE if late else "an interruption"
        counts = _counts(narrow, form, solution)
        done.points.append((solution, counts, time.perf_counter() - begin - spent))
        if run["callback"].stopped:
            return "an interruption"
    return None


def _engine(problem: Any, backend: str | Backend) -> str | Backend:
    form = listed_form(problem)
    if backend != "auto" or form is None:
        return backend
    if not np.isfinite(form.loss.curvature):
        name = automatic(problem)
        return name if name in KINKED else next(able(problem, KINKED), KINKED[0])
    return next(able(problem, ENGINES), ENGINES[-1])


def _counts(narrow: WorkingSet | None, form: Any, solution: Solution) -> Counts:
    total = form.slopes.shape[1] if isinstance(form, GroupForm | MajorantForm) else 0
    if narrow is None:
        return Counts(total, 0, total)
    if narrow.known is None:  # the zero network was good enough
        narrow.origin(form)
    dropped = int(narrow.dropped.sum())
    return Counts(total - dropped, dropped, narrow.solved)


def _fits(form: GroupForm, primal: Neurons) -> bool:
    return bool(primal.V.shape[1] + primal.W.shape[1] == form.blocks)


def _ahead(solutions: list[Solution], beta: float) -> Any:
    """Return where the line through the last two points leads, neurons in use at both only."""
    if not solutions:
        return None
    last = solutions[-1]
    if len(solutions) < 2 or not isinstance(last.dual, Dual):
        return (last.primal, last.dual)
    before = solutions[-2]
    share = (beta - last.problem.beta) / (last.problem.beta - before.problem.beta)

    def beyond(new: Array, old: Array) -> Array:
        both = new.any(axis=0) & old.any(axis=0)
        return np.where(both, new + share * (new - old), new)

    new, old = last.primal, before.primal
    if new.V.shape != old.V.shape or new.W.shape != old.W.shape:
        return (new, last.dual)
    skip = new.skip + share * (new.skip - old.skip)
    primal = Neurons(beyond(new.V, old.V), beyond(new.W, old.W), skip)
    mu = last.dual.mu + share * (last.dual.mu - before.dual.mu)
    return primal, last.dual._replace(mu=mu)

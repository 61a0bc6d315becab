"""The one door to every solver that CVXPY finds."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from convexnn.contract.backend import Capabilities, Options, Outcome, Raw, Reporter
from convexnn.contract.clock import OutOfTime, seconds_left
from convexnn.contract.problem import Problem
from convexnn.contract.program import CvxpyProgram
from convexnn.contract.system.memory import Size
from convexnn.solvers.apart import POSSIBLE, apart
from convexnn.solvers.hush import hush

if TYPE_CHECKING:
    import cvxpy as cp

FINEST = 1e-13  # no solver is asked for more
SHARPER = 1e-2  # factor between one attempt's own tolerance and the next's
ATTEMPTS = 4
LONG = 3_000  # numbers in a program from which a solver may take seconds
# Seconds that CVXPY takes to write a program, measured, and half as much more: for each number in
# it, each inequality, and each entry that an absolute value or another atom bends.
NUMBER, INEQUALITY, BENT = 6e-7, 2e-6, 5e-6
LOOK = 0.05  # seconds between two looks at the clock while another thread has its turn
GRACE = 0.5  # seconds that a solver may take to notice its time limit
SEMIDEFINITE = ("PSD", "SvecPSD")  # by the version of CVXPY
SPOKEN = {
    "qp": "quadratic objectives",
    "soc": "second-order cones",
    "exp": "exponential cones",
    "sdp": "semidefinite cones",
}
ENTRY = 170.0  # bytes that CVXPY and a solver take for a non-zero of the constraints, measured


@dataclass(frozen=True)
class Knobs:
    """What one solver calls its settings.

    Attributes
    ----------
    tolerances : tuple of str
        All set to the same value.
    seconds, iterations : str
        Empty where the solver has none.
    fixed : dict
        Always passed.
    threads : bool
        Whether it may keep threads of its own from one solve to the next.
    """

    tolerances: tuple[str, ...] = ()
    seconds: str = ""
    iterations: str = ""
    fixed: dict[str, Any] = field(default_factory=dict)
    threads: bool = False


# Threads that a solver keeps are missing in a copy of the process, which waits for them forever:
# Clarabel is to have none, and one that is not known may have some.
THREADS = {"max_threads": 1}
KNOBS = {
    "CLARABEL": Knobs(
        ("tol_gap_abs", "tol_gap_rel", "tol_feas"), "time_limit", "max_iter", {**THREADS}
    ),
    "SCS": Knobs(("eps_abs", "eps_rel"), "time_limit_secs", "max_iters", {"max_iters": 20_000}),
    "OSQP": Knobs(
        ("eps_abs", "eps_rel"),
        "time_limit",
        "max_iter",
        {"max_iter": 100_000, "polishing": True, "adaptive_rho": False},
    ),
    "ECOS": Knobs(("abstol", "reltol", "feastol"), "", "max_iters"),
    "HIGHS": Knobs((), "time_limit", "", {"qp_regularization_value": 1e-10}, threads=True),
    "PIQP": Knobs(("eps_abs", "eps_rel"), "", "max_iter"),
    "QOCO": Knobs(("abstol", "reltol"), "", "max_iters"),
}


class Attempt(NamedTuple):
    """What came of solving once: the point is left in the program, or carried in `parts`.

    Attributes
    ----------
    own : float
        The tolerance that the solver was asked for.
    iterations : int
    error : str
        What was raised, if anything.
    broke : bool
        Whether it was the solver that broke down.
    parts : tuple or None
    """

    own: float
    iterations: int = 0
    error: str = ""
    broke: bool = False
    parts: tuple[Any, ...] | None = None


def _parts(found: Any) -> tuple[Any, ...]:
    """Return what a solution in CVXPY is made of, without what the solver said beside."""
    return found.status, found.opt_val, found.primal_vars, found.dual_vars


def _solution(parts: tuple[Any, ...]) -> Any:
    from cvxpy.reductions.solution import Solution

    return Solution(*parts, {})


class Patience:
    """Waits a little for a solver that was told the time limit, and not at all after a signal."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.since: float | None = None

    def over(self) -> bool:
        """Tell whether the solver is to be left."""
        if not self.reporter.expired():
            return False
        if self.reporter.remaining() != 0.0:
            return True
        now = time.perf_counter()
        self.since = now if self.since is None else self.since
        return now - self.since > GRACE


_turns: WeakKeyDictionary[Any, threading.RLock] = WeakKeyDictionary()  # of programs
_waiting = threading.Lock()


@contextmanager
def turn(problem: cp.Problem, reporter: Reporter) -> Iterator[bool]:
    """Wait until no other thread runs a program, which holds one solution; True when it is ours.

    False where the time was over before.
    """
    with _waiting:
        lock = _turns.setdefault(problem, threading.RLock())
    while not (ours := lock.acquire(timeout=LOOK)) and not reporter.expired():
        pass
    try:
        yield ours
    finally:
        if ours:
            lock.release()


class CvxpySolver:
    """One of CVXPY's solvers. Its own tolerance is tightened until the certificate passes.

    Options are passed on to the solver under its own names.

    Parameters
    ----------
    solver : str
        As CVXPY spells it.
    knows : frozenset of str
        Some of "qp", "soc", "exp", "sdp".
    """

    def __init__(self, solver: str, knows: frozenset[str]) -> None:
        self.solver, self.knows = solver, knows
        self.name = f"cvxpy:{solver.lower()}"
        self.knobs = KNOBS.get(solver, Knobs(threads=True))
        more = ", ".join(SPOKEN[kind] for kind in SPOKEN if kind in knows)
        self.capabilities = Capabilities(
            forms=(CvxpyProgram,),
            callback=False,
            best_tol=1e-8,
            about=f"linear programs{more and f' with {more}'}, written in CVXPY: {solver}, "
            "and its own options by their names",
        )

    def available(self) -> str | None:
        """Return None: it was found installed."""
        return None

    def refuses(self, problem: Problem[Any]) -> str | None:
        """Return the cones that the solver does not know."""
        missing = problem.needs() - self.knows
        return "no " + ", no ".join(SPOKEN[m] for m in sorted(missing)) if missing else None

    def prepare(self, form: CvxpyProgram) -> None:
        """Canonicalise; CVXPY keeps the result.

        Under a time limit that is left to where the solver runs, if that can be left; if not, it is
        not begun where it takes longer than there is time.

        Raises
        ------
        OutOfTime
        """
        hush(self.solver)
        left = seconds_left()
        if left < inf:
            if self._leaves(form.problem):
                return
            takes = writing(form.problem)
            if takes > left:
                raise OutOfTime(
                    f"To write the problem for {self.solver} takes some {takes:.0f} s, and "
                    f"{left:.1f} s were left."
                )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            form.problem.get_problem_data(self.solver)

    def memory(self, size: Size) -> dict[str, float]:
        """Return 170 bytes a non-zero: ``ndP``, or ``4 ndP`` with cones, for each output."""
        entries = size.outputs * size.n * size.d * size.patterns * (4 if size.cones else 1)
        return {f"{entries:,} non-zeros of its constraints": ENTRY * entries}

    def run(
        self, form: CvxpyProgram, options: Options, reporter: Reporter, start: Any = None
    ) -> Raw:
        """Solve with sharper and sharper settings."""
        with turn(form.problem, reporter) as begun:
            if not begun:
                return Raw(Outcome.TIME_LIMIT, "Another run of the same program took the time.")
            return self._run(form, options, reporter)

    def _run(self, form: CvxpyProgram, options: Options, reporter: Reporter) -> Raw:
        problem = form.problem
        iterations, ending = 0, ""
        with self._attempts(problem, options, reporter) as attempts:
            for attempt in attempts:
                if attempt is None:
                    return Raw(Outcome.TIME_LIMIT, f"{self.solver} was left before it ended.")
                if attempt.error:
                    if iterations and attempt.broke:
                        ending = f"{self.solver} broke down at tolerance {attempt.own:.0e}."
                        break
                    return Raw(Outcome.FAILED, attempt.error)
                if attempt.parts is not None:
                    problem.unpack(_solution(attempt.parts))
                raw = self._judged(form, attempt, options, reporter)
                if raw is not None:
                    return raw
                iterations += max(attempt.iterations, 1)
                if reporter.report(iterations, *form.points()):
                    return Raw(Outcome.STOPPED)
                if self._cut(attempt, options):
                    return Raw(Outcome.MAX_ITER, f"{self.solver} ran out of iterations.")
                ending = f"{self.solver} ends with {problem.status} at tolerance {attempt.own:.0e}."
        return Raw(Outcome.FINISHED, ending)

    def _cut(self, attempt: Attempt, options: Options) -> bool:
        return options.max_iter is not None and attempt.iterations >= options.max_iter

    def _judged(
        self, form: CvxpyProgram, attempt: Attempt, options: Options, reporter: Reporter
    ) -> Raw | None:
        """Return how the run ends where an attempt has no point, None where it has one."""
        status = form.problem.status
        if form.feasible and status.startswith(("infeasible", "unbounded")):
            return Raw(
                Outcome.FAILED,
                f"{self.solver} reports {status}, though there is an optimum: rescale the data, "
                "or try another backend.",
            )
        if status in ("infeasible", "unbounded"):
            return Raw(Outcome(status), f"{self.solver} reports {status}, to its own tolerance.")
        late = Outcome.TIME_LIMIT if reporter.expired() else Outcome.FAILED
        if status in ("infeasible_inaccurate", "unbounded_inaccurate"):
            ending = Outcome.MAX_ITER if self._cut(attempt, options) else late
            return Raw(ending, f"{self.solver} reports {status}, which proves nothing.")
        if any(variable.value is None for variable in form.problem.variables()):
            return Raw(late, f"{self.solver} ends with {status}.")
        return None

    @contextmanager
    def _attempts(
        self, problem: cp.Problem, options: Options, reporter: Reporter
    ) -> Iterator[Iterator[Attempt | None]]:
        """Solve again and again, sharper each time; what may take long, where it can be left.

        A solver asks nobody while it runs.
        """

        def here() -> Iterator[Attempt]:
            return self._sharper(problem, options, reporter)

        def there() -> Iterator[Attempt]:
            for attempt in here():
                found = problem.solution
                yield attempt if attempt.error else attempt._replace(parts=_parts(found))

        if not self._leaves(problem) or any(
            options.extra.get(name, one) != one for name, one in THREADS.items()
        ):
            yield here()
        else:
            with apart(there, Patience(reporter).over) as answers:
                yield answers

    def _leaves(self, problem: cp.Problem) -> bool:
        """Tell whether a program takes long, and is solved where the solver can be left."""
        if self.knobs.threads or not POSSIBLE:
            return False
        return bool(problem.size_metrics.num_scalar_data >= LONG)

    def _sharper(
        self, problem: cp.Problem, options: Options, reporter: Reporter
    ) -> Iterator[Attempt]:
        import cvxpy as cp

        own = max(0.1 * options.tol, FINEST)
        for attempt in range(ATTEMPTS):
            settings = self._settings(own, options, reporter)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    # what another run has left in the program is no start of this one
                    settings = {"warm_start": attempt > 0} | settings
                    problem.solve(solver=self.solver, **settings)
            except cp.SolverError as error:
                yield Attempt(own, error=str(error).splitlines()[0], broke=True)
                return
            except (ArithmeticError, ValueError, TypeError) as error:
                yield Attempt(own, error=f"{type(error).__name__}: {error}")
                return
            yield Attempt(own, int(problem.solver_stats.num_iters or 0))
            if own <= FINEST or not self.knobs.tolerances:
                return
            own = max(own * SHARPER, FINEST)

    def _settings(self, own: float, options: Options, reporter: Reporter) -> dict[str, Any]:
        knobs = self.knobs
        settings = knobs.fixed | dict.fromkeys(knobs.tolerances, own)
        left = reporter.remaining()
        if left is not None and knobs.seconds:
            settings[knobs.seconds] = max(left, 1e-3)
        if options.max_iter is not None and knobs.iterations:
            settings[knobs.iterations] = options.max_iter
        return settings | options.extra


def writing(problem: cp.Problem) -> float:
    """Return some seconds that CVXPY takes to write a program.

    Examples
    --------
    >>> import cvxpy as cp
    >>> x = cp.Variable(1_000)
    >>> writing(cp.Problem(cp.Minimize(cp.sum(cp.abs(x)))))
    0.005
    """
    from cvxpy.atoms.atom import Atom

    size = problem.size_metrics
    known = NUMBER * float(size.num_scalar_data) + INEQUALITY * float(size.num_scalar_leq_constr)
    left: list[Any] = [problem.objective, *problem.constraints]
    while left:
        part = left.pop()
        if isinstance(part, Atom) and not (part.is_atom_convex() and part.is_atom_concave()):
            known += BENT * sum(argument.size for argument in part.args)
        left += part.args
    return known


def discover() -> list[CvxpySolver]:
    """Return a backend for every solver that CVXPY finds, and what each one knows."""
    import cvxpy as cp
    from cvxpy.constraints import SOC, ExpCone
    from cvxpy.reductions.solvers.defines import SOLVER_MAP_CONIC, SOLVER_MAP_QP

    found = []
    for solver in sorted(cp.installed_solvers()):
        knows: set[str] = set()
        conic = SOLVER_MAP_CONIC.get(solver)
        if conic is not None:
            cones = conic.SUPPORTED_CONSTRAINTS
            knows |= {name for name, cone in (("soc", SOC), ("exp", ExpCone)) if cone in cones}
            if any(cone.__name__ in SEMIDEFINITE for cone in cones):
                knows.add("sdp")
            if "soc" in knows:
                knows.add("qp")  # CVXPY turns a quadratic objective into a cone
        if solver in SOLVER_MAP_QP:
            knows.add("qp")
        if conic is not None or solver in SOLVER_MAP_QP:
            found.append(CvxpySolver(solver, frozenset(knows)))
    return found

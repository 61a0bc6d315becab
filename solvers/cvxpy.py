"""The one door to every solver that CVXPY finds."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

from convexnn.contract.backend import Capabilities, Options, Outcome, Raw, Reporter
from convexnn.contract.memory import Size
from convexnn.contract.problem import Problem
from convexnn.contract.program import CvxpyProgram

FINEST = 1e-13  # no solver is asked for more
SHARPER = 1e-2  # factor between one attempt's own tolerance and the next's
ATTEMPTS = 4
SEMIDEFINITE = ("PSD", "SvecPSD")  # by the version of CVXPY
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
    """

    tolerances: tuple[str, ...] = ()
    seconds: str = ""
    iterations: str = ""
    fixed: dict[str, Any] = field(default_factory=dict)


KNOBS = {
    "CLARABEL": Knobs(("tol_gap_abs", "tol_gap_rel", "tol_feas"), "time_limit", "max_iter"),
    "SCS": Knobs(("eps_abs", "eps_rel"), "time_limit_secs", "max_iters", {"max_iters": 20_000}),
    "OSQP": Knobs(
        ("eps_abs", "eps_rel"),
        "time_limit",
        "max_iter",
        {"max_iter": 100_000, "polishing": True, "adaptive_rho": False},
    ),
    "ECOS": Knobs(("abstol", "reltol", "feastol"), "", "max_iters"),
    "HIGHS": Knobs((), "time_limit", "", {"qp_regularization_value": 1e-10}),
    "PIQP": Knobs(("eps_abs", "eps_rel"), "", "max_iter"),
    "QOCO": Knobs(("abstol", "reltol"), "", "max_iters"),
}


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
        self.knobs = KNOBS.get(solver, Knobs())
        self.capabilities = Capabilities(forms=(CvxpyProgram,), callback=False, best_tol=1e-8)

    def available(self) -> str | None:
        """Return None: it was found installed."""
        return None

    def refuses(self, problem: Problem[Any]) -> str | None:
        """Return the cones that the solver does not know."""
        missing = problem.needs() - self.knows
        words = {
            "qp": "quadratic objectives",
            "soc": "second-order cones",
            "exp": "exponential cones",
            "sdp": "semidefinite cones",
        }
        return "no " + ", no ".join(words[m] for m in sorted(missing)) if missing else None

    def prepare(self, form: CvxpyProgram) -> None:
        """Canonicalise; CVXPY keeps the result."""
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
        import cvxpy as cp

        own = max(0.1 * options.tol, FINEST)
        iterations = 0
        for _ in range(ATTEMPTS):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    form.problem.solve(solver=self.solver, **self._settings(own, options, reporter))
            except cp.SolverError as error:
                if iterations:
                    return Raw(
                        Outcome.FINISHED, f"{self.solver} broke down at tolerance {own:.0e}."
                    )
                return Raw(Outcome.FAILED, str(error).splitlines()[0])
            except (ArithmeticError, ValueError, TypeError) as error:
                return Raw(Outcome.FAILED, f"{type(error).__name__}: {error}")
            status = form.problem.status
            if form.feasible and status.startswith(("infeasible", "unbounded")):
                return Raw(
                    Outcome.FAILED,
                    f"{self.solver} reports {status}, though zero is feasible and the objective "
                    "is not negative: rescale the targets, or try another backend.",
                )
            if status in ("infeasible", "unbounded"):
                return Raw(
                    Outcome(status), f"{self.solver} reports {status}, to its own tolerance."
                )
            spent = int(form.problem.solver_stats.num_iters or 0)
            cut = options.max_iter is not None and spent >= options.max_iter
            if status in ("infeasible_inaccurate", "unbounded_inaccurate"):
                late = Outcome.TIME_LIMIT if reporter.expired() else Outcome.FAILED
                ending = Outcome.MAX_ITER if cut else late
                return Raw(ending, f"{self.solver} reports {status}, which proves nothing.")
            iterations += max(spent, 1)
            if any(variable.value is None for variable in form.problem.variables()):
                return Raw(
                    Outcome.TIME_LIMIT if reporter.expired() else Outcome.FAILED,
                    f"{self.solver} ends with {status}.",
                )
            if reporter.report(iterations, *form.points()):
                return Raw(Outcome.STOPPED)
            if cut:
                return Raw(Outcome.MAX_ITER, f"{self.solver} ran out of iterations.")
            if own <= FINEST or not self.knobs.tolerances:
                break
            own = max(own * SHARPER, FINEST)
        return Raw(Outcome.FINISHED, f"{self.solver} ends with {status} at tolerance {own:.0e}.")

    def _settings(self, own: float, options: Options, reporter: Reporter) -> dict[str, Any]:
        knobs = self.knobs
        settings = knobs.fixed | dict.fromkeys(knobs.tolerances, own)
        left = reporter.remaining()
        if left is not None and knobs.seconds:
            settings[knobs.seconds] = max(left, 1e-3)
        if options.max_iter is not None and knobs.iterations:
            settings[knobs.iterations] = options.max_iter
        return settings | options.extra


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

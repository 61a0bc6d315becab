"""What the benchmarks' own files are made of: an objective, data sets, one solver of backends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchopt import BaseDataset, BaseObjective, BaseSolver

from convexnn.bench.cases.case import Case, built, cases
from convexnn.bench.grading import grade
from convexnn.bench.worker import worker
from convexnn.contract.problem import Problem
from convexnn.driver.choice import backends

TOL, LIMIT = 1e-6, 20.0


class Data(BaseDataset):  # type: ignore[misc]  # benchopt has no types
    """A source of instances; a subclass names it, its family and the parameter ``case``."""

    family: str
    case: str

    def get_data(self) -> dict[str, Any]:
        """Return the instance."""
        return {"case": cases(self.family)[self.case]}


class Certified(BaseObjective):  # type: ignore[misc]  # benchopt has no types
    """Grades runs by the problem's own certificate.

    `get_objective` gives solvers the ``problem``, the certified gap ``tol`` to reach, and the
    seconds ``limit`` that a run may take.
    """

    min_benchopt_version = "1.10"
    sampling_strategy = "run_once"
    # `version` is that of the library with a digest of its sources: edits are noticed.
    parameters: Mapping[str, Sequence[Any]] = {"tol": [TOL], "limit": [LIMIT], "version": [""]}
    parameter_template = "tol={tol},limit={limit}"

    case: Case
    tol: float
    limit: float

    def skip(self, case: Case) -> tuple[bool, str | None]:
        """Skip instances whose data cannot be had."""
        reason = case.missing()
        return bool(reason), reason or None

    def set_data(self, case: Case) -> None:
        """Keep the instance, not yet built: results that are there already need no data."""
        self.case = case

    def get_objective(self) -> dict[str, Any]:
        """Return ``problem``, ``tol`` and ``limit``."""
        return {"problem": built(self.case.build), "tol": self.tol, "limit": self.limit}

    def evaluate_result(self, points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return a row for each point of a run, see `convexnn.bench.grading.grade`."""
        labels = self.case.labels | {"family": self.name.rpartition(" ")[2]}
        graded = grade(built(self.case.build), points, self.tol)
        return [labels | row for row in graded]


class Backends(BaseSolver):  # type: ignore[misc]  # benchopt has no types
    """Every backend of the suite and its automatic choice, each in a process that may die."""

    name = "convexnn"
    parameters: Mapping[str, Sequence[str]] = {"backend": ["auto", *backends().names]}
    parameter_template = "{backend}"

    backend: str

    def set_objective(self, problem: Problem[Any], tol: float, limit: float) -> None:
        """Keep what is asked; the problem is built anew in the process that solves it."""
        self.tol, self.limit = tol, limit

    def pre_run_hook(self, _: Any) -> None:
        """Load the kernels on a tiny instance, so that no run pays for it.

        benchopt's own warm-up comes once a solver: too rarely, as processes may be new.
        """
        worker().warm(self.backend, self._objective.case)

    def run(self, _: Any) -> None:
        """Solve, and keep the certified steps and the answer."""
        build = self._objective.case.build
        self.points = worker().solve(build, self.backend, self.tol, self.limit)

    def get_result(self) -> dict[str, Any]:
        """Return the points, to be graded."""
        return {"points": self.points}

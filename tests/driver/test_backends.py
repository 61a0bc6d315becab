"""The table of backends: what each is for, its options, and what stands in its way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.bench.instances import instance
from convexnn.contract import backend as contract
from convexnn.contract.problem import Builder
from convexnn.contract.program import CvxpyProgram
from convexnn.solvers.engine import engines

X = np.random.default_rng(0).standard_normal((12, 2))
PROBLEM = cx.ReluTraining(X, X[:, 0], beta=0.1, patterns=4)


def paragraphs(text: str) -> dict[str, str]:
    """Return what is said of each backend, in one line."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if not line.startswith(" "):
            name, _, line = line.partition(" ")
        found[name] = f"{found.get(name, '')} {line.strip()}".strip()
    return found


def test_every_engine_says_what_it_is_for_and_its_options() -> None:
    said = paragraphs(str(cx.backends()))
    assert list(said) == list(cx.backends().reasons)
    for engine in engines():
        kinds, colon, method = engine.capabilities.about.partition(": ")
        assert kinds
        assert colon
        assert method
        for name, values in engine.options().items():
            assert name in said[engine.name]
            for value in values:
                assert value is None or f"{value}" in said[engine.name]
        assert engine.available() or engine.capabilities.about in said[engine.name]
    assert "relax=1.6 or 1.8" in said["admm"]


def test_of_a_problem_the_options_of_its_form_are_told() -> None:
    said = paragraphs(str(cx.backends(PROBLEM)))
    assert "options: rho, sigma, relax=1.6" in said["admm"]
    assert "1.8" not in said["admm"]
    assert said["newton"] == (
        "no: it does not take this ReluTraining; it is for geometric medians, Wasserstein fits "
        "and portfolios"
    )
    assert said["cvxpy:scipy"].startswith("no: no quadratic objectives")


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_longer_than_the_terminal(width: int) -> None:
    table = cx.backends()
    assert max(map(len, table.text(width).splitlines())) <= width
    assert paragraphs(table.text(width)) == paragraphs(str(table))


def test_refusals_have_no_names_of_forms() -> None:
    problems: list[Any] = [
        PROBLEM,
        cx.GeometricMedian(X),
        cx.RobustReluTraining(X, np.sign(X[:, 0]), beta=0.1, radius=0.1),
        cx.ReluTraining(np.tile(X, (30, 1)), np.tile(X[:, 0], 30), beta=0.1),
    ]
    for problem in problems:
        for name, reason in cx.backends(problem).reasons.items():
            assert reason is None or "Form" not in reason, (name, reason)


def test_a_backend_of_somebody_else_needs_no_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain:
        name = "plain"
        capabilities = cx.Capabilities(())

        def available(self) -> None:
            return None

        def refuses(self, problem: Any) -> None:
            return None

        def prepare(self, form: Any) -> None:
            pass

        def run(self, form: Any, options: Any, reporter: Any, start: Any = None) -> cx.Raw:
            return cx.Raw(cx.Outcome.FINISHED)

    monkeypatch.setattr(contract, "_registered", dict(contract._registered))
    cx.register(Plain())
    assert paragraphs(str(cx.backends()))["plain"] == "ready"
    assert "ReluTraining offers" in str(cx.backends(PROBLEM).reasons["plain"])


def test_no_solver_has_the_word_on_whether_there_is_an_optimum() -> None:
    """Every problem but those under equations has one, whatever a solver sees."""
    saved = sorted((Path(__file__).parent / "saved").glob("*.npz"))
    kinds = set()
    for path in saved:
        problem = cx.load(path).problem if path.stem != "network" else None
        if not isinstance(problem, Builder) or CvxpyProgram not in problem.forms():
            continue
        if problem.withholds(CvxpyProgram) is None and not problem.to_cvxpy().feasible:
            kinds.add(type(problem))
    assert kinds == {cx.LinearlyConstrained, cx.NetworkLasso}


def test_a_solver_that_sees_no_optimum_has_failed() -> None:
    """OSQP calls this newsvendor infeasible, one of whose demands is 24,786 times the others."""
    problem = instance(16006, 394).problem
    found = cx.solve(problem, "cvxpy:osqp", tol=1e-5, time_limit=5.0)
    assert found.status is not cx.Status.INFEASIBLE

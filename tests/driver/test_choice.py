"""One choice a solve, by what the forms say, also of forms that only a stranger knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest

import convexnn as cx
from convexnn import forms
from convexnn.contract import backend as backends
from convexnn.contract.backend import Options, Outcome, Reporter, registry
from convexnn.contract.form import Suits
from convexnn.contract.problem import Builder
from convexnn.contract.program import CvxpyProgram
from convexnn.driver import choice, solve

SAVED = Path(__file__).parent / "saved"
PROBLEMS = [path.stem for path in sorted(SAVED.glob("*.npz")) if path.stem != "network"]


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_engines_that_a_form_names_exist_and_read_it(name: str) -> None:
    problem = cx.load(SAVED / f"{name}.npz").problem
    names, _ = choice.preferred(problem)
    assert names
    for engine in names:
        assert backends.common_form(registry()[engine], problem) is not None


def test_every_form_of_the_index_says_what_suits_it() -> None:
    every = {getattr(forms, name) for name in dir(forms)}
    written = {kind for kind in every if isinstance(kind, type) and kind.__name__.endswith("Form")}
    assert len(written) > 8
    assert all(issubclass(kind, Suits) for kind in written)


def test_a_solve_asks_once_what_suits_and_what_can(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def counted(name: str) -> None:
        known = getattr(choice, name)

        def wrapped(*arguments: Any) -> Any:
            asked.append(name)
            return known(*arguments)

        monkeypatch.setattr(choice, name, wrapped)

    for name in ("preferred", "obstacle"):
        counted(name)
    X = np.random.default_rng(0).standard_normal((20, 2))
    problem = cx.GatedReluTraining(X, X[:, 0], beta=0.1, patterns=5)
    assert cx.solve(problem).status is cx.Status.OPTIMAL
    assert asked == ["preferred", "obstacle"]
    asked.clear()
    assert cx.solve(problem, "fista", tol=1e-2).backend == "fista"
    assert asked == ["obstacle"]


class Distance(NamedTuple):
    """Minimise ``|x - target|``: a form that this package does not know."""

    target: float


class Place(NamedTuple):
    x: float


class Nearest(Builder):
    FORMS: ClassVar[dict[type, str]] = {Distance: "form"}

    def __init__(self, target: float) -> None:
        self.form = Distance(target)

    def forms(self) -> tuple[type, ...]:
        return (Distance,)

    def to_cvxpy(self) -> CvxpyProgram:
        raise NotImplementedError

    def needs(self) -> frozenset[str]:
        return frozenset()

    def initial(self) -> tuple[Place, Place]:
        return Place(0.0), Place(0.0)

    def objective(self, primal: Place) -> float:
        return abs(primal.x - self.form.target)

    def certify(self, primal: Place, dual: Place) -> cx.Certificate:
        return cx.Certificate(self.objective(primal), 0.0, 0.0, "all x")

    def prune(self, primal: Place) -> Place:
        return primal

    def build_model(self, primal: Place) -> float:
        return primal.x


class Jump:
    name = "jump"
    capabilities = cx.Capabilities(forms=(Distance,))

    def available(self) -> str | None:
        return None

    def refuses(self, problem: Any) -> str | None:
        return None

    def prepare(self, form: Distance) -> None:
        pass

    def run(self, form: Distance, options: Options, reporter: Reporter, start: Any = None) -> Any:
        reporter.report(1, Place(form.target if start is None else start[0].x), Place(0.0))
        return cx.Raw(Outcome.FINISHED)


def test_a_form_that_says_nothing_goes_to_the_engines_that_read_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem: Any = Nearest(3.0)
    with pytest.raises(cx.BackendError, match="no backend takes Nearest"):
        cx.solve(problem)
    monkeypatch.setattr(backends, "_registered", dict(backends._registered))
    cx.register(Jump())
    assert choice.preferred(problem) == (("jump",), True)
    solution = cx.solve(problem)
    assert (solution.status, solution.backend, solution.model) == (cx.Status.OPTIMAL, "jump", 3.0)


def test_an_engine_that_does_not_exist_is_named() -> None:
    problem = cx.GeometricMedian([[0.0], [1.0]])
    with pytest.raises(cx.BackendError, match="a form of GeometricMedian names an engine 'nobody'"):
        next(choice.able(problem, ("nobody", "newton")))


def test_a_start_has_the_shapes_of_the_initial_point_where_the_form_says_nothing() -> None:
    ready = solve.compile(Nearest(3.0), Jump())
    assert ready.run(start=(Place(2.0), Place(0.0))).objective == 1.0
    with pytest.raises(cx.ProblemError, match=r"start must have x of shape \(\), got \(2,\)"):
        ready.run(start=(Place(np.zeros(2)), None))  # type: ignore[arg-type]
    with pytest.raises(cx.ProblemError, match="start must be a Solution or Place, got float"):
        ready.run(start=2.0)  # type: ignore[arg-type]

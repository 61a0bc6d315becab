"""Every argument of everything public: wrong values are refused by name, right ones are taken."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import convexnn as cx
from convexnn import terms
from convexnn.bench import hostile
from convexnn.bench.hostile import tried
from convexnn.bench.public_calls import INNER, MADE, Call, calls
from convexnn.bench.wrong_values import GOOD, KINDS, WRONG
from convexnn.commands.app import app
from convexnn.contract import checks
from convexnn.contract.checks import LARGEST, SMALLEST, ProblemError

WRITES = {"load", "save", "to_onnx"}  # their good call names a file that is not there


@pytest.fixture(scope="module", autouse=True)
def _without_a_screen() -> None:
    pytest.importorskip("matplotlib").use("Agg")


def methods(kind: type) -> Iterator[str]:
    for name, function in inspect.getmembers(kind):
        static = inspect.getattr_static(kind, name)
        if name.startswith("_") or not (inspect.isfunction(static) or hasattr(static, "__func__")):
            continue
        if [p for p in inspect.signature(function).parameters if p != "self"]:
            yield name


def public() -> dict[str, Any]:
    package: Any = cx
    everything = {name: getattr(package, name) for name in package.__all__}
    everything |= {f"terms.{name}": one for name, one in terms.SAVED.items()}
    return {
        name: one
        for name, one in everything.items()
        if callable(one)
        and not one.__module__.startswith("convexnn.estimators")  # whose fit checks, by custom
        and not (isinstance(one, type) and issubclass(one, BaseException))
        and name not in MADE
    }


def test_everything_public_is_in_the_table() -> None:
    tested = {call.name for call in calls()}
    assert not set(public()) - tested


def test_every_method_is_in_the_table_or_an_inner_one() -> None:
    tested = {call.name.rpartition(".")[2] for call in calls()}
    known = set(terms.SAVED.values())  # whose methods are the engines'
    classes = [one for one in public().values() if isinstance(one, type) and one not in known]
    classes += [cx.Solution, cx.Comparison, cx.Compiled, cx.CertificateCurve]
    missing = {f"{c.__name__}.{m}" for c in classes for m in methods(c)}
    assert not {name for name in missing if name.rpartition(".")[2] not in INNER | tested}


def test_every_parameter_has_a_kind_with_wrong_values() -> None:
    unknown = [
        f"{call.name}: {name}"
        for call in calls()
        for name in call.parameters
        if (call.kinds.get(name) or KINDS.get(name)) not in WRONG
    ]
    assert not unknown


def test_a_parameter_without_a_kind_is_found() -> None:
    def later(novelty: float) -> None: ...

    with pytest.raises(KeyError, match="novelty"):
        list(Call("later", later, {}).hostile())


def test_wrong_values_are_refused_by_name() -> None:
    found = [tried(call, name, value) for call in calls() for name, value in call.hostile()]
    wrong = [one for one in found if one.verdict not in ("refused", "slow")]
    assert not wrong, "\n".join(map(str, wrong[:20]))
    assert len(found) > 7000


def test_wrong_values_are_refused_at_once() -> None:
    slow = []
    for call in calls():
        for name, value in call.hostile():
            if tried(call, name, value).verdict == "slow":
                slow.append((call, name, value))
    again = [tried(*one) for one in slow]  # a busy machine is slow once
    assert not [one for one in again if one.verdict == "slow"]


def test_a_function_that_checks_nothing_is_found() -> None:
    def careless(beta: float) -> float:
        return float(beta)

    call = Call("careless", careless, {"beta": 1.0})
    verdicts = {tried(call, name, value).verdict for name, value in call.hostile()}
    assert verdicts == {"raw", "accepted"}


def test_numbers_of_numpy_and_arrays_without_axes_are_numbers() -> None:
    for call in calls():
        if call.name.rpartition(".")[2] in WRITES:
            continue
        call.function(**call.good)
        for name in call.parameters:
            for value in GOOD.get(call.kind(name), ()) if name in call.good else ():
                call.function(**{**call.good, name: value})


@pytest.mark.parametrize("value", [SMALLEST, LARGEST, 1.0])
def test_the_range_that_works_is_taken(value: float) -> None:
    assert checks.positive("beta", value) == value


@pytest.mark.parametrize("value", [SMALLEST / 2.0, LARGEST * 2.0, 5e-324])
def test_what_is_out_of_the_range_is_refused_with_the_range(value: float) -> None:
    with pytest.raises(ProblemError, match=r"beta must be between 1e-150 and 1e\+150 in size"):
        checks.positive("beta", value)


BASE: dict[str, Any] = {"X": np.array([[1.0, 0.5], [2.0, -1.0], [-1.0, 1.0], [0.5, 0.25]])}
BASE |= {"y": np.array([1.0, 2.0, -1.0, 0.5])}


@pytest.mark.parametrize("field", ["X", "y"])
@pytest.mark.parametrize("size", [1e-310, 1e200])
@pytest.mark.parametrize(
    "build",
    [
        lambda X, y: cx.ReluTraining(X, y, beta=1.0),
        lambda X, y: cx.GatedReluTraining(X, y, beta=1.0),
        lambda X, y: cx.UnivariateReluTraining(X[:, 0], y, beta=1.0),
        lambda X, y: cx.WassersteinRegression(X, y, radius=0.1),
    ],
)
def test_data_out_of_the_range(build: Any, field: str, size: float) -> None:
    with pytest.raises(ProblemError, match=rf"\b(x|{field}) must "):
        build(**(BASE | {field: BASE[field] * size}))


@pytest.mark.parametrize(("X", "y"), [(1e-140, 1.0), (1e140, 1.0), (1.0, 1e-140), (1.0, 1e60)])
def test_data_in_the_range_have_finite_answers(X: float, y: float) -> None:
    problem = cx.ReluTraining(BASE["X"] * X, BASE["y"] * y, beta=1.0, patterns=3)
    solution = cx.solve(problem, tol=1e-3, time_limit=5.0)
    assert np.isfinite(solution.objective)
    assert solution.bound <= solution.objective * (1.0 + 1e-9)


def test_scs_without_an_end_to_its_time() -> None:
    problem = cx.ReluTraining(**BASE, beta=1.0, patterns=3)
    assert cx.solve(problem, "cvxpy:scs", time_limit=np.inf, tol=1e-3).status.name == "OPTIMAL"


def test_long_values_are_shown_in_a_line() -> None:
    with pytest.raises(ProblemError) as caught:
        checks.positive("beta", list(range(1000)))  # type: ignore[arg-type]  # the point
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 120


def test_missing_labels_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    y = pandas.array(["a", "b", pandas.NA, "a"], dtype="string")
    with pytest.raises(ProblemError, match="y has 1 missing of 4, in row 2"):
        cx.ReluTraining(BASE["X"], y, beta=1.0, loss="hinge")


def test_the_campaign_counts_what_came_of_it() -> None:
    done = CliRunner().invoke(app, ["bench", "check", "--hostile", "40", "--seed", "3"])
    assert done.exit_code == 0, done.output
    assert "40 wrong arguments: " in done.output
    assert "0 unnamed, 0 raw, 0 accepted" in done.output


def test_the_campaign_fails_where_a_value_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    careless = Call("careless", lambda beta: beta, {"beta": 1.0}, {"beta": "positive"})
    monkeypatch.setattr(hostile, "calls", lambda: (careless,))
    done = CliRunner().invoke(app, ["bench", "check", "--hostile", "5"])
    assert done.exit_code == 1
    assert "careless(beta=" in done.output
    assert "5 accepted" in done.output

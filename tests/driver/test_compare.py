"""compare(): who is run, what is shown, and which two answers agree least."""

from __future__ import annotations

import io
from dataclasses import replace
from html.parser import HTMLParser
from itertools import permutations
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from engines import Admm
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import convexnn as cx
from convexnn.bench.instances import FAMILIES, instance
from convexnn.contract import backend as registered
from convexnn.contract.backend import Options, Reporter
from convexnn.contract.certificate import Certificate, Status
from convexnn.driver.compare import excess

mpl.use("Agg")
TOL = 1e-6


class Own(Admm):
    """A user's engine: ADMM under another name, that notes the seeds it is given."""

    name = "own"

    def __init__(self) -> None:
        super().__init__()
        self.seeds: list[int] = []

    def run(self, form: Any, options: Options, reporter: Reporter, start: Any = None) -> Any:
        self.seeds.append(options.seed)
        return super().run(form, options, reporter, start)


class Raises(Own):
    """An engine that finds something and then raises what nobody foresaw."""

    name = "raises"

    def run(self, form: Any, options: Options, reporter: Reporter, start: Any = None) -> Any:
        super().run(form, replace(options, max_iter=30), reporter, start)
        raise RuntimeError("out of ideas")


class Unprepared(Own):
    name = "unprepared"

    def prepare(self, form: Any) -> None:
        raise KeyError("kernels")


class Interrupted(Own):
    name = "interrupted"

    def run(self, form: Any, options: Options, reporter: Reporter, start: Any = None) -> Any:
        if self.seeds:
            raise KeyboardInterrupt
        return super().run(form, options, reporter, start)


@pytest.fixture(scope="module")
def problem() -> cx.ReluTraining:
    X = np.random.default_rng(0).standard_normal((20, 3))
    return cx.ReluTraining(X, np.abs(X[:, 0]), beta=0.3, patterns=8)


@pytest.fixture(scope="module")
def result(problem: cx.ReluTraining) -> cx.Comparison:
    return cx.compare(problem, ["admm", "fista", "cvxpy:clarabel"], tol=TOL)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Own:
    monkeypatch.setattr(registered, "_registered", dict(registered._registered))
    backend = Own()
    cx.register(backend)
    return backend


def claim(
    backend: str, objective: float, bound: float, *, violation: float = 0.0, scope: str = "all x"
) -> cx.Solution:
    """Return an answer that claims this, whatever is true."""
    certificate = Certificate(objective, bound, violation, scope)
    status = Status.OPTIMAL if certificate.passes(TOL) else Status.INACCURATE
    timings = {"compile": 0.0, "solve": 0.1, "cpu": 0.2, "certify": 0.0}
    return cx.Solution(status, certificate, None, (), (), (), timings, backend, "", None)


def claims(*solutions: cx.Solution) -> cx.Comparison:
    return cx.Comparison(tuple((s,) for s in solutions), tol=TOL)


def worst(result: cx.Comparison) -> tuple[Any, ...]:
    found = result.disagreement
    assert found is not None
    return tuple(found)


def test_every_repeat_is_kept_with_a_seed_of_its_own(problem: cx.ReluTraining, own: Own) -> None:
    result = cx.compare(problem, ["own", "admm"], repeats=3)
    assert own.seeds == [0, 1, 2]
    assert [len(repeats) for repeats in result.runs] == [3, 3]
    assert [s.options["seed"] for s in result.solutions] == [0, 0]
    times = [run.timings["solve"] for run in result.runs[0]]
    assert result.frame["solve"][0] == sorted(times)[1]
    assert result.frame["cpu"][0] == sorted(r.timings["cpu"] for r in result.runs[0])[1]
    assert "times are medians of 3 runs" in str(result)


@pytest.mark.parametrize("repeats", [0, -1, 1.5, True, "2"])
def test_repeats_must_be_a_count(problem: cx.ReluTraining, repeats: Any) -> None:
    with pytest.raises(ValueError, match="repeats must be an integer >= 1, got"):
        cx.compare(problem, ["admm"], repeats=repeats)


@pytest.mark.parametrize("changes", [{"tol": -1.0}, {"time_limit": 0.0}])
def test_options_out_of_range_are_no_failure_of_a_backend(
    problem: cx.ReluTraining, changes: dict[str, float]
) -> None:
    with pytest.raises(ValueError, match="must be a number > 0"):
        cx.compare(problem, ["admm"], **changes)  # type: ignore[arg-type]


def test_named_backend_that_cannot_is_an_error(problem: cx.ReluTraining) -> None:
    with pytest.raises(cx.BackendError, match="'greedy' cannot run this problem"):
        cx.compare(problem, ["admm", "greedy"])


def test_frame_has_full_precision(result: cx.Comparison) -> None:
    frame = result.frame
    assert list(frame["backend"]) == ["admm", "fista", "cvxpy:clarabel"]
    for i, s in enumerate(result.solutions):
        assert frame["objective"][i] == s.objective
        assert frame["bound"][i] == s.bound
        assert frame["scope"][i] == s.certificate.scope


def test_processor_time_is_that_of_the_engine() -> None:
    X = np.random.default_rng(0).standard_normal((300, 5))
    y = X[:, 0]
    s = cx.solve(cx.ReluTraining(X, y, beta=0.1, patterns=30), "ipm", tol=1e-8)
    whole = sum(s.timings[name] for name in ("solve", "certify"))
    assert 0.0 < s.timings["cpu"] < 4.0 * whole + 0.1


@pytest.mark.parametrize("kind", [Raises, Unprepared])
def test_backend_that_raises_is_a_row_of_its_own(problem: cx.ReluTraining, kind: type[Own]) -> None:
    result = cx.compare(problem, ["admm", kind(), "cvxpy:clarabel"], tol=TOL)
    assert [s.status.name for s in result.solutions] == ["OPTIMAL", "FAILED", "OPTIMAL"]
    failed = result.solutions[1]
    assert failed.backend == kind.name
    assert failed.message in ("RuntimeError: out of ideas", "KeyError: 'kernels'")
    assert f"FAILED: {kind.name}: {failed.message}" in str(result)
    assert problem.certify(failed.primal, failed.dual) == failed.certificate
    assert result.agree(TOL)


def test_best_point_before_the_failure_is_kept(problem: cx.ReluTraining) -> None:
    failed, fresh = cx.compare(problem, [Raises(), Unprepared()]).solutions
    assert failed.objective < fresh.objective  # the latter never left the start


def test_solve_lets_what_nobody_foresaw_through(problem: cx.ReluTraining) -> None:
    with pytest.raises(RuntimeError, match="out of ideas"):
        cx.solve(problem, Raises())


def test_interrupt_keeps_what_is_done(problem: cx.ReluTraining) -> None:
    result = cx.compare(problem, ["admm", Interrupted(), "fista"], repeats=2)
    assert [s.backend for s in result.solutions] == ["admm", "interrupted"]
    assert [run.status for run in result.runs[1]] == [Status.OPTIMAL, Status.STOPPED]
    assert result.skipped == {"fista": "interrupted from the keyboard"}
    assert "not run: fista: interrupted from the keyboard" in str(result)


def test_own_backend_by_name_and_who_was_not_run(problem: cx.ReluTraining, own: Own) -> None:
    result = cx.compare(problem, time_limit=20.0)
    assert "own" in [s.backend for s in result.solutions]
    assert own.seeds == [0]
    assert result.skipped is not None
    assert "greedy" not in result.skipped  # it is for other problems
    assert result.skipped["cvxpy:highs"] == "no second-order cones"
    assert "not run: cvxpy:highs: no second-order cones" in str(result)


def test_last_line_names_the_pair_that_agrees_least(result: cx.Comparison) -> None:
    a, b, by = worst(result)
    assert by <= TOL
    assert result.agree(TOL)
    last = str(result).splitlines()[-1]
    assert last.startswith(f"all agree to 1e-06; least of all {a} and {b}")
    by_hand = max(
        (high.bound - low.objective) / max(1.0, abs(low.objective), abs(high.objective))
        for low, high in permutations(result.solutions, 2)
    )
    assert by == by_hand


def test_bound_that_is_too_high_is_found() -> None:
    liar = claim("liar", 1.0, 1.0)
    table = claims(claim("good", 0.9, 0.9), liar, claim("fair", 0.9000005, 0.9))
    assert worst(table) == ("good", "liar", pytest.approx(0.1))
    assert not table.agree(0.05)
    assert table.agree(0.2)
    assert str(table).splitlines()[-1] == (
        "good and liar DISAGREE: the bound of liar is 1.0e-01 above the objective of good"
    )


def test_objective_that_is_too_low_is_found() -> None:
    table = claims(claim("good", 0.9, 0.9), claim("liar", 0.5, 0.4))
    assert worst(table) == ("liar", "good", pytest.approx(0.4))


def test_loose_answers_agree() -> None:
    table = claims(claim("loose", 9.0, 0.0), claim("tight", 0.9, 0.9))
    assert table.agree(0.0)
    assert "least of all" in str(table)


def test_answers_of_other_programs_and_violated_ones_are_not_compared() -> None:
    other = claim("other", 5.0, 4.0, scope="these patterns")
    violated = claim("violated", 0.1, 0.1, violation=1e-3)
    table = claims(claim("good", 0.9, 0.9), other, violated)
    assert worst(table) == ("good", "violated", pytest.approx(-0.8))
    assert claims(claim("good", 0.9, 0.9), other).disagreement is None
    assert str(claims(claim("good", 0.9, 0.9), other)).endswith(
        "no two certified answers to compare"
    )


def test_no_solution_against_a_solution() -> None:
    none = replace(claim("none", 3.0, 0.0, violation=0.1), status=Status.INFEASIBLE)
    table = claims(claim("good", 0.9, 0.9), none)
    assert worst(table) == ("good", "none", np.inf)
    assert not table.agree(1.0)
    assert str(table).endswith("DISAGREE: one says that there is a solution, the other not")


def test_repeats_are_held_against_each_other() -> None:
    table = cx.Comparison(((claim("own", 0.9, 0.9), claim("own", 0.8, 0.8)),), tol=TOL)
    assert worst(table) == ("own", "own", pytest.approx(0.1))


number = st.floats(-1e6, 1e6)


@given(optimum=number, above=st.tuples(*2 * [st.floats(0, 1e3)]), below=st.floats(0, 1e3))
def test_true_certificates_never_contradict(
    optimum: float, above: tuple[float, float], below: float
) -> None:
    a = Certificate(optimum + above[0], optimum - below, 0.0, "all x")
    b = Certificate(optimum + above[1], optimum, 0.0, "all x; but more is said")
    assert excess(a, b, TOL) <= 0.0
    assert excess(b, a, TOL) <= 0.0


class Cells(HTMLParser):
    """The texts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())


def test_notebook_shows_the_same_table(result: cx.Comparison) -> None:
    cells = Cells(result._repr_html_()).texts
    words = str(result).splitlines()
    assert cells[-1] == words[-1]
    for s in result.solutions:
        assert s.backend in cells
        assert f"{s.gap:.1e}" in cells
    hostile = claims(claim("<script>alert()</script>", 1.0, 1.0), claim("<b>", 2.0, 2.0))
    assert "<script>" not in hostile._repr_html_()
    assert "<b>" not in hostile._repr_html_()


@pytest.mark.parametrize("width", [40, 80, 160])
def test_terminal_shows_what_it_has_room_for(result: cx.Comparison, width: int) -> None:
    text = io.StringIO()
    Console(file=text, width=width, force_terminal=True, color_system=None).print(result)
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert ("no room for:" in text.getvalue()) == (width == 80)
    assert "all agree to 1e-06" in text.getvalue()


@pytest.mark.parametrize(("kind", "lines"), [("gap", 4), ("objective", 7), ("excess", 4)])
def test_plot(result: cx.Comparison, kind: str, lines: int) -> None:
    ax = result.plot(kind=kind)
    assert len(ax.lines) == lines
    legend: Any = ax.get_legend()
    beside = "bounds" if kind == "objective" else "tol 1e-06"
    told = [t.get_text() for t in legend.get_texts()]
    assert told == [*(s.backend for s in result.solutions), beside]
    assert ax.get_yscale() == ("linear" if kind == "objective" else "log")
    ends = [np.asarray(line.get_ydata(), float)[-1] for line in ax.lines[:3]]
    if kind == "objective":
        assert ends[0] == pytest.approx(result.solutions[0].objective, rel=1e-4)
        assert ends[1] <= ends[0]
    else:
        np.testing.assert_array_equal(np.asarray(ax.lines[-1].get_ydata()), result.tol)
        assert max(ends) <= result.tol
    plt.close("all")


def test_plot_tells_what_bounds_cover_and_puts_the_best_network_lowest() -> None:
    good = claim("local search", 1.0, 0.5, scope="all patterns; and more")
    proved = claim("admm", 2.0, 2.0, scope="these patterns")
    both = claims(*(run_of(answer) for answer in (good, proved)))
    ax = both.plot()
    styles = {line.get_label(): line.get_linestyle() for line in ax.lines}
    assert styles["bound over all patterns"] == styles["local search"] == "-"
    assert styles["bound over these patterns"] == styles["admm"] == "--"
    ax = both.plot(kind="excess")
    ends = {line.get_label(): np.asarray(line.get_ydata(), float) for line in ax.lines}
    assert ends["local search"][-1] == 0.1 * both.tol
    assert ends["admm"][-1] == 1.0
    plt.close("all")


def test_the_best_answer_that_is_not_proved_is_explained() -> None:
    good = claim("local search", 1.0, 0.5, scope="all patterns; and more")
    proved = claim("admm", 2.0, 2.0, scope="these patterns")
    said = (
        "local search has the lowest objective: INACCURATE says that its proof is open, over all "
        "patterns the optimum may be as low as 0.5"
    )
    assert said in str(claims(good, proved)).splitlines()
    level = claim("admm", 1.0, 1.0, scope="these patterns")
    for others in ((good,), (good, level), (proved,)):
        assert "lowest objective" not in str(claims(*others))


def run_of(solution: cx.Solution) -> cx.Solution:
    """Return the answer with a history of one step."""
    step = cx.Step(1, 1.0, solution.objective, solution.gap, solution.bound, 0.0)
    return replace(solution, history=(step,))


def test_plot_of_an_unknown_kind(result: cx.Comparison) -> None:
    said = "kind must be one of gap, objective, excess, got 'gaps'"
    with pytest.raises(cx.ProblemError, match=said):
        result.plot(kind="gaps")


def outcomes(*raws: Any) -> list[Any]:
    return [type("Ends", (Own,), {"name": f"ends {raw}", "run": _returns(raw)})() for raw in raws]


def _returns(raw: Any) -> Any:
    return lambda self, form, options, reporter, start=None: raw


@pytest.mark.parametrize(
    "backend",
    outcomes(None, cx.Raw("great"), "finished"),  # type: ignore[arg-type]  # the point of the test
    ids=lambda b: b.name,
)
def test_engine_that_does_not_tell_how_it_ended_has_failed(
    problem: cx.ReluTraining, backend: Own
) -> None:
    result = cx.compare(problem, [backend, "admm"])
    assert [s.status.name for s in result.solutions] == ["FAILED", "OPTIMAL"]
    assert "run must return Raw(one of finished, max_iter," in result.solutions[0].message
    with pytest.raises(cx.BackendError, match="run must return Raw"):
        cx.solve(problem, backend)


class Primal(Own):
    """An engine without dual points."""

    name = "primal"

    def run(self, form: Any, options: Options, reporter: Reporter, start: Any = None) -> Any:
        class Halved:
            expired, remaining = reporter.expired, reporter.remaining

            def report(self, iteration: int, primal: Any, dual: Any) -> bool:
                return reporter.report(iteration, primal, None)

        return super().run(form, replace(options, max_iter=200), Halved(), start)


def test_engine_without_dual_points_is_graded_by_the_best_dual_so_far(
    problem: cx.ReluTraining,
) -> None:
    result = cx.compare(problem, [Primal(), "cvxpy:clarabel"])
    first, best = result.solutions
    start = problem.certify(*problem.initial())
    assert first.bound == start.bound
    assert first.objective == pytest.approx(best.objective, rel=1e-3)
    assert first.objective < start.objective
    assert result.agree(TOL)


class Unsure(Own):
    name = "unsure"

    def refuses(self, problem: Any) -> str | None:
        raise ValueError("cannot tell")


class Unlicensed(Own):
    name = "unlicensed"

    def available(self) -> str | None:
        raise OSError("no licence")


@pytest.mark.parametrize("kind", [Unsure, Unlicensed])
def test_backend_that_raises_when_asked_is_not_run(
    problem: cx.ReluTraining, own: Own, kind: type[Own]
) -> None:
    cx.register(kind())
    reason = cx.backends(problem).reasons[kind.name]
    assert reason is not None
    assert reason.startswith("raised ")
    result = cx.compare(problem, time_limit=20.0)
    assert f"not run: {kind.name}: {reason}" in str(result)
    assert kind.name not in [s.backend for s in result.solutions]


@pytest.mark.parametrize("family", FAMILIES)
def test_no_backend_of_ours_raises_when_asked(family: str) -> None:
    asked = instance(0, list(FAMILIES).index(family)).problem
    reasons = cx.backends(asked).reasons.values()
    assert not [reason for reason in reasons if reason and reason.startswith("raised")]


@pytest.mark.parametrize("backends", ["admm", [None], [3], [Own]])
def test_what_is_no_backend_is_named(problem: cx.ReluTraining, backends: Any) -> None:
    with pytest.raises(cx.BackendError, match=r"got '?(admm|None|3|<class)"):
        cx.compare(problem, backends)


def test_what_is_no_problem_is_named() -> None:
    with pytest.raises(cx.BackendError, match=r"one of convexnn.s problems, got ndarray"):
        cx.compare(np.zeros((3, 2)))  # type: ignore[arg-type]


def test_repeats_of_one_backend_are_named_only_where_they_contradict() -> None:
    one, two = claim("one", 0.9, 0.9), claim("two", 0.95, 0.8)
    twice = cx.Comparison(((one, one), (two, two)), tol=TOL)
    assert worst(twice) == ("two", "one", pytest.approx(-0.05))
    assert twice.agree(0.0)
    lies = replace(one, certificate=replace(one.certificate, bound=1.0))
    contrary = cx.Comparison(((one, lies), (two, two)), tol=TOL)
    assert worst(contrary) == ("one", "one", pytest.approx(0.1))
    assert not contrary.agree(0.05)


def test_repeats_count_their_seeds_on_from_the_first() -> None:
    problem = cx.GeometricMedian(np.random.default_rng(0).standard_normal((9, 2)))
    result = cx.compare(problem, ["newton"], repeats=3, seed=4)
    assert [run.options["seed"] for run in result.runs[0]] == [4, 5, 6]
    with pytest.raises(cx.ProblemError, match="seed must be an integer >= 0"):
        cx.compare(problem, ["newton"], seed=-1)

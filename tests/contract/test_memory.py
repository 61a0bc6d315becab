"""Memory is estimated before it is taken, and refused with a reason above the limit."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.backend import Estimates, Options, Reporter, common_form, home, registry
from convexnn.contract.program import CvxpyProgram
from convexnn.contract.system import memory
from convexnn.contract.system.memory import GIB
from convexnn.driver.choice import automatic
from convexnn.relu.cells.enumeration import about_cells
from convexnn.relu.forms import GroupForm, MajorantForm, NetworkForm
from convexnn.relu.patterns import cell_count


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(memory.VARIABLE, raising=False)
    monkeypatch.setattr(memory, "memory_allowed", lambda: np.inf)  # whatever runs the tests
    chosen = list(memory._chosen)
    memory._chosen.clear()
    yield
    memory._chosen[:] = chosen


def relu(n: int = 200, d: int = 4, patterns: Any = 20, **options: Any) -> cx.ReluTraining:
    X = np.random.default_rng(0).standard_normal((n, d))
    y = np.sign(X[:, 0]) if options.get("loss") == "hinge" else np.abs(X[:, 0])
    return cx.ReluTraining(X, y, beta=1.0, patterns=patterns, **options)


def needed(problem: Any, backend: str) -> float:
    """Return the estimate in bytes."""
    engine = registry()[backend]
    assert isinstance(engine, Estimates)
    form = common_form(engine, problem)
    assert form is not None
    size = problem.size(form)
    parts = engine.memory(size)
    assert parts is not None
    return float(size.own + sum(parts.values()))


# the limit


def test_limit_is_a_share_of_the_physical_memory() -> None:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    assert cx.memory_limit() == pytest.approx(0.8 * physical)


def test_limit_where_the_physical_memory_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sysconf")
    assert cx.memory_limit() == pytest.approx(16.0)


def test_limit_from_the_environment_gives_way_to_one_that_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CONVEXNN_MEMORY_GIB", "2.5")
    assert cx.memory_limit() == 2.5
    assert cx.memory_limit(1) == 1.0
    assert cx.memory_limit() == 1.0
    assert cx.memory_limit(np.inf) == np.inf


def test_limit_is_a_share_of_what_a_container_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "memory_allowed", lambda: 0.5 * GIB)
    assert cx.memory_limit() == pytest.approx(0.4)


def test_an_empty_variable_sets_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    unset = cx.memory_limit()
    monkeypatch.setenv("CONVEXNN_MEMORY_GIB", "")
    assert cx.memory_limit() == unset


@pytest.mark.parametrize("value", [0, -1.0, np.nan, "much", True, [2.0]])
def test_limit_that_is_no_positive_number(value: Any) -> None:
    with pytest.raises(ValueError, match="gib must be a number > 0, got"):
        cx.memory_limit(value)
    assert not memory._chosen


@pytest.mark.parametrize("value", ["lots", " ", "0", "nan"])
def test_environment_that_is_no_positive_number(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVEXNN_MEMORY_GIB", value)
    with pytest.raises(
        ValueError, match=f"CONVEXNN_MEMORY_GIB must be a number > 0, got {value!r}"
    ):
        cx.solve(relu())


# the refusal


@pytest.mark.parametrize("backend", ["admm", "fista", "cvxpy:clarabel"])
@pytest.mark.parametrize("build", [cx.ReluTraining, cx.GatedReluTraining])
def test_refusal_comes_before_the_allocation(build: Any, backend: str) -> None:
    X = np.random.default_rng(0).standard_normal((20_000, 3))
    problem = build(X, X[:, 0], beta=1.0, patterns=10**6)
    cx.memory_limit(8.0)
    cx.backends()  # imports them
    tracemalloc.start()
    with pytest.raises(cx.MemoryLimitError, match=r"needs .* GiB of memory .* limit is 8 GiB"):
        cx.compile(problem, backend)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
    assert not {"matrix", "gates", "_group_form"} & set(vars(problem))


def test_refusal_names_what_counts_and_what_to_do() -> None:
    cx.memory_limit(12.0)
    said = (
        r"backend 'admm' cannot run this problem: needs 26\.9 GiB of memory \(26\.8 GiB for its "
        r"30,000 x 30,000 matrix and factors\), the limit is 12 GiB\. Able: .*fista.*\. "
        r"Or raise the limit: convexnn\.memory_limit\(gib\)"
    )
    with pytest.raises(cx.MemoryLimitError, match=said):
        cx.compile(relu(30_000, 400, 40), "admm")
    assert (
        "admm" in cx.backends(relu(30_000, 4, 40)).names
    )  # few unknowns: the other matrix is small
    assert issubclass(cx.MemoryLimitError, cx.BackendError)


def test_table_says_no() -> None:
    cx.memory_limit(12.0)
    table = cx.backends(relu(30_000, 400, 40))
    assert "no: needs 26.9 GiB of memory (26.8 GiB for its 30,000" in str(table)
    assert "admm" not in table.names
    assert "fista" in table.names


def test_what_fits_is_not_refused() -> None:
    problem = relu()
    cx.memory_limit(needed(problem, "admm") / GIB * 1.01)
    assert cx.solve(problem, "admm").status is cx.Status.OPTIMAL
    cx.memory_limit(needed(problem, "admm") / GIB * 0.99)
    with pytest.raises(cx.MemoryLimitError, match=r"'admm' .*Able: fista"):
        cx.solve(problem, "admm")
    cx.memory_limit(np.inf)
    assert cx.solve(problem, "admm").status is cx.Status.OPTIMAL


@pytest.mark.parametrize(
    ("options", "preferred", "instead"),
    [
        ({}, "ipm", "admm"),
        ({"n": 1_200}, "admm", "fista"),
        ({"d": 2, "patterns": 5, "n": 300}, "semismooth", "admm"),
        ({"loss": "hinge", "n": 2_600}, "admm", "fista"),
        ({"n": 4_001}, "fista", "admm"),
        ({"patterns": None, "d": 8}, "cell-walk", "lbfgs"),
    ],
)
def test_auto_takes_another_that_fits(
    options: dict[str, Any], preferred: str, instead: str
) -> None:
    problem = relu(**({"n": 1_000, "d": 40} | options))
    assert automatic(problem) == preferred
    less = needed(problem, instead) < needed(problem, preferred)
    assert less == (preferred != "fista")
    if less:
        cx.memory_limit(needed(problem, instead) / GIB * 1.01)
        assert automatic(problem) == instead
    cx.memory_limit(1e-6)
    for ask in (automatic, cx.solve):  # none fits
        with pytest.raises(cx.MemoryLimitError, match=f"'({preferred}|{instead})' .*Able: none"):
            ask(problem)


class Silent:
    """An engine that estimates nothing."""

    name = "silent"
    capabilities = cx.Capabilities(forms=(GroupForm,))

    def available(self) -> str | None:
        return None

    def refuses(self, problem: cx.Problem[Any]) -> str | None:
        return None

    def prepare(self, form: Any) -> None:
        registry()["admm"].prepare(form)

    def run(self, form: Any, options: Options, reporter: Reporter, start: Any = None) -> cx.Raw:
        return registry()["admm"].run(form, options, reporter, start)


def test_engine_that_estimates_nothing_is_not_refused() -> None:
    cx.memory_limit(1e-6)
    assert cx.solve(relu(), Silent()).status is cx.Status.OPTIMAL


class Sizeless(cx.ReluTraining):
    """A problem that does not tell its size."""

    size = None  # type: ignore[assignment]  # a protocol takes None for absent


def test_problem_that_tells_no_size_is_not_refused() -> None:
    problem = relu()
    cx.memory_limit(1e-6)
    assert cx.solve(Sizeless(problem.X, problem.y, beta=1.0, patterns=20)).backend == "semismooth"


# the estimates


def test_every_engine_of_networks_estimates() -> None:
    size, told = relu().size(GroupForm), set()
    for engine in registry().values():
        reads = {home(form) for form in engine.capabilities.forms}
        for form in (GroupForm, MajorantForm, NetworkForm, CvxpyProgram):  # faster than the data
            if home(form) in reads:
                assert isinstance(engine, Estimates), engine
                assert engine.memory(size._replace(form=form)), (engine, form)
                told.add(engine.name)
    assert {"admm", "ipm", "fista", "lbfgs", "cell-walk", "convex-concave", "cvxpy:scs"} <= told


@pytest.mark.parametrize("patterns", [7, "twice", None])
def test_size_is_that_of_the_form(patterns: int | str | None) -> None:
    given: Any = patterns
    if patterns == "twice":
        sample = cx.sample_patterns(relu().X, 5)
        given = np.hstack([sample.matrix, sample.matrix])
    problem = relu(200, 2 if patterns is None else 4, given)
    form = problem.canonical(GroupForm)
    size = problem.size(GroupForm)
    assert (size.n, size.d) == form.X.shape
    assert size.patterns >= form.slopes.shape[1]
    assert size.patterns == form.slopes.shape[1] * (2 if patterns == "twice" else 1)
    assert size.weights >= form.blocks * size.d
    network = cx.SampledReluTraining(problem.X, problem.y, beta=1.0, neurons=30)
    size, form = network.size(GroupForm), network.canonical(GroupForm)
    assert (size.n, size.d, size.patterns) == (*form.X.shape, form.blocks)
    gated = cx.GatedReluTraining(problem.X, problem.y, beta=1.0, patterns=given)
    assert gated.size(GroupForm).patterns >= gated.canonical(GroupForm).blocks


@pytest.mark.parametrize(
    ("build", "backend", "n", "d", "count"),
    [
        (cx.ReluTraining, "admm", 1200, 8, 100),
        (cx.ReluTraining, "admm", 2000, 4, 60),
        (cx.ReluTraining, "fista", 1200, 8, 100),
        (cx.ReluTraining, "fista", 200, 60, 300),
        (cx.GatedReluTraining, "admm", 1200, 8, 100),
        (cx.GatedReluTraining, "fista", 1200, 8, 100),
        (cx.SampledReluTraining, "fista", 1200, 8, 100),
        (cx.SampledReluTraining, "admm", 1200, 8, 100),
        (cx.ThresholdTraining, "fista", 1200, 8, 100),
        (cx.ReluTraining, "lbfgs", 2000, 10, None),
        (cx.ReluTraining, "cell-walk", 1000, 10, None),
    ],
)
def test_estimate_is_within_a_factor_3_of_the_peak(
    build: Any, backend: str, n: int, d: int, count: int | None
) -> None:
    options: dict[str, Any] = {"max_iter": 12, "tol": 1e-12}
    if count is None:
        options |= {"starts": 3}

    def make(n: int, count: int | None) -> Any:
        X = np.random.default_rng(1).standard_normal((n, d))
        name = "neurons" if build is cx.SampledReluTraining else "patterns"
        return build(X, np.abs(X[:, 0]) - X[:, 1], beta=1.0, **{name: count})

    cx.solve(make(100, None if count is None else 4), backend, **options)  # compiles the kernels
    problem = make(n, count)
    tracemalloc.start()
    cx.solve(problem, backend, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    above = 3 if count is not None else 10  # how many patterns a search will find is not known
    assert peak / 3 < needed(problem, backend) < above * peak


@pytest.mark.parametrize("build", [cx.ReluTraining, cx.GatedReluTraining])
def test_non_zeros_of_the_formula_are_as_estimated(build: Any) -> None:
    X = np.random.default_rng(1).standard_normal((60, 4))
    problem = build(X, X[:, 0], beta=1.0, patterns=25)
    backend: Any = registry()["cvxpy:clarabel"]
    program = problem.to_cvxpy()
    A = program.problem.get_problem_data("CLARABEL")[0]["A"]
    (words,) = backend.memory(problem.size(type(program)))
    estimated = int(words.split()[0].replace(",", ""))
    assert 0.4 * estimated < A.nnz < 1.3 * estimated


# what lists patterns


def test_listing_too_many_cells_says_how_many_and_what_instead() -> None:
    X = np.random.default_rng(0).standard_normal((300, 8))
    count = cell_count(300, 8)
    with pytest.raises(cx.ProblemError, match=rf"{count:,} activation patterns.*'cell-walk'"):
        cx.ReluTraining(X, X[:, 0], beta=1.0, patterns=cx.enumerate_patterns(X))


def test_listing_more_than_the_memory_holds() -> None:
    X = np.random.default_rng(0).standard_normal((2_000, 2))
    cx.memory_limit(0.05)
    said = r"4,000 activation patterns; to list them needs 0\.0894 GiB .*limit is 0\.05.*cell-walk"
    with pytest.raises(cx.ProblemError, match=said):
        cx.enumerate_patterns(X)


@pytest.mark.parametrize("backend", ["admm", "fista", "cvxpy:clarabel"])
def test_engine_that_lists_patterns_says_how_many(backend: str) -> None:
    problem = relu(300, 8, None)
    count = f"{cell_count(300, 8):,}"
    said = rf"{count} activation patterns, at most 2,000 are listed.*'cell-walk'.*Able: cell-walk"
    with pytest.raises(cx.BackendError, match=said):
        cx.compile(problem, backend)
    with pytest.raises(cx.ProblemError, match=f"{count} activation patterns.*'cell-walk'"):
        problem.canonical(GroupForm)
    assert problem.withholds(NetworkForm) is None


def test_counts_beyond_all_digits_are_rounded() -> None:
    assert about_cells(200, 6) == f"{cell_count(200, 6):,}"
    assert about_cells(2_000, 1_500) == "more than 10^600"
    assert len(str(cell_count(2_000, 1_500))) == 603
    assert about_cells(0, 1) == "1"
    assert about_cells(1, 1) == "2"


@pytest.mark.parametrize(("n", "d"), [(300, 3000), (2000, 600), (100_000, 5)])
def test_a_median_asks_for_memory(n: int, d: int) -> None:
    median = cx.GeometricMedian(np.random.default_rng(0).standard_normal((n, d)))
    tracemalloc.start()
    cx.solve(median)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert needed(median, "newton") > peak / 3
    cx.memory_limit(1e-4)
    with pytest.raises(cx.BackendError, match=r"needs .* GiB of memory"):
        cx.solve(median)

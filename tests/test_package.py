"""The package as a whole: what an import costs, what it offers, who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn import backend as backends
from convexnn import solving
from convexnn.backend import Options, Reporter
from convexnn.solvers.admm import Admm

ROOT = Path(__file__).parents[1]
HEAVY = ("numba", "cvxpy", "torch", "matplotlib", "pandas", "scipy", "sklearn", "typer", "rich")
FLOOR = {
    **dict.fromkeys(
        (
            "arrays",
            "certificate",
            "checks",
            "files",
            "processes",
            "program",
            "search_bound",
            "forms",
            "losses",
            "norms",
            "solution",
            "cones",
            "masked",
            "memory",
            "covering",
            "bound",
            "relaxation",
            "wasserstein",
            "coordinates",
            "wasserstein_bound",
            "portfolio",
            "adversary",
            "balls",
            "transport",
            "demand",
            "median",
            "consensus",
            "exchange",
            "ball_search",
            "separation",
            "screening",
        ),
        1,
    ),
    **dict.fromkeys(
        ("problem", "backend", "patterns", "pricing", "enumeration", "network", "extras"), 2
    ),
    **dict.fromkeys(("linear", "worst_case", "curves", "updates", "graphs", "terms"), 2),
    **dict.fromkeys(("linear_sum", "network_lasso"), 2),
    **dict.fromkeys(("margins", "attacks", "margin_bounds", "margin_branching"), 2),
    **dict.fromkeys(("worst_margins", "robust"), 2),
    "lipschitz_bound": 2,
    **dict.fromkeys(("narrow", "dictionaries", "convolution"), 2),
    **dict.fromkeys(("search", "policy", "solving", "comparison", "export", "monitor", "store"), 4),
    **dict.fromkeys(("datasets", "guarantee", "progress", "selection", "radii", "game"), 4),
    **dict.fromkeys(("aggregation", "robust_accuracy", "robust_curves", "tables"), 4),
    **dict.fromkeys(("working_set", "path_start", "path_result", "path_trace", "paths"), 4),
    **dict.fromkeys(("__init__", "__main__", "cli", "commands", "bench"), 5),
}


def python(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_import_loads_nothing_heavy(tmp_path: Path) -> None:
    code = f"import sys, convexnn; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = python(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_solving_loads_no_optional_package(tmp_path: Path) -> None:
    code = (
        "import sys, convexnn as cx\n"
        "s = cx.solve(cx.ReluTraining([[1.0], [2.0]], [1.0, 2.0], beta=0.1))\n"
        "assert s.status is cx.Status.OPTIMAL\n"
        "names = 'torch', 'matplotlib', 'pandas', 'sklearn', 'typer', 'rich', 'onnx'\n"
        "print([m for m in names if m in sys.modules])"
    )
    done = python(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", cx.__all__)
def test_public_name_resolves_and_is_documented(name: str) -> None:
    value = getattr(cx, name)
    assert name in dir(cx)
    if callable(value):
        assert value.__doc__, name
        assert value.__module__.startswith("convexnn."), name


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'convexnn' has no attribute 'ReluTrainer'"):
        cx.ReluTrainer  # noqa: B018


def test_public_names_are_listed_once() -> None:
    assert len(set(cx.__all__)) == len(cx.__all__)
    assert set(cx.PROBLEMS) <= set(cx.__all__)


@pytest.mark.parametrize("folder", ["problems", "solvers"])
def test_folder_is_no_package_of_its_own(folder: str) -> None:
    done = python(f"import {folder}", ROOT)
    assert done.returncode == 1
    assert f"ImportError: import this folder as convexnn.{folder}" in done.stderr


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / "convexnn").glob("*.py")):
        yield f"convexnn.{path.stem}", path
    for package in ("bench", "commands"):
        for path in sorted((ROOT / "convexnn" / package).glob("*.py")):
            yield f"convexnn.{package}.{path.stem}", path
    for folder in ("problems", "solvers"):
        for path in sorted((ROOT / folder).glob("**/*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            yield ".".join(["convexnn", folder, *parts]), path


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def guarded(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def at_import(path: Path) -> set[str]:
    """What a module imports when it is imported itself: not in functions, nor for types only."""
    names: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) or guarded(node):
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= set(imported(node))
        waiting.extend(ast.iter_child_nodes(node))
    return {name for name in names if name.startswith("convexnn")}


def anywhere(path: Path) -> set[str]:
    return {name for name in imported(ast.parse(path.read_text())) if name.startswith("convexnn")}


def floor_of(module: str) -> int:
    parts = module.split(".")
    if len(parts) == 1:
        return 5
    return 3 if parts[1] in ("problems", "solvers") else FLOOR[parts[1]]


MODULES = dict(modules())


def test_every_module_has_a_floor() -> None:
    known = {f"convexnn.{name}" for name in FLOOR}
    house = {".".join(m.split(".")[:2]) for m in MODULES}
    assert house - {"convexnn.problems", "convexnn.solvers"} == known


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("convexnn.problems.")])
def test_problem_knows_no_solver(module: str) -> None:
    names = anywhere(MODULES[module])
    assert not {name for name in names if name.startswith("convexnn.solvers")}


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("convexnn.solvers.")])
def test_solver_knows_no_problem(module: str) -> None:
    names = anywhere(MODULES[module])
    assert not {name for name in names if name.startswith("convexnn.problems")}


@pytest.mark.parametrize("module", MODULES)
def test_import_never_goes_up(module: str) -> None:
    own = floor_of(module)
    above = {
        name
        for name in at_import(MODULES[module])
        if name in MODULES and floor_of(name) > max(own, 1)
    }
    assert not above


@pytest.mark.parametrize("module", [m for m in MODULES if floor_of(m) < 3])
def test_ground_floors_load_no_problem_and_no_solver(module: str) -> None:
    names = at_import(MODULES[module])
    assert not {n for n in names if n.startswith(("convexnn.problems", "convexnn.solvers"))}


def kernels(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            marks = {ast.unparse(mark).partition("(")[0] for mark in node.decorator_list}
            if marks & {"njit", "numba.njit"}:
                yield node


@pytest.mark.parametrize("module", MODULES)
def test_kernels_call_only_kernels_of_their_own_module(module: str) -> None:
    """The cache of numba does not see that a callee in another module was edited."""
    tree = ast.parse(MODULES[module].read_text())
    foreign = {
        name.asname or name.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("convexnn")
        for name in node.names
    }
    for kernel in kernels(tree):
        body = (node for line in kernel.body for node in ast.walk(line))
        used = {node.id for node in body if isinstance(node, ast.Name)}
        assert not used & foreign, kernel.name


def test_kernels_are_found() -> None:
    found = {k.name for path in MODULES.values() for k in kernels(ast.parse(path.read_text()))}
    assert {"factor_blocks", "_search", "_prox"} <= found


class Twice(Admm):
    """A user's own engine: ADMM under another name, that counts its runs."""

    name = "twice"

    def __init__(self) -> None:
        self.runs = 0

    def run(self, form: Any, options: Options, reporter: Reporter, start: Any = None) -> Any:
        self.runs += 1
        return super().run(form, options, reporter, start)


class Boastful(Twice):
    """An engine that finds nothing and says it finished."""

    name = "boastful"

    def run(self, form: Any, options: Options, reporter: Reporter, start: Any = None) -> Any:
        self.runs += 1
        return cx.Raw("finished", "Solved to perfection.")


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> tuple[Twice, Boastful]:
    monkeypatch.setattr(backends, "_registered", dict(backends._registered))
    pair = Twice(), Boastful()
    for backend in pair:
        cx.register(backend)
    return pair


def small() -> cx.ReluTraining:
    X = np.random.default_rng(0).standard_normal((20, 3))
    return cx.ReluTraining(X, np.abs(X[:, 0]), beta=0.3, patterns=8)


def test_own_backend_is_listed_solves_and_compares(registered: tuple[Twice, Boastful]) -> None:
    twice, _ = registered
    problem = small()
    assert "twice" in cx.backends(problem).names
    solution = cx.solve(problem, "twice")
    assert solution.status is cx.Status.OPTIMAL
    assert solution.backend == "twice"
    assert twice.runs == 1
    result = cx.compare(problem, ["admm", "twice"])
    assert twice.runs == 2
    assert [s.backend for s in result.solutions] == ["admm", "twice"]
    assert list(result.frame["status"]) == ["OPTIMAL", "OPTIMAL"]
    assert result.solutions[0].objective == result.solutions[1].objective
    assert result.agree(1e-9)


def test_own_backend_can_be_given_as_an_object() -> None:
    twice = Twice()
    assert cx.solve(small(), twice).status is cx.Status.OPTIMAL
    assert twice.runs == 1
    assert "twice" not in cx.backends().names


def test_engine_never_grades_itself(registered: tuple[Twice, Boastful]) -> None:
    solution = cx.solve(small(), "boastful")
    assert registered[1].runs == 1
    assert solution.status is cx.Status.INACCURATE
    assert solution.message == "Solved to perfection."
    assert solution.gap > 1e-2


@pytest.fixture
def doubtful(registered: tuple[Twice, Boastful], monkeypatch: pytest.MonkeyPatch) -> Boastful:
    monkeypatch.setattr(solving, "preferred", lambda problem: ("boastful", "admm", "fista"))
    return registered[1]


def test_the_next_engine_of_auto_goes_on_where_the_first_proves_nothing(doubtful: Boastful) -> None:
    solution = cx.solve(small())
    assert doubtful.runs == 1
    assert (solution.status, solution.backend) == (cx.Status.OPTIMAL, "admm")
    assert solution.message.startswith("Solved to perfection. boastful ended without proof")
    assert solution.objective == cx.solve(small(), "admm").objective


def test_the_next_engine_counts_on_from_the_iterations_of_the_first(
    doubtful: Boastful, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reports(form: Any, options: Options, reporter: Reporter, start: Any = None) -> Any:
        reporter.report(1_000, *small().initial())
        return cx.Raw("max_iter")

    monkeypatch.setattr(doubtful, "run", reports)
    solution, alone = cx.solve(small()), cx.solve(small(), "admm")
    own = [step.iteration for step in alone.history[1:]]
    assert [step.iteration for step in solution.history[2:]] == [1_000 + k for k in own]


def test_nothing_goes_on_after_a_named_engine_or_with_limits_of_its_own(doubtful: Boastful) -> None:
    for solution in (
        cx.solve(small(), "boastful"),
        cx.solve(small(), max_iter=50),
        cx.solve(small(), callback=lambda step: True),
    ):
        assert solution.backend == "boastful"
        assert "went on" not in solution.message
    assert doubtful.runs == 2


def test_a_breakdown_of_the_first_engine_is_survived(
    doubtful: Boastful, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: Any) -> Any:
        raise ZeroDivisionError("a pivot")

    monkeypatch.setattr(doubtful, "run", breaks)
    solution = cx.solve(small())
    assert (solution.status, solution.backend) == (cx.Status.OPTIMAL, "admm")
    assert "ZeroDivisionError: a pivot" in solution.message


def test_later_backend_of_a_name_replaces_the_first(registered: tuple[Twice, Boastful]) -> None:
    second = Twice()
    cx.register(second)
    cx.solve(small(), "twice", tol=1e-2)
    assert (registered[0].runs, second.runs) == (0, 1)


def test_broken_plugin_does_not_leave_half_a_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry:
        name = "zzz"

        def load(self) -> Any:
            raise RuntimeError("broken plugin")

    found = list(entry_points(group="convexnn.backends"))
    monkeypatch.setattr(backends, "_discovered", {})
    monkeypatch.setattr(backends, "entry_points", lambda group: [*found, Entry()])
    outcomes = []
    for _ in range(2):
        try:
            outcomes.append("admm" in backends.registry())
        except RuntimeError:
            outcomes.append(False)
    assert outcomes[0] == outcomes[1]

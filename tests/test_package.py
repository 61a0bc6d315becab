"""The package as a whole: what an import costs, what it offers, who may import whom."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines import Admm

import convexnn as cx
from convexnn import forms
from convexnn.bench.instances import FAMILIES, instance
from convexnn.contract import backend as backends
from convexnn.contract.backend import Options, Reporter
from convexnn.contract.form import Engines
from convexnn.contract.system.lazy import homes
from convexnn.driver import choice
from convexnn.driver import solve as solving

ROOT = Path(__file__).parents[1]
HEAVY = ("numba", "cvxpy", "torch", "matplotlib", "pandas", "scipy", "sklearn", "typer", "rich")


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


def test_index_of_forms_loads_what_is_asked_for(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from convexnn import forms\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])\n"
        "forms.CvxpyProgram\n"
        "print([m for m in sys.modules if m.startswith('convexnn.relu')])"
    )
    done = python(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["[]", "[]"]


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


@pytest.mark.parametrize("name", dir(cx))
def test_public_name_resolves_and_is_documented(name: str) -> None:
    value = getattr(cx, name)
    assert name in vars(cx)["__all__"]
    if callable(value):
        assert value.__doc__, name
        assert value.__module__.startswith("convexnn."), name


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'convexnn' has no attribute 'ReluTrainer'"):
        getattr(cx, "ReluTrainer")  # noqa: B009


def test_public_name_is_looked_up_once() -> None:
    vars(cx).pop("solve", None)
    assert cx.solve is solving.solve
    assert vars(cx)["solve"] is solving.solve


def test_version_is_the_installed_one() -> None:
    assert cx.__version__ == version("convexnn")


def test_what_cites_and_packages_the_project_is_in_step_with_it() -> None:
    cited = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {cx.__version__}\n" in cited
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f'abstract: "{project["description"]}"' in cited
    extras = list(map(tuple, project["optional-dependencies"].values()))
    assert len(set(extras)) == len(extras)  # no extra has a twin


def test_problems_are_public_names_of_problems() -> None:
    kinds = {name: getattr(cx, name) for name in dir(cx)}
    declared = {n for n, kind in kinds.items() if hasattr(kind, "certify")} - {"Problem"}
    assert set(cx.PROBLEMS) == declared
    assert all(cx.PROBLEMS[name] == kinds[name].__module__ for name in declared)


def test_no_public_name_is_a_module_beside_it() -> None:
    modules = {path.stem for path in (ROOT / "convexnn").iterdir()}
    assert "forms" in modules
    assert modules.isdisjoint(dir(cx))


def test_forms_and_points_are_in_the_index_of_forms() -> None:
    for index in range(3 * len(FAMILIES)):
        problem = instance(0, index).problem
        points = [point for point in problem.initial() if isinstance(point, tuple)]
        for kind in {*problem.forms(), *map(type, points)}:
            assert getattr(forms, kind.__name__) is kind, kind


@pytest.mark.parametrize("name", dir(forms))
def test_name_of_the_index_of_forms_lives_where_it_says(name: str) -> None:
    assert getattr(forms, name).__module__ == homes(forms.__file__)[name]


@pytest.mark.parametrize("folder", ["problems", "solvers"])
def test_folder_is_no_package_of_its_own(folder: str) -> None:
    done = python(f"import {folder}", ROOT)
    assert done.returncode == 1
    assert f"ImportError: import this folder as convexnn.{folder}" in done.stderr


LINT = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"
PLANTED = {
    "nothing": ("convexnn/contract/arrays.py", "", "0 broken"),
    "an import that goes up": (
        "convexnn/contract/arrays.py",
        "def up():\n    from convexnn.driver import solve\n",
        "Floors: an import never goes up BROKEN",
    ),
    "an engine in a problem": (
        "convexnn/problems/relu/gated.py",
        "def run():\n    import convexnn.solvers.relu.admm\n",
        "Floors: an import never goes up BROKEN",
    ),
    "a room without a floor": (
        "convexnn/cellar/__init__.py",
        "",
        "Floors: an import never goes up BROKEN",
    ),
    "a family in the driver": (
        "convexnn/driver/monitor.py",
        "def kind():\n    from convexnn.relu.forms import GroupForm\n",
        "The driver knows no family BROKEN",
    ),
    "a circle of two files": (
        "convexnn/relu/cones.py",
        "def back():\n    from convexnn.relu import forms\n",
        "No circle BROKEN",
    ),
    "a circle of two rooms": (
        "convexnn/solvers/relu/admm.py",
        "def back():\n    from convexnn.solvers.robust import admm\n",
        "No circle BROKEN",
    ),
}


@pytest.mark.parametrize("what", PLANTED)
def test_contracts_of_imports_find_what_is_planted(what: str, tmp_path: Path) -> None:
    pytest.importorskip("importlinter", reason="comes with the extra lint")
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("convexnn", "problems", "solvers"):
        shutil.copytree(ROOT / folder, tmp_path / folder, symlinks=True, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    name, code, said = PLANTED[what]
    (tmp_path / name).parent.mkdir(exist_ok=True)
    with (tmp_path / name).open("a") as file:
        file.write(f"\n\n{code}")
    done = subprocess.run(
        [sys.executable, "-c", LINT], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert said in done.stdout, done.stdout + done.stderr
    assert done.returncode == (what != "nothing")


def modules() -> Iterator[tuple[str, Path]]:
    for folder in ("convexnn", "problems", "solvers"):
        above = ["convexnn"] if folder != "convexnn" else []
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join([*above, *parts]), path


MODULES = dict(modules())


def kernels(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            marks = {ast.unparse(mark).partition("(")[0] for mark in node.decorator_list}
            if "kernel" in marks:
                yield node


@pytest.mark.parametrize("module", MODULES)
def test_kernels_call_kernels_by_their_names(module: str) -> None:
    """What is kept of a kernel knows when the file of a callee is edited, if it is called so."""
    tree = ast.parse(MODULES[module].read_text())
    packages = {
        name.asname or name.name
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
        if f"{getattr(node, 'module', '')}.{name.name}" in MODULES or name.name in MODULES
    }
    for kernel in kernels(tree):
        body = (node for line in kernel.body for node in ast.walk(line))
        used = {node.id for node in body if isinstance(node, ast.Name)}
        assert not used & packages, kernel.name


@pytest.mark.parametrize("module", MODULES)
def test_kernels_copy_arrays_by_loops(module: str) -> None:
    """An array assigned to a slice brings numba's error message with it: two seconds to compile."""
    for kernel in kernels(ast.parse(MODULES[module].read_text())):
        for node in ast.walk(kernel):
            if isinstance(node, ast.Assign) and not isinstance(node.value, ast.Constant):
                into = [ast.unparse(t.slice) for t in node.targets if isinstance(t, ast.Subscript)]
                assert not any(":" in place for place in into), f"{kernel.name}, {into}"


def test_kernels_are_found() -> None:
    found = {k.name for path in MODULES.values() for k in kernels(ast.parse(path.read_text()))}
    assert {"factor_blocks", "_search", "_prox"} <= found


class Twice(Admm):
    """A user's own engine: ADMM under another name, that counts its runs."""

    name = "twice"

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0

    def run(self, form: Any, options: Options, reporter: Reporter, start: Any = None) -> Any:
        self.runs += 1
        return super().run(form, options, reporter, start)


class Boastful(Twice):
    """An engine that finds nothing and says it finished."""

    name = "boastful"

    def run(self, form: Any, options: Options, reporter: Reporter, start: Any = None) -> Any:
        self.runs += 1
        return cx.Raw(cx.Outcome.FINISHED, "Solved to perfection.")


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


@pytest.mark.parametrize("outcome", cx.Outcome)
def test_outcome_may_be_told_as_a_plain_string(
    outcome: cx.Outcome, registered: tuple[Twice, Boastful], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = [outcome, outcome.value]
    monkeypatch.setattr(registered[1], "run", lambda *_: cx.Raw(told.pop()))
    both = [cx.solve(small(), "boastful").status for _ in range(2)]
    assert both[0] is both[1]
    same = {cx.Outcome.FINISHED, cx.Outcome.STOPPED}
    assert both[0].name == ("INACCURATE" if outcome in same else outcome.name)


@pytest.mark.parametrize("returned", [None, cx.Raw("done"), cx.Raw(None), ("stopped", "", ())])  # type: ignore[arg-type]
def test_what_is_no_outcome_is_named(
    returned: Any, registered: tuple[Twice, Boastful], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registered[1], "run", lambda *_: returned)
    said = f"run must return Raw(one of {', '.join(cx.Outcome)}), got {returned!r}"
    with pytest.raises(cx.BackendError, match=re.escape(said)):
        cx.solve(small(), "boastful")


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
    doubted = Engines(("boastful", "admm", "fista"))
    monkeypatch.setattr(choice, "preferred", lambda problem: doubted)
    return registered[1]


def test_the_next_engine_of_auto_goes_on_where_the_first_proves_nothing(doubtful: Boastful) -> None:
    solution = cx.solve(small())
    assert doubtful.runs == 1
    assert (solution.status, solution.backend) == (cx.Status.OPTIMAL, "admm")
    assert solution.message.startswith("Solved to perfection. boastful ended without proof")
    assert solution.objective == cx.solve(small(), "admm").objective


def test_a_third_engine_goes_on_where_the_second_proves_nothing_either(
    doubtful: Boastful, monkeypatch: pytest.MonkeyPatch
) -> None:
    doubted = Engines(("boastful", "boastful", "admm", "fista"))
    monkeypatch.setattr(choice, "preferred", lambda problem: doubted)
    solution = cx.solve(small())
    assert doubtful.runs == 2
    assert (solution.status, solution.backend) == (cx.Status.OPTIMAL, "admm")
    assert solution.message.count("ended without proof") == 2


def test_the_next_engine_counts_on_from_the_iterations_of_the_first(
    doubtful: Boastful, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reports(form: Any, options: Options, reporter: Reporter, start: Any = None) -> Any:
        reporter.report(1_000, *small().initial())
        return cx.Raw(cx.Outcome.MAX_ITER)

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


FOREIGN = """
import convexnn as cx
from convexnn.contract.backend import registry

inner = registry()["admm"]


class Good:
    name = "good"
    capabilities = inner.capabilities
    available, refuses, prepare, run = inner.available, inner.refuses, inner.prepare, inner.run


def several():
    yield Good()
    raise OSError("half of it")


class Taken(Good):
    name = "admm"


def taken():
    return [Taken()]
"""


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with entry points that fail in every way, and one that does not."""
    (tmp_path / "foreign_engines.py").write_text(FOREIGN)
    (tmp_path / "broken_engines.py").write_text("raise RuntimeError('no licence')")
    monkeypatch.syspath_prepend(str(tmp_path))
    named = {
        "a-broken": "broken_engines:Engine",
        "absent": "foreign_engines:Absent",
        "good": "foreign_engines:several",
        "number": "builtins:int",
        "taken": "foreign_engines:taken",
    }
    found = [EntryPoint(name, to, backends.GROUP) for name, to in named.items()]
    installed = entry_points(group=backends.GROUP)
    monkeypatch.setattr(backends, "entry_points", lambda group: [*found, *installed])
    monkeypatch.setattr(backends, "_registry", backends.Registry())
    yield
    for name in ("foreign_engines", "broken_engines"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("foreign")
def test_foreign_backend_that_fails_is_unavailable_with_its_reason() -> None:
    reasons = cx.backends().reasons
    assert reasons["good"] is None
    assert reasons["admm"] is None
    for name, said in {
        "a-broken": "RuntimeError: no licence",
        "absent": "AttributeError: .*Absent",
        "number": "TypeError",
        "taken": "another package brings a backend 'admm'",
        "good (foreign_engines:several)": "OSError: half of it",
    }.items():
        assert re.search(f"entry point .* failed with .*{said}", str(reasons[name])), name
    assert cx.solve(small(), "good").status is cx.Status.OPTIMAL
    assert cx.solve(small()).status is cx.Status.OPTIMAL
    with pytest.raises(cx.BackendError, match=r"'a-broken' is not there: .* no licence"):
        cx.solve(small(), "a-broken")
    assert {"a-broken", "absent"}.isdisjoint(backends.registry())


@pytest.mark.usefixtures("foreign")
def test_threads_that_look_for_backends_at_once_all_find_them() -> None:
    names = ["admm", "good", "cvxpy:clarabel", "newton"]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            found = backends.Registry()
            assert [b.name for b in pool.map(found.__getitem__, names)] == names
            assert set(found._broken) == {"a-broken", "absent"}  # what comes later is not loaded


@pytest.mark.usefixtures("foreign")
def test_package_that_asks_while_it_loads_sees_those_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import convexnn as cx\nnames = cx.backends().names\nEngine = lambda: []"
    (tmp_path / "broken_engines.py").write_text(code)
    assert "good" in cx.backends().names
    seen = sys.modules["broken_engines"].names
    assert "admm" in seen
    assert "good" not in seen


@pytest.mark.usefixtures("foreign")
def test_what_is_not_asked_for_is_not_loaded() -> None:
    cx.solve(small(), "admm")
    assert "foreign_engines" not in sys.modules
    assert "good" in backends.registry()
    assert "foreign_engines" in sys.modules

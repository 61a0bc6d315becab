"""The table of engines: every row can run, nothing else is loaded, a foreign row joins it."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType
from typing import Any, get_type_hints

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.backend import home, registry
from convexnn.relu.forms import GroupForm
from convexnn.solvers import mpi
from convexnn.solvers.engine import TABLE, Engine, Method, Run, Spread, unpack

ROWS = [
    pytest.param(engine, form, module, id=f"{engine.name}-{form.partition(':')[2]}")
    for engine in TABLE
    for form, module in engine.rows.items()
]


def takes(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def documented(text: str | None) -> set[str]:
    """Return the names that a section "Options" of a docstring explains."""
    lines = inspect.cleandoc(text or "").splitlines()
    if "Options" not in lines:
        return set()
    section = lines[lines.index("Options") + 2 :]
    heads = [line for line in section if " : " in line and not line.startswith(" ")]
    return {name for head in heads for name in head.partition(" : ")[0].split(", ")}


@pytest.mark.parametrize(("engine", "form", "module"), ROWS)
def test_row_names_a_form_and_a_module_that_runs_it(engine: Engine, form: str, module: str) -> None:
    kind, offered = resolve_name(form), import_module(module)
    assert home(kind) == form
    method, solves = engine.method(kind), "share" if isinstance(engine, Spread) else "run"
    assert takes(method.run) == takes(Run.__call__)[1:] or isinstance(engine, Spread)
    assert issubclass(kind, form_of(offered, solves))
    assert takes(method.warm_up) == ["form"]
    assert method.refusal is None or takes(method.refusal) == ["form"]
    assert method.memory is None or takes(method.memory) == ["size"]
    assert isinstance(method.DEFAULTS, Mapping)


def form_of(module: ModuleType, function: str) -> type:
    hints = get_type_hints(getattr(module, function))
    return object if hints["form"] is Any else hints["form"]


@pytest.mark.parametrize(("engine", "form", "module"), ROWS)
def test_every_option_of_a_row_is_explained(engine: Engine, form: str, module: str) -> None:
    offered = import_module(module)
    told = {
        name
        for part in ("run", "share")
        for name in documented(inspect.getdoc(vars(offered).get(part)))
    }
    assert told == set(vars(offered).get("DEFAULTS", {}))


@pytest.mark.parametrize(
    "module", sorted({m for e in TABLE if isinstance(e, Spread) for m in e.rows.values()})
)
def test_module_of_several_processes_has_what_the_launcher_asks_for(module: str) -> None:
    offered = import_module(module)
    for name in ("crowd", "share", "warm_up"):
        assert takes(getattr(offered, name)) == takes(getattr(mpi.Shareable, name))[1:]
    assert mpi.spread(module).DEFAULTS == {"processes": 2, **offered.DEFAULTS}


def test_names_stand_once() -> None:
    names = [engine.name for engine in TABLE]
    assert names == sorted(set(names))
    assert set(names) <= set(registry())


def test_a_module_that_offers_run_alone_is_enough() -> None:
    assert Method(lambda *_: cx.Raw(cx.Outcome.FINISHED)).warm_up(None) is None


# what is loaded

SOLVE = """
import json, sys
import numpy as np
import convexnn as cx

X = np.random.default_rng(0).standard_normal((20, 2))
y = np.sign(X[:, 0])
assert {call} is not None
print(json.dumps([name for name in sys.modules if name.startswith("convexnn.")]))
"""
ENGINES = {module for engine in TABLE for module in engine.rows.values()}


def modules(call: str, cwd: Path) -> set[str]:
    """Return the modules of ours that a fresh process loads for a call."""
    code = SOLVE.format(call=call)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


RELU = "cx.ReluTraining(X, np.abs(X[:, 0]), beta=0.1, patterns=8)"


@pytest.mark.parametrize(
    ("call", "runs"),
    [
        (f"cx.solve({RELU})", "relu.semismooth"),
        (f"cx.solve({RELU}, 'admm')", "relu.admm"),
        (f"cx.solve({RELU}, 'fista')", "relu.fista"),
        (f"cx.compile({RELU}, 'ipm')", "relu.ipm"),
        ("cx.solve(cx.ReluTraining(X, y, beta=0.1, patterns=8, loss='hinge'))", "relu.ipm"),
        ("cx.solve(cx.GeometricMedian(X))", "median.newton"),
        ("cx.solve(cx.WassersteinClassification(X, y, radius=0.1))", "wasserstein.newton"),
        (
            "cx.solve(cx.Newsvendor(X[:, 0] ** 2, cost=1, price=2, radius=0.1))",
            "wasserstein.quantile",
        ),
    ],
)
def test_solving_loads_the_engine_that_runs_and_no_other(
    call: str, runs: str, tmp_path: Path
) -> None:
    found = modules(call, tmp_path)
    assert found & ENGINES == {f"convexnn.solvers.{runs}"}
    assert "convexnn.solvers.cvxpy" not in found


def test_the_list_of_backends_loads_no_engine(tmp_path: Path) -> None:
    assert not modules("cx.backends()", tmp_path) & ENGINES


def test_asking_who_can_loads_no_engine_of_other_forms(tmp_path: Path) -> None:
    found = modules(f"cx.backends({RELU})", tmp_path) & ENGINES
    assert "convexnn.solvers.relu.admm" in found
    assert found <= {e for e in ENGINES if e.startswith("convexnn.solvers.relu.")}


def test_a_process_of_mpi_loads_no_engine_beforehand(tmp_path: Path) -> None:
    found = modules("__import__('convexnn.solvers.mpi_worker')", tmp_path)
    assert "convexnn.solvers.exchange" in found
    assert not found & ENGINES


# a row of one's own

CELL = '''
from convexnn.contract.backend import Raw
from convexnn.relu.forms import Dual

DEFAULTS = {"length": 1.0}


def refusal(form):
    return None if form.signs is None else "knows no cones"


def run(form, own, options, reporter, start):
    """Descend along the proximal gradient."""
    rows = form.rows(form.neurons(0.0 * form.correlate(form.y), form.still()))
    step = own["length"] / (form.loss.curvature * form.column_square() * form.blocks)
    for k in range(1, 2_000):
        slope = form.loss.gradient(form.predict(rows), form.y)
        rows = form.norm.prox(rows - step * form.correlate(slope), step * form.beta)
        if k % 100 == 0 and reporter.report(k, form.neurons(rows, form.still()), Dual(-slope)):
            return Raw("stopped")
    return Raw("max_iter")
'''


def test_a_foreign_engine_is_one_file_and_one_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "proximal_engine.py").write_text(CELL)
    monkeypatch.syspath_prepend(str(tmp_path))
    engine = Engine("proximal", {home(GroupForm): "proximal_engine"})
    X = np.random.default_rng(0).standard_normal((30, 2))
    problem = cx.GatedReluTraining(X, X[:, 0], beta=1.0, patterns=5)
    assert cx.solve(problem, engine, tol=1e-3, length=0.5).status is cx.Status.OPTIMAL
    with pytest.raises(ValueError, match=r"proximal has no option 'width'; it has: length"):
        cx.solve(problem, engine, width=3)
    with pytest.raises(cx.BackendError, match="knows no cones"):
        cx.solve(cx.ReluTraining(X, X[:, 0], beta=1.0, patterns=5), engine)
    monkeypatch.delitem(sys.modules, "proximal_engine")


def test_unknown_option_names_those_that_exist() -> None:
    with pytest.raises(ValueError, match=r"^mine has no option 'b'; it has: a, c$"):
        unpack("mine", {"b": 1}, {"a": 0, "c": 0})
    with pytest.raises(ValueError, match="it has: none"):
        unpack("mine", {"b": 1}, {})

"""``convexnn warm-up`` compiles what every solve calls, once, and says where that is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import convexnn as cx
from convexnn.bench import warm_up
from convexnn.bench.instances import FAMILIES, instance
from convexnn.commands.app import app
from convexnn.contract.system import kernels
from convexnn.contract.system.compiling import on_compiling

AFTER = """
import warnings
from convexnn.bench.warm_up import KINDS, every_engine
from convexnn.bench.instances import FAMILIES, instance
from convexnn.contract.system.compiling import compiled_s, on_compiling
warnings.simplefilter("ignore")
names, late = list(FAMILIES), []
for turn in range(4):
    for place, name in enumerate(names):
        one = instance(7, turn * len(names) + place)
        with on_compiling(lambda: late.append(one.text)):
            for _ in every_engine(one.problem, turn):
                pass
assert not late, late
assert compiled_s() == 0.0
"""


def test_every_kind_of_problem_belongs_to_a_family() -> None:
    assert sorted(kind for kinds in warm_up.KINDS.values() for kind in kinds) == sorted(FAMILIES)


def test_a_second_time_compiles_nothing_and_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_faults", [])
    for _ in range(2):
        told = CliRunner().invoke(app, ["warm-up", "--family", "median"])
        assert told.exit_code == 0, told.output
    assert "median: compiling, once ... 0 kernels in 0.0 s" in told.output
    assert "the code is kept in /" in told.output
    problem = instance(3, list(FAMILIES).index("distributed")).problem
    said: list[str] = []
    with on_compiling(lambda: said.append("once")):
        cx.solve(problem, "admm")
    assert not said


def test_code_that_cannot_be_kept_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_faults", ["compiled code is not kept: No space left on device"])
    monkeypatch.setitem(warm_up.KINDS, "median", ())
    told = CliRunner().invoke(app, ["warm-up", "--family", "median"])
    assert told.exit_code == 1
    assert "error: compiled code is not kept: No space left on device" in told.output


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(cx.ProblemError, match="family must be one of relu, robust, wass"):
        CliRunner().invoke(app, ["warm-up", "--family", "linear"], catch_exceptions=False)


@pytest.mark.slow
def test_after_warming_up_no_solve_compiles(tmp_path: Path) -> None:
    own = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    for command in (["-m", "convexnn", "warm-up"], ["-c", AFTER]):
        done = subprocess.run(
            [sys.executable, *command],
            env=own,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

"""Compiled code is kept where files can be written, and no disk stands in the way of an answer."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import pytest
from engines import Admm

import convexnn as cx
from convexnn.contract.clock import Clock, OutOfTime, timed_by
from convexnn.contract.system import kernels
from convexnn.contract.system.compiling import compiled_s
from convexnn.contract.system.kernels import Kept, kernel


def thrice(x: float) -> float:
    return 3.0 * x


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Leave numba no folder but one that is named; return where temporary ones are."""
    named = [
        place for place in Kept._impl_class._locator_classes if "UserProvided" in place.__name__
    ]
    assert named
    monkeypatch.setattr(Kept._impl_class, "_locator_classes", named)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kernels._temporary.cache_clear()
    kernels._say_once.cache_clear()
    yield tmp_path
    kernels._temporary.cache_clear()
    kernels._say_once.cache_clear()


def test_a_temporary_folder_takes_what_no_other_does(nowhere: Path) -> None:
    with pytest.warns(UserWarning, match="take no files; NUMBA_CACHE_DIR names another") as told:
        found = [kernel()(thrice), kernel(error_model="numpy")(thrice)]
    assert len(told) == 1
    assert [each(2.0) for each in found] == [6.0, 6.0]
    folder = nowhere / f"convexnn-kernels-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert list(folder.rglob("*.nbc"))


@pytest.mark.parametrize("planted", ["open to others", "a link", "a file"])
def test_no_code_is_run_from_a_folder_of_others(nowhere: Path, planted: str) -> None:
    folder = nowhere / f"convexnn-kernels-{os.getuid()}"
    (nowhere / "theirs").mkdir()
    if planted == "a link":
        folder.symlink_to(nowhere / "theirs")
    elif planted == "a file":
        folder.touch()
    else:
        folder.mkdir()
        folder.chmod(0o777)
    with pytest.warns(UserWarning, match="compiled code is kept in"):
        found: Any = kernel()(thrice)
    assert found(2.0) == 6.0
    assert not list((nowhere / "theirs").iterdir())
    assert planted == "a file" or not list(folder.iterdir())


def test_code_is_not_kept_where_no_folder_takes_it(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (nowhere / "file").touch()
    monkeypatch.setattr("tempfile.tempdir", str(nowhere / "file"))
    with pytest.warns(UserWarning, match="compiled code is not kept for the next process"):
        found: Any = kernel()(thrice)
    assert found(2.0) == 6.0


@pytest.mark.parametrize("step", ["_save_overload", "_load_overload"])
def test_a_disk_that_fails_costs_no_answer(
    step: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*given: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    kernels._say_once.cache_clear()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))  # nothing is kept from before
    monkeypatch.setattr(Kept, step, fail)
    found = kernel(fastmath=True)(thrice)
    with pytest.warns(UserWarning, match="No space left on device") as told:
        results = found(2.0), found(2)
    assert results == (6.0, 6.0)
    assert len(told) == 1


def test_code_is_compiled_anew_when_the_file_of_a_callee_is_edited(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    head = "from convexnn.contract.system.kernels import kernel\n"
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "kept"))
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "callee_of_two.py").write_text(
        f"{head}FACTOR = 3.0\n@kernel()\ndef scaled(x):\n    return FACTOR * x\n"
    )
    (tmp_path / "caller_of_one.py").write_text(
        f"{head}from callee_of_two import scaled\n"
        "@kernel()\ndef more(x):\n    return scaled(x) + 1.0\n"
        "@kernel()\ndef most(x):\n    return more(x)\n"
    )
    found, compiled = [], []
    for edit in (False, False, True):
        if edit:
            text = (tmp_path / "callee_of_two.py").read_text()
            (tmp_path / "callee_of_two.py").write_text(text.replace("= 3.0", "= 10.0"))
        for name in ("callee_of_two", "caller_of_one"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        most = importlib.import_module("caller_of_one").most
        assert [name for name, *_ in kernels.callees(most.py_func)] == ["callee_of_two"]
        found.append(most(2.0))
        compiled.append(sum(most.stats.cache_misses.values()))
    assert found == [7.0, 7.0, 21.0]
    assert compiled == [1, 0, 1]


def test_no_kernel_is_compiled_once_the_time_is_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    found = kernel(error_model="numpy")(thrice)
    with timed_by(Clock(0.0)), pytest.raises(OutOfTime, match="while kernels were compiled"):
        found(2.0)
    before = compiled_s()
    assert found(2.0) == 6.0
    spent = compiled_s() - before
    assert spent > 0.0
    with timed_by(Clock(0.0)):
        assert found(2.0) == 6.0
    assert compiled_s() - before == spent


def test_an_inner_kernel_is_for_kernels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    inside = kernel(inner=True)(thrice)

    def outside(x: float) -> Any:
        return inside(x) + 1.0

    assert kernel()(outside)(2.0) == 7.0
    assert inside(2.0) == 6.0
    assert inside.compiled.signatures


class Compiles(Admm):
    """An engine that compiles a kernel and has no time left then."""

    def run(self, form: Any, options: Any, reporter: Any, start: Any = None) -> cx.Raw:
        kernel(fastmath=True)(thrice)(2.0)
        return cx.Raw(cx.Outcome.TIME_LIMIT)


def test_a_run_tells_what_compiling_took(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    problem = cx.GatedReluTraining([[1.0], [2.0]], [1.0, 3.0], beta=0.1, patterns=2)
    ready = cx.compile(problem, Compiles())
    ready.run()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("convexnn.driver.solve.TOLD", 1e-6)
    first, second = ready.run(), ready.run()
    assert first.timings["kernels"] - ready.kernels_s > 0.0
    assert second.timings["kernels"] == ready.kernels_s
    assert "Compiling kernels, once, took " in first.message

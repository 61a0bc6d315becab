"""No answer is lost to a file that cannot be written: known before the work, or kept elsewhere."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
import pytest
from typer.testing import CliRunner, Result

import convexnn as cx
from convexnn.commands.app import app

SOLVE = ("solve", "wasserstein", "--tol", "1e-2")
MEDIAN = ("solve", "median")
BAD = {
    "no folder": "no/such/place.npz",
    "a folder": ".",
    "a device": "/dev/null",
    "nothing can be written": "/proc/s.npz",
}


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return a folder on a disk that is full; temporary files go to another."""
    folder = tmp_path / "full"
    folder.mkdir()
    (tmp_path / "other").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "other"))
    write, draw = np.savez_compressed, matplotlib.figure.Figure.savefig

    def check(path: str) -> None:
        if path.startswith(str(folder)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def savez(file: Any, **arrays: Any) -> None:
        check(os.readlink(f"/proc/self/fd/{file.fileno()}"))
        write(file, **arrays)

    def savefig(self: Any, path: Path, **options: Any) -> None:
        check(str(path))
        draw(self, path, **options)

    monkeypatch.setattr(np, "savez_compressed", savez)
    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", savefig)
    return folder


@pytest.mark.parametrize("option", ["--save", "--plot"])
@pytest.mark.parametrize("path", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("words", [SOLVE, ("compare", "relu"), ("path", "diabetes"), MEDIAN])
def test_a_path_that_cannot_be_written_is_named_before_the_work(
    words: tuple[str, ...], path: str, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in ("commands.family.run_one", "commands.family.run_all", "commands.path.run_path"):
        monkeypatch.setattr(f"convexnn.{room}", lambda *given, **named: pytest.fail("it worked"))
    ended = run(*words, option, path)
    assert isinstance(ended.exception, OSError)
    assert f"cannot write {path}" in str(ended.exception)


def test_an_ending_that_no_figure_has_is_named_before_the_work() -> None:
    ended = run(*SOLVE, "--plot", "figure.xyz")
    assert isinstance(ended.exception, cx.ProblemError)
    assert "ending of the figure's file" in str(ended.exception)


def test_a_full_disk_sends_solution_and_figure_elsewhere(full: Path) -> None:
    saved, figure = str(full / "s.npz"), str(full / "f.png")
    ended = run(*SOLVE, "--save", saved, "--plot", figure)
    assert ended.exit_code == 1
    for path in (saved, figure):
        assert f"cannot write {path}: [Errno 28] No space left on device" in ended.output
    kept = {path.suffix: path for path in (full.parent / "other").iterdir()}
    assert set(kept) == {".npz", ".png"}
    assert f"solution saved to {kept['.npz']}" in ended.output
    assert f"figure saved to {kept['.png']}" in ended.output
    assert cx.load(kept[".npz"]).gap <= 1e-2
    assert not list(full.iterdir())


def test_predictions_go_to_the_screen_where_no_disk_has_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved, data = tmp_path / "s.npz", tmp_path / "d.csv"
    x = np.arange(20.0)
    data.write_text("x,y\n" + "".join(f"{a},{abs(a - 9.5)}\n" for a in x))
    words = ("--data", str(data))
    assert run(*SOLVE, *words, "--save", str(saved)).exit_code == 0

    def full(self: Any, target: Any, **options: Any) -> None:
        if isinstance(target, Path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        target.write(f"{len(self)} rows\n")

    monkeypatch.setattr("pandas.DataFrame.to_csv", full)
    ended = run("predict", str(saved), *words, "--save", str(tmp_path / "p.csv"))
    assert ended.exit_code == 1
    assert "20 rows" in ended.output
    assert "No space left on device" in ended.output

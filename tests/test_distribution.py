"""What is installed: every module, in a way that mypy and pyright know it in a user's script."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest
from typer.testing import CliRunner

from convexnn.commands.app import app

ROOT = Path(__file__).parents[1]
SOURCES = ("convexnn", "problems", "solvers", "pyproject.toml", "README.md", "LICENSE")
SCRIPT = Path(__file__).with_name("typed_use.py")
PLANTED = "\nsolution.model.forecast\n"


def build(tree: Path, kind: str) -> Path:
    """Return an "sdist", "wheel" or "editable" wheel, built as pip does with what is at hand."""
    pytest.importorskip("setuptools", minversion="77", reason="older ones cannot build the project")
    code = f"from setuptools import build_meta as b; print(b.build_{kind}('dist'))"
    (tree / "dist").mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tree, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return tree / "dist" / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of what a distribution is made of."""
    to = tmp_path_factory.mktemp("project")
    unwanted = shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, to / name, symlinks=True, ignore=unwanted)
        else:
            shutil.copy(ROOT / name, to / name)
    return to


def modules(folder: Path) -> set[str]:
    """Return the files of the package under a folder, through its links."""
    found = (
        Path(where, name).relative_to(folder)
        for where, _, names in os.walk(folder / "convexnn", followlinks=True)
        for name in names
    )
    return {p.as_posix() for p in found if p.suffix in (".py", ".pyi") or p.name == "py.typed"}


def test_sdist_and_its_wheel_hold_every_module(tree: Path, tmp_path: Path) -> None:
    expected = modules(tree)
    assert {"convexnn/forms.pyi", "convexnn/py.typed"} <= expected
    assert {"convexnn/solvers/relu/admm.py", "convexnn/problems/__init__.py"} <= expected
    with tarfile.open(build(tree, "sdist")) as sdist:
        sdist.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    assert modules(unpacked) == expected
    with ZipFile(build(unpacked, "wheel")) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == expected


def test_editable_install_is_a_path_and_no_import_hook(tree: Path) -> None:
    with ZipFile(build(tree, "editable")) as wheel:
        held = [name for name in wheel.namelist() if ".dist-info/" not in name]
        assert held == ["__editable__.convexnn-0.1.0.pth"]
        assert wheel.read(held[0]).decode().split() == [str(tree)]


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_workflows_and_image_call_what_is_there() -> None:
    """Their commands are of the command line as it is, their tests of the checkout."""
    yaml = pytest.importorskip("yaml")
    lines = [line.strip() for line in (ROOT / "Dockerfile").read_text().splitlines()]
    lines = [line.removeprefix("RUN ").partition(" && ")[0] for line in lines]
    for path in WORKFLOWS:
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            for step in job.get("steps", ()):
                assert ("uses" in step) != ("run" in step)
                lines += [line.strip() for line in step.get("run", "").splitlines()]
    called = [line.split()[1:] for line in lines if line.startswith("convexnn ")]
    assert {words[0] for words in called} >= {"backends", "solve", "certify", "warm-up"}
    for words in called:
        done = CliRunner().invoke(app, [*words, "--help"])
        assert done.exit_code == 0, done.output
    tested = [line for line in lines if line.startswith("python -m pytest")]
    assert tested
    for line in tested:
        paths = [word for word in line.split() if word.startswith("tests")]
        assert paths
        assert all((ROOT / path).exists() for path in paths), line


def test_the_script_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module", params=["editable", "wheel"])
def python(
    request: pytest.FixtureRequest, tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the interpreter of an environment with convexnn installed and what it depends on."""
    folder = tmp_path_factory.mktemp(request.param)
    venv.create(folder)
    (site,) = folder.glob("lib/python*/site-packages")
    with ZipFile(build(tree, request.param)) as wheel:
        wheel.extractall(site)
    others = [path for path in sys.path if path.endswith("site-packages")]
    (site / "others.pth").write_text("\n".join(others))
    return folder / "bin" / "python"


@pytest.mark.parametrize(
    "tool",
    [
        pytest.param(("mypy", "--strict", "--python-executable"), marks=pytest.mark.slow),
        ("pyright", "--pythonpath"),
    ],
    ids=lambda tool: str(tool[0]),
)
def test_tools_know_the_types_of_an_answer(
    tool: tuple[str, ...], python: Path, tmp_path: Path
) -> None:
    pytest.importorskip(tool[0], reason="comes with the extra lint")
    script = tmp_path / "script.py"
    for text, errors in ((SCRIPT.read_text(), 0), (SCRIPT.read_text() + PLANTED, 1)):
        script.write_text(text)
        done = subprocess.run(
            [sys.executable, "-m", *tool, str(python), script.name],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == errors, done.stdout + done.stderr
    assert '"forecast"' in done.stdout

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from convexnn.bench.report.standing import standing
from convexnn.contract.system.processes import mpiexec
from convexnn.solvers.mpi import as_root

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "bench/studies/README.md", "docs/mpi.md")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)


SNIPPETS = [(page, code) for page in PAGES for code in blocks(page, "python")]


def runs(page: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the commands of a page: each with those below it in its block that read its file."""
    for block in blocks(page, "sh"):
        lines = [x for x in block.strip().splitlines() if x.startswith(("convexnn ", "mpiexec "))]
        while lines:
            first = lines.pop(0)
            saved = re.search(r"--save (\S+)", first)
            readers = [x for x in lines if saved and saved[1] in x.split()]
            lines = [x for x in lines if x not in readers]
            yield page, (first, *readers)


COMMANDS = [run for page in PAGES for run in runs(page)]


def test_the_pages_have_snippets_and_commands() -> None:
    assert len(SNIPPETS) >= 3
    assert len(COMMANDS) >= 2


@pytest.mark.parametrize(("page", "code"), SNIPPETS, ids=lambda value: value[:20])
def test_snippets_run(page: str, code: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "FAILED" not in done.stdout


@pytest.mark.parametrize(
    ("page", "lines"),
    COMMANDS,
    ids=lambda value: value if isinstance(value, str) else value[0][:30],
)
def test_commands_run(page: str, lines: tuple[str, ...], tmp_path: Path) -> None:
    for line in lines:
        words = shlex.split(line, comments=True)
        if words[0] == "mpiexec":
            if mpiexec() is None:
                pytest.skip("no mpiexec")
            words = [str(mpiexec()), *as_root(), *words[1:]]
            words[words.index("python")] = sys.executable
        else:
            words = [sys.executable, "-m", *words]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_a_saved_model_is_used_below() -> None:
    saved = next(lines for _, lines in COMMANDS if "--save model.npz" in lines[0])
    assert [line.split()[1] for line in saved[1:]] == ["predict", "show", "certify"]


def test_the_ratios_are_those_of_the_sweeps_that_are_kept() -> None:
    assert standing(ROOT / "bench" / "results") in (ROOT / "README.md").read_text()


def test_ci_runs_the_two_set_up_commands() -> None:
    install, test = (block.strip() for block in blocks("README.md", "sh")[:2])
    script = (ROOT / ".ci" / "run").read_text()
    for part in install.split(" && ")[1:]:
        assert part.removeprefix(".venv/bin/").partition(" ")[2] in script
    assert test.removeprefix(".venv/bin/") in script.replace('"$scratch/venv/bin/python"', "python")

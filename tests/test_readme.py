from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from convexnn.bench.report.standing import standing
from convexnn.contract.system.processes import mpiexec
from convexnn.solvers.mpi import as_root

ROOT = Path(__file__).parents[1]
GENERATED = ("generated", "gallery")
SITE = sorted(
    page.relative_to(ROOT).as_posix()
    for page in (ROOT / "docs").rglob("*.md")
    if page.relative_to(ROOT / "docs").parts[0] not in GENERATED
)
PAGES = ("README.md", "CONTRIBUTING.md", "bench/studies/README.md", *SITE)


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)


# Packages that are not among those of the tests, by what a snippet that needs them holds.
EXTRAS = {"import torch": "torch", "flower_strategy": "flwr"}
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
    for held, package in EXTRAS.items():
        if held in code and find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
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
    assert standing(ROOT / "bench" / "results") in (ROOT / "docs" / "benchmarks.md").read_text()


def test_ci_runs_the_two_set_up_commands() -> None:
    install, test = (block.strip() for block in blocks("README.md", "sh")[:2])
    script = (
        (ROOT / ".ci" / "run").read_text().replace('"$scratch/venv/bin/', "").replace('" ', " ")
    )
    for part in [*install.split(" && ")[1:], *test.split(" && ")]:
        assert part.removeprefix(".venv/bin/") in script


def test_the_output_of_the_example_is_what_it_prints() -> None:
    code = blocks("README.md", "python")[0]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout in blocks("README.md", "text")


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 200


@pytest.mark.parametrize("page", PAGES)
def test_links_within_the_project_lead_somewhere(page: str) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        generated = any(f"{part}/" in link for part in GENERATED)
        assert "://" in link or generated or ((ROOT / page).parent / link).exists(), link

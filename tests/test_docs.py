"""The site: what its generated pages hold, and that it builds (slow)."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from importlib.util import find_spec
from inspect import isclass
from pathlib import Path

import pytest

import convexnn as cx
from convexnn import forms
from convexnn.contract.backend import Optioned, registry
from convexnn.contract.system.lazy import homes
from convexnn.driver.problems import PROBLEMS
from convexnn.functions import terms

DOCS = Path(__file__).parents[1] / "docs"
LISTINGS = runpy.run_path(str(DOCS / "listings.py"))
GALLERY = sorted((DOCS / "examples").glob("*/*.py"))
QUICK = ("tail", "newsvendor", "faulty", "outliers")


def test_the_pages_are_those_of_the_public_names_and_of_no_others() -> None:
    listed = [line.strip() for line in LISTINGS["reference"]().splitlines()]
    pages = [name for name in listed if re.fullmatch(r"convexnn\.[\w.]+", name)]
    told = [f"convexnn.{name}" for name in dir(cx)]
    told += [f"convexnn.forms.{name}" for name in dir(forms)]
    own = (value for name, value in vars(terms).items() if name[0] != "_" and isclass(value))
    told += [f"convexnn.terms.{k.__name__}" for k in own if k.__module__ == terms.__name__]
    assert sorted(pages) == sorted(told)
    torch = homes(str(Path(cx.__file__).parent / "torch" / "__init__.py"))
    rows = [name[6:-2] for name in listed if name.startswith("* - ``convexnn.torch.")]
    assert sorted(rows) == sorted(f"convexnn.torch.{name}" for name in torch)
    assert torch


def test_every_engine_and_option_is_in_the_tables() -> None:
    table = LISTINGS["engines"]()
    assert all(f"``{name}``" in table for name in registry())
    rows = [row.split("\n     - ") for row in LISTINGS["options"]().split("\n   * - ")[2:]]
    assert all(len(row) == 5 and row[4].strip() for row in rows)
    shown = {
        (engine.strip("`"), option)
        for engine, together, *_ in rows
        for option in together.replace("`", "").split(", ")
    }
    assert shown == {
        (name, option)
        for name, engine in registry().items()
        if isinstance(engine, Optioned) and not name.startswith("cvxpy:")
        for option in engine.options(None)
    }
    relax = {row[3]: row[2] for row in rows if row[:2] == ["``admm``", "``relax``"]}
    assert relax["``RobustForm``"] == "``1.8``"
    assert all(f"``{name}``" in LISTINGS["offered"]() for name in PROBLEMS)


def test_statuses_have_their_advice_and_the_glossary_is_in_order() -> None:
    assert all(f"``{s.name}``\n     - {s.value}" in LISTINGS["statuses"]() for s in cx.Status)
    body = (DOCS / "glossary.md").read_text().partition("{glossary}\n")[2]
    terms_told = re.findall(r"^(\w.*)\n  \S", body, flags=re.MULTILINE)
    assert len(terms_told) > 80
    assert terms_told == sorted(set(terms_told), key=str.lower)


def test_the_rules_are_the_tables_of_the_code() -> None:
    said = LISTINGS["rules"]()
    assert "cones, many in use, n <= 1,000" in said
    assert "Interior point, some thirty steps" in said


def test_the_gallery_draws_and_asserts_and_has_no_name_twice() -> None:
    assert len(GALLERY) >= 16
    assert len({file.name for file in (DOCS / "examples").rglob("*.py")}) == len(
        [*(DOCS / "examples").rglob("*.py")]
    )
    for file in GALLERY:
        code = file.read_text()
        assert "\nassert " in code or "    assert " in code, file
        assert "ax" in code, file


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(file, marks=[] if file.stem in QUICK else [pytest.mark.slow])
        for file in GALLERY
    ],
    ids=lambda file: file.stem,
)
def test_the_gallery_runs(file: Path) -> None:
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    runpy.run_path(str(file))
    assert plt.get_fignums()
    plt.close("all")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("sphinx_gallery") is None, reason="extra docs is not installed")
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "-q", "-D", "plot_gallery=0", DOCS, tmp_path],
        env=os.environ | {"MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "generated" / "names" / "convexnn.solve.html").exists()

"""The site: what its generated pages hold, and that it builds (slow)."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import convexnn as cx
from convexnn import forms
from convexnn.contract.backend import registry
from convexnn.contract.system.lazy import homes

DOCS = Path(__file__).parents[1] / "docs"
LISTINGS = runpy.run_path(str(DOCS / "listings.py"))
GALLERY = sorted((DOCS / "examples").glob("*/*.py"))
QUICK = ("tail", "newsvendor", "faulty", "outliers")


def test_every_public_name_has_a_page() -> None:
    listed = {line.strip() for line in LISTINGS["reference"]().splitlines()}
    assert {f"convexnn.{name}" for name in dir(cx)} <= listed
    assert {f"convexnn.forms.{name}" for name in dir(forms)} <= listed
    assert "convexnn.terms.Distance" in listed
    torch = homes(str(Path(cx.__file__).parent / "torch" / "__init__.py"))
    assert torch
    assert {f"* - ``convexnn.torch.{name}``" for name in torch} <= listed


def test_every_engine_and_option_is_in_the_table() -> None:
    table = LISTINGS["engines"]()
    assert all(f"``{name}``" in table for name in registry())
    assert "``relax=1.6 or 1.8``" in table


def test_the_rules_are_the_tables_of_the_code() -> None:
    said = LISTINGS["rules"]()
    assert "cones, many in use, n <= 1,000" in said
    assert "Return interior point, some thirty steps" in said


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

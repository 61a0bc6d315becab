"""``convexnn predict``, ``show`` and ``certify`` on a saved solution."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from shell import convexnn
from typer import Exit

import convexnn as cx
from convexnn.commands import saved
from convexnn.commands.source import Source
from convexnn.commands.wasserstein import declare
from convexnn.datasets import Reading


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data, a solution that meets its tolerance and one that does not."""
    path = tmp_path_factory.mktemp("saved")
    rng = np.random.default_rng(0)
    age, sex = 40.0 + 10.0 * rng.standard_normal(60), rng.choice(["f", "m"], 60)
    ill = np.where(age + 10.0 * (sex == "m") > 45.0, "yes", "no")
    pd.DataFrame({"age": age, "sex": sex, "ill": ill}).to_csv(path / "d.csv", index=False)
    split, problem = declare(Source(str(path / "d.csv"), Reading(encode=True)), 0)
    cx.solve(problem, tol=1e-4).for_raw_data(split.preparation).save(path / "s.npz")
    cx.solve(problem, "admm", tol=1e-12, max_iter=1).save(path / "poor.npz")
    return path


def test_predictions_are_of_raw_columns_found_by_name(folder: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(folder / "d.csv")
    frame[["sex", "age"]].iloc[::-1].to_csv(tmp_path / "new.csv", index=False)
    saved.predict(folder / "s.npz", str(tmp_path / "new.csv"), save=tmp_path / "p.csv")
    found = pd.read_csv(tmp_path / "p.csv")
    assert list(found) == ["ill"]
    model = cx.load(folder / "s.npz").model
    raw = np.column_stack([frame["age"], frame["sex"] == "m"])
    assert found["ill"].tolist() == model.predict(raw).tolist()[::-1]
    assert np.mean(found["ill"].to_numpy() == frame["ill"].to_numpy()[::-1]) > 0.9


def test_other_columns_and_values_are_named(folder: Path, tmp_path: Path) -> None:
    for text, message in (
        ("age,height\n40,1\n41,2\n", "they lack 'sex'"),
        ("age,sex\n40,f\n41,x\n", "column 'sex' has 'x'"),
        ("age,sex\n40,f\n,m\n", "1 of 2 rows miss a value: column 'age'"),
    ):
        (tmp_path / "new.csv").write_text(text)
        with pytest.raises(cx.ProblemError, match=message):
            saved.predict(folder / "s.npz", str(tmp_path / "new.csv"))
    with pytest.raises(cx.ProblemError, match=r"poor\.npz does not say which columns"):
        saved.predict(folder / "poor.npz", str(folder / "d.csv"))


def test_show_says_what_it_is(folder: Path, tmp_path: Path) -> None:
    done = convexnn("show", folder / "s.npz", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    solution = cx.load(folder / "s.npz")
    assert said["problem"] == "WassersteinClassification"
    assert (said["status"], said["bound"]) == ("OPTIMAL", solution.bound)
    assert (said["features"], said["classes"]) == (["age", "sex=m"], ["no", "yes"])
    assert said["timings"] == solution.timings


def test_certify_says_by_its_exit_whether_it_holds(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved.certify(folder / "s.npz")
    assert "holds: True" in capsys.readouterr().out
    with pytest.raises(Exit) as ended:
        saved.certify(folder / "poor.npz")
    assert ended.value.exit_code == 1
    assert "holds: False" in capsys.readouterr().out

"""The examples run; what they measure is theirs to say."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


def run(name: str, *words: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", str(EXAMPLES / name), "--quick", *words],
        cwd=cwd,
        env=os.environ | {"MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_network_trained_elsewhere_is_certified_and_improved(tmp_path: Path) -> None:
    first, then, *_ = run("trained_elsewhere.py", cwd=tmp_path).splitlines()
    (own, bound), (better, above) = (
        [float(part.rstrip(",")) for part in line.split() if part[0].isdigit()]
        for line in (first, then)
    )
    assert max(bound, above) <= better <= own


def test_label_noise_shows_where_it_wins_and_where_not(tmp_path: Path) -> None:
    lines = run("label_noise.py", cwd=tmp_path).splitlines()
    assert [line.split(",")[0] for line in lines[2::2]] == ["gross", "random", "random"]
    wins = [line.split("in ")[1][0] for line in lines[3::2]]
    assert wins[0] == "2"
    assert wins[2] == "0"


@pytest.mark.skipif(find_spec("torch") is None, reason="extra torch is not installed")
def test_preference_draws_its_figure(tmp_path: Path) -> None:
    said = run("preference.py", "--out", "figure.png", cwd=tmp_path)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    for name in ("plain", "plain, 3 x decay", "robust, radius 1"):
        assert name in said


@pytest.mark.skipif(find_spec("torch") is None, reason="extra torch is not installed")
def test_a_network_trains_through_medians_where_points_are_wrong(tmp_path: Path) -> None:
    _, _, *lines = run("median_pooling.py", cwd=tmp_path).splitlines()
    right = [[float(cell) for cell in line.split()[-3:]] for line in lines]
    assert min(row[0] for row in right) > 0.9
    assert right[0][-1] < 0.7  # the mean
    assert right[2][-1] > 0.85


def test_byzantine_clients_beat_the_mean_only(tmp_path: Path) -> None:
    lines = run("byzantine.py", "--out", "figure.png", cwd=tmp_path).splitlines()
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    table = {words[0]: [float(w) for w in words[1:]] for words in map(str.split, lines[10:])}
    assert table["mean"][0] > 0.7  # without faulty clients
    assert table["mean"][-1] < 0.5  # with 40 % of noise
    for robust in ("geometric-median", "coordinate-median", "centered-clipping"):
        assert table[robust][-1] > 0.7


def test_homotopy_is_worth_its_re_centring_and_admm_wins(tmp_path: Path) -> None:
    said = run("homotopy.py", "--out", "figure.png", cwd=tmp_path)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    before, after = (part.splitlines() for part in said.split("exponent"))
    rounds = {
        line.split(", ", 1)[1].rsplit(maxsplit=3)[0].strip(): line.split()[-3:]
        for line in before[1:]
    }
    assert rounds["DSM"] == ["-", "-", "-"]
    to_last = {name: int(cells[-1]) for name, cells in rounds.items() if cells[-1] != "-"}
    assert sorted(to_last, key=to_last.__getitem__)[0] == "D-ADMM"
    assert to_last["adaptive"] < to_last["PDHS, root"]
    measured = {
        line.split(", ", 1)[1].rsplit(maxsplit=1)[0].strip(): line.split()[-1] for line in after[1:]
    }
    assert float(measured["PDHS, root"]) < 0.8
    assert float(measured["PDHS, root"]) < float(measured["without re-centring"]) - 0.2


def test_the_majorant_stands_its_radius_and_standard_training_does_not(tmp_path: Path) -> None:
    said = run("adversary.py", "--out", "figure.png", "--csv", "table.csv", cwd=tmp_path)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    heads, *rows = (line.split(",") for line in (tmp_path / "table.csv").read_text().splitlines())
    table = {
        (row[0], row[1]): dict(zip(heads[2:], map(float, row[2:]), strict=True)) for row in rows
    }
    for (name, _), row in table.items():
        assert name in said
        assert row["certified"] <= row["pgd"] <= row["clean"]
    assert table["majorant", "0.1"]["certified"] > 0.7 > table["standard", "0.1"]["pgd"]
    assert (("PGD", "0.1") in table) == (find_spec("torch") is not None)


def test_fewer_knots_pay_for_a_larger_beta_and_more_layers_pay_less(tmp_path: Path) -> None:
    said = run("knots.py", "--out", "figure.png", cwd=tmp_path)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    table: dict[tuple[str, ...], list[tuple[float, ...]]] = {}
    for line in said.splitlines()[1:]:
        kind, layers, *numbers = line.split(", ")
        table.setdefault((kind, layers), []).append(tuple(map(float, numbers)))
    for rows in table.values():
        assert all(gap <= 1e-6 for _, _, gap, _ in rows)
        knots = [count for *_, count in rows]
        assert knots == sorted(knots)  # beta falls
    for two, three in zip(table["relu", "2"], table["relu", "3"], strict=True):
        assert three[1] <= two[1] + 1e-5


def test_a_convolution_stands_that_digits_move_and_a_plain_network_does_not(tmp_path: Path) -> None:
    _, _, *rows = run("convolution.py", cwd=tmp_path).splitlines()
    table = {name.strip(): list(map(float, cells)) for name, *cells in (r.split(",") for r in rows)}
    assert all(abs(gap) <= 1e-3 for gap, *_ in table.values())
    there, one, two = table["convolution"][1:]
    assert there == one == two
    assert there > 0.85
    assert table["plain"][1] > 0.85
    assert table["plain"][2] < 0.3


def test_a_path_screens_patterns_and_chooses_beta(tmp_path: Path) -> None:
    said = run("path.py", "--out", "figure.png", cwd=tmp_path).splitlines()
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    heads = said[0].split()
    rows = [dict(zip(heads, line.split(), strict=True)) for line in said[1:9]]
    assert {row["status"] for row in rows} == {"OPTIMAL"}
    assert all(float(row["gap"]) <= 1e-6 for row in rows)
    assert all(int(row["kept"]) + int(row["dropped"]) == 30 for row in rows)
    assert all(int(row["neurons"]) <= 2 * int(row["kept"]) for row in rows)  # either sign
    assert int(rows[1]["dropped"]) > 15
    objectives = [float(row["objective"]) for row in rows]
    assert objectives == sorted(objectives, reverse=True)
    chosen = min(rows, key=lambda row: float(row["validation"]))
    assert f"beta by folds {chosen['beta']}, " in said[-2]


def test_networks_in_balls_have_both_sides(tmp_path: Path) -> None:
    _, *lines = run("network_ball.py", cwd=tmp_path).splitlines()
    for line in lines:
        _, lower, upper, trained, plain, moved = (float(word) for word in line.split())
        assert lower <= upper <= trained
        assert plain < moved
    assert len(lines) == 2


def test_radii_come_with_statements(tmp_path: Path) -> None:
    chosen, profile, held = run("choose_radius.py", cwd=tmp_path).splitlines()
    assert chosen.endswith("%. ")
    assert "With probability 0.95, some distribution within" in profile
    assert "With confidence 0.95, the share of errors of this model" in held


def test_a_network_for_the_worst_group_is_better_there_than_one_for_the_mean(
    tmp_path: Path,
) -> None:
    lines = run("group_risk.py", cwd=tmp_path).splitlines()[1:]
    worst = {line[:20].strip(): float(line.split()[-1]) for line in lines}
    assert worst["worst group"] > worst["mean"]


def test_monotone_networks_pay_and_never_fall(tmp_path: Path) -> None:
    _, *lines = run("monotone.py", cwd=tmp_path).splitlines()
    rows = [line[17:].split() for line in lines]
    assert len(rows) == 3
    assert all(float(price[:-1]) >= 0.0 for _, price, *_ in rows)
    assert all(row[3] == "0.0%" and row[-1] == "True" for row in rows)
    assert any(row[2] != "0.0%" for row in rows)

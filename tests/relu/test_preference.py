"""The engine that "auto" takes for columns in units of their own, held to the rows recorded."""

from __future__ import annotations

import csv
import importlib.util
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from convexnn.driver.choice import choose

STUDIES = Path(__file__).parents[2] / "bench" / "studies"
TWICE = 2.0
UNTOLD = 0.003  # seconds of a call below which one engine is as good as another


def recorded() -> dict[tuple[str, ...], dict[str, float]]:
    """Seconds by engine of each problem; of an engine that did not end OPTIMAL, infinite."""
    last = sorted((STUDIES / "results").glob("relu-units-*.csv"))[-1]
    found: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    with last.open(newline="") as file:
        for row in csv.DictReader(file):
            key = row["program"], row["data"], row["loss"], row["share"]
            done = row["status"] == "OPTIMAL"
            found[key][row["engine"]] = float(row["seconds"]) if done else float("inf")
    return found


def declared() -> Iterator[tuple[tuple[str, ...], Any]]:
    """The problems of the study."""
    spec = importlib.util.spec_from_file_location("units", STUDIES / "units.py")
    assert spec is not None
    assert spec.loader is not None
    study = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(study)
    for told, problem in study.problems():
        yield tuple(map(str, told.values())), problem


@pytest.fixture(scope="module")
def rows() -> list[tuple[tuple[str, ...], str, dict[str, float]]]:
    known = recorded()
    return [(key, choose(problem).backend.name, known[key]) for key, problem in declared()]


def test_every_problem_is_chosen_for_within_twice_the_best(rows: Any) -> None:
    assert len(rows) == 64
    late = {
        key: (chosen, seconds)
        for key, chosen, seconds in rows
        if seconds[chosen] > TWICE * min(seconds.values()) + UNTOLD
    }
    assert not late


def test_no_single_engine_would_do(rows: Any) -> None:
    for engine in rows[0][2]:
        assert any(s[engine] > TWICE * min(s.values()) + UNTOLD for _, _, s in rows), engine

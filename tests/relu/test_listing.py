"""Programs with fewer patterns than were asked for say so, and why."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.reading import read_for
from convexnn.problems.relu.listing import shrunk

X = np.random.default_rng(0).standard_normal((12, 1))
GIVEN = cx.Patterns(np.hstack([X >= 0.0, X >= 0.0, X >= 9.0, X < 0.0]))


@pytest.mark.parametrize(
    "build",
    [
        lambda patterns: cx.ReluTraining(X, X[:, 0], beta=0.1, patterns=patterns),
        lambda patterns: cx.GatedReluTraining(X, X[:, 0], beta=0.1, patterns=patterns),
        lambda patterns: cx.ThresholdTraining(X, X[:, 0], beta=0.1, patterns=patterns),
        lambda patterns: cx.RobustReluTraining(
            X, X[:, 0], beta=0.1, radius=0.0, loss="squared", patterns=patterns
        ),
    ],
)
def test_what_is_left_out_of_the_patterns_is_said(build: Any) -> None:
    problem = build(GIVEN)
    said = "The program has 2 of the 4 patterns given: 1 repeated, 1 active on no example."
    assert problem.remark() == said
    assert said in cx.solve(problem, tol=1e-3).message
    drawn = build(9)
    used = drawn.matrix.shape[1]
    assert used == 2
    assert drawn.remark() == (
        "The program has 2 of the 9 patterns asked for: the data have no more."
    )
    assert build(GIVEN.take([0, 3])).remark() == ""


def test_as_many_patterns_as_are_asked_for_in_any_units() -> None:
    rng = np.random.default_rng(0)
    ages, pays = rng.uniform(20.0, 70.0, 60), rng.uniform(1e4, 1e5, 60)
    data = np.column_stack([ages, pays, 1e9 + pays])
    for kind in (cx.ReluTraining, cx.GatedReluTraining, cx.ThresholdTraining):
        problem = kind(data, ages, beta=1.0, patterns=50, bias=True)
        matrix = np.asarray(problem.matrix)
        assert matrix.shape[1] == 50
        assert matrix.any(axis=0).all()
        assert problem.remark() == ""
        shares = np.abs(np.where(matrix, 1.0, -1.0).mean(axis=0))
        assert np.median(shares) < 0.9  # most of the patterns divide the examples


def test_a_sample_of_few_cells_holds_them_all() -> None:
    thin = np.column_stack([np.ones(9), np.append(np.arange(8.0), 7.0 + 1e-6)])
    found = cx.sample_patterns(thin, 100, active=True)
    assert len(found) == len(cx.enumerate_patterns(thin)) - 1 == 17
    assert found.matrix.any(axis=0).all()
    assert found.generators is not None
    assert np.array_equal(found.matrix, thin @ found.generators >= 0.0)
    problem = cx.GatedReluTraining(thin[:, 1:], np.arange(9.0), beta=1.0, patterns=100, bias=True)
    assert problem.remark() == (
        "The program has 17 of the 100 patterns asked for: the data have no more."
    )


def test_a_draw_that_found_enough_stays_as_it_was() -> None:
    data = np.random.default_rng(1).standard_normal((30, 4))
    found = cx.sample_patterns(data, 25, seed=3)
    assert found.generators is not None
    directions = np.random.default_rng(3).standard_normal((4, 25))
    assert np.array_equal(found.generators, directions)


def test_a_file_of_fewer_drawn_patterns_is_read_as_it_was_written(tmp_path: Path) -> None:
    data = np.column_stack([np.ones(9), np.append(np.arange(8.0), 7.0 + 1e-6)])
    problem = cx.GatedReluTraining(data, np.arange(9.0), beta=1.0, patterns=100)
    with read_for(np.zeros(1000), drawing=1):
        few = problem.matrix.shape[1]
        solution = cx.solve(problem, tol=1e-3)
    assert few < 17
    solution.save(tmp_path / "new.npz")
    with pytest.raises(ValueError, match="damaged"):
        cx.load(tmp_path / "new.npz")  # says that it was drawn by today's rule
    with np.load(tmp_path / "new.npz") as file:
        arrays = dict(file)
    meta = json.loads(str(arrays["meta"]))
    del meta["drawing"]
    np.savez(tmp_path / "old.npz", **{**arrays, "meta": np.array(json.dumps(meta))})
    again = cx.load(tmp_path / "old.npz")
    assert again.certificate == solution.certificate
    assert again.problem.matrix.shape[1] == few


def test_patterns_without_a_robust_cone_are_said() -> None:
    problem = cx.RobustReluTraining(
        X, np.sign(X[:, 0]), beta=0.1, radius=0.5, patterns=GIVEN, formulation="cones"
    )
    assert problem.matrix is not None
    assert f"has {problem.matrix.shape[1]} of 4 patterns" in problem.remark() or (
        "No pattern keeps a robust cone" in problem.remark()
    )


def test_all_patterns_are_not_counted() -> None:
    assert shrunk(None, GIVEN.matrix, X) == ""
    assert shrunk(4, GIVEN.matrix, X) == ""


def test_local_search_gives_as_many_distinct_patterns_as_it_has() -> None:
    rng = np.random.default_rng(1)
    data = rng.standard_normal((40, 3))
    problem = cx.ReluTraining(data, np.abs(data[:, 0]), beta=0.1)
    few = cx.local_patterns(problem, starts=2, width=20)
    assert len(cx.local_patterns(problem, starts=2, width=20, limit=5)) == min(5, len(few))


BANNER = """
import numpy as np
import convexnn as cx
t = np.abs(np.random.default_rng(0).standard_normal(20))
problem = cx.ReluTraining(t[:, None], np.where(t > 1.0, 1, -1), beta=0.01, loss="hinge", patterns=4,
                          penalty="l1")
cx.solve(problem, "cvxpy:highs", tol=1e-3)
print("done")
"""


def test_solvers_print_nothing() -> None:
    pytest.importorskip("highspy")
    done = subprocess.run(
        [sys.executable, "-c", BANNER], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr

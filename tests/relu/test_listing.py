"""Programs with fewer patterns than were asked for say so, and why."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import convexnn as cx
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
    assert used < 9
    assert drawn.remark().startswith(f"The program has {used} of the 9 patterns asked for: ")
    assert build(GIVEN.take([0, 3])).remark() == ""


def test_patterns_without_a_robust_cone_are_said() -> None:
    problem = cx.RobustReluTraining(
        X, np.sign(X[:, 0]), beta=0.1, radius=0.5, patterns=GIVEN, formulation="cones"
    )
    assert problem.matrix is not None
    assert f"has {problem.matrix.shape[1]} of 4 patterns" in problem.remark() or (
        "No pattern keeps a robust cone" in problem.remark()
    )


def test_all_patterns_are_not_counted() -> None:
    assert shrunk(None, GIVEN.matrix) == ""
    assert shrunk(4, GIVEN.matrix) == ""


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

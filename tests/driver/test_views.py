"""What people look at: lines, tables of a notebook, a figure."""

from __future__ import annotations

import numpy as np
import pytest

import convexnn as cx

X = np.random.default_rng(0).standard_normal((20, 2))
SOLUTION = cx.solve(cx.ReluTraining(X, X[:, 0], beta=0.1, patterns=6), "admm")


def test_a_summary_says_the_certificate_in_ten_lines() -> None:
    lines = SOLUTION.summary().splitlines()
    assert len(lines) <= 10
    said = dict(line.split(maxsplit=1) for line in lines)
    assert said["status"] == "OPTIMAL by admm"
    assert float(said["objective"].split(",")[0]) == pytest.approx(SOLUTION.objective, rel=1e-7)
    assert float(said["bound"].split(",")[0]) == pytest.approx(SOLUTION.bound, rel=1e-7)
    assert said["bound"].endswith("over these patterns")
    assert said["gap"].endswith("1e-06 asked for")


def test_notebooks_show_tables_with_nothing_unescaped() -> None:
    html = SOLUTION._repr_html_()
    assert html.count("<tr>") == len(SOLUTION.summary().splitlines())
    assert "TwoLayerNetwork(" in html
    assert "<TwoLayer" not in html
    problem = cx.ReluTraining(X, X[:, 0], beta=0.1, patterns=6)
    assert cx.path(problem, [1.0, 0.1])._repr_html_().count("<tr") == 3
    assert cx.select(problem, beta=[1.0, 0.1], folds=2)._repr_html_().count("<tr") == 3


def test_the_figure_holds_the_interval() -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    ax = SOLUTION.plot()
    above, below = (np.asarray(line.get_ydata(), np.float64) for line in ax.lines)
    assert np.all(np.diff(above) <= 0.0)
    assert np.all(np.diff(below) >= 0.0)
    assert above[-1] == SOLUTION.objective
    assert SOLUTION.plot(ax) is ax
    pyplot.close("all")
    with pytest.raises(cx.ProblemError, match="ax must be"):
        SOLUTION.plot(3)  # type: ignore[arg-type]

"""Scores by scikit-learn's names, against its own metrics on the same rows."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score

import convexnn as cx
from convexnn.workflows.scorers import by_name
from convexnn.workflows.select import split

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 2))
y = np.where(X[:, 0] + RNG.standard_normal(60) > 0.0, "yes", "no")
LABELS = cx.WassersteinClassification(X, y, radius=0.1)
NUMBERS = cx.WassersteinRegression(X, X[:, 0] + 1.0, radius=0.1, loss="absolute")


@pytest.mark.parametrize(
    ("name", "problem", "exact"),
    [
        ("roc_auc", LABELS, lambda m, X, y: roc_auc_score(y, m.decision_function(X))),
        ("accuracy", LABELS, lambda m, X, y: accuracy_score(y, m.predict(X))),
        ("r2", NUMBERS, lambda m, X, y: r2_score(y, m.predict(X))),
    ],
)
def test_names_of_scikit_learn_score_as_it_does(name: str, problem: Any, exact: Any) -> None:
    found = cx.select(problem, radius=[0.1], folds=2, score=name)
    for f, (train, test) in enumerate(split(problem, 2, 0)):
        part = cx.solve(type(problem)(X[train], problem.y[train], radius=0.1, loss=problem.loss))
        assert found.scores[0, f] == pytest.approx(exact(part.model, X[test], problem.y[test]))


def test_unknown_and_impossible_scores_say_what_to_give() -> None:
    with pytest.raises(cx.ProblemError, match=r"score must be a function of .*got 'auc'"):
        cx.select(LABELS, radius=[0.1], score="auc")
    with pytest.raises(cx.ProblemError, match=r"score must be a function of .*got 3"):
        cx.select(LABELS, radius=[0.1], score=3)  # type: ignore[arg-type]
    with pytest.raises(cx.ProblemError, match=r"score 'neg_log_loss' cannot be had of a LinearM"):
        cx.select(LABELS, radius=[0.1], score="neg_log_loss", folds=2)


def test_without_scikit_learn_the_way_to_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(ImportError, match=r"scikit-learn is not installed; it comes with: pip in"):
        by_name("roc_auc")

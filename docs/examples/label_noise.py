"""Where a leader fitted against its worst case beats the plain one, and where it does not.

Leaders on data whose training labels are partly wrong, each against itself in the Stackelberg
game; both judged on clean test labels:

- gross mistakes, logistic regression: the labels of the surest examples are flipped. The
  follower moves the worst margins to the end of its window and charges what is left at its
  multiplier, below the slope of the loss there: gross mistakes weigh less, and the robust leader
  is better.
- random mistakes, logistic regression: labels are flipped anywhere. The weights of the right
  samples that are moved too push margins up: the robust leader is worse in log-loss, and hardly
  better at classifying.
- random mistakes, boosted trees: it is worse at both.

Run it (extra: data; a minute, --quick a few seconds)::

    python docs/examples/label_noise.py
"""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

import convexnn as cx


class Setting(NamedTuple):
    """A kind of mistakes.

    Attributes
    ----------
    name : str
    leader : estimator
    examples : int
    wrong : float
        Share of the training labels that is flipped.
    sure : bool
        Whether those farthest from the boundary are.
    """

    name: str
    leader: Any
    examples: int
    wrong: float
    sure: bool


RADIUS = 2.0
TREES = GradientBoostingClassifier(n_estimators=50, random_state=0)
SETTINGS = (
    Setting("gross, logistic", LogisticRegression(), 200, 0.1, True),
    Setting("random, logistic", LogisticRegression(), 1000, 0.3, False),
    Setting("random, trees", TREES, 1000, 0.3, False),
)
COLUMNS = ("plain accuracy", "robust accuracy", "plain log-loss", "robust log-loss")


def draw(n: int, setting: Setting | None, rng: np.random.Generator) -> tuple[Any, Any]:
    """Return n examples; their labels are clean if there is no setting."""
    X = rng.standard_normal((n, 10))
    decision = X[:, :3].sum(axis=1)
    y = decision + rng.logistic(scale=0.5, size=n) > 0.0
    if setting is not None:
        order = np.argsort(-np.abs(decision)) if setting.sure else rng.permutation(n)
        wrong = order[: round(setting.wrong * n)]
        y[wrong] = ~y[wrong]
    return X, y


def grade(leader: Any, X: Any, y: Any) -> tuple[float, float]:
    """Return accuracy and log-loss."""
    margins = np.where(y, 1.0, -1.0) * leader.decision_function(X)
    return float(np.mean(margins > 0.0)), float(np.mean(np.logaddexp(0.0, -margins)))


def run(setting: Setting, seeds: int) -> Any:
    """Return the grades of the plain and of the robust leader, (seeds, 2, 2)."""
    grades = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        X, y = draw(setting.examples, setting, rng)
        test = draw(5_000, None, rng)
        plain = clone(setting.leader).fit(X, y)
        robust = cx.stackelberg(setting.leader, X, y, radius=RADIUS, rounds=10).leader
        grades.append([grade(plain, *test), grade(robust, *test)])
    return np.array(grades)


def main() -> None:
    """Print the table and what it says."""
    parser = argparse.ArgumentParser(description="Plain and robust leader under label noise.")
    parser.add_argument("--quick", action="store_true", help="two seeds")
    seeds = 2 if parser.parse_args().quick else 20
    print(f"radius {RADIUS:g}, {seeds} seeds, mean and standard error")
    print(f"{'mistakes, leader':<18}" + "  ".join(f"{head:>15}" for head in COLUMNS))
    for setting in SETTINGS:
        grades = run(setting, seeds)
        mean = grades.mean(axis=0)
        error = grades.std(axis=0, ddof=1) / np.sqrt(seeds)
        cells = [f"{mean[i, j]:.3f} +- {error[i, j]:.3f}" for j in (0, 1) for i in (0, 1)]
        print(f"{setting.name:<18}" + "  ".join(f"{cell:>15}" for cell in cells))
        more = int(np.sum(grades[:, 1, 0] > grades[:, 0, 0]))
        less = int(np.sum(grades[:, 1, 1] < grades[:, 0, 1]))
        print(f"{'':18}robust has the better accuracy in {more}, the better log-loss in {less}")


if __name__ == "__main__":
    main()

"""The choice of a radius, against closed forms and by what it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest, chi2, norm

import convexnn as cx

rng = np.random.default_rng(0)
N, D = 200, 4
X = np.sqrt(N) * np.linalg.qr(rng.standard_normal((N, D)))[0]  # the columns' covariance is I
TARGETS = X[:, 0] + rng.standard_normal(N)
LABELS = np.where(X[:, 0] + rng.logistic(size=N) > 0.0, "yes", "no")


def regression(**given: Any) -> cx.WassersteinRegression:
    chosen: dict[str, Any] = {"radius": 0.1, "norm": "linf", "order": 2, "intercept": False}
    return cx.WassersteinRegression(X, TARGETS, **chosen | given)


def test_the_square_root_lasso_has_its_closed_form() -> None:
    found = cx.radius(regression(), draws=200_000)
    exact = norm.ppf(0.5 * (1.0 + 0.95 ** (1.0 / D)))  # of the largest of independent normals
    factor = np.sqrt(np.pi / (np.pi - 2.0) / N)
    assert found.value == pytest.approx(factor * exact, rel=0.01)
    assert found.value <= factor * norm.ppf(1.0 - 0.05 / (2 * D)) * 1.01  # that of Bonferroni
    assert float(found) == found.problem.radius == found.value
    assert "With probability 0.95, some distribution within" in found.statement
    assert "normal errors" in str(found)


def test_other_norms_and_confidences() -> None:
    found = cx.radius(regression(norm="l2"), confidence=0.9, draws=200_000)
    factor = np.sqrt(np.pi / (np.pi - 2.0) / N)
    assert found.value == pytest.approx(factor * np.sqrt(chi2.ppf(0.9, D)), rel=0.01)
    sure = cx.radius(regression(norm="l2"), confidence=0.99)
    assert sure.value > found.value
    labels = cx.WassersteinClassification(X, LABELS, radius=0.1, intercept=False)
    plain = cx.radius(labels, draws=200_000)
    assert plain.value == pytest.approx(np.sqrt(chi2.ppf(0.95, D) / N), rel=0.01)
    shifted = cx.WassersteinClassification(X + 100.0, LABELS, radius=0.1)
    assert cx.radius(shifted).value == pytest.approx(plain.value, rel=0.02)


def test_residuals_tell_the_factor_of_the_errors() -> None:
    wide = X[:, :1] + np.random.default_rng(1).uniform(-1.0, 1.0, N)[:, None]
    problem = cx.WassersteinRegression(X, wide[:, 0], radius=0.1, norm="linf", order=2)
    by_both = [cx.radius(problem, errors=errors).value for errors in ("normal", "residuals")]
    ratio = (by_both[1] / by_both[0]) ** 2 * np.pi / (np.pi - 2.0)
    assert ratio == pytest.approx(4.0, rel=0.15)  # 1/3 over 1/3 - 1/4


def test_the_limit_at_the_fit_is_sharper_than_the_bound() -> None:
    noise = np.random.default_rng(2).standard_normal(N)
    idle = cx.WassersteinRegression(X, noise, radius=0.1, order=2, intercept=False)
    found = cx.radius(idle, limit="fitted", draws=100_000)
    assert found.value == pytest.approx(np.sqrt(chi2.ppf(0.95, D) / N), rel=0.05)
    assert "the limit taken at the fit without a ball" in found.statement
    steep = cx.radius(regression(norm="l2"), limit="fitted")
    assert steep.value < cx.radius(regression(norm="l2")).value / 2.0
    labels = cx.WassersteinClassification(X, LABELS, radius=0.1, norm="linf")
    assert cx.radius(labels, limit="fitted").value < 0.6 * cx.radius(labels).value


def test_the_holdout_rule_says_what_its_table_holds() -> None:
    problem = cx.WassersteinClassification(X, LABELS, radius=0.1)
    found = cx.radius(problem, rule="holdout", radii=[0.001, 0.1, 0.4, 0.8], confidence=0.9)
    assert found.solution is not None
    assert found.value == found.table[-1][0]
    assert all(worst < upper for _, worst, upper in found.table[:-1])
    _, worst, upper = found.table[-1]
    assert worst >= upper
    held = N - len(found.problem.X)
    limits = [
        float(binomtest(k, held, alternative="less").proportion_ci(1.0 - 0.1 / 4).high)
        for k in range(held + 1)
    ]
    assert min(abs(upper - limit) for limit in limits) < 1e-12
    assert found.statement.startswith("With confidence 0.9, the share of errors of this model")
    targets = cx.WassersteinRegression(X, TARGETS, radius=0.1, loss="huber")
    for bound in ("hoeffding", "bernstein"):
        cut = cx.radius(
            targets, rule="holdout", radii=[0.01, 5.0], largest=0.5, bound=bound, folds=2
        )
        assert "expected loss of this model on new examples, cut off at 0.5," in cut.statement


@pytest.mark.parametrize(
    ("problem", "given", "says"),
    [
        (cx.WassersteinRegression(X[:2], TARGETS[:2], radius=0.1), {}, "at least 10 rows .* got 2"),
        (regression(loss="absolute", order=1), {}, "'squared' and order 2.* got 'absolute' and"),
        (regression(target_cost=1.0), {}, "without cost of labels or targets"),
        (cx.ReluTraining(X, TARGETS, beta=1.0), {}, "problem must be a Wasserstein.*got ReluTrain"),
        (regression(), {"confidence": 1.0}, "confidence must be"),
        (regression(), {"radii": [0.1]}, "radii is of use to the hold-out rule only"),
        (regression(), {"rule": "holdout"}, "largest must be given for bernstein"),
        (
            regression(),
            {"rule": "holdout", "largest": 9.0, "radii": [1e-6]},
            "radii must reach further, or rows be more: at 1e-06 the worst case is",
        ),
        (regression(), {"rule": "holdout", "largest": 9.0, "radii": [2.0, 1.0]}, "must increase"),
        (
            cx.WassersteinRegression(X[:10], X[:10, 0], radius=0.1, order=2),
            {"errors": "residuals"},
            "errors must vary in size",
        ),
        (regression(), {"limit": "fitted"}, "limit must be 'bound' in the norm 'linf'"),
        (
            cx.WassersteinClassification(X, X[:, 0] > 0.0, radius=0.1),
            {"limit": "fitted"},
            "separable labels have none",
        ),
        (
            cx.WassersteinRegression(np.eye(12), TARGETS[:12], radius=0.1, order=2),
            {"limit": "fitted"},
            "more rows than columns",
        ),
    ],
)
def test_bad_input_is_named(problem: Any, given: dict[str, Any], says: str) -> None:
    with pytest.raises(cx.ProblemError, match=says):
        cx.radius(problem, **given)

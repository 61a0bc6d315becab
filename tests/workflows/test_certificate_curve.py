"""Certificate curves and the picture of a worst case."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.arrays import Array

mpl.use("Agg")
RADII = [0.0, 0.05, 0.2, 0.8]


def data(n: int = 80, d: int = 3) -> tuple[Array, Array]:
    rng = np.random.default_rng(2)
    X = rng.standard_normal((n, d))
    return X, np.where(X[:, 0] + rng.standard_normal(n) > 0.0, 1.0, -1.0)


@pytest.fixture(scope="module")
def curve() -> cx.CertificateCurve:
    X, y = data()
    problem = cx.WassersteinClassification(X[:60], y[:60], radius=1.0)
    return cx.certificate_curve(problem, RADII, holdout=(X[60:], y[60:]), tol=1e-8)


def test_curve_repeats_single_solves(curve: cx.CertificateCurve) -> None:
    X, y = data()
    for k, radius in enumerate(RADII):
        alone = cx.solve(cx.WassersteinClassification(X[:60], y[:60], radius=radius), tol=1e-8)
        assert curve.worst[k] == pytest.approx(alone.objective, abs=2e-8)
        margin = y[60:] * alone.model.decision_function(X[60:])
        assert curve.holdout is not None
        assert curve.holdout[k] == pytest.approx(np.mean(np.logaddexp(0, -margin)), abs=1e-3)
    assert set(curve.statuses) == {cx.Status.OPTIMAL}


def test_curve_rises_and_training_at_a_radius_is_best_there(curve: cx.CertificateCurve) -> None:
    assert np.all(np.diff(curve.worst) > 0.0)
    assert np.all(curve.bound <= curve.worst)
    assert np.all(curve.fixed >= curve.bound)
    assert curve.fixed[0] == curve.worst[0]
    assert curve.fixed[-1] > 1.5 * curve.worst[-1]


def test_curve_as_table_and_figure(curve: cx.CertificateCurve) -> None:
    assert list(curve.frame["radius"]) == RADII
    assert "hold-out loss" in str(curve)
    ax = curve.plot()
    assert len(ax.lines) == 3
    assert ax.get_xlabel() == "radius"
    plt.close("all")


@pytest.mark.parametrize(
    ("radii", "rule"),
    [
        ([0.2, 0.1], "radii must increase"),
        ([-1.0, 0.1], "radii must be finite and >= 0, got -1.0"),
        ([], "radii must not be empty"),
    ],
)
def test_bad_radii_are_refused(radii: Any, rule: str) -> None:
    X, y = data()
    with pytest.raises(cx.ProblemError, match=rule):
        cx.certificate_curve(cx.WassersteinClassification(X, y, radius=1.0), radii)


def test_a_problem_without_a_radius_is_refused() -> None:
    network = cx.ReluTraining(np.array([[1.0], [2.0]]), [1.0, 2.0], beta=1.0)
    with pytest.raises(cx.ProblemError, match="within a radius, got ReluTraining"):
        cx.certificate_curve(network, [0.1])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "arrows", "flips"),
    [
        ({"flip_cost": 1.0, "loss": "hinge"}, False, True),
        ({"loss": "hinge"}, True, False),
        ({"loss": "logistic", "order": np.inf}, True, False),
        ({"loss": "logistic"}, False, False),  # its mass goes off to infinity
    ],
)
def test_picture_shows_moves_and_flips(options: Any, arrows: bool, flips: bool) -> None:
    X, y = data()
    solution = cx.solve(cx.WassersteinClassification(X, y, radius=0.1, **options))
    ax = cx.plot_worst_case(solution, columns=(2, 0))
    kinds = [type(artist).__name__ for artist in ax.collections]
    assert ("Quiver" in kinds) == arrows
    assert (ax.get_legend() is not None) == flips
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("feature 2", "feature 0")
    plt.close("all")


def test_picture_of_one_feature_and_of_regression() -> None:
    X, _ = data(d=1)
    solution = cx.solve(cx.WassersteinRegression(X, X[:, 0], radius=0.1, target_cost=0.5))
    ax = cx.plot_worst_case(solution)
    assert ax.get_ylabel() == "target"
    plt.close("all")


def test_bad_pictures_are_refused() -> None:
    X, y = data()
    solution = cx.solve(cx.WassersteinClassification(X, y, radius=0.1))
    with pytest.raises(cx.ProblemError, match=r"columns must be in \[0, 2\], got \(0, 3\)"):
        cx.plot_worst_case(solution, columns=(0, 3))
    margins = cx.solve(cx.WorstCaseMargins(np.array([0.0, 1.0]), radius=0.1, window=(-1.0, 2.0)))
    with pytest.raises(cx.ProblemError, match="of a linear problem, got WorstCaseMargins"):
        cx.plot_worst_case(margins)  # type: ignore[arg-type]

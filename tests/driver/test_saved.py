"""Files of an earlier version load: their format, and what their points certify to, stay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import convexnn as cx
from convexnn.functions.losses import Absolute, Loss, Quantile

SAVED = Path(__file__).parent / "saved"  # by an earlier version; never to be written anew
FIGURES = {
    "constrained": ("LinearlyConstrained", "OPTIMAL", 2.6249996069647747, 2.6249999999998144),
    "constrained_infeasible": ("LinearlyConstrained", "INFEASIBLE", 0.0, 80.06938921987077),
    "convolution": ("ConvReluTraining", "OPTIMAL", 0.027322417180625908, 0.02732175041372222),
    "convolution_gated": (
        "ConvGatedReluTraining",
        "OPTIMAL",
        0.010158998048968654,
        0.010158313455600842,
    ),
    "distributed": ("DistributedMedian", "OPTIMAL", 6.847657109946043, 6.847647306418766),
    "divergence_kl": ("DivergenceReweighting", "OPTIMAL", 0.7372633472728722, 0.7372633472728722),
    "divergence_wasserstein": (
        "DivergenceReweighting",
        "OPTIMAL",
        0.5266666666666667,
        0.5266666666666656,
    ),
    "gated_nuclear": ("GatedReluTraining", "OPTIMAL", 5.223960319918666, 5.223955339016115),
    "gated_softmax": ("GatedReluTraining", "OPTIMAL", 7.69390480598987, 7.6939042803575655),
    "margins": ("WorstCaseMargins", "OPTIMAL", 0.7782076093648997, 0.7782076093647684),
    "margins_lines": ("WorstCaseMargins", "OPTIMAL", 0.8935333333333334, 0.8935333333333315),
    "median": ("GeometricMedian", "OPTIMAL", 46.60404504496647, 46.604044997959974),
    "network_lasso": ("NetworkLasso", "OPTIMAL", 2.2725012462851057, 2.2724999999894626),
    "newsvendor": ("Newsvendor", "OPTIMAL", -1.8299999999999992, -1.83),
    "portfolio": ("CvarPortfolio", "OPTIMAL", 0.7818973561305357, 0.7818971106901976),
    "relu_all_patterns_listed": (
        "ReluTraining",
        "OPTIMAL",
        0.9589455716987718,
        0.9589453790681081,
    ),
    "relu_all_patterns_searched": ("ReluTraining", "OPTIMAL", 5.170448660382462, 5.145933153192584),
    "relu_majorant": ("ReluTraining", "OPTIMAL", 0.6208199200775472, 0.620740631607378),
    "relu_patterns": ("ReluTraining", "OPTIMAL", 0.29352865754938795, 0.293528554396856),
    "relu_several_outputs": ("ReluTraining", "OPTIMAL", 5.7357096491684985, 5.735705881179676),
    "robust": ("RobustReluTraining", "OPTIMAL", 2.533667322021082, 2.533580367821259),
    "robust_search": ("RobustReluTraining", "INACCURATE", 1.813609559716049, 0.18333846688226152),
    "sampled": ("SampledReluTraining", "OPTIMAL", 0.09974785402973559, 0.09974785149989936),
    "threshold": ("ThresholdTraining", "OPTIMAL", 0.08455000000003499, 0.08454997661763582),
    "univariate": ("UnivariateReluTraining", "OPTIMAL", 0.019980909091076363, 0.01998090902216224),
    "wasserstein_classification": (
        "WassersteinClassification",
        "OPTIMAL",
        0.5188115658994943,
        0.5188115359175625,
    ),
    "wasserstein_network": (
        "WassersteinReluTraining",
        "OPTIMAL",
        7.273528833018501,
        7.273309324065752,
    ),
    "wasserstein_regression": (
        "WassersteinRegression",
        "OPTIMAL",
        0.05369807852956576,
        0.053697995192648444,
    ),
}


def test_every_saved_file_is_held_against_its_figures() -> None:
    assert {path.stem for path in SAVED.glob("*.npz")} == {*FIGURES, "network"}
    assert {problem for problem, *_ in FIGURES.values()} == set(cx.PROBLEMS)


@pytest.mark.parametrize("name", FIGURES)
def test_a_solution_of_an_earlier_version_loads(name: str, tmp_path: Path) -> None:
    problem, status, objective, bound = FIGURES[name]
    solution = cx.load(SAVED / f"{name}.npz")
    assert type(solution.problem).__name__ == problem
    assert solution.status.name == status
    assert solution.objective == pytest.approx(objective, rel=1e-9)
    assert solution.bound == pytest.approx(bound, rel=1e-9)
    assert solution.problem.objective(solution.primal) == pytest.approx(objective, rel=1e-9)
    assert solution.history
    assert solution.versions["numpy"]
    solution.save(tmp_path / "again.npz")
    again = cx.load(tmp_path / "again.npz")
    assert again.certificate == solution.certificate


def test_a_point_that_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    class Foreign(NamedTuple):
        x: float

    solution = replace(cx.load(SAVED / "median.npz"), primal=Foreign(1.0))
    with pytest.raises(TypeError, match="a point that holds a Foreign cannot be saved"):
        solution.save(tmp_path / "s.npz")
    assert not (tmp_path / "s.npz").exists()


class Prices(NamedTuple):
    """A point of the name of another."""

    s: float


def test_a_point_of_the_name_of_another_is_not_saved(tmp_path: Path) -> None:
    solution = cx.solve(cx.GeometricMedian([[0.0], [1.0], [5.0]]))
    foreign = replace(solution, dual=Prices(1.0))
    with pytest.raises(TypeError, match="a point that holds a Prices cannot be saved"):
        foreign.save(tmp_path / "solution.npz")


@pytest.mark.parametrize("loss", [Quantile(tau=0.3), Absolute()], ids=repr)
def test_losses_without_a_name_in_problems_are_saved(loss: Loss, tmp_path: Path) -> None:
    X = np.arange(12.0).reshape(6, 2) % 5.0
    problem = cx.ReluTraining(X, X[:, 0], beta=0.1, patterns=3, loss=loss)
    solution = cx.solve(problem, tol=1e-3)
    solution.save(tmp_path / "solution.npz")
    again = cx.load(tmp_path / "solution.npz")
    assert again.problem.loss == loss
    assert again.certificate == solution.certificate


class Mine(Absolute):
    """A user's own loss."""


def test_a_loss_that_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    problem = cx.ReluTraining([[1.0], [2.0]], [1.0, 2.0], beta=0.1, patterns=2, loss=Mine())
    solution = cx.solve(problem, tol=1e-3)
    with pytest.raises(TypeError, match="a problem with the loss Mine cannot be saved"):
        solution.save(tmp_path / "solution.npz")


def test_a_network_of_an_earlier_version_loads() -> None:
    network = cx.TwoLayerNetwork.load(SAVED / "network.npz")
    X = cx.load(SAVED / "relu_patterns.npz").problem.X[:3]
    expected = [0.7349566122974093, 0.2327010691004413, 0.9807523042501334]
    assert network.predict(X) == pytest.approx(expected, rel=1e-12)

"""Declare a convex learning problem, call ``solve()``, get a certified answer.

>>> import convexnn as cx
>>> X, y = [[1.0], [2.0], [3.0]], [1.0, 2.0, 3.0]
>>> cx.solve(cx.ReluTraining(X, y, beta=0.1)).model.predict([[4.0]]).round(2)
array([3.97])
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convexnn.contract.backend import Backend as Backend
    from convexnn.contract.backend import BackendError as BackendError
    from convexnn.contract.backend import Capabilities as Capabilities
    from convexnn.contract.backend import MemoryLimitError as MemoryLimitError
    from convexnn.contract.backend import Raw as Raw
    from convexnn.contract.backend import register as register
    from convexnn.contract.certificate import Certificate as Certificate
    from convexnn.contract.certificate import SolveError as SolveError
    from convexnn.contract.certificate import Stage as Stage
    from convexnn.contract.certificate import Status as Status
    from convexnn.contract.certificate import Step as Step
    from convexnn.contract.checks import ProblemError as ProblemError
    from convexnn.contract.memory import memory_limit as memory_limit
    from convexnn.contract.problem import Problem as Problem
    from convexnn.driver.compare import Comparison as Comparison
    from convexnn.driver.compare import compare as compare
    from convexnn.driver.solution import Solution as Solution
    from convexnn.driver.solution import load as load
    from convexnn.driver.solve import Compiled as Compiled
    from convexnn.driver.solve import backends as backends
    from convexnn.driver.solve import compile as compile
    from convexnn.driver.solve import solve as solve
    from convexnn.functions.curves import PiecewiseLinear as PiecewiseLinear
    from convexnn.problems.median.constrained import LinearlyConstrained as LinearlyConstrained
    from convexnn.problems.median.distributed import DistributedMedian as DistributedMedian
    from convexnn.problems.median.geometric import GeometricMedian as GeometricMedian
    from convexnn.problems.median.network_lasso import NetworkLasso as NetworkLasso
    from convexnn.problems.relu.convolution import ConvGatedReluTraining as ConvGatedReluTraining
    from convexnn.problems.relu.convolution import ConvReluTraining as ConvReluTraining
    from convexnn.problems.relu.gated import GatedReluTraining as GatedReluTraining
    from convexnn.problems.relu.sampled import SampledReluTraining as SampledReluTraining
    from convexnn.problems.relu.threshold import ThresholdTraining as ThresholdTraining
    from convexnn.problems.relu.two_layer import ReluTraining as ReluTraining
    from convexnn.problems.relu.univariate import UnivariateReluTraining as UnivariateReluTraining
    from convexnn.problems.robust.training import RobustReluTraining as RobustReluTraining
    from convexnn.problems.wasserstein.divergence import (
        DivergenceReweighting as DivergenceReweighting,
    )
    from convexnn.problems.wasserstein.linear import (
        WassersteinClassification as WassersteinClassification,
    )
    from convexnn.problems.wasserstein.linear import WassersteinRegression as WassersteinRegression
    from convexnn.problems.wasserstein.margins import WorstCaseMargins as WorstCaseMargins
    from convexnn.problems.wasserstein.newsvendor import Newsvendor as Newsvendor
    from convexnn.problems.wasserstein.portfolio import CvarPortfolio as CvarPortfolio
    from convexnn.relu.convolution import ConvNetwork as ConvNetwork
    from convexnn.relu.enumeration import enumerate_patterns as enumerate_patterns
    from convexnn.relu.narrow import NarrowNetwork as NarrowNetwork
    from convexnn.relu.network import TwoLayerNetwork as TwoLayerNetwork
    from convexnn.relu.patterns import Patterns as Patterns
    from convexnn.relu.patterns import sample_patterns as sample_patterns
    from convexnn.robust.accuracy import Robustness as Robustness
    from convexnn.robust.accuracy import robustness as robustness
    from convexnn.robust.accuracy_curve import RobustnessCurve as RobustnessCurve
    from convexnn.robust.accuracy_curve import robustness_curve as robustness_curve
    from convexnn.robust.attacks import Attack as Attack
    from convexnn.robust.attacks import attack as attack
    from convexnn.robust.lipschitz import lipschitz as lipschitz
    from convexnn.wasserstein.linear_model import LinearModel as LinearModel
    from convexnn.wasserstein.worst_case import Atoms as Atoms
    from convexnn.wasserstein.worst_case import Reweighting as Reweighting
    from convexnn.wasserstein.worst_case import WorstCase as WorstCase
    from convexnn.workflows.aggregate import aggregate as aggregate
    from convexnn.workflows.audit import Audit as Audit
    from convexnn.workflows.audit import audit as audit
    from convexnn.workflows.audit import pattern_count as pattern_count
    from convexnn.workflows.certificate_curve import CertificateCurve as CertificateCurve
    from convexnn.workflows.certificate_curve import certificate_curve as certificate_curve
    from convexnn.workflows.certificate_curve import plot_worst_case as plot_worst_case
    from convexnn.workflows.local_patterns import local_patterns as local_patterns
    from convexnn.workflows.path import path as path
    from convexnn.workflows.path_result import Path as Path
    from convexnn.workflows.path_start import beta_max as beta_max
    from convexnn.workflows.select import Selection as Selection
    from convexnn.workflows.select import select as select
    from convexnn.workflows.stackelberg import Game as Game
    from convexnn.workflows.stackelberg import stackelberg as stackelberg

PROBLEMS = {
    "ReluTraining": "convexnn.problems.relu.two_layer",
    "GatedReluTraining": "convexnn.problems.relu.gated",
    "SampledReluTraining": "convexnn.problems.relu.sampled",
    "RobustReluTraining": "convexnn.problems.robust.training",
    "CvarPortfolio": "convexnn.problems.wasserstein.portfolio",
    "WassersteinClassification": "convexnn.problems.wasserstein.linear",
    "WassersteinRegression": "convexnn.problems.wasserstein.linear",
    "WorstCaseMargins": "convexnn.problems.wasserstein.margins",
    "Newsvendor": "convexnn.problems.wasserstein.newsvendor",
    "GeometricMedian": "convexnn.problems.median.geometric",
    "DivergenceReweighting": "convexnn.problems.wasserstein.divergence",
    "DistributedMedian": "convexnn.problems.median.distributed",
    "NetworkLasso": "convexnn.problems.median.network_lasso",
    "LinearlyConstrained": "convexnn.problems.median.constrained",
    "UnivariateReluTraining": "convexnn.problems.relu.univariate",
    "ThresholdTraining": "convexnn.problems.relu.threshold",
    "ConvGatedReluTraining": "convexnn.problems.relu.convolution",
    "ConvReluTraining": "convexnn.problems.relu.convolution",
}

# Names load on first use, so that importing the package costs nothing.
_HOME = PROBLEMS | {
    "aggregate": "convexnn.workflows.aggregate",
    "Attack": "convexnn.robust.attacks",
    "attack": "convexnn.robust.attacks",
    "Backend": "convexnn.contract.backend",
    "BackendError": "convexnn.contract.backend",
    "Capabilities": "convexnn.contract.backend",
    "MemoryLimitError": "convexnn.contract.backend",
    "Raw": "convexnn.contract.backend",
    "register": "convexnn.contract.backend",
    "Comparison": "convexnn.driver.compare",
    "compare": "convexnn.driver.compare",
    "CertificateCurve": "convexnn.workflows.certificate_curve",
    "certificate_curve": "convexnn.workflows.certificate_curve",
    "plot_worst_case": "convexnn.workflows.certificate_curve",
    "ConvNetwork": "convexnn.relu.convolution",
    "PiecewiseLinear": "convexnn.functions.curves",
    "enumerate_patterns": "convexnn.relu.enumeration",
    "Game": "convexnn.workflows.stackelberg",
    "stackelberg": "convexnn.workflows.stackelberg",
    "Audit": "convexnn.workflows.audit",
    "audit": "convexnn.workflows.audit",
    "pattern_count": "convexnn.workflows.audit",
    "memory_limit": "convexnn.contract.memory",
    "TwoLayerNetwork": "convexnn.relu.network",
    "NarrowNetwork": "convexnn.relu.narrow",
    "LinearModel": "convexnn.wasserstein.linear_model",
    "Path": "convexnn.workflows.path_result",
    "beta_max": "convexnn.workflows.path_start",
    "path": "convexnn.workflows.path",
    "Patterns": "convexnn.relu.patterns",
    "sample_patterns": "convexnn.relu.patterns",
    "Problem": "convexnn.contract.problem",
    "ProblemError": "convexnn.contract.checks",
    "lipschitz": "convexnn.robust.lipschitz",
    "Robustness": "convexnn.robust.accuracy",
    "robustness": "convexnn.robust.accuracy",
    "RobustnessCurve": "convexnn.robust.accuracy_curve",
    "robustness_curve": "convexnn.robust.accuracy_curve",
    "local_patterns": "convexnn.workflows.local_patterns",
    "Selection": "convexnn.workflows.select",
    "select": "convexnn.workflows.select",
    "Certificate": "convexnn.contract.certificate",
    "Solution": "convexnn.driver.solution",
    "SolveError": "convexnn.contract.certificate",
    "Status": "convexnn.contract.certificate",
    "Stage": "convexnn.contract.certificate",
    "Step": "convexnn.contract.certificate",
    "load": "convexnn.driver.solution",
    "Compiled": "convexnn.driver.solve",
    "backends": "convexnn.driver.solve",
    "compile": "convexnn.driver.solve",
    "solve": "convexnn.driver.solve",
    "Atoms": "convexnn.wasserstein.worst_case",
    "Reweighting": "convexnn.wasserstein.worst_case",
    "WorstCase": "convexnn.wasserstein.worst_case",
}

__all__ = ["PROBLEMS", "__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("convexnn")
    if name not in _HOME:
        raise AttributeError(f"module 'convexnn' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

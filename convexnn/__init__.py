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
    from convexnn.aggregation import aggregate as aggregate
    from convexnn.attacks import Attack as Attack
    from convexnn.attacks import attack as attack
    from convexnn.backend import Backend as Backend
    from convexnn.backend import BackendError as BackendError
    from convexnn.backend import Capabilities as Capabilities
    from convexnn.backend import MemoryLimitError as MemoryLimitError
    from convexnn.backend import Raw as Raw
    from convexnn.backend import register as register
    from convexnn.certificate import Certificate as Certificate
    from convexnn.certificate import SolveError as SolveError
    from convexnn.certificate import Stage as Stage
    from convexnn.certificate import Status as Status
    from convexnn.certificate import Step as Step
    from convexnn.checks import ProblemError as ProblemError
    from convexnn.comparison import Comparison as Comparison
    from convexnn.comparison import compare as compare
    from convexnn.convolution import ConvNetwork as ConvNetwork
    from convexnn.curves import PiecewiseLinear as PiecewiseLinear
    from convexnn.enumeration import enumerate_patterns as enumerate_patterns
    from convexnn.game import Game as Game
    from convexnn.game import stackelberg as stackelberg
    from convexnn.guarantee import Audit as Audit
    from convexnn.guarantee import audit as audit
    from convexnn.guarantee import pattern_count as pattern_count
    from convexnn.linear import LinearModel as LinearModel
    from convexnn.lipschitz_bound import lipschitz as lipschitz
    from convexnn.memory import memory_limit as memory_limit
    from convexnn.narrow import NarrowNetwork as NarrowNetwork
    from convexnn.network import TwoLayerNetwork as TwoLayerNetwork
    from convexnn.path_result import Path as Path
    from convexnn.path_start import beta_max as beta_max
    from convexnn.paths import path as path
    from convexnn.patterns import Patterns as Patterns
    from convexnn.patterns import sample_patterns as sample_patterns
    from convexnn.problem import Problem as Problem
    from convexnn.problems.constrained import LinearlyConstrained as LinearlyConstrained
    from convexnn.problems.convolution import ConvGatedReluTraining as ConvGatedReluTraining
    from convexnn.problems.convolution import ConvReluTraining as ConvReluTraining
    from convexnn.problems.distributed import DistributedMedian as DistributedMedian
    from convexnn.problems.divergence import DivergenceReweighting as DivergenceReweighting
    from convexnn.problems.follower import WorstCaseMargins as WorstCaseMargins
    from convexnn.problems.gated import GatedReluTraining as GatedReluTraining
    from convexnn.problems.median import GeometricMedian as GeometricMedian
    from convexnn.problems.network_lasso import NetworkLasso as NetworkLasso
    from convexnn.problems.newsvendor import Newsvendor as Newsvendor
    from convexnn.problems.portfolio import CvarPortfolio as CvarPortfolio
    from convexnn.problems.relu import ReluTraining as ReluTraining
    from convexnn.problems.robust import RobustReluTraining as RobustReluTraining
    from convexnn.problems.sampled import SampledReluTraining as SampledReluTraining
    from convexnn.problems.threshold import ThresholdTraining as ThresholdTraining
    from convexnn.problems.univariate import UnivariateReluTraining as UnivariateReluTraining
    from convexnn.problems.wasserstein import WassersteinClassification as WassersteinClassification
    from convexnn.problems.wasserstein import WassersteinRegression as WassersteinRegression
    from convexnn.radii import CertificateCurve as CertificateCurve
    from convexnn.radii import certificate_curve as certificate_curve
    from convexnn.radii import plot_worst_case as plot_worst_case
    from convexnn.robust_accuracy import Robustness as Robustness
    from convexnn.robust_accuracy import robustness as robustness
    from convexnn.robust_curves import RobustnessCurve as RobustnessCurve
    from convexnn.robust_curves import robustness_curve as robustness_curve
    from convexnn.search import local_patterns as local_patterns
    from convexnn.selection import Selection as Selection
    from convexnn.selection import select as select
    from convexnn.solution import Solution as Solution
    from convexnn.solution import load as load
    from convexnn.solving import Compiled as Compiled
    from convexnn.solving import backends as backends
    from convexnn.solving import compile as compile
    from convexnn.solving import solve as solve
    from convexnn.worst_case import Atoms as Atoms
    from convexnn.worst_case import Reweighting as Reweighting
    from convexnn.worst_case import WorstCase as WorstCase

PROBLEMS = {
    "ReluTraining": "convexnn.problems.relu",
    "GatedReluTraining": "convexnn.problems.gated",
    "SampledReluTraining": "convexnn.problems.sampled",
    "RobustReluTraining": "convexnn.problems.robust",
    "CvarPortfolio": "convexnn.problems.portfolio",
    "WassersteinClassification": "convexnn.problems.wasserstein",
    "WassersteinRegression": "convexnn.problems.wasserstein",
    "WorstCaseMargins": "convexnn.problems.follower",
    "Newsvendor": "convexnn.problems.newsvendor",
    "GeometricMedian": "convexnn.problems.median",
    "DivergenceReweighting": "convexnn.problems.divergence",
    "DistributedMedian": "convexnn.problems.distributed",
    "NetworkLasso": "convexnn.problems.network_lasso",
    "LinearlyConstrained": "convexnn.problems.constrained",
    "UnivariateReluTraining": "convexnn.problems.univariate",
    "ThresholdTraining": "convexnn.problems.threshold",
    "ConvGatedReluTraining": "convexnn.problems.convolution",
    "ConvReluTraining": "convexnn.problems.convolution",
}

# Names load on first use, so that importing the package costs nothing.
_HOME = PROBLEMS | {
    "aggregate": "convexnn.aggregation",
    "Attack": "convexnn.attacks",
    "attack": "convexnn.attacks",
    "Backend": "convexnn.backend",
    "BackendError": "convexnn.backend",
    "Capabilities": "convexnn.backend",
    "MemoryLimitError": "convexnn.backend",
    "Raw": "convexnn.backend",
    "register": "convexnn.backend",
    "Comparison": "convexnn.comparison",
    "compare": "convexnn.comparison",
    "CertificateCurve": "convexnn.radii",
    "certificate_curve": "convexnn.radii",
    "plot_worst_case": "convexnn.radii",
    "ConvNetwork": "convexnn.convolution",
    "PiecewiseLinear": "convexnn.curves",
    "enumerate_patterns": "convexnn.enumeration",
    "Game": "convexnn.game",
    "stackelberg": "convexnn.game",
    "Audit": "convexnn.guarantee",
    "audit": "convexnn.guarantee",
    "pattern_count": "convexnn.guarantee",
    "memory_limit": "convexnn.memory",
    "TwoLayerNetwork": "convexnn.network",
    "NarrowNetwork": "convexnn.narrow",
    "LinearModel": "convexnn.linear",
    "Path": "convexnn.path_result",
    "beta_max": "convexnn.path_start",
    "path": "convexnn.paths",
    "Patterns": "convexnn.patterns",
    "sample_patterns": "convexnn.patterns",
    "Problem": "convexnn.problem",
    "ProblemError": "convexnn.checks",
    "lipschitz": "convexnn.lipschitz_bound",
    "Robustness": "convexnn.robust_accuracy",
    "robustness": "convexnn.robust_accuracy",
    "RobustnessCurve": "convexnn.robust_curves",
    "robustness_curve": "convexnn.robust_curves",
    "local_patterns": "convexnn.search",
    "Selection": "convexnn.selection",
    "select": "convexnn.selection",
    "Certificate": "convexnn.certificate",
    "Solution": "convexnn.solution",
    "SolveError": "convexnn.certificate",
    "Status": "convexnn.certificate",
    "Stage": "convexnn.certificate",
    "Step": "convexnn.certificate",
    "load": "convexnn.solution",
    "Compiled": "convexnn.solving",
    "backends": "convexnn.solving",
    "compile": "convexnn.solving",
    "solve": "convexnn.solving",
    "Atoms": "convexnn.worst_case",
    "Reweighting": "convexnn.worst_case",
    "WorstCase": "convexnn.worst_case",
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

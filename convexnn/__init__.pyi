# The public names: each lives where this line imports it from, and nowhere else is it listed.
from convexnn.contract.backend import Backend as Backend
from convexnn.contract.backend import BackendError as BackendError
from convexnn.contract.backend import Capabilities as Capabilities
from convexnn.contract.backend import MemoryLimitError as MemoryLimitError
from convexnn.contract.backend import Outcome as Outcome
from convexnn.contract.backend import Raw as Raw
from convexnn.contract.backend import register as register
from convexnn.contract.certificate import Certificate as Certificate
from convexnn.contract.certificate import SolveError as SolveError
from convexnn.contract.certificate import Stage as Stage
from convexnn.contract.certificate import Status as Status
from convexnn.contract.certificate import Step as Step
from convexnn.contract.checks import ProblemError as ProblemError
from convexnn.contract.problem import Problem as Problem
from convexnn.contract.system.files import FileError as FileError
from convexnn.contract.system.memory import memory_limit as memory_limit
from convexnn.contract.system.version import __version__ as __version__
from convexnn.driver.choice import backends as backends
from convexnn.driver.compare import Comparison as Comparison
from convexnn.driver.compare import compare as compare
from convexnn.driver.problems import PROBLEMS as PROBLEMS
from convexnn.driver.solution import Solution as Solution
from convexnn.driver.solution import load as load
from convexnn.driver.solve import Compiled as Compiled
from convexnn.driver.solve import compile as compile
from convexnn.driver.solve import solve as solve
from convexnn.estimators.cross_validated import ReluClassifierCV as ReluClassifierCV
from convexnn.estimators.cross_validated import ReluRegressorCV as ReluRegressorCV
from convexnn.estimators.relu import ReluClassifier as ReluClassifier
from convexnn.estimators.relu import ReluRegressor as ReluRegressor
from convexnn.estimators.robust import RobustReluClassifier as RobustReluClassifier
from convexnn.estimators.wasserstein import WassersteinClassifier as WassersteinClassifier
from convexnn.estimators.wasserstein import WassersteinRegressor as WassersteinRegressor
from convexnn.functions.curves import PiecewiseLinear as PiecewiseLinear
from convexnn.functions.risks import ChiSquare as ChiSquare
from convexnn.functions.risks import Cvar as Cvar
from convexnn.functions.risks import Entropic as Entropic
from convexnn.functions.risks import TotalVariation as TotalVariation
from convexnn.functions.risks import WorstGroup as WorstGroup
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
from convexnn.problems.wasserstein.network import (
    WassersteinReluTraining as WassersteinReluTraining,
)
from convexnn.problems.wasserstein.newsvendor import Newsvendor as Newsvendor
from convexnn.problems.wasserstein.portfolio import CvarPortfolio as CvarPortfolio
from convexnn.relu.cells.enumeration import enumerate_patterns as enumerate_patterns
from convexnn.relu.cells.sampling import sample_patterns as sample_patterns
from convexnn.relu.convolution import ConvNetwork as ConvNetwork
from convexnn.relu.narrow.network import NarrowNetwork as NarrowNetwork
from convexnn.relu.network import TwoLayerNetwork as TwoLayerNetwork
from convexnn.relu.patterns import Patterns as Patterns
from convexnn.robust.accuracy import Robustness as Robustness
from convexnn.robust.accuracy import robustness as robustness
from convexnn.robust.accuracy_curve import RobustnessCurve as RobustnessCurve
from convexnn.robust.accuracy_curve import robustness_curve as robustness_curve
from convexnn.robust.attacks import Attack as Attack
from convexnn.robust.attacks import attack as attack
from convexnn.robust.floor import RobustFloor as RobustFloor
from convexnn.robust.floor import robust_floor as robust_floor
from convexnn.robust.lipschitz import lipschitz as lipschitz
from convexnn.robust.output_range import OutputRange as OutputRange
from convexnn.robust.output_range import output_range as output_range
from convexnn.robust.worst_distribution import NetworkWorstCase as NetworkWorstCase
from convexnn.wasserstein.linear_classes import LinearClasses as LinearClasses
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
from convexnn.workflows.certify import certify as certify
from convexnn.workflows.local_patterns import local_patterns as local_patterns
from convexnn.workflows.one_vs_rest import OneVsRest as OneVsRest
from convexnn.workflows.one_vs_rest import one_vs_rest as one_vs_rest
from convexnn.workflows.path import path as path
from convexnn.workflows.path_result import Path as Path
from convexnn.workflows.path_start import beta_max as beta_max
from convexnn.workflows.radius import Radius as Radius
from convexnn.workflows.radius import radius as radius
from convexnn.workflows.select import Selection as Selection
from convexnn.workflows.select import select as select
from convexnn.workflows.stackelberg import Game as Game
from convexnn.workflows.stackelberg import stackelberg as stackelberg

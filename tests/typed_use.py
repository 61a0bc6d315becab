"""What static tools know of inputs and answers, in a script as a user would write it."""

from typing import assert_type

import numpy as np
import pandas as pd

import convexnn as cx
from convexnn.forms import GroupForm
from convexnn.terms import Distance, L1Distance

X, y = [[1.0, 0.0], [2.0, 1.0], [3.0, 1.0]], ["no", "yes", "no"]
points, ring = [[0.0, 0.0], [2.0, 0.0], [2.0, 2.0]], [[0, 1], [1, 2], [2, 0]]
images = np.ones((3, 4, 4))
patterns = cx.Patterns([[0, 1], [1, 0], [1, 1]])

relu = cx.ReluTraining(X, y, beta=0.1, loss="hinge", patterns=patterns)
robust = cx.RobustReluTraining(X, y, beta=0.1, radius=0.1, patterns=5, perturbed=[True, False])
conv = cx.ConvReluTraining(images, [1, 2, 3], beta=0.1)
narrow = cx.UnivariateReluTraining([1, 2, 3], [0, 1, 0], beta=0.1)
linear = cx.WassersteinClassification(X, y, radius=0.1)
margins = cx.WorstCaseMargins([0.0, 1.0], radius=0.5, loss="hinge", window=(-2.0, 2.0))
weights = cx.DivergenceReweighting([1, 2, 3], ball="cvar", level=0.5)
median = cx.GeometricMedian(
    [[np.eye(2), np.ones(1)], [np.ones((2, 2)), np.zeros(1)]], weights=[1, 2]
)
agents = cx.DistributedMedian(points, ring, weights=[1, 1, 2])
lasso = cx.NetworkLasso(
    [Distance([0.0]), L1Distance([1.0])], [[0, 1]], penalty=1, edge_weights=[2.0]
)
split = cx.LinearlyConstrained([Distance([0.0])], [[1.0]], [2.0])

table = pd.DataFrame(X)
framed = cx.GatedReluTraining(table, table[0], beta=0.1, patterns=4)

assert_type(relu.X.dtype, np.dtype[np.float64])
assert_type(relu.loss.name, str)
assert_type(relu.canonical(GroupForm).beta, float)

solution = cx.solve(relu, time_limit=10, callback=lambda step: step.gap < 1e-9)
assert_type(solution.model, cx.TwoLayerNetwork)
assert_type(solution.raise_for_status().model, cx.TwoLayerNetwork)
assert_type(cx.solve(robust, start=solution).model, cx.TwoLayerNetwork)
assert_type(cx.solve(framed).model, cx.TwoLayerNetwork)
assert_type(cx.solve(conv).model, cx.ConvNetwork)
assert_type(cx.solve(narrow).model, cx.NarrowNetwork)
assert_type(cx.solve(linear).model, cx.LinearModel)
assert_type(cx.solve(linear).model.feature_names, tuple[str, ...] | None)


def read() -> None:
    """Read a model, in a script that is run."""
    assert_type(cx.LinearModel.load("model.npz"), cx.LinearModel)


assert_type(cx.solve(margins).model, cx.WorstCase)
assert_type(cx.solve(weights).model, cx.Reweighting)
assert_type(cx.solve(cx.Newsvendor([1, 2], cost=1, price=4, radius=1)).model.order, float)
assert_type(cx.solve(median).model.value, float)
assert_type(cx.solve(agents).model.rounds, int)
assert_type(cx.solve(lasso).model.messages, int)
assert_type(cx.solve(split).model.value, float)

assert_type(cx.compile(relu, "admm").run(start=solution.primal).model, cx.TwoLayerNetwork)
assert_type(cx.compare(relu, ["admm"]).solutions[0].model, cx.TwoLayerNetwork)
assert_type(cx.path(relu, [2.0, 1.0])[0].model, cx.TwoLayerNetwork)
assert_type(
    cx.select(
        cx.WassersteinRegression(X, [1, 2, 3], radius=0), folds=2, radius=np.array([0.1, 0.2])
    ).solution.model,
    cx.LinearModel,
)
assert_type(cx.robustness(solution.model, X, y, radius=0.1).certified, float)
assert_type(cx.certificate_curve(linear, np.array([0.1, 0.2])).statuses, tuple[cx.Status, ...])

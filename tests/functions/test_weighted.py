"""The weighted loss: each example as often as its weight says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.functions.losses import (
    Absolute,
    Hinge,
    Huber,
    Logistic,
    Loss,
    Quantile,
    Softmax,
    Squared,
)
from convexnn.functions.weighted import Weighted, checked_weights, weigh

N = 7
RNG = np.random.default_rng(5)
WEIGHTS = np.array([1.0, 3.0, 2.0, 0.25, 1e-3, 40.0, 1.0])
BUILT = [Squared(), Huber(), Logistic(), Hinge(), Absolute(), Quantile(0.3), Softmax()]


@dataclass(frozen=True)
class Plainest(Squared):
    """A loss as a user may write it: one step for all, one atom for all."""

    steps_differ: ClassVar[bool] = False

    def prox(self, v: Array, y: Array, step: Any) -> Array:
        assert np.ndim(step) == 0
        near: Array = (v + step * y) / (1.0 + step)
        return near

    def weighed(self, z: Any, y: Array, weights: Array) -> Any:
        return Loss.weighed(self, z, y, weights)


def points(loss: Loss, outputs: int) -> tuple[Array, Array]:
    shape = (N, outputs) if outputs > 1 else (N,)
    z = 2.0 * RNG.standard_normal(shape)
    if not loss.separable:
        return z, np.eye(outputs)[np.arange(N) % outputs]
    return z, np.sign(RNG.standard_normal(shape)) if loss.classification else z + 1.0


CASES = [(loss, 1) for loss in (*BUILT[:-1], Plainest())] + [
    (loss, 3) for loss in (Squared(), Hinge(), Softmax(), Plainest())
]


@pytest.mark.parametrize(("loss", "outputs"), CASES)
def test_values_and_slopes_are_those_of_the_loss_times_the_weights(
    loss: Loss, outputs: int
) -> None:
    z, y = points(loss, outputs)
    weighted, w = Weighted(loss, WEIGHTS), WEIGHTS if outputs == 1 else WEIGHTS[:, None]
    value = loss.value(z, y)
    of_value = w if value.ndim == z.ndim else WEIGHTS
    assert np.array_equal(weighted.value(z, y), of_value * value)
    assert np.array_equal(weighted.gradient(z, y), w * loss.gradient(z, y))
    assert np.array_equal(weighted.hessian(z, y), w * loss.hessian(z, y))
    assert weighted.curvature == 40.0 * loss.curvature
    rows = np.array([0, 3])
    assert np.array_equal(weighted.part(rows).value(z[rows], y[rows]), weighted.value(z, y)[rows])


@pytest.mark.parametrize(("loss", "outputs"), CASES)
def test_the_prox_has_no_slope_left_and_the_conjugate_meets_the_loss(
    loss: Loss, outputs: int
) -> None:
    z, y = points(loss, outputs)
    weighted = Weighted(loss, WEIGHTS)
    near = weighted.prox(z, y, 0.7)
    slope = (z - near) / 0.7  # a subgradient at the prox: Fenchel's inequality holds with equality
    clipped = weighted.clip(slope, y)
    assert np.allclose(clipped, slope, rtol=1e-9, atol=1e-9)
    product = (near * clipped).reshape(N, -1).sum(axis=1)
    met = (weighted.value(near, y) + weighted.conjugate(clipped, y)).reshape(N, -1).sum(axis=1)
    assert np.allclose(met, product, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("loss", "outputs"), CASES)
def test_clipped_points_are_in_the_domain_whatever_is_rounded(loss: Loss, outputs: int) -> None:
    z, y = points(loss, outputs)
    for seed in range(20):
        weights = 10.0 ** np.random.default_rng(seed).uniform(-12.0, 12.0, N)
        weighted = Weighted(loss, weights)
        for far in (1e3, -1e3):
            ends = np.isfinite(weighted.domain(y)[0]).all()
            s = far * weights.reshape(-1, *(1,) * (z.ndim - 1)) * np.ones_like(z) if ends else z
            assert np.isfinite(weighted.conjugate(weighted.clip(s, y), y)).all()


@pytest.mark.parametrize(("loss", "outputs"), CASES)
def test_the_formula_has_the_value_of_the_loss(loss: Loss, outputs: int) -> None:
    cp = pytest.importorskip("cvxpy")
    z, y = points(loss, outputs)
    weighted = Weighted(loss, WEIGHTS)
    atom = weighted.cvxpy(cp.Constant(z), y)
    assert atom.is_convex()
    assert float(atom.value) == pytest.approx(float(weighted.value(z, y).sum()), rel=1e-9)


def test_a_loss_of_other_examples_is_an_error_not_an_answer() -> None:
    with pytest.raises(ValueError, match="7 examples have weights, got 1"):
        Weighted(Squared(), WEIGHTS).value(np.ones(1), np.ones(1))


def test_weights_of_one_leave_the_loss_as_it_is() -> None:
    loss = Huber(2.0)
    assert weigh(loss, None) is loss
    assert weigh(loss, np.ones(4)) is loss
    assert weigh(loss, np.full(4, 2.0)).plain is loss


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([1.0, -0.5, 1.0], "weights must be >= 0, got -0.5 at index 1"),
        ([0.0, 0.0, 0.0], "weights must have one that is > 0, got only zeros"),
        ([1.0, np.nan, 1.0], "weights must be finite, got nan"),
        ([1.0, np.inf, 1.0], "weights must be finite, got inf"),
        ([1.0, 1.0], r"weights must have one entry per row of X \(3\), got 2"),
        ([[1.0], [1.0], [1.0]], "weights must have 1 axes"),
        (["a", "b", "c"], "weights must hold real numbers"),
        ([1.0, 1e-200, 1.0], r"weights must be between 1e-150 and 1e\+150 in size, got 1e-200"),
    ],
)
def test_bad_weights_are_refused_by_their_rule(given: Any, told: str) -> None:
    with pytest.raises(cx.ProblemError, match=told):
        checked_weights(given, 3, "row of X")

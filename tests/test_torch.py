"""Functions on tensors: their values are the engines', their gradients those of differences."""

from __future__ import annotations

import doctest
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

import numpy as np
import pytest

import convexnn as cx
from convexnn import torch as layers

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="extra torch not installed")


@pytest.mark.skipif(find_spec("torch") is not None, reason="PyTorch is installed")
@pytest.mark.parametrize("name", dir(layers))
def test_the_extra_is_named(name: str) -> None:
    with pytest.raises(ImportError, match=r"torch is not installed; .*convexnn\[torch\]"):
        getattr(layers, name)


def test_no_function_is_a_module_beside_it() -> None:
    assert set(dir(layers)) == {"follower", "geometric_median", "worst_weights"}
    for name in dir(layers):
        assert find_spec(f"convexnn.torch.{name}") is None


@needs_torch
@pytest.mark.parametrize("module", ["margins", "medians", "tensors", "weights"])
def test_examples_in_the_documentation_run(module: str) -> None:
    assert doctest.testmod(import_module(f"convexnn.torch.{module}")).failed == 0


def drawn(*shape: int, seed: int = 0) -> Any:
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(seed).standard_normal(shape)
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def agrees(function: Any, *inputs: Any) -> bool:
    torch = pytest.importorskip("torch")
    return bool(torch.autograd.gradcheck(function, inputs, eps=1e-6, atol=1e-6, rtol=1e-5))


@needs_torch
@pytest.mark.parametrize("shape", [(5, 2), (2, 1, 6, 3), (2, 7, 4)])
def test_medians_and_weights_of_sets_have_exact_gradients(shape: tuple[int, ...]) -> None:
    points = drawn(*shape)
    weights = (drawn(*shape[:-1], seed=1).detach().abs() + 0.5).requires_grad_()
    z = layers.geometric_median(points, weights)
    assert tuple(z.shape) == (*shape[:-2], shape[-1])
    assert agrees(layers.geometric_median, points, weights)
    assert agrees(layers.geometric_median, points)


@needs_torch
def test_a_median_is_that_of_the_engine_and_of_the_type_given() -> None:
    points = drawn(7, 3)
    z = layers.geometric_median(points.float())
    assert str(z.dtype) == "torch.float32"
    exact = cx.solve(cx.GeometricMedian(points.detach().numpy()), tol=1e-9).model.point
    assert np.allclose(z.detach().numpy(), exact, atol=1e-5)


@needs_torch
def test_a_data_point_that_is_the_median_moves_it_alone() -> None:
    torch = pytest.importorskip("torch")
    points = torch.tensor([[0.1, 0.2], [1.0, 0.0], [-1.0, 1.0], [0.3, -1.0]], dtype=torch.float64)
    points.requires_grad_()
    z = layers.geometric_median(points)
    assert torch.equal(z, points[0])
    assert agrees(layers.geometric_median, points)
    (slope,) = torch.autograd.grad(z.sum(), points)
    assert torch.equal(slope, torch.tensor([[1.0, 1.0], [0, 0], [0, 0], [0, 0]]).double())
    twice = torch.cat([points, points[:1]])
    (slope,) = torch.autograd.grad(layers.geometric_median(twice)[0], points)
    assert slope[0].tolist() == [1.0, 0.0]


@needs_torch
def test_the_median_of_an_odd_number_on_a_line_is_found_and_of_an_even_one_refused() -> None:
    torch = pytest.importorskip("torch")
    odd = torch.tensor([[0.0], [1.0], [5.0]], dtype=torch.float64, requires_grad=True)
    assert layers.geometric_median(odd).tolist() == [1.0]
    assert agrees(layers.geometric_median, odd)
    line = torch.tensor([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0], [5.0, 10.0]], dtype=torch.float64)
    with pytest.raises(cx.ProblemError, match="set 1 must have one median"):
        layers.geometric_median(torch.stack([line + drawn(4, 2).detach(), line]))
    with pytest.raises(cx.ProblemError, match="set 0 must have one median"):
        layers.geometric_median(line[:, :1])


@needs_torch
def test_an_outlier_and_a_close_point_keep_the_gradient_exact() -> None:
    torch = pytest.importorskip("torch")
    near = drawn(6, 2).detach()
    far = torch.cat([near, torch.tensor([[1e9, 3e9]], dtype=torch.float64)]).requires_grad_()
    (slope,) = torch.autograd.grad(layers.geometric_median(far)[0], far)
    assert float(slope[-1].abs().max()) < 1e-8
    assert slope.sum(0).tolist() == pytest.approx([1.0, 0.0], abs=1e-7)  # all moved together


RISKS: list[Any] = [
    *(cx.Entropic(0.3), cx.Entropic(2.5), cx.ChiSquare(0.4), cx.ChiSquare(3.0), cx.ChiSquare(40)),
]
RISKS += [cx.Cvar(0.4), cx.TotalVariation(0.3), cx.WorstGroup([0, 0, 1, 1, 2, 2]), cx.Cvar(1.0)]


@needs_torch
@pytest.mark.parametrize("risk", RISKS, ids=str)
def test_worst_weights_have_exact_gradients_and_give_the_risk(risk: Any) -> None:
    torch = pytest.importorskip("torch")
    losses, p = drawn(2, 6), np.array([1.0, 2.0, 1.0, 0.5, 1.0, 1.5])
    q = layers.worst_weights(losses, risk, p)
    p = p / p.sum()
    for row, weights in zip(losses.detach().numpy(), q.detach().numpy(), strict=True):
        ratios = risk.of(6, "loss").ratios(p)
        assert ratios.allows(weights / p)
        assert weights @ row == pytest.approx(float((p * risk.worst(row, p)) @ row), rel=1e-12)
    assert agrees(lambda x: layers.worst_weights(x, risk, p), losses)
    (slope,) = torch.autograd.grad((q * losses).sum(), losses)
    assert torch.allclose(slope, q, atol=1e-12)  # the envelope: weights answer optimally


@needs_torch
def test_equal_losses_leave_the_weights_alone() -> None:
    torch = pytest.importorskip("torch")
    losses = torch.full((4,), 0.3, dtype=torch.float64, requires_grad=True)
    for risk in (cx.Entropic(0.3), cx.ChiSquare(0.3)):
        q = layers.worst_weights(losses, risk)
        (slope,) = torch.autograd.grad(q[0], losses)
        assert q.tolist() == pytest.approx([0.25] * 4)
        assert not slope.any()


@needs_torch
@pytest.mark.parametrize("window", [None, (-4.0, 4.0)])
def test_the_follower_has_exact_gradients(window: tuple[float, float] | None) -> None:
    margins = drawn(2, 8)
    value = layers.follower(margins, 0.37, window=window).detach()
    problem = cx.WorstCaseMargins(margins[1].detach().numpy(), radius=0.37, window=window)
    assert float(value[1]) == pytest.approx(cx.solve(problem).model.value, rel=1e-9)
    assert agrees(lambda m: layers.follower(m, 0.37, window=window), margins)


@needs_torch
def test_what_breaks_its_rule_is_named() -> None:
    torch = pytest.importorskip("torch")
    points, word = drawn(3, 2), cast(Any, "cvar")
    calls: list[tuple[Any, str]] = [
        (lambda: layers.geometric_median([[0.0]]), "points must be a tensor"),
        (lambda: layers.geometric_median(torch.ones(3)), "points must have shape"),
        (lambda: layers.geometric_median(points / 0.0), "points must be finite"),
        (lambda: layers.geometric_median(points, torch.ones(2)), "weights must have shape"),
        (lambda: layers.geometric_median(points, -torch.ones(3)), "weights must be >= 0"),
        (lambda: layers.worst_weights(torch.ones(3, dtype=int), cx.Cvar(0.5)), "losses must be"),
        (lambda: layers.worst_weights(torch.ones(3), word), "risk must be"),
        (lambda: layers.worst_weights(torch.ones(3), cx.Cvar(0.5), [1, 0, 1]), "weights must be >"),
        (lambda: layers.worst_weights(torch.ones(3), cx.WorstGroup([0, 1])), "groups must have"),
        (lambda: layers.follower(torch.ones(3), -1.0), "radius must be"),
    ]
    for call, words in calls:
        with pytest.raises(cx.ProblemError, match=words):
            call()

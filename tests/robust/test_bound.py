"""Robust bounds from multipliers of any size are never above the optimum."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import make_moons

import convexnn as cx


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("size", [1e-320, 1e-310, 1e-200, 1e-50, 1e-3, 1e3, 1e120, 1e290])
@pytest.mark.parametrize("formulation", ["cones", "majorant"])
def test_multipliers_of_any_size_bound_from_below(norm: str, size: float, formulation: str) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, 2))
    y = np.sign(X[:, 0] + 0.2 * rng.standard_normal(20))
    problem = cx.RobustReluTraining(
        X, y, beta=0.2, radius=0.1, norm=norm, patterns=8, formulation=formulation
    )
    solution = cx.solve(problem, "cvxpy:clarabel", tol=1e-5)
    dual = solution.dual
    changed = {name: getattr(dual, name) * size for name in ("mu", "left", "right")}
    bound = problem.certify(solution.primal, dual._replace(**changed)).bound
    assert bound <= solution.objective * (1.0 + 1e-9)


def test_bound_over_all_networks_is_near_by_training_on_attacked_examples(tmp_path: Path) -> None:
    X, y = make_moons(24, noise=0.1, random_state=0)
    problem = cx.RobustReluTraining(X, y, beta=0.2, radius=0.1, bias=True)
    solution = cx.solve(problem, searches=2, width=15)
    assert solution.dual.plain is not None
    alone = solution.dual._replace(plain=None)
    before = problem.certify(solution.primal, alone).bound
    assert before < 0.5 * solution.objective < solution.bound <= solution.objective
    file = tmp_path / "robust.npz"
    solution.save(file)
    assert cx.load(file).bound == solution.bound

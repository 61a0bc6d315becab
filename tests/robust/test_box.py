"""Robust training where the adversary cannot leave a box: its programs, bounds and engines."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from shell import convexnn

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.relu.forms import Neurons
from convexnn.robust.bound import robust_bound
from convexnn.robust.forms import RobustDual, RobustForm, RobustNetworkForm
from convexnn.robust.pattern_radii import Separation
from convexnn.solvers.robust.admm_prox import prox_examples, prox_neurons

LOSSES = ("hinge", "logistic", "squared")
LOW, HIGH = np.array([0.0, -0.5, -np.inf]), np.array([1.0, 0.9, 1.0])


def declared(loss: str = "hinge", **changes: Any) -> cx.RobustReluTraining:
    rng = np.random.default_rng(3)
    X = rng.random((16, 3)) * [1.0, 1.4, 1.0] - [0.0, 0.5, 0.0]
    X[:2] = [[0.0, 0.9, 1.0], [1.0, -0.5, 0.3]]  # at the ends of the box
    z = 3.0 * np.maximum(X[:, 0] - 0.4, 0.0) - X[:, 1]
    y = z if loss == "squared" else np.where(z > np.median(z), 1.0, -1.0)
    common: dict[str, Any] = {"beta": 0.1, "radius": 0.2, "patterns": 10, "bias": True}
    common |= {"box": (LOW, HIGH), "perturbed": [True, True, False], "loss": loss}
    return cx.RobustReluTraining(X, y, **(common | changes))


def form_of(problem: cx.RobustReluTraining) -> RobustForm:
    form = problem.canonical(RobustForm)
    assert isinstance(form, RobustForm)
    return form


def losses(problem: cx.RobustReluTraining, z: Array, y: float) -> Array:
    name = getattr(problem.loss, "name", "")
    if name == "hinge":
        return np.maximum(0.0, 1.0 - y * z)
    return np.logaddexp(0.0, -y * z) if name == "logistic" else 0.5 * (z - y) ** 2


def by_hand(problem: cx.RobustReluTraining, model: Any) -> float:
    """The penalty, and the largest loss over a grid of each clipped ball, its corners with it."""
    ticks = np.linspace(-1.0, 1.0, 9)
    total = 0.5 * problem.beta * float(np.sum(model.U**2) + np.sum(model.bias**2))
    total += 0.5 * problem.beta * float(np.sum(model.alpha**2))
    steps = problem.radius * np.array(list(product(ticks, repeat=3))) * problem.perturbed
    for x, y in zip(problem.X, problem.labels.targets, strict=True):
        points = np.clip(x + steps, LOW, HIGH)
        z = np.ravel(model.decision_function(points))
        total += float(np.max(losses(problem, z, float(y))))
    return total


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("formulation", ["majorant", "cones"])
def test_engines_agree_and_the_value_is_above_the_worst_of_a_grid(
    loss: str, formulation: str
) -> None:
    problem = declared(
        loss, formulation=formulation, radius=0.2 if formulation != "cones" else 0.03
    )
    found = [cx.solve(problem, name, tol=1e-3) for name in ("cvxpy:clarabel", "ipm", "admm")]
    for one, other in product(found, found):
        assert one.bound <= other.objective + 1e-6 * abs(other.objective)
    for solution in found:
        assert solution.gap <= 1e-3
        value = by_hand(problem, solution.model)
        assert value <= solution.objective * (1.0 + 1e-7)
        if formulation == "cones":
            assert value == pytest.approx(solution.objective, rel=4e-3)
    assert formulation == "majorant" or found[0].objective < 0.99 * problem._idle()
    free = cx.solve(declared(loss, formulation=formulation, radius=problem.radius, box=None), "ipm")
    assert found[1].bound < free.objective


def test_a_box_that_clips_nothing_is_the_program_of_balls() -> None:
    wide = declared(box=(-9.0, 9.0))
    assert form_of(wide).widths is None
    still = declared(box=(LOW, HIGH), radius=0.0)
    assert form_of(still).widths is None
    assert form_of(declared()).widths is not None


def random_form(seed: int, cones: bool = False) -> RobustForm:
    rng = np.random.default_rng(seed)
    n, d, m = int(rng.integers(2, 6)), 2, int(rng.integers(1, 5))
    loss = LOSSES[rng.integers(3)]
    widths = rng.choice([0.0, 0.1, 0.4, 1.0], (n, d))
    slopes = np.where(rng.random((n, m)) < 0.5, rng.random((n, m)), rng.random((n, m)) < 0.5)
    slopes = np.round(slopes) if cones else slopes
    y = rng.standard_normal(n) if loss == "squared" else rng.choice([-1.0, 1.0], n)
    own = form_of(declared(loss)).loss
    X, y = rng.standard_normal((n, d)), np.asarray(y, np.float64)
    added, moved = int(rng.integers(0, m + 1)), np.asarray(widths.any(axis=0))
    S = np.asarray(slopes, np.float64)
    return RobustForm(X, y, S, added, own, 0.3, 1.0, "linf", moved, cones, widths)


def outputs(neurons: Neurons, points: Array) -> Array:
    V, W = points @ neurons.V, points @ neurons.W
    result: Array = np.maximum(V, 0.0).sum(axis=1) - np.maximum(W, 0.0).sum(axis=1)
    return result


@pytest.mark.parametrize("seed", range(16))
def test_bounds_of_outputs_values_and_duals_are_on_their_sides(seed: int) -> None:
    form = random_form(seed)
    rng = np.random.default_rng(seed + 100)
    d, m = form.X.shape[1], form.blocks
    V, W = (rng.standard_normal((d, k)) for k in (form.added, m - form.added))
    neurons = Neurons(V, W, np.zeros(d))
    assert form.widths is not None
    search = RobustNetworkForm(form)
    ticks = np.array(list(product(np.linspace(-1.0, 1.0, 7), repeat=d)))
    bounds = [form.bounds(neurons), search.touching(neurons).bounds(neurons)]
    total = form.penalty(neurons)
    for k, (x, s) in enumerate(zip(form.X, form.widths, strict=True)):
        z = outputs(neurons, x + s * ticks)
        for low, up in bounds:
            assert low[k] <= z.min() + 1e-12
            assert up[k] >= z.max() - 1e-12
        loss = form.loss.part(np.array([k]))
        total += float(np.max(loss.value(z, np.full_like(z, form.y[k]))))
    assert total <= form.objective(neurons) + 1e-9
    assert total <= search.objective(neurons) + 1e-9
    weights = np.hstack([neurons.V, neurons.W])
    a, r = form.X @ weights, form.reach(weights.T)
    chords = np.clip((a + r) / np.where(r > 0.0, 2.0 * r, 1.0), 0.0, 1.0)
    helps = (form.signs > 0.0) == (form.y > 0.0)[:, None]
    own = np.where((r == 0.0) | (helps & form.loss.classification), a > 0.0, chords)
    other = form._replace(slopes=np.where(own, own, 0.0))
    assert search.touching(neurons).objective(neurons) <= other.objective(neurons) + 1e-9
    n = len(form.X)
    for scale in (0.01, 0.3, 3.0):
        parts = [np.abs(rng.standard_normal((n, m))) * scale for _ in range(2)]
        mu = rng.standard_normal(n) * scale
        guess = RobustDual(mu, np.abs(mu), rng.standard_normal((n, d)), parts[0], parts[1])
        assert robust_bound(form, guess) <= form.objective(neurons) + 1e-9
        plain = search.attacked(guess.attack)
        assert np.all(np.abs(plain.X - form.X) <= form.widths)
        assert plain.objective(neurons) <= search.objective(neurons) + 1e-9


@pytest.mark.parametrize("seed", range(6))
def test_proximal_steps_are_the_minimisers(seed: int) -> None:
    form = random_form(seed)
    rng = np.random.default_rng(seed)
    (n, d), m = form.X.shape, form.blocks
    rows, reach = rng.standard_normal((m, d)), rng.standard_normal((d, m))
    step, other = (float(rng.uniform(0.2, 2.0)) for _ in range(2))
    v, far = prox_neurons(form, rows, reach, step, other)
    assert np.all(far[form.moved] >= np.abs(v.T)[form.moved])
    for b in range(m):
        a, r, moved = rows[b], reach[:, b], form.moved

        def value(x: Array, a: Array = a, r: Array = r, moved: Any = moved) -> float:
            over = np.where(moved, np.maximum(np.abs(x) - r, 0.0), 0.0)
            near = np.sum((x - a) ** 2) / (2 * step) + np.sum(over**2) / (2 * other)
            return float(form.beta * np.linalg.norm(x) + near)

        starts = (a, np.zeros(d), v[b])
        least = min(minimize(value, x, method="Nelder-Mead").fun for x in starts)
        assert value(v[b]) <= least + 1e-7
    q, c, t = rng.standard_normal((n, d)), rng.standard_normal((n, m)), rng.random((n, m))
    weights = 0.7, 0.5, 0.9
    found = prox_examples(form, q, c, t, weights, (np.zeros(n), np.zeros(n)))

    def whole(at: tuple[Array, Array, Array]) -> float:
        slack = np.maximum(form.slopes * (at[2] - at[1]), (1.0 - form.slopes) * (at[2] + at[1]))
        z, spread = np.einsum("ij,ij->i", form.X, at[0]), form.spread(at[0])
        low = z - spread - slack[:, form.added :].sum(axis=1)
        up = z + spread + slack[:, : form.added].sum(axis=1)
        far = (form.loss.value(end, form.y) for end in (low, up))
        cost = float(np.sum(np.maximum(*far)))
        if form.loss.classification:
            cost = float(np.sum(form.loss.value(np.where(form.y > 0, low, up), form.y)))
        near = zip(at, (q, c, t), weights, strict=True)
        return cost + sum(float(np.sum((x - x0) ** 2)) / (2 * w) for x, x0, w in near)

    best = whole((found.q, found.c, found.t))
    for size in (1e-3, 1e-1):
        for _ in range(30):
            off = [x + size * rng.standard_normal(x.shape) for x in (found.q, found.c, found.t)]
            assert best <= whole((off[0], off[1], off[2])) + 1e-9


def test_cones_are_screened_by_what_boxes_leave() -> None:
    for seed in range(8):
        form = random_form(seed, cones=True)
        assert form.widths is not None
        screen = Separation(form.X, form.moved, "linf", form.widths)
        matrix = form.slopes > 0.5
        kept = screen.possible(matrix, 1.0)
        turns = np.linspace(0.0, 2.0 * np.pi, 20_001)
        v = np.array([np.cos(turns), np.sin(turns)])
        for p, own in enumerate(matrix.T):
            lead = np.where(own, 1.0, -1.0)[:, None] * (form.X @ v) - form.widths @ np.abs(v)
            if np.any(lead.min(axis=0) >= 0.0):
                assert kept[p]
            elif np.all(lead.min(axis=0) < -1e-3):
                assert not kept[p]


def test_search_in_a_box_is_certified_and_its_attacks_stay_inside() -> None:
    problem = declared(patterns=None)
    solution = cx.solve(problem, max_iter=1, time_limit=3)
    assert solution.bound <= by_hand(problem, solution.model) <= solution.objective * (1 + 1e-9)
    plain = problem.canonical(RobustNetworkForm).attacked(solution.dual.attack)
    X = plain.X * problem.design.scale
    for x, moved in zip(problem.data[:, :3], X[:, :3], strict=True):
        for a, b, low, high in zip(x, moved, LOW, HIGH, strict=True):
            assert low <= b <= high
            assert abs(Fraction(b) - Fraction(a)) <= Fraction(problem.radius)
    assert not np.array_equal(X, problem.data)
    judged = cx.robustness(
        *(solution.model, problem.X, problem.y),
        radius=0.2,
        box=(LOW, HIGH),
        exact=True,
        perturbed=problem.perturbed,
    )
    assert judged.certified <= (judged.exact or 1.0) <= judged.attacked <= judged.clean


def test_a_box_is_kept_in_files_estimators_and_the_shell(tmp_path: Path) -> None:
    solution = cx.solve(declared(), tol=1e-3)
    solution.save(tmp_path / "s.npz")
    loaded = cx.load(tmp_path / "s.npz")
    box: Any = loaded.problem.box
    np.testing.assert_array_equal(box, [LOW, HIGH])
    again = loaded.problem.certify(loaded.primal, loaded.dual)
    assert (again.objective, again.bound) == (solution.objective, solution.bound)
    problem = declared()
    given: dict[str, Any] = {"radius": 0.8, "standardize": True, "patterns": 8, "alpha": 1e-2}
    kept = cx.RobustReluClassifier(box=(LOW, HIGH), **given).fit(problem.X, problem.y)
    free = cx.RobustReluClassifier(**given).fit(problem.X, problem.y)
    assert kept.solution_.objective < free.solution_.objective
    with pytest.raises(ValueError, match="column 0"):
        cx.RobustReluClassifier(box=(0.5, 2.0)).fit(problem.X, problem.y)
    path = tmp_path / "data.npz"
    np.savez(path, X=problem.X, y=problem.y)
    done = convexnn(
        *("solve", "robust", "--data", path, "--radius", 0.3, "--patterns", 8),
        *("--box", -0.5, 1, "--tol", 0.01, "--save", tmp_path / "shell.npz"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    ends: Any = cx.load(tmp_path / "shell.npz").problem.box
    assert np.all(ends[0] < ends[1])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"box": (0.0, 1.0)}, "box .0, 1. of column 1, got -0.5 in row 1"),
        ({"norm": "l2"}, "box goes with norm 'linf', got 'l2'"),
        ({"box": (1.0, 0.0)}, "low <= high"),
        ({"box": 3.0}, "box"),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(cx.ProblemError, match=said):
        declared(**changes)

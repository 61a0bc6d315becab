"""Worst weights in a ball around the uniform ones, against brute force and general solvers."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.wasserstein.weight_balls import Adversary, entropy, expected

EXACT = 1e-12


def kl(w: Array) -> float:
    return float(np.sum(np.where(w > 0.0, w * np.log(np.where(w > 0.0, len(w) * w, 1.0)), 0.0)))


def chi2(w: Array) -> float:
    return float(len(w) * np.sum(w**2) - 1.0)


def cvar(w: Array) -> float:
    return float(len(w) * np.max(w))


def tv(w: Array) -> float:
    return float(np.sum(np.abs(w - 1.0 / len(w)))) / 2.0


class Case(NamedTuple):
    """A ball by its keywords; how far weights deviate, and how far they may."""

    keywords: dict[str, Any]
    deviation: Callable[[Array], float]
    limit: float


CASES = {
    "kl": Case({"ball": "kl", "radius": 0.2}, kl, 0.2),
    "kl-wide": Case({"ball": "kl", "radius": 9.0}, kl, 9.0),
    "chi2": Case({"ball": "chi2", "radius": 0.5}, chi2, 0.5),
    "chi2-narrow": Case({"ball": "chi2", "radius": 0.01}, chi2, 0.01),
    "chi2-wide": Case({"ball": "chi2", "radius": 80.0}, chi2, 80.0),
    "cvar": Case({"ball": "cvar", "level": 0.33}, cvar, 1.0 / 0.33),
    "cvar-narrow": Case({"ball": "cvar", "level": 0.01}, cvar, 100.0),
    "tv": Case({"ball": "tv", "radius": 0.3}, tv, 0.3),
    "tv-whole": Case({"ball": "tv", "radius": 1.0}, tv, 1.0),
}
PENALTY: dict[str, Any] = {"ball": "kl", "penalty": 0.7}
each_ball = pytest.mark.parametrize("name", CASES)


def losses(n: int = 25, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(n).round(2) * 2.0


def distances(n: int = 25, seed: int = 0) -> Array:
    points = np.random.default_rng(seed + 100).standard_normal((n, 2))
    gaps: Array = np.linalg.norm(points[:, None] - points, axis=2)
    return gaps


def worst(l: Array, **keywords: Any) -> cx.Solution:  # noqa: E741
    return cx.solve(cx.DivergenceReweighting(l, **keywords), tol=1e-12).raise_for_status()


def transported(l: Array, d: Array, radius: float) -> float:  # noqa: E741
    n = len(l)
    done = linprog(
        -np.tile(l, n),
        A_ub=d.reshape(1, -1),
        b_ub=[radius],
        A_eq=np.kron(np.eye(n), np.ones(n)),
        b_eq=np.full(n, 1.0 / n),
    )
    assert done.status == 0
    return -float(done.fun or 0.0)


def by_search(l: Array, case: Case) -> float:  # noqa: E741
    """Largest weighted loss over the ball, by a general-purpose search over three weights."""
    share = np.linspace(0.0, 1.0, 301)
    first, second = np.meshgrid(share, share, indexing="ij")
    inside = first + second <= 1.0 + 1e-12
    w = np.stack([first[inside], second[inside], 1.0 - first[inside] - second[inside]], axis=1)
    w = np.maximum(w, 0.0)
    deviation = np.array([case.deviation(one) for one in w])
    return float((w @ l)[deviation <= case.limit].max())


@each_ball
def test_weights_lie_in_the_ball_and_earn_the_value(name: str) -> None:
    case, l = CASES[name], losses()  # noqa: E741
    solution = worst(l, **case.keywords)
    w = solution.model.weights
    assert w.shape == l.shape
    assert w.min() >= 0.0
    assert w.sum() == pytest.approx(1.0, abs=1e-15 * len(w))
    assert case.deviation(w) <= case.limit * (1.0 + EXACT)
    assert w @ l == pytest.approx(solution.objective, rel=EXACT)
    assert solution.bound == pytest.approx(solution.objective, rel=EXACT)
    assert solution.model.value == solution.objective
    assert solution.certificate.scope == "this ball"
    assert solution.backend == "exact"


@pytest.mark.parametrize("l", [[0.0, 1.0, 3.0], [2.0, 2.0, -1.0], [-5.0, -5.5, -1.0]])
@each_ball
def test_value_is_that_of_a_search_over_three_weights(name: str, l: list[float]) -> None:  # noqa: E741
    data = np.array(l)
    value = worst(data, **CASES[name].keywords).model.value
    found = by_search(data, CASES[name])
    assert found <= value + EXACT
    assert found >= value - 8e-3 * np.ptp(data)


@each_ball
@settings(max_examples=40)
@given(
    l=st.lists(st.floats(-50.0, 50.0, width=32), min_size=1, max_size=8),
    size=st.floats(1e-6, 1.0),
)
def test_strong_duality_on_any_losses(name: str, l: list[float], size: float) -> None:  # noqa: E741
    ball = CASES[name].keywords["ball"]
    field = "level" if ball == "cvar" else "radius"
    data = np.array(l)
    solution = cx.solve(
        cx.DivergenceReweighting(data, **{"ball": ball, field: size * (1.0 - 1e-9)}), tol=1e-9
    )
    assert solution.status is cx.Status.OPTIMAL
    assert data.mean() - 1e-9 <= solution.model.value <= data.max() + 1e-9


@pytest.mark.parametrize("seed", range(4))
def test_transported_weights_against_a_linear_program(seed: int) -> None:
    l, d = losses(12, seed), distances(12, seed)  # noqa: E741
    for radius in (0.0, 0.05, 0.3, 1.0, 20.0):
        solution = worst(l, ball="wasserstein", radius=radius, distances=d)
        assert solution.backend == "greedy"
        model = solution.model
        assert model.value == pytest.approx(transported(l, d, radius), rel=1e-9, abs=1e-9)
        assert model.weights @ l == pytest.approx(model.value, rel=EXACT, abs=EXACT)
        assert model.weights.min() >= 0.0
        assert model.weights.sum() == pytest.approx(1.0, rel=EXACT)
        shares = solution.primal.choice
        plan = (shares + np.diag(1.0 - shares.sum(axis=1))) / 12
        assert np.sum(plan * d) <= radius * (1.0 + EXACT)
        np.testing.assert_allclose(plan.sum(axis=0), model.weights, atol=1e-15)


def test_samples_at_distance_zero_are_reached_for_nothing() -> None:
    d = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    for radius, value in ((0.0, 4.0 / 3.0), (0.25, 4.0 / 3.0 + 0.5), (1.0, 2.0)):
        model = worst(np.array([0.0, 2.0, 0.0]), ball="wasserstein", radius=radius, distances=d)
        assert model.objective == pytest.approx(value)


def test_distances_need_not_be_symmetric() -> None:
    d = np.array([[0.0, 1.0], [9.0, 0.0]])
    up = worst(np.array([0.0, 1.0]), ball="wasserstein", radius=0.25, distances=d).model
    down = worst(np.array([1.0, 0.0]), ball="wasserstein", radius=0.25, distances=d).model
    np.testing.assert_allclose(up.weights, [0.25, 0.75])
    np.testing.assert_allclose(down.weights, [0.5 + 0.25 / 9.0, 0.5 - 0.25 / 9.0])


def test_penalty_is_the_softmax() -> None:
    l = losses()  # noqa: E741
    solution = worst(l, **PENALTY)
    soft = np.exp(l / 0.7) / np.exp(l / 0.7).sum()
    np.testing.assert_allclose(solution.model.weights, soft, rtol=EXACT)
    assert solution.model.value == pytest.approx(0.7 * np.log(np.mean(np.exp(l / 0.7))), rel=EXACT)
    assert solution.model.value == pytest.approx(soft @ l - 0.7 * kl(soft), rel=EXACT)
    assert solution.model.multiplier == 0.7


def test_penalty_and_radius_tell_the_same_story() -> None:
    l = losses()  # noqa: E741
    ball = worst(l, ball="kl", radius=0.2).model
    penalised = worst(l, ball="kl", penalty=ball.multiplier).model
    np.testing.assert_allclose(ball.weights, penalised.weights, rtol=1e-10)
    assert kl(ball.weights) == pytest.approx(0.2, rel=1e-12)


RATES: dict[str, dict[str, Any]] = {
    "kl": {"ball": "kl", "radius": 0.2},
    "chi2": {"ball": "chi2", "radius": 0.5},
    "chi2-narrow": {"ball": "chi2", "radius": 0.01},
    "tv": {"ball": "tv", "radius": 0.31},
    "wasserstein": {"ball": "wasserstein", "radius": 0.31, "distances": distances()},
}


@pytest.mark.parametrize("name", RATES)
def test_multiplier_is_the_rate_by_the_radius(name: str) -> None:
    keywords, h = RATES[name], 1e-6
    ends = [
        worst(losses(), **(keywords | {"radius": keywords["radius"] + s})).model.value
        for s in (-h, h)
    ]
    rate = (ends[1] - ends[0]) / (2.0 * h)
    assert worst(losses(), **keywords).model.multiplier == pytest.approx(rate, rel=1e-6)


def test_multiplier_of_the_tail_is_the_rate_by_one_over_the_level() -> None:
    h, u = 1e-6, 1.0 / 0.33
    ends = [worst(losses(), ball="cvar", level=1.0 / (u + s)).model.value for s in (-h, h)]
    rate = (ends[1] - ends[0]) / (2.0 * h)
    assert worst(losses(), ball="cvar", level=0.33).model.multiplier == pytest.approx(rate)


@each_ball
def test_weights_are_the_gradient_of_the_value(name: str) -> None:
    l, h = losses(10, 3) + np.linspace(0.0, 1e-3, 10), 1e-6  # noqa: E741
    keywords, slopes = CASES[name].keywords, np.empty(10)
    for i in range(10):
        step = h * np.eye(10)[i]
        up, down = worst(l + step, **keywords), worst(l - step, **keywords)
        slopes[i] = (up.model.value - down.model.value) / (2.0 * h)
    np.testing.assert_allclose(worst(l, **keywords).model.weights, slopes, atol=1e-6)


@pytest.mark.parametrize("ball", ["kl", "chi2", "tv"])
def test_value_grows_from_the_mean_to_the_largest_loss(ball: str) -> None:
    l = losses()  # noqa: E741
    full = {"kl": np.log(25.0), "chi2": 24.0, "tv": 0.96}[ball]
    radii = [0.0, 1e-14, 1e-8, 1e-3, 0.1, 0.5, full * (1.0 - 1e-9), full]
    values = [worst(l, ball=ball, radius=r).model.value for r in radii]
    assert values[0] == pytest.approx(l.mean(), rel=EXACT, abs=EXACT)
    assert values[-1] == pytest.approx(l.max(), rel=EXACT)
    assert np.all(np.diff(values) > 0.0)


@pytest.mark.parametrize("ball", ["kl", "chi2"])
def test_small_radius_is_the_variance(ball: str) -> None:
    """The value is mean + sqrt(2 radius var) for kl, mean + sqrt(radius var) for chi2."""
    l, radius = losses(), 1e-12  # noqa: E741
    twice = 2.0 if ball == "kl" else 1.0
    value = worst(l, ball=ball, radius=radius).model.value
    assert value - l.mean() == pytest.approx(np.sqrt(twice * radius * l.var()), rel=1e-5)


@each_ball
@pytest.mark.parametrize(("scale", "offset"), [(1e9, 0.0), (1e-9, 0.0), (1.0, 1e9), (1e280, 0.0)])
def test_scale_and_offset_of_the_losses(name: str, scale: float, offset: float) -> None:
    l, keywords = losses().round(0), CASES[name].keywords  # noqa: E741
    plain, changed = (
        cx.solve(cx.DivergenceReweighting(data, **keywords)).raise_for_status().model
        for data in (l, scale * l + offset)
    )
    assert changed.value == pytest.approx(scale * plain.value + offset, rel=1e-10)
    np.testing.assert_allclose(changed.weights, plain.weights, rtol=1e-8, atol=1e-12)


@each_ball
def test_equal_losses_and_a_single_one(name: str) -> None:
    for l in (np.full(6, 2.5), np.array([-3.0])):  # noqa: E741
        model = worst(l, **CASES[name].keywords).model
        assert model.value == pytest.approx(l[0], rel=EXACT)
        assert model.weights.sum() == pytest.approx(1.0, rel=EXACT)


@pytest.mark.parametrize("ball", ["kl", "chi2"])
def test_past_the_largest_radius_the_ties_share_alike(ball: str) -> None:
    l = np.array([1.0, 4.0, 0.0, 4.0, 3.0])  # noqa: E741
    model = worst(l, ball=ball, radius=3.0).model
    np.testing.assert_array_equal(model.weights, [0.0, 0.5, 0.0, 0.5, 0.0])
    assert (model.value, model.multiplier) == (4.0, 0.0)


def test_near_ties_are_told_apart() -> None:
    l = np.array([0.0, 1.0, 1.0 + 1e-9])  # noqa: E741
    radius = float(np.log(3.0)) - 1e-3
    model = worst(l, ball="kl", radius=radius).model
    assert model.weights[2] > 0.99
    assert kl(model.weights) == pytest.approx(radius, rel=1e-9)


def test_thresholds_part_the_samples() -> None:
    l = losses()  # noqa: E741
    truncated = worst(l, ball="chi2", radius=0.5).model
    assert truncated.threshold is not None
    np.testing.assert_array_equal(truncated.weights > 0.0, l > truncated.threshold)
    averaged = worst(l, ball="cvar", level=0.33).model
    np.testing.assert_allclose(averaged.weights[l > averaged.threshold], 1.0 / (0.33 * 25))
    np.testing.assert_array_equal(averaged.weights[l < averaged.threshold], 0.0)
    shifted = worst(l, ball="tv", radius=0.3).model
    np.testing.assert_array_equal(shifted.weights[l < shifted.threshold], 0.0)
    between = (l > shifted.threshold) & (l < l.max())
    np.testing.assert_allclose(shifted.weights[between], 1.0 / 25)
    assert worst(l, ball="kl", radius=0.2).model.threshold is None


def test_radius_zero_has_an_infinite_rate() -> None:
    for ball in ("kl", "chi2"):
        model = worst(losses(), ball=ball, radius=0.0).model
        assert model.multiplier == np.inf
        np.testing.assert_allclose(model.weights, 1.0 / 25, rtol=EXACT)


def test_entropy_near_the_uniform_weights() -> None:
    for size in (1e-2, 1.1e-3, 0.9e-3, 1e-6):
        x = size * np.array([1.0, -1.0, 0.5, -0.5])
        expected = np.mean(x**2 / 2 - x**3 / 6 + x**4 / 12 - x**5 / 20 + x**6 / 30)
        assert entropy((1.0 + x) / 4.0) == pytest.approx(expected, rel=2e-9)


def test_general_search_confirms_the_entropy_ball() -> None:
    l = losses(6, 9)  # noqa: E741
    rules: Any = (
        {"type": "eq", "fun": lambda w: np.sum(w) - 1.0},
        {"type": "ineq", "fun": lambda w: 0.2 - kl(w)},
    )
    search: Any = minimize  # whose stubs take no lambda for a constraint
    found = search(
        lambda w: -float(w @ l),
        np.full(6, 1.0 / 6.0),
        method="SLSQP",
        bounds=[(1e-12, 1.0)] * 6,
        constraints=rules,
        tol=1e-14,
    )
    assert worst(l, ball="kl", radius=0.2).model.value == pytest.approx(-found.fun, rel=1e-6)


PRODUCT: dict[str, dict[str, Any]] = {
    **{name: case.keywords for name, case in CASES.items()},
    "penalty": PENALTY,
    "wasserstein": {"ball": "wasserstein", "radius": 0.3, "distances": distances()},
}
SOLVERS = {
    "exp": ("cvxpy:clarabel", "cvxpy:scs"),
    "soc": ("cvxpy:clarabel", "cvxpy:scs"),
    "lp": ("cvxpy:clarabel", "cvxpy:scs", "cvxpy:highs", "cvxpy:scipy", "cvxpy:osqp"),
}


def cone(ball: str) -> str:
    return {"kl": "exp", "chi2": "soc"}.get(ball, "lp")


@pytest.mark.parametrize(
    ("name", "backend"),
    [(name, b) for name, keywords in PRODUCT.items() for b in SOLVERS[cone(keywords["ball"])]],
)
def test_general_solvers_agree(name: str, backend: str) -> None:
    problem = cx.DivergenceReweighting(losses(), **PRODUCT[name])
    exact, found = cx.solve(problem, tol=1e-11), cx.solve(problem, backend, tol=1e-4)
    assert exact.status is cx.Status.OPTIMAL
    assert found.status is cx.Status.OPTIMAL, repr(found)
    assert found.objective >= exact.bound - EXACT
    assert found.bound <= exact.objective + EXACT
    assert found.objective == pytest.approx(exact.objective, rel=2e-4, abs=2e-4)
    assert found.model.weights @ losses() == pytest.approx(
        exact.model.weights @ losses(), rel=1e-3, abs=1e-3
    )


@pytest.mark.parametrize("name", PRODUCT)
def test_a_ball_is_offered_to_the_solvers_of_its_cone(name: str) -> None:
    names = set(cx.backends(cx.DivergenceReweighting(losses(), **PRODUCT[name])).names)
    ball = PRODUCT[name]["ball"]
    assert set(SOLVERS[cone(ball)]) <= names
    assert ("cvxpy:highs" in names) == (cone(ball) == "lp")
    assert ("greedy" in names) == (ball == "wasserstein")
    assert ("exact" in names) == (ball != "wasserstein")


@pytest.mark.parametrize("name", PRODUCT)
def test_weights_outside_the_ball_are_brought_back(name: str) -> None:
    problem = cx.DivergenceReweighting(losses(), **PRODUCT[name])
    best = cx.solve(problem, tol=1e-11).raise_for_status()
    for wild in (np.eye(25)[0], np.full(25, np.nan), -np.ones(25), np.arange(25.0) ** 9):
        choice = np.tile(wild, (25, 1)) if name == "wasserstein" else wild
        certificate = problem.certify(best.primal, best.dual._replace(choice=choice))
        assert certificate.bound <= best.objective + EXACT
    off = best.primal._replace(multiplier=best.primal.multiplier + 0.3)
    assert problem.certify(off, best.dual).objective >= best.objective - EXACT


@pytest.mark.parametrize("name", ["kl", "chi2", "tv", "penalty", "wasserstein"])
def test_a_false_multiplier_does_not_pass(name: str) -> None:
    problem = cx.DivergenceReweighting(losses(), **PRODUCT[name])
    best = cx.solve(problem).raise_for_status()
    for change in (-0.2, 0.2):
        off = best.primal._replace(multiplier=best.primal.multiplier + change)
        assert not problem.certify(off, best.dual).passes(1e-5)


@pytest.mark.parametrize("name", PRODUCT)
def test_save_and_load(name: str, tmp_path: Path) -> None:
    solution = cx.solve(cx.DivergenceReweighting(losses(), **PRODUCT[name]))
    solution.save(tmp_path / "s.npz")
    again = cx.load(tmp_path / "s.npz")
    assert again.certificate == solution.certificate
    np.testing.assert_array_equal(again.model.weights, solution.model.weights)
    assert again.problem.ball == solution.problem.ball


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "axes": (r"losses must have 1 axes, got shape \(1, 2\)", {"losses": [[1.0, 2.0]]}),
    "empty": (r"losses must not be empty", {"losses": []}),
    "nan": (r"losses must be finite, got nan at index \(1,\)", {"losses": [0.0, np.nan]}),
    "huge": ("losses must have a finite sum, got 1e[+]308", {"losses": [1e308, -1e308]}),
    "ball": ("ball must be one of kl, chi2, cvar, tv, wasserstein, got 'l2'", {"ball": "l2"}),
    "negative": ("radius must be finite and >= 0, got -1", {"radius": -1}),
    "too much": ("radius must be <= 1 where ball is 'tv', got 1.5", {"ball": "tv", "radius": 1.5}),
    "missing": ("radius must be given: ball 'chi2' takes radius", {"ball": "chi2", "radius": None}),
    "neither": (
        "radius must be given: ball 'kl' takes radius or penalty",
        {"radius": None},
    ),
    "both": (
        "penalty must not be given beside radius: ball 'kl' takes radius or penalty",
        {"penalty": 1.0},
    ),
    "superfluous": ("level must not be given: ball 'kl' takes radius or penalty", {"level": 0.1}),
    "radius of the tail": (
        "radius must not be given: ball 'cvar' takes level",
        {"ball": "cvar", "level": 0.1},
    ),
    "level": (
        r"level must be finite and in \(0, 1\), got 1.0",
        {"ball": "cvar", "level": 1.0, "radius": None},
    ),
    "penalty": ("penalty must be finite and > 0, got 0.0", {"penalty": 0.0, "radius": None}),
    "no distances": (
        "distances must be given: ball 'wasserstein' takes radius and distances",
        {"ball": "wasserstein"},
    ),
    "only distances": (
        "radius must be given: ball 'wasserstein' takes radius and distances",
        {"ball": "wasserstein", "radius": None, "distances": np.zeros((3, 3))},
    ),
    "distances of another ball": (
        "distances must not be given: ball 'kl'",
        {"distances": np.zeros((3, 3))},
    ),
    "shape": (
        r"distances must have shape \(3, 3\), got \(3, 2\)",
        {"ball": "wasserstein", "distances": np.zeros((3, 2))},
    ),
    "sign": (
        r"distances must be >= 0, got -1.0 at index \(0, 1\)",
        {"ball": "wasserstein", "distances": np.array([[0, -1, 1], [1, 0, 1], [1, 1, 0]])},
    ),
    "diagonal": (
        r"distances must be 0 on the diagonal, got 2.0 at index \(1, 1\)",
        {"ball": "wasserstein", "distances": np.diag([0.0, 2.0, 0.0])},
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_named(case: str) -> None:
    match, changes = REFUSED[case]
    good: dict[str, Any] = {"losses": [1.0, 2.0, 3.0], "radius": 0.1}
    cx.DivergenceReweighting(**good)
    with pytest.raises(cx.ProblemError, match=match):
        cx.DivergenceReweighting(**(good | changes))


def test_no_multiplier_far_below_the_losses_hides_them() -> None:
    """``eta + mean (l - eta)_+`` is rounded away: such a point is no answer below the optimum."""
    losses = np.array([1.0, 2.0, 6.0])
    balls: list[dict[str, Any]] = [{"ball": "tv", "radius": 0.1}, {"ball": "cvar", "level": 0.5}]
    for keywords in balls:
        problem = cx.DivergenceReweighting(losses, **keywords)
        dual = cx.solve(problem).dual
        for eta in (-1e17, -1e100, -1e300):
            point = Adversary(np.array([eta]), dual.choice)
            assert problem.certify(point, dual).objective > problem.certify(point, dual).bound


@pytest.mark.parametrize("offset", [0.0, 1e6, -1e9])
def test_no_weights_earn_more_than_they_do_in_rationals(offset: float) -> None:
    rng = np.random.default_rng(1)
    losses = rng.standard_normal(9) + offset
    for _ in range(20):
        w = np.abs(rng.standard_normal(9)) / rng.uniform(1.0, 9.0)
        exact = [Fraction(float(a)) for a in w]
        true = sum(a * Fraction(float(b)) for a, b in zip(exact, losses, strict=True)) / sum(exact)
        assert true - Fraction(1, 10**5) <= Fraction(expected(w, losses)) <= true

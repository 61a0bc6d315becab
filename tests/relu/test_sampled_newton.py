"""Newton steps with the curvature of a sample: the same answers, few passes over all examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from clocks import ticked

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.driver.choice import automatic
from convexnn.relu.forms import GroupForm
from convexnn.solvers.relu import sampled_newton
from convexnn.solvers.relu.sampled_newton import Sample, principal

N, D = 90, 4


class Free:
    """A reporter that is never satisfied, with all the time there is."""

    def report(self, iteration: int, primal: Any, dual: Any) -> bool:
        return False

    def expired(self) -> bool:
        return False

    def remaining(self) -> float | None:
        return None


def data(n: int = N, outputs: int = 1, labels: bool = False) -> tuple[Array, Any]:
    rng = np.random.default_rng(5)
    X = rng.standard_normal((n, D))
    y = 2.0 * np.maximum(X[:, 0], 0.0) - np.abs(X[:, 1] - X[:, 2]) + 0.3 * rng.standard_normal(n)
    if labels:
        return X, np.where(y > np.median(y), 1.0, -1.0)
    return X, y if outputs == 1 else np.column_stack([y, y * y])


WEIGHTS = np.random.default_rng(6).uniform(0.2, 4.0, N)
KINDS: dict[str, dict[str, Any]] = {
    "squared": {},
    "squared, l1": {"penalty": "l1"},
    "logistic, intercept": {"loss": "logistic", "intercept": True},
    "huber, weights": {"loss": "huber", "weights": WEIGHTS},
    "logistic, weights": {"loss": "logistic", "weights": WEIGHTS, "bias": True},
    "outputs": {"intercept": True},
    "columns of other sizes": {},
    "columns of other sizes, l1": {"penalty": "l1", "intercept": True},
}


def gated(kind: str) -> cx.GatedReluTraining:
    options = KINDS[kind]
    X, y = data(outputs=2 if kind == "outputs" else 1, labels=options.get("loss") == "logistic")
    beta = 2.0
    if kind.startswith("columns"):
        X, beta = X * np.array([1.0, 60.0, 1.0, 0.5]), 60.0
    return cx.GatedReluTraining(X, y, beta=beta, patterns=12, **options)


@pytest.mark.parametrize("rows", [15, None])
@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_another_engine(kind: str, rows: int | None) -> None:
    problem = gated(kind)
    found = cx.solve(problem, "sampled-newton", rows=rows, tol=1e-6)
    other = cx.solve(problem, "fista", tol=1e-7)
    assert found.status is other.status is cx.Status.OPTIMAL
    size = max(1.0, other.objective)
    assert found.bound <= other.objective + 1e-9 * size
    assert other.bound <= found.objective + 1e-9 * size
    assert abs(found.objective - other.objective) <= 2e-6 * size


def test_features_of_a_lasso_are_blocks_of_one_weight() -> None:
    X, y = data()
    problem = cx.SampledReluTraining(X, y, beta=0.5, neurons=40)
    found = cx.solve(problem, "sampled-newton", rows=30, tol=1e-7)
    assert found.status is cx.Status.OPTIMAL
    assert found.objective <= cx.solve(problem, "fista", tol=1e-7).objective * (1.0 + 2e-7)


def test_the_sample_grows_to_all_examples_where_it_foretells_badly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes = []
    begin = Sample.__init__

    def watched(self: Sample, form: Any, scale: Any, free: Any, chosen: Any) -> None:
        sizes.append(len(chosen))
        begin(self, form, scale, free, chosen)

    monkeypatch.setattr(Sample, "__init__", watched)
    assert cx.solve(gated("squared"), "sampled-newton", rows=6).status is cx.Status.OPTIMAL
    assert sizes == [6, 24, 90]
    sizes.clear()
    cx.solve(gated("squared"), "sampled-newton")
    assert sizes == [N]


def test_the_model_is_what_its_formula_says() -> None:
    form: Any = gated("huber, weights").canonical(GroupForm)
    scale = principal(form)
    chosen = np.arange(0, N, 3)
    z = np.random.default_rng(7).standard_normal(N)
    used = np.arange(form.slopes.shape[1]) % 2 == 0
    slope = form.correlate(form.loss.gradient(z, form.y))
    model = Sample(form, scale, None, chosen).model(used, z, slope, np.zeros(D))
    d = np.random.default_rng(8).standard_normal((np.count_nonzero(used), D))
    bent, _ = model._bent(model._predict(d @ scale.to.T, np.zeros(D)))
    blocks = np.hstack([form.block(p)[chosen] for p in np.flatnonzero(used)])
    least = sampled_newton.FLAT * form.loss.curvature
    weights = np.maximum(form.loss.hessian(z, form.y), least)[chosen] * (N / len(chosen))
    expected = (blocks.T @ (weights * (blocks @ d.ravel()))).reshape(d.shape)
    assert np.allclose(bent, expected @ scale.back, rtol=1e-4, atol=1e-4 * np.abs(bent).max())


@pytest.mark.parametrize("kind", ["squared", "squared, l1", "logistic, intercept"])
def test_the_model_falls_by_what_is_told(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampled_newton, "SOLVED", 1e-4)

    form: Any = gated(kind).canonical(GroupForm)
    form = form._replace(beta=15.0 * form.beta)
    rng = np.random.default_rng(9)
    rows = rng.standard_normal((form.blocks, D)) * (rng.random((form.blocks, 1)) < 0.5)
    skip, used = form.still(), np.ones(form.slopes.shape[1], np.bool_)
    z = form.predict(rows)
    gradient = form.loss.gradient(z, form.y)
    free = sampled_newton._free(form)
    sample = Sample(form, principal(form), free, np.arange(N))
    slope_skip = form.span.T @ gradient if form.skip else np.zeros_like(skip)
    model = sample.model(used, z, form.correlate(gradient), slope_skip)
    new, new_skip, fall = model.minimised(rows, skip, 300, Free())
    d = form.predict(new) + form.free(new_skip) - z
    h = np.maximum(form.loss.hessian(z, form.y), sampled_newton.FLAT * form.loss.curvature)
    before, after = (form.beta * form.norm.value(part).sum() for part in (rows, new))
    expected = before - after - float(gradient @ d) - 0.5 * float(h @ (d * d))
    assert fall > 0.0
    assert np.isclose(fall, expected, rtol=1e-4)
    if kind != "logistic, intercept":
        assert np.count_nonzero(model._used) < len(used)  # some were set aside,
        assert np.any(~new.any(axis=1) & rows.any(axis=1))  # and among them what was not zero


def test_a_start_at_the_answer_takes_few_steps() -> None:
    problem = gated("logistic, intercept")
    first = cx.solve(problem, "sampled-newton", tol=1e-6)
    again = cx.solve(problem, "sampled-newton", start=first, tol=1e-6, max_iter=1)
    assert again.status is cx.Status.OPTIMAL
    assert cx.solve(problem, "sampled-newton", tol=1e-6, max_iter=1).status is cx.Status.MAX_ITER


@pytest.mark.parametrize("seconds", [3, 20])
def test_time_is_looked_at_inside_a_model(seconds: int) -> None:
    solution, late = ticked(gated("squared"), "sampled-newton", seconds)
    assert late <= 12
    assert np.isfinite(solution.objective)


def test_what_it_cannot_take_is_refused() -> None:
    X, y = data()
    _, labels = data(labels=True)

    def said(problem: Any) -> str | None:
        return cx.backends(problem).reasons["sampled-newton"]

    assert said(cx.ReluTraining(X, y, beta=1.0, patterns=5)) == "its blocks are in cones"
    hinge = cx.GatedReluTraining(X, labels, beta=1.0, loss="hinge", patterns=5)
    assert said(hinge) == "its loss has kinks"
    risk = cx.GatedReluTraining(X, y, beta=1.0, patterns=5, risk=cx.Cvar(0.2))
    assert said(risk) == "its loss couples examples or outputs"
    with pytest.raises(ValueError, match="rows must be"):
        cx.solve(gated("squared"), "sampled-newton", rows=0)


def test_many_examples_with_gates_go_there_by_themselves() -> None:
    X, y = data(1_501)
    problem = cx.GatedReluTraining(X, y, beta=80.0, patterns=10)
    assert automatic(problem) == "sampled-newton"
    few = cx.GatedReluTraining(X[:1_000], y[:1_000], beta=80.0, patterns=10)
    assert automatic(few) == "admm"
    cones = cx.ReluTraining(X, y, beta=80.0, patterns=10)
    assert automatic(cones) != "sampled-newton"


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("rows", [None, 5])
def test_a_constant_alone_is_found_where_no_neuron_pays(outputs: int, rows: int | None) -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((12, 3)), rng.standard_normal((12, outputs))
    problem = cx.GatedReluTraining(X, Y, patterns=5, beta=1e4, intercept=True)
    options: dict[str, Any] = {} if rows is None else {"rows": rows}
    found = cx.solve(problem, backend="sampled-newton", **options)
    assert found.status is cx.Status.OPTIMAL, found.message
    assert found.objective == pytest.approx(0.5 * np.sum(np.square(Y - Y.mean(axis=0))))

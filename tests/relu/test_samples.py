"""Many examples: searches and relaxations begin on samples, and the bound has time of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.backend import Options
from convexnn.relu import samples
from convexnn.relu.forms import NetworkForm, Neurons, PooledNetworkForm
from convexnn.relu.relaxation import improve, relaxed_bound
from convexnn.relu.samples import growing
from convexnn.solvers.relu import cell_walk, lbfgs


def declared(n: int = 400, d: int = 6, **more: Any) -> cx.ReluTraining:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    y = np.maximum(X @ rng.standard_normal((d, 3)), 0.0).sum(axis=1)
    return cx.ReluTraining(X, y + 0.1 * rng.standard_normal(n), beta=2.0, **more)


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "LONG", 300)
    monkeypatch.setattr(samples, "FEWEST", 50)
    monkeypatch.setattr(lbfgs, "LONG", 300)


class Free:
    """The reporter of a run without a limit."""

    def report(self, iteration: int, primal: Any, dual: Any) -> bool:
        return False

    def expired(self) -> bool:
        return False

    def remaining(self) -> float | None:
        return None


@pytest.mark.parametrize("more", [{}, {"skip": True}, {"weights": np.linspace(0.5, 2.0, 400)}])
def test_a_sample_of_every_example_is_the_problem(more: dict[str, Any]) -> None:
    form = declared(**more).canonical(NetworkForm)
    rng = np.random.default_rng(1)
    V, W = rng.standard_normal((2, form.X.shape[1], 2))
    network = Neurons(V, W, form.still() + 0.1)
    order = rng.permutation(400)
    assert form.sampled(order).objective(network) == pytest.approx(form.objective(network))
    half = form.sampled(order[:200])
    assert half.beta == 0.5 * form.beta
    assert np.array_equal(half.predict(network), form.predict(network)[order[:200]])


def test_a_sample_keeps_the_rows_of_each_bag() -> None:
    images = np.random.default_rng(0).standard_normal((6, 4, 4))
    y = images.sum(axis=(1, 2))
    form = cx.ConvReluTraining(images, y, beta=0.1, filter_size=2).canonical(PooledNetworkForm)
    network = Neurons(np.ones((form.X.shape[1], 1)), np.zeros((form.X.shape[1], 0)), form.still())
    rows = np.array([4, 1])
    assert form.sampled(rows).predict(network) == pytest.approx(form.predict(network)[rows])


@pytest.mark.usefixtures("long")
def test_samples_lead_to_a_network_as_good() -> None:
    form = declared().canonical(NetworkForm)
    plain = Options(1e-6, None, 0, {})
    grown = next(lbfgs.search(form, 1, 20, plain, Free()))
    begin = lbfgs.random_network(form, 20, np.random.default_rng(0))
    whole = lbfgs.descend(form, begin, lbfgs.MAX_ITER, Free())
    assert [len(rows) for rows in growing(400)] == [50, 200]
    assert form.objective(grown) <= 1.02 * form.objective(whole)


def test_the_relaxation_begun_on_a_sample_proves_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    form = declared().canonical(NetworkForm)
    whole = relaxed_bound(form, improve(form, form.y))
    monkeypatch.setattr(samples, "LONG", 300)
    monkeypatch.setattr(samples, "FEWEST", 50)
    assert relaxed_bound(form, improve(form, form.y)) >= 0.95 * whole
    # and some of it when time is up at once
    assert relaxed_bound(form, improve(form, form.y, expired=lambda: True)) > 0.0


class Ticking(Free):
    """The reporter of a run whose time is the looks that are taken at the clock."""

    def __init__(self, looks: int) -> None:
        self.left = looks

    def expired(self) -> bool:
        self.left -= 1
        return self.left <= 0

    def remaining(self) -> float:
        return 1.0 * max(self.left, 0)


def test_a_search_without_end_leaves_time_for_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(form: Any, begin: Neurons, limit: int, reporter: Any, **more: Any) -> Neurons:
        while not reporter.expired():
            pass
        return begin

    class Reached(Exception):
        pass

    def reached(*given: Any, **more: Any) -> None:
        raise Reached

    monkeypatch.setattr(lbfgs, "descend", endless)
    monkeypatch.setattr(cell_walk, "improve", reached)
    form, plain = declared().canonical(NetworkForm), Options(1e-6, None, 0, {})
    walk = cell_walk.Walk(form, plain, Ticking(100), 10, 10)
    with pytest.raises(Reached):
        walk.run(cell_walk.DEFAULTS, None)

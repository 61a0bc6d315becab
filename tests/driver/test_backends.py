"""The table of backends: what each is for, its options, and what stands in its way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract import backend as contract
from convexnn.solvers.engine import engines

X = np.random.default_rng(0).standard_normal((12, 2))
PROBLEM = cx.ReluTraining(X, X[:, 0], beta=0.1, patterns=4)


def paragraphs(text: str) -> dict[str, str]:
    """Return what is said of each backend, in one line."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if not line.startswith(" "):
            name, _, line = line.partition(" ")
        found[name] = f"{found.get(name, '')} {line.strip()}".strip()
    return found


def test_every_engine_says_what_it_is_for_and_its_options() -> None:
    said = paragraphs(str(cx.backends()))
    assert list(said) == list(cx.backends().reasons)
    for engine in engines():
        kinds, colon, method = engine.capabilities.about.partition(": ")
        assert kinds
        assert colon
        assert method
        for name, values in engine.options().items():
            assert name in said[engine.name]
            for value in values:
                assert value is None or f"{value}" in said[engine.name]
        assert engine.available() or engine.capabilities.about in said[engine.name]
    assert "relax=1.6 or 1.8" in said["admm"]


def test_of_a_problem_the_options_of_its_form_are_told() -> None:
    said = paragraphs(str(cx.backends(PROBLEM)))
    assert "options: rho, sigma, relax=1.6" in said["admm"]
    assert "1.8" not in said["admm"]
    assert said["newton"] == (
        "no: it does not take this ReluTraining; it is for geometric medians, Wasserstein fits "
        "and portfolios"
    )
    assert said["cvxpy:scipy"].startswith("no: no quadratic objectives")


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_longer_than_the_terminal(width: int) -> None:
    table = cx.backends()
    assert max(map(len, table.text(width).splitlines())) <= width
    assert paragraphs(table.text(width)) == paragraphs(str(table))


def test_refusals_have_no_names_of_forms() -> None:
    problems: list[Any] = [
        PROBLEM,
        cx.GeometricMedian(X),
        cx.RobustReluTraining(X, np.sign(X[:, 0]), beta=0.1, radius=0.1),
        cx.ReluTraining(np.tile(X, (30, 1)), np.tile(X[:, 0], 30), beta=0.1),
    ]
    for problem in problems:
        for name, reason in cx.backends(problem).reasons.items():
            assert reason is None or "Form" not in reason, (name, reason)


def test_a_backend_of_somebody_else_needs_no_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain:
        name = "plain"
        capabilities = cx.Capabilities(())

        def available(self) -> None:
            return None

        def refuses(self, problem: Any) -> None:
            return None

        def prepare(self, form: Any) -> None:
            pass

        def run(self, form: Any, options: Any, reporter: Any, start: Any = None) -> cx.Raw:
            return cx.Raw(cx.Outcome.FINISHED)

    monkeypatch.setattr(contract, "_registered", dict(contract._registered))
    cx.register(Plain())
    assert paragraphs(str(cx.backends()))["plain"] == "ready"
    assert "ReluTraining offers" in str(cx.backends(PROBLEM).reasons["plain"])

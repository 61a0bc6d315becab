"""What objects show of themselves: ten lines at most, and no array's entries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.brief import LINES, in_brief, shortened
from convexnn.workflows.stackelberg import Round

FOLDER = Path(__file__).parent / "driver" / "saved"
SAVED = [path for path in sorted(FOLDER.glob("*.npz")) if path.stem != "network"]
RNG = np.random.default_rng(0)
X = RNG.standard_normal((80, 3))
NETWORK = cx.TwoLayerNetwork(np.eye(3), np.ones((3, 1)), np.zeros(3), classes=np.array([0, 1]))


def fits(shown: str) -> bool:
    lines = shown.splitlines()
    return len(lines) <= LINES and max(map(len, lines)) <= 200 and "array([" not in shown


@pytest.mark.parametrize("path", SAVED, ids=lambda path: path.stem)
def test_problems_models_and_solutions_are_short(path: Path) -> None:
    solution = cx.load(path)
    for one in (solution, solution.problem, solution.model):
        assert fits(repr(one)), repr(one)
        assert fits(str(one)), str(one)
        assert repr(one).startswith(type(one).__name__)


def game(rounds: int) -> cx.Game[Any]:
    history = tuple(Round(1.0 + k, 1.0, 1.0, 0.1, 1.0, 0) for k in range(rounds))
    worst = cx.solve(cx.WorstCaseMargins(X[:, 0], radius=0.1)).model
    return cx.Game(len, 1.0, X[:, 0], X[:, 0], worst, (-1.0, 1.0), history, 0, True, "All said.")


@pytest.mark.parametrize(
    "build",
    [
        lambda: game(1),
        lambda: game(300),
        lambda: cx.solve(cx.WorstCaseMargins(X[:, 0], radius=0.1)).model,
        lambda: cx.output_range(NETWORK, -np.ones(3), np.ones(3)),
        lambda: cx.attack(NETWORK, X, np.arange(80) % 2, radius=0.1),
        lambda: cx.robustness(NETWORK, X, np.arange(80) % 2, radius=0.1),
        lambda: cx.compile(cx.GeometricMedian(X)),
        lambda: cx.compare(cx.GeometricMedian(X), ["newton"] * 20),
        lambda: cx.GeometricMedian(X, weights=np.arange(80.0)),
        lambda: cx.LinearModel(np.arange(500.0), 1.0, None, None),
        cx.backends,
    ],
)
def test_results_are_short(build: Any) -> None:
    assert fits(repr(build())), repr(build())


def test_printed_tables_are_whole() -> None:
    result = cx.compare(cx.GeometricMedian(X), ["newton"] * 20)
    assert len(str(result).splitlines()) == 22
    assert "... 15 lines more, which print shows" in repr(result)
    assert repr(result).splitlines()[-1] == str(result).splitlines()[-1]


def test_a_game_tells_its_best_round() -> None:
    text = str(game(300))
    assert "Game of 300 rounds, settled" in text
    assert "best round: 0, worst-case value 1; 1 with weights of 1" in text
    assert "..., 300" in text
    assert "All said." in text


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (np.zeros((2, 3)), "array of shape (2, 3)"),
        (np.array([1.5, 2.0]), "[1.5, 2.0]"),
        (np.zeros(9, int), "int64 array of shape (9,)"),
        (np.float64(0.1), "0.1"),
        ([0.1] * 3, "[0.1, 0.1, 0.1]"),
        (tuple(range(9)), "9 int"),
        ("a" * 100, f"'{'a' * 56}..."),
        (len, "len"),
        (object(), "object"),
    ],
)
def test_values_in_brief(value: Any, says: str) -> None:
    assert in_brief(value) == says


def test_short_texts_are_whole() -> None:
    text = "\n".join(map(str, range(LINES)))
    assert shortened(text) == text
    assert len(shortened(f"{text}\nlast").splitlines()) < LINES

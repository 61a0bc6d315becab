"""Digits that move: a gated convolution with average pooling against a plain gated network.

Both are trained to a certified optimum on digits in the middle of an empty canvas (scikit-learn's,
8 x 8 pixels) and tested on others, there and moved by a few pixels. The canvas leaves room for
every patch of a moved digit, so that the average over all patches does not change: the convolution
predicts the same wherever the digit is. The plain network is a little better on digits that did
not move, as average pooling forgets where a stroke was, and loses them with the first pixel.

Run it (extra: data; minutes, --quick seconds)::

    python docs/examples/convolution.py
"""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import convexnn as cx

SIZE = 5  # of a filter
MOVES = (0, 1, 2)  # pixels, to the right and down
BETA = 0.1
TOL = 1e-3


class Task(NamedTuple):
    """Images and their classes, to train on and to test on.

    Attributes
    ----------
    X, y : array
        Training images, (n, h, w), and classes.
    tests : dict of int to array
        Test images by how far they are moved.
    truth : array
        Their classes.
    """

    X: Any
    y: Any
    tests: dict[int, Any]
    truth: Any


def placed(digits: Any, move: int) -> Any:
    """Return digits on a canvas, moved from its middle."""
    room = SIZE - 1 + max(MOVES)
    return np.pad(digits, ((0, 0), (room + move, room - move), (room + move, room - move)))


def task(examples: int) -> Task:
    """Return part of the digits to train on, the rest to test on."""
    digits = load_digits()
    X, other, y, truth = train_test_split(
        digits.images / 16.0,
        digits.target,
        train_size=examples,
        stratify=digits.target,
        random_state=0,
    )
    return Task(placed(X, 0), y, {move: placed(other, move) for move in MOVES}, truth)


def flat(images: Any) -> Any:
    """Return images as rows."""
    return images.reshape(len(images), -1)


def main() -> None:
    """Train both, print the accuracies."""
    parser = argparse.ArgumentParser(description="Accuracy on digits that move.")
    parser.add_argument("--quick", action="store_true", help="few examples, one against the rest")
    asked = parser.parse_args()
    examples, patterns, loss = (200, 20, "squared") if asked.quick else (1000, 50, "softmax")
    given = task(examples)
    target = np.eye(10)[given.y] if loss == "squared" else given.y
    common: dict[str, Any] = {"beta": BETA, "loss": loss, "patterns": patterns, "bias": True}
    plain = cx.solve(cx.GatedReluTraining(flat(given.X), target, **common), tol=TOL)
    pooled = cx.solve(
        cx.ConvGatedReluTraining(given.X, target, filter_size=SIZE, **common), tol=TOL
    )
    print(f"{examples} digits, {loss} loss, accuracy by pixels moved")
    print("network,     gap," + ",".join(f"{move:>6}" for move in MOVES))
    for name, solution, shaped in (("plain", plain, flat), ("convolution", pooled, np.asarray)):
        cells = []
        for images in given.tests.values():
            z = solution.model.predict(shaped(images))
            guess = z.argmax(axis=1) if loss == "squared" else z
            cells.append(f"{np.mean(guess == given.truth):>6.3f}")
        print(f"{name:<11},{solution.gap:>8.0e},{','.join(cells)}")


if __name__ == "__main__":
    main()

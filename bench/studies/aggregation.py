"""Accuracy by rule of aggregation and attack, on scikit-learn's digits.

``python bench/studies/aggregation.py [--quick]`` prints a table an attack and keeps all runs in
bench/studies/results. Twenty clients with equal shares train ten classes with a linear softmax
model; each sends its momentum of stochastic gradients. The attacks are those of the library ByzFL,
by their formulas: faulty clients know what the honest ones send, h_1 .. h_k, and send all the same

- sign flipping: ``-mean(h)``;
- inner product: ``-2 mean(h)``, its inner-product manipulation;
- ALIE: ``mean(h) + 1.5 std(h)`` in each coordinate, a little is enough;
- Gaussian: normal noise of standard deviation 1, each its own;
- label flipping: their own honest gradient, of examples of class c called 9 - c.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from harness import Table
from sklearn.datasets import load_digits

import convexnn as cx
from convexnn.contract.arrays import Array, LabelArray
from convexnn.workflows.aggregate import METHODS

CLIENTS, BATCH, STEP, MOMENTUM = 20, 32, 1.0, 0.9
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.45)
ATTACKS = ("sign flipping", "inner product", "ALIE", "Gaussian", "label flipping")
COLUMNS = ("attack", "rule", "share", "seed", "accuracy", "note")


class Rule(NamedTuple):
    """A rule and what stands before it."""

    method: str
    before: str | None = None

    def __str__(self) -> str:
        return self.method if self.before is None else f"{self.before}, {self.method}"


RULES = [
    *map(Rule, METHODS),
    Rule("trimmed-mean", "nearest-neighbour-mixing"),
    Rule("geometric-median", "nearest-neighbour-mixing"),
    Rule("trimmed-mean", "bucketing"),
]


def gradient(W: Array, X: Array, y: LabelArray) -> Array:
    """Return the gradient of the mean logistic loss of ten classes."""
    z = X @ W
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(y)), y] -= 1.0
    found: Array = X.T @ p / len(y)
    return found


def faults(attack: str, honest: Array, count: int, rng: np.random.Generator) -> Array:
    """Return what faulty clients send who know the honest updates."""
    mean = honest.mean(axis=0)
    if attack == "Gaussian":
        return rng.standard_normal((count, honest.shape[1]))
    sent = {
        "sign flipping": -mean,
        "inner product": -2.0 * mean,
        "ALIE": mean + 1.5 * honest.std(axis=0, ddof=1),
    }[attack]
    return np.tile(sent, (count, 1))


def train(rule: Rule, attack: str, share: float, rounds: int, seed: int) -> float:
    """Return the accuracy on test data after these rounds."""
    rng = np.random.default_rng(seed)
    X, y = load_digits(return_X_y=True)
    X = np.hstack([X / 16.0, np.ones((len(X), 1))])
    order = rng.permutation(len(y))
    test, parts = order[:400], np.array_split(order[400:], CLIENTS)
    faulty = round(share * CLIENTS)
    W = np.zeros((X.shape[1], 10))
    momenta = np.zeros((CLIENTS, W.size))
    for turn in range(rounds):
        for client, part in enumerate(parts):
            batch = rng.choice(part, BATCH)
            flipped = client < faulty and attack == "label flipping"
            g = gradient(W, X[batch], 9 - y[batch] if flipped else y[batch])
            momenta[client] = MOMENTUM * momenta[client] + (1.0 - MOMENTUM) * g.ravel()
        updates = momenta.copy()
        if faulty and attack != "label flipping":
            updates[:faulty] = faults(attack, momenta[faulty:], faulty, rng)
        step = cx.aggregate(
            updates, method=rule.method, before=rule.before, faulty=faulty, seed=turn
        )
        W -= STEP * step.reshape(W.shape)
    return float(np.mean(np.argmax(X[test] @ W, axis=1) == y[test]))


def known(path: Path) -> dict[tuple[str, ...], dict[str, Any]]:
    """Return the rows of today's table, with which a run that was stopped goes on."""
    if not path.exists():
        return {}
    with path.open() as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    return {
        tuple(row[name] for name in COLUMNS[:4]): {
            "accuracy": float(row["accuracy"]) if row["accuracy"] else None,
            "note": row["note"],
        }
        for row in rows
    }


def runs(quick: bool, done: dict[tuple[str, ...], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the rows of the table; without faulty clients all attacks are one."""
    seeds, rounds, shares = (1, 20, (0.0, 0.4)) if quick else (1, 50, SHARES)
    for attack in ("none", *ATTACKS):
        for rule in RULES:
            for share in shares:
                if (share == 0.0) != (attack == "none"):
                    continue
                for seed in range(seeds):
                    row = {"attack": attack, "rule": str(rule), "share": share, "seed": seed}
                    found = done.get((attack, str(rule), f"{share:.3g}", str(seed)))
                    if found is not None:
                        yield row | {name: v for name, v in found.items() if v is not None}
                        continue
                    try:
                        yield row | {"accuracy": train(rule, attack, share, rounds, seed)}
                    except cx.ProblemError as error:  # more faulty clients than it bears
                        yield row | {"note": str(error)}


def tables(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table an attack: mean accuracy over the seeds, in per cent."""
    for attack in ATTACKS:
        shares = sorted({row["share"] for row in rows})
        yield f"| {attack} |" + "".join(f" {share:.0%} |" for share in shares)
        yield "|---" * (len(shares) + 1) + "|"
        for rule in map(str, RULES):
            cells = [_mean(rows, attack if share else "none", rule, share) for share in shares]
            yield f"| {rule} |" + "".join(f" {cell} |" for cell in cells)
        yield ""


def _mean(rows: list[dict[str, Any]], attack: str, rule: str, share: float) -> str:
    own = [r for r in rows if (r["attack"], r["rule"], r["share"]) == (attack, rule, share)]
    scores = [row["accuracy"] for row in own if "accuracy" in row]
    return f"{100.0 * np.mean(scores):.1f}" if scores else "-"


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed, few rounds, two shares")
    quick = parser.parse_args().quick
    table = Table("aggregation", COLUMNS, quick, "median")
    rows: list[dict[str, Any]] = []
    for row in runs(quick, known(table.path)):
        rows.append(row)
        table.add(**row)
    print("\n".join(tables(rows)))


if __name__ == "__main__":
    main()

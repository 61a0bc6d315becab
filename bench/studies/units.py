"""Which engine suits columns in units of their own: every engine on each, recorded.

    python bench/studies/units.py

The choice of "auto" is held to twice the best of these rows by ``tests/relu/test_preference.py``.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import convexnn as cx
from convexnn.forms import GroupForm
from convexnn.relu.preference import share_of

RESULTS = Path(__file__).parent / "results"
ENGINES = ("semismooth", "ipm", "admm", "fista")
SHARES = (0.3, 0.03, 0.008, 0.001)  # beta, of the least that leaves nothing without cones
LIMIT = 3.0  # seconds of a run
ONCE = 0.3  # seconds from which a run is not done again
REPEATS = 3

Data = tuple[Any, Any]


def people() -> Data:
    """Draw ages beside salaries, and what takes both."""
    rng = np.random.default_rng(0)
    ages, pays = rng.uniform(20.0, 70.0, 200), rng.uniform(1e4, 1e5, 200)
    worth = (ages - 45.0) / 25.0 * (pays - 55e3) / 45e3 + (ages - 45.0) / 80.0
    return np.column_stack([ages, pays]), worth + 0.15 * rng.standard_normal(200)


def drawn(n: int, d: int, ratio: float, offset: float, seed: int) -> Data:
    """Draw a teacher's data, the columns in units that grow by a ratio, about an offset."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) + offset
    z = np.maximum(X @ rng.standard_normal((d, 4)), 0.0) @ rng.standard_normal(4)
    z = (z - z.mean()) / z.std() + 0.2 * rng.standard_normal(n)
    return X * np.geomspace(1.0, ratio, d), z


DATA: dict[str, Callable[[], Data]] = {
    "ages beside salaries": people,
    "units 1:1e3": lambda: drawn(200, 6, 1e3, 0.0, 1),
    "units 1:1e5, off zero": lambda: drawn(300, 4, 1e5, 3.0, 2),
    "far from zero": lambda: drawn(200, 4, 1.0, 1e3, 3),
}
KINDS: dict[str, Any] = {"cones": cx.ReluTraining, "gates": cx.GatedReluTraining}


def problems() -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield what tells each problem from others, and the problem."""
    for kind, build in KINDS.items():
        for name, draw in DATA.items():
            X, z = draw()
            for loss in ("squared", "logistic"):
                y = z if loss == "squared" else np.where(z > 0.0, 1.0, -1.0)
                base = build(X, y, beta=1.0, loss=loss, patterns=30, bias=True)
                unit = 1.0 / share_of(base.canonical(GroupForm))
                for share in SHARES:
                    told = {"program": kind, "data": name, "loss": loss, "share": share}
                    yield told, base.at(share * unit)


def measured(problem: Any, engine: str) -> tuple[str, float]:
    """Return how an engine ended, and its processor seconds, the least of a few runs."""
    least = np.inf
    for _ in range(REPEATS):
        begin = time.process_time()
        solution = cx.solve(problem, engine, time_limit=LIMIT)
        least = min(least, time.process_time() - begin)
        if least > ONCE:
            break
    return solution.status.name, least


def main() -> None:
    """Measure all, and write the rows."""
    path = RESULTS / f"relu-units-{datetime.now(UTC):%Y-%m-%d}.csv"
    with path.open("w", newline="") as file:
        rows = csv.DictWriter(
            file, ["program", "data", "loss", "share", "engine", "status", "seconds"]
        )
        rows.writeheader()
        for told, problem in problems():
            for engine in ENGINES:
                status, seconds = measured(problem, engine)
                rows.writerow(
                    told | {"engine": engine, "status": status, "seconds": f"{seconds:.4g}"}
                )
                file.flush()


if __name__ == "__main__":
    main()

"""A network trained through median pooling, where some instances of each bag are wrong.

A bag is a set of points of the plane, its label whether they lie near the smaller or the larger of
two circles. A network maps each point to features, a pooling layer makes one vector of a bag's, a
linear layer decides. A share of the points is thrown far away, in training and in testing. All is
trained at once, through the mean, the median of each feature or the geometric median, which is
`convexnn.torch.geometric_median`.

Run it (extra: torch; a minute, --quick some seconds)::

    python docs/examples/median_pooling.py
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from convexnn.torch import geometric_median

POINTS, FEATURES = 15, 4
RADII = (1.0, 1.6)
FAR = 20.0
SHARES = (0.0, 0.2, 0.4)
POOLS: dict[str, Callable[[Any], Any]] = {
    "mean": lambda h: h.mean(dim=1),
    "median of each": lambda h: h.median(dim=1).values,
    "geometric median": geometric_median,
}


def draw(bags: int, share: float, rng: np.random.Generator) -> tuple[Any, Any]:
    """Return bags of points, (bags, POINTS, 2), and their labels."""
    y = rng.integers(2, size=bags)
    angle = rng.uniform(0.0, 2.0 * np.pi, (bags, POINTS))
    radius = np.array(RADII)[y][:, None] + 0.3 * rng.standard_normal((bags, POINTS))
    wrong = np.arange(POINTS) < round(share * POINTS)
    radius = np.where(wrong, FAR * rng.uniform(0.5, 1.5, (bags, POINTS)), radius)
    X = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return torch.tensor(X), torch.tensor(y, dtype=torch.float64)


def accuracy(pool: Callable[[Any], Any], share: float, seed: int, steps: int, batch: int) -> float:
    """Return the share of right answers on new bags after training."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    features = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, FEATURES)).double()
    decide = nn.Linear(FEATURES, 1).double()
    adam = torch.optim.Adam([*features.parameters(), *decide.parameters()], lr=0.02)
    for _ in range(steps):
        X, y = draw(batch, share, rng)
        loss = nn.functional.binary_cross_entropy_with_logits(decide(pool(features(X)))[:, 0], y)
        adam.zero_grad()
        loss.backward()
        adam.step()
    X, y = draw(500, share, rng)
    with torch.no_grad():
        said = decide(pool(features(X)))[:, 0] > 0.0
    return float((said == (y > 0.5)).double().mean())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Pooling layers where instances are wrong.")
    parser.add_argument("--quick", action="store_true", help="one seed, fewer steps")
    quick = parser.parse_args().quick
    seeds, steps, batch = (1, 60, 16) if quick else (3, 100, 24)
    print(f"accuracy on new bags, mean of {seeds} seed{'' if seeds == 1 else 's'}")
    print(f"{'wrong points':<18}" + "".join(f"{share:>8.0%}" for share in SHARES))
    for name, pool in POOLS.items():
        cells = [
            np.mean([accuracy(pool, share, seed, steps, batch) for seed in range(seeds)])
            for share in SHARES
        ]
        print(f"{name:<18}" + "".join(f"{cell:>8.3f}" for cell in cells))


if __name__ == "__main__":
    main()

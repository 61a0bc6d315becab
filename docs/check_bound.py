"""Check a lower bound over all two-layer networks from its multipliers, with NumPy alone.

    convexnn certify model.npz --proof proof.npz
    python docs/check_bound.py proof.npz

For networks ``f(x) = sum_j a_j act(x'u_j)``, ``act(t) = max(t, leak t)``, the file holds X, y,
beta, the loss, a dual point mu, and multipliers that bound how any neuron of unit norm responds to
it: ``|mu'act(X u)| <= R``. Then no network has an objective ``sum_i l(f(x_i); y_i) + beta sum_j
|a_j| ||u_j||`` below ``sum_i -l*(-t mu_i; y_i)`` for any ``t <= beta / R``.
"""

import sys

import numpy as np


def factors(unit: np.ndarray) -> np.ndarray:
    """Return 1, p, q, 1 - p, 1 - q as rows over (1, u, p): none is negative at a neuron."""
    m, d = unit.shape
    one = np.zeros((1, 1 + d + m))
    one[0, 0] = 1.0
    p = np.hstack([np.zeros((m, 1 + d)), np.eye(m)])
    q = np.hstack([np.zeros((m, 1)), -unit, np.eye(m)])
    return np.vstack([one, p, q, one - p, one - q])


def cells(tree: list[int], root: np.ndarray) -> list[np.ndarray]:
    """Return on which sides of the planes each leaf of a tree is."""
    m, found, left = len(root), [], [root]
    for entry in tree:
        cell = left.pop()
        if entry == 0:
            found.append(cell)
        else:
            left += [np.where(np.arange(m) == entry - 1, sign, cell) for sign in (-1.0, 1.0)]
    assert not left, "the tree does not cover the ball"
    return found


def largest(unit, c, first, second, weight, equal, share, fixed) -> float:
    """Return a bound on ``c'(p, q)`` over the neurons of a cell: g + h, and what K lacks."""
    m, d = unit.shape
    Z = factors(unit)
    W = np.zeros((len(Z), len(Z)))
    np.add.at(W, (first, second), np.maximum(weight, 0.0))
    W[0, 1 : 1 + 2 * m] += c
    W[np.arange(1, 1 + m), np.arange(1 + m, 1 + 2 * m)] += equal
    T = np.eye(1 + d + m)
    for i in np.flatnonzero(fixed):  # there p_i is x_i'u, or 0
        T[1 + d + i] = 0.0
        T[1 + d + i, 1 : 1 + d] = unit[i] * (fixed[i] > 0)
    T = T[:, np.concatenate([np.ones(1 + d, bool), fixed == 0])]
    K = -T.T @ (0.5 * Z.T @ (W + W.T) @ Z) @ T
    K[np.arange(1, 1 + d), np.arange(1, 1 + d)] += share
    ridge = 1e-12 * np.trace(K[1:, 1:]) * np.eye(len(K) - 1)
    g = -K[0, 0] + K[0, 1:] @ np.linalg.solve(K[1:, 1:] + ridge, K[1:, 0])
    K[0, 0] += g
    lacking = max(0.0, -np.linalg.eigvalsh(K)[0]) + 1e-14 * len(K) * np.abs(K).sum(axis=1).max()
    return g + share + lacking * (2.0 + m)


def conjugate(loss: str, s, y, delta: float) -> np.ndarray:
    """Return ``l*(s; y)``."""
    if loss == "squared":
        return s * (0.5 * s + y)
    if loss == "huber":
        return np.where(np.abs(s) <= delta, s * (0.5 * s + y), np.inf)
    share = -s * y  # of the slope -1 in y z
    inside = (share >= 0.0) & (share <= 1.0)
    if loss == "hinge":
        return np.where(inside, -share, np.inf)
    a = np.clip(share, 1e-300, 1.0)
    b = np.clip(1.0 - share, 1e-300, 1.0)
    return np.where(inside, share * np.log(a) + (1.0 - share) * np.log(b), np.inf)


def bound(file: str) -> float:
    """Return the bound that a file proves."""
    held = np.load(file)
    X, y, mu, rows, leak = held["X"], held["y"], held["mu"], held["rows"], float(held["leak"])
    (n, d), signs = X.shape, held["signs"] if "signs" in held else np.zeros(X.shape[1])
    X = np.vstack([X, np.eye(d)[signs != 0]])  # further rows, on a known side for all neurons
    known = np.append(np.zeros(n), signs[signs != 0])[rows]
    length = np.linalg.norm(X[rows], axis=1)
    unit = X[rows] / (length * (1.0 + 1e-12))[:, None]
    m = len(unit)
    products = X @ unit.T
    owner = np.argmax(np.abs(products), axis=1)
    size = products[np.arange(len(X)), owner]
    off = np.linalg.norm(X - size[:, None] * unit[owner], axis=1)
    ahead, back = np.zeros(m), np.zeros(m)  # weights of p and q that mu'act(X u) has
    for i, (k, t, w) in enumerate(zip(owner[:n], size[:n], mu, strict=True)):
        assert off[i] < 1e-6 * (1.0 + abs(t)), "a row is no multiple of those that stand for all"
        ahead[k] += w * (t if t > 0.0 else leak * t)
        back[k] += w * (-leak * t if t > 0.0 else -t)
    worth = 0.0
    for s, sign in enumerate((1.0, -1.0)):
        c = sign * np.concatenate([ahead, back])
        for j, fixed in enumerate(cells(held[f"tree{s}"].tolist(), sign * known)):
            part = [held[f"{name}{s}.{j}"] for name in ("first", "second", "weight", "equal")]
            worth = max(worth, largest(unit, c, *part, float(held[f"share{s}.{j}"]), fixed))
    worth += float(np.abs(mu) @ off[:n])
    w, loss, delta = held["weights"], str(held["loss"]), float(held["delta"])
    most = min(4.0, float(held["beta"]) / worth)
    scales = np.append(np.linspace(0.0, most, 2001), min(1.0, most))
    return max(float(-np.sum(w * conjugate(loss, -t * mu / w, y, delta))) for t in scales)


if __name__ == "__main__":
    print(f"no two-layer network is below {bound(sys.argv[1]):.10g}")

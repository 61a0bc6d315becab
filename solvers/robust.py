"""ADMM on robust training: slopes, activations and reaches of every example, split from neurons.

Splitting, for ``U = [V, W]`` (d x 2P), ``M = V - W`` and reaches ``t_p >= radius ||u_p||_*``:

    Q = D M'       the slopes of each example           penalty omega
    C = X U        its activations                      penalty sigma
    T = 1 t'       its copies of the reaches            penalty tau
    U = U', t = t' the norms, and the reaches' cones    penalties rho, rho_t

The example's terms and the neurons' are exact proximal steps (`robust_prox.py`). The linear solve
is closed: in ``V + W`` it is one of d equations, in ``V - W`` the Sylvester equation

    (rho I + sigma X'X) M + 2 omega M D'D = R,

diagonal in the eigenvectors of ``X'X`` and ``D'D``, which no change of a penalty touches.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convexnn.arrays import Array
from convexnn.backend import Options, Raw, Reporter
from convexnn.forms import Neurons
from convexnn.robust import RobustDual, RobustForm
from convexnn.solvers.robust_prox import prox_examples, prox_neurons

MAX_ITER = 20_000
FIRST_CHECK = 10
GROWTH = 1.1  # checks are spaced geometrically: a stop comes at most this factor late
SPLITS = ("u", "t", "q", "c", "s")


@dataclass
class State:
    form: RobustForm
    D: Array
    pen: dict
    x: dict
    z: dict
    lam: dict
    p: Array
    q: Array
    slack: Array
    E: Array
    F: Array
    ev: Array
    kv: Array

    @classmethod
    def begin(cls, form: RobustForm, pen=None):
        n, d = form.X.shape
        D = form.matrix.astype(np.float64)
        P = D.shape[1]
        curvature = form.loss.curvature if np.isfinite(form.loss.curvature) else 1.0
        ev, E = np.linalg.eigh(form.X.T @ form.X)
        kv, F = np.linalg.eigh(D.T @ D)
        mean = float(np.sum(np.square(form.X))) / n
        sigma = curvature * np.sqrt(2 * P)
        pens = dict(
            u=sigma * mean * n / d, t=sigma * n, c=sigma, s=sigma, q=curvature * mean
        )
        if pen:
            pens.update(pen)
        shapes = dict(u=(d, 2 * P), t=(2 * P,), q=(n, d), c=(n, 2 * P), s=(n, 2 * P))
        zero = {k: np.zeros(v) for k, v in shapes.items()}
        return cls(
            form, D, pens, {}, zero, {k: np.zeros(v) for k, v in shapes.items()},
            np.zeros(n), np.zeros(n), np.zeros((n, 2 * P)), E, F, np.maximum(ev, 0), np.maximum(kv, 0),
        )

    def points(self):
        half = self.D.shape[1]
        U = self.z["u"]
        n, d = self.form.X.shape
        mu, total = self.p - self.q, (self.p + self.q)[:, None]
        pull = mu[:, None] * self.form.X + self.pen["q"] * self.lam["q"]
        attack = np.where(total > 0, pull / np.where(total > 0, total, 1.0), 0.0)
        return Neurons(U[:, :half].copy(), U[:, half:].copy(), np.zeros(d)), RobustDual(
            mu, np.minimum(self.p, self.q), attack * self.form.moved, self.slack
        )


def step(form, st, relax):
    pen, z, lam = st.pen, st.z, st.lam
    P = st.D.shape[1]
    n = len(form.y)
    rho, sigma, omega = pen["u"], pen["c"], pen["q"]
    R = rho * (z["u"] - lam["u"]) + sigma * (form.X.T @ (z["c"] - lam["c"]))
    G = omega * ((z["q"] - lam["q"]).T @ st.D)
    RV, RW = R[:, :P] + G, R[:, P:] - G
    base = (rho + sigma * st.ev)[:, None]
    S = st.E @ ((st.E.T @ (RV + RW)) / base)
    M = st.E @ ((st.E.T @ (RV - RW) @ st.F) / (base + 2 * omega * st.kv[None, :])) @ st.F.T
    U = np.hstack([S + M, S - M]) * 0.5
    t = (pen["t"] * (z["t"] - lam["t"]) + pen["s"] * (z["s"] - lam["s"]).sum(0)) / (
        pen["t"] + n * pen["s"]
    )
    image = dict(u=U, t=t, q=st.D @ M.T, c=form.X @ U, s=np.broadcast_to(t, z["s"].shape))
    raised = {k: relax * image[k] + (1 - relax) * z[k] + lam[k] for k in SPLITS}
    rows, reach = prox_neurons(
        form, np.ascontiguousarray(raised["u"].T), raised["t"], 1 / rho, 1 / pen["t"]
    )
    ex = prox_examples(
        form, raised["q"], raised["c"], raised["s"], (1 / omega, 1 / sigma, 1 / pen["s"]),
        (st.p, st.q),
    )
    new = dict(u=rows.T, t=reach, q=ex.q, c=ex.c, s=ex.t)
    st.p, st.q, st.slack = ex.p_low, ex.p_up, ex.slack
    move = {}
    for k in SPLITS:
        fresh = raised[k] - new[k]
        sz = max(np.linalg.norm(image[k]), np.linalg.norm(new[k]))
        pr = np.linalg.norm(image[k] - new[k])
        du = np.linalg.norm(new[k] - z[k])
        sl = np.linalg.norm(fresh)
        move[k] = (pr, sz, du, sl)
        z[k], lam[k] = new[k], fresh
    return move

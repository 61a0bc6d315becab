"""Sums of terms: kind by kind they are what they are one by one."""

from __future__ import annotations

import pickle

import numpy as np

from convexnn.functions.term_sums import Terms
from convexnn.functions.terms import (
    Ball,
    Box,
    Custom,
    Distance,
    HuberDistance,
    L1Distance,
    Quadratic,
    SquaredDistance,
    Term,
)
from convexnn.median.consensus import ROUNDING, ConsensusForm, lengths


def mixed(seed: int) -> Terms:
    """Draw two terms of every kind, in any order, of one to three entries."""
    g = np.random.default_rng(seed)
    found: list[Term] = []
    for d in (2, 2, 1, 3):
        b, w, A = g.standard_normal(d), float(g.uniform(0.5, 2.0)), g.standard_normal((d, d))
        found += [Distance(b, w), L1Distance(b, w), SquaredDistance(b, w), Ball(b, w)]
        found += [HuberDistance(b, w, delta=0.7), Box(b, b + w), Quadratic(A @ A.T + np.eye(d), b)]
        found.append(Custom(d, lambda x: float(x @ x) / 2.0, lambda v, by: v / (1.0 + by)))
    return Terms(found[i] for i in g.permutation(len(found)))


def test_terms_together_are_the_terms_one_by_one() -> None:
    terms = mixed(0)
    g = np.random.default_rng(1)
    n = terms.ends[-1].stop
    v, steps = 3.0 * g.standard_normal(n), g.uniform(0.1, 2.0, len(terms))
    v[terms.ends[0]] = terms[0].anchor  # where a distance is 0
    for by in (0.4, steps):
        each = np.broadcast_to(by, len(terms))
        alone = [f.prox(v[p], float(s)) for f, p, s in zip(terms, terms.ends, each, strict=True)]
        assert (terms.prox(v, by) == np.concatenate(alone)).all()
    x = terms.prox(v, 1.0)
    assert np.isfinite(terms.value(x))
    total = sum(f.value(x[p]) for f, p in zip(terms, terms.ends, strict=True))
    assert abs(terms.value(x) - total) <= 1e-12 * abs(total)
    known = Terms(f for f in terms if not isinstance(f, Custom))
    x = known.prox(known.anchors, 1.0)
    assert pickle.loads(pickle.dumps(known)).value(x) == known.value(x)


def test_conjugates_are_above_those_of_prices_made_feasible() -> None:
    terms = Terms(f for f in mixed(2) if not isinstance(f, Custom))
    s = 5.0 * np.random.default_rng(3).standard_normal(terms.ends[-1].stop)
    scale, total = terms.conjugates(s, np.zeros_like(s))
    parts = [(f, s[p] / scale) for f, p in zip(terms, terms.ends, strict=True)]
    assert scale > 1.0
    assert 1.0 - 1e-9 < max(f.gauge(part) for f, part in parts) <= 1.0
    exact = sum(f.conjugate(part) - float(part @ f.anchor) for f, part in parts)
    assert exact <= total <= exact + 1e-9 * abs(exact)
    wider = terms.conjugates(s, np.full_like(s, 0.01))
    assert wider[0] > scale


def test_bound_of_agents_is_that_of_plain_arrays() -> None:
    g = np.random.default_rng(0)
    b, w = g.standard_normal((9, 3)), g.uniform(0.0, 2.0, 9)
    w[4] = 0.0
    form = ConsensusForm(b, w, np.array([[i, i + 1] for i in range(8)]))
    for size in (0.3, 3.0):
        nu = size * g.standard_normal((9, 3)) + form.prices_at(b.mean(axis=0))
        z = nu * (np.minimum(lengths(nu), w) / lengths(nu))[:, None]
        z = z - w[:, None] * z.sum(axis=0) / w.sum()
        excess = np.max(lengths(z)[w > 0.0] / w[w > 0.0])
        slack = (16.0 + 9 + 3) * ROUNDING * float(w @ lengths(b))
        worth = float((z * b).sum()) / max(1.0, excess) - slack
        assert abs(form.bound(nu) - max(0.0, worth)) <= 1e-12
    nu[2, 1] = np.nan
    assert form.bound(nu) == 0.0

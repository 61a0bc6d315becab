"""``convexnn one-vs-rest DATA``: a linear classifier of many classes against balls."""

from __future__ import annotations

import math
from typing import Annotated, Any

from typer import Option

import convexnn as cx
from convexnn.commands import options
from convexnn.commands.report import Output, scorer
from convexnn.commands.source import Source
from convexnn.commands.wasserstein import CLASSES, ORDERS, Flip, Norm, Order, Radius
from convexnn.contract.checks import ProblemError, choice
from convexnn.datasets import split_at_random

Loss = Annotated[str, Option(help=" or ".join(CLASSES))]


def one_vs_rest(
    data: options.Table,
    radius: Radius = 0.1,
    flip_cost: Flip = math.inf,
    norm: Norm = "l2",
    loss: Loss = "logistic",
    order: Order = "1",
    bias: options.Bias = True,
    backend: options.Backend = "auto",
    tol: options.Tol = 1e-4,
    time_limit: options.Limit = 60.0,
    seed: options.Seed = 0,
    json: options.Json = False,
    **own: Any,
) -> None:
    """Fit each class against the rest within a ball; print the certificates and of their sum."""
    out = Output(json)
    choice("order", order, list(ORDERS))
    table = Source(data, options.reading(**own)).table()
    if table.target is None or table.target.classes is None:
        raise ProblemError(
            f"one-vs-rest tells classes apart, but {table.target}: solve wasserstein"
        )
    split = split_at_random(table, seed=seed)
    out.data(split)
    fit = cx.one_vs_rest(
        split.X,
        split.y,
        radius=radius,
        flip_cost=flip_cost,
        norm=norm,
        loss=loss,
        order=ORDERS[order],
        intercept=bias,
        backend=backend,
        tol=tol,
        time_limit=time_limit,
        seed=seed,
    )
    accuracy = scorer(split)(fit.model)
    rows = [
        {"class": str(label), "status": s.status.name, "objective": s.objective, "gap": s.gap}
        for label, s in zip(fit.classes, fit.solutions, strict=True)
    ]
    total = {"objective": fit.objective, "bound": fit.bound, "gap": fit.gap}
    out.object |= {"classes": rows, "test accuracy": accuracy} | total
    for label, s in zip(fit.classes, fit.solutions, strict=True):
        out.say(f"{label}: {s.status.name}, worst case {s.objective:.6g}, gap {s.gap:.1e}")
    out.say(
        f"sum of the worst cases {fit.objective:.6g}, at least {fit.bound:.6g}: gap {fit.gap:.1e}",
        f"test accuracy {accuracy:.3f}",
    )
    out.close()

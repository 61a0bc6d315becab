"""``convexnn radius DATA``: the radius of a ball of distributions, with its statement."""

from __future__ import annotations

from typing import Annotated, Any

from typer import Option

import convexnn as cx
from convexnn.commands import options
from convexnn.commands.report import Output
from convexnn.commands.source import Source
from convexnn.commands.wasserstein import CLASSES, NUMBERS, Norm, declare
from convexnn.workflows.radius import BOUNDS

Confidence = Annotated[float, Option(help="of the statement, in (0, 1)")]
Rule = Annotated[str, Option(help="profile, or holdout: of rows that are not trained on")]
Limit = Annotated[str, Option(help="of the profile: bound, or fitted, which is sharper")]
Bound = Annotated[
    str,
    Option(help=f"of the hold-out: {', '.join(BOUNDS)}; by the target if left out"),
]
Largest = Annotated[float | None, Option(help="of the hold-out: what losses are cut off at")]
Loss = Annotated[str, Option(help="as of solve wasserstein; logistic or squared if left out")]


def radius(
    data: options.Table,
    confidence: Confidence = 0.95,
    rule: Rule = "profile",
    limit: Limit = "bound",
    norm: Norm = "l2",
    loss: Loss = "",
    bound: Bound = "",
    largest: Largest = None,
    bias: options.Bias = True,
    seed: options.Seed = 0,
    json: options.Json = False,
    **own: Any,
) -> None:
    """Choose the radius of a ball of distributions; print it with what it is good for."""
    out = Output(json)
    source = Source(data, options.reading(**own))
    table = source.target_for(loss, numbers=NUMBERS, classes=CLASSES, coded=False)
    numbers = table.target is None or table.target.classes is None
    order = "2" if numbers and loss in ("", "squared") else "1"
    chosen: dict[str, Any] = {"norm": norm, "loss": loss, "order": order, "bias": bias}
    split, problem = declare(source, seed, **chosen)
    out.data(split)
    found = cx.radius(
        problem,
        confidence=confidence,
        rule=rule,
        limit=limit,
        bound=bound or None,
        largest=largest,
        seed=seed,
    )
    out.object |= {"radius": found.value, "statement": found.statement}
    out.say(f"radius {found.value:.6g}, in standard deviations of the features")
    out.say(found.statement)
    out.close()

"""How people look at a solution: a few lines, a small table in a notebook, a figure."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.checks import axes
from convexnn.contract.system.optional import need

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from convexnn.driver.solution import Solution

STAGES = ("compile", "solve", "certify")


def rows(solution: Solution[Any]) -> list[tuple[str, str]]:
    """Return what a solution says, each with what it is called."""
    proof, tol = solution.certificate, solution.options.get("tol")
    asked = f", {tol:g} asked for" if isinstance(tol, float) else ""
    spent = [
        f"{name} {solution.timings[name]:.3g} s" for name in STAGES if name in solution.timings
    ]
    found = [
        ("problem", type(solution.problem).__name__),
        ("status", f"{solution.status.name} by {solution.backend}"),
        ("objective", f"{proof.objective:.8g}, of the model"),
        ("bound", f"{proof.bound:.8g}, that none is below, over {proof.scope}"),
        ("gap", f"{proof.gap:.2e}{asked}"),
        ("violation", f"{proof.violation:.1e}"),
        ("time", ", ".join(spent)),
        ("model", repr(solution.model).splitlines()[0]),
    ]
    if solution.message:
        found.append(("message", solution.message))
    return found


def summary(solution: Solution[Any]) -> str:
    """Return the rows as lines."""
    return "\n".join(f"{name:<10} {text}" for name, text in rows(solution))


def html(solution: Solution[Any]) -> str:
    """Return the rows as a table."""
    lines = (
        f"<tr><th style='text-align:left'>{escape(name)}</th>"
        f"<td style='text-align:left'>{escape(text)}</td></tr>"
        for name, text in rows(solution)
    )
    return f"<table>{''.join(lines)}</table>"


def plot(solution: Solution[Any], ax: Axes | None = None) -> Axes:
    """Draw the certified interval against time; see `Solution.plot`."""
    if ax is not None:
        axes("ax", ax)
    else:
        ax = need("matplotlib.pyplot", "plot").subplots(figsize=(6.4, 4.0))[1]
    steps = [h for h in solution.history if np.isfinite([h.objective, h.bound]).all()]
    seconds = [h.seconds for h in steps]
    above = np.minimum.accumulate([h.objective for h in steps])
    below = np.maximum.accumulate([h.bound for h in steps])
    ax.step(seconds, above, where="post", label="objective of the best model")
    ax.step(seconds, below, where="post", ls="--", label=f"bound, {solution.certificate.scope}")
    ax.fill_between(seconds, below, above, step="post", alpha=0.15)
    ax.set(xlabel="seconds in the solver", title=f"{solution.backend}: {solution.status.name}")
    ax.grid(alpha=0.3)
    ax.legend(loc="center right")
    return ax

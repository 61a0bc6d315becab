"""How people look at solutions: a few lines, a small table in a notebook, figures."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.canvas import canvas

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from convexnn.driver.solution import Solution

STAGES = ("compile", "solve", "certify")
STYLES = ("-", "--", ":", "-.")  # of lines, by what their bounds cover
KINDS = {"gap": "certified gap", "objective": "objective", "excess": "objective above the best"}
LEAST = 1e-12  # gap that a logarithmic axis shows


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
    ax = canvas(ax, 6.4, 4.0)
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


def race(solutions: Sequence[Solution[Any]], tol: float, kind: str, ax: Axes | None) -> Axes:
    """Draw the best answers of several backends against time; see `Comparison.plot`."""
    ax = canvas(ax, 7.0, 4.5)
    covers = list(dict.fromkeys(s.certificate.covers for s in solutions))
    best = min((s.objective for s in solutions if s.violation <= tol), default=np.nan)
    for k, s in enumerate(solutions):
        steps = [h for h in s.history if h.seconds > 0.0 and np.isfinite(h.gap)]
        if kind == "excess":
            steps = [h for h in steps if h.violation <= tol]
        if not steps:
            continue
        seconds = [h.seconds for h in steps]
        objective = np.minimum.accumulate([h.objective for h in steps])
        look: dict[str, Any] = {"where": "post", "color": f"C{k % 10}"}
        if kind == "objective":
            bound = np.maximum.accumulate([h.bound for h in steps])
            ax.step(seconds, objective, marker="o", ms=3, label=s.backend, **look)
            ax.step(seconds, bound, ls="--", **look)
            continue
        look |= {"ls": STYLES[covers.index(s.certificate.covers) % len(STYLES)], "label": s.backend}
        if kind == "gap":
            shown = np.minimum.accumulate([max(abs(h.gap), LEAST) for h in steps])
        else:
            shown = np.maximum((objective - best) / max(1.0, abs(best)), 0.1 * tol)
        ax.step(seconds, shown, marker="o", ms=3, **look)
    ax.set(xscale="log", xlabel="seconds in the solver", ylabel=KINDS[kind])
    ax.set_yscale("linear" if kind == "objective" else "log")
    ax.grid(alpha=0.3)
    if ax.lines:
        if kind == "objective":
            ax.plot([], [], color="black", ls="--", label="bounds")
        else:
            ax.axhline(tol, color="0.6", lw=2.0, label=f"tol {tol:g}", zorder=1)
        if kind == "excess":
            ax.set_ylabel(f"{KINDS[kind]} found (foot: {0.1 * tol:g} or less)")
        if kind != "objective" and len(covers) > 1:
            for name, style in zip(covers, STYLES, strict=False):
                ax.plot([], [], color="black", ls=style, label=f"bound over {name}")
        ax.legend(fontsize="small")
    return ax

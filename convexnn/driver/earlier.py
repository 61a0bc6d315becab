"""Points as earlier versions saved them.

A dual point over all patterns used to say how its bound is to be looked for, and not what proves
it: what it asks for is done once, when its file is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convexnn.driver.store import record_from

if TYPE_CHECKING:
    from convexnn.relu.forms import Dual, NetworkForm
    from convexnn.robust.forms import RobustDual


def dual_from(arrays: dict[str, Any], meta: Any, problem: Any) -> Any:
    """Return the dual point of a file, of this version or an earlier one."""
    kind, parts = (meta["type"], meta["parts"]) if isinstance(meta, dict) else ("", {})
    if kind == "Dual" and "nodes" in parts:
        kept = {name: part for name, part in parts.items() if name not in ("nodes", "outer")}
        dual: Dual = record_from(arrays, {"type": kind, "parts": kept})
        return _proved(dual, parts["nodes"], record_from(arrays, parts["outer"]), problem)
    if kind == "RobustDual" and "relaxed" not in parts:
        return _relaxed(record_from(arrays, meta), problem)
    return record_from(arrays, meta)


def _proved(dual: Dual, nodes: int, outer: Any, problem: Any) -> Dual:
    """Return a dual point with the proof of a search of so many cones, and of a relaxed point."""
    if not nodes and outer is None:
        return dual
    from convexnn.relu.forms import NetworkForm
    from convexnn.relu.relaxation import relaxed
    from convexnn.relu.search_bound import covers

    kind = next(form for form in problem.forms() if issubclass(form, NetworkForm))
    form: NetworkForm = problem.canonical(kind)
    return dual._replace(
        covers=covers(form, dual.mu, nodes) if nodes else (),
        relaxed=None if outer is None else relaxed(form, outer),
    )


def _relaxed(dual: RobustDual, problem: Any) -> RobustDual:
    """Return a dual point with what the relaxation on its attacked examples proves."""
    from convexnn.relu.relaxation import relaxed
    from convexnn.robust.forms import RobustNetworkForm

    if RobustNetworkForm not in problem.forms():
        return dual
    plain = problem.canonical(RobustNetworkForm).attacked(dual.attack)
    return dual._replace(relaxed=relaxed(plain, dual.mu))

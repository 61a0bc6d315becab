"""ADMM as an engine of a user's own, to be changed at will."""

from __future__ import annotations

from convexnn.solvers.engine import Engine

GROUP = "convexnn.relu.forms:GroupForm"


class Admm(Engine):
    """The engine of one row."""

    name = "own admm"

    def __init__(self) -> None:
        super().__init__(self.name, {GROUP: "convexnn.solvers.relu.admm"}, warm_start=True)

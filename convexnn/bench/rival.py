"""What a benchmark's file of a peer is made of: its points, or why there are none."""

from __future__ import annotations

from typing import Any

from benchopt import BaseSolver

from convexnn.bench.grading import failure
from convexnn.bench.peers import PEERS, Peer, follow, missing
from convexnn.bench.processes import PeerError
from convexnn.bench.translation import primal, refuses, task
from convexnn.contract.problem import Problem


class Rival(BaseSolver):  # type: ignore[misc]  # benchopt has no types
    """A peer, in a process of its own environment; a subclass names it.

    What it does not solve is a point of status SKIPPED with the reason; that it crashed or did not
    end in time is said by its last point.
    """

    def skip(self, problem: Problem[Any], **_: Any) -> tuple[bool, str | None]:
        """Skip a peer that is not installed."""
        reason = missing([self.name]).get(self.name)
        return reason is not None, reason

    def set_objective(self, problem: Problem[Any], tol: float, limit: float) -> None:
        """Keep what is asked."""
        self.asked = problem, limit

    def run(self, _: Any) -> None:
        """Run the peer, and keep what it delivers."""
        problem, limit = self.asked
        self.points = points_of(PEERS[self.name], problem, limit)

    def get_result(self) -> dict[str, Any]:
        """Return the points, to be graded."""
        return {"points": self.points}


def points_of(peer: Peer, problem: Problem[Any], limit: float) -> list[dict[str, Any]]:
    """Return the points of a peer's run; the last one says how it ended, if it was not by itself.

    Parameters
    ----------
    peer : Peer
    problem : Problem
    limit : float
        Seconds for solving.
    """
    reason = refuses(peer, problem)
    if reason is not None:
        return [failure("SKIPPED", reason)]
    points: list[dict[str, Any]] = []
    try:
        for answer in follow(peer, task(problem), (), limit):
            points.append(
                {
                    "primal": primal(problem, answer.arrays),
                    "seconds": answer.seconds,
                    "cpu": answer.cpu,
                    "compile": answer.build,
                    "message": f"version {answer.version}",
                }
            )
    except PeerError as error:
        status = {"missing": "SKIPPED"}.get(error.kind, error.kind.upper())
        if not points:
            return [failure(status, str(error))]
        points[-1] |= {"status": status, "message": f"{error}; {points[-1]['message']}"}
    return points

"""Bounds and words for programs over patterns that are too many to list."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from convexnn.contract.grading import Bound, Grade, Halves, HalvesGrader, Memo, contents
from convexnn.relu.bound import (
    Side,
    feasible,
    grounded,
    lower_bound,
    network_bound,
    proved_worth,
    sides,
)
from convexnn.relu.forms import Dual, NetworkForm
from convexnn.relu.free_part import FreePart
from convexnn.relu.lift import Lifted, lifted_bound
from convexnn.relu.pricing.pricing_bound import Bracket, Cover, bracket
from convexnn.relu.pricing.signed_pricing import priced_form, priced_side
from convexnn.relu.relaxation import Relaxed, relaxed, relaxed_bound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from convexnn.contract.arrays import Array, BoolArray
    from convexnn.contract.backend import Reporter


class Searches:
    """The searches over all patterns of one form, and what the last ones have proved.

    A cover that one of them made is known to hold; any other one is gone through.

    Parameters
    ----------
    form : NetworkForm
    slack : float, default 0.0
        Frobenius norm of the part of the data that ``form.X`` leaves out.
    free : FreePart, optional
        Of the form, where it has one; made here if not given.
    """

    def __init__(self, form: NetworkForm, slack: float = 0.0, free: FreePart | None = None) -> None:
        self.form, self.slack = form, slack
        self.free = FreePart(form) if form.skip and free is None else free
        self._held: dict[tuple[bytes, int], Bracket] = {}
        self._relaxed, self._lifted, self._found = Memo(), Memo(), Memo()

    def search(self, mu: Array, nodes: int, seconds: float | None = None) -> tuple[Bracket, ...]:
        """Search for the neuron of largest worth at a dual point, for each of its `sides`.

        Parameters
        ----------
        mu : array of shape (n,), or (n, k) of k outputs
        nodes : int
            Cones that each search may bound.
        seconds : float, optional
            That all of them may take.

        Returns
        -------
        tuple of Bracket
            Empty where no dual feasible point near this one is known.
        """
        left = seconds
        form, free = grounded(self.form, mu, self.free)
        point = feasible(form, mu, free)
        if point is None:
            return ()
        ways = list(sides(form, point.mu))
        self._held = {}
        for i, side in enumerate(ways):
            share = None if left is None else left / (len(ways) - i)
            found = bracket(
                priced_form(form, side.sign).X,
                priced_side(form, side.mu, side.sign),
                leak=form.leak,
                l1=not form.norm.rotates,
                target=form.beta,
                nodes=nodes,
                seconds=share,
            )
            self._held[_known(side)] = found
        return tuple(self._held[_known(side)] for side in ways)

    def upper(self, side: Side, cover: Cover | None) -> float:
        """Return what a cover proves of neurons' worth."""
        held = self._held.get(_known(side))
        if held is not None and held.cover is not None and contents(held.cover) == contents(cover):
            return held.upper
        return proved_worth(self.form, side, cover)

    def bound(self, dual: Dual) -> Bound:
        """Return what a dual point proves of all networks, and how near that of its patterns is.

        Parameters
        ----------
        dual : Dual

        Returns
        -------
        Bound
        """
        value = network_bound(
            *(self.form, dual.mu, dual.covers),
            slack=self.slack,
            free=self.free,
            upper=self.upper,
        )
        if dual.relaxed is not None:
            value = max(value, self._of_relaxed(dual.relaxed))
        proof = ""
        if dual.lifted is not None:
            lifted = self._of_lifted(dual.lifted)
            if lifted > value:
                value, cells = lifted, sum(len(side.cells) for side in dual.lifted.sides)
                proof = f"; by the lifted relaxation over {cells} cells"
        if dual.matrix is None:
            return Bound(value, "all patterns" + proof)
        said = partial(near_found, self._of_found(dual, dual.matrix), dual.matrix.shape[1])
        return Bound(value, "all patterns" + proof, said)

    def _of_relaxed(self, point: Relaxed) -> float:
        return self._relaxed.of(
            contents(point),
            lambda: relaxed_bound(self.form, point, slack=self.slack, free=self.free),
        )

    def _of_lifted(self, point: Lifted) -> float:
        return self._lifted.of(
            contents(point),
            lambda: lifted_bound(self.form, point, slack=self.slack, free=self.free),
        )

    def _of_found(self, dual: Dual, matrix: BoolArray) -> float:
        return self._found.of(
            contents((dual.mu, dual.facets, matrix)),
            lambda: lower_bound(self.form.over(matrix), dual, slack=self.slack, free=self.free),
        )


def _known(side: Side) -> tuple[bytes, int]:
    return side.mu.tobytes(), side.sign


class SearchGrader(HalvesGrader[Any]):
    """Grades networks over all patterns, and knows the searches that an engine has made.

    Parameters
    ----------
    problem : Halves
    searches : Searches
    """

    def __init__(self, problem: Halves[Any], searches: Searches) -> None:
        super().__init__(problem)
        self.searches = searches

    def _bounded(self, primal: Any, dual: Dual, grade: Grade) -> Bound:
        return self.searches.bound(dual)

    def again(self) -> SearchGrader:
        """Return a grader that knows the best points, and no search."""
        held = self.searches
        other = SearchGrader(self.problem, Searches(held.form, held.slack, held.free))
        other._grades, other._bounds = self._grades.again(), self._bounds.again()
        return other


def covers(form: NetworkForm, mu: Array, nodes: int) -> tuple[Cover | None, ...]:
    """Return the proofs of what neurons are worth at a dual point that so many cones give."""
    return tuple(found.cover for found in Searches(form).search(mu, nodes))


def renewed(form: NetworkForm, parts: Mapping[str, Any]) -> Dual | None:
    """Return the dual point of an earlier version by its parts, None if it is of this one.

    It told how many cones a search may bound and where to begin a relaxed point, and not what
    proves its bound: both are done here.
    """
    if "nodes" not in parts:
        return None
    kept = {name: part for name, part in parts.items() if name not in ("nodes", "outer")}
    dual, nodes, outer = Dual(**kept), parts["nodes"], parts["outer"]
    return dual._replace(
        covers=covers(form, dual.mu, nodes) if nodes else (),
        relaxed=None if outer is None else relaxed(form, outer),
    )


def searches_of(form: NetworkForm, reporter: Reporter) -> Searches:
    """Return the searches of this run, so that its certificates know them; else new ones."""
    grader = getattr(reporter, "grader", None)
    if isinstance(grader, SearchGrader) and grader.searches.form is form:
        return grader.searches
    return Searches(form)


def near_found(bound: float, count: int, objective: float) -> str:
    """Say how near an objective is to a bound on the optimum over the patterns found so far.

    Examples
    --------
    >>> near_found(1.0, 1_000, 1.25)
    '; within 2e-01 over the 1,000 found by search'
    """
    gap = (objective - bound) / max(1.0, abs(objective))
    what = f"within {gap:.0e} over" if gap >= 0.0 else "better than any network over"
    return f"; {what} the {count:,} found by search"

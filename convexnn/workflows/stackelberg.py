"""The Stackelberg game of learning: a leader who fits, a follower who moves its margins."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.brief import in_brief, shortened
from convexnn.contract.certificate import Status
from convexnn.contract.checks import (
    UNREADABLE,
    ProblemError,
    non_negative,
    positive_int,
    real_array,
    seconds,
    shown,
    tolerance,
    whole,
)
from convexnn.contract.clock import Clock, OutOfTime, look, timed_by
from convexnn.contract.labels import labels
from convexnn.contract.system.interrupts import interruptible
from convexnn.contract.system.optional import need
from convexnn.driver.solve import solve
from convexnn.functions.curves import MarginLoss, as_curve, interval
from convexnn.problems.wasserstein.margins import WorstCaseMargins
from convexnn.wasserstein.worst_case import WorstCase

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from scipy.sparse import sparray, spmatrix

SURE = 1e-3  # probabilities of a leader without a decision function are held this far from 0 and 1
SHOWN = 8  # values of rounds in a game's text
ACCURACY = 1e-8  # certified relative gap of the follower's answer


Leader = TypeVar("Leader")


class Round(NamedTuple):
    """One fit of the leader and the follower's answer.

    Attributes
    ----------
    value : float
        Worst-case value of the leader's margins, on the window of the whole game; inf where they
        leave a window that was given.
    empirical : float
        Mean loss of the margins themselves.
    multiplier : float
        Of the radius.
    change : float
        Relative change of the value from the best round before; inf in the first round.
    step : float
        How far the weights went from the best round's towards the follower's: 1 all the way,
        less where they were damped; 0 in the first round, whose weights are 1.
    unusable : int
        Of the follower's weights in answer to this round, those that were negative or infinite.
    """

    value: float
    empirical: float
    multiplier: float
    change: float
    step: float
    unusable: int


@dataclass(frozen=True, eq=False)
class Game(Generic[Leader]):
    """How a game went, and the best leader found.

    Attributes
    ----------
    leader : object
        Fitted with the best round's weights: a clone of the estimator that was given, or the
        callable itself.
    value : float
        The leader's worst-case value, at most that of the leader fitted with weights of 1.
    margins, weights : arrays of shape (n,)
        The best leader's margins, and the weights that it was fitted with.
    worst_case : WorstCase
        The follower's answer to it, with the final distribution in `atoms`.
    window : (float, float)
        Support of the follower's distributions.
    history : tuple of Round
    best : int
        Which round that was.
    converged : bool
        Whether the value settled before the rounds ran out.
    message : str
        What was out of the ordinary: damped steps, weights that no fit can use.
    """

    leader: Leader
    value: float
    margins: Array
    weights: Array
    worst_case: WorstCase
    window: tuple[float, float]
    history: tuple[Round, ...]
    best: int
    converged: bool
    message: str = ""

    def __str__(self) -> str:
        values = [f"{played.value:.6g}" for played in self.history]
        if len(values) > SHOWN:
            values = [*values[: SHOWN - 2], "...", values[-1]]
        return "\n".join(
            filter(
                None,
                [
                    f"Game of {len(self.history)} rounds, "
                    f"{'settled' if self.converged else 'not settled'}",
                    f"best round: {self.best}, worst-case value {self.value:.6g}; "
                    f"{self.history[0].value:.6g} with weights of 1",
                    f"values: {', '.join(values)}",
                    f"leader: {in_brief(self.leader)}",
                    self.message,
                ],
            )
        )

    def __repr__(self) -> str:
        return shortened(str(self))


def stackelberg(
    leader: Leader,
    X: ArrayLike | sparray | spmatrix,
    y: ArrayLike | None = None,
    *,
    radius: float,
    rounds: int = 20,
    loss: MarginLoss = "logistic",
    window: tuple[float, float] | None = None,
    tol: float = 1e-4,
    time_limit: float | None = None,
) -> Game[Leader]:
    """Play ``min_f sup_Q E_Q l(m)`` over a Wasserstein ball around the leader's margins.

    The margins of a leader f are ``m_i = y_i f(x_i)`` with labels -1 and +1. The follower moves
    them within the ball, see `WorstCaseMargins`; its envelope weights w make the weighted loss
    ``(1/n) sum_i w_i l(m_i)`` have the gradient of the worst-case value, and the leader is fitted
    again with them. The value need not fall from round to round: a round that does not lower it
    is taken back and tried again with the weights moved half as far, and the best round is kept.

    Parameters
    ----------
    leader : estimator or callable
        With ``fit(X, y, sample_weight=)``, or a Pipeline whose last step has it, and
        ``decision_function``, or ``predict_proba``, whose log-odds then are the decision;
        probabilities are held within [0.001, 0.999]. It is copied, not fitted. Or a callable that
        fits by weights and returns margins, arrays (n,) both, for anything else; if the last round
        was not the best it is called once more with the best weights, so that its own state is the
        best round's.
    X : array of shape (n, d)
        Handed on to the estimator; of a callable only its length matters.
    y : array of shape (n,)
        Labels, any two values; not needed by a callable.
    radius : float
        Of the ball, >= 0, in units of the margins.
    rounds : int, default 20
        Fits at most.
    loss : "logistic", "hinge", PiecewiseLinear or (value, derivative), default "logistic"
        Of a margin; best the one that the leader minimises.
    window : (float, float), optional
        Support of the follower's distributions. If None ``[-c, c]`` with ``c = max |m_i| +
        radius``, the maximum over all rounds: the follower may turn the surest right answer into
        the surest wrong one, and every round is judged on the final window. On an unbounded
        support all weights would be 1. A round that leaves a window given here is taken back.
    tol : float, default 1e-4
        The value has settled when a round changes it by no more, relative to ``max(1, |value|)``,
        or when the follower's weights are within it of those of the fit.

    time_limit : float, optional
        Seconds. No fit that the leader has begun is broken off, and the first round is played.

    Returns
    -------
    Game
        Of the rounds that are over, if Ctrl-C or the time ended it.

    Raises
    ------
    ProblemError
        If a field breaks its rule, the leader cannot be fitted with weights, its margins are not
        n finite numbers, or those of its first fit leave the window given.

    Notes
    -----
    The follower moves the worst margins first, all the way to the end of the window, and charges
    what is left at the multiplier: of the samples that it moves, those of the steepest loss weigh
    less than 1, those of a flat one more. Against outliers that is what helps. A regularised
    leader minimises the weighted loss plus its penalty, and the game the worst case plus that.

    Where the adversary turns the sign of a slope its weight is negative, where the loss is flat
    at a margin that moves, as the hinge's is above 1, it is infinite: no weight of that sample
    has the right gradient. Such weights are replaced by 0 and by the largest finite one;
    `Round.unusable` counts them.

    References
    ----------
    Chu et al. 2025, "Stackelberg game preference optimization for data-efficient alignment of
    language models", arXiv 2502.18099.

    Examples
    --------
    >>> import convexnn as cx
    >>> from sklearn.linear_model import LogisticRegression
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((60, 3))
    >>> y = X[:, 0] + rng.standard_normal(60) > 0
    >>> game = cx.stackelberg(LogisticRegression(C=1e3), X, y, radius=0.3)
    >>> game.converged, game.value < game.history[0].value
    (True, True)
    """
    radius, rounds = non_negative("radius", radius), positive_int("rounds", rounds)
    tol = tolerance("tol", tol)
    clock = Clock.started(None if time_limit is None else seconds("time_limit", time_limit))
    as_curve(loss)
    follower = _Follower(radius, loss, None if window is None else interval("window", window))
    side = _Callable(leader, X) if _is_callable(leader) else _Estimator(leader, X, y)

    weights = np.ones(side.n)
    fits = [_Fit(weights, *side.fit(weights))]
    follower.judge(fits)
    best, step, converged, ended = fits[0], 1.0, False, ""
    while True:
        away = usable(best.answer.weights)[0] - best.weights
        converged = converged or bool(np.max(np.abs(away)) <= tol)
        if converged or len(fits) == rounds:
            break
        weights = best.weights + step * away
        try:
            with timed_by(clock):
                look()
                latest = _Fit(weights, *side.fit(weights), step=step)
                follower.judge([*fits, latest])
        except OutOfTime:
            ended = f"The time ran out after {len(fits)} of {rounds} rounds."
            break
        except KeyboardInterrupt:  # this round is not over: the game is that of those before
            ended = f"Interrupted after {len(fits)} rounds."
            break
        fits.append(latest)
        latest.change = abs(latest.value - best.value) / max(1.0, abs(best.value))
        converged = latest.change <= tol
        if latest.value < best.value:
            best, step = latest, min(1.0, 2.0 * step)
        else:
            step /= 2.0
    return Game(
        leader=best.leader,
        value=best.value,
        margins=best.margins,
        weights=best.weights,
        worst_case=best.answer,
        window=follower.window,
        history=tuple(follower.record(fit) for fit in fits),
        best=fits.index(best),
        converged=converged,
        message=" ".join(filter(None, [ended, *side.settle(best, fits[-1]), *remarks(fits, best)])),
    )


def usable(weights: Array) -> tuple[Array, int]:
    """Return weights that a fit can take, and how many had to be replaced.

    Negative ones become 0, infinite ones the largest finite one, at least 1.

    Examples
    --------
    >>> usable(np.array([1.0, -0.5, np.inf, 2.0]))
    (array([1., 0., 2., 2.]), 2)
    """
    finite = np.isfinite(weights)
    most = float(np.max(weights[finite], initial=1.0))
    kept = np.clip(np.where(finite, weights, most), 0.0, None)
    return kept, int(np.count_nonzero(kept != weights))


def log_odds(probability: Array) -> Array:
    """Return ``log(p / (1 - p))`` with p held within [0.001, 0.999].

    Examples
    --------
    >>> log_odds(np.array([0.0, 0.5])).round(3)
    array([-6.907,  0.   ])
    """
    p = np.clip(probability, SURE, 1.0 - SURE)
    odds: Array = np.log(p / (1.0 - p))
    return odds


def remarks(fits: list[_Fit], best: _Fit) -> Iterator[str]:
    """Say what was out of the ordinary."""
    damped = sum(fit.step not in (0.0, 1.0) for fit in fits)
    if damped:
        yield (
            "The follower's own weights did not lower the value: "
            f"{damped} of {len(fits)} rounds went only part of the way to them."
        )
    if best is fits[0] and len(fits) > 1:
        yield "No answer of the follower lowered the value: the fit with weights of 1 is the best."
    count = usable(best.answer.weights)[1]
    if count:
        yield (
            f"{count} of the {len(best.weights)} weights that answer the best round were negative "
            "or infinite and replaced: there the loss's own slope has the wrong sign or is 0."
        )


@dataclass(eq=False)
class _Fit:
    """One round, before the game is over: its value follows the window."""

    weights: Array
    leader: Any
    margins: Array
    step: float = 0.0
    change: float = np.inf
    worst: WorstCase | None = None

    @property
    def value(self) -> float:
        return np.inf if self.worst is None else self.worst.value

    @property
    def answer(self) -> WorstCase:
        assert self.worst is not None  # a round outside of the window is never the best
        return self.worst


class _Follower:
    """Answers margins on a window that all rounds share."""

    def __init__(self, radius: float, loss: MarginLoss, window: tuple[float, float] | None) -> None:
        self.radius, self.loss = radius, loss
        self.given = window is not None
        self.window = window or (0.0, 0.0)

    def judge(self, fits: list[_Fit]) -> None:
        """Answer the latest fit, and all of them again if it widens the window."""
        latest, waiting, window = fits[-1], fits[-1:], self.window
        reach = float(np.max(np.abs(latest.margins))) + self.radius or 1.0
        if self.given:
            if len(fits) > 1 and not self._holds(latest.margins):
                return
        elif reach > self.window[1]:
            window, waiting = (-reach, reach), fits
        answers = []
        with interruptible() as asked:
            for fit in waiting:
                problem = WorstCaseMargins(
                    fit.margins, radius=self.radius, loss=self.loss, window=window
                )
                solution = solve(problem, tol=ACCURACY)
                if asked:
                    raise KeyboardInterrupt
                if solution.status is Status.TIME_LIMIT:
                    raise OutOfTime
                answers.append(solution.raise_for_status().model)
        self.window = window  # all together, so that every answer is on the same one
        for fit, answer in zip(waiting, answers, strict=True):
            fit.worst = answer

    def _holds(self, margins: Array) -> bool:
        low, high = self.window
        return bool(low <= np.min(margins) and np.max(margins) <= high)

    def record(self, fit: _Fit) -> Round:
        """Return what the history keeps of a fit."""
        empirical = float(np.mean(as_curve(self.loss).value(fit.margins)))
        if fit.worst is None:
            return Round(np.inf, empirical, np.nan, fit.change, fit.step, 0)
        count = usable(fit.worst.weights)[1]
        return Round(fit.value, empirical, fit.worst.multiplier, fit.change, fit.step, count)


class _Estimator:
    """A leader with the interface of scikit-learn."""

    def __init__(self, leader: Any, X: Any, y: Any) -> None:
        name = type(leader).__name__
        self.keyword = _keyword(leader)
        if self.keyword is None:
            raise ProblemError(
                f"leader must take sample_weight in fit, {name} does not: pass a callable that "
                "fits by weights and returns margins"
            )
        self.decides = next(
            (m for m in ("decision_function", "predict_proba") if hasattr(leader, m)), ""
        )
        if not self.decides:
            raise ProblemError(
                f"leader must have decision_function or predict_proba, {name} has neither"
            )
        if y is None:
            raise ProblemError("y must be given for an estimator, got None")
        self.unfitted, self.X, self.y, self.n = leader, X, y, _rows(X)
        self.targets = labels("y", y, self.n, classification=True).targets

    def fit(self, weights: Array) -> tuple[Any, Array]:
        """Return a fitted copy and its margins."""
        leader = _copy(self.unfitted)
        leader.fit(self.X, self.y, **{str(self.keyword): weights})
        found = np.asarray(getattr(leader, self.decides)(self.X))
        if self.decides == "predict_proba":
            found = log_odds(found[:, 1])
        return leader, _margins(self.targets * found.reshape(-1), self.n)

    def settle(self, best: _Fit, last: _Fit) -> list[str]:
        """Do nothing: every fit is a copy of its own."""
        return []


def _keyword(leader: Any) -> str | None:
    """Return by what name the leader's fit takes weights, of a pipeline its last step's."""
    steps = getattr(leader, "steps", None)
    if isinstance(steps, list) and steps:
        name, last = steps[-1]
        inside = _keyword(last) if hasattr(last, "fit") else None
        return None if inside is None else f"{name}__{inside}"
    return "sample_weight" if "sample_weight" in inspect.signature(leader.fit).parameters else None


class _Callable:
    """A leader that is a function from weights to margins."""

    def __init__(self, leader: Any, X: Any) -> None:
        self.leader, self.n = leader, _rows(X)

    def fit(self, weights: Array) -> tuple[Any, Array]:
        """Return the callable itself and its margins."""
        return self.leader, _margins(self.leader(weights.copy()), self.n)

    def settle(self, best: _Fit, last: _Fit) -> list[str]:
        """Bring the callable back to its best round; say if it does not come back."""
        if best is last:
            return []
        _, margins = self.fit(best.weights)
        if np.allclose(margins, best.margins, rtol=1e-6, atol=1e-9):
            return []
        return ["Called again with the best weights, the leader returned other margins."]


def _is_callable(leader: Any) -> bool:
    if hasattr(leader, "fit") and not isinstance(leader, type):
        return False
    if isinstance(leader, type) or not callable(leader):
        raise ProblemError(
            "leader must be an estimator with fit, or a callable from weights to margins, "
            f"got {shown(leader)}"
        )
    return True


def _rows(X: Any) -> int:
    whole("X", X)
    try:
        shape = np.shape(X) if not hasattr(X, "shape") else X.shape
    except UNREADABLE as error:
        raise ProblemError(f"X must have one row per sample: {error}") from None
    if len(shape) == 0 or shape[0] == 0:
        raise ProblemError(f"X must have one row per sample, got shape {tuple(shape)}")
    return int(shape[0])


def _copy(estimator: Any) -> Any:
    if hasattr(estimator, "get_params"):
        return need("sklearn.base", "data").clone(estimator)
    return copy.deepcopy(estimator)


def _margins(value: Any, n: int) -> Array:
    margins = real_array("the leader's margins", value, 1)
    if len(margins) != n:
        raise ProblemError(f"the leader's margins must be one per sample ({n}), got {len(margins)}")
    return margins

"""The cross-check: random instances of every problem, every capable backend, every pair of answers.

The optimum is between the bound and the objective of every certified answer. So no bound may
exceed the objective of any answer to the same instance, whoever found either: one that does is a
silent disagreement, and one of the two certificates is wrong.
"""

from __future__ import annotations

import json
import signal
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convexnn.bench.instances import FAMILIES, Instance, family_of, instance
from convexnn.contract.certificate import Certificate, Status
from convexnn.contract.checks import ProblemError, choice, positive, positive_int, seed_of
from convexnn.contract.system.optional import need
from convexnn.driver.choice import backends as list_backends
from convexnn.driver.compare import EXACT, INTERRUPTED, compare, contrary, excess
from convexnn.driver.solution import Solution
from convexnn.driver.solve import solve

if TYPE_CHECKING:
    import pandas as pd

SHARPER = 1e-3  # times the tolerance that is asked of an answer once more
ROUNDING = 1e-11  # relative room of a bound above the objective of a point without violation
FORMATS = (".parquet", ".csv")
CRASHED = "CRASHED"  # the status of an instance that an exception or a dead process ended
ANSWER = ("objective", "bound", "gap", "violation", "seconds", "cpu")
NET = ("net_objective", "net_bound")  # less what all answers pay, if anything
FIGURES = (*ANSWER, *NET, "tol", "time_limit")
Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What the answers of a sweep depend on; a file of results holds those of one setting.

    Attributes
    ----------
    seed : int
    tol : float
        Asked of every backend.
    time_limit : float
        Seconds for each backend on each instance.
    mpi : bool
        Whether the backends that start processes run as well.
    """

    seed: int = 0
    tol: float = 1e-5
    time_limit: float = 5.0
    mpi: bool = False

    def __post_init__(self) -> None:
        seed_of(self.seed)
        positive("tol", self.tol)
        positive("time_limit", self.time_limit)


class Contradiction(NamedTuple):
    """Two certified answers to one instance that cannot both be right.

    Attributes
    ----------
    number : int
    family, instance : str
    low, high : str
        The backend of the objective, and that of the bound above it.
    excess : float
        ``(bound - objective) / max(1, |objective|)``; inf if one backend found a solution and
        the other says that there is none.
    violation : float
        Of the point that the objective is of.
    room : float
        How large the excess may be: the rounding, or the tolerance where there is a violation.
    """

    number: int
    family: str
    instance: str
    low: str
    high: str
    excess: float
    violation: float
    room: float

    @property
    def silent(self) -> bool:
        """Tell whether it is more than rounding and the violation explain."""
        return self.excess > self.room


@dataclass(frozen=True, eq=False)
class Check:
    """The answers of a sweep.

    Attributes
    ----------
    settings : Settings
    rows : tuple of dict
        One an answer, in the order of the instances.
    """

    settings: Settings
    rows: tuple[Row, ...]

    @property
    def frame(self) -> pd.DataFrame:
        """Return the answers with the settings, one a row."""
        told = asdict(self.settings)
        frame: pd.DataFrame = need("pandas", "bench").DataFrame([told | row for row in self.rows])
        return frame

    @cached_property
    def worst(self) -> tuple[Contradiction, ...]:
        """The pair of each instance whose certificates leave the least room, if any."""
        found = (closest(rows, self.settings.tol) for rows in by_index(self.rows).values())
        return tuple(pair for pair in found if pair is not None)

    @cached_property
    def silent(self) -> tuple[Contradiction, ...]:
        """The silent disagreements, the largest first."""
        found = (pair for pair in self.worst if pair.silent)
        return tuple(sorted(found, key=lambda pair: -pair.excess))

    @cached_property
    def crashed(self) -> tuple[Row, ...]:
        """The instances without answers."""
        return tuple(row for row in self.rows if row["status"] == CRASHED)

    @property
    def passed(self) -> bool:
        """Tell whether no two answers contradict each other and nothing crashed."""
        return not self.silent and not self.crashed


def check(
    settings: Settings,
    indices: Sequence[int],
    *,
    jobs: int = 1,
    out: Path | None = None,
    on_done: Callable[[int], None] = lambda index: None,
) -> Check:
    """Cross-check instances, those left out that a file of results already holds.

    Parameters
    ----------
    settings : Settings
    indices : sequence of int
        From `indices_of`.
    jobs : int, default 1
        Processes; 1 is this one.
    out : path, optional
        A ``.parquet`` or ``.csv`` file of results. On the way, answers are appended to a journal
        beside it; after a kill the same call goes on from there.
    on_done : callable, optional
        Told each index as it is done.

    Returns
    -------
    Check

    Raises
    ------
    ProblemError
        If a value is out of range, or the file holds the results of other settings.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> check(Settings(), indices_of(1, ["newsvendor"])).passed
    True
    """
    positive_int("jobs", jobs)
    store = None if out is None else Store(Path(out), settings)
    done = {} if store is None else store.read()
    wanted = set(indices)
    for index in wanted & set(done):
        on_done(index)
    for index, rows in _answers(settings, [i for i in indices if i not in done], jobs):
        done[index] = rows
        if store is not None:
            store.append(index, rows)
        on_done(index)
    if store is not None:
        store.close(Check(settings, _in_order(done)))
    return Check(settings, _in_order({i: rows for i, rows in done.items() if i in wanted}))


def indices_of(instances: int, families: Sequence[str] | None = None) -> list[int]:
    """Return the indices of the first instances, or of the first of these families.

    Raises
    ------
    ProblemError
        If there are none, or a family is unknown.

    Examples
    --------
    >>> indices_of(2), indices_of(2, ["gated"])
    ([0, 1], [2, 23])
    """
    positive_int("instances", instances)
    chosen = list(families or FAMILIES)
    for name in chosen:
        choice("family", name, list(FAMILIES))
    rounds = -(-instances // len(chosen)) * len(FAMILIES)
    return [index for index in range(rounds) if family_of(index) in chosen][:instances]


def answer(settings: Settings, index: int) -> list[Row]:
    """Return the answers of every capable backend to an instance."""
    begin = time.perf_counter()
    try:
        made = instance(settings.seed, index)
        return _rows(made, settings)
    except Exception as error:
        row = _blank(index, f"{type(error).__name__}: {error}")
        return [row | {"seconds": time.perf_counter() - begin}]


def _rows(made: Instance, settings: Settings) -> list[Row]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of solvers that say they are inaccurate
        names = list_backends(made.problem).names
        chosen = [name for name in names if settings.mpi or not name.startswith("mpi:")]
        result = compare(made.problem, chosen, tol=settings.tol, time_limit=settings.time_limit)
    if INTERRUPTED in (result.skipped or {}).values():
        raise KeyboardInterrupt
    return settled(made, [_row(made, answer) for answer in result.solutions], settings)


def _row(made: Instance, s: Solution) -> Row:
    return {
        "index": made.number,
        "family": made.family,
        "instance": made.text,
        "backend": s.backend,
        "status": s.status.name,
        "objective": float(s.objective),
        "bound": float(s.bound),
        "gap": float(s.gap),
        "violation": float(s.violation),
        "covers": s.certificate.covers,
        **dict(zip(NET, map(float, s.certificate.graded), strict=True)),
        "seconds": s.timings["solve"],
        "cpu": s.timings["cpu"],
        "message": s.message,
    }


def settled(made: Instance, rows: list[Row], settings: Settings) -> list[Row]:
    """Return the answers, those that only cost too little because of a violation asked for anew.

    What a violation within the tolerance may save is that times its price, which is not known: at
    `SHARPER` times the tolerance it saves as much less, and a wrong bound is above that, too.
    """
    asked: set[str] = set()
    while (pair := closest(rows, settings.tol)) is not None and pair.silent:
        if pair.violation <= EXACT or pair.excess == np.inf or pair.low in asked:
            break
        asked.add(pair.low)
        tol, seconds = SHARPER * settings.tol, settings.time_limit
        again = _row(made, solve(made.problem, pair.low, tol=tol, time_limit=seconds))
        rows = [again | {"backend": pair.low} if r["backend"] == pair.low else r for r in rows]
    return rows


def _blank(index: int, message: str) -> Row:
    nothing = dict.fromkeys((*ANSWER, *NET), np.nan)
    told = {"family": family_of(index), "instance": "", "backend": "", "status": CRASHED}
    return {"index": index, **told, **nothing, "covers": "", "message": message}


def _answers(
    settings: Settings, indices: Sequence[int], jobs: int
) -> Iterator[tuple[int, list[Row]]]:
    """Yield answers as they come; an instance that kills its process is recorded as such."""
    work = partial(answer, settings)
    if jobs == 1:
        yield from ((index, work(index)) for index in indices)
        return
    waiting = list(indices)[::-1]
    while waiting:
        running: dict[Future[list[Row]], int] = {}
        with _pool(jobs) as pool:
            try:
                while waiting or running:
                    while waiting and len(running) < 2 * jobs:
                        index = waiting.pop()
                        running[pool.submit(work, index)] = index
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        yield running[future], future.result()
                        del running[future]
            except BrokenProcessPool:
                pass
            except BaseException:  # Ctrl-C: what has not begun is not waited for
                pool.shutdown(cancel_futures=True)
                raise
        for index in running.values():  # one of them killed the pool
            yield index, _alone(work, index)


def _alone(work: Callable[[int], list[Row]], index: int) -> list[Row]:
    with _pool(1) as pool:
        try:
            return pool.submit(work, index).result()
        except BrokenProcessPool as error:
            return [_blank(index, f"its process ended: {error}")]


def _pool(jobs: int) -> ProcessPoolExecutor:
    ignore = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    return ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=ignore)


def by_index(rows: Iterable[Row]) -> dict[int, list[Row]]:
    """Return the answers of each instance."""
    found: dict[int, list[Row]] = {}
    for row in rows:
        found.setdefault(int(row["index"]), []).append(row)
    return found


def _in_order(done: dict[int, list[Row]]) -> tuple[Row, ...]:
    return tuple(row for index in sorted(done) for row in done[index])


def closest(rows: Sequence[Row], tol: float) -> Contradiction | None:
    """Return the objective and the bound of an instance's answers that leave the least room.

    An answer is also held against itself. A violation within the tolerance may make an objective
    too low by as much as the tolerance. INFEASIBLE against OPTIMAL leaves none.
    """
    best: Contradiction | None = None
    for a, b in product(rows, repeat=2):
        room = ROUNDING if a["violation"] <= EXACT else tol
        clash = CRASHED not in (a["status"], b["status"]) and contrary(
            Status[a["status"]], Status[b["status"]]
        )
        by = np.inf if clash else excess(_certificate(a), _certificate(b), tol)
        if by > -np.inf and (best is None or by - room > best.excess - best.room):
            where = int(a["index"]), a["family"], a["instance"]
            best = Contradiction(*where, a["backend"], b["backend"], by, a["violation"], room)
    return best


def _certificate(row: Row) -> Certificate:
    own = row["objective"], row["bound"]  # of an older file these are all that there is
    objective, bound = (row.get(name, value) for name, value in zip(NET, own, strict=True))
    return Certificate(*own, row["violation"], row["covers"], (objective, bound))


class Store:
    """A file of results and the journal beside it."""

    def __init__(self, path: Path, settings: Settings) -> None:
        if path.suffix not in FORMATS:
            raise ProblemError(f"out must end in {' or '.join(FORMATS)}, got {path}")
        self.path, self.settings = path, settings
        self.journal = path.with_name(path.name + ".journal")
        self._told = json.dumps(asdict(settings))

    def read(self) -> dict[int, list[Row]]:
        """Return the answers of either file and open the journal; a torn last line is dropped."""
        found = by_index(self._table())
        lines = self.journal.read_text().split("\n") if self.journal.exists() else []
        whole = lines[:-1]  # what no newline ends was cut off
        if whole and whole[0] != self._told:
            self._refuse(self.journal, whole[0])
        for line in whole[1:]:
            rows = json.loads(line)
            found[int(rows[0]["index"])] = rows
        self.journal.write_text("".join(f"{line}\n" for line in whole or [self._told]))
        return found

    def _table(self) -> list[Row]:
        if not self.path.exists():
            return []
        pandas = need("pandas", "bench")
        try:
            if self.path.suffix == ".csv":
                frame = _typed(pandas.read_csv(self.path, dtype=str, keep_default_na=False))
            else:
                frame = pandas.read_parquet(self.path)
            told = {name: frame[name].iloc[0].item() for name in asdict(self.settings)}
            rows: list[Any] = frame.drop(columns=list(told)).to_dict("records")
        except (ValueError, KeyError, IndexError, OSError) as error:
            raise ProblemError(f"{self.path} holds no results of a check: {error}") from None
        if told != asdict(self.settings):
            self._refuse(self.path, json.dumps(told))
        return rows

    def _refuse(self, path: Path, told: str) -> None:
        raise ProblemError(
            f"out must not mix settings: {path} is of {told}, not {self._told}; remove it or "
            "choose another"
        )

    def append(self, index: int, rows: list[Row]) -> None:
        """Add the answers to an instance."""
        with self.journal.open("a") as file:
            file.write(json.dumps(rows) + "\n")

    def close(self, result: Check) -> None:
        """Write the table in one step and remove the journal."""
        draft = self.path.with_name(self.path.name + ".draft")
        if self.path.suffix == ".csv":
            result.frame.to_csv(draft, index=False, na_rep="nan")
        else:
            result.frame.to_parquet(draft, index=False, compression="zstd")
        draft.replace(self.path)
        self.journal.unlink()


def _typed(texts: pd.DataFrame) -> pd.DataFrame:
    """Return a table read as text in its own types, every figure exactly as it was written."""
    types: dict[str, Any] = dict.fromkeys(FIGURES, float) | {"seed": int, "index": int}
    frame = texts.astype({name: kind for name, kind in types.items() if name in texts})
    frame["mpi"] = frame["mpi"] == "True"
    return frame


def unfinished(rows: Iterable[Row]) -> dict[tuple[str, str, str, str], list[int]]:
    """Return the instances by family, backend, status and message of what is not OPTIMAL."""
    found: dict[tuple[str, str, str, str], list[int]] = {}
    for row in rows:
        if row["status"] != Status.OPTIMAL.name:
            key = row["family"], row["backend"], row["status"], row["message"]
            found.setdefault(key, []).append(int(row["index"]))
    return found

"""Hostile arguments: wrong values of every kind, given to every public function and constructor.

What can be called is in `public_calls`, what is wrong for its parameters in `wrong_values`. Each
such value must be refused with an error that names the parameter, before any work is done.
"""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from convexnn.bench.public_calls import Call, calls

SECONDS = 1.0  # in which a wrong value is to be refused

# What may come of a wrong value: refused by name and at once, late, by an error that does not name
# it, by another's error, or not at all.
VERDICTS = ("refused", "slow", "unnamed", "raw", "accepted")


@dataclass(frozen=True)
class Refusal:
    """What came of a wrong value.

    Attributes
    ----------
    call, parameter, value : str
    verdict : str
        One of `VERDICTS`.
    said : str
        The error, or what was returned.
    """

    call: str
    parameter: str
    value: str
    verdict: str
    said: str = ""


def tried(call: Call, parameter: str, value: Any) -> Refusal:
    """Give a wrong value to what is otherwise called rightly.

    Examples
    --------
    >>> memory = next(call for call in calls() if call.name == "memory_limit")
    >>> tried(memory, "gib", "much").verdict
    'refused'
    """
    from convexnn.contract.checks import shown

    what = call.name, parameter, shown(value)
    begin = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = call.function(**{**call.good, parameter: value})
    except ValueError as error:
        said = f"{type(error).__name__}: {error}"
        ours = type(error).__module__.startswith("convexnn.")
        if not ours:
            return Refusal(*what, "raw", said)
        if not re.search(rf"\b{call.said.get(parameter, parameter)}\b", str(error)):
            return Refusal(*what, "unnamed", said)
        late = time.perf_counter() - begin > SECONDS
        return Refusal(*what, "slow" if late else "refused", said)
    except Exception as error:
        return Refusal(*what, "raw", f"{type(error).__name__}: {error}")
    return Refusal(*what, "accepted", f"returned {shown(answer)}")


def campaign(count: int, seed: int, on_done: Callable[[], None] = lambda: None) -> list[Refusal]:
    """Try so many wrong values, every one in turn in a random order, and return what came of each.

    Examples
    --------
    >>> {found.verdict for found in campaign(20, 0)}
    {'refused'}
    """
    every = [(call, name, value) for call in calls() for name, value in call.hostile()]
    order = np.random.default_rng(seed).permutation(len(every))
    found = []
    for k in range(count):
        found.append(tried(*every[order[k % len(every)]]))
        on_done()
    return found

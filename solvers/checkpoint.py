"""Checkpoints of engines over a graph: written atomically, resumed only by the same run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.arrays import Array
from convexnn.exchange import Transport
from convexnn.solution import to_json

if TYPE_CHECKING:
    State = dict[str, Array]

NOT_OF_THE_RUN = ("checkpoint", "every", "processes")  # options that change no iterate


class Checkpoint:
    """The state of a run in a file.

    Parameters
    ----------
    path : Path
        Written through a temporary file beside it, by the first process alone.
    engine : str
    form : NamedTuple
    chosen : dict
        The engine's options. Engine, form and options together are what a file must match.
    """

    def __init__(self, path: Path, engine: str, form: Any, chosen: dict[str, Any]) -> None:
        if not path.absolute().parent.is_dir():
            raise ValueError(f"cannot write {path}: there is no folder {path.parent}")
        self.path = path
        told = {name: v for name, v in chosen.items() if name not in NOT_OF_THE_RUN}
        digest = hashlib.sha256(to_json([engine, told]).encode())
        for part in _flat(form):
            digest.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
        self.key = digest.hexdigest()

    def write(self, talk: Transport, state: State, t: int) -> None:
        """Write the state after round t."""
        from convexnn.store import write_npz

        whole = {
            name: talk.gather(rows) if name[0].isupper() else rows for name, rows in state.items()
        }
        if talk.rank == 0:
            meta = {
                "kind": "Checkpoint",
                "key": self.key,
                "iteration": t,
                "rounds": talk.rounds,
                "messages": talk.messages,
            }
            write_npz(self.path, {**whole, "meta": np.array(to_json(meta))})

    def restore(self, talk: Transport, state: State) -> int:
        """Fill the state from the file, if there is one; return its round, else 0.

        Raises
        ------
        ValueError
            If the file is damaged or of another run.
        """
        from convexnn.store import read_npz

        if not talk.agree(self.path.exists()):
            return 0
        arrays, meta = read_npz(self.path, "Checkpoint")
        if meta.get("key") != self.key:
            raise ValueError(
                f"{self.path} is a checkpoint of another problem, engine or options: remove it"
            )
        for name in state:
            rows = arrays[name]
            state[name] = talk.share(rows, len(state[name])) if name[0].isupper() else rows
        talk.rounds, talk.messages = int(meta["rounds"]), int(meta["messages"])
        return int(meta["iteration"])


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple):
        for part in value:
            yield from _flat(part)
    elif is_dataclass(value):
        yield type(value).__name__
        for f in fields(value):
            yield from _flat(getattr(value, f.name))
    else:
        yield value

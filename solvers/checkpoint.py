"""Checkpoints of engines over a graph: written atomically, resumed only by the same run."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.system.files import FileError, read_npz, to_json, writable, write_npz
from convexnn.solvers.exchange import Exchange

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

    Raises
    ------
    ValueError
        If there is no such folder, nothing can be written to it, or the path is that of a folder.
    """

    def __init__(self, path: Path, engine: str, form: Any, chosen: dict[str, Any]) -> None:
        try:
            self.path = writable(path)
        except OSError as error:
            raise ValueError(str(error)) from None
        self.trouble = ""
        told = {name: v for name, v in chosen.items() if name not in NOT_OF_THE_RUN}
        digest = hashlib.sha256(to_json([engine, told]).encode())
        for part in _flat(form):
            digest.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
        self.key = digest.hexdigest()

    def write(self, talk: Exchange, state: State, t: int) -> None:
        """Write the state after round t; if that fails, warn once, note it, let the run go on."""
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
            try:
                write_npz(self.path, {**whole, "meta": np.array(to_json(meta))})
            except OSError as error:
                if not self.trouble:
                    warnings.warn(f"cannot write {self.path}: {error}", stacklevel=2)
                self.trouble = f"The checkpoint {self.path} is not of the end: {error}."
            else:
                self.trouble = ""

    def restore(self, talk: Exchange, state: State) -> int:
        """Fill the state from the file, if there is one; return its round, else 0.

        Raises
        ------
        ValueError
            If the file is damaged or of another run.
        """
        if not talk.agree(self.path.exists()):
            return 0
        arrays, meta = read_npz(self.path, "Checkpoint", lambda meta: state)
        if meta.get("key") != self.key:
            raise ValueError(
                f"{self.path} is a checkpoint of another problem, engine or options: remove it"
            )
        for name, known in state.items():
            rows = arrays.get(name)
            if rows is None or rows.dtype != known.dtype or rows.shape[1:] != known.shape[1:]:
                raise ValueError(f"{self.path} has no {name} as this version writes it: remove it")
            state[name] = talk.share(rows, len(state[name])) if name[0].isupper() else rows
        try:
            talk.rounds, talk.messages = int(meta["rounds"]), int(meta["messages"])
            return int(meta["iteration"])
        except (KeyError, TypeError, ValueError) as error:
            raise FileError(f"{self.path} is a damaged checkpoint: {error!r}: remove it") from None


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

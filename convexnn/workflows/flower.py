"""Robust aggregation as a strategy of Flower, the framework of federated learning."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from convexnn.contract.checks import ProblemError
from convexnn.contract.system.optional import need
from convexnn.contract.words import few
from convexnn.workflows.aggregate import aggregate

OURS = ("method", "faulty", "before", "per_component", "radius", "time_limit", "seed")


def flower_strategy(**options: Any) -> Any:
    """Return a strategy for Flower's ``ServerApp`` that aggregates by a rule of `cx.aggregate`.

    With the arrays x sent to the clients and those ``x_i`` that they reply with, the next ones are
    ``x + aggregate([x_i - x])``.

    Parameters
    ----------
    **options
        ``method``, ``faulty``, ``before``, ``per_component``, ``radius``, ``time_limit`` and
        ``seed`` of `cx.aggregate`, where seed counts up from round to round; all others are
        those of Flower's ``FedAvg``, as ``fraction_train`` or ``min_available_nodes``.

    Returns
    -------
    flwr.serverapp.strategy.Strategy
        Its ``start(grid, initial_arrays, num_rounds=...)`` runs the rounds.

    Raises
    ------
    ImportError
        If Flower is not installed; the message names the extra, ``flower``.
    ProblemError
        If an option is none of both, or breaks its rule; in a round, if there are more faulty
        clients than the rule can bear among those who replied.

    Warns
    -----
    UserWarning
        If replies hold other arrays than were sent, or NaN or inf: they are left out, named by
        their nodes.

    Notes
    -----
    Arrays of whole numbers, as counters are, take the coordinate median and no part in distances.
    Updates count alike: how many examples a client has is its own word, which a faulty one
    chooses. Metrics are averaged by Flower, by that word. Every reply is checked by itself, where
    ``FedAvg`` ends the run at one that differs from the others.

    Examples
    --------
    ::

        from convexnn.workflows.flower import flower_strategy

        @app.main()
        def main(grid, context):
            strategy = flower_strategy(method="multi-krum", faulty=2, min_available_nodes=10)
            strategy.start(grid, ArrayRecord(model.state_dict()), num_rounds=3)
    """
    own = {name: options.pop(name) for name in OURS if name in options}
    strategies = need("flwr.serverapp.strategy", "flower")
    records = need("flwr.app", "flower")
    aggregate(np.zeros((_enough(own), 1)), **own)  # a rule that is broken is said before any round

    base: Any = strategies.FedAvg

    class Robust(base):  # type: ignore[misc]  # Flower is imported when needed
        """``FedAvg`` whose average is a rule of `cx.aggregate`."""

        def __init__(self, **others: Any) -> None:
            super().__init__(**others)
            self._sent: dict[str, Any] = {}

        def configure_train(self, server_round: int, arrays: Any, config: Any, grid: Any) -> Any:
            self._sent = {key: array.numpy() for key, array in arrays.items()}
            return super().configure_train(server_round, arrays, config, grid)

        def aggregate_train(self, server_round: int, replies: Iterable[Any]) -> Any:
            valid, _ = self._check_and_log_replies(replies, is_train=True, validate=False)
            kept, updates, lost = [], [], []
            for reply in valid:
                update = _update(reply.content, self._sent, self.weighted_by_key)
                if update is None:
                    lost.append(reply.metadata.src_node_id)
                else:
                    kept.append(reply.content)
                    updates.append(update)
            if lost:
                nodes = f"node{'s' if len(lost) > 1 else ''} {few(sorted(lost))}"
                warnings.warn(
                    f"replies of {nodes} do not hold finite arrays of the shapes sent and one "
                    f"finite {self.weighted_by_key} > 0: left out, {len(kept)} of {len(valid)} are "
                    "kept",
                    stacklevel=2,
                )
            if not kept:
                return None, None
            seeded = own | {"seed": own.get("seed", 0) + server_round}
            arrays = {}
            for real in (True, False):
                keys = [key for key, a in self._sent.items() if (a.dtype.kind == "f") == real]
                if keys:
                    rule = seeded if real else {"method": "coordinate-median"}
                    step = aggregate([[update[key] for key in keys] for update in updates], **rule)
                    for key, change in zip(keys, step, strict=True):
                        arrays[key] = records.Array(_moved(self._sent[key], change))
            metrics = self.train_metrics_aggr_fn(kept, self.weighted_by_key)
            return records.ArrayRecord({key: arrays[key] for key in self._sent}), metrics

    try:
        return Robust(**options)
    except TypeError as error:
        raise ProblemError(f"options must be of aggregate or of Flower's FedAvg: {error}") from None


def _enough(own: dict[str, Any]) -> int:
    """Return so many clients that every rule bears the faulty ones."""
    faulty = own.get("faulty", 0)
    return 4 * faulty + 6 if isinstance(faulty, int) and 0 <= faulty <= 10_000 else 6


def _moved(sent: Any, change: Any) -> Any:
    """Return the next array, of the type sent."""
    moved = np.asarray(sent + change)
    return np.asarray(moved if sent.dtype.kind == "f" else np.rint(moved), dtype=sent.dtype)


def _update(content: Any, sent: dict[str, Any], weight: str) -> dict[str, Any] | None:
    """Return a reply's change of each array, or None where it does not answer what was sent."""
    arrays, metrics = list(content.array_records.values()), list(content.metric_records.values())
    if len(arrays) != 1 or len(metrics) != 1 or set(arrays[0]) != set(sent):
        return None
    counted = metrics[0].get(weight)
    if not isinstance(counted, (int, float)) or not 0.0 < counted < float("inf"):
        return None
    try:
        given = {key: np.asarray(arrays[0][key].numpy()) for key in sent}
    except (ValueError, TypeError, OSError, EOFError):
        return None  # bytes that are no array
    for key, array in given.items():
        known = array.shape == sent[key].shape and array.dtype.kind in "fiub"
        if not (known and np.isfinite(array).all()):
            return None
    return {key: array.astype(np.float64) - sent[key] for key, array in given.items()}

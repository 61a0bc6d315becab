"""The strategy for Flower in Flower's own loop, its clients called in this process."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.workflows.flower import flower_strategy

CLIENTS, FAULTY = 9, 2
X = np.random.default_rng(0).standard_normal((CLIENTS, 20, 3))
TRUE = np.array([1.0, -2.0, 0.5])


@pytest.mark.skipif(find_spec("flwr") is not None, reason="Flower is installed")
def test_the_extra_is_named() -> None:
    with pytest.raises(ImportError, match=r"flwr is not installed; .*convexnn\[flower\]"):
        flower_strategy(method="krum")


def step(client: int, w: Array) -> Array:
    """Return a client's weights after a step of gradient descent on its own examples."""
    own = X[client]
    return np.asarray(w - 0.3 * own.T @ (own @ (w - TRUE)) / len(own))


def answer(client: int, w: Array, fault: str) -> dict[str, Any]:
    honest: dict[str, Any] = {
        "w": step(client, w).astype(np.float32),
        "steps": np.array(1000 * client),
    }
    if client >= FAULTY or fault == "none":
        return honest
    faults: dict[str, Any] = {
        "large": {"w": np.full(3, 1e14, dtype=np.float32)},
        "nan": {"w": np.full(3, np.nan, dtype=np.float32)},
        "shape": {"w": np.zeros(4, dtype=np.float32)},
        "keys": {"v": np.zeros(3, dtype=np.float32)},
    }
    honest.update(faults[fault])
    return honest


def trained(fault: str, *, counts: float = 20.0, **options: Any) -> Array:
    """Return the weights after Flower's rounds."""
    app = pytest.importorskip("flwr.app", exc_type=ImportError)
    grids = pytest.importorskip("flwr.serverapp", exc_type=ImportError)
    task = pytest.importorskip("flwr.supercore.task_identity", exc_type=ImportError)
    for name in ("task_id", "run_id", "node_id"):  # as Flower's own servers do in their process
        setattr(task.TaskIdentity, name, 1)

    base: Any = grids.Grid

    class Here(base):  # type: ignore[misc]
        """Clients that are functions of this process."""

        run = None

        def set_run(self, run: Any) -> None: ...

        def create_message(self, *given: Any, **named: Any) -> Any: ...

        def push_messages(self, messages: Any) -> Any: ...

        def pull_messages(self, message_ids: Any) -> Any: ...

        def get_node_ids(self) -> Any:
            return range(1, CLIENTS + 1)

        def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> Any:
            return [self.reply(message) for message in messages]

        def reply(self, message: Any) -> Any:
            client = message.metadata.dst_node_id - 1
            content = {"metrics": app.MetricRecord({"num-examples": counts, "loss": 1.0})}
            if message.metadata.message_type == app.MessageType.TRAIN:
                w = message.content["arrays"]["w"].numpy()
                made = {k: app.Array(a) for k, a in answer(client, w, fault).items()}
                content["arrays"] = app.ArrayRecord(made)
            return app.Message(app.RecordDict(content), reply_to=message)

    strategy = flower_strategy(min_available_nodes=CLIENTS, **options)
    first = {"w": app.Array(np.zeros(3, dtype=np.float32)), "steps": app.Array(np.array(0))}
    result = strategy.start(Here(), app.ArrayRecord(first), num_rounds=20, timeout=30.0)
    w = result.arrays["w"].numpy()
    assert w.dtype == np.float32
    assert result.arrays["steps"].numpy() in np.array([3000, 4000, 5000])  # of an honest client
    assert result.train_metrics_clientapp[20]["loss"] == pytest.approx(1.0)
    return np.asarray(w, dtype=np.float64)


@pytest.mark.parametrize("method", ["multi-krum", "mda", "trimmed-mean"])
def test_training_goes_on_beside_faulty_clients(method: str) -> None:
    found = trained("large", method=method, faulty=FAULTY)
    np.testing.assert_allclose(found, TRUE, atol=0.05)


def test_a_round_is_the_aggregate_of_what_the_clients_changed() -> None:
    w = np.zeros(3)
    for _ in range(20):
        steps = np.array([step(client, w) - w for client in range(CLIENTS)])
        w = w + cx.aggregate(steps, method="norm-elimination", faulty=FAULTY)
    found = trained("none", method="norm-elimination", faulty=FAULTY)
    np.testing.assert_allclose(found, w, atol=1e-4)


@pytest.mark.parametrize("fault", ["nan", "shape", "keys"])
def test_replies_that_answer_nothing_are_left_out_by_their_nodes(fault: str) -> None:
    with pytest.warns(UserWarning, match="replies of nodes 1, 2 do not hold .*, 7 of 9 are kept"):
        found = trained(fault, method="mean")
    np.testing.assert_allclose(found, TRUE, atol=0.05)


def test_wrong_options_are_said_before_any_round() -> None:
    pytest.importorskip("flwr", exc_type=ImportError)
    with pytest.raises(cx.ProblemError, match="method must be one of"):
        flower_strategy(method="median")
    with pytest.raises(cx.ProblemError, match=r"options must be of aggregate or of .*fraction_fit"):
        flower_strategy(fraction_fit=1.0)
    with pytest.raises(cx.ProblemError, match="faulty must be an integer"):
        flower_strategy(faulty=-1)

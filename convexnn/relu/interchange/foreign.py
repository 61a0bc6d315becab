"""Networks that others trained: PyTorch modules, scikit-learn's perceptrons and ONNX graphs.

Each is one hidden layer of (leaky) rectifiers between two linear ones; anything else is refused
with what was found.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convexnn.contract.checks import ProblemError, file_path
from convexnn.contract.system.optional import need

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array

EXPECTED = "one hidden layer of ReLUs between two linear layers"


class Layers(NamedTuple):
    """Two linear layers and what is between them.

    Attributes
    ----------
    U : array of shape (d, m)
    bias : array of shape (m,)
    alpha : array of shape (m, k)
    offsets : array of shape (k,)
    leak : float
    classes : array or None
    skip : array of shape (d,) or None
        A free linear part, of one output.
    """

    U: Array
    bias: Array
    alpha: Array
    offsets: Array
    leak: float = 0.0
    classes: Any = None
    skip: Array | None = None


def of_sklearn(model: object) -> Layers:
    """Return the layers of a fitted `MLPClassifier` or `MLPRegressor`."""
    given: Any = model
    if isinstance(model, type) or not (hasattr(model, "coefs_") and hasattr(model, "activation")):
        raise ProblemError(
            f"model must be a fitted MLPClassifier or MLPRegressor, got {type(model).__name__}"
        )
    if len(given.coefs_) != 2 or given.activation != "relu":
        raise ProblemError(
            f"model must have {EXPECTED}, got {len(given.coefs_) - 1} hidden layers of "
            f"{given.activation!r}"
        )
    if given.out_activation_ == "logistic" and given.coefs_[1].shape[1] > 1:
        raise ProblemError("model must name one class a row, got a classifier of several labels")
    classes = getattr(given, "classes_", None)
    (U, alpha), (bias, offsets) = given.coefs_, given.intercepts_
    return Layers(*_doubles(U, bias, alpha, offsets), classes=classes)


def of_torch(module: object) -> Layers:
    """Return the layers of a module whose parts in order are Linear, ReLU, Linear."""
    given: Any = module
    if isinstance(module, type) or not (hasattr(module, "modules") and hasattr(module, "children")):
        raise ProblemError(f"module must be a torch.nn.Module, got {type(module).__name__}")
    free = _free_part(given)
    inside = given if free is None else given.network
    parts = [part for part in inside.modules() if not list(part.children())]
    kinds = [type(part).__name__ for part in parts]
    kept = [
        part
        for part, kind in zip(parts, kinds, strict=True)
        if kind not in ("Dropout", "Identity", "Flatten")
    ]
    found = [type(part).__name__ for part in kept]
    if len(found) != 3 or found[::2] != 2 * ["Linear"] or found[1] not in ("ReLU", "LeakyReLU"):
        raise ProblemError(f"module must have {EXPECTED}, got {', '.join(kinds) or 'no parts'}")
    first, between, last = kept

    def plain(part: Any) -> tuple[Any, Any]:
        weight = part.weight.detach().cpu().double().numpy()
        if part.bias is None:
            return weight.T, np.zeros(len(weight))
        return weight.T, part.bias.detach().cpu().double().numpy()

    (U, bias), (alpha, offsets) = plain(first), plain(last)
    leak = float(getattr(between, "negative_slope", 0.0))
    layers = Layers(*_doubles(U, bias, alpha, offsets), leak=leak, skip=free)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(module, torch.nn.Module):
        _same_outputs(torch, module, layers)
    return layers


def _free_part(module: Any) -> Array | None:
    """Return the weights of a linear layer ``skip`` beside a ``network``, as `to_torch` writes."""
    layer: Any = getattr(module, "skip", None)
    if len(list(module.children())) != 2 or not hasattr(module, "network"):
        return None
    if type(layer).__name__ != "Linear" or layer.bias is not None or layer.weight.shape[0] != 1:
        return None
    weight: Array = layer.weight.detach().cpu().double().numpy()[0]
    return weight


def _same_outputs(torch: Any, module: Any, layers: Layers) -> None:
    """Raise `ProblemError` where what a module does is not what its parts do one after another."""
    x = np.random.default_rng(0).standard_normal((8, len(layers.U)))
    hidden = x @ layers.U + layers.bias
    expected = np.maximum(hidden, layers.leak * hidden) @ layers.alpha + layers.offsets
    if layers.skip is not None:
        expected = expected + (x @ layers.skip)[:, None]
    weight, training = next(module.parameters()), module.training
    module.eval()
    try:
        with torch.no_grad():
            given = torch.tensor(x, dtype=weight.dtype, device=weight.device)
            found = module(given).cpu().double().numpy()
    finally:
        module.train(training)
    room = 1e-2 if weight.dtype in (torch.float16, torch.bfloat16) else 1e-4
    size = float(np.max(np.abs(expected)))
    if np.size(found) != expected.size or not np.allclose(
        np.reshape(found, expected.shape), expected, rtol=0.0, atol=room * max(size, 1e-30)
    ):
        raise ProblemError(
            f"module must have {EXPECTED} and nothing beside: its outputs are not theirs"
        )


def of_onnx(path: str | PathLike[str]) -> Layers:
    """Return the layers of a graph of MatMul or Gemm, Add, Relu or LeakyRelu, one after the other.

    What `to_onnx` writes for an activation, ``Max(t, leak t)``, is read as well.
    """
    onnx = need("onnx", "onnx")
    graph = onnx.load(fspath(file_path("path", path))).graph
    values = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            values[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
    steps = [node for node in graph.node if node.op_type not in ("Constant", "Identity", "Cast")]
    passed = {
        node.output[0]: node.input[0] for node in graph.node if node.op_type in ("Identity", "Cast")
    }
    said = f"{fspath(path)} must have {EXPECTED}, got {', '.join(n.op_type for n in steps)}"
    layers: list[list[Any]] = []  # weight and offset of each
    leak: float | None = None
    scaled: tuple[str, float] | None = None  # the tensor that is leak t, and the leak
    at, sums = [item.name for item in graph.input if item.name not in values], False
    for node in steps:
        known = [values[name] for name in node.input if name in values]
        come = [passed.get(name, name) for name in node.input if name and name not in values]
        details = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        kind, inside = node.op_type, len(layers) == 1 and leak is None
        straight = come == at and scaled is None
        if kind in ("MatMul", "Gemm") and straight and node.input[1] in values:
            if len(layers) != (0 if leak is None else 1) or details.get("transA", 0):
                raise ProblemError(said)
            layers.append(_linear(values, node, details))
            sums = True
        elif kind == "Add" and straight and sums and len(known) == 1:
            layers[-1][1] = layers[-1][1] + known[0]
        elif kind in ("Relu", "LeakyRelu") and straight and inside:
            leak, sums = float(details.get("alpha", 0.01)) if kind == "LeakyRelu" else 0.0, False
        elif kind == "Mul" and straight and inside and len(known) == 1 and np.size(known[0]) == 1:
            scaled = node.output[0], float(np.ravel(known[0])[0])
            continue  # the tensor before it is yet to be met again
        elif kind == "Max" and scaled is not None and sorted(come) == sorted([*at, scaled[0]]):
            leak, scaled, sums = scaled[1], None, False
        else:
            raise ProblemError(said)
        at = [node.output[0]]
    ends = [passed.get(item.name, item.name) for item in graph.output]
    if len(layers) != 2 or leak is None or scaled is not None or ends != at:
        raise ProblemError(said)
    (U, bias), (alpha, offsets) = layers
    m, k = np.shape(U)[1], np.shape(alpha)[1]
    wide = np.broadcast_to(np.ravel(bias), (m,)), np.broadcast_to(np.ravel(offsets), (k,))
    return Layers(*_doubles(U, wide[0], alpha, wide[1]), leak=leak)


def _linear(values: Mapping[str, Any], node: Any, details: Mapping[str, Any]) -> list[Any]:
    weight = values[node.input[1]]
    if node.op_type == "MatMul":
        return [weight, 0.0]
    weight = weight.T if details.get("transB", 0) else weight
    offset = values.get(node.input[2], 0.0) if len(node.input) > 2 else 0.0
    return [details.get("alpha", 1.0) * weight, details.get("beta", 1.0) * offset]


def _doubles(*arrays: Any) -> tuple[Array, Array, Array, Array]:
    U, bias, alpha, offsets = (np.array(array, dtype=np.float64) for array in arrays)
    return U, bias, alpha, offsets

"""Networks as PyTorch modules and ONNX graphs."""

from __future__ import annotations

from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.checks import ProblemError, file_path, shown
from convexnn.contract.system.optional import need

if TYPE_CHECKING:
    from convexnn.relu.network import TwoLayerNetwork

OPSET = 17


def to_torch(network: TwoLayerNetwork, dtype: Any = None) -> Any:
    """Return a ``torch.nn.Module``; see `TwoLayerNetwork.to_torch`."""
    torch = need("torch", "torch")
    chosen = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if dtype is None:
        chosen = torch.float64
    if not (isinstance(chosen, torch.dtype) and chosen.is_floating_point):
        raise ProblemError(
            "dtype must be one of torch's for real numbers, such as torch.float32, or its name, "
            f"got {shown(dtype)}"
        )
    from convexnn.relu.interchange.torch_modules import written

    return written(network, chosen)


def to_onnx(network: TwoLayerNetwork, path: str | PathLike[str]) -> None:
    """Write an ONNX graph; see `TwoLayerNetwork.to_onnx`."""
    onnx = need("onnx", "onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    nodes: list[Any] = []
    constants: list[Any] = []

    def constant(name: str, value: Any) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value, dtype=np.float64), name))
        return name

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    product = node("MatMul", ["x", constant("U", network.U)], "product")
    hidden = node("Add", [product, constant("bias", network.bias)], "hidden")
    if network.gates is None:
        scaled = node("Mul", [hidden, constant("leak", network.leak)], "scaled")
        active = node("Max", [hidden, scaled], "active")
    else:
        offset = np.zeros(len(network)) if network.gates_bias is None else network.gates_bias
        gate = node("MatMul", ["x", constant("gates", network.gates)], "gate")
        shifted = node("Add", [gate, constant("gates_bias", offset)], "shifted")
        is_open = node("GreaterOrEqual", [shifted, constant("zero", 0.0)], "is_open")
        mask = node("Cast", [is_open], "mask", to=onnx.TensorProto.DOUBLE)
        active = node("Mul", [hidden, mask], "active")
    output = node("MatMul", [active, constant("alpha", network.alpha)], "output")
    if network.skip is not None:
        linear = node("MatMul", ["x", constant("skip", network.skip[:, None])], "linear")
        output = node("Add", [output, linear], "with_skip")
    if network.skip_bias:
        output = node("Add", [output, constant("skip_bias", network.skip_bias)], "with_constant")
    if network.offsets is not None:
        output = node("Add", [output, constant("offsets", network.offsets)], "with_offsets")
    double = onnx.TensorProto.DOUBLE
    d, k = network.U.shape[0], network.alpha.shape[1]
    graph = helper.make_graph(
        nodes,
        "TwoLayerNetwork",
        [helper.make_tensor_value_info("x", double, ["n", d])],
        [helper.make_tensor_value_info(output, double, ["n", k])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = 8  # read by every onnxruntime since 1.10
    onnx.checker.check_model(model)
    onnx.save(model, fspath(file_path("path", path)))

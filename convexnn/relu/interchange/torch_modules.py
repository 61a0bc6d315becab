"""A network as PyTorch modules of its own parts; loaded where PyTorch is asked for."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array
    from convexnn.relu.network import TwoLayerNetwork


class WithSkip(nn.Module):  # type: ignore[misc]  # torch comes at run time
    """``f(x) = network(x) + skip(x)``: a free linear part beside a network.

    Parameters
    ----------
    network, skip : torch.nn.Module
    """

    def __init__(self, network: nn.Module, skip: nn.Module) -> None:
        super().__init__()
        self.network, self.skip = network, skip

    def forward(self, x: Any) -> Any:
        """Return the sum."""
        return self.network(x) + self.skip(x)


class Gated(nn.Module):  # type: ignore[misc]  # torch comes at run time
    """``f(x) = output(hidden(x) * (gates(x) >= 0))``: each neuron open where its gate is.

    Parameters
    ----------
    hidden, gates, output : torch.nn.Module
        The gates are not trained.
    """

    def __init__(self, hidden: nn.Module, gates: nn.Module, output: nn.Module) -> None:
        super().__init__()
        self.hidden, self.gates, self.output = hidden, gates.requires_grad_(False), output

    def forward(self, x: Any) -> Any:
        """Return the output of the neurons that are open."""
        return self.output(self.hidden(x) * (self.gates(x) >= 0.0))


def written(network: TwoLayerNetwork, dtype: Any) -> nn.Module:
    """Return a network's module; see `TwoLayerNetwork.to_torch`."""
    constants = np.full(network.alpha.shape[1], network.skip_bias)
    constants = constants if network.offsets is None else constants + network.offsets
    hidden = linear(network.U, network.bias, dtype)
    output = linear(network.alpha, constants, dtype)
    module: nn.Module
    if network.gates is None:
        activation = nn.LeakyReLU(network.leak) if network.leak else nn.ReLU()
        parts = {"hidden": hidden, "activation": activation, "output": output}
        module = nn.Sequential(OrderedDict(parts))
    else:
        offset = np.zeros(len(network)) if network.gates_bias is None else network.gates_bias
        module = Gated(hidden, linear(network.gates, offset, dtype), output)
    if network.skip is None:
        return module
    return WithSkip(module, linear(network.skip[:, None], None, dtype))


def linear(weight: Array, offset: Array | None, dtype: Any) -> nn.Linear:
    """Return the layer ``x -> x W + b``, made without a draw of random numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that none of no entries is drawn
        layer: nn.Linear = nn.utils.skip_init(
            nn.Linear, *weight.shape, bias=offset is not None, dtype=dtype
        )
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight.T))
        if offset is not None:
            layer.bias.copy_(torch.tensor(offset))
    return layer

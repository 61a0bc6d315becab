"""Train WaDiRo-SCNN (`wadiroscnn` 0.6) on arrays from a file: run by its own interpreter.

``python wadiro_run.py IN.npz OUT.npz`` reads X, y, radius and neurons, and writes the blocks v and
w, the output's offset, the value that the package reports, and processor seconds. The package
imports PyTorch, Matplotlib and IPython for what is not used here; where they are missing, empty
modules stand in.
"""

import sys
import time
import types

import numpy as np


class _Empty(types.ModuleType):
    """A module of which every name is a class that does nothing."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


for name in (
    *("torch", "torch.nn", "torch.optim", "torch.utils", "torch.utils.data"),
    *("matplotlib", "matplotlib.pyplot", "IPython", "IPython.display"),
):
    try:
        __import__(name)
    except ImportError:
        sys.modules[name] = _Empty(name)
        parent, _, child = name.rpartition(".")
        if parent in sys.modules:
            setattr(sys.modules[parent], child, sys.modules[name])

from wadiroscnn import wadiro_scnn  # noqa: E402

given = np.load(sys.argv[1])
model = wadiro_scnn()
begin = time.process_time()
value = model.train(
    given["X"],
    given["y"][:, None],
    radius=float(given["radius"]),
    bias=True,
    max_neurons=int(given["neurons"]),
    wasserstein="l2",
)
seconds = time.process_time() - begin
offset = float(np.ravel(model.b2_opt)[0])
np.savez(sys.argv[2], v=model.v_opt, w=model.w_opt, offset=offset, value=value, seconds=seconds)

"""Solutions of convex problems as functions on PyTorch's tensors, with exact gradients.

Each runs the package's own exact engine forward and the implicit function theorem backward. PyTorch
comes with the extra ``torch``; it is imported with the first of these names.
"""

from convexnn.contract.system.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

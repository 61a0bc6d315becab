from convexnn.bench.base import Backends


class Solver(Backends):
    """One of ``convexnn.backends()``."""

    name = "convexnn"
